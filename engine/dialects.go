// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net/http"
	"slices"
	"strings"
)

// Model servers agree on how a success looks and on little about failures. A
// few send a code or a type that can be relied on; for the rest only the wording
// tells, say, a prompt that is too long from one that is malformed. The wordings
// that are recognised stand in this file and nowhere else. One that changes costs
// a person the better sentence, not a right status: the server's own words are
// passed on then.

// A dialect names one failure and the ways in which servers say it.
type dialect struct {
	code   string
	status int
	types  []string // exact "type" or "code" values, lower case
	words  []string // parts of the message, lower case; "*" matches anything between
	says   string   // our sentence
}

var dialects = []dialect{
	{
		code: CodeContextLength, status: http.StatusBadRequest,
		types: []string{"context_length_exceeded", "exceed_context_size_error", "context_window_exceeded"},
		words: []string{
			"exceeds the available context size",         // llama.cpp
			"larger than the max context size",           // llama.cpp, embeddings
			"context size has been exceeded",             // llama.cpp, midway
			"maximum context length",                     // vLLM, SGLang, OpenAI, Ollama
			"longer than the maximum model length",       // vLLM
			"longer than the model's context length",     // SGLang
			"exceeds the context length",                 // Ollama, embeddings
			"exceeded max context length",                // Ollama
			"loaded with context length of",              // LM Studio
			"greater than the context length",            // LM Studio
			"reached context length",                     // LM Studio, midway
			"n_keep*>= n_ctx",                            // LM Studio, newer
			"`inputs` tokens + `max_new_tokens` must be", // TGI
			"prompt is too long",                         // Anthropic-shaped servers
			"context window",                             // various proxies
		},
		says: "This conversation is longer than the model can take in: start a new chat, or leave out some of it.",
	},
	{
		code: CodeToolsRefused, status: http.StatusBadRequest,
		words: []string{
			"does not support tools",                      // Ollama
			"tool choice requires --enable-auto-tool",     // vLLM
			"requires --tool-call-parser",                 // vLLM
			"tools param requires",                        // llama.cpp without its template engine
			"tool_choice param requires",                  // llama.cpp
			"unable to generate parser for this template", // llama.cpp
			"tools are not supported",                     // templates that raise it
			"does not support tool",                       // templates, LM Studio
			"does not support function calling",
		},
		says: "This model can't use tools: pick another model, or send the request without tools.",
	},
	{
		code: CodeImagesRefused, status: http.StatusBadRequest,
		words: []string{
			"image input is not supported",          // llama.cpp
			"audio input is not supported",          // llama.cpp
			"is not a multimodal model",             // vLLM
			"at most 0 image",                       // vLLM
			"missing data required for image input", // Ollama
			"does not support image",                // Ollama, LM Studio
			"vision is not supported",               // Ollama
			"does not support vision",               // LM Studio
			"only user messages*content*image_url",  // text-only templates
			"unsupported content[].type",            // llama.cpp
		},
		says: "This model takes only text: pick a model that can see, or leave the file out.",
	},
	{
		code: CodeEmbeddingsRefused, status: http.StatusBadRequest,
		words: []string{
			"does not support embeddings",     // llama.cpp, Ollama, vLLM
			"pooling type 'none' is not oai",  // llama.cpp
			"not support embedding",           // SGLang, others
			"model is not an embedding model", // LM Studio
			"no models loaded*embedding",      // LM Studio
		},
		says: "This model server makes no embeddings: load an embedding model there (for llama-server, with --embeddings).",
	},
	{
		code: CodeLoading, status: http.StatusServiceUnavailable,
		words: []string{"loading model", "model is loading", "model is currently loading"}, // llama.cpp, TGI
		says:  "The model is still being loaded: try again in a moment.",
	},
	{
		code: CodeModelNotFound, status: http.StatusNotFound,
		types: []string{"model_not_found"},
		words: []string{
			"model*not found",      // Ollama, llama.cpp's router, LM Studio
			"model*does not exist", // vLLM, OpenAI
			"model is required",    // Ollama
			"no models loaded",     // LM Studio
		},
		says: "The model server doesn't have that model: pick another one from the list, or load it there.",
	},
}

// classify gives a model server's refusal a code, a status and a sentence.
// path is the request's; "" for an error that came midway.
func (u *upstream) classify(path string, status int, said serverError) *Error {
	msg := strings.ToLower(said.message)
	for _, d := range dialects {
		if !d.matches(msg, said) {
			continue
		}
		return &Error{Status: d.status, Type: errorType(d.status), Code: d.code, Param: said.param, Message: d.says}
	}

	e := &Error{Status: status, Type: said.kind, Code: said.code, Param: said.param}
	if e.Type == "" {
		e.Type = errorType(status)
	}
	switch {
	case status == http.StatusTooManyRequests:
		e.Type, e.Code = errorType(status), CodeRateLimit
		e.Message = "The model server has too much to do: wait a moment and try again."
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		// To the client this isn't about its own key, so it isn't a 401.
		e.Status, e.Type, e.Code = http.StatusBadGateway, "server_error", CodeUnauthorized
		e.Message = u.subject() + " wants an API key that this node doesn't have: the operator must set it."
	case path == "/v1/embeddings" && (status == http.StatusNotFound || status == http.StatusNotImplemented):
		e = &Error{Status: http.StatusBadRequest, Type: "invalid_request_error", Code: CodeEmbeddingsRefused,
			Message: "This model server makes no embeddings: load an embedding model there (for llama-server, with --embeddings)."}
	case status == http.StatusNotFound, status == http.StatusMethodNotAllowed, status == http.StatusNotImplemented:
		e.Type, e.Code = "invalid_request_error", CodeUnsupported
		e.Message = u.quote("doesn't know this kind of request", said.message)
	case status == http.StatusServiceUnavailable:
		e.Type, e.Code = "server_error", CodeBusy
		e.Message = u.subject() + " can't answer right now: try again in a moment."
	case status >= 500:
		e.Status, e.Type, e.Code = http.StatusBadGateway, "server_error", CodeFailed
		e.Message = u.quote("failed while it answered", said.message)
	default:
		if e.Code == "" || !named(e.Code) {
			e.Code = CodeInvalidRequest
		}
		e.Message = u.quote("refused the request", said.message)
	}
	return e
}

// subject begins a sentence about the model server.
func (u *upstream) subject() string {
	if strings.HasPrefix(u.name, "model server") {
		return "The " + u.name
	}
	return u.name
}

// quote makes a sentence that ends with the server's own words, if it has any.
func (u *upstream) quote(predicate, words string) string {
	if words == "" {
		return u.subject() + " " + predicate + "."
	}
	return u.subject() + " " + predicate + ", saying “" + strings.TrimRight(words, ".") + "”."
}

func (d *dialect) matches(msg string, said serverError) bool {
	return slices.Contains(d.types, strings.ToLower(said.kind)) || slices.Contains(d.types, strings.ToLower(said.code)) ||
		slices.ContainsFunc(d.words, func(w string) bool { return containsInOrder(msg, w) })
}

// containsInOrder reports whether the parts of pattern between "*" stand in s
// one after the other.
func containsInOrder(s, pattern string) bool {
	for part := range strings.SplitSeq(pattern, "*") {
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return true
}

// named reports whether a code is a name rather than a repeated HTTP status.
func named(code string) bool {
	return strings.Trim(code, "0123456789") != ""
}

// errorType is OpenAI's "type" for a status.
func errorType(status int) string {
	switch {
	case status == http.StatusTooManyRequests:
		return "rate_limit_error"
	case status >= 500:
		return "server_error"
	default:
		return "invalid_request_error"
	}
}
