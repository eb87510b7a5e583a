// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package seal

import (
	"bytes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/sotto-chat/sotto/seal/envelope"
)

// The labels of spec/seal.md, "Key schedule". No label is a prefix of another.
const (
	labelRequest = "sotto/1 request\x00" // HPKE info, before the key id
	labelBody    = "sotto/1 request body"
	labelSecret  = "sotto/1 answer secret"
	labelAnswer  = "sotto/1 answer\x00"
)

const (
	lengthSize = 4 // of the length before the plaintext
	keySize    = chacha20poly1305.KeySize
	tagSize    = chacha20poly1305.Overhead
	chunkSize  = envelope.ChunkSize
)

var (
	errRecipients = errors.New("seal: a request is sealed to 1 to 8 different keys")
	errUsed       = errors.New("seal: what was prepared for one request can't be used for another")
)

// Prepared is the part of sealing to one recipient that doesn't depend on what
// is sealed, and takes most of the time: a fresh encapsulated key and the HPKE
// context that follows from it. It is made ahead, serves one request, and is secret.
type Prepared struct {
	hidden
	id     KeyID
	enc    []byte
	sender *hpke.Sender
	secret [keySize]byte
	used   atomic.Bool
}

// Prepare makes ready for sealing one request to r.
func Prepare(r Recipient) (*Prepared, error) {
	public, err := hpke.MLKEM768X25519().NewPublicKey(r.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("seal: public key of %s: %w", r.ID, err)
	}
	p := &Prepared{id: r.ID}
	p.enc, p.sender, err = hpke.NewSender(public, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), requestInfo(r.ID))
	if err != nil {
		return nil, fmt.Errorf("seal: sealing to %s: %w", r.ID, err)
	}
	secret, err := p.sender.Export(labelSecret, keySize)
	if err != nil {
		return nil, fmt.Errorf("seal: sealing to %s: %w", r.ID, err)
	}
	copy(p.secret[:], secret)
	clear(secret)
	return p, nil
}

// SealRequest seals plaintext, of at most MaxRequest bytes, to the 1 to 8
// recipients, any one of which can open it. It returns the message to send and
// the exchange that opens the answer. plaintext is not kept.
func SealRequest(recipients []Recipient, plaintext []byte) (msg []byte, ex *Exchange, err error) {
	if len(recipients) > envelope.MaxRecipients {
		return nil, nil, errRecipients
	}
	prepared := make([]*Prepared, len(recipients))
	for i, r := range recipients {
		if prepared[i], err = Prepare(r); err != nil {
			return nil, nil, err
		}
	}
	return SealPrepared(prepared, plaintext)
}

// SealPrepared is [SealRequest] to the recipients of prepared, which are used up
// by it: a second request with one of them is an error.
func SealPrepared(prepared []*Prepared, plaintext []byte) (msg []byte, ex *Exchange, err error) {
	count := len(prepared)
	if count < 1 || count > envelope.MaxRecipients {
		return nil, nil, errRecipients
	}
	for i, p := range prepared {
		for _, q := range prepared[:i] {
			if p.id == q.id {
				return nil, nil, errRecipients
			}
		}
	}
	if len(plaintext) > MaxRequest {
		return nil, nil, fmt.Errorf("seal: request: %w: %d bytes, the limit is %d", ErrTooLarge, len(plaintext), MaxRequest)
	}
	for _, p := range prepared {
		if p.used.Swap(true) {
			return nil, nil, errUsed
		}
	}
	size := envelope.PaddedSize(lengthSize + len(plaintext))
	headerLen := envelope.FixedSize + count*(envelope.RecipientSize+envelope.WrapSize)
	total := (&envelope.Header{Len: headerLen, Size: size}).MessageLen()

	msg = make([]byte, 0, total)
	msg = append(msg, envelope.Version, envelope.Suite, byte(count))
	msg = binary.BigEndian.AppendUint32(msg, uint32(size))
	ex = &Exchange{secrets: make([][keySize]byte, count)}
	for i, p := range prepared {
		ex.secrets[i] = p.secret
		clear(p.secret[:])
		msg = append(msg, p.id[:]...)
		msg = append(msg, p.enc...)
	}

	// All recipients stand in what each wrap authenticates, so none can be
	// taken out, added or exchanged.
	contentKey := make([]byte, keySize)
	rand.Read(contentKey)
	defer clear(contentKey)
	aad := msg[:len(msg):len(msg)]
	for _, p := range prepared {
		wrap, err := p.sender.Seal(aad, contentKey)
		if err != nil {
			return nil, nil, fmt.Errorf("seal: sealing to %s: %w", p.id, err)
		}
		msg = append(msg, wrap...)
	}

	ex.id = sha256.Sum256(msg)
	body := bodyCipher(contentKey, ex.id)
	return sealBody(msg, body, plaintext, size), ex, nil
}

