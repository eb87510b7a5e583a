// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package tpmtest is a fake machine with a fake TPM, certified by a fake
// authority, that signs whatever a test wants. A test takes a [Machine] that is
// right in all, changes one thing, and looks at what the judge says.
package tpmtest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/hex"
	"math/big"
	"sync"
	"time"

	"github.com/sotto-chat/sotto/attest/cert"
	"github.com/sotto-chat/sotto/attest/tpm"
	"github.com/sotto-chat/sotto/attest/tpm/tpmdata"
)

// Now is when the fake certificates and lists are valid.
var Now = time.Unix(1_800_000_000, 0)

// Private keys, made once: a test of a package may run hundreds of times.
var (
	P256A  = sync.OnceValue(func() crypto.Signer { return newEC(elliptic.P256()) })
	P256B  = sync.OnceValue(func() crypto.Signer { return newEC(elliptic.P256()) })
	P384   = sync.OnceValue(func() crypto.Signer { return newEC(elliptic.P384()) })
	RSA    = sync.OnceValue(func() crypto.Signer { return newRSA() })
	root   = sync.OnceValue(func() crypto.Signer { return newEC(elliptic.P256()) })
	middle = sync.OnceValue(func() crypto.Signer { return newEC(elliptic.P256()) })
)

func must[T any](v T, err error) T {
	if err != nil {
		panic("tpmtest: " + err.Error())
	}
	return v
}

func newEC(c elliptic.Curve) crypto.Signer { return must(ecdsa.GenerateKey(c, rand.Reader)) }
func newRSA() crypto.Signer                { return must(rsa.GenerateKey(rand.Reader, 2048)) }

// Key is a key in the fake TPM.
type Key struct {
	Private    crypto.Signer
	NameAlg    uint16
	Attributes uint32
	Policy     []byte
	Symmetric  []byte // TPMT_SYM_DEF_OBJECT
	Scheme     uint16
	Hash       uint16
	Exponent   uint32
	KDF        uint16
}

// AttestationKey is a proper attestation key.
func AttestationKey(private crypto.Signer) *Key {
	k := &Key{
		Private: private, NameAlg: tpm.AlgSHA256, Symmetric: u16(tpm.AlgNull), KDF: tpm.AlgNull,
		Attributes: tpm.FixedTPM | tpm.FixedParent | tpm.SensitiveDataOrigin | tpm.UserWithAuth | tpm.Restricted | tpm.Sign,
		Scheme:     tpm.AlgECDSA, Hash: tpm.AlgSHA256,
	}
	if _, ok := private.(*rsa.PrivateKey); ok {
		k.Scheme = tpm.AlgRSASSA
	}
	return k
}

// EndorsementKey is a proper endorsement key.
func EndorsementKey(private crypto.Signer) *Key {
	return &Key{
		Private: private, NameAlg: tpm.AlgSHA256, KDF: tpm.AlgNull, Scheme: tpm.AlgNull,
		Symmetric:  join(u16(tpm.AlgAES), u16(128), u16(tpm.AlgCFB)),
		Attributes: tpm.FixedTPM | tpm.FixedParent | tpm.SensitiveDataOrigin | tpm.AdminWithPolicy | tpm.Restricted | tpm.Decrypt,
		Policy:     make([]byte, 32),
	}
}

// Public returns the key's TPMT_PUBLIC.
func (k *Key) Public() []byte {
	scheme := u16(k.Scheme)
	if k.Scheme != tpm.AlgNull {
		scheme = join(scheme, u16(k.Hash))
	}
	switch pub := k.Private.Public().(type) {
	case *rsa.PublicKey:
		return join(u16(tpm.AlgRSA), u16(k.NameAlg), u32(k.Attributes), sized(k.Policy), k.Symmetric, scheme,
			u16(uint16(pub.Size()*8)), u32(k.Exponent), sized(pub.N.Bytes()))
	case *ecdsa.PublicKey:
		curve, size := uint16(tpm.CurveP256), 32
		if pub.Curve == elliptic.P384() {
			curve, size = tpm.CurveP384, 48
		}
		point := must(pub.Bytes())
		return join(u16(tpm.AlgECC), u16(k.NameAlg), u32(k.Attributes), sized(k.Policy), k.Symmetric, scheme,
			u16(curve), u16(k.KDF), sized(point[1:1+size]), sized(point[1+size:]))
	}
	panic("tpmtest: unknown key")
}

