// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tdx

import (
	"encoding/binary"
	"encoding/hex"
	"strings"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/section"
	"github.com/sotto-chat/sotto/attest/tcg"
	"github.com/sotto-chat/sotto/attest/tdx/tdxdata"
)

// Describe prints the fields of a piece of evidence, or of a quote by itself,
// without judging any. Names are those of Intel's documents. It fails on what
// can't be parsed.
func Describe(data []byte) ([]attest.Field, error) {
	if len(data) > 0 && data[0] != tdxdata.KindQuote { // a quote begins with its version, 4 or 5
		q, err := tdxdata.Trim(data)
		if err != nil {
			return nil, err
		}
		data = section.Append(nil, tdxdata.KindQuote, q)
	}
	e, err := parse(data)
	if err != nil {
		return nil, err
	}
	var out []attest.Field
	add := func(name, value, meaning string) {
		out = append(out, attest.Field{Name: name, Value: value, Meaning: meaning})
	}
	raw := func(name string, b []byte, meaning string) { add(name, hex.EncodeToString(b), meaning) }
	orZero := func(b []byte, none, else_ string) string {
		if zero(b) {
			return none
		}
		return else_
	}
	q := e.quote
	b := &q.body
	add("VERSION", itoa(q.version), "form of the quote")
	kind := "TDX 1.0"
	if q.td15 {
		kind = "TDX 1.5"
	}
	add("BODY_TYPE", kind, "form of the report in it")
	raw("QE_VENDOR_ID", q.header[12:28], "Intel's quoting enclave")
	raw("TEE_TCB_SVN", b.teeTCBSVN, "firmware when the machine was started: TDX module "+itoa(int(b.teeTCBSVN[1]))+"."+itoa(int(b.teeTCBSVN[0]))+", microcode "+itoa(int(b.teeTCBSVN[2])))
	raw("MRSEAM", b.mrSEAM, "the TDX module, Intel's software that keeps the machine apart")
	raw("MRSIGNERSEAM", b.mrSignerSEAM, orZero(b.mrSignerSEAM, "the module is Intel's", "the module is somebody else's"))
	raw("SEAMATTRIBUTES", b.seamAttributes, orZero(b.seamAttributes, "the module is one for use", "the module is one for tests"))
	attrs := binary.LittleEndian.Uint64(b.attributes)
	raw("TDATTRIBUTES", b.attributes, "how the machine was started: "+attributeNames(attrs))
	add("TDATTRIBUTES.DEBUG", boolean(attrs&1 != 0), "if true, its host can look into it")
	for _, a := range attributeBits {
		add("TDATTRIBUTES."+strings.ToUpper(a.name), boolean(attrs>>a.n&1 != 0), "if true, "+a.meaning)
	}
	raw("XFAM", b.xfam, "features of the chip that it may use")
	raw("MRTD", b.mrTD, "what was loaded first: the firmware")
	raw("MRCONFIGID", b.mrConfigID, "what the host said of its configuration"+orZero(b.mrConfigID, ": nothing", ""))
	raw("MROWNER", b.mrOwner, "what the host said of its owner"+orZero(b.mrOwner, ": nothing", ""))
	raw("MROWNERCONFIG", b.mrOwnerConfig, "what the host said of the owner's configuration"+orZero(b.mrOwnerConfig, ": nothing", ""))
	for i, meaning := range [...]string{
		"what the firmware was told: its settings, tables and boot order",
		"what the firmware started: boot loader, kernel",
		"what the boot loader used: command line, initrd",
		"what the software measured by itself",
	} {
		raw("RTMR"+itoa(i), b.rtmr[i], meaning+orZero(b.rtmr[i], " (nothing)", ""))
	}
	raw("REPORTDATA", b.reportData, "64 bytes that the machine chose; Sotto's are the hash of its key")
	if q.td15 {
		raw("TEE_TCB_SVN_2", b.teeTCBSVN2, "firmware that it runs on now")
		raw("MRSERVICETD", b.mrServiceTD, orZero(b.mrServiceTD, "no other machine serves it", "other machines serve it, such as one that migrates it"))
	}
	raw("QE.CPUSVN", q.qe.cpuSVN, "firmware of the processor, as the quoting enclave saw it")
	raw("QE.MRENCLAVE", q.qe.mrEnclave, "the quoting enclave")
	raw("QE.MRSIGNER", q.qe.mrSigner, "who made it")
	raw("QE.ATTRIBUTES", q.qe.attributes, "how it was started")
	add("QE.ISVPRODID", itoa(int(q.qe.prodID)), "2 is the quoting enclave for TDX")
	add("QE.ISVSVN", itoa(int(q.qe.svn)), "how new it is")
	raw("QE_AUTH_DATA", q.qeAuth, "what it was given to sign along")
	for _, c := range q.certs {
		add("CERTIFICATE", c.SubjectName("2.5.4.3"), "from "+stamp(c.NotBefore)+" to "+stamp(c.NotAfter)+", number "+hex.EncodeToString(c.Serial))
	}
	p := &q.pck
	raw("PCK.PPID", p.ppid, "the machine")
	if p.instance != nil {
		raw("PCK.PLATFORM_INSTANCE_ID", p.instance, "the machine as it was put together last")
	}
	raw("PCK.FMSPC", p.fmspc, "the kind of chip, by which Intel's TCB info is asked for")
	raw("PCK.PCEID", p.pceID, "which of Intel's provisioning enclaves vouched for the quoting enclave")
	raw("PCK.TCB", p.svn[:], "levels of its 16 parts that Intel certified")
	add("PCK.PCESVN", itoa(int(p.pceSVN)), "how new that one is")
	for _, c := range e.certs {
		add("CERTIFICATE", c.SubjectName("2.5.4.3"), "from "+stamp(c.NotBefore)+" to "+stamp(c.NotAfter)+", number "+hex.EncodeToString(c.Serial))
	}
	if t := e.tcbInfo; t != nil {
		add("TCB_INFO", "number "+itoa(t.evaluation), "for FMSPC "+hex.EncodeToString(t.fmspc)+", from "+stamp(t.issued)+" to "+stamp(t.next))
	}
	if i := e.qeIdentity; i != nil {
		add("QE_IDENTITY", "number "+itoa(i.evaluation), "from "+stamp(i.issued)+" to "+stamp(i.next))
	}
	if e.tcbInfo != nil && e.qeIdentity != nil {
		s := stand(e.tcbInfo, e.qeIdentity, q)
		add("TCB_STATUS", s.status.String(), strings.Join(s.advisories, " "))
	}
	for _, l := range e.crls {
		add("CRL", "from "+stamp(l.ThisUpdate)+" to "+stamp(l.NextUpdate), "revocation list")
	}
	if e.log != nil {
		for i := range e.log.Events {
			ev := &e.log.Events[i]
			meaning := "extends nothing"
			if ev.Extends() {
				meaning = "RTMR" + itoa(ev.Register-1) + ", SHA-384 " + hex.EncodeToString(ev.Digest(tcg.SHA384))
			}
			meaning = strings.TrimPrefix(tcg.TypeName(ev.Type)+", "+meaning, ", ")
			add("EVENT "+itoa(i)+" 0x"+hex.EncodeToString(binary.BigEndian.AppendUint32(nil, ev.Type)), eventText(ev), meaning)
		}
	}
	return out, nil
}

func boolean(b bool) string {
	if b {
		return "true"
	}
	return "false"
}

// eventText writes an event's data, and first of all whether it can be believed.
func eventText(e *tcg.Event) string {
	data, covered, ok := e.Measured(tcg.SHA384)
	state := ""
	switch {
	case covered && !ok:
		return "CHANGED: not what was measured"
	case !covered:
		data, state = e.Data, "(unproved) "
	}
	const most = 160
	text := make([]byte, 0, most)
	for _, c := range data {
		if c == 0 { // of UTF-16
			continue
		}
		if c < 0x20 || c > 0x7e {
			c = '.'
		}
		if len(text) == most {
			return state + string(text) + "…"
		}
		text = append(text, c)
	}
	return state + string(text)
}
