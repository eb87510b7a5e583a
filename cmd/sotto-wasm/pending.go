// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/vault"
)

// pendingDoc is what the device keeps of an answer under way, sealed.
type pendingDoc struct {
	V         int    `json:"v"`
	ID        string `json:"id"`
	Chat      string `json:"chat"`
	Parent    string `json:"parent"`
	Model     string `json:"model"`
	Created   int64  `json:"created"`
	First     bool   `json:"first"`
	Text      string `json:"text"`
	Reasoning string `json:"reasoning"`
	Pending   []byte `json:"pending"`
}

const purposePending = "pending answer"

// savePending keeps what is needed to take the answer up again after a reload;
// p is nil when only the text has grown. Of a temporary chat nothing is kept.
func (c *core) savePending(a *answer, p *client.Pending) {
	c.mu.Lock()
	if p != nil {
		a.pending = p
	}
	v := c.vault
	if a.temporary || v == nil || a.pending == nil || c.chats.answers[a.id] != a {
		c.mu.Unlock()
		return
	}
	doc := pendingDoc{
		V: 1, ID: a.id, Chat: a.chat, Parent: a.parent, Model: a.model, Created: a.created, First: a.first,
		Text: a.shown(), Reasoning: a.shownThoughts(),
	}
	pending := *a.pending
	c.mu.Unlock()
	sealed, err := sealPending(v, doc, pending)
	if err == nil {
		err = c.host.pending(a.id, sealed)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.chats.answers[a.id] != a {
		go c.host.pending(a.id, nil) // it ended meanwhile
	}
	if err != nil && !v.warned["pending"] {
		v.warned["pending"] = true
		c.notice("warn", "not_resumable", "This browser can’t keep what a reload needs. Stay on the page until the answer is complete.")
	}
}

func sealPending(v *vaultState, doc pendingDoc, p client.Pending) ([]byte, error) {
	var err error
	if doc.Pending, err = p.MarshalBinary(); err != nil {
		return nil, err
	}
	b, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	return vault.SealLocal(v.root, v.account, purposePending, b)
}

type resumeArgs struct {
	ID     string `json:"id"`
	Sealed []byte `json:"sealed"`
}

// resume takes up an answer that was under way when the page was last closed.
func (c *core) resume(_ context.Context, r resumeArgs) (none, error) {
	v, err := c.unlocked()
	if err != nil {
		return none{}, err
	}
	b, err := vault.OpenLocal(v.root, v.account, purposePending, r.Sealed)
	if err != nil {
		return none{}, err
	}
	var doc pendingDoc
	if err := json.Unmarshal(b, &doc); err != nil || doc.V != 1 || doc.ID != r.ID {
		return none{}, fmt.Errorf("core: pending answer: not the expected document")
	}
	var p client.Pending
	if err := p.UnmarshalBinary(doc.Pending); err != nil {
		return none{}, err
	}
	a := &answer{
		id: doc.ID, chat: doc.Chat, parent: doc.Parent, model: doc.Model, created: doc.Created, first: doc.First,
		status: statusReconnecting, begun: true, pending: &p, wake: make(chan struct{}, 1), shownText: doc.Text, shownReasoning: doc.Reasoning,
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, running := c.chats.answers[a.id]; running {
		return none{}, nil
	}
	for _, m := range c.messages(a.chat) {
		if m.ID == a.id {
			go c.host.pending(a.id, nil) // it was kept after all
			return none{}, nil
		}
	}
	c.launch(a, func(ctx context.Context, cl *client.Client) (*client.ChatStream, error) {
		return c.takeUp(ctx, cl, a, p)
	})
	return none{}, nil
}
