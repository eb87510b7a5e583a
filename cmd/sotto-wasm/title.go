// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/vault"
)

const (
	titleTimeout = 30 * time.Second
	titleTokens  = 24
	titleLimit   = 60 // characters
)

// autoTitle gives a chat a title: the node is asked, sealed like all else; if it
// has none, the question's first words serve. A title that a person has set is
// never touched.
func (c *core) autoTitle(a *answer) {
	c.mu.Lock()
	cl, v := c.trust.client, c.vault
	question, salt, ask := "", "", !c.counted() // a title is not worth a message
	if chat, err := c.find(a.chat); err == nil {
		salt = chat.CacheSalt
	}
	for _, m := range c.messages(a.chat) {
		if m.ID == a.parent {
			question = m.Text
		}
	}
	c.mu.Unlock()
	if v == nil || question == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), titleTimeout)
	defer cancel()
	title := ""
	if ask {
		title = cleanTitle(askTitle(ctx, cl, a.model, salt, question))
	}
	if title == "" {
		title = firstWords(question)
	}
	c.mu.Lock()
	chat, err := c.find(a.chat)
	c.mu.Unlock()
	if err != nil || chat.Title != "" {
		return // deleted, or named by a person meanwhile
	}
	put, err := v.replica.SetTitle(a.chat, title, true)
	if err == nil {
		c.keep([]vault.Put{put}, nil) // the question's words still stand for the title
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.emitChats()
	c.emitChat(a.chat)
}

// askTitle asks the model for a title; "" if there is none.
func askTitle(ctx context.Context, cl *client.Client, model, salt, question string) string {
	if len(question) > 2000 {
		question = strings.ToValidUTF8(question[:2000], "")
	}
	cold := 0.0
	s, err := cl.Chat(ctx, client.ChatRequest{
		Model: model, CacheSalt: salt, MaxTokens: titleTokens, Temperature: &cold,
		Messages: []client.ChatMessage{
			{Role: "system", Content: "Write a title of two to six words for the chat that begins with the given message, in the message’s language. Answer with the title alone."},
			{Role: "user", Content: "Title for this chat: " + question},
		},
	}, client.Options{})
	if err != nil {
		return ""
	}
	defer s.Close()
	var b strings.Builder
	for b.Len() < 1000 {
		d, err := s.Next()
		if err == io.EOF {
			return b.String()
		}
		if err != nil {
			return ""
		}
		b.WriteString(d.Text)
	}
	return b.String()
}

// cleanTitle takes what models put around a title away; "" if what is left
// isn't one.
func cleanTitle(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	s = strings.TrimLeft(s, "#*> ")
	if rest, ok := strings.CutPrefix(strings.ToLower(s), "title:"); ok {
		s = s[len(s)-len(rest):]
	}
	s = strings.Join(strings.Fields(strings.Trim(s, "\"'`*“”„«»‘’ \t")), " ")
	s = strings.TrimRight(s, ".")
	if utf8.RuneCountInString(s) > titleLimit {
		return firstWords(s)
	}
	return s
}
