// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package rim reads the documents in which NVIDIA publishes what its GPUs should
// measure (RIM: reference integrity manifest, a SWID tag of XML with a signature
// in it), and makes of two of them, the driver's and the VBIOS's, the [nvidia.Table]
// that a release pins and a client compares with.
//
//	driver, err := rim.Verify(driverXML, time.Now(), nil)
//	vbios, err := rim.Verify(vbiosXML, time.Now(), nil)
//	table, err := rim.Table(driver, vbios)
//	pin := nvidia.TableDigest(table)
//
// It is for the terminal and for whoever makes a release. A client doesn't link
// it: canonical XML in a browser would cost more than all the rest of the platform,
// and bring in a kind of parser with which signatures have been got around before.
// Here one tree is parsed once; what is hashed and what is read are both made of it.
package rim

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/attest/cert"
	"github.com/sotto-chat/sotto/attest/nvidia"
)

// Names in a RIM: of SWID (ISO/IEC 19770-2:2015), of XML signatures, and of the
// hash, as which NVIDIA took the identifier of the algorithm.
const (
	nsSWID = "http://standards.iso.org/iso/19770/-2/2015/schema.xsd"
	nsDSig = "http://www.w3.org/2000/09/xmldsig#"
	nsHash = "http://www.w3.org/2001/04/xmlenc#sha384"

	algC14N10    = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
	algC14N11    = "http://www.w3.org/2006/12/xml-c14n11"
	algEnveloped = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
	algSHA384    = "http://www.w3.org/2001/04/xmldsig-more#sha384"
	algECDSA     = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384"
)

// root is the key of "NVIDIA CoRIM signing Root CA", which signs RIMs. It was taken
// from nvtrust's certs/verifier_RIM_root.pem.
var root = cert.Root{Name: "NVIDIA CoRIM signing Root CA", Key: [32]byte{
	0xde, 0xc1, 0xdc, 0x31, 0x64, 0x77, 0xaa, 0x85, 0x1e, 0xeb, 0xdf, 0x51, 0x32, 0x7a, 0xe9, 0xf8,
	0x64, 0xbc, 0x8d, 0x89, 0x25, 0x46, 0x57, 0xed, 0x1e, 0x7e, 0xb9, 0x16, 0x8a, 0xf1, 0xe1, 0xa3,
}}

// RIM is a document whose signature was checked.
type RIM struct {
	Name    string // of the chip or the driver: "GH100"
	Version string // of the driver or the VBIOS, as NVIDIA writes it
	Entries []Entry
	Chain   []*x509.Certificate // who signed: the signer first, the root last
}

// Entry is one measurement of a RIM.
type Entry struct {
	Index   int // from 0; a report counts from 1
	Active  bool
	Digests [][]byte
}

// Verify reads a RIM and checks its signature by a chain that is valid at time at
// and ends at one of the roots; nil means NVIDIA's. Revocation is not checked:
// NVIDIA tells it online only, and the caller has [RIM.Chain] to ask with.
func Verify(doc []byte, at time.Time, roots []cert.Root) (*RIM, error) {
	if roots == nil {
		roots = []cert.Root{root}
	}
	tree, err := parse(doc)
	if err != nil {
		return nil, fmt.Errorf("RIM: %w", err)
	}
	chain, err := verify(tree, at, roots)
	if err != nil {
		return nil, fmt.Errorf("RIM: %w", err)
	}
	r, err := read(tree)
	if err != nil {
		return nil, fmt.Errorf("RIM: %w", err)
	}
	r.Chain = chain
	return r, nil
}

