// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package logserver

import (
	"fmt"
	"net/http"
	"time"

	"github.com/sotto-chat/sotto/keylog"
	"github.com/sotto-chat/sotto/release"
	"github.com/sotto-chat/sotto/tlog"
	"github.com/sotto-chat/sotto/token"
)

// Kind says what a log is of.
type Kind int

// Kinds of logs.
const (
	Releases Kind = iota // what machines run (spec/release.md)
	Keys                 // keys of each day, and the list of machines (spec/keylog.md)
)

// contents is what a log is of: which entries it takes, and which of them clients
// are shown. All else is the same for every log.
type contents interface {
	noun() string   // what an entry is called: "release"
	maxSize() int64 // of an entry, in bytes

	// judge reads an entry that anybody may have sent, and checks who signed it. The
	// error is a [*Refusal].
	judge(entry []byte) (item, error)

	// admit says why an item that was judged isn't taken as the next entry, with a
	// [*Refusal]. learn takes one that is on the disk and counts. Neither is called
	// beside itself or the other.
	admit(item) error
	learn(item)

	// show chooses the entries that a view of a checkpoint of a size brings, and
	// returns what makes the view of the tree, from the entry that was asked for or -1.
	show(s *Server, checkpoint []byte, size int64) (func(t *tlog.Tree, from int64) (tlog.View, error), error)
}

// item is an entry that was read: a release or a statement.
type item struct {
	index  int64  // the place that it was signed for
	digest string // of what was signed
	text   any    // a [release.Release] or a [keylog.Statement]
}

func newContents(cfg *Config) (contents, error) {
	if cfg.Kind == Keys {
		j, err := keylog.Pin(cfg.Pin).Judge()
		if err != nil {
			return nil, fmt.Errorf("the pin can't be used for a key log: %w", err)
		}
		return &keys{judgement: j, cfg: cfg}, nil
	}
	signers, err := tlog.ParseKeys(cfg.Pin.Keys)
	if err != nil {
		return nil, fmt.Errorf("the pin's keys: %w", err)
	}
	return &releases{pin: cfg.Pin, keys: signers}, nil
}

// maxShown bounds the bytes of the entries in a view, which is bounded itself
// ([tlog.MaxView]) and has them in base64, with proofs and hashes beside them.
const maxShown = 384 << 10

// releases are the contents of a log of releases.
type releases struct {
	pin  release.Pin
	keys []tlog.Key
}

func (*releases) noun() string     { return "release" }
func (*releases) maxSize() int64   { return release.MaxSigned }
func (*releases) admit(item) error { return nil }
func (*releases) learn(item)       {}

func (c *releases) judge(entry []byte) (item, error) {
	r, err := release.Parse(entry)
	if err != nil {
		return item{}, refuse(http.StatusBadRequest, "this is no signed release: "+err.Error())
	}
	if n := len(r.Signers(c.keys)); n < c.pin.Threshold {
		return item{}, refuse(http.StatusForbidden, fmt.Sprintf("%s: %d of the pinned keys signed it, and it takes %d", tlog.FailSignatures, n, c.pin.Threshold))
	}
	if r.Manifest.Product != c.pin.Product {
		return item{}, refuse(http.StatusForbidden, fmt.Sprintf("this log takes releases of %s, and it is one of %s", c.pin.Product, r.Manifest.Product))
	}
	return item{r.Manifest.Index, r.Digest(), r}, nil
}

func (c *releases) show(s *Server, checkpoint []byte, size int64) (func(*tlog.Tree, int64) (tlog.View, error), error) {
	entries, err := c.inForce(s, size)
	return func(t *tlog.Tree, from int64) (tlog.View, error) { return t.View(checkpoint, from, entries) }, err
}

// inForce returns the newest release, with all entries after it, and the releases
// before it that it doesn't revoke, newest first and as many as a view holds.
func (c *releases) inForce(s *Server, size int64) (entries []tlog.Entry, err error) {
	var newest *release.Manifest
	revoked := map[string]bool{}
	bytes := 0
	err = s.backwards(size, func(i int64, e []byte) bool {
		it, err := c.judge(e)
		counts := err == nil && it.index == i
		r, _ := it.text.(release.Release)
		switch {
		case newest == nil && counts:
			newest = &r.Manifest
			for _, d := range newest.Revoked {
				revoked[d] = true
			}
		case newest == nil: // written down for another pin; nobody may leave it out
		case !counts || revoked[it.digest] || release.Older(r.Manifest.Version, newest.MinimumVersion):
			return true
		}
		bytes += len(e)
		if len(entries) == tlog.MaxReleases || bytes > maxShown {
			return false
		}
		entries = append(entries, tlog.Entry{Index: i, Data: e})
		return true
	})
	return entries, err
}

