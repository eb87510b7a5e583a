// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package bhttp

import (
	"fmt"
	"io"
	"strings"
)

// source is what a message is read from: bytes one by one for the integers,
// and runs of bytes for all else.
type source interface {
	io.Reader
	io.ByteReader
}

// decoder reads the parts of a message.
type decoder struct {
	src  source
	head int   // how much text it may still read before the content
	over error // what it is called to want more
}

func newDecoder(src source) *decoder {
	return &decoder{src: src, head: MaxHead, over: fmt.Errorf("%w: head above %d bytes", ErrTooLarge, MaxHead)}
}

// readError names the end of the source where bytes were due.
func readError(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return ErrTruncated
	}
	return err
}

// integer reads an integer of RFC 9000, section 16, in its shortest form.
func (d *decoder) integer() (uint64, error) {
	first, err := d.src.ReadByte()
	if err != nil {
		return 0, readError(err)
	}
	size := 1 << (first >> 6)
	v := uint64(first & (1<<6 - 1))
	for range size - 1 {
		b, err := d.src.ReadByte()
		if err != nil {
			return 0, readError(err)
		}
		v = v<<8 | uint64(b)
	}
	if size > 1 && v < 1<<(size*4-2) { // it fits in half the size
		return 0, fmt.Errorf("%w: integer not in its shortest form", ErrFormat)
	}
	return v, nil
}

// text reads a string of the head of n bytes.
func (d *decoder) text(n uint64) (string, error) {
	if n > uint64(d.head) {
		return "", d.over
	}
	d.head -= int(n)
	b := make([]byte, n)
	if _, err := io.ReadFull(d.src, b); err != nil {
		return "", readError(err)
	}
	return string(b), nil
}

// str reads a string of the head with its length before it.
func (d *decoder) str() (string, error) {
	n, err := d.integer()
	if err != nil {
		return "", err
	}
	return d.text(n)
}

// fields reads a field section, of either form.
func (d *decoder) fields(known bool) (fields []Field, err error) {
	if known {
		return d.knownFields()
	}
	for {
		n, err := d.integer()
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return fields, nil
		}
		if fields, err = d.appendField(fields, n); err != nil {
			return nil, err
		}
	}
}

// knownFields reads a field section with its length before it.
func (d *decoder) knownFields() (fields []Field, err error) {
	section, err := d.str()
	if err != nil {
		return nil, err
	}
	over := fmt.Errorf("%w: field longer than its section", ErrFormat)
	src := strings.NewReader(section)
	inner := &decoder{src: src, head: len(section), over: over}
	for src.Len() > 0 {
		n, err := inner.integer()
		if err == nil {
			fields, err = inner.appendField(fields, n)
		}
		if err == ErrTruncated {
			err = over
		}
		if err != nil {
			return nil, err
		}
	}
	return fields, nil
}

// appendField reads the rest of a field whose name has n bytes.
func (d *decoder) appendField(fields []Field, n uint64) ([]Field, error) {
	if len(fields) == MaxFields {
		return nil, fmt.Errorf("%w: more than %d fields", ErrTooLarge, MaxFields)
	}
	var f Field
	var err error
	if f.Name, err = d.text(n); err != nil {
		return nil, err
	}
	if f.Value, err = d.str(); err != nil {
		return nil, err
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	return append(fields, f), nil
}

// noTrailer reads the trailer section, which must be empty.
func (d *decoder) noTrailer() error {
	n, err := d.integer()
	if err != nil {
		return err
	}
	if n != 0 {
		return fmt.Errorf("%w: trailer", ErrUnsupported)
	}
	return nil
}

// end checks that nothing follows the message.
func (d *decoder) end() error {
	switch _, err := d.src.ReadByte(); err {
	case io.EOF:
		return nil
	case nil:
		return fmt.Errorf("%w: bytes after the end", ErrFormat)
	default:
		return err
	}
}
