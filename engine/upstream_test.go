// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// serve starts a model server made of one handler and opens an engine on it.
func serve(t *testing.T, h http.HandlerFunc) Engine {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body) // net/http notices a client that leaves only once the body is read
		if err != nil {
			t.Error(err)
		}
		r.Body = io.NopCloser(bytes.NewReader(b))
		h(w, r)
	}))
	t.Cleanup(s.Close)
	return open(t, s.URL+"/v1")
}

func open(t *testing.T, spec string) Engine {
	t.Helper()
	e, err := Open(Options{Spec: spec, FirstByte: 300 * time.Millisecond, Idle: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

var chatRequest = &Request{Method: "POST", Path: "/v1/chat/completions", ContentType: "application/json", Body: []byte(`{"stream":true, "x_unknown" : 1}`)}

// answer performs the request and reads the whole body.
func answer(t *testing.T, e Engine, req *Request) (*Response, string, error) {
	t.Helper()
	res, err := e.Do(context.Background(), req)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res, string(b), err
}

func TestBytesPassThrough(t *testing.T) {
	const odd = ": hello\n\ndata: {\"choices\":[{\"delta\":{\"reasoning\":\"a\"}}],  \"odd\":1}\n\nevent: x\r\nid: 7\r\ndata: {\"choices\":[{\"delta\":{\"reasoning_content\":\"b\"}}]}\r\n\r\ndata:{}\n\ndata: [DONE]\n\n"
	var got, auth, agent string
	e := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got, auth, agent = r.Method+" "+r.URL.Path+" "+r.Header.Get("Content-Type")+" "+string(b), r.Header.Get("Authorization"), r.Header.Get("Accept-Encoding")
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		io.WriteString(w, odd)
	})
	res, body, err := answer(t, e, chatRequest)
	if err != nil {
		t.Fatal(err)
	}
	if want := "POST /v1/chat/completions application/json " + string(chatRequest.Body); got != want || auth != "" || agent != "" {
		t.Errorf("the server got %q, %q, %q", got, auth, agent)
	}
	if body != odd || res.ContentType != "text/event-stream" || res.Status != 200 {
		t.Errorf("got %q %q", res.ContentType, body)
	}
}

func TestClosedDoors(t *testing.T) {
	e := serve(t, func(w http.ResponseWriter, r *http.Request) { t.Errorf("%s %s reached the server", r.Method, r.URL) })
	for _, r := range []Request{
		{Method: "DELETE", Path: "/v1/models/x"}, {Method: "GET", Path: "/slots"}, {Method: "GET", Path: "/v1/../slots"},
		{Method: "GET", Path: "/v1/models/../../slots"}, {Method: "GET", Path: "/v1/models?reload=1"}, {Method: "GET", Path: "/v1/models/%2e%2e"},
		{Method: "GET", Path: "/v1/models/"}, {Method: "GET", Path: "/v1/responses/resp_1"}, {Method: "POST", Path: "/v1/files"},
		{Method: "POST", Path: "/api/pull"}, {Method: "POST", Path: "/v1/chat/completions/control"}, {Method: "POST", Path: "http://evil/v1/chat/completions"},
		{Method: "POST", Path: "/v1/load_lora_adapter"}, {Method: "CONNECT", Path: "/v1/models"}, {Method: "GET", Path: "/v1/models/a\r\nb"},
		{Method: "POST", Path: "/v1/chat/completions", Body: make([]byte, MaxRequest+1)},
	} {
		if _, _, err := answer(t, e, &r); err == nil {
			t.Errorf("%s %s was let through", r.Method, r.Path)
		}
	}
}

// TestFailures goes through every way in which a model server lets one down.
func TestFailures(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	raw := func(answer string) Engine { // a server of the bytes alone
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				c.Read(make([]byte, 4096))
				io.WriteString(c, answer)
				c.Close()
			}
		}()
		return open(t, "http://"+l.Addr().String())
	}
	status := func(code int, contentType, body string) Engine {
		return serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(code)
			io.WriteString(w, body)
		})
	}
	silent := serve(t, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	headersOnly := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	for _, c := range []struct {
		name   string
		e      Engine
		code   string
		status int
	}{
		{"refused", open(t, "http://"+closed.Addr().String()), CodeRefused, 502},
		{"no socket", open(t, "unix:"+filepath.Join(t.TempDir(), "none.sock")), CodeRefused, 502},
		{"DNS", open(t, "http://no-such-host.invalid:8000"), CodeDNS, 502},
		{"silent", silent, CodeSlow, 504},
		{"headers only", headersOnly, CodeSlow, 504},
		{"hangs up", raw(""), CodeCut, 502},
		{"not HTTP", raw("SSH-2.0-OpenSSH_9.2\r\n"), CodeMalformed, 502},
		{"TLS wanted", raw("\x15\x03\x01\x00\x02\x02\x46"), CodeMalformed, 502},
		{"a web page", status(200, "text/html", "<html>"), CodeMalformed, 502},
		{"a web page that isn't there", status(404, "text/html", "<!doctype html><title>404</title>"), CodeMalformed, 502},
		{"redirect", status(302, "text/plain", ""), CodeMalformed, 502},
		{"error with status 200", status(200, "application/json", ` {"error":"Unexpected endpoint or method. (POST /v1/x)"}`), CodeFailed, 502},
		{"key wanted", status(401, "application/json", `{"error":{"message":"Invalid API Key","type":"authentication_error","code":401}}`), CodeUnauthorized, 502},
		{"too many", status(429, "application/json", `{"error":{"message":"slow down"}}`), CodeRateLimit, 429},
		{"busy", status(503, "text/plain", `upstream`), CodeBusy, 503},
		{"failed", status(500, "text/html", `<h1>oh</h1>`), CodeFailed, 502},
		{"failed with words", status(500, "application/json", `{"error":{"message":"CUDA out of memory"}}`), CodeFailed, 502},
		{"no such path", status(404, "text/plain", `404 page not found`), CodeUnsupported, 404},
		{"invalid", status(400, "application/json", `{"error":{"message":"bad temperature","type":"invalid_request_error","param":"temperature","code":400}}`), CodeInvalidRequest, 400},
		{"FastAPI", status(422, "application/json", `{"detail":[{"loc":["body"],"msg":"field required"}]}`), CodeInvalidRequest, 422},
	} {
		_, body, err := answer(t, c.e, chatRequest)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%s: got %q, %v", c.name, body, err)
			continue
		}
		if e.Code != c.code || e.Status != c.status {
			t.Errorf("%s: %d %s", c.name, e.Status, e.Code)
		}
		if !strings.HasSuffix(e.Message, ".") || strings.Contains(e.Message, "\n") || len(e.Message) > 400 {
			t.Errorf("%s isn't a plain sentence: %q", c.name, e.Message)
		}
		if c.code == CodeRateLimit && e.RetryAfter != 7*time.Second {
			t.Errorf("retry after %v", e.RetryAfter)
		}
		var doc struct {
			Error struct{ Message, Type, Code string }
		}
		if json.Unmarshal(e.JSON(), &doc) != nil || doc.Error.Message != e.Message || doc.Error.Code != c.code || doc.Error.Type == "" {
			t.Errorf("%s: %s", c.name, e.JSON())
		}
		t.Logf("%-28s %s", c.name, e.Message)
	}
}

