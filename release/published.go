// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"slices"
	"strconv"
	"time"

	"github.com/sotto-chat/sotto/tlog"
)

// maxAhead is how far the witnesses' clocks may go ahead of the client's, in seconds.
const maxAhead = 300

// Published is what a client knows of a log after it has opened a view of it.
type Published struct {
	Checkpoint tlog.Checkpoint
	Seen       tlog.Seen // to remember, and to give to the next [Pin.Open]

	pin     Pin
	policy  tlog.Policy
	opened  tlog.Opened
	entries []Entry // newest first
	newest  int     // which of entries
}

// Entry is one release of a view.
type Entry struct {
	Release Release     // as far as it was read: nothing is, of what too few signed
	Index   int64       // its place in the log
	Failure *tlog.Error // why it doesn't count; nil where it does
}

// Open checks a view of the log (spec/release.md, "Opening a view"): the checkpoint
// is the pinned log's, a quorum of pinned witnesses saw it and not too long ago, the
// log has only grown since seen (nil for who saw none), and each entry in the view
// stands in it. Errors are a [*tlog.Error] or a [*tlog.EarlierError].
//
// A release that doesn't count is no error here: [Published.Find] says why. But the
// newest that counts has to be in the view, with every entry after it, so that
// whoever serves the view can't leave out a release that revokes others.
func (p Pin) Open(view []byte, seen *tlog.Seen, now time.Time) (*Published, error) {
	policy, keys, err := p.read()
	if err != nil {
		return nil, failure(tlog.FailMalformed, "the pin can't be used: "+err.Error())
	}
	v, err := tlog.ParseView(view)
	if err != nil {
		return nil, err
	}
	opened, err := v.Check(policy, seen, now, p.maxAge())
	if err != nil {
		return nil, err
	}
	out := &Published{Checkpoint: opened.Checkpoint, Seen: opened.Seen, pin: p, policy: policy, opened: opened, newest: -1}
	for i, l := range opened.Releases() {
		index, err := opened.Verify(l)
		if err != nil {
			return nil, err
		}
		if i > 0 && index >= out.entries[i-1].Index {
			return nil, failure(tlog.FailMalformed, "the view doesn't name entries from the newest on, each once")
		}
		e := Entry{Index: index}
		e.Release, e.Failure = p.judge(l.Entry, index, keys)
		out.entries = append(out.entries, e)
		if out.newest < 0 {
			if index != opened.Checkpoint.Size-1-int64(i) {
				return nil, failure(tlog.FailMalformed, "the view leaves out an entry that is newer than every release in it")
			}
			if e.Failure == nil {
				out.newest = i
			}
		}
	}
	if out.newest < 0 {
		if len(out.entries) > 0 { // what is wrong with the newest says more
			return nil, out.entries[0].Failure
		}
		return nil, failure(tlog.FailUnlogged, "the view holds no release")
	}
	out.revoke()
	return out, nil
}

// judge reads an entry that stands at index, and says why it doesn't count.
func (p Pin) judge(entry []byte, index int64, keys []tlog.Key) (Release, *tlog.Error) {
	r, err := parseNote(entry)
	if err != nil {
		return r, failure(tlog.FailMalformed, "it is no signed note")
	}
	if err := p.signed(r, keys); err != nil { // before reading what anybody can have written
		return r, err
	}
	if r.Manifest, err = ParseManifest(r.Text); err != nil {
		return r, failure(tlog.FailMalformed, "the manifest can't be read: "+err.Error())
	}
	if r.Manifest.Product != p.Product {
		return r, failure(tlog.FailUnlogged, "it is a release of "+r.Manifest.Product)
	}
	if r.Manifest.Index != index {
		return r, failure(tlog.FailUnlogged, "it is entry "+strconv.FormatInt(index, 10)+" of the log, and was signed to be entry "+strconv.FormatInt(r.Manifest.Index, 10))
	}
	return r, nil
}

