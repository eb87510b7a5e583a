// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package proxy is an OpenAI-compatible door on this machine: programs that
// know nothing of Sotto talk to it in the clear over loopback, and it talks
// sealed to verified nodes.
//
// A request goes through guard.go (is it from here, and for us?), forward.go
// (body read, cache salt added, sealed and sent by package client) and
// stream.go (the answer, byte for byte as the model server wrote it). What goes
// wrong becomes an OpenAI error in errors.go.
//
// A door on localhost stands open to every web page that the person visits, so
// it is shut by default: the Host of a request must name this machine, an
// Origin must be on a list that is empty at first, and a bearer key is needed.
// [Listen] binds loopback addresses only.
//
// Nothing of a request or an answer is logged or kept.
package proxy

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/seal"
)

// A Config says what a proxy stands on and whom it lets in.
type Config struct {
	// Client seals and sends. The proxy doesn't close it.
	Client *client.Client
	// Key is the bearer key that every request must show; see NewKey.
	Key string
	// AllowedHosts are further names under which programs may call the proxy,
	// beside the loopback addresses, localhost and *.localhost: exact, without
	// port.
	AllowedHosts []string
	// AllowedOrigins are the web origins ("http://localhost:3000") whose pages
	// may call the proxy, compared exactly. Empty: none.
	AllowedOrigins []string
	// MaxBody is the size of the largest request body in bytes; 0 means all
	// that can be sealed.
	MaxBody int64
}

// Proxy is the handler; see [New].
type Proxy struct {
	cfg    Config
	guard  guard
	mux    *http.ServeMux
	secret [32]byte // of the cache salts; new with each process
}

const (
	// minKey is the length of the shortest key that is accepted.
	minKey = 16
	// keepAlive is how often a silent stream says that it is still there.
	keepAlive = 15 * time.Second
	// bodyTimeout bounds the reading of a request, writeTimeout each write.
	bodyTimeout  = time.Minute
	writeTimeout = time.Minute
)

// New returns a proxy. It makes no request until it gets one.
func New(cfg Config) (*Proxy, error) {
	if cfg.Client == nil {
		return nil, errors.New("proxy: no client")
	}
	if len(cfg.Key) < minKey {
		return nil, fmt.Errorf("proxy: the key is shorter than %d characters", minKey)
	}
	if limit := int64(seal.MaxRequest - headRoom); cfg.MaxBody <= 0 || cfg.MaxBody > limit {
		cfg.MaxBody = limit
	}
	g, err := newGuard(cfg)
	if err != nil {
		return nil, err
	}
	p := &Proxy{cfg: cfg, guard: g, mux: http.NewServeMux()}
	rand.Read(p.secret[:]) // never fails

	p.mux.HandleFunc("GET /v1/models", p.models)
	p.mux.HandleFunc("GET /v1/models/{id...}", p.passGet)
	p.mux.HandleFunc("POST /v1/chat/completions", p.passPost)
	p.mux.HandleFunc("POST /v1/completions", p.passPost)
	p.mux.HandleFunc("POST /v1/embeddings", p.passPost)
	p.mux.HandleFunc("POST /v1/responses", p.passPost)
	p.mux.HandleFunc("GET /verdict", p.verdict)
	p.mux.HandleFunc("/", notFound)
	return p, nil
}

// NewKey returns a fresh random bearer key.
func NewKey() string { return "sk-sotto-" + strings.ToLower(rand.Text()) }

// ServeHTTP implements [http.Handler].
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Request-Id", "req_"+strings.ToLower(rand.Text())) // names the request to its sender alone
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if !p.guard.host(r) {
		writeError(w, http.StatusForbidden, apiError{Type: "permission_error", Code: "host_not_allowed",
			Message: "This proxy answers to localhost only. To call it by another name, put the name into SOTTO_ALLOWED_HOSTS."})
		return
	}
	if !p.guard.origin(w, r) {
		writeError(w, http.StatusForbidden, apiError{Type: "permission_error", Code: "origin_not_allowed",
			Message: "This proxy does not answer web pages. To let a page in, name its exact origin with -allow-origin."})
		return
	}
	switch {
	case r.Method == http.MethodOptions:
		w.WriteHeader(http.StatusNoContent) // preflight of an allowed origin
		return
	case r.URL.Path == "/healthz" && r.Method == http.MethodGet:
		h.Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintln(w, "ok")
		return
	}
	if !p.guard.key(r) {
		h.Set("WWW-Authenticate", "Bearer")
		writeError(w, http.StatusUnauthorized, apiError{Type: "invalid_request_error", Code: "invalid_api_key",
			Message: "The API key is missing or wrong. “sotto proxy --env” prints the right one."})
		return
	}
	p.mux.ServeHTTP(w, r)
}

// Server returns an http.Server for the proxy with the limits that it needs.
func (p *Proxy) Server() *http.Server {
	return &http.Server{
		Handler:           p,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
}

// Listen opens addr ("127.0.0.1:8788", "localhost:0", "[::1]:8788"), which
// must be a loopback address: what goes in here is not sealed yet.
func Listen(addr string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("%q is not host:port", addr)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("%w: %q", ErrNotLoopback, host)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	// "localhost" is what the resolver says it is.
	if a, ok := l.Addr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
		l.Close()
		return nil, fmt.Errorf("%w: %q", ErrNotLoopback, host)
	}
	return l, nil
}

// ErrNotLoopback means that an address can be reached from other machines.
var ErrNotLoopback = errors.New("not a loopback address")
