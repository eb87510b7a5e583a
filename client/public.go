// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/release"
	"github.com/sotto-chat/sotto/tlog"
)

// publicLog is the public log of releases as one check saw it. Machines are judged
// by it through [attest.Log].
type publicLog struct {
	view    []byte             // as it came
	found   *release.Published // nil if err says why there is nothing
	err     error
	offered bool // the pin came from the service itself, which a demo may
}

// fetchLog asks for the log and opens it with the pin, or, where the caller
// accepts demo hardware and pinned nothing, with the pin that a demo's own log
// offers. It is nil where there is nothing to ask, and in a demo without a log.
func (c *Client) fetchLog(ctx context.Context) *publicLog {
	pinned := c.pin != nil || c.pinErr != nil
	if !pinned && !c.cfg.Policy.AllowSoftware {
		return nil
	}
	if c.pinErr != nil {
		return &publicLog{err: c.pinErr}
	}
	l := &publicLog{offered: !pinned}
	from := ""
	for range 2 {
		status, doc, err := c.fetchView(ctx, from)
		if status == 404 && !pinned {
			return nil
		}
		if err != nil {
			l.err = err
			return l
		}
		l.view = doc
		pin := c.pin
		if !pinned {
			if pin, err = offeredPin(doc); err != nil {
				l.err = err
				return l
			}
		}
		c.ring.mu.Lock()
		seen := c.ring.logSeen
		c.ring.mu.Unlock()
		l.found, l.err = pin.Open(doc, seen, c.cfg.Now())
		var earlier *tlog.EarlierError
		if !errors.As(l.err, &earlier) {
			break
		}
		// What this client saw is before the window. Asking for an earlier one tells
		// no more than a multiple of 256.
		from = "?from=" + strconv.FormatInt(earlier.From, 10)
	}
	if l.found != nil {
		c.ring.mu.Lock()
		c.ring.logSeen = &l.found.Seen
		c.ring.mu.Unlock()
		c.remember()
	}
	return l
}

// fetchView asks for the document, from an earlier entry on if from says so.
func (c *Client) fetchView(ctx context.Context, from string) (status int, doc []byte, err error) {
	resp, err := c.roundTrip(ctx, &Request{Method: "GET", Path: pathLog + from})
	if err != nil {
		return 0, nil, unreachable(ctx, err)
	}
	defer resp.Body.Close()
	if resp.Status != 200 {
		return resp.Status, nil, readServiceError(resp)
	}
	doc, err = io.ReadAll(io.LimitReader(resp.Body, tlog.MaxView+1))
	if err != nil {
		return 0, nil, unreachable(ctx, err)
	}
	return 200, doc, nil
}

// seenLogs is the form of [Config.LogSeen].
type seenLogs struct {
	tlog.Seen
	Keys *tlog.Seen `json:"keys,omitempty"` // of the key log
}

// remember tells who keeps it how far the logs were seen.
func (c *Client) remember() {
	c.ring.mu.Lock()
	s := seenLogs{Keys: c.ring.keysSeen}
	if c.ring.logSeen != nil {
		s.Seen = *c.ring.logSeen
	}
	c.ring.mu.Unlock()
	if c.cfg.OnLogSeen == nil {
		return
	}
	if b, err := json.Marshal(s); err == nil { // which it always is
		c.announceMu.Lock()
		defer c.announceMu.Unlock()
		c.cfg.OnLogSeen(b)
	}
}

// Titles of what is found out about a release.
const (
	titleView   = "The public log can be read"
	titleListed = "The release is in the public log"
	titleAnchor = "The key names a recent state of the public log"
	titleModels = "The models are those of the release"
)

