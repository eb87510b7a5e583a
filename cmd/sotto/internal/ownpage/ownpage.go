// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package ownpage serves the chat app from a program's own bytes on this machine,
// for a person who doesn't want to take the page from the server that it talks
// to: what a web server sends, it can change for one person.
//
// The page comes from here, and only what it asks of the service goes on to the
// server, over a connection that adds nothing of the browser's. What comes back
// stands at the page's own origin, so nothing but documents of the kinds that the
// page asks for are let through, and no cookie, redirect or script.
//
// A passkey is bound to the site's host and is of no use here. The program is
// linked to the account like a terminal instead (vault.DeviceKey), and holds the
// session's token and the key; the browser's storage has neither. Who may use
// them is decided by a key of this run, which stands in the fragment of the
// address that the program prints: no cookie, since browsers send those of
// 127.0.0.1 to every port of it.
//
// # What the page asks of the program
//
// All below /api/v1/app/, by POST with {} and JSON for an answer, in the form of
// package account:
//
//	app/link  → {"url","code","expires":unix seconds}: the address to open where one is signed in
//	app/poll  → {"linked":bool}: whether somebody approved it
//	app/open  → {"account","secret":base64,"wrap"}: what opens the history, made for this once
//	app/demo  → {"allowed":bool}: whether the person may accept demo hardware; needs no key
//
// GET /api/v1/session, which the page asks first, is refused with app_key (401)
// to a page that doesn't know the key of this run, and with app_link (401) while
// the program isn't linked. So the page learns that it is the app without asking
// anything more of an ordinary site.
package ownpage

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/internal/passon"
	"github.com/sotto-chat/sotto/vault"
	"github.com/sotto-chat/sotto/web/headers"
)

// Config says what to serve and whom to ask.
type Config struct {
	// Server is the service that the page talks to.
	Server *url.URL
	// Page serves the app's files, with their headers.
	Page http.Handler
	// Key is that of this run: NewKey.
	Key string
	// Link holds the account.
	Link Link
	// Relay returns the address of the relay that the server names now, nil if it names
	// none. May be nil.
	Relay func(context.Context) (*url.URL, error)
	// Demo lets the page offer to accept demo hardware. The page is always on this
	// machine, which else is how it knows that the hardware is the person's own.
	Demo bool
}

// A Link is the program's link to an account.
type Link interface {
	// Token is that of the linked session; "" where there is none.
	Token() string
	// Ask makes an address that a person approves on a device that is signed in.
	Ask(ctx context.Context) (Offer, error)
	// Poll reports whether what Ask made was approved; from then on, there is a Token.
	Poll(ctx context.Context) (bool, error)
	// Open returns what opens the history.
	Open() (Opening, error)
	// Ended tells that the server knows the session no longer.
	Ended()
	// Forget removes what this side keeps: the person has signed out.
	Forget() error
}

// An Offer is what the person sees while the program waits to be linked.
type Offer struct {
	URL     string `json:"url"` // with a secret in its fragment
	Code    string `json:"code"`
	Expires int64  `json:"expires"` // Unix seconds
}

// An Opening opens a history, in the form that a passkey does: it is a secret. The
// page's core can open such wraps as it is, and the program's own key stays in the
// program.
type Opening struct {
	Account vault.AccountID `json:"account"`
	Secret  []byte          `json:"secret"` // in the place of a passkey's PRF output
	Wrap    vault.Wrap      `json:"wrap"`   // of kind passkey
}

// NewOpening seals the root key for one opening.
func NewOpening(root vault.RootKey, account vault.AccountID) (Opening, error) {
	random := make([]byte, 16+32)
	rand.Read(random) // never fails
	id, secret := random[:16], random[16:]
	w, err := vault.WrapPasskey(root, account, id, secret)
	return Opening{account, secret, w}, err
}

// String hides the key.
func (Opening) String() string { return "[opening secret]" }

// GoString hides the key from %#v.
func (o Opening) GoString() string { return o.String() }

// LogValue hides the key from slog.
func (o Opening) LogValue() slog.Value { return slog.StringValue(o.String()) }

