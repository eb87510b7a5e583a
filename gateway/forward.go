// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sotto-chat/sotto/internal/door"
	"github.com/sotto-chat/sotto/internal/lines"
	"github.com/sotto-chat/sotto/internal/slowbody"
	"github.com/sotto-chat/sotto/seal/envelope"
)

// A request's header must arrive within headTime, and the rest within a second
// more for each bodyRate bytes that have come.
const (
	headTime = 15 * time.Second
	bodyRate = 32 << 10

	// A client that takes nothing for writeTime is gone.
	writeTime  = time.Minute
	writeRenew = 15 * time.Second
)

const (
	pathSeal    = "/sotto/v1/seal"
	pathControl = "/sotto/v1/control"

	// maxControl bounds a request that costs no token.
	maxControl = 16 << 10
)

func (g *Gateway) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sotto/v1/nodes", g.serveNodes)
	mux.HandleFunc("GET /sotto/v1/log", g.serveLog)
	mux.HandleFunc("GET /sotto/v1/keys", g.serveKeys)
	mux.HandleFunc("POST "+pathSeal, g.serveSeal)
	mux.HandleFunc("POST "+pathControl, g.serveControl)
	mux.HandleFunc("POST /sotto/v1/refund", g.serveRefund)
	mux.HandleFunc("GET /sotto/v1/gateway", g.serveAbout)
	mux.HandleFunc("POST "+pathOHTTP, g.serveOHTTP)
	mux.HandleFunc("GET "+pathOHTTPKeys, g.serveOHTTPKeys)
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", g.serveReady)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		door.Refuse(w, http.StatusNotFound, door.NotFound, "There is nothing at this address.")
	})
	return mux
}

