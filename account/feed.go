// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package account

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/sotto-chat/sotto/store"
	"github.com/sotto-chat/sotto/vault"
)

func (s *Server) getFeed(r *http.Request, session store.Session) (any, error) {
	since, err := queryNumber(r, "since", 0)
	if err != nil {
		return nil, err
	}
	limit, err := queryNumber(r, "limit", vault.MaxPage)
	if err != nil || limit == 0 {
		return nil, errMalformed
	}
	page, err := s.store.Page(r.Context(), session.Account, since, int(min(limit, vault.MaxPage)))
	return page, translate(err, accountGone)
}

func queryNumber(r *http.Request, name string, otherwise uint64) (uint64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, errMalformed
	}
	return n, nil
}

type postAnswer struct {
	Head vault.Head `json:"head"`
	Seqs []uint64   `json:"seqs"`
}

func (s *Server) postFeed(r *http.Request, session store.Session) (any, error) {
	var body struct {
		Entries []vault.Put `json:"entries"`
		Known   *vault.Head `json:"known"`
	}
	if err := read(r, maxFeedBody, &body); err != nil {
		return nil, err
	}
	if len(body.Entries) == 0 || len(body.Entries) > vault.MaxBatch {
		return nil, errMalformed
	}
	erased := 0
	for _, p := range body.Entries {
		if err := p.Check(session.Account); err != nil {
			return nil, fmt.Errorf("%w: %w", errRecordRefused, err)
		}
		erased += len(p.Erase)
	}
	if erased > vault.MaxBatchErase {
		return nil, errTooLarge
	}
	head, seqs, err := s.store.Append(r.Context(), session.Account, body.Entries, body.Known, s.maxBytes)
	if err != nil {
		return nil, translate(err, map[error]*problem{
			store.ErrExists:   errRecordExists,
			store.ErrDiverged: errFeedDiverged,
			store.ErrFull:     errAccountFull,
			store.ErrNotFound: errSignedOut,
		})
	}
	s.hub.publish(session.Account, head.Seq)
	if erased > 0 {
		// What was erased is gone from the tables; the log holds it until it is
		// emptied. It is not worth a failure: the next time does it too.
		if err := s.store.Scrub(detached(r)); err != nil && !errors.Is(err, r.Context().Err()) {
			s.log.Warn("account: log not emptied")
		}
	}
	return postAnswer{head, seqs}, nil
}
