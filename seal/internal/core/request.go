// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package core

import (
	"bytes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/sotto-chat/sotto/seal/envelope"
)

// The labels of spec/seal.md, "Key schedule". No label is a prefix of another.
const (
	LabelRequest = "sotto/1 request\x00" // HPKE info, before the key id
	LabelBody    = "sotto/1 request body"
	LabelSecret  = "sotto/1 answer secret"
	LabelAnswer  = "sotto/1 answer\x00"
)

const (
	LengthSize = 4 // of the length before the plaintext
	KeySize    = chacha20poly1305.KeySize
	TagSize    = chacha20poly1305.Overhead
)

// Opened is a request that was opened. It is secret.
type Opened struct {
	Hidden
	// ID is the SHA-256 of the request's header. A node refuses one that it
	// has opened before, for as long as any key that could open it lives.
	ID [sha256.Size]byte
	// KeyID is the key that opened the request.
	KeyID KeyID
	// Recipient is the place of that key in the request's header.
	Recipient int

	plaintext []byte
	secret    [KeySize]byte
}

// Plaintext returns what was sealed. The slice is the caller's.
func (o *Opened) Plaintext() []byte { return o.plaintext }

// OpenRequest reads one sealed request from r, up to its end, and opens it
// with the first of its keys that lookup knows; lookup returns nil for a key
// that it does not know.
//
// It allocates as bytes arrive, never by what a length says. It does not
// remember requests: the caller must refuse an Opened.ID that was seen before.
func OpenRequest(r io.Reader, lookup func(KeyID) *PrivateKey) (*Opened, error) {
	header, parsed, err := envelope.Read(r)
	if err != nil {
		return nil, ReadError("request header", err)
	}
	o := &Opened{ID: sha256.Sum256(header), Recipient: -1}
	var key *PrivateKey
	for i, id := range parsed.Recipients {
		if key = lookup(id); key != nil {
			o.KeyID, o.Recipient = id, i
			break
		}
	}
	if key == nil {
		return nil, fmt.Errorf("seal: request: %w", ErrUnknownKey)
	}
	var contentKey []byte
	withSecrets(func() { contentKey, err = o.unwrap(header, len(parsed.Recipients), key) })
	if err != nil {
		return nil, fmt.Errorf("seal: request: %w", err)
	}
	defer clear(contentKey)
	o.plaintext, err = OpenBody(r, BodyCipher(contentKey, o.ID), parsed.Size)
	if err != nil {
		return nil, err
	}
	return o, nil
}

// unwrap opens the content key that header holds for o.Recipient, one of count,
// and sets o.secret.
func (o *Opened) unwrap(header []byte, count int, key *PrivateKey) ([]byte, error) {
	private, err := key.load()
	if err != nil {
		return nil, err
	}
	wraps := envelope.FixedSize + count*envelope.RecipientSize
	enc := header[envelope.FixedSize+o.Recipient*envelope.RecipientSize:][envelope.KeyIDSize:envelope.RecipientSize]
	wrap := header[wraps+o.Recipient*envelope.WrapSize:][:envelope.WrapSize]
	recipient, err := hpke.NewRecipient(enc, private, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), RequestInfo(o.KeyID))
	if err != nil {
		// The encapsulated key's X25519 part gives no shared secret.
		return nil, fmt.Errorf("%w: encapsulated key", ErrAuthentication)
	}
	contentKey, err := recipient.Open(header[:wraps], wrap)
	if err != nil {
		return nil, fmt.Errorf("%w: content key", ErrAuthentication)
	}
	secret, err := recipient.Export(LabelSecret, KeySize)
	if err != nil {
		return nil, err
	}
	copy(o.secret[:], secret)
	clear(secret)
	return contentKey, nil
}

// OpenBody reads the chunks of a body of size padded bytes, checks that r ends
// with them, and returns the plaintext without its length and padding.
func OpenBody(r io.Reader, body cipher.AEAD, size int) ([]byte, error) {
	var nonce [chacha20poly1305.NonceSize]byte
	var plaintext []byte
	for chunk, left := uint64(0), size; left > 0; chunk++ {
		n := min(left, envelope.ChunkSize)
		left -= n
		// Room for this chunk, and at most as much again as has arrived.
		if room := len(plaintext) + n + TagSize; room > cap(plaintext) {
			grown := make([]byte, len(plaintext), max(room, min(2*room, size+TagSize)))
			copy(grown, plaintext)
			plaintext = grown
		}
		sealed := plaintext[len(plaintext):][:n+TagSize]
		if _, err := io.ReadFull(r, sealed); err != nil {
			return nil, ReadError("request body", err)
		}
		ChunkNonce(&nonce, chunk, left == 0)
		if _, err := body.Open(sealed[:0], nonce[:], sealed, nil); err != nil {
			return nil, fmt.Errorf("seal: request body: %w: chunk %d", ErrAuthentication, chunk)
		}
		plaintext = plaintext[:len(plaintext)+n]
	}
	if err := ExpectEnd(r); err != nil {
		return nil, fmt.Errorf("seal: request: %w", err)
	}

	n := int64(binary.BigEndian.Uint32(plaintext))
	plaintext = plaintext[LengthSize:]
	if n > int64(len(plaintext)) {
		return nil, fmt.Errorf("seal: request body: %w: length %d of %d bytes", ErrFormat, n, len(plaintext))
	}
	if envelope.PaddedSize(LengthSize+int(n)) != size || !AllZero(plaintext[n:]) {
		return nil, fmt.Errorf("seal: request body: %w", ErrPadding)
	}
	return plaintext[:n:n], nil
}

// ExpectEnd returns nil if r has nothing more.
func ExpectEnd(r io.Reader) error {
	var one [1]byte
	switch n, err := io.ReadFull(r, one[:]); {
	case n != 0:
		return fmt.Errorf("%w: bytes after the end", ErrFormat)
	case err != io.EOF:
		return err
	}
	return nil
}

func AllZero(b []byte) bool {
	for len(b) > len(Zeros) {
		if !bytes.Equal(b[:len(Zeros)], Zeros[:]) {
			return false
		}
		b = b[len(Zeros):]
	}
	return bytes.Equal(b, Zeros[:len(b)])
}

func RequestInfo(id KeyID) []byte {
	return append([]byte(LabelRequest), id[:]...)
}

func BodyCipher(contentKey []byte, id [sha256.Size]byte) cipher.AEAD {
	return NewCipher(contentKey, id[:], LabelBody)
}

// NewCipher returns the AEAD of the key derived from a secret.
func NewCipher(secret, salt []byte, info string) cipher.AEAD {
	key, err := hkdf.Key(sha256.New, secret, salt, info, KeySize)
	if err != nil {
		panic("seal: internal error: " + err.Error())
	}
	defer clear(key)
	aead, err := chacha20poly1305.New(key)
	if err != nil {
		panic("seal: internal error: " + err.Error())
	}
	return aead
}

// ChunkNonce sets nonce to that of the STREAM construction as age uses it: an
// 11-byte big-endian counter and a byte that is 1 for the last chunk.
func ChunkNonce(nonce *[chacha20poly1305.NonceSize]byte, chunk uint64, last bool) {
	binary.BigEndian.PutUint64(nonce[3:11], chunk)
	nonce[11] = 0
	if last {
		nonce[11] = 1
	}
}
