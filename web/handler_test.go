// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package web

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/sotto-chat/sotto/web/headers"
)

// build is a small web app in the form that web/build writes.
func build() fstest.MapFS {
	fsys := fstest.MapFS{".keep": {}}
	files := []string{}
	add := func(path, data string, fixed bool, br, gz string) {
		fsys[path] = &fstest.MapFile{Data: []byte(data)}
		if br != "" {
			fsys[path+".br"] = &fstest.MapFile{Data: []byte(br)}
		}
		if gz != "" {
			fsys[path+".gz"] = &fstest.MapFile{Data: []byte(gz)}
		}
		files = append(files, fmt.Sprintf(`{"path":%q,"sha256":"%064x","size":%d,"brotli":%d,"gzip":%d,"fixed":%t}`,
			path, len(files)+1, len(data), len(br), len(gz), fixed))
	}
	add("index.html", "the page", true, "", "")
	add("core.html", "the frame", true, "", "")
	add("sw.js", "the service worker", true, "", "")
	add("icon.svg", "the icon", true, "", "")
	add("a/worker-00.js", "the worker", false, "worker br", "worker gz")
	add("a/core-00.wasm", "the core", false, "core br", "")
	fsys["files.json"] = &fstest.MapFile{Data: []byte("the listing")}
	fsys["manifest.json"] = &fstest.MapFile{Data: []byte(`{"v":1,"digest":"ab","files":[` + strings.Join(files, ",") + `]}`)}
	return fsys
}

