// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package ovmf_test

import (
	"encoding/binary"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sotto-chat/sotto/release/measure/ovmf"
	"github.com/sotto-chat/sotto/release/measure/ovmf/ovmftest"
)

func TestParse(t *testing.T) {
	o := ovmftest.Both()
	b := ovmftest.Image(o)
	m, err := ovmf.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if m.Base != 1<<32-uint64(len(b)) {
		t.Errorf("base %#x", m.Base)
	}
	if want := (&ovmf.SEV{Sections: o.SEV, ResetIP: o.ResetIP, HashTable: o.Hashes[0], HashTableSize: o.Hashes[1]}); !reflect.DeepEqual(m.SEV, want) {
		t.Errorf("SEV %+v, want %+v", m.SEV, want)
	}
	if want := (&ovmf.TDX{Sections: o.TDX}); !reflect.DeepEqual(m.TDX, want) {
		t.Errorf("TDX %+v, want %+v", m.TDX, want)
	}
	if s, ok := m.SEV.Section(ovmf.CPUID); !ok || s.Address != 0x804000 {
		t.Errorf("CPUID: %+v, %v", s, ok)
	}
	if _, ok := m.TDX.Section(ovmf.PermMem); ok {
		t.Error("there is a section that there isn't")
	}

	// Without a table, and without one of the two.
	if m, err := ovmf.Parse(ovmftest.Image(ovmftest.Options{NoTable: true})); err != nil || m.SEV != nil || m.TDX != nil {
		t.Errorf("no table: %+v, %v", m, err)
	}
	if m, err := ovmf.Parse(ovmftest.Image(ovmftest.AmdSev())); err != nil || m.SEV == nil || m.TDX != nil {
		t.Errorf("AMD's alone: %+v, %v", m, err)
	}
	if m, err := ovmf.Parse(ovmftest.Image(ovmftest.TDVF())); err != nil || m.SEV != nil || m.TDX == nil {
		t.Errorf("Intel's alone: %+v, %v", m, err)
	}
	// An image without the two smaller entries says nothing of them.
	o = ovmftest.AmdSev()
	o.Change = func(table []ovmftest.Entry) []ovmftest.Entry {
		return slices.DeleteFunc(table, func(e ovmftest.Entry) bool { return e.GUID == ovmftest.Reset || e.GUID == ovmftest.Hashes })
	}
	if m, err := ovmf.Parse(ovmftest.Image(o)); err != nil || m.SEV.ResetIP != 0 || m.SEV.HashTable != 0 {
		t.Errorf("without entries: %+v, %v", m, err)
	}
}

