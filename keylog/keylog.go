// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package keylog reads the key log: the public log of what a service would otherwise
// tell each person by itself, and could tell each person differently
// (spec/keylog.md).
//
// Who is given a key of their own is known by it. So the key by which tokens of a
// day are signed, the keys of the gateway's door and the list of machines stand in
// a log that only grows and that witnesses watch, as statements of the issuer. A
// client takes no other:
//
//	keys, err := pin.Open(view, seen, time.Now())
//	if err != nil {
//		return err // a *tlog.Error, which names what is wrong
//	}
//	day, err := keys.Day(token.DayOf(time.Now()))
//	nodes, ok := keys.Nodes()
//
// Of machines a client asks for some that it has drawn by itself from the list of
// the newest statement, and checks that each one it gets stands at its place there
// ([Watch], [ParseSample]). Whoever serves them can say that one isn't up, but not
// put another in its place.
//
// The package does no I/O and has no clock, and builds for js/wasm. Who publishes
// statements uses package keylog/publish.
package keylog

import (
	"errors"
	"strconv"
	"time"

	"github.com/sotto-chat/sotto/tlog"
	"github.com/sotto-chat/sotto/token"
)

// What can be wrong with a key log, beside what can be wrong with any log (package
// tlog). They are failures of a [tlog.Error]; the list is closed.
const (
	FailMalformed = "keys_malformed" // a statement, or an answer about machines, isn't in its form
	FailMissing   = "keys_missing"   // there is no key for the day, or the view doesn't reach back far enough to tell
	FailDuplicate = "keys_duplicate" // two keys for one day, or one key for two
	FailOtherList = "nodes_other"    // machines of another list than the newest one
	FailUnlisted  = "nodes_unlisted" // a machine isn't where it should be on the list
	FailSteered   = "nodes_steered"  // so few of the machines that were drawn are said to be up that somebody may be choosing
)

// Failures lists all of them.
var Failures = []string{FailMalformed, FailMissing, FailDuplicate, FailOtherList, FailUnlisted, FailSteered}

func failure(name, detail string) *tlog.Error { return &tlog.Error{Failure: name, Detail: detail} }

func malformed(detail string) error { return failure(FailMalformed, detail) }

// DefaultMaxAge is how many seconds old a checkpoint may be where a pin doesn't say.
const DefaultMaxAge = 86400

// Pin is what a client knows beforehand of a key log. For a client it stands in the
// manifest of the newest release: key_log is Log, issuers are Keys, one of which is
// enough. Its form is that of release.Pin.
type Pin struct {
	V         int      `json:"v"`                 // 1
	Product   string   `json:"product"`           // statements for anything else don't count
	Log       string   `json:"log"`               // the log's key, its witnesses and their quorum (C2SP tlog-policy)
	Keys      []string `json:"keys"`              // of those who sign statements (C2SP signed-note, Ed25519)
	Threshold int      `json:"threshold"`         // how many of Keys must have signed a statement
	MaxAge    int64    `json:"max_age,omitempty"` // of a checkpoint, in seconds; 0 means [DefaultMaxAge]
}

// maxKeys bounds a pin's keys.
const maxKeys = 16

// Judge says of entries what they are worth by a pin.
type Judge struct {
	pin    Pin
	policy tlog.Policy
	keys   []tlog.Key
}

// Judge returns the judge of a pin's entries, or what is wrong with the pin as the
// rest of a sentence.
func (p Pin) Judge() (*Judge, error) {
	switch {
	case p.V != 1:
		return nil, errors.New("v is not 1")
	case !name(p.Product):
		return nil, errors.New("product is not a name of lower-case letters, digits, dots and dashes")
	case len(p.Keys) > maxKeys:
		return nil, errors.New("keys is longer than " + strconv.Itoa(maxKeys))
	case p.Threshold < 1 || p.Threshold > len(p.Keys):
		return nil, errors.New("threshold is not between 1 and the number of keys")
	case p.MaxAge < 0 || p.MaxAge > 1<<31:
		return nil, errors.New("max_age is not a time in seconds")
	}
	policy, err := tlog.ParsePolicy(p.Log)
	if err != nil {
		return nil, errors.New("log: " + err.Error())
	}
	if err := policy.Sound(); err != nil {
		return nil, errors.New("log " + err.Error())
	}
	keys, err := tlog.ParseKeys(p.Keys)
	if err != nil {
		return nil, errors.New("keys: " + err.Error())
	}
	return &Judge{p, policy, keys}, nil
}

