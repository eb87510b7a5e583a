// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package testservice

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Upstream is a model server over real HTTP. What it answers is in the last
// user message of a request:
//
//	say WORDS     those words, one a delta
//	count N       "1 2 3 … N", one number a delta, as fast as can be
//	slow          a word every 20 ms until the request is cancelled
//	wait          nothing for as long as Hold is not closed, then "waited"
//	think         reasoning, then "done"
//	tools         a call of the tool get_weather in four deltas
//	too long      the error that the context is exceeded, status 400
//	break off     two words, then the connection ends
//	plain         an answer in one piece although a stream was asked for
//
// and otherwise "You said: …". Its models are "test" and "test/other".
type Upstream struct {
	*httptest.Server
	// Cancelled counts the requests that ended before their answer did.
	Cancelled atomic.Int64
	// Requests counts those that came.
	Requests atomic.Int64
	// Hold keeps "wait" waiting until it is closed.
	Hold chan struct{}

	onClose func()
	mu      sync.Mutex
	bodies  [][]byte
}

// NewUpstream starts a model server. The caller closes it.
func NewUpstream() *Upstream {
	u := &Upstream{Hold: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, 200, `{"object":"list","data":[`+modelEntry("test")+`,`+modelEntry("test/other")+`],"extra":"kept"}`)
	})
	mux.HandleFunc("GET /v1/models/{id...}", func(w http.ResponseWriter, r *http.Request) {
		if id := r.PathValue("id"); id == "test" || id == "test/other" {
			writeJSON(w, 200, modelEntry(id))
			return
		}
		writeJSON(w, 404, `{"error":{"message":"The model does not exist","type":"invalid_request_error","param":null,"code":"model_not_found"}}`)
	})
	mux.HandleFunc("POST /v1/chat/completions", u.chat)
	mux.HandleFunc("POST /v1/completions", func(w http.ResponseWriter, r *http.Request) {
		u.body(r)
		writeJSON(w, 200, `{"id":"c1","object":"text_completion","created":1,"model":"test","choices":[{"index":0,"text":"completed","logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}`)
	})
	mux.HandleFunc("POST /v1/embeddings", func(w http.ResponseWriter, r *http.Request) {
		u.body(r)
		writeJSON(w, 200, `{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.25,-0.5,1]}],"model":"test","usage":{"prompt_tokens":2,"total_tokens":2}}`)
	})
	mux.HandleFunc("POST /v1/responses", func(w http.ResponseWriter, r *http.Request) {
		u.body(r)
		writeJSON(w, 200, `{"id":"r1","object":"response","created_at":1,"status":"completed","model":"test","output":[{"type":"message","id":"m1","role":"assistant","status":"completed","content":[{"type":"output_text","text":"responded","annotations":[]}]}]}`)
	})
	u.Server = httptest.NewServer(mux)
	return u
}

// Close ends the server and what depends on it.
func (u *Upstream) Close() {
	u.CloseClientConnections()
	u.Server.Close()
	if u.onClose != nil {
		u.onClose()
	}
}

// Bodies returns the bodies of the POST requests that came, in order.
func (u *Upstream) Bodies() [][]byte {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.bodies
}

func (u *Upstream) body(r *http.Request) []byte {
	u.Requests.Add(1)
	b, _ := io.ReadAll(r.Body)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.bodies = append(u.bodies, b)
	return b
}

func modelEntry(id string) string {
	return `{"id":"` + id + `","object":"model","created":1,"owned_by":"testservice"}`
}

func writeJSON(w http.ResponseWriter, status int, doc string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	io.WriteString(w, doc)
}

// chatRequest is what the model server reads of a request.
type chatRequest struct {
	Model    string
	Stream   bool
	Messages []struct {
		Role    string
		Content any
	}
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
}

