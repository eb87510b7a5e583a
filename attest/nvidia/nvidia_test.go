// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package nvidia_test

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/nvidia"
	"github.com/sotto-chat/sotto/attest/nvidia/nvidiatest"
	"github.com/sotto-chat/sotto/attest/section"
)

var (
	now   = time.Unix(1_800_000_000, 0)
	claim = attest.Claim{ReportData: [64]byte{1, 2, 3}}
)

// gpu returns a GPU that answered for the claim.
func gpu(name string) *nvidiatest.GPU {
	g := nvidiatest.Default().GPU(name)
	g.Nonce = claim.Nonce(nvidia.Name)
	return g
}

// again returns the same GPU, so that a change to the copy leaves it as it is.
func again(g *nvidiatest.GPU) *nvidiatest.GPU {
	c := *g
	c.Measurements, c.Fields = slices.Clone(g.Measurements), slices.Clone(g.Fields)
	return &c
}

func policy(t testing.TB, rules string) attest.Policy {
	t.Helper()
	if rules == "" {
		return attest.Policy{}
	}
	return attest.Policy{Platforms: map[string]json.RawMessage{nvidia.Name: json.RawMessage(rules)}}
}

func verify(t testing.TB, data []byte, rules string) attest.Appraisal {
	t.Helper()
	return nvidia.Platform{Roots: nvidiatest.Default().Roots()}.Verify(data, claim, policy(t, rules), now)
}

// found returns the parts that aren't ok, as "id status failure".
func found(a attest.Appraisal) []string {
	var out []string
	for _, c := range a.Checks {
		if c.Status != attest.StatusOK {
			out = append(out, strings.TrimSpace(c.ID+" "+c.Status+" "+c.Failure))
		}
		if c.Title == "" || c.Detail == "" || !strings.HasSuffix(c.Detail, ".") {
			out = append(out, "no words for "+c.ID)
		}
	}
	return out
}

// What is found with an empty policy and nothing wrong.
const (
	noTable = "software.measurement warn"
	noCRLs  = "chip.revocation warn"
)

var hopper = gpu("GH100")

