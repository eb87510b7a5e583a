// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package build

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/platforms"
	"github.com/sotto-chat/sotto/release"
)

// MaxConfig is the most bytes of a configuration.
const MaxConfig = 1 << 20

// Config says what a release is made of. It is a JSON document; a field that isn't
// known or stands there twice is an error. Paths are seen from the folder that it
// lies in. Where a digest is asked for, a file to hash does too.
type Config struct {
	// Product is what it is a release of, as clients pin it.
	Product string `json:"product"`
	// Version is that of the release, "N.N.N".
	Version string `json:"version"`
	// MinimumVersion revokes all releases below it; "0.0.0" if left out.
	MinimumVersion string `json:"minimum_version"`
	// Revoked are the digests of single releases that are no longer good. It is not
	// taken over from the release before: what is to stay revoked stands here again.
	Revoked []string `json:"revoked"`

	// Source is the folder of the git tree that everything was built from.
	Source string `json:"source"`
	// Web is the folder of the built page; left out, the release has none.
	Web string `json:"web"`

	Node   NodeConfig    `json:"node"`
	Engine EngineConfig  `json:"engine"`
	Models []ModelConfig `json:"models"`

	// Machines is what hardware must prove: require, max_lifetime, platforms, as in a
	// policy (spec/evidence.md). What Measure computes is added to its rules.
	Machines release.Machines `json:"machines"`
	// Measure says what machines start from, so that measurements are computed.
	Measure json.RawMessage `json:"measure"`

	// Log is the file that names the log, its witnesses and their quorum
	// (C2SP tlog-policy).
	Log string `json:"log"`
	// Issuers are the keys that sign the statements of the key log, and KeyLog the
	// file that names that log, its witnesses and their quorum.
	Issuers []string `json:"issuers"`
	KeyLog  string   `json:"key_log"`
	// Relays are the URLs of the relays that clients may go through.
	Relays []string `json:"relays"`
}

// NodeConfig is the program in the machine, and all that it is given.
type NodeConfig struct {
	Binary string      `json:"binary"` // file or digest
	Images []NamedFile `json:"images"` // what machines start from
	Config []NamedFile `json:"config"` // files that the node reads
	Env    []string    `json:"environment"`
	Args   []string    `json:"arguments"`
}

// NamedFile is a file by the name that it has in the machine.
type NamedFile struct {
	Path string `json:"path"`
	From string `json:"from"` // file or digest; Path if left out
}

// EngineConfig is the model server, and all that it is given.
type EngineConfig struct {
	Name    string   `json:"name"`
	Version string   `json:"version"`
	Program string   `json:"program"` // file or digest, of an image for example; "" where it is a part of the node
	Env     []string `json:"environment"`
	Args    []string `json:"arguments"`
}

// ModelConfig is one model.
type ModelConfig struct {
	ID        string `json:"id"`        // by which requests ask for it
	Weights   string `json:"weights"`   // a GGUF file, a folder of safetensors, or a digest
	Tokenizer string `json:"tokenizer"` // file or digest; found in the weights if left out
	Template  string `json:"template"`  // file or digest; found in the weights if left out
}

// ParseConfig reads a configuration strictly.
func ParseConfig(doc []byte) (Config, error) {
	if len(doc) > MaxConfig {
		return Config{}, errors.New("it is longer than a megabyte")
	}
	var c Config
	if err := attest.Strictly(doc, &c); err != nil {
		return Config{}, err
	}
	return c, nil
}

// Options say what a configuration can't: which place in the log is next, and how
// strict to be about the source.
type Options struct {
	Folder string // that paths of the configuration are seen from
	Index  int64  // of the log's next entry
	Time   int64  // Unix seconds; 0 takes that of the commit, so that two people make the same bytes

	// Dirty allows a tree with changes that are in no commit. The manifest then names
	// no commit.
	Dirty bool
}

