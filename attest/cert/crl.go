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

	signed  signed
	entries []byte // each was read once, and can be read again
	limited bool   // an extension makes less of it than a whole list, or something else
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
	body, _ := r.In(der.Sequence)
	if !r.Empty() {
		return nil, false
	}
	var ok bool
	if c.signed, ok = parseSigned(&body); !ok {
		return nil, false
	}
	outer := der.New(c.signed.tbs)
	tbs, _ := outer.In(der.Sequence) // as it was read a moment ago
	if v, _ := tbs.Int(1); v != 1 {
		return nil, false
	}
	if alg, _ := tbs.Whole(der.Sequence); !bytes.Equal(alg, c.signed.rawAlgorithm) {
		return nil, false
	}
	if c.RawIssuer, ok = parseName(&tbs); !ok || len(c.RawIssuer) == emptyName {
		return nil, false
	}
	var ok1, ok2 bool
	c.ThisUpdate, ok1 = tbs.Time()
	c.NextUpdate, ok2 = tbs.Time()
	if !ok1 || !ok2 {
		return nil, false
	}
	c.entries, _ = tbs.Next(der.Sequence)
	for list := der.New(c.entries); !list.Empty(); {
		if !c.parseEntry(&list) {
			return nil, false
		}
	}
	if !tbs.Empty() {
		x, _ := tbs.In(der.Context(0))
		if !tbs.Empty() {
			return nil, false
		}
		list, ok := parseExtensions(&x)
		if !ok {
			return nil, false
		}
		for _, e := range list {
			switch e.OID {
			case "2.5.29.27", "2.5.29.28": // of changes only, of a part only: critical by rule, and refused without it
				c.limited = true
			case "2.5.29.20":
				v := der.New(e.Value)
				if c.Number, ok = v.Unsigned(); !ok || !v.Empty() || len(c.Number) > maxSerial {
					return nil, false
				}
			}
			c.limited = c.limited || e.Critical
		}
	}
	return c, true
}

// parseEntry reads one entry.
func (c *CRL) parseEntry(list *der.Reader) bool {
	e, _ := list.In(der.Sequence)
	if serial, ok := e.Unsigned(); !ok || len(serial) > maxSerial {
		return false
	}
	if _, ok := e.Time(); !ok {
		return false
	}
	if e.Empty() {
		return true
	}
	x, ok := parseExtensions(&e)
	c.limited = c.limited || slices.ContainsFunc(x, func(e Extension) bool { return e.Critical })
	return ok
}

// Verify checks that issuer signed the list and may, that it is a whole list,
// and that now (Unix seconds) is from its date up to the next one's. Issuer must
// be part of a chain that [Chain] returned.
//
// Errors are of type [*Error]: [attest.FailChainUntrusted],
// [attest.FailSignatureInvalid], [attest.FailCollateralExpired].
func (c *CRL) Verify(issuer *Certificate, now int64) error {
	switch {
	case !bytes.Equal(c.RawIssuer, issuer.RawSubject):
		return &Error{attest.FailChainUntrusted, "the revocation list was issued by somebody else than " + issuer.who()}
	case !issuer.IsCA || issuer.KeyUsage&UsageCRLSign == 0:
		return &Error{attest.FailChainUntrusted, issuer.who() + " may not sign revocation lists"}
	case c.limited:
		return &Error{attest.FailChainUntrusted, "the revocation list makes a condition that this app does not know"}
	case !c.signed.by(issuer.Key):
		return &Error{attest.FailSignatureInvalid, "the signature of the revocation list of " + issuer.who() + " is wrong"}
	case now < c.ThisUpdate:
		return &Error{attest.FailCollateralExpired, "the revocation list of " + issuer.who() + " is not valid before " + day(c.ThisUpdate)}
	case now >= c.NextUpdate:
		return &Error{attest.FailCollateralExpired, "the revocation list of " + issuer.who() + " ended on " + day(c.NextUpdate)}
	}
	return nil
}

// Revoked reports whether the list names a serial number, which is big-endian.
// It says nothing unless [CRL.Verify] did.
func (c *CRL) Revoked(serial []byte) bool {
	serial = bytes.TrimLeft(serial, "\x00")
	for list := der.New(c.entries); !list.Empty(); {
		e, _ := list.In(der.Sequence) // all were read when the list was
		if s, _ := e.Unsigned(); bytes.Equal(bytes.TrimLeft(s, "\x00"), serial) {
			return true
		}
	}
	return false
}
