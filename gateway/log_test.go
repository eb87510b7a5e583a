// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sotto-chat/sotto/internal/door"
	"github.com/sotto-chat/sotto/internal/lines"
)

// logServer is a log, as far as a gateway sees it, in place of the network.
type logServer struct {
	mu     sync.Mutex
	answer func(r *http.Request) (status int, header http.Header, body string)
	asked  []*http.Request
}

func (l *logServer) RoundTrip(r *http.Request) (*http.Response, error) {
	l.mu.Lock()
	l.asked = append(l.asked, r)
	answer := l.answer
	l.mu.Unlock()
	if answer == nil {
		return nil, io.ErrUnexpectedEOF
	}
	status, header, body := answer(r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body))}, nil
}

func (l *logServer) say(answer func(*http.Request) (int, http.Header, string)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answer = answer
}

func (l *logServer) says(body string) {
	l.say(func(*http.Request) (int, http.Header, string) {
		return 200, http.Header{"Content-Type": {"application/json"}}, body
	})
}

func (l *logServer) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.asked)
}

// following is a gateway that follows l.
func following(t testing.TB, l *logServer) *Gateway {
	t.Helper()
	g, err := New(Config{Nodes: []string{"http://127.0.0.1:1"}, Log: "https://log.example/base"})
	if err != nil {
		t.Fatal(err)
	}
	g.publicLog.client = l
	return g
}

func getView(t testing.TB, g *Gateway, query string) (status int, body, code string, header http.Header) {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/sotto/v1/log"+query, nil)
	r.Header.Set("Cookie", "who=me")
	r.Header.Set("X-Forwarded-For", "192.0.2.7")
	g.Handler().ServeHTTP(w, r)
	body = w.Body.String()
	if w.Code != 200 {
		var doc struct {
			Error struct{ Code, Message string }
		}
		if err := json.Unmarshal([]byte(body), &doc); err != nil || doc.Error.Message == "" {
			t.Fatalf("status %d with %q", w.Code, body)
		}
		code = doc.Error.Code
	}
	if got := w.Header().Get("Content-Type"); got != "application/json" { // all that the account passes on
		t.Errorf("content type %q", got)
	}
	if w.Header().Get("Cache-Control") != "no-store" {
		t.Error("it may be cached")
	}
	return w.Code, body, code, w.Header()
}

// The log's bytes go on as they are, whatever they are.
func TestLogIsPassedOn(t *testing.T) {
	l := &logServer{}
	g := following(t, l)
	const odd = "{ \"v\":1,\n\"checkpoint\": \"…\" }\r\n"
	l.says(odd)
	status, body, _, header := getView(t, g, "") // the first one asks for it
	if status != 200 || body != odd || header.Get("Content-Length") == "" {
		t.Errorf("%d %q", status, body)
	}
	getView(t, g, "")
	if l.count() != 1 {
		t.Errorf("the log was asked %d times for two clients", l.count())
	}
	g.publicLog.polled = time.Time{}
	if getView(t, g, ""); l.count() != 1 {
		t.Error("a client that could have the copy made it ask")
	}
	r := l.asked[0]
	if got := r.URL.String(); got != "https://log.example/base/sotto/v1/log" {
		t.Errorf("asked for %s", got)
	}
	if ua, set := r.Header["User-Agent"]; !set || ua != nil || len(r.Header) != 1 || r.Body != nil {
		t.Errorf("more was said than has to be: %v", r.Header)
	}
}

