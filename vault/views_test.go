// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestTree(t *testing.T) {
	f := newFeed()
	r := NewReplica(NewRootKey(), f.account, NewDeviceID())
	chat := NewID()
	ids := map[string]string{"": ""}
	n := int64(0)
	add := func(text, parent string) {
		t.Helper()
		n++
		ids[text] = NewID()
		if _, err := r.AddMessage(Message{ID: ids[text], Chat: chat, Parent: ids[parent], Role: "user", Text: text, Created: n}); err != nil {
			t.Fatal(err)
		}
	}
	add("q1", "")
	add("a1", "q1")
	add("q2", "a1")
	add("a2", "q2")
	add("a2 again", "q2") // regenerated
	add("q1 edited", "")  // a branch at the root
	add("orphan", "")
	check := func(got []Message, want ...string) {
		t.Helper()
		if !slices.Equal(texts(got), want) {
			t.Errorf("got %q, want %q", texts(got), want)
		}
	}
	check(r.Messages(chat), "q1", "a1", "q2", "a2", "a2 again", "q1 edited", "orphan")
	check(r.Thread(chat, ""), "orphan")
	check(r.Thread(chat, ids["a2"]), "q1", "a1", "q2", "a2")
	if _, err := r.SetRegister(chat, RegisterBranch, ids["a1"]); err != nil {
		t.Fatal(err)
	}
	check(r.Thread(chat, ""), "q1", "a1", "q2", "a2 again")
	check(r.Thread(chat, NewID()), "q1", "a1", "q2", "a2 again")
	if _, err := r.DeleteMessages(ids["q2"]); err != nil {
		t.Fatal(err)
	}
	check(r.Messages(chat), "q1", "a1", "a2", "a2 again", "q1 edited", "orphan")

	// Two broken writers: a circle, and a message that is its own parent.
	x, y, z := NewID(), NewID(), NewID()
	for _, m := range []Message{{ID: x, Parent: y, Text: "x"}, {ID: y, Parent: x, Text: "y"}, {ID: z, Parent: z, Text: "z"}} {
		m.Chat, m.Role, m.Created = chat, "user", 100
		if _, err := r.AddMessage(m); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(r.Messages(chat)); got != 9 {
		t.Errorf("%d messages with a circle, want 9", got)
	}
	if got := len(r.Thread(chat, x)); got > 9 {
		t.Errorf("thread of a circle has %d messages", got)
	}
	if _, err := r.AddMessage(Message{ID: ids["q1"], Chat: chat, Role: "user", Text: "changed"}); err == nil {
		t.Error("a message was changed")
	}
	if _, err := r.AddMessage(Message{Chat: chat, Role: "user", Text: strings.Repeat("x", maxBody)}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large a message: %v", err)
	}
}

