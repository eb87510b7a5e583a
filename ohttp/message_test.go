// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package ohttp

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/sotto-chat/sotto/seal/bhttp"
)

func mustHex(s string) []byte { return must(hex.DecodeString(strings.ReplaceAll(s, " ", ""))) }

// The head of a request for https://example.com/, after the framing indicator.
const getHead = "03474554 056874747073 0b6578616d706c652e636f6d 012f"

func TestReadMessage(t *testing.T) {
	for name, c := range map[string]struct {
		in     string
		fields int
		length int64
		body   string
		err    error
	}{
		"RFC 9458's, which ends early":     {"00" + getHead, 0, 0, "", nil},
		"whole":                            {"00" + getHead + "000000", 0, 0, "", nil},
		"padded":                           {"00" + getHead + "00000000000000", 0, 0, "", nil},
		"without a trailer":                {"00" + getHead + "00 026869", 0, 2, "hi", nil},
		"with all":                         {"00" + getHead + "04 01610162 026869 00", 1, 2, "hi", nil},
		"in chunks":                        {"02" + getHead + "01610162 00 0168 0169 00 00", 1, -1, "hi", nil},
		"in chunks, fields left open":      {"02" + getHead + "01610162", 1, 0, "", nil},
		"in chunks, content left open":     {"02" + getHead + "00 026869", 0, -1, "hi", nil},
		"in chunks, no fields and no end":  {"02" + getHead, 0, 0, "", nil},
		"long integers":                    {"00" + getHead + "4000 800000026869 c000000000000000", 0, 2, "hi", nil},
		"an upper-case name":               {"00" + getHead + "04 01410162 00 00", 1, 0, "", nil},
		"nothing":                          {"", 0, 0, "", ErrTruncated},
		"a response":                       {"0140c8", 0, 0, "", ErrMalformed},
		"ends in the path":                 {"00" + getHead[:len(getHead)-2], 0, 0, "", ErrTruncated},
		"ends in an integer":               {"00" + getHead + "40", 0, 0, "", ErrTruncated},
		"ends in a field":                  {"02" + getHead + "0161", 0, 0, "", ErrTruncated},
		"ends in the section":              {"00" + getHead + "04 0161", 0, 0, "", ErrTruncated},
		"ends in the content's length":     {"00" + getHead + "00 80", 0, 0, "", ErrTruncated},
		"ends in the content":              {"00" + getHead + "00 0368", 0, 3, "h", ErrTruncated},
		"ends in a chunk":                  {"02" + getHead + "00 0368", 0, -1, "h", ErrTruncated},
		"ends in a chunk's length":         {"02" + getHead + "00 0168 40", 0, -1, "h", ErrTruncated},
		"a field longer than its section":  {"00" + getHead + "03 016105 00 00", 0, 0, "", ErrMalformed},
		"a trailer":                        {"00" + getHead + "00 026869 04 01610162", 0, 2, "hi", ErrMalformed},
		"bytes after the end":              {"00" + getHead + "00 00 00 01", 0, 0, "", ErrMalformed},
		"a field that divides a message":   {"00" + getHead + "05 01610262 0a 00 00", 0, 0, "", ErrMalformed},
		"a field of a connection":          {"00" + getHead + "15 11 7472616e736665722d656e636f64696e67 02 6869 00 00", 0, 0, "", ErrMalformed},
		"expects to be asked":              {"00" + getHead + "09 06 657870656374 01 31 00 00", 0, 0, "", ErrMalformed},
		"a path that is none":              {"00 03474554 056874747073 00 0161", 0, 0, "", ErrMalformed},
		"a path above the head's limit":    {"00 03474554 056874747073 00 80010001", 0, 0, "", ErrTooLarge},
		"a section above the head's limit": {"00" + getHead + "80010001", 0, 0, "", ErrTooLarge},
		"content that nobody would send":   {"00" + getHead + "00 c000010000000001", 0, 0, "", ErrTooLarge},
		"too many fields":                  {"02" + getHead + strings.Repeat("01610162", 129), 0, 0, "", ErrTooLarge},
		"as many fields as there may be":   {"02" + getHead + strings.Repeat("01610162", 128), 128, 0, "", nil},
	} {
		m, err := ReadMessage(iotest.OneByteReader(bytes.NewReader(mustHex(c.in))))
		var body []byte
		if err == nil {
			if len(m.Header) != c.fields || m.Length != c.length || m.Method != "GET" || m.Path != "/" || m.Authority != "example.com" {
				t.Errorf("%s: %+v", name, m)
			}
			body, err = io.ReadAll(m.Body)
		}
		if !errors.Is(err, c.err) || c.err == nil && err != nil || string(body) != c.body {
			t.Errorf("%s: %q, %v; want %v", name, body, err, c.err)
		}
	}
}

// FuzzReadMessage: whatever bhttp takes is read in the same way, and nothing makes a
// reader panic or go on for ever.
func FuzzReadMessage(f *testing.F) {
	f.Add(mustHex("00" + getHead + "04 01610162 026869 00"))
	f.Add(mustHex("02" + getHead + "01610162 00 0168 0169 00 00"))
	f.Add(mustHex("00" + getHead))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ReadMessage(bytes.NewReader(b))
		var body []byte
		if err == nil {
			body, err = io.ReadAll(m.Body)
		}
		want, strictErr := bhttp.ParseRequest(b)
		if strictErr != nil {
			return
		}
		if bhttp.Get(want.Header, "expect") != "" {
			return
		}
		if err != nil {
			t.Fatalf("bhttp takes it: %v", err)
		}
		if m.Method != want.Method || m.Path != want.Path || m.Authority != want.Authority || !reflect.DeepEqual(m.Header, want.Header) || !bytes.Equal(body, want.Body) {
			t.Fatalf("%+v, %q; want %+v", m, body, want)
		}
	})
}
