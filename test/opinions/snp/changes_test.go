// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package snp_test

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"slices"
	"time"

	"github.com/sotto-chat/sotto/attest/snp/snptest"
)

// sections names the parts of a piece.
var sections = [...]string{"report", "leaf", "signer", "root", "list"}

func (p *piece) section(i int) *[]byte {
	return [...]*[]byte{&p.report, &p.leaf, &p.signer, &p.root, &p.crl}[i]
}

// flips changes bytes of each section, one bit at a time: all bytes of the report,
// and every so many of the others.
func flips(name string, p piece, bits []byte, steps [5]int, judge func(string, piece)) {
	for i, section := range sections {
		from := *p.section(i)
		for at := 0; at < len(from); at += steps[i] {
			for _, bit := range bits {
				q := p
				b := bytes.Clone(from)
				b[at] ^= bit
				*q.section(i) = b
				judge(fmt.Sprintf("flip %s: %s, byte %#x, bit %#x", section, name, at, bit), q)
			}
		}
	}
}

// lengths cuts each section off and appends to it.
func lengths(name string, p piece, judge func(string, piece)) {
	for i, section := range sections {
		from := *p.section(i)
		for n := 0; n < len(from); n += 1 + len(from)/24 {
			q := p
			*q.section(i) = from[:n]
			judge(fmt.Sprintf("cut %s: %s, at %d", section, name, n), q)
		}
		for _, more := range [][]byte{{0}, {1}, make([]byte, 16), from} {
			if len(from) == 0 {
				continue
			}
			q := p
			*q.section(i) = append(bytes.Clone(from), more...)
			judge(fmt.Sprintf("extend %s: %s, by %d", section, name, len(more)), q)
		}
	}
}

// swaps puts sections of another machine in place.
func swaps(name string, p, other piece, judge func(string, piece)) {
	for mask := 1; mask < 32; mask++ {
		q := p
		for i := range sections {
			if mask>>i&1 != 0 {
				*q.section(i) = *other.section(i)
			}
		}
		judge(fmt.Sprintf("swap: %s, sections %05b", name, mask), q)
	}
	for i := range sections {
		for k := range sections {
			if i != k {
				q := p
				*q.section(i) = *p.section(k)
				judge(fmt.Sprintf("misplace: %s, %s for %s", name, sections[k], sections[i]), q)
			}
		}
	}
}

// signed changes bytes of the report before the chip signs it.
func signed(name string, make func() *snptest.Machine, r func(m *snptest.Machine) *rules, values []byte, judge func(string, piece)) {
	base := of(make(), r(make()))
	for at := range 0x2a0 {
		for _, v := range values {
			q := base
			q.report = bytes.Clone(base.report)
			q.report[at] ^= v
			snptest.Sign(q.report, nil)
			judge(fmt.Sprintf("sign %#x: %s, ^%#x", at, name, v), q)
		}
	}
}

// levels changes one part of one level of firmware at a time, with the
// certificate following what is reported or not.
func levels(name string, make func() *snptest.Machine, r func(m *snptest.Machine) *rules, judge func(string, piece)) {
	part := func(t *snptest.TCB, i int) *byte {
		return [...]*byte{&t.Bootloader, &t.TEE, &t.SPL[0], &t.SPL[1], &t.SPL[2], &t.SPL[3], &t.SNP, &t.Microcode}[i]
	}
	for i := range 8 {
		for _, by := range []byte{1, 0xff, 0x80} {
			for mask := 1; mask < 32; mask++ {
				m := make()
				for k, t := range []*snptest.TCB{&m.Report.Current, &m.Report.Reported, &m.Report.Committed, &m.Report.Launch, &m.Leaf.TCB} {
					if mask>>k&1 != 0 {
						*part(t, i) += by
					}
				}
				judge(fmt.Sprintf("level: %s, part %d by %d in %05b", name, i, int8(by), mask), of(m, r(make())))
			}
		}
	}
	for i := range 3 {
		for _, by := range []byte{1, 0xff} {
			for mask := 1; mask < 4; mask++ {
				m := make()
				for k, v := range []*[3]byte{&m.Report.CurrentVersion, &m.Report.CommittedVersion} {
					if mask>>k&1 != 0 {
						v[i] += by
					}
				}
				judge(fmt.Sprintf("level: %s, version %d by %d in %02b", name, i, int8(by), mask), of(m, r(make())))
			}
		}
	}
}

