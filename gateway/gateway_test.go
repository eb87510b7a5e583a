// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/software"
	"github.com/sotto-chat/sotto/attest/software/forge"
	"github.com/sotto-chat/sotto/engine"
	"github.com/sotto-chat/sotto/internal/door"
	sottonode "github.com/sotto-chat/sotto/node"
	"github.com/sotto-chat/sotto/seal"
	"github.com/sotto-chat/sotto/seal/bhttp"
	"github.com/sotto-chat/sotto/seal/envelope"
)

// talker is an engine that says a few words, slowly if told to.
type talker struct {
	words   int
	wait    time.Duration
	stopped atomic.Int64
	asked   atomic.Int64
}

func (e *talker) Name() string                                   { return "talker" }
func (e *talker) Close() error                                   { return nil }
func (e *talker) Models(context.Context) ([]engine.Model, error) { return nil, nil }
func (e *talker) Do(ctx context.Context, req *engine.Request) (*engine.Response, error) {
	e.asked.Add(1)
	if req.Path == "/v1/embeddings" {
		return &engine.Response{Status: 200, ContentType: "application/json", Body: io.NopCloser(bytes.NewReader(req.Body))}, nil
	}
	r, w := io.Pipe()
	go func() {
		for i := range e.words {
			if e.wait > 0 {
				select {
				case <-time.After(e.wait):
				case <-ctx.Done():
					e.stopped.Add(1)
					w.CloseWithError(ctx.Err())
					return
				}
			}
			fmt.Fprintf(w, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"w%d \"}}]}\n\n", i)
		}
		io.WriteString(w, "data: [DONE]\n\n")
		w.Close()
	}()
	return &engine.Response{Status: 200, ContentType: "text/event-stream", Body: r}, nil
}

// world is some nodes behind a gateway, over real connections.
type world struct {
	gateway *Gateway
	url     string
	nodes   []*httptest.Server
}

