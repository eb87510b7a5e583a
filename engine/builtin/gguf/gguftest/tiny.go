// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package gguftest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/sotto-chat/sotto/engine/builtin/gguf"
)

// Tiny describes a random model. The zero value of each field means a default.
type Tiny struct {
	Kind      gguf.Kind // of the matrices; norms are always F32
	Heads     int       // 4
	KVHeads   int       // as Heads
	Layers    int       // 2
	Dim       int       // 64
	Context   int       // 256
	BPE       bool      // a GPT-2 tokenizer in place of SentencePiece
	Pre       string    // its pre-tokenizer; "gpt-2"
	Tied      bool      // the output matrix is the embedding
	RopeBase  float32   // 10000
	Factors   bool      // with rope_freqs.weight, as Llama 3 has
	Template  string    // chat template; Template below if ""
	NoDefault bool      // with Template "": leave the key out altogether
	Seed      uint64
}

// Template is the chat template that Tiny gives its models.
const Template = "{% for m in messages %}{% if m['role']=='user' %}{{ '<|user|>' + m['content'] }}" +
	"{% elif m['role']=='assistant' %}{{ '<|assistant|>' + m['content'] + '</s>' }}{% endif %}{% endfor %}" +
	"{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"

// Bytes returns the model's file.
func (t Tiny) Bytes() []byte {
	def := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	def(&t.Heads, 4)
	def(&t.KVHeads, t.Heads)
	def(&t.Layers, 2)
	def(&t.Dim, 64)
	def(&t.Context, 256)
	if t.RopeBase == 0 {
		t.RopeBase = 10000
	}
	if t.Pre == "" {
		t.Pre = "gpt-2"
	}
	if t.Template == "" && !t.NoDefault {
		t.Template = Template
	}
	b := &Builder{}
	ff := t.Dim * 2
	head := t.Dim / t.Heads
	b.Set("general.architecture", "llama").Set("general.name", "tiny random demo").
		Set("llama.context_length", uint32(t.Context)).Set("llama.embedding_length", uint32(t.Dim)).
		Set("llama.block_count", uint32(t.Layers)).Set("llama.feed_forward_length", uint32(ff)).
		Set("llama.attention.head_count", uint32(t.Heads)).Set("llama.attention.head_count_kv", uint32(t.KVHeads)).
		Set("llama.attention.layer_norm_rms_epsilon", float32(1e-5)).
		Set("llama.rope.dimension_count", uint32(head)).Set("llama.rope.freq_base", t.RopeBase)
	var vocab int
	if t.BPE {
		vocab = t.bpe(b)
	} else {
		vocab = t.spm(b)
	}
	b.Set("llama.vocab_size", uint32(vocab))
	if t.Template != "" {
		b.Set("tokenizer.chat_template", t.Template)
	}

	rng := rand.New(rand.NewPCG(t.Seed, 7))
	normal := func(n int, mean, dev float64) []float32 {
		list := make([]float32, n)
		for i := range list {
			list[i] = float32(mean + dev*rng.NormFloat64())
		}
		return list
	}
	matrix := func(name string, cols, rows int) {
		b.Tensor(name, t.Kind, normal(cols*rows, 0, 1.4/math.Sqrt(float64(cols))), cols, rows)
	}
	norm := func(name string) { b.Tensor(name, gguf.F32, normal(t.Dim, 1, 0.1), t.Dim) }

	b.Tensor("token_embd.weight", t.Kind, normal(t.Dim*vocab, 0, 0.5), t.Dim, vocab)
	for i := range t.Layers {
		p := fmt.Sprintf("blk.%d.", i)
		norm(p + "attn_norm.weight")
		norm(p + "ffn_norm.weight")
		matrix(p+"attn_q.weight", t.Dim, t.Dim)
		matrix(p+"attn_k.weight", t.Dim, head*t.KVHeads)
		matrix(p+"attn_v.weight", t.Dim, head*t.KVHeads)
		matrix(p+"attn_output.weight", t.Dim, t.Dim)
		matrix(p+"ffn_gate.weight", t.Dim, ff)
		matrix(p+"ffn_up.weight", t.Dim, ff)
		matrix(p+"ffn_down.weight", ff, t.Dim)
	}
	norm("output_norm.weight")
	if !t.Tied {
		matrix("output.weight", t.Dim, vocab)
	}
	if t.Factors {
		f := make([]float32, head/2)
		for i := range f {
			f[i] = 1 + float32(i)
		}
		b.Tensor("rope_freqs.weight", gguf.F32, f, head/2)
	}
	return b.Bytes()
}

// Token types of GGUF vocabularies.
const (
	normalToken, unknownToken, controlToken, userToken, byteToken int32 = 1, 2, 3, 4, 6
)

