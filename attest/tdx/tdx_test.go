// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tdx_test

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/section"
	"github.com/sotto-chat/sotto/attest/tcg"
	"github.com/sotto-chat/sotto/attest/tcg/tcgtest"
	"github.com/sotto-chat/sotto/attest/tdx"
	"github.com/sotto-chat/sotto/attest/tdx/tdxdata"
	. "github.com/sotto-chat/sotto/attest/tdx/tdxtest"
)

var reportData = [64]byte{1, 2, 3}

// judge has evidence judged by rules, given as JSON or a map, at a time.
func judge(t testing.TB, data []byte, rules any, now int64) attest.Appraisal {
	t.Helper()
	p := attest.Policy{}
	if rules != nil {
		b, err := json.Marshal(rules)
		if err != nil {
			t.Fatal(err)
		}
		p.Platforms = map[string]json.RawMessage{tdx.Name: b}
	}
	return tdx.Platform{Roots: Roots()}.Verify(data, attest.Claim{ReportData: reportData}, p, time.Unix(now, 0))
}

// failures lists the parts that failed, as "id failure".
func failures(a attest.Appraisal) (out []string) {
	for _, c := range a.Checks {
		if c.Status == attest.StatusFail {
			out = append(out, c.ID+" "+c.Failure)
		}
	}
	return out
}

func find(a attest.Appraisal, id string) attest.Check {
	for _, c := range a.Checks {
		if c.ID == id {
			return c
		}
	}
	return attest.Check{}
}

func v5(m *Machine) { m.Version = 5 }

func td15(m *Machine) { m.Version, m.TD15 = 5, true }

func TestGenuine(t *testing.T) {
	for name, change := range map[string]func(m *Machine){
		"version 4":          func(*Machine) {},
		"version 5, TDX 1.0": v5,
		"version 5, TDX 1.5": td15,
		"old module": func(m *Machine) {
			m.Body.TEETCBSVN = [16]byte{6, 0, 7}
			m.TCBInfo.Levels[0].TCB.TDX = Numbers([16]byte{6, 0, 7})
		},
		"one package":       func(m *Machine) { m.NoInstance = true },
		"another CA":        func(m *Machine) { m.Certificate = rename(CA, "Intel SGX PCK Processor CA") },
		"all newer":         func(m *Machine) { m.Body.TEETCBSVN[2], m.SVN[0], m.PCESVN, m.Enclave.SVN = 9, 200, 400, 99 },
		"no auth data":      func(m *Machine) { m.QEAuth = nil },
		"a zero after":      func(m *Machine) { m.Bytes = at("certificates", func(b []byte) []byte { return append(b, 0) }) },
		"harmless settings": func(m *Machine) { m.Body.Attributes[3] = 0x50 },
		"no settings":       func(m *Machine) { m.Body.Attributes[3] = 0 },
		"all features":      func(m *Machine) { m.Body.XFAM = [8]byte{0xe7, 0xdb, 6} },
		"few features":      func(m *Machine) { m.Body.XFAM = [8]byte{3} },
		"a masked bit":      func(m *Machine) { m.Enclave.Attributes[8] = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			m := New(reportData)
			change(m)
			a := judge(t, m.Data(), m.Policy(), Now)
			if got := failures(a); got != nil {
				t.Fatalf("%v", got)
			}
			want := hex.EncodeToString(m.Instance[:])
			if m.NoInstance {
				want = hex.EncodeToString(m.PPID[:])
			}
			if a.Chip != want || a.Demo {
				t.Errorf("chip %q, want %q", a.Chip, want)
			}
			for _, id := range []string{"chip.signature", "chip.chain", "chip.firmware", "chip.log", "software.measurement", "key.bound"} {
				if c := find(a, id); c.Status != attest.StatusOK {
					t.Errorf("%s: %+v", id, c)
				}
			}
		})
	}
}

// at makes a change to the bytes of one name.
func at(name string, f func([]byte) []byte) func(string, []byte) []byte {
	return func(n string, b []byte) []byte {
		if n == name {
			return f(bytes.Clone(b))
		}
		return b
	}
}

func rename(which, common string) func(string, *x509.Certificate) {
	return func(n string, c *x509.Certificate) {
		if n == which {
			c.Subject.CommonName = common
		}
	}
}

// set writes bytes at an offset.
func set(offset int, v ...byte) func([]byte) []byte {
	return func(b []byte) []byte {
		copy(b[offset:], v)
		return b
	}
}

const (
	mal = attest.FailEvidenceMalformed
	sig = attest.FailSignatureInvalid
	unt = attest.FailChainUntrusted
	rev = attest.FailRevoked
	mis = attest.FailCollateralMissing
	exp = attest.FailCollateralExpired
	old = attest.FailFirmwareOld
	pol = attest.FailPolicyMismatch
	sof = attest.FailSoftwareMismatch
)

