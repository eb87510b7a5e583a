// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package wallet

import (
	"crypto/rand"
	"encoding/binary"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/sotto-chat/sotto/token"
)

const (
	// maxSlots bounds the tokens that are kept, maxOut those of them that were
	// handed out. A batch more than that throws the oldest away.
	maxSlots = 80
	maxOut   = 16
	// maxBatches bounds the batches that wait for an answer: one for today and
	// one for tomorrow, and one more around midnight.
	maxBatches = 3
	maxDays    = 3 // allowances that are kept
	maxPlan    = 32
	// keepDays is how many days off a token's day may be before it is thrown
	// away: more than it is good for, so that a clock that was wrong for an hour
	// loses nothing.
	keepDays = 2
)

// book is all that is saved.
type book struct {
	slots      []*slot
	batches    []*batch
	allowances []*dayAllowance
}

// slot is one token.
type slot struct {
	day   token.Day
	token token.Token
	out   bool // handed out
	lost  bool // handed out, and nobody knows what became of it
	// The refund of a token that was handed out; a zero key if none was wanted.
	refundSeed [32]byte
	refundKey  [32]byte
}

// batch is tokens that wait for their signatures.
type batch struct {
	day   token.Day
	key   [32]byte
	seeds [][32]byte
}

type dayAllowance struct {
	day token.Day
	Allowance
}

// keep returns the elements of a list that are to stay.
func keep[T any](list []*T, stays func(*T) bool) (kept []*T) {
	for _, x := range list {
		if stays(x) {
			kept = append(kept, x)
		}
	}
	return kept
}

// add returns the list with an element more at its end, and no more than limit:
// the oldest go.
func add[T any](list []*T, x *T, limit int) []*T {
	if len(list) >= limit {
		list = list[1:]
	}
	return append(list[:len(list):len(list)], x)
}

// ready returns the tokens of a day that can be handed out.
func (b *book) ready(day token.Day) []*slot {
	return keep(b.slots, func(s *slot) bool { return !s.out && s.day == day })
}

func (b *book) has(s *slot) bool {
	return len(keep(b.slots, func(t *slot) bool { return t == s })) > 0
}

func (b *book) drop(s *slot) {
	b.slots = keep(b.slots, func(t *slot) bool { return t != s })
}

func (b *book) add(s *slot) { b.slots = add(b.slots, s, maxSlots) }

// limitOut forgets the oldest of too many tokens that were handed out.
func (b *book) limitOut() {
	n := len(keep(b.slots, func(s *slot) bool { return s.out }))
	b.slots = keep(b.slots, func(s *slot) bool {
		if s.out {
			n--
		}
		return !s.out || n < maxOut
	})
}

func (b *book) batch(day token.Day) *batch {
	for _, x := range b.batches {
		if x.day == day {
			return x
		}
	}
	return nil
}

func (b *book) addBatch(x *batch) {
	b.dropBatch(x.day)
	b.batches = add(b.batches, x, maxBatches)
}

func (b *book) dropBatch(day token.Day) {
	b.batches = keep(b.batches, func(x *batch) bool { return x.day != day })
}

// allowance returns what the issuer said of a day.
func (b *book) allowance(day token.Day) (Allowance, bool) {
	for _, a := range b.allowances {
		if a.day == day {
			return a.Allowance, true
		}
	}
	return Allowance{}, false
}

// latest returns what it said of the day or, if it said nothing, of another: the
// plan is the same as a rule.
func (b *book) latest(day token.Day) Allowance {
	a, ok := b.allowance(day)
	if n := len(b.allowances); !ok && n > 0 {
		return b.allowances[n-1].Allowance
	}
	return a
}

func (b *book) setAllowance(day token.Day, a Allowance) {
	if len(a.Plan) > maxPlan {
		a.Plan = a.Plan[:maxPlan]
	}
	a.PerDay = max(a.PerDay, -1)
	b.allowances = keep(b.allowances, func(x *dayAllowance) bool { return x.day != day })
	b.allowances = add(b.allowances, &dayAllowance{day, a}, maxDays)
}

// tidy throws away what is of other times.
func (b *book) tidy(today token.Day) {
	near := func(d token.Day) bool { return today-keepDays <= d && d <= today+keepDays }
	b.slots = keep(b.slots, func(s *slot) bool { return near(s.day) })
	b.batches = keep(b.batches, func(x *batch) bool { return near(x.day) })
	b.allowances = keep(b.allowances, func(a *dayAllowance) bool { return near(a.day) })
}

// The saved form, sealed as a whole and padded to one size, so that it doesn't
// tell how many tokens there are. Integers are big-endian.
//
//	version     u8 = 1
//	slots       u8, each: day i32 ‖ flags u8 (1 out) ‖ token [386] ‖ refund seed [32] ‖ refund key id [32]
//	batches     u8, each: day i32 ‖ key id [32] ‖ count u8 ‖ count × seed [32]
//	allowances  u8, each: day i32 ‖ per day i32 ‖ issued i32 ‖ per hour i32 ‖ resets i64 ‖ length u8 ‖ plan
//	zeros up to plainSize
//
// The blob is version u8 = 1 ‖ nonce [12] ‖ sealed.
const (
	bookVersion = 1
	blobLabel   = "sotto/1 wallet\x00"

	slotSize      = 4 + 1 + token.StoredSize + 2*32
	batchSizeMax  = 4 + 32 + 1 + largeBatch*32
	allowanceSize = 4 + 3*4 + 8 + 1 + maxPlan
	plainSize     = 1 + 1 + maxSlots*slotSize + 1 + maxBatches*batchSizeMax + 1 + maxDays*allowanceSize

	// BlobSize is the size of every blob that is saved.
	BlobSize = 1 + chacha20poly1305.NonceSize + plainSize + chacha20poly1305.Overhead
)

