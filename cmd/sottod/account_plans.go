// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/account"
	"github.com/sotto-chat/sotto/store"
)

// planCommands are what an operator does with plans, on the server's own machine
// and while the server runs.
var planCommands = map[string]func(ctx context.Context, args []string, stdout, stderr io.Writer) error{
	"grant":   accountGrant,
	"voucher": accountVoucher,
	"plans":   accountPlans,
}

// planFlags makes the flag set of a command, with the flag that all of them have.
func planFlags(name string, stderr io.Writer) (*flag.FlagSet, func(context.Context) (*store.DB, error)) {
	fs := flag.NewFlagSet("sottod account "+name, flag.ContinueOnError)
	fs.SetOutput(stderr)
	data := fs.String("data", "", "the account server's data `folder` (default: sotto in the user's data folder)")
	return fs, func(ctx context.Context) (*store.DB, error) {
		dir, err := dataFolder(*data)
		if err != nil {
			return nil, err
		}
		file := filepath.Join(dir, "sotto.db")
		if _, err := os.Stat(file); err != nil {
			return nil, fmt.Errorf("there are no accounts in %s: name the server's folder with -data", dir)
		}
		return store.Open(ctx, file)
	}
}

// accountGrant gives an account days of a plan, or takes them away.
func accountGrant(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs, open := planFlags("grant", stderr)
	whose := fs.String("account", "", "the account's `id`, 32 digits, which its owner finds in the settings or with sotto plan")
	plan := fs.String("plan", "member", "`member`, or free to take away what was granted")
	days := fs.Int("days", 0, "how many days, after those that were granted before")
	if err := parse(fs, args, stderr); err != nil {
		return err
	}
	id, err := account.ParseID(*whose)
	if err != nil {
		return fmt.Errorf("-account %q is not an account's id: it has 32 digits and letters from a to f", *whose)
	}
	switch {
	case *plan != "member" && *plan != "free":
		return fmt.Errorf("-plan %q: there are member and free", *plan)
	case *plan == "member" && (*days < 1 || *days > 3650):
		return errors.New("-days is missing: say how many, from 1 to 3650")
	case *plan == "free" && *days != 0:
		return errors.New("-plan free takes away what was granted, at once: leave -days out")
	}
	db, err := open(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	if *plan == "free" {
		err := db.Revoke(ctx, id)
		if errors.Is(err, store.ErrNotFound) {
			return errors.New("nothing was granted to this account")
		}
		if err == nil {
			fmt.Fprintln(stdout, "free")
		}
		return err
	}
	until, err := db.Grant(ctx, id, *days, store.DayOf(time.Now()))
	if errors.Is(err, store.ErrNotFound) {
		return errors.New("there is no such account here: compare the id with what its owner sees")
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "member until %v\n", until)
	return nil
}

// accountVoucher makes codes and prints them, one a line. They are kept as hashes,
// so this is the only time that they can be read.
func accountVoucher(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs, open := planFlags("voucher", stderr)
	n := fs.Int("n", 1, "how many codes")
	days := fs.Int("days", 30, "how many days of the member's plan each pays for")
	if err := parse(fs, args, stderr); err != nil {
		return err
	}
	if *n < 1 || *n > 10_000 {
		return errors.New("-n is out of range: make 1 to 10000 codes at a time")
	}
	if *days < 1 || *days > account.MaxVoucherDays {
		return fmt.Errorf("-days is out of range: a code pays for 1 to %d days", account.MaxVoucherDays)
	}
	db, err := open(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	codes, kept := make([]account.Voucher, *n), make([]store.Voucher, *n)
	expires := store.DayOf(time.Now()) + account.VoucherLife
	for i := range codes {
		codes[i] = account.NewVoucher()
		kept[i] = store.Voucher{Hash: codes[i].Hash(), Days: *days, Expires: expires}
	}
	if err := db.AddVouchers(ctx, kept); err != nil {
		return err
	}
	for _, c := range codes {
		fmt.Fprintln(stdout, c.Code())
	}
	fmt.Fprintf(stderr, "sottod: each pays for %d days, once, until %v; they are not shown again\n", *days, expires)
	return nil
}

// accountPlans prints how many accounts there are by plan, and nothing of any one.
func accountPlans(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs, open := planFlags("plans", stderr)
	if err := parse(fs, args, stderr); err != nil {
		return err
	}
	db, err := open(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	c, err := db.CountPlans(ctx, store.DayOf(time.Now()))
	if err != nil {
		return err
	}
	for _, row := range []struct {
		n    int
		what string
	}{
		{c.Accounts, "accounts"},
		{c.Accounts - c.Card - c.Granted, "with the free plan"},
		{c.Card, "members by card"},
		{c.Ending, "of them cancelled, and paid for a while"},
		{c.Failed, "of them with a card that was refused"},
		{c.Granted, "members by grant or voucher"},
		{c.Vouchers, "vouchers not yet used"},
		{c.Issued, "tokens signed for today"},
	} {
		fmt.Fprintf(stdout, "%8d %s\n", row.n, row.what)
	}
	return nil
}

// stripeFlags adds the flags of payment by card. A key is never a flag's value, which
// every program on the machine could read.
func stripeFlags(fs *flag.FlagSet) func() (*account.Billing, error) {
	keyFile := fs.String("stripe-key-file", "", "`file` with Stripe's secret key; or the environment variable SOTTO_STRIPE_KEY. Without one no cards are taken")
	webhookFile := fs.String("stripe-webhook-file", "", "`file` with the signing secret of the webhook ORIGIN/api/v1/stripe/webhook; or SOTTO_STRIPE_WEBHOOK")
	cents := fs.Int64("stripe-cents", 3500, "the member's plan for a month, in US `cents`")
	at := fs.String("stripe-url", "", "`URL` of another server that speaks for Stripe, such as stripe-mock")
	return func() (*account.Billing, error) {
		key, err := secretFrom(*keyFile, "SOTTO_STRIPE_KEY")
		if err != nil {
			return nil, err
		}
		webhook, err := secretFrom(*webhookFile, "SOTTO_STRIPE_WEBHOOK")
		if err != nil {
			return nil, err
		}
		switch {
		case key == "" && webhook == "":
			return nil, nil
		case key == "":
			return nil, errors.New("there is a signing secret for Stripe's webhook and no key: name its file with -stripe-key-file")
		case webhook == "":
			return nil, errors.New("there is a Stripe key and no signing secret for its webhook, without which nobody learns that somebody has paid: name its file with -stripe-webhook-file")
		}
		return &account.Billing{Key: key, Webhook: webhook, Cents: *cents, URL: *at}, nil
	}
}

// secretFrom reads a key from a file, or else from the environment.
func secretFrom(file, variable string) (account.Secret, error) {
	if file == "" {
		return account.Secret(strings.TrimSpace(os.Getenv(variable))), nil
	}
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return "", err
	}
	if len(bytes.TrimSpace(b)) == 0 {
		return "", fmt.Errorf("%s is empty: it should hold the key that %s would", file, variable)
	}
	return account.Secret(bytes.TrimSpace(b)), nil
}
