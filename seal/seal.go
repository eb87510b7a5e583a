// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package seal is the channel between a person's device and the machine that
// answers. What goes through it can be opened by those two and nobody between
// them. spec/seal.md is the law; this package follows its sections.
//
// The device calls [SealRequest] with the keys of a few verified nodes and
// gets a message, which any of them can open, and an [Exchange], with which
// alone the answer can be opened:
//
//	msg, ex, err := seal.SealRequest(recipients, plaintext)
//	// post msg, get the answer's bytes as r
//	answer, err := ex.OpenAnswer(r)
//	io.Copy(w, answer) // each record as soon as it is there
//	answer.Drain()     // the padding after the content, and the final mark
//
// The node makes a key with [GenerateKey], calls [OpenRequest], refuses an
// Opened.ID that it has seen, and answers with [Opened.NewAnswer]:
//
//	o, err := seal.OpenRequest(r, lookup)
//	a, err := o.NewAnswer(seal.ClassStream)
//	w.Write(a.Header())
//	buf = a.AppendRecord(buf[:0], data, false, false) // once per tick
//
// What the machine needs of this is package machine, where the same has the same
// names: a machine doesn't link the device's half.
//
// The plaintexts are binary HTTP messages (package bhttp), but nothing here
// depends on that. The header of a request can be read without any key: that
// is package envelope, the only part that a gateway needs.
//
// # What the bytes show
//
// To whoever carries them: the key ids, the request's padded size, the class
// of the answer, how many records it has, and when they come. The padding
// rules make these coarse; keeping the ticks even is the node's part.
//
// # Errors
//
// Errors wrap one of the Err variables, by the names of spec/seal.md. An error
// of the underlying reader other than io.EOF is wrapped as it is.
package seal

import (
	"io"

	"github.com/sotto-chat/sotto/seal/internal/core"
)

// MaxRequest is the size of the longest plaintext of a request.
const MaxRequest = core.MaxRequest

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

// What the two halves have in common, and the machine's half: see package machine,
// which has no more than that.
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

// hidden, embedded, keeps a type's contents out of formatted output.
type hidden = core.Hidden