func (b *book) marshal() []byte {
	p := writer(make([]byte, 0, plainSize))
	p.u8(bookVersion)
	p.u8(len(b.slots))
	for _, s := range b.slots {
		p.u32(int(s.day))
		flags := 0
		if s.out {
			flags = 1
		}
		p.u8(flags)
		p.put(s.token.Store())
		p.put(s.refundSeed[:])
		p.put(s.refundKey[:])
	}
	p.u8(len(b.batches))
	for _, x := range b.batches {
		p.u32(int(x.day))
		p.put(x.key[:])
		p.u8(len(x.seeds))
		for i := range x.seeds {
			p.put(x.seeds[i][:])
		}
	}
	p.u8(len(b.allowances))
	for _, a := range b.allowances {
		p.u32(int(a.day))
		p.u32(a.PerDay)
		p.u32(a.Issued)
		p.u32(a.PerHour)
		p.u32(int(a.Resets >> 32))
		p.u32(int(a.Resets))
		p.u8(len(a.Plan))
		p.put([]byte(a.Plan))
	}
	return p[:plainSize]
}

// writer puts pieces one after the other. There is room for all of them.
type writer []byte

func (w *writer) put(b []byte) { *w = append(*w, b...) }
func (w *writer) u8(n int)     { *w = append(*w, byte(n)) }
func (w *writer) u32(n int)    { *w = binary.BigEndian.AppendUint32(*w, uint32(n)) }

// parseBook reads what marshal wrote. All of it is bounded by its size.
func parseBook(p []byte) (b book, ok bool) {
	r := reader{p, true}
	if len(p) != plainSize || r.u8() != bookVersion {
		return book{}, false
	}
	n := r.count(maxSlots)
	for range n {
		s := &slot{day: token.Day(r.u32())}
		flags := r.u8()
		t, err := token.Restore(r.next(token.StoredSize))
		s.token = t
		s.out = flags == 1
		s.lost = s.out // nobody is left who would say what became of it
		s.refundSeed = [32]byte(r.next(32))
		s.refundKey = [32]byte(r.next(32))
		if err != nil || flags > 1 {
			return book{}, false
		}
		b.slots = append(b.slots, s)
	}
	n = r.count(maxBatches)
	for range n {
		x := &batch{day: token.Day(r.u32()), key: [32]byte(r.next(32))}
		seeds := r.count(largeBatch)
		for range seeds {
			x.seeds = append(x.seeds, [32]byte(r.next(32)))
		}
		b.batches = append(b.batches, x)
	}
	n = r.count(maxDays)
	for range n {
		a := &dayAllowance{day: token.Day(r.u32())}
		a.PerDay, a.Issued, a.PerHour = int(int32(r.u32())), int(int32(r.u32())), int(int32(r.u32()))
		a.Resets = int64(r.u32())<<32 | int64(r.u32())
		a.Plan = string(r.next(r.count(maxPlan)))
		b.allowances = append(b.allowances, a)
	}
	for _, c := range r.b {
		if c != 0 {
			return book{}, false
		}
	}
	if !r.ok {
		return book{}, false
	}
	return b, true
}

// reader cuts pieces off b. After the end it goes on with zeros, and says so.
type reader struct {
	b  []byte
	ok bool
}

func (r *reader) next(n int) []byte {
	if len(r.b) < n {
		r.b, r.ok = nil, false
		return make([]byte, n)
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) u8() byte    { return r.next(1)[0] }
func (r *reader) u32() uint32 { return binary.BigEndian.Uint32(r.next(4)) }

// count reads a number of things, of which there may be limit.
func (r *reader) count(limit int) int {
	n := int(r.u8())
	if n > limit {
		r.ok = false
		return 0
	}
	return n
}

// save seals the book and saves it. The caller holds mu.
func (w *Wallet) save() error {
	w.book.tidy(w.today())
	blob := make([]byte, 1+chacha20poly1305.NonceSize, BlobSize)
	blob[0] = bookVersion
	rand.Read(blob[1:])
	return w.c.Store.Save(w.aead.Seal(blob, blob[1:], w.book.marshal(), w.label))
}

// open returns the book in a blob, an empty one if it isn't a blob of this key.
func (w *Wallet) open(blob []byte) book {
	if len(blob) != BlobSize || blob[0] != bookVersion {
		return book{}
	}
	nonce := blob[1 : 1+chacha20poly1305.NonceSize]
	plain, err := w.aead.Open(nil, nonce, blob[1+len(nonce):], w.label)
	if err != nil {
		return book{}
	}
	b, ok := parseBook(plain)
	if !ok {
		return book{}
	}
	b.tidy(w.today())
	return b
}
