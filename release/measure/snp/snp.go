// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package snp computes the MEASUREMENT that an AMD processor reports of a machine
// (SEV-SNP), from what the host starts it with.
//
// The processor keeps a digest and extends it with each page that the host adds
// before the machine starts (AMD 56860, SNP_LAUNCH_UPDATE, "PAGE_INFO"): the
// firmware, the pages that its metadata asks for, and the first registers of each
// processor. Kernel, initial RAM disk and command line are in it by a table of
// their hashes, which the firmware compares when it loads them.
//
//	fw, err := ovmf.Parse(image)
//	digest, err := snp.Digest(fw, snp.Config{VCPUs: 4, CPU: "EPYC-v4", Features: 1, Boot: &boot})
package snp

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"

	"github.com/sotto-chat/sotto/release/measure/ovmf"
)

// MaxVCPUs is the most processors that a machine may have.
const MaxVCPUs = 4096

// Hosts, by the state in which they start a processor. What differs is in no
// standard; it was learned from what they do.
const (
	QEMU       = "qemu"        // QEMU on Linux from 6.10 on, which writes the floating point unit's first state
	QEMULegacy = "qemu-legacy" // QEMU on the kernels before, AMD's own among them, which leave it zero
	EC2        = "ec2"         // Amazon EC2, which adds the page of CPUID last
)

// Config is what the host decides.
type Config struct {
	VCPUs    int    // 1 to [MaxVCPUs]
	CPU      string // model as QEMU calls it, or a signature: see [Signature]; unused with EC2
	Features uint64 // SEV_FEATURES: 1 for SNP alone, 0x21 with debug swap
	Host     string // [QEMU] if empty

	// Boot is what QEMU loads beside the firmware. nil: the firmware boots from a
	// disk, and nothing after it is in the measurement.
	Boot *Boot
}

// Boot are hashes of what is loaded directly.
type Boot struct {
	Kernel  [32]byte // SHA-256 of the file
	Initrd  [32]byte // of the file; of nothing where there is none
	Cmdline string   // without a zero byte, which QEMU adds
}

// models are the CPU models that QEMU knows, and their family, model and
// stepping. Versions of a model ("-v4") share them.
var models = [...]struct {
	name                    string
	versions                int
	family, model, stepping uint32
}{
	{"EPYC", 5, 23, 1, 2},
	{"EPYC-IBPB", 0, 23, 1, 2},
	{"EPYC-Rome", 5, 23, 49, 0},
	{"EPYC-Milan", 3, 25, 1, 1},
	{"EPYC-Genoa", 2, 25, 17, 0},
	{"EPYC-Turin", 1, 26, 0, 0},
}

// Signature returns CPUID Fn0000_0001_EAX of a CPU model as QEMU calls it
// ("EPYC-v4", "EPYC-Milan"), or of "0x" and lower-case hex.
func Signature(cpu string) (uint32, error) {
	for _, m := range models {
		v, ok := strings.CutPrefix(cpu, m.name+"-v")
		if cpu == m.name || ok && len(v) == 1 && v[0] >= '1' && int(v[0]-'0') <= m.versions {
			return signature(m.family, m.model, m.stepping), nil
		}
	}
	digits, ok := strings.CutPrefix(cpu, "0x")
	v, _ := strconv.ParseUint(digits, 16, 32) // what it can't parse has no such text
	if ok && strconv.FormatUint(v, 16) == digits {
		return uint32(v), nil
	}
	return 0, errUnknownCPU
}

var errUnknownCPU = errors.New(`the CPU model isn't known: use one of QEMU's, such as EPYC-v4 or EPYC-Milan, or a signature such as 0x800f12`)

// signature puts together CPUID Fn0000_0001_EAX (AMD 25481) of a family from 15 on,
// which is 15 in one field and the rest in another.
func signature(family, model, stepping uint32) uint32 {
	return (family-15)<<20 | model>>4<<16 | 15<<8 | model&15<<4 | stepping
}

// Types of page (AMD 56860, SNP_LAUNCH_UPDATE, PAGE_TYPE).
const (
	pageNormal  = 1
	pageVMSA    = 2
	pageZero    = 3
	pageSecrets = 5
	pageCPUID   = 6
)

// vmsaAddress is the address that all pages of registers are measured with: -1,
// in whole pages of 52 bits of address that are valid at most.
const vmsaAddress = 0xfffffffff000

// launch is the digest so far.
type launch [48]byte

// page extends it by one page. contents is SHA-384 of it, or zeros for pages
// whose contents aren't measured.
func (d *launch) page(kind byte, address uint64, contents [48]byte) {
	var info [112]byte
	copy(info[:], d[:])
	copy(info[48:], contents[:])
	binary.LittleEndian.PutUint16(info[96:], uint16(len(info)))
	info[98] = kind
	// 99 is IMI_PAGE; 100 to 102 are what the lower privilege levels may do; all 0.
	binary.LittleEndian.PutUint64(info[104:], address)
	*d = sha512.Sum384(info[:])
}