func (g *Gateway) serveNodes(w http.ResponseWriter, r *http.Request) {
	if !g.anyAlive() {
		g.pollAgain(r.Context())
	}
	switch query := r.URL.RawQuery; {
	case query == "ids":
		g.serveIDs(w)
		return
	case strings.HasPrefix(query, "at="):
		g.serveAt(w, query)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Write(*g.list.Load())
}

func (g *Gateway) serveReady(w http.ResponseWriter, _ *http.Request) {
	if g.anyAlive() {
		io.WriteString(w, "ok\n")
		return
	}
	http.Error(w, "no node answers", http.StatusServiceUnavailable)
}

func (g *Gateway) anyAlive() bool {
	return slices.ContainsFunc(g.nodes, func(n *node) bool { return n.alive.Load() })
}

// serveSeal passes one sealed request to a node, and the answer back.
func (g *Gateway) serveSeal(w http.ResponseWriter, r *http.Request) {
	g.serveSealed(w, r, pathSeal, envelope.MaxMessage)
}

// serveControl does the same with one that asks for no new answer, so that it costs
// no token: it is small, and the node serves nothing else by this path.
func (g *Gateway) serveControl(w http.ResponseWriter, r *http.Request) {
	g.serveSealed(w, r, pathControl, maxControl)
}

func (g *Gateway) serveSealed(w http.ResponseWriter, r *http.Request, path string, most int64) {
	size := r.ContentLength
	rc := http.NewResponseController(w)
	// The request may still be on its way when the answer begins: without this,
	// the server would wait for its end. A ResponseWriter that can't belongs to a test.
	_ = rc.EnableFullDuplex()
	first := time.Now().Add(headTime)
	_ = rc.SetReadDeadline(first)
	switch {
	case r.Header.Get("Content-Type") != envelope.RequestType:
		g.turnAway(w, http.StatusUnsupportedMediaType, door.Malformed, "A sealed request has the type "+envelope.RequestType+".")
		return
	case size < 0:
		g.turnAway(w, http.StatusLengthRequired, door.Malformed, "A sealed request comes with its length.")
		return
	case size > most:
		g.turnAway(w, http.StatusRequestEntityTooLarge, door.TooLarge, "The request is too large.")
		return
	}
	if !g.gate.Enter(size) {
		g.sayBusy(w, "1")
		return
	}
	defer g.gate.Leave(size)

	t := newTape(slowbody.Reader(r.Body, size, bodyRate, first, rc.SetReadDeadline), size, func() { _ = rc.SetReadDeadline(time.Time{}) })
	raw, header, err := envelope.Read(t.reader())
	switch {
	case errors.Is(err, envelope.ErrTooLarge):
		g.turnAway(w, http.StatusRequestEntityTooLarge, door.TooLarge, "The request is too large.")
		return
	case err != nil || header.MessageLen() != size:
		g.turnAway(w, http.StatusBadRequest, door.Malformed, "This is not a sealed request.")
		return
	}
	if g.spending != nil && path == pathSeal {
		p := g.pay(w, r, raw)
		if p == nil {
			return
		}
		defer p.fail()
		w = p
	}
	g.forward(w, r, rc, t, path, header.Recipients)
}

// forward tries the nodes that have one of the keys, the idlest first, until
// one answers.
func (g *Gateway) forward(w http.ResponseWriter, r *http.Request, rc *http.ResponseController, t *tape, path string, ids [][16]byte) {
	var tried []*node
	var last *refusal
	for {
		n := g.pick(ids, tried)
		if n == nil && len(tried) == 0 {
			g.pollAgain(r.Context())
			n = g.pick(ids, tried)
		}
		if n == nil {
			break
		}
		tried = append(tried, n)
		if n.busy.Add(1) > int64(g.cfg.Limits.PerNode) {
			n.busy.Add(-1)
			last = cmpRefusal(last, &refusal{status: http.StatusServiceUnavailable, code: door.Busy, retryAfter: "1"})
			continue
		}
		answered, why := g.try(w, r, rc, t, path, n)
		n.busy.Add(-1)
		if answered || r.Context().Err() != nil {
			return
		}
		last = cmpRefusal(last, why)
		g.stats.retried.Add(1)
	}
	switch {
	case len(tried) == 0:
		g.turnAway(w, http.StatusServiceUnavailable, door.NoNode, "No machine that is up has the key of this request. Get a fresh list.")
	case last == nil:
		g.turnAway(w, http.StatusBadGateway, door.NodeUnreachable, "The machine can't be reached. Try again.")
	case last.code == door.Busy:
		g.sayBusy(w, last.retryAfter)
	default:
		g.turnAway(w, last.status, last.code, last.message)
	}
}

// try passes the request to one node. answered says that something has been
// written to w; otherwise why is the node's refusal, or nil if it is dead.
func (g *Gateway) try(w http.ResponseWriter, r *http.Request, rc *http.ResponseController, t *tape, path string, n *node) (answered bool, why *refusal) {
	ctx, answers, cancel := patient(w, r)
	defer cancel()
	// A request of our own: nothing of the client's is in it but the sealed bytes.
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.base+path[1:], t.reader())
	if err != nil {
		return false, nil
	}
	req.GetBody = func() (io.ReadCloser, error) { return t.reader(), nil }
	req.ContentLength = r.ContentLength
	req.Header = http.Header{"Content-Type": {envelope.RequestType}, "User-Agent": nil}
	res, err := g.client.RoundTrip(req)
	if err != nil {
		if r.Context().Err() == nil && !t.broken() && n.alive.Swap(false) {
			g.log.Warn("node doesn't answer", lines.Own("node", n.name))
		}
		if t.broken() {
			g.turnAway(w, http.StatusBadRequest, door.Malformed, "The request broke off.")
			return true, nil
		}
		return false, nil
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != envelope.AnswerType {
		return false, readRefusal(res)
	}
	answers()
	t.done() // it won't be sent again
	g.stats.forwarded.Add(1)
	h := w.Header()
	h.Set("Content-Type", envelope.AnswerType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // proxies that would wait for more
	if res.ContentLength >= 0 {
		h.Set("Content-Length", strconv.FormatInt(res.ContentLength, 10))
	}
	if err := stream(w, rc, res.Body, res.ContentLength); err != nil && ctx.Err() == nil {
		// So that the client's connection ends as the node's did, and not as if
		// this were all.
		panic(http.ErrAbortHandler)
	}
	return true, nil
}

// Buffers for answers: there are thousands of streams, and their records are
// small, even a few that have piled up. A bulk answer shows itself by its length
// or by filling the small buffer many times in a row. The large one holds what a
// node writes of it at a time, with the answer's header.
const (
	smallBuffer = 2 << 10
	largeBuffer = 66 << 10
	manyFull    = 32
	manyThin    = 8
)

var (
	smallBuffers = sync.Pool{New: func() any { b := make([]byte, smallBuffer); return &b }}
	largeBuffers = sync.Pool{New: func() any { b := make([]byte, largeBuffer); return &b }}
)

// stream copies an answer of the given length, -1 if that isn't known, as it
// comes: each piece at once, and a short one of known length in one piece.
func stream(w http.ResponseWriter, rc *http.ResponseController, body io.Reader, length int64) error {
	pool := &smallBuffers
	if length > smallBuffer {
		pool = &largeBuffers
	}
	buf := pool.Get().(*[]byte)
	defer func() { pool.Put(buf) }()
	if length >= 0 && length <= int64(len(*buf)) {
		_ = rc.SetWriteDeadline(time.Now().Add(writeTime))
		k, err := io.ReadFull(body, (*buf)[:length])
		if _, werr := w.Write((*buf)[:k]); err == nil {
			err = werr
		}
		return err
	}
	full, thin := 0, 0 // reads in a row that filled the buffer, that were small
	var deadline time.Time
	for {
		k, err := body.Read(*buf)
		if k > 0 {
			if now := time.Now(); deadline.Sub(now) < writeTime-writeRenew {
				deadline = now.Add(writeTime)
				_ = rc.SetWriteDeadline(deadline)
			}
			if _, err := w.Write((*buf)[:k]); err != nil {
				return err
			}
			if err := rc.Flush(); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if full++; k < len(*buf) {
			full = 0
		}
		if thin++; k >= smallBuffer {
			thin = 0
		}
		fits := pool
		switch {
		case full == manyFull:
			fits = &largeBuffers
		case thin == manyThin: // a stream that had piled up and is even again
			fits = &smallBuffers
		}
		if fits != pool {
			pool.Put(buf)
			pool = fits
			buf = pool.Get().(*[]byte)
		}
	}
}

// refusal is a node's error in the clear.
type refusal struct {
	status                    int
	code, message, retryAfter string
}

// cmpRefusal returns the refusal to tell the client: one that asks for patience
// before one that says no, since a third node may have been asked.
func cmpRefusal(a, b *refusal) *refusal {
	if a == nil || b != nil && b.code == door.Busy {
		return b
	}
	return a
}

// nodeCodes are the codes that a node may say; of any other node's answer
// nothing is passed on.
var nodeCodes = map[string]bool{
	door.KeyUnknown: true, door.KeyExpired: true, door.Replayed: true, door.Malformed: true,
	door.TooLarge: true, door.Busy: true, door.EngineAway: true, door.Failed: true,
}

// readRefusal reads a node's error. One that isn't in the agreed form counts as
// a dead node.
func readRefusal(res *http.Response) *refusal {
	const most = 4 << 10
	b, err := io.ReadAll(io.LimitReader(res.Body, most+1))
	if err != nil || len(b) > most || res.StatusCode < 400 || res.StatusCode > 599 {
		return nil
	}
	var doc struct {
		Error struct{ Code, Message string }
	}
	if json.NewDecoder(bytes.NewReader(b)).Decode(&doc) != nil || !nodeCodes[doc.Error.Code] {
		return nil
	}
	out := &refusal{status: res.StatusCode, code: doc.Error.Code, message: doc.Error.Message}
	if s, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && s > 0 && s <= 3600 {
		out.retryAfter = strconv.Itoa(s)
	}
	return out
}

func (g *Gateway) sayBusy(w http.ResponseWriter, after string) {
	if after == "" {
		after = "1"
	}
	w.Header().Set("Retry-After", after)
	g.turnAway(w, http.StatusServiceUnavailable, door.Busy, "All machines have all the work that they can take. Try again in a moment.")
}

func (g *Gateway) turnAway(w http.ResponseWriter, status int, code, message string) {
	g.stats.turnedAway.Add(1)
	// Full duplex leaves the rest of the request unread.
	w.Header().Set("Connection", "close")
	if p, ok := w.(*paid); ok {
		if refund := p.refund(); refund != nil {
			refuseWithRefund(p.ResponseWriter, status, code, message, refund)
			return
		}
		w = p.ResponseWriter
		if code == door.Busy { // which says that the token is unspent
			status, code = http.StatusInternalServerError, door.Failed
		}
	}
	door.Refuse(w, status, code, message)
}
