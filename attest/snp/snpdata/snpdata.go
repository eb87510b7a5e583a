// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package snpdata puts the evidence of the platform "snp" together: the report
// of an AMD SEV-SNP machine beside the certificates and revocation lists that it
// takes to judge it. It judges nothing; attest/snp does. It stands alone so that
// the program inside a machine holds as little as possible.
//
// A machine gets its report, and often a table of certificates with it, from
// its firmware and host:
//
//	certs, crls, err := snpdata.ParseCertTable(auxblob)
//	data, err := snpdata.FromReport(outblob, certs, crls)
//
// The format of the data is that of spec/evidence-snp.md.
package snpdata

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha512"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"math/big"
	"slices"
	"strconv"

	"github.com/sotto-chat/sotto/attest/section/rule"
)

// Kinds of sections, in the order in which they stand.
const (
	KindReport       = 1 // ATTESTATION_REPORT, as the firmware wrote it
	KindLeaf         = 2 // certificate of the key that signed the report (VCEK or VLEK), DER
	KindIntermediate = 3 // certificate of the key that signed the leaf (ASK or ASVK), DER
	KindRoot         = 4 // AMD's root (ARK), signed by itself, DER
	KindCRL          = 5 // revocation list signed by the root, DER
)

// ReportSize is the length in bytes of a report (AMD 56860, ATTESTATION_REPORT).
const ReportSize = 0x4a0

// Limits of the sections.
const (
	MaxCert = 8 << 10   // bytes of a certificate; AMD's are under 2 KiB
	MaxCRL  = 256 << 10 // bytes of a revocation list; AMD's are about 1 KiB
	MaxCRLs = 4
)

// Rules are the rules of the container, for package section. Certificates and
// lists may be missing: whether that matters is a judgement, not a form.
func Rules() []rule.Rule {
	return []rule.Rule{
		{Kind: KindReport, Name: "report", Min: 1, Max: 1, MaxLen: ReportSize},
		{Kind: KindLeaf, Name: "certificate of the chip's key", Max: 1, MaxLen: MaxCert},
		{Kind: KindIntermediate, Name: "certificate of the signing key", Max: 1, MaxLen: MaxCert},
		{Kind: KindRoot, Name: "certificate of the root key", Max: 1, MaxLen: MaxCert},
		{Kind: KindCRL, Name: "revocation list", Max: MaxCRLs, MaxLen: MaxCRL},
	}
}

// FromReport makes the evidence of a report of [ReportSize] bytes. The
// certificates and lists may be DER or PEM, several in one, in any order, and of
// more chips than the report's: it takes the certificate whose key signed the
// report, those above it, and the lists of its root. Those that it doesn't find it
// leaves out, and the verdict will say so. It fails on a report of another length
// and on bytes that are neither a certificate nor a list.
func FromReport(report []byte, certs [][]byte, crls [][]byte) (data []byte, err error) {
	if len(report) != ReportSize {
		return nil, errors.New("a report is " + strconv.Itoa(ReportSize) + " bytes long, this one " + strconv.Itoa(len(report)))
	}
	var all, lists []object
	for i, b := range slices.Concat(certs, crls) {
		found, ok := open(b)
		if !ok {
			return nil, errors.New("number " + strconv.Itoa(i+1) + " of the certificates and lists is neither")
		}
		for _, o := range found {
			if o.list {
				lists = append(lists, o)
			} else {
				all = append(all, o)
			}
		}
	}

	data = rule.Append(nil, KindReport, report)
	leaf := signer(report, all)
	data = rule.Append(data, KindLeaf, leaf.raw)
	parent := issuerOf(leaf, all)
	data = rule.Append(data, KindIntermediate, parent.raw)
	root := issuerOf(parent, all)
	data = rule.Append(data, KindRoot, root.raw)
	n := 0
	for i, l := range lists {
		again := slices.ContainsFunc(lists[:i], func(o object) bool { return bytes.Equal(o.raw, l.raw) })
		if root.raw == nil || !bytes.Equal(l.issuer, root.subject) || again {
			continue
		}
		if n++; n > MaxCRLs {
			return nil, errors.New("there are more than " + strconv.Itoa(MaxCRLs) + " revocation lists")
		}
		data = rule.Append(data, KindCRL, l.raw)
	}
	return data, nil
}

