// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing/fstest"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sotto-chat/sotto/cmd/sotto/internal/proofzip"
	"github.com/sotto-chat/sotto/engine"
	"github.com/sotto-chat/sotto/node"
	"github.com/sotto-chat/sotto/release"
	"github.com/sotto-chat/sotto/release/releasetest"
	"github.com/sotto-chat/sotto/test/testservice"
	"github.com/sotto-chat/sotto/vault"
	"github.com/sotto-chat/sotto/web"
)

// sitePages are the page of the services here.
var sitePages = map[string]string{
	"index.html":     `<!doctype html><script type="module" src="/a/main-1.js"></script>`,
	"core.html":      `<!doctype html><script type="module" src="/a/frame-2.js"></script>`,
	"a/main-1.js":    "console.log('main')\n",
	"a/frame-2.js":   "console.log('frame')\n",
	"a/core-3.wasm":  "\x00asm and so on",
	"sw.js":          "console.log('service worker')\n",
	"a/worker-4.js":  "console.log('worker')\n",
	"a/styles-5.css": "body { color: black }\n",
}

// public is a service whose releases are in a log, with a page.
type public struct {
	log  *releasetest.World
	page http.Handler

	mu     sync.Mutex
	open   bool              // the log is shown: whoever starts the service knows no pin
	swap   map[string]string // path to other bytes
	header map[string]string // set on every file of the page
	ahead  time.Duration     // of the log's witnesses' clocks
	forked *releasetest.World
}

// known is an engine that knows the digests of its models, as one in a machine does.
type known struct{ engine.Engine }

func (k known) Models(ctx context.Context) ([]engine.Model, error) {
	models, err := k.Engine.Models(ctx)
	for i := range models {
		models[i].Digest = release.Digest([]byte(models[i].ID))
	}
	return models, err
}

// webOf is what a release says of the page.
func webOf() release.Web {
	var w release.Web
	for _, p := range slices.Sorted(maps.Keys(sitePages)) {
		w.Files = append(w.Files, release.File{Path: p, SHA256: release.Digest([]byte(sitePages[p]))})
	}
	w.Core = release.Digest([]byte(sitePages["a/core-3.wasm"]))
	return w
}

func sitePage() http.Handler {
	dist := fstest.MapFS{}
	var list []map[string]string
	for p, data := range sitePages {
		dist[p] = &fstest.MapFile{Data: []byte(data)}
		list = append(list, map[string]string{"path": p, "sha256": strings.TrimPrefix(release.Digest([]byte(data)), "sha256:")})
	}
	doc, err := json.Marshal(map[string]any{"digest": "d", "files": list})
	if err != nil {
		panic(err)
	}
	dist["manifest.json"] = &fstest.MapFile{Data: doc}
	return web.New(dist)
}

// now is the log's time: as whole seconds, some ago.
func (p *public) now() int64 { return time.Now().Add(p.ahead).Unix() - 10 }

func (p *public) checkpoint(context.Context) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Checkpoint(int64(len(p.log.Entries)), p.now(), 3), nil
}

// handle serves log and page, and leaves the rest to next.
func (p *public) handle(next func(http.ResponseWriter, *http.Request) bool) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		switch {
		case r.URL.Path == pathLog && p.open:
			world := p.log
			if p.forked != nil {
				world = p.forked
			}
			size := len(world.Entries)
			var newest []int
			for i := range size {
				newest = append(newest, size-1-i)
			}
			w.Header().Set("Content-Type", "application/json")
			w.Write(world.ViewOf(world.Checkpoint(int64(size), p.now(), 3), newest...))
		case strings.HasPrefix(r.URL.Path, "/sotto/") || strings.HasPrefix(r.URL.Path, "/api/"):
			return next(w, r)
		default:
			rec := httptest.NewRecorder()
			p.page.ServeHTTP(rec, r)
			maps.Copy(w.Header(), rec.Header())
			body := rec.Body.String()
			if other, ok := p.swap[r.URL.Path]; ok {
				body = other
				w.Header().Del("Content-Length")
			}
			for name, v := range p.header {
				w.Header().Set(name, v)
			}
			w.WriteHeader(rec.Code)
			fmt.Fprint(w, body)
		}
		return true
	}
}

// newPublic starts a service whose release is in a log. It returns the release's digest.
func newPublic(seed string, nodes int, handle func(http.ResponseWriter, *http.Request) bool) (*public, *testservice.Service, string, error) {
	p := &public{log: releasetest.New(seed), page: sitePage(), swap: map[string]string{}, header: map[string]string{}}
	digest := p.log.Publish("1.4.2", func(m *release.Manifest) {
		m.Web = webOf()
		m.Models = nil
		for _, id := range []string{"test", "test/other"} {
			m.Models = append(m.Models, release.Model{ID: id, Weights: release.Digest([]byte(id)), Tokenizer: "none", Template: "none"})
		}
	})
	s, err := testservice.Run(context.Background(), testservice.Options{
		Nodes: nodes, Engine: func(e engine.Engine) engine.Engine { return known{e} }, Node: node.Config{Release: digest, Checkpoint: p.checkpoint}, Handle: p.handle(handle),
	})
	if err != nil {
		return nil, nil, "", err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = true
	return p, s, digest, nil
}

// policy pins the log, and accepts demo hardware.
func (p *public) policy() []byte {
	return fmt.Appendf(nil, `{"allow_software":true,"pin":%s}`, p.log.PinJSON())
}

// public [NODES] starts a service whose release is in a log, and writes pin.json and
// policy.json, which pin that log and accept demo hardware.
func publicCommand(ts *testscript.TestScript, neg bool, args []string) {
	a, err := newAccountFixture(ts.MkAbs("account"))
	ts.Check(err)
	nodes := 1
	if len(args) > 0 {
		fmt.Sscan(args[0], &nodes)
	}
	p, s, digest, err := newPublic(ts.Name(), nodes, a.handle)
	ts.Check(err)
	ts.Defer(func() {
		s.Close()
		a.close()
	})
	ts.Setenv("SOTTO_SERVER", s.URL)
	ts.Setenv("RELEASE", digest)
	*ts.Value(serviceKey{}).(*running) = running{Service: s, account: a, public: p}
	ts.Check(os.WriteFile(ts.MkAbs("pin.json"), p.log.PinJSON(), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("policy.json"), p.policy(), 0o600))
	other, err := json.Marshal(releasetest.New("other").Pin)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("other-pin.json"), other, 0o600))
	entry := p.log.Entries[0]
	ts.Check(os.WriteFile(ts.MkAbs("release.txt"), entry, 0o600))
	r, err := release.Parse(entry)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("manifest.json"), r.Text, 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("one-key.txt"), p.log.Sign(r.Manifest, 1), 0o600))
}

