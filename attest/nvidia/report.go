// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package nvidia

import (
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
)

// Sizes of a report, in bytes. The offsets in [ParseReport] are those of SPDM
// 1.1 (DMTF DSP0274), tables 39 (GET_MEASUREMENTS) and 41 (MEASUREMENTS).
const (
	MaxReport = 0x2000 // what NVML's own buffer holds
	NonceSize = 32
	HashSize  = 48 // SHA-384, of a measurement and a firmware id

	requestSize   = 37
	blockSize     = 4 + 3 + HashSize
	signatureSize = 96 // ECDSA P-384: r ‖ s, big-endian
)

// Types of fields in a report's opaque data, as far as they mean something to us.
// The names are NVIDIA's, of its attestation SDK.
const (
	FieldDriver       = 3
	FieldVBIOS        = 6
	FieldNVDEC0       = 11
	FieldChipSKU      = 15
	FieldProject      = 17
	FieldProjectSKU   = 18
	FieldFWID         = 20
	FieldPCIe         = 21
	FieldChipInfo     = 35
	FieldFeatureFlag  = 36
	maxField          = 4096
	maxVersionLetters = 32
)

// NVDEC0 is what [FieldNVDEC0] says.
const nvdecOn = 0xaa

// Field is one field of a report's opaque data.
type Field struct {
	Type  uint16
	Value []byte
}

// Report is an attestation report that can be read. Nothing of it is checked
// yet. Byte slices are parts of what [ParseReport] was given.
type Report struct {
	Nonce        []byte   // of the request: what the asker chose, [NonceSize]
	Answer       []byte   // the GPU's own nonce, [NonceSize]
	Measurements [][]byte // [i] is that of index i+1, [HashSize]
	Fields       []Field  // opaque data, in its order, each type once

	Driver string // "570.124.06"
	VBIOS  string // "96.00.9F.00.04"
	FWID   []byte // firmware id, [HashSize]; nil where an older GPU doesn't say
	Mode   string // "spt", "mpt", "ppcie", "none" where an older GPU doesn't say, or a number

	signed    []byte
	signature []byte
	nvdec     bool
}

// head is what every request and response starts with: version 1.1, the code,
// and the two parameters. A request asks for all measurements (0xff), signed (1),
// by the key of slot 0; a response is of slot 0.
const (
	requestHead  = "\x11\xe0\x01\xff"
	responseHead = "\x11\x60\x00\x00"
)

// ParseReport reads the request and the response that make up a report, and
// refuses all that isn't as NVIDIA's GPUs of the generations Hopper and
// Blackwell write it.
func ParseReport(b []byte) (*Report, error) {
	if len(b) > MaxReport {
		return nil, errors.New("the report is too long")
	}
	if len(b) < requestSize+8 {
		return nil, errors.New("the report is cut off")
	}
	r := &Report{Nonce: b[4 : requestSize-1], signed: b}
	if string(b[:4]) != requestHead || b[requestSize-1] != 0 {
		return nil, errors.New("the question that the report answers is of another kind")
	}
	b = b[requestSize:]
	if string(b[:4]) != responseHead {
		return nil, errors.New("the report's answer is of another kind")
	}
	blocks := int(b[4])
	size := int(b[5]) | int(b[6])<<8 | int(b[7])<<16
	b = b[8:]
	if blocks == 0 || size != blocks*blockSize {
		return nil, errors.New("the measurements are not as many as the report says")
	}
	if len(b) < size+NonceSize+2 {
		return nil, errors.New("the report's measurements are cut off")
	}
	for i := range blocks {
		m := b[i*blockSize:][:blockSize]
		// index ‖ DMTF's specification (1) ‖ size [2] ‖ type ‖ size [2] ‖ value.
		// Bit 7 of the type would say that the value isn't a digest.
		if int(m[0]) != i+1 || m[1] != 1 || m[2] != 3+HashSize || m[3] != 0 ||
			m[4]&0x80 != 0 || m[5] != HashSize || m[6] != 0 {
			return nil, errors.New("measurement " + strconv.Itoa(i+1) + " is not in the agreed form")
		}
		r.Measurements = append(r.Measurements, m[7:])
	}
	b = b[size:]
	r.Answer = b[:NonceSize]
	opaque := int(binary.LittleEndian.Uint16(b[NonceSize:]))
	b = b[NonceSize+2:]
	if len(b) != opaque+signatureSize {
		return nil, errors.New("the report doesn't end where it says")
	}
	r.signature = b[opaque:]
	r.signed = r.signed[:len(r.signed)-signatureSize]
	var err error
	if r.Fields, err = parseFields(b[:opaque]); err != nil {
		return nil, err
	}
	return r, r.readFields()
}