func (d *launch) normal(address uint64, b []byte) {
	for ; len(b) > 0; b = b[ovmf.Page:] {
		d.page(pageNormal, address, sha512.Sum384(b[:ovmf.Page]))
		address += ovmf.Page
	}
}

func (d *launch) zeros(address, size uint64) {
	for end := address + size; address < end; address += ovmf.Page {
		d.page(pageZero, address, [48]byte{})
	}
}

// Digest returns the MEASUREMENT of a machine. It fails where the firmware isn't
// made for SEV-SNP, or not for measuring a kernel that is loaded directly: then
// the host could load any.
func Digest(fw *ovmf.Image, c Config) ([48]byte, error) {
	var d launch
	d.normal(fw.Base, fw.Bytes)
	return from(d, fw.SEV, c)
}

// Firmware returns the digest after the pages of the firmware: what others publish
// as the hash of an OVMF.
func Firmware(fw *ovmf.Image) [48]byte {
	var d launch
	d.normal(fw.Base, fw.Bytes)
	return d
}

func from(d launch, sev *ovmf.SEV, c Config) (out [48]byte, err error) {
	if sev == nil {
		return out, errors.New("the firmware has no metadata for SEV-SNP: use an OVMF that was built for it")
	}
	if c.Host == "" {
		c.Host = QEMU
	}
	if c.Host != QEMU && c.Host != QEMULegacy && c.Host != EC2 {
		return out, errors.New("the host isn't known: it can be qemu, qemu-legacy or ec2")
	}
	if c.VCPUs < 1 || c.VCPUs > MaxVCPUs {
		return out, errors.New("a machine has 1 to 4096 processors")
	}
	if c.VCPUs > 1 && sev.ResetIP == 0 {
		return out, errors.New("the firmware doesn't say where processors but the first start")
	}
	if c.Features&1 == 0 {
		return out, errors.New("the features lack bit 0, which is SEV-SNP itself")
	}
	var sig uint32
	if c.Host != EC2 {
		if sig, err = Signature(c.CPU); err != nil {
			return out, err
		}
	}
	var hashes []byte
	if c.Boot != nil {
		if hashes, err = hashesPage(sev, c.Boot); err != nil {
			return out, err
		}
	}
	var cpuid *ovmf.SEVSection
	for _, s := range sev.Sections {
		switch s.Kind {
		case ovmf.SecMem, ovmf.SVSMArea:
			d.zeros(uint64(s.Address), uint64(s.Size))
		case ovmf.Secrets:
			d.page(pageSecrets, uint64(s.Address), [48]byte{})
		case ovmf.CPUID:
			if c.Host == EC2 {
				cpuid = &s
				continue
			}
			d.page(pageCPUID, uint64(s.Address), [48]byte{})
		case ovmf.KernelHashes:
			if hashes == nil {
				d.zeros(uint64(s.Address), uint64(s.Size))
				continue
			}
			d.normal(uint64(s.Address), hashes)
		}
	}
	if cpuid != nil {
		d.page(pageCPUID, uint64(cpuid.Address), [48]byte{})
	}
	first, others := sha512.Sum384(registers(resetVector, sig, c)), sha512.Sum384(registers(sev.ResetIP, sig, c))
	for i := range c.VCPUs {
		if i == 0 {
			d.page(pageVMSA, vmsaAddress, first)
		} else {
			d.page(pageVMSA, vmsaAddress, others)
		}
	}
	return d, nil
}

// GUIDs of the table of kernel hashes (QEMU, target/i386/sev.c), as they lie in
// memory.
var (
	guidTable   = [16]byte{0x06, 0xd6, 0x38, 0x94, 0x22, 0x4f, 0xc9, 0x4c, 0xb4, 0x79, 0xa7, 0x93, 0xd4, 0x11, 0xfd, 0x21} // 9438d606-4f22-4cc9-b479-a793d411fd21
	guidKernel  = [16]byte{0x37, 0x94, 0xe7, 0x4d, 0xd2, 0xab, 0x7f, 0x42, 0xb8, 0x35, 0xd5, 0xb1, 0x72, 0xd2, 0x04, 0x5b} // 4de79437-abd2-427f-b835-d5b172d2045b
	guidInitrd  = [16]byte{0x31, 0xf7, 0xba, 0x44, 0x2f, 0x3a, 0xd7, 0x4b, 0x9a, 0xf1, 0x41, 0xe2, 0x91, 0x69, 0x78, 0x1d} // 44baf731-3a2f-4bd7-9af1-41e29169781d
	guidCmdline = [16]byte{0xd8, 0x2d, 0xd0, 0x97, 0x20, 0xbd, 0x94, 0x4c, 0xaa, 0x78, 0xe7, 0x71, 0x4d, 0x36, 0xab, 0x2a} // 97d02dd8-bd20-4c94-aa78-e7714d36ab2a
)

