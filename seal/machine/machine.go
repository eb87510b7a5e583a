// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package machine is the half of package seal that runs in the machine which
// answers: it opens requests and seals answers. The same is in package seal under
// the same names, with the device's half beside it; a machine links this one, so
// that there is less of it to read.
package machine

import (
	"io"

	"github.com/sotto-chat/sotto/seal/internal/core"
)

// The names of spec/seal.md, "Failures".
var (
	// ErrTruncated means that the bytes ended before the final chunk or
	// record. An answer that was cut off can be resumed.
	ErrTruncated = core.ErrTruncated
	// ErrVersion means a version or suite that this code does not know.
	ErrVersion = core.ErrVersion
	// ErrFormat means bytes that no correct sender makes: a count out of
	// range, data after the end, a wrong flag.
	ErrFormat = core.ErrFormat
	// ErrPadding means padding that is not zero or not of the right size.
	ErrPadding = core.ErrPadding
	// ErrTooLarge means that a length is above its limit.
	ErrTooLarge = core.ErrTooLarge
	// ErrUnknownKey means that a request is addressed to none of the keys.
	ErrUnknownKey = core.ErrUnknownKey
	// ErrExpired means that the key has been erased.
	ErrExpired = core.ErrExpired
	// ErrAuthentication means that bytes were changed, reordered, replayed
	// or belong to something else: the tag is wrong.
	ErrAuthentication = core.ErrAuthentication
)

type (
	// KeyID names a node key: the start of the hash of its key config.
	KeyID = core.KeyID
	// Recipient is a node key that a request is sealed to. Only a key that came
	// out of verification belongs here.
	Recipient = core.Recipient
	// Class is the shape of an answer.
	Class = core.Class
	// PrivateKey is a node's key.
	PrivateKey = core.PrivateKey
	// Opened is a request that was opened.
	Opened = core.Opened
	// AnswerSealer makes the records of one answer.
	AnswerSealer = core.AnswerSealer
)

// The classes, and sizes in bytes.
const (
	ClassStream      = core.ClassStream
	ClassBulk        = core.ClassBulk
	AnswerHeaderSize = core.AnswerHeaderSize
	SeedSize         = core.SeedSize
	PublicKeySize    = core.PublicKeySize
)

// GenerateKey returns a new random key of a node.
func GenerateKey() (*PrivateKey, error) { return core.GenerateKey() }

// NewPrivateKey returns the key of a seed of SeedSize bytes.
func NewPrivateKey(seed []byte) (*PrivateKey, error) { return core.NewPrivateKey(seed) }

// OpenRequest reads one sealed request from r, up to its end, and opens it with
// the first of its keys that lookup knows.
func OpenRequest(r io.Reader, lookup func(KeyID) *PrivateKey) (*Opened, error) {
	return core.OpenRequest(r, lookup)
}

// TailRecords returns the number of records that an answer is padded to whose
// content took n.
func TailRecords(n int) int { return core.TailRecords(n) }
