// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package ohttp

import (
	"crypto/hpke"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// A Config is a key configuration that this package can use: RFC 9458, section 3.1.
type Config struct {
	ID        byte
	KEM       uint16 // KEMX25519 or KEMMLKEM768
	PublicKey []byte // 32 or 1,216 bytes
	Suites    []Suite

	public hpke.PublicKey
	exact  []byte
}

// Digest names the configuration: "sha256:" and the lower-case hex of the SHA-256 of
// its exact bytes, without the length that stands before them in a list.
func (c *Config) Digest() string {
	sum := sha256.Sum256(c.exact)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Bytes returns the exact bytes of the configuration, which the caller must not
// change.
func (c *Config) Bytes() []byte { return c.exact }

// suite returns the suite to use, ChaCha20-Poly1305 before AES: it takes the same
// time for every key, in a browser too. ok is false when there is none.
func (c *Config) suite() (s Suite, ok bool) {
	for _, x := range c.Suites {
		if x.supported() && (!ok || x.AEAD == AEADChaCha20) {
			s, ok = x, true
		}
	}
	return s, ok
}

// ParseConfigs reads an application/ohttp-keys document (RFC 9458, section 3.2):
// configurations, each with its length before it. Those with algorithms that this
// package doesn't have are passed over. Errors are ErrMalformed, ErrTooLarge and, if
// nothing is left, ErrUnsupported.
func ParseConfigs(b []byte) ([]Config, error) {
	if len(b) > MaxConfigs {
		return nil, ErrTooLarge
	}
	var all []Config
	for len(b) > 0 {
		if len(b) < 2 {
			return nil, ErrMalformed
		}
		n := int(binary.BigEndian.Uint16(b))
		if b = b[2:]; len(b) < n {
			return nil, ErrMalformed
		}
		c, ok, err := parseConfig(b[:n:n])
		if err != nil {
			return nil, err
		}
		if ok {
			all = append(all, c)
		}
		b = b[n:]
	}
	if len(all) == 0 {
		return nil, ErrUnsupported
	}
	return all, nil
}

// parseConfig reads one configuration, which must be all of b. ok is false if it is
// of algorithms that this package doesn't have.
func parseConfig(b []byte) (c Config, ok bool, err error) {
	const fixed = 1 + 2
	if len(b) < fixed {
		return c, false, ErrMalformed
	}
	c.ID, c.KEM = b[0], binary.BigEndian.Uint16(b[1:])
	k, size, _ := kem(c.KEM)
	if k == nil {
		return c, false, nil // the size of its key isn't known, so nothing more can be
	}
	rest := b[fixed:]
	if len(rest) < size+2 {
		return c, false, ErrMalformed
	}
	c.PublicKey, rest = rest[:size:size], rest[size:]
	n := int(binary.BigEndian.Uint16(rest))
	if rest = rest[2:]; n != len(rest) || n == 0 || n%4 != 0 {
		return c, false, ErrMalformed
	}
	for ; len(rest) > 0; rest = rest[4:] {
		c.Suites = append(c.Suites, Suite{binary.BigEndian.Uint16(rest), binary.BigEndian.Uint16(rest[2:])})
	}
	if c.public, err = k.NewPublicKey(c.PublicKey); err != nil {
		return c, false, ErrMalformed
	}
	c.exact = b
	_, ok = c.suite()
	return c, ok, nil
}

// Best returns the configuration to use of a list that [ParseConfigs] made: the first
// that a quantum computer won't open, else the first.
func Best(all []Config) *Config {
	for i := range all {
		if all[i].KEM == KEMMLKEM768 {
			return &all[i]
		}
	}
	return &all[0]
}
