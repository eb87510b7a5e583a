// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package nvidia_test asks others about the evidence of GPUs that attest/nvidia
// judges: the recording of a real H100 that lies in go-nvtrust, changed in
// thousands of ways, and fake RIMs. No Go module that can be had reads a GPU's
// report, so the opinion about it is the standard library's: crypto/x509 of the
// chain, crypto/ecdsa of the signature, and go-nvtrust of the chain as well.
package nvidia_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	"github.com/confidentsecurity/go-nvtrust/pkg/gonvtrust/certs"
	"github.com/confidentsecurity/go-nvtrust/pkg/gonvtrust/mocks"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/nvidia"
	"github.com/sotto-chat/sotto/attest/nvidia/nvidiadata"
	"github.com/sotto-chat/sotto/attest/nvidia/nvidiatest"
	"github.com/sotto-chat/sotto/attest/nvidia/rim"
	"github.com/sotto-chat/sotto/attest/section"
)

var now = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// recording returns the real GPU's report and certificates.
func recording(t *testing.T) (report []byte, chain [][]byte) {
	t.Helper()
	list, err := nvidiadata.Read(mocks.AttestationReportData)
	if err != nil || len(list) != 1 {
		t.Fatal(err)
	}
	for rest := mocks.ValidCertChainData; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			return list[0].Report, chain
		}
		chain = append(chain, b.Bytes)
	}
}

func pack(report []byte, chain ...[]byte) []byte {
	return section.Append(section.Append(nil, nvidia.KindReport, report), nvidia.KindChain, bytes.Join(chain, nil))
}

// ours returns the first failure, or "".
func ours(data []byte, rules string, at time.Time) string {
	var p attest.Policy
	if rules != "" {
		p.Platforms = map[string]json.RawMessage{nvidia.Name: json.RawMessage(rules)}
	}
	a := nvidia.Platform{}.Verify(data, attest.Claim{Unbound: true}, p, at)
	for _, c := range a.Checks {
		if c.Status == attest.StatusFail {
			return c.Failure
		}
	}
	return ""
}

// theirs reports whether the standard library accepts a report and its chain.
func theirs(report []byte, chain [][]byte, root *x509.Certificate, at time.Time) bool {
	var list []*x509.Certificate
	opts := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	opts.Roots.AddCert(root)
	for _, b := range chain {
		c, err := x509.ParseCertificate(b)
		if err != nil {
			return false
		}
		list = append(list, c)
		opts.Intermediates.AddCert(c)
	}
	if len(list) == 0 || len(report) < 96 {
		return false
	}
	if _, err := list[0].Verify(opts); err != nil {
		return false
	}
	key, ok := list[0].PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return false
	}
	body, sig := report[:len(report)-96], report[len(report)-96:]
	h := sha512.Sum384(body)
	return ecdsa.Verify(key, h[:], new(big.Int).SetBytes(sig[:48]), new(big.Int).SetBytes(sig[48:]))
}

