// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"io"

	"github.com/sotto-chat/sotto/seal/bhttp"
)

// Paths of the service that a client asks; spec/seal.md.
const (
	pathNodes = "/sotto/v1/nodes"
	pathLog   = "/sotto/v1/log"
	pathSeal  = "/sotto/v1/seal"
	// For what a node does without its engine, which costs no token.
	pathControl = "/sotto/v1/control"
)

// A Transport carries sealed bytes to the service and back. It is the only
// thing the client needs of the outside world; client/nethttp has one for
// programs and the page's core one over fetch. Its methods may be called from
// several goroutines.
type Transport interface {
	// RoundTrip sends r and returns as soon as the answer's head is there.
	// An error means that no answer came; a status of 400 or more is an
	// answer. Ending ctx aborts the exchange at any time, the reading of the
	// Body too. Redirects are not followed, nothing is retried, and no cookie
	// or other identifier is added.
	RoundTrip(ctx context.Context, r *Request) (*Response, error)
}

// A Request is what a Transport sends.
type Request struct {
	Method      string // "GET" or "POST"
	Path        string // begins with "/", relative to the service; a query may follow "?"
	ContentType string // "" without a Body
	Body        []byte // not changed and not kept by the Transport
	// Header are further fields that the gateway is to see, such as a token. No
	// more are sent. Names are in lower case.
	Header []bhttp.Field
}

// A Response is what a Transport got back. The receiver closes Body; closing it
// before its end closes the connection.
type Response struct {
	Status      int
	ContentType string // as it came, with parameters
	Body        io.ReadCloser
}
