// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/bundle"
	"github.com/sotto-chat/sotto/attest/software"
	"github.com/sotto-chat/sotto/attest/software/forge"
	"github.com/sotto-chat/sotto/engine"
	"github.com/sotto-chat/sotto/engine/builtin"
	"github.com/sotto-chat/sotto/engine/builtin/model"
	"github.com/sotto-chat/sotto/node"
	"github.com/sotto-chat/sotto/seal"
	"github.com/sotto-chat/sotto/seal/bhttp"
	"github.com/sotto-chat/sotto/seal/envelope"
)

var full = flag.Bool("full", false, "measure all of it, or record")

// ours is the shape of this version's nodes.
var ours = shape{node.DefaultTick, 1024, "ours", seal.TailRecords}

// player is an engine that writes the steps of the sample whose number it is asked.
type player struct{ samples []sample }

func (p *player) Name() string                                   { return "player" }
func (p *player) Close() error                                   { return nil }
func (p *player) Models(context.Context) ([]engine.Model, error) { return nil, nil }
func (p *player) Do(_ context.Context, req *engine.Request) (*engine.Response, error) {
	var body struct{ User string }
	if err := json.Unmarshal(req.Body, &body); err != nil {
		return nil, err
	}
	i, err := strconv.Atoi(body.User)
	if err != nil {
		return nil, err
	}
	return &engine.Response{Status: 200, ContentType: "text/event-stream", Body: &playing{steps: p.samples[i].steps}}, nil
}

type playing struct {
	steps []step
	rest  string
	ended bool
}

func (p *playing) Read(b []byte) (int, error) {
	switch {
	case p.rest != "":
	case len(p.steps) > 0:
		time.Sleep(p.steps[0].wait)
		p.rest, p.steps = event(p.steps[0].text), p.steps[1:]
	case !p.ended:
		p.rest, p.ended = lastEvents, true
	default:
		return 0, io.EOF
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}
func (p *playing) Close() error { return nil }

// observer is a connection as somebody on the wire sees it.
type observer struct {
	header http.Header
	start  time.Time
	buf    []byte
	sent   int // of buf
	wire   []piece
}

func (o *observer) Header() http.Header         { return o.header }
func (o *observer) WriteHeader(int)             {}
func (o *observer) Write(b []byte) (int, error) { o.buf = append(o.buf, b...); return len(b), nil }
func (o *observer) FlushError() error {
	if n := len(o.buf) - o.sent; n > 0 {
		o.wire = append(o.wire, piece{time.Since(o.start), n})
		o.sent = len(o.buf)
	}
	return nil
}

// through sends samples through a real node and returns what is seen of each, and
// how late the latest word of each came.
func through(t *testing.T, samples []sample) (wires [][]piece, late []time.Duration) {
	wires, late = make([][]piece, len(samples)), make([]time.Duration, len(samples))
	for from := 0; from < len(samples); from += 100 {
		synctest.Test(t, func(t *testing.T) {
			n, err := node.New(node.Config{Engine: &player{samples}, Evidence: forge.Evidence})
			if err != nil {
				t.Fatal(err)
			}
			var doc struct{ Bundles []bundle.Base64URL }
			w := httptest.NewRecorder()
			n.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/sotto/v1/evidence", nil))
			if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
				t.Fatal(err)
			}
			key, v := attest.Verify(doc.Bundles[0], attest.Policy{AllowSoftware: true}, time.Now(), software.Platform{})
			if key == nil {
				t.Fatalf("%+v", v)
			}
			to := []seal.Recipient{{ID: key.ID(), PublicKey: key.PublicKey()}}
			var all sync.WaitGroup
			for i := from; i < min(from+100, len(samples)); i++ {
				all.Go(func() { wires[i], late[i] = ask(t, n.Handler(), to, i, samples[i].steps) })
			}
			all.Wait()
		})
	}
	return wires, late
}

func ask(t *testing.T, h http.Handler, to []seal.Recipient, i int, steps []step) ([]piece, time.Duration) {
	req := bhttp.Request{Method: "POST", Scheme: "https", Authority: "sotto", Path: "/v1/chat/completions",
		Header: []bhttp.Field{{Name: "content-type", Value: "application/json"}},
		Body:   fmt.Appendf(nil, `{"model":"demo","stream":true,"user":"%d","messages":[]}`, i)}
	text, err := req.Append(nil)
	if err != nil {
		t.Error(err)
		return nil, 0
	}
	msg, ex, err := seal.SealRequest(to, text)
	if err != nil {
		t.Error(err)
		return nil, 0
	}
	r := httptest.NewRequest("POST", "/sotto/v1/seal", bytes.NewReader(msg))
	r.Header.Set("Content-Type", envelope.RequestType)
	o := &observer{header: http.Header{}, start: time.Now()}
	h.ServeHTTP(o, r)
	o.FlushError()
	late, err := lateness(ex, o, steps)
	if err != nil {
		t.Errorf("sample %d: %v", i, err)
	}
	return o.wire, late
}

