// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/client/nethttp"
)

// planDoc is what the account server says of an account's plan.
type planDoc struct {
	Account     string       `json:"account"`
	Plan        string       `json:"plan"`
	Until       *string      `json:"until"`
	Source      string       `json:"source"`
	ActiveChats int          `json:"active_chats"`
	Allowance   allowanceDoc `json:"allowance"`
	Billing     bool         `json:"billing"`
	Price       string       `json:"price"`
}

// plan shows what the account may do, or redeems a voucher.
func (a *app) plan(args []string) error {
	fs := a.flags()
	server := addServerFlags(fs)
	asJSON := fs.Bool("json", false, "print the plan as JSON")
	rest, err := a.parse(fs, args)
	if err != nil {
		return err
	}
	code := ""
	switch {
	case len(rest) == 0:
	case rest[0] == "voucher" && len(rest) > 1:
		code = strings.Join(rest[1:], "")
	default:
		return usageError("“sotto plan "+strings.Join(rest, " ")+"” is not understood", "“sotto plan” shows the plan, “sotto plan voucher CODE” redeems a voucher")
	}
	d, err := loadDevice(server.url)
	if errors.Is(err, errNotLinked) {
		return a.guestPlan(server)
	}
	if err != nil {
		return err
	}
	account, err := newAccountServer(d.Server, d.Token)
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	var p planDoc
	if code != "" {
		if _, err := account.do(ctx, "POST", "plan/voucher", map[string]string{"code": code}, &p); err != nil {
			return err
		}
	} else if _, err := account.do(ctx, "GET", "plan", nil, &p); err != nil {
		return err
	}
	if *asJSON {
		return a.printJSON(p)
	}
	return a.showPlan(p)
}

func (a *app) showPlan(p planDoc) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	name := plain(p.Plan)
	if p.Until != nil {
		name += ", until " + plain(*p.Until) + " (UTC)"
	}
	fmt.Fprintf(w, "plan\t%s\n", name)
	switch al := p.Allowance; {
	case al.PerDay < 0 && al.PerHour > 0:
		fmt.Fprintf(w, "messages\tunlimited, at most %d an hour\n", al.PerHour)
	case al.PerDay < 0:
		fmt.Fprint(w, "messages\tunlimited\n")
	default:
		// Tokens that a device has and hasn't used are its own business: the server
		// knows how many it signed and not how many were spent.
		fmt.Fprintf(w, "messages\t%d a day; %d not taken by any device yet; new ones at %s, your time\n",
			al.PerDay, max(al.PerDay-al.Issued, 0), time.Unix(al.Resets, 0).Format("15:04"))
	}
	if p.ActiveChats > 0 {
		fmt.Fprintf(w, "chats\t%d active\n", p.ActiveChats)
	}
	fmt.Fprintf(w, "account\t%s\n", plain(p.Account))
	return w.Flush()
}

// guestPlan says what can be done without an account.
func (a *app) guestPlan(server *serverFlags) error {
	if _, err := nethttp.ParseBase(server.url); err != nil {
		return usageError("the server’s address "+err.Error(), "")
	}
	ctx, stop := interruptible()
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, accountTimeout)
	defer cancel()
	s, err := client.AskService(ctx, nethttp.New(server.url))
	if err != nil {
		return err
	}
	switch {
	case !s.Tokens:
		fmt.Fprintln(a.out, "This server has no plans: messages are free.")
	case s.Guests:
		fmt.Fprintln(a.out, "This terminal is not linked to an account, so it asks as a guest. “sotto login” links it.")
	default:
		return errNotLinked
	}
	return nil
}
