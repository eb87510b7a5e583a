// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package build

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sotto-chat/sotto/release"
)

// model describes one model.
func (g gatherer) model(c ModelConfig) (release.Model, error) {
	if c.Weights == "" {
		return release.Model{}, fmt.Errorf("models: %s has no weights: name a GGUF file, a folder, or a digest", c.ID)
	}
	m := release.Model{ID: c.ID, Weights: c.Weights, Tokenizer: "none", Template: "none"}
	if !strings.HasPrefix(c.Weights, "sha256:") {
		found, err := Model(g.path(c.Weights))
		if err != nil {
			return release.Model{}, fmt.Errorf("models: %s: %w", c.ID, err)
		}
		m.Weights, m.Tokenizer, m.Template = found.Weights, found.Tokenizer, found.Template
	}
	for _, x := range []struct {
		what, from string
		to         *string
	}{{"tokenizer", c.Tokenizer, &m.Tokenizer}, {"template", c.Template, &m.Template}} {
		if x.from == "" {
			continue
		}
		var err error
		if *x.to, err = g.digest("models: "+c.ID+": "+x.what, x.from); err != nil {
			return release.Model{}, err
		}
	}
	return m, nil
}

// Model digests the weights, tokenizer and chat template of a GGUF file or of a
// folder (spec/release.md, "Models"). The result has no id.
func Model(name string) (release.Model, error) {
	info, err := os.Stat(name)
	if err != nil {
		return release.Model{}, err
	}
	if info.IsDir() {
		return modelFolder(name)
	}
	m := release.Model{Tokenizer: "none", Template: "none"}
	if m.Weights, err = DigestFile(name); err != nil {
		return m, err
	}
	f, err := os.Open(name)
	if err != nil {
		return m, err
	}
	defer f.Close()
	magic := make([]byte, 4)
	if _, err := io.ReadFull(f, magic); err != nil || string(magic) != "GGUF" {
		return m, nil // one file of another kind: its digest says all
	}
	if m.Tokenizer, m.Template, err = ggufParts(bufio.NewReaderSize(f, 1<<16)); err != nil {
		return m, fmt.Errorf("%s is no whole GGUF file: %w", filepath.Base(name), err)
	}
	return m, nil
}

// modelFolder digests a folder as model servers load it: all of its files stand for
// the weights, since each of them can change what is answered.
func modelFolder(dir string) (release.Model, error) {
	m := release.Model{Tokenizer: "none", Template: "none"}
	var lines []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		digest, err := DigestFile(p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		lines = append(lines, rel+"\x00"+strings.TrimPrefix(digest, "sha256:")+"\n")
		switch {
		case rel == "tokenizer.json", rel == "tokenizer.model" && m.Tokenizer == "none":
			m.Tokenizer = digest
		case rel == "chat_template.jinja":
			m.Template = digest
		}
		return nil
	})
	if err != nil {
		return m, err
	}
	if len(lines) == 0 {
		return m, errors.New("the folder is empty")
	}
	slices.Sort(lines)
	m.Weights = release.Digest([]byte(strings.Join(lines, "")))
	if m.Template != "none" {
		return m, nil
	}
	doc, err := os.ReadFile(filepath.Join(dir, "tokenizer_config.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return m, err
	}
	var c struct {
		Template json.RawMessage `json:"chat_template"`
	}
	if err := json.Unmarshal(doc, &c); err != nil {
		return m, fmt.Errorf("tokenizer_config.json: %w", err)
	}
	var text string
	switch {
	case len(c.Template) == 0 || string(c.Template) == "null":
	case json.Unmarshal(c.Template, &text) == nil:
		m.Template = release.Digest([]byte(text))
	default: // several, by name
		m.Template = release.Digest(c.Template)
	}
	return m, nil
}

// Limits of what is read of a GGUF file, which no real one comes near.
const (
	maxGGUFKeys   = 1 << 16
	maxGGUFString = 16 << 20
)

// The kinds of values in GGUF's metadata (ggml, docs/gguf.md).
const (
	ggufString = 8
	ggufArray  = 9
)

var ggufSizes = map[uint32]int64{0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}

// ggufParts digests what metadata of a GGUF file says of tokenizer and template. The
// tokenizer is every key-value pair whose key begins with "tokenizer.", but for chat
// templates, with the exact bytes and in the order of the file; the template is the
// text of "tokenizer.chat_template". r begins after the magic.
func ggufParts(r io.Reader) (tokenizer, template string, err error) {
	pair := &bufferHash{off: true}
	g := &ggufReader{r: io.TeeReader(r, pair)}
	version, _, keys := g.u32(), g.u64(), g.u64()
	switch {
	case g.err != nil:
		return "", "", g.err
	case version != 2 && version != 3:
		return "", "", fmt.Errorf("its version is %d", version)
	case keys > maxGGUFKeys:
		return "", "", errors.New("it has too many keys")
	}
	sum, found := sha256.New(), false
	template = "none"
	for range keys {
		*pair = bufferHash{}
		key := g.text()
		isTokenizer := strings.HasPrefix(key, "tokenizer.") && !strings.HasPrefix(key, "tokenizer.chat_template")
		if isTokenizer {
			found = true
			sum.Write(pair.head)
			pair.sum = sum
		}
		pair.off = !isTokenizer
		kind := g.u32()
		if key == "tokenizer.chat_template" && kind == ggufString {
			template = release.Digest([]byte(g.text()))
		} else {
			g.value(kind, 0)
		}
		if g.err != nil {
			return "", "", g.err
		}
	}
	if !found {
		return "none", template, nil
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil)), template, nil
}

// bufferHash takes the bytes of one pair: those of the key are kept until it is
// known whether they count.
type bufferHash struct {
	head []byte
	sum  hash.Hash
	off  bool
}

func (b *bufferHash) Write(p []byte) (int, error) {
	switch {
	case b.off:
	case b.sum != nil:
		b.sum.Write(p)
	default:
		b.head = append(b.head, p...)
	}
	return len(p), nil
}

type ggufReader struct {
	r   io.Reader
	err error
}

func (g *ggufReader) read(p []byte) {
	if g.err == nil {
		_, g.err = io.ReadFull(g.r, p)
	}
}

func (g *ggufReader) u32() uint32 {
	var b [4]byte
	g.read(b[:])
	return binary.LittleEndian.Uint32(b[:])
}

func (g *ggufReader) u64() uint64 {
	var b [8]byte
	g.read(b[:])
	return binary.LittleEndian.Uint64(b[:])
}

func (g *ggufReader) text() string {
	n := g.u64()
	if g.err != nil {
		return ""
	}
	if n > maxGGUFString {
		g.err = errors.New("it has a text that is too long")
		return ""
	}
	var b strings.Builder // what isn't there isn't taken room for
	_, g.err = io.CopyN(&b, g.r, int64(n))
	return b.String()
}

func (g *ggufReader) value(kind uint32, depth int) {
	if g.err != nil {
		return
	}
	switch size, ok := ggufSizes[kind]; {
	case ok:
		_, g.err = io.CopyN(io.Discard, g.r, size)
	case kind == ggufString:
		g.text()
	case kind == ggufArray && depth < 4:
		of, n := g.u32(), g.u64()
		for range n {
			if g.value(of, depth+1); g.err != nil {
				return
			}
		}
	default:
		g.err = fmt.Errorf("it has a value of kind %d", kind)
	}
}
