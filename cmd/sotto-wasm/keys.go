// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sotto-chat/sotto/vault"
)

// draft is what has been made and not been confirmed: a new account, a new kit,
// or a terminal's wish to be linked.
type draft struct {
	account  vault.AccountID
	root     vault.RootKey
	recovery vault.RecoveryKey
	ask      [2]int // the groups that the person types back
	wraps    []vault.Wrap
	prf      bool
	offer    *vault.Offer
}

// kitDoc is Kit of web/src/core/protocol.ts.
type kitDoc struct {
	Groups  []string `json:"groups"`
	Confirm [2]int   `json:"confirm"`
	Made    string   `json:"made"`
}

// kit describes the draft's recovery key, with two groups to ask for.
func (d *draft) kit() kitDoc {
	groups := d.recovery.Groups()
	var b [2]byte
	rand.Read(b[:])
	first := int(b[0]) % len(groups)
	second := (first + 1 + int(b[1])%(len(groups)-1)) % len(groups)
	d.ask = [2]int{min(first, second), max(first, second)}
	return kitDoc{Groups: groups, Confirm: d.ask, Made: time.Now().Format(time.DateOnly)}
}

// confirms says whether typed are the groups that were asked for, however they
// are spelled.
func (d *draft) confirms(typed [2]string) bool {
	groups := d.recovery.Groups()
	ok := 1
	for i, g := range d.ask {
		// A group is valid on its own place only, and O and I can be typed for
		// 0 and 1: let the key's own reader compare.
		whole := append([]string(nil), groups...)
		whole[g] = strings.TrimSpace(typed[i])
		k, err := vault.ParseRecoveryKey(strings.Join(whole, " "))
		if err != nil {
			return false
		}
		id, want := k.ID(), d.recovery.ID()
		ok &= subtle.ConstantTimeCompare(id[:], want[:])
		k.Erase()
	}
	return ok == 1
}

type newAccountArgs struct {
	Account    vault.AccountID `json:"account"`
	Credential string          `json:"credential"` // base64url
}

type newAccountResult struct {
	PRF bool   `json:"prf"`
	Kit kitDoc `json:"kit"`
}

// newAccount makes the keys of an account: a root key, a recovery key, and the
// wraps of both ways in. secret is the passkey's PRF output, if it has one.
func (c *core) newAccount(_ context.Context, a newAccountArgs, prf []byte) (newAccountResult, error) {
	d := &draft{account: a.Account, root: vault.NewRootKey(), recovery: vault.NewRecoveryKey(), prf: prf != nil}
	if prf != nil {
		w, err := wrapPasskey(d.root, d.account, a.Credential, prf)
		if err != nil {
			return newAccountResult{}, err
		}
		d.wraps = append(d.wraps, w)
	}
	w, err := vault.WrapRecovery(d.root, d.account, d.recovery)
	if err != nil {
		return newAccountResult{}, err
	}
	d.wraps = append(d.wraps, w)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draft = d
	return newAccountResult{PRF: d.prf, Kit: d.kit()}, nil
}

func wrapPasskey(root vault.RootKey, account vault.AccountID, credential string, prf []byte) (vault.Wrap, error) {
	id, err := base64.RawURLEncoding.DecodeString(credential)
	if err != nil {
		return vault.Wrap{}, errors.New("core: a credential id is not base64url")
	}
	return vault.WrapPasskey(root, account, id, prf)
}

type finishAccountArgs struct {
	Typed      [2]string `json:"typed"`
	Passphrase string    `json:"passphrase"`
}

// finishAccount checks the typed groups and returns the wraps to sign up with.
func (c *core) finishAccount(_ context.Context, a finishAccountArgs) ([]vault.Wrap, error) {
	c.mu.Lock()
	d := c.draft
	c.mu.Unlock()
	switch {
	case d == nil || !d.root.Valid():
		return nil, errNoDraft
	case !d.confirms(a.Typed):
		return nil, errTyped
	case !d.prf && a.Passphrase == "":
		return nil, errPassphrase
	}
	wraps := d.wraps
	if a.Passphrase != "" {
		w, err := newPassphraseWrap(d.root, d.account, a.Passphrase)
		if err != nil {
			return nil, err
		}
		wraps = append(wraps[:len(wraps):len(wraps)], w)
	}
	return wraps, nil
}

// minPassphrase is the least length of a new passphrase, in characters.
const minPassphrase = 12

