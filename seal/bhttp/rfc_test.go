// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package bhttp

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

// The examples of RFC 9292, section 5, byte for byte.
const (
	// figure8 is the known-length request of section 5.1.
	figure8 = "00034745 54056874 74707300 0a2f6865 6c6c6f2e 74787440 6c0a7573 65722d61" +
		"67656e74 34637572 6c2f372e 31362e33 206c6962 6375726c 2f372e31 362e3320" +
		"4f70656e 53534c2f 302e392e 376c207a 6c69622f 312e322e 3304686f 73740f77" +
		"77772e65 78616d70 6c652e63 6f6d0f61 63636570 742d6c61 6e677561 67650665" +
		"6e2c206d 690000"
	// figure9 is the same in indeterminate length, with 10 bytes of padding.
	figure9 = "02034745 54056874 74707300 0a2f6865 6c6c6f2e 7478740a 75736572 2d616765" +
		"6e743463 75726c2f 372e3136 2e33206c 69626375 726c2f37 2e31362e 33204f70" +
		"656e5353 4c2f302e 392e376c 207a6c69 622f312e 322e3304 686f7374 0f777777" +
		"2e657861 6d706c65 2e636f6d 0f616363 6570742d 6c616e67 75616765 06656e2c" +
		"206d6900 00000000 00000000 00000000"
	// figure11 is the indeterminate-length response of section 5.2, with two
	// informational responses.
	figure11 = "03406607 72756e6e 696e670a 22736c65 65702031 35220040 67046c69 6e6b233c" +
		"2f737479 6c652e63 73733e3b 2072656c 3d707265 6c6f6164 3b206173 3d737479" +
		"6c65046c 696e6b24 3c2f7363 72697074 2e6a733e 3b207265 6c3d7072 656c6f61" +
		"643b2061 733d7363 72697074 0040c804 64617465 1d4d6f6e 2c203237 204a756c" +
		"20323030 39203132 3a32383a 35332047 4d540673 65727665 72064170 61636865" +
		"0d6c6173 742d6d6f 64696669 65641d57 65642c20 3232204a 756c2032 30303920" +
		"31393a31 353a3536 20474d54 04657461 67142233 34616133 38372d64 2d313536" +
		"38656230 30220d61 63636570 742d7261 6e676573 05627974 65730e63 6f6e7465" +
		"6e742d6c 656e6774 68023531 04766172 790f4163 63657074 2d456e63 6f64696e" +
		"670c636f 6e74656e 742d7479 70650a74 6578742f 706c6169 6e003348 656c6c6f" +
		"20576f72 6c642120 4d792063 6f6e7465 6e742069 6e636c75 64657320 61207472" +
		"61696c69 6e672043 524c462e 0d0a0000"
	// figure13 is the known-length response of section 5.2, with a trailer.
	figure13 = "0140c800 1d546869 7320636f 6e74656e 7420636f 6e746169 6e732043 524c462e" +
		"0d0a0d07 74726169 6c657204 74657874"
	// ohttpRequest and ohttpResponse are the messages of RFC 9458, appendix A.
	// They leave out the empty sections at their end.
	ohttpRequest  = "00034745 54056874 7470730b 6578616d 706c652e 636f6d01 2f"
	ohttpResponse = "0140c8"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var figure7 = &Request{
	Method: "GET", Scheme: "https", Path: "/hello.txt",
	Header: []Field{
		{"user-agent", "curl/7.16.3 libcurl/7.16.3 OpenSSL/0.9.7l zlib/1.2.3"},
		{"host", "www.example.com"},
		{"accept-language", "en, mi"},
	},
}

func equalRequests(a, b *Request) bool {
	return a.Method == b.Method && a.Scheme == b.Scheme && a.Authority == b.Authority && a.Path == b.Path &&
		slices.Equal(a.Header, b.Header) && bytes.Equal(a.Body, b.Body)
}

func TestRFCRequest(t *testing.T) {
	known := unhex(t, figure8)
	r, err := ParseRequest(known)
	if err != nil {
		t.Fatal(err)
	}
	if !equalRequests(r, figure7) {
		t.Errorf("figure 8: got %+v", r)
	}
	b, err := figure7.Append(nil)
	if err != nil || !bytes.Equal(b, known) {
		t.Errorf("figure 7 is written as %x, %v", b, err)
	}

	padded := unhex(t, figure9)
	if _, err := ParseRequest(padded); !errors.Is(err, ErrFormat) {
		t.Errorf("figure 9 with its padding: got %v, want ErrFormat", err)
	}
	if r, err = ParseRequest(padded[:len(padded)-10]); err != nil {
		t.Fatal(err)
	}
	if !equalRequests(r, figure7) {
		t.Errorf("figure 9: got %+v", r)
	}

	short := unhex(t, ohttpRequest)
	if _, err := ParseRequest(short); !errors.Is(err, ErrTruncated) {
		t.Errorf("sections left out: got %v, want ErrTruncated", err)
	}
	if r, err = ParseRequest(append(short, 0, 0, 0)); err != nil {
		t.Fatal(err)
	}
	if want := (&Request{Method: "GET", Scheme: "https", Authority: "example.com", Path: "/"}); !equalRequests(r, want) {
		t.Errorf("got %+v", r)
	}
}

func TestRFCResponse(t *testing.T) {
	r, err := ReadResponse(bytes.NewReader(unhex(t, figure11)))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	if want := "Hello World! My content includes a trailing CRLF.\r\n"; string(body) != want {
		t.Errorf("figure 11: content %q", body)
	}
	want := []Field{
		{"date", "Mon, 27 Jul 2009 12:28:53 GMT"},
		{"server", "Apache"},
		{"last-modified", "Wed, 22 Jul 2009 19:15:56 GMT"},
		{"etag", `"34aa387-d-1568eb00"`},
		{"accept-ranges", "bytes"},
		{"content-length", "51"},
		{"vary", "Accept-Encoding"},
		{"content-type", "text/plain"},
	}
	if r.Status != 200 || !slices.Equal(r.Header, want) {
		t.Errorf("figure 11: status %d, header %v", r.Status, r.Header)
	}

	b := AppendEnd(AppendChunk(AppendResponseHead(nil, r.Status, r.Header), body))
	// The figure without its informational responses: up to the status 200.
	full := unhex(t, figure11)
	final := full[bytes.Index(full, []byte{0x40, 0xc8}):]
	if !bytes.Equal(b[1:], final) {
		t.Errorf("figure 11 is written as %x", b)
	}

	if r, err = ReadResponse(bytes.NewReader(unhex(t, figure13))); err != nil {
		t.Fatal(err)
	}
	body, err = io.ReadAll(r.Body)
	if string(body) != "This content contains CRLF.\r\n" || !errors.Is(err, ErrUnsupported) {
		t.Errorf("figure 13: %q, %v; want its content and ErrUnsupported for its trailer", body, err)
	}

	short := unhex(t, ohttpResponse)
	if _, err := ReadResponse(bytes.NewReader(short)); !errors.Is(err, ErrTruncated) {
		t.Errorf("sections left out: got %v, want ErrTruncated", err)
	}
	if r, err = ReadResponse(bytes.NewReader(append(short, 0, 0, 0))); err != nil {
		t.Fatal(err)
	}
	if body, err = io.ReadAll(r.Body); r.Status != 200 || len(body) != 0 || err != nil {
		t.Errorf("got %d, %q, %v", r.Status, body, err)
	}
}
