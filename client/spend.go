// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/sotto-chat/sotto/seal/bhttp"
)

const pathRefund = "/sotto/v1/refund"

// Tokens are what messages are paid with. They say that somebody may ask, and not
// who: package token.
type Tokens interface {
	// Take takes a token out for one message. Its error is returned by Do as it is.
	Take(ctx context.Context) (Ticket, error)
}

// A Ticket is a token that has been taken out for one message. Exactly one of the
// last three methods is called, once.
type Ticket interface {
	// Fields returns the header fields that pay for a sealed message.
	Fields(message []byte) ([]bhttp.Field, error)
	// RefundFields returns those that ask for the token back.
	RefundFields() ([]bhttp.Field, error)

	// Unspent: the service refused before it looked at the token.
	Unspent()
	// Spent: it is used up. refund is what the service signed in its place, because
	// nothing was answered, or nil.
	Spent(refund []byte)
	// Lost: nobody knows what became of it.
	Lost()
}

// A letter is what is posted.
type letter struct {
	path   string
	fields []bhttp.Field
	msg    []byte
}

// free are the refusals that come before a token is looked at.
var free = map[string]bool{CodeMalformed: true, CodeTooLarge: true, CodeBusy: true}

// settle tells the ticket what became of a message whose answer began (err is nil)
// or didn't.
func (c *Client) settle(t Ticket, err error) {
	if t == nil {
		return
	}
	var se *ServiceError
	switch {
	case err == nil:
		t.Spent(nil)
	case errors.As(err, &se) && se.Refund != nil:
		t.Spent(se.Refund)
	case errors.As(err, &se) && free[se.Code]:
		t.Unspent()
	case errors.As(err, &se) && se.token():
		t.Spent(nil) // it will never be good
	default:
		go c.reclaim(t)
	}
}

const (
	refundTries = 3
	// refundAfter is how long to wait before asking: somebody who lost a connection
	// is not back at once.
	refundAfter = 2 * time.Second
)

// reclaim asks for the token of a message back that has no answer. The service
// gives it if it passed on no byte of one.
func (c *Client) reclaim(t Ticket) {
	for try := 1; try <= refundTries; try++ {
		if sleep(c.life, refundAfter*time.Duration(try)) != nil {
			break
		}
		refund, err := c.askRefund(c.life, t)
		var se *ServiceError
		if err == nil || errors.As(err, &se) && se.Status < 500 && se.Status != 429 {
			t.Spent(refund) // without one, it was answered
			return
		}
	}
	t.Lost()
}

// settleOld asks for the tokens that earlier runs of the program lost sight of.
func (c *Client) settleOld() {
	w := c.Wallet()
	if w == nil {
		return
	}
	tickets, _ := w.Unsettled(c.life) // else at the next start
	for _, t := range tickets {
		c.reclaim(t)
	}
}

func (c *Client) askRefund(ctx context.Context, t Ticket) ([]byte, error) {
	fields, err := t.RefundFields()
	if err != nil {
		return nil, err
	}
	resp, err := c.roundTrip(ctx, &Request{Method: "POST", Path: pathRefund, Header: fields})
	if err != nil {
		return nil, unreachable(ctx, err)
	}
	defer resp.Body.Close()
	if resp.Status != 200 {
		return nil, readServiceError(resp)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if err != nil {
		return nil, unreachable(ctx, err)
	}
	var doc struct{ Refund []byte }
	if json.Unmarshal(b, &doc) != nil || len(doc.Refund) == 0 {
		return nil, ErrAnswer
	}
	return doc.Refund, nil
}

// pay takes a ticket for a message and returns the letter that it goes out in. A
// ticket that comes back is the caller's to settle.
func (c *Client) pay(ctx context.Context, msg []byte, control bool) (letter, Ticket, error) {
	l := letter{path: pathSeal, msg: msg}
	if control {
		l.path = pathControl
	}
	if control {
		return l, nil, nil
	}
	_, tokens, err := c.ways(ctx)
	if err != nil || tokens == nil {
		return l, nil, err
	}
	t, err := tokens.Take(ctx)
	if err != nil {
		return letter{}, nil, err
	}
	if l.fields, err = t.Fields(msg); err != nil {
		t.Unspent()
		return letter{}, nil, err
	}
	return l, t, nil
}

// isControl says whether a request is one of those that nodes serve without a
// token: it costs them no answer.
func isControl(r *bhttp.Request) bool { return r.Method == "GET" && r.Path == pathModels }
