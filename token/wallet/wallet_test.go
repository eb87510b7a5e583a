// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

//go:build !js

package wallet

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/seal/bhttp"
	"github.com/sotto-chat/sotto/seal/envelope"
	"github.com/sotto-chat/sotto/token"
)

var challenge = token.Challenge{Issuer: "tokens.sotto.example", Product: "sotto"}

// keys are the private keys of the tests, made once, for it takes long: two to
// issue with and one to refund with.
var keys = sync.OnceValue(func() (k [3]token.PrivateKey) {
	for i := range k {
		var err error
		if k[i], err = token.NewKey(rand.Reader); err != nil {
			panic(err)
		}
	}
	return k
})

// memory is a store that can fail.
type memory struct {
	blob  []byte
	saves int
	err   error
}

func (m *memory) Load() ([]byte, error) { return m.blob, m.err }

func (m *memory) Save(b []byte) error {
	if m.err != nil {
		return m.err
	}
	m.saves++
	m.blob = bytes.Clone(b)
	return nil
}

// issuer is an account service with one person.
type issuer struct {
	issue, refund token.PrivateKey
	perDay        int
	issued        map[token.Day]int
	batches       map[[32]byte]bool // signed before
	calls         int               // how often it was asked
	days          []token.Day       // of each call
	fail          error             // instead of doing anything
	lose          bool              // sign and lose the answer
}

func newIssuer() *issuer {
	return &issuer{issue: keys()[0], refund: keys()[2], perDay: 20, issued: map[token.Day]int{}, batches: map[[32]byte]bool{}}
}

func (i *issuer) Keys(context.Context, token.Day) (DayKeys, error) {
	return DayKeys{i.issue.Public(), i.refund.Public()}, nil
}

var errLost = errors.New("connection lost")

func (i *issuer) Issue(_ context.Context, day token.Day, blinded [][]byte) (Issued, error) {
	i.calls++
	i.days = append(i.days, day)
	if i.fail != nil {
		return Issued{}, i.fail
	}
	allowance := func() Allowance {
		return Allowance{Plan: "free", PerDay: i.perDay, Issued: i.issued[day], Resets: (day + 1).Start().Unix()}
	}
	id := sha256.Sum256(bytes.Join(blinded, nil))
	if !i.batches[id] {
		if i.perDay >= 0 && i.issued[day]+len(blinded) > i.perDay {
			return Issued{Allowance: allowance()}, &ErrNoneLeft{allowance().Resets}
		}
		i.issued[day] += len(blinded)
		i.batches[id] = true
	}
	out := Issued{Allowance: allowance()}
	for _, b := range blinded {
		sig, err := i.issue.Sign(b)
		if err != nil {
			return Issued{}, err
		}
		out.Signatures = append(out.Signatures, sig)
	}
	if i.lose {
		i.lose = false
		return Issued{}, errLost
	}
	return out, nil
}

// noon is a fixed time.
var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

const today = token.Day(20784) // 2026-11-27

func open(t testing.TB, i *issuer, m *memory, edit func(*Config)) *Wallet {
	t.Helper()
	c := Config{Key: [32]byte{1}, Store: m, Challenge: challenge, Keys: i.Keys, Issue: i.Issue, Now: func() time.Time { return noon }}
	if edit != nil {
		edit(&c)
	}
	w, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func take(t testing.TB, w *Wallet) *Ticket {
	t.Helper()
	ticket, err := w.Take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return ticket
}

// message returns the outside of a sealed message.
func message() []byte {
	b := []byte{envelope.Version, envelope.Suite, 1}
	b = binary.BigEndian.AppendUint32(b, envelope.MinSize)
	return append(b, make([]byte, envelope.RecipientSize+envelope.WrapSize)...)
}

// spend returns what a gateway reads of a ticket's fields, checked with a key.
func spend(t testing.TB, k token.PrivateKey, ticket *Ticket) token.Spend {
	t.Helper()
	fields, err := ticket.Fields(message())
	if err != nil {
		t.Fatal(err)
	}
	s := parse(t, fields)
	header, err := token.HeaderDigest(message())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(k.Public(), challenge.Digest(), header); err != nil {
		t.Fatal(err)
	}
	return s
}

func parse(t testing.TB, fields []bhttp.Field) token.Spend {
	t.Helper()
	s, err := token.ParseSpend(fields)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func left(t testing.TB, w *Wallet, want int) {
	t.Helper()
	if got := w.State().Left; got != want {
		t.Errorf("%d left, want %d", got, want)
	}
}

func TestTakeFetchesAndCounts(t *testing.T) {
	i, m := newIssuer(), &memory{}
	w := open(t, i, m, nil)
	left(t, w, NotKnown)
	seen := map[[32]byte]bool{}
	for n := range 20 {
		ticket := take(t, w)
		s := spend(t, i.issue, ticket)
		if seen[s.ID()] {
			t.Fatal("a token was handed out twice")
		}
		seen[s.ID()] = true
		ticket.Spent(nil)
		left(t, w, 19-n)
	}
	if i.calls != 2 {
		t.Errorf("%d fetches for 20 tokens", i.calls)
	}
	var none *ErrNoneLeft
	if _, err := w.Take(t.Context()); !errors.As(err, &none) || none.Resets != (today+1).Start().Unix() {
		t.Errorf("the 21st: %v", err)
	}
	if i.calls != 2 {
		t.Error("asked for more than the allowance")
	}
	// The program is started anew, and the person has paid meanwhile or not.
	w = open(t, i, m, nil)
	for range 2 {
		if _, err := w.Take(t.Context()); !errors.As(err, &none) {
			t.Errorf("the 21st, after a restart: %v", err)
		}
	}
	if i.calls != 3 {
		t.Errorf("asked %d times after a restart", i.calls-2)
	}
	i.perDay = 40
	take(t, open(t, i, m, nil)).Spent(nil)
}
