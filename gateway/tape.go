// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"io"
	"sync"
)

// tape lets a request be read more than once while it still arrives: what one
// reader has taken from the client, the next finds here.
type tape struct {
	src   io.Reader
	whole func() // called once all has arrived

	mu   sync.Mutex
	left int64 // bytes still to come
	buf  []byte
	err  error // of src, sticky
	once bool  // no further reader will come: what was read may go
}

// reader returns a reader of the whole request from its beginning.
func (t *tape) reader() io.ReadCloser { return &tapeReader{t: t} }

// broken reports whether the client's side failed.
func (t *tape) broken() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err != nil && t.err != io.EOF
}

// done says that nobody will ask for another reader.
func (t *tape) done() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.once = true
	if t.left == 0 {
		t.buf = nil
	}
}

type tapeReader struct {
	t   *tape
	off int
}

// Read takes what is there, or waits for more from the client. The lock is held
// meanwhile: readers want the same bytes, so waiting for one is waiting for all.
func (r *tapeReader) Read(p []byte) (int, error) {
	t := r.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.off < len(t.buf) {
		k := copy(p, t.buf[r.off:])
		r.off += k
		return k, nil
	}
	if t.err != nil {
		return 0, t.err
	}
	k, err := t.src.Read(p)
	t.buf = append(t.buf, p[:k]...)
	r.off += k
	t.left -= int64(k)
	t.err = err
	if err == io.EOF && t.left > 0 {
		t.err = io.ErrUnexpectedEOF
	}
	if t.left == 0 && t.whole != nil {
		t.whole()
		t.whole = nil
	}
	return k, t.err
}

func (r *tapeReader) Close() error { return nil }
