// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package nvidia

import (
	"errors"
	"slices"
	"strings"

	"github.com/sotto-chat/sotto/attest"
)

// rules are a policy's under the name "nvidia" (spec/evidence-nvidia.md, "Policy").
// What is left out isn't asked for.
type rules struct {
	GPUs       int      `json:"gpus"`
	ChipIDs    []string `json:"chip_ids"`
	Arch       []string `json:"arch"`
	Modes      []string `json:"modes"`
	MinDriver  []string `json:"min_driver"`
	MinVBIOS   []string `json:"min_vbios"`
	Tables     []string `json:"tables"`
	RequireCRL bool     `json:"require_crl"`
	Revoked    []string `json:"revoked"`
}

func rulesOf(p attest.Policy) (rules, error) {
	var r rules
	if err := p.Rules(Name, &r); err != nil {
		return r, err
	}
	bad := func(list []string, ok func(string) bool) bool {
		return slices.ContainsFunc(list, func(s string) bool { return !ok(s) })
	}
	switch {
	case r.GPUs < 0 || r.GPUs > MaxGPUs:
		return r, errors.New("gpus is not a number from 0 to 16")
	case bad(r.ChipIDs, func(s string) bool { return isHex(s) && len(s) == 2*deviceSize }):
		return r, errors.New("chip_ids holds something that is not the name of a GPU")
	case bad(r.Arch, func(s string) bool { return s == "hopper" || s == "blackwell" }):
		return r, errors.New("arch holds something else than hopper and blackwell")
	case bad(r.Modes, func(s string) bool { return s == "none" || slices.Contains(modes[:], s) }):
		return r, errors.New("modes holds something else than spt, mpt, ppcie and none")
	case bad(r.MinDriver, func(s string) bool { return versionOf(s, 10) != nil }):
		return r, errors.New("min_driver holds something that is not a version")
	case bad(r.MinVBIOS, isVBIOS):
		return r, errors.New("min_vbios holds something that is not a version")
	case bad(r.Tables, func(s string) bool {
		d, ok := strings.CutPrefix(s, "sha256:")
		return ok && len(d) == 64 && isHex(d)
	}):
		return r, errors.New("tables holds something that is not a digest")
	case bad(r.Revoked, func(s string) bool { return isHex(s) && (s == "00" || s[:2] != "00") }): // else it would never match
		return r, errors.New("revoked holds something that is not a serial number without leading zero bytes")
	case r.Tables == nil && slices.Contains(p.Require, Name): // else one that developers look into would do
		return r, errors.New("nvidia is required, and without tables nothing shows that a GPU is in confidential mode")
	}
	return r, nil
}

func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return s != "" && len(s)%2 == 0
}

// atLeast reports whether a version reaches the floor of its own line: the one
// that starts with the same number. NVIDIA mends each line for itself, so that
// 580.10 may lack what 570.99 has, and a line without a floor isn't accepted.
func atLeast(version string, base int, floors []string) bool {
	v := versionOf(version, base)
	for _, s := range floors {
		if f := versionOf(s, base); f[0] == v[0] && slices.Compare(v, f) >= 0 {
			return true
		}
	}
	return false
}