// TestDialects: what servers really say, and what a person reads.
func TestDialects(t *testing.T) {
	for _, c := range []struct {
		server, path string
		status       int
		body, code   string
	}{
		{"llama.cpp", chatRequest.Path, 400, `{"error":{"code":400,"message":"request (1025 tokens) exceeds the available context size (256 tokens), try increasing it","type":"exceed_context_size_error","n_prompt_tokens":1025,"n_ctx":256}}`, CodeContextLength},
		{"vLLM", chatRequest.Path, 400, `{"object":"error","message":"This model's maximum context length is 4096 tokens. However, you requested 5000 tokens in the messages, Please reduce the length of the messages.","type":"BadRequestError","param":null,"code":400}`, CodeContextLength},
		{"vLLM, newer", chatRequest.Path, 400, `{"error":{"message":"The decoder prompt (length 5000) is longer than the maximum model length of 4096.","type":"BadRequestError","param":null,"code":400}}`, CodeContextLength},
		{"SGLang", chatRequest.Path, 400, `{"object":"error","message":"The input (5000 tokens) is longer than the model's context length (4096 tokens).","type":"BadRequestError","code":400}`, CodeContextLength},
		{"Ollama", chatRequest.Path, 400, `{"error":{"message":"input length exceeds maximum context length","type":"invalid_request_error","param":null,"code":null}}`, CodeContextLength},
		{"Ollama, newer", chatRequest.Path, 400, `{"error":{"message":"prompt too long; exceeded max context length by 4 tokens","type":"invalid_request_error"}}`, CodeContextLength},
		{"LM Studio", chatRequest.Path, 400, `{"error":"Trying to keep the first 5000 tokens when context the overflows. However, the model is loaded with context length of only 4096 tokens, which is not enough."}`, CodeContextLength},
		{"LM Studio, newer", chatRequest.Path, 400, `{"error":"The number of tokens to keep from the initial prompt is greater than the context length (n_keep: 13055>= n_ctx: 4096)."}`, CodeContextLength},
		{"LM Studio, newest", chatRequest.Path, 400, `{"error":"Cannot truncate prompt with n_keep (15028) >= n_ctx (7424)"}`, CodeContextLength},
		{"OpenAI", chatRequest.Path, 400, `{"error":{"message":"too long","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}`, CodeContextLength},
		{"Ollama", chatRequest.Path, 404, `{"error":{"message":"model \"x\" not found, try pulling it first","type":"api_error","param":null,"code":null}}`, CodeModelNotFound},
		{"vLLM", chatRequest.Path, 404, "{\"object\":\"error\",\"message\":\"The model `x` does not exist.\",\"type\":\"NotFoundError\",\"param\":null,\"code\":404}", CodeModelNotFound},
		{"LM Studio", chatRequest.Path, 400, `{"error":{"message":"Model \"x\" not found","type":"invalid_request_error","param":"model","code":"model_not_found"}}`, CodeModelNotFound},
		{"llama.cpp", chatRequest.Path, 400, `{"error":{"code":400,"message":"model 'x' not found","type":"invalid_request_error"}}`, CodeModelNotFound},
		{"Ollama", chatRequest.Path, 400, `{"error":{"message":"registry.ollama.ai/library/gemma:2b does not support tools","type":"api_error"}}`, CodeToolsRefused},
		{"vLLM", chatRequest.Path, 400, `{"object":"error","message":"\"auto\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set","type":"BadRequestError","code":400}`, CodeToolsRefused},
		{"llama.cpp", chatRequest.Path, 500, `{"error":{"code":500,"message":"tools param requires --jinja flag","type":"server_error"}}`, CodeToolsRefused},
		{"llama.cpp", chatRequest.Path, 500, `{"error":{"code":500,"message":"image input is not supported - hint: if this is unexpected, you may need to provide the mmproj","type":"server_error"}}`, CodeImagesRefused},
		{"vLLM", chatRequest.Path, 400, `{"error":{"message":"/models/x is not a multimodal model","type":"BadRequestError"}}`, CodeImagesRefused},
		{"llama.cpp", "/v1/embeddings", 501, "{\"error\":{\"code\":501,\"message\":\"This server does not support embeddings. Start it with `--embeddings`\",\"type\":\"not_supported_error\"}}", CodeEmbeddingsRefused},
		{"vLLM", "/v1/embeddings", 404, `{"detail":"Not Found"}`, CodeEmbeddingsRefused},
		{"Ollama", "/v1/embeddings", 400, `{"error":{"message":"this model does not support embeddings","type":"api_error"}}`, CodeEmbeddingsRefused},
		{"llama.cpp", chatRequest.Path, 503, `{"error":{"message":"Loading model","type":"unavailable_error","code":503}}`, CodeLoading},
	} {
		e := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(c.status)
			io.WriteString(w, c.body)
		})
		_, _, err := answer(t, e, &Request{Method: "POST", Path: c.path, Body: []byte(`{}`)})
		var got *Error
		if !errors.As(err, &got) || got.Code != c.code {
			t.Errorf("%s: %s\n gave %+v", c.server, c.body, got)
		}
	}
}