// NewKey makes the key of a run: 43 characters of base64url.
func NewKey() string {
	b := make([]byte, 32)
	rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// keyHeader carries the key of the run; keyQuery does for the event stream, whose
// requests can have no header of ours.
const (
	keyHeader = "Sotto-App"
	keyQuery  = "app"
)

const maxBody = 1 << 10 // of what is asked of the program itself

type server struct {
	cfg     Config
	keyHash [sha256.Size]byte
	api     http.Handler // to the account, with the token
	sealed  http.Handler // to the gateway, with nothing
	relayed http.Handler // to the relay, with nothing
}

// New returns the handler for everything below the program's own address.
func New(cfg Config) http.Handler {
	s := &server{cfg: cfg, keyHash: sha256.Sum256([]byte(cfg.Key))}
	s.api = s.pass([]string{"application/json", "text/event-stream"}, toAccount)
	s.sealed = s.pass([]string{"application/json", "application/sotto-answer"}, toGateway)
	s.relayed = s.pass([]string{"application/json", "application/problem+json", "application/ohttp-keys", "message/ohttp-chunked-res"}, toRelay)
	return http.HandlerFunc(s.serve)
}

func (s *server) serve(w http.ResponseWriter, r *http.Request) {
	api := strings.HasPrefix(r.URL.Path, "/api/")
	sealed := strings.HasPrefix(r.URL.Path, "/sotto/") || r.URL.Path == "/api/v1/service" // which everybody may know
	relay := r.URL.Path == relayPath || r.URL.Path == relayPath+"/ohttp-keys"
	switch {
	case !ownHost(r):
		refuse(w, http.StatusMisdirectedRequest, "host", "This address is for this machine only. Open the one that sotto app printed.")
	case (api || sealed || relay) && !ownPage(r):
		refuse(w, http.StatusForbidden, "cross_origin", "Only the app itself may ask this.")
	case sealed:
		s.sealed.ServeHTTP(w, r)
	case relay && !s.knows(r):
		refuse(w, http.StatusUnauthorized, "app_key", "Open the address that sotto app printed in the terminal: it has the key to this app.")
	case relay:
		s.serveRelay(w, r)
	case r.URL.Path == "/"+headers.ServiceWorkerPath:
		// It keeps a page that a server could swap. Here it would keep the page of an
		// older program.
		refuse(w, http.StatusNotFound, "none", "The app needs no service worker.")
	case !api:
		s.cfg.Page.ServeHTTP(w, r)
	case r.URL.Path == "/api/v1/app/demo": // the page asks before it knows its key
		s.serveOwn(w, r, "demo")
	case !s.knows(r):
		refuse(w, http.StatusUnauthorized, "app_key", "Open the address that sotto app printed in the terminal: it has the key to this app.")
	default:
		s.serveAPI(w, r)
	}
}

// relayPath is where the page finds the relay: a relay lets the pages in that it
// knows, and this one has an address of its own on each machine. Which relay it wants,
// the page says, since it has compared it with the public log.
const (
	relayPath   = "/relay"
	relayHeader = "Sotto-Relay"
)

func (s *server) serveRelay(w http.ResponseWriter, r *http.Request) {
	if s.cfg.Relay == nil {
		refuse(w, http.StatusNotFound, "none", "There is no relay.")
		return
	}
	at, err := s.cfg.Relay(r.Context())
	if err != nil || at == nil || strings.TrimSuffix(at.String(), "/") != strings.TrimSuffix(r.Header.Get(relayHeader), "/") {
		refuse(w, http.StatusBadGateway, "gateway_unreachable", "The server names another relay now, or none. Try again in a moment.")
		return
	}
	s.relayed.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), relayKey{}, at)))
}

// relayKey is the context's key of the relay's address.
type relayKey struct{}

// ownHost refuses names that don't mean this machine: a site that has pointed its
// own name at 127.0.0.1 sends that name (DNS rebinding). The port has to be ours
// as well.
func ownHost(r *http.Request) bool {
	host, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		return false
	}
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		if _, own, err := net.SplitHostPort(a.String()); err != nil || own != port {
			return false
		}
	}
	if ip := net.ParseIP(host); ip != nil {
		return ip.IsLoopback()
	}
	return strings.EqualFold(host, "localhost")
}

// ownPage refuses what another site's page asks. A browser that says neither
// where a request comes from nor what kind of site that is, is none of today's.
func ownPage(r *http.Request) bool {
	if site := r.Header.Values("Sec-Fetch-Site"); len(site) > 1 || len(site) == 1 && site[0] != "same-origin" {
		return false
	}
	origin := r.Header.Values("Origin")
	return len(origin) == 0 || len(origin) == 1 && origin[0] == "http://"+r.Host
}

// knows compares the key in constant time.
func (s *server) knows(r *http.Request) bool {
	key := r.Header.Get(keyHeader)
	if key == "" {
		key = r.URL.Query().Get(keyQuery)
	}
	sum := sha256.Sum256([]byte(key))
	return subtle.ConstantTimeCompare(sum[:], s.keyHash[:]) == 1
}

func (s *server) serveAPI(w http.ResponseWriter, r *http.Request) {
	if rest, ok := strings.CutPrefix(r.URL.Path, "/api/v1/app/"); ok {
		s.serveOwn(w, r, rest)
		return
	}
	if s.cfg.Link.Token() == "" {
		refuse(w, http.StatusUnauthorized, "app_link", "This app is not linked to an account yet.")
		return
	}
	s.api.ServeHTTP(w, r)
	if r.URL.Path == "/api/v1/signout" && r.Method == http.MethodPost {
		// Whatever the server said, the person wants this program to forget. A session
		// that is left over there stands in the list of devices, and can be ended there.
		if err := s.cfg.Link.Forget(); err != nil {
			s.cfg.Link.Ended()
		}
	}
}

