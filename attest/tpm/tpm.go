// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package tpm judges machines whose start was measured into a TPM 2.0: a chip of
// its own on a board, a part of the firmware, or a piece of a cloud's hypervisor.
//
// A TPM holds registers (PCRs) that can't be set but only extended, and firmware,
// boot loader and kernel extend them with the digest of whatever they start next.
// The TPM signs their values together with a nonce (a quote) by a key (the
// attestation key, AK) that never leaves it and signs nothing that the TPM
// didn't make. [Platform.Verify] follows that back:
//
//	nonce        is made from the key config           key.bound
//	signature    by the AK                             chip.signature
//	AK           can't leave, signs only quotes        chip.attributes, chip.scheme
//	AK           is in a genuine TPM                   chip.chain, chip.certificate, chip.revocation
//	TPM          wasn't reset, has good firmware       chip.clock, chip.resets, chip.firmware, chip.signer
//	registers    are those that were signed            chip.values, chip.quoted
//	event log    explains the registers                chip.log, chip.events, chip.debug, chip.secure_boot
//	registers    are what the policy asks for          software.pcr…, software.begin…
//
// There is no root that all TPMs share. A policy names those it trusts: a cloud's
// authority that certifies AKs, or one's own that did so after attest/tpm/enroll.
// Without any, no evidence is trusted.
//
// What this can't show is said in spec/evidence-tpm.md: a TPM vouches for how a
// machine started, and not that nobody reads its memory.
package tpm

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strconv"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/cert"
	"github.com/sotto-chat/sotto/attest/cert/der"
	"github.com/sotto-chat/sotto/attest/section"
	"github.com/sotto-chat/sotto/attest/tcg"
	"github.com/sotto-chat/sotto/attest/tpm/tpmdata"
)

// Name is the platform's name in bundles.
const Name = tpmdata.Name

// Platform judges evidence of TPMs.
type Platform struct {
	// Roots are trusted beside those that the policy names. There are no others.
	Roots []cert.Root
}

var _ attest.Platform = Platform{}

// Name implements [attest.Platform].
func (Platform) Name() string { return Name }

// parsed is evidence that can be read.
type parsed struct {
	rawQuote  []byte
	quote     *Quote
	signature *Signature
	public    *Public
	certs     []*cert.Certificate
	crls      []*cert.CRL
	rawValues []byte
	values    []value
	log       *tcg.Log // nil if there is none
}

// Sections are the rules of the container.
func Sections() []section.Rule {
	return []section.Rule{
		{Kind: tpmdata.KindQuote, Name: "quote", Min: 1, Max: 1, MaxLen: 1024},
		{Kind: tpmdata.KindSignature, Name: "signature", Min: 1, Max: 1, MaxLen: 1024},
		{Kind: tpmdata.KindPublic, Name: "key", Min: 1, Max: 1, MaxLen: 1024},
		{Kind: tpmdata.KindCertificate, Name: "certificate", Min: 0, Max: 8, MaxLen: 8192},
		{Kind: tpmdata.KindCRL, Name: "revocation list", Min: 0, Max: 8, MaxLen: 256 << 10},
		{Kind: tpmdata.KindValues, Name: "registers", Min: 0, Max: 1, MaxLen: 16 * 24 * 64},
		{Kind: tpmdata.KindEventLog, Name: "event log", Min: 0, Max: 1, MaxLen: tpmdata.MaxLog},
	}
}

func parse(data []byte) (p parsed, err error) {
	s, err := section.Parse(data, Sections())
	if err != nil {
		return p, err
	}
	p.rawQuote = s.One(tpmdata.KindQuote)
	if p.quote, err = ParseQuote(p.rawQuote); err != nil {
		return p, err
	}
	if p.signature, err = ParseSignature(s.One(tpmdata.KindSignature)); err != nil {
		return p, err
	}
	if p.public, err = ParsePublic(s.One(tpmdata.KindPublic)); err != nil {
		return p, err
	}
	if p.certs, err = cert.ParseAll(s.All(tpmdata.KindCertificate)); err != nil {
		return p, err
	}
	for _, b := range s.All(tpmdata.KindCRL) {
		l, err := cert.ParseCRL(b)
		if err != nil {
			return p, err
		}
		p.crls = append(p.crls, l)
	}
	p.rawValues = s.One(tpmdata.KindValues)
	if p.values, err = p.quote.split(p.rawValues); err != nil {
		return p, err
	}
	if b := s.One(tpmdata.KindEventLog); b != nil {
		if p.log, err = tcg.Parse(b); err != nil {
			return p, err
		}
	}
	return p, nil
}

