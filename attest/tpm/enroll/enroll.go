// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package enroll certifies a TPM's attestation key (AK). A TPM's maker certifies
// only its endorsement key (EK), which can decrypt and not sign. A registrar gives
// the AK a certificate after the TPM proved that both are in it (TPM 2.0 Library,
// part 1, section 24, credential protection). Three messages, each a string of
// bytes that a file or a mail can carry:
//
//	machine                                   registrar
//	Request(EK certificates, EK, AK)  ──────▶ Challenge: EK's chain, AK's properties;
//	                                          a secret, encrypted to EK and AK's name
//	TPM2_ActivateCredential           ◀──────
//	Answer(challenge, secret)         ──────▶ Certify: a certificate of the AK
//
// The TPM gives the secret out only if it has the EK's private half and a loaded
// key of exactly the AK's name. The certificate names the AK's whole public area,
// so that nobody can later show the same key with other properties.
//
// A registrar runs on a server or at a desk. Nothing here is linked into a client.
package enroll

import (
	"crypto"
	"crypto/aes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/sotto-chat/sotto/attest/cert"
	"github.com/sotto-chat/sotto/attest/section"
	"github.com/sotto-chat/sotto/attest/tpm"
)

// MaxPending is how long a machine may take to answer a challenge.
const MaxPending = time.Hour

// Labels with which messages begin, so that none is taken for another.
const (
	labelRequest   = "sotto/1 tpm enrolment request"
	labelChallenge = "sotto/1 tpm enrolment challenge"
	labelAnswer    = "sotto/1 tpm enrolment answer"
	labelPending   = "sotto/1 tpm enrolment pending"
)

const kindLabel = 1

// message makes a container of a label and sections of the kinds 2, 3, ….
func message(label string, parts ...[]byte) []byte {
	out := section.Append(nil, kindLabel, []byte(label))
	for i, p := range parts {
		out = section.Append(out, byte(2+i), p)
	}
	return out
}

func open(label string, data []byte, rules ...section.Rule) (section.Sections, error) {
	s, err := section.Parse(data, append([]section.Rule{{Kind: kindLabel, Name: "label", Min: 1, Max: 1, MaxLen: 64}}, rules...))
	if err == nil && string(s.One(kindLabel)) != label {
		err = errors.New("it is no " + label[len("sotto/1 "):])
	}
	return s, err
}

func one(kind byte, name string, most int) section.Rule {
	return section.Rule{Kind: kind, Name: name, Min: 1, Max: 1, MaxLen: most}
}

// Request is a machine's wish to have its AK certified: TPMT_PUBLIC of EK and AK,
// and the DER certificates of the EK, its own first, the root's too.
func Request(ek, ak []byte, certificates [][]byte) []byte {
	out := message(labelRequest, ek, ak)
	for _, c := range certificates {
		out = section.Append(out, 4, c)
	}
	return out
}

// Registrar certifies AKs.
type Registrar struct {
	Roots []cert.Root // authorities that certify EKs

	Key    crypto.Signer // certifies AKs
	Chain  [][]byte      // DER: Key's certificate first, the root's last
	Expiry time.Duration // lifetime of the certificates of AKs
}

// Challenge judges a request at time now. The machine gets the challenge. The
// registrar keeps pending to itself until the answer comes.
func (r *Registrar) Challenge(request []byte, now time.Time) (challenge, pending []byte, err error) {
	s, err := open(labelRequest, request, one(2, "endorsement key", 1024), one(3, "attestation key", 1024),
		section.Rule{Kind: 4, Name: "certificate", Min: 1, Max: 8, MaxLen: cert.MaxSize})
	if err != nil {
		return nil, nil, fmt.Errorf("request: %w", err)
	}
	ek, err := tpm.ParsePublic(s.One(2))
	if err != nil {
		return nil, nil, fmt.Errorf("request: endorsement key: %w", err)
	}
	ak, err := tpm.ParsePublic(s.One(3))
	if err != nil {
		return nil, nil, fmt.Errorf("request: attestation key: %w", err)
	}
	if err := r.endorsed(ek, s.All(4), now); err != nil {
		return nil, nil, err
	}
	// A key for any scheme has no hash either.
	if !ak.Vouches() || ak.Hash != tpm.AlgSHA256 && ak.Hash != tpm.AlgSHA384 {
		return nil, nil, errors.New("the attestation key can leave its TPM, or sign what the TPM didn't make")
	}
	secret := make([]byte, 32)
	rand.Read(secret) // never fails
	id, encrypted := makeCredential(ek, ak.Name(), secret)
	challenge = message(labelChallenge, id, encrypted)
	until := binary.BigEndian.AppendUint64(nil, uint64(now.Add(MaxPending).Unix()))
	return challenge, message(labelPending, ak.Raw, proof(challenge, secret), until), nil
}

