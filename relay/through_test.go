// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/software"
	"github.com/sotto-chat/sotto/attest/software/forge"
	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/client/nethttp"
	"github.com/sotto-chat/sotto/engine"
	"github.com/sotto-chat/sotto/gateway"
	"github.com/sotto-chat/sotto/node"
	"github.com/sotto-chat/sotto/ohttp"
	"github.com/sotto-chat/sotto/relay"
	"github.com/sotto-chat/sotto/seal/bhttp"
)

var streams = flag.Int("streams", 100, "streams of TestManyStreams")

// speaker is an engine that says words; after the first it waits for leave to go on
// where that is asked for.
type speaker struct {
	leave   chan struct{} // nil: none is needed
	stopped chan struct{}
}

func (*speaker) Name() string                                   { return "speaker" }
func (*speaker) Close() error                                   { return nil }
func (*speaker) Models(context.Context) ([]engine.Model, error) { return nil, nil }
func (e *speaker) Do(ctx context.Context, req *engine.Request) (*engine.Response, error) {
	r, w := io.Pipe()
	go func() {
		for i := range 5 {
			fmt.Fprintf(w, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"w%d \"}}]}\n\n", i)
			if e.leave == nil {
				continue
			}
			select {
			case <-e.leave:
			case <-ctx.Done():
				close(e.stopped)
				w.CloseWithError(ctx.Err())
				return
			}
		}
		io.WriteString(w, "data: [DONE]\n\n")
		w.Close()
	}()
	return &engine.Response{Status: 200, ContentType: "text/event-stream", Body: r}, nil
}

// way is a node, a gateway and a relay, over loopback. It returns the address of the
// relay and that of the gateway.
func way(t testing.TB, e engine.Engine) (throughRelay, direct string) {
	t.Helper()
	n, err := node.New(node.Config{Engine: e, Evidence: forge.Evidence, Tick: 2 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	inside := httptest.NewServer(n.Handler())
	t.Cleanup(inside.Close)
	g, err := gateway.New(gateway.Config{Nodes: []string{inside.URL}, OHTTP: []ohttp.Seed{ohttp.NewSeed()}})
	if err != nil {
		t.Fatal(err)
	}
	gs := httptest.NewServer(g.Handler())
	t.Cleanup(gs.Close)
	r, err := relay.New(relay.Config{Gateway: gs.URL, Limits: relay.Limits{AtOnce: 1e9, PerSecond: 1e9}})
	if err != nil {
		t.Fatal(err)
	}
	rs := httptest.NewServer(r.Handler())
	t.Cleanup(rs.Close)
	return rs.URL, gs.URL
}

func newClient(t testing.TB, tr client.Transport) *client.Client {
	t.Helper()
	c := client.New(client.Config{Transport: tr, Platforms: []attest.Platform{software.Platform{}}, Policy: attest.Policy{AllowSoftware: true}})
	t.Cleanup(func() { c.CloseNow() })
	return c
}

func ask(ctx context.Context, c *client.Client) (*client.Answer, error) {
	return c.Do(ctx, &bhttp.Request{Method: "POST", Path: "/v1/chat/completions", Body: []byte(`{"stream":true}`)}, client.Options{})
}

// TestManyStreams: no stream through relay and gateway loses anything. With -streams
// 10000 it is what the documents say.
func TestManyStreams(t *testing.T) {
	n := *streams
	if testing.Short() {
		n = min(n, 50)
	}
	at, _ := way(t, &speaker{})
	c := newClient(t, client.NewOblivious(nethttp.New(at), nil))
	var wg sync.WaitGroup
	var next atomic.Int64
	for range 16 {
		wg.Go(func() {
			for next.Add(1) <= int64(n) {
				a, err := ask(t.Context(), c)
				if err != nil {
					t.Error(err)
					return
				}
				b, err := io.ReadAll(a.Body)
				a.Body.Close()
				if err != nil || !strings.Contains(string(b), "w4 ") || !strings.HasSuffix(string(b), "data: [DONE]\n\n") {
					t.Errorf("%q, %v", b, err)
				}
			}
		})
	}
	wg.Wait()
}

// TestFirstWords: words come before the engine has said the next ones, and when the
// person leaves, the engine is told.
func TestFirstWords(t *testing.T) {
	e := &speaker{leave: make(chan struct{}), stopped: make(chan struct{})}
	at, _ := way(t, e)
	c := newClient(t, client.NewOblivious(nethttp.New(at), nil))
	ctx, cancel := context.WithCancel(t.Context())
	a, err := ask(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	var got []byte
	buf := make([]byte, 4096)
	for i := range 3 {
		for !bytes.Contains(got, fmt.Appendf(nil, "w%d ", i)) {
			n, err := a.Body.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, buf[:n]...)
		}
		if i < 2 {
			e.leave <- struct{}{}
		}
	}
	cancel()
	<-e.stopped
	a.Body.Close()
}

// BenchmarkFirstByte is the time to the first byte of an answer's content, straight to
// the gateway and through the relay, turn by turn.
func BenchmarkFirstByte(b *testing.B) {
	at, direct := way(b, &speaker{})
	for name, tr := range map[string]client.Transport{"gateway": nethttp.New(direct), "relay": client.NewOblivious(nethttp.New(at), nil)} {
		b.Run(name, func(b *testing.B) {
			c := newClient(b, tr)
			buf := make([]byte, 1)
			var total time.Duration
			for b.Loop() {
				time.Sleep(3 * time.Millisecond) // a person's pause, in which the next request is prepared
				begun := time.Now()
				a, err := ask(b.Context(), c)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := a.Body.Read(buf); err != nil {
					b.Fatal(err)
				}
				total += time.Since(begun)
				io.Copy(io.Discard, a.Body)
				a.Body.Close()
			}
			b.ReportMetric(float64(total.Microseconds())/float64(b.N), "µs-to-first-byte")
			b.ReportMetric(0, "ns/op")
		})
	}
}
