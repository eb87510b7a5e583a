// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package snp judges the evidence of AMD SEV-SNP: virtual machines whose memory
// a chip of AMD's encrypts, so that not even their host can read it.
//
// Such a chip has a processor of its own for this. When a machine starts, it
// measures what was loaded; when the machine asks, it signs a report of that
// measurement, of how the machine and its host are set up, of its own firmware,
// and of 64 bytes that the machine chose: the hash of its key. It signs with a
// key (VCEK) that it makes of a secret burnt into it and of the level of its
// firmware, so older firmware can't sign for newer. AMD certifies that key, by way of
// a signing key (ASK), under one root (ARK) for each family of chips. A cloud
// operator may have the chip sign with a key of the operator's instead (VLEK).
//
// Report, certificates and AMD's revocation list travel together (package
// snpdata). Nothing is fetched. Three steps, in spec/evidence-snp.md's order:
//
//   - parse (report.go): strict, bounded, no judgement;
//   - verify: the report's signature, AMD's certificates up to a pinned root,
//     revocation, and that certificate and report speak of the same chip and the same
//     firmware;
//   - appraise: each field against the policy's [Rules].
//
// Clauses named are of AMD's documents 56860 (SEV Secure Nested Paging Firmware
// ABI), 57230 (VCEK certificate and KDS interface) and 56421 (GHCB).
package snp

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/cert"
)

// Name is the platform's name in bundles.
const Name = "snp"

// SHA-256 of the SubjectPublicKeyInfo of AMD's root keys, which AMD publishes in
// https://kdsintf.amd.com/vcek/v1/<product>/cert_chain. test/opinions compares
// them with the roots that another verifier carries.
const (
	keyMilan = "9f056bee44377e29308cb5ffa895bdfb62d18881fa6bed8d6f075b0204089cb9"
	keyGenoa = "429a69c9422aa258ee4d8db5fcda9c6470ef15f8cd5a9cebd6cbc7d90b863831"
	keyTurin = "4f125410563a2ab9a50356f9243f6fe0b6f73de98603f53f90339c70e9d7ad08"
)

// Roots returns the roots that a zero [Platform] trusts. Their names count: a
// root vouches for the chips of its own family only.
func Roots() []cert.Root {
	var out []cert.Root
	for _, r := range [...][2]string{{"ARK-Milan", keyMilan}, {"ARK-Genoa", keyGenoa}, {"ARK-Turin", keyTurin}} {
		b, _ := hex.DecodeString(r[1])
		out = append(out, cert.Root{Name: r[0], Key: [32]byte(b)})
	}
	return out
}

// Platform judges evidence of AMD SEV-SNP.
type Platform struct {
	// Roots replaces AMD's root keys, for tests; nil means [Roots]. A root's name
	// is "ARK-" and the product.
	Roots []cert.Root
}

// Name implements [attest.Platform].
func (Platform) Name() string { return Name }

// Verify implements [attest.Platform].
func (pf Platform) Verify(data []byte, claim attest.Claim, policy attest.Policy, now time.Time) attest.Appraisal {
	j := &judge{now: now.Unix()}
	var errRules, err error
	if j.rules, errRules = loadRules(policy); errRules != nil {
		j.FailRules("AMD machines", errRules)
	}
	if j.evidence, err = parse(data); err != nil {
		a := attest.Refused("chip.report", titleReport, attest.FailEvidenceMalformed,
			"What this machine sent as its chip's report is not in the agreed form: "+err.Error()+".")
		return attest.Appraisal{Checks: append(j.Findings, a.Checks...)}
	}
	r := j.report
	if j.product = r.productOf(j.leaf); j.product == nil {
		j.unknownProduct()
		j.Findings = append(j.Findings, claim.Bound(r.reportData))
		return attest.Appraisal{Checks: j.Findings}
	}
	j.Pass("chip.report", titleReport, "It is a report of version "+num(r.version)+" from a chip of AMD's "+j.product.name+" family.")

	roots := pf.Roots
	if roots == nil {
		roots = Roots()
	}
	j.verify(roots)
	if errRules == nil { // else there is nothing to compare with
		j.appraiseChip()
		j.appraiseMachine()
		j.appraiseSoftware()
	}
	j.Findings = append(j.Findings, claim.Bound(r.reportData))
	return attest.Appraisal{Checks: j.Findings, Chip: r.name(j.product)}
}

