// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tokenizer

import (
	"container/heap"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/sotto-chat/sotto/engine/builtin/gguf"
)

// space is how SentencePiece writes a space.
const space = "▁"

func (v *Vocab) newSPM(f *gguf.File) error {
	v.BOS, v.EOS, v.AddBOS, v.SpacePrefix = 1, 2, true, true
	if prefix, ok := f.Bool("tokenizer.ggml.add_space_prefix"); ok {
		v.SpacePrefix = prefix
	}
	if remove, _ := f.Bool("tokenizer.ggml.remove_extra_whitespaces"); remove {
		return errors.New("tokenizer: this vocabulary removes spaces, which isn't supported here")
	}
	v.unknown = 0
	if n, ok := f.Uint("tokenizer.ggml.unknown_token_id"); ok && n < uint64(len(v.text)) {
		v.unknown = int32(n)
	}
	for c := range 256 {
		v.bytes[c] = v.unknown
		if id, ok := v.id[fmt.Sprintf("<0x%02X>", c)]; ok {
			v.bytes[c] = id
		} else if id, ok := v.id[string([]byte{byte(c)})]; ok {
			v.bytes[c] = id
		}
	}
	v.encode, v.piece = encodeSPM, pieceSPM
	return nil
}

func pieceSPM(v *Vocab, id int32) string {
	s := v.text[id]
	if v.kind[id] == typeByte {
		var c byte
		if n, err := fmt.Sscanf(s, "<0x%02X>", &c); n == 1 && err == nil {
			return string([]byte{c})
		}
		return ""
	}
	return strings.ReplaceAll(s, space, " ")
}

// A symbol is a run of the text that has been merged so far. Symbols form a
// doubly linked list by index; one that was merged into its left neighbour has
// length 0.
type symbol struct {
	start, len int
	prev, next int
}

// symbols cuts a text into its characters; a stray byte counts as one.
func symbols(text string) []symbol {
	list := make([]symbol, 0, len(text))
	for i := 0; i < len(text); {
		_, n := utf8.DecodeRuneInString(text[i:])
		list = append(list, symbol{i, n, len(list) - 1, len(list) + 1})
		i += n
	}
	if len(list) > 0 {
		list[len(list)-1].next = -1
	}
	return list
}

// join merges symbol r into l, its left neighbour.
func join(list []symbol, l, r int) {
	list[l].len += list[r].len
	list[r].len = 0
	list[l].next = list[r].next
	if n := list[r].next; n >= 0 {
		list[n].prev = l
	}
}

// A candidate is a pair of neighbours that could be merged. It is out of date
// when the two no longer add up to its length.
type candidate struct {
	left, right, len int
	priority         float64 // the lowest goes first, then the leftmost
}

type queue []candidate

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	if q[i].priority != q[j].priority {
		return q[i].priority < q[j].priority
	}
	return q[i].left < q[j].left
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(candidate)) }
func (q *queue) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}

// merge joins neighbours, best first, as long as priority knows a pair.
func merge(text string, list []symbol, priority func(left, right string) (float64, bool)) {
	q := make(queue, 0, len(list))
	consider := func(l, r int) {
		if l < 0 || r < 0 {
			return
		}
		a, b := list[l], list[r]
		if p, ok := priority(text[a.start:a.start+a.len], text[b.start:b.start+b.len]); ok {
			heap.Push(&q, candidate{l, r, a.len + b.len, p})
		}
	}
	for i := 1; i < len(list); i++ {
		consider(i-1, i)
	}
	for len(q) > 0 {
		c := heap.Pop(&q).(candidate)
		if list[c.left].len == 0 || list[c.right].len == 0 || list[c.left].len+list[c.right].len != c.len {
			continue
		}
		join(list, c.left, c.right)
		consider(list[c.left].prev, c.left)
		consider(c.left, list[c.left].next)
	}
}

func encodeSPM(v *Vocab, text string, out []int32) []int32 {
	text = strings.ReplaceAll(text, " ", space)
	list := symbols(text)
	merge(text, list, func(l, r string) (float64, bool) {
		// The two lie side by side in text, so this is a slice of it in all but name.
		id, ok := v.id[l+r]
		if !ok {
			return 0, false
		}
		return -float64(v.score[id]), true
	})
	for i := 0; i >= 0 && i < len(list); i = list[i].next {
		s := text[list[i].start : list[i].start+list[i].len]
		if id, ok := v.id[s]; ok {
			out = append(out, id)
			continue
		}
		for j := range len(s) {
			if id := v.bytes[s[j]]; id >= 0 {
				out = append(out, id)
			}
		}
	}
	return out
}
