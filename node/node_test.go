// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/software"
	"github.com/sotto-chat/sotto/attest/software/forge"
	"github.com/sotto-chat/sotto/engine"
	"github.com/sotto-chat/sotto/seal"
	"github.com/sotto-chat/sotto/seal/bhttp"
	"github.com/sotto-chat/sotto/seal/envelope"
)

// step is one thing that a scripted engine does: wait, then write or fail.
type step struct {
	wait  time.Duration
	write string
	err   error
	panic bool
}

// script is an engine that plays its steps to whoever asks.
type script struct {
	steps       []step
	contentType string
	doErr       error
	doPanic     bool

	mu      sync.Mutex
	asked   []engine.Request
	stopped int // answers whose context ended before the script
	done    int // answers read to the end
}

func (s *script) Name() string { return "script" }
func (s *script) Close() error { return nil }
func (s *script) Models(context.Context) ([]engine.Model, error) {
	return []engine.Model{{ID: "demo", Context: 4096}, {ID: "<odd>"}, {ID: "hashed", Digest: "sha256:" + strings.Repeat("e", 64)}}, nil
}

func (s *script) Do(ctx context.Context, req *engine.Request) (*engine.Response, error) {
	s.mu.Lock()
	s.asked = append(s.asked, *req)
	s.mu.Unlock()
	if s.doPanic {
		panic("a secret that the engine was told: " + string(req.Body))
	}
	if s.doErr != nil {
		return nil, s.doErr
	}
	ct := s.contentType
	if ct == "" {
		ct = "text/event-stream"
	}
	return &engine.Response{Status: 200, ContentType: ct, Body: &playing{s: s, ctx: ctx, steps: s.steps}}, nil
}

func (s *script) counts() (asked, stopped, done int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked), s.stopped, s.done
}

// playing is the body of one scripted answer.
type playing struct {
	s     *script
	ctx   context.Context
	steps []step
	rest  []byte
	over  bool
}