func newWorld(t testing.TB, change func(*Config), engines ...engine.Engine) *world {
	t.Helper()
	w := &world{}
	var cfg Config
	for _, e := range engines {
		n, err := sottonode.New(sottonode.Config{Engine: e, Evidence: forge.Evidence, Tick: 5 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		s := httptest.NewServer(n.Handler())
		t.Cleanup(s.Close)
		w.nodes = append(w.nodes, s)
		cfg.Nodes = append(cfg.Nodes, s.URL)
	}
	if change != nil {
		change(&cfg)
	}
	g, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.gateway = g
	s := httptest.NewServer(g.Handler())
	t.Cleanup(s.Close)
	w.url = s.URL
	g.poll(t.Context())
	return w
}

// keys gets the list as a client does, and returns one key per node.
func (w *world) keys(t testing.TB) []seal.Recipient {
	t.Helper()
	res, err := http.Get(w.url + "/sotto/v1/nodes")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var doc struct {
		V     int
		Nodes []struct {
			ID      string
			Bundles [][]byte
		}
	}
	if err := json.NewDecoder(res.Body).Decode(&doc); err != nil || doc.V != 1 {
		t.Fatal(err, doc.V)
	}
	var out []seal.Recipient
	for _, n := range doc.Nodes {
		key, v := attest.Verify(n.Bundles[0], attest.Policy{AllowSoftware: true}, time.Now(), software.Platform{})
		if key == nil || v.Node != n.ID {
			t.Fatalf("node %s: %+v", n.ID, v)
		}
		out = append(out, seal.Recipient{ID: key.ID(), PublicKey: key.PublicKey()})
	}
	return out
}

func request(t testing.TB, keys []seal.Recipient, path, body string) ([]byte, *seal.Exchange) {
	t.Helper()
	plain, err := (&bhttp.Request{Method: "POST", Scheme: "https", Path: path, Body: []byte(body)}).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	msg, ex, err := seal.SealRequest(keys, plain)
	if err != nil {
		t.Fatal(err)
	}
	return msg, ex
}

func (w *world) post(t testing.TB, msg []byte) *http.Response {
	t.Helper()
	res, err := http.Post(w.url+"/sotto/v1/seal", envelope.RequestType, bytes.NewReader(msg))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return res
}

// read opens an answer and returns its content.
func read(t testing.TB, ex *seal.Exchange, r io.Reader) string {
	t.Helper()
	a, err := ex.OpenAnswer(r)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := bhttp.ReadResponse(a)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Drain(); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func code(t testing.TB, res *http.Response) string {
	t.Helper()
	var doc struct {
		Error struct{ Code, Message string }
	}
	if err := json.NewDecoder(res.Body).Decode(&doc); err != nil || doc.Error.Message == "" {
		t.Fatalf("status %d: %v", res.StatusCode, err)
	}
	return doc.Error.Code
}

func TestThroughGateway(t *testing.T) {
	w := newWorld(t, nil, &talker{words: 30, wait: time.Millisecond}, &talker{words: 30})
	for range 4 {
		msg, ex := request(t, w.keys(t), "/v1/chat/completions", `{"stream":true}`)
		got := read(t, ex, w.post(t, msg).Body)
		if !strings.HasSuffix(got, "data: [DONE]\n\n") || !strings.Contains(got, "w29 ") {
			t.Errorf("%q", got)
		}
	}
	big := strings.Repeat("0123456789", 300_000)
	msg, ex := request(t, w.keys(t), "/v1/embeddings", big)
	if got := read(t, ex, w.post(t, msg).Body); got != big {
		t.Errorf("%d bytes came back of %d", len(got), len(big))
	}
}

// What a node receives holds nothing of the client but the sealed bytes.
func TestNodeLearnsNothingOfTheClient(t *testing.T) {
	n, err := sottonode.New(sottonode.Config{Engine: &talker{words: 1}, Evidence: forge.Evidence, Tick: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	tap := newTap(t, n.Handler())
	w := newWorld(t, func(c *Config) { c.Nodes = []string{"http://" + tap.addr} })
	msg, ex := request(t, w.keys(t), "/v1/chat/completions", `{"stream":true}`)
	req, _ := http.NewRequest("POST", w.url+"/sotto/v1/seal?who=mallory", bytes.NewReader(msg))
	for name, value := range map[string]string{
		"Content-Type": envelope.RequestType, "Cookie": "sotto_session=mallory", "Authorization": "Bearer mallory",
		"User-Agent": "mallory", "X-Forwarded-For": "192.0.2.66", "Forwarded": "for=192.0.2.66", "X-Real-Ip": "192.0.2.66",
		"Traceparent": "00-mallory-01", "X-Request-Id": "mallory", "Accept-Language": "mallory", "Referer": "http://mallory/",
		"Origin": "http://mallory", "Idempotency-Key": "mallory", "Sec-Ch-Ua": "mallory", "Connection": "X-Mallory", "X-Mallory": "1",
	} {
		req.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	read(t, ex, res.Body)

	got := tap.received()
	i := bytes.Index(got, []byte("POST "))
	if i < 0 {
		t.Fatalf("the node received %q", got)
	}
	head, body, _ := bytes.Cut(got[i:], []byte("\r\n\r\n"))
	lines := strings.Split(string(head), "\r\n")
	slices.Sort(lines)
	want := []string{
		fmt.Sprintf("Content-Length: %d", len(msg)), "Content-Type: " + envelope.RequestType,
		"Host: " + tap.addr, "POST /sotto/v1/seal HTTP/1.1",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("the node received\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	if !bytes.Equal(body, msg) {
		t.Error("the body differs")
	}
	if bytes.Contains(got, []byte("mallory")) || bytes.Contains(got, []byte("192.0.2.66")) {
		t.Error("something of the client came through")
	}
	for name := range res.Header {
		if !slices.Contains([]string{"Content-Type", "Cache-Control", "X-Accel-Buffering", "Date"}, name) {
			t.Errorf("the client received the header %s", name)
		}
	}
}

// tap is a server that writes down every byte it receives.
type tap struct {
	addr string
	mu   sync.Mutex
	got  bytes.Buffer
}

func newTap(t *testing.T, h http.Handler) *tap {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	x := &tap{addr: l.Addr().String()}
	s := &http.Server{Handler: h}
	go s.Serve(tapListener{l, x})
	t.Cleanup(func() { s.Close() })
	return x
}

func (x *tap) received() []byte {
	x.mu.Lock()
	defer x.mu.Unlock()
	return bytes.Clone(x.got.Bytes())
}

type tapListener struct {
	net.Listener
	tap *tap
}

func (l tapListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return tapConn{c, l.tap}, err
}

type tapConn struct {
	net.Conn
	tap *tap
}

func (c tapConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.tap.mu.Lock()
	defer c.tap.mu.Unlock()
	c.tap.got.Write(b[:n])
	return n, err
}

func TestDeadNodeCostsARetry(t *testing.T) {
	a, b, c := &talker{words: 1}, &talker{words: 1}, &talker{words: 1}
	w := newWorld(t, nil, a, b, c)
	keys := w.keys(t)
	w.nodes[0].Close()
	w.nodes[1].Close()
	for range 5 {
		msg, ex := request(t, keys, "/v1/chat/completions", `{"stream":true}`)
		read(t, ex, w.post(t, msg).Body)
	}
	if c.asked.Load() != 5 {
		t.Errorf("the living node answered %d of 5", c.asked.Load())
	}
	// The dead ones leave the list at the next poll, and are the last to be tried.
	w.gateway.poll(t.Context())
	if got := len(w.keys(t)); got != 1 {
		t.Errorf("%d nodes listed", got)
	}
	w.nodes[2].Close()
	msg, _ := request(t, keys, "/v1/chat/completions", `{"stream":true}`)
	if res := w.post(t, msg); res.StatusCode != 502 || code(t, res) != door.NodeUnreachable {
		t.Errorf("with all nodes dead: %d", res.StatusCode)
	}
}

// A node that takes a request and dies before it says anything.
func TestNodeDiesBeforeAnswering(t *testing.T) {
	good := &talker{words: 1}
	w := newWorld(t, nil, good)
	keys := w.keys(t)
	var died atomic.Int64
	evidence, err := http.Get(w.nodes[0].URL + "/sotto/v1/evidence")
	if err != nil {
		t.Fatal(err)
	}
	doc, _ := io.ReadAll(evidence.Body)
	evidence.Body.Close()
	dying := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == "GET" { // claims the other's key
			rw.Write(doc)
			return
		}
		io.CopyN(io.Discard, r.Body, 100)
		died.Add(1)
		panic(http.ErrAbortHandler)
	}))
	defer dying.Close()
	g, err := New(Config{Nodes: []string{dying.URL, w.nodes[0].URL}})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(g.Handler())
	defer s.Close()
	w.url, w.gateway = s.URL, g
	for died.Load() == 0 {
		g.poll(t.Context())
		msg, ex := request(t, keys, "/v1/embeddings", strings.Repeat("x", 1_000_000))
		if got := read(t, ex, w.post(t, msg).Body); len(got) != 1_000_000 {
			t.Errorf("%d bytes", len(got))
		}
	}
}

// A node that dies in the middle of its answer: the client must not take what
// came for the whole, and nothing is asked twice.
func TestNodeDiesMidway(t *testing.T) {
	e := &talker{words: 1000, wait: 5 * time.Millisecond}
	w := newWorld(t, nil, e)
	msg, ex := request(t, w.keys(t), "/v1/chat/completions", `{"stream":true}`)
	res := w.post(t, msg)
	a, err := ex.OpenAnswer(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	io.ReadFull(a, make([]byte, 500))
	w.nodes[0].CloseClientConnections()
	if _, err := io.Copy(io.Discard, res.Body); err == nil {
		t.Error("half an answer looks whole, even from outside")
	}
	if _, err := io.Copy(io.Discard, a); err == nil {
		t.Error("half an answer looks whole")
	}
	if e.asked.Load() != 1 {
		t.Errorf("asked %d times", e.asked.Load())
	}
}

// An answer may begin while the request is still on its way.
func TestAnswerBeforeEndOfRequest(t *testing.T) {
	w := newWorld(t, nil, &talker{words: 1})
	keys := w.keys(t)
	res, err := http.Get(w.nodes[0].URL + "/sotto/v1/evidence")
	if err != nil {
		t.Fatal(err)
	}
	doc, _ := io.ReadAll(res.Body)
	res.Body.Close()
	release := make(chan struct{})
	early := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == "GET" {
			rw.Write(doc)
			return
		}
		rc := http.NewResponseController(rw)
		rc.EnableFullDuplex()
		rw.Header().Set("Content-Type", envelope.AnswerType)
		io.WriteString(rw, "early")
		rc.Flush()
		<-release
	}))
	defer early.Close()
	g, err := New(Config{Nodes: []string{early.URL}})
	if err != nil {
		t.Fatal(err)
	}
	g.poll(t.Context())
	s := httptest.NewServer(g.Handler())
	defer s.Close()
	defer close(release)
	msg, _ := request(t, keys, "/v1/embeddings", strings.Repeat("x", 100_000))
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "POST /sotto/v1/seal HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", envelope.RequestType, len(msg))
	c.Write(msg[:20_000])
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	got, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 5)
	if _, err := io.ReadFull(got.Body, b); err != nil || string(b) != "early" {
		t.Errorf("%q, %v", b, err)
	}
}

