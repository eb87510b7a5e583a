// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package client

import "crypto/rand"

// NewCacheSalt returns a random salt for one chat. Model servers that keep what
// they computed for a prompt's beginning (vLLM, SGLang) share it only between
// requests with the same salt, so that nobody can find out by timing what
// somebody else has written.
func NewCacheSalt() string { return rand.Text() }
