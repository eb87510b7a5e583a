// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	_ "embed"
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/sotto-chat/sotto/engine/builtin/gguf"
	"github.com/sotto-chat/sotto/engine/builtin/model"
	"github.com/sotto-chat/sotto/engine/builtin/tokenizer"
)

// tokens cuts a text as the demo model does.
var vocabulary = sync.OnceValue(func() *tokenizer.Vocab {
	f, err := gguf.Parse(model.GGUF)
	if err != nil {
		panic(err)
	}
	v, err := tokenizer.New(f)
	if err != nil {
		panic(err)
	}
	return v
})

func tokens(text string) []string {
	v := vocabulary()
	var out []string
	for _, id := range v.Encode(text, false) {
		out = append(out, v.Piece(id))
	}
	return out
}

// timings.json holds what real engines took between tokens, in microseconds, as
// recorded on the way of one answer after another (go run ./test/traffic -record).
//
//go:embed timings.json
var timingsJSON []byte

type recording struct {
	Engine string  `json:"engine"`
	First  []int64 `json:"first"` // to the first token
	Gaps   []int64 `json:"gaps"`  // in the order in which they came
}

var recordings = sync.OnceValue(func() (out []recording) {
	if err := json.Unmarshal(timingsJSON, &out); err != nil {
		panic(err)
	}
	return out
})

// step is some text that an engine writes so long after what it wrote before.
type step struct {
	wait time.Duration
	text string
}

// An engine gives a text its times.
type pace func(r *rand.Rand, pieces []string, question int) []step

func paces() map[string]pace {
	out := map[string]pace{"big model on a server, speculating (modelled)": big}
	for _, rec := range recordings() {
		out[rec.Engine] = rec.pace
	}
	return out
}

// pace replays gaps from a random place on.
func (rec recording) pace(r *rand.Rand, pieces []string, question int) []step {
	at := r.IntN(len(rec.Gaps))
	steps := make([]step, len(pieces))
	for i, p := range pieces {
		steps[i] = step{time.Duration(rec.Gaps[(at+i)%len(rec.Gaps)]) * time.Microsecond, p}
	}
	steps[0].wait = time.Duration(rec.First[r.IntN(len(rec.First))])*time.Microsecond + time.Duration(question)*100*time.Microsecond
	return steps
}

// big is a model of 70 billion parameters on a server's GPUs, that guesses ahead:
// a step takes 25 to 35 ms and gives one to five tokens, more where the text is
// easy to guess. That is what makes times tell of words. Published figures: 30 to
// 40 tokens a second without, two to three times as many with speculation.
func big(r *rand.Rand, pieces []string, question int) []step {
	var steps []step
	seen := map[string]bool{}
	load := math.Exp(0.15 * r.NormFloat64()) // how busy the server is
	wait := 180*time.Millisecond + time.Duration(question)*200*time.Microsecond + time.Duration(60e6*r.ExpFloat64())
	for i := 0; i < len(pieces); {
		n := 1
		for n < 5 && i+n < len(pieces) {
			easy := 0.35
			if seen[pieces[i+n-1]+pieces[i+n]] {
				easy = 0.85
			}
			if r.Float64() > easy {
				break
			}
			n++
		}
		for j := i; j < min(i+n, len(pieces)); j++ {
			if j > 0 {
				seen[pieces[j-1]+pieces[j]] = true
			}
		}
		n = min(n, len(pieces)-i)
		steps = append(steps, step{wait, strings.Join(pieces[i:i+n], "")})
		i += n
		wait = time.Duration(load * 29e6 * math.Exp(0.08*r.NormFloat64()))
	}
	return steps
}
