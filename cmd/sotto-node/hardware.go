// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/sotto-chat/sotto/attest"
)

// hardware is something in this machine that can vouch for a key.
type hardware struct {
	name     string
	warning  string // said at each start
	evidence func(reportData [64]byte) ([]attest.Evidence, error)
}

// A platform looks for its hardware. It returns nil when there is none.
type platform func() (*hardware, error)

// detect returns the first hardware found. The list is in the file of the build:
// a release and a demo have different ones, and neither falls back on the other.
func detect() (*hardware, error) {
	for _, look := range platforms {
		if hw, err := look(); hw != nil || err != nil {
			return hw, err
		}
	}
	return nil, &hintError{
		what: fmt.Sprintf("nothing in this machine can prove to anybody what it runs (this build knows %s), so this node does not start", known),
		hint: "to try Sotto on any machine, run `sottod demo`",
	}
}