const titleReport = "The chip's report can be read"

// judge gathers what is found in one piece of evidence.
type judge struct {
	*evidence
	attest.Findings
	rules   rules
	product *product
	now     int64 // Unix seconds
}

// unknownProduct says that nothing can be judged: a root for the chip isn't known,
// or, before version 3 of reports, the certificate that names the chip is missing.
func (j *judge) unknownProduct() {
	const title = "The kind of chip is known"
	r := j.report
	switch {
	case r.version < 3 && j.leaf == nil:
		j.Fail("chip.model", title, attest.FailCollateralMissing,
			"The certificate of this machine's chip is missing, and nothing else says what kind of chip it is.", "", "")
	case r.version < 3:
		j.Fail("chip.model", title, attest.FailPlatformUnknown,
			"This machine has a kind of chip that this app does not know. A newer app may.", "Milan or Genoa", j.leaf.product)
	default:
		j.Fail("chip.model", title, attest.FailPlatformUnknown,
			"This machine has a kind of chip that this app does not know. A newer app may.", "Milan, Genoa or Turin",
			"family "+num(uint32(r.family))+", model "+num(uint32(r.model)))
	}
}

// verify checks what doesn't depend on a policy: that AMD vouches for the key that
// signed the report, and that its certificate is of this chip and this firmware.
func (j *judge) verify(roots []cert.Root) {
	chain := j.verifyChain(roots)
	j.verifySignature()
	if chain != nil {
		j.verifyRevocation(chain)
	}
	if j.leaf != nil {
		j.verifyLeaf()
	}
}

// verifyChain follows the certificates up to the root of the report's product.
// AMD signs for other things too: the names on the way say for what.
func (j *judge) verifyChain(roots []cert.Root) []*cert.Certificate {
	const id, title = "chip.chain", "AMD vouches for the chip"
	if j.leaf == nil || j.intermediate == nil || j.root == nil {
		j.Fail(id, title, attest.FailCollateralMissing,
			"A certificate that it takes to check this machine's chip is missing.", "certificates of the chip, the signing key and the root", "")
		return nil
	}
	mine := slices.DeleteFunc(slices.Clone(roots), func(r cert.Root) bool { return r.Name != j.rootName() })
	chain, err := cert.Chain(j.leaf.cert, []*cert.Certificate{j.intermediate, j.root}, mine, j.now)
	if err != nil {
		trusted := "no root"
		for _, r := range mine {
			trusted = r.Name + " " + hexOf(r.Key[:])
		}
		key := j.root.KeyHash()
		j.Fail(id, title, cert.FailureOf(err), "AMD does not vouch for this machine's chip: "+err.Error()+".", trusted, hexOf(key[:]))
		return nil
	}
	kind, signer := "SEV-VCEK", "SEV-"+j.product.name
	if j.leaf.vlek() {
		kind, signer = "SEV-VLEK", "SEV-VLEK-"+j.product.name
	}
	want := []string{kind, signer, j.rootName()}
	var found []string
	right := j.leaf.cert.Key.Kind() == "P-384"
	for _, c := range chain {
		found = append(found, c.SubjectName(oidCommonName))
		right = right && amdNamed(c.RawSubject) && amdSigned(c.Raw)
	}
	if !right || !slices.Equal(want, found) {
		j.Fail(id, title, attest.FailChainUntrusted, "AMD's certificates were made for something else than this machine's chip.",
			strings.Join(want, " < "), strings.Join(found, " < "))
		return nil
	}
	j.Pass(id, title, "AMD's root key "+want[2]+" stands behind the key of the chip.")
	return chain
}

