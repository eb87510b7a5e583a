// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/software"
	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/proxy"
	"github.com/sotto-chat/sotto/test/testservice"
)

const key = "sk-sotto-0123456789abcdef"

// start runs a proxy over s and returns its address.
func start(t *testing.T, c *client.Client, cfg proxy.Config) string {
	t.Helper()
	cfg.Client, cfg.Key = c, key
	p, err := proxy.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l, err := proxy.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := p.Server()
	go s.Serve(l)
	t.Cleanup(func() { s.Close(); c.CloseNow() })
	return "http://" + l.Addr().String()
}

// request makes a request with the key; fields are name, value, ….
func request(t *testing.T, method, url, body string, fields ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	for i := 0; i < len(fields); i += 2 {
		if fields[i] == "Host" {
			r.Host = fields[i+1]
			continue
		}
		r.Header.Set(fields[i], fields[i+1])
	}
	return r
}

func do(t *testing.T, r *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

type openAIError struct {
	Error struct {
		Message, Type, Code string
		Param               *string
		Verdicts            []attest.Verdict
	}
}

func parseError(t *testing.T, body string) (e openAIError) {
	t.Helper()
	if err := json.Unmarshal([]byte(body), &e); err != nil || e.Error.Message == "" || e.Error.Type == "" {
		t.Errorf("not an OpenAI error: %s", body)
	}
	return e
}

const chat = "/v1/chat/completions"

func say(words string, stream bool) string {
	b, _ := json.Marshal(map[string]any{"model": "test", "stream": stream, "messages": []any{map[string]any{"role": "user", "content": words}}})
	return string(b)
}

func TestGuard(t *testing.T) {
	s := testservice.Start(t, testservice.Options{})
	url := start(t, s.NewClient(client.Config{}), proxy.Config{
		AllowedOrigins: []string{"http://localhost:3000"}, AllowedHosts: []string{"dev.internal"},
	})
	for _, tt := range []struct {
		name   string
		fields []string
		want   int
		code   string
	}{
		{"by address", nil, 200, ""},
		{"localhost", []string{"Host", "localhost:8788"}, 200, ""},
		{"localhost in capitals", []string{"Host", "LocalHost"}, 200, ""},
		{"a name under localhost", []string{"Host", "app.localhost:8788"}, 200, ""},
		{"IPv6 loopback", []string{"Host", "[::1]:8788"}, 200, ""},
		{"an allowed host", []string{"Host", "dev.internal:8788"}, 200, ""},
		{"a rebound name", []string{"Host", "evil.example"}, 403, "host_not_allowed"},
		{"a name that begins like localhost", []string{"Host", "localhost.evil.example"}, 403, "host_not_allowed"},
		{"a name that begins like an address", []string{"Host", "127.0.0.1.evil.example"}, 403, "host_not_allowed"},
		{"a name that ends like localhost", []string{"Host", "evillocalhost"}, 403, "host_not_allowed"},
		{"under an allowed host", []string{"Host", "x.dev.internal"}, 403, "host_not_allowed"},
		{"another machine", []string{"Host", "192.168.1.5"}, 403, "host_not_allowed"},
		{"an allowed page", []string{"Origin", "http://localhost:3000"}, 200, ""},
		{"another port", []string{"Origin", "http://localhost:30001"}, 403, "origin_not_allowed"},
		{"another scheme", []string{"Origin", "https://localhost:3000"}, 403, "origin_not_allowed"},
		{"an origin that begins alike", []string{"Origin", "http://localhost:3000.evil.example"}, 403, "origin_not_allowed"},
		{"a page of a file", []string{"Origin", "null"}, 403, "origin_not_allowed"},
		{"an empty origin", []string{"Origin", ""}, 403, "origin_not_allowed"},
		{"no key", []string{"Authorization", ""}, 401, "invalid_api_key"},
		{"a wrong key", []string{"Authorization", "Bearer " + key + "x"}, 401, "invalid_api_key"},
		{"another scheme of keys", []string{"Authorization", "Basic " + key}, 401, "invalid_api_key"},
	} {
		resp, body := do(t, request(t, "GET", url+"/v1/models", "", tt.fields...))
		if resp.StatusCode != tt.want {
			t.Errorf("%s: status %d, want %d", tt.name, resp.StatusCode, tt.want)
		}
		if tt.code != "" && parseError(t, body).Error.Code != tt.code {
			t.Errorf("%s: %s", tt.name, body)
		}
		if cors := resp.Header.Get("Access-Control-Allow-Origin"); cors == "*" || (cors != "") != (tt.name == "an allowed page") {
			t.Errorf("%s: Access-Control-Allow-Origin is %q", tt.name, cors)
		}
	}
	if n := s.Upstream.Requests.Load(); n != 0 {
		t.Errorf("%d requests reached the engine", n)
	}
}

func TestPreflight(t *testing.T) {
	s := testservice.Start(t, testservice.Options{})
	url := start(t, s.NewClient(client.Config{}), proxy.Config{AllowedOrigins: []string{"http://localhost:3000"}})
	preflight := func(fields ...string) *http.Response {
		r := request(t, "OPTIONS", url+chat, "", append(fields, "Access-Control-Request-Headers", "authorization,content-type")...)
		r.Header.Del("Authorization") // browsers never send one here
		resp, _ := do(t, r)
		return resp
	}
	if resp := preflight("Origin", "http://localhost:3000"); resp.StatusCode != 204 ||
		resp.Header.Get("Access-Control-Allow-Headers") != "authorization,content-type" || resp.Header.Get("Vary") != "Origin" {
		t.Errorf("allowed: %d %v", resp.StatusCode, resp.Header)
	}
	for _, fields := range [][]string{{"Origin", "http://evil.example"}, {}} {
		if resp := preflight(fields...); resp.StatusCode != 403 || resp.Header.Get("Access-Control-Allow-Headers") != "" {
			t.Errorf("%v: %d %v", fields, resp.StatusCode, resp.Header)
		}
	}
}

// TestBytesPassThrough: what the model server says comes out as it was said.
func TestBytesPassThrough(t *testing.T) {
	s := testservice.Start(t, testservice.Options{})
	url := start(t, s.NewClient(client.Config{}), proxy.Config{})
	for path, body := range map[string]string{
		chat: say("say hello", false), "/v1/completions": `{"model":"test","prompt":"x"}`,
		"/v1/embeddings": `{"model":"test","input":"x"}`, "/v1/responses": `{"model":"test","input":"x"}`,
	} {
		resp, got := do(t, request(t, "POST", url+path, body))
		direct, err := http.Post(s.Upstream.URL+path, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		want, _ := io.ReadAll(direct.Body)
		direct.Body.Close()
		if resp.StatusCode != 200 || got != string(want) {
			t.Errorf("%s: %d\n%s\nwant\n%s", path, resp.StatusCode, got, want)
		}
		if ct := resp.Header.Get("Content-Type"); ct != "application/json" {
			t.Errorf("%s: content type %q", path, ct)
		}
		if id := resp.Header.Get("X-Request-Id"); !strings.HasPrefix(id, "req_") {
			t.Errorf("%s: request id %q", path, id)
		}
		var v struct{ State, Node string }
		if json.Unmarshal([]byte(resp.Header.Get("Sotto-Verdict")), &v) != nil || v.State != "demo" || len(v.Node) != 32 {
			t.Errorf("%s: Sotto-Verdict %q", path, resp.Header.Get("Sotto-Verdict"))
		}
	}
}

// TestBodiesKeepTheirBytes: the salt is put in, nothing else is touched.
func TestBodiesKeepTheirBytes(t *testing.T) {
	s := testservice.Start(t, testservice.Options{})
	url := start(t, s.NewClient(client.Config{}), proxy.Config{})
	const odd = "\n { \"messages\" : [ {\"role\":\"user\",\"content\":\"say \\u00e9\"} ],\t\"unknown\":[1e0,1.50,{}], \"model\":\"test\" }"
	for range 2 {
		if resp, body := do(t, request(t, "POST", url+chat, odd)); resp.StatusCode != 200 {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
	}
	const own = `{"model":"test","cache_salt":"mine","messages":[{"role":"user","content":"say x"}]}`
	do(t, request(t, "POST", url+chat, own))
	bodies := s.Upstream.Bodies()
	var salted struct {
		Salt string `json:"cache_salt"`
	}
	json.Unmarshal(bodies[0], &salted)
	if len(salted.Salt) != 32 || !bytes.Equal(bodies[0], bodies[1]) {
		t.Errorf("salt %q, then %s", salted.Salt, bodies[1])
	}
	if without := strings.Replace(string(bodies[0]), `"cache_salt":"`+salted.Salt+`",`, "", 1); without != odd {
		t.Errorf("the body became\n%s\nwas\n%s", without, odd)
	}
	if string(bodies[2]) != own {
		t.Errorf("a body with a salt became %s", bodies[2])
	}
}

func TestStream(t *testing.T) {
	s := testservice.Start(t, testservice.Options{})
	url := start(t, s.NewClient(client.Config{}), proxy.Config{})
	resp, body := do(t, request(t, "POST", url+chat, strings.Replace(say("count 200", true), `{`, `{"stream_options":{"include_usage":true},`, 1)))
	if resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	var text strings.Builder
	var last string
	usage := 0
	e := client.NewEventReader(strings.NewReader(body))
	for {
		data, err := e.Next()
		if err != nil {
			break
		}
		last = string(data)
		var c struct {
			Unknown string `json:"x_unknown"`
			Choices []struct {
				Delta  struct{ Content string }
				Finish json.RawMessage `json:"finish_reason"`
			}
			Usage *struct {
				CompletionTokens int `json:"completion_tokens"`
			}
		}
		if last == "[DONE]" {
			continue
		}
		if err := json.Unmarshal(data, &c); err != nil || c.Unknown != "kept" {
			t.Fatalf("event %s: %v", data, err)
		}
		if c.Usage != nil {
			usage = c.Usage.CompletionTokens
		}
		for _, choice := range c.Choices {
			text.WriteString(choice.Delta.Content)
			if choice.Finish == nil {
				t.Errorf("an event lacks finish_reason: %s", data)
			}
		}
	}
	if !strings.HasSuffix(text.String(), "199 200") || last != "[DONE]" || usage != 200 {
		t.Errorf("%d bytes of text, last event %s, usage %d", text.Len(), last, usage)
	}
}

func TestErrors(t *testing.T) {
	s := testservice.Start(t, testservice.Options{})
	url := start(t, s.NewClient(client.Config{}), proxy.Config{MaxBody: 4096})
	for _, tt := range []struct {
		name, method, path, body string
		status                   int
		kind, code               string
	}{
		{"not JSON", "POST", chat, "hello", 400, "invalid_request_error", "invalid_json"},
		{"an array", "POST", chat, "[]", 400, "invalid_request_error", "invalid_json"},
		{"null", "POST", chat, "null", 400, "invalid_request_error", "invalid_json"},
		{"trailing bytes", "POST", chat, "{}{}", 400, "invalid_request_error", "invalid_json"},
		{"too large", "POST", chat, `{"x":"` + strings.Repeat("x", 5000) + `"}`, 413, "invalid_request_error", "too_large"},
		{"no messages", "POST", chat, `{"model":"test"}`, 400, "invalid_request_error", ""},
		{"no such model", "POST", chat, strings.Replace(say("x", false), `"test"`, `"absent"`, 1), 404, "invalid_request_error", "model_not_found"},
		{"no such model, streamed", "POST", chat, strings.Replace(say("x", true), `"test"`, `"absent"`, 1), 404, "invalid_request_error", "model_not_found"},
		{"no such model to look at", "GET", "/v1/models/absent", "", 404, "invalid_request_error", "model_not_found"},
		{"too long a context", "POST", chat, say("too long", true), 400, "invalid_request_error", "context_length_exceeded"},
		{"an unknown path", "POST", "/v1/files", "{}", 404, "invalid_request_error", "unknown_url"},
		{"an unknown method", "DELETE", "/v1/models/test", "", 405, "invalid_request_error", "method_not_allowed"},
	} {
		resp, body := do(t, request(t, tt.method, url+tt.path, tt.body))
		e := parseError(t, body).Error
		if resp.StatusCode != tt.status || e.Type != tt.kind || tt.code != "" && e.Code != tt.code {
			t.Errorf("%s: %d %s", tt.name, resp.StatusCode, body)
		}
	}
}

func TestModels(t *testing.T) {
	s := testservice.Start(t, testservice.Options{})
	url := start(t, s.NewClient(client.Config{}), proxy.Config{})
	for path, want := range map[string]string{
		"/v1/models": `"data":[{"id":"test"`, "/v1/models/test": `{"id":"test"`,
		"/v1/models/test/other": `{"id":"test/other"`, "/v1/models/test%2Fother": `{"id":"test/other"`,
	} {
		if resp, body := do(t, request(t, "GET", url+path, "")); resp.StatusCode != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, resp.StatusCode, body)
		}
	}
}

func TestNothingIsSentUnverified(t *testing.T) {
	s := testservice.Start(t, testservice.Options{})
	url := start(t, s.NewClient(client.Config{Platforms: []attest.Platform{software.Platform{}}}), proxy.Config{})
	resp, body := do(t, request(t, "POST", url+chat, say("secret", true)))
	e := parseError(t, body).Error
	if resp.StatusCode != 502 || e.Type != "verification_failed" || e.Code != "software_refused" || len(e.Verdicts) != 1 {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if resp.Header.Get("X-Should-Retry") != "false" || !strings.Contains(resp.Header.Get("Sotto-Verdict"), `"failed"`) {
		t.Errorf("header %v", resp.Header)
	}
	if resp, body := do(t, request(t, "GET", url+"/verdict", "")); resp.StatusCode != 200 || !strings.Contains(body, `"state":"failed"`) {
		t.Errorf("/verdict: %d %s", resp.StatusCode, body)
	}
	if s.Upstream.Requests.Load() != 0 {
		t.Error("something reached the engine")
	}
}

func TestVerdictAndHealth(t *testing.T) {
	s := testservice.Start(t, testservice.Options{Nodes: 2})
	url := start(t, s.NewClient(client.Config{}), proxy.Config{})
	_, body := do(t, request(t, "GET", url+"/verdict", ""))
	var doc struct {
		State, Line string
		Verdicts    []attest.Verdict
	}
	if json.Unmarshal([]byte(body), &doc) != nil || doc.State != "demo" || len(doc.Verdicts) != 2 || len(doc.Verdicts[0].Checks) != 5 {
		t.Errorf("/verdict: %s", body)
	}
	if resp, _ := do(t, request(t, "GET", url+"/healthz", "", "Authorization", "")); resp.StatusCode != 200 {
		t.Errorf("/healthz: %d", resp.StatusCode)
	}
}

func TestServiceAway(t *testing.T) {
	c := client.New(client.Config{Transport: away{}})
	url := start(t, c, proxy.Config{})
	resp, body := do(t, request(t, "POST", url+chat, say("x", false)))
	if e := parseError(t, body).Error; resp.StatusCode != 502 || e.Code != "unreachable" || e.Type != "server_error" {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

type away struct{}

func (away) RoundTrip(context.Context, *client.Request) (*client.Response, error) {
	return nil, errors.New("no route to host")
}

// TestGoneProgramsStopTheEngine: however a program goes away.
func TestGoneProgramsStopTheEngine(t *testing.T) {
	s := testservice.Start(t, testservice.Options{})
	url := start(t, s.NewClient(client.Config{}), proxy.Config{})
	for i, words := range []string{"slow", "wait"} {
		ctx, cancel := context.WithCancel(t.Context())
		r := request(t, "POST", url+chat, say(words, true)).WithContext(ctx)
		if words == "slow" {
			resp, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			if line, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil || !strings.Contains(line, "word0") {
				t.Fatalf("first line %q, %v", line, err)
			}
			cancel()
			resp.Body.Close()
		} else {
			go func() {
				for s.Upstream.Requests.Load() == int64(i) {
					time.Sleep(time.Millisecond)
				}
				cancel()
			}()
			if _, err := http.DefaultTransport.RoundTrip(r); err == nil {
				t.Error("an answer came")
			}
		}
		deadline := time.Now().Add(5 * time.Second)
		for s.Upstream.Cancelled.Load() != int64(i+1) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: the engine goes on", words)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
}

// TestBrokenAnswersDontLookWhole: in a stream there is an error event and no
// [DONE].
func TestBrokenAnswersDontLookWhole(t *testing.T) {
	s := testservice.Start(t, testservice.Options{})
	url := start(t, s.NewClient(client.Config{}), proxy.Config{})
	_, body := do(t, request(t, "POST", url+chat, say("break off", true)))
	if !strings.Contains(body, "only this") && !strings.Contains(body, "this") || !strings.Contains(body, `data: {"error":{`) || strings.Contains(body, "[DONE]") {
		t.Errorf("broken stream: %s", body)
	}
}

func TestListen(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "example.com:0", "127.0.0.1"} {
		if l, err := proxy.Listen(addr); err == nil {
			l.Close()
			t.Errorf("listens on %q", addr)
		} else if strings.HasSuffix(addr, ":0") && !errors.Is(err, proxy.ErrNotLoopback) {
			t.Errorf("%q: %v", addr, err)
		}
	}
	for _, addr := range []string{"127.0.0.1:0", "localhost:0"} {
		l, err := proxy.Listen(addr)
		if err != nil {
			t.Errorf("%q: %v", addr, err)
			continue
		}
		l.Close()
	}
}

func TestConfig(t *testing.T) {
	c := client.New(client.Config{Transport: away{}})
	defer c.CloseNow()
	for name, cfg := range map[string]proxy.Config{
		"no client":      {Key: key},
		"a short key":    {Client: c, Key: "short"},
		"origin *":       {Client: c, Key: key, AllowedOrigins: []string{"*"}},
		"origin a path":  {Client: c, Key: key, AllowedOrigins: []string{"http://localhost:3000/"}},
		"origin a host":  {Client: c, Key: key, AllowedOrigins: []string{"localhost:3000"}},
		"origin pattern": {Client: c, Key: key, AllowedOrigins: []string{"http://*.example"}},
		"host *":         {Client: c, Key: key, AllowedHosts: []string{"*"}},
		"host and port":  {Client: c, Key: key, AllowedHosts: []string{"x:1"}},
	} {
		if _, err := proxy.New(cfg); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if a, b := proxy.NewKey(), proxy.NewKey(); a == b || len(a) < 30 {
		t.Errorf("keys %q, %q", a, b)
	}
}

// TestARecorderIsEnough: the handler works without a connection below it.
func TestARecorderIsEnough(t *testing.T) {
	s := testservice.Start(t, testservice.Options{})
	c := s.NewClient(client.Config{})
	defer c.CloseNow()
	p, err := proxy.New(proxy.Config{Client: c, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, request(t, "POST", "http://localhost"+chat, say("say hi", false)))
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"hi"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
