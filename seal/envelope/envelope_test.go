// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package envelope

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"testing"
)

// header returns the outside of a request to count recipients, which is all
// that this package looks at.
func header(count int, size uint32) []byte {
	b := []byte{Version, Suite, byte(count)}
	b = binary.BigEndian.AppendUint32(b, size)
	for i := range count {
		b = append(b, bytes.Repeat([]byte{byte(i + 1)}, RecipientSize)...)
	}
	return append(b, make([]byte, count*WrapSize)...)
}

func TestParse(t *testing.T) {
	for count := 1; count <= MaxRecipients; count++ {
		b := header(count, MinSize)
		h, err := Parse(append(b, "the body"...))
		if err != nil {
			t.Fatal(err)
		}
		if h.Len != len(b) || h.Size != MinSize || len(h.Recipients) != count {
			t.Errorf("count %d: got %+v", count, h)
		}
		for i, id := range h.Recipients {
			if id != [KeyIDSize]byte(bytes.Repeat([]byte{byte(i + 1)}, KeyIDSize)) {
				t.Errorf("count %d: recipient %d is %x", count, i, id)
			}
		}
		rest := bytes.NewReader(append(b, "the body"...))
		raw, read, err := Read(rest)
		if err != nil || !bytes.Equal(raw, b) || !reflect.DeepEqual(read, h) || rest.Len() != len("the body") {
			t.Errorf("count %d: Read: %+v, %v, with %d bytes left", count, read, err, rest.Len())
		}
		for i := range b {
			if _, err := Parse(b[:i]); !errors.Is(err, ErrTruncated) {
				t.Fatalf("count %d: %d of %d bytes: %v", count, i, len(b), err)
			}
			if _, _, err := Read(bytes.NewReader(b[:i])); err != io.EOF && err != io.ErrUnexpectedEOF {
				t.Fatalf("count %d: reading %d of %d bytes: %v", count, i, len(b), err)
			}
		}
	}
	if got := len(header(MaxRecipients, MinSize)); got != MaxHeader {
		t.Errorf("the longest header has %d bytes, MaxHeader is %d", got, MaxHeader)
	}
	longest, err := Parse(header(MaxRecipients, MaxSize))
	if err != nil || longest.MessageLen() != MaxMessage {
		t.Errorf("the longest request: %+v, %v; MaxMessage is %d", longest, err, MaxMessage)
	}
}

func TestMessageLen(t *testing.T) {
	for size, want := range map[int]int64{
		2048:     7 + 1184 + 2048 + 16,
		16384:    7 + 1184 + 16384 + 16,
		17408:    7 + 1184 + 17408 + 32,
		MaxSize:  7 + 1184 + MaxSize + 2048*16,
		32 << 10: 7 + 1184 + 32<<10 + 32,
	} {
		h, err := Parse(header(1, uint32(size)))
		if err != nil {
			t.Fatal(err)
		}
		if got := h.MessageLen(); got != want {
			t.Errorf("size %d: %d, want %d", size, got, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	valid := header(2, MinSize)
	edit := func(at int, v ...byte) []byte {
		b := bytes.Clone(valid)
		copy(b[at:], v)
		return b
	}
	for name, c := range map[string]struct {
		b    []byte
		want error
	}{
		"version 0":      {edit(0, 0), ErrVersion},
		"version 2":      {edit(0, 2), ErrVersion},
		"suite 2":        {edit(1, 2), ErrVersion},
		"no recipients":  {edit(2, 0), ErrFormat},
		"nine":           {header(9, MinSize), ErrFormat},
		"255":            {edit(2, 255), ErrFormat},
		"same twice":     {edit(FixedSize+RecipientSize, bytes.Repeat([]byte{1}, KeyIDSize)...), ErrFormat},
		"size 0":         {header(1, 0), ErrFormat},
		"size too small": {header(1, MinSize/2), ErrFormat},
		"no Padmé size":  {header(1, MinSize+1), ErrFormat},
		"too large":      {header(1, MaxSize+1<<20), ErrTooLarge},
		"largest":        {header(1, 1<<32-1), ErrTooLarge},
	} {
		if _, err := Parse(c.b); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
		if _, _, err := Read(bytes.NewReader(c.b)); !errors.Is(err, c.want) {
			t.Errorf("%s: reading: got %v, want %v", name, err, c.want)
		}
	}
}

func TestPaddedSize(t *testing.T) {
	if got := PaddedSize(0); got != MinSize {
		t.Errorf("PaddedSize(0) = %d", got)
	}
	last := 0
	for n := 1; n <= 1<<18; n++ {
		p := PaddedSize(n)
		if p < n || p < last || PaddedSize(p) != p {
			t.Fatalf("PaddedSize(%d) = %d", n, p)
		}
		if n >= MinSize && (p-n)*100 >= 12*n {
			t.Fatalf("PaddedSize(%d) = %d: 12 %% or more", n, p)
		}
		last = p
	}
}

// FuzzParse gives a gateway what a stranger might send.
func FuzzParse(f *testing.F) {
	f.Add(header(1, MinSize))
	f.Add(header(8, MaxSize))
	f.Add(header(3, 4096)[:2000])
	f.Add([]byte{1, 1, 9, 0, 0, 8, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := Parse(b)
		if err != nil {
			for _, e := range []error{ErrTruncated, ErrVersion, ErrFormat, ErrTooLarge} {
				if errors.Is(err, e) {
					return
				}
			}
			t.Fatalf("unnamed error %v", err)
		}
		if n := len(h.Recipients); n < 1 || n > MaxRecipients || h.Len > len(b) || h.Len > MaxHeader || h.MessageLen() > MaxMessage {
			t.Fatalf("%d bytes: %+v", len(b), h)
		}
	})
}
