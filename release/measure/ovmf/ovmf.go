// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package ovmf reads what a firmware image for virtual machines says of itself:
// which memory the host has to prepare before the machine starts, and how. AMD's
// and Intel's processors measure that preparation, so the same bytes say what
// they will report (spec/measure.md, "Firmware").
//
// The image is mapped so that its last byte is the last one below 4 GiB. 32 bytes
// before its end ends a table of GUIDs, which is read backwards (edk2,
// OvmfPkg/ResetVector/Ia16/ResetVectorVtf0.asm). Two of its entries lead to
// metadata: ASEV for AMD (OvmfPkg/ResetVector/X64/OvmfSevMetadata.asm), and TDVF
// for Intel (Intel's TDX Virtual Firmware Design Guide, section 11).
//
//	fw, err := ovmf.Parse(image)
//	fw.SEV // nil: not for AMD SEV-SNP
//	fw.TDX // nil: not for Intel TDX
package ovmf

import (
	"bytes"
	"encoding/binary"
	"errors"
)

const (
	// MaxSize is the most bytes that an image may have. OVMF has 2 or 4 MiB.
	MaxSize = 64 << 20
	// Page is the size of a page of memory.
	Page = 4096

	maxSections = 64
	// MaxMemory is the most memory that the sections of an image may ask the host
	// to prepare. OVMF's ask for less than 1 MiB besides the image itself.
	MaxMemory = 256 << 20

	fourGiB = 1 << 32
)

// GUIDs of the table, as they lie in memory: the first three parts are
// little-endian.
var (
	guidFooter    = [16]byte{0xde, 0x82, 0xb5, 0x96, 0xb2, 0x1f, 0xf7, 0x45, 0xba, 0xea, 0xa3, 0x66, 0xc5, 0x5a, 0x08, 0x2d} // 96b582de-1fb2-45f7-baea-a366c55a082d
	guidResetIP   = [16]byte{0xde, 0x71, 0xf7, 0x00, 0x7e, 0x1a, 0xcb, 0x4f, 0x89, 0x0e, 0x68, 0xc7, 0x7e, 0x2f, 0xb4, 0x4e} // 00f771de-1a7e-4fcb-890e-68c77e2fb44e
	guidHashTable = [16]byte{0x1f, 0x37, 0x55, 0x72, 0x3b, 0x3a, 0x04, 0x4b, 0x92, 0x7b, 0x1d, 0xa6, 0xef, 0xa8, 0xd4, 0x54} // 7255371f-3a3b-4b04-927b-1da6efa8d454
	guidSEV       = [16]byte{0x66, 0x65, 0x88, 0xdc, 0x4a, 0x98, 0x98, 0x47, 0xa7, 0x5e, 0x55, 0x85, 0xa7, 0xbf, 0x67, 0xcc} // dc886566-984a-4798-a75e-5585a7bf67cc
	guidTDX       = [16]byte{0x35, 0x65, 0x7a, 0xe4, 0x4a, 0x98, 0x98, 0x47, 0x86, 0x5e, 0x46, 0x85, 0xa7, 0xbf, 0x8e, 0xc2} // e47a6535-984a-4798-865e-4685a7bf8ec2
)

// Image is what an image says.
type Image struct {
	Bytes []byte
	Base  uint64 // guest physical address of the first byte

	SEV *SEV // nil where there is no ASEV metadata
	TDX *TDX // nil where there is no TDVF metadata
}

// Kinds of section for SEV-SNP.
const (
	SecMem       = 1    // zeros, accepted before the start
	Secrets      = 2    // where the processor puts the machine's secrets
	CPUID        = 3    // where the host puts its answers to CPUID
	SVSMArea     = 4    // calling area of a service module, zeros
	KernelHashes = 0x10 // hashes of kernel, initial RAM disk and command line
)

// SEV is the metadata for AMD SEV-SNP.
type SEV struct {
	Sections []SEVSection // in the image's order, which is the host's

	// ResetIP is where processors but the first start: bits 31 to 16 are the base
	// of CS and 15 to 0 are IP. 0 where the image doesn't say.
	ResetIP uint32

	// HashTable is the address at which the host writes the table of kernel
	// hashes, HashTableSize the room for it. 0 where there is none.
	HashTable, HashTableSize uint32
}

// SEVSection is a range of memory that the host prepares.
type SEVSection struct{ Address, Size, Kind uint32 }

