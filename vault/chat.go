// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Message is one message of a chat. It never changes: editing makes another
// message with the same parent, a branch. In the vault it is the JSON form of
// this struct without id; unknown fields are kept out of the way of newer
// versions by being ignored.
type Message struct {
	ID        string `json:"id,omitempty"` // 32 hex digits; the record's id
	Chat      string `json:"chat"`         // 32 hex digits
	Parent    string `json:"parent,omitempty"`
	Role      string `json:"role"` // "user", "assistant", "system"
	Text      string `json:"text"`
	Reasoning string `json:"reasoning,omitempty"`
	Model     string `json:"model,omitempty"`
	// Status is "complete", "stopped" (by the person) or "failed"; empty means
	// complete.
	Status string `json:"status,omitempty"`
	// Error is the sentence that was shown when Status is "failed".
	Error string `json:"error,omitempty"`
	// Created is the writer's time in milliseconds since 1970.
	Created int64 `json:"created"`
	// Receipt says which machine answered, as package client made it.
	Receipt json.RawMessage `json:"receipt,omitempty"`
}

// Chat is what a list of chats shows: the registers of one chat and what follows
// from its messages.
type Chat struct {
	ID        string `json:"id"`
	Title     string `json:"title"`
	TitleAuto bool   `json:"title_auto,omitempty"` // made by the model, not by the person
	Pinned    bool   `json:"pinned,omitempty"`
	Archived  bool   `json:"archived,omitempty"`
	Folder    string `json:"folder,omitempty"`
	// Order sorts chats by hand: compared as text, before those without.
	Order string `json:"order,omitempty"`
	Model string `json:"model,omitempty"`
	// CacheSalt is random and goes with every request of this chat, so that the
	// engine's prompt cache is shared with no other chat.
	CacheSalt string `json:"cache_salt,omitempty"`
	// Branch is the id of the last message of the branch shown.
	Branch  string `json:"branch,omitempty"`
	Created int64  `json:"created"` // oldest message, ms
	Updated int64  `json:"updated"` // newest message, ms
	Count   int    `json:"count"`   // messages, all branches
}

// Names of the registers of a chat and the JSON type of their values. Others
// may be used; those of chat "" belong to the account (settings, say).
const (
	RegisterTitle     = "title"      // {"text":string,"auto":bool}, see SetTitle
	RegisterPinned    = "pinned"     // bool
	RegisterArchived  = "archived"   // bool
	RegisterFolder    = "folder"     // string
	RegisterOrder     = "order"      // string
	RegisterModel     = "model"      // string
	RegisterCacheSalt = "cache_salt" // string
	RegisterBranch    = "branch"     // string
)

// titleValue is the value of RegisterTitle: one register, so that a title and
// who made it can't come apart.
type titleValue struct {
	Text string `json:"text"`
	Auto bool   `json:"auto"`
}

type registerBody struct {
	Chat  string          `json:"chat"`
	Name  string          `json:"name"`
	Value json.RawMessage `json:"value"`
}

type tombstoneBody struct {
	Erase []RecordID `json:"erase"`
}

const (
	maxRegisterName = 64
	maxShortField   = 4096
)

func decodeMessage(id RecordID, body []byte) (*Message, error) {
	var m Message
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, fmt.Errorf("message: %w", ErrFormat)
	}
	m.ID = id.String()
	return &m, m.check()
}

func (m *Message) check() error {
	for _, id := range []string{m.ID, m.Chat} {
		if _, err := ParseRecordID(id); err != nil {
			return fmt.Errorf("message id or chat: %w", err)
		}
	}
	if m.Parent != "" {
		if _, err := ParseRecordID(m.Parent); err != nil {
			return fmt.Errorf("message parent: %w", err)
		}
	}
	if m.Role == "" || len(m.Role) > 32 || len(m.Model) > maxShortField || len(m.Status) > 32 || len(m.Error) > maxShortField {
		return fmt.Errorf("%w: message", ErrFormat)
	}
	return nil
}

