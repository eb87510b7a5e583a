// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/sotto-chat/sotto/gateway"
	"github.com/sotto-chat/sotto/internal/lines"
	"github.com/sotto-chat/sotto/keylog"
	"github.com/sotto-chat/sotto/store/spent"
	"github.com/sotto-chat/sotto/token"
)

// spending is what a gateway is told of tokens.
type spending struct {
	spent   *string
	issuers list
}

func spendFlags(fs *flag.FlagSet) *spending {
	s := &spending{}
	s.spent = fs.String("spent", "", "`URL` of the store of spent tokens, which gateways share: sqlite:/var/lib/sotto/spent.db or postgres://user@host/database")
	fs.Var(&s.issuers, "issuer", "`file` that says whose tokens pay for requests; once for each product, the service's own first. Without one, requests are free")
	return s
}

// open opens the store and reads the issuers into a gateway's config. The store, nil
// where requests are free, is the caller's to close.
func (s *spending) open(ctx context.Context, cfg *gateway.Config) (*spent.Store, error) {
	if len(s.issuers) == 0 {
		if *s.spent != "" {
			return nil, errors.New("-issuer is missing: -spent remembers tokens, and nobody's are named")
		}
		return nil, nil
	}
	if *s.spent == "" {
		return nil, errors.New("-spent is missing: tokens need a store of spent ones, such as -spent sqlite:/var/lib/sotto/spent.db")
	}
	for n, file := range s.issuers {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		i, log, err := parseIssuer(b)
		if err != nil {
			return nil, fmt.Errorf("-issuer %s: %w", file, err)
		}
		cfg.Issuers = append(cfg.Issuers, i)
		if n == 0 && cfg.KeyLog == nil {
			cfg.KeyLog = log // which clients get from here
		}
	}
	store, err := spent.Open(ctx, *s.spent)
	if err != nil {
		return nil, err
	}
	cfg.Spent = store
	return store, nil
}

// maxIssuerFile bounds an issuer's file.
const maxIssuerFile = 64 << 10

// parseIssuer reads the file by which a product registers (spec/token.md, "Spending").
func parseIssuer(b []byte) (gateway.Issuer, *gateway.KeyLog, error) {
	var f struct {
		V       int    `json:"v"`
		Product string `json:"product"`
		Issuer  string `json:"issuer"`
		KeyLog  struct {
			URL string     `json:"url"`
			Pin keylog.Pin `json:"pin"`
		} `json:"key_log"`
		Limits struct {
			PerDay  int64 `json:"per_day"`
			PerHour int64 `json:"per_hour"`
		} `json:"limits"`
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if len(b) > maxIssuerFile {
		return gateway.Issuer{}, nil, fmt.Errorf("longer than %d bytes", maxIssuerFile)
	}
	if err := d.Decode(&f); err != nil {
		return gateway.Issuer{}, nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return gateway.Issuer{}, nil, errors.New("something follows the object")
	}
	if f.V != 1 {
		return gateway.Issuer{}, nil, errors.New("v is not 1")
	}
	if f.KeyLog.Pin.Product != f.Product {
		return gateway.Issuer{}, nil, fmt.Errorf("the pin is of the product %q, and the file of %q", f.KeyLog.Pin.Product, f.Product)
	}
	if f.Limits.PerDay < 0 || f.Limits.PerHour < 0 {
		return gateway.Issuer{}, nil, errors.New("a limit is below 0; 0 is none")
	}
	if err := (token.Challenge{Issuer: f.Issuer, Product: f.Product}).Check(); err != nil {
		return gateway.Issuer{}, nil, err
	}
	log, err := gateway.NewKeyLog(f.KeyLog.URL, f.KeyLog.Pin)
	if err != nil {
		return gateway.Issuer{}, nil, err
	}
	return gateway.Issuer{
		Product: f.Product, Name: f.Issuer, Keys: log,
		Limits: gateway.IssuerLimits{PerDay: f.Limits.PerDay, PerHour: f.Limits.PerHour},
	}, log, nil
}

// countsCommand prints what a product is told of its tokens: how many were spent in
// each day that is over, coarsely. Nothing tells one person from another, nor when
// in the day it was.
func countsCommand(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs, _ := flags("gateway counts", stderr)
	url := fs.String("spent", "", "`URL` of the store of spent tokens")
	product := fs.String("product", "", "whose tokens to count: its `name`")
	if err := parse(fs, args, stderr); err != nil {
		return err
	}
	if *url == "" || *product == "" {
		return errors.New("-spent or -product is missing: name the store and whose tokens to count, such as -spent sqlite:/var/lib/sotto/spent.db -product sotto")
	}
	store, err := spent.Open(ctx, *url)
	if err != nil {
		return err
	}
	defer store.Close()
	counts, err := store.Counts(ctx, *product)
	if err != nil {
		return err
	}
	writeCounts(stdout, counts, token.DayOf(time.Now()))
	return nil
}

func writeCounts(w io.Writer, counts []spent.Count, today token.Day) {
	for _, c := range counts {
		if c.Day < today {
			fmt.Fprintf(w, "%s\tspent %d\trefunded %d\n", c.Day, lines.Coarse(c.Spent), lines.Coarse(c.Refunded))
		}
	}
}
