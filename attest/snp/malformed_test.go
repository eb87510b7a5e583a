// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package snp_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/sotto-chat/sotto/attest/section"
	"github.com/sotto-chat/sotto/attest/snp"
	"github.com/sotto-chat/sotto/attest/snp/snpdata"
	"github.com/sotto-chat/sotto/attest/snp/snptest"
)

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

func ecdsaKey(c elliptic.Curve) *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
}

// Reserved bytes and bits are zero, or the report is refused; all others may be
// anything.
func TestReserved(t *testing.T) {
	for _, p := range products {
		m := snptest.New(p, reportData)
		s := m.Sections()
		version := m.Report.Version
		reserved := func(at int) bool {
			in := func(lo, hi int) bool { return at >= lo && at < hi }
			return in(0x49, 0x50) || in(0x188, 0x18b) && version < 3 || in(0x18b, 0x1a0) || at == 0x1eb || at == 0x1ef ||
				in(0x1f8, 0x208) && version < 5 || in(0x208, 0x2a0) || in(0x2d0, 0x2e8) || in(0x318, 0x4a0) ||
				in(0x0c, 0x10) || in(0x01, 0x04) || in(0x35, 0x38)
		}
		for at := range snpdata.ReportSize {
			for _, bit := range []byte{1, 0x80} {
				if at == 0 || at == 0x34 || at == 0x48 || at == 0x0a || at == 0x0b || at == 0x18a {
					continue // looked at bit by bit below
				}
				b := bytes.Clone(s[0].Data)
				b[at] ^= bit
				if _, err := snp.Describe(b); (err != nil) != reserved(at) {
					malformed := err != nil
					t.Fatalf("%s: byte %#x changed, malformed: %v", p, at, malformed)
				}
			}
		}
		malformed := func(at int, value uint32) bool {
			b := bytes.Clone(s[0].Data)
			binary.LittleEndian.PutUint32(b[at:], value)
			_, err := snp.Describe(b)
			return err != nil
		}
		for v := range uint32(9) {
			if malformed(0, v) != (v != 2 && v != 3 && v != 5) && v >= version {
				t.Errorf("%s: version %d", p, v)
			}
			if malformed(0x34, v) != (v != 1) {
				t.Errorf("algorithm %d", v)
			}
		}
		for bit := range 32 {
			if malformed(0x48, 1<<bit) != (bit >= 5) {
				t.Errorf("flag %d", bit)
			}
			if malformed(0x08, 1<<17|1<<bit) != (bit >= 26) {
				t.Errorf("policy %d", bit)
			}
		}
		for step := range uint32(256) {
			b := bytes.Clone(s[0].Data)
			b[0x18a] = byte(step)
			if _, err := snp.Describe(b); (err != nil) != (step > 15 || step > 0 && version < 3) {
				t.Errorf("%s: stepping %d: %v", p, step, err)
			}
		}
		if !malformed(0x08, 1<<16) {
			t.Error("policy without its one")
		}
	}
}

