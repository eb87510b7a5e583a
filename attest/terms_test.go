// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package attest_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/attest"
)

// ledger is a log that lists whatever a test wants, and keeps what it was asked.
type ledger struct {
	listing    attest.Listing
	config     attest.KeyConfig
	checkpoint string
	at         time.Time
}

func (l *ledger) Listing(c attest.KeyConfig, checkpoint []byte, now time.Time) attest.Listing {
	l.config, l.checkpoint, l.at = c, string(checkpoint), now
	return l.listing
}

var pin = json.RawMessage(`{}`)

func listed() attest.Check {
	return attest.Passed("log.release", "Listed", "It is entry 3.")
}

func row(t *testing.T, v attest.Verdict, id string) attest.Check {
	t.Helper()
	i := slices.IndexFunc(v.Checks, func(c attest.Check) bool { return c.ID == id })
	if i < 0 {
		t.Fatalf("no row %q in %+v", id, v.Checks)
	}
	return v.Checks[i]
}

func TestPinWantsTheLog(t *testing.T) {
	ok := chip{"snp", attest.Appraisal{Checks: genuine()}}
	bundle := testBundle(t, testConfig(), "snp")
	warned := attest.Warned("log.view", "Asked", "Its keys came from the same machine.")
	for _, c := range []struct {
		name    string
		pin     json.RawMessage
		log     attest.Log
		state   string
		failure string
		status  string // of the row
		detail  string
	}{
		{"no pin, no log", nil, nil, attest.StateVerified, "", attest.StatusWarn, "This app was told of no public log, so only the operator can say which releases there are."},
		{"pin, no log", pin, nil, attest.StateUnknown, attest.FailLogUnavailable, attest.StatusFail, "The public log of releases could not be asked."},
		{"pin, listed", pin, &ledger{listing: attest.Listing{Parts: []attest.Check{listed(), attest.Passed("log.anchor", "Anchor", "It is new.")}}}, attest.StateVerified, "", attest.StatusOK, "It is entry 3."},
		{"pin, a log without a word", pin, &ledger{}, attest.StateFailed, attest.FailEvidenceIncomplete, attest.StatusFail, "Nothing that this machine sent proves it."},
		{"pin, nothing but warnings", pin, &ledger{listing: attest.Listing{Parts: []attest.Check{warned}}}, attest.StateFailed, attest.FailEvidenceIncomplete, attest.StatusFail, "Nothing that this machine sent proves it."},
		{"pin, listed and a warning", pin, &ledger{listing: attest.Listing{Parts: []attest.Check{listed(), warned}}}, attest.StateVerified, "", attest.StatusWarn, warned.Detail},
		{"no pin, nothing but warnings", nil, &ledger{listing: attest.Listing{Parts: []attest.Check{warned}}}, attest.StateVerified, "", attest.StatusWarn, warned.Detail},
		{"listed, and found wrong", pin, &ledger{listing: attest.Listing{Parts: []attest.Check{listed(),
			attest.Failed("log.anchor", "Anchor", attest.FailLogSplitView, "It shows another log."), warned}}}, attest.StateFailed, attest.FailLogSplitView, attest.StatusFail, "It shows another log."},
		{"no pin, and found wrong", nil, &ledger{listing: attest.Listing{Parts: []attest.Check{
			attest.Failed("log.view", "View", attest.FailLogRollback, "It went back.")}}}, attest.StateFailed, attest.FailLogRollback, attest.StatusFail, "It went back."},
		{"stale", pin, &ledger{listing: attest.Listing{Parts: []attest.Check{
			attest.Failed("log.view", "View", attest.FailLogStale, "It is old.")}}}, attest.StateUnknown, attest.FailLogStale, attest.StatusFail, "It is old."},
	} {
		key, v := attest.Judge(bundle, attest.Terms{Policy: attest.Policy{Pin: c.pin}, Log: c.log}, now, ok)
		r := row(t, v, attest.RowLog)
		if v.State != c.state || v.Failure != c.failure || r.Status != c.status || r.Detail != c.detail || (key != nil) != (c.state == attest.StateVerified) {
			t.Errorf("%s: state %s, failure %q, row %s %q, key %v", c.name, v.State, v.Failure, r.Status, r.Detail, key != nil)
		}
		if redo := r.Redo != ""; redo != (len(r.Parts) > 0) {
			t.Errorf("%s: row is done again by %q with %d parts", c.name, r.Redo, len(r.Parts))
		}
	}
	failed := attest.Failed("log.view", "View", attest.FailLogSplitView, "It forks.")
	failed.Want, failed.Found = "this", "that"
	_, v := attest.Judge(bundle, attest.Terms{Log: &ledger{listing: attest.Listing{Parts: []attest.Check{failed}}}}, now, ok)
	if r := row(t, v, attest.RowLog); r.Want != "this" || r.Found != "that" || r.Failure != attest.FailLogSplitView {
		t.Errorf("row = %+v", r)
	}
}

