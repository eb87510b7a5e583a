// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/internal/collateral"
)

// maxPolicy is the most bytes of a policy file.
const maxPolicy = 1 << 20

// readPolicy reads what a person wants of the machines (spec/evidence.md,
// "Policy"). Rules that would count for nothing are refused: those for a kind of
// hardware that doesn't exist, and those that their kind can't read.
func readPolicy(file string, platforms []attest.Platform) (attest.Policy, error) {
	b, err := collateral.ReadFile(file, maxPolicy)
	if err != nil {
		return attest.Policy{}, withHint(fmt.Errorf("the policy can’t be read: %w", err), "")
	}
	p, err := parsePolicy(b, platforms)
	if err != nil {
		return attest.Policy{}, withHint(fmt.Errorf("the policy in %s can’t be used: %w", file, err), "spec/evidence.md lists the fields. Nothing was sent.")
	}
	return p, nil
}

func parsePolicy(b []byte, platforms []attest.Platform) (p attest.Policy, err error) {
	// The decoder takes the last of two fields of one name; a rule must not be
	// lost that way. Decoding the document as the rules of nobody finds it.
	var whole map[string]json.RawMessage
	if err := (attest.Policy{Platforms: map[string]json.RawMessage{"": b}}).Rules("", &whole); err != nil {
		return p, err
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		return p, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return p, errors.New("bytes follow its end")
	}
	var known []string
	for _, pf := range platforms {
		known = append(known, pf.Name())
	}
	for name := range p.Platforms {
		if !slices.Contains(known, name) {
			return p, fmt.Errorf("it has rules for “%s”, which is no kind of hardware that this program knows (%s)", name, strings.Join(known, ", "))
		}
	}
	for _, name := range p.Require {
		if !slices.Contains(known, name) {
			return p, fmt.Errorf("it requires “%s”, which is no kind of hardware that this program knows (%s)", name, strings.Join(known, ", "))
		}
	}
	// A platform reads its rules before it looks at the evidence.
	for _, pf := range platforms {
		for _, c := range pf.Verify(nil, attest.Claim{}, p, time.Unix(0, 0)).Checks {
			if c.Failure == attest.FailPolicyMalformed {
				return p, errors.New(strings.TrimSuffix(c.Detail, "."))
			}
		}
	}
	return p, nil
}
