// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sotto-chat/sotto/ohttp"
	"github.com/sotto-chat/sotto/seal"
	"github.com/sotto-chat/sotto/seal/bhttp"
	"github.com/sotto-chat/sotto/seal/envelope"
)

var testSeed = ohttp.Seed{1, 2, 3}

func withOHTTP(c *Config) { c.OHTTP = []ohttp.Seed{testSeed} }

// configs gets the key configurations as a relay does.
func (w *world) configs(t testing.TB) []ohttp.Config {
	t.Helper()
	res, err := http.Get(w.url + "/sotto/v1/ohttp-keys")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 || res.Header.Get("Content-Type") != "application/ohttp-keys" {
		t.Fatalf("%d, %v", res.StatusCode, err)
	}
	all, err := ohttp.ParseConfigs(b)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// ask makes an encapsulated request and posts it.
func (w *world) ask(t testing.TB, c *ohttp.Config, chunked bool, r *bhttp.Request) (*http.Response, *ohttp.Exchange) {
	t.Helper()
	r.Scheme = "https"
	msg, err := r.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	b, x, err := c.Seal(msg, chunked)
	if err != nil {
		t.Fatal(err)
	}
	return w.send(t, b, chunked), x
}

func (w *world) send(t testing.TB, b []byte, chunked bool) *http.Response {
	t.Helper()
	kind := ohttp.RequestType
	if chunked {
		kind = ohttp.ChunkedRequestType
	}
	res, err := http.Post(w.url+"/sotto/v1/ohttp", kind, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return res
}

// inner opens the answer, and returns it with its whole body.
func inner(t testing.TB, res *http.Response, x *ohttp.Exchange, chunked bool) (*bhttp.Response, string) {
	t.Helper()
	if res.StatusCode != 200 {
		b, _ := io.ReadAll(res.Body)
		t.Fatalf("status %d: %s", res.StatusCode, b)
	}
	var in io.Reader
	if chunked {
		if kind := res.Header.Get("Content-Type"); kind != ohttp.ChunkedResponseType || res.Header.Get("Incremental") != "?1" {
			t.Errorf("an answer in chunks has the header %v", res.Header)
		}
		in = x.Reader(res.Body)
	} else {
		if kind := res.Header.Get("Content-Type"); kind != ohttp.ResponseType {
			t.Errorf("an answer in one piece has the type %q", kind)
		}
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		if b, err = x.Open(b); err != nil {
			t.Fatal(err)
		}
		in = bytes.NewReader(b)
	}
	resp, err := bhttp.ReadResponse(in)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

func TestThroughOHTTP(t *testing.T) {
	w := newWorld(t, withOHTTP, &talker{words: 30, wait: time.Millisecond})
	configs := w.configs(t)
	if len(configs) != 2 || !slices.Equal(w.gateway.OHTTPDigests(), []string{configs[0].Digest(), configs[1].Digest()}) {
		t.Fatalf("%d configurations, %q", len(configs), w.gateway.OHTTPDigests())
	}
	big := strings.Repeat("0123456789", 300_000)
	for i := range configs {
		for _, chunked := range []bool{false, true} {
			c := &configs[i]
			res, x := w.ask(t, c, chunked, &bhttp.Request{Method: "GET", Path: "/sotto/v1/nodes"})
			resp, body := inner(t, res, x, chunked)
			if resp.Status != 200 || bhttp.Get(resp.Header, "content-type") != "application/json" || body != string(*w.gateway.list.Load()) {
				t.Errorf("the list: %d %v, %d bytes", resp.Status, resp.Header, len(body))
			}
			for path, want := range map[string]string{"/v1/chat/completions": "w29 ", "/v1/embeddings": big} {
				send := "{}"
				if path == "/v1/embeddings" {
					send = big
				}
				msg, ex := request(t, w.keys(t), path, send)
				res, x = w.ask(t, c, chunked, &bhttp.Request{Method: "POST", Path: "/sotto/v1/seal", Body: msg, Header: []bhttp.Field{{Name: "content-type", Value: envelope.RequestType}}})
				resp, body = inner(t, res, x, chunked)
				if resp.Status != 200 || bhttp.Get(resp.Header, "content-type") != envelope.AnswerType {
					t.Fatalf("%s: %d %v %q", path, resp.Status, resp.Header, body)
				}
				if got := read(t, ex, strings.NewReader(body)); !strings.Contains(got, want) {
					t.Errorf("%s: %d bytes came back", path, len(got))
				}
			}
		}
	}
	if n, b := w.gateway.oblivious.gate.Inside(); n != 0 || b != 0 {
		t.Errorf("%d requests of %d bytes are counted at the end", n, b)
	}
}

// TestOHTTPRefuses: what can't be opened is refused in the clear, what can is refused
// inside.
func TestOHTTPRefuses(t *testing.T) {
	w := newWorld(t, withOHTTP, &talker{words: 1})
	c := &w.configs(t)[1]
	msg, err := (&bhttp.Request{Method: "GET", Scheme: "https", Path: "/sotto/v1/nodes"}).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	sealed := func(msg []byte, chunked bool) []byte {
		b, _, err := c.Seal(msg, chunked)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	other, err := ohttp.NewServer(ohttp.Seed{9})
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := ohttp.ParseConfigs(other.Configs())
	if err != nil {
		t.Fatal(err)
	}
	toOther, _, err := foreign[1].Seal(msg, true)
	if err != nil {
		t.Fatal(err)
	}
	sameID := bytes.Clone(toOther)
	sameID[0] = c.ID
	otherSuite := sealed(msg, true)
	otherSuite[6] = 2
	for name, x := range map[string]struct {
		kind   string
		body   []byte
		status int
		code   string
		key    bool
	}{
		"another's type":               {envelope.RequestType, sealed(msg, false), 415, "malformed", false},
		"nothing":                      {ohttp.RequestType, nil, 400, "malformed", false},
		"nothing, in chunks":           {ohttp.ChunkedRequestType, nil, 400, "malformed", false},
		"half a header":                {ohttp.RequestType, sealed(msg, false)[:5], 400, "malformed", false},
		"half a key":                   {ohttp.RequestType, sealed(msg, false)[:20], 400, "malformed", false},
		"half a key, in chunks":        {ohttp.ChunkedRequestType, sealed(msg, true)[:20], 400, "malformed", false},
		"no last chunk":                {ohttp.ChunkedRequestType, sealed(msg, true)[:39], 400, "malformed", false},
		"a last chunk that is cut":     {ohttp.ChunkedRequestType, sealed(msg, true)[:50], 400, "malformed", false},
		"a chunk that is too large":    {ohttp.ChunkedRequestType, append(sealed(msg, true)[:39], 0x80, 1, 0, 0), 413, "too_large", false},
		"a last one that is too large": {ohttp.ChunkedRequestType, append(sealed(msg, true)[:40], make([]byte, 20000)...), 413, "too_large", false},
		"another's key":                {ohttp.ChunkedRequestType, toOther, 422, "key_unknown", true},
		"another's key, the same name": {ohttp.ChunkedRequestType, sameID, 422, "key_unknown", true},
		"a suite that isn't offered":   {ohttp.ChunkedRequestType, otherSuite, 422, "key_unknown", true},
		"whole as if in chunks":        {ohttp.ChunkedRequestType, sealed(msg, false), 413, "", false},
		"changed":                      {ohttp.RequestType, append(sealed(msg, false), 0), 422, "key_unknown", true},
	} {
		res, err := http.Post(w.url+"/sotto/v1/ohttp", x.kind, bytes.NewReader(x.body))
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		var doc struct {
			Type  string
			Error struct{ Code string }
		}
		if err := json.Unmarshal(b, &doc); err != nil || res.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %v %s", name, res.StatusCode, res.Header, b)
		}
		if x.code == "" { // which of two it is depends on random bytes
			if res.StatusCode/100 != 4 {
				t.Errorf("%s: %d", name, res.StatusCode)
			}
			continue
		}
		if res.StatusCode != x.status || doc.Error.Code != x.code || (doc.Type == ohttp.KeyProblem) != x.key {
			t.Errorf("%s: %d %+v", name, res.StatusCode, doc)
		}
	}

	req := httptest.NewRequest("POST", "/sotto/v1/ohttp", strings.NewReader("x"))
	req.ContentLength = maxOHTTP + 1
	req.Header.Set("Content-Type", ohttp.ChunkedRequestType)
	rec := httptest.NewRecorder()
	w.gateway.Handler().ServeHTTP(rec, req)
	if rec.Code != 413 {
		t.Errorf("a request above the limit: %d", rec.Code)
	}

	for name, x := range map[string]struct {
		msg    []byte
		status int
	}{
		"not a request":               {[]byte{1, 2, 3}, 400},
		"a request within a request":  {get("/sotto/v1/ohttp"), 404},
		"the keys within":             {get("/sotto/v1/ohttp-keys"), 404},
		"what operators ask":          {get("/livez"), 404},
		"what operators ask, by dots": {get("/sotto/v1/../../livez"), 307},
		"a path that can't be":        {get("/sotto/v1/%zz"), 400},
		"bytes after the request":     {append(get("/sotto/v1/nodes"), 1), 400},
		"a body for nothing":          {post("/sotto/v1/nodes", "x"), 404},
	} {
		for _, chunked := range []bool{false, true} {
			b, ex, err := c.Seal(x.msg, chunked)
			if err != nil {
				t.Fatal(err)
			}
			resp, body := inner(t, w.send(t, b, chunked), ex, chunked)
			if resp.Status != x.status {
				t.Errorf("%s: %d %s", name, resp.Status, body)
			}
		}
	}
}

func get(path string) []byte {
	b, err := (&bhttp.Request{Method: "GET", Scheme: "https", Path: path}).Append(nil)
	if err != nil {
		panic(err)
	}
	return b
}

func post(path, body string) []byte {
	b, err := (&bhttp.Request{Method: "POST", Scheme: "https", Path: path, Body: []byte(body)}).Append(nil)
	if err != nil {
		panic(err)
	}
	return b
}

func TestOHTTPReplay(t *testing.T) {
	w := newWorld(t, withOHTTP, &talker{words: 1})
	for i := range w.configs(t) {
		for _, chunked := range []bool{false, true} {
			b, ex, err := w.configs(t)[i].Seal(get("/sotto/v1/nodes"), chunked)
			if err != nil {
				t.Fatal(err)
			}
			if resp, _ := inner(t, w.send(t, b, chunked), ex, chunked); resp.Status != 200 {
				t.Errorf("status %d", resp.Status)
			}
			resp, body := inner(t, w.send(t, b, chunked), ex, chunked)
			if resp.Status != 409 || !strings.Contains(body, `"replayed"`) {
				t.Errorf("a second time: %d %s", resp.Status, body)
			}
		}
	}
}

func TestSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s seen
		if !s.first([]byte("a")) || s.first([]byte("a")) || !s.first([]byte("b")) {
			t.Error("a first and a second time are not told apart")
		}
		time.Sleep(seenFor - time.Second)
		if s.first([]byte("a")) {
			t.Error("forgotten too early")
		}
		time.Sleep(2 * time.Second) // a new time begins, and the last is kept beside it
		if s.first([]byte("b")) {
			t.Error("forgotten when a new time begins")
		}
		time.Sleep(seenFor)
		s.first([]byte("c"))
		time.Sleep(seenFor)
		if !s.first([]byte("a")) {
			t.Error("never forgotten")
		}
		for i := range maxSeen + 10 {
			s.first([]byte(fmt.Sprint(i)))
		}
		if len(s.cur) > maxSeen || len(s.old) > maxSeen {
			t.Errorf("%d and %d are remembered", len(s.cur), len(s.old))
		}
	})
}