// get asks h for path; header lines are "Name: value".
func get(t *testing.T, h http.Handler, method, path string, header ...string) (*http.Response, string) {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	res := w.Result()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func TestRoutes(t *testing.T) {
	h := New(build())
	for _, c := range []struct {
		path   string
		status int
		body   string
	}{
		{"/", 200, "the page"},
		{"/chat/8f2c", 200, "the page"},
		{"/settings", 200, "the page"},
		{"/settings/passkeys", 200, "the page"},
		{"/link/ab12", 200, "the page"},
		{"/core.html", 200, "the frame"},
		{"/icon.svg", 200, "the icon"},
		{"/a/worker-00.js", 200, "the worker"},
		{"/sw.js", 200, "the service worker"},
		{"/files.json", 200, "the listing"},
		{"/manifest.json", 200, ""},
		{"/index.html", 404, ""}, // one address for one page
		{"/chat/", 404, ""},
		{"/chat/a/b", 404, ""},
		{"/a/worker-00.js.br", 404, ""}, // a form, not a file
		{"/.keep", 404, ""},
		{"/a/", 404, ""},
		{"/../handler.go", 404, ""},
		{"//a/worker-00.js", 404, ""},
		{"/api/v1/session", 404, ""},
	} {
		res, body := get(t, h, "GET", c.path)
		if res.StatusCode != c.status {
			t.Errorf("%s: status %d, want %d", c.path, res.StatusCode, c.status)
		}
		if c.body != "" && body != c.body {
			t.Errorf("%s: body %q, want %q", c.path, body, c.body)
		}
	}
	if res, _ := get(t, h, "POST", "/"); res.StatusCode != 405 {
		t.Errorf("POST /: status %d, want 405", res.StatusCode)
	}
}

func TestHeaders(t *testing.T) {
	h := New(build())
	for path, want := range map[string]map[string]string{
		"/": {
			"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; font-src 'self'; " +
				"connect-src 'self'; frame-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; " +
				"frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
			"Cache-Control":    "no-cache",
			"Content-Type":     "text/html; charset=utf-8",
			"Integrity-Policy": "blocked-destinations=(script)",
		},
		"/sw.js":          {"Content-Security-Policy": headers.ServiceWorker, "Cache-Control": "no-cache", "Content-Type": "text/javascript; charset=utf-8"},
		"/core.html":      {"Content-Security-Policy": headers.Frame, "Cache-Control": "no-cache"},
		"/a/worker-00.js": {"Content-Security-Policy": headers.Worker, "Cache-Control": "public, max-age=31536000, immutable"},
		"/a/core-00.wasm": {"Content-Type": "application/wasm"},
		"/nothing":        {"Content-Security-Policy": headers.File},
	} {
		res, _ := get(t, h, "GET", path)
		for name, v := range want {
			if got := res.Header.Get(name); got != v {
				t.Errorf("%s: %s is %q, want %q", path, name, got, v)
			}
		}
		for name, v := range map[string]string{
			"Cross-Origin-Opener-Policy":   "same-origin",
			"Cross-Origin-Embedder-Policy": "require-corp",
			"Cross-Origin-Resource-Policy": "same-origin",
			"Referrer-Policy":              "no-referrer",
			"X-Content-Type-Options":       "nosniff",
		} {
			if got := res.Header.Get(name); got != v {
				t.Errorf("%s: %s is %q, want %q", path, name, got, v)
			}
		}
		if res.Header.Get("Permissions-Policy") == "" {
			t.Errorf("%s: no Permissions-Policy", path)
		}
		if res.Header.Get("Set-Cookie") != "" {
			t.Errorf("%s: sets a cookie", path)
		}
	}
	if res, _ := get(t, h, "GET", "/"); strings.Contains(res.Header.Get("Content-Security-Policy"), "wasm-unsafe-eval") {
		t.Error("the page itself may compile WASM; only the Worker needs that")
	}
}

func TestEncodings(t *testing.T) {
	h := New(build())
	for _, c := range []struct{ path, accept, coding, body string }{
		{"/a/worker-00.js", "gzip, deflate, br, zstd", "br", "worker br"},
		{"/a/worker-00.js", "gzip", "gzip", "worker gz"},
		{"/a/worker-00.js", "br;q=0, gzip;q=0.5", "gzip", "worker gz"},
		{"/a/worker-00.js", "", "", "the worker"},
		{"/a/worker-00.js", "brotli", "", "the worker"},
		{"/a/core-00.wasm", "gzip", "", "the core"},
		{"/icon.svg", "br", "", "the icon"},
	} {
		res, body := get(t, h, "GET", c.path, "Accept-Encoding: "+c.accept)
		if got := res.Header.Get("Content-Encoding"); got != c.coding || body != c.body {
			t.Errorf("%s for %q: %q as %q, want %q as %q", c.path, c.accept, body, got, c.body, c.coding)
		}
		// The tag names the form too, so that a cache can't mix two of them.
		tag := res.Header.Get("ETag")
		again, body := get(t, h, "GET", c.path, "Accept-Encoding: "+c.accept, "If-None-Match: "+tag)
		if again.StatusCode != 304 || body != "" {
			t.Errorf("%s with its own tag %s: status %d", c.path, tag, again.StatusCode)
		}
	}
	res, body := get(t, h, "HEAD", "/a/worker-00.js")
	if body != "" || res.Header.Get("Content-Length") != "10" {
		t.Errorf("HEAD: body %q, length %s", body, res.Header.Get("Content-Length"))
	}
}

func TestNoBuild(t *testing.T) {
	res, body := get(t, New(fstest.MapFS{".keep": {}}), "GET", "/")
	if res.StatusCode != 503 || !strings.Contains(body, "make web") {
		t.Errorf("without a build: %d %q, want 503 and what to do", res.StatusCode, body)
	}
	// A manifest that promises files which aren't there is no build either.
	broken := build()
	delete(broken, "a/core-00.wasm.br")
	if res, _ := get(t, New(broken), "GET", "/"); res.StatusCode != 503 {
		t.Errorf("with half a build: %d, want 503", res.StatusCode)
	}
}

// TestRelays: the Worker, and nothing else, may also ask the relays that are named.
func TestRelays(t *testing.T) {
	for path, want := range map[string]bool{"a/worker-1.js": true, "index.html": false, "core.html": false, "sw.js": false, "a/x.js": false} {
		kind := headers.Kind(path)
		before, after := headers.All(kind), headers.Reaching(kind, headers.Origins([]string{"https://relay.example/x", "https://relay.example", "ftp://x", "https://a b", "https://x;script-src", "http://localhost:1/"}))
		got := after["Content-Security-Policy"]
		if strings.Contains(got, "connect-src 'self' https://relay.example http://localhost:1;") != want {
			t.Errorf("%s: %s", path, got)
		}
		after["Content-Security-Policy"] = strings.Replace(got, " https://relay.example http://localhost:1", "", 1)
		if !maps.Equal(before, after) {
			t.Errorf("%s: %v", path, after)
		}
	}
}

func TestRelaysAreServed(t *testing.T) {
	h := New(build(), "https://relay.example/")
	seen := 0
	for path := range build() {
		if strings.HasSuffix(path, ".br") || strings.HasSuffix(path, ".gz") {
			continue
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/"+path, nil))
		policy := w.Header().Get("Content-Security-Policy")
		if strings.Contains(policy, "https://relay.example") != (headers.Kind(path) == "worker") {
			t.Errorf("%s: %s", path, policy)
		}
		if headers.Kind(path) == "worker" && w.Code == 200 {
			seen++
		}
	}
	if seen == 0 {
		t.Error("the build has no Worker: this test looks at nothing")
	}
}
