// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

//go:build !js

package wallet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sotto-chat/sotto/token"
)

// refundOf signs a ticket's refund as a gateway does.
func refundOf(t testing.TB, i *issuer, s token.Spend) []byte {
	t.Helper()
	sig, err := i.refund.Sign(s.Refund())
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// TestCrashSpendsNothingTwice: what was handed out before a crash isn't offered
// after it, and can be asked back.
func TestCrashSpendsNothingTwice(t *testing.T) {
	i, m := newIssuer(), &memory{}
	w := open(t, i, m, nil)
	ticket := take(t, w)
	lost := spend(t, i.issue, ticket)
	// The program is killed here.
	w = open(t, i, m, nil)
	left(t, w, 19)
	for range 9 {
		next := take(t, w)
		if spend(t, i.issue, next).ID() == lost.ID() {
			t.Fatal("offered again after a crash")
		}
		next.Spent(nil)
	}
	if i.calls != 1 {
		t.Errorf("%d fetches: the crash lost tokens that nobody had", i.calls)
	}
	unsettled, err := w.Unsettled(t.Context())
	if err != nil || len(unsettled) != 1 {
		t.Fatalf("%d unsettled, %v", len(unsettled), err)
	}
	fields, err := unsettled[0].RefundFields()
	if err != nil {
		t.Fatal(err)
	}
	s := parse(t, fields)
	if s.ID() != lost.ID() || !bytes.Equal(s.Refund(), lost.Refund()) {
		t.Error("asks for another refund than before the crash")
	}
	if err := s.VerifyRefund(i.issue.Public(), challenge.Digest()); err != nil {
		t.Error(err)
	}
	unsettled[0].Spent(refundOf(t, i, s))
	left(t, w, 11)
	back := take(t, w)
	if got := spend(t, i.refund, back); got.KeyID() != i.refund.Public().ID() {
		t.Error("the refund isn't a token of the refund key")
	}
	if again, _ := w.Unsettled(t.Context()); len(again) != 0 {
		t.Error("a refund is offered twice")
	}
}

func TestOutcomes(t *testing.T) {
	i, m := newIssuer(), &memory{}
	w := open(t, i, m, nil)
	ticket := take(t, w)
	id := spend(t, i.issue, ticket).ID()
	left(t, w, 19)
	ticket.Unspent()
	left(t, w, 20)
	ticket.Spent(nil) // said too late
	left(t, w, 20)

	ticket = take(t, w)
	ticket.Lost()
	left(t, w, 19)
	if u, err := w.Unsettled(t.Context()); err != nil || len(u) != 1 {
		t.Errorf("lost: %d unsettled, %v", len(u), err)
	}
	ticket.Unspent() // the gateway says that it never saw it
	left(t, w, 20)

	ticket = take(t, w)
	ticket.Spent(refundOf(t, i, spend(t, i.issue, ticket)))
	left(t, w, 20)
	ticket = take(t, w)
	ticket.Spent(make([]byte, 256))
	left(t, w, 19)
	if err := w.State().Err; !errors.Is(err, &token.Error{Failure: token.Invalid}) {
		t.Errorf("a forged refund: %v", err)
	}
	_ = id
}

func TestNoRefundWithoutAKey(t *testing.T) {
	i, m := newIssuer(), &memory{}
	w := open(t, i, m, func(c *Config) {
		c.Keys = func(context.Context, token.Day) (DayKeys, error) { return DayKeys{Issue: i.issue.Public()}, nil }
	})
	ticket := take(t, w)
	if s := spend(t, i.issue, ticket); s.Refund() != nil {
		t.Error("asks for a refund")
	}
	if _, err := ticket.RefundFields(); err != ErrRefundless {
		t.Errorf("got %v", err)
	}
	ticket.Lost()
	if u, err := w.Unsettled(t.Context()); err != nil || len(u) != 0 {
		t.Errorf("%d to ask for, %v", len(u), err)
	}
	ticket.Spent(make([]byte, 256))
	if err := w.State().Err; err != ErrRefundless {
		t.Errorf("got %v", err)
	}
}

// TestStoreFails: what can't be saved isn't handed out, and isn't lost.
func TestStoreFails(t *testing.T) {
	i, m := newIssuer(), &memory{}
	w := open(t, i, m, nil)
	take(t, w).Unspent()
	full := errors.New("disk full")
	m.err = full
	if _, err := w.Take(t.Context()); err != full {
		t.Errorf("got %v", err)
	}
	m.err = nil
	left(t, w, 20)
	take(t, w)
	m.err = full
	if _, err := New(Config{Store: m, Challenge: challenge}); err != full {
		t.Errorf("a store that can't be read: %v", err)
	}
	// A batch that can't be saved isn't sent: its tokens would be lost with a crash.
	other := newIssuer()
	w = open(t, other, &memory{}, nil)
	w.c.Store = m
	if _, err := w.Take(t.Context()); err != full || other.calls != 0 {
		t.Errorf("got %v, sent %d times", err, other.calls)
	}
}

func TestBlob(t *testing.T) {
	i, m := newIssuer(), &memory{}
	w := open(t, i, m, nil)
	for range 3 {
		take(t, w)
		if len(m.blob) != BlobSize {
			t.Errorf("a blob of %d bytes, not %d", len(m.blob), BlobSize)
		}
	}
	good := bytes.Clone(m.blob)
	change := func(i int) []byte {
		b := bytes.Clone(good)
		b[i] ^= 1
		return b
	}
	edited := func(edit func(*Config)) *Wallet { return open(t, i, &memory{blob: good}, edit) }
	left(t, edited(nil), 17)
	for name, w := range map[string]*Wallet{
		"nothing":       open(t, i, &memory{}, nil),
		"cut":           open(t, i, &memory{blob: good[:BlobSize-1]}, nil),
		"longer":        open(t, i, &memory{blob: append(bytes.Clone(good), 0)}, nil),
		"version":       open(t, i, &memory{blob: change(0)}, nil),
		"nonce":         open(t, i, &memory{blob: change(1)}, nil),
		"first byte":    open(t, i, &memory{blob: change(13)}, nil),
		"last byte":     open(t, i, &memory{blob: change(BlobSize - 1)}, nil),
		"other key":     edited(func(c *Config) { c.Key[0]++ }),
		"other product": edited(func(c *Config) { c.Challenge.Product = "other" }),
	} {
		if w.State().Left != NotKnown || len(w.book.slots) != 0 {
			t.Errorf("%s: opened", name)
		}
	}
	if bytes.Contains(good, []byte("free")) {
		t.Error("the blob shows the plan")
	}
	if _, err := New(Config{Store: m}); err == nil {
		t.Error("a wallet for no challenge")
	}
}

// TestLostAnswer: a batch whose answer was lost is sent again as it was, so that
// it counts once, even by the next process.
func TestLostAnswer(t *testing.T) {
	i, m := newIssuer(), &memory{}
	i.lose = true
	w := open(t, i, m, nil)
	if _, err := w.Take(t.Context()); err != errLost || w.State().Err != errLost {
		t.Fatalf("got %v, state %v", err, w.State().Err)
	}
	w = open(t, i, m, nil)
	take(t, w)
	if i.issued[today] != 10 || i.calls != 2 || w.State().Err != nil {
		t.Errorf("%d issued in %d calls, %v", i.issued[today], i.calls, w.State().Err)
	}
	left(t, w, 19)

	// With another key, which can't be, the batch can't be finished.
	i, m = newIssuer(), &memory{}
	i.lose = true
	w = open(t, i, m, nil)
	w.Take(t.Context())
	i.issue = keys()[1]
	spend(t, i.issue, take(t, open(t, i, m, nil)))
}

func TestIssuerRefuses(t *testing.T) {
	i, m := newIssuer(), &memory{}
	w := open(t, i, m, nil)
	var clock *ErrClock
	var none *ErrNoneLeft
	for _, c := range []struct {
		name    string
		fail    error
		is      func(error) bool
		dropped bool
	}{
		{"signed out", ErrSignedOut, func(err error) bool { return err == ErrSignedOut }, false},
		{"refused", ErrBatchRefused, func(err error) bool { return err == ErrBatchRefused }, true},
		{"day", fmt.Errorf("409: %w", ErrDayUnknown), func(err error) bool {
			return errors.As(err, &clock) && clock.Day == today && errors.Is(err, ErrDayUnknown) &&
				strings.Contains(err.Error(), "2026-11-27") && strings.Contains(err.Error(), "set the clock")
		}, true},
		{"unreachable", errLost, func(err error) bool { return err == errLost }, false},
		{"none left", &ErrNoneLeft{noon.Unix() + 60}, func(err error) bool {
			return errors.As(err, &none) && none.Resets == noon.Unix()+60 && none.Error() != ""
		}, true},
	} {
		i.fail = c.fail
		_, err := w.Take(t.Context())
		if !c.is(err) || !c.is(w.State().Err) {
			t.Errorf("%s: %v, state %v", c.name, err, w.State().Err)
		}
		if (w.book.batch(today) == nil) != c.dropped {
			t.Errorf("%s: the batch is sent again: %t", c.name, !c.dropped)
		}
	}
	// Until there is more, nobody is asked; unless something has changed.
	i.fail = nil
	calls := i.calls
	if _, err := w.Take(t.Context()); !errors.As(err, &none) || i.calls != calls {
		t.Errorf("asked again: %v", err)
	}
	w.Refresh()
	take(t, w)
}

// TestWrongSignatures: of a batch with one signature that is another's nothing is
// used.
func TestWrongSignatures(t *testing.T) {
	i, m := newIssuer(), &memory{}
	good := i.Issue
	for name, spoil := range map[string]func(*Issued){
		"one is another's": func(s *Issued) { s.Signatures[3] = s.Signatures[2] },
		"one too few":      func(s *Issued) { s.Signatures = s.Signatures[1:] },
		"one too many":     func(s *Issued) { s.Signatures = append(s.Signatures, s.Signatures[0]) },
	} {
		w := open(t, newIssuer(), m, func(c *Config) {
			c.Issue = func(ctx context.Context, d token.Day, b [][]byte) (Issued, error) {
				s, err := good(ctx, d, b)
				spoil(&s)
				return s, err
			}
		})
		i.issued[today] = 0
		_, err := w.Take(t.Context())
		var wrong *token.Error
		if !errors.As(err, &wrong) || len(w.book.slots) != 0 || w.book.batch(today) != nil {
			t.Errorf("%s: %v, %d tokens", name, err, len(w.book.slots))
		}
	}
}

// TestAnotherDeviceHadSome: the wallet takes what is left.
func TestAnotherDeviceHadSome(t *testing.T) {
	i, m := newIssuer(), &memory{}
	i.issued[today] = 17
	w := open(t, i, m, nil)
	take(t, w)
	left(t, w, 2)
	if i.issued[today] != 20 || i.calls != 2 {
		t.Errorf("%d issued in %d calls", i.issued[today], i.calls)
	}
}

func TestDaysEnd(t *testing.T) {
	i, m := newIssuer(), &memory{}
	now := noon
	clock := func(c *Config) { c.Now = func() time.Time { return now } }
	w := open(t, i, m, clock)
	take(t, w)
	now = noon.AddDate(0, 0, 1)
	left(t, w, NotKnown)
	ticket := take(t, w)
	if ticket.s.day != today+1 {
		t.Error("yesterday's token is offered")
	}
	left(t, w, 19)
	if n := len(w.book.slots); n != 20 {
		t.Errorf("%d tokens are kept", n)
	}
	if u, err := open(t, i, m, clock).Unsettled(t.Context()); err != nil || len(u) != 1 {
		t.Errorf("%d can be asked back, %v", len(u), err)
	}
	now = noon.AddDate(0, 0, keepDays+1)
	w = open(t, i, m, clock)
	if n := len(w.book.slots); n != 10 {
		t.Errorf("%d tokens are kept", n)
	}
	if len(w.book.allowances) != 1 {
		t.Errorf("%d allowances are kept", len(w.book.allowances))
	}
}

func TestForget(t *testing.T) {
	i, m := newIssuer(), &memory{}
	var states []State
	w := open(t, i, m, func(c *Config) { c.OnChange = func(s State) { states = append(states, s) } })
	ticket := take(t, w)
	if s := states[len(states)-1]; s.Plan != "free" || s.Left != 19 || s.Resets != (today+1).Start().Unix() {
		t.Errorf("told %+v", s)
	}
	if err := w.Forget(); err != nil {
		t.Fatal(err)
	}
	ticket.Unspent()
	if s := states[len(states)-1]; s.Left != NotKnown || len(w.book.slots) != 0 || len(open(t, i, m, nil).book.slots) != 0 {
		t.Error("something is left")
	}
}

// TestManyAtOnce: concurrent messages get tokens of their own, by one fetch at a
// time.
func TestManyAtOnce(t *testing.T) {
	i, m := newIssuer(), &memory{}
	w := open(t, i, m, nil)
	var mu sync.Mutex
	seen := map[[32]byte]bool{}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			ticket, err := w.Take(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			seen[ticket.s.token.ID()] = true
		})
	}
	all.Wait()
	if len(seen) != 20 || i.calls != 2 {
		t.Errorf("%d tokens in %d fetches", len(seen), i.calls)
	}
	// Only so many that are out are remembered, and the newest are.
	if n := len(w.book.slots); n != maxOut {
		t.Errorf("%d that are out are kept", n)
	}
}

