// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/engine/builtin"
	"github.com/sotto-chat/sotto/keylog/keylogtest"
	"github.com/sotto-chat/sotto/release"
	"github.com/sotto-chat/sotto/token"
)

// The demo's key log gets its statements, and its release names it, so that a client
// that knows nothing but the demo's pin finds today's key.
func TestDemoKeyLog(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	eng, err := builtin.Open(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	defer eng.Close()
	log := slog.New(slog.DiscardHandler)
	p, err := startPublicLog(ctx, t.TempDir(), eng, log, "http://127.0.0.1:1/")
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "ids" {
			json.NewEncoder(w).Encode(map[string]any{"v": 1, "ids": keylogtest.IDs(1)})
			return
		}
		fmt.Fprint(w, `{"v":1,"refund":[],"ohttp":[]}`)
	}))
	defer gateway.Close()
	issue := func(_ context.Context, d token.Day) ([]byte, error) { return keylogtest.SPKI(d.String()), nil }
	pub, err := p.publisher(gateway.URL, "tokens.demo.example", issue, log)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- together(ctx, p.run, pub.Run) }()
	defer func() { cancel(); <-done }()

	get := func(url string) []byte {
		res, err := http.Get(url + "/sotto/v1/log")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var view struct {
		Pin json.RawMessage `json:"pin"`
	}
	doc := get(p.url)
	if err := json.Unmarshal(doc, &view); err != nil {
		t.Fatal(err)
	}
	pin, err := release.ParsePin(view.Pin)
	if err != nil {
		t.Fatal(err)
	}
	published, err := pin.Open(doc, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	r, _ := published.Newest()
	m := r.Manifest
	if m.KeyLog != p.keyPin.Log || len(m.Issuers) != 1 || m.Issuers[0] != p.keyPin.Keys[0] || len(m.Relays) != 1 || m.Product != p.keyPin.Product {
		t.Fatalf("the release names %q, %q, %q", m.KeyLog, m.Issuers, m.Relays)
	}
	for range 300 {
		keys, err := p.keyPin.Open(get(p.keyURL), nil, time.Now())
		if err == nil {
			today := token.DayOf(time.Now())
			day, err := keys.Day(today)
			n, ok := keys.Nodes()
			if err == nil && ok && n.Size == 1 && day.Issuer == "tokens.demo.example" && string(day.Issue) == string(keylogtest.SPKI(today.String())) {
				return
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the key log never got its statements")
}

func TestStatementFlags(t *testing.T) {
	w := keylogtest.New("flags")
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	doc, err := json.Marshal(w.Pin)
	if err != nil {
		t.Fatal(err)
	}
	pin, key, bad := write("pin", doc), write("key", []byte(w.Keys[0].Secret())), write("bad", []byte("x"))
	other := write("other", []byte(w.Log.Secret()))
	url := "https://keys.example"
	for _, tt := range []struct{ url, pin, key, issuer, product, detail string }{
		{"", "", "", "", "sotto", ""},
		{url, pin, key, "tokens.example", "sotto", ""},
		{url, "", key, "tokens.example", "sotto", "go together"},
		{url, pin, key, "", "sotto", "-tokens is missing"},
		{url, bad, key, "tokens.example", "sotto", "can't be used"},
		{url, pin, key, "tokens.example", "other", "is of the product"},
		{url, pin, bad, "tokens.example", "sotto", "-statement-key"},
		{url, pin, dir + "/none", "tokens.example", "sotto", "-statement-key"},
		{url, pin, other, "tokens.example", "sotto", "doesn't name the key"},
	} {
		fs := flag.NewFlagSet("", flag.ContinueOnError)
		s := statementFlags(fs)
		if err := fs.Parse([]string{"-key-log", tt.url, "-key-pin", tt.pin, "-statement-key", tt.key}); err != nil {
			t.Fatal(err)
		}
		run, err := s.publisher("http://127.0.0.1:1", tt.issuer, tt.product, nil, nil)
		if tt.detail == "" && err != nil || tt.detail != "" && (err == nil || !strings.Contains(err.Error(), tt.detail)) || (run != nil) != (err == nil && tt.url != "") {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}
