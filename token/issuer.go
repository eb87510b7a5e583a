// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

//go:build !js

package token

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"io"

	"github.com/cloudflare/circl/blindsign/blindrsa"
)

// PrivateKey is what an issuer signs a day's tokens with. It is secret: whoever
// has it makes tokens for nothing, though it tells nobody whose a token is.
type PrivateKey struct {
	hidden
	rsa    *rsa.PrivateKey
	public PublicKey
	signer blindrsa.Signer
}

// NewKey makes a key.
func NewKey(rand io.Reader) (PrivateKey, error) {
	k, err := rsa.GenerateKey(rand, 8*BlindedSize)
	if err != nil {
		return PrivateKey{}, err
	}
	return newPrivateKey(k)
}

var errPKCS8 = errors.New("token: not a private key in PKCS #8")

func newPrivateKey(k *rsa.PrivateKey) (PrivateKey, error) {
	if len(k.Primes) != 2 || k.E != exponent {
		return PrivateKey{}, ErrKey
	}
	public, err := newPublicKey(k.N)
	if err != nil {
		return PrivateKey{}, err
	}
	return PrivateKey{rsa: k, public: public, signer: blindrsa.NewSigner(k)}, nil
}

// ParsePrivateKey reads a key that [PrivateKey.PKCS8] wrote, or another program,
// as long as it is an RSA key of 2048 bits with the exponent 65537.
func ParsePrivateKey(pkcs8 []byte) (PrivateKey, error) {
	var outer asn1.RawValue
	rest, err := asn1.Unmarshal(pkcs8, &outer)
	if err != nil || len(rest) > 0 { // which the next line overlooks
		return PrivateKey{}, errPKCS8
	}
	k, err := x509.ParsePKCS8PrivateKey(pkcs8)
	if err != nil {
		return PrivateKey{}, errPKCS8
	}
	rsaKey, ok := k.(*rsa.PrivateKey)
	if !ok {
		return PrivateKey{}, ErrKey
	}
	return newPrivateKey(rsaKey)
}

// PKCS8 returns the key in the clear, as DER.
func (k PrivateKey) PKCS8() ([]byte, error) {
	if k.rsa == nil {
		return nil, ErrKey
	}
	return x509.MarshalPKCS8PrivateKey(k.rsa)
}

// Public returns the key that tokens are checked with.
func (k PrivateKey) Public() PublicKey { return k.public }

// Sign signs a blinded message, BlindedSize bytes that are a number below the
// modulus. The same message gives the same signature. The error is an *Error
// with [Malformed] when it isn't such a number. Safe for concurrent use.
func (k PrivateKey) Sign(blinded []byte) ([]byte, error) {
	if k.rsa == nil {
		return nil, ErrKey
	}
	if len(blinded) != BlindedSize || !k.public.less(blinded) {
		return nil, fail(Malformed)
	}
	return k.signer.BlindSign(blinded)
}

// Authenticate returns the value of WWW-Authenticate that asks for a token of
// the challenge and the key (RFC 9577, section 2.1).
func (c Challenge) Authenticate(key PublicKey) string {
	return `PrivateToken challenge="` + base64.URLEncoding.EncodeToString(c.Bytes()) +
		`", token-key="` + base64.URLEncoding.EncodeToString(key.SPKI()) + `"`
}
