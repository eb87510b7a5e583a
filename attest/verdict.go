// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package attest

import (
	"strconv"
	"strings"
	"time"
)

// States of a [Verdict]. A client's surfaces know more (checking, changed, …);
// these are the ones that a bundle alone can have.
const (
	StateVerified = "verified" // the machine proved what it is; words may be sent
	StateDemo     = "demo"     // proved nothing, and the client was told to go on
	StateFailed   = "failed"   // nothing is sent, and there is no way around it
	StateUnknown  = "unknown"  // could not be checked now; nothing is sent
	StateGenuine  = "genuine"  // of [Examine] only: real hardware, and no key to seal to
)

// Failures: the closed list of spec/verdict.md. A [Verdict] names the first.
const (
	FailBundleMalformed    = "bundle_malformed"
	FailKeyConfigMalformed = "key_config_malformed"
	FailKeySuite           = "key_suite"
	FailKeyLifetime        = "key_lifetime"
	FailKeyNotYetValid     = "key_not_yet_valid"
	FailKeyExpired         = "key_expired"
	FailReleaseRefused     = "release_refused"
	FailPlatformUnknown    = "platform_unknown"
	FailPlatformMissing    = "platform_missing"
	FailSoftwareRefused    = "software_refused"
	FailEvidenceMalformed  = "evidence_malformed"
	FailEvidenceIncomplete = "evidence_incomplete"
	FailKeyNotBound        = "key_not_bound"
	FailSignatureInvalid   = "signature_invalid"
	FailChainUntrusted     = "chain_untrusted"
	FailRevoked            = "revoked"
	FailCollateralMissing  = "collateral_missing"
	FailCollateralExpired  = "collateral_expired"
	FailFirmwareOld        = "firmware_old"
	FailDebugEnabled       = "debug_enabled"
	FailSoftwareMismatch   = "software_mismatch"
	FailPolicyMismatch     = "policy_mismatch"
	FailPolicyMalformed    = "policy_malformed"
	FailPlatformError      = "platform_error"

	FailLogUnavailable    = "log_unavailable"
	FailLogMalformed      = "log_malformed"
	FailLogSignature      = "log_signature"
	FailLogWitnessesFew   = "log_witnesses_few"
	FailLogWitnessUnknown = "log_witness_unknown"
	FailLogStale          = "log_stale"
	FailLogRollback       = "log_rollback"
	FailLogSplitView      = "log_split_view"
	FailReleaseUnlogged   = "release_unlogged"
	FailReleaseSignatures = "release_signatures"
	FailReleaseRevoked    = "release_revoked"
	FailAnchorMismatch    = "anchor_mismatch"
	FailPageChanged       = "page_changed"
)

// failures maps each name of the closed list to whether it means "could not be
// checked" rather than "checked, and wrong".
var failures = map[string]bool{
	FailBundleMalformed: false, FailKeyConfigMalformed: false, FailKeySuite: false,
	FailKeyLifetime: false, FailKeyNotYetValid: true, FailKeyExpired: true,
	FailReleaseRefused: false, FailPlatformUnknown: true, FailPlatformMissing: false,
	FailSoftwareRefused: false, FailEvidenceMalformed: false, FailEvidenceIncomplete: false,
	FailKeyNotBound: false, FailSignatureInvalid: false, FailChainUntrusted: false,
	FailRevoked: false, FailCollateralMissing: true, FailCollateralExpired: true,
	FailFirmwareOld: false, FailDebugEnabled: false, FailSoftwareMismatch: false,
	FailPolicyMismatch: false, FailPolicyMalformed: true, FailPlatformError: false,
	FailLogUnavailable: true, FailLogMalformed: false, FailLogSignature: false,
	FailLogWitnessesFew: false, FailLogWitnessUnknown: false, FailLogStale: true,
	FailLogRollback: false, FailLogSplitView: false, FailReleaseUnlogged: false,
	FailReleaseSignatures: false, FailReleaseRevoked: false, FailAnchorMismatch: false,
	FailPageChanged: false,
}

// Statuses of a [Check].
const (
	StatusOK   = "ok"
	StatusFail = "fail"
	StatusWarn = "warn" // true, worth saying, and no reason to stop
)

// Rows of a verdict, in the order in which they are shown. Every verdict has
// each of them once.
const (
	RowChip     = "chip"
	RowSoftware = "software"
	RowLog      = "log"
	RowKey      = "key"
	RowPage     = "page"
)

