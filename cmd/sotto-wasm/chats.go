// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"sort"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/vault"
)

// chatState is what the core knows of chats beyond the vault.
type chatState struct {
	open    map[string]bool       // chats that the page shows
	fresh   map[string]vault.Chat // chats without a message yet
	temp    map[string]*tempChat  // temporary chats: in memory, and nowhere else
	answers map[string]*answer    // answers under way, by message id
}

// tempChat is a chat that no store ever sees.
type tempChat struct {
	chat     vault.Chat
	messages []vault.Message
}

func (s *chatState) reset() {
	*s = chatState{
		open: map[string]bool{}, fresh: map[string]vault.Chat{},
		temp: map[string]*tempChat{}, answers: map[string]*answer{},
	}
}

// summaryDoc is ChatSummary of web/src/core/protocol.ts.
type summaryDoc struct {
	ID        string `json:"id"`
	Title     string `json:"title"`
	Pinned    bool   `json:"pinned"`
	Archived  bool   `json:"archived"`
	Folder    string `json:"folder"`
	Temporary bool   `json:"temporary"`
	Model     string `json:"model"`
	Created   int64  `json:"created"`
	Updated   int64  `json:"updated"`
	Busy      bool   `json:"busy"`
}

// messageDoc is Message of web/src/core/protocol.ts.
type messageDoc struct {
	ID        string          `json:"id"`
	Chat      string          `json:"chat"`
	Parent    string          `json:"parent"`
	Role      string          `json:"role"`
	Text      string          `json:"text"`
	Reasoning string          `json:"reasoning,omitempty"`
	Model     string          `json:"model,omitempty"`
	Status    string          `json:"status"`
	Error     string          `json:"error,omitempty"`
	ErrorCode string          `json:"errorCode,omitempty"`
	Created   int64           `json:"created"`
	Receipt   json.RawMessage `json:"receipt,omitempty"`
	Unsaved   bool            `json:"unsaved,omitempty"`
}

// viewDoc is ChatView of web/src/core/protocol.ts.
type viewDoc struct {
	Chat     summaryDoc   `json:"chat"`
	Messages []messageDoc `json:"messages"`
	Leaf     string       `json:"leaf"`
}

// find returns what is known of a chat, wherever it lives. c.mu is held.
func (c *core) find(id string) (vault.Chat, error) {
	if t, ok := c.chats.temp[id]; ok {
		return t.chat, nil
	}
	if c.vault == nil {
		return vault.Chat{}, errLocked
	}
	if chat, ok := c.vault.replica.Chat(id); ok {
		return chat, nil
	}
	if chat, ok := c.chats.fresh[id]; ok {
		return chat, nil
	}
	return vault.Chat{}, errNoChat
}

// messages returns a chat's finished messages, parents first. c.mu is held.
func (c *core) messages(id string) []vault.Message {
	if t, ok := c.chats.temp[id]; ok {
		return slices.Clone(t.messages)
	}
	if c.vault == nil {
		return nil
	}
	return c.vault.replica.Messages(id)
}

// summary describes a chat for the list. c.mu is held.
func (c *core) summary(chat vault.Chat) summaryDoc {
	_, temporary := c.chats.temp[chat.ID]
	d := summaryDoc{
		ID: chat.ID, Title: chat.Title, Pinned: chat.Pinned, Archived: chat.Archived, Folder: chat.Folder,
		Temporary: temporary, Model: chat.Model, Created: chat.Created, Updated: chat.Updated,
	}
	for _, a := range c.chats.answers {
		if a.chat == chat.ID {
			d.Busy = true
			d.Updated = max(d.Updated, a.created)
		}
	}
	if d.Title == "" {
		// Until a title is made, the question stands for it.
		for _, m := range c.messages(chat.ID) {
			if m.Role == "user" {
				d.Title = firstWords(m.Text)
				break
			}
		}
	}
	return d
}

// view describes a whole chat. c.mu is held.
func (c *core) view(id string) (viewDoc, error) {
	chat, err := c.find(id)
	if err != nil {
		return viewDoc{}, err
	}
	v := viewDoc{Chat: c.summary(chat), Messages: []messageDoc{}}
	unsaved := map[string]bool{}
	if c.offline && c.vault != nil {
		for _, p := range c.vault.replica.Pending() {
			unsaved[p.ID.String()] = true
		}
	}
	have := map[string]bool{}
	for _, m := range c.messages(id) {
		d := messageDoc{
			ID: m.ID, Chat: id, Parent: m.Parent, Role: m.Role, Text: m.Text, Reasoning: m.Reasoning,
			Model: m.Model, Status: cmp.Or(m.Status, statusComplete), Error: m.Error, Created: m.Created,
			Receipt: m.Receipt, Unsaved: unsaved[m.ID],
		}
		have[m.ID] = true
		v.Messages = append(v.Messages, d)
	}
	for _, a := range c.chats.answers {
		if a.chat == id && !have[a.id] {
			v.Messages = append(v.Messages, a.doc())
		}
	}
	sort.SliceStable(v.Messages, func(i, j int) bool { return v.Messages[i].Created < v.Messages[j].Created })
	v.Leaf = newestLeaf(v.Messages)
	return v, nil
}

// newestLeaf returns the newest message that no other follows.
func newestLeaf(messages []messageDoc) string {
	parents := map[string]bool{}
	for _, m := range messages {
		parents[m.Parent] = true
	}
	leaf := ""
	for _, m := range messages { // oldest first
		if !parents[m.ID] {
			leaf = m.ID
		}
	}
	return leaf
}

