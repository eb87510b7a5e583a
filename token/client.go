// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package token

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"

	"github.com/cloudflare/circl/blindsign/blindrsa"

	"github.com/sotto-chat/sotto/seal/bhttp"
	"github.com/sotto-chat/sotto/seal/envelope"
)

// variant is RSABSSA-SHA384-PSS-Deterministic of RFC 9474, section 5: no random
// prefix, for a token has a random nonce, and a salt of 48 bytes. RFC 9578,
// section 6, demands it.
const variant = blindrsa.SHA384PSSDeterministic

// The labels of what is derived, signed and hashed.
const (
	holderLabel = "sotto/1 token holder\x00" // a token's nonce: its hash with the holder's public key
	spendLabel  = "sotto/1 spend\x00"        // what the holder signs to spend
	refundLabel = "sotto/1 refund\x00"       // what the holder signs to ask for a refund
	seedKey     = "sotto/1 token seed holder"
	seedStream  = "sotto/1 token seed blind"
)

// The names of the fields that a spent token takes.
const (
	FieldToken  = "authorization"
	FieldHolder = "sotto-holder"
	FieldRefund = "sotto-refund"
)

// scheme is the authentication scheme of RFC 9577, section 2.2, with the start
// of its only parameter.
const (
	scheme    = `PrivateToken token="`
	schemeEnd = `"`
)

// seedSize is the size of what all secrets of one token come from.
const seedSize = 32

// Pending is a token that has no signature yet. It is secret: whoever has it can
// tell the token from others, and spend it once it is signed.
type Pending struct {
	hidden
	seed      [seedSize]byte
	key       PublicKey
	challenge [32]byte
	blinded   [BlindedSize]byte
	input     []byte // what is signed: the token without its authenticator
	client    blindrsa.Client
	state     blindrsa.State
}

// Blind makes a token for a challenge, to be signed with a key, and returns what
// has to be signed: BlindedSize bytes, from which nothing can be learnt of the
// token. rand gives 32 bytes; nil is never right.
func Blind(key PublicKey, ch Challenge, rand io.Reader) (*Pending, []byte, error) {
	if err := ch.Check(); err != nil {
		return nil, nil, err
	}
	p := &Pending{key: key, challenge: ch.Digest()}
	if _, err := io.ReadFull(rand, p.seed[:]); err != nil {
		return nil, nil, err
	}
	if err := p.blind(); err != nil {
		return nil, nil, err
	}
	return p, p.Blinded(), nil
}

// Resume returns the pending token that a seed of [Pending.Seed] stands for. It
// blinds to the same bytes again.
func Resume(key PublicKey, ch Challenge, seed [32]byte) (*Pending, error) {
	if err := ch.Check(); err != nil {
		return nil, err
	}
	p := &Pending{key: key, challenge: ch.Digest(), seed: seed}
	if err := p.blind(); err != nil {
		return nil, err
	}
	return p, nil
}

// blind derives everything from the seed.
func (p *Pending) blind() error {
	holder, err := holderOf(&p.seed)
	if err != nil {
		return err
	}
	nonce := nonceOf(holder.Public().(ed25519.PublicKey))
	return p.blindInput(nonce, &stream{seed: p.seed})
}

// blindInput blinds the token with a nonce. random gives the salt and then the
// blinding factor.
func (p *Pending) blindInput(nonce [32]byte, random io.Reader) (err error) {
	if p.key.k == nil {
		return ErrKey
	}
	p.input = inputOf(nonce, p.challenge, p.key.k.id)
	if p.client, err = blindrsa.NewClient(variant, &p.key.k.rsa); err != nil {
		return err
	}
	blinded, state, err := p.client.Blind(random, p.input)
	if err != nil {
		return err
	}
	p.state = state
	copy(p.blinded[:], blinded)
	return nil
}

// Blinded returns what has to be signed, the same bytes each time.
func (p *Pending) Blinded() []byte { return join("", p.blinded[:]) }

// Seed returns what [Resume] makes the same pending token of. It is secret.
func (p *Pending) Seed() [32]byte { return p.seed }

// Finish checks a signature over Blinded and returns the token. The error is an
// *Error with [Invalid] when the signature is another's.
func (p *Pending) Finish(blindSig []byte) (Token, error) {
	if len(blindSig) != BlindedSize || !p.key.less(blindSig) {
		return Token{}, fail(Invalid)
	}
	// It compares the unblinded signature with what was to be signed.
	sig, err := p.client.Finalize(p.state, blindSig)
	if err != nil {
		return Token{}, fail(Invalid)
	}
	t := Token{seed: p.seed}
	copy(t.bytes[copy(t.bytes[:], p.input):], sig)
	return t, nil
}

// typeBytes is Type as it stands before a token.
const typeBytes = "\x00\x02"

// inputOf returns a token without its authenticator: the token_input of RFC 9578,
// section 6.1.
func inputOf(nonce, challenge, keyID [32]byte) []byte {
	return join(typeBytes, nonce[:], challenge[:], keyID[:])
}

