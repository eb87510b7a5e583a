// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"bytes"
	"crypto/hmac"
	"crypto/hpke"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"unicode/utf8"

	"golang.org/x/crypto/chacha20poly1305"
)

// DeviceKey is what a terminal keeps to open its own [Wrap]: an HPKE private key
// and the secret of the link that joined it to the account. Linking goes so:
//
//  1. The terminal makes a DeviceKey, posts [DeviceKey.Offer] to the account
//     server and shows a link whose fragment is [DeviceKey.LinkSecret].
//  2. The person opens the link on a device that is signed in. A fragment is
//     never sent to a server. The page opens the offer with [OpenOffer], shows
//     the terminal's name, and on a click seals the root key with [WrapDevice].
//  3. The terminal fetches the wrap and opens it with [UnwrapDevice].
//
// The server carries both messages and can change neither: it can't put its own
// public key in the offer's place nor a root key of its choice in the wrap's,
// since both are authenticated with the link secret.
type DeviceKey struct {
	secret  // the link secret
	private hpke.PrivateKey
}

const (
	devicePublicSize = 1216 // MLKEM768-X25519, HPKE KEM 0x647a
	deviceEncSize    = 1120
	deviceSeedSize   = 32
	maxName          = 64
	offerSize        = 1 + devicePublicSize + 32 + 1 + maxName + chacha20poly1305.Overhead
	deviceWrapSize   = deviceEncSize + keySize + chacha20poly1305.Overhead + 32
)

func deviceKEM() hpke.KEM { return hpke.MLKEM768X25519() }

// NewDeviceKey makes the key of a terminal that is about to be linked.
func NewDeviceKey() (DeviceKey, error) {
	private, err := deviceKEM().GenerateKey()
	if err != nil {
		return DeviceKey{}, fmt.Errorf("device key: %w", err)
	}
	return DeviceKey{newSecret(), private}, nil
}

// Bytes returns the secret form (65 bytes) for the terminal's own disk; the file
// must be readable by its owner only.
func (k DeviceKey) Bytes() ([]byte, error) {
	private, err := k.private.Bytes()
	if err != nil {
		return nil, fmt.Errorf("device key: %w", err)
	}
	return append(append([]byte{1}, k.key[:]...), private...), nil
}

// ParseDeviceKey reads what [DeviceKey.Bytes] returned.
func ParseDeviceKey(b []byte) (DeviceKey, error) {
	if len(b) != 1+keySize+deviceSeedSize || b[0] != 1 {
		return DeviceKey{}, fmt.Errorf("device key: %w", ErrFormat)
	}
	private, err := deviceKEM().NewPrivateKey(b[1+keySize:])
	if err != nil {
		return DeviceKey{}, fmt.Errorf("device key: %w", ErrFormat)
	}
	return DeviceKey{secret{(*[keySize]byte)(append([]byte(nil), b[1:1+keySize]...))}, private}, nil
}

// LinkSecret returns the text that goes into the fragment of the link: 43
// characters of base64url. Whoever has it can approve or impersonate the
// terminal while the link lives, so it is shown on the terminal only.
func (k DeviceKey) LinkSecret() string { return base64.RawURLEncoding.EncodeToString(k.key[:]) }

// Offer returns the public half of the key together with the terminal's name (at
// most 64 bytes, longer ones are cut), the name sealed and both authenticated
// with the link secret. It is what POST /api/v1/links takes as public_key.
func (k DeviceKey) Offer(name string) []byte {
	padded := make([]byte, 1+maxName)
	padded[0] = byte(copy(padded[1:], cutText(name, maxName)))
	b := append(make([]byte, 0, offerSize), 1)
	b = append(b, k.private.PublicKey().Bytes()...)
	salt := make([]byte, 32)
	rand.Read(salt)
	key := expand(k.key[:], salt, "sotto/1 link offer", keySize)
	b = append(b, salt...)
	return aead(key).Seal(b, make([]byte, chacha20poly1305.NonceSize), padded, b[:1+devicePublicSize])
}

// Code returns 8 characters that the terminal and the approving page both show,
// so that a person with two terminals sees which one is meant.
func (k DeviceKey) Code() string { return linkCode(k.secret, k.private.PublicKey().Bytes()) }

// Code returns what [DeviceKey.Code] returns on the terminal.
func (o *Offer) Code() string { return linkCode(o.secret, o.encoded) }