// emitChat tells the page about a chat that it shows. c.mu is held.
func (c *core) emitChat(id string) {
	if !c.chats.open[id] {
		return
	}
	if v, err := c.view(id); err == nil {
		c.host.emit(map[string]any{"t": "chat", "view": v})
	}
}

// emitChats tells the page the whole list. c.mu is held.
func (c *core) emitChats() {
	if c.vault == nil || !c.vault.ready {
		return
	}
	list := []summaryDoc{}
	for _, chat := range c.vault.replica.Chats() {
		list = append(list, c.summary(chat))
	}
	c.host.emit(map[string]any{"t": "chats", "chats": list})
}

type chatArgs struct {
	Chat string `json:"chat"`
}

// openChat returns a chat and keeps the page up to date about it from now on.
// The same view goes out as an event, so that no streamed text falls between
// the two.
func (c *core) openChat(_ context.Context, a chatArgs) (viewDoc, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, err := c.view(a.Chat)
	if err != nil {
		return viewDoc{}, err
	}
	c.chats.open[a.Chat] = true
	c.host.emit(map[string]any{"t": "chat", "view": v})
	return v, nil
}

func (c *core) closeChat(_ context.Context, a chatArgs) (none, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.chats.open, a.Chat)
	return none{}, nil
}

type newChatArgs struct {
	Temporary bool `json:"temporary"`
}

// newChat names a chat. Nothing is stored until its first message, and nothing
// ever of a temporary one.
func (c *core) newChat(_ context.Context, a newChatArgs) (summaryDoc, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now().UnixMilli()
	chat := vault.Chat{ID: vault.NewID(), CacheSalt: client.NewCacheSalt(), Created: now, Updated: now}
	switch {
	case a.Temporary:
		c.chats.temp[chat.ID] = &tempChat{chat: chat}
	case c.vault == nil:
		return summaryDoc{}, errLocked
	default:
		c.chats.fresh[chat.ID] = chat
	}
	return c.summary(chat), nil
}

type renameArgs struct {
	Chat  string `json:"chat"`
	Title string `json:"title"`
}

const maxTitle = 200 // bytes

func (c *core) rename(_ context.Context, a renameArgs) (none, error) {
	title := strings.Join(strings.Fields(a.Title), " ")
	for len(title) > maxTitle {
		_, n := utf8.DecodeLastRuneInString(title)
		title = title[:len(title)-n]
	}
	return none{}, c.change(a.Chat, func(chat *vault.Chat) { chat.Title = title }, func(r *vault.Replica) (vault.Put, error) {
		return r.SetTitle(a.Chat, title, false)
	})
}

type switchArgs struct {
	Chat string `json:"chat"`
	On   bool   `json:"on"`
}

func (c *core) pin(_ context.Context, a switchArgs) (none, error) {
	return none{}, c.change(a.Chat, func(chat *vault.Chat) { chat.Pinned = a.On }, func(r *vault.Replica) (vault.Put, error) {
		return r.SetRegister(a.Chat, vault.RegisterPinned, a.On)
	})
}

func (c *core) archive(_ context.Context, a switchArgs) (none, error) {
	if !a.On {
		c.mu.Lock()
		err := c.mayWrite(a.Chat)
		c.mu.Unlock()
		if err != nil {
			return none{}, err
		}
	}
	return none{}, c.change(a.Chat, func(chat *vault.Chat) { chat.Archived = a.On }, func(r *vault.Replica) (vault.Put, error) {
		return r.SetRegister(a.Chat, vault.RegisterArchived, a.On)
	})
}

// change changes one thing of a chat: by inMemory where no store may see it, by
// inVault elsewhere.
func (c *core) change(id string, inMemory func(*vault.Chat), inVault func(*vault.Replica) (vault.Put, error)) error {
	c.mu.Lock()
	if t, ok := c.chats.temp[id]; ok {
		inMemory(&t.chat)
		c.emitChat(id)
		c.mu.Unlock()
		return nil
	}
	_, err := c.find(id)
	v := c.vault
	c.mu.Unlock()
	if err != nil {
		return err
	}
	put, err := inVault(v.replica)
	if err != nil {
		return err
	}
	err = c.keep([]vault.Put{put}, nil)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.emitChats()
	c.emitChat(id)
	return err
}

// deleteChat erases a chat here and at the server, and stops its answers.
func (c *core) deleteChat(ctx context.Context, a chatArgs) (none, error) {
	if _, err := c.stop(ctx, a); err != nil {
		return none{}, err
	}
	c.mu.Lock()
	for _, an := range c.chats.answers {
		if an.chat == a.Chat {
			an.discard = true
		}
	}
	_, temporary := c.chats.temp[a.Chat]
	_, fresh := c.chats.fresh[a.Chat]
	delete(c.chats.temp, a.Chat)
	delete(c.chats.fresh, a.Chat)
	delete(c.chats.open, a.Chat)
	v := c.vault
	c.mu.Unlock()
	switch {
	case temporary:
		return none{}, nil
	case v == nil:
		return none{}, errLocked
	}
	if _, ok := v.replica.Chat(a.Chat); !ok {
		if fresh {
			return none{}, nil
		}
		return none{}, errNoChat
	}
	err := c.keep(v.replica.DeleteChat(a.Chat))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.emitChats()
	return none{}, err
}

// firstWords makes a title of the beginning of a text.
func firstWords(text string) string {
	const limit = 48 // characters
	var b strings.Builder
	n := 0
	for _, w := range strings.Fields(text) {
		if n += utf8.RuneCountInString(w) + 1; n > limit+1 && b.Len() > 0 {
			return b.String() + "…"
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		if utf8.RuneCountInString(w) > limit {
			return b.String() + string([]rune(w)[:limit]) + "…"
		}
		b.WriteString(w)
	}
	return b.String()
}
