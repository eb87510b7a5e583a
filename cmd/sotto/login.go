// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/sotto-chat/sotto/vault"
)

// pollEvery is how often a terminal asks whether it has been approved.
const pollEvery = 2 * time.Second

// login links this terminal to an account: it shows an address, which the
// person opens where they are signed in, and waits.
func (a *app) login(args []string) error {
	fs := a.flags()
	server := addServerFlags(fs)
	host, _ := os.Hostname()
	name := fs.String("name", host, "the `NAME` under which this terminal is listed")
	rest, err := a.parse(fs, args)
	if err != nil {
		return err
	}
	if err := a.noArgs(rest); err != nil {
		return err
	}
	switch d, err := loadDevice(server.url); {
	case err == nil:
		return withHint(fmt.Errorf("this terminal is linked to an account at %s already", d.Server), "To link another one, first: sotto logout.")
	case !errors.Is(err, errNotLinked):
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	d, err := a.link(ctx, server.url, *name)
	if err != nil {
		return err
	}
	if err := d.save(); err != nil {
		return withHint(err, "Set SOTTO_CONFIG_DIR to a folder that you can write to, then log in again.")
	}
	a.say("linked; from now on, chats are saved in your sealed history")
	return nil
}

// link goes through the ceremony that vault.DeviceKey describes.
func (a *app) link(ctx context.Context, server, name string) (*device, error) {
	l, err := a.askToLink(ctx, server, name)
	if err != nil {
		return nil, err
	}
	fmt.Fprintln(a.out, l.address())
	a.say("open this address in a browser where you are signed in, and approve this terminal")
	a.say("the page shows the code %s; if it shows another, it is not this terminal that asks", l.key.Code())
	a.say("the address works once, and only for the next ten minutes; show it to nobody")
	for {
		if d, err := a.pollLink(ctx, l); d != nil || err != nil {
			return d, err
		}
		select {
		case <-time.After(pollEvery):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// linking is a wish to be linked that waits to be approved. It holds secrets.
type linking struct {
	server  string
	account *accountServer
	key     vault.DeviceKey
	id      vault.RecordID
	poll    []byte
	expires int64 // Unix seconds
}

// String hides the link.
func (*linking) String() string { return "[link secret]" }

// GoString hides the link from %#v.
func (l *linking) GoString() string { return l.String() }

// LogValue hides the link from slog.
func (l *linking) LogValue() slog.Value { return slog.StringValue(l.String()) }

// address is what the person opens. What follows the # never leaves the browser:
// the server can't read it.
func (l *linking) address() string {
	return fmt.Sprintf("%s/link/%s#%s", l.account.base, l.id, l.key.LinkSecret())
}

// askToLink tells the server that this terminal wants to be linked.
func (a *app) askToLink(ctx context.Context, server, name string) (*linking, error) {
	acct, err := newAccountServer(server, "")
	if err != nil {
		return nil, err
	}
	key, err := vault.NewDeviceKey()
	if err != nil {
		return nil, err
	}
	var link struct {
		ID         vault.RecordID `json:"id"`
		PollSecret []byte         `json:"poll_secret"`
		Expires    int64          `json:"expires"`
	}
	if _, err := acct.do(ctx, "POST", "links", map[string]any{"public_key": key.Offer(name)}, &link); err != nil {
		return nil, err
	}
	return &linking{server, acct, key, link.ID, link.PollSecret, link.Expires}, nil
}

// pollLink asks whether l was approved; nil while it was not.
func (a *app) pollLink(ctx context.Context, l *linking) (*device, error) {
	var approved struct {
		Status  string          `json:"status"`
		Account vault.AccountID `json:"account"`
		Token   string          `json:"token"`
		Wrap    vault.Wrap      `json:"wrap"`
	}
	status, err := l.account.do(ctx, "POST", "links/"+l.id.String()+"/poll", map[string]any{"poll_secret": l.poll}, &approved)
	var refused *accountError
	switch {
	case errors.As(err, &refused) && refused.Code == "link_unknown":
		return nil, withHint(errLinkLate, "Try again: sotto login.")
	case err != nil:
		return nil, err
	case status != http.StatusOK:
		return nil, nil
	}
	return a.linked(l.server, l.key, approved.Account, approved.Token, approved.Wrap)
}

var errLinkLate = errors.New("the address was not opened in time")

// linked checks what an approving device left, before anything is believed.
func (a *app) linked(server string, key vault.DeviceKey, account vault.AccountID, token string, wrap vault.Wrap) (*device, error) {
	secret, err := key.Bytes()
	if err != nil {
		return nil, err
	}
	dir, err := deviceDir(server)
	if err != nil {
		return nil, err
	}
	d := &device{V: 1, Server: server, Account: account, Device: vault.NewDeviceID(), Token: token, Key: secret, Wrap: wrap, dir: dir}
	if _, err := d.root(); err != nil {
		return nil, withHint(errors.New("what the server handed over was not made by the device that you approved with"),
			"Don’t use this server until whoever runs it explains why.")
	}
	return d, nil
}

// logout ends this terminal's link and removes what it keeps.
func (a *app) logout(args []string) error {
	fs := a.flags()
	server := addServerFlags(fs)
	rest, err := a.parse(fs, args)
	if err != nil {
		return err
	}
	if err := a.noArgs(rest); err != nil {
		return err
	}
	d, err := loadDevice(server.url)
	if errors.Is(err, errNotLinked) {
		a.say("%s", err)
		return nil
	}
	if err != nil {
		return err
	}
	if puts, err := d.readPending(); err == nil && len(puts) > 0 {
		return withHint(errors.New("the newest messages have not reached the server yet"),
			"Run “sotto history list” when it can be reached, then log out.")
	}
	ctx, stop := interruptible()
	defer stop()
	acct, err := newAccountServer(d.Server, d.Token)
	if err != nil {
		return err
	}
	if _, err := acct.do(ctx, "POST", "signout", nil, nil); err != nil && !errors.Is(err, errSignedOut) {
		a.exit(err)
		a.say("the server still lists this terminal; remove it in the settings, under Devices")
	}
	if err := d.forget(); err != nil {
		return withHint(err, "")
	}
	a.say("no longer linked; what this terminal kept is deleted")
	return nil
}
