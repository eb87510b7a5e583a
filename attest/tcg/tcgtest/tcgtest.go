// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package tcgtest writes event logs as firmware does, for tests. Nothing else
// imports it.
package tcgtest

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"unicode/utf16"

	"github.com/sotto-chat/sotto/attest/tcg"
)

// Log is a log that is being written.
type Log struct {
	Algorithms []uint16
	b          []byte
}

// New begins a log that has digests of the algorithms.
func New(algorithms ...uint16) *Log {
	l := &Log{Algorithms: algorithms}
	body := append([]byte("Spec ID Event03\x00"), 0, 0, 0, 0, 0, 2, 0, 2)
	body = binary.LittleEndian.AppendUint32(body, uint32(len(algorithms)))
	for _, a := range algorithms {
		body = binary.LittleEndian.AppendUint16(body, a)
		body = binary.LittleEndian.AppendUint16(body, uint16(len(Sum(a, nil))))
	}
	body = append(body, 0)
	l.b = binary.LittleEndian.AppendUint32(l.b, 0)
	l.b = binary.LittleEndian.AppendUint32(l.b, tcg.EvNoAction)
	l.b = append(l.b, make([]byte, 20)...)
	l.b = binary.LittleEndian.AppendUint32(l.b, uint32(len(body)))
	l.b = append(l.b, body...)
	return l
}

// Add writes an event whose digest is of its data.
func (l *Log) Add(register int, kind uint32, data []byte) *Log {
	return l.AddMeasured(register, kind, data, data)
}

// AddMeasured writes an event whose digest is of measured, while its data says
// something else.
func (l *Log) AddMeasured(register int, kind uint32, data, measured []byte) *Log {
	l.b = binary.LittleEndian.AppendUint32(l.b, uint32(register))
	l.b = binary.LittleEndian.AppendUint32(l.b, kind)
	l.b = binary.LittleEndian.AppendUint32(l.b, uint32(len(l.Algorithms)))
	for _, a := range l.Algorithms {
		l.b = binary.LittleEndian.AppendUint16(l.b, a)
		l.b = append(l.b, Sum(a, measured)...)
	}
	l.b = binary.LittleEndian.AppendUint32(l.b, uint32(len(data)))
	l.b = append(l.b, data...)
	return l
}

// Bytes returns the log as it stands.
func (l *Log) Bytes() []byte { return append([]byte(nil), l.b...) }

// Variable is a UEFI_VARIABLE_DATA with a fixed GUID.
func Variable(name string, contents []byte) []byte {
	u := utf16.Encode([]rune(name))
	b := []byte("an example guid.")
	b = binary.LittleEndian.AppendUint64(b, uint64(len(u)))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(contents)))
	for _, c := range u {
		b = binary.LittleEndian.AppendUint16(b, c)
	}
	return append(b, contents...)
}

// Sum hashes data.
func Sum(alg uint16, data []byte) []byte {
	switch alg {
	case tcg.SHA1:
		d := sha1.Sum(data)
		return d[:]
	case tcg.SHA256:
		d := sha256.Sum256(data)
		return d[:]
	case tcg.SHA384:
		d := sha512.Sum384(data)
		return d[:]
	case tcg.SHA512:
		d := sha512.Sum512(data)
		return d[:]
	}
	panic("tcgtest: no such algorithm")
}
