// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package logserver

import (
	"context"
	"time"

	"github.com/sotto-chat/sotto/release"
)

// Put gives a release its place and doesn't wait for the witnesses.
func Put(s *Server, entry []byte) (int64, error) {
	it, err := s.contents.judge(entry)
	if err != nil {
		return 0, err
	}
	return s.put(it, entry)
}

// Await waits until an entry is shown.
func Await(ctx context.Context, s *Server, index int64) error {
	_, err := s.await(ctx, index)
	return err
}

// SetBodyTime sets how long a release may take to arrive.
func SetBodyTime(s *Server, d time.Duration) { s.bodyTime = d }

// Fill takes all places for additions.
func Fill(s *Server) (leave func()) {
	for range maxAdding {
		s.gate.Enter(release.MaxSigned)
	}
	return func() {
		for range maxAdding {
			s.gate.Leave(release.MaxSigned)
		}
	}
}

// Inside returns how many additions are under way.
func Inside(s *Server) int64 {
	n, _ := s.gate.Inside()
	return n
}