// Make gathers the manifest of a release. Warnings say what it leaves open.
func Make(ctx context.Context, c Config, o Options) (m release.Manifest, warnings []string, err error) {
	fail := func(err error) (release.Manifest, []string, error) { return release.Manifest{}, nil, err }
	m = release.Manifest{
		Format: release.Format, Product: c.Product, Version: c.Version, MinimumVersion: c.MinimumVersion, Revoked: c.Revoked,
		Time: o.Time, Index: o.Index, Machines: c.Machines, Web: release.Web{Core: "none"}, Issuers: sorted(c.Issuers), Relays: sorted(c.Relays),
	}
	m.Revoked = sorted(m.Revoked)
	if m.MinimumVersion == "" {
		m.MinimumVersion = "0.0.0"
	}
	g := gatherer{folder: o.Folder}

	if c.Web != "" {
		if m.Web, err = Web(os.DirFS(g.path(c.Web))); err != nil {
			return fail(err)
		}
	}
	if m.Node, err = g.node(c.Node); err != nil {
		return fail(err)
	}
	if m.Engine, err = g.engine(c.Engine); err != nil {
		return fail(err)
	}
	for _, x := range c.Models {
		model, err := g.model(x)
		if err != nil {
			return fail(err)
		}
		m.Models = append(m.Models, model)
	}
	slices.SortFunc(m.Models, func(a, b release.Model) int { return strings.Compare(a.ID, b.ID) })
	if c.Log != "" {
		b, err := readSmall(g.path(c.Log), 64<<10)
		if err != nil {
			return fail(err)
		}
		m.Log = string(b)
	}
	if c.KeyLog != "" {
		b, err := readSmall(g.path(c.KeyLog), 64<<10)
		if err != nil {
			return fail(err)
		}
		m.KeyLog = string(b)
	}
	if err := g.measure(c.Measure, &m); err != nil {
		return fail(err)
	}
	if err := settle(&m.Machines); err != nil {
		return fail(err)
	}
	if c.Source == "" {
		return fail(errors.New("source is missing: it names the folder of the git tree that all was built from"))
	}
	source, err := readSource(ctx, g.path(c.Source))
	if err != nil {
		return fail(err)
	}
	m.Commit, m.Toolchain = source.commit, source.toolchain
	if source.changed != "" {
		if !o.Dirty {
			return fail(&DirtyError{source.changed})
		}
		m.Commit = "none"
	}
	if m.Time == 0 {
		m.Time = source.time
	}
	if !strings.HasPrefix(c.Node.Binary, "sha256:") {
		if m.Toolchain, err = checkBinary(g.path(c.Node.Binary), m.Commit); err != nil {
			return fail(err)
		}
	}
	if _, err := m.Encode(); err != nil {
		return fail(err)
	}
	return m, m.LeavesOpen(), nil
}

// DirtyError says that the source has changes that are in no commit.
type DirtyError struct{ File string }

func (e *DirtyError) Error() string {
	return "the source is not what its commit says: " + e.File + " was changed or added"
}

// settle writes the rules of platforms in their one form, and has each platform
// read its own: a rule that doesn't count is found here and not by every client.
func settle(m *release.Machines) error {
	m.Require = sorted(m.Require)
	for name, raw := range m.Platforms {
		plain, err := encodePlain(raw)
		if err != nil {
			return fmt.Errorf("machines: the rules for %s: %w", name, err)
		}
		m.Platforms[name] = plain
	}
	doc, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("machines: %w", err)
	}
	if _, err := platforms.ParsePolicy(doc, platforms.All()); err != nil {
		return fmt.Errorf("machines: %w", err)
	}
	return nil
}

// encodePlain writes JSON in its one form: fields sorted, numbers as they are, and
// without the escapes that are for web pages.
func encodePlain(doc []byte) ([]byte, error) {
	var v any
	dec := json.NewDecoder(strings.NewReader(string(doc)))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return []byte(strings.TrimSuffix(b.String(), "\n")), err
}

func sorted(l []string) []string {
	l = slices.Clone(l)
	slices.Sort(l)
	return l
}

// gatherer reads what a configuration names.
type gatherer struct{ folder string }

func (g gatherer) path(p string) string {
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(g.folder, p)
}

// digest is what stands in a configuration for a digest: one, or a file to hash.
func (g gatherer) digest(what, s string) (string, error) {
	if s == "" {
		return "", fmt.Errorf("%s is missing: it names a file, or is “sha256:<hex>”", what)
	}
	if strings.HasPrefix(s, "sha256:") {
		return s, nil
	}
	d, err := DigestFile(g.path(s))
	if err != nil {
		return "", fmt.Errorf("%s: %w", what, err)
	}
	return d, nil
}

func (g gatherer) files(what string, l []NamedFile) ([]release.File, error) {
	var out []release.File
	for _, f := range l {
		from := f.From
		if from == "" {
			from = f.Path
		}
		d, err := g.digest(what+" "+f.Path, from)
		if err != nil {
			return nil, err
		}
		out = append(out, release.File{Path: f.Path, SHA256: d})
	}
	slices.SortFunc(out, func(a, b release.File) int { return strings.Compare(a.Path, b.Path) })
	return out, nil
}

func (g gatherer) node(c NodeConfig) (n release.Node, err error) {
	if err := CheckNode(c.Args, c.Env); err != nil {
		return n, err
	}
	if n.Binary, err = g.digest("node.binary", c.Binary); err != nil {
		return n, err
	}
	if n.Images, err = g.files("node.images", c.Images); err != nil {
		return n, err
	}
	if n.Config, err = g.files("node.config", c.Config); err != nil {
		return n, err
	}
	n.Environment, n.Arguments = sorted(c.Env), c.Args
	return n, nil
}

func (g gatherer) engine(c EngineConfig) (e release.Engine, err error) {
	e = release.Engine{Name: c.Name, Version: c.Version, Digest: "none", Environment: sorted(c.Env), Arguments: c.Args}
	if c.Program != "" {
		e.Digest, err = g.digest("engine.program", c.Program)
	}
	return e, err
}

func readSmall(file string, limit int64) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%s is longer than %d bytes", file, limit)
	}
	return os.ReadFile(file)
}
