// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package ohttp seals a request so that the relay which carries it can't read it,
// and the gateway which reads it can't tell who sent it: Oblivious HTTP (RFC 9458)
// and its form in chunks (draft-ietf-ohai-chunked-ohttp-08). What we take of both,
// and what we add, is in spec/ohttp.md.
//
// The client's half begins with [ParseConfigs] and [Config.Seal]; what that returns
// beside the message, an [Exchange], opens the answer. The gateway's half is
// [NewServer]; what it opens comes with a [Responder] for the answer. Messages are
// binary HTTP (package seal/bhttp). Nothing here does I/O of its own, and a browser
// links only the first half.
package ohttp

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/sha256"
	"errors"
	"runtime"

	"golang.org/x/crypto/chacha20poly1305"
)

// Media types.
const (
	RequestType         = "message/ohttp-req" // RFC 9458, section 9.2
	ResponseType        = "message/ohttp-res"
	ChunkedRequestType  = "message/ohttp-chunked-req" // the draft, section 8
	ChunkedResponseType = "message/ohttp-chunked-res"
	KeysType            = "application/ohttp-keys"
	// KeyProblem is the type of the problem document (RFC 9457) by which a gateway
	// says that it has no key for a request: RFC 9458, section 5.3.
	KeyProblem  = "https://iana.org/assignments/http-problem-types#ohttp-key"
	ProblemType = "application/problem+json"
)

// Limits.
const (
	// MaxConfigs bounds an application/ohttp-keys document.
	MaxConfigs = 16 << 10
	// MaxChunk is the most content of a chunk, before it is sealed: what the draft
	// has everybody take (section 3).
	MaxChunk = 16 << 10
	// Overhead is what sealing adds to a chunk: the AEAD's tag.
	Overhead = 16
)

// Identifiers of HPKE's algorithms: RFC 9180, section 7, and
// draft-ietf-hpke-pq.
const (
	KEMX25519   uint16 = 0x0020 // DHKEM(X25519, HKDF-SHA256)
	KEMMLKEM768 uint16 = 0x647a // MLKEM768-X25519

	KDFSHA256    uint16 = 0x0001
	AEADAES128   uint16 = 0x0001
	AEADChaCha20 uint16 = 0x0003
)

// Errors. They are all that is said about a stranger's bytes.
var (
	// ErrMalformed: the bytes are not in the form that the document asks for.
	ErrMalformed = errors.New("ohttp: malformed")
	// ErrTooLarge: a length is above its limit.
	ErrTooLarge = errors.New("ohttp: too large")
	// ErrTruncated: the message ended before its end.
	ErrTruncated = errors.New("ohttp: truncated")
	// ErrKey: the request is sealed to no key that is known here. Its sender should
	// get fresh key configurations.
	ErrKey = errors.New("ohttp: no such key")
	// ErrAuthentication: the bytes were not sealed by the other side, or were changed.
	ErrAuthentication = errors.New("ohttp: authentication failed")
	// ErrUnsupported: none of the key configurations can be used here.
	ErrUnsupported = errors.New("ohttp: no key configuration that is supported")
)

// A Suite is one of the pairs of algorithms that a key may be used with.
type Suite struct{ KDF, AEAD uint16 }

// hasAES says whether this program has AES-GCM. A browser's core does without: every
// gateway of ours takes ChaCha20-Poly1305, and the code would travel to everybody.
const hasAES = runtime.GOOS != "js"

// supported says whether this package has the suite.
func (s Suite) supported() bool {
	return s.KDF == KDFSHA256 && (s.AEAD == AEADChaCha20 || hasAES && s.AEAD == AEADAES128)
}

// keySize is Nk of the AEAD. Nonces have 12 bytes with all.
func (s Suite) keySize() int {
	if s.AEAD == AEADAES128 {
		return 16
	}
	return chacha20poly1305.KeySize
}

