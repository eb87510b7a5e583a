// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package account

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/internal/lines"
	"github.com/sotto-chat/sotto/store"
	"github.com/sotto-chat/sotto/vault"
)

const (
	maxBody     = 64 << 10
	maxFeedBody = 24 << 20

	// A body must arrive within bodyTime plus a second for each bodyRate bytes.
	bodyTime = 30 * time.Second
	bodyRate = 32 << 10

	cookieName = "sotto_session"
	// secureCookieName is one that a browser takes only over TLS and from this
	// very host: a neighbour on another subdomain can't set it, and so can't
	// have a person use a session that isn't theirs.
	secureCookieName = "__Host-sotto_session"

	authScheme   = "Sotto "
	tokenSize    = 32
	labelSize    = 113 // what vault.SealLabel makes
	cookieMaxAge = store.SessionLife * 24 * 60 * 60
)

// routes puts the whole interface together. See the package comment.
func (s *Server) routes() (http.Handler, error) {
	mux := http.NewServeMux()
	open := func(pattern string, f handlerFunc) { mux.Handle(pattern, s.serve(f)) }
	signedIn := func(pattern string, f sessionFunc) { mux.Handle(pattern, s.serve(s.withSession(f))) }
	browser := func(pattern string, f sessionFunc) { mux.Handle(pattern, s.serve(s.withSession(browserOnly(f)))) }

	open("POST /api/v1/signup/begin", s.signUpBegin)
	open("POST /api/v1/signup/finish", s.signUpFinish)
	open("POST /api/v1/signin/begin", s.signInBegin)
	open("POST /api/v1/signin/finish", s.signInFinish)
	open("POST /api/v1/recover/begin", s.recoverBegin)
	open("POST /api/v1/recover/finish", s.recoverFinish)

	signedIn("GET /api/v1/session", s.getSession)
	signedIn("POST /api/v1/signout", s.signOut)
	signedIn("GET /api/v1/sessions", s.getSessions)
	signedIn("PUT /api/v1/sessions/{id}/label", s.labelSession)
	signedIn("DELETE /api/v1/sessions/{id}", s.deleteSession)

	signedIn("GET /api/v1/passkeys", s.getPasskeys)
	browser("POST /api/v1/passkeys/begin", s.addPasskeyBegin)
	browser("POST /api/v1/passkeys/finish", s.addPasskeyFinish)
	browser("PUT /api/v1/passkeys/{id}/label", s.labelPasskey)
	browser("DELETE /api/v1/passkeys/{id}", s.deletePasskey)
	signedIn("GET /api/v1/wraps", s.getWraps)
	browser("PUT /api/v1/wraps/{id}", s.putWrap)
	browser("DELETE /api/v1/wraps/{id}", s.deleteWrap)

	signedIn("GET /api/v1/feed", s.getFeed)
	signedIn("POST /api/v1/feed", s.postFeed)
	signedIn("GET /api/v1/feed/stream", s.streamFeed)

	open("POST /api/v1/links", s.newLink)
	signedIn("GET /api/v1/links/{id}", s.getLink)
	browser("POST /api/v1/links/{id}/approve", s.approveLink)
	open("POST /api/v1/links/{id}/poll", s.pollLink)

	open("GET /api/v1/service", s.getService)
	signedIn("GET /api/v1/plan", s.getPlan)
	signedIn("POST /api/v1/plan/voucher", s.redeemVoucher)
	signedIn("POST /api/v1/plan/checkout", s.checkout)
	signedIn("POST /api/v1/plan/portal", s.portal)
	open("POST /api/v1/stripe/webhook", s.stripeWebhook)
	signedIn("POST /api/v1/tokens", s.postTokens)
	open("POST /api/v1/guest/tokens", s.postGuestTokens)

	browser("DELETE /api/v1/account", s.deleteAccount)
	open("/", func(*http.Request) (any, error) { return nil, errNoRoute })

	cross := http.NewCrossOriginProtection()
	if err := cross.AddTrustedOrigin(s.origin); err != nil {
		return nil, err
	}
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { writeProblem(w, errCrossOrigin, 0) }))
	return cross.Handler(mux), nil
}

// handlerFunc answers a request with a document, or nil for 204. What needs more
// than that, a cookie say, returns a *reply.
type handlerFunc func(*http.Request) (any, error)

// sessionFunc is a handlerFunc of somebody who is signed in.
type sessionFunc func(*http.Request, store.Session) (any, error)

// reply is an answer with more than a document.
type reply struct {
	status int // 200 when 0
	cookie *http.Cookie
	body   any
	// stream writes the answer by itself, when set.
	stream func(http.ResponseWriter) error
}

