// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package publish_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/keylog"
	"github.com/sotto-chat/sotto/keylog/keylogtest"
	"github.com/sotto-chat/sotto/keylog/publish"
	"github.com/sotto-chat/sotto/release"
	"github.com/sotto-chat/sotto/tlog"
	"github.com/sotto-chat/sotto/tlog/logserver"
	"github.com/sotto-chat/sotto/tlog/witness"
	"github.com/sotto-chat/sotto/token"
)

// world is a key log with its witnesses, a gateway, and keys.
type world struct {
	*keylogtest.World
	t   *testing.T
	cfg publish.Config
	url string // of the log

	mu    sync.Mutex
	now   time.Time
	ids   []string
	about string
	lose  bool // the log does what it is asked, and the answer is lost
	keyOf func(token.Day) string
}

func (w *world) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{World: keylogtest.New(t.Name()), t: t, now: time.Unix(keylogtest.Now, 0), ids: keylogtest.IDs(3), about: `{"v":1,"refund":[],"ohttp":[]}`}
	w.keyOf = func(d token.Day) string { return "issue " + d.String() }
	cfg := logserver.Config{Dir: t.TempDir(), Kind: logserver.Keys, Signer: w.Log, Pin: release.Pin(w.Pin), Witnesses: map[string]string{}, Now: w.clock, Recosign: 20 * time.Millisecond}
	for i, key := range w.Witnesses {
		inner, err := witness.Open(witness.Config{Dir: t.TempDir(), Key: key, Logs: []tlog.Key{w.Log.Key()}, Now: w.clock})
		if err != nil {
			t.Fatal(err)
		}
		s := httptest.NewServer(inner.Handler())
		t.Cleanup(s.Close)
		cfg.Witnesses[fmt.Sprintf("w%d", i+1)] = s.URL
	}
	s, err := logserver.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	h := s.Handler()
	front := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		lose := w.lose && r.Method == "POST"
		w.mu.Unlock()
		if lose {
			h.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		h.ServeHTTP(rw, r)
	}))
	t.Cleanup(func() { front.Close(); cancel(); <-done })
	w.url = front.URL
	gateway := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		switch r.URL.String() {
		case "/sotto/v1/nodes?ids":
			json.NewEncoder(rw).Encode(map[string]any{"v": 1, "ids": w.ids})
		case "/sotto/v1/gateway?product=sotto":
			fmt.Fprint(rw, w.about)
		default:
			http.NotFound(rw, r)
		}
	}))
	t.Cleanup(gateway.Close)
	w.cfg = publish.Config{
		Log: front.URL + "/", Pin: w.Pin, Signer: w.Keys[0], Issuer: "tokens.sotto.example", Gateway: gateway.URL, Now: w.clock,
		Issue: func(_ context.Context, d token.Day) ([]byte, error) { return keylogtest.SPKI(w.keyOf(d)), nil },
	}
	for range 3000 { // until the log has begun
		if resp, err := http.Get(w.url + "/checkpoint"); err == nil && resp.StatusCode == 200 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return w
}