func encode(t testing.TB, table *nvidia.Table) []byte {
	t.Helper()
	b, err := table.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func crls(g *nvidiatest.GPU, from time.Time, serials ...*big.Int) [][]byte {
	v := g.Vendor
	return [][]byte{v.CRL(g, nvidiatest.Root, from, serials...), v.CRL(g, nvidiatest.Model, from, serials...)}
}

func TestEmptyPolicy(t *testing.T) {
	for _, name := range []string{"GH100", "GB100", "GB202"} {
		a := verify(t, nvidiatest.Evidence(nil, nil, gpu(name)), "")
		if got := found(a); !slices.Equal(got, []string{noCRLs, noTable}) {
			t.Errorf("%s: %q", name, got)
		}
		if c := a.Checks[4]; c.ID != "chip.count" || c.Detail != "One GPU sent a report." {
			t.Errorf("%s: %s: %s", name, c.ID, c.Detail)
		}
		if len(a.Chip) != 32 || a.Demo {
			t.Errorf("%s: chip %q, demo %v", name, a.Chip, a.Demo)
		}
	}
}

// Full rules, and a machine that keeps them all.
func full(t testing.TB, gpus []*nvidiatest.GPU, tables [][]byte) string {
	t.Helper()
	var devices, digests []string
	for _, g := range gpus {
		devices = append(devices, verify(t, nvidiatest.Evidence(nil, nil, g), "").Chip)
	}
	for _, b := range tables {
		digests = append(digests, nvidia.TableDigest(b))
	}
	b, err := json.Marshal(map[string]any{
		"gpus": len(gpus), "chip_ids": devices, "arch": []string{"blackwell", "hopper"}, "modes": []string{"mpt", "spt"},
		"min_driver": []string{"560.1", "570.124.06"}, "min_vbios": []string{"97.00.88.00.0F", "96.00.9F.00.04"},
		"tables": digests, "require_crl": true, "revoked": []string{"0badc0de"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestFullPolicy(t *testing.T) {
	gpus := []*nvidiatest.GPU{gpu("GH100"), gpu("GH100"), gpu("GB100")}
	tables := [][]byte{encode(t, nvidiatest.Table(gpus[0])), encode(t, nvidiatest.Table(gpus[2]))}
	lists := append(crls(gpus[0], now), nvidiatest.Default().CRL(gpus[2], nvidiatest.Model, now))
	a := verify(t, nvidiatest.Evidence(tables, lists, gpus...), full(t, gpus, tables))
	if got := found(a); got != nil {
		t.Errorf("found %q", got)
	}
	var ids []string
	for _, c := range a.Checks {
		ids = append(ids, c.ID)
		if strings.HasPrefix(c.ID, "software.") {
			t.Errorf("%s is ok: a GPU must not prove the software row", c.ID)
		}
	}
	want := []string{"chip.chain", "chip.signature", "chip.fwid", "chip.revocation", "chip.count", "chip.model", "chip.id",
		"chip.driver", "chip.vbios", "chip.mode", "chip.measurement", "key.bound"}
	if !slices.Equal(ids, want) {
		t.Errorf("ids %q", ids)
	}
}

// GPUs alone never make a machine that words may be sent to: they would answer
// for the key of any computer that they are plugged into.
func TestGPUsAloneAreNotEnough(t *testing.T) {
	tables := [][]byte{encode(t, nvidiatest.Table(hopper))}
	config := attest.KeyConfig{V: 1, Node: strings.Repeat("0a", 16), Suite: attest.Suite,
		PublicKey: bytes.Repeat([]byte{7}, attest.PublicKeySize), NotBefore: now.Unix(), NotAfter: now.Unix() + 900,
		Release: "none", Models: []attest.Model{}}
	doc, err := config.Encode()
	if err != nil {
		t.Fatal(err)
	}
	g := again(hopper)
	g.Nonce = attest.Claim{ReportData: attest.ReportData(doc)}.Nonce(nvidia.Name)
	data := nvidiatest.Evidence(tables, crls(g, now), g)
	bundle, err := attest.Bundle{V: 1, KeyConfig: doc, Evidence: []attest.Evidence{{Platform: nvidia.Name, Data: data}}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	p := policy(t, full(t, []*nvidiatest.GPU{g}, tables))
	key, v := attest.Verify(bundle, p, now, nvidia.Platform{Roots: nvidiatest.Default().Roots()})
	if key != nil || v.State != attest.StateFailed || v.Failure != attest.FailEvidenceIncomplete {
		t.Errorf("state %s, failure %s", v.State, v.Failure)
	}
	v = attest.Examine([]attest.Evidence{{Platform: nvidia.Name, Data: data}}, nil, p, now, nvidia.Platform{Roots: nvidiatest.Default().Roots()})
	if v.State != attest.StateGenuine {
		t.Errorf("examined: state %s, failure %s", v.State, v.Failure)
	}
}

// Each case breaks one thing about a machine that otherwise keeps all rules.
func TestRules(t *testing.T) {
	base := []*nvidiatest.GPU{gpu("GH100"), gpu("GH100")}
	table := encode(t, nvidiatest.Table(base[0]))
	rules := full(t, base, [][]byte{table})
	stranger := nvidiatest.New()
	serial := func(g *nvidiatest.GPU, place int) *big.Int {
		c, err := x509.ParseCertificate(g.Certificates()[place])
		if err != nil {
			t.Fatal(err)
		}
		return c.SerialNumber
	}
	flip := func(at int) func([]byte) []byte {
		return func(b []byte) []byte { b[(at+len(b))%len(b)] ^= 1; return b }
	}
	type machine struct {
		gpus         []*nvidiatest.GPU
		tables, crls [][]byte
		rules        string
	}
	set := func(old, new string) func(*machine) {
		return func(m *machine) {
			if !strings.Contains(m.rules, old) {
				t.Fatalf("%s is not in %s", old, m.rules)
			}
			m.rules = strings.Replace(m.rules, old, new, 1)
		}
	}
	cert := func(at int, edit func(*x509.Certificate)) func(*machine) {
		return func(m *machine) {
			m.gpus[1].EditCert = func(place int, c *x509.Certificate) {
				if place == at {
					edit(c)
				}
			}
		}
	}
	field := func(typ uint16, v string) func(*machine) {
		return func(m *machine) {
			if v == "" {
				m.gpus[1].Set(typ, nil)
				return
			}
			m.gpus[1].Set(typ, []byte(v))
		}
	}
	tcb := func(value string) func(*machine) {
		b, err := hex.DecodeString(value)
		if err != nil {
			t.Fatal(err)
		}
		return cert(nvidiatest.Leaf, func(c *x509.Certificate) { c.ExtraExtensions[0].Value = b })
	}
	rename := func(name string) func(*machine) {
		return cert(nvidiatest.Model, func(c *x509.Certificate) { c.Subject.CommonName = name })
	}
	noCRL := func(change func(*machine)) func(*machine) {
		return func(m *machine) {
			change(m)
			m.crls = nil
			m.rules = strings.Replace(m.rules, `"require_crl":true,`, "", 1)
		}
	}

	for _, tt := range []struct {
		name  string
		apply func(*machine)
		want  string // all that isn't ok, joined by ", "
		found string // what must stand in the part's Found
	}{
		{"nothing", func(*machine) {}, "", ""},

		{"another root", func(m *machine) {
			m.gpus[1].Vendor = stranger
		}, "chip.chain fail chain_untrusted", ""},
		{"chain of another GPU", func(m *machine) { m.gpus[1].Key = base[0].Key; m.gpus[1].SignWith = base[1].Key }, "chip.signature fail signature_invalid", ""},
		{"expired", cert(nvidiatest.Issuer, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) }), "chip.chain fail collateral_expired", ""},
		{"valid to the second", cert(nvidiatest.Issuer, func(c *x509.Certificate) { c.NotAfter = now }), "", ""},
		{"not yet valid", cert(nvidiatest.Leaf, func(c *x509.Certificate) { c.NotBefore = now.Add(time.Second) }), "chip.chain fail collateral_expired", ""},
		{"device may not sign", cert(nvidiatest.Device, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }), "chip.chain fail chain_untrusted", ""},
		{"leaf is a CA", cert(nvidiatest.Leaf, func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }), "chip.chain fail chain_untrusted", ""},
		{"leaf may not sign reports", cert(nvidiatest.Leaf, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement }), "chip.chain fail chain_untrusted", ""},
		{"condition not known", cert(nvidiatest.Leaf, func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}})
		}), "chip.chain fail chain_untrusted", ""},

		{"report changed after signing", func(m *machine) { m.gpus[1].EditSigned = flip(2000) }, "chip.signature fail signature_invalid, software.measurement fail software_mismatch", "GPU 2: another value in measurement 36"},
		{"r changed", func(m *machine) { m.gpus[1].EditSigned = flip(-96) }, "chip.signature fail signature_invalid", ""},
		{"s changed", func(m *machine) { m.gpus[1].EditSigned = flip(-1) }, "chip.signature fail signature_invalid", ""},
		{"answer changed", func(m *machine) { m.gpus[1].EditSigned = flip(37 + 8 + 64*55) }, "chip.signature fail signature_invalid", ""},

		{"other firmware in the report", field(nvidia.FieldFWID, strings.Repeat("x", 48)), "chip.fwid fail software_mismatch", hex.EncodeToString(bytes.Repeat([]byte("x"), 48))},
		{"other firmware beside a GPU that doesn't say", func(m *machine) {
			m.gpus[0].Set(nvidia.FieldFWID, nil)
			field(nvidia.FieldFWID, strings.Repeat("x", 48))(m)
		}, "chip.fwid fail software_mismatch", "GPU 2"},
		{"no firmware in the report", field(nvidia.FieldFWID, ""), "chip.fwid warn", ""},
		{"no firmware in the certificate", cert(nvidiatest.Leaf, func(c *x509.Certificate) { c.ExtraExtensions = nil }), "chip.fwid fail evidence_malformed", ""},
		{"firmware of no form", tcb("0400"), "chip.fwid fail evidence_malformed", ""},
		{"firmware of another version", func(m *machine) {
			m.gpus[1].EditCert = func(p int, c *x509.Certificate) {
				if p == nvidiatest.Leaf {
					v := c.ExtraExtensions[0].Value
					v[bytes.Index(v, []byte{2, 1, 1})+2] = 0
				}
			}
		}, "chip.fwid fail evidence_malformed", ""},

		{"on the policy's list", func(m *machine) { set("0badc0de", serial(m.gpus[1], nvidiatest.Leaf).Text(16))(m) }, "chip.revocation fail revoked", ""},
		{"on the policy's list, without others", noCRL(func(m *machine) { set("0badc0de", serial(m.gpus[1], nvidiatest.Leaf).Text(16))(m) }), "chip.revocation fail revoked", ""},
		{"device on the policy's list", func(m *machine) { set("0badc0de", serial(m.gpus[1], nvidiatest.Device).Text(16))(m) }, "chip.revocation fail revoked", ""},
		{"model on the policy's list", func(m *machine) { set("0badc0de", serial(m.gpus[1], nvidiatest.Model).Text(16))(m) }, "chip.revocation fail revoked", ""},
		{"root on the policy's list", func(m *machine) { set("0badc0de", serial(m.gpus[1], nvidiatest.Root).Text(16))(m) }, "chip.revocation fail revoked", ""},
		{"root on its own list", func(m *machine) { m.crls = crls(m.gpus[0], now, serial(m.gpus[0], nvidiatest.Root)) }, "chip.revocation fail revoked", ""},
		{"model on the root's list", func(m *machine) { m.crls = crls(m.gpus[0], now, serial(m.gpus[0], nvidiatest.Model)) }, "chip.revocation fail revoked", ""},
		{"issuer on the model's list", func(m *machine) { m.crls = crls(m.gpus[0], now, serial(m.gpus[0], nvidiatest.Issuer)) }, "chip.revocation fail revoked", ""},
		{"device on the issuer's list", func(m *machine) {
			m.crls = append(m.crls, m.gpus[1].Vendor.CRL(m.gpus[1], nvidiatest.Issuer, now, serial(m.gpus[1], nvidiatest.Device)))
			slices.Reverse(m.crls)
		}, "chip.revocation fail revoked", ""},
		{"list out of date", func(m *machine) { m.crls = crls(m.gpus[0], now.Add(-25*time.Hour)) }, "chip.revocation fail collateral_expired", ""},
		{"list of a stranger", func(m *machine) { m.crls = crls(stranger.GPU("GH100"), now) }, "chip.revocation fail signature_invalid", ""},
		{"lists of a stranger's GPUs", func(m *machine) {
			m.gpus[0], m.gpus[1] = again(m.gpus[0]), again(m.gpus[1])
			m.gpus[0].Vendor, m.gpus[1].Vendor = stranger, stranger
			m.crls = crls(m.gpus[1], now.Add(-25*time.Hour))
		}, "chip.chain fail chain_untrusted", ""},
		{"list of nobody", func(m *machine) { m.crls = append(m.crls, m.gpus[0].Vendor.CRL(gpu("GB100"), nvidiatest.Model, now)) }, "chip.revocation fail evidence_malformed", ""},
		{"no list of the root", func(m *machine) { m.crls = m.crls[1:] }, "chip.revocation fail collateral_missing", ""},
		{"no list of the model", func(m *machine) { m.crls = m.crls[:1] }, "chip.revocation fail collateral_missing", ""},
		{"no lists, and none asked for", noCRL(func(*machine) {}), noCRLs, ""},

		{"one GPU less", func(m *machine) { m.gpus = m.gpus[:1] }, "chip.count fail policy_mismatch", "1"},
		{"one GPU more", func(m *machine) { set(`"gpus":2`, `"gpus":1`)(m) }, "chip.count fail policy_mismatch", "2"},
		{"any number", func(m *machine) { set(`"gpus":2`, `"gpus":0`)(m); m.gpus = m.gpus[:1] }, "", ""},
		{"same GPU twice", func(m *machine) { m.gpus[1] = m.gpus[0] }, "chip.id fail policy_mismatch", ""},
		{"same GPU with other firmware", func(m *machine) { m.gpus[1].Own = m.gpus[0].Own }, "chip.id fail policy_mismatch", ""},
		{"another GPU", func(m *machine) { m.gpus[1].Own = nvidiatest.NewKey() }, "chip.id fail policy_mismatch", ""},
		{"any GPU", func(m *machine) {
			m.gpus[1].Own = nvidiatest.NewKey()
			i := strings.Index(m.rules, `"chip_ids":`)
			m.rules = m.rules[:i] + m.rules[strings.Index(m.rules, `"min_driver":`):]
		}, "", ""},

		{"a switch", noCRL(rename("NVIDIA LS10 Identity")), "chip.revocation warn, chip.model fail policy_mismatch", "GPU 2: LS10"},
		{"older GPU", noCRL(rename("NVIDIA GA100 Identity")), "chip.revocation warn, chip.model fail policy_mismatch", "GPU 2: GA100"},
		{"other name", noCRL(rename("NVIDIA GH100 identity")), "chip.revocation warn, chip.model fail policy_mismatch", "GPU 2"},
		{"other maker", noCRL(rename("NVIDIAS GH100 Identity")), "chip.revocation warn, chip.model fail policy_mismatch", "GPU 2"},
		{"no maker", noCRL(rename("GH100 Identity")), "chip.revocation warn, chip.model fail policy_mismatch", "GPU 2"},
		{"other generation", func(m *machine) { set(`["blackwell","hopper"]`, `["blackwell"]`)(m) }, "chip.model fail policy_mismatch", "GPU 1: GH100"},

		{"driver older", func(m *machine) { set(`570.124.06`, `570.124.07`)(m) }, "chip.driver fail firmware_old", "GPU 1: 570.124.06"},
		{"driver of a line without floor", func(m *machine) { set(`570.124.06`, `565.1`)(m) }, "chip.driver fail firmware_old", "GPU 1: 570.124.06"},
		{"driver newer", func(m *machine) { set(`570.124.06`, `570.124`)(m) }, "", ""},
		{"vbios older", func(m *machine) { set(`96.00.9F.00.04`, `96.00.9F.00.05`)(m) }, "chip.vbios fail firmware_old", "GPU 1: 96.00.9F.00.04"},
		{"vbios of a line without floor", func(m *machine) { set(`96.00.9F.00.04`, `95.00.9F.00.04`)(m) }, "chip.vbios fail firmware_old", ""},
		{"vbios newer", func(m *machine) { set(`96.00.9F.00.04`, `96.00.0A.FF.FF`)(m) }, "", ""},

		{"open links", field(nvidia.FieldFeatureFlag, "\x02\x00"), "chip.mode fail policy_mismatch", "GPU 2: ppcie"},
		{"unknown mode", field(nvidia.FieldFeatureFlag, "\x03\x00"), "chip.mode fail policy_mismatch", "GPU 2: 3"},
		{"high mode", field(nvidia.FieldFeatureFlag, "\x00\x01"), "chip.mode fail policy_mismatch", "GPU 2: 256"},
		{"no mode", field(nvidia.FieldFeatureFlag, ""), "chip.mode fail policy_mismatch", "GPU 2: none"},
		{"no mode, accepted", func(m *machine) { field(nvidia.FieldFeatureFlag, "")(m); set(`"mpt"`, `"none"`)(m) }, "", ""},

		{"other measurement", func(m *machine) { m.gpus[1].Measurements[0] = make([]byte, 48) }, "software.measurement fail software_mismatch", "GPU 2: another value in measurement 1"},
		{"other last measurement", func(m *machine) { m.gpus[1].Measurements[63] = make([]byte, 48) }, "software.measurement fail software_mismatch", "GPU 2: another value in measurement 64"},
		{"second allowed value", func(m *machine) { m.gpus[1].Measurements[11] = make([]byte, 48) }, "", ""},
		{"fewer measurements", func(m *machine) { m.gpus[1].Measurements = m.gpus[1].Measurements[:63] }, "software.measurement fail software_mismatch", "GPU 2: another value in measurement 64"},
		{"more measurements", func(m *machine) { m.gpus[1].Measurements = append(m.gpus[1].Measurements, make([]byte, 48)) }, "", ""},
		{"table not pinned", func(m *machine) {
			set(`"sha256:`, `"sha256:00`)(m)
			m.rules = strings.Replace(m.rules, nvidia.TableDigest(table)[69:]+`"`, `"`, 1)
		}, "software.measurement fail software_mismatch", ""},
		{"no table", func(m *machine) { m.tables = nil }, "software.measurement fail collateral_missing", ""},
		{"another table beside", func(m *machine) {
			o := nvidiatest.Table(m.gpus[0])
			o.Entries = o.Entries[:1]
			m.tables = append(m.tables, encode(t, o))
		}, "software.measurement fail software_mismatch", ""},
		{"driver of no table", field(nvidia.FieldDriver, "570.124.07\x00"), "software.measurement fail collateral_missing", ""},
		{"vbios of no table", field(nvidia.FieldVBIOS, "\x00\x9f\x00\x96\x05\x00\x00\x00"), "software.measurement fail collateral_missing", ""},
		{"nothing pinned", func(m *machine) { m.rules = m.rules[:strings.Index(m.rules, `,"tables"`)] + "}" }, "software.measurement warn", ""},

		{"another key", func(m *machine) { m.gpus[1].Nonce[31] ^= 1 }, "key.bound fail key_not_bound", ""},
		{"another key, first GPU", func(m *machine) { m.gpus[0].Nonce[0] ^= 1 }, "key.bound fail key_not_bound", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := machine{[]*nvidiatest.GPU{again(base[0]), again(base[1])}, [][]byte{table}, crls(base[0], now), rules}
			tt.apply(&m)
			a := verify(t, nvidiatest.Evidence(m.tables, m.crls, m.gpus...), m.rules)
			got := found(a)
			if s := strings.Join(got, ", "); s != tt.want {
				t.Errorf("found %s\nwant  %s\nrules %s", s, tt.want, m.rules)
			}
			if !slices.ContainsFunc(a.Checks, func(c attest.Check) bool {
				return tt.found == "" || c.Status == attest.StatusFail && strings.Contains(c.Found, tt.found)
			}) {
				t.Errorf("%q is not among what was found: %+v", tt.found, a.Checks)
			}
		})
	}
}

