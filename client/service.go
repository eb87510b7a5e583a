// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/sotto-chat/sotto/release"
	"github.com/sotto-chat/sotto/token/wallet"
)

// pathService is answered by the account server, which also serves the page.
const pathService = "/api/v1/service"

const maxService = 16 << 10

// A Service is what a service says of itself to everybody. Nothing in it is
// believed for being there: a relay has to be named by the release in the public
// log, and tokens by the key log.
type Service struct {
	V       int    `json:"v"`       // 1
	Relay   *Relay `json:"relay"`   // nil where there is none
	Tokens  bool   `json:"tokens"`  // a message costs a token
	Guests  bool   `json:"guests"`  // tokens can be had without an account
	Product string `json:"product"` // which the tokens are for
	Issuer  string `json:"issuer"`  // who signs them
	Billing bool   `json:"billing"`
	Price   string `json:"price"` // of the member's plan, for people
}

// A Relay hides from the service where a request comes from (RFC 9458).
type Relay struct {
	URL      string `json:"url"`      // where sealed requests are posted
	Operator string `json:"operator"` // who runs it, for people
}

// AskService asks the service what it is, over a Transport that reaches it
// directly. One that doesn't say, as a gateway alone, has no relay and takes no
// tokens. Fields that it doesn't know are left aside.
func AskService(ctx context.Context, t Transport) (Service, error) {
	resp, err := t.RoundTrip(ctx, &Request{Method: "GET", Path: pathService})
	if err != nil {
		return Service{}, unreachable(ctx, err)
	}
	defer resp.Body.Close()
	if resp.Status == 404 {
		return Service{V: 1}, nil
	}
	if resp.Status != 200 {
		return Service{}, readServiceError(resp)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxService+1))
	if err != nil {
		return Service{}, unreachable(ctx, err)
	}
	var s Service
	if len(b) > maxService || json.Unmarshal(b, &s) != nil || s.V != 1 {
		return Service{}, fmt.Errorf("%w: what it says of itself can't be read", ErrUnreachable)
	}
	return s, nil
}

// way is how requests go out: what the service said of itself, and what follows
// from it.
type way struct {
	mu      sync.Mutex
	known   bool
	service Service
	to      Transport
	tokens  Tokens
	wallet  *wallet.Wallet
	stop    context.CancelFunc // ends the wallet's fetching
}

// asks says whether the client goes by what a service says of itself.
func (c *Client) asks() bool { return c.cfg.Through != nil || c.cfg.Wallet != nil }

// Service returns what the service last said of itself. It is the zero Service, with
// V 0, if it has not answered yet or was not asked.
func (c *Client) Service() Service {
	c.way.mu.Lock()
	defer c.way.mu.Unlock()
	return c.way.service
}

// Wallet returns the wallet that messages are paid from, or nil while none is.
func (c *Client) Wallet() *wallet.Wallet {
	c.way.mu.Lock()
	defer c.way.mu.Unlock()
	return c.way.wallet
}

// askService asks the service again. What it said before stands while it doesn't
// answer: a relay may be there when the page's server is not.
func (c *Client) askService(ctx context.Context) error {
	if !c.asks() {
		return nil
	}
	s, err := AskService(ctx, c.cfg.Transport)
	c.way.mu.Lock()
	defer c.way.mu.Unlock()
	switch {
	case err == nil:
		return c.follow(s)
	case c.way.known:
		return nil
	case c.cfg.Service != nil:
		return c.follow(*c.cfg.Service)
	}
	return err
}

