// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/token"
	"github.com/sotto-chat/sotto/token/wallet"
	"github.com/sotto-chat/sotto/vault"
)

// purposeTokens is what the wallet's key is for. A wallet is one device's: its key
// takes the root key, which all devices have, and a secret that only this one has.
const purposeTokens = "tokens"

// openWallet opens this device's wallet, for the client.
func (c *core) openWallet(s client.Service, keys func(context.Context, token.Day) (wallet.DayKeys, error)) (*wallet.Wallet, error) {
	v, err := c.unlocked()
	if err != nil {
		return nil, err
	}
	secret, blob, err := c.host.openTokens()
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	return wallet.New(wallet.Config{
		Key:       vault.LocalKey(v.root, v.account, purposeTokens, secret),
		Store:     &tokenStore{c.host, blob},
		Challenge: token.Challenge{Issuer: s.Issuer, Product: s.Product},
		Keys:      keys,
		Issue:     c.issue,
		OnChange: func(s wallet.State) {
			// Not from here: the wallet waits for this to return.
			go c.walletChanged(s)
		},
	})
}

// tokenStore is the browser's store as the wallet's.
type tokenStore struct {
	host host
	blob []byte
}

func (s *tokenStore) Load() ([]byte, error) { return s.blob, nil }

func (s *tokenStore) Save(b []byte) error { return s.host.saveTokens(b) }

// issue has the account server sign a batch of tokens.
func (c *core) issue(_ context.Context, day token.Day, blinded [][]byte) (wallet.Issued, error) {
	req, err := json.Marshal(struct {
		Day     string   `json:"day"`
		Blinded [][]byte `json:"blinded"`
	}{day.String(), blinded})
	if err != nil {
		return wallet.Issued{}, err
	}
	text, err := c.host.api("POST", "tokens", string(req))
	var refused *apiError
	if errors.As(err, &refused) {
		err = refused.coreError
	}
	var doc struct {
		Signed    [][]byte       `json:"signed"`
		Allowance issueAllowance `json:"allowance"`
	}
	if refused != nil {
		text = refused.body
	}
	if json.Unmarshal([]byte(text), &doc) != nil && err == nil {
		err = errPlan
	}
	a := doc.Allowance
	out := wallet.Issued{Signatures: doc.Signed, Allowance: wallet.Allowance(a)}
	if err == nil {
		return out, nil
	}
	var e *coreError
	if !errors.As(err, &e) {
		return out, err
	}
	switch e.Code {
	case "signed_out":
		return out, wallet.ErrSignedOut
	case "day_unknown":
		return out, wallet.ErrDayUnknown
	case "batch_refused":
		return out, wallet.ErrBatchRefused
	case "allowance_used":
		return out, &wallet.ErrNoneLeft{Resets: a.Resets}
	}
	return out, err
}

// walletChanged takes what the wallet says of today.
func (c *core) walletChanged(s wallet.State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := &c.plan
	if s.Left != wallet.NotKnown {
		p.left, p.resets = s.Left, s.Resets
	}
	p.problem, p.again = nil, 0
	var none *wallet.ErrNoneLeft
	switch {
	case s.Err == nil:
	case errors.As(s.Err, &none) && s.Left == wallet.Unlimited:
		p.again = none.Resets
	case none != nil:
	default:
		p.problem = s.Err
	}
	if s.Plan != "" && p.account.Plan != "" && s.Plan != p.account.Plan {
		go c.getPlan(context.Background()) // bought, or ended, meanwhile
	}
	c.emitPlan()
}

// asked opens an answer. Where another tab has had the wallet since, it is opened
// here again: a token that two tabs have would be refused to one of them.
func (c *core) asked(ctx context.Context, cl *client.Client, req client.ChatRequest, o client.Options) (*client.ChatStream, error) {
	s, err := cl.Chat(ctx, req, o)
	if errors.Is(err, errTaken) {
		if err = cl.OpenWallet(); err == nil {
			s, err = cl.Chat(ctx, req, o)
		}
	}
	return s, err
}

// counted says whether messages are. c.mu is held.
func (c *core) counted() bool {
	return c.plan.service.Tokens && c.plan.left != leftUnlimited
}
