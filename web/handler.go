// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package web

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"strconv"
	"strings"

	"github.com/sotto-chat/sotto/web/headers"
)

// asset is one file in the forms that it is served in.
type asset struct {
	path, digest  string
	fixed         bool
	plain, br, gz []byte
}

// New returns a handler for the files of a build, which it reads at once. The
// app's own routes all get index.html. Without a build it answers one sentence.
// The page may ask the relays at the given URLs.
func New(dist fs.FS, relays ...string) http.Handler {
	origins := headers.Origins(relays)
	assets, err := load(dist)
	if err != nil {
		msg := "The web app isn't part of this program (" + err.Error() + ").\n" +
			"Build it with: make web, then build this program again. The terminal works without it: sotto chat\n"
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			secure(w.Header(), "file")
			w.Header().Set("Content-Type", headers.Types[".txt"])
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, msg)
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			secure(w.Header(), "file")
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "this page is only read", http.StatusMethodNotAllowed)
			return
		}
		name := strings.TrimPrefix(r.URL.Path, "/")
		if isRoute(r.URL.Path) {
			name = "index.html"
		}
		a, ok := assets[name]
		if !ok || name == "index.html" && !isRoute(r.URL.Path) {
			secure(w.Header(), "file")
			http.Error(w, "there is nothing at this address", http.StatusNotFound)
			return
		}
		a.serve(w, r, origins)
	})
}

// isRoute reports whether the app itself shows something at p.
func isRoute(p string) bool {
	switch p {
	case "/", "/settings":
		return true
	}
	for _, prefix := range []string{"/chat/", "/link/", "/settings/"} {
		if id, ok := strings.CutPrefix(p, prefix); ok && id != "" && !strings.Contains(id, "/") {
			return true
		}
	}
	return false
}

// load reads the files that a build's manifest names.
func load(dist fs.FS) (map[string]*asset, error) {
	doc, err := fs.ReadFile(dist, "manifest.json")
	if err != nil {
		return nil, fmt.Errorf("dist holds no build")
	}
	var m struct {
		Digest string
		Files  []struct {
			Path         string
			SHA256       string
			Brotli, Gzip int
			Fixed        bool
		}
	}
	if err := json.Unmarshal(doc, &m); err != nil {
		return nil, fmt.Errorf("dist/manifest.json: %w", err)
	}
	assets := map[string]*asset{
		"manifest.json": {path: "manifest.json", digest: m.Digest, fixed: true, plain: doc},
	}
	// What a release says of the page, for those who compare (see web/build).
	if doc, err := fs.ReadFile(dist, "files.json"); err == nil {
		assets["files.json"] = &asset{path: "files.json", digest: m.Digest, fixed: true, plain: doc}
	}
	for _, f := range m.Files {
		a := &asset{path: f.Path, digest: f.SHA256, fixed: f.Fixed}
		if a.plain, err = fs.ReadFile(dist, f.Path); err != nil {
			return nil, err
		}
		if f.Brotli > 0 {
			if a.br, err = fs.ReadFile(dist, f.Path+".br"); err != nil {
				return nil, err
			}
		}
		if f.Gzip > 0 {
			if a.gz, err = fs.ReadFile(dist, f.Path+".gz"); err != nil {
				return nil, err
			}
		}
		assets[f.Path] = a
	}
	if assets["index.html"] == nil {
		return nil, fmt.Errorf("dist has no index.html")
	}
	return assets, nil
}

// serve answers with the smallest form that the browser takes.
func (a *asset) serve(w http.ResponseWriter, r *http.Request, origins []string) {
	h := w.Header()
	for name, value := range headers.Reaching(headers.Kind(a.path), origins) {
		h.Set(name, value)
	}
	if r.TLS != nil {
		h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
	}
	h.Set("Content-Type", headers.Type(a.path))
	if a.fixed {
		h.Set("Cache-Control", "no-cache")
	} else {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}

	body, tag := a.plain, a.digest
	if a.br != nil || a.gz != nil {
		h.Set("Vary", "Accept-Encoding")
		accept := r.Header.Get("Accept-Encoding")
		switch {
		case a.br != nil && accepts(accept, "br"):
			body, tag = a.br, tag+"-br"
			h.Set("Content-Encoding", "br")
		case a.gz != nil && accepts(accept, "gzip"):
			body, tag = a.gz, tag+"-gz"
			h.Set("Content-Encoding", "gzip")
		}
	}
	etag := `"` + tag + `"`
	h.Set("ETag", etag)
	for known := range strings.SplitSeq(r.Header.Get("If-None-Match"), ",") {
		if strings.TrimPrefix(strings.TrimSpace(known), "W/") == etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodHead {
		return
	}
	w.Write(body) // the browser is gone if this fails: nobody is left to tell
}

// secure sets the headers that every answer of a kind carries.
func secure(h http.Header, kind string) {
	for name, value := range headers.All(kind) {
		h.Set(name, value)
	}
}

// accepts reports whether an Accept-Encoding header names coding and doesn't
// refuse it with a weight of zero.
func accepts(header, coding string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(strings.TrimSpace(name), coding) {
			q, ok := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q=")
			if !ok {
				return true
			}
			weight, err := strconv.ParseFloat(q, 64)
			return err == nil && weight > 0
		}
	}
	return false
}
