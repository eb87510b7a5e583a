// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tokenizer

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/sotto-chat/sotto/engine/builtin/gguf"
)

// A cut is one step of cutting text into words: every match becomes a word, and
// so does what lies between. Later cuts work inside the words of earlier ones.
type cut struct {
	*regexp.Regexp
	// backs says that a match of the last group, white space, gives its last
	// character back to the word that follows. It stands for \s+(?!\S), which
	// Go's regular expressions can't say.
	backs bool
}

// Unicode's white space, which Go's \s isn't.
const (
	ws    = `\t-\r \x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}`
	short = `'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]`
)

func backing(pattern string) cut {
	return cut{regexp.MustCompile(`^(?:` + pattern + `|([` + ws + `]+))`), true}
}

func plain(pattern string) cut { return cut{regexp.MustCompile(pattern), false} }

// The patterns that models were trained with, by what they have in common.
var (
	gpt2Words = backing(`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^` + ws + `\p{L}\p{N}]+`)
	// From Llama 3 on: any character may lead a word, line ends stay together.
	laterWords = func(digits string) cut {
		return backing(`(?:` + short + `)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}` + digits + `| ?[^` + ws + `\p{L}\p{N}]+[\r\n]*|[` + ws + `]*[\r\n]+`)
	}
	oneDigit = plain(`\p{N}`)
)

// preTokenizers maps tokenizer.ggml.pre to its cuts.
var preTokenizers = func() map[string][]cut {
	m := map[string][]cut{}
	add := func(cuts []cut, names ...string) {
		for _, n := range names {
			m[n] = cuts
		}
	}
	add([]cut{gpt2Words}, "gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "gigachat", "mellum", "modern-bert", "a.x-4.0")
	add([]cut{oneDigit, gpt2Words}, "smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b")
	add([]cut{laterWords(`{1,3}`)}, "llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2",
		"dbrx", "smaug-bpe", "glm4", "chatglm-bpe")
	add([]cut{laterWords(``)}, "qwen2", "stablelm2", "deepseek-r1-qwen", "kormo", "hunyuan", "solar-open", "megrez", "grok-2")
	add([]cut{plain(`[\r\n]`), plain(`[` + ws + `]?\p{L}+`), plain(`[` + ws + `]?\p{P}+`), plain(`[一-龥ࠀ-一가-퟿]+`), oneDigit}, "deepseek-coder")
	add([]cut{plain(`[\p{P}$+<=>^~|]+`), gpt2Words, plain(`\p{N}+`), plain(`[0-9][0-9][0-9]`)}, "default", "")
	return m
}()

func (v *Vocab) newBPE(f *gguf.File) error {
	pre := f.String("tokenizer.ggml.pre")
	cuts, ok := preTokenizers[pre]
	if !ok {
		return fmt.Errorf("tokenizer: the word pattern %q isn't supported here", pre)
	}
	v.cuts = cuts
	switch pre {
	case "llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2":
		v.ignoreMerges, v.AddBOS = true, true
	}
	merges := f.Strings("tokenizer.ggml.merges")
	if len(merges) == 0 {
		return errors.New("tokenizer: the vocabulary has no merges")
	}
	if len(merges) > 4*maxTokens {
		return errors.New("tokenizer: the vocabulary has too many merges")
	}
	v.rank = make(map[pair]int32, len(merges))
	for i, m := range merges {
		// The first half may itself be a space in no vocabulary, so the cut is
		// the first space after the first byte.
		at := strings.IndexByte(m[min(1, len(m)):], ' ')
		if at < 0 {
			return fmt.Errorf("tokenizer: merge %d isn't a pair", i)
		}
		p := pair{m[:at+1], m[at+2:]}
		if _, twice := v.rank[p]; !twice {
			v.rank[p] = int32(i)
		}
	}
	for c := range 256 {
		v.bytes[c] = -1
		if id, ok := v.id[letters[c]]; ok {
			v.bytes[c] = id
		}
	}
	v.encode, v.piece = encodeBPE, pieceBPE
	return nil
}

// letters is how byte-level BPE writes each byte as one printable character;
// bytesOf is the way back.
var letters, bytesOf = func() (l [256]string, b map[rune]byte) {
	b = map[rune]byte{}
	next := rune(256)
	for c := range 256 {
		r := rune(c)
		if !(c >= '!' && c <= '~' || c >= 0xa1 && c <= 0xac || c >= 0xae) {
			r, next = next, next+1
		}
		l[c], b[r] = string(r), byte(c)
	}
	return l, b
}()

func pieceBPE(v *Vocab, id int32) string {
	var out []byte
	for _, r := range v.text[id] {
		if c, ok := bytesOf[r]; ok {
			out = append(out, c)
		} else {
			out = append(out, string(r)...)
		}
	}
	return string(out)
}

func encodeBPE(v *Vocab, text string, out []int32) []int32 {
	words := []string{text}
	for _, c := range v.cuts {
		var finer []string
		for _, w := range words {
			finer = c.words(w, finer)
		}
		words = finer
	}
	var b strings.Builder
	for _, w := range words {
		b.Reset()
		for i := range len(w) {
			b.WriteString(letters[w[i]])
		}
		out = v.word(b.String(), out)
	}
	return out
}

// word appends the tokens of one word written in letters.
func (v *Vocab) word(w string, out []int32) []int32 {
	if id, ok := v.id[w]; ok && v.ignoreMerges {
		return append(out, id)
	}
	list := symbols(w)
	merge(w, list, func(l, r string) (float64, bool) {
		rank, ok := v.rank[pair{l, r}]
		return float64(rank), ok
	})
	for i := 0; i >= 0 && i < len(list); i = list[i].next {
		s := w[list[i].start : list[i].start+list[i].len]
		if id, ok := v.id[s]; ok {
			out = append(out, id)
			continue
		}
		// A merge whose result isn't in the vocabulary: fall back to its bytes.
		for _, r := range s {
			if id := v.bytes[bytesOf[r]]; id >= 0 {
				out = append(out, id)
			}
		}
	}
	return out
}

// words cuts one text.
func (c cut) words(text string, out []string) []string {
	from := 0 // of what hasn't become a word yet
	for at := 0; at < len(text); {
		loc := c.FindStringSubmatchIndex(text[at:])
		if loc == nil || loc[1] == loc[0] {
			if !c.backs || loc != nil {
				break
			}
			// Anchored patterns match everywhere, but for the unforeseen.
			at++
			continue
		}
		start, end := at+loc[0], at+loc[1]
		if c.backs && loc[2] >= 0 && end < len(text) {
			// White space before a word leaves its last character to the word,
			// unless there is only one.
			if last := lastRune(text[start:end]); end-last > start {
				end -= last
			}
		}
		if start > from {
			out = append(out, text[from:start])
		}
		out = append(out, text[start:end])
		from, at = end, end
	}
	if from < len(text) {
		out = append(out, text[from:])
	}
	return out
}

// lastRune is the length in bytes of the last character.
func lastRune(s string) int {
	_, n := utf8.DecodeLastRuneInString(s)
	return n
}