func TestContextEnds(t *testing.T) {
	i, m := newIssuer(), &memory{}
	w := open(t, i, m, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Take(ctx); err != context.Canceled || i.calls != 0 {
		t.Errorf("%v after %d calls", err, i.calls)
	}
	w.fetching <- struct{}{} // somebody fetches for ever
	if err := w.fetch(ctx, today, 1); err != context.Canceled {
		t.Error(err)
	}
}

func TestSecretsHide(t *testing.T) {
	i, m := newIssuer(), &memory{}
	w := open(t, i, m, nil)
	ticket := take(t, w)
	for _, v := range []any{w.c, &w.c, w, ticket} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
			if got := fmt.Sprintf(verb, v); got != hiddenText {
				t.Errorf("%T by %s: %.100s", v, verb, got)
			}
		}
		if b, err := json.Marshal(v); err != nil || string(b) != `"`+hiddenText+`"` {
			t.Errorf("%T as JSON: %.100s, %v", v, b, err)
		}
		var out strings.Builder
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
		if !strings.HasSuffix(out.String(), "v="+hiddenText+"\n") {
			t.Errorf("%T in a log: %.200s", v, out.String())
		}
	}
}

// TestSchedule: fetches are made soon after the opening, in the evening for
// tomorrow, and soon after midnight where that wasn't done.
func TestSchedule(t *testing.T) {
	type fetch struct {
		at  time.Duration
		day token.Day
	}
	// run has an app open for some time, beginning at an hour of 2000-01-01.
	run := func(t *testing.T, perDay, hour int, open time.Duration, send int) (fetches []fetch) {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Duration(hour) * time.Hour)
			start := time.Now()
			today := token.DayOf(start)
			w := simulated(t, perDay, func(d token.Day) { fetches = append(fetches, fetch{time.Since(start), d - today}) })
			ctx, cancel := context.WithTimeout(t.Context(), open)
			defer cancel()
			go func() {
				for range send {
					time.Sleep(time.Minute)
					if ticket, err := w.Take(ctx); err == nil {
						ticket.Spent(nil)
					}
				}
			}()
			if err := w.Run(ctx); err != context.DeadlineExceeded {
				t.Errorf("Run: %v", err)
			}
			synctest.Wait()
		})
		return fetches
	}
	for range 5 {
		// A quiet morning: one fetch, at the opening.
		if f := run(t, 20, 8, 6*time.Hour, 0); len(f) != 1 || f[0].at > opening || f[0].day != 0 {
			t.Errorf("a quiet morning: %v", f)
		}
		// A whole day: another in the evening, for tomorrow, and none at midnight.
		f := run(t, 20, 8, 20*time.Hour, 0)
		if len(f) != 2 || f[1].day != 1 || f[1].at < (evening-8)*time.Hour || f[1].at > 16*time.Hour {
			t.Errorf("a whole day: %v", f)
		}
		// All messages of a day: two fetches, and no more are tried.
		if f := run(t, 20, 8, 7*time.Hour, 25); len(f) != 2 {
			t.Errorf("all messages: %v", f)
		}
	}
	// Where the evening's fetch wasn't made, midnight's is.
	f := []fetch{}
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(23*time.Hour + 59*time.Minute)
		start := time.Now()
		today := token.DayOf(start)
		w := simulated(t, 20, func(d token.Day) { f = append(f, fetch{time.Since(start), d - today}) })
		real := w.batchOf
		w.batchOf = func(ctx context.Context, d token.Day) error {
			if d > token.DayOf(time.Now()) {
				return ErrDayUnknown // not published yet
			}
			return real(ctx, d)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 12*time.Minute)
		defer cancel()
		w.Run(ctx)
		if w.State().Err != nil {
			t.Errorf("tomorrow's keys aren't there yet, and that is an error: %v", w.State().Err)
		}
	})
	if len(f) != 2 || f[1].day != 1 || f[1].at < time.Minute || f[1].at > time.Minute+rollover {
		t.Errorf("midnight: %v", f)
	}
	// Refresh has Run look at once.
	synctest.Test(t, func(t *testing.T) {
		n := 0
		w := simulated(t, 20, func(token.Day) { n++ })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		time.AfterFunc(10*time.Second, func() {
			w.Forget()
			w.Refresh()
		})
		w.Run(ctx)
		if n != 2 {
			t.Errorf("%d fetches with a refresh", n)
		}
	})
}

