// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tdx

import (
	"errors"
	"slices"

	"github.com/sotto-chat/sotto/attest"
)

// Rules is what a policy says about machines of this platform: the JSON object
// under "tdx" in [attest.Policy.Platforms]. The zero Rules are the strict ones,
// but for the software, which only a policy can name. Values are in hex, and a
// list holds those that are accepted.
//
// What no rule can allow: debugging, a revoked level, attributes and features
// that aren't known.
type Rules struct {
	// What runs. All five registers must be pinned for the software to count as
	// proved, RTMRs by value or by events.
	MRTD   []string     `json:"mrtd,omitempty"`  // 48 bytes: the firmware
	RTMR0  []string     `json:"rtmr0,omitempty"` // 48 bytes: what the firmware was told
	RTMR1  []string     `json:"rtmr1,omitempty"` // 48 bytes: boot loader or kernel
	RTMR2  []string     `json:"rtmr2,omitempty"` // 48 bytes: command line, initrd
	RTMR3  []string     `json:"rtmr3,omitempty"` // 48 bytes: the software's own; zeros if it extends nothing
	Events []EventRules `json:"events,omitempty"`

	RequireLog bool `json:"require_log,omitempty"` // of measured boot

	// What the host called it.
	MRConfigID    []string `json:"mrconfigid,omitempty"`    // 48 bytes
	MROwner       []string `json:"mrowner,omitempty"`       // 48 bytes
	MROwnerConfig []string `json:"mrownerconfig,omitempty"` // 48 bytes

	// MRServiceTD lists hashes of service machines that may be bound, 48 bytes;
	// zeros stand for none. None may if it is left out.
	MRServiceTD []string `json:"mrservicetd,omitempty"`

	// How new the firmware must be.
	TCBStatuses   []string `json:"tcb_statuses,omitempty"`          // ["UpToDate"] if left out
	Advisories    []string `json:"advisories,omitempty"`            // the only ones that may stand; any if left out
	MinTCBSVN     string   `json:"min_tcb_svn,omitempty"`           // TEE_TCB_SVN, 16 bytes, each a floor
	MRSEAM        []string `json:"mrseam,omitempty"`                // 48 bytes: the TDX module
	MinEvaluation int      `json:"min_evaluation_number,omitempty"` // tcbEvaluationDataNumber of Intel's documents
	MaxAge        int64    `json:"max_collateral_age,omitempty"`    // seconds since Intel issued them; 0: until they end
	RequireTD15   bool     `json:"require_td15,omitempty"`          // a report of TDX 1.5, which shows bound service machines

	// How the machine was started. See attributeBits for the names.
	AllowAttributes   []string `json:"allow_attributes,omitempty"`   // beside those that are harmless
	RequireAttributes []string `json:"require_attributes,omitempty"` // must be set
	XFAM              []string `json:"xfam,omitempty"`               // 8 bytes as in the quote

	// Which machines.
	FMSPC   []string `json:"fmspc,omitempty"`    // 6 bytes: the model
	ChipIDs []string `json:"chip_ids,omitempty"` // 16 bytes: PPID or platform instance
}

// EventRules pins a register by what was measured into it, for registers whose
// value differs between machines that are all right. Digests are SHA-384.
type EventRules struct {
	Register int      `json:"register"`          // 0 to 3
	Allow    []string `json:"allow,omitempty"`   // may be there, any number of times
	Require  []string `json:"require,omitempty"` // must be there
}

// bit is one bit of a machine's attributes (TDX module ABI, ATTRIBUTES).
type bit struct {
	name, meaning string
	n             uint
	harmless      bool // without a rule it may be set
}

var attributeBits = [...]bit{
	{"icssd", "its control structures may use features of the next generation", 16, false},
	{"lass", "addresses of kernel and programs are kept apart", 27, false},
	{"sept_ve_disable", "its host can't make it stumble over missing pages", 28, true},
	{"migratable", "its host may move it to another machine", 29, false},
	{"pks", "it may use protection keys for its kernel", 30, true},
	{"kl", "it may use key locker", 31, false},
	{"tpa", "its performance counters may be shared out", 62, false},
	{"perfmon", "it may use performance counters", 63, false},
}

// attributeMask returns the bits of a list of names, or false.
func attributeMask(names []string) (mask uint64, ok bool) {
	for _, n := range names {
		i := slices.IndexFunc(attributeBits[:], func(b bit) bool { return b.name == n })
		if i < 0 {
			return 0, false
		}
		mask |= 1 << attributeBits[i].n
	}
	return mask, true
}

