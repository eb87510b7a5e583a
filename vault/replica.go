// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"fmt"
	"sort"
	"sync"
	"time"
)

// Replica is one device's copy of a person's chats: what the feed holds, checked
// and opened, with what the device wrote and the server has not yet acknowledged
// on top. All methods may be called from several goroutines.
//
// A replica believes nothing: each page must continue the hash chain from the
// head it knows, each record must open in its place, and the head that each
// record's writer saw must lie on the same chain. A page that contradicts what is
// known is refused; a record that doesn't open, or that was written by a device
// which was shown another history, is reported by [Replica.Problems] and hides
// nothing else.
type Replica struct {
	// Now is the clock for versions of registers; time.Now by default. Set it
	// before first use.
	Now func() time.Time

	account AccountID
	device  DeviceID
	keys    replicaKeys

	mu       sync.Mutex
	head     Head
	hashes   []Hash           // hashes[i] is the head's hash after entry i+1
	places   map[place]uint64 // where each record stands; 0: only written here
	caughtUp bool             // the last page reached the server's head

	pending     []Put                  // written here, oldest first; see waiting
	waiting     map[place]struct{}     // those of pending that are not acknowledged
	messages    map[RecordID]*message  // live messages
	registers   map[RecordID]*register // newest version of each register
	chats       map[string]*chat       // chats with at least one message or register
	tombs       map[RecordID]uint64    // newest tombstone that names a record
	unproven    map[uint64]place       // erased entries for which no reason is known
	problems    map[uint64]Problem     // records that didn't open
	chatsSorted []*chat                // cache of Chats; nil when stale
}

type replicaKeys struct{ records, registers []byte }

// opened is what a record holds; one of its fields is set.
type opened struct {
	known    Head
	message  *Message
	register *registerBody
	erase    []RecordID
}

type message struct {
	Message
	seq    uint64 // 0: pending
	erased bool
	folded string // Text as searches compare it; empty until the first one
}

type register struct {
	registerBody
	version Version
	seq     uint64 // 0: pending
}

// Problem is something wrong with one record. Everything else is untouched by it.
type Problem struct {
	Seq        uint64
	ID         RecordID
	Collection Collection
	// Err wraps ErrTampered, ErrSwapped, ErrForeign, ErrReplayed or ErrFormat when
	// the record could not be used; ErrHidden when it was erased without reason;
	// ErrHidden or ErrFork when it is good, but its writer had seen another
	// history than this device.
	Err error
}

// NewReplica returns an empty replica of an account for this device.
func NewReplica(root RootKey, account AccountID, device DeviceID) *Replica {
	r := &Replica{
		Now:     time.Now,
		account: account,
		device:  device,
		keys: replicaKeys{
			records:   root.derive(account, "records"),
			registers: root.derive(account, "register ids"),
		},
	}
	r.reset()
	return r
}

func (r *Replica) reset() {
	r.head = Genesis(r.account)
	r.hashes = nil
	r.places = map[place]uint64{}
	r.caughtUp = false
	r.pending = nil
	r.waiting = map[place]struct{}{}
	r.messages = map[RecordID]*message{}
	r.registers = map[RecordID]*register{}
	r.chats = map[string]*chat{}
	r.tombs = map[RecordID]uint64{}
	r.unproven = map[uint64]place{}
	r.problems = map[uint64]Problem{}
	r.chatsSorted = nil
}

// Account returns the account whose vault this is.
func (r *Replica) Account() AccountID { return r.account }

// Head returns how far the feed is known: where the next page should start.
func (r *Replica) Head() Head {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.head
}

// Load applies entries that this device stored earlier, in order from the first.
// They are checked like a page, so a store that somebody changed is noticed.
func (r *Replica) Load(entries []Entry) error {
	if len(entries) == 0 {
		return nil
	}
	last := entries[len(entries)-1]
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.apply(Page{Head{last.Seq, last.Hash}, entries})
	r.caughtUp = false // the server may have an entry that explains an erased one
	return err
}

// Apply takes a page of the feed. It takes all of it or, when it returns an
// error, nothing: ErrRollback, ErrFork, ErrHidden and ErrTampered mean that the
// server contradicts what it showed before or itself, and what is known stays
// usable; ErrOutOfOrder asks to fetch again from [Replica.Head]; ErrFormat means
// that it is no page. Entries that are known already are compared and skipped.
//
// Ask for one page at a time: an answer that was asked for before a newer one
// was applied looks like a rollback.
func (r *Replica) Apply(p Page) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.apply(p)
}