// join puts label and parts one after the other. A helper because each append
// takes its place in the browser's core.
func join(label string, parts ...[]byte) []byte {
	b := []byte(label)
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// nonceOf returns the nonce of the token whose holder has a public key.
func nonceOf(pk []byte) [32]byte { return sha256.Sum256(join(holderLabel, pk)) }

// holderOf derives the holder's key.
func holderOf(seed *[seedSize]byte) (ed25519.PrivateKey, error) {
	b, err := hkdf.Expand(sha256.New, seed[:], seedKey, ed25519.SeedSize)
	if err != nil {
		return nil, err
	}
	return ed25519.NewKeyFromSeed(b), nil
}

// stream is the salt and the blinding factor of a seed's token, as random bytes
// without end: the blocks HKDF-Expand(seed, label ‖ u32 i, 256) for i = 0, 1, ….
// Blinding draws from it until a number is below the modulus.
type stream struct {
	seed [seedSize]byte
	i    uint32
	rest []byte
}

func (s *stream) Read(b []byte) (int, error) {
	if len(s.rest) == 0 {
		info := binary.BigEndian.AppendUint32([]byte(seedStream), s.i)
		block, err := hkdf.Expand(sha256.New, s.seed[:], string(info), BlindedSize)
		if err != nil {
			return 0, err
		}
		s.i++
		s.rest = block
	}
	n := copy(b, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// Token is a signed token with what it takes to spend it. It is secret.
type Token struct {
	hidden
	bytes [Size]byte
	seed  [seedSize]byte
}

// Marshal returns the token as it is shown, Size bytes: without the holder's key,
// so nobody can spend it from these.
func (t Token) Marshal() []byte { return join("", t.bytes[:]) }

// ID returns the SHA-256 of the token.
func (t Token) ID() [32]byte { return sha256.Sum256(t.bytes[:]) }

// KeyID returns the id of the key that the token is signed with.
func (t Token) KeyID() [32]byte { return [32]byte(t.bytes[66:98]) }

// StoredSize is the size of a token with its holder's seed.
const StoredSize = seedSize + Size

// Store returns the token and its holder's seed in the clear, StoredSize bytes.
// The caller seals them before they are stored.
func (t Token) Store() []byte { return join("", t.seed[:], t.bytes[:]) }

// Restore reads what [Token.Store] returned. It checks all but the signature,
// which was checked before.
func Restore(b []byte) (Token, error) {
	if len(b) != StoredSize {
		return Token{}, fail(Malformed)
	}
	t := Token{seed: [seedSize]byte(b), bytes: [Size]byte(b[seedSize:])}
	holder, err := holderOf(&t.seed)
	if err != nil {
		return Token{}, err
	}
	nonce := nonceOf(holder.Public().(ed25519.PublicKey))
	if string(t.bytes[:2]) != typeBytes || [32]byte(t.bytes[2:]) != nonce {
		return Token{}, fail(Malformed)
	}
	return t, nil
}

// HeaderDigest returns the SHA-256 of the envelope header of a sealed message:
// what the holder signs of it. The header binds the rest, and a node opens each
// only once.
func HeaderDigest(message []byte) ([32]byte, error) {
	h, err := envelope.Parse(message)
	if err != nil {
		return [32]byte{}, err
	}
	return sha256.Sum256(message[:h.Len]), nil
}

// ErrNotSealed means that a token was to be spent on something that isn't a
// sealed message.
var ErrNotSealed = errors.New("token: only a sealed message can be paid for")

// Fields returns the fields that spend the token on a sealed message: authorization,
// sotto-holder, and sotto-refund when refund, a blinded message of BlindedSize
// bytes for the case that no answer comes, isn't empty. The holder's signature
// is over message and refund, so neither can be exchanged.
func (t Token) Fields(message, refund []byte) ([]bhttp.Field, error) {
	digest, err := HeaderDigest(message)
	if err != nil {
		return nil, ErrNotSealed
	}
	return t.fields(spendLabel, digest, refund)
}

// RefundFields returns the fields that ask for the refund of the token when its
// answer never came. refund is what Fields was given.
func (t Token) RefundFields(refund []byte) ([]bhttp.Field, error) {
	if len(refund) == 0 {
		return nil, fail(RefundMalformed)
	}
	return t.fields(refundLabel, noHeader, refund)
}

// noHeader stands where a request for a refund has no message: the SHA-256 of
// nothing.
var noHeader = sha256.Sum256(nil)

func (t Token) fields(label string, header [32]byte, refund []byte) ([]bhttp.Field, error) {
	if len(refund) != 0 && len(refund) != BlindedSize {
		return nil, fail(RefundMalformed)
	}
	key, err := holderOf(&t.seed)
	if err != nil {
		return nil, err
	}
	sig := ed25519.Sign(key, signed(label, t.ID(), header, refund))
	holder := join("", key.Public().(ed25519.PublicKey), sig)
	fields := []bhttp.Field{
		{Name: FieldToken, Value: scheme + encode(t.bytes[:]) + schemeEnd},
		{Name: FieldHolder, Value: encode(holder)},
	}
	if len(refund) > 0 {
		fields = append(fields, bhttp.Field{Name: FieldRefund, Value: encode(refund)})
	}
	return fields, nil
}

// signed returns what a holder signs: label ‖ SHA-256(token) ‖ header digest ‖
// SHA-256(refund).
func signed(label string, id, header [32]byte, refund []byte) []byte {
	digest := sha256.Sum256(refund)
	return join(label, id[:], header[:], digest[:])
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
