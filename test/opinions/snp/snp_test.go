// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package snp_test asks Google's go-sev-guest about the evidence of SEV-SNP
// machines that attest/snp judges: a recording of theirs from a real Milan chip, and
// machines of a fake AMD, each changed in thousands of ways.
package snp_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-sev-guest/abi"
	"github.com/google/go-sev-guest/kds"
	"github.com/google/go-sev-guest/proto/sevsnp"
	"github.com/google/go-sev-guest/validate"
	"github.com/google/go-sev-guest/verify"
	"github.com/google/go-sev-guest/verify/testdata"
	"github.com/google/go-sev-guest/verify/trust"
	"github.com/google/logger"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/cert"
	"github.com/sotto-chat/sotto/attest/pile"
	"github.com/sotto-chat/sotto/attest/snp"
	"github.com/sotto-chat/sotto/attest/snp/snpdata"
	"github.com/sotto-chat/sotto/attest/snp/snptest"
)

func TestMain(m *testing.M) {
	logger.Init("", false, false, io.Discard)
	os.Exit(m.Run())
}

// piece is one piece of evidence with the roots and the rules that it is judged by.
type piece struct {
	report, leaf, signer, root, crl []byte

	now   int64
	vlek  bool // the certificate goes where VLEKs go
	roots []cert.Root
	// theirs makes the roots that the other verifier trusts. It takes the
	// certificates above the leaf from there, not from the evidence.
	theirs func() *trust.AMDRootCerts
	rules  *rules
}

// rules are the same rules in both languages.
type rules struct {
	ours   string
	theirs validate.Options

	// excused are failures of ours that stand for nothing here: the recording is
	// of a machine that can be debugged, and no list was recorded with it.
	excused []string
}

// ours returns what fails, as "check failure".
func (p piece) ours() (failed []string) {
	var s []snptest.Section
	for i, b := range [][]byte{p.report, p.leaf, p.signer, p.root, p.crl} {
		s = append(s, snptest.Section{Kind: byte(snpdata.KindReport + i), Data: b})
	}
	policy := attest.Policy{Platforms: map[string]json.RawMessage{"snp": json.RawMessage(p.rules.ours)}}
	claim := attest.Claim{Unbound: p.rules.theirs.ReportData == nil}
	copy(claim.ReportData[:], p.rules.theirs.ReportData)
	a := snp.Platform{Roots: p.roots}.Verify(snptest.Join(s), claim, policy, time.Unix(p.now, 0))
	for _, c := range a.Checks {
		if c.Status == attest.StatusFail && !slices.Contains(p.rules.excused, c.ID+" "+c.Failure) {
			failed = append(failed, c.ID+" "+c.Failure)
		}
	}
	return failed
}

type getter []byte

func (g getter) Get(string) ([]byte, error) {
	if len(g) == 0 {
		return nil, errors.New("none")
	}
	return g, nil
}

// second is the other verifier's opinion.
func (p piece) second() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("it panics: %v", r)
		}
	}()
	report, err := abi.ReportToProto(p.report)
	if err != nil {
		return err
	}
	chain := &sevsnp.CertificateChain{AskCert: p.signer, ArkCert: p.root, Extras: map[string][]byte{}}
	if p.vlek {
		chain.VlekCert = p.leaf
	} else {
		chain.VcekCert = p.leaf
	}
	a := &sevsnp.Attestation{Report: report, CertificateChain: chain}
	root := p.theirs()
	if err := verify.SnpAttestation(a, &verify.Options{
		DisableCertFetching: true, CheckRevocations: !slices.Contains(p.rules.excused, noList), Getter: getter(p.crl),
		Now: time.Unix(p.now, 0), TrustedRoots: map[string][]*trust.AMDRootCerts{root.ProductLine: {root}},
	}); err != nil {
		return err
	}
	o := p.rules.theirs
	return validate.SnpAttestation(a, &o)
}

const noList = "chip.revocation collateral_missing"

// open pins nothing. The other verifier has to be told what ours does by itself.
func open(product string) *rules {
	vmpl := 0
	return &rules{ours: "{}", theirs: validate.Options{VMPL: &vmpl, GuestPolicy: abi.SnpPolicy{SMT: true, CXLAllowed: true}}}
}

