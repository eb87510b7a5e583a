// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package account

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/store"
	"github.com/sotto-chat/sotto/vault"
)

const testOrigin = "http://localhost:8787"

// world is a server with its database, and a clock that tests can move.
type world struct {
	t    testing.TB
	srv  *Server
	db   *store.DB
	path string
	http *httptest.Server
	at   time.Time
}

func newWorld(t testing.TB) *world { return newWorldOf(t, Config{}) }

// newWorldOf makes a world of a configuration without store and origin.
func newWorldOf(t testing.TB, c Config) *world {
	t.Helper()
	w := &world{t: t, path: filepath.Join(t.TempDir(), "account.db"), at: time.Now()}
	var err error
	if w.db, err = store.Open(context.Background(), w.path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.db.Close() })
	c.Store, c.Origin = w.db, testOrigin
	if w.srv, err = New(c); err != nil {
		t.Fatal(err)
	}
	w.srv.now = func() time.Time { return w.at }
	w.http = httptest.NewServer(w.srv.Handler())
	t.Cleanup(func() { w.srv.Close(); w.http.Close() })
	return w
}

// device is a browser or terminal that talks to the server.
type device struct {
	*world
	cookie  *http.Cookie
	token   string
	headers map[string]string
	account vault.AccountID
	root    vault.RootKey
}

func (w *world) device() *device { return &device{world: w} }

