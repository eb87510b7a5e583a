// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"

	"github.com/sotto-chat/sotto/internal/collateral"
	"github.com/sotto-chat/sotto/keylog"
	"github.com/sotto-chat/sotto/keylog/publish"
	"github.com/sotto-chat/sotto/tlog"
	"github.com/sotto-chat/sotto/token"
)

// statements is what an account server is told of the key log.
type statements struct{ url, pin, key *string }

func statementFlags(fs *flag.FlagSet) *statements {
	return &statements{
		url: fs.String("key-log", "", "the key log's `URL`, where the keys of each day and the list of machines are published; none by default"),
		pin: fs.String("key-pin", "", "`file` of the key log's pin, with -key-log"),
		key: fs.String("statement-key", "", "`file` of the private key that signs what is published, with -key-log"),
	}
}

// maxKeyFile bounds the file of a private key.
const maxKeyFile = 4 << 10

// publisher returns the task that keeps the key log up to date, nil where none is
// named.
func (s *statements) publisher(gateway, issuer, product string, issue func(context.Context, token.Day) ([]byte, error), log *slog.Logger) (task, error) {
	if *s.url == "" && *s.pin == "" && *s.key == "" {
		return nil, nil
	}
	if *s.url == "" || *s.pin == "" || *s.key == "" {
		return nil, errors.New("-key-log, -key-pin and -statement-key go together: where the key log is, by what it is known, and who signs")
	}
	if issuer == "" {
		return nil, errors.New("-tokens is missing: what is published in the key log are the keys of an issuer")
	}
	pin, err := readPin(*s.pin)
	if err != nil {
		return nil, err
	}
	if pin.Product != product {
		return nil, fmt.Errorf("the pin in %s is of the product %q, and tokens here pay for %q", *s.pin, pin.Product, product)
	}
	b, err := collateral.ReadFile(*s.key, maxKeyFile)
	if err != nil {
		return nil, fmt.Errorf("-statement-key: %w", err)
	}
	signer, err := tlog.ParseSigner(string(b))
	if err != nil {
		return nil, fmt.Errorf("-statement-key %s: %w: sotto release key new makes one", *s.key, err)
	}
	p, err := publish.New(publish.Config{Log: *s.url, Pin: keylog.Pin(pin), Signer: signer, Issuer: issuer, Gateway: gateway, Issue: issue, Logger: log})
	if err != nil {
		return nil, err
	}
	return p.Run, nil
}