func (s *server) serveOwn(w http.ResponseWriter, r *http.Request, what string) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		refuse(w, http.StatusMethodNotAllowed, "malformed", "This is asked by POST.")
		return
	}
	if b, err := io.ReadAll(io.LimitReader(r.Body, maxBody)); err != nil || strings.TrimSpace(string(b)) != "{}" {
		refuse(w, http.StatusBadRequest, "malformed", "This takes {} and nothing else.")
		return
	}
	var answer any
	var err error
	switch what {
	case "link":
		answer, err = s.cfg.Link.Ask(r.Context())
	case "poll":
		var linked bool
		linked, err = s.cfg.Link.Poll(r.Context())
		answer = map[string]bool{"linked": linked}
	case "open":
		answer, err = s.cfg.Link.Open()
	case "demo":
		answer = map[string]bool{"allowed": s.cfg.Demo}
	default:
		refuse(w, http.StatusNotFound, "malformed", "There is nothing at this address.")
		return
	}
	var said *Error
	switch {
	case errors.As(err, &said):
		refuse(w, http.StatusConflict, said.Code, said.Message)
	case err != nil:
		refuse(w, http.StatusBadGateway, "app_link_failed", "Linking didn’t work: "+err.Error()+".")
	default:
		own(w.Header())
		json.NewEncoder(w).Encode(answer) // whoever has gone is told nothing
	}
}

// An Error is what a [Link] says to the person: a sentence that says what to do.
type Error struct{ Code, Message string }

func (e *Error) Error() string { return e.Message }

// own sets the headers of every answer that isn't the page.
func own(h http.Header) {
	for name, value := range map[string]string{
		"Content-Type":                 "application/json",
		"Cache-Control":                "no-store",
		"Content-Security-Policy":      "default-src 'none'; sandbox; frame-ancestors 'none'",
		"Cross-Origin-Resource-Policy": "same-origin",
		"X-Content-Type-Options":       "nosniff",
	} {
		h.Set(name, value)
	}
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	own(w.Header())
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"error": map[string]string{"code": code, "message": message}})
}

// Where requests go.
const (
	toAccount = iota
	toGateway
	toRelay
)

// pass hands requests on: with the session's token to the account, and to the gateway
// or the relay with nothing that tells whose they are.
func (s *server) pass(kinds []string, to int) http.Handler {
	account := to == toAccount
	p := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			kept := http.Header{}
			if v := r.In.Header.Get("Content-Type"); v != "" {
				kept.Set("Content-Type", v)
			}
			kept.Set("User-Agent", "") // an empty value keeps net/http from adding its own
			if to == toGateway {       // what pays for a message, and says nothing of who does
				for _, name := range []string{"Authorization", "Sotto-Holder", "Sotto-Refund"} {
					// Nothing but a token: a browser may add what it knows of this address.
					if v := r.In.Header.Get(name); v != "" && (name != "Authorization" || strings.HasPrefix(v, "PrivateToken ")) {
						kept.Set(name, v)
					}
				}
			}
			if account {
				kept.Set("Authorization", "Sotto "+s.cfg.Link.Token())
			}
			r.Out.Header = kept
			if at, ok := r.In.Context().Value(relayKey{}).(*url.URL); ok && to == toRelay {
				r.Out.URL = at.JoinPath(strings.TrimPrefix(r.In.URL.Path, relayPath))
				r.Out.Host = at.Host
				return
			}
			r.SetURL(s.cfg.Server)
			q := r.Out.URL.Query()
			q.Del(keyQuery)
			r.Out.URL.RawQuery = q.Encode()
		},
		FlushInterval: -1,
		ModifyResponse: func(r *http.Response) error {
			kind := r.Header.Get("Content-Type")
			wanted := kind == "" && r.StatusCode == http.StatusNoContent
			for _, k := range kinds {
				wanted = wanted || kind == k
			}
			if !wanted || r.StatusCode < 200 || r.StatusCode >= 300 && r.StatusCode < 400 {
				return errors.New("not an answer that the page asks for")
			}
			kept := http.Header{}
			own(kept)
			kept.Del("Content-Type")
			for _, name := range []string{"Content-Type", "Content-Length", "Retry-After"} {
				if v := r.Header.Get(name); v != "" {
					kept.Set(name, v)
				}
			}
			if account && r.StatusCode == http.StatusUnauthorized {
				s.cfg.Link.Ended()
				kept.Del("Content-Length")
				r.Body.Close()
				r.Body = io.NopCloser(strings.NewReader(`{"error":{"code":"app_link","message":"This app is no longer linked to an account."}}`))
				r.ContentLength = -1
			}
			r.Header, r.Trailer = kept, nil
			return nil
		},
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			w.Header().Set("Connection", "close") // the rest of the request may still be on its way
			refuse(w, http.StatusBadGateway, "no_server", "The server can’t be reached. Try again in a moment.")
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// HTTP/1 would otherwise read the whole request before an answer's first byte.
		http.NewResponseController(w).EnableFullDuplex()
		p.ServeHTTP(passon.AnswerOnly(w), r)
	})
}

// Server returns an HTTP server for h with the times that a page on the same
// machine needs. Answers take as long as a model does.
func Server(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
}
