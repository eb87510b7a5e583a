// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package account

import (
	"bytes"
	"encoding/json"
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

// batch is the entries of a post. Its decoder stops at the first that is too
// many: three bytes, {} and a comma, would otherwise take up forty times as much.
type batch []vault.Put

// UnmarshalJSON implements [json.Unmarshaler].
func (b *batch) UnmarshalJSON(doc []byte) error {
	d := json.NewDecoder(bytes.NewReader(doc))
	d.DisallowUnknownFields()
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return errMalformed
	}
	for d.More() {
		if len(*b) == vault.MaxBatch {
			return errMalformed
		}
		var p vault.Put
		if err := d.Decode(&p); err != nil {
			return err
		}
		*b = append(*b, p)
	}
	return nil
}

func (s *Server) postFeed(r *http.Request, session store.Session) (any, error) {
	var body struct {
		Entries batch       `json:"entries"`
		Known   *vault.Head `json:"known"`
	}
	if err := read(r, maxFeedBody, &body); err != nil {
		return nil, err
	}
	if len(body.Entries) == 0 {
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
