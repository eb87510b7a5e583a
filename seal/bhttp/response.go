// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package bhttp

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// Response is an HTTP response.
type Response struct {
	Status int // 200..599
	Header []Field
	// Body streams the content: a read returns what is there. It returns
	// io.EOF only after the message's own end and the end of its source;
	// an earlier end is ErrTruncated.
	Body io.Reader
}

// AppendResponseHead appends the start of a response in the
// indeterminate-length form. Content follows with [AppendChunk], and
// [AppendEnd] ends it.
//
// Its caller mostly passes on what a model server said, so nothing here fails:
// names are written in lower case, fields that [ReadResponse] would refuse or
// that are too many are left out, and a status that is none is written as 502.
func AppendResponseHead(dst []byte, status int, header []Field) []byte {
	if status < 200 || status > 599 {
		status = 502
	}
	dst = append(dst, indeterminateResponse)
	dst = appendInt(dst, uint64(status))
	room, fields := MaxHead, 0
	for _, f := range header {
		f.Name = strings.ToLower(f.Name)
		size := len(f.Name) + len(f.Value)
		if f.check() != nil || size > room || fields == MaxFields {
			continue
		}
		room, fields = room-size, fields+1
		dst = appendField(dst, f)
	}
	return append(dst, 0)
}

// AppendChunk appends a chunk of content. An empty one is nothing.
func AppendChunk(dst, content []byte) []byte {
	if len(content) == 0 {
		return dst
	}
	return append(appendInt(dst, uint64(len(content))), content...)
}

// AppendEnd appends the end of the content and of the empty trailer.
func AppendEnd(dst []byte) []byte { return append(dst, 0, 0) }

// maxInformational bounds the informational responses before the final one.
const maxInformational = 8

// ReadResponse reads the head of a response, and no more of r than r gives
// with it. Errors, also those of the body, wrap ErrTruncated, ErrFormat,
// ErrTooLarge, ErrUnsupported or the error of r.
func ReadResponse(r io.Reader) (*Response, error) {
	resp, err := readResponse(r)
	if err != nil {
		return nil, fmt.Errorf("bhttp: response: %w", err)
	}
	return resp, nil
}

func readResponse(r io.Reader) (*Response, error) {
	d := newDecoder(bufio.NewReader(r))
	framing, err := d.integer()
	if err != nil {
		return nil, err
	}
	if framing != knownResponse && framing != indeterminateResponse {
		return nil, fmt.Errorf("%w: framing indicator %d", ErrFormat, framing)
	}
	known := framing == knownResponse
	for range maxInformational + 1 {
		status, err := d.integer()
		if err != nil {
			return nil, err
		}
		if status < 100 || status > 599 {
			return nil, fmt.Errorf("%w: status %d", ErrFormat, status)
		}
		fields, err := d.fields(known)
		if err != nil {
			return nil, err
		}
		if status < 200 {
			continue
		}
		b := &body{d: d, known: known}
		return &Response{Status: int(status), Header: fields, Body: b}, nil
	}
	return nil, fmt.Errorf("%w: more than %d informational responses", ErrTooLarge, maxInformational)
}

// body is the content of a response.
type body struct {
	d     *decoder
	known bool
	begun bool
	left  uint64 // of the chunk
	err   error  // sticky
}

func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := b.read(p)
	if err != nil {
		if err != io.EOF {
			err = fmt.Errorf("bhttp: response: %w", err)
		}
		b.err = err
	}
	return n, err
}

func (b *body) read(p []byte) (int, error) {
	if b.left == 0 {
		done := b.begun && b.known
		if !done {
			var err error
			if b.left, err = b.d.integer(); err != nil {
				return 0, err
			}
			b.begun = true
			done = b.left == 0
		}
		if done {
			if err := b.d.noTrailer(); err != nil {
				return 0, err
			}
			if err := b.d.end(); err != nil {
				return 0, err
			}
			return 0, io.EOF
		}
	}
	n, err := b.d.src.Read(p[:min(uint64(len(p)), b.left)])
	b.left -= uint64(n)
	if n > 0 {
		return n, nil // an error comes again with the next read
	}
	return 0, readError(err)
}
