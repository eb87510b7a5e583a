// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package nvidia_test

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"testing"

	"github.com/sotto-chat/sotto/attest/nvidia/nvidiatest"
)

// The extension that names the firmware is in the form of its generation, or it
// names none.
func TestFirmwareID(t *testing.T) {
	var (
		id      = append([]byte{0x30, 0x3d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2, 4, 48}, hopper.FWID...)
		other   = append([]byte{0x30, 0x3d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2, 4, 48}, make([]byte, 48)...)
		version = []byte{2, 1, 1}
		key     = []byte{0x30, 0}
	)
	tlv := func(tag byte, parts ...[]byte) []byte {
		b := bytes.Join(parts, nil)
		switch {
		case len(b) < 0x80:
			return append([]byte{tag, byte(len(b))}, b...)
		default:
			return append([]byte{tag, 0x81, byte(len(b))}, b...)
		}
	}
	swap := func(b []byte, at int, v byte) []byte {
		b = bytes.Clone(b)
		b[at] = v
		return b
	}
	short := append([]byte{0x30, 0x3c, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2, 4, 47}, hopper.FWID[:47]...)
	long := tlv(0x30, id[2:], []byte{5, 0})
	maker := tlv(0x80, []byte("NVIDIA"))
	for _, tt := range []struct {
		name  string
		arch  string
		value []byte
		want  string // the failure
	}{
		{"Hopper", "GH100", tlv(0x30, version, key, id), ""},
		{"no sequence", "GH100", tlv(0x31, version, key, id), "evidence_malformed"},
		{"bytes after it", "GH100", append(tlv(0x30, version, key, id), 5, 0), "evidence_malformed"},
		{"no version", "GH100", tlv(0x30, key, id), "evidence_malformed"},
		{"version 0", "GH100", tlv(0x30, swap(version, 2, 0), key, id), "evidence_malformed"},
		{"version 2", "GH100", tlv(0x30, swap(version, 2, 2), key, id), "evidence_malformed"},
		{"no key", "GH100", tlv(0x30, version, id), "evidence_malformed"},
		{"more in it", "GH100", tlv(0x30, version, key, id, []byte{5, 0}), "evidence_malformed"},
		{"no id", "GH100", tlv(0x30, version, key), "evidence_malformed"},
		{"other hash", "GH100", tlv(0x30, version, key, swap(id, 12, 1)), "evidence_malformed"},
		{"no bytes", "GH100", tlv(0x30, version, key, swap(id, 13, 3)), "evidence_malformed"},
		{"short hash", "GH100", tlv(0x30, version, key, short), "evidence_malformed"},
		{"more in the id", "GH100", tlv(0x30, version, key, long), "evidence_malformed"},
		{"id is no sequence", "GH100", tlv(0x30, version, key, swap(id, 0, 0x31)), "evidence_malformed"},
		{"Blackwell's form", "GH100", tlv(0x30, maker, tlv(0xa6, id)), "evidence_malformed"},
		{"another firmware", "GH100", tlv(0x30, version, key, other), "software_mismatch"},

		{"Blackwell", "GB100", tlv(0x30, maker, tlv(0xa6, id, other), tlv(0x87, []byte{7, 0x80})), ""},
		{"alone", "GB100", tlv(0x30, tlv(0xa6, id)), ""},
		{"no list", "GB100", tlv(0x30, maker), "evidence_malformed"},
		{"empty", "GB100", tlv(0x30), "evidence_malformed"},
		{"empty list", "GB100", tlv(0x30, tlv(0xa6)), "evidence_malformed"},
		{"second of the list", "GB100", tlv(0x30, tlv(0xa6, other, id)), "software_mismatch"},
		{"list of another number", "GB100", tlv(0x30, tlv(0xa5, id)), "evidence_malformed"},
		{"lists twice", "GB100", tlv(0x30, tlv(0xa6, id), tlv(0xa6, id)), "evidence_malformed"},
		{"out of order", "GB100", tlv(0x30, tlv(0xa6, id), maker), "evidence_malformed"},
		{"cut", "GB100", tlv(0x30, tlv(0xa6, id), []byte{0x87}), "evidence_malformed"},
		{"no sequence of Blackwell", "GB100", tlv(0x31, tlv(0xa6, id)), "evidence_malformed"},
		{"bytes after Blackwell's", "GB100", append(tlv(0x30, tlv(0xa6, id)), 5, 0), "evidence_malformed"},
		{"Hopper's form", "GB100", tlv(0x30, version, key, id), "evidence_malformed"},
	} {
		g := again(hopper)
		if tt.arch == "GB100" {
			g = again(blackwell)
		}
		g.EditCert = func(place int, c *x509.Certificate) {
			if place == nvidiatest.Leaf {
				c.ExtraExtensions = []pkix.Extension{{Id: c.ExtraExtensions[0].Id, Value: tt.value}}
			}
		}
		got := found(verify(t, nvidiatest.Evidence(nil, nil, g), ""))
		want := []string{noCRLs, noTable}
		if tt.want != "" {
			want = slices.Insert(want, 0, "chip.fwid fail "+tt.want)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
	// Under a number that isn't NVIDIA's it means nothing.
	g := again(hopper)
	g.EditCert = func(place int, c *x509.Certificate) {
		if place == nvidiatest.Leaf {
			c.ExtraExtensions[0].Id = asn1.ObjectIdentifier{2, 23, 133, 5, 4, 2}
		}
	}
	if got := found(verify(t, nvidiatest.Evidence(nil, nil, g), "")); !slices.Contains(got, "chip.fwid fail evidence_malformed") {
		t.Errorf("another number: %q", got)
	}
}

var blackwell = gpu("GB100")
