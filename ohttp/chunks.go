// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package ohttp

import (
	"io"
)

// opener opens the chunks of one message, one after the other.
type opener interface {
	open(sealed []byte, last bool) ([]byte, error)
}

// source reads bytes, few at a time for lengths, without taking more of r than is
// asked for but for what r gives with it.
type source struct {
	r          io.Reader
	buf        [512]byte
	start, end int
}

func (s *source) fill() error {
	for range 100 {
		n, err := s.r.Read(s.buf[:])
		if n > 0 {
			s.start, s.end = 0, n
			return nil // an error comes again
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

func (s *source) Read(p []byte) (int, error) {
	if s.start < s.end {
		n := copy(p, s.buf[s.start:s.end])
		s.start += n
		return n, nil
	}
	return s.r.Read(p)
}

func (s *source) byte() (byte, error) {
	if s.start == s.end {
		if err := s.fill(); err != nil {
			return 0, ended(err)
		}
	}
	b := s.buf[s.start]
	s.start++
	return b, nil
}

func (s *source) full(p []byte) error {
	_, err := io.ReadFull(s, p)
	return ended(err)
}

// ended names the end of the source where bytes were due.
func ended(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return ErrTruncated
	}
	return err
}

// length reads a chunk's length: 0 for the last.
func (s *source) length() (int, error) {
	first, err := s.byte()
	if err != nil {
		return 0, err
	}
	size := 1 << (first >> 6)
	v := uint64(first & 63)
	for range size - 1 {
		b, err := s.byte()
		if err != nil {
			return 0, err
		}
		v = v<<8 | uint64(b)
	}
	switch { // the draft lets a length be written longer than it must; we don't write it so
	case v > MaxChunk+Overhead:
		return 0, ErrTooLarge
	case v != 0 && v <= Overhead:
		return 0, ErrMalformed // a chunk that is not the last has content (section 6)
	}
	return int(v), nil
}

// chunkReader reads the content of a message in chunks.
type chunkReader struct {
	src   source
	start func(*source) (opener, error) // reads the header; nil afterwards
	open  opener
	buf   []byte // grows to the largest chunk that came
	left  []byte // opened, and not read yet
	err   error  // sticky
}

// Read implements io.Reader.
func (r *chunkReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(r.left) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		r.left, r.err = r.chunk()
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}

// first reads up to the first chunk and opens it.
func (r *chunkReader) first() error {
	r.left, r.err = r.chunk()
	if r.err == io.EOF {
		return nil // it may have content, and is whole
	}
	return r.err
}

// chunk opens the next chunk. With the last comes io.EOF.
func (r *chunkReader) chunk() ([]byte, error) {
	if r.start != nil {
		open, err := r.start(&r.src)
		if err != nil {
			return nil, err
		}
		r.open, r.start = open, nil
	}
	n, err := r.src.length()
	if err != nil {
		return nil, err
	}
	if n == 0 {
		sealed, err := r.rest()
		if err != nil {
			return nil, err
		}
		msg, err := r.open.open(sealed, true)
		if err != nil {
			return nil, err
		}
		return msg, io.EOF
	}
	if cap(r.buf) < n {
		r.buf = make([]byte, n)
	}
	sealed := r.buf[:n]
	if err := r.src.full(sealed); err != nil {
		return nil, err
	}
	return r.open.open(sealed, false)
}

// rest reads the last chunk, which goes to the end of the source.
func (r *chunkReader) rest() ([]byte, error) {
	b := r.buf[:0]
	if cap(b) == 0 {
		b = make([]byte, 0, 512)
	}
	for {
		if len(b) > MaxChunk+Overhead {
			return nil, ErrTooLarge
		}
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.src.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, ended(err)
		}
	}
	r.buf = b
	if len(b) > MaxChunk+Overhead {
		return nil, ErrTooLarge
	}
	if len(b) < Overhead {
		return nil, ErrTruncated
	}
	return b, nil
}
