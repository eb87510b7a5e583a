// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package opinions asks other people's verifiers about the same evidence that
// ours judge: real recordings, and thousands of changes to them. What they
// refuse must not pass ours. It is a Go module of its own, so that none of these
// verifiers is a dependency of Sotto.
package opinions
