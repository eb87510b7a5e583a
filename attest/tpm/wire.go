// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tpm

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"math/big"
	"strconv"

	"github.com/sotto-chat/sotto/attest/cert"
)

// Algorithms (TPM 2.0 Library, part 2, table 9; TCG Algorithm Registry, table 3).
const (
	AlgRSA    = 0x0001
	AlgSHA1   = 0x0004
	AlgAES    = 0x0006
	AlgSHA256 = 0x000b
	AlgSHA384 = 0x000c
	AlgSHA512 = 0x000d
	AlgNull   = 0x0010
	AlgSM3    = 0x0012
	AlgRSASSA = 0x0014
	AlgRSAPSS = 0x0016
	AlgECDSA  = 0x0018
	AlgECC    = 0x0023
	AlgCFB    = 0x0043

	CurveP256 = 0x0003
	CurveP384 = 0x0004
)

// Attributes of an object (part 2, section 8.3, TPMA_OBJECT).
const (
	FixedTPM             = 1 << 1
	StClear              = 1 << 2
	FixedParent          = 1 << 4
	SensitiveDataOrigin  = 1 << 5
	UserWithAuth         = 1 << 6
	AdminWithPolicy      = 1 << 7
	FirmwareLimited      = 1 << 8
	SVNLimited           = 1 << 9
	NoDA                 = 1 << 10
	EncryptedDuplication = 1 << 11
	Restricted           = 1 << 16
	Decrypt              = 1 << 17
	Sign                 = 1 << 18
	X509Sign             = 1 << 19

	attributesKnown = FixedTPM | StClear | FixedParent | SensitiveDataOrigin | UserWithAuth | AdminWithPolicy |
		FirmwareLimited | SVNLimited | NoDA | EncryptedDuplication | Restricted | Decrypt | Sign | X509Sign
)

const (
	generatedValue = 0xff544347 // TPM_GENERATED_VALUE (part 2, section 6.2)
	tagQuote       = 0x8018     // TPM_ST_ATTEST_QUOTE (part 2, section 6.9)

	registers = 24 // of a PC client TPM
)

// digestSize returns the bytes of a digest of alg, 0 of an unknown one.
func digestSize(alg uint16) int {
	switch alg {
	case AlgSHA1:
		return 20
	case AlgSHA256, AlgSM3:
		return 32
	case AlgSHA384:
		return 48
	case AlgSHA512:
		return 64
	}
	return 0
}

// strong reports whether this package counts on digests of alg.
func strong(alg uint16) bool { return alg == AlgSHA256 || alg == AlgSHA384 || alg == AlgSHA512 }

// digest hashes the parts with a strong algorithm.
func digest(alg uint16, parts ...[]byte) []byte {
	h := sha256.New()
	switch alg {
	case AlgSHA384:
		h = sha512.New384()
	case AlgSHA512:
		h = sha512.New()
	}
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// reader takes big-endian fields off a structure. A field that isn't there breaks
// it, and what it gives from then on counts for nothing.
type reader struct {
	b      []byte
	broken bool
}

func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.broken = true
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) number(n int) (v uint64) {
	for _, c := range r.take(n) {
		v = v<<8 | uint64(c)
	}
	return v
}

func (r *reader) u8() byte    { return byte(r.number(1)) }
func (r *reader) u16() uint16 { return uint16(r.number(2)) }
func (r *reader) u32() uint32 { return uint32(r.number(4)) }

// sized takes a TPM2B: a length [2] and as many bytes.
func (r *reader) sized() []byte { return r.take(int(r.u16())) }

// end is the error of a structure that is cut off or goes on.
func (r *reader) end(what string) error {
	switch {
	case r.broken:
		return errors.New("the " + what + " is cut off")
	case len(r.b) > 0:
		return errors.New("bytes follow the " + what)
	}
	return nil
}

// Selection is the registers of one bank that a quote speaks of.
type Selection struct {
	Bank uint16
	PCRs uint32 // bit n for register n
}

