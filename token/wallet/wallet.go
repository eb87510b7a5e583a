// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package wallet keeps a device's tokens: it fetches them ahead, keeps them
// sealed, hands out one for each message, and takes back what was paid for
// nothing. spec/token.md, "Wallet", says what an issuer learns from it.
//
// [New] opens what the device had; [Wallet.Run], in a goroutine of its own,
// fetches ahead for as long as the app is open. For each message:
//
//	ticket, err := w.Take(ctx)
//	fields, err := ticket.Fields(message)
//	// send both
//	ticket.Spent(nil) // an answer began
//
// # Never twice, and nothing lost
//
// A token is marked as handed out, and that is saved, before anybody gets it. So
// a crash may lose a token and never spends one twice. A batch that is to be
// signed is saved before it is sent, and sent again as it was when no answer
// came, so that it counts once. A saved blob that can't be opened, being another
// key's or damaged, is as good as none: what is lost is tokens, no more.
//
// The wallet is its store's only writer. Whoever has several tabs or processes
// over one store has to see to it that only one has a wallet at a time; two that
// don't know of each other would offer the same token, and the second to do so is
// refused ([token.Spent]).
//
// # When tokens are fetched
//
// The issuer knows who fetches. If fetches followed messages, it could tell from
// times whose message is whose. So fetches are made
//
//   - when the app is opened, which the account sees anyway, and the wallet is low;
//   - at ticks of a random clock (exponential, so that no tick says anything about
//     the next) while the app is open, if the wallet is low then;
//   - for tomorrow, at one of these ticks in the evening, so that a day's first
//     message needs none.
//
// Only a message that finds no token at all fetches at once.
package wallet

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/sotto-chat/sotto/seal/bhttp"
	"github.com/sotto-chat/sotto/token"
)

// Store is where the sealed wallet lies: one blob, always of the same size.
type Store interface {
	// Load returns what was saved last, or nothing when nothing was.
	Load() ([]byte, error)
	// Save replaces it, as a whole or not at all, and returns when it would
	// outlive a crash.
	Save([]byte) error
}

// DayKeys are the keys of one day, from the witnessed log. Refund may be no key:
// then nothing is refunded.
type DayKeys struct{ Issue, Refund token.PublicKey }

// Allowance is what the issuer says of a person's plan and day.
type Allowance struct {
	Plan string // such as "free"; at most 32 bytes
	// PerDay is how many tokens the plan gives each day, Issued how many of
	// them were signed; -1 is unlimited.
	PerDay, Issued int
	PerHour        int   // the limit in tokens an hour, 0 for none
	Resets         int64 // when there is more again, in seconds since 1970
}

// left returns how many more can be signed, -1 if any number.
func (a Allowance) left() int {
	if a.PerDay < 0 {
		return -1
	}
	return max(a.PerDay-a.Issued, 0)
}

// Issued is an issuer's answer: a signature for each blinded message, in their
// order.
type Issued struct {
	Signatures [][]byte
	Allowance  Allowance
}

// Config is what a wallet is made of. All but Now and OnChange must be set. It is
// secret.
type Config struct {
	hidden
	// Key seals the blob, for this device alone.
	Key       [32]byte
	Store     Store
	Challenge token.Challenge
	// Keys returns a day's keys as the witnessed log has them; ErrDayUnknown
	// when it has none.
	Keys func(context.Context, token.Day) (DayKeys, error)
	// Issue has the issuer sign a batch for a day. It may be called again with
	// the same batch, which then counts once. Errors that it is understood by:
	// ErrSignedOut, ErrDayUnknown, ErrBatchRefused and *ErrNoneLeft, with the
	// allowance if the issuer said it. After any other the batch is sent again.
	Issue func(context.Context, token.Day, [][]byte) (Issued, error)
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// OnChange is told each new state, one at a time. It must not call the wallet.
	OnChange func(State)
}

// The values of State.Left that aren't a number of messages.
const (
	Unlimited = -1
	NotKnown  = -2
)

