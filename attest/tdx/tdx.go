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
//   - verify (verify.go): signatures from the quote to Intel's root, revocation, and
//     by Intel's documents how the firmware stands (status.go);
//   - appraise (appraise.go): each field against the policy's [Rules], and the log
//     against the registers.
//
// Names of fields are those of Intel's documents: TDX Module ABI, TDX DCAP
// Quoting Library API, SGX PCK Certificate and CRL Profile, and the API of the
// provisioning certification service (PCS).
package tdx

import (
	"encoding/hex"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/cert"
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
		j.FailRules("Intel machines", errRules)
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
