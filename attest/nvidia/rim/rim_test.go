// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package rim_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/attest/nvidia"
	"github.com/sotto-chat/sotto/attest/nvidia/nvidiatest"
	"github.com/sotto-chat/sotto/attest/nvidia/rim"
)

var now = time.Unix(1_800_000_000, 0)

func digest(s string) []byte {
	h := sha512.Sum384([]byte(s))
	return h[:]
}

func vbios() *nvidiatest.RIM {
	return nvidiatest.Default().RIM("96.00.9f.00.04",
		nvidiatest.RIMEntry{Index: 1, Active: true, Digests: [][]byte{digest("b"), digest("a"), digest("b")}},
		nvidiatest.RIMEntry{Index: 7, Digests: [][]byte{make([]byte, 48)}},
		nvidiatest.RIMEntry{Index: 0, Active: true, Digests: [][]byte{make([]byte, 48)}})
}

func driver() *nvidiatest.RIM {
	return nvidiatest.Default().RIM("570.124.06",
		nvidiatest.RIMEntry{Index: 1, Digests: [][]byte{make([]byte, 48)}},
		nvidiatest.RIMEntry{Index: 35, Active: true, Digests: [][]byte{digest("c")}})
}

func verify(doc []byte) (*rim.RIM, error) {
	return rim.Verify(doc, now, nvidiatest.Default().RIMRoots())
}

func TestTable(t *testing.T) {
	d, err := verify(driver().Document())
	if err != nil {
		t.Fatal(err)
	}
	v, err := verify(vbios().Document())
	if err != nil {
		t.Fatal(err)
	}
	if v.Name != "GH100" || v.Version != "96.00.9f.00.04" || len(v.Entries) != 3 || len(v.Chain) != 3 {
		t.Errorf("RIM %+v", v)
	}
	b, err := rim.Table(d, v)
	if err != nil {
		t.Fatal(err)
	}
	table, err := nvidia.ParseTable(b)
	if err != nil {
		t.Fatal(err)
	}
	if table.Driver != "570.124.06" || table.VBIOS != "96.00.9F.00.04" || len(table.Entries) != 3 {
		t.Errorf("table %+v", table)
	}
	for i, want := range []nvidia.Entry{
		{Index: 1, Digests: [][]byte{make([]byte, 48)}},
		{Index: 2, Digests: [][]byte{digest("a"), digest("b")}},
		{Index: 36, NVDEC0: true, Digests: [][]byte{digest("c")}},
	} {
		got := table.Entries[i]
		slices.SortFunc(want.Digests, bytes.Compare)
		if got.Index != want.Index || got.NVDEC0 != want.NVDEC0 || !slices.EqualFunc(got.Digests, want.Digests, bytes.Equal) {
			t.Errorf("entry %d: %+v", i, got)
		}
	}
	if _, err := rim.Table(v, v); err == nil || !strings.Contains(err.Error(), "both RIMs") {
		t.Error("an index of both was accepted")
	}
	if _, err := rim.Table(v, d); err == nil {
		t.Error("driver and VBIOS may be swapped")
	}
	if _, err := rim.Table(d, &rim.RIM{Version: "96.00.9F.00.04"}); err != nil {
		t.Error(err)
	}
	if _, err := rim.Table(&rim.RIM{Version: "570.1"}, &rim.RIM{Version: "96.00.9F.00.04"}); err == nil {
		t.Error("a table of nothing was accepted")
	}
}

// NVIDIA's own documents may stand where a fake one does, and the other way round
// they must not.
func TestPinnedRoot(t *testing.T) {
	if _, err := rim.Verify(driver().Document(), now, nil); err == nil {
		t.Error("a fake RIM passes as NVIDIA's")
	}
}

