// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package snptest is a whole fake AMD for tests: root, signing keys, chips,
// reports and revocation lists that differ from real ones only in that everybody
// can make them. It signs whatever a test wants, so that each rule of attest/snp can
// be broken by itself:
//
//	m := snptest.New("Milan", reportData)
//	m.Report.VMPL = 1
//	data := m.Data()
//	a := snp.Platform{Roots: m.AMD.Roots()}.Verify(data, …)
//
// Only tests import it.
package snptest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"time"

	"github.com/sotto-chat/sotto/attest/cert"
	"github.com/sotto-chat/sotto/attest/section"
	"github.com/sotto-chat/sotto/attest/snp/snpdata"
)

// Now is the time, in Unix seconds, at which what [New] makes is valid.
const Now = 1_800_000_000

// AMD is the maker of one family of chips.
type AMD struct {
	Product string // "Milan", "Genoa", "Turin"
	Other   bool   // keys of another maker, who uses the same names

	// Change is called with each certificate before it is signed: "ARK", "ASK",
	// "ASVK", "leaf".
	Change func(name string, c *x509.Certificate)

	// Algorithm signs certificates and lists; zero means RSASSA-PSS with SHA-384.
	Algorithm x509.SignatureAlgorithm
}

// keys are the keys of the fake AMD's, which anybody can compute: the primes of
// each are the first at or after what a hash of its name says, so many further on.
// They are shorter than AMD's, which have 4,096 bits, to be quick.
var keys = map[string]func() *rsa.PrivateKey{
	"ARK": newKey("ARK", 1970, 860), "ARK other": newKey("ARK other", 320, 858),
	"ASK": newKey("ASK", 754, 1836), "ASK other": newKey("ASK other", 366, 30),
	"ASVK": newKey("ASVK", 4, 78), "ASVK other": newKey("ASVK other", 5132, 1476),
}

func newKey(name string, p, q int64) func() *rsa.PrivateKey {
	return sync.OnceValue(func() *rsa.PrivateKey {
		prime := func(letter string, further int64) *big.Int {
			var b []byte
			for i := range byte(2) {
				h := sha512.Sum512(append([]byte("sotto fake AMD "+name+" "+letter), i))
				b = append(b, h[:]...)
			}
			b[0] |= 0xc0
			b[len(b)-1] |= 1
			n := new(big.Int).SetBytes(b)
			return n.Add(n, big.NewInt(further))
		}
		one := big.NewInt(1)
		k := &rsa.PrivateKey{Primes: []*big.Int{prime("p", p), prime("q", q)}}
		k.E = 65537
		k.N = new(big.Int).Mul(k.Primes[0], k.Primes[1])
		phi := new(big.Int).Mul(new(big.Int).Sub(k.Primes[0], one), new(big.Int).Sub(k.Primes[1], one))
		k.D = new(big.Int).ModInverse(big.NewInt(int64(k.E)), phi)
		k.Precompute()
		return k
	})
}

var chipKey = sync.OnceValue(func() *ecdsa.PrivateKey {
	seed := sha512.Sum384([]byte("sotto fake AMD chip"))
	return must(ecdsa.ParseRawPrivateKey(elliptic.P384(), seed[:]))
})

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Key returns the private key of "ARK", "ASK" or "ASVK".
func (a *AMD) Key(name string) *rsa.PrivateKey {
	if a.Other {
		name += " other"
	}
	return keys[name]()
}

// Name returns a name as AMD's certificates have them.
func Name(common string) pkix.Name {
	return pkix.Name{
		OrganizationalUnit: []string{"Engineering"}, Country: []string{"US"}, Locality: []string{"Santa Clara"},
		Province: []string{"CA"}, Organization: []string{"Advanced Micro Devices"}, CommonName: common,
	}
}

