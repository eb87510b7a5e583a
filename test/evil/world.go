// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/sotto-chat/sotto/account"
	"github.com/sotto-chat/sotto/attest/bundle"
	"github.com/sotto-chat/sotto/attest/software/forge"
	"github.com/sotto-chat/sotto/engine"
	"github.com/sotto-chat/sotto/gateway"
	"github.com/sotto-chat/sotto/node"
	"github.com/sotto-chat/sotto/seal"
	"github.com/sotto-chat/sotto/store"
	"github.com/sotto-chat/sotto/test/testservice"
	"github.com/sotto-chat/sotto/vault"
)

// setup says what a world needs.
type setup struct {
	kind  kind // of the machines; "" is kindSNP
	nodes int  // 0 is one

	// policy and change, if set, are of the person's policy and of the machines.
	policy func(*victim)
}

// World is a whole service, owned by somebody who means ill: its gateway, its
// account server, the network before them and all that these write. Only what
// happens inside the machines with protected hardware is out of reach, and the
// devices of the people. Everything in it is the real thing; what the operator
// does is done in front of it, by [Operator].
type World struct {
	*Operator
	URL string // of the front door, which is all that a victim knows

	kind     kind
	Upstream *testservice.Upstream // the engine inside the machines
	nodes    []*node.Node
	gateway  *gateway.Gateway
	inside   string // address of the gateway itself
	account  *accounts
	page     http.Handler // what is served at the page's address; may be nil
	log      *ledger      // nil where the world has no public log
	victim   *victim
	armed    bool // the operator is no longer honest

	ends    []func()
	end     context.CancelFunc
	running sync.WaitGroup
	servers []*http.Server
	engine  engine.Engine
}

// Operator is what the operator does and what it gets to see.
type Operator struct {
	mu   sync.Mutex
	held bytes.Buffer // every byte that passed, and every byte that was written down

	keys  map[seal.KeyID]*seal.PrivateKey // of machines that are none
	seals int                             // sealed requests that came
	last  []byte                          // the newest of them
	came  []http.Header                   // with each request
	told  []http.Header                   // to the machines, by the gateway
	lines int                             // that were logged

	// What the attack does. nil leaves things as they are.
	nodeList func([]listed) []listed                                                 // to the list of machines
	rawList  func(w http.ResponseWriter, r *http.Request)                            // instead of it
	request  func(sealed []byte) []byte                                              // to a sealed request
	answer   func(header []byte, records [][]byte) []byte                            // to a whole sealed answer
	cut      func(header []byte, records [][]byte) []byte                            // the same, and the connection breaks after it
	instead  func(w http.ResponseWriter, r *http.Request)                            // instead of passing a sealed request on
	feed     func(account vault.AccountID, since uint64, page vault.Page) vault.Page // to a page of a history
	front    func(w http.ResponseWriter, r *http.Request) bool
}

// listed is a machine in the list of machines.
type listed struct {
	ID      string   `json:"id"`
	Bundles [][]byte `json:"bundles"`
}

// hold notes bytes that the operator has.
func (o *Operator) hold(b ...[]byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range b {
		o.held.Write(p)
		o.held.WriteByte('\n')
	}
}

// Write notes what a role logs.
func (o *Operator) Write(b []byte) (int, error) {
	o.hold(b)
	o.do(func(o *Operator) { o.lines++ })
	return len(b), nil
}

// Holds reports in which form the operator has a word; "" for none.
func (o *Operator) Holds(word string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return find(word, o.held.Bytes())
}

