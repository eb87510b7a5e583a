// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
)

// Document is one chat in the clear, as an export holds it. Its JSON form is
// documented in spec/vault.md, "Export".
type Document struct {
	V        int       `json:"v"` // 1
	Chat     Chat      `json:"chat"`
	Messages []Message `json:"messages"` // all branches, parents first
}

// exportManifest is manifest.json of an export.
type exportManifest struct {
	Format  string       `json:"format"` // "sotto-export"
	V       int          `json:"v"`
	Made    time.Time    `json:"made"`
	Account AccountID    `json:"account"`
	Chats   int          `json:"chats"`
	Files   []exportFile `json:"files"`
}

type exportFile struct {
	Path   string `json:"path"`
	SHA256 Hash   `json:"sha256"`
}

// NewDocument makes a document of a chat. The cache salt, which is of no use
// elsewhere, is left out.
func NewDocument(chat Chat, messages []Message) Document {
	chat.CacheSalt = ""
	if messages == nil {
		messages = []Message{}
	}
	return Document{1, chat, messages}
}

// Export returns a chat as a document; false when there is none.
func (r *Replica) Export(chat string) (Document, bool) {
	c, ok := r.Chat(chat)
	return NewDocument(c, r.Messages(chat)), ok
}

// ExportZip writes all chats in the clear as a ZIP file: for each chat
// chats/ID.json and, to be read, chats/ID.md; and manifest.json with the hash of
// each. made is the time to note in it.
func (r *Replica) ExportZip(w io.Writer, made time.Time) error {
	made = made.UTC().Truncate(time.Second)
	z := zipWriter{w: w}
	m := exportManifest{Format: "sotto-export", V: 1, Made: made, Account: r.account, Files: []exportFile{}}
	for _, c := range r.Chats() {
		d, ok := r.Export(c.ID)
		if !ok {
			continue // deleted meanwhile
		}
		m.Chats++
		asJSON, err := d.JSON()
		if err != nil {
			return err
		}
		for _, f := range []struct {
			path string
			data []byte
		}{{"chats/" + c.ID + ".json", asJSON}, {"chats/" + c.ID + ".md", d.Markdown()}} {
			m.Files = append(m.Files, exportFile{f.path, sha256.Sum256(f.data)})
			if err := z.add(f.path, f.data, made); err != nil {
				return fmt.Errorf("export: %w", err)
			}
		}
	}
	manifest, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	if err := z.add("manifest.json", manifest, made); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return z.close()
}

// JSON returns the document, indented.
func (d Document) JSON() ([]byte, error) { return json.MarshalIndent(d, "", "  ") }

// Markdown returns the chat to be read. All branches are in it: a message that
// doesn't follow the one above it says which one it follows.
func (d Document) Markdown() []byte {
	var b bytes.Buffer
	title := oneLine(d.Chat.Title)
	if title == "" {
		title = "Untitled chat"
	}
	fmt.Fprintf(&b, "# %s\n", title)
	numbers := map[string]int{}
	last := ""
	for i, m := range d.Messages {
		numbers[m.ID] = i + 1
		fmt.Fprintf(&b, "\n## %d. %s", i+1, speaker(m.Role))
		if m.Model != "" {
			fmt.Fprintf(&b, " (%s)", oneLine(m.Model))
		}
		fmt.Fprintf(&b, "\n\n*%s*", time.UnixMilli(m.Created).UTC().Format("2006-01-02 15:04 MST"))
		if m.Parent != last {
			if n := numbers[m.Parent]; n > 0 {
				fmt.Fprintf(&b, " · after message %d", n)
			} else {
				b.WriteString(" · another beginning")
			}
		}
		if m.Status == "stopped" || m.Status == "failed" {
			b.WriteString(" · " + m.Status)
		}
		fmt.Fprintf(&b, "\n\n%s\n", strings.TrimRight(m.Text, "\n"))
		if m.Error != "" {
			fmt.Fprintf(&b, "\n> %s\n", oneLine(m.Error))
		}
		last = m.ID
	}
	return b.Bytes()
}

func speaker(role string) string {
	switch role {
	case "user":
		return "You"
	case "assistant":
		return "Answer"
	case "system":
		return "Instructions"
	}
	return oneLine(role)
}

// oneLine keeps a text from starting a line of its own.
func oneLine(s string) string { return strings.Join(strings.FieldsFunc(s, unicode.IsSpace), " ") }
