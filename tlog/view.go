// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tlog

import (
	"encoding/base64"
	"encoding/json"
	"math/bits"
	"strconv"
	"time"
)

// Limits of a view.
const (
	MaxView     = 1 << 20 // bytes of the document
	MaxReleases = 8       // releases in it
	MaxRecent   = 1024    // entries in it that stand there without a proof
	MaxLeaves   = 8192    // leaf hashes in it, for a client that was away for long
	MaxPin      = 64 << 10

	// Window is what the start of a view is a multiple of, so that a client that asks
	// for an earlier one tells only roughly what it saw last.
	Window = 256
)

// maxAhead is how far, in seconds, a quorum's clock may go ahead of the client's.
const maxAhead = 300

// View is what a client gets of a log: a checkpoint, the releases in force with
// their proofs, and the hashes to compute the root at every size from Start to
// the checkpoint's. Nobody signs the document, and nothing in it is worth anything
// until [View.Check].
//
// A view of a log of releases has some of its entries, each with its proof. One
// of a log of keys has all from some place on to the end (Recent): their leaf
// hashes are in the view anyway, so they need no proofs, and none can be missing
// in between.
type View struct {
	Checkpoint []byte   // signed note
	Start      int64    // a multiple of [Window]
	Frontier   []Hash   // roots of the complete subtrees that cover the entries before Start, largest first
	Leaves     []Hash   // leaf hashes of the entries from Start on
	Releases   []Logged // newest first
	Recent     [][]byte // the last entries, all of them from some place on, oldest first
	Pin        []byte   // JSON; only a demo has it, and only who was told to believes it
}

// Logged is an entry with its proof.
type Logged struct {
	Entry []byte
	Proof []byte // text of c2sp.org/tlog-proof; its checkpoint is the view's
}

type viewJSON struct {
	V          int             `json:"v"`
	Checkpoint string          `json:"checkpoint"`
	Start      int64           `json:"start"`
	Frontier   []string        `json:"frontier"`
	Leaves     []string        `json:"leaves"`
	Releases   []loggedJSON    `json:"releases"`
	Recent     []string        `json:"recent,omitempty"`
	Pin        json.RawMessage `json:"pin,omitempty"`
}

type loggedJSON struct {
	Entry string `json:"entry"`
	Proof string `json:"proof"`
}

// ParseView reads a view (spec/log.md, "View"). It passes over fields that it
// doesn't know, since nobody signs the document, and checks no hash.
func ParseView(doc []byte) (View, error) {
	if len(doc) > MaxView {
		return View{}, malformed("a view is too long")
	}
	// Two bytes between commas can take a hundred to decode, so lists are bounded
	// before that.
	commas := 0
	for _, c := range doc {
		if c == ',' {
			commas++
		}
	}
	if commas > MaxLeaves+4096 {
		return View{}, malformed("a view has too many parts")
	}
	var j viewJSON
	if err := json.Unmarshal(doc, &j); err != nil {
		return View{}, malformed("a view is not JSON of its form")
	}
	if j.V != 1 {
		return View{}, malformed("a view is of another version than 1")
	}
	if len(j.Leaves) > MaxLeaves || len(j.Releases) > MaxReleases || len(j.Recent) > MaxRecent || len(j.Pin) > MaxPin {
		return View{}, malformed("a view has too many leaves or releases, or too long a pin")
	}
	v := View{Checkpoint: []byte(j.Checkpoint), Start: j.Start, Pin: j.Pin}
	var ok bool
	if v.Frontier, ok = parseHashes(j.Frontier); !ok {
		return View{}, malformed("the frontier of a view has something else than hashes in it")
	}
	if v.Leaves, ok = parseHashes(j.Leaves); !ok {
		return View{}, malformed("the leaves of a view have something else than hashes in them")
	}
	for _, r := range j.Releases {
		entry, ok := decode64(r.Entry)
		if !ok || len(entry) > MaxEntry {
			return View{}, malformed("a release of a view is not an entry in base64")
		}
		v.Releases = append(v.Releases, Logged{entry, []byte(r.Proof)})
	}
	for _, r := range j.Recent {
		entry, ok := decode64(r)
		if !ok || len(entry) > MaxEntry {
			return View{}, malformed("a recent entry of a view is not in base64")
		}
		v.Recent = append(v.Recent, entry)
	}
	if err := v.shape(); err != nil {
		return View{}, err
	}
	return v, nil
}

