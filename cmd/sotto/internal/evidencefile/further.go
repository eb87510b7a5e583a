// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package evidencefile

import (
	"bytes"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/attest/cert"
	"github.com/sotto-chat/sotto/attest/nvidia/nvidiadata"
	"github.com/sotto-chat/sotto/attest/nvidia/rim"
	"github.com/sotto-chat/sotto/attest/snp/snpdata"
	"github.com/sotto-chat/sotto/attest/tdx/tdxdata"
	"github.com/sotto-chat/sotto/attest/tpm/tpmdata"
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
	kindValues            // a TPM's registers, one after another
	kindRIM               // NVIDIA's reference measurements, a SWID tag in XML
	kindTable             // the same in our own form: see attest/nvidia.Table
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
	case bytes.HasPrefix(b, []byte("sotto/1 nvidia table\x00")):
		return kindTable
	case isDER(b):
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
	// Registers have no mark of their own: some digests, one after another.
	if len(b) >= 20 && len(b) <= 24*64 && (len(b)%20 == 0 || len(b)%32 == 0 || len(b)%48 == 0) && !printable(b) {
		return kindValues
	}
	return kindUnknown
}

// isDER reports whether b is one sequence in DER after the other, each as long as
// a certificate or a list.
func isDER(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	for len(b) > 0 {
		if len(b) < 64 || b[0] != 0x30 {
			return false
		}
		n, head := int(b[1]), 2
		if n > 0x80 && n <= 0x84 {
			head += n - 0x80
			n = 0
			for _, c := range b[2:head] {
				n = n<<8 | int(c)
			}
		}
		if n < 60 || n > len(b)-head {
			return false
		}
		b = b[head+n:]
	}
	return true
}

func printable(b []byte) bool {
	for _, c := range b {
		if c >= 0x7f || c < ' ' && c != '\n' && c != '\r' && c != '\t' {
			return false
		}
	}
	return true
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
	certs := of(files, kindX509)
	switch {
	case p.Data != nil:
		return p.Data, nil
	case p.Platform == "snp":
		table, err := snpdata.ParseCertTable(p.Beside)
		if err != nil {
			return nil, err
		}
		return snpdata.FromReport(p.Raw, append(table, certs...))
	case p.Platform == "tdx":
		return tdxdata.FromQuote(p.Raw, append(certs, of(files, kindIntel)...), one(of(files, kindLog)))
	case p.Platform == "tpm":
		parts := tpmdata.Parts{
			Quote: p.Raw, Signature: one(of(files, kindTPMSignature)), Public: one(of(files, kindTPMKey)),
			Values: one(of(files, kindValues)), Log: one(of(files, kindLog)),
		}
		if parts.Signature == nil || parts.Public == nil || parts.Values == nil {
			return nil, MissingError("its signature (tpm2_quote -s), the signing key (-u of what made it) and the registers (tpm2_quote -o FILE -F values) lie in files of their own: give all three with --cert")
		}
		if err := parts.Add(certs...); err != nil {
			return nil, err
		}
		return parts.Append(nil), nil
	}
	return nil, errors.New("this program doesn’t know this kind of hardware")
}

// packGPUs makes one piece of evidence of all GPUs' reports. A chain that came in
// a file of its own is the only report's.
func packGPUs(gpus []Piece, files []known, now time.Time) ([]byte, error) {
	var reports []nvidiadata.Report
	var rest [][]byte
	var chain []byte
	for _, b := range of(files, kindX509) {
		if bytes.Contains(b, []byte("BEGIN X509 CRL")) || isList(b) {
			rest = append(rest, b)
		} else if chain == nil {
			chain = b
		}
	}
	for _, g := range gpus {
		r := nvidiadata.Report{Report: g.Raw, Chain: g.Beside}
		if r.Chain == nil {
			r.Chain = chain
		}
		if r.Chain == nil {
			return nil, MissingError("a GPU’s chain of certificates lies in a file of its own: give it with --cert")
		}
		reports = append(reports, r)
	}
	made, err := Tables(of(files, kindRIM), now, nil)
	if err != nil {
		return nil, err
	}
	return nvidiadata.FromReports(reports, slices.Concat(rest, of(files, kindTable), made)...)
}

// Tables makes tables of NVIDIA's signed lists, whose signers lead to one of roots
// (nil means NVIDIA's) at time now: of each driver on each VBIOS. Two lists make one.
func Tables(docs [][]byte, now time.Time, roots []cert.Root) (out [][]byte, err error) {
	var drivers, vbioses []*rim.RIM
	for _, d := range docs {
		r, err := rim.Verify(d, now, roots)
		if err != nil {
			return nil, err
		}
		if strings.Count(r.Version, ".") == 4 { // 96.00.9F.00.04, and not 570.124.06
			vbioses = append(vbioses, r)
		} else {
			drivers = append(drivers, r)
		}
	}
	for _, d := range drivers {
		for _, v := range vbioses {
			t, err := rim.Table(d, v)
			if err != nil {
				return nil, err
			}
			out = append(out, t)
		}
	}
	if len(docs) > 0 && out == nil {
		return nil, errors.New("it takes two of NVIDIA’s lists, the driver’s and the VBIOS’s: give both")
	}
	return out, nil
}

// isList reports whether DER is a revocation list: what is signed in it begins
// with a number, and in a certificate with [0] (RFC 5280, sections 4.1 and 5.1).
func isList(b []byte) bool {
	for range 2 {
		if len(b) < 4 || b[0] != 0x30 {
			return false
		}
		head := 2
		if b[1] > 0x80 {
			head += int(b[1] - 0x80)
		}
		if len(b) <= head {
			return false
		}
		b = b[head:]
	}
	return b[0] == 0x02
}

// one returns the first of files, or nil.
func one(files [][]byte) []byte {
	if len(files) == 0 {
		return nil
	}
	return files[0]
}
