// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sotto-chat/sotto/engine/builtin/gguf"
	"github.com/sotto-chat/sotto/engine/builtin/gguf/gguftest"
)

// FuzzNew: a file is refused, or it answers; whatever its numbers say.
func FuzzNew(f *testing.F) {
	for _, kind := range []gguf.Kind{gguf.F32, gguf.F16, gguf.Q8_0} {
		f.Add(gguftest.Tiny{Kind: kind, Dim: 32, Heads: 2, Layers: 1, Context: 32}.Bytes())
	}
	f.Add(gguftest.Tiny{BPE: true, Dim: 32, Heads: 2, KVHeads: 1, Layers: 1, Context: 32, Factors: true, Tied: true}.Bytes())
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := New(file, "fuzz")
		if err != nil {
			return
		}
		ask(r, chat, `{"messages":[{"role":"user","content":"hi"}],"max_tokens":3,"stop":"zz"}`)
		ask(r, "/v1/completions", `{"prompt":"hi","max_tokens":3,"temperature":0}`)
	})
}

// TestChangedFiles does some of that in every run: the fuzzer is slow with files
// of this size.
func TestChangedFiles(t *testing.T) {
	good := gguftest.Tiny{Dim: 32, Heads: 2, Layers: 1, Context: 32}.Bytes()
	rng := rand.New(rand.NewPCG(1, 2))
	accepted := 0
	for range 500 {
		file := slices.Clone(good)
		for range 1 + rng.IntN(3) {
			// The numbers that count stand at the beginning.
			file[rng.IntN([]int{1200, 14000, len(file)}[rng.IntN(3)])] = byte(rng.Uint32())
		}
		r, err := New(file, "changed")
		if err != nil {
			continue
		}
		accepted++
		ask(r, chat, `{"messages":[{"role":"user","content":"hi"}],"max_tokens":3}`)
	}
	if accepted < 50 || accepted > 450 {
		t.Errorf("%d of 500 files were accepted, so this tests little", accepted)
	}
}

// FuzzRequest: no request does more than be refused or answered.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{`{"messages":[{"role":"user","content":"x"}],"max_tokens":1}`, `{"prompt":"x","max_tokens":1,"stop":["a"],"stream":true}`,
		`{"messages":[{"role":"user","content":[{"type":"text","text":"a"}]}],"tools":[],"seed":-1,"top_p":0,"top_k":1,"max_tokens":1}`} {
		f.Add(s)
	}
	r := tiny(f, gguftest.Tiny{Dim: 32, Heads: 2, Layers: 1, Context: 32})
	f.Fuzz(func(t *testing.T, body string) {
		ask(r, chat, body)
		ask(r, "/v1/completions", body)
	})
}
