// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"io"
	"sync"
)

// tape lets a request be read more than once while it still arrives: what one
// reader has taken from the client, the next finds here. Any number of readers
// may be at work; one at a time reads from the client, for all.
type tape struct {
	src   io.Reader
	whole func() // called once all has arrived

	mu      sync.Mutex
	news    sync.Cond
	reading bool  // somebody reads from src, without the lock
	left    int64 // bytes still to come
	buf     []byte
	err     error // of src, sticky
}

// newTape makes a tape of size bytes from src.
func newTape(src io.Reader, size int64, whole func()) *tape {
	t := &tape{src: src, left: size, whole: whole}
	t.news.L = &t.mu
	return t
}

// reader returns a reader of the whole request from its beginning.
func (t *tape) reader() io.ReadCloser { return &tapeReader{t: t} }

// broken reports whether the client's side failed.
func (t *tape) broken() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err != nil && t.err != io.EOF
}

// done says that nobody will ask for another reader, so that a request that has
// arrived need not be held while its answer goes on.
func (t *tape) done() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.left == 0 {
		t.buf, t.err = nil, io.EOF
	}
}

type tapeReader struct {
	t   *tape
	off int
}

// Read takes what is there, or waits for more from the client.
func (r *tapeReader) Read(p []byte) (int, error) {
	t := r.t
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		switch {
		case r.off < len(t.buf):
			k := copy(p, t.buf[r.off:])
			r.off += k
			return k, nil
		case t.err != nil:
			return 0, t.err
		case t.reading:
			t.news.Wait()
		default:
			t.more(p)
		}
	}
}

// more reads once from the client, with p as the place. The caller holds mu,
// which is let go meanwhile.
func (t *tape) more(p []byte) {
	t.reading = true
	t.mu.Unlock()
	k, err := t.src.Read(p)
	t.mu.Lock()
	t.reading = false
	t.buf = append(t.buf, p[:k]...)
	t.left -= int64(k)
	t.err = err
	if err == io.EOF && t.left > 0 {
		t.err = io.ErrUnexpectedEOF
	}
	if t.left == 0 && t.whole != nil {
		t.whole()
		t.whole = nil
	}
	t.news.Broadcast()
}

func (r *tapeReader) Close() error { return nil }
