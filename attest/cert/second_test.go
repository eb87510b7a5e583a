// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package cert

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/attest/cert/der"
)

// The second opinion is crypto/x509: what it makes is read here as it reads it,
// and what it refuses is refused here.

// theirs checks that a certificate is read as crypto/x509 reads it.
func theirs(t *testing.T, what string, raw []byte) *Certificate {
	t.Helper()
	their, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	our, err := Parse(raw)
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return nil
	}
	same := func(field string, ok bool) {
		t.Helper()
		if !ok {
			t.Errorf("%s: %s is read another way", what, field)
		}
	}
	same("raw", bytes.Equal(our.Raw, their.Raw) && bytes.Equal(our.RawTBS, their.RawTBSCertificate))
	same("subject", bytes.Equal(our.RawSubject, their.RawSubject))
	same("issuer", bytes.Equal(our.RawIssuer, their.RawIssuer))
	same("key", bytes.Equal(our.RawSPKI, their.RawSubjectPublicKeyInfo))
	same("serial", new(big.Int).SetBytes(our.Serial).Cmp(their.SerialNumber) == 0 && (len(our.Serial) == 1 || our.Serial[0] != 0))
	same("validity", our.NotBefore == their.NotBefore.Unix() && our.NotAfter == their.NotAfter.Unix())
	same("CA", our.IsCA == their.IsCA)
	path := their.MaxPathLen
	if path == 0 && !their.MaxPathLenZero {
		path = -1
	}
	same("path length", our.MaxPathLen == path)
	usage := -1
	for i, e := range their.Extensions {
		if e.Id.String() == oidKeyUsage {
			usage = int(their.KeyUsage)
		}
		same("extension", i < len(our.Extensions) && our.Extensions[i].OID == e.Id.String() &&
			our.Extensions[i].Critical == e.Critical && bytes.Equal(our.Extensions[i].Value, e.Value))
	}
	same("extensions", len(our.Extensions) == len(their.Extensions))
	same("usage", our.KeyUsage == usage)
	return our
}

