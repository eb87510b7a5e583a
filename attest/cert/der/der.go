// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package der reads DER (ITU-T X.690, section 10), as much of it as
// certificates, revocation lists and the extensions of hardware makers use.
//
// It is strict: lengths are in their shortest form, booleans and integers have
// one encoding each, times are in UTC with seconds. What it returns are parts of
// its input; it copies nothing and allocates only strings for OIDs.
package der

import (
	"strconv"
	"time"
)

// Tags of the types in use. Context-specific ones are made by [Context].
const (
	Boolean         = 0x01
	Integer         = 0x02
	BitString       = 0x03
	OctetString     = 0x04
	Null            = 0x05
	OID             = 0x06
	Enumerated      = 0x0a
	UTF8String      = 0x0c
	NumericString   = 0x12
	PrintableString = 0x13
	T61String       = 0x14
	IA5String       = 0x16
	UTCTime         = 0x17
	GeneralizedTime = 0x18
	BMPString       = 0x1e
	Sequence        = 0x30
	Set             = 0x31
)

// Context returns the tag of a context-specific constructed element [n].
func Context(n byte) byte { return 0xa0 | n }

// Reader reads elements one after the other. Its zero value is at its end.
type Reader struct{ rest []byte }

// New returns a Reader of b, which the caller must not change while it is read.
func New(b []byte) Reader { return Reader{b} }

// Empty reports whether nothing is left.
func (r *Reader) Empty() bool { return len(r.rest) == 0 }

// Tag returns the tag of the next element, 0 at the end.
func (r *Reader) Tag() byte {
	if len(r.rest) == 0 {
		return 0
	}
	return r.rest[0]
}

// Element reads the next element, whatever it is: its tag, what is in it, and
// all of it with head.
func (r *Reader) Element() (tag byte, content, whole []byte, ok bool) {
	b := r.rest
	if len(b) < 2 || b[0]&0x1f == 0x1f { // tags above 30 are not in use
		return 0, nil, nil, false
	}
	head, n := 2, int(b[1])
	if n >= 0x80 {
		size := n & 0x7f
		if size == 0 || size > 3 || len(b) < 2+size || b[2] == 0 {
			return 0, nil, nil, false
		}
		head, n = 2+size, 0
		for _, c := range b[2:head] {
			n = n<<8 | int(c)
		}
		if n < 0x80 {
			return 0, nil, nil, false
		}
	}
	if n > len(b)-head {
		return 0, nil, nil, false
	}
	r.rest = b[head+n:]
	return b[0], b[head : head+n : head+n], b[: head+n : head+n], true
}

// Next reads an element of a tag and returns what is in it.
func (r *Reader) Next(tag byte) (content []byte, ok bool) {
	if r.Tag() != tag || tag == 0 {
		return nil, false
	}
	_, content, _, ok = r.Element()
	return content, ok
}

// Whole reads an element of a tag and returns all of it, with its head.
func (r *Reader) Whole(tag byte) (whole []byte, ok bool) {
	if r.Tag() != tag || tag == 0 {
		return nil, false
	}
	_, _, whole, ok = r.Element()
	return whole, ok
}

// In reads an element of a tag and returns a Reader of what is in it.
func (r *Reader) In(tag byte) (Reader, bool) {
	content, ok := r.Next(tag)
	return Reader{content}, ok
}

// Unsigned reads an INTEGER of zero or more and returns it big-endian without
// leading zeros; zero is one zero byte.
func (r *Reader) Unsigned() ([]byte, bool) {
	b, _ := r.Next(Integer) // nothing, if there is none
	switch {
	case len(b) == 0 || b[0] >= 0x80:
		return nil, false
	case len(b) > 1 && b[0] == 0:
		return b[1:], b[1] >= 0x80 // else the zero was needless
	}
	return b, true
}

// Int reads an INTEGER from 0 to most, which is below 2^31.
func (r *Reader) Int(most int) (int, bool) {
	b, ok := r.Unsigned()
	if !ok {
		return 0, false
	}
	return number(b, most)
}

// Enum reads an ENUMERATED from 0 to most, which is below 2^31.
func (r *Reader) Enum(most int) (int, bool) {
	b, _ := r.Next(Enumerated)
	if len(b) == 0 || b[0] >= 0x80 || len(b) > 1 && b[0] == 0 && b[1] < 0x80 {
		return 0, false
	}
	return number(b, most)
}

func number(b []byte, most int) (int, bool) {
	n := 0
	for _, c := range b {
		if n > most>>8 {
			return 0, false
		}
		n = n<<8 | int(c)
	}
	if n > most {
		return 0, false
	}
	return n, true
}

// Bool reads a BOOLEAN.
func (r *Reader) Bool() (value, ok bool) {
	b, _ := r.Next(Boolean)
	if len(b) != 1 || b[0] != 0 && b[0] != 0xff {
		return false, false
	}
	return b[0] == 0xff, true
}

// Bits reads a BIT STRING and returns its bytes and how many bits of the last
// one are not part of it; those are zero.
func (r *Reader) Bits() (bits []byte, unused int, ok bool) {
	b, _ := r.Next(BitString)
	if len(b) == 0 || b[0] > 7 || len(b) == 1 && b[0] != 0 {
		return nil, 0, false
	}
	bits, unused = b[1:], int(b[0])
	if unused > 0 && bits[len(bits)-1]&(1<<unused-1) != 0 {
		return nil, 0, false
	}
	return bits, unused, true
}

// maxOID bounds the bytes of an object identifier.
const maxOID = 64

// OID reads an OBJECT IDENTIFIER and returns it in dotted form.
func (r *Reader) OID() (string, bool) {
	b, _ := r.Next(OID)
	if len(b) == 0 || len(b) > maxOID {
		return "", false
	}
	var out []byte
	arc, start := uint64(0), true
	for i, c := range b {
		arc = arc<<7 | uint64(c&0x7f)
		if start && c == 0x80 || arc > 1<<31-1 { // needless zero; no arc in use is so large
			return "", false
		}
		start = false
		if c >= 0x80 {
			if i == len(b)-1 {
				return "", false
			}
			continue
		}
		if out == nil {
			first := min(arc/40, 2)
			out = strconv.AppendUint(out, first, 10)
			arc -= 40 * first
		}
		out = append(out, '.')
		out = strconv.AppendUint(out, arc, 10)
		arc, start = 0, true
	}
	return string(out), true
}

// Time reads a UTCTime or a GeneralizedTime as RFC 5280, section 4.1.2.5, writes
// them, and returns it in Unix seconds.
func (r *Reader) Time() (int64, bool) {
	tag, b, _, _ := r.Element()
	year := 0
	switch {
	case tag == UTCTime && len(b) == 13:
		y, ok := digits(b[:2])
		if !ok {
			return 0, false
		}
		if year = 1900 + y; y < 50 {
			year = 2000 + y
		}
		b = b[2:]
	case tag == GeneralizedTime && len(b) == 15:
		y, ok := digits(b[:4])
		if !ok {
			return 0, false
		}
		year, b = y, b[4:]
	default:
		return 0, false
	}
	var f [5]int
	for i := range f {
		f[i], _ = digits(b[2*i : 2*i+2])
	}
	t := time.Date(year, time.Month(f[0]), f[1], f[2], f[3], f[4], 0, time.UTC)
	// A date that there isn't comes back as another one, and what isn't digits as digits.
	return t.Unix(), t.Format("0102150405Z") == string(b)
}

func digits(b []byte) (n int, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}