func TestLogIsAskedAboutTheKey(t *testing.T) {
	c := testConfig()
	checkpoint := []byte("log\n3\nroot\n")
	c.Anchor = attest.Anchor(checkpoint)
	config, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := attest.Bundle{V: 1, KeyConfig: config, Evidence: []attest.Evidence{{Platform: "snp", Data: []byte("quote")}}, Checkpoint: checkpoint}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	entry := &attest.LogEntry{Version: "1.4.3", Index: 3}
	l := &ledger{listing: attest.Listing{Parts: []attest.Check{listed()}, Entry: entry}}
	key, v := attest.Judge(doc, attest.Terms{Policy: attest.Policy{Pin: pin}, Log: l}, now, chip{"snp", attest.Appraisal{Checks: genuine()}})
	if key == nil || v.Log != entry {
		t.Fatalf("key %v, verdict %+v", key, v)
	}
	if !reflect.DeepEqual(l.config, c) || l.checkpoint != string(checkpoint) || !l.at.Equal(now) {
		t.Errorf("the log was asked about %+v, %q at %v", l.config, l.checkpoint, l.at)
	}
}

func TestAnchorIsTheOneThatCame(t *testing.T) {
	checkpoint := []byte("log\n3\nroot\n")
	for _, c := range []struct {
		name         string
		anchor, came []byte
		ok           bool
	}{
		{"none", nil, nil, true},
		{"the one", checkpoint, checkpoint, true},
		{"another", []byte("log\n4\nroot\n"), checkpoint, false},
		{"named and not there", checkpoint, nil, false},
		{"there and not named", nil, checkpoint, false},
	} {
		kc := testConfig()
		kc.Anchor = attest.Anchor(c.anchor)
		config, err := kc.Encode()
		if err != nil {
			t.Fatal(err)
		}
		doc, err := attest.Bundle{V: 1, KeyConfig: config, Evidence: []attest.Evidence{{Platform: "snp", Data: []byte("quote")}}, Checkpoint: c.came}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		_, v := attest.Judge(doc, attest.Terms{Log: &ledger{listing: attest.Listing{Parts: []attest.Check{listed()}}}}, now, chip{"snp", attest.Appraisal{Checks: genuine()}})
		want := attest.FailAnchorMismatch
		if c.ok {
			want = ""
		}
		if v.Failure != want {
			t.Errorf("%s: failure %q, want %q", c.name, v.Failure, want)
		}
		if r := row(t, v, attest.RowLog); !c.ok && (r.Want != kc.Anchor || r.Found != attest.Anchor(c.came)) {
			t.Errorf("%s: wanted %q, found %q", c.name, r.Want, r.Found)
		}
	}
}

// obedient is hardware that is as a policy's rules for it say: "ok", or the name
// of a part to fail.
type obedient struct {
	chip
	asked *[]string
}

func (o obedient) Verify(_ []byte, claim attest.Claim, p attest.Policy, _ time.Time) attest.Appraisal {
	var rule string
	if err := p.Rules(o.name, &rule); err != nil {
		panic(err)
	}
	*o.asked = append(*o.asked, rule)
	checks := genuine()
	if rule != "" && rule != "ok" {
		checks = append(checks, attest.Failed(rule, "Rule", attest.FailPolicyMismatch, "It isn't so."))
	}
	return attest.Appraisal{Checks: checks}
}

