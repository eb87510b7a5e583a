// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/client/nethttp"
	"github.com/sotto-chat/sotto/seal/bhttp"
)

// models answers with the models of all kinds of nodes together.
func (p *Proxy) models(w http.ResponseWriter, r *http.Request) {
	list, err := p.cfg.Client.Models(r.Context())
	var api *client.APIError
	switch {
	case errors.As(err, &api) && api.Status >= 400:
		writeError(w, api.Status, apiError{Message: api.Message, Type: api.Type, Code: api.Code})
	case err != nil:
		p.writeClientError(w, err)
	default:
		p.setVerdict(w, p.currentVerdict())
		w.Header().Set("Content-Type", "application/json")
		w.Write(list)
	}
}

// passGet forwards a request without a body.
func (p *Proxy) passGet(w http.ResponseWriter, r *http.Request) {
	req := &bhttp.Request{Method: r.Method, Path: nethttp.Path(r.URL), Header: nethttp.Fields(r.Header)}
	p.forward(w, r, req, client.Options{}, false)
}

// passPost forwards a request with a JSON body.
func (p *Proxy) passPost(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	// Without it, HTTP/1 may stop a request that is answered while its body is
	// still under way.
	rc.EnableFullDuplex()
	rc.SetReadDeadline(time.Now().Add(bodyTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, p.cfg.MaxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		writeError(w, http.StatusRequestEntityTooLarge, apiError{Type: "invalid_request_error", Code: client.CodeTooLarge,
			Message: "The request is too large. Shorten it, or send fewer or smaller files."})
		return
	case err != nil:
		writeError(w, http.StatusBadRequest, apiError{Type: "invalid_request_error", Code: "request_cut_off",
			Message: "The request ended before its end. Send it again."})
		return
	}
	// From here on, reading only finds out that the program has gone.
	rc.SetReadDeadline(time.Time{})

	in, err := readRequest(body, p.cacheSalt(p.cfg.Key))
	if err != nil {
		writeError(w, http.StatusBadRequest, apiError{Type: "invalid_request_error", Code: "invalid_json",
			Message: "The body of the request is not a JSON object. Check how it is written."})
		return
	}
	header := []bhttp.Field{{Name: "content-type", Value: "application/json"}}
	if accept := strings.TrimSpace(r.Header.Get("Accept")); accept != "" {
		header = append(header, bhttp.Field{Name: "accept", Value: accept})
	}
	req := &bhttp.Request{Method: r.Method, Path: nethttp.Path(r.URL), Header: header, Body: in.body}
	p.forward(w, r, req, client.Options{Model: in.model, Resume: true}, in.stream)
}

// forward sends req and writes the answer. stream says that the program asked
// for a stream, so that it can be told that it is still there.
func (p *Proxy) forward(w http.ResponseWriter, r *http.Request, req *bhttp.Request, o client.Options, stream bool) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	type result struct {
		answer *client.Answer
		err    error
	}
	done := make(chan result, 1)
	go func() {
		a, err := p.cfg.Client.Do(ctx, req, o)
		done <- result{a, err}
	}()
	var slow <-chan time.Time
	if stream {
		t := time.NewTimer(keepAlive)
		defer t.Stop()
		slow = t.C
	}
	select {
	case res := <-done:
		if res.err != nil {
			if ctx.Err() == nil {
				p.writeClientError(w, res.err)
			}
			return
		}
		defer res.answer.Body.Close()
		p.answer(w, r, res.answer)
	case <-slow:
		// The model takes its time. Answer that a stream will come, so that
		// nobody's timeout cuts the wait short; an error is then an event.
		s := p.openStream(w, r)
		res, ok := waitAlive(s, done)
		switch {
		case !ok:
		case res.err != nil:
			_, e := clientError(res.err)
			s.event(e.json())
		default:
			defer res.answer.Body.Close()
			s.late(res.answer)
		}
	}
}

// answer writes an answer as it is: status, the fields that mean something,
// and the bytes.
func (p *Proxy) answer(w http.ResponseWriter, r *http.Request, a *client.Answer) {
	h := w.Header()
	for name, values := range nethttp.Header(a.Header) {
		if passed[name] || strings.HasPrefix(name, "X-Ratelimit-") {
			h[name] = values
		}
	}
	p.setVerdict(w, receiptVerdict(a.Receipt))
	w.WriteHeader(a.Status)
	s := newStream(w, r, isEventStream(a))
	if err := s.copy(a.Body); err != nil {
		s.broken(err)
	}
}

// passed are the fields of an answer that go to the program.
var passed = map[string]bool{
	"Content-Type": true, "Retry-After": true, "X-Should-Retry": true, "Openai-Processing-Ms": true,
}

func isEventStream(a *client.Answer) bool {
	return strings.HasPrefix(a.Get("content-type"), "text/event-stream")
}

// shortVerdict is the Sotto-Verdict field: enough to see at a glance who
// answered. GET /verdict has the rest.
type shortVerdict struct {
	State   string `json:"state"`
	Failure string `json:"failure,omitempty"`
	Node    string `json:"node,omitempty"`
	KeyID   string `json:"key_id,omitempty"`
	Release string `json:"release,omitempty"`
	Time    int64  `json:"time,omitempty"` // Unix seconds
}

func receiptVerdict(r client.Receipt) shortVerdict {
	return shortVerdict{State: r.State, Node: r.Node, KeyID: r.KeyID, Release: r.Release, Time: r.Time}
}

// currentVerdict is the short verdict where no single machine answers.
func (p *Proxy) currentVerdict() shortVerdict {
	s := p.cfg.Client.Status()
	v := shortVerdict{State: string(s.State), Release: s.Release, Time: s.CheckedAt}
	var nv *client.NotVerifiedError
	if errors.As(s.Err, &nv) {
		v.Failure = nv.Failure()
	}
	return v
}

func (p *Proxy) setVerdict(w http.ResponseWriter, v shortVerdict) {
	if b, err := json.Marshal(v); err == nil {
		w.Header().Set("Sotto-Verdict", string(b))
	}
}

// verdict answers with everything that is known of the machines.
func (p *Proxy) verdict(w http.ResponseWriter, r *http.Request) {
	c := p.cfg.Client
	if c.Status().CheckedAt == 0 {
		c.Verify(r.Context()) // its outcome is in the status
	}
	s := c.Status()
	doc := struct {
		State     client.State     `json:"state"`
		Line      string           `json:"line"`
		Detail    string           `json:"detail"`
		CheckedAt int64            `json:"checked_at"`
		Release   string           `json:"release"`
		Verdicts  []attest.Verdict `json:"verdicts"`
	}{s.State, s.Line, s.Detail, s.CheckedAt, s.Release, s.Verdicts}
	if doc.Verdicts == nil {
		doc.Verdicts = []attest.Verdict{}
	}
	p.setVerdict(w, p.currentVerdict())
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(doc)
}
