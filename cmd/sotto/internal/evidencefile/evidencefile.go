// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package evidencefile reads evidence out of files as they lie about: a raw report
// of any system's machine, what other tools wrote of it, our own bundles and the
// documents that hold them; as bytes, hex, base64 or PEM. What a file is shows
// in its bytes and never in its name.
//
//	f, err := evidencefile.Read(bytes)
//	for _, b := range f.Bundles { attest.Verify(b, …) }
//	e, err := f.Evidence(furtherFiles, now)
//	attest.Examine(e, …)
//
// It judges nothing. A machine's evidence often lies in several files, so what
// a report needs beside it (certificates, lists, signatures, logs) is picked out of
// further files in the same way.
package evidencefile

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/internal/collateral"
)

// Limits.
const (
	MaxFile    = 24 << 20 // bytes of a file
	MaxBundles = 256      // bundles in a document
	maxWraps   = 4        // hex of base64 of PEM of …
	maxCommas  = 1 << 17  // in JSON: three bytes between two can take 48 in memory
)

// File is what was found in a file: bundles of ours, or pieces of evidence.
type File struct {
	Bundles [][]byte
	Pieces  []Piece
}

// Piece is evidence of one platform, as it was found.
type Piece struct {
	Platform string // "snp", "tdx", "tpm", "nvidia"
	What     string // for people: "a report of AMD SEV-SNP"
	Raw      []byte // as the hardware wrote it
	Beside   []byte // what came in the same file: a table or chain of certificates
	Data     []byte // instead of the two: the whole evidence in our own form
}

// Read finds out what b is. Errors are sentences for the person whose file it is.
func Read(b []byte) (File, error) {
	if len(b) > MaxFile {
		return File{}, fmt.Errorf("the file is longer than %d MiB", MaxFile>>20)
	}
	for range maxWraps {
		if f, err := read(b); err != nil || f.Bundles != nil || f.Pieces != nil {
			return f, err
		}
		inner, ok := unwrap(b)
		if !ok {
			break
		}
		b = inner
	}
	return File{}, errors.New(guess(b))
}

// read looks at what b is, but not at what might be wrapped in it.
func read(b []byte) (File, error) {
	if p, ok := piece(b); ok {
		return File{Pieces: []Piece{p}}, nil
	}
	switch text := bytes.TrimSpace(b); {
	case len(text) == 0:
		return File{}, errors.New("the file is empty")
	case kindOf(b) != kindUnknown:
		return File{}, errors.New(guess(b))
	case text[0] == '{' || text[0] == '[':
		return readJSON(text)
	}
	return File{}, nil
}

// piece recognises what hardware writes, by itself or in our container.
func piece(b []byte) (Piece, bool) {
	if p, ok := raw(b); ok {
		return p, true
	}
	first, ok := container(b)
	if !ok {
		return Piece{}, false
	}
	p, ok := raw(first)
	return Piece{Platform: p.Platform, What: p.What, Data: b}, ok
}

// Sizes and marks by which reports are known.
const (
	snpReport = 0x4a0      // AMD 56860, ATTESTATION_REPORT
	tdxHead   = 48 + 584   // Intel, TDX DCAP Quoting Library API, A.3: header and body of TDX 1.0
	tdxTEE    = 0x81       // tee_type, and REPORTTYPE of a report
	tdReport  = 1024       // Intel, TDX Module ABI, TDREPORT_STRUCT
	tpmMagic  = 0xff544347 // TCG TPM 2.0 Library, part 2, 6.2: TPM_GENERATED_VALUE
	tpmQuote  = 0x8018     // 6.9: TPM_ST_ATTEST_QUOTE
	spdmHead  = "\x11\xe0" // DMTF DSP0274 1.1: GET_MEASUREMENTS, which a GPU's report begins with
)

