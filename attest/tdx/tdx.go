// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package tdx judges the evidence of Intel TDX: virtual machines that the
// processor keeps apart from their host, in memory that it encrypts.
//
// Software of Intel's inside the processor, the TDX module, starts such a machine
// and measures it: what was loaded first (MRTD), and what firmware, loader and
// kernel then measured themselves (RTMR 0 to 3). When the machine asks, the module
// reports this and 64 bytes that the machine chose: the hash of its key. An enclave
// of Intel's on the same processor, the quoting enclave, turns the report into a
// quote: it signs with a key of its own, and vouches for that key in a report that
// is signed by the machine's key (PCK), which Intel certifies under one root.
//
// Whether module, enclave and processor are new enough stands in two documents
// that Intel signs and renews every month: the TCB info of the machine's model and
// the identity of the quoting enclave. All of this, the revocation lists and the log
// of measured boot travel with the quote (package tdxdata). Nothing is fetched.
// Three steps, in spec/evidence-tdx.md's order:
//
//   - parse (quote.go, collateral.go): strict, bounded, no judgement;
//   - verify: signatures from the quote to Intel's root, revocation, and by Intel's
//     documents how the firmware stands (status.go);
//   - appraise: each field against the policy's [Rules], and the log against the
//     registers.
//
// Names of fields are those of Intel's documents: TDX Module ABI, TDX DCAP
// Quoting Library API, SGX PCK Certificate and CRL Profile, and the API of the
// provisioning certification service (PCS).
package tdx

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/cert"
	"github.com/sotto-chat/sotto/attest/tcg"
)

// Name is the platform's name in bundles.
const Name = "tdx"

// keyRoot is the SHA-256 of the SubjectPublicKeyInfo of “Intel SGX Root CA”, which
// Intel publishes in https://certificates.trustedservices.intel.com/Intel_SGX_Provisioning_Certification_RootCA.pem.
// test/opinions compares it with the root that another verifier carries.
const keyRoot = "a0af031289f5d5d4132f9186068a7fc13628633ba235777472e29b6b6c67a49e"

// Roots returns the root that a zero [Platform] trusts.
func Roots() []cert.Root {
	root := cert.Root{Name: nameRoot}
	b, _ := hex.DecodeString(keyRoot)
	copy(root.Key[:], b)
	return []cert.Root{root}
}

// Common names of Intel's certificates. One root signs for several purposes: the
// names say for which.
const (
	nameRoot      = "Intel SGX Root CA"
	namePlatform  = "Intel SGX PCK Platform CA"
	nameProcessor = "Intel SGX PCK Processor CA"
	namePCK       = "Intel SGX PCK Certificate"
	nameSigning   = "Intel SGX TCB Signing"
)

// Platform judges evidence of Intel TDX.
type Platform struct {
	Roots []cert.Root // replaces Intel's root, for tests; nil means [Roots]
}

// Name implements [attest.Platform].
func (Platform) Name() string { return Name }

// Verify implements [attest.Platform].
func (pf Platform) Verify(data []byte, claim attest.Claim, policy attest.Policy, now time.Time) attest.Appraisal {
	j := &judge{now: now.Unix(), roots: pf.Roots}
	if j.roots == nil {
		j.roots = Roots()
	}
	var errRules, err error
	if j.rules, errRules = loadRules(policy); errRules != nil {
		j.rules = strict()
		j.Fail("chip.policy", "The rules for this kind of machine can be read", attest.FailPolicyMalformed,
			"This app's own rules for Intel machines can't be read: "+errRules.Error()+".", "", "")
	}
	const title = "The chip's report can be read"
	if j.evidence, err = parse(data); err != nil {
		a := attest.Refused("chip.report", title, attest.FailEvidenceMalformed,
			"What this machine sent as its chip's report is not in the agreed form: "+err.Error()+".")
		return attest.Appraisal{Checks: append(j.Findings, a.Checks...)}
	}
	kind := "1.0"
	if j.quote.td15 {
		kind = "1.5"
	}
	j.Pass("chip.report", title, "It is a report of version "+itoa(j.quote.version)+" of TDX "+kind+".")
	j.verify()
	if errRules == nil { // else there is nothing to compare with
		j.appraiseMachine()
		j.appraiseSoftware()
	}
	j.Findings = append(j.Findings, claim.Bound(j.quote.body.reportData))
	return attest.Appraisal{Checks: j.Findings, Chip: hex.EncodeToString(j.quote.pck.chip())}
}