// Roots returns the fake root in the form that attest/snp takes.
func (a *AMD) Roots() []cert.Root {
	root := must(cert.Parse(a.Root().Raw))
	return []cert.Root{{Name: "ARK-" + a.Product, Key: root.KeyHash()}}
}

// made is what was signed before, by a maker that changes nothing: it takes a
// while to sign, and tests ask for the same again and again.
var made sync.Map

func once[T any](a *AMD, name string, make func() T) T {
	if a.Change != nil {
		return make()
	}
	key := fmt.Sprintf("%s %v %v %s", a.Product, a.Other, a.algorithm(), name)
	v, ok := made.Load(key)
	if !ok {
		v, _ = made.LoadOrStore(key, make())
	}
	return v.(T)
}

// Root returns the root's certificate, signed by itself.
func (a *AMD) Root() *x509.Certificate {
	c := *once(a, "ARK", a.root)
	return &c
}

func (a *AMD) root() *x509.Certificate {
	c := a.authority("ARK", "ARK-"+a.Product, 0x10000)
	c.KeyUsage |= x509.KeyUsageCRLSign
	return a.sign("ARK", c, c, a.Key("ARK").Public(), a.Key("ARK"))
}

// Intermediate returns the certificate of the key that signs chips' certificates.
func (a *AMD) Intermediate(vlek bool) *x509.Certificate {
	c := *once(a, fmt.Sprint("below ", vlek), func() *x509.Certificate { return a.intermediate(vlek) })
	return &c
}

func (a *AMD) intermediate(vlek bool) *x509.Certificate {
	name, common, serial := "ASK", "SEV-"+a.Product, int64(0x10001)
	if vlek {
		name, common, serial = "ASVK", "SEV-VLEK-"+a.Product, 0x10002
	}
	c := a.authority(name, common, serial)
	c.MaxPathLenZero = true
	return a.sign(name, c, a.Root(), a.Key(name).Public(), a.Key("ARK"))
}

func (a *AMD) authority(name, common string, serial int64) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: Name(common),
		NotBefore: time.Unix(1_600_000_000, 0), NotAfter: time.Unix(2_390_000_000, 0),
		KeyUsage: x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true, MaxPathLen: -1,
		CRLDistributionPoints: []string{"https://kdsintf.amd.com/vcek/v1/" + a.Product + "/crl"},
	}
}

func (a *AMD) algorithm() x509.SignatureAlgorithm {
	if a.Algorithm != 0 {
		return a.Algorithm
	}
	return x509.SHA384WithRSAPSS
}

// sign makes a certificate. AMD's leaves name no authority key, so neither do these.
func (a *AMD) sign(name string, c, parent *x509.Certificate, pub crypto.PublicKey, key *rsa.PrivateKey) *x509.Certificate {
	c.SignatureAlgorithm = a.algorithm()
	if a.Change != nil {
		a.Change(name, c)
	}
	up := *parent
	up.SubjectKeyId = nil
	if parent == c {
		up = *c
	}
	raw := must(x509.CreateCertificate(rand.Reader, c, &up, pub, key))
	if parsed, err := x509.ParseCertificate(raw); err == nil {
		return parsed
	}
	return &x509.Certificate{Raw: raw} // a test wanted one that can't be read
}

// List is a revocation list.
type List struct {
	Revoked                []int64
	ThisUpdate, NextUpdate int64  // Unix seconds
	Signer                 string // "ARK" if empty
}

// CRL signs a revocation list.
func (a *AMD) CRL(l List) []byte {
	return once(a, fmt.Sprintf("%+v", l), func() []byte { return a.crl(l) })
}

