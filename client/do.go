// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/sotto-chat/sotto/seal/bhttp"
)

// Paths and fields inside the sealed request that nodes, not engines, answer.
const (
	pathResume     = "/sotto/v1/resume"
	pathCancel     = "/sotto/v1/cancel"
	pathModels     = "/v1/models"
	fieldAnswerID  = "sotto-answer-id"
	defaultScheme  = "https"
	jsonType       = "application/json"
	contentTypeKey = "content-type"
)

// Options say how a request is to be carried.
type Options struct {
	// Model is the model wanted: only nodes that serve it are asked, if any
	// does. "" means the "model" member of a JSON body.
	Model string
	// Resume has the node keep the answer for some minutes, so that it goes on
	// after a lost connection. Without it, a lost connection ends the answer.
	Resume bool
	// OnPending is called, with Resume, before the request is sent and again
	// when it is known which node answers: keep the newest. It is called from
	// the goroutine that called Do or that reads the Body. May be nil.
	OnPending func(Pending)
}

// An Answer is an opened answer whose head has come.
type Answer struct {
	Status int           // HTTP status of the model server's answer
	Header []bhttp.Field // names in lower case
	// Body is the answer's content as it comes, all of it authenticated. Its
	// Read returns io.EOF only at the end that the node marked. Any other
	// error comes after all that was good. The caller must close it; closing
	// it before its end stops the answer at the engine, except after
	// ErrInterrupted: then it may still be resumed from the Pending.
	Body    io.ReadCloser
	Receipt Receipt
}

// Get returns the value of the first header field with the given lower-case
// name, or "".
func (a *Answer) Get(name string) string { return bhttp.Get(a.Header, name) }

// Do seals req to some of the verified nodes, sends it, and returns when the
// head of the answer is there. Only what a node understands has a meaning:
// method, path, header and body are those of an OpenAI-compatible server. An
// error status of the model server is an Answer, not an error; see [ReadAPIError].
//
// Ending ctx at any time before the Body's end stops the answer at the engine.
//
// If there are no verified keys at hand, Do checks first. If a node says that
// it has erased the key, Do fetches fresh ones and tries once more.
//
// Errors: those of [Client.Verify]; a [*ServiceError]; ErrAnswer; ErrInterrupted;
// those of package seal (seal.ErrAuthentication, seal.ErrFormat, …) if the
// answer was changed on its way; bhttp's if it is malformed; ctx's own.
func (c *Client) Do(ctx context.Context, req *bhttp.Request, o Options) (*Answer, error) {
	r := *req
	if r.Scheme == "" {
		r.Scheme = defaultScheme
	}
	var id answerID
	if o.Resume {
		rand.Read(id[:]) // never fails
		r.Header = append(slices.Clip(r.Header), bhttp.Field{Name: fieldAnswerID, Value: id.text()})
	}
	plaintext, err := r.Append(nil)
	if err != nil {
		return nil, fmt.Errorf("client: request: %w", err)
	}
	model := o.Model
	if model == "" {
		model = modelOf(req)
	}
	for try := 0; ; try++ {
		keys, err := c.goodKeys(ctx, try > 0)
		if err != nil {
			return nil, err
		}
		a, err := c.do(ctx, pick(keys, model, c.cfg.Recipients), plaintext, id, o, isControl(req))
		var se *ServiceError
		if try == 0 && errors.As(err, &se) && (se.stale() || se.worthless()) {
			continue
		}
		return a, err
	}
}

// do sends plaintext to the given keys, once.
func (c *Client) do(ctx context.Context, keys []*nodeKey, plaintext []byte, id answerID, o Options, control bool) (*Answer, error) {
	msg, ex, err := sealTo(keys, plaintext)
	if err != nil {
		return nil, fmt.Errorf("client: request: %w", err)
	}
	l, ticket, err := c.pay(ctx, msg, control)
	if err != nil {
		return nil, err
	}
	k := c.newCall(ctx, Pending{id: id, exchange: ex, nodes: c.receipts(keys)}, o)
	k.tellPending()
	err = k.first(l)
	c.settle(ticket, err)
	if err != nil {
		return nil, k.fail(err)
	}
	return k.answer()
}

// Models asks the nodes for the models they serve, and returns them as one
// OpenAI list: {"object":"list","data":[{"id":…},…]}. Nodes that say in their
// evidence that they serve the same models are asked once.
func (c *Client) Models(ctx context.Context) ([]byte, error) {
	keys, err := c.goodKeys(ctx, false)
	if err != nil {
		return nil, err
	}
	type list struct {
		Object string            `json:"object"`
		Data   []json.RawMessage `json:"data"`
	}
	all := list{Object: "list", Data: []json.RawMessage{}}
	seen := make(map[string]bool)
	for _, model := range differentModels(keys) {
		a, err := c.Do(ctx, &bhttp.Request{Method: "GET", Path: pathModels}, Options{Model: model})
		if err != nil {
			return nil, err
		}
		if a.Status != 200 {
			return nil, ReadAPIError(a)
		}
		b, err := io.ReadAll(io.LimitReader(a.Body, maxModelList+1))
		a.Body.Close()
		if err != nil {
			return nil, err
		}
		var l list
		if len(b) > maxModelList || json.Unmarshal(b, &l) != nil {
			return nil, fmt.Errorf("client: model list: %w", ErrAnswer)
		}
		for _, m := range l.Data {
			var entry struct{ ID string }
			if json.Unmarshal(m, &entry) == nil && entry.ID != "" && !seen[entry.ID] {
				seen[entry.ID] = true
				all.Data = append(all.Data, m)
			}
		}
	}
	return json.Marshal(all)
}

const maxModelList = 4 << 20

// differentModels returns one model for each different set of models among
// keys: asking for it reaches a node with that set. "" stands for any node.
func differentModels(keys []*nodeKey) []string {
	var out []string
	covered := make(map[string]bool)
	for _, k := range keys {
		for _, m := range k.config.Models {
			if covered[m.ID] {
				continue
			}
			out = append(out, m.ID)
			for _, other := range k.config.Models {
				covered[other.ID] = true
			}
		}
	}
	if len(out) == 0 {
		return []string{""}
	}
	return out[:min(len(out), sampleNodes)]
}

// modelOf reads the "model" member of a JSON body; "" if there is none.
func modelOf(req *bhttp.Request) string {
	for _, f := range req.Header {
		if strings.EqualFold(f.Name, contentTypeKey) && !strings.HasPrefix(f.Value, jsonType) {
			return ""
		}
	}
	var body struct {
		Model string `json:"model"`
	}
	if json.Unmarshal(req.Body, &body) != nil {
		return ""
	}
	return body.Model
}

// receipts returns the receipts of keys as of now.
func (c *Client) receipts(keys []*nodeKey) []Receipt {
	var out []Receipt
	for _, k := range keys {
		r := k.receipt
		r.Time = c.cfg.Now().Unix()
		out = append(out, r)
	}
	return out
}

func (id answerID) text() string { return base64.RawURLEncoding.EncodeToString(id[:]) }