func (w *world) publisher() *publish.Publisher {
	w.t.Helper()
	p, err := publish.New(w.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// keys opens what the log shows.
func (w *world) keys() *keylog.Keys {
	w.t.Helper()
	resp, err := http.Get(w.url + "/sotto/v1/log")
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	doc, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	keys, err := w.Pin.Open(doc, nil, w.clock())
	if err != nil {
		w.t.Fatal(err)
	}
	return keys
}

func (w *world) step(p *publish.Publisher, want string) {
	w.t.Helper()
	err := p.Step(w.t.Context())
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		w.t.Errorf("%v, want %q", err, want)
	}
}

func TestPublish(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const today = keylogtest.Today
	refund := func(d token.Day) string {
		return fmt.Sprintf(`{"day":"%s","key":"%s"}`, d, base64.StdEncoding.EncodeToString(keylogtest.SPKI("refund "+d.String())))
	}
	b, a := "sha256:"+strings.Repeat("b", 64), "sha256:"+strings.Repeat("a", 64)
	w.about = fmt.Sprintf(`{"v":1,"refund":[%s,%s],"ohttp":["%s","%s","%s"]}`, refund(today), refund(today+1), b, a, b)
	p := w.publisher()
	w.step(p, "")
	keys := w.keys()
	for _, d := range []token.Day{today, today + 1} {
		got, err := keys.Day(d)
		if err != nil || string(got.Issue) != string(keylogtest.SPKI(w.keyOf(d))) || string(got.Refund) != string(keylogtest.SPKI("refund "+d.String())) ||
			got.Issuer != "tokens.sotto.example" || strings.Join(got.OHTTP, " ") != a+" "+b {
			t.Errorf("%v: %v, %v", d, got.OHTTP, err)
		}
	}
	if n, ok := keys.Nodes(); !ok || n.Size != 3 || keys.Checkpoint.Size != 3 {
		t.Errorf("%d entries, machines %+v", keys.Checkpoint.Size, n)
	}

	// Nothing new, nothing published. Other machines wait for their time.
	w.step(p, "")
	w.set(func() { w.ids = keylogtest.IDs(4) })
	w.step(p, "")
	if n := w.keys().Checkpoint.Size; n != 3 {
		t.Errorf("%d entries", n)
	}
	w.set(func() { w.now = w.now.Add(10 * time.Minute) })
	w.step(p, "")
	if n, _ := w.keys().Nodes(); n.Size != 4 {
		t.Errorf("%d machines", n.Size)
	}
	// With no machine at all there is nothing to state.
	w.set(func() { w.now = w.now.Add(10 * time.Minute); w.ids = nil })
	w.step(p, "")

	// The next day has its key, and the list stands after it, though it is the same.
	w.set(func() { w.now = w.now.Add(24 * time.Hour); w.ids = keylogtest.IDs(4) })
	for range 500 { // until the witnesses have seen the log again
		if err := p.Step(t.Context()); err == nil || !strings.Contains(err.Error(), tlog.FailStale) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.step(p, "no key for refunds of "+(today+2).String())
	w.set(func() { w.about = `{"v":1,"refund":[` + refund(today+2) + `],"ohttp":[]}` })
	w.step(p, "")
	keys = w.keys()
	if days := keys.Days(); days[len(days)-1] != today+2 || keys.Restate() {
		t.Errorf("days %v, the list is behind: %v", days, keys.Restate())
	}
	// A service whose keys are others than the log's says so, and publishes nothing.
	size := keys.Checkpoint.Size
	w.keyOf = func(d token.Day) string { return "lost " + d.String() }
	w.step(p, "has its database been replaced?")
	if n := w.keys().Checkpoint.Size; n != size {
		t.Errorf("%d entries, and there were %d", n, size)
	}
}

// A publisher that ends at any moment, or runs twice, publishes nothing twice.
func TestPublishAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set(func() { w.lose = true })
	for range 5 {
		p := w.publisher() // as after a kill
		if err := p.Step(t.Context()); err == nil {
			break
		}
		// What it didn't hear of may still be on its way to the witnesses.
		time.Sleep(50 * time.Millisecond)
	}
	w.set(func() { w.lose = false })
	var all sync.WaitGroup
	for range 4 {
		p := w.publisher()
		all.Go(func() {
			for range 20 {
				if p.Step(t.Context()) == nil {
					return
				}
			}
			t.Error("never done")
		})
	}
	all.Wait()
	keys := w.keys()
	if n, days := keys.Checkpoint.Size, keys.Days(); n != 3 || len(days) != 2 {
		t.Errorf("%d entries, days %v", n, days)
	}
}

func TestPublishRefuses(t *testing.T) {
	w := keylogtest.New("refuses")
	good := publish.Config{Log: "https://keys.example", Pin: w.Pin, Signer: w.Keys[0], Gateway: "http://127.0.0.1:1"}
	if _, err := publish.New(good); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		detail string
		change func(*publish.Config)
	}{
		{"can't be used", func(c *publish.Config) { c.Pin.V = 2 }},
		{"doesn't name the key", func(c *publish.Config) { c.Signer = w.Log }},
		{"more than one signature", func(c *publish.Config) { c.Pin.Threshold = 2 }},
		{"is not the address", func(c *publish.Config) { c.Log = "keys.example" }},
		{"is not the address", func(c *publish.Config) { c.Gateway = "http://a.example/?x" }},
	} {
		c := good
		tt.change(&c)
		if _, err := publish.New(c); err == nil || !strings.Contains(err.Error(), tt.detail) {
			t.Errorf("%v, want %q", err, tt.detail)
		}
	}
}

// Whatever answers in place of log and gateway, nothing is published by it.
func TestPublishHostile(t *testing.T) {
	w := keylogtest.New("hostile")
	var log, gateway string
	posted := 0
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == "POST":
			posted++
			http.Error(rw, "no", http.StatusConflict)
		case r.URL.Path == "/log/sotto/v1/log":
			fmt.Fprint(rw, log)
		default:
			fmt.Fprint(rw, gateway)
		}
	}))
	defer s.Close()
	p, err := publish.New(publish.Config{
		Log: s.URL + "/log", Pin: w.Pin, Signer: w.Keys[0], Issuer: "tokens.sotto.example", Gateway: s.URL, Now: func() time.Time { return time.Unix(keylogtest.Now, 0) },
		Issue: func(_ context.Context, d token.Day) ([]byte, error) {
			if d > keylogtest.Today {
				return nil, errors.New("no key")
			}
			return w.DayOf(d).Issue, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	good := string(w.View())
	w2 := keylogtest.New("other")
	for _, tt := range []struct{ name, log, gateway, detail string }{
		{"rubbish in place of a log", "x", "x", "log_malformed"},
		{"another log", string(w2.View()), "x", "log_signature"},
		{"too much in place of a log", strings.Repeat(" ", tlog.MaxView+1), "x", "more than"},
		{"rubbish in place of keys", good, "x", "not in the expected form"},
		{"another version", good, `{"v":2}`, "not in the expected form"},
		{"too much in place of keys", good, strings.Repeat(" ", 65<<10), "more than"},
		{"keys that are none", good, `{"v":1,"ohttp":["x"]}`, "keys_malformed"},
	} {
		log, gateway = tt.log, tt.gateway
		if err := p.Step(t.Context()); err == nil || !strings.Contains(err.Error(), tt.detail) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if posted != 0 {
		t.Errorf("%d statements were sent", posted)
	}
	gateway = `{"v":1}`
	if err := p.Step(t.Context()); err == nil || !strings.Contains(err.Error(), "refuses a statement: no") || posted != 1 {
		t.Errorf("%v, %d were sent", err, posted)
	}
	w.Days(keylogtest.Today, keylogtest.Today)
	log = string(w.View())
	if err := p.Step(t.Context()); err == nil || !strings.Contains(err.Error(), "no key") {
		t.Error(err)
	}
}
