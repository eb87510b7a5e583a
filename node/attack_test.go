// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sotto-chat/sotto/engine"
	"github.com/sotto-chat/sotto/internal/door"
	"github.com/sotto-chat/sotto/seal"
	"github.com/sotto-chat/sotto/seal/bhttp"
	"github.com/sotto-chat/sotto/seal/envelope"
)

// clear posts bytes and returns the error that the node says in the clear.
func inClear(t testing.TB, n *Node, msg []byte, change func(*http.Request)) (status int, code string, header http.Header) {
	t.Helper()
	r := httptest.NewRequest("POST", "/sotto/v1/seal", bytes.NewReader(msg))
	r.Header.Set("Content-Type", envelope.RequestType)
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	n.Handler().ServeHTTP(w, r)
	if w.Header().Get("Content-Type") == envelope.AnswerType {
		return w.Code, "answered", w.Header()
	}
	var doc struct {
		Error struct{ Code, Message string }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || doc.Error.Message == "" {
		t.Fatalf("status %d, body %q", w.Code, w.Body.String())
	}
	return w.Code, doc.Error.Code, w.Header()
}

func TestTurnedAway(t *testing.T) {
	n := newNode(t, &script{}, nil)
	other := newNode(t, &script{}, nil)
	msg, _ := sealFor(t, keysOf(t, n), chat(""))
	foreign, _ := sealFor(t, keysOf(t, other), chat(""))
	flip := func(i int) []byte {
		b := bytes.Clone(msg)
		b[i] ^= 1
		return b
	}
	huge := bytes.Clone(msg)
	copy(huge[3:], []byte{255, 255, 255, 255}) // the size that the header claims
	for _, tt := range []struct {
		name   string
		msg    []byte
		change func(*http.Request)
		status int
		code   string
	}{
		{"sealed to another node", foreign, nil, 404, door.KeyUnknown},
		{"empty", nil, nil, 400, door.Malformed},
		{"not sealed", []byte(strings.Repeat("hello ", 1000)), nil, 400, door.Malformed},
		{"truncated header", msg[:500], nil, 400, door.Malformed},
		{"truncated body", msg[:len(msg)-1], nil, 400, door.Malformed},
		{"trailing byte", append(bytes.Clone(msg), 0), nil, 400, door.Malformed},
		{"version", flip(0), nil, 400, door.Malformed},
		{"encapsulated key changed", flip(100), nil, 400, door.Malformed},
		{"body changed", flip(len(msg) - 1), nil, 400, door.Malformed},
		{"claims to be huge", huge, nil, 413, door.TooLarge},
		{"is huge", msg, func(r *http.Request) { r.ContentLength = envelope.MaxMessage + 1 }, 413, door.TooLarge},
		{"without a length", msg, func(r *http.Request) { r.ContentLength = -1 }, 411, door.Malformed},
		{"of another type", msg, func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }, 415, door.Malformed},
		{"to another place", msg, func(r *http.Request) { r.URL.Path = "/v1/chat/completions" }, 404, door.NotFound},
	} {
		if status, code, _ := inClear(t, n, tt.msg, tt.change); status != tt.status || code != tt.code {
			t.Errorf("%s: %d %s, want %d %s", tt.name, status, code, tt.status, tt.code)
		}
	}
	// None of that has used the message up.
	if _, code, _ := inClear(t, n, msg, nil); code != "answered" {
		t.Errorf("the message itself: %s", code)
	}
}

func TestReplayRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &script{steps: []step{{write: end}}}
		n := newNode(t, e, nil)
		go n.Run(t.Context())
		old := keysOf(t, n)
		time.Sleep(n.cfg.Lifetime - n.cfg.Overlap + time.Second)
		both := keysOf(t, n)
		if len(both) != 2 {
			t.Fatalf("%d live keys", len(both))
		}
		// Sealed to both keys of the node, and so openable after the first has ended.
		msg, ex := sealFor(t, []seal.Recipient{old[0], both[0]}, chat(""))
		open(t, ex, send(n, msg))
		if status, code, _ := inClear(t, n, msg, nil); code != door.Replayed || status != 409 {
			t.Errorf("at once: %d %s", status, code)
		}
		// Other bytes around the same content are another request; the same
		// bytes are never opened again, whichever key would do it.
		time.Sleep(n.cfg.Overlap)
		if n.keys.lookup(old[0].ID, time.Now()) != nil {
			t.Fatal("the first key lives on")
		}
		if _, code, _ := inClear(t, n, msg, nil); code != door.Replayed {
			t.Errorf("after the first key's end: %s", code)
		}
		// Nor once there is a newer key than when it was opened.
		time.Sleep(n.cfg.Lifetime - 2*n.cfg.Overlap)
		if n.keys.lookup(both[0].ID, time.Now()) == nil || live(n)[0].id == both[0].ID {
			t.Fatal("the second key is not the older of two")
		}
		if _, code, _ := inClear(t, n, msg, nil); code != door.Replayed {
			t.Errorf("after a third key was made: %s", code)
		}
		time.Sleep(n.cfg.Lifetime)
		if _, code, _ := inClear(t, n, msg, nil); code != door.KeyExpired {
			t.Errorf("after both keys' end: %s", code)
		}
		if asked, _, _ := e.counts(); asked != 1 {
			t.Errorf("the engine was asked %d times", asked)
		}
	})
}

func TestReplayMemoryIsBounded(t *testing.T) {
	n := newNode(t, &script{}, func(c *Config) { c.Limits.Replay = 2 })
	keys := keysOf(t, n)
	for range 2 {
		msg, ex := sealFor(t, keys, post("/v1/embeddings", "{}"))
		open(t, ex, send(n, msg))
	}
	msg, _ := sealFor(t, keys, chat(""))
	status, code, h := inClear(t, n, msg, nil)
	if status != 503 || code != door.Busy || h.Get("Retry-After") == "" {
		t.Errorf("%d %s, retry after %q", status, code, h.Get("Retry-After"))
	}
	if got := len(live(n)[0].seen); got != 2 {
		t.Errorf("%d requests remembered", got)
	}
}

func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, &script{steps: []step{{wait: time.Hour}}}, func(c *Config) { c.Limits.Requests = 1 })
		keys := keysOf(t, n)
		first, _ := sealFor(t, keys, chat(""))
		c := send(n, first)
		synctest.Wait()
		second, ex := sealFor(t, keys, post("/v1/completions", "{}"))
		status, code, h := inClear(t, n, second, nil)
		if status != 503 || code != door.Busy || h.Get("Retry-After") == "" {
			t.Errorf("%d %s, retry after %q", status, code, h.Get("Retry-After"))
		}
		c.hangUp()
		c.wait()
		n.cfg.Engine.(*script).steps = nil
		open(t, ex, send(n, second)) // being turned away has not used it up
		if have, _ := n.gate.Inside(); have != 0 {
			t.Errorf("%d places are never given back", have)
		}
		if _, have := n.gate.Inside(); have != 0 {
			t.Errorf("%d bytes are never given back", have)
		}
	})
}

func TestBytesBound(t *testing.T) {
	n := newNode(t, &script{}, func(c *Config) { c.Limits.RequestBytes = 10_000 })
	req := chat("")
	req.Body = bytes.Repeat([]byte(" "), 20_000)
	msg, _ := sealFor(t, keysOf(t, n), req)
	if status, code, _ := inClear(t, n, msg, nil); status != 503 || code != door.Busy {
		t.Errorf("%d %s", status, code)
	}
}

func TestAnswersBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, &script{steps: []step{{wait: time.Hour}}}, func(c *Config) { c.Limits.Requests = 2 })
		keys := keysOf(t, n)
		for range 2 { // two answers that run without a connection
			msg, _ := sealFor(t, keys, chat(randomID()))
			c := send(n, msg)
			synctest.Wait()
			c.hangUp()
			c.wait()
		}
		msg, ex := sealFor(t, keys, chat(randomID()))
		resp, body, _ := open(t, ex, send(n, msg))
		if resp.Status != 503 || errorCode(body) != door.Busy || bhttp.Get(resp.Header, "retry-after") == "" {
			t.Errorf("status %d, %s", resp.Status, body)
		}
	})
}