// TestRules breaks one thing at a time: just the parts that are named must fail.
func TestRules(t *testing.T) {
	with := func(k string, v any) func(map[string]any) { return func(r map[string]any) { r[k] = v } }
	zero := hex.EncodeToString(make([]byte, 48))
	ones := strings.Repeat("11", 48)
	for _, c := range []struct {
		name  string
		m     func(m *Machine)
		rules func(r map[string]any)
		want  string // "id failure, …"; "" when all is right
	}{
		// Signatures.
		{"report changed", func(m *Machine) { m.Bytes = at("quote", set(240, 0xff)) }, nil, "chip.signature " + sig},
		{"header changed", func(m *Machine) { m.Bytes = at("quote", set(47, 0xff)) }, nil, "chip.signature " + sig},
		{"report signed by another key", func(m *Machine) { m.Signer["quote"] = PCK }, nil, "chip.signature " + sig},
		{"key that is no point", func(m *Machine) { m.Bytes = at("quote", set(632+4+64+5, 0, 0, 0, 0, 0, 0, 0, 0)) }, nil, "chip.signature " + sig + ", chip.attestation_key " + sig},
		{"enclave names another key", func(m *Machine) { m.Bytes = at("enclave", set(320, 1, 2, 3)) }, nil, "chip.attestation_key " + sig},
		{"enclave names more than the key", func(m *Machine) { m.Bytes = at("enclave", set(383, 1)) }, nil, "chip.attestation_key " + sig},
		{"enclave signed by another key", func(m *Machine) { m.Signer["enclave"] = CA }, nil, "chip.enclave_signature " + sig},

		// Certificates.
		{"another root", func(m *Machine) { m.Signer[Root], m.Signer[CA], m.Signer[Signing] = OtherRoot, OtherRoot, OtherRoot }, nil, "chip.chain " + unt + ", chip.tcb_info " + unt + ", chip.qe_identity " + unt},
		{"CA signed by another root", func(m *Machine) { m.Signer[CA] = OtherRoot }, nil, "chip.chain " + sig},
		{"machine signed by the root", func(m *Machine) { m.Signer[PCK] = Root }, nil, "chip.chain " + sig},
		{"certificate for another purpose", func(m *Machine) { m.Certificate = rename(PCK, "Intel SGX TCB Signing") }, nil, "chip.chain " + unt},
		{"CA for another purpose", func(m *Machine) { m.Certificate = rename(CA, "Intel SGX TDX CA") }, nil, "chip.chain " + unt},
		{"certificates in another order", func(m *Machine) {
			chain := m.Chain(PCK, Root, CA)
			m.Bytes = at("certificates", func([]byte) []byte { return chain })
		}, nil, "chip.chain " + unt},
		{"certificate ended", func(m *Machine) {
			m.Certificate = func(n string, c *x509.Certificate) {
				if n == PCK {
					c.NotAfter = time.Unix(Now-1, 0)
				}
			}
		}, nil, "chip.chain " + exp},

		// Revocation.
		{"machine revoked", func(m *Machine) { m.Lists[0].Revoked = []int64{5, Serial(PCK)} }, nil, "chip.revocation " + rev},
		{"CA revoked", func(m *Machine) { m.Lists[1].Revoked = []int64{Serial(CA)} }, nil, "chip.revocation " + rev},
		{"signer of documents revoked", func(m *Machine) { m.Lists[1].Revoked = []int64{Serial(Signing)} }, nil, "chip.tcb_info " + rev + ", chip.qe_identity " + rev},
		{"serial in the other list", func(m *Machine) { m.Lists[0].Revoked = []int64{Serial(CA), Serial(Signing)} }, nil, ""},
		{"CA's list missing", func(m *Machine) { m.Lists = m.Lists[1:] }, nil, "chip.revocation " + mis},
		{"root's list missing", func(m *Machine) { m.Lists = m.Lists[:1] }, nil, "chip.revocation " + mis + ", chip.tcb_info " + mis + ", chip.qe_identity " + mis},
		{"list ended", func(m *Machine) { m.Lists[0].NextUpdate = Now }, nil, "chip.revocation " + exp},
		{"list from the future", func(m *Machine) { m.Lists[0].ThisUpdate = Now + 1 }, nil, "chip.revocation " + exp},
		{"list signed by another", func(m *Machine) { m.Lists[0].Signer = Root }, nil, "chip.revocation " + sig},
		{"two lists, the second revokes", func(m *Machine) {
			l := m.Lists[0]
			l.Revoked = []int64{Serial(PCK)}
			m.Lists = append(m.Lists, l)
		}, nil, "chip.revocation " + rev},
		{"two lists, the second ended", func(m *Machine) {
			l := m.Lists[0]
			l.NextUpdate = Now - 1
			m.Lists = append(m.Lists, l)
		}, nil, "chip.revocation " + exp},

		// Documents.
		{"TCB info changed", func(m *Machine) { m.Signer["tcbInfo"] = PCK }, nil, "chip.tcb_info " + sig},
		{"QE identity changed", func(m *Machine) { m.Signer["enclaveIdentity"] = Root }, nil, "chip.qe_identity " + sig},
		{"documents signed for another purpose", func(m *Machine) { m.Certificate = rename(Signing, "Intel SGX PCK Certificate") }, nil, "chip.tcb_info " + unt + ", chip.qe_identity " + unt},
		{"signer of documents ended", func(m *Machine) {
			m.Certificate = func(n string, c *x509.Certificate) {
				if n == Signing {
					c.NotAfter = time.Unix(Now-1, 0)
				}
			}
		}, nil, "chip.tcb_info " + exp + ", chip.qe_identity " + exp},
		{"TCB info ended", func(m *Machine) { m.TCBInfo.Next = "2027-01-15T08:00:00Z" }, nil, "chip.tcb_info " + exp},
		{"TCB info ends", func(m *Machine) { m.TCBInfo.Next = "2027-01-15T08:00:01Z" }, nil, ""},
		{"TCB info begins", func(m *Machine) { m.TCBInfo.Issued = "2027-01-15T08:00:00Z" }, nil, ""},
		{"TCB info from the future", func(m *Machine) { m.TCBInfo.Issued = "2027-01-15T08:00:01Z" }, nil, "chip.tcb_info " + exp},
		{"QE identity ended", func(m *Machine) { m.QEIdentity.Next = "2027-01-15T07:00:00Z" }, nil, "chip.qe_identity " + exp},
		{"QE identity from the future", func(m *Machine) { m.QEIdentity.Issued = "2027-01-16T07:00:00Z" }, nil, "chip.qe_identity " + exp},
		{"TCB info of another model", func(m *Machine) { m.TCBInfo.FMSPC = "50806f000001" }, nil, "chip.tcb_info_model " + pol},
		{"TCB info of another PCE", func(m *Machine) { m.TCBInfo.PCEID = "0001" }, nil, "chip.tcb_info_model " + pol},
		{"documents old enough", nil, with("max_collateral_age", 864000), ""},
		{"documents too old", func(m *Machine) { m.Lists[1].ThisUpdate = Now - 86400 }, with("max_collateral_age", 431999), "chip.tcb_info " + exp + ", chip.qe_identity " + exp},
		{"documents just young enough", func(m *Machine) { m.Lists[1].ThisUpdate = Now - 86400 }, with("max_collateral_age", 432000), ""},
		{"list too old", func(m *Machine) { m.Lists[0].ThisUpdate = Now - 900000 }, with("max_collateral_age", 864000), "chip.revocation " + exp},
		{"enough attacks known", nil, with("min_evaluation_number", 17), ""},
		{"too few attacks known", nil, with("min_evaluation_number", 18), "chip.tcb_info " + exp + ", chip.qe_identity " + exp},
		{"TCB info knows too few", func(m *Machine) { m.TCBInfo.Evaluation = 16 }, with("min_evaluation_number", 17), "chip.tcb_info " + exp},

		// Who made what.
		{"module of another maker", func(m *Machine) { m.Body.MRSignerSEAM[47] = 1 }, nil, "chip.module " + pol},
		{"module with attributes", func(m *Machine) { m.Body.SEAMAttributes[0] = 1 }, nil, "chip.module " + pol},
		{"module with attributes that Intel's list has", func(m *Machine) {
			m.Body.SEAMAttributes[0], m.TCBInfo.Modules[1].Attributes = 1, "0100000000000000"
		}, nil, "chip.module " + pol},
		{"module whose attributes should be others", func(m *Machine) { m.TCBInfo.Modules[1].Attributes = "0100000000000000" }, nil, "chip.module " + pol},
		{"module with attributes outside the mask", func(m *Machine) {
			m.Body.SEAMAttributes[0], m.TCBInfo.Modules[1].Mask = 1, "00FFFFFFFFFFFFFF"
		}, nil, "chip.module " + pol},
		{"old module of another maker", func(m *Machine) {
			m.Body.TEETCBSVN[1], m.TCBInfo.Levels[0].TCB.TDX = 0, Numbers([16]byte{6, 0, 7})
			m.TCBInfo.Module.MRSigner = ones
		}, nil, "chip.module " + pol},
		{"module that the list doesn't know", func(m *Machine) { m.Body.TEETCBSVN[1] = 2 }, nil, "chip.module " + pol + ", chip.firmware " + old},
		{"enclave of another maker", func(m *Machine) { m.Enclave.MRSigner[0]++ }, nil, "chip.enclave " + pol},
		{"another enclave", func(m *Machine) { m.Enclave.ProdID = 1 }, nil, "chip.enclave " + pol},
		{"enclave under test", func(m *Machine) { m.Enclave.Attributes[0] |= 2 }, nil, "chip.enclave " + pol},
		{"enclave with extras", func(m *Machine) { m.Enclave.MiscSelect[3] = 1 }, nil, "chip.enclave " + pol},

		// Firmware; more in TestStatus.
		{"firmware old", func(m *Machine) { m.SVN[1] = 5 }, nil, "chip.firmware " + old},
		{"firmware old and accepted", func(m *Machine) { m.SVN[1] = 5 }, with("tcb_statuses", []string{"UpToDate", "OutOfDate"}), ""},
		{"new firmware not accepted", nil, with("tcb_statuses", []string{"SWHardeningNeeded"}), "chip.firmware " + old},
		{"firmware withdrawn", func(m *Machine) { m.TCBInfo.Levels[0].Status = "Revoked" }, nil, "chip.firmware " + rev},
		{"no advisories", nil, with("advisories", []string{}), ""},
		{"an advisory", func(m *Machine) { m.TCBInfo.Levels[0].Advisories = []string{"INTEL-SA-1"} }, nil, ""},
		{"an advisory that isn't accepted", func(m *Machine) { m.TCBInfo.Levels[0].Advisories = []string{"INTEL-SA-1", "INTEL-SA-2"} }, with("advisories", []string{"INTEL-SA-2"}), "chip.firmware " + old},
		{"an advisory that is accepted", func(m *Machine) { m.TCBInfo.Levels[0].Advisories = []string{"INTEL-SA-1"} }, with("advisories", []string{"INTEL-SA-1"}), ""},
		{"at the floor", nil, with("min_tcb_svn", "06010700000000000000000000000000"), ""},
		{"below the floor", nil, with("min_tcb_svn", "06010800000000000000000000000000"), "chip.tcb_svn " + old},
		{"a module that is accepted", nil, with("mrseam", []string{ones, strings.Repeat("01", 48)}), ""},
		{"a module that isn't accepted", nil, with("mrseam", []string{ones}), "chip.mrseam " + pol},

		// How it was started.
		{"debug", func(m *Machine) { m.Body.Attributes[0] = 1 }, nil, "chip.debug " + attest.FailDebugEnabled},
		{"profiling", func(m *Machine) { m.Body.Attributes[0] = 0x80 }, nil, "chip.debug " + attest.FailDebugEnabled},
		{"key locker", func(m *Machine) { m.Body.Attributes[3] |= 0x80 }, nil, "chip.attributes " + pol},
		{"key locker allowed", func(m *Machine) { m.Body.Attributes[3] |= 0x80 }, with("allow_attributes", []string{"kl"}), ""},
		{"performance counters", func(m *Machine) { m.Body.Attributes[7] = 0x80 }, nil, "chip.attributes " + pol},
		{"performance counters allowed", func(m *Machine) { m.Body.Attributes[7] = 0x80 }, with("allow_attributes", []string{"kl", "perfmon"}), ""},
		{"LASS", func(m *Machine) { m.Body.Attributes[3] |= 8 }, nil, "chip.attributes " + pol},
		{"a setting that isn't known", func(m *Machine) { m.Body.Attributes[4] = 1 }, with("allow_attributes", []string{"kl", "perfmon", "lass", "icssd", "tpa", "migratable"}), "chip.attributes " + pol},
		{"a setting that is asked for", nil, with("require_attributes", []string{"sept_ve_disable"}), ""},
		{"a setting that is missing", nil, with("require_attributes", []string{"sept_ve_disable", "perfmon"}), "chip.attributes " + pol},
		{"asked for is allowed", func(m *Machine) { m.Body.Attributes[7] = 0x80 }, with("require_attributes", []string{"perfmon"}), ""},
		{"migratable", func(m *Machine) { m.Body.Attributes[3] |= 0x20 }, nil, "chip.migration " + pol},
		{"migratable and allowed", func(m *Machine) { m.Body.Attributes[3] |= 0x20 }, with("allow_attributes", []string{"migratable"}), ""},
		{"a service", func(m *Machine) { td15(m); m.Body.MRServiceTD[0] = 1 }, nil, "chip.migration " + pol},
		{"a service that is accepted", func(m *Machine) { td15(m); m.Body.MRServiceTD = m.Body.MRSEAM }, with("mrservicetd", []string{strings.Repeat("01", 48)}), ""},
		{"no service where one is asked for", td15, with("mrservicetd", []string{strings.Repeat("01", 48)}), "chip.migration " + pol},
		{"no word of a service where one is asked for", nil, with("mrservicetd", []string{ones}), "chip.migration " + pol},
		{"a service or none", nil, with("mrservicetd", []string{ones, zero}), ""},
		{"report of TDX 1.5 asked for", v5, with("require_td15", true), "chip.migration " + pol},
		{"report of TDX 1.5", td15, with("require_td15", true), ""},
		{"no x87", func(m *Machine) { m.Body.XFAM[0] &^= 1 }, nil, "chip.xfam " + pol},
		{"no SSE", func(m *Machine) { m.Body.XFAM[0] &^= 2 }, nil, "chip.xfam " + pol},
		{"a feature that isn't known", func(m *Machine) { m.Body.XFAM[0] |= 8 }, nil, "chip.xfam " + pol},
		{"a late feature that isn't known", func(m *Machine) { m.Body.XFAM[7] |= 0x80 }, nil, "chip.xfam " + pol},
		{"features that are asked for", nil, with("xfam", []string{"0300000000000000", "e71a060000000000"}), ""},
		{"features that aren't asked for", nil, with("xfam", []string{"0300000000000000"}), "chip.xfam " + pol},

		// Which machine.
		{"a model that is accepted", nil, with("fmspc", []string{"50806f000000"}), ""},
		{"a model that isn't accepted", nil, with("fmspc", []string{"50806f000001"}), "chip.model " + pol},
		{"a machine that is accepted", nil, with("chip_ids", []string{"01020300000000000000000000000000"}), ""},
		{"an instance that is accepted", nil, with("chip_ids", []string{"04050600000000000000000000000000"}), ""},
		{"a machine that isn't accepted", nil, with("chip_ids", []string{"04050600000000000000000000000001"}), "chip.id " + pol},
		{"no instance", func(m *Machine) { m.NoInstance = true }, with("chip_ids", []string{"04050600000000000000000000000000"}), "chip.id " + pol},

		// What it runs.
		{"another firmware", nil, with("mrtd", []string{ones}), "software.mrtd " + sof},
		{"another RTMR0", nil, with("rtmr0", []string{ones}), "software.rtmr0 " + sof},
		{"another RTMR1", nil, with("rtmr1", []string{ones, zero}), "software.rtmr1 " + sof},
		{"another RTMR2", nil, with("rtmr2", []string{ones}), "software.rtmr2 " + sof},
		{"another RTMR3", nil, with("rtmr3", []string{ones}), "software.rtmr3 " + sof},
		{"one of two", nil, with("rtmr3", []string{ones, zero}), ""},
		{"configuration", nil, with("mrconfigid", []string{ones, zero}), ""},
		{"another configuration", nil, with("mrconfigid", []string{ones}), "software.mrconfigid " + sof},
		{"another owner", nil, with("mrowner", []string{ones}), "software.mrowner " + sof},
		{"another owner's configuration", nil, with("mrownerconfig", []string{ones}), "software.mrownerconfig " + sof},
		{"log missing and not asked for", func(m *Machine) { m.Log = nil }, nil, ""},
		{"log missing", func(m *Machine) { m.Log = nil }, with("require_log", true), "chip.log " + mis},

		// The key.
		{"another key", func(m *Machine) { m.Body.ReportData[63] = 1 }, nil, "key.bound " + attest.FailKeyNotBound},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := New(reportData)
			if c.m != nil {
				c.m(m)
			}
			rules := m.Policy()
			if c.rules != nil {
				c.rules(rules)
			}
			a := judge(t, m.Data(), rules, Now)
			if got := strings.Join(failures(a), ", "); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if m := find(a, "software.measurement"); m.ID != "" && (strings.Contains(c.want, "software.mrtd") || strings.Contains(c.want, "software.rtmr")) {
				t.Errorf("a register is wrong, and yet %+v", m)
			}
			ids := map[string]bool{}
			for _, k := range a.Checks {
				if ids[k.ID] || k.Title == "" || k.Detail == "" || !strings.HasSuffix(k.Detail, ".") {
					t.Errorf("part %+v", k)
				}
				ids[k.ID] = true
			}
		})
	}
}

