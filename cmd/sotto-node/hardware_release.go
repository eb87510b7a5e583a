// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

//go:build !demo

package main

// platforms are those that a release looks for. There is none yet: support for
// each kind of hardware comes as a package under attest.
var platforms []platform

const known = "no kind of hardware yet"
