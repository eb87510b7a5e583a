// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/seal"
)

// sums are all lines of metrics: over everybody, and by nothing but the kind of
// hardware and the code of a refusal.
var sums = regexp.MustCompile(`^sotto_(node|gateway)_[a-z_]+(\{(platform|code)="[a-z_]+"\})? [0-9]+\n$`)

// tells reports the first header field in all that is not one of the given.
func tells(all []http.Header, allowed ...string) error {
	for _, h := range all {
		for name, v := range h {
			if !slices.Contains(allowed, name) {
				return fmt.Errorf("the field %s says %q", name, v)
			}
		}
	}
	return nil
}

// length asks one thing and returns how large the sealed request was and how many
// bytes the answer had.
func (w *World) length(ctx context.Context, text string) (request, answer int, err error) {
	done := make(chan int, 1)
	w.do(func(o *Operator) {
		o.answer = func(h []byte, r [][]byte) []byte {
			b := join(h, r...)
			done <- len(b)
			return b
		}
	})
	c := client.New(w.victim.config())
	defer c.CloseNow()
	s, err := c.Chat(ctx, client.ChatRequest{Model: "test", Messages: []client.ChatMessage{{Role: "user", Content: text}}}, client.Options{})
	if err != nil {
		return 0, 0, err
	}
	defer s.Close()
	_, msg := w.sealed()
	return len(msg), <-done, nil
}

