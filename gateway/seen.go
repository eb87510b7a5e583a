// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"crypto/sha256"
	"sync"
	"time"
)

// seen remembers which oblivious requests were opened, by a hash of their
// encapsulated key, so that a relay gains nothing by sending one twice: RFC 9458,
// section 6.5.1. It remembers for seenFor at least, and twice that at most; where
// there are more than maxSeen in that time, for less. A restart forgets all.
type seen struct {
	mu       sync.Mutex
	since    time.Time
	cur, old map[[16]byte]struct{}
}

const (
	seenFor = 10 * time.Minute
	maxSeen = 1 << 19 // 870 a second for ten minutes; some 20 MB, twice
)

// first reports whether a key comes for the first time, and remembers it.
func (s *seen) first(enc []byte) bool {
	sum := sha256.Sum256(enc)
	key := [16]byte(sum[:16])
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cur == nil || now.Sub(s.since) >= seenFor || len(s.cur) >= maxSeen {
		s.old, s.cur, s.since = s.cur, make(map[[16]byte]struct{}), now
	}
	_, inCur := s.cur[key]
	_, inOld := s.old[key]
	s.cur[key] = struct{}{}
	return !inCur && !inOld
}
