// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package nvidiatest is a fake NVIDIA for tests: a root with the certificates
// below it, GPUs that report whatever a test wants, and a signer of RIMs. What it
// makes has the form of the real thing and leads to a root that nobody trusts.
//
//	v := nvidiatest.New()
//	gpu := v.GPU("GH100")
//	gpu.Nonce = claim.Nonce(nvidia.Name)
//	data := nvidiatest.Evidence(nil, nil, gpu)
//	nvidia.Platform{Roots: v.Roots()}.Verify(data, claim, policy, now)
//
// A test breaks one rule by changing one field of a GPU before it reports.
package nvidiatest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sotto-chat/sotto/attest/cert"
	"github.com/sotto-chat/sotto/attest/nvidia"
	"github.com/sotto-chat/sotto/attest/section"
)

// Places in a chain, for [GPU.EditCert] and [Vendor.CRL].
const (
	Leaf   = iota // signs reports
	Device        // the GPU's own
	Issuer        // the factory's
	Model         // the kind of chip's
	Root
)

// Vendor is a whole NVIDIA.
type Vendor struct {
	keys [Root + 1]*ecdsa.PrivateKey // of Issuer, Model and Root, and of devices without their own
	rim  [3]*ecdsa.PrivateKey        // signer, issuer, root of RIMs

	mu    sync.Mutex
	known map[string][]byte // what was signed before: signing is most of a test's time
}

// once returns what make made before for the same things.
func (v *Vendor) once(make func() []byte, things ...any) []byte {
	id := fmt.Sprint(things...)
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.known[id] == nil {
		v.known[id] = make()
	}
	return bytes.Clone(v.known[id])
}

// New returns a vendor with keys of its own.
func New() *Vendor {
	v := &Vendor{known: map[string][]byte{}}
	for i := range v.keys {
		v.keys[i] = NewKey()
	}
	for i := range v.rim {
		v.rim[i] = NewKey()
	}
	return v
}

// Default is one vendor for all tests of a process, which saves them its keys.
var Default = sync.OnceValue(New)

// NewKey makes a key as GPUs have them.
func NewKey() *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(err)
	return k
}

// Roots pins the vendor's root of GPUs.
func (v *Vendor) Roots() []cert.Root { return []cert.Root{pin("fake NVIDIA", v.keys[Root])} }

func pin(name string, key *ecdsa.PrivateKey) cert.Root {
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	must(err)
	return cert.Root{Name: name, Key: sha256.Sum256(spki)}
}

// GPU is what one GPU says. [Vendor.GPU] fills all of it.
type GPU struct {
	Vendor *Vendor
	Name   string // of the kind of chip: "GH100", "GB100"
	Key    *ecdsa.PrivateKey
	Own    *ecdsa.PrivateKey // the key of the Device certificate

	Nonce        [32]byte
	Measurements [][]byte
	Fields       []nvidia.Field // opaque data

	FWID []byte // in the leaf's certificate; see [GPU.Set] for the report's

	EditCert   func(place int, c *x509.Certificate) // before it is signed
	EditReport func(report []byte) []byte           // before it is signed
	EditSigned func(report []byte) []byte           // after
	SignWith   *ecdsa.PrivateKey                    // instead of Key
}

// GPU returns one of the vendor's GPUs, up to date and in confidential mode. Each
// call returns another one.
func (v *Vendor) GPU(name string) *GPU {
	g := &GPU{Vendor: v, Name: name, Key: NewKey(), Own: NewKey(), FWID: hash("firmware")}
	for i := range 64 {
		g.Measurements = append(g.Measurements, hash("measurement "+strconv.Itoa(i+1)))
	}
	vbios := []byte{0x00, 0x9f, 0x00, 0x96, 0x04, 0, 0, 0}
	if strings.HasPrefix(name, "GB") {
		vbios = []byte{0x00, 0x88, 0x00, 0x97, 0x0f, 0, 0, 0}
	}
	g.Fields = []nvidia.Field{
		{Type: nvidia.FieldVBIOS, Value: vbios},
		{Type: nvidia.FieldChipSKU, Value: []byte("882\x00")},
		{Type: nvidia.FieldProject, Value: []byte("G520\x00")},
		{Type: nvidia.FieldProjectSKU, Value: []byte("0200\x00")},
		{Type: nvidia.FieldDriver, Value: []byte("570.124.06\x00")},
		{Type: nvidia.FieldNVDEC0, Value: []byte{0xaa}},
		{Type: nvidia.FieldFWID, Value: g.FWID},
		{Type: nvidia.FieldFeatureFlag, Value: []byte{0, 0}},
	}
	return g
}

