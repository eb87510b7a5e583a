// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"

	"github.com/sotto-chat/sotto/engine"
	"github.com/sotto-chat/sotto/engine/builtin/jinja"
)

// Bounds of a request.
const (
	maxMessages   = 4096
	maxStops      = 16
	maxStopLength = 256 // bytes
)

// common are the fields that both kinds of request have. Pointers tell an
// absent field from a zero. Fields that aren't here are ignored, except those
// that would change the meaning of the answer: they are refused.
type common struct {
	Model         string          `json:"model"`
	Stream        bool            `json:"stream"`
	StreamOptions *streamOptions  `json:"stream_options"`
	Temperature   *float64        `json:"temperature"`
	TopP          *float64        `json:"top_p"`
	TopK          *int            `json:"top_k"`
	MinP          *float64        `json:"min_p"`
	Seed          *int64          `json:"seed"`
	Stop          json.RawMessage `json:"stop"`
	MaxTokens     *int            `json:"max_tokens"`

	N                *int            `json:"n"`
	FrequencyPenalty *float64        `json:"frequency_penalty"`
	PresencePenalty  *float64        `json:"presence_penalty"`
	LogitBias        map[string]any  `json:"logit_bias"`
	Logprobs         json.RawMessage `json:"logprobs"`
}

type streamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

type chatRequest struct {
	common
	Messages            []message       `json:"messages"`
	MaxCompletionTokens *int            `json:"max_completion_tokens"`
	Tools               []any           `json:"tools"`
	Functions           []any           `json:"functions"`
	ToolChoice          json.RawMessage `json:"tool_choice"`
	ResponseFormat      *struct {
		Type string `json:"type"`
	} `json:"response_format"`
	Modalities []string        `json:"modalities"`
	Audio      json.RawMessage `json:"audio"`
}

type message struct {
	Role      string          `json:"role"`
	Content   json.RawMessage `json:"content"`
	ToolCalls []any           `json:"tool_calls"`
}

type completionRequest struct {
	common
	Prompt json.RawMessage `json:"prompt"`
	Suffix string          `json:"suffix"`
	Echo   bool            `json:"echo"`
	BestOf *int            `json:"best_of"`
}

// job is a checked request: what to continue, and how.
type job struct {
	tokens  []int32
	most    int // tokens of the answer
	stops   []string
	sampler *sampler
	shape   shape
	stream  bool
	usage   bool // a last chunk with the usage
}

func refuse(param, format string, args ...any) *engine.Error {
	return &engine.Error{Status: 400, Type: invalid, Code: engine.CodeInvalidRequest, Param: param, Message: fmt.Sprintf(format, args...)}
}

func cannot(param, what string) *engine.Error {
	return &engine.Error{Status: 400, Type: invalid, Code: engine.CodeUnsupported, Param: param,
		Message: fmt.Sprintf("The built-in runner can't do %s: leave out %q, or connect a model server that can.", what, param)}
}

func decode(body []byte, into any) *engine.Error {
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(into); err != nil {
		if te, ok := err.(*json.UnmarshalTypeError); ok && te.Field != "" {
			return refuse(te.Field, "The field %q has the wrong type.", te.Field)
		}
		return refuse("", "The request isn't valid JSON.")
	}
	if d.More() {
		return refuse("", "Something follows the request's JSON.")
	}
	return nil
}

func (r *Runner) chat(ctx context.Context, body []byte) (*engine.Response, *engine.Error) {
	var q chatRequest
	if err := decode(body, &q); err != nil {
		return nil, err
	}
	if q.MaxCompletionTokens != nil {
		q.MaxTokens = q.MaxCompletionTokens
	}
	j, err := r.job(&q.common)
	if err != nil {
		return nil, err
	}
	choice := string(q.ToolChoice)
	switch {
	case (len(q.Tools) > 0 || len(q.Functions) > 0) && choice != `"none"`:
		return nil, &engine.Error{Status: 400, Type: invalid, Code: engine.CodeToolsRefused, Param: "tools",
			Message: "The built-in runner can't use tools: send the request without them, or connect a model server that can."}
	case q.ResponseFormat != nil && q.ResponseFormat.Type != "text":
		return nil, cannot("response_format", "structured answers")
	case len(q.Modalities) > 1 || len(q.Modalities) == 1 && q.Modalities[0] != "text", set(q.Audio):
		return nil, cannot("modalities", "anything but text")
	case len(q.Logprobs) > 0 && string(q.Logprobs) != "false" && string(q.Logprobs) != "null":
		return nil, cannot("logprobs", "log probabilities")
	case len(q.Messages) == 0:
		return nil, refuse("messages", "There is nothing to answer: the list of messages is empty.")
	case len(q.Messages) > maxMessages:
		return nil, refuse("messages", "There are more than %d messages: leave out the oldest.", maxMessages)
	}
	messages, size := make([]any, len(q.Messages)), 0
	for i := range q.Messages {
		d, n, err := q.Messages[i].value(i)
		if err != nil {
			return nil, err
		}
		messages[i] = d
		size += n
	}
	if r.hopeless(size) {
		return nil, r.tooLong()
	}
	if j.tokens, err = r.prompt(messages); err != nil {
		return nil, err
	}
	j.shape = chatShape
	return r.run(ctx, j)
}

