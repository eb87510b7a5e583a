// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

//go:build !js

package token

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/asn1"
	"math/big"
	"strings"
	"testing"

	"github.com/sotto-chat/sotto/seal/bhttp"
)

func sha256Sum(b []byte) [32]byte { return sha256.Sum256(b) }

// makeVectors makes all vectors but those of the RFCs. Each attack changes one
// thing and leaves the rest right.
func makeVectors(t *testing.T, v *vectors, key PrivateKey) {
	v.About = "Vectors for spec/token.md, which says how to run them under \"Vectors\". Bytes are hexadecimal."
	mint := func(mark byte, key PrivateKey, ch Challenge) Token {
		p, err := Resume(key.Public(), ch, [32]byte(bytes.Repeat([]byte{mark}, 32)))
		if err != nil {
			t.Fatal(err)
		}
		sig, err := key.Sign(p.Blinded())
		if err != nil {
			t.Fatal(err)
		}
		tok, err := p.Finish(sig)
		if err != nil {
			t.Fatal(err)
		}
		if len(v.Blind) < 3 {
			v.Blind = append(v.Blind, vectorBlind{"token-" + string('0'+mark), bytes.Repeat([]byte{mark}, 32), ch.Issuer, ch.Product, p.Blinded(), sig, tok.Marshal()})
		}
		return tok
	}
	v.Blind = nil
	one, two, three := mint(1, key, testChallenge), mint(2, key, testChallenge), mint(3, key, testChallenge)
	other, _ := testKeys()
	refund, refund2 := bytes.Repeat([]byte{0x11}, BlindedSize), bytes.Repeat([]byte{0x22}, BlindedSize)
	fields := func(tok Token, refund []byte) []bhttp.Field {
		f, err := tok.Fields(message(1), refund)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	asking := func(tok Token, refund []byte) []bhttp.Field {
		f, err := tok.RefundFields(refund)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	header, err := HeaderDigest(message(1))
	if err != nil {
		t.Fatal(err)
	}
	otherHeader, err := HeaderDigest(message(2))
	if err != nil {
		t.Fatal(err)
	}
	v.Spend = nil
	add := func(name string, expect Failure, fields []bhttp.Field, edit func(*vectorSpend)) {
		s := vectorSpend{Name: name, Expect: string(expect), Issuer: testChallenge.Issuer, Product: testChallenge.Product, Request: "spend", Header: header[:]}
		for _, f := range fields {
			s.Fields = append(s.Fields, [2]string{f.Name, f.Value})
		}
		if edit != nil {
			edit(&s)
		}
		if expect == "ok" {
			parsed, err := ParseSpend(fields)
			if err != nil {
				t.Fatal(err)
			}
			id := parsed.ID()
			s.ID = id[:]
		}
		v.Spend = append(v.Spend, s)
	}
	refundRequest := func(s *vectorSpend) { s.Request, s.Header = "refund", nil }
	set := func(fields []bhttp.Field, name, value string) []bhttp.Field {
		fields = append([]bhttp.Field(nil), fields...)
		for i := range fields {
			if fields[i].Name == name {
				fields[i].Value = value
			}
		}
		return fields
	}
	get := func(f []bhttp.Field, name string) string { return bhttp.Get(f, name) }
	without := func(f []bhttp.Field, name string) (kept []bhttp.Field) {
		for _, x := range f {
			if x.Name != name {
				kept = append(kept, x)
			}
		}
		return kept
	}
	// resigned gives a changed token, whose holder signs it as it is.
	resigned := func(tok Token, change func([]byte)) []bhttp.Field {
		change(tok.bytes[:])
		return fields(tok, nil)
	}
	good := fields(one, nil)
	add("spend", "ok", good, nil)
	add("spend-with-refund", "ok", fields(two, refund), nil)
	add("refund", "ok", asking(two, refund), refundRequest)
	add("among-other-fields", "ok", append([]bhttp.Field{{Name: "content-type", Value: "application/sotto-request"}}, good...), nil)

	add("no-token", Missing, nil, nil)
	add("holder-alone", Missing, without(good, FieldToken), nil)
	tok64 := get(good, FieldToken)
	inner := strings.TrimSuffix(strings.TrimPrefix(tok64, scheme), schemeEnd)
	for _, c := range [][2]string{
		{"other-scheme", strings.Replace(tok64, "PrivateToken", "Bearer", 1)},
		{"scheme-lower-case", strings.Replace(tok64, "PrivateToken", "privatetoken", 1)},
		{"token-without-mark", "PrivateToken token=" + inner},
		{"token-without-scheme", inner + schemeEnd},
		{"token-without-end", scheme + inner},
		{"token-cut", scheme + inner[:len(inner)-4] + schemeEnd},
		{"token-too-long", scheme + inner + "AAAA" + schemeEnd},
		{"token-padded", scheme + inner + "====" + schemeEnd},
		{"token-newline", scheme + inner[:len(inner)-1] + "\n" + schemeEnd},
		{"token-plus-slash", scheme + "+/" + inner[2:] + schemeEnd},
		{"token-parameter", tok64 + ", x=y"},
	} {
		add(c[0], Malformed, set(good, FieldToken, c[1]), nil)
	}
	add("two-tokens", Malformed, append([]bhttp.Field{{Name: FieldToken, Value: get(fields(three, nil), FieldToken)}}, good...), nil)
	add("token-type-1", Malformed, resigned(one, func(b []byte) { b[1] = 1 }), nil)

	add("foreign-issuer", Foreign, fields(mint(4, other, testChallenge), nil), nil)
	add("foreign-challenge", Foreign, good, func(s *vectorSpend) { s.Issuer = "tokens.other.example" })
	add("other-product", Foreign, good, func(s *vectorSpend) { s.Product = "other" })
	add("key-id-of-another", Foreign, resigned(one, func(b []byte) { b[66] ^= 1 }), nil)

	add("holder-missing", HolderInvalid, without(good, FieldHolder), nil)
	add("holder-twice", HolderInvalid, append(append([]bhttp.Field(nil), good...), good[1]), nil)
	add("holder-cut", HolderInvalid, set(good, FieldHolder, get(good, FieldHolder)[:124]), nil)
	add("copied-without-the-holder-s-key", HolderInvalid, copied(one, message(1)), nil)
	add("holder-of-another-token", HolderInvalid, set(good, FieldHolder, get(fields(two, nil), FieldHolder)), nil)
	add("signature-of-another-message", HolderInvalid, good, func(s *vectorSpend) { s.Header = otherHeader[:] })
	add("signature-for-a-refund", HolderInvalid, asking(one, refund), nil)
	add("refund-by-a-signature-for-a-message", HolderInvalid, fields(two, refund), refundRequest)
	swapped := set(fields(two, refund), FieldRefund, encode(refund2))
	add("refund-swapped", HolderInvalid, swapped, nil)
	add("refund-swapped-when-asked", HolderInvalid, set(asking(two, refund), FieldRefund, encode(refund2)), refundRequest)
	add("refund-taken-away", HolderInvalid, without(fields(two, refund), FieldRefund), nil)
	add("refund-added", HolderInvalid, append(append([]bhttp.Field(nil), good...), bhttp.Field{Name: FieldRefund, Value: encode(refund)}), nil)

	withRefund := fields(two, refund)
	add("refund-cut", RefundMalformed, set(withRefund, FieldRefund, encode(refund[:255])), nil)
	add("refund-padded", RefundMalformed, set(withRefund, FieldRefund, encode(refund)+"=="), nil)
	// The last character has four bits that stand for nothing.
	loose := []byte(encode(refund))
	loose[len(loose)-1]++
	add("refund-loose-bits", RefundMalformed, set(withRefund, FieldRefund, string(loose)), nil)
	add("refund-twice", RefundMalformed, append(append([]bhttp.Field(nil), withRefund...), withRefund[2]), nil)
	add("refund-asked-without-one", RefundMalformed, good, refundRequest)

	add("signature-changed", Invalid, resigned(one, func(b []byte) { b[Size-1] ^= 1 }), nil)
	add("signature-of-another-token", Invalid, resigned(one, func(b []byte) { copy(b[98:], two.bytes[98:]) }), nil)
	add("signature-above-the-modulus", Invalid, resigned(three, func(b []byte) {
		// The same number again, were it taken modulo n.
		s := new(big.Int).SetBytes(b[98:])
		s.Add(s, key.public.k.rsa.N)
		if s.BitLen() <= 8*BlindedSize {
			s.FillBytes(b[98:])
		} else {
			key.public.k.rsa.N.FillBytes(b[98:])
		}
	}), nil)
	add("signature-zero", Invalid, resigned(one, func(b []byte) { clear(b[98:]) }), nil)

	v.Keys = keyVectors(t, key)
	v.Challenges = nil
	challenge := func(name, expect string, b []byte) {
		v.Challenges = append(v.Challenges, vectorRefused{name, expect, b})
	}
	whole := testChallenge.Bytes()
	challenge("challenge", "ok", whole)
	challenge("port", "ok", challengeBytes("localhost:8787", nil, "sotto"))
	challenge("every-kind-of-character", "ok", challengeBytes("az-09.example:8787", nil, strings.Repeat("z", 255)))
	challenge("longest", "ok", challengeBytes(strings.Repeat("a", 255), nil, strings.Repeat("9", 255)))
	const bad = string(Malformed)
	challenge("type-alone", bad, []byte{0, 2})
	challenge("brace", bad, challengeBytes("tokens{", nil, "sotto"))
	challenge("semicolon", bad, challengeBytes("tokens;", nil, "sotto"))
	challenge("empty", bad, nil)
	challenge("cut", bad, whole[:len(whole)-1])
	challenge("trailing", bad, append(bytes.Clone(whole), 0))
	challenge("type", bad, append([]byte{0, 1}, whole[2:]...))
	challenge("context", bad, challengeBytes("tokens.sotto.example", make([]byte, 32), "sotto"))
	challenge("no-issuer", bad, challengeBytes("", nil, "sotto"))
	challenge("no-product", bad, challengeBytes("tokens.sotto.example", nil, ""))
	challenge("capital", bad, challengeBytes("Tokens.sotto.example", nil, "sotto"))
	challenge("two-products", bad, challengeBytes("tokens.sotto.example", nil, "sotto,other"))
	challenge("long", bad, challengeBytes(strings.Repeat("a", 256), nil, "sotto"))
	challenge("length-beyond", bad, append([]byte{0, 2, 0xff, 0xff}, whole[4:]...))
}

// copied returns fields for a token by somebody who has the token and not its
// holder's key.
func copied(tok Token, msg []byte) []bhttp.Field {
	thief := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, 32))
	header, _ := HeaderDigest(msg)
	sig := ed25519.Sign(thief, signed(spendLabel, tok.ID(), header, nil))
	return []bhttp.Field{
		{Name: FieldToken, Value: scheme + encode(tok.bytes[:]) + schemeEnd},
		{Name: FieldHolder, Value: encode(append(bytes.Clone(thief.Public().(ed25519.PublicKey)), sig...))},
	}
}

