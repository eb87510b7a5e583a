// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package tdx computes the registers that an Intel processor reports of a machine
// (TDX): MRTD, from the firmware alone, and what firmware measures into RTMR 0 of
// the memory that the host describes and of its own variables.
//
// MRTD is a SHA-384 over records of what the host adds before the machine starts
// (Intel TDX Module Base Architecture, "Measurement and attestation"): 128 bytes
// for each page (TDH.MEM.PAGE.ADD), and for each 256 bytes of contents that are
// measured 128 bytes and these (TDH.MR.EXTEND).
//
//	fw, err := ovmf.Parse(image)
//	mrtd, err := tdx.MRTD(fw, tdx.ByPage)
package tdx

import (
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"hash"
	"slices"

	"github.com/sotto-chat/sotto/release/measure/boot"
	"github.com/sotto-chat/sotto/release/measure/ovmf"
)

// Orders in which a host adds pages and has their contents measured. The result
// differs, and only the host knows.
const (
	ByPage    = "page"    // each page is measured when it was added: Linux from 6.16 on
	BySection = "section" // all pages of a section are added, and then measured: Linux of 2023 and before
)

const chunk = 256 // bytes that TDH.MR.EXTEND measures at once

// MRTD returns the measurement of the firmware.
func MRTD(fw *ovmf.Image, order string) (out [48]byte, err error) {
	if fw.TDX == nil {
		return out, errors.New("the firmware has no metadata for TDX: use an OVMF that was built for it")
	}
	if order != ByPage && order != BySection {
		return out, errors.New("the order of pages isn't known: it can be page or section")
	}
	h := sha512.New384()
	for _, s := range fw.TDX.Sections {
		if s.Attributes&ovmf.Augment != 0 {
			continue
		}
		for at := uint64(0); at < s.Size; at += ovmf.Page {
			record(h, "MEM.PAGE.ADD", s.Address+at)
			if order == ByPage {
				extend(h, fw, s, at)
			}
		}
		if order == BySection {
			for at := uint64(0); at < s.Size; at += ovmf.Page {
				extend(h, fw, s, at)
			}
		}
	}
	return [48]byte(h.Sum(nil)), nil
}

// record is what the processor hashes of an operation: its name and its address.
func record(h hash.Hash, name string, address uint64) {
	var b [128]byte
	copy(b[:16], name)
	binary.LittleEndian.PutUint64(b[16:], address)
	h.Write(b[:])
}

// extend measures the page at an offset of a section. Where the image has no
// contents for it, it is zeros.
func extend(h hash.Hash, fw *ovmf.Image, s ovmf.TDXSection, at uint64) {
	if s.Attributes&ovmf.Extend == 0 {
		return
	}
	page := make([]byte, ovmf.Page)
	if at < uint64(s.Raw) {
		page = fw.Bytes[uint64(s.Offset)+at:][:ovmf.Page]
	}
	for i := 0; i < ovmf.Page; i += chunk {
		record(h, "MR.EXTEND", s.Address+at+uint64(i))
		h.Write(page[i : i+chunk])
	}
}

// Memory is how much a machine has and where.
type Memory struct {
	Size uint64 // bytes

	// Low is how much of it lies below 4 GiB. 0: as QEMU's q35 has it, which is all
	// below 2.75 GiB and 2 GiB of more.
	Low uint64
}

const (
	maxMemory = 1 << 46
	q35Limit  = 0xb0000000
	q35Low    = 0x80000000
	fourGiB   = 1 << 32
)

// HOB is what firmware measures of the list in which QEMU describes the memory
// ("td_hob"; EV_EFI_HANDOFF_TABLES2): one block that says where the list ends, and
// one for each range of memory by address, those that the host has prepared and
// those that firmware is to accept (PI 1.7, volume 3, section 5; QEMU,
// hw/i386/tdvf-hob.c).
func HOB(fw *ovmf.Image, m Memory) (e boot.Event, err error) {
	if fw.TDX == nil {
		return e, errors.New("the firmware has no metadata for TDX: use an OVMF that was built for it")
	}
	list, ok := fw.TDX.Section(ovmf.HOB)
	if !ok {
		return e, errors.New("the firmware says nowhere where the host is to describe the memory")
	}
	if m.Size == 0 || m.Size%ovmf.Page != 0 || m.Size > maxMemory {
		return e, errors.New("the memory isn't whole pages, or more than 64 TiB")
	}
	low := m.Low
	if low == 0 {
		if low = m.Size; m.Size >= q35Limit {
			low = q35Low
		}
	}
	if low > m.Size || low > fourGiB || low%ovmf.Page != 0 {
		return e, errors.New("the memory below 4 GiB isn't whole pages, or more than there is")
	}
	type area struct {
		at, size uint64
		accepted bool
	}
	areas := []area{{0, low, false}}
	if m.Size > low {
		areas = append(areas, area{fourGiB, m.Size - low, false})
	}
	for _, s := range fw.TDX.Sections {
		if s.Kind != ovmf.HOB && s.Kind != ovmf.TempMem {
			continue
		}
		// Sections don't overlap, so those prepared before hold none of this one.
		i := slices.IndexFunc(areas, func(a area) bool {
			return a.at <= s.Address && s.Address+s.Size <= a.at+a.size
		})
		if i < 0 {
			return e, errors.New("the firmware wants memory that the machine doesn't have")
		}
		a := areas[i]
		parts := []area{{a.at, s.Address - a.at, false}, {s.Address, s.Size, true}, {s.Address + s.Size, a.at + a.size - s.Address - s.Size, false}}
		parts = slices.DeleteFunc(parts, func(a area) bool { return a.size == 0 })
		areas = slices.Replace(areas, i, i+1, parts...)
	}
	const (
		handoff  = 56 // EFI_HOB_HANDOFF_INFO_TABLE
		resource = 48 // EFI_HOB_RESOURCE_DESCRIPTOR
		end      = 8  // EFI_HOB_GENERIC_HEADER, which isn't measured
	)
	le := binary.LittleEndian
	b := make([]byte, handoff, handoff+resource*len(areas))
	le.PutUint16(b, 1) // EFI_HOB_TYPE_HANDOFF
	le.PutUint16(b[2:], handoff)
	le.PutUint32(b[8:], 9) // EFI_HOB_HANDOFF_TABLE_VERSION
	le.PutUint64(b[48:], list.Address+uint64(handoff+resource*len(areas)+end))
	for _, a := range areas {
		var r [resource]byte
		le.PutUint16(r[0:], 3) // EFI_HOB_TYPE_RESOURCE_DESCRIPTOR
		le.PutUint16(r[2:], resource)
		if !a.accepted {
			le.PutUint32(r[24:], 7) // EFI_RESOURCE_MEMORY_UNACCEPTED; 0 is EFI_RESOURCE_SYSTEM_MEMORY
		}
		le.PutUint32(r[28:], 7) // present, initialized, tested
		le.PutUint64(r[32:], a.at)
		le.PutUint64(r[40:], a.size)
		b = append(b, r[:]...)
	}
	return boot.Data("memory as the host describes it", b), nil
}

