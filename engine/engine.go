// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package engine is the last step on the way of a prompt: it hands an opened
// request to a model server and streams the answer back.
//
// Sotto does not invent a model API. A request is the OpenAI-shaped HTTP
// request that the person's client wrote, and an engine passes its bytes to a
// server that understands them, byte for byte and with the fields that nobody
// here has heard of. Three things can stand behind the [Engine] interface:
//
//   - a model server that is already running (vLLM, SGLang, llama.cpp,
//     Ollama, LM Studio), named by URL or found on its usual loopback port;
//   - a llama-server of our own, started on a GGUF file and ended with us;
//   - the small runner of package engine/builtin, in this process.
//
// [Open] chooses among them. Whatever goes wrong becomes an [*Error]: one plain
// sentence that says what to do, in the OpenAI shape.
//
// Nothing in this package logs, stores or counts anything derived from a
// prompt or from an answer. Logs name engines, addresses and models only.
//
// The package needs the standard library alone and doesn't import the runner
// or its weights: a program that wants them sets [Options.Builtin].
package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
)

// An Engine answers OpenAI-shaped requests. Its methods may be called from
// several goroutines at once.
type Engine interface {
	// Name says which engine this is, for a terminal and a log:
	// "built-in demo", "Ollama at http://127.0.0.1:11434".
	Name() string

	// Models lists what can be asked for in the "model" field of a request.
	// An error is always an *Error.
	Models(ctx context.Context) ([]Model, error)

	// Do performs one request. On success the Response's Status is in the
	// 200s and the caller must close its Body. Any other outcome, an error
	// status of the model server too, is an *Error.
	//
	// Ending ctx, or closing the Body early, stops the model server's work.
	// A streamed body (ContentType "text/event-stream") that breaks midway
	// ends with one last event, data: {"error":{…}}, without [DONE]; any
	// other body that breaks returns an *Error from Read.
	Do(ctx context.Context, req *Request) (*Response, error)

	// Close ends what the engine started and frees its connections.
	Close() error
}

// A Model is what a machine says about one of its models. Whoever wants to know
// more asks the engine itself, for /v1/models.
type Model struct {
	ID      string // what a request's "model" field says
	Digest  string // "sha256:<hex>" of the weights file; "" where the engine doesn't know it
	Context int    // window in tokens, prompt and answer together; 0 is unknown
}

// OwnedBy is the "owned_by" of every model list entry that Sotto itself writes.
// It is how "auto" knows one of Sotto's own doors from a model server.
const OwnedBy = "sotto"

// A Request is what the person's client sealed: method, path and body.
type Request struct {
	Method      string // "GET" or "POST"
	Path        string // "/v1/chat/completions"; see [Check]
	ContentType string // "" with an empty Body
	Body        []byte // owned by the caller, not changed, not kept after the answer ends
}

// WantsStream reports whether a JSON request says "stream": true. A body that
// isn't JSON is a no.
func (r *Request) WantsStream() bool {
	var b struct {
		Stream bool `json:"stream"`
	}
	return bytes.Contains(r.Body, []byte(`"stream"`)) && json.Unmarshal(r.Body, &b) == nil && b.Stream
}

// A Field is one response header field.
type Field struct{ Name, Value string }

// A Response is the engine's answer. The caller owns Body and must close it.
type Response struct {
	Status      int    // 200–299
	ContentType string // "text/event-stream" for a streamed answer
	// Header holds the few further fields that mean something to a client,
	// with lower-case names; never a date, a cookie or a server's name.
	Header []Field
	Body   io.ReadCloser
}
