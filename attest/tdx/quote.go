// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tdx

import (
	"encoding/binary"
	"errors"

	"github.com/sotto-chat/sotto/attest/cert"
	"github.com/sotto-chat/sotto/attest/cert/der"
	"github.com/sotto-chat/sotto/attest/section"
	"github.com/sotto-chat/sotto/attest/tcg"
	"github.com/sotto-chat/sotto/attest/tdx/tdxdata"
)

// evidence is a piece of evidence that could be read. Nothing of it is checked.
type evidence struct {
	quote      *quote
	certs      []*cert.Certificate // beside those in the quote
	tcbInfo    *tcbInfo            // nil when absent, as are the next two
	qeIdentity *qeIdentity
	crls       []*cert.CRL
	log        *tcg.Log
}

// Sections are the rules of the container. All but the quote may be missing:
// whether that matters is a judgement, not a form.
func Sections() []section.Rule {
	return []section.Rule{
		{Kind: tdxdata.KindQuote, Name: "quote", Min: 1, Max: 1, MaxLen: tdxdata.MaxQuote},
		{Kind: tdxdata.KindCertificate, Name: "certificate", Max: 4, MaxLen: tdxdata.MaxCert},
		{Kind: tdxdata.KindTCBInfo, Name: "TCB info", Max: 1, MaxLen: tdxdata.MaxTCBInfo},
		{Kind: tdxdata.KindQEIdentity, Name: "QE identity", Max: 1, MaxLen: tdxdata.MaxQEIdentity},
		{Kind: tdxdata.KindCRL, Name: "revocation list", Max: 4, MaxLen: tdxdata.MaxCRL},
		{Kind: tdxdata.KindEventLog, Name: "event log", Max: 1, MaxLen: tdxdata.MaxLog},
	}
}

