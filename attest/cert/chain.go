// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package cert

import (
	"bytes"
	"slices"
	"time"

	"github.com/sotto-chat/sotto/attest"
)

// Root is a key that a client trusts to sign certificates.
type Root struct {
	Name string   // for people: "AMD ARK-Milan"
	Key  [32]byte // SHA-256 of the SubjectPublicKeyInfo; see [Certificate.KeyHash]
}

// Chain finds the way from leaf through pool to one of the roots, and returns it
// with leaf first and the root last. At time now (Unix seconds) each certificate
// must be valid; each but the leaf must be a CA's that may sign certificates and
// stand so high; no critical extension may be unknown; the last one must have
// signed itself and be pinned.
//
// Errors are of type [*Error]: [attest.FailChainUntrusted],
// [attest.FailSignatureInvalid], [attest.FailCollateralExpired].
func Chain(leaf *Certificate, pool []*Certificate, roots []Root, now int64) ([]*Certificate, error) {
	chain := []*Certificate{leaf}
	for {
		c := chain[len(chain)-1]
		if err := c.standing(len(chain)-1, now); err != nil {
			return nil, err
		}
		if bytes.Equal(c.RawIssuer, c.RawSubject) {
			if !c.SignedBy(c) {
				return nil, &Error{attest.FailSignatureInvalid, "the certificate of " + c.who() + " isn't signed by itself, as it says"}
			}
			h := c.KeyHash()
			if !slices.ContainsFunc(roots, func(r Root) bool { return r.Key == h }) {
				return nil, &Error{attest.FailChainUntrusted, "the certificates lead to " + c.who() + ", which is not trusted"}
			}
			return chain, nil
		}
		issuer, err := c.findIssuer(pool)
		if err != nil {
			return nil, err
		}
		if len(chain) == maxDepth {
			return nil, &Error{attest.FailChainUntrusted, "the certificates lead on and on"}
		}
		chain = append(chain, issuer)
	}
}

// findIssuer returns the certificate in pool whose key signed c. Of those that
// have the right name there can be several, such as one that was issued again.
func (c *Certificate) findIssuer(pool []*Certificate) (*Certificate, error) {
	named := false
	for _, i := range pool {
		if bytes.Equal(i.RawSubject, c.RawIssuer) {
			if c.SignedBy(i) {
				return i, nil
			}
			named = true
		}
	}
	if named {
		return nil, &Error{attest.FailSignatureInvalid, "the signature of the certificate of " + c.who() + " is wrong"}
	}
	return nil, &Error{attest.FailChainUntrusted, "the certificate that signed that of " + c.who() + " is missing"}
}

// standing checks a certificate for itself, at its height above the leaf.
func (c *Certificate) standing(height int, now int64) error {
	for _, e := range c.Extensions {
		if e.Critical && !slices.Contains(understood[:], e.OID) {
			return &Error{attest.FailChainUntrusted, "the certificate of " + c.who() + " makes a condition that this app does not know (" + e.OID + ")"}
		}
	}
	switch {
	case now < c.NotBefore:
		return &Error{attest.FailCollateralExpired, "the certificate of " + c.who() + " is not valid before " + day(c.NotBefore)}
	case now > c.NotAfter:
		return &Error{attest.FailCollateralExpired, "the certificate of " + c.who() + " ended on " + day(c.NotAfter)}
	case height == 0:
		return nil
	case !c.IsCA || c.KeyUsage >= 0 && c.KeyUsage&UsageCertSign == 0:
		return &Error{attest.FailChainUntrusted, "the certificate of " + c.who() + " may not sign others"}
	case c.MaxPathLen >= 0 && height-1 > c.MaxPathLen:
		return &Error{attest.FailChainUntrusted, "the certificate of " + c.who() + " may not stand so high"}
	}
	return nil
}

// who names a certificate for people.
func (c *Certificate) who() string {
	if n := c.SubjectName("2.5.4.3"); n != "" {
		return "“" + n + "”"
	}
	return "a nameless one"
}

func day(unix int64) string { return time.Unix(unix, 0).UTC().Format("2006-01-02") }
