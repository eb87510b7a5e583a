// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sotto-chat/sotto/internal/door"
	"github.com/sotto-chat/sotto/internal/lines"
	"github.com/sotto-chat/sotto/seal/bhttp"
	"github.com/sotto-chat/sotto/token"
)

// Where issuers are configured, a sealed request costs a token (spec/token.md,
// "Spending"). The gateway checks what costs nothing first, then the signatures,
// and only what is good reaches the store of spent tokens. What is wrong with the
// request itself is said before that, and costs no token. A token whose request was
// not answered comes back: the gateway signs, unseen, the one that the client has
// prepared in its place.

// An Issuer signs the tokens of a product.
type Issuer struct {
	// Product is whose tokens these are and Name the issuer's: the names in a
	// token's challenge.
	Product, Name string
	// Keys are the product's keys, each of a day.
	Keys KeySource
	// Limits bound what all its people together may spend.
	Limits IssuerLimits
}

// IssuerLimits are tokens of a product, of all its people together. Zero is no limit.
// Each gateway counts by itself for the hour, and looks every few minutes what all
// have spent of the day.
type IssuerLimits struct{ PerDay, PerHour int64 }

// A KeySource knows the keys that an issuer published.
type KeySource interface {
	// Day returns the keys of a day, each an SPKI (token.ParsePublicKey): that of
	// the issuer's tokens, and that of refunds or nil. An error says that they
	// aren't known. It answers at once.
	Day(token.Day) (issue, refund []byte, err error)
}

// SpentTokens remember spent tokens: package store/spent, whose documentation these
// methods have there.
type SpentTokens interface {
	Spend(ctx context.Context, day token.Day, id [32]byte, product string) error
	Answered(day token.Day, id [32]byte, product string)
	Failed(day token.Day, id [32]byte, product string)
	Refund(ctx context.Context, day token.Day, id [32]byte, product string, blinded [32]byte) error
	RefundKey(ctx context.Context, day token.Day, product string) (token.PrivateKey, error)
	DropBefore(ctx context.Context, day token.Day) error
	Spent(ctx context.Context, day token.Day, product string) (int64, error)
}

const (
	maxIssuers = 64

	// spendTime is how long a client waits for the store, settleTime how long a node
	// is listened to for whether it has taken a request whose client is gone.
	spendTime  = 5 * time.Second
	settleTime = 10 * time.Second

	// keysEvery is how often the published keys are looked at, countEvery how often
	// all gateways' tokens are counted, missEvery how soon a key that nobody knows
	// makes the gateway look again.
	keysEvery  = time.Minute
	countEvery = 5 * time.Minute
	missEvery  = time.Second
)

// spending is the gateway's half of tokens.
type spending struct {
	spent   SpentTokens
	issuers []*issuer
	signing chan struct{} // bounds the refunds that are signed at once
	log     lines.Log
	now     func() time.Time

	ring    atomic.Pointer[keyRing]
	looking sync.Mutex // held while the ring is made anew

	mu      sync.Mutex
	refunds map[refundDay]token.PrivateKey
	signed  map[signedFor][]byte

	spends, refused, refunded lines.Acts
}

type refundDay struct {
	product string
	day     token.Day
}

// signedFor is the token that a refund is for, and the SHA-256 of what was signed.
type signedFor struct{ token, blinded [32]byte }

type issuer struct {
	Issuer
	challenge token.Challenge
	digest    [32]byte

	mu   sync.Mutex
	day  window
	hour window
}

// keyRing is the keys of some days, by their ids. It doesn't change.
type keyRing struct {
	made time.Time
	keys map[[32]byte]dayKey
}

type dayKey struct {
	of     *issuer
	day    token.Day
	refund bool // a key that refunds are signed with
	key    token.PublicKey
}