// TestRefused: each image is wrong in one thing.
func TestRefused(t *testing.T) {
	le := binary.LittleEndian
	table := func(change func(t []ovmftest.Entry) []ovmftest.Entry) ovmftest.Options {
		o := ovmftest.Both()
		o.Change = change
		return o
	}
	entry := func(guid string, change func(e *ovmftest.Entry)) ovmftest.Options {
		return table(func(t []ovmftest.Entry) []ovmftest.Entry {
			for i := range t {
				if t[i].GUID == guid {
					change(&t[i])
				}
			}
			return t
		})
	}
	blob := func(change func(sev, tdx []byte)) ovmftest.Options {
		o := ovmftest.Both()
		o.Blob = change
		return o
	}
	sev := func(change func(s []ovmf.SEVSection) []ovmf.SEVSection) ovmftest.Options {
		o := ovmftest.Both()
		o.SEV = change(o.SEV)
		return o
	}
	tdx := func(change func(s []ovmf.TDXSection) []ovmf.TDXSection) ovmftest.Options {
		o := ovmftest.Both()
		o.TDX = change(o.TDX)
		return o
	}
	for name, v := range map[string]struct {
		o    ovmftest.Options
		want string
	}{
		"an entry twice": {table(func(t []ovmftest.Entry) []ovmftest.Entry { return append(t, t[len(t)-1]) }), "twice"},
		"short offset":   {entry(ovmftest.SEV, func(e *ovmftest.Entry) { e.Data = e.Data[:3] }), "another length"},
		"long offset":    {entry(ovmftest.TDX, func(e *ovmftest.Entry) { e.Data = append(e.Data, 0) }), "another length"},
		"short table":    {entry(ovmftest.Hashes, func(e *ovmftest.Entry) { e.Data = e.Data[:4] }), "another length"},
		"offset beyond":  {entry(ovmftest.SEV, func(e *ovmftest.Entry) { le.PutUint32(e.Data, 1<<30) }), "ASEV metadata is broken"},
		"offset at end":  {entry(ovmftest.TDX, func(e *ovmftest.Entry) { le.PutUint32(e.Data, 8) }), "TDVF metadata is broken"},
		"signature":      {blob(func(s, _ []byte) { s[0] = 'B' }), "ASEV metadata is broken"},
		"version":        {blob(func(s, _ []byte) { s[8] = 2 }), "ASEV metadata is broken"},
		"number":         {blob(func(s, _ []byte) { s[12]-- }), "ASEV metadata is broken"},
		"length":         {blob(func(_, t []byte) { t[4]-- }), "TDVF metadata is broken"},
		"no sections":    {blob(func(_, t []byte) { t[12], t[4] = 0, 16 }), "TDVF metadata is broken"},
		"huge number":    {blob(func(s, _ []byte) { le.PutUint32(s[12:], 0x15555555); le.PutUint32(s[4:], 12) }), "ASEV metadata is broken"},
		"beyond the image": {blob(func(_, t []byte) {
			le.PutUint32(t[12:], 64)
			le.PutUint32(t[4:], 16+64*32)
		}), "TDVF metadata is broken"},
		"too many": {sev(func(s []ovmf.SEVSection) []ovmf.SEVSection {
			for i := range uint32(60) {
				s = append(s, ovmf.SEVSection{Address: 0x900000 + i*0x1000, Size: 0x1000, Kind: ovmf.SecMem})
			}
			return s
		}), "ASEV metadata is broken"},

		"kind for AMD": {sev(func(s []ovmf.SEVSection) []ovmf.SEVSection { s[0].Kind = 5; return s }), "kind of section"},
		"two CPUIDs":   {sev(func(s []ovmf.SEVSection) []ovmf.SEVSection { s[3].Kind = ovmf.CPUID; return s }), "more than one page"},
		"large secrets": {sev(func(s []ovmf.SEVSection) []ovmf.SEVSection {
			s[1].Address, s[1].Size = 0x900000, 0x2000
			return s
		}), "more than one page"},
		"two hash pages": {sev(func(s []ovmf.SEVSection) []ovmf.SEVSection {
			return append(s, ovmf.SEVSection{Address: 0x900000, Size: 0x1000, Kind: ovmf.KernelHashes})
		}), "more than one page"},
		"address within a page": {sev(func(s []ovmf.SEVSection) []ovmf.SEVSection { s[1].Address += 16; return s }), "isn't pages"},
		"half a page":           {sev(func(s []ovmf.SEVSection) []ovmf.SEVSection { s[0].Size -= 16; return s }), "isn't pages"},
		"no size":               {sev(func(s []ovmf.SEVSection) []ovmf.SEVSection { s[0].Size = 0; return s }), "isn't pages"},
		"overlap":               {sev(func(s []ovmf.SEVSection) []ovmf.SEVSection { s[0].Size += 0x2000; return s }), "overlap"},
		"too much":              {sev(func(s []ovmf.SEVSection) []ovmf.SEVSection { s[5].Size = 256<<20 - 0x5000; return s }), "more than 256 MiB"},

		"kind for Intel":        {tdx(func(s []ovmf.TDXSection) []ovmf.TDXSection { s[2].Kind = 7; return s }), "kind of section or an attribute"},
		"attribute":             {tdx(func(s []ovmf.TDXSection) []ovmf.TDXSection { s[2].Attributes = 4; return s }), "kind of section or an attribute"},
		"measured and later":    {tdx(func(s []ovmf.TDXSection) []ovmf.TDXSection { s[0].Attributes = 3; return s }), "kind of section or an attribute"},
		"two lists of memory":   {tdx(func(s []ovmf.TDXSection) []ovmf.TDXSection { s[3].Kind = ovmf.HOB; return s }), "more than one configuration"},
		"two configurations":    {tdx(func(s []ovmf.TDXSection) []ovmf.TDXSection { s[0].Kind = ovmf.ConfigVolume; return s }), "more than one configuration"},
		"contents beyond":       {tdx(func(s []ovmf.TDXSection) []ovmf.TDXSection { s[0].Offset += 0x1000; return s }), "whole pages of the image"},
		"contents far beyond":   {tdx(func(s []ovmf.TDXSection) []ovmf.TDXSection { s[0].Offset = 0xfffff000; return s }), "whole pages of the image"},
		"more than its memory":  {tdx(func(s []ovmf.TDXSection) []ovmf.TDXSection { s[1].Raw += 0x1000; return s }), "whole pages of the image"},
		"half a page of it":     {tdx(func(s []ovmf.TDXSection) []ovmf.TDXSection { s[1].Raw -= 8; return s }), "whole pages of the image"},
		"measured nothing":      {tdx(func(s []ovmf.TDXSection) []ovmf.TDXSection { s[2].Attributes = ovmf.Extend; return s }), "whole pages of the image"},
		"overlap for Intel":     {tdx(func(s []ovmf.TDXSection) []ovmf.TDXSection { s[5].Size += 0x4000; return s }), "overlap"},
		"address above all":     {tdx(func(s []ovmf.TDXSection) []ovmf.TDXSection { s[2].Address = 1 << 53; return s }), "isn't pages"},
		"size that wraps round": {tdx(func(s []ovmf.TDXSection) []ovmf.TDXSection { s[2].Size = -s[2].Address; return s }), "isn't pages"},
	} {
		_, err := ovmf.Parse(ovmftest.Image(v.o))
		if err == nil || !strings.Contains(err.Error(), v.want) {
			t.Errorf("%s: %v, want %q", name, err, v.want)
		}
	}
	// Memory that is added later may be as large as it likes.
	if _, err := ovmf.Parse(ovmftest.Image(tdx(func(s []ovmf.TDXSection) []ovmf.TDXSection {
		return append(s, ovmf.TDXSection{Address: 0, Size: 1 << 40, Kind: ovmf.PermMem, Attributes: ovmf.Augment})
	}))); err != nil {
		t.Error(err)
	}
	// Lengths in the table itself.
	good := ovmftest.Image(ovmftest.Both())
	end := len(good) - 32
	for name, change := range map[string]func(b []byte){
		"table longer than the image": func(b []byte) { le.PutUint16(b[end-18:], 0xffff) },
		"table shorter than its head": func(b []byte) { le.PutUint16(b[end-18:], 17) },
		"table one byte longer":       func(b []byte) { b[end-18]++ },
		"entry shorter than its head": func(b []byte) { le.PutUint16(b[end-36:], 17) },
		"entry longer than the table": func(b []byte) { le.PutUint16(b[end-36:], 0x8000) },
	} {
		b := slices.Clone(good)
		if name == "table longer than the image" {
			b = b[len(b)-4096:]
			end = len(b) - 32
		}
		change(b)
		end = len(good) - 32
		if _, err := ovmf.Parse(b); err == nil || !strings.Contains(err.Error(), "table of GUIDs is broken") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, n := range []int{0, 1, 4095, 4097, ovmf.MaxSize + ovmf.Page} {
		if _, err := ovmf.Parse(make([]byte, n)); err == nil {
			t.Errorf("%d bytes are taken for an image", n)
		}
	}
	if _, err := ovmf.Parse(make([]byte, ovmf.MaxSize)); err != nil {
		t.Error(err)
	}
}

// TestAllowed: what is just allowed.
func TestAllowed(t *testing.T) {
	le := binary.LittleEndian
	for name, o := range map[string]ovmftest.Options{
		"no entry":         {Change: func([]ovmftest.Entry) []ovmftest.Entry { return nil }},
		"an entry of none": {Change: func([]ovmftest.Entry) []ovmftest.Entry { return []ovmftest.Entry{{GUID: ovmftest.Secrets}} }},
		"all of the image": {Size: ovmf.Page, Change: func([]ovmftest.Entry) []ovmftest.Entry {
			return []ovmftest.Entry{{GUID: ovmftest.Secrets, Data: make([]byte, ovmf.Page-32-2*18)}}
		}},
		"256 MiB":                      {TDX: []ovmf.TDXSection{{Size: ovmf.MaxMemory, Kind: ovmf.TempMem}}},
		"the highest address and kind": {TDX: []ovmf.TDXSection{{Address: 1 << 52, Size: ovmf.Page, Kind: ovmf.PayloadParam}}},
	} {
		if _, err := ovmf.Parse(ovmftest.Image(o)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	o := ovmftest.AmdSev()
	for i := range uint32(64 - len(o.SEV)) {
		o.SEV = append(o.SEV, ovmf.SEVSection{Address: 0x900000 + i*0x1000, Size: 0x1000, Kind: ovmf.SecMem})
	}
	if m, err := ovmf.Parse(ovmftest.Image(o)); err != nil || len(m.SEV.Sections) != 64 {
		t.Errorf("64 sections: %v", err)
	}
	// Metadata as the first bytes of the image, and as the last.
	section := slices.Concat([]byte("ASEV"), le.AppendUint32(nil, 28), le.AppendUint32(nil, 1), le.AppendUint32(nil, 1),
		le.AppendUint32(nil, 0x800000), le.AppendUint32(nil, 0x1000), le.AppendUint32(nil, ovmf.SecMem))
	for _, back := range []int{4 * ovmf.Page, len(section)} {
		b := ovmftest.Image(ovmftest.Options{Size: 4 * ovmf.Page, Change: func([]ovmftest.Entry) []ovmftest.Entry {
			return []ovmftest.Entry{{GUID: ovmftest.SEV, Data: le.AppendUint32(nil, uint32(back))}}
		}})
		copy(b[len(b)-back:], section)
		if m, err := ovmf.Parse(b); err != nil || len(m.SEV.Sections) != 1 {
			t.Errorf("metadata %d bytes before the end: %v", back, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, o := range []ovmftest.Options{ovmftest.Both(), ovmftest.AmdSev(), ovmftest.TDVF(), {NoTable: true}} {
		f.Add(ovmftest.Image(o)[15*ovmf.Page:])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ovmf.Parse(b)
		if err != nil {
			return
		}
		sum := uint64(0)
		if m.SEV != nil {
			for _, s := range m.SEV.Sections {
				sum += uint64(s.Size)
			}
		}
		if m.TDX != nil {
			for _, s := range m.TDX.Sections {
				if s.Attributes&ovmf.Augment == 0 {
					sum += s.Size
				}
				_ = b[s.Offset:][:s.Raw]
			}
		}
		if sum > 2*ovmf.MaxMemory {
			t.Fatalf("it asks for %d bytes", sum)
		}
	})
}
