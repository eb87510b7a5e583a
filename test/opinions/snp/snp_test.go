// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package snp_test

import (
	"testing"
	"time"

	"github.com/google/go-sev-guest/verify/testdata"
	"github.com/google/go-sev-guest/verify/trust"
	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/snp"
	"github.com/sotto-chat/sotto/attest/snp/snpdata"
)

func TestReal(t *testing.T) {
	data, err := snpdata.FromReport(testdata.AttestationBytes, [][]byte{testdata.VcekBytes, trust.AskArkMilanVcekBytes, trust.AskArkGenoaVcekBytes}, nil)
	if err != nil {
		t.Fatal(err)
	}
	v := attest.Examine([]attest.Evidence{{Platform: "snp", Data: data}}, nil, attest.Policy{}, time.Unix(1_700_000_000, 0), snp.Platform{})
	for _, r := range v.Checks {
		for _, c := range r.Parts {
			t.Logf("%s %s %s %s | %s | %s", c.ID, c.Status, c.Failure, c.Detail, c.Want, c.Found)
		}
	}
	f, err := snp.Describe(data)
	for _, x := range f {
		t.Logf("%s: %s (%s)", x.Name, x.Value, x.Meaning)
	}
}