func newSpending(issuers []Issuer, spent SpentTokens, log lines.Log) (*spending, error) {
	if spent == nil {
		return nil, errors.New("gateway: tokens need a store of spent ones: name it with -spent")
	}
	if len(issuers) > maxIssuers {
		return nil, fmt.Errorf("gateway: %d issuers, and %d is the most", len(issuers), maxIssuers)
	}
	s := &spending{
		spent: spent, log: log, now: time.Now,
		signing: make(chan struct{}, (runtime.GOMAXPROCS(0)+1)/2),
		refunds: map[refundDay]token.PrivateKey{}, signed: map[signedFor][]byte{},
	}
	for _, i := range issuers {
		c := token.Challenge{Issuer: i.Name, Product: i.Product}
		if err := c.Check(); err != nil {
			return nil, fmt.Errorf("gateway: issuer %q of product %q: %w", i.Name, i.Product, err)
		}
		if i.Keys == nil || i.Limits.PerDay < 0 || i.Limits.PerHour < 0 {
			return nil, fmt.Errorf("gateway: issuer %q has no keys, or a limit below 0", i.Name)
		}
		if s.product(i.Product) != nil {
			return nil, fmt.Errorf("gateway: the product %q has two issuers", i.Product)
		}
		s.issuers = append(s.issuers, &issuer{Issuer: i, challenge: c, digest: c.Digest()})
	}
	return s, nil
}

func (s *spending) product(name string) *issuer {
	for _, i := range s.issuers {
		if i.Product == name {
			return i
		}
	}
	return nil
}