func parse(data []byte) (*evidence, error) {
	s, err := section.Parse(data, Sections())
	if err != nil {
		return nil, err
	}
	e := &evidence{}
	if e.quote, err = parseQuote(s.One(tdxdata.KindQuote)); err != nil {
		return nil, err
	}
	if e.certs, err = cert.ParseAll(s.All(tdxdata.KindCertificate)); err != nil {
		return nil, err
	}
	if b := s.One(tdxdata.KindTCBInfo); b != nil {
		if e.tcbInfo, err = parseTCBInfo(b); err != nil {
			return nil, err
		}
	}
	if b := s.One(tdxdata.KindQEIdentity); b != nil {
		if e.qeIdentity, err = parseQEIdentity(b); err != nil {
			return nil, err
		}
	}
	for _, b := range s.All(tdxdata.KindCRL) {
		l, err := cert.ParseCRL(b)
		if err != nil {
			return nil, err
		}
		e.crls = append(e.crls, l)
	}
	if b := s.One(tdxdata.KindEventLog); b != nil {
		if e.log, err = tcg.Parse(b); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// Lengths and constants of a quote (Intel, TDX DCAP Quoting Library API, appendix
// A.3 and A.4; SGX DCAP for the enclave's report).
const (
	headerSize = 48
	td10Size   = 584 // TD report of TDX 1.0
	td15Size   = 648 // of TDX 1.5: TEE_TCB_SVN_2 [16] ‖ MRSERVICETD [48] more

	typeTD10 = 2
	typeTD15 = 3

	keyTypeP256 = 2
	teeTDX      = 0x81
	certQE      = 6 // certification data: QE report
	certPCK     = 5 // certification data: PEM chain of the PCK
)

// vendorIntel is the QE vendor id of Intel's quoting enclave.
const vendorIntel = "\x93\x9a\x72\x33\xf7\x9c\x4c\xa9\x94\x0a\x0d\xb3\x95\x7f\x06\x07"

// body is a TD report (TDX module ABI, TDREPORT_STRUCT, as a quote has it).
type body struct {
	teeTCBSVN                                []byte // 16
	mrSEAM, mrSignerSEAM                     []byte // 48 each
	seamAttributes, attributes, xfam         []byte // 8 each, little-endian
	mrTD, mrConfigID, mrOwner, mrOwnerConfig []byte // 48 each
	rtmr                                     [4][]byte
	reportData                               []byte // 64
	teeTCBSVN2, mrServiceTD                  []byte // 16 and 48; nil before TDX 1.5
}

// quote is a quote that could be read. Slices are parts of it.
type quote struct {
	version          int
	td15             bool
	header           []byte
	body             body
	signed           []byte // what signature is over: header, body descriptor, body
	signature, key   []byte // r ‖ s and x ‖ y of the attestation key, 64 each
	qe               qeReport
	qeReport, qeSign []byte // exact report of the quoting enclave, and r ‖ s of the PCK
	qeAuth           []byte
	certs            []*cert.Certificate // leaf, CA, root
	pck              pck
}

// qeReport is the report of an SGX enclave, which quotes are signed in.
type qeReport struct {
	cpuSVN, miscSelect, attributes, mrEnclave, mrSigner, reportData []byte
	prodID, svn                                                     uint16
}

// cutter takes pieces off the front. After the first piece that isn't there it is
// broken and gives nothing.
type cutter struct {
	b      []byte
	broken bool
}

func (c *cutter) take(n uint32) []byte {
	if uint64(n) > uint64(len(c.b)) {
		c.broken, c.b = true, nil
		return nil
	}
	out := c.b[:n:n]
	c.b = c.b[n:]
	return out
}

func (c *cutter) u16() uint16 {
	if b := c.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (c *cutter) u32() uint32 {
	if b := c.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

var errQuoteCut = errors.New("the quote is cut off, or a length in it is wrong")

// parseQuote reads a quote of version 4 or 5 and refuses bytes after its end.
func parseQuote(raw []byte) (*quote, error) {
	c := cutter{b: raw}
	q := &quote{header: c.take(headerSize)}
	if c.broken {
		return nil, errQuoteCut
	}
	h := cutter{b: q.header}
	q.version = int(h.u16())
	keyType, tee := h.u16(), h.u32()
	h.take(4) // SVNs of QE and PCE, or reserved
	switch {
	case q.version != 4 && q.version != 5:
		return nil, errors.New("the quote is of a version that is not known")
	case tee != teeTDX:
		return nil, errors.New("the quote is not of a TDX machine")
	case keyType != keyTypeP256:
		return nil, errors.New("the quote is signed by a kind of key that is not known")
	case string(h.take(16)) != vendorIntel:
		return nil, errors.New("the quote was not made by Intel's quoting enclave")
	}
	size := uint32(td10Size)
	if q.version == 5 {
		kind, n := c.u16(), c.u32()
		q.td15 = kind == typeTD15
		if q.td15 {
			size = td15Size
		}
		if kind != typeTD10 && kind != typeTD15 || n != size {
			return nil, errors.New("the quote holds a kind of report that is not known")
		}
	}
	q.parseBody(c.take(size))
	q.signed = raw[:len(raw)-len(c.b)]
	n := c.u32()
	if uint64(n) != uint64(len(c.b)) {
		return nil, errQuoteCut
	}
	// What is cut off leaves a type of 0.
	q.signature, q.key = c.take(64), c.take(64)
	if kind, n := c.u16(), c.u32(); kind != certQE || uint64(n) != uint64(len(c.b)) {
		return nil, errQuoteCut
	}
	q.qeReport, q.qeSign = c.take(384), c.take(64)
	q.qeAuth = c.take(uint32(c.u16()))
	if kind, n := c.u16(), c.u32(); kind != certPCK || uint64(n) != uint64(len(c.b)) {
		return nil, errQuoteCut
	}
	q.parseQE()
	var err error
	if q.certs, err = cert.ParsePEM(c.b, 3); err != nil {
		return nil, err
	}
	if len(q.certs) != 3 {
		return nil, errors.New("the quote holds other than three certificates")
	}
	q.pck, err = parsePCK(q.certs[0])
	return q, err
}

// parseBody takes a TD report apart, whose length is right, or which is nil.
func (q *quote) parseBody(b []byte) {
	c := cutter{b: b}
	d := &q.body
	d.teeTCBSVN = c.take(16)
	d.mrSEAM, d.mrSignerSEAM = c.take(48), c.take(48)
	d.seamAttributes, d.attributes, d.xfam = c.take(8), c.take(8), c.take(8)
	d.mrTD, d.mrConfigID, d.mrOwner, d.mrOwnerConfig = c.take(48), c.take(48), c.take(48), c.take(48)
	for i := range d.rtmr {
		d.rtmr[i] = c.take(48)
	}
	d.reportData = c.take(64)
	d.teeTCBSVN2, d.mrServiceTD = c.take(16), c.take(48) // nil where the report has ended
}

// parseQE takes the enclave's report apart (SGX, REPORTBODY).
func (q *quote) parseQE() {
	c := cutter{b: q.qeReport}
	r := &q.qe
	r.cpuSVN, r.miscSelect = c.take(16), c.take(4)
	c.take(28)
	r.attributes, r.mrEnclave = c.take(16), c.take(32)
	c.take(32)
	r.mrSigner = c.take(32)
	c.take(96)
	r.prodID, r.svn = c.u16(), c.u16()
	c.take(60)
	r.reportData = c.take(64)
}

// pck is what Intel says of a machine in the certificate of its key (Intel, SGX
// PCK Certificate and CRL Profile, section 1.3.5).
type pck struct {
	ppid     []byte // 16: the machine's number
	instance []byte // 16: of a machine with several packages; nil elsewhere
	fmspc    []byte // 6: the model
	pceID    []byte // 2
	svn      [16]byte
	pceSVN   uint16
}

const oidSGX = "1.2.840.113741.1.13.1"

// parsePCK reads the extension of a machine's certificate. Each part that is used
// stands there once; parts that aren't known are passed over, since Intel signs
// more than it takes to judge.
func parsePCK(leaf *cert.Certificate) (p pck, err error) {
	bad := errors.New("the certificate of the machine's key doesn't say what Intel's do")
	value, _ := leaf.Extension(oidSGX)
	outer := der.New(value)
	list, _ := outer.In(der.Sequence) // else something is left, or missing below
	if !outer.Empty() {
		return p, bad
	}
	for _, f := range [...]struct {
		to   *[]byte
		oid  string
		size int
	}{
		{&p.ppid, oidSGX + ".1", 16},
		{&p.pceID, oidSGX + ".3", 2},
		{&p.fmspc, oidSGX + ".4", 6},
		{&p.instance, oidSGX + ".6", 16},
	} {
		item, there, ok := find(list, f.oid)
		if f.to == &p.instance && ok && !there {
			continue
		}
		v, _ := item.Next(der.OctetString) // nil from what isn't there
		if !item.Empty() || len(v) != f.size {
			return p, bad
		}
		*f.to = v
	}
	item, _, _ := find(list, oidSGX+".2")
	levels, _ := item.In(der.Sequence)
	if !item.Empty() {
		return p, bad
	}
	for i := range 17 {
		item, _, _ := find(levels, oidSGX+".2."+itoa(i+1))
		most := 0xff
		if i == 16 {
			most = 0xffff
		}
		n, isInt := item.Int(most)
		if !isInt || !item.Empty() {
			return p, bad
		}
		if i == 16 {
			p.pceSVN = uint16(n)
		} else {
			p.svn[i] = byte(n)
		}
	}
	return p, nil
}

// find looks for the element SEQUENCE { oid, … } of a list and returns a reader of
// what follows the oid. It is not ok, and the reader is empty, if there are two or any
// element isn't of this form.
func find(list der.Reader, oid string) (item der.Reader, there, ok bool) {
	for !list.Empty() {
		next, _ := list.In(der.Sequence) // else it has no oid
		id, ok := next.OID()
		if !ok || id == oid && there {
			return der.Reader{}, false, false
		}
		if id == oid {
			item, there = next, true
		}
	}
	return item, there, true
}
