// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package account

import (
	"bytes"
	"database/sql"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/internal/lines"
	"github.com/sotto-chat/sotto/store"
	"github.com/sotto-chat/sotto/vault"
)

type dbFile struct {
	name string
	data []byte
}

// files returns the bytes of the database and of all files beside it.
func (w *world) files() (list []dbFile) {
	w.t.Helper()
	names, err := filepath.Glob(w.path + "*")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			w.t.Fatal(err)
		}
		list = append(list, dbFile{filepath.Base(name), data})
	}
	return list
}

func TestRecoveryKeySignsIn(t *testing.T) {
	w := newWorld(t)
	d := w.device()
	recovery := d.signUp(newAuthenticator(t, testOrigin))
	begin := func(e *device, id vault.RecordID) []byte {
		t.Helper()
		var a struct{ Challenge []byte }
		e.do("POST", "recover/begin", map[string]any{"recovery_id": id}, &a)
		return a.Challenge
	}
	finish := func(id vault.RecordID, challenge, signature []byte) map[string]any {
		return map[string]any{"recovery_id": id, "challenge": challenge, "signature": signature}
	}
	e := w.device()
	challenge := begin(e, recovery.ID())
	var in signInAnswer
	e.do("POST", "recover/finish", finish(recovery.ID(), challenge, recovery.SignIn(testOrigin, challenge)), &in)
	i := slices.IndexFunc(in.Wraps, func(w vault.Wrap) bool { return w.Kind == vault.KindRecovery })
	if in.Account != d.account || i < 0 {
		t.Fatalf("signed in: %+v", in)
	}
	if _, err := vault.UnwrapRecovery(in.Wraps[i], in.Account, recovery); err != nil {
		t.Error(err)
	}
	e.do("GET", "session", nil, nil)

	stranger := vault.NewRecoveryKey()
	for _, tt := range []struct {
		name   string
		key    vault.RecoveryKey
		id     vault.RecordID
		origin string
		status int
		code   string
	}{
		{"unknown key", stranger, stranger.ID(), testOrigin, 403, "recovery_refused"},
		{"another key's signature", stranger, recovery.ID(), testOrigin, 403, "recovery_refused"},
		{"signed for another site", recovery, recovery.ID(), "https://evil.example", 403, "recovery_refused"},
	} {
		f := w.device()
		challenge := begin(f, tt.id)
		f.fails(tt.status, tt.code, "POST", "recover/finish", finish(tt.id, challenge, tt.key.SignIn(tt.origin, challenge)))
		f.fails(401, "signed_out", "GET", "session", nil)
		// A challenge is good for one try only.
		f.fails(409, "ceremony_expired", "POST", "recover/finish", finish(tt.id, challenge, recovery.SignIn(testOrigin, challenge)))
	}
	f := w.device()
	challenge = begin(f, stranger.ID()) // begun for another key
	f.fails(403, "recovery_refused", "POST", "recover/finish", finish(recovery.ID(), challenge, recovery.SignIn(testOrigin, challenge)))
	f.fails(409, "ceremony_expired", "POST", "recover/finish", finish(recovery.ID(), make([]byte, 32), recovery.SignIn(testOrigin, make([]byte, 32))))
}

