// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sotto-chat/sotto/attest/bundle"
	"github.com/sotto-chat/sotto/node/hardware"
)

// vouching is what in this machine can vouch for a key.
type vouching struct {
	platforms []string
	warning   string // said at each start
	evidence  func(reportData [64]byte) ([]bundle.Evidence, error)
}

// detect looks for the machine's hardware. The stand-in of a demo build takes the
// place of hardware that isn't there, or that it was named for; never of
// hardware that was found or that doesn't work.
func detect(o hardware.Options) (*vouching, error) {
	if standIn != nil && slices.Equal(o.Platforms, standIn.platforms) {
		return standIn, nil
	}
	m, err := hardware.Detect(o)
	switch {
	case err != nil:
		return nil, &hintError{
			what: fmt.Sprintf("this machine's hardware can't vouch for it: %v", err),
			hint: "docs/hardware.md says what to set; -platforms names those to use and leaves out all others",
		}
	case len(m.Platforms()) > 0:
		return &vouching{platforms: m.Platforms(), evidence: m.Evidence}, nil
	case standIn != nil:
		return standIn, nil
	}
	return nil, &hintError{
		what: fmt.Sprintf("nothing in this machine can prove to anybody what it runs (this program knows %s), so this node does not start", strings.Join(hardware.Known(), ", ")),
		hint: "docs/hardware.md says how to look for it from inside the machine; to try Sotto on any machine, run `sottod demo`",
	}
}
