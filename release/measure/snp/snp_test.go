// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package snp

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sotto-chat/sotto/release/measure/ovmf"
	"github.com/sotto-chat/sotto/release/measure/ovmf/ovmftest"
)

func image(t testing.TB, o ovmftest.Options) *ovmf.Image {
	t.Helper()
	m, err := ovmf.Parse(ovmftest.Image(o))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func config() Config {
	return Config{VCPUs: 3, CPU: "EPYC-Milan", Features: 0x21, Host: QEMU, Boot: &Boot{
		Kernel: sha256.Sum256([]byte("kernel")), Initrd: sha256.Sum256([]byte("initrd")), Cmdline: "console=ttyS0",
	}}
}

// pageInfo is PAGE_INFO, straight from the table of AMD 56860, SNP_LAUNCH_UPDATE.
type pageInfo struct {
	DigestCur  [48]byte
	Contents   [48]byte
	Length     uint16
	PageType   uint8
	ImiPage    uint8
	Vmpl3Perms uint8
	Vmpl2Perms uint8
	Vmpl1Perms uint8
	Reserved   uint8
	GPA        uint64
}

type segment struct {
	Selector, Attrib uint16
	Limit            uint32
	Base             uint64
}

// saveArea is the page of registers, straight from table B-4 of volume 2 of AMD's
// manual.
type saveArea struct {
	ES, CS, SS, DS, FS, GS, GDTR, LDTR, IDTR, TR                                segment
	PL                                                                          [4]uint64
	UCET                                                                        uint64
	_                                                                           [2]uint8
	VMPL, CPL                                                                   uint8
	_                                                                           [4]uint8
	EFER                                                                        uint64
	_                                                                           [104]uint8
	XSS, CR4, CR3, CR0, DR7, DR6, RFLAGS, RIP                                   uint64
	DR                                                                          [4]uint64
	DRMask                                                                      [4]uint64
	_                                                                           [24]uint8
	RSP, SCET, SSP, ISST, RAX, STAR, LSTAR, CSTAR, SFMASK, KernelGS             uint64
	SysenterCS, SysenterESP, SysenterEIP, CR2                                   uint64
	_                                                                           [32]uint8
	GPAT, DBGCTL, BrFrom, BrTo, ExcpFrom, ExcpTo                                uint64
	_                                                                           [80]uint8
	PKRU                                                                        uint32
	TSCAux                                                                      uint32
	_                                                                           [24]uint8
	RCX, RDX, RBX, _, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15       uint64
	_                                                                           [16]uint8
	ExitInfo1, ExitInfo2, ExitIntInfo, NextRIP, Features, VIntr, ExitCode, VTOM uint64
	TLB, PCPU, EventInj, XCR0                                                   uint64
	_                                                                           [16]uint8
	X87DP                                                                       uint64
	MXCSR                                                                       uint32
	FTW, FSW, FCW, FOP, X87DS, X87CS                                            uint16
	X87RIP                                                                      uint64
	X87                                                                         [80]uint8
	XMM, YMM                                                                    [256]uint8
	_                                                                           [2448]uint8
}

func pack(t testing.TB, v any, size int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
		t.Fatal(err)
	}
	if b.Len() != size {
		t.Fatalf("%T has %d bytes", v, b.Len())
	}
	return b.Bytes()
}

