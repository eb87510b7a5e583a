// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package llama

import (
	"encoding/binary"
	"math"

	"github.com/sotto-chat/sotto/engine/builtin/gguf"
)

// A matrix of weights: rows of cols numbers, in one of the stored kinds.
//
// The arithmetic follows llama.cpp's CPU backend where it shows in the result:
// a vector that meets F16 weights is first rounded to F16, and one that meets
// Q8_0 weights is first quantized to Q8_0 itself, so that the same file gives
// the same tokens in both programs. Sums are float32.
type matrix struct {
	rows, cols int
	kind       gguf.Kind
	f32        []float32 // F32, and F16 widened
	q8         []int8    // Q8_0: the bytes of all blocks,
	scale      []float32 // and their scales, cols/32 to a row
}

// block is the length of a Q8_0 block.
const block = 32

// newMatrix decodes a tensor. The caller has checked its dimensions.
func newMatrix(t *gguf.Tensor) *matrix {
	m := &matrix{rows: int(t.Dims[1]), cols: int(t.Dims[0]), kind: t.Kind}
	switch t.Kind {
	case gguf.F32:
		m.f32 = gguf.Floats(t.Data)
	case gguf.F16:
		m.f32 = make([]float32, m.rows*m.cols)
		for i := range m.f32 {
			m.f32[i] = gguf.FromHalf(binary.LittleEndian.Uint16(t.Data[2*i:]))
		}
	case gguf.Q8_0:
		m.q8 = make([]int8, m.rows*m.cols)
		m.scale = make([]float32, len(m.q8)/block)
		for i := range m.scale {
			b := t.Data[i*(block+2):]
			m.scale[i] = gguf.FromHalf(binary.LittleEndian.Uint16(b))
			for j := range block {
				m.q8[i*block+j] = int8(b[2+j])
			}
		}
	}
	return m
}

// row writes one row as float32s.
func (m *matrix) row(i int, out []float32) {
	if m.kind != gguf.Q8_0 {
		copy(out, m.f32[i*m.cols:(i+1)*m.cols])
		return
	}
	q := m.q8[i*m.cols : (i+1)*m.cols]
	scale := m.scale[i*m.cols/block:]
	for j := range q {
		out[j] = float32(q[j]) * scale[j/block]
	}
}

// An operand is a batch of vectors made ready to meet a matrix of one kind.
type operand struct {
	n, cols int
	f32     []float32
	q8      []int8
	scale   []float32
}

// prepare rounds n vectors of cols numbers as kind wants them. It reuses o's memory.
func (o *operand) prepare(kind gguf.Kind, x []float32, n, cols int) {
	o.n, o.cols = n, cols
	switch kind {
	case gguf.F32:
		o.f32 = append(o.f32[:0], x...)
	case gguf.F16:
		o.f32 = append(o.f32[:0], x...)
		for i, v := range o.f32 {
			o.f32[i] = gguf.FromHalf(gguf.ToHalf(v))
		}
	case gguf.Q8_0:
		if cap(o.q8) < len(x) {
			o.q8, o.scale = make([]int8, len(x)), make([]float32, len(x)/block)
		}
		o.q8, o.scale = o.q8[:len(x)], o.scale[:len(x)/block]
		for i := range o.scale {
			b := x[i*block : (i+1)*block]
			most := float32(0)
			for _, v := range b {
				most = max(most, float32(math.Abs(float64(v))))
			}
			o.scale[i] = gguf.FromHalf(gguf.ToHalf(most / 127))
			inverse := float32(0)
			if most != 0 {
				inverse = 127 / most
			}
			for j, v := range b {
				o.q8[i*block+j] = int8(math.RoundToEven(float64(v * inverse)))
			}
		}
	}
}

// multiply computes out[t·rows + r] = row r · vector t, for rows from to to.
func (m *matrix) multiply(o *operand, out []float32, from, to int) {
	c := m.cols
	if m.kind == gguf.Q8_0 {
		for r := from; r < to; r++ {
			w, ws := m.q8[r*c:(r+1)*c], m.scale[r*c/block:(r+1)*c/block]
			for t := range o.n {
				out[t*m.rows+r] = dotQ8(w, ws, o.q8[t*c:(t+1)*c], o.scale[t*c/block:(t+1)*c/block])
			}
		}
		return
	}
	for r := from; r < to; r++ {
		w := m.f32[r*c : (r+1)*c]
		for t := range o.n {
			out[t*m.rows+r] = dot(w, o.f32[t*c:(t+1)*c])
		}
	}
}

// dot is the inner product, with as many sums as the processor can keep going.
func dot(a, b []float32) float32 {
	var s0, s1, s2, s3, s4, s5, s6, s7 float32
	b = b[:len(a)]
	for len(a) >= 8 {
		s0 += a[0] * b[0]
		s1 += a[1] * b[1]
		s2 += a[2] * b[2]
		s3 += a[3] * b[3]
		s4 += a[4] * b[4]
		s5 += a[5] * b[5]
		s6 += a[6] * b[6]
		s7 += a[7] * b[7]
		a, b = a[8:], b[8:]
	}
	for i := range a {
		s0 += a[i] * b[i]
	}
	return (s0 + s4) + (s1 + s5) + ((s2 + s6) + (s3 + s7))
}

// dotQ8 is the inner product of two quantized vectors: whole numbers within a
// block, scaled and summed between blocks.
func dotQ8(a []int8, as []float32, b []int8, bs []float32) float32 {
	var sum float32
	for i := range as {
		x, y := (*[block]int8)(a[i*block:]), (*[block]int8)(b[i*block:])
		var s0, s1, s2, s3 int32
		for j := 0; j < block; j += 4 {
			s0 += int32(x[j]) * int32(y[j])
			s1 += int32(x[j+1]) * int32(y[j+1])
			s2 += int32(x[j+2]) * int32(y[j+2])
			s3 += int32(x[j+3]) * int32(y[j+3])
		}
		sum += float32(s0+s1+s2+s3) * (as[i] * bs[i])
	}
	return sum
}

// addScaled adds x·s to out.
func addScaled(out, x []float32, s float32) {
	out = out[:len(x)]
	for i, v := range x {
		out[i] += v * s
	}
}
