// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/vault"
)

// TestPlain: a model's or a server's words can't steer the terminal.
func TestPlain(t *testing.T) {
	for in, want := range map[string]string{
		"grüße, 世界\n\tok":                 "grüße, 世界\n\tok",
		"\x1b[2J\x1b]0;title\x07hi":       "[2J]0;titlehi",
		"over\rwritten\b\b":               "overwritten",
		"a\u202eb\u2066c\u009bd\x7fe\x00": "abcde",
	} {
		if got := plain(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func TestTitleOf(t *testing.T) {
	for in, want := range map[string]string{
		"Short":                     "Short",
		" first line\nsecond":       "first line",
		strings.Repeat("word ", 20): strings.TrimSpace(strings.Repeat("word ", 12)) + "…",
		strings.Repeat("長", 100):    strings.Repeat("長", 60) + "…",
		"\x1b[31mred":               "[31mred",
	} {
		if got := titleOf(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func TestParse(t *testing.T) {
	a := newApp()
	for _, tt := range []struct {
		args, rest []string
		model      string
	}{
		{[]string{"a", "-m", "x", "b"}, []string{"a", "b"}, "x"},
		{[]string{"-m=x"}, nil, "x"},
		{[]string{"a", "--", "-m", "x"}, []string{"a", "-m", "x"}, ""},
		{[]string{"--", "--", "a"}, []string{"--", "a"}, ""},
		{[]string{"-", "a"}, []string{"-", "a"}, ""},
	} {
		fs := a.flags()
		m := fs.String("m", "", "")
		rest, err := a.parse(fs, tt.args)
		if err != nil || !slices.Equal(rest, tt.rest) || *m != tt.model {
			t.Errorf("%q: %q, %q, %v", tt.args, rest, *m, err)
		}
	}
}

// TestExit: each kind of failure has its exit code, and words.
func TestExit(t *testing.T) {
	for _, tt := range []struct {
		err  error
		code int
		says string
	}{
		{nil, 0, ""},
		{usageError("no", "yes"), 2, "sotto: error: no\nsotto: hint: yes\n"},
		{withHint(errors.New("no"), ""), 1, "sotto: error: no\n"},
		{errQuiet(0), 0, ""},
		{fmt.Errorf("reading: %w", context.Canceled), 130, ""},
		{errSignedOut, 4, "sotto: error: this terminal is no longer linked to an account\nsotto: hint: Link it: sotto login.\n"},
		{&accountError{Code: "slow_down", Message: "Too fast."}, 1, "sotto: error: Too fast.\n"},
		{fmt.Errorf("page: %w", vault.ErrFork), 1, "sotto: error: the server’s copy of the history doesn’t fit what this terminal has seen: the server shows different histories.\n"},
		{client.ErrNoNodes, 1, "sotto: error: The service has no machine to answer right now.\nsotto: hint: Try again in a minute.\n"},
	} {
		a := newApp()
		var out bytes.Buffer
		a.err = &out
		if code := a.exit(tt.err); code != tt.code || !strings.HasPrefix(out.String(), tt.says) || tt.says == "" && out.Len() > 0 {
			t.Errorf("%v: exit code %d, %q", tt.err, code, &out)
		}
	}
}
