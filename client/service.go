// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
)

// pathService is answered by the account server, which also serves the page.
const pathService = "/api/v1/service"

const maxService = 16 << 10

// A Service is what a service says of itself to everybody. Nothing in it is
// believed for being there: a relay has to be named by the release in the public
// log, and tokens by the key log.
type Service struct {
	V       int    `json:"v"`       // 1
	Relay   *Relay `json:"relay"`   // nil where there is none
	Tokens  bool   `json:"tokens"`  // a message costs a token
	Guests  bool   `json:"guests"`  // tokens can be had without an account
	Product string `json:"product"` // which the tokens are for
	Issuer  string `json:"issuer"`  // who signs them
	Billing bool   `json:"billing"`
	Price   string `json:"price"` // of the member's plan, for people
}

// A Relay hides from the service where a request comes from (RFC 9458).
type Relay struct {
	URL      string `json:"url"`      // where sealed requests are posted
	Operator string `json:"operator"` // who runs it, for people
}

// AskService asks the service what it is, over a Transport that reaches it
// directly. One that doesn't say, as a gateway alone, has no relay and takes no
// tokens. Fields that it doesn't know are left aside.
func AskService(ctx context.Context, t Transport) (Service, error) {
	resp, err := t.RoundTrip(ctx, &Request{Method: "GET", Path: pathService})
	if err != nil {
		return Service{}, unreachable(ctx, err)
	}
	defer resp.Body.Close()
	if resp.Status == 404 {
		return Service{V: 1}, nil
	}
	if resp.Status != 200 {
		return Service{}, readServiceError(resp)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxService+1))
	if err != nil {
		return Service{}, unreachable(ctx, err)
	}
	var s Service
	if len(b) > maxService || json.Unmarshal(b, &s) != nil || s.V != 1 {
		return Service{}, fmt.Errorf("%w: what it says of itself can't be read", ErrUnreachable)
	}
	return s, nil
}
