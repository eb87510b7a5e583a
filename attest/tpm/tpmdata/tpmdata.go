// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package tpmdata is the form in which a TPM's evidence travels: the sections of
// spec/evidence-tpm.md. It is a package of its own so that a machine, which only
// writes evidence, links nothing of what judges it.
package tpmdata

import (
	"bytes"
	"slices"

	"github.com/sotto-chat/sotto/attest/pile"
	"github.com/sotto-chat/sotto/attest/section/write"
)

// Name is the platform's name in bundles.
const Name = "tpm"

// Kinds of sections.
const (
	KindQuote       = 1 // TPMS_ATTEST
	KindSignature   = 2 // TPMT_SIGNATURE
	KindPublic      = 3 // TPMT_PUBLIC of the key that signed
	KindCertificate = 4 // DER; the key's first, then its issuers in any order, the root too
	KindCRL         = 5 // DER
	KindValues      = 6 // the quoted registers, one after another in the quote's order
	KindEventLog    = 7 // crypto-agile TCG event log
)

// MaxLog is the most bytes of an event log that evidence may hold.
const MaxLog = 512 << 10

// Parts is what a TPM's evidence is made of.
type Parts struct {
	Quote        []byte   // TPMS_ATTEST as it was signed
	Signature    []byte   // TPMT_SIGNATURE
	Public       []byte   // TPMT_PUBLIC of the signing key
	Certificates [][]byte // DER, the signing key's first
	CRLs         [][]byte // DER
	Values       []byte   // quoted registers, concatenated in the order of the quote
	Log          []byte   // crypto-agile event log, or nil
}

// Append returns the evidence's data.
func (p Parts) Append(dst []byte) []byte {
	dst = write.Append(dst, KindQuote, p.Quote)
	dst = write.Append(dst, KindSignature, p.Signature)
	dst = write.Append(dst, KindPublic, p.Public)
	for _, c := range p.Certificates {
		dst = write.Append(dst, KindCertificate, c)
	}
	for _, c := range p.CRLs {
		dst = write.Append(dst, KindCRL, c)
	}
	dst = write.Append(dst, KindValues, p.Values)
	return write.Append(dst, KindEventLog, p.Log)
}

// Add adds certificates and revocation lists from files, which may be PEM, with
// several in one, or DER. The certificate of the signing key comes to stand
// first, so Public must be there already. One that is there already isn't added
// again. It looks no closer: the client does.
func (p *Parts) Add(files ...[]byte) error {
	certs, lists, err := pile.OpenAll(slices.Concat(p.Certificates, p.CRLs, files))
	if err != nil {
		return err
	}
	p.Certificates, p.CRLs = nil, nil
	n := len(p.Public)
	for _, o := range certs {
		// A certificate of the key holds the end of its point or modulus.
		if n >= 32 && bytes.Contains(o.Key, p.Public[n-32:]) {
			p.Certificates = slices.Insert(p.Certificates, 0, o.Raw)
		} else {
			p.Certificates = append(p.Certificates, o.Raw)
		}
	}
	for _, o := range lists {
		p.CRLs = append(p.CRLs, o.Raw)
	}
	return nil
}