// Section returns the only section of a kind.
func (s *SEV) Section(kind uint32) (SEVSection, bool) {
	for _, x := range s.Sections {
		if x.Kind == kind {
			return x, true
		}
	}
	return SEVSection{}, false
}

// Kinds of section for TDX.
const (
	BootVolume   = 0 // BFV: the firmware's code
	ConfigVolume = 1 // CFV: its variables
	HOB          = 2 // where the host describes the memory
	TempMem      = 3 // accepted before the start
	PermMem      = 4 // accepted by the firmware
	Payload      = 5
	PayloadParam = 6
)

// Attributes of sections for TDX.
const (
	Extend  = 1 << 0 // contents are measured (MR.EXTEND)
	Augment = 1 << 1 // added when the machine runs (MEM.PAGE.AUG): not measured at all
)

// TDX is the metadata for Intel TDX.
type TDX struct {
	Sections []TDXSection // in the image's order, which is the host's
}

// TDXSection is a range of memory that the host prepares.
type TDXSection struct {
	Offset, Raw uint32 // where in the image its contents are; Raw 0: nowhere, it is zeros
	Address     uint64
	Size        uint64
	Kind        uint32
	Attributes  uint32
}

// Section returns the only section of a kind.
func (t *TDX) Section(kind uint32) (TDXSection, bool) {
	for _, x := range t.Sections {
		if x.Kind == kind {
			return x, true
		}
	}
	return TDXSection{}, false
}

// Parse reads an image of whole pages. It refuses tables and metadata that don't
// fit exactly, that name a kind of section twice of which there can be one, or
// that ask for ranges which overlap or aren't pages. An image without any table
// is no error: neither SEV nor TDX is then set.
func Parse(image []byte) (*Image, error) {
	if len(image) == 0 || len(image)%Page != 0 || len(image) > MaxSize {
		return nil, errors.New("the firmware isn't whole pages of 4 KiB, or is longer than 64 MiB")
	}
	m := &Image{Bytes: image, Base: fourGiB - uint64(len(image))}
	table, err := footer(image)
	if err != nil {
		return nil, err
	}
	var sev, tdx []byte
	var reset, hashes []byte
	for _, e := range table {
		var to *[]byte
		size := 4
		switch e.guid {
		case guidResetIP:
			to = &reset
		case guidHashTable:
			to, size = &hashes, 8
		case guidSEV:
			to = &sev
		case guidTDX:
			to = &tdx
		default:
			continue
		}
		if *to != nil || len(e.data) != size {
			return nil, errors.New("the firmware's table has an entry twice, or of another length than it should have")
		}
		*to = e.data
	}
	if sev != nil {
		if m.SEV, err = parseSEV(image, sev); err != nil {
			return nil, err
		}
		if reset != nil {
			m.SEV.ResetIP = binary.LittleEndian.Uint32(reset)
		}
		if hashes != nil {
			m.SEV.HashTable, m.SEV.HashTableSize = binary.LittleEndian.Uint32(hashes), binary.LittleEndian.Uint32(hashes[4:])
		}
	}
	if tdx != nil {
		if m.TDX, err = parseTDX(image, tdx); err != nil {
			return nil, err
		}
	}
	return m, nil
}

type entry struct {
	guid [16]byte
	data []byte
}

// footer returns the entries of the table, the last first. The table lies before
// the last 32 bytes: entries of data ‖ length [2] ‖ GUID [16], where the length
// counts all three and the last entry has no data and counts the whole table.
func footer(image []byte) ([]entry, error) {
	end := len(image) - 32
	const head = 18
	if !bytes.Equal(image[end-16:end], guidFooter[:]) {
		return nil, nil
	}
	broken := errors.New("the firmware's table of GUIDs is broken")
	size := int(binary.LittleEndian.Uint16(image[end-head:]))
	if size < head || size > end {
		return nil, broken
	}
	rest := image[end-size : end-head]
	var out []entry
	for len(rest) > 0 {
		if len(rest) < head {
			return nil, broken
		}
		n := int(binary.LittleEndian.Uint16(rest[len(rest)-head:]))
		if n < head || n > len(rest) {
			return nil, broken
		}
		e := entry{guid: [16]byte(rest[len(rest)-16:]), data: rest[len(rest)-n : len(rest)-head]}
		out = append(out, e)
		rest = rest[:len(rest)-n]
	}
	return out, nil
}