func TestReadsWhatTheStandardLibraryMakes(t *testing.T) {
	random := mathrand.New(mathrand.NewPCG(1, 2))
	keys := []crypto.Signer{p256[0], p384, rsaKey(), p521}
	algs := [][]x509.SignatureAlgorithm{
		{x509.ECDSAWithSHA256, x509.ECDSAWithSHA384}, {x509.ECDSAWithSHA256, x509.ECDSAWithSHA384},
		{x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS},
		{x509.ECDSAWithSHA256, x509.ECDSAWithSHA384},
	}
	starts := []string{"1950-01-01T00:00:00Z", "1999-12-31T23:59:59Z", "2024-02-29T12:00:00Z", "2049-12-31T23:59:59Z", "2050-01-01T00:00:00Z", "9999-12-31T23:59:59Z"}
	texts := []string{"plain", "Größe & Co.", "日本", "", "a\"b", "star*", strings.Repeat("long", 40), "under_score"}
	pick := func(list []string) string { return list[random.IntN(len(list))] }
	some := func() []string {
		var out []string
		for range random.IntN(3) {
			out = append(out, pick(texts))
		}
		return out
	}
	maybe := func() bool { return random.IntN(2) == 0 }
	at := func() time.Time { return must(time.Parse(time.RFC3339, pick(starts))) }
	for n := range 96 {
		subjectKey, signer := n%3, n/3%4
		alg := algs[signer][n/12%len(algs[signer])]
		serial := make([]byte, 1+random.IntN(20))
		for i := range serial {
			serial[i] = byte(random.Uint32())
		}
		serial[0] &= 0x7f // crypto/x509 makes no serial number of 21 bytes
		template := &x509.Certificate{
			SerialNumber: new(big.Int).SetBytes(serial),
			Subject: pkix.Name{CommonName: pick(texts), Organization: some(), OrganizationalUnit: some(), Country: some(), SerialNumber: pick(texts),
				ExtraNames: []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{2, 23, 133, 2, 1}, Value: pick(texts)}}},
			NotBefore: at(), NotAfter: at(), SignatureAlgorithm: alg,
			BasicConstraintsValid: maybe(), IsCA: maybe(), KeyUsage: x509.KeyUsage(random.IntN(1 << 9)),
			MaxPathLen: random.IntN(4) - 1,
		}
		template.IsCA = template.IsCA && template.BasicConstraintsValid
		template.MaxPathLenZero = template.MaxPathLen == 0 && maybe()
		if !template.IsCA {
			template.MaxPathLen, template.MaxPathLenZero = 0, false
		}
		if maybe() {
			template.DNSNames, template.EmailAddresses = []string{"example.org"}, []string{"a@example.org"}
			template.IPAddresses, template.URIs = []net.IP{{127, 0, 0, 1}}, []*url.URL{{Scheme: "https", Host: "example.org"}}
		}
		if maybe() {
			template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
			template.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{2, 23, 133, 8, 1}}
			template.PolicyIdentifiers = []asn1.ObjectIdentifier{{1, 2, 3}}
			template.SubjectKeyId, template.AuthorityKeyId = []byte{1, 2, 3}, []byte{4, 5}
			template.OCSPServer, template.CRLDistributionPoints = []string{"http://example.org/o"}, []string{"http://example.org/c"}
			template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3704, 1, 1}, Critical: maybe(), Value: num(7)}}
			template.PermittedDNSDomainsCritical, template.PermittedDNSDomains = maybe(), []string{"example.org"}
		}
		issuer := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "issuer", Organization: some()}, KeyUsage: x509.KeyUsageCertSign}
		raw, err := x509.CreateCertificate(rand.Reader, template, issuer, keys[subjectKey].Public(), keys[signer])
		if err != nil {
			t.Fatal(err)
		}
		c := theirs(t, fmt.Sprint("certificate ", n), raw)
		if c == nil || signer == 3 {
			continue
		}
		if cn := c.SubjectName("2.5.4.3"); cn != printable([]byte(template.Subject.CommonName)) && template.Subject.CommonName != "" {
			t.Errorf("certificate %d: common name %q of %q", n, cn, template.Subject.CommonName)
		}
		for i, k := range keys[:3] {
			if got := c.SignedBy(&Certificate{Key: keyOf(t, k.Public())}); got != (i == signer) {
				t.Errorf("certificate %d, signed by key %d with %v: key %d signed: %t", n, signer, alg, i, got)
			}
		}
	}
	// What isn't in use here is refused, though it can be made.
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	for name, tt := range map[string]struct {
		pub    crypto.PublicKey
		signer crypto.Signer
		alg    x509.SignatureAlgorithm
	}{
		"P-521":             {p521.Public(), p256[0], x509.ECDSAWithSHA256},
		"Ed25519":           {ed.Public(), p256[0], x509.ECDSAWithSHA256},
		"signed by Ed25519": {p256[0].Public(), ed, x509.PureEd25519},
		"ECDSA, SHA-512":    {p256[0].Public(), p384, x509.ECDSAWithSHA512},
		"RSA, SHA-512":      {p256[0].Public(), rsaKey(), x509.SHA512WithRSA},
		"PSS, SHA-512":      {p256[0].Public(), rsaKey(), x509.SHA512WithRSAPSS},
	} {
		template := &x509.Certificate{SerialNumber: big.NewInt(1), SignatureAlgorithm: tt.alg}
		raw := must(x509.CreateCertificate(rand.Reader, template, &x509.Certificate{Subject: pkix.Name{CommonName: "ca"}}, tt.pub, tt.signer))
		if _, err := Parse(raw); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestReadsListsTheStandardLibraryMakes(t *testing.T) {
	random := mathrand.New(mathrand.NewPCG(3, 4))
	issuer := must(x509.ParseCertificate(caPieces("ca", "root", &p256[1].PublicKey, extCA, extCASign, ext("2.5.29.14", octets([]byte("key")))).by(p256[2])))
	our := parsed(t, issuer.Raw)
	for n := range 20 {
		template := &x509.RevocationList{Number: big.NewInt(int64(n) << n), ThisUpdate: testTime.Add(-time.Hour), NextUpdate: testTime.Add(time.Hour)}
		named := map[string]bool{}
		for range n * n {
			e := x509.RevocationListEntry{SerialNumber: big.NewInt(random.Int64N(1<<uint(8+n)) + 1), RevocationTime: testTime, ReasonCode: random.IntN(6)}
			named[string(e.SerialNumber.Bytes())] = true
			template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, e)
		}
		list := parsedList(t, must(x509.CreateRevocationList(rand.Reader, template, issuer, p256[1])))
		if err := list.Verify(our, testTime.Unix()); err != nil {
			t.Fatal(err)
		}
		if new(big.Int).SetBytes(list.Number).Cmp(template.Number) != 0 {
			t.Errorf("list %d has number %x", n, list.Number)
		}
		for range 100 {
			serial := big.NewInt(random.Int64N(1<<uint(8+n)) + 1).Bytes()
			if list.Revoked(serial) != named[string(serial)] {
				t.Errorf("list %d: %x is revoked: %t", n, serial, !named[string(serial)])
			}
		}
		for serial := range named {
			if !list.Revoked([]byte(serial)) {
				t.Errorf("list %d: %x is not revoked", n, serial)
			}
		}
	}
}