// spm adds a SentencePiece vocabulary and returns its size.
func (t Tiny) spm(b *Builder) int {
	tokens := []string{"<unk>", "<s>", "</s>", "<|user|>", "<|assistant|>"}
	types := []int32{unknownToken, controlToken, controlToken, userToken, userToken}
	scores := make([]float32, len(tokens))
	for i := range 256 {
		tokens, types, scores = append(tokens, fmt.Sprintf("<0x%02X>", i)), append(types, byteToken), append(scores, 0)
	}
	words := strings.Fields(page)
	for i, w := range words {
		words[i] = "▁" + w
	}
	chars, merges := train(words, 160)
	for i, p := range append(merged(merges), chars...) {
		tokens, types, scores = append(tokens, p), append(types, normalToken), append(scores, -float32(i))
	}
	b.Set("tokenizer.ggml.model", "llama").Set("tokenizer.ggml.pre", "default").
		Set("tokenizer.ggml.tokens", tokens).Set("tokenizer.ggml.scores", scores).Set("tokenizer.ggml.token_type", types).
		Set("tokenizer.ggml.bos_token_id", uint32(1)).Set("tokenizer.ggml.eos_token_id", uint32(2)).
		Set("tokenizer.ggml.unknown_token_id", uint32(0)).Set("tokenizer.ggml.add_bos_token", true).
		Set("tokenizer.ggml.add_eos_token", false).Set("tokenizer.ggml.add_space_prefix", true)
	return len(tokens)
}

// bpe adds a GPT-2 vocabulary and returns its size.
func (t Tiny) bpe(b *Builder) int {
	letter := byteLetters()
	words := strings.Fields(page)
	for i, w := range words {
		var s strings.Builder
		for _, c := range []byte(" " + w) {
			s.WriteString(letter[c])
		}
		words[i] = s.String()
	}
	_, merges := train(words, 200)
	tokens := []string{"<|endoftext|>", "<|user|>", "<|assistant|>", "</s>"}
	types := []int32{controlToken, userToken, userToken, controlToken}
	for _, p := range append(letter[:], merged(merges)...) {
		tokens, types = append(tokens, p), append(types, normalToken)
	}
	rules := make([]string, len(merges))
	for i, m := range merges {
		rules[i] = m[0] + " " + m[1]
	}
	b.Set("tokenizer.ggml.model", "gpt2").Set("tokenizer.ggml.pre", t.Pre).
		Set("tokenizer.ggml.tokens", tokens).Set("tokenizer.ggml.token_type", types).Set("tokenizer.ggml.merges", rules).
		Set("tokenizer.ggml.bos_token_id", uint32(0)).Set("tokenizer.ggml.eos_token_id", uint32(3)).
		Set("tokenizer.ggml.add_bos_token", false)
	return len(tokens)
}

// byteLetters is GPT-2's way to write each byte as one printable character.
func byteLetters() (letters [256]string) {
	next := rune(256)
	for c := range 256 {
		r := rune(c)
		if !(c >= '!' && c <= '~' || c >= 0xa1 && c <= 0xac || c >= 0xae) {
			r, next = next, next+1
		}
		letters[c] = string(r)
	}
	return letters
}

func merged(merges [][2]string) (pieces []string) {
	for _, m := range merges {
		if p := m[0] + m[1]; !slices.Contains(pieces, p) {
			pieces = append(pieces, p)
		}
	}
	return pieces
}

// train learns byte-pair merges from words, the most frequent pair first.
func train(words []string, n int) (chars []string, merges [][2]string) {
	var split [][]string
	for _, w := range words {
		s := strings.Split(w, "")
		split = append(split, s)
		for _, c := range s {
			if !slices.Contains(chars, c) {
				chars = append(chars, c)
			}
		}
	}
	for range n {
		count := map[[2]string]int{}
		var best [2]string
		for _, w := range split {
			for i := range len(w) - 1 {
				p := [2]string{w[i], w[i+1]}
				count[p]++
				if c, b := count[p], count[best]; c > b || c == b && p[0]+p[1] < best[0]+best[1] {
					best = p
				}
			}
		}
		if count[best] < 2 {
			break
		}
		merges = append(merges, best)
		for k, w := range split {
			for i := 0; i+1 < len(w); i++ {
				if w[i] == best[0] && w[i+1] == best[1] {
					w = slices.Replace(w, i, i+2, best[0]+best[1])
				}
			}
			split[k] = w
		}
	}
	return chars, merges
}

const page = `Once upon a time there was a small green frog who lived by the river . Every morning the frog sat on a stone
and looked at the water . One day a fox came down to the river to drink . What are you looking at ? asked the fox . I am
looking at the sky in the water , said the frog . It is the same sky as the one above , but it is easier to hold . The fox
thought about this for a while . Then the fox sat down beside the frog , and they looked at the sky in the water together
until the evening came . Hello ! How are you today ? I am fine , thank you . What is the capital of France ? The capital of
France is Paris . What is 3 + 4 ? It is 7 . Tell me a story about a dog , please . There was a dog who liked to run in the
park with the other dogs , and when the sun went down the dog went home to sleep by the fire .`