// Of several GPUs, findings say which, and how many there are.
func TestFoundOfSeveralGPUs(t *testing.T) {
	other := again(blackwell)
	other.Vendor = nvidiatest.New()
	for _, c := range verify(t, nvidiatest.Evidence(nil, nil, hopper, other), "").Checks {
		if c.ID == "chip.chain" && c.Found != "GPU 2" || c.ID == "chip.count" && c.Detail != "2 GPUs sent a report." {
			t.Errorf("%s: %s Found %q", c.ID, c.Detail, c.Found)
		}
	}
}

// Where there is one GPU, findings needn't say which.
func TestFoundOfOneGPU(t *testing.T) {
	for _, c := range verify(t, nvidiatest.Evidence(nil, nil, hopper), `{"min_driver":["571.0"]}`).Checks {
		if c.ID == "chip.driver" && (c.Found != "570.124.06" || c.Want != "571.0, or later of the same line") {
			t.Errorf("found %q, want %q", c.Found, c.Want)
		}
	}
}

// While the first video decoder is off, its measurement isn't compared.
func TestDecoderOff(t *testing.T) {
	g := again(hopper)
	table := nvidiatest.Table(g)
	table.Entries[35].NVDEC0 = true
	b := encode(t, table)
	rules := `{"tables":["` + nvidia.TableDigest(b) + `"]}`
	g.Measurements[35] = make([]byte, 48)
	for value, want := range map[string]string{
		"\x55": noCRLs, "\xaa": noCRLs + ", software.measurement fail software_mismatch",
		"": noCRLs + ", software.measurement fail software_mismatch", "\xaa\xaa": noCRLs,
	} {
		g.Set(nvidia.FieldNVDEC0, nil)
		if value != "" {
			g.Set(nvidia.FieldNVDEC0, []byte(value))
		}
		if s := strings.Join(found(verify(t, nvidiatest.Evidence([][]byte{b}, nil, g), rules)), ", "); s != want {
			t.Errorf("%x: %s, want %s", value, s, want)
		}
	}
	g.Set(nvidia.FieldNVDEC0, []byte{0x55})
	g.Measurements[34] = make([]byte, 48)
	if s := strings.Join(found(verify(t, nvidiatest.Evidence([][]byte{b}, nil, g), rules)), ", "); s != noCRLs+", software.measurement fail software_mismatch" {
		t.Errorf("another one with the decoder off: %s", s)
	}
}

