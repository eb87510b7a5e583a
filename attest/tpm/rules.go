// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tpm

import (
	"encoding/hex"
	"errors"
	"slices"
	"strconv"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/cert"
	"github.com/sotto-chat/sotto/attest/tpm/tpmdata"
)

// Rules is the part of a policy that is about TPMs, under the platform's name
// (spec/evidence-tpm.md, "Policy"). Digests and names are lower-case hex. The
// zero value asks for what can be asked of any TPM, and trusts none.
type Rules struct {
	// Roots are SHA-256 of the SubjectPublicKeyInfo of authorities that certify
	// signing keys.
	Roots []string `json:"roots"`

	// Keys are names of signing keys that are trusted without a certificate: two
	// bytes that say how it was hashed, and the hash of the public area.
	Keys []string `json:"keys"`

	RequireCRL bool   `json:"require_crl"` // of each issuer there must be a list
	Hierarchy  string `json:"hierarchy"`   // where the key must live: "endorsement", "owner", "platform"

	MinFirmware string  `json:"min_firmware"` // firmwareVersion: 16 hex digits
	Resets      *uint32 `json:"resets"`       // resetCount: exactly
	MaxResets   *uint32 `json:"max_resets"`
	Restarts    *uint32 `json:"restarts"` // restartCount: exactly
	MaxRestarts *uint32 `json:"max_restarts"`

	Quoted []BankRule     `json:"quoted"` // registers that must be in the quote
	PCRs   []RegisterRule `json:"pcrs"`   // values that registers may have

	RequireLog        bool        `json:"require_log"`
	Unlogged          []int       `json:"unlogged"` // registers that the log needn't explain; if left out, 10
	Events            []EventRule `json:"events"`
	RequireSecureBoot bool        `json:"require_secure_boot"`
	Locality          *int        `json:"locality"` // at which the TPM was started
}

// BankRule names registers of a bank: "sha256", "sha384" or "sha512".
type BankRule struct {
	Bank string `json:"bank"`
	PCRs []int  `json:"pcrs"`
}

// RegisterRule says what one register may hold.
type RegisterRule struct {
	Bank   string   `json:"bank"`
	PCR    int      `json:"pcr"`
	Values []string `json:"values"`
}

// EventRule says with which measurements a register must begin: those of one of
// the lists, in their order. That some measurement is anywhere among them is
// worth nothing: whatever runs can add it afterwards.
type EventRule struct {
	Bank  string     `json:"bank"`
	PCR   int        `json:"pcr"`
	Begin [][]string `json:"begin"`
}

// Hierarchies of a TPM (TPM 2.0 Library, part 2, table 28).
const (
	HierarchyOwner       = 0x40000001
	HierarchyNull        = 0x40000007
	HierarchyEndorsement = 0x4000000b
	HierarchyPlatform    = 0x4000000c
)

var hierarchies = [...]struct {
	name   string
	handle uint32
}{
	{"endorsement", HierarchyEndorsement}, {"owner", HierarchyOwner}, {"platform", HierarchyPlatform}, {"null", HierarchyNull},
}

// banks returns the banks that the rules name, SHA-256 if none.
func (r *Rules) banks() (out []uint16) {
	for _, q := range r.Quoted {
		out = append(out, bankOf(q.Bank))
	}
	for _, v := range r.PCRs {
		out = append(out, bankOf(v.Bank))
	}
	for _, e := range r.Events {
		out = append(out, bankOf(e.Bank))
	}
	if out == nil {
		return []uint16{AlgSHA256}
	}
	return out
}

// bankOf returns the algorithm of a bank that rules may speak of. 0: none.
func bankOf(name string) uint16 {
	switch name {
	case "sha256":
		return AlgSHA256
	case "sha384":
		return AlgSHA384
	case "sha512":
		return AlgSHA512
	}
	return 0
}

func bankName(alg uint16) string {
	switch alg {
	case AlgSHA1:
		return "sha1"
	case AlgSHA256:
		return "sha256"
	case AlgSHA384:
		return "sha384"
	case AlgSHA512:
		return "sha512"
	case AlgSM3:
		return "sm3"
	}
	return "0x" + strconv.FormatUint(uint64(alg), 16)
}

// rulesOf reads the policy's rules and the roots that they name.
func rulesOf(p attest.Policy) (r Rules, roots []cert.Root, err error) {
	// Linux measures files into register 10 while it runs, and keeps a log of its own.
	r.Unlogged = []int{10}
	if err := p.Rules(tpmdata.Name, &r); err != nil {
		return r, nil, err
	}
	for _, s := range r.Roots {
		key, ok := unhex(s, 32)
		if !ok {
			return r, nil, errors.New("roots holds something else than 64 hex digits")
		}
		roots = append(roots, cert.Root{Name: s, Key: [32]byte(key)})
	}
	for _, s := range r.Keys {
		if _, ok := unhex(s, 34); ok && s[:4] == "000b" {
			continue
		}
		if _, ok := unhex(s, 50); ok && s[:4] == "000c" {
			continue
		}
		return r, nil, errors.New("keys holds something else than the name of a key")
	}
	if _, ok := unhex(r.MinFirmware, 8); r.MinFirmware != "" && !ok {
		return r, nil, errors.New("min_firmware is not 16 hex digits")
	}
	if !slices.Contains([]string{"", "endorsement", "owner", "platform"}, r.Hierarchy) {
		return r, nil, errors.New("hierarchy is not endorsement, owner or platform")
	}
	for _, q := range r.Quoted {
		if bankOf(q.Bank) == 0 || !areRegisters(q.PCRs...) {
			return r, nil, errors.New("quoted holds something else than banks and registers")
		}
	}
	for _, v := range r.PCRs {
		if !areDigests(v.Bank, v.Values) || !measures(v.PCR) {
			return r, nil, errors.New("pcrs holds something else than a register that measures and what it may hold")
		}
	}
	for _, e := range r.Events {
		if len(e.Begin) == 0 || !measures(e.PCR) {
			return r, nil, errors.New("events holds something else than a register that measures and how it begins")
		}
		for _, list := range e.Begin {
			if !areDigests(e.Bank, list) {
				return r, nil, errors.New("events holds something else than digests of its bank")
			}
		}
	}
	if !areRegisters(r.Unlogged...) {
		return r, nil, errors.New("unlogged holds something else than registers")
	}
	return r, roots, nil
}

func areRegisters(pcrs ...int) bool {
	for _, n := range pcrs {
		if n < 0 || n >= registers {
			return false
		}
	}
	return true
}

// measures reports whether what a register holds says anything: 16 and 23 are for
// trying things out, and whatever runs can reset them (PC Client Platform TPM Profile,
// section 4.6) and then make them hold what it likes.
func measures(pcr int) bool { return areRegisters(pcr) && pcr != 16 && pcr != 23 }

// areDigests reports whether list holds one digest of a bank or more, and
// nothing else.
func areDigests(bank string, list []string) bool {
	alg := bankOf(bank)
	for _, s := range list {
		if _, ok := unhex(s, digestSize(alg)); !ok {
			return false
		}
	}
	return alg != 0 && len(list) > 0
}

// unhex decodes n bytes of lower-case hex.
func unhex(s string, n int) ([]byte, bool) {
	b, _ := hex.DecodeString(s) // of what it can't decode, the text of b is shorter
	return b, len(b) == n && hex.EncodeToString(b) == s
}