// newWorld builds a world that is still honest. Close ends it.
func newWorld(s setup) (w *World, err error) {
	if s.kind == "" {
		s.kind = kindSNP
	}
	w = &World{Operator: &Operator{keys: map[seal.KeyID]*seal.PrivateKey{}}, kind: s.kind, Upstream: testservice.NewUpstream()}
	defer func() {
		if err != nil {
			w.Close()
		}
	}()
	run, end := context.WithCancel(context.Background())
	w.end = end
	if w.engine, err = engine.Open(engine.Options{Spec: w.Upstream.URL}); err != nil {
		return w, err
	}
	log := slog.New(slog.NewJSONHandler(w.Operator, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var urls []string
	for range max(s.nodes, 1) {
		n, err := node.New(node.Config{
			Engine: w.engine, Logger: log.With("role", "node"), Tick: 2 * time.Millisecond,
			Evidence: func(rd [64]byte) ([]bundle.Evidence, error) { return s.kind.evidence(rd, changes{}), nil },
			Release:  releaseOf(0),
		})
		if err != nil {
			return w, err
		}
		w.running.Go(func() { n.Run(run) })
		w.nodes = append(w.nodes, n)
		url, err := w.serve("127.0.0.1:0", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			w.do(func(o *Operator) { o.told = append(o.told, r.Header.Clone()) })
			n.Handler().ServeHTTP(rw, r)
		}))
		if err != nil {
			return w, err
		}
		urls = append(urls, url)
	}
	if w.gateway, err = gateway.New(gateway.Config{Nodes: urls, PollEvery: time.Second, Logger: log.With("role", "gateway")}); err != nil {
		return w, err
	}
	w.running.Go(func() { w.gateway.Run(run) })
	if w.inside, err = w.serve("127.0.0.1:0", w.gateway.Handler()); err != nil {
		return w, err
	}
	w.victim = &victim{w: w, policy: s.kind.policy(), platforms: makers()}
	if s.policy != nil {
		s.policy(w.victim)
	}
	if err := w.ready(len(urls)); err != nil {
		return w, err
	}
	return w, w.open("127.0.0.1:0")
}