// verifySignature checks the signature over all that comes before it (AMD 56860,
// SNP_REPORT_REQ and ECDSA P-384 with SHA-384 signature).
func (j *judge) verifySignature() {
	const id, title = "chip.signature", "The chip signed the report"
	r := j.report
	want := uint32(keyVCEK)
	if j.leaf != nil && j.leaf.vlek() {
		want = keyVLEK
	}
	switch {
	case r.signingKey == keyNone || r.maskChipKey:
		j.Fail(id, title, attest.FailSignatureInvalid, "This machine's chip was told not to sign, so its report proves nothing.", "", "")
	case j.leaf == nil:
		j.Fail(id, title, attest.FailCollateralMissing, "The certificate of this machine's chip is missing, so its signature can't be checked.", "", "")
	case r.signingKey != want:
		j.Fail(id, title, attest.FailChainUntrusted, "The certificate is for another kind of key than the one that signed the report.",
			keyName(r.signingKey), keyName(want))
	case !j.leaf.cert.Key.VerifyRS(cert.ECDSASHA384, r.raw[:signedSize], reversed(r.signatureR), reversed(r.signatureS)):
		j.Fail(id, title, attest.FailSignatureInvalid, "The report was not signed by the chip, or was changed afterwards.", "", "")
	default:
		j.Pass(id, title, "The chip's signature of the report is right.")
	}
}

func keyName(k uint32) string {
	switch k {
	case keyVCEK:
		return "VCEK"
	case keyVLEK:
		return "VLEK"
	}
	return "kind " + num(k)
}

// verifyRevocation looks into AMD's list. The root signs it, for the keys that
// sign chips' certificates; AMD gives chips' certificates no numbers of their own,
// and takes one back by raising the level of firmware.
func (j *judge) verifyRevocation(chain []*cert.Certificate) {
	const id, title = "chip.revocation", "AMD has not taken its word back"
	if len(j.crls) == 0 {
		const detail = "There is no list of what AMD has taken back, so nobody can see whether this machine is on it."
		if j.rules.AllowNoCRL {
			j.Warn(id, title, detail, "")
		} else {
			j.Fail(id, title, attest.FailCollateralMissing, detail, "a revocation list of "+j.rootName(), "")
		}
		return
	}
	root := chain[len(chain)-1]
	for _, l := range j.crls {
		if err := l.Verify(root, j.now); err != nil {
			j.Fail(id, title, cert.FailureOf(err), "AMD's list of what it has taken back can't be used: "+err.Error()+".", "", "")
			return
		}
		for _, c := range chain {
			if l.Revoked(c.Serial) {
				j.Fail(id, title, attest.FailRevoked, "AMD has taken back a certificate that this machine's chip needs.", "",
					c.SubjectName(oidCommonName)+", number "+hexOf(c.Serial))
				return
			}
		}
	}
	j.Pass(id, title, "AMD's list of what it has taken back names nothing that this chip needs.")
}

func (j *judge) rootName() string { return "ARK-" + j.product.name }

// verifyLeaf compares what AMD certified with what the chip reports. The
// certificate is of one chip (or operator) and one level of firmware.
func (j *judge) verifyLeaf() {
	const id, title = "chip.certified", "AMD certified this chip with this firmware"
	r, l, p := j.report, j.leaf, j.product
	certified := l.tcb(p)
	switch {
	case l.layout != p.layout:
		j.Fail(id, title, attest.FailChainUntrusted, "The certificate is for another kind of chip.", "structVersion "+num(uint32(p.layout)), num(uint32(l.layout)))
	case certified != r.reported:
		j.Fail(id, title, attest.FailFirmwareOld, "AMD's certificate is for another level of the chip's firmware than the report states.",
			p.words(r.reported), p.words(certified))
	case !l.vlek() && !zero(r.chipID) && !(bytes.Equal(l.hwid, r.chipID[:len(l.hwid)]) && zero(r.chipID[len(l.hwid):])):
		j.Fail(id, title, attest.FailChainUntrusted, "AMD's certificate is for another chip.", hexOf(r.chipID), hexOf(l.hwid))
	default:
		j.Pass(id, title, "The certificate is for this chip at this level of firmware: "+p.words(certified)+".")
	}
}

