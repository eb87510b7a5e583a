// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package build describes a release: it gathers what a manifest says from files,
// from the source tree and from what is configured, and computes the digests. It is
// what "sotto release build" and the demo do; whoever reads releases has no use for
// it and doesn't link it.
package build

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/sotto-chat/sotto/release"
)

// Running is what a demo knows of itself.
type Running struct {
	Product string // that of the pin
	Index   int64  // of the log's next entry
	Time    int64  // now, in Unix seconds
	Web     fs.FS  // the page's files, as web/build made them; nil for none
	Program string // the file of the program that is node and page; "" for the one that runs
	Models  []release.Model
	Engine  release.Engine
	Log     string // the log and its witnesses (C2SP tlog-policy)
	KeyLog  string // the key log and its witnesses, in the same form
	Issuers []string
	Relays  []string
}

// Describe makes the manifest of what a demo runs. Its version is 0.0.N, where N is
// the place in the log.
func Describe(r Running) (release.Manifest, error) {
	if r.Program == "" {
		program, err := os.Executable()
		if err != nil {
			return release.Manifest{}, fmt.Errorf("describing this program: %w", err)
		}
		r.Program = program
	}
	binary, err := DigestFile(r.Program)
	if err != nil {
		return release.Manifest{}, fmt.Errorf("describing this program: %w", err)
	}
	m := release.Manifest{
		Format: release.Format, Product: r.Product, Version: fmt.Sprintf("0.0.%d", r.Index), Commit: builtFrom(debug.ReadBuildInfo()),
		Time: r.Time, Index: r.Index, Toolchain: plain(runtime.Version()), MinimumVersion: "0.0.0",
		Node:   release.Node{Binary: binary},
		Engine: r.Engine, Models: slices.Clone(r.Models), Web: release.Web{Core: "none"}, Log: r.Log,
		KeyLog: r.KeyLog, Issuers: sorted(r.Issuers), Relays: sorted(r.Relays),
	}
	slices.SortFunc(m.Models, func(a, b release.Model) int { return strings.Compare(a.ID, b.ID) })
	if r.Web != nil {
		switch w, err := Web(r.Web); {
		case err == nil:
			m.Web = w
		case !errors.Is(err, ErrNoPage):
			return release.Manifest{}, err
		}
	}
	if _, err := m.Encode(); err != nil {
		return release.Manifest{}, fmt.Errorf("the description can't be written down: %w", err)
	}
	return m, nil
}

// Same reports whether two manifests describe the same, whenever and wherever in
// the log: they differ at most in version, time and index.
func Same(a, b release.Manifest) bool {
	a.Version, a.Time, a.Index = b.Version, b.Time, b.Index
	x, err := a.Encode()
	y, _ := b.Encode() // nothing, where it can't be written down
	return err == nil && bytes.Equal(x, y)
}

// builtFrom is the commit that a program was built from, "none" where that isn't
// known or where files were changed since.
func builtFrom(info *debug.BuildInfo, ok bool) string {
	if !ok {
		return "none"
	}
	commit := "none"
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && s.Value != "":
			commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			return "none"
		}
	}
	return commit
}

// plain makes a name of what a tool says of itself.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' {
			return -1
		}
		return r
	}, s)
}

// ErrNoPage says that a folder holds no built page.
var ErrNoPage = errors.New("the page isn't built: there is no manifest.json; build it with make web")

// Web describes the page as a site serves it: each file that the build's own
// manifest.json names, and that file. The digests are of the bytes themselves, which
// are compared with what manifest.json says; compressed forms say the same and are
// not named.
func Web(dist fs.FS) (release.Web, error) {
	doc, err := fs.ReadFile(dist, "manifest.json")
	if errors.Is(err, fs.ErrNotExist) {
		return release.Web{}, ErrNoPage
	}
	if err != nil {
		return release.Web{}, err
	}
	var m struct {
		Files []struct{ Path, SHA256 string }
	}
	if err := json.Unmarshal(doc, &m); err != nil {
		return release.Web{}, fmt.Errorf("manifest.json of the page: %w", err)
	}
	w := release.Web{Files: []release.File{{Path: "manifest.json", SHA256: release.Digest(doc)}}}
	for _, f := range m.Files {
		digest, err := digestOf(dist, f.Path)
		if err != nil {
			return release.Web{}, err
		}
		if digest != "sha256:"+f.SHA256 {
			return release.Web{}, fmt.Errorf("%s of the page is not what its manifest.json says: build it again with make web", f.Path)
		}
		w.Files = append(w.Files, release.File{Path: f.Path, SHA256: digest})
		if path.Ext(f.Path) == ".wasm" {
			if w.Core != "" {
				return release.Web{}, errors.New("the page has two WASM files, and a release names one core")
			}
			w.Core = digest
		}
	}
	if w.Core == "" {
		return release.Web{}, errors.New("the page has no WASM core")
	}
	slices.SortFunc(w.Files, func(a, b release.File) int { return strings.Compare(a.Path, b.Path) })
	return w, nil
}

func digestOf(dir fs.FS, name string) (string, error) {
	f, err := dir.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return digestAll(f)
}

// DigestFile returns "sha256:<hex>" of a file of any size.
func DigestFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is no file", name)
	}
	return digestAll(f)
}

func digestAll(r io.Reader) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}
