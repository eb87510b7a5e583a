// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package ohttp

import (
	"crypto/hpke"
	"encoding/binary"
	"io"
)

// An Exchange is the client's half of one request: what it takes to open the answer.
// It is secret.
type Exchange struct {
	suite   Suite
	enc     []byte
	secret  []byte
	chunked bool
}

// String hides the exchange.
func (*Exchange) String() string { return "ohttp.Exchange(hidden)" }

// GoString hides the exchange.
func (x *Exchange) GoString() string { return x.String() }

// sender is what is used of an HPKE sending context; RFC 9180, sections 5.2 and 5.3.
type sender interface {
	Seal(aad, plaintext []byte) ([]byte, error)
	Export(context string, length int) ([]byte, error)
}

// Seal makes an encapsulated request of msg, a binary HTTP request. Every call makes
// a new key. If chunked, it is of [ChunkedRequestType], and so must the answer be,
// else of [RequestType].
func (c *Config) Seal(msg []byte, chunked bool) ([]byte, *Exchange, error) {
	suite, ok := c.suite()
	if !ok {
		return nil, nil, ErrUnsupported
	}
	header := c.header(suite)
	label := requestLabel
	if chunked {
		label = chunkedRequestLabel
	}
	enc, s, err := hpke.NewSender(c.public, hpke.HKDFSHA256(), suite.hpke(), info(label, header[:]))
	if err != nil {
		return nil, nil, err
	}
	return seal(header[:], suite, enc, s, msg, MaxChunk, chunked)
}

// header is the start of a request: RFC 9458, section 4.3.
func (c *Config) header(s Suite) (h [headerSize]byte) {
	h[0] = c.ID
	binary.BigEndian.PutUint16(h[1:], c.KEM)
	binary.BigEndian.PutUint16(h[3:], s.KDF)
	binary.BigEndian.PutUint16(h[5:], s.AEAD)
	return h
}

// seal writes a request, in chunks of size bytes and what is left.
func seal(header []byte, suite Suite, enc []byte, s sender, msg []byte, size int, chunked bool) ([]byte, *Exchange, error) {
	label, chunks := responseLabel, 1
	if chunked {
		label, chunks = chunkedResponseLabel, len(msg)/size+1
	}
	out := make([]byte, 0, len(header)+len(enc)+len(msg)+chunks*(4+Overhead))
	out = append(append(out, header...), enc...)
	for chunked && len(msg) > size {
		sealed, err := s.Seal(nil, msg[:size])
		if err != nil {
			return nil, nil, err
		}
		out = append(appendLength(out, len(sealed)), sealed...)
		msg = msg[size:]
	}
	if chunked {
		out = append(out, 0)
	}
	sealed, err := s.Seal(aad(chunked), msg)
	if err != nil {
		return nil, nil, err
	}
	secret, err := s.Export(label, suite.entropy())
	if err != nil {
		return nil, nil, err
	}
	return append(out, sealed...), &Exchange{suite: suite, enc: enc, secret: secret, chunked: chunked}, nil
}

// Open opens the whole answer to a request that was not in chunks. It opens it where
// it lies. Errors are ErrTruncated and ErrAuthentication.
func (x *Exchange) Open(response []byte) ([]byte, error) {
	n := x.suite.entropy()
	if x.chunked || len(response) < n+Overhead {
		return nil, ErrTruncated
	}
	c, err := newSealing(x.suite, x.secret, x.enc, response[:n])
	if err != nil {
		return nil, err
	}
	sealed := response[n:]
	msg, err := c.aead.Open(sealed[:0], c.next(), sealed, nil)
	if err != nil {
		return nil, ErrAuthentication
	}
	return msg, nil
}

// Reader opens the answer to a request in chunks as it comes. A read returns what is
// there, at most a chunk, and io.EOF only after the chunk that says that it is the
// last; an earlier end is ErrTruncated. Other errors are ErrAuthentication,
// ErrMalformed, ErrTooLarge and those of r.
func (x *Exchange) Reader(r io.Reader) io.Reader {
	return &chunkReader{src: source{r: r}, start: func(src *source) (opener, error) {
		nonce := make([]byte, x.suite.entropy())
		if err := src.full(nonce); err != nil {
			return nil, err
		}
		return newSealing(x.suite, x.secret, x.enc, nonce)
	}}
}

// open opens a chunk where it lies.
func (c *sealing) open(sealed []byte, last bool) ([]byte, error) {
	msg, err := c.aead.Open(sealed[:0], c.next(), sealed, aad(last))
	if err != nil {
		return nil, ErrAuthentication
	}
	return msg, nil
}
