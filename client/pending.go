// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/sotto-chat/sotto/seal"
	"github.com/sotto-chat/sotto/seal/envelope"
)

// A Pending is all that is needed to take up an answer again in another
// process: after a reload of the page, say. It is secret, because whoever has
// it can read the answer; keep it sealed.
type Pending struct {
	id       answerID
	exchange *seal.Exchange
	// nodes are the receipts of the nodes that the request was sealed to, in
	// the order of the recipients. Which of them answers is known with header.
	nodes []Receipt
	// header is the answer's, nil until it is known.
	header []byte
}

// answerID names an answer that a node keeps. Only the client and the node,
// which finds it inside the sealed request, know it.
type answerID [32]byte

// String hides the Pending, which opens an answer.
func (Pending) String() string { return "[pending answer]" }

// GoString hides the Pending from %#v.
func (p Pending) GoString() string { return p.String() }

// MarshalJSON hides the Pending; use MarshalBinary to keep it.
func (p Pending) MarshalJSON() ([]byte, error) { return json.Marshal(p.String()) }

// maxPending bounds what UnmarshalBinary takes; an Exchange is a few KiB.
const maxPending = 64 << 10

// pendingDoc is the kept form.
type pendingDoc struct {
	V        int       `json:"v"`
	ID       []byte    `json:"id"`
	Exchange []byte    `json:"exchange"`
	Nodes    []Receipt `json:"nodes"`
	Header   []byte    `json:"header,omitempty"`
}

// MarshalBinary returns the secret bytes that UnmarshalBinary takes.
func (p Pending) MarshalBinary() ([]byte, error) {
	if p.exchange == nil {
		return nil, fmt.Errorf("%w: it is empty", ErrPending)
	}
	x, err := p.exchange.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("pending answer: %w", err)
	}
	return json.Marshal(pendingDoc{V: 1, ID: p.id[:], Exchange: x, Nodes: p.nodes, Header: p.header})
}

// UnmarshalBinary reads what MarshalBinary wrote. Anything else gives an error
// that wraps [ErrPending].
func (p *Pending) UnmarshalBinary(b []byte) error {
	if len(b) > maxPending {
		return fmt.Errorf("%w: longer than %d bytes", ErrPending, maxPending)
	}
	var d pendingDoc
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		return fmt.Errorf("%w: not the expected JSON", ErrPending)
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("%w: trailing bytes", ErrPending)
	}
	switch {
	case d.V != 1:
		return fmt.Errorf("%w: version %d", ErrPending, d.V)
	case len(d.ID) != len(p.id):
		return fmt.Errorf("%w: id of %d bytes", ErrPending, len(d.ID))
	case len(d.Nodes) == 0 || len(d.Nodes) > envelope.MaxRecipients:
		return fmt.Errorf("%w: %d nodes", ErrPending, len(d.Nodes))
	case len(d.Header) != 0 && len(d.Header) != seal.AnswerHeaderSize:
		return fmt.Errorf("%w: header of %d bytes", ErrPending, len(d.Header))
	case len(d.Header) != 0 && int(d.Header[2]) >= len(d.Nodes): // the recipient's place
		return fmt.Errorf("%w: answer of node %d of %d", ErrPending, d.Header[2], len(d.Nodes))
	}
	ex, err := seal.UnmarshalExchange(d.Exchange)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrPending, err)
	}
	*p = Pending{id: answerID(d.ID), exchange: ex, nodes: d.Nodes}
	if len(d.Header) > 0 {
		p.header = d.Header
	}
	return nil
}
