// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package gguf

import "math"

// Has reports whether there is a value under a key, of whatever type.
func (f *File) Has(key string) bool {
	_, ok := f.meta[key]
	return ok
}

// Uint returns a whole number that isn't negative, whatever its width in the
// file. ok is false when there is none.
func (f *File) Uint(key string) (n uint64, ok bool) {
	switch v := f.meta[key].(type) {
	case uint64:
		return v, true
	case int64:
		return uint64(v), v >= 0
	}
	return 0, false
}

// Float returns a finite floating-point number.
func (f *File) Float(key string) (x float64, ok bool) {
	x, ok = f.meta[key].(float64)
	return x, ok && !math.IsNaN(x) && !math.IsInf(x, 0)
}

// Bool returns a truth value.
func (f *File) Bool(key string) (b, ok bool) {
	b, ok = f.meta[key].(bool)
	return b, ok
}

// String returns a string, "" when there is none.
func (f *File) String(key string) string {
	s, _ := f.meta[key].(string)
	return s
}

// Strings returns an array of strings; the caller must not change it.
func (f *File) Strings(key string) []string {
	list, _ := f.meta[key].([]string)
	return list
}

// Float32s returns an array of float32; the caller must not change it.
func (f *File) Float32s(key string) []float32 {
	list, _ := f.meta[key].([]float32)
	return list
}

// Int32s returns an array of 32-bit integers; the caller must not change it.
func (f *File) Int32s(key string) []int32 {
	list, _ := f.meta[key].([]int32)
	return list
}
