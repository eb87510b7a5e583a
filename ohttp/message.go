// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package ohttp

import (
	"bufio"
	"bytes"
	"fmt"
	"io"

	"github.com/sotto-chat/sotto/seal/bhttp"
)

// A Message is the request inside an encapsulated one. Unlike what stands in sealed
// requests (package bhttp), it may come from anybody's client, so all that RFC 9292
// allows is taken but trailers: sections left out at the end, zeros after the end
// (section 3.8), and integers that are longer than they must be.
type Message struct {
	Method    string
	Scheme    string
	Authority string // may be empty
	Path      string
	Header    []bhttp.Field
	// Length is the size of the body, -1 if only its end will say.
	Length int64
	// Body streams the content. It returns io.EOF only after the end of its source,
	// so that what was cut doesn't count as whole.
	Body io.Reader
}

// ReadMessage reads the head of a request. Errors, also those of the body, wrap
// ErrTruncated, ErrMalformed, ErrTooLarge or the error of r.
func ReadMessage(r io.Reader) (*Message, error) {
	d := &messageReader{src: bufio.NewReaderSize(r, 2<<10), room: bhttp.MaxHead}
	m, err := d.head()
	if err != nil {
		return nil, fmt.Errorf("request: %w", ended(err))
	}
	return m, nil
}

// messageReader reads a request's parts.
type messageReader struct {
	src  *bufio.Reader
	room int // how much of the head may still come

	known bool
	begun bool
	left  uint64 // of the content, or of its chunk
	over  bool   // the content has ended
	err   error  // sticky
}

// integer reads an integer of RFC 9000, section 16. atEnd says that the source had
// ended before it.
func (d *messageReader) integer() (v uint64, atEnd bool, err error) {
	first, err := d.src.ReadByte()
	if err != nil {
		return 0, err == io.EOF, err
	}
	v = uint64(first & 63)
	for range 1<<(first>>6) - 1 {
		b, err := d.src.ReadByte()
		if err != nil {
			return 0, false, ended(err)
		}
		v = v<<8 | uint64(b)
	}
	return v, false, nil
}

func (d *messageReader) text(n uint64) (string, error) {
	if n > uint64(d.room) {
		return "", ErrTooLarge
	}
	d.room -= int(n)
	b := make([]byte, n)
	if _, err := io.ReadFull(d.src, b); err != nil {
		return "", ended(err)
	}
	return string(b), nil
}

func (d *messageReader) str() (string, error) {
	n, _, err := d.integer()
	if err != nil {
		return "", err
	}
	return d.text(n)
}

func (d *messageReader) head() (*Message, error) {
	framing, _, err := d.integer()
	if err != nil {
		return nil, err
	}
	if framing != 0 && framing != 2 { // requests: RFC 9292, section 3.3
		return nil, ErrMalformed
	}
	d.known = framing == 0
	m := &Message{Length: -1, Body: d}
	for _, s := range []*string{&m.Method, &m.Scheme, &m.Authority, &m.Path} {
		if *s, err = d.str(); err != nil {
			return nil, err
		}
	}
	if m.Header, err = d.fields(); err != nil {
		return nil, err
	}
	// bhttp refuses what could be read in two ways, or is no request.
	if _, err := (&bhttp.Request{Method: m.Method, Scheme: m.Scheme, Authority: m.Authority, Path: m.Path, Header: m.Header}).Append(nil); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	for _, f := range m.Header {
		if f.Name == "expect" {
			return nil, ErrMalformed // RFC 9458, section 5.1
		}
	}
	if d.known && !d.over {
		n, atEnd, err := d.integer()
		switch {
		case atEnd:
			d.over = true
		case err != nil:
			return nil, err
		case n > 1<<40:
			return nil, ErrTooLarge
		}
		d.left, d.begun = n, true
	}
	if d.known || d.over {
		m.Length = int64(d.left)
	}
	return m, nil
}

// fields reads the header section. If the message ends there, over is set.
func (d *messageReader) fields() ([]bhttp.Field, error) {
	var fields []bhttp.Field
	add := func(d *messageReader, n uint64) error {
		if len(fields) == bhttp.MaxFields {
			return ErrTooLarge
		}
		name, err := d.text(n)
		if err != nil {
			return err
		}
		value, err := d.str()
		fields = append(fields, bhttp.Field{Name: name, Value: value})
		return ended(err)
	}
	n, atEnd, err := d.integer()
	if d.over = atEnd; atEnd {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !d.known {
		for n != 0 {
			if err := add(d, n); err != nil {
				return nil, err
			}
			if n, atEnd, err = d.integer(); err != nil {
				if atEnd {
					d.over = true
					return fields, nil
				}
				return nil, err
			}
		}
		return fields, nil
	}
	section, err := d.text(n)
	if err != nil {
		return nil, err
	}
	in := &messageReader{src: bufio.NewReaderSize(bytes.NewReader([]byte(section)), 16), room: len(section)}
	for {
		n, atEnd, err := in.integer()
		if atEnd {
			return fields, nil
		}
		if err == nil {
			err = add(in, n)
		}
		if err != nil {
			return nil, ErrMalformed // longer than its section
		}
	}
}

// Read implements io.Reader for the body.
func (d *messageReader) Read(p []byte) (int, error) {
	if d.err != nil {
		return 0, d.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := d.read(p)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("request: %w", err)
	}
	d.err = err
	return n, err
}

func (d *messageReader) read(p []byte) (int, error) {
	if d.left == 0 && !d.over {
		if d.known {
			d.over = true
		} else {
			n, atEnd, err := d.integer()
			if err != nil && !atEnd {
				return 0, err
			}
			d.left, d.over = n, n == 0
		}
	}
	if d.left == 0 {
		return 0, d.end()
	}
	n, err := d.src.Read(p[:min(uint64(len(p)), d.left)])
	d.left -= uint64(n)
	if n > 0 {
		return n, nil // an error comes again with the next read
	}
	return 0, ended(err)
}

// end reads what may follow the content, the empty trailer and padding, which are
// zeros both, and returns io.EOF.
func (d *messageReader) end() error {
	n, atEnd, err := d.integer()
	if atEnd {
		return io.EOF
	}
	if err != nil {
		return err
	}
	if n != 0 {
		return ErrMalformed
	}
	for {
		b, err := d.src.ReadByte()
		if err != nil {
			return err
		}
		if b != 0 {
			return ErrMalformed
		}
	}
}