func (r *Replica) apply(p Page) error {
	fresh, err := r.checkChain(p)
	if err != nil {
		return err
	}
	for _, e := range fresh {
		r.head = Head{e.Seq, e.Hash}
		r.hashes = append(r.hashes, e.Hash)
		r.take(e)
	}
	r.caughtUp = r.head.Seq == p.Head.Seq
	return nil
}

// checkChain returns the entries of p that are new, having checked that they
// continue the chain and that p agrees with all that is known.
func (r *Replica) checkChain(p Page) ([]Entry, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if p.Head.Seq < r.head.Seq {
		return nil, fmt.Errorf("%w: to %d from %d", ErrRollback, p.Head.Seq, r.head.Seq)
	}
	fresh := p.Entries
	for len(fresh) > 0 && fresh[0].Seq <= r.head.Seq {
		e := fresh[0]
		if e.Seq == 0 {
			return nil, fmt.Errorf("page: %w: entry 0", ErrFormat)
		}
		if e.Hash != r.hashes[e.Seq-1] {
			return nil, fmt.Errorf("%w: entry %d is another one now", ErrFork, e.Seq)
		}
		fresh = fresh[1:]
	}
	if len(fresh) == 0 {
		switch {
		case p.Head.Seq == r.head.Seq && p.Head.Hash != r.head.Hash:
			return nil, fmt.Errorf("%w: at entry %d", ErrFork, r.head.Seq)
		case p.Head.Seq > r.head.Seq:
			// Also when known ones were sent instead: else a server could have a
			// device ask for ever, and never say what it finds wrong.
			return nil, fmt.Errorf("%w: entry %d exists but was not sent", ErrHidden, r.head.Seq+1)
		}
		return nil, nil
	}
	if fresh[0].Seq != r.head.Seq+1 {
		return nil, fmt.Errorf("%w: entry %d after %d", ErrOutOfOrder, fresh[0].Seq, r.head.Seq)
	}
	at := r.head
	for i, e := range fresh {
		at = at.Next(e.Collection, e.ID, e.Version, e.digest())
		if at.Hash == e.Hash {
			continue
		}
		if i == 0 && r.head.Seq > 0 {
			return nil, fmt.Errorf("%w: entry %d does not continue what was known", ErrFork, e.Seq)
		}
		return nil, fmt.Errorf("%w: hash of entry %d", ErrTampered, e.Seq)
	}
	if at.Seq > p.Head.Seq || at.Seq == p.Head.Seq && at.Hash != p.Head.Hash {
		return nil, fmt.Errorf("%w: the page's head is not the head of its entries", ErrTampered)
	}
	return fresh, nil
}

// checkWriter compares the head that the writer of entry seq saw with this feed.
// A writer that saw something else was shown another history.
func (r *Replica) checkWriter(known Head, seq uint64) error {
	switch {
	case known.Seq == 0:
		return nil
	case known.Seq >= seq:
		return fmt.Errorf("%w: its writer had seen %d entries", ErrHidden, known.Seq)
	case r.hashes[known.Seq-1] != known.Hash:
		return fmt.Errorf("%w: its writer saw another entry %d", ErrFork, known.Seq)
	}
	return nil
}

// open opens a record and decodes what it holds.
func (r *Replica) open(p place, data []byte) (o opened, err error) {
	var body []byte
	if o.known, body, err = openRecord(r.keys.records, r.account, p, data); err != nil {
		return o, err
	}
	switch p.collection {
	case Messages:
		o.message, err = decodeMessage(p.id, body)
	case Registers:
		o.register, err = decodeRegister(body)
		if err == nil && r.registerID(o.register.Chat, o.register.Name) != p.id {
			err = ErrSwapped // only a holder of the key can have written this
		}
	case Tombstones:
		o.erase, err = decodeTombstone(body)
	}
	return o, err
}