// TestRootUnderAnotherName: the root's own name counts, even where its key is
// the pinned one.
func TestRootUnderAnotherName(t *testing.T) {
	m := New(reportData)
	m.Certificate = rename(Root, "Intel Root")
	got := strings.Join(failures(judge(t, m.Data(), nil, Now)), ", ")
	if want := "chip.chain " + unt + ", chip.tcb_info " + unt + ", chip.qe_identity " + unt; got != want {
		t.Errorf("got %s", got)
	}
}

// TestIntelsRoot: a zero Platform doesn't trust the fake.
func TestIntelsRoot(t *testing.T) {
	a := tdx.Platform{}.Verify(New(reportData).Data(), attest.Claim{ReportData: reportData}, attest.Policy{}, time.Unix(Now, 0))
	if got := find(a, "chip.chain"); got.Failure != unt || got.Want != "Intel SGX Root CA a0af031289f5d5d4132f9186068a7fc13628633ba235777472e29b6b6c67a49e" ||
		!strings.HasPrefix(got.Found, "Intel SGX Root CA ") || strings.HasSuffix(got.Found, "67a49e") {
		t.Errorf("%+v", got)
	}
	if r := tdx.Roots(); len(r) != 1 || r[0].Name != "Intel SGX Root CA" || r[0].Key == [32]byte{} {
		t.Errorf("roots %v", r)
	}
}

