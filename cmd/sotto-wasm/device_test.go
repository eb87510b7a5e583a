// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

//go:build !js

package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/attest/software/forge"
	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/client/nethttp"
	"github.com/sotto-chat/sotto/engine"
	"github.com/sotto-chat/sotto/gateway"
	"github.com/sotto-chat/sotto/node"
	"github.com/sotto-chat/sotto/vault"
)

// device is a host that keeps in memory what a browser keeps in IndexedDB.
type device struct {
	client.Transport
	mu     sync.Mutex
	events []map[string]any
	puts   []vault.Put
	kept   map[string][]byte
	trust  string // of keep
	full   bool   // nothing more can be kept
	// account answers in the account server's place; nil for one without plans.
	account func(method, path, body string) (string, error)
	tokens  []byte // the sealed wallet
	owner   int    // how often it was opened
	stolen  bool   // another tab has it
	heard   chan struct{}
}

func newDevice(transport client.Transport) *device {
	return &device{Transport: transport, kept: map[string][]byte{}, heard: make(chan struct{}, 1)}
}

func (d *device) emit(event any) {
	doc, err := json.Marshal(event)
	if err != nil {
		panic(err)
	}
	var e map[string]any
	if err := json.Unmarshal(doc, &e); err != nil {
		panic(err)
	}
	d.mu.Lock()
	d.events = append(d.events, e)
	d.mu.Unlock()
	select {
	case d.heard <- struct{}{}:
	default:
	}
}

func (d *device) queue(puts []vault.Put) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.full {
		return errors.New("the disk is full")
	}
	d.puts = append(d.puts, puts...)
	return nil
}

func (d *device) pending(id string, sealed []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if sealed == nil {
		delete(d.kept, id)
	} else {
		d.kept[id] = sealed
	}
	return nil
}

func (d *device) keep(kept string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.trust = kept
}

func (d *device) api(method, path, body string) (string, error) {
	d.mu.Lock()
	f := d.account
	d.mu.Unlock()
	if f == nil {
		return "", &coreError{"not_found", "Nothing is here."}
	}
	return f(method, path, body)
}

func (d *device) through(relay string) client.Transport { return nethttp.New(relay) }

func (d *device) openTokens() (secret, blob []byte, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.owner++
	return []byte("the secret of this device, 32 by"), slices.Clone(d.tokens), nil
}

func (d *device) saveTokens(blob []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stolen {
		return errTaken
	}
	d.tokens = blob
	return nil
}

// until waits for an event that ok accepts.
func (d *device) until(t *testing.T, what string, ok func(map[string]any) bool) map[string]any {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for seen := 0; ; {
		d.mu.Lock()
		events := d.events
		d.mu.Unlock()
		for ; seen < len(events); seen++ {
			if ok(events[seen]) {
				return events[seen]
			}
		}
		select {
		case <-d.heard:
		case <-time.After(20 * time.Millisecond):
		case <-timeout:
			t.Fatalf("no event: %s; the last of %d: %v", what, len(events), events[max(0, len(events)-3):])
		}
	}
}

// notices returns the codes of all notices.
func (d *device) notices() (codes []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.events {
		if e["t"] == "notice" {
			codes = append(codes, e["code"].(string))
		}
	}
	return codes
}

