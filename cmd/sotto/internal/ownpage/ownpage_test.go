// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package ownpage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"testing"

	"github.com/sotto-chat/sotto/vault"
)

// fakeLink is a link that a test decides on.
type fakeLink struct {
	token    string
	approved bool
	err      error
	ended    bool
	forgot   bool
	account  vault.AccountID
	root     vault.RootKey
}

func (l *fakeLink) Token() string { return l.token }
func (l *fakeLink) Ask(context.Context) (Offer, error) {
	return Offer{"http://site/link/1#secret", "ABCD-EFGH", 99}, l.err
}
func (l *fakeLink) Poll(context.Context) (bool, error) { return l.approved, l.err }
func (l *fakeLink) Open() (Opening, error) {
	if l.err != nil {
		return Opening{}, l.err
	}
	return NewOpening(l.root, l.account)
}
func (l *fakeLink) Ended()        { l.ended, l.token = true, "" }
func (l *fakeLink) Forget() error { l.forgot = true; return nil }

// world is the app with a server behind it that says what it got.
type world struct {
	t      *testing.T
	app    *httptest.Server
	link   *fakeLink
	key    string
	got    *http.Request // the last request that went on
	answer func(w http.ResponseWriter)
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, link: &fakeLink{token: "TOKEN", account: vault.NewAccountID(), root: vault.NewRootKey()}, key: NewKey()}
	behind := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.got = r
		if w.answer != nil {
			w.answer(rw)
			return
		}
		rw.Header().Set("Content-Type", "application/json")
		io.WriteString(rw, `{"from":"server"}`)
	}))
	t.Cleanup(behind.Close)
	base, err := url.Parse(behind.URL)
	if err != nil {
		t.Fatal(err)
	}
	page := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, "the page") })
	w.app = httptest.NewServer(New(Config{Server: base, Page: page, Key: w.key, Link: w.link}))
	t.Cleanup(w.app.Close)
	return w
}