func raw(b []byte) (Piece, bool) {
	le, be := binary.LittleEndian, binary.BigEndian
	switch {
	case len(b) >= 64 && string(b[:2]) == spdmHead:
		return Piece{Platform: "nvidia", What: "a report of an NVIDIA GPU", Raw: b}, true
	case len(b) >= 8 && be.Uint32(b) == tpmMagic && be.Uint16(b[4:]) == tpmQuote:
		return Piece{Platform: "tpm", What: "a quote of a TPM", Raw: b}, true
	case len(b) >= tdxHead && (le.Uint16(b) == 4 || le.Uint16(b) == 5) && le.Uint32(b[4:]) == tdxTEE:
		return Piece{Platform: "tdx", What: "a quote of Intel TDX", Raw: b}, true
	case isSNP(b):
		p := Piece{Platform: "snp", What: "a report of AMD SEV-SNP", Raw: b[:snpReport]}
		if len(b) > snpReport {
			p.What, p.Beside = "a report of AMD SEV-SNP with a table of certificates", b[snpReport:]
		}
		return p, true
	}
	return Piece{}, false
}

// isSNP knows a report by its version and by the algorithm of its signature,
// which has been ECDSA P-384 from the beginning; both are small numbers, so the
// zeros between them count too.
func isSNP(b []byte) bool {
	if len(b) < snpReport || len(b) > snpReport && len(b) < snpReport+24 {
		return false
	}
	version, algorithm := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[0x34:])
	return version >= 1 && version <= 32 && algorithm == 1 && binary.LittleEndian.Uint32(b[0x30:]) <= 3
}

// container returns the first section of what has the form of one: see
// attest/section. Which sections there may be is the platforms' to say.
func container(b []byte) (first []byte, ok bool) {
	for rest := b; len(rest) > 0; {
		if len(rest) < 5 {
			return nil, false
		}
		n := uint64(binary.BigEndian.Uint32(rest[1:]))
		if n == 0 || n > uint64(len(rest)-5) || rest[0] == 0 || rest[0] > 32 {
			return nil, false
		}
		if first == nil {
			first = rest[5 : 5+n]
		}
		rest = rest[5+n:]
	}
	return first, first != nil
}

// unwrap takes off one layer of text around bytes.
func unwrap(b []byte) ([]byte, bool) {
	text := bytes.TrimSpace(b)
	if block, rest := pem.Decode(text); block != nil {
		if block.Type == "CERTIFICATE" || block.Type == "X509 CRL" || len(bytes.TrimSpace(rest)) > 0 {
			return nil, false
		}
		return block.Bytes, len(block.Bytes) > 0
	}
	// Marks around bytes that people and tools paste along.
	text = bytes.Trim(text, "\"'` \r\n\t")
	digits := bytes.TrimPrefix(text, []byte("0x"))
	digits = bytes.Map(func(r rune) rune {
		if r == ':' || r == ' ' || r == '\n' || r == '\r' || r == '\t' {
			return -1
		}
		return r
	}, digits)
	if len(digits) == 0 {
		return nil, false
	}
	out := make([]byte, hex.DecodedLen(len(digits)))
	if _, err := hex.Decode(out, digits); err == nil {
		return out, true
	}
	for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		out := make([]byte, enc.DecodedLen(len(digits)))
		if n, err := enc.Decode(out, digits); err == nil && n > 0 {
			return out[:n], true
		}
	}
	return nil, false
}

// document is every JSON document that evidence may stand in: those of
// spec/evidence.md, what the page and `sotto verify --json` save, the vectors of
// spec/vectors/attest, and what NVIDIA's tools write.
type document struct {
	KeyConfig json.RawMessage `json:"key_config"` // a bundle
	Bundle    []byte          `json:"bundle"`     // a vector
	Bundles   [][]byte        `json:"bundles"`    // a node's evidence document
	Nodes     json.RawMessage `json:"nodes"`      // a list of nodes, or such a document

	Platform string `json:"platform"` // one piece out of a bundle
	Data     []byte `json:"data"`

	Evidences []gpuEvidence `json:"evidences"` // NVIDIA's attestation tools
}

type gpuEvidence struct {
	Evidence    []byte `json:"evidence"`
	Certificate []byte `json:"certificate"`
}

