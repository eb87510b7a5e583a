// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tpm

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strconv"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/tcg"
)

// secureBootPCR is where firmware measures Secure Boot and what weakens it (TCG
// PC Client Platform Firmware Profile, "PFP", 1.06, section 3.3.4.8).
const secureBootPCR = 7

// Actions that firmware measures there when it lets somebody look into the
// machine, or devices into its memory (PFP, section 10.4.4; Microsoft, Kernel DMA
// Protection for OEMs).
const (
	actionDebug = "UEFI Debug Mode"
	actionDMA   = "DMA Protection Disabled"
)

// started checks the event log: that it explains the registers, and what it says.
func (j *judge) started() {
	const title = "The log explains the registers"
	if j.log == nil {
		if j.rules.RequireLog || j.rules.RequireSecureBoot || j.rules.Locality != nil {
			j.Fail("chip.log", title, attest.FailCollateralMissing,
				"This machine sent no list of what it started, which this app asks for.", "an event log", "none")
		} else {
			j.Warn("chip.log", title, "This machine sent no list of what it started, only what it comes to.", "")
		}
		return
	}
	banks := j.banks()
	want, found := "", ""
	for _, b := range banks {
		if want, found = j.replayed(b); want != "" {
			break
		}
	}
	switch {
	case want != "":
		j.Fail("chip.log", title, attest.FailSoftwareMismatch,
			"The list of what this machine started doesn't come to what its security chip measured.", want, found)
	case len(banks) == 0 && j.rules.RequireLog:
		j.Fail("chip.log", title, attest.FailPolicyMismatch,
			"This machine's security chip signed no measurement that the list of what it started could be compared with.",
			"a quote of sha256, sha384 or sha512", "")
	case len(banks) == 0:
		j.Warn("chip.log", title, "The chip signed no measurement of a kind that is safe to compare the list with.", "")
	default:
		j.Pass("chip.log", title, "What the list says was started comes to exactly what the chip measured.")
	}
	j.told()
	j.secureBoot()
	if j.rules.Locality != nil {
		const title = "The chip was started as asked for"
		found, ok := j.locality()
		_, explained := j.measurements(j.best(0), 0)
		if !ok || !explained || found != *j.rules.Locality {
			j.Fail("chip.locality", title, attest.FailPolicyMismatch,
				"This machine's security chip was started in another way than this app asks for.",
				"locality "+strconv.Itoa(*j.rules.Locality), "locality "+strconv.Itoa(found))
		} else {
			j.Pass("chip.locality", title, "It was started at locality "+strconv.Itoa(found)+".")
		}
	}
}

// banks returns the quoted banks that count.
func (j *judge) banks() (out []uint16) {
	for _, s := range j.quote.Selections {
		if strong(s.Bank) && s.PCRs != 0 {
			out = append(out, s.Bank)
		}
	}
	return out
}

// replayed compares the quoted registers of a bank with what the log comes to,
// and returns the first that is otherwise.
func (j *judge) replayed(bank uint16) (want, found string) {
	regs, err := j.log.Replay(bank, j.initial(bank))
	if err != nil {
		return "a log with digests of " + bankName(bank), err.Error()
	}
	for _, v := range j.values {
		if v.bank != bank {
			continue
		}
		got := regs[v.pcr]
		switch {
		case got != nil:
		case slices.Contains(j.rules.Unlogged, v.pcr):
			continue
		case v.pcr >= 17 && v.pcr <= 22: // of a late launch that wasn't
			got = bytes.Repeat([]byte{0xff}, digestSize(bank))
		default:
			if got = j.initial(bank)(v.pcr); got == nil {
				got = make([]byte, digestSize(bank))
			}
		}
		if !bytes.Equal(got, v.bytes) {
			return registerName(bank, v.pcr) + " = " + hex.EncodeToString(v.bytes), hex.EncodeToString(got)
		}
	}
	return "", ""
}

// initial gives the values that registers have before they are first extended
// (PC Client Platform TPM Profile, section 4.6.1): the locality in register 0
// (PFP, section 10.4.5.3), zeros in all others. Those of a late launch hold ones
// until the launch sets them to zeros.
func (j *judge) initial(bank uint16) func(int) []byte {
	return func(pcr int) []byte {
		if pcr != 0 {
			return nil
		}
		l, _ := j.locality()
		b := make([]byte, digestSize(bank))
		b[len(b)-1] = byte(l)
		return b
	}
}

// locality returns the locality at which the log says that the TPM was started.
// No digest covers that event, but register 0 comes to another value without
// it. ok is false if what the log says can't be.
func (j *judge) locality() (n int, ok bool) {
	seen := false
	for i := range j.log.Events {
		e := &j.log.Events[i]
		rest, is := bytes.CutPrefix(e.Data, []byte("StartupLocality\x00"))
		if e.Type != tcg.EvNoAction || !is {
			continue
		}
		if seen || len(rest) != 1 || rest[0] != 0 && rest[0] != 3 && rest[0] != 4 {
			return 0, false
		}
		n, seen = int(rest[0]), true
	}
	return n, true
}

