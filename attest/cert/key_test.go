// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package cert

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"math/big"
	"testing"

	"github.com/sotto-chat/sotto/attest/cert/der"
)

func keyOf(t testing.TB, pub crypto.PublicKey) *PublicKey {
	t.Helper()
	k, ok := parseSPKI(spki(pub))
	if !ok {
		t.Fatalf("a key of type %T is refused", pub)
	}
	return k
}

// odd is an odd number of so many bits, which is enough of a modulus to be read.
func odd(bits int) []byte {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	return n.Add(n, big.NewInt(1)).Bytes()
}

func TestVerify(t *testing.T) {
	message := []byte("message")
	algs := map[Algorithm][]byte{ECDSASHA256: algECDSA256, ECDSASHA384: algECDSA384, PKCS1SHA256: algPKCS256,
		PKCS1SHA384: algPKCS384, PSSSHA256: algPSS256, PSSSHA384: algPSS384}
	ofRSA := []Algorithm{PKCS1SHA256, PKCS1SHA384, PSSSHA256, PSSSHA384}
	ofEC := []Algorithm{ECDSASHA256, ECDSASHA384}
	for _, tt := range []struct {
		kind  string
		key   crypto.Signer
		other crypto.Signer
		algs  []Algorithm
	}{
		{"P-256", p256[0], p256[1], ofEC},
		{"P-384", p384, fixedKey(elliptic.P384(), 2), ofEC},
		{"RSA-2048", rsaKey(), rsaKey2(), ofRSA},
	} {
		k := keyOf(t, tt.key.Public())
		if k.Kind() != tt.kind {
			t.Errorf("%s is called %s", tt.kind, k.Kind())
		}
		for _, made := range tt.algs {
			sig := sign(tt.key, algs[made], message)
			for alg := range PSSSHA384 + 2 {
				if got := k.Verify(alg, message, sig); got != (alg == made) {
					t.Errorf("%s: signature of algorithm %d checked as %d: %t", tt.kind, made, alg, got)
				}
			}
			if k.Verify(made, []byte("Message"), sig) {
				t.Errorf("%s, %d: another message is signed", tt.kind, made)
			}
			if k.Verify(made, message, sign(tt.other, algs[made], message)) {
				t.Errorf("%s, %d: another key signed", tt.kind, made)
			}
			for name, bad := range map[string][]byte{"nothing": nil, "cut off": sig[:len(sig)-1], "longer": append(bytes.Clone(sig), 0), "before": append([]byte{0}, sig...)} {
				if k.Verify(made, message, bad) {
					t.Errorf("%s, %d: signature %s: accepted", tt.kind, made, name)
				}
			}
		}
	}

	// A salt of another length, and of a length that is found out.
	k := keyOf(t, rsaKey().Public())
	for n, want := range map[int]bool{32: true, 31: false, 33: false, 0: false, 222: false} {
		d := sha256.Sum256(message)
		sig := must(rsa.SignPSS(rand.Reader, rsaKey(), crypto.SHA256, d[:], &rsa.PSSOptions{SaltLength: n, Hash: crypto.SHA256}))
		if n == 0 {
			sig = must(rsa.SignPSS(rand.Reader, rsaKey(), crypto.SHA256, d[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto, Hash: crypto.SHA256}))
		}
		if got := k.Verify(PSSSHA256, message, sig); got != want {
			t.Errorf("salt of %d bytes: %t", n, got)
		}
	}
	// The digest without the name of its hash (RFC 8017, section 9.2, wants it).
	d := sha256.Sum256(message)
	if k.Verify(PKCS1SHA256, message, must(rsa.SignPKCS1v15(nil, rsaKey(), 0, d[:]))) {
		t.Error("a digest of no hash is signed")
	}
}