func TestRecording(t *testing.T) {
	report, chain := recording(t)
	data, err := nvidiadata.FromReports([]nvidiadata.Report{{Report: report, Chain: mocks.ValidCertChainData}})
	if err != nil || !bytes.Equal(data, pack(report, chain...)) {
		t.Fatal(err)
	}
	v := attest.Examine([]attest.Evidence{{Platform: nvidia.Name, Data: data}}, nil, attest.Policy{}, now, nvidia.Platform{})
	if v.State != attest.StateGenuine {
		t.Fatalf("state %s, failure %s", v.State, v.Failure)
	}
	root, err := x509.ParseCertificate(chain[4])
	if err != nil {
		t.Fatal(err)
	}
	if !theirs(report, chain, root, now) {
		t.Error("the standard library refuses the recording")
	}
	if err := certs.NewCertChainFromData(mocks.ValidCertChainData).Verify(); err != nil {
		t.Errorf("go-nvtrust refuses the chain: %v", err)
	}
	// What it says of itself, which others print too.
	r, err := nvidia.ParseReport(report)
	if err != nil || r.Driver != "545.00" || r.VBIOS != "96.00.5E.00.01" || r.Mode != "none" || r.FWID != nil || len(r.Measurements) != 64 {
		t.Errorf("report %v, %v", r, err)
	}
	if want := "4cff7f5380ead8fad8ec2c531c110aca4302a88f603792801a8ca29ee151af2e"; hex.EncodeToString(r.Nonce) != want {
		t.Errorf("nonce %x", r.Nonce)
	}
	// The floor below which NVIDIA's documents start is not reached by a field.
	if got := ours(data, `{"min_driver":["545.00"],"min_vbios":["96.00.5E.00.01"],"arch":["hopper"],"gpus":1,"modes":["none"]}`, now); got != "" {
		t.Errorf("its own versions are refused: %s", got)
	}
	// That other chain of go-nvtrust's doesn't hold for it, and not for us.
	if other, err := nvidiadata.FromReports([]nvidiadata.Report{{Report: report, Chain: mocks.InvalidCertChainData}}); err == nil && ours(other, "", now) == "" {
		t.Error("the invalid chain is accepted")
	}
}

