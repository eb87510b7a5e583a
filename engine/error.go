// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/json"
	"time"
)

// An Error is a failure as a person and an OpenAI client should see it. It may
// quote the model server's words, so it belongs inside the sealed answer and
// not in a log.
type Error struct {
	Status  int    // HTTP status to answer with, 400–599
	Type    string // "invalid_request_error", "rate_limit_error", "server_error", …
	Code    string // one of the Code constants, or the model server's own
	Param   string // the field of the request that is at fault, or ""
	Message string // one plain sentence that says what to do

	// RetryAfter is how long the model server asks to wait; 0 if it doesn't say.
	RetryAfter time.Duration

	cause error
}

// The codes that a caller may branch on. Those that OpenAI has keep its names.
const (
	CodeContextLength     = "context_length_exceeded" // the conversation is longer than the model's window
	CodeModelNotFound     = "model_not_found"         // no such model at the engine
	CodeToolsRefused      = "tools_unsupported"       // the model or its chat template can't take tools
	CodeImagesRefused     = "images_unsupported"      // the model can't see
	CodeEmbeddingsRefused = "embeddings_unsupported"  // the engine makes no embeddings
	CodeUnsupported       = "unsupported"             // a field or a path that this engine can't honour
	CodeInvalidRequest    = "invalid_request"         // the request itself is wrong
	CodeRateLimit         = "rate_limit_exceeded"     // the engine asks to slow down
	CodeUnauthorized      = "engine_unauthorized"     // the engine wants a key that we don't have
	CodeRefused           = "engine_unreachable"      // nothing listens at the address
	CodeDNS               = "engine_not_found"        // the address's name can't be resolved
	CodeSlow              = "engine_timeout"          // no first byte, or silence midway
	CodeCut               = "engine_interrupted"      // the answer ended before its end
	CodeMalformed         = "engine_malformed"        // bytes that aren't the API: a web page, broken SSE
	CodeLoading           = "engine_loading"          // the model is still being loaded
	CodeBusy              = "engine_busy"             // the queue is full
	CodeFailed            = "engine_error"            // the engine failed and says no more
	CodeStopped           = "stopped"                 // the caller's context ended
)

// Error returns the sentence, so an *Error is an error.
func (e *Error) Error() string { return e.Message }

// Unwrap returns what caused the failure, for errors.Is; it may be nil.
func (e *Error) Unwrap() error { return e.cause }

// Event returns the error as the last event of a stream that went wrong.
func (e *Error) Event() []byte {
	return append(append([]byte("data: "), e.JSON()...), "\n\n"...)
}

// JSON returns the OpenAI error document {"error":{"message","type","param","code"}}.
func (e *Error) JSON() []byte {
	type body struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    *string `json:"code"`
	}
	b := body{Message: e.Message, Type: e.Type}
	if e.Param != "" {
		b.Param = &e.Param
	}
	if e.Code != "" {
		b.Code = &e.Code
	}
	out, err := json.Marshal(struct {
		Error body `json:"error"`
	}{b})
	if err != nil { // strings always marshal
		panic(err)
	}
	return out
}