// Policy returns the pin's policy of the log.
func (j *Judge) Policy() tlog.Policy { return j.policy }

// MaxAge returns how old a checkpoint may be.
func (j *Judge) MaxAge() time.Duration {
	if j.pin.MaxAge == 0 {
		return DefaultMaxAge * time.Second
	}
	return time.Duration(j.pin.MaxAge) * time.Second
}

// Read reads an entry and says why it doesn't count, with a [*tlog.Error]; nil is
// that it does, as entry number index, or as the one that it was signed to be where
// index is -1. What could be read is returned all the same.
func (j *Judge) Read(entry []byte, index int64) (Statement, error) {
	e := read(entry)
	if e.failure == nil {
		e.failure = j.signed(e)
	}
	if e.failure == nil {
		e.failure = j.placed(e, index)
	}
	if e.failure != nil {
		return e.Statement, e.failure
	}
	return e.Statement, nil
}

// An entry is one that was read, of which nothing was judged yet.
type entry struct {
	Statement
	note    tlog.Note
	failure *tlog.Error
}

func read(b []byte) (e entry) {
	n, err := tlog.ParseNote(b)
	if err != nil {
		e.failure = failure(FailMalformed, "it is no signed note")
		return e
	}
	e.note = n
	if e.Statement, err = ParseStatement(n.Text); err != nil {
		e.failure = err.(*tlog.Error)
	}
	return e
}

// signed says if too few of the pinned keys signed.
func (j *Judge) signed(e entry) *tlog.Error {
	n := 0
	for _, k := range j.keys {
		if _, ok := e.note.VerifiedBy(k); ok {
			n++
		}
	}
	if n < j.pin.Threshold {
		return failure(tlog.FailSignatures, strconv.Itoa(n)+" of the pinned keys signed it, and it takes "+strconv.Itoa(j.pin.Threshold))
	}
	return nil
}

// placed says if the statement is for another product or place.
func (j *Judge) placed(e entry, index int64) *tlog.Error {
	if e.Product != j.pin.Product {
		return failure(tlog.FailUnlogged, "it is a statement for "+e.Product)
	}
	if index >= 0 && e.Index != index {
		return failure(tlog.FailUnlogged, "it is entry "+strconv.FormatInt(index, 10)+" of the log, and was signed to be entry "+strconv.FormatInt(e.Index, 10))
	}
	return nil
}

// Keys is what a client knows of a key log after it has opened a view of it.
type Keys struct {
	Checkpoint tlog.Checkpoint
	Seen       tlog.Seen // to remember, and to give to the next [Pin.Open]

	first int64 // index of the first entry of the view
	days  []Statement
	nodes *Statement
}

// Open checks a view of the key log: the checkpoint is the pinned log's, a quorum of
// pinned witnesses saw it and not too long ago, the log has only grown since seen
// (nil for who saw none), and what the view brings are the last entries of the log.
// Statements that don't count are passed over. But among those that do, days must
// rise from each to the next, and no key may stand for two of them, or it is
// [FailDuplicate]. Errors are a [*tlog.Error] or a [*tlog.EarlierError].
func (p Pin) Open(view []byte, seen *tlog.Seen, now time.Time) (*Keys, error) {
	j, err := p.Judge()
	if err != nil {
		return nil, malformed("the pin can't be used: " + err.Error())
	}
	v, err := tlog.ParseView(view)
	if err != nil {
		return nil, err
	}
	opened, err := v.Check(j.policy, seen, now, j.MaxAge())
	if err != nil {
		return nil, err
	}
	k := &Keys{Checkpoint: opened.Checkpoint, Seen: opened.Seen}
	var entries [][]byte
	k.first, entries = opened.Recent()
	var order Order
	var nodes []entry // newest last
	for i, b := range entries {
		e := read(b)
		if e.failure != nil || j.placed(e, k.first+int64(i)) != nil {
			continue
		}
		if e.Kind == KindNodes {
			nodes = append(nodes, e) // whose signatures cost time, and only the newest counts
			continue
		}
		if j.signed(e) != nil {
			continue
		}
		if err := order.Add(e.Statement); err != nil {
			return nil, err
		}
		k.days = append(k.days, e.Statement)
	}
	for i := len(nodes) - 1; i >= 0 && k.nodes == nil; i-- {
		if j.signed(nodes[i]) == nil {
			k.nodes = &nodes[i].Statement
		}
	}
	return k, nil
}

