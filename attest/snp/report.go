// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package snp

import (
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/cert"
	"github.com/sotto-chat/sotto/attest/cert/der"
	"github.com/sotto-chat/sotto/attest/section"
	"github.com/sotto-chat/sotto/attest/snp/snpdata"
)

// report is an ATTESTATION_REPORT (AMD 56860, SNP_REPORT_REQ). All numbers in it
// are little-endian. Byte slices are parts of raw.
type report struct {
	raw []byte

	version, guestSVN           uint32
	policy, platform            uint64
	vmpl, flags                 uint32
	familyID, imageID           []byte // 16 bytes each
	reportData, chipID          []byte // 64
	measurement                 []byte // 48
	hostData                    []byte // 32
	idKey, authorKey            []byte // 48: digests of the keys that signed the ID block
	reportID, reportIDMA        []byte // 32
	current, reported           tcb
	committed, launch           tcb
	currentFW, committedFW      firmware
	launchMit, currentMit       uint64 // since version 5
	family, model, stepping     byte   // of CPUID, since version 3
	signatureR, signatureS      []byte // 48 bytes each, little-endian
	signingKey                  uint32
	maskChipKey, authorKeyGiven bool
}

// tcb is a TCB_VERSION: how new each part of the chip's firmware is. Which byte
// is which part depends on the product; see [product.parts].
type tcb [8]byte

// firmware is a version of the firmware that runs SNP: major, minor, build.
type firmware [3]byte

func (f firmware) String() string {
	return strconv.Itoa(int(f[0])) + "." + strconv.Itoa(int(f[1])) + "." + strconv.Itoa(int(f[2]))
}

func (f firmware) below(g firmware) bool { return slices.Compare(f[:], g[:]) < 0 }

// Offsets and values of a report.
const (
	signedSize = 0x2a0 // what comes before the signature is what was signed
	numberSize = 72    // bytes of each of a signature's two numbers
	curveSize  = 48    // bytes that a number of P-384 needs

	algorithmP384 = 1 // SIGNATURE_ALGO: ECDSA P-384 with SHA-384

	keyVCEK = 0 // SIGNING_KEY
	keyVLEK = 1
	keyNone = 7

	policyReserved1 = 1 << 17 // must be one
	policyMigrateMA = 1 << 18
	policyDebug     = 1 << 19
	policyKnown     = 1<<26 - 1
	platformKnown   = 1<<8 - 1
)

