// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package logserver

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"sync"

	"github.com/sotto-chat/sotto/tlog"
)

// show replaces what is served. The checkpoint is on the disk.
func (s *Server) show(checkpoint []byte, cp tlog.Checkpoint) error {
	v, err := s.newViews(checkpoint, cp.Size)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shown = shown{checkpoint, cp.Size, cp.Time, v}
	close(s.waiters)
	s.waiters = make(chan struct{})
	return nil
}

// views are the documents of one checkpoint: the usual one, and those that start
// earlier, for clients that were away. Each is encoded once.
type views struct {
	s          *Server
	checkpoint []byte
	size       int64
	build      func(t *tlog.Tree, from int64) (tlog.View, error)
	usual      document

	mu      sync.Mutex
	earlier map[int64]document
}

// newViews chooses the entries that are shown, and encodes the usual view.
func (s *Server) newViews(checkpoint []byte, size int64) (*views, error) {
	build, err := s.contents.show(s, checkpoint, size)
	if err != nil {
		return nil, err
	}
	v := &views{s: s, checkpoint: checkpoint, size: size, build: build, earlier: map[int64]document{}}
	v.usual, err = v.encode(-1)
	return v, err
}

// document is a view as it is served.
type document struct {
	doc []byte
	tag string // ETag
}

func (v *views) encode(from int64) (document, error) {
	v.s.mu.RLock()
	view, err := v.build(&v.s.tree, from)
	v.s.mu.RUnlock()
	if err != nil {
		return document{}, err
	}
	view.Pin = v.s.cfg.ViewPin
	doc, err := view.Encode()
	sum := sha256.Sum256(doc)
	return document{doc, `"` + hex.EncodeToString(sum[:12]) + `"`}, err
}

// from returns the view that starts at an entry.
func (v *views) from(start int64) (document, error) {
	if start < 0 || start%tlog.Window != 0 || start > v.size || v.size-start > tlog.MaxLeaves {
		return document{}, refuse(http.StatusNotFound, "there is no view that starts there")
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if doc, ok := v.earlier[start]; ok {
		return doc, nil
	}
	doc, err := v.encode(start)
	if err != nil {
		return document{}, err
	}
	v.earlier[start] = doc // at most one for each window, so 33
	return doc, nil
}

// backwards hands the first size entries to see, the last of them first, until it
// returns false.
func (s *Server) backwards(size int64, see func(index int64, entry []byte) bool) error {
	for n := (size - 1) / tlog.Window; size > 0 && n >= 0; n-- {
		lo, hi := n*tlog.Window, min(size, (n+1)*tlog.Window)
		bundle, err := s.entries(lo, hi)
		if err != nil {
			return err
		}
		for i := hi - 1; i >= lo; i-- {
			if !see(i, bundle[i-lo]) {
				return nil
			}
		}
	}
	return nil
}
