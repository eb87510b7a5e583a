// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package attest_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/attest"
)

// partsOf returns the parts of a verdict with an id.
func partsOf(v attest.Verdict, id string) (found []attest.Check) {
	for _, row := range v.Checks {
		for _, c := range row.Parts {
			if c.ID == id {
				found = append(found, c)
			}
		}
	}
	return found
}

func rowOf(v attest.Verdict, id string) attest.Check {
	i := slices.IndexFunc(v.Checks, func(c attest.Check) bool { return c.ID == id })
	return v.Checks[i]
}

func TestKeySaysWhatItIs(t *testing.T) {
	real := chip{"snp", attest.Appraisal{Checks: genuine()}}
	pretend := chip{"software", attest.Appraisal{Checks: genuine(), Demo: true}}
	c := testConfig()
	key, v := attest.Verify(testBundle(t, c, "snp"), attest.Policy{}, now, real)
	if key == nil || key.Demo() {
		t.Fatalf("key of a real machine: %+v", key)
	}
	if v.Node != c.Node || v.Release != c.Release || v.NotBefore != c.NotBefore || v.NotAfter != c.NotAfter || len(v.Models) != 1 || v.KeyID == "" {
		t.Errorf("the verdict says little of the key: %+v", v)
	}
	if len(partsOf(v, "key.suite")) != 1 || len(partsOf(v, "key.validity")) != 1 {
		t.Error("what was found right of the key isn't said")
	}
	for at, want := range map[int64]bool{
		c.NotBefore - attest.ClockSkew: true, c.NotBefore - attest.ClockSkew - 1: false, c.NotAfter - 1: true, c.NotAfter: false,
	} {
		if got := key.ValidAt(time.Unix(at, 0)); got != want {
			t.Errorf("valid at %d: %t", at-c.NotBefore, got)
		}
	}
	for _, order := range [][]string{{"software", "snp"}, {"snp", "software"}} {
		key, v := attest.Verify(testBundle(t, c, order...), attest.Policy{AllowSoftware: true}, now, real, pretend)
		if key == nil || !key.Demo() || v.State != attest.StateDemo {
			t.Errorf("%v: key %+v, %s", order, key, v.State)
		}
	}

	_, v = attest.Verify(testBundle(t, c, "snp"), attest.Policy{Releases: []string{c.Release}}, now, real)
	if p := partsOf(v, "software.release"); len(p) != 1 || p[0].Status != attest.StatusOK {
		t.Errorf("a release that is accepted: %+v", p)
	}
	c.NotBefore = c.NotAfter - attest.DefaultMaxLifetime
	if key, _ := attest.Verify(testBundle(t, c, "snp"), attest.Policy{}, now, real); key == nil {
		t.Error("a key that lives as long as may be is refused")
	}
}

// What can't be read is said once, and nothing is asked after it.
func TestUnreadable(t *testing.T) {
	real := chip{"snp", attest.Appraisal{Checks: genuine()}}
	_, v := attest.Verify([]byte("{}"), attest.Policy{}, now, real)
	if v.Failure != attest.FailBundleMalformed || len(partsOf(v, "key.bundle")) != 1 || len(partsOf(v, "key.config")) != 0 {
		t.Errorf("no bundle: %+v", v)
	}
	b := mustParse(t, testBundle(t, testConfig(), "snp"))
	b.KeyConfig = []byte("{}")
	doc, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	_, v = attest.Verify(doc, attest.Policy{}, now, real)
	if v.Failure != attest.FailKeyConfigMalformed || len(partsOf(v, "key.config")) != 1 || len(partsOf(v, "key.suite")) != 0 || len(v.Platforms) != 0 {
		t.Errorf("no key config: %+v", v)
	}
}

func TestLongestKeyConfig(t *testing.T) {
	c := testConfig()
	size := func() int {
		doc, err := c.Encode()
		if err != nil {
			return attest.MaxKeyConfig + 1
		}
		return len(doc)
	}
	for {
		c.Models = append(c.Models, attest.Model{ID: strings.Repeat("m", 200), Digest: "none"})
		if size() > attest.MaxKeyConfig {
			c.Models = c.Models[:len(c.Models)-1]
			break
		}
	}
	for i, short := 0, attest.MaxKeyConfig-size(); short > 0; i++ {
		n := min(short, 50)
		c.Models[i].ID += strings.Repeat("x", n)
		short -= n
	}
	doc, err := c.Encode()
	if err != nil || len(doc) != attest.MaxKeyConfig {
		t.Fatalf("%d bytes, %v", len(doc), err)
	}
	if _, err := attest.ParseKeyConfig(doc); err != nil {
		t.Error(err)
	}
	if _, err := attest.ParseKeyConfig(append(doc, ' ')); err == nil || !strings.Contains(err.Error(), "longer") {
		t.Errorf("one byte more: %v", err)
	}
}

func TestSeveralPieces(t *testing.T) {
	with := func(name, id string, checks ...attest.Check) attest.Platform {
		return chip{name, attest.Appraisal{Checks: checks, Chip: id}}
	}
	bundle := testBundle(t, testConfig(), "tpm", "snp", "snp", "nvidia")
	key, v := attest.Verify(bundle, attest.Policy{}, now, with("tpm", "", genuine()...), with("snp", "first", genuine()...), with("nvidia", "second", genuine()...))
	if key == nil || v.Chip != "first" || strings.Join(v.Platforms, " ") != "tpm snp nvidia" {
		t.Errorf("%s, chip %q, platforms %v", v.State, v.Chip, v.Platforms)
	}
	// A piece that says nothing of a chip, beside one that says all.
	_, v = attest.Verify(testBundle(t, testConfig(), "snp", "tpm"), attest.Policy{}, now, with("snp", "", genuine()...), with("tpm", "", genuine()[1:]...))
	if v.Failure != attest.FailEvidenceIncomplete || len(partsOf(v, "key.complete")) != 1 {
		t.Errorf("a piece without a chip: %s %q", v.State, v.Failure)
	}
}