func (d *device) request(method, path string, body any) *http.Response {
	d.t.Helper()
	var r io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		r = bytes.NewReader([]byte(b))
	default:
		encoded, err := json.Marshal(b)
		if err != nil {
			d.t.Fatal(err)
		}
		r = bytes.NewReader(encoded)
	}
	req, err := http.NewRequest(method, d.http.URL+"/api/v1/"+path, r)
	if err != nil {
		d.t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for k, v := range d.headers {
		req.Header.Set(k, v)
	}
	if d.cookie != nil {
		req.AddCookie(d.cookie)
	}
	if d.token != "" {
		req.Header.Set("Authorization", "Sotto "+d.token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, c := range resp.Cookies() {
		if c.Name == cookieName {
			d.cookie = c
			if c.MaxAge < 0 {
				d.cookie = nil
			}
		}
	}
	return resp
}

// do makes a request that must succeed, and decodes its answer into out.
func (d *device) do(method, path string, body, out any) {
	d.t.Helper()
	status, code := d.try(method, path, body, out)
	if code != "" {
		d.t.Fatalf("%s %s: %d %s", method, path, status, code)
	}
}

// try makes a request and returns the status and the code of its failure.
func (d *device) try(method, path string, body, out any) (status int, code string) {
	d.t.Helper()
	resp := d.request(method, path, body)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	if resp.StatusCode >= 400 {
		var e struct {
			Error struct{ Code, Message string }
		}
		if err := json.Unmarshal(b, &e); err != nil || e.Error.Message == "" {
			d.t.Fatalf("%s %s: %d with body %q", method, path, resp.StatusCode, b)
		}
		return resp.StatusCode, e.Error.Code
	}
	if out != nil {
		if err := json.Unmarshal(b, out); err != nil {
			d.t.Fatalf("%s %s: %v in %q", method, path, err, b)
		}
	}
	return resp.StatusCode, ""
}

// fails makes a request that must fail so.
func (d *device) fails(status int, code, method, path string, body any) {
	d.t.Helper()
	if s, c := d.try(method, path, body, nil); s != status || c != code {
		d.t.Errorf("%s %s: %d %q, want %d %q", method, path, s, c, status, code)
	}
}

type beginAnswer struct {
	Account   vault.AccountID `json:"account"`
	PublicKey json.RawMessage `json:"publicKey"`
}

// signUp makes an account as a page does.
func (d *device) signUp(a *authenticator) vault.RecoveryKey {
	d.t.Helper()
	var begin beginAnswer
	d.do("POST", "signup/begin", map[string]any{}, &begin)
	credential := a.create(begin.PublicKey)
	d.account, d.root = begin.Account, vault.NewRootKey()
	recovery := vault.NewRecoveryKey()
	d.do("POST", "signup/finish", map[string]any{
		"credential": credential,
		"wraps":      []vault.Wrap{d.passkeyWrap(a), must(vault.WrapRecovery(d.root, d.account, recovery))},
		"label":      vault.SealLabel(d.root, d.account, "Firefox at home"),
	}, nil)
	return recovery
}

func (d *device) passkeyWrap(a *authenticator) vault.Wrap {
	return must(vault.WrapPasskey(d.root, d.account, a.id, a.prf(vault.PRFInput())))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

type signInAnswer struct {
	Account vault.AccountID
	Session sessionInfo
	Wraps   []vault.Wrap
}

func (d *device) signIn(a *authenticator) signInAnswer {
	d.t.Helper()
	var begin beginAnswer
	d.do("POST", "signin/begin", map[string]any{}, &begin)
	var in signInAnswer
	d.do("POST", "signin/finish", map[string]any{"credential": a.get(begin.PublicKey)}, &in)
	return in
}

func (d *device) unlock(in signInAnswer, a *authenticator) {
	d.t.Helper()
	for _, w := range in.Wraps {
		if w.Kind == vault.KindPasskey && w.Ref == b64(a.id) {
			d.account = in.Account
			d.root = must(vault.UnwrapPasskey(w, in.Account, a.prf(vault.PRFInput())))
			return
		}
	}
	d.t.Fatal("no wrap for this passkey")
}

func TestSignUpAndSignInOnASecondDevice(t *testing.T) {
	w := newWorld(t)
	phone, laptop := w.device(), w.device()
	passkey := newAuthenticator(t, testOrigin)
	phone.fails(401, "signed_out", "GET", "session", nil)
	phone.signUp(passkey)
	if c := phone.cookie; c == nil {
		t.Fatal("no cookie")
	}
	var session signInAnswer
	phone.do("GET", "session", nil, &session)
	if len(session.Wraps) != 2 || session.Account != phone.account || session.Session.Kind != "browser" || !session.Session.Current {
		t.Errorf("session: %+v", session)
	}
	laptop.unlock(laptop.signIn(passkey), passkey)
	name, err := vault.OpenLabel(laptop.root, laptop.account, session.Session.Label)
	if err != nil || name != "Firefox at home" {
		t.Errorf("label %q, %v", name, err)
	}

	// Write on one device, read on the other.
	r := vault.NewReplica(phone.root, phone.account, vault.NewDeviceID())
	chat := vault.NewID()
	must(r.AddMessage(vault.Message{Chat: chat, Role: "user", Text: "hello"}))
	var answer postAnswer
	phone.do("POST", "feed", map[string]any{"entries": r.Pending(), "known": r.Head()}, &answer)
	if entries := must(r.Acked(r.Pending(), answer.Seqs, answer.Head)); len(entries) != 1 {
		t.Errorf("%d entries to store, want 1", len(entries))
	}
	other := vault.NewReplica(laptop.root, laptop.account, vault.NewDeviceID())
	var page vault.Page
	laptop.do("GET", "feed?since=0", nil, &page)
	if err := other.Apply(page); err != nil {
		t.Fatal(err)
	}
	if m := other.Messages(chat); len(m) != 1 || m[0].Text != "hello" {
		t.Errorf("messages on the other device: %v", m)
	}

	laptop.do("POST", "signout", map[string]any{}, nil)
	laptop.fails(401, "signed_out", "GET", "session", nil)
	phone.do("GET", "session", nil, nil)
}

func TestPasskeyAttacks(t *testing.T) {
	w := newWorld(t)
	home := w.device()
	passkey := newAuthenticator(t, testOrigin)
	home.signUp(passkey)

	signIn := func(change func(*authenticator)) (int, string) {
		t.Helper()
		a := *passkey
		change(&a)
		d := w.device()
		var begin beginAnswer
		d.do("POST", "signin/begin", map[string]any{}, &begin)
		status, code := d.try("POST", "signin/finish", map[string]any{"credential": a.get(begin.PublicKey)}, nil)
		if code != "" && d.cookie != nil {
			t.Error("refused, and signed in all the same")
		}
		if code == "" {
			passkey.counter = a.counter
		}
		return status, code
	}
	for _, tt := range []struct {
		name   string
		change func(*authenticator)
		status int
		code   string
	}{
		{"honest", func(*authenticator) {}, 200, ""},
		{"wrong origin", func(a *authenticator) { a.origin = "http://localhost.evil.example" }, 403, "passkey_refused"},
		{"other port", func(a *authenticator) { a.origin = "http://localhost:9999" }, 403, "passkey_refused"},
		{"wrong relying party", func(a *authenticator) { a.rpID = "evil.example" }, 403, "passkey_refused"},
		{"person not verified", func(a *authenticator) { a.flags = flagPresent }, 403, "passkey_refused"},
		{"another key", func(a *authenticator) { a.key = newAuthenticator(t, "").key }, 403, "passkey_refused"},
		{"unknown passkey", func(a *authenticator) { a.id = []byte("no such credential") }, 403, "passkey_unknown"},
		{"unknown account", func(a *authenticator) { a.handle = make([]byte, 16) }, 403, "passkey_unknown"},
		{"handle of another form", func(a *authenticator) { a.handle = []byte("anna") }, 403, "passkey_unknown"},
		{"prf output sent along", func(a *authenticator) { a.leak = true }, 422, "prf_leaked"},
		{"honest again", func(*authenticator) {}, 200, ""},
		{"counter went back", func(a *authenticator) { a.counter = 0 }, 403, "passkey_copied"},
	} {
		if status, code := signIn(tt.change); status != tt.status || code != tt.code {
			t.Errorf("%s: %d %q, want %d %q", tt.name, status, code, tt.status, tt.code)
		}
	}

	// A credential works once, and only for what its challenge was made for.
	d := w.device()
	var begin beginAnswer
	d.do("POST", "signin/begin", map[string]any{}, &begin)
	credential := passkey.get(begin.PublicKey)
	d.do("POST", "signin/finish", map[string]any{"credential": credential}, nil)
	d.fails(409, "ceremony_expired", "POST", "signin/finish", map[string]any{"credential": credential})
	d.do("POST", "signup/begin", map[string]any{}, &begin)
	d.fails(409, "ceremony_expired", "POST", "signin/finish", map[string]any{"credential": passkey.get(begin.PublicKey)})
	d.do("POST", "signin/begin", map[string]any{}, &begin)
	w.at = w.at.Add(ceremonyLife + time.Second)
	d.fails(409, "ceremony_expired", "POST", "signin/finish", map[string]any{"credential": passkey.get(begin.PublicKey)})
}

func TestSignUpRefusals(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		name   string
		change func(*authenticator)
		wraps  func(*device, *authenticator) []vault.Wrap
		status int
		code   string
	}{
		{"no wraps", nil, func(*device, *authenticator) []vault.Wrap { return nil }, 422, "wraps_missing"},
		{"one wrap", nil, func(d *device, a *authenticator) []vault.Wrap { return []vault.Wrap{d.passkeyWrap(a)} }, 422, "wraps_missing"},
		{"no recovery key", nil, func(d *device, a *authenticator) []vault.Wrap {
			return []vault.Wrap{d.passkeyWrap(a), d.passkeyWrap(a)}
		}, 422, "wraps_missing"},
		{"wrap of another passkey", nil, func(d *device, a *authenticator) []vault.Wrap {
			return []vault.Wrap{
				must(vault.WrapPasskey(d.root, d.account, []byte("other"), make([]byte, 32))),
				must(vault.WrapRecovery(d.root, d.account, vault.NewRecoveryKey())),
			}
		}, 422, "wrap_refused"},
		{"wrap that never opens", nil, func(d *device, a *authenticator) []vault.Wrap {
			broken := d.passkeyWrap(a)
			broken.Data = broken.Data[1:]
			return []vault.Wrap{broken, must(vault.WrapRecovery(d.root, d.account, vault.NewRecoveryKey()))}
		}, 422, "wrap_refused"},
		{"wrong origin", func(a *authenticator) { a.origin = "https://evil.example" }, nil, 403, "passkey_refused"},
		{"wrong relying party", func(a *authenticator) { a.rpID = "evil.example" }, nil, 403, "passkey_refused"},
		{"prf output sent along", func(a *authenticator) { a.leak = true }, nil, 422, "prf_leaked"},
		{"honest", nil, nil, 200, ""},
	} {
		d, a := w.device(), newAuthenticator(t, testOrigin)
		if tt.change != nil {
			tt.change(a)
		}
		var begin beginAnswer
		d.do("POST", "signup/begin", map[string]any{}, &begin)
		credential := a.create(begin.PublicKey)
		d.account, d.root = begin.Account, vault.NewRootKey()
		wraps := []vault.Wrap{d.passkeyWrap(a), must(vault.WrapRecovery(d.root, d.account, vault.NewRecoveryKey()))}
		if tt.wraps != nil {
			wraps = tt.wraps(d, a)
		}
		status, code := d.try("POST", "signup/finish", map[string]any{"credential": credential, "wraps": wraps}, nil)
		if status != tt.status || code != tt.code {
			t.Errorf("%s: %d %q, want %d %q", tt.name, status, code, tt.status, tt.code)
		}
		if code != "" {
			if _, err := w.db.Head(context.Background(), begin.Account); err == nil {
				t.Errorf("%s: the account exists", tt.name)
			}
		}
	}
}
