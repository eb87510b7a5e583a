// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"math/bits"

	"golang.org/x/crypto/chacha20poly1305"
)

// aead returns ChaCha20-Poly1305 (RFC 8439), which is constant time in a browser
// too. Every key here seals one message only.
func aead(key []byte) cipher.AEAD {
	a, err := chacha20poly1305.New(key)
	if err != nil {
		panic("vault: internal error: " + err.Error())
	}
	return a
}

func hash(parts ...string) []byte {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p))
	}
	return h.Sum(nil)
}

func mac(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// minPadded is the least size of what is sealed: all short messages, titles and
// switches look alike.
const minPadded = 256

// padme returns the size to which n bytes are padded: at least minPadded, and
// above it the next Padmé size (Nikitin et al., "Reducing Metadata Leakage from
// Encrypted Files and Communication with PURBs", 2019), which adds at most 12 %
// and reveals O(log log n) bits of the size.
func padme(n int) int {
	if n <= minPadded {
		return minPadded
	}
	e := bits.Len(uint(n)) - 1 // floor(log2 n)
	s := bits.Len(uint(e))     // floor(log2 e) + 1
	mask := 1<<(e-s) - 1
	return (n + mask) &^ mask
}

func allZero(b []byte) bool {
	var or byte
	for _, v := range b {
		or |= v
	}
	return or == 0
}