// measurements returns the digests that a register was extended with, in hex and
// in order. explained says whether they come to what the quote says; otherwise
// they are worth nothing.
func (j *judge) measurements(bank uint16, pcr int) (digests []string, explained bool) {
	v := j.value(bank, pcr)
	if v == nil || j.log == nil {
		return nil, false
	}
	// Where the log lacks the bank, no register is what the quote says.
	if regs, _ := j.log.Replay(bank, j.initial(bank)); !bytes.Equal(regs[pcr], v) {
		return nil, false
	}
	for i := range j.log.Events {
		if e := &j.log.Events[i]; e.Extends() && e.Register == pcr {
			digests = append(digests, hex.EncodeToString(e.Digest(bank)))
		}
	}
	return digests, true
}

// best returns the bank in which a register is read whose bank no rule names: the
// first in the quote of those that the rules name for others, or of SHA-256 if they
// name none. A TPM can have a bank that its firmware passes over, and there whatever
// runs can measure what firmware should have. 0 if the quote has none of them.
func (j *judge) best(pcr int) uint16 {
	named := j.rules.banks()
	for _, b := range j.banks() {
		if slices.Contains(named, b) && j.value(b, pcr) != nil {
			return b
		}
	}
	return 0
}

// told compares each event's data with its digests, and the log's form with what
// firmware writes.
func (j *judge) told() {
	const title = "The log says what was measured"
	var f form
	for i := range j.log.Events {
		e := &j.log.Events[i]
		where := "event " + strconv.Itoa(i+1) + ", PCR " + strconv.Itoa(e.Register)
		for _, d := range e.Digests {
			if covered, ok := e.DataMatches(d.Alg); strong(d.Alg) && covered && !ok {
				j.Fail("chip.events", title, attest.FailSoftwareMismatch,
					"The list of what this machine started was changed: an entry says something else than what was measured.",
					"data of "+bankName(d.Alg)+" "+hex.EncodeToString(d.Value), where)
				return
			}
		}
		if want := f.odd(e); want != "" {
			j.Fail("chip.events", title, attest.FailSoftwareMismatch,
				"The list of what this machine started was changed: an entry is not as firmware writes it.", want, where)
			return
		}
	}
	if f.secure && !f.authority {
		j.Fail("chip.events", title, attest.FailSoftwareMismatch,
			"The list of what this machine started was changed: by it, only signed software was started, and nobody's signature was looked at.",
			"an authority in PCR 7", "none")
		return
	}
	j.Pass("chip.events", title, "Where entries say what was measured, they say it truly.")
}

// form is what has to be remembered of a log's first entries to tell whether one
// that follows is in its place.
type form struct {
	separators [secureBootPCR + 1]bool
	variables  [][]byte // heads and names
	secure     bool     // Secure Boot is said to be on,
	authority  bool     // and somebody to have signed what was started
}

// odd says what should be in place of an event that no firmware writes so, or "".
// An entry's type is in no digest. What somebody renamed who wants an entry
// overlooked stands out here, since firmware has to write some types in some
// registers (PFP, sections 3.3.4 and 10.4.1).
func (f *form) odd(e *tcg.Event) string {
	if !e.Extends() || e.Register > secureBootPCR {
		return ""
	}
	separator, covered := false, true
	for _, d := range e.Digests {
		separator = separator || isSeparator(d.Alg, d.Value)
		_, ok := e.DataMatches(d.Alg)
		covered = covered && (ok || !strong(d.Alg))
	}
	// Real firmware measures four zero bytes of its own code into register 0.
	if e.Register == 0 && e.Type != tcg.EvSeparator {
		separator = false
	}
	after := f.separators[e.Register]
	switch {
	case separator != (e.Type == tcg.EvSeparator):
		return "a separator's type and digest together"
	case separator && after:
		return "one separator"
	case separator:
		f.separators[e.Register] = true
		return ""
	case e.Register == 0 && !after && e.Type == tcg.EvNonhostInfo && !covered:
		return "the host information that was measured"
	case e.Register != secureBootPCR:
		return ""
	}
	switch e.Type {
	case tcg.EvVariableDriverConfig:
		head, ok := variableHead(e.Data)
		if !ok || after {
			return "a variable before the separator"
		}
		for _, v := range f.variables {
			if bytes.Equal(v, head) {
				return "each variable once"
			}
		}
		f.variables = append(f.variables, head)
		if v, _ := variable(e.Data, "SecureBoot"); bytes.Equal(v, []byte{1}) {
			f.secure = true
		}
		return ""
	case tcg.EvEFIAction:
		if !isAction(e.Data, actionDebug) && !isAction(e.Data, actionDMA) {
			return actionDebug + " or " + actionDMA
		}
		return ""
	case tcg.EvVariableAuthority:
		f.authority = true
		return ""
	}
	return "variables, authorities and actions"
}