func metadataAttacks() []*Attack {
	const (
		who   = "No identifier goes along with a question."
		logs  = "Nothing that is written down derives from a question."
		sizes = "Sizes tell how much was said only coarsely."
		tell  = "A machine learns nothing about who asks."
		rows  = "Tables hold ids, sizes and days."
		salt  = "What a model server has computed for one chat tells nothing about another."
	)
	one := func(name, promise, attacker string, arm, victim func(context.Context, *World) error) *Attack {
		if arm == nil {
			arm = func(context.Context, *World) error { return nil } // looking is enough
		}
		return &Attack{Class: classMetadata, Name: name, Promise: promise, Attacker: attacker, Failure: nothing, Sends: true, Arm: arm, Victim: victim}
	}
	// twice is a person who asks two things with the app open.
	twice := func(ctx context.Context, w *World) error {
		c := client.New(w.victim.config())
		defer c.CloseNow()
		for range 2 {
			if _, err := c.Verify(ctx); err != nil {
				return err
			}
			if err := w.victim.askWith(ctx, c, client.Options{}); err != nil {
				return err
			}
		}
		return nil
	}
	mark := func(h http.Header) func(context.Context, *World) error {
		return func(ctx context.Context, w *World) error {
			w.do(func(o *Operator) {
				o.front = func(rw http.ResponseWriter, r *http.Request) bool {
					for name, v := range h {
						rw.Header()[name] = v
					}
					return false
				}
			})
			return nil
		}
	}
	unmarked := func(ctx context.Context, w *World) error {
		if err := twice(ctx, w); err != nil {
			return err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		return tells(w.came, "Content-Type", "Content-Length", "User-Agent", "Accept-Encoding")
	}
	elsewhere := one("a-sealed-question-sent-elsewhere", who, "the gateway", func(ctx context.Context, w *World) error {
		other, err := w.serve("127.0.0.1:0", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			w.do(func(o *Operator) { o.came = append(o.came, http.Header{"Followed": {r.URL.String()}}) })
		}))
		w.do(func(o *Operator) {
			o.instead = func(rw http.ResponseWriter, r *http.Request) {
				http.Redirect(rw, r, other+"/?who=you", http.StatusTemporaryRedirect)
			}
		})
		return err
	}, func(ctx context.Context, w *World) error {
		err := w.victim.ask(ctx)
		w.mu.Lock()
		defer w.mu.Unlock()
		if followed := tells(w.came, "Content-Type", "Content-Length", "User-Agent", "Accept-Encoding"); followed != nil {
			return followed
		}
		return err
	})
	elsewhere.Failure = client.SaysUnreachable
	return []*Attack{
		one("a-header-that-tells-who", who, "the gateway", nil, unmarked),
		one("a-cookie", who, "the gateway", mark(http.Header{"Set-Cookie": {"who=you; Path=/; Max-Age=86400"}}), unmarked),
		one("a-mark-in-a-cache", who, "the gateway", mark(http.Header{
			"Etag": {`"you"`}, "Last-Modified": {"Mon, 02 Jan 2006 15:04:05 GMT"}, "Cache-Control": {"max-age=86400"},
		}), unmarked),
		one("the-program-s-name", who, "the gateway", nil, func(ctx context.Context, w *World) error {
			if err := w.victim.ask(ctx); err != nil {
				return err
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, h := range w.came {
				if ua := h.Get("User-Agent"); ua != "" && !strings.HasPrefix(ua, "Go-http-client/") {
					return fmt.Errorf("the program says %q", ua)
				}
			}
			return nil
		}),
		elsewhere,
		one("what-a-machine-is-told", tell, "whoever is between gateway and machine", nil, func(ctx context.Context, w *World) error {
			if err := marked(ctx, w, http.Header{"Cookie": {"who=you"}, "X-Forwarded-For": {"192.0.2.7"}, "Authorization": {"Sotto you"}}); err != nil {
				return err
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			return tells(w.told, "Content-Type", "Content-Length")
		}),
		one("lines-in-the-logs", logs, "whoever reads the logs, at the level debug", nil, func(ctx context.Context, w *World) error {
			w.mu.Lock()
			before := w.lines
			w.mu.Unlock()
			if err := twice(ctx, w); err != nil {
				return err
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.lines != before {
				return fmt.Errorf("%d lines were logged", w.lines-before)
			}
			return nil
		}),
		one("metrics", logs, "whoever reads the metrics", nil, func(ctx context.Context, w *World) error {
			if err := twice(ctx, w); err != nil {
				return err
			}
			var b bytes.Buffer
			w.gateway.WriteMetrics(&b)
			for _, n := range w.nodes {
				n.WriteMetrics(&b)
			}
			for line := range strings.Lines(b.String()) {
				if !strings.HasPrefix(line, "# ") && !sums.MatchString(line) {
					return fmt.Errorf("a metric tells more than a sum: %s", line)
				}
			}
			return nil
		}),
		one("length-of-a-question", sizes, "the gateway", nil, func(ctx context.Context, w *World) error {
			short, _, err := w.length(ctx, "say a")
			if err != nil {
				return err
			}
			long, _, err := w.length(ctx, "say a"+strings.Repeat(" ", 500))
			if err == nil && short != long {
				err = fmt.Errorf("%d and %d bytes", short, long)
			}
			return err
		}),
		one("length-of-an-answer", sizes, "the gateway", nil, func(ctx context.Context, w *World) error {
			_, short, err := w.length(ctx, "plain a")
			if err != nil {
				return err
			}
			_, long, err := w.length(ctx, "plain "+strings.Repeat("a", 300))
			if err == nil && (short-seal.AnswerHeaderSize)/1024 != (long-seal.AnswerHeaderSize)/1024 {
				err = fmt.Errorf("%d and %d bytes", short, long)
			}
			return err
		}),
		one("words-in-the-database", rows, "whoever has the database or a backup", nil, people(func(ctx context.Context, w *World, first *device) error {
			return w.gather() // what is found in it is looked at in the end
		})),
		one("time-of-a-shared-cache", salt, "another person at the same model server", nil, func(ctx context.Context, w *World) error {
			if err := twice(ctx, w); err != nil {
				return err
			}
			salts := map[string]bool{}
			bodies := w.Upstream.Bodies()
			for _, b := range bodies {
				var body struct {
					Salt string `json:"cache_salt"`
				}
				if err := json.Unmarshal(b, &body); err != nil {
					return err
				}
				salts[body.Salt] = true
			}
			if len(salts) != len(bodies) || salts[""] {
				return fmt.Errorf("%d salts for %d chats", len(salts), len(bodies))
			}
			return nil
		}),
	}
}

// marked is a person who asks, and an operator that sends the question on to the
// gateway with header fields that tell who asks, as a front that keeps nothing to itself
// would.
func marked(ctx context.Context, w *World, h http.Header) error {
	w.do(func(o *Operator) {
		o.told = nil
		o.instead = func(rw http.ResponseWriter, r *http.Request) {
			req, err := http.NewRequestWithContext(ctx, "POST", w.inside+"/sotto/v1/seal", r.Body)
			if err != nil {
				return
			}
			req.Header = h.Clone()
			req.Header.Set("Content-Type", r.Header.Get("Content-Type"))
			req.ContentLength = r.ContentLength
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				return
			}
			defer resp.Body.Close()
			copyHead(rw, resp)
			buf := make([]byte, 4096)
			for {
				n, err := resp.Body.Read(buf)
				rw.Write(buf[:n])
				if err != nil {
					return
				}
			}
		}
	})
	return w.victim.ask(ctx)
}
