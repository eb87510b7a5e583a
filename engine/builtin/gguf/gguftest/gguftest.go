// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package gguftest writes GGUF files for tests: any file by hand, and tiny
// Llama-shaped models with random weights and a tokenizer that was really
// trained, on a page of text. They speak nonsense, always the same nonsense.
package gguftest

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/sotto-chat/sotto/engine/builtin/gguf"
)

// A Builder collects the parts of a GGUF file in the order they are added.
type Builder struct {
	keys, table, data []byte
	nKeys, nTensors   uint64
}

const alignment = 32

// Set adds a metadata value: uint32, int32, float32, bool, string, []string,
// []float32 or []int32.
func (b *Builder) Set(key string, value any) *Builder {
	b.nKeys++
	b.keys = appendString(b.keys, key)
	le := binary.LittleEndian
	switch v := value.(type) {
	case uint32:
		b.keys = le.AppendUint32(le.AppendUint32(b.keys, 4), v)
	case int32:
		b.keys = le.AppendUint32(le.AppendUint32(b.keys, 5), uint32(v))
	case float32:
		b.keys = le.AppendUint32(le.AppendUint32(b.keys, 6), math.Float32bits(v))
	case bool:
		b.keys = append(le.AppendUint32(b.keys, 7), map[bool]byte{true: 1}[v])
	case string:
		b.keys = appendString(le.AppendUint32(b.keys, 8), v)
	case []string:
		b.array(8, len(v))
		for _, s := range v {
			b.keys = appendString(b.keys, s)
		}
	case []float32:
		b.array(6, len(v))
		for _, x := range v {
			b.keys = le.AppendUint32(b.keys, math.Float32bits(x))
		}
	case []int32:
		b.array(5, len(v))
		for _, x := range v {
			b.keys = le.AppendUint32(b.keys, uint32(x))
		}
	default:
		panic(fmt.Sprintf("gguftest: no encoding for %T", value))
	}
	return b
}

func (b *Builder) array(element uint32, n int) {
	le := binary.LittleEndian
	b.keys = le.AppendUint64(le.AppendUint32(le.AppendUint32(b.keys, 9), element), uint64(n))
}

func appendString(p []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint64(p, uint64(len(s))), s...)
}

// Tensor adds a tensor of the given kind; dims are columns first.
func (b *Builder) Tensor(name string, kind gguf.Kind, values []float32, dims ...int) *Builder {
	le := binary.LittleEndian
	b.nTensors++
	b.table = le.AppendUint32(appendString(b.table, name), uint32(len(dims)))
	n := 1
	for _, d := range dims {
		b.table = le.AppendUint64(b.table, uint64(d))
		n *= d
	}
	if n != len(values) {
		panic("gguftest: " + name + " has another size")
	}
	b.table = le.AppendUint64(le.AppendUint32(b.table, uint32(kind)), uint64(len(b.data)))
	b.data = append(b.data, encode(kind, values)...)
	for len(b.data)%alignment != 0 {
		b.data = append(b.data, 0)
	}
	return b
}

// encode stores values in a kind, rounding as llama.cpp's quantize does.
func encode(kind gguf.Kind, values []float32) (out []byte) {
	le := binary.LittleEndian
	switch kind {
	case gguf.F32:
		for _, x := range values {
			out = le.AppendUint32(out, math.Float32bits(x))
		}
	case gguf.F16:
		for _, x := range values {
			out = le.AppendUint16(out, gguf.ToHalf(x))
		}
	case gguf.Q8_0:
		for i := 0; i < len(values); i += 32 {
			block := values[i : i+32]
			most := float32(0)
			for _, x := range block {
				most = max(most, float32(math.Abs(float64(x))))
			}
			scale := most / 127
			out = le.AppendUint16(out, gguf.ToHalf(scale))
			for _, x := range block {
				q := 0.0
				if scale != 0 {
					q = math.Round(float64(x / scale))
				}
				out = append(out, byte(int8(q)))
			}
		}
	}
	return out
}

// Bytes returns the file.
func (b *Builder) Bytes() []byte {
	le := binary.LittleEndian
	out := le.AppendUint32([]byte("GGUF"), 3)
	out = le.AppendUint64(le.AppendUint64(out, b.nTensors), b.nKeys)
	out = append(append(out, b.keys...), b.table...)
	for len(out)%alignment != 0 {
		out = append(out, 0)
	}
	return append(out, b.data...)
}
