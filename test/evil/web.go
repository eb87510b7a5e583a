// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing/fstest"

	"github.com/sotto-chat/sotto/release"
	"github.com/sotto-chat/sotto/web"
	"github.com/sotto-chat/sotto/web/headers"
)

// site is a small page, of the kinds of files that the real one has.
func site(version string) map[string]string {
	return map[string]string{
		"index.html":              `<!doctype html><script type="module" src="/a/app.js"></script><p>` + version,
		"a/app.js":                "export const version = '" + version + "';",
		"a/core.wasm":             "\x00asm the core of " + version,
		headers.ServiceWorkerPath: "// keeps " + version,
	}
}

// published lists a site's files as a release does.
func published(files map[string]string) (w release.Web) {
	for _, path := range slices.Sorted(maps.Keys(files)) {
		w.Files = append(w.Files, release.File{Path: path, SHA256: release.Digest([]byte(files[path]))})
	}
	w.Core = release.Digest([]byte(files["a/core.wasm"]))
	return w
}

// serving is the real handler of the page over a site.
func serving(files map[string]string) http.Handler {
	type file struct {
		Path, SHA256 string
		Fixed        bool
	}
	var m struct{ Files []file }
	dist := fstest.MapFS{}
	for path, text := range files {
		m.Files = append(m.Files, file{path, strings.TrimPrefix(release.Digest([]byte(text)), "sha256:"), !strings.HasPrefix(path, "a/")})
		dist[path] = &fstest.MapFile{Data: []byte(text)}
	}
	dist["manifest.json"] = &fstest.MapFile{Data: must(json.Marshal(m))}
	return web.New(dist)
}

// compared is a person who has the terminal program compare the site with the log.
func compared(ctx context.Context, w *World) error {
	if w.page == nil {
		l := w.withLog()
		for _, v := range []string{"1.3.0", "1.4.0"} {
			l.good = l.publish(v, func(m *release.Manifest) { m.Web = published(site(v)) })
		}
		w.page = serving(site("1.4.0"))
	}
	out, errOut, code, err := w.victim.runProgram(ctx, "verify-web", "--json")
	if err != nil || code == 0 {
		return err
	}
	var doc struct {
		Differences []struct{ What string }
	}
	if err := json.Unmarshal([]byte(out), &doc); err != nil || len(doc.Differences) == 0 || code != exitNotVerified {
		return fmt.Errorf("exit code %d: %s%s", code, out, errOut)
	}
	return &failure{doc.Differences[0].What}
}

func webAttacks() []*Attack {
	const (
		bytesSame = "What a site serves can be compared with what was published, byte by byte."
		noScript  = "A page runs only what was published with it."
		keeps     = "The script that keeps a page on the device is part of what was published."
	)
	const server, between = "the web server", "whoever ends TLS before the web server"
	one := func(name, promise, attacker, failure string, page func(honest http.Handler) http.Handler) *Attack {
		return &Attack{Class: classWeb, Name: name, Promise: promise, Attacker: attacker, Failure: failure, Victim: compared,
			Arm: func(ctx context.Context, w *World) error { w.page = page(w.page); return nil }}
	}
	with := func(path, text string) func(http.Handler) http.Handler {
		return func(http.Handler) http.Handler {
			files := site("1.4.0")
			files[path] = text
			return serving(files)
		}
	}
	// answers changes what the honest server says.
	answers := func(change func(r *http.Request, h http.Header, body []byte) []byte) func(http.Handler) http.Handler {
		return func(honest http.Handler) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				rec := httptest.NewRecorder()
				honest.ServeHTTP(rec, r)
				body := change(r, rec.Header(), rec.Body.Bytes())
				maps.Copy(rw.Header(), rec.Header())
				rw.Header().Del("Content-Length")
				rw.WriteHeader(rec.Code)
				rw.Write(body)
			})
		}
	}
	const changed, missing, header = "changed", "missing", "header"
	return []*Attack{
		one("changed-file", bytesSame, server, changed, with("a/app.js", "steal()")),
		one("changed-wasm", bytesSame, server, changed, with("a/core.wasm", "\x00asm that checks nothing")),
		one("file-left-out", bytesSame, server, missing, func(http.Handler) http.Handler {
			files := site("1.4.0")
			delete(files, "a/app.js")
			return serving(files)
		}),
		one("script-added-to-the-page", noScript, server, changed, with("index.html", site("1.4.0")["index.html"]+`<script src="https://evil.example/x.js"></script>`)),
		one("page-of-an-older-release", bytesSame, server, changed, func(http.Handler) http.Handler { return serving(site("1.3.0")) }),
		one("old-service-worker", keeps, server, changed, with(headers.ServiceWorkerPath, site("1.3.0")[headers.ServiceWorkerPath])),
		one("other-bytes-in-one-encoding", bytesSame, between, changed, answers(func(r *http.Request, h http.Header, body []byte) []byte {
			if strings.HasSuffix(r.URL.Path, "app.js") && strings.Contains(r.Header.Get("Accept-Encoding"), "zstd") {
				return []byte("steal()")
			}
			return body
		})),
		one("other-page-on-one-address", bytesSame, server, changed, answers(func(r *http.Request, h http.Header, body []byte) []byte {
			if strings.HasPrefix(r.URL.Path, "/link/") {
				return bytes.Replace(body, []byte("</script>"), []byte("</script><script src=/a/more.js></script>"), 1)
			}
			return body
		})),
		one("content-policy-loosened", noScript, between, header, answers(func(r *http.Request, h http.Header, body []byte) []byte {
			if v := h.Get("Content-Security-Policy"); v != "" {
				h.Set("Content-Security-Policy", strings.Replace(v, "script-src ", "script-src 'unsafe-inline' ", 1))
			}
			return body
		})),
		one("script-by-a-header", noScript, between, header, answers(func(r *http.Request, h http.Header, body []byte) []byte {
			h.Set("Link", `</a/more.js>; rel="modulepreload"`)
			return body
		})),
	}
}