// What is not in the form of spec/evidence-snp.md is refused as a whole.
func TestMalformed(t *testing.T) {
	m := snptest.New("Genoa", reportData)
	s := m.Sections()
	change := func(f func(s []snptest.Section) []snptest.Section) []byte { return snptest.Join(f(slices.Clone(s))) }
	set := func(i int, b []byte) []byte {
		return change(func(s []snptest.Section) []snptest.Section { s[i].Data = b; return s })
	}
	data := m.Data()
	for name, b := range map[string][]byte{
		"nothing":        nil,
		"no report":      snptest.Join(s[1:]),
		"two reports":    snptest.Join(append([]snptest.Section{s[0]}, s...)),
		"two leaves":     change(func(s []snptest.Section) []snptest.Section { return slices.Insert(s, 1, s[1]) }),
		"two signers":    change(func(s []snptest.Section) []snptest.Section { return slices.Insert(s, 2, s[2]) }),
		"two roots":      change(func(s []snptest.Section) []snptest.Section { return slices.Insert(s, 3, s[3]) }),
		"five lists":     change(func(s []snptest.Section) []snptest.Section { return append(s, s[4], s[4], s[4], s[4]) }),
		"unknown kind":   section.Append(bytes.Clone(data), 6, []byte{1}),
		"out of order":   change(func(s []snptest.Section) []snptest.Section { s[1], s[2] = s[2], s[1]; return s }),
		"trailing byte":  append(bytes.Clone(data), 0),
		"cut off":        data[:len(data)-1],
		"short report":   set(0, s[0].Data[:snpdata.ReportSize-1]),
		"long report":    set(0, append(bytes.Clone(s[0].Data), 0)),
		"leaf cut off":   set(1, s[1].Data[:len(s[1].Data)-1]),
		"signer cut off": set(2, s[2].Data[:len(s[2].Data)-1]),
		"root cut off":   set(3, s[3].Data[:len(s[3].Data)-1]),
		"list cut off":   set(4, s[4].Data[:len(s[4].Data)-1]),
		"leaf of a CA":   set(1, s[2].Data), // has none of the extensions
	} {
		a := verify(m, b, "")
		if got := failures(a); got != "chip.report evidence_malformed; key.bound evidence_malformed" || len(a.Checks) != 2 {
			t.Errorf("%s: %q", name, got)
		}
	}
	if d := verify(m, append(bytes.Clone(data), 0), "").Checks[0].Detail; !strings.Contains(d, "cut off") {
		t.Errorf("a byte that follows: %s", d)
	}
	if f := failures(verify(m, change(func(s []snptest.Section) []snptest.Section { return append(s, s[4], s[4], s[4]) }), "")); f != "" {
		t.Errorf("four lists: %q", f)
	}
}