func linkCode(link secret, public []byte) string {
	b := mac(expand(link.key[:], nil, "sotto/1 link code", keySize), public)
	code := make([]byte, 0, 9)
	for i, v := range b[:8] {
		if i == 4 {
			code = append(code, '-')
		}
		code = append(code, alphabet[v&31])
	}
	return string(code)
}

// Offer is a terminal's wish to be linked, opened and authenticated.
type Offer struct {
	// Name is what the terminal calls itself, for the person to recognise.
	Name string

	public  hpke.PublicKey
	encoded []byte
	secret  secret
}

// OpenOffer opens an offer with the link secret from the link's fragment. The
// error is ErrTampered when the server changed the offer or the link is not the
// terminal's.
func OpenOffer(offer []byte, linkSecret string) (*Offer, error) {
	if len(offer) != offerSize || offer[0] != 1 {
		return nil, fmt.Errorf("offer: %w", ErrFormat)
	}
	key, err := base64.RawURLEncoding.Strict().DecodeString(linkSecret)
	if err != nil || len(key) != keySize {
		return nil, fmt.Errorf("link: %w", ErrFormat)
	}
	head, salt, sealed := offer[:1+devicePublicSize], offer[1+devicePublicSize:][:32], offer[1+devicePublicSize+32:]
	plain, err := aead(expand(key, salt, "sotto/1 link offer", keySize)).Open(nil, make([]byte, chacha20poly1305.NonceSize), sealed, head)
	if err != nil {
		return nil, fmt.Errorf("offer: %w", ErrTampered)
	}
	n := int(plain[0])
	if n > maxName || !allZero(plain[1+n:]) {
		return nil, fmt.Errorf("offer: %w", ErrFormat)
	}
	public, err := deviceKEM().NewPublicKey(head[1:])
	if err != nil {
		return nil, fmt.Errorf("offer: %w", ErrFormat)
	}
	return &Offer{string(plain[1 : 1+n]), public, bytes.Clone(head[1:]), secret{(*[keySize]byte)(key)}}, nil
}

// WrapDevice seals root to the terminal that made the offer.
func WrapDevice(root RootKey, account AccountID, o *Offer) (Wrap, error) {
	if !root.Valid() {
		return Wrap{}, fmt.Errorf("%w: no root key", ErrWrongKey)
	}
	w := newWrap(KindDevice, deviceRef(o.encoded), nil)
	sealed, err := hpke.Seal(o.public, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), w.aad(account), root.key[:])
	if err != nil {
		return Wrap{}, fmt.Errorf("device wrap: %w", err)
	}
	w.Data = append(sealed, answerMAC(o.secret, w.aad(account), sealed)...)
	return w, nil
}

// UnwrapDevice opens the wrap of a linked terminal. ErrWrongKey: it is another
// terminal's; ErrTampered: it was not made by a device that had the link.
func UnwrapDevice(w Wrap, account AccountID, k DeviceKey) (RootKey, error) {
	if err := w.check(KindDevice); err != nil {
		return RootKey{}, err
	}
	if w.Ref != deviceRef(k.private.PublicKey().Bytes()) {
		return RootKey{}, ErrWrongKey
	}
	sealed, tag := w.Data[:len(w.Data)-32], w.Data[len(w.Data)-32:]
	if !hmac.Equal(tag, answerMAC(k.secret, w.aad(account), sealed)) {
		return RootKey{}, fmt.Errorf("device wrap: %w", ErrTampered)
	}
	plain, err := hpke.Open(k.private, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), w.aad(account), sealed)
	if err != nil || len(plain) != keySize {
		return RootKey{}, fmt.Errorf("device wrap: %w", ErrTampered)
	}
	return rootFrom(plain)
}

// answerMAC proves that a wrap was made by somebody who had the link: HPKE's
// base mode alone lets anybody seal to a public key.
func answerMAC(link secret, aad, sealed []byte) []byte {
	return mac(expand(link.key[:], nil, "sotto/1 link answer", keySize), aad, sealed)
}

func deviceRef(public []byte) string {
	return hex.EncodeToString(hash("sotto/1 device\x00", string(public)))
}

// cutText shortens s to at most n bytes without splitting a character.
func cutText(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// IsOffer tells whether b has the form of an offer. It needs no key; the server
// calls it so that links store nothing else.
func IsOffer(b []byte) bool { return len(b) == offerSize && b[0] == 1 }