// State is what a person can be shown.
type State struct {
	Plan   string // "" when not known
	Left   int    // how many more messages today, Unlimited or NotKnown
	Resets int64  // when there is more again, in seconds since 1970; 0 when not known
	Err    error  // why the last fetch failed, nil if it didn't
}

var (
	// ErrSignedOut means that the issuer doesn't know who asks.
	ErrSignedOut = errors.New("wallet: signed out")
	// ErrBatchRefused means that the issuer will not sign this batch, and
	// another is to be made.
	ErrBatchRefused = errors.New("wallet: the account service refused the tokens; try again")
	// ErrDayUnknown means that the issuer or the log has no key for the day.
	// [Wallet.Take] returns *ErrClock for it.
	ErrDayUnknown = errors.New("wallet: no key for this day")
	// ErrRefundless means that a ticket has no refund to ask for.
	ErrRefundless = errors.New("wallet: this message can't be refunded")
)

// ErrNoneLeft means that the plan gives no more for now.
type ErrNoneLeft struct {
	Resets int64 // when there is more again, in seconds since 1970; 0 when not known
}

func (*ErrNoneLeft) Error() string { return "wallet: no messages left for now" }

// ErrClock means that this device's day is not the service's.
type ErrClock struct {
	Day token.Day // what this device takes for today
}

func (e *ErrClock) Error() string {
	return "wallet: this device's clock says " + e.Day.String() + " (UTC), and the service has another day; set the clock and try again"
}

// Unwrap makes errors.Is(err, ErrDayUnknown) true.
func (*ErrClock) Unwrap() error { return ErrDayUnknown }

// Wallet is one device's tokens. All methods are safe for concurrent use.
type Wallet struct {
	hidden
	c     Config
	aead  cipher.AEAD
	label []byte

	batchOf  func(context.Context, token.Day) error // fetchBatch, but for tests of the schedule
	fetching chan struct{}                          // holds one element while somebody fetches
	wake     chan struct{}                          // tells Run to look at once

	mu        sync.Mutex
	book      book
	keys      []*dayKeys
	noneUntil int64 // no use to ask before, in seconds since 1970
	asked     bool  // the issuer has answered, since the opening or Refresh
	err       error // of the last fetch
}

