// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package tdxdata puts the evidence of the platform "tdx" together: the quote of
// an Intel TDX machine beside what it takes to judge it, which Intel calls
// collateral. It judges nothing; attest/tdx does. It stands alone so that the
// program inside a machine holds as little as possible:
//
//	data, err := tdxdata.FromQuote(outblob, files, ccel)
//
// The format of the data is that of spec/evidence-tdx.md.
package tdxdata

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"

	"github.com/sotto-chat/sotto/attest/pile"
	"github.com/sotto-chat/sotto/attest/section/write"
)

// Kinds of sections, in the order in which they stand.
const (
	KindQuote       = 1 // the exact quote, without padding
	KindCertificate = 2 // a certificate that isn't in the quote: TCB signing, DER
	KindTCBInfo     = 3 // Intel's TCB info of the machine's model, as Intel serves it
	KindQEIdentity  = 4 // Intel's identity of the quoting enclave, as Intel serves it
	KindCRL         = 5 // revocation list of Intel's root or of the CA of PCKs, DER
	KindEventLog    = 6 // the log of measured boot, without padding
)

// Limits of the sections in bytes.
const (
	MaxQuote      = 32 << 10  // real ones have 5 KB
	MaxTCBInfo    = 256 << 10 // 3 to 30 KB
	MaxQEIdentity = 32 << 10  // 1 KB
	MaxCRL        = 512 << 10 // 1 to 300 KB
	MaxCert       = 8 << 10   // 1 KB
	MaxLog        = 512 << 10 // 15 to 60 KB
)

// headSize is the length of a quote's header, and the parts of a quote after it
// that a length can be read from (Intel, TDX DCAP Quoting Library API, A.3).
const (
	headSize     = 48
	body10       = 584
	bodyHeadSize = 6 // of version 5: type [2] ‖ size [4]
)

// Trim returns the exact quote at the beginning of b. Drivers hand out a whole
// buffer: what follows the quote must be zeros. It looks at lengths only.
func Trim(b []byte) ([]byte, error) {
	at := uint64(headSize + body10)
	if len(b) >= headSize+bodyHeadSize && binary.LittleEndian.Uint16(b) == 5 {
		at = headSize + bodyHeadSize + uint64(binary.LittleEndian.Uint32(b[headSize+2:]))
	}
	if at+4 > uint64(len(b)) {
		return nil, errors.New("the quote is cut off")
	}
	end := at + 4 + uint64(binary.LittleEndian.Uint32(b[at:]))
	if end > uint64(len(b)) {
		return nil, errors.New("the quote is cut off")
	}
	if rest := b[end:]; bytes.Count(rest, []byte{0}) != len(rest) {
		return nil, errors.New(strconv.Itoa(len(rest)) + " bytes follow the quote and are no padding: keep the first " + strconv.Itoa(int(end)))
	}
	return b[:end:end], nil
}

// FromQuote makes the evidence of a quote as the hardware gave it, which may end
// in zeros. files are what Intel publishes, in any order, each recognised by what
// is in it: TCB infos and QE identities (JSON), certificates and revocation lists
// (DER, PEM with several in one, or DER in hex). It takes what belongs to
// the quote and leaves the rest out; what is missing the verdict will say.
// eventLog is the area that the firmware's CCEL table names, or nil. It fails on
// files that are nothing of the kind.
func FromQuote(quote []byte, files [][]byte, eventLog []byte) ([]byte, error) {
	quote, err := Trim(quote)
	if err != nil {
		return nil, err
	}
	if len(quote) > MaxQuote || len(eventLog) > 2*MaxLog {
		return nil, errors.New("the quote or the event log is too long")
	}
	var c collateral
	for i, f := range files {
		if !c.add(f) {
			return nil, errors.New("number " + strconv.Itoa(i+1) + " of the files is nothing that Intel publishes for this, or too long")
		}
	}
	own := quoteCertificates(quote)

	data := write.Append(nil, KindQuote, quote)
	further := slices.DeleteFunc(c.certs, func(o pile.Object) bool { return contains(own, o.Raw) })
	lists := slices.DeleteFunc(c.crls, func(o pile.Object) bool { return !issued(own, o) })
	switch {
	case len(further) > 4:
		return nil, errors.New("there are more than 4 certificates that aren't in the quote")
	case len(lists) > 4:
		return nil, errors.New("there are more than 4 revocation lists")
	}
	for _, crt := range further {
		data = write.Append(data, KindCertificate, crt.Raw)
	}
	data = write.Append(data, KindTCBInfo, tcbInfoOf(c.tcbInfos, own))
	data = write.Append(data, KindQEIdentity, c.qeIdentity)
	for _, l := range lists {
		data = write.Append(data, KindCRL, l.Raw)
	}
	if len(eventLog) > 0 {
		if eventLog, err = trimLog(eventLog); err != nil {
			return nil, err
		}
		if len(eventLog) > MaxLog {
			return nil, errors.New("the event log is too long")
		}
		data = write.Append(data, KindEventLog, eventLog)
	}
	return data, nil
}

