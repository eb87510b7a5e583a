// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

//go:build !demo

package main

// standIn is nil: nothing in a release can take the place of hardware.
var standIn *vouching
