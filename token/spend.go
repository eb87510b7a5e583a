// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package token

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"strings"

	"github.com/sotto-chat/sotto/seal/bhttp"
)

// Spend is what a request says of its token, before anything of it is believed.
type Spend struct {
	token  [Size]byte
	holder [ed25519.PublicKeySize]byte
	sig    [ed25519.SignatureSize]byte
	refund []byte
}

// ParseSpend reads the three fields of a request; it looks at no other. Errors
// are *Error with [Missing], [Malformed], [HolderInvalid] or [RefundMalformed].
func ParseSpend(fields []bhttp.Field) (Spend, error) {
	var s Spend
	value, n := find(fields, FieldToken)
	if n == 0 {
		return s, fail(Missing)
	}
	inner, ok := strings.CutPrefix(value, scheme)
	inner, end := strings.CutSuffix(inner, schemeEnd)
	if n > 1 || !ok || !end || !decode(s.token[:], inner) || string(s.token[:2]) != typeBytes {
		return s, fail(Malformed)
	}
	var holder [ed25519.PublicKeySize + ed25519.SignatureSize]byte
	value, n = find(fields, FieldHolder)
	if n != 1 || !decode(holder[:], value) {
		return s, fail(HolderInvalid)
	}
	copy(s.sig[:], holder[copy(s.holder[:], holder[:]):])
	if value, n = find(fields, FieldRefund); n > 0 {
		s.refund = make([]byte, BlindedSize)
		if n > 1 || !decode(s.refund, value) {
			return s, fail(RefundMalformed)
		}
	}
	return s, nil
}

// find returns the last value of a field, and how many there are.
func find(fields []bhttp.Field, name string) (value string, n int) {
	for _, f := range fields {
		if f.Name == name {
			value = f.Value
			n++
		}
	}
	return value, n
}

// decode fills dst with what s stands for: base64url without padding, in the one
// form that has exactly len(dst) bytes.
func decode(dst []byte, s string) bool {
	// The library overlooks newlines; with a length that fits there is no room
	// for one.
	if len(s) != base64.RawURLEncoding.EncodedLen(len(dst)) {
		return false
	}
	n, err := base64.RawURLEncoding.Strict().Decode(dst, []byte(s))
	return err == nil && n == len(dst)
}

// ID returns the SHA-256 of the token: what a spent one is remembered by.
func (s Spend) ID() [32]byte { return sha256.Sum256(s.token[:]) }

// KeyID returns the id of the key by which the token says that it was signed.
func (s Spend) KeyID() [32]byte { return [32]byte(s.token[66:98]) }

// Refund returns the blinded message of a refund, BlindedSize bytes, or nil when
// none is wanted.
func (s Spend) Refund() []byte { return s.refund }

// Verify checks that the token is for the challenge with this digest and signed
// with the key, and that its holder spends it on the message whose envelope
// header has this digest ([HeaderDigest]), with this refund. It doesn't know of days, nor
// whether the token was spent before. Errors are *Error with [Foreign],
// [RefundMalformed], [HolderInvalid] or [Invalid].
func (s Spend) Verify(key PublicKey, challenge, header [32]byte) error {
	return s.verify(spendLabel, key, challenge, header)
}

// VerifyRefund checks the same of a request for a refund, which has no message
// ([Token.RefundFields]).
func (s Spend) VerifyRefund(key PublicKey, challenge [32]byte) error {
	if s.refund == nil {
		return fail(RefundMalformed)
	}
	return s.verify(refundLabel, key, challenge, noHeader)
}

// verify does the cheap checks first.
func (s Spend) verify(label string, key PublicKey, challenge, header [32]byte) error {
	if key.k == nil || s.KeyID() != key.k.id || [32]byte(s.token[34:66]) != challenge {
		return fail(Foreign)
	}
	if nonceOf(s.holder[:]) != [32]byte(s.token[2:34]) {
		return fail(HolderInvalid)
	}
	if !ed25519.Verify(s.holder[:], signed(label, s.ID(), header, s.refund), s.sig[:]) {
		return fail(HolderInvalid)
	}
	return verifySignature(key, s.token[:])
}

// verifySignature checks the authenticator of a token of Size bytes: a signature
// of RSASSA-PSS with SHA-384 and a salt of 48 bytes (RFC 9578, section 6.4). A
// number that isn't below the modulus is none.
func verifySignature(key PublicKey, token []byte) error {
	digest := sha512.Sum384(token[:Size-BlindedSize])
	opts := rsa.PSSOptions{SaltLength: len(digest), Hash: crypto.SHA384}
	if rsa.VerifyPSS(&key.k.rsa, crypto.SHA384, digest[:], token[Size-BlindedSize:], &opts) != nil {
		return fail(Invalid)
	}
	return nil
}