func TestVerifyRS(t *testing.T) {
	message := []byte("message")
	d256, d384 := sha256.Sum256(message), sha512.Sum384(message)
	k256, k384 := keyOf(t, &p256[0].PublicKey), keyOf(t, &p384.PublicKey)
	pair := func(n *big.Int, size int) []byte { return n.FillBytes(make([]byte, size)) }
	// Until there was one number with its highest bit set, one without, and one that starts with a zero byte.
	var high, low, zero bool
	for i := 0; i < 64 || !high || !low || !zero; i++ {
		r, s, err := ecdsa.Sign(rand.Reader, p256[0], d256[:])
		if err != nil {
			t.Fatal(err)
		}
		rb, sb := pair(r, 32), pair(s, 32)
		high, low, zero = high || rb[0] >= 0x80, low || rb[0] < 0x80, zero || rb[0] == 0
		if !k256.VerifyRS(ECDSASHA256, message, rb, sb) {
			t.Fatalf("r %x, s %x are refused", rb, sb)
		}
		if k256.VerifyRS(ECDSASHA256, message, sb, rb) || k256.VerifyRS(ECDSASHA256, []byte("Message"), rb, sb) {
			t.Fatal("a wrong signature is accepted")
		}
	}
	r, s, _ := ecdsa.Sign(rand.Reader, p384, d384[:])
	rb, sb := pair(r, 48), pair(s, 48)
	long := func(b []byte, n int) []byte { return append(make([]byte, n-len(b)), b...) }
	ones := bytes.Repeat([]byte{0xff}, 66)
	for name, tt := range map[string]struct {
		want bool
		got  bool
	}{
		"as signed":       {true, k384.VerifyRS(ECDSASHA384, message, rb, sb)},
		"66 bytes":        {true, k384.VerifyRS(ECDSASHA384, message, long(rb, 66), long(sb, 66))},
		"r of 67 bytes":   {false, k384.VerifyRS(ECDSASHA384, message, long(rb, 67), sb)},
		"s of 67 bytes":   {false, k384.VerifyRS(ECDSASHA384, message, rb, long(sb, 67))},
		"other hash":      {false, k384.VerifyRS(ECDSASHA256, message, rb, sb)},
		"other key":       {false, k256.VerifyRS(ECDSASHA384, message, rb, sb)},
		"RSA key":         {false, keyOf(t, rsaKey().Public()).VerifyRS(ECDSASHA384, message, rb, sb)},
		"RSA algorithm":   {false, k384.VerifyRS(PKCS1SHA384, message, rb, sb)},
		"no algorithm":    {false, k384.VerifyRS(0, message, rb, sb)},
		"r 0":             {false, k384.VerifyRS(ECDSASHA384, message, make([]byte, 48), sb)},
		"s 0":             {false, k384.VerifyRS(ECDSASHA384, message, rb, make([]byte, 48))},
		"nothing":         {false, k384.VerifyRS(ECDSASHA384, message, nil, nil)},
		"as large as can": {false, k384.VerifyRS(ECDSASHA384, message, ones, ones)},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %t", name, tt.got)
		}
	}
	// The signature in ASN.1 is written as DER wants it, also where its length takes a byte more.
	for _, n := range []int{1, 31, 32, 33, 60, 61, 62, 63, 64, 65, 66} {
		for _, first := range []byte{0x01, 0x7f, 0x80, 0xff} {
			b := append([]byte{first}, make([]byte, n-1)...)
			want := seq(bigNum(new(big.Int).SetBytes(b)), num(1))
			if got := signatureOf(b, []byte{0, 1}); !bytes.Equal(got, want) {
				t.Errorf("%x: %x, want %x", b, got, want)
			}
		}
	}
	if b := bytes.Repeat([]byte{1}, 62); !bytes.Equal(signatureOf(b, b), append([]byte{der.Sequence, 0x81, 0x80}, append(append([]byte{der.Integer, 62}, b...), append([]byte{der.Integer, 62}, b...)...)...)) {
		t.Errorf("of 128 bytes: %x", signatureOf(b, b))
	}
	if got, want := signatureOf(ones, ones), seq(bigNum(new(big.Int).SetBytes(ones)), bigNum(new(big.Int).SetBytes(ones))); !bytes.Equal(got, want) {
		t.Errorf("the longest: %x", got)
	}
}