// judge gathers what is found in one piece of evidence.
type judge struct {
	parsed
	attest.Findings
	rules Rules
}

// Verify implements [attest.Platform].
func (pf Platform) Verify(data []byte, claim attest.Claim, policy attest.Policy, now time.Time) attest.Appraisal {
	rules, roots, err := rulesOf(policy)
	if err != nil {
		return attest.RefusedRules("security chips", err)
	}
	p, err := parse(data)
	if err != nil {
		return attest.Refused("chip.report", "The chip's report can be read", attest.FailEvidenceMalformed,
			"What this machine's security chip says can't be read: "+err.Error()+".")
	}
	j := &judge{parsed: p, rules: rules}
	j.signed()
	j.key()
	j.issued(append(roots, pf.Roots...), now.Unix())
	j.signer()
	j.clock()
	j.valued()
	j.started()
	j.software()
	j.Findings = append(j.Findings, claim.BoundNonce(Name, p.quote.ExtraData))
	return attest.Appraisal{Checks: j.Findings, Chip: hex.EncodeToString(p.public.Name()), Unshielded: true}
}

// signed checks who signed.
func (j *judge) signed() {
	const title = "The chip signed this"
	if !j.public.Verify(j.rawQuote, j.signature) {
		j.Fail("chip.signature", title, attest.FailSignatureInvalid,
			"The signature of this machine's security chip is wrong.", "", "")
		return
	}
	j.Pass("chip.signature", title, "The machine's security chip signed it.")
}

// key checks what the TPM says its key can do: only a restricted key's signature
// says that the TPM made what it signs (TPM 2.0 Library, part 2, section 8.3.3).
func (j *judge) key() {
	const title = "The chip's key is one that can only vouch"
	if !j.public.Vouches() {
		j.Fail("chip.attributes", title, attest.FailPolicyMismatch,
			"The key by which this machine's security chip signs can leave the chip, or sign what the chip didn't make.",
			attributeNames(vouches), attributeNames(j.public.Attributes))
	} else {
		j.Pass("chip.attributes", title, "The key was made in the chip, can't leave it, and signs only what the chip says of itself.")
	}

	const title2 = "The chip signs as its key says"
	found := schemeName(j.signature.Scheme, j.signature.Hash)
	if j.signature.Scheme != j.public.Scheme || j.signature.Hash != j.public.Hash {
		j.Fail("chip.scheme", title2, attest.FailPolicyMismatch,
			"The chip signed in another way than its key is made for.", schemeName(j.public.Scheme, j.public.Hash), found)
	} else {
		j.Pass("chip.scheme", title2, "The signature is "+found+".")
	}
}

// Object identifiers in certificates (RFC 5280, section 4.2.1.12; TCG
// Credential Profile for TPM 2.0, section 3.2).
const (
	PurposeEK = "2.23.133.8.1" // of an EK; Google's cloud has it in certificates of AKs too
	PurposeAK = "2.23.133.8.3"

	oidExtKeyUsage = "2.5.29.37"
	oidSerial      = "2.5.4.5" // serialNumber of a name
)

