// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

//go:build !js

package token

import (
	"crypto/rand"
	"testing"
)

// What each side pays for one token, on one core. docs/performance.md has the
// figures; make bench takes them.

// BenchmarkIssue is the account service's share: one blind signature.
func BenchmarkIssue(b *testing.B) {
	key, _ := testKeys()
	_, blinded, err := Blind(key.Public(), testChallenge, rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := key.Sign(blinded); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRedeem is the gateway's share but for the store: reading the fields and
// checking both signatures.
func BenchmarkRedeem(b *testing.B) {
	key, _ := testKeys()
	msg := message(1)
	header, err := HeaderDigest(msg)
	if err != nil {
		b.Fatal(err)
	}
	fields, err := newToken(b, key, testChallenge).Fields(msg, make([]byte, BlindedSize))
	if err != nil {
		b.Fatal(err)
	}
	digest := testChallenge.Digest()
	for b.Loop() {
		s, err := ParseSpend(fields)
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Verify(key.Public(), digest, header); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBlind and the two after it are the device's share.
func BenchmarkBlind(b *testing.B) {
	key, _ := testKeys()
	for b.Loop() {
		if _, _, err := Blind(key.Public(), testChallenge, rand.Reader); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFinish(b *testing.B) {
	key, _ := testKeys()
	p, blinded, err := Blind(key.Public(), testChallenge, rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	sig, err := key.Sign(blinded)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := p.Finish(sig); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFields(b *testing.B) {
	key, _ := testKeys()
	tok := newToken(b, key, testChallenge)
	msg := message(1)
	for b.Loop() {
		if _, err := tok.Fields(msg, nil); err != nil {
			b.Fatal(err)
		}
	}
}
