// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

//go:build !vectors

package main

// addVectors adds nothing: see vectors.go.
func (*core) addVectors() {}