func TestUnbound(t *testing.T) {
	data := nvidiatest.Evidence(nil, nil, hopper)
	a := nvidia.Platform{Roots: nvidiatest.Default().Roots()}.Verify(data, attest.Claim{Unbound: true}, attest.Policy{}, now)
	if got := found(a); !slices.Equal(got, []string{noCRLs, noTable, "key.bound warn"}) {
		t.Errorf("found %q", got)
	}
}

// The pinned root is NVIDIA's, not the fake one's.
func TestPinnedRoot(t *testing.T) {
	a := nvidia.Platform{}.Verify(nvidiatest.Evidence(nil, nil, hopper), claim, attest.Policy{}, now)
	if got := found(a); !slices.Equal(got, []string{"chip.chain fail chain_untrusted", noTable}) {
		t.Errorf("found %q", got)
	}
	if (nvidia.Platform{}).Name() != "nvidia" {
		t.Error("the name is another")
	}
}

func TestPolicyMalformed(t *testing.T) {
	data := nvidiatest.Evidence(nil, nil, hopper)
	for _, rules := range []string{
		`{"gpus":-1}`, `{"gpus":17}`, `{"gpus":"1"}`, `{"x":1}`, `{} {}`,
		`{"chip_ids":["00"]}`, `{"chip_ids":["` + strings.Repeat("A", 32) + `"]}`, `{"chip_ids":[""]}`,
		`{"arch":["ampere"]}`, `{"modes":["cc"]}`, `{"modes":["3"]}`,
		`{"min_driver":["x"]}`, `{"min_driver":["570"]}`, `{"min_driver":["570."]}`, `{"min_driver":["1.2.3.4.5.6"]}`, `{"min_driver":["1.99999"]}`,
		`{"min_vbios":["96.00.9f.00.04"]}`, `{"min_vbios":["96.00.9F.00"]}`, `{"min_vbios":["96.00.9F.00.4"]}`, `{"min_vbios":["196.00.9F.00.04"]}`,
		`{"tables":["` + strings.Repeat("0", 64) + `"]}`, `{"tables":["sha256:00"]}`, `{"tables":["sha256:` + strings.Repeat("0", 63) + `g"]}`,
		`{"revoked":[""]}`, `{"revoked":["0"]}`, `{"revoked":["0x"]}`, `{"revoked":["AA"]}`, `{"revoked":["//"]}`, `{"revoked":["00ab"]}`,
	} {
		a := verify(t, data, rules)
		if got := found(a); !slices.Equal(got, []string{"chip.policy fail policy_malformed", "key.bound fail policy_malformed"}) {
			t.Errorf("%s: %q", rules, got)
		}
	}
	for _, rules := range []string{`{}`, `{"gpus":0}`, `{"gpus":1}`, `{"min_driver":["560.1.2.3.4","570.0"]}`, `{"min_vbios":["96.00.00.00.00"]}`, `{"revoked":["00"]}`} {
		if got := found(verify(t, data, rules)); !slices.Equal(got, []string{noCRLs, noTable}) {
			t.Errorf("%s: %q", rules, got)
		}
	}
	// Confidential mode shows in the measurements only: who requires GPUs pins these.
	for rules, want := range map[string]string{`{}`: "chip.policy fail policy_malformed", `{"tables":[]}`: "software.measurement fail collateral_missing"} {
		p := policy(t, rules)
		p.Require = []string{"snp", nvidia.Name}
		a := nvidia.Platform{Roots: nvidiatest.Default().Roots()}.Verify(data, claim, p, now)
		if got := found(a); !slices.Contains(got, want) {
			t.Errorf("required, %s: %q", rules, got)
		}
	}
	if got := found(verify(t, data, `{"gpus":16}`)); !slices.Equal(got, []string{noCRLs, "chip.count fail policy_mismatch", noTable}) {
		t.Errorf("16: %q", got)
	}
}

