// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package account

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/sotto-chat/sotto/internal/lines"
	"github.com/sotto-chat/sotto/store"
	"github.com/sotto-chat/sotto/token"
	"github.com/sotto-chat/sotto/vault"
)

// Plans. docs/plans.md has them for people.
const (
	planFree   = "free"
	planMember = "member"
	planGuest  = "guest" // no account at all

	// freePerDay is how many messages a day the free plan has.
	freePerDay = 20
	// freeChats is how many chats may be active in the free plan. Devices keep to
	// it: a chat is nothing that this server knows.
	freeChats = 5
	// memberPerHour is the fair use of the member's plan, in tokens an hour.
	memberPerHour = 200
)

// Tokens says which tokens the server signs: see package token.
type Tokens struct {
	// Issuer is the issuer's name, such as "tokens.sotto.example".
	Issuer string
	// Product is what the tokens pay for; "sotto" by default.
	Product string
}

// Relay is the relay that clients are told of, which hides their address from the
// gateway. They use it only if the release in the public log has it too.
type Relay struct {
	URL      string `json:"url"`      // such as "https://relay.example/"
	Operator string `json:"operator"` // who runs it, for people
}

// check completes and checks what has to do with plans.
func (c *Config) check() error {
	if t := c.Tokens; t != nil {
		if t.Product == "" {
			c.Tokens = &Tokens{t.Issuer, "sotto"}
		}
		if err := c.challenge().Check(); err != nil {
			return fmt.Errorf("account: %w", err)
		}
	}
	if c.Guests < 0 || c.Guests > 1000 {
		return fmt.Errorf("account: %d tokens a day for guests: want 0 to 1000", c.Guests)
	}
	if c.Guests > 0 && c.Tokens == nil {
		return errors.New("account: guests need tokens, which are what is counted of them")
	}
	if r := c.Relay; r != nil {
		if u, err := url.Parse(r.URL); err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
			return fmt.Errorf("account: the relay's address %q is not a URL such as https://relay.example/", r.URL)
		}
		if r.Operator == "" {
			return errors.New("account: a relay hides addresses only if somebody else runs it: name who does")
		}
	}
	return nil
}

func (c *Config) challenge() token.Challenge {
	return token.Challenge{Issuer: c.Tokens.Issuer, Product: c.Tokens.Product}
}

// ParseID reads an account's id as its owner sees it, 32 hexadecimal digits.
func ParseID(s string) (vault.AccountID, error) {
	var id vault.AccountID
	err := id.UnmarshalText([]byte(s))
	return id, err
}

// serviceInfo is what the service says of itself to everybody.
type serviceInfo struct {
	V       int    `json:"v"`
	Relay   *Relay `json:"relay"`
	Tokens  bool   `json:"tokens"`
	Guests  bool   `json:"guests"`
	Product string `json:"product"`
	Issuer  string `json:"issuer"`
	Billing bool   `json:"billing"`
	Price   string `json:"price"`
}

func (s *Server) getService(*http.Request) (any, error) {
	info := serviceInfo{V: 1, Relay: s.relay, Guests: s.guests != nil, Billing: s.billing != nil}
	if s.tokens != nil {
		info.Tokens, info.Issuer, info.Product = true, s.tokens.Issuer, s.tokens.Product
	}
	if s.billing != nil {
		info.Price = s.billing.price()
	}
	return info, nil
}

// Allowance is what a plan gives for a day, and what is left of it.
type Allowance struct {
	Plan    string `json:"plan"`
	PerDay  int    `json:"per_day"` // -1: any number
	Issued  int    `json:"issued"`
	PerHour int    `json:"per_hour"` // fair use; 0: no bound
	Resets  int64  `json:"resets"`   // when there is more, in unix seconds
}

// planOn returns the name of the plan that an account has on a day.
func planOn(p store.Plan, day store.Day) string {
	if p.Until() >= day {
		return planMember
	}
	return planFree
}

// allowanceOf returns what a plan gives for a day.
func allowanceOf(plan string, day token.Day, issued int) Allowance {
	a := Allowance{Plan: plan, PerDay: freePerDay, Issued: issued, Resets: (day + 1).Start().Unix()}
	if plan == planMember {
		a.PerDay, a.PerHour = -1, memberPerHour
	}
	return a
}

// planInfo is an account's plan as its owner sees it.
type planInfo struct {
	Account     vault.AccountID `json:"account"`
	Plan        string          `json:"plan"`
	Until       *store.Day      `json:"until"`        // the last day that is paid; null: none
	Source      string          `json:"source"`       // "card", "granted"; "" in the free plan
	Card        string          `json:"card"`         // "", "active", "ending", "failed"
	ActiveChats int             `json:"active_chats"` // 0: any number
	Allowance   Allowance       `json:"allowance"`
	Billing     bool            `json:"billing"`
	Price       string          `json:"price"`
}

func (s *Server) getPlan(r *http.Request, session store.Session) (any, error) {
	return s.planInfo(r.Context(), session.Account)
}

func (s *Server) planInfo(ctx context.Context, account vault.AccountID) (planInfo, error) {
	p, err := s.store.Plan(ctx, account)
	if err != nil {
		return planInfo{}, err
	}
	today := s.today()
	n, err := s.store.Issued(ctx, account, today)
	if err != nil {
		return planInfo{}, err
	}
	name := planOn(p, today)
	info := planInfo{Account: account, Plan: name, Card: p.State, Allowance: allowanceOf(name, token.Day(today), n)}
	if s.tokens == nil {
		// Nothing is counted, so nothing can be used up.
		info.Allowance.PerDay, info.Allowance.PerHour = -1, 0
	}
	switch until := p.Until(); {
	case name == planFree:
		info.ActiveChats = freeChats
	case until == p.Card:
		info.Until, info.Source = &until, store.Card
	default:
		info.Until, info.Source = &until, store.Granted
	}
	if s.billing != nil {
		info.Billing, info.Price = true, s.billing.price()
	}
	return info, nil
}

// housekeeping is how often Run looks whether something is to be made or erased.
const housekeeping = 10 * time.Minute

// Run makes the keys that tokens are signed with a day ahead, erases what is of
// days that are over, and cancels at Stripe what accounts that are gone left
// there, until ctx ends. Without it the server does so only when somebody asks.
func (s *Server) Run(ctx context.Context) error {
	tick := time.NewTicker(housekeeping)
	defer tick.Stop()
	for {
		if err := s.keepHouse(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("account: keys of days can't be made or erased", lines.Cause(err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (s *Server) keepHouse(ctx context.Context) error {
	var errs []error
	if s.tokens != nil {
		today := token.DayOf(s.now())
		for _, day := range []token.Day{today, today + 1} {
			if _, err := s.keys.of(ctx, day); err != nil {
				errs = append(errs, err)
			}
		}
	}
	errs = append(errs, s.endDays(ctx))
	if s.billing != nil {
		errs = append(errs, s.sayFarewells(ctx))
	}
	return errors.Join(errs...)
}

// endDays erases what is of days whose tokens are good no more.
func (s *Server) endDays(ctx context.Context) error {
	before := store.DayOf(s.now().Add(-token.Late))
	s.keys.end(token.Day(before))
	s.guests.end(token.Day(before))
	return s.store.EndDays(ctx, before)
}
