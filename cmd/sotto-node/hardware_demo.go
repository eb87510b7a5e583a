// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

//go:build demo

package main

import (
	"github.com/sotto-chat/sotto/attest/software"
	"github.com/sotto-chat/sotto/attest/software/forge"
)

// standIn is a demo build's: the machine vouches for itself.
var standIn = &vouching{
	platforms: []string{software.Name},
	warning:   "demo hardware — not private: nothing but this program vouches for it, and whoever runs it can read everything",
	evidence:  forge.Evidence,
}