func TestEvidenceMalformed(t *testing.T) {
	report, chain, certs := hopper.Report(), hopper.Chain(), hopper.Certificates()
	table := encode(t, nvidiatest.Table(hopper))
	crl := crls(hopper, now)[0]
	join := func(parts ...any) []byte {
		var out []byte
		for i := 0; i < len(parts); i += 2 {
			out = section.Append(out, byte(parts[i].(int)), parts[i+1].([]byte))
		}
		return out
	}
	cat := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	if got := found(verify(t, join(1, report, 2, chain, 3, table, 4, crl), "")); !slices.Equal(got, []string{noCRLs, noTable}) {
		t.Fatalf("nothing wrong: %q", got)
	}
	for name, data := range map[string][]byte{
		"empty":                  {},
		"raw report":             report,
		"no chain":               join(1, report),
		"no report":              join(2, chain),
		"chains and reports":     join(1, report, 2, chain, 2, chain),
		"reports and chains":     join(1, report, 1, report, 2, chain),
		"unknown section":        join(1, report, 2, chain, 5, report),
		"report cut":             join(1, report[:len(report)-1], 2, chain),
		"chain cut":              join(1, report, 2, chain[:len(chain)-1]),
		"chain of four":          join(1, report, 2, cat(certs[:4]...)),
		"chain of six":           join(1, report, 2, cat(chain, certs[4])),
		"chain with a tail":      join(1, report, 2, cat(chain, []byte{0})),
		"chain with no cert":     join(1, report, 2, cat(cat(certs[:4]...), []byte{0x30, 0})),
		"table cut":              join(1, report, 2, chain, 3, table[:len(table)-1]),
		"list cut":               join(1, report, 2, chain, 4, crl[:len(crl)-1]),
		"5 lists":                join(1, report, 2, chain, 4, crl, 4, crl, 4, crl, 4, crl, 4, crl),
		"17 GPUs":                cat(bytes.Repeat(join(1, report), 17), bytes.Repeat(join(2, chain), 17)),
		"table of other content": join(1, report, 2, chain, 3, chain),
	} {
		a := verify(t, data, "")
		if got := found(a); !slices.Equal(got, []string{"chip.report fail evidence_malformed", "key.bound fail evidence_malformed"}) {
			t.Errorf("%s: %q", name, got)
		}
	}
	// Beyond the fifth, nothing is looked at.
	if _, err := nvidia.ParseChain(cat(chain, []byte{0x30, 0})); err == nil || !strings.Contains(err.Error(), "not five") {
		t.Errorf("six: %v", err)
	}
	// In another order the five aren't the way from leaf to root.
	for _, order := range [][]int{{0, 2, 1, 3, 4}, {0, 1, 2, 4, 3}, {1, 2, 3, 4, 0}, {0, 1, 2, 3, 3}, {4, 4, 4, 4, 4}, {1, 2, 3, 4, 4}} {
		var b []byte
		for _, i := range order {
			b = append(b, certs[i]...)
		}
		a := verify(t, join(1, report, 2, b), "")
		if got := found(a); !slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "chip.chain fail") }) {
			t.Errorf("%v: %q", order, got)
		}
	}
}

