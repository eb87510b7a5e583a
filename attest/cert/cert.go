// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package cert reads and checks the X.509 certificates and revocation lists
// (RFC 5280) that makers of hardware sign: as much of them as these use, and in a
// tenth of the room that a general library takes in a browser.
//
//	leaf, err := cert.Parse(der)
//	chain, err := cert.Chain(leaf, pool, roots, now)
//	crl, err := cert.ParseCRL(der)
//	err = crl.Verify(chain[1], now)
//	revoked := crl.Revoked(leaf.Serial)
//
// Roots are pinned by the hash of their key. The root's certificate comes with
// the evidence like all others, so that none has to be kept in a program.
//
// What isn't understood is refused: other versions, algorithms and curves,
// critical extensions that it doesn't know, encodings that aren't DER. Names are
// compared as bytes.
package cert

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/cert/der"
)

// Limits, checked before anything is decoded.
const (
	MaxSize       = 16 << 10 // bytes of a certificate
	maxSerial     = 20       // bytes of a serial number
	maxExtensions = 64
	maxDepth      = 8  // certificates of a chain
	maxSignatures = 16 // that are checked in search of a chain; each costs milliseconds in a browser
)

// Error says why certificates or lists were refused.
type Error struct {
	Failure string // one of attest's names, such as [attest.FailChainUntrusted]
	Detail  string // what is wrong: "the certificate of … has ended"
}

func (e *Error) Error() string { return e.Detail }

// FailureOf returns the failure's name of an error of this package.
func FailureOf(err error) string {
	if e, ok := err.(*Error); ok {
		return e.Failure
	}
	return attest.FailPlatformError
}

func malformed(detail string) error { return &Error{attest.FailEvidenceMalformed, detail} }

// Extension is one extension of a certificate.
type Extension struct {
	OID      string // dotted
	Critical bool
	Value    []byte // what is in the OCTET STRING
}

// Certificate is a certificate that can be read. Nothing of it is checked yet.
// Byte slices are parts of what [Parse] was given; nobody may change them. It
// remembers a signature that was right, so one goroutine at a time may ask it.
type Certificate struct {
	Raw, RawTBS, RawSubject, RawIssuer, RawSPKI []byte

	Serial              []byte // big-endian without leading zeros; zero is one zero byte
	NotBefore, NotAfter int64  // Unix seconds, both inside the validity
	IsCA                bool
	MaxPathLen          int // -1: no limit
	KeyUsage            int // bit n of RFC 5280, section 4.2.1.3, is 1<<n; -1, which is all bits, when absent
	Extensions          []Extension
	Key                 *PublicKey

	signed signed
}

// Bits of [Certificate.KeyUsage].
const (
	UsageDigitalSignature = 1 << 0
	UsageCertSign         = 1 << 5
	UsageCRLSign          = 1 << 6
)

// Parse reads one certificate of at most [MaxSize] bytes and refuses all that
// follows it.
func Parse(b []byte) (*Certificate, error) {
	c, ok := parse(b)
	if !ok {
		return nil, malformed("a certificate is not in the form of RFC 5280, or of a kind that is not in use here")
	}
	return c, nil
}

func parse(b []byte) (*Certificate, bool) {
	if len(b) > MaxSize {
		return nil, false
	}
	c := &Certificate{Raw: b, MaxPathLen: -1, KeyUsage: -1}
	// What isn't there is read as nothing, and to read on from nothing fails: so
	// not every step is asked whether it went well.
	r := der.New(b)
	body, _ := r.In(der.Sequence)
	if !r.Empty() {
		return nil, false
	}
	s, ok := parseSigned(&body)
	if !ok {
		return nil, false
	}
	c.RawTBS, c.signed = s.tbs, s
	outer := der.New(s.tbs)
	tbs, _ := outer.In(der.Sequence) // as it was read a moment ago
	// version [0] EXPLICIT INTEGER, which is 2 for version 3
	v, _ := tbs.In(der.Context(0))
	if n, _ := v.Int(2); n != 2 || !v.Empty() {
		return nil, false
	}
	if c.Serial, ok = tbs.Unsigned(); !ok || len(c.Serial) > maxSerial {
		return nil, false
	}
	if alg, _ := tbs.Whole(der.Sequence); !bytes.Equal(alg, s.rawAlgorithm) {
		return nil, false
	}
	if c.RawIssuer, ok = parseName(&tbs); !ok || len(c.RawIssuer) == emptyName {
		return nil, false
	}
	times, _ := tbs.In(der.Sequence)
	var ok1, ok2 bool
	c.NotBefore, ok1 = times.Time()
	c.NotAfter, ok2 = times.Time()
	if !ok1 || !ok2 || !times.Empty() {
		return nil, false
	}
	if c.RawSubject, ok = parseName(&tbs); !ok {
		return nil, false
	}
	c.RawSPKI, _ = tbs.Whole(der.Sequence)
	if c.Key, ok = parseSPKI(c.RawSPKI); !ok {
		return nil, false
	}
	// issuerUniqueID and subjectUniqueID are not in use; extensions are [3].
	if !tbs.Empty() {
		list, _ := tbs.In(der.Context(3))
		if !tbs.Empty() || !c.parseExtensions(&list) {
			return nil, false
		}
	}
	return c, true
}

