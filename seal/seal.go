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
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/sotto-chat/sotto/seal/envelope"
)

// MaxRequest is the size of the longest plaintext of a request.
const MaxRequest = envelope.MaxSize - lengthSize

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

// hidden, embedded, keeps a type's contents out of formatted output, logs and
// JSON, whichever verb or handler is used.
type hidden struct{}

const hiddenText = "[secret]"

// Format writes a placeholder in place of the secret, for every verb.
func (hidden) Format(s fmt.State, _ rune) { io.WriteString(s, hiddenText) }

// String returns a placeholder in place of the secret.
func (hidden) String() string { return hiddenText }

// GoString returns a placeholder in place of the secret.
func (hidden) GoString() string { return hiddenText }

// MarshalJSON returns a placeholder in place of the secret.
func (hidden) MarshalJSON() ([]byte, error) { return []byte(`"` + hiddenText + `"`), nil }

// readError names an error of the underlying reader: an end where bytes were
// still due is a truncation, all else is the caller's own.
func readError(what string, err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = ErrTruncated
	}
	return fmt.Errorf("seal: %s: %w", what, err)
}

// zeros is what padding is compared with and copied from.
var zeros [envelope.ChunkSize]byte
