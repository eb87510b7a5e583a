// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package logserver

import "context"

// Put gives a release its place and doesn't wait for the witnesses.
func Put(s *Server, entry []byte) (int64, error) {
	r, err := s.judge(entry)
	if err != nil {
		return 0, err
	}
	return s.put(r, entry)
}

// Await waits until an entry is shown.
func Await(ctx context.Context, s *Server, index int64) error {
	_, err := s.await(ctx, index)
	return err
}
