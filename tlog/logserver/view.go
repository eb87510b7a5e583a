// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package logserver

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"sync"

	"github.com/sotto-chat/sotto/release"
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
	entries    []tlog.Entry
	usual      document

	mu      sync.Mutex
	earlier map[int64]document
}

// newViews chooses the releases that are shown, and encodes the usual view.
func (s *Server) newViews(checkpoint []byte, size int64) (*views, error) {
	entries, err := s.inForce(size)
	if err != nil {
		return nil, err
	}
	v := &views{s: s, checkpoint: checkpoint, size: size, entries: entries, earlier: map[int64]document{}}
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
	view, err := v.s.tree.View(v.checkpoint, from, v.entries)
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

// inForce returns the newest release, with all entries after it, and the releases
// before it that it doesn't revoke, newest first and as many as a view holds.
func (s *Server) inForce(size int64) ([]tlog.Entry, error) {
	var entries []tlog.Entry
	var newest *release.Manifest
	revoked := map[string]bool{}
	bytes := 0
	for n := (size - 1) / tlog.Window; size > 0 && n >= 0; n-- {
		lo, hi := n*tlog.Window, min(size, (n+1)*tlog.Window)
		bundle, err := s.entries(lo, hi)
		if err != nil {
			return nil, err
		}
		for i := hi - 1; i >= lo; i-- {
			e := bundle[i-lo]
			r, err := s.judge(e)
			counts := err == nil && r.Manifest.Index == i
			switch {
			case newest == nil && counts:
				newest = &r.Manifest
				for _, d := range newest.Revoked {
					revoked[d] = true
				}
			case newest == nil: // written down for another pin; nobody may leave it out
			case !counts || revoked[r.Digest()] || release.Older(r.Manifest.Version, newest.MinimumVersion):
				continue
			}
			bytes += len(e)
			if len(entries) == tlog.MaxReleases || bytes > maxShown {
				return entries, nil
			}
			entries = append(entries, tlog.Entry{Index: i, Data: e})
		}
	}
	return entries, nil
}

// maxShown bounds the bytes of the releases in a view, which is bounded itself
// ([tlog.MaxView]) and has them in base64, with proofs and hashes beside them.
const maxShown = 384 << 10
