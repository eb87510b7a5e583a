// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"modelserver": modelServer,
		"sottod": func() {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
		},
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			// Programs under test are built from this module, in its caches.
			root, err := filepath.Abs(filepath.Join("..", ".."))
			if err != nil {
				return err
			}
			out, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE", "GOPROXY").Output()
			if err != nil {
				return err
			}
			v := strings.Split(string(out), "\n")
			e.Setenv("GOCACHE", v[0])
			e.Setenv("GOMODCACHE", v[1])
			e.Setenv("GOPROXY", v[2])
			e.Setenv("ROOT", root)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"waitfor":        waitFor,
			"waitcheckpoint": waitCheckpoint,
			"releasekey":     releaseKey,
			"release":        signRelease,
			"post":           post,
			"get":            get,
			"makeaccount":    makeAccount,
			"askas":          askAs,
		},
	})
}

// The page is bound to its origin: another name for the same address, as in DNS
// rebinding, reaches nothing.
func TestOnlyHosts(t *testing.T) {
	origin, err := url.Parse("http://localhost:8787")
	if err != nil {
		t.Fatal(err)
	}
	h := onlyHosts(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "inside")
	}), origin, "127.0.0.1:8787")
	for _, tt := range []struct {
		host, mode string
		status     int
		location   string
	}{
		{"localhost:8787", "navigate", 200, ""},
		{"127.0.0.1:8787", "", 200, ""},
		{"127.0.0.1:8787", "navigate", 307, "http://localhost:8787/chat/x"},
		{"localhost", "", 421, ""},
		{"localhost:8788", "", 421, ""},
		{"rebound.example:8787", "", 421, ""},
		{"rebound.example:8787", "navigate", 421, ""},
		{"", "", 421, ""},
	} {
		r := httptest.NewRequest("GET", "/chat/x", nil)
		r.Host = tt.host
		if tt.mode != "" {
			r.Header.Set("Sec-Fetch-Mode", tt.mode)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != tt.status || w.Header().Get("Location") != tt.location {
			t.Errorf("host %q, mode %q: %d to %q, want %d to %q", tt.host, tt.mode, w.Code, w.Header().Get("Location"), tt.status, tt.location)
		}
		if w.Code == 421 && strings.Contains(w.Body.String(), "inside") {
			t.Errorf("host %q reached the handler", tt.host)
		}
	}
}