// eventRules are [EventRules] that were read.
type eventRules struct{ allow, require attest.Values }

// rules are Rules that were read: values are bytes, and a list that is nil asks
// for nothing.
type rules struct {
	Rules
	mrtd, mrConfigID, mrOwner, mrOwnerConfig, mrServiceTD attest.Values
	rtmr                                                  [4]attest.Values
	events                                                [4]*eventRules
	mrseam, xfam, fmspc, chipIDs                          attest.Values
	minSVN                                                []byte // nil: no floor
	statuses                                              []status
	allow, require                                        uint64
}

// strict are the rules of a policy without any.
func strict() rules { return rules{statuses: []status{upToDate}} }

// loadRules reads and checks the rules of a policy. What can't be meant, such as
// an empty list, is an error: a rule that a typo turns off is worse than none.
func loadRules(p attest.Policy) (rules, error) {
	r := strict()
	if err := p.Rules(Name, &r.Rules); err != nil {
		return r, err
	}
	var err error
	if r.MinTCBSVN != "" {
		floor, err := attest.ReadValues("min_tcb_svn", []string{r.MinTCBSVN}, 16)
		if err != nil {
			return r, err
		}
		r.minSVN = floor[0]
	}
	for _, l := range []struct {
		name string
		from []string
		to   *attest.Values
		size int
	}{
		{"mrtd", r.MRTD, &r.mrtd, 48},
		{"rtmr0", r.RTMR0, &r.rtmr[0], 48},
		{"rtmr1", r.RTMR1, &r.rtmr[1], 48},
		{"rtmr2", r.RTMR2, &r.rtmr[2], 48},
		{"rtmr3", r.RTMR3, &r.rtmr[3], 48},
		{"mrconfigid", r.MRConfigID, &r.mrConfigID, 48},
		{"mrowner", r.MROwner, &r.mrOwner, 48},
		{"mrownerconfig", r.MROwnerConfig, &r.mrOwnerConfig, 48},
		{"mrservicetd", r.MRServiceTD, &r.mrServiceTD, 48},
		{"mrseam", r.MRSEAM, &r.mrseam, 48},
		{"xfam", r.XFAM, &r.xfam, 8},
		{"fmspc", r.FMSPC, &r.fmspc, 6},
		{"chip_ids", r.ChipIDs, &r.chipIDs, 16},
	} {
		if *l.to, err = attest.ReadValues(l.name, l.from, l.size); err != nil {
			return r, err
		}
	}
	for _, e := range r.Rules.Events {
		if e.Register < 0 || e.Register > 3 || r.events[e.Register] != nil || len(e.Allow)+len(e.Require) == 0 {
			return r, errors.New("events holds something else than one rule for each of the registers 0 to 3")
		}
		n := &eventRules{}
		if n.allow, err = attest.ReadValues("allow", e.Allow, 48); err != nil {
			return r, err
		}
		if n.require, err = attest.ReadValues("require", e.Require, 48); err != nil {
			return r, err
		}
		r.events[e.Register] = n
	}
	if r.TCBStatuses != nil {
		r.statuses = nil
		for _, n := range r.TCBStatuses {
			i := slices.Index(statusNames[:], n)
			if i <= int(unknown) || i == int(revoked) {
				return r, errors.New("tcb_statuses holds something else than a status that can be accepted")
			}
			r.statuses = append(r.statuses, status(i))
		}
	}
	if r.TCBStatuses != nil && len(r.TCBStatuses) == 0 ||
		r.AllowAttributes != nil && len(r.AllowAttributes) == 0 || r.RequireAttributes != nil && len(r.RequireAttributes) == 0 {
		return r, errors.New("tcb_statuses, allow_attributes or require_attributes is an empty list")
	}
	if r.MinEvaluation < 0 || r.MaxAge < 0 {
		return r, errors.New("min_evaluation_number or max_collateral_age is negative")
	}
	var ok1, ok2 bool
	r.allow, ok1 = attributeMask(r.AllowAttributes)
	r.require, ok2 = attributeMask(r.RequireAttributes)
	if !ok1 || !ok2 {
		return r, errors.New("allow_attributes or require_attributes names an attribute that is not known")
	}
	r.allow |= r.require
	for _, b := range attributeBits {
		if b.harmless {
			r.allow |= 1 << b.n
		}
	}
	return r, nil
}
