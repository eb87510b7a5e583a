// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	"github.com/sotto-chat/sotto/vault"
)

// hitDoc is Hit of web/src/core/protocol.ts.
type hitDoc struct {
	Chat    string   `json:"chat"`
	Message string   `json:"message"`
	Title   string   `json:"title"`
	Role    string   `json:"role"` // "user", "assistant" or "title"
	Snippet string   `json:"snippet"`
	Marks   [][2]int `json:"marks"` // UTF-16 units, as JavaScript counts
	Created int64    `json:"created"`
}

type searchArgs struct {
	Query string `json:"query"`
}

const maxHits = 100

// search looks through titles and messages, on this device.
func (c *core) search(_ context.Context, a searchArgs) ([]hitDoc, error) {
	v, err := c.unlocked()
	if err != nil {
		return nil, err
	}
	hits := v.replica.Search(a.Query, maxHits)
	c.mu.Lock()
	defer c.mu.Unlock()
	titles := map[string]string{}
	out := []hitDoc{}
	for _, h := range hits {
		title, ok := titles[h.Chat]
		if !ok {
			if chat, err := c.find(h.Chat); err == nil {
				title = c.summary(chat).Title
			}
			titles[h.Chat] = title
		}
		out = append(out, newHit(h, title))
	}
	return out, nil
}

func newHit(h vault.Hit, title string) hitDoc {
	d := hitDoc{Chat: h.Chat, Message: h.Message, Title: title, Role: h.Role, Snippet: h.Snippet, Marks: [][2]int{}, Created: h.Created}
	if h.Message == "" {
		d.Role = "title"
	}
	// Every byte offset gets its offset in UTF-16 units.
	units := make([]int, len(h.Snippet)+1)
	n := 0
	for i, r := range h.Snippet {
		units[i] = n
		n++
		if r > 0xffff {
			n++
		}
	}
	units[len(h.Snippet)] = n
	for _, m := range h.Marks {
		if 0 <= m[0] && m[0] <= m[1] && m[1] <= len(h.Snippet) {
			d.Marks = append(d.Marks, [2]int{units[m[0]], units[m[1]]})
		}
	}
	return d
}