// run keeps keys and days in order until ctx ends.
func (s *spending) run(ctx context.Context) {
	keys, counting := time.NewTicker(keysEvery), time.NewTicker(countEvery)
	defer keys.Stop()
	defer counting.Stop()
	s.count(ctx)
	for {
		s.look()
		s.keepDays(ctx)
		select {
		case <-keys.C:
		case <-counting.C:
			s.count(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// keepDays makes the keys for refunds of today and tomorrow, and drops days that are
// over. Those of yesterday stay for a day more, for gateways with a wrong clock.
func (s *spending) keepDays(ctx context.Context) {
	now := s.now()
	today := token.DayOf(now)
	for _, i := range s.issuers {
		for _, d := range [...]token.Day{today, today + 1} {
			if _, err := s.refundKey(ctx, i, d); err != nil && ctx.Err() == nil {
				s.log.Error("no key for refunds", lines.Cause(err))
			}
		}
	}
	first := token.DayOf(now.Add(-token.Late)) - 1
	if err := s.spent.DropBefore(ctx, first); err != nil && ctx.Err() == nil {
		s.log.Error("spent tokens of past days can't be dropped", lines.Cause(err))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.refunds {
		if k.day < first {
			delete(s.refunds, k)
		}
	}
}

// count looks what all gateways together have spent of the day.
func (s *spending) count(ctx context.Context) {
	today := token.DayOf(s.now())
	for _, i := range s.issuers {
		if i.Limits.PerDay == 0 {
			continue
		}
		n, err := s.spent.Spent(ctx, today, i.Product)
		if err != nil {
			s.log.Warn("spent tokens can't be counted", lines.Cause(err))
			continue
		}
		i.mu.Lock()
		i.day.at(int64(today))
		i.day.n = max(i.day.n, n)
		i.mu.Unlock()
	}
}

// window counts what happens in an hour or a day.
type window struct{ span, n int64 }

func (w *window) at(span int64) {
	if span != w.span {
		w.span, w.n = span, 0
	}
}

// take counts a token, unless the product has spent all that it may. Then it says
// after how many seconds there is more.
func (i *issuer) take(now time.Time) (after int64, ok bool) {
	const hour = 60 * 60
	i.mu.Lock()
	defer i.mu.Unlock()
	i.day.at(int64(token.DayOf(now)))
	i.hour.at(now.Unix() / hour)
	if most := i.Limits.PerDay; most > 0 && i.day.n >= most {
		return int64((token.DayOf(now)+1).Start().Sub(now)/time.Second) + 1, false
	}
	if most := i.Limits.PerHour; most > 0 && i.hour.n >= most {
		return hour - now.Unix()%hour, false
	}
	i.day.n++
	i.hour.n++
	return 0, true
}

// giveBack takes back a token that take counted and that was none.
func (i *issuer) giveBack() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.day.n--
	i.hour.n--
}

// look makes the key ring anew from what the issuers have published. A key that it
// had already isn't read again.
func (s *spending) look() *keyRing {
	s.looking.Lock()
	defer s.looking.Unlock()
	now := s.now()
	old := s.ring.Load()
	if old != nil && now.Sub(old.made) >= 0 && now.Sub(old.made) < missEvery {
		return old
	}
	ring := &keyRing{made: now, keys: map[[32]byte]dayKey{}}
	today := token.DayOf(now)
	for _, i := range s.issuers {
		// Neighbours too, so that a token of theirs is told what is wrong with it.
		for d := today - 2; d <= today+2; d++ {
			issue, refund, err := i.Keys.Day(d)
			if err != nil {
				continue
			}
			for n, spki := range [...][]byte{issue, refund} {
				if len(spki) == 0 {
					continue
				}
				id := sha256.Sum256(spki)
				if old != nil {
					if k, ok := old.keys[id]; ok && k.of == i && k.day == d {
						ring.keys[id] = k
						continue
					}
				}
				if _, twice := ring.keys[id]; twice {
					s.log.Error("a key is published for two days or products; it is refused")
					ring.keys[id] = dayKey{}
					continue
				}
				key, err := token.ParsePublicKey(spki)
				if err != nil {
					s.log.Error("a published key isn't one for tokens")
					continue
				}
				ring.keys[id] = dayKey{i, d, n == 1, key}
			}
		}
	}
	s.ring.Store(ring)
	return ring
}

// find returns the key with an id; its issuer is nil if nobody has published it.
func (s *spending) find(id [32]byte) dayKey {
	ring := s.ring.Load()
	if ring == nil {
		ring = s.look()
	}
	k := ring.keys[id]
	if k.of == nil && s.now().Sub(ring.made) >= missEvery {
		k = s.look().keys[id]
	}
	return k
}

// todays returns an issuer's key of today, or none.
func (s *spending) todays(i *issuer) token.PublicKey {
	ring := s.ring.Load()
	if ring == nil {
		ring = s.look()
	}
	today := token.DayOf(s.now())
	for _, k := range ring.keys {
		if k.of == i && k.day == today && !k.refund {
			return k.key
		}
	}
	return token.PublicKey{}
}

// refundKey returns the key with which a product's refunds of a day are signed.
func (s *spending) refundKey(ctx context.Context, i *issuer, day token.Day) (token.PrivateKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := refundDay{i.Product, day}
	if k, ok := s.refunds[at]; ok {
		return k, nil
	}
	k, err := s.spent.RefundKey(ctx, day, i.Product)
	if err == nil {
		s.refunds[at] = k
	}
	return k, err
}

// maxSigned are the refunds that are remembered, for who asks for one again.
const maxSigned = 4096

// giveRefund notes that a token is replaced by what the client has prepared, and signs
// that. Signing is by far the dearest of all that a gateway does for a token, so it
// comes last, once for each token, and leaves half of the processors to the others.
// Where there is none to give, the error is one of tokens or of the store.
func (s *spending) giveRefund(ctx context.Context, i *issuer, day token.Day, id [32]byte, blinded []byte) ([]byte, error) {
	if blinded == nil {
		return nil, &token.Error{Failure: token.RefundMalformed}
	}
	k, err := s.refundKey(ctx, i, day)
	if err != nil {
		return nil, err
	}
	// With a key that isn't published, nobody would take it.
	if published := s.find(k.Public().ID()); published.of != i || published.day != day || !published.refund {
		return nil, &token.Error{Failure: token.RefundRefused}
	}
	digest := sha256.Sum256(blinded)
	if err := s.spent.Refund(ctx, day, id, i.Product, digest); err != nil {
		return nil, err
	}
	at := signedFor{id, digest}
	s.mu.Lock()
	sig := s.signed[at]
	s.mu.Unlock()
	if sig != nil {
		return sig, nil
	}
	select {
	case s.signing <- struct{}{}:
		defer func() { <-s.signing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if sig, err = k.Sign(blinded); err != nil {
		return nil, &token.Error{Failure: token.RefundMalformed}
	}
	s.refunded.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.signed) >= maxSigned {
		clear(s.signed)
	}
	s.signed[at] = sig
	return sig, nil
}

// read reads the fields of a token and finds its key. It costs little.
func (s *spending) read(r *http.Request) (token.Spend, dayKey, error) {
	var fields []bhttp.Field
	for _, name := range [...]string{token.FieldToken, token.FieldHolder, token.FieldRefund} {
		for _, v := range r.Header.Values(name) {
			fields = append(fields, bhttp.Field{Name: name, Value: v})
			if len(fields) > 3 { // one is twice, which ParseSpend says
				break
			}
		}
	}
	spend, err := token.ParseSpend(fields)
	if err != nil {
		return spend, dayKey{}, err
	}
	k := s.find(spend.KeyID())
	if k.of == nil {
		return spend, k, &token.Error{Failure: token.Foreign}
	}
	return spend, k, k.day.Good(s.now())
}

// paid is the answer to a request whose token was spent. It notes when an answer
// begins.
type paid struct {
	http.ResponseWriter
	s       *spending
	of      *issuer
	day     token.Day
	id      [32]byte
	blinded []byte
	settled bool
}

// Write notes that an answer begins, before its first byte goes out.
func (p *paid) Write(b []byte) (int, error) {
	if !p.settled {
		p.settled = true
		p.s.spent.Answered(p.day, p.id, p.of.Product)
	}
	return p.ResponseWriter.Write(b)
}

// fail notes that there was no answer, unless one began.
func (p *paid) fail() {
	if !p.settled {
		p.settled = true
		p.s.spent.Failed(p.day, p.id, p.of.Product)
	}
}

// refund gives the token back, if the client has prepared another. It is nil if not.
func (p *paid) refund() []byte {
	p.fail()
	// The client may be gone, and asks for the same later.
	ctx, cancel := context.WithTimeout(context.Background(), spendTime)
	defer cancel()
	sig, err := p.s.giveRefund(ctx, p.of, p.day, p.id, p.blinded)
	if err != nil {
		return nil
	}
	return sig
}

// pay spends the token of a request whose envelope header is given. It is nil if
// there was none to spend; then the client has been told.
func (g *Gateway) pay(w http.ResponseWriter, r *http.Request, header []byte) *paid {
	s := g.spending
	spend, k, err := s.read(r)
	if err == nil {
		err = spend.Verify(k.key, k.of.digest, sha256.Sum256(header))
	}
	if err != nil {
		g.refuseToken(w, k.of, err)
		return nil
	}
	after, ok := k.of.take(s.now())
	if !ok {
		g.sayBusy(w, strconv.FormatInt(min(after, 3600), 10))
		return nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), spendTime)
	defer cancel()
	if err := s.spent.Spend(ctx, k.day, spend.ID(), k.of.Product); err != nil {
		k.of.giveBack()
		g.refuseToken(w, k.of, err)
		return nil
	}
	s.spends.Add(1)
	return &paid{ResponseWriter: w, s: s, of: k.of, day: k.day, id: spend.ID(), blinded: spend.Refund()}
}

// tokenSentences are what a person is told; whoever writes a client finds more in
// spec/token.md.
var tokenSentences = map[token.Failure]string{
	token.Missing:         "This service takes a token for each message, and none was sent.",
	token.Malformed:       "The token can't be read. Make a new one.",
	token.Foreign:         "The token is not of this service, or not of these days. Fetch one from its account.",
	token.Expired:         "The token's day is over. Use one of today.",
	token.Future:          "The token's day has not begun. Use one of today, and look at this device's clock.",
	token.Invalid:         "The token's signature is wrong. Fetch another.",
	token.Spent:           "The token has been spent. Use another.",
	token.HolderInvalid:   "The token is not its sender's, or not for this message.",
	token.RefundMalformed: "What is to be signed as the refund can't be read.",
	token.RefundRefused:   "There is no refund: an answer was begun, or another refund was given.",
}

// refuseToken says what is wrong with a token, or that the store can't be asked.
func (g *Gateway) refuseToken(w http.ResponseWriter, of *issuer, err error) {
	s := g.spending
	var e *token.Error
	if !errors.As(err, &e) {
		s.log.Error("spent tokens can't be written", lines.Cause(err))
		// Not busy: a client would take the token for unspent, which is not certain.
		g.turnAway(w, http.StatusInternalServerError, door.Failed, "This service failed. Ask for a refund and try again.")
		return
	}
	s.refused.Add(1)
	if of == nil {
		of = s.issuers[0]
	}
	status := http.StatusUnauthorized
	if e.Failure == token.RefundRefused {
		status = http.StatusConflict
	} else if key := s.todays(of); !key.IsZero() {
		w.Header().Set("WWW-Authenticate", of.challenge.Authenticate(key))
	}
	g.turnAway(w, status, string(e.Failure), tokenSentences[e.Failure])
}

// serveRefund gives the token of an answer back that never came.
func (g *Gateway) serveRefund(w http.ResponseWriter, r *http.Request) {
	s := g.spending
	if s == nil {
		door.Refuse(w, http.StatusNotFound, door.NotFound, "There is nothing at this address.")
		return
	}
	spend, k, err := s.read(r)
	if err == nil {
		err = spend.VerifyRefund(k.key, k.of.digest)
	}
	if err != nil {
		g.refuseToken(w, k.of, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), spendTime)
	defer cancel()
	switch sig, err := s.giveRefund(ctx, k.of, k.day, spend.ID(), spend.Refund()); {
	case errors.As(err, new(*token.Error)):
		g.refuseToken(w, k.of, err)
	case err != nil: // it is under way still, or the store can't be asked
		g.sayBusy(w, "2")
	default:
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		json.NewEncoder(w).Encode(struct {
			Refund []byte `json:"refund"`
		}{sig})
	}
}

// refuseWithRefund is [door.Refuse] with a refund.
func refuseWithRefund(w http.ResponseWriter, status int, code, message string, refund []byte) {
	type body struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	b, err := json.Marshal(struct {
		Error  body   `json:"error"`
		Refund []byte `json:"refund"`
	}{body{code, message}, refund})
	if err != nil { // strings always marshal
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(b)
}

// serveAbout says what an issuer puts into its statement of a day: the keys for its
// product's refunds, today's and tomorrow's, and the keys for relays.
func (g *Gateway) serveAbout(w http.ResponseWriter, r *http.Request) {
	type day struct {
		Day string `json:"day"`
		Key []byte `json:"key"`
	}
	doc := struct {
		V      int      `json:"v"`
		Refund []day    `json:"refund"`
		OHTTP  []string `json:"ohttp"`
	}{1, []day{}, append([]string{}, g.OHTTPDigests()...)}
	if s := g.spending; s != nil {
		of := s.issuers[0]
		if name := r.URL.Query().Get("product"); name != "" {
			of = s.product(name)
		}
		if of == nil {
			door.Refuse(w, http.StatusNotFound, door.NotFound, "This service knows no such product.")
			return
		}
		today := token.DayOf(s.now())
		for _, d := range [...]token.Day{today, today + 1} {
			k, err := s.refundKey(r.Context(), of, d)
			if err != nil {
				s.log.Error("no key for refunds", lines.Cause(err))
				g.turnAway(w, http.StatusInternalServerError, door.Failed, "This service failed. Try again.")
				return
			}
			doc.Refund = append(doc.Refund, day{d.String(), k.Public().SPKI()})
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	json.NewEncoder(w).Encode(doc)
}

// patient returns a context in which a node is asked, and a function to call once it
// answers. Of a request that was paid for, the gateway wants to know whether the
// node has taken it, even when the client is gone: whoever has an answer at a node can
// fetch it there, and gets no refund.
func patient(w http.ResponseWriter, r *http.Request) (ctx context.Context, answers func(), cancel context.CancelFunc) {
	if _, ok := w.(*paid); !ok {
		ctx, cancel = context.WithCancel(r.Context())
		return ctx, func() {}, cancel
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(r.Context()))
	var mu sync.Mutex
	var begun, gone bool
	leave := context.AfterFunc(r.Context(), func() {
		mu.Lock()
		defer mu.Unlock()
		gone = true
		if begun {
			stop()
			return
		}
		time.AfterFunc(settleTime, stop)
	})
	answers = func() {
		mu.Lock()
		defer mu.Unlock()
		begun = true
		if gone {
			stop()
		}
	}
	return ctx, answers, func() { leave(); stop() }
}
