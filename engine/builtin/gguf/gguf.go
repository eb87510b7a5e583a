// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package gguf reads GGUF files, the container in which llama.cpp keeps a
// model: typed key-value metadata, then a table of tensors, then their data.
//
// The format is that of ggml's docs/gguf.md, versions 2 and 3, little-endian.
// Parse works on bytes in memory and trusts none of the numbers in them: what
// it allocates is bounded by a small multiple of the file's own size.
package gguf

import (
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf8"
)

// Limits that no real file comes near.
const (
	maxKeys    = 4096
	maxTensors = 1 << 16
	maxName    = 1 << 16 // bytes of a key or a tensor's name
	maxDims    = 4
	maxAlign   = 1 << 16
)

// A Kind is the type of a tensor's elements, ggml's number for it.
type Kind uint32

// The kinds that this package knows the size of.
const (
	F32  Kind = 0
	F16  Kind = 1
	Q8_0 Kind = 8 // blocks of 32: an F16 scale and 32 signed bytes
)

// kindNames names the other kinds for an error message.
var kindNames = map[Kind]string{
	F32: "F32", F16: "F16", Q8_0: "Q8_0", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 9: "Q8_1", 10: "Q2_K", 11: "Q3_K",
	12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL",
	21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M", 30: "BF16",
	34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4",
}

func (k Kind) String() string {
	if s, ok := kindNames[k]; ok {
		return s
	}
	return fmt.Sprintf("type %d", uint32(k))
}

// rowSize is the length in bytes of n elements that lie in one row; ok is false
// for a kind of unknown size or a row that doesn't divide into blocks.
func (k Kind) rowSize(n uint64) (size uint64, ok bool) {
	switch k {
	case F32:
		return n * 4, true
	case F16:
		return n * 2, true
	case Q8_0:
		return n / 32 * 34, n%32 == 0
	}
	return 0, false
}

// A Tensor is one entry of the tensor table.
type Tensor struct {
	Name string
	Kind Kind
	// Dims are the sizes, the fastest-running first: {columns, rows, …}.
	Dims []uint64
	// Data is the tensor's part of the bytes given to Parse.
	Data []byte
}

// A File is a parsed GGUF file. It keeps referring to the bytes it came from.
type File struct {
	Version uint32
	Tensors map[string]*Tensor
	meta    map[string]any // uint64, int64, float64, bool, string, []string, []float32, []int32 or other
}

// other stands for a metadata array of a type that nobody here asks for.
type other struct{}

// The metadata value types.
const (
	tUint8 = iota
	tInt8
	tUint16
	tInt16
	tUint32
	tInt32
	tFloat32
	tBool
	tString
	tArray
	tUint64
	tInt64
	tFloat64
)

// elementSize is the length of a fixed-size value type, 0 for the others.
var elementSize = [...]uint64{tUint8: 1, tInt8: 1, tUint16: 2, tInt16: 2, tUint32: 4, tInt32: 4, tFloat32: 4, tBool: 1, tUint64: 8, tInt64: 8, tFloat64: 8}

// Parse reads a whole file. The error says what is wrong and where.
func Parse(b []byte) (*File, error) {
	r := &reader{b: b}
	f, err := r.file()
	if err != nil {
		return nil, fmt.Errorf("gguf: %w (at byte %d)", err, r.at)
	}
	return f, nil
}

type reader struct {
	b  []byte
	at uint64
}

func (r *reader) left() uint64 { return uint64(len(r.b)) - r.at }

func (r *reader) take(n uint64) ([]byte, error) {
	if n > r.left() {
		return nil, fmt.Errorf("the file ends early")
	}
	p := r.b[r.at : r.at+n : r.at+n]
	r.at += n
	return p, nil
}

func (r *reader) u32() (uint32, error) {
	p, err := r.take(4)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(p), nil
}

func (r *reader) u64() (uint64, error) {
	p, err := r.take(8)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(p), nil
}

func (r *reader) str(most uint64) (string, error) {
	n, err := r.u64()
	if err != nil {
		return "", err
	}
	if n > most {
		return "", fmt.Errorf("a string of %d bytes is too long", n)
	}
	p, err := r.take(n)
	return string(p), err
}

func (r *reader) file() (*File, error) {
	magic, err := r.take(4)
	if err != nil || string(magic) != "GGUF" {
		return nil, fmt.Errorf("this isn't a GGUF file")
	}
	version, err := r.u32()
	if err != nil {
		return nil, err
	}
	if version != 2 && version != 3 {
		return nil, fmt.Errorf("version %d isn't known", version)
	}
	tensors, err := r.u64()
	if err != nil {
		return nil, err
	}
	keys, err := r.u64()
	if err != nil {
		return nil, err
	}
	if tensors > maxTensors || keys > maxKeys {
		return nil, fmt.Errorf("%d tensors and %d keys are too many", tensors, keys)
	}
	f := &File{Version: version, Tensors: map[string]*Tensor{}, meta: map[string]any{}}
	for range keys {
		key, err := r.str(maxName)
		if err != nil {
			return nil, err
		}
		if key == "" || !utf8.ValidString(key) {
			return nil, fmt.Errorf("a key isn't text")
		}
		if _, twice := f.meta[key]; twice {
			return nil, fmt.Errorf("key %q occurs twice", key)
		}
		if f.meta[key], err = r.value(); err != nil {
			return nil, fmt.Errorf("key %q: %w", key, err)
		}
	}
	return f, r.tensors(f, tensors)
}

func (r *reader) value() (any, error) {
	t, err := r.u32()
	if err != nil {
		return nil, err
	}
	switch {
	case t == tString:
		return r.str(r.left())
	case t == tArray:
		return r.array()
	case t < uint32(len(elementSize)):
		p, err := r.take(elementSize[t])
		if err != nil {
			return nil, err
		}
		return scalar(t, p)
	}
	return nil, fmt.Errorf("value type %d isn't known", t)
}

