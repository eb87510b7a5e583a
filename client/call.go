// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/sotto-chat/sotto/seal"
	"github.com/sotto-chat/sotto/seal/bhttp"
)

const (
	// How often a call tries to take up its answer again without any progress.
	// With the waits between them, the tries last for about half a minute.
	resumeTries = 8
	// Before the answer's first byte the request may not have arrived at all,
	// and a person would rather know soon.
	firstTries = 3

	backoffMin = 250 * time.Millisecond
	backoffMax = 8 * time.Second

	tailTimeout   = 5 * time.Minute // for the padding after an answer
	cancelTimeout = 5 * time.Second // for telling a node to stop
)

// errClosed is what ends a call whose Body was closed before its end.
var errClosed = errors.New("client: the answer was closed")

// call is one request under way and the reader of its answer's bytes, over as
// many connections as it takes. Read is for one goroutine; ending ctx, from any
// goroutine, stops it.
type call struct {
	c      *Client
	o      Options
	ctx    context.Context
	cancel context.CancelCauseFunc
	// unwatch detaches the call from ctx once the content has ended; true if
	// the call had not been stopped by then.
	unwatch func() bool
	over    sync.Once // ends the call's share in c.work

	pending Pending // owned by the reading goroutine, but see stopped
	mu      sync.Mutex
	conn    *conn
	reader  *seal.AnswerReader
	pre     []byte // content read ahead, before reader's
	next    uint64 // record to resume at
	tries   int    // without progress
	err     error  // sticky
}

func (c *Client) newCall(ctx context.Context, p Pending, o Options) *call {
	k := &call{c: c, o: o, pending: p}
	k.ctx, k.cancel = context.WithCancelCause(ctx)
	c.work.Add(1)
	c.want(p.nodes, +1)
	k.unwatch = context.AfterFunc(k.ctx, k.stopped)
	return k
}

// done ends the call for the client's bookkeeping.
func (k *call) done() {
	k.over.Do(func() {
		k.c.want(k.pending.nodes, -1)
		go k.c.prepare()
		k.c.work.Done()
	})
}

// stopped runs once if ctx ends before the content has: it tells the node.
func (k *call) stopped() {
	defer k.done()
	if !k.o.Resume {
		return // closing the connection has stopped the engine
	}
	k.mu.Lock()
	p := k.pending
	k.mu.Unlock()
	ctx, cancel := context.WithTimeout(k.c.life, cancelTimeout)
	defer cancel()
	k.c.Cancel(ctx, p) // there is nobody left to tell about an error
}

// fail ends a call that has no answer to read, and returns err.
func (k *call) fail(err error) error {
	if cause := context.Cause(k.ctx); cause != nil {
		return cause // stopped does the rest
	}
	if k.conn == nil || errors.Is(err, ErrInterrupted) {
		k.leave() // there is no answer, or it may still be resumed
	} else {
		k.cancel(err)
	}
	return err
}

// drop closes the connection, if any.
func (k *call) drop() {
	if k.conn != nil {
		k.conn.close()
		k.conn = nil
	}
}

// first sends the request and waits for the answer's header. If the connection
// is lost before that, the answer may exist: with Resume it is looked for.
func (k *call) first(l letter) error {
	n, err := k.c.post(k.ctx, l)
	if err == nil {
		k.conn = n
		if err = k.begin(k.pending.exchange, n); err == nil {
			return nil
		}
	}
	if !k.o.Resume || !dropped(err) || context.Cause(k.ctx) != nil {
		return err
	}
	return k.reconnect(err)
}

// begin reads the header of a fresh answer.
func (k *call) begin(ex *seal.Exchange, r io.Reader) error {
	ar, err := ex.OpenAnswer(r)
	if err == nil {
		k.accept(ar)
	}
	return err
}

// accept takes ar as the reader of the answer's content.
func (k *call) accept(ar *seal.AnswerReader) {
	if ar.Class() == seal.ClassStream {
		k.conn.watch()
	}
	k.reader = ar
}

// progress notes how far the reader has come. The header is believed, and with
// it which node answers, once a record under it has been authenticated.
func (k *call) progress() {
	next := k.reader.Next()
	if next == k.next {
		return
	}
	k.next, k.tries = next, 0
	if k.pending.header == nil {
		k.mu.Lock()
		k.pending.header = k.reader.Header()
		k.mu.Unlock()
		k.tellPending()
	}
}

func (k *call) tellPending() {
	if k.o.Resume && k.o.OnPending != nil {
		k.o.OnPending(k.pending)
	}
}

// answer waits for the head of the answer and makes the Answer of it.
func (k *call) answer() (*Answer, error) {
	resp, err := bhttp.ReadResponse(k)
	if err != nil {
		if k.err != nil && k.err != io.EOF {
			err = k.err // says more than what the parser makes of it
		}
		return nil, k.fail(err)
	}
	if k.reader.Recipient() >= len(k.pending.nodes) { // of a Pending that somebody made up
		return nil, k.fail(ErrPending)
	}
	return &Answer{
		Status: resp.Status, Header: resp.Header,
		Body:    &body{call: k, r: resp.Body},
		Receipt: k.pending.nodes[k.reader.Recipient()],
	}, nil
}