func TestKeys(t *testing.T) {
	point := func(k *ecdsa.PrivateKey) []byte { return must(k.PublicKey.Bytes()) }
	ec, curve := oid(oidEC), map[string][]byte{"P-256": oid("1.2.840.10045.3.1.7"), "P-384": oid("1.3.132.0.34"), "P-521": oid("1.3.132.0.35"), "P-224": oid("1.3.132.0.33")}
	p := point(p256[0])
	off := bytes.Clone(p)
	off[64] ^= 1
	rsaAlg := seq(oid(oidRSA), null5())
	mod := func(n []byte, rest ...[]byte) []byte {
		return seq(rsaAlg, bits(seq(append([][]byte{bigNum(new(big.Int).SetBytes(n))}, rest...)...)))
	}
	evenN := odd(2048)
	evenN[len(evenN)-1] = 0
	even := p // a point whose last bit is 0, and could be left out
	for seed := byte(10); even[64]&1 != 0; seed++ {
		even = point(fixedKey(elliptic.P256(), seed))
	}
	e := num(65537)
	for name, tt := range map[string]struct {
		ok  bool
		raw []byte
	}{
		"P-256":            {true, seq(seq(ec, curve["P-256"]), bits(p))},
		"P-384":            {true, seq(seq(ec, curve["P-384"]), bits(point(p384)))},
		"P-521":            {false, seq(seq(ec, curve["P-521"]), bits(point(p521)))},
		"P-224":            {false, seq(seq(ec, curve["P-224"]), bits(p[:57]))},
		"curve of another": {false, seq(seq(ec, curve["P-384"]), bits(p))},
		"no curve":         {false, seq(seq(ec), bits(p))},
		"curve spelt out":  {false, seq(seq(ec, seq(num(1))), bits(p))},
		"curve and more":   {false, seq(seq(ec, curve["P-256"], null5()), bits(p))},
		"not on the curve": {false, seq(seq(ec, curve["P-256"]), bits(off))},
		"compressed":       {false, seq(seq(ec, curve["P-256"]), bits(append([]byte{2 + p[64]&1}, p[1:33]...)))},
		"hybrid":           {false, seq(seq(ec, curve["P-256"]), bits(append([]byte{6 + p[64]&1}, p[1:]...)))},
		"at infinity":      {false, seq(seq(ec, curve["P-256"]), bits([]byte{0}))},
		"point empty":      {false, seq(seq(ec, curve["P-256"]), bits(nil))},
		"point and more":   {false, seq(seq(ec, curve["P-256"]), bits(append(bytes.Clone(p), 0)))},
		"zero point":       {false, seq(seq(ec, curve["P-256"]), bits(append([]byte{4}, make([]byte, 64)...)))},
		"point not whole":  {false, seq(seq(ec, curve["P-256"]), el(der.BitString, []byte{1}, even))},
		"point as octets":  {false, seq(seq(ec, curve["P-256"]), octets(p))},
		"three parts":      {false, seq(seq(ec, curve["P-256"]), bits(p), null5())},
		"no point":         {false, seq(seq(ec, curve["P-256"]))},
		"no algorithm":     {false, seq(bits(p))},
		"algorithm no OID": {false, seq(seq(null5()), bits(p))},
		"algorithm other":  {false, seq(seq(oid("1.2.3"), curve["P-256"]), bits(p))},
		"a set":            {false, el(der.Set, seq(ec, curve["P-256"]), bits(p))},
		"ed25519":          {false, spki(ed25519.PublicKey(make([]byte, 32)))},
		"RSA 2048":         {true, mod(odd(2048), e)},
		"RSA 3072":         {true, mod(odd(3072), e)},
		"RSA 4096":         {true, mod(odd(4096), e)},
		"RSA 2056":         {true, mod(odd(2056), e)},
		"RSA 1024":         {false, mod(odd(1024), e)},
		"RSA 2040":         {false, mod(odd(2040), e)},
		"RSA 2047":         {false, mod(odd(2047), e)},
		"RSA 4104":         {false, mod(odd(4104), e)},
		"RSA even":         {false, mod(evenN, e)},
		"RSA of 0":         {false, mod(nil, e)},
		"RSA negative":     {false, seq(rsaAlg, bits(seq(el(der.Integer, odd(2048)), e)))},
		"RSA without e":    {false, mod(odd(2048))},
		"RSA and more":     {false, mod(odd(2048), e, e)},
		"RSA key and more": {false, seq(rsaAlg, bits(append(seq(bigNum(new(big.Int).SetBytes(odd(2048))), e), 0)))},
		"RSA no key":       {false, seq(rsaAlg, bits(text("key")))},
		"RSA without NULL": {false, seq(seq(oid(oidRSA)), bits(seq(bigNum(new(big.Int).SetBytes(odd(2048))), e)))},
		"RSA for PSS only": {false, seq(seq(oid(oidPSS)), bits(seq(bigNum(new(big.Int).SetBytes(odd(2048))), e)))},
		"e 3":              {true, mod(odd(2048), num(3))},
		"e 2^31-1":         {true, mod(odd(2048), num(1<<31-1))},
		"e 1":              {false, mod(odd(2048), num(1))},
		"e 0":              {false, mod(odd(2048), num(0))},
		"e 2":              {false, mod(odd(2048), num(2))},
		"e even":           {false, mod(odd(2048), num(65536))},
		"e 2^31+1":         {false, mod(odd(2048), num(1<<31+1))},
		"e negative":       {false, mod(odd(2048), el(der.Integer, []byte{0xff}))},
	} {
		if k, ok := parseSPKI(tt.raw); ok != tt.ok || ok && k == nil {
			t.Errorf("%s: %t", name, ok)
		}
	}

	for bits, want := range map[int]string{2048: "RSA-2048", 2056: "RSA", 3072: "RSA-3072", 4096: "RSA-4096"} {
		k, err := NewRSA(odd(bits), 65537)
		if err != nil || k.Kind() != want {
			t.Errorf("%d bits: %v, want %s", bits, err, want)
		}
	}
	for name, err := range map[string]error{
		"e 2^31+1": second(NewRSA(odd(2048), 1<<31+1)), "leading zero": second(NewRSA(append([]byte{0}, odd(2048)...), 3)),
		"nothing": second(NewRSA(nil, 3)), "e -1": second(NewRSA(odd(2048), -1)),
		"P-521":         second(NewECDSA("P-521", make([]byte, 66), make([]byte, 66))),
		"curve unknown": second(NewECDSA("p-256", p[1:33], p[33:])),
		"x short":       second(NewECDSA("P-256", p[1:32], p[32:])),
		"y short":       second(NewECDSA("P-256", p[1:33], p[34:])),
		"x long":        second(NewECDSA("P-256", p[1:34], p[34:])),
		"both long":     second(NewECDSA("P-256", append([]byte{0}, p[1:33]...), append([]byte{0}, p[33:]...))),
		"other curve":   second(NewECDSA("P-384", p[1:33], p[33:])),
		"off the curve": second(NewECDSA("P-256", p[1:33], off[33:])),
	} {
		if FailureOf(err) != "evidence_malformed" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestKeysEqual(t *testing.T) {
	p := must(p256[0].PublicKey.Bytes())
	made, err := NewECDSA("P-256", p[1:33], p[33:])
	if err != nil {
		t.Fatal(err)
	}
	q := must(p384.PublicKey.Bytes())
	made384, err := NewECDSA("P-384", q[1:49], q[49:])
	if err != nil {
		t.Fatal(err)
	}
	madeRSA, err := NewRSA(rsaKey().N.Bytes(), rsaKey().E)
	if err != nil {
		t.Fatal(err)
	}
	all := []*PublicKey{keyOf(t, &p256[0].PublicKey), keyOf(t, &p256[1].PublicKey), keyOf(t, &p384.PublicKey), keyOf(t, rsaKey().Public()), keyOf(t, rsaKey2().Public())}
	again := []*PublicKey{made, keyOf(t, &p256[1].PublicKey), made384, madeRSA, keyOf(t, rsaKey2().Public())}
	for i := range all {
		for j := range again {
			if got := all[i].Equal(again[j]); got != (i == j) {
				t.Errorf("key %d, key %d: equal is %t", i, j, got)
			}
		}
	}
}
