// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tdxdata_test

import (
	"bytes"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/sotto-chat/sotto/attest/section"
	"github.com/sotto-chat/sotto/attest/tdx"
	"github.com/sotto-chat/sotto/attest/tdx/tdxdata"
	"github.com/sotto-chat/sotto/attest/tdx/tdxtest"
)

func machine() *tdxtest.Machine { return tdxtest.New([64]byte{1}) }

func TestFromQuote(t *testing.T) {
	m := machine()
	quote := m.Quote()
	info, identity := m.Document("tcbInfo"), m.Document("enclaveIdentity")
	signing, caList, rootList := m.DER(tdxtest.Signing), m.CRL(m.Lists[0]), m.CRL(m.Lists[1])
	asPEM := func(kind string, b []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}) }

	other := machine()
	other.FMSPC[5], other.TCBInfo.FMSPC = 9, "50806f000009"
	sgx := machine()
	sgx.TCBInfo.ID, sgx.QEIdentity.ID = "SGX", "QE"
	foreign := machine()
	foreign.Certificate = rename("Intel SGX PCK Processor CA")

	want := section.Append(nil, tdxdata.KindQuote, quote)
	want = section.Append(want, tdxdata.KindCertificate, signing)
	want = section.Append(want, tdxdata.KindTCBInfo, info)
	want = section.Append(want, tdxdata.KindQEIdentity, identity)
	want = section.Append(want, tdxdata.KindCRL, caList)
	want = section.Append(want, tdxdata.KindCRL, rootList)
	want = section.Append(want, tdxdata.KindEventLog, m.Log)

	for name, c := range map[string]struct {
		quote []byte
		files [][]byte
		log   []byte
	}{
		"plain":         {quote, [][]byte{info, identity, signing, caList, rootList}, m.Log},
		"another order": {quote, [][]byte{caList, signing, rootList, identity, info}, m.Log},
		"PEM":           {quote, [][]byte{info, identity, m.Chain(tdxtest.Signing, tdxtest.Root), asPEM("X509 CRL", caList), asPEM("X509 CRL", rootList)}, m.Log},
		"hex":           {quote, [][]byte{info, identity, signing, []byte(hex.EncodeToString(caList) + "\n"), []byte(hex.EncodeToString(rootList))}, m.Log},
		"padding":       {append(bytes.Clone(quote), make([]byte, 3000)...), [][]byte{append([]byte("\n"), info...), append(identity, '\n'), signing, caList, rootList}, append(bytes.Clone(m.Log), bytes.Repeat([]byte{0xff}, 5000)...)},
		"twice":         {quote, [][]byte{info, identity, signing, signing, caList, rootList, caList, m.Chain(tdxtest.Signing, tdxtest.Root)}, m.Log},
		"more than it takes": {quote, [][]byte{
			sgx.Document("tcbInfo"), other.Document("tcbInfo"), info, identity, sgx.Document("enclaveIdentity"),
			m.DER(tdxtest.CA), m.DER(tdxtest.Root), signing, foreign.CRL(foreign.Lists[0]), caList, rootList}, m.Log},
	} {
		got, err := tdxdata.FromQuote(c.quote, c.files, c.log)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, want %d: %v", name, len(got), len(want), err)
		}
	}

	// What isn't there is left out.
	got, err := tdxdata.FromQuote(quote, nil, nil)
	if err != nil || !bytes.Equal(got, section.Append(nil, tdxdata.KindQuote, quote)) {
		t.Errorf("alone: %d bytes, %v", len(got), err)
	}
	// A list for another model is better than none: the verdict then says so.
	got, err = tdxdata.FromQuote(quote, [][]byte{other.Document("tcbInfo")}, nil)
	if s, _ := section.Parse(got, tdx.Sections()); err != nil || !bytes.Contains(s.One(tdxdata.KindTCBInfo), []byte("50806f000009")) {
		t.Errorf("another model: %v", err)
	}
}

func rename(common string) func(string, *x509.Certificate) {
	return func(n string, c *x509.Certificate) {
		if n == tdxtest.CA {
			c.Subject.CommonName = common
		}
	}
}

// serial numbers certificates, so that they differ.
func serial(i int) func(string, *x509.Certificate) {
	return func(_ string, c *x509.Certificate) { c.SerialNumber = big.NewInt(int64(1000 + i)) }
}

