// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/sotto-chat/sotto/engine/builtin/gguf"
)

// sampling says how the next token is drawn.
type sampling struct {
	temperature float64 // 0 takes the most likely token
	topK        int     // of the k most likely; 0 is all
	topP        float64 // of the most likely that make up this probability; 1 is all
	minP        float64 // of those at least this fraction as likely as the first
}

// fileSampling is what a model file recommends for itself.
func fileSampling(f *gguf.File) sampling {
	s := sampling{temperature: 0.8, topP: 0.95}
	if x, ok := f.Float("general.sampling.temp"); ok && x >= 0 && x <= 2 {
		s.temperature = x
	}
	if x, ok := f.Float("general.sampling.top_p"); ok && x > 0 && x <= 1 {
		s.topP = x
	}
	if x, ok := f.Float("general.sampling.min_p"); ok && x >= 0 && x <= 1 {
		s.minP = x
	}
	if n, ok := f.Uint("general.sampling.top_k"); ok && n < 1<<20 {
		s.topK = int(n)
	}
	return s
}

// A sampler draws tokens for one answer.
type sampler struct {
	sampling
	rng        *rand.Rand
	candidates []candidate
}

type candidate struct {
	id    int32
	logit float32
	p     float64
}

func newSampler(s sampling, seed *int64) *sampler {
	// Without a seed, answers needn't be secret but should differ.
	a, b := rand.Uint64(), rand.Uint64()
	if seed != nil {
		a, b = uint64(*seed), 0
	}
	return &sampler{sampling: s, rng: rand.New(rand.NewPCG(a, b))}
}

// draw chooses the next token from the scores of all.
func (s *sampler) draw(logits []float32) int32 {
	if s.temperature == 0 || s.topK == 1 {
		return greedy(logits)
	}
	s.candidates = s.candidates[:0]
	for id, l := range logits {
		s.candidates = append(s.candidates, candidate{int32(id), l, 0})
	}
	slices.SortFunc(s.candidates, func(a, b candidate) int {
		switch {
		case a.logit > b.logit:
			return -1
		case a.logit < b.logit:
			return 1
		}
		return int(a.id - b.id)
	})
	list := s.candidates
	if s.topK > 0 && s.topK < len(list) {
		list = list[:s.topK]
	}
	// Top-p and min-p look at the model's own probabilities; the temperature
	// spreads what they leave. That is llama.cpp's order.
	softmax(list, 1)
	keep, sum := len(list), 0.0
	for i, c := range list {
		if i > 0 && c.p < s.minP*list[0].p {
			keep = i
			break
		}
		if sum += c.p; sum >= s.topP {
			keep = i + 1
			break
		}
	}
	list = list[:keep]
	softmax(list, s.temperature)
	x := s.rng.Float64()
	for _, c := range list {
		if x -= c.p; x < 0 {
			return c.id
		}
	}
	return list[len(list)-1].id
}

// softmax sets the probabilities of candidates that are sorted by score.
func softmax(list []candidate, temperature float64) {
	sum := 0.0
	for i := range list {
		list[i].p = math.Exp(float64(list[i].logit-list[0].logit) / temperature)
		sum += list[i].p
	}
	for i := range list {
		list[i].p /= sum
	}
}

// greedy is the most likely token, the first of several.
func greedy(logits []float32) int32 {
	best := 0
	for i, l := range logits {
		if l > logits[best] {
			best = i
		}
	}
	return int32(best)
}