// second computes a digest a second time: from the tables, and as a list of pages
// that is hashed at the end.
func second(t testing.TB, fw *ovmf.Image, c Config) (out [48]byte) {
	t.Helper()
	type page struct {
		kind     uint8
		gpa      uint64
		contents []byte // nil: not measured
	}
	var pages []page
	for i := 0; i < len(fw.Bytes); i += 4096 {
		pages = append(pages, page{1, 0x100000000 - uint64(len(fw.Bytes)) + uint64(i), fw.Bytes[i : i+4096]})
	}
	var cpuid []page
	for _, s := range fw.SEV.Sections {
		at := uint64(s.Address)
		switch s.Kind {
		case 1, 4:
			for i := uint64(0); i < uint64(s.Size); i += 4096 {
				pages = append(pages, page{3, at + i, nil})
			}
		case 2:
			pages = append(pages, page{5, at, nil})
		case 3:
			if c.Host == EC2 {
				cpuid = append(cpuid, page{6, at, nil})
			} else {
				pages = append(pages, page{6, at, nil})
			}
		case 0x10:
			if c.Boot == nil {
				pages = append(pages, page{3, at, nil})
				continue
			}
			table := []byte("\x06\xd6\x38\x94\x22\x4f\xc9\x4c\xb4\x79\xa7\x93\xd4\x11\xfd\x21\xa8\x00")
			cmdline := sha256.Sum256([]byte(c.Boot.Cmdline + "\x00"))
			table = append(append(table, "\xd8\x2d\xd0\x97\x20\xbd\x94\x4c\xaa\x78\xe7\x71\x4d\x36\xab\x2a\x32\x00"...), cmdline[:]...)
			table = append(append(table, "\x31\xf7\xba\x44\x2f\x3a\xd7\x4b\x9a\xf1\x41\xe2\x91\x69\x78\x1d\x32\x00"...), c.Boot.Initrd[:]...)
			table = append(append(table, "\x37\x94\xe7\x4d\xd2\xab\x7f\x42\xb8\x35\xd5\xb1\x72\xd2\x04\x5b\x32\x00"...), c.Boot.Kernel[:]...)
			p := make([]byte, 4096)
			copy(p[fw.SEV.HashTable&0xfff:], table)
			pages = append(pages, page{1, at, p})
		}
	}
	pages = append(pages, cpuid...)
	sig := map[string]uint64{"EPYC-Milan": 0x00a00f11, "EPYC-v4": 0x00800f12, "EPYC-Genoa": 0x00a10f10}[c.CPU]
	for i := range c.VCPUs {
		ip := uint64(0xfffffff0)
		if i > 0 {
			ip = uint64(fw.SEV.ResetIP)
		}
		data := segment{0, 0x93, 0xffff, 0}
		a := saveArea{
			ES: data, CS: segment{0xf000, 0x9b, 0xffff, ip >> 16 << 16}, SS: data, DS: data, FS: data, GS: data,
			GDTR: segment{Limit: 0xffff}, LDTR: segment{Attrib: 0x82, Limit: 0xffff}, IDTR: segment{Limit: 0xffff}, TR: segment{Attrib: 0x8b, Limit: 0xffff},
			EFER: 1 << 12, CR4: 1 << 6, CR0: 1 << 4, DR7: 1 << 10, DR6: 0xffff0ff0, RFLAGS: 2, RIP: ip & 0xffff,
			GPAT: 0x0007040600070406, RDX: sig, Features: c.Features, XCR0: 1,
		}
		switch c.Host {
		case QEMU:
			a.MXCSR, a.FCW = 0x1f80, 0x37f
		case EC2:
			a.SS.Attrib, a.TR.Attrib, a.RDX = 0x92, 0x83, 0
			if i == 0 {
				a.CS.Attrib = 0x9a
			}
		}
		pages = append(pages, page{2, 0x0000fffffffff000, pack(t, a, 4096)})
	}
	for _, p := range pages {
		info := pageInfo{DigestCur: out, Length: 112, PageType: p.kind, GPA: p.gpa}
		if p.contents != nil {
			info.Contents = sha512.Sum384(p.contents)
		}
		out = sha512.Sum384(pack(t, info, 112))
	}
	return out
}

// TestSecond: both implementations agree, whatever the host decides.
func TestSecond(t *testing.T) {
	fw := image(t, ovmftest.AmdSev())
	seen := map[[48]byte]string{}
	for name, change := range map[string]func(c *Config){
		"as it is":     func(c *Config) {},
		"no kernel":    func(c *Config) { c.Boot = nil },
		"one":          func(c *Config) { c.VCPUs = 1 },
		"many":         func(c *Config) { c.VCPUs = MaxVCPUs },
		"EPYC-v4":      func(c *Config) { c.CPU = "EPYC-v4" },
		"EPYC-Genoa":   func(c *Config) { c.CPU = "EPYC-Genoa" },
		"old kernel":   func(c *Config) { c.Host = QEMULegacy },
		"Amazon":       func(c *Config) { c.Host = EC2 },
		"features":     func(c *Config) { c.Features = 1 },
		"kernel":       func(c *Config) { c.Boot.Kernel[31]++ },
		"initrd":       func(c *Config) { c.Boot.Initrd[0]++ },
		"command line": func(c *Config) { c.Boot.Cmdline += " " },
	} {
		c := config()
		change(&c)
		got, err := Digest(fw, c)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if want := second(t, fw, c); got != want {
			t.Errorf("%s: %x, the second time %x", name, got, want)
		}
		if other := seen[got]; other != "" {
			t.Errorf("%s and %s are the same", name, other)
		}
		seen[got] = name
	}
	c := config()
	c.Host = ""
	a, _ := Digest(fw, c)
	c.Host = QEMU
	if b, _ := Digest(fw, c); a != b {
		t.Error("QEMU isn't what is meant without a host")
	}
}

