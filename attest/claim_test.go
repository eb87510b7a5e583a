// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package attest_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/attest"
)

func testClaim() (c attest.Claim) {
	for i := range c.ReportData {
		c.ReportData[i] = byte(i)
	}
	return c
}

// The values are those of spec/evidence.md, made by another program.
func TestNonce(t *testing.T) {
	for platform, want := range map[string]string{
		"tpm":    "7db4abe2afb0262ff31e22be536e2e0ed1730737e4ea81ed669bd48307d9b470",
		"nvidia": "2a9ff448e9a78b86e8eca35dbe5c52dd8cc5febc5f2326cbcd08c1bb1b52e568",
	} {
		if got := testClaim().Nonce(platform); hex.EncodeToString(got[:]) != want {
			t.Errorf("nonce for %s: %x, want %s", platform, got, want)
		}
	}
}

func TestBound(t *testing.T) {
	c, free := testClaim(), attest.Claim{Unbound: true}
	nonce := c.Nonce("tpm")
	other := bytes.Clone(c.ReportData[:])
	other[63] ^= 1
	otherNonce := c.Nonce("nvidia")
	for name, tt := range map[string]struct {
		got             attest.Check
		status, failure string
		found           []byte
	}{
		"whole":               {c.Bound(c.ReportData[:]), "ok", "", nil},
		"another":             {c.Bound(other), "fail", "key_not_bound", other},
		"a part":              {c.Bound(c.ReportData[:63]), "fail", "key_not_bound", c.ReportData[:63]},
		"a nonce":             {c.Bound(nonce[:]), "fail", "key_not_bound", nonce[:]},
		"nothing":             {c.Bound(nil), "fail", "key_not_bound", []byte{}},
		"nonce":               {c.BoundNonce("tpm", nonce[:]), "ok", "", nil},
		"another's nonce":     {c.BoundNonce("tpm", otherNonce[:]), "fail", "key_not_bound", otherNonce[:]},
		"whole for a nonce":   {c.BoundNonce("tpm", c.ReportData[:]), "fail", "key_not_bound", c.ReportData[:]},
		"no nonce":            {c.BoundNonce("tpm", nil), "fail", "key_not_bound", []byte{}},
		"no key":              {free.Bound(other), "warn", "", other},
		"no key, zero":        {free.Bound(make([]byte, 64)), "warn", "", make([]byte, 64)},
		"no key, for a nonce": {free.BoundNonce("tpm", nonce[:]), "warn", "", nonce[:]},
	} {
		if tt.got.ID != "key.bound" || tt.got.Status != tt.status || tt.got.Failure != tt.failure {
			t.Errorf("%s: %+v, want %s %q", name, tt.got, tt.status, tt.failure)
		}
		if tt.got.Found != hex.EncodeToString(tt.found) {
			t.Errorf("%s: found %q, want %x", name, tt.got.Found, tt.found)
		}
		if want := c.ReportData[:]; tt.status == "fail" && tt.got.Want != hex.EncodeToString(want) && tt.got.Want != hex.EncodeToString(nonce[:]) {
			t.Errorf("%s: want %q", name, tt.got.Want)
		}
	}
}

