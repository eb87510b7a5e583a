// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package account

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/sotto-chat/sotto/internal/knock"
	"github.com/sotto-chat/sotto/store"
	"github.com/sotto-chat/sotto/token"
	"github.com/sotto-chat/sotto/vault"
)

const (
	// maxBatch is how many tokens may be signed at a time.
	maxBatch = 20
	// noon is when tokens for the next day begin to be signed: hours in UTC.
	noon = 12
	// batchesAtOnce is how many batches one account, or one stranger, may have
	// under way. More would only keep others waiting.
	batchesAtOnce = 2
	// maxQueue is how many batches wait for a core. Signing takes 3 ms a token, so
	// the last of them waits for seconds.
	maxQueue = 64
	queueFor = 10 * time.Second
	// maxGuests bounds the networks that are counted. With one more all are
	// forgotten: who comes from so many has so many times a guest's tokens anyway.
	maxGuests = 100_000
)

// ErrNoKey means that there is no key to sign tokens with for the day.
var ErrNoKey = errors.New("account: tokens are signed for today and tomorrow only, and only where tokens are configured")

// IssuerKey returns the public key (SPKI) by which the tokens of a day are signed,
// today or tomorrow, and makes it if need be: for whoever puts it into the log.
func (s *Server) IssuerKey(ctx context.Context, day token.Day) ([]byte, error) {
	today := token.DayOf(s.now())
	if s.tokens == nil || day < today || day > today+1 {
		return nil, ErrNoKey
	}
	k, err := s.keys.of(ctx, day)
	if err != nil {
		return nil, err
	}
	return k.Public().SPKI(), nil
}

// dayKey is the private key of a day.
type dayKey struct {
	token.PrivateKey
	modulus []byte // BlindedSize bytes: what is signed has to be below
}

// dayKeys has the keys of the days at hand. They are made once: the lock is held
// while one is.
type dayKeys struct {
	store *store.DB
	mu    sync.Mutex
	keys  map[token.Day]dayKey
}

func (k *dayKeys) of(ctx context.Context, day token.Day) (dayKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if key, ok := k.keys[day]; ok {
		return key, nil
	}
	kept, err := k.store.IssuerKey(ctx, store.Day(day))
	if errors.Is(err, store.ErrNotFound) {
		fresh, err := token.NewKey(rand.Reader)
		if err != nil {
			return dayKey{}, fmt.Errorf("account: %w", err)
		}
		encoded, err := fresh.PKCS8()
		if err != nil {
			return dayKey{}, fmt.Errorf("account: %w", err)
		}
		// Were there another server on this database, one key would be for both.
		if kept, err = k.store.AddIssuerKey(ctx, store.Day(day), encoded); err != nil {
			return dayKey{}, err
		}
	} else if err != nil {
		return dayKey{}, err
	}
	private, err := token.ParsePrivateKey(kept)
	if err != nil {
		return dayKey{}, fmt.Errorf("account: the key of %v: %w", day, err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(kept)
	if err != nil {
		return dayKey{}, fmt.Errorf("account: the key of %v: %w", day, err)
	}
	key := dayKey{private, parsed.(*rsa.PrivateKey).N.FillBytes(make([]byte, token.BlindedSize))}
	k.keys[day] = key
	return key, nil
}

// end forgets the keys of days before the given one.
func (k *dayKeys) end(before token.Day) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for day := range k.keys {
		if day < before {
			delete(k.keys, day)
		}
	}
}

// order is a batch that is to be signed.
type order struct {
	day     token.Day
	blinded [][]byte
	hash    [32]byte
	key     dayKey
}

// readBatch reads a batch that can be signed, or refuses it before anything is
// counted.
func (s *Server) readBatch(r *http.Request) (order, error) {
	var b order
	if s.tokens == nil {
		return b, errTokensOff
	}
	var body struct {
		Day     string   `json:"day"`
		Blinded [][]byte `json:"blinded"`
	}
	if err := read(r, maxBody, &body); err != nil {
		return b, err
	}
	day, err := token.ParseDay(body.Day)
	if err != nil {
		return b, errMalformed
	}
	if len(body.Blinded) < 1 || len(body.Blinded) > maxBatch {
		return b, errBatchRefused
	}
	now := s.now().UTC()
	if today := token.DayOf(now); day != today && (day != today+1 || now.Hour() < noon) {
		return b, errDayUnknown
	}
	key, err := s.keys.of(r.Context(), day)
	if err != nil {
		return b, err
	}
	h := sha256.New()
	h.Write([]byte("sotto/1 batch\x00"))
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(day)))
	seen := map[[token.BlindedSize]byte]bool{}
	for _, m := range body.Blinded {
		if len(m) != token.BlindedSize || bytes.Compare(m, key.modulus) >= 0 || seen[[token.BlindedSize]byte(m)] {
			return b, errBatchRefused
		}
		seen[[token.BlindedSize]byte(m)] = true
		h.Write(m)
	}
	return order{day, body.Blinded, [32]byte(h.Sum(nil)), key}, nil
}