// keyVectors returns a good key, and the same in forms that are refused.
func keyVectors(t *testing.T, key PrivateKey) (all []vectorRefused) {
	add := func(name, expect string, b []byte) {
		all = append(all, vectorRefused{name, expect, b})
	}
	good := key.Public().SPKI()
	change := func(i int, to byte) []byte {
		b := bytes.Clone(good)
		b[i] = to
		return b
	}
	n := key.rsa.N
	add("key", "ok", good)
	add("empty", "key", nil)
	add("cut", "key", good[:len(good)-1])
	add("trailing", "key", append(bytes.Clone(good), 0))
	add("even-modulus", "key", change(len(spkiPrefix)+BlindedSize-1, good[len(spkiPrefix)+BlindedSize-1]&^1))
	add("modulus-of-2047-bits", "key", change(len(spkiPrefix), good[len(spkiPrefix)]&0x7f))
	add("exponent-3", "key", spkiOf(t, n, 3, true, 48))
	add("exponent-65539", "key", spkiOf(t, n, 65539, true, 48))
	add("modulus-of-1024-bits", "key", spkiOf(t, new(big.Int).SetBit(new(big.Int).Rsh(n, 1024), 0, 1), exponent, true, 48))
	add("modulus-of-4096-bits", "key", spkiOf(t, new(big.Int).Mul(n, n), exponent, true, 48))
	add("salt-of-32-bytes", "key", spkiOf(t, n, exponent, true, 32))
	add("plain-rsa", "key", spkiOf(t, n, exponent, false, 48))
	null := bytes.Replace(good, []byte("\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02"), []byte("\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00"), 1)
	add("null-parameters", "key", null)
	add("length-not-shortest", "key", append([]byte{0x30, 0x83, 0x00, 0x01, 0x52}, good[4:]...))
	return all
}

