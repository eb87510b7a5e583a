// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package evidencefile

import (
	"bytes"
	"encoding/binary"
	"encoding/pem"

	"github.com/sotto-chat/sotto/attest/snp/snpdata"
)

// kind is what a further file is.
type kind int

const (
	kindUnknown      kind = iota
	kindX509              // one or more certificates or revocation lists, PEM or DER
	kindIntel             // TCB info or QE identity, JSON as Intel serves it
	kindLog               // a TCG event log
	kindTPMSignature      // TPMT_SIGNATURE
	kindTPMKey            // TPMT_PUBLIC
	kindRIM               // NVIDIA's reference measurements, a SWID tag in XML
	kindTable             // the same as our own table
)

// known is one file that was given beside the evidence, and what it is.
type known struct {
	kind kind
	b    []byte
}

// classify finds out what a further file is.
func classify(b []byte) known {
	for range maxWraps {
		if k := kindOf(b); k != kindUnknown {
			if k == kindTPMKey {
				b = withoutSize(b)
			}
			return known{k, b}
		}
		inner, ok := unwrap(b)
		if !ok {
			break
		}
		b = inner
	}
	return known{kindUnknown, b}
}

func kindOf(b []byte) kind {
	text := bytes.TrimSpace(b)
	switch {
	case bytes.HasPrefix(text, []byte("-----BEGIN ")):
		if block, _ := pem.Decode(text); block != nil && (block.Type == "CERTIFICATE" || block.Type == "X509 CRL") {
			return kindX509
		}
	case bytes.HasPrefix(text, []byte(`{"tcbInfo":`)), bytes.HasPrefix(text, []byte(`{"enclaveIdentity":`)):
		return kindIntel
	case bytes.HasPrefix(text, []byte("<?xml")), bytes.HasPrefix(text, []byte("<SoftwareIdentity")), bytes.HasPrefix(text, []byte("<ns0:SoftwareIdentity")):
		return kindRIM
	case bytes.HasPrefix(text, []byte(`{"v":1,`)) && bytes.Contains(text, []byte(`"measurements"`)):
		return kindTable
	case len(b) > 64 && b[0] == 0x30 && b[1] == 0x82 && int(binary.BigEndian.Uint16(b[2:]))+4 == len(b),
		len(b) > 64 && b[0] == 0x30 && b[1] == 0x83:
		return kindX509
	case len(b) > 48 && bytes.Contains(b[:48], []byte("Spec ID Event03\x00")):
		return kindLog
	}
	if len(b) > 1024 {
		return kindUnknown
	}
	if p := withoutSize(b); len(p) > 10 {
		switch algorithm, hash := binary.BigEndian.Uint16(p), binary.BigEndian.Uint16(p[2:]); {
		case (algorithm == 0x01 || algorithm == 0x23) && hash >= 0x0b && hash <= 0x0d: // RSA or ECC (part 2, 6.3)
			return kindTPMKey
		case (algorithm == 0x14 || algorithm == 0x16 || algorithm == 0x18) && hash >= 0x04 && hash <= 0x0d: // RSASSA, RSAPSS, ECDSA
			return kindTPMSignature
		}
	}
	return kindUnknown
}

// withoutSize takes the length off a TPM2B_PUBLIC, which tools write in front of a
// key.
func withoutSize(b []byte) []byte {
	if len(b) > 2 && int(binary.BigEndian.Uint16(b)) == len(b)-2 {
		return b[2:]
	}
	return b
}

// of returns the files of some kinds.
func of(files []known, kinds ...kind) (out [][]byte) {
	for _, f := range files {
		for _, k := range kinds {
			if f.kind == k {
				out = append(out, f.b)
			}
		}
	}
	return out
}

// pack makes the data of a piece, with what it needs out of the files. Evidence in
// our own form is whole already.
func (p Piece) pack(files []known) ([]byte, error) {
	switch {
	case p.Data != nil:
		return p.Data, nil
	case p.Platform == "snp":
		certs, crls, err := snpdata.ParseCertTable(p.Beside)
		if err != nil {
			return nil, err
		}
		return snpdata.FromReport(p.Raw, append(certs, of(files, kindX509)...), crls)
	}
	return p.Raw, nil
}

func packGPUs(gpus []Piece, _ []known) ([]byte, error) { return gpus[0].Raw, nil }