// Listing is [attest.Log]'s.
func (l *publicLog) Listing(config attest.KeyConfig, checkpoint []byte, now time.Time) attest.Listing {
	if l.found == nil {
		return attest.Listing{Parts: []attest.Check{logFailure("log.view", titleView, l.err)}}
	}
	r, index, err := l.found.Find(config.Release)
	if err != nil {
		ck := logFailure("log.release", titleListed, err)
		ck.Found = config.Release
		return attest.Listing{Parts: []attest.Check{ck, l.viewed()}}
	}
	m, cp := r.Manifest, l.found.Checkpoint
	// What a machine's own log says that machines may run is no rule for real ones.
	var machines *attest.Policy
	if !l.offered {
		p := m.Machines.Policy()
		machines = &p
	}
	return attest.Listing{
		Machines: machines,
		Entry: &attest.LogEntry{
			Version: m.Version, Published: m.Time, Log: cp.Origin, Index: index, Size: cp.Size, Seen: cp.Time, Witnesses: cp.Witnesses,
		},
		Parts: []attest.Check{
			attest.Passed("log.release", titleListed, "Release "+m.Version+" is entry "+strconv.FormatInt(index, 10)+" of the public log, seen by "+names(cp.Witnesses)+"."),
			l.viewed(),
			l.anchored(config, checkpoint, index, now),
			l.sameModels(config, m),
		},
	}
}

// viewed says what was seen of the log.
func (l *publicLog) viewed() attest.Check {
	cp := l.found.Checkpoint
	ck := attest.Passed("log.view", titleView, "The log has "+strconv.FormatInt(cp.Size, 10)+" entries; "+names(cp.Witnesses)+" had seen them by "+stamp(cp.Time)+".")
	if l.offered {
		ck = attest.Warned("log.view", titleView, "This log’s keys came from the machine itself, so it proves nothing against whoever runs it: it is a demo’s.")
	}
	ck.Found = cp.Origin
	return ck
}

// anchored judges the checkpoint that the key names.
func (l *publicLog) anchored(config attest.KeyConfig, checkpoint []byte, index int64, now time.Time) attest.Check {
	if config.Anchor == "" {
		return attest.Failed("log.anchor", titleAnchor, attest.FailAnchorMismatch, "This machine’s key doesn’t say which state of the public log it is newer than.")
	}
	cp, err := l.found.Anchor(checkpoint, now)
	if err != nil {
		return logFailure("log.anchor", titleAnchor, err)
	}
	if index >= cp.Size {
		ck := attest.Failed("log.anchor", titleAnchor, attest.FailAnchorMismatch, "This machine’s key names a state of the public log in which its release was not there yet.")
		ck.Want, ck.Found = "more than "+strconv.FormatInt(index, 10)+" entries", strconv.FormatInt(cp.Size, 10)
		return ck
	}
	return attest.Passed("log.anchor", titleAnchor, "The key names the log with "+strconv.FormatInt(cp.Size, 10)+" entries, which witnesses saw at "+stamp(cp.Time)+", so it is newer than that.")
}

// sameModels compares the models that a machine names with those of its release. A
// release names no model whose weights nobody has hashed. Many model servers don't
// tell, so a demo, which proves nothing anyway, may run such a one; nobody else.
func (l *publicLog) sameModels(config attest.KeyConfig, m release.Manifest) attest.Check {
	unknown := ""
	for _, served := range config.Models {
		want := ""
		for _, of := range m.Models {
			if of.ID == served.ID {
				want = of.Weights
			}
		}
		if l.offered && want == "" && served.Digest == "none" {
			unknown = served.ID
			continue
		}
		if want != served.Digest || want == "none" && !l.offered {
			ck := attest.Failed("software.models", titleModels, attest.FailSoftwareMismatch, "This machine offers a model that isn’t the one of its release.")
			ck.Want, ck.Found = strings.TrimSpace(served.ID+" "+want), served.ID+" "+served.Digest
			return ck
		}
	}
	if unknown != "" {
		return attest.Warned("software.models", titleModels, "This demo doesn’t know what the weights of its model "+unknown+" are, so no release names them.")
	}
	return attest.Passed("software.models", titleModels, "Every model that this machine offers is one of the release.")
}

