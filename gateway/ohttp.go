// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sotto-chat/sotto/internal/door"
	"github.com/sotto-chat/sotto/internal/slowbody"
	"github.com/sotto-chat/sotto/ohttp"
	"github.com/sotto-chat/sotto/seal/bhttp"
	"github.com/sotto-chat/sotto/seal/envelope"
)

// The gateway as RFC 9458's Oblivious Gateway Resource (spec/ohttp.md): a relay, which
// is somebody else's, brings requests that it can't read; they are opened here and
// answered by the gateway's own routes, in process. What is inside is a sealed request
// as ever, which the gateway can't open: it learns no more than without a relay, and
// less, since it doesn't learn where the request comes from.

const (
	pathOHTTP     = "/sotto/v1/ohttp"
	pathOHTTPKeys = "/sotto/v1/ohttp-keys"

	// maxOHTTP is the most that an encapsulated request may have: a sealed request,
	// the head of the request that carries it, and what each chunk adds.
	maxOHTTP = envelope.MaxMessage + envelope.MaxMessage/256 + 128<<10

	// maxWhole bounds an answer that isn't in chunks, which is held until it is whole.
	maxWhole = 4 << 20
)

// oblivious is the gateway's half of Oblivious HTTP.
type oblivious struct {
	server *ohttp.Server
	gate   *door.Gate
	seen   seen
}

func newOblivious(seeds []ohttp.Seed, l Limits) (*oblivious, error) {
	s, err := ohttp.NewServer(seeds...)
	if err != nil {
		return nil, err
	}
	return &oblivious{server: s, gate: door.NewGate(int64(l.Requests), l.RequestBytes)}, nil
}

// OHTTPDigests returns the digests of the key configurations that the gateway offers
// to clients behind a relay; none where it has no key. The caller must not change it.
func (g *Gateway) OHTTPDigests() []string {
	if g.oblivious == nil {
		return nil
	}
	return g.oblivious.server.Digests()
}

// OHTTPKeys returns the key configurations that the gateway offers, an
// application/ohttp-keys document; nil where it has no key.
func (g *Gateway) OHTTPKeys() []byte {
	if g.oblivious == nil {
		return nil
	}
	return g.oblivious.server.Configs()
}

func (g *Gateway) serveOHTTPKeys(w http.ResponseWriter, _ *http.Request) {
	if g.oblivious == nil {
		door.Refuse(w, http.StatusNotFound, door.NotFound, "There is nothing at this address.")
		return
	}
	w.Header().Set("Content-Type", ohttp.KeysType)
	w.Header().Set("Cache-Control", "max-age=60")
	w.Write(g.oblivious.server.Configs())
}

// problem answers before anything was opened, in the clear: a problem document of RFC
// 9457 that has our error in it as well.
func problem(w http.ResponseWriter, status int, kind, code, message string) {
	type body struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	b, err := json.Marshal(struct {
		Type  string `json:"type"`
		Title string `json:"title"`
		Error body   `json:"error"`
	}{kind, message, body{code, message}})
	if err != nil { // strings always marshal
		panic(err)
	}
	h := w.Header()
	h.Set("Content-Type", ohttp.ProblemType)
	h.Set("Cache-Control", "no-store")
	h.Set("Connection", "close") // the rest of the request need not be read
	w.WriteHeader(status)
	w.Write(b)
}

const plainProblem = "about:blank"

// serveOHTTP opens one encapsulated request and seals the answer.
func (g *Gateway) serveOHTTP(w http.ResponseWriter, r *http.Request) {
	if g.oblivious == nil {
		door.Refuse(w, http.StatusNotFound, door.NotFound, "There is nothing at this address.")
		return
	}
	rc := http.NewResponseController(w)
	_ = rc.EnableFullDuplex() // as in serveSeal
	first := time.Now().Add(headTime)
	_ = rc.SetReadDeadline(first)
	size := r.ContentLength
	if size < 0 {
		size = maxOHTTP
	}
	kind := r.Header.Get("Content-Type")
	chunked := kind == ohttp.ChunkedRequestType
	cost := int64(0) // what comes in chunks isn't held here
	switch {
	case !chunked && kind != ohttp.RequestType:
		problem(w, http.StatusUnsupportedMediaType, plainProblem, door.Malformed, "An encapsulated request has the type "+ohttp.RequestType+" or "+ohttp.ChunkedRequestType+".")
		return
	case size > maxOHTTP:
		problem(w, http.StatusRequestEntityTooLarge, plainProblem, door.TooLarge, "The request is too large.")
		return
	case !chunked:
		cost = size + maxWhole
	}
	if !g.oblivious.gate.Enter(cost) {
		w.Header().Set("Retry-After", "1")
		problem(w, http.StatusServiceUnavailable, plainProblem, door.Busy, "Too many requests at once. Try again in a moment.")
		return
	}
	defer g.oblivious.gate.Leave(cost)

	body := io.Reader(http.MaxBytesReader(w, r.Body, maxOHTTP))
	body = slowbody.Reader(body, size, bodyRate, first, rc.SetReadDeadline)
	whole := &toEnd{r: body}
	body = whole
	var msg io.Reader
	var answer *ohttp.Responder
	var err error
	if chunked {
		msg, answer, err = g.oblivious.server.OpenChunked(body)
	} else {
		msg, answer, err = g.openWhole(body)
	}
	if err != nil {
		refuseUnopened(w, err)
		return
	}
	out := &sealedWriter{w: w, rc: rc, answer: answer, chunked: chunked, header: http.Header{}}
	defer out.free()
	g.serveInner(out, r, msg, rc)
	switch { // the server can't go on with a connection whose request is half read
	case whole.ended.Load():
	case !out.sent:
		w.Header().Set("Connection", "close")
	default:
		_, _ = io.Copy(io.Discard, body)
	}
	if err := out.finish(); err != nil {
		panic(http.ErrAbortHandler) // so that a cut answer doesn't look whole
	}
}