func readJSON(text []byte) (File, error) {
	errWhat := errors.New("this is JSON, and holds no evidence that this program knows: it reads bundles, lists of nodes, and what NVIDIA’s tools write")
	if bytes.Count(text, []byte(",")) > maxCommas {
		return File{}, errWhat
	}
	if text[0] == '[' {
		var list []json.RawMessage
		if json.Unmarshal(text, &list) != nil || len(list) == 0 || len(list) > MaxBundles {
			return File{}, errWhat
		}
		var gpus []gpuEvidence
		if json.Unmarshal(text, &gpus) == nil && len(gpus[0].Evidence) > 0 {
			return readGPUs(gpus)
		}
		var nodes []document
		if json.Unmarshal(text, &nodes) != nil {
			return File{}, errWhat
		}
		var f File
		for _, n := range nodes {
			f.Bundles = append(f.Bundles, n.Bundles...)
		}
		return f.bounded(errWhat)
	}
	var d document
	if json.Unmarshal(text, &d) != nil {
		return File{}, errWhat
	}
	switch {
	case d.KeyConfig != nil:
		return File{Bundles: [][]byte{text}}, nil // exact, but for the line end that an editor adds
	case len(d.Bundle) > 0:
		return File{Bundles: [][]byte{d.Bundle}}, nil
	case len(d.Bundles) > 0:
		return File{Bundles: d.Bundles}.bounded(errWhat)
	case len(d.Data) > 0 && d.Platform != "" && len(d.Platform) <= 16 && strings.Trim(d.Platform, "abcdefghijklmnopqrstuvwxyz0123456789") == "":
		p := Piece{Platform: d.Platform, What: "evidence of the platform " + d.Platform, Data: d.Data}
		return File{Pieces: []Piece{p}}, nil
	case len(d.Evidences) > 0:
		return readGPUs(d.Evidences)
	case len(d.Nodes) > 0 && d.Nodes[0] == '{':
		var inner document
		if json.Unmarshal(d.Nodes, &inner) != nil || len(inner.Nodes) == 0 || inner.Nodes[0] != '[' {
			return File{}, errWhat
		}
		return readJSON(inner.Nodes)
	case len(d.Nodes) > 0 && d.Nodes[0] == '[':
		return readJSON(d.Nodes)
	}
	return File{}, errWhat
}

func (f File) bounded(errNone error) (File, error) {
	switch {
	case len(f.Bundles) == 0:
		return File{}, errNone
	case len(f.Bundles) > MaxBundles:
		return File{}, fmt.Errorf("this document holds more than %d bundles", MaxBundles)
	}
	return f, nil
}

func readGPUs(list []gpuEvidence) (File, error) {
	var f File
	for i, g := range list {
		p, ok := raw(g.Evidence)
		if !ok || p.Platform != "nvidia" {
			return File{}, fmt.Errorf("number %d of the reports in this file is not a GPU’s", i+1)
		}
		p.Beside = g.Certificate
		f.Pieces = append(f.Pieces, p)
	}
	return f, nil
}

