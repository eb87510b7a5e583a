// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package snp

import (
	"bytes"
	"testing"

	"github.com/sotto-chat/sotto/attest/snp/snpdata"
)

// A report that is read is one whose every byte was looked at: what isn't a field
// is zero, and the version says which fields there are.
func FuzzParseReport(f *testing.F) {
	for _, version := range []byte{2, 3, 5} {
		b := make([]byte, snpdata.ReportSize)
		b[0], b[0x0a], b[0x34] = version, 2, 1
		if version >= 3 {
			b[0x188], b[0x189] = 0x19, 0x11
		}
		f.Add(b)
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseReport(b)
		if err != nil {
			return
		}
		if len(b) != snpdata.ReportSize || !bytes.Equal(r.raw, b) || r.version != 2 && r.version != 3 && r.version != 5 {
			t.Fatalf("%d bytes, version %d", len(b), r.version)
		}
		if !zero(b[0x208:0x2a0]) || !zero(b[0x318:]) || r.policy>>26 != 0 {
			t.Fatal("reserved bytes are not zero")
		}
		if p := r.productOf(nil); p != nil {
			if r.version < 3 {
				t.Fatal("version 2 does not say which chip it is")
			}
			_ = p.words(r.current) + r.name(p)
		}
	})
}
