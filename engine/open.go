// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// Options say which engine to open. The zero value means "auto" without a file.
type Options struct {
	// Spec is "auto" (or ""), "builtin", or the address of a model server:
	// "http://127.0.0.1:8000", with or without "/v1", or "unix:/path/to/socket".
	Spec string
	// ModelFile is a GGUF file for "auto" to run when no server is found, and
	// for "builtin" to run instead of the embedded model. May be "".
	ModelFile string
	// APIKey is sent as a bearer token to a model server named by URL. May be "".
	APIKey string
	// Builtin opens the pure-Go runner on a GGUF file, or on the embedded model
	// when file is "": builtin.Open. Nil when a program doesn't link it.
	Builtin func(ctx context.Context, file string) (Engine, error)
	// Probe replaces the usual loopback ports, in order; nil means DefaultProbe.
	Probe []Probe
	// ProbeTimeout bounds each probe; 0 means 700 ms.
	ProbeTimeout time.Duration
	// Logger is told which engine was chosen and why; nil means silence.
	Logger *slog.Logger
}

// A Probe is a place where "auto" looks for a model server.
type Probe struct {
	Name string // "Ollama"
	URL  string // "http://127.0.0.1:11434"
}

// DefaultProbe lists the usual loopback ports in the order they are tried.
func DefaultProbe() []Probe {
	return []Probe{
		{"Ollama", "http://127.0.0.1:11434"},
		{"llama.cpp", "http://127.0.0.1:8080"},
		{"vLLM", "http://127.0.0.1:8000"},
		{"LM Studio", "http://127.0.0.1:1234"},
	}
}

// Open chooses and opens an engine. "auto" takes, in this order: a model
// server that answers on one of the Probe addresses, ModelFile in a
// llama-server where that is installed or else in the runner, and the embedded
// model. The caller closes the engine.
func Open(ctx context.Context, o Options) (Engine, error) {
	if o.Builtin == nil {
		return nil, fmt.Errorf("engine: no model server named, and this program has no built-in model")
	}
	return o.Builtin(ctx, o.ModelFile)
}