func TestDescribe(t *testing.T) {
	table := nvidiatest.Table(hopper)
	table.Entries[35].NVDEC0 = true
	g := again(hopper)
	g.Set(99, []byte{1})
	g.Set(98, []byte("A"))
	for i, s := range []string{"A\x20", "A\x7f", "!~", strings.Repeat("A", 33)} {
		g.Set(uint16(100+i), []byte(s))
	}
	g.Set(97, bytes.Repeat([]byte("A"), 40))
	data := nvidiatest.Evidence([][]byte{encode(t, table)}, crls(g, now), g)
	fields, err := nvidia.Describe(data)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	for _, f := range fields {
		values[f.Name] = f.Value
		if f.Meaning == "compared while the first video decoder is on" && f.Name != "table1.measurement36" || f.Name == "table1.measurement36" && f.Meaning == "" {
			t.Errorf("%s: %s", f.Name, f.Meaning)
		}
	}
	for name, want := range map[string]string{
		"gpu1.driver": "570.124.06", "gpu1.vbios": "96.00.9F.00.04", "gpu1.mode": "spt", "gpu1.PROJECT": "G520",
		"gpu1.certificate5": "NVIDIA Device Identity CA", "gpu1.certificate1.fwid": hex.EncodeToString(g.FWID),
		"gpu1.nonce": hex.EncodeToString(g.Nonce[:]), "gpu1.FIELD_99": "01", "gpu1.FIELD_98": "41",
		"gpu1.FIELD_100": "4120", "gpu1.FIELD_101": "417f", "gpu1.FIELD_102": "!~", "gpu1.FIELD_103": strings.Repeat("41", 33),
		"gpu1.FIELD_97": strings.Repeat("41", 40), "gpu1.NVDEC0_STATUS": "aa",
		"gpu1.measurement64": hex.EncodeToString(g.Measurements[63]), "table1.measurement64": hex.EncodeToString(g.Measurements[63]),
		"table1.digest": nvidia.TableDigest(encode(t, table)), "table1.driver": "570.124.06",
		"crl2": "2027-01-15 to 2027-01-16", "gpu1.device": verify(t, data, "").Chip,
	} {
		if values[name] != want {
			t.Errorf("%s is %q, want %q", name, values[name], want)
		}
	}
	raw, err := nvidia.Describe(g.Report())
	if err != nil || len(raw) != 6+15+64 {
		t.Errorf("raw: %d fields, %v", len(raw), err)
	}
	// The names under which NVIDIA publishes what to compare with.
	lists := func(g *nvidiatest.GPU) (driver, vbios string) {
		fields, err := nvidia.Describe(g.Report())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range fields {
			switch f.Name {
			case "driver.list":
				driver = f.Value
			case "vbios.list":
				vbios = f.Value
			}
		}
		return driver, vbios
	}
	if d, v := lists(g); d != "NV_GPU_DRIVER_GH100_570.124.06" || v != "NV_GPU_VBIOS_G520_0200_882_96009F0004" {
		t.Errorf("lists %q and %q", d, v)
	}
	newer := again(gpu("GB100"))
	newer.Set(nvidia.FieldChipInfo, []byte("GB100\x00"))
	newer.Set(nvidia.FieldProjectSKU, nil)
	if d, v := lists(newer); d != "NV_GPU_CC_DRIVER_GB100_"+values["gpu1.driver"] || v != "" {
		t.Errorf("lists %q and %q", d, v)
	}
	g.Measurements[1], g.Measurements[2] = make([]byte, 48), append(make([]byte, 47), 1)
	empty, err := nvidia.Describe(g.Report())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range empty {
		if f.Name == "measurement2" && f.Meaning != "nothing measured" || f.Name == "measurement3" && f.Meaning != "" {
			t.Errorf("%s: %q", f.Name, f.Meaning)
		}
	}
	bad := func(kind byte, of []byte) []byte {
		var b []byte
		for k, v := range [][]byte{g.Report(), g.Chain(), encode(t, table), crls(g, now)[0]} {
			if byte(k+1) == kind {
				v = of
			}
			b = section.Append(b, byte(k+1), v)
		}
		return b
	}
	for kind := byte(1); kind <= 4; kind++ {
		if _, err := nvidia.Describe(bad(kind, []byte{0x30, 0})); err == nil {
			t.Errorf("a bad section %d was described", kind)
		}
	}
	for _, b := range [][]byte{nil, {1}, g.Report()[:100], data[:len(data)-1], section.Append(section.Append(section.Append(nil, 1, g.Report()), 1, g.Report()), 2, g.Chain())} {
		if _, err := nvidia.Describe(b); err == nil {
			t.Errorf("%d bytes described", len(b))
		}
	}
}

