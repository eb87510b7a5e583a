// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package wallet

import (
	"context"
	"crypto/rand"
	"errors"
	"math"
	"time"

	"github.com/sotto-chat/sotto/token"
)

const (
	// smallBatch and largeBatch are how many tokens are fetched at a time, of a
	// plan with a number of messages a day and of one without. Everybody of a plan
	// fetches the same number, but for the rest of a day's allowance.
	smallBatch = 10
	largeBatch = 20

	// smallMark and largeMark are how many tokens are enough (see chance).
	smallMark = 8
	largeMark = 30

	// meanTick is how long it is between two ticks, on average.
	meanTick = 20 * time.Minute
	// opening is the span after the app's opening in which the first fetch is
	// made.
	opening = 3 * time.Second
	// rollover is the span after the start of a day for the same in an app that
	// stays open, so that not everybody comes at midnight.
	rollover = 10 * time.Minute
	// evening is when fetches for tomorrow begin: hours of the day in UTC. Each
	// tick from then on makes one with a chance of 1 in eveningOdds, which
	// spreads them over the evening.
	evening     = 16
	eveningOdds = 4
)

// batchSize returns how many tokens to fetch at a time under an allowance.
func batchSize(a Allowance) int {
	if a.PerDay < 0 {
		return largeBatch
	}
	return smallBatch
}

// chance returns how likely a tick is to fetch more when there are n tokens: not
// at all from a mark on, always with none, and in between in proportion to what
// is missing. A limit at which it always did would say that a message was sent
// between the tick before and this one; so each message makes a difference of
// one in the mark only.
func chance(a Allowance, n int) float64 {
	mark := smallMark
	if a.PerDay < 0 {
		mark = largeMark
	}
	return max(0, 1-float64(n)/float64(mark))
}

// Run fetches ahead until the context ends, whose error it returns. There must
// be one Run at a time.
func (w *Wallet) Run(ctx context.Context) error {
	day := w.today()
	next := spread(opening)
	for {
		tick := time.NewTimer(next)
		// A day that begins while the app is open has its own first fetch.
		midnight := time.NewTimer((day + 1).Start().Sub(w.c.Now()))
		select {
		case <-ctx.Done():
			tick.Stop()
			midnight.Stop()
			return ctx.Err()
		case <-w.wake:
			next = spread(opening)
		case <-midnight.C:
			next = spread(rollover)
		case <-tick.C:
			w.tick(ctx)
			next = exponential(meanTick)
		}
		tick.Stop()
		midnight.Stop()
		day = w.today()
	}
}

// tick fetches what is missing. What goes wrong is in the state, and the next
// tick tries again.
func (w *Wallet) tick(ctx context.Context) {
	today := w.today()
	if random() < w.wants(today) {
		w.fetch(ctx, today, maxSlots)
	}
	if w.c.Now().UTC().Hour() >= evening && pick(eveningOdds) == 0 && w.wants(today+1) == 1 {
		w.fetch(ctx, today+1, 1)
	}
}

// wants returns how likely a tick is to fetch tokens of a day.
func (w *Wallet) wants(day token.Day) float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.none(day) != nil {
		return 0
	}
	return chance(w.book.latest(day), len(w.book.ready(day)))
}

// spread returns a random time below a span.
func spread(span time.Duration) time.Duration {
	return time.Duration(random() * float64(span))
}

// exponential returns a random time with a mean, at most ten times as long.
func exponential(mean time.Duration) time.Duration {
	return min(time.Duration(-math.Log(1-random())*float64(mean)), 10*mean)
}

// fetch has a batch for a day signed, unless somebody else has meanwhile got
// enough tokens. Only one fetch is under way at a time.
func (w *Wallet) fetch(ctx context.Context, day token.Day, enough int) error {
	select {
	case w.fetching <- struct{}{}:
		defer func() { <-w.fetching }()
	case <-ctx.Done():
		return ctx.Err()
	}
	w.mu.Lock()
	have := len(w.book.ready(day))
	w.mu.Unlock()
	if have >= enough {
		return nil
	}
	err := w.batchOf(ctx, day)
	w.mu.Lock()
	defer w.mu.Unlock()
	var none *ErrNoneLeft
	w.asked = w.asked || err == nil || errors.As(err, &none)
	today := day == w.today()
	if today && errors.Is(err, ErrDayUnknown) {
		err = &ErrClock{day}
	}
	// That tomorrow's can't be had yet is nobody's concern.
	if ctx.Err() == nil && (today || err == nil) {
		w.err = err
	}
	w.changed()
	return err
}

