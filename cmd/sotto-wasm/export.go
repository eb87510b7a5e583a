// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/sotto-chat/sotto/vault"
)

// An export is a .zip of plain files: manifest.json, and for each chat
// chats/<id>.json with everything and chats/<id>.md to read.

// exportManifest is manifest.json of an export.
type exportManifest struct {
	Format  string       `json:"format"` // "sotto-export"
	V       int          `json:"v"`
	Made    string       `json:"made"`
	Account string       `json:"account"`
	Chats   int          `json:"chats"`
	Files   []exportFile `json:"files"`
}

type exportFile struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
}

// exportDoc is chats/<id>.json: the chat and all its branches.
type exportDoc struct {
	V        int             `json:"v"`
	Chat     vault.Chat      `json:"chat"`
	Messages []vault.Message `json:"messages"`
}

// exportAll returns a .zip of all chats.
func (c *core) exportAll(context.Context) ([]byte, error) {
	v, err := c.unlocked()
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	now := time.Now().UTC()
	m := exportManifest{Format: "sotto-export", V: 1, Made: now.Format(time.RFC3339), Account: v.account.String(), Files: []exportFile{}}
	add := func(path string, data []byte) error {
		sum := sha256.Sum256(data)
		m.Files = append(m.Files, exportFile{path, hex.EncodeToString(sum[:])})
		w, err := z.CreateHeader(&zip.FileHeader{Name: path, Method: zip.Deflate, Modified: now})
		if err == nil {
			_, err = w.Write(data)
		}
		return err
	}
	for _, chat := range v.replica.Chats() {
		m.Chats++
		doc := newExport(v.replica, chat)
		asJSON, err := doc.json()
		if err != nil {
			return nil, err
		}
		if err := add("chats/"+chat.ID+".json", asJSON); err != nil {
			return nil, err
		}
		if err := add("chats/"+chat.ID+".md", doc.markdown()); err != nil {
			return nil, err
		}
	}
	manifest, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, err
	}
	w, err := z.CreateHeader(&zip.FileHeader{Name: "manifest.json", Method: zip.Deflate, Modified: now})
	if err == nil {
		_, err = w.Write(manifest)
	}
	if err == nil {
		err = z.Close()
	}
	return buf.Bytes(), err
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
	doc := exportDoc{1, clean(chat), messages}
	switch a.As {
	case "md":
		return doc.markdown(), nil
	case "json":
		return doc.json()
	}
	return nil, fmt.Errorf("core: no export as %q", a.As)
}

func newExport(r *vault.Replica, chat vault.Chat) exportDoc {
	return exportDoc{1, clean(chat), r.Messages(chat.ID)}
}

// clean leaves out what is of no use outside.
func clean(chat vault.Chat) vault.Chat {
	chat.CacheSalt = ""
	return chat
}

func (d exportDoc) json() ([]byte, error) { return json.MarshalIndent(d, "", "  ") }

// markdown writes a chat to be read. Branches follow one another, and each
// message below another than the one above it says so.
func (d exportDoc) markdown() []byte {
	var b strings.Builder
	title := d.Chat.Title
	if title == "" && len(d.Messages) > 0 {
		title = firstWords(d.Messages[0].Text)
	}
	fmt.Fprintf(&b, "# %s\n", oneLine(title))
	numbers := map[string]int{}
	last := ""
	for i, m := range d.Messages {
		numbers[m.ID] = i + 1
		who := map[string]string{"user": "You", "assistant": "Answer", "system": "Instructions"}[m.Role]
		if who == "" {
			who = oneLine(m.Role)
		}
		fmt.Fprintf(&b, "\n## %d. %s", i+1, who)
		if m.Model != "" {
			fmt.Fprintf(&b, " (%s)", oneLine(m.Model))
		}
		b.WriteString("\n\n")
		fmt.Fprintf(&b, "*%s*", time.UnixMilli(m.Created).UTC().Format("2006-01-02 15:04 MST"))
		if m.Parent != last {
			if n := numbers[m.Parent]; n > 0 {
				fmt.Fprintf(&b, " · after message %d", n)
			} else {
				b.WriteString(" · another beginning")
			}
		}
		if m.Status == statusStopped {
			b.WriteString(" · stopped")
		}
		b.WriteString("\n\n")
		b.WriteString(strings.TrimRight(m.Text, "\n"))
		b.WriteString("\n")
		if m.Error != "" {
			fmt.Fprintf(&b, "\n> %s\n", oneLine(m.Error))
		}
		last = m.ID
	}
	return []byte(b.String())
}

// oneLine keeps a text from starting a line of its own.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, unicode.IsSpace), " ")
}