const nonceSize = chacha20poly1305.NonceSize

// entropy is max(Nn, Nk): the size of the answer's nonce and of its secret.
func (s Suite) entropy() int { return max(nonceSize, s.keySize()) }

func (s Suite) hpke() hpke.AEAD {
	if hasAES && s.AEAD == AEADAES128 {
		return hpke.AES128GCM()
	}
	return hpke.ChaCha20Poly1305()
}

// cipher makes the AEAD of a key of the right size.
func (s Suite) cipher(key []byte) (cipher.AEAD, error) {
	if hasAES && s.AEAD == AEADAES128 {
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		return cipher.NewGCM(block)
	}
	return chacha20poly1305.New(key)
}

// kem returns the KEM of an identifier, and the sizes of its public key and of what
// it encapsulates; nil for one that this package doesn't have.
func kem(id uint16) (k hpke.KEM, public, enc int) {
	switch id {
	case KEMX25519:
		return hpke.DHKEM(ecdh.X25519()), 32, 32
	case KEMMLKEM768:
		return hpke.MLKEM768X25519(), 1216, 1120
	}
	return nil, 0, 0
}

// headerSize is the size of a request's header before the encapsulated key: key
// identifier, KEM, KDF, AEAD.
const headerSize = 7

// What both sides bind their secrets to: RFC 9458, sections 4.3 and 4.4, and the
// draft, section 6.
const (
	requestLabel         = "message/bhttp request"
	responseLabel        = "message/bhttp response"
	chunkedRequestLabel  = "message/bhttp chunked request"
	chunkedResponseLabel = "message/bhttp chunked response"
)

// final is the associated data of the last chunk.
var final = []byte("final")

// info is HPKE's info for a request with this header.
func info(label string, header []byte) []byte {
	b := make([]byte, 0, len(label)+1+headerSize)
	b = append(append(b, label...), 0)
	return append(b, header[:headerSize]...)
}

// sealing is an answer's AEAD with its count of chunks: RFC 9458, section 4.4, and
// the draft, section 6.2.
type sealing struct {
	aead  cipher.AEAD
	base  [nonceSize]byte
	nonce [nonceSize]byte
	count uint64
}

// newSealing derives the key of an answer from the secret that HPKE exported, the
// request's encapsulated key and the answer's nonce.
func newSealing(s Suite, secret, enc, responseNonce []byte) (*sealing, error) {
	salt := make([]byte, 0, len(enc)+len(responseNonce))
	salt = append(append(salt, enc...), responseNonce...)
	prk, err := hkdf.Extract(sha256.New, secret, salt)
	if err != nil {
		return nil, err
	}
	key, err := hkdf.Expand(sha256.New, prk, "key", s.keySize())
	if err != nil {
		return nil, err
	}
	nonce, err := hkdf.Expand(sha256.New, prk, "nonce", nonceSize)
	if err != nil {
		return nil, err
	}
	c := &sealing{}
	copy(c.base[:], nonce)
	if c.aead, err = s.cipher(key); err != nil {
		return nil, err
	}
	return c, nil
}

// next returns the nonce of the next chunk. 2^64 chunks are more than anybody seals.
func (c *sealing) next() []byte {
	c.nonce = c.base
	for i := range 8 {
		c.nonce[nonceSize-1-i] ^= byte(c.count >> (8 * i))
	}
	c.count++
	return c.nonce[:]
}

// aad is the associated data of a chunk.
func aad(last bool) []byte {
	if last {
		return final
	}
	return nil
}

// appendLength appends a chunk's length as an integer of RFC 9000, section 16, in
// its shortest form. n is below 2^30.
func appendLength(dst []byte, n int) []byte {
	switch {
	case n < 1<<6:
		return append(dst, byte(n))
	case n < 1<<14:
		return append(dst, 1<<6|byte(n>>8), byte(n))
	}
	return append(dst, 2<<6|byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}
