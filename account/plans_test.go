// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package account

import (
	"context"
	"crypto/rand"
	"testing"

	"github.com/sotto-chat/sotto/token"
)

// newTokenWorld is a world that signs tokens, and for guests too.
func newTokenWorld(t testing.TB, guests int) *world {
	return newWorldOf(t, Config{Tokens: &Tokens{Issuer: "tokens.sotto.example"}, Guests: guests})
}

var challenge = token.Challenge{Issuer: "tokens.sotto.example", Product: "sotto"}

// wants is a batch of n tokens, ready to be posted.
type wants struct {
	day     token.Day
	pending []*token.Pending
	Blinded [][]byte
}

func (w *world) wants(day token.Day, n int) *wants {
	w.t.Helper()
	key := must(token.ParsePublicKey(must(w.srv.IssuerKey(context.Background(), day))))
	b := &wants{day: day}
	for range n {
		p, blinded, err := token.Blind(key, challenge, rand.Reader)
		if err != nil {
			w.t.Fatal(err)
		}
		b.pending, b.Blinded = append(b.pending, p), append(b.Blinded, blinded)
	}
	return b
}

func (b *wants) body() map[string]any {
	return map[string]any{"day": b.day.String(), "blinded": b.Blinded}
}

func (w *world) day() token.Day { return token.DayOf(w.at) }

func TestTokensAreSigned(t *testing.T) {
	w := newTokenWorld(t, 3)
	d := w.device()
	d.signUp(newAuthenticator(t, testOrigin))
	for path, want := range map[string]Allowance{
		"tokens":       {Plan: "free", PerDay: 20, Issued: 2, Resets: (w.day() + 1).Start().Unix()},
		"guest/tokens": {Plan: "guest", PerDay: 3, Issued: 2, Resets: (w.day() + 1).Start().Unix()},
	} {
		b := w.wants(w.day(), 2)
		var first signed
		d.do("POST", path, b.body(), &first)
		for i, p := range b.pending {
			if _, err := p.Finish(first.Signed[i]); err != nil {
				t.Error(path, err)
			}
		}
		if first.Allowance != want {
			t.Errorf("%s: %+v, want %+v", path, first.Allowance, want)
		}
	}
}