// verify checks the one signature (XML Signature 1.1, section 3.2), which must
// stand in the document's element and be of all that is in it.
func verify(doc *node, at time.Time, roots []cert.Root) ([]*x509.Certificate, error) {
	bad := errors.New("the signature is not in the form that NVIDIA uses")
	sig := doc.child(nsDSig, "Signature")
	if sig == nil {
		return nil, bad
	}
	parts, ok := sig.elements()
	if !ok || len(parts) != 3 || parts[0].name != "SignedInfo" || parts[1].name != "SignatureValue" || parts[2].name != "KeyInfo" {
		return nil, bad
	}
	for _, p := range parts {
		if p.space != nsDSig {
			return nil, bad
		}
	}
	digest, ok := signedDigest(parts[0])
	if !ok {
		return nil, bad
	}
	if d := sha512.Sum384(canonical(doc, sig)); !bytes.Equal(d[:], digest) {
		return nil, errors.New("the document is not the one that was signed")
	}
	value, ok := decode(parts[1])
	if !ok || len(value) != 96 {
		return nil, bad
	}
	chain, err := verifyChain(parts[2], at, roots)
	if err != nil {
		return nil, err
	}
	key, ok := chain[0].PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P384() {
		return nil, errors.New("the signer's key is of another kind")
	}
	h := sha512.Sum384(canonical(parts[0], nil))
	if !ecdsa.Verify(key, h[:], new(big.Int).SetBytes(value[:48]), new(big.Int).SetBytes(value[48:])) {
		return nil, errors.New("the signature is wrong")
	}
	return chain, nil
}

// signedDigest reads SignedInfo: one reference to the whole document, without
// the signature and in canonical form.
func signedDigest(info *node) ([]byte, bool) {
	parts, ok := info.elements()
	if !ok || len(parts) != 3 ||
		!isAlgorithm(parts[0], "CanonicalizationMethod", algC14N11, algC14N10) ||
		!isAlgorithm(parts[1], "SignatureMethod", algECDSA) {
		return nil, false
	}
	ref := parts[2]
	if ref.name != "Reference" || ref.space != nsDSig || len(ref.attrs) != 1 || ref.attrs[0].name != "URI" || ref.attribute("URI") != "" {
		return nil, false
	}
	parts, ok = ref.elements()
	if !ok || len(parts) != 3 || parts[0].name != "Transforms" || parts[0].space != nsDSig ||
		!isAlgorithm(parts[1], "DigestMethod", algSHA384) || parts[2].name != "DigestValue" || parts[2].space != nsDSig {
		return nil, false
	}
	transforms, ok := parts[0].elements()
	if !ok || len(transforms) != 2 ||
		!isAlgorithm(transforms[0], "Transform", algEnveloped) ||
		!isAlgorithm(transforms[1], "Transform", algC14N11, algC14N10) {
		return nil, false
	}
	return decode(parts[2])
}

func isAlgorithm(n *node, name string, algorithms ...string) bool {
	return n.name == name && n.space == nsDSig && len(n.children) == 0 && len(n.attrs) == 1 &&
		slices.Contains(algorithms, n.attribute("Algorithm"))
}

// decode reads base64 with line breaks.
func decode(n *node) ([]byte, bool) {
	s, ok := n.content()
	b, err := base64.StdEncoding.Strict().DecodeString(strings.Join(strings.Fields(s), ""))
	return b, ok && err == nil
}

func verifyChain(info *node, at time.Time, roots []cert.Root) ([]*x509.Certificate, error) {
	bad := errors.New("the signer's certificates are not in the form that NVIDIA uses")
	data, ok := info.elements()
	if !ok || len(data) != 1 || data[0].name != "X509Data" || data[0].space != nsDSig {
		return nil, bad
	}
	list, ok := data[0].elements()
	if !ok || len(list) < 2 || len(list) > 8 {
		return nil, bad
	}
	var certs []*x509.Certificate
	for _, n := range list {
		b, ok := decode(n)
		if !ok || n.name != "X509Certificate" || n.space != nsDSig {
			return nil, bad
		}
		c, err := x509.ParseCertificate(b)
		if err != nil {
			return nil, bad
		}
		certs = append(certs, c)
	}
	top := certs[len(certs)-1]
	pinned := sha256.Sum256(top.RawSubjectPublicKeyInfo)
	if !slices.ContainsFunc(roots, func(r cert.Root) bool { return r.Key == pinned }) {
		return nil, errors.New("the signer's certificates do not lead to NVIDIA's root")
	}
	opts := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	opts.Roots.AddCert(top)
	for _, c := range certs[1 : len(certs)-1] {
		opts.Intermediates.AddCert(c)
	}
	chains, err := certs[0].Verify(opts)
	if err != nil {
		return nil, fmt.Errorf("the signer's certificates do not hold: %w", err)
	}
	if leaf := certs[0]; leaf.IsCA || leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return nil, errors.New("the signer's certificate is not for signing documents")
	}
	return chains[0], nil
}