// parseReport reads a report and refuses what AMD 56860 doesn't define: other
// versions, other algorithms, reserved bits and bytes that aren't zero.
func parseReport(b []byte) (*report, error) {
	if len(b) != snpdata.ReportSize {
		return nil, errors.New("a report is " + strconv.Itoa(snpdata.ReportSize) + " bytes long")
	}
	u32 := func(at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }
	u64 := func(at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }
	r := &report{
		raw:     b,
		version: u32(0), guestSVN: u32(0x04), policy: u64(0x08),
		familyID: b[0x10:0x20], imageID: b[0x20:0x30],
		vmpl: u32(0x30), current: tcb(b[0x38:0x40]), platform: u64(0x40), flags: u32(0x48),
		reportData: b[0x50:0x90], measurement: b[0x90:0xc0], hostData: b[0xc0:0xe0],
		idKey: b[0xe0:0x110], authorKey: b[0x110:0x140],
		reportID: b[0x140:0x160], reportIDMA: b[0x160:0x180],
		reported: tcb(b[0x180:0x188]),
		family:   b[0x188], model: b[0x189], stepping: b[0x18a],
		chipID: b[0x1a0:0x1e0], committed: tcb(b[0x1e0:0x1e8]),
		currentFW: firmware{b[0x1ea], b[0x1e9], b[0x1e8]}, committedFW: firmware{b[0x1ee], b[0x1ed], b[0x1ec]},
		launch: tcb(b[0x1f0:0x1f8]), launchMit: u64(0x1f8), currentMit: u64(0x200),
		signatureR: b[signedSize : signedSize+curveSize],
		signatureS: b[signedSize+numberSize : signedSize+numberSize+curveSize],
	}
	r.signingKey = r.flags >> 2 & 7
	r.maskChipKey, r.authorKeyGiven = r.flags&2 != 0, r.flags&1 != 0

	if r.version != 2 && r.version != 3 && r.version != 5 {
		return nil, errors.New("reports of version " + strconv.FormatUint(uint64(r.version), 10) + " are not known")
	}
	if a := u32(0x34); a != algorithmP384 {
		return nil, errors.New("signatures of kind " + strconv.FormatUint(uint64(a), 10) + " are not known")
	}
	if r.policy&^policyKnown != 0 || r.policy&policyReserved1 == 0 || r.flags>>5 != 0 || r.stepping > 0xf {
		return nil, errors.New("reserved bits of the report are set")
	}
	reserved := [][2]int{
		{0x4c, 0x50}, {0x18b, 0x1a0}, {0x1eb, 0x1ec}, {0x1ef, 0x1f0}, {0x208, signedSize},
		{signedSize + curveSize, signedSize + numberSize},
		{signedSize + numberSize + curveSize, len(b)},
	}
	if r.version < 3 {
		reserved = append(reserved, [2]int{0x188, 0x18b})
	}
	if r.version < 5 {
		reserved = append(reserved, [2]int{0x1f8, 0x208})
	}
	for _, at := range reserved {
		if !zero(b[at[0]:at[1]]) {
			return nil, errors.New("reserved bytes of the report, from " + strconv.Itoa(at[0]) + " on, are not zero")
		}
	}
	return r, nil
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// product is a family of chips with a root key of its own.
type product struct {
	name string // as in the name of the root key: "ARK-Milan"

	// parts names the bytes of a TCB_VERSION (AMD 56860, TCB_VERSION), and
	// arcs says in which extension of the certificate each of them stands: the last
	// number of the OID (AMD 57230, VCEK certificate extensions).
	parts [8]string
	arcs  [8]byte

	layout   byte // the certificate's structVersion
	hwidSize int  // bytes of the chip's number in the certificate
}

func productNamed(name string) *product {
	p := &product{
		name:  name,
		parts: [8]string{"bootloader", "tee", "spl4", "spl5", "spl6", "spl7", "snp", "microcode"},
		arcs:  [8]byte{1, 2, 4, 5, 6, 7, 3, 8},

		hwidSize: 64,
	}
	if name == "Turin" {
		p.parts = [8]string{"fmc", "bootloader", "tee", "snp", "spl5", "spl6", "spl7", "microcode"}
		p.arcs = [8]byte{9, 1, 2, 3, 5, 6, 7, 8}
		p.layout, p.hwidSize = 1, 8
	}
	return p
}

// productOf tells which product a report is of, nil if none that is known. Since
// version 3 the chip says so itself. Before, only the certificate did, and there
// was no Turin.
func (r *report) productOf(l *leaf) *product {
	if r.version < 3 {
		if l == nil {
			return nil
		}
		switch name, _, _ := strings.Cut(l.product, "-"); name {
		case "Milan", "Genoa":
			return productNamed(name)
		}
		return nil
	}
	switch {
	case r.family == 0x19 && r.model < 0x10:
		return productNamed("Milan")
	case r.family == 0x19 && (r.model>>4 == 0x1 || r.model>>4 == 0xa): // Siena and Bergamo are among these
		return productNamed("Genoa")
	case r.family == 0x1a && r.model < 0x20:
		return productNamed("Turin")
	}
	return nil
}

// words writes a TCB_VERSION for people. Reserved parts are shown when they
// aren't zero.
func (p *product) words(t tcb) string {
	var s []string
	for i, name := range p.parts {
		if t[i] != 0 || !strings.HasPrefix(name, "spl") {
			s = append(s, name+" "+strconv.Itoa(int(t[i])))
		}
	}
	return strings.Join(s, ", ")
}

// below reports whether any part of t is lower than in u.
func (t tcb) below(u tcb) bool {
	for i := range t {
		if t[i] < u[i] {
			return true
		}
	}
	return false
}

// leaf is what a VCEK or VLEK certificate says in extensions of AMD's (AMD 57230,
// VCEK and VLEK certificate extensions).
type leaf struct {
	cert    *cert.Certificate
	layout  byte   // structVersion
	product string // "Milan-B0"; of a VLEK "Milan"
	spl     [10]int
	hwid    []byte // of a VCEK: the chip's number
	csp     string // of a VLEK: whose machines it is for
}

const (
	oidAMD          = "1.3.6.1.4.1.3704.1."
	oidAuthorityKey = "2.5.29.35"
)

// parseLeaf reads the extensions. All that a product needs must be there, and no
// other: a condition that isn't known can't be kept.
func parseLeaf(c *cert.Certificate) (*leaf, error) {
	l := &leaf{cert: c}
	for i := range l.spl {
		l.spl[i] = -1
	}
	version, given, ok := -1, 0, true
	for _, e := range c.Extensions {
		arc, amd := strings.CutPrefix(e.OID, oidAMD)
		if !amd {
			if e.OID != oidAuthorityKey {
				return nil, errors.New("the chip's certificate holds something that this app does not know (" + e.OID + ")")
			}
			continue
		}
		switch arc {
		case "1":
			version = small(e.Value)
		case "2":
			l.product, ok = text(e.Value)
		case "4":
			l.hwid, ok = e.Value, len(e.Value) > 0
		case "5":
			l.csp, ok = text(e.Value)
		default:
			n, is := strings.CutPrefix(arc, "3.")
			if !is || len(n) != 1 {
				return nil, errors.New("the chip's certificate holds something that this app does not know (" + e.OID + ")")
			}
			// All levels but the microcode's end at 127 (AMD 57230). What is no
			// number is missing, below.
			i := n[0] - '0'
			given++
			l.spl[i] = small(e.Value)
			ok = n == "8" || l.spl[i] < 0x80
		}
		if !ok {
			return nil, errors.New("a field of the chip's certificate is not in AMD's form (" + e.OID + ")")
		}
	}
	p := productNamed("")
	switch version {
	case 0:
	case 1:
		p = productNamed("Turin")
	default:
		return nil, errors.New("the chip's certificate is of a form that this app does not know")
	}
	l.layout = p.layout
	// AMD writes the number bare, where the tag of an OCTET STRING would be due.
	if b := l.hwid; len(b) == 2+p.hwidSize && b[0] == 0x04 && int(b[1]) == p.hwidSize {
		l.hwid = b[2:]
	}
	for _, arc := range p.arcs {
		if l.spl[arc] < 0 {
			given = -1
			break
		}
	}
	vcek, vlek := len(l.hwid) > 0, l.csp != ""
	if given != len(p.arcs) || l.product == "" || vcek == vlek || vcek && len(l.hwid) != p.hwidSize {
		return nil, errors.New("the chip's certificate does not say which chip and which firmware it is for")
	}
	return l, nil
}

// tcb returns the level of firmware that the certificate is for, in the layout
// of a product.
func (l *leaf) tcb(p *product) (t tcb) {
	for i, arc := range p.arcs {
		t[i] = byte(max(l.spl[arc], 0))
	}
	return t
}

func (l *leaf) vlek() bool { return l.csp != "" }

// small reads an INTEGER from 0 to 255 in DER, or returns -1.
func small(b []byte) int {
	r := der.New(b)
	n, ok := r.Int(255)
	if !ok || !r.Empty() {
		return -1
	}
	return n
}

// text reads an IA5String of 1 to 64 printable characters in DER.
func text(b []byte) (string, bool) {
	if len(b) < 3 || len(b) > 2+64 || b[0] != 0x16 || int(b[1]) != len(b)-2 {
		return "", false
	}
	for _, c := range b[2:] {
		if c < 0x20 || c > 0x7e {
			return "", false
		}
	}
	return string(b[2:]), true
}

const oidCommonName = "2.5.4.3"

// amdNamed reports whether a name has the attributes that AMD's certificates have
// (AMD 57230, certificate formats), each once and no others. What the common name
// says is for the caller to look at.
func amdNamed(raw []byte) bool {
	left := map[string]string{
		"2.5.4.11": "Engineering", "2.5.4.6": "US", "2.5.4.7": "Santa Clara",
		"2.5.4.8": "CA", "2.5.4.10": "Advanced Micro Devices", oidCommonName: "",
	}
	r := der.New(raw)
	for name, _ := r.In(der.Sequence); !name.Empty(); {
		set, _ := name.In(der.Set)
		attribute, _ := set.In(der.Sequence)
		oid, _ := attribute.OID()
		_, value, _, _ := attribute.Element()
		want, known := left[oid]
		if !known || !set.Empty() || oid != oidCommonName && want != string(value) {
			return false
		}
		delete(left, oid)
	}
	return len(left) == 0
}

// sha384 is the DER of the OID of SHA-384.
const sha384 = "\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02"

// amdSigned reports whether a certificate was signed as AMD signs: with RSASSA-PSS
// and SHA-384 (AMD 57230, certificate formats). It was parsed before: of the
// algorithms that there are then, only RSASSA-PSS has parameters, and one hash in them.
func amdSigned(raw []byte) bool {
	r := der.New(raw)
	body, _ := r.In(der.Sequence)
	_, _ = body.Next(der.Sequence)
	algorithm, _ := body.In(der.Sequence)
	_, _ = algorithm.OID()
	parameters, _ := algorithm.Next(der.Sequence)
	return strings.Contains(string(parameters), sha384)
}

// evidence is what a piece of evidence holds, opened. Certificates that aren't
// there are nil.
type evidence struct {
	report             *report
	leaf               *leaf
	intermediate, root *cert.Certificate
	crls               []*cert.CRL
}

// Sections are the rules of the container. Certificates and lists may be missing:
// whether that matters is a judgement, not a form.
func Sections() []section.Rule {
	return []section.Rule{
		{Kind: snpdata.KindReport, Name: "report", Min: 1, Max: 1, MaxLen: snpdata.ReportSize},
		{Kind: snpdata.KindLeaf, Name: "certificate of the chip's key", Max: 1, MaxLen: snpdata.MaxCert},
		{Kind: snpdata.KindIntermediate, Name: "certificate of the signing key", Max: 1, MaxLen: snpdata.MaxCert},
		{Kind: snpdata.KindRoot, Name: "certificate of the root key", Max: 1, MaxLen: snpdata.MaxCert},
		{Kind: snpdata.KindCRL, Name: "revocation list", Max: snpdata.MaxCRLs, MaxLen: snpdata.MaxCRL},
	}
}

// parse opens the data of a piece of evidence. It is total and bounded: whatever
// comes is opened as a whole or refused.
func parse(data []byte) (*evidence, error) {
	s, err := section.Parse(data, Sections())
	if err != nil {
		return nil, err
	}
	e := &evidence{}
	if e.report, err = parseReport(s.One(snpdata.KindReport)); err != nil {
		return nil, err
	}
	var first *cert.Certificate
	for _, at := range []struct {
		kind byte
		to   **cert.Certificate
	}{{snpdata.KindLeaf, &first}, {snpdata.KindIntermediate, &e.intermediate}, {snpdata.KindRoot, &e.root}} {
		if b := s.One(at.kind); b != nil {
			if *at.to, err = cert.Parse(b); err != nil {
				return nil, err
			}
		}
	}
	if first != nil {
		if e.leaf, err = parseLeaf(first); err != nil {
			return nil, err
		}
	}
	for _, b := range s.All(snpdata.KindCRL) {
		c, err := cert.ParseCRL(b)
		if err != nil {
			return nil, err
		}
		e.crls = append(e.crls, c)
	}
	return e, nil
}

// name returns what the verdict calls the chip: the product and the first eight
// bytes of its number, which no two share.
func (r *report) name(p *product) string {
	if zero(r.chipID) {
		return "AMD " + p.name
	}
	return "AMD " + p.name + " " + hexOf(r.chipID[:8])
}

var _ attest.Platform = Platform{}
