// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package envelope reads the outside of a sealed request: to whom it is
// addressed and how long it is. It holds no key and opens nothing, so that a
// gateway can choose a node with this package alone and never link package
// seal.
//
// The layout is that of spec/seal.md, "Request header". All integers are
// big-endian.
//
//	version     u8 = 1
//	suite       u8 = 1
//	count       u8, 1..8
//	size        u32, the padded size of the plaintext
//	recipients  count × (key id [16] ‖ encapsulated key [1120])
//	wraps       count × wrapped content key [48]
package envelope

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/sotto-chat/sotto/internal/padme"
)

// The content types under which sealed messages travel (spec/seal.md, "HTTP").
const (
	RequestType = "application/sotto-request"
	AnswerType  = "application/sotto-answer"
)

const (
	// Version is the only version of the format.
	Version = 1
	// Suite is the only suite: HPKE base mode with MLKEM768-X25519,
	// HKDF-SHA256 and ChaCha20-Poly1305.
	Suite = 1

	// MaxRecipients bounds the node keys that one request is sealed to.
	MaxRecipients = 8

	// KeyIDSize is the size of a key id.
	KeyIDSize = 16
	// EncSize is the size of a MLKEM768-X25519 encapsulated key.
	EncSize = 1120
	// WrapSize is the size of a wrapped content key: 32 bytes and a tag.
	WrapSize = 48

	// FixedSize is the size of the header's part before the recipients.
	FixedSize = 7
	// RecipientSize is what each recipient takes before the wraps.
	RecipientSize = KeyIDSize + EncSize

	// MaxHeader is the size of the longest header.
	MaxHeader = FixedSize + MaxRecipients*(RecipientSize+WrapSize)

	// ChunkSize is the plaintext size of each chunk of the body but the last.
	ChunkSize = 16 << 10
	// TagSize is what sealing adds to each chunk.
	TagSize = 16

	// MinSize is the smallest padded size: all short prompts look alike.
	MinSize = 2 << 10
	// MaxSize is the largest padded size.
	MaxSize = 32 << 20

	// MaxMessage is the size of the longest sealed request.
	MaxMessage = MaxHeader + MaxSize + MaxSize/ChunkSize*TagSize
)

// These name why an envelope, or what package seal finds inside it, was
// refused. spec/seal.md lists them all.
var (
	// ErrTruncated means that the bytes ended too early.
	ErrTruncated = errors.New("truncated")
	// ErrVersion means a version or suite that this code does not know.
	ErrVersion = errors.New("unknown version or suite")
	// ErrFormat means bytes that no correct sender makes.
	ErrFormat = errors.New("malformed")
	// ErrTooLarge means that a length is above its limit.
	ErrTooLarge = errors.New("too large")
)

// Header is the outside of one sealed request.
type Header struct {
	// Recipients holds the key ids in the order of the header, all different.
	Recipients [][KeyIDSize]byte
	// Len is the size of the header in bytes.
	Len int
	// Size is the padded size of the plaintext, in MinSize..MaxSize.
	Size int
}

// MessageLen returns the size in bytes of the whole sealed request.
func (h *Header) MessageLen() int64 {
	chunks := (h.Size + ChunkSize - 1) / ChunkSize
	return int64(h.Len) + int64(h.Size) + int64(chunks)*TagSize
}

// Read reads a header from r, and no byte after it. It returns the header's
// exact bytes and what they say. Errors are those of [Parse], or r's: io.EOF
// and io.ErrUnexpectedEOF if r ended too early.
func Read(r io.Reader) (raw []byte, h *Header, err error) {
	raw = make([]byte, FixedSize, FixedSize+3*(RecipientSize+WrapSize)) // room for as many as clients usually name
	if _, err := io.ReadFull(r, raw); err != nil {
		return nil, nil, err
	}
	n, err := headerLen(raw)
	if err != nil {
		return nil, nil, err
	}
	raw = append(raw, make([]byte, n-FixedSize)...)
	if _, err := io.ReadFull(r, raw[FixedSize:]); err != nil {
		return nil, nil, err
	}
	h, err = Parse(raw)
	return raw, h, err
}

// headerLen returns the size in bytes of the header that starts with fixed, its
// first FixedSize bytes, having checked all that they say.
func headerLen(fixed []byte) (int, error) {
	if len(fixed) < FixedSize {
		return 0, ErrTruncated
	}
	if fixed[0] != Version {
		return 0, fmt.Errorf("%w: version %d", ErrVersion, fixed[0])
	}
	if fixed[1] != Suite {
		return 0, fmt.Errorf("%w: suite %d", ErrVersion, fixed[1])
	}
	count := int(fixed[2])
	if count < 1 || count > MaxRecipients {
		return 0, fmt.Errorf("%w: %d recipients", ErrFormat, count)
	}
	size := binary.BigEndian.Uint32(fixed[3:])
	if size > MaxSize {
		return 0, fmt.Errorf("%w: request of %d bytes", ErrTooLarge, size)
	}
	if PaddedSize(int(size)) != int(size) {
		return 0, fmt.Errorf("%w: %d is not a padded size", ErrFormat, size)
	}
	return FixedSize + count*(RecipientSize+WrapSize), nil
}

// Parse reads the header at the start of prefix, which may go on after it.
// Errors wrap ErrTruncated, ErrVersion, ErrFormat or ErrTooLarge. The result
// shares no memory with prefix.
func Parse(prefix []byte) (*Header, error) {
	n, err := headerLen(prefix)
	if err != nil {
		return nil, err
	}
	if len(prefix) < n {
		return nil, fmt.Errorf("%w: header of %d bytes, have %d", ErrTruncated, n, len(prefix))
	}
	h := &Header{
		Recipients: make([][KeyIDSize]byte, prefix[2]),
		Len:        n,
		Size:       int(binary.BigEndian.Uint32(prefix[3:])),
	}
	for i := range h.Recipients {
		h.Recipients[i] = [KeyIDSize]byte(prefix[FixedSize+i*RecipientSize:])
		for j := range i {
			if h.Recipients[i] == h.Recipients[j] {
				return nil, fmt.Errorf("%w: recipient named twice", ErrFormat)
			}
		}
	}
	return h, nil
}

// PaddedSize returns the size that n bytes of plaintext are padded to: the
// Padmé size of n, but at least MinSize.
func PaddedSize(n int) int {
	return padme.Size(max(n, MinSize))
}