// logSentences says what a failure of the log means.
var logSentences = map[string]string{
	tlog.FailMalformed:         "What came as the public log is not in the agreed form.",
	tlog.FailSignature:         "This is not the public log that this app was told of: its signature is missing or wrong.",
	tlog.FailWitnessesFew:      "Too few of the witnesses have seen this state of the public log.",
	tlog.FailWitnessUnknown:    "Others than the witnesses that this app knows say that they have seen this state of the public log.",
	tlog.FailStale:             "It is too long ago that the witnesses saw this state of the public log. Is the clock of this device right?",
	tlog.FailRollback:          "The public log is shorter than it was when this app last saw it, which can’t be.",
	tlog.FailSplitView:         "This public log tells another story than the one that was seen before.",
	tlog.FailUnlogged:          "This machine runs a release that is not in the public log.",
	tlog.FailSignatures:        "This machine runs a release that too few of its makers have signed.",
	tlog.FailRevoked:           "This machine runs an old release that its makers have taken back.",
	tlog.FailAnchor:            "This machine’s key was not made for this public log.",
	attest.FailPolicyMalformed: "What this app was told of the public log can’t be used.",
}

// logFailure makes a part of an error, whose name is of the closed list.
func logFailure(id, title string, err error) attest.Check {
	var e *tlog.Error
	if errors.As(err, &e) && logSentences[e.Failure] != "" {
		ck := attest.Failed(id, title, e.Failure, logSentences[e.Failure])
		ck.Found = e.Detail
		return ck
	}
	return attest.Failed(id, title, attest.FailLogUnavailable, "The public log of releases could not be asked.")
}

// names writes a list of witnesses for people.
func names(list []string) string {
	if len(list) == 0 {
		return "nobody but the log"
	}
	if len(list) == 1 {
		return list[0]
	}
	return strings.Join(list[:len(list)-1], ", ") + " and " + list[len(list)-1]
}

func stamp(unix int64) string { return time.Unix(unix, 0).UTC().Format("2006-01-02 15:04 UTC") }

// A LogStatus is the public log as the last check saw it.
type LogStatus struct {
	Log       string   // its origin
	Size      int64    // in entries
	Seen      int64    // when a quorum of witnesses had seen that, Unix seconds
	Witnesses []string // who cosigned
	Offered   bool     // the keys came from the service itself: a demo's log
	View      []byte   // the document as it came; not to be changed

	// Published opens the view: the releases in it. Not to be changed.
	Published *release.Published
}

// Log returns the public log as the last check saw it, or nil if none was asked
// or it could not be opened.
func (c *Client) Log() *LogStatus {
	c.ring.mu.Lock()
	defer c.ring.mu.Unlock()
	l := c.ring.log
	if l == nil || l.found == nil {
		return nil
	}
	cp := l.found.Checkpoint
	return &LogStatus{Log: cp.Origin, Size: cp.Size, Seen: cp.Time, Witnesses: cp.Witnesses, Offered: l.offered, View: l.view, Published: l.found}
}

// readSeen reads what [Config.LogSeen] carries over. What can't be read counts as
// nothing seen: a client that forgets is a new client.
func readSeen(b []byte) (log, keys *tlog.Seen) {
	var s seenLogs
	if len(b) == 0 || json.Unmarshal(b, &s) != nil {
		return nil, nil
	}
	return &s.Seen, s.Keys
}

// offeredPin reads the pin that a demo's log offers.
func offeredPin(doc []byte) (*release.Pin, error) {
	v, err := tlog.ParseView(doc)
	if err != nil {
		return nil, err
	}
	if v.Pin == nil {
		return nil, &tlog.Error{Failure: tlog.FailSignature, Detail: "no pin, and none offered"}
	}
	pin, err := release.ParsePin(v.Pin)
	if err != nil {
		return nil, &tlog.Error{Failure: tlog.FailMalformed, Detail: "the pin that is offered: " + err.Error()}
	}
	return &pin, nil
}

// readPin reads the policy's pin.
func readPin(p attest.Policy) (*release.Pin, error) {
	if p.Pin == nil {
		return nil, nil
	}
	pin, err := release.ParsePin(p.Pin)
	if err != nil {
		return nil, &tlog.Error{Failure: attest.FailPolicyMalformed, Detail: err.Error()}
	}
	return &pin, nil
}