func TestFromQuoteRefuses(t *testing.T) {
	m := machine()
	quote := m.Quote()
	var certs, lists [][]byte
	for i := range 5 {
		n := machine()
		n.Certificate = serial(i)
		certs = append(certs, n.DER(tdxtest.Signing))
		l := n.Lists[0]
		l.ThisUpdate -= int64(i)
		lists = append(lists, n.CRL(l))
	}
	if _, err := tdxdata.FromQuote(quote, slices.Concat(certs[:4], lists[:4]), nil); err != nil {
		t.Errorf("four: %v", err)
	}
	long := []byte(`{"tcbInfo":{"id":"TDX",` + strings.Repeat("x", tdxdata.MaxTCBInfo))
	for name, c := range map[string]struct {
		quote []byte
		files [][]byte
		log   []byte
		want  string
	}{
		"words after":       {append(bytes.Clone(quote), "words"...), nil, nil, "padding"},
		"cut":               {quote[:len(quote)-1], nil, nil, "cut off"},
		"nothing":           {nil, nil, nil, "cut off"},
		"a strange file":    {quote, [][]byte{m.Document("tcbInfo"), []byte("hello")}, nil, "number 2"},
		"an empty file":     {quote, [][]byte{nil}, nil, "number 1"},
		"a strange PEM":     {quote, [][]byte{pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte{1}})}, nil, "number 1"},
		"hex of nothing":    {quote, [][]byte{[]byte("00")}, nil, "number 1"},
		"five certificates": {quote, certs, nil, "4 certificates"},
		"five lists":        {quote, lists, nil, "4 revocation lists"},
		"not a log":         {quote, nil, []byte("log"), "cut off"},
		"a long document":   {quote, [][]byte{long}, nil, "number 1 of the files"},
	} {
		got, err := tdxdata.FromQuote(c.quote, c.files, c.log)
		if err == nil || got != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

// object is what passes for a certificate, or for a revocation list, of a size. It
// ends in what is given.
func object(list bool, size int, end ...byte) []byte {
	long := func(n int) []byte { return []byte{0x30, 0x83, byte(n >> 16), byte(n >> 8), byte(n)} }
	fields := "\xa0\x00\x02\x00\x30\x00\x30\x00\x30\x00\x30\x00\x30\x00"
	if list {
		fields = "\x02\x00\x30\x00\x30\x00"
	}
	b := slices.Concat(long(size-5), long(size-10), []byte(fields))
	b = append(b, make([]byte, size-len(b))...)
	copy(b[size-len(end):], end)
	return b
}

// bare is a quote of zeros that ends in what is given.
func bare(end []byte) []byte {
	b := make([]byte, 632)
	b[0] = 4
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(end))), end...)
}

// Each limit holds to the byte.
func TestLimits(t *testing.T) {
	m := machine()
	quote := m.Quote()
	document := func(name string) func(int) []byte {
		return func(n int) []byte { return []byte(`{"` + name + `":` + strings.Repeat("x", n-len(name)-4)) }
	}
	asQuote := func(n int) []byte { return bare(make([]byte, n-636)) }
	first := func(size int) []byte { // of a log: a first event, and nothing else
		return append(binary.LittleEndian.AppendUint32(make([]byte, 28), uint32(size-32)), make([]byte, size-32)...)
	}
	for name, c := range map[string]struct {
		most             int
		quote, file, log func(int) []byte
	}{
		"quote":        {most: tdxdata.MaxQuote, quote: asQuote},
		"TCB info":     {most: tdxdata.MaxTCBInfo, file: document("tcbInfo")},
		"QE identity":  {most: tdxdata.MaxQEIdentity, file: document("enclaveIdentity")},
		"list":         {most: tdxdata.MaxCRL, file: func(n int) []byte { return object(true, n) }},
		"certificate":  {most: tdxdata.MaxCert, file: func(n int) []byte { return object(false, n) }},
		"log":          {most: tdxdata.MaxLog, log: first},
		"area of logs": {most: 2 * tdxdata.MaxLog, log: func(n int) []byte { return append(first(40), make([]byte, n-40)...) }},
	} {
		for _, n := range []int{c.most, c.most + 1} {
			q, files, log := quote, [][]byte(nil), []byte(nil)
			switch {
			case c.quote != nil:
				q = c.quote(n)
			case c.file != nil:
				files = [][]byte{c.file(n)}
			default:
				log = c.log(n)
			}
			if _, err := tdxdata.FromQuote(q, files, log); (err == nil) != (n == c.most) || err != nil && !strings.Contains(err.Error(), "too long") {
				t.Errorf("%s of %d bytes: %v", name, n, err)
			}
		}
	}
}