// What the account passes on to the gateway says nothing of whose it is.
func TestPassOnTellsNothing(t *testing.T) {
	var got http.Header
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header
		w.Header().Set("Content-Type", "application/sotto-answer")
		io.Copy(w, r.Body)
	}))
	defer gateway.Close()
	behind, err := url.Parse(gateway.URL)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(passOn(behind))
	defer front.Close()

	r, err := http.NewRequest("POST", front.URL+"/sotto/v1/seal", strings.NewReader("sealed"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/sotto-request")
	for _, name := range []string{"Cookie", "Authorization", "User-Agent", "X-Forwarded-For", "Forwarded", "Traceparent", "Referer", "Origin", "Accept-Language", "If-None-Match"} {
		r.Header.Set(name, "somebody")
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || string(body) != "sealed" {
		t.Fatalf("got %q, %v", body, err)
	}
	for name := range got {
		switch name {
		case "Content-Type", "Content-Length", "Accept-Encoding":
		default:
			t.Errorf("the gateway sees %s: %q", name, got.Get(name))
		}
	}
}

// TestPassOnTakesSealedBytesOnly: a gateway must not become the page's origin.
func TestPassOnTakesSealedBytesOnly(t *testing.T) {
	answer := func(kind string, status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h.Set("Content-Type", kind)
			h.Set("Set-Cookie", "sotto_session=theirs; Path=/")
			h.Set("Location", "https://elsewhere.example/")
			h.Set("Clear-Site-Data", "\"storage\"")
			h.Set("Retry-After", "7")
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	}
	for _, tt := range []struct {
		name, kind string
		status     int
		want       int
	}{
		{"list", "application/json", 200, 200},
		{"answer", "application/sotto-answer", 200, 200},
		{"refusal", "application/json", 503, 503},
		{"page", "text/html", 200, 502},
		{"script", "text/javascript", 200, 502},
		{"picture that is a page", "image/svg+xml", 200, 502},
		{"two types", "application/json, text/html", 200, 502},
		{"redirect", "application/json", 302, 502},
	} {
		t.Run(tt.name, func(t *testing.T) {
			gateway := httptest.NewServer(answer(tt.kind, tt.status, "<script>stolen</script>"))
			defer gateway.Close()
			at, err := url.Parse(gateway.URL)
			if err != nil {
				t.Fatal(err)
			}
			w := httptest.NewRecorder()
			passOn(at).ServeHTTP(w, httptest.NewRequest("GET", "/sotto/v1/nodes", nil))
			if w.Code != tt.want {
				t.Errorf("status %d, want %d", w.Code, tt.want)
			}
			if tt.want == 502 && strings.Contains(w.Body.String(), "stolen") {
				t.Error("the gateway's document came through")
			}
			for _, name := range []string{"Set-Cookie", "Location", "Clear-Site-Data"} {
				if v := w.Header().Get(name); v != "" {
					t.Errorf("%s: %s", name, v)
				}
			}
			if tt.want != 502 && (w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Header().Get("Retry-After") != "7") {
				t.Errorf("header %v", w.Header())
			}
		})
	}
}

// A refusal that comes before the request's end ends the connection: what is
// still to come of the request is nobody's next one.
// TestPassOnNothingEarly: a gateway sets no cookie ahead of its answer either.
func TestPassOnNothingEarly(t *testing.T) {
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Set-Cookie", "a=b")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Content-Type", "application/json")
	}))
	defer gateway.Close()
	at, err := url.Parse(gateway.URL)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(passOn(at))
	defer front.Close()
	early := 0
	trace := &httptrace.ClientTrace{Got1xxResponse: func(int, textproto.MIMEHeader) error { early++; return nil }}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), "GET", front.URL+"/sotto/v1/nodes", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 || early > 0 || resp.Header.Get("Set-Cookie") != "" {
		t.Errorf("status %d after %d others, %v", resp.StatusCode, early, resp.Header)
	}
}

func TestPassOnRefusalEndsTheConnection(t *testing.T) {
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	}))
	defer gateway.Close()
	at, err := url.Parse(gateway.URL)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(passOn(at))
	defer front.Close()
	resp, err := http.Post(front.URL+"/sotto/v1/seal", "application/sotto-request", strings.NewReader("sealed"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 413 || !resp.Close {
		t.Errorf("status %d, the connection ends: %v", resp.StatusCode, resp.Close)
	}
}

func TestPassOnWithoutGateway(t *testing.T) {
	front := httptest.NewServer(passOn(&url.URL{Scheme: "http", Host: "127.0.0.1:1"}))
	defer front.Close()
	resp, err := http.Post(front.URL+"/sotto/v1/seal", "application/sotto-request", strings.NewReader("sealed"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 502 || !strings.Contains(string(body), `"code":"no_node"`) {
		t.Errorf("got %d %s, %v", resp.StatusCode, body, err)
	}
}

// One task's failure ends the others and is what is told.
func TestTogether(t *testing.T) {
	broken := errors.New("broken")
	err := together(t.Context(),
		func(ctx context.Context) error { <-ctx.Done(); return nil },
		func(context.Context) error { return broken },
	)
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestParseOrigin(t *testing.T) {
	for s, ok := range map[string]bool{
		"https://chat.example": true, "http://localhost:8787": true,
		"https://chat.example/": false, "chat.example": false, "ftp://chat.example": false,
		"https://user@chat.example": false, "https://chat.example?x": false, "": false,
	} {
		if _, err := parseOrigin(s); (err == nil) != ok {
			t.Errorf("%q: %v", s, err)
		}
	}
}

// TestBrief: an answer that nobody reads ends, and with it what waits to be sent.
func TestBrief(t *testing.T) {
	ended := make(chan error, 1)
	s := brief(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var err error
		for b := make([]byte, 1<<20); err == nil; {
			_, err = w.Write(b)
		}
		ended <- err
	}))
	if s.WriteTimeout <= 0 {
		t.Fatal("an answer may take for ever")
	}
	s.WriteTimeout = 50 * time.Millisecond
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(l)
	defer s.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("ended with %v", err)
	}
}