// spkiOf writes keys of all kinds by the standard library's DER.
func spkiOf(t *testing.T, n *big.Int, e int, pss bool, salt int) []byte {
	t.Helper()
	type algorithm struct {
		OID    asn1.ObjectIdentifier
		Params asn1.RawValue `asn1:"optional"`
	}
	der := func(v any) []byte {
		b, err := asn1.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	sha384 := algorithm{OID: asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}}
	alg := algorithm{OID: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}, Params: asn1.NullRawValue}
	if pss {
		alg = algorithm{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}, asn1.RawValue{FullBytes: der(struct {
			Hash algorithm `asn1:"explicit,tag:0"`
			MGF  algorithm `asn1:"explicit,tag:1"`
			Salt int       `asn1:"explicit,tag:2"`
		}{sha384, algorithm{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}, asn1.RawValue{FullBytes: der(sha384)}}, salt})}}
	}
	bits := der(struct {
		N *big.Int
		E int
	}{n, e})
	return der(struct {
		Alg algorithm
		Key asn1.BitString
	}{alg, asn1.BitString{Bytes: bits, BitLength: 8 * len(bits)}})
}

// TestKeyByOtherDER: the one encoding that we take is what a general DER library
// makes of the key.
func TestKeyByOtherDER(t *testing.T) {
	key, _ := testKeys()
	if !bytes.Equal(spkiOf(t, key.rsa.N, exponent, true, 48), key.Public().SPKI()) {
		t.Error("the standard library writes the key otherwise")
	}
}
