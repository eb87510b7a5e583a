// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package attest_test

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/attest"
)

var now = time.Unix(1_800_000_000, 0)

// testConfig is a config that is valid at now.
func testConfig() attest.KeyConfig {
	return attest.KeyConfig{
		V: 1, Node: strings.Repeat("0a", 16), Suite: attest.Suite,
		PublicKey: bytes.Repeat([]byte{7}, attest.PublicKeySize),
		NotBefore: now.Unix() - 60, NotAfter: now.Unix() + 840,
		Release: "sha256:" + strings.Repeat("ab", 32),
		Models:  []attest.Model{{ID: "demo", Digest: "none", Context: 4096}},
	}
}

func testBundle(t testing.TB, c attest.KeyConfig, platforms ...string) []byte {
	t.Helper()
	config, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	b := attest.Bundle{V: 1, KeyConfig: config}
	for _, p := range platforms {
		b.Evidence = append(b.Evidence, attest.Evidence{Platform: p, Data: []byte("quote")})
	}
	doc, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// chip is a platform whose findings a test dictates: hardware that says
// whatever is wanted.
type chip struct {
	name      string
	appraisal attest.Appraisal
}

func (c chip) Name() string { return c.name }

func (c chip) Verify([]byte, attest.Claim, attest.Policy, time.Time) attest.Appraisal {
	return c.appraisal
}

// genuine is what a real chip's evidence comes to.
func genuine() []attest.Check {
	return []attest.Check{
		attest.Passed("chip.signature", "Signed", "The maker of the chip signed it."),
		attest.Passed("software.measured", "Measured", "It is the release that it says."),
		attest.Passed("key.bound", "Bound", "The key is in the proof."),
	}
}

func TestVerdictNeedsEveryRowProved(t *testing.T) {
	ok := chip{"snp", attest.Appraisal{Checks: genuine(), Chip: "chip-1"}}
	bundle := testBundle(t, testConfig(), "snp")
	key, v := attest.Verify(bundle, attest.Policy{}, now, ok)
	if key == nil || v.State != attest.StateVerified || v.Failure != "" || v.Chip != "chip-1" {
		t.Fatalf("genuine machine: key %v, verdict %+v", key, v)
	}
	if key.Demo() || key.ID() != attest.KeyID(mustParse(t, bundle).KeyConfig) {
		t.Errorf("key = %+v", key)
	}
	for i := range genuine() {
		missing := ok
		missing.appraisal.Checks = slices.Delete(genuine(), i, i+1)
		key, v := attest.Verify(bundle, attest.Policy{}, now, missing)
		if key != nil || v.State != attest.StateFailed || v.Failure != attest.FailEvidenceIncomplete {
			t.Errorf("without %q: state %s, failure %s", genuine()[i].ID, v.State, v.Failure)
		}
		warned := ok
		warned.appraisal.Checks = genuine()
		warned.appraisal.Checks[i].Status = attest.StatusWarn
		if key, v := attest.Verify(bundle, attest.Policy{}, now, warned); key != nil {
			t.Errorf("with only a warning for %q: state %s", genuine()[i].ID, v.State)
		}
		wrong := ok
		wrong.appraisal.Checks = append(genuine(), attest.Failed(genuine()[i].ID+"2", "", attest.FailDebugEnabled, "Debug is on."))
		if key, v := attest.Verify(bundle, attest.Policy{}, now, wrong); key != nil || v.Failure != attest.FailDebugEnabled {
			t.Errorf("with one wrong part under %q: state %s, failure %s", genuine()[i].ID, v.State, v.Failure)
		}
	}
}

func TestEvidenceOfSeveralPlatforms(t *testing.T) {
	cpu := chip{"tdx", attest.Appraisal{Checks: genuine()}}
	gpu := chip{"nvidia", attest.Appraisal{Checks: []attest.Check{
		attest.Passed("chip.gpu", "Signed", "The GPU is real."),
		attest.Passed("key.gpu", "Bound", "The GPU answered for this key."),
	}}}
	strayGPU := chip{"nvidia", attest.Appraisal{Checks: gpu.appraisal.Checks[:1]}}
	pretend := chip{"software", attest.Appraisal{Demo: true, Checks: genuine()}}

	for _, tt := range []struct {
		name           string
		bundle         []string
		policy         attest.Policy
		platforms      []attest.Platform
		state, failure string
	}{
		{"cpu and gpus", []string{"tdx", "nvidia", "nvidia"}, attest.Policy{}, []attest.Platform{cpu, gpu}, "verified", ""},
		{"gpu alone says nothing of the software", []string{"nvidia"}, attest.Policy{}, []attest.Platform{cpu, gpu}, "failed", "evidence_incomplete"},
		{"gpu of another machine", []string{"tdx", "nvidia"}, attest.Policy{}, []attest.Platform{cpu, strayGPU}, "failed", "evidence_incomplete"},
		{"gpu asked for and missing", []string{"tdx"}, attest.Policy{Require: []string{"tdx", "nvidia"}}, []attest.Platform{cpu, gpu}, "failed", "platform_missing"},
		{"gpu not known to the client", []string{"tdx", "nvidia"}, attest.Policy{}, []attest.Platform{cpu}, "unknown", "platform_unknown"},
		{"pretence beside the real", []string{"tdx", "software"}, attest.Policy{}, []attest.Platform{cpu, pretend}, "failed", "software_refused"},
		{"pretence allowed beside the real", []string{"tdx", "software"}, attest.Policy{AllowSoftware: true}, []attest.Platform{cpu, pretend}, "demo", ""},
	} {
		key, v := attest.Verify(testBundle(t, testConfig(), tt.bundle...), tt.policy, now, tt.platforms...)
		if v.State != tt.state || v.Failure != tt.failure {
			t.Errorf("%s: %s %q, want %s %q", tt.name, v.State, v.Failure, tt.state, tt.failure)
		}
		if sendable := tt.state == "verified" || tt.state == "demo"; (key != nil) != sendable {
			t.Errorf("%s: key %v for state %s", tt.name, key, v.State)
		}
	}
}

// Rows that are proved by pieces which each leave something open are not proved:
// a genuine chip here and the right software there can be two machines.
func TestOnePlatformProvesTheWhole(t *testing.T) {
	part := func(name string, rows ...string) attest.Platform {
		a := attest.Appraisal{}
		for _, row := range []string{"chip", "software", "key"} {
			c := attest.Passed(row+".x", "Right", "It is right.")
			if !slices.Contains(rows, row) {
				c = attest.Warned(row+".x", "Open", "Nothing was asked for.")
			}
			a.Checks = append(a.Checks, c)
		}
		return chip{name, a}
	}
	all := []string{"chip", "software", "key"}
	for _, tt := range []struct {
		name    string
		require []string
		a, b    attest.Platform
		failure string
		row     string
	}{
		{"both whole", nil, part("tdx", all...), part("tpm", all...), "", ""},
		{"one whole", nil, part("tdx", all...), part("tpm", "chip"), "", ""},
		{"the other whole", nil, part("tdx", "key"), part("tpm", all...), "", ""},
		{"software of the other", nil, part("tdx", "chip", "key"), part("tpm", "software", "key"), "evidence_incomplete", "software.whole"},
		{"key of the other", nil, part("tdx", "chip", "software"), part("tpm", "key"), "evidence_incomplete", "software.whole"},
		{"required and whole", []string{"tdx"}, part("tdx", all...), part("tpm", "chip"), "", ""},
		{"both required", []string{"tdx", "tpm"}, part("tdx", all...), part("tpm", all...), "", ""},
		{"required leaves the chip open", []string{"tpm", "tdx"}, part("tdx", "software", "key"), part("tpm", all...), "evidence_incomplete", "chip.whole"},
		{"one of the required proves the software", []string{"tpm", "tdx"}, part("tdx", "chip", "key"), part("tpm", all...), "", ""},
		{"the software of one that isn't required", []string{"tdx"}, part("tdx", "chip", "key"), part("tpm", all...), "evidence_incomplete", "software.whole"},
		{"required leaves the key open", []string{"tpm", "tdx"}, part("tdx", "chip", "software"), part("tpm", all...), "evidence_incomplete", "key.whole"},
	} {
		key, v := attest.Verify(testBundle(t, testConfig(), "tdx", "tpm"), attest.Policy{Require: tt.require}, now, tt.a, tt.b)
		if v.Failure != tt.failure || (key != nil) != (tt.failure == "") {
			t.Errorf("%s: %s %q, want %q", tt.name, v.State, v.Failure, tt.failure)
		}
		found := ""
		for _, row := range v.Checks {
			for _, c := range row.Parts {
				if strings.HasSuffix(c.ID, ".whole") {
					found += c.ID
				}
			}
		}
		if tt.row == "software.whole" && !strings.HasPrefix(rowOf(v, "software").Detail, "Parts of this proof come from different hardware") {
			t.Errorf("%s: %s", tt.name, rowOf(v, "software").Detail)
		}
		if found != tt.row {
			t.Errorf("%s: parts %q, want %q", tt.name, found, tt.row)
		}
	}
}

// Hardware that doesn't keep memory from its owner is enough by itself only for
// who says so.
func TestUnshieldedHardware(t *testing.T) {
	shy := chip{"tpm", attest.Appraisal{Checks: genuine(), Unshielded: true}}
	cpu := chip{"tdx", attest.Appraisal{Checks: genuine()}}
	open := chip{"tdx", attest.Appraisal{Checks: []attest.Check{genuine()[0], genuine()[2]}}}
	for _, tt := range []struct {
		name    string
		bundle  []string
		require []string
		tdx     attest.Platform
		failure string
		detail  string
	}{
		{"alone", []string{"tpm"}, nil, cpu, "evidence_incomplete", "What vouches for this machine can't keep"},
		{"alone and asked for", []string{"tpm"}, []string{"tpm"}, cpu, "", ""},
		{"beside a processor", []string{"tdx", "tpm"}, nil, cpu, "", ""},
		{"for a processor that leaves the software open", []string{"tdx", "tpm"}, nil, open, "evidence_incomplete", "What vouches for this machine can't keep"},
		{"the same, asked for both", []string{"tdx", "tpm"}, []string{"tdx", "tpm"}, open, "", ""},
		{"twice", []string{"tpm", "tpm"}, nil, cpu, "evidence_incomplete", "What vouches for this machine can't keep"},
	} {
		key, v := attest.Verify(testBundle(t, testConfig(), tt.bundle...), attest.Policy{Require: tt.require}, now, shy, tt.tdx)
		if v.Failure != tt.failure || (key != nil) != (tt.failure == "") || !strings.HasPrefix(v.Checks[1].Detail, tt.detail) {
			t.Errorf("%s: %s %q, %q", tt.name, v.State, v.Failure, v.Checks[1].Detail)
		}
	}
}

func TestKeyConfigAppraised(t *testing.T) {
	ok := chip{"snp", attest.Appraisal{Checks: genuine()}}
	for _, tt := range []struct {
		name           string
		change         func(*attest.KeyConfig, *attest.Policy)
		state, failure string
	}{
		{"last second", func(c *attest.KeyConfig, _ *attest.Policy) { c.NotAfter = now.Unix() + 1 }, "verified", ""},
		{"just over", func(c *attest.KeyConfig, _ *attest.Policy) { c.NotAfter = now.Unix() }, "unknown", "key_expired"},
		{"clock a little behind", func(c *attest.KeyConfig, _ *attest.Policy) { c.NotBefore = now.Unix() + attest.ClockSkew }, "verified", ""},
		{"clock far behind", func(c *attest.KeyConfig, _ *attest.Policy) { c.NotBefore = now.Unix() + attest.ClockSkew + 1 }, "unknown", "key_not_yet_valid"},
		{"lives too long", func(c *attest.KeyConfig, _ *attest.Policy) { c.NotBefore = c.NotAfter - attest.DefaultMaxLifetime - 1 }, "failed", "key_lifetime"},
		{"lives longer than this policy likes", func(_ *attest.KeyConfig, p *attest.Policy) { p.MaxLifetime = 899 }, "failed", "key_lifetime"},
		{"other suite", func(c *attest.KeyConfig, _ *attest.Policy) { c.Suite = "X25519" }, "failed", "key_suite"},
		{"release accepted", func(c *attest.KeyConfig, p *attest.Policy) { p.Releases = []string{"none", c.Release} }, "verified", ""},
		{"release refused", func(_ *attest.KeyConfig, p *attest.Policy) { p.Releases = []string{"none"} }, "failed", "release_refused"},
	} {
		c, p := testConfig(), attest.Policy{}
		tt.change(&c, &p)
		key, v := attest.Verify(testBundle(t, c, "snp"), p, now, ok)
		if v.State != tt.state || v.Failure != tt.failure || (key != nil) != (tt.state == "verified") {
			t.Errorf("%s: %s %q, want %s %q", tt.name, v.State, v.Failure, tt.state, tt.failure)
		}
	}
}

// A platform that answers outside the agreement makes its machine fail.
func TestPlatformFaults(t *testing.T) {
	for name, c := range map[string]attest.Check{
		"unknown row":             attest.Passed("gpu.signature", "", ""),
		"no name":                 attest.Passed("chip", "", ""),
		"unknown status":          {ID: "chip.x", Status: "maybe"},
		"unlisted failure":        attest.Failed("chip.x", "", "it_broke", ""),
		"failure without a name":  {ID: "chip.x", Status: attest.StatusFail},
		"success with a failure":  {ID: "chip.x", Status: attest.StatusOK, Failure: attest.FailRevoked},
		"frame's row with no dot": {ID: "", Status: attest.StatusOK},
	} {
		faulty := chip{"snp", attest.Appraisal{Checks: append(genuine(), c)}}
		if key, v := attest.Verify(testBundle(t, testConfig(), "snp"), attest.Policy{}, now, faulty); key != nil || v.Failure != attest.FailPlatformError {
			t.Errorf("%s: %s %q", name, v.State, v.Failure)
		}
	}
}

func TestVerdictHasFiveRowsAlways(t *testing.T) {
	for _, bundle := range [][]byte{nil, []byte("{}"), testBundle(t, testConfig(), "snp")} {
		_, v := attest.Verify(bundle, attest.Policy{}, now)
		var ids []string
		for _, c := range v.Checks {
			ids = append(ids, c.ID)
			if c.Title == "" || c.Detail == "" || c.Status == "" {
				t.Errorf("row %q lacks words: %+v", c.ID, c)
			}
		}
		if want := []string{"chip", "software", "log", "key", "page"}; !slices.Equal(ids, want) {
			t.Errorf("rows %v, want %v", ids, want)
		}
		if v.Platforms == nil || v.Models == nil {
			t.Error("a list is null in JSON")
		}
	}
}

// Verify is a function of its arguments: two judgements share nothing.
func TestVerdictsShareNothing(t *testing.T) {
	ok := chip{"snp", attest.Appraisal{Checks: genuine()}}
	bundle := testBundle(t, testConfig(), "snp")
	_, a := attest.Verify(bundle, attest.Policy{}, now, ok)
	_, b := attest.Verify(bundle, attest.Policy{}, now, ok)
	a.Checks[0].Parts[0].Detail = "changed"
	if b.Checks[0].Parts[0].Detail == "changed" {
		t.Error("two verdicts share their parts")
	}
}

func mustParse(t testing.TB, doc []byte) attest.Bundle {
	t.Helper()
	b, err := attest.ParseBundle(doc)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// There is one encoding of a document. What its fields may hold is tested where
// they are, in package bundle.
func TestOneEncodingOnly(t *testing.T) {
	config, err := testConfig().Encode()
	if err != nil {
		t.Fatal(err)
	}
	parsers := map[string]struct {
		doc   string
		limit int
		parse func([]byte) error
	}{
		"key config": {string(config), attest.MaxKeyConfig, func(b []byte) error { _, err := attest.ParseKeyConfig(b); return err }},
		"bundle":     {string(testBundle(t, testConfig(), "snp")), attest.MaxBundle, func(b []byte) error { _, err := attest.ParseBundle(b); return err }},
	}
	for what, p := range parsers {
		if err := p.parse([]byte(p.doc)); err != nil {
			t.Errorf("%s: own encoding: %v", what, err)
		}
		for name, tt := range map[string]struct{ doc, want string }{
			"empty":             {"", "not the expected JSON"},
			"another type":      {"[]", "not the expected JSON"},
			"unknown field":     {strings.Replace(p.doc, `{"v":1,`, `{"v":1,"x":1,`, 1), "not the expected JSON"},
			"trailing newline":  {p.doc + "\n", "not in canonical form"},
			"trailing document": {p.doc + p.doc, "bytes follow"},
			"trailing brace":    {p.doc + "}", "bytes follow"},
			"white space":       {strings.Replace(p.doc, `{"v":1,`, `{"v": 1,`, 1), "not in canonical form"},
			"repeated field":    {strings.Replace(p.doc, `{"v":1,`, `{"v":1,"v":1,`, 1), "not in canonical form"},
			"too long":          {p.doc + strings.Repeat(" ", p.limit), "longer than"},
			"version":           {strings.Replace(p.doc, `{"v":1,`, `{"v":2,`, 1), "v is not 1"},
		} {
			if err := p.parse([]byte(tt.doc)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %s: %v", what, name, err)
			}
		}
	}
}

func FuzzVerify(f *testing.F) {
	f.Add(testBundle(f, testConfig(), "snp", "tdx"))
	f.Add([]byte(`{"v":1,"key_config":"e30=","evidence":[]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		ok := chip{"snp", attest.Appraisal{Checks: genuine()}}
		key, v := attest.Verify(doc, attest.Policy{}, now, ok)
		if (key != nil) != (v.State == attest.StateVerified) {
			t.Fatalf("key %v with state %s", key, v.State)
		}
		if (v.Failure == "") != (key != nil) {
			t.Fatalf("failure %q with key %v", v.Failure, key)
		}
		if _, err := json.Marshal(v); err != nil {
			t.Fatal(err)
		}
		if b, err := attest.ParseBundle(doc); err == nil {
			again, err := b.Encode()
			if err != nil || !bytes.Equal(again, doc) {
				t.Fatalf("accepted %q, encodes as %q (%v)", doc, again, err)
			}
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	ok := chip{"snp", attest.Appraisal{Checks: genuine()}}
	bundle := testBundle(b, testConfig(), "snp")
	b.ReportAllocs()
	for b.Loop() {
		if key, _ := attest.Verify(bundle, attest.Policy{}, now, ok); key == nil {
			b.Fatal("refused")
		}
	}
}

// The closed list is the one that the spec prints, marks included.
func TestFailuresAreThoseOfTheSpec(t *testing.T) {
	spec, err := os.ReadFile("../spec/verdict.md")
	if err != nil {
		t.Fatal(err)
	}
	_, list, ok := strings.Cut(string(spec), "\n## Failures\n")
	if !ok {
		t.Fatal("the section is gone")
	}
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\| \*([a-z_]+)\* \| (\??) ?\|`).FindAllStringSubmatch(list, -1) {
		listed[m[1]] = true
		c := attest.Failed("chip.x", "", m[1], "x")
		ok := chip{"snp", attest.Appraisal{Checks: append(genuine(), c)}}
		_, v := attest.Verify(testBundle(t, testConfig(), "snp"), attest.Policy{}, now, ok)
		want := attest.StateFailed
		if m[2] == "?" {
			want = attest.StateUnknown
		}
		if v.Failure != m[1] || v.State != want {
			t.Errorf("%s: verdict %s %q, want %s", m[1], v.State, v.Failure, want)
		}
	}
	source, err := os.ReadFile("verdict.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^\tFail\w+ += "([a-z_]+)"`).FindAllStringSubmatch(string(source), -1) {
		if !listed[m[1]] {
			t.Errorf("the spec doesn't list %s", m[1])
		}
		delete(listed, m[1])
	}
	for name := range listed {
		t.Errorf("the code doesn't have %s", name)
	}
}
