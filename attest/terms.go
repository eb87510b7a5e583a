// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package attest

import (
	"slices"
	"time"
)

// Terms are what a bundle is judged by, beyond its own bytes and the time.
type Terms struct {
	// Policy says what the client accepts. With a pin in it, the row "log" has to
	// be proved like the others, so Log has to be there.
	Policy Policy

	// Log is the public log as the client sees it now; nil where there is none.
	Log Log

	// Page holds the parts of the row "page", from whoever shows the page. Without
	// any the row stays open, and says so.
	Page []Check

	// Nonce, if it isn't nil, is what the evidence has to be made for: it then
	// signs [bundle.FreshData] instead of the report data of every other day.
	Nonce *[32]byte
}

// A Log says which releases are public, and what a release wants of machines.
// Package release reads it out of a witnessed log.
type Log interface {
	// Listing judges what the log says of the release that c names, and of the
	// checkpoint that came with the key as its anchor (empty where none came).
	Listing(c KeyConfig, checkpoint []byte, now time.Time) Listing
}

// A Listing is what a [Log] knows of one release.
type Listing struct {
	// Parts are of the row "log", and of "software" where the manifest speaks of
	// models. None proves nothing.
	Parts []Check
	// Machines is what the manifest wants of machines, which then holds beside the
	// client's own policy. Nil where there is no manifest.
	Machines *Policy
	// Entry says where the release stands; nil where it stands nowhere.
	Entry *LogEntry
}

// LogEntry says where a release stands in the public log.
type LogEntry struct {
	Version   string   `json:"version"`   // of the release, as its manifest calls it
	Published int64    `json:"published"` // Unix seconds, as the manifest says
	Log       string   `json:"log"`       // the log's origin
	Index     int64    `json:"index"`     // of the entry
	Size      int64    `json:"size"`      // of the log as it was seen
	Seen      int64    `json:"seen"`      // when a quorum of witnesses had seen that, Unix seconds
	Witnesses []string `json:"witnesses"` // names of those who cosigned
}

// checkLog asks the log about the release, and returns the policy that holds for
// machines: the client's own, and what the manifest adds to it.
func (j *judge) checkLog(c KeyConfig, checkpoint []byte, t Terms, now time.Time) Policy {
	p := t.Policy
	if want := Anchor(checkpoint); c.Anchor != want {
		ck := Failed("log.anchor", "The key names a recent state of the public log", FailAnchorMismatch,
			"This machine's key names another state of the public log than the one that came with it.")
		ck.Want, ck.Found = c.Anchor, want
		j.add("", ck)
	}
	if t.Log == nil {
		if p.Pin != nil {
			j.add("", Failed("log.view", "The public log can be read", FailLogUnavailable,
				"The public log of releases could not be asked."))
		}
		return p
	}
	l := t.Log.Listing(c, checkpoint, now)
	j.v.Log = l.Entry
	for _, ck := range l.Parts {
		j.add("", ck)
	}
	if l.Machines == nil {
		return p
	}
	j.machines = l.Machines
	if m := l.Machines.MaxLifetime; p.MaxLifetime == 0 {
		p.MaxLifetime = m
	} else if m > 0 {
		p.MaxLifetime = min(m, p.MaxLifetime)
	}
	p.Require = slices.Clone(p.Require)
	for _, name := range l.Machines.Require {
		if !slices.Contains(p.Require, name) {
			p.Require = append(p.Require, name)
		}
	}
	return p
}

// both adds to found what a second reading of the same evidence, by other rules,
// alone found wrong.
func both(found, second []Check) []Check {
	for _, c := range second {
		if c.Status == StatusFail && !slices.ContainsFunc(found, func(o Check) bool { return o.ID == c.ID && o.Status == StatusFail }) {
			found = append(found, c)
		}
	}
	return found
}

// checkPage files what whoever shows the page found out about it.
func (j *judge) checkPage(parts []Check) {
	for _, c := range parts {
		j.add("", c)
	}
}