// endorsed checks that the EK is certified as one, under the registrar's roots.
func (r *Registrar) endorsed(ek *tpm.Public, certificates [][]byte, now time.Time) error {
	certs, err := cert.ParseAll(certificates)
	if err != nil {
		return fmt.Errorf("certificate of the endorsement key: %w", err)
	}
	if _, err := cert.Chain(certs[0], certs[1:], r.Roots, now.Unix()); err != nil {
		return fmt.Errorf("certificate of the endorsement key: %w", err)
	}
	switch {
	case !ek.Certified(certs[0]):
		return errors.New("the certificate is of another endorsement key")
	case certs[0].IsCA || !tpm.HasPurpose(certs[0], tpm.PurposeEK):
		return errors.New("the certificate is not one of an endorsement key")
	case !ek.Endorses():
		return errors.New("the endorsement key can leave its TPM, or decrypt what isn't meant for the TPM")
	}
	return nil
}

// ParseChallenge gives what TPM2_ActivateCredential takes: the contents of
// TPM2B_ID_OBJECT and of TPM2B_ENCRYPTED_SECRET.
func ParseChallenge(challenge []byte) (idObject, secret []byte, err error) {
	s, err := open(labelChallenge, challenge, one(2, "credential", 256), one(3, "secret", 1024))
	if err != nil {
		return nil, nil, fmt.Errorf("challenge: %w", err)
	}
	return s.One(2), s.One(3), nil
}

// Answer proves that the TPM gave the secret of a challenge out.
func Answer(challenge, secret []byte) []byte {
	return message(labelAnswer, proof(challenge, secret))
}

// proof binds an answer to the challenge, without showing the secret.
func proof(challenge, secret []byte) []byte {
	m := hmac.New(sha256.New, secret)
	m.Write([]byte("sotto/1 tpm enrolment\x00"))
	m.Write(challenge)
	return m.Sum(nil)
}

// Certify returns the AK's certificate and the registrar's chain, each DER, if the
// answer is right. A pending enrolment must be used once only: the caller
// forgets it, whatever comes out.
func (r *Registrar) Certify(pending, answer []byte, now time.Time) ([][]byte, error) {
	p, err := open(labelPending, pending, one(2, "attestation key", 1024), one(3, "proof", 32), one(4, "time", 8))
	if err != nil || len(p.One(4)) != 8 {
		return nil, fmt.Errorf("pending enrolment: %w", errors.Join(err, errors.New("it can't be read")))
	}
	a, err := open(labelAnswer, answer, one(2, "proof", 32))
	if err != nil {
		return nil, fmt.Errorf("answer: %w", err)
	}
	if now.Unix() >= int64(binary.BigEndian.Uint64(p.One(4))) {
		return nil, errors.New("the answer came too late")
	}
	if subtle.ConstantTimeCompare(p.One(3), a.One(2)) != 1 {
		return nil, errors.New("the answer is wrong: the two keys are not in one TPM")
	}
	ak, err := tpm.ParsePublic(p.One(2))
	if err != nil {
		return nil, fmt.Errorf("pending enrolment: %w", err)
	}
	issuer, err := x509.ParseCertificate(r.Chain[0])
	if err != nil {
		return nil, fmt.Errorf("certificate of the registrar: %w", err)
	}
	serial := make([]byte, 16)
	rand.Read(serial)
	serial[0] = serial[0]&0x7f | 0x40 // positive, and always as long
	area := sha256.Sum256(ak.Raw)
	leaf := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial),
		Subject:      pkix.Name{SerialNumber: hex.EncodeToString(area[:])},
		NotBefore:    now.Add(-5 * time.Minute), NotAfter: now.Add(r.Expiry),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		UnknownExtKeyUsage:    []asn1.ObjectIdentifier{{2, 23, 133, 8, 3}},
	}
	signed, err := x509.CreateCertificate(rand.Reader, leaf, issuer, publicKey(ak), r.Key)
	if err != nil {
		return nil, fmt.Errorf("certify: %w", err)
	}
	return append([][]byte{signed}, r.Chain...), nil
}

func curveOf(p *tpm.Public) (elliptic.Curve, ecdh.Curve) {
	if p.Curve == tpm.CurveP384 {
		return elliptic.P384(), ecdh.P384()
	}
	return elliptic.P256(), ecdh.P256()
}

