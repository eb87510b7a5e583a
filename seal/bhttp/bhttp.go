// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package bhttp reads and writes HTTP messages as bytes: Binary HTTP, RFC
// 9292. A sealed request holds one, and so does its answer.
//
// We write requests in the known-length form, since they are complete before
// they are sealed, and responses in the indeterminate-length form, since they
// are sealed as they come. We read both forms of both. As for the rest we keep
// to a strict profile (spec/seal.md, "Binary HTTP"): no padding after the
// message and no missing sections at its end, for the seal pads and marks the
// end itself; shortest integers only; no trailers; lower-case field names; no
// pseudo-header or connection fields. An informational response is skipped.
//
// The package does not import net/http, so that it stays small in a browser.
package bhttp

import (
	"errors"
	"fmt"
)

const (
	// MaxHead bounds the size of everything before the content: control data
	// and fields, and of all informational responses.
	MaxHead = 64 << 10
	// MaxFields bounds the number of fields.
	MaxFields = 128
)

// The framing indicators of RFC 9292, section 3.3.
const (
	knownRequest          = 0
	knownResponse         = 1
	indeterminateRequest  = 2
	indeterminateResponse = 3
)

var (
	// ErrTruncated means that the message ended too early.
	ErrTruncated = errors.New("truncated")
	// ErrFormat means bytes that are not a message of our profile.
	ErrFormat = errors.New("malformed")
	// ErrTooLarge means that a length is above its limit.
	ErrTooLarge = errors.New("too large")
	// ErrUnsupported means a valid message with a part that our profile
	// leaves out, such as a trailer.
	ErrUnsupported = errors.New("not supported")
)

// Field is one header field. Name is in lower case in what was read, and is
// written so in any case.
type Field struct{ Name, Value string }

// Get returns the value of the first field with the given lower-case name, or
// "".
func Get(fields []Field, name string) string {
	for _, f := range fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// refusedFields may not appear, by RFC 9292, section 3.6 and RFC 9113, section
// 8.2.2: they speak of a connection, and there is none.
var refusedFields = map[string]bool{
	"connection": true, "keep-alive": true, "proxy-connection": true,
	"te": true, "trailer": true, "transfer-encoding": true, "upgrade": true,
}

// check reports why f may not stand in a message, by RFC 9113, section 8.2.1
// (which forbids what could be read differently as HTTP/1).
func (f Field) check() error {
	if f.Name == "" {
		return fmt.Errorf("%w: field without a name", ErrFormat)
	}
	for i := range len(f.Name) {
		if c := f.Name[i]; !isToken(c) || 'A' <= c && c <= 'Z' {
			return fmt.Errorf("%w: character %#x in a field name", ErrFormat, c)
		}
	}
	if refusedFields[f.Name] {
		return fmt.Errorf("%w: field %s", ErrFormat, f.Name)
	}
	for i := range len(f.Value) {
		if c := f.Value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return fmt.Errorf("%w: character %#x in field %s", ErrFormat, c, f.Name)
		}
	}
	if n := len(f.Value); n > 0 && (isSpace(f.Value[0]) || isSpace(f.Value[n-1])) {
		return fmt.Errorf("%w: space around the value of field %s", ErrFormat, f.Name)
	}
	return nil
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

// isToken reports whether c is a tchar of RFC 9110, section 5.6.2.
func isToken(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	switch c {
	case '!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~':
		return true
	}
	return false
}

// maxInt is the largest integer of RFC 9000, section 16.
const maxInt = 1<<62 - 1

// appendInt appends the shortest encoding of v, which is at most maxInt.
func appendInt(dst []byte, v uint64) []byte {
	switch {
	case v < 1<<6:
		return append(dst, byte(v))
	case v < 1<<14:
		return append(dst, 1<<6|byte(v>>8), byte(v))
	case v < 1<<30:
		return append(dst, 2<<6|byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
	case v <= maxInt:
		return append(dst, 3<<6|byte(v>>56), byte(v>>48), byte(v>>40), byte(v>>32),
			byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
	}
	panic("bhttp: integer out of range")
}

func appendString(dst []byte, s string) []byte {
	return append(appendInt(dst, uint64(len(s))), s...)
}

func appendField(dst []byte, f Field) []byte {
	return appendString(appendString(dst, f.Name), f.Value)
}
