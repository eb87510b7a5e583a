// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/attest/software/forge"
	"github.com/sotto-chat/sotto/engine"
	"github.com/sotto-chat/sotto/gateway"
	"github.com/sotto-chat/sotto/node"
	"github.com/sotto-chat/sotto/release"
	"github.com/sotto-chat/sotto/release/releasetest"
	"github.com/sotto-chat/sotto/test/needs"
	"github.com/sotto-chat/sotto/tlog"
	"github.com/sotto-chat/sotto/web"
)

// weights is the digest of the weights of the one model here.
const weights = "sha256:" + "7e57" + "0000000000000000000000000000" + "00000000000000000000000000000000"

// oneModel is an engine that has a model and never answers.
type oneModel struct{ words }

func (*oneModel) Models(context.Context) ([]engine.Model, error) {
	return []engine.Model{{ID: "words", Digest: weights}}, nil
}

// site is a web server that is told what to do by its test: which page it serves,
// which of its files it changes, and what stands in the log.
type site struct {
	mu      sync.Mutex
	files   map[string][]byte // as built
	page    string            // said at the end of index.html, so that there are several pages
	keeper  string            // and at the end of sw.js
	changed map[string]bool   // paths that get a byte more
	down    bool
	world   *releasetest.World
	handler http.Handler
}

// built is what the site would serve if it changed nothing.
func (s *site) built(path string) []byte {
	b := s.files[path]
	switch path {
	case "index.html":
		b = bytes.Replace(b, []byte("</body>"), []byte("<!-- page "+s.page+" --></body>"), 1)
	case "sw.js":
		b = append(bytes.Clone(b), "// keeper "+s.keeper+"\n"...)
	}
	return b
}

// publish writes a release of the site as it is now down in the log.
func (s *site) publish(version string) string {
	return s.world.Publish(version, func(m *release.Manifest) {
		m.Models = []release.Model{{ID: "words", Weights: weights, Tokenizer: "none", Template: "none"}}
		m.Web = release.Web{Core: "none"}
		for path := range s.files {
			m.Web.Files = append(m.Web.Files, release.File{Path: path, SHA256: release.Digest(s.built(path))})
			if strings.HasSuffix(path, ".wasm") {
				m.Web.Core = release.Digest(s.built(path))
			}
		}
		sortFiles(m.Web.Files)
	})
}

func sortFiles(l []release.File) {
	for i := range l {
		for k := i; k > 0 && l[k].Path < l[k-1].Path; k-- {
			l[k], l[k-1] = l[k-1], l[k]
		}
	}
}

// checkpoint is the log's state now.
func (s *site) checkpoint(context.Context) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.world.Checkpoint(int64(len(s.world.Entries)), time.Now().Unix()-1, 3), nil
}

// view is the log as a demo shows it, with the pin.
func (s *site) view() ([]byte, error) {
	size := len(s.world.Entries)
	var newest []tlog.Entry
	for i := size - 1; i >= 0 && len(newest) < tlog.MaxReleases; i-- {
		newest = append(newest, tlog.Entry{Index: int64(i), Data: s.world.Entries[i]})
	}
	v, err := s.world.Tree().View(s.world.Checkpoint(int64(size), time.Now().Unix()-1, 3), 0, newest)
	if err != nil {
		return nil, err
	}
	v.Pin = s.world.PinJSON()
	return v.Encode()
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		panic(http.ErrAbortHandler)
	}
	if r.URL.Path == "/sotto/v1/log" {
		b, err := s.view()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Write(b)
		return
	}
	path := strings.TrimPrefix(r.URL.Path, "/")
	if path == "" {
		path = "index.html"
	}
	if s.files[path] == nil {
		s.handler.ServeHTTP(w, r)
		return
	}
	body := s.built(path)
	if s.changed[path] {
		body = append(bytes.Clone(body), ' ')
	}
	// The headers are the real handler's; the bytes are the test's.
	r.Header.Del("Accept-Encoding")
	r.Header.Del("If-None-Match")
	rec := httptest.NewRecorder()
	s.handler.ServeHTTP(rec, r)
	for name, values := range rec.Header() {
		if name != "Content-Length" && name != "Etag" && name != "Cache-Control" {
			w.Header()[name] = values
		}
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Write(body)
}

