// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package nvidiatest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/attest/cert"
)

// RIM is what a fake RIM says. [Vendor.RIM] fills all of it.
type RIM struct {
	Vendor  *Vendor
	Element string // that holds the document
	Version string
	Entries []RIMEntry

	EditCert func(place int, c *x509.Certificate) // of signer (0), issuer (1) and root (2)
	EditBody func(string) string                  // canonical text of the document, before it is hashed
	EditInfo func(string) string                  // canonical text of SignedInfo, before it is signed
	EditDoc  func(string) string                  // at the end
	SignWith int                                  // place of the certificate whose key signs
	Signer   crypto.Signer                        // in the signer's certificate; signs, if it is an ECDSA key
}

// RIMEntry is one measurement of a RIM.
type RIMEntry struct {
	Index   int // from 0
	Active  bool
	Digests [][]byte
}

// RIM returns a RIM of the vendor that says nothing of any measurement but those
// of the entries.
func (v *Vendor) RIM(version string, entries ...RIMEntry) *RIM {
	return &RIM{Vendor: v, Element: "SoftwareIdentity", Version: version, Entries: entries}
}

// RIMRoots pins the vendor's root of RIMs.
func (v *Vendor) RIMRoots() []cert.Root { return []cert.Root{pin("fake NVIDIA RIM", v.rim[2])} }

// Document returns the signed document. Its body is written in canonical form
// from the start, so that this package needs no canonicalization of its own; then
// it is loosened: elements that hold nothing are closed at once, attributes and
// declarations stand in another order, and there is a comment.
func (r *RIM) Document() []byte {
	const ns = ` xmlns="http://standards.iso.org/iso/19770/-2/2015/schema.xsd" xmlns:ns0="http://standards.iso.org/iso/19770/-2/2015/schema.xsd" xmlns:ns2="http://www.w3.org/2001/04/xmlenc#sha384"`
	var b strings.Builder
	b.WriteString(`<` + r.Element + ns + ` corpus="false" name="GH100" version="1.0">` + "\n")
	b.WriteString(`    <ns0:Entity name="NVIDIA &amp; Co &lt;&quot;" role="tagCreator"></ns0:Entity>` + "\n")
	b.WriteString(`    <ns0:Meta xmlns:ns1="urn:rim" colloquialVersion="` + r.Version + `" product="GH100" ns1:BindingSpec="RIMIM"></ns0:Meta>` + "\n    <ns0:Payload>\n")
	for _, e := range r.Entries {
		active := "False"
		if e.Active {
			active = "True"
		}
		fmt.Fprintf(&b, `        <ns0:Resource active="%s" alternatives="%d" index="%d" name="Measurement_%d" size="48" type="Measurement"`, active, len(e.Digests), e.Index, e.Index)
		for i, d := range e.Digests {
			fmt.Fprintf(&b, ` ns2:Hash%d="%s"`, i, hex.EncodeToString(d))
		}
		b.WriteString("></ns0:Resource>\n")
	}
	b.WriteString("    </ns0:Payload>\n&lt;&gt;&amp;")
	body := b.String()
	if r.EditBody != nil {
		body = r.EditBody(body)
	}
	h := sha512.Sum384([]byte(body + "</" + r.Element + ">"))

	const c14n = `Algorithm="http://www.w3.org/2006/12/xml-c14n11"`
	info := `<ds:SignedInfo` + strings.Replace(ns, ` xmlns:ns0`, ` xmlns:ds="http://www.w3.org/2000/09/xmldsig#" xmlns:ns0`, 1) + `><ds:CanonicalizationMethod ` + c14n + `></ds:CanonicalizationMethod>` +
		`<ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384"></ds:SignatureMethod><ds:Reference URI=""><ds:Transforms>` +
		`<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"></ds:Transform><ds:Transform ` + c14n + `></ds:Transform></ds:Transforms>` +
		`<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#sha384"></ds:DigestMethod><ds:DigestValue>` + base64.StdEncoding.EncodeToString(h[:]) +
		`</ds:DigestValue></ds:Reference></ds:SignedInfo>`
	if r.EditInfo != nil {
		info = r.EditInfo(info)
	}
	key := r.Vendor.rim[r.SignWith]
	if k, ok := r.Signer.(*ecdsa.PrivateKey); ok {
		key = k
	}
	sig := r.Vendor.once(func() []byte { return signRS(key, []byte(info)) }, "rim", key.D, info)
	doc := body + `<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#">` + strings.Replace(info, strings.Replace(ns, ` xmlns:ns0`, ` xmlns:ds="http://www.w3.org/2000/09/xmldsig#" xmlns:ns0`, 1), "", 1) +
		`<ds:SignatureValue>` + base64.StdEncoding.EncodeToString(sig) + "</ds:SignatureValue><ds:KeyInfo><ds:X509Data>"
	for _, c := range r.certificates() {
		s := base64.StdEncoding.EncodeToString(c)
		doc += "<ds:X509Certificate>" + s[:64] + "\n" + s[64:] + "\n</ds:X509Certificate>"
	}
	doc += "</ds:X509Data></ds:KeyInfo></ds:Signature></" + r.Element + ">\n"

	doc = strings.ReplaceAll(doc, `></ns0:Resource>`, `/>`)
	doc = strings.ReplaceAll(doc, `></ds:Transform>`, `/>`)
	doc = strings.ReplaceAll(doc, `<ns0:Resource active="True" `, `<ns0:Resource	active='True' `)
	doc = strings.Replace(doc, ` corpus="false" name="GH100"`, ` name="GH100" corpus="&#102;alse"`, 1)
	doc = strings.Replace(doc, ` xmlns:ns0="http://standards.iso.org/iso/19770/-2/2015/schema.xsd" xmlns:ns2="http://www.w3.org/2001/04/xmlenc#sha384"`,
		` xmlns:ns2="http://www.w3.org/2001/04/xmlenc#sha384" xmlns:ns0="http://standards.iso.org/iso/19770/-2/2015/schema.xsd"`, 1)
	doc = strings.Replace(doc, `<ns0:Payload>`, `<!-- x --><ns0:Payload xmlns:ns2="http://www.w3.org/2001/04/xmlenc#sha384">`, 1)
	doc = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n" + strings.ReplaceAll(doc, "\n    ", "\r\n    ")
	if r.EditDoc != nil {
		doc = r.EditDoc(doc)
	}
	return []byte(doc)
}

func (r *RIM) certificates() [][]byte {
	v := r.Vendor
	names := [...]string{"HCC RIM L4 Signer", "NVIDIA Reference Value GH100 CA", "NVIDIA CoRIM signing Root CA"}
	var out [][]byte
	var parents [3]*x509.Certificate
	for i := 2; i >= 0; i-- {
		var key crypto.Signer = v.rim[i]
		if i == 0 && r.Signer != nil {
			key = r.Signer
		}
		c := template(key, names[i])
		c.NotAfter = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
		if i == 0 {
			c.IsCA, c.KeyUsage = false, x509.KeyUsageDigitalSignature
		}
		if r.EditCert != nil {
			r.EditCert(i, c)
		}
		parents[i] = c
		b := v.once(func() []byte {
			b, err := x509.CreateCertificate(rand.Reader, c, parents[min(i+1, 2)], key.Public(), v.rim[min(i+1, 2)])
			must(err)
			return b
		}, "certificate", key.Public(), *c, parents[min(i+1, 2)].Subject)
		out = append([][]byte{b}, out...)
	}
	return out
}