func hash(s string) []byte {
	h := sha512.Sum384([]byte(s))
	return h[:]
}

// Set changes a field of the report's opaque data, adds it, or with nil removes it.
func (g *GPU) Set(typ uint16, value []byte) {
	for i, f := range g.Fields {
		if f.Type == typ {
			g.Fields = append(g.Fields[:i:i], g.Fields[i+1:]...)
			break
		}
	}
	if value != nil {
		g.Fields = append(g.Fields, nvidia.Field{Type: typ, Value: value})
	}
}

// Report returns the GPU's signed report.
func (g *GPU) Report() []byte {
	b := append([]byte{0x11, 0xe0, 0x01, 0xff}, g.Nonce[:]...)
	n := len(g.Measurements) * 55
	b = append(b, 0, 0x11, 0x60, 0, 0, byte(len(g.Measurements)), byte(n), byte(n>>8), byte(n>>16))
	for i, m := range g.Measurements {
		b = append(b, byte(i+1), 1, byte(len(m)+3), 0, 1, byte(len(m)), 0)
		b = append(b, m...)
	}
	b = append(b, hash("answer")[:32]...)
	var opaque []byte
	for _, f := range g.Fields {
		opaque = binary.LittleEndian.AppendUint16(opaque, f.Type)
		opaque = binary.LittleEndian.AppendUint16(opaque, uint16(len(f.Value)))
		opaque = append(opaque, f.Value...)
	}
	b = binary.LittleEndian.AppendUint16(b, uint16(len(opaque)))
	b = append(b, opaque...)
	if g.EditReport != nil {
		b = g.EditReport(b)
	}
	key := g.Key
	if g.SignWith != nil {
		key = g.SignWith
	}
	b = append(b, g.Vendor.once(func() []byte { return signRS(key, b) }, "report", key.D, sha256.Sum256(b))...)
	if g.EditSigned != nil {
		b = g.EditSigned(b)
	}
	return b
}

// signRS returns r ‖ s of 48 bytes each, over SHA-384.
func signRS(key *ecdsa.PrivateKey, message []byte) []byte {
	h := sha512.Sum384(message)
	r, s, err := ecdsa.Sign(rand.Reader, key, h[:])
	must(err)
	var out [96]byte
	r.FillBytes(out[:48])
	s.FillBytes(out[48:])
	return out[:]
}

// Chain returns the GPU's certificates, as [nvidia.KindChain] has them.
func (g *GPU) Chain() []byte {
	var out []byte
	for _, c := range g.Certificates() {
		out = append(out, c...)
	}
	return out
}

// Certificates returns them one by one.
func (g *GPU) Certificates() [][]byte {
	keys := g.Vendor.keys
	keys[Leaf], keys[Device] = g.Key, g.Own
	names := [...]string{g.Name + " A01 GSP FMC LF", g.Name + " A01 GSP BROM",
		"NVIDIA " + g.Name + " Provisioner ICA 1", "NVIDIA " + g.Name + " Identity", "NVIDIA Device Identity CA"}
	var out [][]byte
	var parents [Root + 1]*x509.Certificate
	for i := Root; i >= Leaf; i-- {
		c := template(keys[i], names[i])
		if i == Leaf {
			c.IsCA, c.BasicConstraintsValid, c.KeyUsage = false, false, x509.KeyUsageDigitalSignature
			id := asn1.ObjectIdentifier{2, 23, 133, 5, 4, 1}
			if strings.HasPrefix(g.Name, "GB") {
				id = append(id, 1)
			}
			c.ExtraExtensions = []pkix.Extension{{Id: id, Value: g.tcbInfo()}}
		}
		if g.EditCert != nil {
			g.EditCert(i, c)
		}
		parents[i] = c
		signer := keys[min(i+1, Root)]
		b := g.Vendor.once(func() []byte {
			b, err := x509.CreateCertificate(rand.Reader, c, parents[min(i+1, Root)], keys[i].Public(), signer)
			must(err)
			return b
		}, "certificate", signer.D, keys[i].D, parents[min(i+1, Root)].Subject, *c)
		out = append([][]byte{b}, out...)
	}
	return out
}

