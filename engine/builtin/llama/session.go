// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package llama

import (
	"context"
	"errors"
	"math"
)

// batch is how many tokens of a prompt go through the layers at once, so that
// each row of weights is read once for all of them.
const batch = 16

// worthSharing is the number of multiplications from which a second goroutine
// pays for being started.
const worthSharing = 1 << 17

// A Session is one conversation: a model and the keys and values of the tokens
// that it has seen. It isn't safe for concurrent use.
type Session struct {
	m      *Model
	n      int         // tokens seen
	keys   [][]float32 // per layer: [n][kvHeads·headDim]
	values [][]float32

	// Share lets a second goroutine compute half of each large product. It may be
	// changed between calls.
	Share bool

	// Scratch, for up to batch tokens.
	x, y, q, k, v, att, gate, up []float32
	scores, logits               []float32
	in                           operand
}

// ErrFull says that the conversation has reached the model's Context.
var ErrFull = errors.New("llama: the context is full")

// NewSession begins a conversation.
func (m *Model) NewSession() *Session {
	f := func(width int) []float32 { return make([]float32, batch*width) }
	return &Session{
		m:    m,
		keys: make([][]float32, len(m.layers)), values: make([][]float32, len(m.layers)),
		x: f(m.dim), y: f(m.dim), q: f(m.heads * m.headDim), k: f(m.kvHeads * m.headDim), v: f(m.kvHeads * m.headDim),
		att: f(m.heads * m.headDim), gate: f(m.hidden), up: f(m.hidden),
		scores: make([]float32, m.Context), logits: make([]float32, m.Vocab),
	}
}

// Len returns the number of tokens seen.
func (s *Session) Len() int { return s.n }

// Feed shows the session further tokens and returns the scores of every token
// as the next one. The slice is valid until the next call. It returns ErrFull
// before doing anything when the tokens don't fit, and ctx's error when that
// ends.
func (s *Session) Feed(ctx context.Context, tokens []int32) ([]float32, error) {
	if len(tokens) == 0 {
		return nil, errors.New("llama: no tokens")
	}
	if s.n+len(tokens) > s.m.Context {
		return nil, ErrFull
	}
	for _, id := range tokens {
		if id < 0 || int(id) >= s.m.Vocab {
			return nil, errors.New("llama: a token isn't in the vocabulary")
		}
	}
	for len(tokens) > 0 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n := min(batch, len(tokens))
		s.forward(tokens[:n], n == len(tokens))
		tokens = tokens[n:]
	}
	return s.logits, nil
}

// forward computes one batch, and the scores after its last token if wanted.
func (s *Session) forward(tokens []int32, wanted bool) {
	m, n := s.m, len(tokens)
	x, y := s.x[:n*m.dim], s.y[:n*m.dim]
	for t, id := range tokens {
		m.embedding.row(int(id), x[t*m.dim:(t+1)*m.dim])
	}
	kv := m.kvHeads * m.headDim
	for i := range m.layers {
		l := &m.layers[i]
		s.normalize(y, x, l.attnNorm)
		s.project(l.q, y, s.q, n)
		s.project(l.k, y, s.k, n)
		s.project(l.v, y, s.v, n)
		for t := range n {
			s.rotate(s.q[t*m.heads*m.headDim:], m.heads, s.n+t)
			s.rotate(s.k[t*kv:], m.kvHeads, s.n+t)
		}
		s.keys[i] = append(s.keys[i], s.k[:n*kv]...)
		s.values[i] = append(s.values[i], s.v[:n*kv]...)
		for t := range n {
			s.attend(i, s.q[t*m.heads*m.headDim:], s.att[t*m.heads*m.headDim:], s.n+t+1)
		}
		s.project(l.o, s.att[:n*m.heads*m.headDim], y, n)
		addScaled(x, y, 1)

		s.normalize(y, x, l.ffnNorm)
		s.project(l.gate, y, s.gate, n)
		s.project(l.up, y, s.up, n)
		gate, up := s.gate[:n*m.hidden], s.up[:n*m.hidden]
		for j, g := range gate {
			gate[j] = g / (1 + float32(math.Exp(float64(-g)))) * up[j]
		}
		s.project(l.down, gate, y, n)
		addScaled(x, y, 1)
	}
	s.n += n
	if wanted {
		last := y[:m.dim]
		s.normalize(last, x[(n-1)*m.dim:], m.norm)
		s.project(m.output, last, s.logits, 1)
	}
}

// normalize divides each vector by its root mean square (RMSNorm,
// arXiv:1910.07467) and multiplies it by weight.
func (s *Session) normalize(out, x, weight []float32) {
	d := len(weight)
	for t := 0; t < len(out)/d; t++ {
		v, o := x[t*d:(t+1)*d], out[t*d:(t+1)*d]
		sum := 0.0
		for _, a := range v {
			sum += float64(a * a)
		}
		scale := 1 / float32(math.Sqrt(float64(float32(sum/float64(d))+s.m.eps)))
		for i, a := range v {
			o[i] = a * scale * weight[i]
		}
	}
}

// project multiplies n vectors by a matrix.
func (s *Session) project(m *matrix, x, out []float32, n int) {
	s.in.prepare(m.kind, x[:n*m.cols], n, m.cols)
	if !s.Share || n*m.rows*m.cols < worthSharing {
		m.multiply(&s.in, out, 0, m.rows)
		return
	}
	done := make(chan struct{})
	go func() {
		m.multiply(&s.in, out, 0, m.rows/2)
		close(done)
	}()
	m.multiply(&s.in, out, m.rows/2, m.rows)
	<-done
}

// rotate turns neighbouring pairs of each head by the angles of a position.
func (s *Session) rotate(x []float32, heads, pos int) {
	half := s.m.rotated / 2
	cos, sin := s.m.cos[pos*half:(pos+1)*half], s.m.sin[pos*half:(pos+1)*half]
	for h := range heads {
		v := x[h*s.m.headDim:]
		for i := range half {
			a, b := v[2*i], v[2*i+1]
			v[2*i], v[2*i+1] = a*cos[i]-b*sin[i], a*sin[i]+b*cos[i]
		}
	}
}

// attend mixes, for each head, the values of the first n tokens, each weighted
// by how well its key fits the query. Heads share keys and values in groups.
func (s *Session) attend(layer int, q, out []float32, n int) {
	m := s.m
	d, kv := m.headDim, m.kvHeads*m.headDim
	scale := float32(1 / math.Sqrt(float64(d)))
	scores := s.scores[:n]
	for h := range m.heads {
		at := h / (m.heads / m.kvHeads) * d
		query := q[h*d : (h+1)*d]
		most := float32(math.Inf(-1))
		for p := range scores {
			scores[p] = dot(query, s.keys[layer][p*kv+at:p*kv+at+d]) * scale
			most = max(most, scores[p])
		}
		sum := float32(0)
		for p, x := range scores {
			scores[p] = float32(math.Exp(float64(x - most)))
			sum += scores[p]
		}
		mixed := out[h*d : (h+1)*d]
		clear(mixed)
		for p, w := range scores {
			addScaled(mixed, s.values[layer][p*kv+at:p*kv+at+d], w/sum)
		}
	}
}
