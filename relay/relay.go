// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package relay hides from a gateway where a request comes from: RFC 9458's Oblivious
// Relay Resource, for one gateway. It sees who asks, and can't read what; the gateway
// sees what is asked, and not who asks. That holds for as long as the two are not
// run by the same people, so the relay is meant to be run by somebody else than the
// rest (docs/operate-relay.md), and works with any gateway of RFC 9458.
//
// A request that it passes on is one of its own, with two header fields, the type and
// the length. It keeps no log of addresses: it counts requests by network in memory,
// by a hash whose key is this process's, and forgets that every hour.
//
// # HTTP interface
//
//	POST /             an encapsulated request, of one of the types message/ohttp-req and
//	                   message/ohttp-chunked-req; answered by what the gateway answers,
//	                   as it comes
//	GET  /ohttp-keys   the gateway's key configurations (application/ohttp-keys), the same
//	                   bytes for everybody
//	GET  /livez
//
// A page may ask if its origin is one of those that are configured. What the relay
// itself answers instead is {"error":{"code","message"}} with a code of the table in
// errors.go.
package relay

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sotto-chat/sotto/internal/door"
	"github.com/sotto-chat/sotto/internal/knock"
	"github.com/sotto-chat/sotto/internal/lines"
	"github.com/sotto-chat/sotto/internal/slowbody"
	"github.com/sotto-chat/sotto/ohttp"
)

// Config says which gateway there is. A zero limit means its default.
type Config struct {
	// Gateway is the gateway resource: "https://gateway.example/sotto/v1/ohttp". Without
	// a path it is that of ours.
	Gateway string
	// Keys is where the gateway's key configurations are; by default Gateway with
	// "-keys" after its path.
	Keys string
	// Origins are the pages that may ask: "https://chat.example".
	Origins []string
	// Address returns the address that limits count by; the connection's by default.
	// Behind a proxy, take it from a header that the proxy sets. It is hashed at once
	// and never kept.
	Address func(*http.Request) string
	// Logger gets no value that derives from a request. Nil discards.
	Logger *slog.Logger
	Limits Limits
	// Dial replaces the dialer. May be nil.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Limits bound what strangers can make a relay do. Zero means the default.
type Limits struct {
	// Requests is how many requests may be under way at once (16,384).
	Requests int
	// RequestBytes is the most that one may have (40 MiB).
	RequestBytes int64
	// AtOnce and PerSecond are how many requests one network may make: at once (600),
	// and for ever (20).
	AtOnce, PerSecond float64
}

// Relay passes requests on. Make one with [New].
type Relay struct {
	gateway, keysAt string
	origins         []string
	address         func(*http.Request) string
	log             lines.Log
	limits          Limits
	client          *http.Transport
	gate            *door.Gate
	knock           *knock.Limits
	keys            keys
	down            atomic.Bool // the gateway, when it was last asked
}

const (
	// A request must arrive within headTime, and a second more for each bodyRate bytes
	// that have come.
	headTime = 15 * time.Second
	bodyRate = 32 << 10
	// A client that takes nothing for writeTime is gone.
	writeTime  = time.Minute
	writeRenew = 15 * time.Second
	// A gateway that doesn't take a connection within this time is dead.
	dialTime = 5 * time.Second
	// maxProblem bounds what a gateway may say instead of an answer.
	maxProblem = 8 << 10
	// gatewayPath is where our gateway takes encapsulated requests.
	gatewayPath = "/sotto/v1/ohttp"
)

// New makes a relay. It asks the gateway nothing before the first request does.
func New(cfg Config) (*Relay, error) {
	gateway, err := parseAddress(cfg.Gateway)
	if err != nil {
		return nil, err
	}
	if gateway.Path == "" || gateway.Path == "/" {
		gateway.Path = gatewayPath
	}
	keysAt := *gateway
	keysAt.Path += "-keys"
	if cfg.Keys != "" {
		u, err := parseAddress(cfg.Keys)
		if err != nil {
			return nil, err
		}
		keysAt = *u
	}
	for _, o := range cfg.Origins {
		u, err := url.Parse(o)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || o != u.Scheme+"://"+u.Host {
			return nil, fmt.Errorf("relay: %q is not a page's origin such as https://chat.example", o)
		}
	}
	if cfg.Address == nil {
		cfg.Address = func(r *http.Request) string {
			host, _, err := net.SplitHostPort(r.RemoteAddr)
			if err != nil {
				return r.RemoteAddr
			}
			return host
		}
	}
	cfg.Limits.Requests = cmp.Or(cfg.Limits.Requests, 16384)
	cfg.Limits.RequestBytes = cmp.Or(cfg.Limits.RequestBytes, 40<<20)
	cfg.Limits.AtOnce = cmp.Or(cfg.Limits.AtOnce, 600)
	cfg.Limits.PerSecond = cmp.Or(cfg.Limits.PerSecond, 20)
	dial := cfg.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTime, KeepAlive: 30 * time.Second}).DialContext
	}
	return &Relay{
		gateway: gateway.String(), keysAt: keysAt.String(),
		origins: cfg.Origins, address: cfg.Address, log: lines.To(cfg.Logger), limits: cfg.Limits,
		// As the gateway's to its nodes: nothing may come between a chunk and its time.
		client: &http.Transport{
			Proxy: nil, DisableCompression: true, ForceAttemptHTTP2: false,
			DialContext:            dial,
			TLSHandshakeTimeout:    dialTime,
			IdleConnTimeout:        30 * time.Second,
			MaxIdleConnsPerHost:    1024,
			MaxResponseHeaderBytes: 8 << 10,
			WriteBufferSize:        4 << 10,
			ReadBufferSize:         4 << 10,
		},
		gate:  door.NewGate(int64(cfg.Limits.Requests), 1<<62),
		knock: knock.New(cfg.Limits.AtOnce, cfg.Limits.PerSecond),
	}, nil
}

