// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package nvidia

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
)

// Table is the golden measurements of one driver on one VBIOS: what NVIDIA
// publishes in two signed documents of XML (its RIMs), in a form that a browser
// can read. Package attest/nvidia/rim makes it from those documents; a release
// pins its digest. See spec/evidence-nvidia.md, "Table".
type Table struct {
	Driver  string // as [Report.Driver]
	VBIOS   string // as [Report.VBIOS]
	Entries []Entry
}

// Entry is what the measurement of one index may be.
type Entry struct {
	Index   byte     // 1 to 255, as in a report; NVIDIA's RIMs count from 0
	NVDEC0  bool     // compared only while the GPU's first video decoder is on
	Digests [][]byte // 1 to [maxDigests] of [HashSize] bytes, ascending
}

// MaxTable is the most bytes of a table.
const MaxTable = 64 << 10

const (
	tableMagic = "sotto/1 nvidia table\x00"
	maxDigests = 64
)

// TableDigest returns how policies name a table: "sha256:" and hex.
func TableDigest(table []byte) string {
	h := sha256.Sum256(table)
	return "sha256:" + hex.EncodeToString(h[:])
}

// ParseTable reads a table. There is one encoding of each.
func ParseTable(b []byte) (*Table, error) {
	t, ok := parseTable(b)
	if !ok {
		return nil, errors.New("a table of measurements is not in the agreed form")
	}
	return t, nil
}

func parseTable(b []byte) (*Table, bool) {
	if len(b) > MaxTable {
		return nil, false
	}
	b, ok := bytes.CutPrefix(b, []byte(tableMagic))
	if !ok {
		return nil, false
	}
	t := &Table{}
	for _, s := range []*string{&t.Driver, &t.VBIOS} {
		if len(b) == 0 || len(b) <= int(b[0]) {
			return nil, false
		}
		n := 1 + int(b[0])
		*s, b = string(b[1:n]), b[n:]
	}
	if versionOf(t.Driver, 10) == nil || !isVBIOS(t.VBIOS) {
		return nil, false
	}
	for len(b) > 0 {
		if len(b) < 3+HashSize {
			return nil, false
		}
		e := Entry{Index: b[0], NVDEC0: b[1] == 1}
		n := int(b[2])
		last := byte(0)
		if k := len(t.Entries); k > 0 {
			last = t.Entries[k-1].Index
		}
		if e.Index <= last || b[1] > 1 || n == 0 || n > maxDigests || len(b) < 3+n*HashSize {
			return nil, false
		}
		b = b[3:]
		for i := range n {
			d := b[:HashSize:HashSize]
			if i > 0 && bytes.Compare(e.Digests[i-1], d) >= 0 {
				return nil, false
			}
			e.Digests, b = append(e.Digests, d), b[HashSize:]
		}
		t.Entries = append(t.Entries, e)
	}
	return t, len(t.Entries) > 0
}

// Encode returns the table's bytes, or an error if [ParseTable] wouldn't read them.
func (t *Table) Encode() ([]byte, error) {
	b := []byte(tableMagic)
	for _, s := range []string{t.Driver, t.VBIOS} {
		b = append(append(b, byte(len(s))), s...)
	}
	for _, e := range t.Entries {
		flag := byte(0)
		if e.NVDEC0 {
			flag = 1
		}
		b = append(b, e.Index, flag, byte(len(e.Digests)))
		for _, d := range e.Digests {
			b = append(b, d...)
		}
	}
	_, err := ParseTable(b)
	return b, err
}

// mismatch returns the first index that isn't as the table says, or 0. A
// measurement that the table doesn't name isn't compared: NVIDIA publishes no
// value for it.
func (t *Table) mismatch(r *Report) byte {
entries:
	for _, e := range t.Entries {
		if e.NVDEC0 && !r.nvdec {
			continue
		}
		if int(e.Index) <= len(r.Measurements) {
			for _, d := range e.Digests {
				if bytes.Equal(d, r.Measurements[e.Index-1]) {
					continue entries
				}
			}
		}
		return e.Index
	}
	return 0
}

func isVBIOS(s string) bool {
	var b [5]byte
	for i, n := range versionOf(s, 16) { // at most 5
		b[i] = byte(n)
	}
	return formatVBIOS(b) == s
}