func TestChatsInOrder(t *testing.T) {
	r := NewReplica(NewRootKey(), NewAccountID(), NewDeviceID())
	names := map[string]string{}
	for i, name := range []string{"old", "new", "pinned", "ordered b", "ordered a", "archived"} {
		id := NewID()
		names[id] = name
		if _, err := r.AddMessage(Message{Chat: id, Role: "user", Text: name, Created: int64(i + 1)}); err != nil {
			t.Fatal(err)
		}
		set := func(register string, value any) {
			if _, err := r.SetRegister(id, register, value); err != nil {
				t.Fatal(err)
			}
		}
		switch name {
		case "pinned":
			set(RegisterPinned, true)
		case "ordered a", "ordered b":
			set(RegisterOrder, name)
		case "archived":
			set(RegisterArchived, true)
			set(RegisterTitle, 7) // of a wrong type: as if absent
		}
	}
	if _, err := r.SetRegister(NewID(), RegisterTitle, "no message yet"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.SetRegister("", "settings", map[string]int{"theme": 1}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range r.Chats() {
		got = append(got, names[c.ID])
	}
	if want := []string{"pinned", "ordered a", "ordered b", "archived", "new", "old"}; !slices.Equal(got, want) {
		t.Errorf("chats %q, want %q", got, want)
	}
	if v, ok := r.Register("", "settings"); !ok || string(v) != `{"theme":1}` {
		t.Errorf("settings %s, %v", v, ok)
	}
}

func TestSearch(t *testing.T) {
	r := NewReplica(NewRootKey(), NewAccountID(), NewDeviceID())
	one, two := NewID(), NewID()
	for i, m := range []Message{
		{Chat: one, Role: "user", Text: "Où est la bibliothèque à Zürich?"},
		{Chat: one, Role: "assistant", Text: "La Bibliothe\u0300que centrale.\n\nElle ouvre à   neuf heures. " + strings.Repeat("x ", 200)},
		{Chat: two, Role: "assistant", Text: "The library of Zurich opens at nine."},
		{Chat: two, Role: "user", Text: strings.Repeat("long beginning ", 50) + "and then ΑΘΉΝΑ, straße 𝄞 end"},
	} {
		m.Created = int64(i + 1)
		if _, err := r.AddMessage(m); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.SetTitle(two, "Zurich libraries", false); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		query string
		want  []string // role ("title" for titles) and the marked texts
	}{
		{"ZURICH", []string{"title Zurich", "user Zürich", "assistant Zurich"}},
		{"bibliotheque", []string{"user bibliothèque", "assistant Bibliothe\u0300que"}},
		{"zurich nine", []string{"assistant Zurich nine"}},
		{"αθηνα STRASSE", []string{"user ΑΘΉΝΑ straße"}},
		{"a neuf", []string{"assistant a a à neuf"}},
		{"thequ", []string{"user thèqu", "assistant the\u0300qu"}},
		{"nothing like it", nil},
		{"   ", nil},
	} {
		var got []string
		for _, h := range r.Search(tt.query, 10) {
			role := h.Role
			if h.Message == "" {
				role = "title"
			}
			for _, m := range h.Marks {
				role += " " + h.Snippet[m[0]:m[1]]
			}
			if n := utf8.RuneCountInString(h.Snippet); n > snippetLength+2 || strings.Contains(h.Snippet, "\n") || !utf8.ValidString(h.Snippet) {
				t.Errorf("%s: snippet of %d characters: %q", tt.query, n, h.Snippet)
			}
			got = append(got, role)
		}
		if tt.query == "a neuf" { // many an a; the order of hits and the last mark matter
			if len(got) != 1 || !strings.HasSuffix(got[0], "neuf heures"[:4]) {
				t.Errorf("%s: %q", tt.query, got)
			}
			continue
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.query, got, tt.want)
		}
	}
	if n := len(r.Search("e", 2)); n != 2 {
		t.Errorf("limit 2 gave %d", n)
	}
}

func TestExport(t *testing.T) {
	r := NewReplica(NewRootKey(), NewAccountID(), NewDeviceID())
	chat, q := NewID(), NewID()
	for _, m := range []Message{
		{ID: q, Chat: chat, Role: "user", Text: "A question", Created: 1_800_000_000_000},
		{Chat: chat, Parent: q, Role: "assistant", Model: "demo", Text: "An answer\n", Created: 1_800_000_001_000},
		{Chat: chat, Parent: q, Role: "assistant", Model: "demo\n# evil", Text: "Half an ans", Status: "stopped", Created: 1_800_000_002_000},
	} {
		if _, err := r.AddMessage(m); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.SetTitle(chat, "On questions\n# evil", false); err != nil {
		t.Fatal(err)
	}
	if _, err := r.SetRegister(chat, RegisterCacheSalt, "salty"); err != nil {
		t.Fatal(err)
	}
	d, ok := r.Export(chat)
	if !ok {
		t.Fatal("no document")
	}
	want := `# On questions # evil

## 1. You

*2027-01-15 08:00 UTC*

A question

## 2. Answer (demo)

*2027-01-15 08:00 UTC*

An answer

## 3. Answer (demo # evil)

*2027-01-15 08:00 UTC · after message 1 · stopped

Half an ans
`
	want = strings.Replace(want, "UTC · after", "UTC* · after", 1)
	if got := string(d.Markdown()); got != want {
		t.Errorf("markdown:\n%s\nwant:\n%s", got, want)
	}
	var buf bytes.Buffer
	if err := r.ExportZip(&buf, time.Unix(1_800_000_000, 0)); err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(buf.Bytes()), int64(buf.Len()))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, f := range z.File {
		rc, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if files[f.Name], err = io.ReadAll(rc); err != nil {
			t.Fatal(err)
		}
	}
	var m exportManifest
	if err := json.Unmarshal(files["manifest.json"], &m); err != nil {
		t.Fatal(err)
	}
	if m.Chats != 1 || len(m.Files) != 2 || len(files) != 3 {
		t.Errorf("manifest %+v with %d files", m, len(files))
	}
	for _, f := range m.Files {
		if Digest(files[f.Path]) != f.SHA256 {
			t.Errorf("%s: wrong hash", f.Path)
		}
	}
	var back Document
	if err := json.Unmarshal(files["chats/"+chat+".json"], &back); err != nil {
		t.Fatal(err)
	}
	if len(back.Messages) != 3 || back.Messages[2].Parent != q || back.Chat.CacheSalt != "" {
		t.Errorf("document %+v", back)
	}
}

// The ZIP file is one that others read, at any number of files.
func TestZip(t *testing.T) {
	made := time.Date(2027, 1, 15, 8, 0, 1, 0, time.UTC)
	for _, n := range []int{0, 1, 65534, 65535, 65536} {
		var buf bytes.Buffer
		z := zipWriter{w: &buf}
		for i := range n {
			if err := z.add(fmt.Sprintf("a/ö%d.txt", i), fmt.Appendf(nil, "%x", i), made); err != nil {
				t.Fatal(err)
			}
		}
		if err := z.close(); err != nil {
			t.Fatal(err)
		}
		got, err := zip.NewReader(bytes.NewReader(buf.Bytes()), int64(buf.Len()))
		if err != nil || len(got.File) != n {
			t.Fatalf("%d files: %v", n, err)
		}
		for _, i := range []int{0, n / 2, n - 1} {
			if i < 0 || i >= n {
				continue
			}
			f := got.File[i]
			if f.Name != fmt.Sprintf("a/ö%d.txt", i) || !f.Modified.Equal(made) || f.NonUTF8 {
				t.Errorf("%d files: %+v", n, f.FileHeader)
			}
			rc, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(rc); err != nil || string(b) != fmt.Sprintf("%x", i) {
				t.Errorf("%d files: %s says %q, %v", n, f.Name, b, err)
			}
		}
	}
}