// guess says what a file is that holds no evidence, and what to do about it.
func guess(b []byte) string {
	le := binary.LittleEndian
	switch f := classify(b); {
	case f.kind == kindX509:
		return "this is a certificate or a revocation list and no evidence: give it with --cert, beside the report"
	case f.kind == kindIntel:
		return "this is what Intel publishes about its hardware and no evidence: give it with --cert or put it into the folder of --collateral"
	case f.kind == kindLog:
		return "this is the log of what a machine started and no evidence: give it with --cert, beside the quote"
	case f.kind == kindTPMKey || f.kind == kindTPMSignature:
		return "this is a TPM’s key or signature and no evidence: give it with --cert, beside the quote"
	case f.kind == kindRIM || f.kind == kindTable:
		return "this is NVIDIA’s list of measurements and no evidence: give it with --cert, beside the report"
	case len(b) >= tdxHead && le.Uint16(b) == 3, len(b) >= tdxHead && (le.Uint16(b) == 4 || le.Uint16(b) == 5) && le.Uint32(b[4:]) == 0:
		return "this looks like a quote of Intel SGX, which Sotto doesn’t use: it reads those of TDX"
	case len(b) >= 8 && (le.Uint16(b) == 4 || le.Uint16(b) == 5) && le.Uint32(b[4:]) == tdxTEE:
		return fmt.Sprintf("this is the beginning of a quote of Intel TDX, cut off after %d bytes: copy the whole of it", len(b))
	case len(b) == tdReport && b[0] == tdxTEE:
		return "this is a report of Intel TDX that only the same processor can check: have the quoting service make a quote of it"
	case len(b) >= 4 && len(b) < snpReport && le.Uint32(b) >= 2 && le.Uint32(b) <= 5:
		return fmt.Sprintf("this may be the beginning of a report of AMD SEV-SNP: it has %d bytes of %d", len(b), snpReport)
	case len(b) > snpReport && isSNP(b[:snpReport]):
		return fmt.Sprintf("this is a report of AMD SEV-SNP and %d bytes behind it that are no certificates: keep the first %d", len(b)-snpReport, snpReport)
	case bytes.HasPrefix(b, []byte("00000000: ")), bytes.HasPrefix(b, []byte("00000000  ")), bytes.HasPrefix(b, []byte("0000000 ")):
		return "this is a dump for people to look at: give the file itself, or plain hex as “xxd -p” writes it"
	}
	return "this is no evidence that this program knows: it reads reports of AMD SEV-SNP, quotes of Intel TDX and of TPMs, reports of NVIDIA GPUs, and Sotto’s bundles; as bytes, hex, base64 or PEM"
}

// Evidence makes evidence of the pieces, with what belongs to each out of further
// files: certificates and revocation lists, what Intel publishes, a TPM's key,
// signature and log, NVIDIA's lists, which are checked as of now since they have to
// be read. Files that belong to no piece are passed over.
func (f File) Evidence(further []collateral.File, now time.Time) ([]attest.Evidence, error) {
	var files []known
	for _, file := range further {
		k := classify(file.Data)
		if k.kind == kindUnknown {
			return nil, fmt.Errorf("%s is nothing that belongs to evidence, as far as this program knows", file.Name)
		}
		files = append(files, k)
	}
	var out []attest.Evidence
	var gpus []Piece
	for _, p := range f.Pieces {
		if p.Platform == "nvidia" && p.Data == nil {
			gpus = append(gpus, p)
			continue
		}
		data, err := p.pack(files)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.What, err)
		}
		out = append(out, attest.Evidence{Platform: p.Platform, Data: data})
	}
	if gpus != nil {
		data, err := packGPUs(gpus, files, now)
		if err != nil {
			return nil, err
		}
		out = append(out, attest.Evidence{Platform: "nvidia", Data: data})
	}
	return out, nil
}

// MissingError says which file a piece needs beside it.
type MissingError string

func (e MissingError) Error() string { return string(e) }

// Bare returns the pieces as they are, without what belongs to them: enough to
// look at what the hardware signed, and not to judge it.
func (f File) Bare() (out []attest.Evidence) {
	for _, p := range f.Pieces {
		out = append(out, attest.Evidence{Platform: p.Platform, Data: slices.Concat(p.Raw, p.Data)}) // one of the two
	}
	return out
}

// Platforms names what is in the pieces, each once.
func (f File) Platforms() (names []string) {
	for _, p := range f.Pieces {
		if !slices.Contains(names, p.Platform) {
			names = append(names, p.Platform)
		}
	}
	return names
}

// String says what was found, for people.
func (f File) String() string {
	var what []string
	for _, p := range f.Pieces {
		what = append(what, p.What)
	}
	switch n := len(f.Bundles); n {
	case 0:
	case 1:
		what = append(what, "a bundle of Sotto")
	default:
		what = append(what, fmt.Sprintf("%d bundles of Sotto", n))
	}
	return strings.Join(what, ", ")
}
