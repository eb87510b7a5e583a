// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package cert

import (
	"bytes"
	"encoding/pem"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/attest/cert/der"
)

func TestParse(t *testing.T) {
	p := leafPieces()
	p.subject = seq(
		el(der.Set, seq(oid("2.5.4.6"), el(der.PrintableString, []byte("DE")))),
		el(der.Set, seq(oid("2.5.4.10"), el(der.T61String, []byte("A\xfc\n"))), seq(oid("2.5.4.3"), el(der.BMPString, []byte("\x00B")))),
		el(der.Set, seq(oid("2.5.4.3"), text("later"))),
		el(der.Set, seq(oid("2.5.4.5"), el(der.NumericString, []byte("12")))),
		el(der.Set, seq(oid("0.9.2342.19200300.100.1.25"), el(der.IA5String, []byte(strings.Repeat("x", 200))))),
	)
	p.exts = append(p.exts, critical(oidKeyUsage, el(der.BitString, []byte{7, 0x80, 0x80})), critical("2.5.29.17", seq()))
	raw := p.by(p256[1])
	c := parsed(t, raw)
	if !bytes.Equal(c.Raw, raw) || !bytes.Equal(c.RawTBS, p.tbs()) || !bytes.Equal(c.RawIssuer, p.issuer) ||
		!bytes.Equal(c.RawSubject, p.subject) || !bytes.Equal(c.RawSPKI, p.key) {
		t.Error("the raw parts are wrong")
	}
	if !bytes.Equal(c.Serial, []byte{4, 210}) || c.NotBefore != testTime.Unix()-3600 || c.NotAfter != testTime.Unix()+3600 {
		t.Errorf("serial %x, from %d to %d", c.Serial, c.NotBefore, c.NotAfter)
	}
	if c.IsCA || c.MaxPathLen != -1 || c.KeyUsage != UsageDigitalSignature|1<<8 {
		t.Errorf("CA %t, path %d, usage %b", c.IsCA, c.MaxPathLen, c.KeyUsage)
	}
	if len(c.Extensions) != 3 || c.Extensions[0].Critical || !c.Extensions[2].Critical || c.Extensions[2].OID != "2.5.29.17" {
		t.Errorf("extensions %+v", c.Extensions)
	}
	if v, ok := c.Extension("1.3.6.1.4.1.3704.1.1"); !ok || !bytes.Equal(v, num(7)) {
		t.Errorf("extension %x, %t", v, ok)
	}
	if v, ok := c.Extension("1.3.6.1.4.1.3704.1"); ok || v != nil {
		t.Error("an extension that isn't there was found")
	}
	for id, want := range map[string]string{
		"2.5.4.3": "?B", "2.5.4.6": "DE", "2.5.4.10": "A??", "2.5.4.5": "12", "2.5.4.11": "",
		"0.9.2342.19200300.100.1.25": strings.Repeat("x", 128),
	} {
		if got := c.SubjectName(id); got != want {
			t.Errorf("SubjectName(%s) = %q, want %q", id, got, want)
		}
	}
	if got := c.SubjectName("2.5.4.3") + c.who(); got != "?B“?B”" {
		t.Errorf("it is called %s", got)
	}

	ca := parsed(t, caPieces("ca", "root", &p256[1].PublicKey).by(p256[2]))
	if !ca.IsCA || ca.MaxPathLen != -1 || ca.KeyUsage != UsageCertSign|UsageCRLSign {
		t.Errorf("CA %t, path %d, usage %b", ca.IsCA, ca.MaxPathLen, ca.KeyUsage)
	}
	if !c.SignedBy(ca) || ca.SignedBy(ca) {
		t.Error("the wrong certificate is signed")
	}
	// That it is right is found out once, of that key.
	c.signed.signature = nil
	if !c.SignedBy(ca) || c.SignedBy(c) || c.SignedBy(&Certificate{}) {
		t.Error("what was found out is forgotten, or holds for others")
	}
	if c = parsed(t, leafPieces().by(p256[1])); c.SignedBy(&Certificate{}) {
		t.Error("signed by no key")
	}
	bare := leafPieces()
	bare.exts = nil
	if c := parsed(t, bare.by(p256[1])); c.KeyUsage != -1 || c.MaxPathLen != -1 || c.IsCA || len(c.Extensions) != 0 {
		t.Errorf("without extensions: %+v", c)
	}
}