// ask makes a request as the page does, after change.
func (w *world) ask(method, path, body string, change func(*http.Request)) (int, http.Header, string) {
	w.t.Helper()
	w.got = nil
	req, err := http.NewRequest(method, w.app.URL+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	req.Header.Set("Origin", w.app.URL)
	req.Header.Set(keyHeader, w.key)
	if change != nil {
		change(req)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

func code(body string) string {
	var doc struct{ Error struct{ Code string } }
	json.Unmarshal([]byte(body), &doc)
	return doc.Error.Code
}

// TestWhoMayAsk: each case breaks one thing of a request that is let in.
func TestWhoMayAsk(t *testing.T) {
	w := newWorld(t)
	port := w.app.URL[strings.LastIndex(w.app.URL, ":"):]
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	host := func(h string) func(*http.Request) {
		return func(r *http.Request) { r.Host = h; r.Header.Set("Origin", "http://"+h) }
	}
	for _, c := range []struct {
		name   string
		path   string
		change func(*http.Request)
		status int
	}{
		{"the page", "/api/v1/feed", nil, 200},
		{"a program without the browser's headers", "/api/v1/feed", func(r *http.Request) { r.Header.Del("Origin"); r.Header.Del("Sec-Fetch-Site") }, 200},
		{"localhost", "/api/v1/feed", host("localhost" + port), 200},
		{"a name that was pointed here", "/api/v1/feed", host("evil.example" + port), 421},
		{"such a name, for the page itself", "/", host("evil.example" + port), 421},
		{"such a name, for sealed bytes", "/sotto/v1/nodes", host("evil.example" + port), 421},
		{"a name that only ends like one's own", "/", host("notlocalhost" + port), 421},
		{"an address on the network", "/", host("192.0.2.1" + port), 421},
		{"another port", "/", host("127.0.0.1:1"), 421},
		{"no port", "/", host("127.0.0.1"), 421},
		{"another site's page", "/api/v1/feed", header("Origin", "https://evil.example"), 403},
		{"another port's page", "/api/v1/feed", header("Origin", "http://127.0.0.1:1"), 403},
		{"a page without an origin", "/api/v1/feed", header("Origin", "null"), 403},
		{"two origins", "/api/v1/feed", func(r *http.Request) { r.Header.Add("Origin", w.app.URL) }, 403},
		{"what a browser calls cross-site", "/api/v1/feed", header("Sec-Fetch-Site", "cross-site"), 403},
		{"what a browser calls same-site: another port", "/api/v1/feed", header("Sec-Fetch-Site", "same-site"), 403},
		{"a typed address", "/api/v1/feed", header("Sec-Fetch-Site", "none"), 403},
		{"two answers to where from", "/api/v1/feed", func(r *http.Request) { r.Header.Add("Sec-Fetch-Site", "same-origin") }, 403},
		{"another site's page, for sealed bytes", "/sotto/v1/nodes", header("Sec-Fetch-Site", "cross-site"), 403},
		{"no key", "/api/v1/feed", func(r *http.Request) { r.Header.Del(keyHeader) }, 401},
		{"another key", "/api/v1/feed", header(keyHeader, NewKey()), 401},
		{"an empty key", "/api/v1/feed", header(keyHeader, ""), 401},
		{"no key, for what opens the history", "/api/v1/app/open", func(r *http.Request) { r.Header.Del(keyHeader) }, 401},
		{"the key in the address", "/api/v1/feed/stream?app=" + w.key, func(r *http.Request) { r.Header.Del(keyHeader) }, 200},
		{"another key in the address", "/api/v1/feed/stream?app=" + NewKey(), func(r *http.Request) { r.Header.Del(keyHeader) }, 401},
		{"whether a demo may be accepted needs no key", "/api/v1/app/demo", func(r *http.Request) { r.Header.Del(keyHeader) }, 405},
		{"another site's page, for whether a demo may be", "/api/v1/app/demo", header("Sec-Fetch-Site", "cross-site"), 403},
		{"sealed bytes need no key", "/sotto/v1/nodes", func(r *http.Request) { r.Header.Del(keyHeader) }, 200},
		{"nor does the page", "/chat/1", func(r *http.Request) { r.Header = http.Header{} }, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, _, body := w.ask("GET", c.path, "", c.change)
			if status != c.status {
				t.Errorf("status %d, want %d: %s", status, c.status, body)
			}
			if status >= 400 && w.got != nil {
				t.Error("the request went on to the server")
			}
		})
	}
}

// TestWhatGoesOn: to the account goes the token, to the gateway nothing that names
// anybody, and to neither what the browser says.
func TestWhatGoesOn(t *testing.T) {
	w := newWorld(t)
	add := func(r *http.Request) {
		for name, v := range map[string]string{
			"Cookie": "a=b", "Authorization": "Bearer x", "Referer": w.app.URL, "User-Agent": "a browser", "X-Forwarded-For": "1.2.3.4",
			"Content-Type": "application/json", "Accept-Language": "de",
		} {
			r.Header.Set(name, v)
		}
	}
	for path, authorization := range map[string]string{"/api/v1/feed?since=3&app=" + w.key: "Sotto TOKEN", "/sotto/v1/seal": ""} {
		if status, _, body := w.ask("POST", path, "{}", add); status != 200 {
			t.Fatalf("%s: %d %s", path, status, body)
		}
		h := w.got.Header
		if got := h.Get("Authorization"); got != authorization {
			t.Errorf("%s: authorization %q", path, got)
		}
		for name := range h {
			switch name {
			case "Authorization", "Content-Type", "Content-Length", "Accept-Encoding":
			default:
				t.Errorf("%s: %s: %s went on", path, name, h.Get(name))
			}
		}
		if strings.Contains(w.got.URL.RawQuery, "app") || strings.Contains(w.got.Host, w.app.URL) {
			t.Errorf("%s: asked for %s at %s", path, w.got.URL, w.got.Host)
		}
	}
}

// TestWhatComesBack: a server can have nothing but what the page asks for stand at the
// page's origin.
func TestWhatComesBack(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		name, path, kind string
		status, want     int
	}{
		{"JSON", "/api/v1/feed", "application/json", 200, 200},
		{"a refusal", "/api/v1/feed", "application/json", 409, 409},
		{"news", "/api/v1/feed/stream", "text/event-stream", 200, 200},
		{"nothing", "/api/v1/wraps/1", "", 204, 204},
		{"a document", "/api/v1/feed", "text/html", 200, 502},
		{"a script", "/sotto/v1/x", "text/javascript", 200, 502},
		{"news from the gateway", "/sotto/v1/x", "text/event-stream", 200, 502},
		{"an answer", "/sotto/v1/seal", "application/sotto-answer", 200, 200},
		{"an answer from the account", "/api/v1/feed", "application/sotto-answer", 200, 502},
		{"another address", "/api/v1/feed", "application/json", 302, 502},
		{"no type", "/api/v1/feed", "", 200, 502},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.answer = func(rw http.ResponseWriter) {
				h := rw.Header()
				h["Content-Type"] = []string{c.kind}
				if c.kind == "" {
					h["Content-Type"] = nil
				}
				for name, v := range map[string]string{"Set-Cookie": "a=b", "Location": "/x", "Link": "</x>; rel=preload", "Clear-Site-Data": `"*"`, "Content-Security-Policy": "default-src *"} {
					h.Set(name, v)
				}
				rw.WriteHeader(c.status)
			}
			status, h, _ := w.ask("GET", c.path, "", nil)
			if status != c.want {
				t.Errorf("status %d, want %d", status, c.want)
			}
			for _, name := range []string{"Set-Cookie", "Location", "Link", "Clear-Site-Data"} {
				if h.Get(name) != "" {
					t.Errorf("%s came through", name)
				}
			}
			if !strings.HasPrefix(h.Get("Content-Security-Policy"), "default-src 'none'; sandbox") || h.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("headers %v", h)
			}
		})
	}
}

