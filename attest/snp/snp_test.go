// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package snp_test

import (
	"testing"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/snp"
	"github.com/sotto-chat/sotto/attest/snp/snptest"
)

func TestBasic(t *testing.T) {
	for _, p := range []string{"Milan", "Genoa", "Turin"} {
		m := snptest.New(p, [64]byte{1})
		a := snp.Platform{Roots: m.AMD.Roots()}.Verify(m.Data(), attest.Claim{ReportData: [64]byte{1}}, attest.Policy{}, time.Unix(snptest.Now, 0))
		for _, c := range a.Checks {
			t.Logf("%s %s %s %s | %s | %s", c.ID, c.Status, c.Failure, c.Detail, c.Want, c.Found)
		}
	}
}