func TestPanicsAreContainedAndSilent(t *testing.T) {
	for name, e := range map[string]*script{
		"asking":   {doPanic: true},
		"stream":   {steps: []step{{write: delta("x")}, {panic: true}}},
		"at once":  {steps: []step{{panic: true}}},
		"and kept": {steps: []step{{write: delta("x")}, {panic: true}}},
	} {
		var log bytes.Buffer
		n := newNode(t, e, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		req := chat("")
		if name == "and kept" {
			req = chat(randomID())
		}
		req.Body = []byte(`{"stream":true,"secret":"correct horse"}`)
		msg, ex := sealFor(t, keysOf(t, n), req)
		_, body, _ := open(t, ex, send(n, msg))
		if !strings.Contains(body, `"error"`) || strings.Contains(body, "nobody should see") {
			t.Errorf("%s: %s", name, body)
		}
		if n.stats.panics.Load() != 1 {
			t.Errorf("%s: %d panics counted", name, n.stats.panics.Load())
		}
		if s := log.String(); !strings.Contains(s, "fault") || strings.Contains(s, "nobody should see") || strings.Contains(s, "correct horse") {
			t.Errorf("%s: log says %s", name, s)
		}
	}
}

// Nothing that derives from a request is logged or counted by name.
func TestLogsNothingOfARequest(t *testing.T) {
	var log bytes.Buffer
	e := &script{steps: []step{{write: delta("the answer is xylophone")}, {write: "rubbish\n\n"}}}
	n := newNode(t, e, func(c *Config) {
		c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	log.Reset()
	for _, req := range []*bhttp.Request{chat(""), chat(randomID()), post("/zanzibar", "ocelot")} {
		if req.Path != "/zanzibar" {
			req.Body = []byte(`{"stream":true,"model":"quagga","content":"ocelot"}`)
		}
		msg, ex := sealFor(t, keysOf(t, n), req)
		open(t, ex, send(n, msg))
	}
	n.WriteMetrics(&log)
	for _, word := range []string{"xylophone", "zanzibar", "ocelot", "quagga", "rubbish"} {
		if strings.Contains(log.String(), word) {
			t.Errorf("%q has been written down: %s", word, log.String())
		}
	}
	if n.stats.opened.Load() != 3 || !strings.Contains(log.String(), "sotto_node_requests_opened_total 0\n") { // in tens
		t.Errorf("metrics: %s", log.String())
	}
}

// A client that sends its body a byte at a time doesn't hold its place for ever.
func TestSlowBody(t *testing.T) {
	if testing.Short() {
		t.Skip("takes as long as a body may")
	}
	n := newNode(t, &script{}, nil)
	s := httptest.NewServer(n.Handler())
	defer s.Close()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "POST /sotto/v1/seal HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: 5000\r\n\r\n\x01\x01", envelope.RequestType)
	started := time.Now()
	c.SetReadDeadline(started.Add(2 * bodyTime))
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(res.Body)
	if res.StatusCode != 400 || !strings.Contains(string(b), "too long") {
		t.Errorf("after %v: %d %s", time.Since(started), res.StatusCode, b)
	}
	if have, _ := n.gate.Inside(); have != 0 {
		t.Error("it still holds its place")
	}
}

func TestReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &failing{script: script{}}
		n := newNode(t, e, nil)
		ready := func() int {
			w := httptest.NewRecorder()
			n.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
			return w.Code
		}
		go n.Run(t.Context())
		if ready() != 200 {
			t.Errorf("at the start: %d", ready())
		}
		e.down.Store(true)
		time.Sleep(probeEvery + time.Second)
		if ready() != 503 {
			t.Errorf("without an engine: %d", ready())
		}
		e.down.Store(false)
		time.Sleep(probeEvery)
		if ready() != 200 {
			t.Errorf("with the engine back: %d", ready())
		}
	})
}

func FuzzInside(f *testing.F) {
	plain, err := chat(randomID()).Append(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain)
	plain, _ = post("/sotto/v1/resume", `{"id":"`+randomID()+`","next":7}`).Append(nil)
	f.Add(plain)
	n := newNode(f, &script{steps: []step{{write: end}}}, nil)
	keys := keysOf(f, n)
	f.Fuzz(func(t *testing.T, plain []byte) {
		msg, ex, err := seal.SealRequest(keys, plain)
		if err != nil {
			return
		}
		a, err := ex.OpenAnswer(send(n, msg))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bhttp.ReadResponse(a); err != nil {
			t.Fatal(err)
		}
		if n.stats.panics.Load() != 0 {
			t.Fatal("panic")
		}
	})
}

var _ engine.Engine = (*script)(nil)
