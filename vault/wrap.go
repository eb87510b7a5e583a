// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"bytes"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/chacha20poly1305"
)

// The kinds of a [Wrap].
const (
	KindPasskey    = "passkey"    // Ref: credential id, base64url
	KindRecovery   = "recovery"   // Ref: recovery id, hex
	KindPassphrase = "passphrase" // Ref: empty
	KindDevice     = "device"     // Ref: hash of the device's public key, hex
)

// PRFInput is what a page gives the passkey's PRF extension as eval.first:
// SHA-256("sotto/1 vault prf"), 32 bytes. The PRF output is a secret that opens
// the vault and must never leave the page.
func PRFInput() []byte { return hash("sotto/1 vault prf") }

// Wrap is a sealed copy of the root key, in the JSON form in which the account
// server keeps it. Nothing in it opens without its secret.
type Wrap struct {
	// ID is random and names the wrap within its account.
	ID RecordID `json:"id"`
	// Kind is one of the Kind constants.
	Kind string `json:"kind"`
	// Ref says which passkey, recovery key or device opens it.
	Ref string `json:"ref,omitempty"`
	// Params belong to the kind: [PassphraseParams] for a passphrase,
	// [RecoveryParams] for a recovery key, absent otherwise.
	Params json.RawMessage `json:"params,omitempty"`
	// Data is the sealed root key: 112 bytes, or 1,200 for a device.
	Data []byte `json:"data"`
}

// PassphraseParams say how a passphrase is stretched with Argon2id (RFC 9106).
// They travel with the wrap, so that later wraps may ask for more work; a reader
// refuses what would not protect or what would freeze it (see [UnwrapPassphrase]).
type PassphraseParams struct {
	Memory  uint32 `json:"memory"`  // KiB, 19,456 to 1,048,576
	Time    uint32 `json:"time"`    // passes, 1 to 16
	Threads uint8  `json:"threads"` // lanes, 1 to 4
	Salt    []byte `json:"salt"`    // 16 bytes
}

// RecoveryParams carry what lets the recovery key sign in.
type RecoveryParams struct {
	// SignInKey is the Ed25519 public key of [RecoveryKey.SigningKey], 32 bytes.
	SignInKey []byte `json:"sign_in_key"`
}

const (
	wrapSize       = 32 + 32 + keySize + chacha20poly1305.Overhead // salt, commitment, sealed key
	maxWrapRef     = 1366                                          // base64url of a 1,023-byte credential id, the most WebAuthn allows
	maxWrapParams  = 512
	maxWrapJSON    = 8 << 10
	minPassphrase  = 8
	maxPassphrase  = 1024
	argonSaltSize  = 16
	argonMinMemory = 19 << 10
	argonMaxMemory = 1 << 20
	argonMaxTime   = 16
	argonMaxLanes  = 4
)

// WrapPasskey seals root under a passkey's PRF output, which must be 32 bytes,
// the output for [PRFInput]. The credential id becomes the wrap's Ref.
func WrapPasskey(root RootKey, account AccountID, credentialID, prf []byte) (Wrap, error) {
	if len(credentialID) == 0 || len(credentialID) > 1023 {
		return Wrap{}, fmt.Errorf("%w: credential id of %d bytes", ErrFormat, len(credentialID))
	}
	if len(prf) != 32 {
		return Wrap{}, fmt.Errorf("%w: prf output of %d bytes, want 32", ErrFormat, len(prf))
	}
	w := newWrap(KindPasskey, base64.RawURLEncoding.EncodeToString(credentialID), nil)
	return w, w.seal(root, account, prf)
}

// UnwrapPasskey opens a passkey wrap with the PRF output of its passkey.
func UnwrapPasskey(w Wrap, account AccountID, prf []byte) (RootKey, error) {
	if len(prf) != 32 {
		return RootKey{}, fmt.Errorf("%w: prf output of %d bytes, want 32", ErrFormat, len(prf))
	}
	if err := w.check(KindPasskey); err != nil {
		return RootKey{}, err
	}
	return w.open(account, prf)
}

// WrapPassphrase seals root under a passphrase of at least 8 bytes with
// Argon2id at 64 MiB, 3 passes, 1 lane. It takes about a fifth of a second
// natively and one or two in a browser.
func WrapPassphrase(root RootKey, account AccountID, passphrase string) (Wrap, error) {
	p := PassphraseParams{Memory: 64 << 10, Time: 3, Threads: 1, Salt: make([]byte, argonSaltSize)}
	rand.Read(p.Salt)
	return wrapPassphrase(root, account, passphrase, p)
}