// full pins all that both can pin, for the machines of [machine].
func full(m *snptest.Machine) *rules {
	r := m.Report
	x := func(b []byte) string { return `["` + hex.EncodeToString(b) + `"]` }
	o := open("")
	o.ours = `{"measurements":` + x(r.Measurement[:]) + `,"id_keys":` + x(r.IDKey[:]) + `,"author_keys":` + x(r.AuthorKey[:]) +
		`,"family_ids":` + x(r.FamilyID[:]) + `,"image_ids":` + x(r.ImageID[:]) + `,"host_data":` + x(r.HostData[:]) + `,"min_guest_svn":1,
		"min_tcb":{"` + m.AMD.Product + `":{"bootloader":4,"tee":1,"snp":22,"microcode":213}},"min_launch_tcb":{"` + m.AMD.Product + `":{"snp":21}},
		"min_firmware":"1.55.21","min_abi":"1.51","guest":{"cxl":false},"allow_vlek":true,
		"platform":{"tsme":false,"ecc":true,"alias_check_complete":true,"tio":false,"iommu_write_safe":false},"chip_ids":` + x(r.ChipID[:]) + `}`
	t := &o.theirs
	t.GuestPolicy = abi.SnpPolicy{SMT: true, ABIMajor: 1, ABIMinor: 51}
	t.MinimumGuestSvn, t.ReportData, t.HostData, t.ImageID, t.FamilyID = 1, r.ReportData[:], r.HostData[:], r.ImageID[:], r.FamilyID[:]
	t.Measurement, t.ChipID = r.Measurement[:], r.ChipID[:]
	t.MinimumBuild, t.MinimumVersion = 21, 1<<8|55
	t.MinimumTCB = kds.TCBParts{BlSpl: 4, TeeSpl: 1, SnpSpl: 22, UcodeSpl: 213}
	t.MinimumLaunchTCB = kds.TCBParts{SnpSpl: 21}
	t.PlatformInfo = &abi.SnpPlatformInfo{SMTEnabled: true, ECCEnabled: true, AliasCheckComplete: true}
	t.RequireAuthorKey, t.TrustedAuthorKeyHashes = true, [][]byte{r.AuthorKey[:]}
	return o
}

// recording is the real chip's.
func recording(t testing.TB) piece {
	t.Helper()
	data, err := snpdata.FromReport(testdata.AttestationBytes, [][]byte{testdata.VcekBytes, trust.AskArkGenoaVcekBytes, trust.AskArkMilanVcekBytes})
	if err != nil {
		t.Fatal(err)
	}
	block, rest := pem.Decode(trust.AskArkMilanVcekBytes)
	signer := block.Bytes
	block, _ = pem.Decode(rest)
	p := piece{
		report: testdata.AttestationBytes, leaf: testdata.VcekBytes, signer: signer, root: block.Bytes,
		now: 1_700_000_000, rules: open("Milan"),
		theirs: func() *trust.AMDRootCerts {
			r := trust.AMDRootCertsProduct("Milan")
			r.ProductCerts = trust.DefaultRootCerts["Milan"].ProductCerts
			return r
		},
	}
	p.rules.theirs.GuestPolicy.Debug = true
	p.rules.theirs.ReportData = testdata.AttestationBytes[0x50:0x90]
	p.rules.excused = []string{"chip.debug debug_enabled", noList}
	if !bytes.Equal(data, snptest.Join([]snptest.Section{{Kind: 1, Data: p.report}, {Kind: 2, Data: p.leaf}, {Kind: 3, Data: p.signer}, {Kind: 4, Data: p.root}})) {
		t.Fatal("the recording is put together in another way")
	}
	return p
}

// machine is a fake one, of which rules can ask for everything.
func machine(product string, vlek bool) *snptest.Machine {
	m := snptest.New(product, [64]byte{1, 2, 3})
	r := &m.Report
	r.IDKey[0], r.AuthorKey[0], r.FamilyID[0], r.ImageID[0], r.HostData[0] = 1, 2, 3, 4, 5
	r.Flags |= 1
	if vlek {
		m.UseVLEK("example.com")
	}
	return m
}