func newPassphraseWrap(root vault.RootKey, account vault.AccountID, passphrase string) (vault.Wrap, error) {
	if utf8.RuneCountInString(passphrase) < minPassphrase {
		return vault.Wrap{}, errShortPhrase
	}
	return vault.WrapPassphrase(root, account, passphrase)
}

type openArgs struct {
	Device vault.DeviceID `json:"device"`
}

// adopt opens the vault of the account that was just made.
func (c *core) adopt(_ context.Context, a openArgs) (none, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draft == nil || !c.draft.root.Valid() {
		return none{}, errNoDraft
	}
	c.openVault(c.draft.root, c.draft.account, a.Device)
	c.dropDraft()
	return none{}, nil
}

func (c *core) dropDraft() {
	if c.draft != nil {
		c.draft.recovery.Erase()
		c.draft = nil
	}
}

type unlockArgs struct {
	Account    vault.AccountID `json:"account"`
	Device     vault.DeviceID  `json:"device"`
	Wraps      []vault.Wrap    `json:"wraps"`
	Credential string          `json:"credential,omitempty"`
	Passphrase string          `json:"passphrase,omitempty"`
}

// open tries f on each wrap of a kind and opens the vault with the first root
// key that comes out.
func (c *core) open(a unlockArgs, kind string, f func(vault.Wrap) (vault.RootKey, error)) error {
	var failed error = vault.ErrWrongKey
	for _, w := range a.Wraps {
		if w.Kind != kind {
			continue
		}
		root, err := f(w)
		if err == nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.openVault(root, a.Account, a.Device)
			return nil
		}
		if !errors.Is(err, vault.ErrWrongKey) {
			failed = err // says more than that it is another wrap's
		}
	}
	return failed
}

// unlockPasskey opens the vault with a passkey's PRF output.
func (c *core) unlockPasskey(_ context.Context, a unlockArgs, prf []byte) (none, error) {
	known := false
	for _, w := range a.Wraps {
		known = known || w.Kind == vault.KindPasskey && w.Ref == a.Credential
	}
	if prf == nil || !known {
		return none{}, errPassphrase
	}
	err := c.open(a, vault.KindPasskey, func(w vault.Wrap) (vault.RootKey, error) {
		if w.Ref != a.Credential {
			return vault.RootKey{}, vault.ErrWrongKey
		}
		return vault.UnwrapPasskey(w, a.Account, prf)
	})
	return none{}, other(err, errWrongWay)
}

// unlockPassphrase opens the vault with a passphrase.
func (c *core) unlockPassphrase(_ context.Context, a unlockArgs) (none, error) {
	err := c.open(a, vault.KindPassphrase, func(w vault.Wrap) (vault.RootKey, error) {
		return vault.UnwrapPassphrase(w, a.Account, a.Passphrase)
	})
	return none{}, other(err, errWrongPhrase)
}

// other gives a wrong key the name of the way in that it was tried on.
func other(err error, name *coreError) error {
	if errors.Is(err, vault.ErrWrongKey) {
		return name
	}
	return err
}

type recoverBeginArgs struct {
	Kit string `json:"kit"`
}

type recoverBeginResult struct {
	ID vault.RecordID `json:"id"`
}

