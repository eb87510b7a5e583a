// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package bhttp

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// tchars are the characters of names and methods, by RFC 9110, section 5.6.2.
const tchars = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// TestEachCharacter tries all bytes in each place of a request.
func TestEachCharacter(t *testing.T) {
	for i := range 256 {
		c := string([]byte{byte(i)})
		token := strings.Contains(tchars, c)
		upper := token && c != strings.ToLower(c)
		text := i >= ' ' && i != 0x7f || i == '\t'
		visible := i > ' ' && i < 0x7f
		for place, tt := range map[string]struct {
			r    Request
			good bool
		}{
			"method":    {Request{Method: "A" + c, Scheme: "https", Path: "/"}, token},
			"authority": {Request{Method: "GET", Scheme: "https", Authority: c, Path: "/"}, visible},
			"path":      {Request{Method: "GET", Scheme: "https", Path: "/" + c}, visible},
			"value":     {Request{Method: "GET", Scheme: "https", Path: "/", Header: []Field{{"a", "x" + c + "x"}}}, text},
		} {
			if _, err := tt.r.Append(nil); (err == nil) != tt.good {
				t.Errorf("%q in the %s: %v", c, place, err)
			}
		}
		f := Field{"a" + c, ""}
		if err := f.check(); (err == nil) != (token && !upper) {
			t.Errorf("%q in a name: %v", c, err)
		}
	}
}

// TestLargestParts: what is just within a limit passes, what is just beyond doesn't.
func TestLargestParts(t *testing.T) {
	base := func() Request { return Request{Method: "GET", Scheme: "https", Path: "/"} }
	for name, tt := range map[string]struct {
		most int
		make func(n int) Request
	}{
		"method":    {maxMethod, func(n int) Request { r := base(); r.Method = strings.Repeat("A", n); return r }},
		"authority": {maxAuthority, func(n int) Request { r := base(); r.Authority = strings.Repeat("a", n); return r }},
		"path":      {maxPath, func(n int) Request { r := base(); r.Path = "/" + strings.Repeat("a", n-1); return r }},
		// The framing, the parts with a byte each for their lengths, and the one
		// field's own lengths, of which the value's takes four bytes.
		"head": {MaxHead, func(n int) Request {
			r := base()
			r.Header = []Field{{"a", strings.Repeat("a", n-(1+4+6+1+2)-(1+1+4))}}
			return r
		}},
	} {
		for over := range 2 {
			r := tt.make(tt.most + over)
			b, err := r.Append(nil)
			if (err == nil) != (over == 0) {
				t.Errorf("%s of %d: %v", name, tt.most+over, err)
			}
			if err != nil {
				continue
			}
			if _, err := ParseRequest(b); err != nil {
				t.Errorf("%s of %d can't be read: %v", name, tt.most, err)
			}
		}
	}
	// All the text that a head may have.
	head := "\x02\x03GET\x05https\x00\x01/\x01a"
	value := appendString(nil, strings.Repeat("b", MaxHead-3-5-1-1))
	if _, err := ParseRequest([]byte(head + string(value) + "\x00\x00\x00")); err != nil {
		t.Errorf("a whole head: %v", err)
	}
}

func TestFieldsAreCheckedInBothForms(t *testing.T) {
	const target = "\x03GET\x05https\x00\x01/"
	for name, b := range map[string]string{
		"upper case, indeterminate": "\x02" + target + "\x01A\x01b\x00\x00\x00",
		"integer in a long form":    "\x00" + target + "\x05\x40\x01a\x01b\x00\x00",
		"end in a long form":        "\x02" + target + "\x40\x00\x00\x00",
	} {
		if _, err := ParseRequest([]byte(b)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestIntegersHaveAnEnd(t *testing.T) {
	if got := appendInt(nil, maxInt); len(got) != 8 {
		t.Errorf("the largest takes %d bytes", len(got))
	}
	defer func() {
		if recover() != "bhttp: integer out of range" {
			t.Error("one more is written")
		}
	}()
	appendInt(nil, maxInt+1)
}

func TestStatuses(t *testing.T) {
	for status, want := range map[int]int{0: 502, 100: 502, 199: 502, 200: 200, 599: 599, 600: 502} {
		r, err := ReadResponse(strings.NewReader(string(AppendEnd(AppendResponseHead(nil, status, nil)))))
		if err != nil || r.Status != want {
			t.Errorf("%d is written as %v, %v", status, r, err)
		}
	}
}

// A field may take all the room that there is.
func TestFieldOfAWholeHead(t *testing.T) {
	for over := range 2 {
		header := []Field{{"a", strings.Repeat("b", MaxHead-1+over)}}
		r, err := ReadResponse(strings.NewReader(string(AppendEnd(AppendResponseHead(nil, 200, header)))))
		if err != nil || len(r.Header) != 1-over {
			t.Errorf("%d too many: %v", over, err)
		}
	}
}

func TestBodyErrors(t *testing.T) {
	const head = "\x03\x40\xc8\x00"
	lost := errors.New("lost")
	for name, tt := range map[string]struct {
		src  io.Reader
		want error
	}{
		"lost where the end should be":    {io.MultiReader(strings.NewReader(head+"\x01x\x00\x00"), iotest.ErrReader(lost)), lost},
		"lost where a chunk should begin": {io.MultiReader(strings.NewReader(head+"\x01x"), iotest.ErrReader(lost)), lost},
		"length in a long form":           {strings.NewReader(head + "\x40\x01x\x00\x00"), ErrFormat},
	} {
		r, err := ReadResponse(tt.src)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = io.ReadAll(r.Body); !errors.Is(err, tt.want) || !strings.HasPrefix(err.Error(), "bhttp: response: ") {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

// A read of nothing finds out nothing.
func TestReadNothing(t *testing.T) {
	r, err := ReadResponse(strings.NewReader("\x03\x40\xc8\x00\x01x\x00\x00"))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := r.Body.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	if n, err := r.Body.Read(nil); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}
