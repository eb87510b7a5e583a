// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package snp_test

import (
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/section"
	"github.com/sotto-chat/sotto/attest/snp"
	"github.com/sotto-chat/sotto/attest/snp/snpdata"
	"github.com/sotto-chat/sotto/attest/snp/snptest"
)

var reportData = [64]byte{1, 2, 3}

// verify judges data by the fake roots, at the time that fakes are made for.
func verify(m *snptest.Machine, data []byte, rules string) attest.Appraisal {
	var p attest.Policy
	if rules != "" {
		p.Platforms = map[string]json.RawMessage{"snp": json.RawMessage(rules)}
	}
	return snp.Platform{Roots: m.AMD.Roots()}.Verify(data, attest.Claim{ReportData: reportData}, p, time.Unix(snptest.Now, 0))
}

// failures lists what failed, with the failure's name: "chip.debug debug_enabled".
func failures(a attest.Appraisal) string { return with(a, attest.StatusFail) }

func with(a attest.Appraisal, status string) string {
	var out []string
	for _, c := range a.Checks {
		if c.Status == status {
			out = append(out, strings.TrimSpace(c.ID+" "+c.Failure))
		}
	}
	return strings.Join(out, "; ")
}

func hexOf(b ...byte) string { return hex.EncodeToString(b) }

const measurement = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f"

// everything is rules that ask for all that can be asked for, of any product.
const everything = `{
	"measurements": ["` + measurement + `"],
	"id_keys": ["aa00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000bb"],
	"author_keys": ["cc00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000dd"],
	"family_ids": ["f0000000000000000000000000000000"], "image_ids": ["e0000000000000000000000000000000"],
	"host_data": ["d000000000000000000000000000000000000000000000000000000000000000"],
	"min_guest_svn": 1,
	"min_tcb": {"Milan": {"bootloader": 4, "tee": 1, "snp": 22, "microcode": 213},
		"Genoa": {"bootloader": 4, "tee": 1, "snp": 22, "microcode": 213},
		"Turin": {"fmc": 2, "bootloader": 4, "tee": 1, "snp": 22, "microcode": 213}},
	"min_launch_tcb": {"Milan": {"snp": 21}, "Genoa": {"snp": 21}, "Turin": {"snp": 21}},
	"min_firmware": "1.55.21",
	"guest": {"smt": true, "single_socket": false, "cxl": false, "mem_aes_256_xts": false, "rapl_dis": false,
		"ciphertext_hiding": false, "page_swap_disable": false},
	"platform": {"smt": true, "tsme": false, "ecc": true, "rapl_dis": false, "ciphertext_hiding": false,
		"alias_check_complete": true, "iommu_write_safe": false, "tio": false},
	"min_abi": "1.51", "vmpl": [0, 1],
	"chip_ids": ["c0c1c2c3c4c5c6c7", "c0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"]
}`

// identified gives a machine an ID block with keys, as everything asks for.
func identified(m *snptest.Machine) {
	r := &m.Report
	r.IDKey[0], r.IDKey[47] = 0xaa, 0xbb
	r.AuthorKey[0], r.AuthorKey[47] = 0xcc, 0xdd
	r.Flags |= 1
	r.FamilyID[0], r.ImageID[0], r.HostData[0] = 0xf0, 0xe0, 0xd0
}

var products = []string{"Milan", "Genoa", "Turin"}

func TestGenuine(t *testing.T) {
	for _, p := range products {
		m := snptest.New(p, reportData)
		a := verify(m, m.Data(), "")
		if f := failures(a); f != "" {
			t.Errorf("%s: %s", p, f)
		}
		if w := with(a, attest.StatusWarn); w != "chip.firmware; software.measurement" {
			t.Errorf("%s without a policy warns of %s", p, w)
		}
		const ok = "chip.report; chip.chain; chip.signature; chip.revocation; chip.certified; chip.masked; chip.committed; chip.debug; chip.migration; chip.vmpl; key.bound"
		if got := with(a, attest.StatusOK); got != ok {
			t.Errorf("%s: right are %s", p, got)
		}
		if want := "AMD " + p + " c0c1c2c3c4c5c6c7"; a.Chip != want {
			t.Errorf("the chip is called %q, want %q", a.Chip, want)
		}

		identified(m)
		a = verify(m, m.Data(), everything)
		if f := failures(a) + with(a, attest.StatusWarn); f != "" {
			t.Errorf("%s with all rules: %s", p, f)
		}
		const asked = "software.measurement; software.id_key; software.author_key; software.family_id; software.image_id; software.host_data; software.guest_svn; key.bound"
		if got := with(a, attest.StatusOK); !strings.HasSuffix(got, asked) || !strings.Contains(got, "chip.id") ||
			!strings.Contains(got, "chip.firmware;") || !strings.Contains(got, "chip.abi") ||
			strings.Count(got, "chip.guest.") != 7 || strings.Count(got, "chip.platform.") != 8 {
			t.Errorf("%s with all rules: right are %s", p, got)
		}
	}
}

// A bundle of such a machine is verified, and one of which nothing is asked is not.
func TestVerdict(t *testing.T) {
	m := snptest.New("Genoa", reportData)
	pf := snp.Platform{Roots: m.AMD.Roots()}
	evidence := []attest.Evidence{{Platform: snp.Name, Data: m.Data()}}
	if pf.Name() != "snp" {
		t.Error(pf.Name())
	}
	at := time.Unix(snptest.Now, 0)
	if v := attest.Examine(evidence, &reportData, attest.Policy{}, at, pf); v.State != attest.StateGenuine || v.Failure != "" {
		t.Errorf("%s %s", v.State, v.Failure)
	}
	if v := attest.Examine(evidence, &[64]byte{9}, attest.Policy{}, at, pf); v.State != attest.StateFailed || v.Failure != attest.FailKeyNotBound {
		t.Errorf("%s %s", v.State, v.Failure)
	}
	// AMD's own roots don't know the fake.
	if v := attest.Examine(evidence, &reportData, attest.Policy{}, at, snp.Platform{}); v.Failure != attest.FailChainUntrusted ||
		v.Checks[0].Want != "ARK-Genoa 429a69c9422aa258ee4d8db5fcda9c6470ef15f8cd5a9cebd6cbc7d90b863831" {
		t.Errorf("%s %s, want %s", v.State, v.Failure, v.Checks[0].Want)
	}
	if v := attest.Examine([]attest.Evidence{{Platform: snp.Name, Data: []byte{1}}}, nil, attest.Policy{}, at, pf); v.Failure != attest.FailEvidenceMalformed {
		t.Errorf("%s %s", v.State, v.Failure)
	}
}

