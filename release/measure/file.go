// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/sotto-chat/sotto/release/measure/boot"
	"github.com/sotto-chat/sotto/release/measure/ovmf"
	"github.com/sotto-chat/sotto/release/measure/pe"
)

// digest hashes a file, and compares with the digest that the description gives.
func (f *File) digest() (sum [32]byte, err error) {
	if f.r == nil {
		return sum, errors.New("a file is missing")
	}
	h := sha256.New()
	n, err := io.Copy(h, io.NewSectionReader(f.r, 0, f.size))
	if err == nil && n != f.size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return sum, fmt.Errorf("%s can't be read: %w", f.Name, err)
	}
	found := "sha256:" + hex.EncodeToString(h.Sum(nil))
	if f.SHA256 != "" && f.SHA256 != found {
		return sum, fmt.Errorf("%s is another file than the one described: it is %s", f.Name, found)
	}
	f.SHA256 = found
	return [32]byte(h.Sum(nil)), nil
}

// bytes returns a whole file that may be at most limit long.
func (f *File) bytes(limit int64) ([]byte, error) {
	if _, err := f.digest(); err != nil {
		return nil, err
	}
	if f.size > limit {
		return nil, errors.New(f.Name + " is longer than such a file can be")
	}
	b := make([]byte, f.size)
	if n, err := f.r.ReadAt(b, 0); n != len(b) {
		return nil, fmt.Errorf("%s can't be read: %w", f.Name, err)
	}
	// What was hashed before must be what is used.
	if sum := sha256.Sum256(b); "sha256:"+hex.EncodeToString(sum[:]) != f.SHA256 {
		return nil, errors.New(f.Name + " changed while it was read")
	}
	return b, nil
}

func (f *File) firmware() (*ovmf.Image, error) {
	b, err := f.bytes(ovmf.MaxSize)
	if err != nil {
		return nil, err
	}
	return ovmf.Parse(b)
}

func (f *File) program() (*pe.Image, error) {
	if _, err := f.digest(); err != nil {
		return nil, err
	}
	m, err := pe.Parse(f.r, f.size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name, err)
	}
	return m, nil
}

func (f *File) contents() (boot.Event, error) {
	if _, err := f.digest(); err != nil {
		return boot.Event{}, err
	}
	return boot.Contents(f.Name, f.r, f.size)
}
