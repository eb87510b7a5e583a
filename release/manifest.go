// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/tlog"
)

// Format is the only kind of manifest there is.
const Format = "sotto-release/v1"

// Limits of a manifest, beside the one of the whole entry ([MaxSigned]).
const (
	MaxSigned = tlog.MaxEntry // bytes of a manifest with its signatures: what a log takes

	maxName = 256  // bytes of a name, an id, a path
	maxText = 8192 // bytes of a longer text: an argument, a policy of witnesses
	maxList = 256  // items of any list

	// maxQuotes is how many quotation marks a manifest may have: looking for fields
	// that stand there twice takes time with the square of their number.
	maxQuotes = 8192
)

// Manifest says what one release is: everything that changes what a machine does
// with a person's words, and every byte of the page that is served. It has one
// encoding only ([Manifest.Encode]), since its digest is its name.
//
// Digests are "sha256:" and 64 lower-case hex digits. Where a digest may be
// missing, "none" stands for it. Lists that are sorted name each thing once.
type Manifest struct {
	Format  string `json:"format"`  // [Format]
	Product string `json:"product"` // what it is a release of; a client pins it
	Version string `json:"version"` // "N.N.N"
	Commit  string `json:"commit"`  // of the source: 40 or 64 hex digits; "none" only where there is no source to build it from
	Time    int64  `json:"time"`    // when it was described, Unix seconds

	// Index is the entry of the log that it is for, from 0. At another place it
	// doesn't count: or whoever runs the log could write an old release down again,
	// after the one that revokes it.
	Index int64 `json:"index"`

	Toolchain string `json:"toolchain"` // what builds the same bytes again: "go1.26.8"

	// MinimumVersion revokes every release of a lower version, and Revoked the
	// single ones named in it. Those of the newest release count.
	MinimumVersion string   `json:"minimum_version"`
	Revoked        []string `json:"revoked"` // digests of manifests, sorted

	Machines Machines   `json:"machines"` // what hardware must prove
	Measured []Measured `json:"measured"` // where the measurements in Machines come from, by platform, sorted

	Node   Node    `json:"node"`
	Engine Engine  `json:"engine"`
	Models []Model `json:"models"` // sorted by id

	Web     Web      `json:"web"`
	Log     string   `json:"log"`     // the log's key, its witnesses and their quorum (C2SP tlog-policy); "" where none is named
	Issuers []string `json:"issuers"` // keys that sign the statements of the key log (C2SP signed-note), sorted
	KeyLog  string   `json:"key_log"` // the key log's key, its witnesses and their quorum (C2SP tlog-policy); "" where there is none
	Relays  []string `json:"relays"`  // URLs of the relays that clients may go through, sorted; with any, they go through none else
}

// Machines is the part of an [attest.Policy] that a release may decide: which
// hardware there must be, and what it must have measured. What a client accepts
// beyond hardware is never a release's to say.
type Machines struct {
	Require     []string                   `json:"require,omitempty"`
	MaxLifetime int64                      `json:"max_lifetime,omitempty"` // of a key, in seconds
	Platforms   map[string]json.RawMessage `json:"platforms,omitempty"`
}

// Policy returns the policy that machines of the release are judged by.
func (m Machines) Policy() attest.Policy {
	return attest.Policy{Require: m.Require, MaxLifetime: m.MaxLifetime, Platforms: m.Platforms}
}

// Measured says what went into the measurements of one platform and what came
// out. It is for people who compute them again: a client compares with Machines.
type Measured struct {
	Platform string  `json:"platform"`
	Inputs   []Value `json:"inputs"` // sorted by name
	Values   []Value `json:"values"` // sorted by name
}

// Value is a name and what stands for it.
type Value struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Node is the program that opens what people write, and all that it is given.
type Node struct {
	Binary      string   `json:"binary"`      // digest of sotto-node
	Images      []File   `json:"images"`      // what a machine starts from, sorted
	Config      []File   `json:"config"`      // files that the node reads, sorted
	Environment []string `json:"environment"` // "NAME=value": all of it, sorted
	Arguments   []string `json:"arguments"`   // in their order
}

// Engine is the model server beside the node, and all that it is given.
type Engine struct {
	Name        string   `json:"name"`
	Version     string   `json:"version"` // as its maker writes it; "" where it has none
	Digest      string   `json:"digest"`  // "none" where it is a part of the node
	Environment []string `json:"environment"`
	Arguments   []string `json:"arguments"`
}