// site swap PATH TEXT | header NAME VALUE | honest changes what the page's server sends.
func siteCommand(ts *testscript.TestScript, neg bool, args []string) {
	p := service(ts).public
	p.mu.Lock()
	defer p.mu.Unlock()
	switch args[0] {
	case "swap":
		p.swap[args[1]] = args[2]
	case "header":
		p.header[args[1]] = args[2]
	case "honest":
		clear(p.swap)
		clear(p.header)
	}
}

// publiclog publish VERSION | fork | old | honest changes the public log.
func publicLogCommand(ts *testscript.TestScript, neg bool, args []string) {
	p := service(ts).public
	p.mu.Lock()
	defer p.mu.Unlock()
	switch args[0] {
	case "publish":
		p.log.Publish(args[1], func(m *release.Manifest) { m.Web = webOf(); m.Web.Files[1].SHA256 = release.Digest([]byte(args[1])) })
	case "fork":
		p.forked = releasetest.New(ts.Name())
		p.forked.Publish("9.9.9", nil)
	case "old":
		p.ahead = -48 * time.Hour
	case "honest":
		p.forked, p.ahead = nil, 0
	}
}

// edit FILE FROM TO changes one string of a file, wherever it stands, in bytes of the
// same length.
func editCommand(ts *testscript.TestScript, neg bool, args []string) {
	b, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	if !strings.Contains(string(b), args[1]) {
		ts.Fatalf("%s doesn't hold %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Replace(string(b), args[1], args[2], 1)), 0o600))
}

// reseal PROOF NAME FROM TO changes one file of a proof and writes the proof anew, as
// somebody would who wants it to say something else.
func resealCommand(ts *testscript.TestScript, neg bool, args []string) {
	b, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	files, err := proofzip.Read(b)
	ts.Check(err)
	body := string(files[args[1]])
	if !strings.Contains(body, args[2]) {
		ts.Fatalf("%s doesn't hold %q", args[1], args[2])
	}
	files[args[1]] = []byte(strings.Replace(body, args[2], args[3], 1))
	b, err = proofzip.Write(files)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o600))
}

// ownpage publishes a release whose page is the one in this program.
func ownPageCommand(ts *testscript.TestScript, neg bool, args []string) {
	files, err := ownFiles()
	ts.Check(err)
	p := service(ts).public
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log.Publish("1.4.3", func(m *release.Manifest) { m.Web = release.Web{Files: files, Core: files[0].SHA256} })
}

// askApp asks a running sotto app as its page does.
func askApp(ts *testscript.TestScript, url, key, what string, out any) {
	req, err := http.NewRequest("POST", url+"/api/v1/app/"+what, strings.NewReader("{}"))
	ts.Check(err)
	req.Header.Set("Sotto-App", key)
	resp, err := http.DefaultTransport.RoundTrip(req)
	ts.Check(err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	ts.Check(err)
	if resp.StatusCode != 200 {
		ts.Fatalf("%s: %d %s", what, resp.StatusCode, b)
	}
	ts.Check(json.Unmarshal(b, out))
}

// link URL KEY FILE asks the app for an address to approve, and writes it to a file.
func linkCommand(ts *testscript.TestScript, neg bool, args []string) {
	var offer struct{ URL, Code string }
	askApp(ts, args[0], args[1], "link", &offer)
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(offer.URL+"\n"), 0o600))
	var poll struct{ Linked bool }
	if askApp(ts, args[0], args[1], "poll", &poll); poll.Linked {
		ts.Fatalf("linked before anybody approved")
	}
}

// poll URL KEY wants the app to be linked.
func pollCommand(ts *testscript.TestScript, neg bool, args []string) {
	var poll struct{ Linked bool }
	if askApp(ts, args[0], args[1], "poll", &poll); !poll.Linked {
		ts.Fatalf("not linked")
	}
}

// opens URL KEY wants what the app hands over to open the account's history.
func opensCommand(ts *testscript.TestScript, neg bool, args []string) {
	var o struct {
		Account vault.AccountID
		Secret  []byte
		Wrap    vault.Wrap
	}
	askApp(ts, args[0], args[1], "open", &o)
	root, err := vault.UnwrapPasskey(o.Wrap, o.Account, o.Secret)
	ts.Check(err)
	a := service(ts).account
	label := vault.SealLabel(a.root, a.id, "the same key")
	if got, err := vault.OpenLabel(root, o.Account, label); err != nil || got != "the same key" {
		ts.Fatalf("another history: %q, %v", got, err)
	}
}
