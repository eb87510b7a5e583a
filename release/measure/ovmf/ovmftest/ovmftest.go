// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package ovmftest makes firmware images for tests: pages of noise with the table
// and the metadata that real ones have. They don't start anything.
package ovmftest

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/sotto-chat/sotto/release/measure/ovmf"
)

// Options is what an image says.
type Options struct {
	Size    int // bytes; 16 pages if 0
	SEV     []ovmf.SEVSection
	TDX     []ovmf.TDXSection
	ResetIP uint32
	Hashes  [2]uint32 // address and size

	NoTable bool
	Change  func(table []Entry) []Entry // of the entries, in the order in which they lie in memory
	Blob    func(sev, tdx []byte)       // changes metadata in place
}

// Entry is an entry of the table.
type Entry struct {
	GUID string
	Data []byte
}

// GUIDs of the entries.
const (
	Footer  = "96b582de-1fb2-45f7-baea-a366c55a082d"
	Reset   = "00f771de-1a7e-4fcb-890e-68c77e2fb44e"
	Hashes  = "7255371f-3a3b-4b04-927b-1da6efa8d454"
	SEV     = "dc886566-984a-4798-a75e-5585a7bf67cc"
	TDX     = "e47a6535-984a-4798-865e-4685a7bf8ec2"
	Secrets = "4c2eb361-7d9b-4cc3-8081-127c90d3d294" // nobody reads it
)

func guid(text string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil {
		panic(err)
	}
	slices.Reverse(b[:4])
	slices.Reverse(b[4:6])
	slices.Reverse(b[6:8])
	return b
}

// AmdSev are sections as those of edk2's AmdSev build, but shorter.
func AmdSev() Options {
	s := func(at, size, kind uint32) ovmf.SEVSection {
		return ovmf.SEVSection{Address: at, Size: size, Kind: kind}
	}
	return Options{
		SEV: []ovmf.SEVSection{
			s(0x800000, 0x2000, ovmf.SecMem), s(0x803000, 0x1000, ovmf.Secrets), s(0x804000, 0x1000, ovmf.CPUID),
			s(0x805000, 0x1000, ovmf.SVSMArea), s(0x806000, 0x1000, ovmf.KernelHashes), s(0x807000, 0x3000, ovmf.SecMem),
		},
		ResetIP: 0x80b004, Hashes: [2]uint32{0x806c00, 0x400},
	}
}

// TDVF are sections as those of OVMF, but shorter.
func TDVF() Options {
	return Options{TDX: []ovmf.TDXSection{
		{Offset: 0x4000, Raw: 0xc000, Address: 1<<32 - 0xc000, Size: 0xc000, Kind: ovmf.BootVolume, Attributes: ovmf.Extend},
		{Offset: 0, Raw: 0x4000, Address: 1<<32 - 0x10000, Size: 0x4000, Kind: ovmf.ConfigVolume},
		{Address: 0x810000, Size: 0x10000, Kind: ovmf.TempMem},
		{Address: 0x80b000, Size: 0x2000, Kind: ovmf.TempMem},
		{Address: 0x809000, Size: 0x2000, Kind: ovmf.HOB},
		{Address: 0x800000, Size: 0x6000, Kind: ovmf.TempMem},
	}}
}

// Both is an image for either.
func Both() Options {
	o := AmdSev()
	o.TDX = TDVF().TDX
	return o
}

// Image makes an image. The same options make the same bytes.
func Image(o Options) []byte {
	if o.Size == 0 {
		o.Size = 16 * ovmf.Page
	}
	b := make([]byte, o.Size)
	noise := rand.NewPCG(1, 2)
	for i := 0; i+8 <= len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], noise.Uint64())
	}
	if o.NoTable {
		return b
	}
	le := binary.LittleEndian
	at := len(b) - 1024 // where metadata goes
	blob := func(signature string, n int, sections []byte) (where []byte, offset []byte) {
		m := append([]byte(signature), make([]byte, 12)...)
		le.PutUint32(m[4:], uint32(16+len(sections)))
		le.PutUint32(m[8:], 1)
		le.PutUint32(m[12:], uint32(n))
		m = append(m, sections...)
		at -= (len(m) + 15) / 16 * 16
		copy(b[at:], m)
		return b[at : at+len(m)], le.AppendUint32(nil, uint32(len(b)-at))
	}
	var table []Entry
	var sevBlob, tdxBlob []byte
	if o.TDX != nil {
		var s []byte
		for _, x := range o.TDX {
			s = le.AppendUint32(s, x.Offset)
			s = le.AppendUint32(s, x.Raw)
			s = le.AppendUint64(s, x.Address)
			s = le.AppendUint64(s, x.Size)
			s = le.AppendUint32(s, x.Kind)
			s = le.AppendUint32(s, x.Attributes)
		}
		var offset []byte
		tdxBlob, offset = blob("TDVF", len(o.TDX), s)
		table = append(table, Entry{TDX, offset})
	}
	if o.SEV != nil {
		var s []byte
		for _, x := range o.SEV {
			s = le.AppendUint32(s, x.Address)
			s = le.AppendUint32(s, x.Size)
			s = le.AppendUint32(s, x.Kind)
		}
		var offset []byte
		sevBlob, offset = blob("ASEV", len(o.SEV), s)
		table = append(table, Entry{SEV, offset})
	}
	table = append(table,
		Entry{Hashes, le.AppendUint32(le.AppendUint32(nil, o.Hashes[0]), o.Hashes[1])},
		Entry{Secrets, make([]byte, 8)},
		Entry{Reset, le.AppendUint32(nil, o.ResetIP)})
	if o.Change != nil {
		table = o.Change(table)
	}
	if o.Blob != nil {
		o.Blob(sevBlob, tdxBlob)
	}
	var t []byte
	for _, e := range table {
		t = append(t, e.Data...)
		t = le.AppendUint16(t, uint16(len(e.Data)+18))
		t = append(t, guid(e.GUID)...)
	}
	t = le.AppendUint16(t, uint16(len(t)+18))
	t = append(t, guid(Footer)...)
	copy(b[len(b)-32-len(t):], t)
	return b
}
