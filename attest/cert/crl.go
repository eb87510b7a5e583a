// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package cert

import (
	"bytes"
	"slices"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/cert/der"
)

// MaxCRL is the most bytes of a revocation list.
const MaxCRL = 1 << 20

// CRL is a revocation list that can be read. Nothing of it is checked yet.
type CRL struct {
	Raw, RawIssuer         []byte
	ThisUpdate, NextUpdate int64  // Unix seconds
	Number                 []byte // big-endian; nil when absent

	tbs, signature []byte
	algorithm      Algorithm
	entries        []byte // each was read once, and can be read again
	critical       bool   // there is a critical extension, none of which is known here
}

// ParseCRL reads a revocation list of version 2 (RFC 5280, section 5) of at most
// [MaxCRL] bytes. Lists for a part of what an issuer signs, and indirect ones,
// are refused by [CRL.Verify]: nobody who makes hardware issues them.
func ParseCRL(b []byte) (*CRL, error) {
	c, ok := parseCRL(b)
	if !ok {
		return nil, malformed("a revocation list is not in the form of RFC 5280")
	}
	return c, nil
}

func parseCRL(b []byte) (*CRL, bool) {
	if len(b) > MaxCRL {
		return nil, false
	}
	c := &CRL{Raw: b}
	r := der.New(b)
	body, ok := r.In(der.Sequence)
	if !ok || !r.Empty() {
		return nil, false
	}
	if c.tbs, c.algorithm, c.signature, ok = signed(&body); !ok {
		return nil, false
	}
	outer := der.New(c.tbs)
	tbs, _ := outer.In(der.Sequence)
	if v, ok := tbs.Int(1); !ok || v != 1 {
		return nil, false
	}
	if alg, ok := algorithmOf(&tbs); !ok || alg != c.algorithm {
		return nil, false
	}
	if c.RawIssuer, ok = tbs.Whole(der.Sequence); !ok {
		return nil, false
	}
	var ok1, ok2 bool
	c.ThisUpdate, ok1 = tbs.Time()
	c.NextUpdate, ok2 = tbs.Time()
	if !ok1 || !ok2 {
		return nil, false
	}
	if tbs.Tag() == der.Sequence {
		if c.entries, ok = tbs.Next(der.Sequence); !ok {
			return nil, false
		}
		for list := der.New(c.entries); !list.Empty(); {
			if _, ok := c.entry(&list); !ok {
				return nil, false
			}
		}
	}
	if !tbs.Empty() {
		x, ok := tbs.In(der.Context(0))
		if !ok || !tbs.Empty() {
			return nil, false
		}
		list, ok := parseExtensions(&x)
		if !ok {
			return nil, false
		}
		for _, e := range list {
			c.critical = c.critical || e.Critical
			if e.OID == "2.5.29.20" {
				v := der.New(e.Value)
				if c.Number, ok = v.Unsigned(); !ok || !v.Empty() || len(c.Number) >= maxSerial {
					return nil, false
				}
			}
		}
	}
	return c, true
}

// entry reads one entry and returns its serial number.
func (c *CRL) entry(list *der.Reader) (serial []byte, ok bool) {
	e, ok := list.In(der.Sequence)
	if !ok {
		return nil, false
	}
	if serial, ok = e.Unsigned(); !ok || len(serial) >= maxSerial {
		return nil, false
	}
	if _, ok = e.Time(); !ok {
		return nil, false
	}
	if !e.Empty() {
		x, ok := parseExtensions(&e)
		if !ok {
			return nil, false
		}
		c.critical = c.critical || slices.ContainsFunc(x, func(e Extension) bool { return e.Critical })
	}
	return serial, true
}

// Verify checks that issuer signed the list and may, and that now (Unix
// seconds) is from its date up to the next one's.
//
// Errors are of type [*Error]: [attest.FailChainUntrusted],
// [attest.FailSignatureInvalid], [attest.FailCollateralExpired].
func (c *CRL) Verify(issuer *Certificate, now int64) error {
	switch {
	case !bytes.Equal(c.RawIssuer, issuer.RawSubject):
		return &Error{attest.FailChainUntrusted, "the revocation list was issued by somebody else than " + issuer.who()}
	case issuer.KeyUsage >= 0 && issuer.KeyUsage&UsageCRLSign == 0:
		return &Error{attest.FailChainUntrusted, issuer.who() + " may not sign revocation lists"}
	case c.critical:
		return &Error{attest.FailChainUntrusted, "the revocation list makes a condition that this app does not know"}
	case !issuer.Key.Verify(c.algorithm, c.tbs, c.signature):
		return &Error{attest.FailSignatureInvalid, "the signature of the revocation list of " + issuer.who() + " is wrong"}
	case now < c.ThisUpdate:
		return &Error{attest.FailCollateralExpired, "the revocation list of " + issuer.who() + " is not valid before " + day(c.ThisUpdate)}
	case now >= c.NextUpdate:
		return &Error{attest.FailCollateralExpired, "the revocation list of " + issuer.who() + " ended on " + day(c.NextUpdate)}
	}
	return nil
}

// Revoked reports whether the list names a serial number, big-endian without
// leading zeros. It says nothing unless [CRL.Verify] did.
func (c *CRL) Revoked(serial []byte) bool {
	for list := der.New(c.entries); !list.Empty(); {
		s, ok := c.entry(&list)
		if !ok || bytes.Equal(s, serial) {
			return true // an entry that can't be read was refused before
		}
	}
	return false
}
