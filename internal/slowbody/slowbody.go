// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package slowbody gives the body of a request time as it arrives, and not as
// long as it claims to be.
//
// A server that reserves memory by the claimed length must not also wait by it:
// a dozen connections that claim the most and send nothing would keep everybody
// else out for as long as honest ones may take.
package slowbody

import (
	"io"
	"time"
)

// Reader returns a reader of body, of size bytes, whose sender gets a second
// more for each rate bytes that have come. The caller has set the first read
// deadline, at first; extend sets a later one. It is not called once all has
// come: what the caller sets then stays.
func Reader(body io.Reader, size, rate int64, first time.Time, extend func(time.Time) error) io.Reader {
	return &reader{body: body, size: size, rate: rate, first: first, extend: extend}
}

type reader struct {
	body       io.Reader
	size, rate int64
	first      time.Time
	extend     func(time.Time) error

	got, seconds int64
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.body.Read(p)
	r.got += int64(n)
	if s := r.got / r.rate; s > r.seconds && r.got < r.size {
		r.seconds = s
		_ = r.extend(r.first.Add(time.Duration(s) * time.Second)) // a connection without deadlines belongs to a test
	}
	return n, err
}
