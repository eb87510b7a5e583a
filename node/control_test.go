// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sotto-chat/sotto/engine"
	"github.com/sotto-chat/sotto/internal/door"
	"github.com/sotto-chat/sotto/seal/bhttp"
)

func byControl(r *http.Request) { r.URL.Path = "/sotto/v1/control" }

// What costs no token gets no answer of the model.
func TestControl(t *testing.T) {
	e := &script{contentType: "application/json", steps: []step{{write: `{"object":"list"}`}}}
	n := newNode(t, e, nil)
	for _, tt := range []struct {
		req    *bhttp.Request
		status int
		code   string
	}{
		{post("/sotto/v1/resume", `{"id":"`+randomID()+`","next":0}`), 410, "answer_gone"},
		{post("/sotto/v1/cancel", `{"id":"`+randomID()+`"}`), 410, "answer_gone"},
		{post("/sotto/v1/fresh", "short"), 400, "malformed"},
		{&bhttp.Request{Method: "GET", Scheme: "https", Authority: "sotto", Path: "/v1/models"}, 200, ""},
		{&bhttp.Request{Method: "GET", Scheme: "https", Authority: "sotto", Path: "/v1/models/x"}, 403, "not_control"},
		{post("/v1/models", "{}"), 403, "not_control"},
		{post("/sotto/v1/resume?x", "{}"), 403, "not_control"},
		{chat(""), 403, "not_control"},
		{chat(randomID()), 403, "not_control"},
	} {
		msg, ex := sealFor(t, keysOf(t, n), tt.req)
		resp, body, _ := open(t, ex, sendTo(n, "/sotto/v1/control", msg))
		if resp.Status != tt.status || tt.status != 200 && errorCode(body) != tt.code {
			t.Errorf("%s %s: %d %s, want %d %s", tt.req.Method, tt.req.Path, resp.Status, body, tt.status, tt.code)
		}
	}
	if asked, _, _ := e.counts(); asked != 1 {
		t.Errorf("the engine was asked %d times", asked)
	}
	for size, want := range map[int]string{10_000: "answered", 20_000: door.TooLarge} {
		msg, _ := sealFor(t, keysOf(t, n), post("/sotto/v1/cancel", strings.Repeat("x", size)))
		if _, code, _ := inClear(t, n, msg, byControl); code != want {
			t.Errorf("%d bytes: %s, want %s", size, code, want)
		}
	}
}

// Where nothing listens, a gateway hears of it and can go on to another machine.
// Whatever depends on what was asked stays sealed.
func TestEngineAway(t *testing.T) {
	for code, clear := range map[string]bool{engine.CodeRefused: true, engine.CodeDNS: true, engine.CodeCut: false, engine.CodeContextLength: false, engine.CodeSlow: false} {
		n := newNode(t, &script{doErr: &engine.Error{Status: 502, Code: code, Message: "Nothing answers."}}, nil)
		id := randomID()
		for _, req := range []*bhttp.Request{chat(""), chat(id), chat(id), post("/v1/embeddings", "{}")} {
			if !clear && req.Path == "/v1/chat/completions" && len(req.Header) > 1 {
				id = randomID()
				req = chat(id)
			}
			msg, _ := sealFor(t, keysOf(t, n), req)
			status, got, _ := inClear(t, n, msg, nil)
			if clear && (status != http.StatusServiceUnavailable || got != door.EngineAway) || !clear && got != "answered" {
				t.Errorf("%s: %s: %d %s", code, req.Path, status, got)
			}
		}
	}
}
