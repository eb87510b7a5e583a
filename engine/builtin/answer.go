// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"crypto/rand"
	"encoding/json"
	"io"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/engine"
)

// A shape is the form of the answers of one API path.
type shape struct {
	chat                  bool
	prefix, whole, object string // of ids, and "object" in one piece and streamed
}

var (
	chatShape = shape{true, "chatcmpl-", "chat.completion", "chat.completion.chunk"}
	textShape = shape{false, "cmpl-", "text_completion", "text_completion"}
)

type usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
}

// delta is the assistant's message, or what a chunk adds to it.
type delta struct {
	Role    string  `json:"role,omitempty"`
	Content *string `json:"content,omitempty"`
}

type choice struct {
	Index        int     `json:"index"`
	Text         *string `json:"text,omitempty"`
	Delta        *delta  `json:"delta,omitempty"`
	Message      *delta  `json:"message,omitempty"`
	Logprobs     any     `json:"logprobs"` // null, always
	FinishReason *string `json:"finish_reason"`
}

type document struct {
	ID      string          `json:"id"`
	Object  string          `json:"object"`
	Created int64           `json:"created"`
	Model   string          `json:"model"`
	Choices []choice        `json:"choices"`
	Usage   json.RawMessage `json:"usage,omitempty"` // null in the chunks before the one that has it
}

// An answer writes the documents of one answer.
type answer struct {
	shape
	doc   document
	usage bool
}

func newAnswer(r *Runner, j *job) *answer {
	return &answer{shape: j.shape, usage: j.usage, doc: document{
		ID: j.shape.prefix + rand.Text(), Object: j.shape.object, Created: time.Now().Unix(), Model: r.info.ID,
	}}
}

func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil { // these types always marshal
		panic(err)
	}
	return b
}

// event appends one chunk as a server-sent event.
func (a *answer) event(dst []byte, c []choice, u json.RawMessage) []byte {
	d := a.doc
	d.Choices, d.Usage = c, u
	if u == nil && a.usage {
		d.Usage = json.RawMessage("null")
	}
	return append(append(append(dst, "data: "...), marshal(d)...), "\n\n"...)
}

// first appends the chunk that says who speaks; a text completion has none.
func (a *answer) first(dst []byte) []byte {
	if !a.chat {
		return append(dst, ": begin\n\n"...)
	}
	empty := ""
	return a.event(dst, []choice{{Delta: &delta{Role: "assistant", Content: &empty}}}, nil)
}

func (a *answer) part(dst []byte, text string) []byte {
	if a.chat {
		return a.event(dst, []choice{{Delta: &delta{Content: &text}}}, nil)
	}
	return a.event(dst, []choice{{Text: &text}}, nil)
}

func (a *answer) last(dst []byte, finish string, u *usage) []byte {
	c := choice{FinishReason: &finish}
	if a.chat {
		c.Delta = &delta{}
	} else {
		empty := ""
		c.Text = &empty
	}
	dst = a.event(dst, []choice{c}, nil)
	if a.usage {
		dst = a.event(dst, []choice{}, marshal(u))
	}
	return append(dst, "data: [DONE]\n\n"...)
}

// whole is the answer in one piece.
func (a *answer) whole(text, finish string, u *usage) []byte {
	c := choice{FinishReason: &finish}
	if a.chat {
		c.Message = &delta{Role: "assistant", Content: &text}
	} else {
		c.Text = &text
	}
	d := a.doc
	d.Object, d.Choices, d.Usage = a.shape.whole, []choice{c}, marshal(u)
	return marshal(d)
}

// entry is the model's entry in the OpenAI list.
func (r *Runner) entry() json.RawMessage {
	return marshal(map[string]any{
		"id": r.info.ID, "object": "model", "created": r.created, "owned_by": engine.OwnedBy,
		"meta": map[string]any{"name": r.name, "digest": r.info.Digest, "context": r.info.Context, "demo": r.demo},
	})
}

// list answers GET /v1/models and /v1/models/{id}.
func (r *Runner) list(path string) (*engine.Response, error) {
	body := r.entry()
	if id, one := strings.CutPrefix(path, "/v1/models/"); !one {
		body = marshal(map[string]any{"object": "list", "data": []json.RawMessage{body}})
	} else if id != r.info.ID {
		return nil, &engine.Error{Status: 404, Type: invalid, Code: engine.CodeModelNotFound, Message: "There is no such model here."}
	}
	return &engine.Response{Status: 200, ContentType: "application/json", Body: io.NopCloser(strings.NewReader(string(body)))}, nil
}