// New opens the wallet that lies in the store, or begins one. It fetches
// nothing. The error is the store's.
func New(c Config) (*Wallet, error) {
	if err := c.Challenge.Check(); err != nil {
		return nil, err
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	digest := c.Challenge.Digest()
	aead, err := chacha20poly1305.New(c.Key[:])
	if err != nil {
		return nil, err
	}
	w := &Wallet{
		c: c, aead: aead, label: append([]byte(blobLabel), digest[:]...),
		fetching: make(chan struct{}, 1), wake: make(chan struct{}, 1),
	}
	w.batchOf = w.fetchBatch
	blob, err := c.Store.Load()
	if err != nil {
		return nil, err
	}
	w.book = w.open(blob)
	return w, nil
}

func (w *Wallet) today() token.Day { return token.DayOf(w.c.Now()) }

// State returns what is known now.
func (w *Wallet) State() State {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state()
}

func (w *Wallet) state() State {
	today := w.today()
	s := State{Left: NotKnown, Err: w.err}
	a, ok := w.book.allowance(today)
	if !ok {
		return s
	}
	s.Plan, s.Resets, s.Left = a.Plan, a.Resets, a.left()
	if s.Left >= 0 {
		s.Left += len(w.book.ready(today))
	}
	return s
}

// changed tells the state. The caller holds mu.
func (w *Wallet) changed() {
	if w.c.OnChange != nil {
		w.c.OnChange(w.state())
	}
}

// Refresh forgets what the issuer said of the allowance and has Run look at once:
// for when the person has signed in or has another plan.
func (w *Wallet) Refresh() {
	w.mu.Lock()
	w.book.allowances = nil
	w.asked = false
	w.noneUntil = 0
	w.changed()
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Forget throws all tokens away, for when the person signs out of this device.
func (w *Wallet) Forget() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.book = book{}
	w.noneUntil = 0
	w.err = nil
	w.changed()
	return w.save()
}

// Take hands out a token for one message, and fetches some first if there is
// none. Errors are *ErrNoneLeft, ErrSignedOut, *ErrClock, those of the context,
// the store, Keys and Issue.
func (w *Wallet) Take(ctx context.Context) (*Ticket, error) {
	for fetched := false; ; fetched = true {
		today := w.today()
		// For the refund. Without it, there is none; the token itself needs no key
		// any more.
		keys, _ := w.dayKeys(ctx, today)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		w.mu.Lock()
		if ready := w.book.ready(today); len(ready) > 0 {
			t, err := w.takeOut(ready[pick(len(ready))], keys.Refund)
			w.mu.Unlock()
			return t, err
		}
		none := w.none(today)
		if none != nil && !w.asked {
			none = nil // that was earlier, and the plan may be another by now
		}
		w.mu.Unlock()
		if none != nil {
			return nil, none
		}
		if fetched {
			return nil, &ErrNoneLeft{} // others took all that came
		}
		if err := w.fetch(ctx, today, 1); err != nil {
			return nil, err
		}
	}
}

// none returns an error if the issuer has said that there is no more for now.
// The caller holds mu.
func (w *Wallet) none(day token.Day) error {
	if w.c.Now().Unix() < w.noneUntil {
		return &ErrNoneLeft{w.noneUntil}
	}
	if a, ok := w.book.allowance(day); ok && a.left() == 0 && w.book.batch(day) == nil {
		return &ErrNoneLeft{a.Resets}
	}
	return nil
}

// takeOut marks a token as handed out, with the seed of its refund, and saves
// that before it is. The caller holds mu.
func (w *Wallet) takeOut(s *slot, refund token.PublicKey) (*Ticket, error) {
	t := &Ticket{w: w, s: s}
	s.refundKey = refund.ID()
	if !refund.IsZero() {
		p, _, err := token.Blind(refund, w.c.Challenge, rand.Reader)
		if err != nil {
			return nil, err
		}
		t.refund = p
		s.refundSeed = p.Seed()
	}
	s.out = true
	w.book.drop(s)
	w.book.add(s) // the newest of those that are out
	w.book.limitOut()
	if err := w.save(); err != nil {
		// Nobody has it, and the store says so too.
		s.out = false
		return nil, err
	}
	w.changed()
	return t, nil
}

// Ticket is a token that was handed out. It is secret.
type Ticket struct {
	hidden
	w      *Wallet
	s      *slot
	refund *token.Pending // nil without a refund
}

// blinded returns the refund's blinded message, nil without one.
func (t *Ticket) blinded() []byte {
	if t.refund == nil {
		return nil
	}
	return t.refund.Blinded()
}

// Fields returns the fields that pay for a sealed message ([token.Token.Fields]).
func (t *Ticket) Fields(message []byte) ([]bhttp.Field, error) {
	return t.s.token.Fields(message, t.blinded())
}

// RefundFields returns the fields that ask for the refund of an answer that never
// came ([token.Token.RefundFields]), or ErrRefundless.
func (t *Ticket) RefundFields() ([]bhttp.Field, error) {
	if t.refund == nil {
		return nil, ErrRefundless
	}
	return t.s.token.RefundFields(t.blinded())
}

// Spent says that the token is used up: an answer began, or the gateway refused
// it. refund is the gateway's signature over the refund's blinded message, or
// empty; with it, the wallet has a new token.
func (t *Ticket) Spent(refund []byte) { t.settle(outSpent, refund) }

// Unspent says that the gateway never looked at the token, which is used again.
func (t *Ticket) Unspent() { t.settle(outUnspent, nil) }

// Lost says that nobody knows what became of the token. It is kept for
// [Wallet.Unsettled], and a later Spent or Unspent says more.
func (t *Ticket) Lost() { t.settle(outLost, nil) }

const (
	outSpent = iota
	outUnspent
	outLost
)

// settle takes the outcome into the book. The first one but outLost counts. What
// goes wrong is in the state: the store's error, or *token.Error when refund
// isn't what was to be signed.
func (t *Ticket) settle(outcome int, refund []byte) {
	w := t.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.book.has(t.s) || !t.s.out {
		return // said before, dropped or forgotten
	}
	err := w.settleSlot(t, outcome, refund)
	if saved := w.save(); err == nil {
		err = saved
	}
	if err != nil {
		w.err = err
	}
	w.changed()
}

func (w *Wallet) settleSlot(t *Ticket, outcome int, refund []byte) error {
	switch {
	case outcome == outLost:
		t.s.lost = true
	case outcome == outUnspent:
		t.s.out, t.s.lost = false, false
	default:
		w.book.drop(t.s)
		if len(refund) == 0 {
			break
		}
		if t.refund == nil {
			return ErrRefundless
		}
		tok, err := t.refund.Finish(refund)
		if err != nil {
			return err
		}
		w.book.add(&slot{day: t.s.day, token: tok})
	}
	return nil
}

// Unsettled returns the tickets that are Lost, or were out when the program ended, and can still be refunded: it is for the caller to ask for that.
func (w *Wallet) Unsettled(ctx context.Context) (tickets []*Ticket, err error) {
	w.mu.Lock()
	lost := keep(w.book.slots, func(s *slot) bool {
		return s.lost && s.refundKey != [32]byte{} && s.day.Good(w.c.Now()) == nil
	})
	w.mu.Unlock()
	for _, s := range lost {
		k, err := w.dayKeys(ctx, s.day)
		if err != nil {
			return nil, err
		}
		if k.Refund.ID() != s.refundKey {
			continue
		}
		t := &Ticket{w: w, s: s}
		if t.refund, err = token.Resume(k.Refund, w.c.Challenge, s.refundSeed); err != nil {
			return nil, err
		}
		tickets = append(tickets, t)
	}
	return tickets, nil
}

type dayKeys struct {
	day token.Day
	DayKeys
}

// dayKeys returns the keys of a day, which it asks for once.
func (w *Wallet) dayKeys(ctx context.Context, day token.Day) (DayKeys, error) {
	w.mu.Lock()
	for _, k := range w.keys {
		if k.day == day {
			w.mu.Unlock()
			return k.DayKeys, nil
		}
	}
	w.mu.Unlock()
	k, err := w.c.Keys(ctx, day)
	if err == nil && k.Issue.IsZero() {
		err = ErrDayUnknown
	}
	if err != nil {
		return k, err
	}
	w.mu.Lock()
	w.keys = add(w.keys, &dayKeys{day, k}, maxDays)
	w.mu.Unlock()
	return k, nil
}

// pick returns a random number below n, which is at most maxSlots.
func pick(n int) int {
	return int(random() * float64(n))
}

// random returns a random number in [0, 1).
func random() float64 {
	var b [8]byte
	rand.Read(b[:])
	var v uint64
	for _, c := range b {
		v = v<<8 | uint64(c)
	}
	return float64(v>>11) / (1 << 53)
}

// hidden, embedded, keeps a type's contents out of formatted output, logs and
// JSON, whichever verb or handler is used.
type hidden struct{}

const hiddenText = "[secret]"

// Format writes a placeholder in place of the secret, for every verb.
func (hidden) Format(s fmt.State, _ rune) { io.WriteString(s, hiddenText) }

// String returns a placeholder in place of the secret.
func (hidden) String() string { return hiddenText }

// GoString returns a placeholder in place of the secret.
func (hidden) GoString() string { return hiddenText }

// MarshalJSON returns a placeholder in place of the secret.
func (hidden) MarshalJSON() ([]byte, error) { return []byte(`"` + hiddenText + `"`), nil }
