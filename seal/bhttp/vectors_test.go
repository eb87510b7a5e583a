// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package bhttp

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "make the vectors anew")

const vectorFile = "../../spec/vectors/seal/bhttp.json"

var expectations = map[string]error{
	"ok":          nil,
	"truncated":   ErrTruncated,
	"format":      ErrFormat,
	"too_large":   ErrTooLarge,
	"unsupported": ErrUnsupported,
}

type vector struct {
	Name      string      `json:"name"`
	Kind      string      `json:"kind"`
	Expect    string      `json:"expect"`
	Message   string      `json:"message"` // hexadecimal
	Canonical bool        `json:"canonical,omitempty"`
	Method    string      `json:"method,omitempty"`
	Scheme    string      `json:"scheme,omitempty"`
	Authority string      `json:"authority,omitempty"`
	Path      string      `json:"path,omitempty"`
	Status    int         `json:"status,omitempty"`
	Header    [][2]string `json:"header,omitempty"`
	Body      []byte      `json:"body,omitempty"` // base64
}

// read reads the vector's message and returns what it has, in the same form.
func (v vector) read(t *testing.T) (got vector, err error) {
	t.Helper()
	message, err := hex.DecodeString(v.Message)
	if err != nil {
		t.Fatal(err)
	}
	got = vector{Name: v.Name, Kind: v.Kind, Expect: v.Expect, Message: v.Message}
	var header []Field
	var canonical []byte
	switch v.Kind {
	case "request":
		r, err := ParseRequest(message)
		if err != nil {
			return got, err
		}
		got.Method, got.Scheme, got.Authority, got.Path = r.Method, r.Scheme, r.Authority, r.Path
		got.Body, header = r.Body, r.Header
		if canonical, err = r.Append(nil); err != nil {
			t.Fatal(err)
		}
	case "response":
		r, err := ReadResponse(bytes.NewReader(message))
		if err != nil {
			return got, err
		}
		if got.Body, err = io.ReadAll(r.Body); err != nil {
			return vector{Name: v.Name, Kind: v.Kind, Expect: v.Expect, Message: v.Message}, err
		}
		got.Status, header = r.Status, r.Header
		canonical = AppendEnd(AppendChunk(AppendResponseHead(nil, r.Status, r.Header), got.Body))
	default:
		t.Fatalf("kind %q", v.Kind)
	}
	for _, f := range header {
		got.Header = append(got.Header, [2]string{f.Name, f.Value})
	}
	got.Canonical = bytes.Equal(canonical, message)
	return got, nil
}

