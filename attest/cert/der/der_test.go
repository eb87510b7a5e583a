// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package der

import (
	"bytes"
	"encoding/hex"
	"strconv"
	"strings"
	"testing"
	"time"
)

// unhex reads hex with spaces.
func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// long is an element of n zero bytes with the given head.
func long(head string, n int) []byte { return append(unhex(head), make([]byte, n)...) }

func TestElement(t *testing.T) {
	for name, tt := range map[string]struct {
		in      []byte
		content int // bytes; -1 if refused
	}{
		"empty":                    {unhex("30 00"), 0},
		"short":                    {unhex("04 02 aabb"), 2},
		"what follows stays":       {unhex("04 02 aabb cc"), 2},
		"longest short form":       {long("04 7f", 127), 127},
		"shortest long form":       {long("04 81 80", 128), 128},
		"255":                      {long("04 81 ff", 255), 255},
		"256":                      {long("04 82 0100", 256), 256},
		"65535":                    {long("04 82 ffff", 65535), 65535},
		"65536":                    {long("04 83 010000", 65536), 65536},
		"tag 30":                   {unhex("1e 00"), 0},
		"context 30":               {unhex("be 00"), 0},
		"nothing":                  {nil, -1},
		"no length":                {unhex("04"), -1},
		"tag 31, in more bytes":    {unhex("1f 02 aabb"), -1},
		"context 31":               {unhex("bf 02 aabb"), -1},
		"cut off":                  {unhex("04 02 aa"), -1},
		"indefinite":               {unhex("30 80 0000"), -1},
		"indefinite, and long":     {long("30 80", 200), -1},
		"indefinite, and nothing":  {unhex("30 80"), -1},
		"127 in the long form":     {long("04 81 7f", 127), -1},
		"0 in the long form":       {unhex("04 81 00"), -1},
		"128 in three bytes":       {long("04 82 0080", 128), -1},
		"256 in four":              {long("04 83 000100", 256), -1},
		"length of four bytes":     {long("04 84 01000000", 1<<24), -1},
		"length of many":           {long("04 ff 01", 300), -1},
		"length cut off":           {unhex("04 82 01"), -1},
		"length of one byte, none": {unhex("04 81"), -1},
		"cut off, in long form":    {long("04 81 80", 127), -1},
	} {
		r := New(tt.in)
		tag, content, whole, ok := r.Element()
		if ok != (tt.content >= 0) {
			t.Errorf("%s: ok is %t", name, ok)
			continue
		}
		if !ok {
			if !bytes.Equal(r.rest, tt.in) || content != nil || whole != nil {
				t.Errorf("%s: what was refused was read", name)
			}
			continue
		}
		if tag != tt.in[0] || len(content) != tt.content || len(whole)+len(r.rest) != len(tt.in) || !bytes.Equal(whole, tt.in[:len(whole)]) || !bytes.HasSuffix(whole, content) {
			t.Errorf("%s: tag %x, %d bytes of %d", name, tag, len(content), len(whole))
		}
		if cap(content) != len(content) || cap(whole) != len(whole) {
			t.Errorf("%s: an append would write over what follows", name)
		}
	}
}

