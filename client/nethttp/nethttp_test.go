// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package nethttp_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/client/nethttp"
	"github.com/sotto-chat/sotto/seal/bhttp"
	"github.com/sotto-chat/sotto/test/testservice"
)

// TestWhatTheServiceSees: nothing but the sealed message and what HTTP needs.
func TestWhatTheServiceSees(t *testing.T) {
	var seen *http.Request
	var body []byte
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r
		body, _ = io.ReadAll(r.Body)
		http.SetCookie(w, &http.Cookie{Name: "id", Value: "1"})
		w.Header().Set("Content-Type", "application/sotto-answer")
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	}))
	defer s.Close()
	tr := nethttp.New(s.URL + "/below/")
	for range 2 {
		resp, err := tr.RoundTrip(t.Context(), &client.Request{Method: "POST", Path: "/sotto/v1/seal", ContentType: "application/sotto-request", Body: []byte("sealed")})
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.Status != 302 {
			t.Errorf("status %d: a redirect was followed", resp.Status)
		}
		if seen.URL.Path != "/below/sotto/v1/seal" || string(body) != "sealed" || seen.ContentLength != 6 {
			t.Errorf("%s, %d bytes", seen.URL, len(body))
		}
		for name := range seen.Header {
			if name != "Content-Type" && name != "Content-Length" {
				t.Errorf("it sees %s: %q", name, seen.Header[name])
			}
		}
	}
	resp, err := tr.RoundTrip(t.Context(), &client.Request{Method: "GET", Path: "/sotto/v1/log?from=256"})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if seen.RequestURI != "/below/sotto/v1/log?from=256" {
		t.Errorf("it is asked for %s", seen.RequestURI)
	}
	resp, err = tr.RoundTrip(t.Context(), &client.Request{Method: "POST", Path: "/sotto/v1/seal", Body: []byte("sealed"), Header: []bhttp.Field{{Name: "sotto-holder", Value: "h"}}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := seen.Header.Values("Sotto-Holder"); len(got) != 1 || got[0] != "h" {
		t.Errorf("a field that goes along arrives as %q", got)
	}
}

// TestBaseItself: no path is the address that was given, to the letter.
func TestBaseItself(t *testing.T) {
	var seen []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { seen = append(seen, r.RequestURI) }))
	defer s.Close()
	for _, base := range []string{"/relay", "/relay/"} {
		for _, path := range []string{"", "/ohttp-keys"} {
			resp, err := nethttp.New(s.URL+base).RoundTrip(t.Context(), &client.Request{Method: "GET", Path: path})
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		}
	}
	if got := strings.Join(seen, " "); got != "/relay /relay/ohttp-keys /relay/ /relay/ohttp-keys" {
		t.Errorf("asked for %s", got)
	}
}

func TestParseBase(t *testing.T) {
	for _, bad := range []string{"", "chat.example", "ftp://chat.example", "http://", "http://user@chat.example", "http://chat.example?x", "http://chat.example#x", "http://[::1"} {
		if _, err := nethttp.ParseBase(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
		if _, err := nethttp.New(bad).RoundTrip(t.Context(), &client.Request{Method: "GET", Path: "/"}); err == nil {
			t.Errorf("%q is used", bad)
		}
	}
	for _, good := range []string{"http://127.0.0.1:8787", "https://chat.example/", "https://chat.example/sotto"} {
		if u, err := nethttp.ParseBase(good); err != nil || strings.HasSuffix(u.Path, "/") {
			t.Errorf("%q: %v, %v", good, u, err)
		}
	}
}

func TestRoundTripper(t *testing.T) {
	s := testservice.Start(t, testservice.Options{})
	c := s.NewClient(client.Config{})
	defer c.CloseNow()
	h := &http.Client{Transport: &nethttp.RoundTripper{Client: c}}
	resp, err := h.Post("http://anything/v1/chat/completions", "application/json",
		strings.NewReader(`{"model":"test","messages":[{"role":"user","content":"say hi"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/json" || !strings.Contains(string(b), `"hi"`) {
		t.Errorf("%d %v %s, %v", resp.StatusCode, resp.Header, b, err)
	}
	if _, err := h.Post("http://anything/v1/x", "text/plain", io.LimitReader(endless{}, 40<<20)); !strings.Contains(errText(err), "too large") {
		t.Errorf("a request that is too large: %v", err)
	}
	if _, err := h.Post("http://anything/v1/x", "text/plain", broken{}); !errors.Is(err, errBroken) {
		t.Errorf("a request that breaks off: %v", err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

var errBroken = errors.New("broken")

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errBroken }

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestFields(t *testing.T) {
	h := http.Header{}
	h.Set("Authorization", "Bearer secret")
	h.Set("User-Agent", "me/1.0")
	h.Set("X-Stainless-OS", "Linux")
	h.Set("Content-Type", " application/json ")
	fields := nethttp.Fields(h)
	if len(fields) != 1 || fields[0].Name != "content-type" || fields[0].Value != "application/json" {
		t.Errorf("fields %v", fields)
	}
	if p := nethttp.Path(&url.URL{Path: "/v1/models/a/b c", RawPath: "/v1/models/a%2Fb%20c", RawQuery: "x=1"}); p != "/v1/models/a/b%20c?x=1" {
		t.Errorf("path %q", p)
	}
}