// Quote is a TPMS_ATTEST of the type quote (part 2, section 10.12.12).
type Quote struct {
	QualifiedSigner []byte // name of the signing key with all its parents (part 1, section 16)
	ExtraData       []byte // what the caller asked to have signed: our nonce
	Clock           uint64 // milliseconds
	ResetCount      uint32
	RestartCount    uint32
	Safe            bool // no time was lost since the last value of Clock
	Firmware        uint64
	Selections      []Selection
	Digest          []byte // of the selected registers, with the hash of the signature
}

// ParseQuote reads the bytes that a TPM signed.
func ParseQuote(b []byte) (*Quote, error) {
	r := reader{b: b}
	if r.u32() != generatedValue && !r.broken {
		return nil, errors.New("the quote wasn't made by a TPM")
	}
	if r.u16() != tagQuote && !r.broken {
		return nil, errors.New("the TPM signed something else than a quote")
	}
	q := &Quote{QualifiedSigner: r.sized(), ExtraData: r.sized()}
	q.Clock = r.number(8)
	q.ResetCount, q.RestartCount = r.u32(), r.u32()
	safe := r.u8()
	q.Safe = safe == 1
	q.Firmware = r.number(8)
	n := r.u32()
	switch {
	case r.broken:
		return nil, r.end("quote")
	case !isName(q.QualifiedSigner):
		return nil, errors.New("the quote's signer is not a name")
	case len(q.ExtraData) > 64:
		return nil, errors.New("the quote's nonce is longer than a TPM takes")
	case safe > 1:
		return nil, errors.New("the quote's clock is neither safe nor unsafe")
	case n == 0:
		return nil, errors.New("the quote speaks of no bank")
	}
	for range n { // which ends with the quote's bytes, or with a bank that was there
		s := Selection{Bank: r.u16()}
		size := r.u8()
		// The PC client profile has three bytes for 24 registers, and a TPM keeps
		// the length that it was given.
		if size != registers/8 && !r.broken {
			return nil, errors.New("the quote's selection is not of " + strconv.Itoa(registers) + " registers")
		}
		for i, c := range r.take(registers / 8) {
			s.PCRs |= uint32(c) << (8 * i)
		}
		if r.broken {
			break
		}
		if digestSize(s.Bank) == 0 {
			return nil, errors.New("the quote speaks of a bank that is not known")
		}
		for _, o := range q.Selections {
			if o.Bank == s.Bank {
				return nil, errors.New("the quote speaks of a bank twice")
			}
		}
		q.Selections = append(q.Selections, s)
	}
	q.Digest = r.sized()
	if err := r.end("quote"); err != nil {
		return nil, err
	}
	return q, nil
}

// isName reports whether b is a name: a hash algorithm [2] and a digest.
func isName(b []byte) bool {
	return len(b) > 2 && len(b) == 2+digestSize(binary.BigEndian.Uint16(b))
}

// value is one quoted register.
type value struct {
	bank  uint16
	pcr   int
	bytes []byte
}

// split gives each selected register its part of the values, which is in the
// order in which a TPM hashes them: banks as in the quote, registers ascending.
func (q *Quote) split(values []byte) ([]value, error) {
	r := reader{b: values}
	var out []value
	for _, s := range q.Selections {
		for i := range registers {
			if s.PCRs>>i&1 == 1 {
				out = append(out, value{s.Bank, i, r.take(digestSize(s.Bank))})
			}
		}
	}
	if r.broken || len(r.b) > 0 {
		return nil, errors.New("the registers are not those that the quote speaks of")
	}
	return out, nil
}

var errScheme = errors.New("the key signs in a way that is not known")

// Signature is a TPMT_SIGNATURE (part 2, section 11.3.4).
type Signature struct {
	Scheme, Hash uint16 // AlgRSASSA, AlgRSAPSS or AlgECDSA, and its hash
	RSA          []byte
	R, S         []byte // big-endian
}

