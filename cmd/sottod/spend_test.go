// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sotto-chat/sotto/gateway"
	"github.com/sotto-chat/sotto/keylog/keylogtest"
	"github.com/sotto-chat/sotto/store/spent"
)

// issuerFile is the file by which a product registers, changed.
func issuerFile(t testing.TB, change func(f, log, pin, limits map[string]any)) []byte {
	t.Helper()
	b, err := json.Marshal(keylogtest.New("issuer").Pin)
	if err != nil {
		t.Fatal(err)
	}
	var pin map[string]any
	if err := json.Unmarshal(b, &pin); err != nil {
		t.Fatal(err)
	}
	log := map[string]any{"url": "https://log.example/keys", "pin": pin}
	limits := map[string]any{"per_day": 1000, "per_hour": 100}
	f := map[string]any{"v": 1, "product": "sotto", "issuer": "tokens.example", "key_log": log, "limits": limits}
	if change != nil {
		change(f, log, pin, limits)
	}
	if b, err = json.Marshal(f); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestIssuerFile(t *testing.T) {
	i, log, err := parseIssuer(issuerFile(t, nil))
	if err != nil || log == nil || i.Keys != gateway.KeySource(log) || i.Product != "sotto" || i.Name != "tokens.example" || i.Limits != (gateway.IssuerLimits{PerDay: 1000, PerHour: 100}) {
		t.Fatalf("%+v %v", i, err)
	}
	for name, change := range map[string]func(f, log, pin, limits map[string]any){
		"version":          func(f, _, _, _ map[string]any) { f["v"] = 2 },
		"unknown":          func(f, _, _, _ map[string]any) { f["more"] = 1 },
		"unknown limit":    func(_, _, _, l map[string]any) { l["per_week"] = 1 },
		"negative day":     func(_, _, _, l map[string]any) { l["per_day"] = -1 },
		"negative hour":    func(_, _, _, l map[string]any) { l["per_hour"] = -1 },
		"issuer":           func(f, _, _, _ map[string]any) { f["issuer"] = "Tokens Inc." },
		"no issuer":        func(f, _, _, _ map[string]any) { delete(f, "issuer") },
		"another's pin":    func(f, _, _, _ map[string]any) { f["product"] = "other" },
		"no pin":           func(_, l, _, _ map[string]any) { delete(l, "pin") },
		"a pin of nothing": func(_, _, p, _ map[string]any) { p["threshold"] = 0 },
		"address":          func(_, l, _, _ map[string]any) { l["url"] = "log.example" },
		"too long":         func(f, _, _, _ map[string]any) { f["issuer"] = strings.Repeat("x", maxIssuerFile) },
	} {
		if _, _, err := parseIssuer(issuerFile(t, change)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, b := range []string{"", "{", "[]", string(issuerFile(t, nil)) + "{}"} {
		if _, _, err := parseIssuer([]byte(b)); err == nil {
			t.Errorf("%.20q: accepted", b)
		}
	}
}

func FuzzIssuerFile(f *testing.F) {
	f.Add(issuerFile(f, nil))
	f.Add([]byte(`{"v":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		i, _, err := parseIssuer(b)
		if err == nil && (i.Keys == nil || i.Product == "" || i.Name == "" || i.Limits.PerDay < 0 || i.Limits.PerHour < 0) {
			t.Errorf("accepted: %+v", i)
		}
	})
}

// TestGatewayFlags: tokens and their store come together.
func TestGatewayFlags(t *testing.T) {
	dir := t.TempDir()
	file, bad := filepath.Join(dir, "sotto.json"), filepath.Join(dir, "bad.json")
	for path, b := range map[string][]byte{file: issuerFile(t, nil), bad: []byte("{}")} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	store := "sqlite:" + filepath.Join(dir, "spent.db")
	for want, args := range map[string][]string{
		"-issuer is missing":        {"-spent", store},
		"-spent is missing":         {"-issuer", file},
		"v is not 1":                {"-issuer", bad, "-spent", store},
		"no such file":              {"-issuer", dir + "/none.json", "-spent", store},
		"store's URL":               {"-issuer", file, "-spent", "spent.db"},
		"two issuers":               {"-issuer", file, "-issuer", file, "-spent", store},
		"-spent or -product is mis": {"counts", "-spent", store},
	} {
		var out strings.Builder
		if args[0] != "counts" {
			args = append(args, "-node", "http://127.0.0.1:1", "-listen", "127.0.0.1:0")
		}
		if code := run(t.Context(), append([]string{"gateway"}, args...), io.Discard, &out); code != 1 || !strings.Contains(out.String(), want) {
			t.Errorf("%v: %d %s, want %q", args, code, &out, want)
		}
	}
	var out strings.Builder
	if code := run(t.Context(), []string{"gateway", "counts", "-spent", store, "-product", "sotto"}, &out, io.Discard); code != 0 || out.Len() != 0 {
		t.Errorf("counts of nothing: %d %s", code, &out)
	}
}

// A product is told of days that are over, and no exact number.
func TestCounts(t *testing.T) {
	var out strings.Builder
	writeCounts(&out, []spent.Count{{Day: 20782, Spent: 9}, {Day: 20783, Spent: 12345, Refunded: 17}, {Day: 20784, Spent: 777}}, 20784)
	if want := "2026-11-25\tspent 0\trefunded 0\n2026-11-26\tspent 12000\trefunded 10\n"; out.String() != want {
		t.Errorf("got %q, want %q", &out, want)
	}
}

// The account passes a token on, and no other credential beside it.
func TestPassOnTokens(t *testing.T) {
	var got http.Header
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("WWW-Authenticate", "PrivateToken challenge")
		w.WriteHeader(401)
	}))
	defer gateway.Close()
	at, err := url.Parse(gateway.URL)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(passOn(at))
	defer front.Close()
	r, _ := http.NewRequest("POST", front.URL+"/sotto/v1/seal", strings.NewReader("sealed"))
	for _, f := range [][2]string{
		{"Authorization", `PrivateToken token="x"`}, {"Authorization", "Bearer somebody"}, {"Sotto-Holder", "h"}, {"Sotto-Refund", "r"}, {"Sotto-Who", "somebody"},
	} {
		r.Header.Add(f[0], f[1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != 401 || res.Header.Get("WWW-Authenticate") != "PrivateToken challenge" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	for _, name := range []string{"Content-Length", "Accept-Encoding", "Content-Type"} {
		delete(got, name)
	}
	want := http.Header{"Authorization": {`PrivateToken token="x"`}, "Sotto-Holder": {"h"}, "Sotto-Refund": {"r"}}
	if !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("the gateway sees %v", got)
	}
}