func decodeRegister(body []byte) (*registerBody, error) {
	var g registerBody
	if err := json.Unmarshal(body, &g); err != nil {
		return nil, fmt.Errorf("register: %w", ErrFormat)
	}
	return &g, g.check()
}

func (g *registerBody) check() error {
	if g.Chat != "" {
		if _, err := ParseRecordID(g.Chat); err != nil {
			return fmt.Errorf("register: %w", err)
		}
	}
	if g.Name == "" || len(g.Name) > maxRegisterName || strings.ContainsRune(g.Name, 0) || len(g.Value) == 0 {
		return fmt.Errorf("%w: register", ErrFormat)
	}
	return nil
}

func decodeTombstone(body []byte) ([]RecordID, error) {
	var t tombstoneBody
	if err := json.Unmarshal(body, &t); err != nil {
		return nil, fmt.Errorf("tombstone: %w", ErrFormat)
	}
	if len(t.Erase) == 0 || len(t.Erase) > MaxErase {
		return nil, fmt.Errorf("%w: tombstone of %d records", ErrFormat, len(t.Erase))
	}
	return t.Erase, nil
}

// registerID derives a register's record id, so that all devices agree on it and
// the server can't tell whose title or pin it is (spec: "Registers").
func (r *Replica) registerID(chat, name string) RecordID {
	return RecordID(mac(r.keys.registers, []byte(chat), []byte{0}, []byte(name))[:16])
}

