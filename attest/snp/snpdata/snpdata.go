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
//	files, err := snpdata.ParseCertTable(auxblob)
//	data, err := snpdata.FromReport(outblob, files)
//
// The format of the data is that of spec/evidence-snp.md.
package snpdata

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"math/big"
	"slices"
	"strconv"

	"github.com/sotto-chat/sotto/attest/pile"
	"github.com/sotto-chat/sotto/attest/section/write"
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

// FromReport makes the evidence of a report of [ReportSize] bytes. The files,
// certificates and revocation lists, may be DER or PEM, several in one, in any order, and of
// more chips than the report's: it takes the certificate whose key signed the
// report, those above it, and the lists of its root. Those that it doesn't find it
// leaves out, and the verdict will say so. It fails on a report of another length
// and on bytes that are neither a certificate nor a list.
func FromReport(report []byte, files [][]byte) (data []byte, err error) {
	if len(report) != ReportSize {
		return nil, errors.New("a report is " + strconv.Itoa(ReportSize) + " bytes long, this one " + strconv.Itoa(len(report)))
	}
	certs, lists, err := pile.OpenAll(files)
	if err != nil {
		return nil, err
	}
	data = write.Append(nil, KindReport, report)
	leaf := signer(report, certs)
	data = write.Append(data, KindLeaf, leaf.Raw)
	parent := issuerOf(leaf, certs)
	data = write.Append(data, KindIntermediate, parent.Raw)
	root := issuerOf(parent, certs)
	data = write.Append(data, KindRoot, root.Raw)
	n := 0
	for _, l := range lists {
		if root.Raw == nil || !bytes.Equal(l.Issuer, root.Subject) {
			continue
		}
		if n++; n > MaxCRLs {
			return nil, errors.New("there are more than " + strconv.Itoa(MaxCRLs) + " revocation lists")
		}
		data = write.Append(data, KindCRL, l.Raw)
	}
	return data, nil
}

// ParseCertTable takes the certificates and revocation lists out of the table
// that a host gives along with a report: the data pages of an extended guest
// request (AMD 56421, SNP Extended Guest Request), which configfs-tsm shows as
// auxblob. Entries of other kinds, such as a host's own, are passed over. What an
// entry is shows in its bytes; the GUID beside it is not needed, and hosts differ
// in its byte order.
func ParseCertTable(table []byte) (files [][]byte, err error) {
	const entry, most = 24, 32 // GUID [16] ‖ offset [4] ‖ length [4], little-endian
	for i := 0; len(table) > 0; i++ {
		at := i * entry
		if at+entry > len(table) || i == most {
			return nil, errors.New("the table of certificates has no end")
		}
		e := table[at : at+entry]
		if bytes.Count(e, []byte{0}) == entry {
			break
		}
		off, n := uint64(binary.LittleEndian.Uint32(e[16:])), uint64(binary.LittleEndian.Uint32(e[20:]))
		if off+n > uint64(len(table)) {
			return nil, errors.New("entry " + strconv.Itoa(i+1) + " of the table of certificates lies outside it")
		}
		found, _ := pile.Open(table[off : off+n]) // nothing, of another kind
		for _, o := range found {
			files = append(files, o.Raw)
		}
	}
	return files, nil
}

// pointSize is the length of an uncompressed point of P-384.
const pointSize = 1 + 2*48

// point returns the point that a key ends in.
func point(key []byte) []byte { return key[max(0, len(key)-pointSize):] }

// signer returns the certificate whose key signed the report, else the first
// that a chip could have, so that the verdict can say what is wrong with it.
func signer(report []byte, certs []pile.Object) pile.Object {
	const signed, size = 0x2a0, 72
	digest := sha512.Sum384(report[:signed])
	number := func(b []byte) *big.Int {
		b = slices.Clone(b)
		slices.Reverse(b)
		return new(big.Int).SetBytes(b)
	}
	r, s := number(report[signed:signed+size]), number(report[signed+size:signed+2*size])
	var first pile.Object
	for _, c := range certs {
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P384(), point(c.Key))
		if err != nil {
			continue
		}
		if ecdsa.Verify(key, digest[:], r, s) {
			return c
		}
		if first.Raw == nil {
			first = c
		}
	}
	return first
}

// issuerOf returns the certificate above c, or none.
func issuerOf(c pile.Object, certs []pile.Object) pile.Object {
	for _, up := range certs {
		if c.Raw != nil && !bytes.Equal(up.Raw, c.Raw) && bytes.Equal(up.Subject, c.Issuer) {
			return up
		}
	}
	return pile.Object{}
}
