// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tlog

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseCheckpoint(t *testing.T) {
	root := testTree.Root(9)
	h := root.String()
	for _, tt := range []struct {
		name, text string
		size       int64
		detail     string // "" for a good one
	}{
		{"good", "log.example/sotto\n9\n" + h + "\n", 9, ""},
		{"empty tree", "o\n0\n" + h + "\n", 0, ""},
		{"the largest", "o\n9223372036854775807\n" + h + "\n", 1<<63 - 1, ""},
		{"extension lines", "o\n9\n" + h + "\nmore\nand more\n", 9, ""},
		{"origin with spaces", " an origin \n9\n" + h + "\n", 9, ""},
		{"empty", "", 0, "empty line, or no end"},
		{"a newline", "\n", 0, "empty line, or no end"},
		{"one line", "o\n", 0, "size"},
		{"two lines", "o\n9\n", 0, "root"},
		{"no end", "o\n9\n" + h, 0, "empty line, or no end"},
		{"no end of an extension line", "o\n9\n" + h + "\nmore", 0, "empty line, or no end"},
		{"no origin", "\n9\n" + h + "\n", 0, "empty line, or no end"},
		{"no size", "o\n\n" + h + "\n", 0, "empty line, or no end"},
		{"no root", "o\n9\n\n", 0, "empty line, or no end"},
		{"empty extension line", "o\n9\n" + h + "\n\nmore\n", 0, "empty line, or no end"},
		{"a zero in front", "o\n09\n" + h + "\n", 0, "size"},
		{"two zeroes", "o\n00\n" + h + "\n", 0, "size"},
		{"a sign", "o\n+9\n" + h + "\n", 0, "size"},
		{"negative", "o\n-9\n" + h + "\n", 0, "size"},
		{"minus nothing", "o\n-0\n" + h + "\n", 0, "size"},
		{"too large", "o\n9223372036854775808\n" + h + "\n", 0, "size"},
		{"hexadecimal", "o\n0x9\n" + h + "\n", 0, "size"},
		{"space after the size", "o\n9 \n" + h + "\n", 0, "size"},
		{"short root", "o\n9\n" + h[4:] + "\n", 0, "root"},
		{"root without padding", "o\n9\n" + strings.TrimRight(h, "=") + "\n", 0, "root"},
		{"space after the root", "o\n9\n" + h + " \n", 0, "root"},
	} {
		c, err := ParseCheckpoint([]byte(tt.text))
		if tt.detail != "" {
			wantFailure(t, tt.name, err, FailMalformed, tt.detail)
			continue
		}
		origin, _, _ := strings.Cut(tt.text, "\n")
		if want := (Checkpoint{Origin: origin, Size: tt.size, Root: root}); err != nil || !reflect.DeepEqual(c, want) {
			t.Errorf("%s: %+v, %v", tt.name, c, err)
		}
		if !strings.HasPrefix(tt.text, string(c.Text())) {
			t.Errorf("%s: %q", tt.name, c.Text())
		}
	}
}
