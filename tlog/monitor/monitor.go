// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package monitor follows a public log, of releases or of keys, and reads all of it.
//
// A client believes one entry by its proof. A monitor looks at every entry, hashes
// it, and compares the root of all of them with the one that the log and its
// witnesses signed, so that nothing in the log stays unseen, and nothing that was
// seen changes or goes away. What it keeps of the log is the hash of each entry:
// with them it can tell whether any later checkpoint continues what it saw.
//
// It does no I/O of its own: it asks for what stands at a path of the log
// (C2SP tlog-tiles) through a function of its caller's.
package monitor

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/sotto-chat/sotto/keylog"
	"github.com/sotto-chat/sotto/release"
	"github.com/sotto-chat/sotto/tlog"
)

// Limits.
const (
	MaxEntries = 1 << 20                           // entries of a log that is followed
	MaxBundle  = tlog.Window * (2 + tlog.MaxEntry) // bytes of a bundle of entries
	MaxState   = 64 << 20                          // bytes of what is kept
	MaxNew     = 256 << 20                         // bytes of entries that are new at once
)

// ErrNotFound says that there is nothing at a path.
var ErrNotFound = errors.New("there is nothing at this path of the log")

// Get returns what stands at a path of the log, such as "/checkpoint", of at most so
// many bytes, or an error, [ErrNotFound] where there is nothing.
type Get func(ctx context.Context, path string, limit int64) ([]byte, error)

// Monitor follows one log. Make it with [New] or [Load].
type Monitor struct {
	pin    release.Pin
	policy tlog.Policy
	keys   []tlog.Key
	seen   *tlog.Seen
	leaves []tlog.Hash
	newest []byte // entry of the newest release that counts

	statements *keylog.Judge // of a key log; nil for a log of releases
	order      keylog.Order  // of its days
	days       [][]byte      // entries of its newest days, which order knows
}

// keepDays is how many days' statements of a key log are kept, so that a second key for
// one of them is noticed after a restart too.
const keepDays = 32

// NewKeys returns a monitor of a key log that has seen nothing yet.
func NewKeys(pin keylog.Pin) (*Monitor, error) {
	judge, err := pin.Judge()
	if err != nil {
		return nil, err
	}
	return &Monitor{pin: release.Pin(pin), policy: judge.Policy(), statements: judge}, nil
}

// New returns a monitor of a log of releases that has seen nothing yet.
func New(pin release.Pin) (*Monitor, error) {
	policy, err := tlog.ParsePolicy(pin.Log)
	if err != nil {
		return nil, err
	}
	keys, err := tlog.ParseKeys(pin.Keys)
	if err != nil {
		return nil, err
	}
	return &Monitor{pin: pin, policy: policy, keys: keys}, nil
}

// state is what is kept, in JSON.
type state struct {
	V      int       `json:"v"` // 1
	Seen   tlog.Seen `json:"seen"`
	Leaves string    `json:"leaves"`           // base64 of the leaf hashes, one after the other
	Newest string    `json:"newest,omitempty"` // base64 of the newest release's entry
	Days   [][]byte  `json:"days,omitempty"`   // of a key log: entries of its newest days
}

// Load returns a monitor of a log of releases that goes on from what [Monitor.State]
// returned, of at most [MaxState] bytes.
func Load(pin release.Pin, doc []byte) (*Monitor, error) {
	m, err := New(pin)
	if err == nil {
		err = m.load(doc)
	}
	return m, err
}

// LoadKeys is Load for a key log.
func LoadKeys(pin keylog.Pin, doc []byte) (*Monitor, error) {
	m, err := NewKeys(pin)
	if err == nil {
		err = m.load(doc)
	}
	return m, err
}

func (m *Monitor) load(doc []byte) error {
	damaged := errors.New("what was kept of the log is damaged")
	var s state
	if json.Unmarshal(doc, &s) != nil || s.V != 1 || s.Seen.V != 1 || len(s.Days) > keepDays || m.statements == nil && len(s.Days) > 0 {
		return damaged
	}
	b, err := base64.StdEncoding.DecodeString(s.Leaves)
	if err != nil || len(b)%32 != 0 || int64(len(b)/32) != s.Seen.Size {
		return damaged
	}
	for ; len(b) > 0; b = b[32:] {
		m.leaves = append(m.leaves, tlog.Hash(b[:32]))
	}
	if m.newest, err = base64.StdEncoding.DecodeString(s.Newest); err != nil {
		return damaged
	}
	if m.tree().Root(s.Seen.Size) != s.Seen.Root {
		return damaged
	}
	for _, e := range s.Days {
		st, err := m.statements.Read(e, -1)
		if err != nil || m.order.Add(st) != nil {
			return damaged
		}
	}
	m.seen, m.days = &s.Seen, s.Days
	return nil
}