// chip returns the number that identifies a machine best.
func (p *pck) chip() []byte {
	if p.instance != nil {
		return p.instance
	}
	return p.ppid
}

// judge gathers what is found in one piece of evidence.
type judge struct {
	*evidence
	attest.Findings
	rules rules
	roots []cert.Root
	now   int64 // Unix seconds
}

// verify checks what Intel says, from the quote up to the root and down again to
// the firmware.
func (j *judge) verify() {
	j.verifySignatures()
	if chain := j.verifyChain(); chain != nil {
		j.verifyRevocation(chain)
	}
	if j.verifyDocument("chip.tcb_info", "Intel says which firmware is up to date", j.tcbDocument()) {
		j.verifyModel()
	}
	j.verifyDocument("chip.qe_identity", "Intel says which of its parts may sign", j.qeDocument())
	if j.tcbInfo != nil {
		j.verifyModule()
	}
	if j.qeIdentity != nil {
		j.verifyEnclave()
	}
	if j.tcbInfo != nil && j.qeIdentity != nil {
		j.verifyFirmware()
	}
}

func (j *judge) tcbDocument() *document {
	if j.tcbInfo == nil {
		return nil
	}
	return &j.tcbInfo.document
}

func (j *judge) qeDocument() *document {
	if j.qeIdentity == nil {
		return nil
	}
	return &j.qeIdentity.document
}

// verifySignatures follows the signatures from the report to the machine's
// certificate (Intel, QVL 4.1.2.4.12, .13 and .16).
func (j *judge) verifySignatures() {
	q := j.quote
	const id1, title1 = "chip.signature", "The report was not changed"
	key, err := cert.NewECDSA("P-256", q.key[:32], q.key[32:])
	if err == nil && key.VerifyRS(cert.ECDSASHA256, q.signed, q.signature[:32], q.signature[32:]) {
		j.Pass(id1, title1, "The chip's signature fits the report.")
	} else {
		j.Fail(id1, title1, attest.FailSignatureInvalid, "The signature under this machine's report is wrong.", "", "")
	}

	const id2, title2 = "chip.attestation_key", "The key that signed the report belongs to the chip"
	h := sha256.Sum256(append(bytes.Clone(q.key), q.qeAuth...))
	want := append(h[:], make([]byte, 32)...)
	if bytes.Equal(want, q.qe.reportData) {
		j.Pass(id2, title2, "The part of the chip that signs reports named the key.")
	} else {
		j.Fail(id2, title2, attest.FailSignatureInvalid, "This machine's report was signed with a key that its chip did not make.",
			hex.EncodeToString(want), hex.EncodeToString(q.qe.reportData))
	}

	const id3, title3 = "chip.enclave_signature", "The chip vouches for what signs its reports"
	if q.certs[0].Key.VerifyRS(cert.ECDSASHA256, q.qeReport, q.qeSign[:32], q.qeSign[32:]) {
		j.Pass(id3, title3, "The certified key of this machine signed it.")
	} else {
		j.Fail(id3, title3, attest.FailSignatureInvalid, "The certified key of this machine did not sign its report.", "", "")
	}
}

