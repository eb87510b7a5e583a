// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package proofzip

import (
	"archive/zip"
	"bytes"
	"fmt"
	"maps"
	"strings"
	"testing"
)

var proof = Files{"README.txt": []byte("read me\n"), "nodes.json": []byte(`{"v":1}`), "page/index.html": []byte("<!doctype html>"), "empty.json": {}}

func write(t testing.TB, f Files) []byte {
	t.Helper()
	b, err := Write(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRoundTrip(t *testing.T) {
	b := write(t, proof)
	if again := write(t, maps.Clone(proof)); !bytes.Equal(b, again) {
		t.Error("the same files give other bytes")
	}
	got, err := Read(b)
	if err != nil {
		t.Fatal(err)
	}
	if !maps.EqualFunc(got, proof, bytes.Equal) {
		t.Errorf("read %q", got)
	}
}

func TestAnyToolReadsIt(t *testing.T) {
	b := write(t, proof)
	r, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil || len(r.File) != len(proof) {
		t.Fatalf("%v, %d files", err, len(r.File))
	}
	for _, f := range r.File {
		if m := f.Modified; m.Year() != 1980 || m.Month() != 1 || m.Day() != 1 {
			t.Errorf("%s is of %v", f.Name, m)
		}
	}
}

// TestOnlyItsOwnForm: zips that other programs, or somebody with a purpose, make.
func TestOnlyItsOwnForm(t *testing.T) {
	good := write(t, proof)
	other := func(f func(w *zip.Writer)) []byte {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		f(w)
		w.Close()
		return b.Bytes()
	}
	add := func(w *zip.Writer, h *zip.FileHeader, body string) {
		f, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		f.Write([]byte(body))
	}
	stored := func(name string) *zip.FileHeader {
		return &zip.FileHeader{Name: name, Method: zip.Store, ModifiedDate: 33}
	}
	many := Files{}
	for i := range MaxFiles + 1 {
		many[fmt.Sprint("f", i)] = nil
	}
	for name, b := range map[string][]byte{
		"nothing":          nil,
		"no zip":           []byte("no zip"),
		"no files":         other(func(*zip.Writer) {}),
		"bytes before":     append([]byte("#!/bin/sh\n"), good...),
		"bytes after":      append(bytes.Clone(good), 0),
		"cut short":        good[:len(good)-1],
		"compressed":       other(func(w *zip.Writer) { add(w, &zip.FileHeader{Name: "a", Method: zip.Deflate, ModifiedDate: 33}, "x") }),
		"a comment":        other(func(w *zip.Writer) { add(w, stored("a"), "x"); w.SetComment("hello") }),
		"a file's comment": other(func(w *zip.Writer) { h := stored("a"); h.Comment = "hello"; add(w, h, "x") }),
		"an extra field":   other(func(w *zip.Writer) { h := stored("a"); h.Extra = []byte{1, 0, 0, 0}; add(w, h, "x") }),
		"another order":    other(func(w *zip.Writer) { add(w, stored("b"), "x"); add(w, stored("a"), "x") }),
		"a name twice":     other(func(w *zip.Writer) { add(w, stored("a"), "x"); add(w, stored("a"), "y") }),
		"a path out":       other(func(w *zip.Writer) { add(w, stored("../a"), "x") }),
		"a path from root": other(func(w *zip.Writer) { add(w, stored("/a"), "x") }),
		"a folder":         other(func(w *zip.Writer) { add(w, stored("a/"), "") }),
		"two folders":      other(func(w *zip.Writer) { add(w, stored("a/b/c"), "") }),
		"a hidden file":    other(func(w *zip.Writer) { add(w, stored(".a"), "") }),
		"a backslash":      other(func(w *zip.Writer) { add(w, stored(`a\b`), "") }),
		"a long name":      other(func(w *zip.Writer) { add(w, stored(strings.Repeat("a", maxName+1)), "") }),
		"a byte changed":   bytes.Replace(good, []byte("read me"), []byte("read us"), 1),
	} {
		if f, err := Read(b); err == nil {
			t.Errorf("%s: read %d files", name, len(f))
		}
	}
	if _, err := Write(many); err == nil {
		t.Error("too many files were written")
	}
	if _, err := Write(Files{"../a": nil}); err == nil {
		t.Error("a name that leads elsewhere was written")
	}
	if _, err := Write(Files{"a": make([]byte, MaxSize)}); err == nil {
		t.Error("more than a proof can hold was written")
	}
	if _, err := Read(make([]byte, MaxSize+1)); err != ErrTooLong {
		t.Errorf("a long file: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	good := write(f, proof)
	f.Add(good)
	f.Add(good[:40])
	f.Add([]byte("PK\x05\x06" + strings.Repeat("\x00", 18)))
	f.Add(bytes.ReplaceAll(good, []byte("read me\n"), []byte("read m\x00\n")))
	f.Fuzz(func(t *testing.T, b []byte) {
		files, err := Read(b)
		if err != nil {
			return
		}
		if again := write(t, files); !bytes.Equal(again, b) {
			t.Error("another encoding was read")
		}
	})
}
