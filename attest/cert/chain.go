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
// with leaf first and the root last: two certificates at least. The last one must
// have signed itself and be pinned. At time now (Unix seconds) each certificate
// must be valid; each but the leaf must be a CA's that may sign certificates and
// stand so high; no critical extension may be unknown.
//
// A name leads to an issuer, and a signature tells which of several that have it.
// Their number is a stranger's, so the search gives up after a few signatures. A
// certificate whose issuer has its own name is a root; RFC 5280 lets a CA change
// its key by another sort of those, which no maker of hardware does.
//
// Errors are of type [*Error]: [attest.FailChainUntrusted],
// [attest.FailSignatureInvalid], [attest.FailCollateralExpired].
func Chain(leaf *Certificate, pool []*Certificate, roots []Root, now int64) ([]*Certificate, error) {
	chain, root, checks := []*Certificate{leaf}, leaf, maxSignatures
	for !bytes.Equal(root.RawIssuer, root.RawSubject) {
		if len(chain) == maxDepth {
			return nil, &Error{attest.FailChainUntrusted, "the certificates lead on and on"}
		}
		issuer, err := root.findIssuer(pool, len(chain), now, &checks)
		if err != nil {
			return nil, err
		}
		chain, root = append(chain, issuer), issuer
	}
	if len(chain) == 1 {
		return nil, &Error{attest.FailChainUntrusted, "nobody but itself vouches for the certificate of " + root.who()}
	}
	if !root.SignedBy(root) {
		return nil, &Error{attest.FailSignatureInvalid, "the certificate of " + root.who() + " isn't signed by itself, as it says"}
	}
	h := root.KeyHash()
	if !slices.ContainsFunc(roots, func(r Root) bool { return r.Key == h }) {
		return nil, &Error{attest.FailChainUntrusted, "the certificates lead to " + root.who() + ", which is not trusted"}
	}
	// Only now: what a certificate says of itself counts when it is known who signed it.
	for height, c := range chain {
		if err := c.standing(height, now); err != nil {
			return nil, err
		}
	}
	return chain, nil
}

// findIssuer returns the certificate in pool whose key signed c. Of those that
// have the right name there can be several, such as one that was issued again:
// the first that can stand at that height is taken, else the first.
func (c *Certificate) findIssuer(pool []*Certificate, height int, now int64, checks *int) (*Certificate, error) {
	named := false
	var signer *Certificate
	for _, i := range pool {
		if !bytes.Equal(i.RawSubject, c.RawIssuer) {
			continue
		}
		if *checks == 0 {
			return nil, &Error{attest.FailChainUntrusted, "too many certificates have one name"}
		}
		*checks--
		named = true
		if !c.SignedBy(i) {
			continue
		}
		if i.standing(height, now) == nil {
			return i, nil
		}
		if signer == nil {
			signer = i
		}
	}
	switch {
	case signer != nil:
		return signer, nil
	case named:
		return nil, &Error{attest.FailSignatureInvalid, "the signature of the certificate of " + c.who() + " is wrong"}
	}
	return nil, &Error{attest.FailChainUntrusted, "the certificate that signed that of " + c.who() + " is missing"}
}

// standing checks a certificate for itself, at its height above the leaf.
func (c *Certificate) standing(height int, now int64) error {
	for _, e := range c.Extensions {
		// Nobody asks what sort of others a CA may sign for.
		if e.Critical && (!slices.Contains(understood[:], e.OID) || height > 0 && e.OID == oidExtKeyUsage) {
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
	case !c.IsCA || c.KeyUsage&UsageCertSign == 0:
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
