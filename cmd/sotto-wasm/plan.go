// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/vault"
)

// planState is what the core knows of what a person may do here, and of who sees
// where they are.
type planState struct {
	service client.Service // V is 0 until the service has said what it is
	account planAccount
	left    int   // messages left today; leftUnlimited, leftUnknown
	resets  int64 // Unix seconds: when new ones come
	again   int64 // Unix seconds: when fair use lets on; 0
	relayed error // why the relay can't be used; nil
	problem error // why tokens can't be had; nil
}

// What planState.left says besides a number.
const (
	leftUnlimited = -1
	leftUnknown   = -2
)

// planAccount is what the account server says of the account's plan: GET
// /api/v1/plan.
type planAccount struct {
	Account   string         `json:"account"` // what a person quotes when they ask for help
	Plan      string         `json:"plan"`
	Until     string         `json:"until"`        // the last day that is paid, as 2026-12-14
	Card      string         `json:"card"`         // "", "active", "ending", "failed"
	Chats     int            `json:"active_chats"` // 0: any number
	Allowance issueAllowance `json:"allowance"`
}

// issueAllowance is what the account server says of a plan's day.
type issueAllowance struct {
	Plan    string `json:"plan"`
	PerDay  int    `json:"per_day"` // messages; -1: any number
	Issued  int    `json:"issued"`
	PerHour int    `json:"per_hour"` // fair use; 0: any number
	Resets  int64  `json:"resets"`   // Unix seconds
}

// planDoc is Plan of web/src/core/protocol.ts. Times are in milliseconds.
type planDoc struct {
	Tokens  bool       `json:"tokens"`
	Billing bool       `json:"billing"`
	Price   string     `json:"price"`
	Plan    string     `json:"plan"`
	PerDay  int        `json:"perDay"`
	PerHour int        `json:"perHour"`
	Left    int        `json:"left"`
	Resets  int64      `json:"resets"`
	Again   int64      `json:"again"`
	Chats   int        `json:"chats"`
	Until   string     `json:"until"`
	Account string     `json:"account"`
	Card    string     `json:"card"`
	Known   bool       `json:"known"` // the service has said what it is
	Relay   *relayDoc  `json:"relay"`
	Error   *coreError `json:"error"` // why tokens can't be had
}

// relayDoc is Relay of web/src/core/protocol.ts.
type relayDoc struct {
	Host     string     `json:"host"`
	Operator string     `json:"operator"`
	Local    bool       `json:"local"` // it runs on this machine, as in a demo
	Error    *coreError `json:"error"` // why it can't be used
}

// planDoc writes what is known for the page. c.mu is held.
func (c *core) planDoc() planDoc {
	p := &c.plan
	d := planDoc{
		Plan: p.account.Plan, PerDay: p.account.Allowance.PerDay, PerHour: p.account.Allowance.PerHour, Left: p.left,
		Resets: p.resets * 1000, Chats: p.account.Chats, Until: p.account.Until, Account: p.account.Account, Card: p.account.Card,
	}
	if p.again > time.Now().Unix() {
		d.Again = p.again * 1000
	}
	if p.problem != nil {
		d.Error = explain(p.problem)
	}
	s := p.service
	if s.V == 0 {
		return d
	}
	d.Known, d.Tokens, d.Billing, d.Price = true, s.Tokens, s.Billing, s.Price
	if s.Relay != nil {
		d.Relay = &relayDoc{Host: s.Relay.URL, Operator: s.Relay.Operator}
		if _, host := splitRelay(s.Relay.URL); host != "" {
			d.Relay.Host, d.Relay.Local = host, isLoopback(host)
		}
		if p.relayed != nil {
			d.Relay.Error = explain(p.relayed)
		}
	}
	return d
}

// emitPlan tells the page. c.mu is held.
func (c *core) emitPlan() {
	c.host.emit(map[string]any{"t": "plan", "plan": c.planDoc()})
}

// serviceIs takes what the service says of itself. c.mu is held.
func (c *core) serviceIs(s client.Service, err error) {
	p := &c.plan
	before := p.service
	p.service, p.relayed = s, nil
	if s.Relay != nil {
		p.relayed = err
	}
	c.emitPlan()
	if s.Tokens && !before.Tokens && c.vault != nil {
		go c.learnPlan()
	}
}