// appraiseChip compares the chip and its firmware with the rules.
func (j *judge) appraiseChip() {
	r, p, rules := j.report, j.product, &j.rules

	const titleID = "The chip may be known by its number"
	switch {
	case zero(r.chipID) && !rules.AllowMaskedChip:
		j.Fail("chip.masked", titleID, attest.FailPolicyMismatch, "This machine's host hides which chip it is.", "a chip's number", "zeros")
	case zero(r.chipID):
		j.Warn("chip.masked", titleID, "The host hides which chip it is, which was allowed.", "")
	default:
		j.Pass("chip.masked", titleID, "The chip gives its number.")
	}
	if rules.chipIDs != nil {
		j.listed("chip.id", "The chip is one of those that are accepted", attest.FailPolicyMismatch,
			"This machine runs on a chip that is not one of those that are accepted.", rules.chipIDs, r.chipID, false)
	}
	if j.leaf != nil && j.leaf.vlek() {
		const id, title = "chip.vlek", "The key is the chip's own"
		switch {
		case !rules.AllowVLEK:
			j.Fail(id, title, attest.FailPolicyMismatch, "The key that signed is one that a cloud operator has on all its machines, and not the chip's own.", "VCEK", "VLEK")
		case rules.CSPIDs != nil && !slices.Contains(rules.CSPIDs, j.leaf.csp):
			j.Fail(id, title, attest.FailPolicyMismatch, "The key that signed belongs to another cloud operator than those that are accepted.",
				strings.Join(rules.CSPIDs, " or "), j.leaf.csp)
		default:
			j.Warn(id, title, "The key that signed is one that a cloud operator has on all its machines, which was allowed.", j.leaf.csp)
		}
	}

	const titleCurrent = "The firmware is what the chip reports, for good"
	switch {
	case r.current.below(r.reported) || r.current.below(r.committed) || r.currentFW.below(r.committedFW):
		j.Fail("chip.committed", titleCurrent, attest.FailFirmwareOld, "This machine's chip runs older firmware than it reports.",
			p.words(r.reported)+"; committed "+p.words(r.committed)+", "+r.committedFW.String(), p.words(r.current)+", "+r.currentFW.String())
	case (r.current != r.committed || r.currentFW != r.committedFW) && !rules.AllowProvisional:
		j.Fail("chip.committed", titleCurrent, attest.FailFirmwareOld, "This machine's chip runs firmware on trial: its host can still go back to an older one.",
			p.words(r.current)+", "+r.currentFW.String(), p.words(r.committed)+", "+r.committedFW.String())
	case r.current != r.committed || r.currentFW != r.committedFW:
		j.Warn("chip.committed", titleCurrent, "The chip runs firmware on trial, which was allowed.", p.words(r.committed)+", "+r.committedFW.String())
	default:
		j.Pass("chip.committed", titleCurrent, "The host can't go back to older firmware than "+r.currentFW.String()+".")
	}
	j.appraiseFloors()
	if m := rules.RequireMitigations; m != 0 {
		const id, title = "chip.mitigations", "The chip is protected against known attacks"
		if m&^r.launchMit != 0 || m&^r.currentMit != 0 {
			j.Fail(id, title, attest.FailFirmwareOld, "This machine's chip lacks a protection that is asked for.",
				hex64(m), hex64(r.launchMit)+" at launch, "+hex64(r.currentMit)+" now")
		} else {
			j.Pass(id, title, "All protections that are asked for are there.")
		}
	}
}

