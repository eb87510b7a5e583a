// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/platforms"
	"github.com/sotto-chat/sotto/internal/collateral"
	"github.com/sotto-chat/sotto/release"
)

// readPolicy reads what a person wants of the machines out of a file.
func readPolicy(file string, known []attest.Platform) (attest.Policy, error) {
	b, err := collateral.ReadFile(file, platforms.MaxPolicy)
	if err != nil {
		return attest.Policy{}, withHint(fmt.Errorf("the policy can’t be read: %w", err), "")
	}
	return parsePolicy(b, file, known)
}

// parsePolicy reads the policy that came out of a file.
func parsePolicy(b []byte, file string, known []attest.Platform) (attest.Policy, error) {
	p, err := platforms.ParsePolicy(b, known)
	if err != nil {
		if syntax := json.Unmarshal(b, new(any)); syntax != nil {
			err = fmt.Errorf("it is no JSON: %w", syntax)
		}
		return attest.Policy{}, withHint(fmt.Errorf("the policy in %s can’t be used: %w", file, err),
			"Nothing was sent. spec/evidence.md lists the fields; “sotto attest policy EVIDENCE” prints a policy to start from.")
	}
	if p.Pin != nil {
		if _, err := release.ParsePin(p.Pin); err != nil {
			return attest.Policy{}, withHint(fmt.Errorf("the pin in %s can’t be used: %w", file, err), "Nothing was sent. spec/release.md lists its fields.")
		}
	}
	return p, nil
}