// Configuration is what firmware measures of its variables as the image has them
// (EV_EFI_PLATFORM_FIRMWARE_BLOB2 of the configuration volume).
func Configuration(fw *ovmf.Image) (e boot.Event, err error) {
	if fw.TDX != nil {
		if s, _ := fw.TDX.Section(ovmf.ConfigVolume); s.Raw > 0 {
			return boot.Data("configuration volume", fw.Bytes[s.Offset:][:s.Raw]), nil
		}
	}
	return e, errors.New("the firmware has no configuration volume")
}

// uiApp is the boot option that OVMF always has, Boot0000: its own menu
// (EFI_LOAD_OPTION, UEFI 2.10, section 3.1.3): active, hidden, an application; its
// name; and a path to a file in a firmware volume (MdeModulePkg, UiApp.inf; FV
// DXEFV of OVMF).
func uiApp() []byte {
	volume, _ := boot.GUID("7cb8bdc9-f8eb-4f34-aaea-3ee4af6516a1")
	file, _ := boot.GUID("462caa21-7614-4503-836e-8ab6f4662331")
	b := []byte{0x09, 0x01, 0, 0, 44, 0}
	b = append(b, boot.UTF16("UiApp")...)
	b = append(b, 0, 0)
	b = append(append(b, 4, 7, 20, 0), volume[:]...)
	b = append(append(b, 4, 6, 20, 0), file[:]...)
	return append(b, 0x7f, 0xff, 4, 0)
}

// Start is what of RTMR 0 isn't in the image.
type Start struct {
	Memory Memory

	// ACPI are the three files by which QEMU passes its tables: etc/table-loader,
	// etc/acpi/rsdp and etc/acpi/tables. They say which devices there are.
	ACPI [3]boot.Event

	// Variables are SecureBoot, PK, KEK, db and dbx: see [NoKeys].
	Variables []boot.Event

	// BootOptions are the contents of BootOrder and of the options in it. nil: OVMF's
	// own menu alone, as with a kernel that QEMU loads directly.
	BootOptions []boot.Event
}

// NoKeys are the variables of an OVMF that was not given keys: PK, KEK, db and dbx
// without contents, and SecureBoot with a zero, or without contents too where the
// firmware was built without Secure Boot.
func NoKeys(built bool) []boot.Event {
	var off []byte
	if built {
		off = []byte{0}
	}
	var out []boot.Event
	for _, v := range [...]struct {
		guid, name string
		contents   []byte
	}{
		{boot.GlobalVariable, "SecureBoot", off}, {boot.GlobalVariable, "PK", nil}, {boot.GlobalVariable, "KEK", nil},
		{boot.ImageSecurity, "db", nil}, {boot.ImageSecurity, "dbx", nil},
	} {
		e, _ := boot.Variable(v.guid, v.name, v.contents) // of two GUIDs that are right
		out = append(out, e)
	}
	return out
}

// RTMR0 returns the events of RTMR 0, as OVMF measures them.
func RTMR0(fw *ovmf.Image, s Start) ([]boot.Event, error) {
	hob, err := HOB(fw, s.Memory)
	if err != nil {
		return nil, err
	}
	config, err := Configuration(fw)
	if err != nil {
		return nil, err
	}
	if s.BootOptions == nil {
		// EV_EFI_VARIABLE_BOOT is of the contents alone.
		s.BootOptions = []boot.Event{boot.Data("BootOrder", []byte{0, 0}), boot.Data("Boot0000", uiApp())}
	}
	out := append([]boot.Event{hob, config}, s.Variables...)
	out = append(out, boot.Separator())
	out = append(out, s.ACPI[:]...)
	return append(out, s.BootOptions...), nil
}
