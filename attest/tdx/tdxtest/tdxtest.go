// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package tdxtest is a whole fake Intel for tests: root, CAs, machines, quoting
// enclave, quotes, documents and revocation lists that differ from real ones only
// in that everybody can make them. It signs whatever a test wants, so that each
// rule of attest/tdx can be broken by itself:
//
//	m := tdxtest.New(reportData)
//	m.Body.Attributes[0] = 1
//	a := tdx.Platform{Roots: tdxtest.Roots()}.Verify(m.Data(), …)
//
// Only tests import it.
package tdxtest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"sync"
	"time"

	"github.com/sotto-chat/sotto/attest/cert"
	"github.com/sotto-chat/sotto/attest/section"
	"github.com/sotto-chat/sotto/attest/tcg"
	"github.com/sotto-chat/sotto/attest/tcg/tcgtest"
	"github.com/sotto-chat/sotto/attest/tdx/tdxdata"
)

// Now is the time, in Unix seconds, at which what [New] makes is valid.
const Now = 1_800_000_000

// Names of keys, certificates and what signs with them.
const (
	Root        = "root"
	CA          = "CA" // of machines' keys
	PCK         = "PCK"
	Signing     = "signing" // of documents
	Attestation = "attestation"
	OtherRoot   = "other root" // somebody else's, under the same name
)

// keys are made once per process.
var keys = map[string]func() *ecdsa.PrivateKey{
	Root: newKey(), CA: newKey(), PCK: newKey(), Signing: newKey(), Attestation: newKey(), OtherRoot: newKey(),
}