// Model is one model that machines of the release serve.
type Model struct {
	ID        string `json:"id"`
	Weights   string `json:"weights"`   // digest; "none" leaves open what answers, which only a demo may
	Tokenizer string `json:"tokenizer"` // digest, or "none" where the weights hold it or there is none
	Template  string `json:"template"`  // digest of the chat template, or "none"
}

// Web is the page as the site serves it.
type Web struct {
	Files []File `json:"files"` // sorted by path; the bytes before any compression
	Core  string `json:"core"`  // digest of the WASM core, which is one of Files; "none" where there are none
}

// File is a file and its digest.
type File struct {
	Path   string `json:"path"`   // with slashes, not from the root
	SHA256 string `json:"sha256"` // digest, "sha256:<hex>"
}

// Encode returns the canonical bytes of m, or an error that names the first field
// that no client would accept.
func (m Manifest) Encode() ([]byte, error) {
	m.fill()
	if err := m.check(); err != nil {
		return nil, err
	}
	text := m.encode()
	if _, err := ParseManifest(text); err != nil { // rules inside, which check doesn't look into
		return nil, err
	}
	return text, nil
}

// fill makes lists of those that are nil, so that there is one encoding of none.
func (m *Manifest) fill() {
	m.Revoked, m.Issuers, m.Relays = list(m.Revoked), list(m.Issuers), list(m.Relays)
	m.Measured, m.Models = list(m.Measured), list(m.Models)
	m.Measured = slices.Clone(m.Measured)
	for i := range m.Measured {
		m.Measured[i].Inputs, m.Measured[i].Values = list(m.Measured[i].Inputs), list(m.Measured[i].Values)
	}
	m.Node.Images, m.Node.Config = list(m.Node.Images), list(m.Node.Config)
	m.Node.Environment, m.Node.Arguments = list(m.Node.Environment), list(m.Node.Arguments)
	m.Engine.Environment, m.Engine.Arguments = list(m.Engine.Environment), list(m.Engine.Arguments)
	m.Web.Files = list(m.Web.Files)
}

func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

// encode returns nothing where a rule isn't JSON.
func (m Manifest) encode() []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	_ = enc.Encode(m)
	return b.Bytes()
}

// ParseManifest decodes the canonical bytes of a manifest and refuses all others
// (spec/release.md, "Manifest"). Errors are the rest of a sentence that says what
// is wrong with it.
func ParseManifest(text []byte) (Manifest, error) {
	if len(text) > MaxSigned {
		return Manifest{}, errors.New("it is longer than " + strconv.Itoa(MaxSigned) + " bytes")
	}
	if bytes.Count(text, []byte{'"'}) > maxQuotes {
		return Manifest{}, errors.New("it holds more than " + strconv.Itoa(maxQuotes) + " quotation marks")
	}
	if !plainText(text) {
		return Manifest{}, errors.New("it holds a character or an escape that a manifest can't hold")
	}
	var m Manifest
	// As strictly as rules of a platform: nothing twice, nothing unknown, no null.
	if err := attest.Strictly(text, &m); err != nil {
		return Manifest{}, errors.New("it is not the expected JSON")
	}
	for _, raw := range m.Machines.Platforms {
		if !canonicalRules(raw) {
			return Manifest{}, errors.New("machines.platforms: rules are not in canonical form")
		}
	}
	if !bytes.Equal(m.encode(), text) {
		return Manifest{}, errors.New("it is not in canonical form")
	}
	if err := m.check(); err != nil {
		return Manifest{}, err
	}
	return m, nil
}

// plainText reports whether text holds only printable ASCII and line ends, and of
// escapes only those for quote, backslash, line end and tab: what every encoder
// writes in one way.
func plainText(text []byte) bool {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			i++
			if i == len(text) || text[i] != '"' && text[i] != '\\' && text[i] != 'n' && text[i] != 't' {
				return false
			}
		case c != '\n' && (c < 0x20 || c > 0x7e):
			return false
		}
	}
	return true
}

// canonicalRules reports whether rules of a platform, whose fields this package
// doesn't know, are written in the one way: fields sorted by name, whole numbers.
func canonicalRules(raw []byte) bool {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil || !wholeNumbers(v) {
		return false
	}
	var again, compact bytes.Buffer
	enc := json.NewEncoder(&again)
	enc.SetEscapeHTML(false)
	if enc.Encode(v) != nil || json.Compact(&compact, raw) != nil {
		return false
	}
	compact.WriteByte('\n')
	return bytes.Equal(again.Bytes(), compact.Bytes())
}

func wholeNumbers(v any) bool {
	switch v := v.(type) {
	case json.Number:
		n, _ := strconv.ParseInt(string(v), 10, 64) // an error gives another number than it says
		return strconv.FormatInt(n, 10) == string(v)
	case []any:
		for _, x := range v {
			if !wholeNumbers(x) {
				return false
			}
		}
	case map[string]any:
		for _, x := range v {
			if !wholeNumbers(x) {
				return false
			}
		}
	}
	return true
}