func wrapPassphrase(root RootKey, account AccountID, passphrase string, p PassphraseParams) (Wrap, error) {
	if len(passphrase) < minPassphrase || len(passphrase) > maxPassphrase {
		return Wrap{}, fmt.Errorf("%w: passphrase of %d bytes, want %d to %d", ErrFormat, len(passphrase), minPassphrase, maxPassphrase)
	}
	params, err := json.Marshal(p)
	if err != nil {
		return Wrap{}, err
	}
	w := newWrap(KindPassphrase, "", params)
	stretched := argon2.IDKey([]byte(passphrase), p.Salt, p.Time, p.Memory, p.Threads, keySize)
	return w, w.seal(root, account, stretched)
}

// UnwrapPassphrase opens a passphrase wrap. The server could have put any
// parameters into it, so they are bounded first: ErrFormat when out of range,
// ErrWrongKey for a wrong passphrase.
func UnwrapPassphrase(w Wrap, account AccountID, passphrase string) (RootKey, error) {
	if err := w.check(KindPassphrase); err != nil {
		return RootKey{}, err
	}
	if len(passphrase) < minPassphrase || len(passphrase) > maxPassphrase {
		return RootKey{}, ErrWrongKey // never a passphrase of ours: no need to stretch it
	}
	p, err := parsePassphraseParams(w.Params)
	if err != nil {
		return RootKey{}, err
	}
	return w.open(account, argon2.IDKey([]byte(passphrase), p.Salt, p.Time, p.Memory, p.Threads, keySize))
}

func parsePassphraseParams(b []byte) (p PassphraseParams, err error) {
	if err := decodeCanonical(b, &p); err != nil {
		return p, fmt.Errorf("passphrase parameters: %w", err)
	}
	if p.Memory < argonMinMemory || p.Memory > argonMaxMemory || p.Time < 1 || p.Time > argonMaxTime ||
		p.Threads < 1 || p.Threads > argonMaxLanes || len(p.Salt) != argonSaltSize {
		return p, fmt.Errorf("%w: passphrase parameters out of range", ErrFormat)
	}
	return p, nil
}

// WrapRecovery seals root under the recovery key and names the key's sign-in
// half in the wrap, so that the account can be entered with it.
func WrapRecovery(root RootKey, account AccountID, k RecoveryKey) (Wrap, error) {
	params, err := json.Marshal(RecoveryParams{SignInKey: k.signInKey()})
	if err != nil {
		return Wrap{}, err
	}
	w := newWrap(KindRecovery, k.ID().String(), params)
	return w, w.seal(root, account, k.wrapKey())
}

// UnwrapRecovery opens a recovery wrap.
func UnwrapRecovery(w Wrap, account AccountID, k RecoveryKey) (RootKey, error) {
	if err := w.check(KindRecovery); err != nil {
		return RootKey{}, err
	}
	if w.Ref != k.ID().String() {
		return RootKey{}, ErrWrongKey
	}
	return w.open(account, k.wrapKey())
}

// ParseWrap reads the JSON form and checks all that can be checked without a
// secret: known kind, sizes, parameters in range, no unknown fields, canonical
// spelling. The server calls it too.
func ParseWrap(b []byte) (Wrap, error) {
	if len(b) > maxWrapJSON {
		return Wrap{}, fmt.Errorf("%w: wrap of %d bytes", ErrFormat, len(b))
	}
	var w Wrap
	if err := decodeCanonical(b, &w); err != nil {
		return Wrap{}, fmt.Errorf("wrap: %w", err)
	}
	return w, w.Check()
}

// Check is the part of [ParseWrap] that follows decoding.
func (w Wrap) Check() error { return w.check(w.Kind) }

func (w Wrap) check(kind string) error {
	if w.Kind != kind {
		return fmt.Errorf("%w: wrap of kind %q, want %q", ErrFormat, w.Kind, kind)
	}
	if len(w.Ref) > maxWrapRef || len(w.Params) > maxWrapParams {
		return fmt.Errorf("%w: wrap ref or parameters too long", ErrFormat)
	}
	size := wrapSize
	switch kind {
	case KindPasskey:
		id, err := base64.RawURLEncoding.Strict().DecodeString(w.Ref)
		if err != nil || len(id) == 0 || len(w.Params) != 0 {
			return fmt.Errorf("%w: passkey wrap", ErrFormat)
		}
	case KindRecovery:
		_, err := ParseRecordID(w.Ref)
		if err != nil {
			return fmt.Errorf("recovery wrap: %w", err)
		}
		if _, err := w.RecoverySignInKey(); err != nil {
			return err
		}
	case KindPassphrase:
		if w.Ref != "" {
			return fmt.Errorf("%w: passphrase wrap with a ref", ErrFormat)
		}
		if _, err := parsePassphraseParams(w.Params); err != nil {
			return err
		}
	case KindDevice:
		var ref Hash
		if err := parseHex(ref[:], []byte(w.Ref)); err != nil || len(w.Params) != 0 {
			return fmt.Errorf("%w: device wrap", ErrFormat)
		}
		size = deviceWrapSize
	default:
		return fmt.Errorf("%w: unknown kind of wrap", ErrFormat)
	}
	if len(w.Data) != size {
		return fmt.Errorf("%w: %s wrap of %d bytes, want %d", ErrFormat, kind, len(w.Data), size)
	}
	return nil
}

