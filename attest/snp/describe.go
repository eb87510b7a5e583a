// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package snp

import (
	"strconv"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/cert"
	"github.com/sotto-chat/sotto/attest/section"
	"github.com/sotto-chat/sotto/attest/snp/snpdata"
)

// Describe prints the fields of a piece of evidence, or of a report by itself,
// without judging any. Names are those of AMD's documents. It fails on what
// can't be parsed.
func Describe(data []byte) ([]attest.Field, error) {
	if len(data) == snpdata.ReportSize { // sections are longer, since a report is in them
		data = section.Append(nil, snpdata.KindReport, data)
	}
	e, err := parse(data)
	if err != nil {
		return nil, err
	}
	var out []attest.Field
	add := func(name, value, meaning string) {
		out = append(out, attest.Field{Name: name, Value: value, Meaning: meaning})
	}
	r := e.report
	p := r.productOf(e.leaf)
	level := func(t tcb) string {
		if p == nil {
			return hexOf(t[:])
		}
		return p.words(t)
	}
	either := func(set bool, yes, no string) string {
		if set {
			return yes
		}
		return no
	}
	orNone := func(b []byte, none string) string { return either(zero(b), none, "") }

	add("VERSION", num(r.version), "form of the report")
	family := "not known"
	if p != nil {
		family = "AMD EPYC “" + p.name + "”"
	}
	if p != nil {
		add("PRODUCT", p.name, "the chip's family, as a policy's min_tcb names it")
	}
	if r.version >= 3 {
		add("CPUID", "family "+num(uint32(r.family))+", model "+num(uint32(r.model))+", stepping "+num(uint32(r.stepping)), "the chip's family: "+family)
	}
	add("GUEST_SVN", num(r.guestSVN), "how new the software is, by its ID block's own count")
	abi := strconv.Itoa(int(r.policy>>8&0xff)) + "." + strconv.Itoa(int(r.policy&0xff))
	add("POLICY", hex64(r.policy), "how the machine was started; it runs only with firmware of ABI "+abi+" or newer")
	for _, b := range guestBits {
		add("POLICY."+strings.ToUpper(b.name), strconv.FormatBool(r.policy&b.mask != 0), "if true, "+b.meaning)
	}
	add("POLICY.MIGRATE_MA", strconv.FormatBool(r.policy&policyMigrateMA != 0), "if true, another machine can move it elsewhere")
	add("POLICY.DEBUG", strconv.FormatBool(r.policy&policyDebug != 0), "if true, its host can read its memory")
	add("FAMILY_ID", hexOf(r.familyID), "chosen by whoever made the ID block")
	add("IMAGE_ID", hexOf(r.imageID), "chosen by whoever made the ID block")
	add("VMPL", num(r.vmpl), "privilege level that asked for the report; 0 is the innermost, 4294967295 the host")
	add("CURRENT_TCB", level(r.current), "firmware that runs now")
	add("PLATFORM_INFO", hex64(r.platform), "how the host is set up")
	for _, b := range platformBits {
		add("PLATFORM_INFO."+strings.ToUpper(b.name), strconv.FormatBool(r.platform&b.mask != 0), "if true, "+b.meaning)
	}
	add("SIGNING_KEY", keyName(r.signingKey), either(r.signingKey == keyVLEK, "a cloud operator's key", "the chip's own key"))
	add("MASK_CHIP_KEY", strconv.FormatBool(r.maskChipKey), "if true, the chip was told not to sign")
	add("AUTHOR_KEY_EN", strconv.FormatBool(r.authorKeyGiven), "if true, an author's key stands above the ID key")
	add("REPORT_DATA", hexOf(r.reportData), "chosen by the machine: what it asked the chip to vouch for")
	add("MEASUREMENT", hexOf(r.measurement), "hash of what was loaded when the machine started")
	add("HOST_DATA", hexOf(r.hostData), "chosen by the host when the machine started")
	add("ID_KEY_DIGEST", hexOf(r.idKey), orNone(r.idKey, "nobody signed for the software"))
	add("AUTHOR_KEY_DIGEST", hexOf(r.authorKey), orNone(r.authorKey, "no author stands behind the software"))
	add("REPORT_ID", hexOf(r.reportID), "the machine's number, new at each start")
	add("REPORT_ID_MA", hexOf(r.reportIDMA), "the migration agent's number; ff… is none")
	add("REPORTED_TCB", level(r.reported), "firmware that the chip's key is for")
	add("CHIP_ID", hexOf(r.chipID), orNone(r.chipID, "hidden by the host"))
	if e.leaf == nil && r.signingKey != keyVLEK && !zero(r.chipID) {
		at, meaning := p, "where AMD keeps the chip's certificate"
		if at == nil {
			at, meaning = productNamed("Milan"), meaning+"; of a Genoa, with that name in it"
		}
		add("VCEK_URL", at.certificateURL(r), meaning)
	}
	add("COMMITTED_TCB", level(r.committed), "the host can't go back below this")
	add("CURRENT_VERSION", r.currentFW.String(), "firmware that runs now: major, minor, build")
	add("COMMITTED_VERSION", r.committedFW.String(), "the host can't go back below this")
	add("LAUNCH_TCB", level(r.launch), "firmware that ran when the machine started")
	if r.version >= 5 {
		add("LAUNCH_MIT_VECTOR", hex64(r.launchMit), "protections on when the machine started")
		add("CURRENT_MIT_VECTOR", hex64(r.currentMit), "protections on now")
	}

	if l := e.leaf; l != nil {
		describeCert(add, "leaf", l.cert)
		add("leaf.productName", l.product, "what kind of chip it is for")
		q := productNamed(either(l.layout == 1, "Turin", ""))
		add("leaf.TCB", q.words(l.tcb(q)), "firmware that it is for")
		if l.vlek() {
			add("leaf.cspID", l.csp, "cloud operator whose machines it is for")
		} else {
			add("leaf.hwID", hexOf(l.hwid), "chip that it is for")
		}
	}
	for _, c := range []struct {
		name string
		cert *cert.Certificate
	}{{"intermediate", e.intermediate}, {"root", e.root}} {
		if c.cert != nil {
			describeCert(add, c.name, c.cert)
		}
	}
	for _, l := range e.crls {
		add("crl.thisUpdate", day(l.ThisUpdate), "when AMD wrote the list")
		add("crl.nextUpdate", day(l.NextUpdate), "the list counts until then")
		add("crl.number", hexOf(l.Number), "")
	}
	return out, nil
}

