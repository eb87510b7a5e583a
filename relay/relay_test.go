// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sotto-chat/sotto/ohttp"
)

// start starts a relay before a gateway that answers as handler does.
func start(t testing.TB, change func(*Config), handler http.HandlerFunc) (relay, gateway *httptest.Server) {
	t.Helper()
	gateway = httptest.NewServer(handler)
	t.Cleanup(gateway.Close)
	cfg := Config{Gateway: gateway.URL}
	if change != nil {
		change(&cfg)
	}
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	relay = httptest.NewServer(r.Handler())
	t.Cleanup(relay.Close)
	return relay, gateway
}

func codeOf(t testing.TB, res *http.Response) string {
	t.Helper()
	defer res.Body.Close()
	var doc struct {
		Error struct{ Code, Message string }
	}
	if err := json.NewDecoder(res.Body).Decode(&doc); err != nil || doc.Error.Message == "" {
		t.Fatalf("status %d: %v", res.StatusCode, err)
	}
	return doc.Error.Code
}

// TestNothingOfTheClientGoesOn: the gateway gets the bytes and their type, and the
// client the answer's, whatever else the two would say to each other.
func TestNothingOfTheClientGoesOn(t *testing.T) {
	var seen []*http.Request
	var bodies []string
	relay, _ := start(t, nil, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		seen, bodies = append(seen, r), append(bodies, string(b))
		http.SetCookie(w, &http.Cookie{Name: "id", Value: "secret"})
		for _, name := range []string{"ETag", "X-Request-Id", "Server", "Link", "Access-Control-Allow-Origin", "Set-Login", "Alt-Svc", "Report-To", "Www-Authenticate"} {
			w.Header().Set(name, "secret")
		}
		w.Header().Set("Trailer", "X-Trailer")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Content-Type", strings.Replace(r.Header.Get("Content-Type"), "req", "res", 1)+"; id=secret")
		io.WriteString(w, "answer")
		w.Header().Set("X-Trailer", "secret")
	})
	for _, kind := range []string{ohttp.RequestType, ohttp.ChunkedRequestType} {
		for _, known := range []bool{true, false} {
			var body io.Reader = strings.NewReader("sealed")
			if !known {
				body = struct{ io.Reader }{body}
			}
			req, err := http.NewRequest("POST", relay.URL+"/?id=secret", body)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"Cookie", "Authorization", "Referer", "User-Agent", "Accept-Language", "X-Forwarded-For", "Forwarded", "Via", "X-Request-Id", "Traceparent", "Baggage",
				"Date", "If-None-Match", "Accept", "Accept-Encoding", "Sec-Ch-Ua", "Dnt", "Priority", "Incremental", "Content-Encoding", "Content-Language", "X-Anything"} {
				req.Header.Set(name, "secret")
			}
			req.Header.Set("Content-Type", kind)
			res, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(res.Body)
			res.Body.Close()
			if err != nil || string(b) != "answer" || res.StatusCode != 200 {
				t.Errorf("%d %q, %v", res.StatusCode, b, err)
			}
			want := []string{"Cache-Control", "Content-Type", "Date", "Vary", "X-Accel-Buffering", "X-Content-Type-Options"}
			if res.ContentLength >= 0 {
				want = append(want, "Content-Length")
			}
			if kind == ohttp.ChunkedRequestType {
				want = append(want, "Incremental")
			}
			slices.Sort(want)
			if got := slices.Sorted(maps.Keys(res.Header)); !slices.Equal(got, want) || len(res.Trailer) > 0 || strings.Contains(res.Header.Get("Content-Type"), "secret") {
				t.Errorf("the client sees %v, trailer %v", res.Header, res.Trailer)
			}
			r := seen[len(seen)-1]
			want = []string{"Content-Type"}
			if known {
				want = []string{"Content-Length", "Content-Type"}
			}
			if kind == ohttp.ChunkedRequestType {
				want = append(want, "Incremental")
			}
			if got := slices.Sorted(maps.Keys(r.Header)); !slices.Equal(got, want) || r.Header.Get("Incremental") == "secret" || r.RequestURI != "/sotto/v1/ohttp" || (r.ContentLength == 6) != known {
				t.Errorf("the gateway sees %s %v", r.RequestURI, r.Header)
			}
			if bodies[len(bodies)-1] != "sealed" {
				t.Errorf("the gateway gets %q", bodies)
			}
		}
	}
}