// Bounds of what a key log takes (spec/keylog.md, "What a log takes").
const (
	// DefaultNodesEvery is how long there is between two lists of machines.
	DefaultNodesEvery = 10 * time.Minute

	maxNodesPerDay = 192              // lists of machines between two days
	maxClockOff    = 10 * time.Minute // of a statement's time from the log's
	// dayGrace is how long after a day's end a view still shows all that a client
	// needs for that day.
	dayGrace = time.Hour
)

// keys are the contents of a key log. learn and admit have turns by Server.adding.
type keys struct {
	judgement *keylog.Judge
	cfg       *Config

	order keylog.Order
	nodes *keylog.Statement // the last list of machines
	lists int               // since the last day
}

func (*keys) noun() string   { return "statement" }
func (*keys) maxSize() int64 { return keylog.MaxSigned }

func (c *keys) judge(entry []byte) (item, error) {
	if len(entry) > keylog.MaxSigned {
		return item{}, refuse(http.StatusRequestEntityTooLarge, fmt.Sprintf("a signed statement has at most %d bytes", keylog.MaxSigned))
	}
	st, err := c.judgement.Read(entry, -1)
	if err != nil {
		status := http.StatusForbidden
		if e, ok := err.(*tlog.Error); ok && e.Failure == keylog.FailMalformed {
			status = http.StatusBadRequest
		}
		return item{}, refuse(status, err.Error())
	}
	text, err := st.Encode()
	return item{st.Index, release.Digest(text), st}, err
}

func (c *keys) admit(it item) error {
	st := it.text.(keylog.Statement)
	now := c.cfg.Now()
	if off := now.Sub(time.Unix(st.Time, 0)); off.Abs() > maxClockOff {
		return refuse(http.StatusConflict, fmt.Sprintf("it says that it was made at %s, more than 10 minutes from this log's clock: make it anew", time.Unix(st.Time, 0).UTC().Format(time.RFC3339)))
	}
	if st.Kind == keylog.KindDay {
		next := c.order
		if err := next.Add(st); err != nil {
			return refuse(http.StatusConflict, err.Error())
		}
		return nil
	}
	switch before := c.nodes; {
	case before == nil:
	case c.lists > 0 && st.Size == before.Size && st.Root == before.Root:
		return refuse(http.StatusConflict, "the last list of machines in the log is the same")
	case time.Duration(st.Time-before.Time)*time.Second < c.cfg.NodesEvery && c.lists > 0:
		return refuse(http.StatusConflict, fmt.Sprintf("there are %v between two lists of machines", c.cfg.NodesEvery))
	}
	if c.lists >= maxNodesPerDay {
		return refuse(http.StatusConflict, fmt.Sprintf("there are at most %d lists of machines before the next day", maxNodesPerDay))
	}
	return nil
}

func (c *keys) learn(it item) {
	st := it.text.(keylog.Statement)
	if st.Kind == keylog.KindDay {
		_ = c.order.Add(st) // what is on the disk is
		c.lists = 0
		return
	}
	c.nodes = &st
	c.lists++
}

// show has all entries from the statement on that is of a day before all that a
// client may want to know of.
func (c *keys) show(s *Server, checkpoint []byte, size int64) (func(*tlog.Tree, int64) (tlog.View, error), error) {
	day := token.DayOf(s.cfg.Now().Add(-dayGrace))
	var newest [][]byte // newest first
	bytes := 0
	err := s.backwards(size, func(i int64, e []byte) bool {
		if bytes += len(e); len(newest) == tlog.MaxRecent || bytes > maxShown {
			return false
		}
		newest = append(newest, e)
		st, err := c.judgement.Read(e, i)
		return err != nil || st.Kind != keylog.KindDay || st.Day >= day
	})
	recent := make([][]byte, len(newest))
	for i, e := range newest {
		recent[len(recent)-1-i] = e
	}
	return func(t *tlog.Tree, from int64) (tlog.View, error) { return t.Recent(checkpoint, from, recent) }, err
}