func TestRules(t *testing.T) {
	swap := func(old, new string) func(string) string {
		return func(s string) string {
			if !strings.Contains(s, old) {
				t.Fatalf("%q is not in %s", old, s)
			}
			return strings.Replace(s, old, new, 1)
		}
	}
	cert := func(place int, edit func(*x509.Certificate)) func(*nvidiatest.RIM) {
		return func(r *nvidiatest.RIM) {
			r.EditCert = func(p int, c *x509.Certificate) {
				if p == place {
					edit(c)
				}
			}
		}
	}
	body := func(f func(string) string) func(*nvidiatest.RIM) {
		return func(r *nvidiatest.RIM) { r.EditBody = f }
	}
	info := func(f func(string) string) func(*nvidiatest.RIM) {
		return func(r *nvidiatest.RIM) { r.EditInfo = f }
	}
	doc := func(f func(string) string) func(*nvidiatest.RIM) {
		return func(r *nvidiatest.RIM) { r.EditDoc = f }
	}
	const (
		malformed = "XML"
		form      = "the signature is not in the form"
		changed   = "the document is not the one that was signed"
		wrong     = "the signature is wrong"
		certs     = "certificates are not in the form"
		hold      = "certificates do not hold"
		entry     = "measurement"
		payload   = "the payload holds something else"
		strange   = "strange"
		tag       = "the document is not a SWID tag"
	)
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		apply func(*nvidiatest.RIM)
		want  string // in the error; "" accepts
	}{
		{"nothing", func(*nvidiatest.RIM) {}, ""},
		{"canonical XML 1.0", info(func(s string) string {
			return strings.ReplaceAll(s, "http://www.w3.org/2006/12/xml-c14n11", "http://www.w3.org/TR/2001/REC-xml-c14n-20010315")
		}), ""},
		{"a default namespace that ends", body(swap(`<ns0:Entity name`, `<ns0:Entity xmlns="" name`)), ""},
		{"a prefix that means another", body(swap(`<ns0:Payload>`, `<ns0:Payload>`+`<ns0:Resource xmlns:ns2="urn:x" active="False" alternatives="0" index="50" size="48" type="Measurement" ns2:Hash0="x"></ns0:Resource>`)), ""},
		{"a prefix that means another in the signature", func(r *nvidiatest.RIM) {
			r.EditInfo = swap(`xmlns:ns2="http://www.w3.org/2001/04/xmlenc#sha384"`, `xmlns:ns2="urn:x"`)
			r.EditDoc = func(s string) string { // declared around SignedInfo, not at it
				return swap(`<ds:Signature `, `<ds:Signature xmlns:ns2="urn:x" `)(swap(` xmlns:ns2="urn:x"`, ``)(s))
			}
		}, ""},
		{"true in small letters", body(swap(`active="True"`, `active="true"`)), ""},
		{"false in small letters", body(swap(`active="False"`, `active="false"`)), ""},
		{"return as reference", doc(func(s string) string { return strings.Replace(s, "&lt;&gt;&amp;", "&lt;&gt;&#38;", 1) }), ""},
		{"CDATA", doc(swap("&lt;&gt;&amp;", "<![CDATA[<>&]]>")), ""},
		{"no declaration", doc(func(s string) string { return s[strings.Index(s, "?>")+2:] }), ""},

		{"digest changed", doc(swap(`Hash0="`, `Hash0="0`)), changed},
		{"text added", doc(swap(`<ns0:Payload xml`, `x<ns0:Payload xml`)), changed},
		{"attribute dropped", doc(swap(` corpus="&#102;alse"`, ``)), changed},
		{"prefix renamed", doc(func(s string) string {
			return strings.ReplaceAll(strings.ReplaceAll(s, "ns0:", "nsx:"), "xmlns:ns0", "xmlns:nsx")
		}), changed},
		{"carriage return", doc(swap("&lt;&gt;&amp;", "&#13;&lt;&gt;&amp;")), changed},
		{"SignedInfo changed", doc(swap(`<ds:SignedInfo>`, `<ds:SignedInfo> `)), wrong},
		{"signature changed", doc(func(s string) string {
			i := strings.Index(s, "<ds:SignatureValue>") + 60
			c := byte('A')
			if s[i] == c {
				c = 'B'
			}
			return s[:i] + string(c) + s[i+1:]
		}), wrong},
		{"signed by the issuer's key", func(r *nvidiatest.RIM) { r.SignWith = 1 }, wrong},

		{"other canonical form", info(swap(`CanonicalizationMethod Algorithm="http://www.w3.org/2006/12/xml-c14n11"`, `CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"`)), form},
		{"other canonical form of the document", info(swap(`<ds:Transform Algorithm="http://www.w3.org/2006/12/xml-c14n11"`, `<ds:Transform Algorithm="http://www.w3.org/2006/12/xml-c14n11#WithComments"`)), form},
		{"other signature", info(swap(`#ecdsa-sha384`, `#ecdsa-sha256`)), form},
		{"other hash", info(swap(`xmldsig-more#sha384"></ds:DigestM`, `xmldsig-more#sha224"></ds:DigestM`)), form},
		{"other reference", info(swap(`URI=""`, `URI="#x"`)), form},
		{"reference with an id", info(swap(`URI=""`, `Id="x" URI=""`)), form},
		{"reference without address", info(swap(`<ds:Reference URI="">`, `<ds:Reference Id="">`)), form},
		{"not enveloped", info(swap(`<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"></ds:Transform>`, ``)), form},
		{"two transforms swapped", info(func(s string) string {
			const a, b = `<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"></ds:Transform>`, `<ds:Transform Algorithm="http://www.w3.org/2006/12/xml-c14n11"></ds:Transform>`
			return strings.Replace(s, a+b, b+a, 1)
		}), form},
		{"transform with something in it", info(swap(`enveloped-signature">`, `enveloped-signature">x`)), form},
		{"transform of another kind", info(swap(`<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"></ds:Transform>`, `<ds:Transformer Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"></ds:Transformer>`)), form},
		{"transform with two attributes", info(swap(`<ds:Transform Algorithm="http://www.w3.org/2000`, `<ds:Transform Id="" Algorithm="http://www.w3.org/2000`)), form},
		{"transforms of another kind", info(func(s string) string { return strings.ReplaceAll(s, "ds:Transforms>", "ds:Transform>") }), form},
		{"two references", info(swap(`</ds:Reference>`, `</ds:Reference><ds:Reference URI=""></ds:Reference>`)), form},
		{"reference of another kind", info(func(s string) string { return strings.ReplaceAll(s, "ds:Reference", "ds:Manifest") }), form},
		{"digest of another kind", info(func(s string) string { return strings.ReplaceAll(s, "ds:DigestValue", "ds:DigestValues") }), form},
		{"digest in no base64", info(swap("<ds:DigestValue>", "<ds:DigestValue>!")), form},
		{"digest with an element", info(swap("<ds:DigestValue>", "<ds:DigestValue><ds:x></ds:x>")), form},
		{"reference with text", info(swap("<ds:Transforms>", "x<ds:Transforms>")), form},
		{"transforms with text", info(swap("<ds:Transforms>", "<ds:Transforms>x")), form},
		{"SignedInfo with text", info(swap("</ds:SignedInfo>", "x</ds:SignedInfo>")), form},
		{"no signature", doc(func(s string) string {
			return s[:strings.Index(s, "<ds:Signature ")] + s[strings.Index(s, "</ds:Signature>")+15:]
		}), form},
		{"two signatures", doc(func(s string) string {
			i, j := strings.Index(s, "<ds:Signature "), strings.Index(s, "</ds:Signature>")+15
			return s[:j] + s[i:]
		}), form},
		{"signature around", doc(func(s string) string {
			return strings.Replace(s, "<ds:Signature ", "<ns0:x><ds:Signature ", 1)[:0] + strings.Replace(strings.Replace(s, "<ds:Signature ", "<ns0:x><ds:Signature ", 1), "</ds:Signature>", "</ds:Signature></ns0:x>", 1)
		}), form},
		{"signature of another namespace", doc(func(s string) string {
			return strings.Replace(s, `xmlns:ds="http://www.w3.org/2000/09/xmldsig#"`, `xmlns:ds="urn:x"`, 1)
		}), form},
		{"signature with text", doc(swap("<ds:SignatureValue>", "x<ds:SignatureValue>")), form},
		{"signature with an object", doc(swap("</ds:KeyInfo>", "</ds:KeyInfo><ds:Object/>")), form},
		{"value of another namespace", doc(func(s string) string {
			return strings.Replace(strings.Replace(s, "<ds:SignatureValue>", `<SignatureValue>`, 1), "</ds:SignatureValue>", "</SignatureValue>", 1)
		}), form},
		{"short signature", doc(swap("<ds:SignatureValue>", "<ds:SignatureValue>AAAA")), form},

		{"another root", func(r *nvidiatest.RIM) { r.Vendor = nvidiatest.New() }, "do not lead to NVIDIA's root"},
		{"signer out of date", cert(0, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) }), hold},
		{"issuer may not sign", cert(1, func(c *x509.Certificate) { c.IsCA = false }), hold},
		{"signer is a CA", cert(0, func(c *x509.Certificate) { c.IsCA = true }), "not for signing documents"},
		{"signer with a key on another curve", func(r *nvidiatest.RIM) { r.Signer = p256 }, "the signer's key is of another kind"},
		{"signer with a key of another algorithm", func(r *nvidiatest.RIM) { r.Signer = ed }, "the signer's key is of another kind"},
		{"signer may not sign", cert(0, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement }), "not for signing documents"},
		{"certificate in no base64", doc(swap("<ds:X509Certificate>", "<ds:X509Certificate>!")), certs},
		{"certificate that can't be read", doc(swap("<ds:X509Certificate>MI", "<ds:X509Certificate>AA")), certs},
		{"certificate of another kind", doc(func(s string) string { return strings.ReplaceAll(s, "ds:X509Certificate>", "ds:X509CRL>") }), certs},
		{"root alone", doc(func(s string) string {
			i, j := strings.Index(s, "<ds:X509Certificate>"), strings.LastIndex(s, "<ds:X509Certificate>")
			return s[:i] + s[j:]
		}), certs},
		{"nine certificates", doc(func(s string) string {
			i := strings.LastIndex(s, "<ds:X509Certificate>")
			j := strings.LastIndex(s, "</ds:X509Data>")
			return s[:i] + strings.Repeat(s[i:j], 7) + s[j:]
		}), certs},
		{"eight certificates", doc(func(s string) string {
			i := strings.LastIndex(s, "<ds:X509Certificate>")
			j := strings.LastIndex(s, "</ds:X509Data>")
			return s[:i] + strings.Repeat(s[i:j], 6) + s[j:]
		}), ""},
		{"key of another kind", doc(func(s string) string { return strings.ReplaceAll(s, "ds:X509Data>", "ds:KeyValue>") }), certs},
		{"key and more", doc(swap("</ds:X509Data>", "</ds:X509Data><ds:KeyName/>")), certs},
		{"text in the certificates", doc(swap("<ds:X509Data>", "<ds:X509Data>x")), certs},
		{"text in the key", doc(swap("<ds:X509Data>", "x<ds:X509Data>")), certs},

		{"document type", doc(swap("<SoftwareIdentity", "<!DOCTYPE x><SoftwareIdentity")), "document type"},
		{"processing instruction", doc(swap("<SoftwareIdentity", "<?x y?><SoftwareIdentity")), "processing instruction"},
		{"other encoding", doc(swap("UTF-8", "UTF-7")), malformed},
		{"entity", doc(swap("&lt;", "&x;")), malformed},
		{"text before", doc(func(s string) string { return strings.Replace(s, "<Soft", "x<Soft", 1) }), "outside"},
		{"text after", doc(func(s string) string { return s + "x" }), "outside"},
		{"element after", doc(func(s string) string { return s + "<x/>" }), "two documents"},
		{"cut", doc(func(s string) string { return s[:len(s)-10] }), malformed},
		{"ends too much", doc(func(s string) string { return s + "</x>" }), malformed},
		{"crossed", doc(func(s string) string {
			return strings.Replace(s, "</ns0:Payload>", "</Payload>", 1)
		}), malformed},
		{"crossed by name", doc(func(s string) string { return strings.Replace(s, "</ns0:Payload>", "</ns0:Payloads>", 1) }), malformed},
		{"tab in an attribute", doc(swap(`role="tag`, "role=\"\ttag")), "line break"},
		{"line in an attribute", doc(swap(`role="tag`, "role=\"&#10;tag")), "line break"},
		{"xml attribute", doc(swap(`<ns0:Entity `, `<ns0:Entity xml:space="preserve" `)), strange},
		{"undeclared prefix", doc(swap(`<ns0:Entity `, `<ns9:Entity `)), "not declared"},
		{"undeclared prefix of an attribute", doc(swap(`<ns0:Entity name`, `<ns0:Entity ns9:x="" name`)), "not declared"},
		{"prefix that ends", doc(swap(`<ns0:Entity `, `<ns0:Entity xmlns:ns2="" `)), strange},
		{"prefix xml", doc(swap(`<ns0:Entity `, `<ns0:Entity xmlns:xml="urn:x" `)), strange},
		{"prefix xmlns", doc(swap(`<ns0:Entity `, `<ns0:Entity xmlns:xmlns="urn:x" `)), strange},
		{"prefix twice", doc(swap(`<ns0:Entity `, `<ns0:Entity xmlns:q="urn:x" xmlns:q="urn:y" `)), "declared twice"},
		{"attribute twice", doc(swap(`<ns0:Entity `, `<ns0:Entity role="x" `)), "there twice"},
		{"attribute twice by namespace", doc(swap(`<ns0:Entity `, `<ns0:Entity xmlns:q="urn:q" xmlns:r="urn:q" q:a="" r:a="" `)), "there twice"},
		{"strange element", doc(swap(`<ns0:Entity `, `<ns0:Ent.ity `)), strange},
		{"strange attribute", doc(swap(`role=`, `ro.le=`)), strange},
		{"element xmlns", doc(swap(`<ns0:Entity `, `<xmlns:Entity `)), strange},
		{"too deep", doc(swap(`<ns0:Payload `, strings.Repeat("<ns0:x>", 16)+strings.Repeat("</ns0:x>", 16)+`<ns0:Payload `)), "larger than a RIM"},
		{"too many", doc(swap(`<ns0:Payload `, strings.Repeat("<ns0:x/>", 4096)+`<ns0:Payload `)), "larger than a RIM"},
		{"too many attributes", doc(swap(`<ns0:Entity `, `<ns0:Entity `+strings.Repeat(`a="" `, 257))), "larger than a RIM"},
		{"too long", doc(func(s string) string { return s + strings.Repeat(" ", rim.MaxSize) }), "too long"},
		{"empty", doc(func(string) string { return "" }), malformed},

		{"SignedInfo of another name", info(func(s string) string { return strings.ReplaceAll(s, "ds:SignedInfo", "ds:SignedThing") }), form},
		{"value of another name", doc(func(s string) string { return strings.ReplaceAll(s, "ds:SignatureValue>", "ds:Value>") }), form},
		{"key of another name", doc(func(s string) string { return strings.ReplaceAll(s, "ds:KeyInfo>", "ds:Key>") }), form},
		{"signature with a tail", doc(swap("</ds:SignatureValue>", "!!!!</ds:SignatureValue>")), form},
		{"reference and an id", info(swap(`URI=""`, `URI="" Id="x"`)), form},
		{"reference of another namespace", info(func(s string) string { return strings.ReplaceAll(s, "ds:Reference", "Reference") }), form},
		{"transforms of another namespace", info(func(s string) string { return strings.ReplaceAll(s, "ds:Transforms", "Transforms") }), form},
		{"digest of another namespace", info(func(s string) string { return strings.ReplaceAll(s, "ds:DigestValue", "DigestValue") }), form},
		{"method of another namespace", info(func(s string) string { return strings.ReplaceAll(s, "ds:DigestMethod", "DigestMethod") }), form},
		{"more in the reference", info(swap("</ds:DigestValue>", "</ds:DigestValue><ds:x></ds:x>")), form},
		{"three transforms", info(swap("</ds:Transforms>", "<ds:x></ds:x></ds:Transforms>")), form},
		{"certificates of another namespace", doc(func(s string) string { return strings.ReplaceAll(s, "ds:X509Data>", "X509Data>") }), certs},
		{"certificate of another namespace", doc(func(s string) string { return strings.ReplaceAll(s, "ds:X509Certificate>", "X509Certificate>") }), certs},
		{"certificate with a tail", doc(swap("</ds:X509Certificate>", "!!!!</ds:X509Certificate>")), certs},
		{"no issuer", doc(func(s string) string {
			i := strings.Index(s, "</ds:X509Certificate>") + 21
			return s[:i] + s[strings.LastIndex(s, "<ds:X509Certificate>"):]
		}), hold},
		{"measurement of another namespace", body(swap(`<ns0:Payload>`, `<ns0:Payload><x:Resource xmlns:x="urn:x" active="False" alternatives="0" index="50" size="48" type="Measurement"></x:Resource>`)), payload},
		{"payload of another namespace", body(swap(`<ns0:Payload>`, `<x:Payload xmlns:x="urn:x"></x:Payload><ns0:Payload>`)), ""},
		{"hash in no namespace", body(swap(`<ns0:Resource active="True"`, `<ns0:Resource Hash0="x" active="True"`)), ""},
		{"hash with a tail", body(func(s string) string { return strings.Replace(s, `"></ns0:Resource>`, `x"></ns0:Resource>`, 1) }), entry},
		{"as long as may be", doc(func(s string) string { return s + strings.Repeat(" ", rim.MaxSize-len(s)) }), ""},
		{"processing instruction first", doc(swap("<?xml", "<?xmlx")), "processing instruction"},
		{"declaration twice", doc(swap("<SoftwareIdentity", `<?xml version="1.0"?><SoftwareIdentity`)), "processing instruction"},
		{"as many attributes as may be", doc(func(s string) string {
			var more string
			for i := range 254 {
				more += ` a` + strconv.Itoa(i) + `=""`
			}
			return strings.Replace(s, "<ns0:Entity ", "<ns0:Entity"+more+" ", 1)
		}), changed},
		{"as many elements as may be", doc(func(s string) string {
			n := strings.Count(s, "<") - strings.Count(s, "</") - strings.Count(s, "<?") - strings.Count(s, "<!")
			return strings.Replace(s, "<ns0:Payload ", strings.Repeat("<ns0:x/>", 4096-n)+"<ns0:Payload ", 1)
		}), changed},
		{"hash first", doc(func(s string) string {
			i := strings.Index(s, ` ns2:Hash0="`)
			hash := s[i : i+12+96+1]
			s = strings.Replace(s, hash, "", 1)
			return strings.Replace(s, "<ns0:Resource", "<ns0:Resource"+hash, 1)
		}), ""},
		{"never ends", doc(func(s string) string { return s[:strings.LastIndex(s, "</")] }), malformed},
		{"names of all letters", body(swap(`<ns0:Entity name="NVIDIA &amp; Co &lt;&quot;" role="tagCreator">`,
			`<ns0:Entity xmlns:q="urn:q" name="NVIDIA &amp; Co &lt;&quot;" role="tagCreator" q:aZ_z-9="" q:role="x" q:xmlns="urn:x">`)), ""},
		{"element in other letters", doc(swap(`<ns0:Entity `, `<ns0:Entité `)), strange},
		{"other document", body(func(s string) string { return strings.Replace(s, "<SoftwareIdentity", "<SoftwareIdentity", 1) }), ""},
		{"no version", body(swap(`colloquialVersion="570.124.06"`, `colloquialVersion=""`)), "no version"},
		{"document of another name", func(r *nvidiatest.RIM) { r.Element = "SoftwareIdentities" }, tag},
		{"document of another namespace", func(r *nvidiatest.RIM) { r.Element = "ns2:SoftwareIdentity" }, tag},
		{"no meta", body(func(s string) string { return strings.ReplaceAll(s, "ns0:Meta", "ns0:Mate") }), tag},
		{"no payload", body(func(s string) string { return strings.ReplaceAll(s, "ns0:Payload", "ns0:Evidence") }), tag},
		{"two payloads", body(swap(`</ns0:Payload>`, `</ns0:Payload><ns0:Payload></ns0:Payload>`)), tag},
		{"empty payload", func(r *nvidiatest.RIM) { r.Entries = nil }, "holds no measurements"},
		{"payload with text", body(swap(`<ns0:Payload>`, `<ns0:Payload>x`)), "holds no measurements"},
		{"file in the payload", body(swap(`type="Measurement"`, `type="File"`)), payload},
		{"other element in the payload", body(func(s string) string { return strings.ReplaceAll(s, "ns0:Resource", "ns0:File") }), "holds something else"},
		{"type in a namespace", body(swap(`type="Measurement"`, `ns0:type="Measurement"`)), payload},
		{"index no number", body(swap(`index="1"`, `index="x"`)), payload},
		{"index negative", body(swap(`index="1"`, `index="-1"`)), payload},
		{"index 255", body(swap(`index="1"`, `index="255"`)), payload},
		{"index 254", body(swap(`index="1"`, `index="254"`)), ""},
		{"index twice", body(swap(`index="1"`, `index="35"`)), "measurement 35 is there twice"},
		{"active neither", body(swap(`active="True"`, `active="TRUE"`)), entry},
		{"other size", body(swap(`size="48"`, `size="32"`)), entry},
		{"fewer hashes", body(swap(`alternatives="1"`, `alternatives="2"`)), entry},
		{"hash of another number", body(swap(`ns2:Hash0`, `ns2:Hash1`)), entry},
		{"hash of another length", body(swap(`ns2:Hash0="`, `ns2:Hash0="00`)), entry},
		{"hash in no hex", body(swap(`ns2:Hash0="0`, `ns2:Hash0="x`)), entry},
	} {
		r := driver()
		tt.apply(r)
		_, err := verify(r.Document())
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.want != "" && err == nil:
			t.Errorf("%s: accepted", tt.name)
		case tt.want != "" && !strings.Contains(err.Error(), tt.want):
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
}

func FuzzVerify(f *testing.F) {
	f.Add(driver().Document())
	f.Add(vbios().Document())
	f.Add([]byte(`<a xmlns:b="c" b:d="e"><!-- f --><g/>&amp;</a>`))
	roots := nvidiatest.Default().RIMRoots()
	want := map[string]bool{}
	for _, r := range []*nvidiatest.RIM{driver(), vbios()} {
		v, err := verify(r.Document())
		if err != nil {
			f.Fatal(err)
		}
		want[summary(v)] = true
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		// Whatever is changed, what is read is what was signed.
		if r, err := rim.Verify(doc, now, roots); err == nil && !want[summary(r)] {
			t.Fatalf("accepted %q", doc)
		}
	})
}

func summary(r *rim.RIM) string {
	s := r.Name + " " + r.Version
	for _, e := range r.Entries {
		s += " " + string(rune('a'+e.Index)) + base64.StdEncoding.EncodeToString(bytes.Join(e.Digests, nil))
	}
	return s
}