// TestAll: with every rule there are these parts, in this order, and all are right.
func TestAll(t *testing.T) {
	m := New(reportData)
	td15(m)
	p := m.Policy()
	for k, v := range map[string]any{
		"events":       []tdx.EventRules{{Register: 3, Allow: []string{strings.Repeat("00", 48)}}},
		"mrconfigid":   []string{strings.Repeat("00", 48)},
		"tcb_statuses": []string{"UpToDate", "SWHardeningNeeded"}, "advisories": []string{}, "min_tcb_svn": strings.Repeat("00", 16),
		"mrseam": []string{strings.Repeat("01", 48)}, "require_td15": true, "xfam": []string{"e71a060000000000"},
		"fmspc": []string{"50806f000000"}, "chip_ids": []string{"04050600000000000000000000000000"},
	} {
		p[k] = v
	}
	a := judge(t, m.Data(), p, Now)
	var got []string
	for _, c := range a.Checks {
		got = append(got, c.ID)
		if c.Status != attest.StatusOK {
			t.Errorf("%+v", c)
		}
	}
	want := strings.Fields(`chip.report chip.signature chip.attestation_key chip.enclave_signature chip.chain chip.revocation
		chip.tcb_info chip.tcb_info_model chip.qe_identity chip.module chip.enclave chip.firmware chip.debug chip.attributes
		chip.migration chip.xfam chip.tcb_svn chip.mrseam chip.model chip.id chip.log software.measurement key.bound`)
	if !slices.Equal(got, want) {
		t.Errorf("parts %v", got)
	}
	if c := find(a, "chip.report"); c.Detail != "It is a report of version 5 of TDX 1.5." {
		t.Error(c.Detail)
	}
	if c := find(judge(t, New(reportData).Data(), nil, Now), "chip.report"); c.Detail != "It is a report of version 4 of TDX 1.0." {
		t.Error(c.Detail)
	}
	if c := find(a, "chip.attributes"); c.Detail != "Its settings are sept_ve_disable." {
		t.Error(c.Detail)
	}
	// What was wanted is said.
	m.SVN[1] = 5
	p["fmspc"] = []string{"000000000001", "000000000002"}
	a = judge(t, m.Data(), p, Now)
	if c := find(a, "chip.model"); c.Want != "000000000001 or 000000000002" || c.Found != "50806f000000" {
		t.Errorf("%+v", c)
	}
	if c := find(a, "chip.firmware"); c.Want != "UpToDate or SWHardeningNeeded" {
		t.Errorf("%+v", c)
	}
}