// of takes a fake machine apart.
func of(m *snptest.Machine, r *rules) piece {
	genuine := &snptest.AMD{Product: m.AMD.Product}
	p := piece{
		now: snptest.Now, vlek: m.Leaf.VLEK, rules: r,
		report: m.ReportBytes(), leaf: m.LeafCert(),
		signer: m.AMD.Intermediate(m.Leaf.VLEK).Raw, root: m.AMD.Root().Raw,
		roots: genuine.Roots(),
	}
	if m.List != nil {
		p.crl = m.AMD.CRL(*m.List)
	}
	p.theirs = func() *trust.AMDRootCerts {
		r := trust.AMDRootCertsProduct(genuine.Product)
		r.ProductCerts = &trust.ProductCerts{Ark: genuine.Root(), Ask: genuine.Intermediate(false), Asvk: genuine.Intermediate(true)}
		return r
	}
	return p
}

// difference is where the two differ, by what was changed and what was found.
type difference struct {
	changes []string // how the change's name begins
	found   []string // of ours one that failed, of theirs a part of their words
	reason  string
}

const malformed = "chip.report evidence_malformed"

// stricter lists what ours refuses and they accept. Each line must be needed.
var stricter = []difference{
	{[]string{"ARK ", "ASK ", "ASVK ", "cut root", "cut signer", "extend root", "extend signer", "flip root", "flip signer", "misplace", "swap"},
		[]string{malformed, "chip.chain chain_untrusted", "chip.chain signature_invalid", "chip.chain collateral_expired", "chip.chain collateral_missing"},
		"they have the certificates above the chip's themselves and pass over those in the evidence; ours pins only the root's key"},
	{[]string{"extend report"}, []string{malformed}, "they pass over what follows a report"},
	{[]string{"extend list"}, []string{malformed}, "they pass over what follows a list"},
	{[]string{"extension 1.3.6.1.4.1.3704.1.1 as 02"}, []string{malformed}, "they pass over structVersion, which says how the levels are laid out"},
	{[]string{"extension 1.3.6.1.4.1.3704.1.2 as 16", "extension 1.3.6.1.4.1.3704.1.5 as 16"}, []string{malformed}, "they take empty names and such as can't be printed"},
	{[]string{"list begins", "list ends"}, []string{"chip.revocation collateral_expired"}, "they pass over the dates of a list"},
	{[]string{"revoke 0"}, []string{"chip.revocation revoked"}, "they look into a list for the ASK's number only, ours for each certificate's"},
	{[]string{"masked"}, []string{"chip.masked policy_mismatch"}, "a chip that is hidden has to be allowed"},
	{[]string{"platform bit", "sign 0x4"}, []string{"chip.platform.known platform_unknown"}, "they pass over bits of PLATFORM_INFO that nobody knows"},
	{[]string{"sign 0xe", "sign 0xf", "sign 0x10"}, []string{"software.id_key software_mismatch"}, "they take every ID key under a trusted author's; with ours both lists count"},
	{[]string{"sign 0x1f", "sign 0x20"}, []string{malformed}, "they read mitigation vectors in versions where those bytes are reserved"},
	{[]string{"told not to sign"}, []string{"chip.signature signature_invalid"}, "they pass over MASK_CHIP_KEY"},
	{[]string{"version 4"}, []string{malformed}, "there is no version 4 in AMD's documents"},
	{[]string{"version 3", "version 5", "sign 0x0"}, []string{"chip.model platform_unknown"}, "they take a report that names no family for one of version 2"},
}

// laxer lists what they refuse and ours accepts. Each line must be needed.
var laxer = []difference{
	{[]string{"model", "sign 0x189"}, []string{"could not be verified by any trusted roots"}, "they know only the first models of each family; which family it is decides the root, and that is compared"},
	{[]string{"extension 1.3.6.1.4.1.3704.1.2 as 16"}, []string{"unknown product name"}, "they know a list of steppings; nothing depends on a stepping"},
	{[]string{"revoke 0x10001: Genoa VLEK"}, []string{"ASK was revoked"}, "they look for the ASK's number though it is the ASVK that signed"},
}

