// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package llama computes a Llama-shaped transformer in plain Go: token
// embedding, then for each layer attention with rotary positions over a cache of
// earlier keys and values and a gated feed-forward block, then the scores of
// every possible next token.
//
// It is made to be read and to be right, not to be fast: its measure is that it
// gives the same tokens as llama.cpp for the same file. A model of a few million
// parameters runs at some hundred tokens a second; one of a billion belongs in a
// real model server.
package llama

import (
	"errors"
	"fmt"
	"math"

	"github.com/sotto-chat/sotto/engine/builtin/gguf"
)

// Limits on what a file may ask for.
const (
	maxLayers  = 512
	maxWidth   = 1 << 16 // of any vector but the vocabulary's
	maxContext = 8192    // tokens
	maxCache   = 256 << 20
	maxWeights = 4 << 30 // bytes in memory, after F16 is widened
)

// A Model is a set of weights. It doesn't change after New and may be shared.
type Model struct {
	Context int // tokens in one conversation, at most
	Vocab   int // number of tokens known

	dim, hidden        int
	heads, kvHeads     int
	headDim, rotated   int // size of a head, and how much of it carries the position
	eps                float32
	embedding, output  *matrix
	norm               []float32
	layers             []layer
	cos, sin           []float32 // [Context][rotated/2]
	cacheBytesPerToken int
}

type layer struct {
	attnNorm, ffnNorm []float32
	q, k, v, o        *matrix
	gate, up, down    *matrix
}

// New reads the model of a GGUF file. Everything about its shape is checked
// against the tensors, and a tensor that isn't understood is an error: computing
// without it would give nonsense.
func New(f *gguf.File) (*Model, error) {
	if arch := f.String("general.architecture"); arch != "llama" {
		return nil, fmt.Errorf("the architecture %q isn't supported here, only \"llama\" is", arch)
	}
	l := &loader{f: f, used: map[string]bool{}}
	m, err := l.model()
	if err != nil {
		return nil, err
	}
	for name := range f.Tensors {
		if !l.used[name] {
			return nil, fmt.Errorf("the tensor %q isn't understood here", name)
		}
	}
	return m, nil
}

// loader takes a file apart; its first error sticks.
type loader struct {
	f      *gguf.File
	used   map[string]bool
	weight uint64 // bytes so far
	err    error
}

func (l *loader) fail(format string, args ...any) {
	if l.err == nil {
		l.err = fmt.Errorf(format, args...)
	}
}

// count reads a whole number between 1 and most; byDefault 0 means it must be there.
func (l *loader) count(key string, most, byDefault int) int {
	n, ok := l.f.Uint("llama." + key)
	if !ok && byDefault > 0 && !l.f.Has("llama."+key) {
		return byDefault
	}
	if !ok || n == 0 || n > uint64(most) {
		l.fail("llama.%s is missing or out of range", key)
		return 1
	}
	return int(n)
}

