// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"sort"
	"strings"
)

// Chats returns all chats that have a message, as a list shows them: pinned ones
// first; then those that a person ordered by hand, by Order; then the newest
// first. Archived ones are among them.
func (r *Replica) Chats() []Chat {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.sortedChats()
	views := make([]Chat, len(list))
	for i, c := range list {
		views[i] = c.view
	}
	return views
}

func (r *Replica) sortedChats() []*chat {
	if r.chatsSorted != nil {
		return r.chatsSorted
	}
	list := make([]*chat, 0, len(r.chats))
	for _, c := range r.chats {
		if len(c.messages) > 0 {
			list = append(list, c)
		}
	}
	sort.Slice(list, func(i, j int) bool { return compareChats(&list[i].view, &list[j].view) < 0 })
	r.chatsSorted = list
	return list
}

func compareChats(a, b *Chat) int {
	if a.Pinned != b.Pinned {
		if a.Pinned {
			return -1
		}
		return 1
	}
	if (a.Order == "") != (b.Order == "") {
		if a.Order != "" {
			return -1
		}
		return 1
	}
	return cmp.Or(strings.Compare(a.Order, b.Order), cmp.Compare(b.Updated, a.Updated), strings.Compare(a.ID, b.ID))
}

// Chat returns one chat, also one that has no message yet; false if nothing of
// it is known.
func (r *Replica) Chat(id string) (Chat, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, ok := r.chats[id]
	if !ok || id == "" {
		return Chat{}, false
	}
	return c.view, true
}

// Register returns the JSON value of a register; false if it was never written.
func (r *Replica) Register(chat, name string) (json.RawMessage, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, ok := r.chats[chat]
	if !ok {
		return nil, false
	}
	g, ok := c.registers[name]
	return bytes.Clone(g.value), ok
}

// Messages returns all messages of a chat, every parent before its children,
// siblings by time. A message whose parent is unknown stands as a root, so that
// nothing is hidden by what is missing.
func (r *Replica) Messages(chat string) []Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, ok := r.chats[chat]
	if !ok {
		return nil
	}
	c.sort()
	list := make([]Message, len(c.messages))
	for i, m := range c.messages {
		list[i] = m.Message
	}
	return list
}

// Thread returns the branch that ends in the message with id leaf, root first.
// When leaf is "" or unknown it is the chat's chosen branch, or else the one
// with the newest message. The chosen branch is followed to its newest end.
func (r *Replica) Thread(chat, leaf string) []Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, ok := r.chats[chat]
	if !ok || len(c.messages) == 0 {
		return nil
	}
	byID := make(map[string]*message, len(c.messages))
	for _, m := range c.messages {
		byID[m.ID] = m
	}
	end, ok := byID[leaf]
	if !ok {
		c.sort()
		end = c.newest(byID[c.view.Branch])
	}
	var list []Message
	for m := end; m != nil && len(list) < len(byID); m = byID[m.Parent] {
		list = append(list, m.Message)
	}
	slices.Reverse(list)
	return list
}

// newest returns the newest message below from, or of the chat when from is nil.
// The messages must be sorted.
func (c *chat) newest(from *message) *message {
	below := map[string]bool{}
	best := from
	for _, m := range c.messages {
		if from != nil && m != from && !below[m.Parent] {
			continue
		}
		below[m.ID] = true
		if best == nil || m.Created >= best.Created {
			best = m
		}
	}
	return best
}

// sort orders the messages as a walk through the tree, children after parents
// and siblings by time. It needs no recursion, so that a chat may be as deep as
// it likes, and it breaks circles, which only a broken writer makes.
func (c *chat) sort() {
	if c.sorted {
		return
	}
	known := make(map[string]bool, len(c.messages))
	for _, m := range c.messages {
		known[m.ID] = true
	}
	children := make(map[string][]*message, len(c.messages))
	for _, m := range c.messages {
		parent := m.Parent
		if !known[parent] || parent == m.ID {
			parent = ""
		}
		children[parent] = append(children[parent], m)
	}
	for _, siblings := range children {
		// Last first: they are put on a stack.
		sort.Slice(siblings, func(i, j int) bool {
			a, b := siblings[i], siblings[j]
			return cmp.Or(cmp.Compare(b.Created, a.Created), strings.Compare(b.ID, a.ID)) < 0
		})
	}
	ordered := make([]*message, 0, len(c.messages))
	placed := make(map[string]bool, len(c.messages))
	walk := func(stack []*message) {
		for len(stack) > 0 {
			m := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if placed[m.ID] {
				continue
			}
			placed[m.ID] = true
			ordered = append(ordered, m)
			stack = append(stack, children[m.ID]...)
		}
	}
	walk(slices.Clone(children[""]))
	for _, m := range c.messages { // members of a circle hang on no root
		if !placed[m.ID] {
			walk([]*message{m})
		}
	}
	c.messages, c.sorted = ordered, true
}
