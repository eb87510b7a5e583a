// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/software"
	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/seal/bhttp"
)

// transport is a client.Transport that keeps as many connections as there are
// streams, and notes what comes in on them.
type transport struct {
	base string
	http http.Transport

	bytes  atomic.Int64
	gaps   [len(gapLimits) + 1]atomic.Int64 // time between two reads of a stream
	notice atomic.Bool                      // whether gaps are noted
}

// gapLimits are the upper bounds, in milliseconds, of the classes of gaps.
var gapLimits = [...]int{20, 30, 38, 42, 50, 60, 80, 100, 120, 160, 200, 300, 500, 1000, 2000, 5000}

func newTransport(base string) *transport {
	return &transport{base: base, http: http.Transport{
		MaxIdleConnsPerHost: 10_000, DisableCompression: true, ReadBufferSize: 2 << 10,
	}}
}

func (t *transport) RoundTrip(ctx context.Context, r *client.Request) (*client.Response, error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, t.base+r.Path, bytes.NewReader(r.Body))
	if err != nil {
		return nil, err
	}
	if r.ContentType != "" {
		req.Header.Set("Content-Type", r.ContentType)
	}
	res, err := t.http.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	return &client.Response{
		Status: res.StatusCode, ContentType: res.Header.Get("Content-Type"),
		Body: &timed{ReadCloser: res.Body, t: t},
	}, nil
}

type timed struct {
	io.ReadCloser
	t    *transport
	last time.Time
}

func (b *timed) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.t.bytes.Add(int64(n))
	if !b.t.notice.Load() {
		return n, err
	}
	now := time.Now()
	if !b.last.IsZero() {
		gap, i := now.Sub(b.last), 0
		for i < len(gapLimits) && gap > time.Duration(gapLimits[i])*time.Millisecond {
			i++
		}
		b.t.gaps[i].Add(1)
	}
	b.last = now
	return n, err
}

// gapBelow returns the least class bound that the given share of all noted gaps
// is below, in milliseconds.
func (t *transport) gapBelow(share float64) string {
	var all, sum int64
	for i := range t.gaps {
		all += t.gaps[i].Load()
	}
	for i, limit := range gapLimits {
		if sum += t.gaps[i].Load(); float64(sum) >= share*float64(all) {
			return fmt.Sprintf("≤ %d ms", limit)
		}
	}
	return fmt.Sprintf("> %d ms", gapLimits[len(gapLimits)-1])
}

// newClient returns a client of the service behind t whose keys are verified.
// A gateway needs a moment to hear of its nodes.
func newClient(ctx context.Context, t client.Transport) (*client.Client, error) {
	c := client.New(client.Config{
		Transport: t,
		Policy:    attest.Policy{AllowSoftware: true},
		Platforms: []attest.Platform{software.Platform{}},
	})
	for {
		_, err := c.Verify(ctx)
		if err == nil {
			return c, nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			c.CloseNow()
			return nil, errors.Join(err, ctx.Err())
		}
	}
}

func ask(ctx context.Context, c *client.Client, model string, o client.Options) (*client.Answer, error) {
	a, err := c.Do(ctx, &bhttp.Request{
		Method: "POST", Path: "/v1/chat/completions",
		Header: []bhttp.Field{{Name: "content-type", Value: "application/json"}},
		Body:   []byte(`{"model":"` + model + `","stream":true,"messages":[{"role":"user","content":"Speak, please."}]}`),
	}, o)
	if err != nil {
		return nil, err
	}
	if a.Status != 200 {
		a.Body.Close()
		return nil, fmt.Errorf("status %d", a.Status)
	}
	return a, nil
}

// listen asks for a stream and hears it to its end. It returns the time to its
// first byte, and an error unless every word came, once and in its place.
func listen(ctx context.Context, c *client.Client, words int, o client.Options, begun func()) (first time.Duration, err error) {
	start := time.Now()
	a, err := ask(ctx, c, modelStream, o)
	if err != nil {
		return 0, err
	}
	defer a.Body.Close()
	var h hearing
	buf := make([]byte, 4<<10)
	for {
		n, err := a.Body.Read(buf)
		if n > 0 && first == 0 {
			first = time.Since(start)
			begun()
		}
		if herr := h.hear(buf[:n]); herr != nil {
			return first, herr
		}
		if err == io.EOF {
			return first, h.end(words)
		}
		if err != nil {
			return first, fmt.Errorf("after %d words: %w", h.words, err)
		}
	}
}

// hearing checks a stream of numbered words as it comes.
type hearing struct {
	words int // heard so far
	done  bool
	rest  []byte
}

var (
	head = []byte(eventHead)
	tail = []byte(eventTail)
	last = []byte(lastEvent)
)

func (h *hearing) hear(p []byte) error {
	h.rest = append(h.rest, p...)
	for {
		end := bytes.Index(h.rest, []byte("\n\n"))
		if end < 0 {
			return nil
		}
		event := h.rest[:end+2]
		h.rest = h.rest[end+2:]
		if bytes.Equal(event, last) {
			h.done = true
			continue
		}
		text, ok := bytes.CutPrefix(event, head)
		if ok {
			text, ok = bytes.CutSuffix(text, tail)
		}
		if !ok || h.done {
			return fmt.Errorf("after %d words: unexpected event %.200q", h.words, event)
		}
		for len(text) > 0 {
			want := word(h.words)
			if !bytes.HasPrefix(text, []byte(want)) {
				return fmt.Errorf("heard %.20q in place of %q", text, want)
			}
			text = text[len(want):]
			h.words++
		}
	}
}

func (h *hearing) end(words int) error {
	if h.words != words || !h.done || len(h.rest) > 0 {
		return fmt.Errorf("heard %d of %d words, end %v, and %d bytes too many", h.words, words, h.done, len(h.rest))
	}
	return nil
}

// faults counts errors and keeps the first few.
type faults struct {
	mu    sync.Mutex
	n     int
	first []error
}

func (f *faults) add(err error) {
	if err == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n++; len(f.first) < 3 {
		f.first = append(f.first, err)
	}
}

func (f *faults) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n
}

func (f *faults) err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n == 0 {
		return nil
	}
	return fmt.Errorf("%d errors, such as: %w", f.n, errors.Join(f.first...))
}