// shape checks what must be true of a view before anybody computes with it.
func (v *View) shape() error {
	if v.Start < 0 || v.Start%Window != 0 {
		return malformed("the start of a view is not a multiple of " + strconv.Itoa(Window))
	}
	if len(v.Frontier) != bits.OnesCount64(uint64(v.Start)) {
		return malformed("the frontier of a view doesn't cover what is before its start")
	}
	return nil
}

func parseHashes(list []string) ([]Hash, bool) {
	hs := make([]Hash, len(list))
	for i, s := range list {
		h, ok := parseHash(s)
		if !ok {
			return nil, false
		}
		hs[i] = h
	}
	return hs, true
}

// Encode returns the document, or an error if [ParseView] would refuse it.
func (v View) Encode() ([]byte, error) {
	j := viewJSON{V: 1, Checkpoint: string(v.Checkpoint), Start: v.Start,
		Frontier: hashStrings(v.Frontier), Leaves: hashStrings(v.Leaves), Releases: []loggedJSON{}, Pin: v.Pin}
	for _, r := range v.Releases {
		j.Releases = append(j.Releases, loggedJSON{base64.StdEncoding.EncodeToString(r.Entry), string(r.Proof)})
	}
	for _, e := range v.Recent {
		j.Recent = append(j.Recent, base64.StdEncoding.EncodeToString(e))
	}
	doc, _ := json.Marshal(j) // nothing where the pin isn't JSON, and that isn't a view
	if _, err := ParseView(doc); err != nil {
		return nil, err
	}
	return doc, nil
}

func hashStrings(hs []Hash) []string {
	out := make([]string, len(hs))
	for i, h := range hs {
		out[i] = h.String()
	}
	return out
}

// Seen is what a client remembers of a log, so that the log can't go back or turn
// into another one behind its back.
type Seen struct {
	V    int    `json:"v"`    // 1
	Log  string `json:"log"`  // the log's origin
	Size int64  `json:"size"` // the largest that the client accepted
	Root Hash   `json:"root"` // at that size
	Time int64  `json:"time"` // newest quorum's time, Unix seconds
}

// EarlierError says that a view starts after what the client saw last, so that
// nothing can be said of it. The caller asks for the view once more, with "?from="
// and From.
type EarlierError struct {
	From int64 // a multiple of [Window]
}

// Error implements error.
func (e *EarlierError) Error() string {
	return "the view starts after what was seen last; ask for it from=" + strconv.FormatInt(e.From, 10)
}

// Opened is a view that was checked.
type Opened struct {
	Checkpoint Checkpoint
	Seen       Seen // to remember
	view       View
}

