// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/vault"
)

// history is the sealed history of a linked account, as this terminal has it.
type history struct {
	device  *device
	account *accountServer
	replica *vault.Replica
}

// openHistory opens what is kept here, without asking the server.
// errNotLinked: there is no account.
func openHistory(server string) (*history, error) {
	d, err := loadDevice(server)
	if err != nil {
		return nil, err
	}
	root, err := d.root()
	if err != nil {
		return nil, withHint(fmt.Errorf("the history can’t be opened: %w", err), "Link this terminal again: sotto logout, then sotto login.")
	}
	acct, err := newAccountServer(d.Server, d.Token)
	if err != nil {
		return nil, err
	}
	h := &history{d, acct, vault.NewReplica(root, d.Account, d.Device)}
	entries, err := d.readFeed()
	if err != nil {
		return nil, withHint(err, "")
	}
	if err := h.replica.Load(entries); err != nil {
		return nil, fmt.Errorf("the history on this disk: %w", err)
	}
	puts, err := d.readPending()
	if err != nil {
		return nil, withHint(err, "")
	}
	if err := h.replica.Restore(puts); err != nil {
		return nil, fmt.Errorf("the messages not yet saved: %w", err)
	}
	return h, nil
}

// sync fetches what is new and posts what the server doesn't have.
func (h *history) sync(ctx context.Context) error {
	if err := h.pull(ctx); err != nil {
		return err
	}
	return h.push(ctx)
}

// pull fetches the feed up to its head.
func (h *history) pull(ctx context.Context) error { return h.pages(ctx, h.device.appendFeed) }

// pages fetches what is new of the feed and gives it to keep once it was taken.
func (h *history) pages(ctx context.Context, keep func([]vault.Entry) error) error {
	for {
		at := h.replica.Head().Seq
		var page vault.Page
		if _, err := h.account.do(ctx, "GET", fmt.Sprintf("feed?since=%d", at), nil, &page); err != nil {
			return err
		}
		if err := h.replica.Apply(page); err != nil {
			return err
		}
		if err := keep(page.Entries); err != nil {
			return err
		}
		if h.replica.Head().Seq >= page.Head.Seq {
			return nil
		}
	}
}

// rejoin goes on with the server's feed as it is now, whatever was known before,
// and says how many records the server had lost. The disk holds what it held
// until the whole feed is here, so that nothing is lost on the way.
func (h *history) rejoin(ctx context.Context) (lost int, err error) {
	if err := h.replica.Rejoin(); err != nil {
		return 0, err
	}
	var entries []vault.Entry
	if err := h.pages(ctx, func(page []vault.Entry) error {
		entries = append(entries, page...)
		return nil
	}); err != nil {
		return 0, err
	}
	puts := h.replica.Pending()
	if err := h.device.writePending(puts); err != nil {
		return 0, err
	}
	if err := h.device.replaceFeed(entries); err != nil {
		return 0, err
	}
	return len(puts), h.push(ctx)
}

// maxPost is how many records go into one post.
const maxPost = 100

// push posts what the server doesn't have, having noted it on the disk first.
func (h *history) push(ctx context.Context) error {
	for {
		puts := h.replica.Pending()
		if err := h.device.writePending(puts); err != nil {
			return err
		}
		if len(puts) == 0 {
			return nil
		}
		puts = puts[:min(len(puts), maxPost)]
		var placed struct {
			Head vault.Head `json:"head"`
			Seqs []uint64   `json:"seqs"`
		}
		in := map[string]any{"entries": puts, "known": h.replica.Head()}
		if _, err := h.account.do(ctx, "POST", "feed", in, &placed); err != nil {
			return err
		}
		entries, err := h.replica.Acked(puts, placed.Seqs, placed.Head)
		if err != nil {
			return err
		}
		if err := h.device.appendFeed(entries); err != nil {
			return err
		}
		if len(entries) == 0 { // another device was quicker: find them in the feed
			if err := h.pull(ctx); err != nil {
				return err
			}
		}
	}
}

// saveTimeout bounds what saving may hold a person up for.
const saveTimeout = 10 * time.Second

// historyChat saves one conversation. A nil historyChat saves nothing.
type historyChat struct {
	h       *history
	a       *app
	id      string
	parent  string
	model   string
	started bool
}

// openHistoryChat prepares to save a conversation, if this terminal is linked.
func (a *app) openHistoryChat(server string, t *talk) (*historyChat, error) {
	h, err := openHistory(server)
	if errors.Is(err, errNotLinked) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &historyChat{h: h, a: a, id: vault.NewID(), model: t.model}, nil
}

// add saves a question and what came of it. Not being able to is said and does
// not stop the conversation: what the server doesn't get stays here, sealed,
// for the next time.
func (c *historyChat) add(question, salt, model string, r reply) {
	if c == nil {
		return
	}
	if err := c.record(question, salt, model, r); err != nil {
		c.a.warn("this message can’t be saved", err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), saveTimeout)
	defer cancel()
	if err := c.h.sync(ctx); err != nil {
		c.a.warn("saved on this terminal only, for now", err)
	}
}

// record adds the two messages to the replica, and on a chat's first turn what
// the chat is called.
func (c *historyChat) record(question, salt, model string, r reply) error {
	user := vault.Message{ID: vault.NewID(), Chat: c.id, Parent: c.parent, Role: "user", Text: question, Status: "complete"}
	if _, err := c.h.replica.AddMessage(user); err != nil {
		return err
	}
	answer := vault.Message{
		ID: vault.NewID(), Chat: c.id, Parent: user.ID, Role: "assistant",
		Text: r.text, Reasoning: r.reasoning, Model: model, Status: "complete",
	}
	switch {
	case r.stopped:
		answer.Status = "stopped"
	case r.err != nil:
		answer.Status, answer.Error = "failed", client.Explain(r.err).String()
	}
	if r.stream != nil {
		answer.Receipt, _ = json.Marshal(r.stream.Receipt) // plain data always marshals
	}
	if _, err := c.h.replica.AddMessage(answer); err != nil {
		return err
	}
	c.parent = answer.ID
	if c.started {
		return nil
	}
	c.started = true
	if _, err := c.h.replica.SetTitle(c.id, titleOf(question), true); err != nil {
		return err
	}
	if _, err := c.h.replica.SetRegister(c.id, vault.RegisterModel, model); err != nil {
		return err
	}
	_, err := c.h.replica.SetRegister(c.id, vault.RegisterCacheSalt, salt)
	return err
}

// close notes on the disk what the server didn't get.
func (c *historyChat) close() error {
	if c == nil {
		return nil
	}
	return c.h.device.writePending(c.h.replica.Pending())
}

// titleOf makes a title of the first words of a question.
func titleOf(question string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(plain(question)), "\n")
	const longest = 60
	runes := []rune(line)
	if len(runes) <= longest {
		return line
	}
	cut := string(runes[:longest])
	if i := strings.LastIndexByte(cut, ' '); i > longest/2 {
		cut = cut[:i]
	}
	return cut + "…"
}

// warn says what went wrong and that the work goes on.
func (a *app) warn(what string, err error) {
	text, hint, _ := words(err)
	a.sayOnce(strings.TrimSpace(what + ": " + text + " " + hint))
}
