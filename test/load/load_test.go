// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/client"
)

// service runs a node, a gateway and a client in this process.
func service(t testing.TB, words int, every time.Duration) *client.Client {
	t.Helper()
	ctx := t.Context()
	node, err := serveNode(ctx, newSpeech(ctx, words, every))
	if err != nil {
		t.Fatal(err)
	}
	gateway, err := serveGateway(ctx, node)
	if err != nil {
		t.Fatal(err)
	}
	c, err := newClient(ctx, newTransport(gateway))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.CloseNow() })
	return c
}

// Streams that live side by side all say every word, whatever the machine has
// to do besides: half of them kept by the node, half bound to their connection.
func TestLiveStreams(t *testing.T) {
	streams, words, every := 300, 30, 100*time.Millisecond
	if testing.Short() {
		streams = 50
	}
	c := service(t, words, every)
	var wg sync.WaitGroup
	var f faults
	for i := range streams {
		wg.Go(func() {
			_, err := listen(t.Context(), c, words, client.Options{Resume: i%2 == 0}, func() {})
			f.add(err)
		})
	}
	wg.Wait()
	if err := f.err(); err != nil {
		t.Error(err)
	}
}

// Short streamed answers, one after another on the same connections, never
// lose an end: the fault of proxies that answer before they have read all.
func TestManyStreams(t *testing.T) {
	const words = 20
	each := 40
	if testing.Short() {
		each = 5
	}
	c := service(t, words, 0)
	var wg sync.WaitGroup
	var f faults
	for range 16 {
		wg.Go(func() {
			for range each {
				_, err := listen(t.Context(), c, words, client.Options{}, func() {})
				f.add(err)
			}
		})
	}
	wg.Wait()
	if err := f.err(); err != nil {
		t.Error(err)
	}
}

// What the tests above rely on: a stream that lacks something is noticed.
func TestHearing(t *testing.T) {
	say := func(words ...int) string {
		var b strings.Builder
		for _, w := range words {
			b.WriteString(eventHead + word(w) + eventTail)
		}
		return b.String()
	}
	for name, s := range map[string]string{
		"a word missing":   say(0, 2) + lastEvent,
		"a word twice":     say(0, 1, 1) + lastEvent,
		"the last missing": say(0, 1) + lastEvent,
		"no end":           say(0, 1, 2),
		"more after it":    say(0, 1, 2) + lastEvent + say(3),
		"half an event":    say(0, 1, 2) + lastEvent + "data: {",
	} {
		var h hearing
		if err := h.hear([]byte(s)); err == nil && h.end(3) == nil {
			t.Errorf("%s: not noticed", name)
		}
	}
	var h hearing
	if err := h.hear([]byte(say(0) + eventHead + word(1) + word(2) + eventTail + lastEvent)); err != nil || h.end(3) != nil {
		t.Errorf("a whole stream: %v, %v", err, h.end(3))
	}
}

// BenchmarkSmall is one small answer that isn't streamed, from sealing the
// request to the answer's last byte, with the client, the gateway and the node
// in this process. hops=1 leaves out the gateway.
func BenchmarkSmall(b *testing.B) {
	for hops := 1; hops <= 2; hops++ {
		b.Run(fmt.Sprintf("hops=%d", hops), func(b *testing.B) {
			c := hopped(b, hops)
			measure(b, func() { drink(b, c, modelSmall, smallSize) })
		})
	}
}

// BenchmarkBulk is a large download, likewise.
func BenchmarkBulk(b *testing.B) {
	for hops := 1; hops <= 2; hops++ {
		b.Run(fmt.Sprintf("hops=%d", hops), func(b *testing.B) {
			c := hopped(b, hops)
			b.SetBytes(bulkSize)
			measure(b, func() { drink(b, c, modelBulk, bulkSize) })
		})
	}
}

// measure runs op and reports the processor time that it takes, too: on a
// machine that has other things to do, that is the figure to compare.
func measure(b *testing.B, op func()) {
	b.ReportAllocs()
	op() // opens the connections
	before := cpuTime()
	for b.Loop() {
		op()
	}
	b.ReportMetric(float64(cpuTime()-before)/float64(b.N)/1e6, "cpu-ms/op")
}

func hopped(b *testing.B, hops int) *client.Client {
	b.Helper()
	ctx := b.Context()
	if hops == 2 {
		return service(b, 0, 0)
	}
	node, err := serveNode(ctx, newSpeech(ctx, 0, 0))
	if err != nil {
		b.Fatal(err)
	}
	c, err := newClient(ctx, direct{newTransport(node)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.CloseNow() })
	return c
}

func drink(b *testing.B, c *client.Client, model string, size int64) {
	b.Helper()
	a, err := ask(context.Background(), c, model, client.Options{})
	if err != nil {
		b.Fatal(err)
	}
	n, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{a.Body}, make([]byte, 32<<10))
	if err != nil || n != size {
		b.Fatalf("%d bytes, %v", n, err)
	}
	a.Body.Close()
}