// follow goes the way that s says. c.way.mu is held.
func (c *Client) follow(s Service) error {
	w := &c.way
	before := w.service
	if !w.known || !sameRelay(before.Relay, s.Relay) {
		to := c.cfg.Transport
		if s.Relay != nil && c.cfg.Through != nil {
			relay, err := c.cfg.Through(s.Relay.URL)
			if err != nil {
				return fmt.Errorf("%w: %w", ErrRelay, err)
			}
			to = NewOblivious(relay, c.relayKey)
		}
		w.to = to
	}
	if c.cfg.Wallet != nil && (!w.known || before.Tokens != s.Tokens || before.Issuer != s.Issuer || before.Product != s.Product) {
		if w.stop != nil {
			w.stop()
		}
		w.tokens, w.wallet, w.stop = nil, nil, nil
		if s.Tokens {
			c.openWallet(s)
		}
	}
	w.known, w.service = true, s
	if c.cfg.OnService != nil && (c.cfg.Service == nil || !same(*c.cfg.Service, s)) {
		c.cfg.Service = &s
		c.cfg.OnService(s)
	}
	return nil
}

// openWallet opens the wallet. One that can't be opened keeps nothing from being
// checked: messages are refused for its reason. c.way.mu is held.
func (c *Client) openWallet(s Service) error {
	w := &c.way
	if w.stop != nil {
		w.stop()
	}
	w.wallet, w.stop = nil, nil
	mine, err := c.cfg.Wallet(s, c.dayKeys)
	if err != nil {
		w.tokens = broke{err}
		return err
	}
	w.wallet, w.tokens = mine, purse{mine}
	var ctx context.Context
	ctx, w.stop = context.WithCancel(c.life)
	go mine.Run(ctx)
	return nil
}

// OpenWallet has [Config.Wallet] open the wallet anew, if the service takes tokens:
// for when it could not be opened before, or somebody else has had its store.
func (c *Client) OpenWallet() error {
	c.way.mu.Lock()
	defer c.way.mu.Unlock()
	if c.cfg.Wallet == nil || !c.way.known || !c.way.service.Tokens {
		return nil
	}
	return c.openWallet(c.way.service)
}

func same(a, b Service) bool {
	ok := sameRelay(a.Relay, b.Relay) && (a.Relay == nil || a.Relay.Operator == b.Relay.Operator)
	a.Relay, b.Relay = nil, nil
	return ok && a == b
}

func sameRelay(a, b *Relay) bool {
	return a == b || a != nil && b != nil && a.URL == b.URL
}

// ways returns how requests go out now, asking first if that isn't known.
func (c *Client) ways(ctx context.Context) (Transport, Tokens, error) {
	if !c.asks() {
		return c.cfg.Transport, c.cfg.Tokens, nil
	}
	c.way.mu.Lock()
	known := c.way.known
	c.way.mu.Unlock()
	if !known {
		if err := c.askService(ctx); err != nil {
			return nil, nil, err
		}
	}
	c.way.mu.Lock()
	defer c.way.mu.Unlock()
	if c.way.tokens == nil {
		return c.way.to, c.cfg.Tokens, nil
	}
	return c.way.to, c.way.tokens, nil
}

// roundTrip sends a request the way that the service says.
func (c *Client) roundTrip(ctx context.Context, r *Request) (*Response, error) {
	to, _, err := c.ways(ctx)
	if err != nil {
		return nil, err
	}
	return to.RoundTrip(ctx, r)
}

// checkRelay compares the relay that the service offers with those that the release
// names. A service that could name one for each person could name its own.
func (c *Client) checkRelay(m release.Manifest) error {
	if c.cfg.Through == nil || len(m.Relays) == 0 {
		return nil
	}
	s := c.Service()
	if s.Relay == nil || !slices.Contains(m.Relays, s.Relay.URL) {
		return ErrRelay
	}
	return nil
}

// broke is a wallet that could not be opened.
type broke struct{ err error }

func (b broke) Take(context.Context) (Ticket, error) { return nil, b.err }

// purse is a wallet as Tokens.
type purse struct{ *wallet.Wallet }

// Take implements [Tokens].
func (p purse) Take(ctx context.Context) (Ticket, error) {
	t, err := p.Wallet.Take(ctx)
	if err != nil {
		return nil, err // and not a nil *wallet.Ticket
	}
	return t, nil
}
