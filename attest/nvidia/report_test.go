// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package nvidia_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/sotto-chat/sotto/attest/nvidia"
	"github.com/sotto-chat/sotto/attest/nvidia/nvidiatest"
)

// Offsets in a report of 64 measurements.
const (
	response = 37
	record   = response + 8
	blockLen = 55
	answer   = record + 64*blockLen
	opaque   = answer + 32 + 2
)

func TestParseReport(t *testing.T) {
	good := hopper.Report()
	r, err := nvidia.ParseReport(good)
	if err != nil {
		t.Fatal(err)
	}
	if r.Driver != "570.124.06" || r.VBIOS != "96.00.9F.00.04" || r.Mode != "spt" || !bytes.Equal(r.FWID, hopper.FWID) ||
		!bytes.Equal(r.Nonce, hopper.Nonce[:]) || !bytes.Equal(r.Answer, good[answer:answer+32]) || len(r.Fields) != 8 ||
		r.Field(nvidia.FieldProject) == nil || r.Field(1) != nil {
		t.Errorf("report %+v", r)
	}
	for i, m := range hopper.Measurements {
		if !bytes.Equal(r.Measurements[i], m) {
			t.Errorf("measurement %d", i+1)
		}
	}
	for n := range good {
		if _, err := nvidia.ParseReport(good[:n]); err == nil {
			t.Errorf("%d bytes read", n)
		}
	}

	for n, want := range map[int]string{response + 7: "the report is cut off", record: "measurements are cut off", opaque - 1: "measurements are cut off", opaque: "doesn't end"} {
		if _, err := nvidia.ParseReport(good[:n]); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d bytes: %v, want %q", n, err, want)
		}
	}

	at := func(i int, v byte) func([]byte) []byte {
		return func(b []byte) []byte { b[i] = v; return b }
	}
	for _, tt := range []struct {
		name string
		edit func([]byte) []byte
		want string // in the error; "" reads
	}{
		{"nothing", func(b []byte) []byte { return b }, ""},
		{"one byte more", func(b []byte) []byte { return append(b, 0) }, "doesn't end"},
		{"version asked", at(0, 0x12), "question"},
		{"question", at(1, 0xe1), "question"},
		{"unsigned question", at(2, 0), "question"},
		{"one measurement asked", at(3, 1), "question"},
		{"slot asked", at(36, 1), "question"},
		{"version answered", at(response, 0x12), "answer"},
		{"error answered", at(response+1, 0x7f), "answer"},
		{"parameter", at(response+2, 1), "answer"},
		{"slot answered", at(response+3, 1), "answer"},
		{"no measurement", func(b []byte) []byte {
			return bytes.Join([][]byte{b[:response+4], {0, 0, 0, 0}, b[answer:]}, nil)
		}, "as many"},
		{"one more announced", at(response+4, 65), "as many"},
		{"longer record", at(response+5, 0xc1), "as many"},
		{"much longer record", at(response+6, 0x0e), "as many"},
		{"huge record", at(response+7, 1), "as many"},
		{"index from 0", at(record, 0), "measurement 1 "},
		{"index twice", at(record+blockLen, 1), "measurement 2 "},
		{"last index", at(record+63*blockLen, 65), "measurement 64 "},
		{"specification", at(record+1, 2), "measurement 1 "},
		{"block's size", at(record+2, 50), "measurement 1 "},
		{"block's size, high", at(record+3, 1), "measurement 1 "},
		{"raw value", at(record+4, 0x81), "measurement 1 "},
		{"configuration", at(record+4, 3), ""},
		{"value's size", at(record+5, 47), "measurement 1 "},
		{"value's size, high", at(record+6, 1), "measurement 1 "},
		{"longer opaque data", at(opaque-1, 2), "doesn't end"},
		{"shorter opaque data", at(opaque-2, 0), "doesn't end"},
		{"fields with a version", func(b []byte) []byte { return append(b[:opaque:opaque], append([]byte("NVDAOD"), b[opaque+6:]...)...) }, "newer form"},
		{"almost such", func(b []byte) []byte { return append(b[:opaque:opaque], append([]byte("NVDAOE"), b[opaque+6:]...)...) }, "cut off"},
		{"field longer than all", at(opaque+3, 0xff), "cut off"},
		{"field twice", at(opaque+12, nvidia.FieldVBIOS), "twice"},
	} {
		g := again(hopper)
		b := tt.edit(bytes.Clone(g.Report()))
		_, err := nvidia.ParseReport(b)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}

	// Two measurements at least fill the largest report; more than it holds is refused.
	g := again(hopper)
	for len(g.Measurements) < 138 {
		g.Measurements = append(g.Measurements, make([]byte, 48))
	}
	b := g.Report()
	if len(b) > nvidia.MaxReport {
		t.Fatalf("%d bytes", len(b))
	}
	g.Set(200, make([]byte, nvidia.MaxReport-len(b)-4))
	if b = g.Report(); len(b) != nvidia.MaxReport {
		t.Fatalf("%d bytes", len(b))
	}
	if _, err := nvidia.ParseReport(b); err != nil {
		t.Errorf("largest: %v", err)
	}
	g.Set(201, nil)
	g.Set(200, make([]byte, len(g.Fields[len(g.Fields)-1].Value)+1))
	if _, err := nvidia.ParseReport(g.Report()); err == nil {
		t.Error("too long a report was read")
	}
}