// ParseSignature reads a signature of the kinds that quotes have.
func ParseSignature(b []byte) (*Signature, error) {
	r := reader{b: b}
	s := &Signature{Scheme: r.u16(), Hash: r.u16()}
	switch s.Scheme {
	case AlgRSASSA, AlgRSAPSS:
		s.RSA = r.sized()
	case AlgECDSA:
		s.R, s.S = r.sized(), r.sized()
	default:
		if !r.broken {
			return nil, errors.New("the signature is of a kind that is not known")
		}
	}
	if err := r.end("signature"); err != nil {
		return nil, err
	}
	return s, nil
}

// Public is a TPMT_PUBLIC (part 2, section 12.2.4) of an RSA or ECC key.
type Public struct {
	Raw        []byte // the whole structure
	Type       uint16 // AlgRSA, AlgECC
	NameAlg    uint16 // AlgSHA256, AlgSHA384
	Attributes uint32
	AuthPolicy []byte

	// Of storage keys: AlgAES with the bits of a key and AlgCFB, else AlgNull.
	Symmetric, SymmetricBits, SymmetricMode uint16

	// Of signing keys: AlgRSASSA, AlgRSAPSS or AlgECDSA and its hash, else AlgNull.
	Scheme, Hash uint16

	Bits    int    // of an RSA modulus: 2,048 to 4,096
	Modulus []byte // big-endian
	Curve   uint16 // CurveP256, CurveP384
	X, Y    []byte // big-endian, padded to the size of the curve

	key *cert.PublicKey
	rsa *rsa.PublicKey // the same again, or nil
}

// ParsePublic reads the public area of a key. It accepts what an attestation or
// an endorsement key can be: RSA with 2,048 to 4,096 bits and the usual exponent,
// or ECC on P-256 or P-384, named by SHA-256 or SHA-384.
func ParsePublic(b []byte) (*Public, error) {
	r := reader{b: b}
	p := &Public{Raw: b, Type: r.u16(), NameAlg: r.u16(), Attributes: r.u32(), AuthPolicy: r.sized()}
	switch {
	case r.broken:
	case p.Type != AlgRSA && p.Type != AlgECC:
		return nil, errors.New("the key is neither RSA nor ECC")
	case p.NameAlg != AlgSHA256 && p.NameAlg != AlgSHA384:
		return nil, errors.New("the key is named by a hash that is not accepted")
	case p.Attributes&^uint32(attributesKnown) != 0:
		return nil, errors.New("the key has attributes that are not known")
	case len(p.AuthPolicy) != 0 && len(p.AuthPolicy) != digestSize(p.NameAlg):
		return nil, errors.New("the key's access rule is of a wrong length")
	}
	p.Symmetric = r.u16()
	if p.Symmetric != AlgNull {
		p.SymmetricBits, p.SymmetricMode = r.u16(), r.u16()
		if !r.broken && (p.Symmetric != AlgAES || p.SymmetricBits != 128 && p.SymmetricBits != 256 || p.SymmetricMode != AlgCFB) {
			return nil, errors.New("the key protects others in a way that is not known")
		}
	}
	p.Scheme = r.u16()
	if p.Scheme != AlgNull {
		p.Hash = r.u16()
	}
	var err error
	if p.Type == AlgRSA {
		err = p.parseRSA(&r)
	} else {
		err = p.parseECC(&r)
	}
	if err != nil {
		return nil, err
	}
	if err := r.end("key"); err != nil {
		return nil, err
	}
	return p, nil
}

// exponent is what a public area means by 0 (part 2, section 12.2.3.5).
const exponent = 65537

func (p *Public) parseRSA(r *reader) (err error) {
	p.Bits = int(r.u16())
	e := r.u32()
	p.Modulus = r.sized()
	switch {
	case r.broken:
		return nil
	case p.Scheme != AlgNull && p.Scheme != AlgRSASSA && p.Scheme != AlgRSAPSS:
		return errScheme
	case e != 0 && e != exponent:
		return errors.New("the key has an unusual exponent")
	case len(p.Modulus) != p.Bits/8 || p.Bits%8 != 0:
		return errors.New("the key's modulus is of a wrong length")
	}
	if p.key, err = cert.NewRSA(p.Modulus, exponent); err != nil {
		return errors.New("the key is not an RSA key of 2,048 to 4,096 bits")
	}
	p.rsa = &rsa.PublicKey{N: new(big.Int).SetBytes(p.Modulus), E: exponent}
	return nil
}