func TestChance(t *testing.T) {
	for _, c := range []struct {
		perDay, n int
		want      float64
	}{{20, 0, 1}, {20, 4, 0.5}, {20, 8, 0}, {20, 10, 0}, {Unlimited, 0, 1}, {Unlimited, 15, 0.5}, {Unlimited, 30, 0}, {Unlimited, 40, 0}} {
		if got := chance(Allowance{PerDay: c.perDay}, c.n); got != c.want {
			t.Errorf("%d a day, %d left: %g, want %g", c.perDay, c.n, got, c.want)
		}
	}
	for range 1000 {
		if d := exponential(time.Minute); d < 0 || d > 10*time.Minute {
			t.Fatalf("a tick after %s", d)
		}
	}
}

func FuzzParseBook(f *testing.F) {
	i, m := newIssuer(), &memory{}
	w := open(f, i, m, nil)
	take(f, w)
	f.Add(w.book.marshal())
	i.lose = true
	w.Forget()
	w.Take(f.Context())
	f.Add(w.book.marshal())
	empty := book{}
	f.Add(empty.marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		p := make([]byte, plainSize)
		copy(p, b)
		if parsed, ok := parseBook(p); ok && !bytes.Equal(parsed.marshal(), p) {
			t.Error("a book with two encodings")
		}
		if _, ok := parseBook(b); ok && len(b) != plainSize {
			t.Error("a book of another size")
		}
	})
}