func TestReaders(t *testing.T) {
	r := New(unhex("04 01 aa 30 03 02 01 05 05 00"))
	if _, ok := r.Next(Sequence); ok {
		t.Error("another tag was read")
	}
	if _, ok := r.Whole(Sequence); ok {
		t.Error("another tag was read whole")
	}
	if _, ok := r.In(Sequence); ok {
		t.Error("another tag was read into")
	}
	if b, ok := r.Next(OctetString); !ok || !bytes.Equal(b, unhex("aa")) {
		t.Errorf("Next = %x, %t", b, ok)
	}
	if r.Tag() != Sequence || r.Empty() {
		t.Errorf("next is %x", r.Tag())
	}
	again := r
	if b, ok := again.Whole(Sequence); !ok || !bytes.Equal(b, unhex("30 03 02 01 05")) {
		t.Errorf("Whole = %x, %t", b, ok)
	}
	in, ok := r.In(Sequence)
	if n, isInt := in.Int(5); !ok || !isInt || n != 5 || !in.Empty() {
		t.Errorf("In = %v, %t", n, ok)
	}
	if _, ok := in.Whole(Integer); ok || in.Tag() != 0 {
		t.Error("past the end there is more")
	}
	if b, ok := r.Next(Null); !ok || len(b) != 0 || !r.Empty() {
		t.Error("NULL isn't there")
	}
	for _, cut := range []string{"30 02 05", "30 82 01"} {
		for name, f := range map[string]func(*Reader) bool{
			"Next":  func(r *Reader) bool { _, ok := r.Next(Sequence); return ok },
			"Whole": func(r *Reader) bool { _, ok := r.Whole(Sequence); return ok },
			"In":    func(r *Reader) bool { _, ok := r.In(Sequence); return ok },
		} {
			if r := New(unhex(cut)); f(&r) {
				t.Errorf("%s reads %s, which is cut off", name, cut)
			}
		}
	}
	// Tag 0 is what a reader says at its end; nothing can be found by it.
	for _, f := range []func(*Reader) bool{
		func(r *Reader) bool { _, ok := r.Next(0); return ok },
		func(r *Reader) bool { _, ok := r.Whole(0); return ok },
	} {
		if r, end := New(unhex("00 00")), New(nil); f(&r) || f(&end) {
			t.Error("an element of tag 0 was read")
		}
	}
	if Context(3) != 0xa3 {
		t.Errorf("Context(3) = %x", Context(3))
	}
}

func TestIntegers(t *testing.T) {
	for _, tt := range []struct {
		in       string // the content
		unsigned string // "" if refused
		most, n  int    // of Int; -1 if refused
	}{
		{"00", "00", 0, 0},
		{"05", "05", 5, 5},
		{"05", "05", 4, -1},
		{"7f", "7f", 127, 127},
		{"0080", "80", 128, 128},
		{"0080", "80", 127, -1},
		{"00ff", "ff", 255, 255},
		{"0100", "0100", 255, -1},
		{"0100", "0100", 256, 256},
		{"7fffffff", "7fffffff", 1<<31 - 1, 1<<31 - 1},
		{"7fffffff", "7fffffff", 1<<31 - 2, -1},
		{"0080000000", "80000000", 1<<31 - 1, -1},
		{"7fffffffffffffffffffff", "7fffffffffffffffffffff", 1<<31 - 1, -1},
		{"", "", 9, -1},
		{"80", "", 255, -1},         // negative
		{"ff", "", 255, -1},         // -1
		{"0000", "", 9, -1},         // needless zero
		{"0001", "", 9, -1},         // needless zero
		{"007f", "", 255, -1},       // needless zero
		{"000080", "", 1 << 20, -1}, // needless zero
	} {
		content := unhex(tt.in)
		r := New(append([]byte{Integer, byte(len(content))}, content...))
		again, enum := r, New(append([]byte{Enumerated, byte(len(content))}, content...))
		b, ok := r.Unsigned()
		if ok != (tt.unsigned != "") || ok && hex.EncodeToString(b) != tt.unsigned {
			t.Errorf("Unsigned of %q = %x, %t", tt.in, b, ok)
		}
		n, ok := again.Int(tt.most)
		if ok != (tt.n >= 0) || ok && n != tt.n {
			t.Errorf("Int(%d) of %q = %d, %t", tt.most, tt.in, n, ok)
		}
		n, ok = enum.Enum(tt.most)
		if ok != (tt.n >= 0) || ok && n != tt.n {
			t.Errorf("Enum(%d) of %q = %d, %t", tt.most, tt.in, n, ok)
		}
	}
	if r := New(unhex("0a 01 05")); true {
		if _, ok := r.Int(9); ok {
			t.Error("an ENUMERATED was read as INTEGER")
		}
	}
	if r := New(unhex("02 01 05")); true {
		if _, ok := r.Enum(9); ok {
			t.Error("an INTEGER was read as ENUMERATED")
		}
	}
}