// Check is one thing that was looked at. In a [Verdict] there is one Check per
// row, whose Parts are the single findings; the ID of a row is its name, the ID
// of a part "<row>.<name>".
type Check struct {
	ID      string `json:"id"`
	Title   string `json:"title"`  // what was asked, as a statement
	Status  string `json:"status"` // [StatusOK], [StatusFail], [StatusWarn]
	Failure string `json:"failure,omitempty"`
	Detail  string `json:"detail"`         // the answer, as a sentence that a person can read
	Want    string `json:"want,omitempty"` // what was asked for, and
	Found   string `json:"found,omitempty"`
	Redo    string `json:"redo,omitempty"` // how a person does it again by hand

	// Platform names whose evidence a part is about; "" for the frame's own.
	Platform string  `json:"platform,omitempty"`
	Parts    []Check `json:"parts,omitempty"`
}

// Verdict is the judgement of one bundle: the one document that the terminal,
// the proxy and the page show (spec/verdict.md). It holds no secret.
type Verdict struct {
	V         int      `json:"v"` // 1
	State     string   `json:"state"`
	Failure   string   `json:"failure"` // the first failing check's name, or ""
	Summary   string   `json:"summary"` // one sentence
	Node      string   `json:"node"`
	KeyID     string   `json:"key_id"` // hex
	Release   string   `json:"release"`
	Chip      string   `json:"chip"`
	Platforms []string `json:"platforms"`
	Models    []Model  `json:"models"`
	NotBefore int64    `json:"not_before"` // Unix seconds, as are the next two
	NotAfter  int64    `json:"not_after"`
	CheckedAt int64    `json:"checked_at"`
	Checks    []Check  `json:"checks"` // the five rows

	// Log says where the release stands in the public log; nil where that isn't known.
	Log *LogEntry `json:"log,omitempty"`
}

// Summaries of the states that have one sentence each.
const (
	summaryVerified = "Private. This machine proved what it is and what it runs."
	summaryDemo     = "Demo hardware — not private"
	summaryFailed   = "This machine could not prove itself."
	summaryUnknown  = "This machine can't be checked right now."
	summaryGenuine  = "Genuine hardware signed this. It was compared with what was asked for, and nothing else."
)

// judge gathers parts under their rows and makes the verdict of them.
type judge struct {
	v    Verdict
	rows [5]Check
	demo bool

	unshielded []string // platforms, each as often as there is evidence
	machines   *Policy  // what the release's manifest wants, where there is one
}

func newJudge(now time.Time) *judge {
	return &judge{
		v: Verdict{V: 1, Release: "none", Platforms: []string{}, Models: []Model{}, CheckedAt: now.Unix()},
		rows: [5]Check{
			{ID: RowChip, Title: "The chip is real"},
			{ID: RowSoftware, Title: "It runs exactly this software"},
			{ID: RowLog, Title: "That release is public"},
			{ID: RowKey, Title: "Only that machine has the key"},
			{ID: RowPage, Title: "This page is the published page"},
		},
	}
}

// row returns one of the five rows.
func (j *judge) row(id string) *Check {
	for i := range j.rows {
		if j.rows[i].ID == id {
			return &j.rows[i]
		}
	}
	return nil
}

// add files a part under its row. A part that no row or no name of the closed
// list fits is a fault of its platform, and counts against the machine.
func (j *judge) add(platform string, c Check) {
	c.Platform = platform
	row, name, _ := strings.Cut(c.ID, ".")
	i := -1
	for k := range j.rows {
		if j.rows[k].ID == row {
			i = k
		}
	}
	_, listed := failures[c.Failure]
	wellFormed := name != "" && i >= 0 &&
		(c.Status == StatusFail && listed || (c.Status == StatusOK || c.Status == StatusWarn) && c.Failure == "")
	if !wellFormed {
		c = Failed("chip.platform", "The proof was judged to the end", FailPlatformError,
			"This app's check of the proof went wrong. That is a fault of the app.")
		c.Platform, i = platform, 0
	}
	j.rows[i].Parts = append(j.rows[i].Parts, c)
}

// verdict closes the rows and draws the conclusion.
func (j *judge) verdict(p Policy) Verdict {
	v := j.v
	demo := j.demo && p.AllowSoftware
	proved := true
	for i := range j.rows {
		switch r := &j.rows[i]; r.ID {
		case RowLog:
			proved = closeOpenRow(r, redo, p.Pin != nil, "This app was told of no public log, so only the operator can say which releases there are.") && proved
		case RowPage:
			closeOpenRow(r, redoPage, false, "A web page can be swapped by the server that sends it. The terminal program and its page on this device don’t have this gap.")
		default:
			proved = closeRow(r, demo) && proved
		}
	}
	first, couldNotCheck := j.firstFailure()
	switch {
	case first != "" && couldNotCheck:
		v.State, v.Failure, v.Summary = StateUnknown, first, summaryUnknown
	case first != "":
		v.State, v.Failure, v.Summary = StateFailed, first, summaryFailed
	case !proved:
		v.State, v.Failure, v.Summary = StateFailed, FailEvidenceIncomplete, summaryFailed
	case j.demo:
		v.State, v.Summary = StateDemo, summaryDemo
	default:
		v.State, v.Summary = StateVerified, summaryVerified
	}
	v.Checks = j.rows[:]
	return v
}