func (a *AMD) crl(l List) []byte {
	issuer, key := a.Root(), a.Key("ARK")
	if l.Signer == "ASK" {
		issuer, key = a.Intermediate(false), a.Key("ASK")
	}
	// The library refuses to sign for an issuer that may not, and a test may want it.
	issuer.KeyUsage |= x509.KeyUsageCRLSign
	issuer.SubjectKeyId = []byte{1}
	t := &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: time.Unix(l.ThisUpdate, 0), NextUpdate: time.Unix(l.NextUpdate, 0),
		SignatureAlgorithm: a.algorithm(),
	}
	for _, s := range l.Revoked {
		t.RevokedCertificateEntries = append(t.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: big.NewInt(s), RevocationTime: time.Unix(l.ThisUpdate, 0)})
	}
	return must(x509.CreateRevocationList(rand.Reader, t, issuer, key))
}

// TCB is a level of firmware. FMC counts for Turin only, and SPL are the
// reserved parts: 4 to 7, without 4 for Turin.
type TCB struct {
	FMC, Bootloader, TEE, SNP, Microcode byte
	SPL                                  [4]byte
}

// Bytes writes the level as a report has it.
func (t TCB) Bytes(product string) [8]byte {
	if product == "Turin" {
		return [8]byte{t.FMC, t.Bootloader, t.TEE, t.SNP, t.SPL[1], t.SPL[2], t.SPL[3], t.Microcode}
	}
	return [8]byte{t.Bootloader, t.TEE, t.SPL[0], t.SPL[1], t.SPL[2], t.SPL[3], t.SNP, t.Microcode}
}

// Report holds the fields of a report.
type Report struct {
	Version, GuestSVN, VMPL, Algorithm, Flags uint32
	Policy, Platform, LaunchMit, CurrentMit   uint64
	FamilyID, ImageID                         [16]byte
	ReportData, ChipID                        [64]byte
	Measurement, IDKey, AuthorKey             [48]byte
	HostData, ReportID, ReportIDMA            [32]byte
	Current, Reported, Committed, Launch      TCB
	CurrentVersion, CommittedVersion          [3]byte // major, minor, build
	Family, Model, Stepping                   byte
}

// Leaf says what a chip's certificate holds.
type Leaf struct {
	Product string // "Milan-B0"
	Layout  int    // structVersion
	TCB     TCB
	HWID    []byte // of a VCEK
	CSP     string // of a VLEK
	VLEK    bool   // signed by the key for VLEKs, and named so

	// Extensions replaces the extensions where it isn't nil.
	Extensions []pkix.Extension
	// Key replaces the chip's key where it isn't nil.
	Key *ecdsa.PrivateKey
}

// Machine is a machine with a chip of the fake AMD's. Tests change its fields
// before they call [Machine.Data].
type Machine struct {
	AMD    *AMD
	Report Report
	Leaf   Leaf
	List   *List // nil: no revocation list

	// BeforeSigning and AfterSigning change a report's bytes.
	BeforeSigning, AfterSigning func(report []byte)
}

// New returns a machine that is right in every way, for which the zero rules hold.
func New(product string, reportData [64]byte) *Machine {
	level := TCB{Bootloader: 4, TEE: 1, SNP: 22, Microcode: 213}
	version := [3]byte{1, 55, 21}
	m := &Machine{
		AMD: &AMD{Product: product},
		Report: Report{
			Version: 3, GuestSVN: 1, Algorithm: 1, Policy: 1<<16 | 1<<17 | 1<<8 | 51, Platform: 1<<0 | 1<<2 | 1<<5,
			ReportData: reportData, Family: 0x19, Model: 0x01, Stepping: 1,
			Current: level, Reported: level, Committed: level, Launch: level,
			CurrentVersion: version, CommittedVersion: version,
		},
		Leaf: Leaf{Product: product + "-B1"},
		List: &List{ThisUpdate: Now - 86_400, NextUpdate: Now + 30*86_400},
	}
	r := &m.Report
	for i := range r.Measurement {
		r.Measurement[i] = byte(i)
	}
	for i := range r.ReportIDMA {
		r.ReportIDMA[i] = 0xff
	}
	size := 64
	switch product {
	case "Milan":
		r.Version = 2
		r.Family, r.Model, r.Stepping = 0, 0, 0
	case "Genoa":
		r.Model = 0x11
	case "Turin":
		r.Version, r.Family, r.Model = 5, 0x1a, 0x02
		r.LaunchMit, r.CurrentMit = 0x3, 0x7
		level.FMC = 2
		r.Current, r.Reported, r.Committed, r.Launch = level, level, level, level
		m.Leaf.Layout, size = 1, 8
	}
	for i := range size {
		r.ChipID[i] = byte(0xc0 + i)
	}
	m.Leaf.TCB = level
	m.Leaf.HWID = slices.Clone(r.ChipID[:size])
	return m
}

