// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package vault keeps a person's chats so that only the person's devices can
// read them. The account server stores what this package makes and can neither
// open it nor change it unnoticed. spec/vault.md is the law of all formats.
//
// # Keys
//
// Everything hangs on one random [RootKey]. It is never stored in the clear and
// never leaves a device; the server keeps sealed copies, each called a [Wrap]:
// one opened by a passkey ([WrapPasskey]), one by the [RecoveryKey] on paper
// ([WrapRecovery]), perhaps one by a passphrase ([WrapPassphrase]) and one for
// each linked terminal ([WrapDevice]). Two wraps is the least an account has,
// so that losing one device never loses the chats.
//
// # Records and the feed
//
// A chat is a tree of immutable messages and a handful of last-writer-wins
// registers (title, pin, folder, …). Each is a sealed record whose associated
// data says where it belongs ([Put]). The server puts records in a row, the
// feed, and chains their hashes ([Entry], [Head]); so a server that drops,
// swaps, reorders or rolls back records contradicts itself and is noticed.
//
// # The replica
//
// A device holds a [Replica]. It is fed pages of the feed with [Replica.Apply],
// makes records with [Replica.AddMessage], [Replica.SetRegister] and
// [Replica.DeleteChat], and answers the questions of a screen:
// [Replica.Chats], [Replica.Messages], [Replica.Search]. It does no I/O and
// runs in a browser: the caller fetches, posts and
// stores the (sealed) entries.
//
//	r := vault.NewReplica(root, account, device)
//	err := r.Load(storedEntries)                  // ciphertext kept on the device
//	err = r.Apply(page)                           // GET /api/v1/feed?since=r.Head().Seq
//	put, err := r.AddMessage(vault.Message{…})    // shown at once, acknowledged later
//	entries, err := r.Acked(puts, seqs, head)     // answer of POST /api/v1/feed
package vault

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

// Names of failures. Where a caller must tell them apart, it branches with
// errors.Is; the text of an error is for people.
var (
	// ErrFormat: the bytes are not of the form that spec/vault.md gives.
	ErrFormat = errors.New("vault: malformed data")
	// ErrTooLarge: a record would pass [MaxRecord].
	ErrTooLarge = errors.New("vault: record too large")
	// ErrWrongKey: this passkey, passphrase, recovery key or device does not
	// open the wrap (it is not a sign of tampering).
	ErrWrongKey = errors.New("vault: this key does not open the vault")
	// ErrTampered: sealed bytes or a hash are not what a device wrote.
	ErrTampered = errors.New("vault: data was changed by somebody without the key")
	// ErrSwapped: a record was moved from its place to another one.
	ErrSwapped = errors.New("vault: record is in the place of another record")
	// ErrForeign: a record or a wrap belongs to another account.
	ErrForeign = errors.New("vault: record belongs to another account")
	// ErrReplayed: a record stands a second time in the feed.
	ErrReplayed = errors.New("vault: record appears a second time")
	// ErrRollback: the server's feed is shorter than what it showed before.
	ErrRollback = errors.New("vault: the server went back to an older history")
	// ErrFork: the server's feed differs from what it showed before, or to
	// another device.
	ErrFork = errors.New("vault: the server shows different histories")
	// ErrHidden: the server keeps back an entry that exists.
	ErrHidden = errors.New("vault: the server hides a part of the history")
	// ErrOutOfOrder: the page starts beyond the replica's head. It is no sign of
	// an attack: fetch again from [Replica.Head].
	ErrOutOfOrder = errors.New("vault: page starts beyond what is known")
)

// keySize is the size of every symmetric key here, in bytes.
const keySize = 32

// hidden is what a secret prints as.
const hidden = "[secret]"

// secret holds 32 key bytes and hides them from every way of printing. Its
// holders embed it.
type secret struct{ key *[keySize]byte }

// String returns a fixed text instead of the secret.
func (secret) String() string { return hidden }

// GoString returns a fixed text instead of the secret.
func (secret) GoString() string { return hidden }

// Format prints a fixed text instead of the secret, whatever the verb.
func (secret) Format(f fmt.State, _ rune) { f.Write([]byte(hidden)) }

// MarshalJSON refuses: a secret is never part of a document.
func (secret) MarshalJSON() ([]byte, error) {
	return nil, errors.New("vault: a secret can't be written as JSON")
}

func newSecret() secret {
	s := secret{new([keySize]byte)}
	rand.Read(s.key[:]) // never fails: crypto/rand aborts the program instead
	return s
}

// RootKey is the one key of a vault: 32 random bytes from which all others
// derive. The zero value is not a key; copies share the same memory.
type RootKey struct{ secret }