func template(key crypto.Signer, name string) *x509.Certificate {
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	must(err)
	serial := sha256.Sum256(spki)
	serial[0] = 0x41
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial[:9]),
		Subject:      pkix.Name{CommonName: name, Organization: []string{"NVIDIA Corporation"}},
		NotBefore:    time.Date(2020, 10, 17, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		IsCA:         true, BasicConstraintsValid: true,
		KeyUsage:           x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		SignatureAlgorithm: x509.ECDSAWithSHA384,
	}
}

type fwid struct {
	Alg    asn1.ObjectIdentifier
	Digest []byte
}

// tcbInfo writes the leaf's extension in the form of the GPU's generation.
func (g *GPU) tcbInfo() []byte {
	id := fwid{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}, g.FWID}
	var v any
	if strings.HasPrefix(g.Name, "GB") {
		v = struct {
			Vendor string         `asn1:"tag:0,utf8"`
			Model  string         `asn1:"tag:1,utf8"`
			FWIDs  []fwid         `asn1:"tag:6"`
			Flags  asn1.BitString `asn1:"tag:7"`
		}{"NVIDIA", g.Name + " A01 GSP BROM", []fwid{id, {id.Alg, make([]byte, 48)}}, asn1.BitString{Bytes: []byte{0x80}, BitLength: 1}}
	} else {
		spki, err := x509.MarshalPKIXPublicKey(g.Own.Public())
		must(err)
		v = struct {
			Version int
			Device  asn1.RawValue
			ID      fwid
		}{1, asn1.RawValue{FullBytes: spki}, id}
	}
	b, err := asn1.Marshal(v)
	must(err)
	return b
}

// CRL returns the list of the certificate at a place that GPUs of one kind have
// above them ([Issuer], [Model], [Root]), valid for a day from from, which
// revokes the serials.
func (v *Vendor) CRL(g *GPU, place int, from time.Time, serials ...*big.Int) []byte {
	var list []x509.RevocationListEntry
	for _, s := range serials {
		list = append(list, x509.RevocationListEntry{SerialNumber: s, RevocationTime: from})
	}
	issuer, err := x509.ParseCertificate(g.Certificates()[place])
	must(err)
	return v.once(func() []byte {
		b, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
			Number: big.NewInt(1), ThisUpdate: from, NextUpdate: from.Add(24 * time.Hour),
			RevokedCertificateEntries: list, SignatureAlgorithm: x509.ECDSAWithSHA384,
		}, issuer, v.keys[place])
		must(err)
		return b
	}, "list", v.keys[place].D, from, serials, issuer.Raw)
}

// Table returns the table that the GPUs' measurements keep: all of them, with a
// second value for index 12.
func Table(g *GPU) *nvidia.Table {
	r, err := nvidia.ParseReport((&GPU{Vendor: g.Vendor, Key: g.Key, Measurements: g.Measurements, Fields: g.Fields}).Report())
	must(err)
	t := &nvidia.Table{Driver: r.Driver, VBIOS: r.VBIOS}
	for i, m := range r.Measurements {
		e := nvidia.Entry{Index: byte(i + 1), Digests: [][]byte{m}}
		if e.Index == 12 {
			e.Digests = [][]byte{make([]byte, 48), m}
		}
		t.Entries = append(t.Entries, e)
	}
	return t
}

// Evidence puts GPUs, tables and revocation lists into sections.
func Evidence(tables, crls [][]byte, gpus ...*GPU) []byte {
	var out []byte
	for _, g := range gpus {
		out = section.Append(out, nvidia.KindReport, g.Report())
	}
	for _, g := range gpus {
		out = section.Append(out, nvidia.KindChain, g.Chain())
	}
	for _, t := range tables {
		out = section.Append(out, nvidia.KindTable, t)
	}
	for _, c := range crls {
		out = section.Append(out, nvidia.KindCRL, c)
	}
	return out
}

// must is for what can't fail but by a fault of a test.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