// appraiseFloors compares the levels of firmware with those that the rules ask for.
func (j *judge) appraiseFloors() {
	const id, title, old = "chip.firmware", "The firmware is new enough", "This machine's chip runs firmware that is older than is safe."
	r, p, rules := j.report, j.product, &j.rules
	if rules.MinTCB == nil && rules.MinLaunchTCB == nil && rules.MinFirmware == "" {
		j.Warn(id, title, "No one asked for a lowest level of firmware, so an old one would do.", p.words(r.reported))
		return
	}
	ok := true
	level := func(t tcb, floor TCB, what string) {
		if least := floor.in(p); t.below(least) {
			ok = false
			j.Fail(id+"."+what, title, attest.FailFirmwareOld, old, p.words(least), p.words(t))
		}
	}
	floor, given := rules.MinTCB[p.name]
	launch, givenLaunch := rules.MinLaunchTCB[p.name]
	if !givenLaunch {
		launch, givenLaunch = floor, given
	}
	if rules.MinTCB != nil && !given || rules.MinLaunchTCB != nil && !givenLaunch {
		j.Fail(id, title, attest.FailPolicyMismatch, "No lowest level of firmware was set for this kind of chip, so it is not accepted.", "a floor", p.name)
		return
	}
	level(r.reported, floor, "reported")
	level(r.committed, floor, "committed")
	level(r.launch, launch, "launch")
	if r.currentFW.below(rules.minFirmware) || r.committedFW.below(rules.minFirmware) {
		ok = false
		j.Fail(id+".version", title, attest.FailFirmwareOld, old, rules.minFirmware.String(), r.currentFW.String()+", committed "+r.committedFW.String())
	}
	if ok {
		j.Pass(id, title, "The firmware is not older than is asked for.")
	}
}

// appraiseMachine compares how the machine was started and its host set up with
// the rules.
func (j *judge) appraiseMachine() {
	r, rules := j.report, &j.rules

	const titleDebug = "Nobody can look into the machine"
	if r.policy&policyDebug != 0 {
		j.Fail("chip.debug", titleDebug, attest.FailDebugEnabled, "This machine was started so that its host can read its memory.", "debugging off", "on")
	} else {
		j.Pass("chip.debug", titleDebug, "The machine can't be debugged by its host.")
	}
	const titleMigrate = "Nobody can take the machine away"
	if r.policy&policyMigrateMA != 0 {
		j.Fail("chip.migration", titleMigrate, attest.FailPolicyMismatch, "This machine was started so that another one can move it elsewhere, memory and all.", "no migration agent", "allowed")
	} else {
		j.Pass("chip.migration", titleMigrate, "The machine can't be moved to another chip.")
	}

	const titleVMPL = "The innermost layer of the machine asked for the report"
	if !slices.Contains(rules.VMPL, r.vmpl) {
		var want []string
		for _, v := range rules.VMPL {
			want = append(want, num(v))
		}
		j.Fail("chip.vmpl", titleVMPL, attest.FailPolicyMismatch, "The report was asked for by a part of this machine, or by its host, that is not trusted to speak for it.",
			strings.Join(want, " or "), num(r.vmpl))
	} else {
		j.Pass("chip.vmpl", titleVMPL, "The report was asked for at privilege level "+num(r.vmpl)+".")
	}

	j.settings("chip.guest.", "The machine was started as asked", rules.Guest, guestBits[:], r.policy)
	j.settings("chip.platform.", "The host is set up as asked", rules.Platform, platformBits[:], r.platform)
	if unknown := r.platform &^ platformKnown; unknown != 0 {
		j.Fail("chip.platform.known", "The host's settings are known", attest.FailPlatformUnknown,
			"This machine's host has a setting that this app does not know. A newer app may.", "", hex64(unknown))
	}
	if rules.MinABI != "" {
		const id, title = "chip.abi", "The machine was started for new enough firmware"
		abi := firmware{byte(r.policy >> 8), byte(r.policy)}
		if abi.below(rules.minABI) {
			j.Fail(id, title, attest.FailPolicyMismatch, "This machine was started so that it would run with older firmware than is asked for.",
				rules.MinABI, num(uint32(abi[0]))+"."+num(uint32(abi[1])))
		} else {
			j.Pass(id, title, "The machine would not have started with firmware older than is asked for.")
		}
	}
}

