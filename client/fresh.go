// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/seal/bhttp"
)

const pathFresh = "/sotto/v1/fresh" // inside a sealed request

// A FreshProof is what a machine's hardware signed because this client asked, with
// the client's own nonce: it can't have been made before.
type FreshProof struct {
	Bundle  []byte // as it came, with evidence for the nonce
	Verdict attest.Verdict
}

// Fresh has each machine whose key is at hand prove itself anew for nonce
// (spec/evidence.md, "Fresh evidence"), one after the other. A machine is asked
// under its own seal, so nobody else can answer for it. Hardware is slow at this and
// machines answer one such request at a time: an [*APIError] with status 429 asks
// to try again in some seconds.
//
// The error is nil if every machine passed; a [*NotVerifiedError] if one did not;
// ErrOtherKey if one showed a proof that isn't of its key.
func (c *Client) Fresh(ctx context.Context, nonce [32]byte) ([]FreshProof, error) {
	keys, err := c.goodKeys(ctx, false)
	if err != nil {
		return nil, err
	}
	var proofs []FreshProof
	var failed []attest.Verdict
	for _, k := range keys {
		p, err := c.fresh(ctx, k, nonce)
		if err != nil {
			return proofs, err
		}
		proofs = append(proofs, p)
		if p.Verdict.State != attest.StateVerified && p.Verdict.State != attest.StateDemo {
			failed = append(failed, p.Verdict)
		}
	}
	if len(failed) > 0 {
		return proofs, &NotVerifiedError{Verdicts: failed}
	}
	return proofs, nil
}

func (c *Client) fresh(ctx context.Context, k *nodeKey, nonce [32]byte) (FreshProof, error) {
	req := bhttp.Request{
		Method: "POST", Scheme: defaultScheme, Path: pathFresh, Body: nonce[:],
		Header: []bhttp.Field{{Name: contentTypeKey, Value: "application/octet-stream"}},
	}
	plaintext, err := req.Append(nil)
	if err != nil {
		return FreshProof{}, fmt.Errorf("client: request: %w", err)
	}
	a, err := c.do(ctx, []*nodeKey{k}, plaintext, answerID{}, Options{}, true)
	if err != nil {
		return FreshProof{}, err
	}
	if a.Status != 200 {
		return FreshProof{}, ReadAPIError(a)
	}
	doc, err := io.ReadAll(io.LimitReader(a.Body, attest.MaxBundle+1))
	a.Body.Close()
	if err != nil {
		return FreshProof{}, err
	}
	v := c.JudgeFresh(doc, nonce)
	if id := k.ID(); v.KeyID != hex.EncodeToString(id[:]) {
		return FreshProof{}, ErrOtherKey
	}
	return FreshProof{Bundle: doc, Verdict: v}, nil
}

// JudgeFresh judges a proof that [Client.Fresh] got, once more: by the public log as
// the last check saw it. Whose key it is about, the verdict says.
func (c *Client) JudgeFresh(bundle []byte, nonce [32]byte) attest.Verdict {
	c.ring.mu.Lock()
	log := c.ring.log
	c.ring.mu.Unlock()
	terms := c.terms(log)
	terms.Nonce = &nonce
	_, v := attest.Judge(bundle, terms, c.cfg.Now(), c.cfg.Platforms...)
	return v
}
