// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package swtpm holds a test that takes a TPM which isn't ours through all of
// its life: swtpm, from Debian. It has no code of its own.
package swtpm