func (w *Wallet) fetchBatch(ctx context.Context, day token.Day) error {
	keys, err := w.dayKeys(ctx, day)
	if err != nil {
		return err
	}
	for again := false; ; again = true {
		pending, err := w.prepare(ctx, keys.Issue, day)
		if err != nil {
			return err
		}
		blinded := make([][]byte, len(pending))
		for i, p := range pending {
			blinded[i] = p.Blinded()
		}
		issued, err := w.c.Issue(ctx, day, blinded)
		rest, err := w.settle(day, pending, issued, err)
		// The issuer would sign fewer: another device has had some.
		if err == nil || again || rest <= 0 || rest >= len(blinded) {
			return err
		}
	}
}

// prepare returns a batch for a day, the one whose answer never came or a new
// one, which it saves first.
func (w *Wallet) prepare(ctx context.Context, key token.PublicKey, day token.Day) ([]*token.Pending, error) {
	w.mu.Lock()
	b := w.book.batch(day)
	if b != nil && b.key != key.ID() {
		w.book.dropBatch(day) // it can't be finished
		b = nil
	}
	a := w.book.latest(day)
	n := batchSize(a)
	if a, known := w.book.allowance(day); known && a.left() > 0 {
		n = min(n, a.left())
	}
	w.mu.Unlock()

	var pending []*token.Pending
	if b != nil {
		for _, seed := range b.seeds {
			p, err := token.Resume(key, w.c.Challenge, seed)
			if err != nil {
				return nil, err
			}
			pending = append(pending, p)
			breathe()
		}
		return pending, ctx.Err()
	}
	b = &batch{day: day, key: key.ID()}
	for range n {
		p, _, err := token.Blind(key, w.c.Challenge, rand.Reader)
		if err != nil {
			return nil, err
		}
		pending = append(pending, p)
		b.seeds = append(b.seeds, p.Seed())
		breathe()
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.book.addBatch(b)
	return pending, w.save()
}

// breathe lets a browser's other work go on between two pieces of arithmetic.
func breathe() { time.Sleep(time.Microsecond) }

// settle takes what came of a batch into the book. It returns how many more the
// issuer says that it would sign, -1 if any number, and the error that goes on.
func (w *Wallet) settle(day token.Day, pending []*token.Pending, issued Issued, err error) (rest int, _ error) {
	var tokens []token.Token
	if err == nil {
		tokens, err = finish(pending, issued.Signatures)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if issued.Allowance.PerDay != 0 || issued.Allowance.Issued != 0 {
		w.book.setAllowance(day, issued.Allowance)
	}
	rest = issued.Allowance.left()
	if err != nil {
		var none *ErrNoneLeft
		var wrong *token.Error
		isNone := errors.As(err, &none)
		if isNone || errors.As(err, &wrong) || errors.Is(err, ErrBatchRefused) || errors.Is(err, ErrDayUnknown) {
			w.book.dropBatch(day)
		} else {
			return 0, err // the same batch again, another time
		}
		if isNone && rest <= 0 && day == w.today() {
			w.noneUntil = none.Resets
		}
		if saved := w.save(); saved != nil {
			return 0, saved
		}
		return rest, err
	}
	w.noneUntil = 0
	w.book.dropBatch(day)
	for _, t := range tokens {
		w.book.add(&slot{day: day, token: t})
	}
	return rest, w.save()
}

// finish makes tokens of a batch's signatures, of all or of none: an issuer that
// signs some of a batch with another key would mark them.
func finish(pending []*token.Pending, sigs [][]byte) ([]token.Token, error) {
	if len(sigs) != len(pending) {
		return nil, &token.Error{Failure: token.Malformed}
	}
	var tokens []token.Token
	for i, p := range pending {
		t, err := p.Finish(sigs[i])
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, t)
		breathe()
	}
	return tokens, nil
}