// verifyChain follows the certificates in the quote up to Intel's root. They
// stand there in this order.
func (j *judge) verifyChain() []*cert.Certificate {
	const id, title = "chip.chain", "Intel vouches for the chip"
	certs := j.quote.certs
	chain, err := cert.Chain(certs[0], certs[1:], j.roots, j.now)
	if err != nil {
		var want []string
		for _, r := range j.roots {
			want = append(want, r.Name+" "+hex.EncodeToString(r.Key[:]))
		}
		last := certs[2].KeyHash()
		j.Fail(id, title, cert.FailureOf(err), "Intel does not vouch for this machine's chip: "+err.Error()+".",
			strings.Join(want, " or "), certs[2].SubjectName("2.5.4.3")+" "+hex.EncodeToString(last[:]))
		return nil
	}
	found := names(chain)
	known := found == namePCK+" < "+namePlatform+" < "+nameRoot || found == namePCK+" < "+nameProcessor+" < "+nameRoot
	if !known || chain[1] != certs[1] {
		j.Fail(id, title, attest.FailChainUntrusted, "Intel's certificates were made for something else than a machine's key, or stand in another order.",
			namePCK+" < "+namePlatform+" < "+nameRoot, found)
		return nil
	}
	j.Pass(id, title, "Intel certified the key of this machine: "+found+".")
	return chain
}

// names writes a chain for people.
func names(chain []*cert.Certificate) string {
	var out []string
	for _, c := range chain {
		out = append(out, c.SubjectName("2.5.4.3"))
	}
	return strings.Join(out, " < ")
}

// expired says that something of Intel's doesn't count any more, or not yet.
const expired = "What this machine sent to judge its firmware by is out of date: "

// verifyRevocation looks for the machine's key and its CA in Intel's lists.
func (j *judge) verifyRevocation(chain []*cert.Certificate) {
	const id, title = "chip.revocation", "Intel has not taken its word back"
	for i, c := range chain[:2] {
		if failure, detail := j.revoked(c, chain[i+1]); failure != "" {
			j.Fail(id, title, failure, detail, "", hex.EncodeToString(c.Serial))
			return
		}
	}
	j.Pass(id, title, "The machine's certificates are in none of Intel's revocation lists.")
}

// revoked looks for a certificate in the lists of its issuer, all of which must
// count now, and of which there must be one.
func (j *judge) revoked(c, issuer *cert.Certificate) (failure, detail string) {
	seen := false
	for _, l := range j.crls {
		if !bytes.Equal(l.RawIssuer, issuer.RawSubject) {
			continue
		}
		if err := l.Verify(issuer, j.now); err != nil {
			return cert.FailureOf(err), "A revocation list that this machine sent does not count: " + err.Error() + "."
		}
		if j.tooOld(l.ThisUpdate) {
			return attest.FailCollateralExpired, expired + "a revocation list is older than this app allows."
		}
		if l.Revoked(c.Serial) {
			return attest.FailRevoked, "Intel has revoked the certificate “" + c.SubjectName("2.5.4.3") + "” of this machine."
		}
		seen = true
	}
	if !seen {
		return attest.FailCollateralMissing, "The revocation list of “" + issuer.SubjectName("2.5.4.3") + "” is missing."
	}
	return "", ""
}

// tooOld reports whether something that was issued at a time is older than the
// policy allows.
func (j *judge) tooOld(issued int64) bool {
	return j.rules.MaxAge > 0 && j.now-issued > j.rules.MaxAge
}