func TestPasskeysAndWrapsKeepAWayIn(t *testing.T) {
	w := newWorld(t)
	d := w.device()
	first, second := newAuthenticator(t, testOrigin), newAuthenticator(t, testOrigin)
	recovery := d.signUp(first)
	d.fails(409, "last_way_in", "DELETE", "passkeys/"+b64(first.id), nil)

	var begin beginAnswer
	d.do("POST", "passkeys/begin", map[string]any{}, &begin)
	if !bytes.Contains(begin.PublicKey, []byte(b64(first.id))) {
		t.Error("the passkey that exists is not excluded")
	}
	credential := second.create(begin.PublicKey)
	if string(second.handle) != string(d.account[:]) {
		t.Error("the second passkey is for another user")
	}
	d.fails(422, "wrap_refused", "POST", "passkeys/finish", map[string]any{"credential": credential, "wrap": d.passkeyWrap(first)})
	d.do("POST", "passkeys/begin", map[string]any{}, &begin)
	var added struct{ Passkey passkeyInfo }
	d.do("POST", "passkeys/finish", map[string]any{
		"credential": second.create(begin.PublicKey), "wrap": d.passkeyWrap(second), "label": vault.SealLabel(d.root, d.account, "key ring"),
	}, &added)
	if added.Passkey.ID != b64(second.id) || !added.Passkey.Wrapped {
		t.Errorf("added %+v", added.Passkey)
	}
	e := w.device()
	e.unlock(e.signIn(second), second)

	var list struct{ Passkeys []passkeyInfo }
	if d.do("GET", "passkeys", nil, &list); len(list.Passkeys) != 2 {
		t.Errorf("passkeys %+v", list)
	}
	d.do("PUT", "passkeys/"+b64(second.id)+"/label", map[string]any{"label": vault.SealLabel(d.root, d.account, "blue key ring")}, nil)
	d.fails(400, "malformed", "PUT", "passkeys/"+b64(second.id)+"/label", map[string]any{"label": []byte("Anna's key ring")})
	d.do("DELETE", "passkeys/"+b64(first.id), nil, nil)
	d.fails(404, "passkey_unknown", "DELETE", "passkeys/"+b64(first.id), nil)
	d.fails(409, "last_way_in", "DELETE", "passkeys/"+b64(second.id), nil)
	var start beginAnswer
	w.device().do("POST", "signin/begin", map[string]any{}, &start)
	w.device().fails(403, "passkey_unknown", "POST", "signin/finish", map[string]any{"credential": first.get(start.PublicKey)})

	// A new kit: the new wrap first, then the old one goes.
	var wraps struct{ Wraps []vault.Wrap }
	d.do("GET", "wraps", nil, &wraps)
	if len(wraps.Wraps) != 2 {
		t.Fatalf("%d wraps", len(wraps.Wraps))
	}
	old := wraps.Wraps[slices.IndexFunc(wraps.Wraps, func(w vault.Wrap) bool { return w.Ref == recovery.ID().String() })]
	d.fails(409, "last_way_in", "DELETE", "wraps/"+old.ID.String(), nil)
	kit := vault.NewRecoveryKey()
	fresh := must(vault.WrapRecovery(d.root, d.account, kit))
	d.do("PUT", "wraps/"+fresh.ID.String(), fresh, nil)
	d.do("DELETE", "wraps/"+old.ID.String(), nil, nil)
	d.fails(404, "wrap_unknown", "DELETE", "wraps/"+old.ID.String(), nil)
	d.fails(400, "malformed", "PUT", "wraps/"+old.ID.String(), fresh)
	// In its place, a wrap that leaves no recovery key.
	phrase := must(vault.WrapPassphrase(d.root, d.account, "a long enough one"))
	phrase.ID = fresh.ID
	d.fails(409, "last_way_in", "PUT", "wraps/"+fresh.ID.String(), phrase)
	ghost := must(vault.WrapPasskey(d.root, d.account, []byte("no such passkey"), make([]byte, 32)))
	d.fails(422, "wrap_refused", "PUT", "wraps/"+ghost.ID.String(), ghost)
	// Nobody can take another's recovery id, or answer another's challenge.
	thief := w.device()
	thief.signUp(newAuthenticator(t, testOrigin))
	d.do("POST", "passkeys/begin", nil, &begin)
	thief.fails(409, "ceremony_expired", "POST", "passkeys/finish", map[string]any{"credential": newAuthenticator(t, testOrigin).create(begin.PublicKey)})
	stolen := must(vault.WrapRecovery(thief.root, thief.account, kit))
	thief.fails(422, "wrap_refused", "PUT", "wraps/"+stolen.ID.String(), stolen)
	// Nor another's passkeys, wraps and sessions.
	thief.fails(404, "passkey_unknown", "DELETE", "passkeys/"+b64(second.id), nil)
	thief.fails(404, "wrap_unknown", "DELETE", "wraps/"+fresh.ID.String(), nil)
	var session signInAnswer
	d.do("GET", "session", nil, &session)
	thief.fails(404, "session_unknown", "DELETE", "sessions/"+session.Session.ID.String(), nil)
}

