// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tdx_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/section"
	"github.com/sotto-chat/sotto/attest/tdx/tdxdata"
	. "github.com/sotto-chat/sotto/attest/tdx/tdxtest"
)

var everyStatus = map[string]any{"tcb_statuses": []string{
	"UpToDate", "SWHardeningNeeded", "ConfigurationNeeded", "ConfigurationAndSWHardeningNeeded", "OutOfDate",
	"OutOfDateConfigurationNeeded", "TDRelaunchAdvised", "TDRelaunchAdvisedConfigurationNeeded"}}

// TestStatus follows Intel's rules: which level counts, and how the parts join.
func TestStatus(t *testing.T) {
	level := func(i int, status string) func(m *Machine) {
		return func(m *Machine) { m.TCBInfo.Levels[i].Status = status }
	}
	module := func(m *Machine, status string) {
		m.TCBInfo.Modules[1].Levels[0].Status = status
		m.TCBInfo.Modules[1].Levels[0].Advisories = []string{"INTEL-SA-7"}
	}
	both := func(platform, mod string) func(m *Machine) {
		return func(m *Machine) { m.TCBInfo.Levels[0].Status = platform; module(m, mod) }
	}
	qe := func(platform, enclave string) func(m *Machine) {
		return func(m *Machine) { m.TCBInfo.Levels[0].Status, m.QEIdentity.Levels[0].Status = platform, enclave }
	}
	// relaunch is a machine that was started by an old module, and now runs on a new one.
	relaunch := func(f func(m *Machine)) func(m *Machine) {
		return func(m *Machine) {
			td15(m)
			m.Body.TEETCBSVN = [16]byte{5, 1, 7}
			f(m)
		}
	}
	as := func(m *Machine) {}
	const oldOne = ", TDX module OutOfDate"
	for _, c := range []struct {
		name string
		f    func(m *Machine)
		want string
	}{
		{"up to date", as, "UpToDate"},
		{"software", level(0, "SWHardeningNeeded"), "SWHardeningNeeded"},
		{"configuration", level(0, "ConfigurationNeeded"), "ConfigurationNeeded"},
		{"configuration and software", level(0, "ConfigurationAndSWHardeningNeeded"), "ConfigurationAndSWHardeningNeeded"},
		{"old and configuration", level(0, "OutOfDateConfigurationNeeded"), "OutOfDateConfigurationNeeded"},
		{"old", level(0, "OutOfDate"), "OutOfDate"},
		{"withdrawn", level(0, "Revoked"), "Revoked"},

		{"below the first level, by an SGX part", func(m *Machine) { m.SVN[1]-- }, "OutOfDate, INTEL-SA-00837 INTEL-SA-00960"},
		{"below the first level, by the last SGX part", func(m *Machine) { m.TCBInfo.Levels[0].TCB.SGX[15].SVN = 1 }, "OutOfDate, INTEL-SA-00837 INTEL-SA-00960"},
		{"below the first level, by PCE", func(m *Machine) { m.PCESVN = 10 }, "OutOfDate, INTEL-SA-00837 INTEL-SA-00960"},
		{"below the first level, by a TDX part", func(m *Machine) { m.Body.TEETCBSVN[2] = 6 }, "OutOfDate, INTEL-SA-00837 INTEL-SA-00960"},
		{"below the first level, by the last TDX part", func(m *Machine) { m.TCBInfo.Levels[0].TCB.TDX[15].SVN = 1 }, "OutOfDate, INTEL-SA-00837 INTEL-SA-00960"},
		{"at the second level", func(m *Machine) { m.SVN[1], m.PCESVN, m.Body.TEETCBSVN[2] = 5, 5, 5 }, "OutOfDate, INTEL-SA-00837 INTEL-SA-00960"},
		{"below all by an SGX part", func(m *Machine) { m.SVN[1] = 4 }, "Unknown"},
		{"below all by PCE", func(m *Machine) { m.PCESVN = 4 }, "Unknown"},
		{"below all by a TDX part", func(m *Machine) { m.Body.TEETCBSVN[2] = 4 }, "Unknown"},
		{"the first level that fits counts", func(m *Machine) { m.TCBInfo.Levels[0], m.TCBInfo.Levels[1] = m.TCBInfo.Levels[1], m.TCBInfo.Levels[0] }, "OutOfDate, INTEL-SA-00837 INTEL-SA-00960"},
		// The first two parts of a module with levels of its own don't count for the platform.
		{"module's parts don't count twice", func(m *Machine) {
			m.TCBInfo.Levels[0].TCB.TDX[0].SVN, m.TCBInfo.Levels[0].TCB.TDX[1].SVN = 200, 200
		}, "UpToDate"},
		{"an old module's parts count", func(m *Machine) { m.Body.TEETCBSVN = [16]byte{5, 0, 7}; m.TCBInfo.Levels[0].TCB.TDX[1].SVN = 0 }, "OutOfDate, INTEL-SA-00837 INTEL-SA-00960"},
		{"an old module's second part counts", func(m *Machine) { m.Body.TEETCBSVN = [16]byte{6, 0, 7} }, "OutOfDate, INTEL-SA-00837 INTEL-SA-00960"},

		{"module old", func(m *Machine) { m.Body.TEETCBSVN[0] = 5 }, "OutOfDate" + oldOne + ", INTEL-SA-01036"},
		{"module at its second level", func(m *Machine) { m.Body.TEETCBSVN[0] = 4 }, "OutOfDate" + oldOne + ", INTEL-SA-01036"},
		{"module below all", func(m *Machine) { m.Body.TEETCBSVN[0] = 3 }, "Unknown, TDX module Unknown"},
		{"module of version 3", func(m *Machine) { m.Body.TEETCBSVN[0], m.Body.TEETCBSVN[1] = 3, 3 }, "UpToDate"},
		{"module of version 3, below all", func(m *Machine) { m.Body.TEETCBSVN[0], m.Body.TEETCBSVN[1] = 2, 3 }, "Unknown, TDX module Unknown"},
		{"module withdrawn", both("UpToDate", "Revoked"), "Revoked, TDX module Revoked, INTEL-SA-7"},
		{"module old, software", both("SWHardeningNeeded", "OutOfDate"), "OutOfDate" + oldOne + ", INTEL-SA-7"},
		{"module old, configuration", both("ConfigurationNeeded", "OutOfDate"), "OutOfDateConfigurationNeeded" + oldOne + ", INTEL-SA-7"},
		{"module old, both", both("ConfigurationAndSWHardeningNeeded", "OutOfDate"), "OutOfDateConfigurationNeeded" + oldOne + ", INTEL-SA-7"},
		{"module old, platform old", both("OutOfDate", "OutOfDate"), "OutOfDate" + oldOne + ", INTEL-SA-7"},
		{"module old, platform withdrawn", both("Revoked", "OutOfDate"), "Revoked" + oldOne + ", INTEL-SA-7"},
		{"module of a status that modules don't have", both("UpToDate", "SWHardeningNeeded"), "Unknown, TDX module SWHardeningNeeded, INTEL-SA-7"},

		{"enclave old", func(m *Machine) { m.Enclave.SVN = 5 }, "OutOfDate, quoting enclave OutOfDate, INTEL-SA-00999"},
		{"enclave below all", func(m *Machine) { m.Enclave.SVN = 3 }, "Unknown, quoting enclave Unknown"},
		{"enclave old, configuration", qe("ConfigurationNeeded", "OutOfDate"), "OutOfDateConfigurationNeeded, quoting enclave OutOfDate"},
		{"enclave withdrawn", qe("UpToDate", "Revoked"), "Revoked, quoting enclave Revoked"},
		{"enclave of a status that enclaves don't have", qe("UpToDate", "ConfigurationNeeded"), "Unknown, quoting enclave ConfigurationNeeded"},
		{"an advisory once", func(m *Machine) {
			m.TCBInfo.Levels[0].Advisories = []string{"INTEL-SA-7", "INTEL-SA-8"}
			module(m, "UpToDate")
		}, "UpToDate, INTEL-SA-7 INTEL-SA-8"},

		{"renewed", relaunch(as), "TDRelaunchAdvised" + oldOne + ", INTEL-SA-01036"},
		{"renewed to a later version", relaunch(func(m *Machine) { m.Body.TEETCBSVN2 = [16]byte{3, 3, 7} }), "TDRelaunchAdvised" + oldOne + ", INTEL-SA-01036"},
		{"renewed to a later version that is old", relaunch(func(m *Machine) { m.Body.TEETCBSVN2 = [16]byte{2, 3, 7} }), "OutOfDate" + oldOne + ", INTEL-SA-01036"},
		{"renewed to a version that isn't known", relaunch(func(m *Machine) { m.Body.TEETCBSVN2 = [16]byte{9, 2, 7} }), "Unknown" + oldOne + ", INTEL-SA-01036"},
		{"renewed to one without levels of its own", relaunch(func(m *Machine) { m.Body.TEETCBSVN2 = [16]byte{6, 0, 7} }), "TDRelaunchAdvised" + oldOne + ", INTEL-SA-01036"},
		{"renewed to one without levels of its own, old", relaunch(func(m *Machine) { m.Body.TEETCBSVN2 = [16]byte{5, 0, 7} }), "OutOfDate" + oldOne + ", INTEL-SA-01036"},
		{"not renewed enough", relaunch(func(m *Machine) { m.Body.TEETCBSVN2 = [16]byte{5, 1, 7} }), "OutOfDate" + oldOne + ", INTEL-SA-01036"},
		{"old microcode", relaunch(func(m *Machine) { m.Body.TEETCBSVN2[2] = 6 }), "OutOfDate" + oldOne + ", INTEL-SA-01036"},
		{"renewed, started with old microcode", relaunch(func(m *Machine) { m.Body.TEETCBSVN[2] = 6 }), "TDRelaunchAdvised" + oldOne + ", INTEL-SA-00837 INTEL-SA-00960 INTEL-SA-01036"},
		{"renewed, software", relaunch(level(0, "SWHardeningNeeded")), "TDRelaunchAdvised" + oldOne + ", INTEL-SA-01036"},
		{"renewed, configuration", relaunch(level(0, "ConfigurationNeeded")), "TDRelaunchAdvisedConfigurationNeeded" + oldOne + ", INTEL-SA-01036"},
		{"renewed, both", relaunch(level(0, "ConfigurationAndSWHardeningNeeded")), "TDRelaunchAdvisedConfigurationNeeded" + oldOne + ", INTEL-SA-01036"},
		{"renewed, configuration of the platform's level only", relaunch(func(m *Machine) {
			m.TCBInfo.Levels[0].Status = "ConfigurationNeeded"
			m.Body.TEETCBSVN[2] = 6
		}), "TDRelaunchAdvisedConfigurationNeeded" + oldOne + ", INTEL-SA-00837 INTEL-SA-00960 INTEL-SA-01036"},
		{"renewed, both of the platform's level only", relaunch(func(m *Machine) {
			m.TCBInfo.Levels[0].Status = "ConfigurationAndSWHardeningNeeded"
			m.Body.TEETCBSVN[2] = 6
		}), "TDRelaunchAdvisedConfigurationNeeded" + oldOne + ", INTEL-SA-00837 INTEL-SA-00960 INTEL-SA-01036"},
		{"renewed, configuration of the level that fits only", relaunch(func(m *Machine) {
			m.TCBInfo.Levels[1].Status = "OutOfDateConfigurationNeeded"
			m.Body.TEETCBSVN[2] = 6
		}), "TDRelaunchAdvisedConfigurationNeeded" + oldOne + ", INTEL-SA-00837 INTEL-SA-00960 INTEL-SA-01036"},
		{"renewed, platform old", relaunch(level(0, "OutOfDate")), "OutOfDate" + oldOne + ", INTEL-SA-01036"},
		{"renewed, platform withdrawn", relaunch(level(0, "Revoked")), "Revoked" + oldOne + ", INTEL-SA-01036"},
		{"renewed, platform's level withdrawn", relaunch(func(m *Machine) {
			m.TCBInfo.Levels[0].Status = "Revoked"
			m.Body.TEETCBSVN[2] = 6
		}), "OutOfDate" + oldOne + ", INTEL-SA-00837 INTEL-SA-00960 INTEL-SA-01036"},
		{"renewed, level that fits withdrawn", relaunch(func(m *Machine) {
			m.TCBInfo.Levels[1].Status = "Revoked"
			m.Body.TEETCBSVN[2] = 6
		}), "Revoked" + oldOne + ", INTEL-SA-00837 INTEL-SA-00960 INTEL-SA-01036"},
		{"renewed, enclave old", relaunch(func(m *Machine) { m.Enclave.SVN = 5 }), "OutOfDate" + oldOne + ", quoting enclave OutOfDate, INTEL-SA-00999 INTEL-SA-01036"},
		{"renewed, module was up to date", func(m *Machine) {
			td15(m)
			m.TCBInfo.Levels[0].Status = "OutOfDate"
		}, "OutOfDate"},
		{"renewed, module was up to date, microcode old", func(m *Machine) {
			td15(m)
			m.Body.TEETCBSVN[2] = 6
		}, "OutOfDate, INTEL-SA-00837 INTEL-SA-00960"},
		{"renewed, by a report of TDX 1.0", func(m *Machine) { v5(m); m.Body.TEETCBSVN[0] = 5 }, "OutOfDate" + oldOne + ", INTEL-SA-01036"},
	} {
		m := New(reportData)
		c.f(m)
		got := find(judge(t, m.Data(), everyStatus, Now), "chip.firmware")
		// Advisories stand in the order in which they were met.
		if sortWords(got.Found) != sortWords(c.want) {
			t.Errorf("%s: found %q, want %q", c.name, got.Found, c.want)
		}
		first, _, _ := strings.Cut(c.want, ",")
		want := map[string]string{"Unknown": attest.FailFirmwareOld, "Revoked": attest.FailRevoked}[first]
		if got.Failure != want {
			t.Errorf("%s: failure %q, want %q", c.name, got.Failure, want)
		}
	}
}

