// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tdxdata_test

import (
	"bytes"
	"slices"
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

// Events by hand, at the limits of what an event can be.
func TestTrimLogForms(t *testing.T) {
	first := make([]byte, 32)
	event := func(count byte, digests ...[]byte) []byte {
		e := append(make([]byte, 8), count, 0, 0, 0)
		return append(slices.Concat(append([][]byte{e}, digests...)...), 0, 0, 0, 0) // of no data
	}
	sha1 := append([]byte{4, 0}, bytes.Repeat([]byte{1}, 20)...)
	// Read as an event, this first one is whole; what it says of itself isn't there.
	longer := slices.Concat(make([]byte, 12), []byte{16, 0, 0, 0}, make([]byte, 12), []byte{255, 255, 255, 255})
	for name, c := range map[string]struct {
		log []byte
		ok  bool
	}{
		"only a first event":    {first, true},
		"longer than it is":     {longer, false},
		"an event without data": {slices.Concat(first, event(1, sha1)), true},
		"16 digests":            {slices.Concat(first, event(16, slices.Repeat([][]byte{sha1}, 16)...)), true},
		"17 digests":            {slices.Concat(first, event(17, slices.Repeat([][]byte{sha1}, 16)...)), false},
		"unknown digest":        {slices.Concat(first, event(1, []byte{9, 9})), false},
	} {
		got, err := tdxdata.TrimLog(c.log)
		if (err == nil) != c.ok || err == nil && !bytes.Equal(got, c.log) {
			t.Errorf("%s: %d of %d bytes, %v", name, len(got), len(c.log), err)
		}
	}
}
