// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/sotto-chat/sotto/ohttp"
	"github.com/sotto-chat/sotto/seal/bhttp"
)

// Codes of a ServiceError that a relay answers with; spec/ohttp.md. Whatever else
// comes from outside of an encapsulated answer has no code.
const (
	CodeSlowDown           = "slow_down"
	CodeGatewayUnreachable = "gateway_unreachable"
	CodeOriginUnknown      = "origin_unknown"
)

// errRelay: what came through the relay is not what a gateway answers.
var errRelay = errors.New("client: not an answer to an encapsulated request")

// Oblivious is a Transport through a relay (RFC 9458): the relay sees who asks and
// not what, the gateway what is asked and not who asks. See spec/ohttp.md.
type Oblivious struct {
	relay   Transport
	allowed func(digest string) error

	turn    chan struct{} // held by whoever gets the keys
	mu      sync.Mutex
	configs []ohttp.Config
	fetched int // how often they were got
}

// NewOblivious returns a Transport that reaches the gateway through relay, itself a
// Transport whose Request.Path is relative to the relay's address: "" is the relay
// and "/ohttp-keys" gives the gateway's keys.
//
// allowed is asked whether the key with this digest ([ohttp.Config.Digest]) is one
// that everybody is given, before anything is sent to it but a look at what it takes
// to answer that: the public log, the key log and the list of machines. A key of a
// person's own would tell who asks. Nil allows all.
func NewOblivious(relay Transport, allowed func(digest string) error) *Oblivious {
	return &Oblivious{relay: relay, allowed: allowed, turn: make(chan struct{}, 1)}
}

// needsNoKey says whether r is a look at what is public, and the same for everybody
// who asks for it.
func needsNoKey(r *Request) bool {
	path, _, _ := strings.Cut(r.Path, "?")
	return r.Method == "GET" && (path == pathLog || path == pathNodes || path == "/sotto/v1/keys")
}

// RoundTrip implements [Transport]. An error or a status of 400 or more is from the
// relay, or from inside. A gateway that has no key for the request says so before it
// opens anything; then it is sent once more, to a fresh key.
func (o *Oblivious) RoundTrip(ctx context.Context, r *Request) (*Response, error) {
	head := bhttp.Request{Method: r.Method, Scheme: "https", Path: r.Path, Header: r.Header, Body: r.Body}
	if r.ContentType != "" {
		head.Header = append([]bhttp.Field{{Name: "content-type", Value: r.ContentType}}, r.Header...)
	}
	msg, err := head.Append(nil)
	if err != nil {
		return nil, err
	}
	config, fresh, err := o.config(ctx, nil, r)
	if err != nil {
		return nil, err
	}
	resp, again, err := o.exchange(ctx, config, msg)
	if again && !fresh {
		if config, _, err = o.config(ctx, config, r); err != nil {
			return nil, err
		}
		resp, _, err = o.exchange(ctx, config, msg)
	}
	return resp, err
}

// exchange sends one encapsulated request. again says that it was refused for its key.
func (o *Oblivious) exchange(ctx context.Context, c *ohttp.Config, msg []byte) (resp *Response, again bool, err error) {
	sealed, x, err := c.Seal(msg, true)
	if err != nil {
		return nil, false, err
	}
	resp, err = o.relay.RoundTrip(ctx, &Request{Method: "POST", ContentType: ohttp.ChunkedRequestType, Body: sealed})
	if err != nil {
		return nil, false, err
	}
	mediaType, _, _ := strings.Cut(resp.ContentType, ";")
	if resp.Status != 200 {
		defer resp.Body.Close()
		resp, again = fromOutside(resp, mediaType)
		return resp, again, nil
	}
	if strings.TrimSpace(mediaType) != ohttp.ChunkedResponseType {
		resp.Body.Close()
		return nil, false, errRelay
	}
	in, err := bhttp.ReadResponse(x.Reader(resp.Body))
	if err != nil {
		resp.Body.Close()
		return nil, false, err
	}
	return &Response{
		Status:      in.Status,
		ContentType: bhttp.Get(in.Header, "content-type"),
		Body: struct {
			io.Reader
			io.Closer
		}{in.Body, resp.Body},
	}, false, nil
}

// fromOutside makes an answer of what the relay said instead of one. Anybody on the
// way could have written it, so of its codes only those are kept that a relay, or a
// gateway that can't open, may say: that a token is spent, for one, is not of them.
func fromOutside(resp *Response, mediaType string) (out *Response, keyProblem bool) {
	b, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	var doc struct {
		Type  string
		Error struct{ Code string }
	}
	code := ""
	if json.Unmarshal(b, &doc) == nil {
		switch doc.Error.Code {
		case CodeSlowDown, CodeGatewayUnreachable, CodeOriginUnknown, CodeBusy, CodeTooLarge:
			code = doc.Error.Code
		}
		keyProblem = strings.TrimSpace(mediaType) == ohttp.ProblemType && doc.Type == ohttp.KeyProblem
	}
	status := resp.Status
	switch status {
	case 413, 429, 503:
	default:
		status = 502 // not even that there is nothing at an address
	}
	return &Response{Status: status, ContentType: "application/json",
		Body: io.NopCloser(strings.NewReader(`{"error":{"code":"` + code + `","message":""}}`))}, keyProblem
}

// config returns the key configuration for a request, not that of stale if there may
// be newer ones. fresh says that they were got for this call.
func (o *Oblivious) config(ctx context.Context, stale *ohttp.Config, r *Request) (c *ohttp.Config, fresh bool, err error) {
	o.mu.Lock()
	known, at := o.configs, o.fetched
	o.mu.Unlock()
	if stale == nil && known != nil {
		if c, err = o.choose(known, r); err == nil {
			return c, false, nil
		}
	}
	select {
	case o.turn <- struct{}{}:
		defer func() { <-o.turn }()
	case <-ctx.Done():
		return nil, false, context.Cause(ctx)
	}
	o.mu.Lock()
	known, changed := o.configs, o.fetched != at
	o.mu.Unlock()
	if !changed { // nobody else got them meanwhile
		if known, err = o.fetch(ctx); err != nil {
			return nil, false, err
		}
		o.mu.Lock()
		o.configs, o.fetched = known, o.fetched+1
		o.mu.Unlock()
	}
	c, err = o.choose(known, r)
	return c, true, err
}

// choose takes the best of the configurations that are allowed.
func (o *Oblivious) choose(all []ohttp.Config, r *Request) (*ohttp.Config, error) {
	best := ohttp.Best(all)
	if o.allowed == nil || needsNoKey(r) {
		return best, nil
	}
	err := o.allowed(best.Digest())
	if err == nil {
		return best, nil
	}
	for i := range all {
		if c := &all[i]; c != best && o.allowed(c.Digest()) == nil {
			return c, nil
		}
	}
	return nil, err
}

// fetch gets the gateway's keys from the relay.
func (o *Oblivious) fetch(ctx context.Context) ([]ohttp.Config, error) {
	resp, err := o.relay.RoundTrip(ctx, &Request{Method: "GET", Path: "/ohttp-keys"})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.Status != 200 {
		return nil, readServiceError(resp)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, ohttp.MaxConfigs+1))
	if err != nil {
		return nil, err
	}
	all, err := ohttp.ParseConfigs(b)
	if err != nil {
		return nil, fmt.Errorf("client: the gateway's keys: %w", err)
	}
	return all, nil
}