// signed is what RFC 5280 calls SIGNED: some bytes and a signature of them.
type signed struct {
	tbs, signature []byte
	algorithm      Algorithm
	rawAlgorithm   []byte // which stands inside tbs once more, byte for byte

	signer *PublicKey // whose signature it is, once that was found right
}

// parseSigned reads it, and refuses what follows.
func parseSigned(r *der.Reader) (s signed, ok bool) {
	s.tbs, _ = r.Whole(der.Sequence)
	s.rawAlgorithm, _ = r.Whole(der.Sequence)
	if s.algorithm, ok = parseAlgorithm(s.rawAlgorithm); !ok {
		return s, false
	}
	sig, unused, ok := r.Bits()
	s.signature = sig
	return s, ok && unused == 0 && r.Empty()
}

// by reports whether k signed it, and finds that out once: certificates of several
// chips meet in the same ones above them.
func (s *signed) by(k *PublicKey) bool {
	switch {
	case k == nil:
		return false
	case k == s.signer:
		return true
	case !k.Verify(s.algorithm, s.tbs, s.signature):
		return false
	}
	s.signer = k
	return true
}

// emptyName is the length of a name without parts: a SEQUENCE of nothing.
const emptyName = 2

// parseName reads a Name, in which the encoding alone is checked: every part has
// an OID and a text of one of the types for it. What the text says is for people;
// [Certificate.SubjectName] makes it harmless.
func parseName(r *der.Reader) (raw []byte, ok bool) {
	raw, ok = r.Whole(der.Sequence)
	return raw, ok && eachOfName(raw, func(string, []byte) bool { return true })
}

// eachOfName calls f for each attribute of a Name until it returns false, and
// reports whether all that was read is well-formed.
func eachOfName(raw []byte, f func(oid string, text []byte) bool) bool {
	outer := der.New(raw)
	name, _ := outer.In(der.Sequence)
	for !name.Empty() {
		set, _ := name.In(der.Set)
		if set.Empty() {
			return false
		}
		for !set.Empty() {
			attr, _ := set.In(der.Sequence)
			oid, ok := attr.OID()
			if !ok {
				return false
			}
			tag, text, _, _ := attr.Element()
			if !attr.Empty() {
				return false
			}
			switch tag {
			case der.UTF8String, der.PrintableString, der.IA5String, der.NumericString, der.T61String, der.BMPString:
			default:
				return false
			}
			if !f(oid, text) {
				return true
			}
		}
	}
	return true
}

func (c *Certificate) parseExtensions(r *der.Reader) bool {
	list, ok := parseExtensions(r)
	if !ok {
		return false
	}
	c.Extensions = list
	for _, e := range list {
		v := der.New(e.Value)
		switch e.OID {
		case oidBasicConstraints:
			s, ok := v.In(der.Sequence)
			if !ok || !v.Empty() {
				return false
			}
			if s.Tag() == der.Boolean {
				if c.IsCA, _ = s.Bool(); !c.IsCA { // FALSE is the default and isn't written
					return false
				}
			}
			if s.Tag() == der.Integer {
				n, ok := s.Int(255)
				if !ok || !c.IsCA {
					return false
				}
				c.MaxPathLen = n
			}
			if !s.Empty() {
				return false
			}
		case oidKeyUsage:
			bits, _, ok := v.Bits()
			if !ok || !v.Empty() || len(bits) > 2 {
				return false
			}
			c.KeyUsage = 0
			for i := range 8 * len(bits) {
				if bits[i/8]&(0x80>>(i%8)) != 0 {
					c.KeyUsage |= 1 << i
				}
			}
		}
	}
	return true
}