func TestManifestAndPolicyBothHold(t *testing.T) {
	rules := func(rule string) map[string]json.RawMessage {
		if rule == "" {
			return nil
		}
		return map[string]json.RawMessage{"snp": json.RawMessage(`"` + rule + `"`)}
	}
	for _, c := range []struct {
		own, manifest string
		asked         []string
		failed        []string
	}{
		{"", "", []string{""}, nil},
		{"ok", "", []string{"ok", ""}, nil},
		{"", "ok", []string{"ok"}, nil},
		{"", "software.x", []string{"software.x"}, []string{"software.x"}},
		{"ok", "software.x", []string{"ok", "software.x"}, []string{"software.x"}},
		{"software.x", "ok", []string{"software.x", "ok"}, []string{"software.x"}},
		{"software.x", "software.x", []string{"software.x", "software.x"}, []string{"software.x"}}, // said once
		{"software.x", "software.y", []string{"software.x", "software.y"}, []string{"software.x", "software.y"}},
		{"ok", "software.measured", []string{"ok", "software.measured"}, []string{"software.measured"}}, // right by one, wrong by the other
	} {
		var asked []string
		p := attest.Policy{Platforms: rules(c.own)}
		l := &ledger{listing: attest.Listing{Parts: []attest.Check{listed()}, Machines: &attest.Policy{Platforms: rules(c.manifest)}}}
		_, v := attest.Judge(testBundle(t, testConfig(), "snp"), attest.Terms{Policy: p, Log: l}, now, obedient{chip{name: "snp"}, &asked})
		var failed []string
		for _, part := range row(t, v, attest.RowSoftware).Parts {
			if part.Status == attest.StatusFail {
				failed = append(failed, part.ID)
			}
		}
		if !slices.Equal(asked, c.asked) || !slices.Equal(failed, c.failed) {
			t.Errorf("own %q, manifest %q: asked by %q, failed %q", c.own, c.manifest, asked, failed)
		}
		if c.manifest == "" { // and without a log
			asked = nil
			attest.Verify(testBundle(t, testConfig(), "snp"), p, now, obedient{chip{name: "snp"}, &asked})
			if !slices.Equal(asked, []string{c.own}) {
				t.Errorf("own %q, no log: asked by %q", c.own, asked)
			}
		}
		if passed := len(row(t, v, attest.RowChip).Parts); passed != 1 {
			t.Errorf("own %q, manifest %q: what was right is said %d times", c.own, c.manifest, passed)
		}
	}
}

func TestManifestRequires(t *testing.T) {
	both := []attest.Platform{chip{"snp", attest.Appraisal{Checks: genuine()}}, chip{"tpm", attest.Appraisal{Checks: genuine()}}}
	own := []string{"snp"}
	for _, c := range []struct {
		there    []string
		manifest []string
		failure  string
	}{
		{[]string{"snp"}, nil, ""},
		{[]string{"snp"}, []string{"snp"}, ""},
		{[]string{"snp"}, []string{"tpm"}, attest.FailPlatformMissing},
		{[]string{"tpm"}, []string{"tpm"}, attest.FailPlatformMissing},
		{[]string{"tpm"}, []string{"snp"}, attest.FailPlatformMissing}, // once
		{[]string{"snp", "tpm"}, []string{"tpm"}, ""},
	} {
		l := &ledger{listing: attest.Listing{Parts: []attest.Check{listed()}, Machines: &attest.Policy{Require: c.manifest}}}
		_, v := attest.Judge(testBundle(t, testConfig(), c.there...), attest.Terms{Policy: attest.Policy{Require: own}, Log: l}, now, both...)
		if v.Failure != c.failure {
			t.Errorf("%v with manifest %v: failure %q, want %q", c.there, c.manifest, v.Failure, c.failure)
		}
		missing := 0
		for _, part := range row(t, v, attest.RowChip).Parts {
			if part.Failure == attest.FailPlatformMissing {
				missing++
			}
		}
		if want := len(c.failure) / len(attest.FailPlatformMissing); missing != want {
			t.Errorf("%v with manifest %v: %d are missing, want %d", c.there, c.manifest, missing, want)
		}
	}
	if !slices.Equal(own, []string{"snp"}) {
		t.Errorf("the policy became %v", own)
	}
}

