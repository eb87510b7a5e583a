// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package tpmdata is the form in which a TPM's evidence travels: the sections of
// spec/evidence-tpm.md. It is a package of its own so that a machine, which only
// writes evidence, links nothing of what judges it.
package tpmdata

import (
	"bytes"
	"errors"
	"slices"

	"github.com/sotto-chat/sotto/attest/pile"
	"github.com/sotto-chat/sotto/attest/section/rule"
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

// Sections are the rules of the container, for package section.
func Sections() []rule.Rule {
	return []rule.Rule{
		{Kind: KindQuote, Name: "quote", Min: 1, Max: 1, MaxLen: 1024},
		{Kind: KindSignature, Name: "signature", Min: 1, Max: 1, MaxLen: 1024},
		{Kind: KindPublic, Name: "key", Min: 1, Max: 1, MaxLen: 1024},
		{Kind: KindCertificate, Name: "certificate", Min: 0, Max: 8, MaxLen: 8192},
		{Kind: KindCRL, Name: "revocation list", Min: 0, Max: 8, MaxLen: 256 << 10},
		{Kind: KindValues, Name: "registers", Min: 0, Max: 1, MaxLen: 16 * 24 * 64},
		{Kind: KindEventLog, Name: "event log", Min: 0, Max: 1, MaxLen: MaxLog},
	}
}

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
	dst = rule.Append(dst, KindQuote, p.Quote)
	dst = rule.Append(dst, KindSignature, p.Signature)
	dst = rule.Append(dst, KindPublic, p.Public)
	for _, c := range p.Certificates {
		dst = rule.Append(dst, KindCertificate, c)
	}
	for _, c := range p.CRLs {
		dst = rule.Append(dst, KindCRL, c)
	}
	dst = rule.Append(dst, KindValues, p.Values)
	return rule.Append(dst, KindEventLog, p.Log)
}

// Add adds certificates and revocation lists from files, which may be PEM, with
// several in one, or DER. The certificate of the signing key comes to stand
// first, so Public must be there already. One that is there already isn't added
// again. It looks no closer: the client does.
func (p *Parts) Add(files ...[]byte) error {
	for _, f := range files {
		objects, ok := pile.Open(f)
		if !ok {
			return errors.New("a file is neither a certificate nor a revocation list")
		}
		for _, o := range objects {
			n := len(p.Public)
			switch {
			case o.List && !contains(p.CRLs, o.Raw):
				p.CRLs = append(p.CRLs, o.Raw)
			case o.List || contains(p.Certificates, o.Raw):
			// A certificate of the key holds the end of its point or modulus.
			case n >= 32 && bytes.Contains(o.Key, p.Public[n-32:]):
				p.Certificates = append([][]byte{o.Raw}, p.Certificates...)
			default:
				p.Certificates = append(p.Certificates, o.Raw)
			}
		}
	}
	return nil
}

func contains(list [][]byte, b []byte) bool {
	return slices.ContainsFunc(list, func(o []byte) bool { return bytes.Equal(o, b) })
}
