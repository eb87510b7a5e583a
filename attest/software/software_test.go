// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package software_test

import (
	"testing"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/software"
	"github.com/sotto-chat/sotto/attest/software/forge"
)

// Evidence of software is always a demo, never says that anything is right, and
// still belongs to one key only.
func TestVerify(t *testing.T) {
	claim := attest.Claim{ReportData: [64]byte{1, 2, 3}, Config: attest.KeyConfig{Release: "none"}}
	good := func(rd [64]byte) []byte {
		es, err := forge.Evidence(rd)
		if err != nil || len(es) != 1 || es[0].Platform != software.Name {
			t.Fatalf("%v, %v", es, err)
		}
		return es[0].Data
	}
	flipped := good(claim.ReportData)
	flipped[10] ^= 1
	for _, tt := range []struct {
		name    string
		data    []byte
		failure string
	}{
		{"of this key", good(claim.ReportData), ""},
		{"of another key", good([64]byte{9}), attest.FailKeyNotBound},
		{"flipped", flipped, attest.FailKeyNotBound},
		{"empty", nil, attest.FailEvidenceMalformed},
		{"short", good(claim.ReportData)[:63], attest.FailEvidenceMalformed},
		{"long", append(good(claim.ReportData), 0), attest.FailEvidenceMalformed},
	} {
		a := software.Platform{}.Verify(tt.data, claim, attest.Policy{}, time.Unix(1, 0))
		if !a.Demo || a.Chip != "" {
			t.Errorf("%s: demo %v, chip %q", tt.name, a.Demo, a.Chip)
		}
		var ids []string
		for _, c := range a.Checks {
			ids = append(ids, c.ID)
			if c.Status == attest.StatusOK {
				t.Errorf("%s: %s is right", tt.name, c.ID)
			}
		}
		if len(ids) != 3 || ids[0] != "chip.software" || ids[1] != "software.measured" || ids[2] != "key.bound" {
			t.Fatalf("%s: parts %v", tt.name, ids)
		}
		if got := a.Checks[2]; got.Failure != tt.failure || (got.Status == attest.StatusWarn) != (tt.failure == "") {
			t.Errorf("%s: %+v", tt.name, got)
		}
	}
}
