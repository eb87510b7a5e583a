// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

//go:build vectors

package main

import (
	"context"
	"encoding/json"

	"github.com/sotto-chat/sotto/attest/vectors"
)

// addVectors adds the method by which web/test has the test vectors of
// spec/vectors/attest judged by the core itself. What is published is built
// without it: a vector brings roots of its own.
func (c *core) addVectors() {
	c.methods["vector"] = run(func(_ context.Context, doc json.RawMessage) ([]byte, error) { return vectors.Run(doc) })
}
