// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package cert

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"math/big"

	"github.com/sotto-chat/sotto/attest/cert/der"
)

// Algorithm is a way to sign.
type Algorithm int

// The algorithms in use: ECDSA (RFC 5758), RSASSA-PKCS1-v1_5 and RSASSA-PSS
// (RFC 4055, RFC 8017). PSS has MGF1 with the same hash, and a salt of its length.
const (
	ECDSASHA256 Algorithm = 1 + iota
	ECDSASHA384
	PKCS1SHA256
	PKCS1SHA384
	PSSSHA256
	PSSSHA384
)

// PublicKey is a key that can check signatures: RSA of 2048 to 4096 bits, or
// ECDSA on P-256 or P-384.
type PublicKey struct {
	rsa *rsa.PublicKey
	ec  *ecdsa.PublicKey
}

// NewECDSA returns the key of a point, big-endian coordinates of the curve's
// length: "P-256" or "P-384". The point must be on the curve.
func NewECDSA(curve string, x, y []byte) (*PublicKey, error) {
	c := elliptic.P256()
	if curve == "P-384" {
		c = elliptic.P384()
	}
	if curve != c.Params().Name || len(x) != c.Params().BitSize/8 { // y is what remains of the point
		return nil, malformed("a key is not a point of a curve in use")
	}
	return newECDSA(c, append(append([]byte{4}, x...), y...))
}

func newECDSA(c elliptic.Curve, point []byte) (*PublicKey, error) {
	k, err := ecdsa.ParseUncompressedPublicKey(c, point)
	if err != nil {
		return nil, malformed("a key is not a point of its curve")
	}
	return &PublicKey{ec: k}, nil
}

// NewRSA returns the key of a modulus (big-endian, without leading zeros) and an
// exponent.
func NewRSA(n []byte, e int) (*PublicKey, error) {
	bits := 8 * len(n)
	if len(n) == 0 || n[0] < 0x80 || n[len(n)-1]&1 == 0 || bits < 2048 || bits > 4096 || e < 3 || e > 1<<31-1 || e&1 == 0 {
		return nil, malformed("a key is not an RSA key of a size in use")
	}
	return &PublicKey{rsa: &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: e}}, nil
}

// Equal reports whether two keys are the same.
func (k *PublicKey) Equal(other *PublicKey) bool {
	switch {
	case k.rsa != nil && other.rsa != nil:
		return k.rsa.Equal(other.rsa)
	case k.ec != nil && other.ec != nil:
		return k.ec.Equal(other.ec)
	}
	return false
}

// Kind names the key for people: "RSA-4096", "P-384".
func (k *PublicKey) Kind() string {
	if k.ec != nil {
		return k.ec.Curve.Params().Name
	}
	switch k.rsa.Size() {
	case 256:
		return "RSA-2048"
	case 384:
		return "RSA-3072"
	case 512:
		return "RSA-4096"
	}
	return "RSA"
}

