// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Budgets of the design, in bytes.
const (
	maxCoreBrotli    = 1_500_000
	maxFirstLoadGzip = 60_000
)

// Options says what to build and where to.
type Options struct {
	Web   string // the web sources: src, static, node_modules
	Out   string // replaced as a whole
	Cache string // compressed bytes by digest; "" for none
	Main  string // the page's entry, relative to Web
	WASM  string // a core that is already compiled; "" compiles one

	// Policy is a file that says what the page wants of machines
	// (spec/evidence.md, "Policy"); "" leaves it with the strict rules alone.
	Policy string
}

// Manifest is manifest.json: what the app consists of. A person who fetches
// every file named in it and hashes them can tell whether the page they are
// given is the page that was published.
type Manifest struct {
	V             int    `json:"v"`
	Digest        string `json:"digest"` // SHA-256 over "path NUL sha256 LF" of all files, sorted
	Files         []File `json:"files"`
	CoreRaw       int    `json:"core_raw"`
	CoreBrotli    int    `json:"core_brotli"`
	FirstLoadGzip int    `json:"first_load_gzip"`
}

// filesJSON is the listing that a release takes over: path → SHA-256 in hex, of
// every file that is served but for this one and manifest.json.
const filesJSON = "files.json"

// File is one served file. Sizes are in bytes; 0 means that the compressed form
// isn't kept because it saves nothing.
type File struct {
	Path   string `json:"path"` // relative to the root of the site
	SHA256 string `json:"sha256"`
	Size   int    `json:"size"`
	Brotli int    `json:"brotli,omitempty"`
	Gzip   int    `json:"gzip,omitempty"`
	// Fixed is true for names that stay the same from build to build, so that
	// a browser must ask again.
	Fixed bool `json:"fixed,omitempty"`
}

// site is what a build has made so far, by path.
type site map[string][]byte

// Build makes the web app and writes it to o.Out.
func Build(o Options) (*Manifest, error) {
	if o.Out == "" {
		return nil, errors.New("no output directory")
	}
	core, err := coreWASM(o)
	if err != nil {
		return nil, err
	}
	s := site{}
	names := map[string]string{} // what the sources call a file → its path in the site
	names["core.wasm"] = s.addHashed("core.wasm", core)

	first, page, err := bundleAll(o, s, names)
	if err != nil {
		return nil, err
	}
	if err := s.addStatic(filepath.Join(o.Web, "static"), names); err != nil {
		return nil, err
	}
	if err := s.addPages(filepath.Join(o.Web, "static"), names, page); err != nil {
		return nil, err
	}

	m, packed, err := s.pack(o.Cache)
	if err != nil {
		return nil, err
	}
	m.CoreRaw = len(core)
	for _, f := range m.Files {
		if f.Path == names["core.wasm"] {
			m.CoreBrotli = smaller(f.Brotli, f.Size)
		}
		if slices.Contains(first, f.Path) {
			m.FirstLoadGzip += smaller(f.Gzip, f.Size)
		}
	}
	if m.CoreBrotli > maxCoreBrotli {
		return nil, fmt.Errorf("the core is %s of brotli; its budget is %s", kilo(m.CoreBrotli), kilo(maxCoreBrotli))
	}
	if m.FirstLoadGzip > maxFirstLoadGzip {
		return nil, fmt.Errorf("a first load is %s of gzip; its budget is %s: load what isn't needed at first by import()",
			kilo(m.FirstLoadGzip), kilo(maxFirstLoadGzip))
	}
	return m, write(o.Out, m, packed)
}

// smaller is the size that a file travels in: compressed, where that was kept.
func smaller(compressed, size int) int {
	if compressed == 0 {
		return size
	}
	return compressed
}

// addHashed puts data at a path that names its digest, and returns that path.
func (s site) addHashed(name string, data []byte) string {
	sum := sha256.Sum256(data)
	ext := path.Ext(name)
	p := path.Join("a", strings.TrimSuffix(name, ext)+"-"+hex.EncodeToString(sum[:8])+ext)
	s[p] = data
	return p
}

// addStatic copies the files of dir under their own names, HTML aside.
func (s site) addStatic(dir string, names map[string]string) error {
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") || path.Ext(d.Name()) == ".html" {
			return err
		}
		rel, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		p := filepath.ToSlash(rel)
		if _, ok := s[p]; ok || p == "manifest.json" || p == filesJSON || strings.HasPrefix(p, "a/") {
			return fmt.Errorf("static file %s takes a name that the build uses", p)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		s[p], names[p] = b, p
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil // an app without static files is still an app
	}
	return err
}

// write replaces out with the packed files and the manifest.
func write(out string, m *Manifest, packed site) error {
	doc, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	packed["manifest.json"] = append(doc, '\n')
	files := map[string]string{}
	for _, f := range m.Files {
		files[f.Path] = f.SHA256
	}
	if doc, err = json.MarshalIndent(files, "", "  "); err != nil {
		return err
	}
	packed[filesJSON] = append(doc, '\n')

	// What was there goes, but for dotfiles: .keep holds the place of the
	// directory in the repository.
	old, err := os.ReadDir(out)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, d := range old {
		if strings.HasPrefix(d.Name(), ".") {
			continue
		}
		if err := os.RemoveAll(filepath.Join(out, d.Name())); err != nil {
			return err
		}
	}
	for p, b := range packed {
		file := filepath.Join(out, filepath.FromSlash(p))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, b, 0o644); err != nil {
			return err
		}
	}
	return nil
}
