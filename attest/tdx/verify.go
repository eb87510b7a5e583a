// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tdx

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/cert"
)

// Common names of Intel's certificates. One root signs for several purposes: the
// names say for which.
const (
	nameRoot      = "Intel SGX Root CA"
	namePlatform  = "Intel SGX PCK Platform CA"
	nameProcessor = "Intel SGX PCK Processor CA"
	namePCK       = "Intel SGX PCK Certificate"
	nameSigning   = "Intel SGX TCB Signing"
)

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
