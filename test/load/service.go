// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/sotto-chat/sotto/attest/software/forge"
	"github.com/sotto-chat/sotto/engine"
	"github.com/sotto-chat/sotto/gateway"
	"github.com/sotto-chat/sotto/node"
)

// speech is an engine that costs next to nothing. It speaks the same words on
// every stream, numbered, all streams on one clock, so that what is
// measured is the node and whoever hears it can tell that nothing is missing.
type speech struct {
	words int           // of a stream
	every time.Duration // between two words; 0 says all at once

	mu   sync.Mutex
	beat chan struct{} // closed at each word's time
}

const (
	modelStream = "stream" // numbered words
	modelSmall  = "small"  // one small document
	modelBulk   = "bulk"   // bulkSize zero bytes

	smallSize = 1 << 10
	bulkSize  = 64 << 20
)

func newSpeech(ctx context.Context, words int, every time.Duration) *speech {
	s := &speech{words: words, every: every, beat: make(chan struct{})}
	if every == 0 {
		return s
	}
	go func() {
		t := time.NewTicker(every)
		defer t.Stop()
		for {
			select {
			case <-t.C:
			case <-ctx.Done():
				return
			}
			s.mu.Lock()
			close(s.beat)
			s.beat = make(chan struct{})
			s.mu.Unlock()
		}
	}()
	return s
}

func (*speech) Name() string { return "speech" }
func (*speech) Close() error { return nil }
func (*speech) Models(context.Context) ([]engine.Model, error) {
	return []engine.Model{{ID: modelStream}, {ID: modelSmall}, {ID: modelBulk}}, nil
}

func (s *speech) Do(ctx context.Context, r *engine.Request) (*engine.Response, error) {
	asked := func(model string) bool { return bytes.Contains(r.Body, []byte(`"model":"`+model+`"`)) }
	res := &engine.Response{Status: 200, ContentType: "text/event-stream"}
	switch {
	case asked(modelSmall):
		res.ContentType, res.Body = "application/json", io.NopCloser(strings.NewReader(smallAnswer))
	case asked(modelBulk):
		res.ContentType, res.Body = "application/octet-stream", io.NopCloser(io.LimitReader(zeros{}, bulkSize))
	default:
		res.Body = &spoken{s: s, ctx: ctx}
	}
	return res, nil
}

var smallAnswer = strings.Repeat("a small answer. ", smallSize/16)

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// word is the text of word number i. All have one length.
func word(i int) string { return fmt.Sprintf("word%05d ", i%100_000) }

const (
	eventHead = `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"stream","choices":[{"index":0,"delta":{"content":"`
	eventTail = `"},"finish_reason":null}]}` + "\n\n"
	lastEvent = "data: [DONE]\n\n"
)

// spoken is one stream.
type spoken struct {
	s    *speech
	ctx  context.Context
	said int
	rest []byte
}

func (b *spoken) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		if b.said > b.s.words {
			return 0, io.EOF
		}
		if b.said > 0 && b.s.every > 0 { // the first comes at once
			b.s.mu.Lock()
			beat := b.s.beat
			b.s.mu.Unlock()
			select {
			case <-beat:
			case <-b.ctx.Done():
				return 0, b.ctx.Err()
			}
		}
		if b.said < b.s.words {
			b.rest = []byte(eventHead + word(b.said) + eventTail)
		} else {
			b.rest = []byte(lastEvent)
		}
		b.said++
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

func (*spoken) Close() error { return nil }

// serveNode runs a node on a loopback port until ctx ends.
func serveNode(ctx context.Context, e engine.Engine) (url string, err error) {
	n, err := node.New(node.Config{Engine: e, Evidence: forge.Evidence})
	if err != nil {
		return "", err
	}
	go n.Run(ctx)
	return serve(ctx, n.Handler())
}

// serveGateway runs a gateway to the given nodes until ctx ends.
func serveGateway(ctx context.Context, nodes ...string) (url string, err error) {
	g, err := gateway.New(gateway.Config{Nodes: nodes})
	if err != nil {
		return "", err
	}
	go g.Run(ctx)
	return serve(ctx, g.Handler())
}

func serve(ctx context.Context, h http.Handler) (url string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	s := &http.Server{Handler: h, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	go s.Serve(l)
	context.AfterFunc(ctx, func() { s.Close() })
	return "http://" + l.Addr().String(), nil
}