// tableSize is what a table of three hashes takes up, with its padding.
const tableSize = (18 + 3*50 + 15) / 16 * 16

// hashesPage returns the page with the table of hashes, as QEMU makes it: GUID ‖
// length ‖ three times (GUID ‖ length ‖ SHA-256), the rest zeros. The hash of the
// command line is of the text and a zero byte.
func hashesPage(sev *ovmf.SEV, b *Boot) ([]byte, error) {
	s, ok := sev.Section(ovmf.KernelHashes)
	if !ok {
		return nil, errors.New("the firmware doesn't measure a kernel that is loaded directly, so the host could load any: use the AmdSev build of OVMF, or boot from a disk that is measured otherwise")
	}
	at := uint64(sev.HashTable) - uint64(s.Address)
	if sev.HashTable < s.Address || at+tableSize > ovmf.Page || sev.HashTableSize < tableSize {
		return nil, errors.New("the firmware's table of kernel hashes isn't in its page")
	}
	for _, c := range []byte(b.Cmdline) {
		if c == 0 {
			return nil, errors.New("the command line holds a zero byte")
		}
	}
	page := make([]byte, ovmf.Page)
	t := page[at:at]
	t = append(t, guidTable[:]...)
	t = binary.LittleEndian.AppendUint16(t, 18+3*50)
	for _, e := range [...]struct {
		guid [16]byte
		hash [32]byte
	}{{guidCmdline, sha256.Sum256(append([]byte(b.Cmdline), 0))}, {guidInitrd, b.Initrd}, {guidKernel, b.Kernel}} {
		t = append(t, e.guid[:]...)
		t = binary.LittleEndian.AppendUint16(t, 50)
		t = append(t, e.hash[:]...)
	}
	return page, nil
}

// resetVector is where the first processor starts.
const resetVector = 0xfffffff0

// registers returns the page with a processor's first registers (AMD64
// Architecture Programmer's Manual, volume 2, table B-4).
func registers(ip, sig uint32, c Config) []byte {
	p := make([]byte, ovmf.Page)
	csAttr, ssAttr, trAttr := uint16(0x9b), uint16(0x93), uint16(0x8b)
	rdx := uint64(sig)
	if c.Host == EC2 {
		if ip == resetVector {
			csAttr = 0x9a
		}
		ssAttr, trAttr, rdx = 0x92, 0x83, 0
	}
	segment := func(at int, selector, attr uint16, base uint32) {
		binary.LittleEndian.PutUint16(p[at:], selector)
		binary.LittleEndian.PutUint16(p[at+2:], attr)
		binary.LittleEndian.PutUint32(p[at+4:], 0xffff)
		binary.LittleEndian.PutUint64(p[at+8:], uint64(base))
	}
	segment(0x00, 0, 0x93, 0)                    // ES
	segment(0x10, 0xf000, csAttr, ip&0xffff0000) // CS
	segment(0x20, 0, ssAttr, 0)                  // SS
	segment(0x30, 0, 0x93, 0)                    // DS
	segment(0x40, 0, 0x93, 0)                    // FS
	segment(0x50, 0, 0x93, 0)                    // GS
	segment(0x60, 0, 0, 0)                       // GDTR
	segment(0x70, 0, 0x82, 0)                    // LDTR
	segment(0x80, 0, 0, 0)                       // IDTR
	segment(0x90, 0, trAttr, 0)                  // TR
	for _, r := range [...]struct {
		at    int
		value uint64
	}{
		{0xd0, 0x1000},               // EFER: SVME, which KVM sets
		{0x148, 0x40},                // CR4: MCE, which KVM sets
		{0x158, 0x10},                // CR0: ET
		{0x160, 0x400},               // DR7
		{0x168, 0xffff0ff0},          // DR6
		{0x170, 2},                   // RFLAGS
		{0x178, uint64(ip & 0xffff)}, // RIP
		{0x268, 0x7040600070406},     // G_PAT
		{0x310, rdx},                 // RDX: the CPU's signature
		{0x3b0, c.Features},          // SEV_FEATURES
		{0x3e8, 1},                   // XCR0
	} {
		binary.LittleEndian.PutUint64(p[r.at:], r.value)
	}
	if c.Host == QEMU {
		binary.LittleEndian.PutUint32(p[0x408:], 0x1f80) // MXCSR
		binary.LittleEndian.PutUint16(p[0x410:], 0x37f)  // X87_FCW
	}
	return p
}
