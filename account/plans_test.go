// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package account

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sotto-chat/sotto/store"
	"github.com/sotto-chat/sotto/token"
	"github.com/sotto-chat/sotto/vault"
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

// TestAllowance: no more than the plan gives, for whichever day, and never less for
// an answer that got lost.
func TestAllowance(t *testing.T) {
	w := newTokenWorld(t, 0)
	w.at = time.Date(2026, 11, 27, 11, 59, 0, 0, time.UTC)
	today := w.day()
	d, other := w.device(), w.device()
	d.signUp(newAuthenticator(t, testOrigin))
	other.cookie = d.cookie // another device of the same account
	post := func(d *device, b *wants) (s signed) {
		t.Helper()
		d.do("POST", "tokens", b.body(), &s)
		return s
	}
	first := w.wants(today, 12)
	one := post(d, first)
	again := post(other, first)
	if again.Allowance.Issued != 12 || !slices.EqualFunc(one.Signed, again.Signed, bytes.Equal) {
		t.Errorf("the same batch again: %d signed", again.Allowance.Issued)
	}
	post(other, w.wants(today, 5))
	tooMany := w.wants(today, 4)
	resp := d.request("POST", "tokens", tooMany.body())
	var refusal struct {
		Error     struct{ Code string }
		Allowance Allowance
	}
	if err := json.NewDecoder(resp.Body).Decode(&refusal); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if want := (Allowance{Plan: "free", PerDay: 20, Issued: 17, Resets: (today + 1).Start().Unix()}); resp.StatusCode != 429 || refusal.Error.Code != "allowance_used" || refusal.Allowance != want {
		t.Errorf("%d %+v", resp.StatusCode, refusal)
	}
	post(d, &wants{day: today, Blinded: tooMany.Blinded[:3]})
	d.fails(429, "allowance_used", "POST", "tokens", w.wants(today, 1).body())
	if post(d, first).Allowance.Issued != 20 {
		t.Error("a batch of before is not signed when nothing is left")
	}

	tomorrow := w.wants(today+1, 10)
	d.fails(409, "day_unknown", "POST", "tokens", tomorrow.body())
	w.at = w.at.Add(time.Minute)
	if a := post(d, tomorrow).Allowance; a.Issued != 10 || a.Resets != (today+2).Start().Unix() {
		t.Errorf("tomorrow's: %+v", a)
	}
	if a := d.plan().Allowance; a.Issued != 20 {
		t.Errorf("tomorrow's count for today: %+v", a)
	}
	yesterday := &wants{day: today - 1, Blinded: first.Blinded}
	d.fails(409, "day_unknown", "POST", "tokens", yesterday.body())
	d.fails(409, "day_unknown", "POST", "tokens", (&wants{day: today + 2, Blinded: first.Blinded}).body())

	// A member has what the plan gives for the token's own day.
	must(w.db.Grant(t.Context(), d.account, 1, store.Day(today)))
	if a := post(d, w.wants(today, 20)).Allowance; a != (Allowance{"member", -1, 40, 200, (today + 1).Start().Unix()}) {
		t.Errorf("a member's: %+v", a)
	}
	post(d, w.wants(today+1, 10))
	d.fails(429, "allowance_used", "POST", "tokens", w.wants(today+1, 1).body())
	w.at = w.at.Add(24 * time.Hour)
	if p := d.plan(); p.Plan != "free" || p.Allowance.Issued != 20 || p.ActiveChats != freeChats {
		t.Errorf("the day after: %+v", p)
	}
}