// read takes the measurements out of a document that was verified.
func read(doc *node) (*RIM, error) {
	meta, payload := doc.child(nsSWID, "Meta"), doc.child(nsSWID, "Payload")
	if doc.name != "SoftwareIdentity" || doc.space != nsSWID || meta == nil || payload == nil {
		return nil, errors.New("the document is not a SWID tag with a payload")
	}
	r := &RIM{Name: doc.attribute("name"), Version: meta.attribute("colloquialVersion")}
	if r.Version == "" {
		return nil, errors.New("the document names no version")
	}
	list, ok := payload.elements()
	if !ok || len(list) == 0 {
		return nil, errors.New("the document holds no measurements")
	}
	for _, n := range list {
		e, err := readEntry(n)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(r.Entries, func(o Entry) bool { return o.Index == e.Index }) {
			return nil, fmt.Errorf("measurement %d is there twice", e.Index)
		}
		r.Entries = append(r.Entries, e)
	}
	return r, nil
}

func readEntry(n *node) (Entry, error) {
	index, err := strconv.Atoi(n.attribute("index"))
	if err != nil || n.name != "Resource" || n.space != nsSWID || n.attribute("type") != "Measurement" || index < 0 || index > 254 {
		return Entry{}, errors.New("the payload holds something else than measurements")
	}
	bad := fmt.Errorf("measurement %d is not in the agreed form", index)
	e := Entry{Index: index}
	switch n.attribute("active") {
	case "True", "true":
		e.Active = true
	case "False", "false":
	default:
		return e, bad
	}
	if n.attribute("size") != strconv.Itoa(nvidia.HashSize) {
		return e, bad
	}
	hashes := 0
	for _, a := range n.attrs {
		if a.space == nsHash {
			hashes++
		}
	}
	if n.attribute("alternatives") != strconv.Itoa(hashes) {
		return e, bad
	}
	for i := range hashes {
		k := slices.IndexFunc(n.attrs, func(a attr) bool { return a.space == nsHash && a.name == "Hash"+strconv.Itoa(i) })
		if k < 0 {
			return e, bad
		}
		d, err := hex.DecodeString(n.attrs[k].value)
		if err != nil || len(d) != nvidia.HashSize {
			return e, bad
		}
		e.Digests = append(e.Digests, d)
	}
	return e, nil
}

// nvdec0 is the index, from 0, of the measurement that NVIDIA's verifier leaves out
// while the GPU's first video decoder is off.
const nvdec0 = 35

// Table makes the table of a driver on a VBIOS: the active measurements of both.
// An index that is active in both is an error, as it is for NVIDIA's verifier.
func Table(driver, vbios *RIM) ([]byte, error) {
	t := &nvidia.Table{Driver: driver.Version, VBIOS: strings.ToUpper(vbios.Version)}
	for _, e := range slices.Concat(driver.Entries, vbios.Entries) {
		if !e.Active {
			continue
		}
		n := nvidia.Entry{Index: byte(e.Index + 1), NVDEC0: e.Index == nvdec0}
		for _, d := range e.Digests {
			n.Digests = append(n.Digests, d)
		}
		slices.SortFunc(n.Digests, bytes.Compare)
		n.Digests = slices.CompactFunc(n.Digests, bytes.Equal)
		if slices.ContainsFunc(t.Entries, func(o nvidia.Entry) bool { return o.Index == n.Index }) {
			return nil, fmt.Errorf("both RIMs have a value for measurement %d", e.Index)
		}
		t.Entries = append(t.Entries, n)
	}
	slices.SortFunc(t.Entries, func(x, y nvidia.Entry) int { return int(x.Index) - int(y.Index) })
	b, err := t.Encode()
	if err != nil {
		return nil, fmt.Errorf("the RIMs of driver %q and VBIOS %q make no table: %w", driver.Version, vbios.Version, err)
	}
	return b, nil
}