// inside returns how many requests are under way.
func inside(g *Gateway) int64 { n, _ := g.gate.Inside(); return n }

func TestClientLeaves(t *testing.T) {
	e := &talker{words: 1000, wait: 5 * time.Millisecond}
	w := newWorld(t, nil, e)
	msg, ex := request(t, w.keys(t), "/v1/chat/completions", `{"stream":true}`)
	res := w.post(t, msg)
	a, err := ex.OpenAnswer(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	io.ReadFull(a, make([]byte, 500))
	res.Body.Close()
	for deadline := time.Now().Add(10 * time.Second); e.stopped.Load() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the engine works on")
		}
	}
	for deadline := time.Now().Add(10 * time.Second); inside(w.gateway) != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the gateway still counts the request")
		}
	}
	if w.gateway.nodes[0].busy.Load() != 0 || !w.gateway.nodes[0].alive.Load() {
		t.Error("the node is held against")
	}
}

// The idlest node is chosen, and all of equally idle ones.
func TestPick(t *testing.T) {
	g := &Gateway{}
	key := keyID{1}
	for range 3 {
		n := &node{keys: []keyID{key}}
		n.alive.Store(true)
		g.nodes = append(g.nodes, n)
	}
	other := &node{keys: []keyID{{2}}}
	other.alive.Store(true)
	g.nodes = append(g.nodes, other)
	g.nodes[1].busy.Store(7)
	seen := map[*node]int{}
	for range 200 {
		seen[g.pick([][16]byte{key}, nil)]++
	}
	if len(seen) != 2 || seen[g.nodes[0]] < 50 || seen[g.nodes[2]] < 50 {
		t.Errorf("picked %d, %d, %d, %d", seen[g.nodes[0]], seen[g.nodes[1]], seen[g.nodes[2]], seen[other])
	}
	if n := g.pick([][16]byte{key}, []*node{g.nodes[0], g.nodes[2]}); n != g.nodes[1] {
		t.Error("a busy node is better than none")
	}
	g.nodes[0].alive.Store(false)
	g.nodes[2].alive.Store(false)
	if n := g.pick([][16]byte{key}, nil); n != g.nodes[1] {
		t.Error("a busy node is better than a dead one")
	}
	if n := g.pick([][16]byte{{9}}, nil); n != nil {
		t.Error("nobody has that key")
	}
}