// explain returns which of the differences it is, or -1.
func explain(list []difference, change string, found func(string) bool) int {
	return slices.IndexFunc(list, func(d difference) bool {
		return slices.ContainsFunc(d.changes, func(c string) bool { return strings.HasPrefix(change, c) }) && slices.ContainsFunc(d.found, found)
	})
}

type tally struct {
	t                       *testing.T
	n, both, neither, more  int
	usedStricter, usedLaxer map[int]int
	unexplained             map[string]int
}

// judge asks both about one changed piece.
func (c *tally) judge(change string, p piece) {
	c.n++
	failed, err := p.ours(), p.second()
	switch {
	case len(failed) == 0 && err == nil:
		c.both++
	case len(failed) > 0 && err != nil:
		c.neither++
	case err != nil:
		i := explain(laxer, change, func(s string) bool { return strings.Contains(err.Error(), s) })
		if i < 0 {
			c.t.Errorf("%s: they refuse (%v), ours accepts", change, err)
		}
		c.usedLaxer[i]++
	default:
		c.more++
		i := explain(stricter, change, func(s string) bool { return slices.Contains(failed, s) })
		if i < 0 {
			class, _, _ := strings.Cut(change, ":")
			c.unexplained[class+": "+strings.Join(failed, "; ")]++
		}
		c.usedStricter[i]++
	}
}

// What they refuse does not pass ours, and what ours refuses beyond is explained.
func TestSecondOpinion(t *testing.T) {
	c := &tally{t: t, usedStricter: map[int]int{}, usedLaxer: map[int]int{}, unexplained: map[string]int{}}
	real := recording(t)
	c.judge("as recorded", real)
	if c.both != 1 {
		t.Fatalf("the recording does not pass both: ours %v, theirs %v", real.ours(), real.second())
	}
	flips("the recording", real, []byte{1}, [5]int{1, 1, 16, 16, 1}, c.judge)
	lengths("the recording", real, c.judge)
	for _, year := range []int64{2019, 2020, 2021, 2022, 2023, 2025, 2029, 2030, 2045, 2046} {
		p := real
		p.now = time.Date(int(year), 11, 1, 0, 0, 0, 0, time.UTC).Unix()
		c.judge(fmt.Sprintf("at %d", year), p)
	}
	openRules := func(m *snptest.Machine) *rules {
		r := open("")
		if m.Leaf.VLEK {
			r.ours = `{"allow_vlek":true}`
		}
		return r
	}
	for _, kind := range []struct {
		product string
		vlek    bool
	}{{"Milan", false}, {"Genoa", false}, {"Milan", true}, {"Genoa", true}} {
		name := kind.product
		if kind.vlek {
			name += " VLEK"
		}
		make := func() *snptest.Machine { return machine(kind.product, kind.vlek) }
		for _, r := range []func(m *snptest.Machine) *rules{openRules, full} {
			before := c.both
			c.judge("as made", of(make(), r(make())))
			if c.both != before+1 {
				p := of(make(), r(make()))
				t.Fatalf("%s does not pass both: ours %v, theirs %v", name, p.ours(), p.second())
			}
		}
		p := of(make(), full(make()))
		swaps(name+" and the recording", p, real, c.judge)
		other := make()
		other.AMD.Other = true
		swaps(name+" and another maker's", p, of(other, full(other)), c.judge)
		lengths(name, p, c.judge)
		chips(name, make, openRules, c.judge)
		switch {
		case kind.vlek && kind.product == "Genoa":
			certificates(name, make, full, c.judge)
		case kind.vlek:
			levels(name, make, openRules, c.judge)
			signed(name, make, openRules, []byte{0x80}, c.judge)
		default:
			flips(name, p, []byte{4}, [5]int{3, 3, 16, 16, 3}, c.judge)
			levels(name, make, full, c.judge)
			signed(name, make, full, []byte{1}, c.judge)
			signed(name, make, openRules, []byte{0x80}, c.judge)
			if kind.product == "Milan" {
				certificates(name, make, full, c.judge)
			}
		}
	}

	for _, k := range slices.Sorted(maps.Keys(c.unexplained)) {
		t.Errorf("%d times ours refuses, they accept, and no reason is given: %s", c.unexplained[k], k)
	}
	for i, l := range stricter {
		if c.usedStricter[i] == 0 {
			t.Errorf("no change needs the reason %q", l.reason)
		}
	}
	for i, l := range laxer {
		if c.usedLaxer[i] == 0 {
			t.Errorf("no change needs the reason %q", l.reason)
		}
	}
	if c.n < 10_000 {
		t.Errorf("only %d changes", c.n)
	}
	t.Logf("%d changes: both accept %d, both refuse %d, only ours refuses %d", c.n, c.both, c.neither, c.more)
}

