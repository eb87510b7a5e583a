// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package cert

import (
	"bytes"
	"crypto"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/attest/cert/der"
)

func parsedList(t testing.TB, raw []byte) *CRL {
	t.Helper()
	c, err := ParseCRL(raw)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestParseCRL(t *testing.T) {
	p := crlPieces()
	raw := p.by(p256[1])
	c := parsedList(t, raw)
	if !bytes.Equal(c.Raw, raw) || !bytes.Equal(c.RawIssuer, name("ca")) || !bytes.Equal(c.Number, []byte{5}) ||
		c.ThisUpdate != testTime.Unix()-3600 || c.NextUpdate != testTime.Unix()+3600 {
		t.Errorf("%+v", c)
	}
	for serial, want := range map[string]bool{
		"\x04\xd2": true, "\xc8": true, "\x00\x04\xd2": true, "\x00\xc8": true,
		"\x04\xd3": false, "\xd2": false, "\x04": false, "\x04\xd2\x00": false, "": false, "\x00": false, "\x01": false,
	} {
		if got := c.Revoked([]byte(serial)); got != want {
			t.Errorf("Revoked(%x) = %t", serial, got)
		}
	}
	p.list = [][]byte{entry(num(7)), entry(num(0))}
	if c := parsedList(t, p.by(p256[1])); !c.Revoked([]byte{0}) || !c.Revoked(nil) || !c.Revoked([]byte{7}) {
		t.Error("the serial number zero isn't found")
	}
	p.list, p.exts = nil, nil
	if c := parsedList(t, p.by(p256[1])); c.Revoked([]byte{4, 210}) || c.Number != nil {
		t.Error("an empty list names something")
	}
}

func TestParseCRLOneThingChanged(t *testing.T) {
	withExt := func(e ...[]byte) func(*listPieces) { return func(p *listPieces) { p.exts = e } }
	withEntry := func(e ...[]byte) func(*listPieces) { return func(p *listPieces) { p.list = append(p.list, e...) } }
	filled := func(size int) func(*listPieces) {
		return func(p *listPieces) {
			p.signature = bits(make([]byte, 64))
			p.exts = [][]byte{ext("1.2.3", make([]byte, 1<<17))}
			p.exts = [][]byte{ext("1.2.3", make([]byte, 1<<17+size-len(p.by(nil))))}
			if got := len(p.by(nil)); got != size {
				t.Fatalf("made %d bytes, want %d", got, size)
			}
		}
	}
	for name, tt := range map[string]struct {
		ok     bool
		change func(*listPieces)
	}{
		"nothing":              {true, func(p *listPieces) {}},
		"version left out":     {false, func(p *listPieces) { p.version = nil }},
		"version 1":            {false, func(p *listPieces) { p.version = num(0) }},
		"version 3":            {false, func(p *listPieces) { p.version = num(2) }},
		"version tagged":       {false, func(p *listPieces) { p.version = in(0, num(1)) }},
		"algorithm another":    {false, func(p *listPieces) { p.outerAlg = algECDSA384 }},
		"algorithm not known":  {false, func(p *listPieces) { p.alg = seq(oid("1.3.101.112")); p.signature = bits(make([]byte, 64)) }},
		"algorithm missing":    {false, func(p *listPieces) { p.outerAlg, p.alg, p.signature = p.alg, nil, bits(nil) }},
		"algorithm with NULL":  {false, func(p *listPieces) { p.alg, p.outerAlg = seq(oid("1.2.840.10045.4.3.2"), null5()), p.alg }},
		"signature not whole":  {false, func(p *listPieces) { p.signature = el(der.BitString, []byte{1}, make([]byte, 64)) }},
		"a fourth part":        {false, func(p *listPieces) { p.tail = null5() }},
		"bytes after it":       {false, func(p *listPieces) { p.after = []byte{0} }},
		"issuer empty":         {false, func(p *listPieces) { p.issuer = seq() }},
		"issuer missing":       {false, func(p *listPieces) { p.issuer = nil }},
		"issuer no name":       {false, func(p *listPieces) { p.issuer = seq(num(1)) }},
		"date missing":         {false, func(p *listPieces) { p.this = nil }},
		"date wrong":           {false, func(p *listPieces) { p.this = el(der.UTCTime, []byte("2701150000Z")) }},
		"next date missing":    {false, func(p *listPieces) { p.next = nil }},
		"next date wrong":      {false, func(p *listPieces) { p.next = el(der.UTCTime, []byte("270115000000")) }},
		"next date long":       {true, func(p *listPieces) { p.next = el(der.GeneralizedTime, []byte("20500101000000Z")) }},
		"no entries":           {true, func(p *listPieces) { p.list = nil }},
		"entries empty":        {true, func(p *listPieces) { p.entries = seq() }},
		"entries twice":        {false, func(p *listPieces) { p.entries = append(seq(p.list...), seq(p.list...)...) }},
		"entry a set":          {false, withEntry(el(der.Set, num(1), utc(testTime)))},
		"entry empty":          {false, withEntry(seq())},
		"entry of bytes":       {false, withEntry([]byte{der.Sequence, 9, 1})},
		"entry without date":   {false, withEntry(seq(num(1)))},
		"entry without serial": {false, withEntry(seq(utc(testTime)))},
		"entry wrong date":     {false, withEntry(seq(num(1), el(der.UTCTime, []byte("2701150000Z"))))},
		"entry negative":       {false, withEntry(entry(el(der.Integer, []byte{0x80})))},
		"entry needless zero":  {false, withEntry(entry(el(der.Integer, []byte{0, 1})))},
		"entry of 20 bytes":    {true, withEntry(entry(bigNum(new(big.Int).Lsh(big.NewInt(1), 159))))},
		"entry of 21 bytes":    {false, withEntry(entry(bigNum(new(big.Int).Lsh(big.NewInt(1), 160))))},
		"entry of zero":        {true, withEntry(entry(num(0)))},
		"entry and more":       {false, withEntry(seq(num(1), utc(testTime), null5()))},
		"entry extension bad":  {false, withEntry(entry(num(1), seq(oid("1.2.3"))))},
		"entry extensions two": {false, withEntry(seq(num(1), utc(testTime), seq(ext("1.2.3")), seq(ext("1.2.3"))))},
		"entry twice":          {true, withEntry(entry(num(1)), entry(num(1)))},

		"no extensions":           {true, func(p *listPieces) { p.exts = nil }},
		"extensions bare":         {false, func(p *listPieces) { p.extensions = el(der.Set, p.exts...) }},
		"extensions in [1]":       {false, func(p *listPieces) { p.extensions = in(1, seq(p.exts...)) }},
		"extensions twice":        {false, func(p *listPieces) { p.tbsTail = in(0, seq(ext("1.2.3"))) }},
		"extensions twice inside": {false, func(p *listPieces) { p.extensions = in(0, seq(p.exts...), seq(p.exts...)) }},
		"bytes after extensions":  {false, func(p *listPieces) { p.tbsTail = null5() }},
		"extension twice":         {false, withExt(ext("1.2.3"), ext("1.2.3"))},
		"number 0":                {true, withExt(ext("2.5.29.20", num(0)))},
		"number of 20 bytes":      {true, withExt(ext("2.5.29.20", bigNum(new(big.Int).Lsh(big.NewInt(1), 159))))},
		"number of 21 bytes":      {false, withExt(ext("2.5.29.20", bigNum(new(big.Int).Lsh(big.NewInt(1), 160))))},
		"number negative":         {false, withExt(ext("2.5.29.20", el(der.Integer, []byte{0xff})))},
		"number is text":          {false, withExt(ext("2.5.29.20", text("5")))},
		"number and more":         {false, withExt(ext("2.5.29.20", num(5), num(5)))},
		"number empty":            {false, withExt(ext("2.5.29.20"))},
		"a condition can be read": {true, withExt(critical("1.2.3"))},
		"as large as can be":      {true, filled(MaxCRL)},
		"one byte larger":         {false, filled(MaxCRL + 1)},
	} {
		p := crlPieces()
		tt.change(&p)
		c, err := ParseCRL(p.by(p256[1]))
		if (err == nil) != tt.ok || (c != nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && FailureOf(err) != "evidence_malformed" {
			t.Errorf("%s: failure %s", name, FailureOf(err))
		}
	}
	for name, raw := range map[string][]byte{"nothing": nil, "a set": el(der.Set), "empty": seq(), "empty inside": seq(seq(), algECDSA256, bits(nil))} {
		if _, err := ParseCRL(raw); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestCRLVerify(t *testing.T) {
	second := time.Second
	type given struct {
		list   listPieces
		by     crypto.Signer
		issuer pieces
		now    time.Time
	}
	usage := func(b byte) []byte { return critical(oidKeyUsage, bits([]byte{b})) }
	for name, tt := range map[string]struct {
		failure, detail string // "" if it stands
		change          func(*given)
	}{
		"as made":              {"", "", func(g *given) {}},
		"signed by another":    {"signature_invalid", "the signature of the revocation list of “ca” is wrong", func(g *given) { g.by = p256[2] }},
		"issued by another":    {"chain_untrusted", "somebody else than “ca”", func(g *given) { g.list.issuer = name("root") }},
		"of a namesake":        {"signature_invalid", "is wrong", func(g *given) { g.issuer.key = spki(&p256[3].PublicKey) }},
		"of a nameless one":    {"chain_untrusted", "than a nameless one", func(g *given) { g.issuer.subject = seq() }},
		"issuer no CA":         {"chain_untrusted", "“ca” may not sign revocation lists", func(g *given) { g.issuer.exts = [][]byte{extCASign} }},
		"issuer says nothing":  {"chain_untrusted", "“ca” may not sign revocation lists", func(g *given) { g.issuer.exts = nil }},
		"issuer without usage": {"", "", func(g *given) { g.issuer.exts = [][]byte{extCA} }},
		"issuer for lists":     {"", "", func(g *given) { g.issuer.exts = [][]byte{extCA, usage(2)} }},
		"issuer not for lists": {"chain_untrusted", "“ca” may not sign revocation lists", func(g *given) { g.issuer.exts = [][]byte{extCA, usage(4)} }},
		"issuer for nothing":   {"chain_untrusted", "“ca” may not sign revocation lists", func(g *given) { g.issuer.exts = [][]byte{extCA, critical(oidKeyUsage, bits(nil))} }},
		"on its date":          {"", "", func(g *given) { g.now = testTime.Add(-time.Hour) }},
		"before its date":      {"collateral_expired", "“ca” is not valid before 2027-01-15", func(g *given) { g.now = testTime.Add(-time.Hour - second) }},
		"a second before next": {"", "", func(g *given) { g.now = testTime.Add(time.Hour - second) }},
		"on the next's date":   {"collateral_expired", "“ca” ended on 2027-01-15", func(g *given) { g.now = testTime.Add(time.Hour) }},
		"with a condition":     {"chain_untrusted", "makes a condition", func(g *given) { g.list.exts = append(g.list.exts, critical("1.2.3")) }},
		"condition first":      {"chain_untrusted", "makes a condition", func(g *given) { g.list.exts = append([][]byte{critical("1.2.3")}, g.list.exts...) }},
		"with a remark":        {"", "", func(g *given) { g.list.exts = append(g.list.exts, ext("1.2.3")) }},
		"number critical":      {"chain_untrusted", "makes a condition", func(g *given) { g.list.exts = [][]byte{critical("2.5.29.20", num(5))} }},
		"entry with condition": {"chain_untrusted", "makes a condition", func(g *given) {
			g.list.list = append([][]byte{entry(num(9), ext("1.2.3"), critical("2.5.29.29", seq())), entry(num(8), ext("1.2.3"))}, g.list.list...)
		}},
		// Critical by rule; a CA that forgets that doesn't make a whole list of a part.
		"of a part":          {"chain_untrusted", "makes a condition", func(g *given) { g.list.exts = append(g.list.exts, critical("2.5.29.28", seq(el(0x81, []byte{0xff})))) }},
		"of a part, unsaid":  {"chain_untrusted", "makes a condition", func(g *given) { g.list.exts = append(g.list.exts, ext("2.5.29.28", seq(el(0x81, []byte{0xff})))) }},
		"of changes":         {"chain_untrusted", "makes a condition", func(g *given) { g.list.exts = append(g.list.exts, critical("2.5.29.27", num(4))) }},
		"of changes, unsaid": {"chain_untrusted", "makes a condition", func(g *given) { g.list.exts = append(g.list.exts, ext("2.5.29.27", num(4))) }},
		"old and false":      {"signature_invalid", "is wrong", func(g *given) { g.by, g.now = p256[2], testTime.Add(2*time.Hour) }},
		"empty":              {"", "", func(g *given) { g.list.list = nil }},
	} {
		g := given{list: crlPieces(), by: p256[1], issuer: caPieces("ca", "root", &p256[1].PublicKey), now: testTime}
		tt.change(&g)
		issuer := parsed(t, g.issuer.by(p256[2]))
		err := parsedList(t, g.list.by(g.by)).Verify(issuer, g.now.Unix())
		if tt.failure == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err == nil || FailureOf(err) != tt.failure || !strings.Contains(err.Error(), tt.detail) {
			t.Errorf("%s: %v, want %s, %q", name, err, tt.failure, tt.detail)
		}
	}
}

// A list as long as can be is read and searched in no time, and to look in it changes nothing.
func TestLongestCRL(t *testing.T) {
	p := crlPieces()
	one := entry(num(9), ext("2.5.29.21", el(der.Enumerated, []byte{1})))
	p.entries = seq(bytes.Repeat(one, (MaxCRL-1000)/len(one)))
	c := parsedList(t, p.by(p256[1]))
	done := make(chan bool)
	for range 2 {
		go func() { done <- c.Revoked([]byte{8}) }()
	}
	if <-done || <-done {
		t.Error("a serial number is found that isn't there")
	}
}
