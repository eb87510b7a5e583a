// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package cert

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"
)

// A chain that the standard library made is found and stands.
func TestChainOfStandardLibrary(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	keys := make([]*ecdsa.PrivateKey, 3)
	for i := range keys {
		keys[i], _ = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	}
	template := func(name string, ca bool) *x509.Certificate {
		c := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: name},
			NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), BasicConstraintsValid: true, IsCA: ca}
		if ca {
			c.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
		}
		return c
	}
	root, mid, leaf := template("root", true), template("mid", true), template("leaf", false)
	var ders [3][]byte
	for i, c := range []struct {
		of, by *x509.Certificate
		key    int
	}{{root, root, 0}, {mid, root, 0}, {leaf, mid, 1}} {
		var err error
		if ders[i], err = x509.CreateCertificate(rand.Reader, c.of, c.by, &keys[i].PublicKey, keys[c.key]); err != nil {
			t.Fatal(err)
		}
	}
	var text []byte
	for _, d := range ders {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: d})...)
	}
	all, err := ParsePEM(append(text, 0), 3)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := Chain(all[2], all[:2], []Root{{"root", all[0].KeyHash()}}, now.Unix())
	if err != nil || len(chain) != 3 || chain[2] != all[0] {
		t.Fatalf("chain %v, %v", chain, err)
	}
	if _, err := Chain(all[2], all[:2], nil, now.Unix()); FailureOf(err) != "chain_untrusted" {
		t.Errorf("without roots: %v", err)
	}
	issuer, err := x509.ParseCertificate(ders[0])
	if err != nil {
		t.Fatal(err)
	}
	list, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(3), ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(time.Hour),
		RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: big.NewInt(7), RevocationTime: now}},
	}, issuer, keys[0])
	if err != nil {
		t.Fatal(err)
	}
	crl, err := ParseCRL(list)
	if err != nil {
		t.Fatal(err)
	}
	if err := crl.Verify(all[0], now.Unix()); err != nil {
		t.Error(err)
	}
	if !crl.Revoked([]byte{7}) || crl.Revoked([]byte{8}) {
		t.Error("the wrong serial number is revoked")
	}
}