// Sign returns a TPMT_SIGNATURE.
func (k *Key) Sign(message []byte) []byte {
	h, sum := crypto.SHA256, Sum(k.Hash, message)
	switch k.Hash {
	case tpm.AlgSHA384:
		h = crypto.SHA384
	case tpm.AlgSHA512:
		h = crypto.SHA512
	}
	scheme := k.Scheme
	if scheme == tpm.AlgNull { // a key for any scheme
		scheme = AttestationKey(k.Private).Scheme
	}
	head := join(u16(scheme), u16(k.Hash))
	switch scheme {
	case tpm.AlgECDSA:
		r, s, err := ecdsa.Sign(rand.Reader, k.Private.(*ecdsa.PrivateKey), sum)
		if err != nil {
			panic(err)
		}
		return join(head, sized(r.Bytes()), sized(s.Bytes()))
	case tpm.AlgRSAPSS:
		opts := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto} // as long as fits
		return join(head, sized(must(rsa.SignPSS(rand.Reader, k.Private.(*rsa.PrivateKey), h, sum, opts))))
	default:
		return join(head, sized(must(rsa.SignPKCS1v15(rand.Reader, k.Private.(*rsa.PrivateKey), h, sum))))
	}
}

// Name returns the key's name.
func (k *Key) Name() []byte { return join(u16(k.NameAlg), Sum(k.NameAlg, k.Public())) }

// QualifiedName returns the name that the key has as a primary key.
func (k *Key) QualifiedName(hierarchy uint32) []byte {
	return join(u16(k.NameAlg), Sum(k.NameAlg, u32(hierarchy), k.Name()))
}

// Event is one measurement of the fake machine. Digests of Data are made for
// each bank unless Digest says otherwise.
type Event struct {
	PCR    int
	Type   uint32
	Data   []byte
	Digest []byte // what is hashed, if that isn't Data
}

// Machine is a fake machine at one moment.
type Machine struct {
	AK     *Key
	Events []Event
	Banks  []uint16 // of the TPM and the log
	Quoted []tpm.Selection
	Start  byte // locality at which the TPM was started

	// Fields of the quote.
	Magic     uint32
	Type      uint16
	Signer    []byte
	Extra     []byte
	Clock     uint64
	Resets    uint32
	Restarts  uint32
	Safe      byte
	Firmware  uint64
	Digest    []byte // nil: of the registers
	AfterSign func(quote, signature []byte) (q, s []byte)

	// What the authority does.
	Leaf, Middle, Root func(*x509.Certificate)
	Certified          crypto.PublicKey // nil: the AK's
	CRLs               bool
	Revoked            []*big.Int
	CRL                func(*x509.RevocationList)
	WithoutLog         bool
	EditParts          func(*tpmdata.Parts)
}

// New returns a machine that is right in all.
func New() *Machine {
	m := &Machine{
		AK:    AttestationKey(P256A()),
		Banks: []uint16{tpm.AlgSHA256},
		Magic: 0xff544347, Type: 0x8018, Clock: 123456, Resets: 5, Restarts: 2, Safe: 1, Firmware: 0x2020_0101_0006_0024,
		Quoted: []tpm.Selection{{Bank: tpm.AlgSHA256, PCRs: 0x00ffffff}},
		CRLs:   true,
		Events: []Event{
			{0, 0x08, []byte("f\x00i\x00r\x00m\x00"), nil},
			{7, 0x80000001, Variable("SecureBoot", []byte{1}), nil},
			{7, 0x80000001, Variable("PK", []byte("key")), nil},
			{7, 0x04, make([]byte, 4), nil},
			{0, 0x04, make([]byte, 4), nil},
			{4, 0x80000003, []byte("an image's path"), []byte("an image")},
			{11, 0x0d, []byte(".linux\x00"), []byte("a kernel")},
			{11, 0x0d, []byte("ro quiet"), nil},
			{7, 0x800000e0, Variable("db", []byte("who signed the image")), nil},
		},
	}
	m.Signer = m.AK.QualifiedName(tpm.HierarchyEndorsement)
	return m
}

// Use gives the machine another attestation key.
func (m *Machine) Use(k *Key) {
	m.AK = k
	m.Signer = k.QualifiedName(tpm.HierarchyEndorsement)
}

