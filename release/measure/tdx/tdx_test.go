// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tdx

import (
	"bytes"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sotto-chat/sotto/release/measure/boot"
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

// second is MRTD a second time: all records of the operations, one after another,
// hashed at the end (Intel TDX Module ABI, TDH.MEM.PAGE.ADD and TDH.MR.EXTEND).
func second(fw *ovmf.Image, order string) [48]byte {
	le := func(v uint64) (b []byte) {
		for range 8 {
			b, v = append(b, byte(v)), v>>8
		}
		return b
	}
	block := func(name string, gpa uint64) []byte {
		b := append([]byte(name), make([]byte, 16-len(name))...)
		b = append(b, le(gpa)...)
		return append(b, make([]byte, 104)...)
	}
	var all []byte
	for _, s := range fw.TDX.Sections {
		if s.Attributes == 2 {
			continue
		}
		memory := make([]byte, s.Size)
		copy(memory, fw.Bytes[s.Offset:s.Offset+s.Raw])
		var adds, extends [][]byte
		for p := uint64(0); p < s.Size; p += 4096 {
			adds = append(adds, block("MEM.PAGE.ADD", s.Address+p))
			var e []byte
			for c := p; c < p+4096 && s.Attributes == 1; c += 256 {
				e = append(append(e, block("MR.EXTEND", s.Address+c)...), memory[c:c+256]...)
			}
			extends = append(extends, e)
		}
		for i := range adds {
			all = append(all, adds[i]...)
			if order == ByPage {
				all = append(all, extends[i]...)
			}
		}
		if order == BySection {
			all = append(all, bytes.Join(extends, nil)...)
		}
	}
	return sha512.Sum384(all)
}

func TestMRTD(t *testing.T) {
	seen := map[[48]byte]string{}
	for name, change := range map[string]func(o *ovmftest.Options){
		"as it is":       func(o *ovmftest.Options) {},
		"no extension":   func(o *ovmftest.Options) { o.TDX[0].Attributes = 0 },
		"CFV extended":   func(o *ovmftest.Options) { o.TDX[1].Attributes = 1 },
		"zeros after it": func(o *ovmftest.Options) { o.TDX[1].Raw, o.TDX[1].Attributes = 0x1000, 1 },
		"another place":  func(o *ovmftest.Options) { o.TDX[2].Address += 0x100000 },
		"another size":   func(o *ovmftest.Options) { o.TDX[2].Size += 0x1000 },
		"another order":  func(o *ovmftest.Options) { o.TDX[2], o.TDX[3] = o.TDX[3], o.TDX[2] },
		"added later": func(o *ovmftest.Options) {
			o.TDX = append(o.TDX, ovmf.TDXSection{Size: 0x800000, Kind: ovmf.PermMem, Attributes: ovmf.Augment})
			o.TDX[2].Size += 0x2000
		},
		"another kind": func(o *ovmftest.Options) { o.TDX[2].Kind = ovmf.Payload },
	} {
		o := ovmftest.TDVF()
		change(&o)
		fw := image(t, o)
		for _, order := range []string{ByPage, BySection} {
			got, err := MRTD(fw, order)
			if want := second(fw, order); err != nil || got != want {
				t.Errorf("%s, by %s: %x, %v; the second time %x", name, order, got, err, want)
			}
			if other := seen[got]; other != "" && !(name == "no extension" && other == name) {
				t.Errorf("%s and %s are the same", name, other)
			}
			seen[got] = name
		}
	}

	// Each byte that is measured counts, and no other: the rest of the image is the
	// configuration volume, which RTMR 0 has.
	fw := image(t, ovmftest.TDVF())
	base, err := MRTD(fw, ByPage)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(fw.Bytes); i += 509 {
		changed := *fw
		changed.Bytes = slices.Clone(fw.Bytes)
		changed.Bytes[i] ^= 1 << (i % 8)
		d, err := MRTD(&changed, ByPage)
		if measured := i >= 0x4000; err != nil || (d != base) != measured {
			t.Errorf("byte %#x: changed: %v, %v", i, d != base, err)
		}
		a, err := Configuration(fw)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := Configuration(&changed); err != nil || (a != b) != (i < 0x4000) {
			t.Errorf("byte %#x in the configuration volume: %v", i, err)
		}
	}
}

// TestHOB: the first is from the log of a real machine with 8 GiB (go-eventlog's
// testdata/eventlogs/ccel/CCEL_unpadded.data.bin).
func TestHOB(t *testing.T) {
	fw := image(t, ovmftest.TDVF())
	e, err := HOB(fw, Memory{Size: 8 << 30})
	if got := hex.EncodeToString(e.SHA384[:]); err != nil || got != "2e070cda358b5aa00f27cca25c47381bb564f4be3a84d059805a73cbbde764ed8341f7e09915b5e7b370f9c08a743fbd" {
		t.Errorf("8 GiB: %s, %v", got, err)
	}
	// By hand, 1 GiB: free, page tables, free, list, mailbox, free, stack, free.
	type area struct{ kind, at, size uint64 }
	list := func(base uint64, areas ...area) []byte {
		le := func(v uint64, n int) (b []byte) {
			for range n {
				b, v = append(b, byte(v)), v>>8
			}
			return b
		}
		b := slices.Concat(le(1, 2), le(56, 2), le(0, 4), le(9, 4), make([]byte, 36), le(base+56+48*uint64(len(areas))+8, 8))
		for _, a := range areas {
			b = slices.Concat(b, le(3, 2), le(48, 2), make([]byte, 20), le(a.kind, 4), le(7, 4), le(a.at, 8), le(a.size, 8))
		}
		return b
	}
	low := []area{{7, 0, 0x800000}, {0, 0x800000, 0x6000}, {7, 0x806000, 0x3000}, {0, 0x809000, 0x2000}, {0, 0x80b000, 0x2000}, {7, 0x80d000, 0x3000}, {0, 0x810000, 0x10000}}
	for _, v := range []struct {
		m    Memory
		rest []area
	}{
		{Memory{Size: 1 << 30}, []area{{7, 0x820000, 1<<30 - 0x820000}}},
		{Memory{Size: 0xb0000000 - 0x1000}, []area{{7, 0x820000, 0xb0000000 - 0x821000}}},
		{Memory{Size: 0xb0000000}, []area{{7, 0x820000, 0x80000000 - 0x820000}, {7, 1 << 32, 0x30000000}}},
		{Memory{Size: 8 << 30}, []area{{7, 0x820000, 0x80000000 - 0x820000}, {7, 1 << 32, 6 << 30}}},
		{Memory{Size: 8 << 30, Low: 0xc0000000}, []area{{7, 0x820000, 0xc0000000 - 0x820000}, {7, 1 << 32, 5 << 30}}},
		{Memory{Size: 0x820000, Low: 0x820000}, nil},
		{Memory{Size: 4 << 30, Low: 4 << 30}, []area{{7, 0x820000, 1<<32 - 0x820000}}},
	} {
		e, err := HOB(fw, v.m)
		if want := boot.Data(e.What, list(0x809000, append(slices.Clone(low), v.rest...)...)); err != nil || e != want {
			t.Errorf("%+v: %x, %v; by hand %x", v.m, e.SHA384, err, want.SHA384)
		}
	}
	if _, err := HOB(fw, Memory{Size: 1 << 46}); err != nil {
		t.Error(err)
	}
	o := ovmftest.TDVF()
	o.TDX[5].Address = 0
	if _, err := HOB(image(t, o), Memory{Size: 1 << 30}); err != nil {
		t.Error(err)
	}
	for want, v := range map[string]struct {
		m      Memory
		change func(o *ovmftest.Options)
	}{
		"isn't whole pages, or more than 64": {Memory{}, nil},
		"memory isn't whole pages":           {Memory{Size: 1<<30 + 1}, nil},
		"or more than 64 TiB":                {Memory{Size: 1<<46 + 1<<12}, nil},
		"below 4 GiB isn't":                  {Memory{Size: 1 << 30, Low: 2 << 30}, nil},
		"below 4 GiB isn't whole":            {Memory{Size: 1 << 30, Low: 1<<30 - 1}, nil},
		"more than there is":                 {Memory{Size: 8 << 30, Low: 5 << 30}, nil},
		"machine doesn't have":               {Memory{Size: 0x81f000}, nil},
		"wants memory that":                  {Memory{Size: 8 << 30}, func(o *ovmftest.Options) { o.TDX[2].Address = 3 << 30 }},
		"memory that the machine doesn't":    {Memory{Size: 1 << 30}, func(o *ovmftest.Options) { o.TDX[2].Address = 2 << 30 }},
		"says nowhere":                       {Memory{Size: 1 << 30}, func(o *ovmftest.Options) { o.TDX[4].Kind = ovmf.TempMem }},
		"no metadata for TDX":                {Memory{Size: 1 << 30}, func(o *ovmftest.Options) { *o = ovmftest.AmdSev() }},
	} {
		o := ovmftest.TDVF()
		if v.change != nil {
			v.change(&o)
		}
		if _, err := HOB(image(t, o), v.m); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}

func TestRefused(t *testing.T) {
	if _, err := MRTD(image(t, ovmftest.AmdSev()), ByPage); err == nil || !strings.Contains(err.Error(), "no metadata for TDX") {
		t.Error(err)
	}
	if _, err := MRTD(image(t, ovmftest.TDVF()), ""); err == nil || !strings.Contains(err.Error(), "order of pages") {
		t.Error(err)
	}
	o := ovmftest.TDVF()
	o.TDX[1].Kind = ovmf.Payload
	for _, fw := range []*ovmf.Image{image(t, o), image(t, ovmftest.AmdSev())} {
		if _, err := Configuration(fw); err == nil || !strings.Contains(err.Error(), "no configuration volume") {
			t.Error(err)
		}
		if _, err := RTMR0(fw, Start{Memory: Memory{Size: 1 << 30}}); err == nil {
			t.Error("RTMR 0 without what it needs")
		}
	}
	if _, err := RTMR0(image(t, ovmftest.TDVF()), Start{}); err == nil {
		t.Error("RTMR 0 of a machine without memory")
	}
	o = ovmftest.TDVF()
	o.TDX[1].Raw = 0
	if _, err := Configuration(image(t, o)); err == nil {
		t.Error("an empty configuration volume is one")
	}
}

// TestRTMR0: the events, in their order.
func TestRTMR0(t *testing.T) {
	fw := image(t, ovmftest.TDVF())
	s := Start{Memory: Memory{Size: 1 << 30}, Variables: NoKeys(false)}
	for i := range s.ACPI {
		s.ACPI[i] = boot.Data(fmt.Sprint("ACPI ", i), []byte{byte(i)})
	}
	what := func() (out []string) {
		events, err := RTMR0(fw, s)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			out = append(out, e.What)
		}
		return out
	}
	want := []string{"memory as the host describes it", "configuration volume", "variable SecureBoot", "variable PK", "variable KEK", "variable db", "variable dbx",
		"separator", "ACPI 0", "ACPI 1", "ACPI 2", "BootOrder", "Boot0000"}
	if got := what(); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	s.BootOptions = []boot.Event{boot.Data("another", nil)}
	if got := what(); !slices.Equal(got, append(want[:11:11], "another")) {
		t.Errorf("%q", got)
	}
	if a, b := NoKeys(true), NoKeys(false); a[0] == b[0] || !slices.Equal(a[1:], b[1:]) {
		t.Error("whether firmware knows Secure Boot isn't in SecureBoot alone")
	}
	// As it stands in logs of real machines.
	if got := hex.EncodeToString(uiApp()); got != "090100002c0055006900410070007000000004071400c9bdb87cebf8344faaea3ee4af6516a10406140021aa2c4614760345836e8ab6f46623317fff0400" {
		t.Errorf("Boot0000 is %s", got)
	}
}

func FuzzMRTD(f *testing.F) {
	f.Add(ovmftest.Image(ovmftest.TDVF())[15*ovmf.Page:], uint64(1<<30), uint64(0))
	o := ovmftest.TDVF()
	o.Size, o.TDX = 2*ovmf.Page, []ovmf.TDXSection{{Raw: 0x2000, Address: 1<<32 - 0x2000, Size: 0x3000, Attributes: ovmf.Extend}, {Address: 0x809000, Size: 0x1000, Kind: ovmf.HOB}}
	f.Add(ovmftest.Image(o), uint64(8<<30), uint64(0x80000000))
	f.Fuzz(func(t *testing.T, b []byte, size, low uint64) {
		fw, err := ovmf.Parse(b)
		if err != nil {
			return
		}
		d, err := MRTD(fw, BySection)
		if (err != nil) != (d == [48]byte{}) {
			t.Fatalf("%x, %v", d, err)
		}
		HOB(fw, Memory{size, low})
		Configuration(fw)
	})
}