func TestFields(t *testing.T) {
	for _, tt := range []struct {
		name  string
		typ   uint16
		value []byte // nil removes
		want  string // in the error; "" reads
	}{
		{"no driver", nvidia.FieldDriver, nil, "driver"},
		{"empty driver", nvidia.FieldDriver, []byte{0}, "driver"},
		{"driver of two numbers", nvidia.FieldDriver, []byte("545.00\x00\x00"), ""},
		{"driver without end", nvidia.FieldDriver, []byte("545.00"), ""},
		{"driver of one number", nvidia.FieldDriver, []byte("545"), "driver"},
		{"driver of words", nvidia.FieldDriver, []byte("r545.00"), "driver"},
		{"driver with a zero inside", nvidia.FieldDriver, []byte("545\x00.00"), "driver"},
		{"driver with a space", nvidia.FieldDriver, []byte("545.00 "), "driver"},
		{"driver of 32 letters", nvidia.FieldDriver, []byte("1." + strings.Repeat("0", 30)), ""},
		{"driver of 33 letters", nvidia.FieldDriver, []byte("1." + strings.Repeat("0", 31)), "driver"},
		{"driver with a sign", nvidia.FieldDriver, []byte("545.+1"), "driver"},
		{"driver of large numbers", nvidia.FieldDriver, []byte("545.65536"), "driver"},
		{"no VBIOS", nvidia.FieldVBIOS, nil, "VBIOS"},
		{"short VBIOS", nvidia.FieldVBIOS, make([]byte, 7), "VBIOS"},
		{"long VBIOS", nvidia.FieldVBIOS, make([]byte, 9), "VBIOS"},
		{"VBIOS of six numbers", nvidia.FieldVBIOS, []byte{0, 0, 0, 0, 0, 1, 0, 0}, "VBIOS"},
		{"VBIOS of seven", nvidia.FieldVBIOS, []byte{0, 0, 0, 0, 0, 0, 1, 0}, "VBIOS"},
		{"VBIOS of eight", nvidia.FieldVBIOS, []byte{0, 0, 0, 0, 0, 0, 0, 1}, "VBIOS"},
		{"short firmware id", nvidia.FieldFWID, make([]byte, 47), "firmware id"},
		{"empty firmware id", nvidia.FieldFWID, []byte{}, "firmware id"},
		{"short mode", nvidia.FieldFeatureFlag, []byte{1}, "mode"},
		{"long mode", nvidia.FieldFeatureFlag, []byte{1, 0, 0}, "mode"},
		{"unknown field", 0xffff, []byte{}, ""},
	} {
		g := again(hopper)
		g.Set(tt.typ, tt.value)
		_, err := nvidia.ParseReport(g.Report())
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	// A field's own head may be cut off.
	for n := 1; n < 4; n++ {
		g := again(hopper)
		g.EditReport = func(b []byte) []byte {
			b[opaque-2] += byte(n)
			return append(b, make([]byte, n)...)
		}
		if _, err := nvidia.ParseReport(g.Report()); err == nil || !strings.Contains(err.Error(), "cut off") {
			t.Errorf("%d bytes of a field: %v", n, err)
		}
	}
}

func TestParseTable(t *testing.T) {
	d := func(b byte) []byte { return bytes.Repeat([]byte{b}, 48) }
	many := func(n int) (out [][]byte) {
		for i := range n {
			out = append(out, d(byte(i)))
		}
		return out
	}
	make := func(change func(*nvidia.Table)) *nvidia.Table {
		t := &nvidia.Table{Driver: "570.124.06", VBIOS: "96.00.9F.00.04", Entries: []nvidia.Entry{
			{Index: 1, Digests: [][]byte{d(0)}}, {Index: 36, NVDEC0: true, Digests: [][]byte{d(1), d(2)}}, {Index: 255, Digests: [][]byte{d(3)}}}}
		if change != nil {
			change(t)
		}
		return t
	}
	good := encode(t, make(nil))
	if nvidia.TableDigest(nil) != "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" {
		t.Error("the digest is another")
	}
	for n := range good {
		if _, err := nvidia.ParseTable(good[:n]); err == nil {
			// A table may be cut between two entries only, and is another one then.
			if n != len(good)-51 && n != len(good)-51-99 {
				t.Errorf("%d of %d bytes read", n, len(good))
			}
		}
	}
	for _, tt := range []struct {
		name   string
		change func(*nvidia.Table)
		ok     bool
	}{
		{"nothing", nil, true},
		{"most values", func(t *nvidia.Table) { t.Entries[0].Digests = many(64) }, true},
		{"too many values", func(t *nvidia.Table) { t.Entries[0].Digests = many(65) }, false},
		{"no value", func(t *nvidia.Table) { t.Entries[0].Digests = nil }, false},
		{"value twice", func(t *nvidia.Table) { t.Entries[1].Digests[1] = d(1) }, false},
		{"values descending", func(t *nvidia.Table) { t.Entries[1].Digests[1] = d(0) }, false},
		{"index 0", func(t *nvidia.Table) { t.Entries[0].Index = 0 }, false},
		{"index twice", func(t *nvidia.Table) { t.Entries[1].Index = 1 }, false},
		{"index descending", func(t *nvidia.Table) { t.Entries[0].Index = 37 }, false},
		{"nothing in it", func(t *nvidia.Table) { t.Entries = nil }, false},
		{"no driver", func(t *nvidia.Table) { t.Driver = "" }, false},
		{"driver of one number", func(t *nvidia.Table) { t.Driver = "570" }, false},
		{"driver of 255 letters", func(t *nvidia.Table) { t.Driver = "1." + strings.Repeat("0", 253) }, true},
		{"driver of 256 letters", func(t *nvidia.Table) { t.Driver = "1." + strings.Repeat("0", 254) }, false},
		{"VBIOS in small letters", func(t *nvidia.Table) { t.VBIOS = "96.00.9f.00.04" }, false},
		{"VBIOS of four numbers", func(t *nvidia.Table) { t.VBIOS = "96.00.9F.00" }, false},
		{"too long", func(t *nvidia.Table) {
			for i := range t.Entries {
				t.Entries[i].Digests = many(64)
			}
			for i := range 19 {
				t.Entries = append(t.Entries[:len(t.Entries)-1], nvidia.Entry{Index: byte(100 + i), Digests: many(64)}, nvidia.Entry{Index: 255, Digests: many(64)})
			}
		}, false},
	} {
		table := make(tt.change)
		b, err := table.Encode()
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
		if err != nil {
			continue
		}
		again, err := nvidia.ParseTable(b)
		if err != nil {
			t.Fatal(err)
		}
		if b2, err := again.Encode(); err != nil || !bytes.Equal(b, b2) {
			t.Errorf("%s: encodes as another, %v", tt.name, err)
		}
	}
	for name, edit := range map[string]func([]byte){
		"magic": func(b []byte) { b[3] ^= 1 },
		"flag":  func(b []byte) { b[bytes.IndexByte(b, 36)+1] = 2 },
	} {
		b := bytes.Clone(good)
		edit(b)
		if _, err := nvidia.ParseTable(b); err == nil {
			t.Errorf("%s: read", name)
		}
	}
	if _, err := nvidia.ParseTable(good[len("sotto/1 nvidia table\x00"):]); err == nil {
		t.Error("a table without its magic was read")
	}
	largest := make(func(t *nvidia.Table) {
		t.Driver, t.Entries = "1."+strings.Repeat("0", 199), nil
		for i := range 21 {
			t.Entries = append(t.Entries, nvidia.Entry{Index: byte(i + 1), Digests: many(64)})
		}
		t.Entries = append(t.Entries, nvidia.Entry{Index: 22, Digests: many(15)})
	})
	if b, err := largest.Encode(); err != nil || len(b) != nvidia.MaxTable {
		t.Errorf("largest: %d bytes, %v", len(b), err)
	}
	largest.Driver += "0"
	if _, err := largest.Encode(); err == nil {
		t.Error("one byte more was written")
	}
	long := append(bytes.Clone(good), bytes.Repeat([]byte{0}, nvidia.MaxTable)...)
	if _, err := nvidia.ParseTable(long); err == nil {
		t.Error("too long a table was read")
	}
}

func FuzzParseReport(f *testing.F) {
	f.Add(hopper.Report())
	f.Add(nvidiatest.Default().GPU("GB100").Report())
	f.Add([]byte("\x11\xe0\x01\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := nvidia.ParseReport(b)
		if err == nil && (len(r.Nonce) != nvidia.NonceSize || len(r.Answer) != nvidia.NonceSize || r.Driver == "" || len(r.VBIOS) != 14 || len(r.Measurements) == 0) {
			t.Fatalf("read as %+v", r)
		}
	})
}

func FuzzParseTable(f *testing.F) {
	f.Add(encode(f, nvidiatest.Table(hopper)))
	f.Fuzz(func(t *testing.T, b []byte) {
		table, err := nvidia.ParseTable(b)
		if err != nil {
			return
		}
		if again, err := table.Encode(); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x is written as %x (%v)", b, again, err)
		}
	})
}