// verifyDocument checks that Intel's key for such documents signed one, and that
// it counts now.
func (j *judge) verifyDocument(id, title string, d *document) bool {
	if d == nil {
		j.Fail(id, title, attest.FailCollateralMissing, "A document of Intel's that it takes to judge this machine's firmware is missing.", "", "")
		return false
	}
	pool := slices.Concat(j.certs, j.quote.certs)
	i := slices.IndexFunc(j.certs, func(c *cert.Certificate) bool {
		return c.Key.VerifyRS(cert.ECDSASHA256, d.body, d.signature[:32], d.signature[32:])
	})
	if i < 0 {
		j.Fail(id, title, attest.FailSignatureInvalid, "A document about firmware that this machine sent was not signed by a certificate beside it.", "", "")
		return false
	}
	chain, err := cert.Chain(j.certs[i], pool, j.roots, j.now)
	if err != nil {
		j.Fail(id, title, cert.FailureOf(err), "A document about firmware that this machine sent is not Intel's: "+err.Error()+".", "", "")
		return false
	}
	if found := names(chain); found != nameSigning+" < "+nameRoot {
		j.Fail(id, title, attest.FailChainUntrusted, "A document about firmware that this machine sent was signed with a key of Intel's for something else.",
			nameSigning+" < "+nameRoot, found)
		return false
	}
	if failure, detail := j.revoked(chain[0], chain[1]); failure != "" {
		j.Fail(id, title, failure, detail, "", "")
		return false
	}
	found := "from " + stamp(d.issued) + " to " + stamp(d.next)
	switch {
	case j.now < d.issued || j.now >= d.next:
		j.Fail(id, title, attest.FailCollateralExpired, expired+"Intel's document does not count now.", "at "+stamp(j.now), found)
	case j.tooOld(d.issued):
		j.Fail(id, title, attest.FailCollateralExpired, expired+"Intel's document is older than this app allows.", "at most "+itoa(int(j.rules.MaxAge))+" seconds", found)
	case d.evaluation < j.rules.MinEvaluation:
		j.Fail(id, title, attest.FailCollateralExpired, expired+"Intel's document knows fewer attacks than this app asks for.",
			itoa(j.rules.MinEvaluation)+" at least", itoa(d.evaluation))
	default:
		j.Pass(id, title, "Intel's document is in force "+found+" and is number "+itoa(d.evaluation)+" in its row.")
		return true
	}
	return false
}

func stamp(unix int64) string { return time.Unix(unix, 0).UTC().Format("2006-01-02 15:04:05 UTC") }

// verifyModel sees that the TCB info is of this machine's model.
func (j *judge) verifyModel() {
	const id, title = "chip.tcb_info_model", "That is about this kind of chip"
	p, t := &j.quote.pck, j.tcbInfo
	if !bytes.Equal(p.fmspc, t.fmspc) || !bytes.Equal(p.pceID, t.pceID) {
		j.Fail(id, title, attest.FailPolicyMismatch, "The list of firmware that this machine sent is for another kind of chip.",
			"FMSPC "+hex.EncodeToString(p.fmspc)+", PCEID "+hex.EncodeToString(p.pceID),
			"FMSPC "+hex.EncodeToString(t.fmspc)+", PCEID "+hex.EncodeToString(t.pceID))
		return
	}
	j.Pass(id, title, "The list of firmware is for this kind of chip ("+hex.EncodeToString(p.fmspc)+").")
}

