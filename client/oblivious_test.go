// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sotto-chat/sotto/ohttp"
	"github.com/sotto-chat/sotto/seal/bhttp"
)

// fakeRelay is a relay with a gateway behind it, both in memory.
type fakeRelay struct {
	t     *testing.T
	inner Transport // what the gateway answers with

	mu      sync.Mutex
	offered *ohttp.Server // whose keys are given out
	server  *ohttp.Server // who opens
	sent    []*Request    // to the relay
	opened  []*ohttp.Message
	// answer, if set, replaces the relay's.
	answer func(*Request) *Response
}

func newFakeRelay(t *testing.T, inner Transport) *fakeRelay {
	s := keyed(t, 1)
	return &fakeRelay{t: t, inner: inner, offered: s, server: s}
}

func keyed(t *testing.T, n byte) *ohttp.Server {
	t.Helper()
	s, err := ohttp.NewServer(ohttp.Seed{n})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (f *fakeRelay) RoundTrip(ctx context.Context, r *Request) (*Response, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent = append(f.sent, r)
	if f.answer != nil {
		if resp := f.answer(r); resp != nil {
			return resp, nil
		}
	}
	if r.Method == "GET" && r.Path == "/ohttp-keys" {
		return reply(200, ohttp.KeysType, f.offered.Configs()), nil
	}
	if r.Method != "POST" || r.Path != "" || r.ContentType != ohttp.ChunkedRequestType || len(r.Header) != 0 {
		f.t.Errorf("to the relay: %+v", r)
	}
	msg, answer, err := f.server.OpenChunked(bytes.NewReader(r.Body))
	if errors.Is(err, ohttp.ErrKey) {
		return reply(422, ohttp.ProblemType+"; charset=utf-8", []byte(`{"type":"`+ohttp.KeyProblem+`","title":"no","error":{"code":"key_unknown","message":"no"}}`)), nil
	}
	if err != nil {
		f.t.Errorf("at the gateway: %v", err)
	}
	m, err := ohttp.ReadMessage(msg)
	if err != nil {
		f.t.Errorf("at the gateway: %v", err)
	}
	body, err := io.ReadAll(m.Body)
	if err != nil {
		f.t.Errorf("at the gateway: %v", err)
	}
	f.opened = append(f.opened, m)
	resp, err := f.inner.RoundTrip(ctx, &Request{Method: m.Method, Path: m.Path, ContentType: bhttp.Get(m.Header, "content-type"), Body: body, Header: m.Header})
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	out := answer.AppendChunk(nil, bhttp.AppendResponseHead(nil, resp.Status, []bhttp.Field{{Name: "content-type", Value: resp.ContentType}}), false)
	for piece := range slices.Chunk(b, 1000) {
		out = answer.AppendChunk(out, bhttp.AppendChunk(nil, piece), false)
	}
	return reply(200, ohttp.ChunkedResponseType, answer.AppendChunk(out, bhttp.AppendEnd(nil), true)), nil
}

// echo answers with what it was asked.
type echo struct{}

func (echo) RoundTrip(_ context.Context, r *Request) (*Response, error) {
	if r.Path == "/sotto/v1/missing" {
		return reply(404, "application/json", []byte(`{"error":{"code":"token_spent","message":"m"}}`)), nil
	}
	return reply(200, "text/plain", []byte(r.Method+" "+r.Path+" "+r.ContentType+" "+bhttp.Get(r.Header, "sotto-holder")+" "+string(r.Body))), nil
}

func trip(t *testing.T, o *Oblivious, r *Request) (status int, body string, err error) {
	t.Helper()
	resp, err := o.RoundTrip(t.Context(), r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.Status, string(b), err
}

func TestOblivious(t *testing.T) {
	f := newFakeRelay(t, echo{})
	o := NewOblivious(f, nil)
	big := strings.Repeat("x", 100_000)
	for range 2 {
		status, body, err := trip(t, o, &Request{Method: "POST", Path: "/sotto/v1/seal?x=1", ContentType: "a/b", Body: []byte(big), Header: []bhttp.Field{{Name: "sotto-holder", Value: "h"}}})
		if status != 200 || body != "POST /sotto/v1/seal?x=1 a/b h "+big || err != nil {
			t.Errorf("%d, %d bytes, %v", status, len(body), err)
		}
	}
	if status, body, err := trip(t, o, &Request{Method: "GET", Path: "/sotto/v1/missing"}); status != 404 || !strings.Contains(body, "token_spent") || err != nil {
		t.Errorf("%d %s, %v", status, body, err)
	}
	if len(f.sent) != 4 || f.sent[0].Method != "GET" {
		t.Errorf("%d requests to the relay", len(f.sent))
	}
	for _, m := range f.opened {
		for _, h := range m.Header {
			if h.Name != "content-type" && h.Name != "sotto-holder" {
				t.Errorf("the gateway sees %s", h.Name)
			}
		}
		if m.Authority != "" {
			t.Errorf("the gateway sees the authority %q", m.Authority)
		}
	}
	for _, r := range f.sent[1:] { // a key of its own each, by the better KEM
		if r.Body[1] != 0x64 || r.Body[2] != 0x7a {
			t.Errorf("sealed by %x", r.Body[1:3])
		}
	}
	if bytes.Equal(f.sent[1].Body[7:39], f.sent[2].Body[7:39]) {
		t.Error("two requests have the same key")
	}
}

// TestObliviousWholeService: a client works through a relay as without.
func TestObliviousWholeService(t *testing.T) {
	s := newFake(t)
	f := newFakeRelay(t, s)
	c := s.client(Config{})
	c.cfg.Transport = NewOblivious(f, nil)
	if got, err := get(t, c, Options{}); err != nil || got != "hello" {
		t.Errorf("%q, %v", got, err)
	}
	if len(f.opened) == 0 {
		t.Error("nothing went through the relay")
	}
}

func TestObliviousFreshKeys(t *testing.T) {
	f := newFakeRelay(t, echo{})
	o := NewOblivious(f, nil)
	ask := func() (int, error) {
		status, _, err := trip(t, o, &Request{Method: "GET", Path: "/sotto/v1/nodes"})
		return status, err
	}
	if status, err := ask(); status != 200 || err != nil {
		t.Fatal(status, err)
	}
	next := keyed(t, 2)
	f.server, f.offered, f.sent = next, next, nil
	if status, err := ask(); status != 200 || err != nil || len(f.sent) != 3 {
		t.Errorf("after a new key: %d, %v, %d requests", status, err, len(f.sent))
	}
	// The relay goes on giving out the old ones: once more, and not for ever.
	f.server, f.sent = keyed(t, 3), nil
	status, body, err := trip(t, o, &Request{Method: "GET", Path: "/sotto/v1/nodes"})
	if status != 502 || err != nil || len(f.sent) != 3 || strings.Contains(body, "key_unknown") {
		t.Errorf("with keys that stay old: %d %s, %v, %d requests", status, body, err, len(f.sent))
	}
	o, f.sent = NewOblivious(f, nil), nil
	if status, err := ask(); status != 502 || err != nil || len(f.sent) != 2 {
		t.Errorf("with keys that are old at first: %d, %v, %d requests", status, err, len(f.sent))
	}
}

func TestObliviousAllowed(t *testing.T) {
	f := newFakeRelay(t, echo{})
	refused := errors.New("not in the key log")
	good := map[string]bool{}
	var asked []string
	o := NewOblivious(f, func(digest string) error {
		asked = append(asked, digest)
		if !good[digest] {
			return refused
		}
		return nil
	})
	for _, path := range []string{"/sotto/v1/log?from=256", "/sotto/v1/keys", "/sotto/v1/nodes?at=1"} {
		if status, _, err := trip(t, o, &Request{Method: "GET", Path: path}); status != 200 || err != nil || len(asked) != 0 {
			t.Errorf("%s: %d, %v, asked %q", path, status, err, asked)
		}
	}
	f.sent = nil
	for _, r := range []*Request{{Method: "POST", Path: "/sotto/v1/seal"}, {Method: "POST", Path: "/sotto/v1/nodes"}, {Method: "GET", Path: "/sotto/v1/nodesx"}} {
		if _, _, err := trip(t, o, r); !errors.Is(err, refused) {
			t.Errorf("%s %s: %v", r.Method, r.Path, err)
		}
	}
	for _, r := range f.sent {
		if r.Method != "GET" {
			t.Error("something was sent to a key that is not allowed")
		}
	}
	// One of the two is allowed; then, with a new key, neither is until the log says so.
	good[f.offered.Digests()[1]] = true
	if status, _, err := trip(t, o, &Request{Method: "POST", Path: "/sotto/v1/seal"}); status != 200 || err != nil {
		t.Errorf("with the second key allowed: %d, %v", status, err)
	}
	if last := f.sent[len(f.sent)-1]; last.Body[1] != 0 || last.Body[2] != 0x20 {
		t.Errorf("sealed by %x", last.Body[1:3])
	}
	clear(good)
	next := keyed(t, 2)
	f.server, f.offered = next, next
	good[next.Digests()[0]] = true
	if status, _, err := trip(t, o, &Request{Method: "POST", Path: "/sotto/v1/seal"}); status != 200 || err != nil {
		t.Errorf("with keys that are newer than ours: %d, %v", status, err)
	}
}

// TestObliviousFromOutside: what didn't come sealed says little, whoever wrote it.
func TestObliviousFromOutside(t *testing.T) {
	for name, c := range map[string]struct {
		resp   *Response
		status int
		code   string
		fails  bool
	}{
		"too many":                   {reply(429, "application/json", []byte(`{"error":{"code":"slow_down"}}`)), 429, "slow_down", false},
		"a token's code":             {reply(401, "application/json", []byte(`{"error":{"code":"token_spent"}}`)), 502, "", false},
		"nothing here":               {reply(404, "application/json", []byte(`{"error":{"code":"not_found"}}`)), 502, "", false},
		"a page":                     {reply(503, "text/html", []byte(`<html>`)), 503, "", false},
		"elsewhere":                  {reply(302, "text/html", nil), 502, "", false},
		"in the clear":               {reply(200, "text/plain", []byte("hello")), 0, "", true},
		"in one piece":               {reply(200, ohttp.ResponseType, []byte("hello")), 0, "", true},
		"nothing":                    {reply(200, ohttp.ChunkedResponseType, nil), 0, "", true},
		"rubbish":                    {reply(200, ohttp.ChunkedResponseType, bytes.Repeat([]byte{1}, 100)), 0, "", true},
		"a key's problem as a page":  {reply(422, "text/html", []byte(`{"type":"`+ohttp.KeyProblem+`"}`)), 502, "", false},
		"another problem":            {reply(400, ohttp.ProblemType, []byte(`{"type":"about:blank","error":{"code":"too_large"}}`)), 502, "too_large", false},
		"a problem that has no type": {reply(400, ohttp.ProblemType, []byte(`{}`)), 502, "", false},
	} {
		f := newFakeRelay(t, echo{})
		f.answer = func(r *Request) *Response {
			if r.Method == "GET" {
				return nil
			}
			return c.resp
		}
		status, body, err := trip(t, NewOblivious(f, nil), &Request{Method: "GET", Path: "/sotto/v1/nodes"})
		if c.fails != (err != nil) || status != c.status || err == nil && !strings.Contains(body, `"code":"`+c.code+`"`) || len(f.sent) != 2 {
			t.Errorf("%s: %d %s, %v, %d requests", name, status, body, err, len(f.sent))
		}
	}
	for name, resp := range map[string]*Response{
		"none":        reply(502, "application/json", []byte(`{"error":{"code":"gateway_unreachable","message":"m"}}`)),
		"not keys":    reply(200, ohttp.KeysType, []byte("hello")),
		"too long":    reply(200, ohttp.KeysType, make([]byte, ohttp.MaxConfigs+1)),
		"none of use": reply(200, ohttp.KeysType, nil),
	} {
		f := newFakeRelay(t, echo{})
		f.answer = func(*Request) *Response { return resp }
		if _, _, err := trip(t, NewOblivious(f, nil), &Request{Method: "GET", Path: "/sotto/v1/nodes"}); err == nil {
			t.Errorf("keys: %s: no error", name)
		}
	}
}

// TestObliviousCut: an answer that is cut anywhere is an error, and what came is right.
func TestObliviousCut(t *testing.T) {
	f := newFakeRelay(t, echo{})
	o := NewOblivious(f, nil)
	var whole int
	for cut := 0; cut == 0 || cut < whole; cut += 1 + whole/50 {
		f.answer = func(r *Request) *Response {
			if r.Method == "GET" {
				return nil
			}
			f.answer = nil
			f.mu.Unlock()
			resp, err := f.RoundTrip(context.Background(), r)
			f.mu.Lock()
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(resp.Body)
			if whole == 0 {
				whole = len(b)
			}
			return reply(200, resp.ContentType, b[:cut])
		}
		if _, _, err := trip(t, o, &Request{Method: "POST", Path: "/sotto/v1/seal", Body: bytes.Repeat([]byte("x"), 3000)}); err == nil {
			t.Errorf("cut at %d of %d: no error", cut, whole)
		}
	}
}