// TestSections: each section must be what it says.
func TestSections(t *testing.T) {
	m := New(reportData)
	quote := section.Append(nil, tdxdata.KindQuote, m.Quote())
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"an unknown kind": {section.Append(bytes.Clone(quote), 99, []byte("x")), "kind 99"},
		"a certificate":   {section.Append(bytes.Clone(quote), tdxdata.KindCertificate, []byte("x")), "certificate"},
		"a list":          {section.Append(bytes.Clone(quote), tdxdata.KindCRL, []byte("x")), "revocation list"},
		"a log":           {section.Append(bytes.Clone(quote), tdxdata.KindEventLog, []byte("x")), "cut off"},
		"a TCB info":      {section.Append(bytes.Clone(quote), tdxdata.KindTCBInfo, []byte("x")), "“tcbInfo” is not"},
		"an identity":     {section.Append(bytes.Clone(quote), tdxdata.KindQEIdentity, []byte("x")), "“enclaveIdentity” is not"},
		"an identity whose signature is no hex": {section.Append(bytes.Clone(quote), tdxdata.KindQEIdentity,
			bytes.Replace(m.Document("enclaveIdentity"), []byte(`"signature":"`), []byte(`"signature":"z`), 1)), "is not"},
		"a TCB info with nothing in it": {section.Append(bytes.Clone(quote), tdxdata.KindTCBInfo, []byte(`{"tcbInfo":,"signature":"`+strings.Repeat("0", 128)+`"}`)), "in which Intel serves it"},
	} {
		a := judge(t, c.data, nil, Now)
		if got := failures(a); len(got) != 2 || got[0] != "chip.report "+mal || !strings.Contains(a.Checks[0].Detail, c.want) {
			t.Errorf("%s: %v, %s", name, got, a.Checks[0].Detail)
		}
	}
	bad := m.Document("enclaveIdentity")
	i := bytes.LastIndex(bad, []byte(`"signature":"`)) + len(`"signature":"`)
	bad[i] = 'z'
	if got := failures(judge(t, section.Append(bytes.Clone(quote), tdxdata.KindQEIdentity, bad), nil, Now)); len(got) != 2 || got[0] != "chip.report "+mal {
		t.Errorf("%v", got)
	}
}

func TestMissingDocuments(t *testing.T) {
	m := New(reportData)
	data := section.Append(nil, tdxdata.KindQuote, m.Quote())
	got := strings.Join(failures(judge(t, data, nil, Now)), ", ")
	if want := "chip.revocation " + mis + ", chip.tcb_info " + mis + ", chip.qe_identity " + mis; got != want {
		t.Errorf("got %s", got)
	}
	// Without the signer's certificate nothing says who signed.
	data = section.Append(data, tdxdata.KindTCBInfo, m.Document("tcbInfo"))
	for _, l := range m.Lists {
		data = section.Append(data, tdxdata.KindCRL, m.CRL(l))
	}
	got = strings.Join(failures(judge(t, data, nil, Now)), ", ")
	if want := "chip.tcb_info " + sig + ", chip.qe_identity " + mis; got != want {
		t.Errorf("got %s", got)
	}
	a := judge(t, data, nil, Now)
	if c := find(a, "chip.module"); c.Status != attest.StatusOK {
		t.Errorf("module: %+v", c)
	}
	if c := find(a, "chip.firmware"); c.ID != "" {
		t.Errorf("firmware: %+v", c)
	}
}

// TestWithoutPolicy: the chip is judged, and nothing says what it runs.
func TestWithoutPolicy(t *testing.T) {
	m := New(reportData)
	a := judge(t, m.Data(), nil, Now)
	if got := failures(a); got != nil {
		t.Errorf("%v", got)
	}
	if c := find(a, "software.measurement"); c.Status != attest.StatusWarn || !strings.Contains(c.Found, "MRTD 0202") {
		t.Errorf("%+v", c)
	}
	for _, c := range a.Checks {
		if strings.HasPrefix(c.ID, "software.") && c.Status == attest.StatusOK {
			t.Errorf("proves the software: %+v", c)
		}
	}
	for _, id := range []string{"chip.model", "chip.id", "chip.mrseam", "chip.tcb_svn"} {
		if c := find(a, id); c.ID != "" {
			t.Errorf("nobody asked for %+v", c)
		}
	}
	for _, name := range []string{"mrtd", "rtmr0", "rtmr1", "rtmr2", "rtmr3"} {
		p := m.Policy()
		delete(p, name)
		a := judge(t, m.Data(), p, Now)
		c := find(a, "software.measurement")
		if got := failures(a); got != nil || c.Status != attest.StatusWarn || c.Found != "4 of 5" {
			t.Errorf("without a rule for %s: %v, %+v", name, got, c)
		}
	}
	// Nothing that a machine brings along itself, such as a log that fits, proves
	// that it runs what it should.
	half := m.Policy()
	delete(half, "rtmr3")
	for name, rules := range map[string]any{"no rules": nil, "4 of 5": half} {
		for _, c := range judge(t, m.Data(), rules, Now).Checks {
			if strings.HasPrefix(c.ID, "software.") && c.Status == attest.StatusOK {
				t.Errorf("%s: %+v proves the software", name, c)
			}
		}
	}
	// The log counts whenever it is there.
	m.Log = tcgtest.New(tcg.SHA384).Add(1, tcg.EvSeparator, []byte("?")).Bytes()
	if got := failures(judge(t, m.Data(), nil, Now)); !slices.Equal(got, []string{"chip.log " + sof}) {
		t.Errorf("with another log: %v", got)
	}
}