// TestNothingIsLogged: no line holds anything of a client, at any level.
func TestNothingIsLogged(t *testing.T) {
	var log bytes.Buffer
	relay, gateway := start(t, func(c *Config) {
		c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug - 4}))
		c.Address = func(*http.Request) string { return "192.0.2.77" }
		c.Limits.AtOnce, c.Limits.PerSecond = 8, 1e-9
	}, func(w http.ResponseWriter, r *http.Request) { http.Error(w, "192.0.2.78", 500) })
	for i := range 10 {
		if i == 5 {
			gateway.CloseClientConnections()
			gateway.Close()
		}
		for _, method := range []string{"POST", "GET"} {
			path := "/"
			if method == "GET" {
				path = "/ohttp-keys"
			}
			req, _ := http.NewRequest(method, relay.URL+path, strings.NewReader("sealed words"))
			req.Header.Set("Content-Type", ohttp.RequestType)
			req.Header.Set("Origin", []string{"https://x.example", ""}[i%2])
			if i%2 == 1 {
				req.Header.Del("Origin")
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
		}
	}
	if log.Len() == 0 {
		t.Error("not even that the gateway is gone")
	}
	for _, word := range []string{"192.0.2.77", "192.0.2.78", "127.0.0.1", "sealed", "x.example", "POST"} {
		if strings.Contains(log.String(), word) {
			t.Errorf("the log has %s:\n%s", word, log.String())
		}
	}
}

