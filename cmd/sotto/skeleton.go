// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/attest"
)

// skeleton is a first policy: it accepts what some evidence shows, and no older
// firmware. It never allows what a policy has to allow by name, but for a cloud's
// key, which it pins to that cloud.
type skeleton struct {
	Require   []string                  `json:"require,omitempty"`
	Platforms map[string]map[string]any `json:"platforms"`
}

// attestPolicy prints a policy that fits evidence, for a person to start from.
func (a *app) attestPolicy(args []string) error {
	fs := a.flags()
	ev := addEvidenceFlags(fs)
	rest, err := a.parse(fs, args)
	if err != nil {
		return err
	}
	f, further, err := ev.read(a, rest)
	if err != nil {
		return err
	}
	pieces, err := f.Evidence(further, time.Now())
	if err != nil {
		return withHint(err, hintFiles)
	}
	if len(f.Bundles) > 0 {
		b, err := attest.ParseBundle(f.Bundles[0])
		if err != nil {
			return withHint(badBundle(err), "")
		}
		pieces = b.Evidence
		if len(f.Bundles) > 1 {
			a.say("there are %d bundles here; this is a policy for the first", len(f.Bundles))
		}
	}
	s := skeleton{Platforms: make(map[string]map[string]any)}
	for _, e := range pieces {
		fields, err := describe(e)
		if err != nil {
			return unreadable(e.Platform, err)
		}
		rules, note := suggest(e.Platform, fields)
		if rules == nil {
			return withHint(errNoPolicy, "a policy for a demo is {\"allow_software\":true}")
		}
		a.sayOnce(note)
		s.Platforms[e.Platform] = rules
		// GPUs whose mode nothing shows can't be required.
		if !slices.Contains(s.Require, e.Platform) && (e.Platform != "nvidia" || rules["tables"] != nil) {
			s.Require = append(s.Require, e.Platform)
		}
	}
	if len(s.Platforms) == 1 && s.Platforms["nvidia"] != nil {
		s.Require = nil // GPUs alone never suffice
		a.say("GPUs vouch beside snp or tdx only: add the rules for those")
	}
	a.say("this accepts what the evidence shows, whatever that is: compare it with what you built before you trust it")
	enc := json.NewEncoder(a.out)
	enc.SetIndent("", "  ")
	return enc.Encode(s)
}

// suggest makes rules of the fields that "sotto attest show" prints, and says
// what would make them better.
func suggest(platform string, fields []attest.Field) (rules map[string]any, note string) {
	values := make(map[string]string)
	for _, f := range fields {
		values[f.Name] = f.Value
	}
	rules = make(map[string]any)
	list := func(rule, field string) {
		if v := values[field]; v != "" {
			rules[rule] = []string{v}
		}
	}
	switch platform {
	case "snp":
		list("measurements", "MEASUREMENT")
		rules["min_firmware"] = values["COMMITTED_VERSION"]
		if p := values["PRODUCT"]; p != "" {
			rules["min_tcb"] = map[string]any{p: levels(values["REPORTED_TCB"])}
		} else {
			note = "give the chip’s certificate with --cert, and the policy has a floor for each part of its firmware too"
		}
		if values["leaf.cspID"] != "" {
			rules["allow_vlek"] = true
			list("csp_ids", "leaf.cspID")
		}
	case "tdx":
		for _, r := range []string{"mrtd", "rtmr0", "rtmr1", "rtmr2", "rtmr3"} {
			list(r, strings.ToUpper(r))
		}
		rules["min_tcb_svn"] = values["TEE_TCB_SVN"]
	case "tpm":
		list("keys", "key.name")
		var pcrs []map[string]any
		for _, f := range fields {
			var pcr int
			name, bank, _ := strings.Cut(f.Name, ".")
			number, ok := strings.CutPrefix(name, "PCR")
			if n, err := strconv.Atoi(number); err == nil && ok {
				pcr = n
			} else {
				continue
			}
			// What a running system extends (10), and what is free for anybody, changes.
			if pcr != 10 && pcr < 15 {
				pcrs = append(pcrs, map[string]any{"bank": bank, "pcr": pcr, "values": []string{f.Value}})
			}
		}
		rules["pcrs"] = pcrs
		note = "the TPM’s key is pinned by its name; where an authority certifies such keys, pin that instead (roots in spec/evidence-tpm.md)"
	case "nvidia":
		gpus := 0
		unique := map[string][]string{}
		for _, f := range fields {
			gpu, name, _ := strings.Cut(f.Name, ".")
			rule := map[string]string{"driver": "min_driver", "vbios": "min_vbios", "mode": "modes", "digest": "tables"}[name]
			switch {
			case rule == "", strings.HasPrefix(gpu, "table") != (rule == "tables"):
			case !slices.Contains(unique[rule], f.Value):
				unique[rule] = append(unique[rule], f.Value)
			}
			if name == "device" {
				gpus++
			}
		}
		rules["gpus"] = gpus
		for rule, values := range unique {
			rules[rule] = values
		}
		if unique["tables"] == nil {
			note = "give NVIDIA’s two lists of measurements, the driver’s and the VBIOS’s, with --cert: without them nothing pins what the GPUs run"
		}
	default:
		return nil, ""
	}
	return rules, note
}

// levels reads what a chip's firmware is written as, "bootloader 4, tee 0", as
// the floors of a policy.
func levels(words string) map[string]int {
	out := make(map[string]int)
	for _, part := range strings.Split(words, ", ") {
		name, value, _ := strings.Cut(part, " ")
		if n, err := strconv.Atoi(value); err == nil {
			out[name] = n
		}
	}
	return out
}
