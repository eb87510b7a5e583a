// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/sotto-chat/sotto/seal/envelope"
)

// stallAfter is how long a stream may be silent before its connection counts
// as lost. A node sends a record every tick, words or not, so silence means a
// dead connection that nobody has told us about, as on a phone that changed
// its network.
const stallAfter = 15 * time.Second

// conn is one exchange over the Transport. It lives at most as long as the
// context it was made with, until detach.
type conn struct {
	body   io.ReadCloser
	cancel context.CancelFunc
	detach func() bool
	stall  *time.Timer // nil where silence is nothing unusual
	close  func()
}

// post sends a sealed message and returns once the head of a sealed answer is
// there. An error that is not a *ServiceError or ErrAnswer leaves open whether
// the message arrived.
func (c *Client) post(ctx context.Context, l letter) (*conn, error) {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	detach := context.AfterFunc(ctx, cancel)
	resp, err := c.roundTrip(own, &Request{
		Method: "POST", Path: l.path, ContentType: envelope.RequestType, Header: l.fields, Body: l.msg,
	})
	if err != nil {
		cancel()
		return nil, unreachable(ctx, err)
	}
	n := &conn{body: resp.Body, cancel: cancel, detach: detach}
	n.close = sync.OnceFunc(func() {
		cancel()
		resp.Body.Close()
	})
	// A Transport may be slow to notice that a context ended while a body is read.
	context.AfterFunc(own, n.close)
	switch mediaType, _, _ := strings.Cut(resp.ContentType, ";"); {
	case resp.Status != 200:
		defer n.close()
		return nil, readServiceError(resp)
	case strings.TrimSpace(mediaType) != envelope.AnswerType:
		defer n.close()
		return nil, fmt.Errorf("%w: it has the content type %q", ErrAnswer, printable(resp.ContentType, 80))
	}
	return n, nil
}

// watch makes the conn give up after a long silence.
func (n *conn) watch() {
	n.stall = time.AfterFunc(stallAfter, n.close)
	n.stall.Stop()
}

// Read implements io.Reader for the sealed bytes.
func (n *conn) Read(p []byte) (int, error) {
	if n.stall != nil {
		n.stall.Reset(stallAfter)
		defer n.stall.Stop()
	}
	return n.body.Read(p)
}