func TestRefusals(t *testing.T) {
	relay, gateway := start(t, func(c *Config) {
		c.Limits.RequestBytes = 1000
		c.Origins = []string{"https://chat.example"}
	}, func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		mode := string(b)
		switch mode {
		case "page":
			w.Header().Set("Content-Type", "text/html")
			io.WriteString(w, "<html>")
		case "redirect":
			http.Redirect(w, r, "/elsewhere", 302)
		case "error":
			http.Error(w, "no", 500)
		case "busy":
			http.Error(w, "no", 503)
		case "problem":
			w.Header().Set("Content-Type", "application/problem+json; charset=utf-8")
			w.Header().Set("X-Id", "secret")
			w.WriteHeader(422)
			io.WriteString(w, `{"type":"x"}`)
		case "long problem":
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(422)
			w.Write(make([]byte, maxProblem+1))
		case "problem as an answer":
			w.Header().Set("Content-Type", "application/problem+json")
		case "answer as a problem":
			w.Header().Set("Content-Type", ohttp.ResponseType)
			w.WriteHeader(422)
		}
	})
	for name, c := range map[string]struct {
		method, path, kind, origin, body string
		status                           int
		code                             string
	}{
		"no such address":         {"POST", "/x", ohttp.RequestType, "", "x", 404, "not_found"},
		"got instead of posted":   {"GET", "/", "", "", "", 405, "not_found"},
		"keys posted":             {"POST", "/ohttp-keys", ohttp.RequestType, "", "x", 405, "not_found"},
		"of another type":         {"POST", "/", "application/json", "", "x", 415, "malformed"},
		"of no type":              {"POST", "/", "", "", "x", 415, "malformed"},
		"with nothing in it":      {"POST", "/", ohttp.RequestType, "", "", 400, "malformed"},
		"too large":               {"POST", "/", ohttp.RequestType, "", strings.Repeat("x", 1001), 413, "too_large"},
		"from another page":       {"POST", "/", ohttp.RequestType, "https://evil.example", "problem", 403, "origin_unknown"},
		"from a page of no place": {"POST", "/", ohttp.RequestType, "null", "problem", 403, "origin_unknown"},
		"a page for an answer":    {"POST", "/", ohttp.RequestType, "", "page", 502, "gateway_unreachable"},
		"a redirect":              {"POST", "/", ohttp.RequestType, "", "redirect", 502, "gateway_unreachable"},
		"an error":                {"POST", "/", ohttp.RequestType, "", "error", 502, "gateway_unreachable"},
		"a busy gateway":          {"POST", "/", ohttp.RequestType, "", "busy", 503, "busy"},
		"a long problem":          {"POST", "/", ohttp.RequestType, "", "long problem", 502, "gateway_unreachable"},
		"a problem as an answer":  {"POST", "/", ohttp.RequestType, "", "problem as an answer", 502, "gateway_unreachable"},
		"an answer as a problem":  {"POST", "/", ohttp.RequestType, "", "answer as a problem", 502, "gateway_unreachable"},
	} {
		req, err := http.NewRequest(c.method, relay.URL+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", c.kind)
		if c.origin != "" {
			req.Header.Set("Origin", c.origin)
		}
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(name, err)
		}
		if code := codeOf(t, res); res.StatusCode != c.status || code != c.code || res.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %d %s %v", name, res.StatusCode, code, res.Header)
		}
	}

	res, err := http.Post(relay.URL, ohttp.RequestType, strings.NewReader("problem"))
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(res.Body)
	res.Body.Close()
	if res.StatusCode != 422 || res.Header.Get("Content-Type") != "application/problem+json" || string(b) != `{"type":"x"}` || res.Header.Get("X-Id") != "" {
		t.Errorf("a problem: %d %v %s", res.StatusCode, res.Header, b)
	}

	// Longer than it may be, and not said beforehand.
	res, err = http.Post(relay.URL, ohttp.ChunkedRequestType, io.LimitReader(endless{}, 5000))
	if err != nil {
		t.Fatal(err)
	}
	if code := codeOf(t, res); res.StatusCode != 413 || code != "too_large" {
		t.Errorf("too large and not announced: %d %s", res.StatusCode, code)
	}

	gateway.CloseClientConnections()
	gateway.Close()
	res, err = http.Post(relay.URL, ohttp.RequestType, strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	if code := codeOf(t, res); res.StatusCode != 502 || code != "gateway_unreachable" {
		t.Errorf("no gateway: %d %s", res.StatusCode, code)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestNewRefuses(t *testing.T) {
	for _, c := range []Config{
		{}, {Gateway: "gateway.example"}, {Gateway: "ftp://gateway.example"}, {Gateway: "https://"}, {Gateway: "https://a@gateway.example"}, {Gateway: "https://gateway.example?x"},
		{Gateway: "https://gateway.example", Keys: "keys"},
		{Gateway: "https://gateway.example", Origins: []string{"*"}},
		{Gateway: "https://gateway.example", Origins: []string{"https://chat.example/"}},
		{Gateway: "https://gateway.example", Origins: []string{"chat.example"}},
		{Gateway: "https://gateway.example", Origins: []string{"null"}},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
	for gateway, want := range map[string]string{
		"https://gateway.example":    "https://gateway.example/sotto/v1/ohttp https://gateway.example/sotto/v1/ohttp-keys",
		"https://gateway.example/":   "https://gateway.example/sotto/v1/ohttp https://gateway.example/sotto/v1/ohttp-keys",
		"https://gateway.example/gw": "https://gateway.example/gw https://gateway.example/gw-keys",
	} {
		if r, err := New(Config{Gateway: gateway}); err != nil || r.gateway+" "+r.keysAt != want {
			t.Errorf("%s: %v, %v", gateway, r, err)
		}
	}
	if r, err := New(Config{Gateway: "https://gateway.example/gw", Keys: "https://gateway.example/.well-known/ohttp-gateway"}); err != nil || r.keysAt != "https://gateway.example/.well-known/ohttp-gateway" {
		t.Errorf("%v, %v", r, err)
	}
}

// TestPages: the pages that are named may ask, and are told so for a day; others may not.
func TestPages(t *testing.T) {
	relay, _ := start(t, func(c *Config) { c.Origins = []string{"https://chat.example", "http://localhost:8787"} }, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", ohttp.ResponseType)
	})
	for _, origin := range []string{"https://chat.example", "http://localhost:8787", "https://chat.example.evil.example", "http://chat.example", "null"} {
		good := origin == "https://chat.example" || origin == "http://localhost:8787"
		for path, method := range map[string]string{"/": "POST", "/ohttp-keys": "GET"} {
			req, _ := http.NewRequest("OPTIONS", relay.URL+path, nil)
			req.Header.Set("Origin", origin)
			req.Header.Set("Access-Control-Request-Method", method)
			req.Header.Set("Access-Control-Request-Headers", "content-type,x-evil")
			res, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			h := res.Header
			if !good {
				if res.StatusCode != 403 || h.Get("Access-Control-Allow-Origin") != "" || h.Get("Access-Control-Allow-Methods") != "" {
					t.Errorf("%s %s: %d %v", origin, path, res.StatusCode, h)
				}
				continue
			}
			headers := ""
			if path == "/" {
				headers = "content-type"
			}
			if res.StatusCode != 204 || h.Get("Access-Control-Allow-Origin") != origin || h.Get("Vary") != "Origin" || h.Get("Access-Control-Allow-Methods") != method ||
				h.Get("Access-Control-Allow-Headers") != headers || h.Get("Access-Control-Max-Age") != "86400" || h.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s %s: %d %v", origin, path, res.StatusCode, h)
			}
		}
		req, _ := http.NewRequest("POST", relay.URL, strings.NewReader("x"))
		req.Header.Set("Origin", origin)
		req.Header.Set("Content-Type", ohttp.RequestType)
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if (res.StatusCode == 200) != good || (res.Header.Get("Access-Control-Allow-Origin") == origin) != good {
			t.Errorf("%s: %d %v", origin, res.StatusCode, res.Header)
		}
	}
	req, _ := http.NewRequest("OPTIONS", relay.URL, nil)
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 204 || res.Header.Get("Access-Control-Max-Age") != "" {
		t.Errorf("asked by no page: %d %v", res.StatusCode, res.Header)
	}
}

func TestLimitByNetwork(t *testing.T) {
	var from string
	relay, _ := start(t, func(c *Config) {
		c.Limits.AtOnce, c.Limits.PerSecond = 5, 1.0/4000
		c.Address = func(r *http.Request) string { return from }
	}, func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Content-Type", ohttp.ResponseType) })
	spend := func(address string) (n int) {
		from = address
		for ; n < 10; n++ {
			res, err := http.Post(relay.URL, ohttp.RequestType, strings.NewReader("x"))
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != 200 {
				if wait := res.Header.Get("Retry-After"); res.StatusCode != 429 || wait != "4000" || codeOf(t, res) != "slow_down" {
					t.Errorf("%d, to wait %q", res.StatusCode, wait)
				}
				return n
			}
			res.Body.Close()
		}
		return n
	}
	if a, b := spend("192.0.2.1"), spend("192.0.2.2"); a != 5 || b != 5 {
		t.Errorf("%d and %d requests", a, b)
	}
}

func TestOwnAddress(t *testing.T) {
	r, err := New(Config{Gateway: "https://gateway.example"})
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{"192.0.2.1:1234": "192.0.2.1", "[2001:db8::1]:1": "2001:db8::1", "pipe": "pipe"} {
		req := httptest.NewRequest("POST", "/", nil)
		req.RemoteAddr = in
		req.Header.Set("X-Forwarded-For", "198.51.100.1")
		if got := r.address(req); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}

func TestBusy(t *testing.T) {
	hold := make(chan struct{})
	var inside atomic.Int64
	relay, _ := start(t, func(c *Config) { c.Limits.Requests = 1 }, func(w http.ResponseWriter, r *http.Request) {
		inside.Add(1)
		<-hold
		w.Header().Set("Content-Type", ohttp.ResponseType)
	})
	first := make(chan int, 1)
	go func() {
		res, err := http.Post(relay.URL, ohttp.RequestType, strings.NewReader("x"))
		if err != nil {
			first <- 0
			return
		}
		res.Body.Close()
		first <- res.StatusCode
	}()
	for inside.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	res, err := http.Post(relay.URL, ohttp.RequestType, strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	if code := codeOf(t, res); res.StatusCode != 503 || code != "busy" || res.Header.Get("Retry-After") != "1" {
		t.Errorf("%d %s", res.StatusCode, code)
	}
	close(hold)
	if status := <-first; status != 200 {
		t.Errorf("the first: %d", status)
	}
	if res, err := http.Post(relay.URL, ohttp.RequestType, strings.NewReader("x")); err != nil || res.StatusCode != 200 {
		t.Errorf("afterwards: %v, %v", res, err)
	}
}

// TestPieceByPiece: each piece of an answer is passed on before the next is there, and
// before the request has ended.
func TestPieceByPiece(t *testing.T) {
	next := make(chan struct{})
	relay, _ := start(t, nil, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		rc.EnableFullDuplex()
		w.Header().Set("Content-Type", ohttp.ChunkedResponseType)
		for _, piece := range []string{"one", "two", "three"} {
			io.WriteString(w, piece)
			rc.Flush()
			<-next
		}
		io.Copy(io.Discard, r.Body)
	})
	r, w := io.Pipe()
	go io.WriteString(w, "the first half")
	req, err := http.NewRequest("POST", relay.URL, r)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", ohttp.ChunkedRequestType)
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	buf := make([]byte, 100)
	for _, want := range []string{"one", "two", "three"} {
		n, err := res.Body.Read(buf)
		if string(buf[:n]) != want || err != nil {
			t.Fatalf("%q, %v", buf[:n], err)
		}
		next <- struct{}{}
	}
	w.Close()
	if n, err := res.Body.Read(buf); n != 0 || err != io.EOF {
		t.Errorf("at the end %q, %v", buf[:n], err)
	}
}

// pipes is a network in memory without buffers, so that what waits shows.
type pipes struct {
	ch   chan net.Conn
	done chan struct{}
	once sync.Once
}

func newPipes() *pipes { return &pipes{ch: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.ch:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
func (p *pipes) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	a, b := net.Pipe()
	select {
	case p.ch <- b:
		return a, nil
	case <-p.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// inMemory runs handler as a gateway and a relay before it, and returns a way to the
// relay.
func inMemory(t *testing.T, handler http.HandlerFunc) *http.Transport {
	t.Helper()
	behind, front := newPipes(), newPipes()
	r, err := New(Config{Gateway: "http://gateway.example", Dial: behind.Dial})
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	g, s := &http.Server{Handler: handler, ErrorLog: quiet}, &http.Server{Handler: r.Handler(), ErrorLog: quiet}
	go g.Serve(behind)
	go s.Serve(front)
	tr := &http.Transport{DialContext: front.Dial}
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		r.Close()
		s.Close()
		g.Close()
	})
	return tr
}

// TestBackPressure: who doesn't read holds up the gateway; a relay hoards nothing.
func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var written atomic.Int64
		tr := inMemory(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", ohttp.ChunkedResponseType)
			rc := http.NewResponseController(w)
			for range 1000 {
				n, err := w.Write(make([]byte, 1000))
				if err != nil || rc.Flush() != nil {
					return
				}
				written.Add(int64(n))
			}
		})
		req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://relay.example/", strings.NewReader("x"))
		req.Header.Set("Content-Type", ohttp.ChunkedRequestType)
		res, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := written.Load(); n > 32<<10 {
			t.Errorf("%d bytes were taken for a client that reads nothing", n)
		}
		b, err := io.ReadAll(res.Body)
		if len(b) != 1_000_000 || err != nil {
			t.Errorf("%d bytes, %v", len(b), err)
		}
		res.Body.Close()
	})
}

