// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/sotto-chat/sotto/internal/door"
	"github.com/sotto-chat/sotto/internal/slowbody"
	"github.com/sotto-chat/sotto/seal/bhttp"
	"github.com/sotto-chat/sotto/seal/envelope"
	"github.com/sotto-chat/sotto/seal/machine"
)

// A sealed request must arrive within bodyTime plus a second for each
// bodyRate bytes that have come.
const (
	bodyTime = 15 * time.Second
	bodyRate = 32 << 10

	// maxControl bounds a message by the path that costs no token.
	maxControl = 16 << 10
)

func (n *Node) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sotto/v1/evidence", n.serveEvidence)
	mux.HandleFunc("POST /sotto/v1/seal", func(w http.ResponseWriter, r *http.Request) { n.serveSealed(w, r, envelope.MaxMessage, n.inside) })
	mux.HandleFunc("POST /sotto/v1/control", func(w http.ResponseWriter, r *http.Request) { n.serveSealed(w, r, maxControl, n.control) })
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", n.serveReady)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		door.Refuse(w, http.StatusNotFound, door.NotFound, "There is nothing at this address.")
	})
	return mux
}

func (n *Node) serveEvidence(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Write(n.keys.evidence())
}

// serveReady says whether a request would be answered now, and whether that is
// about to change.
func (n *Node) serveReady(w http.ResponseWriter, _ *http.Request) {
	now := time.Now()
	live, until := n.keys.count(now)
	switch {
	case live == 0:
		http.Error(w, "no live key: the machine's proof could not be made", http.StatusServiceUnavailable)
	case !n.engineUp.Load():
		http.Error(w, "the engine doesn't answer", http.StatusServiceUnavailable)
	case n.degraded(now):
		fmt.Fprintf(w, "ok\ndegraded: no new key since %s, because the machine's proof can't be made; the last one ends in %v\n",
			n.keys.newest().UTC().Format(time.RFC3339), until.Sub(now).Round(time.Second))
	case n.anchorAway():
		fmt.Fprintf(w, "ok\ndegraded: the public log is away, and new keys name its checkpoint of %s\n", n.anchor.Load().came.UTC().Format(time.RFC3339))
	default:
		io.WriteString(w, "ok\n")
	}
}

// serveSealed takes in one sealed request, of at most most bytes, and has inside
// answer it. Until it is opened, errors are said in the clear; from then on
// everything is sealed.
func (n *Node) serveSealed(w http.ResponseWriter, r *http.Request, most int64, inside func(context.Context, *machine.Opened, *bhttp.Request, *wire)) {
	out := newWire(w)
	defer func() {
		v := recover()
		switch {
		case v == nil:
		case v == http.ErrAbortHandler:
			panic(v)
		default:
			n.fault("door", v)
			if out.begun {
				panic(http.ErrAbortHandler) // so that nobody takes this for an end
			}
			n.turnAway(w, http.StatusInternalServerError, door.Failed, "This machine failed. Try again.")
		}
	}()
	size := r.ContentLength
	// Also bounds what the server itself reads of a body that is turned away. A
	// ResponseWriter without deadlines belongs to a test.
	first := time.Now().Add(bodyTime)
	_ = out.rc.SetReadDeadline(first)
	switch {
	case r.Header.Get("Content-Type") != envelope.RequestType:
		n.turnAway(w, http.StatusUnsupportedMediaType, door.Malformed, "A sealed request has the type "+envelope.RequestType+".")
		return
	case size < 0:
		n.turnAway(w, http.StatusLengthRequired, door.Malformed, "A sealed request comes with its length.")
		return
	case size > most:
		n.turnAway(w, http.StatusRequestEntityTooLarge, door.TooLarge, "The request is too large.")
		return
	}
	if !n.gate.Enter(size) {
		w.Header().Set("Retry-After", "1")
		n.turnAway(w, http.StatusServiceUnavailable, door.Busy, "This machine has all the work that it can take. Try again in a moment.")
		return
	}
	defer n.gate.Leave(size)

	var ended bool
	now := time.Now()
	opened, err := machine.OpenRequest(slowbody.Reader(r.Body, size, bodyRate, first, out.rc.SetReadDeadline), func(id machine.KeyID) *machine.PrivateKey {
		k := n.keys.lookup(id, now)
		ended = ended || k == nil && n.keys.ended(id)
		return k
	})
	if err != nil {
		n.turnAwayUnopened(w, err, ended)
		return
	}
	_ = out.rc.SetReadDeadline(time.Time{})
	if err := n.keys.remember(opened.ID, time.Now()); err != nil {
		switch {
		case errors.Is(err, errReplayed):
			n.turnAway(w, http.StatusConflict, door.Replayed, "This request was answered before. Seal a new one.")
		case errors.Is(err, errFull):
			w.Header().Set("Retry-After", "30")
			n.turnAway(w, http.StatusServiceUnavailable, door.Busy, "This machine has all the work that it can take. Try again in a moment.")
		default:
			n.turnAway(w, http.StatusGone, door.KeyExpired, "The key of this request has been erased. Get a fresh one.")
		}
		return
	}
	n.stats.opened.Add(1)
	req, err := bhttp.ParseRequest(opened.Plaintext())
	if err != nil {
		n.answerNow(r.Context(), opened, out, oops(http.StatusBadRequest, "invalid_request_error", "malformed", "The sealed message is not a request."))
		return
	}
	inside(r.Context(), opened, req, out)
}

// turnAwayUnopened answers a request that couldn't be opened.
func (n *Node) turnAwayUnopened(w http.ResponseWriter, err error, ended bool) {
	switch {
	case errors.Is(err, machine.ErrExpired), errors.Is(err, machine.ErrUnknownKey) && ended:
		n.turnAway(w, http.StatusGone, door.KeyExpired, "The key of this request has been erased. Get a fresh one.")
	case errors.Is(err, machine.ErrUnknownKey):
		n.turnAway(w, http.StatusNotFound, door.KeyUnknown, "This machine never had the key of this request. Get a fresh one.")
	case errors.Is(err, machine.ErrTooLarge):
		n.turnAway(w, http.StatusRequestEntityTooLarge, door.TooLarge, "The request is too large.")
	case errors.Is(err, os.ErrDeadlineExceeded):
		n.turnAway(w, http.StatusBadRequest, door.Malformed, "The request took too long to arrive.")
	default:
		n.turnAway(w, http.StatusBadRequest, door.Malformed, "The request can't be opened. Seal a new one.")
	}
}

// turnAway counts and says an error in the clear.
func (n *Node) turnAway(w http.ResponseWriter, status int, code, message string) {
	n.stats.turnAway(code)
	door.Refuse(w, status, code, message)
}
