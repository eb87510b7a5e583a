// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package core

import (
	"crypto/cipher"
	"crypto/hpke"
)

// What the tests of package seal look at or make wrong on purpose.

// Secrets returns where o holds its answer secret and its plaintext.
func Secrets(o *Opened) (*[KeySize]byte, *[]byte) { return &o.secret, &o.plaintext }

// Unwrap opens the content key in header, one of count.
func Unwrap(o *Opened, header []byte, count int, key *PrivateKey) ([]byte, error) {
	return o.unwrap(header, count, key)
}

// Insides returns where a holds its header and cipher.
func Insides(a *AnswerSealer) (*AnswerHeader, *cipher.AEAD) { return &a.header, &a.aead }

// Load returns what k opens with.
func Load(k *PrivateKey) (hpke.PrivateKey, error) { return k.load() }