// lateness opens what came, piece by piece, and compares when each text was there
// with when the engine wrote it.
func lateness(ex *seal.Exchange, o *observer, steps []step) (worst time.Duration, err error) {
	reading := 0 // the piece being read
	at := 0
	var left int
	source := readerFunc(func(b []byte) (int, error) {
		if left == 0 {
			if at == len(o.buf) {
				return 0, io.EOF
			}
			left = o.wire[reading].size
			reading++
		}
		n := copy(b[:min(len(b), left)], o.buf[at:])
		at, left = at+n, left-n
		return n, nil
	})
	a, err := ex.OpenAnswer(source)
	if err != nil {
		return 0, err
	}
	res, err := bhttp.ReadResponse(a)
	if err != nil {
		return 0, err
	}
	var body strings.Builder
	var written time.Duration
	done, next := 0, 0 // characters that are there; the step to compare
	var buf [2048]byte
	var pending string
	due := 0
	for {
		n, err := res.Body.Read(buf[:])
		pending += string(buf[:n])
		for {
			ev, rest, ok := strings.Cut(pending, "\n\n")
			if !ok {
				break
			}
			pending = rest
			var doc struct {
				Choices []struct{ Delta struct{ Content string } }
			}
			if json.Unmarshal([]byte(strings.TrimPrefix(ev, "data: ")), &doc) == nil && len(doc.Choices) > 0 {
				body.WriteString(doc.Choices[0].Delta.Content)
				done += len(doc.Choices[0].Delta.Content)
			}
		}
		for next < len(steps) && due+len(valid(steps[next].text)) <= done {
			due += len(valid(steps[next].text))
			written += steps[next].wait
			worst = max(worst, o.wire[reading-1].at-written)
			next++
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return 0, err
		}
	}
	if next != len(steps) {
		return 0, fmt.Errorf("%d of %d texts came", next, len(steps))
	}
	return worst, a.Drain()
}

// valid is text as JSON carries it.
func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// aims are what an observer wants to know.
var aims = []struct {
	name    string
	classes int
	of      func(*sample) int
}{
	{"topic", len(topics), func(s *sample) int { return s.topic }},
	{"language", len(languages), func(s *sample) int { return s.language }},
	{"length", 3, func(s *sample) int { return s.length }},
}

func score(samples []sample, wires [][]piece, aim, trees int) (auprc float64) {
	xs, ys := make([][]float64, len(wires)), make([]int, len(wires))
	for i, w := range wires {
		xs[i], ys[i] = features(w), aims[aim].of(&samples[i])
	}
	auprc, _ = attack(rand.New(rand.NewPCG(7, 7)), xs, ys, aims[aim].classes, trees)
	return auprc
}

func all(samples []sample, see func(*sample) []piece) (wires [][]piece) {
	for i := range samples {
		wires = append(wires, see(&samples[i]))
	}
	return wires
}

func TestEvaluate(t *testing.T) {
	if !*full {
		t.Log("a small part of it is TestTopicHides; all of it: go run ./test/traffic")
		return
	}
	const n, trees = 960, 60
	shapes := []shape{ours}
	for _, tick := range []time.Duration{40, 80, 100} {
		for _, record := range []int{1024} {
			for _, s := range []struct {
				name   string
				series func(int) int
			}{
				{"16, 24, 32, 48 …", fine},
				{"64 × 2", powers(64, 2)}, {"128 × 4", powers(128, 4)}, {"256 × 4", powers(256, 4)},
				{"128 × 8", powers(128, 8)}, {"64 × 4", powers(64, 4)}, {"64 × 8", powers(64, 8)},
			} {
				shapes = append(shapes, shape{tick * time.Millisecond, record, s.name, s.series})
			}
		}
	}
	engines := paces()
	for _, name := range slices.Sorted(maps.Keys(engines)) {
		for _, langs := range []int{1, 4} {
			samples := corpus(1, n, langs, engines[name])
			r := rand.New(rand.NewPCG(3, 3))
			padding := all(samples, func(s *sample) []piece { return padded(r, s) })
			base := 0
			for _, w := range padding {
				base += bytesOf(w)
			}
			wires, late := through(t, samples)
			fmt.Printf("\n### %s, languages: %d\n\n| on the wire | topic | language | length | bytes | latest word |\n|---|---|---|---|---|---|\n", name, langs)
			row := func(what string, w [][]piece, late string) {
				sum := 0
				for _, x := range w {
					sum += bytesOf(x)
				}
				fmt.Printf("| %s |", what)
				for aim := range aims {
					fmt.Printf(" %.3f |", score(samples, w, aim, trees))
				}
				fmt.Printf(" %.2f | %s |\n", float64(sum)/float64(base), late)
			}
			fmt.Printf("| a guess | %.3f | %.3f | ~0.33 | | |\n", 1/float64(len(topics)), 1/float64(len(languages)))
			row("plain", all(samples, plain), "0")
			row("random padding", padding, "0")
			row("ours, the real node", wires, slices.Max(late).String())
			same := all(samples, func(s *sample) []piece {
				w := ours.wire(s)
				for i := range w {
					w[i].at -= s.steps[0].wait - 200*time.Millisecond
				}
				return w
			})
			row("ours, first record's time hidden", same, "")
			seen := map[string]bool{}
			for _, sh := range shapes[1:] {
				if key := fmt.Sprint(sh.tick, sh.name); sh.record == 1024 && !seen[key] {
					seen[key] = true
					row(fmt.Sprintf("%v, %d, %s", sh.tick, sh.record, sh.name), all(samples, sh.wire), sh.tick.String())
				}
			}
		}
	}
}

