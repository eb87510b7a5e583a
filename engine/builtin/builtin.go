// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package builtin runs small Llama-shaped GGUF models in pure Go.
package builtin

import (
	"context"
	"errors"

	"github.com/sotto-chat/sotto/engine"
)

// Open opens the runner on a GGUF file, or on the embedded demo model when file is "".
func Open(ctx context.Context, file string) (engine.Engine, error) {
	return nil, errors.New("builtin: no model")
}
