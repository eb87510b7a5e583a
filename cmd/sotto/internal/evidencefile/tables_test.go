// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package evidencefile

import (
	"testing"
	"time"

	"github.com/sotto-chat/sotto/attest/nvidia"
	"github.com/sotto-chat/sotto/attest/nvidia/nvidiatest"
	"github.com/sotto-chat/sotto/attest/snp/snptest"
)

// Of NVIDIA's lists it takes a driver's and a VBIOS's, in any order.
func TestTables(t *testing.T) {
	v, now := nvidiatest.Default(), time.Unix(snptest.Now, 0)
	entry := func(i int) nvidiatest.RIMEntry {
		return nvidiatest.RIMEntry{Index: i, Active: true, Digests: [][]byte{make([]byte, 48)}}
	}
	driver, vbios := v.RIM("570.124.06", entry(1)).Document(), v.RIM("96.00.9F.00.04", entry(0)).Document()
	for _, docs := range [][][]byte{{driver, vbios}, {vbios, driver}} {
		tables, err := Tables(docs, now, v.RIMRoots())
		if err != nil || len(tables) != 1 {
			t.Fatalf("%d tables, %v", len(tables), err)
		}
		if table, err := nvidia.ParseTable(tables[0]); err != nil || table.Driver != "570.124.06" || table.VBIOS != "96.00.9F.00.04" {
			t.Errorf("%+v, %v", table, err)
		}
	}
	for name, docs := range map[string][][]byte{"one": {driver}, "two drivers": {driver, driver}, "an error page": {[]byte("<?xml"), vbios}, "both with the same": {v.RIM("570.124.06", entry(0)).Document(), vbios}} {
		if tables, err := Tables(docs, now, v.RIMRoots()); err == nil {
			t.Errorf("%s: %d tables", name, len(tables))
		}
	}
	if _, err := Tables([][]byte{driver, vbios}, now, nil); err == nil {
		t.Error("a stranger's lists made a table")
	}
}