// TestMidway: an answer that breaks after it has begun keeps what came and ends
// with one error event.
func TestMidway(t *testing.T) {
	const good = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":null}]}\n\n"
	for _, c := range []struct{ name, rest, code string }{
		{"cut", "", CodeCut},
		{"cut within an event", "data: {\"choi", CodeMalformed},
		{"not JSON", "data: {oops}\n\n", CodeMalformed},
		{"not an object", "data: 5\n\n", CodeMalformed},
		{"not SSE", "<html>\n\n", CodeMalformed},
		{"error event", "data: {\"error\":{\"message\":\"Context size has been exceeded.\",\"code\":500,\"type\":\"server_error\"}}\n\n", CodeContextLength},
		{"error field", "error: {\"code\":500,\"message\":\"oh\",\"type\":\"server_error\"}\n\n", CodeFailed},
		{"error text", "data: {\"error\":\"llama runner process no longer running\"}\n\n", CodeFailed},
		{"old vLLM", "data: {\"object\":\"error\",\"message\":\"EngineDeadError\"}\n\ndata: [DONE]\n\n", CodeFailed},
		{"bare JSON", "{\"error\":\"an error was encountered while running the model\"}\n", CodeFailed},
		{"silence", "…", CodeSlow},
		{"huge event", "data: {\"x\":\"" + strings.Repeat("x", maxEvent) + "\"}\n\n", CodeMalformed},
	} {
		e := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, good)
			w.(http.Flusher).Flush()
			if c.rest == "…" {
				<-r.Context().Done()
				return
			}
			io.WriteString(w, c.rest)
		})
		_, body, err := answer(t, e, chatRequest)
		last, ok := strings.CutPrefix(body, good)
		if err != nil || !ok {
			t.Errorf("%s: %q, %v", c.name, body, err)
			continue
		}
		var doc struct {
			Error struct{ Message, Code string }
		}
		data, ok := strings.CutPrefix(last, "data: ")
		if !ok || json.Unmarshal([]byte(data), &doc) != nil || doc.Error.Code != c.code || strings.Contains(last, "[DONE]") {
			t.Errorf("%s: ended with %.300q", c.name, last)
		}
	}
}