// AddMessage seals a message and shows it at once. An empty ID is filled with a
// random one, a zero Created with the time. The put is also in
// [Replica.Pending] until the server has it. ErrTooLarge: more than about
// 1,000,000 bytes in all.
func (r *Replica) AddMessage(m Message) (Put, error) {
	if m.ID == "" {
		m.ID = NewID()
	}
	if m.Created == 0 {
		m.Created = r.Now().UnixMilli()
	}
	if err := m.check(); err != nil {
		return Put{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	id, _ := ParseRecordID(m.ID)
	if _, exists := r.places[place{Messages, id, Version{}}]; exists {
		return Put{}, fmt.Errorf("message %s exists: messages never change", m.ID)
	}
	body := m
	body.ID = ""
	return r.seal(place{collection: Messages, id: id}, body, opened{message: &m})
}

// SetRegister writes a register of a chat, or of the account when chat is "".
// value is anything that encoding/json can write.
func (r *Replica) SetRegister(chat, name string, value any) (Put, error) {
	encoded, err := json.Marshal(value)
	if err != nil {
		return Put{}, fmt.Errorf("register %s: %w", name, err)
	}
	g := registerBody{chat, name, encoded}
	if err := g.check(); err != nil {
		return Put{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	id := r.registerID(chat, name)
	version, err := r.nextVersion(id)
	if err != nil {
		return Put{}, err
	}
	return r.seal(place{Registers, id, version}, g, opened{register: &g})
}

// SetTitle writes a chat's title; auto says that the model made it.
func (r *Replica) SetTitle(chat, title string, auto bool) (Put, error) {
	return r.SetRegister(chat, RegisterTitle, titleValue{title, auto})
}

// nextVersion returns a version that is newer than the register's newest known
// one, and than all that was written up to this minute.
func (r *Replica) nextVersion(id RecordID) (Version, error) {
	clock := uint64(max(0, r.Now().Unix()/60)) << 24
	if g, ok := r.registers[id]; ok && g.version.Clock >= clock {
		if g.version.Clock == math.MaxUint64 {
			return Version{}, errors.New("vault: the register has no newer version left")
		}
		clock = g.version.Clock + 1
	}
	// A register that was erased and is written again within the minute must
	// not take the place of its earlier self.
	v := Version{clock, r.device}
	for {
		if _, taken := r.places[place{Registers, id, v}]; !taken {
			return v, nil
		}
		v.Clock++
	}
}

// DeleteChat erases a chat: its messages and registers are gone here at once,
// and from the server when it has the tombstones that are returned. A message
// that another device adds at the same time, not knowing, is not lost.
func (r *Replica) DeleteChat(id string) ([]Put, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, ok := r.chats[id]
	if !ok || id == "" {
		return nil, fmt.Errorf("vault: no chat %q", id)
	}
	var ids []RecordID
	for _, m := range c.messages {
		ids = append(ids, m.recordID())
	}
	for _, g := range c.registers {
		ids = append(ids, g.id)
	}
	return r.tombstone(ids)
}

// DeleteMessages erases single messages. Those that follow them stay.
func (r *Replica) DeleteMessages(messageIDs ...string) ([]Put, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var ids []RecordID
	for _, s := range messageIDs {
		id, err := ParseRecordID(s)
		if err != nil || r.messages[id] == nil {
			return nil, fmt.Errorf("vault: no message %q", s)
		}
		ids = append(ids, id)
	}
	return r.tombstone(ids)
}

func (r *Replica) tombstone(ids []RecordID) ([]Put, error) {
	var puts []Put
	for part := range slices.Chunk(ids, MaxErase) {
		part = slices.Clone(part)
		put, err := r.seal(place{collection: Tombstones, id: NewRecordID()}, tombstoneBody{part}, opened{erase: part})
		if err != nil {
			return puts, err
		}
		puts = append(puts, put)
	}
	return puts, nil
}

func (m *message) recordID() RecordID {
	id, _ := ParseRecordID(m.ID) // checked when the message came in
	return id
}

// chat is the state of one chat.
type chat struct {
	view      Chat
	messages  []*message // in order once sorted
	sorted    bool
	registers map[string]chatRegister
}

type chatRegister struct {
	id    RecordID
	value json.RawMessage
}

func newChat(id string) *chat {
	return &chat{view: Chat{ID: id}, registers: map[string]chatRegister{}}
}

func (c *chat) add(m *message) {
	c.messages = append(c.messages, m)
	c.sorted = false
	c.count(m)
}

func (c *chat) count(m *message) {
	if c.view.Count == 0 || m.Created < c.view.Created {
		c.view.Created = m.Created
	}
	if c.view.Count == 0 || m.Created > c.view.Updated {
		c.view.Updated = m.Created
	}
	c.view.Count++
}

// sweep drops the messages that were erased.
func (c *chat) sweep() {
	c.messages = slices.DeleteFunc(c.messages, func(m *message) bool { return m.erased })
	c.view.Count, c.view.Created, c.view.Updated = 0, 0, 0
	for _, m := range c.messages {
		c.count(m)
	}
}

func (c *chat) set(name string, id RecordID, value json.RawMessage) {
	c.registers[name] = chatRegister{id, value}
	c.read(name, value)
}

func (c *chat) unset(name string) {
	delete(c.registers, name)
	c.read(name, nil)
}

// read fills the view from a register. A value of another type, from a newer
// version of the program perhaps, reads as absent.
func (c *chat) read(name string, value json.RawMessage) {
	v := &c.view
	switch name {
	case RegisterTitle:
		var t titleValue
		readValue(value, &t)
		v.Title, v.TitleAuto = t.Text, t.Auto
	case RegisterPinned:
		readValue(value, &v.Pinned)
	case RegisterArchived:
		readValue(value, &v.Archived)
	case RegisterFolder:
		readValue(value, &v.Folder)
	case RegisterOrder:
		readValue(value, &v.Order)
	case RegisterModel:
		readValue(value, &v.Model)
	case RegisterCacheSalt:
		readValue(value, &v.CacheSalt)
	case RegisterBranch:
		readValue(value, &v.Branch)
	}
}

func readValue[T any](value json.RawMessage, to *T) {
	var v T
	if len(value) == 0 || json.Unmarshal(value, &v) != nil {
		var zero T
		v = zero
	}
	*to = v
}