func TestVectors(t *testing.T) {
	var f struct {
		About   string   `json:"about"`
		Vectors []vector `json:"vectors"`
	}
	if *update {
		f.About, f.Vectors = "Binary HTTP messages of the profile. See README.md.", makeVectors(t)
		b, err := json.MarshalIndent(f, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(vectorFile, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	for _, v := range f.Vectors {
		t.Run(v.Name, func(t *testing.T) {
			want, ok := expectations[v.Expect]
			if !ok {
				t.Fatalf("unknown expectation %q", v.Expect)
			}
			got, err := v.read(t)
			if !errors.Is(err, want) {
				t.Fatalf("got %v, want %s", err, v.Expect)
			}
			if got.Method != v.Method || got.Scheme != v.Scheme || got.Authority != v.Authority || got.Path != v.Path ||
				got.Status != v.Status || !slices.Equal(got.Header, v.Header) || !bytes.Equal(got.Body, v.Body) || got.Canonical != v.Canonical {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// makeVectors returns the vectors. What is in a valid one is what we read, and
// so for review: the RFC tests say independently what it must be.
func makeVectors(t *testing.T) (vectors []vector) {
	add := func(kind, expect, name, message string) {
		v := vector{Name: name, Kind: kind, Expect: expect, Message: hex.EncodeToString([]byte(message))}
		if expect == "ok" {
			var err error
			if v, err = v.read(t); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		vectors = append(vectors, v)
	}
	rfc := func(s string) string { return string(unhex(t, s)) }
	padded := rfc(figure9)
	informational := rfc(figure11)

	add("request", "ok", "RFC 9292, figure 8", rfc(figure8))
	add("request", "ok", "RFC 9292, figure 9, without its padding", padded[:len(padded)-10])
	add("request", "format", "RFC 9292, figure 9", padded)
	add("response", "ok", "RFC 9292, figure 11", informational)
	add("response", "unsupported", "RFC 9292, figure 13, which has a trailer", rfc(figure13))
	add("request", "truncated", "RFC 9458, appendix A: sections left out", rfc(ohttpRequest))
	add("response", "truncated", "RFC 9458, appendix A: sections left out in a response", rfc(ohttpResponse))

	const target = "\x04POST\x05https\x04node\x0f/v1/completions"
	add("request", "ok", "known length", "\x00"+target+"\x09\x01a\x02bc\x01d\x01e\x07content\x00")
	add("request", "ok", "chunks", "\x02"+target+"\x01a\x02bc\x00\x03con\x04tent\x00\x00")
	add("request", "format", "a response", "\x01\x40\xc8\x00\x00\x00")
	add("request", "format", "framing indicator 4", "\x04"+target+"\x00\x00\x00")
	add("request", "format", "integer in two bytes that fits in one", "\x00"+target+"\x00\x40\x01x\x00")
	add("request", "format", "byte after the end", "\x00"+target+"\x00\x00\x00\x00")
	add("request", "truncated", "cut in the path", "\x00"+target[:20])
	add("request", "truncated", "no trailer section", "\x00"+target+"\x00\x00")
	add("request", "truncated", "cut between chunks", "\x02"+target+"\x00\x03con")
	add("request", "format", "field name in upper case", "\x00"+target+"\x04\x01A\x01b\x00\x00")
	add("request", "format", "pseudo-header field", "\x00"+target+"\x05\x02:a\x01b\x00\x00")
	add("request", "format", "connection field", "\x00"+target+"\x09\x02te\x05gzip2\x00\x00")
	add("request", "format", "line break in a field", "\x00"+target+"\x06\x01a\x03b\r\n\x00\x00")
	add("request", "format", "space after a field", "\x00"+target+"\x05\x01a\x02b \x00\x00")
	add("request", "format", "empty field name", "\x00"+target+"\x03\x00\x01b\x00\x00")
	add("request", "format", "field longer than its section", "\x00"+target+"\x03\x01a\x05bcdef\x00\x00")
	add("request", "format", "path without a slash", "\x00\x03GET\x05https\x00\x01x\x00\x00\x00")
	add("request", "format", "space in the path", "\x00\x03GET\x05https\x00\x03/ x\x00\x00\x00")
	add("request", "format", "scheme", "\x00\x03GET\x02ws\x00\x01/\x00\x00\x00")
	add("request", "format", "method is not a token", "\x00\x03G T\x05https\x00\x01/\x00\x00\x00")
	add("request", "too_large", "length beyond all limits", "\x00\xff\xff\xff\xff\xff\xff\xff\xff")
	add("request", "too_large", "129 fields", "\x02"+target+strings.Repeat("\x01a\x01b", 129)+"\x00\x00\x00")
	add("request", "unsupported", "trailer in a request", "\x02"+target+"\x00\x00\x01a\x01b\x00")

	add("response", "ok", "stream", "\x03\x40\xc8\x01a\x01b\x00\x03con\x04tent\x00\x00")
	add("response", "ok", "known length response", "\x01\x40\xc8\x04\x01a\x01b\x07content\x00")
	add("response", "ok", "empty", "\x03\x41\x94\x00\x00\x00")
	add("response", "truncated", "no end of content", "\x03\x40\xc8\x00\x07content")
	add("response", "truncated", "cut in a chunk", "\x03\x40\xc8\x00\x07con")
	add("response", "truncated", "no trailer section in a response", "\x03\x40\xc8\x00\x07content\x00")
	add("response", "format", "byte after the end of a response", "\x03\x40\xc8\x00\x07content\x00\x00\x00")
	add("response", "format", "status 99", "\x03\x40\x63\x00\x00\x00")
	add("response", "format", "status 600", "\x03\x42\x58\x00\x00\x00")
	add("response", "format", "a request", "\x00"+target+"\x00\x00\x00")
	add("response", "too_large", "nine informational responses", "\x03"+strings.Repeat("\x40\x64\x00", 9)+"\x40\xc8\x00\x00\x00")
	return vectors
}