// isAction reports whether data is an action's text, with or without a zero byte.
func isAction(data []byte, action string) bool {
	return string(bytes.TrimSuffix(data, []byte{0})) == action
}

// secureBoot checks what firmware measured into register 7 before it handed
// over. An event's type is in no digest, so the log could call the real entry
// something harmless and let whatever ran later measure a better one. So each
// entry up to the hand-over must show the data that was measured, and is judged
// by that data whatever it is called.
func (j *judge) secureBoot() {
	const title, title2 = "Nobody can look into the machine while it starts", "Only signed software was started"
	state, debug, ok := j.firmware()
	switch {
	case debug:
		j.Fail("chip.debug", title, attest.FailDebugEnabled,
			"This machine's firmware lets somebody look into it.", "no debug mode", actionDebug)
	case ok:
		j.Pass("chip.debug", title, "The firmware measured no debug mode.")
	default:
		j.Warn("chip.debug", title, "The log doesn't show all that the firmware measured of it.", "")
	}
	switch {
	case !j.rules.RequireSecureBoot:
	case state == nil:
		j.Fail("chip.secure_boot", title2, attest.FailPolicyMismatch,
			"This machine doesn't show whether it starts only signed software.", "SecureBoot = 1", "nothing")
	case !bytes.Equal(state, []byte{1}):
		j.Fail("chip.secure_boot", title2, attest.FailPolicyMismatch,
			"This machine starts software that nobody signed.", "SecureBoot = 1", "SecureBoot = "+hex.EncodeToString(state))
	default:
		j.Pass("chip.secure_boot", title2, "Secure Boot was on.")
	}
}

// firmware reads register 7 up to the separator. state is the worst that it
// says of SecureBoot, nil if nothing. ok is false, and state nil, unless the quote
// covers all of it.
func (j *judge) firmware() (state []byte, debug, ok bool) {
	bank := j.best(secureBootPCR)
	if _, explained := j.measurements(bank, secureBootPCR); !explained {
		return nil, false, false
	}
	for i := range j.log.Events {
		e := &j.log.Events[i]
		if !e.Extends() || e.Register != secureBootPCR {
			continue
		}
		if isSeparator(bank, e.Digest(bank)) {
			return state, debug, true
		}
		data, _, matches := e.Measured(bank)
		if !matches {
			return nil, debug, false
		}
		debug = debug || bytes.HasPrefix(data, []byte(actionDebug))
		if v, is := variable(data, "SecureBoot"); is && (state == nil || !bytes.Equal(v, []byte{1})) {
			state = append([]byte{}, v...)
		}
	}
	return nil, debug, false
}

// isSeparator reports whether a digest is that of a separator: four bytes of
// zeros or ones (PFP, section 10.4.1, EV_SEPARATOR).
func isSeparator(bank uint16, d []byte) bool {
	return bytes.Equal(d, digest(bank, []byte{0, 0, 0, 0})) || bytes.Equal(d, digest(bank, []byte{0xff, 0xff, 0xff, 0xff}))
}

// globalVariable is EFI_GLOBAL_VARIABLE, 8be4df61-93ca-11d2-aa0d-00e098032b8c,
// as it stands in memory (UEFI 2.10, section 3.3).
const globalVariable = "\x61\xdf\xe4\x8b\xca\x93\xd2\x11\xaa\x0d\x00\xe0\x98\x03\x2b\x8c"

// variable returns what a UEFI_VARIABLE_DATA says of a global variable.
func variable(data []byte, name string) (contents []byte, is bool) {
	head, _ := variableHead(data)
	if len(head) != variableName+2*len(name) || string(head[:16]) != globalVariable {
		return nil, false
	}
	for i := range len(name) {
		if head[variableName+2*i] != name[i] || head[variableName+2*i+1] != 0 {
			return nil, false
		}
	}
	return data[len(head):], true
}

// variableName is where the name begins.
const variableName = 32

// variableHead reads a UEFI_VARIABLE_DATA (PFP, section 10.2.6), little-endian:
// GUID [16] ‖ characters of the name [8] ‖ bytes [8] ‖ name in UTF-16 ‖ contents.
// It returns what comes before the contents.
func variableHead(data []byte) (head []byte, ok bool) {
	const fixed = 32
	if len(data) < fixed {
		return nil, false
	}
	chars, n := binary.LittleEndian.Uint64(data[16:]), binary.LittleEndian.Uint64(data[24:])
	rest := uint64(len(data) - fixed)
	if chars > rest/2 || n != rest-2*chars {
		return nil, false
	}
	return data[:fixed+2*chars], true
}
