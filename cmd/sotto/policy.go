// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/platforms"
	"github.com/sotto-chat/sotto/internal/collateral"
)

// readPolicy reads what a person wants of the machines out of a file.
func readPolicy(file string, known []attest.Platform) (attest.Policy, error) {
	b, err := collateral.ReadFile(file, platforms.MaxPolicy)
	if err != nil {
		return attest.Policy{}, withHint(fmt.Errorf("the policy can’t be read: %w", err), "")
	}
	p, err := platforms.ParsePolicy(b, known)
	if err != nil {
		return attest.Policy{}, withHint(fmt.Errorf("the policy in %s can’t be used: %w", file, err), "spec/evidence.md lists the fields. Nothing was sent.")
	}
	return p, nil
}
