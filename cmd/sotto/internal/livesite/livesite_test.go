// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package livesite

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/andybalholm/brotli"

	"github.com/sotto-chat/sotto/release"
	"github.com/sotto-chat/sotto/web"
	"github.com/sotto-chat/sotto/web/headers"
)

// pages are what a small site consists of.
var pages = map[string]string{
	"index.html":       `<!doctype html><script type="module" src="/a/main-1.js"></script><link rel="stylesheet" href="/a/main-2.css"><iframe src="/core.html"></iframe>`,
	"core.html":        `<!doctype html><script type="module" src="/a/frame-3.js"></script>`,
	"a/main-1.js":      "console.log('main')\n" + strings.Repeat("// padding\n", 50),
	"a/main-2.css":     "body { color: black }\n",
	"a/frame-3.js":     "console.log('frame')\n",
	"a/worker-4.js":    "console.log('worker')\n",
	"a/core-5.wasm":    "\x00asm" + strings.Repeat("wasm", 100),
	"sw.js":            "console.log('service worker')\n",
	"site.webmanifest": "{}\n",
}

// site serves pages with the real handler, and says what was published.
func site(t *testing.T) (http.Handler, []release.File) {
	t.Helper()
	type file struct {
		Path   string `json:"path"`
		SHA256 string `json:"sha256"`
		Brotli int    `json:"brotli,omitempty"`
		Gzip   int    `json:"gzip,omitempty"`
	}
	var list []file
	var published []release.File
	dist := fstest.MapFS{}
	for _, p := range slices.Sorted(maps.Keys(pages)) {
		data := []byte(pages[p])
		var br, gz bytes.Buffer
		w := brotli.NewWriter(&br)
		w.Write(data)
		w.Close()
		z := gzip.NewWriter(&gz)
		z.Write(data)
		z.Close()
		dist[p], dist[p+".br"], dist[p+".gz"] = &fstest.MapFile{Data: data}, &fstest.MapFile{Data: br.Bytes()}, &fstest.MapFile{Data: gz.Bytes()}
		digest := release.Digest(data)
		list = append(list, file{p, strings.TrimPrefix(digest, "sha256:"), br.Len(), gz.Len()})
		published = append(published, release.File{Path: p, SHA256: digest})
	}
	doc, err := json.Marshal(map[string]any{"digest": "d", "files": list})
	if err != nil {
		t.Fatal(err)
	}
	dist["manifest.json"] = &fstest.MapFile{Data: doc}
	return web.New(dist), published
}

// compare runs Compare against h.
func compare(t *testing.T, h http.Handler, files []release.File) []Difference {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	base, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	return Compare(t.Context(), files, New(base), nil)
}

func TestTheRealHandlerIsAsPublished(t *testing.T) {
	h, files := site(t)
	for _, d := range compare(t, h, files) {
		t.Errorf("%+v", d)
	}
}

// swapped serves other bytes at a path, in the encodings that match.
func swapped(h http.Handler, path, encoding string, body []byte, change func(http.Header)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != path || encoding != "*" && r.Header.Get("Accept-Encoding") != encoding {
			h.ServeHTTP(w, r)
			return
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		maps.Copy(w.Header(), rec.Header())
		w.Header().Del("Content-Length")
		if change != nil {
			change(w.Header())
		}
		if body == nil {
			body = rec.Body.Bytes()
		} else {
			w.Header().Del("Content-Encoding")
		}
		w.WriteHeader(rec.Code)
		w.Write(body)
	})
}