// certificateURL is where AMD's key distribution service has the certificate of a
// report's chip at its level of firmware (AMD 57230, VCEK Certificate).
func (p *product) certificateURL(r *report) string {
	url := "https://kdsintf.amd.com/vcek/v1/" + p.name + "/" + hexOf(r.chipID[:p.hwidSize])
	mark := "?"
	for i, part := range p.parts {
		if name := map[string]string{"fmc": "fmc", "bootloader": "bl", "tee": "tee", "snp": "snp", "microcode": "ucode"}[part]; name != "" {
			url += mark + name + "SPL=" + strconv.Itoa(int(r.reported[i]/10)) + strconv.Itoa(int(r.reported[i]%10))
			mark = "&"
		}
	}
	return url
}

func describeCert(add func(name, value, meaning string), name string, c *cert.Certificate) {
	add(name+".subject", c.SubjectName("2.5.4.3"), "whose key it certifies")
	add(name+".serial", hexOf(c.Serial), "")
	add(name+".validity", day(c.NotBefore)+" to "+day(c.NotAfter), "")
	h := c.KeyHash()
	add(name+".key", c.Key.Kind()+" "+hexOf(h[:]), "kind and SHA-256 of the key")
}

func day(unix int64) string { return time.Unix(unix, 0).UTC().Format("2006-01-02 15:04 UTC") }
