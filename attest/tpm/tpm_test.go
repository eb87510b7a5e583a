// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tpm_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/tpm"
	"github.com/sotto-chat/sotto/attest/tpm/tpmdata"
	"github.com/sotto-chat/sotto/attest/tpm/tpmtest"
)

var claim = attest.Claim{ReportData: [64]byte{1, 2, 3}}

// policy is one that a right machine keeps. edit changes the rules.
func policy(m *tpmtest.Machine, edit func(map[string]any)) attest.Policy {
	r := map[string]any{
		"roots": []string{tpmtest.RootPin()},
		"pcrs":  []any{map[string]any{"bank": "sha256", "pcr": 4, "values": []string{hex.EncodeToString(m.Register(tpm.AlgSHA256, 4))}}},
	}
	if edit != nil {
		edit(r)
	}
	b, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	return attest.Policy{Require: []string{tpm.Name}, Platforms: map[string]json.RawMessage{tpm.Name: b}}
}

func judge(m *tpmtest.Machine, p attest.Policy, now time.Time) attest.Appraisal {
	return tpm.Platform{}.Verify(m.Evidence(claim.Nonce(tpm.Name)), claim, p, now)
}

// failures lists what failed, as "id failure".
func failures(a attest.Appraisal) (out []string) {
	for _, c := range a.Checks {
		if c.Status == attest.StatusFail {
			out = append(out, c.ID+" "+c.Failure)
		}
	}
	return out
}

func check(a attest.Appraisal, id string) attest.Check {
	for _, c := range a.Checks {
		if c.ID == id {
			return c
		}
	}
	return attest.Check{}
}

// TestRightMachine: each check is made, whatever else there is.
func TestRightMachine(t *testing.T) {
	ids := func(a attest.Appraisal) (out string) {
		for _, c := range a.Checks {
			if c.Status != attest.StatusOK {
				t.Errorf("%+v", c)
			}
			out += c.ID + "\n"
		}
		return out
	}
	const head = "chip.signature\nchip.attributes\nchip.scheme\nchip.chain\nchip.revocation\nchip.certificate\nchip.signer\nchip.clock\n"
	m := tpmtest.New()
	a := judge(m, policy(m, nil), tpmtest.Now)
	if got, want := ids(a), head+"chip.values\nchip.log\nchip.events\nchip.debug\nsoftware.pcr4\nkey.bound\n"; got != want {
		t.Errorf("checks:\n%s", got)
	}
	if a.Chip != hex.EncodeToString(m.AK.Name()) {
		t.Errorf("chip %q", a.Chip)
	}
	a = judge(m, policy(m, func(r map[string]any) {
		r["require_secure_boot"], r["locality"], r["resets"], r["min_firmware"] = true, 0, 5, "0000000000000001"
		r["quoted"] = []any{rules{"bank": "sha256", "pcrs": []int{4}}}
		r["events"] = []any{rules{"bank": "sha256", "pcr": 4, "begin": [][]string{{m.Events[5].Hex(tpm.AlgSHA256)}}}}
	}), tpmtest.Now)
	if got, want := ids(a), head+"chip.resets\nchip.firmware\nchip.values\nchip.quoted\nchip.log\nchip.events\nchip.debug\n"+
		"chip.secure_boot\nchip.locality\nsoftware.pcr4\nsoftware.begin4\nkey.bound\n"; got != want {
		t.Errorf("checks:\n%s", got)
	}
	a = judge(m, policy(m, func(r map[string]any) { r["keys"] = []string{hex.EncodeToString(m.AK.Name())} }), tpmtest.Now)
	if c := check(a, "chip.chain"); c.Status != attest.StatusOK || check(a, "chip.certificate").ID != "" {
		t.Errorf("%+v", c)
	}
}

type rules = map[string]any