func TestWithoutOHTTP(t *testing.T) {
	w := newWorld(t, nil, &talker{words: 1})
	res := w.send(t, []byte("x"), true)
	if res.StatusCode != 404 || code(t, res) != "not_found" {
		t.Errorf("status %d", res.StatusCode)
	}
	if res, err := http.Get(w.url + "/sotto/v1/ohttp-keys"); err != nil || res.StatusCode != 404 {
		t.Errorf("%v, %v", res, err)
	}
	if w.gateway.OHTTPDigests() != nil || w.gateway.OHTTPKeys() != nil {
		t.Error("keys without a key")
	}
}

// TestOHTTPKeysInTurn: the first key is offered, and what was sealed to the others is
// still opened.
func TestOHTTPKeysInTurn(t *testing.T) {
	old := newWorld(t, withOHTTP, &talker{words: 1})
	w := newWorld(t, func(c *Config) { c.OHTTP = []ohttp.Seed{{7}, testSeed} }, &talker{words: 1})
	before, now := old.configs(t), w.configs(t)
	if before[0].Digest() == now[0].Digest() || len(now) != 2 {
		t.Error("the old key is still offered")
	}
	for _, c := range append(before, now...) {
		res, x := w.ask(t, &c, true, &bhttp.Request{Method: "GET", Path: "/sotto/v1/nodes"})
		if resp, _ := inner(t, res, x, true); resp.Status != 200 {
			t.Errorf("status %d", resp.Status)
		}
	}
	if _, err := New(Config{Nodes: []string{"http://x"}, OHTTP: []ohttp.Seed{{7}, {7}}}); err == nil {
		t.Error("the same key twice is accepted")
	}
}