// TestEnds: the ways in which a stream may rightly end.
func TestEnds(t *testing.T) {
	for _, s := range []string{
		"data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
		"data: {\"choices\":[]}\n\ndata: [DONE]",
		"event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"error\":null}}\n\n",
		"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
	} {
		e := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, s)
		})
		if _, body, err := answer(t, e, chatRequest); err != nil || strings.Contains(body, `"error":{`) || !strings.HasPrefix(body, s) {
			t.Errorf("%q ended with %q, %v", s, body, err)
		}
	}
}

func TestCutWhole(t *testing.T) {
	e := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", "5000")
		fmt.Fprintf(w, `{"id":"x",%s`, strings.Repeat(" ", 1000))
	})
	_, _, err := answer(t, e, chatRequest)
	var got *Error
	if !errors.As(err, &got) || got.Code != CodeCut {
		t.Errorf("got %v", err)
	}
}

// TestErrorNullIsNoError: a document that begins with "error": null is an answer.
func TestErrorNullIsNoError(t *testing.T) {
	const doc = `{"error":null,"id":"resp_1"}`
	e := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, doc)
	})
	if _, body, err := answer(t, e, chatRequest); err != nil || body != doc {
		t.Errorf("got %q, %v", body, err)
	}
}

// TestStopReachesServer: both ways to stop end the server's request.
func TestStopReachesServer(t *testing.T) {
	for _, how := range []string{"context", "close"} {
		gone := make(chan struct{})
		e := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, "data: {}\n\n")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			close(gone)
		})
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		res, err := e.Do(ctx, chatRequest)
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 100)
		if n, err := res.Body.Read(buf); err != nil || string(buf[:n]) != "data: {}\n\n" {
			t.Fatal(string(buf[:n]), err)
		}
		if how == "context" {
			cancel()
			var got *Error
			if _, err := res.Body.Read(buf); !errors.As(err, &got) || got.Code != CodeStopped {
				t.Errorf("a stopped stream gave %v", err)
			}
		} else {
			res.Body.Close()
		}
		select {
		case <-gone:
		case <-time.After(5 * time.Second):
			t.Errorf("%s: the server went on", how)
		}
	}
}

