// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/vault"
)

type sendArgs struct {
	Chat   string `json:"chat"`
	Parent string `json:"parent"`
	Text   string `json:"text"`
	Model  string `json:"model"`
}

type sendResult struct {
	User      string `json:"user"`
	Assistant string `json:"assistant"`
}

// send adds a message to a chat and asks for an answer. It returns when the
// message is kept.
func (c *core) send(_ context.Context, a sendArgs) (sendResult, error) {
	if strings.TrimSpace(a.Text) == "" {
		return sendResult{}, errEmpty
	}
	chat, err := c.mayAsk(a.Chat, a.Parent, a.Model)
	if err == nil {
		err = c.activate(chat)
	}
	if err != nil {
		return sendResult{}, err
	}
	m := vault.Message{
		ID: vault.NewID(), Chat: a.Chat, Parent: a.Parent, Role: "user", Text: a.Text,
		Status: statusComplete, Created: time.Now().UnixMilli(),
	}
	c.mu.Lock()
	t := c.chats.temp[a.Chat]
	_, fresh := c.chats.fresh[a.Chat]
	v := c.vault
	c.mu.Unlock()
	if t != nil {
		c.mu.Lock()
		t.messages = append(t.messages, m)
		t.chat.Model, t.chat.Updated = a.Model, m.Created
		c.mu.Unlock()
	} else if err := c.keep(firstPuts(v.replica, chat, fresh, a.Model, m)); err != nil {
		return sendResult{}, err
	}
	an := c.newAnswer(a.Chat, m.ID, a.Model, a.Parent == "")
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.chats.fresh, a.Chat)
	c.begin(an)
	return sendResult{m.ID, an.id}, nil
}

// firstPuts makes the records of a message and, with the first one, of what
// belongs to its chat.
func firstPuts(r *vault.Replica, chat vault.Chat, fresh bool, model string, m vault.Message) ([]vault.Put, error) {
	var puts []vault.Put
	add := func(p vault.Put, err error) error {
		if err == nil {
			puts = append(puts, p)
		}
		return err
	}
	if err := add(r.AddMessage(m)); err != nil {
		return nil, err
	}
	if fresh || chat.CacheSalt == "" {
		salt := chat.CacheSalt
		if salt == "" {
			salt = client.NewCacheSalt()
		}
		if err := add(r.SetRegister(m.Chat, vault.RegisterCacheSalt, salt)); err != nil {
			return puts, err
		}
	}
	if chat.Model != model {
		if err := add(r.SetRegister(m.Chat, vault.RegisterModel, model)); err != nil {
			return puts, err
		}
	}
	return puts, nil
}

type regenerateArgs struct {
	Chat    string `json:"chat"`
	Message string `json:"message"`
	Model   string `json:"model"`
}

type regenerateResult struct {
	Assistant string `json:"assistant"`
}

// regenerate asks for another answer beside message, or below it if it is a
// question.
func (c *core) regenerate(_ context.Context, a regenerateArgs) (regenerateResult, error) {
	chat, err := c.mayAsk(a.Chat, a.Message, a.Model)
	if err == nil {
		err = c.activate(chat)
	}
	if err != nil {
		return regenerateResult{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.messages(a.Chat) {
		if m.ID != a.Message {
			continue
		}
		parent := m.Parent
		if m.Role == "user" {
			parent = m.ID
		}
		an := c.newAnswer(a.Chat, parent, a.Model, false)
		c.begin(an)
		return regenerateResult{an.id}, nil
	}
	return regenerateResult{}, errNoMessage
}

// mayAsk says whether a message may be sent in a chat now, below parent.
func (c *core) mayAsk(id, parent, model string) (vault.Chat, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	chat, err := c.find(id)
	if err != nil {
		return vault.Chat{}, err
	}
	if model == "" {
		return vault.Chat{}, errNoModel
	}
	for _, a := range c.chats.answers {
		if a.chat == id {
			return vault.Chat{}, errBusy
		}
	}
	if parent != "" {
		found := false
		for _, m := range c.messages(id) {
			found = found || m.ID == parent
		}
		if !found {
			return vault.Chat{}, errNoMessage
		}
	}
	if err := c.mayWrite(id); err != nil {
		return vault.Chat{}, err
	}
	if err := c.mayPay(); err != nil {
		return vault.Chat{}, err
	}
	// While the first check is under way the message waits for it. After a
	// failed one nothing is accepted: the words stay where they were typed.
	s := c.trust.client.Status()
	if s.State != client.StateChecking && !s.State.MaySend() {
		if c.trustDoc(s).State == "consent" {
			return vault.Chat{}, errConsent
		}
		return vault.Chat{}, s.Err
	}
	return chat, nil
}

func (c *core) newAnswer(chat, parent, model string, first bool) *answer {
	return &answer{
		id: vault.NewID(), chat: chat, parent: parent, model: model, first: first,
		created: time.Now().UnixMilli(), status: statusSending, wake: make(chan struct{}, 1),
	}
}

// begin starts to ask for an answer. c.mu is held.
func (c *core) begin(a *answer) {
	_, a.temporary = c.chats.temp[a.chat]
	req := c.request(a)
	c.launch(a, func(ctx context.Context, cl *client.Client) (*client.ChatStream, error) {
		return c.asked(ctx, cl, req, client.Options{Resume: true, OnPending: func(p client.Pending) { c.savePending(a, &p) }})
	})
}

// launch runs an answer whose stream ask opens. c.mu is held.
func (c *core) launch(a *answer, ask func(context.Context, *client.Client) (*client.ChatStream, error)) {
	ctx, stop := context.WithCancelCause(context.WithValue(context.Background(), answerKey{}, a))
	a.stop = stop
	c.chats.answers[a.id] = a
	c.emitChat(a.chat)
	c.emitChats()
	cl := c.trust.client
	go func() {
		// Whoever writes has read beside the button that the release is new.
		if s := cl.Status(); s.State == client.StateChanged {
			cl.Seen(s.Release)
		}
		err := c.read(ctx, a, func() (*client.ChatStream, error) { return ask(ctx, cl) })
		c.finish(ctx, a, err)
	}()
}

// answerKey is the key under which a request's context names its answer, so
// that the transport can tell when the connection is lost.
type answerKey struct{}

// request builds the conversation that a answers: the branch from the first
// message to a's parent. c.mu is held.
func (c *core) request(a *answer) client.ChatRequest {
	byID := map[string]vault.Message{}
	for _, m := range c.messages(a.chat) {
		byID[m.ID] = m
	}
	var branch []client.ChatMessage
	for id := a.parent; id != "" && len(branch) < len(byID); id = byID[id].Parent {
		m, ok := byID[id]
		if !ok {
			break
		}
		if m.Text != "" {
			branch = append(branch, client.ChatMessage{Role: m.Role, Content: m.Text})
		}
	}
	chat, _ := c.find(a.chat)
	req := client.ChatRequest{Model: a.model, CacheSalt: chat.CacheSalt}
	if v := c.vault; v != nil && v.settings != nil && strings.TrimSpace(v.settings.Instructions) != "" {
		req.Messages = append(req.Messages, client.ChatMessage{Role: "system", Content: v.settings.Instructions})
	}
	for i := len(branch) - 1; i >= 0; i-- {
		req.Messages = append(req.Messages, branch[i])
	}
	return req
}
