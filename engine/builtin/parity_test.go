// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sotto-chat/sotto/engine/builtin/gguf"
	"github.com/sotto-chat/sotto/engine/builtin/gguf/gguftest"
	"github.com/sotto-chat/sotto/engine/builtin/model"
	"github.com/sotto-chat/sotto/test/llamaserver"
)

// TestSameAsLlamaServer is the runner's measure: the same file gives the same
// tokens as llama.cpp's server, of a prompt and of the most likely answer.
//
// A random model's first two choices are sometimes so close that the order in
// which a processor adds decides between them; the demo's hardly ever are. Such a
// tie passes, but there may be few. The server keeps its keys and values as F32
// for the random models, as the runner does: its default, F16, makes many ties.
func TestSameAsLlamaServer(t *testing.T) {
	f32Cache := []string{"-ctk", "f32", "-ctv", "f32", "-fa", "off"}
	for _, c := range []struct {
		name string
		file []byte
		args []string
		// How far log-probabilities may lie apart. F32 differs by the order of
		// additions alone; with the others that lets a number round the other way
		// now and then, and this then shows.
		within float64
	}{
		{"demo", model.GGUF, nil, 0.2},
		{"F32", gguftest.Tiny{Kind: gguf.F32, Seed: 1}.Bytes(), f32Cache, 1e-4},
		{"F16", gguftest.Tiny{Kind: gguf.F16, Seed: 2}.Bytes(), f32Cache, 0.2},
		{"Q8_0", gguftest.Tiny{Kind: gguf.Q8_0, Seed: 3}.Bytes(), f32Cache, 0.2},
		{"grouped heads", gguftest.Tiny{Kind: gguf.F16, Heads: 8, KVHeads: 2, Dim: 128, Seed: 4}.Bytes(), f32Cache, 0.2},
		{"BPE", gguftest.Tiny{Kind: gguf.F16, BPE: true, Seed: 5}.Bytes(), f32Cache, 0.2},
		{"BPE Llama 3", gguftest.Tiny{Kind: gguf.Q8_0, BPE: true, Pre: "llama-bpe", Tied: true, RopeBase: 500000, Factors: true, Seed: 6}.Bytes(), f32Cache, 0.2},
	} {
		t.Run(c.name, func(t *testing.T) {
			llamaserver.Dir(t)
			file := filepath.Join(t.TempDir(), "model.gguf")
			if err := os.WriteFile(file, c.file, 0o600); err != nil {
				t.Fatal(err)
			}
			s := llamaserver.Start(t, file, append(c.args, "--no-warmup")...)
			r, err := New(c.file, "test")
			if err != nil {
				t.Fatal(err)
			}
			compared, ties := 0, 0
			worst := 0.0 // difference of a token's log-probability
			for _, p := range prompts {
				want := s.Tokenize(p, true, true)
				got, refused := r.tokens(p)
				if refused != nil {
					t.Fatal(refused)
				}
				if !slices.Equal(toInts(got), want) {
					t.Errorf("tokens of %q\n got %v\nwant %v", p, got, want)
					continue
				}
				worst = max(worst, r.compareLogProbs(t, got, s.LogProbs(want, 20)))
				answer := s.Greedy(want, 64)
				compared += len(answer)
				ties += r.compareGreedy(t, p, got, answer)
			}
			t.Logf("%d tokens after %d prompts, %d ties; log-probabilities differ by %.1g at most", compared, len(prompts), ties, worst)
			if worst > c.within {
				t.Errorf("log-probabilities differ by %g", worst)
			}
			if ties > 1+compared/200 {
				t.Errorf("%d ties among %d tokens: that is no accident", ties, compared)
			}
			if compared < 20*len(prompts) && c.name != "demo" {
				t.Errorf("only %d tokens were compared", compared)
			}
		})
	}
}

var prompts = []string{
	"<|user|> hello<|assistant|>",
	"<|user|>What is the capital of France?<|assistant|>",
	"<|user|>3 + 4<|assistant|>7.</s><|user|>And 5 + 6?<|assistant|>",
	"<|user|> Tell me a story about a dog.<|assistant|>",
	"<|user|> who are you<|assistant|>",
	"Once upon a time there was a small green frog",
	"Hello, wörld! 日本語 🦊 don't can't",
	"   leading and  double spaces\n\nand lines\t\ttabs \n",
	"1234567890 12 345.678",
	"a",
	"THE QUICK BROWN FOX (jumps) over: [the] lazy; dog?!",
	"x = {\"a\": [1, 2, 3]};\r\nreturn x;",
	"The frog sat on a stone and looked at the water. One day a fox came down to the river to drink. What are you looking at?",
}

// compareGreedy goes along the server's answer and checks that each of its tokens
// is the runner's first choice too. It returns the number of ties: tokens whose
// scores differ by less than a fiftieth of how widely all scores are spread.
func (r *Runner) compareGreedy(t *testing.T, text string, prompt []int32, answer []int) (ties int) {
	t.Helper()
	s := r.model.NewSession()
	next := prompt
	for i, want := range answer {
		logits, err := s.Feed(context.Background(), next)
		if err != nil {
			t.Fatal(err)
		}
		if got := greedy(logits); int(got) != want {
			if logits[got]-logits[want] < deviation(logits)/50 {
				ties++
			} else {
				t.Errorf("after %q, token %d of %d is %d, the server's %d; their scores are %v and %v",
					text, i, len(answer), got, want, logits[got], logits[want])
			}
		}
		next = []int32{int32(want)}
	}
	return ties
}

// compareLogProbs returns the largest difference between the server's
// log-probabilities after a prompt and the runner's.
func (r *Runner) compareLogProbs(t *testing.T, prompt []int32, want map[int]float64) (worst float64) {
	t.Helper()
	logits, err := r.model.NewSession().Feed(context.Background(), prompt)
	if err != nil {
		t.Fatal(err)
	}
	most, sum := float64(logits[greedy(logits)]), 0.0
	for _, x := range logits {
		sum += math.Exp(float64(x) - most)
	}
	for id, p := range want {
		worst = max(worst, math.Abs(float64(logits[id])-most-math.Log(sum)-p))
	}
	return worst
}

// deviation is the standard deviation of the scores.
func deviation(logits []float32) float32 {
	var sum, squares float64
	for _, x := range logits {
		sum += float64(x)
		squares += float64(x) * float64(x)
	}
	n := float64(len(logits))
	return float32(math.Sqrt(squares/n - sum/n*sum/n))
}

func toInts(ids []int32) []int {
	out := make([]int, len(ids))
	for i, id := range ids {
		out[i] = int(id)
	}
	return out
}