func TestVerdict(t *testing.T) {
	m := New(reportData)
	p := attest.Policy{}
	v := attest.Examine([]attest.Evidence{{Platform: tdx.Name, Data: m.Data()}}, &reportData, p, time.Unix(Now, 0), tdx.Platform{Roots: Roots()})
	if v.State != attest.StateGenuine || v.Chip != hex.EncodeToString(m.Instance[:]) {
		t.Errorf("state %s, failure %s, chip %s", v.State, v.Failure, v.Chip)
	}
	v = attest.Examine([]attest.Evidence{{Platform: tdx.Name, Data: []byte("?")}}, &reportData, p, time.Unix(Now, 0), tdx.Platform{Roots: Roots()})
	if v.State != attest.StateFailed || v.Failure != mal {
		t.Errorf("state %s, failure %s", v.State, v.Failure)
	}
}

func TestEvents(t *testing.T) {
	digest := func(s string) string { return hex.EncodeToString(tcgtest.Sum(tcg.SHA384, []byte(s))) }
	start := func() *tcgtest.Log {
		return tcgtest.New(tcg.SHA384).
			AddMeasured(2, tcg.EvBootServices, []byte("a path"), []byte("kernel")).
			Add(3, tcg.EvIPL, []byte("quiet")).
			Add(3, tcg.EvIPL, []byte("quiet")).
			AddMeasured(3, tcg.EvNoAction, nil, []byte("nothing"))
	}
	rule := func(register int, allow, require []string) tdx.EventRules {
		return tdx.EventRules{Register: register, Allow: allow, Require: require}
	}
	for _, c := range []struct {
		name   string
		log    *tcgtest.Log
		after  func(m *Machine)
		events []tdx.EventRules
		want   string
	}{
		{"allowed", start(), nil, []tdx.EventRules{rule(2, []string{digest("quiet"), digest("loud")}, nil)}, ""},
		{"required", start(), nil, []tdx.EventRules{rule(2, nil, []string{digest("quiet")})}, ""},
		{"two registers", start(), nil, []tdx.EventRules{rule(2, nil, []string{digest("quiet")}), rule(1, []string{digest("kernel")}, nil)}, ""},
		{"not allowed", start(), nil, []tdx.EventRules{rule(2, []string{digest("loud")}, nil)}, "software.rtmr2 " + sof},
		{"not there", start(), nil, []tdx.EventRules{rule(2, []string{digest("quiet")}, []string{digest("loud")})}, "software.rtmr2 " + sof},
		{"of another register", start(), nil, []tdx.EventRules{rule(1, []string{digest("quiet")}, nil)}, "software.rtmr1 " + sof},
		{"an action isn't measured", start(), nil, []tdx.EventRules{rule(2, []string{digest("quiet")}, []string{digest("nothing")})}, "software.rtmr2 " + sof},
		{"no log", start(), func(m *Machine) { m.Log = nil }, []tdx.EventRules{rule(2, []string{digest("quiet")}, nil)}, "chip.log " + mis},
		{"RTMR0 by events", start().Add(1, tcg.EvSeparator, []byte("0")), nil, []tdx.EventRules{rule(0, []string{digest("0")}, nil)}, ""},
		{"RTMR0 by other events", start().Add(1, tcg.EvSeparator, []byte("0")), nil, []tdx.EventRules{rule(0, []string{digest("1")}, nil)}, "software.rtmr0 " + sof},
		{"register without events", start(), nil, []tdx.EventRules{rule(3, []string{digest("quiet")}, nil)}, ""},
		{"register whose events aren't logged", start(), func(m *Machine) { m.Body.RTMR[3][0] = 1 }, []tdx.EventRules{rule(3, []string{digest("quiet")}, nil)}, "software.rtmr3 " + sof},
		{"register whose events aren't logged, without a rule", start(), func(m *Machine) { m.Body.RTMR[3][0] = 1 }, nil, ""},
		{"RTMR0 isn't logged", start(), func(m *Machine) { m.Body.RTMR[0][0] = 1 }, nil, "chip.log " + sof},
		{"RTMR1 is another", start(), func(m *Machine) { m.Body.RTMR[1][0]++ }, nil, "chip.log " + sof},
		{"RTMR3 is another", start().Add(4, tcg.EvIPL, []byte("x")), func(m *Machine) { m.Body.RTMR[3][0]++ }, nil, "chip.log " + sof},
		{"RTMR3 is logged", start().Add(4, tcg.EvIPL, []byte("x")), nil, []tdx.EventRules{rule(3, []string{digest("x")}, nil)}, ""},
		{"the firmware has no events", start().Add(0, tcg.EvIPL, []byte("x")), nil, nil, "chip.log " + sof},
		{"no such register", start().Add(5, tcg.EvIPL, []byte("x")), nil, nil, "chip.log " + sof},
		{"data of a changed event", start().AddMeasured(1, tcg.EvSeparator, []byte("a"), []byte("b")), nil, nil, "chip.log " + sof},
		{"data of an image", start().AddMeasured(1, tcg.EvBootServices, []byte("a"), []byte("b")), nil, nil, ""},
		{"another kind of digest", tcgtest.New(tcg.SHA256), func(m *Machine) { m.Body.RTMR = [4][48]byte{} }, nil, "chip.log " + sof},
	} {
		m := New(reportData)
		m.Body.RTMR = [4][48]byte{}
		if c.log.Algorithms[0] == tcg.SHA384 {
			m.SetLog(c.log.Bytes())
		} else {
			m.Log = c.log.Bytes()
		}
		rules := map[string]any{}
		if c.events != nil {
			rules["events"] = c.events
		}
		if c.after != nil {
			c.after(m)
		}
		if got := strings.Join(failures(judge(t, m.Data(), rules, Now)), ", "); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
	// Registers that are pinned by events count as pinned, and only if the log holds.
	m := New(reportData)
	m.Body.RTMR = [4][48]byte{}
	m.SetLog(start().Bytes())
	p := m.Policy()
	delete(p, "rtmr2")
	p["events"] = []tdx.EventRules{rule(2, []string{digest("quiet")}, nil)}
	if c := find(judge(t, m.Data(), p, Now), "software.measurement"); c.Status != attest.StatusOK {
		t.Errorf("%+v", c)
	}
	p["rtmr1"] = []string{digest("?")}
	if c := find(judge(t, m.Data(), p, Now), "software.measurement"); c.ID != "" {
		t.Errorf("with a wrong register before: %+v", c)
	}
	p["rtmr1"] = m.Policy()["rtmr1"]
	m.Log = nil
	if c := find(judge(t, m.Data(), p, Now), "software.measurement"); c.ID != "" {
		t.Errorf("without a log: %+v", c)
	}
	// Both a value and events: both count.
	m.SetLog(start().Bytes())
	p = m.Policy()
	p["events"] = []tdx.EventRules{rule(2, []string{digest("loud")}, nil)}
	if got := failures(judge(t, m.Data(), p, Now)); !slices.Equal(got, []string{"software.rtmr2 " + sof}) {
		t.Errorf("%v", got)
	}
}

func TestPolicyMalformed(t *testing.T) {
	m := New(reportData)
	data := m.Data()
	h48 := strings.Repeat("00", 48)
	for _, rules := range []string{
		`{"mrtd":[]}`, `{"mrtd":["00"]}`, `{"mrtd":["` + h48[2:] + `zz"]}`, `{"rtmr0":[]}`, `{"rtmr1":[]}`, `{"rtmr2":[]}`, `{"rtmr3":[]}`,
		`{"mrconfigid":[]}`, `{"mrowner":[]}`, `{"mrownerconfig":[]}`, `{"mrservicetd":[]}`, `{"mrseam":[]}`, `{"xfam":["00"]}`, `{"fmspc":["00"]}`, `{"chip_ids":["00"]}`,
		`{"tcb_statuses":[]}`, `{"tcb_statuses":["Fine"]}`, `{"tcb_statuses":["Unknown"]}`, `{"tcb_statuses":["Revoked"]}`, `{"min_tcb_svn":"00"}`,
		`{"min_evaluation_number":-1}`, `{"max_collateral_age":-1}`,
		`{"allow_attributes":[]}`, `{"require_attributes":[]}`, `{"allow_attributes":["debug"]}`, `{"require_attributes":["?"]}`,
		`{"events":[{"register":4,"allow":["` + h48 + `"]}]}`, `{"events":[{"register":-1,"allow":["` + h48 + `"]}]}`, `{"events":[{"register":1}]}`,
		`{"events":[{"register":1,"allow":["00"]}]}`, `{"events":[{"register":1,"require":["00"]}]}`,
		`{"events":[{"register":1,"allow":["` + h48 + `"]},{"register":1,"allow":["` + h48 + `"]}]}`,
		`{"fmspc":["50806f0000000"]}`, `{"unknown":1}`, `{} {}`, `[]`,
	} {
		p := attest.Policy{Platforms: map[string]json.RawMessage{tdx.Name: json.RawMessage(rules)}}
		a := tdx.Platform{Roots: Roots()}.Verify(data, attest.Claim{ReportData: reportData}, p, time.Unix(Now, 0))
		if got := failures(a); !slices.Equal(got, []string{"chip.policy " + attest.FailPolicyMalformed}) {
			t.Errorf("%s: %v", rules, got)
		}
		if c := find(a, "software.measurement"); c.ID != "" {
			t.Errorf("%s: %+v", rules, c)
		}
	}
	for _, rules := range []string{`{}`, `{"min_evaluation_number":0}`, `{"tcb_statuses":["UpToDate","TDRelaunchAdvised"]}`, `{"advisories":[]}`} {
		p := attest.Policy{Platforms: map[string]json.RawMessage{tdx.Name: json.RawMessage(rules)}}
		a := tdx.Platform{Roots: Roots()}.Verify(data, attest.Claim{ReportData: reportData}, p, time.Unix(Now, 0))
		if got := failures(a); got != nil {
			t.Errorf("%s: %v", rules, got)
		}
	}
}

func TestQuoteRefused(t *testing.T) {
	le := binary.LittleEndian
	m := New(reportData)
	q := m.Quote()
	m15 := New(reportData)
	td15(m15)
	q15 := m15.Quote()
	m5 := New(reportData)
	v5(m5)
	q5 := m5.Quote()
	with := func(q []byte, f func([]byte) []byte) []byte { return f(bytes.Clone(q)) }
	u32 := func(offset int, delta int) func([]byte) []byte {
		return func(b []byte) []byte {
			le.PutUint32(b[offset:], uint32(int(le.Uint32(b[offset:]))+delta))
			return b
		}
	}
	chain := func(names ...string) []byte {
		m := New(reportData)
		c := m.Chain(names...)
		m.Bytes = at("certificates", func([]byte) []byte { return c })
		return m.Quote()
	}
	ext := func(f func([]byte) []byte) []byte {
		m := New(reportData)
		m.Bytes = at("SGX", f)
		return m.Quote()
	}
	const sigAt, certAt = 632, 632 + 4 + 128
	const authAt = certAt + 6 + 384 + 64
	innerAt := authAt + 2 + len(m.QEAuth)
	for name, c := range map[string]struct {
		quote []byte
		want  string
	}{
		"header cut":                    {q[:47], "cut off"},
		"version 3":                     {with(q, set(0, 3)), "version"},
		"version 6":                     {with(q15, set(0, 6)), "version"},
		"SGX":                           {with(q, set(4, 0)), "TDX"},
		"another kind of key":           {with(q, set(2, 3)), "kind of key"},
		"another maker's enclave":       {with(q, set(27, 8)), "quoting enclave"},
		"body cut":                      {q[:600], "cut off"},
		"length cut":                    {q[:634], "cut off"},
		"a byte after":                  {append(bytes.Clone(q), 0), "cut off"},
		"signature data longer":         {with(q, u32(sigAt, 1)), "cut off"},
		"signature data shorter":        {with(q, u32(sigAt, -1)), "cut off"},
		"signature data only":           {with(q[:sigAt+4+10], u32(sigAt, -(len(q)-sigAt-4-10))), "cut off"},
		"certification of another type": {with(q, set(certAt, 5)), "cut off"},
		"certification longer":          {with(q, u32(certAt+2, 1)), "cut off"},
		"certification shorter":         {with(q, u32(certAt+2, -1)), "cut off"},
		"auth data too long":            {with(q, set(authAt, 0xff, 0xff)), "cut off"},
		"chain of another type":         {with(q, set(innerAt, 4)), "cut off"},
		"chain longer":                  {with(q, u32(innerAt+2, 1)), "cut off"},
		"chain shorter":                 {with(q, u32(innerAt+2, -1)), "cut off"},
		"body of another type":          {with(q15, set(48, 4)), "kind of report"},
		"SGX body":                      {with(q5, set(48, 1)), "kind of report"},
		"body of another size":          {with(q15, set(50, 0x89)), "kind of report"},
		"1.0 said to be 1.5":            {with(q5, set(48, 3)), "kind of report"},
		"1.5 said to be 1.0":            {with(q15, set(48, 2)), "kind of report"},
		"body head cut":                 {q15[:52], "kind of report"},
		"no certificates":               {chain(), "three certificates"},
		"two certificates":              {chain(PCK, CA), "three certificates"},
		"four certificates":             {chain(PCK, CA, Root, Root), "RFC 7468"},
		"no certificate of a machine":   {chain(CA, PCK, Root), "machine's key"},
		"extension cut":                 {ext(func(b []byte) []byte { return b[:len(b)-1] }), "machine's key"},
		"extension and more":            {ext(func(b []byte) []byte { return append(b, 5, 0) }), "machine's key"},
		"no extension":                  {ext(func(b []byte) []byte { return []byte{0x30, 0} }), "machine's key"},
		"not a list":                    {ext(func(b []byte) []byte { return []byte{0x30, 2, 5, 0} }), "machine's key"},
	} {
		a := judge(t, section.Append(nil, tdxdata.KindQuote, c.quote), nil, Now)
		got := failures(a)
		if !slices.Equal(got, []string{"chip.report " + mal, "key.bound " + mal}) || !strings.Contains(a.Checks[0].Detail, c.want) {
			t.Errorf("%s: %v, %s", name, got, a.Checks[0].Detail)
		}
	}
}

// TestExtension: each part of Intel's extension has one form.
func TestExtension(t *testing.T) {
	id := func(parts ...int) asn1.ObjectIdentifier {
		return append(asn1.ObjectIdentifier{1, 2, 840, 113741, 1, 13, 1}, parts...)
	}
	encode := func(parts []Part) []byte {
		b, err := asn1.Marshal(parts)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	svns := func(f func([]Part) []Part) func([]Part) []Part {
		return func(p []Part) []Part {
			p[1].Value = f(slices.Clone(p[1].Value.([]Part)))
			return p
		}
	}
	for _, c := range []struct {
		name string
		f    func([]Part) []Part
		ok   bool
	}{
		{"as it is", func(p []Part) []Part { return p }, true},
		{"another order", func(p []Part) []Part { slices.Reverse(p); return p }, true},
		{"a part that isn't known", func(p []Part) []Part { return append(p, Part{ID: id(9), Value: 5}) }, true},
		{"a level of 255", svns(func(p []Part) []Part { p[3].Value = 255; return p }), true},
		{"a PCE of 65535", svns(func(p []Part) []Part { p[16].Value = 65535; return p }), true},
		{"without PPID", func(p []Part) []Part { return p[1:] }, false},
		{"without levels", func(p []Part) []Part { return slices.Delete(p, 1, 2) }, false},
		{"without PCEID", func(p []Part) []Part { return slices.Delete(p, 2, 3) }, false},
		{"without FMSPC", func(p []Part) []Part { return slices.Delete(p, 3, 4) }, false},
		{"PPID twice", func(p []Part) []Part { return append(p, p[0]) }, false},
		{"instance twice", func(p []Part) []Part { return append(p, p[5]) }, false},
		{"short PPID", func(p []Part) []Part { p[0].Value = make([]byte, 15); return p }, false},
		{"long PCEID", func(p []Part) []Part { p[2].Value = make([]byte, 3); return p }, false},
		{"short FMSPC", func(p []Part) []Part { p[3].Value = make([]byte, 5); return p }, false},
		{"empty instance", func(p []Part) []Part { p[5].Value = []byte{}; return p }, false},
		{"PPID of another type", func(p []Part) []Part { p[0].Value = 7; return p }, false},
		{"levels of another type", func(p []Part) []Part { p[1].Value = 7; return p }, false},
		{"a level missing", svns(func(p []Part) []Part { return slices.Delete(p, 4, 5) }), false},
		{"PCE missing", svns(func(p []Part) []Part { return slices.Delete(p, 16, 17) }), false},
		{"a level of 256", svns(func(p []Part) []Part { p[3].Value = 256; return p }), false},
		{"a level below zero", svns(func(p []Part) []Part { p[3].Value = -1; return p }), false},
		{"a PCE of 65536", svns(func(p []Part) []Part { p[16].Value = 65536; return p }), false},
		{"a huge PCE", svns(func(p []Part) []Part { p[16].Value = 1 << 40; return p }), false},
		{"a level of another type", svns(func(p []Part) []Part { p[3].Value = []byte{1}; return p }), false},
	} {
		m := New(reportData)
		value := encode(c.f(m.Parts()))
		m.Bytes = at("SGX", func([]byte) []byte { return value })
		got := failures(judge(t, section.Append(nil, tdxdata.KindQuote, m.Quote()), nil, Now))
		if malformed := slices.Contains(got, "chip.report "+mal); malformed == c.ok {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	// An element is an id and a value, and nothing more.
	whole := func(change func(list []any) []any) []byte {
		m := New(reportData)
		var list []any
		for _, p := range m.Parts() {
			list = append(list, p)
		}
		b, err := asn1.Marshal(change(list))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	ppid := make([]byte, 16)
	for name, value := range map[string][]byte{
		"PPID and more":        whole(func(l []any) []any { l[0] = []any{id(1), ppid, 5}; return l }),
		"PPID without a value": whole(func(l []any) []any { l[0] = []any{id(1)}; return l }),
		"levels and more":      whole(func(l []any) []any { l[1] = []any{id(2), l[1].(Part).Value, 5}; return l }),
		"a level and more": whole(func(l []any) []any {
			var levels []any
			for _, p := range l[1].(Part).Value.([]Part) {
				levels = append(levels, p)
			}
			levels[2] = []any{id(2, 3), 2, 5}
			l[1] = Part{ID: id(2), Value: levels}
			return l
		}),
		"an element without an id": whole(func(l []any) []any { return append(l, []any{5, 5}) }),
		"an empty element":         whole(func(l []any) []any { return append(l, []any{}) }),
		"no element":               whole(func(l []any) []any { return append(l, 5) }),
		"not a list":               {4, 0},
		"nothing":                  {},
	} {
		m := New(reportData)
		m.Bytes = at("SGX", func([]byte) []byte { return value })
		if got := failures(judge(t, section.Append(nil, tdxdata.KindQuote, m.Quote()), nil, Now)); !slices.Contains(got, "chip.report "+mal) {
			t.Errorf("%s: %v", name, got)
		}
	}
	// A certificate without it is no machine's.
	m := New(reportData)
	m.Certificate = func(n string, c *x509.Certificate) {
		if n == PCK {
			c.ExtraExtensions = []pkix.Extension(nil)
		}
	}
	if got := failures(judge(t, section.Append(nil, tdxdata.KindQuote, m.Quote()), nil, Now)); !slices.Contains(got, "chip.report "+mal) {
		t.Errorf("no extension: %v", got)
	}
}