// TestFairUse: two hundred tokens an hour, which come back bit by bit.
func TestFairUse(t *testing.T) {
	w := newTokenWorld(t, 0)
	w.at = time.Date(2026, 11, 27, 8, 0, 0, 0, time.UTC)
	d := w.device()
	d.signUp(newAuthenticator(t, testOrigin))
	must(w.db.Grant(t.Context(), d.account, 30, store.DayOf(w.at)))
	w.srv.bursts.take(d.account, memberPerHour-maxBatch, w.at)
	last := w.wants(w.day(), maxBatch)
	for range 2 { // the second is not counted
		d.do("POST", "tokens", last.body(), nil)
	}
	more := w.wants(w.day(), 10)
	var refusal struct{ Allowance Allowance }
	resp := d.request("POST", "tokens", more.body())
	json.NewDecoder(resp.Body).Decode(&refusal)
	resp.Body.Close()
	if wait := refusal.Allowance.Resets - w.at.Unix(); resp.StatusCode != 429 || wait < 180 || wait > 182 || refusal.Allowance.PerDay != -1 || refusal.Allowance.Issued != maxBatch {
		t.Errorf("%d, %+v, in %d s", resp.StatusCode, refusal, wait)
	}
	w.at = w.at.Add(179 * time.Second)
	d.fails(429, "allowance_used", "POST", "tokens", more.body())
	w.at = w.at.Add(3 * time.Second)
	d.do("POST", "tokens", more.body(), nil)
	d.fails(429, "allowance_used", "POST", "tokens", w.wants(w.day(), 10).body())
	for _, jump := range []time.Duration{-time.Hour, time.Hour} { // a clock that goes back and comes again
		w.at = w.at.Add(jump)
		d.fails(429, "allowance_used", "POST", "tokens", w.wants(w.day(), 10).body())
	}
}

func TestBurstsAreForgotten(t *testing.T) {
	l, now := newBursts(), time.Now()
	for range 1000 {
		l.take(vault.NewAccountID(), 1, now)
	}
	l.take(vault.NewAccountID(), 150, now)
	now = now.Add(time.Minute)
	for range 100 {
		l.take(vault.NewAccountID(), 1, now)
	}
	if n := len(l.members); n > 200 {
		t.Errorf("%d members are remembered", n)
	}
	found := false
	for _, b := range l.members {
		found = found || b.left < 100
	}
	if !found {
		t.Error("the one who had much was forgotten")
	}
}

// TestDevicesAtOnce: many at the same time get no more than one after the other.
func TestDevicesAtOnce(t *testing.T) {
	w := newTokenWorld(t, 0)
	d := w.device()
	d.signUp(newAuthenticator(t, testOrigin))
	w.srv.turns = newTurns(8)
	var got, refused, slow atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		b := w.wants(w.day(), 5)
		all.Go(func() {
			for {
				resp := d.request("POST", "tokens", b.body())
				var answer struct {
					Signed [][]byte
					Error  struct{ Code string }
				}
				json.NewDecoder(resp.Body).Decode(&answer)
				resp.Body.Close()
				got.Add(int32(len(answer.Signed)))
				switch answer.Error.Code {
				case "slow_down":
					slow.Add(1)
					time.Sleep(5 * time.Millisecond)
					continue
				case "allowance_used":
					refused.Add(1)
				}
				return
			}
		})
	}
	all.Wait()
	if got.Load() != freePerDay || refused.Load() != 4 {
		t.Errorf("%d tokens, %d refused", got.Load(), refused.Load())
	}
	if n := must(w.db.Issued(t.Context(), d.account, store.DayOf(w.at))); n != freePerDay {
		t.Errorf("%d are counted", n)
	}
}

// TestTurns: who asks for many at once waits, and so does who comes when all is full.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(1)
		done, err := turns.take(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		waiting := make(chan error)
		wait := func(who string) {
			go func() {
				done, err := turns.take(t.Context(), who)
				if err == nil {
					done()
				}
				waiting <- err
			}()
			synctest.Wait()
		}
		wait("a")
		if _, err := turns.take(t.Context(), "a"); err != errSlowDown {
			t.Errorf("a third of one: %v", err)
		}
		for n := 2; n < maxQueue; n++ {
			wait(fmt.Sprint(n))
		}
		if _, err := turns.take(t.Context(), "z"); err != errSlowDown {
			t.Errorf("one more than fit: %v", err)
		}
		done()
		for range maxQueue - 1 {
			if err := <-waiting; err != nil {
				t.Error(err)
			}
		}
		done, err = turns.take(t.Context(), "a")
		if err != nil || len(turns.asking) != 1 || turns.queue != 1 {
			t.Fatalf("%v, %d ask, %d wait", err, len(turns.asking), turns.queue)
		}
		start := time.Now()
		if _, err := turns.take(t.Context(), "b"); err != errSlowDown || time.Since(start) != queueFor {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := turns.take(gone, "b"); err != context.Canceled {
			t.Errorf("who is gone: %v", err)
		}
		done()
		if len(turns.asking) != 0 || turns.queue != 0 || len(turns.slots) != 0 {
			t.Error("somebody is still counted")
		}
	})
}