// signed is the answer to a batch.
type signed struct {
	Signed    [][]byte  `json:"signed"`
	Allowance Allowance `json:"allowance"`
}

func (b *order) sign(a Allowance) (any, error) {
	out := signed{make([][]byte, len(b.blinded)), a}
	for i, m := range b.blinded {
		var err error
		if out.Signed[i], err = b.key.Sign(m); err != nil {
			return nil, fmt.Errorf("account: %w", err)
		}
	}
	return out, nil
}

// usedUp is a problem that says what the plan gives.
type usedUp struct {
	*problem
	allowance Allowance
}

func (u *usedUp) Unwrap() error { return u.problem }

// postTokens signs a batch for an account. It is counted, on the disk, before the
// first signature is made; the signatures are the same each time, so a batch that
// comes again after a lost answer costs nothing.
func (s *Server) postTokens(r *http.Request, session store.Session) (any, error) {
	b, err := s.readBatch(r)
	if err != nil {
		return nil, err
	}
	done, err := s.turns.take(r.Context(), string(session.Account[:]))
	if err != nil {
		return nil, err
	}
	defer done()
	day, n := store.Day(b.day), len(b.blinded)
	var wait time.Time
	issued, plan, _, err := s.store.Issue(r.Context(), session.Account, day, b.hash, n,
		func(p store.Plan) int { return allowanceOf(planOn(p, day), b.day, 0).PerDay },
		func(p store.Plan) error {
			if planOn(p, day) != planMember {
				return nil
			}
			if wait = s.bursts.take(session.Account, n, s.now()); !wait.IsZero() {
				return store.ErrSpent
			}
			return nil
		})
	a := allowanceOf(planOn(plan, day), b.day, issued)
	switch {
	case errors.Is(err, store.ErrSpent) && !wait.IsZero():
		a.Resets = wait.Unix()
		return nil, &usedUp{errFairUse, a}
	case errors.Is(err, store.ErrSpent):
		return nil, &usedUp{errAllowanceUsed, a}
	case err != nil:
		return nil, translate(err, accountGone)
	}
	return b.sign(a)
}

// postGuestTokens signs a batch for somebody without an account.
func (s *Server) postGuestTokens(r *http.Request) (any, error) {
	if s.tokens != nil && s.guests == nil {
		return nil, errGuestsOff
	}
	b, err := s.readBatch(r)
	if err != nil {
		return nil, err
	}
	network := knock.Network(s.address(r))
	done, err := s.guestTurns.take(r.Context(), network)
	if err != nil {
		return nil, err
	}
	defer done()
	issued, ok := s.guests.take(network, b.day, b.hash, len(b.blinded))
	a := Allowance{Plan: planGuest, PerDay: s.guests.perDay, Issued: issued, Resets: (b.day + 1).Start().Unix()}
	if !ok {
		return nil, &usedUp{errGuestUsed, a}
	}
	return b.sign(a)
}

// guests counts by network what was signed without an account. It is in memory
// only, knows no address but a hash with a key of this process, and is emptied
// with the day.
type guests struct {
	perDay int
	seed   maphash.Seed

	mu   sync.Mutex
	days map[token.Day]map[uint64]*guest
}

