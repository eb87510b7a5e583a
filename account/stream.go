// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package account

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/sotto-chat/sotto/store"
	"github.com/sotto-chat/sotto/vault"
)

const (
	maxStreams        = 20_000
	maxAccountStreams = 32
	keepAlive         = 15 * time.Second
	streamWrite       = 10 * time.Second // a device that takes no byte for so long is gone
)

// hub tells the live streams of an account that its feed has grown. It holds no
// goroutine: each stream is its request's own, waiting on a channel.
type hub struct {
	mu      sync.Mutex
	closed  bool
	total   int
	streams map[vault.AccountID]map[*stream]struct{}
}

// stream is one live stream. heads carries the newest head only: a slow device
// skips the ones between.
type stream struct {
	session vault.RecordID
	heads   chan uint64
	done    chan struct{} // closed when the session or the account ends
}

func newHub() *hub { return &hub{streams: map[vault.AccountID]map[*stream]struct{}{}} }

// add returns a stream, or nil when there are too many.
func (h *hub) add(account vault.AccountID, session vault.RecordID) *stream {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || h.total >= maxStreams || len(h.streams[account]) >= maxAccountStreams {
		return nil
	}
	s := &stream{session, make(chan uint64, 1), make(chan struct{})}
	if h.streams[account] == nil {
		h.streams[account] = map[*stream]struct{}{}
	}
	h.streams[account][s] = struct{}{}
	h.total++
	return s
}

// remove forgets a stream; it may have been ended already.
func (h *hub) remove(account vault.AccountID, s *stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drop(account, s)
}

func (h *hub) drop(account vault.AccountID, s *stream) {
	if _, ok := h.streams[account][s]; !ok {
		return
	}
	delete(h.streams[account], s)
	if len(h.streams[account]) == 0 {
		delete(h.streams, account)
	}
	h.total--
	close(s.done)
}

// publish tells an account's streams of a new head.
func (h *hub) publish(account vault.AccountID, seq uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.streams[account] {
		select {
		case old := <-s.heads: // not taken yet: a newer one takes its place
			seq = max(seq, old)
		default:
		}
		s.heads <- seq // has room: only publish sends, and it holds the lock
	}
}

// end ends the streams of a session, or all of an account when session is nil.
func (h *hub) end(account vault.AccountID, session *vault.RecordID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.streams[account] {
		if session == nil || s.session == *session {
			h.drop(account, s)
		}
	}
}

func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for account, streams := range h.streams {
		for s := range streams {
			h.drop(account, s)
		}
	}
}

func (s *Server) streamFeed(r *http.Request, session store.Session) (any, error) {
	live := s.hub.add(session.Account, session.ID)
	if live == nil {
		return nil, errTooManyLive
	}
	// Read after joining, so that no change falls between, nor the end of the
	// session.
	head, err := s.store.Head(r.Context(), session.Account)
	if err == nil {
		_, err = s.session(r)
	}
	if err != nil {
		s.hub.remove(session.Account, live)
		return nil, translate(err, accountGone)
	}
	return &reply{stream: func(w http.ResponseWriter) error {
		defer s.hub.remove(session.Account, live)
		live.serve(r.Context(), w, head.Seq)
		return nil
	}}, nil
}

// serve writes events until the device, the session or the server ends it.
func (s *stream) serve(ctx context.Context, w http.ResponseWriter, seq uint64) {
	// The connection may serve other requests afterwards.
	defer http.NewResponseController(w).SetWriteDeadline(time.Time{})
	w.Header().Set("Content-Type", "text/event-stream")
	ticker := time.NewTicker(keepAlive)
	defer ticker.Stop()
	for text := headEvent(seq); writeLive(w, text); {
		select {
		case seq := <-s.heads:
			text = headEvent(seq)
		case <-ticker.C:
			text = ": keep-alive\n\n"
		case <-s.done:
			return
		case <-ctx.Done():
			return
		}
	}
}

func headEvent(seq uint64) string { return fmt.Sprintf("event: head\ndata: {\"seq\":%d}\n\n", seq) }

// writeLive sends text now; false when the device is gone.
func writeLive(w http.ResponseWriter, text string) bool {
	c := http.NewResponseController(w)
	// Not every writer has deadlines; one without them ends with its request.
	c.SetWriteDeadline(time.Now().Add(streamWrite))
	if _, err := w.Write([]byte(text)); err != nil {
		return false
	}
	return c.Flush() == nil
}