// TestEachChangeIsFound: each case breaks one thing of the site, and is named for it.
func TestEachChangeIsFound(t *testing.T) {
	gzipOf := func(s string) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		z.Write([]byte(s))
		z.Close()
		return b.Bytes()
	}
	set := func(name, value string) func(http.Header) {
		return func(h http.Header) { h.Set(name, value) }
	}
	del := func(name string) func(http.Header) { return func(h http.Header) { h.Del(name) } }
	policy := func(old, new string) func(http.Header) {
		return func(h http.Header) {
			h.Set("Content-Security-Policy", strings.Replace(h.Get("Content-Security-Policy"), old, new, 1))
		}
	}
	for _, c := range []struct {
		name, path, encoding string
		body                 []byte
		change               func(http.Header)
		what, says           string // the first difference
	}{
		{"a changed script", "/a/main-1.js", "*", []byte("alert(1)"), nil, Changed, ""},
		{"changed WASM", "/a/core-5.wasm", "*", []byte("\x00asm other"), nil, Changed, ""},
		{"a changed worker", "/a/worker-4.js", "*", []byte("self.evil = 1"), nil, Changed, ""},
		{"one byte more", "/sw.js", "*", []byte(pages["sw.js"] + "\n"), nil, Changed, ""},
		{"only for those who take gzip", "/a/main-1.js", "gzip", gzipOf("alert(1)"), set("Content-Encoding", "gzip"), Changed, ""},
		{"only for those who take brotli", "/a/main-1.js", "br", []byte("alert(1)"), nil, Changed, ""},
		{"only for what browsers take", "/a/main-1.js", browsers, []byte("alert(1)"), nil, Changed, ""},
		{"only on one of the app's addresses", "/settings", "*", []byte("<!doctype html>"), nil, Changed, ""},
		{"only on the address of links", "/link/00000000000000000000000000000000", "*", []byte("<!doctype html>"), nil, Changed, ""},
		{"an encoding that nobody can undo here", "/a/main-1.js", "*", nil, set("Content-Encoding", "zstd"), Unreadable, "zstd"},
		{"gzip that is none", "/a/main-1.js", "gzip", []byte("no gzip"), set("Content-Encoding", "gzip"), Changed, ""},
		{"no policy", "/", "*", nil, del("Content-Security-Policy"), Header, "Content-Security-Policy"},
		{"a policy that lets code be made of strings", "/", "*", nil, policy("script-src 'self'", "script-src 'self' 'unsafe-eval'"), Header, "Content-Security-Policy"},
		{"a policy with another host", "/", "*", nil, policy("connect-src 'self'", "connect-src 'self' https://evil.example"), Header, "Content-Security-Policy"},
		{"a policy without trusted types", "/", "*", nil, policy("; require-trusted-types-for 'script'", ""), Header, "Content-Security-Policy"},
		{"a policy that asks for trusted types of nothing", "/", "*", nil, policy("require-trusted-types-for 'script'", "require-trusted-types-for"), Header, "Content-Security-Policy"},
		{"a policy with a directive more", "/", "*", nil, policy("default-src 'none'", "default-src 'none'; object-src https://evil.example"), Header, "Content-Security-Policy"},
		{"a policy that names a directive twice", "/", "*", nil, policy("script-src 'self'", "script-src *; script-src 'self'"), Header, "Content-Security-Policy"},
		{"a policy for reports only", "/", "*", nil, func(h http.Header) {
			h.Set("Content-Security-Policy-Report-Only", h.Get("Content-Security-Policy"))
		}, Header, "Report-Only"},
		{"no nosniff", "/a/main-1.js", "*", nil, del("X-Content-Type-Options"), Header, "X-Content-Type-Options"},
		{"another type", "/sw.js", "*", nil, set("Content-Type", "text/html; charset=utf-8"), Header, "Content-Type"},
		{"openers let in", "/", "*", nil, set("Cross-Origin-Opener-Policy", "unsafe-none"), Header, "Cross-Origin-Opener-Policy"},
		{"no integrity policy", "/", "*", nil, del("Integrity-Policy"), Header, "Integrity-Policy"},
		{"something loaded by a header", "/", "*", nil, set("Link", "</evil.js>; rel=modulepreload"), Header, "Link"},
		{"a cookie", "/", "*", nil, set("Set-Cookie", "who=1"), Header, "Set-Cookie"},
		{"a reload elsewhere", "/", "*", nil, set("Refresh", "0; url=https://evil.example"), Header, "Refresh"},
		{"reports to somebody", "/", "*", nil, set("Reporting-Endpoints", `e="https://evil.example"`), Header, "Reporting-Endpoints"},
		{"a wider service worker", "/sw.js", "*", nil, set("Service-Worker-Allowed", "/x"), Header, "Service-Worker-Allowed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, files := site(t)
			found := compare(t, swapped(h, c.path, c.encoding, c.body, c.change), files)
			if len(found) == 0 {
				t.Fatal("nothing was found")
			}
			d := found[0]
			if d.Path != c.path || d.What != c.what && !(c.name == "gzip that is none" && d.What == Unreadable) || !strings.Contains(d.Want+d.Found, c.says) {
				t.Errorf("found %+v", found)
			}
			for _, d := range found {
				if d.Path != c.path {
					t.Errorf("%s is named, which wasn't touched: %+v", d.Path, d)
				}
			}
		})
	}
}

func TestWhatAChangedDocumentLoads(t *testing.T) {
	h, files := site(t)
	doc := strings.Replace(pages["index.html"], "<link", `<script src="https://evil.example/x.js"></script><script>code()</script><base href=/evil/><link`, 1)
	var extra []string
	for _, d := range compare(t, swapped(h, "/", "*", []byte(doc), nil), files) {
		if d.What == Extra {
			extra = append(extra, d.Found)
		}
	}
	want := []string{"<script> https://evil.example/x.js", "<script> without an address: code in the document itself", "<base> /evil/"}
	if !slices.Equal(extra, want) {
		t.Errorf("extra: %q, want %q", extra, want)
	}
}

