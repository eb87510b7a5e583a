// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package snpdata_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"slices"
	"testing"

	"github.com/sotto-chat/sotto/attest/pile"
	"github.com/sotto-chat/sotto/attest/section"
	"github.com/sotto-chat/sotto/attest/snp"
	"github.com/sotto-chat/sotto/attest/snp/snpdata"
	"github.com/sotto-chat/sotto/attest/snp/snptest"
)

func inPEM(kind string, ders ...[]byte) (out []byte) {
	for _, d := range ders {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: d})...)
	}
	return out
}

// parts are the sections of a machine's evidence by kind.
func parts(m *snptest.Machine) (report, leaf, signer, root, crl []byte) {
	s := m.Sections()
	return s[0].Data, s[1].Data, s[2].Data, s[3].Data, s[4].Data
}

func TestFromReport(t *testing.T) {
	m := snptest.New("Genoa", [64]byte{1})
	report, leaf, signer, root, crl := parts(m)
	want := snptest.Join([]snptest.Section{
		{Kind: snpdata.KindReport, Data: report}, {Kind: snpdata.KindLeaf, Data: leaf}, {Kind: snpdata.KindIntermediate, Data: signer},
		{Kind: snpdata.KindRoot, Data: root}, {Kind: snpdata.KindCRL, Data: crl},
	})
	without := func(kinds ...byte) []byte {
		var s []snptest.Section
		for _, x := range []snptest.Section{
			{Kind: snpdata.KindReport, Data: report}, {Kind: snpdata.KindLeaf, Data: leaf}, {Kind: snpdata.KindIntermediate, Data: signer},
			{Kind: snpdata.KindRoot, Data: root}, {Kind: snpdata.KindCRL, Data: crl},
		} {
			if !slices.Contains(kinds, x.Kind) {
				s = append(s, x)
			}
		}
		return snptest.Join(s)
	}
	// The same chip at another level, and a chip of another product, are not this
	// report's.
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other := snptest.New("Genoa", [64]byte{1})
	other.Leaf.Key = key
	milan := snptest.New("Milan", [64]byte{1})
	milan.Leaf.Key = key
	_, otherLeaf, _, _, _ := parts(other)
	_, milanLeaf, milanSigner, milanRoot, milanCRL := parts(milan)

	for name, tt := range map[string]struct {
		certs, crls [][]byte
		want        []byte
	}{
		"in order":                     {[][]byte{leaf, signer, root}, [][]byte{crl}, want},
		"in another order":             {[][]byte{root, leaf, signer}, [][]byte{crl}, want},
		"lists among the certificates": {[][]byte{crl, root, leaf, signer}, nil, want},
		"certificates among the lists": {nil, [][]byte{crl, root, leaf, signer}, want},
		"PEM":                          {[][]byte{inPEM("CERTIFICATE", leaf), inPEM("CERTIFICATE", signer, root)}, [][]byte{inPEM("X509 CRL", crl)}, want},
		"zeros at the end":             {[][]byte{append(bytes.Clone(leaf), 0, 0), signer, root}, [][]byte{crl}, want},
		"a list twice":                 {[][]byte{leaf, signer, root}, [][]byte{crl, crl}, want},
		"others first":                 {[][]byte{milanLeaf, otherLeaf, milanSigner, milanRoot, leaf, signer, root}, [][]byte{milanCRL, crl}, want},
		"no list":                      {[][]byte{leaf, signer, root}, nil, without(snpdata.KindCRL)},
		"no root":                      {[][]byte{leaf, signer}, [][]byte{crl}, without(snpdata.KindRoot, snpdata.KindCRL)},
		"no signer":                    {[][]byte{leaf, root}, [][]byte{crl}, without(snpdata.KindIntermediate, snpdata.KindRoot, snpdata.KindCRL)},
		"no leaf":                      {[][]byte{signer, root}, [][]byte{crl}, without(snpdata.KindLeaf, snpdata.KindIntermediate, snpdata.KindRoot, snpdata.KindCRL)},
		"nothing":                      {nil, nil, without(snpdata.KindLeaf, snpdata.KindIntermediate, snpdata.KindRoot, snpdata.KindCRL)},
	} {
		got, err := snpdata.FromReport(report, slices.Concat(tt.certs, tt.crls))
		if err != nil || !bytes.Equal(got, tt.want) {
			t.Errorf("%s: %d bytes (%v), want %d", name, len(got), err, len(tt.want))
		}
		if _, err := section.Parse(got, snp.Sections()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}

	// A report that none of them signed still gets one, so that the verdict says
	// what is wrong: the first.
	changed := bytes.Clone(report)
	changed[0x90] ^= 1
	got, err := snpdata.FromReport(changed, [][]byte{signer, otherLeaf, leaf})
	if err != nil {
		t.Fatal(err)
	}
	s, err := section.Parse(got, snp.Sections())
	if err != nil || !bytes.Equal(s.One(snpdata.KindLeaf), otherLeaf) || !bytes.Equal(s.One(snpdata.KindIntermediate), signer) {
		t.Errorf("an unsigned report: %v", err)
	}
	for _, at := range []int{0x2a0, 0x2cf, 0x2e8, 0x317, 0x29f} { // a leaf is found by all of the signature
		changed := bytes.Clone(report)
		changed[at] ^= 1
		got, err := snpdata.FromReport(changed, [][]byte{otherLeaf, leaf})
		if err != nil {
			t.Fatal(err)
		}
		if s, err := section.Parse(got, snp.Sections()); err != nil || !bytes.Equal(s.One(snpdata.KindLeaf), otherLeaf) {
			t.Errorf("byte %#x: %v", at, err)
		}
	}

	var lists [][]byte
	for i := range snpdata.MaxCRLs + 1 {
		lists = append(lists, m.AMD.CRL(snptest.List{ThisUpdate: snptest.Now, NextUpdate: snptest.Now + int64(i)}))
	}
	if _, err := snpdata.FromReport(report, append([][]byte{leaf, signer, root}, lists[1:]...)); err != nil {
		t.Error(err)
	}
	tbs := func(der []byte, cut int) []byte { // keeps the outer length, breaks what is in it
		b := bytes.Clone(der)
		b[cut] ^= 0xff
		return b
	}
	for name, tt := range map[string]struct {
		report      []byte
		certs, crls [][]byte
	}{
		"short report":        {report[1:], nil, nil},
		"long report":         {append(bytes.Clone(report), 0), nil, nil},
		"too many lists":      {report, [][]byte{leaf, signer, root}, lists},
		"no certificate":      {report, [][]byte{{1, 2, 3}}, nil},
		"no list":             {report, nil, [][]byte{{}}},
		"something else":      {report, [][]byte{inPEM("CERTIFICATE", []byte{1, 2, 3})}, nil},
		"something behind":    {report, [][]byte{append(bytes.Clone(leaf), 1)}, nil},
		"cut off":             {report, [][]byte{leaf[:len(leaf)-1]}, nil},
		"an empty sequence":   {report, [][]byte{{0x30, 0}}, nil},
		"empty in a sequence": {report, [][]byte{{0x30, 2, 0x30, 0}}, nil},
		"no length":           {report, [][]byte{{0x30}}, nil},
		"endless length":      {report, [][]byte{{0x30, 0x80}}, nil},
		"length of lengths":   {report, [][]byte{{0x30, 0x84, 0, 0, 0, 0}}, nil},
		"length cut off":      {report, [][]byte{{0x30, 0x82, 0}}, nil},
		"version's tag":       {report, [][]byte{tbs(leaf, 8)}, nil},
		"second of PEM":       {report, [][]byte{append(inPEM("CERTIFICATE", leaf), inPEM("CERTIFICATE", []byte{1})...)}, nil},
		"list's algorithm":    {report, nil, [][]byte{tbs(crl, bytes.Index(crl, []byte{2, 1, 1})+3)}},
		"list's issuer":       {report, nil, [][]byte{tbs(crl, bytes.Index(crl, []byte{0x31, 0x0b})-2)}},
	} {
		if got, err := snpdata.FromReport(tt.report, slices.Concat(tt.certs, tt.crls)); err == nil {
			t.Errorf("%s: %d bytes", name, len(got))
		}
	}
}

// element makes a DER element, whose length has one byte.
func element(tag byte, content ...[]byte) []byte {
	b := slices.Concat(content...)
	return append([]byte{tag, byte(len(b))}, b...)
}

// certificate makes what looks like one, of any names and key.
func certificate(issuer, subject string, key []byte) []byte {
	return element(0x30, element(0x30, element(0xa0), element(0x02), element(0x30), element(0x30, []byte(issuer)), element(0x30),
		element(0x30, []byte(subject)), element(0x30, key)))
}

// What is found is what belongs together by its names, whatever the names are.
func TestNames(t *testing.T) {
	report := make([]byte, snpdata.ReportSize)
	k, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := k.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	nobodysList := element(0x30, element(0x30, element(0x02, []byte{1}), element(0x30), element(0x30)))
	longLength := append([]byte{0x30, 0x83, 0, 0}, nobodysList[1:]...)
	lastLong := element(0x30, element(0x30, element(0x02, []byte{1}), element(0x30), []byte{0x30, 0x81, 0}))
	leaf := certificate("A", "B", point)
	top := certificate("A", "A", nil)
	nameless := certificate("", "", nil)
	for name, tt := range map[string]struct {
		certs [][]byte
		want  []snptest.Section
	}{
		"nobody's lists":         {[][]byte{nobodysList, longLength, lastLong}, nil},
		"no leaf, and nameless":  {[][]byte{nameless}, nil},
		"a key that is short":    {[][]byte{certificate("A", "B", []byte{1})}, nil},
		"a leaf below a root":    {[][]byte{top, leaf}, []snptest.Section{{Kind: snpdata.KindLeaf, Data: leaf}, {Kind: snpdata.KindIntermediate, Data: top}}},
		"a leaf below a signer":  {[][]byte{leaf, certificate("C", "A", nil), certificate("C", "C", nil)}, []snptest.Section{{Kind: snpdata.KindLeaf, Data: leaf}, {Kind: snpdata.KindIntermediate, Data: certificate("C", "A", nil)}, {Kind: snpdata.KindRoot, Data: certificate("C", "C", nil)}}},
		"nobody's list and root": {[][]byte{leaf, certificate("", "A", nil), nameless, nobodysList}, []snptest.Section{{Kind: snpdata.KindLeaf, Data: leaf}, {Kind: snpdata.KindIntermediate, Data: certificate("", "A", nil)}, {Kind: snpdata.KindRoot, Data: nameless}, {Kind: snpdata.KindCRL, Data: nobodysList}}},
	} {
		got, err := snpdata.FromReport(report, tt.certs)
		want := append(section.Append(nil, snpdata.KindReport, report), snptest.Join(tt.want)...)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %x (%v)", name, got[min(len(got), 5+snpdata.ReportSize):], err)
		}
	}
	// Read as a length, an endless one would be 128.
	endless := append([]byte{0x30, 0x80}, element(0x30, element(0xa0), element(0x02), element(0x30), element(0x30), element(0x30),
		element(0x30), element(0x30, make([]byte, 112)))...)
	if len(endless) != 2+0x80 {
		t.Fatal(len(endless))
	}
	for name, b := range map[string][]byte{
		"endless":           endless,
		"endless inside":    element(0x30, element(0x30, element(0x02, []byte{1}), []byte{0x30, 0x80}, element(0x30))),
		"four-byte lengths": append([]byte{0x30, 0x84, 0, 0, 0}, nobodysList[1:]...),
	} {
		if _, err := snpdata.FromReport(report, [][]byte{b}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// parseCertTable parts what a table holds.
func parseCertTable(table []byte) (certs, crls [][]byte, err error) {
	files, err := snpdata.ParseCertTable(table)
	for _, f := range files {
		if o, ok := pile.Open(f); !ok || len(o) != 1 {
			return nil, nil, errors.New("a file of the table is nothing, or several")
		} else if o[0].List {
			crls = append(crls, f)
		} else {
			certs = append(certs, f)
		}
	}
	return certs, crls, err
}

func TestParseCertTable(t *testing.T) {
	_, leaf, signer, root, crl := parts(snptest.New("Turin", [64]byte{1}))
	table := snptest.CertTable(leaf, signer, root, crl, []byte("a host's own"), inPEM("CERTIFICATE", signer, root))
	certs, crls, err := parseCertTable(table)
	if err != nil || len(certs) != 5 || len(crls) != 1 || !bytes.Equal(certs[0], leaf) || !bytes.Equal(certs[4], root) || !bytes.Equal(crls[0], crl) {
		t.Errorf("%d certificates, %d lists, %v", len(certs), len(crls), err)
	}
	many := make([][]byte, 31)
	for i := range many {
		many[i] = leaf
	}
	for name, table := range map[string][]byte{"nothing": nil, "zeros": make([]byte, 4096), "its end only": make([]byte, 24)} {
		if certs, crls, err := parseCertTable(table); err != nil || certs != nil || crls != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if certs, _, err := parseCertTable(snptest.CertTable(many...)); err != nil || len(certs) != 31 {
		t.Errorf("31 entries: %d, %v", len(certs), err)
	}
	change := func(at int, v uint32) []byte {
		b := bytes.Clone(table)
		binary.LittleEndian.PutUint32(b[at:], v)
		return b
	}
	for name, b := range map[string][]byte{
		"no end":        bytes.Repeat([]byte{1}, 24),
		"end cut off":   append(bytes.Repeat([]byte{1}, 16), make([]byte, 8+23)...),
		"32 entries":    snptest.CertTable(append(many, leaf)...),
		"offset":        change(16, uint32(len(table))),
		"length":        change(20, uint32(len(table))),
		"overflow":      change(20, 0xffffffff),
		"one byte over": change(20, uint32(len(table))-binary.LittleEndian.Uint32(table[16:])+1),
	} {
		if _, _, err := parseCertTable(b); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	// An entry up to the very end is inside.
	if _, _, err := parseCertTable(change(20, uint32(len(table))-binary.LittleEndian.Uint32(table[16:]))); err != nil {
		t.Error(err)
	}
}

func FuzzParseCertTable(f *testing.F) {
	_, leaf, signer, root, crl := parts(snptest.New("Milan", [64]byte{1}))
	f.Add(snptest.CertTable(leaf, signer, root, crl))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, table []byte) {
		certs, crls, err := parseCertTable(table)
		if err != nil && (certs != nil || crls != nil) {
			t.Fatal("an error and a result")
		}
		n := 0
		for _, b := range slices.Concat(certs, crls) {
			n += len(b)
		}
		if n > 32*len(table) {
			t.Fatalf("%d bytes out of %d", n, len(table))
		}
	})
}

func FuzzFromReport(f *testing.F) {
	report, leaf, signer, root, crl := parts(snptest.New("Milan", [64]byte{1}))
	f.Add(report, leaf, signer, root, crl)
	f.Add(report, inPEM("CERTIFICATE", signer, root), leaf, []byte{0x30, 0}, crl)
	f.Fuzz(func(t *testing.T, report, a, b, c, crl []byte) {
		data, err := snpdata.FromReport(report, [][]byte{a, b, c, crl})
		if err != nil {
			return
		}
		// Long certificates are for the verdict to refuse.
		if max(len(a), len(b), len(c)) > snpdata.MaxCert || len(crl) > snpdata.MaxCRL {
			return
		}
		if _, err := section.Parse(data, snp.Sections()); err != nil {
			t.Fatal(err)
		}
	})
}
