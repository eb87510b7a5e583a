// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tdx

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/tcg"
)

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