// Chains in which a few things are wrong at once: none stands that doesn't stand
// with crypto/x509.
func TestNoChainStandsAlone(t *testing.T) {
	random := mathrand.New(mathrand.NewPCG(5, 6))
	one := func(of ...[][]byte) [][]byte { return of[random.IntN(len(of))] }
	seldom := func() bool { return random.IntN(12) == 0 }
	caExts := func() [][]byte {
		if !seldom() {
			return one([][]byte{extCA, extCASign}, [][]byte{extPath(int64(random.IntN(3))), extCASign}, [][]byte{extCA})
		}
		return one([][]byte{extCASign}, [][]byte{extCA, critical(oidKeyUsage, bits([]byte{2}))}, [][]byte{extCA, critical("1.2.3", num(1))},
			[][]byte{extCA, critical(oidKeyUsage, bits([]byte{0x80}))}, [][]byte{ext(oidBasicConstraints, seq())}, [][]byte{})
	}
	stood := 0
	for n := range 300 {
		depth := 1 + random.IntN(4)
		var pool []*Certificate
		their := x509.NewCertPool()
		for i := range depth + 1 {
			up := min(i+1, depth)
			p := caPieces(fmt.Sprint("c", i), fmt.Sprint("c", up), &p256[i%4].PublicKey, caExts()...)
			key := up % 4
			if seldom() {
				key = random.IntN(4)
			}
			if seldom() {
				p.issuer = name(fmt.Sprint("c", random.IntN(depth+1)))
			}
			if seldom() {
				p.validity = seq(utc(testTime.Add(time.Hour)), utc(testTime.Add(2*time.Hour)))
			}
			if seldom() {
				p.validity = seq(utc(testTime.Add(-2*time.Hour)), utc(testTime.Add(-time.Hour)))
			}
			pool = append(pool, parsed(t, p.by(p256[key])))
			their.AddCert(must(x509.ParseCertificate(pool[i].Raw)))
		}
		roots, top := x509.NewCertPool(), pool[depth]
		roots.AddCert(must(x509.ParseCertificate(top.Raw)))
		chain, err := Chain(pool[0], pool[1:], []Root{{"root", top.KeyHash()}}, testTime.Unix())
		if err != nil {
			continue
		}
		stood++
		_, err = must(x509.ParseCertificate(pool[0].Raw)).Verify(x509.VerifyOptions{
			Roots: roots, Intermediates: their, CurrentTime: testTime, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		if err != nil {
			t.Errorf("chain %d of %d certificates stands here only: %v", n, len(chain), err)
		}
	}
	if stood < 50 || stood > 250 {
		t.Errorf("%d chains of 300 stand: that compares little", stood)
	}
}

// A node of a DER tree, which can be broken and written again.
type node struct {
	tag   byte
	whole []byte  // where it has no kids
	kids  []*node // of a constructed element, or of one that holds one
	pad   []byte  // before kids in a BIT STRING
}

// treeOf reads elements. What is in an OCTET STRING or BIT STRING and reads as
// elements is read too.
func treeOf(b []byte) (nodes []*node, ok bool) {
	for r := der.New(b); !r.Empty(); {
		tag, content, whole, ok := r.Element()
		if !ok {
			return nil, false
		}
		n := &node{tag: tag, whole: whole}
		inside := content
		if tag == der.BitString && len(content) > 0 {
			inside = content[1:]
		}
		if tag&0x20 != 0 || tag == der.OctetString && len(inside) > 0 || tag == der.BitString && bytes.HasPrefix(inside, []byte{der.Sequence}) {
			if kids, ok := treeOf(inside); ok {
				n.kids, n.pad = kids, content[:len(content)-len(inside)]
			}
		}
		nodes = append(nodes, n)
	}
	return nodes, true
}

func (n *node) bytes() []byte {
	if n.kids == nil {
		return n.whole
	}
	parts := [][]byte{n.pad}
	for _, k := range n.kids {
		parts = append(parts, k.bytes())
	}
	return el(n.tag, parts...)
}

// all appends n's places: each node with the one that holds it.
type place struct {
	in *node
	at int
}

func (n *node) places(out []place) []place {
	for i, k := range n.kids {
		out = k.places(append(out, place{n, i}))
	}
	return out
}

// break1 changes one thing in a tree.
func break1(root *node, random *mathrand.Rand) {
	all := root.places(nil)
	p := all[random.IntN(len(all))]
	kids := &p.in.kids
	k := (*kids)[p.at]
	raw := bytes.Clone(k.bytes())
	set := func(b []byte) { (*kids)[p.at] = &node{tag: k.tag, whole: b} }
	content := func() []byte { r := der.New(raw); _, c, _, _ := r.Element(); return c }
	switch random.IntN(13) {
	case 0, 1, 2: // a bit
		i := random.IntN(len(raw))
		raw[i] ^= 1 << random.IntN(8)
		set(raw)
	case 3: // gone
		*kids = append((*kids)[:p.at:p.at], (*kids)[p.at+1:]...)
	case 4: // twice
		*kids = append((*kids)[:p.at:p.at], append([]*node{k, k}, (*kids)[p.at+1:]...)...)
	case 5: // in another's place
		q := random.IntN(len(*kids))
		(*kids)[p.at], (*kids)[q] = (*kids)[q], k
	case 6: // that of another place altogether
		q := all[random.IntN(len(all))]
		set(q.in.kids[q.at].bytes())
	case 7: // of another type
		tags := []byte{1, 2, 3, 4, 5, 6, 0x0a, 0x0c, 0x13, 0x16, 0x17, 0x18, 0x30, 0x31, 0x80, 0xa0, 0xa1, 0xa3}
		raw[0] = tags[random.IntN(len(tags))]
		set(raw)
	case 8: // cut off, with lengths that say so
		c := content()
		set(el(k.tag, c[:random.IntN(len(c)+1)]))
	case 9: // longer
		set(el(k.tag, content(), bytes.Repeat([]byte{byte(random.Uint32())}, 1+random.IntN(3))))
	case 10: // longer at its start
		set(el(k.tag, []byte{byte(random.Uint32()) & 0x81}, content()))
	case 11: // a length in a longer form
		c := content()
		set(append([]byte{k.tag, 0x83, 0, byte(len(c) >> 8), byte(len(c))}, c...))
	case 12: // beside something else
		*kids = append((*kids)[:p.at:p.at], append([]*node{{whole: null5()}}, (*kids)[p.at:]...)...)
	}
}

// explained are the refusals of crypto/x509 for which there is none here, by the
// start of the error, and why.
var explained = map[string]string{
	// Of a name the structure is read, and what a text says is for people: names are
	// compared as bytes, and shown with all that isn't printable ASCII replaced.
	"x509: invalid RDNSequence: invalid attribute value: ": "texts of names",

	// Extensions on which nothing here acts, so that they aren't opened. Where one
	// is critical, Chain refuses it as unknown, but for the three that it names.
	"x509: invalid subject key identifier":   "issuers are found by name and signature",
	"x509: invalid authority key identifier": "issuers are found by name and signature",
	"x509: invalid authority info access":    "nothing is fetched",
	"x509: invalid CRL distribution point":   "nothing is fetched",
	"x509: invalid subject alternative name": "read by the platform that uses it",
	"x509: SAN ":                             "read by the platform that uses it",
	"x509: cannot parse ":                    "addresses in alternative names: nobody is looked up",
	"x509: invalid extended key usages":      "read by the platform that uses it",
	"x509: invalid certificate policies":     "no policy is asked for",
	"x509: invalid policy ":                  "no policy is asked for",
	"x509: invalid inhibit any policy":       "no policy is asked for",
	"x509: policy constraints ":              "no policy is asked for",
	"x509: invalid NameConstraints":          "no name is asked for",
	"x509: malformed reasonCode":             "what is on a list is revoked, for whatever reason",

	// These must not be critical; Chain and Verify refuse them where they are.
	"x509: subject key identifier incorrectly":   "Chain",
	"x509: authority key identifier incorrectly": "Chain",
	"x509: authority info access incorrectly":    "Chain",
}

func isExplained(err error, used map[string]int) bool {
	for start := range explained {
		if strings.HasPrefix(err.Error(), start) {
			used[start]++
			return true
		}
	}
	return false
}

// richCertificates are certificates with all sorts of things to break.
func richCertificates() [][]byte {
	issuer := &x509.Certificate{Subject: pkix.Name{CommonName: "ca"}, SubjectKeyId: []byte("key")}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(1 << 40), Subject: pkix.Name{CommonName: "leaf", Organization: []string{"Größe", "b"}, SerialNumber: "12"},
		NotBefore: testTime.Add(-time.Hour), NotAfter: testTime.Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, PolicyIdentifiers: []asn1.ObjectIdentifier{{1, 2, 3}},
		DNSNames: []string{"example.org"}, OCSPServer: []string{"http://example.org/o"}, CRLDistributionPoints: []string{"http://example.org/c"},
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3704, 1, 1}, Value: num(7)}},
	}
	ca := *leaf
	ca.IsCA, ca.MaxPathLen, ca.KeyUsage = true, 3, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	plain := leafPieces()
	pss := leafPieces()
	pss.alg = algPSS384
	return [][]byte{
		must(x509.CreateCertificate(nil, leaf, issuer, &p256[0].PublicKey, p256[1])),
		must(x509.CreateCertificate(nil, &ca, issuer, rsaKey().Public(), p256[1])),
		plain.by(p256[1]),
		pss.by(rsaKey()),
	}
}