// The certificate says all that it must about chip and firmware, in AMD's form,
// and nothing else.
func TestLeafExtensions(t *testing.T) {
	type exts = []pkix.Extension
	at := func(e exts, arc ...int) *pkix.Extension {
		for i := range e {
			if e[i].Id.Equal(snptest.OID(arc...)) {
				return &e[i]
			}
		}
		panic(arc)
	}
	drop := func(arc ...int) func(e exts) exts {
		return func(e exts) exts {
			return slices.DeleteFunc(e, func(x pkix.Extension) bool { return x.Id.Equal(snptest.OID(arc...)) })
		}
	}
	value := func(v []byte, arc ...int) func(e exts) exts {
		return func(e exts) exts { at(e, arc...).Value = v; return e }
	}
	add := func(v []byte, id asn1.ObjectIdentifier) func(e exts) exts {
		return func(e exts) exts { return append(e, pkix.Extension{Id: id, Value: v}) }
	}
	ia5 := func(s string) []byte { return append([]byte{0x16, byte(len(s))}, s...) }
	const malformed = "chip.report evidence_malformed; key.bound evidence_malformed"
	for _, tt := range []struct {
		name, product string
		change        func(e exts) exts
		want          string
	}{
		{"as it is", "Genoa", func(e exts) exts { return e }, ""},
		{"authority key", "Genoa", add([]byte{0x30, 0}, asn1.ObjectIdentifier{2, 5, 29, 35}), ""},
		{"subject key", "Genoa", add([]byte{4, 1, 1}, asn1.ObjectIdentifier{2, 5, 29, 14}), malformed},
		{"no structVersion", "Genoa", drop(1), malformed},
		{"no productName", "Genoa", drop(2), malformed},
		{"no hwID", "Genoa", drop(4), malformed},
		{"no blSPL", "Genoa", drop(3, 1), malformed},
		{"no teeSPL", "Genoa", drop(3, 2), malformed},
		{"no snpSPL", "Genoa", drop(3, 3), malformed},
		{"no spl4", "Genoa", drop(3, 4), malformed},
		{"no spl7", "Genoa", drop(3, 7), malformed},
		{"no ucodeSPL", "Genoa", drop(3, 8), malformed},
		{"no fmcSPL", "Turin", drop(3, 9), malformed},
		{"spl4 on Turin", "Turin", add([]byte{2, 1, 0}, snptest.OID(3, 4)), malformed},
		{"fmcSPL on Genoa", "Genoa", add([]byte{2, 1, 0}, snptest.OID(3, 9)), malformed},
		{"fmcSPL for spl4", "Genoa", func(e exts) exts { at(e, 3, 4).Id = snptest.OID(3, 9); return e }, malformed},
		{"6 for spl6", "Genoa", func(e exts) exts { at(e, 3, 6).Id = snptest.OID(6); return e }, malformed},
		{"40 for spl4", "Genoa", func(e exts) exts { at(e, 3, 4).Id = snptest.OID(3, 40); return e }, malformed},
		{"SPL 0", "Genoa", add([]byte{2, 1, 0}, snptest.OID(3, 0)), malformed},
		{"SPL 10", "Genoa", add([]byte{2, 1, 0}, snptest.OID(3, 10)), malformed},
		{"SPL of nothing", "Genoa", add([]byte{2, 1, 0}, snptest.OID(3)), malformed},
		{"arc 6", "Genoa", add([]byte{2, 1, 0}, snptest.OID(6)), malformed},
		{"arc 1.1", "Genoa", add([]byte{2, 1, 0}, snptest.OID(1, 1)), malformed},
		{"arc 13.1", "Genoa", add([]byte{2, 1, 0}, snptest.OID(13, 1)), malformed},
		{"structVersion 2", "Genoa", value([]byte{2, 1, 2}, 1), malformed},
		{"structVersion text", "Genoa", value([]byte{0x16, 1, 0}, 1), malformed},
		{"SPL negative", "Genoa", value([]byte{2, 1, 0x84}, 3, 1), malformed},
		{"SPL long", "Genoa", value([]byte{2, 2, 0, 4}, 3, 1), malformed},
		{"SPL 256", "Genoa", value([]byte{2, 2, 1, 0}, 3, 1), malformed},
		{"SPL 256 and more", "Genoa", value([]byte{2, 2, 1, 0x84}, 3, 1), malformed},
		{"SPL of no length", "Genoa", value([]byte{2, 0}, 3, 1), malformed},
		{"SPL followed", "Genoa", value([]byte{2, 1, 4, 0}, 3, 1), malformed},
		{"SPL followed by much", "Genoa", value([]byte{2, 1, 4, 0x84}, 3, 1), malformed},
		{"SPL an OCTET STRING", "Genoa", value([]byte{4, 1, 4}, 3, 1), malformed},
		{"SPL an OCTET STRING of two", "Genoa", value([]byte{4, 2, 0, 0x84}, 3, 1), malformed},
		{"SPL two long of one", "Genoa", value([]byte{2, 2, 4}, 3, 1), malformed},
		{"fmcSPL of no form on Genoa", "Genoa", add([]byte{0x16, 1, 'a'}, snptest.OID(3, 9)), malformed},
		{"SPL 0 of no form", "Genoa", add([]byte{0x16, 1, 'a'}, snptest.OID(3, 0)), malformed},
		{"microcode negative", "Genoa", value([]byte{2, 1, 213}, 3, 8), malformed},
		{"microcode followed", "Genoa", value([]byte{2, 2, 0, 213, 0}, 3, 8), malformed},
		{"microcode an OCTET STRING", "Genoa", value([]byte{4, 2, 0, 213}, 3, 8), malformed},
		{"microcode 256 and more", "Genoa", value([]byte{2, 2, 1, 213}, 3, 8), malformed},
		{"hwID and a cspID of no form", "Genoa", add([]byte{0x0c, 1, 'a'}, snptest.OID(5)), malformed},
		{"productName nothing", "Genoa", value([]byte{}, 2), malformed},
		{"hwID short", "Genoa", func(e exts) exts { x := at(e, 4); x.Value = x.Value[:63]; return e }, malformed},
		{"hwID long", "Genoa", func(e exts) exts { x := at(e, 4); x.Value = append(slices.Clone(x.Value), 0); return e }, malformed},
		{"hwID 66 bytes", "Genoa", func(e exts) exts { x := at(e, 4); x.Value = append(slices.Clone(x.Value), 0, 0); return e }, malformed},
		{"hwID with another tag", "Genoa", func(e exts) exts { x := at(e, 4); x.Value = append([]byte{5, 64}, x.Value...); return e }, malformed},
		{"hwID with another length", "Genoa", func(e exts) exts { x := at(e, 4); x.Value = append([]byte{4, 63}, x.Value...); return e }, malformed},
		{"hwID of Genoa on Turin", "Turin", func(e exts) exts {
			x := at(e, 4)
			x.Value = append(slices.Clone(x.Value), make([]byte, 56)...)
			return e
		}, malformed},
		{"hwID and cspID", "Genoa", add(ia5("example.com"), snptest.OID(5)), malformed},
		{"cspID empty", "Genoa", func(e exts) exts { return add(ia5(""), snptest.OID(5))(drop(4)(e)) }, malformed},
		{"productName empty", "Genoa", value(ia5(""), 2), malformed},
		{"productName long", "Genoa", value(ia5(strings.Repeat("a", 65)), 2), malformed},
		{"productName as long as can be", "Genoa", value(ia5(strings.Repeat("a", 64)), 2), ""},
		{"productName of one letter", "Genoa", value(ia5("~"), 2), ""},
		{"productName UTF-8", "Genoa", value(append([]byte{0x0c, 1}, 'a'), 2), malformed},
		{"productName followed", "Genoa", value(append(ia5("Genoa-B1"), 'x'), 2), malformed},
		{"productName not printable", "Genoa", value(ia5("Genoa\x1f"), 2), malformed},
		{"productName not ASCII", "Genoa", value(ia5("Genoa\x7f"), 2), malformed},
		{"productName with a space", "Genoa", value(ia5("Genoa B1"), 2), ""},
	} {
		m := snptest.New(tt.product, reportData)
		m.Leaf.Extensions = tt.change(m.Leaf.AMDExtensions())
		if got := failures(verify(m, m.Data(), "")); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	vlek := snptest.New("Genoa", reportData)
	vlek.UseVLEK("example.com")
	vlek.Leaf.Extensions = append(vlek.Leaf.AMDExtensions(), pkix.Extension{Id: snptest.OID(4), Value: []byte{}})
	if got := failures(verify(vlek, vlek.Data(), `{"allow_vlek":true}`)); got != malformed {
		t.Errorf("cspID and an empty hwID: %q", got)
	}
	// High levels have two bytes.
	m := snptest.New("Genoa", reportData)
	for _, level := range []byte{0, 1, 127, 128, 255} {
		m.Report.Current.Microcode, m.Report.Reported.Microcode, m.Report.Committed.Microcode, m.Leaf.TCB.Microcode = level, level, level, level
		if got := failures(verify(m, m.Data(), "")); got != "" {
			t.Errorf("microcode %d: %q", level, got)
		}
	}
	for _, part := range []func(t *snptest.TCB) *byte{
		func(t *snptest.TCB) *byte { return &t.Bootloader }, func(t *snptest.TCB) *byte { return &t.TEE },
		func(t *snptest.TCB) *byte { return &t.SNP }, func(t *snptest.TCB) *byte { return &t.SPL[0] },
	} {
		for _, level := range []byte{127, 128} {
			m := snptest.New("Genoa", reportData)
			*part(&m.Report.Current), *part(&m.Report.Reported), *part(&m.Report.Committed), *part(&m.Leaf.TCB) = level, level, level, level
			want := ""
			if level > 127 {
				want = malformed
			}
			if got := failures(verify(m, m.Data(), "")); got != want {
				t.Errorf("level %d: %q", level, got)
			}
		}
	}
}
