// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package attest_test

import (
	"errors"
	"reflect"
	"testing"

	"github.com/sotto-chat/sotto/attest"
)

func TestFindings(t *testing.T) {
	var f attest.Findings
	f.Pass("chip.a", "A", "Right.")
	f.Warn("chip.b", "B", "Look.", "1")
	f.Fail("chip.c", "C", attest.FailRevoked, "Wrong.", "1", "2")
	if want := (attest.Findings{
		{ID: "chip.a", Title: "A", Status: "ok", Detail: "Right."},
		{ID: "chip.b", Title: "B", Status: "warn", Detail: "Look.", Found: "1"},
		{ID: "chip.c", Title: "C", Status: "fail", Failure: "revoked", Detail: "Wrong.", Want: "1", Found: "2"},
	}); !reflect.DeepEqual(f, want) {
		t.Errorf("got %+v", f)
	}
	if a := attest.Refused("chip.report", "T", attest.FailEvidenceMalformed, "No."); !reflect.DeepEqual(a.Checks, []attest.Check{
		{ID: "chip.report", Title: "T", Status: "fail", Failure: "evidence_malformed", Detail: "No."},
		{ID: "key.bound", Title: "The proof speaks of this key", Status: "fail", Failure: "evidence_malformed", Detail: "No."},
	}) {
		t.Errorf("refused: %+v", a)
	}
}

func TestRulesThatCannotBeRead(t *testing.T) {
	why := errors.New("x is no number")
	a := attest.RefusedRules("GPUs", why)
	var f attest.Findings
	f.FailRules("GPUs", why)
	if len(a.Checks) != 2 || a.Checks[1].ID != "key.bound" || a.Checks[1].Failure != attest.FailPolicyMalformed || len(f) != 1 || !reflect.DeepEqual(a.Checks[0], f[0]) {
		t.Fatalf("%+v, %+v", a, f)
	}
	if c := f[0]; c.ID != "chip.policy" || c.Status != attest.StatusFail || c.Failure != attest.FailPolicyMalformed || c.Found != "x is no number" ||
		c.Detail != "This app's own rules for GPUs can't be read: x is no number." {
		t.Errorf("%+v", c)
	}
}
