// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

const (
	localOverhead = 1 + 32 + chacha20poly1305.Overhead
	maxLocal      = 64 << 20
	maxLabel      = 60
	labelSize     = localOverhead + 4 + maxLabel // 113 bytes
)

// SealLocal seals small secrets that stay on this device, such as an answer that
// is still on its way. purpose, such as "pending answers", keeps things apart:
// what was sealed for one purpose opens for no other.
func SealLocal(root RootKey, account AccountID, purpose string, plaintext []byte) ([]byte, error) {
	if len(plaintext) > maxLocal {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooLarge, len(plaintext))
	}
	return sealLocal(root.derive(account, "local "+purpose), paddedSize(4+len(plaintext)), plaintext), nil
}

// OpenLocal opens what [SealLocal] made. ErrTampered: it was changed, or belongs
// to another account or purpose.
func OpenLocal(root RootKey, account AccountID, purpose string, sealed []byte) ([]byte, error) {
	if len(sealed) < localOverhead+minPadded || len(sealed) > 2*maxLocal || sealed[0] != 1 {
		return nil, fmt.Errorf("local data: %w", ErrFormat)
	}
	return openLocal(root.derive(account, "local "+purpose), sealed)
}

// LocalKey returns a key for something that is of use on one device only, such as
// its tokens: whoever has the root key and not the device's secret, of 32 random
// bytes that are never sent anywhere, doesn't have it, and neither the other way
// round.
func LocalKey(root RootKey, account AccountID, purpose string, secret []byte) [32]byte {
	if len(secret) != 32 {
		panic("vault: internal error: a device's secret has 32 bytes")
	}
	return [32]byte(expand(root.derive(account, "device "+purpose), secret, "sotto/1 vault device", keySize))
}

// SealLabel seals what a person calls a passkey, a browser or a terminal, cut to
// 60 bytes, so that the account server can keep it without reading it. All
// labels are of one size.
func SealLabel(root RootKey, account AccountID, label string) []byte {
	return sealLocal(root.derive(account, "labels"), 4+maxLabel, []byte(cutText(label, maxLabel)))
}

// OpenLabel opens what [SealLabel] made.
func OpenLabel(root RootKey, account AccountID, sealed []byte) (string, error) {
	if len(sealed) != labelSize || sealed[0] != 1 {
		return "", fmt.Errorf("label: %w", ErrFormat)
	}
	b, err := openLocal(root.derive(account, "labels"), sealed)
	return string(b), err
}

func sealLocal(key []byte, padded int, plaintext []byte) []byte {
	plain := make([]byte, padded)
	binary.BigEndian.PutUint32(plain, uint32(len(plaintext)))
	copy(plain[4:], plaintext)
	out := make([]byte, 33, localOverhead+padded)
	out[0] = 1
	rand.Read(out[1:])
	return aead(recordKey(key, out[1:])).Seal(out, make([]byte, chacha20poly1305.NonceSize), plain, out[:1])
}

func openLocal(key, sealed []byte) ([]byte, error) {
	plain, err := aead(recordKey(key, sealed[1:33])).Open(nil, make([]byte, chacha20poly1305.NonceSize), sealed[33:], sealed[:1])
	if err != nil {
		return nil, ErrTampered
	}
	n := uint64(binary.BigEndian.Uint32(plain))
	if 4+n > uint64(len(plain)) || !allZero(plain[4+n:]) {
		return nil, fmt.Errorf("local data: %w", ErrFormat)
	}
	return plain[4 : 4+n], nil
}