// sealBody appends the chunks of plaintext, padded to size, to msg.
func sealBody(msg []byte, body cipher.AEAD, plaintext []byte, size int) []byte {
	var nonce [chacha20poly1305.NonceSize]byte
	prefix := binary.BigEndian.AppendUint32(nil, uint32(len(plaintext)))
	for chunk := 0; size > 0; chunk++ {
		n := min(size, chunkSize)
		size -= n
		chunkNonce(&nonce, uint64(chunk), size == 0)
		start := len(msg)
		msg = append(msg, prefix...)
		take := min(n-len(prefix), len(plaintext))
		msg = append(msg, plaintext[:take]...)
		msg = append(msg, zeros[:n-(len(msg)-start)]...)
		prefix, plaintext = nil, plaintext[take:]
		msg = body.Seal(msg[:start], nonce[:], msg[start:], nil)
	}
	return msg
}

// Opened is a request that was opened. It is secret.
type Opened struct {
	hidden
	// ID is the SHA-256 of the request's header. A node refuses one that it
	// has opened before, for as long as any key that could open it lives.
	ID [sha256.Size]byte
	// KeyID is the key that opened the request.
	KeyID KeyID
	// Recipient is the place of that key in the request's header.
	Recipient int

	plaintext []byte
	secret    [keySize]byte
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
		return nil, readError("request header", err)
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
	o.plaintext, err = openBody(r, bodyCipher(contentKey, o.ID), parsed.Size)
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
	recipient, err := hpke.NewRecipient(enc, private, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), requestInfo(o.KeyID))
	if err != nil {
		// The encapsulated key's X25519 part gives no shared secret.
		return nil, fmt.Errorf("%w: encapsulated key", ErrAuthentication)
	}
	contentKey, err := recipient.Open(header[:wraps], wrap)
	if err != nil {
		return nil, fmt.Errorf("%w: content key", ErrAuthentication)
	}
	secret, err := recipient.Export(labelSecret, keySize)
	if err != nil {
		return nil, err
	}
	copy(o.secret[:], secret)
	clear(secret)
	return contentKey, nil
}

// openBody reads the chunks of a body of size padded bytes, checks that r ends
// with them, and returns the plaintext without its length and padding.
func openBody(r io.Reader, body cipher.AEAD, size int) ([]byte, error) {
	var nonce [chacha20poly1305.NonceSize]byte
	var plaintext []byte
	for chunk, left := uint64(0), size; left > 0; chunk++ {
		n := min(left, chunkSize)
		left -= n
		// Room for this chunk, and at most as much again as has arrived.
		if room := len(plaintext) + n + tagSize; room > cap(plaintext) {
			grown := make([]byte, len(plaintext), max(room, min(2*room, size+tagSize)))
			copy(grown, plaintext)
			plaintext = grown
		}
		sealed := plaintext[len(plaintext):][:n+tagSize]
		if _, err := io.ReadFull(r, sealed); err != nil {
			return nil, readError("request body", err)
		}
		chunkNonce(&nonce, chunk, left == 0)
		if _, err := body.Open(sealed[:0], nonce[:], sealed, nil); err != nil {
			return nil, fmt.Errorf("seal: request body: %w: chunk %d", ErrAuthentication, chunk)
		}
		plaintext = plaintext[:len(plaintext)+n]
	}
	if err := expectEnd(r); err != nil {
		return nil, fmt.Errorf("seal: request: %w", err)
	}

	n := int64(binary.BigEndian.Uint32(plaintext))
	plaintext = plaintext[lengthSize:]
	if n > int64(len(plaintext)) {
		return nil, fmt.Errorf("seal: request body: %w: length %d of %d bytes", ErrFormat, n, len(plaintext))
	}
	if envelope.PaddedSize(lengthSize+int(n)) != size || !allZero(plaintext[n:]) {
		return nil, fmt.Errorf("seal: request body: %w", ErrPadding)
	}
	return plaintext[:n:n], nil
}

// expectEnd returns nil if r has nothing more.
func expectEnd(r io.Reader) error {
	var one [1]byte
	switch n, err := io.ReadFull(r, one[:]); {
	case n != 0:
		return fmt.Errorf("%w: bytes after the end", ErrFormat)
	case err != io.EOF:
		return err
	}
	return nil
}

func allZero(b []byte) bool {
	for len(b) > len(zeros) {
		if !bytes.Equal(b[:len(zeros)], zeros[:]) {
			return false
		}
		b = b[len(zeros):]
	}
	return bytes.Equal(b, zeros[:len(b)])
}

func requestInfo(id KeyID) []byte {
	return append([]byte(labelRequest), id[:]...)
}

func bodyCipher(contentKey []byte, id [sha256.Size]byte) cipher.AEAD {
	return newCipher(contentKey, id[:], labelBody)
}

// newCipher returns the AEAD of the key derived from a secret.
func newCipher(secret, salt []byte, info string) cipher.AEAD {
	key, err := hkdf.Key(sha256.New, secret, salt, info, keySize)
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

// chunkNonce sets nonce to that of the STREAM construction as age uses it: an
// 11-byte big-endian counter and a byte that is 1 for the last chunk.
func chunkNonce(nonce *[chacha20poly1305.NonceSize]byte, chunk uint64, last bool) {
	binary.BigEndian.PutUint64(nonce[3:11], chunk)
	nonce[11] = 0
	if last {
		nonce[11] = 1
	}
}