func TestChanges(t *testing.T) {
	report, chain := recording(t)
	data := pack(report, chain...)
	root, err := x509.ParseCertificate(chain[4])
	if err != nil {
		t.Fatal(err)
	}
	total, explained := 0, map[string]int{}
	// try asks both about a change; with a reason, ours alone may refuse or both
	// may accept.
	try := func(name string, data []byte, report []byte, chain [][]byte, reason string) {
		total++
		our := ours(data, "", now)
		their := their(report, chain, root)
		switch {
		case our == "" && !their:
			t.Errorf("%s: we accept what the others refuse", name)
		case our == "" && reason == "":
			t.Errorf("%s: accepted", name)
		case our == "" || their:
			explained[reason]++
			if reason == "" {
				t.Errorf("%s: only ours refuses (%s), without a reason", name, our)
			}
		}
	}
	flip := func(b []byte, at int) []byte {
		b = bytes.Clone(b)
		b[at] ^= 1 << (at % 8)
		return b
	}
	with := func(i int, c []byte) [][]byte {
		l := slices.Clone(chain)
		l[i] = c
		return l
	}

	// One bit of the report: all of it but for most of the measurements, which are alike.
	for i := range report {
		if i > 100 && i < len(report)-700 && i%25 != 0 {
			continue
		}
		r := flip(report, i)
		try("report flipped", pack(r, chain...), r, chain, "")
	}
	// One bit of a certificate.
	for k, c := range chain {
		for i := k; i < len(c); i += 4 {
			l := with(k, flip(c, i))
			reason := ""
			if k == 4 {
				reason = "the root is known to the others, and must come along for ours"
			}
			try("certificate flipped", pack(report, l...), report, l, reason)
		}
	}
	// Cut and extended.
	for i := range report {
		try("report cut", pack(report[:i], chain...), report[:i], chain, "")
	}
	for i := range data {
		try("evidence cut", data[:i], nil, nil, "")
	}
	for i := 1; i <= 64; i++ {
		r := append(bytes.Clone(report), make([]byte, i)...)
		try("report extended", pack(r, chain...), r, chain, "")
		try("evidence extended", append(bytes.Clone(data), make([]byte, i)...), nil, nil, "")
		l := with(i%5, append(bytes.Clone(chain[i%5]), make([]byte, i)...))
		try("certificate extended", pack(report, l...), report, l, "")
	}
	// The lengths that it says of itself.
	for v := range 0x10000 / 64 {
		for _, at := range []int{37 + 5, len(report) - 96 - 2 - int(binary.LittleEndian.Uint16(report[37+8+64*55+32:]))} {
			r := bytes.Clone(report)
			if int(binary.LittleEndian.Uint16(r[at:])) == v*64+1 {
				continue
			}
			binary.LittleEndian.PutUint16(r[at:], uint16(v*64+1))
			if v%16 == 0 { // the others look at no length, so their answer is that of any change
				try("length changed", pack(r, chain...), r, chain, "")
			} else if total++; ours(pack(r, chain...), "", now) == "" {
				t.Errorf("length %d at %d: accepted", v*64+1, at)
			}
		}
	}
	// Other orders, doubles and gaps.
	permute(chain, func(l [][]byte) {
		if !slices.EqualFunc(l, chain, bytes.Equal) {
			try("chain in another order", pack(report, l...), report, l, "ours takes the chain in one order only")
		}
	})
	for i := range chain {
		l := slices.Delete(slices.Clone(chain), i, i+1)
		reason := ""
		if i == 4 {
			reason = "the root is known to the others, and must come along for ours"
		}
		try("certificate missing", pack(report, l...), report, l, reason)
		l = slices.Insert(slices.Clone(chain), i, chain[i])
		try("certificate twice", pack(report, l...), report, l, "ours takes five certificates and no more")
	}
	// Sections.
	a, b := section.Append(nil, nvidia.KindReport, report), section.Append(nil, nvidia.KindChain, bytes.Join(chain, nil))
	for _, l := range [][][]byte{{b, a}, {a, a, b}, {a, b, b}, {a}, {b}, {a, b, a}} {
		try("sections", bytes.Join(l, nil), nil, nil, "")
	}
	two := bytes.Join([][]byte{a, a, b, b}, nil)
	try("the same GPU twice", two, nil, nil, "")

	// Another maker's GPU that says the same; the real chain with its signature,
	// and its chain with the real report.
	fake := nvidiatest.Default().GPU("GH100")
	fake.EditReport = func([]byte) []byte { return bytes.Clone(report[:len(report)-96]) }
	try("signed by another", pack(fake.Report(), fake.Certificates()...), fake.Report(), fake.Certificates(), "")
	try("signed by another, real chain", pack(fake.Report(), chain...), fake.Report(), chain, "")
	for i := range chain {
		l := with(i, fake.Certificates()[i])
		reason := ""
		if i == 4 {
			reason = "the root is known to the others, and must come along for ours"
		}
		try("one certificate of another", pack(report, l...), report, l, reason)
	}

	// Of each ECDSA signature there is a second one, which anybody can compute.
	// Nothing of ours takes a report's bytes for its name.
	s := new(big.Int).SetBytes(report[len(report)-48:])
	second := append(bytes.Clone(report[:len(report)-48]), s.Sub(elliptic.P384().Params().N, s).FillBytes(make([]byte, 48))...)
	try("second signature", pack(second, chain...), second, chain, "both accept the other form of a signature")

	// Time and policy.
	for _, at := range []time.Time{time.Unix(0, 0), time.Date(2020, 10, 16, 23, 59, 59, 0, time.UTC), time.Date(2021, 11, 4, 23, 59, 59, 0, time.UTC), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)} {
		total++
		if ours(data, "", at) == "" || theirs(report, chain, root, at) {
			t.Errorf("accepted at %v", at)
		}
	}
	for _, b := range chain {
		c, err := x509.ParseCertificate(b)
		if err != nil {
			t.Fatal(err)
		}
		total++
		if got := ours(data, `{"revoked":["`+hex.EncodeToString(c.SerialNumber.Bytes())+`"]}`, now); got != attest.FailRevoked {
			t.Errorf("%s revoked: %q", c.Subject, got)
		}
	}
	for rules, want := range map[string]string{
		`{"min_driver":["545.01"]}`: attest.FailFirmwareOld, `{"min_driver":["544.0"]}`: attest.FailFirmwareOld, `{"min_vbios":["96.00.5E.00.02"]}`: attest.FailFirmwareOld,
		`{"arch":["blackwell"]}`: attest.FailPolicyMismatch, `{"modes":["spt"]}`: attest.FailPolicyMismatch, `{"gpus":2}`: attest.FailPolicyMismatch,
		`{"require_crl":true}`: attest.FailCollateralMissing, `{"tables":["sha256:` + strings.Repeat("00", 32) + `"]}`: attest.FailCollateralMissing,
	} {
		total++
		if got := ours(data, rules, now); got != want {
			t.Errorf("%s: %q, want %q", rules, got, want)
		}
	}
	t.Logf("%d changes", total)
	for reason, n := range explained {
		t.Logf("%d: %s", n, reason)
	}
	if total < 10_000 {
		t.Errorf("only %d changes", total)
	}
}