// check refuses fields outside their limits. Errors name the field.
func (m *Manifest) check() error {
	switch {
	case m.Format != Format:
		return errors.New("format is not " + Format)
	case !name(m.Product):
		return errors.New("product is not a plain name")
	case !isVersion(m.Version):
		return errors.New("version is not three numbers, such as 1.4.0")
	case m.Commit != "none" && !lowerHex(m.Commit, 40) && !lowerHex(m.Commit, 64):
		return errors.New("commit is not the full hash of a commit")
	case m.Time <= 0 || m.Time > 1<<40:
		return errors.New("time is not a time in Unix seconds")
	case m.Index < 0 || m.Index > 1<<40:
		return errors.New("index is not that of an entry")
	case !name(m.Toolchain):
		return errors.New("toolchain is not a plain name")
	case !isVersion(m.MinimumVersion):
		return errors.New("minimum_version is not three numbers, such as 1.4.0")
	case Older(m.Version, m.MinimumVersion):
		return errors.New("minimum_version is above the version: the release would revoke itself")
	case !digests(m.Revoked):
		return errors.New("revoked is not a sorted list of digests")
	case !rising(len(m.Measured), func(i int) string { return m.Measured[i].Platform }):
		return errors.New("measured is not a sorted list of platforms")
	case !rising(len(m.Models), func(i int) string { return m.Models[i].ID }):
		return errors.New("models is not a list sorted by id")
	case len(m.Log) > maxText || m.Log != "" && !parses(m.Log):
		return errors.New("log does not name a log and its witnesses")
	case !sorted(m.Issuers):
		return errors.New("issuers is not a sorted list of keys")
	case len(m.KeyLog) > maxText || m.KeyLog != "" && !parses(m.KeyLog):
		return errors.New("key_log does not name a log and its witnesses")
	case m.KeyLog != "" && !vkeys(m.Issuers):
		return errors.New("issuers names no key that could sign a statement of the key log")
	case !sorted(m.Relays) || !urls(m.Relays):
		return errors.New("relays is not a sorted list of URLs such as https://relay.example/")
	}
	if err := m.Machines.check(); err != nil {
		return err
	}
	for _, p := range m.Measured {
		if !values(p.Inputs) || !values(p.Values) {
			return errors.New("measured: what there is of " + p.Platform + " is not sorted by name")
		}
	}
	if err := m.Node.check(); err != nil {
		return err
	}
	if err := m.Engine.check(); err != nil {
		return err
	}
	for _, x := range m.Models {
		if !digestOrNone(x.Weights) || !digestOrNone(x.Tokenizer) || !digestOrNone(x.Template) {
			return errors.New("models: what is said of " + x.ID + " is not a digest")
		}
	}
	return m.Web.check()
}

// vkeys says whether all of the list can sign statements, and there is any.
func vkeys(list []string) bool {
	keys, err := tlog.ParseKeys(list)
	return err == nil && len(keys) > 0
}

// urls says whether each of the list looks like the address of a relay.
func urls(list []string) bool {
	for _, u := range list {
		rest, ok := strings.CutPrefix(u, "https://")
		if !ok {
			rest, ok = strings.CutPrefix(u, "http://")
		}
		if !ok || rest == "" || rest[0] == '/' || strings.ContainsAny(rest, " ?#@\"\\\n\t") {
			return false
		}
	}
	return true
}

// LeavesOpen lists what a manifest leaves open, as sentences: things that could be
// anything on a machine of the release. A release to be trusted leaves nothing open.
func (m Manifest) LeavesOpen() (open []string) {
	if m.Commit == "none" {
		open = append(open, "It names no source commit, so nobody can build it again.")
	}
	if len(m.Machines.Require) == 0 {
		open = append(open, "It requires no kind of hardware.")
	}
	for _, p := range m.Machines.Require {
		if len(m.Machines.Platforms[p]) == 0 {
			open = append(open, "It has no rules for "+p+", so genuine hardware may run anything.")
		}
	}
	for _, x := range m.Models {
		if x.Weights == "none" {
			open = append(open, "It doesn’t say which weights "+x.ID+" has.")
		}
	}
	if len(m.Web.Files) == 0 {
		open = append(open, "It names no file of the page.")
	}
	return open
}

func parses(policy string) bool {
	_, err := tlog.ParsePolicy(policy)
	return err == nil
}