// ParseCertTable takes the certificates and revocation lists out of the table
// that a host gives along with a report: the data pages of an extended guest
// request (AMD 56421, SNP Extended Guest Request), which configfs-tsm shows as
// auxblob. Entries of other kinds, such as a host's own, are passed over. What an
// entry is shows in its bytes; the GUID beside it is not needed, and hosts differ
// in its byte order.
func ParseCertTable(table []byte) (certs, crls [][]byte, err error) {
	const entry, most = 24, 32 // GUID [16] ‖ offset [4] ‖ length [4], little-endian
	for i := 0; len(table) > 0; i++ {
		at := i * entry
		if at+entry > len(table) || i == most {
			return nil, nil, errors.New("the table of certificates has no end")
		}
		e := table[at : at+entry]
		if bytes.Count(e, []byte{0}) == entry {
			break
		}
		off, n := uint64(binary.LittleEndian.Uint32(e[16:])), uint64(binary.LittleEndian.Uint32(e[20:]))
		if off+n > uint64(len(table)) {
			return nil, nil, errors.New("entry " + strconv.Itoa(i+1) + " of the table of certificates lies outside it")
		}
		found, _ := open(table[off : off+n]) // nothing, of another kind
		for _, o := range found {
			if o.list {
				crls = append(crls, o.raw)
			} else {
				certs = append(certs, o.raw)
			}
		}
	}
	return certs, crls, nil
}

// object is a certificate or a revocation list, opened as far as it takes to
// see where it belongs. Nothing in it has been checked.
type object struct {
	raw             []byte
	issuer, subject []byte // of a certificate; a list has only an issuer
	point           []byte // of a certificate: the last bytes of its key
	list            bool
}

// pointSize is the length of an uncompressed point of P-384.
const pointSize = 1 + 2*48

// open reads what may be one or more PEM blocks, or DER.
func open(b []byte) (found []object, ok bool) {
	if block, rest := pem.Decode(b); block != nil {
		for ; block != nil; block, rest = pem.Decode(rest) {
			o, ok := openDER(block.Bytes)
			if !ok {
				return nil, false
			}
			found = append(found, o)
		}
		return found, true
	}
	o, ok := openDER(b)
	if !ok {
		return nil, false
	}
	return []object{o}, true
}

// openDER reads one certificate (RFC 5280, section 4.1) or list (section 5.1).
// The two differ in the first field of what is signed: [0] or an INTEGER.
func openDER(b []byte) (o object, ok bool) {
	outer, rest, _ := next(b, 0x30)
	o.raw = b[:len(b)-len(rest)]
	tbs, _, _ := next(outer, 0x30)
	if len(tbs) == 0 || bytes.Count(rest, []byte{0}) != len(rest) { // data pages end in zeros
		return object{}, false
	}
	order := []byte{0xa0, 0x02, 0x30, 0x30, 0x30, 0x30, 0x30} // version, serial, algorithm, issuer, validity, subject, key
	if o.list = tbs[0] == 0x02; o.list {
		order = []byte{0x02, 0x30, 0x30} // version, algorithm, issuer
	}
	var fields [][]byte
	for _, tag := range order {
		f, rest, ok := next(tbs, tag)
		if !ok {
			return object{}, false
		}
		fields, tbs = append(fields, f), rest
	}
	if o.list {
		o.issuer = fields[2]
		return o, true
	}
	o.issuer, o.subject, o.point = fields[3], fields[5], fields[6]
	o.point = o.point[max(0, len(o.point)-pointSize):]
	return o, true
}

// next takes one DER element of a tag from the front of b: its content and what
// follows it.
func next(b []byte, tag byte) (content, rest []byte, ok bool) {
	if len(b) < 2 || b[0] != tag {
		return nil, nil, false
	}
	n, b := uint64(b[1]), b[2:]
	if n >= 0x80 {
		size := int(n & 0x7f)
		if size == 0 || size > 3 || size > len(b) {
			return nil, nil, false
		}
		n = 0
		for _, c := range b[:size] {
			n = n<<8 | uint64(c)
		}
		b = b[size:]
	}
	if n > uint64(len(b)) {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}

// signer returns the certificate whose key signed the report, else the first
// that a chip could have, so that the verdict can say what is wrong with it.
func signer(report []byte, certs []object) object {
	const signed, size = 0x2a0, 72
	digest := sha512.Sum384(report[:signed])
	number := func(b []byte) *big.Int {
		b = slices.Clone(b)
		slices.Reverse(b)
		return new(big.Int).SetBytes(b)
	}
	r, s := number(report[signed:signed+size]), number(report[signed+size:signed+2*size])
	var first object
	for _, c := range certs {
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P384(), c.point)
		if err != nil {
			continue
		}
		if ecdsa.Verify(key, digest[:], r, s) {
			return c
		}
		if first.raw == nil {
			first = c
		}
	}
	return first
}

// issuerOf returns the certificate above c, or none.
func issuerOf(c object, certs []object) object {
	for _, up := range certs {
		if c.raw != nil && !bytes.Equal(up.raw, c.raw) && bytes.Equal(up.subject, c.issuer) {
			return up
		}
	}
	return object{}
}