func TestWithoutALog(t *testing.T) {
	g, err := New(Config{Nodes: []string{"http://127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	if status, _, code, _ := getView(t, g, ""); status != 404 || code != door.NotFound {
		t.Errorf("%d %s", status, code)
	}
	var m bytes.Buffer
	if g.WriteMetrics(&m); strings.Contains(m.String(), "_log_") {
		t.Error("figures of a log that there isn't")
	}
	for _, good := range []string{"http://log.example", "https://log.example/"} {
		if _, err := New(Config{Nodes: []string{"http://127.0.0.1:1"}, Log: good}); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"log.example", "ftp://log.example", "https://u@log.example", "https://log.example?a=b", "https://log.example#a", "https://", "://"} {
		if _, err := New(Config{Nodes: []string{"http://127.0.0.1:1"}, Log: bad}); err == nil || !strings.Contains(err.Error(), "address of a log") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// What isn't a view, or is too long to be one, doesn't take the place of one.
func TestBadViews(t *testing.T) {
	kind := http.Header{"Content-Type": {"application/json; charset=utf-8"}}
	for name, answer := range map[string]func(*http.Request) (int, http.Header, string){
		"nothing":  nil,
		"empty":    func(*http.Request) (int, http.Header, string) { return 200, kind, "" },
		"too long": func(*http.Request) (int, http.Header, string) { return 200, kind, strings.Repeat("x", maxView+1) },
		"a page": func(*http.Request) (int, http.Header, string) {
			return 200, http.Header{"Content-Type": {"text/html"}}, "x"
		},
		"of no type":      func(*http.Request) (int, http.Header, string) { return 200, http.Header{}, "x" },
		"an error":        func(*http.Request) (int, http.Header, string) { return 500, kind, "x" },
		"unasked: as was": func(*http.Request) (int, http.Header, string) { return 304, kind, "" },
		"a redirect": func(*http.Request) (int, http.Header, string) {
			return 302, http.Header{"Content-Type": {"application/json"}, "Location": {"https://elsewhere.example"}}, "x"
		},
	} {
		l := &logServer{}
		l.say(answer)
		g := following(t, l)
		status, _, code, header := getView(t, g, "")
		if status != 503 || code != door.LogUnreachable || header.Get("Retry-After") == "" {
			t.Errorf("%s, at first: %d %s", name, status, code)
		}
		if status, _, code, _ := getView(t, g, "?from=0"); status != 503 || code != door.LogUnreachable {
			t.Errorf("%s, from 0: %d %s", name, status, code)
		}
		// A good one stays.
		g = following(t, l)
		l.says("good")
		g.publicLog.poll(t.Context())
		getView(t, g, "?from=0")
		l.say(answer)
		if _, err := g.publicLog.poll(t.Context()); err == nil {
			t.Errorf("%s: no error", name)
		}
		g.publicLog.older[0] = view{doc: []byte("good"), came: time.Now().Add(-time.Hour)}
		for _, query := range []string{"", "?from=0"} {
			if status, body, _, _ := getView(t, g, query); status != 200 || body != "good" {
				t.Errorf("%s, later, %q: %d %q", name, query, status, body)
			}
		}
		var m bytes.Buffer
		if g.WriteMetrics(&m); !strings.Contains(m.String(), "sotto_gateway_log_failures_total 1\n") || !strings.Contains(m.String(), "sotto_gateway_log_age_seconds 0\n") {
			t.Errorf("%s: %s", name, m.String())
		}
	}
	l := &logServer{}
	l.says(strings.Repeat("x", maxView))
	if status, body, _, _ := getView(t, following(t, l), ""); status != 200 || len(body) != maxView {
		t.Errorf("the longest view: %d, %d bytes", status, len(body))
	}
}

// The log is polled; what hasn't changed isn't sent again; its coming and going is
// said once each.
func TestLogIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		l := &logServer{}
		g := following(t, l)
		g.log = lines.To(slog.New(slog.NewTextHandler(&log, nil)))
		version, sent := "one", 0
		tagged := func(r *http.Request) (int, http.Header, string) {
			if r.Header.Get("If-None-Match") == `"`+version+`"` {
				return 304, http.Header{}, ""
			}
			sent++
			return 200, http.Header{"Content-Type": {"application/json"}, "Etag": {`"` + version + `"`}}, version
		}
		l.say(tagged)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); g.followLog(ctx, g.publicLog, func() {}) }()
		wait := func(want string) {
			t.Helper()
			time.Sleep(g.cfg.LogEvery + time.Second/10)
			synctest.Wait()
			if _, body, _, _ := getView(t, g, ""); body != want {
				t.Errorf("%q, want %q", body, want)
			}
		}
		wait("one")
		wait("one")
		if sent != 1 || time.Since(g.publicLog.newest().came) > g.cfg.LogEvery {
			t.Errorf("it was sent %d times, and came %v ago", sent, time.Since(g.publicLog.newest().came))
		}
		version = "two"
		wait("two")
		l.say(nil)
		wait("two")
		wait("two")
		l.say(tagged)
		wait("two")
		l.say(func(r *http.Request) (int, http.Header, string) { <-r.Context().Done(); return 0, nil, "" })
		time.Sleep(g.cfg.LogEvery)
		synctest.Wait()
		stop() // while it asks, which is no news of the log
		<-done
		if n := strings.Count(log.String(), "doesn't answer"); n != 1 {
			t.Errorf("its going was said %d times:\n%s", n, log.String())
		}
		if n := strings.Count(log.String(), "log answers"); n != 2 {
			t.Errorf("its coming was said %d times:\n%s", n, log.String())
		}
	})
}