func (g *Gateway) openWhole(body io.Reader) (io.Reader, *ohttp.Responder, error) {
	b, err := io.ReadAll(body)
	if err != nil {
		return nil, nil, err
	}
	msg, answer, err := g.oblivious.server.Open(b)
	return &wholeMessage{b: msg}, answer, err
}

// toEnd notices the end of what it reads. What passes a request to a node may still
// read it when the answer has ended.
type toEnd struct {
	mu    sync.Mutex
	r     io.Reader
	ended atomic.Bool
}

func (t *toEnd) Read(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, err := t.r.Read(p)
	if err != nil {
		t.ended.Store(true)
	}
	return n, err
}

// wholeMessage reads a message that is there.
type wholeMessage struct{ b []byte }

func (m *wholeMessage) Read(p []byte) (int, error) {
	n := copy(p, m.b)
	if m.b = m.b[n:]; n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// refuseUnopened says why a request was not opened. A key that isn't known has an
// answer of its own, so that a client gets the new ones: RFC 9458, sections 5.3 and 6.4.
func refuseUnopened(w http.ResponseWriter, err error) {
	var large *http.MaxBytesError
	switch {
	case errors.Is(err, ohttp.ErrKey):
		problem(w, http.StatusUnprocessableEntity, ohttp.KeyProblem, door.KeyUnknown, "The request is sealed to a key that is not here any more. Get the keys anew.")
	case errors.Is(err, ohttp.ErrTooLarge), errors.As(err, &large):
		problem(w, http.StatusRequestEntityTooLarge, plainProblem, door.TooLarge, "The request is too large.")
	default:
		problem(w, http.StatusBadRequest, plainProblem, door.Malformed, "This is not an encapsulated request.")
	}
}

// serveInner answers what was inside. From here on every answer is sealed.
func (g *Gateway) serveInner(w *sealedWriter, r *http.Request, msg io.Reader, rc *http.ResponseController) {
	if !g.oblivious.seen.first(w.answer.Enc) {
		door.Refuse(w, http.StatusConflict, door.Replayed, "This request came before.")
		return
	}
	m, err := ohttp.ReadMessage(msg)
	if err == nil && m.Length == 0 {
		_, err = io.Copy(io.Discard, m.Body) // is that all?
		_ = rc.SetReadDeadline(time.Time{})
	}
	if err != nil {
		door.Refuse(w, http.StatusBadRequest, door.Malformed, "What is inside is not a request, or not all of it.")
		return
	}
	at, err := url.ParseRequestURI(m.Path)
	if err != nil {
		door.Refuse(w, http.StatusBadRequest, door.Malformed, "What is inside is not a request.")
		return
	}
	// The service, and not what operators ask, nor a request within a request.
	if !strings.HasPrefix(at.Path, "/sotto/v1/") || strings.HasPrefix(at.Path, pathOHTTP) {
		door.Refuse(w, http.StatusNotFound, door.NotFound, "There is nothing at this address.")
		return
	}
	h := make(http.Header, len(m.Header))
	for _, f := range m.Header {
		h.Add(f.Name, f.Value)
	}
	h.Del("Content-Length") // the message has a length of its own
	inner := (&http.Request{
		Method: m.Method, URL: at, RequestURI: m.Path, Host: m.Authority,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Body: http.NoBody, ContentLength: m.Length,
	}).WithContext(r.Context())
	if m.Length != 0 {
		inner.Body = io.NopCloser(&innerBody{src: m.Body, left: m.Length})
	}
	g.mux.ServeHTTP(w, inner)
}

// innerBody is the body inside a request. With its last byte it reads on to the
// request's own end, so that what was cut is an error, and so that the server notices
// from then on when the relay goes away.
type innerBody struct {
	src  io.Reader
	left int64 // -1 if not known
}

func (b *innerBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	n, err := b.src.Read(p)
	if b.left < 0 {
		return n, err
	}
	if b.left -= int64(n); b.left == 0 && err == nil {
		var one [1]byte
		for err == nil {
			_, err = b.src.Read(one[:]) // the message's reader has no content left
		}
	}
	return n, err
}

// sealedWriter is the http.ResponseWriter for what was inside a request. It seals the
// answer, in chunks as it comes: one for each flush, and one when there is enough.
type sealedWriter struct {
	w       http.ResponseWriter
	rc      *http.ResponseController
	answer  *ohttp.Responder
	chunked bool

	header http.Header
	begun  bool
	sent   bool // the head of the encapsulated answer
	failed error
	buf    []byte // binary HTTP, not sealed yet
	out    []byte // the last chunk, sealed
}

// Header implements [http.ResponseWriter].
func (s *sealedWriter) Header() http.Header { return s.header }

// WriteHeader implements [http.ResponseWriter].
func (s *sealedWriter) WriteHeader(status int) {
	if s.begun || status < 200 {
		return
	}
	s.begun = true
	names := make([]string, 0, len(s.header))
	for name := range s.header {
		switch name {
		case "Content-Length", "X-Accel-Buffering": // of the connection, or of no use inside
		default:
			names = append(names, name)
		}
	}
	slices.Sort(names)
	fields := make([]bhttp.Field, 0, len(names))
	for _, name := range names {
		for _, v := range s.header[name] {
			fields = append(fields, bhttp.Field{Name: name, Value: v})
		}
	}
	s.buf = bhttp.AppendResponseHead(s.buf, status, fields)
	h := s.w.Header()
	h.Set("Cache-Control", "no-store")
	if !s.chunked {
		h.Set("Content-Type", ohttp.ResponseType)
		return
	}
	h.Set("Content-Type", ohttp.ChunkedResponseType)
	h.Set("Incremental", "?1")        // the draft, section 3
	h.Set("X-Accel-Buffering", "no")  // proxies that would wait for more
	for len(s.buf) > ohttp.MaxChunk { // a head with much in it
		s.buf = s.send(s.buf[:ohttp.MaxChunk], s.buf[ohttp.MaxChunk:], false)
	}
}

// lengthSize is the most that the length before a piece of content takes.
const lengthSize = 4

// Write implements [http.ResponseWriter].
func (s *sealedWriter) Write(p []byte) (int, error) {
	if !s.begun {
		s.WriteHeader(http.StatusOK)
	}
	if !s.chunked {
		if len(s.buf)+len(p) > maxWhole && s.failed == nil {
			s.failed = errTooLong
		}
		if s.failed == nil {
			s.buf = bhttp.AppendChunk(s.buf, p)
		}
		return len(p), s.failed
	}
	n := len(p)
	for len(p) > 0 && s.failed == nil {
		room := ohttp.MaxChunk - len(s.buf) - lengthSize
		if room <= 0 {
			s.buf = s.send(s.buf, nil, false)
			continue
		}
		k := min(room, len(p))
		s.buf = bhttp.AppendChunk(s.buf, p[:k])
		p = p[k:]
	}
	return n - len(p), s.failed
}

var errTooLong = errors.New("gateway: the answer is too long for one piece")

// send seals a chunk and writes it. It returns what is to be sealed next, moved to the
// start of the buffer.
func (s *sealedWriter) send(chunk, rest []byte, last bool) []byte {
	s.out = s.answer.AppendChunk(s.out[:0], chunk, last)
	if s.failed == nil && len(s.out) > 0 {
		s.sent = true
		_, s.failed = s.w.Write(s.out)
	}
	return append(s.buf[:0], rest...)
}

// FlushError sends what was written; [http.ResponseController] calls it.
func (s *sealedWriter) FlushError() error {
	if !s.begun {
		s.WriteHeader(http.StatusOK)
	}
	if !s.chunked || s.failed != nil {
		return s.failed
	}
	if s.buf = s.send(s.buf, nil, false); s.failed == nil {
		s.failed = s.rc.Flush()
	}
	return s.failed
}

// The connection is the relay's, and its times are the handler's to set.

// SetReadDeadline is for [http.ResponseController].
func (s *sealedWriter) SetReadDeadline(t time.Time) error { return s.rc.SetReadDeadline(t) }

// SetWriteDeadline is for [http.ResponseController].
func (s *sealedWriter) SetWriteDeadline(t time.Time) error { return s.rc.SetWriteDeadline(t) }

// EnableFullDuplex is for [http.ResponseController].
func (s *sealedWriter) EnableFullDuplex() error { return nil }

// finish seals the end of the answer. An error says that the answer is not whole.
func (s *sealedWriter) finish() error {
	if !s.begun {
		s.WriteHeader(http.StatusOK)
	}
	if !s.chunked {
		if s.failed == errTooLong {
			s.buf = bhttp.AppendResponseHead(s.buf[:0], http.StatusBadGateway, nil)
		}
		s.out = s.answer.AppendWhole(s.out[:0], bhttp.AppendEnd(s.buf))
		_, err := s.w.Write(s.out)
		return err
	}
	if len(s.buf)+2 > ohttp.MaxChunk {
		s.buf = s.send(s.buf, nil, false)
	}
	s.buf = bhttp.AppendEnd(s.buf)
	s.send(s.buf, nil, true)
	return s.failed
}

// free lets go of what a stream held.
func (s *sealedWriter) free() { s.buf, s.out = nil, nil }
