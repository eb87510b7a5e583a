// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package durable

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	for _, text := range []string{"one", "two"} {
		if err := Write(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != text {
			t.Fatalf("got %q, %v", got, err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("mode %v, %v", info.Mode(), err)
		}
	}
	// What can't take its place leaves nothing behind.
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Write(filepath.Join(dir, "folder"), []byte("x")); err == nil {
		t.Error("a folder was replaced by a file")
	}
	if err := Write(filepath.Join(dir, "missing", "state"), []byte("x")); err == nil {
		t.Error("written into a folder that isn't there")
	}
	list, err := os.ReadDir(dir)
	if err != nil || len(list) != 2 {
		t.Errorf("left behind: %v, %v", list, err)
	}
}

func TestSweep(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{unfinished + "123", "state"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := Sweep(dir); err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadDir(dir)
	if err != nil || len(list) != 1 || list[0].Name() != "state" {
		t.Errorf("left: %v, %v", list, err)
	}
}

func pair(dir string) Pair {
	return Pair{
		Dir:      filepath.Join(dir, "data"),
		File:     filepath.Join(dir, "key"),
		Generate: func() (string, string, error) { return "secret one", "public one", nil },
		Public: func(s string) (string, error) {
			p, ok := strings.CutPrefix(s, "secret ")
			if !ok {
				return "", errors.New("no key")
			}
			return "public " + p, nil
		},
	}
}

func TestKey(t *testing.T) {
	write := func(name, text string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tt := range []struct {
		name  string
		steps []func(*testing.T, string)
		adopt bool
		want  string // the key, or what the error says
	}{
		{"first start", nil, false, "secret one"},
		{"cut short before the key", []func(*testing.T, string){write("data/owner", "public zero\n")}, false, "secret one"},
		{"cut short while locked", []func(*testing.T, string){write("data/owner", "public zero\n"), write("data/lock", "")}, false, "secret one"},
		{"cut short in a file", []func(*testing.T, string){write("data/.unfinished-7", "pub")}, false, "secret one"},
		{"again", []func(*testing.T, string){write("key", "secret two\n"), write("data/owner", "public two\n"), write("data/state", "x")}, false, "secret two"},
		{"key lost", []func(*testing.T, string){write("data/owner", "public two\n"), write("data/state", "x")}, false, "is missing"},
		{"folder lost", []func(*testing.T, string){write("key", "secret two\n")}, false, "doesn't hold the state"},
		{"key brought along", []func(*testing.T, string){write("key", "secret two\n")}, true, "secret two"},
		{"key brought to a state", []func(*testing.T, string){write("key", "secret two\n"), write("data/state", "x")}, true, "doesn't hold the state"},
		{"other folder", []func(*testing.T, string){write("key", "secret two\n"), write("data/owner", "public one\n")}, true, "belongs to the key public one"},
		{"damaged key", []func(*testing.T, string){write("key", "rubbish\n"), write("data/owner", "public one\n")}, false, "no key"},
		{"key without its end", []func(*testing.T, string){write("key", "secret one"), write("data/owner", "public one\n")}, false, "damaged"},
		{"key of two lines", []func(*testing.T, string){write("key", "secret one\nx\n"), write("data/owner", "public one\n")}, false, "damaged"},
		{"long key", []func(*testing.T, string){write("key", strings.Repeat("x", maxLine)+"\n")}, false, "one line"},
		{"damaged mark", []func(*testing.T, string){write("key", "secret one\n"), write("data/owner", "\n")}, false, "damaged"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, s := range tt.steps {
				s(t, dir)
			}
			p := pair(dir)
			p.Adopt = tt.adopt
			got, err := Key(p)
			if err != nil {
				got = err.Error()
			}
			if got != tt.want && (err == nil || !strings.Contains(got, tt.want)) {
				t.Fatalf("got %q, want %q", got, tt.want)
			}
			if err != nil {
				return
			}
			p.Adopt = false
			if again, err := Key(p); again != got || err != nil {
				t.Errorf("again: %q, %v", again, err)
			}
		})
	}
}

func TestKeyOpenToOthers(t *testing.T) {
	p := pair(t.TempDir())
	if _, err := Key(p); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(p.File, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := Key(p); err == nil || !strings.Contains(err.Error(), "others can read") {
		t.Errorf("got %v", err)
	}
}

func TestKeyInItsFolder(t *testing.T) {
	p := pair(t.TempDir())
	p.File = filepath.Join(p.Dir, "key")
	if _, err := Key(p); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(p.Dir, owner)); err != nil {
		t.Fatal(err)
	}
	p.Adopt = true
	if got, err := Key(p); got != "secret one" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	unlock, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(dir); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), dir) {
		t.Errorf("locked twice: %v", err)
	}
	unlock()
	unlock, err = Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}
