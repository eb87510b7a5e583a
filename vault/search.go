// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"cmp"
	"sort"
	"strings"
	"unicode/utf8"
)

// Hit is a place where a search found something.
type Hit struct {
	Chat string `json:"chat"`
	// Message is the message found; empty when it is the chat's title.
	Message string `json:"message,omitempty"`
	Role    string `json:"role,omitempty"`
	Created int64  `json:"created"` // ms
	// Snippet is one line around the first place found.
	Snippet string `json:"snippet"`
	// Marks are the places found within Snippet: byte offsets, start and end.
	Marks [][2]int `json:"marks,omitempty"`
}

const (
	maxQuery      = 256 // bytes
	maxWords      = 16
	snippetBefore = 40 // characters shown before the first place found
	snippetLength = 160
)

// Search finds the messages and titles that hold all words of the query, each
// anywhere, also within a word, whatever the case and the accents. Titles come
// first, then what the person wrote, then the answers; each group with the
// newest first, and what holds the query as one piece before what holds its
// words apart. At most limit hits are returned. The first search folds all text
// and remembers it; later ones only compare.
func (r *Replica) Search(query string, limit int) []Hit {
	phrase, words := foldQuery(query)
	if len(words) == 0 || limit <= 0 {
		return nil
	}
	type candidate struct {
		rank    int
		created int64
		chat    *chat
		message *message // nil: the title
	}
	var found []candidate
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.sortedChats() {
		if rank, ok := matches(fold(c.view.Title), phrase, words); ok {
			found = append(found, candidate{rank, c.view.Updated, c, nil})
		}
		for _, m := range c.messages {
			if m.folded == "" && m.Text != "" {
				m.folded = fold(m.Text)
			}
			rank, ok := matches(m.folded, phrase, words)
			if !ok {
				continue
			}
			if m.Role == "user" {
				rank += 2
			} else {
				rank += 4
			}
			found = append(found, candidate{rank, m.Created, c, m})
		}
	}
	sort.SliceStable(found, func(i, j int) bool {
		a, b := found[i], found[j]
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(b.created, a.created)) < 0
	})
	hits := make([]Hit, 0, min(limit, len(found)))
	for _, f := range found[:min(limit, len(found))] {
		h := Hit{Chat: f.chat.view.ID, Created: f.created}
		text := f.chat.view.Title
		if f.message != nil {
			h.Message, h.Role, text = f.message.ID, f.message.Role, f.message.Text
		}
		h.Snippet, h.Marks = snippet(text, words)
		hits = append(hits, h)
	}
	return hits
}

// matches tells whether the folded text holds all words; rank is 0 when it holds
// them as one piece, else 1.
func matches(text, phrase string, words []string) (rank int, ok bool) {
	for _, w := range words {
		if !strings.Contains(text, w) {
			return 0, false
		}
	}
	if strings.Contains(text, phrase) {
		return 0, true
	}
	return 1, true
}

func foldQuery(query string) (phrase string, words []string) {
	words = strings.Fields(fold(cutText(query, maxQuery)))
	if len(words) > maxWords {
		words = words[:maxWords]
	}
	return strings.Join(words, " "), words
}

// snippet cuts a line of text around the first word found and marks all words
// in it.
func snippet(text string, words []string) (string, [][2]int) {
	at := len(text)
	for _, m := range marks(text, words) {
		at = min(at, m[0])
	}
	if at == len(text) {
		at = 0
	}
	start := at
	for range snippetBefore {
		_, size := utf8.DecodeLastRuneInString(text[:start])
		start -= size
	}
	end := start
	for range snippetLength {
		_, size := utf8.DecodeRuneInString(text[end:])
		end += size
	}
	// One line: white space of any kind and amount becomes one space.
	line := strings.Join(strings.Fields(text[start:end]), " ")
	if start > 0 {
		line = "…" + line
	}
	if end < len(text) {
		line += "…"
	}
	return line, marks(line, words)
}

// marks returns the places of all words in text, in order and not overlapping.
func marks(text string, words []string) [][2]int {
	folded, offsets := foldOffsets(text)
	var all [][2]int
	for _, w := range words {
		for from := 0; ; {
			i := strings.Index(folded[from:], w)
			if i < 0 {
				break
			}
			start, end := from+i, from+i+len(w)
			all = append(all, [2]int{offsets[start], offsets[end]})
			from = end
		}
	}
	sort.Slice(all, func(i, j int) bool { return cmp.Or(all[i][0]-all[j][0], all[j][1]-all[i][1]) < 0 })
	merged := all[:0]
	for _, m := range all {
		if n := len(merged); n > 0 && m[0] <= merged[n-1][1] {
			merged[n-1][1] = max(merged[n-1][1], m[1])
			continue
		}
		merged = append(merged, m)
	}
	return merged
}
