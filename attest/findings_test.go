// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package attest_test

import (
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