// A row that nobody proves is closed as such, and not as proved in parts.
func TestOpenRowIsNoPart(t *testing.T) {
	for i, row := range []string{"chip", "software", "key"} {
		checks := genuine()
		checks[i].Status = attest.StatusWarn
		_, v := attest.Verify(testBundle(t, testConfig(), "snp"), attest.Policy{}, now, chip{"snp", attest.Appraisal{Checks: checks}})
		if v.Failure != attest.FailEvidenceIncomplete || rowOf(v, row).Failure != attest.FailEvidenceIncomplete || len(partsOf(v, "software.whole")) != 0 {
			t.Errorf("%s open: %q, row %+v", row, v.Failure, rowOf(v, row))
		}
		// To be told to accept software is no reason to accept less of hardware.
		key, v := attest.Verify(testBundle(t, testConfig(), "snp"), attest.Policy{AllowSoftware: true}, now, chip{"snp", attest.Appraisal{Checks: checks}})
		if key != nil || v.State != attest.StateFailed {
			t.Errorf("%s open, where software is accepted: %s", row, v.State)
		}
	}
}

func TestDemoIsWholeByWarnings(t *testing.T) {
	pretend := func(status string) attest.Platform {
		checks := genuine()
		checks[0].Status = status
		if status == attest.StatusFail {
			checks[0].Failure = attest.FailRevoked
		}
		return chip{"software", attest.Appraisal{Checks: checks, Demo: true}}
	}
	half := chip{"tpm", attest.Appraisal{Checks: []attest.Check{genuine()[0], genuine()[2]}}}
	demo := attest.Policy{AllowSoftware: true}
	if key, v := attest.Verify(testBundle(t, testConfig(), "software", "tpm"), demo, now, pretend(attest.StatusWarn), half); key == nil {
		t.Errorf("warned of the chip only: %s %q", v.State, v.Failure)
	}
	demo.Require = []string{"software"}
	_, v := attest.Verify(testBundle(t, testConfig(), "software"), demo, now, pretend(attest.StatusFail))
	if v.Failure != attest.FailRevoked || len(partsOf(v, "chip.whole")) != 0 {
		t.Errorf("a chip that is revoked: %q, %v", v.Failure, partsOf(v, "chip.whole"))
	}
}

func TestWhichFailureIsNamed(t *testing.T) {
	fail := func(id, name, detail string) attest.Check { return attest.Failed(id, "", name, detail) }
	for name, tt := range map[string]struct {
		more           []attest.Check
		state, failure string
		row, detail    string
	}{
		"key before chip":      {[]attest.Check{fail("chip.a", "revoked", "a"), fail("key.b", "key_not_bound", "b")}, "failed", "key_not_bound", "chip", "a"},
		"chip before software": {[]attest.Check{fail("software.a", "software_mismatch", "a"), fail("chip.b", "revoked", "b")}, "failed", "revoked", "software", "a"},
		"the first of a row":   {[]attest.Check{fail("chip.a", "revoked", "a"), fail("chip.b", "firmware_old", "b")}, "failed", "revoked", "chip", "a"},
		"not checked":          {[]attest.Check{fail("chip.a", "collateral_expired", "a"), fail("chip.b", "collateral_missing", "b")}, "unknown", "collateral_expired", "chip", "a"},
		"not checked, wrong":   {[]attest.Check{fail("chip.a", "collateral_expired", "a"), fail("chip.b", "revoked", "b")}, "failed", "collateral_expired", "chip", "a"},
		"wrong, not checked":   {[]attest.Check{fail("chip.a", "revoked", "a"), fail("chip.b", "collateral_expired", "b")}, "failed", "revoked", "chip", "a"},
		"of the log":           {[]attest.Check{fail("log.a", "release_refused", "a")}, "failed", "release_refused", "log", "a"},
		"warning after right":  {[]attest.Check{attest.Warned("chip.a", "", "a"), attest.Passed("chip.b", "", "b")}, "verified", "", "chip", "a"},
		"the log is public":    {[]attest.Check{attest.Passed("log.a", "", "a")}, "verified", "", "log", "a"},
		"the page too":         {[]attest.Check{attest.Passed("page.a", "", "a")}, "verified", "", "page", "a"},
	} {
		_, v := attest.Verify(testBundle(t, testConfig(), "snp"), attest.Policy{}, now, chip{"snp", attest.Appraisal{Checks: append(genuine(), tt.more...)}})
		if v.State != tt.state || v.Failure != tt.failure || rowOf(v, tt.row).Detail != tt.detail {
			t.Errorf("%s: %s %q, row %s says %q; want %s %q, %q", name, v.State, v.Failure, tt.row, rowOf(v, tt.row).Detail, tt.state, tt.failure, tt.detail)
		}
	}
	// A row of which all is wrong has the failure of its part.
	_, v := attest.Verify(testBundle(t, testConfig(), "snp"), attest.Policy{}, now, chip{"snp", attest.Appraisal{
		Checks: []attest.Check{fail("chip.a", "revoked", "a"), genuine()[1], genuine()[2]}}})
	if r := rowOf(v, "chip"); r.Failure != attest.FailRevoked || r.Detail != "a" {
		t.Errorf("a chip of which all is wrong: %+v", r)
	}
}