// metadata returns the sections' bytes of metadata that begins at an offset from
// the image's end: signature [4] ‖ length [4] ‖ version [4] ‖ number [4] ‖ sections.
func metadata(image, offset []byte, signature string, section int) ([]byte, error) {
	broken := errors.New("the firmware's " + signature + " metadata is broken")
	back := binary.LittleEndian.Uint32(offset)
	if uint64(back) > uint64(len(image)) || int64(back) < int64(16+section) {
		return nil, broken
	}
	b := image[len(image)-int(back):]
	length, version, n := binary.LittleEndian.Uint32(b[4:]), binary.LittleEndian.Uint32(b[8:]), binary.LittleEndian.Uint32(b[12:])
	if string(b[:4]) != signature || version != 1 || n == 0 || n > maxSections {
		return nil, broken
	}
	// Intel's guide counts from the signature; edk2's metadata does too.
	if uint64(length) != 16+uint64(n)*uint64(section) || uint64(length) > uint64(len(b)) {
		return nil, broken
	}
	return b[16:length], nil
}

func parseSEV(image, offset []byte) (*SEV, error) {
	b, err := metadata(image, offset, "ASEV", 12)
	if err != nil {
		return nil, err
	}
	s := &SEV{}
	var ranges ranges
	for ; len(b) > 0; b = b[12:] {
		x := SEVSection{binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:]), binary.LittleEndian.Uint32(b[8:])}
		switch x.Kind {
		case SecMem, SVSMArea:
		case Secrets, CPUID, KernelHashes:
			if _, ok := s.Section(x.Kind); ok || x.Size != Page {
				return nil, errors.New("the firmware's ASEV metadata has more than one page for secrets, CPUID or kernel hashes")
			}
		default:
			return nil, errors.New("the firmware's ASEV metadata has a kind of section that isn't known")
		}
		if err := ranges.add(uint64(x.Address), uint64(x.Size)); err != nil {
			return nil, err
		}
		s.Sections = append(s.Sections, x)
	}
	return s, nil
}

func parseTDX(image, offset []byte) (*TDX, error) {
	b, err := metadata(image, offset, "TDVF", 32)
	if err != nil {
		return nil, err
	}
	t := &TDX{}
	var ranges ranges
	for ; len(b) > 0; b = b[32:] {
		x := TDXSection{
			Offset: binary.LittleEndian.Uint32(b), Raw: binary.LittleEndian.Uint32(b[4:]),
			Address: binary.LittleEndian.Uint64(b[8:]), Size: binary.LittleEndian.Uint64(b[16:]),
			Kind: binary.LittleEndian.Uint32(b[24:]), Attributes: binary.LittleEndian.Uint32(b[28:]),
		}
		if x.Kind > PayloadParam || x.Attributes&^(Extend|Augment) != 0 || x.Attributes == Extend|Augment {
			return nil, errors.New("the firmware's TDVF metadata has a kind of section or an attribute that isn't known")
		}
		if _, ok := t.Section(x.Kind); ok && (x.Kind == ConfigVolume || x.Kind == HOB) {
			return nil, errors.New("the firmware's TDVF metadata has more than one configuration volume or list of memory")
		}
		if uint64(x.Offset)+uint64(x.Raw) > uint64(len(image)) || uint64(x.Raw) > x.Size || x.Raw%Page != 0 ||
			x.Raw == 0 && x.Attributes&Extend != 0 {
			return nil, errors.New("the firmware's TDVF metadata has a section whose contents aren't whole pages of the image")
		}
		// Memory that is added later costs the host nothing at the start.
		if x.Attributes&Augment == 0 {
			if err := ranges.add(x.Address, x.Size); err != nil {
				return nil, err
			}
		}
		t.Sections = append(t.Sections, x)
	}
	return t, nil
}

// ranges are those taken so far.
type ranges struct {
	taken [][2]uint64
	sum   uint64
}

func (r *ranges) add(at, size uint64) error {
	if at%Page != 0 || size%Page != 0 || size == 0 || size > MaxMemory || at > 1<<52 {
		return errors.New("the firmware's metadata has a section that isn't pages of memory")
	}
	if r.sum += size; r.sum > MaxMemory {
		return errors.New("the firmware's metadata asks for more than 256 MiB")
	}
	for _, t := range r.taken {
		if at < t[1] && t[0] < at+size {
			return errors.New("the firmware's metadata has sections that overlap")
		}
	}
	r.taken = append(r.taken, [2]uint64{at, at + size})
	return nil
}