// Each case breaks one thing only. Where product is empty it is Genoa.
func TestEachRule(t *testing.T) {
	identifiedAnd := func(change func(m *snptest.Machine)) func(m *snptest.Machine) {
		return func(m *snptest.Machine) { identified(m); change(m) }
	}
	report := func(change func(r *snptest.Report)) func(m *snptest.Machine) {
		return func(m *snptest.Machine) { change(&m.Report) }
	}
	// level changes the firmware everywhere, and in the certificate too.
	level := func(m *snptest.Machine, change func(t *snptest.TCB)) {
		for _, t := range []*snptest.TCB{&m.Report.Current, &m.Report.Reported, &m.Report.Committed, &m.Report.Launch, &m.Leaf.TCB} {
			change(t)
		}
	}
	amd := func(change func(name string, c *x509.Certificate)) func(m *snptest.Machine) {
		return func(m *snptest.Machine) { m.AMD.Change = change }
	}
	only := func(name string, change func(c *x509.Certificate)) func(m *snptest.Machine) {
		return amd(func(n string, c *x509.Certificate) {
			if n == name {
				change(c)
			}
		})
	}
	vlek := func(m *snptest.Machine) { m.UseVLEK("example.com") }
	const floors = `{"min_tcb":{"Genoa":{"bootloader":4,"tee":1,"snp":22,"microcode":213},"Turin":{"fmc":2,"bootloader":4,"tee":1,"snp":22,"microcode":213}}}`

	for _, tt := range []struct {
		name, product, rules string
		change               func(m *snptest.Machine)
		want                 string // what fails
	}{
		// verify: chain
		{"another maker's chain", "", "", func(m *snptest.Machine) { m.AMD.Other = true }, ""}, // its own roots know it
		{"root not a CA's", "", "", only("ARK", func(c *x509.Certificate) { c.IsCA, c.KeyUsage = false, x509.KeyUsageCRLSign }), "chip.chain chain_untrusted"},
		{"leaf ended", "", "", only("leaf", func(c *x509.Certificate) { c.NotAfter = time.Unix(snptest.Now-1, 0) }), "chip.chain collateral_expired"},
		{"leaf ends now", "", "", only("leaf", func(c *x509.Certificate) { c.NotAfter = time.Unix(snptest.Now, 0) }), ""},
		{"leaf not yet", "", "", only("leaf", func(c *x509.Certificate) { c.NotBefore = time.Unix(snptest.Now+1, 0) }), "chip.chain collateral_expired"},
		{"signing key ended", "", "", only("ASK", func(c *x509.Certificate) { c.NotAfter = time.Unix(snptest.Now-1, 0) }), "chip.chain collateral_expired"},
		{"leaf for something else", "", "", only("leaf", func(c *x509.Certificate) { c.Subject = snptest.Name("SEV-VLEK") }), "chip.chain chain_untrusted"},
		{"signing key for something else", "", "", only("ASK", func(c *x509.Certificate) { c.Subject = snptest.Name("SEV-VLEK-Genoa") }), "chip.chain chain_untrusted"},
		{"signing key of another product", "", "", only("ASK", func(c *x509.Certificate) { c.Subject = snptest.Name("SEV-Milan") }), "chip.chain chain_untrusted"},
		{"root of another product", "", "", only("ARK", func(c *x509.Certificate) { c.Subject = snptest.Name("ARK-Milan") }), "chip.chain chain_untrusted"},
		{"another company's leaf", "", "", only("leaf", func(c *x509.Certificate) { c.Subject.Organization = []string{"Someone"} }), "chip.chain chain_untrusted"},
		{"another unit's leaf", "", "", only("leaf", func(c *x509.Certificate) { c.Subject.OrganizationalUnit = []string{"Sales"} }), "chip.chain chain_untrusted"},
		{"a leaf from elsewhere", "", "", only("leaf", func(c *x509.Certificate) { c.Subject.Country = []string{"DE"} }), "chip.chain chain_untrusted"},
		{"a leaf from another state", "", "", only("leaf", func(c *x509.Certificate) { c.Subject.Province = []string{"TX"} }), "chip.chain chain_untrusted"},
		{"a leaf from another town", "", "", only("leaf", func(c *x509.Certificate) { c.Subject.Locality = []string{"Austin"} }), "chip.chain chain_untrusted"},
		{"another company's signing key", "", "", only("ASK", func(c *x509.Certificate) { c.Subject.Organization = []string{"Someone"} }), "chip.chain chain_untrusted"},
		{"two companies' leaf", "", "", only("leaf", func(c *x509.Certificate) { c.Subject.Organization = append(c.Subject.Organization, "Someone") }), "chip.chain chain_untrusted"},
		{"a leaf of the same company twice", "", "", only("leaf", func(c *x509.Certificate) { c.Subject.Country = []string{"US", "US"} }), "chip.chain chain_untrusted"},
		{"a leaf of no company", "", "", only("leaf", func(c *x509.Certificate) { c.Subject.Organization = nil }), "chip.chain chain_untrusted"},
		{"a leaf with one name more", "", "", only("leaf", func(c *x509.Certificate) { c.Subject.SerialNumber = "1" }), "chip.chain chain_untrusted"},
		{"a leaf with an empty name more", "", "", only("leaf", func(c *x509.Certificate) {
			c.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{2, 5, 4, 5}, Value: ""}}
		}), "chip.chain chain_untrusted"},
		{"two names in one", "", "", only("leaf", func(c *x509.Certificate) {
			name := c.Subject.ToRDNSequence()
			name[0] = append(name[0], name[1]...)
			c.RawSubject = must(asn1.Marshal(slices.Delete(name, 1, 2)))
		}), "chip.chain chain_untrusted"},
		{"signed with another hash", "", "", func(m *snptest.Machine) { m.AMD.Algorithm = x509.SHA256WithRSAPSS }, "chip.chain chain_untrusted"},
		{"signed with another padding", "", "", func(m *snptest.Machine) { m.AMD.Algorithm = x509.SHA384WithRSA }, "chip.chain chain_untrusted"},
		{"Milan's chain for a Genoa report", "Milan", "", report(func(r *snptest.Report) { r.Version, r.Family, r.Model = 3, 0x19, 0x11 }), "chip.chain chain_untrusted"},

		// verify: signature
		{"signed bytes changed", "", "", func(m *snptest.Machine) { m.AfterSigning = func(b []byte) { b[0x90] ^= 1 } }, "chip.signature signature_invalid"},
		{"last signed byte changed", "Turin", "", func(m *snptest.Machine) { m.AfterSigning = func(b []byte) { b[0x207] ^= 1 } }, "chip.signature signature_invalid"},
		{"r changed", "", "", func(m *snptest.Machine) { m.AfterSigning = func(b []byte) { b[0x2a0] ^= 1 } }, "chip.signature signature_invalid"},
		{"r changed at its end", "", "", func(m *snptest.Machine) { m.AfterSigning = func(b []byte) { b[0x2cf] ^= 1 } }, "chip.signature signature_invalid"},
		{"s changed", "", "", func(m *snptest.Machine) { m.AfterSigning = func(b []byte) { b[0x2e8] ^= 1 } }, "chip.signature signature_invalid"},
		{"s changed at its end", "", "", func(m *snptest.Machine) { m.AfterSigning = func(b []byte) { b[0x317] ^= 1 } }, "chip.signature signature_invalid"},
		{"no signature", "", "", func(m *snptest.Machine) { m.AfterSigning = func(b []byte) { clear(b[0x2a0:]) } }, "chip.signature signature_invalid"},
		{"not signed, it says", "", "", report(func(r *snptest.Report) { r.Flags |= 7 << 2 }), "chip.signature signature_invalid"},
		{"told not to sign", "", "", report(func(r *snptest.Report) { r.Flags |= 1 << 1 }), "chip.signature signature_invalid"},
		{"the other kind of key", "", "", report(func(r *snptest.Report) { r.Flags |= 1 << 2 }), "chip.signature chain_untrusted"},
		{"a kind of key that there isn't", "", "", report(func(r *snptest.Report) { r.Flags |= 2 << 2 }), "chip.signature chain_untrusted"},
		{"VLEK called VCEK", "", `{"allow_vlek":true}`, func(m *snptest.Machine) { vlek(m); m.Report.Flags = 0 }, "chip.signature chain_untrusted"},

		// verify: revocation
		{"no list", "", "", func(m *snptest.Machine) { m.List = nil }, "chip.revocation collateral_missing"},
		{"no list, allowed", "", `{"allow_no_crl":true}`, func(m *snptest.Machine) { m.List = nil }, ""},
		{"list ended", "", "", func(m *snptest.Machine) { m.List.NextUpdate = snptest.Now }, "chip.revocation collateral_expired"},
		{"list ended, none asked for", "", `{"allow_no_crl":true}`, func(m *snptest.Machine) { m.List.NextUpdate = snptest.Now }, "chip.revocation collateral_expired"},
		{"list in its last second", "", "", func(m *snptest.Machine) { m.List.NextUpdate = snptest.Now + 1 }, ""},
		{"list not yet", "", "", func(m *snptest.Machine) { m.List.ThisUpdate = snptest.Now + 1 }, "chip.revocation collateral_expired"},
		{"signing key revoked", "", "", func(m *snptest.Machine) { m.List.Revoked = []int64{7, 0x10001} }, "chip.revocation revoked"},
		{"chip revoked", "", "", func(m *snptest.Machine) { m.List.Revoked = []int64{0} }, "chip.revocation revoked"},
		{"root revoked", "", "", func(m *snptest.Machine) { m.List.Revoked = []int64{0x10000} }, "chip.revocation revoked"},
		{"others revoked", "", "", func(m *snptest.Machine) { m.List.Revoked = []int64{1, 0x10002} }, ""},
		{"list by somebody else", "", "", func(m *snptest.Machine) { m.List.Signer = "ASK" }, "chip.revocation chain_untrusted"},

		// verify: the certificate is of this chip and firmware
		{"certified bootloader", "", "", func(m *snptest.Machine) { m.Leaf.TCB.Bootloader++ }, "chip.certified firmware_old"},
		{"certified tee", "", "", func(m *snptest.Machine) { m.Leaf.TCB.TEE-- }, "chip.certified firmware_old"},
		{"certified spl4", "", "", func(m *snptest.Machine) { m.Leaf.TCB.SPL[0]++ }, "chip.certified firmware_old"},
		{"certified spl5", "", "", func(m *snptest.Machine) { m.Leaf.TCB.SPL[1]++ }, "chip.certified firmware_old"},
		{"certified spl6", "", "", func(m *snptest.Machine) { m.Leaf.TCB.SPL[2]++ }, "chip.certified firmware_old"},
		{"certified spl7", "Turin", "", func(m *snptest.Machine) { m.Leaf.TCB.SPL[3]++ }, "chip.certified firmware_old"},
		{"certified snp", "", "", func(m *snptest.Machine) { m.Leaf.TCB.SNP-- }, "chip.certified firmware_old"},
		{"certified microcode", "", "", func(m *snptest.Machine) { m.Leaf.TCB.Microcode-- }, "chip.certified firmware_old"},
		{"certified fmc", "Turin", "", func(m *snptest.Machine) { m.Leaf.TCB.FMC++ }, "chip.certified firmware_old"},
		{"certified bootloader of Turin", "Turin", "", func(m *snptest.Machine) { m.Leaf.TCB.Bootloader-- }, "chip.certified firmware_old"},
		{"another chip", "", "", func(m *snptest.Machine) { m.Leaf.HWID[0] ^= 1 }, "chip.certified chain_untrusted"},
		{"another chip, last byte", "", "", func(m *snptest.Machine) { m.Leaf.HWID[63] ^= 1 }, "chip.certified chain_untrusted"},
		{"another Turin", "Turin", "", func(m *snptest.Machine) { m.Leaf.HWID[7] ^= 1 }, "chip.certified chain_untrusted"},
		{"a longer number on Turin", "Turin", "", report(func(r *snptest.Report) { r.ChipID[63] = 1 }), "chip.certified chain_untrusted"},
		{"Turin's certificate", "", "", func(m *snptest.Machine) {
			m.Leaf.Layout, m.Leaf.HWID = 1, m.Leaf.HWID[:8]
		}, "chip.certified chain_untrusted"},
		{"Turin's certificate with a Turin's number", "", "", func(m *snptest.Machine) {
			clear(m.Report.ChipID[8:])
			m.Leaf.Layout, m.Leaf.HWID = 1, m.Leaf.HWID[:8]
		}, "chip.certified chain_untrusted"},
		{"number in an OCTET STRING", "", "", func(m *snptest.Machine) { m.Leaf.HWID = append([]byte{4, 64}, m.Leaf.HWID...) }, ""},
		{"number in an OCTET STRING on Turin", "Turin", "", func(m *snptest.Machine) { m.Leaf.HWID = append([]byte{4, 8}, m.Leaf.HWID...) }, ""},
		{"number that looks like an OCTET STRING", "", "", func(m *snptest.Machine) {
			m.Report.ChipID[0], m.Report.ChipID[1] = 4, 64
			m.Leaf.HWID = m.Report.ChipID[:]
		}, ""},

		// which product
		{"unknown family", "", "", report(func(r *snptest.Report) { r.Family = 0x18 }), "chip.model platform_unknown"},
		{"unknown model", "", "", report(func(r *snptest.Report) { r.Model = 0x20 }), "chip.model platform_unknown"},
		{"unknown model of Turin's family", "Turin", "", report(func(r *snptest.Report) { r.Model = 0x20 }), "chip.model platform_unknown"},
		{"first of Genoa", "", "", report(func(r *snptest.Report) { r.Model = 0x10 }), ""},
		{"Bergamo", "", "", report(func(r *snptest.Report) { r.Model = 0xa0 }), ""},
		{"last of Milan", "Milan", "", report(func(r *snptest.Report) { r.Version, r.Family, r.Model = 3, 0x19, 0x0f }), ""},
		{"last of Turin", "Turin", "", report(func(r *snptest.Report) { r.Model = 0x1f }), ""},
		{"Genoa in version 2", "", "", report(func(r *snptest.Report) { r.Version, r.Family, r.Model, r.Stepping = 2, 0, 0, 0 }), ""},
		{"Turin in version 2", "Turin", "", report(func(r *snptest.Report) {
			r.Version, r.Family, r.Model, r.Stepping, r.LaunchMit, r.CurrentMit = 2, 0, 0, 0, 0, 0
		}), "chip.model platform_unknown"},
		{"another product's name in version 2", "Milan", "", func(m *snptest.Machine) { m.Leaf.Product = "Milano-B1" }, "chip.model platform_unknown"},
		{"Genoa's name on Milan", "Milan", "", func(m *snptest.Machine) { m.Leaf.Product = "Genoa-B1" }, "chip.chain chain_untrusted"},
		{"a wrong name since version 3", "", "", func(m *snptest.Machine) { m.Leaf.Product = "Milan-B0" }, ""}, // AMD made such

		// appraise: the chip
		{"masked chip", "", "", report(func(r *snptest.Report) { r.ChipID = [64]byte{} }), "chip.masked policy_mismatch"},
		{"masked chip, allowed", "", `{"allow_masked_chip":true}`, report(func(r *snptest.Report) { r.ChipID = [64]byte{} }), ""},
		{"masked chip, allowed, but listed", "", `{"allow_masked_chip":true,"chip_ids":["c0c1c2c3c4c5c6c7"]}`,
			report(func(r *snptest.Report) { r.ChipID = [64]byte{} }), "chip.id policy_mismatch"},
		{"chip not listed", "", `{"chip_ids":["c0c1c2c3c4c5c6c7","c1` + strings.Repeat("00", 63) + `"]}`, nil, "chip.id policy_mismatch"},
		{"chip listed", "Turin", `{"chip_ids":["c0c1c2c3c4c5c6c8","c0c1c2c3c4c5c6c7"]}`, nil, ""},
		{"VLEK", "", "", vlek, "chip.vlek policy_mismatch"},
		{"VLEK, allowed", "", `{"allow_vlek":true}`, vlek, ""},
		{"VLEK of Turin, allowed", "Turin", `{"allow_vlek":true}`, vlek, ""},
		{"VLEK of whom", "", `{"allow_vlek":true,"csp_ids":["a","example.com"]}`, vlek, ""},
		{"VLEK of another", "", `{"allow_vlek":true,"csp_ids":["a","example.org"]}`, vlek, "chip.vlek policy_mismatch"},
		{"VLEK named, not allowed", "", `{"csp_ids":["example.com"]}`, vlek, "chip.vlek policy_mismatch"},
		{"operators named, VCEK", "", `{"csp_ids":["example.com"]}`, nil, ""},
		{"VLEK hides the chip", "", `{"allow_vlek":true}`, func(m *snptest.Machine) { vlek(m); m.Report.ChipID = [64]byte{} }, "chip.masked policy_mismatch"},

		// appraise: firmware
		{"current below reported", "", `{"allow_provisional":true}`, report(func(r *snptest.Report) {
			r.Current.SNP--
			r.Committed.SNP--
		}), "chip.committed firmware_old"},
		{"current below committed", "", `{"allow_provisional":true}`, report(func(r *snptest.Report) { r.Committed.Microcode++ }), "chip.committed firmware_old"},
		{"running version below committed", "", `{"allow_provisional":true}`, report(func(r *snptest.Report) { r.CommittedVersion[1]++ }), "chip.committed firmware_old"},
		{"on trial", "", "", report(func(r *snptest.Report) { r.Committed.SNP-- }), "chip.committed firmware_old"},
		{"build on trial", "", "", report(func(r *snptest.Report) { r.CommittedVersion[2]-- }), "chip.committed firmware_old"},
		{"on trial, allowed", "", `{"allow_provisional":true}`, report(func(r *snptest.Report) { r.Committed.SNP-- }), ""},
		{"build on trial, allowed", "", `{"allow_provisional":true}`, report(func(r *snptest.Report) { r.CommittedVersion[2]-- }), ""},
		{"current above reported", "", floors, report(func(r *snptest.Report) { r.Current.SNP++; r.Committed.SNP++ }), ""},
		{"floors reached", "", floors, nil, ""},
		{"floors of Turin reached", "Turin", floors, nil, ""},
		{"no floor for it", "Milan", floors, nil, "chip.firmware policy_mismatch"},
		{"no launch floor for it", "Milan", `{"min_launch_tcb":{"Genoa":{}}}`, nil, "chip.firmware policy_mismatch"},
		{"no floor but for its launch", "Milan", `{"min_tcb":{"Genoa":{}},"min_launch_tcb":{"Milan":{}}}`, nil, "chip.firmware policy_mismatch"},
		{"old bootloader", "", floors, func(m *snptest.Machine) { level(m, func(t *snptest.TCB) { t.Bootloader-- }) },
			"chip.firmware.reported firmware_old; chip.firmware.committed firmware_old; chip.firmware.launch firmware_old"},
		{"old tee", "", floors, func(m *snptest.Machine) { level(m, func(t *snptest.TCB) { t.TEE-- }) },
			"chip.firmware.reported firmware_old; chip.firmware.committed firmware_old; chip.firmware.launch firmware_old"},
		{"old snp of Turin", "Turin", floors, func(m *snptest.Machine) { level(m, func(t *snptest.TCB) { t.SNP-- }) },
			"chip.firmware.reported firmware_old; chip.firmware.committed firmware_old; chip.firmware.launch firmware_old"},
		{"old microcode", "", floors, func(m *snptest.Machine) { level(m, func(t *snptest.TCB) { t.Microcode-- }) },
			"chip.firmware.reported firmware_old; chip.firmware.committed firmware_old; chip.firmware.launch firmware_old"},
		{"old fmc", "Turin", floors, func(m *snptest.Machine) { level(m, func(t *snptest.TCB) { t.FMC-- }) },
			"chip.firmware.reported firmware_old; chip.firmware.committed firmware_old; chip.firmware.launch firmware_old"},
		{"old reported", "", floors, func(m *snptest.Machine) { m.Report.Reported.SNP--; m.Leaf.TCB.SNP-- }, "chip.firmware.reported firmware_old"},
		{"old committed", "", `{"allow_provisional":true,` + floors[1:], report(func(r *snptest.Report) { r.Committed.SNP-- }), "chip.firmware.committed firmware_old"},
		{"old at launch", "", floors, report(func(r *snptest.Report) { r.Launch.SNP-- }), "chip.firmware.launch firmware_old"},
		{"old at launch, allowed", "", `{"min_launch_tcb":{"Genoa":{"snp":21}},` + floors[1:], report(func(r *snptest.Report) { r.Launch.SNP-- }), ""},
		{"too old at launch", "", `{"min_launch_tcb":{"Genoa":{"snp":21}},` + floors[1:], report(func(r *snptest.Report) { r.Launch.SNP -= 2 }), "chip.firmware.launch firmware_old"},
		{"only a launch floor", "", `{"min_launch_tcb":{"Genoa":{"snp":23}}}`, nil, "chip.firmware.launch firmware_old"},
		{"old build", "", `{"min_firmware":"1.55.22"}`, nil, "chip.firmware.version firmware_old"},
		{"old minor", "", `{"min_firmware":"1.56.0"}`, nil, "chip.firmware.version firmware_old"},
		{"old major", "", `{"min_firmware":"2.0.0"}`, nil, "chip.firmware.version firmware_old"},
		{"old version committed", "", `{"min_firmware":"1.55.21","allow_provisional":true}`, report(func(r *snptest.Report) { r.CommittedVersion[2]-- }), "chip.firmware.version firmware_old"},
		{"running version old, committed not", "", `{"min_firmware":"1.55.22"}`, report(func(r *snptest.Report) { r.CommittedVersion[2]++ }),
			"chip.committed firmware_old; chip.firmware.version firmware_old"},
		{"version reached", "", `{"min_firmware":"1.55.21"}`, nil, ""},
		{"a protection missing at launch", "Turin", `{"require_mitigations":4}`, nil, "chip.mitigations firmware_old"},
		{"a protection missing now", "Turin", `{"require_mitigations":1}`, report(func(r *snptest.Report) { r.CurrentMit = 2 }), "chip.mitigations firmware_old"},
		{"protections there", "Turin", `{"require_mitigations":3}`, nil, ""},
		{"protections before version 5", "", `{"require_mitigations":1}`, nil, "chip.mitigations firmware_old"},

		// appraise: the machine
		{"debugging", "", "", report(func(r *snptest.Report) { r.Policy |= 1 << 19 }), "chip.debug debug_enabled"},
		{"migration", "", "", report(func(r *snptest.Report) { r.Policy |= 1 << 18 }), "chip.migration policy_mismatch"},
		{"outer layer", "", "", report(func(r *snptest.Report) { r.VMPL = 1 }), "chip.vmpl policy_mismatch"},
		{"outer layer, allowed", "", `{"vmpl":[2,1]}`, report(func(r *snptest.Report) { r.VMPL = 1 }), ""},
		{"inner layer, not allowed", "", `{"vmpl":[2,1]}`, nil, "chip.vmpl policy_mismatch"},
		{"asked for by the host", "", `{"vmpl":[0,1,2,3]}`, report(func(r *snptest.Report) { r.VMPL = 0xffffffff }), "chip.vmpl policy_mismatch"},
		{"unknown setting of the host", "", "", report(func(r *snptest.Report) { r.Platform |= 1 << 8 }), "chip.platform.known platform_unknown"},
		{"unknown last setting", "", "", report(func(r *snptest.Report) { r.Platform |= 1 << 63 }), "chip.platform.known platform_unknown"},
		{"all known settings", "", "", report(func(r *snptest.Report) { r.Platform = 0xff }), ""},
		{"old ABI", "", `{"min_abi":"1.52"}`, nil, "chip.abi policy_mismatch"},
		{"old ABI, major", "", `{"min_abi":"2.0"}`, nil, "chip.abi policy_mismatch"},
		{"ABI reached", "", `{"min_abi":"1.51"}`, nil, ""},
		{"ABI above", "", `{"min_abi":"0.99"}`, nil, ""},

		// appraise: the software
		{"other software", "", `{"measurements":["` + strings.Repeat("00", 48) + `","` + strings.Repeat("01", 48) + `"]}`, nil, "software.measurement software_mismatch"},
		{"one of several", "", `{"measurements":["` + strings.Repeat("00", 48) + `","` + measurement + `"]}`, nil, ""},
		{"other ID key", "", everything, identifiedAnd(report(func(r *snptest.Report) { r.IDKey[1] = 1 })), "software.id_key software_mismatch"},
		{"other author key", "", everything, identifiedAnd(report(func(r *snptest.Report) { r.AuthorKey[1] = 1 })), "software.author_key software_mismatch"},
		{"author key not given", "", everything, identifiedAnd(report(func(r *snptest.Report) { r.Flags = 0 })), "software.author_key software_mismatch"},
		{"other family", "", everything, identifiedAnd(report(func(r *snptest.Report) { r.FamilyID[15] = 1 })), "software.family_id software_mismatch"},
		{"other image", "", everything, identifiedAnd(report(func(r *snptest.Report) { r.ImageID[15] = 1 })), "software.image_id software_mismatch"},
		{"other host data", "", everything, identifiedAnd(report(func(r *snptest.Report) { r.HostData[31] = 1 })), "software.host_data software_mismatch"},
		{"old software", "", everything, identifiedAnd(report(func(r *snptest.Report) { r.GuestSVN = 0 })), "software.guest_svn software_mismatch"},

		// the key
		{"another key", "", "", report(func(r *snptest.Report) { r.ReportData[63] = 1 }), "key.bound key_not_bound"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := snptest.New(cmp(tt.product, "Genoa"), reportData)
			if tt.change != nil {
				tt.change(m)
			}
			a := verify(m, m.Data(), tt.rules)
			if got := failures(a); got != tt.want {
				t.Errorf("failed %q, want %q", got, tt.want)
			}
			for _, c := range a.Checks {
				if c.Detail == "" || c.Title == "" || !strings.HasSuffix(c.Detail, ".") {
					t.Errorf("%s lacks words: %q", c.ID, c.Detail)
				}
				// What failed in a part is not right as a whole.
				if c.Status != attest.StatusFail && (strings.Contains(tt.want, c.ID+" ") || strings.Contains(tt.want, c.ID+".")) {
					t.Errorf("%s is %s beside %s", c.ID, c.Status, tt.want)
				}
			}
		})
	}
}