// issued checks who says that the key is in a genuine TPM.
func (j *judge) issued(roots []cert.Root, now int64) {
	const title = "The key is in a genuine chip"
	if slices.Contains(j.rules.Keys, hex.EncodeToString(j.public.Name())) {
		j.Pass("chip.chain", title, "This very key is one that this app was told to trust.")
		return
	}
	if len(j.certs) == 0 {
		j.Fail("chip.chain", title, attest.FailChainUntrusted,
			"Nobody vouches for this machine's security chip: it came without a certificate.", "a certificate", "none")
		return
	}
	leaf := j.certs[0]
	chain, err := cert.Chain(leaf, j.certs[1:], roots, now)
	switch {
	case err != nil:
		j.Fail("chip.chain", title, cert.FailureOf(err),
			"It can't be shown that this machine's security chip is genuine: "+err.Error()+".", "", "")
	default:
		j.Pass("chip.chain", title, "An authority that this app trusts certified the chip's key.")
		j.revoked(chain, now)
	}

	const title2 = "The certificate is of this key"
	area := sha256.Sum256(j.public.Raw)
	named := leaf.SubjectName(oidSerial)
	_, isDigest := unhex(named, 32)
	_, hasUsage := leaf.Extension(oidExtKeyUsage)
	switch {
	case !j.public.Certified(leaf):
		j.Fail("chip.certificate", title2, attest.FailChainUntrusted,
			"The certificate that this machine shows is of another key than the one that signed.", "", "")
	case isDigest && named != hex.EncodeToString(area[:]):
		j.Fail("chip.certificate", title2, attest.FailChainUntrusted,
			"The certificate speaks of a key with other properties than this machine says.", named, hex.EncodeToString(area[:]))
	// A certificate without a key usage has all of them here, and so one too many.
	case leaf.IsCA || leaf.KeyUsage&cert.UsageDigitalSignature == 0 || leaf.KeyUsage&cert.UsageCertSign != 0 ||
		hasUsage && !HasPurpose(leaf, PurposeAK, PurposeEK):
		j.Fail("chip.certificate", title2, attest.FailChainUntrusted,
			"The certificate that this machine shows was issued for something else.", "", "")
	default:
		j.Pass("chip.certificate", title2, "The key that signed is the one that was certified.")
	}
}

// HasPurpose reports whether a certificate has an extended key usage (RFC 5280,
// section 4.2.1.12) with one of the dotted purposes.
func HasPurpose(c *cert.Certificate, purposes ...string) bool {
	usage, _ := c.Extension(oidExtKeyUsage)
	outer := der.New(usage)
	r, _ := outer.In(der.Sequence)
	if !outer.Empty() { // which it stays where there is no sequence
		return false
	}
	found := false
	for !r.Empty() {
		oid, ok := r.OID()
		if !ok {
			return false
		}
		found = found || slices.Contains(purposes, oid)
	}
	return found
}

// revoked looks for each certificate but the root in its issuer's list.
func (j *judge) revoked(chain []*cert.Certificate, now int64) {
	const title = "The chip's certificate was not revoked"
	missing := 0
	for i, c := range chain[:len(chain)-1] {
		issuer := chain[i+1]
		found := false
		for _, l := range j.crls {
			if !bytes.Equal(l.RawIssuer, issuer.RawSubject) {
				continue
			}
			found = true
			if err := l.Verify(issuer, now); err != nil {
				j.Fail("chip.revocation", title, cert.FailureOf(err),
					"It can't be told whether this chip's certificate was revoked: "+err.Error()+".", "", "")
				return
			}
			if l.Revoked(c.Serial) {
				j.Fail("chip.revocation", title, attest.FailRevoked,
					"A certificate of this machine's security chip was revoked.", "", hex.EncodeToString(c.Serial))
				return
			}
		}
		if !found {
			missing++
		}
	}
	switch {
	case missing == 0:
		j.Pass("chip.revocation", title, "Its issuers' lists don't name it.")
	case j.rules.RequireCRL:
		j.Fail("chip.revocation", title, attest.FailCollateralMissing,
			"A list that could say whether this chip's certificate was revoked is missing.",
			strconv.Itoa(len(chain)-1)+" lists", strconv.Itoa(len(chain)-1-missing))
	default:
		j.Warn("chip.revocation", title, "No list came along that could say so.", "")
	}
}

// signer checks where in the TPM the key lives. The quote's qualified name is a
// hash over the names of all parents, which can be followed for primary keys.
func (j *judge) signer() {
	const title = "The key lives where it should"
	where := j.hierarchy()
	switch {
	case binary.BigEndian.Uint16(j.quote.QualifiedSigner) != j.public.NameAlg:
		j.Fail("chip.signer", title, attest.FailPolicyMismatch,
			"The proof names another kind of key than the one that this machine shows.", bankName(j.public.NameAlg), "")
	case j.rules.Hierarchy != "" && where != j.rules.Hierarchy, where == "null":
		want := j.rules.Hierarchy
		if want == "" {
			want = "endorsement, owner or platform"
		}
		j.Fail("chip.signer", title, attest.FailPolicyMismatch,
			"The key of this machine's security chip lives in another part of the chip than asked for.", want, where)
	case where == "":
		j.Warn("chip.signer", title, "The key is below another one, which the proof doesn't show.", "")
	default:
		j.Pass("chip.signer", title, "The proof names this key, made in the chip's part “"+where+"”.")
	}
}