func newKey() func() *ecdsa.PrivateKey {
	return sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Key returns the private key of a name.
func Key(name string) *ecdsa.PrivateKey { return keys[name]() }

// Roots returns the fake root in the form that attest/tdx takes.
var Roots = sync.OnceValue(func() []cert.Root {
	m := &Machine{}
	root := must(cert.Parse(m.certificate(Root).Raw))
	return []cert.Root{{Name: "Intel SGX Root CA", Key: root.KeyHash()}}
})

// Body is a TD report. All fields have the length of the real ones.
type Body struct {
	TEETCBSVN                                [16]byte
	MRSEAM, MRSignerSEAM                     [48]byte
	SEAMAttributes, Attributes, XFAM         [8]byte
	MRTD, MRConfigID, MROwner, MROwnerConfig [48]byte
	RTMR                                     [4][48]byte
	ReportData                               [64]byte

	// Of TDX 1.5 only.
	TEETCBSVN2  [16]byte
	MRServiceTD [48]byte
}

// Enclave is the part of the quoting enclave's report that counts.
type Enclave struct {
	MiscSelect [4]byte
	Attributes [16]byte
	MRSigner   [32]byte
	ProdID     uint16
	SVN        uint16
}

// SVN is one part of a level, as JSON has it.
type SVN struct {
	SVN int `json:"svn"`
}

// Level is a level of a platform, a module or an enclave.
type Level struct {
	TCB        TCB      `json:"tcb"`
	Date       string   `json:"tcbDate"`
	Status     string   `json:"tcbStatus"`
	Advisories []string `json:"advisoryIDs,omitempty"`
}

// TCB holds the numbers of a level.
type TCB struct {
	SGX    []SVN `json:"sgxtcbcomponents,omitempty"`
	PCESVN *int  `json:"pcesvn,omitempty"`
	TDX    []SVN `json:"tdxtcbcomponents,omitempty"`
	ISVSVN *int  `json:"isvsvn,omitempty"`
}

// Module is the identity of TDX modules.
type Module struct {
	ID         string  `json:"id,omitempty"`
	MRSigner   string  `json:"mrsigner"`
	Attributes string  `json:"attributes"`
	Mask       string  `json:"attributesMask"`
	Levels     []Level `json:"tcbLevels,omitempty"`
}

// TCBInfo is Intel's document about a model.
type TCBInfo struct {
	ID         string   `json:"id"`
	Version    int      `json:"version"`
	Issued     string   `json:"issueDate"`
	Next       string   `json:"nextUpdate"`
	FMSPC      string   `json:"fmspc"`
	PCEID      string   `json:"pceId"`
	Type       int      `json:"tcbType"`
	Evaluation int      `json:"tcbEvaluationDataNumber"`
	Module     Module   `json:"tdxModule"`
	Modules    []Module `json:"tdxModuleIdentities,omitempty"`
	Levels     []Level  `json:"tcbLevels"`
}

// QEIdentity is Intel's document about the quoting enclave.
type QEIdentity struct {
	ID         string  `json:"id"`
	Version    int     `json:"version"`
	Issued     string  `json:"issueDate"`
	Next       string  `json:"nextUpdate"`
	Evaluation int     `json:"tcbEvaluationDataNumber"`
	MiscSelect string  `json:"miscselect"`
	MiscMask   string  `json:"miscselectMask"`
	Attributes string  `json:"attributes"`
	Mask       string  `json:"attributesMask"`
	MRSigner   string  `json:"mrsigner"`
	ProdID     int     `json:"isvprodid"`
	Levels     []Level `json:"tcbLevels"`
}

// List is a revocation list.
type List struct {
	Issuer, Signer         string // names of keys
	Revoked                []int64
	ThisUpdate, NextUpdate int64 // Unix seconds
}

// Machine is a machine and everything that Intel says of it.
type Machine struct {
	Version int // of quotes: 4 or 5
	TD15    bool
	Body    Body
	Enclave Enclave
	QEAuth  []byte

	// What the certificate of the machine's key says.
	PPID, Instance [16]byte
	NoInstance     bool // as of machines with one package
	FMSPC          [6]byte
	PCEID          [2]byte
	SVN            [16]byte
	PCESVN         int

	TCBInfo    TCBInfo
	QEIdentity QEIdentity
	Lists      []List
	Log        []byte

	// Signer replaces what signs: "quote", "enclave", "tcbInfo", "enclaveIdentity"
	// and the names of certificates.
	Signer map[string]string
	// Certificate changes a certificate before it is signed.
	Certificate func(name string, c *x509.Certificate)
	// Bytes changes bytes before they are signed: "body", "enclave", "tcbInfo",
	// "enclaveIdentity"; or when they are ready: "quote", "certificates",
	// "SGX" (extension of the PCK's certificate).
	Bytes func(name string, b []byte) []byte
}

// Serial numbers of certificates.
var serials = map[string]int64{Root: 0x101, CA: 0x102, PCK: 0x103, Signing: 0x104}

// Serial returns the serial number of a certificate.
func Serial(name string) int64 { return serials[name] }

var mrSigner = sha256.Sum256([]byte("the quoting enclave's signer"))

// Numbers writes 16 parts of a level.
func Numbers(n [16]byte) (out []SVN) {
	for _, v := range n {
		out = append(out, SVN{int(v)})
	}
	return out
}

// Int returns a pointer to n.
func Int(n int) *int { return &n }

// New returns a machine of TDX 1.5 with a quote of version 4, whose firmware is
// up to date, with a log.
func New(reportData [64]byte) *Machine {
	zero48, zero8 := hex.EncodeToString(make([]byte, 48)), "0000000000000000"
	const date, issued, next = "2026-11-13T00:00:00Z", "2027-01-10T08:00:00Z", "2027-02-09T08:00:00Z"
	sgx := [16]byte{7, 7, 2, 2, 3, 1, 0, 5}
	module := Module{MRSigner: zero48, Attributes: zero8, Mask: "FFFFFFFFFFFFFFFF"}
	one, three := module, module
	one.ID, three.ID = "TDX_01", "TDX_03"
	one.Levels = []Level{
		{TCB: TCB{ISVSVN: Int(6)}, Date: date, Status: "UpToDate"},
		{TCB: TCB{ISVSVN: Int(4)}, Date: date, Status: "OutOfDate", Advisories: []string{"INTEL-SA-01036"}},
	}
	three.Levels = []Level{{TCB: TCB{ISVSVN: Int(3)}, Date: date, Status: "UpToDate"}}
	old := sgx
	old[1] = 5
	m := &Machine{
		Version: 4,
		Body: Body{
			TEETCBSVN: [16]byte{6, 1, 7}, TEETCBSVN2: [16]byte{6, 1, 7},
			MRSEAM: fill(1), MRTD: fill(2), XFAM: [8]byte{0xe7, 0x1a, 6}, Attributes: [8]byte{3: 0x10}, ReportData: reportData,
		},
		Enclave: Enclave{MRSigner: mrSigner, ProdID: 2, SVN: 6, Attributes: [16]byte{0: 0x15, 8: 0xe7}},
		QEAuth:  []byte("32 bytes of the quoting enclave."),
		PPID:    [16]byte{1, 2, 3}, Instance: [16]byte{4, 5, 6}, FMSPC: [6]byte{0x50, 0x80, 0x6f}, SVN: sgx, PCESVN: 11,
		TCBInfo: TCBInfo{
			ID: "TDX", Version: 3, Issued: issued, Next: next, FMSPC: "50806F000000", PCEID: "0000", Evaluation: 17,
			Module: module, Modules: []Module{three, one},
			Levels: []Level{
				{TCB: TCB{SGX: Numbers(sgx), PCESVN: Int(11), TDX: Numbers([16]byte{6, 1, 7})}, Date: date, Status: "UpToDate"},
				{TCB: TCB{SGX: Numbers(old), PCESVN: Int(5), TDX: Numbers([16]byte{3, 0, 5})}, Date: date, Status: "OutOfDate", Advisories: []string{"INTEL-SA-00837", "INTEL-SA-00960"}},
			},
		},
		QEIdentity: QEIdentity{
			ID: "TD_QE", Version: 2, Issued: issued, Next: next, Evaluation: 17,
			MiscSelect: "00000000", MiscMask: "FFFFFFFF",
			Attributes: "11000000000000000000000000000000", Mask: "FBFFFFFFFFFFFFFF0000000000000000",
			MRSigner: hex.EncodeToString(mrSigner[:]), ProdID: 2,
			Levels: []Level{
				{TCB: TCB{ISVSVN: Int(6)}, Date: date, Status: "UpToDate"},
				{TCB: TCB{ISVSVN: Int(4)}, Date: date, Status: "OutOfDate", Advisories: []string{"INTEL-SA-00999"}},
			},
		},
		Lists: []List{
			{Issuer: CA, Revoked: []int64{0x999}, ThisUpdate: Now - 86400, NextUpdate: Now + 86400},
			{Issuer: Root, ThisUpdate: Now - 864000, NextUpdate: Now + 864000},
		},
		Signer: map[string]string{},
	}
	m.SetLog(tcgtest.New(tcg.SHA384).
		AddMeasured(0, tcg.EvNoAction, []byte("nothing"), nil).
		Add(1, tcg.EvVariableDriverConfig, tcgtest.Variable("SecureBoot", []byte{1})).
		Add(1, tcg.EvSeparator, make([]byte, 4)).
		AddMeasured(2, tcg.EvBootServices, []byte("a path"), []byte("a kernel")).
		AddMeasured(3, tcg.EvIPL, []byte("kernel_cmdline: quiet\x00"), []byte("quiet")).Bytes())
	return m
}

func fill(c byte) (out [48]byte) {
	copy(out[:], bytes.Repeat([]byte{c}, 48))
	return out
}

// SetLog gives the machine a log and the registers that it replays to.
func (m *Machine) SetLog(log []byte) {
	m.Log = log
	l := must(tcg.Parse(log))
	for r, v := range must(l.Replay(tcg.SHA384, nil)) {
		if r >= 1 && r <= 4 {
			copy(m.Body.RTMR[r-1][:], v)
		}
	}
}

// Policy are rules that pin all that the machine runs.
func (m *Machine) Policy() map[string]any {
	list := func(b [48]byte) []string { return []string{hex.EncodeToString(b[:])} }
	b := &m.Body
	return map[string]any{"mrtd": list(b.MRTD), "rtmr0": list(b.RTMR[0]), "rtmr1": list(b.RTMR[1]), "rtmr2": list(b.RTMR[2]), "rtmr3": list(b.RTMR[3])}
}

func (m *Machine) change(name string, b []byte) []byte {
	if m.Bytes == nil {
		return b
	}
	return m.Bytes(name, b)
}

func (m *Machine) signer(what, usual string) *ecdsa.PrivateKey {
	if s, ok := m.Signer[what]; ok {
		return Key(s)
	}
	return Key(usual)
}

// rs signs as quotes and documents do: r ‖ s.
func rs(k *ecdsa.PrivateKey, message []byte) []byte {
	h := sha256.Sum256(message)
	r, s, err := ecdsa.Sign(rand.Reader, k, h[:])
	if err != nil {
		panic(err)
	}
	return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
}

func point(k *ecdsa.PrivateKey) []byte { return must(k.PublicKey.Bytes())[1:] }

// Quote returns the machine's quote.
func (m *Machine) Quote() []byte {
	le := binary.LittleEndian
	q := le.AppendUint16(nil, uint16(m.Version))
	q = le.AppendUint16(q, 2)
	q = le.AppendUint32(q, 0x81)
	q = append(q, 0, 0, 0, 0)
	q = append(q, "\x93\x9a\x72\x33\xf7\x9c\x4c\xa9\x94\x0a\x0d\xb3\x95\x7f\x06\x07"...)
	q = append(q, make([]byte, 20)...)
	body := m.body()
	if m.Version == 5 {
		kind := uint16(2)
		if m.TD15 {
			kind = 3
		}
		q = le.AppendUint16(q, kind)
		q = le.AppendUint32(q, uint32(len(body)))
	}
	q = m.change("body", append(q, body...))

	pub := point(Key(Attestation))
	h := sha256.Sum256(append(bytes.Clone(pub), m.QEAuth...))
	qe := m.change("enclave", m.enclave(h[:]))
	chain := m.change("certificates", m.Chain(PCK, CA, Root))

	inner := append(bytes.Clone(qe), rs(m.signer("enclave", PCK), qe)...)
	inner = le.AppendUint16(inner, uint16(len(m.QEAuth)))
	inner = append(inner, m.QEAuth...)
	inner = le.AppendUint16(inner, 5)
	inner = le.AppendUint32(inner, uint32(len(chain)))
	inner = append(inner, chain...)

	sig := append(rs(m.signer("quote", Attestation), q), pub...)
	sig = le.AppendUint16(sig, 6)
	sig = le.AppendUint32(sig, uint32(len(inner)))
	sig = append(sig, inner...)
	q = le.AppendUint32(q, uint32(len(sig)))
	return m.change("quote", append(q, sig...))
}

func (m *Machine) body() []byte {
	b := &m.Body
	var out []byte
	for _, f := range [][]byte{
		b.TEETCBSVN[:], b.MRSEAM[:], b.MRSignerSEAM[:], b.SEAMAttributes[:], b.Attributes[:], b.XFAM[:],
		b.MRTD[:], b.MRConfigID[:], b.MROwner[:], b.MROwnerConfig[:],
		b.RTMR[0][:], b.RTMR[1][:], b.RTMR[2][:], b.RTMR[3][:], b.ReportData[:],
	} {
		out = append(out, f...)
	}
	if m.TD15 {
		out = append(append(out, b.TEETCBSVN2[:]...), b.MRServiceTD[:]...)
	}
	return out
}

func (m *Machine) enclave(reportData []byte) []byte {
	e := &m.Enclave
	out := make([]byte, 384)
	copy(out[16:], e.MiscSelect[:])
	copy(out[48:], e.Attributes[:])
	copy(out[128:], e.MRSigner[:])
	binary.LittleEndian.PutUint16(out[256:], e.ProdID)
	binary.LittleEndian.PutUint16(out[258:], e.SVN)
	copy(out[320:], reportData)
	return out
}

// Chain returns certificates as PEM.
func (m *Machine) Chain(names ...string) (out []byte) {
	for _, n := range names {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.certificate(n).Raw})...)
	}
	return out
}

