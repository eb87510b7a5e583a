// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package auto finds something that writes answers on a person's own machine: a
// model server that runs already, a model file, or the embedded model. It is apart
// from package engine, whose servers are named by address: a machine that answers
// for others looks for nothing and starts nothing.
package auto

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/engine"
	"github.com/sotto-chat/sotto/internal/lines"
)

// Options say which engine to open. The zero value means "auto" without a file.
// Spec may be "auto" (or ""), "builtin", or an address.
type Options struct {
	engine.Options

	// ModelFile is a GGUF file for "auto" to run when no server is found, and
	// for "builtin" to run instead of the embedded model. May be "".
	ModelFile string
	// Builtin opens the pure-Go runner on a GGUF file, or on the embedded model
	// when file is "": builtin.Open. Nil when a program doesn't link it.
	Builtin func(ctx context.Context, file string) (engine.Engine, error)
	// Child runs ModelFile in a model server of our own: llamaserver.Start. It
	// returns nil and no error where none is installed. Nil when a program doesn't
	// link it.
	Child func(context.Context, Options) (engine.Engine, error)
	// LlamaServer is the llama-server program for Child. "" looks at the
	// environment's SOTTO_LLAMA_SERVER and then along PATH; "none" forbids it.
	LlamaServer string
	// Probe replaces the usual loopback ports, in order; nil means DefaultProbe.
	Probe []Probe
	// ProbeTimeout bounds the search; 0 means 700 ms.
	ProbeTimeout time.Duration
	// Logger is told which engine was chosen and why; nil means silence.
	Logger *slog.Logger
}

// Open chooses and opens an engine. "auto" takes, in this order: a model
// server that answers on one of the Probe addresses, ModelFile in a
// llama-server where that is installed or else in the runner, and the embedded
// model. A server named by address needn't be up yet. The caller closes the
// engine; ctx bounds the opening only.
func Open(ctx context.Context, o Options) (engine.Engine, error) {
	switch o.Spec {
	case "", "auto":
		return openAuto(ctx, o)
	case "builtin":
		return openBuiltin(ctx, o)
	}
	if o.ModelFile != "" {
		return nil, errors.New("a model server and a model file were both named: the server decides what it runs, so leave out the file")
	}
	return engine.Open(o.Options)
}

func openAuto(ctx context.Context, o Options) (engine.Engine, error) {
	if found := detect(ctx, o); found != nil {
		if o.ModelFile != "" {
			lines.To(o.Logger).Info("a model server is running, so the model file isn't used", lines.Own("engine", found.Name()))
		}
		return found, nil
	}
	if o.ModelFile == "" {
		return openBuiltin(ctx, o)
	}
	if o.Child != nil {
		if e, err := o.Child(ctx, o); e != nil || err != nil {
			return e, err
		}
	}
	return openBuiltin(ctx, o)
}

func openBuiltin(ctx context.Context, o Options) (engine.Engine, error) {
	if o.Builtin == nil {
		return nil, errors.New("no model server was found, and this program has no built-in model: start one, or name its address")
	}
	e, err := o.Builtin(ctx, o.ModelFile)
	if err != nil {
		if o.ModelFile != "" && !strings.Contains(err.Error(), o.ModelFile) {
			err = fmt.Errorf("%s: %w", o.ModelFile, err)
		}
		return nil, err
	}
	return e, nil
}