func (l *loader) model() (*Model, error) {
	f := l.f
	m := &Model{
		dim:     l.count("embedding_length", maxWidth, 0),
		hidden:  l.count("feed_forward_length", maxWidth, 0),
		heads:   l.count("attention.head_count", maxWidth, 0),
		Context: min(l.count("context_length", 1<<30, 0), maxContext),
	}
	layers := l.count("block_count", maxLayers, 0)
	m.kvHeads = l.count("attention.head_count_kv", m.heads, m.heads)
	m.headDim = l.count("attention.key_length", maxWidth, max(m.dim/m.heads, 1))
	if v := l.count("attention.value_length", maxWidth, m.headDim); v != m.headDim {
		l.fail("keys and values of different sizes aren't supported here")
	}
	m.rotated = l.count("rope.dimension_count", m.headDim, m.headDim)
	if m.heads%m.kvHeads != 0 || m.rotated%2 != 0 || m.heads*m.headDim > maxWidth {
		l.fail("the heads don't divide evenly")
	}
	eps, ok := f.Float("llama.attention.layer_norm_rms_epsilon")
	if !ok || eps <= 0 || eps > 1 {
		l.fail("llama.attention.layer_norm_rms_epsilon is missing or out of range")
	}
	m.eps = float32(eps)
	if n, _ := f.Uint("llama.expert_count"); n > 0 {
		l.fail("mixtures of experts aren't supported here")
	}
	if kind := f.String("llama.rope.scaling.type"); kind != "" && kind != "none" && kind != "linear" {
		l.fail("rope scaling %q isn't supported here", kind)
	}
	if l.err != nil {
		return nil, l.err
	}

	embedding := l.f.Tensors["token_embd.weight"]
	if embedding == nil || len(embedding.Dims) != 2 {
		return nil, errors.New("the tensor token_embd.weight is missing")
	}
	m.Vocab = int(min(embedding.Dims[1], math.MaxInt32))
	m.embedding = l.matrix("token_embd.weight", m.dim, m.Vocab)
	m.output = m.embedding
	if f.Tensors["output.weight"] != nil {
		m.output = l.matrix("output.weight", m.dim, m.Vocab)
	}
	m.norm = l.vector("output_norm.weight", m.dim)
	for i := 0; i < layers && l.err == nil; i++ {
		name := func(s string) string { return fmt.Sprintf("blk.%d.%s.weight", i, s) }
		q, kv := m.heads*m.headDim, m.kvHeads*m.headDim
		m.layers = append(m.layers, layer{
			attnNorm: l.vector(name("attn_norm"), m.dim), ffnNorm: l.vector(name("ffn_norm"), m.dim),
			q: l.matrix(name("attn_q"), m.dim, q), k: l.matrix(name("attn_k"), m.dim, kv),
			v: l.matrix(name("attn_v"), m.dim, kv), o: l.matrix(name("attn_output"), q, m.dim),
			gate: l.matrix(name("ffn_gate"), m.dim, m.hidden), up: l.matrix(name("ffn_up"), m.dim, m.hidden),
			down: l.matrix(name("ffn_down"), m.hidden, m.dim),
		})
	}
	if l.err != nil {
		return nil, l.err
	}
	m.cacheBytesPerToken = layers * m.kvHeads * m.headDim * 2 * 4
	m.Context = min(m.Context, max(maxCache/m.cacheBytesPerToken, 1))
	l.positions(m)
	return m, l.err
}

// tensor returns a tensor after checking its size; nil after an error.
func (l *loader) tensor(name string, dims ...int) *gguf.Tensor {
	t := l.f.Tensors[name]
	if t == nil {
		l.fail("the tensor %q is missing", name)
		return nil
	}
	l.used[name] = true
	if len(t.Dims) != len(dims) {
		l.fail("the tensor %q has %d dimensions", name, len(t.Dims))
		return nil
	}
	size := uint64(4)
	for i, d := range dims {
		if t.Dims[i] != uint64(d) {
			l.fail("the tensor %q has a dimension of %d where %d is right", name, t.Dims[i], d)
			return nil
		}
		size *= uint64(d)
	}
	if t.Kind == gguf.Q8_0 {
		size = uint64(len(t.Data))
	}
	if l.weight += size; l.weight > maxWeights {
		l.fail("the model is too large for the built-in runner")
		return nil
	}
	return t
}

func (l *loader) matrix(name string, cols, rows int) *matrix {
	if t := l.tensor(name, cols, rows); t != nil {
		return newMatrix(t)
	}
	return nil
}

func (l *loader) vector(name string, n int) []float32 {
	t := l.tensor(name, n)
	if t == nil {
		return nil
	}
	if t.Kind != gguf.F32 {
		l.fail("the tensor %q is stored as %s where F32 is usual", name, t.Kind)
		return nil
	}
	return gguf.Floats(t.Data)
}

// positions computes the rotations of every position (RoFormer,
// arXiv:2104.09864), by the same float32 steps as llama.cpp.
func (l *loader) positions(m *Model) {
	base := 10000.0
	if x, ok := l.f.Float("llama.rope.freq_base"); ok {
		base = x
	}
	scale := float32(1)
	if l.f.String("llama.rope.scaling.type") == "linear" {
		factor, ok := l.f.Float("llama.rope.scaling.factor")
		if !ok || factor <= 0 {
			l.fail("llama.rope.scaling.factor is missing or out of range")
			return
		}
		scale = float32(1 / factor)
	}
	half := m.rotated / 2
	factors := make([]float32, half)
	for i := range factors {
		factors[i] = 1
	}
	if l.f.Tensors["rope_freqs.weight"] != nil {
		factors = l.vector("rope_freqs.weight", half)
		if l.err != nil {
			return
		}
	}
	if base <= 0 {
		l.fail("llama.rope.freq_base is out of range")
		return
	}
	step := float32(math.Pow(base, -2/float64(m.rotated)))
	m.cos, m.sin = make([]float32, m.Context*half), make([]float32, m.Context*half)
	for p := range m.Context {
		theta := float32(p)
		for i := range half {
			angle := float64(theta / factors[i] * scale)
			m.cos[p*half+i], m.sin[p*half+i] = float32(math.Cos(angle)), float32(math.Sin(angle))
			theta *= step
		}
	}
}