// UseVLEK has the chip sign with a cloud operator's key.
func (m *Machine) UseVLEK(csp string) {
	m.Report.Flags |= 1 << 2
	m.Leaf.VLEK, m.Leaf.CSP, m.Leaf.HWID, m.Leaf.Product = true, csp, nil, m.AMD.Product
}

// Encode writes the report's fields, with no signature yet.
func (r Report) Encode(product string) []byte {
	b := make([]byte, snpdata.ReportSize)
	le := binary.LittleEndian
	put := func(at int, v []byte) { copy(b[at:], v) }
	level := func(at int, t TCB) { v := t.Bytes(product); put(at, v[:]) }
	le.PutUint32(b[0x00:], r.Version)
	le.PutUint32(b[0x04:], r.GuestSVN)
	le.PutUint64(b[0x08:], r.Policy)
	put(0x10, r.FamilyID[:])
	put(0x20, r.ImageID[:])
	le.PutUint32(b[0x30:], r.VMPL)
	le.PutUint32(b[0x34:], r.Algorithm)
	level(0x38, r.Current)
	le.PutUint64(b[0x40:], r.Platform)
	le.PutUint32(b[0x48:], r.Flags)
	put(0x50, r.ReportData[:])
	put(0x90, r.Measurement[:])
	put(0xc0, r.HostData[:])
	put(0xe0, r.IDKey[:])
	put(0x110, r.AuthorKey[:])
	put(0x140, r.ReportID[:])
	put(0x160, r.ReportIDMA[:])
	level(0x180, r.Reported)
	put(0x188, []byte{r.Family, r.Model, r.Stepping})
	put(0x1a0, r.ChipID[:])
	level(0x1e0, r.Committed)
	put(0x1e8, []byte{r.CurrentVersion[2], r.CurrentVersion[1], r.CurrentVersion[0]})
	put(0x1ec, []byte{r.CommittedVersion[2], r.CommittedVersion[1], r.CommittedVersion[0]})
	level(0x1f0, r.Launch)
	le.PutUint64(b[0x1f8:], r.LaunchMit)
	le.PutUint64(b[0x200:], r.CurrentMit)
	return b
}

// Sign signs a report's bytes in place with the chip's key.
func Sign(report []byte, key *ecdsa.PrivateKey) {
	if key == nil {
		key = chipKey()
	}
	digest := sha512.Sum384(report[:0x2a0])
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		panic(err)
	}
	for i, n := range []*big.Int{r, s} {
		v := n.FillBytes(make([]byte, 72))
		slices.Reverse(v)
		copy(report[0x2a0+72*i:], v)
	}
}

// ReportBytes returns the signed report.
func (m *Machine) ReportBytes() []byte {
	b := m.Report.Encode(m.AMD.Product)
	if m.BeforeSigning != nil {
		m.BeforeSigning(b)
	}
	key := m.Leaf.Key
	if key != nil && key.Curve != elliptic.P384() {
		key = nil
	}
	Sign(b, key)
	if m.AfterSigning != nil {
		m.AfterSigning(b)
	}
	return b
}

// OID returns AMD's extension of an arc: [3, 1] is blSPL.
func OID(arc ...int) asn1.ObjectIdentifier {
	return append(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3704, 1}, arc...)
}