func TestTurnedAway(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Limits.RequestBytes = 100_000 }, &talker{words: 1})
	keys := w.keys(t)
	good, ex := request(t, keys, "/v1/chat/completions", `{"stream":true}`)
	private, err := seal.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	foreign, _ := request(t, []seal.Recipient{{ID: seal.KeyID{1, 2, 3}, PublicKey: private.PublicKey()}}, "/", "")
	large, _ := request(t, keys, "/v1/embeddings", strings.Repeat("x", 200_000))
	claims := bytes.Clone(good)
	copy(claims[3:], []byte{255, 255, 255, 255})
	for _, tt := range []struct {
		name   string
		msg    []byte
		typ    string
		status int
		code   string
	}{
		{"nobody has the key", foreign, envelope.RequestType, 503, door.NoNode},
		{"empty", nil, envelope.RequestType, 400, door.Malformed},
		{"not sealed", []byte("hello hello"), envelope.RequestType, 400, door.Malformed},
		{"shorter than it says", good[:len(good)-1], envelope.RequestType, 400, door.Malformed},
		{"longer than it says", append(bytes.Clone(good), 0), envelope.RequestType, 400, door.Malformed},
		{"claims to be huge", claims, envelope.RequestType, 413, door.TooLarge},
		{"of another type", good, "text/plain", 415, door.Malformed},
		{"no room for it", large, envelope.RequestType, 503, door.Busy},
	} {
		res, err := http.Post(w.url+"/sotto/v1/seal", tt.typ, bytes.NewReader(tt.msg))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got := code(t, res); res.StatusCode != tt.status || got != tt.code {
			t.Errorf("%s: %d %s, want %d %s", tt.name, res.StatusCode, got, tt.status, tt.code)
		}
		if tt.code == door.Busy && res.Header.Get("Retry-After") == "" {
			t.Error("no word on when to come back")
		}
		res.Body.Close()
	}
	// Chunked, so without a length.
	res, err := http.Post(w.url+"/sotto/v1/seal", envelope.RequestType, io.MultiReader(bytes.NewReader(good)))
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 411 {
		t.Errorf("without a length: %d", res.StatusCode)
	}
	res.Body.Close()

	if n := w.gateway.stats.retried.Load(); n != 0 {
		t.Errorf("a node was bothered %d times with what the gateway can see is wrong", n)
	}
	read(t, ex, w.post(t, good).Body)
	if res := w.post(t, good); res.StatusCode != 409 || code(t, res) != "replayed" {
		t.Errorf("a node's own refusal does not come through: %d", res.StatusCode)
	}
	if _, have := w.gateway.gate.Inside(); have != 0 {
		t.Errorf("%d bytes are never given back", have)
	}
}