// What crypto/x509 can't read, or whose signature it refuses, is refused here.
func TestMutatedCertificates(t *testing.T) {
	random := mathrand.New(mathrand.NewPCG(7, 8))
	issuers := []*x509.Certificate{{PublicKeyAlgorithm: x509.ECDSA, PublicKey: &p256[1].PublicKey}, {PublicKeyAlgorithm: x509.RSA, PublicKey: rsaKey().Public()}}
	ours := []*Certificate{{Key: keyOf(t, &p256[1].PublicKey)}, {Key: keyOf(t, rsaKey().Public())}}
	bases, used := richCertificates(), map[string]int{}
	var refused, both, stands int
	for n := range 4000 {
		base := bases[n%len(bases)]
		which := 0
		if n%len(bases) == 3 {
			which = 1
		}
		var raw []byte
		if n%5 == 0 { // a flat change, which no reader of structure would make
			raw = bytes.Clone(base)
			switch i := random.IntN(len(raw)); random.IntN(4) {
			case 0:
				raw = raw[:i]
			case 1:
				raw = append(raw, raw[:i]...)
			default:
				raw[i] ^= 1 << random.IntN(8)
			}
		} else {
			tree, _ := treeOf(base)
			for range 1 + random.IntN(2) {
				break1(tree[0], random)
			}
			raw = tree[0].bytes()
			// Half are signed again, in so far as there is still something to sign.
			if kids := tree[0].kids; n%2 == 0 && len(kids) >= 3 && which == 0 {
				kids[2] = &node{whole: bits(sign(p256[1], kids[1].bytes(), kids[0].bytes()))}
				raw = tree[0].bytes()
			}
		}
		their, theirErr := x509.ParseCertificate(raw)
		our, ourErr := Parse(raw)
		switch {
		case theirErr != nil && ourErr == nil:
			if !isExplained(theirErr, used) {
				t.Errorf("mutation %d: only crypto/x509 refuses it: %v\n%x", n, theirErr, raw)
			}
			refused++
		case theirErr != nil:
			refused++
		case ourErr == nil:
			both++
			theirErr = issuers[which].CheckSignature(their.SignatureAlgorithm, their.RawTBSCertificate, their.Signature)
			if signed := our.SignedBy(ours[which]); signed && theirErr != nil {
				t.Errorf("mutation %d: only crypto/x509 refuses its signature: %v\n%x", n, theirErr, raw)
			} else if signed {
				stands++
				theirs(t, fmt.Sprint("mutation ", n), raw)
			}
		}
	}
	if refused < 1000 || both < 500 || stands < 100 {
		t.Errorf("%d refused, %d read by both, of which %d are signed: that compares little", refused, both, stands)
	}
	t.Logf("%d refused, %d read by both, of which %d are signed; explained: %v", refused, both, stands, used)
}