// fine is the series of the first version.
func fine(n int) int {
	for t := 16; ; t *= 2 {
		if n <= t {
			return t
		}
		if n <= t/2*3 {
			return t / 2 * 3
		}
	}
}

// TestRecord times the engines of this machine: the builtin runner, and the
// llama-server whose address is in SOTTO_LLAMA.
func TestRecord(t *testing.T) {
	if !*full {
		t.Log("go run ./test/traffic -record")
		return
	}
	r, err := builtin.New(model.GGUF, "demo")
	if err != nil {
		t.Fatal(err)
	}
	recs := []recording{record(t, "builtin runner, demo model", r)}
	if at := os.Getenv("SOTTO_LLAMA"); at != "" {
		e, err := engine.Open(engine.Options{Spec: at})
		if err != nil {
			t.Fatal(err)
		}
		recs = append(recs, record(t, "llama-server, demo model", e))
	}
	b, err := json.Marshal(recs)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("timings.json", append(b, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

func record(t *testing.T, name string, e engine.Engine) recording {
	rec := recording{Engine: name}
	for _, q := range []string{"Who can read this?", "What is a cat?", "Tell me about the sea.", "How do I make bread?", "Hello", "What are you?", "Why is the sky blue?", "Write a poem about rain."} {
		for k := range 12 {
			start := time.Now()
			res, err := e.Do(context.Background(), &engine.Request{Method: "POST", Path: "/v1/chat/completions", ContentType: "application/json",
				Body: fmt.Appendf(nil, `{"model":"demo","stream":true,"seed":%d,"messages":[{"role":"user","content":%q}]}`, k, q)})
			if err != nil {
				t.Fatal(err)
			}
			last := start
			buf := make([]byte, 4096)
			for n := 0; ; n++ {
				k, err := res.Body.Read(buf)
				if now := time.Now(); k > 0 {
					if n == 0 {
						rec.First = append(rec.First, now.Sub(start).Microseconds())
					} else if len(rec.Gaps) < 3000 {
						rec.Gaps = append(rec.Gaps, now.Sub(last).Microseconds())
					}
					last = now
				}
				if err != nil {
					break
				}
			}
			res.Body.Close()
		}
	}
	return rec
}

// The shape that is computed with above is that of a real node, to the record and
// the millisecond, and no word of it is later than a tick.
func TestModelIsTheNode(t *testing.T) {
	samples := corpus(2, 48, 4, big)
	wires, late := through(t, samples)
	for i, w := range wires {
		want := ours.wire(&samples[i])
		if len(w) != len(want) {
			t.Fatalf("sample %d: %d records, want %d", i, len(w), len(want))
		}
		for k := range w {
			size := want[k].size - tlsFrame
			if k == 0 {
				size += seal.AnswerHeaderSize
			}
			if w[k].size != size || w[k].at != want[k].at {
				t.Fatalf("sample %d, record %d: %v, want %v", i, k, w[k], want[k])
			}
		}
		if late[i] > min(ours.tick, 100*time.Millisecond) {
			t.Errorf("sample %d: a word came %v late", i, late[i])
		}
	}
}

// What our answers tell of their topic is little more than a guess, at a bearable
// price, where the same classifier learns a lot of the same answers in the clear.
func TestTopicHides(t *testing.T) {
	samples := corpus(4, 480, 1, big)
	r := rand.New(rand.NewPCG(3, 3))
	chance := 1 / float64(len(topics))
	if got := score(samples, all(samples, plain), 0, 30); got < chance+0.1 {
		t.Errorf("plain: %.3f: this classifier is too weak to say anything", got)
	}
	hidden := all(samples, ours.wire)
	if got := score(samples, hidden, 0, 30); got > chance+0.05 {
		t.Errorf("ours: %.3f, at most %.3f is wanted", got, chance+0.05)
	}
	cost, base := 0, 0
	for i, w := range all(samples, func(s *sample) []piece { return padded(r, s) }) {
		base += bytesOf(w)
		cost += bytesOf(hidden[i])
	}
	if cost > 3*base {
		t.Errorf("%d bytes, %d if padded at random", cost, base)
	}
}