func (p *playing) Read(b []byte) (int, error) {
	for len(p.rest) == 0 {
		if len(p.steps) == 0 {
			p.end(&p.s.done)
			return 0, io.EOF
		}
		next := p.steps[0]
		p.steps = p.steps[1:]
		if next.wait > 0 {
			t := time.NewTimer(next.wait)
			defer t.Stop()
			select {
			case <-t.C:
			case <-p.ctx.Done():
				p.end(&p.s.stopped)
				return 0, p.ctx.Err()
			}
		}
		if next.panic {
			panic("words that nobody should see")
		}
		if next.err != nil {
			return 0, next.err
		}
		p.rest = []byte(next.write)
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

func (p *playing) end(counter *int) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if !p.over {
		p.over = true
		*counter++
	}
}

func (p *playing) Close() error { return nil }

// delta is a streamed chat event with one piece of text.
func delta(text string) string {
	b, _ := json.Marshal(text)
	return `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"demo","choices":[{"index":0,"delta":{"content":` + string(b) + `},"finish_reason":null}]}` + "\n\n"
}

const (
	stop = `data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
	end  = "data: [DONE]\n\n"
)

func newNode(t testing.TB, e engine.Engine, change func(*Config)) *Node {
	t.Helper()
	cfg := Config{Engine: e, Evidence: forge.Evidence, Tick: time.Millisecond}
	if change != nil {
		change(&cfg)
	}
	n, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.end)
	return n
}

// keysOf gets and verifies a node's keys as a client does, newest first.
func keysOf(t testing.TB, n *Node) []seal.Recipient {
	t.Helper()
	w := httptest.NewRecorder()
	n.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/sotto/v1/evidence", nil))
	var doc evidenceDoc
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || doc.V != 1 {
		t.Fatalf("evidence: %v, version %d", err, doc.V)
	}
	var out []seal.Recipient
	for _, b := range doc.Bundles {
		key, v := attest.Verify(b, attest.Policy{AllowSoftware: true}, time.Now(), software.Platform{})
		if key == nil {
			t.Fatalf("the node's own evidence: %+v", v)
		}
		out = append(out, seal.Recipient{ID: key.ID(), PublicKey: key.PublicKey()})
	}
	return out
}

// chat is a request that asks for a streamed answer; id may be "".
func chat(id string) *bhttp.Request {
	req := &bhttp.Request{Method: "POST", Scheme: "https", Authority: "sotto", Path: "/v1/chat/completions",
		Header: []bhttp.Field{{Name: "content-type", Value: "application/json"}},
		Body:   []byte(`{"model":"demo","stream":true,"messages":[{"role":"user","content":"Hi"}]}`)}
	if id != "" {
		req.Header = append(req.Header, bhttp.Field{Name: answerIDHeader, Value: id})
	}
	return req
}

func post(path, body string) *bhttp.Request {
	return &bhttp.Request{Method: "POST", Scheme: "https", Path: path, Body: []byte(body)}
}

func randomID() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func sealFor(t testing.TB, keys []seal.Recipient, req *bhttp.Request) ([]byte, *seal.Exchange) {
	t.Helper()
	plain, err := req.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	msg, ex, err := seal.SealRequest(keys, plain)
	if err != nil {
		t.Fatal(err)
	}
	return msg, ex
}

// conn is a client's side of one exchange with the handler, in memory: what
// was flushed can be read, and each flush is stamped.
type conn struct {
	header http.Header
	status int

	mu      sync.Mutex
	cond    *sync.Cond
	buf     []byte // flushed, and not read yet
	held    []byte // written, not flushed
	all     []byte // everything that was flushed
	flushes []flush
	closed  bool
	aborted bool
	cancel  context.CancelFunc
	broken  bool // the client has gone
}

type flush struct {
	at   time.Time
	size int
}

// send posts a message to the node's handler in a goroutine of its own.
func send(n *Node, msg []byte) *conn { return sendTo(n, "/sotto/v1/seal", msg) }

func sendTo(n *Node, path string, msg []byte) *conn {
	ctx, cancel := context.WithCancel(context.Background())
	c := &conn{header: make(http.Header), cancel: cancel}
	c.cond = sync.NewCond(&c.mu)
	r := httptest.NewRequestWithContext(ctx, "POST", path, bytes.NewReader(msg))
	r.Header.Set("Content-Type", envelope.RequestType)
	go func() {
		defer func() {
			v := recover()
			c.mu.Lock()
			defer c.mu.Unlock()
			c.aborted = v == http.ErrAbortHandler
			if !c.aborted {
				c.flush()
			}
			c.closed = true
			c.cond.Broadcast()
			if v != nil && !c.aborted {
				panic(v)
			}
		}()
		n.Handler().ServeHTTP(c, r)
	}()
	return c
}

func (c *conn) Header() http.Header { return c.header }

func (c *conn) WriteHeader(status int) {
	if c.status == 0 {
		c.status = status
	}
}

func (c *conn) Write(b []byte) (int, error) {
	c.WriteHeader(200)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken {
		return 0, io.ErrClosedPipe
	}
	c.held = append(c.held, b...)
	return len(b), nil
}

func (c *conn) FlushError() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken {
		return io.ErrClosedPipe
	}
	c.flush()
	return nil
}

func (c *conn) flush() {
	if len(c.held) == 0 {
		return
	}
	c.buf = append(c.buf, c.held...)
	c.all = append(c.all, c.held...)
	c.flushes = append(c.flushes, flush{time.Now(), len(c.held)})
	c.held = c.held[:0]
	c.cond.Broadcast()
}

// Read is the client reading.
func (c *conn) Read(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.buf) == 0 {
		if c.closed {
			return 0, io.EOF
		}
		c.cond.Wait()
	}
	n := copy(b, c.buf)
	c.buf = c.buf[n:]
	return n, nil
}

// hangUp is the client going away.
func (c *conn) hangUp() {
	c.mu.Lock()
	c.broken = true
	c.mu.Unlock()
	c.cancel()
}

// wait waits for the handler to return.
func (c *conn) wait() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.closed {
		c.cond.Wait()
	}
}

// open reads a whole answer and returns its status and content.
func open(t testing.TB, ex *seal.Exchange, c io.Reader) (*bhttp.Response, string, *seal.AnswerReader) {
	t.Helper()
	a, err := ex.OpenAnswer(c)
	if err != nil {
		t.Fatalf("opening the answer: %v", err)
	}
	resp, err := bhttp.ReadResponse(a)
	if err != nil {
		t.Fatalf("reading the response: %v", err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("reading the body after %q: %v", body, err)
	}
	if err := a.Drain(); err != nil {
		t.Fatalf("draining: %v", err)
	}
	return resp, string(body), a
}

// errorCode returns error.code of an OpenAI-shaped document.
func errorCode(doc string) string {
	var e struct {
		Error struct {
			Code    string
			Message string
		}
	}
	if json.Unmarshal([]byte(doc), &e) != nil || e.Error.Message == "" {
		return "not an error: " + doc
	}
	return e.Error.Code
}

// words joins the text of a stream's events, as a client does.
func words(t testing.TB, body string) string {
	t.Helper()
	var out strings.Builder
	for ev := range strings.SplitSeq(body, "\n\n") {
		data, ok := strings.CutPrefix(ev, "data: ")
		if !ok || data == "[DONE]" {
			continue
		}
		var e struct {
			Choices []struct{ Delta struct{ Content string } }
		}
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			t.Fatalf("event %q: %v", ev, err)
		}
		for _, c := range e.Choices {
			out.WriteString(c.Delta.Content)
		}
	}
	return out.String()
}

func TestWholeWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &script{steps: []step{{write: delta("Hel") + delta("lo")}, {wait: 200 * time.Millisecond, write: delta(" you") + stop + end}}}
		n := newNode(t, e, nil)
		msg, ex := sealFor(t, keysOf(t, n), chat(""))
		c := send(n, msg)
		resp, body, a := open(t, ex, c)
		if resp.Status != 200 || bhttp.Get(resp.Header, "content-type") != "text/event-stream" {
			t.Errorf("status %d, header %v", resp.Status, resp.Header)
		}
		if got := words(t, body); got != "Hello you" {
			t.Errorf("the answer reads %q", got)
		}
		if !strings.HasSuffix(body, stop+end) {
			t.Errorf("the end did not come through: %q", body)
		}
		if a.Class() != seal.ClassStream || c.header.Get("Content-Type") != envelope.AnswerType {
			t.Errorf("class %v, type %q", a.Class(), c.header.Get("Content-Type"))
		}
		if got := e.asked[0]; got.Path != "/v1/chat/completions" || got.ContentType != "application/json" || !strings.Contains(string(got.Body), `"Hi"`) {
			t.Errorf("the engine was asked %+v", got)
		}
	})
}

func TestModelsInKeyConfig(t *testing.T) {
	n := newNode(t, &script{}, func(c *Config) { c.Release = "sha256:" + strings.Repeat("1", 64) })
	b, err := attest.ParseBundle(live(n)[0].bundle)
	if err != nil {
		t.Fatal(err)
	}
	c, err := attest.ParseKeyConfig(b.KeyConfig)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Models) != 2 || c.Models[0].Digest != "none" || c.Models[1].ID != "hashed" || c.Release[:8] != "sha256:1" || c.Node != n.ID() {
		t.Errorf("key config %+v", c)
	}
}

func TestBulkAnswer(t *testing.T) {
	big := strings.Repeat("0123456789abcdef", 20_950) // 21 records, padded to 22
	for name, tt := range map[string]struct {
		steps   []step
		records uint64
	}{
		"small": {[]step{{write: `{"ok":true}`}}, 1},
		"empty": {nil, 1},
		"large": {[]step{{write: big[:100]}, {wait: time.Second, write: big[100:]}}, 22},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := newNode(t, &script{steps: tt.steps, contentType: "application/json"}, nil)
			req := post("/v1/embeddings", `{"input":"x"}`)
			msg, ex := sealFor(t, keysOf(t, n), req)
			resp, body, a := open(t, ex, send(n, msg))
			want := ""
			for _, s := range tt.steps {
				want += s.write
			}
			if resp.Status != 200 || body != want || a.Class() != seal.ClassBulk || a.Next() != tt.records {
				t.Errorf("%s: status %d, %d bytes, class %v, %d records", name, resp.Status, len(body), a.Class(), a.Next())
			}
		})
	}
}

func TestRoutes(t *testing.T) {
	e := &script{contentType: "application/json", steps: []step{{write: "{}"}}}
	n := newNode(t, e, nil)
	keys := keysOf(t, n)
	get := func(path string) *bhttp.Request { return &bhttp.Request{Method: "GET", Scheme: "https", Path: path} }
	for _, tt := range []struct {
		req  *bhttp.Request
		code string // "" means that the engine is asked
	}{
		{get("/v1/models"), ""},
		{get("/v1/models/some/model:7b"), ""},
		{get("/v1/models/"), engine.CodeUnsupported},
		{get("/v1/models/../admin"), engine.CodeUnsupported},
		{get("/v1/chat/completions"), engine.CodeUnsupported},
		{post("/v1/completions", "{}"), ""},
		{post("/v1/chat/completions?x=1", "{}"), engine.CodeUnsupported},
		{post("/v1/load_lora_adapter", "{}"), engine.CodeUnsupported},
		{post("/v1/models", "{}"), engine.CodeUnsupported},
		{post("/slots/0?action=save", "{}"), engine.CodeUnsupported},
		{post("/sotto/v1/resume", `{"id":"`+randomID()+`","next":0}`), "answer_gone"},
		{post("/sotto/v1/resume", `{"id":"`+randomID()+`","next":-1}`), "malformed"},
		{post("/sotto/v1/resume", `{"id":"short","next":0}`), "malformed"},
		{post("/sotto/v1/resume", `{"id":"`+randomID()+`","next":0,"x":1}`), "malformed"},
		{post("/sotto/v1/resume", `{"id":"`+randomID()+`","next":0} {}`), "malformed"},
		{post("/sotto/v1/resume", ""), "malformed"},
		{post("/sotto/v1/cancel", `{"id":"`+randomID()+`"}`), "answer_gone"},
		{post("/sotto/v1/cancel", `[]`), "malformed"},
		{chat("not an id"), "answer_id"},
		{chat(randomID()[:42] + "="), "answer_id"},
	} {
		before, _, _ := e.counts()
		msg, ex := sealFor(t, keys, tt.req)
		resp, body, _ := open(t, ex, send(n, msg))
		after, _, _ := e.counts()
		if tt.code == "" && (resp.Status != 200 || after != before+1) || tt.code != "" && (errorCode(body) != tt.code || resp.Status < 400 || after != before) {
			t.Errorf("%s %s: status %d, %s; want %q", tt.req.Method, tt.req.Path, resp.Status, body, tt.code)
		}
	}
}

// What is inside a good seal may still be rubbish.
func TestSealedRubbish(t *testing.T) {
	n := newNode(t, &script{}, nil)
	for _, plain := range [][]byte{nil, {0}, []byte("GET / HTTP/1.1\r\n\r\n"), bytes.Repeat([]byte{255}, 3000)} {
		msg, ex, err := seal.SealRequest(keysOf(t, n), plain)
		if err != nil {
			t.Fatal(err)
		}
		resp, body, _ := open(t, ex, send(n, msg))
		if resp.Status != 400 || errorCode(body) != "malformed" {
			t.Errorf("%.10q: status %d, %s", plain, resp.Status, body)
		}
	}
}

func TestEngineErrors(t *testing.T) {
	tooLong := &engine.Error{Status: 400, Type: "invalid_request_error", Code: engine.CodeContextLength, Message: "Too long. Start a new chat.", RetryAfter: 1500 * time.Millisecond}
	for name, tt := range map[string]struct {
		e      *script
		status int
		code   string
	}{
		"its own":                 {&script{doErr: tooLong}, 400, engine.CodeContextLength},
		"not ours":                {&script{doErr: errors.New("dial: secret words")}, 502, engine.CodeFailed},
		"panic":                   {&script{doPanic: true}, 502, engine.CodeFailed},
		"bulk body fails at once": {&script{contentType: "application/json", steps: []step{{err: tooLong}}}, 400, engine.CodeContextLength},
		"bulk body fails soon":    {&script{contentType: "application/json", steps: []step{{write: strings.Repeat("x", 40_000)}, {err: tooLong}}}, 400, engine.CodeContextLength},
		"bulk body panics":        {&script{contentType: "application/json", steps: []step{{panic: true}}}, 502, engine.CodeFailed},
	} {
		n := newNode(t, tt.e, nil)
		msg, ex := sealFor(t, keysOf(t, n), chat(""))
		resp, body, a := open(t, ex, send(n, msg))
		if resp.Status != tt.status || errorCode(body) != tt.code || strings.Contains(body, "secret") {
			t.Errorf("%s: status %d, %s", name, resp.Status, body)
		}
		if tt.e.contentType == "" && (a.Class() != seal.ClassStream || a.Next() != uint64(seal.TailRecords(1))) {
			t.Errorf("%s: an error where a stream was asked for shows itself: class %v, %d records", name, a.Class(), a.Next())
		}
		if tt.code == engine.CodeContextLength && tt.e.doErr != nil && bhttp.Get(resp.Header, "retry-after") != "2" {
			t.Errorf("%s: retry-after %q", name, bhttp.Get(resp.Header, "retry-after"))
		}
	}
}

// A bulk answer that breaks in its middle must not look whole. What came before
// is sent.
func TestBulkBreaksMidway(t *testing.T) {
	e := &script{contentType: "application/json", steps: []step{{write: strings.Repeat("x", 100_000)}, {err: io.ErrUnexpectedEOF}}}
	n := newNode(t, e, nil)
	msg, ex := sealFor(t, keysOf(t, n), post("/v1/embeddings", "{}"))
	a, err := ex.OpenAnswer(send(n, msg))
	if err != nil {
		t.Fatal(err)
	}
	if k, err := io.Copy(io.Discard, a); !errors.Is(err, seal.ErrTruncated) || k < 90_000 {
		t.Errorf("read to the end: %d bytes, %v", k, err)
	}
}