// TestDearRequests: what costs this server or Stripe much, or guesses, is bounded more.
func TestDearRequests(t *testing.T) {
	for path, want := range map[string]float64{
		"tokens": knockCost, "guest/tokens": knockCost, "plan/checkout": knockCost, "plan/portal": knockCost, "plan/voucher": knockCost,
		"plan": 1, "service": 1, "stripe/webhook": 1,
	} {
		if got := costOf(httptest.NewRequest("POST", "/api/v1/"+path, nil)); got != want {
			t.Errorf("%s costs %v", path, got)
		}
	}
}

func TestGuests(t *testing.T) {
	w := newTokenWorld(t, 5)
	address := "192.0.2.1"
	w.srv.address = func(*http.Request) string { return address }
	d := w.device()
	first := w.wants(w.day(), 3)
	d.do("POST", "guest/tokens", first.body(), nil)
	var a signed
	d.do("POST", "guest/tokens", first.body(), &a)
	if a.Allowance.Issued != 3 {
		t.Errorf("the same batch again: %+v", a.Allowance)
	}
	d.fails(429, "allowance_used", "POST", "guest/tokens", w.wants(w.day(), 3).body())
	d.do("POST", "guest/tokens", w.wants(w.day(), 2).body(), nil)
	d.fails(429, "allowance_used", "POST", "guest/tokens", w.wants(w.day(), 1).body())
	address = "2001:db8::1"
	d.do("POST", "guest/tokens", w.wants(w.day(), 5).body(), nil)
	address = "2001:db8::2" // the same household
	d.fails(429, "allowance_used", "POST", "guest/tokens", w.wants(w.day(), 1).body())
	w.at = w.at.Add(24 * time.Hour)
	d.do("POST", "guest/tokens", w.wants(w.day(), 5).body(), nil)
	w.at = w.at.Add(24 * time.Hour)
	if err := w.srv.endDays(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(w.srv.guests.days); n > 1 {
		t.Errorf("%d days of guests are remembered", n)
	}
	g := newGuests(1)
	for i := range maxGuests + 10 {
		g.take(fmt.Sprint(i), 1, [32]byte{}, 1)
	}
	if n := len(g.days[1]); n > maxGuests {
		t.Errorf("%d guests", n)
	}

	none := newTokenWorld(t, 0)
	none.device().fails(403, "guests_off", "POST", "guest/tokens", none.wants(none.day(), 1).body())
}

// TestBatchAttacks: what can't be signed is refused before anything is counted.
func TestBatchAttacks(t *testing.T) {
	w := newTokenWorld(t, 5)
	d := w.device()
	d.signUp(newAuthenticator(t, testOrigin))
	good := w.wants(w.day(), 3).Blinded
	key := must(w.srv.keys.of(t.Context(), w.day()))
	day := w.day().String()
	short, long := good[0][1:], append(slices.Clone(good[0]), 0)
	below := slices.Clone(key.modulus)
	below[len(below)-1]--
	for _, tt := range []struct {
		name   string
		body   any
		status int
		code   string
	}{
		{"none", map[string]any{"day": day, "blinded": [][]byte{}}, 400, "batch_refused"},
		{"no list", map[string]any{"day": day}, 400, "batch_refused"},
		{"one too many", map[string]any{"day": day, "blinded": w.wants(w.day(), maxBatch+1).Blinded}, 400, "batch_refused"},
		{"short", map[string]any{"day": day, "blinded": [][]byte{good[0], short}}, 400, "batch_refused"},
		{"long", map[string]any{"day": day, "blinded": [][]byte{long}}, 400, "batch_refused"},
		{"twice the same", map[string]any{"day": day, "blinded": [][]byte{good[0], good[1], good[0]}}, 400, "batch_refused"},
		{"the modulus", map[string]any{"day": day, "blinded": [][]byte{key.modulus}}, 400, "batch_refused"},
		{"above it", map[string]any{"day": day, "blinded": [][]byte{bytes.Repeat([]byte{255}, token.BlindedSize)}}, 400, "batch_refused"},
		{"no day", map[string]any{"blinded": good}, 400, "malformed"},
		{"another way to write it", map[string]any{"day": w.at.Format("2006-1-2") + " ", "blinded": good}, 400, "malformed"},
		{"a day long ago", map[string]any{"day": "1970-01-01", "blinded": good}, 409, "day_unknown"},
		{"a day far off", map[string]any{"day": "2999-01-01", "blinded": good}, 409, "day_unknown"},
		{"no base64", `{"day":"` + day + `","blinded":["!"]}`, 400, "malformed"},
		{"another field", map[string]any{"day": day, "blinded": good, "n": 3}, 400, "malformed"},
		{"more behind it", `{"day":"` + day + `","blinded":[]} {}`, 400, "malformed"},
		{"too large", map[string]any{"day": day, "blinded": [][]byte{make([]byte, maxBody)}}, 413, "too_large"},
	} {
		for _, path := range []string{"tokens", "guest/tokens"} {
			if status, code := d.try("POST", path, tt.body, nil); status != tt.status || code != tt.code {
				t.Errorf("%s, %s: %d %s, want %d %s", path, tt.name, status, code, tt.status, tt.code)
			}
			w.srv.limits = newLimits()
		}
	}
	d.do("POST", "tokens", map[string]any{"day": day, "blinded": [][]byte{below}}, nil)
	if a := d.plan().Allowance; a.Issued != 1 {
		t.Errorf("what was refused is counted: %+v", a)
	}
	w.device().fails(401, "signed_out", "POST", "tokens", map[string]any{"day": day, "blinded": good})
	w.device().fails(401, "signed_out", "GET", "plan", nil)
	d.headers = map[string]string{"Sec-Fetch-Site": "cross-site"}
	d.fails(403, "cross_origin", "POST", "tokens", map[string]any{"day": day, "blinded": good})
	d.fails(403, "cross_origin", "POST", "plan/voucher", map[string]any{"code": ""})

	free := newWorld(t)
	e := free.device()
	e.signUp(newAuthenticator(t, testOrigin))
	for _, path := range []string{"tokens", "guest/tokens"} {
		e.fails(404, "tokens_off", "POST", path, map[string]any{"day": day, "blinded": good})
	}
	if p := e.plan(); p.Allowance.PerDay != -1 || p.Billing {
		t.Errorf("a plan where nothing is counted: %+v", p)
	}
	for _, path := range []string{"plan/checkout", "plan/portal", "stripe/webhook"} {
		e.fails(404, "billing_off", "POST", path, nil)
	}
}

// TestDays: a key is made once and a day ahead, and goes with its day, from memory
// and from the disk.
func TestDays(t *testing.T) {
	w := newTokenWorld(t, 0)
	w.at = time.Date(2026, 11, 27, 10, 0, 0, 0, time.UTC)
	today := w.day()
	d := w.device()
	d.signUp(newAuthenticator(t, testOrigin))
	if err := w.srv.keepHouse(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, day := range []token.Day{today - 1, today + 2} {
		if _, err := w.srv.IssuerKey(t.Context(), day); err != ErrNoKey {
			t.Errorf("a key for %v: %v", day, err)
		}
	}
	if _, err := newWorld(t).srv.IssuerKey(t.Context(), today); err != ErrNoKey {
		t.Errorf("a key where there are no tokens: %v", err)
	}
	now, next := must(w.srv.IssuerKey(t.Context(), today)), must(w.srv.IssuerKey(t.Context(), today+1))
	if bytes.Equal(now, next) {
		t.Error("two days have one key")
	}
	restarted := must(New(Config{Store: w.db, Origin: testOrigin, Tokens: &Tokens{Issuer: "tokens.sotto.example"}}))
	restarted.now = w.srv.now
	if !bytes.Equal(now, must(restarted.IssuerKey(t.Context(), today))) {
		t.Error("a server that was started again has another key")
	}
	d.do("POST", "tokens", w.wants(today, 2).body(), nil)
	kept := must(w.db.IssuerKey(t.Context(), store.Day(today)))
	secret := kept[100:164] // in the middle of the private numbers

	w.at = (today + 1).Start().Add(token.Late - time.Second)
	if err := w.srv.keepHouse(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.db.IssuerKey(t.Context(), store.Day(today)); err != nil {
		t.Errorf("the key went before its day did: %v", err)
	}
	w.at = w.at.Add(time.Second)
	if err := w.srv.keepHouse(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.db.IssuerKey(t.Context(), store.Day(today)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the key is still there: %v", err)
	}
	if _, ok := w.srv.keys.keys[today]; ok {
		t.Error("the key is still in memory")
	}
	if n := must(w.db.Issued(t.Context(), d.account, store.Day(today))); n != 0 {
		t.Errorf("%d tokens of a day that is over are still counted", n)
	}
	for _, f := range w.files() {
		if bytes.Contains(f.data, secret) {
			t.Errorf("%s still has the key of a day that is over", f.name)
		}
	}
	if !bytes.Equal(next, must(w.srv.IssuerKey(t.Context(), today+1))) {
		t.Error("the next day's key went too")
	}
}

// TestService: what everybody may know.
func TestService(t *testing.T) {
	for _, tt := range []struct {
		c    Config
		want string
	}{
		{Config{}, `{"v":1,"relay":null,"tokens":false,"guests":false,"product":"","issuer":"","billing":false,"price":""}`},
		{Config{
			Tokens: &Tokens{Issuer: "tokens.sotto.example"}, Guests: 3, Relay: &Relay{"https://relay.example/", "Example Ltd"},
			Billing: &Billing{Key: testKey, Webhook: testWebhook},
		}, `{"v":1,"relay":{"url":"https://relay.example/","operator":"Example Ltd"},"tokens":true,"guests":true,"product":"sotto","issuer":"tokens.sotto.example","billing":true,"price":"$35 a month"}`},
	} {
		resp := newWorldOf(t, tt.c).device().request("GET", "service", nil)
		b := must(io.ReadAll(resp.Body))
		resp.Body.Close()
		if string(b) != tt.want {
			t.Errorf("got  %s\nwant %s", b, tt.want)
		}
	}
	for name, c := range map[string]Config{
		"an issuer with a space":  {Tokens: &Tokens{Issuer: "tokens sotto"}},
		"no issuer":               {Tokens: &Tokens{}},
		"guests without tokens":   {Guests: 1},
		"too many guests":         {Tokens: &Tokens{Issuer: "t.example"}, Guests: 1001},
		"fewer guests than none":  {Tokens: &Tokens{Issuer: "t.example"}, Guests: -1},
		"a relay without a name":  {Relay: &Relay{URL: "https://relay.example/"}},
		"a relay that is no URL":  {Relay: &Relay{URL: "relay", Operator: "x"}},
		"a relay over something":  {Relay: &Relay{URL: "ftp://relay.example/", Operator: "x"}},
		"a relay with a password": {Relay: &Relay{URL: "https://a:b@relay.example/", Operator: "x"}},
	} {
		if err := c.check(); err == nil {
			t.Error(name)
		}
	}
}
