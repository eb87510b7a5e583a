// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package repo holds the tests of the repository itself: which package may
// import which, what may not be linked into the browser or the node, how many
// dependencies there are and why, and that the documents point at files that
// exist. It has no code of its own.
package repo
