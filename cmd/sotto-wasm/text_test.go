// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

//go:build !js

package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/vault"
)

func TestCleanTitle(t *testing.T) {
	for in, want := range map[string]string{
		"Counting words":                   "Counting words",
		"\"Counting words.\"\n":            "Counting words",
		"**Title: A trip to Łódź**":        "A trip to Łódź",
		"# TITLE: Loud":                    "Loud",
		"„Über uns“":                       "Über uns",
		"One\nTwo":                         "One",
		"":                                 "",
		" \n ":                             "",
		"...":                              "",
		"A  title\twith   spaces":          "A title with spaces",
		strings.Repeat("very ", 20) + "so": "very very very very very very very very very…",
	} {
		if got := cleanTitle(in); got != want {
			t.Errorf("cleanTitle(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestFirstWords(t *testing.T) {
	for in, want := range map[string]string{
		"":                         "",
		"  What is\n\nSotto? ":     "What is Sotto?",
		strings.Repeat("ä", 100):   strings.Repeat("ä", 48) + "…",
		strings.Repeat("word ", 9): strings.TrimSpace(strings.Repeat("word ", 9)),
	} {
		if got := firstWords(in); got != want {
			t.Errorf("firstWords(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzTitles(f *testing.F) {
	f.Add("Title: \"Hello, wörld.\"\n🎈")
	f.Add(strings.Repeat("x", 200))
	f.Fuzz(func(t *testing.T, s string) {
		for _, title := range []string{cleanTitle(s), firstWords(s)} {
			if utf8.RuneCountInString(title) > titleLimit || strings.ContainsAny(title, "\n\r") {
				t.Errorf("%q is no title", title)
			}
			if utf8.ValidString(s) && !utf8.ValidString(title) {
				t.Errorf("%q isn't UTF-8", title)
			}
		}
	})
}

func TestHitCountsAsJavaScriptDoes(t *testing.T) {
	h := newHit(vault.Hit{Chat: "c", Snippet: "aä🎈needle", Marks: [][2]int{{7, 13}, {-1, 2}, {3, 99}}}, "t")
	if want := [][2]int{{4, 10}}; !slices.Equal(h.Marks, want) {
		t.Errorf("marks %v, want %v", h.Marks, want)
	}
	if h.Role != "title" {
		t.Errorf("a hit without a message is in a %s", h.Role)
	}
}

func TestReadModels(t *testing.T) {
	got, err := readModels([]byte(`{"object":"list","data":[
		{"id":"sotto-demo","owned_by":"sotto","meta":{"name":"Sotto demo","demo":true,"context":512,"digest":"sha256:ab"}},
		{"id":"/models/tiny.gguf","owned_by":"llamacpp","meta":{"n_ctx":4096,"n_ctx_train":8192}},
		{"id":"big","owned_by":"vllm","max_model_len":32768},
		{"id":"plain"},{"id":""}]}`))
	want := []modelDoc{
		{ID: "sotto-demo", Name: "Sotto demo", Demo: true, Context: 512, Digest: "sha256:ab", Engine: "built-in"},
		{ID: "/models/tiny.gguf", Name: "tiny", Context: 4096, Engine: "llama.cpp"},
		{ID: "big", Name: "big", Context: 32768, Engine: "vLLM"},
		{ID: "plain", Name: "plain"},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v %v", got, err)
	}
	if _, err := readModels([]byte(`nothing`)); err == nil {
		t.Error("what is no list was read")
	}
}

func FuzzReadModels(f *testing.F) {
	f.Add([]byte(`{"data":[{"id":"a.gguf","meta":{"n_ctx":1}}]}`))
	f.Add([]byte(`{"data":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		models, err := readModels(b)
		for _, m := range models {
			if err != nil || m.ID == "" {
				t.Errorf("%+v %v", m, err)
			}
		}
	})
}

func TestExplain(t *testing.T) {
	for _, c := range []struct {
		err  error
		code string
	}{
		{errNoModel, "no_model"},
		{fmt.Errorf("adding: %w", errNoChat), "no_chat"},
		{&vault.RecoveryKeyError{Group: 3}, "kit_typo"},
		{&vault.RecoveryKeyError{Have: 12}, "kit_length"},
		{fmt.Errorf("page: %w", vault.ErrRollback), "rolled_back"},
		{vault.ErrWrongKey, "wrong_key"},
		{client.ErrGone, client.SaysGone},
		{errors.New("?"), client.SaysInternal},
	} {
		e := explain(c.err)
		if e.Code != c.code {
			t.Errorf("%v: code %s, want %s", c.err, e.Code, c.code)
		}
		if e.Message == "" || !strings.HasSuffix(e.Message, ".") {
			t.Errorf("%v: %q is no sentence", c.err, e.Message)
		}
	}
}
