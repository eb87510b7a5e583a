// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package snp_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/snp"
	"github.com/sotto-chat/sotto/attest/snp/snpdata"
	"github.com/sotto-chat/sotto/attest/snp/snptest"
)

func TestDescribe(t *testing.T) {
	get := func(t *testing.T, data []byte) map[string]attest.Field {
		t.Helper()
		fields, err := snp.Describe(data)
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]attest.Field{}
		for _, f := range fields {
			if _, ok := out[f.Name]; ok && !strings.HasPrefix(f.Name, "crl.") {
				t.Errorf("%s stands there twice", f.Name)
			}
			out[f.Name] = f
		}
		return out
	}
	m := snptest.New("Turin", reportData)
	identified(m)
	m.Report.Committed.TEE, m.Report.Launch.Bootloader, m.Report.Current.SNP = 0, 3, 23
	m.Report.CommittedVersion[2], m.Report.ReportID[0] = 20, 7
	for _, fields := range []map[string]attest.Field{get(t, m.Data()), get(t, m.ReportBytes())} {
		for name, want := range map[string]string{
			"VERSION": "5", "CPUID": "family 26, model 2, stepping 1", "GUEST_SVN": "1", "POLICY": "0x30133",
			"POLICY.SMT": "true", "POLICY.CXL": "false", "POLICY.DEBUG": "false", "POLICY.MIGRATE_MA": "false",
			"VMPL": "0", "REPORTED_TCB": "fmc 2, bootloader 4, tee 1, snp 22, microcode 213", "PLATFORM_INFO.ECC": "true", "PLATFORM_INFO.TSME": "false",
			"SIGNING_KEY": "VCEK", "MEASUREMENT": measurement, "CURRENT_VERSION": "1.55.21", "CURRENT_MIT_VECTOR": "0x7",
			"MASK_CHIP_KEY": "false", "AUTHOR_KEY_EN": "true",
			"FAMILY_ID": "f0" + strings.Repeat("00", 15), "IMAGE_ID": "e0" + strings.Repeat("00", 15), "HOST_DATA": "d0" + strings.Repeat("00", 31),
			"ID_KEY_DIGEST": "aa" + strings.Repeat("00", 46) + "bb", "AUTHOR_KEY_DIGEST": "cc" + strings.Repeat("00", 46) + "dd",
			"CURRENT_TCB": "fmc 2, bootloader 4, tee 1, snp 23, microcode 213", "COMMITTED_TCB": "fmc 2, bootloader 4, tee 0, snp 22, microcode 213",
			"LAUNCH_TCB": "fmc 2, bootloader 3, tee 1, snp 22, microcode 213", "COMMITTED_VERSION": "1.55.20", "LAUNCH_MIT_VECTOR": "0x3",
			"PLATFORM_INFO": "0x25", "REPORT_DATA": "010203" + strings.Repeat("00", 61), "REPORT_ID": "07" + strings.Repeat("00", 31),
			"REPORT_ID_MA": strings.Repeat("ff", 32), "CHIP_ID": "c0c1c2c3c4c5c6c7" + strings.Repeat("00", 56),
		} {
			if fields[name].Value != want {
				t.Errorf("%s is %q, want %q", name, fields[name].Value, want)
			}
		}
		if !strings.Contains(fields["POLICY"].Meaning, "ABI 1.51 ") || !strings.Contains(fields["CPUID"].Meaning, "Turin") ||
			fields["ID_KEY_DIGEST"].Meaning != "" || fields["CHIP_ID"].Meaning != "" {
			t.Errorf("meanings: %q %q %q %q", fields["POLICY"].Meaning, fields["CPUID"].Meaning, fields["ID_KEY_DIGEST"].Meaning, fields["CHIP_ID"].Meaning)
		}
	}
	fields := get(t, m.Data())
	for name, want := range map[string]string{
		"leaf.subject": "SEV-VCEK", "leaf.productName": "Turin-B1", "leaf.hwID": "c0c1c2c3c4c5c6c7", "leaf.serial": "00",
		"leaf.TCB": "fmc 2, bootloader 4, tee 1, snp 22, microcode 213", "intermediate.subject": "SEV-Turin", "root.subject": "ARK-Turin",
		"root.serial": "010000", "crl.number": "01", "crl.thisUpdate": "2027-01-14 08:00 UTC", "crl.nextUpdate": "2027-02-14 08:00 UTC", "leaf.validity": "2023-11-14 22:13 UTC to 2030-11-04 05:20 UTC",
	} {
		if fields[name].Value != want {
			t.Errorf("%s is %q, want %q", name, fields[name].Value, want)
		}
	}
	if v := fields["root.key"].Value; !strings.HasPrefix(v, "RSA-2048 ") || !strings.HasPrefix(fields["leaf.key"].Value, "P-384 ") || v == fields["intermediate.key"].Value {
		t.Errorf("keys %q, %q", v, fields["leaf.key"].Value)
	}
	// Who has no certificate learns where it is.
	if url := "https://kdsintf.amd.com/vcek/v1/Turin/c0c1c2c3c4c5c6c7?fmcSPL=02&blSPL=04&teeSPL=01&snpSPL=22&ucodeSPL=213"; get(t, m.ReportBytes())["VCEK_URL"].Value != url ||
		fields["VCEK_URL"].Value != "" || fields["PRODUCT"].Value != "Turin" {
		t.Errorf("%q, with a certificate %q, of a %q", get(t, m.ReportBytes())["VCEK_URL"].Value, fields["VCEK_URL"].Value, fields["PRODUCT"].Value)
	}
	// Without a certificate nothing says what an old report's levels mean.
	old := snptest.New("Milan", reportData)
	fields = get(t, old.ReportBytes())
	if !strings.Contains(fields["ID_KEY_DIGEST"].Meaning, "nobody") || fields["REPORTED_TCB"].Value != "04010000000016d5" || fields["CPUID"].Value != "" || fields["CURRENT_MIT_VECTOR"].Value != "" {
		t.Errorf("%+v", fields["REPORTED_TCB"])
	}
	url := "https://kdsintf.amd.com/vcek/v1/Milan/" + hex.EncodeToString(old.Report.ChipID[:]) + "?blSPL=04&teeSPL=01&snpSPL=22&ucodeSPL=213"
	if fields["VCEK_URL"].Value != url || !strings.Contains(fields["VCEK_URL"].Meaning, "Genoa") || fields["PRODUCT"].Value != "" {
		t.Errorf("%+v, of a %q", fields["VCEK_URL"], fields["PRODUCT"].Value)
	}
	masked := snptest.New("Milan", reportData)
	masked.Report.ChipID = [64]byte{}
	if v := get(t, masked.ReportBytes())["VCEK_URL"].Value; v != "" {
		t.Errorf("of a chip that hides its number there is %q", v)
	}
	fields = get(t, old.Data())
	if fields["leaf.TCB"].Value != "bootloader 4, tee 1, snp 22, microcode 213" {
		t.Errorf("%+v", fields["leaf.TCB"])
	}
	vlek := snptest.New("Genoa", reportData)
	vlek.UseVLEK("example.com")
	vlek.Report.Reported.SPL[2] = 9
	if v := get(t, vlek.ReportBytes())["VCEK_URL"].Value; v != "" {
		t.Errorf("of a cloud's key there is %q", v)
	}
	vlek.Report.ChipID = [64]byte{}
	fields = get(t, vlek.Data())
	if fields["leaf.cspID"].Value != "example.com" || fields["SIGNING_KEY"].Value != "VLEK" || fields["leaf.hwID"].Value != "" ||
		!strings.Contains(fields["REPORTED_TCB"].Value, "spl6 9") || !strings.Contains(fields["CHIP_ID"].Meaning, "hidden") || !strings.Contains(fields["SIGNING_KEY"].Meaning, "operator") {
		t.Errorf("%+v", fields)
	}
	future := snptest.New("Genoa", reportData)
	future.Report.Model, future.Report.Flags = 0x30, 5<<2
	if fields = get(t, future.Data()); !strings.Contains(fields["CPUID"].Meaning, "not known") || fields["SIGNING_KEY"].Value != "kind 5" {
		t.Errorf("%+v", fields["CPUID"])
	}
	for _, b := range [][]byte{nil, {1}, make([]byte, snpdata.ReportSize)} {
		if _, err := snp.Describe(b); err == nil {
			t.Errorf("%d bytes described", len(b))
		}
	}
}