// State returns what to keep, nil before the first step.
func (m *Monitor) State() ([]byte, error) {
	if m.seen == nil {
		return nil, nil
	}
	var b []byte
	for _, h := range m.leaves {
		b = append(b, h[:]...)
	}
	return json.Marshal(state{1, *m.seen, base64.StdEncoding.EncodeToString(b), base64.StdEncoding.EncodeToString(m.newest), m.days})
}

// Seen returns what was seen last, nil for nothing.
func (m *Monitor) Seen() *tlog.Seen { return m.seen }

func (m *Monitor) tree() *tlog.Tree {
	t := new(tlog.Tree)
	for _, h := range m.leaves {
		t.Append(h)
	}
	return t
}

// Found is an entry that is new.
type Found struct {
	Index   int64
	Release release.Release // empty where the entry holds none
	// Statement is the entry of a key log, as far as it could be read; nil in a log of
	// releases.
	Statement *keylog.Statement
	Signers   []string         // those of the pinned keys that signed it
	Changes   []release.Change // from the release before it that counts; nil for the first
	Failure   *tlog.Error      // why it doesn't count; nil where it does
}

// Step looks at the log once. It returns what is new, and the checkpoint that it is
// in. A [*tlog.Error] names what is wrong with the log; then nothing is new, and
// what was seen stays what it was: two keys for one day are such an error. Entries that
// don't count are none.
func (m *Monitor) Step(ctx context.Context, get Get, now time.Time) ([]Found, tlog.Checkpoint, error) {
	signed, err := get(ctx, "/checkpoint", tlog.MaxNote)
	if err != nil {
		return nil, tlog.Checkpoint{}, err
	}
	cp, err := m.policy.Open(signed)
	if err != nil {
		return nil, cp, err
	}
	if m.seen != nil && m.seen.Log != cp.Origin {
		return nil, cp, &tlog.Error{Failure: tlog.FailSplitView, Detail: "it is a checkpoint of " + cp.Origin + ", and what was seen before is of " + m.seen.Log}
	}
	size := int64(len(m.leaves))
	if cp.Size < size {
		return nil, cp, &tlog.Error{Failure: tlog.FailRollback, Detail: fmt.Sprintf("the log had %d entries and now has %d", size, cp.Size)}
	}
	if cp.Size > MaxEntries {
		return nil, cp, fmt.Errorf("the log has %d entries, more than this program follows", cp.Size)
	}
	// What was seen has to be the beginning before anything new is asked for: where
	// nothing is new, this is all there is to see.
	tree := m.tree()
	if cp.Size == size && tree.Root(size) != cp.Root {
		return nil, cp, &tlog.Error{Failure: tlog.FailSplitView, Detail: fmt.Sprintf("two logs of %d entries are signed in the name of %s", size, cp.Origin)}
	}
	entries, err := fetch(ctx, get, size, cp.Size)
	if err != nil {
		return nil, cp, err
	}
	leaves := m.leaves[:size:size]
	for _, e := range entries {
		leaves = append(leaves, tlog.LeafHash(e))
		tree.Append(leaves[len(leaves)-1])
	}
	if tree.Root(cp.Size) != cp.Root {
		if size == 0 {
			return nil, cp, &tlog.Error{Failure: tlog.FailMalformed, Detail: "the entries don't hash to the root that was signed"}
		}
		return nil, cp, &tlog.Error{Failure: tlog.FailSplitView, Detail: fmt.Sprintf("the %d entries that were seen, with those that it serves after them, don't hash to the root that was signed", size)}
	}
	// When it was cosigned. The tree has just been seen to be the checkpoint's.
	view, _ := tree.View(signed, -1, nil)
	opened, err := view.Check(m.policy, nil, now, m.maxAge())
	if err != nil {
		return nil, cp, err
	}
	seen := opened.Seen
	if m.seen != nil {
		seen.Time = max(seen.Time, m.seen.Time)
	}
	var found []Found
	newest, order, days := m.newest, m.order.Clone(), m.days[:len(m.days):len(m.days)]
	for i, e := range entries {
		if m.statements != nil {
			f := Found{Index: size + int64(i)}
			st, err := m.statements.Read(e, f.Index)
			f.Statement = &st
			if err == nil {
				if err := order.Add(st); err != nil {
					return nil, cp, err
				}
				if st.Kind == keylog.KindDay {
					days = append(days, e)
					days = days[max(0, len(days)-keepDays):]
				}
			} else if !errors.As(err, &f.Failure) {
				return nil, cp, err
			}
			found = append(found, f)
			continue
		}
		f := m.judge(e, size+int64(i))
		if f.Failure == nil {
			if old, err := release.Parse(newest); err == nil {
				f.Changes = release.Diff(old.Manifest, f.Release.Manifest)
			}
			newest = e
		}
		found = append(found, f)
	}
	m.seen, m.leaves, m.newest = &seen, leaves, newest
	m.order, m.days = order, days
	return found, cp, nil
}

