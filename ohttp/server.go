// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package ohttp

import (
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
)

// SeedSize is the size of a [Seed].
const SeedSize = 32

// A Seed is what a gateway's keys are made of, one for each KEM. It is secret.
type Seed [SeedSize]byte

// String hides the seed.
func (Seed) String() string { return "ohttp.Seed(hidden)" }

// GoString hides the seed.
func (s Seed) GoString() string { return s.String() }

// MarshalText hides the seed.
func (s Seed) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// NewSeed makes a seed.
func NewSeed() (s Seed) {
	rand.Read(s[:])
	return s
}

// serverKey is a private key with its configuration.
type serverKey struct {
	config  Config
	private hpke.PrivateKey
}

// Server is the gateway's half. Make it with [NewServer]. Its methods may be called
// from several goroutines.
type Server struct {
	keys    []serverKey
	configs []byte
	digests []string
}

// NewServer returns a server that opens what was sealed to the keys of any of the
// seeds, at least one and at most eight, and offers those of the first. It is an error if keys of two seeds have the same
// identifier, which happens to one pair of seeds in 128: a client couldn't say which
// it means.
func NewServer(seeds ...Seed) (*Server, error) {
	if len(seeds) == 0 || len(seeds) > 8 {
		return nil, errors.New("ohttp: a gateway has one to eight keys")
	}
	s := &Server{}
	for i, seed := range seeds {
		keys, err := seed.keys()
		if err != nil {
			return nil, err
		}
		for _, k := range keys {
			if s.find(k.config.ID) != nil {
				return nil, ErrSameID
			}
			if i == 0 {
				exact := k.config.exact
				s.configs = append(binary.BigEndian.AppendUint16(s.configs, uint16(len(exact))), exact...)
				s.digests = append(s.digests, k.config.Digest())
			}
		}
		s.keys = append(s.keys, keys...)
	}
	return s, nil
}

// ErrSameID: two keys have the same identifier. One of them has to be made anew.
var ErrSameID = errors.New("ohttp: two keys have the same identifier")

// keys makes a seed's keys, the preferred first. Their identifiers come from the
// seed too, so that a restart changes nothing, and differ in the last bit.
func (s Seed) keys() ([]serverKey, error) {
	var keys []serverKey
	id := sha256.Sum256(append([]byte("sotto/1 ohttp key id\x00"), s[:]...))
	for i, kemID := range []uint16{KEMMLKEM768, KEMX25519} {
		k, _, _ := kem(kemID)
		ikm := sha256.Sum256(append([]byte{'s', 'o', 't', 't', 'o', '/', '1', ' ', 'o', 'h', 't', 't', 'p', 0, byte(kemID >> 8), byte(kemID)}, s[:]...))
		private, err := k.DeriveKeyPair(ikm[:])
		if err != nil {
			return nil, err
		}
		key, err := newServerKey(id[0]&^1|byte(i), kemID, private, []Suite{{KDFSHA256, AEADChaCha20}, {KDFSHA256, AEADAES128}})
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// newServerKey writes the configuration of a key.
func newServerKey(id byte, kemID uint16, private hpke.PrivateKey, suites []Suite) (serverKey, error) {
	b := binary.BigEndian.AppendUint16([]byte{id}, kemID)
	b = append(b, private.PublicKey().Bytes()...)
	b = binary.BigEndian.AppendUint16(b, uint16(4*len(suites)))
	for _, x := range suites {
		b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, x.KDF), x.AEAD)
	}
	c, _, err := parseConfig(b)
	return serverKey{c, private}, err
}

func (s *Server) find(id byte) *serverKey {
	for i := range s.keys {
		if s.keys[i].config.ID == id {
			return &s.keys[i]
		}
	}
	return nil
}

// Configs returns the key configurations to offer, an application/ohttp-keys
// document, the same at each call. The caller must not change it.
func (s *Server) Configs() []byte { return s.configs }

// Digests returns the digests of the configurations that are offered, as
// [Config.Digest] gives them. The caller must not change it.
func (s *Server) Digests() []string { return s.digests }

// A Responder seals the answer to one request. It is secret.
type Responder struct {
	// Enc is the request's encapsulated key, by which a replay is known.
	Enc    []byte
	suite  Suite
	secret []byte
	seal   *sealing
	nonce  []byte // until it is written
}

// String hides the responder.
func (*Responder) String() string { return "ohttp.Responder(hidden)" }

// GoString hides the responder.
func (r *Responder) GoString() string { return r.String() }

