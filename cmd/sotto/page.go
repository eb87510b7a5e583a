// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/client/nethttp"
	"github.com/sotto-chat/sotto/cmd/sotto/internal/ownpage"
	"github.com/sotto-chat/sotto/proxy"
	"github.com/sotto-chat/sotto/web"
)

// page serves the chat app of this program's own bytes to a browser on this
// machine.
func (a *app) page(args []string) error {
	fs := a.flags()
	server := addServerFlags(fs)
	listen := fs.String("listen", "127.0.0.1:8789", "listen on the loopback `ADDR`")
	pinFile := fs.String("pin", "", "compare the page in this program with the log that `PIN`, or a policy with one, names; the one in --policy when not given")
	host, _ := os.Hostname()
	name := fs.String("name", host, "the `NAME` under which this app is listed")
	rest, err := a.parse(fs, args)
	if err != nil {
		return err
	}
	if err := a.noArgs(rest); err != nil {
		return err
	}
	base, err := nethttp.ParseBase(server.url)
	if err != nil {
		return usageError("the server’s address "+err.Error(), "it looks like https://chat.example or "+defaultServer)
	}
	if _, err := web.Files(); err != nil {
		return withHint(errors.New("this program was built without the page"), "Build it anew: make build. The terminal works without it: sotto chat")
	}
	pin, err := a.pinOf(*pinFile, server)
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	if err := a.checkOwnPage(ctx, server, pin); err != nil {
		return err
	}
	link, err := a.newPageLink(server.url, *name)
	if err != nil {
		return err
	}
	l, err := proxy.Listen(*listen)
	switch {
	case errors.Is(err, proxy.ErrNotLoopback):
		return usageError(err.Error(), "Who can reach this app can ask for the sealed history, so it must not be on a network. Listen on 127.0.0.1.")
	case err != nil:
		if _, _, split := net.SplitHostPort(*listen); split != nil {
			return usageError(err.Error(), "An address looks like 127.0.0.1:8789.")
		}
		return withHint(err, "Choose another address with -listen: 127.0.0.1:0 takes any that is free.")
	}
	key := ownpage.NewKey()
	// What follows the # stays in the browser.
	fmt.Fprintf(a.out, "http://%s/#app=%s\n", l.Addr(), key)
	a.say("open this address in a browser on this machine; it works until this program ends, and is yours alone")
	return serve(ctx, ownpage.Server(ownpage.New(ownpage.Config{
		Server: base, Page: web.Handler(), Key: key, Link: link, Relay: a.relayOf(server), Demo: server.software || onThisMachine(base),
	})), l)
}

// relayAsked is how long what a server says of its relay is believed.
const relayAsked = time.Minute

// relayOf returns a function that asks the server for its relay, now and then.
func (a *app) relayOf(s *serverFlags) func(context.Context) (*url.URL, error) {
	if s.noRelay {
		return nil
	}
	var mu sync.Mutex
	var at *url.URL
	var asked time.Time
	return func(ctx context.Context) (*url.URL, error) {
		mu.Lock()
		defer mu.Unlock()
		if time.Since(asked) < relayAsked {
			return at, nil
		}
		service, err := client.AskService(ctx, nethttp.New(s.url))
		if err != nil {
			return nil, err
		}
		at, asked = nil, time.Now()
		if service.Relay != nil {
			at, err = nethttp.ParseBase(service.Relay.URL)
		}
		return at, err
	}
}

// onThisMachine reports whether an address is of this machine, by its name.
func onThisMachine(base *url.URL) bool {
	ip := net.ParseIP(base.Hostname())
	return ip != nil && ip.IsLoopback() || base.Hostname() == "localhost"
}

// pageLink is the link of this terminal to its account, for the page: the same
// that sotto login makes.
type pageLink struct {
	app          *app
	server, name string

	mu     sync.Mutex
	device *device
	ended  bool // the server knows the session no longer
	asked  *linking
}

func (a *app) newPageLink(server, name string) (*pageLink, error) {
	d, err := loadDevice(server)
	if err != nil && !errors.Is(err, errNotLinked) {
		return nil, err
	}
	return &pageLink{app: a, server: server, name: name, device: d}, nil
}

// String hides the link.
func (*pageLink) String() string { return "[link secret]" }

// GoString hides the link from %#v.
func (p *pageLink) GoString() string { return p.String() }

func (p *pageLink) Token() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.device == nil || p.ended {
		return ""
	}
	return p.device.Token
}

func (p *pageLink) Ask(ctx context.Context) (ownpage.Offer, error) {
	l, err := p.app.askToLink(ctx, p.server, p.name)
	if err != nil {
		return ownpage.Offer{}, wordsForPage(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = l
	return ownpage.Offer{URL: l.address(), Code: l.key.Code(), Expires: l.expires}, nil
}

func (p *pageLink) Poll(ctx context.Context) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asked == nil {
		return p.device != nil && !p.ended, nil
	}
	d, err := p.app.pollLink(ctx, p.asked)
	switch {
	case err != nil:
		p.asked = nil
		return false, wordsForPage(err)
	case d == nil:
		return false, nil
	}
	// What is kept of another account must not be taken for this one's.
	if p.device != nil && p.device.Account != d.Account {
		if err := p.device.forget(); err != nil {
			return false, wordsForPage(err)
		}
	}
	if err := d.save(); err != nil {
		return false, wordsForPage(err)
	}
	p.device, p.ended, p.asked = d, false, nil
	return true, nil
}

func (p *pageLink) Open() (ownpage.Opening, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.device == nil {
		return ownpage.Opening{}, wordsForPage(errNotLinked)
	}
	root, err := p.device.root()
	if err != nil {
		return ownpage.Opening{}, wordsForPage(err)
	}
	defer root.Erase()
	o, err := ownpage.NewOpening(root, p.device.Account)
	if err != nil {
		return ownpage.Opening{}, wordsForPage(err)
	}
	return o, nil
}

func (p *pageLink) Ended() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
}

func (p *pageLink) Forget() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.device == nil {
		return nil
	}
	d := p.device
	p.device, p.ended = nil, false
	return d.forget()
}

// wordsForPage says on the page what a terminal would say.
func wordsForPage(err error) error {
	text, _, _ := words(err)
	if errors.Is(err, errLinkLate) {
		text = "The address was not opened in time. Try again."
	}
	return &ownpage.Error{Code: "app_link_failed", Message: text}
}
