// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"

	"github.com/sotto-chat/sotto/seal"
	"github.com/sotto-chat/sotto/seal/bhttp"
)

// resumeOnce asks the node that has the answer to send it again from the next
// record. While it isn't known which node that is, each that the request was
// sealed to is asked in turn.
func (k *call) resumeOnce() error {
	result := ErrGone
	for _, node := range k.pending.answering() {
		err := k.resumeAt(node)
		if err == nil {
			return nil
		}
		if !errors.Is(err, ErrGone) {
			result = err // this one may have it
		}
		k.drop()
	}
	return result
}

func (k *call) resumeAt(node string) error {
	req := map[string]any{"id": k.pending.id.text(), "next": k.next}
	n, ex, err := k.c.askNode(k.ctx, node, pathResume, req)
	if err != nil {
		return err
	}
	k.conn = n
	if k.pending.header == nil {
		return k.tell(n, ex)
	}
	ar, err := k.pending.exchange.ResumeAnswer(n, k.pending.header, k.next)
	if err != nil {
		return err
	}
	if !ar.Resumed() {
		return refusal(ex, io.MultiReader(bytes.NewReader(ar.Header()), n))
	}
	k.accept(ar)
	return nil
}

// tell finds out whether r is the answer that was looked for or one to the
// resume request itself, when no header is known to compare with: only the
// right exchange opens the first record.
func (k *call) tell(r io.Reader, resume *seal.Exchange) error {
	rec := &recorder{r: r, on: true}
	ar, err := k.pending.exchange.OpenAnswer(rec)
	if err == nil {
		first := make([]byte, 64<<10) // more than any record holds
		var n int
		n, err = ar.Read(first)
		if err == nil || err == io.EOF {
			rec.on, rec.read = false, nil
			k.pre = first[:n]
			k.accept(ar)
			k.progress()
			return nil
		}
	}
	if !errors.Is(err, seal.ErrAuthentication) && !errors.Is(err, seal.ErrFormat) {
		return err
	}
	return refusal(resume, io.MultiReader(bytes.NewReader(rec.read), r))
}

// recorder remembers what was read through it while it is on.
type recorder struct {
	r    io.Reader
	on   bool
	read []byte
}

func (t *recorder) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	if t.on {
		t.read = append(t.read, p[:n]...)
	}
	return n, err
}

// refusal reads the answer to a resume request, which says why there is
// nothing to resume.
func refusal(ex *seal.Exchange, r io.Reader) error {
	ar, err := ex.OpenAnswer(r)
	if err != nil {
		return err
	}
	resp, err := bhttp.ReadResponse(ar)
	if err != nil {
		return err
	}
	if resp.Status == 404 || resp.Status == 410 {
		return ErrGone
	}
	return &ServiceError{Status: resp.Status, Code: CodeBusy}
}

// askNode seals a small request to one node alone and posts it.
func (c *Client) askNode(ctx context.Context, node, path string, body any) (*conn, *seal.Exchange, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return nil, nil, err
	}
	plaintext, err := (&bhttp.Request{
		Method: "POST", Scheme: defaultScheme, Path: path,
		Header: []bhttp.Field{{Name: contentTypeKey, Value: jsonType}}, Body: b,
	}).Append(nil)
	if err != nil {
		return nil, nil, err
	}
	for try := 0; ; try++ {
		key, err := c.keyOf(ctx, node, try > 0)
		if err != nil {
			return nil, nil, err
		}
		msg, ex, err := sealTo([]*nodeKey{key}, plaintext)
		if err != nil {
			return nil, nil, err
		}
		n, err := c.post(ctx, letter{path: pathControl, msg: msg})
		var se *ServiceError
		if try == 0 && errors.As(err, &se) && se.stale() {
			continue
		}
		return n, ex, err
	}
}

// keyOf returns a good key of the given node. A node makes its id when it
// starts, so one that is no longer listed has lost what it kept: ErrGone.
func (c *Client) keyOf(ctx context.Context, node string, fresh bool) (*nodeKey, error) {
	for {
		keys, err := c.goodKeys(ctx, fresh)
		if err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(keys, func(k *nodeKey) bool { return k.config.Node == node }); i >= 0 {
			return keys[i], nil
		}
		if fresh {
			return nil, ErrGone
		}
		fresh = true
	}
}

// answering returns the ids of the nodes that may have the answer.
func (p *Pending) answering() []string {
	if p.header != nil {
		return []string{p.nodes[p.header[2]].Node}
	}
	var ids []string
	for _, r := range p.nodes {
		ids = append(ids, r.Node)
	}
	return ids
}

// Resume takes up the answer of p again, from its beginning. Like Do, it
// returns when the head of the answer is there, and reconnects by itself.
// ErrGone means that the node keeps it no more.
func (c *Client) Resume(ctx context.Context, p Pending) (*Answer, error) {
	if p.exchange == nil {
		return nil, ErrPending
	}
	k := c.newCall(ctx, p, Options{Resume: true})
	for {
		err := k.resumeOnce()
		k.tries++
		switch {
		case err == nil:
			return k.answer()
		case context.Cause(k.ctx) != nil, errors.Is(err, ErrGone), !mayPass(err), k.tries >= firstTries:
			return nil, k.fail(err)
		}
		k.drop()
		if err := sleep(k.ctx, backoff(k.tries)); err != nil {
			return nil, k.fail(err)
		}
	}
}

// Cancel tells the node to stop the work on the answer of p. What is there of it
// stays fetchable for as long as any kept answer.
func (c *Client) Cancel(ctx context.Context, p Pending) error {
	if p.exchange == nil {
		return ErrPending
	}
	var errs []error
	for _, node := range p.answering() {
		n, ex, err := c.askNode(ctx, node, pathCancel, map[string]any{"id": p.id.text()})
		if err == nil {
			err = acknowledged(ex, n)
			n.close()
		}
		if err != nil && !errors.Is(err, ErrGone) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// acknowledged reads the answer to a cancellation; that there was nothing to
// cancel is as good.
func acknowledged(ex *seal.Exchange, r io.Reader) error {
	ar, err := ex.OpenAnswer(r)
	if err != nil {
		return err
	}
	resp, err := bhttp.ReadResponse(ar)
	if err != nil {
		return err
	}
	if resp.Status >= 300 && resp.Status != 404 && resp.Status != 410 {
		return &ServiceError{Status: resp.Status}
	}
	return nil
}