// publicKey gives a key of a TPM to the standard library. The point of an ECC key
// was found on its curve when it was parsed.
func publicKey(p *tpm.Public) crypto.PublicKey {
	if p.Type == tpm.AlgRSA {
		return &rsa.PublicKey{N: new(big.Int).SetBytes(p.Modulus), E: 65537}
	}
	curve, _ := curveOf(p)
	k, _ := ecdsa.ParseUncompressedPublicKey(curve, point(p))
	return k
}

func point(p *tpm.Public) []byte { return append(append([]byte{4}, p.X...), p.Y...) }

// Labels of key derivation, with the zero byte that ends them (part 1, annex B.10.4
// and section 24).
const (
	useIdentity  = "IDENTITY\x00"
	useStorage   = "STORAGE\x00"
	useIntegrity = "INTEGRITY\x00"
)

// makeCredential is TPM2_MakeCredential (part 3, section 12.6) in software: what
// only a TPM with the EK's private half and a key of that name can open. It
// returns the contents of TPM2B_ID_OBJECT and of TPM2B_ENCRYPTED_SECRET. Nothing in
// it can fail, with keys of the kinds that [tpm.Public.Endorses] takes.
func makeCredential(ek *tpm.Public, name, secret []byte) (idObject, encrypted []byte) {
	h := crypto.SHA256
	if ek.NameAlg == tpm.AlgSHA384 {
		h = crypto.SHA384
	}
	var seed []byte
	if ek.Type == tpm.AlgRSA {
		// Part 1, annex B.10.4: OAEP with the hash of the EK's name.
		seed = make([]byte, h.Size())
		rand.Read(seed)
		encrypted, _ = rsa.EncryptOAEP(h.New(), rand.Reader, publicKey(ek).(*rsa.PublicKey), seed, []byte(useIdentity))
	} else {
		seed, encrypted = sharedSeed(h, ek)
	}
	block, _ := aes.NewCipher(kdfa(h, seed, useStorage, name, int(ek.SymmetricBits)))
	sealed := encryptCFB(block, sized(secret))
	m := hmac.New(h.New, kdfa(h, seed, useIntegrity, nil, 8*h.Size()))
	m.Write(sealed)
	m.Write(name)
	return append(sized(m.Sum(nil)), sealed...), encrypted
}

// sharedSeed agrees on a seed with an ECC key (part 1, annex C.6.4) and returns
// the TPMS_ECC_POINT that the TPM needs to do the same.
func sharedSeed(h crypto.Hash, ek *tpm.Public) (seed, encrypted []byte) {
	_, curve := curveOf(ek)
	theirs, _ := curve.NewPublicKey(point(ek))
	ours, _ := curve.GenerateKey(rand.Reader)
	z, _ := ours.ECDH(theirs)
	p := ours.PublicKey().Bytes()[1:]
	x, y := p[:len(p)/2], p[len(p)/2:]
	// KDFe (part 1, section 11.4.10.3) of as many bits as the hash has: one round.
	d := h.New()
	d.Write([]byte{0, 0, 0, 1})
	d.Write(z)
	d.Write([]byte(useIdentity))
	d.Write(x)
	d.Write(ek.X)
	return d.Sum(nil), append(sized(x), sized(y)...)
}

// kdfa is KDFa (part 1, section 11.4.10.2) of at most as many bits as the hash
// has: one round.
func kdfa(h crypto.Hash, key []byte, label string, context []byte, bits int) []byte {
	m := hmac.New(h.New, key)
	m.Write([]byte{0, 0, 0, 1})
	m.Write([]byte(label))
	m.Write(context)
	m.Write(binary.BigEndian.AppendUint32(nil, uint32(bits)))
	return m.Sum(nil)[:bits/8]
}

// encryptCFB encrypts with full-block feedback (NIST SP 800-38A, section 6.3) and
// a zero vector, as TPMs do. The standard library calls its own deprecated; there is nothing to
// get wrong here, since each key is used once and a MAC is over the result.
func encryptCFB(block interface{ Encrypt(dst, src []byte) }, plain []byte) []byte {
	var out []byte
	feedback := make([]byte, aes.BlockSize)
	for len(plain) > 0 {
		block.Encrypt(feedback, feedback)
		n := subtle.XORBytes(feedback, feedback, plain)
		out, plain = append(out, feedback[:n]...), plain[n:]
	}
	return out
}

func sized(b []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
}
