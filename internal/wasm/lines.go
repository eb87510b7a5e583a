// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package wasm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Go keeps, for each function, tables that tell the source file and line of every
// instruction. They are a twentieth of what travels, are looked at only when a
// trace of a panic is written, and no flag of the compiler leaves them out. So
// they are blanked afterwards: a trace then has names of functions and no lines.
// What else the runtime reads there (stack sizes, pointer maps) stays.
//
// The layout is that of runtime.pcHeader and runtime._func in runtime/symtab.go
// and runtime2.go of the pinned toolchain; another layout is an error.

const (
	pcMagic  = 0xfffffff1 // of Go 1.20 and later
	funcSize = 44         // of runtime._func before its variable part
	maxData  = 256 << 20  // bytes of memory that data may reach to
)

var errLayout = errors.New("wasm: the program’s tables are not laid out as this toolchain’s should be")

// segment is a piece of a program's data: where it goes in memory, and where it
// stands in the file.
type segment struct{ at, from, size int }

// blankLines overwrites the tables of files and lines in a program, in place.
func blankLines(program []byte) error {
	segments, err := dataSegments(program)
	if err != nil {
		return err
	}
	top := 0
	for _, s := range segments {
		top = max(top, s.at+s.size)
	}
	mem := make([]byte, top)
	for _, s := range segments {
		copy(mem[s.at:], program[s.from:s.from+s.size])
	}
	if err := blankIn(mem); err != nil {
		return err
	}
	for _, s := range segments {
		copy(program[s.from:s.from+s.size], mem[s.at:])
	}
	return nil
}

// blankIn does it in the program's memory.
func blankIn(mem []byte) error {
	header := append(binary.LittleEndian.AppendUint32(nil, pcMagic), 0, 0, 1, 8)
	base := bytes.Index(mem, header)
	if base < 0 || bytes.Contains(mem[base+1:], header) {
		return errLayout
	}
	word := func(i int) (int, error) {
		if base+8+8*i+8 > len(mem) {
			return 0, errLayout
		}
		v := binary.LittleEndian.Uint64(mem[base+8+8*i:])
		if v > uint64(len(mem)) {
			return 0, errLayout
		}
		return int(v), nil
	}
	count, err1 := word(0)
	tables, err2 := word(6)
	funcs, err3 := word(7)
	if err := errors.Join(err1, err2, err3); err != nil {
		return errLayout
	}
	tables, funcs = base+tables, base+funcs
	if tables > funcs || funcs+8*count > len(mem) {
		return errLayout
	}
	u32 := func(at int) (int, error) {
		if at < 0 || at+4 > len(mem) {
			return 0, errLayout
		}
		return int(binary.LittleEndian.Uint32(mem[at:])), nil
	}
	kept := make([]bool, funcs-tables) // bytes of tables that something else needs
	keep := func(at int) error {
		off, err := u32(at)
		if err != nil || off >= len(kept) {
			return errLayout
		}
		if off == 0 {
			return nil // no table
		}
		n, err := tableSize(mem[tables+off : funcs])
		if err != nil {
			return err
		}
		for i := range n {
			kept[off+i] = true
		}
		return nil
	}
	for i := range count {
		off, err := u32(funcs + 8*i + 4)
		if err != nil || funcs+off+funcSize > len(mem) {
			return errLayout
		}
		f := funcs + off
		n, err := u32(f + 28)
		if err != nil || n > 16 {
			return errLayout
		}
		at := []int{f + 16} // pcsp
		for k := range n {  // pcdata
			at = append(at, f+funcSize+4*k)
		}
		for _, a := range at {
			if err := keep(a); err != nil {
				return err
			}
		}
		clear(mem[f+20 : f+28]) // pcfile, pcln: 0 is no table
	}
	for i, k := range kept {
		if !k {
			mem[tables+i] = 0
		}
	}
	return nil
}

// tableSize is how long a table of runtime.step is: pairs of varints, of which a
// value of 0 that isn't the first ends it.
func tableSize(b []byte) (int, error) {
	at := 0
	for first := true; ; first = false {
		v, n := binary.Uvarint(b[at:])
		if n <= 0 {
			return 0, errLayout
		}
		at += n
		if v == 0 && !first {
			return at, nil
		}
		if _, n = binary.Uvarint(b[at:]); n <= 0 {
			return 0, errLayout
		}
		at += n
	}
}

// dataSegments lists the data of a module (WebAssembly core specification,
// "Data Section"): all of it active, in memory 0, at a constant.
func dataSegments(b []byte) ([]segment, error) {
	if !bytes.HasPrefix(b, []byte("\x00asm\x01\x00\x00\x00")) {
		return nil, fmt.Errorf("wasm: not a module")
	}
	at := 8
	uleb := func() (int, error) {
		v, n := binary.Uvarint(b[min(at, len(b)):])
		if n <= 0 || v > 1<<31 {
			return 0, errLayout
		}
		at += n
		return int(v), nil
	}
	for at < len(b) {
		id := b[at]
		at++
		size, err := uleb()
		if err != nil || at+size > len(b) {
			return nil, errLayout
		}
		if id != 11 {
			at += size
			continue
		}
		end := at + size
		count, err := uleb()
		if err != nil || count > size {
			return nil, errLayout
		}
		segments := make([]segment, 0, count)
		for range count {
			// kind 0, i32.const, an offset as a signed LEB128, end
			if end-at < 4 || b[at] != 0 || b[at+1] != 0x41 {
				return nil, errLayout
			}
			at += 2
			offset, err := uleb()
			// A last byte of 0x40 and more would be a negative number.
			if err != nil || b[at-1]&0x40 != 0 || offset > maxData || at >= end || b[at] != 0x0b {
				return nil, errLayout
			}
			at++
			n, err := uleb()
			if err != nil || at+n > end {
				return nil, errLayout
			}
			segments = append(segments, segment{offset, at, n})
			at += n
		}
		return segments, nil
	}
	return nil, errLayout
}