// TestNothingBeforeTheAnswer: what a server says ahead of its answer stays out too.
func TestNothingBeforeTheAnswer(t *testing.T) {
	w := newWorld(t)
	w.answer = func(rw http.ResponseWriter) {
		rw.Header().Set("Set-Cookie", "a=b")
		rw.Header().Set("Link", "</x>; rel=preload")
		rw.WriteHeader(http.StatusEarlyHints)
		rw.Header().Set("Content-Type", "application/json")
		io.WriteString(rw, "{}")
	}
	for _, path := range []string{"/api/v1/feed", "/sotto/v1/nodes"} {
		early := 0
		trace := &httptrace.ClientTrace{Got1xxResponse: func(int, textproto.MIMEHeader) error { early++; return nil }}
		status, h, _ := w.ask("GET", path, "", func(r *http.Request) { *r = *r.WithContext(httptrace.WithClientTrace(r.Context(), trace)) })
		if status != 200 || early > 0 || h.Get("Set-Cookie") != "" || h.Get("Link") != "" {
			t.Errorf("%s: status %d after %d others, %v", path, status, early, h)
		}
	}
}

func TestLinking(t *testing.T) {
	w := newWorld(t)
	w.link.token = ""
	status, _, body := w.ask("GET", "/api/v1/session", "", nil)
	if status != 401 || code(body) != "app_link" || w.got != nil {
		t.Errorf("unlinked: %d %s", status, body)
	}
	if status, _, body = w.ask("POST", "/api/v1/app/link", "{}", nil); status != 200 || body != `{"url":"http://site/link/1#secret","code":"ABCD-EFGH","expires":99}`+"\n" {
		t.Errorf("link: %d %s", status, body)
	}
	if _, _, body = w.ask("POST", "/api/v1/app/poll", "{}", nil); body != `{"linked":false}`+"\n" {
		t.Errorf("poll: %s", body)
	}
	w.link.approved, w.link.token = true, "TOKEN"
	if _, _, body = w.ask("POST", "/api/v1/app/poll", "{}", nil); body != `{"linked":true}`+"\n" {
		t.Errorf("poll: %s", body)
	}
	var o struct {
		Account vault.AccountID `json:"account"`
		Secret  []byte          `json:"secret"`
		Wrap    vault.Wrap      `json:"wrap"`
	}
	_, _, first := w.ask("POST", "/api/v1/app/open", "{}", nil)
	if err := json.Unmarshal([]byte(first), &o); err != nil {
		t.Fatal(err)
	}
	if _, err := vault.UnwrapPasskey(o.Wrap, o.Account, o.Secret); err != nil || o.Account != w.link.account {
		t.Errorf("what opens the history doesn't: %v", err)
	}
	if _, _, second := w.ask("POST", "/api/v1/app/open", "{}", nil); second == first {
		t.Error("the same secret opens twice")
	}
	w.link.err = &Error{"app_link_failed", "Too late."}
	if status, _, body = w.ask("POST", "/api/v1/app/poll", "{}", nil); status != 409 || code(body) != "app_link_failed" || !strings.Contains(body, "Too late.") {
		t.Errorf("failed: %d %s", status, body)
	}
	w.link.err = errors.New("broken")
	if status, _, body = w.ask("POST", "/api/v1/app/open", "{}", nil); status != 502 {
		t.Errorf("broken: %d %s", status, body)
	}
}

