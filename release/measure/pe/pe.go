// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package pe reads programs for UEFI (PE/COFF images) as far as firmware and
// systemd-stub measure them: the digest of the whole image without its signature,
// and single sections.
//
//	image, err := pe.Parse(r, size)
//	digest, err := image.Authenticode(sha512.New384())
//	section, ok := image.Section(".linux")
//
// The digest is the one of Microsoft's "Windows Authenticode Portable Executable
// Signature Format", as edk2 computes it when it starts an image (SecurityPkg,
// DxeTpm2MeasureBootLib): headers without checksum and without the place of the
// signature, sections by their place in the file, and what follows them but the
// signature. edk2 doesn't look whether that is all of the file. This package does:
// an image with bytes that the digest leaves out, or hashes twice, is refused,
// since a release can't be about it.
package pe

import (
	"cmp"
	"encoding/binary"
	"errors"
	"hash"
	"io"
	"slices"
)

const (
	// MaxSize is the most bytes that an image may have: unified kernel images with
	// a whole system in their initial RAM disk are large.
	MaxSize = 4 << 30

	maxHeaders  = 64 << 10
	maxSections = 96 // the most that Windows loads
)

// Image is an image whose headers were read.
type Image struct {
	r        io.ReaderAt
	size     int64
	headers  []byte // SizeOfHeaders bytes
	checksum int    // where in the headers the checksum is
	dir      int    // where the place of the signature is, 0 if there is no room for it
	end      int64  // where the signature begins, or the file ends

	Sections []Section // in the order of the section table
}

// Section is a part of the image.
type Section struct {
	Name    string
	Virtual uint32 // bytes in memory: what a program that runs finds
	Offset  uint32 // in the file
	Raw     uint32 // bytes in the file

	image *Image
}

var errBroken = errors.New("it isn't a program for UEFI, or its headers are broken")

// Parse reads the headers of an image of size bytes.
func Parse(r io.ReaderAt, size int64) (*Image, error) {
	if size < 64 || size > MaxSize {
		return nil, errBroken
	}
	head := make([]byte, min(size, maxHeaders))
	if _, err := io.ReadFull(io.NewSectionReader(r, 0, size), head); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	at := int64(le.Uint32(head[0x3c:]))
	// Signature, file header, and of the optional header what comes before the
	// directories.
	if string(head[:2]) != "MZ" || at+24+112 > int64(len(head)) || string(head[at:at+4]) != "PE\x00\x00" {
		return nil, errBroken
	}
	n, optional := int(le.Uint16(head[at+6:])), int64(le.Uint16(head[at+20:]))
	opt := at + 24
	table := opt + optional
	if n == 0 || n > maxSections {
		return nil, errBroken
	}
	directories := opt + 96 // PE32
	if magic := le.Uint16(head[opt:]); magic == 0x20b {
		directories = opt + 112 // PE32+
	} else if magic != 0x10b {
		return nil, errBroken
	}
	count := int64(le.Uint32(head[directories-4:]))
	if directories+8*count > table {
		return nil, errBroken
	}
	headers := int64(le.Uint32(head[opt+60:]))
	if headers < table+int64(n)*40 || headers > int64(len(head)) {
		return nil, errBroken
	}
	m := &Image{r: r, size: size, headers: head[:headers], checksum: int(opt + 64), end: size}
	if count > 4 {
		m.dir = int(directories + 8*4)
		where, length := int64(le.Uint32(head[m.dir:])), int64(le.Uint32(head[m.dir+4:]))
		if where != 0 || length != 0 {
			// The signature is the end of the file.
			if where < headers || length < 8 || where+length != size {
				return nil, errors.New("the program's signature isn't the end of its file")
			}
			m.end = where
		}
	}
	for i := range n {
		b := head[table+int64(i)*40:]
		s := Section{Virtual: le.Uint32(b[8:]), Raw: le.Uint32(b[16:]), Offset: le.Uint32(b[20:]), image: m}
		name := b[:8]
		if j := slices.Index(name, 0); j >= 0 {
			if slices.ContainsFunc(name[j:], func(c byte) bool { return c != 0 }) {
				return nil, errBroken
			}
			name = name[:j]
		}
		s.Name = string(name)
		m.Sections = append(m.Sections, s)
	}
	return m, m.covered()
}

// covered reports whether the headers and the sections follow one another in the
// file without a gap and without an overlap.
func (m *Image) covered() error {
	at := int64(len(m.headers))
	for _, s := range m.ordered() {
		if int64(s.Offset) != at {
			return errors.New("the program has bytes that its digest leaves out or counts twice: its sections must follow one another in the file")
		}
		at += int64(s.Raw)
	}
	if at > m.end {
		return errors.New("the program's sections are longer than its file")
	}
	if m.end%8 != 0 {
		// edk2 hashes what there is; tools that sign add zeros to a multiple of 8.
		return errors.New("the program isn't a multiple of 8 bytes long, and not everybody computes the same digest of it: add zeros at its end")
	}
	return nil
}

// ordered returns the sections that have bytes in the file, in its order.
func (m *Image) ordered() []Section {
	var out []Section
	for _, s := range m.Sections {
		if s.Raw > 0 {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b Section) int { return cmp.Compare(a.Offset, b.Offset) })
	return out
}

// Section returns the only section of a name. ok is false if there is none; two
// of a name are an error, since programs differ in which of them they take.
func (m *Image) Section(name string) (s Section, ok bool, err error) {
	for _, x := range m.Sections {
		if x.Name != name {
			continue
		}
		if ok {
			return s, ok, errors.New("the program has the section " + name + " twice")
		}
		s, ok = x, true
	}
	return s, ok, nil
}

// Authenticode returns the image's digest by h.
func (m *Image) Authenticode(h hash.Hash) ([]byte, error) {
	h.Reset()
	h.Write(m.headers[:m.checksum])
	rest := m.checksum + 4
	if m.dir != 0 {
		h.Write(m.headers[rest:m.dir])
		rest = m.dir + 8
	}
	h.Write(m.headers[rest:])
	// Sections and what follows them are one run of bytes: see covered.
	at := int64(len(m.headers))
	if err := copyAll(h, m.r, at, m.end-at); err != nil {
		return nil, err
	}
	return h.Sum(nil), nil
}

// WriteTo writes the section as it is in memory: [Section.Virtual] bytes. Bytes
// that the file has beyond those are padding, which nobody reads.
func (s Section) WriteTo(w io.Writer) (int64, error) {
	if s.Virtual > s.Raw {
		return 0, errors.New("the section " + s.Name + " is longer in memory than in the file")
	}
	return int64(s.Virtual), copyAll(w, s.image.r, int64(s.Offset), int64(s.Virtual))
}

// Reader returns the section's bytes as they are in memory.
func (s Section) Reader() (*io.SectionReader, error) {
	if s.Virtual > s.Raw {
		return nil, errors.New("the section " + s.Name + " is longer in memory than in the file")
	}
	return io.NewSectionReader(s.image.r, int64(s.Offset), int64(s.Virtual)), nil
}

// copyAll copies n bytes, and fails if there aren't as many.
func copyAll(w io.Writer, r io.ReaderAt, at, n int64) error {
	got, err := io.Copy(w, io.NewSectionReader(r, at, n))
	if err == nil && got != n {
		err = io.ErrUnexpectedEOF
	}
	return err
}
