// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package token

import (
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"math/big"
)

// A public key has one encoding, RFC 9578, section 6.5 (and 8.2.2): the DER of a
// SubjectPublicKeyInfo with the OID of RSASSA-PSS, whose parameters are SHA-384,
// MGF1 with SHA-384 and a salt of 48 bytes. We take moduli of exactly 2,048 bits
// and the exponent 65537 only, so all that differs is the modulus, and reading
// the DER is comparing it.
const (
	spkiPrefix = "\x30\x82\x01\x52" + // SubjectPublicKeyInfo
		"\x30\x3d" + // AlgorithmIdentifier
		"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a" + // id-RSASSA-PSS
		"\x30\x30" + // RSASSA-PSS-params
		"\xa0\x0d\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02" + // hashAlgorithm: id-sha384
		"\xa1\x1a\x30\x18\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08" + // maskGenAlgorithm: id-mgf1
		"\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02" + // with id-sha384
		"\xa2\x03\x02\x01\x30" + // saltLength: 48
		"\x03\x82\x01\x0f\x00" + // subjectPublicKey
		"\x30\x82\x01\x0a" + // RSAPublicKey
		"\x02\x82\x01\x01\x00" // modulus, whose first bit is set
	spkiSuffix = "\x02\x03\x01\x00\x01" // publicExponent: 65537

	exponent = 65537
)

// PublicKey is an issuer's key of a day. The zero PublicKey is no key, and all
// that uses it refuses.
type PublicKey struct {
	k *publicKey
}

type publicKey struct {
	rsa  rsa.PublicKey
	spki [SPKISize]byte
	id   [32]byte
}

// ErrKey means bytes that are not a public key that we take.
var ErrKey = errors.New("token: not a key for tokens: it has to be an RSASSA-PSS key of 2048 bits with SHA-384, a salt of 48 bytes and the exponent 65537, in DER")

// ParsePublicKey reads a key in its only encoding, SPKISize bytes. The error is
// ErrKey.
func ParsePublicKey(spki []byte) (PublicKey, error) {
	if len(spki) != SPKISize || string(spki[:len(spkiPrefix)]) != spkiPrefix ||
		string(spki[len(spkiPrefix)+BlindedSize:]) != spkiSuffix {
		return PublicKey{}, ErrKey
	}
	n := spki[len(spkiPrefix):][:BlindedSize]
	// An even modulus isn't the product of two primes, and would have blinding
	// leak (RFC 9474, section 7.1).
	if n[0]&0x80 == 0 || n[BlindedSize-1]&1 == 0 {
		return PublicKey{}, ErrKey
	}
	k := &publicKey{rsa: rsa.PublicKey{N: new(big.Int).SetBytes(n), E: exponent}, id: sha256.Sum256(spki)}
	copy(k.spki[:], spki)
	return PublicKey{k}, nil
}

// newPublicKey returns the key with a modulus.
func newPublicKey(n *big.Int) (PublicKey, error) {
	if n.BitLen() != 8*BlindedSize {
		return PublicKey{}, ErrKey
	}
	return ParsePublicKey(join(spkiPrefix, n.FillBytes(make([]byte, BlindedSize)), []byte(spkiSuffix)))
}

// IsZero reports whether k is no key.
func (k PublicKey) IsZero() bool { return k.k == nil }

// ID returns the token key id, the SHA-256 of the SPKI (RFC 9578, section 6.5):
// what a token names its key by. That of no key is zero.
func (k PublicKey) ID() [32]byte {
	if k.k == nil {
		return [32]byte{}
	}
	return k.k.id
}

// SPKI returns the key's encoding, which the caller may keep.
func (k PublicKey) SPKI() []byte {
	if k.k == nil {
		return nil
	}
	return join("", k.k.spki[:])
}

// less reports whether b, of BlindedSize bytes, is a number below the modulus
// and not 0: what can be blinded, signed and a signature.
func (k PublicKey) less(b []byte) bool {
	v := new(big.Int).SetBytes(b)
	return len(b) == BlindedSize && v.Sign() > 0 && v.Cmp(k.k.rsa.N) < 0
}