func TestBool(t *testing.T) {
	for in, want := range map[string]string{
		"01 01 00": "false", "01 01 ff": "true",
		"01 01 01": "refused", "01 01 fe": "refused", "01 00": "refused", "01 02 ffff": "refused", "01 02 0000": "refused",
		"02 01 00": "refused", "": "refused",
	} {
		r := New(unhex(in))
		v, ok := r.Bool()
		got := strconv.FormatBool(v)
		if !ok {
			got = "refused"
		}
		if got != want || !ok && v {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestBits(t *testing.T) {
	for in, want := range map[string]string{
		"03 01 00": ":0", "03 02 00 ff": "ff:0", "03 02 07 80": "80:7", "03 03 04 fff0": "fff0:4", "03 02 01 fe": "fe:1",
		"03 00": "", "03 01 01": "", "03 01 07": "", "03 02 08 00": "", "03 02 07 c0": "", "03 02 01 ff": "", "03 02 01 01": "", "03 03 04 fff8": "",
		"04 02 00 ff": "", "23 02 00 ff": "", "": "",
	} {
		r := New(unhex(in))
		b, unused, ok := r.Bits()
		got := hex.EncodeToString(b) + ":" + strconv.Itoa(unused)
		if !ok {
			got = ""
		}
		if got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

func TestOID(t *testing.T) {
	for in, want := range map[string]string{
		"06 01 00":                      "0.0",
		"06 01 27":                      "0.39",
		"06 01 28":                      "1.0",
		"06 01 4f":                      "1.39",
		"06 01 50":                      "2.0",
		"06 01 7f":                      "2.47",
		"06 03 55 1d 0f":                "2.5.29.15",
		"06 03 81 34 03":                "2.100.3",
		"06 09 2a864886f70d01010b":      "1.2.840.113549.1.1.11",
		"06 07 2a 87ffffff7f 05":        "1.2.2147483647.5",
		"06 07 2a 8880808000 05":        "", // 2^31
		"06 0b 2a ffffffffffffffffff7f": "",
		"06 05 87ffffff7f":              "2.2147483567",
		"06 00":                         "",
		"06 01 80":                      "",
		"06 02 2a 80":                   "",
		"06 03 2a 80 01":                "", // needless zero
		"06 02 80 01":                   "",
		"06 03 2a 03 81":                "", // cut off
		"06 04 2a 81 80 01":             "1.2.16385",
		"05 01 2a":                      "",
		"0d 01 2a":                      "", // relative
		"":                              "",
	} {
		r := New(unhex(in))
		if got, ok := r.OID(); got != want || ok != (want != "") {
			t.Errorf("%s: %q, %t, want %q", in, got, ok, want)
		}
	}
	for n, ok := range map[int]bool{maxOID: true, maxOID + 1: false} {
		r := New(append([]byte{OID, byte(n)}, bytes.Repeat([]byte{1}, n)...))
		if _, got := r.OID(); got != ok {
			t.Errorf("OID of %d bytes: %t", n, got)
		}
	}
}

func TestTime(t *testing.T) {
	at := func(s string) string {
		u, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return strconv.FormatInt(u.Unix(), 10)
	}
	utc, general := byte(UTCTime), byte(GeneralizedTime)
	for _, tt := range []struct {
		tag      byte
		in, want string
	}{
		{utc, "700101000000Z", at("1970-01-01T00:00:00Z")},
		{utc, "500101000000Z", at("1950-01-01T00:00:00Z")},
		{utc, "491231235959Z", at("2049-12-31T23:59:59Z")},
		{utc, "240229123456Z", at("2024-02-29T12:34:56Z")},
		{utc, "991231235959Z", at("1999-12-31T23:59:59Z")},
		{general, "20500101000000Z", at("2050-01-01T00:00:00Z")},
		{general, "99991231235959Z", at("9999-12-31T23:59:59Z")},
		{general, "20240229000000Z", at("2024-02-29T00:00:00Z")},
		{general, "19000101000000Z", at("1900-01-01T00:00:00Z")},

		{utc, "230229000000Z", ""}, // no such day
		{utc, "240230000000Z", ""},
		{utc, "240431000000Z", ""},
		{utc, "240001000000Z", ""},
		{utc, "241301000000Z", ""},
		{utc, "240100000000Z", ""},
		{utc, "240132000000Z", ""},
		{utc, "240101240000Z", ""},
		{utc, "240101006000Z", ""},
		{utc, "240101000060Z", ""}, // leap seconds aren't written
		{utc, "2401010000Z", ""},   // without seconds
		{utc, "240101000000", ""},
		{utc, "240101000000z", ""},
		{utc, "240101000000+", ""},
		{utc, "2401010000+00", ""},
		{utc, "240101000000+0000", ""},
		{utc, "20240101000000Z", ""},
		{utc, "", ""},
		{utc, "2 0101000000Z", ""},
		{utc, "+10101000000Z", ""},
		{utc, "2401010000:0Z", ""},
		{utc, "24010100000/Z", ""},
		{utc, "a40101000000Z", ""},
		{general, "240101000000Z", ""},
		{general, "20240101000000", ""},
		{general, "20240101000000.0Z", ""},
		{general, "2024010100000aZ", ""},
		{general, "-0240101000000Z", ""},
		{general, "2024010100000 Z", ""},
		{general, "20240101000000+", ""},
		{IA5String, "240101000000Z", ""},
		{PrintableString, "20240101000000Z", ""},
	} {
		r := New(append([]byte{tt.tag, byte(len(tt.in))}, tt.in...))
		n, ok := r.Time()
		got := strconv.FormatInt(n, 10)
		if !ok {
			got = ""
		}
		if got != tt.want {
			t.Errorf("%x %q: %q, want %q", tt.tag, tt.in, got, tt.want)
		}
	}
	if r := New(unhex("17 0d 32")); true {
		if _, ok := r.Time(); ok {
			t.Error("a time that is cut off was read")
		}
	}
}

// encode writes an element again, from what was read of it.
func encode(tag byte, content []byte) []byte {
	n := len(content)
	b := []byte{tag}
	switch {
	case n < 1<<7:
		b = append(b, byte(n))
	case n < 1<<8:
		b = append(b, 0x81, byte(n))
	case n < 1<<16:
		b = append(b, 0x82, byte(n>>8), byte(n))
	default:
		b = append(b, 0x83, byte(n>>16), byte(n>>8), byte(n))
	}
	return append(b, content...)
}

// FuzzReader: what is accepted has one encoding, the one that was read.
func FuzzReader(f *testing.F) {
	for _, s := range []string{
		"30 03 02 01 05", "02 02 0080", "0a 01 07", "01 01 ff", "03 02 07 80", "06 09 2a864886f70d01010b",
		"17 0d 3234303232393132333435365a", "18 0f 39393939313233313233353935395a", "04 81 80", "30 80 0000",
	} {
		f.Add(unhex(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		for r := New(in); !r.Empty(); {
			before := r
			tag, content, whole, ok := r.Element()
			if !ok {
				break
			}
			if !bytes.Equal(encode(tag, content), whole) || !bytes.HasPrefix(before.rest, whole) {
				t.Fatalf("%x was read as %x and %x", whole, tag, content)
			}
			check := func(what string, ok bool, again ...[]byte) {
				if ok && !bytes.Equal(encode(tag, bytes.Join(again, nil)), whole) {
					t.Fatalf("%x is not the only encoding of its %s", whole, what)
				}
			}
			q := before
			if b, ok := q.Unsigned(); ok {
				var pad []byte
				if b[0] >= 0x80 {
					pad = []byte{0}
				}
				check("number", ok, pad, b)
			}
			q = before
			if n, ok := q.Enum(1<<31 - 1); ok {
				b := []byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
				for len(b) > 1 && b[0] == 0 && b[1] < 0x80 {
					b = b[1:]
				}
				check("enumeration", ok, b)
			}
			q = before
			if v, ok := q.Bool(); ok {
				check("truth", ok, []byte{map[bool]byte{true: 0xff}[v]})
			}
			q = before
			if b, unused, ok := q.Bits(); ok {
				check("bits", ok, []byte{byte(unused)}, b)
			}
			q = before
			if s, ok := q.OID(); ok {
				check("OID", ok, encodeOID(s))
			}
			q = before
			if n, ok := q.Time(); ok {
				form := "20060102150405Z"
				if tag == UTCTime {
					form = form[2:]
				}
				check("time", ok, []byte(time.Unix(n, 0).UTC().Format(form)))
			}
		}
	})
}

func encodeOID(s string) (out []byte) {
	var arcs []uint64
	for part := range strings.SplitSeq(s, ".") {
		n, _ := strconv.ParseUint(part, 10, 64)
		arcs = append(arcs, n)
	}
	arcs[1] += 40 * arcs[0]
	for _, n := range arcs[1:] {
		b := []byte{byte(n & 0x7f)}
		for n >>= 7; n > 0; n >>= 7 {
			b = append([]byte{byte(n&0x7f) | 0x80}, b...)
		}
		out = append(out, b...)
	}
	return out
}