func (p *Public) parseECC(r *reader) (err error) {
	p.Curve = r.u16()
	kdf := r.u16()
	x, y := r.sized(), r.sized()
	if r.broken {
		return nil
	}
	name, size := "P-256", 32
	switch p.Curve {
	case CurveP256:
	case CurveP384:
		name, size = "P-384", 48
	default:
		return errors.New("the key is on a curve that is not known")
	}
	switch {
	case p.Scheme != AlgNull && p.Scheme != AlgECDSA:
		return errScheme
	case kdf != AlgNull:
		return errors.New("the key derives others in a way that is not known")
	case len(x) > size || len(y) > size:
		return errors.New("the key's point is of a wrong length")
	}
	// Some TPMs leave leading zeros out.
	p.X, p.Y = make([]byte, size), make([]byte, size)
	copy(p.X[size-len(x):], x)
	copy(p.Y[size-len(y):], y)
	if p.key, err = cert.NewECDSA(name, p.X, p.Y); err != nil {
		return errors.New("the key's point is not on its curve")
	}
	return nil
}

// vouches is what a key must be to vouch for its TPM.
const vouches = FixedTPM | FixedParent | SensitiveDataOrigin | Restricted | Sign

// Vouches reports whether the key was made in its TPM, can't leave it, and signs
// only what the TPM made: an attestation key.
func (p *Public) Vouches() bool {
	return p.Attributes&vouches == vouches && p.Attributes&(Decrypt|X509Sign|EncryptedDuplication) == 0 && p.Symmetric == AlgNull
}

// Endorses reports whether the key was made in its TPM, can't leave it, and
// decrypts only what the TPM uses itself: an endorsement key.
func (p *Public) Endorses() bool {
	const must = FixedTPM | FixedParent | SensitiveDataOrigin | Restricted | Decrypt
	return p.Attributes&must == must && p.Attributes&(Sign|X509Sign|EncryptedDuplication) == 0 && p.Symmetric == AlgAES && p.Scheme == AlgNull
}

// Name returns the key's name: its hash algorithm [2] and the hash of its public
// area (part 1, section 16).
func (p *Public) Name() []byte {
	return append(binary.BigEndian.AppendUint16(nil, p.NameAlg), digest(p.NameAlg, p.Raw)...)
}

// QualifiedName returns the qualified name that the key has as a primary key of
// a hierarchy (part 1, section 16).
func (p *Public) QualifiedName(hierarchy uint32) []byte {
	h := digest(p.NameAlg, binary.BigEndian.AppendUint32(nil, hierarchy), p.Name())
	return append(binary.BigEndian.AppendUint16(nil, p.NameAlg), h...)
}

// Certified reports whether a certificate's key is this one.
func (p *Public) Certified(c *cert.Certificate) bool { return p.key.Equal(c.Key) }

// Verify reports whether sig is the key's signature of message. It doesn't ask
// whether the key is meant for signatures of this scheme.
func (p *Public) Verify(message []byte, sig *Signature) bool {
	long := sig.Hash == AlgSHA384
	if !long && sig.Hash != AlgSHA256 {
		return false
	}
	switch sig.Scheme {
	case AlgECDSA:
		return p.key.VerifyRS(either(long, cert.ECDSASHA384, cert.ECDSASHA256), message, sig.R, sig.S)
	case AlgRSASSA:
		return p.key.Verify(either(long, cert.PKCS1SHA384, cert.PKCS1SHA256), message, sig.RSA)
	}
	// RSAPSS. Certificates have salts as long as the hash, TPMs of older versions
	// as long as they fit (part 1, annex B.7).
	return p.rsa != nil && rsa.VerifyPSS(p.rsa, either(long, crypto.SHA384, crypto.SHA256), digest(sig.Hash, message), sig.RSA, nil) == nil
}

func either[T any](first bool, a, b T) T {
	if first {
		return a
	}
	return b
}