// do calls a method as the Worker does, through JSON.
func do[R any](t *testing.T, c *core, method string, args any, secret []byte) (R, error) {
	t.Helper()
	doc, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	var r R
	out, err := c.call(context.Background(), method, doc, secret)
	if err != nil {
		return r, err
	}
	if b, ok := out.([]byte); ok {
		return any(b).(R), nil
	}
	doc, err = json.Marshal(out)
	if err == nil {
		err = json.Unmarshal(doc, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r, nil
}

// must is do for calls that can't fail.
func must[R any](t *testing.T, c *core, method string, args any, secret []byte) R {
	t.Helper()
	r, err := do[R](t, c, method, args, secret)
	if err != nil {
		t.Fatalf("%s: %v", method, err)
	}
	return r
}

type object = map[string]any

var (
	testAccount = vault.AccountID{1, 2, 3}
	testDevice  = vault.DeviceID{4, 5}
	credential  = base64.RawURLEncoding.EncodeToString([]byte("a passkey"))
)

func prf() []byte { return []byte("0123456789abcdef0123456789abcdef") }

// signedUp returns a core with an open vault, and the wraps of its account.
func signedUp(t *testing.T, d *device) (*core, []vault.Wrap) {
	t.Helper()
	c := newCore(d)
	made := must[newAccountResult](t, c, "newAccount", object{"account": testAccount, "credential": credential}, prf())
	typed := []string{made.Kit.Groups[made.Kit.Confirm[0]], made.Kit.Groups[made.Kit.Confirm[1]]}
	wraps := must[[]vault.Wrap](t, c, "finishAccount", object{"typed": typed, "passphrase": ""}, nil)
	must[none](t, c, "adopt", object{"device": testDevice}, nil)
	must[none](t, c, "opened", object{}, nil)
	return c, wraps
}

// scripted is an engine whose answers a test writes: one channel of texts for
// each question, closed at the answer's end.
type scripted struct {
	mu      sync.Mutex
	answers map[string]chan string
	asked   []string
}

func (*scripted) Name() string { return "scripted" }
func (*scripted) Close() error { return nil }
func (*scripted) Models(context.Context) ([]engine.Model, error) {
	return []engine.Model{{ID: "m"}}, nil
}

func (s *scripted) answer(question string) chan string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answers[question] == nil {
		s.answers[question] = make(chan string, 100)
	}
	return s.answers[question]
}

func (s *scripted) Do(ctx context.Context, r *engine.Request) (*engine.Response, error) {
	if r.Method == "GET" {
		return &engine.Response{Status: 200, ContentType: "application/json", Body: io.NopCloser(strings.NewReader(`{"object":"list","data":[{"id":"m"}]}`))}, nil
	}
	var req struct {
		Messages []client.ChatMessage `json:"messages"`
	}
	if err := json.Unmarshal(r.Body, &req); err != nil {
		return nil, err
	}
	question := req.Messages[len(req.Messages)-1].Content
	s.mu.Lock()
	s.asked = append(s.asked, question)
	s.mu.Unlock()
	if question == "fail" {
		return nil, &engine.Error{Status: 400, Code: "context_length", Message: "This conversation is too long for the model."}
	}
	texts := s.answer(question)
	pr, pw := io.Pipe()
	go func() {
		say := func(text, finish string) {
			fmt.Fprintf(pw, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":%q},\"finish_reason\":%s}]}\n\n", text, finish)
		}
		for {
			select {
			case <-ctx.Done():
				pw.CloseWithError(ctx.Err())
				return
			case text, ok := <-texts:
				if !ok {
					say("", `"stop"`)
					io.WriteString(pw, "data: [DONE]\n\n")
					pw.Close()
					return
				}
				say(text, "null")
			}
		}
	}()
	return &engine.Response{Status: 200, ContentType: "text/event-stream", Body: pr}, nil
}

// service runs a gateway and a node over eng and returns the way to them.
func service(t *testing.T, eng engine.Engine) client.Transport {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	n, err := node.New(node.Config{Engine: eng, Evidence: forge.Evidence, Tick: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	inside := httptest.NewServer(n.Handler())
	g, err := gateway.New(gateway.Config{Nodes: []string{inside.URL}})
	if err != nil {
		t.Fatal(err)
	}
	outside := httptest.NewServer(g.Handler())
	var wg sync.WaitGroup
	wg.Go(func() { n.Run(ctx) })
	wg.Go(func() { g.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		outside.CloseClientConnections()
		inside.CloseClientConnections()
		outside.Close()
		inside.Close()
		wg.Wait()
	})
	return nethttp.New(outside.URL)
}

// asking returns a signed-up core that may ask eng, and its device.
func asking(t *testing.T, transport client.Transport) (*core, *device, []vault.Wrap) {
	t.Helper()
	d := newDevice(transport)
	c, wraps := signedUp(t, d)
	begin(t, c, d)
	return c, d, wraps
}

func begin(t *testing.T, c *core, d *device) {
	t.Helper()
	must[none](t, c, "start", object{"origin": "http://localhost", "local": true, "consent": true}, nil)
	d.until(t, "trust demo", func(e map[string]any) bool {
		return e["t"] == "trust" && e["trust"].(object)["state"] == "demo"
	})
}

// messageIn returns a message of an event's view, or nil.
func messageIn(e map[string]any, id string) object {
	if e["t"] != "chat" {
		return nil
	}
	for _, m := range e["view"].(object)["messages"].([]any) {
		if m := m.(object); m["id"] == id {
			return m
		}
	}
	return nil
}

func (d *device) untilStatus(t *testing.T, id, status string) object {
	t.Helper()
	var found object
	d.until(t, "message "+status, func(e map[string]any) bool {
		m := messageIn(e, id)
		if m != nil && m["status"] == status {
			found = m
			return true
		}
		return false
	})
	return found
}

func (d *device) untilText(t *testing.T, id string) {
	t.Helper()
	d.until(t, "text", func(e map[string]any) bool {
		m := messageIn(e, id)
		return e["t"] == "delta" && e["message"] == id || m != nil && m["text"] != ""
	})
}

func newOpenChat(t *testing.T, c *core) string {
	t.Helper()
	chat := must[summaryDoc](t, c, "newChat", object{"temporary": false}, nil).ID
	must[viewDoc](t, c, "openChat", object{"chat": chat}, nil)
	return chat
}

func sendTo(t *testing.T, c *core, chat, parent, text string) sendResult {
	t.Helper()
	return must[sendResult](t, c, "send", object{"chat": chat, "parent": parent, "text": text, "model": "m"}, nil)
}