// NewRootKey makes the key of a new vault.
func NewRootKey() RootKey { return RootKey{newSecret()} }

// Valid tells whether k holds a key, as the zero value and an erased one do not.
func (k RootKey) Valid() bool { return k.key != nil && *k.key != [keySize]byte{} }

// Erase overwrites the key in memory; k and all its copies are useless then.
func (k RootKey) Erase() {
	if k.key != nil {
		clear(k.key[:])
	}
}

// derive returns the 32-byte key for one purpose of one account: HKDF-SHA256
// (RFC 5869) with the account as salt and the purpose as info (spec: "Keys").
func (k RootKey) derive(account AccountID, purpose string) []byte {
	if !k.Valid() {
		panic("vault: internal error: root key is empty")
	}
	return expand(k.key[:], account[:], "sotto/1 vault "+purpose, keySize)
}

// expand is HKDF-SHA256. It fails only for lengths that we never ask for.
func expand(secret, salt []byte, info string, n int) []byte {
	out, err := hkdf.Key(sha256.New, secret, salt, info, n)
	if err != nil {
		panic("vault: internal error: " + err.Error())
	}
	return out
}

// AccountID names an account: 16 random bytes, written as 32 hex digits.
type AccountID [16]byte

// RecordID names a record within an account: 16 bytes, written as 32 hex
// digits. Random for messages; derived by HMAC for registers.
type RecordID [16]byte

// DeviceID tells the devices of one account apart: 8 random bytes that a device
// makes for itself and keeps. It breaks ties between registers.
type DeviceID [8]byte

// Hash is a SHA-256 hash, written as 64 hex digits.
type Hash [32]byte

// NewAccountID returns a random account id.
func NewAccountID() (id AccountID) { rand.Read(id[:]); return id }

// NewRecordID returns a random record id.
func NewRecordID() (id RecordID) { rand.Read(id[:]); return id }

// NewDeviceID returns a random device id.
func NewDeviceID() (id DeviceID) { rand.Read(id[:]); return id }

// NewID returns a random id as 32 hex digits, as [Message] and [Chat] use it.
func NewID() string { return NewRecordID().String() }

func (id AccountID) String() string { return hex.EncodeToString(id[:]) }
func (id RecordID) String() string  { return hex.EncodeToString(id[:]) }
func (id DeviceID) String() string  { return hex.EncodeToString(id[:]) }
func (h Hash) String() string       { return hex.EncodeToString(h[:]) }

// MarshalText writes lower-case hex digits.
func (id AccountID) MarshalText() ([]byte, error) { return appendHex(id[:]), nil }

// MarshalText writes lower-case hex digits.
func (id RecordID) MarshalText() ([]byte, error) { return appendHex(id[:]), nil }

// MarshalText writes lower-case hex digits.
func (id DeviceID) MarshalText() ([]byte, error) { return appendHex(id[:]), nil }

// MarshalText writes lower-case hex digits.
func (h Hash) MarshalText() ([]byte, error) { return appendHex(h[:]), nil }

// UnmarshalText takes exactly 32 lower-case hex digits.
func (id *AccountID) UnmarshalText(b []byte) error { return parseHex(id[:], b) }

// UnmarshalText takes exactly 32 lower-case hex digits.
func (id *RecordID) UnmarshalText(b []byte) error { return parseHex(id[:], b) }

// UnmarshalText takes exactly 16 lower-case hex digits.
func (id *DeviceID) UnmarshalText(b []byte) error { return parseHex(id[:], b) }

// UnmarshalText takes exactly 64 lower-case hex digits.
func (h *Hash) UnmarshalText(b []byte) error { return parseHex(h[:], b) }

// ParseRecordID reads 32 lower-case hex digits.
func ParseRecordID(s string) (id RecordID, err error) { return id, parseHex(id[:], []byte(s)) }

func appendHex(b []byte) []byte { return hex.AppendEncode(nil, b) }

// parseHex fills dst from hex digits. Upper case is refused: one id has one
// spelling.
func parseHex(dst, src []byte) error {
	if len(src) != 2*len(dst) {
		return fmt.Errorf("%w: %d hex digits, want %d", ErrFormat, len(src), 2*len(dst))
	}
	for _, c := range src {
		if c >= 'A' && c <= 'F' {
			return fmt.Errorf("%w: upper-case hex digit", ErrFormat)
		}
	}
	if _, err := hex.Decode(dst, src); err != nil {
		return fmt.Errorf("%w: not hex digits", ErrFormat)
	}
	return nil
}