func parseAddress(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("relay: %q is not the address of a gateway: it should look like https://gateway.example", s)
	}
	return u, nil
}

// Handler returns the relay's HTTP interface. The server around it must bound the
// header's size and the time it takes.
func (r *Relay) Handler() http.Handler { return http.HandlerFunc(r.serve) }

// Close closes the connections that nobody uses.
func (r *Relay) Close() { r.client.CloseIdleConnections() }

func (r *Relay) serve(w http.ResponseWriter, req *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if req.URL.Path == "/livez" && req.Method == http.MethodGet {
		io.WriteString(w, "ok\n")
		return
	}
	if !r.admitOrigin(w, req) {
		refuse(w, errOrigin, 0)
		return
	}
	// A client puts the path of the keys behind the address that it was given, which
	// may end in a slash.
	path := strings.Trim(req.URL.Path, "/")
	self, keys := path == "", path == "ohttp-keys"
	switch {
	case !self && !keys:
		refuse(w, errNoRoute, 0)
	case req.Method == http.MethodOptions:
		preflight(w, req, self)
	case self && req.Method != http.MethodPost, keys && req.Method != http.MethodGet:
		refuse(w, errMethod, 0)
	default:
		if wait := r.knock.Take(r.address(req), 1); wait > 0 {
			refuse(w, errSlowDown, wait)
			return
		}
		if keys {
			r.serveKeys(w, req)
			return
		}
		r.pass(w, req)
	}
}

// admitOrigin says whether whoever asks may, and lets a page that may see the answer.
// What is no page has no origin.
func (r *Relay) admitOrigin(w http.ResponseWriter, req *http.Request) bool {
	w.Header().Add("Vary", "Origin")
	origins := req.Header.Values("Origin")
	if len(origins) == 0 {
		return true
	}
	if len(origins) != 1 || !slices.Contains(r.origins, origins[0]) {
		return false
	}
	w.Header().Set("Access-Control-Allow-Origin", origins[0])
	return true
}