func TestShorterLifeCounts(t *testing.T) {
	ok := chip{"snp", attest.Appraisal{Checks: genuine()}}
	bundle := testBundle(t, testConfig(), "snp") // 900 seconds
	for _, c := range []struct {
		own, manifest int64
		failure       string
	}{
		{0, 0, ""}, {0, 900, ""}, {0, 899, attest.FailKeyLifetime}, {899, 0, attest.FailKeyLifetime},
		{899, 900, attest.FailKeyLifetime}, {900, 899, attest.FailKeyLifetime}, {900, 900, ""}, {900, 0, ""},
	} {
		l := &ledger{listing: attest.Listing{Parts: []attest.Check{listed()}, Machines: &attest.Policy{MaxLifetime: c.manifest}}}
		if _, v := attest.Judge(bundle, attest.Terms{Policy: attest.Policy{MaxLifetime: c.own}, Log: l}, now, ok); v.Failure != c.failure {
			t.Errorf("own %d, manifest %d: failure %q, want %q", c.own, c.manifest, v.Failure, c.failure)
		}
	}
}

func TestManifestAllowsNothing(t *testing.T) {
	demo := chip{"software", attest.Appraisal{Demo: true, Checks: genuine()}}
	l := &ledger{listing: attest.Listing{Parts: []attest.Check{listed()}, Machines: &attest.Policy{AllowSoftware: true}}}
	if _, v := attest.Judge(testBundle(t, testConfig(), "software"), attest.Terms{Log: l}, now, demo); v.Failure != attest.FailSoftwareRefused {
		t.Errorf("failure = %q", v.Failure)
	}
}

func TestPageRow(t *testing.T) {
	ok := chip{"snp", attest.Appraisal{Checks: genuine()}}
	published := attest.Passed("page.files", "Page", "Every file is the published one.")
	changed := attest.Failed("page.files", "Page", attest.FailPageChanged, "A file is another.")
	for _, c := range []struct {
		parts  []attest.Check
		state  string
		status string
		detail string
	}{
		{nil, attest.StateVerified, attest.StatusWarn, "A web page can be swapped by the server that sends it. The terminal program and its page on this device don’t have this gap."},
		{[]attest.Check{published}, attest.StateVerified, attest.StatusOK, published.Detail},
		{[]attest.Check{published, changed}, attest.StateFailed, attest.StatusFail, changed.Detail},
	} {
		for _, doc := range [][]byte{testBundle(t, testConfig(), "snp"), []byte("no bundle")} {
			_, v := attest.Judge(doc, attest.Terms{Page: c.parts}, now, ok)
			r := row(t, v, attest.RowPage)
			if redo := map[bool]string{true: "sotto verify-web URL"}[len(c.parts) > 0]; r.Redo != redo {
				t.Errorf("%d parts: done again by %q", len(c.parts), r.Redo)
			}
			if r.Status != c.status || r.Detail != c.detail || doc[0] == '{' && v.State != c.state {
				t.Errorf("%d parts: state %s, row %s %q", len(c.parts), v.State, r.Status, r.Detail)
			}
		}
	}
}

// nonced is hardware that says what it was to have signed.
type nonced struct {
	chip
	claim *attest.Claim
}

func (n nonced) Verify(_ []byte, claim attest.Claim, _ attest.Policy, _ time.Time) attest.Appraisal {
	*n.claim = claim
	return n.appraisal
}

func TestFreshEvidenceIsForTheNonce(t *testing.T) {
	doc := testBundle(t, testConfig(), "snp")
	config := mustParse(t, doc).KeyConfig
	var claim attest.Claim
	hw := nonced{chip{"snp", attest.Appraisal{Checks: genuine()}}, &claim}
	attest.Judge(doc, attest.Terms{}, now, hw)
	if claim.ReportData != attest.ReportData(config) {
		t.Error("without a nonce, the claim is not the report data")
	}
	nonce := [32]byte{1, 2, 3}
	attest.Judge(doc, attest.Terms{Nonce: &nonce}, now, hw)
	if claim.ReportData != attest.FreshData(nonce, config) {
		t.Error("with a nonce, the claim is not made of it")
	}
}