// their is theirs, now; a report of nil stands for evidence that isn't in a form
// of theirs.
func their(report []byte, chain [][]byte, root *x509.Certificate) bool {
	return report != nil && theirs(report, chain, root, now)
}

func permute(l [][]byte, f func([][]byte)) {
	var walk func(done, left [][]byte)
	walk = func(done, left [][]byte) {
		if len(left) == 0 {
			f(done)
			return
		}
		for i := range left {
			walk(append(slices.Clone(done), left[i]), slices.Delete(slices.Clone(left), i, i+1))
		}
	}
	walk(nil, l)
}

// What the fake NVIDIA signs is signed by the rules of others, too.
func TestRIM(t *testing.T) {
	v := nvidiatest.Default()
	make := func(change func(*nvidiatest.RIM)) []byte {
		r := v.RIM("570.124.06", nvidiatest.RIMEntry{Index: 3, Active: true, Digests: [][]byte{bytes.Repeat([]byte{1}, 48)}})
		if change != nil {
			change(r)
		}
		return r.Document()
	}
	ours := func(doc []byte) bool {
		_, err := rim.Verify(doc, now, v.RIMRoots())
		return err == nil
	}
	theirs := func(doc []byte) bool {
		d := etree.NewDocument()
		if d.ReadFromBytes(doc) != nil || d.Root() == nil {
			return false
		}
		c := d.FindElements("//X509Certificate")
		if len(c) == 0 {
			return false
		}
		block, _ := pem.Decode([]byte("-----BEGIN CERTIFICATE-----\n" + c[0].Text() + "-----END CERTIFICATE-----\n"))
		if block == nil {
			return false
		}
		// It trusts single certificates and builds no chains: the signer's own.
		leaf, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return false
		}
		// It reads signatures in ASN.1; XML Signature, section 6.4.3, and NVIDIA have
		// the two numbers one after the other.
		value := d.FindElement("//SignatureValue")
		if value == nil {
			return false
		}
		sig, err := base64.StdEncoding.DecodeString(value.Text())
		if err != nil || len(sig) != 96 {
			return false
		}
		both, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(sig[:48]), new(big.Int).SetBytes(sig[48:])})
		if err != nil {
			return false
		}
		value.SetText(base64.StdEncoding.EncodeToString(both))
		ctx := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{leaf}})
		ctx.Clock = dsig.NewFakeClockAt(now)
		_, err = ctx.Validate(d.Root())
		return err == nil
	}
	good := make(nil)
	if !ours(good) || !theirs(good) {
		t.Fatalf("ours %v, theirs %v", ours(good), theirs(good))
	}
	total, stricter := 0, 0
	try := func(doc []byte) {
		total++
		switch our := ours(doc); {
		case our && !theirs(doc):
			t.Errorf("we accept what the others refuse: %q", doc)
		case !our && theirs(doc):
			stricter++ // a root that isn't pinned, a chain that doesn't hold, XML that they read more freely
		}
	}
	for i := 0; i < len(good); i += 5 {
		b := bytes.Clone(good)
		b[i] ^= 1 << (i % 7)
		try(b)
		try(good[:i])
	}
	for _, change := range []func(*nvidiatest.RIM){
		func(r *nvidiatest.RIM) { r.SignWith = 1 },
		func(r *nvidiatest.RIM) { r.EditCert = func(p int, c *x509.Certificate) { c.NotAfter = now.Add(-1) } },
		func(r *nvidiatest.RIM) { r.Vendor = nvidiatest.New() },
	} {
		doc := make(change)
		try(doc)
		if ours(doc) {
			t.Error("accepted")
		}
	}
	t.Logf("%d changes, of which the others accept %d more", total, stricter)
}