// Verify reports whether sig is the key's signature of message. Signatures of
// ECDSA are in ASN.1 form (RFC 3279, section 2.2.3).
func (k *PublicKey) Verify(alg Algorithm, message, sig []byte) bool {
	hash, digest := digestOf(alg, message)
	switch alg {
	case ECDSASHA256, ECDSASHA384:
		return k.ec != nil && ecdsa.VerifyASN1(k.ec, digest, sig)
	case PKCS1SHA256, PKCS1SHA384:
		return k.rsa != nil && rsa.VerifyPKCS1v15(k.rsa, hash, digest, sig) == nil
	case PSSSHA256, PSSSHA384:
		return k.rsa != nil && rsa.VerifyPSS(k.rsa, hash, digest, sig, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
	}
	return false
}

// VerifyRS is Verify for ECDSA signatures that come as two big-endian numbers.
func (k *PublicKey) VerifyRS(alg Algorithm, message, r, s []byte) bool {
	if alg != ECDSASHA256 && alg != ECDSASHA384 || k.ec == nil || len(r) > 66 || len(s) > 66 {
		return false
	}
	_, digest := digestOf(alg, message)
	return ecdsa.VerifyASN1(k.ec, digest, signatureOf(r, s))
}

// signatureOf writes two numbers of at most 66 bytes as a signature in ASN.1.
func signatureOf(r, s []byte) []byte {
	body := appendInt(appendInt(nil, r), s)
	head := []byte{der.Sequence, byte(len(body))}
	if len(body) >= 0x80 { // the length takes a second byte
		head = []byte{der.Sequence, 0x81, byte(len(body))}
	}
	return append(head, body...)
}

// appendInt appends a big-endian number of at most 126 bytes as an INTEGER.
func appendInt(dst, n []byte) []byte {
	for len(n) > 0 && n[0] == 0 {
		n = n[1:]
	}
	pad := len(n) == 0 || n[0] >= 0x80
	dst = append(dst, der.Integer, byte(len(n)))
	if pad {
		dst[len(dst)-1]++
		dst = append(dst, 0)
	}
	return append(dst, n...)
}

func digestOf(alg Algorithm, message []byte) (crypto.Hash, []byte) {
	switch alg {
	case ECDSASHA384, PKCS1SHA384, PSSSHA384:
		d := sha512.Sum384(message)
		return crypto.SHA384, d[:]
	default:
		d := sha256.Sum256(message)
		return crypto.SHA256, d[:]
	}
}

const (
	oidRSA  = "1.2.840.113549.1.1.1"
	oidEC   = "1.2.840.10045.2.1"
	oidPSS  = "1.2.840.113549.1.1.10"
	oidMGF1 = "1.2.840.113549.1.1.8"
)

// parseSPKI reads a SubjectPublicKeyInfo.
func parseSPKI(b []byte) (*PublicKey, bool) {
	outer := der.New(b)
	r, _ := outer.In(der.Sequence)
	alg, _ := r.In(der.Sequence)
	id, _ := alg.OID()
	bits, unused, _ := r.Bits()
	if unused != 0 || !r.Empty() {
		return nil, false
	}
	switch id {
	case oidRSA:
		if !null(&alg) {
			return nil, false
		}
		outer := der.New(bits)
		k, _ := outer.In(der.Sequence)
		n, _ := k.Unsigned()
		e, _ := k.Int(1<<31 - 1)
		if !outer.Empty() || !k.Empty() {
			return nil, false
		}
		key, err := NewRSA(n, e)
		return key, err == nil
	case oidEC:
		name, _ := alg.OID()
		if !alg.Empty() {
			return nil, false
		}
		var curve elliptic.Curve
		switch name {
		case "1.2.840.10045.3.1.7":
			curve = elliptic.P256()
		case "1.3.132.0.34":
			curve = elliptic.P384()
		default:
			return nil, false
		}
		key, err := newECDSA(curve, bits)
		return key, err == nil
	}
	return nil, false
}

// null reads parameters that are NULL, and nothing after.
func null(r *der.Reader) bool {
	b, ok := r.Next(der.Null)
	return ok && len(b) == 0 && r.Empty()
}

// parseAlgorithm reads an AlgorithmIdentifier of a signature.
func parseAlgorithm(raw []byte) (Algorithm, bool) {
	outer := der.New(raw)
	r, _ := outer.In(der.Sequence)
	id, _ := r.OID()
	switch id {
	case "1.2.840.10045.4.3.2":
		return ECDSASHA256, r.Empty()
	case "1.2.840.10045.4.3.3":
		return ECDSASHA384, r.Empty()
	case "1.2.840.113549.1.1.11":
		return PKCS1SHA256, null(&r)
	case "1.2.840.113549.1.1.12":
		return PKCS1SHA384, null(&r)
	case oidPSS:
		alg, ok := pssOf(&r)
		return alg, ok && r.Empty()
	}
	return 0, false
}

// pssOf reads RSASSA-PSS-params (RFC 4055, section 3.1). The defaults are SHA-1,
// so all but the trailer must be there.
func pssOf(outer *der.Reader) (Algorithm, bool) {
	r, _ := outer.In(der.Sequence)
	a, _ := r.In(der.Context(0))
	hash, ok := hashOf(&a)
	if !ok || !a.Empty() {
		return 0, false
	}
	b, _ := r.In(der.Context(1))
	mgf, _ := b.In(der.Sequence)
	if id, _ := mgf.OID(); id != oidMGF1 || !b.Empty() {
		return 0, false
	}
	if h, _ := hashOf(&mgf); h != hash || !mgf.Empty() {
		return 0, false
	}
	c, _ := r.In(der.Context(2))
	if n, _ := c.Int(255); n != hash.Size() || !c.Empty() {
		return 0, false
	}
	if r.Tag() == der.Context(3) { // the trailer, which AMD writes though it is the default
		d, _ := r.In(der.Context(3))
		if n, _ := d.Int(1); n != 1 || !d.Empty() {
			return 0, false
		}
	}
	if !r.Empty() {
		return 0, false
	}
	if hash == crypto.SHA384 {
		return PSSSHA384, true
	}
	return PSSSHA256, true
}

// hashOf reads an AlgorithmIdentifier of a hash, whose parameters may be absent.
func hashOf(outer *der.Reader) (crypto.Hash, bool) {
	r, _ := outer.In(der.Sequence)
	id, _ := r.OID()
	if !r.Empty() && !null(&r) {
		return 0, false
	}
	switch id {
	case "2.16.840.1.101.3.4.2.1":
		return crypto.SHA256, true
	case "2.16.840.1.101.3.4.2.2":
		return crypto.SHA384, true
	}
	return 0, false
}