// TestEachRuleAlone breaks one thing at a time in a machine that is right
// otherwise, or asks for one thing more, and wants exactly the failures named:
// none if there are none.
func TestEachRuleAlone(t *testing.T) {
	events := func(m *tpmtest.Machine, pcr int) (out []string) {
		for _, e := range m.Events {
			if e.PCR == pcr && e.Type != 3 {
				out = append(out, e.Hex(tpm.AlgSHA256))
			}
		}
		return out
	}
	begin := func(pcr int, lists ...[]string) []any {
		return []any{rules{"bank": "sha256", "pcr": pcr, "begin": lists}}
	}
	firmware := func(m *tpmtest.Machine, data ...[]byte) { // register 7 gets these before the separator
		m.Events = slices.DeleteFunc(m.Events, func(e tpmtest.Event) bool { return e.PCR == 7 })
		for _, d := range data {
			kind := uint32(0x80000001)
			if bytes.HasPrefix(d, []byte("UEFI")) || bytes.HasPrefix(d, []byte("DMA")) {
				kind = 0x80000007
			}
			m.Events = append(m.Events, tpmtest.Event{PCR: 7, Type: kind, Data: d})
		}
		m.Events = append(m.Events, tpmtest.Event{PCR: 7, Type: 4, Data: make([]byte, 4)}, tpmtest.Event{PCR: 7, Type: 0x800000e0, Data: tpmtest.Variable("db", []byte{1})})
	}
	secure := func(_ *tpmtest.Machine, r rules) { r["require_secure_boot"] = true }
	on, off := tpmtest.Variable("SecureBoot", []byte{1}), tpmtest.Variable("SecureBoot", []byte{0})

	tests := []struct {
		name   string
		breaks func(*tpmtest.Machine)
		rules  func(*tpmtest.Machine, rules)
		want   string // failures, comma-separated
		says   string // in what stands beside the last failure, or is empty
	}{
		// Signature.
		{name: "signature of another quote", breaks: func(m *tpmtest.Machine) {
			m.AfterSign = func(q, _ []byte) ([]byte, []byte) { return q, m.AK.Sign([]byte("else")) }
		}, want: "chip.signature signature_invalid"},
		{name: "changed clock", breaks: func(m *tpmtest.Machine) {
			m.AfterSign = func(q, s []byte) ([]byte, []byte) { q[2+4+2+34+2+32]++; return q, s }
		}, want: "chip.signature signature_invalid"},
		{name: "other key signed", breaks: func(m *tpmtest.Machine) {
			other := tpmtest.AttestationKey(tpmtest.P256B())
			m.AfterSign = func(q, _ []byte) ([]byte, []byte) { return q, other.Sign(q) }
		}, want: "chip.signature signature_invalid"},
		{name: "RSA", breaks: func(m *tpmtest.Machine) { m.Use(tpmtest.AttestationKey(tpmtest.RSA())) }},
		{name: "RSA, changed", breaks: func(m *tpmtest.Machine) {
			m.Use(tpmtest.AttestationKey(tpmtest.RSA()))
			m.AfterSign = func(q, s []byte) ([]byte, []byte) { s[20] ^= 1; return q, s }
		}, want: "chip.signature signature_invalid"},
		{name: "RSAPSS with a long salt", breaks: func(m *tpmtest.Machine) { m.Use(pss()) }},
		{name: "RSAPSS, changed", breaks: func(m *tpmtest.Machine) {
			m.Use(pss())
			m.AfterSign = func(q, s []byte) ([]byte, []byte) { s[20] ^= 1; return q, s }
		}, want: "chip.signature signature_invalid"},
		{name: "P-384 and SHA-384", breaks: func(m *tpmtest.Machine) { m.Use(long(tpmtest.P384())) }},
		{name: "P-384 and SHA-384, changed", breaks: func(m *tpmtest.Machine) {
			m.Use(long(tpmtest.P384()))
			m.AfterSign = func(q, s []byte) ([]byte, []byte) { s[20] ^= 1; return q, s }
		}, want: "chip.signature signature_invalid"},
		{name: "RSA and SHA-384", breaks: func(m *tpmtest.Machine) { m.Use(long(tpmtest.RSA())) }},
		{name: "RSAPSS and SHA-384", breaks: func(m *tpmtest.Machine) {
			k := pss()
			k.NameAlg, k.Hash = tpm.AlgSHA384, tpm.AlgSHA384
			m.Use(k)
		}},

		// What the key can do.
		{name: "not restricted", breaks: without(tpm.Restricted), want: "chip.attributes policy_mismatch", says: "fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, sign"},
		{name: "not fixed to the TPM", breaks: without(tpm.FixedTPM), want: "chip.attributes policy_mismatch"},
		{name: "not fixed to its parent", breaks: without(tpm.FixedParent), want: "chip.attributes policy_mismatch"},
		{name: "made outside", breaks: without(tpm.SensitiveDataOrigin), want: "chip.attributes policy_mismatch"},
		{name: "doesn't sign", breaks: without(tpm.Sign), want: "chip.attributes policy_mismatch"},
		{name: "decrypts", breaks: with(tpm.Decrypt), want: "chip.attributes policy_mismatch", says: "decrypt"},
		{name: "signs certificates", breaks: with(tpm.X509Sign), want: "chip.attributes policy_mismatch", says: "x509sign"},
		{name: "can be duplicated", breaks: with(tpm.EncryptedDuplication), want: "chip.attributes policy_mismatch", says: "encryptedDuplication"},
		{name: "protects others", breaks: func(m *tpmtest.Machine) {
			m.AK.Symmetric = tpmtest.EndorsementKey(nil).Symmetric
			m.Use(m.AK)
		}, want: "chip.attributes policy_mismatch"},
		{name: "harmless attributes", breaks: with(tpm.StClear | tpm.AdminWithPolicy | tpm.NoDA | tpm.FirmwareLimited | tpm.SVNLimited)},
		{name: "another scheme than the key's", breaks: func(m *tpmtest.Machine) {
			k := tpmtest.AttestationKey(tpmtest.RSA())
			m.Use(k)
			m.AfterSign = func(q, _ []byte) ([]byte, []byte) { return q, pss().Sign(q) }
		}, want: "chip.scheme policy_mismatch", says: "RSAPSS with sha256"},
		{name: "another hash than the key's", breaks: func(m *tpmtest.Machine) {
			k := tpmtest.AttestationKey(tpmtest.RSA())
			m.Use(k)
			m.Digest = tpmtest.Sum(tpm.AlgSHA384, m.Values())
			other := *k
			other.Hash = tpm.AlgSHA384
			m.AfterSign = func(q, _ []byte) ([]byte, []byte) { return q, other.Sign(q) }
		}, want: "chip.scheme policy_mismatch", says: "RSASSA with sha384"},
		{name: "a key for any scheme", breaks: func(m *tpmtest.Machine) {
			m.AK.Scheme = tpm.AlgNull
			m.Use(m.AK)
			signing := tpmtest.AttestationKey(tpmtest.P256A())
			m.AfterSign = func(q, _ []byte) ([]byte, []byte) { return q, signing.Sign(q) }
		}, want: "chip.scheme policy_mismatch", says: "none"},

		// Chain.
		{name: "no roots", rules: func(_ *tpmtest.Machine, r rules) { delete(r, "roots") }, want: "chip.chain chain_untrusted"},
		{name: "another root", rules: func(_ *tpmtest.Machine, r rules) { r["roots"] = []string{strings.Repeat("ab", 32)} }, want: "chip.chain chain_untrusted"},
		{name: "two roots", rules: func(_ *tpmtest.Machine, r rules) {
			r["roots"] = []string{strings.Repeat("ab", 32), tpmtest.RootPin()}
		}},
		{name: "key that is trusted", rules: func(m *tpmtest.Machine, r rules) {
			r["roots"], r["keys"] = []string{}, []string{hex.EncodeToString(m.AK.Name())}
		}},
		{name: "another key is trusted", rules: func(m *tpmtest.Machine, r rules) {
			r["roots"], r["keys"] = []string{}, []string{"000b" + strings.Repeat("ab", 32), "000c" + strings.Repeat("ab", 48)}
		}, want: "chip.chain chain_untrusted"},
		{name: "no certificate", breaks: func(m *tpmtest.Machine) {
			m.EditParts = func(p *tpmdata.Parts) { p.Certificates = nil }
		}, want: "chip.chain chain_untrusted", says: "none"},
		{name: "no intermediate", breaks: func(m *tpmtest.Machine) {
			m.EditParts = func(p *tpmdata.Parts) { p.Certificates = slices.Delete(p.Certificates, 1, 2) }
		}, want: "chip.chain chain_untrusted"},
		{name: "issuers in another order", breaks: func(m *tpmtest.Machine) {
			m.EditParts = func(p *tpmdata.Parts) {
				p.Certificates[1], p.Certificates[2] = p.Certificates[2], p.Certificates[1]
			}
		}},
		{name: "expired", breaks: leaf(func(c *x509.Certificate) { c.NotAfter = tpmtest.Now.Add(-time.Second) }), want: "chip.chain collateral_expired"},
		{name: "certificate of another key", breaks: func(m *tpmtest.Machine) { m.Certified = tpmtest.P256B().Public() }, want: "chip.certificate chain_untrusted"},
		{name: "certificate of other properties", breaks: leaf(func(c *x509.Certificate) {
			c.Subject.SerialNumber = strings.Repeat("ab", 32)
		}), want: "chip.certificate chain_untrusted", says: strings.Repeat("ab", 32)},
		{name: "certificate of a maker", breaks: leaf(func(c *x509.Certificate) { c.Subject.SerialNumber = "0123456789" })},
		{name: "certificate for nothing", breaks: leaf(func(c *x509.Certificate) { c.KeyUsage = 0 }), want: "chip.certificate chain_untrusted"},
		{name: "certificate for encryption", breaks: leaf(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }), want: "chip.certificate chain_untrusted"},
		{name: "certificate for signing others", breaks: leaf(func(c *x509.Certificate) {
			c.KeyUsage |= x509.KeyUsageCertSign
		}), want: "chip.certificate chain_untrusted"},
		{name: "certificate of an authority", breaks: leaf(func(c *x509.Certificate) { c.IsCA = true }), want: "chip.certificate chain_untrusted"},
		{name: "certificate for another purpose", breaks: leaf(func(c *x509.Certificate) {
			c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{2, 23, 133, 8, 2}}
		}), want: "chip.certificate chain_untrusted"},
		{name: "certificate as Google's cloud issues it", breaks: leaf(func(c *x509.Certificate) {
			c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{2, 23, 133, 8, 2}, {2, 23, 133, 8, 1}}
		})},
		{name: "certificate with the purpose first", breaks: leaf(func(c *x509.Certificate) {
			c.UnknownExtKeyUsage = append(c.UnknownExtKeyUsage, asn1.ObjectIdentifier{2, 23, 133, 8, 2})
		})},
		{name: "purpose and a number", breaks: purpose("\x30\x09\x06\x05\x67\x81\x05\x08\x03\x02\x00"), want: "chip.certificate chain_untrusted"},
		{name: "purpose and more", breaks: purpose("\x30\x07\x06\x05\x67\x81\x05\x08\x03\x05\x00"), want: "chip.certificate chain_untrusted"},
		{name: "purpose in no list", breaks: purpose("\x06\x05\x67\x81\x05\x08\x03"), want: "chip.certificate chain_untrusted"},
		{name: "purpose, written by hand", breaks: purpose("\x30\x07\x06\x05\x67\x81\x05\x08\x03")},
		{name: "certificate without a purpose", breaks: leaf(func(c *x509.Certificate) { c.UnknownExtKeyUsage = nil })},

		// Revocation.
		{name: "no lists", breaks: func(m *tpmtest.Machine) { m.CRLs = false }},
		{name: "no lists, and asked for", breaks: func(m *tpmtest.Machine) { m.CRLs = false }, rules: requireCRL, want: "chip.revocation collateral_missing", says: "0"},
		{name: "one list, and all asked for", breaks: func(m *tpmtest.Machine) {
			m.EditParts = func(p *tpmdata.Parts) { p.CRLs = p.CRLs[:1] }
		}, rules: requireCRL, want: "chip.revocation collateral_missing", says: "1"},
		{name: "all lists, as asked for", rules: requireCRL},
		{name: "leaf revoked", breaks: func(m *tpmtest.Machine) { m.Revoked = []*big.Int{big.NewInt(9), big.NewInt(3)} }, want: "chip.revocation revoked", says: "03"},
		{name: "intermediate revoked", breaks: func(m *tpmtest.Machine) { m.Revoked = []*big.Int{big.NewInt(2)} }, want: "chip.revocation revoked", says: "02"},
		{name: "old list", breaks: func(m *tpmtest.Machine) {
			m.CRL = func(l *x509.RevocationList) { l.NextUpdate = tpmtest.Now.Add(-time.Second) }
		}, want: "chip.revocation collateral_expired"},
		{name: "list of somebody else", breaks: func(m *tpmtest.Machine) {
			m.EditParts = func(p *tpmdata.Parts) { p.CRLs = slices.Delete(p.CRLs, 0, 1) }
		}},

		// Where the key lives.
		{name: "owner hierarchy", breaks: in(tpm.HierarchyOwner)},
		{name: "platform hierarchy", breaks: in(tpm.HierarchyPlatform)},
		{name: "null hierarchy", breaks: in(tpm.HierarchyNull), want: "chip.signer policy_mismatch", says: "endorsement, owner or platform|null"},
		{name: "below another key", breaks: in(0x81000001)},
		{name: "hierarchy as asked for", rules: hierarchy("endorsement")},
		{name: "another hierarchy than asked for", breaks: in(tpm.HierarchyOwner), rules: hierarchy("endorsement"), want: "chip.signer policy_mismatch", says: "endorsement|owner"},
		{name: "owner, as asked for", breaks: in(tpm.HierarchyOwner), rules: hierarchy("owner")},
		{name: "platform, as asked for", breaks: in(tpm.HierarchyPlatform), rules: hierarchy("platform")},
		{name: "unknown place, and one asked for", breaks: in(0x81000001), rules: hierarchy("owner"), want: "chip.signer policy_mismatch"},
		{name: "name of another kind", breaks: func(m *tpmtest.Machine) {
			m.Signer = append([]byte{0, 0x0c}, make([]byte, 48)...)
		}, want: "chip.signer policy_mismatch"},

		// Clock, counters, firmware.
		{name: "clock not safe", breaks: func(m *tpmtest.Machine) { m.Safe = 0 }, want: "chip.clock policy_mismatch"},
		{name: "resets exactly", rules: set("resets", 5)},
		{name: "resets otherwise", rules: set("resets", 4), want: "chip.resets policy_mismatch", says: "5 resets, 2 restarts"},
		{name: "resets at most", rules: set("max_resets", 5)},
		{name: "more resets", rules: set("max_resets", 4), want: "chip.resets policy_mismatch"},
		{name: "restarts exactly", rules: set("restarts", 2)},
		{name: "restarts otherwise", rules: set("restarts", 3), want: "chip.resets policy_mismatch"},
		{name: "restarts at most", rules: set("max_restarts", 2)},
		{name: "more restarts", rules: set("max_restarts", 1), want: "chip.resets policy_mismatch"},
		{name: "resets in another hierarchy", breaks: in(tpm.HierarchyOwner), rules: set("resets", 5)},
		{name: "resets at most in another hierarchy", breaks: in(tpm.HierarchyOwner), rules: set("max_resets", 5), want: "chip.resets policy_mismatch", says: "owner"},
		{name: "restarts at most in another hierarchy", breaks: in(tpm.HierarchyOwner), rules: set("max_restarts", 5), want: "chip.resets policy_mismatch"},
		{name: "resets at most, platform", breaks: in(tpm.HierarchyPlatform), rules: set("max_resets", 5)},
		{name: "firmware", rules: set("min_firmware", "2020010100060024")},
		{name: "firmware, platform", breaks: in(tpm.HierarchyPlatform), rules: set("min_firmware", "2020010100060024")},
		{name: "old firmware", rules: set("min_firmware", "2020010100060025"), want: "chip.firmware firmware_old", says: "2020010100060024"},
		{name: "very old firmware", breaks: func(m *tpmtest.Machine) { m.Firmware = 0xff }, rules: set("min_firmware", "2020010100060025"), want: "chip.firmware firmware_old", says: "00000000000000ff"},
		{name: "firmware in another hierarchy", breaks: in(tpm.HierarchyOwner), rules: set("min_firmware", "0000000000000001"), want: "chip.firmware policy_mismatch", says: "owner"},

		// Registers.
		{name: "registers that weren't signed", breaks: func(m *tpmtest.Machine) { m.Digest = make([]byte, 32) }, want: "chip.values signature_invalid"},
		{name: "registers asked for", rules: quoted("sha256", 0, 7, 23)},
		{name: "register left out", breaks: func(m *tpmtest.Machine) { m.Quoted[0].PCRs &^= 1 << 23 }, rules: quoted("sha256", 0, 7, 23), want: "chip.quoted policy_mismatch"},
		{name: "bank left out", rules: quoted("sha384", 0), want: "chip.quoted policy_mismatch"},
		{name: "two banks", breaks: twoBanks, rules: func(_ *tpmtest.Machine, r rules) {
			r["quoted"] = []any{rules{"bank": "sha256", "pcrs": []int{4}}, rules{"bank": "sha384", "pcrs": []int{0, 7}}}
		}},

		{name: "SHA-512", breaks: func(m *tpmtest.Machine) {
			m.Banks = append(m.Banks, tpm.AlgSHA512)
			m.Quoted = []tpm.Selection{{Bank: tpm.AlgSHA512, PCRs: 0xffffff}}
		}, rules: func(m *tpmtest.Machine, r rules) {
			r["pcrs"] = []any{rules{"bank": "sha512", "pcr": 4, "values": []string{hex.EncodeToString(m.Register(tpm.AlgSHA512, 4))}}}
			r["require_secure_boot"] = true
		}},

		// Software.
		{name: "another start", breaks: nil, rules: func(_ *tpmtest.Machine, r rules) {
			r["pcrs"] = []any{rules{"bank": "sha256", "pcr": 4, "values": []string{strings.Repeat("00", 32), strings.Repeat("01", 32)}}}
		}, want: "software.pcr4 software_mismatch"},
		{name: "register not quoted", breaks: func(m *tpmtest.Machine) { m.Quoted[0].PCRs &^= 1 << 4 }, want: "software.pcr4 policy_mismatch"},
		{name: "start in another bank", breaks: twoBanks, rules: func(m *tpmtest.Machine, r rules) {
			r["pcrs"] = []any{rules{"bank": "sha384", "pcr": 4, "values": []string{hex.EncodeToString(m.Register(tpm.AlgSHA384, 4))}}}
		}},
		{name: "another start in another bank", breaks: twoBanks, rules: func(m *tpmtest.Machine, r rules) {
			r["pcrs"] = []any{rules{"bank": "sha384", "pcr": 4, "values": []string{strings.Repeat("00", 48)}}}
		}, want: "software.pcr4_sha384 software_mismatch"},
		{name: "begins as asked for", rules: func(m *tpmtest.Machine, r rules) { r["events"] = begin(11, events(m, 11)) }},
		{name: "begins as one asked for", rules: func(m *tpmtest.Machine, r rules) {
			r["events"] = begin(11, []string{strings.Repeat("00", 32)}, events(m, 11)[:1])
		}},
		{name: "begins otherwise", rules: func(m *tpmtest.Machine, r rules) { r["events"] = begin(11, events(m, 11)[1:]) },
			want: "software.begin11 software_mismatch"},
		{name: "ends too soon", rules: func(m *tpmtest.Machine, r rules) {
			r["events"] = begin(11, append(events(m, 11), strings.Repeat("00", 32)))
		}, want: "software.begin11 software_mismatch"},
		{name: "events without a log", breaks: func(m *tpmtest.Machine) { m.WithoutLog = true },
			rules: func(m *tpmtest.Machine, r rules) { r["events"] = begin(11, events(m, 11)) }, want: "software.begin11 policy_mismatch"},
		{name: "events of a register that isn't quoted", breaks: func(m *tpmtest.Machine) { m.Quoted[0].PCRs &^= 1 << 11 },
			rules: func(m *tpmtest.Machine, r rules) { r["events"] = begin(11, events(m, 11)) }, want: "software.begin11 policy_mismatch"},
		{name: "events of a register that neither quote nor log know", breaks: func(m *tpmtest.Machine) { m.Quoted[0].PCRs &^= 1 << 9 },
			rules: func(m *tpmtest.Machine, r rules) { r["events"] = begin(9, events(m, 11)) }, want: "software.begin9 policy_mismatch"},
		{name: "what isn't measured is no event", breaks: func(m *tpmtest.Machine) {
			m.Events = append([]tpmtest.Event{{PCR: 11, Type: 3, Data: []byte("x")}}, m.Events...)
		}, rules: func(m *tpmtest.Machine, r rules) { r["events"] = begin(11, events(m, 11)) }},
		{name: "events that don't come to the register", breaks: func(m *tpmtest.Machine) {
			good := m.Log()
			m.Events = append(m.Events, tpmtest.Event{PCR: 11, Type: 0x0d, Data: []byte("more")})
			m.EditParts = func(p *tpmdata.Parts) { p.Log = good }
		}, rules: func(m *tpmtest.Machine, r rules) {
			r["events"] = begin(11, events(m, 11)[:1])
		}, want: "chip.log software_mismatch, software.begin11 policy_mismatch"},
		{name: "events of a register that the log needn't explain", breaks: func(m *tpmtest.Machine) {
			m.Events = slices.Delete(m.Events, 6, 8)
			good := m.Log()
			m.Events = append(m.Events, tpmtest.Event{PCR: 11, Type: 0x0d, Data: []byte("more")})
			m.EditParts = func(p *tpmdata.Parts) { p.Log = good }
		}, rules: func(m *tpmtest.Machine, r rules) {
			r["events"], r["unlogged"] = begin(11, events(m, 11)), []int{11}
		}, want: "software.begin11 policy_mismatch"},
		{name: "entries of a register that the log needn't explain", breaks: func(m *tpmtest.Machine) {
			good := m.Log()
			m.Events = append(m.Events, tpmtest.Event{PCR: 11, Type: 0x0d, Data: []byte("more")})
			m.EditParts = func(p *tpmdata.Parts) { p.Log = good }
		}, rules: set("unlogged", []int{11}), want: "chip.log software_mismatch", says: "PCR 11 (sha256) = "},
		{name: "late launch", breaks: func(m *tpmtest.Machine) {
			m.Events = append(m.Events, tpmtest.Event{PCR: 17, Type: 0x0d, Data: []byte("x")}, tpmtest.Event{PCR: 22, Type: 0x0d, Data: []byte("y")})
		}},
		{name: "late launch, not said", breaks: func(m *tpmtest.Machine) {
			good := m.Log()
			m.Events = append(m.Events, tpmtest.Event{PCR: 18, Type: 0x0d, Data: []byte("x")})
			m.EditParts = func(p *tpmdata.Parts) { p.Log = good }
		}, want: "chip.log software_mismatch", says: "PCR 18 (sha256) = "},

		// Log.
		{name: "no log", breaks: func(m *tpmtest.Machine) { m.WithoutLog = true }},
		{name: "no log, and asked for", breaks: func(m *tpmtest.Machine) { m.WithoutLog = true }, rules: set("require_log", true), want: "chip.log collateral_missing"},
		{name: "no log for Secure Boot", breaks: func(m *tpmtest.Machine) { m.WithoutLog = true }, rules: secure, want: "chip.log collateral_missing"},
		{name: "no log for the locality", breaks: func(m *tpmtest.Machine) { m.WithoutLog = true }, rules: set("locality", 0), want: "chip.log collateral_missing"},
		{name: "log, as asked for", rules: set("require_log", true)},
		{name: "log of another start", breaks: func(m *tpmtest.Machine) {
			other := tpmtest.New()
			other.Events[5].Digest = []byte("another image")
			m.EditParts = func(p *tpmdata.Parts) { p.Log = other.Log() }
		}, want: "chip.log software_mismatch", says: "PCR 4 (sha256) = "},
		{name: "entry left out", breaks: func(m *tpmtest.Machine) {
			other := tpmtest.New()
			other.Events = slices.Delete(other.Events, 7, 8)
			m.EditParts = func(p *tpmdata.Parts) { p.Log = other.Log() }
		}, want: "chip.log software_mismatch", says: "PCR 11 (sha256) = "},
		{name: "entries of a whole register left out", breaks: func(m *tpmtest.Machine) {
			other := tpmtest.New()
			other.Events = slices.Delete(other.Events, 6, 8)
			m.EditParts = func(p *tpmdata.Parts) { p.Log = other.Log() }
		}, want: "chip.log software_mismatch", says: "PCR 11 (sha256) = "},
		{name: "register that the log needn't explain", breaks: func(m *tpmtest.Machine) {
			good := m.Log()
			m.Events = append(m.Events, tpmtest.Event{PCR: 10, Type: 0x0d, Data: []byte("a file")})
			m.EditParts = func(p *tpmdata.Parts) { p.Log = good }
		}},
		{name: "register that it has to explain", breaks: func(m *tpmtest.Machine) {
			good := m.Log()
			m.Events = append(m.Events, tpmtest.Event{PCR: 10, Type: 0x0d, Data: []byte("a file")})
			m.EditParts = func(p *tpmdata.Parts) { p.Log = good }
		}, rules: set("unlogged", []int{}), want: "chip.log software_mismatch", says: "PCR 10 (sha256) = "},
		{name: "registers that it needn't explain, as asked for", breaks: func(m *tpmtest.Machine) {
			good := m.Log()
			m.Events = append(m.Events, tpmtest.Event{PCR: 23, Type: 0x0d, Data: []byte("a file")}, tpmtest.Event{PCR: 9, Type: 0x0d, Data: []byte("a file")})
			m.EditParts = func(p *tpmdata.Parts) { p.Log = good }
		}, rules: set("unlogged", []int{9, 23})},
		{name: "another register that it needn't explain", breaks: func(m *tpmtest.Machine) {
			good := m.Log()
			m.Events = append(m.Events, tpmtest.Event{PCR: 10, Type: 0x0d, Data: []byte("a file")})
			m.EditParts = func(p *tpmdata.Parts) { p.Log = good }
		}, rules: set("unlogged", []int{9, 16}), want: "chip.log software_mismatch", says: "PCR 10 (sha256) = "},
		{name: "log without the quote's bank", breaks: func(m *tpmtest.Machine) {
			m.Quoted = append(m.Quoted, tpm.Selection{Bank: tpm.AlgSHA384, PCRs: 1})
		}, want: "chip.log software_mismatch", says: "a log with digests of sha384"},
		{name: "first bank otherwise", breaks: func(m *tpmtest.Machine) {
			twoBanks(m)
			log := m.Log()
			log[bytes.Index(log, tpmtest.Sum(tpm.AlgSHA256, []byte("a kernel")))]++
			m.EditParts = func(p *tpmdata.Parts) { p.Log = log }
		}, want: "chip.log software_mismatch", says: "PCR 11 (sha256) = "},
		{name: "second bank otherwise", breaks: func(m *tpmtest.Machine) {
			twoBanks(m)
			log := m.Log()
			d := tpmtest.Sum(tpm.AlgSHA384, []byte("a kernel"))
			log[bytes.Index(log, d)]++
			m.EditParts = func(p *tpmdata.Parts) { p.Log = log }
		}, want: "chip.log software_mismatch", says: "PCR 11 (sha384) = "},
		{name: "only weak registers", breaks: weak, rules: func(_ *tpmtest.Machine, r rules) { r["pcrs"] = []any{} }},
		{name: "only weak registers, and a log asked for", breaks: weak, rules: func(_ *tpmtest.Machine, r rules) {
			r["pcrs"], r["require_log"] = []any{}, true
		}, want: "chip.log policy_mismatch"},
		{name: "only no registers, and a log asked for", breaks: func(m *tpmtest.Machine) { m.Quoted[0].PCRs = 0 }, rules: func(_ *tpmtest.Machine, r rules) {
			r["pcrs"], r["require_log"] = []any{}, true
		}, want: "chip.log policy_mismatch"},
		{name: "weak registers beside strong ones", breaks: func(m *tpmtest.Machine) {
			m.Quoted = append([]tpm.Selection{{Bank: tpm.AlgSHA1, PCRs: 0x80}}, m.Quoted...)
		}},
		{name: "changed entry", breaks: func(m *tpmtest.Machine) {
			other := tpmtest.New()
			other.Events[2] = tpmtest.Event{PCR: 7, Type: 0x80000001, Data: tpmtest.Variable("PK", []byte("a nice key")), Digest: other.Events[2].Data}
			m.EditParts = func(p *tpmdata.Parts) { p.Log = other.Log() }
		}, want: "chip.events software_mismatch", says: "data of sha256"},
		{name: "old digests aren't looked at", breaks: func(m *tpmtest.Machine) {
			m.Banks = []uint16{tpm.AlgSHA1, tpm.AlgSHA256}
		}},

		// What firmware doesn't write.
		{name: "separator called something else in register 1", breaks: func(m *tpmtest.Machine) {
			m.Events = append(m.Events, tpmtest.Event{PCR: 1, Type: 0x0d, Data: make([]byte, 4)})
		}, want: "chip.events software_mismatch", says: "event 10, PCR 1"},
		{name: "zeros that are no separator in register 0", breaks: func(m *tpmtest.Machine) {
			m.Events = append([]tpmtest.Event{{PCR: 0, Type: 7, Data: []byte("code"), Digest: make([]byte, 4)}}, m.Events...)
		}},
		{name: "something called a separator", breaks: func(m *tpmtest.Machine) { m.Events[4].Data = []byte{0, 0, 0, 1} }, want: "chip.events software_mismatch", says: "separator"},
		{name: "two separators", breaks: func(m *tpmtest.Machine) { m.Events = append(m.Events, m.Events[4]) }, want: "chip.events software_mismatch", says: "one separator"},
		{name: "separator called something else in register 8", breaks: func(m *tpmtest.Machine) {
			m.Events = append(m.Events, tpmtest.Event{PCR: 8, Type: 0x0d, Data: make([]byte, 4)})
		}},
		{name: "two separators in register 8", breaks: func(m *tpmtest.Machine) {
			e := tpmtest.Event{PCR: 8, Type: 4, Data: make([]byte, 4)}
			m.Events = append(m.Events, e, e)
		}},
		{name: "separator that isn't measured", breaks: func(m *tpmtest.Machine) {
			m.Events = append(m.Events, tpmtest.Event{PCR: 0, Type: 3, Data: make([]byte, 4)})
		}},
		{name: "another version than measured", breaks: func(m *tpmtest.Machine) { m.Events[0].Digest = []byte("else") }},
		{name: "another host than measured", breaks: func(m *tpmtest.Machine) {
			m.Events[0].Type, m.Events[0].Digest = 0x11, []byte("else")
		}, want: "chip.events software_mismatch", says: "host information"},
		{name: "host as measured", breaks: func(m *tpmtest.Machine) {
			m.Events[0].Type = 0x11
			m.Banks = []uint16{tpm.AlgSHA1, tpm.AlgSHA256, tpm.AlgSHA384}
		}},
		{name: "host as one bank measured", breaks: oneBank(0, tpm.AlgSHA384, func(m *tpmtest.Machine) { m.Events[0].Type = 0x11 }), want: "chip.events software_mismatch", says: "host information"},
		{name: "host as the other bank measured", breaks: func(m *tpmtest.Machine) {
			oneBank(0, tpm.AlgSHA384, func(m *tpmtest.Machine) {
				m.Events[0].Type = 0x11
				slices.Reverse(m.Banks)
			})(m)
		}, want: "chip.events software_mismatch", says: "host information"},
		{name: "separator by one bank", breaks: oneBank(9, tpm.AlgSHA384, func(m *tpmtest.Machine) {
			m.Events = append(m.Events, tpmtest.Event{PCR: 1, Type: 0x0d, Data: []byte("x"), Digest: make([]byte, 4)})
		}), want: "chip.events software_mismatch", says: "separator"},
		{name: "another host after the separator", breaks: func(m *tpmtest.Machine) {
			m.Events = append(m.Events, tpmtest.Event{PCR: 0, Type: 0x11, Data: []byte("a"), Digest: []byte("b")})
		}},
		{name: "another host in register 1", breaks: func(m *tpmtest.Machine) {
			m.Events = append(m.Events, tpmtest.Event{PCR: 1, Type: 0x11, Data: []byte("a"), Digest: []byte("b")})
		}},
		{name: "something else in register 0", breaks: func(m *tpmtest.Machine) {
			m.Events[0].Type, m.Events[0].Digest = 7, []byte("else")
		}},
		{name: "variable after the separator", breaks: func(m *tpmtest.Machine) {
			m.Events = append(m.Events, tpmtest.Event{PCR: 7, Type: 0x80000001, Data: tpmtest.Variable("db", nil)})
		}, want: "chip.events software_mismatch", says: "a variable before the separator"},
		{name: "variable twice", breaks: func(m *tpmtest.Machine) { firmware(m, on, on) }, want: "chip.events software_mismatch", says: "each variable once"},
		{name: "variables twice in register 1", breaks: func(m *tpmtest.Machine) {
			e := tpmtest.Event{PCR: 1, Type: 0x80000001, Data: on}
			m.Events = append(m.Events, e, e)
		}},
		{name: "no variable", breaks: func(m *tpmtest.Machine) { firmware(m, on, []byte("x")) }, want: "chip.events software_mismatch", says: "a variable before the separator"},
		{name: "variable without a name", breaks: func(m *tpmtest.Machine) { firmware(m, on, make([]byte, 32)) }},
		{name: "variable with too long a name", breaks: func(m *tpmtest.Machine) {
			v := bytes.Clone(on)
			v[16], v[23] = 0, 0x80
			binary.LittleEndian.PutUint64(v[24:], uint64(len(v)-32))
			firmware(m, v)
		}, want: "chip.events software_mismatch", says: "a variable before the separator"},
		{name: "DMA protection off", breaks: func(m *tpmtest.Machine) { firmware(m, on, []byte("DMA Protection Disabled")) }},
		{name: "DMA protection off, with a zero", breaks: func(m *tpmtest.Machine) { firmware(m, on, []byte("DMA Protection Disabled\x00")) }},
		{name: "another action", breaks: func(m *tpmtest.Machine) { firmware(m, on, []byte("DMA Protection Disabled!")) }, want: "chip.events software_mismatch", says: "UEFI Debug Mode or DMA"},
		{name: "no authority", breaks: func(m *tpmtest.Machine) { m.Events = m.Events[:8] }, want: "chip.events software_mismatch", says: "an authority"},
		{name: "no authority, and none needed", breaks: func(m *tpmtest.Machine) {
			m.Events = m.Events[:8]
			m.Events[1].Data = off
		}},
		{name: "authority", breaks: func(m *tpmtest.Machine) {
			m.Events = append(m.Events, tpmtest.Event{PCR: 7, Type: 0x800000e0, Data: tpmtest.Variable("db", []byte{1})})
		}, rules: secure},
		{name: "boot loader's measurement in register 7", breaks: func(m *tpmtest.Machine) {
			m.Events = append(m.Events, tpmtest.Event{PCR: 7, Type: 0x0d, Data: []byte("x")})
		}, want: "chip.events software_mismatch", says: "variables, authorities and actions"},

		// What the log says.
		{name: "Secure Boot on", rules: secure},
		{name: "Secure Boot off", breaks: func(m *tpmtest.Machine) { firmware(m, off) }, rules: secure, want: "chip.secure_boot policy_mismatch", says: "SecureBoot = 00"},
		{name: "Secure Boot off, and not asked", breaks: func(m *tpmtest.Machine) { firmware(m, off) }},
		{name: "Secure Boot not said", breaks: func(m *tpmtest.Machine) { firmware(m, tpmtest.Variable("PK", []byte{1})) }, rules: secure, want: "chip.secure_boot policy_mismatch", says: "nothing"},
		{name: "Secure Boot off, then on", breaks: func(m *tpmtest.Machine) { firmware(m, off, on) }, rules: secure, want: "chip.events software_mismatch, chip.secure_boot policy_mismatch"},
		{name: "Secure Boot on, then off", breaks: func(m *tpmtest.Machine) { firmware(m, on, off) }, rules: secure, want: "chip.events software_mismatch, chip.secure_boot policy_mismatch"},
		{name: "Secure Boot empty", breaks: func(m *tpmtest.Machine) { firmware(m, tpmtest.Variable("SecureBoot", nil)) }, rules: secure, want: "chip.secure_boot policy_mismatch"},
		{name: "Secure Boot too long", breaks: func(m *tpmtest.Machine) { firmware(m, tpmtest.Variable("SecureBoot", []byte{1, 0})) }, rules: secure, want: "chip.secure_boot policy_mismatch"},
		{name: "another variable of that name", breaks: func(m *tpmtest.Machine) {
			v := bytes.Clone(on)
			v[0]++
			firmware(m, v)
		}, rules: secure, want: "chip.secure_boot policy_mismatch", says: "nothing"},
		{name: "variable of a longer name", breaks: func(m *tpmtest.Machine) { firmware(m, tpmtest.Variable("SecureBootX", []byte{1})) }, rules: secure, want: "chip.secure_boot policy_mismatch", says: "nothing"},
		{name: "variable of a wide name", breaks: func(m *tpmtest.Machine) {
			v := bytes.Clone(on)
			v[33] = 1
			firmware(m, v)
		}, rules: secure, want: "chip.secure_boot policy_mismatch", says: "nothing"},
		{name: "variable of a similar name", breaks: func(m *tpmtest.Machine) {
			v := bytes.Clone(on)
			v[32+18]++
			firmware(m, v)
		}, rules: secure, want: "chip.secure_boot policy_mismatch", says: "nothing"},
		{name: "variable of a wrong length", breaks: func(m *tpmtest.Machine) {
			v := bytes.Clone(on)
			v[24]++
			firmware(m, v)
		}, rules: secure, want: "chip.events software_mismatch, chip.secure_boot policy_mismatch", says: "nothing"},
		{name: "variable cut off", breaks: func(m *tpmtest.Machine) { firmware(m, on[:40]) }, rules: secure, want: "chip.events software_mismatch, chip.secure_boot policy_mismatch", says: "nothing"},
		{name: "Secure Boot off, called something else", breaks: func(m *tpmtest.Machine) {
			firmware(m, off)
			m.Events[len(m.Events)-3].Type = 0x0d
		}, rules: secure, want: "chip.events software_mismatch, chip.secure_boot policy_mismatch", says: "SecureBoot = 00"},
		{name: "Secure Boot off, hidden, and measured better afterwards", breaks: func(m *tpmtest.Machine) {
			firmware(m, off)
			n := len(m.Events)
			m.Events[n-3] = tpmtest.Event{PCR: 7, Type: 0x0d, Data: []byte("hello"), Digest: off}
			m.Events = append(m.Events, tpmtest.Event{PCR: 7, Type: 0x80000001, Data: on}, tpmtest.Event{PCR: 7, Type: 4, Data: make([]byte, 4)})
		}, rules: secure, want: "chip.events software_mismatch, chip.secure_boot policy_mismatch", says: "nothing"},
		{name: "Secure Boot measured after the separator", breaks: func(m *tpmtest.Machine) {
			firmware(m)
			m.Events = append(m.Events, tpmtest.Event{PCR: 7, Type: 0x80000001, Data: on}, tpmtest.Event{PCR: 7, Type: 4, Data: make([]byte, 4)})
		}, rules: secure, want: "chip.events software_mismatch, chip.secure_boot policy_mismatch", says: "nothing"},
		{name: "no separator", breaks: func(m *tpmtest.Machine) {
			firmware(m, on)
			m.Events = slices.Delete(m.Events, len(m.Events)-2, len(m.Events)-1)
		}, rules: secure, want: "chip.secure_boot policy_mismatch", says: "nothing"},
		{name: "separator of ones", breaks: func(m *tpmtest.Machine) {
			firmware(m, on)
			m.Events[len(m.Events)-2].Data = []byte{0xff, 0xff, 0xff, 0xff}
		}, rules: secure},
		{name: "separator of ones, called something else", breaks: func(m *tpmtest.Machine) {
			firmware(m, on)
			m.Events[len(m.Events)-2] = tpmtest.Event{PCR: 7, Type: 0x0d, Data: []byte("hello"), Digest: []byte{0xff, 0xff, 0xff, 0xff}}
		}, rules: secure, want: "chip.events software_mismatch", says: "separator"},
		{name: "what isn't measured doesn't count", breaks: func(m *tpmtest.Machine) {
			m.Events = append([]tpmtest.Event{{PCR: 7, Type: 3, Data: off}}, m.Events...)
		}, rules: secure},
		{name: "what another register says doesn't count", breaks: func(m *tpmtest.Machine) {
			m.Events = append([]tpmtest.Event{{PCR: 6, Type: 0x80000001, Data: off}}, m.Events...)
		}, rules: secure},
		{name: "Secure Boot off, and a log that says otherwise", breaks: func(m *tpmtest.Machine) {
			good := m.Log()
			firmware(m, off)
			m.EditParts = func(p *tpmdata.Parts) { p.Log = good }
		}, rules: secure, want: "chip.log software_mismatch, chip.secure_boot policy_mismatch", says: "nothing"},
		{name: "Secure Boot, register not quoted", breaks: func(m *tpmtest.Machine) { m.Quoted[0].PCRs &^= 1 << 7 }, rules: secure, want: "chip.secure_boot policy_mismatch", says: "nothing"},
		{name: "Secure Boot in the second bank", breaks: func(m *tpmtest.Machine) {
			twoBanks(m)
			m.Quoted[0].PCRs &^= 1 << 7
		}, rules: func(m *tpmtest.Machine, r rules) {
			secure(m, r)
			r["quoted"] = []any{rules{"bank": "sha384", "pcrs": []int{7}}}
		}},
		{name: "debug mode", breaks: func(m *tpmtest.Machine) { firmware(m, []byte("UEFI Debug Mode"), on) }, rules: secure, want: "chip.debug debug_enabled"},
		{name: "debug mode, never asked", breaks: func(m *tpmtest.Machine) { firmware(m, on, []byte("UEFI Debug Mode\x00")) }, want: "chip.debug debug_enabled"},
		{name: "debug mode before something hidden", breaks: func(m *tpmtest.Machine) {
			firmware(m, []byte("UEFI Debug Mode"), on)
			m.Events[len(m.Events)-3] = tpmtest.Event{PCR: 7, Type: 0x0d, Data: []byte("hello"), Digest: on}
		}, want: "chip.events software_mismatch, chip.debug debug_enabled"},
		{name: "debug mode without a separator", breaks: func(m *tpmtest.Machine) {
			firmware(m, []byte("UEFI Debug Mode"))
			m.Events = slices.Delete(m.Events, len(m.Events)-2, len(m.Events)-1)
		}, want: "chip.debug debug_enabled"},
		{name: "locality", breaks: locality(3), rules: set("locality", 3)},
		{name: "locality of a late launch", breaks: locality(4), rules: set("locality", 4)},
		{name: "locality, never asked", breaks: locality(3)},
		{name: "locality 0", rules: set("locality", 0)},
		{name: "locality 0, said", breaks: locality(0), rules: set("locality", 0)},
		{name: "another locality", breaks: locality(3), rules: set("locality", 0), want: "chip.locality policy_mismatch", says: "locality 3"},
		{name: "locality of a register that isn't quoted", breaks: func(m *tpmtest.Machine) { m.Quoted[0].PCRs &^= 1 }, rules: set("locality", 0), want: "chip.locality policy_mismatch"},
		{name: "locality of a register that nothing was measured into", breaks: func(m *tpmtest.Machine) {
			locality(3)(m)
			m.Events = slices.DeleteFunc(m.Events, func(e tpmtest.Event) bool { return e.PCR == 0 && e.Type != 3 })
		}},
		{name: "locality beside other words", breaks: func(m *tpmtest.Machine) {
			m.Events = append([]tpmtest.Event{{PCR: 0, Type: 3, Data: []byte("some words")}}, m.Events...)
		}, rules: set("locality", 0)},
		{name: "locality not said", breaks: func(m *tpmtest.Machine) { m.Start = 3 }, want: "chip.log software_mismatch", says: "PCR 0 (sha256) = "},
		{name: "locality said twice", breaks: func(m *tpmtest.Machine) {
			locality(0)(m)
			locality(0)(m)
		}, rules: set("locality", 0), want: "chip.locality policy_mismatch"},
		{name: "locality that isn't there", breaks: func(m *tpmtest.Machine) {
			locality(0)(m)
			m.Events[0].Data[16] = 2
		}, rules: set("locality", 0), want: "chip.locality policy_mismatch"},
		{name: "locality too long", breaks: func(m *tpmtest.Machine) {
			locality(0)(m)
			m.Events[0].Data = append(m.Events[0].Data, 0)
		}, rules: set("locality", 0), want: "chip.locality policy_mismatch"},
		{name: "locality that is measured", breaks: func(m *tpmtest.Machine) {
			locality(3)(m)
			m.Start, m.Events[0].Type = 0, 0x0d
		}, rules: set("locality", 0)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := tpmtest.New()
			if tt.breaks != nil {
				tt.breaks(m)
			}
			a := judge(m, policy(m, func(r map[string]any) {
				if tt.rules != nil {
					tt.rules(m, r)
				}
			}), tpmtest.Now)
			got := failures(a)
			if strings.Join(got, ", ") != tt.want {
				t.Fatalf("failed: %v, want %q", got, tt.want)
			}
			if tt.want != "" {
				id, _, _ := strings.Cut(got[len(got)-1], " ")
				if c := check(a, id); tt.says != "" && !strings.Contains(c.Want+"|"+c.Found, tt.says) {
					t.Errorf("%+v doesn't say %q", c, tt.says)
				}
			}
		})
	}
}