func (u *Upstream) chat(w http.ResponseWriter, r *http.Request) {
	var req chatRequest
	if json.Unmarshal(u.body(r), &req) != nil || len(req.Messages) == 0 {
		writeJSON(w, 400, `{"error":{"message":"messages is missing","type":"invalid_request_error","param":"messages","code":null}}`)
		return
	}
	if req.Model != "test" && req.Model != "test/other" {
		writeJSON(w, 404, `{"error":{"message":"The model does not exist","type":"invalid_request_error","param":"model","code":"model_not_found"}}`)
		return
	}
	text, _ := req.Messages[len(req.Messages)-1].Content.(string)
	command, arg, _ := strings.Cut(text, " ")
	a := &answer{w: w, r: r, req: req}
	switch {
	case text == "too long":
		writeJSON(w, 400, `{"error":{"message":"This model's maximum context length is 4096 tokens.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}`)
	case text == "plain":
		a.req.Stream = false
		a.finish("in one piece")
	case text == "break off":
		a.delta(`{"content":"only "}`)
		a.delta(`{"content":"this"}`)
		panic(http.ErrAbortHandler)
	case text == "tools":
		u.tools(a)
	case text == "think":
		a.delta(`{"reasoning_content":"let me "}`)
		a.delta(`{"reasoning_content":"see"}`)
		a.finish("done")
	case text == "slow":
		u.slow(a)
	case text == "wait":
		select {
		case <-u.Hold:
			a.finish("waited")
		case <-r.Context().Done():
			u.Cancelled.Add(1)
		}
	case command == "count":
		var n int
		fmt.Sscan(arg, &n)
		var words []string
		for i := range n {
			words = append(words, fmt.Sprint(i+1))
		}
		a.finish(strings.Join(words, " "))
	case command == "say":
		a.finish(arg)
	default:
		a.finish("You said: " + text)
	}
}

// slow writes words until the request is cancelled.
func (u *Upstream) slow(a *answer) {
	for i := 0; ; i++ {
		a.delta(fmt.Sprintf(`{"content":"word%d "}`, i))
		select {
		case <-time.After(20 * time.Millisecond):
		case <-a.r.Context().Done():
			u.Cancelled.Add(1)
			return
		}
	}
}

func (u *Upstream) tools(a *answer) {
	if !a.req.Stream {
		writeJSON(a.w, 200, `{"id":"t1","object":"chat.completion","created":1,"model":"test","choices":[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"get_weather","arguments":"{\"city\":\"Lima\"}"}}]},"logprobs":null,"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12}}`)
		return
	}
	a.delta(`{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"get_weather","arguments":""}}]}`)
	a.delta(`{"tool_calls":[{"index":0,"function":{"arguments":"{\"city\""}}]}`)
	a.delta(`{"tool_calls":[{"index":0,"function":{"arguments":":\"Li"}}]}`)
	a.delta(`{"tool_calls":[{"index":0,"function":{"arguments":"ma\"}"}}]}`)
	a.end("tool_calls", 7)
}

// answer writes one chat completion.
type answer struct {
	w     http.ResponseWriter
	r     *http.Request
	req   chatRequest
	begun bool
}

func (a *answer) event(choices, usage string) {
	if !a.begun {
		a.begun = true
		a.w.Header().Set("Content-Type", "text/event-stream")
	}
	fmt.Fprintf(a.w, `data: {"id":"s1","object":"chat.completion.chunk","created":1,"model":%q,"x_unknown":"kept","choices":%s,"usage":%s}`+"\n\n", a.req.Model, choices, usage)
	http.NewResponseController(a.w).Flush()
}

func (a *answer) delta(delta string) {
	a.event(`[{"index":0,"delta":`+delta+`,"logprobs":null,"finish_reason":null}]`, "null")
}

// finish writes text, word by word in a stream, and ends.
func (a *answer) finish(text string) {
	words := strings.SplitAfter(text, " ")
	if !a.req.Stream {
		content, _ := json.Marshal(text)
		writeJSON(a.w, 200, fmt.Sprintf(`{"id":"a1","object":"chat.completion","created":1,"model":%q,"x_unknown":"kept","choices":[{"index":0,"message":{"role":"assistant","content":%s,"refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":%d,"total_tokens":%d}}`, a.req.Model, content, len(words), 5+len(words)))
		return
	}
	for _, w := range words {
		content, _ := json.Marshal(w)
		a.delta(`{"content":` + string(content) + `}`)
	}
	a.end("stop", len(words))
}

func (a *answer) end(reason string, tokens int) {
	a.event(fmt.Sprintf(`[{"index":0,"delta":{},"logprobs":null,"finish_reason":%q}]`, reason), "null")
	if a.req.StreamOptions.IncludeUsage {
		a.event("[]", fmt.Sprintf(`{"prompt_tokens":5,"completion_tokens":%d,"total_tokens":%d}`, tokens, 5+tokens))
	}
	io.WriteString(a.w, "data: [DONE]\n\n")
}
