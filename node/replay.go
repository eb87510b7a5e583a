// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"crypto/sha256"
	"errors"
	"time"
)

// replayID is the first half of a request's id, which is a SHA-256. Whoever
// finds two requests with the same half has made one of their own be refused.
type replayID [sha256.Size / 2]byte

var (
	errReplayed = errors.New("opened before")
	errFull     = errors.New("the memory for opened requests is full")
	errNoKey    = errors.New("no live key")
)

// remember notes a request that has been opened, or returns why it must not be
// answered. The memory lives as long as the newest key, and so as long as any
// key that the request could have been sealed to.
func (r *keyring) remember(id [sha256.Size]byte, now time.Time) error {
	short := replayID(id[:])
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.live {
		if _, seen := k.seen[short]; seen {
			return errReplayed
		}
	}
	if len(r.live) == 0 || !now.Before(r.live[0].ends) {
		return errNoKey
	}
	newest := r.live[0]
	if len(newest.seen) >= r.replayLimit {
		return errFull
	}
	newest.seen[short] = struct{}{}
	return nil
}