// certificates has the fake AMD sign other certificates and lists than it should.
func certificates(name string, make func() *snptest.Machine, r func(m *snptest.Machine) *rules, judge func(string, piece)) {
	try := func(what string, change func(m *snptest.Machine)) {
		m := make()
		change(m)
		judge(what+": "+name, of(m, r(make())))
	}
	try("another maker", func(m *snptest.Machine) { m.AMD.Other = true })
	try("another algorithm", func(m *snptest.Machine) { m.AMD.Algorithm = x509.SHA256WithRSAPSS })
	try("another padding", func(m *snptest.Machine) { m.AMD.Algorithm = x509.SHA384WithRSA })
	try("no list", func(m *snptest.Machine) { m.List = nil })
	try("another's list", func(m *snptest.Machine) { m.List.Signer = "ASK" })
	for _, days := range []int64{-400, -2, -1, 0, 1, 29, 400} {
		at := snptest.Now + days*86_400
		try(fmt.Sprintf("list begins %d", days), func(m *snptest.Machine) { m.List.ThisUpdate, m.List.NextUpdate = at, max(at, snptest.Now)+86_400 })
		try(fmt.Sprintf("list ends %d", days), func(m *snptest.Machine) { m.List.ThisUpdate, m.List.NextUpdate = snptest.Now-500*86_400, at })
	}
	for serial := range int64(4) {
		try(fmt.Sprintf("revoke %#x", 0x10000+serial), func(m *snptest.Machine) { m.List.Revoked = []int64{5, 0x10000 + serial} })
	}
	try("revoke 0", func(m *snptest.Machine) { m.List.Revoked = []int64{0} })
	for _, which := range []string{"ARK", "ASK", "ASVK", "leaf"} {
		change := func(what string, f func(c *x509.Certificate)) {
			try(which+" "+what, func(m *snptest.Machine) {
				m.AMD.Change = func(n string, c *x509.Certificate) {
					if n == which {
						f(c)
					}
				}
			})
		}
		for _, days := range []int64{-1000, -1, 0, 1, 1000} {
			at := time.Unix(snptest.Now+days*86_400, 0)
			change(fmt.Sprintf("begins %d", days), func(c *x509.Certificate) { c.NotBefore = at })
			change(fmt.Sprintf("ends %d", days), func(c *x509.Certificate) { c.NotAfter = at })
		}
		for _, n := range []string{"SEV-VCEK", "SEV-VLEK", "SEV-Milan", "SEV-Genoa", "SEV-VLEK-Milan", "ARK-Milan", "ARK-Genoa", "ARK-Turin", ""} {
			change("named "+n, func(c *x509.Certificate) { c.Subject = snptest.Name(n) })
		}
		change("of another country", func(c *x509.Certificate) { c.Subject.Country = []string{"DE"} })
		change("of another company", func(c *x509.Certificate) { c.Subject.Organization = []string{"Someone"} })
		change("of another town", func(c *x509.Certificate) { c.Subject.Locality = []string{"Austin"} })
		change("of another state", func(c *x509.Certificate) { c.Subject.Province = []string{"TX"} })
		change("of another unit", func(c *x509.Certificate) { c.Subject.OrganizationalUnit = []string{"Sales"} })
		change("of two countries", func(c *x509.Certificate) { c.Subject.Country = []string{"US", "US"} })
		change("of two companies", func(c *x509.Certificate) { c.Subject.Organization = append(c.Subject.Organization, "Someone") })
		change("with a critical extension", func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}})
		})
		change("with an extension", func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: []byte{5, 0}})
		})
		change("as an authority", func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid, c.MaxPathLen = true, true, -1 })
		change("as no authority", func(c *x509.Certificate) { c.IsCA, c.MaxPathLen, c.MaxPathLenZero = false, 0, false })
		change("with another serial", func(c *x509.Certificate) { c.SerialNumber.SetInt64(77) })
	}
	// What AMD says of the chip: left out, twice, in another form.
	ext := make().Leaf.AMDExtensions()
	for i, e := range ext {
		with := func(what string, f func(e pkix.Extension) []pkix.Extension) {
			try(fmt.Sprintf("extension %s %s", e.Id, what), func(m *snptest.Machine) { m.Leaf.Extensions = slices.Replace(slices.Clone(ext), i, i+1, f(e)...) })
		}
		with("left out", func(e pkix.Extension) []pkix.Extension { return nil })
		with("critical", func(e pkix.Extension) []pkix.Extension { e.Critical = true; return []pkix.Extension{e} })
		values := [][]byte{nil, {}, {2, 1, 0}, {2, 1, 1}, {2, 1, 2}, {2, 1, 0x7f}, {2, 1, 0x80}, {2, 2, 0, 1}, {2, 2, 0, 0x80}, {2, 2, 1, 0}, {2, 0}, {2, 1, 4, 0},
			{0x16, 0}, {0x16, 5, 'M', 'i', 'l', 'a', 'n'}, {0x16, 5, 'G', 'e', 'n', 'o', 'a'}, []byte("\x16\x08Milan-B0"), []byte("\x16\x08Milan-Z9"), []byte("\x16\x08Genoa-B2"), []byte("\x16\x08Turin-B0"),
			[]byte("\x0c\x08Milan-B0"), []byte("\x16\x03a\x00b"), append([]byte{4, 64}, e.Value...), append(bytes.Clone(e.Value), 0), e.Value[1:]}
		for _, v := range values {
			with(fmt.Sprintf("as %x", v), func(e pkix.Extension) []pkix.Extension { e.Value = v; return []pkix.Extension{e} })
		}
		for _, arc := range [][]int{{3, 0}, {3, 9}, {3, 10}, {4}, {5}, {6}, {1, 1}} {
			with(fmt.Sprintf("at %v", arc), func(e pkix.Extension) []pkix.Extension { e.Id = snptest.OID(arc...); return []pkix.Extension{e} })
			with(fmt.Sprintf("and at %v", arc), func(e pkix.Extension) []pkix.Extension {
				f := e
				f.Id = snptest.OID(arc...)
				return []pkix.Extension{e, f}
			})
		}
	}
}

