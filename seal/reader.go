// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package seal

import (
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/sotto-chat/sotto/seal/internal/core"
)

// AnswerReader reads the content of one answer, as an [io.Reader]. It is
// secret, and not safe for concurrent use; to interrupt it, close what it
// reads from.
//
// All that it returns is authentic and in order. Only io.EOF says that it is
// also complete.
type AnswerReader struct {
	hidden
	r       io.Reader
	aead    cipher.AEAD
	header  core.AnswerHeader
	resumed bool
	nonce   [chacha20poly1305.NonceSize]byte
	record  []byte // one record, opened in place
	unread  []byte // the rest of its data
	next    uint64
	ended   bool
	limit   uint64 // once ended: how many records there can be
	final   bool
	err     error // sticky
}

// Header returns the answer's header, by which it can be resumed. The slice is
// the caller's.
func (a *AnswerReader) Header() []byte { return append([]byte(nil), a.header[:]...) }

// Class returns the answer's class.
func (a *AnswerReader) Class() Class { return Class(a.header[1]) }

// Recipient returns which of the request's recipients answers. It is true once
// Read has returned data or io.EOF: the other recipients cannot make a record
// in its name.
func (a *AnswerReader) Recipient() int { return int(a.header[2]) }

// Resumed reports whether this is the answer that was to be resumed, and not
// another one in its place.
func (a *AnswerReader) Resumed() bool { return a.resumed }

// Next returns the number of the next record: where to resume. Once Read has
// returned an error, all data of the records before it has been returned.
func (a *AnswerReader) Next() uint64 { return a.next }

// Read returns data of the next record that has any, as soon as that record
// is there; it never waits for the one after it. It returns io.EOF at the end
// of the content, which is marked by the node; the padding that follows is
// left to [AnswerReader.Drain].
//
// An answer that is cut off gives ErrTruncated, or the error of the underlying
// reader, and can be resumed; after any other error it must not be.
func (a *AnswerReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(a.unread) == 0 {
		if a.ended {
			return 0, io.EOF
		}
		if err := a.readRecord(); err != nil {
			return 0, err
		}
	}
	n := copy(p, a.unread)
	a.unread = a.unread[n:]
	return n, nil
}

// Drain reads the padding records up to the final one, and checks that nothing
// follows it. Content that was not read is lost. A reader that was resumed at
// the end of its answer has nothing more to drain.
func (a *AnswerReader) Drain() error {
	for !a.final {
		if err := a.readRecord(); err != nil {
			return err
		}
	}
	a.unread = nil
	if a.err == nil {
		a.err = io.EOF
		if err := core.ExpectEnd(a.r); err != nil {
			a.err = fmt.Errorf("seal: answer: %w", err)
		}
	}
	if a.err == io.EOF {
		return nil
	}
	return a.err
}

// readRecord reads, opens and checks the next record.
func (a *AnswerReader) readRecord() error {
	if a.err == nil {
		a.err = a.openNext()
	}
	return a.err
}

func (a *AnswerReader) openNext() error {
	if a.next == math.MaxUint64 {
		return fmt.Errorf("seal: answer: %w: record number out of range", ErrFormat)
	}
	if a.ended && a.next >= a.limit {
		return fmt.Errorf("seal: answer: %w: too much padding", ErrFormat)
	}
	if _, err := io.ReadFull(a.r, a.record); err != nil {
		return core.ReadError("answer", err)
	}
	binary.BigEndian.PutUint64(a.nonce[3:11], a.next)
	plaintext, err := a.aead.Open(a.record[:0], a.nonce[:], a.record, nil)
	if err != nil {
		return fmt.Errorf("seal: answer: %w: record %d", ErrAuthentication, a.next)
	}
	head := binary.BigEndian.Uint16(plaintext)
	n, end, final := int(head&core.LengthMask), head&core.FlagEnd != 0, head&core.FlagFinal != 0
	data := plaintext[core.HeadSize:]
	switch {
	case n > len(data):
		return fmt.Errorf("seal: answer: %w: length %d in record %d", ErrFormat, n, a.next)
	case final && !end:
		return fmt.Errorf("seal: answer: %w: final record %d before the end of content", ErrFormat, a.next)
	case a.ended && (n > 0 || !end):
		return fmt.Errorf("seal: answer: %w: content after its end in record %d", ErrFormat, a.next)
	case !core.AllZero(data[n:]):
		return fmt.Errorf("seal: answer: %w: record %d", ErrPadding, a.next)
	}
	a.next++
	if end && !a.ended {
		a.limit = tailLimit(a.next)
	}
	a.unread, a.ended, a.final = data[:n], end, final
	return nil
}

// tailLimit is TailRecords for any record number.
func tailLimit(n uint64) uint64 {
	if n > math.MaxInt32/4 {
		return math.MaxUint64 // more than 10^12 bytes: no padding to speak of
	}
	return uint64(TailRecords(int(n)))
}