// What a quote brings along is told from its form, whatever that is.
func TestStrangeQuotes(t *testing.T) {
	asPEM := func(b []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b}) }
	info := func(model string) []byte { return []byte(`{"tcbInfo":{"id":"TDX","fmspc":"` + model + `"`) }
	head := []byte{6, 10, 0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 1, 13, 1, 4, 4, 6}
	nameless := object(false, 60)
	named := object(false, 60, append(bytes.Clone(head), "\x11\x22\x33\x44\x55\x66"...)...)
	cut := object(false, 60, append(bytes.Clone(head), "\x11\x22\x33\x44\x55"...)...)

	for name, c := range map[string]struct {
		own   []byte // certificate in the quote
		model string // of the second TCB info
		taken int
	}{
		"the model's":           {named, "112233445566", 1},
		"no model":              {nameless, hex.EncodeToString(nameless[13:19]), 0},
		"a model cut off":       {append(cut, 0), "112233445500", 0},
		"another model":         {named, "112233445567", 0},
		"no certificate at all": {nil, "112233445566", 0},
	} {
		var own []byte
		if c.own != nil {
			own = asPEM(c.own)
		}
		infos := [][]byte{info("000000000001"), info(c.model)}
		got, err := tdxdata.FromQuote(bare(own), infos, nil)
		want := section.Append(section.Append(nil, tdxdata.KindQuote, bare(own)), tdxdata.KindTCBInfo, infos[c.taken])
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}

	// The certificate may be all that is in it.
	quote := bare(nil)
	copy(quote, asPEM(nameless))
	got, err := tdxdata.FromQuote(quote, [][]byte{nameless}, nil)
	if err != nil || !bytes.Equal(got, section.Append(nil, tdxdata.KindQuote, quote)) {
		t.Errorf("a certificate from the first byte: %q, %v", got, err)
	}
	if got, err := tdxdata.Trim(bare(nil)); err != nil || len(got) != 636 {
		t.Errorf("a quote that ends with its length: %d bytes, %v", len(got), err)
	}
}

func TestTrim(t *testing.T) {
	for name, f := range map[string]func(m *tdxtest.Machine){
		"version 4":          func(*tdxtest.Machine) {},
		"version 5, TDX 1.0": func(m *tdxtest.Machine) { m.Version = 5 },
		"version 5, TDX 1.5": func(m *tdxtest.Machine) { m.Version, m.TD15 = 5, true },
	} {
		m := machine()
		f(m)
		q := m.Quote()
		if got, err := tdxdata.Trim(append(bytes.Clone(q), 0, 0, 0)); err != nil || !bytes.Equal(got, q) {
			t.Errorf("%s: %d of %d bytes, %v", name, len(got), len(q), err)
		}
		for n := range len(q) {
			if got, err := tdxdata.Trim(q[:n]); err == nil || got != nil {
				t.Fatalf("%s, %d bytes of it: %d bytes", name, n, len(got))
			}
		}
		if _, err := tdxdata.Trim(append(bytes.Clone(q), 0, 1)); err == nil {
			t.Errorf("%s: something follows", name)
		}
		// Huge lengths.
		huge := bytes.Clone(q)
		copy(huge[50:], "\xff\xff\xff\xff")
		if _, err := tdxdata.Trim(huge); (err == nil) != (m.Version == 4) {
			t.Errorf("%s: a huge body: %v", name, err)
		}
	}
}

func FuzzFromQuote(f *testing.F) {
	m := machine()
	f.Add(m.Quote(), m.Document("tcbInfo"), m.Log)
	f.Add(append(m.Quote(), 0, 0), m.CRL(m.Lists[0]), append(m.Log, 0xff, 0xff))
	f.Add(m.Quote(), m.Chain(tdxtest.Signing), []byte(nil))
	f.Fuzz(func(t *testing.T, quote, file, log []byte) {
		data, err := tdxdata.FromQuote(quote, [][]byte{file}, log)
		if err != nil {
			return
		}
		s, err := section.Parse(data, tdx.Sections())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(quote, s.One(tdxdata.KindQuote)) {
			t.Error("the quote was changed")
		}
	})
}