// hierarchy names the hierarchy in which the AK is a primary key, or "".
func (j *judge) hierarchy() string {
	for _, h := range hierarchies {
		if bytes.Equal(j.quote.QualifiedSigner, j.public.QualifiedName(h.handle)) {
			return h.name
		}
	}
	return ""
}

// clock checks what the TPM says of itself.
func (j *judge) clock() {
	q, r := j.quote, &j.rules
	const title = "The chip's clock never went back"
	if q.Safe {
		j.Pass("chip.clock", title, "The chip's clock and counters go on from where they were.")
	} else {
		j.Fail("chip.clock", title, attest.FailPolicyMismatch,
			"The clock of this machine's security chip may have gone back.", "safe", "not safe")
	}

	// Of keys outside these two hierarchies a TPM scrambles the counters and the
	// version by a secret, so that nobody can follow it by them (part 3, section 18.1).
	where := j.hierarchy()
	plain := where == "endorsement" || where == "platform"

	const title2 = "The chip was not restarted more than is allowed"
	if r.Resets != nil || r.MaxResets != nil || r.Restarts != nil || r.MaxRestarts != nil {
		found := strconv.FormatUint(uint64(q.ResetCount), 10) + " resets, " + strconv.FormatUint(uint64(q.RestartCount), 10) + " restarts"
		want := count("resets ", r.Resets) + count("resets ≤ ", r.MaxResets) + count("restarts ", r.Restarts) + count("restarts ≤ ", r.MaxRestarts)
		switch {
		case !plain && (r.MaxResets != nil || r.MaxRestarts != nil):
			j.Fail("chip.resets", title2, attest.FailPolicyMismatch,
				"The counters of this machine's security chip can't be read, because its key is in the wrong part of the chip.",
				"a key of the endorsement hierarchy", where)
		case r.Resets != nil && q.ResetCount != *r.Resets, r.MaxResets != nil && q.ResetCount > *r.MaxResets,
			r.Restarts != nil && q.RestartCount != *r.Restarts, r.MaxRestarts != nil && q.RestartCount > *r.MaxRestarts:
			j.Fail("chip.resets", title2, attest.FailPolicyMismatch,
				"This machine's security chip was restarted since it was accepted.", want[2:], found)
		default:
			j.Pass("chip.resets", title2, "It counts "+found+".")
		}
	}

	const title3 = "The chip's own software is new enough"
	if r.MinFirmware != "" {
		found := hex64(q.Firmware)
		switch {
		case !plain:
			j.Fail("chip.firmware", title3, attest.FailPolicyMismatch,
				"The version of this machine's security chip can't be read, because its key is in the wrong part of the chip.",
				"a key of the endorsement hierarchy", where)
		case found < r.MinFirmware:
			j.Fail("chip.firmware", title3, attest.FailFirmwareOld,
				"The software of this machine's security chip is too old.", r.MinFirmware, found)
		default:
			j.Pass("chip.firmware", title3, "It is version "+found+".")
		}
	}
}

func count(what string, n *uint32) string {
	if n == nil {
		return ""
	}
	return ", " + what + strconv.FormatUint(uint64(*n), 10)
}

// hex64 writes a number so that two compare as their texts do.
func hex64(n uint64) string {
	s := strconv.FormatUint(n, 16)
	return "0000000000000000"[len(s):] + s
}

// valued checks that the registers shown are those that were signed.
func (j *judge) valued() {
	const title = "The registers are those that the chip signed"
	// The hash is that of the signature (part 3, section 18.4).
	if !bytes.Equal(digest(j.signature.Hash, j.rawValues), j.quote.Digest) {
		j.Fail("chip.values", title, attest.FailSignatureInvalid,
			"What this machine says was measured is not what its security chip signed.",
			hex.EncodeToString(j.quote.Digest), hex.EncodeToString(digest(j.signature.Hash, j.rawValues)))
	} else {
		j.Pass("chip.values", title, "The chip signed "+strconv.Itoa(len(j.values))+" registers.")
	}

	const title2 = "The chip signed all registers that were asked for"
	for _, q := range j.rules.Quoted {
		for _, n := range q.PCRs {
			if j.value(bankOf(q.Bank), n) == nil {
				j.Fail("chip.quoted", title2, attest.FailPolicyMismatch,
					"This machine's security chip left out a measurement that this app asks for.", registerName(bankOf(q.Bank), n), "")
				return
			}
		}
	}
	if len(j.rules.Quoted) > 0 {
		j.Pass("chip.quoted", title2, "None is missing.")
	}
}