// AMDExtensions returns the extensions that the fields of l stand for.
func (l Leaf) AMDExtensions() []pkix.Extension {
	var out []pkix.Extension
	add := func(value []byte, arc ...int) { out = append(out, pkix.Extension{Id: OID(arc...), Value: value}) }
	number := func(n int) []byte { return must(asn1.Marshal(n)) }
	ia5 := func(s string) []byte { return append([]byte{0x16, byte(len(s))}, s...) }
	add(number(l.Layout), 1)
	add(ia5(l.Product), 2)
	t := l.TCB
	spl := map[int]byte{1: t.Bootloader, 2: t.TEE, 3: t.SNP, 4: t.SPL[0], 5: t.SPL[1], 6: t.SPL[2], 7: t.SPL[3], 8: t.Microcode}
	if l.Layout == 1 {
		delete(spl, 4)
		spl[9] = t.FMC
	}
	for i := 1; i <= 9; i++ {
		if v, ok := spl[i]; ok {
			add(number(int(v)), 3, i)
		}
	}
	if l.HWID != nil {
		add(l.HWID, 4)
	}
	if l.CSP != "" {
		add(ia5(l.CSP), 5)
	}
	return out
}

// LeafCert returns the certificate of the key that signs the report.
func (m *Machine) LeafCert() []byte {
	if m.Leaf.Key != nil {
		return m.leafCert()
	}
	return once(m.AMD, fmt.Sprintf("%+v", m.Leaf), m.leafCert)
}

func (m *Machine) leafCert() []byte {
	l, common, signer := m.Leaf, "SEV-VCEK", "ASK"
	if l.VLEK {
		common, signer = "SEV-VLEK", "ASVK"
	}
	ext := l.Extensions
	if ext == nil {
		ext = l.AMDExtensions()
	}
	key := l.Key
	if key == nil {
		key = chipKey()
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(0), Subject: Name(common), // AMD numbers none of them
		NotBefore: time.Unix(1_700_000_000, 0), NotAfter: time.Unix(1_920_000_000, 0),
		ExtraExtensions: ext,
	}
	return m.AMD.sign("leaf", c, m.AMD.Intermediate(l.VLEK), key.Public(), m.AMD.Key(signer)).Raw
}

// Section is one section of the data.
type Section struct {
	Kind byte
	Data []byte
}

// Sections returns all that the evidence is made of, in order.
func (m *Machine) Sections() []Section {
	s := []Section{
		{snpdata.KindReport, m.ReportBytes()}, {snpdata.KindLeaf, m.LeafCert()},
		{snpdata.KindIntermediate, m.AMD.Intermediate(m.Leaf.VLEK).Raw}, {snpdata.KindRoot, m.AMD.Root().Raw},
	}
	if m.List != nil {
		s = append(s, Section{snpdata.KindCRL, m.AMD.CRL(*m.List)})
	}
	return s
}

// Data returns the evidence.
func (m *Machine) Data() []byte { return Join(m.Sections()) }

// Join writes sections one after the other, as they are.
func Join(sections []Section) []byte {
	var out []byte
	for _, s := range sections {
		out = section.Append(out, s.Kind, s.Data)
	}
	return out
}

// CertTable writes a host's table of certificates (AMD 56421, SNP Extended Guest
// Request), padded with zeros to whole pages.
func CertTable(blobs ...[]byte) []byte {
	const entry = 24
	head := make([]byte, entry*(len(blobs)+1))
	var body []byte
	for i, b := range blobs {
		e := head[entry*i:]
		copy(e, bytes.Repeat([]byte{byte(i + 1)}, 16)) // GUIDs are not looked at
		binary.LittleEndian.PutUint32(e[16:], uint32(len(head)+len(body)))
		binary.LittleEndian.PutUint32(e[20:], uint32(len(b)))
		body = append(body, b...)
	}
	out := append(head, body...)
	return append(out, make([]byte, (4096-len(out)%4096)%4096)...)
}