// scalar widens a fixed-size value.
func scalar(t uint32, p []byte) (any, error) {
	le := binary.LittleEndian
	switch t {
	case tUint8:
		return uint64(p[0]), nil
	case tInt8:
		return int64(int8(p[0])), nil
	case tUint16:
		return uint64(le.Uint16(p)), nil
	case tInt16:
		return int64(int16(le.Uint16(p))), nil
	case tUint32:
		return uint64(le.Uint32(p)), nil
	case tInt32:
		return int64(int32(le.Uint32(p))), nil
	case tUint64:
		return le.Uint64(p), nil
	case tInt64:
		return int64(le.Uint64(p)), nil
	case tFloat32:
		return float64(math.Float32frombits(le.Uint32(p))), nil
	case tFloat64:
		return math.Float64frombits(le.Uint64(p)), nil
	}
	if p[0] > 1 {
		return nil, fmt.Errorf("a bool is %d", p[0])
	}
	return p[0] == 1, nil
}

func (r *reader) array() (any, error) {
	t, err := r.u32()
	if err != nil {
		return nil, err
	}
	n, err := r.u64()
	if err != nil {
		return nil, err
	}
	if t == tString {
		if n > r.left()/8 { // each has at least its length
			return nil, fmt.Errorf("an array of %d strings is longer than the file", n)
		}
		list := make([]string, n)
		for i := range list {
			if list[i], err = r.str(maxName); err != nil {
				return nil, err
			}
		}
		return list, nil
	}
	if t >= uint32(len(elementSize)) || elementSize[t] == 0 {
		return nil, fmt.Errorf("arrays of type %d aren't known", t)
	}
	if n > r.left()/elementSize[t] {
		return nil, fmt.Errorf("an array of %d elements is longer than the file", n)
	}
	p, err := r.take(n * elementSize[t])
	if err != nil {
		return nil, err
	}
	switch t {
	case tFloat32:
		return Floats(p), nil
	case tInt32, tUint32:
		list := make([]int32, n)
		for i := range list {
			list[i] = int32(binary.LittleEndian.Uint32(p[4*i:]))
		}
		return list, nil
	}
	return other{}, nil
}

// tensors reads the tensor table and finds each tensor's data.
func (r *reader) tensors(f *File, n uint64) error {
	type entry struct {
		t      *Tensor
		offset uint64
	}
	list := make([]entry, 0, min(n, r.left()/32))
	for range n {
		name, err := r.str(maxName)
		if err != nil {
			return err
		}
		if _, twice := f.Tensors[name]; twice || name == "" {
			return fmt.Errorf("tensor %q occurs twice", name)
		}
		dims, err := r.u32()
		if err != nil {
			return err
		}
		if dims == 0 || dims > maxDims {
			return fmt.Errorf("tensor %q has %d dimensions", name, dims)
		}
		t := &Tensor{Name: name, Dims: make([]uint64, dims)}
		for i := range t.Dims {
			if t.Dims[i], err = r.u64(); err != nil {
				return err
			}
		}
		kind, err := r.u32()
		if err != nil {
			return err
		}
		offset, err := r.u64()
		if err != nil {
			return err
		}
		t.Kind = Kind(kind)
		f.Tensors[name] = t
		list = append(list, entry{t, offset})
	}

	align := uint64(32)
	if _, ok := f.meta["general.alignment"]; ok {
		var valid bool
		if align, valid = f.Uint("general.alignment"); !valid || align == 0 || align%8 != 0 || align > maxAlign {
			return fmt.Errorf("the alignment is invalid")
		}
	}
	if pad := (align - r.at%align) % align; n > 0 {
		if _, err := r.take(pad); err != nil {
			return err
		}
	}
	end := uint64(0) // of the last tensor, from the start of the data
	data := r.b[r.at:]
	for _, e := range list {
		size, err := e.t.size(uint64(len(data)))
		if err != nil {
			return err
		}
		if e.offset%align != 0 || e.offset > uint64(len(data)) || size > uint64(len(data))-e.offset {
			return fmt.Errorf("tensor %q lies outside the file", e.t.Name)
		}
		e.t.Data = data[e.offset : e.offset+size : e.offset+size]
		end = max(end, e.offset+size)
	}
	if uint64(len(data))-end >= align {
		return fmt.Errorf("the file has %d bytes more than its tensors", uint64(len(data))-end)
	}
	return nil
}

// size is the tensor's length in bytes. No dimension may exceed most, the
// length of all data, so that no product overflows.
func (t *Tensor) size(most uint64) (uint64, error) {
	if _, ok := t.Kind.rowSize(0); !ok {
		return 0, fmt.Errorf("tensor %q is stored as %s, which isn't supported here: only F32, F16 and Q8_0 are", t.Name, t.Kind)
	}
	for _, d := range t.Dims {
		if d == 0 || d > most {
			return 0, fmt.Errorf("tensor %q has a dimension of %d", t.Name, d)
		}
	}
	size, ok := t.Kind.rowSize(t.Dims[0])
	if !ok {
		return 0, fmt.Errorf("tensor %q has rows of %d, which Q8_0 can't hold", t.Name, t.Dims[0])
	}
	for _, d := range t.Dims[1:] {
		if size > most/d {
			return 0, fmt.Errorf("tensor %q is larger than the file", t.Name)
		}
		size *= d
	}
	return size, nil
}

// Floats decodes little-endian float32s.
func Floats(p []byte) []float32 {
	list := make([]float32, len(p)/4)
	for i := range list {
		list[i] = math.Float32frombits(binary.LittleEndian.Uint32(p[4*i:]))
	}
	return list
}
