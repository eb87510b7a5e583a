// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

//go:build !js

package token

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"testing"

	"github.com/sotto-chat/sotto/seal/envelope"
)

var testChallenge = Challenge{Issuer: "tokens.sotto.example", Product: "sotto"}

// testKeys returns one of two keys, made once: making one takes long.
var testKeys = sync.OnceValues(func() (a, b PrivateKey) {
	make1 := func() PrivateKey {
		k, err := NewKey(rand.Reader)
		if err != nil {
			panic(err)
		}
		return k
	}
	return make1(), make1()
})

// message returns the outside of a sealed message: what of it has to be in form.
func message(mark byte) []byte {
	b := []byte{envelope.Version, envelope.Suite, 1}
	b = binary.BigEndian.AppendUint32(b, envelope.MinSize)
	b = append(b, bytes.Repeat([]byte{mark}, envelope.RecipientSize+envelope.WrapSize)...)
	return append(b, "the sealed body"...)
}

func newToken(t testing.TB, key PrivateKey, ch Challenge) Token {
	t.Helper()
	p, blinded, err := Blind(key.Public(), ch, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := key.Sign(blinded)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := p.Finish(sig)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestWholeWay(t *testing.T) {
	key, _ := testKeys()
	spki := key.Public().SPKI()
	public, err := ParsePublicKey(spki)
	if err != nil {
		t.Fatal(err)
	}
	if public.ID() != sha256.Sum256(spki) {
		t.Error("another key id")
	}
	tok := newToken(t, key, testChallenge)
	stored, err := Restore(tok.Store())
	if err != nil {
		t.Fatal(err)
	}
	msg := message(1)
	header, err := HeaderDigest(msg)
	if err != nil {
		t.Fatal(err)
	}
	for _, refund := range [][]byte{nil, bytes.Repeat([]byte{7}, BlindedSize)} {
		fields, err := stored.Fields(msg, refund)
		if err != nil {
			t.Fatal(err)
		}
		s, err := ParseSpend(fields)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Verify(public, testChallenge.Digest(), header); err != nil {
			t.Error(err)
		}
		if s.KeyID() != public.ID() || s.ID() != sha256.Sum256(tok.Marshal()) || !bytes.Equal(s.Refund(), refund) {
			t.Error("the spend says something else than the token")
		}
	}
}
