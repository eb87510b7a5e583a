// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tdx_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/tdx"
	"github.com/sotto-chat/sotto/attest/tdx/tdxtest"
)

// Documents are decoded before it is known who signed them. One that would take
// long, and much memory, isn't.
func TestDocumentOfMuch(t *testing.T) {
	const outside = 1 // before the signature
	for commas, want := range map[int]string{
		1 << 15:   "is of another technology or version",
		1<<15 + 1: "is not in the form in which Intel serves it",
	} {
		m := tdxtest.New([64]byte{})
		m.Bytes = func(name string, b []byte) []byte {
			if name != "tcbInfo" {
				return b
			}
			return []byte(`{"tcbLevels":[` + strings.Repeat("{},", commas-outside) + `{}]}`)
		}
		a := tdx.Platform{Roots: tdxtest.Roots()}.Verify(m.Data(), attest.Claim{}, attest.Policy{}, time.Unix(1_800_000_000, 0))
		if c := a.Checks[0]; c.Failure != attest.FailEvidenceMalformed || !strings.Contains(c.Detail, want) {
			t.Errorf("%d commas: %+v", commas, c)
		}
	}
}
