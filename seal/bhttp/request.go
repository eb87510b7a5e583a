// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package bhttp

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// Request is an HTTP request.
type Request struct {
	Method    string // a token, such as "POST"
	Scheme    string // "https" or "http"
	Authority string // host and port; may be empty
	Path      string // path and query; starts with "/"
	Header    []Field
	Body      []byte
}

// Limits of the control data.
const (
	maxMethod    = 32
	maxAuthority = 255
	maxPath      = 8 << 10
)

// checkTarget checks the control data.
func (r *Request) checkTarget() error {
	if r.Method == "" || len(r.Method) > maxMethod {
		return fmt.Errorf("%w: method of %d bytes", ErrFormat, len(r.Method))
	}
	for i := range len(r.Method) {
		if !isToken(r.Method[i]) {
			return fmt.Errorf("%w: character %#x in the method", ErrFormat, r.Method[i])
		}
	}
	if r.Scheme != "https" && r.Scheme != "http" {
		return fmt.Errorf("%w: scheme is neither https nor http", ErrFormat)
	}
	if len(r.Authority) > maxAuthority {
		return fmt.Errorf("%w: authority of %d bytes", ErrTooLarge, len(r.Authority))
	}
	if len(r.Path) > maxPath {
		return fmt.Errorf("%w: path of %d bytes", ErrTooLarge, len(r.Path))
	}
	if r.Path == "" || r.Path[0] != '/' {
		return fmt.Errorf("%w: path does not start with /", ErrFormat)
	}
	for _, s := range []string{r.Authority, r.Path} {
		for i := range len(s) {
			if s[i] <= ' ' || s[i] >= 0x7f {
				return fmt.Errorf("%w: character %#x in the target", ErrFormat, s[i])
			}
		}
	}
	return nil
}

// Append appends the known-length form of r to dst. It returns an error,
// wrapping ErrFormat or ErrTooLarge, for a request that [ParseRequest] would
// refuse.
func (r *Request) Append(dst []byte) ([]byte, error) {
	if err := r.checkTarget(); err != nil {
		return nil, fmt.Errorf("bhttp: request: %w", err)
	}
	start := len(dst)
	dst = append(dst, knownRequest)
	dst = appendString(dst, r.Method)
	dst = appendString(dst, r.Scheme)
	dst = appendString(dst, r.Authority)
	dst = appendString(dst, r.Path)
	if len(r.Header) > MaxFields {
		return nil, fmt.Errorf("bhttp: request: %w: %d fields", ErrTooLarge, len(r.Header))
	}
	var fields []byte
	for _, f := range r.Header {
		f.Name = strings.ToLower(f.Name)
		if err := f.check(); err != nil {
			return nil, fmt.Errorf("bhttp: request: %w", err)
		}
		fields = appendField(fields, f)
	}
	if len(dst)-start+len(fields) > MaxHead {
		return nil, fmt.Errorf("bhttp: request: %w: head above %d bytes", ErrTooLarge, MaxHead)
	}
	dst = appendInt(dst, uint64(len(fields)))
	dst = append(dst, fields...)
	dst = appendInt(dst, uint64(len(r.Body)))
	dst = append(dst, r.Body...)
	return append(dst, 0), nil // no trailer
}

// ParseRequest reads a request, which must be all of b. Body may share b's
// memory. Errors wrap ErrTruncated, ErrFormat, ErrTooLarge or ErrUnsupported.
func ParseRequest(b []byte) (*Request, error) {
	r, err := parseRequest(b)
	if err != nil {
		return nil, fmt.Errorf("bhttp: request: %w", err)
	}
	return r, nil
}

func parseRequest(b []byte) (*Request, error) {
	src := bytes.NewReader(b)
	d := newDecoder(src)
	framing, err := d.integer()
	if err != nil {
		return nil, err
	}
	if framing != knownRequest && framing != indeterminateRequest {
		return nil, fmt.Errorf("%w: framing indicator %d", ErrFormat, framing)
	}
	known := framing == knownRequest
	r := new(Request)
	for _, s := range []*string{&r.Method, &r.Scheme, &r.Authority, &r.Path} {
		if *s, err = d.str(); err != nil {
			return nil, err
		}
	}
	if r.Header, err = d.fields(known); err != nil {
		return nil, err
	}
	if err := r.checkTarget(); err != nil {
		return nil, err
	}
	for {
		n, err := d.integer()
		if err != nil {
			return nil, err
		}
		if n > uint64(src.Len()) {
			return nil, ErrTruncated
		}
		at := len(b) - src.Len()
		chunk := b[at : at+int(n) : at+int(n)]
		src.Seek(int64(n), io.SeekCurrent)
		if known {
			r.Body = chunk
			break
		}
		if n == 0 {
			break
		}
		r.Body = append(r.Body, chunk...)
	}
	if err := d.noTrailer(); err != nil {
		return nil, err
	}
	return r, d.end()
}