func TestPrintable(t *testing.T) {
	if got := printable([]byte("\x1f !~\x7f\x80")); got != "? !~??" {
		t.Errorf("printable = %q", got)
	}
}

// Each case changes one thing; the rest is right, and signed.
func TestParseOneThingChanged(t *testing.T) {
	day := func(s string) []byte { return el(der.UTCTime, []byte(s)) }
	from, to := utc(testTime.Add(-time.Hour)), utc(testTime.Add(time.Hour))
	withExt := func(e ...[]byte) func(*pieces) { return func(p *pieces) { p.exts = e } }
	attr := func(parts ...[]byte) []byte { return seq(el(der.Set, seq(parts...))) }
	cn := oid("2.5.4.3")
	many := func(n int) (out [][]byte) {
		for i := range n {
			out = append(out, ext("1.2."+strconv.Itoa(i), num(1)))
		}
		return out
	}
	filled := func(size int) func(*pieces) {
		return func(p *pieces) {
			p.signature = bits(make([]byte, 64))
			p.exts = [][]byte{ext("1.2.3", make([]byte, 1<<10))}
			p.exts = [][]byte{ext("1.2.3", make([]byte, 1<<10+size-len(p.by(nil))))}
			if got := len(p.by(nil)); got != size {
				t.Fatalf("made %d bytes, want %d", got, size)
			}
		}
	}
	for name, tt := range map[string]struct {
		ok     bool
		change func(*pieces)
	}{
		"nothing":       {true, func(p *pieces) {}},
		"no extensions": {true, func(p *pieces) { p.exts = nil }},

		"version left out":  {false, func(p *pieces) { p.version = nil }},
		"version 1":         {false, func(p *pieces) { p.version = in(0, num(0)) }},
		"version 2":         {false, func(p *pieces) { p.version = in(0, num(1)) }},
		"version 4":         {false, func(p *pieces) { p.version = in(0, num(3)) }},
		"version bare":      {false, func(p *pieces) { p.version = num(2) }},
		"version is long":   {false, func(p *pieces) { p.version = in(0, num(2), num(2)) }},
		"version is text":   {false, func(p *pieces) { p.version = in(0, text("2")) }},
		"version untagged":  {false, func(p *pieces) { p.version = in(1, num(2)) }},
		"version of 4 byte": {false, func(p *pieces) { p.version = in(0, num(1<<24+2)) }},

		"serial 0":                  {true, func(p *pieces) { p.serial = num(0) }},
		"serial of 20 bytes":        {true, func(p *pieces) { p.serial = bigNum(new(big.Int).Lsh(big.NewInt(1), 159)) }},
		"serial of 21 bytes":        {false, func(p *pieces) { p.serial = bigNum(new(big.Int).Lsh(big.NewInt(1), 160)) }},
		"serial negative":           {false, func(p *pieces) { p.serial = el(der.Integer, []byte{0x80}) }},
		"serial with needless zero": {false, func(p *pieces) { p.serial = el(der.Integer, []byte{0, 1}) }},
		"serial empty":              {false, func(p *pieces) { p.serial = el(der.Integer) }},
		"serial missing":            {false, func(p *pieces) { p.serial = nil }},
		"serial is text":            {false, func(p *pieces) { p.serial = text("1") }},

		"inner algorithm another":     {false, func(p *pieces) { p.outerAlg = algECDSA384 }},
		"algorithm not known":         {false, func(p *pieces) { p.alg = seq(oid("1.3.101.112")); p.signature = bits(make([]byte, 64)) }},
		"inner algorithm missing":     {false, func(p *pieces) { p.outerAlg, p.alg = p.alg, nil; p.signature = bits(make([]byte, 64)) }},
		"outer algorithm missing":     {false, func(p *pieces) { p.outerAlg = []byte{} }},
		"inner algorithm with a NULL": {false, func(p *pieces) { p.alg, p.outerAlg = seq(oid("1.2.840.10045.4.3.2"), null5()), p.alg }},
		"algorithms one as another": {false, func(p *pieces) {
			p.alg, p.outerAlg = pss(in(0, hash256), in(1, mgf1(hash256)), in(2, num(32))), algPSS256
			p.signature = bits(make([]byte, 256))
		}},

		"signature not whole bytes": {false, func(p *pieces) { p.signature = el(der.BitString, []byte{1}, make([]byte, 64)) }},
		"signature as octets":       {false, func(p *pieces) { p.signature = octets(make([]byte, 64)) }},
		"signature missing":         {false, func(p *pieces) { p.signature = []byte{} }},
		"a fourth part":             {false, func(p *pieces) { p.tail = null5() }},
		"bytes after it":            {false, func(p *pieces) { p.after = []byte{0} }},

		"issuer empty":           {false, func(p *pieces) { p.issuer = seq() }},
		"issuer missing":         {false, func(p *pieces) { p.issuer = nil }},
		"issuer a set":           {false, func(p *pieces) { p.issuer = el(der.Set) }},
		"issuer of no sets":      {false, func(p *pieces) { p.issuer = seq(seq(seq(cn, text("ca")))) }},
		"issuer of an empty set": {false, func(p *pieces) { p.issuer = seq(el(der.Set)) }},
		"issuer of no attribute": {false, func(p *pieces) { p.issuer = seq(el(der.Set, text("ca"))) }},
		"issuer without a type":  {false, func(p *pieces) { p.issuer = attr(text("ca")) }},
		"issuer without a value": {false, func(p *pieces) { p.issuer = attr(cn) }},
		"issuer with two values": {false, func(p *pieces) { p.issuer = attr(cn, text("ca"), text("ca")) }},
		"issuer is a number":     {false, func(p *pieces) { p.issuer = attr(cn, num(1)) }},
		"issuer is a sequence":   {false, func(p *pieces) { p.issuer = attr(cn, seq(text("ca"))) }},
		"issuer built of pieces": {false, func(p *pieces) { p.issuer = attr(cn, el(0x2c, text("ca"))) }},
		"issuer cut off":         {false, func(p *pieces) { p.issuer = attr(cn, []byte{der.UTF8String, 5, 'c'}) }},
		"issuer with a bad second": {false, func(p *pieces) {
			p.issuer = seq(el(der.Set, seq(cn, text("ca")), seq(cn, num(1))))
		}},
		"subject empty":       {true, func(p *pieces) { p.subject = seq() }},
		"subject missing":     {false, func(p *pieces) { p.subject = nil }},
		"subject is a number": {false, func(p *pieces) { p.subject = attr(cn, num(1)) }},
		"subject of no sets":  {false, func(p *pieces) { p.subject = seq(seq(seq(cn, text("leaf")))) }},

		"validity missing":       {false, func(p *pieces) { p.validity = nil }},
		"validity empty":         {false, func(p *pieces) { p.validity = seq() }},
		"validity without end":   {false, func(p *pieces) { p.validity = seq(from) }},
		"validity of three":      {false, func(p *pieces) { p.validity = seq(from, to, to) }},
		"validity without start": {false, func(p *pieces) { p.validity = seq(day("x"), to) }},
		"end without seconds":    {false, func(p *pieces) { p.validity = seq(from, day("2801010000Z")) }},
		"end in general time":    {true, func(p *pieces) { p.validity = seq(from, el(der.GeneralizedTime, []byte("99991231235959Z"))) }},

		"key missing":   {false, func(p *pieces) { p.key = nil }},
		"key not known": {false, func(p *pieces) { p.key = spki(&p521.PublicKey) }},

		"unique id of the issuer":   {false, func(p *pieces) { p.unique = el(0x81, []byte{0, 1}) }},
		"unique id of the subject":  {false, func(p *pieces) { p.unique = el(0x82, []byte{0, 1}) }},
		"extensions in [2]":         {false, func(p *pieces) { p.extensions = in(2, seq(p.exts...)) }},
		"extensions bare":           {false, func(p *pieces) { p.extensions = seq(p.exts...) }},
		"extensions in a set":       {false, func(p *pieces) { p.extensions = in(3, el(der.Set, p.exts...)) }},
		"extensions missing in [3]": {false, func(p *pieces) { p.extensions = in(3) }},
		"extensions cut off":        {false, func(p *pieces) { p.extensions = in(3, []byte{der.Sequence, 9}) }},
		"extensions none":           {true, func(p *pieces) { p.extensions = in(3, seq()) }},
		"extensions twice in [3]":   {false, func(p *pieces) { p.extensions = in(3, seq(p.exts...), seq(p.exts...)) }},
		"extensions twice":          {false, func(p *pieces) { p.tbsTail = in(3, seq(ext("1.2.3", num(1)))) }},
		"bytes after extensions":    {false, func(p *pieces) { p.tbsTail = null5() }},
		"bytes for extensions":      {false, func(p *pieces) { p.exts = nil; p.tbsTail = null5() }},

		"extension not a sequence":       {false, withExt(el(der.Set, oid("1.2.3"), octets(num(1))))},
		"extension without OID":          {false, withExt(seq(octets(num(1))))},
		"extension without value":        {false, withExt(seq(oid("1.2.3")))},
		"extension without value first":  {false, withExt(seq(oid("1.2.3")), ext("1.2.4"))},
		"extension with two values":      {false, withExt(seq(oid("1.2.3"), octets(num(1)), octets(num(1))))},
		"extension with bits":            {false, withExt(seq(oid("1.2.3"), bits(num(1))))},
		"extension not critical, said":   {false, withExt(seq(oid("1.2.3"), no(), octets(num(1))))},
		"extension maybe critical":       {false, withExt(seq(oid("1.2.3"), el(der.Boolean, []byte{1}), octets(num(1))))},
		"extension of nothing":           {true, withExt(ext("1.2.3"))},
		"extension critical":             {true, withExt(critical("1.2.3"))},
		"extension twice":                {false, withExt(ext("1.2.3", num(1)), ext("1.2.4", num(1)), ext("1.2.3", num(1)))},
		"extension twice, once critical": {false, withExt(ext("1.2.3", num(1)), critical("1.2.3", num(2)))},
		"64 extensions":                  {true, withExt(many(64)...)},
		"65 extensions":                  {false, withExt(many(65)...)},

		"constraints of nothing":      {true, withExt(ext(oidBasicConstraints, seq()))},
		"constraints of a CA":         {true, withExt(extCA)},
		"constraints with a length":   {true, withExt(extPath(255))},
		"constraints with length 256": {false, withExt(extPath(256))},
		"constraints negative":        {false, withExt(ext(oidBasicConstraints, seq(yes(), el(der.Integer, []byte{0xff}))))},
		"constraints not a CA, said":  {false, withExt(ext(oidBasicConstraints, seq(no())))},
		"constraints maybe a CA":      {false, withExt(ext(oidBasicConstraints, seq(el(der.Boolean, []byte{1}))))},
		"constraints length of no CA": {false, withExt(ext(oidBasicConstraints, seq(num(0))))},
		"constraints of no CA, said":  {false, withExt(ext(oidBasicConstraints, seq(no(), num(0))))},
		"constraints turned round":    {false, withExt(ext(oidBasicConstraints, seq(num(0), yes())))},
		"constraints with more":       {false, withExt(ext(oidBasicConstraints, seq(yes(), num(0), num(0))))},
		"constraints and more":        {false, withExt(ext(oidBasicConstraints, seq(yes()), null5()))},
		"constraints empty":           {false, withExt(ext(oidBasicConstraints))},
		"constraints a set":           {false, withExt(ext(oidBasicConstraints, el(der.Set, yes())))},

		"usage of nothing":     {true, withExt(ext(oidKeyUsage, bits(nil)))},
		"usage of 16 bits":     {true, withExt(ext(oidKeyUsage, bits([]byte{0xff, 0xff})))},
		"usage of 17 bits":     {false, withExt(ext(oidKeyUsage, bits([]byte{1, 1, 1})))},
		"usage with loose bit": {false, withExt(ext(oidKeyUsage, el(der.BitString, []byte{1, 1})))},
		"usage a number":       {false, withExt(ext(oidKeyUsage, num(1)))},
		"usage and more":       {false, withExt(ext(oidKeyUsage, bits([]byte{6}), null5()))},
		"usage empty":          {false, withExt(ext(oidKeyUsage))},

		"as large as can be": {true, filled(MaxSize)},
		"one byte larger":    {false, filled(MaxSize + 1)},
	} {
		p := leafPieces()
		tt.change(&p)
		c, err := Parse(p.by(p256[1]))
		if (err == nil) != tt.ok || (c != nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && FailureOf(err) != "evidence_malformed" {
			t.Errorf("%s: failure %s", name, FailureOf(err))
		}
	}
	for name, raw := range map[string][]byte{
		"nothing": nil, "a set": el(der.Set), "empty": seq(), "of bytes": seq(text("x")), "not a sequence inside": seq(el(der.Set), algECDSA256, bits(nil)),
		"empty inside": seq(seq(), algECDSA256, bits(nil)),
	} {
		if _, err := Parse(raw); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Each algorithm identifier as it must be, and each part of it changed.
func TestAlgorithms(t *testing.T) {
	sha256OID, sha1 := oid("2.16.840.1.101.3.4.2.1"), seq(oid("1.3.14.3.2.26"), null5())
	h, m, n, tr := in(0, hash256), in(1, mgf1(hash256)), in(2, num(32)), in(3, num(1))
	for name, tt := range map[string]struct {
		raw  []byte
		want Algorithm
	}{
		"ecdsa 256": {algECDSA256, ECDSASHA256}, "ecdsa 384": {algECDSA384, ECDSASHA384},
		"rsa 256": {algPKCS256, PKCS1SHA256}, "rsa 384": {algPKCS384, PKCS1SHA384},
		"pss 256": {algPSS256, PSSSHA256}, "pss 384": {algPSS384, PSSSHA384},
		"pss without trailer":        {pss(h, m, n), PSSSHA256},
		"pss, hash without NULL":     {pss(in(0, seq(sha256OID)), m, n), PSSSHA256},
		"pss, mgf hash without NULL": {pss(h, in(1, mgf1(seq(sha256OID))), n), PSSSHA256},

		"ecdsa 256 with NULL":   {seq(oid("1.2.840.10045.4.3.2"), null5()), 0},
		"ecdsa 384 with NULL":   {seq(oid("1.2.840.10045.4.3.3"), null5()), 0},
		"ecdsa 512":             {seq(oid("1.2.840.10045.4.3.4")), 0},
		"ecdsa sha1":            {seq(oid("1.2.840.10045.4.1")), 0},
		"rsa without NULL":      {seq(oid("1.2.840.113549.1.1.11")), 0},
		"rsa 384 without NULL":  {seq(oid("1.2.840.113549.1.1.12")), 0},
		"rsa with a full NULL":  {seq(oid("1.2.840.113549.1.1.11"), el(der.Null, []byte{0})), 0},
		"rsa with two NULLs":    {seq(oid("1.2.840.113549.1.1.11"), null5(), null5()), 0},
		"rsa with text":         {seq(oid("1.2.840.113549.1.1.11"), text("")), 0},
		"rsa 512":               {seq(oid("1.2.840.113549.1.1.13"), null5()), 0},
		"rsa sha1":              {seq(oid("1.2.840.113549.1.1.5"), null5()), 0},
		"rsa md5":               {seq(oid("1.2.840.113549.1.1.4"), null5()), 0},
		"ed25519":               {seq(oid("1.3.101.112")), 0},
		"no OID":                {seq(null5()), 0},
		"empty":                 {seq(), 0},
		"a set":                 {el(der.Set, oid("1.2.840.10045.4.3.2")), 0},
		"pss bare":              {seq(oid(oidPSS)), 0},
		"pss of defaults":       {pss(), 0},
		"pss with NULL":         {seq(oid(oidPSS), null5()), 0},
		"pss and more":          {seq(oid(oidPSS), seq(h, m, n), null5()), 0},
		"pss without hash":      {pss(m, n, tr), 0},
		"pss without mgf":       {pss(h, n, tr), 0},
		"pss without salt":      {pss(h, m, tr), 0},
		"pss with sha1":         {pss(in(0, sha1), in(1, mgf1(sha1)), in(2, num(20))), 0},
		"pss, hash twice":       {pss(in(0, hash256, hash256), m, n), 0},
		"pss, no hash in it":    {pss(in(0, text("")), m, n), 0},
		"pss, hash no OID":      {pss(in(0, seq(null5())), m, n), 0},
		"pss, hash with text":   {pss(in(0, seq(sha256OID, text(""))), m, n), 0},
		"pss, hash and more":    {pss(in(0, seq(sha256OID, null5(), null5())), m, n), 0},
		"pss, other mgf":        {pss(h, in(1, seq(oid("1.2.3"), hash256)), n), 0},
		"pss, mgf no OID":       {pss(h, in(1, seq(hash256)), n), 0},
		"pss, mgf bare":         {pss(h, in(1, seq(oid(oidMGF1))), n), 0},
		"pss, mgf not in it":    {pss(h, in(1, text("")), n), 0},
		"pss, mgf other hash":   {pss(h, in(1, mgf1(hash384)), n), 0},
		"pss, mgf sha1":         {pss(h, in(1, mgf1(sha1)), n), 0},
		"pss, mgf and more":     {pss(h, in(1, seq(oid(oidMGF1), hash256, null5())), n), 0},
		"pss, mgf twice":        {pss(h, in(1, mgf1(hash256), mgf1(hash256)), n), 0},
		"pss, salt too short":   {pss(h, m, in(2, num(31))), 0},
		"pss, salt too long":    {pss(h, m, in(2, num(33))), 0},
		"pss, salt of 384":      {pss(h, m, in(2, num(48))), 0},
		"pss, salt is text":     {pss(h, m, in(2, text(" "))), 0},
		"pss, salt of 0":        {pss(h, m, in(2, num(0))), 0},
		"pss, salt and more":    {pss(h, m, in(2, num(32), num(32))), 0},
		"pss, trailer 0":        {pss(h, m, n, in(3, num(0))), 0},
		"pss, trailer 2":        {pss(h, m, n, in(3, num(2))), 0},
		"pss, trailer is text":  {pss(h, m, n, in(3, text("1"))), 0},
		"pss, trailer and more": {pss(h, m, n, in(3, num(1), num(1))), 0},
		"pss, trailer twice":    {pss(h, m, n, tr, tr), 0},
		"pss, more":             {pss(h, m, n, null5()), 0},
		"pss, trailer cut off":  {pss(h, m, n, []byte{0xa3, 5, 2}), 0},
	} {
		if got, ok := parseAlgorithm(tt.raw); ok != (tt.want != 0) || ok && got != tt.want {
			t.Errorf("%s: %v, %t, want %v", name, got, ok, tt.want)
		}
	}
}

func TestParsePEM(t *testing.T) {
	leaf, ca := leafPieces().by(p256[1]), caPieces("ca", "root", &p256[1].PublicKey).by(p256[2])
	block := func(raw []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}))
	}
	a, b := block(leaf), block(ca)
	oneLine := func(s string) string {
		head, tail := "-----BEGIN CERTIFICATE-----\n", "\n-----END CERTIFICATE-----\n"
		s = strings.TrimSuffix(strings.TrimPrefix(s, head), tail)
		return head + strings.ReplaceAll(s, "\n", "") + tail
	}
	big := leafPieces()
	big.exts = [][]byte{ext("1.2.3", make([]byte, MaxSize))}
	for name, tt := range map[string]struct {
		text string
		most int
		n    int // -1 if refused
	}{
		"nothing":               {"", 1, 0},
		"white space":           {" \t\r\n\x00", 1, 0},
		"one":                   {a, 1, 1},
		"two":                   {a + b, 2, 2},
		"twice the same":        {a + a, 2, 2},
		"two together":          {strings.TrimSpace(a) + b, 2, 2},
		"zeros at the end":      {a + b + "\x00\x00", 2, 2},
		"CR LF":                 {strings.ReplaceAll(a+b, "\n", "\r\n"), 2, 2},
		"one line":              {oneLine(a), 1, 1},
		"more than most":        {a + b, 1, -1},
		"none allowed":          {a, 0, -1},
		"text before":           {"x\n" + a, 1, -1},
		"text between":          {a + "x\n" + b, 2, -1},
		"text after":            {a + "x", 1, -1},
		"another kind":          {strings.ReplaceAll(a, "CERTIFICATE", "TRUSTED CERTIFICATE"), 1, -1},
		"a key":                 {strings.ReplaceAll(a, "CERTIFICATE", "PUBLIC KEY"), 1, -1},
		"no end":                {a[:strings.Index(a, "-----END")], 1, -1},
		"other end":             {strings.Replace(a, "END CERTIFICATE", "END CERTIFICATF", 1), 1, -1},
		"headers":               {strings.Replace(a, "-----\n", "-----\nX: y\n\n", 1), 1, -1},
		"empty":                 {"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", 1, -1},
		"not base64":            {strings.Replace(a, "MII", "M*I", 1), 1, -1},
		"space in base64":       {strings.Replace(a, "MII", "M II", 1), 1, -1},
		"base64 without its =":  {strings.ReplaceAll(oneLine(a), "=", ""), 1, map[bool]int{true: 1, false: -1}[len(leaf)%3 == 0]},
		"two in one":            {block(append(bytes.Clone(leaf), ca...)), 2, -1},
		"not a certificate":     {block([]byte("certificate")), 1, -1},
		"too large":             {block(big.by(p256[1])), 1, -1},
		"text much too large":   {"-----BEGIN CERTIFICATE-----" + strings.Repeat("\n", 2*MaxSize) + a[27:], 1, -1},
		"text nearly too large": {"-----BEGIN CERTIFICATE-----" + strings.Repeat("\n", 2*MaxSize-strings.Index(a, "-----END")+27) + a[27:], 1, 1},
		"text just too large":   {"-----BEGIN CERTIFICATE-----" + strings.Repeat("\n", 2*MaxSize-strings.Index(a, "-----END")+28) + a[27:], 1, -1},
	} {
		list, err := ParsePEM([]byte(tt.text), tt.most)
		if (err == nil) != (tt.n >= 0) || err == nil && len(list) != tt.n {
			t.Errorf("%s: %d certificates, %v, want %d", name, len(list), err, tt.n)
		}
		if err != nil && (FailureOf(err) != "evidence_malformed" || list != nil) {
			t.Errorf("%s: %d certificates with failure %s", name, len(list), FailureOf(err))
		}
	}
	// A last digit with bits that count for nothing: the certificate has to end on one.
	p := leafPieces()
	p.signature = bits(make([]byte, 64))
	for pad := "x"; len(p.by(nil))%3 == 0; pad += "x" {
		p.subject = name(pad)
	}
	text := block(p.by(nil))
	if _, err := ParsePEM([]byte(text), 1); err != nil {
		t.Fatal(err)
	}
	for pad := "x"; len(p.by(nil))%3 != 0; pad += "x" {
		p.subject = name(pad)
	}
	whole := block(p.by(nil))
	for _, tail := range []string{"*", "=", "A", "QUJD=", "===="} {
		if _, err := ParsePEM([]byte(strings.Replace(whole, "\n-----END", tail+"\n-----END", 1)), 1); err == nil {
			t.Errorf("%q after the base64: accepted", tail)
		}
	}
	i := strings.Index(text, "=") - 1
	if _, err := ParsePEM([]byte(text[:i]+string(text[i]+1)+text[i+1:]), 1); err == nil {
		t.Error("loose bits of the last digit: accepted")
	}

	list, err := ParsePEM([]byte(a+b), 2)
	if err != nil || !bytes.Equal(list[0].Raw, leaf) || !bytes.Equal(list[1].Raw, ca) {
		t.Errorf("the certificates are out of order: %v", err)
	}
}

func TestParseAll(t *testing.T) {
	leaf, ca := leafPieces().by(p256[1]), caPieces("ca", "root", &p256[1].PublicKey).by(p256[2])
	if list, err := ParseAll([][]byte{leaf, ca}); err != nil || len(list) != 2 || list[1].SubjectName("2.5.4.3") != "ca" {
		t.Errorf("%v, %v", list, err)
	}
	if list, err := ParseAll([][]byte{leaf, ca[:len(ca)-1]}); err == nil || list != nil {
		t.Error("a certificate that is cut off was accepted")
	}
	if list, err := ParseAll(nil); err != nil || len(list) != 0 {
		t.Errorf("of nothing: %v, %v", list, err)
	}
}