func (p Pin) signed(r Release, keys []tlog.Key) *tlog.Error {
	if n := len(r.Signers(keys)); n < p.Threshold {
		return failure(tlog.FailSignatures, strconv.Itoa(n)+" of the pinned keys signed it, and it takes "+strconv.Itoa(p.Threshold))
	}
	return nil
}

// revoke marks what the newest release says is no longer good.
func (p *Published) revoke() {
	by := p.entries[p.newest].Release.Manifest
	for i := range p.entries { // the newest can't revoke itself
		e := &p.entries[i]
		switch {
		case e.Failure != nil:
		case Older(e.Release.Manifest.Version, by.MinimumVersion):
			e.Failure = failure(tlog.FailRevoked, "release "+by.Version+" asks for version "+by.MinimumVersion+" at least, and this is "+e.Release.Manifest.Version)
		case slices.Contains(by.Revoked, e.Release.Digest()):
			e.Failure = failure(tlog.FailRevoked, "release "+by.Version+" names it as no longer good")
		}
	}
}

// Find returns the release whose manifest has this digest, and its place in the
// log. The error, a [*tlog.Error], says why it doesn't count; what could be read of
// it is returned all the same, to be shown.
func (p *Published) Find(digest string) (Release, int64, error) {
	var found *Entry
	for i := range p.entries {
		e := &p.entries[i]
		if len(e.Release.Text) == 0 || e.Release.Digest() != digest {
			continue
		}
		// Whoever runs the log can write it down again elsewhere, with fewer signatures
		// too. What is said of it at its own place is what counts.
		if found == nil || e.Failure == nil || e.Failure.Failure == tlog.FailRevoked {
			found = e
		}
	}
	by := p.entries[p.newest].Release.Manifest
	switch {
	case found == nil && slices.Contains(by.Revoked, digest): // logs leave such ones out
		return Release{}, 0, failure(tlog.FailRevoked, "release "+by.Version+" names it as no longer good")
	case found == nil:
		return Release{}, 0, failure(tlog.FailUnlogged, "the log's view doesn't hold it")
	case found.Failure != nil:
		return found.Release, found.Index, found.Failure
	}
	return found.Release, found.Index, nil
}

// Newest returns the newest release that counts, and its place in the log.
func (p *Published) Newest() (Release, int64) {
	e := p.entries[p.newest]
	return e.Release, e.Index
}

// Entries returns what the view holds, newest first.
func (p *Published) Entries() []Entry { return slices.Clone(p.entries) }

// Anchor checks the checkpoint that came with a machine's key: it is the same log's,
// a quorum of pinned witnesses saw it and not too long ago, and the log that the view
// shows had that root when it was that long. A checkpoint of a longer log than the
// view's stands by its quorum alone: machines may know more than the view does.
// The error is a [*tlog.Error].
func (p *Published) Anchor(checkpoint []byte, now time.Time) (tlog.Checkpoint, error) {
	c, err := p.policy.Open(checkpoint)
	if err != nil {
		return tlog.Checkpoint{}, err
	}
	if c.Origin != p.Checkpoint.Origin {
		return tlog.Checkpoint{}, failure(tlog.FailAnchor, "it is a checkpoint of "+c.Origin)
	}
	if c.Size <= p.Checkpoint.Size {
		if root, ok := p.opened.RootAt(c.Size); !ok || root != c.Root {
			return tlog.Checkpoint{}, failure(tlog.FailAnchor, "the log had no such root in the time that the view shows")
		}
	}
	switch t := now.Unix(); {
	case c.Time > t+maxAhead:
		return tlog.Checkpoint{}, failure(tlog.FailStale, "the witnesses of the machine's checkpoint go ahead of this clock by more than 5 minutes")
	case c.Time < t-int64(p.pin.maxAge()/time.Second):
		return tlog.Checkpoint{}, failure(tlog.FailStale, "it is too long ago that enough witnesses cosigned the machine's checkpoint")
	}
	return c, nil
}

func failure(name, detail string) *tlog.Error { return &tlog.Error{Failure: name, Detail: detail} }