// preflight tells a browser that the page may send what it must, and for how long it
// need not ask again.
func preflight(w http.ResponseWriter, req *http.Request, self bool) {
	h := w.Header()
	if req.Header.Get("Origin") != "" {
		h.Set("Access-Control-Max-Age", "86400")
		if self {
			h.Set("Access-Control-Allow-Methods", "POST")
			h.Set("Access-Control-Allow-Headers", "content-type")
		} else {
			h.Set("Access-Control-Allow-Methods", "GET")
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

// pass passes one encapsulated request to the gateway, and the answer back.
func (r *Relay) pass(w http.ResponseWriter, req *http.Request) {
	rc := http.NewResponseController(w)
	// The request may still be on its way when the answer begins. A ResponseWriter
	// that can't belongs to a test.
	_ = rc.EnableFullDuplex()
	first := time.Now().Add(headTime)
	_ = rc.SetReadDeadline(first)
	size := req.ContentLength
	kind := req.Header.Get("Content-Type")
	switch {
	case kind != ohttp.RequestType && kind != ohttp.ChunkedRequestType:
		refuse(w, errType, 0)
		return
	case size > r.limits.RequestBytes:
		refuse(w, errTooLarge, 0)
		return
	case size == 0:
		refuse(w, errMalformed, 0)
		return
	}
	if !r.gate.Enter(0) {
		refuse(w, errBusy, time.Second)
		return
	}
	defer r.gate.Leave(0)

	ctx, cancel := context.WithCancel(req.Context())
	defer cancel()
	until := size
	if until < 0 {
		until = r.limits.RequestBytes
	}
	body := &inBody{r: slowbody.Reader(http.MaxBytesReader(w, req.Body, r.limits.RequestBytes), until, bodyRate, first, rc.SetReadDeadline),
		whole: func() { _ = rc.SetReadDeadline(time.Time{}) }}
	out, err := http.NewRequestWithContext(ctx, http.MethodPost, r.gateway, body)
	if err != nil {
		panic(err) // the address was checked
	}
	out.ContentLength = size
	// A request of our own: nothing of the client's is in it but its bytes and their type.
	out.Header = http.Header{"Content-Type": {kind}, "User-Agent": nil}
	if kind == ohttp.ChunkedRequestType {
		out.Header["Incremental"] = []string{"?1"} // follows from the type
	}
	res, err := r.client.RoundTrip(out)
	if err != nil {
		switch { // all of these end the connection
		case body.tooLarge():
			refuse(w, errTooLarge, 0)
		case body.broken(): // before the context, which ends with it
			refuse(w, errMalformed, 0)
		case req.Context().Err() != nil:
			panic(http.ErrAbortHandler)
		default:
			if !r.down.Swap(true) {
				r.log.Warn("the gateway can't be reached")
			}
			refuse(w, errGateway, 0)
		}
		return
	}
	defer res.Body.Close()
	r.down.Store(false)
	r.answer(w, rc, res, ctx)
	// A gateway may answer before the request has ended. The server can't go on with
	// the connection while part of it is on its way, or somebody still reads it.
	if !body.ended() {
		_, _ = io.Copy(io.Discard, body)
	}
}

// answer passes on what the gateway answered: an encapsulated answer as it comes, a
// problem as a document of a few bytes, and nothing else.
func (r *Relay) answer(w http.ResponseWriter, rc *http.ResponseController, res *http.Response, ctx context.Context) {
	kind, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";")
	h := w.Header()
	switch {
	case res.StatusCode == http.StatusOK && (kind == ohttp.ResponseType || kind == ohttp.ChunkedResponseType):
		h.Set("Content-Type", kind)
		if kind == ohttp.ChunkedResponseType {
			h.Set("Incremental", "?1")
		}
		h.Set("X-Accel-Buffering", "no") // proxies that would wait for more
		if res.ContentLength >= 0 {
			h.Set("Content-Length", fmt.Sprint(res.ContentLength))
		}
		if err := stream(w, rc, res.Body); err != nil && ctx.Err() == nil {
			// So that the client's connection ends as the gateway's did.
			panic(http.ErrAbortHandler)
		}
	case res.StatusCode >= 400 && res.StatusCode < 600 && kind == ohttp.ProblemType:
		b, err := io.ReadAll(io.LimitReader(res.Body, maxProblem+1))
		if err != nil || len(b) > maxProblem {
			refuse(w, errGateway, 0)
			return
		}
		r.keys.suspect() // it may be about them
		h.Set("Content-Type", ohttp.ProblemType)
		h.Set("Connection", "close") // it may have come before the request's end
		w.WriteHeader(res.StatusCode)
		w.Write(b)
	case res.StatusCode == http.StatusServiceUnavailable, res.StatusCode == http.StatusTooManyRequests:
		refuse(w, errBusy, time.Second)
	default:
		refuse(w, errGateway, 0)
	}
}

// inBody is a client's body as it is passed on. It remembers whose fault an error was.
type inBody struct {
	r     io.Reader
	whole func() // all has arrived

	reading sync.Mutex // the transport may still read when the answer has ended

	mu  sync.Mutex
	err error
}

func (b *inBody) Read(p []byte) (int, error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	n, err := b.r.Read(p)
	if err == io.EOF {
		b.whole()
	}
	if err != nil {
		b.mu.Lock()
		b.err = err
		b.mu.Unlock()
	}
	return n, err
}

// Close implements io.Closer: the server closes what it reads from.
func (b *inBody) Close() error { return nil }

func (b *inBody) ended() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err != nil
}

func (b *inBody) broken() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err != nil && b.err != io.EOF
}

func (b *inBody) tooLarge() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, ok := b.err.(*http.MaxBytesError)
	return ok
}

// Buffers for answers: there are thousands of streams, and their chunks are small, even
// a few that have piled up. A larger answer shows itself by filling the small one.
const (
	smallBuffer = 2 << 10
	largeBuffer = 66 << 10
	manyFull    = 32
)

var (
	smallBuffers = sync.Pool{New: func() any { b := make([]byte, smallBuffer); return &b }}
	largeBuffers = sync.Pool{New: func() any { b := make([]byte, largeBuffer); return &b }}
)

// stream copies an answer as it comes, each piece at once. Whoever reads slowly holds
// up the gateway, and so the node: nothing is kept here.
func stream(w http.ResponseWriter, rc *http.ResponseController, body io.Reader) error {
	pool := &smallBuffers
	buf := pool.Get().(*[]byte)
	defer func() { pool.Put(buf) }()
	var deadline time.Time
	for full := 0; ; {
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
		if full == manyFull && pool == &smallBuffers {
			pool.Put(buf)
			pool = &largeBuffers
			buf = pool.Get().(*[]byte)
		}
	}
}