// TestDemo: the page hears whether it may offer to accept demo hardware.
func TestDemo(t *testing.T) {
	base, err := url.Parse("http://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	for _, allowed := range []bool{true, false} {
		rec := httptest.NewRecorder()
		r := httptest.NewRequest("POST", "http://127.0.0.1:8789/api/v1/app/demo", strings.NewReader("{}"))
		New(Config{Server: base, Key: NewKey(), Link: &fakeLink{}, Demo: allowed}).ServeHTTP(rec, r)
		if want := fmt.Sprintf(`{"allowed":%v}`+"\n", allowed); rec.Code != 200 || rec.Body.String() != want {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
	}
}

// TestOwnRoutesAreStrict: what the program answers itself never goes on to the server.
func TestOwnRoutesAreStrict(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/api/v1/app/open", "", 405},
		{"POST", "/api/v1/app/open", "", 400},
		{"POST", "/api/v1/app/open", `{"x":1}`, 400},
		{"POST", "/api/v1/app/open", "{}" + strings.Repeat(" ", maxBody), 200}, // cut where it stops to matter
		{"POST", "/api/v1/app/open", strings.Repeat(" ", maxBody) + "{}", 400},
		{"POST", "/api/v1/app/other", "{}", 404},
		{"POST", "/api/v1/app/", "{}", 404},
		{"GET", "/sw.js", "", 404},
	} {
		status, _, body := w.ask(c.method, c.path, c.body, nil)
		if status != c.status || w.got != nil {
			t.Errorf("%s %s %.10q: %d %s", c.method, c.path, c.body, status, body)
		}
	}
}

func TestTheEndOfASession(t *testing.T) {
	w := newWorld(t)
	w.answer = func(rw http.ResponseWriter) {
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(401)
		io.WriteString(rw, `{"error":{"code":"signed_out","message":"You are signed out."}}`)
	}
	if status, _, body := w.ask("GET", "/api/v1/session", "", nil); status != 401 || code(body) != "app_link" || !w.link.ended {
		t.Errorf("%d %s, ended %v", status, body, w.link.ended)
	}
	if w.link.forgot {
		t.Error("a server that says so has everything forgotten")
	}

	w = newWorld(t)
	w.answer = func(rw http.ResponseWriter) { rw.WriteHeader(204) }
	w.ask("POST", "/api/v1/signout", "{}", nil)
	if !w.link.forgot {
		t.Error("signed out, and nothing was forgotten")
	}
}

func TestSecretsHide(t *testing.T) {
	o, err := NewOpening(vault.NewRootKey(), vault.NewAccountID())
	if err != nil {
		t.Fatal(err)
	}
	o.Secret = []byte("a secret of some length, in clear")
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "opening", o)
	for _, s := range []string{fmt.Sprint(o), fmt.Sprintf("%v %+v %#v %s", o, o, o, o), log.String()} {
		if strings.Contains(s, "in clear") || strings.Contains(s, fmt.Sprint([]byte("in clear"))) {
			t.Errorf("shown: %s", s)
		}
	}
	if a, b := NewKey(), NewKey(); a == b || len(a) != 43 {
		t.Errorf("keys %q and %q", a, b)
	}
}
