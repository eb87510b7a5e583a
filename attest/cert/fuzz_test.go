// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package cert

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"slices"
	"testing"
)

// FuzzParse: what is accepted is whole, and what crypto/x509 accepts as well is
// read by it in the same way.
func FuzzParse(f *testing.F) {
	for _, raw := range richCertificates() {
		f.Add(raw)
	}
	f.Add(caPieces("ca", "root", &p256[1].PublicKey, extPath(0), extCASign).by(p256[2]))
	f.Add(caPieces("ca", "root", &p384.PublicKey).by(p256[2]))
	f.Add(seq(seq(), algPSS256, bits(nil)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := Parse(raw)
		if err != nil {
			if c != nil {
				t.Fatal("refused, and read")
			}
			return
		}
		rest := append(bytes.Clone(c.signed.rawAlgorithm), bits(c.signed.signature)...)
		if !bytes.Equal(seq(c.RawTBS, rest), raw) {
			t.Fatalf("%x is not all of %x", c.RawTBS, raw)
		}
		// Nothing of what a stranger wrote makes these fall over.
		_ = c.SignedBy(c)
		_, _ = Chain(c, []*Certificate{c}, nil, c.NotAfter)
		for _, b := range []byte(c.SubjectName("2.5.4.3") + c.Key.Kind()) {
			if b < ' ' || b > '~' {
				t.Fatalf("%q is shown", c.SubjectName("2.5.4.3"))
			}
		}
		their, err := x509.ParseCertificate(raw)
		if err != nil {
			return // the tests list what may be; a fuzzer finds too much of it
		}
		if new(big.Int).SetBytes(c.Serial).Cmp(their.SerialNumber) != 0 || !bytes.Equal(c.RawIssuer, their.RawIssuer) ||
			!bytes.Equal(c.RawSubject, their.RawSubject) || c.IsCA != their.IsCA || c.NotAfter != their.NotAfter.Unix() ||
			c.NotBefore != their.NotBefore.Unix() || c.KeyUsage >= 0 && c.KeyUsage&(1<<9-1) != int(their.KeyUsage) {
			t.Fatalf("crypto/x509 reads %x in another way", raw)
		}
	})
}

// FuzzParsePEM: what is accepted are the certificates that encoding/pem finds.
func FuzzParsePEM(f *testing.F) {
	leaf, ca := leafPieces().by(p256[1]), caPieces("ca", "root", &p256[1].PublicKey).by(p256[2])
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca})...)
	f.Add(text)
	f.Add(append(text, 0))
	f.Add(bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n")))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----"))
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := ParsePEM(text, 3)
		if err != nil {
			return
		}
		if len(list) > 3 {
			t.Fatalf("%d certificates", len(list))
		}
		// Of the same blocks, each on lines of its own, as the standard library wants them.
		text = bytes.ReplaceAll(text, []byte{0}, nil)
		for _, mark := range []string{"-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"} {
			text = bytes.ReplaceAll(text, []byte(mark), []byte("\n"+mark+"\n"))
		}
		for _, c := range list {
			var block *pem.Block
			if block, text = pem.Decode(text); block == nil || !bytes.Equal(block.Bytes, c.Raw) {
				t.Fatal("encoding/pem finds another certificate")
			}
		}
	})
}

// FuzzParseCRL: as FuzzParse, of lists; and what crypto/x509 finds revoked is.
func FuzzParseCRL(f *testing.F) {
	f.Add(crlPieces().by(p256[1]))
	empty := crlPieces()
	empty.list, empty.exts = nil, nil
	f.Add(empty.by(p256[1]))
	f.Add(seq(seq(num(1), algPSS256), algPSS256, bits(nil)))
	issuer, err := Parse(caPieces("ca", "root", &p256[1].PublicKey).by(p256[2]))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := ParseCRL(raw)
		if err != nil {
			return
		}
		rest := append(bytes.Clone(c.signed.rawAlgorithm), bits(c.signed.signature)...)
		if !bytes.Equal(seq(c.signed.tbs, rest), raw) {
			t.Fatalf("%x is not all of %x", c.signed.tbs, raw)
		}
		_ = c.Verify(issuer, c.ThisUpdate)
		their, err := x509.ParseRevocationList(raw)
		if err != nil {
			return
		}
		for _, e := range their.RevokedCertificateEntries {
			if !c.Revoked(e.SerialNumber.Bytes()) {
				t.Fatalf("%v is revoked for crypto/x509 only", e.SerialNumber)
			}
		}
		other := []byte{0x7a, 0x7b, 0x7c}
		if c.Revoked(other) && !slices.ContainsFunc(their.RevokedCertificateEntries, func(e x509.RevocationListEntry) bool {
			return bytes.Equal(e.SerialNumber.Bytes(), other)
		}) {
			t.Fatal("a serial number is revoked here only")
		}
	})
}
