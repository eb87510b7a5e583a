// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package web

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// Content security policies, one for each kind of document.
//
// The page may load nothing but its own files and can make no HTML out of
// strings: no Trusted Types policy may exist in it. For the same reason it can't
// start a Worker, which takes a script's URL; the core's frame does that, under
// a policy of its own that allows that one URL (src/core/frame.ts). Only the
// Worker may compile WASM.
const (
	pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; " +
		"font-src 'self'; connect-src 'self'; frame-src 'self'; worker-src 'self'; manifest-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
		"require-trusted-types-for 'script'; trusted-types 'none'"
	framePolicy = "default-src 'none'; script-src 'self'; worker-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'self'; " +
		"require-trusted-types-for 'script'; trusted-types sotto-core"
	workerPolicy = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; " +
		"require-trusted-types-for 'script'; trusted-types 'none'"
	filePolicy = "default-src 'none'; frame-ancestors 'none'"
)

// permissions turns off what the app has no use for.
const permissions = "publickey-credentials-get=(self), publickey-credentials-create=(self), clipboard-write=(self), " +
	"accelerometer=(), autoplay=(), camera=(), display-capture=(), fullscreen=(), geolocation=(), gyroscope=(), " +
	"hid=(), microphone=(), midi=(), payment=(), serial=(), usb=(), xr-spatial-tracking=()"

// contentTypes are said by name rather than asked of the system, whose tables
// differ. WASM compiles while it streams only under its own type.
var contentTypes = map[string]string{
	".css":         "text/css; charset=utf-8",
	".html":        "text/html; charset=utf-8",
	".js":          "text/javascript; charset=utf-8",
	".json":        "application/json",
	".png":         "image/png",
	".svg":         "image/svg+xml",
	".txt":         "text/plain; charset=utf-8",
	".wasm":        "application/wasm",
	".webmanifest": "application/manifest+json",
	".woff2":       "font/woff2",
}

// asset is one file in the forms that it is served in.
type asset struct {
	path, digest  string
	fixed         bool
	plain, br, gz []byte
}

// New returns a handler for the files of a build, which it reads at once. The
// app's own routes all get index.html. Without a build it answers one sentence.
func New(dist fs.FS) http.Handler {
	assets, err := load(dist)
	if err != nil {
		msg := "The web app isn't part of this program (" + err.Error() + ").\n" +
			"Build it with: make web, then build this program again. The terminal works without it: sotto chat\n"
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			secure(w.Header(), filePolicy)
			w.Header().Set("Content-Type", contentTypes[".txt"])
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, msg)
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			secure(w.Header(), filePolicy)
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
			secure(w.Header(), filePolicy)
			http.Error(w, "there is nothing at this address", http.StatusNotFound)
			return
		}
		a.serve(w, r)
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
func (a *asset) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	ext := path.Ext(a.path)
	secure(h, a.policy())
	if r.TLS != nil {
		h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
	}
	h.Set("Content-Type", contentTypes[ext])
	if contentTypes[ext] == "" {
		h.Set("Content-Type", "application/octet-stream")
	}
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

// policy is the content security policy of the asset's kind.
func (a *asset) policy() string {
	switch {
	case a.path == "core.html":
		return framePolicy
	case strings.HasSuffix(a.path, ".html"):
		return pagePolicy
	case strings.HasPrefix(a.path, "a/worker-") && strings.HasSuffix(a.path, ".js"):
		return workerPolicy
	}
	return filePolicy
}

// secure sets the headers that every answer carries.
func secure(h http.Header, policy string) {
	h.Set("Content-Security-Policy", policy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Embedder-Policy", "require-corp")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Permissions-Policy", permissions)
	h.Set("X-Content-Type-Options", "nosniff")
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