func TestMutatedLists(t *testing.T) {
	random := mathrand.New(mathrand.NewPCG(9, 10))
	base, used := crlPieces().by(p256[1]), map[string]int{}
	their := &x509.Certificate{PublicKeyAlgorithm: x509.ECDSA, PublicKey: &p256[1].PublicKey}
	our := parsed(t, caPieces("ca", "root", &p256[1].PublicKey).by(p256[2]))
	var refused, both, stands int
	for n := range 1500 {
		tree, _ := treeOf(base)
		for range 1 + random.IntN(2) {
			break1(tree[0], random)
		}
		if kids := tree[0].kids; n%4 != 0 && len(kids) >= 3 {
			kids[2] = &node{whole: bits(sign(p256[1], kids[1].bytes(), kids[0].bytes()))}
		}
		raw := tree[0].bytes()
		theirList, theirErr := x509.ParseRevocationList(raw)
		ourList, ourErr := ParseCRL(raw)
		switch {
		case theirErr != nil && ourErr == nil:
			if !isExplained(theirErr, used) {
				t.Errorf("mutation %d: only crypto/x509 refuses it: %v\n%x", n, theirErr, raw)
			}
			refused++
		case theirErr != nil:
			refused++
		case ourErr == nil:
			both++
			if ourList.Verify(our, testTime.Unix()) != nil {
				break
			}
			stands++
			if err := theirList.CheckSignatureFrom(&x509.Certificate{Version: 3, BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCRLSign,
				PublicKeyAlgorithm: their.PublicKeyAlgorithm, PublicKey: their.PublicKey}); err != nil {
				t.Errorf("mutation %d: only crypto/x509 refuses its signature: %v\n%x", n, err, raw)
			}
			if theirList.ThisUpdate.After(testTime) || !theirList.NextUpdate.After(testTime) || !bytes.Equal(theirList.RawIssuer, our.RawSubject) {
				t.Errorf("mutation %d is out of date, or of another issuer", n)
			}
			for _, e := range theirList.RevokedCertificateEntries {
				if !ourList.Revoked(e.SerialNumber.Bytes()) {
					t.Errorf("mutation %d: %v is revoked for crypto/x509 only", n, e.SerialNumber)
				}
			}
		}
	}
	if refused < 400 || both < 200 || stands < 100 {
		t.Errorf("%d refused, %d read by both, of which %d stand: that compares little", refused, both, stands)
	}
	t.Logf("%d refused, %d read by both, of which %d stand; explained: %v", refused, both, stands, used)
}
