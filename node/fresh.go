// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"net/http"
	"strconv"
	"time"

	"github.com/sotto-chat/sotto/attest/bundle"
	"github.com/sotto-chat/sotto/seal/bhttp"
	"github.com/sotto-chat/sotto/seal/machine"
)

// freshEvery is the time between two answers with fresh evidence, whoever asks:
// hardware signs slowly, and new keys need it too.
const freshEvery = 2 * time.Second

// hardware is the way to what vouches for the machine, which one at a time may go.
type hardware struct {
	ask   func(reportData [64]byte) ([]bundle.Evidence, error)
	turn  chan struct{} // holds a token while it is asked
	fresh time.Time     // when fresh evidence was asked for last
}

// evidence asks for a new key, and waits for its turn.
func (h *hardware) evidence(reportData [64]byte) ([]bundle.Evidence, error) {
	h.turn <- struct{}{}
	defer func() { <-h.turn }()
	return h.ask(reportData)
}

// freshEvidence asks for somebody's own nonce, and doesn't wait: ok is false if
// it isn't the time.
func (h *hardware) freshEvidence(reportData [64]byte) (evidence []bundle.Evidence, ok bool, err error) {
	select {
	case h.turn <- struct{}{}:
		defer func() { <-h.turn }()
	default:
		return nil, false, nil
	}
	now := time.Now()
	if now.Sub(h.fresh) < freshEvery {
		return nil, false, nil
	}
	h.fresh = now
	evidence, err = h.ask(reportData)
	return evidence, true, err
}

// fresh answers POST /sotto/v1/fresh: a nonce of 32 bytes, for which the hardware
// vouches together with the key that the request was sealed to (spec/evidence.md,
// "Fresh evidence"). The answer has the bulk shape; a refusal has that of all our
// refusals.
func (n *Node) fresh(id machine.KeyID, body []byte) *reply {
	var nonce [32]byte
	if copy(nonce[:], body) != len(nonce) || len(body) != len(nonce) {
		return oops(http.StatusBadRequest, "invalid_request_error", "malformed", "A nonce is 32 bytes long.")
	}
	k := n.keys.get(id, time.Now())
	if k == nil {
		return oops(http.StatusGone, "invalid_request_error", "key_expired", "The key of this request has been erased. Get a fresh one.")
	}
	evidence, ok, err := n.hardware.freshEvidence(bundle.FreshData(nonce, k.config))
	if !ok {
		rep := oops(http.StatusTooManyRequests, "rate_limit_error", "rate_limit_exceeded", "This machine's hardware vouches for it every two seconds at most. Try again in a moment.")
		return rep.retryAfter(freshEvery)
	}
	var doc []byte
	if err == nil {
		doc, err = bundle.Bundle{V: 1, KeyConfig: k.config, Evidence: evidence, Checkpoint: k.checkpoint}.Encode()
	}
	if err != nil { // counted and not logged: a line would tell when somebody asked
		n.stats.evidenceFailures.Add(1)
		return oops(http.StatusServiceUnavailable, "server_error", "evidence_failed", "This machine's hardware did not vouch for it. Try again in a moment.")
	}
	n.stats.fresh.Add(1)
	return &reply{status: http.StatusOK, header: jsonHeader, class: machine.ClassBulk, text: doc}
}

// retryAfter adds to a refusal when to come again.
func (rep *reply) retryAfter(d time.Duration) *reply {
	seconds := strconv.Itoa(int((d + time.Second - 1) / time.Second))
	rep.header = append(rep.header[:1:1], bhttp.Field{Name: "retry-after", Value: seconds})
	return rep
}
