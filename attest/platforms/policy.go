// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package platforms

import (
	"errors"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/attest"
)

// MaxPolicy is the most bytes of a policy.
const MaxPolicy = 1 << 20

// ParsePolicy reads what somebody wants of the machines (spec/evidence.md,
// "Policy"). Whatever would count for nothing is an error: fields that stand
// there twice or aren't known, rules for a kind of hardware that isn't among
// known, rules that their kind can't read, bytes after the end. Errors are the
// rest of a sentence that says what can't be used.
func ParsePolicy(doc []byte, known []attest.Platform) (p attest.Policy, err error) {
	if len(doc) > MaxPolicy {
		return p, errors.New("it is longer than a megabyte")
	}
	if err := attest.Strictly(doc, &p); err != nil {
		return attest.Policy{}, err
	}
	for name := range p.Platforms {
		if err := knows(known, name, "it has rules for “"); err != nil {
			return attest.Policy{}, err
		}
	}
	for _, name := range p.Require {
		if err := knows(known, name, "it requires “"); err != nil {
			return attest.Policy{}, err
		}
	}
	// A platform reads its rules before it looks at the evidence.
	for _, pf := range known {
		for _, c := range pf.Verify(nil, attest.Claim{}, p, time.Unix(0, 0)).Checks {
			if c.Failure == attest.FailPolicyMalformed {
				return attest.Policy{}, errors.New("its rules for “" + pf.Name() + "” can’t be read: " + c.Found)
			}
		}
	}
	return p, nil
}

func knows(known []attest.Platform, name, what string) error {
	var names []string
	for _, pf := range known {
		if pf.Name() == name {
			return nil
		}
		names = append(names, pf.Name())
	}
	return errors.New(what + name + "”, which is no kind of hardware that this program knows (" + strings.Join(names, ", ") + ")")
}
