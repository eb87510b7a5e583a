// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tpm_test

import (
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/tpm"
	"github.com/sotto-chat/sotto/attest/tpm/tpmtest"
)

// Firmware that measures into one bank only leaves another to whatever runs, which
// can measure there that Secure Boot was on. What a register says counts in the
// banks that the rules name, and in SHA-256 if they name none.
func TestBankThatFirmwarePassesOver(t *testing.T) {
	in := func(bank string, alg uint16) func(*tpmtest.Machine, map[string]any) {
		return func(m *tpmtest.Machine, r map[string]any) {
			value := hex.EncodeToString(m.Register(alg, 4))
			r["pcrs"] = []any{map[string]any{"bank": bank, "pcr": 4, "values": []string{value}}}
		}
	}
	named := func(field string, rule map[string]any) func(*tpmtest.Machine, map[string]any) {
		return func(_ *tpmtest.Machine, r map[string]any) { delete(r, "pcrs"); r[field] = []any{rule} }
	}
	for name, c := range map[string]struct {
		rules  func(*tpmtest.Machine, map[string]any)
		quoted []tpm.Selection
		known  bool
	}{
		"the bank of the rules":       {in("sha256", tpm.AlgSHA256), []tpm.Selection{{Bank: tpm.AlgSHA384, PCRs: 0x90}, {Bank: tpm.AlgSHA256, PCRs: 0x90}}, true},
		"another bank":                {in("sha256", tpm.AlgSHA256), []tpm.Selection{{Bank: tpm.AlgSHA384, PCRs: 0x90}, {Bank: tpm.AlgSHA256, PCRs: 0x10}}, false},
		"another bank of the rules":   {in("sha384", tpm.AlgSHA384), []tpm.Selection{{Bank: tpm.AlgSHA384, PCRs: 0x90}}, true},
		"SHA-256 when rules name one": {in("sha384", tpm.AlgSHA384), []tpm.Selection{{Bank: tpm.AlgSHA384, PCRs: 0x10}, {Bank: tpm.AlgSHA256, PCRs: 0x80}}, false},
		"no bank named":               {func(_ *tpmtest.Machine, r map[string]any) { delete(r, "pcrs") }, []tpm.Selection{{Bank: tpm.AlgSHA256, PCRs: 0x80}}, true},
		"no bank named, another":      {func(_ *tpmtest.Machine, r map[string]any) { delete(r, "pcrs") }, []tpm.Selection{{Bank: tpm.AlgSHA384, PCRs: 0x80}}, false},
		"named to be quoted":          {named("quoted", map[string]any{"bank": "sha384", "pcrs": []int{7}}), []tpm.Selection{{Bank: tpm.AlgSHA384, PCRs: 0x80}}, true},
		"named for events": {named("events", map[string]any{"bank": "sha384", "pcr": 4, "begin": [][]string{{strings.Repeat("ab", 48)}}}),
			[]tpm.Selection{{Bank: tpm.AlgSHA384, PCRs: 0x90}}, true},
	} {
		m := tpmtest.New()
		m.Banks = []uint16{tpm.AlgSHA256, tpm.AlgSHA384}
		m.Quoted = c.quoted
		p := policy(m, func(r map[string]any) { r["require_secure_boot"] = true; c.rules(m, r) })
		a := judge(m, p, tpmtest.Now)
		const refused = "chip.secure_boot policy_mismatch"
		if got := failures(a); slices.Contains(got, refused) == c.known || slices.Contains(got, "chip.policy policy_malformed") {
			t.Errorf("%s: %v", name, got)
		}
		if d := check(a, "chip.debug"); (d.Status == attest.StatusOK) != c.known {
			t.Errorf("%s: %+v", name, d)
		}
	}
}