func sortWords(s string) string {
	head, list, ok := strings.Cut(s, ", INTEL")
	if !ok {
		return head
	}
	words := strings.Split("INTEL"+list, " ")
	for i := range words {
		for j := range i {
			if words[i] < words[j] {
				words[i], words[j] = words[j], words[i]
			}
		}
	}
	return head + ", " + strings.Join(words, " ")
}

// TestDocuments: Intel's documents have one form. Changes are made before
// signing, so that nothing else is wrong.
func TestDocuments(t *testing.T) {
	replace := func(from, to string) func([]byte) []byte {
		return func(b []byte) []byte {
			if !bytes.Contains(b, []byte(from)) {
				t.Fatalf("no %s in %s", from, b)
			}
			return bytes.Replace(b, []byte(from), []byte(to), 1)
		}
	}
	z48 := hex.EncodeToString(make([]byte, 48))
	many := `"INTEL-SA-1"` + strings.Repeat(`,"INTEL-SA-1"`, 255)
	for _, c := range []struct {
		doc, from, to string
		ok            bool
	}{
		{"tcbInfo", `"id":"TDX"`, `"id":"SGX"`, false},
		{"tcbInfo", `"version":3`, `"version":2`, false},
		{"tcbInfo", `"tcbType":0`, `"tcbType":1`, false},
		{"tcbInfo", `"tcbType":0,`, ``, false},
		{"tcbInfo", `"tcbEvaluationDataNumber":17,`, ``, false},
		{"tcbInfo", `"issueDate":"2027`, `"issueDate":"02027`, false},
		{"tcbInfo", `"issueDate":"2027-01-10T08:00:00Z",`, ``, false},
		{"tcbInfo", `"nextUpdate":"2027-02-09T08:00:00Z"`, `"nextUpdate":"2027-02-09T08:00:00+00:00"`, false},
		{"tcbInfo", `"nextUpdate":"2027-02-09`, `"nextUpdate":"2027-02-30`, false},
		{"tcbInfo", `"50806F000000"`, `"50806f000000"`, true},
		{"tcbInfo", `"50806F000000"`, `"50806F0000"`, false},
		{"tcbInfo", `"50806F000000"`, `"50806F00000G"`, false},
		{"tcbInfo", `"50806F000000"`, `"50806F0000000"`, false},
		{"tcbInfo", `"pceId":"0000"`, `"pceId":"000000"`, false},
		{"tcbInfo", `"mrsigner":"` + z48, `"mrsigner":"` + z48[2:], false},
		{"tcbInfo", `"attributes":"00`, `"attributes":"`, false},
		{"tcbInfo", `"attributesMask":"FF`, `"attributesMask":"`, false},
		{"tcbInfo", `"id":"TDX_01"`, `"id":"TDX_03"`, false},
		{"tcbInfo", `"id":"TDX_01"`, `"id":"TDX_0"`, false},
		{"tcbInfo", `"id":"TDX_01"`, `"id":"TDX_0101"`, false},
		{"tcbInfo", `"id":"TDX_03","mrsigner":"00`, `"id":"TDX_03","mrsigner":"`, false},
		{"tcbInfo", `{"tcb":{"isvsvn":3}`, `{"tcb":{}`, false},
		{"tcbInfo", `"isvsvn":3`, `"isvsvn":65536`, false},
		{"tcbInfo", `"isvsvn":3`, `"isvsvn":-1`, false},
		{"tcbInfo", `"svn":7`, `"svn":256`, false},
		{"tcbInfo", `"svn":7`, `"svn":7,"category":"BIOS","type":"Early Microcode Update"`, true},
		{"tcbInfo", `{"svn":7},`, ``, false},
		{"tcbInfo", `"tdxtcbcomponents":[{"svn":6},`, `"tdxtcbcomponents":[`, false},
		{"tcbInfo", `"pcesvn":11,`, ``, false},
		{"tcbInfo", `"pcesvn":11`, `"pcesvn":65536`, false},
		{"tcbInfo", `"tcbStatus":"OutOfDate"`, `"tcbStatus":"Fine"`, false},
		{"tcbInfo", `"tcbStatus":"OutOfDate","advisoryIDs":["INTEL-SA-00837"`, `"tcbStatus":"","advisoryIDs":["INTEL-SA-00837"`, false},
		{"tcbInfo", `"tcbStatus":"OutOfDate"`, `"tcbStatus":"Unknown"`, false},
		{"tcbInfo", `"tcbStatus":"OutOfDate"`, `"tcbStatus":"TDRelaunchAdvised"`, false},
		{"tcbInfo", `"INTEL-SA-01036"`, `"INTEL SA 01036"`, false},
		{"tcbInfo", `"INTEL-SA-01036"`, `""`, false},
		{"tcbInfo", `"INTEL-SA-00960"`, `"<b>"`, false},
		{"tcbInfo", `"INTEL-SA-00960"`, `"` + strings.Repeat("A", 32) + `"`, true},
		{"tcbInfo", `"INTEL-SA-00960"`, `"` + strings.Repeat("A", 33) + `"`, false},
		{"tcbInfo", `"INTEL-SA-00837","INTEL-SA-00960"`, many, true},
		{"tcbInfo", `"INTEL-SA-00837","INTEL-SA-00960"`, many + `,"A"`, false},
		{"tcbInfo", `"fmspc"`, `"new":[1],"fmspc"`, true},
		{"tcbInfo", `"fmspc":`, `"fmspc":x`, false},
		{"enclaveIdentity", `"id":"TD_QE"`, `"id":"QE"`, false},
		{"enclaveIdentity", `"version":2`, `"version":1`, false},
		{"enclaveIdentity", `"tcbEvaluationDataNumber":17,`, ``, false},
		{"enclaveIdentity", `"issueDate":"2027`, `"issueDate":"20`, false},
		{"enclaveIdentity", `"nextUpdate":"2027`, `"nextUpdate":"20`, false},
		{"enclaveIdentity", `"miscselect":"00`, `"miscselect":"`, false},
		{"enclaveIdentity", `"miscselectMask":"FF`, `"miscselectMask":"`, false},
		{"enclaveIdentity", `"attributes":"11`, `"attributes":"`, false},
		{"enclaveIdentity", `"attributesMask":"FB`, `"attributesMask":"`, false},
		{"enclaveIdentity", `"mrsigner":"`, `"mrsigner":"00`, false},
		{"enclaveIdentity", `"isvprodid":2,`, ``, false},
		{"enclaveIdentity", `"isvprodid":2`, `"isvprodid":65536`, false},
		{"enclaveIdentity", `{"tcb":{"isvsvn":6}`, `{"tcb":{}`, false},
		{"enclaveIdentity", `"isvsvn":6`, `"isvsvn":"6"`, false},
		{"enclaveIdentity", `"tcbStatus":"UpToDate"`, `"tcbStatus":"?"`, false},
		{"enclaveIdentity", `"mrsigner"`, `"new":{},"mrsigner"`, true},
	} {
		m := New(reportData)
		m.Bytes = at(c.doc, replace(c.from, c.to))
		got := failures(judge(t, m.Data(), nil, Now))
		if c.ok && got != nil || !c.ok && (len(got) != 2 || got[0] != "chip.report "+mal) {
			t.Errorf("%s: %s → %s: %v", c.doc, c.from, c.to, got)
		}
	}
	for name, f := range map[string]func(m *Machine){
		"no levels":             func(m *Machine) { m.TCBInfo.Levels = nil },
		"no levels of a module": func(m *Machine) { m.TCBInfo.Modules[0].Levels = nil },
		"no levels of a QE":     func(m *Machine) { m.QEIdentity.Levels = nil },
	} {
		m := New(reportData)
		f(m)
		if got := failures(judge(t, m.Data(), nil, Now)); len(got) != 2 || got[0] != "chip.report "+mal {
			t.Errorf("%s: %v", name, got)
		}
	}
	m := New(reportData)
	m.TCBInfo.Modules = nil
	m.Body.TEETCBSVN[1], m.TCBInfo.Levels[0].TCB.TDX = 0, Numbers([16]byte{6, 0, 7})
	if got := failures(judge(t, m.Data(), nil, Now)); got != nil {
		t.Errorf("no modules: %v", got)
	}
}

