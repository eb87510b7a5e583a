// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package pile_test

import (
	"bytes"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/sotto-chat/sotto/attest/cert"
	"github.com/sotto-chat/sotto/attest/pile"
	"github.com/sotto-chat/sotto/attest/snp/snptest"
)

// Files are parted, and what comes again in whatever form is taken once.
func TestOpenAll(t *testing.T) {
	m := snptest.New("Milan", [64]byte{})
	leaf, root, list := m.LeafCert(), m.AMD.Root().Raw, m.AMD.CRL(*m.List)
	other := m.AMD.CRL(snptest.List{ThisUpdate: snptest.Now, NextUpdate: snptest.Now + 1})
	block := func(b []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "ANY", Bytes: b}) }
	certs, lists, err := pile.OpenAll([][]byte{list, append(block(root), block(other)...), leaf, block(list), root})
	if err != nil || len(certs) != 2 || len(lists) != 2 {
		t.Fatalf("%d certificates, %d lists, %v", len(certs), len(lists), err)
	}
	for i, want := range [][]byte{root, leaf} {
		if !bytes.Equal(certs[i].Raw, want) {
			t.Errorf("certificate %d is another", i)
		}
	}
	for i, want := range [][]byte{list, other} {
		if !bytes.Equal(lists[i].Raw, want) {
			t.Errorf("list %d is another", i)
		}
	}
	certs, lists, err = pile.OpenAll([][]byte{leaf, list, []byte("neither")})
	if err == nil || !strings.Contains(err.Error(), "number 3 of the files") || certs != nil || lists != nil {
		t.Errorf("a file that is neither: %v", err)
	}
}

func TestOpen(t *testing.T) {
	m := snptest.New("Milan", [64]byte{})
	leaf, list := m.LeafCert(), m.AMD.CRL(*m.List)
	block := func(b []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "ANY", Bytes: b}) }
	both := append(block(leaf), block(list)...)
	for name, tt := range map[string]struct {
		file  []byte
		lists []bool
	}{
		"certificate":        {leaf, []bool{false}},
		"list":               {list, []bool{true}},
		"filled with zeros":  {append(bytes.Clone(leaf), 0, 0, 0), []bool{false}},
		"PEM with both":      {both, []bool{false, true}},
		"PEM after a text":   {append([]byte("a text\n"), both...), []bool{false, true}},
		"filled with others": {append(bytes.Clone(leaf), 0, 1), nil},
		"PEM with neither":   {append(both, block([]byte("neither"))...), nil},
		"empty":              {nil, nil},
		"an empty sequence":  {[]byte{0x30, 0}, nil},
		"an empty inner one": {[]byte{0x30, 2, 0x30, 0}, nil},
	} {
		got, ok := pile.Open(tt.file)
		if ok != (tt.lists != nil) || len(got) != len(tt.lists) {
			t.Fatalf("%s: %d objects, %v", name, len(got), ok)
		}
		for i, o := range got {
			want := leaf
			if tt.lists[i] {
				want = list
			}
			if o.List != tt.lists[i] || !bytes.Equal(o.Raw, want) {
				t.Errorf("%s: object %d is another", name, i)
			}
		}
	}
	c, err := cert.Parse(leaf)
	if err != nil {
		t.Fatal(err)
	}
	got, _ := pile.Open(leaf)
	if o := got[0]; !bytes.HasSuffix(c.RawIssuer, o.Issuer) || !bytes.HasSuffix(c.RawSubject, o.Subject) || !bytes.HasSuffix(c.RawSPKI, o.Key) ||
		len(o.Issuer) == 0 || len(o.Subject) == 0 || len(o.Key) < 97 {
		t.Error("names or key are others than those of the certificate")
	}
	// Cut anywhere it is neither.
	for _, b := range [][]byte{leaf, list} {
		for n := range len(b) {
			if _, ok := pile.Open(b[:n]); ok {
				t.Fatalf("cut after %d of %d bytes: opened", n, len(b))
			}
		}
	}
}

func FuzzOpen(f *testing.F) {
	m := snptest.New("Milan", [64]byte{})
	f.Add(m.LeafCert())
	f.Add(m.AMD.CRL(*m.List))
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.LeafCert()}))
	f.Add([]byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		objects, ok := pile.Open(b)
		if ok != (len(objects) > 0) {
			t.Fatal("opened, and nothing found, or the other way round")
		}
		for _, o := range objects {
			if len(o.Raw) == 0 || o.List && o.Key != nil {
				t.Fatal("an object that is none")
			}
		}
	})
}
