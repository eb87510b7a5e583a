// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package section

import (
	"bytes"
	"strings"
	"testing"
)

var rules = []Rule{
	{Kind: 1, Name: "report", Min: 1, Max: 1, MaxLen: 8},
	{Kind: 2, Name: "certificate", Min: 0, Max: 2, MaxLen: 3},
	{Kind: 9, Name: "filler", Min: 0, Max: 1000, MaxLen: 1},
}

func container(parts ...any) (b []byte) {
	for i := 0; i < len(parts); i += 2 {
		b = Append(b, byte(parts[i].(int)), []byte(parts[i+1].(string)))
	}
	return b
}

func TestParse(t *testing.T) {
	s, err := Parse(container(1, "12345678", 2, "abc", 2, "d"), rules)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.One(1); string(got) != "12345678" {
		t.Errorf("One(1) = %q", got)
	}
	if got := s.One(2); string(got) != "abc" {
		t.Errorf("One(2) = %q, want the first", got)
	}
	if s.One(9) != nil || s.All(9) != nil {
		t.Error("a section that isn't there was found")
	}
	if got := bytes.Join(s.All(2), []byte("+")); string(got) != "abc+d" {
		t.Errorf("All(2) = %q", got)
	}
	// What a caller appends to a section doesn't reach its neighbour.
	_ = append(s.One(1), 'x')
	if s.All(2)[0][0] != 'a' {
		t.Error("sections share their room")
	}
}

func TestAppendLeavesEmptyOut(t *testing.T) {
	if got := Append([]byte("x"), 1, nil); string(got) != "x" {
		t.Errorf("Append of nothing = %q", got)
	}
}

func TestParseRefuses(t *testing.T) {
	full := container(1, "a")
	for range MaxSections - 1 {
		full = Append(full, 9, []byte("x"))
	}
	if _, err := Parse(full, rules); err != nil {
		t.Fatalf("%d sections: %v", MaxSections, err)
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"nothing":        {nil, "“report” is missing"},
		"missing":        {container(2, "a"), "“report” is missing"},
		"twice":          {container(1, "a", 1, "b"), "more than 1 sections “report”"},
		"too many":       {container(1, "a", 2, "a", 2, "a", 2, "a"), "more than 2 sections “certificate”"},
		"too long":       {container(1, "123456789"), "longer than 8 bytes"},
		"empty":          {[]byte{1, 0, 0, 0, 0}, "“report” is empty"},
		"unknown kind":   {container(1, "a", 3, "b"), "kind 3"},
		"out of order":   {container(2, "a", 1, "b"), "out of order"},
		"head cut off":   {append(container(1, "a"), 2, 0, 0, 0), "head is cut off"},
		"body cut off":   {container(1, "abcd")[:8], "“report” is cut off"},
		"huge length":    {[]byte{1, 0xff, 0xff, 0xff, 0xff, 1}, "longer than 8 bytes"},
		"trailing bytes": {append(container(1, "a"), 0), "head is cut off"},
		"very many":      {Append(bytes.Clone(full), 9, []byte("x")), "more than 128 sections"},
	} {
		_, err := Parse(c.data, rules)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want one with %q", name, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(container(1, "12345678", 2, "abc", 2, "d"))
	f.Add([]byte{1, 0, 0, 0, 1, 'a', 9})
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse(data, rules)
		if err != nil {
			return
		}
		var again []byte
		for i, k := range s.kinds {
			again = Append(again, k, s.data[i])
		}
		if !bytes.Equal(again, data) {
			t.Errorf("%x reads as %x", data, again)
		}
	})
}
