// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

//go:build demo

package main

import (
	"github.com/sotto-chat/sotto/attest/software"
	"github.com/sotto-chat/sotto/attest/software/forge"
)

// platforms of a demo build: the machine vouches for itself.
var platforms = []platform{
	func() (*hardware, error) {
		return &hardware{
			name:     software.Name,
			warning:  "demo hardware — not private: nothing but this program vouches for it, and whoever runs it can read everything",
			evidence: forge.Evidence,
		}, nil
	},
}

const known = "only the demo platform"