// verifyModule compares who made the TDX module with Intel's word (QVL
// 4.1.2.4.11). Attributes of a module are all zero in what Intel ships.
func (j *judge) verifyModule() {
	const id, title = "chip.module", "Intel made the software that keeps the machine apart"
	b, m := &j.quote.body, &j.tcbInfo.module
	if v := b.teeTCBSVN[1]; v > 0 {
		if m = j.tcbInfo.moduleOf(v); m == nil {
			j.Fail(id, title, attest.FailPolicyMismatch, "Intel's list does not know the version of the software that keeps this machine apart.",
				"", "TDX_"+hex.EncodeToString([]byte{v}))
			return
		}
	}
	if !bytes.Equal(b.mrSignerSEAM, m.mrSigner) || !masked(b.seamAttributes, m.attrMask, m.attributes) || !zero(b.seamAttributes) {
		j.Fail(id, title, attest.FailPolicyMismatch, "The software that keeps this machine apart is not the one that Intel made.",
			"MRSIGNERSEAM "+hex.EncodeToString(m.mrSigner)+", SEAMATTRIBUTES "+hex.EncodeToString(m.attributes),
			"MRSIGNERSEAM "+hex.EncodeToString(b.mrSignerSEAM)+", SEAMATTRIBUTES "+hex.EncodeToString(b.seamAttributes))
		return
	}
	j.Pass(id, title, "The software that keeps this machine apart is Intel's, version "+itoa(int(b.teeTCBSVN[1]))+"."+itoa(int(b.teeTCBSVN[0]))+".")
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// verifyEnclave compares the enclave that signed with Intel's (QVL 4.1.2.4.15).
func (j *judge) verifyEnclave() {
	const id, title = "chip.enclave", "Intel made the part of the chip that signs reports"
	r, i := &j.quote.qe, j.qeIdentity
	if !bytes.Equal(r.mrSigner, i.mrSigner) || r.prodID != i.prodID ||
		!masked(r.miscSelect, i.miscMask, i.miscSelect) || !masked(r.attributes, i.attrMask, i.attributes) {
		j.Fail(id, title, attest.FailPolicyMismatch, "What signed this machine's report is not the part that Intel made for that.",
			enclave(i.mrSigner, i.prodID, i.miscSelect, i.attributes), enclave(r.mrSigner, r.prodID, r.miscSelect, r.attributes))
		return
	}
	j.Pass(id, title, "What signed is Intel's own part (number "+itoa(int(r.prodID))+", version "+itoa(int(r.svn))+").")
}

func enclave(signer []byte, prodID uint16, misc, attributes []byte) string {
	return "MRSIGNER " + hex.EncodeToString(signer) + ", ISVPRODID " + itoa(int(prodID)) +
		", MISCSELECT " + hex.EncodeToString(misc) + ", ATTRIBUTES " + hex.EncodeToString(attributes)
}

// verifyFirmware compares how the firmware stands with what the policy accepts.
func (j *judge) verifyFirmware() {
	const id, title = "chip.firmware", "The chip's firmware is up to date"
	s := stand(j.tcbInfo, j.qeIdentity, j.quote)
	found := s.status.String()
	if s.module != upToDate {
		found += ", TDX module " + s.module.String()
	}
	if s.qe != upToDate {
		found += ", quoting enclave " + s.qe.String()
	}
	if len(s.advisories) > 0 {
		found += ", " + strings.Join(s.advisories, " ")
	}
	var want []string
	for _, a := range j.rules.statuses {
		want = append(want, a.String())
	}
	accepted := slices.Contains(j.rules.statuses, s.status)
	tolerated := true
	if j.rules.Advisories != nil {
		for _, a := range s.advisories {
			tolerated = tolerated && slices.Contains(j.rules.Advisories, a)
		}
	}
	switch {
	case s.status == revoked:
		j.Fail(id, title, attest.FailRevoked, "Intel has withdrawn the firmware that this machine runs on.", strings.Join(want, " or "), found)
	case !accepted:
		j.Fail(id, title, attest.FailFirmwareOld, "The firmware of this machine's chip is not up to date, or not set up as Intel asks.", strings.Join(want, " or "), found)
	case !tolerated:
		j.Fail(id, title, attest.FailFirmwareOld, "The firmware of this machine's chip has weaknesses that this app was not told to accept.",
			"none but "+strings.Join(j.rules.Advisories, " "), found)
	default:
		c := attest.Passed(id, title, "By Intel's list of this kind of chip, its firmware is as this app asks.")
		c.Found = found
		j.Findings = append(j.Findings, c)
	}
}

// Bits of attributes that have a rule of their own.
const (
	bitsDebug     = 0xff // the TUD group: DEBUG, and what else opens a machine to its host
	bitMigratable = 1 << 29
)

// What XFAM may and must have (TDX module ABI, XFAM_FIXED0 and XFAM_FIXED1): x87
// and SSE always; AVX, AVX-512, PT, PKRU, CET, user interrupts, LBR, AMX.
const (
	xfamMust = 0x3
	xfamMay  = 0x6dbe7
)

// appraiseMachine compares what says how the machine was started, and which it is.
func (j *judge) appraiseMachine() {
	b := &j.quote.body
	attrs, xfam := binary.LittleEndian.Uint64(b.attributes), binary.LittleEndian.Uint64(b.xfam)

	const titleDebug = "Nobody can look into the machine"
	if attrs&bitsDebug != 0 {
		j.Fail("chip.debug", titleDebug, attest.FailDebugEnabled, "This machine was started so that its host can look into it.",
			"no bit of the lowest byte", hex.EncodeToString(b.attributes))
	} else {
		j.Pass("chip.debug", titleDebug, "The machine was started so that its host can't look into it.")
	}

	const titleAttr = "The machine was started as it should be"
	rest := attrs &^ bitsDebug &^ bitMigratable
	switch {
	case rest&^j.rules.allow != 0:
		j.Fail("chip.attributes", titleAttr, attest.FailPolicyMismatch, "This machine was started with a setting that this app does not allow or does not know.",
			"none of "+attributeNames(rest&^j.rules.allow), attributeNames(attrs))
	case j.rules.require&^attrs != 0:
		j.Fail("chip.attributes", titleAttr, attest.FailPolicyMismatch, "This machine was started without a setting that this app asks for.",
			attributeNames(j.rules.require), attributeNames(attrs))
	default:
		j.Pass("chip.attributes", titleAttr, "Its settings are "+attributeNames(attrs)+".")
	}

	const titleMove = "The machine can't be moved or helped by another"
	service := b.mrServiceTD
	if service == nil {
		service = make([]byte, 48)
	}
	services := j.rules.mrServiceTD
	if services == nil {
		services = attest.Values{make([]byte, 48)}
	}
	switch {
	case attrs&bitMigratable&^j.rules.allow != 0:
		j.Fail("chip.migration", titleMove, attest.FailPolicyMismatch, "This machine's host may move it to another chip, which this proof would not be about.",
			"not migratable", attributeNames(attrs))
	case j.rules.RequireTD15 && b.mrServiceTD == nil:
		j.Fail("chip.migration", titleMove, attest.FailPolicyMismatch, "This machine's report is of an old form that does not say whether another machine serves it.",
			"a report of TDX 1.5", "a report of TDX 1.0")
	case !services.Has(service):
		j.Fail("chip.migration", titleMove, attest.FailPolicyMismatch, "Another machine serves this one that this app does not accept.",
			"MRSERVICETD "+services.String(), hex.EncodeToString(service))
	default:
		j.Pass("chip.migration", titleMove, "The report names none that this app does not accept.")
	}

	const titleXFAM = "The machine uses features that are known"
	switch {
	case xfam&xfamMust != xfamMust || xfam&^xfamMay != 0:
		j.Fail("chip.xfam", titleXFAM, attest.FailPolicyMismatch, "This machine may use features of its chip that this app does not know.",
			"3 set, no bit outside 6dbe7", hex.EncodeToString(b.xfam))
	default:
		j.listed("chip.xfam", titleXFAM, "This machine may use other features of its chip than this app asks for.", j.rules.xfam, b.xfam)
	}

	if j.rules.minSVN != nil {
		const title = "The firmware is new enough"
		if !atLeast(b.teeTCBSVN, j.rules.minSVN) {
			j.Fail("chip.tcb_svn", title, attest.FailFirmwareOld, "The firmware of this machine's chip is older than this app asks for.",
				hex.EncodeToString(j.rules.minSVN)+" at least", hex.EncodeToString(b.teeTCBSVN))
		} else {
			j.Pass("chip.tcb_svn", title, "It is at least as new as this app asks for.")
		}
	}
	if j.rules.mrseam != nil {
		j.listed("chip.mrseam", "The software that keeps the machine apart is one that is accepted",
			"The software that keeps this machine apart is none that this app accepts.", j.rules.mrseam, b.mrSEAM)
	}
	if j.rules.fmspc != nil {
		j.listed("chip.model", "The kind of chip is one that is accepted", "This machine has a kind of chip that this app does not accept.", j.rules.fmspc, j.quote.pck.fmspc)
	}
	if j.rules.chipIDs != nil {
		const title = "The chip is one that is accepted"
		p := &j.quote.pck
		if j.rules.chipIDs.Has(p.ppid) || j.rules.chipIDs.Has(p.instance) {
			j.Pass("chip.id", title, "The chip is one of those that this app accepts.")
		} else {
			j.Fail("chip.id", title, attest.FailPolicyMismatch, "This machine's chip is none of those that this app accepts.",
				j.rules.chipIDs.String(), hex.EncodeToString(p.chip()))
		}
	}
}

// listed compares a field with the values that are accepted; nil means any.
func (j *judge) listed(id, title, wrong string, want attest.Values, found []byte) {
	if want != nil && !want.Has(found) {
		j.Fail(id, title, attest.FailPolicyMismatch, wrong, want.String(), hex.EncodeToString(found))
		return
	}
	j.Pass(id, title, "It is "+hex.EncodeToString(found)+".")
}

// attributeNames writes attributes for people.
func attributeNames(attrs uint64) string {
	var out []string
	if attrs&1 != 0 {
		out = append(out, "debug")
	}
	for _, b := range attributeBits {
		if attrs>>b.n&1 != 0 {
			out = append(out, b.name)
			attrs &^= 1 << b.n
		}
	}
	for i := 1; attrs>>i != 0; i++ {
		if attrs>>i&1 != 0 {
			out = append(out, "bit "+itoa(i))
		}
	}
	if out == nil {
		return "none"
	}
	return strings.Join(out, ", ")
}

// registers are the five that measure software, with their names in ids.
func (b *body) registers() [5]struct {
	name  string
	value []byte
} {
	return [5]struct {
		name  string
		value []byte
	}{{"mrtd", b.mrTD}, {"rtmr0", b.rtmr[0]}, {"rtmr1", b.rtmr[1]}, {"rtmr2", b.rtmr[2]}, {"rtmr3", b.rtmr[3]}}
}

// appraiseSoftware compares what was measured. The software counts as proved when
// all five registers are pinned: what one of them leaves open, anybody can fill.
func (j *judge) appraiseSoftware() {
	b := &j.quote.body
	replayed := j.replay()
	pinned, right := 0, true
	for i, r := range b.registers() {
		id, title := "software."+r.name, strings.ToUpper(r.name)+" is one that is accepted"
		want := j.rules.mrtd
		var events *eventRules
		if i > 0 {
			want, events = j.rules.rtmr[i-1], j.rules.events[i-1]
		}
		if want == nil && events == nil {
			continue
		}
		pinned++
		if want != nil && !want.Has(r.value) {
			right = false
			j.Fail(id, title, attest.FailSoftwareMismatch, "This machine was not started with the software that it should run.", want.String(), hex.EncodeToString(r.value))
		} else if events != nil {
			right = replayed && j.checkEvents(i, events) && right
		}
	}
	const id, title = "software.measurement", "It runs exactly this software"
	switch {
	case !right:
	case pinned == 5:
		j.Pass(id, title, "All that was measured when this machine started is as this app asks.")
	case pinned == 0:
		j.Warn(id, title, "Nothing pinned what this machine runs, so this only says that it can tell.", "MRTD "+hex.EncodeToString(b.mrTD))
	default:
		c := attest.Warned(id, title, "Only a part of what this machine runs was pinned, and the rest can be anything.")
		c.Want, c.Found = "rules for MRTD and RTMR 0 to 3", itoa(pinned)+" of 5"
		j.Findings = append(j.Findings, c)
	}
	for _, l := range []struct {
		name string
		want attest.Values
		have []byte
	}{{"mrconfigid", j.rules.mrConfigID, b.mrConfigID}, {"mrowner", j.rules.mrOwner, b.mrOwner}, {"mrownerconfig", j.rules.mrOwnerConfig, b.mrOwnerConfig}} {
		if l.want != nil && !l.want.Has(l.have) {
			j.Fail("software."+l.name, strings.ToUpper(l.name)+" is one that is accepted", attest.FailSoftwareMismatch,
				"This machine was started for another purpose or owner than it should.", l.want.String(), hex.EncodeToString(l.have))
		}
	}
}

// replay checks the log, if there is one, against the registers, and each
// event's data against its digest. It reports whether the log may be believed. A
// log that fits says nothing of what should run, so it is no part of that row.
func (j *judge) replay() bool {
	const id, title = "chip.log", "The log of its start is what was measured"
	asked := j.rules.RequireLog
	for _, e := range j.rules.events {
		asked = asked || e != nil
	}
	if j.log == nil {
		if asked {
			j.Fail(id, title, attest.FailCollateralMissing, "The log of this machine's start is missing.", "", "")
		}
		return false
	}
	got, err := j.log.Replay(tcg.SHA384, nil)
	if err != nil {
		j.Fail(id, title, attest.FailSoftwareMismatch, "The log of this machine's start does not fit its chip: "+err.Error()+".", "SHA-384", "")
		return false
	}
	// Registers are counted from 1 in the log, and MRTD, its register 0, has no events
	// (UEFI 2.10, section 38.4.1). What software extends later is not in the firmware's log,
	// which is why RTMR3 may be without events there.
	for r := range got {
		if r < 1 || r > 4 {
			j.Fail(id, title, attest.FailSoftwareMismatch, "The log of this machine's start speaks of a register that there is not.", "1 to 4", itoa(r))
			return false
		}
	}
	for i, want := range j.quote.body.rtmr {
		have := got[i+1]
		if have == nil && i == 3 {
			continue
		}
		if have == nil {
			have = make([]byte, 48)
		}
		if !bytes.Equal(have, want) {
			j.Fail(id, title, attest.FailSoftwareMismatch, "The log of this machine's start is not what its chip measured.",
				"RTMR"+itoa(i)+" "+hex.EncodeToString(want), hex.EncodeToString(have))
			return false
		}
	}
	for i := range j.log.Events {
		if covered, ok := j.log.Events[i].DataMatches(tcg.SHA384); covered && !ok {
			j.Fail(id, title, attest.FailSoftwareMismatch, "The log of this machine's start says something else than what its chip measured.",
				"data that its digest is of", "event "+itoa(i)+" of type 0x"+hex.EncodeToString(binary.BigEndian.AppendUint32(nil, j.log.Events[i].Type)))
			return false
		}
	}
	j.Pass(id, title, "All "+itoa(len(j.log.Events))+" entries of the log are what the chip measured.")
	return true
}

// checkEvents compares what was measured into a register (counted as in the log)
// with the rules for it.
func (j *judge) checkEvents(register int, rules *eventRules) bool {
	id, title := "software.rtmr"+itoa(register-1), "RTMR"+itoa(register-1)+" is one that is accepted"
	missing := slices.Clone(rules.require)
	value := make([]byte, 48)
	for i := range j.log.Events {
		e := &j.log.Events[i]
		if e.Register != register || !e.Extends() {
			continue
		}
		d := e.Digest(tcg.SHA384)
		value = tcg.Extend(tcg.SHA384, value, d)
		if !rules.allow.Has(d) && !rules.require.Has(d) {
			j.Fail(id, title, attest.FailSoftwareMismatch, "Something was measured when this machine started that this app does not accept.",
				"a digest of the list", "event "+itoa(i)+": "+hex.EncodeToString(d))
			return false
		}
		missing = slices.DeleteFunc(missing, func(m []byte) bool { return bytes.Equal(m, d) })
	}
	switch {
	case len(missing) > 0:
		j.Fail(id, title, attest.FailSoftwareMismatch, "Something that this app asks for was not measured when this machine started.", missing.String(), "")
		return false
	case !bytes.Equal(value, j.quote.body.rtmr[register-1]):
		// RTMR3, whose events may be missing from the log.
		j.Fail(id, title, attest.FailSoftwareMismatch, "The log of this machine's start does not say all that its chip measured.",
			hex.EncodeToString(j.quote.body.rtmr[register-1]), hex.EncodeToString(value))
		return false
	}
	return true
}