// Read returns the answer's authenticated bytes, reconnecting where that is
// possible and needed.
func (k *call) Read(p []byte) (int, error) {
	if k.err != nil {
		return 0, k.err
	}
	n, err := k.read(p)
	if err != nil {
		k.err = err
	}
	if errors.Is(err, ErrInterrupted) {
		k.leave() // it may be taken up again later
	}
	return n, err
}

// leave ends the call without telling the node to stop.
func (k *call) leave() {
	if k.unwatch() {
		k.drop()
		k.cancel(ErrInterrupted)
		k.done()
	}
}

func (k *call) read(p []byte) (int, error) {
	for {
		if len(k.pre) > 0 {
			n := copy(p, k.pre)
			k.pre = k.pre[n:]
			return n, nil
		}
		n, err := k.reader.Read(p)
		k.progress()
		switch {
		case err == nil:
			return n, nil
		case err == io.EOF:
			return 0, io.EOF
		case context.Cause(k.ctx) != nil:
			return 0, context.Cause(k.ctx)
		case !dropped(err):
			return 0, err
		case !k.o.Resume:
			return 0, fmt.Errorf("%w: %w", ErrInterrupted, err)
		}
		if err := k.reconnect(err); err != nil {
			return 0, err
		}
	}
}

// final are the errors after which an answer must not be taken up again.
var final = []error{
	seal.ErrAuthentication, seal.ErrFormat, seal.ErrPadding, seal.ErrVersion, seal.ErrTooLarge,
	ErrAnswer, ErrNodeList,
}

// dropped says whether err is a lost connection, as opposed to bytes that were
// changed, an answer of another kind, or somebody who said no.
func dropped(err error) bool {
	var se *ServiceError
	var nv *NotVerifiedError
	if errors.As(err, &se) || errors.As(err, &nv) {
		return false
	}
	return !slices.ContainsFunc(final, func(f error) bool { return errors.Is(err, f) })
}

// reconnect takes the answer up again after cause, with growing waits between
// the tries.
func (k *call) reconnect(cause error) error {
	k.drop()
	for {
		limit := resumeTries
		if k.pending.header == nil {
			limit = firstTries
		}
		if k.tries >= limit {
			return interrupted(k, cause)
		}
		if k.tries > 0 {
			if err := sleep(k.ctx, backoff(k.tries)); err != nil {
				return err
			}
		}
		k.tries++
		err := k.resumeOnce()
		switch {
		case err == nil:
			return nil
		case context.Cause(k.ctx) != nil:
			return context.Cause(k.ctx)
		case errors.Is(err, ErrGone) && k.pending.header == nil:
			return interrupted(k, cause) // it never arrived, or nobody has it
		case errors.Is(err, ErrGone), !mayPass(err):
			return fmt.Errorf("%w: %w", ErrInterrupted, err)
		}
		k.drop()
	}
}

// interrupted names the end of all tries: before any byte of an answer came,
// the plain cause says more than that an answer was interrupted.
func interrupted(k *call, cause error) error {
	if k.pending.header == nil && errors.Is(cause, ErrUnreachable) {
		return cause
	}
	return fmt.Errorf("%w: %w", ErrInterrupted, cause)
}

// mayPass says whether a failed try to resume is worth another.
func mayPass(err error) bool {
	var se *ServiceError
	return errors.As(err, &se) || dropped(err)
}

// backoff is the wait before try n ≥ 1: doubling, and spread at random over its
// upper half so that many clients of one lost gateway don't come back at once.
func backoff(n int) time.Duration {
	d := min(backoffMin<<min(n-1, 10), backoffMax)
	return d/2 + time.Duration(randomBelow(uint32(d/2/time.Microsecond)))*time.Microsecond
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// body is an Answer's Body.
type body struct {
	call *call
	r    io.Reader
	err  error
}

func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.r.Read(p)
	if err != nil {
		if b.err = err; b.call.err != nil && b.call.err != io.EOF {
			b.err = b.call.err // says more than what the parser makes of it
		}
		if err == io.EOF {
			b.call.finish()
		}
	}
	return n, b.err
}

// Close stops the answer at the engine if it hasn't ended.
func (b *body) Close() error {
	b.call.cancel(errClosed) // after finish, this does nothing
	return nil
}

// finish lets the caller go on while the padding after the content runs out:
// cutting it off would show how long the answer was.
func (k *call) finish() {
	if !k.unwatch() {
		return // stopped at the last moment
	}
	n, ar := k.conn, k.reader
	n.detach()
	k.cancel(io.EOF)
	go func() {
		defer k.done()
		t := time.AfterFunc(tailTimeout, n.close)
		defer t.Stop()
		defer context.AfterFunc(k.c.life, n.close)()
		ar.Drain() // the content was complete; the padding has nothing to say
		n.close()
	}()
}