type guest struct {
	n       int
	batches map[[32]byte]bool
}

func newGuests(perDay int) *guests {
	if perDay == 0 {
		return nil
	}
	return &guests{perDay: perDay, seed: maphash.MakeSeed(), days: map[token.Day]map[uint64]*guest{}}
}

// take counts n tokens unless the batch was counted before, and returns how many
// were signed for the network that day and whether these may be.
func (g *guests) take(network string, day token.Day, batch [32]byte, n int) (issued int, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	who := g.days[day]
	if who == nil || len(who) >= maxGuests {
		who = map[uint64]*guest{}
		g.days[day] = who
	}
	key := maphash.String(g.seed, network)
	one := who[key]
	if one == nil {
		one = &guest{batches: map[[32]byte]bool{}}
		who[key] = one
	}
	if one.batches[batch] {
		return one.n, true
	}
	if one.n+n > g.perDay {
		return one.n, false
	}
	one.n += n
	one.batches[batch] = true
	return one.n, true
}

// end forgets days before the given one.
func (g *guests) end(before token.Day) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for day := range g.days {
		if day < before {
			delete(g.days, day)
		}
	}
}

// bursts holds members to fair use: a bucket for each of memberPerHour tokens that
// fills within an hour. It is in memory: on the disk it would tell at which hour
// somebody was there, which a count of the day doesn't.
type bursts struct {
	mu      sync.Mutex
	members map[vault.AccountID]*burst
}

type burst struct {
	left float64
	at   time.Time
}

func newBursts() *bursts { return &bursts{members: map[vault.AccountID]*burst{}} }

// full says that a bucket is as good as none.
func (b *burst) full(now time.Time) bool {
	return b.left+now.Sub(b.at).Hours()*memberPerHour >= memberPerHour
}

// take takes n tokens, or returns when there will be as many.
func (l *bursts) take(account vault.AccountID, n int, now time.Time) (wait time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.members[account]
	if b == nil {
		l.forget(now)
		b = &burst{memberPerHour, now}
		l.members[account] = b
	}
	if passed := now.Sub(b.at); passed > 0 { // a clock that goes back gives nothing, twice
		b.left = min(memberPerHour, b.left+passed.Hours()*memberPerHour)
		b.at = now
	}
	if missing := float64(n) - b.left; missing > 0 {
		return now.Add(time.Duration(missing/memberPerHour*float64(time.Hour)) + time.Second)
	}
	b.left -= float64(n)
	return time.Time{}
}

// forget drops those whose bucket is full again, at each doubling of their number.
func (l *bursts) forget(now time.Time) {
	if n := len(l.members); n == 0 || n&(n-1) != 0 {
		return
	}
	for account, b := range l.members {
		if b.full(now) {
			delete(l.members, account)
		}
	}
}

// turns bounds how many batches are signed at a time, so that who asks for many
// burns no more than their share of the cores.
type turns struct {
	slots chan struct{}

	mu     sync.Mutex
	queue  int
	asking map[string]int
}

// newTurns returns turns for so many at a time.
func newTurns(slots int) *turns {
	return &turns{slots: make(chan struct{}, slots), asking: map[string]int{}}
}

// cores is how many may sign for accounts at a time; half of what there is, since
// everybody else has to be answered too. Guests have one.
func cores() int { return max(1, runtime.GOMAXPROCS(0)/2) }

// take waits for a turn. done has to be called after it.
func (t *turns) take(ctx context.Context, who string) (done func(), err error) {
	t.mu.Lock()
	if t.queue >= maxQueue || t.asking[who] >= batchesAtOnce {
		t.mu.Unlock()
		return nil, errSlowDown
	}
	t.queue++
	t.asking[who]++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.queue--
		if t.asking[who]--; t.asking[who] == 0 {
			delete(t.asking, who)
		}
	}
	late := time.NewTimer(queueFor)
	defer late.Stop()
	select {
	case t.slots <- struct{}{}:
		return func() { <-t.slots; leave() }, nil
	case <-late.C:
		leave()
		return nil, errSlowDown
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