// chips changes which chip and which kind of key it is.
func chips(name string, make func() *snptest.Machine, r func(m *snptest.Machine) *rules, judge func(string, piece)) {
	try := func(what string, change func(m *snptest.Machine)) {
		m := make()
		change(m)
		judge(what+": "+name, of(m, r(make())))
	}
	for v := range uint32(8) {
		try(fmt.Sprintf("version %d", v), func(m *snptest.Machine) { m.Report.Version = v })
		try(fmt.Sprintf("algorithm %d", v), func(m *snptest.Machine) { m.Report.Algorithm = v })
		try(fmt.Sprintf("signing key %d", v), func(m *snptest.Machine) { m.Report.Flags = m.Report.Flags&3 | v<<2 })
	}
	for _, family := range []byte{0x18, 0x19, 0x1a} {
		for _, model := range []byte{0, 1, 2, 0xf, 0x10, 0x11, 0x12, 0x1f, 0x20, 0x9f, 0xa0, 0xaf, 0xb0} {
			try("model", func(m *snptest.Machine) {
				m.Report.Version, m.Report.Family, m.Report.Model = 3, family, model
			})
		}
	}
	try("masked", func(m *snptest.Machine) { m.Report.ChipID = [64]byte{} })
	try("told not to sign", func(m *snptest.Machine) { m.Report.Flags |= 2 })
	try("VLEK by the VCEK's signer", func(m *snptest.Machine) { m.UseVLEK("x"); m.Leaf.VLEK = false })
	try("VCEK by the VLEK's signer", func(m *snptest.Machine) {
		id := m.Report.ChipID
		m.Leaf.VLEK, m.Leaf.CSP, m.Leaf.HWID = true, "", id[:]
		m.Report.Flags &^= 7 << 2
	})
	for i := range 64 {
		try(fmt.Sprintf("chip %d", i), func(m *snptest.Machine) { m.Report.ChipID[i] ^= 1 })
		if len(make().Leaf.HWID) == 64 {
			try(fmt.Sprintf("certified chip %d", i), func(m *snptest.Machine) { m.Leaf.HWID[i] ^= 1 })
		}
		try(fmt.Sprintf("guest bit %d", i), func(m *snptest.Machine) { m.Report.Policy ^= 1 << i })
		try(fmt.Sprintf("platform bit %d", i), func(m *snptest.Machine) { m.Report.Platform ^= 1 << i })
	}
}