// ready waits until the gateway lists all machines.
func (w *World) ready(n int) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for {
		l, err := w.honestList(ctx)
		if err != nil || len(l) == n {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// releaseOf is the digest of the n-th release.
func releaseOf(n int) string { return fmt.Sprintf("sha256:%064x", n+1) }

// open opens the front door at an address.
func (w *World) open(addr string) (err error) {
	w.URL, err = w.serve(addr, w)
	return err
}

// serve serves h at an address and returns its URL.
func (w *World) serve(addr string, h http.Handler) (string, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", err
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	w.servers = append(w.servers, s)
	w.running.Go(func() { s.Serve(l) })
	return "http://" + l.Addr().String(), nil
}

// Close ends everything.
func (w *World) Close() {
	w.end()
	if w.account != nil {
		w.account.server.Close()
	}
	for _, s := range w.servers {
		s.Close()
	}
	w.Upstream.Close()
	w.running.Wait()
	for _, f := range w.ends {
		f()
	}
	if w.engine != nil {
		w.engine.Close()
	}
	if w.account != nil {
		w.account.db.Close()
		os.RemoveAll(w.account.dir)
	}
}

// accounts is an account server with one account, of the victim.
type accounts struct {
	dir    string
	db     *store.DB
	server *account.Server
}

// withAccount starts the account server and makes the victim's account.
func (w *World) withAccount() error {
	if w.account != nil {
		return nil
	}
	if err := w.startAccount("http://localhost:8787"); err != nil {
		return err
	}
	return w.victim.signUp(context.Background())
}

// startAccount starts the account server of a page's origin.
func (w *World) startAccount(origin string) error {
	dir, err := os.MkdirTemp("", "sotto-evil-")
	if err != nil {
		return err
	}
	ctx := context.Background()
	a := &accounts{dir: dir}
	if a.db, err = store.Open(ctx, filepath.Join(dir, "sotto.db")); err != nil {
		return err
	}
	log := slog.New(slog.NewJSONHandler(w.Operator, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if a.server, err = account.New(account.Config{Store: a.db, Origin: origin, Logger: log.With("role", "account")}); err != nil {
		a.db.Close()
		return err
	}
	w.account = a
	return nil
}

// gather notes what the operator can look up by itself: metrics, files.
func (w *World) gather() error {
	for _, n := range w.nodes {
		n.WriteMetrics(w.Operator)
	}
	w.gateway.WriteMetrics(w.Operator)
	if w.account == nil {
		return nil
	}
	return filepath.WalkDir(w.account.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		w.hold(b)
		return err
	})
}

// ServeHTTP is the front door: it notes everything, does what the attack does,
// and passes the rest on to the honest service behind.
func (w *World) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	http.NewResponseController(rw).EnableFullDuplex()
	body, err := io.ReadAll(io.LimitReader(r.Body, 64<<20))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.hold([]byte(r.Method+" "+r.URL.String()+" from "+r.RemoteAddr), fields(r.Header), body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	w.do(func(o *Operator) { o.came = append(o.came, r.Header.Clone()) })
	w.mu.Lock()
	front, raw, instead := w.front, w.rawList, w.instead
	w.mu.Unlock()
	switch path := r.URL.Path; {
	case front != nil && front(rw, r):
	case path == "/sotto/v1/nodes" && raw != nil:
		raw(rw, r)
	case path == "/sotto/v1/nodes":
		w.passNodes(rw, r)
	case path == "/sotto/v1/seal", path == "/sotto/v1/control":
		w.steal(body)
		if instead != nil {
			instead(rw, r)
			return
		}
		w.passSealed(rw, r, body)
	case strings.HasPrefix(path, "/sotto/"):
		w.pass(rw, r, body)
	case strings.HasPrefix(path, "/api/") && w.account != nil:
		w.passAccount(rw, r)
	case w.page != nil:
		w.page.ServeHTTP(rw, r)
	default:
		http.NotFound(rw, r)
	}
}

func fields(h http.Header) []byte {
	var b bytes.Buffer
	h.Write(&b)
	return b.Bytes()
}

// steal tries every key that the operator has on a sealed request, and notes
// what comes out.
func (w *World) steal(sealed []byte) {
	w.mu.Lock()
	w.seals++
	w.last = bytes.Clone(sealed)
	keys := w.keys
	w.mu.Unlock()
	o, err := seal.OpenRequest(bytes.NewReader(sealed), func(id seal.KeyID) *seal.PrivateKey { return keys[id] })
	if err == nil {
		w.hold(o.Plaintext())
	}
}

// ask makes a request to the honest gateway.
func (w *World) ask(ctx context.Context, method, path, contentType string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, w.inside+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	return http.DefaultTransport.RoundTrip(req)
}

// copyHead copies what matters of an answer's head.
func copyHead(rw http.ResponseWriter, resp *http.Response) {
	for _, name := range []string{"Content-Type", "Retry-After"} {
		if v := resp.Header.Get(name); v != "" {
			rw.Header().Set(name, v)
		}
	}
	rw.WriteHeader(resp.StatusCode)
}

func (w *World) pass(rw http.ResponseWriter, r *http.Request, body []byte) {
	resp, err := w.ask(r.Context(), r.Method, r.URL.RequestURI(), r.Header.Get("Content-Type"), body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer resp.Body.Close()
	copyHead(rw, resp)
	b, _ := io.ReadAll(resp.Body)
	w.hold(fields(resp.Header), b)
	rw.Write(b)
}

// honestList is the list of machines as the gateway has it.
func (w *World) honestList(ctx context.Context) ([]listed, error) {
	resp, err := w.ask(ctx, "GET", "/sotto/v1/nodes", "", nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var doc struct {
		Nodes []listed `json:"nodes"`
	}
	return doc.Nodes, json.NewDecoder(resp.Body).Decode(&doc)
}

func (w *World) passNodes(rw http.ResponseWriter, r *http.Request) {
	nodes, err := w.honestList(r.Context())
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.mu.Lock()
	change := w.nodeList
	w.mu.Unlock()
	if change != nil {
		nodes = change(nodes)
	}
	writeList(rw, nodes)
}

func writeList(rw http.ResponseWriter, nodes []listed) {
	rw.Header().Set("Content-Type", "application/json")
	json.NewEncoder(rw).Encode(map[string]any{"v": 1, "nodes": nodes})
}

// passSealed passes a sealed request on, and the answer back. An answer that is
// to be changed is waited for as a whole.
func (w *World) passSealed(rw http.ResponseWriter, r *http.Request, body []byte) {
	w.mu.Lock()
	request, answer, cut := w.request, w.answer, w.cut
	w.mu.Unlock()
	if request != nil {
		body = request(bytes.Clone(body))
	}
	resp, err := w.ask(r.Context(), r.Method, r.URL.RequestURI(), r.Header.Get("Content-Type"), body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || answer == nil && cut == nil {
		copyHead(rw, resp)
		rc := http.NewResponseController(rw)
		buf := make([]byte, 16<<10)
		for {
			n, err := resp.Body.Read(buf)
			w.hold(buf[:n])
			rw.Write(buf[:n])
			rc.Flush()
			if err != nil {
				return
			}
		}
	}
	whole, err := io.ReadAll(resp.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.hold(whole)
	header, records := split(whole)
	copyHead(rw, resp)
	if cut == nil {
		rw.Write(answer(header, records))
		return
	}
	rw.Write(cut(header, records))
	http.NewResponseController(rw).Flush()
	panic(http.ErrAbortHandler)
}

// split parts an answer of whole records.
func split(whole []byte) (header []byte, records [][]byte) {
	header, rest := whole[:seal.AnswerHeaderSize], whole[seal.AnswerHeaderSize:]
	size := 1024
	if seal.Class(header[1]) == seal.ClassBulk {
		size = 16 << 10
	}
	for ; len(rest) >= size; rest = rest[size:] {
		records = append(records, bytes.Clone(rest[:size]))
	}
	return bytes.Clone(header), records
}

func join(header []byte, records ...[]byte) []byte {
	return append(bytes.Clone(header), bytes.Join(records, nil)...)
}

// passAccount is the account server, and what the attack does to the history.
func (w *World) passAccount(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	change := w.feed
	w.mu.Unlock()
	if r.Method != http.MethodGet || r.URL.Path != "/api/v1/feed" || change == nil {
		w.account.server.Handler().ServeHTTP(&noting{rw, w}, r)
		return
	}
	id, err := w.whose(r)
	if err != nil {
		w.account.server.Handler().ServeHTTP(&noting{rw, w}, r)
		return
	}
	var since uint64
	fmt.Sscan(r.URL.Query().Get("since"), &since)
	page, err := w.account.db.Page(r.Context(), id, since, vault.MaxPage)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	rw.Header().Set("Content-Type", "application/json")
	json.NewEncoder(&noting{rw, w}).Encode(change(id, since, page))
}

// whose is the account of a request, which the server's owner can look up.
func (w *World) whose(r *http.Request) (vault.AccountID, error) {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Sotto ")
	if c, err := r.Cookie("sotto_session"); err == nil {
		token = c.Value
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return vault.AccountID{}, err
	}
	session, err := w.account.db.Session(r.Context(), sha256.Sum256(b), store.DayOf(time.Now()))
	return session.Account, err
}

// noting notes what is written to a client.
type noting struct {
	http.ResponseWriter
	w *World
}

func (n *noting) Unwrap() http.ResponseWriter { return n.ResponseWriter }

func (n *noting) Write(b []byte) (int, error) {
	n.w.hold(b)
	return n.ResponseWriter.Write(b)
}

// do has the operator do something else from now on.
func (o *Operator) do(f func(o *Operator)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f(o)
}

// sealed is how many sealed requests have come, and the newest.
func (o *Operator) sealed() (int, []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.seals, o.last
}

// A rogue is a machine that is none: its key lies with the operator.
type rogue struct {
	config   func(*bundle.KeyConfig)               // changes what it says of its key
	evidence func(rd [64]byte) []bundle.Evidence   // what it shows; nil is software's
	sealed   func(b *bundle.Bundle, config []byte) // changes the bundle
	bytes    func(doc []byte) []byte               // changes the bundle's bytes
}

// software is evidence of the demo platform.
func softwareEvidence(rd [64]byte) []bundle.Evidence { return must(forge.Evidence(rd)) }

// enlist makes a rogue and keeps its key, ready to open what is sealed to it.
func (w *World) enlist(g rogue) listed {
	private := must(seal.GenerateKey())
	now := time.Now()
	var id [16]byte
	rand.Read(id[:])
	c := bundle.KeyConfig{
		V: 1, Node: fmt.Sprintf("%x", id), Suite: bundle.Suite, PublicKey: private.PublicKey(),
		NotBefore: now.Unix(), NotAfter: now.Add(15 * time.Minute).Unix(),
		Release: releaseOf(0), Models: []bundle.Model{{ID: "test", Digest: "none"}},
	}
	if g.config != nil {
		g.config(&c)
	}
	config := must(c.Encode())
	w.do(func(o *Operator) { o.keys[bundle.KeyID(config)] = private })
	if g.evidence == nil {
		g.evidence = softwareEvidence
	}
	b := bundle.Bundle{V: 1, KeyConfig: config, Evidence: g.evidence(bundle.ReportData(config))}
	if g.sealed != nil {
		g.sealed(&b, config)
	}
	doc := must(b.Encode())
	if g.bytes != nil {
		doc = g.bytes(doc)
	}
	return listed{ID: c.Node, Bundles: [][]byte{doc}}
}
