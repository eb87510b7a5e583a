// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package software judges the evidence of a machine that has no hardware to
// vouch for it: a laptop, a test. The evidence is a signature by a key that
// anybody can compute, so it proves nothing at all, and every surface says so.
//
// It is here so that the whole way can be walked on any machine. A client
// accepts it only with [attest.Policy.AllowSoftware], and then as
// [attest.StateDemo]. The package that makes such evidence is attest/software/forge,
// which a release of sotto-node doesn't contain.
package software

import (
	"crypto/ed25519"
	"encoding/hex"
	"time"

	"github.com/sotto-chat/sotto/attest"
)

// Name is the platform's name in bundles.
const Name = "software"

// Label is what is signed before the report data.
const Label = "sotto/1 software evidence, which proves nothing\x00"

// publicKey belongs to the Ed25519 seed SHA-256("sotto/1 everybody knows this
// key"), which spec/evidence.md publishes so that nobody takes it for a secret.
const publicKey = "50f441ee45f81c38e9fdb3e1c1cd3ef04fb9bd33a7b641b41370349c0198e0f6"

// Platform is the software platform.
type Platform struct{}

var _ attest.Platform = Platform{}

// Name implements [attest.Platform].
func (Platform) Name() string { return Name }

// Verify implements [attest.Platform].
func (Platform) Verify(data []byte, claim attest.Claim, _ attest.Policy, _ time.Time) attest.Appraisal {
	a := attest.Appraisal{Demo: true}
	measured := attest.Warned("software.measured", "The software was measured",
		"Nothing measured what this machine runs: it can run anything, whatever release it names.")
	measured.Found = claim.Config.Release
	a.Checks = append(a.Checks,
		attest.Warned("chip.software", "A chip vouches for the machine",
			"No chip vouches for this machine. Whoever runs it can read everything."),
		measured,
	)
	const title = "The proof speaks of this key"
	pub, err := hex.DecodeString(publicKey)
	switch {
	case err != nil || len(pub) != ed25519.PublicKeySize || len(data) != ed25519.SignatureSize:
		a.Checks = append(a.Checks, attest.Failed("key.bound", title, attest.FailEvidenceMalformed,
			"The stand-in for a proof that this machine sent cannot be read."))
	case !ed25519.Verify(pub, append([]byte(Label), claim.ReportData[:]...), data):
		a.Checks = append(a.Checks, attest.Failed("key.bound", title, attest.FailKeyNotBound,
			"The stand-in for a proof that this machine sent belongs to another key."))
	default:
		a.Checks = append(a.Checks, attest.Warned("key.bound", title,
			"The key is named in the stand-in for a proof, which anybody could have written."))
	}
	return a
}