// collateral is what was found in files.
type collateral struct {
	certs, crls []pile.Object
	tcbInfos    [][]byte
	qeIdentity  []byte
}

// add takes one file in. The JSON documents of Intel's other technologies have
// the same form and are passed over.
func (c *collateral) add(file []byte) bool {
	f := bytes.TrimSpace(file) // of text; DER may end in what looks like space
	switch {
	case bytes.HasPrefix(f, []byte(`{"tcbInfo":`)):
		if bytes.Contains(f, []byte(`"id":"TDX"`)) {
			c.tcbInfos = append(c.tcbInfos, f)
		}
		return len(f) <= MaxTCBInfo
	case bytes.HasPrefix(f, []byte(`{"enclaveIdentity":`)):
		if bytes.Contains(f, []byte(`"id":"TD_QE"`)) {
			c.qeIdentity = f
		}
		return len(f) <= MaxQEIdentity
	}
	if b, err := hex.DecodeString(string(f)); err == nil {
		return c.addDER(b)
	}
	return c.addDER(file)
}

func (c *collateral) addDER(b []byte) bool {
	objects, ok := pile.Open(b)
	for _, o := range objects {
		switch {
		case o.List && len(o.Raw) > MaxCRL, !o.List && len(o.Raw) > MaxCert:
			return false
		case o.List:
			c.crls = pile.Add(c.crls, o)
		default:
			c.certs = pile.Add(c.certs, o)
		}
	}
	return ok
}

// trimLog returns the log at the beginning of an area whose rest firmware filled
// with zeros or ones. It walks over the events and looks at lengths only (TCG PC
// Client Platform Firmware Profile 1.06, section 10.2).
func trimLog(area []byte) ([]byte, error) {
	const head, firstSize = 32, 28 // of the first event, which has another form
	sizes := map[uint16]uint64{0x04: 20, 0x0b: 32, 0x0c: 48, 0x0d: 64, 0x12: 32}
	le := binary.LittleEndian
	left, total := area, uint64(len(area))
	skip := func(n uint64) bool {
		if n > uint64(len(left)) {
			return false
		}
		left = left[n:]
		return true
	}
	errCut := errors.New("the event log is cut off")
	if total < head || !skip(head+uint64(le.Uint32(area[firstSize:]))) {
		return nil, errCut
	}
	for len(left) > 0 {
		if fill := left[0]; (fill == 0 || fill == 0xff) && bytes.Count(left, []byte{fill}) == len(left) {
			break
		}
		if len(left) < 12 {
			return nil, errCut
		}
		count := le.Uint32(left[8:])
		skip(12)
		for range min(count, 16) {
			if len(left) < 2 || sizes[le.Uint16(left)] == 0 || !skip(2+sizes[le.Uint16(left)]) {
				return nil, errCut
			}
		}
		if count > 16 || len(left) < 4 || !skip(4+uint64(le.Uint32(left))) {
			return nil, errCut
		}
	}
	return area[:len(area)-len(left)], nil
}

// quoteCertificates returns the certificates in a quote: they are the PEM text at
// its end. Nothing depends on whether that is so in a strange quote.
func quoteCertificates(quote []byte) []pile.Object {
	at := bytes.Index(quote, []byte("-----BEGIN CERTIFICATE-----"))
	if at < 0 {
		return nil
	}
	own, _ := pile.Open(quote[at:])
	return own
}

func contains(list []pile.Object, raw []byte) bool {
	return slices.ContainsFunc(list, func(o pile.Object) bool { return bytes.Equal(o.Raw, raw) })
}

// issued reports whether a list is by the issuer of one of the certificates.
func issued(certs []pile.Object, l pile.Object) bool {
	return slices.ContainsFunc(certs, func(c pile.Object) bool { return bytes.Equal(c.Issuer, l.Issuer) })
}

// fmspcHead is what stands before the six bytes of the model (FMSPC) in the
// certificate of a machine's key: the OID 1.2.840.113741.1.13.1.4, and the head of
// an OCTET STRING.
var fmspcHead = []byte{6, 10, 0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 1, 13, 1, 4, 4, 6}

// tcbInfoOf returns the TCB info of the model that the quote's certificate names,
// else the first, so that the verdict can say what is wrong with it.
func tcbInfoOf(infos [][]byte, own []pile.Object) []byte {
	if len(infos) == 0 {
		return nil
	}
	for _, c := range own {
		at := bytes.Index(c.Raw, fmspcHead)
		if at < 0 || at+len(fmspcHead)+6 > len(c.Raw) {
			continue
		}
		model := hex.EncodeToString(c.Raw[at+len(fmspcHead):][:6])
		for _, i := range infos {
			if bytes.Contains(bytes.ToLower(i), []byte(`"fmspc":"`+model+`"`)) {
				return i
			}
		}
	}
	return infos[0]
}
