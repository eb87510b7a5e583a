// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tpmdata_test

import (
	"bytes"
	"encoding/pem"
	"slices"
	"testing"

	"github.com/sotto-chat/sotto/attest/section"
	"github.com/sotto-chat/sotto/attest/tpm"
	"github.com/sotto-chat/sotto/attest/tpm/tpmdata"
	"github.com/sotto-chat/sotto/attest/tpm/tpmtest"
)

func encode(kind string, ders ...[]byte) (out []byte) {
	for _, d := range ders {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: d})...)
	}
	return out
}

// TestAdd: whatever form and order the files have, the key's certificate comes first.
func TestAdd(t *testing.T) {
	for name, key := range map[string]*tpmtest.Key{"P-256": tpmtest.AttestationKey(tpmtest.P256A()), "RSA": tpmtest.AttestationKey(tpmtest.RSA())} {
		m := tpmtest.New()
		m.Use(key)
		whole := m.Parts()
		leaf, middle, root := whole.Certificates[0], whole.Certificates[1], whole.Certificates[2]
		for form, files := range map[string][][]byte{
			"DER":           {leaf, middle, root, whole.CRLs[0], whole.CRLs[1]},
			"another order": {whole.CRLs[0], root, middle, whole.CRLs[1], leaf},
			"PEM":           {encode("CERTIFICATE", root, middle, leaf), encode("X509 CRL", whole.CRLs...)},
			"both, twice":   {encode("CERTIFICATE", root, leaf), middle, root, leaf, encode("X509 CRL", whole.CRLs...), whole.CRLs[0]},
		} {
			p := tpmdata.Parts{Public: whole.Public}
			if err := p.Add(files...); err != nil {
				t.Errorf("%s, %s: %v", name, form, err)
				continue
			}
			if len(p.Certificates) != 3 || !bytes.Equal(p.Certificates[0], leaf) || len(p.CRLs) != 2 || !bytes.Equal(p.CRLs[0], whole.CRLs[0]) {
				t.Errorf("%s, %s: %d certificates, %d lists", name, form, len(p.Certificates), len(p.CRLs))
			}
		}
	}
}

// TestAddAnyKey: a key of any length does no harm.
func TestAddAnyKey(t *testing.T) {
	whole := tpmtest.New().Parts()
	end := whole.Public[len(whole.Public)-32:]
	for n, first := range map[int][]byte{0: whole.Certificates[1], 31: whole.Certificates[1], 32: whole.Certificates[0]} {
		p := tpmdata.Parts{Public: end[:n]}
		if err := p.Add(whole.Certificates[1], whole.Certificates[0]); err != nil || !bytes.Equal(p.Certificates[0], first) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestAddRefuses(t *testing.T) {
	for name, b := range map[string][]byte{
		"nothing":                  {},
		"a letter":                 {'x'},
		"an empty sequence":        {0x30, 0},
		"a head":                   {0x30, 0x82, 1},
		"text":                     []byte("this is no certificate, and neither is it a list of them"),
		"a sequence of numbers":    {0x30, 3, 0x02, 1, 1},
		"a sequence in a sequence": {0x30, 4, 0x30, 2, 0x05, 0},
		"a key":                    encode("PRIVATE KEY", []byte{0x30, 3, 2, 1, 0}),
	} {
		var p tpmdata.Parts
		if err := p.Add(b); err == nil || len(p.Certificates)+len(p.CRLs) > 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAppend(t *testing.T) {
	p := tpmtest.New().Parts()
	s, err := section.Parse(p.Append([]byte{}), tpm.Sections())
	if err != nil {
		t.Fatal(err)
	}
	for kind, want := range map[byte][][]byte{
		tpmdata.KindQuote: {p.Quote}, tpmdata.KindSignature: {p.Signature}, tpmdata.KindPublic: {p.Public},
		tpmdata.KindCertificate: p.Certificates, tpmdata.KindCRL: p.CRLs, tpmdata.KindValues: {p.Values}, tpmdata.KindEventLog: {p.Log},
	} {
		if got := s.All(kind); !slices.EqualFunc(got, want, bytes.Equal) {
			t.Errorf("kind %d: %d sections", kind, len(got))
		}
	}
}

func FuzzAdd(f *testing.F) {
	p := tpmtest.New().Parts()
	f.Add(p.Certificates[0])
	f.Add(encode("CERTIFICATE", p.Certificates...))
	f.Add(encode("X509 CRL", p.CRLs...))
	f.Fuzz(func(_ *testing.T, b []byte) { p.Add(b) })
}
