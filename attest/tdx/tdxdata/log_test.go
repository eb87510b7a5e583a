// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tdxdata_test

import (
	"bytes"
	"testing"

	"github.com/sotto-chat/sotto/attest/tcg"
	"github.com/sotto-chat/sotto/attest/tdx/tdxdata"
	"github.com/sotto-chat/sotto/attest/tdx/tdxtest"
)

// Whatever the judge's own reader of logs finds the end of, this one does too,
// and at the same place.
func FuzzTrimLog(f *testing.F) {
	log := tdxtest.New([64]byte{}).Log
	f.Add(log)
	f.Add(append(bytes.Clone(log), make([]byte, 100)...))
	f.Add(append(bytes.Clone(log), bytes.Repeat([]byte{0xff}, 100)...))
	f.Add(append(bytes.Clone(log), 0xff, 0))
	f.Add(log[:len(log)-1])
	f.Add(log[:40])
	f.Fuzz(func(t *testing.T, area []byte) {
		got, err := tdxdata.TrimLog(area)
		want, wantErr := tcg.Trim(area)
		if wantErr == nil && (err != nil || !bytes.Equal(got, want)) {
			t.Fatalf("%d bytes, %v; want %d", len(got), err, len(want))
		}
		if err == nil && len(got) > len(area) {
			t.Fatal("longer than it was")
		}
	})
}

func TestTrimLogRefuses(t *testing.T) {
	log := tdxtest.New([64]byte{}).Log
	for n := range len(log) {
		if got, err := tdxdata.TrimLog(log[:n]); err == nil {
			if _, err := tcg.Trim(log[:n]); err != nil {
				t.Errorf("cut after %d of %d bytes: took %d", n, len(log), len(got))
			}
		}
	}
}