// RecoverySignInKey returns the Ed25519 public key of a recovery wrap.
func (w Wrap) RecoverySignInKey() ([]byte, error) {
	var p RecoveryParams
	if err := decodeCanonical(w.Params, &p); err != nil {
		return nil, fmt.Errorf("recovery parameters: %w", err)
	}
	if len(p.SignInKey) != 32 {
		return nil, fmt.Errorf("%w: sign-in key of %d bytes", ErrFormat, len(p.SignInKey))
	}
	return p.SignInKey, nil
}

func newWrap(kind, ref string, params []byte) Wrap {
	return Wrap{ID: NewRecordID(), Kind: kind, Ref: ref, Params: params}
}

// aad binds a wrap to its account and to all that is said about it in the clear
// (spec: "Wraps").
func (w Wrap) aad(account AccountID) []byte {
	b := []byte("sotto/1 wrap\x00")
	b = append(b, account[:]...)
	b = append(b, w.ID[:]...)
	for _, field := range [][]byte{[]byte(w.Kind), []byte(w.Ref), w.Params} {
		b = append(b, byte(len(field)>>8), byte(len(field)))
		b = append(b, field...)
	}
	return b
}

// wrapKeys derives the AEAD key and the commitment from a wrap's secret and
// salt. The commitment lets a wrong secret be told from changed data, and keeps
// a server from making one wrap that opens under several passphrases.
func (w Wrap) wrapKeys(secret, salt []byte) (key, commitment []byte) {
	out := expand(secret, salt, "sotto/1 wrap "+w.Kind, 64)
	return out[:32], out[32:]
}

func (w *Wrap) seal(root RootKey, account AccountID, secret []byte) error {
	if !root.Valid() {
		return fmt.Errorf("%w: no root key", ErrWrongKey)
	}
	salt := make([]byte, 32)
	rand.Read(salt)
	w.Data = w.sealWith(root, account, secret, salt)
	return nil
}

func (w *Wrap) sealWith(root RootKey, account AccountID, secret, salt []byte) []byte {
	key, commitment := w.wrapKeys(secret, salt)
	data := append(append(make([]byte, 0, wrapSize), salt...), commitment...)
	// The key is used once, thanks to the fresh salt, so the nonce is zero.
	return aead(key).Seal(data, make([]byte, chacha20poly1305.NonceSize), root.key[:], w.aad(account))
}

func (w Wrap) open(account AccountID, secret []byte) (RootKey, error) {
	salt, commitment, sealed := w.Data[:32], w.Data[32:64], w.Data[64:]
	key, want := w.wrapKeys(secret, salt)
	if subtle.ConstantTimeCompare(commitment, want) != 1 {
		return RootKey{}, ErrWrongKey
	}
	plain, err := aead(key).Open(nil, make([]byte, chacha20poly1305.NonceSize), sealed, w.aad(account))
	if err != nil {
		return RootKey{}, fmt.Errorf("wrap: %w", ErrTampered)
	}
	return rootFrom(plain)
}

func rootFrom(plain []byte) (RootKey, error) {
	root := RootKey{secret{(*[keySize]byte)(plain)}}
	if !root.Valid() {
		return RootKey{}, fmt.Errorf("%w: empty root key", ErrTampered)
	}
	return root, nil
}

// decodeCanonical decodes JSON that must be spelled exactly as we would spell
// it: no unknown or repeated fields, no white space, nothing after it.
func decodeCanonical(b []byte, v any) error {
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%w: not JSON of this form", ErrFormat)
	}
	again, err := json.Marshal(v)
	if err != nil || !bytes.Equal(again, b) {
		return fmt.Errorf("%w: JSON is not in canonical form", ErrFormat)
	}
	return nil
}