// Variable is a UEFI_VARIABLE_DATA of a global variable.
func Variable(name string, contents []byte) []byte {
	b := []byte("\x61\xdf\xe4\x8b\xca\x93\xd2\x11\xaa\x0d\x00\xe0\x98\x03\x2b\x8c")
	b = binary.LittleEndian.AppendUint64(b, uint64(len(name)))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(contents)))
	for _, c := range []byte(name) {
		b = append(b, c, 0)
	}
	return append(b, contents...)
}

// Register returns what a register of the machine holds.
func (m *Machine) Register(bank uint16, pcr int) []byte {
	v := make([]byte, len(Sum(bank)))
	if pcr == 0 {
		v[len(v)-1] = m.Start
	}
	extended := false
	for _, e := range m.Events {
		if e.PCR == pcr && e.Type != 3 {
			v, extended = Sum(bank, v, e.digest(bank)), true
		}
	}
	if pcr >= 17 && pcr <= 22 && !extended { // no late launch
		return bytes.Repeat([]byte{0xff}, len(v))
	}
	return v
}

func (e *Event) digest(bank uint16) []byte {
	if e.Digest != nil {
		return Sum(bank, e.Digest)
	}
	return Sum(bank, e.Data)
}

// Hex is a digest of bank of what an event measured, as a policy writes it.
func (e *Event) Hex(bank uint16) string { return hex.EncodeToString(e.digest(bank)) }

// Log returns the machine's event log.
func (m *Machine) Log() []byte {
	le16 := binary.LittleEndian.AppendUint16
	le32 := binary.LittleEndian.AppendUint32
	body := append([]byte("Spec ID Event03\x00"), 0, 0, 0, 0, 0, 2, 0, 2)
	body = le32(body, uint32(len(m.Banks)))
	for _, b := range m.Banks {
		body = le16(le16(body, b), uint16(len(Sum(b))))
	}
	body = append(body, 0)
	log := le32(le32(nil, 0), 3)
	log = append(log, make([]byte, 20)...)
	log = append(le32(log, uint32(len(body))), body...)
	for _, e := range m.Events {
		log = le32(le32(le32(log, uint32(e.PCR)), e.Type), uint32(len(m.Banks)))
		for _, b := range m.Banks {
			d := e.digest(b)
			if e.Type == 3 {
				d = make([]byte, len(d))
			}
			log = append(le16(log, b), d...)
		}
		log = append(le32(log, uint32(len(e.Data))), e.Data...)
	}
	return log
}

// Values returns the quoted registers in the order in which they are hashed.
func (m *Machine) Values() (out []byte) {
	for _, s := range m.Quoted {
		for i := range 24 {
			if s.PCRs>>i&1 == 1 {
				out = append(out, m.Register(s.Bank, i)...)
			}
		}
	}
	return out
}

// Quote returns the TPMS_ATTEST for what Extra says.
func (m *Machine) Quote() []byte {
	q := join(u32(m.Magic), u16(m.Type), sized(m.Signer), sized(m.Extra), u64(m.Clock), u32(m.Resets), u32(m.Restarts),
		[]byte{m.Safe}, u64(m.Firmware), u32(uint32(len(m.Quoted))))
	for _, s := range m.Quoted {
		q = join(q, u16(s.Bank), []byte{3, byte(s.PCRs), byte(s.PCRs >> 8), byte(s.PCRs >> 16)})
	}
	d := m.Digest
	if d == nil {
		d = Sum(m.AK.Hash, m.Values())
	}
	return join(q, sized(d))
}

// Evidence returns the machine's evidence with a nonce.
func (m *Machine) Evidence(nonce [32]byte) []byte {
	m.Extra = nonce[:]
	return m.Raw()
}

// Raw is Evidence with the nonce that stands in Extra.
func (m *Machine) Raw() []byte {
	p := m.Parts()
	return p.Append(nil)
}

// Parts returns what the evidence is made of.
func (m *Machine) Parts() tpmdata.Parts {
	p := tpmdata.Parts{Quote: m.Quote(), Public: m.AK.Public(), Values: m.Values(), Log: m.Log()}
	p.Signature = m.AK.Sign(p.Quote)
	if m.AfterSign != nil {
		p.Quote, p.Signature = m.AfterSign(p.Quote, p.Signature)
	}
	p.Certificates, p.CRLs = m.issue()
	if m.WithoutLog {
		p.Log = nil
	}
	if m.EditParts != nil {
		m.EditParts(&p)
	}
	return p
}