func TestSessionsEnd(t *testing.T) {
	w := newWorld(t)
	d := w.device()
	d.signUp(newAuthenticator(t, testOrigin))
	seen := func() string {
		var a signInAnswer
		d.do("GET", "session", nil, &a)
		return a.Session.Seen.String()
	}
	if got, want := seen(), w.at.UTC().Format(time.DateOnly); got != want {
		t.Errorf("seen %s, want %s", got, want)
	}
	w.at = w.at.Add(50 * 24 * time.Hour)
	seen()
	w.at = w.at.Add(50 * 24 * time.Hour)
	if got, want := seen(), w.at.UTC().Format(time.DateOnly); got != want {
		t.Errorf("seen %s, want %s", got, want)
	}
	w.at = w.at.Add((store.SessionLife + 1) * 24 * time.Hour)
	d.fails(401, "signed_out", "GET", "session", nil)
	for _, c := range []string{"", "x", b64(make([]byte, 32)), b64(make([]byte, 31))} {
		d.cookie = &http.Cookie{Name: cookieName, Value: c}
		d.fails(401, "signed_out", "GET", "session", nil)
	}
	d.cookie = nil
	d.headers = map[string]string{"Authorization": "Bearer " + b64(make([]byte, 32))}
	d.fails(401, "signed_out", "GET", "session", nil)
}

func TestOtherSitesAreRefused(t *testing.T) {
	d := signedUp(t)
	if c := d.cookie; !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Secure {
		t.Errorf("cookie %+v", c)
	}
	for _, h := range []map[string]string{
		{"Sec-Fetch-Site": "cross-site"},
		{"Sec-Fetch-Site": "same-site"}, // another port of localhost
		{"Origin": "https://evil.example"},
		{"Origin": "null"},
	} {
		d.headers = h
		d.fails(403, "cross_origin", "POST", "signout", map[string]any{})
		d.fails(403, "cross_origin", "DELETE", "account", nil)
		d.fails(403, "cross_origin", "POST", "signin/begin", nil)
	}
	for _, h := range []map[string]string{{"Sec-Fetch-Site": "same-origin"}, {"Origin": testOrigin}} {
		d.headers = h
		d.do("POST", "signin/begin", nil, nil)
	}
	d.headers = map[string]string{"Content-Type": "text/plain"}
	d.fails(400, "malformed", "POST", "recover/begin", `{"recovery_id":"00000000000000000000000000000000"}`)
	d.headers = nil
	resp := d.request("GET", "session", nil)
	resp.Body.Close()
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "Cross-Origin-Resource-Policy": "same-origin", "X-Content-Type-Options": "nosniff", "Content-Type": "application/json",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	d.fails(404, "no_route", "GET", "nothing", nil)
}

func TestSecureCookieOnHTTPS(t *testing.T) {
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "a.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s, err := New(Config{Store: db, Origin: "https://sotto.example"})
	if err != nil {
		t.Fatal(err)
	}
	c := s.cookie("x")
	if !c.Secure || c.Path != "/" || c.Domain != "" || c.Name != "__Host-sotto_session" {
		t.Errorf("cookie %v can come from elsewhere", c)
	}
	token := strings.Repeat("A", 43)
	for name, want := range map[string]bool{"__Host-sotto_session": true, "sotto_session": false} {
		r := httptest.NewRequest("GET", "/api/v1/session", nil)
		r.AddCookie(&http.Cookie{Name: name, Value: token})
		if _, ok := s.requestToken(r); ok != want {
			t.Errorf("the cookie %s counts: %v", name, ok)
		}
	}
	for _, origin := range []string{"", "sotto.example", "http://sotto.example", "http://127.0.0.1:8787", "https://1.2.3.4", "http://[::1]:1", "https://sotto.example/", "https://Sotto.example", "file:///x"} {
		if _, err := New(Config{Store: db, Origin: origin}); err == nil {
			t.Errorf("origin %q was taken", origin)
		}
	}
	for _, origin := range []string{"http://localhost:8787", "http://localhost", "http://sotto.localhost:1", "https://sotto.example:444"} {
		if _, err := New(Config{Store: db, Origin: origin}); err != nil {
			t.Error(err)
		}
	}
}

func TestRateLimits(t *testing.T) {
	l := newLimits()
	n := 0
	for l.Take("192.0.2.1", knockCost) == 0 {
		n++
	}
	if n < bucketSize/knockCost || n > bucketSize/knockCost+5 { // the bucket fills meanwhile
		t.Errorf("%d at once", n)
	}

	d := newWorld(t).device()
	d.srv.address = func(*http.Request) string { return "192.0.2.9" }
	for {
		resp := d.request("POST", "signin/begin", nil)
		resp.Body.Close()
		if resp.StatusCode == 429 {
			if resp.Header.Get("Retry-After") != "1" {
				t.Errorf("Retry-After %q", resp.Header.Get("Retry-After"))
			}
			return
		}
	}
}