// They can't judge Turin: their reader of certificates doesn't know its firmware's
// first part. When this fails they have learnt it, and Turin belongs above.
func TestTurinIsOursAlone(t *testing.T) {
	m := machine("Turin", false)
	p := of(m, open(""))
	if f := p.ours(); len(f) != 0 {
		t.Errorf("ours: %v", f)
	}
	if err := p.second(); err == nil || !strings.Contains(err.Error(), "not an AMD KDS OID") {
		t.Errorf("theirs: %v", err)
	}
}

// The pinned roots are those that they carry.
func TestRoots(t *testing.T) {
	pinned := map[string][32]byte{}
	for _, r := range snp.Roots() {
		pinned[r.Name] = r.Key
	}
	for _, chain := range [][]byte{
		trust.AskArkMilanVcekBytes, trust.AskArkMilanVlekBytes, trust.AskArkGenoaVcekBytes, trust.AskArkGenoaVlekBytes,
		trust.AskArkTurinVcekBytes, trust.AskArkTurinVlekBytes,
	} {
		signer, rest := pem.Decode(chain)
		root, _ := pem.Decode(rest)
		theirs, err := x509.ParseCertificate(root.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if got := sha256.Sum256(theirs.RawSubjectPublicKeyInfo); pinned[theirs.Subject.CommonName] != got {
			t.Errorf("%s is %x, pinned %x", theirs.Subject.CommonName, got, pinned[theirs.Subject.CommonName])
		}
		// Ours reads AMD's real certificates, and follows them.
		s, err1 := cert.Parse(signer.Bytes)
		r, err2 := cert.Parse(root.Bytes)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		if _, err := cert.Chain(s, []*cert.Certificate{r}, snp.Roots(), 1_800_000_000); err != nil {
			t.Errorf("%s: %v", s.SubjectName("2.5.4.3"), err)
		}
	}
}

// A host's table is read as they write it.
func TestCertTable(t *testing.T) {
	real := recording(t)
	chain := &sevsnp.CertificateChain{VcekCert: real.leaf, AskCert: real.signer, ArkCert: real.root, Extras: map[string][]byte{
		"92f81bc3-5811-4d3d-97ff-d19f88dc67ea": (&snptest.AMD{Product: "Milan"}).CRL(snptest.List{NextUpdate: 1}),
	}}
	files, err := snpdata.ParseCertTable(abi.CertsFromProto(chain).Marshal())
	if err != nil {
		t.Fatal(err)
	}
	certs, lists, err := pile.OpenAll(files)
	if err != nil || len(certs) != 3 || len(lists) != 1 || !bytes.Equal(certs[0].Raw, real.root) || !bytes.Equal(certs[2].Raw, real.leaf) {
		t.Errorf("%d certificates, %d lists, %v", len(certs), len(lists), err)
	}
}

func BenchmarkOurs(b *testing.B) {
	p := recording(b)
	b.ReportAllocs()
	for b.Loop() {
		if f := p.ours(); len(f) > 0 {
			b.Fatal(f)
		}
	}
}

func BenchmarkTheirs(b *testing.B) {
	p := recording(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := p.second(); err != nil {
			b.Fatal(err)
		}
	}
}
