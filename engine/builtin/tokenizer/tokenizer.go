// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package tokenizer turns text into a model's tokens and back, with the
// vocabulary that a GGUF file carries.
//
// Two families are known, which between them cover most Llama-shaped models:
// SentencePiece ("llama"), which merges the pair with the best score, and
// byte-level BPE ("gpt2"), which first cuts the text into words by a pattern and
// then merges the pair with the lowest rank. Both give the tokens that llama.cpp
// gives, because a model is only as good as its tokens are the ones it was
// trained on.
package tokenizer

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/sotto-chat/sotto/engine/builtin/gguf"
)

// Token types, as in a GGUF file's tokenizer.ggml.token_type.
const (
	typeNormal  = 1
	typeUnknown = 2
	typeControl = 3
	typeUser    = 4
	typeUnused  = 5
	typeByte    = 6
)

// maxTokens bounds a vocabulary; the largest known have 262,144.
const maxTokens = 1 << 20

// A Vocab is a vocabulary. It doesn't change after New and may be shared.
type Vocab struct {
	// BOS and EOS begin and end a text; -1 if the model has none.
	BOS, EOS int
	// AddBOS says that every prompt begins with BOS.
	AddBOS bool
	// SpacePrefix says that a space is put before a text that stands at the
	// beginning or after a special token.
	SpacePrefix bool

	text    []string // as in the file
	kind    []byte
	score   []float32
	id      map[string]int32
	special []int32        // tokens that are cut out of a text first, the longest first
	end     map[int32]bool // tokens that end an answer
	unknown int32
	bytes   [256]int32 // tokens of single bytes, -1 if there is none
	encode  func(v *Vocab, text string, out []int32) []int32
	piece   func(v *Vocab, id int32) string

	// Of byte-level BPE only.
	rank         map[pair]int32
	cuts         []cut
	ignoreMerges bool
}

type pair struct{ left, right string }

// New reads the vocabulary of a GGUF file.
func New(f *gguf.File) (*Vocab, error) {
	v := &Vocab{BOS: -1, EOS: -1, unknown: -1, text: f.Strings("tokenizer.ggml.tokens"), score: f.Float32s("tokenizer.ggml.scores")}
	n := len(v.text)
	if n == 0 || n > maxTokens {
		return nil, fmt.Errorf("tokenizer: a vocabulary of %d tokens can't be used", n)
	}
	if err := v.readKinds(f); err != nil {
		return nil, err
	}
	v.id = make(map[string]int32, n)
	for i, s := range v.text {
		if s != "" {
			v.id[s] = int32(i)
		}
	}
	var err error
	switch model := f.String("tokenizer.ggml.model"); model {
	case "llama":
		err = v.newSPM(f)
	case "gpt2":
		err = v.newBPE(f)
	default:
		err = fmt.Errorf("tokenizer: the kind %q isn't supported here, only \"llama\" (SentencePiece) and \"gpt2\" (BPE) are", model)
	}
	if err != nil {
		return nil, err
	}
	v.readSpecials(f)
	return v, nil
}

func (v *Vocab) readKinds(f *gguf.File) error {
	n := len(v.text)
	v.kind = make([]byte, n)
	for i := range v.kind {
		v.kind[i] = typeNormal
	}
	if kinds := f.Int32s("tokenizer.ggml.token_type"); kinds != nil {
		if len(kinds) < n {
			return errors.New("tokenizer: there are fewer token types than tokens")
		}
		for i := range v.kind {
			v.kind[i] = byte(min(max(kinds[i], 0), 255))
		}
	}
	if v.score == nil {
		v.score = make([]float32, n)
	}
	if len(v.score) < n {
		return errors.New("tokenizer: there are fewer scores than tokens")
	}
	for _, s := range v.score[:n] {
		if math.IsNaN(float64(s)) {
			return errors.New("tokenizer: a score isn't a number")
		}
	}
	return nil
}

// endTexts are the tokens that end an answer whatever the metadata says:
// converters don't always say it.
var endTexts = []string{
	"<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<end_of_turn>", "<|endoftext|>", "</s>", "<|eom_id|>",
	"<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>", "<end_of_utterance>", "<eos>", "<｜end▁of▁sentence｜>",
}

