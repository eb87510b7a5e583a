// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package web

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// enrolled is a site and the files of its enrolment.
func enrolled(t *testing.T) (dist, dir fstest.MapFS) {
	t.Helper()
	dist, dir = fstest.MapFS{}, fstest.MapFS{}
	files, wasm := map[string]string{}, []string{}
	var list []map[string]string
	for p, data := range map[string]string{"index.html": "<!doctype html>", "core.html": "core", "a/main-1.js": "main", "a/core-2.wasm": "wasm"} {
		dist[p] = &fstest.MapFile{Data: []byte(data)}
		sum := sha256.Sum256([]byte(data))
		list = append(list, map[string]string{"path": p, "sha256": hex.EncodeToString(sum[:])})
		if d := base64.RawURLEncoding.EncodeToString(sum[:]); strings.HasSuffix(p, ".wasm") {
			wasm = append(wasm, d)
		} else {
			files["/"+p] = d
		}
	}
	put := func(fs fstest.MapFS, name string, v any) {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		fs[name] = &fstest.MapFile{Data: b}
	}
	put(dist, "manifest.json", map[string]any{"digest": "d", "files": list})
	enrollment := map[string]any{"type": "sigsum", "signers": []string{"k"}, "threshold": 1}
	put(dir, "enrollment.json", enrollment)
	put(dir, "bundle.json", map[string]any{
		"enrollment": enrollment, "manifest": map[string]any{"files": files, "wasm": wasm}, "signatures": map[string]string{"k": "proof"},
	})
	return dist, dir
}

func TestWebCATServesTheEnrolment(t *testing.T) {
	dist, dir := enrolled(t)
	dir["enrollment-prev.json"] = &fstest.MapFile{Data: []byte(`{"old":1}`)}
	h, err := WebCAT(dir, dist, New(dist))
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]int{
		"/.well-known/webcat/enrollment.json": 200, "/.well-known/webcat/bundle.json": 200, "/.well-known/webcat/enrollment-prev.json": 200,
		"/.well-known/webcat/bundle-prev.json": 404, "/.well-known/webcat/": 404, "/.well-known/webcat/../enrollment.json": 404, "/": 200,
	} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest("GET", p, nil))
		if rec.Code != want {
			t.Errorf("%s: status %d, want %d", p, rec.Code, want)
		}
		if name := p[strings.LastIndex(p, "/")+1:]; want == 200 && dir[name] != nil {
			if rec.Body.String() != string(dir[name].Data) || rec.Header().Get("Content-Type") != "application/json" || rec.Header().Get("Content-Security-Policy") == "" {
				t.Errorf("%s: %v %q", p, rec.Header(), rec.Body)
			}
		}
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest("HEAD", "/.well-known/webcat/bundle.json", nil))
	if rec.Code != http.StatusOK || rec.Body.Len() != 0 {
		t.Errorf("HEAD: %d, %d bytes", rec.Code, rec.Body.Len())
	}
	rec = httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest("POST", "/.well-known/webcat/bundle.json", nil))
	if rec.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", rec.Code)
	}
}

// TestWebCATRefusesWhatNobodyCouldOpen: each case breaks one thing.
func TestWebCATRefusesWhatNobodyCouldOpen(t *testing.T) {
	edit := func(name, old, new string) func(dist, dir fstest.MapFS) {
		return func(_, dir fstest.MapFS) {
			s := string(dir[name].Data)
			if !strings.Contains(s, old) {
				panic(old + " is not in " + s)
			}
			dir[name] = &fstest.MapFile{Data: []byte(strings.Replace(s, old, new, 1))}
		}
	}
	digest := func(s string) string {
		sum := sha256.Sum256([]byte(s))
		return base64.RawURLEncoding.EncodeToString(sum[:])
	}
	cases := map[string]func(dist, dir fstest.MapFS){
		"no enrolment":      func(_, dir fstest.MapFS) { delete(dir, "enrollment.json") },
		"no bundle":         func(_, dir fstest.MapFS) { delete(dir, "bundle.json") },
		"no JSON":           edit("enrollment.json", "{", "["),
		"another enrolment": edit("enrollment.json", `"threshold":1`, `"threshold":2`),
		"no signatures":     edit("bundle.json", `{"k":"proof"}`, `{}`),
		"another form":      edit("bundle.json", `"wasm":[`, `"wasm":1,"x":[`),
		"another page":      edit("bundle.json", digest("<!doctype html>"), digest("other")),
		"a file is missing": edit("bundle.json", `"/core.html"`, `"/other.html"`),
		"other WASM":        edit("bundle.json", digest("wasm"), digest("other")),
		"too long": func(_, dir fstest.MapFS) {
			dir["enrollment-prev.json"] = &fstest.MapFile{Data: []byte(strings.Repeat(" ", maxWebCAT) + "{}")}
		},
		"no page to compare":   func(dist, _ fstest.MapFS) { delete(dist, "manifest.json") },
		"a broken earlier one": func(_, dir fstest.MapFS) { dir["bundle-prev.json"] = &fstest.MapFile{Data: []byte("{")} },
	}
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		dist, dir := enrolled(t)
		next := New(dist)
		cases[name](dist, dir)
		if _, err := WebCAT(fs.FS(dir), dist, next); err == nil {
			t.Errorf("%s: it is served", name)
		}
	}
}
