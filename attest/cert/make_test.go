// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package cert

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"math/big"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/attest/cert/der"
)

// This file makes certificates and lists piece by piece, so that a test can break
// one piece and have the rest signed as it should be.

var testTime = time.Unix(1_800_000_000, 0).UTC()

// Keys, made once. Those of ECDSA are the same in every run.
var (
	p256    = [...]*ecdsa.PrivateKey{fixedKey(elliptic.P256(), 1), fixedKey(elliptic.P256(), 2), fixedKey(elliptic.P256(), 3), fixedKey(elliptic.P256(), 4)}
	p384    = fixedKey(elliptic.P384(), 1)
	p521    = fixedKey(elliptic.P521(), 1)
	rsaKey  = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	rsaKey2 = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func fixedKey(c elliptic.Curve, seed byte) *ecdsa.PrivateKey {
	d := sha512.Sum512([]byte{seed})
	n := make([]byte, (c.Params().BitSize+7)/8)
	copy(n[1:], d[:])
	n[0] = 0
	return must(ecdsa.ParseRawPrivateKey(c, n))
}

// el makes an element of parts.
func el(tag byte, parts ...[]byte) []byte {
	content := bytes.Join(parts, nil)
	n := len(content)
	b := []byte{tag}
	switch {
	case n < 1<<7:
		b = append(b, byte(n))
	case n < 1<<8:
		b = append(b, 0x81, byte(n))
	case n < 1<<16:
		b = append(b, 0x82, byte(n>>8), byte(n))
	default:
		b = append(b, 0x83, byte(n>>16), byte(n>>8), byte(n))
	}
	return append(b, content...)
}

func seq(parts ...[]byte) []byte { return el(der.Sequence, parts...) }
func num(n int64) []byte         { return bigNum(big.NewInt(n)) }
func null5() []byte              { return el(der.Null) }
func text(s string) []byte       { return el(der.UTF8String, []byte(s)) }
func bits(b []byte) []byte       { return el(der.BitString, []byte{0}, b) }
func octets(b ...[]byte) []byte  { return el(der.OctetString, b...) }
func yes() []byte                { return el(der.Boolean, []byte{0xff}) }
func no() []byte                 { return el(der.Boolean, []byte{0}) }
func utc(t time.Time) []byte     { return el(der.UTCTime, []byte(t.UTC().Format("060102150405Z"))) }
func in(n byte, parts ...[]byte) []byte {
	return el(der.Context(n), parts...)
}

func bigNum(n *big.Int) []byte {
	b := n.Bytes()
	if len(b) == 0 || b[0] >= 0x80 {
		b = append([]byte{0}, b...)
	}
	return el(der.Integer, b)
}

func oid(s string) []byte {
	var arcs []uint64
	for p := range strings.SplitSeq(s, ".") {
		arcs = append(arcs, must(strconv.ParseUint(p, 10, 64)))
	}
	arcs[1] += 40 * arcs[0]
	var out []byte
	for _, n := range arcs[1:] {
		b := []byte{byte(n & 0x7f)}
		for n >>= 7; n > 0; n >>= 7 {
			b = append([]byte{byte(n&0x7f) | 0x80}, b...)
		}
		out = append(out, b...)
	}
	return el(der.OID, out)
}

func name(cn string) []byte { return seq(el(der.Set, seq(oid("2.5.4.3"), text(cn)))) }

// Algorithm identifiers.
var (
	algECDSA256 = seq(oid("1.2.840.10045.4.3.2"))
	algECDSA384 = seq(oid("1.2.840.10045.4.3.3"))
	algPKCS256  = seq(oid("1.2.840.113549.1.1.11"), null5())
	algPKCS384  = seq(oid("1.2.840.113549.1.1.12"), null5())
	hash256     = seq(oid("2.16.840.1.101.3.4.2.1"), null5())
	hash384     = seq(oid("2.16.840.1.101.3.4.2.2"), null5())
	algPSS256   = pss(in(0, hash256), in(1, mgf1(hash256)), in(2, num(32)), in(3, num(1)))
	algPSS384   = pss(in(0, hash384), in(1, mgf1(hash384)), in(2, num(48)), in(3, num(1)))
)

func pss(parts ...[]byte) []byte { return seq(oid(oidPSS), seq(parts...)) }
func mgf1(hash []byte) []byte    { return seq(oid(oidMGF1), hash) }

func spki(key crypto.PublicKey) []byte { return must(x509.MarshalPKIXPublicKey(key)) }

func ext(id string, value ...[]byte) []byte { return seq(oid(id), octets(value...)) }
func critical(id string, value ...[]byte) []byte {
	return seq(oid(id), yes(), octets(value...))
}

var (
	extCA     = critical(oidBasicConstraints, seq(yes()))
	extCASign = critical(oidKeyUsage, el(der.BitString, []byte{1, 0x06})) // certificates and lists
)

func extPath(n int64) []byte { return critical(oidBasicConstraints, seq(yes(), num(n))) }

// pieces are the pieces of a certificate, each of which a test can replace, and
// what may stand where there is nothing.
type pieces struct {
	version, serial, alg, issuer, validity, subject, key, unique, extensions, tbsTail []byte
	outerAlg, signature, tail, after                                                  []byte
	exts                                                                              [][]byte // if extensions is nil
}

// a certificate of the key 0, issued by "ca" with the key 1.
func leafPieces() pieces {
	return pieces{
		version: in(0, num(2)), serial: num(1234), alg: algECDSA256, issuer: name("ca"),
		validity: seq(utc(testTime.Add(-time.Hour)), utc(testTime.Add(time.Hour))), subject: name("leaf"),
		key: spki(&p256[0].PublicKey), exts: [][]byte{ext("1.3.6.1.4.1.3704.1.1", num(7))},
	}
}

func caPieces(subject, issuer string, key crypto.PublicKey, exts ...[]byte) pieces {
	p := leafPieces()
	p.subject, p.issuer, p.key = name(subject), name(issuer), spki(key)
	if p.exts = exts; exts == nil {
		p.exts = [][]byte{extCA, extCASign}
	}
	return p
}

func (p pieces) tbs() []byte {
	extensions := p.extensions
	if extensions == nil && len(p.exts) > 0 {
		extensions = in(3, seq(p.exts...))
	}
	return seq(p.version, p.serial, p.alg, p.issuer, p.validity, p.subject, p.key, p.unique, extensions, p.tbsTail)
}

// by has the pieces signed.
func (p pieces) by(key crypto.Signer) []byte {
	return sealed(p.tbs(), p.alg, p.outerAlg, p.signature, p.tail, p.after, key)
}

func sealed(tbs, alg, outerAlg, signature, tail, after []byte, key crypto.Signer) []byte {
	if outerAlg == nil {
		outerAlg = alg
	}
	if signature == nil {
		signature = bits(sign(key, alg, tbs))
	}
	return append(seq(tbs, outerAlg, signature, tail), after...)
}

// sign signs a message as an algorithm identifier says; with ECDSA, the same
// message gets the same signature.
func sign(key crypto.Signer, alg, message []byte) []byte {
	d256, d384 := sha256.Sum256(message), sha512.Sum384(message)
	digest, hash := d256[:], crypto.SHA256
	if bytes.Equal(alg, algECDSA384) || bytes.Equal(alg, algPKCS384) || bytes.Equal(alg, algPSS384) {
		digest, hash = d384[:], crypto.SHA384
	}
	var opts crypto.SignerOpts = hash
	if bytes.HasPrefix(alg[2:], oid(oidPSS)) {
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
	}
	if _, ok := key.(*ecdsa.PrivateKey); ok {
		return must(key.Sign(nil, digest, opts))
	}
	return must(key.Sign(rand.Reader, digest, opts))
}

func parsed(t testing.TB, raw []byte) *Certificate {
	t.Helper()
	c, err := Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The list of "ca", signed by the key 1.
type listPieces struct {
	version, alg, issuer, this, next, entries, extensions, tbsTail []byte
	outerAlg, signature, tail, after                               []byte
	list, exts                                                     [][]byte // if entries, extensions are nil
}

func crlPieces() listPieces {
	return listPieces{
		version: num(1), alg: algECDSA256, issuer: name("ca"),
		this: utc(testTime.Add(-time.Hour)), next: utc(testTime.Add(time.Hour)),
		list: [][]byte{
			entry(num(1234)),
			entry(num(200), ext("2.5.29.21", el(der.Enumerated, []byte{1}))),
		},
		exts: [][]byte{ext("2.5.29.20", num(5)), ext("2.5.29.35", seq(el(0x80, []byte("key"))))},
	}
}

func entry(serial []byte, exts ...[]byte) []byte {
	if len(exts) == 0 {
		return seq(serial, utc(testTime))
	}
	return seq(serial, utc(testTime), seq(exts...))
}

func (p listPieces) by(key crypto.Signer) []byte {
	entries, extensions := p.entries, p.extensions
	if entries == nil && len(p.list) > 0 {
		entries = seq(p.list...)
	}
	if extensions == nil && len(p.exts) > 0 {
		extensions = in(0, seq(p.exts...))
	}
	tbs := seq(p.version, p.alg, p.issuer, p.this, p.next, entries, extensions, p.tbsTail)
	return sealed(tbs, p.alg, p.outerAlg, p.signature, p.tail, p.after, key)
}