// readSpecials finds the tokens with a meaning of their own.
func (v *Vocab) readSpecials(f *gguf.File) {
	id := func(key string, to *int) {
		if n, ok := f.Uint("tokenizer.ggml." + key + "_token_id"); ok && n < uint64(len(v.text)) {
			*to = int(n)
		}
	}
	id("bos", &v.BOS)
	id("eos", &v.EOS)
	if v.BOS >= len(v.text) {
		v.BOS = -1
	}
	if v.EOS >= len(v.text) {
		v.EOS = -1
	}
	v.end = map[int32]bool{}
	for _, key := range []string{"eos", "eot", "eom", "fim_pad", "fim_rep", "fim_sep"} {
		end := -1
		if key == "eos" {
			end = v.EOS
		}
		if id(key, &end); end >= 0 {
			v.end[int32(end)] = true
		}
	}
	for _, s := range endTexts {
		if i, ok := v.id[s]; ok {
			v.end[i] = true
			v.kind[i] = typeControl // some files say otherwise
		}
	}
	if add, ok := f.Bool("tokenizer.ggml.add_bos_token"); ok {
		v.AddBOS = add
	}
	if v.BOS < 0 {
		v.AddBOS = false
	}
	for i, k := range v.kind {
		if (k == typeControl || k == typeUser || k == typeUnknown) && v.text[i] != "" {
			v.special = append(v.special, int32(i))
		}
	}
	slices.SortStableFunc(v.special, func(a, b int32) int { return len(v.text[b]) - len(v.text[a]) })
}

// Len returns the number of tokens.
func (v *Vocab) Len() int { return len(v.text) }

// Text returns a token as the vocabulary writes it, "" for an unknown id.
func (v *Vocab) Text(id int) string {
	if id < 0 || id >= len(v.text) {
		return ""
	}
	return v.text[id]
}

// IsEnd reports whether a token ends an answer.
func (v *Vocab) IsEnd(id int32) bool { return v.end[id] }

// Piece returns the bytes that a token adds to an answer: none for a control
// token. They may be a part of a character.
func (v *Vocab) Piece(id int32) string {
	if id < 0 || int(id) >= len(v.text) {
		return ""
	}
	switch v.kind[id] {
	case typeControl, typeUnknown, typeUnused:
		return ""
	case typeUser:
		return v.text[id]
	}
	return v.piece(v, id)
}

// Encode returns the tokens of a text. With special, the names of special
// tokens in the text become these tokens, as in a rendered chat template;
// without, control tokens are text like any other.
func (v *Vocab) Encode(text string, special bool) []int32 {
	out := make([]int32, 0, len(text)/3+4)
	afterSpecial := true
	for _, part := range v.partition(text, special) {
		if part.token >= 0 {
			out = append(out, part.token)
			afterSpecial = true
			continue
		}
		s := part.text
		if v.SpacePrefix && afterSpecial {
			s = " " + s
		}
		out = v.encode(v, s, out)
		afterSpecial = false
	}
	return out
}

// A part of a text is either plain or one special token.
type part struct {
	text  string
	token int32 // -1 for plain text
}

// partition cuts the special tokens out of a text, the longest name first.
func (v *Vocab) partition(text string, special bool) []part {
	if text == "" {
		return nil
	}
	parts := []part{{text, -1}}
	for _, id := range v.special {
		if !special && v.kind[id] != typeUser {
			continue
		}
		name := v.text[id]
		if !slices.ContainsFunc(parts, func(p part) bool { return p.token < 0 && strings.Contains(p.text, name) }) {
			continue
		}
		var cut []part
		for _, p := range parts {
			if p.token >= 0 {
				cut = append(cut, p)
				continue
			}
			rest := p.text
			for {
				before, after, found := strings.Cut(rest, name)
				if before != "" {
					cut = append(cut, part{before, -1})
				}
				if !found {
					break
				}
				cut = append(cut, part{"", id})
				rest = after
			}
		}
		parts = cut
	}
	return parts
}