func TestMissingAndUnreachable(t *testing.T) {
	h, files := site(t)
	files = append(files, release.File{Path: "a/gone-6.js", SHA256: release.Digest(nil)})
	found := compare(t, h, files)
	if len(found) != 1 || found[0].What != Missing || found[0].Path != "/a/gone-6.js" {
		t.Errorf("found %+v", found)
	}
	none := func(context.Context, string, string) (Answer, error) { return Answer{}, fmt.Errorf("no route") }
	for _, d := range Compare(t.Context(), files[:1], none, nil) {
		if d.What != Unreachable {
			t.Errorf("%+v", d)
		}
	}
}

// TestAskedAsABrowserDoes: what a server could tell a check by.
func TestAskedAsABrowserDoes(t *testing.T) {
	h, files := site(t)
	seen := map[string]bool{}
	compare(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen[r.Header.Get("Accept-Encoding")] = true
		if !strings.Contains(r.Header.Get("User-Agent"), "Chrome/") || r.Header.Get("Sec-Fetch-Mode") == "" {
			t.Errorf("%s is asked for with %v", r.URL.Path, r.Header)
		}
		h.ServeHTTP(w, r)
	}), files)
	for _, want := range []string{"identity", "gzip", "br", browsers} {
		if !seen[want] {
			t.Errorf("nothing was asked for as %q", want)
		}
	}
}

// TestUnpackingIsBounded: a few bytes that would become much.
func TestUnpackingIsBounded(t *testing.T) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	zeros := make([]byte, 1<<20)
	for range MaxFile>>20 + 1 {
		z.Write(zeros)
	}
	z.Close()
	a := Answer{Status: 200, Header: http.Header{"Content-Encoding": {"gzip"}}, Body: b.Bytes()}
	if _, err := decode(a); err == nil {
		t.Error("more than any file can be was unpacked")
	}
}

func TestAsStrict(t *testing.T) {
	for _, kind := range headers.Kinds() {
		want := headers.All(kind)["Content-Security-Policy"]
		if !asStrict(want, want) {
			t.Errorf("%s: the policy isn't as strict as itself", kind)
		}
		if !asStrict(want+"; upgrade-insecure-requests", want) {
			t.Errorf("%s: stricter isn't strict enough", kind)
		}
		if asStrict("", want) || asStrict(want+", default-src *", want) {
			t.Errorf("%s: anything goes", kind)
		}
	}
}

// FuzzJudge: whatever a site answers, it is judged, and nothing but the published
// bytes under the right headers is as published.
func FuzzJudge(f *testing.F) {
	f.Add([]byte(pages["index.html"]), "", headers.Page)
	f.Add([]byte("<script src=//x>"), "gzip", "default-src *")
	f.Add([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0}, "br", "; ;")
	files := []release.File{{Path: "index.html", SHA256: release.Digest([]byte(pages["index.html"]))}}
	f.Fuzz(func(t *testing.T, body []byte, encoding, policy string) {
		h := http.Header{}
		for name, v := range headers.Of("index.html") {
			h.Set(name, v)
		}
		h.Set("Content-Security-Policy", policy)
		if encoding != "" {
			h.Set("Content-Encoding", encoding)
		}
		found := Judge(files, files[0], "/", "", Answer{Status: 200, Header: h, Body: body})
		if len(found) == 0 && encoding == "" && string(body) != pages["index.html"] {
			t.Error("other bytes passed")
		}
	})
}

// TestRelays: the Worker's policy may name the relays that the release names, and no
// other file's, and no other relay.
func TestRelays(t *testing.T) {
	f := release.File{Path: "a/worker-1.js", SHA256: release.Digest([]byte("x"))}
	for _, c := range []struct {
		file, served string
		named        []string
		differs      bool
	}{
		{"a/worker-1.js", "https://relay.example/", []string{"https://relay.example/x"}, false},
		{"a/worker-1.js", "", []string{"https://relay.example/x"}, false},
		{"a/worker-1.js", "https://relay.example/", nil, true},
		{"a/worker-1.js", "https://evil.example/", []string{"https://relay.example/x"}, true},
	} {
		f.Path = c.file
		h := http.Header{}
		for name, value := range headers.Of(f.Path) {
			h.Set(name, value)
		}
		for name, value := range headers.Reaching(headers.Kind(f.Path), headers.Origins([]string{c.served})) {
			h.Set(name, value)
		}
		found := Judge([]release.File{f}, f, "/"+f.Path, "", Answer{Status: 200, Header: h, Body: []byte("x")}, c.named...)
		if (len(found) > 0) != c.differs {
			t.Errorf("%+v: %v", c, found)
		}
	}
}
