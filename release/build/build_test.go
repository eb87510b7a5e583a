// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package build

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"testing/fstest"
	"testing/iotest"

	"github.com/sotto-chat/sotto/release"
)

// page is a built page of these files.
func page(files map[string]string) fstest.MapFS {
	out, list := fstest.MapFS{}, []string{}
	for name, text := range files {
		out[name] = &fstest.MapFile{Data: []byte(text)}
		list = append(list, fmt.Sprintf(`{"path":%q,"sha256":%q}`, name, strings.TrimPrefix(release.Digest([]byte(text)), "sha256:")))
	}
	out["manifest.json"] = &fstest.MapFile{Data: []byte(`{"v":1,"files":[` + strings.Join(list, ",") + `]}`)}
	return out
}

func TestWeb(t *testing.T) {
	dist := page(map[string]string{"index.html": "page", "a/core.wasm": "core", "a/main.js": "main"})
	dist["index.html.br"] = &fstest.MapFile{Data: []byte("compressed")}
	w, err := Web(dist)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, f := range w.Files {
		paths = append(paths, f.Path)
		if want := release.Digest(dist[f.Path].Data); f.SHA256 != want {
			t.Errorf("%s has %s, want %s", f.Path, f.SHA256, want)
		}
	}
	if got, want := strings.Join(paths, " "), "a/core.wasm a/main.js index.html manifest.json"; got != want {
		t.Errorf("files are %s, want %s", got, want)
	}
	if w.Core != release.Digest([]byte("core")) {
		t.Errorf("the core is %s", w.Core)
	}

	for name, c := range map[string]struct {
		change func(fstest.MapFS) fstest.MapFS
		want   string
	}{
		"another byte": {func(d fstest.MapFS) fstest.MapFS { d["a/main.js"].Data = []byte("other"); return d }, "a/main.js of the page is not what its manifest.json says"},
		"missing":      {func(d fstest.MapFS) fstest.MapFS { delete(d, "a/main.js"); return d }, "open a/main.js"},
		"a folder": {func(d fstest.MapFS) fstest.MapFS {
			delete(d, "manifest.json")
			d["manifest.json/x"] = &fstest.MapFile{}
			return d
		}, "invalid argument"},
		"no core":   {func(fstest.MapFS) fstest.MapFS { return page(map[string]string{"index.html": "p"}) }, "has no WASM core"},
		"two cores": {func(fstest.MapFS) fstest.MapFS { return page(map[string]string{"a.wasm": "a", "b.wasm": "b"}) }, "two WASM files"},
		"not built": {func(fstest.MapFS) fstest.MapFS { return fstest.MapFS{} }, "make web"},
		"no JSON":   {func(d fstest.MapFS) fstest.MapFS { d["manifest.json"].Data = []byte("{"); return d }, "manifest.json of the page"},
	} {
		d := page(map[string]string{"index.html": "page", "a/core.wasm": "core", "a/main.js": "main"})
		if _, err := Web(c.change(d)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if _, err := Web(fstest.MapFS{}); !errors.Is(err, ErrNoPage) {
		t.Errorf("no page: %v", err)
	}
}

func TestDescribe(t *testing.T) {
	program := filepath.Join(t.TempDir(), "sottod")
	if err := os.WriteFile(program, []byte("program"), 0o755); err != nil {
		t.Fatal(err)
	}
	running := Running{
		Product: "sotto-demo", Index: 3, Time: 1_800_000_000, Program: program,
		Web:    page(map[string]string{"index.html": "page", "a/core.wasm": "core"}),
		Models: []release.Model{{ID: "b", Weights: "none", Tokenizer: "none", Template: "none"}, {ID: "a", Weights: release.Digest([]byte("w")), Tokenizer: "none", Template: "none"}},
		Engine: release.Engine{Name: "Built-in demo", Digest: "none"},
	}
	m, err := Describe(running)
	if err != nil {
		t.Fatal(err)
	}
	if m.Version != "0.0.3" || m.Node.Binary != release.Digest([]byte("program")) || m.Models[0].ID != "a" || len(m.Web.Files) != 3 {
		t.Errorf("described as %+v", m)
	}
	if running.Models[0].ID != "b" {
		t.Error("the caller's models were sorted")
	}
	later := running
	later.Index, later.Time = 4, running.Time+60
	again, err := Describe(later)
	if err != nil || !Same(m, again) {
		t.Errorf("the same is described otherwise later: %v", err)
	}
	if err := os.WriteFile(program, []byte("program 2"), 0o755); err != nil {
		t.Fatal(err)
	}
	again, err = Describe(later)
	if err != nil || Same(m, again) {
		t.Errorf("another program is described alike: %v", err)
	}
	running.Web = nil
	if m, err := Describe(running); err != nil || len(m.Web.Files) != 0 {
		t.Errorf("without a page: %v, %v", m.Web, err)
	}
	running.Web = fstest.MapFS{}
	if m, err := Describe(running); err != nil || m.Web.Core != "none" {
		t.Errorf("a page that isn't built: %v, %v", m.Web, err)
	}
	running.Web = page(map[string]string{"index.html": "page"})
	if _, err := Describe(running); err == nil || !strings.Contains(err.Error(), "has no WASM core") {
		t.Errorf("half a page: %v", err)
	}
	running.Web, running.Program = nil, "none"
	if _, err := Describe(running); err == nil || !strings.Contains(err.Error(), "describing this program") {
		t.Errorf("a program that isn't there: %v", err)
	}
	running.Program = ""
	if _, err := Describe(running); err != nil {
		t.Errorf("this program: %v", err)
	}
	running.Engine.Name = ""
	if _, err := Describe(running); err == nil || !strings.Contains(err.Error(), "engine.name") {
		t.Errorf("an engine without a name: %v", err)
	}
	if Same(release.Manifest{}, release.Manifest{}) {
		t.Error("what can't be written down is called the same")
	}
}

func TestBuiltFrom(t *testing.T) {
	for _, c := range []struct {
		settings []debug.BuildSetting
		want     string
	}{
		{[]debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "false"}, {Key: "-trimpath", Value: "true"}}, "abc"},
		{[]debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "true"}}, "none"},
		{[]debug.BuildSetting{{Key: "vcs.revision"}}, "none"},
	} {
		if got := builtFrom(&debug.BuildInfo{Settings: c.settings}, true); got != c.want {
			t.Errorf("%v: %q, want %s", c.settings, got, c.want)
		}
	}
	if got := builtFrom(nil, false); got != "none" {
		t.Errorf("not known: %q", got)
	}
}

func TestPlain(t *testing.T) {
	if got, want := plain("\x1f go\n1\"\\~\x7fé"), " go1~"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// What can't be read has no digest.
func TestDigestOfNothing(t *testing.T) {
	if d, err := DigestFile(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %q, %v", d, err)
	}
	if d, err := digestAll(iotest.ErrReader(io.ErrClosedPipe)); !errors.Is(err, io.ErrClosedPipe) || d != "" {
		t.Errorf("a file that can't be read: %q, %v", d, err)
	}
}
