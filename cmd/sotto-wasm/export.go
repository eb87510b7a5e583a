// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/sotto-chat/sotto/vault"
)

// exportAll returns a .zip of all chats (spec/vault.md, "Export").
func (c *core) exportAll(context.Context) ([]byte, error) {
	v, err := c.unlocked()
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	if err := v.replica.ExportZip(&buf, time.Now()); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

type exportArgs struct {
	Chat string `json:"chat"`
	As   string `json:"as"` // "md" or "json"
}

// exportChat returns one chat, a temporary one too.
func (c *core) exportChat(_ context.Context, a exportArgs) ([]byte, error) {
	c.mu.Lock()
	chat, err := c.find(a.Chat)
	messages := c.messages(a.Chat)
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	doc := vault.NewDocument(chat, messages)
	switch a.As {
	case "md":
		return doc.Markdown(), nil
	case "json":
		return doc.JSON()
	}
	return nil, fmt.Errorf("core: no export as %q", a.As)
}