// TestOHTTPAnswerBeforeEndOfRequest: an answer that needs no more of the request ends
// the connection, or waits for the rest of what is on its way; it never breaks.
func TestOHTTPAnswerBeforeEndOfRequest(t *testing.T) {
	w := newWorld(t, withOHTTP, &talker{words: 1})
	c := &w.configs(t)[1]
	msg := post("/sotto/v1/seal", strings.Repeat("x", 200_000)) // of no type, so it is refused unread
	for range 20 {
		b, ex, err := c.Seal(msg, true)
		if err != nil {
			t.Fatal(err)
		}
		resp, body := inner(t, w.send(t, b, true), ex, true)
		if resp.Status != 415 {
			t.Errorf("%d %s", resp.Status, body)
		}
	}
}

// TestOHTTPPieceByPiece: each piece of a node's answer is sealed and sent before there
// is another.
func TestOHTTPPieceByPiece(t *testing.T) {
	next := make(chan struct{})
	left := make(chan struct{})
	n := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "POST" {
			return
		}
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", envelope.AnswerType)
		rc := http.NewResponseController(w)
		for _, piece := range []string{"one", "two", strings.Repeat("three", 1000)} {
			io.WriteString(w, piece)
			rc.Flush()
			<-next
		}
		<-r.Context().Done()
		close(left)
	}))
	defer n.Close()
	w := newWorld(t, func(c *Config) { withOHTTP(c); c.Nodes = []string{n.URL} })
	key, err := seal.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	id := seal.KeyID{1}
	w.gateway.nodes[0].keys = []keyID{keyID(id)}
	msg, _ := request(t, []seal.Recipient{{ID: id, PublicKey: key.PublicKey()}}, "/v1/x", "{}")
	m, err := (&bhttp.Request{Method: "POST", Scheme: "https", Path: "/sotto/v1/seal", Body: msg, Header: []bhttp.Field{{Name: "content-type", Value: envelope.RequestType}}}).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	b, ex, err := w.configs(t)[0].Seal(m, true)
	if err != nil {
		t.Fatal(err)
	}
	res := w.send(t, b, true)
	if res.StatusCode != 200 {
		t.Fatalf("status %d", res.StatusCode)
	}
	resp, err := bhttp.ReadResponse(ex.Reader(res.Body))
	if err != nil || resp.Status != 200 {
		t.Fatal(resp, err)
	}
	for _, want := range []string{"one", "two", strings.Repeat("three", 1000)} {
		got := make([]byte, len(want))
		if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != want {
			t.Fatalf("%q, %v", got, err)
		}
		next <- struct{}{}
	}
	res.Body.Close() // the client leaves, and the node is told
	<-left
}