// Check opens the checkpoint of the view by the policy, computes its root from the
// hashes of the view, and compares it with what the client saw before; nil is
// nothing yet. What was seen of another log is passed over, unless the policy still
// names that log too: a client follows one log, or nobody could say which of two
// stories it saw. The quorum's time may lie maxAge before now, and 5 minutes after.
//
// It returns an [Error], or an [EarlierError].
func (v View) Check(p Policy, seen *Seen, now time.Time, maxAge time.Duration) (Opened, error) {
	if err := v.shape(); err != nil {
		return Opened{}, err
	}
	c, err := p.Open(v.Checkpoint)
	if err != nil {
		return Opened{}, err
	}
	o := Opened{Checkpoint: c, Seen: Seen{1, c.Origin, c.Size, c.Root, c.Time}, view: v}
	if int64(len(v.Leaves)) != c.Size-v.Start {
		return Opened{}, malformed("the leaves of the view don't reach from its start to the size of the checkpoint")
	}
	if root, _ := o.RootAt(c.Size); root != c.Root {
		return Opened{}, malformed("the hashes of the view lead to another root than the checkpoint's")
	}
	if len(v.Recent) > len(v.Leaves) {
		return Opened{}, malformed("the recent entries of the view begin before its start")
	}
	for i, leaf := range v.Leaves[len(v.Leaves)-len(v.Recent):] {
		if LeafHash(v.Recent[i]) != leaf {
			return Opened{}, malformed("the recent entries of the view are not the log's last ones")
		}
	}
	if seen != nil {
		if err := o.compare(p, *seen); err != nil {
			return Opened{}, err
		}
	}
	switch t := now.Unix(); {
	case c.Time > t+maxAhead:
		return Opened{}, &Error{FailStale, "the witnesses' clocks go ahead of this one's by more than 5 minutes"}
	case c.Time < t-int64(maxAge/time.Second):
		return Opened{}, &Error{FailStale, "it is too long ago that enough witnesses cosigned"}
	}
	return o, nil
}

func (o *Opened) compare(p Policy, seen Seen) error {
	c := o.Checkpoint
	if seen.V != 1 || seen.Size < 0 {
		return malformed("what was kept of the log can't be read")
	}
	if seen.Log != c.Origin {
		for _, l := range p.logs {
			if l.Key.name == seen.Log {
				return &Error{FailSplitView, "the view is of " + c.Origin + ", and what was seen before of " + seen.Log}
			}
		}
		return nil
	}
	switch root, ok := o.RootAt(seen.Size); {
	case seen.Size > c.Size:
		return &Error{FailRollback, "the log had " + strconv.FormatInt(seen.Size, 10) +
			" entries and now has " + strconv.FormatInt(c.Size, 10)}
	case !ok:
		return &EarlierError{seen.Size - seen.Size%Window}
	case root != seen.Root:
		return &Error{FailSplitView, "the log's first " + strconv.FormatInt(seen.Size, 10) + " entries are not those that it had"}
	}
	o.Seen.Time = max(c.Time, seen.Time)
	return nil
}

// RootAt returns the root of the log when it had that size. It is false for a size
// before the start of the view, but for 0, and beyond the checkpoint's.
func (o Opened) RootAt(size int64) (Hash, bool) {
	if size == 0 {
		return EmptyRoot(), true
	}
	v := o.view
	if size < v.Start || size > v.Start+int64(len(v.Leaves)) {
		return Hash{}, false
	}
	s := stack{v.Start, append([]Hash(nil), v.Frontier...)}
	for _, leaf := range v.Leaves[:size-v.Start] {
		s.push(leaf)
	}
	return s.root(), true
}

// Releases returns the entries that the view brings, of which nothing is checked yet.
func (o Opened) Releases() []Logged { return o.view.Releases }

// Recent returns the last entries of the log, as many as the view brings, oldest
// first, and the index of the first. [View.Check] has seen that they stand there.
func (o Opened) Recent() (first int64, entries [][]byte) {
	return o.Checkpoint.Size - int64(len(o.view.Recent)), o.view.Recent
}

// Verify checks that an entry of the view is in the log, by its proof, and returns
// its index. The proof speaks of the very checkpoint of the view.
func (o Opened) Verify(l Logged) (index int64, err error) {
	p, err := ParseProof(l.Proof)
	if err != nil {
		return 0, err
	}
	if string(p.Checkpoint) != string(o.view.Checkpoint) {
		return 0, &Error{FailUnlogged, "the proof is of another checkpoint"}
	}
	c := o.Checkpoint
	if err := VerifyInclusion(p.Index, c.Size, LeafHash(l.Entry), p.Hashes, c.Root); err != nil {
		return 0, err
	}
	return p.Index, nil
}