// TestOuterDocument: what is around the signed bytes has one form, too.
func TestOuterDocument(t *testing.T) {
	m := New(reportData)
	doc := string(m.Document("tcbInfo"))
	body := doc[len(`{"tcbInfo":`):strings.LastIndex(doc, `,"signature"`)]
	sign := doc[strings.LastIndex(doc, `"signature":"`)+len(`"signature":"`) : len(doc)-2]
	for _, c := range []struct {
		doc string
		ok  bool
	}{
		{doc, true},
		{strings.Replace(doc, sign, strings.ToUpper(sign), 1), true},
		{` ` + doc, false},
		{doc + "\n", false},
		{doc + doc, false},
		{`{"tcbInfo": ` + body + `,"signature":"` + sign + `"}`, true}, // but the signature is wrong
		{`{"TCBInfo":` + body + `,"signature":"` + sign + `"}`, false},
		{`{"tcbInfo":` + body + `, "signature":"` + sign + `"}`, false},
		{`{"tcbInfo":` + body + `,"signaturE":"` + sign + `"}`, false},
		{`{"tcbInfo":` + body + `,"signature":"` + sign[2:] + `"}`, false},
		{`{"tcbInfo":` + body + `,"signature":"zz` + sign[2:] + `"}`, false},
		{`{"tcbInfo":` + body + `,"signature":"` + sign + `"]`, false},
		{`{"tcbInfo":` + body + `,"signature":"` + sign + `" `, false},
		{`{"signature":"` + sign + `","tcbInfo":` + body + `}`, false},
		{`{"tcbInfo":` + `,"signature":"` + sign + `"}`, false},
		{`{"tcbInfo":1` + `,"signature":"` + sign + `"}`, false},
		{`{"tcbInfo":` + body + body + `,"signature":"` + sign + `"}`, false},
		{`{`, false},
		{`{"tcbInfo":`, false},
	} {
		data := section.Append(nil, tdxdata.KindQuote, m.Quote())
		data = section.Append(data, tdxdata.KindCertificate, m.DER(Signing))
		data = section.Append(data, tdxdata.KindTCBInfo, []byte(c.doc))
		got := failures(judge(t, data, nil, Now))
		if malformed := got[0] == "chip.report "+mal; malformed == c.ok {
			t.Errorf("%s: %v", c.doc, got)
		}
	}
}