// settings compares the bits that the rules name.
func (j *judge) settings(prefix, title string, want map[string]bool, bits []bit, have uint64) {
	for _, b := range bits {
		on, asked := want[b.name]
		if !asked {
			continue
		}
		if found := have&b.mask != 0; found != on {
			j.Fail(prefix+b.name, title, attest.FailPolicyMismatch, "A setting of this machine is not as asked for. What it says: "+b.meaning+".",
				b.name+" "+strconv.FormatBool(on), strconv.FormatBool(found))
		} else {
			j.Pass(prefix+b.name, title, "The setting “"+b.name+"” is as asked for.")
		}
	}
}

// appraiseSoftware compares what was loaded with the rules. The measurement says
// what runs, and so does whoever holds the key that signed an ID block, since the
// chip then starts nothing else (AMD 56860, SNP_LAUNCH_FINISH). All else is chosen
// by the machine's host and proves nothing by itself.
func (j *judge) appraiseSoftware() {
	r, rules := j.report, &j.rules
	const titleMeasured = "What runs was measured and is as it should be"
	pinned := rules.measurements != nil || rules.idKeys != nil || rules.authorKeys != nil
	if !pinned {
		j.Warn("software.measurement", titleMeasured, "The chip measured what runs, but nothing says what it should be.", hexOf(r.measurement))
	}
	const other = "This machine runs something else than it should."
	if rules.measurements != nil {
		j.listed("software.measurement", titleMeasured, attest.FailSoftwareMismatch, other, rules.measurements, r.measurement, false)
	}
	if rules.idKeys != nil {
		j.listed("software.id_key", "The right key signed for what runs", attest.FailSoftwareMismatch,
			"What this machine runs was not signed for by a key that is accepted.", rules.idKeys, r.idKey, false)
	}
	if rules.authorKeys != nil {
		found := r.authorKey
		if !r.authorKeyGiven {
			found = nil
		}
		j.listed("software.author_key", "The right author stands behind what runs", attest.FailSoftwareMismatch,
			"Nobody who is accepted stands behind what this machine runs.", rules.authorKeys, found, false)
	}
	if rules.familyIDs != nil {
		j.listed("software.family_id", "What runs is of the right family", attest.FailSoftwareMismatch, other, rules.familyIDs, r.familyID, !pinned)
	}
	if rules.imageIDs != nil {
		j.listed("software.image_id", "What runs is the right image", attest.FailSoftwareMismatch, other, rules.imageIDs, r.imageID, !pinned)
	}
	if rules.hostData != nil {
		j.listed("software.host_data", "The host gave the machine what it should", attest.FailSoftwareMismatch,
			"This machine's host gave it other settings than it should.", rules.hostData, r.hostData, !pinned)
	}
	if n := rules.MinGuestSVN; n != 0 {
		const id, title = "software.guest_svn", "What runs is new enough"
		switch {
		case r.guestSVN < n:
			j.Fail(id, title, attest.FailSoftwareMismatch, "This machine runs something older than it should.", num(n)+" at least", num(r.guestSVN))
		case !pinned:
			j.Warn(id, title, "It says that it is new enough, but nothing says what it should be.", num(r.guestSVN))
		default:
			j.Pass(id, title, "What runs is not older than is asked for.")
		}
	}
}

// listed compares a value with a list. Where weak is set, the value proves nothing
// by itself, and is a warning even when it is right.
func (j *judge) listed(id, title, failure, detail string, want attest.Values, found []byte, weak bool) {
	switch {
	case !want.Has(found):
		j.Fail(id, title, failure, detail, want.String(), hexOf(found))
	case weak:
		j.Warn(id, title, "It is as it should be, but anything that runs could have it.", hexOf(found))
	default:
		j.Pass(id, title, "It is as it should be.")
	}
}

func num(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

func hex64(n uint64) string { return "0x" + strconv.FormatUint(n, 16) }

func hexOf(b []byte) string { return hex.EncodeToString(b) }

func reversed(b []byte) []byte {
	b = slices.Clone(b)
	slices.Reverse(b)
	return b
}