// A node at its limit is passed over; when all are, the client is told to wait.
func TestBusyNodes(t *testing.T) {
	a, b := &talker{words: 1}, &talker{words: 1}
	w := newWorld(t, func(c *Config) { c.Limits.PerNode = 1 }, a, b)
	keys := w.keys(t)
	w.gateway.nodes[0].busy.Store(1)
	for range 3 {
		msg, ex := request(t, keys, "/v1/chat/completions", `{"stream":true}`)
		read(t, ex, w.post(t, msg).Body)
	}
	if a.asked.Load() != 0 || b.asked.Load() != 3 {
		t.Errorf("asked %d and %d", a.asked.Load(), b.asked.Load())
	}
	w.gateway.nodes[1].busy.Store(1)
	msg, _ := request(t, keys, "/v1/chat/completions", `{"stream":true}`)
	res := w.post(t, msg)
	if res.StatusCode != 503 || code(t, res) != door.Busy || res.Header.Get("Retry-After") == "" {
		t.Errorf("status %d", res.StatusCode)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, nodes := range [][]string{nil, {""}, {"10.0.0.7:8788"}, {"ftp://x"}, {"http://"}, {"http://u:p@x"}, {"http://x?y"}, {"http://x", "http://x/"}} {
		if _, err := New(Config{Nodes: nodes}); err == nil {
			t.Errorf("%q: accepted", nodes)
		}
	}
}

// The gateway can't open what it passes on: nothing that could is linked to it. The
// way in through a relay (package ohttp) opens what is around a sealed request.
func TestCannotOpen(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	const module = "github.com/sotto-chat/sotto/"
	for d := range strings.FieldsSeq(string(out)) {
		own, ok := strings.CutPrefix(d, module)
		if top, _, _ := strings.Cut(own, "/"); ok && (own == "seal" || slices.Contains([]string{"vault", "client", "node", "attest", "engine", "account"}, top)) {
			t.Errorf("it imports %s", own)
		}
	}
}