func TestDeleteAccountErasesEverythingAtOnce(t *testing.T) {
	w := newWorld(t)
	d, other := w.device(), w.device()
	passkey := newAuthenticator(t, testOrigin)
	recovery := d.signUp(passkey)
	other.signUp(newAuthenticator(t, testOrigin))
	r := d.replica()
	for range 50 {
		must(r.AddMessage(vault.Message{Chat: vault.NewID(), Role: "user", Text: strings.Repeat("x", 5000)}))
	}
	puts := r.Pending()
	d.post(r)
	theirs := other.replica()
	must(theirs.AddMessage(vault.Message{Chat: vault.NewID(), Role: "user", Text: "theirs"}))
	other.post(theirs)
	d.do("POST", "passkeys/begin", map[string]any{}, nil) // a ceremony under way
	key := must(vault.NewDeviceKey())
	var link struct{ ID string }
	d.do("POST", "links", map[string]any{"public_key": key.Offer("t")}, &link)
	wrap := must(vault.WrapDevice(d.root, d.account, must(vault.OpenOffer(key.Offer("t"), key.LinkSecret()))))
	d.do("POST", "links/"+link.ID+"/approve", map[string]any{"wrap": wrap}, nil)
	var wraps struct{ Wraps []vault.Wrap }
	d.do("GET", "wraps", nil, &wraps)
	stream := d.stream()
	stream.next()

	needles := map[string][]byte{
		"account id": d.account[:], "credential id": passkey.id, "device wrap": wrap.Data[100:200],
		"recovery id": []byte(recovery.ID().String()), "first record": puts[0].Data[100:200], "last record": puts[49].Data[2000:2100],
	}
	for _, w := range wraps.Wraps {
		needles["wrap "+w.Kind] = w.Data[40:100]
	}
	found := func(name string) bool {
		return slices.ContainsFunc(w.files(), func(f dbFile) bool { return bytes.Contains(f.data, needles[name]) })
	}
	for name := range needles {
		if name == "device wrap" {
			continue // base64 in the link's row
		}
		if !found(name) {
			t.Errorf("%s is not found before deleting: the test looks in the wrong place", name)
		}
	}
	d.do("DELETE", "account", nil, nil)
	if got := stream.next(); got != "" {
		t.Errorf("event %q after deleting", got)
	}
	if d.cookie != nil {
		t.Error("the cookie stays")
	}
	for name := range needles {
		if found(name) {
			t.Errorf("%s is still on the disk", name)
		}
	}
	raw, err := sql.Open("sqlite", "file:"+w.path)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	for _, table := range []string{"accounts", "passkeys", "sessions"} {
		var n int
		if err := raw.QueryRow(`SELECT count(*) FROM ` + table).Scan(&n); err != nil || n != 1 {
			t.Errorf("%s: %d rows, %v; want the other account's", table, n, err)
		}
	}
	var begin beginAnswer
	d.do("POST", "signin/begin", nil, &begin)
	d.fails(403, "passkey_unknown", "POST", "signin/finish", map[string]any{"credential": passkey.get(begin.PublicKey)})
	check := other.replica()
	other.fetch(check)
	if len(check.Chats()) != 1 {
		t.Error("the other account lost something")
	}
}

// A failure of the database must say nothing to the outside, and only the route
// to the log.
func TestInternalFailuresStayInside(t *testing.T) {
	var logged bytes.Buffer
	d := signedUp(t)
	d.srv.log = lines.To(slog.New(slog.NewTextHandler(&logged, nil)))
	d.db.Close()
	req := httptest.NewRequest("GET", "/api/v1/session?secret=word", nil)
	req.AddCookie(d.cookie)
	rec := httptest.NewRecorder()
	d.srv.Handler().ServeHTTP(rec, req)
	body, err := io.ReadAll(rec.Body)
	if err != nil {
		t.Fatal(err)
	}
	if rec.Code != 500 || !strings.Contains(string(body), `"internal"`) || strings.Contains(string(body), "sql") {
		t.Errorf("%d %s", rec.Code, body)
	}
	if l := logged.String(); !strings.Contains(l, "/api/v1/session") || strings.Contains(l, "word") || strings.Contains(l, d.cookie.Value) {
		t.Errorf("log: %s", l)
	}
}