func (s *Server) serve(f handlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("X-Content-Type-Options", "nosniff")
		if wait := s.limits.Take(s.address(r), costOf(r)); wait > 0 {
			writeProblem(w, errSlowDown, wait)
			return
		}
		if r.ContentLength != 0 {
			// Who sends slowly holds a connection, and what has come, for so long.
			// A ResponseWriter without deadlines belongs to a test.
			size := min(max(r.ContentLength, 0), maxFeedBody)
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime + time.Duration(size/bodyRate)*time.Second))
		}
		body, err := f(r)
		if err == nil {
			err = writeReply(w, body)
		}
		if err == nil {
			return
		}
		p := public(err)
		if p == errInternal && r.Context().Err() == nil {
			// The route is a pattern of ours and says nothing about the person.
			s.log.Error("account: request failed", lines.Route(r), lines.Cause(err))
		}
		var used *usedUp
		if errors.As(err, &used) {
			writeUsedUp(w, used)
			return
		}
		writeProblem(w, p, 0)
	})
}

func writeReply(w http.ResponseWriter, body any) error {
	status := http.StatusOK
	if rep, ok := body.(*reply); ok {
		if rep.stream != nil {
			return rep.stream(w)
		}
		if rep.cookie != nil {
			http.SetCookie(w, rep.cookie)
		}
		if rep.status != 0 {
			status = rep.status
		}
		body = rep.body
	}
	if body == nil {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	encoded, err := json.Marshal(body)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(encoded)))
	w.WriteHeader(status)
	w.Write(encoded) // who left needs no answer
	return nil
}

func writeProblem(w http.ResponseWriter, p *problem, wait time.Duration) {
	if wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	}
	writeFailure(w, p, nil)
}

// writeUsedUp answers with a problem and with what the plan gives.
func writeUsedUp(w http.ResponseWriter, u *usedUp) { writeFailure(w, u.problem, &u.allowance) }

func writeFailure(w http.ResponseWriter, p *problem, a *Allowance) {
	type detail struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	encoded, err := json.Marshal(struct {
		Error     detail     `json:"error"`
		Allowance *Allowance `json:"allowance,omitempty"`
	}{detail{p.code, p.message}, a})
	if err != nil {
		panic("account: internal error: " + err.Error())
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "application/json")
	w.WriteHeader(p.status)
	w.Write(encoded)
}

// read decodes a request's body strictly into v, a pointer to a struct: no
// unknown field, nothing after it, no more than limit bytes.
func read(r *http.Request, limit int64, v any) error {
	b, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, limit))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return errTooLarge
	}
	if err != nil {
		return errMalformed
	}
	if len(b) == 0 {
		b = []byte("{}")
	} else if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return errMalformed
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return errMalformed
	}
	if _, err := d.Token(); err != io.EOF {
		return errMalformed
	}
	return nil
}

// pathID reads the {id} of a route.
func pathID(r *http.Request, otherwise *problem) (vault.RecordID, error) {
	id, err := vault.ParseRecordID(r.PathValue("id"))
	if err != nil {
		return id, otherwise
	}
	return id, nil
}

// withSession finds the session of a request.
func (s *Server) withSession(f sessionFunc) handlerFunc {
	return func(r *http.Request) (any, error) {
		session, err := s.session(r)
		if err != nil {
			return nil, err
		}
		return f(r, session)
	}
}

func (s *Server) session(r *http.Request) (store.Session, error) {
	token, ok := s.requestToken(r)
	if !ok {
		return store.Session{}, errSignedOut
	}
	session, err := s.store.Session(r.Context(), sha256.Sum256(token), s.today())
	return session, translate(err, accountGone)
}

// requestToken returns the token of a request. It is looked up by its hash, so
// neither the database nor the time of the look-up tells anything about it.
func (s *Server) requestToken(r *http.Request) ([]byte, bool) {
	text := ""
	if a := r.Header.Get("Authorization"); a != "" {
		after, ok := strings.CutPrefix(a, authScheme)
		if !ok {
			return nil, false
		}
		text = after
	} else if c, err := r.Cookie(s.cookieName()); err == nil {
		text = c.Value
	}
	token, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(token) != tokenSize {
		return nil, false
	}
	return token, true
}

func browserOnly(f sessionFunc) sessionFunc {
	return func(r *http.Request, s store.Session) (any, error) {
		if s.Kind != store.Browser {
			return nil, errBrowserOnly
		}
		return f(r, s)
	}
}

func (s *Server) today() store.Day { return store.DayOf(s.now()) }

// newSession makes a token and the session that it stands for.
func (s *Server) newSession(kind string, label []byte) (token string, n store.NewSession) {
	b := make([]byte, tokenSize)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b), store.NewSession{
		ID: vault.NewRecordID(), Hash: sha256.Sum256(b), Kind: kind, Label: label, Day: s.today(),
	}
}

func (s *Server) cookieName() string {
	if s.secure {
		return secureCookieName
	}
	return cookieName
}

func (s *Server) cookie(token string) *http.Cookie {
	c := &http.Cookie{
		Name: s.cookieName(), Value: token, Path: "/", MaxAge: cookieMaxAge,
		HttpOnly: true, Secure: s.secure, SameSite: http.SameSiteStrictMode,
	}
	if token == "" {
		c.MaxAge = -1
	}
	return c
}

// checkLabel takes a sealed label or none. A text that somebody could read is
// refused: names are not for this server.
func checkLabel(label []byte) error {
	if len(label) != 0 && (len(label) != labelSize || label[0] != 1) {
		return errMalformed
	}
	return nil
}