// Day is what stands in the log for one day.
type Day struct {
	Day    token.Day
	Issuer string   // the issuer's name, as in a token's challenge
	Issue  []byte   // SPKI of the key that signs the day's tokens
	Refund []byte   // SPKI of the key that gives lost ones back; nil for none
	OHTTP  []string // digests of the configs of the gateway's door, sorted
}

// Day returns what stands in the log for a day. It is [FailMissing] where nothing
// does, and where the view begins after the statement of the day before, so that it
// could hide another key for the day.
func (k *Keys) Day(d token.Day) (Day, error) {
	reaches := k.first == 0
	for _, s := range k.days { // which rise
		if s.Day < d {
			reaches = true
		}
		if s.Day != d {
			continue
		}
		if !reaches {
			return Day{}, failure(FailMissing, "the view doesn't reach back to the statement before that of "+d.String())
		}
		return Day{Day: d, Issuer: s.Issuer, Issue: s.Issue, Refund: s.Refund, OHTTP: s.OHTTP}, nil
	}
	return Day{}, failure(FailMissing, "the log has no key for "+d.String())
}

// Days returns the days for which the view holds a statement, rising.
func (k *Keys) Days() (days []token.Day) {
	for _, s := range k.days {
		days = append(days, s.Day)
	}
	return days
}

// Nodes is the newest list of machines.
type Nodes struct {
	Size int64
	Root tlog.Hash // RFC 9162, over the ids in rising order
	Time int64     // when it was stated, Unix seconds
}

// Nodes returns the newest list of machines, false where the view has none.
func (k *Keys) Nodes() (Nodes, bool) {
	if k.nodes == nil {
		return Nodes{}, false
	}
	return Nodes{k.nodes.Size, k.nodes.Root, k.nodes.Time}, true
}

// Restate reports whether a day has come after the newest list of machines: views
// soon begin after it, so it is to be stated anew.
func (k *Keys) Restate() bool {
	n := len(k.days)
	return k.nodes != nil && n > 0 && k.nodes.Index < k.days[n-1].Index
}

// Order sees that days rise from statement to statement and that no key stands for
// two of them. The zero Order has seen none.
type Order struct {
	last  Statement
	begun bool
	keys  []string // of the statements before
}

// maxOrder bounds the keys that an [Order] remembers, two for each day.
const maxOrder = 64

// Add takes the next statement that counts. The error is a [*tlog.Error] with
// [FailDuplicate]; then nothing was added.
func (o *Order) Add(s Statement) error {
	if s.Kind != KindDay {
		return nil
	}
	if o.begun && s.Day <= o.last.Day {
		return failure(FailDuplicate, "entry "+strconv.FormatInt(s.Index, 10)+" is a key for "+s.Day.String()+", after entry "+strconv.FormatInt(o.last.Index, 10)+" for "+o.last.Day.String())
	}
	for _, k := range o.keys {
		if k == string(s.Issue) || k == string(s.Refund) {
			return failure(FailDuplicate, "entry "+strconv.FormatInt(s.Index, 10)+" has a key of another day for "+s.Day.String())
		}
	}
	o.keys = append(o.keys, string(s.Issue))
	if len(s.Refund) > 0 {
		o.keys = append(o.keys, string(s.Refund))
	}
	if n := len(o.keys) - maxOrder; n > 0 {
		o.keys = o.keys[n:]
	}
	o.last, o.begun = s, true
	return nil
}

// Clone returns an Order that goes on from where o is, by itself.
func (o *Order) Clone() Order {
	c := *o
	c.keys = append([]string(nil), o.keys...)
	return c
}

// Last returns the newest day, false where there was none.
func (o *Order) Last() (token.Day, bool) { return o.last.Day, o.begun }
