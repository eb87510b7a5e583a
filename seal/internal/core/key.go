// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package core

import (
	"crypto/hpke"
	"crypto/rand"
	"fmt"
	"sync/atomic"
)

// SeedSize is the size of the seed that a private key is made from, and
// PublicKeySize that of its public key.
const (
	SeedSize      = 32
	PublicKeySize = 1216
)

// PrivateKey is a node's MLKEM768-X25519 key (draft-ietf-hpke-pq, the KEM also
// known as X-Wing). It is safe for concurrent use.
type PrivateKey struct {
	Hidden
	key    atomic.Pointer[hpke.PrivateKey]
	public []byte
}

// GenerateKey returns a new random key.
func GenerateKey() (*PrivateKey, error) {
	seed := make([]byte, SeedSize)
	rand.Read(seed) // never fails
	defer clear(seed)
	return NewPrivateKey(seed)
}

// NewPrivateKey returns the key of a seed of SeedSize bytes, which is the
// serialized private key of the KEM. It keeps no reference to seed, which
// remains the caller's to zero.
func NewPrivateKey(seed []byte) (*PrivateKey, error) {
	if len(seed) != SeedSize {
		return nil, fmt.Errorf("seal: private key seed of %d bytes, want %d", len(seed), SeedSize)
	}
	k := new(PrivateKey)
	var err error
	withSecrets(func() {
		var key hpke.PrivateKey
		if key, err = hpke.MLKEM768X25519().NewPrivateKey(seed); err != nil {
			return
		}
		// The key keeps a copy of the seed, which nothing needs any more.
		// Bytes returns that copy itself in the Go releases we know; should
		// it return a fresh one, this does no harm.
		if kept, err := key.Bytes(); err == nil {
			clear(kept)
		}
		k.public = key.PublicKey().Bytes()
		k.key.Store(&key)
	})
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return k, nil
}

// PublicKey returns the public key, PublicKeySize bytes that the caller owns.
func (k *PrivateKey) PublicKey() []byte { return append([]byte(nil), k.public...) }

// Erase drops the key: from now on it opens nothing. Requests that are being
// opened meanwhile are finished.
//
// The seed has been zeroed since the key was made. The expanded key lives in
// objects of the standard library that cannot be overwritten from here: Erase
// makes them garbage, and Go hands their memory out again, zeroed at that time
// and not before. A program built with GOEXPERIMENT=runtimesecret does better
// where the platform has it: there the collector itself zeroes what the key
// was made of as soon as it finds it unreachable, and Erase runs the collector.
func (k *PrivateKey) Erase() {
	k.key.Store(nil)
	collectSecrets()
}

func (k *PrivateKey) load() (hpke.PrivateKey, error) {
	p := k.key.Load()
	if p == nil {
		return nil, ErrExpired
	}
	return *p, nil
}

// Recipient is a node key that a request is sealed to. Only a key that came
// out of verification belongs here.
type Recipient struct {
	ID        KeyID
	PublicKey []byte // PublicKeySize bytes
}