// take makes an entry part of the state.
func (r *Replica) take(e Entry) {
	p := e.place()
	if first := r.places[p]; first != 0 {
		r.problem(e, fmt.Errorf("%w: first at %d", ErrReplayed, first))
		return
	}
	var o opened
	if e.Data != nil {
		var err error
		if o, err = r.open(p, e.Data); err != nil {
			// The place stays free, and what is pending for it stays visible.
			r.problem(e, err)
			return
		}
		if err := r.checkWriter(o.known, e.Seq); err != nil {
			r.problem(e, err)
		}
	}
	r.places[p] = e.Seq
	_, ours := r.waiting[p]
	delete(r.waiting, p)
	if len(r.waiting) == 0 {
		r.pending = nil
	}
	switch {
	case e.Data != nil:
		r.include(p, o, e.Seq)
	case ours:
		r.unproven[e.Seq] = p
		r.settle(p, e.Seq)
	default:
		r.unproven[e.Seq] = p
	}
}

func (r *Replica) problem(e Entry, err error) {
	r.problems[e.Seq] = Problem{e.Seq, e.ID, e.Collection, err}
}

// include adds an opened record to the state; seq is 0 for a pending one.
func (r *Replica) include(p place, o opened, seq uint64) {
	if tomb, named := r.tombs[p.id]; named && tomb == 0 && seq != 0 {
		return // erased here already; the tombstone is on its way
	}
	switch {
	case o.message != nil:
		if m, ok := r.messages[p.id]; ok { // our own, coming back
			m.seq = seq
			return
		}
		m := &message{Message: *o.message, seq: seq}
		r.messages[p.id] = m
		r.chat(m.Chat).add(m)
		r.chatsSorted = nil
	case o.register != nil:
		g, ok := r.registers[p.id]
		switch {
		case ok && g.version == p.version:
			g.seq = seq
		case ok && g.version.Compare(p.version) > 0:
			// A newer write is known already.
		default:
			g = &register{*o.register, p.version, seq}
			r.registers[p.id] = g
			r.chat(g.Chat).set(g.Name, p.id, g.Value)
			r.chatsSorted = nil
		}
	case o.erase != nil:
		r.erase(o.erase, seq)
	}
}

// settle notes that a record written here has a place in the feed although the
// server erased it at once, as it does with an outdated register.
func (r *Replica) settle(p place, seq uint64) {
	if g, ok := r.registers[p.id]; ok && g.version == p.version {
		g.seq = seq
	}
	if m, ok := r.messages[p.id]; ok {
		m.seq = seq
	}
}

// erase removes the records that a tombstone at seq names: those that stand
// before it in the feed. What another device added meanwhile, unseen by the one
// that erased, stays. A pending tombstone (seq 0) removes what is here now.
func (r *Replica) erase(ids []RecordID, seq uint64) {
	touched := map[*chat]bool{}
	for _, id := range ids {
		r.tombs[id] = max(seq, r.tombs[id])
		if m, ok := r.messages[id]; ok && (seq == 0 || m.seq != 0) {
			delete(r.messages, id)
			m.erased = true
			touched[r.chat(m.Chat)] = true
		}
		if g, ok := r.registers[id]; ok && (seq == 0 || g.seq != 0) {
			delete(r.registers, id)
			c := r.chat(g.Chat)
			c.unset(g.Name)
			touched[c] = true
		}
	}
	for c := range touched {
		c.sweep()
		if len(c.messages) == 0 && len(c.registers) == 0 {
			delete(r.chats, c.view.ID)
		}
	}
	r.chatsSorted = nil
}

func (r *Replica) chat(id string) *chat {
	c, ok := r.chats[id]
	if !ok {
		c = newChat(id)
		r.chats[id] = c
	}
	return c
}

// Problems returns the records that could not be used, by place in the feed.
// When the feed is known to its end, entries that the server erased without
// any device having asked for it count among them (ErrHidden).
func (r *Replica) Problems() []Problem {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []Problem
	for _, p := range r.problems {
		list = append(list, p)
	}
	for seq, p := range r.unproven {
		if r.mayBeErased(p, seq) {
			delete(r.unproven, seq) // proven now, and for good
		} else if r.caughtUp {
			list = append(list, Problem{seq, p.id, p.collection, fmt.Errorf("%w: erased without a reason", ErrHidden)})
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Seq < list[j].Seq })
	return list
}

// mayBeErased tells whether a device asked to erase the entry: by a tombstone
// after it or by a newer version of the register.
func (r *Replica) mayBeErased(p place, seq uint64) bool {
	if r.tombs[p.id] > seq {
		return true
	}
	g, ok := r.registers[p.id]
	return p.collection == Registers && ok && g.seq != 0 && g.version.Compare(p.version) > 0
}