func (m Machines) check() error {
	if !sorted(m.Require) {
		return errors.New("machines.require is not a sorted list of platforms")
	}
	if m.MaxLifetime < 0 || m.MaxLifetime > 1<<30 {
		return errors.New("machines.max_lifetime is not a time in seconds")
	}
	for p, raw := range m.Platforms {
		if !name(p) || len(raw) == 0 || raw[0] != '{' {
			return errors.New("machines.platforms does not hold rules")
		}
	}
	return nil
}

func (n Node) check() error {
	switch {
	case !digest(n.Binary):
		return errors.New("node.binary is not a digest")
	case !files(n.Images):
		return errors.New("node.images is not a sorted list of files")
	case !files(n.Config):
		return errors.New("node.config is not a sorted list of files")
	case !environment(n.Environment):
		return errors.New("node.environment is not a sorted list of variables")
	case !texts(n.Arguments):
		return errors.New("node.arguments is too long")
	}
	return nil
}

func (e Engine) check() error {
	switch {
	case !name(e.Name):
		return errors.New("engine.name is not a plain name")
	case e.Version != "" && !name(e.Version):
		return errors.New("engine.version is not a plain name")
	case !digestOrNone(e.Digest):
		return errors.New("engine.digest is not a digest")
	case !environment(e.Environment):
		return errors.New("engine.environment is not a sorted list of variables")
	case !texts(e.Arguments):
		return errors.New("engine.arguments is too long")
	}
	return nil
}

func (w Web) check() error {
	if !files(w.Files) {
		return errors.New("web.files is not a sorted list of files")
	}
	if w.Core == "none" && len(w.Files) == 0 {
		return nil
	}
	if !slices.ContainsFunc(w.Files, func(f File) bool { return f.SHA256 == w.Core }) {
		return errors.New("web.core is none of web.files")
	}
	return nil
}

// rising reports whether a list of n is short enough, and its keys are names that
// rise.
func rising(n int, key func(i int) string) bool {
	if n > maxList {
		return false
	}
	for i := range n {
		if !name(key(i)) || i > 0 && key(i-1) >= key(i) {
			return false
		}
	}
	return true
}

func sorted(l []string) bool { return rising(len(l), func(i int) string { return l[i] }) }

func digests(l []string) bool {
	return sorted(l) && !slices.ContainsFunc(l, func(s string) bool { return !digest(s) })
}

func files(l []File) bool {
	return rising(len(l), func(i int) string { return l[i].Path }) && !slices.ContainsFunc(l, func(f File) bool { return !digest(f.SHA256) || !path(f.Path) })
}

func values(l []Value) bool {
	return rising(len(l), func(i int) string { return l[i].Name }) && !slices.ContainsFunc(l, func(v Value) bool { return len(v.Value) > maxText })
}

// environment reports whether l holds variables, each once, sorted by name.
func environment(l []string) bool {
	variable := func(i int) string { k, _, _ := strings.Cut(l[i], "="); return k }
	return texts(l) && rising(len(l), variable) && !slices.ContainsFunc(l, func(s string) bool { return !strings.Contains(s, "=") })
}

func texts(l []string) bool {
	return len(l) <= maxList && !slices.ContainsFunc(l, func(s string) bool { return len(s) > maxText })
}

// path reports whether s is a path as a site or an archive has it: parts between
// slashes, none of which leads elsewhere.
func path(s string) bool {
	for part := range strings.SplitSeq(s, "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	return true
}

// name reports whether s is 1 to 256 printable ASCII characters without quote and
// backslash.
func name(s string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

func digest(s string) bool {
	hex, ok := strings.CutPrefix(s, "sha256:")
	return ok && lowerHex(hex, 64)
}

func digestOrNone(s string) bool { return s == "none" || digest(s) }

func lowerHex(s string, n int) bool {
	if len(s) != n {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// version splits "N.N.N" into its numbers, each below a thousand million.
func version(s string) (v [3]int, ok bool) {
	rest := s
	for i := range v {
		var part string
		part, rest, ok = strings.Cut(rest, ".")
		if ok != (i < 2) || part == "" || len(part) > 9 || len(part) > 1 && part[0] == '0' {
			return v, false
		}
		for j := range len(part) {
			if part[j] < '0' || part[j] > '9' {
				return v, false
			}
			v[i] = 10*v[i] + int(part[j]-'0')
		}
	}
	return v, true
}

func isVersion(s string) bool {
	_, ok := version(s)
	return ok
}

// Older reports whether version a is below version b. What is no version is below
// any that is one.
func Older(a, b string) bool {
	x, _ := version(a)
	y, _ := version(b)
	return slices.Compare(x[:], y[:]) < 0
}
