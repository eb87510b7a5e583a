// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
)

// RecoveryKey is the key on paper: 160 random bits, written as 8 groups of 5
// characters. It names the account, signs in and opens the vault, so it is
// enough by itself when every device is lost. The zero value is not a key.
type RecoveryKey struct{ bits *[recoverySize]byte }

const (
	recoverySize   = 20
	recoveryGroups = 8
	groupSize      = 5 // four characters of the key and one check character

	// alphabet is Crockford's base 32: no I, L, O or U.
	alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
)

// NewRecoveryKey makes a recovery key.
func NewRecoveryKey() RecoveryKey {
	k := RecoveryKey{new([recoverySize]byte)}
	rand.Read(k.bits[:])
	return k
}

// String returns a fixed text instead of the key.
func (RecoveryKey) String() string { return hidden }

// GoString returns a fixed text instead of the key.
func (RecoveryKey) GoString() string { return hidden }

// Format prints a fixed text instead of the key, whatever the verb.
func (RecoveryKey) Format(f fmt.State, _ rune) { f.Write([]byte(hidden)) }

// MarshalJSON refuses: a secret is never part of a document.
func (RecoveryKey) MarshalJSON() ([]byte, error) {
	return nil, errors.New("vault: a secret can't be written as JSON")
}

// Erase overwrites the key in memory.
func (k RecoveryKey) Erase() {
	if k.bits != nil {
		clear(k.bits[:])
	}
}

// Groups returns the 8 groups of 5 characters to show and print, in order.
func (k RecoveryKey) Groups() []string {
	groups := make([]string, recoveryGroups)
	for g := range groups {
		// Each group holds 20 bits: two and a half bytes.
		at := g * 20
		var v uint32
		for i := range 20 {
			bit := k.bits[(at+i)/8] >> (7 - (at+i)%8) & 1
			v = v<<1 | uint32(bit)
		}
		var c [4]byte
		for i := range c {
			c[i] = byte(v >> (15 - 5*i) & 31)
		}
		groups[g] = string([]byte{
			alphabet[c[0]], alphabet[c[1]], alphabet[c[2]], alphabet[c[3]], alphabet[checkCharacter(g, c)],
		})
	}
	return groups
}

// checkCharacter is a weighted sum over GF(32) that also depends on the group's
// place: it notices every single wrong character, every two swapped neighbours
// and every two swapped groups (spec: "Recovery key").
func checkCharacter(group int, c [4]byte) byte {
	sum := byte(group + 1)
	for i, v := range c {
		sum ^= mulGF32(v, 2<<i) // weights 2, 4, 8, 16: all different, none 1
	}
	return sum
}

// mulGF32 multiplies in GF(2^5) modulo x^5 + x^2 + 1.
func mulGF32(a, b byte) (p byte) {
	for range 5 {
		p ^= a & -(b & 1)
		a = a<<1 ^ (0x25 & -(a >> 4 & 1))
		b >>= 1
	}
	return p
}

// RecoveryKeyError says which group of a typed recovery key is wrong.
type RecoveryKeyError struct {
	// Group is 1 to 8, or 0 when the key has too few or too many characters.
	Group int
	// Have is the number of characters, when Group is 0.
	Have int
}

func (e *RecoveryKeyError) Error() string {
	if e.Group == 0 {
		return fmt.Sprintf("recovery key has %d characters, it should have %d", e.Have, recoveryGroups*groupSize)
	}
	return fmt.Sprintf("recovery key: group %d has a wrong character", e.Group)
}

// ParseRecoveryKey reads a recovery key as a person types it: any case, with or
// without spaces and hyphens, O for 0 and I or L for 1. The error is a
// [*RecoveryKeyError] naming the first wrong group.
func ParseRecoveryKey(s string) (RecoveryKey, error) {
	if len(s) > 1024 {
		return RecoveryKey{}, &RecoveryKeyError{Have: len(s)}
	}
	var chars []byte
	bad := -1
	for _, r := range strings.ToUpper(s) {
		switch r {
		case ' ', '-', '\t', '\n', '\r', '\u00a0', '–', '—', '‑':
			continue
		case 'O':
			r = '0'
		case 'I', 'L':
			r = '1'
		}
		v := strings.IndexRune(alphabet, r)
		if v < 0 && bad < 0 {
			bad = len(chars) / groupSize
		}
		chars = append(chars, byte(v))
	}
	if len(chars) != recoveryGroups*groupSize {
		return RecoveryKey{}, &RecoveryKeyError{Have: len(chars)}
	}
	if bad >= 0 {
		return RecoveryKey{}, &RecoveryKeyError{Group: bad + 1}
	}
	k := RecoveryKey{new([recoverySize]byte)}
	for g := range recoveryGroups {
		c := chars[g*groupSize : (g+1)*groupSize]
		if checkCharacter(g, [4]byte(c[:4])) != c[4] {
			return RecoveryKey{}, &RecoveryKeyError{Group: g + 1}
		}
		for i := range 20 {
			bit := c[i/5] >> (4 - i%5) & 1
			at := g*20 + i
			k.bits[at/8] |= bit << (7 - at%8)
		}
	}
	return k, nil
}

func (k RecoveryKey) derive(purpose string, n int) []byte {
	if k.bits == nil {
		panic("vault: internal error: recovery key is empty")
	}
	return expand(k.bits[:], nil, "sotto/1 recovery "+purpose, n)
}

// ID names the key to the server. It says nothing about the key.
func (k RecoveryKey) ID() RecordID { return RecordID(k.derive("id", 16)) }

// SigningKey is the key that signs in to the account.
func (k RecoveryKey) SigningKey() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(k.derive("sign in", ed25519.SeedSize))
}

func (k RecoveryKey) signInKey() []byte { return k.SigningKey().Public().(ed25519.PublicKey) }
func (k RecoveryKey) wrapKey() []byte   { return k.derive("wrap", keySize) }

// SignIn answers the server's challenge, 32 bytes, for the page's origin (such
// as "https://sotto.example"). The origin is signed too, so that another site
// can't pass the challenge on.
func (k RecoveryKey) SignIn(origin string, challenge []byte) []byte {
	return ed25519.Sign(k.SigningKey(), signInMessage(k.ID(), origin, challenge))
}

// VerifySignIn checks the answer to a challenge against the public key of a
// recovery wrap.
func VerifySignIn(publicKey []byte, id RecordID, origin string, challenge, signature []byte) bool {
	return len(publicKey) == ed25519.PublicKeySize && len(challenge) == 32 &&
		ed25519.Verify(publicKey, signInMessage(id, origin, challenge), signature)
}

func signInMessage(id RecordID, origin string, challenge []byte) []byte {
	b := append([]byte("sotto/1 recovery sign-in\x00"), id[:]...)
	b = append(b, byte(len(origin)>>8), byte(len(origin)))
	b = append(b, origin...)
	return append(b, challenge...)
}
