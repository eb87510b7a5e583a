// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"sync"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/release"
	"github.com/sotto-chat/sotto/seal/envelope"
	"github.com/sotto-chat/sotto/token"
	"github.com/sotto-chat/sotto/token/wallet"
)

// DefaultRecipients is how many nodes a request is sealed to.
const DefaultRecipients = 3

// A Config says which service to talk to and what to accept of it. Transport
// is needed; everything else has a default.
type Config struct {
	// Transport carries the bytes; package client/nethttp has one.
	Transport Transport
	// Policy is what a machine must prove. The zero Policy is the strict one.
	Policy attest.Policy
	// Platforms are the kinds of hardware this program can judge. With none,
	// no machine can prove itself.
	Platforms []attest.Platform
	// Recipients is how many verified nodes each request is sealed to, at most
	// envelope.MaxRecipients; 0 means DefaultRecipients. More means that the
	// gateway finds an idle one more easily, fewer that fewer could read it.
	Recipients int
	// Seen lists the releases that this person has talked to before. With any,
	// another release puts the client into StateChanged until Seen is called.
	Seen []string
	// OnSeen is called, like OnStatus, with what to give as Seen to the next run.
	// May be nil.
	OnSeen func(releases []string)
	// LogSeen is what [Config.OnLogSeen] was last given, in an earlier run: how far
	// the public log was seen. Without it, a log that went back isn't noticed.
	LogSeen []byte
	// OnLogSeen is called, like OnStatus, with what to give as LogSeen to the next
	// run. It holds no secret. May be nil.
	OnLogSeen func([]byte)
	// Service is what [Config.OnService] was last given, in an earlier run, for when
	// the service can't be asked; nil if there was none.
	Service *Service
	// OnService is called with what to give as Service to the next run, when that has
	// changed. It must not call the client back. May be nil.
	OnService func(Service)
	// Through returns a Transport that reaches a relay at its address; see
	// [NewOblivious]. With it, the client asks the service for its relay, and goes
	// through the one that the service names. Without it everything goes over
	// Transport, and the service sees the address.
	Through func(relay string) (Transport, error)
	// Wallet opens the wallet for a service that takes tokens. With it, the client
	// asks the service whether it does. keys are a day's keys, from the key log. The
	// client runs the wallet until Close.
	Wallet func(s Service, keys func(context.Context, token.Day) (wallet.DayKeys, error)) (*wallet.Wallet, error)
	// Listed has the client look at the machines that the service lists, and not draw
	// any from the key log: for whoever looks at all of them.
	Listed bool
	// Tokens are what messages are paid with instead of a Wallet. May be nil.
	Tokens Tokens
	// Page says, at each check, what is known of the page that shows it: parts of
	// the row "page". May be nil, where there is no page.
	Page func() []attest.Check
	// OnStatus is called after each change of Status, from any goroutine, not
	// from several at once. It must not call the client back. May be nil.
	OnStatus func(Status)
	// Now replaces the clock; nil means time.Now.
	Now func() time.Time
}

// A Client talks to one service. It is safe for use by several goroutines, and
// needs Close at the end.
type Client struct {
	cfg    Config
	way    way
	ring   keyring
	pin    *release.Pin // of the policy; nil if it has none
	pinErr error        // why it can't be used

	// life ends with Close; background work (refreshing, padding tails,
	// cancelling) hangs on it and is counted in work.
	life context.Context
	end  context.CancelFunc
	work sync.WaitGroup

	announceMu sync.Mutex
	preparing  sync.Mutex
	begun      sync.Once // the first check that found machines
}

// New returns a client. It makes no request: the first check is made by
// [Client.Verify] or by the first message.
func New(cfg Config) *Client {
	if cfg.Transport == nil {
		panic("client: Config.Transport is nil")
	}
	if cfg.Recipients <= 0 {
		cfg.Recipients = DefaultRecipients
	}
	cfg.Recipients = min(cfg.Recipients, envelope.MaxRecipients)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	c := &Client{cfg: cfg}
	c.pin, c.pinErr = readPin(cfg.Policy)
	c.ring.logSeen, c.ring.keysSeen = readSeen(cfg.LogSeen)
	c.life, c.end = context.WithCancel(context.Background())
	c.ring.wanted = make(map[string]int)
	c.ring.seen = make(map[string]bool)
	for _, r := range cfg.Seen {
		c.ring.seen[r] = true
	}
	return c
}

// closeGrace is how long Close lets finished answers run out.
const closeGrace = 3 * time.Second

// Close ends the background work. It first waits up to three seconds for the
// padding after finished answers, which hides how long they were, and for
// cancellations on their way; [Client.CloseNow] doesn't.
func (c *Client) Close() error {
	c.ring.stop()
	done := make(chan struct{})
	go func() { c.work.Wait(); close(done) }()
	t := time.NewTimer(closeGrace)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	}
	return c.CloseNow()
}

// CloseNow ends the background work at once. Answers still being read fail.
func (c *Client) CloseNow() error {
	c.ring.stop()
	c.end()
	return nil
}

// announce tells OnStatus; never with a lock of the keyring held.
func (c *Client) announce(s Status) {
	if c.cfg.OnStatus == nil {
		return
	}
	c.announceMu.Lock()
	defer c.announceMu.Unlock()
	c.cfg.OnStatus(s)
}
