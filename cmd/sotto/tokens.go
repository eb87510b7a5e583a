// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/client/nethttp"
	"github.com/sotto-chat/sotto/internal/durable"
	"github.com/sotto-chat/sotto/token"
	"github.com/sotto-chat/sotto/token/wallet"
)

// through reaches a relay. Its connections are its own, so that nothing joins them
// to those that go to the server.
func through(relay string) (client.Transport, error) {
	if _, err := nethttp.ParseBase(relay); err != nil {
		return nil, err
	}
	return nethttp.New(relay), nil
}

// allowanceDoc is what the account server says of a plan's day.
type allowanceDoc struct {
	Plan    string `json:"plan"`
	PerDay  int    `json:"per_day"`
	Issued  int    `json:"issued"`
	PerHour int    `json:"per_hour"`
	Resets  int64  `json:"resets"`
}

func (a allowanceDoc) allowance() wallet.Allowance {
	return wallet.Allowance{Plan: a.Plan, PerDay: a.PerDay, Issued: a.Issued, PerHour: a.PerHour, Resets: a.Resets}
}

// openWallet opens a wallet of this terminal for the server: that of its account, or
// where it has none, a guest's.
func (a *app) openWallet(server string, s client.Service, keys func(context.Context, token.Day) (wallet.DayKeys, error)) (*wallet.Wallet, error) {
	d, err := loadDevice(server)
	if err != nil && !errors.Is(err, errNotLinked) {
		return nil, err
	}
	route, session, owner := "guest/tokens", "", "guest"
	if d != nil {
		route, session, owner = "tokens", d.Token, d.Account.String()
	}
	if d == nil && !s.Guests {
		route = "" // the first message says what to do
	}
	account, err := newAccountServer(server, session)
	if err != nil {
		return nil, err
	}
	dir, err := deviceDir(server)
	if err != nil {
		return nil, err
	}
	dir = filepath.Join(dir, "tokens")
	secret, err := walletSecret(dir)
	if err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, secret[:], nil, "sotto/1 wallet "+owner, 32)
	if err != nil {
		return nil, err
	}
	place, err := freePlace(filepath.Join(dir, owner))
	if err != nil {
		return nil, err
	}
	return wallet.New(wallet.Config{
		Key: [32]byte(key), Store: place,
		Challenge: token.Challenge{Issuer: s.Issuer, Product: s.Product},
		Keys:      keys,
		Issue: func(ctx context.Context, day token.Day, blinded [][]byte) (wallet.Issued, error) {
			if route == "" {
				return wallet.Issued{}, wallet.ErrSignedOut
			}
			return issue(ctx, account, route, day, blinded)
		},
	})
}

// issue has the account server sign a batch. It learns who asks, and of the tokens
// nothing.
func issue(ctx context.Context, account *accountServer, route string, day token.Day, blinded [][]byte) (wallet.Issued, error) {
	in := struct {
		Day     string   `json:"day"`
		Blinded [][]byte `json:"blinded"`
	}{day.String(), blinded}
	var out struct {
		Signed    [][]byte     `json:"signed"`
		Allowance allowanceDoc `json:"allowance"`
	}
	_, err := account.do(ctx, "POST", route, in, &out)
	var refused *accountError
	switch {
	case errors.Is(err, errSignedOut):
		return wallet.Issued{}, wallet.ErrSignedOut
	case !errors.As(err, &refused):
	case refused.Code == "allowance_used":
		return wallet.Issued{Allowance: refused.allowance.allowance()}, &wallet.ErrNoneLeft{Resets: refused.allowance.Resets}
	case refused.Code == "day_unknown":
		err = wallet.ErrDayUnknown
	case refused.Code == "batch_refused":
		err = wallet.ErrBatchRefused
	case refused.Code == "guests_off":
		err = wallet.ErrSignedOut
	}
	return wallet.Issued{Signatures: out.Signed, Allowance: out.Allowance.allowance()}, err
}

// walletSecret is this terminal's own, and goes to no other device: tokens that are
// copied without it are worth nothing.
func walletSecret(dir string) (secret [32]byte, err error) {
	name := filepath.Join(dir, "key")
	b, err := os.ReadFile(name)
	if err == nil && len(b) == len(secret) {
		return [32]byte(b), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return secret, err
	}
	rand.Read(secret[:])
	return secret, writePrivate(name, secret[:])
}

// places is how many programs may have a wallet of one owner open at a time.
const places = 16

// place is a file with a sealed wallet, which one program at a time has open.
type place struct {
	file string
	held func() // gives the place back; kept, or the lock would go with it
}

// freePlace takes the first place that no other program has. It is held until the
// program ends: two that offered the same tokens would spoil them.
func freePlace(dir string) (*place, error) {
	for n := 1; n <= places; n++ {
		at := filepath.Join(dir, strconv.Itoa(n))
		if err := os.MkdirAll(at, 0o700); err != nil {
			return nil, err
		}
		switch held, err := durable.Lock(at); {
		case err == nil:
			return &place{filepath.Join(at, "wallet"), held}, nil
		case !errors.Is(err, durable.ErrInUse):
			return nil, err
		}
	}
	return nil, withHint(fmt.Errorf("%d programs use this account’s tokens already", places), "End one of them first.")
}

// Load implements [wallet.Store].
func (p *place) Load() ([]byte, error) {
	b, err := os.ReadFile(p.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

// Save implements [wallet.Store].
func (p *place) Save(b []byte) error { return writePrivate(p.file, b) }