// Stale returns a failure where what was seen last is too old by now: a log that
// can't be reached could be one that is kept away.
func (m *Monitor) Stale(now time.Time) error {
	if m.seen != nil && now.Sub(time.Unix(m.seen.Time, 0)) > m.maxAge() {
		return &tlog.Error{Failure: tlog.FailStale, Detail: "nothing newer than " + time.Unix(m.seen.Time, 0).UTC().Format(time.RFC3339) + " was to be had"}
	}
	return nil
}

func (m *Monitor) maxAge() time.Duration {
	if m.pin.MaxAge == 0 {
		return release.DefaultMaxAge * time.Second
	}
	return time.Duration(m.pin.MaxAge) * time.Second
}

// judge reads an entry.
func (m *Monitor) judge(entry []byte, index int64) Found {
	f := Found{Index: index}
	fail := func(failure, detail string) Found {
		f.Failure = &tlog.Error{Failure: failure, Detail: detail}
		return f
	}
	r, err := release.Parse(entry)
	if err != nil {
		return fail(tlog.FailMalformed, err.Error())
	}
	f.Release = r
	for _, k := range r.Signers(m.keys) {
		f.Signers = append(f.Signers, k.Name())
	}
	switch {
	case len(f.Signers) < m.pin.Threshold:
		return fail(tlog.FailSignatures, fmt.Sprintf("%d of the pinned keys signed it, and it takes %d", len(f.Signers), m.pin.Threshold))
	case r.Manifest.Product != m.pin.Product:
		return fail(tlog.FailUnlogged, "it is a release of "+strconv.Quote(r.Manifest.Product))
	case r.Manifest.Index != index:
		return fail(tlog.FailUnlogged, fmt.Sprintf("it was signed to be entry %d", r.Manifest.Index))
	}
	return f
}

// fetch gets the entries from lo to hi of a log that has hi of them.
func fetch(ctx context.Context, get Get, lo, hi int64) ([][]byte, error) {
	var entries [][]byte
	bytes := 0 // of all bundles: a log that lies about its size could serve without end
	for lo < hi {
		n := lo / tlog.Window
		end := min(hi, (n+1)*tlog.Window)
		b, err := bundle(ctx, get, n, end-n*tlog.Window)
		if err != nil {
			return nil, err
		}
		if bytes += len(b); bytes > MaxNew {
			return nil, fmt.Errorf("the log's new entries have more than %d MiB, which is more than this program reads at once", MaxNew>>20)
		}
		for i := n * tlog.Window; i < end; i++ {
			if len(b) < 2 || len(b) < 2+int(binary.BigEndian.Uint16(b)) {
				return nil, &tlog.Error{Failure: tlog.FailMalformed, Detail: fmt.Sprintf("the log's entries break off before number %d", i)}
			}
			size := 2 + int(binary.BigEndian.Uint16(b))
			if i >= lo {
				entries = append(entries, b[2:size])
			}
			b = b[size:]
		}
		lo = end
	}
	return entries, nil
}

// bundle gets a bundle of entries, of which the first width are needed (C2SP
// tlog-tiles, "Log entries").
func bundle(ctx context.Context, get Get, n, width int64) ([]byte, error) {
	path := fmt.Sprintf("%03d", n%1000)
	for rest := n / 1000; rest > 0; rest /= 1000 {
		path = fmt.Sprintf("x%03d/%s", rest%1000, path)
	}
	path = "/tile/entries/" + path
	if width < tlog.Window {
		b, err := get(ctx, path+".p/"+strconv.FormatInt(width, 10), MaxBundle)
		if !errors.Is(err, ErrNotFound) {
			return b, err
		}
		// A log may forget a part once there is the whole.
	}
	b, err := get(ctx, path, MaxBundle)
	if errors.Is(err, ErrNotFound) {
		return nil, &tlog.Error{Failure: tlog.FailMalformed, Detail: "the log doesn't serve the entries that it signed"}
	}
	return b, err
}
