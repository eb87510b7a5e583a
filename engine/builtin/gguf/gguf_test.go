// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package gguf_test

import (
	"encoding/binary"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/sotto-chat/sotto/engine/builtin/gguf"
	"github.com/sotto-chat/sotto/engine/builtin/gguf/gguftest"
)

func TestParse(t *testing.T) {
	b := (&gguftest.Builder{}).Set("a.uint", uint32(7)).Set("a.float", float32(0.5)).Set("a.bool", true).Set("a.int", int32(-3)).
		Set("a.string", "hällo").Set("a.list", []string{"x", "", "z"}).
		Tensor("t", gguf.F32, []float32{1, 2, 3, 4, 5, 6}, 3, 2).
		Tensor("h", gguf.F16, []float32{0.5, -2}, 2)
	f, err := gguf.Parse(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if n, ok := f.Uint("a.uint"); n != 7 || !ok {
		t.Error("uint", n, ok)
	}
	if _, ok := f.Uint("a.int"); ok {
		t.Error("a negative number passed for a count")
	}
	if x, ok := f.Float("a.float"); x != 0.5 || !ok {
		t.Error("float", x, ok)
	}
	if v, ok := f.Bool("a.bool"); !v || !ok {
		t.Error("bool")
	}
	if f.String("a.string") != "hällo" || len(f.Strings("a.list")) != 3 || f.String("a.uint") != "" {
		t.Error("strings")
	}
	got := gguf.Floats(f.Tensors["t"].Data)
	if len(got) != 6 || got[5] != 6 {
		t.Error("tensor", got)
	}
	if h := f.Tensors["h"].Data; len(h) != 4 || gguf.FromHalf(binary.LittleEndian.Uint16(h[2:])) != -2 {
		t.Error("half tensor", h)
	}
}

// TestHostile changes single fields of a good file to what a liar would write.
func TestHostile(t *testing.T) {
	good := (&gguftest.Builder{}).Set("k", []string{"ab", "cd"}).Set("n", uint32(1)).Tensor("t", gguf.F32, make([]float32, 64), 8, 8).Bytes()
	le := binary.LittleEndian
	at := func(part string) int {
		i := strings.Index(string(good), part)
		if i < 0 {
			t.Fatalf("no %q in the file", part)
		}
		return i + len(part)
	}
	dims := at("\x01\x00\x00\x00\x00\x00\x00\x00t") // after the tensor's name
	for name, change := range map[string]func(b []byte) []byte{
		"magic":           func(b []byte) []byte { b[0] = 'X'; return b },
		"version":         func(b []byte) []byte { le.PutUint32(b[4:], 9); return b },
		"tensor count":    func(b []byte) []byte { le.PutUint64(b[8:], 1<<62); return b },
		"key count":       func(b []byte) []byte { le.PutUint64(b[16:], 1<<62); return b },
		"key length":      func(b []byte) []byte { le.PutUint64(b[24:], 1<<63); return b },
		"value type":      func(b []byte) []byte { le.PutUint32(b[33:], 77); return b },
		"array type":      func(b []byte) []byte { le.PutUint32(b[37:], 9); return b },
		"array length":    func(b []byte) []byte { le.PutUint64(b[41:], 1<<61); return b },
		"string length":   func(b []byte) []byte { le.PutUint64(b[49:], 1<<40); return b },
		"dimension count": func(b []byte) []byte { le.PutUint32(b[dims:], 5); return b },
		"no dimensions":   func(b []byte) []byte { le.PutUint32(b[dims:], 0); return b },
		"huge dimension":  func(b []byte) []byte { le.PutUint64(b[dims+4:], 1<<63); return b },
		"zero dimension":  func(b []byte) []byte { le.PutUint64(b[dims+4:], 0); return b },
		"product": func(b []byte) []byte {
			le.PutUint64(b[dims+4:], 1<<8)
			le.PutUint64(b[dims+12:], 1<<8)
			return b
		},
		"kind":         func(b []byte) []byte { le.PutUint32(b[dims+20:], 12); return b },
		"Q8_0 row":     func(b []byte) []byte { le.PutUint32(b[dims+20:], 8); return b },
		"offset":       func(b []byte) []byte { le.PutUint64(b[dims+24:], 1<<63); return b },
		"odd offset":   func(b []byte) []byte { le.PutUint64(b[dims+24:], 4); return b },
		"cut short":    func(b []byte) []byte { return b[:len(b)-1] },
		"one too many": func(b []byte) []byte { return append(b, make([]byte, 32)...) },
		"empty":        func(b []byte) []byte { return nil },
	} {
		b := change(append([]byte(nil), good...))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := gguf.Parse(b)
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
			t.Errorf("%s: allocated %d bytes for a file of %d", name, grown, len(b))
		}
	}
	if _, err := gguf.Parse(good); err != nil {
		t.Error("the unchanged file was refused:", err)
	}
	twice := (&gguftest.Builder{}).Set("k", true).Set("k", true).Bytes()
	if _, err := gguf.Parse(twice); err == nil {
		t.Error("a key that occurs twice was accepted")
	}
}

// TestHalf goes through every half-precision number and the points between.
func TestHalf(t *testing.T) {
	for h := range 1 << 16 {
		x := gguf.FromHalf(uint16(h))
		if x != x {
			continue
		}
		if back := gguf.ToHalf(x); back != uint16(h) {
			t.Fatalf("%04x became %v became %04x", h, x, back)
		}
		if h&0x7fff >= 0x7bff {
			continue
		}
		next := gguf.FromHalf(uint16(h + 1))
		middle := (x + next) / 2
		if got, even := gguf.ToHalf(middle), uint16(h+h&1); got != even {
			t.Fatalf("the middle of %04x and %04x became %04x", h, h+1, got)
		}
		if got := gguf.ToHalf(math.Nextafter32(middle, x)); got != uint16(h) {
			t.Fatalf("just beside the middle, %04x became %04x", h, got)
		}
	}
	if gguf.ToHalf(65520) != 0x7c00 || gguf.ToHalf(float32(math.Inf(-1))) != 0xfc00 || gguf.ToHalf(1e-10) != 0 {
		t.Error("the ends")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(gguftest.Tiny{Dim: 32, Layers: 1}.Bytes())
	f.Add((&gguftest.Builder{}).Set("k", []string{"ab"}).Set("n", []int32{1}).Set("general.alignment", uint32(64)).Tensor("t", gguf.Q8_0, make([]float32, 32), 32).Bytes())
	f.Add([]byte("GGUF\x03\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := gguf.Parse(b)
		if err != nil {
			return
		}
		total := 0
		for _, tensor := range file.Tensors {
			total += len(tensor.Data)
		}
		if total > len(b)*len(file.Tensors) {
			t.Fatal("tensors hold more than the file")
		}
	})
}