// TestNobodyReads: a client that takes nothing for a minute is gone.
func TestNobodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan struct{})
		tr := inMemory(t, func(w http.ResponseWriter, r *http.Request) {
			defer close(ended)
			w.Header().Set("Content-Type", ohttp.ChunkedResponseType)
			for {
				if _, err := w.Write(make([]byte, 1000)); err != nil {
					return
				}
			}
		})
		req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://relay.example/", strings.NewReader("x"))
		req.Header.Set("Content-Type", ohttp.ChunkedRequestType)
		res, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		select {
		case <-ended:
		case <-time.After(2 * writeTime):
			t.Error("the gateway still writes")
		}
	})
}

// TestNobodySends: a request that doesn't come on ends, however long it claims to be,
// and one that comes slowly has its time.
func TestNobodySends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := make(chan error, 2)
		tr := inMemory(t, func(w http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(io.Discard, r.Body)
			got <- err
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			w.Header().Set("Content-Type", ohttp.ChunkedResponseType)
		})
		send := func(size int64, body io.Reader) (*http.Response, error) {
			req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://relay.example/", body)
			req.Header.Set("Content-Type", ohttp.ChunkedRequestType)
			req.ContentLength = size
			return tr.RoundTrip(req)
		}
		r, w := io.Pipe()
		go io.WriteString(w, "a little")
		begun := time.Now()
		res, err := send(30<<20, r)
		if err == nil {
			if code := codeOf(t, res); res.StatusCode != 400 || code != "malformed" {
				t.Errorf("%d %s", res.StatusCode, code)
			}
		}
		if took := time.Since(begun); took > 2*headTime {
			t.Errorf("it was waited for %v", took)
		}
		w.Close()
		if err := <-got; err == nil {
			t.Error("the gateway takes it for whole")
		}
		r, w = io.Pipe()
		go func() {
			for range 40 {
				w.Write(make([]byte, bodyRate))
				time.Sleep(time.Second)
			}
			w.Close()
		}()
		if res, err = send(-1, r); err != nil || res.StatusCode != 200 {
			t.Errorf("slow and steady: %v, %v", res, err)
		}
		if err := <-got; err != nil {
			t.Errorf("slow and steady: %v", err)
		}
		if res != nil {
			res.Body.Close()
		}
	})
}