// firstFailure returns the name of the first part that failed, and whether
// every failure there is means "could not be checked". The key row is asked
// first: a bundle that can't be read or is out of date says nothing of a chip.
func (j *judge) firstFailure() (first string, couldNotCheck bool) {
	couldNotCheck = true
	for _, row := range [...]string{RowKey, RowChip, RowSoftware, RowLog, RowPage} {
		for i := range j.rows {
			if j.rows[i].ID != row {
				continue
			}
			for _, c := range j.rows[i].Parts {
				if c.Status != StatusFail {
					continue
				}
				if first == "" {
					first = c.Failure
				}
				couldNotCheck = couldNotCheck && failures[c.Failure]
			}
		}
	}
	return first, couldNotCheck
}

// closeRow gives a row its status and sentence, and reports whether it was
// proved: a platform found at least one part right, and no part is wrong. Where
// demo evidence was accepted, a platform's warning stands in for its proof.
func closeRow(r *Check, demo bool) (proved bool) {
	r.Redo = redo
	var shown *Check
	for i := range r.Parts {
		c := &r.Parts[i]
		if c.Platform != "" && (c.Status == StatusOK || demo) { // what is wrong is shown, whatever is proved
			proved = true
		}
		if shown == nil || rank(c.Status) > rank(shown.Status) {
			shown = c
		}
	}
	switch {
	case shown != nil && (shown.Status == StatusFail || proved):
		r.Status, r.Failure, r.Detail = shown.Status, shown.Failure, shown.Detail
		r.Want, r.Found = shown.Want, shown.Found
		return shown.Status != StatusFail
	default:
		r.Status, r.Failure = StatusFail, FailEvidenceIncomplete
		r.Detail = nothingProves
		return false
	}
}

// closeOpenRow closes a row that no platform proves, and reports whether it may
// stand so. Where it is wanted, a part has to be right; else it may say honestly
// that nothing was looked at. What was looked at is looked at again by again.
func closeOpenRow(r *Check, again string, wanted bool, notYet string) bool {
	r.Status, r.Detail = StatusWarn, notYet
	var shown *Check
	right := false
	for i := range r.Parts {
		c := &r.Parts[i]
		right = right || c.Status == StatusOK
		if shown == nil || rank(c.Status) > rank(shown.Status) {
			shown = c
		}
	}
	if shown != nil {
		r.Redo = again
		r.Status, r.Failure, r.Detail = shown.Status, shown.Failure, shown.Detail
		r.Want, r.Found = shown.Want, shown.Found
	}
	if wanted && !right && r.Status != StatusFail {
		r.Status, r.Failure, r.Detail = StatusFail, FailEvidenceIncomplete, nothingProves
	}
	return r.Status != StatusFail
}

// nothingProves is the sentence of a row that was to be proved and wasn't.
const nothingProves = "Nothing that this machine sent proves it."

// rank orders statuses by how much a person should hear of them.
func rank(status string) int {
	switch status {
	case StatusFail:
		return 2
	case StatusWarn:
		return 1
	}
	return 0
}

// How a person checks again without this app's screens: a machine, and evidence
// that came without one.
const (
	redo     = "sotto verify --json URL"
	redoFile = "sotto attest verify --json FILE"
	redoPage = "sotto verify-web URL"
)

// Passed makes a part that was found right. The id is "<row>.<name>".
func Passed(id, title, detail string) Check {
	return Check{ID: id, Title: title, Status: StatusOK, Detail: detail}
}

// Warned makes a part that is worth saying and no reason to stop.
func Warned(id, title, detail string) Check {
	return Check{ID: id, Title: title, Status: StatusWarn, Detail: detail}
}

// Failed makes a part that was found wrong, with a name of the closed list.
func Failed(id, title, failure, detail string) Check {
	return Check{ID: id, Title: title, Status: StatusFail, Failure: failure, Detail: detail}
}

// stamp writes a time for people, in UTC so that two readers see the same.
func stamp(unix int64) string { return time.Unix(unix, 0).UTC().Format("2006-01-02 15:04:05 UTC") }

func seconds(n int64) string { return strconv.FormatInt(n, 10) + " seconds" }