// Open opens a whole encapsulated request, of [RequestType]. Errors are ErrTruncated,
// ErrMalformed, and ErrKey for a request that no key opens.
func (s *Server) Open(request []byte) (msg []byte, r *Responder, err error) {
	if len(request) < headerSize {
		return nil, nil, ErrTruncated
	}
	key, suite, size, err := s.parse(request)
	if err != nil {
		return nil, nil, err
	}
	rest := request[headerSize:]
	if len(rest) < size+Overhead {
		return nil, nil, ErrTruncated
	}
	enc := rest[:size:size]
	rec, err := hpke.NewRecipient(enc, key.private, hpke.HKDFSHA256(), suite.hpke(), info(requestLabel, request))
	if err != nil {
		return nil, nil, ErrMalformed
	}
	if msg, err = rec.Open(nil, rest[size:]); err != nil {
		return nil, nil, ErrKey
	}
	r, err = newResponder(rec, responseLabel, suite, enc)
	return msg, r, err
}

// OpenChunked opens an encapsulated request of [ChunkedRequestType] as it comes. It
// returns once the first chunk is opened; the reader is as that of
// [Exchange.Reader]. Errors are those of [Server.Open], ErrTooLarge and those of src.
func (s *Server) OpenChunked(src io.Reader) (msg io.Reader, r *Responder, err error) {
	c := &chunkReader{src: source{r: src}}
	c.start = func(src *source) (opener, error) {
		var header [headerSize]byte
		if err := src.full(header[:]); err != nil {
			return nil, err
		}
		key, suite, size, err := s.parse(header[:])
		if err != nil {
			return nil, err
		}
		enc := make([]byte, size)
		if err := src.full(enc); err != nil {
			return nil, err
		}
		rec, err := hpke.NewRecipient(enc, key.private, hpke.HKDFSHA256(), suite.hpke(), info(chunkedRequestLabel, header[:]))
		if err != nil {
			return nil, ErrMalformed
		}
		r, err = newResponder(rec, chunkedResponseLabel, suite, enc)
		return recipient{rec}, err
	}
	if err := c.first(); err != nil {
		if err == ErrAuthentication {
			err = ErrKey // nothing of it was opened, so it may have been sealed to another key
		}
		return nil, nil, err
	}
	return c, r, nil
}

// recipient opens the chunks of a request.
type recipient struct{ *hpke.Recipient }

func (r recipient) open(sealed []byte, last bool) ([]byte, error) {
	msg, err := r.Open(aad(last), sealed)
	if err != nil {
		return nil, ErrAuthentication
	}
	return msg, nil
}

// parse reads a request's header: which key it is for, with which suite, and the size
// of the encapsulated key after it.
func (s *Server) parse(header []byte) (key *serverKey, suite Suite, enc int, err error) {
	key = s.find(header[0])
	kemID := binary.BigEndian.Uint16(header[1:])
	suite = Suite{binary.BigEndian.Uint16(header[3:]), binary.BigEndian.Uint16(header[5:])}
	if key == nil || key.config.KEM != kemID {
		return nil, suite, 0, ErrKey
	}
	for _, x := range key.config.Suites {
		if x == suite {
			_, _, enc = kem(kemID)
			return key, suite, enc, nil
		}
	}
	return nil, suite, 0, ErrKey
}

func newResponder(rec *hpke.Recipient, label string, suite Suite, enc []byte) (*Responder, error) {
	secret, err := rec.Export(label, suite.entropy())
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, suite.entropy())
	rand.Read(nonce)
	return answer(suite, secret, enc, nonce)
}

// answer makes the responder with the given nonce.
func answer(suite Suite, secret, enc, nonce []byte) (*Responder, error) {
	seal, err := newSealing(suite, secret, enc, nonce)
	if err != nil {
		return nil, err
	}
	return &Responder{Enc: enc, suite: suite, secret: secret, seal: seal, nonce: nonce}, nil
}

// AppendWhole appends a whole answer, of [ResponseType], to a request that was not in
// chunks. It can be called once.
func (r *Responder) AppendWhole(dst, msg []byte) []byte {
	dst = r.start(dst)
	return r.seal.aead.Seal(dst, r.seal.next(), msg, nil)
}

// AppendChunk appends the next chunk of an answer of [ChunkedResponseType], with the
// answer's header before the first. One that is not the last and has no content is
// nothing. msg has at most [MaxChunk] bytes. It allocates nothing where dst has room
// for [ChunkSize] bytes more.
func (r *Responder) AppendChunk(dst, msg []byte, last bool) []byte {
	if len(msg) > MaxChunk {
		panic("ohttp: internal error: chunk too large")
	}
	if len(msg) == 0 && !last {
		return dst
	}
	dst = r.start(dst)
	if last {
		dst = append(dst, 0)
	} else {
		dst = appendLength(dst, len(msg)+Overhead)
	}
	return r.seal.aead.Seal(dst, r.seal.next(), msg, aad(last))
}

// ChunkSize is the most that a chunk of n bytes of content takes, the answer's header
// included.
func ChunkSize(n int) int { return 32 + 4 + n + Overhead }

func (r *Responder) start(dst []byte) []byte {
	dst = append(dst, r.nonce...)
	r.nonce = nil
	return dst
}
