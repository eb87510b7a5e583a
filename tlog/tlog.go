// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package tlog judges what a public log says: that something is written in it,
// that it only ever grew, and that enough others watch it grow.
//
// A log is a list of entries that everybody can read and nobody can change. It
// signs a [Checkpoint] of each size it reaches: a hash over all entries so far.
// Witnesses cosign a checkpoint after they have checked that it grew out of the
// last one they saw, so a log can't show one list to one person and another list
// to the next without that enough witnesses take part. A [Policy] says which log,
// which witnesses, and how many are enough.
//
// A client that wants to know about an entry has a [Proof]. A client of Sotto has
// a [View]: a checkpoint, the releases in force with their proofs, and the hashes
// to compute the root at every recent size. [View.Check] compares all of that with
// what the client saw before, and nobody learns what that was.
//
// Servers build views and proofs from a [Tree], and sign with a [Signer] or a
// [Cosigner]. The browser links none of the three.
//
// The formats are RFC 9162's (hashes and proofs) and those of https://c2sp.org:
// signed-note, tlog-checkpoint, tlog-cosignature, tlog-proof and tlog-policy.
// spec/log.md says which parts of them, and what a view is. The package does no
// I/O and has no clock.
package tlog

import (
	"encoding/base64"
	"strconv"
)

// What can be wrong with a log, a release in it, or a machine's word about it.
// The list is closed; the last three are what the packages above this one find.
const (
	FailMalformed      = "log_malformed"       // bytes that aren't what they should be
	FailSignature      = "log_signature"       // not signed by a log of the policy, or a signature is wrong
	FailWitnessesFew   = "log_witnesses_few"   // too few of the policy's witnesses cosigned
	FailWitnessUnknown = "log_witness_unknown" // too few did, and others did that the policy doesn't know
	FailStale          = "log_stale"           // the quorum's time is too long ago, or to come
	FailRollback       = "log_rollback"        // smaller than what was seen before
	FailSplitView      = "log_split_view"      // another history than what was seen before
	FailUnlogged       = "release_unlogged"    // the proof doesn't lead from the entry to the root
	FailSignatures     = "release_signatures"  // fewer release keys signed than the threshold asks for
	FailRevoked        = "release_revoked"     // a newer release says that this one is no longer good
	FailAnchor         = "anchor_mismatch"     // a machine's checkpoint isn't one of this log's
)

// Error is a named failure.
type Error struct {
	Failure string // one of the Fail constants
	Detail  string // for whoever looks behind it: what was found, in a few words
}

// Error implements error.
func (e *Error) Error() string { return e.Failure + ": " + e.Detail }

func malformed(what string) error { return &Error{FailMalformed, what} }

// decode64 reads standard base64 with padding (RFC 4648, section 4), in its one
// encoding. What it accepts isn't empty.
func decode64(s string) ([]byte, bool) {
	b, _ := base64.StdEncoding.DecodeString(s) // of what it can't decode, b is shorter
	// It passes over line ends and over bits after the last byte.
	if base64.StdEncoding.EncodeToString(b) != s {
		return nil, false
	}
	return b, len(b) > 0
}

// decodeInt reads a number from 0 to 2^63-1 as the C2SP formats write it: ASCII
// digits, no zero in front.
func decodeInt(s string) (int64, bool) {
	n, _ := strconv.ParseInt(s, 10, 64) // of what it can't read, n is another number
	return n, n >= 0 && strconv.FormatInt(n, 10) == s
}