// TestClientLeaves: when the client goes, so does the request at the gateway.
func TestClientLeaves(t *testing.T) {
	left := make(chan struct{})
	relay, _ := start(t, nil, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", ohttp.ChunkedResponseType)
		io.WriteString(w, "first")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(left)
	})
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "POST", relay.URL, strings.NewReader("x"))
	req.Header.Set("Content-Type", ohttp.ChunkedRequestType)
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	<-left
	res.Body.Close()
}

// TestGatewayBreaksOff: an answer that is cut ends as an error and not as an end.
func TestGatewayBreaksOff(t *testing.T) {
	relay, _ := start(t, nil, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", ohttp.ChunkedResponseType)
		io.WriteString(w, "half")
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	res, err := http.Post(relay.URL, ohttp.ChunkedRequestType, strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if string(b) != "half" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%q, %v", b, err)
	}
}

// TestKeys: one copy for everybody, asked for again when it is old or said to be, and
// not more often.
func TestKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, err := ohttp.NewServer(ohttp.Seed{1})
		if err != nil {
			t.Fatal(err)
		}
		two, err := ohttp.NewServer(ohttp.Seed{2})
		if err != nil {
			t.Fatal(err)
		}
		doc, status, asked := one.Configs(), 200, 0
		tr := inMemory(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/sotto/v1/ohttp" {
				w.Header().Set("Content-Type", ohttp.ProblemType)
				w.WriteHeader(422)
				return
			}
			if r.RequestURI != "/sotto/v1/ohttp-keys" || len(r.Header) != 0 {
				t.Errorf("the gateway is asked for %s with %v", r.RequestURI, r.Header)
			}
			asked++
			w.WriteHeader(status)
			w.Write(doc)
		})
		get := func() []byte {
			req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://relay.example"+strings.Repeat("/", 1+asked%2)+"ohttp-keys", nil)
			req.Header.Set("User-Agent", "somebody")
			res, err := tr.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			b, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != 200 {
				return nil
			}
			if res.Header.Get("Content-Type") != ohttp.KeysType || res.Header.Get("Cache-Control") != "max-age=60" {
				t.Errorf("header %v", res.Header)
			}
			return b
		}
		want := func(when string, b []byte, times int) {
			t.Helper()
			if got := get(); !bytes.Equal(got, b) || asked != times {
				t.Errorf("%s: %d bytes, asked %d times", when, len(got), asked)
			}
		}
		status = 500
		want("no keys", nil, 1)
		status = 200
		want("at once again", nil, 1)
		time.Sleep(keysPause)
		want("at first", one.Configs(), 2)
		doc = two.Configs()
		time.Sleep(keysFresh - time.Second)
		want("within a minute", one.Configs(), 2)
		time.Sleep(time.Second)
		want("after a minute", two.Configs(), 3)

		doc = one.Configs()
		time.Sleep(keysPause)
		req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://relay.example/", strings.NewReader("x"))
		req.Header.Set("Content-Type", ohttp.RequestType)
		res, err := tr.RoundTrip(req)
		if err != nil || res.StatusCode != 422 {
			t.Fatal(res, err)
		}
		res.Body.Close()
		want("after a problem", one.Configs(), 4)

		for _, bad := range [][]byte{nil, []byte("rubbish!"), make([]byte, ohttp.MaxConfigs+2)} {
			doc = bad
			time.Sleep(keysFresh)
			before := asked
			if bad == nil { // no configuration of a kind that we know is none of our business
				want("none", []byte{}, before+1)
				doc = one.Configs()
				time.Sleep(keysFresh)
				want("some again", one.Configs(), before+2)
				continue
			}
			want("rubbish", one.Configs(), before+1)
		}
		before := asked
		time.Sleep(keysKept)
		want("after a day", nil, before+1)
	})
}

func TestLivez(t *testing.T) {
	relay, _ := start(t, nil, func(http.ResponseWriter, *http.Request) {})
	res, err := http.Get(relay.URL + "/livez")
	if err != nil || res.StatusCode != 200 {
		t.Errorf("%v, %v", res, err)
	}
	res.Body.Close()
}