func cmp(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// Allowances show: they are warnings, and never make a row right.
func TestAllowancesWarn(t *testing.T) {
	zeros := strings.Repeat("00", 32)
	for _, tt := range []struct {
		rules  string
		change func(m *snptest.Machine)
		want   string
	}{
		{`{"allow_no_crl":true}`, func(m *snptest.Machine) { m.List = nil }, "chip.revocation"},
		{`{"allow_masked_chip":true}`, func(m *snptest.Machine) { m.Report.ChipID = [64]byte{} }, "chip.masked"},
		{`{"allow_vlek":true}`, func(m *snptest.Machine) { m.UseVLEK("x") }, "chip.vlek"},
		{`{"allow_provisional":true}`, func(m *snptest.Machine) { m.Report.Committed.SNP-- }, "chip.committed"},
		{`{"allow_provisional":true}`, func(m *snptest.Machine) { m.Report.CommittedVersion[2]-- }, "chip.committed"},
		// What the host chooses proves nothing by itself.
		{`{"host_data":["` + zeros + `"]}`, nil, "software.host_data"},
		{`{"family_ids":["` + zeros[:32] + `"]}`, nil, "software.family_id"},
		{`{"image_ids":["` + zeros[:32] + `"]}`, nil, "software.image_id"},
		{`{"min_guest_svn":1}`, nil, "software.guest_svn"},
	} {
		m := snptest.New("Genoa", reportData)
		if tt.change != nil {
			tt.change(m)
		}
		a := verify(m, m.Data(), tt.rules)
		if failures(a) != "" || !slices.Contains(strings.Split(with(a, attest.StatusWarn), "; "), tt.want) || strings.Contains(with(a, attest.StatusOK), "software.") {
			t.Errorf("%s: failed %q, warned of %q, right %q", tt.rules, failures(a), with(a, attest.StatusWarn), with(a, attest.StatusOK))
		}
	}
	// A key that signs for the software stands for a measurement.
	for _, rules := range []string{
		`{"measurements":["` + measurement + `"],"host_data":["d0` + zeros[:62] + `"],"min_guest_svn":1}`,
		`{"id_keys":["aa` + strings.Repeat("00", 46) + `bb"],"host_data":["d0` + zeros[:62] + `"]}`,
		`{"author_keys":["cc` + strings.Repeat("00", 46) + `dd"],"host_data":["d0` + zeros[:62] + `"]}`,
	} {
		m := snptest.New("Genoa", reportData)
		identified(m)
		a := verify(m, m.Data(), rules)
		if failures(a) != "" || with(a, attest.StatusWarn) != "chip.firmware" || !strings.Contains(with(a, attest.StatusOK), "software.host_data") {
			t.Errorf("%s: failed %q, warned of %q", rules, failures(a), with(a, attest.StatusWarn))
		}
	}
	m := snptest.New("Genoa", reportData)
	m.Report.ChipID = [64]byte{}
	if a := verify(m, m.Data(), `{"allow_masked_chip":true}`); a.Chip != "AMD Genoa" {
		t.Errorf("a masked chip is called %q", a.Chip)
	}
}

// Each bit that rules can name is the one that AMD's document gives it.
func TestSettings(t *testing.T) {
	for where, names := range map[string]map[string]int{
		"guest": {"smt": 16, "single_socket": 20, "cxl": 21, "mem_aes_256_xts": 22, "rapl_dis": 23, "ciphertext_hiding": 24, "page_swap_disable": 25},
		"platform": {"smt": 0, "tsme": 1, "ecc": 2, "rapl_dis": 3, "ciphertext_hiding": 4, "alias_check_complete": 5,
			"iommu_write_safe": 6, "tio": 7},
	} {
		for name, at := range names {
			for _, set := range []bool{false, true} {
				m := snptest.New("Genoa", reportData)
				m.Report.Policy &^= 1 << 16
				m.Report.Platform = 0
				if set && where == "guest" {
					m.Report.Policy |= 1 << at
				} else if set {
					m.Report.Platform |= 1 << at
				}
				data := m.Data()
				for _, asked := range []string{"false", "true"} {
					want := "chip." + where + "." + name + " policy_mismatch"
					if (asked == "true") == set {
						want = ""
					}
					if got := failures(verify(m, data, `{"`+where+`":{"`+name+`":`+asked+`}}`)); got != want {
						t.Errorf("%s %s is %v, asked for %s: %q, want %q", where, name, set, asked, got, want)
					}
				}
			}
		}
	}
}

// Rules that can't be meant are refused, and then nothing is appraised by them.
func TestRulesMalformed(t *testing.T) {
	m := snptest.New("Genoa", reportData)
	m.Report.Policy |= 1 << 19
	data := m.Data()
	for _, rules := range []string{
		`{"measurement":[]}`, `{"measurements":[]}`, `{"id_keys":[]}`, `{"author_keys":[]}`, `{"family_ids":[]}`, `{"image_ids":[]}`,
		`{"host_data":[]}`, `{"chip_ids":[]}`, `{"csp_ids":[]}`, `{"vmpl":[]}`, `{"min_tcb":{}}`, `{"min_launch_tcb":{}}`,
		`{"measurements":["00"]}`, `{"measurements":["` + measurement + `00"]}`, `{"measurements":["` + measurement + `0"]}`, `{"measurements":["x` + measurement[1:] + `"]}`, `{"measurements":[""]}`,
		`{"measurements":["0000000000000000"]}`, // eight bytes are enough for a chip's number only
		`{"family_ids":["` + measurement + `"]}`, `{"chip_ids":["` + measurement + `"]}`,
		`{"chip_ids":["0000000000000000"]}`, `{"id_keys":["` + strings.Repeat("00", 48) + `"]}`, `{"author_keys":["` + strings.Repeat("00", 48) + `"]}`,
		`{"min_firmware":"1.55"}`, `{"min_firmware":"1.55.256"}`, `{"min_firmware":"1.55.x"}`, `{"min_firmware":"1.55.21.0"}`,
		`{"min_abi":"1"}`, `{"min_abi":"1.51.0"}`, `{"min_abi":"a.51"}`,
		`{"min_tcb":{"Naples":{}}}`, `{"min_launch_tcb":{"milan":{}}}`, `{"min_tcb":{"Milan":{"fmc":1}}}`, `{"min_tcb":{"Genoa":{"fmc":1}}}`,
		`{"min_tcb":{"Genoa":{"snp":256}}}`, `{"guest":{"debug":true}}`, `{"platform":{"SMT":true}}`, `{"guest":{"tsme":true}}`, `{"platform":{"cxl":true}}`,
		`[]`, `{} {}`, `{`,
	} {
		if got := failures(verify(m, data, rules)); got != "chip.policy policy_malformed" {
			t.Errorf("%s: failed %q", rules, got)
		}
	}
}

// A refusal names what was asked for and what was found.
func TestWantAndFound(t *testing.T) {
	for _, tt := range []struct {
		rules, id, want, found string
	}{
		{`{"vmpl":[2,1]}`, "chip.vmpl", "2 or 1", "0"},
		{`{"chip_ids":["0100000000000000","0200000000000000"]}`, "chip.id",
			"01" + strings.Repeat("00", 63) + " or 02" + strings.Repeat("00", 63), "c0c1c2c3c4c5c6c7" + strings.Repeat("00", 56)},
		{`{"require_mitigations":4}`, "chip.mitigations", "0x4", "0x3 at launch, 0x7 now"},
		{`{"platform":{"tsme":true}}`, "chip.platform.tsme", "tsme true", "false"},
		{`{"min_tcb":{"Turin":{"fmc":3}}}`, "chip.firmware.launch", "fmc 3, bootloader 0, tee 0, snp 0, microcode 0", "fmc 2, bootloader 4, tee 1, snp 22, microcode 213"},
	} {
		m := snptest.New("Turin", reportData)
		a := verify(m, m.Data(), tt.rules)
		i := slices.IndexFunc(a.Checks, func(c attest.Check) bool { return c.ID == tt.id })
		if i < 0 || a.Checks[i].Status != attest.StatusFail || a.Checks[i].Want != tt.want || a.Checks[i].Found != tt.found {
			t.Errorf("%s: %+v", tt.rules, a.Checks)
		}
	}
	m := snptest.New("Turin", reportData)
	if got := with(verify(m, m.Data(), `{"require_mitigations":3}`), attest.StatusOK); !strings.Contains(got, "chip.mitigations") {
		t.Errorf("right: %s", got)
	}
}

// Certificates that aren't there are missing, which is not a wrong form.
func TestMissingCertificates(t *testing.T) {
	for _, tt := range []struct {
		product string
		kinds   []byte // left out
		want    string
	}{
		{"Genoa", []byte{snpdata.KindLeaf}, "chip.chain collateral_missing; chip.signature collateral_missing"},
		{"Genoa", []byte{snpdata.KindIntermediate}, "chip.chain collateral_missing"},
		{"Genoa", []byte{snpdata.KindRoot}, "chip.chain collateral_missing"},
		{"Milan", []byte{snpdata.KindLeaf, snpdata.KindIntermediate, snpdata.KindRoot, snpdata.KindCRL}, "chip.model collateral_missing"},
	} {
		m := snptest.New(tt.product, reportData)
		s := slices.DeleteFunc(m.Sections(), func(s snptest.Section) bool { return slices.Contains(tt.kinds, s.Kind) })
		a := verify(m, snptest.Join(s), "")
		if got := failures(a); got != tt.want {
			t.Errorf("%s without %v: %q, want %q", tt.product, tt.kinds, got, tt.want)
		}
		if !strings.Contains(with(a, attest.StatusOK), "key.bound") {
			t.Error("the key was not looked at")
		}
	}
}

// A report that names no family that is known says so, whatever else is there.
func TestUnknownProduct(t *testing.T) {
	m := snptest.New("Genoa", reportData)
	m.Report.Model = 0x30
	a := verify(m, section.Append(nil, snpdata.KindReport, m.ReportBytes()), "")
	if got := failures(a); got != "chip.model platform_unknown" || a.Checks[0].Found != "family 25, model 48" {
		t.Errorf("%q, found %q", got, a.Checks[0].Found)
	}
	m = snptest.New("Milan", reportData)
	m.Leaf.Product = "Naples"
	if a := verify(m, m.Data(), ""); a.Checks[0].Found != "Naples" {
		t.Errorf("%+v", a.Checks[0])
	}
}

// A root vouches for its own family, whatever its certificate is called.
func TestRootOfAnotherFamily(t *testing.T) {
	m := snptest.New("Genoa", reportData)
	roots := m.AMD.Roots()
	roots[0].Name = "ARK-Milan"
	a := snp.Platform{Roots: roots}.Verify(m.Data(), attest.Claim{ReportData: reportData}, attest.Policy{}, time.Unix(snptest.Now, 0))
	if got := failures(a); got != "chip.chain chain_untrusted" {
		t.Errorf("%q", got)
	}
}

// Sections of other machines, in every place, are refused.
func TestSwappedSections(t *testing.T) {
	m, other := snptest.New("Genoa", reportData), snptest.New("Genoa", reportData)
	other.AMD.Other = true
	other.Leaf.Key = ecdsaKey(elliptic.P384())
	a, b := m.Sections(), other.Sections()
	for mask := 1; mask < 31; mask++ {
		s := slices.Clone(a)
		for i := range s {
			if mask>>i&1 != 0 {
				s[i] = b[i]
			}
		}
		// Everything but the report being another maker's, or the like, is never right.
		if got := failures(verify(m, snptest.Join(s), "")); got == "" {
			t.Errorf("sections %05b of another machine: accepted", mask)
		}
	}
	// A key of another curve can't stand in.
	m.Leaf.Key = ecdsaKey(elliptic.P256())
	if got := failures(verify(m, m.Data(), "")); got != "chip.chain chain_untrusted; chip.signature signature_invalid" {
		t.Errorf("P-256: %q", got)
	}
	// Several lists count all.
	m = snptest.New("Genoa", reportData)
	s := m.Sections()
	s = append(s, snptest.Section{Kind: snpdata.KindCRL, Data: m.AMD.CRL(snptest.List{Revoked: []int64{0x10001}, ThisUpdate: snptest.Now, NextUpdate: snptest.Now + 1})})
	if got := failures(verify(m, snptest.Join(s), "")); got != "chip.revocation revoked" {
		t.Errorf("second list: %q", got)
	}
}

// The pins are three, of three families, and none is empty.
func TestRoots(t *testing.T) {
	roots := snp.Roots()
	if len(roots) != 3 || roots[0].Name != "ARK-Milan" || roots[1].Name != "ARK-Genoa" || roots[2].Name != "ARK-Turin" {
		t.Fatal(roots)
	}
	for i, r := range roots {
		if r.Key == [32]byte{} || r.Key == roots[(i+1)%3].Key {
			t.Errorf("%s: %x", r.Name, r.Key)
		}
	}
	if hexOf(roots[0].Key[:2]...) != "9f05" {
		t.Errorf("%x", roots[0].Key)
	}
}

func FuzzVerify(f *testing.F) {
	for _, p := range products {
		m := snptest.New(p, reportData)
		f.Add(m.Data(), everything)
		f.Add(m.Data(), `{}`)
		f.Add(section.Append(nil, snpdata.KindReport, m.ReportBytes()), `{"allow_no_crl":true}`)
	}
	vlek := snptest.New("Genoa", reportData)
	vlek.UseVLEK("example.com")
	f.Add(vlek.Data(), `{"allow_vlek":true}`)
	f.Fuzz(func(t *testing.T, data []byte, rules string) {
		m := snptest.New("Genoa", reportData)
		a := verify(m, data, rules)
		chip, key := false, false
		for _, c := range a.Checks {
			chip, key = chip || strings.HasPrefix(c.ID, "chip."), key || strings.HasPrefix(c.ID, "key.")
			if c.Detail == "" || (c.Status == attest.StatusFail) != (c.Failure != "") {
				t.Fatalf("%+v", c)
			}
		}
		if !chip || !key {
			t.Fatalf("%d bytes: the chip or the key was not looked at", len(data))
		}
		// Nothing signed by nobody passes AMD's roots.
		real := snp.Platform{}.Verify(data, attest.Claim{Unbound: true}, attest.Policy{}, time.Unix(snptest.Now, 0))
		if strings.Contains(with(real, attest.StatusOK), "chip.chain") {
			t.Fatal("a fake passed AMD's roots")
		}
		if _, err := snp.Describe(data); (err != nil) != strings.Contains(failures(a), "chip.report") {
			t.Fatalf("described: %v, judged: %s", err, failures(a))
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	m := snptest.New("Genoa", reportData)
	data := m.Data()
	b.ReportAllocs()
	for b.Loop() {
		if a := verify(m, data, ""); failures(a) != "" {
			b.Fatal(failures(a))
		}
	}
}