// TestPublished looks at what a browser runs where the server changes the page:
// published.mjs holds the steps.
func TestPublished(t *testing.T) {
	if testing.Short() {
		t.Skip("drives a browser")
	}
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		needs.Missing(t, "Debian's chromium")
	}
	if _, err := os.Stat("../node_modules/playwright-core"); err != nil {
		needs.Missing(t, "the packages of web/package.json: npm ci in web")
	}
	dist := os.Getenv("SOTTO_TEST_DIST") // a build of test/page.ts, to save time
	if dist == "" {
		dist = filepath.Join(t.TempDir(), "dist")
		build := exec.Command("go", "run", "./web/build", "-main", "test/page.ts", "-out", dist)
		build.Dir = "../.."
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("building the test page: %v\n%s", err, out)
		}
	}

	s := &site{files: map[string][]byte{}, page: "one", keeper: "one", changed: map[string]bool{}, world: releasetest.New("web"), handler: web.New(os.DirFS(dist))}
	doc, err := os.ReadFile(filepath.Join(dist, "files.json"))
	if err != nil {
		t.Fatal(err)
	}
	var listing map[string]string
	if err := json.Unmarshal(doc, &listing); err != nil {
		t.Fatal(err)
	}
	for path, sum := range listing {
		b, err := os.ReadFile(filepath.Join(dist, path))
		if err != nil {
			t.Fatal(err)
		}
		if got := sha256.Sum256(b); hex.EncodeToString(got[:]) != sum {
			t.Fatalf("files.json is wrong about %s", path)
		}
		s.files[path] = b
	}
	first := s.publish("1.0.0")

	ctx, cancel := context.WithCancel(context.Background())
	n, err := node.New(node.Config{Engine: &oneModel{}, Evidence: forge.Evidence, Release: first, Checkpoint: s.checkpoint})
	if err != nil {
		t.Fatal(err)
	}
	inside := httptest.NewServer(n.Handler())
	defer inside.Close()
	g, err := gateway.New(gateway.Config{Nodes: []string{inside.URL}})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { n.Run(ctx) })
	wg.Go(func() { g.Run(ctx) })
	defer wg.Wait()
	defer cancel()

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/api/v1/service", http.NotFound) // no relay, and no tokens
	mux.HandleFunc("/api/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"error":{"code":"no_session","message":"Sign in."}}`)
	})
	mux.Handle("/sotto/", g.Handler())
	mux.Handle("/sotto/v1/log", s)
	// POST /test/set {"page":…,"keeper":…,"changed":[…],"down":…,"publish":"1.1.0"}
	mux.HandleFunc("POST /test/set", func(w http.ResponseWriter, r *http.Request) {
		set := struct {
			Page, Keeper, Publish string
			Changed               []string
			Down                  bool
		}{Page: "one", Keeper: "one"}
		if err := json.NewDecoder(r.Body).Decode(&set); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.page, s.keeper, s.down, s.changed = set.Page, set.Keeper, set.Down, map[string]bool{}
		for _, pattern := range set.Changed {
			hit := false
			for path := range s.files {
				if ok, _ := filepath.Match(pattern, path); ok {
					s.changed[path], hit = true, true
				}
			}
			if !hit {
				http.Error(w, "nothing is called "+pattern, http.StatusBadRequest)
				return
			}
		}
		if set.Publish != "" {
			s.publish(set.Publish)
		}
	})
	mux.Handle("/", s)
	srv := &http.Server{Handler: mux}
	go srv.Serve(l)
	defer srv.Close()

	origin := fmt.Sprintf("http://localhost:%d", l.Addr().(*net.TCPAddr).Port)
	drive := exec.Command("node", "published.mjs", origin, chromium)
	var out bytes.Buffer
	drive.Stdout, drive.Stderr = &out, &out
	if err := drive.Run(); err != nil {
		t.Fatalf("published.mjs: %v\n%s", err, out.String())
	}
	t.Logf("%s", out.String())
}