// value returns what the quote says a register holds, or nil.
func (j *judge) value(bank uint16, pcr int) []byte {
	for _, v := range j.values {
		if v.bank == bank && v.pcr == pcr {
			return v.bytes
		}
	}
	return nil
}

// software compares what was measured with what the policy asks for.
func (j *judge) software() {
	for _, r := range j.rules.PCRs {
		bank := bankOf(r.Bank)
		name := registerName(bank, r.PCR)
		found := hex.EncodeToString(j.value(bank, r.PCR))
		id, title := "software.pcr"+suffix(r.PCR, bank), "The start was measured as expected ("+name+")"
		switch {
		case found == "":
			j.Fail(id, title, attest.FailPolicyMismatch,
				"This machine's security chip left out a measurement that this app asks for.", name, "")
		case !slices.Contains(r.Values, found):
			j.Fail(id, title, attest.FailSoftwareMismatch,
				"This machine started something else than what this app expects.", join(r.Values), found)
		default:
			j.Pass(id, title, "The measurement is one that this app expects.")
		}
	}
	for _, r := range j.rules.Events {
		bank := bankOf(r.Bank)
		id, title := "software.begin"+suffix(r.PCR, bank), "What was started first is as expected ("+registerName(bank, r.PCR)+")"
		found, explained := j.measurements(bank, r.PCR)
		switch {
		case !explained:
			j.Fail(id, title, attest.FailPolicyMismatch,
				"This machine doesn't show what it started first.", registerName(bank, r.PCR)+" in the quote and the log", "")
		case !begins(found, r.Begin):
			j.Fail(id, title, attest.FailSoftwareMismatch,
				"This machine started something else first than what this app expects.", join(r.Begin[0]), join(found[:min(len(found), len(r.Begin[0]))]))
		default:
			j.Pass(id, title, "The first measurements are those that this app expects.")
		}
	}
	if len(j.rules.PCRs)+len(j.rules.Events) == 0 {
		j.Warn("software.measurement", "What was started is as expected",
			"Nothing pinned what runs: the start was measured, and this app was not told what to expect.", "")
	}
}

func begins(found []string, lists [][]string) bool {
	for _, l := range lists {
		if len(found) >= len(l) && slices.Equal(found[:len(l)], l) {
			return true
		}
	}
	return false
}

func suffix(pcr int, bank uint16) string {
	if bank == AlgSHA256 {
		return strconv.Itoa(pcr)
	}
	return strconv.Itoa(pcr) + "_" + bankName(bank)
}

func registerName(bank uint16, pcr int) string {
	return "PCR " + strconv.Itoa(pcr) + " (" + bankName(bank) + ")"
}

func join(list []string) string {
	s := ""
	for i, v := range list {
		if i > 0 {
			s += ", "
		}
		s += v
	}
	return s
}

var attributeList = [...]struct {
	bit  uint32
	name string
}{
	{FixedTPM, "fixedTPM"}, {StClear, "stClear"}, {FixedParent, "fixedParent"}, {SensitiveDataOrigin, "sensitiveDataOrigin"},
	{UserWithAuth, "userWithAuth"}, {AdminWithPolicy, "adminWithPolicy"}, {FirmwareLimited, "firmwareLimited"},
	{SVNLimited, "svnLimited"}, {NoDA, "noDA"}, {EncryptedDuplication, "encryptedDuplication"},
	{Restricted, "restricted"}, {Decrypt, "decrypt"}, {Sign, "sign"}, {X509Sign, "x509sign"},
}

func attributeNames(a uint32) string {
	var names []string
	for _, x := range attributeList {
		if a&x.bit != 0 {
			names = append(names, x.name)
		}
	}
	return join(names)
}

func schemeName(scheme, hash uint16) string {
	name := "unknown"
	switch scheme {
	case AlgRSASSA:
		name = "RSASSA"
	case AlgRSAPSS:
		name = "RSAPSS"
	case AlgECDSA:
		name = "ECDSA"
	case AlgNull:
		return "none"
	}
	return name + " with " + bankName(hash)
}