func TestUnixSocketAndKey(t *testing.T) {
	dir, err := os.MkdirTemp("", "sotto") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	l, err := net.Listen("unix", filepath.Join(dir, "m.sock"))
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"object":"list","data":[{"id":%q,"max_model_len":99}]}`, r.Header.Get("Authorization"))
	})}}
	s.Start()
	defer s.Close()
	e, err := Open(Options{Spec: "unix:" + l.Addr().String(), APIKey: "k"})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	list, err := e.Models(context.Background())
	if err != nil || len(list) != 1 || list[0].ID != "Bearer k" || list[0].Context != 99 {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestModelListsRefused(t *testing.T) {
	for _, body := range []string{"", "[]", "{}", `{"data":5}`, `{"object":"list","data":[{"id":5}]}`, `{"object":"list","data":[` + strings.Repeat(`{"id":"x"},`, maxModels) + `{"id":"x"}]}`,
		`{"object":"list","data":[{"id":"` + strings.Repeat("x", maxModelList) + `"}]}`} {
		if list, err := readModelList(strings.NewReader(body)); err == nil {
			t.Errorf("%.60q gave %d models", body, len(list))
		}
	}
}

func TestAddresses(t *testing.T) {
	for in, want := range map[string]string{
		"http://127.0.0.1:8000":        "http://127.0.0.1:8000/v1/models",
		"http://127.0.0.1:8000/":       "http://127.0.0.1:8000/v1/models",
		"http://127.0.0.1:8000/v1":     "http://127.0.0.1:8000/v1/models",
		"http://127.0.0.1:8000/v1/":    "http://127.0.0.1:8000/v1/models",
		"https://host/openai/v1":       "https://host/openai/v1/models",
		"http://[::1]:1234":            "http://[::1]:1234/v1/models",
		"unix:/run/model.sock":         "http://localhost/v1/models",
		"127.0.0.1:8000":               "",
		"ftp://x":                      "",
		"http://":                      "",
		"http://user:secret@127.0.0.1": "",
		"http://127.0.0.1/?a=b":        "",
		"unix:relative":                "",
		"http://127.0.0.1:8000/v1#x":   "",
		"not an address at all":        "",
	} {
		a, err := parseAddress(in)
		got := ""
		if err == nil {
			got = a.url("/v1/models")
		}
		if got != want {
			t.Errorf("%s: %q, %v", in, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the password is in the error: %v", err)
		}
	}
}

// FuzzEventStream: whatever a server sends, the reader gets whole events of JSON
// and a definite end.
func FuzzEventStream(f *testing.F) {
	for _, s := range []string{"data: {}\n\ndata: [DONE]\n\n", "data: {\"a\":\ndata: 1}\n\n", ": x\n\n", "event: a\r\ndata: {}\r\n\r\n", "error: {}\n\n", "data: {\"error\":{\"message\":\"x\"}}\n\n",
		"data: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\n", "data:\n\n", "\n\n\n", "{\"error\":\"x\"}", "data: {\"choices\":5}\n\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		u := newUpstream(address{socket: "/x"}, Options{})
		s := newEventStream(io.NopCloser(strings.NewReader(string(in))), u)
		out, err := io.ReadAll(s)
		if err != nil {
			t.Fatal(err)
		}
		ended := false
		for event := range strings.SplitSeq(strings.ReplaceAll(string(out), "\r\n", "\n"), "\n\n") {
			data, _, ok := EventData([]byte(event + "\n\n"))
			if !ok {
				t.Fatalf("%q isn't an event", event)
			}
			if data == nil {
				continue
			}
			if string(data) != "[DONE]" && (!json.Valid(data) || data[0] != '{') {
				t.Fatalf("%q isn't JSON", data)
			}
			ended = true
		}
		if !ended {
			t.Fatalf("%q has no end", out)
		}
	})
}

// A model server may close a connection that it kept, just when the next request
// is on its way: the person hears nothing of it. One that takes a request on a new
// connection and breaks off is asked no second time.
func TestKeptConnectionCloses(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	asked := make(chan string, 8)
	go func() {
		for n := 1; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				in := bufio.NewReader(c)
				for k := 1; ; k++ {
					r, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					b, _ := io.ReadAll(r.Body)
					asked <- fmt.Sprintf("%d.%d %s %q", n, k, b, r.Header["Idempotency-Key"])
					if n == 1 && k == 2 || string(b) == "break off" {
						return
					}
					fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
				}
			}()
		}
	}()
	e := open(t, "http://"+l.Addr().String()+"/v1")
	ask := func(body string) error {
		res, err := e.Do(t.Context(), &Request{Method: "POST", Path: "/v1/chat/completions", Body: []byte(body)})
		if err != nil {
			return err
		}
		defer res.Body.Close()
		_, err = io.Copy(io.Discard, res.Body)
		return err
	}
	for _, body := range []string{"one", "two"} {
		if err := ask(body); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	}
	for _, want := range []string{`1.1 one []`, `1.2 two []`, `2.1 two []`} {
		got := "nothing"
		select {
		case got = <-asked:
		default:
		}
		if got != want {
			t.Errorf("the server was asked %s, want %s", got, want)
		}
	}
	e = open(t, "http://"+l.Addr().String()+"/v1")
	if err := ask("break off"); err == nil {
		t.Error("an answer of nothing is an answer")
	}
	<-asked
	if len(asked) != 0 {
		t.Errorf("asked again: %s", <-asked)
	}
}