func pss() *tpmtest.Key {
	k := tpmtest.AttestationKey(tpmtest.RSA())
	k.Scheme = tpm.AlgRSAPSS
	return k
}

// long is a key that hashes with SHA-384.
func long(private crypto.Signer) *tpmtest.Key {
	k := tpmtest.AttestationKey(private)
	k.NameAlg, k.Hash = tpm.AlgSHA384, tpm.AlgSHA384
	return k
}

func without(bits uint32) func(*tpmtest.Machine) {
	return func(m *tpmtest.Machine) { m.AK.Attributes &^= bits; m.Use(m.AK) }
}

func with(bits uint32) func(*tpmtest.Machine) {
	return func(m *tpmtest.Machine) { m.AK.Attributes |= bits; m.Use(m.AK) }
}

func leaf(f func(*x509.Certificate)) func(*tpmtest.Machine) {
	return func(m *tpmtest.Machine) { m.Leaf = f }
}

func in(handle uint32) func(*tpmtest.Machine) {
	return func(m *tpmtest.Machine) { m.Signer = m.AK.QualifiedName(handle) }
}

func twoBanks(m *tpmtest.Machine) {
	m.Banks = append(m.Banks, tpm.AlgSHA384)
	m.Quoted = append(m.Quoted, tpm.Selection{Bank: tpm.AlgSHA384, PCRs: 0xff00ff})
	m.Quoted[1].PCRs |= 1 << 11
}

