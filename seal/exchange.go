// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package seal

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/sotto-chat/sotto/seal/envelope"
	"github.com/sotto-chat/sotto/seal/internal/core"
)

// Exchange is the client's half of one request: what it takes to open the
// answer, and nothing else. It is secret: whoever has it can read the answer,
// but not the request.
type Exchange struct {
	hidden
	id      [sha256.Size]byte
	secrets [][core.KeySize]byte // by recipient
}

// ID returns the SHA-256 of the request's header, the same as Opened.ID.
func (ex *Exchange) ID() [sha256.Size]byte { return ex.id }

const exchangeVersion = 1

// MarshalBinary returns the exchange's secrets in the clear, so that an answer
// can be resumed after a reload. The caller seals them before they are stored.
//
// The form is spec/seal.md, "Stored exchange": version u8 = 1 ‖ count u8 ‖
// id [32] ‖ count × answer secret [32].
func (ex *Exchange) MarshalBinary() ([]byte, error) {
	if len(ex.secrets) == 0 {
		return nil, errors.New("seal: empty exchange")
	}
	b := make([]byte, 0, 2+len(ex.id)+len(ex.secrets)*core.KeySize)
	b = append(b, exchangeVersion, byte(len(ex.secrets)))
	b = append(b, ex.id[:]...)
	for i := range ex.secrets {
		b = append(b, ex.secrets[i][:]...)
	}
	return b, nil
}

// UnmarshalExchange reads what [Exchange.MarshalBinary] returned. Errors wrap
// ErrVersion, ErrTruncated or ErrFormat.
func UnmarshalExchange(b []byte) (*Exchange, error) {
	const fixed = 2 + sha256.Size
	if len(b) < 1 {
		return nil, fmt.Errorf("seal: exchange: %w", ErrTruncated)
	}
	if b[0] != exchangeVersion {
		return nil, fmt.Errorf("seal: exchange: %w: %d", ErrVersion, b[0])
	}
	if len(b) < fixed {
		return nil, fmt.Errorf("seal: exchange: %w", ErrTruncated)
	}
	count := int(b[1])
	if count < 1 || count > envelope.MaxRecipients {
		return nil, fmt.Errorf("seal: exchange: %w: %d recipients", ErrFormat, count)
	}
	switch want := fixed + count*core.KeySize; {
	case len(b) < want:
		return nil, fmt.Errorf("seal: exchange: %w", ErrTruncated)
	case len(b) > want:
		return nil, fmt.Errorf("seal: exchange: %w: bytes after the end", ErrFormat)
	}
	ex := &Exchange{secrets: make([][core.KeySize]byte, count)}
	copy(ex.id[:], b[2:])
	for i := range ex.secrets {
		copy(ex.secrets[i][:], b[fixed+i*core.KeySize:])
	}
	return ex, nil
}

// Erase zeroes the exchange, which opens nothing afterwards. Readers that it
// made go on.
func (ex *Exchange) Erase() {
	clear(ex.secrets)
	ex.secrets = nil
}

// OpenAnswer reads and checks the header of an answer and returns a reader of
// its content. It waits for no more than the header.
func (ex *Exchange) OpenAnswer(r io.Reader) (*AnswerReader, error) {
	return ex.openAnswer(r, nil, 0)
}

// ResumeAnswer goes on reading an answer whose header is header (from
// [AnswerReader.Header]) at record next (from [AnswerReader.Next]). The node
// sends the very same header again, then the records from next on.
//
// If r starts with another header, it is another answer: that of the request
// which asked for the resumption, as a rule, which says why there is nothing to
// resume. Then Resumed of the returned reader is false, and whoever holds the
// other request's exchange opens it from the start with
//
//	other.OpenAnswer(io.MultiReader(bytes.NewReader(a.Header()), r))
func (ex *Exchange) ResumeAnswer(r io.Reader, header []byte, next uint64) (*AnswerReader, error) {
	if len(header) != AnswerHeaderSize {
		return nil, fmt.Errorf("seal: answer to resume: %w: header of %d bytes", ErrFormat, len(header))
	}
	return ex.openAnswer(r, header, next)
}

func (ex *Exchange) openAnswer(r io.Reader, resume []byte, next uint64) (*AnswerReader, error) {
	a := &AnswerReader{r: r}
	if _, err := io.ReadFull(r, a.header[:]); err != nil {
		return nil, core.ReadError("answer header", err)
	}
	if a.header[0] != core.AnswerVersion {
		return nil, fmt.Errorf("seal: answer header: %w: version %d", ErrVersion, a.header[0])
	}
	class := Class(a.header[1])
	if class.Record() == 0 {
		return nil, fmt.Errorf("seal: answer header: %w: class %d", ErrFormat, class)
	}
	if bytes.Equal(resume, a.header[:]) {
		a.resumed = true
		a.next = next
	}
	recipient := int(a.header[2])
	if recipient >= len(ex.secrets) {
		err := fmt.Errorf("seal: answer header: %w: recipient %d of %d", ErrFormat, recipient, len(ex.secrets))
		if resume != nil && !a.resumed {
			a.err = err // it may be right in another exchange
			return a, nil
		}
		return nil, err
	}
	a.aead = core.AnswerCipher(&ex.secrets[recipient], ex.id, &a.header)
	a.record = make([]byte, class.Record())
	return a, nil
}
