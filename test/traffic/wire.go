// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"math/rand/v2"
	"time"
)

// tlsFrame is what TLS 1.3 adds to each piece that is written by itself.
const tlsFrame = 22

// sample is one answer of the corpus.
type sample struct {
	topic, language, length int // length: 0 short, 1 middle, 2 long
	steps                   []step
	records                 int // that the real node took for the content
}

// corpus makes n answers, evenly over topics and the first languages.
func corpus(seed uint64, n, languagesUsed int, p pace) []sample {
	out := make([]sample, n)
	r := rand.New(rand.NewPCG(seed, 5))
	for i := range out {
		s := &out[i]
		s.topic, s.language = i%len(topics), i/len(topics)%languagesUsed
		text, question := answer(r, &topics[s.topic], s.language)
		pieces := tokens(text)
		s.steps = p(r, pieces, question)
		switch { // terciles, near enough
		case len(pieces) < 250:
		case len(pieces) < 450:
			s.length = 1
		default:
			s.length = 2
		}
	}
	return out
}

// event is what a model server writes of a step.
func event(text string) string {
	b, _ := json.Marshal(text) // strings always marshal
	return `data: {"id":"chatcmpl-7f3aK2q9Zx","object":"chat.completion.chunk","created":1790000000,"model":"demo","choices":[{"index":0,"delta":{"content":` +
		string(b) + `},"finish_reason":null}]}` + "\n\n"
}

const lastEvents = `data: {"id":"chatcmpl-7f3aK2q9Zx","object":"chat.completion.chunk","created":1790000000,"model":"demo","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\ndata: [DONE]\n\n"

// plain is the wire of an event stream in TLS: each event in a record of its own.
func plain(s *sample) (out []piece) {
	at := time.Duration(0)
	for _, st := range s.steps {
		at += st.wait
		out = append(out, piece{at, len(event(st.text)) + tlsFrame})
	}
	return append(out, piece{at, len(lastEvents) + tlsFrame})
}

// padded is plain with up to 255 random bytes more in each event, as some services
// do since these attacks are known.
func padded(r *rand.Rand, s *sample) []piece {
	out := plain(s)
	for i := range out {
		out[i].size += r.IntN(256)
	}
	return out
}

// shape is how answers look outside: the time between two records, their size,
// and the series that their number is padded to.
type shape struct {
	tick   time.Duration
	record int
	name   string
	series func(n int) int
}

// records returns how many records of content an answer takes.
func (sh shape) records(s *sample) int {
	var d time.Duration
	for _, st := range s.steps[1:] {
		d += st.wait
	}
	return int((d+sh.tick-1)/sh.tick) + 1
}

// wire is what a node of this shape sends, where no answer comes faster than the
// ticks can carry: TestModelIsTheNode.
func (sh shape) wire(s *sample) (out []piece) {
	for i := range sh.series(sh.records(s)) {
		out = append(out, piece{s.steps[0].wait + time.Duration(i)*sh.tick, sh.record + tlsFrame})
	}
	return out
}

// powers returns a series that starts at first and goes on by factors.
func powers(first, factor int) func(int) int {
	return func(n int) int {
		t := first
		for t < n {
			t *= factor
		}
		return t
	}
}

func bytesOf(wire []piece) (n int) {
	for _, p := range wire {
		n += p.size
	}
	return n
}
