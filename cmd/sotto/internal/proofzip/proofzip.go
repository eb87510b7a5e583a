// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package proofzip keeps what a check looked at in one file, so that the same check
// can be made again later, elsewhere, without a network.
//
// The file is a zip that any tool opens, in one encoding only: entries in the order
// of their names, stored and not compressed, all of 1980-01-01, without comments or extra fields.
// [Read] takes that form and no other, so nothing can hide between the entries, and
// what is read is as long as what is there.
package proofzip

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
)

// Limits of a proof.
const (
	MaxSize  = 64 << 20 // bytes of the whole file
	MaxFiles = 256
	maxName  = 64
)

// Files are the contents by name, such as "nodes.json" or "page/index.html".
type Files map[string][]byte

// Write returns the one encoding of files.
func Write(files Files) ([]byte, error) {
	if len(files) == 0 || len(files) > MaxFiles {
		return nil, fmt.Errorf("a proof has 1 to %d files", MaxFiles)
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !validName(name) {
			return nil, fmt.Errorf("%q is no name of a file in a proof", name)
		}
		f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store, ModifiedDate: 1<<5 | 1})
		if err != nil {
			return nil, err
		}
		if _, err := f.Write(files[name]); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if b.Len() > MaxSize {
		return nil, fmt.Errorf("a proof is at most %d MiB", MaxSize>>20)
	}
	return b.Bytes(), nil
}

// Errors of [Read].
var (
	ErrTooLong = errors.New("it is longer than a proof can be")
	ErrForm    = errors.New("it is not a proof that sotto verify --save wrote")
)

// Read returns the files of a proof. It takes what [Write] writes, to the byte.
func Read(b []byte) (Files, error) {
	if len(b) > MaxSize {
		return nil, ErrTooLong
	}
	r, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil || len(r.File) == 0 || len(r.File) > MaxFiles {
		return nil, ErrForm
	}
	files := Files{}
	left := uint64(len(b))
	for _, f := range r.File {
		// Stored bytes are in b already, so nothing grows by reading them.
		if !validName(f.Name) || files[f.Name] != nil || f.Method != zip.Store || f.UncompressedSize64 > left {
			return nil, ErrForm
		}
		left -= f.UncompressedSize64
		c, err := f.Open()
		if err != nil {
			return nil, ErrForm
		}
		body, err := io.ReadAll(io.LimitReader(c, int64(f.UncompressedSize64)+1))
		c.Close()
		if err != nil || uint64(len(body)) != f.UncompressedSize64 {
			return nil, ErrForm
		}
		if body == nil {
			body = []byte{}
		}
		files[f.Name] = body
	}
	if again, err := Write(files); err != nil || !bytes.Equal(again, b) {
		return nil, ErrForm
	}
	return files, nil
}

// validName takes lower-case names with at most one folder, that lead nowhere else.
func validName(s string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	folders, start := 0, true
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9':
			start = false
		case (c == '.' || c == '-') && !start:
		case c == '/' && !start && folders == 0 && i+1 < len(s):
			folders, start = 1, true
		default:
			return false
		}
	}
	return true
}
