// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package bhttp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func TestRequestRoundTrip(t *testing.T) {
	for _, r := range []*Request{
		{Method: "GET", Scheme: "https", Path: "/"},
		{Method: "POST", Scheme: "http", Authority: "127.0.0.1:8787", Path: "/v1/chat/completions?x=1",
			Header: []Field{{"content-type", "application/json"}, {"x-empty", ""}, {"x-name", "Zoë, 雪"}},
			Body:   bytes.Repeat([]byte("body"), 50_000)},
	} {
		b, err := r.Append([]byte("before"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseRequest(b[len("before"):])
		if err != nil {
			t.Fatal(err)
		}
		if !equalRequests(got, r) {
			t.Errorf("got %+v", got)
		}
		for i := range min(len(b)-len("before"), 200) {
			if _, err := ParseRequest(b[len("before"):][:i]); !errors.Is(err, ErrTruncated) {
				t.Errorf("%d bytes: %v", i, err)
			}
		}
	}
}

func TestRequestIndeterminate(t *testing.T) {
	head := "\x02\x04POST\x05https\x00\x01/\x01a\x01b\x00"
	r, err := ParseRequest([]byte(head + "\x03one\x03two\x00\x00"))
	if err != nil {
		t.Fatal(err)
	}
	if string(r.Body) != "onetwo" || !slices.Equal(r.Header, []Field{{"a", "b"}}) {
		t.Errorf("got %+v", r)
	}
	for end, want := range map[string]error{
		"\x03one\x00\x00\x00":              ErrFormat,
		"\x03one\x00\x01a\x01b":            ErrUnsupported,
		"\x03one\x00":                      ErrTruncated,
		"\x03on":                           ErrTruncated,
		"\x03one":                          ErrTruncated,
		"\xff\xff\xff\xff\xff\xff\xff\xff": ErrTruncated,
	} {
		if _, err := ParseRequest([]byte(head + end)); !errors.Is(err, want) {
			t.Errorf("%q: got %v, want %v", end, err, want)
		}
	}
}

// str returns s with its length, below 64, before it.
func str(s string) string { return string(rune(len(s))) + s }

func TestParseRequestRefuses(t *testing.T) {
	const target = "\x03GET\x05https\x00\x01/"
	field := func(name, value string) string {
		section := str(name) + str(value)
		return "\x00" + target + str(section) + "\x00\x00"
	}
	for b, want := range map[string]error{
		"":                  ErrTruncated,
		"\x01" + target:     ErrFormat, // a response
		"\x03" + target:     ErrFormat,
		"\x04" + target:     ErrFormat,
		"\x40\x00" + target: ErrFormat, // 0 in two bytes
		"\x00\x40\x03GET\x05https\x00\x01/\x00\x00\x00":       ErrFormat, // 3 in two bytes
		"\x00\x03G T\x05https\x00\x01/\x00\x00\x00":           ErrFormat,
		"\x00\x00\x05https\x00\x01/\x00\x00\x00":              ErrFormat,
		"\x00\x03GET\x03ftp\x00\x01/\x00\x00\x00":             ErrFormat,
		"\x00\x03GET\x05https\x00\x00\x00\x00\x00":            ErrFormat,
		"\x00\x03GET\x05https\x00\x01*\x00\x00\x00":           ErrFormat,
		"\x00\x03GET\x05https\x00\x03/ x\x00\x00\x00":         ErrFormat,
		"\x00\x03GET\x05https\x00\x03/\r\n\x00\x00\x00":       ErrFormat,
		"\x00\x03GET\x05https\x03a\x00b\x01/\x00\x00\x00":     ErrFormat,
		"\x00\x80\x01\x00\x01" + strings.Repeat("x", 1<<16+1): ErrTooLarge,
		"\x00\xff\xff\xff\xff\xff\xff\xff\xff":                ErrTooLarge,
		"\x00" + target + "\x80\x01\x00\x01":                  ErrTooLarge,
		"\x00" + target + "\x03\x01ab\x00\x00":                ErrFormat, // the value is outside of the section
		"\x00" + target + "\x02\x05a\x00\x00":                 ErrFormat, // and the name
		"\x00" + target + "\x04\x01a\x01b\x00":                ErrTruncated,
		"\x00" + target + "\x04\x01a\x01b\x00\x04\x01a\x01b":  ErrUnsupported,
		"\x00" + target + "\x00\x01x\x00\x00":                 ErrFormat, // a byte after the end
		"\x00" + target + "\x00\x05x\x00":                     ErrTruncated,
		field("", "x"):                                        ErrFormat,
		field("Content-Type", "x"):                            ErrFormat,
		field(":path", "x"):                                   ErrFormat,
		field("a b", "x"):                                     ErrFormat,
		field("a", "x\r\ny: z"):                               ErrFormat,
		field("a", "x\x00y"):                                  ErrFormat,
		field("a", " x"):                                      ErrFormat,
		field("a", "x\t"):                                     ErrFormat,
		field("transfer-encoding", "x"):                       ErrFormat,
		field("connection", "close"):                          ErrFormat,
	} {
		if _, err := ParseRequest([]byte(b)); !errors.Is(err, want) {
			t.Errorf("%.60q: got %v, want %v", b, err, want)
		}
	}
}

func TestParseRequestManyFields(t *testing.T) {
	r := &Request{Method: "GET", Scheme: "https", Path: "/", Header: slices.Repeat([]Field{{"a", "b"}}, MaxFields)}
	b, err := r.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseRequest(b); err != nil {
		t.Error(err)
	}
	r.Header = append(r.Header, Field{"a", "b"})
	if _, err := r.Append(nil); !errors.Is(err, ErrTooLarge) {
		t.Errorf("written: got %v", err)
	}
	section := strings.Repeat("\x01a\x01b", MaxFields+1)
	b = append([]byte("\x00\x03GET\x05https\x00\x01/"), appendString(nil, section)...)
	if _, err := ParseRequest(append(b, 0, 0)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("read: got %v", err)
	}
}

// What Append refuses could not be parsed either.
func TestAppendRefuses(t *testing.T) {
	for name, edit := range map[string]func(*Request){
		"no method":   func(r *Request) { r.Method = "" },
		"method":      func(r *Request) { r.Method = "GET\r\n" },
		"long method": func(r *Request) { r.Method = strings.Repeat("G", 33) },
		"scheme":      func(r *Request) { r.Scheme = "ws" },
		"authority":   func(r *Request) { r.Authority = strings.Repeat("a", 256) },
		"no path":     func(r *Request) { r.Path = "" },
		"path":        func(r *Request) { r.Path = "x" },
		"long path":   func(r *Request) { r.Path = "/" + strings.Repeat("x", 8<<10) },
		"newline":     func(r *Request) { r.Header = []Field{{"a", "b\nc"}} },
		"name":        func(r *Request) { r.Header = []Field{{"a:", "b"}} },
		"long header": func(r *Request) { r.Header = []Field{{"a", strings.Repeat("b", MaxHead)}} },
	} {
		r := &Request{Method: "GET", Scheme: "https", Path: "/"}
		edit(r)
		if _, err := r.Append(nil); !errors.Is(err, ErrFormat) && !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	r := &Request{Method: "GET", Scheme: "https", Path: "/", Header: []Field{{"Content-Type", "text/plain"}}}
	b, err := r.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseRequest(b)
	if err != nil || Get(got.Header, "content-type") != "text/plain" || Get(got.Header, "x") != "" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestResponseRoundTrip(t *testing.T) {
	content := strings.Repeat("0123456789", 10_000)
	b := AppendResponseHead(nil, 200, []Field{{"Content-Type", "text/event-stream"}, {"x", ""}})
	b = AppendChunk(b, nil)
	for _, n := range []int{1, 63, 64, 16383, 16384, 60000} {
		b = AppendChunk(b, []byte(content[:n]))
	}
	b = AppendEnd(b)
	want := content[:1] + content[:63] + content[:64] + content[:16383] + content[:16384] + content[:60000]
	for _, src := range []io.Reader{bytes.NewReader(b), iotest.OneByteReader(bytes.NewReader(b)), iotest.DataErrReader(bytes.NewReader(b))} {
		r, err := ReadResponse(src)
		if err != nil {
			t.Fatal(err)
		}
		if r.Status != 200 || !slices.Equal(r.Header, []Field{{"content-type", "text/event-stream"}, {"x", ""}}) {
			t.Errorf("status %d, header %v", r.Status, r.Header)
		}
		if got, err := io.ReadAll(r.Body); err != nil || string(got) != want {
			t.Errorf("got %d bytes, %v", len(got), err)
		}
	}
}

// A response is never whole before its end, wherever it is cut.
func TestResponseCut(t *testing.T) {
	b := AppendResponseHead(nil, 200, []Field{{"a", "b"}})
	b = AppendEnd(AppendChunk(AppendChunk(b, []byte("one")), []byte("two")))
	known := []byte("\x01\x40\xc8\x04\x01a\x01b\x06onetwo\x00")
	for _, b := range [][]byte{b, known} {
		for i := range b {
			r, err := ReadResponse(bytes.NewReader(b[:i]))
			if err == nil {
				_, err = io.Copy(io.Discard, r.Body)
			}
			if !errors.Is(err, ErrTruncated) {
				t.Errorf("%x: %d bytes: %v", b, i, err)
			}
		}
		r, err := ReadResponse(bytes.NewReader(append(bytes.Clone(b), 0)))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r.Body); string(got) != "onetwo" || !errors.Is(err, ErrFormat) {
			t.Errorf("%x: a byte after the end: %q, %v", b, got, err)
		}
	}
}

// Content is there as soon as its bytes are.
func TestResponseStreams(t *testing.T) {
	pr, pw := io.Pipe()
	go func() {
		pw.Write(AppendResponseHead(nil, 200, nil))
		for i := range 3 {
			pw.Write(AppendChunk(nil, fmt.Appendf(nil, "event %d", i)))
		}
		pw.Write([]byte("\x05he")) // a chunk that comes in two parts
		pw.Write([]byte("llo"))
		pw.Write(AppendEnd(nil))
		pw.Close()
	}()
	r, err := ReadResponse(pr)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	for _, want := range []string{"event 0", "event 1", "event 2", "he", "llo"} {
		n, err := r.Body.Read(buf)
		if err != nil || string(buf[:n]) != want {
			t.Fatalf("got %q, %v, want %q", buf[:n], err, want)
		}
	}
	for range 2 {
		if n, err := r.Body.Read(buf); n != 0 || err != io.EOF {
			t.Fatalf("at the end: %d, %v", n, err)
		}
	}
}

func TestResponseError(t *testing.T) {
	b := AppendChunk(AppendResponseHead(nil, 200, nil), []byte("hello"))
	broken := errors.New("broken")
	for i := range len(b) + 1 {
		r, err := ReadResponse(io.MultiReader(bytes.NewReader(b[:i]), iotest.ErrReader(broken)))
		if err == nil {
			_, err = io.Copy(io.Discard, r.Body)
			if _, again := r.Body.Read(make([]byte, 1)); again != err {
				t.Errorf("%d bytes: %v, then %v", i, err, again)
			}
		}
		if !errors.Is(err, broken) {
			t.Errorf("%d bytes: %v", i, err)
		}
	}
}

func TestReadResponseRefuses(t *testing.T) {
	for b, want := range map[string]error{
		"\x00\x40\xc8\x00":                                 ErrFormat, // a request
		"\x02\x40\xc8\x00":                                 ErrFormat,
		"\x03\x3f\x00\x00":                                 ErrFormat, // status 63
		"\x03\x42\x58\x00\x00":                             ErrFormat, // status 600
		"\x03\x80\x00\x00\xc8\x00\x00\x00":                 ErrFormat, // 200 in four bytes
		"\x03" + strings.Repeat("\x40\x64\x00", 9):         ErrTooLarge,
		"\x03\x40\xc8\x01A\x01b\x00\x00\x00":               ErrFormat,
		"\x03\x40\xc8\x80\x01\x00\x01":                     ErrTooLarge,
		"\x03\x40\x64" + strings.Repeat("\x40\x64\x00", 3): ErrTruncated, // a name of 100 bytes
	} {
		if _, err := ReadResponse(strings.NewReader(b)); !errors.Is(err, want) {
			t.Errorf("%q: got %v, want %v", b, err, want)
		}
	}
}

// A node passes on what a model server said, which may be anything.
func TestAppendResponseHeadLeavesOut(t *testing.T) {
	header := []Field{{"Content-Type", "text/plain"}, {"Transfer-Encoding", "chunked"}, {"a\n", "b"}, {"a", "b\r\nc: d"},
		{"big", strings.Repeat("x", MaxHead)}, {"last", "one"}}
	r, err := ReadResponse(bytes.NewReader(AppendEnd(AppendResponseHead(nil, 999, header))))
	if err != nil {
		t.Fatal(err)
	}
	if want := []Field{{"content-type", "text/plain"}, {"last", "one"}}; r.Status != 502 || !slices.Equal(r.Header, want) {
		t.Errorf("status %d, header %v", r.Status, r.Header)
	}
	r, err = ReadResponse(bytes.NewReader(AppendEnd(AppendResponseHead(nil, 200, slices.Repeat([]Field{{"a", "b"}}, 1000)))))
	if err != nil || len(r.Header) != MaxFields {
		t.Errorf("%d fields, %v", len(r.Header), err)
	}
}

func TestIntegers(t *testing.T) {
	// RFC 9000, appendix A.1.
	for v, want := range map[uint64]string{
		151288809941952652: "c2197c5eff14e88c",
		494878333:          "9d7f3e7d",
		15293:              "7bbd",
		37:                 "25",
		maxInt:             "ffffffffffffffff",
		0:                  "00",
		63:                 "3f",
		64:                 "4040",
		16383:              "7fff",
		16384:              "80004000",
		1<<30 - 1:          "bfffffff",
		1 << 30:            "c000000040000000",
	} {
		b := appendInt(nil, v)
		if got := fmt.Sprintf("%x", b); got != want {
			t.Errorf("%d is written as %s, want %s", v, got, want)
		}
		d := &decoder{src: bytes.NewReader(b)}
		if got, err := d.integer(); got != v || err != nil {
			t.Errorf("%s is read as %d, %v", want, got, err)
		}
	}
	// 37 in two bytes, which RFC 9000 allows and we do not, and the like.
	for _, b := range [][]byte{{0x40, 0x25}, {0x40, 0x3f}, {0x80, 0, 0x3f, 0xff}, {0xc0, 0, 0, 0, 0x3f, 0xff, 0xff, 0xff}} {
		d := &decoder{src: bytes.NewReader(b)}
		if _, err := d.integer(); !errors.Is(err, ErrFormat) {
			t.Errorf("%x: got %v", b, err)
		}
	}
}

func named(err error) bool {
	return errors.Is(err, ErrTruncated) || errors.Is(err, ErrFormat) || errors.Is(err, ErrTooLarge) || errors.Is(err, ErrUnsupported)
}

// FuzzParseRequest checks that a known-length request has one encoding.
func FuzzParseRequest(f *testing.F) {
	f.Add(unhex(f, figure8))
	f.Add(unhex(f, figure9))
	f.Add([]byte("\x02\x04POST\x05https\x00\x01/\x01a\x01b\x00\x03one\x03two\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRequest(b)
		if err != nil {
			if !named(err) {
				t.Fatal(err)
			}
			return
		}
		again, err := r.Append(nil)
		if errors.Is(err, ErrTooLarge) {
			return // the head with its lengths is just above MaxHead
		}
		if err != nil {
			t.Fatal(err)
		}
		if b[0] == knownRequest && !bytes.Equal(again, b) {
			t.Fatalf("%x is written as %x", b, again)
		}
		r2, err := ParseRequest(again)
		if err != nil || !equalRequests(r, r2) {
			t.Fatalf("%+v is read again as %+v, %v", r, r2, err)
		}
	})
}

// FuzzReadResponse checks that what is read can be written and read again.
func FuzzReadResponse(f *testing.F) {
	f.Add(unhex(f, figure11))
	f.Add(unhex(f, figure13))
	f.Add(AppendEnd(AppendChunk(AppendResponseHead(nil, 404, []Field{{"a", "b"}}), []byte("hello"))))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ReadResponse(bytes.NewReader(b))
		if err != nil {
			if !named(err) {
				t.Fatal(err)
			}
			return
		}
		content, err := io.ReadAll(r.Body)
		if err != nil {
			if !named(err) {
				t.Fatal(err)
			}
			return
		}
		again := AppendEnd(AppendChunk(AppendResponseHead(nil, r.Status, r.Header), content))
		r2, err := ReadResponse(bytes.NewReader(again))
		if err != nil {
			t.Fatal(err)
		}
		if c2, err := io.ReadAll(r2.Body); err != nil || r2.Status != r.Status || !slices.Equal(r2.Header, r.Header) || !bytes.Equal(c2, content) {
			t.Fatalf("%x is read again otherwise, %v", b, err)
		}
	})
}

func BenchmarkReadResponse(b *testing.B) {
	chunk := make([]byte, 16<<10)
	message := AppendResponseHead(nil, 200, []Field{{"content-type", "application/octet-stream"}})
	for range 64 {
		message = AppendChunk(message, chunk)
	}
	message = AppendEnd(message)
	src := bytes.NewReader(nil)
	b.SetBytes(64 * int64(len(chunk)))
	b.ReportAllocs()
	for b.Loop() {
		src.Reset(message)
		r, err := ReadResponse(src)
		if err != nil {
			b.Fatal(err)
		}
		for {
			if _, err := r.Body.Read(chunk); err == io.EOF {
				break
			} else if err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkParseRequest(b *testing.B) {
	message, err := (&Request{Method: "POST", Scheme: "https", Authority: "node", Path: "/v1/chat/completions",
		Header: []Field{{"content-type", "application/json"}}, Body: make([]byte, 1500)}).Append(nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseRequest(message); err != nil {
			b.Fatal(err)
		}
	}
}