// DER returns a certificate.
func (m *Machine) DER(name string) []byte { return m.certificate(name).Raw }

func name(common string) pkix.Name {
	return pkix.Name{CommonName: common, Organization: []string{"Intel Corporation"}, Locality: []string{"Santa Clara"}, Province: []string{"CA"}, Country: []string{"US"}}
}

// template returns a certificate that isn't signed yet, and the name of what signs it.
func (m *Machine) template(n string) (*x509.Certificate, string) {
	c := &x509.Certificate{
		SerialNumber: big.NewInt(serials[n]), BasicConstraintsValid: true, SubjectKeyId: []byte("key id of " + n),
		NotBefore: time.Unix(1_500_000_000, 0), NotAfter: time.Unix(2_400_000_000, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, SignatureAlgorithm: x509.ECDSAWithSHA256,
		CRLDistributionPoints: []string{"https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"},
	}
	issuer := Root
	switch n {
	case Root:
		c.Subject, c.IsCA, c.MaxPathLen = name("Intel SGX Root CA"), true, 1
	case CA:
		c.Subject, c.IsCA, c.MaxPathLenZero = name("Intel SGX PCK Platform CA"), true, true
	case Signing:
		c.Subject = name("Intel SGX TCB Signing")
	case PCK:
		c.Subject, issuer = name("Intel SGX PCK Certificate"), CA
		c.KeyUsage |= x509.KeyUsageContentCommitment
		c.ExtraExtensions = []pkix.Extension{{Id: sgx(), Value: m.change("SGX", m.extension())}}
	}
	if c.IsCA {
		c.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	}
	return c, issuer
}

// ready holds the certificates and lists that most tests use as they are.
var ready sync.Map

// usual reports whether the fake Intel does what it always does.
func (m *Machine) usual() bool { return m.Certificate == nil && len(m.Signer) == 0 }

func (m *Machine) certificate(n string) *x509.Certificate {
	c, issuer := m.template(n)
	key := "certificate " + n
	for _, e := range c.ExtraExtensions {
		key += string(e.Value)
	}
	if c, ok := ready.Load(key); ok && m.usual() {
		return c.(*x509.Certificate)
	}
	parent := c
	if n != Root {
		parent, _ = m.template(issuer)
		if m.Certificate != nil {
			m.Certificate(issuer, parent)
		}
	}
	if m.Certificate != nil {
		m.Certificate(n, c)
	}
	own := n
	if s, ok := m.Signer[Root]; n == Root && ok {
		own = s
	}
	if s, ok := m.Signer[issuer]; issuer == Root && ok {
		issuer = s
	}
	der := must(x509.CreateCertificate(rand.Reader, c, parent, Key(own).Public(), m.signer(n, issuer)))
	made := must(x509.ParseCertificate(der))
	if m.usual() {
		ready.Store(key, made)
	}
	return made
}

// sgx returns the OID of Intel's extension, or of a part of it.
func sgx(parts ...int) asn1.ObjectIdentifier {
	return append(asn1.ObjectIdentifier{1, 2, 840, 113741, 1, 13, 1}, parts...)
}

// Part is one element of Intel's extension.
type Part struct {
	ID    asn1.ObjectIdentifier
	Value any
}

// Parts returns the elements of the extension of the machine's certificate.
func (m *Machine) Parts() []Part {
	var svns []Part
	for i, n := range m.SVN {
		svns = append(svns, Part{sgx(2, i+1), int(n)})
	}
	svns = append(svns, Part{sgx(2, 17), m.PCESVN}, Part{sgx(2, 18), m.SVN[:]})
	parts := []Part{
		{sgx(1), m.PPID[:]}, {sgx(2), svns}, {sgx(3), m.PCEID[:]}, {sgx(4), m.FMSPC[:]}, {sgx(5), asn1.Enumerated(1)},
	}
	if !m.NoInstance {
		parts = append(parts, Part{sgx(6), m.Instance[:]}, Part{sgx(7), []Part{{sgx(7, 1), true}, {sgx(7, 2), false}}})
	}
	return parts
}

func (m *Machine) extension() []byte { return must(asn1.Marshal(m.Parts())) }

// Document returns "tcbInfo" or "enclaveIdentity", signed.
func (m *Machine) Document(which string) []byte {
	var v any = m.TCBInfo
	if which == "enclaveIdentity" {
		v = m.QEIdentity
	}
	body := m.change(which, must(json.Marshal(v)))
	sig := rs(m.signer(which, Signing), body)
	return []byte(`{"` + which + `":` + string(body) + `,"signature":"` + hex.EncodeToString(sig) + `"}`)
}

// CRL returns a revocation list.
func (m *Machine) CRL(l List) []byte {
	key := fmt.Sprint("list ", l)
	if b, ok := ready.Load(key); ok && m.usual() {
		return b.([]byte)
	}
	c, _ := m.template(l.Issuer)
	if m.Certificate != nil {
		m.Certificate(l.Issuer, c)
	}
	if l.Signer == "" {
		l.Signer = l.Issuer
	}
	if s, ok := m.Signer[Root]; ok && l.Signer == Root {
		l.Signer = s
	}
	t := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Unix(l.ThisUpdate, 0), NextUpdate: time.Unix(l.NextUpdate, 0), SignatureAlgorithm: x509.ECDSAWithSHA256}
	for _, n := range l.Revoked {
		t.RevokedCertificateEntries = append(t.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(n), RevocationTime: time.Unix(l.ThisUpdate, 0)})
	}
	made := must(x509.CreateRevocationList(rand.Reader, t, c, Key(l.Signer)))
	if m.usual() {
		ready.Store(key, made)
	}
	return made
}

// Files returns what Intel publishes, as an operator keeps it.
func (m *Machine) Files() [][]byte {
	out := [][]byte{m.Document("tcbInfo"), m.Document("enclaveIdentity"), m.Chain(Signing, Root)}
	for _, l := range m.Lists {
		out = append(out, m.CRL(l))
	}
	return out
}

// Data returns the machine's evidence, put together without [tdxdata.FromQuote]
// so that it can be wrong.
func (m *Machine) Data() []byte {
	data := section.Append(nil, tdxdata.KindQuote, m.Quote())
	data = section.Append(data, tdxdata.KindCertificate, m.DER(Signing))
	data = section.Append(data, tdxdata.KindTCBInfo, m.Document("tcbInfo"))
	data = section.Append(data, tdxdata.KindQEIdentity, m.Document("enclaveIdentity"))
	for _, l := range m.Lists {
		data = section.Append(data, tdxdata.KindCRL, m.CRL(l))
	}
	return section.Append(data, tdxdata.KindEventLog, m.Log)
}