// recoverBegin reads a typed kit.
func (c *core) recoverBegin(_ context.Context, a recoverBeginArgs) (recoverBeginResult, error) {
	k, err := vault.ParseRecoveryKey(a.Kit)
	if err != nil {
		return recoverBeginResult{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draft = &draft{recovery: k}
	return recoverBeginResult{k.ID()}, nil
}

type signArgs struct {
	Challenge []byte `json:"challenge"`
}

type signResult struct {
	Signature []byte `json:"signature"`
}

// recoverSign answers the server's challenge with the kit that was typed.
func (c *core) recoverSign(_ context.Context, a signArgs) (signResult, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draft == nil {
		return signResult{}, errNoDraft
	}
	return signResult{c.draft.recovery.SignIn(c.origin, a.Challenge)}, nil
}

// recoverOpen opens the vault with the kit that was typed.
func (c *core) recoverOpen(_ context.Context, a unlockArgs) (none, error) {
	c.mu.Lock()
	d := c.draft
	c.mu.Unlock()
	if d == nil {
		return none{}, errNoDraft
	}
	err := c.open(a, vault.KindRecovery, func(w vault.Wrap) (vault.RootKey, error) {
		return vault.UnwrapRecovery(w, a.Account, d.recovery)
	})
	if err == nil {
		c.mu.Lock()
		c.dropDraft()
		c.mu.Unlock()
	}
	return none{}, other(err, errWrongKit)
}

type wrapPasskeyArgs struct {
	Credential string `json:"credential"`
}

// wrapPasskey seals the root key of the open vault for one more passkey.
func (c *core) wrapPasskey(_ context.Context, a wrapPasskeyArgs, prf []byte) (vault.Wrap, error) {
	v, err := c.unlocked()
	if err != nil {
		return vault.Wrap{}, err
	}
	return wrapPasskey(v.root, v.account, a.Credential, prf)
}

type passphraseArgs struct {
	Passphrase string `json:"passphrase"`
}

// wrapPassphrase seals the root key of the open vault under a passphrase.
func (c *core) wrapPassphrase(_ context.Context, a passphraseArgs) (vault.Wrap, error) {
	v, err := c.unlocked()
	if err != nil {
		return vault.Wrap{}, err
	}
	return newPassphraseWrap(v.root, v.account, a.Passphrase)
}

// newKit makes a recovery key that takes the old one's place once confirmed.
func (c *core) newKit(context.Context) (kitDoc, error) {
	v, err := c.unlocked()
	if err != nil {
		return kitDoc{}, err
	}
	d := &draft{account: v.account, recovery: vault.NewRecoveryKey()}
	w, err := vault.WrapRecovery(v.root, v.account, d.recovery)
	if err != nil {
		return kitDoc{}, err
	}
	d.wraps = []vault.Wrap{w}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draft = d
	return d.kit(), nil
}

type confirmKitArgs struct {
	Typed [2]string `json:"typed"`
}

// confirmKit returns the wrap of the kit that newKit made, once it is typed back.
func (c *core) confirmKit(_ context.Context, a confirmKitArgs) (vault.Wrap, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draft == nil || len(c.draft.wraps) != 1 {
		return vault.Wrap{}, errNoDraft
	}
	if !c.draft.confirms(a.Typed) {
		return vault.Wrap{}, errTyped
	}
	w := c.draft.wraps[0]
	c.dropDraft()
	return w, nil
}

type offerArgs struct {
	PublicKey []byte `json:"public_key"`
	Secret    string `json:"secret"`
}

type offerResult struct {
	Name string `json:"name"`
	Code string `json:"code"` // the terminal shows it too
}

// openOffer opens a terminal's wish to be linked with the secret of its link.
func (c *core) openOffer(_ context.Context, a offerArgs) (offerResult, error) {
	if _, err := c.unlocked(); err != nil {
		return offerResult{}, err
	}
	o, err := vault.OpenOffer(a.PublicKey, a.Secret)
	if err != nil {
		return offerResult{}, &coreError{"bad_link", "This link isn’t from your terminal, or it was cut. Open the whole link that the terminal shows."}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draft = &draft{offer: o}
	return offerResult{o.Name, o.Code()}, nil
}

// wrapOffer seals the root key for the terminal whose offer was opened last.
func (c *core) wrapOffer(context.Context) (vault.Wrap, error) {
	v, err := c.unlocked()
	if err != nil {
		return vault.Wrap{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draft == nil || c.draft.offer == nil {
		return vault.Wrap{}, errNoDraft
	}
	w, err := vault.WrapDevice(v.root, v.account, c.draft.offer)
	c.draft = nil
	return w, err
}

type labelArgs struct {
	Label string `json:"label"`
}

type sealedLabel struct {
	Sealed []byte `json:"sealed"`
}

// sealLabel seals the name of a browser or a passkey for the account server.
func (c *core) sealLabel(_ context.Context, a labelArgs) (sealedLabel, error) {
	v, err := c.unlocked()
	if err != nil {
		return sealedLabel{}, err
	}
	return sealedLabel{vault.SealLabel(v.root, v.account, a.Label)}, nil
}

type openLabelsArgs struct {
	Sealed [][]byte `json:"sealed"`
}

type openLabelsResult struct {
	Labels []string `json:"labels"`
}

// openLabels opens names that the account server keeps. One that doesn't open,
// or isn't there, is "".
func (c *core) openLabels(_ context.Context, a openLabelsArgs) (openLabelsResult, error) {
	v, err := c.unlocked()
	if err != nil {
		return openLabelsResult{}, err
	}
	r := openLabelsResult{Labels: make([]string, len(a.Sealed))}
	for i, sealed := range a.Sealed {
		if label, err := vault.OpenLabel(v.root, v.account, sealed); err == nil {
			r.Labels[i] = label
		}
	}
	return r, nil
}