func TestLogFrom(t *testing.T) {
	l := &logServer{}
	g := following(t, l)
	l.say(func(r *http.Request) (int, http.Header, string) {
		return 200, http.Header{"Content-Type": {"application/json"}}, "view " + r.URL.RawQuery
	})
	for query, want := range map[string]string{
		"?from=0": "view from=0", "?from=256": "view from=256", "?from=281474976710656": "view from=281474976710656", "?": "view ",
		"?from=": "", "?from=1": "", "?from=-256": "", "?from=0256": "", "?from=%32%35%36": "", "?from=256&from=512": "", "?from=+256": "",
		"?upto=256": "", "?256": "", "?from": "", "?from=256.0": "", "?from=281474976710912": "", "?from=99999999999999999999": "", "?until=256": "", "?from=256&x=1": "", "?x=1": "",
	} {
		status, body, code, _ := getView(t, g, query)
		if want == "" && (status != 400 || code != door.Malformed) || want != "" && body != want {
			t.Errorf("%s: %d %s %q", query, status, code, body)
		}
	}
	// Within seconds the log isn't asked again, and strangers can't make it keep
	// more than so many.
	synctest.Test(t, func(t *testing.T) {
		before := l.count()
		getView(t, g, "?from=512")
		getView(t, g, "?from=512")
		if n := l.count() - before; n != 1 {
			t.Errorf("the log was asked %d times", n)
		}
		time.Sleep(olderLife)
		getView(t, g, "?from=512")
		if n := l.count() - before; n != 2 {
			t.Errorf("after a while the log was asked %d times", n)
		}
	})
	g = following(t, l)
	for i := range 3 * maxOlder {
		g.publicLog.from(t.Context(), int64(i)*viewSpan)
		if n := len(g.publicLog.older); n != i%maxOlder+1 {
			t.Fatalf("of %d views %d are kept", i+1, n)
		}
	}
}

// What broke off on its way is no view, and a poll ends when whoever asks for it does.
func TestLogBreaksOff(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", "1000")
		io.WriteString(w, "half")
	}))
	defer s.Close()
	g, err := New(Config{Nodes: []string{"http://127.0.0.1:1"}, Log: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	if status, _, code, _ := getView(t, g, ""); status != 503 || code != door.LogUnreachable {
		t.Errorf("%d %s", status, code)
	}
	g.publicLog.polling <- struct{}{} // somebody polls
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := g.publicLog.poll(ctx); err == nil {
		t.Error("a poll that nobody waits for went on")
	}
}

// The log isn't asked more than once in a second because a client finds no view.
func TestLogIsNotAskedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &logServer{}
		g := following(t, l)
		for _, tt := range []struct {
			wait time.Duration
			want int
		}{{0, 1}, {0, 1}, {time.Second, 1}, {1, 2}, {time.Second + 1, 3}} {
			time.Sleep(tt.wait)
			getView(t, g, "")
			if n := l.count(); n != tt.want {
				t.Errorf("after %v more it was asked %d times, want %d", tt.wait, n, tt.want)
			}
		}
	})
}

// A log that hangs holds up a few clients and no more.
func TestLogIsAskedForFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &logServer{}
		g := following(t, l)
		l.say(func(r *http.Request) (int, http.Header, string) { <-r.Context().Done(); return 0, nil, "" })
		var wg sync.WaitGroup
		var mu sync.Mutex
		codes := map[string]int{}
		for i := range 10 {
			wg.Go(func() {
				_, _, code, header := getView(t, g, "?from="+[]string{"0", "256", "512", "768", "1024", "1280", "1536", "1792", "2048", "2304"}[i])
				if header.Get("Retry-After") == "" {
					t.Errorf("%s: it isn't said when to come again", code)
				}
				mu.Lock()
				defer mu.Unlock()
				codes[code]++
			})
		}
		wg.Wait()
		if codes[door.Busy] != 10-maxAsking || codes[door.LogUnreachable] != maxAsking {
			t.Errorf("%v", codes)
		}
		// Of clients that come before there is a view, one asks, or two if they came
		// while it did.
		before := l.count()
		for range 5 {
			wg.Go(func() { getView(t, g, "") })
		}
		wg.Wait()
		if n := l.count() - before; n > 2 {
			t.Errorf("asked %d times", n)
		}
	})
}
