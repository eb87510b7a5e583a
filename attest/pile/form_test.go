// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package pile

import (
	"bytes"
	"testing"
)

// list makes a revocation list whose first three fields are given.
func list(fields ...string) []byte {
	var tbs []byte
	for _, f := range fields {
		tbs = append(tbs, f...)
	}
	inner := append([]byte{0x30, byte(len(tbs))}, tbs...)
	return append([]byte{0x30, byte(len(inner))}, inner...)
}

// Lengths are read as DER writes them, up to what a file can hold.
func TestForms(t *testing.T) {
	const version, none = "\x02\x01\x01", "\x30\x00"
	for name, c := range map[string]struct {
		doc []byte
		ok  bool
	}{
		"empty name":               {list(version, none, none), true},
		"length of one byte":       {list(version, none, "\x30\x81\x00"), true},
		"length of three bytes":    {list(version, none, "\x30\x83\x00\x00\x00"), true},
		"length of four bytes":     {list(version, none, "\x30\x84\x00\x00\x00\x00"), false},
		"length of none":           {list(version, none, "\x30\x80"), false},
		"length cut off":           {list(version, none, "\x30\x82\x00"), false},
		"longer than what is left": {list(version, none, "\x30\x01"), false},
		"only a tag":               {list(version, none, "\x30"), false},
		"another tag":              {list(version, none, "\x31\x00"), false},
		"a field is missing":       {list(version, none), false},
		"no fields":                {list(), false},
	} {
		o, ok := openDER(c.doc)
		if ok != c.ok || ok && (!o.List || !bytes.Equal(o.Raw, c.doc)) {
			t.Errorf("%s: %+v, %t", name, o, ok)
		}
	}
	// Eighty hex is no length of 128.
	body := make([]byte, 128)
	copy(body, list(version, none, none)[2:])
	if _, ok := openDER(append([]byte{0x30, 0x80}, body...)); ok {
		t.Error("a length that isn't said was taken for 128")
	}
}
