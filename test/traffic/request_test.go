// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/sotto-chat/sotto/seal"
	"github.com/sotto-chat/sotto/seal/bhttp"
)

// entropy returns the bits that one of the sizes tells to whoever knows how often
// each occurs.
func entropy(sizes []int) (bits float64) {
	seen := map[int]float64{}
	for _, s := range sizes {
		seen[s]++
	}
	for _, n := range seen {
		p := n / float64(len(sizes))
		bits -= p * math.Log2(p)
	}
	return bits
}

// linked returns how often the second of two requests that follow each other in a
// chat is found among the second requests of all chats, by whoever knows how much a
// chat grows on average. Chance is one in their number.
func linked(first, second []int) float64 {
	growth := 0.0
	for i := range first {
		growth += float64(second[i]-first[i]) / float64(len(first))
	}
	found := 0.0
	for i := range first {
		best, equal, mine := math.Inf(1), 0, false
		for j := range second {
			switch d := math.Abs(float64(second[j]-first[i]) - growth); {
			case d < best:
				best, equal, mine = d, 1, j == i
			case d == best:
				equal++
				mine = mine || j == i
			}
		}
		if mine {
			found += 1 / float64(equal)
		}
	}
	return found / float64(len(first))
}

// TestRequestSizes measures what the sizes of sealed requests tell: of a first
// question, and of a chat that grows by its answers, all of which go along each time.
func TestRequestSizes(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	key, err := seal.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	to := []seal.Recipient{{ID: seal.KeyID{1}, PublicKey: key.PublicKey()}}
	type message struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	}
	size := func(messages []message) (open, sealed int) {
		body, err := json.Marshal(map[string]any{"model": "test", "stream": true, "messages": messages})
		if err != nil {
			t.Fatal(err)
		}
		plaintext, err := (&bhttp.Request{Method: "POST", Scheme: "https", Path: "/v1/chat/completions",
			Header: []bhttp.Field{{Name: "content-type", Value: "application/json"}}, Body: body}).Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		msg, _, err := seal.SealRequest(to, plaintext)
		if err != nil {
			t.Fatal(err)
		}
		return len(body), len(msg)
	}
	chats := 300
	if *full {
		chats = 3000
	}
	const turns = 4
	var open, sealed [turns][]int
	for range chats {
		var messages []message
		of := &topics[r.IntN(len(topics))]
		for turn := range turns {
			text, words := answer(r, of, r.IntN(2))
			question := make([]byte, 6*max(words, 1))
			for i := range question {
				question[i] = 'x'
			}
			messages = append(messages, message{"user", string(question)})
			o, s := size(messages)
			open[turn], sealed[turn] = append(open[turn], o), append(sealed[turn], s)
			messages = append(messages, message{"assistant", text})
		}
	}
	for turn := range turns {
		t.Logf("request %d of a chat: %.1f bits as it is, %.1f sealed", turn+1, entropy(open[turn]), entropy(sealed[turn]))
		if a, b := entropy(open[turn]), entropy(sealed[turn]); b > a-1.5 {
			t.Errorf("request %d: sealing hides %.1f bits of %.1f", turn+1, a-b, a)
		}
		if turn > 0 {
			t.Logf("request %d found by that before it among %d: %.3f as it is, %.3f sealed (chance %.4f)", turn+1, chats,
				linked(open[turn-1], open[turn]), linked(sealed[turn-1], sealed[turn]), 1/float64(chats))
		}
	}
}
