// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package seal

import (
	"crypto/cipher"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/sotto-chat/sotto/seal/envelope"
	"github.com/sotto-chat/sotto/seal/internal/core"
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
	secret [core.KeySize]byte
	used   atomic.Bool
}

// Prepare makes ready for sealing one request to r.
func Prepare(r Recipient) (*Prepared, error) {
	public, err := hpke.MLKEM768X25519().NewPublicKey(r.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("seal: public key of %s: %w", r.ID, err)
	}
	p := &Prepared{id: r.ID}
	p.enc, p.sender, err = hpke.NewSender(public, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), core.RequestInfo(r.ID))
	if err != nil {
		return nil, fmt.Errorf("seal: sealing to %s: %w", r.ID, err)
	}
	secret, err := p.sender.Export(core.LabelSecret, core.KeySize)
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
	size := envelope.PaddedSize(core.LengthSize + len(plaintext))
	headerLen := envelope.FixedSize + count*(envelope.RecipientSize+envelope.WrapSize)
	total := (&envelope.Header{Len: headerLen, Size: size}).MessageLen()

	msg = make([]byte, 0, total)
	msg = append(msg, envelope.Version, envelope.Suite, byte(count))
	msg = binary.BigEndian.AppendUint32(msg, uint32(size))
	ex = &Exchange{secrets: make([][core.KeySize]byte, count)}
	for i, p := range prepared {
		ex.secrets[i] = p.secret
		clear(p.secret[:])
		msg = append(msg, p.id[:]...)
		msg = append(msg, p.enc...)
	}

	// All recipients stand in what each wrap authenticates, so none can be
	// taken out, added or exchanged.
	contentKey := make([]byte, core.KeySize)
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
	body := core.BodyCipher(contentKey, ex.id)
	return sealBody(msg, body, plaintext, size), ex, nil
}

// sealBody appends the chunks of plaintext, padded to size, to msg.
func sealBody(msg []byte, body cipher.AEAD, plaintext []byte, size int) []byte {
	var nonce [chacha20poly1305.NonceSize]byte
	prefix := binary.BigEndian.AppendUint32(nil, uint32(len(plaintext)))
	for chunk := 0; size > 0; chunk++ {
		n := min(size, envelope.ChunkSize)
		size -= n
		core.ChunkNonce(&nonce, uint64(chunk), size == 0)
		start := len(msg)
		msg = append(msg, prefix...)
		take := min(n-len(prefix), len(plaintext))
		msg = append(msg, plaintext[:take]...)
		msg = append(msg, core.Zeros[:n-(len(msg)-start)]...)
		prefix, plaintext = nil, plaintext[take:]
		msg = body.Seal(msg[:start], nonce[:], msg[start:], nil)
	}
	return msg
}