// getPlan asks anew what the account may do, and returns it.
func (c *core) getPlan(ctx context.Context) (planDoc, error) {
	c.mu.Lock()
	s, open := c.plan.service, c.vault != nil
	c.mu.Unlock()
	if s.V == 0 {
		var err error
		if s, err = client.AskService(ctx, c.host); err != nil {
			return planDoc{}, err
		}
	}
	var a planAccount
	if s.Tokens && open {
		text, err := c.host.api("GET", "plan", "")
		if err != nil {
			return planDoc{}, err
		}
		if json.Unmarshal([]byte(text), &a) != nil {
			return planDoc{}, errPlan
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p := &c.plan
	p.service = s
	if changed := p.account.Plan != a.Plan; s.Tokens && open {
		p.account = a
		// How many are left, the wallet knows better: it has some of them.
		if w := c.trust.client.Wallet(); w == nil {
			p.takeAllowance(a.Allowance)
		} else if changed {
			go w.Refresh()
		}
	}
	c.emitPlan()
	return c.planDoc(), nil
}

// takeAllowance takes what the account server says of today.
func (p *planState) takeAllowance(a issueAllowance) {
	p.left, p.resets = leftUnlimited, a.Resets
	if a.PerDay >= 0 {
		p.left = max(0, a.PerDay-a.Issued)
	}
}

// learnPlan asks what the account may do, and opens the wallet. Where nobody
// answers, the next opening asks again, and so does the page.
func (c *core) learnPlan() {
	c.getPlan(context.Background())
	c.mu.Lock()
	cl := c.trust.client
	c.mu.Unlock()
	cl.OpenWallet() // it says to the first message why it can't be
}

// ------------------------------------------------------------- limits

// mayPay says whether a message can be paid for now. What can't be known, the
// account server says when it is asked. c.mu is held.
func (c *core) mayPay() error {
	p := &c.plan
	if !p.service.Tokens {
		return nil
	}
	now := time.Now().Unix()
	switch {
	case p.again > now:
		return fairUse(p.again - now)
	case p.left == 0 && (p.resets == 0 || p.resets > now):
		return errUsed
	}
	return nil
}

// fairUse is the error of a member who is faster than the plan's burst allows.
func fairUse(seconds int64) *coreError {
	n, unit := (seconds+59)/60, " minutes."
	if n == 1 {
		unit = " minute."
	}
	return &coreError{"fair_use", "You are sending faster than fair use allows. Try again in " + strconv.FormatInt(n, 10) + unit}
}

// active returns the chats that are not archived, last used first. c.mu is held.
func (c *core) active() []vault.Chat {
	list := c.vault.replica.Chats()
	n := 0
	for _, chat := range list {
		if chat.Archived {
			continue
		}
		list[n] = chat
		n++
	}
	list = list[:n]
	sort.SliceStable(list, func(i, j int) bool { return list[i].Updated > list[j].Updated })
	return list
}

// through is [client.Config.Through]. A relay is somebody else's server, so that what
// goes there is sealed on its way once more; only a demo's is on this machine.
func (c *core) through(relay string) (client.Transport, error) {
	scheme, host := splitRelay(relay)
	if host == "" || scheme != "https" && !(scheme == "http" && isLoopback(host)) {
		return nil, client.ErrRelay
	}
	return c.host.through(strings.TrimSuffix(relay, "/")), nil
}

// splitRelay returns the scheme and the host with its port of a relay's address; ""
// if it isn't a plain one. Package net/url would be a hundredth of the core.
func splitRelay(address string) (scheme, host string) {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok || strings.ContainsAny(address, "?#@\\ \t\r\n") {
		return "", ""
	}
	host, _, _ = strings.Cut(rest, "/")
	return scheme, host
}

// isLoopback says whether a host, which may have a port, is this machine.
func isLoopback(host string) bool {
	name, _, _ := strings.Cut(host, ":")
	return name == "localhost" || name == "127.0.0.1" || strings.HasPrefix(host, "[::1]")
}

// activate takes a chat that is written in out of the archive, where active chats
// are counted.
func (c *core) activate(chat vault.Chat) error {
	c.mu.Lock()
	limit := c.plan.account.Chats
	c.mu.Unlock()
	if limit <= 0 || !chat.Archived {
		return nil
	}
	_, err := c.archive(context.Background(), switchArgs{Chat: chat.ID})
	return err
}

// mayWrite says whether a chat may be written in. Where a plan has a limit of
// active chats, those are active that are not archived; if another device has
// made more of them, the last used ones are. An account server can't count chats:
// they are sealed. c.mu is held.
func (c *core) mayWrite(id string) error {
	limit := c.plan.account.Chats
	if _, temporary := c.chats.temp[id]; limit <= 0 || temporary || c.vault == nil {
		return nil
	}
	list := c.active()
	for i := range list[:min(limit, len(list))] {
		if list[i].ID == id {
			return nil
		}
	}
	// Fewer than the limit: this is another one, new or archived.
	if len(list) < limit {
		return nil
	}
	names := ""
	for i := range list[:limit] {
		if i > 0 {
			names += ", "
		}
		names += "“" + c.summary(list[i]).Title + "”"
	}
	return &coreError{"chats_full", "Your plan has " + strconv.Itoa(limit) + " active chats: " + names + ". Archive one of them to write here; an archived chat stays readable."}
}
