// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package core

import (
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// Class is the shape of an answer.
type Class byte

const (
	// ClassStream is for text that comes word by word: records of 1,024
	// bytes, sent one per tick.
	ClassStream Class = 1
	// ClassBulk is for everything else: records of 16,384 bytes, sent as
	// fast as they can be.
	ClassBulk Class = 2
)

// String returns the class's name in the spec.
func (c Class) String() string {
	switch c {
	case ClassStream:
		return "stream"
	case ClassBulk:
		return "bulk"
	}
	return fmt.Sprintf("Class(%d)", byte(c))
}

// Record returns the size of each record on the wire, 0 for a class that
// does not exist.
func (c Class) Record() int {
	switch c {
	case ClassStream:
		return 1 << 10
	case ClassBulk:
		return 16 << 10
	}
	return 0
}

const (
	AnswerVersion   = 1
	answerNonceSize = 32
	// AnswerHeaderSize is the size of an answer's header.
	AnswerHeaderSize = 3 + answerNonceSize

	// A record's plaintext starts with two flags and the length of its data.
	HeadSize   = 2
	FlagEnd    = 1 << 15 // the content ends with this record's data, or has
	FlagFinal  = 1 << 14 // no record follows
	LengthMask = FlagFinal - 1
)

type AnswerHeader = [AnswerHeaderSize]byte

// AnswerSealer makes the records of one answer. It is secret, and not safe
// for concurrent use.
type AnswerSealer struct {
	Hidden
	aead   cipher.AEAD
	header AnswerHeader
	nonce  [chacha20poly1305.NonceSize]byte
	next   uint64
	ended  bool
	final  bool
}

// NewAnswer starts an answer to the request. Each answer has its own random
// nonce and so its own key: a request can be answered more than once, as for
// a resumption that finds nothing.
func (o *Opened) NewAnswer(class Class) (*AnswerSealer, error) {
	if class.Record() == 0 {
		return nil, fmt.Errorf("seal: no answer class %d", class)
	}
	a := new(AnswerSealer)
	a.header[0] = AnswerVersion
	a.header[1] = byte(class)
	a.header[2] = byte(o.Recipient)
	rand.Read(a.header[3:]) // never fails
	a.aead = AnswerCipher(&o.secret, o.ID, &a.header)
	return a, nil
}

// AnswerCipher derives the key of an answer. The request's header, the class,
// the recipient's place and the nonce are all bound by it.
func AnswerCipher(secret *[KeySize]byte, id [sha256.Size]byte, header *AnswerHeader) cipher.AEAD {
	info := make([]byte, 0, len(LabelAnswer)+len(id)+len(header))
	info = append(info, LabelAnswer...)
	info = append(info, id[:]...)
	info = append(info, header[:]...)
	return NewCipher(secret[:], header[3:], string(info))
}

// Header returns the AnswerHeaderSize bytes that go before the first record.
// The slice is the caller's.
func (a *AnswerSealer) Header() []byte { return append([]byte(nil), a.header[:]...) }

// Class returns the answer's class.
func (a *AnswerSealer) Class() Class { return Class(a.header[1]) }

// RecordSize returns the size of each record on the wire.
func (a *AnswerSealer) RecordSize() int { return a.Class().Record() }

// Capacity returns how many bytes of data one record takes.
func (a *AnswerSealer) Capacity() int { return a.RecordSize() - TagSize - HeadSize }

// Next returns the number of the record that AppendRecord makes next.
func (a *AnswerSealer) Next() uint64 { return a.next }

// AppendRecord seals data, of at most Capacity bytes and possibly none, and
// appends the record, of exactly RecordSize bytes, to dst. It allocates only if
// dst lacks the room. data may not overlap dst's free part.
//
// endOfContent says that the content ends with this data; records that follow
// carry none and say the same. final says that no record follows, and implies
// endOfContent. Data after the end, a record after the final one and more data
// than fits are the caller's mistakes: AppendRecord panics.
func (a *AnswerSealer) AppendRecord(dst, data []byte, endOfContent, final bool) []byte {
	switch {
	case a.final:
		panic("seal: record after the final one")
	case len(data) > a.Capacity():
		panic("seal: too much data for a record")
	case a.ended && len(data) > 0:
		panic("seal: data after the end of content")
	}
	a.final = final
	a.ended = a.ended || endOfContent || final
	head := uint16(len(data))
	if a.ended {
		head |= FlagEnd
	}
	if a.final {
		head |= FlagFinal
	}

	start := len(dst)
	dst = binary.BigEndian.AppendUint16(dst, head)
	dst = append(dst, data...)
	dst = append(dst, Zeros[:a.Capacity()-len(data)]...)
	binary.BigEndian.PutUint64(a.nonce[3:11], a.next)
	a.next++
	return a.aead.Seal(dst[:start], a.nonce[:], dst[start:], nil)
}

// MinTail is the shortest answer: a refusal looks like a short answer, and most
// answers like each other.
const MinTail = 128

// TailRecords returns the number of records that an answer is padded to whose
// content took n: the least of 128, 512, 2,048 and so on, four times as many at
// each step. A reader refuses an answer that goes on for longer than that. How
// coarse it is was measured: docs/performance.md, "Shape of traffic".
func TailRecords(n int) int {
	t := MinTail
	for t < n {
		t *= 4
	}
	return t
}