// parseExtensions reads a SEQUENCE of extensions, each of which stands there once.
func parseExtensions(r *der.Reader) ([]Extension, bool) {
	list, found := r.In(der.Sequence)
	if !r.Empty() {
		return nil, false
	}
	var out []Extension
	for !list.Empty() {
		var e Extension
		s, _ := list.In(der.Sequence)
		if len(out) == maxExtensions {
			return nil, false
		}
		var ok bool
		if e.OID, ok = s.OID(); !ok {
			return nil, false
		}
		if s.Tag() == der.Boolean {
			if e.Critical, _ = s.Bool(); !e.Critical {
				return nil, false
			}
		}
		if e.Value, ok = s.Next(der.OctetString); !ok || !s.Empty() {
			return nil, false
		}
		for i := range out {
			if out[i].OID == e.OID {
				return nil, false
			}
		}
		out = append(out, e)
	}
	return out, found
}

const (
	oidBasicConstraints = "2.5.29.19"
	oidKeyUsage         = "2.5.29.15"
	oidExtKeyUsage      = "2.5.29.37"
)

// understood are the extensions that may be critical: those that [Chain] acts
// on, and those that add nothing to what it must check.
var understood = [...]string{
	oidBasicConstraints, oidKeyUsage,
	"2.5.29.17",    // subject alternative name: of a TPM's maker and model
	oidExtKeyUsage, // the platform looks at it; not for CAs, see standing
	"2.5.29.32",    // certificate policies: none is asked for
}

// Extension returns what is in the extension of a dotted OID.
func (c *Certificate) Extension(oid string) ([]byte, bool) {
	for _, e := range c.Extensions {
		if e.OID == oid {
			return e.Value, true
		}
	}
	return nil, false
}

// SubjectName returns the first value of a dotted attribute in the subject
// ("2.5.4.3" is the common name), with what isn't printable ASCII replaced, or "".
func (c *Certificate) SubjectName(oid string) (value string) {
	eachOfName(c.RawSubject, func(id string, text []byte) bool {
		if id != oid {
			return true
		}
		value = printable(text)
		return false
	})
	return value
}

func printable(b []byte) string {
	b = bytes.Clone(b[:min(len(b), 128)])
	for i, c := range b {
		if c < 0x20 || c > 0x7e {
			b[i] = '?'
		}
	}
	return string(b)
}

// KeyHash returns the SHA-256 of the certificate's SubjectPublicKeyInfo, by
// which roots are pinned.
func (c *Certificate) KeyHash() [32]byte { return sha256.Sum256(c.RawSPKI) }

// SignedBy reports whether the issuer's key signed the certificate.
func (c *Certificate) SignedBy(issuer *Certificate) bool {
	return c.signed.by(issuer.Key)
}

// ParseAll reads certificates that are given each for itself.
func ParseAll(list [][]byte) ([]*Certificate, error) {
	var out []*Certificate
	for _, b := range list {
		c, err := Parse(b)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// ParsePEM reads the certificates of a PEM text (RFC 7468), at most most of
// them. White space and zero bytes may stand around each, as some makers' tools
// leave them; any other text is refused.
func ParsePEM(text []byte, most int) ([]*Certificate, error) {
	var out []*Certificate
	bad := malformed("a list of certificates is not in the form of RFC 7468")
	for {
		text = bytes.Trim(text, " \t\r\n\x00")
		if len(text) == 0 {
			return out, nil
		}
		// Without this line before it, it is no base64.
		body, _ := bytes.CutPrefix(text, []byte("-----BEGIN CERTIFICATE-----"))
		if len(out) == most {
			return nil, bad
		}
		body, rest, ok := bytes.Cut(body, []byte("-----END CERTIFICATE-----"))
		if !ok || len(body) > 2*MaxSize {
			return nil, bad
		}
		// The decoder passes over line breaks by itself.
		raw, err := base64.StdEncoding.Strict().AppendDecode(nil, bytes.TrimSpace(body))
		if err != nil {
			return nil, bad
		}
		c, err := Parse(raw)
		if err != nil {
			return nil, err
		}
		out, text = append(out, c), rest
	}
}
