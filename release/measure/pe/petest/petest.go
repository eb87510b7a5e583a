// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package petest makes programs for UEFI (PE/COFF images) for tests. They hold
// whatever a test wants and run nowhere.
package petest

import "encoding/binary"

// Section is a section of a program.
type Section struct {
	Name string
	Data []byte
}

// Options is what a program is made of.
type Options struct {
	Sections  []Section
	Trailer   []byte // after the sections
	Signature []byte // the end of the file, named in the headers
	PE32      bool   // the old kind of optional header
	NoDirs    bool   // no room for the place of a signature
}

// Places in the headers, for tests that change them.
const (
	Header   = 0x80        // of the signature "PE\0\0"
	Optional = Header + 24 // of the optional header
	Checksum = Optional + 64
	Align    = 512 // sections and headers fill multiples of it
)

// Directory returns the place of the directory entry of the signature.
func (o Options) Directory() int {
	if o.PE32 {
		return Optional + 96 + 4*8
	}
	return Optional + 112 + 4*8
}

// Table returns the place of the section table.
func (o Options) Table() int {
	n := 16
	if o.NoDirs {
		n = 0
	}
	if o.PE32 {
		return Optional + 96 + 8*n
	}
	return Optional + 112 + 8*n
}

func up(n int) int { return (n + Align - 1) / Align * Align }

// Program makes a program.
func Program(o Options) []byte {
	le := binary.LittleEndian
	headers := up(o.Table() + 40*len(o.Sections))
	b := make([]byte, headers)
	copy(b, "MZ")
	le.PutUint32(b[0x3c:], Header)
	copy(b[Header:], "PE\x00\x00")
	le.PutUint16(b[Header+4:], 0x8664)
	le.PutUint16(b[Header+6:], uint16(len(o.Sections)))
	le.PutUint16(b[Header+20:], uint16(o.Table()-Optional))
	magic, dirs := uint16(0x20b), Optional+112
	if o.PE32 {
		magic, dirs = 0x10b, Optional+96
	}
	le.PutUint16(b[Optional:], magic)
	le.PutUint32(b[Optional+60:], uint32(headers))
	le.PutUint32(b[Checksum:], 0x12345678)
	if !o.NoDirs {
		le.PutUint32(b[dirs-4:], 16)
	}
	for i, s := range o.Sections {
		t := b[o.Table()+40*i:]
		copy(t[:8], s.Name)
		le.PutUint32(t[8:], uint32(len(s.Data)))
		le.PutUint32(t[12:], uint32(0x1000*(i+1)))
		le.PutUint32(t[16:], uint32(up(len(s.Data))))
		if len(s.Data) > 0 {
			le.PutUint32(t[20:], uint32(len(b)))
		}
		b = append(b, s.Data...)
		b = append(b, make([]byte, up(len(s.Data))-len(s.Data))...)
	}
	b = append(b, o.Trailer...)
	if o.Signature != nil {
		le.PutUint32(b[o.Directory():], uint32(len(b)))
		le.PutUint32(b[o.Directory()+4:], uint32(len(o.Signature)))
		b = append(b, o.Signature...)
	}
	return b
}

// Unified makes a unified kernel image as version 254 of systemd-stub would be
// part of: sections in the order in which they are given, after those of the stub.
func Unified(sections ...Section) []byte {
	return Program(Options{Sections: append([]Section{
		{Name: ".text", Data: []byte("stub")},
		{Name: ".sdmagic", Data: []byte("#### LoaderInfo: systemd-stub 254.1-2 ####\x00")},
	}, sections...)})
}
