// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/sotto-chat/sotto/seal/bhttp"
)

// A ChatRequest asks for the next message of a conversation.
type ChatRequest struct {
	Model    string        `json:"model"`
	Messages []ChatMessage `json:"messages"`
	// CacheSalt keeps a model server from sharing what it computed for this
	// chat with anybody else. Random, one for each chat; see NewCacheSalt.
	CacheSalt string `json:"cache_salt,omitempty"`
	// MaxTokens bounds the answer; 0 leaves it to the model server.
	MaxTokens int `json:"max_tokens,omitempty"`
	// Temperature is left to the model server when nil.
	Temperature *float64 `json:"temperature,omitempty"`
}

// A ChatMessage is one message of a ChatRequest.
type ChatMessage struct {
	Role    string `json:"role"` // "system", "user" or "assistant"
	Content string `json:"content"`
}

// A Delta is the next piece of an answer.
type Delta struct {
	Text      string
	Reasoning string // what a reasoning model thinks aloud, under either of its two names
}

// Usage says how long prompt and answer were.
type Usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
}

// Chat sends the conversation and returns when the answer begins. See
// [Client.Do] for the errors; an error status of the model server is an
// [*APIError] here.
func (c *Client) Chat(ctx context.Context, r ChatRequest, o Options) (*ChatStream, error) {
	b, err := json.Marshal(struct {
		ChatRequest
		Stream  bool           `json:"stream"`
		Options map[string]any `json:"stream_options"`
	}{r, true, map[string]any{"include_usage": true}})
	if err != nil {
		return nil, fmt.Errorf("client: chat: %w", err)
	}
	if o.Model == "" {
		o.Model = r.Model
	}
	a, err := c.Do(ctx, &bhttp.Request{
		Method: "POST", Path: "/v1/chat/completions", Body: b,
		Header: []bhttp.Field{
			{Name: contentTypeKey, Value: jsonType},
			{Name: "accept", Value: eventStreamType},
		},
	}, o)
	if err != nil {
		return nil, err
	}
	return ReadChat(a)
}

const eventStreamType = "text/event-stream"

// A ChatStream reads the answer of one chat request.
type ChatStream struct {
	// Receipt says who answers.
	Receipt Receipt
	// Model is the model that answers, as the model server names it.
	Model string
	// FinishReason is "stop", "length", …; set at the end.
	FinishReason string
	// Usage is set at the end, if the model server counts.
	Usage *Usage

	body   io.ReadCloser
	events *EventReader
	whole  bool // the answer came in one piece, not as a stream
	err    error
}

// ReadChat reads a as the answer to a chat completion, such as one that was
// resumed. It owns a's Body. An error status gives an [*APIError].
func ReadChat(a *Answer) (*ChatStream, error) {
	if a.Status >= 400 {
		return nil, ReadAPIError(a)
	}
	s := &ChatStream{Receipt: a.Receipt, body: a.Body}
	if strings.HasPrefix(a.Get(contentTypeKey), eventStreamType) {
		s.events = NewEventReader(a.Body)
	} else {
		s.whole = true
	}
	return s, nil
}

// chunk is an event of a stream, or with message for delta the one document of
// an answer that isn't streamed.
type chunk struct {
	Model   string `json:"model"`
	Choices []struct {
		Index        int     `json:"index"`
		Delta        words   `json:"delta"`
		Message      words   `json:"message"`
		FinishReason *string `json:"finish_reason"`
	} `json:"choices"`
	Usage *Usage          `json:"usage"`
	Error json.RawMessage `json:"error"`
}

type words struct {
	Content          string `json:"content"`
	Reasoning        string `json:"reasoning"`
	ReasoningContent string `json:"reasoning_content"`
}

func (w words) delta() Delta {
	d := Delta{Text: w.Content, Reasoning: w.ReasoningContent}
	if d.Reasoning == "" {
		d.Reasoning = w.Reasoning
	}
	return d
}

// Next returns the next piece of the answer as soon as it is there. io.EOF
// comes at its end. An [*APIError] means that the model server broke off and
// said why, [ErrCut] that it did not, [ErrEventStream] that it sent something
// else; other errors are those of the Answer's Body. All pieces that came
// before an error are good.
func (s *ChatStream) Next() (Delta, error) {
	for s.err == nil {
		var d Delta
		if s.whole {
			d, s.err = s.nextWhole()
		} else {
			d, s.err = s.nextEvent()
		}
		if s.err == nil && d != (Delta{}) {
			return d, nil
		}
	}
	return Delta{}, s.err
}

func (s *ChatStream) nextEvent() (Delta, error) {
	data, err := s.events.Next()
	switch {
	case err == io.EOF && s.FinishReason == "":
		return Delta{}, ErrCut
	case err == io.ErrUnexpectedEOF:
		return Delta{}, ErrCut
	case err != nil:
		return Delta{}, err
	case bytes.Equal(data, []byte("[DONE]")):
		return Delta{}, s.readOut()
	}
	return s.take(data)
}

// readOut reads to the end of the body, so that the answer counts as complete
// and not as closed early.
func (s *ChatStream) readOut() error {
	n, err := io.Copy(io.Discard, io.LimitReader(s.body, maxErrorBody))
	if err == nil && n == maxErrorBody {
		return fmt.Errorf("%w: it goes on after its end", ErrEventStream)
	}
	if err != nil {
		return err
	}
	return io.EOF
}

func (s *ChatStream) nextWhole() (Delta, error) {
	b, err := io.ReadAll(io.LimitReader(s.body, maxEvent+1))
	switch {
	case err != nil:
		return Delta{}, err
	case len(b) == 0 && s.FinishReason != "":
		return Delta{}, io.EOF
	case len(b) > maxEvent:
		return Delta{}, fmt.Errorf("%w: longer than %d bytes", ErrTooLarge, maxEvent)
	}
	d, err := s.take(b)
	if err == nil && s.FinishReason == "" {
		s.FinishReason = "stop"
	}
	return d, err
}

// take reads one JSON document of the answer.
func (s *ChatStream) take(data []byte) (Delta, error) {
	var c chunk
	if err := json.Unmarshal(data, &c); err != nil {
		return Delta{}, fmt.Errorf("%w: an event is not the expected JSON", ErrEventStream)
	}
	if e := parseAPIError(data); e != nil {
		return Delta{}, e
	}
	if c.Model != "" {
		s.Model = printable(c.Model, 256)
	}
	if c.Usage != nil {
		s.Usage = c.Usage
	}
	var d Delta
	for _, choice := range c.Choices {
		if choice.Index != 0 {
			continue // only one was asked for
		}
		for _, w := range []words{choice.Delta, choice.Message} {
			more := w.delta()
			d.Text += more.Text
			d.Reasoning += more.Reasoning
		}
		if choice.FinishReason != nil && *choice.FinishReason != "" {
			s.FinishReason = printable(*choice.FinishReason, 40)
		}
	}
	return d, nil
}

// Close ends the reading. Before the answer's end it stops it at the engine.
func (s *ChatStream) Close() error { return s.body.Close() }
