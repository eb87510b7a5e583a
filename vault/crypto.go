// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/sotto-chat/sotto/internal/padme"
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

// paddedSize returns the size to which n bytes are padded: the Padmé size, but at
// least minPadded.
func paddedSize(n int) int { return padme.Size(max(n, minPadded)) }

func allZero(b []byte) bool {
	var or byte
	for _, v := range b {
		or |= v
	}
	return or == 0
}