func TestRules(t *testing.T) {
	type inner struct {
		Least int `json:"least"`
	}
	type rules struct {
		Debug bool             `json:"debug"`
		Names []string         `json:"names"`
		Boot  map[string]inner `json:"boot"`
		Chip  inner            `json:"chip"`
		Deep  any              `json:"deep"`
	}
	nested := func(n int) string { return strings.Repeat(`[`, n) + strings.Repeat(`]`, n) }
	for _, tt := range []struct {
		doc, wrong string
		want       rules
	}{
		{`{}`, "", rules{Debug: true}},
		{` {"debug":false, "chip":{"least":3}} `, "", rules{Chip: inner{3}}},
		{`{"names":["a","a"],"boot":{"a":{"least":1},"b":{"least":2}}}`, "",
			rules{Debug: true, Names: []string{"a", "a"}, Boot: map[string]inner{"a": {1}, "b": {2}}}},
		// A text that looks like a key is a value where a value is due.
		{`{"names":["names"],"deep":"names"}`, "", rules{Debug: true, Names: []string{"names"}, Deep: "names"}},
		{`{"deep":` + nested(15) + `}`, "", rules{Debug: true, Deep: "nested"}},

		{`{"deep":` + nested(16) + `}`, "nested", rules{}},
		{`{"deep":` + strings.Repeat(`[`, 1<<20) + `}`, "nested", rules{}},
		{``, "EOF", rules{}},
		{`{`, "EOF", rules{}},
		{`{"debug":true`, "EOF", rules{}},
		{`{"debug":`, "EOF", rules{}},
		{`{"debug":true,`, "", rules{Deep: "fails"}},
		{`{"debug":true]`, "", rules{Deep: "fails"}},
		{`[]`, "cannot unmarshal", rules{}},
		{`7`, "cannot unmarshal", rules{}},
		{`{"debug":1}`, "cannot unmarshal", rules{}},
		{`null`, "a null", rules{}},
		{`{"chip":null}`, "a null", rules{}},
		{`{"names":["a",null]}`, "a null", rules{}},
		{`{"chip":{"least":null}}`, "a null", rules{}},
		{`{"debugs":true}`, "unknown field", rules{}},
		{`{"chip":{"most":3}}`, "unknown field", rules{}},
		{`{"debug":false,"debug":true}`, "“debug” stands there twice", rules{}},
		{`{"debug":false,"Debug":true}`, "“Debug” stands there twice", rules{}},
		{`{"chip":{"least":3,"least":0}}`, "“least” stands there twice", rules{}},
		{`{"boot":{"a":{"least":3},"a":{}}}`, "“a” stands there twice", rules{}},
		{`{"chip":{"least":3},"chip":{}}`, "“chip” stands there twice", rules{}},
		{`{"deep":[{"a":1,"a":2}]}`, "“a” stands there twice", rules{}},
		{`{}{}`, "follow", rules{}},
		{`{} x`, "follow", rules{}},
		{`{} ]`, "follow", rules{}},
	} {
		name := tt.doc[:min(len(tt.doc), 80)]
		v := rules{Debug: true}
		p := attest.Policy{Platforms: map[string]json.RawMessage{"snp": json.RawMessage(tt.doc), "tdx": json.RawMessage(`broken`)}}
		err := p.Rules("snp", &v)
		switch {
		case tt.wrong != "" || tt.want.Deep == "fails":
			if err == nil || !strings.Contains(err.Error(), tt.wrong) {
				t.Errorf("%s: error %v, want one with %q", name, err, tt.wrong)
			}
			continue
		case err != nil:
			t.Errorf("%s: %v", name, err)
			continue
		}
		if v.Deep != nil && tt.want.Deep == "nested" {
			v.Deep = "nested"
		}
		got, _ := json.Marshal(v)
		want, _ := json.Marshal(tt.want)
		if !bytes.Equal(got, want) {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	v := rules{Debug: true}
	if err := (attest.Policy{}).Rules("snp", &v); err != nil || !v.Debug {
		t.Errorf("without rules: %+v, %v", v, err)
	}
}

// looker is a platform that answers as a real one does to what it is asked.
type looker struct {
	name     string
	found    []byte
	more     []attest.Check // beside a chip that is proved
	demo     bool
	sawEmpty *bool
}

func (l looker) Name() string { return l.name }

func (l looker) Verify(_ []byte, c attest.Claim, _ attest.Policy, _ time.Time) attest.Appraisal {
	checks := append([]attest.Check{attest.Passed("chip.signature", "Signed", "The maker signed it.")}, l.more...)
	return attest.Appraisal{Checks: append(checks, c.Bound(l.found)), Chip: "chip-1", Demo: l.demo}
}

// noKey answers about nothing but the chip, and says it only half.
type noKey struct{ looker }

func (n noKey) Verify([]byte, attest.Claim, attest.Policy, time.Time) attest.Appraisal {
	return attest.Appraisal{Checks: n.more}
}

func TestExamine(t *testing.T) {
	c := testClaim()
	other := c.ReportData
	other[0] ^= 1
	unpinned := attest.Warned("software.measured", "Measured", "Nothing pins what runs.")
	measured := attest.Passed("software.measured", "Measured", "It is as asked.")
	halfChip := []attest.Check{attest.Warned("chip.signature", "Signed", "Not looked at."), attest.Passed("key.bound", "Bound", "It is.")}
	snp := looker{name: "snp", found: c.ReportData[:], more: []attest.Check{unpinned}}
	with := func(l looker, cs ...attest.Check) looker { l.more = append(slices.Clone(l.more), cs...); return l }
	named := func(l looker, name string) looker { l.name = name; return l }
	pinned := looker{name: "snp", found: c.ReportData[:], more: []attest.Check{measured}}
	demo := attest.Policy{AllowSoftware: true}
	pretend := looker{name: "software", found: c.ReportData[:], demo: true}

	for name, tt := range map[string]struct {
		evidence       []string
		data           *[64]byte
		policy         attest.Policy
		platforms      []attest.Platform
		state, failure string
		rows           string // the statuses
	}{
		"nothing asked":      {[]string{"snp"}, nil, attest.Policy{}, []attest.Platform{snp}, "genuine", "", "ok warn warn warn warn"},
		"report data asked":  {[]string{"snp"}, &c.ReportData, attest.Policy{}, []attest.Platform{snp}, "genuine", "", "ok warn warn ok warn"},
		"software asked":     {[]string{"snp"}, nil, attest.Policy{}, []attest.Platform{pinned}, "genuine", "", "ok ok warn warn warn"},
		"all asked":          {[]string{"snp"}, &c.ReportData, attest.Policy{}, []attest.Platform{pinned}, "genuine", "", "ok ok warn ok warn"},
		"two":                {[]string{"snp", "tdx"}, nil, attest.Policy{}, []attest.Platform{snp, named(snp, "tdx")}, "genuine", "", "ok warn warn warn warn"},
		"required":           {[]string{"snp"}, nil, attest.Policy{Require: []string{"snp"}}, []attest.Platform{snp}, "genuine", "", "ok warn warn warn warn"},
		"other report data":  {[]string{"snp"}, &other, attest.Policy{}, []attest.Platform{snp}, "failed", "key_not_bound", "ok warn warn fail warn"},
		"debug":              {[]string{"snp"}, nil, attest.Policy{}, []attest.Platform{with(snp, attest.Failed("chip.debug", "", "debug_enabled", "It is."))}, "failed", "debug_enabled", "fail warn warn warn warn"},
		"software differs":   {[]string{"snp"}, nil, attest.Policy{}, []attest.Platform{with(snp, attest.Failed("software.measured", "", "software_mismatch", "It is."))}, "failed", "software_mismatch", "ok fail warn warn warn"},
		"old list":           {[]string{"snp"}, nil, attest.Policy{}, []attest.Platform{with(snp, attest.Failed("chip.revocation", "", "collateral_expired", "It is."))}, "unknown", "collateral_expired", "fail warn warn warn warn"},
		"nothing":            {nil, nil, attest.Policy{}, []attest.Platform{snp}, "failed", "evidence_incomplete", "fail fail warn fail warn"},
		"nobody to judge":    {[]string{"snp"}, nil, attest.Policy{}, nil, "unknown", "platform_unknown", "fail fail warn fail warn"},
		"required, missing":  {[]string{"snp"}, nil, attest.Policy{Require: []string{"snp", "tpm"}}, []attest.Platform{snp}, "failed", "platform_missing", "fail warn warn warn warn"},
		"chip only half":     {[]string{"snp"}, nil, attest.Policy{}, []attest.Platform{noKey{looker{name: "snp", more: halfChip}}}, "failed", "evidence_incomplete", "fail fail warn ok warn"},
		"one chip only half": {[]string{"snp", "tdx"}, &c.ReportData, attest.Policy{}, []attest.Platform{pinned, noKey{looker{name: "tdx", more: halfChip}}}, "failed", "evidence_incomplete", "fail ok warn ok warn"},
		"chip not proved":    {[]string{"snp"}, nil, attest.Policy{}, []attest.Platform{noKey{looker{name: "snp", more: []attest.Check{halfChip[0], attest.Failed("key.bound", "", "key_not_bound", "It isn't.")}}}}, "failed", "key_not_bound", "fail fail warn fail warn"},
		"no key spoken of":   {[]string{"snp"}, nil, attest.Policy{}, []attest.Platform{noKey{looker{name: "snp", more: []attest.Check{attest.Passed("chip.x", "", "x")}}}}, "failed", "evidence_incomplete", "ok fail warn fail warn"},
		"pretence":           {[]string{"software"}, nil, attest.Policy{}, []attest.Platform{pretend}, "failed", "software_refused", "fail fail warn fail warn"},
		"pretence allowed":   {[]string{"software"}, nil, demo, []attest.Platform{with(pretend, measured)}, "demo", "", "ok ok warn warn warn"},
		"pretence beside":    {[]string{"snp", "software"}, nil, demo, []attest.Platform{pinned, pretend}, "demo", "", "ok ok warn warn warn"},
		"pretence with half": {[]string{"software"}, nil, demo, []attest.Platform{noKey{looker{name: "software", more: halfChip}}}, "failed", "evidence_incomplete", "fail fail warn ok warn"},
	} {
		var evidence []attest.Evidence
		for _, p := range tt.evidence {
			evidence = append(evidence, attest.Evidence{Platform: p, Data: []byte("quote")})
		}
		v := attest.Examine(evidence, tt.data, tt.policy, now, tt.platforms...)
		var rows []string
		for _, r := range v.Checks {
			rows = append(rows, r.Status)
			if r.Status == attest.StatusFail && r.Failure == "" || r.Status != attest.StatusFail && r.Failure != "" {
				t.Errorf("%s: row %s is %s with failure %q", name, r.ID, r.Status, r.Failure)
			}
			if r.Detail == "" {
				t.Errorf("%s: row %s says nothing", name, r.ID)
			}
			redo := "sotto attest verify --json FILE" // there is no address to ask
			if r.ID == attest.RowLog || r.ID == attest.RowPage {
				redo = "" // nobody can
			}
			if r.Redo != redo {
				t.Errorf("%s: row %s is done again by %q, want %q", name, r.ID, r.Redo, redo)
			}
		}
		if v.State != tt.state || v.Failure != tt.failure || strings.Join(rows, " ") != tt.rows {
			t.Errorf("%s: %s %q, rows %s; want %s %q, %s", name, v.State, v.Failure, strings.Join(rows, " "), tt.state, tt.failure, tt.rows)
		}
		if v.KeyID != "" || v.Node != "" || v.Release != "none" || v.CheckedAt != now.Unix() {
			t.Errorf("%s: verdict of no bundle: %+v", name, v)
		}
		if summary := "Genuine hardware signed this. It was compared with what was asked for, and nothing else."; (v.Summary == summary) != (v.State == "genuine") {
			t.Errorf("%s: summary %q", name, v.Summary)
		}
	}

	// An open row says why, in the platform's words where it has any.
	v := attest.Examine([]attest.Evidence{{Platform: "snp"}}, nil, attest.Policy{}, now, snp)
	if got := v.Checks[1].Detail; got != "Nothing pins what runs." {
		t.Errorf("software row: %q", got)
	}
	v = attest.Examine([]attest.Evidence{{Platform: "snp"}}, nil, attest.Policy{}, now, looker{name: "snp"})
	if got := v.Checks[1].Detail; got != "Nothing was asked for here, so nothing was compared." {
		t.Errorf("software row of a platform without words: %q", got)
	}
}
