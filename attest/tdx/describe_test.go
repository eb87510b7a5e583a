// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tdx_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/section"
	"github.com/sotto-chat/sotto/attest/tcg"
	"github.com/sotto-chat/sotto/attest/tcg/tcgtest"
	"github.com/sotto-chat/sotto/attest/tdx"
	"github.com/sotto-chat/sotto/attest/tdx/tdxdata"
	. "github.com/sotto-chat/sotto/attest/tdx/tdxtest"
)

// text writes fields one a line.
func text(fields []attest.Field) string {
	var b strings.Builder
	for _, f := range fields {
		b.WriteString(f.Name + "=" + f.Value + " | " + f.Meaning + "\n")
	}
	return b.String()
}

func TestDescribe(t *testing.T) {
	m := New(reportData)
	td15(m)
	m.Body.Attributes[0], m.Body.Attributes[7] = 5, 0x80
	m.Body.MRServiceTD[0], m.Body.MRSignerSEAM[0], m.Body.SEAMAttributes[0], m.Body.MROwner[0] = 1, 1, 1, 1
	m.SVN[1] = 5
	m.SetLog(tcgtest.New(tcg.SHA384).
		Add(1, tcg.EvIPL, []byte("q\x00u\x00i\x00e\x00t\x00~\n\xff")).
		AddMeasured(2, tcg.EvBootServices, []byte("a path"), []byte("kernel")).
		AddMeasured(2, tcg.EvSeparator, []byte("x"), []byte("y")).
		Add(3, tcg.EvIPL, bytes.Repeat([]byte("x"), 161)).
		AddMeasured(3, tcg.EvNoAction, []byte("spoken"), nil).Bytes())
	fields, err := tdx.Describe(m.Data())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range fields {
		if !strings.HasPrefix(f.Name, "TDATTRIBUTES.") {
			names = append(names, f.Name)
		}
	}
	if got, want := strings.Join(names, " "), "VERSION BODY_TYPE QE_VENDOR_ID TEE_TCB_SVN MRSEAM MRSIGNERSEAM SEAMATTRIBUTES TDATTRIBUTES XFAM "+
		"MRTD MRCONFIGID MROWNER MROWNERCONFIG RTMR0 RTMR1 RTMR2 RTMR3 REPORTDATA TEE_TCB_SVN_2 MRSERVICETD "+
		"QE.CPUSVN QE.MRENCLAVE QE.MRSIGNER QE.ATTRIBUTES QE.ISVPRODID QE.ISVSVN QE_AUTH_DATA CERTIFICATE CERTIFICATE CERTIFICATE "+
		"PCK.PPID PCK.PLATFORM_INSTANCE_ID PCK.FMSPC PCK.PCEID PCK.TCB PCK.PCESVN CERTIFICATE TCB_INFO QE_IDENTITY TCB_STATUS CRL CRL "+
		"EVENT 0 0x0000000d EVENT 1 0x80000003 EVENT 2 0x00000004 EVENT 3 0x0000000d EVENT 4 0x00000003"; got != want {
		t.Errorf("names %s", got)
	}
	got := text(fields)
	for _, want := range []string{
		"VERSION=5 |", "BODY_TYPE=TDX 1.5 |", "TEE_TCB_SVN=06010700000000000000000000000000 | firmware when the machine was started: TDX module 1.6, microcode 7",
		"MRSIGNERSEAM=0100", "somebody else's", "the module is one for tests",
		"TDATTRIBUTES=0500001000000080 | how the machine was started: debug, sept_ve_disable, perfmon, bit 2\n",
		"TDATTRIBUTES.DEBUG=true |", "TDATTRIBUTES.PERFMON=true |", "TDATTRIBUTES.MIGRATABLE=false |", "XFAM=e71a060000000000 |",
		"MROWNER=01", "what the host said of its owner\n", "what the host said of its configuration: nothing\n",
		"RTMR3=" + strings.Repeat("0", 96) + " | what the software measured by itself (nothing)",
		"REPORTDATA=010203", "TEE_TCB_SVN_2=0601", "MRSERVICETD=01", "other machines serve it",
		"QE.ISVSVN=6 |", "CERTIFICATE=Intel SGX PCK Certificate |", "CERTIFICATE=Intel SGX TCB Signing |", "number 0104",
		"PCK.PPID=010203", "PCK.PLATFORM_INSTANCE_ID=040506", "PCK.FMSPC=50806f000000 |", "PCK.PCESVN=11 |",
		"TCB_INFO=number 17 | for FMSPC 50806f000000, from 2027-01-10 08:00:00 UTC to 2027-02-09 08:00:00 UTC",
		"QE_IDENTITY=number 17 |", "TCB_STATUS=OutOfDate | INTEL-SA-00837 INTEL-SA-00960", "CRL=from 2027-01-14 08:00:00 UTC to 2027-01-16 08:00:00 UTC | revocation list",
		"EVENT 0 0x0000000d=quiet~.. | IPL, RTMR0, SHA-384 ", "EVENT 1 0x80000003=(unproved) a path | EFI_BOOT_SERVICES_APPLICATION, RTMR1",
		"EVENT 2 0x00000004=CHANGED: not what was measured |", "EVENT 3 0x0000000d=" + strings.Repeat("x", 160) + "… |",
		"EVENT 4 0x00000003=(unproved) spoken | NO_ACTION, extends nothing",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestDescribeQuote(t *testing.T) {
	m := New(reportData)
	m.NoInstance = true
	m.Body.Attributes[3] = 0
	q := m.Quote()
	fields, err := tdx.Describe(append(bytes.Clone(q), 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	got := text(fields)
	for _, want := range []string{"VERSION=4 |", "BODY_TYPE=TDX 1.0 |", "how the machine was started: none", "the module is Intel's", "the module is one for use"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q", want)
		}
	}
	for _, strange := range []string{"INSTANCE", "TCB_INFO", "QE_IDENTITY", "TCB_STATUS", "EVENT", "CRL", "SVN_2", "SERVICETD"} {
		if strings.Contains(got, strange) {
			t.Errorf("%s in a quote alone", strange)
		}
	}
	m = New(reportData)
	td15(m)
	if fields, err = tdx.Describe(m.Quote()); err != nil || !strings.Contains(text(fields), "no other machine serves it") {
		t.Errorf("version 5: %v", err)
	}
	for _, kind := range []byte{tdxdata.KindTCBInfo, tdxdata.KindQEIdentity} {
		doc := map[byte]string{tdxdata.KindTCBInfo: "tcbInfo", tdxdata.KindQEIdentity: "enclaveIdentity"}[kind]
		fields, err := tdx.Describe(section.Append(section.Append(nil, tdxdata.KindQuote, m.Quote()), kind, m.Document(doc)))
		if err != nil || strings.Contains(text(fields), "TCB_STATUS") {
			t.Errorf("%s alone: %v", doc, err)
		}
	}
	if _, err := tdx.Describe(append(bytes.Clone(q), "words"...)); err == nil || !strings.Contains(err.Error(), "padding") {
		t.Errorf("words after: %v", err)
	}
	for name, data := range map[string][]byte{"nothing": nil, "words": []byte("words"), "a cut quote": q[:700], "words after": append(bytes.Clone(q), "words"...), "a strange section": section.Append(nil, tdxdata.KindQuote, []byte{1})} {
		if fields, err := tdx.Describe(data); err == nil || fields != nil {
			t.Errorf("%s: %d fields", name, len(fields))
		}
	}
}

// FuzzVerify: any data gives an appraisal with a part about chip and key, the
// same each time, and only evidence of the fake's own passes.
func FuzzVerify(f *testing.F) {
	good := map[string]bool{}
	for _, change := range []func(m *Machine){func(*Machine) {}, v5, td15} {
		m := New(reportData)
		change(m)
		good[string(m.Quote()[:600])] = true
		f.Add(m.Data())
		f.Add(section.Append(nil, tdxdata.KindQuote, m.Quote()))
	}
	f.Add([]byte{1, 0, 0, 0, 1, 4})
	f.Fuzz(func(t *testing.T, data []byte) {
		a := judge(t, data, nil, Now)
		if find(a, "key.bound").ID == "" || find(a, "chip.report").ID == "" {
			t.Errorf("parts %+v", a.Checks)
		}
		if failures(a) == nil && !good[string(data[5:605])] {
			t.Errorf("%x passes", data)
		}
		if _, err := tdx.Describe(data); (err == nil) != (find(a, "chip.report").Status == attest.StatusOK) && len(data) > 0 && data[0] == tdxdata.KindQuote {
			t.Errorf("Describe: %v", err)
		}
	})
}

// FuzzDocument: Intel's documents after any change are refused.
func FuzzDocument(f *testing.F) {
	m := New(reportData)
	tcb, qe := m.Document("tcbInfo"), m.Document("enclaveIdentity")
	quote, signing := m.Quote(), m.DER(Signing)
	f.Add(tcb)
	f.Add(qe)
	f.Add([]byte(`{"tcbInfo":{"tdxModuleIdentities":[{"id":"TDX_01"}]},"signature":"` + strings.Repeat("0", 128) + `"}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		for _, kind := range []byte{tdxdata.KindTCBInfo, tdxdata.KindQEIdentity} {
			data := section.Append(nil, tdxdata.KindQuote, quote)
			data = section.Append(data, tdxdata.KindCertificate, signing)
			data = section.Append(data, kind, doc)
			for _, l := range m.Lists {
				data = section.Append(data, tdxdata.KindCRL, m.CRL(l))
			}
			a := judge(t, data, nil, Now)
			id, own := "chip.tcb_info", tcb
			if kind == tdxdata.KindQEIdentity {
				id, own = "chip.qe_identity", qe
			}
			// The case of the signature's digits doesn't count.
			if c := find(a, id); c.Status == attest.StatusOK && !bytes.EqualFold(doc, own) {
				t.Errorf("%s passes as %s", doc, id)
			}
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	data := New(reportData).Data()
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		judge(b, data, nil, Now)
	}
}