func weak(m *tpmtest.Machine) { m.Quoted = []tpm.Selection{{Bank: tpm.AlgSHA1, PCRs: 0x80}} }

func locality(n byte) func(*tpmtest.Machine) {
	return func(m *tpmtest.Machine) {
		m.Start = n
		m.Events = append([]tpmtest.Event{{PCR: 0, Type: 3, Data: append([]byte("StartupLocality\x00"), n)}}, m.Events...)
	}
}

func set(name string, v any) func(*tpmtest.Machine, rules) {
	return func(_ *tpmtest.Machine, r rules) { r[name] = v }
}

func hierarchy(name string) func(*tpmtest.Machine, rules) { return set("hierarchy", name) }

func requireCRL(_ *tpmtest.Machine, r rules) { r["require_crl"] = true }

func quoted(bank string, pcrs ...int) func(*tpmtest.Machine, rules) {
	return set("quoted", []any{rules{"bank": bank, "pcrs": pcrs}})
}

func BenchmarkVerify(b *testing.B) {
	for name, key := range map[string]*tpmtest.Key{"P-256": tpmtest.AttestationKey(tpmtest.P256A()), "RSA": tpmtest.AttestationKey(tpmtest.RSA())} {
		m := tpmtest.New()
		m.Use(key)
		data, p := m.Evidence(claim.Nonce(tpm.Name)), policy(m, nil)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				tpm.Platform{}.Verify(data, claim, p, tpmtest.Now)
			}
		})
	}
}

// purpose gives the leaf an extended key usage byte for byte.
func purpose(der string) func(*tpmtest.Machine) {
	return leaf(func(c *x509.Certificate) {
		c.UnknownExtKeyUsage = nil
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Value: []byte(der)}}
	})
}

// oneBank has a log with two banks, of which only the first is quoted, and an
// event whose digest in the other one is wrong.
func oneBank(event int, bank uint16, edit func(*tpmtest.Machine)) func(*tpmtest.Machine) {
	return func(m *tpmtest.Machine) {
		m.Banks = []uint16{tpm.AlgSHA256, bank}
		edit(m)
		e := m.Events[event]
		whole := m.Log()
		before := *m
		before.Events = m.Events[:event]
		at := len(before.Log()) // where the event begins
		d, err := hex.DecodeString(e.Hex(bank))
		if err != nil {
			panic(err)
		}
		whole[at+bytes.Index(whole[at:], d)]++
		m.EditParts = func(p *tpmdata.Parts) { p.Log = whole }
	}
}
