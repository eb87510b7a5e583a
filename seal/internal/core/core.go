// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package core is what package seal and package machine have in common, and all
// of the machine's half of the channel: what opens a request and seals its answer.
// The device's half is package seal, which a machine doesn't link.
package core

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/sotto-chat/sotto/seal/envelope"
)

// MaxRequest is the size of the longest plaintext of a request.
const MaxRequest = envelope.MaxSize - LengthSize

var (
	// ErrTruncated means that the bytes ended before the final chunk or
	// record. An answer that was cut off can be resumed.
	ErrTruncated = envelope.ErrTruncated
	// ErrVersion means a version or suite that this code does not know.
	ErrVersion = envelope.ErrVersion
	// ErrFormat means bytes that no correct sender makes: a count out of
	// range, data after the end, a wrong flag.
	ErrFormat = envelope.ErrFormat
	// ErrPadding means padding that is not zero or not of the right size.
	ErrPadding = errors.New("wrong padding")
	// ErrTooLarge means that a length is above its limit.
	ErrTooLarge = envelope.ErrTooLarge
	// ErrUnknownKey means that a request is addressed to none of the keys.
	ErrUnknownKey = errors.New("sealed to no key of this node")
	// ErrExpired means that the key has been erased.
	ErrExpired = errors.New("key erased")
	// ErrAuthentication means that bytes were changed, reordered, replayed
	// or belong to something else: the tag is wrong.
	ErrAuthentication = errors.New("authentication failed")
)

// KeyID names a node key: the start of the hash of its key config.
type KeyID [envelope.KeyIDSize]byte

// String returns the id in lower-case hexadecimal.
func (id KeyID) String() string { return hex.EncodeToString(id[:]) }

// Hidden, embedded, keeps a type's contents out of formatted output, logs and
// JSON, whichever verb or handler is used.
type Hidden struct{}

const HiddenText = "[secret]"

// Format writes a placeholder in place of the secret, for every verb.
func (Hidden) Format(s fmt.State, _ rune) { io.WriteString(s, HiddenText) }

// String returns a placeholder in place of the secret.
func (Hidden) String() string { return HiddenText }

// GoString returns a placeholder in place of the secret.
func (Hidden) GoString() string { return HiddenText }

// MarshalJSON returns a placeholder in place of the secret.
func (Hidden) MarshalJSON() ([]byte, error) { return []byte(`"` + HiddenText + `"`), nil }

// ReadError names an error of the underlying reader: an end where bytes were
// still due is a truncation, all else is the caller's own.
func ReadError(what string, err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = ErrTruncated
	}
	return fmt.Errorf("seal: %s: %w", what, err)
}

// Zeros is what padding is compared with and copied from.
var Zeros [envelope.ChunkSize]byte