// value is the message as a chat template sees it, and its size in bytes.
func (m *message) value(i int) (d *jinja.Dict, size int, err *engine.Error) {
	where := fmt.Sprintf("messages[%d]", i)
	role := m.Role
	switch role {
	case "system", "user", "assistant":
	case "developer": // the newer name of the system's words
		role = "system"
	case "tool", "function":
		return nil, 0, &engine.Error{Status: 400, Type: invalid, Code: engine.CodeToolsRefused, Param: where + ".role",
			Message: "The built-in runner can't use tools, nor read what one returned: connect a model server that can."}
	default:
		return nil, 0, refuse(where+".role", "A message's role must be system, user or assistant.")
	}
	if len(m.ToolCalls) > 0 {
		return nil, 0, &engine.Error{Status: 400, Type: invalid, Code: engine.CodeToolsRefused, Param: where + ".tool_calls",
			Message: "The built-in runner can't use tools, nor read earlier calls of one: connect a model server that can."}
	}
	content, err := m.text(where)
	if err != nil {
		return nil, 0, err
	}
	d = jinja.NewDict()
	d.Set("role", role)
	d.Set("content", content)
	return d, len(content), nil
}

// text joins the text parts of a message.
func (m *message) text(where string) (string, *engine.Error) {
	var s string
	if !set(m.Content) {
		return "", nil
	}
	if json.Unmarshal(m.Content, &s) == nil {
		return s, nil
	}
	var parts []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	if json.Unmarshal(m.Content, &parts) != nil {
		return "", refuse(where+".content", "A message's content must be text or a list of parts.")
	}
	for _, p := range parts {
		if p.Type != "text" {
			return "", &engine.Error{Status: 400, Type: invalid, Code: engine.CodeImagesRefused, Param: where + ".content",
				Message: "The built-in model takes only text: connect a model that can see, or leave the file out."}
		}
		s += p.Text
	}
	return s, nil
}

func (r *Runner) completion(ctx context.Context, body []byte) (*engine.Response, *engine.Error) {
	var q completionRequest
	if err := decode(body, &q); err != nil {
		return nil, err
	}
	j, err := r.job(&q.common)
	if err != nil {
		return nil, err
	}
	switch {
	case q.Suffix != "":
		return nil, cannot("suffix", "insertions")
	case q.Echo:
		return nil, cannot("echo", "echoes of the prompt")
	case q.BestOf != nil && *q.BestOf != 1:
		return nil, cannot("best_of", "more than one answer at once")
	case set(q.Logprobs):
		return nil, cannot("logprobs", "log probabilities")
	}
	if q.MaxTokens == nil {
		j.most = min(j.most, 16) // as the API says
	}
	var text string
	var texts []string
	switch {
	case json.Unmarshal(q.Prompt, &text) == nil:
	case json.Unmarshal(q.Prompt, &texts) == nil && len(texts) == 1:
		text = texts[0]
	default:
		return nil, refuse("prompt", "The prompt must be one text.")
	}
	if j.tokens, err = r.tokens(text); err != nil {
		return nil, err
	}
	j.shape = textShape
	return r.run(ctx, j)
}

func set(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

// job checks the fields that both kinds of request have.
func (r *Runner) job(q *common) (*job, *engine.Error) {
	if q.Model != "" && q.Model != r.info.ID {
		return nil, &engine.Error{Status: 404, Type: invalid, Code: engine.CodeModelNotFound, Param: "model",
			Message: fmt.Sprintf("There is no such model here: the built-in runner has only %q.", r.info.ID)}
	}
	switch {
	case q.N != nil && *q.N != 1:
		return nil, cannot("n", "more than one answer at once")
	case q.FrequencyPenalty != nil && *q.FrequencyPenalty != 0:
		return nil, cannot("frequency_penalty", "penalties")
	case q.PresencePenalty != nil && *q.PresencePenalty != 0:
		return nil, cannot("presence_penalty", "penalties")
	case len(q.LogitBias) > 0:
		return nil, cannot("logit_bias", "biases")
	}
	j := &job{most: math.MaxInt32, stream: q.Stream, usage: q.Stream && q.StreamOptions != nil && q.StreamOptions.IncludeUsage}
	if q.MaxTokens != nil {
		if *q.MaxTokens < 1 {
			return nil, refuse("max_tokens", "An answer must be allowed at least one token.")
		}
		j.most = *q.MaxTokens
	}
	s := r.defaults
	for _, f := range []struct {
		name     string
		given    *float64
		to       *float64
		min, max float64
	}{
		{"temperature", q.Temperature, &s.temperature, 0, 2},
		{"top_p", q.TopP, &s.topP, 0, 1},
		{"min_p", q.MinP, &s.minP, 0, 1},
	} {
		if f.given == nil {
			continue
		}
		if *f.given < f.min || *f.given > f.max {
			return nil, refuse(f.name, "The field %q must lie between %g and %g.", f.name, f.min, f.max)
		}
		*f.to = *f.given
	}
	if q.TopK != nil {
		s.topK = max(*q.TopK, 0)
	}
	j.sampler = newSampler(s, q.Seed)
	var err *engine.Error
	j.stops, err = stops(q.Stop)
	return j, err
}

// stops reads "stop": a text, a list of texts, or null.
func stops(raw json.RawMessage) (list []string, err *engine.Error) {
	if !set(raw) {
		return nil, nil
	}
	var one string
	if json.Unmarshal(raw, &one) == nil {
		list = []string{one}
	} else if json.Unmarshal(raw, &list) != nil {
		return nil, refuse("stop", "Stop sequences must be a text or a list of texts.")
	}
	if len(list) > maxStops {
		return nil, refuse("stop", "There may be at most %d stop sequences.", maxStops)
	}
	for _, s := range list {
		if s == "" || len(s) > maxStopLength {
			return nil, refuse("stop", "A stop sequence must have between 1 and %d bytes.", maxStopLength)
		}
	}
	return list, nil
}