// versioned is how opaque data begins that has a version, with other types in it
// (NVIDIA, Opaque Data Format: from the drivers of CUDA 13.5 on).
const versioned = "NVDAOD"

// parseFields reads opaque data: a run of type [2] ‖ size [2] ‖ value, little-endian.
func parseFields(b []byte) ([]Field, error) {
	if strings.HasPrefix(string(b), versioned) {
		return nil, errors.New("the driver wrote the report in a newer form, which this app can't read yet")
	}
	var out []Field
	for len(b) > 0 {
		if len(b) < 4 {
			return nil, errors.New("a field of the report is cut off")
		}
		f := Field{Type: binary.LittleEndian.Uint16(b)}
		n := int(binary.LittleEndian.Uint16(b[2:]))
		b = b[4:]
		if n > len(b) {
			return nil, errors.New("a field of the report is cut off")
		}
		f.Value, b = b[:n:n], b[n:]
		for i := range out {
			if out[i].Type == f.Type {
				return nil, errors.New("a field of the report is there twice")
			}
		}
		out = append(out, f)
	}
	return out, nil
}

// Field returns a field of the opaque data, or nil.
func (r *Report) Field(typ uint16) []byte {
	for _, f := range r.Fields {
		if f.Type == typ {
			return f.Value
		}
	}
	return nil
}

// readFields reads the fields that we judge by. Those that we don't know are
// signed like all others and stay what they are.
func (r *Report) readFields() error {
	var ok bool
	if r.Driver, ok = letters(r.Field(FieldDriver)); !ok || versionOf(r.Driver, 10) == nil {
		return errors.New("the report names no version of the driver")
	}
	v := r.Field(FieldVBIOS)
	if len(v) != 8 || v[5]|v[6]|v[7] != 0 {
		return errors.New("the report names no version of the VBIOS")
	}
	r.VBIOS = formatVBIOS([5]byte{v[3], v[2], v[1], v[0], v[4]})
	if r.FWID = r.Field(FieldFWID); r.FWID != nil && len(r.FWID) != HashSize {
		return errors.New("the report's firmware id is not in the agreed form")
	}
	switch f := r.Field(FieldFeatureFlag); {
	case f == nil:
		r.Mode = "none"
	case len(f) != 2:
		return errors.New("the report's mode is not in the agreed form")
	default:
		n := int(binary.LittleEndian.Uint16(f))
		r.Mode = strconv.Itoa(n)
		if n < len(modes) {
			r.Mode = modes[n]
		}
	}
	// Where a GPU doesn't say, the decoder counts as on, and so as measured.
	f := r.Field(FieldNVDEC0)
	r.nvdec = f == nil || len(f) == 1 && f[0] == nvdecOn
	return nil
}

// modes are the values of [FieldFeatureFlag]: one GPU passed through, several
// whose links are encrypted, several whose links are not (Hopper's "protected PCIe").
var modes = [...]string{"spt", "mpt", "ppcie"}

// letters reads text that ends with zeros.
func letters(b []byte) (string, bool) {
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	for _, c := range b {
		if c <= 0x20 || c > 0x7e {
			return "", false
		}
	}
	return string(b), len(b) > 0 && len(b) <= maxVersionLetters
}

func formatVBIOS(b [5]byte) string {
	const digits = "0123456789ABCDEF"
	out := make([]byte, 0, 14)
	for i, c := range b {
		if i > 0 {
			out = append(out, '.')
		}
		out = append(out, digits[c>>4], digits[c&15])
	}
	return string(out)
}

// versionOf reads a version of 2 to 5 numbers between dots, or returns nil.
func versionOf(s string, base int) []int {
	var out []int
	for start, i := 0, 0; i <= len(s); i++ {
		if i < len(s) && s[i] != '.' {
			continue
		}
		n, err := strconv.ParseUint(s[start:i], base, 16)
		if err != nil || len(out) == 5 {
			return nil
		}
		out, start = append(out, int(n)), i+1
	}
	if len(out) < 2 {
		return nil
	}
	return out
}