func FuzzVerify(f *testing.F) {
	f.Add(nvidiatest.Evidence([][]byte{encode(f, nvidiatest.Table(hopper))}, crls(hopper, now), hopper, gpu("GB100")))
	f.Add(nvidiatest.Evidence(nil, nil, hopper))
	f.Fuzz(func(t *testing.T, data []byte) {
		// Nothing that a fuzzer changes leads to a GPU of the real NVIDIA.
		a := nvidia.Platform{}.Verify(data, claim, attest.Policy{}, now)
		failed := false
		for _, c := range a.Checks {
			failed = failed || c.Status == attest.StatusFail
		}
		if !failed {
			t.Fatalf("accepted %x", data)
		}
		_, _ = nvidia.Describe(data)
	})
}

func BenchmarkVerify(b *testing.B) {
	for _, n := range []int{1, 8} {
		var gpus []*nvidiatest.GPU
		for range n {
			gpus = append(gpus, gpu("GH100"))
		}
		table := encode(b, nvidiatest.Table(gpus[0]))
		data := nvidiatest.Evidence([][]byte{table}, crls(gpus[0], now), gpus...)
		p := policy(b, full(b, gpus, [][]byte{table}))
		b.Run(strconv.Itoa(n)+"gpus", func(b *testing.B) {
			b.ReportAllocs()
			b.ReportMetric(float64(len(data)), "evidence-bytes")
			for b.Loop() {
				nvidia.Platform{Roots: nvidiatest.Default().Roots()}.Verify(data, claim, p, now)
			}
		})
	}
}

// What GPUs share is read, and its signatures checked, once.
func TestSharedCertificates(t *testing.T) {
	for want, gpus := range map[int][]*nvidiatest.GPU{
		5: {hopper, hopper}, 9: {hopper, gpu("GH100"), gpu("GH100")},
	} {
		if got := nvidia.Certificates(nvidiatest.Evidence(nil, nil, gpus...)); got != want {
			t.Errorf("%d GPUs: %d certificates, want %d", len(gpus), got, want)
		}
	}
}