// issue makes the chain of the AK's certificate, root last, and the lists.
func (m *Machine) issue() (chain, crls [][]byte) {
	area := sha256.Sum256(m.AK.Public())
	leaf := template("", 3, false)
	leaf.Subject = pkix.Name{SerialNumber: hex.EncodeToString(area[:])}
	leaf.KeyUsage = x509.KeyUsageDigitalSignature
	leaf.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{2, 23, 133, 8, 3}}
	edit(leaf, m.Leaf)
	pub := m.Certified
	if pub == nil {
		pub = m.AK.Private.Public()
	}
	return Issue(leaf, pub, m.Middle, m.Root, m.CRLs, m.Revoked, m.CRL)
}

func edit(c *x509.Certificate, f func(*x509.Certificate)) {
	if f != nil {
		f(c)
	}
}

func template(name string, serial int64, ca bool) *x509.Certificate {
	c := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
		NotBefore: Now.Add(-24 * time.Hour), NotAfter: Now.Add(24 * time.Hour), BasicConstraintsValid: true, IsCA: ca,
	}
	if ca {
		c.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	}
	return c
}

// Issue has the fake authority certify a key: leaf, intermediate and root, and
// the two revocation lists if wanted.
func Issue(leaf *x509.Certificate, pub crypto.PublicKey, editMiddle, editRoot func(*x509.Certificate), lists bool, revoked []*big.Int, editList func(*x509.RevocationList)) (chain, crls [][]byte) {
	rt, mid := template("Fake TPM Root", 1, true), template("Fake TPM Intermediate", 2, true)
	edit(mid, editMiddle)
	edit(rt, editRoot)
	rootDER := must(x509.CreateCertificate(rand.Reader, rt, rt, root().Public(), root()))
	midDER := must(x509.CreateCertificate(rand.Reader, mid, must(x509.ParseCertificate(rootDER)), middle().Public(), root()))
	midCert := must(x509.ParseCertificate(midDER))
	leafDER := must(x509.CreateCertificate(rand.Reader, leaf, midCert, pub, middle()))
	if lists {
		for _, by := range []struct {
			cert *x509.Certificate
			key  crypto.Signer
		}{{midCert, middle()}, {must(x509.ParseCertificate(rootDER)), root()}} {
			l := &x509.RevocationList{Number: big.NewInt(7), ThisUpdate: Now.Add(-time.Hour), NextUpdate: Now.Add(time.Hour)}
			for _, s := range revoked {
				l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: s, RevocationTime: Now.Add(-time.Hour)})
			}
			if editList != nil {
				editList(l)
			}
			crls = append(crls, must(x509.CreateRevocationList(rand.Reader, l, by.cert, by.key)))
		}
	}
	return [][]byte{leafDER, midDER, rootDER}, crls
}

// EKCertificate has the authority certify an endorsement key.
func EKCertificate(k *Key, f func(*x509.Certificate)) [][]byte {
	leaf := template("", 4, false)
	leaf.KeyUsage = x509.KeyUsageKeyEncipherment
	leaf.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{2, 23, 133, 8, 1}}
	edit(leaf, f)
	chain, _ := Issue(leaf, k.Private.Public(), nil, nil, false, nil, nil)
	return chain
}

// RootPin is how a policy names the fake authority: hex of the SHA-256 of its
// root's SubjectPublicKeyInfo.
func RootPin() string {
	h := sha256.Sum256(must(x509.MarshalPKIXPublicKey(root().Public())))
	return hex.EncodeToString(h[:])
}

// Sum hashes with an algorithm of a TPM.
func Sum(alg uint16, parts ...[]byte) []byte {
	data := join(parts...)
	switch alg {
	case tpm.AlgSHA384:
		d := sha512.Sum384(data)
		return d[:]
	case tpm.AlgSHA512:
		d := sha512.Sum512(data)
		return d[:]
	case tpm.AlgSHA1:
		return make([]byte, 20) // nobody counts on it
	default:
		d := sha256.Sum256(data)
		return d[:]
	}
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
func u16(v uint16) []byte         { return binary.BigEndian.AppendUint16(nil, v) }
func u32(v uint32) []byte         { return binary.BigEndian.AppendUint32(nil, v) }
func u64(v uint64) []byte         { return binary.BigEndian.AppendUint64(nil, v) }
func sized(b []byte) []byte       { return join(u16(uint16(len(b))), b) }

// Roots is the fake authority as a platform takes it.
func Roots() []cert.Root {
	b, _ := hex.DecodeString(RootPin())
	return []cert.Root{{Name: "Fake TPM Root", Key: [32]byte(b)}}
}
