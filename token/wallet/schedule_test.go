// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

//go:build !js

package wallet

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sotto-chat/sotto/token"
)

// fake makes a wallet's tokens of nothing: for tests of when they are fetched,
// which would otherwise compute signatures all day. It calls fetched before each
// batch.
func fake(w *Wallet, perDay int, fetched func(token.Day)) {
	issued := map[token.Day]int{}
	w.batchOf = func(_ context.Context, day token.Day) error {
		fetched(day)
		w.mu.Lock()
		defer w.mu.Unlock()
		a := Allowance{Plan: "free", PerDay: perDay, Issued: issued[day], Resets: (day + 1).Start().Unix()}
		n := batchSize(a)
		if rest := a.left(); rest >= 0 {
			n = min(n, rest)
		}
		issued[day] += n
		a.Issued = issued[day]
		w.book.setAllowance(day, a)
		if n == 0 {
			return &ErrNoneLeft{a.Resets}
		}
		for range n {
			w.book.add(&slot{day: day})
		}
		return nil
	}
}

// quiet is a store that keeps nothing, and no keys: what simulated people have.
type quiet struct{}

func (quiet) Load() ([]byte, error) { return nil, nil }
func (quiet) Save([]byte) error     { return nil }

func noKeys(context.Context, token.Day) (DayKeys, error) { return DayKeys{}, ErrDayUnknown }

func simulated(t testing.TB, perDay int, fetched func(token.Day)) *Wallet {
	t.Helper()
	w, err := New(Config{Store: quiet{}, Challenge: challenge, Keys: noKeys})
	if err != nil {
		t.Fatal(err)
	}
	fake(w, perDay, fetched)
	return w
}

// events is what an observer has: who fetched when, and when messages came.
type events struct {
	fetches, messages [][]time.Duration // by person
}

// simulate has people write for some days with the app open, each at random
// times, and fetch by the wallet's schedule or, naively, when a message leaves
// the wallet low.
func simulate(t *testing.T, people, days int, perDay float64, naive bool) (e events) {
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(1, 2))
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(days)*24*time.Hour)
		defer cancel()
		e.fetches, e.messages = make([][]time.Duration, people), make([][]time.Duration, people)
		for p := range people {
			w := simulated(t, Unlimited, func(token.Day) {
				e.fetches[p] = append(e.fetches[p], time.Since(start))
			})
			if !naive {
				go w.Run(ctx)
			}
			mine := rand.New(rand.NewPCG(random.Uint64(), 3))
			go func() {
				for {
					pause := time.Duration(-math.Log(1-mine.Float64()) * float64(24*time.Hour) / perDay)
					select {
					case <-ctx.Done():
						return
					case <-time.After(pause):
					}
					e.messages[p] = append(e.messages[p], time.Since(start))
					if ticket, err := w.Take(ctx); err == nil {
						ticket.Spent(nil)
					}
					if day := w.today(); naive && len(w.book.ready(day)) < smallBatch {
						w.fetch(ctx, day, maxSlots)
					}
				}
			}()
		}
		<-ctx.Done()
		synctest.Wait()
	})
	return e
}

// auc returns how well an observer tells whose message it is: given each fetch,
// the message of the same person that is nearest in time against that of another
// person. 0.5 is chance, 1 is always right.
func (e events) auc() float64 {
	random := rand.New(rand.NewPCG(4, 5))
	wins, n := 0.0, 0
	for p, fetches := range e.fetches {
		for _, f := range fetches {
			for range 8 {
				q := random.IntN(len(e.messages) - 1)
				if q >= p {
					q++
				}
				mine, other := nearest(e.messages[p], f), nearest(e.messages[q], f)
				switch {
				case mine < other:
					wins++
				case mine == other:
					wins += 0.5
				}
				n++
			}
		}
	}
	return wins / float64(n)
}

// nearest returns how far the nearest of some times is from t.
func nearest(times []time.Duration, t time.Duration) time.Duration {
	i, _ := slices.BinarySearch(times, t)
	best := time.Duration(math.MaxInt64)
	if i < len(times) {
		best = times[i] - t
	}
	if i > 0 {
		best = min(best, t-times[i-1])
	}
	return best
}

// TestFetchesTellNothingOfMessages: an observer who sees who fetched tokens when,
// and all messages, can't say whose a message is by that. The same observer can
// when fetches follow messages.
func TestFetchesTellNothingOfMessages(t *testing.T) {
	const people, days, perDay = 24, 4, 40
	ours := simulate(t, people, days, perDay, false)
	naive := simulate(t, people, days, perDay, true)
	count := func(times [][]time.Duration) (n int) {
		for _, t := range times {
			n += len(t)
		}
		return n
	}
	t.Logf("ours: %d fetches, %d messages, AUC %.3f", count(ours.fetches), count(ours.messages), ours.auc())
	t.Logf("naive: %d fetches, %d messages, AUC %.3f", count(naive.fetches), count(naive.messages), naive.auc())
	if n := count(ours.fetches); n < people*days {
		t.Fatalf("only %d fetches: the test looks at nothing", n)
	}
	if auc := ours.auc(); math.Abs(auc-0.5) > 0.07 {
		t.Errorf("AUC %.3f: fetches tell whose messages are whose", auc)
	}
	if auc := naive.auc(); auc < 0.9 {
		t.Errorf("AUC %.3f for fetches that follow messages: the observer is too weak to tell", auc)
	}
}