// TestEverythingCounts: each byte of the firmware, and each field of its metadata,
// changes the digest.
func TestEverythingCounts(t *testing.T) {
	o := ovmftest.AmdSev()
	fw := image(t, o)
	base, err := Digest(fw, config())
	if err != nil {
		t.Fatal(err)
	}
	first := Firmware(fw)
	for i := 0; i < len(fw.Bytes); i += 509 { // all bits of it would take long
		changed := *fw
		changed.Bytes = slices.Clone(fw.Bytes)
		changed.Bytes[i] ^= 1 << (i % 8)
		if d, err := Digest(&changed, config()); err != nil || d == base {
			t.Errorf("byte %d: %v", i, err)
		}
		if Firmware(&changed) == first {
			t.Errorf("byte %d isn't in the firmware's digest", i)
		}
	}
	// Metadata alone: the firmware's bytes are left as they are.
	for name, change := range map[string]func(s *ovmf.SEV){
		"address":       func(s *ovmf.SEV) { s.Sections[0].Address -= 0x1000 },
		"size":          func(s *ovmf.SEV) { s.Sections[0].Size += 0x1000 },
		"kind":          func(s *ovmf.SEV) { s.Sections[3].Kind = ovmf.Secrets },
		"order":         func(s *ovmf.SEV) { s.Sections[1], s.Sections[2] = s.Sections[2], s.Sections[1] },
		"one less":      func(s *ovmf.SEV) { s.Sections = s.Sections[:5] },
		"hash page":     func(s *ovmf.SEV) { s.Sections[4].Address -= 0x100000; s.HashTable -= 0x100000 },
		"hash table":    func(s *ovmf.SEV) { s.HashTable -= 16 },
		"start, CS":     func(s *ovmf.SEV) { s.ResetIP += 0x10000 },
		"start, IP":     func(s *ovmf.SEV) { s.ResetIP++ },
		"address, CPUs": func(s *ovmf.SEV) { s.Sections[2].Address += 0x100000 },
	} {
		changed := image(t, o)
		change(changed.SEV)
		if d, err := Digest(changed, config()); err != nil || d == base {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Where it lies counts too.
	moved := *fw
	moved.Base -= 0x1000
	if d, err := Digest(&moved, config()); err != nil || d == base {
		t.Errorf("base: %v", err)
	}
}

func TestRefused(t *testing.T) {
	type m = struct {
		fw *ovmf.Image
		c  Config
	}
	for want, change := range map[string]func(m *m){
		"no metadata for SEV-SNP":         func(m *m) { m.fw = image(t, ovmftest.TDVF()) },
		"host isn't known":                func(m *m) { m.c.Host = "xen" },
		"1 to 4096 processors":            func(m *m) { m.c.VCPUs = 0 },
		"has 1 to 4096 processors":        func(m *m) { m.c.VCPUs = MaxVCPUs + 1 },
		"where processors but the first":  func(m *m) { m.fw.SEV.ResetIP = 0 },
		"lack bit 0":                      func(m *m) { m.c.Features = 0x20 },
		"CPU model isn't known":           func(m *m) { m.c.CPU = "EPYC-v9" },
		"host could load any":             func(m *m) { m.fw.SEV.Sections = m.fw.SEV.Sections[:4] },
		"hashes isn't in its page":        func(m *m) { m.fw.SEV.HashTable = m.fw.SEV.Sections[4].Address + 0xf80 },
		"kernel hashes isn't in its page": func(m *m) { m.fw.SEV.HashTable = m.fw.SEV.Sections[4].Address - 16 },
		"of kernel hashes isn't in its":   func(m *m) { m.fw.SEV.HashTableSize = tableSize - 1 },
		"holds a zero byte":               func(m *m) { m.c.Boot.Cmdline = "a\x00b" },
	} {
		v := m{image(t, ovmftest.AmdSev()), config()}
		change(&v)
		if _, err := Digest(v.fw, v.c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
	// One processor needs no second start, and Amazon no model.
	v := image(t, ovmftest.AmdSev())
	v.SEV.ResetIP = 0
	if _, err := Digest(v, Config{VCPUs: 1, Features: 1, Host: EC2}); err != nil {
		t.Error(err)
	}
	// The table may fill its page to the end.
	v.SEV.HashTable = v.SEV.Sections[4].Address
	if _, err := Digest(v, Config{VCPUs: 1, CPU: "EPYC", Features: 1, Boot: &Boot{}}); err != nil {
		t.Error(err)
	}
	v.SEV.HashTable = v.SEV.Sections[4].Address + 0x1000 - tableSize
	v.SEV.HashTableSize = tableSize
	c := config()
	c.VCPUs = 1
	if _, err := Digest(v, c); err != nil {
		t.Error(err)
	}
}

// TestSignature: what sev-snp-measure's vcpu_types.py has, by AMD's rule (25481).
func TestSignature(t *testing.T) {
	for cpu, want := range map[string]uint32{
		"EPYC": 0x800f12, "EPYC-v1": 0x800f12, "EPYC-v2": 0x800f12, "EPYC-IBPB": 0x800f12, "EPYC-v3": 0x800f12, "EPYC-v4": 0x800f12, "EPYC-v5": 0x800f12,
		"EPYC-Rome": 0x830f10, "EPYC-Rome-v1": 0x830f10, "EPYC-Rome-v4": 0x830f10,
		"EPYC-Milan": 0xa00f11, "EPYC-Milan-v2": 0xa00f11,
		"EPYC-Genoa": 0xa10f10, "EPYC-Genoa-v1": 0xa10f10, "EPYC-Turin": 0xb00f00, "EPYC-Turin-v1": 0xb00f00,
		"0x800f12": 0x800f12, "0xffffffff": 0xffffffff, "0x0": 0, "0x9a": 0x9a,
	} {
		if got, err := Signature(cpu); err != nil || got != want {
			t.Errorf("%s: %#x, %v, want %#x", cpu, got, err, want)
		}
	}
	for _, cpu := range []string{"", "EPYC-v0", "EPYC-v6", "EPYC-v10", "EPYC-IBPB-v1", "EPYC-Turin-v2", "EPYCxx4", "4", "EPYC-", "EPYC-v", "EPYC-v:", "epyc", "-v1", "Skylake", "0x", "0xg", "0xA", "0x123456789", "800f12"} {
		if got, err := Signature(cpu); err == nil {
			t.Errorf("%s is taken for %#x", cpu, got)
		}
	}
	if got := signature(15, 0x10, 3); got != 0x10f03 {
		t.Errorf("family 15: %#x", got)
	}
}

func FuzzDigest(f *testing.F) {
	f.Add(ovmftest.Image(ovmftest.AmdSev())[15*ovmf.Page:], 2, "EPYC-v4", uint64(1), "ec2", "console=ttyS0")
	f.Add(ovmftest.Image(ovmftest.AmdSev())[15*ovmf.Page:], 1, "0x800f12", uint64(0x21), "", "")
	f.Fuzz(func(t *testing.T, b []byte, vcpus int, cpu string, features uint64, host, cmdline string) {
		fw, err := ovmf.Parse(b)
		if err != nil {
			return
		}
		c := Config{VCPUs: vcpus % 64, CPU: cpu, Features: features, Host: host, Boot: &Boot{Cmdline: cmdline}}
		d, err := Digest(fw, c)
		if (err != nil) != (d == [48]byte{}) {
			t.Fatalf("%x, %v", d, err)
		}
		c.Boot = nil
		if e, err := Digest(fw, c); err == nil && e == d {
			t.Fatal(fmt.Sprint("a kernel changes nothing: ", c))
		}
	})
}
