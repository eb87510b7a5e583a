// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package build

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/sotto-chat/sotto/engine/builtin/gguf"
	"github.com/sotto-chat/sotto/release"
	"github.com/sotto-chat/sotto/release/measure/ovmf/ovmftest"
	"github.com/sotto-chat/sotto/release/measure/pe/petest"
)

// folder writes files into a new folder.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, files)
	return dir
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// git runs git as on a machine that nobody has set up.
func git(t *testing.T, dir string, args ...string) {
	t.Helper()
	for k, v := range map[string]string{
		"GIT_CONFIG_GLOBAL": os.DevNull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": "S", "GIT_AUTHOR_EMAIL": "s@example.com",
		"GIT_COMMITTER_NAME": "S", "GIT_COMMITTER_EMAIL": "s@example.com", "GIT_AUTHOR_DATE": "2026-11-01T12:00:00Z", "GIT_COMMITTER_DATE": "2026-11-01T12:00:01Z",
	} {
		t.Setenv(k, v)
	}
	if out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput(); err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
}

const someDigest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"

// tree is a small tree: source, page, model, machine.
type tree struct {
	dir, src string
	kernel   []byte
}

func newTree(t *testing.T) tree {
	t.Helper()
	kernel := petest.Program(petest.Options{Sections: []petest.Section{{Name: ".text", Data: []byte("kernel")}}})
	dir := folder(t, map[string]string{
		"src/go.mod":                 "module example.com/x\n\ngo 1.26\n",
		"src/cmd/sotto-node/main.go": "package main\n\nfunc main() {}\n",
		"src/.gitignore":             "/bin/\n",
		"OVMF.fd":                    string(ovmftest.Image(ovmftest.Both())), "vmlinuz": string(kernel),
		"model/model.safetensors": "w", "model/tokenizer.json": "t", "model/tokenizer_config.json": `{"chat_template":"x"}`,
	})
	for name, f := range page(map[string]string{"index.html": "page", "a/core.wasm": "core"}) {
		write(t, dir, map[string]string{"web/" + name: string(f.Data)})
	}
	src := filepath.Join(dir, "src")
	git(t, src, "init", "-q")
	git(t, src, "add", ".")
	git(t, src, "commit", "-q", "-m", "first")
	return tree{dir, src, kernel}
}

// make makes a release of the tree. Its program is a digest, since it takes a while
// to build one.
func (tr tree) make(t *testing.T, change func(map[string]any), o Options) (release.Manifest, []string, error) {
	t.Helper()
	base := `{"product":"sotto","version":"1.0.0","source":"src","web":"web",
		"node":{"binary":"` + someDigest + `","images":[{"path":"node/kernel","from":"vmlinuz"},{"path":"OVMF.fd"}],"environment":["B=1","A=2"],"arguments":["-engine","http://127.0.0.1:8000"]},
		"engine":{"name":"vllm","version":"1","program":"vmlinuz"},
		"models":[{"id":"z","weights":"` + someDigest + `"},{"id":"m","weights":"model"}],
		"machines":{"require":["snp"],"platforms":{"snp":{"min_guest_svn":3}}},
		"measure":{"snp":[{"firmware":{"name":"OVMF.fd"},"kernel":{"name":"vmlinuz"},"cmdline":"quiet","vcpus":2,"cpu":"EPYC-Milan"}]},
		"issuers":["b","a"]}`
	var doc map[string]any
	if err := json.Unmarshal([]byte(base), &doc); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(doc)
	}
	b, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseConfig(b)
	if err != nil {
		t.Fatal(err)
	}
	o.Folder = tr.dir
	return Make(t.Context(), c, o)
}

// A program that was built from the tree.
func TestMakeProgram(t *testing.T) {
	tr := newTree(t)
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", "bin/", "./cmd/sotto-node")
	build.Dir = tr.src
	build.Env = append(os.Environ(), "GOFLAGS=", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	m, open, err := tr.make(t, func(d map[string]any) { d["node"].(map[string]any)["binary"] = "src/bin/sotto-node" }, Options{})
	if err != nil || len(open) != 0 {
		t.Fatal(err, open)
	}
	if want, err := DigestFile(filepath.Join(tr.src, "bin", "sotto-node")); err != nil || m.Node.Binary != want {
		t.Errorf("the program is %s, want %s, %v", m.Node.Binary, want, err)
	}
	if !strings.HasPrefix(m.Toolchain, "go1.") || !strings.Contains(m.Toolchain, "/") {
		t.Errorf("built with %q", m.Toolchain)
	}
}

// A release of a small tree
func TestMake(t *testing.T) {
	const d = someDigest
	tr := newTree(t)
	dir, src, kernel := tr.dir, tr.src, tr.kernel
	make := func(change func(map[string]any), o Options) (release.Manifest, []string, error) {
		t.Helper()
		return tr.make(t, change, o)
	}
	m, open, err := make(nil, Options{Index: 5})
	if err != nil {
		t.Fatal(err)
	}
	text, err := m.Encode()
	if err != nil || len(open) != 0 {
		t.Fatal(err, open)
	}
	if len(m.Commit) != 40 || m.Time != 1793534401 || m.Index != 5 || !strings.HasPrefix(m.Toolchain, "go1.") || strings.Contains(m.Toolchain, "/") ||
		m.Node.Environment[0] != "A=2" || m.Node.Images[0].Path != "OVMF.fd" || m.Models[0].ID != "m" || m.Models[1].Weights != d || m.Issuers[0] != "a" || m.MinimumVersion != "0.0.0" {
		t.Errorf("made %s", text)
	}
	if m.Engine.Digest != release.Digest(kernel) || m.Node.Images[1].SHA256 != release.Digest(kernel) {
		t.Errorf("digests in %s", text)
	}
	rules := string(m.Machines.Platforms["snp"])
	if !strings.HasPrefix(rules, `{"measurements":["`) || !strings.HasSuffix(rules, `"],"min_guest_svn":3}`) || len(m.Measured) != 1 || m.Measured[0].Platform != "snp" || len(m.Measured[0].Inputs) == 0 || len(m.Measured[0].Values) != 1 {
		t.Errorf("measured %+v, rules %s", m.Measured, rules)
	}
	again, _, err := make(nil, Options{Index: 5})
	if b, _ := again.Encode(); err != nil || !bytes.Equal(b, text) {
		t.Errorf("made otherwise the second time: %v", err)
	}

	at := func(doc map[string]any, path ...string) map[string]any {
		for _, p := range path {
			doc = doc[p].(map[string]any)
		}
		return doc
	}
	for name, c := range map[string]struct {
		change func(map[string]any)
		want   string
	}{
		"no source":             {func(d map[string]any) { delete(d, "source") }, "source is missing"},
		"source that is none":   {func(d map[string]any) { d["source"] = "model/none" }, "no such file"},
		"source without git":    {func(d map[string]any) { d["source"] = "model" }, "is no git tree with a commit: git rev-parse: fatal"},
		"no page there":         {func(d map[string]any) { d["web"] = "model" }, "make web"},
		"no binary":             {func(d map[string]any) { delete(at(d, "node"), "binary") }, "node.binary is missing"},
		"binary not there":      {func(d map[string]any) { at(d, "node")["binary"] = "none" }, "node.binary: "},
		"binary that is none":   {func(d map[string]any) { at(d, "node")["binary"] = "vmlinuz" }, "node.binary: "},
		"binary that is a dir":  {func(d map[string]any) { at(d, "node")["binary"] = "model" }, "is no file"},
		"image not there":       {func(d map[string]any) { at(d, "node")["images"] = []any{map[string]any{"path": "x"}} }, "node.images x: "},
		"config not there":      {func(d map[string]any) { at(d, "node")["config"] = []any{map[string]any{"path": "x"}} }, "node.config x: "},
		"argument not known":    {func(d map[string]any) { at(d, "node")["arguments"] = []any{"-log-words"} }, "no flag -log-words"},
		"engine not there":      {func(d map[string]any) { at(d, "engine")["program"] = "none" }, "engine.program: "},
		"model not there":       {func(d map[string]any) { d["models"] = []any{map[string]any{"id": "q", "weights": "none"}} }, "models: q: "},
		"model without weights": {func(d map[string]any) { d["models"] = []any{map[string]any{"id": "q"}} }, "models: q has no weights"},
		"tokenizer not there": {func(doc map[string]any) {
			doc["models"] = []any{map[string]any{"id": "q", "weights": d, "tokenizer": "none"}}
		}, "models: q: tokenizer: "},
		"template not there": {func(doc map[string]any) {
			doc["models"] = []any{map[string]any{"id": "q", "weights": d, "template": "none"}}
		}, "models: q: template: "},
		"log not there":          {func(d map[string]any) { d["log"] = "none" }, "none"},
		"log too long":           {func(d map[string]any) { d["log"] = "long" }, "is longer than"},
		"log that is none":       {func(d map[string]any) { d["log"] = "vmlinuz" }, "log does not name a log"},
		"rule not known":         {func(d map[string]any) { at(d, "machines", "platforms", "snp")["min_gest_svn"] = 1 }, "min_gest_svn"},
		"rules that are nothing": {func(d map[string]any) { at(d, "machines", "platforms")["snp"] = 1 }, "machines: the rules for snp"},
		"hardware not known":     {func(d map[string]any) { at(d, "machines")["require"] = []any{"sgx"} }, "sgx"},
		"rule computed":          {func(d map[string]any) { at(d, "machines", "platforms", "snp")["measurements"] = []any{"00"} }, "measurements is computed from measure, so leave it out"},
		"measure not there": {func(d map[string]any) {
			d["measure"] = json.RawMessage(`{"snp":[{"firmware":{"name":"none"},"vcpus":1}]}`)
		}, "measure: open "},
		"measure of a folder": {func(d map[string]any) {
			d["measure"] = json.RawMessage(`{"snp":[{"firmware":{"name":"model"},"vcpus":1}]}`)
		}, "measure: model is no file"},
		"measure not known": {func(d map[string]any) { d["measure"] = json.RawMessage(`{"sgx":[]}`) }, "sgx"},
		"measure of no firmware": {func(d map[string]any) {
			d["measure"] = json.RawMessage(`{"snp":[{"firmware":{"name":"vmlinuz"},"vcpus":1}]}`)
		}, "measure: "},
		"version": {func(d map[string]any) { d["version"] = "1" }, "version is not three"},
	} {
		write(t, dir, map[string]string{"long": strings.Repeat("#", 64<<10+1)})
		if _, _, err := make(c.change, Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}

	// A page is not part of every release; digests do where there is no file.
	m, open, err = make(func(doc map[string]any) {
		delete(doc, "web")
		at(doc, "node")["binary"] = d
		doc["models"] = []any{map[string]any{"id": "q", "weights": d, "tokenizer": d, "template": "vmlinuz"}}
		delete(at(doc, "machines", "platforms"), "snp")
		doc["minimum_version"] = "0.9.0"
	}, Options{Time: 7})
	if err != nil || m.Node.Binary != d || m.Models[0].Tokenizer != d || m.Models[0].Template != release.Digest(kernel) || m.Time != 7 || m.MinimumVersion != "0.9.0" || len(open) != 1 || strings.Contains(m.Toolchain, "/") {
		t.Errorf("%+v, %q, %v", m, open, err)
	}
	if !strings.HasPrefix(string(m.Machines.Platforms["snp"]), `{"measurements":["`) {
		t.Errorf("rules %s", m.Machines.Platforms["snp"])
	}

	// What machines measure needn't be computed.
	m, _, err = make(func(doc map[string]any) { delete(doc, "measure") }, Options{})
	if err != nil || len(m.Measured) != 0 || string(m.Machines.Platforms["snp"]) != `{"min_guest_svn":3}` {
		t.Errorf("nothing measured: %+v, %v", m.Machines, err)
	}

	// A tree that is not its commit
	write(t, src, map[string]string{"new.go": "package x\n"})
	_, _, err = make(nil, Options{})
	if dirty := (*DirtyError)(nil); !errors.As(err, &dirty) || dirty.File != "new.go" {
		t.Errorf("a new file: %v", err)
	}
	if err := os.Remove(filepath.Join(src, "new.go")); err != nil {
		t.Fatal(err)
	}
	write(t, src, map[string]string{"cmd/sotto-node/main.go": "package main\n\nfunc main() { }\n"})
	_, _, err = make(nil, Options{})
	if dirty := (*DirtyError)(nil); !errors.As(err, &dirty) || dirty.File != "cmd/sotto-node/main.go" {
		t.Errorf("a changed file: %v", err)
	}
	m, open, err = make(nil, Options{Dirty: true})
	if err != nil || m.Commit != "none" || len(open) != 1 || !strings.Contains(open[0], "no source commit") {
		t.Errorf("a changed file, allowed: %s, %q, %v", m.Commit, open, err)
	}
}

// Tools that can't do their part, each after those before it have
func TestSourceTools(t *testing.T) {
	tr := newTree(t)
	path := t.TempDir()
	tool, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(tool, filepath.Join(path, "git")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", path)
	if _, _, err := tr.make(t, nil, Options{}); err == nil || !strings.Contains(err.Error(), "go env: ") {
		t.Errorf("without go: %v", err)
	}
	write(t, tr.src, map[string]string{".git/index": "words"})
	if _, _, err := tr.make(t, nil, Options{}); err == nil || !strings.Contains(err.Error(), "git status: ") {
		t.Errorf("an index that can't be read: %v", err)
	}
}

func TestGather(t *testing.T) {
	g := gatherer{folder: filepath.FromSlash("/a")}
	for in, want := range map[string]string{"b": "/a/b", "../b": "/b", "/b": "/b"} {
		if got := filepath.ToSlash(g.path(filepath.FromSlash(in))); got != want {
			t.Errorf("%s is at %s, want %s", in, got, want)
		}
	}
	if e, err := g.engine(EngineConfig{Name: "n"}); err != nil || e.Digest != "none" {
		t.Errorf("an engine in the node: %+v, %v", e, err)
	}
	dir := folder(t, map[string]string{"three": "abc"})
	if b, err := readSmall(filepath.Join(dir, "three"), 3); err != nil || string(b) != "abc" {
		t.Errorf("as long as may be: %q, %v", b, err)
	}
}

func TestRulesHaveOneForm(t *testing.T) {
	got, err := encodePlain([]byte(`{ "b": 12345678901234567, "a": "<" }`))
	if want := `{"a":"<","b":12345678901234567}`; err != nil || string(got) != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
	err = settle(&release.Machines{Platforms: map[string]json.RawMessage{"snp": json.RawMessage("{")}})
	if err == nil || !strings.Contains(err.Error(), "the rules for snp: ") {
		t.Errorf("rules cut off: %v", err)
	}
}

// Programs that nobody could build again, or that don't belong into a release
func TestBinary(t *testing.T) {
	commit := strings.Repeat("a", 40)
	good := func() *debug.BuildInfo {
		info := &debug.BuildInfo{GoVersion: "go1.26.8", Path: "github.com/sotto-chat/sotto/cmd/sotto-node"}
		for _, kv := range [][2]string{{"-trimpath", "true"}, {"CGO_ENABLED", "0"}, {"GOARCH", "amd64"}, {"GOOS", "linux"}, {"GOAMD64", "v1"}, {"vcs.revision", commit}, {"vcs.modified", "false"}} {
			info.Settings = append(info.Settings, debug.BuildSetting{Key: kv[0], Value: kv[1]})
		}
		return info
	}
	if toolchain, err := judgeBinary(good(), commit); err != nil || toolchain != "go1.26.8 linux/amd64 v1" {
		t.Errorf("%q, %v", toolchain, err)
	}
	bare := good()
	bare.Settings = bare.Settings[:4]
	if toolchain, err := judgeBinary(bare, "none"); err != nil || toolchain != "go1.26.8 linux/amd64" {
		t.Errorf("without stamps: %q, %v", toolchain, err)
	}
	for want, kv := range map[string][2]string{
		"without -trimpath": {"-trimpath", ""}, "CGO_ENABLED=1": {"CGO_ENABLED", "1"}, "with -tags demo": {"-tags", "demo"},
		"was built from bbb": {"vcs.revision", strings.Repeat("b", 40)}, "was built from aaa": {"vcs.modified", "true"},
	} {
		info := good()
		info.Settings = append(info.Settings, debug.BuildSetting{Key: kv[0], Value: kv[1]})
		if _, err := judgeBinary(info, commit); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", kv, err, want)
		}
	}
	info := good()
	info.Path = "github.com/sotto-chat/sotto/cmd/sottod"
	if _, err := judgeBinary(info, commit); err == nil || !strings.Contains(err.Error(), "and not sotto-node") {
		t.Errorf("another program: %v", err)
	}
}

func TestParseConfig(t *testing.T) {
	for doc, want := range map[string]string{
		`{"product":"a","produkt":"b"}`:        "produkt",
		`{"product":"a","product":"b"}`:        "twice",
		`{"product":null}`:                     "null",
		`{} {}`:                                "bytes follow",
		`{"machines":{"allow_software":true}}`: "allow_software",
		`{"machines":{"pin":{}}}`:              "pin",
		strings.Repeat(" ", MaxConfig) + `{}`:  "longer than a megabyte",
		`{"node":{"environment":{"A":"1"}}}`:   "environment",
	} {
		if _, err := ParseConfig([]byte(doc)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %q", doc, err, want)
		}
	}
	if _, err := ParseConfig([]byte(strings.Repeat(" ", MaxConfig-2) + `{}`)); err != nil {
		t.Error(err)
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(`{"product":"sotto","models":[{"id":"m"}],"machines":{"require":["snp"]}}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		if c, err := ParseConfig(doc); err == nil {
			if b, err := json.Marshal(c.Machines); err != nil {
				t.Fatal(err, b)
			}
		}
	})
}

// The demo model, by this package and by the one that runs it.
func TestModelFile(t *testing.T) {
	name := filepath.Join(repository, "engine", "builtin", "model", "demo.gguf")
	m, err := Model(name)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	template := f.String("tokenizer.chat_template")
	if m.Weights != release.Digest(b) || template == "" || m.Template != release.Digest([]byte(template)) || m.Tokenizer == "none" {
		t.Errorf("the demo model is %+v", m)
	}
}

// value and friends write GGUF's metadata.
func str(s string) []byte { return append(u64(uint64(len(s))), s...) }
func u32(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }
func u64(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }

func ggufOf(version uint32, pairs ...[]byte) []byte {
	return append(bytes.Join([][]byte{[]byte("GGUF"), u32(version), u64(0), u64(uint64(len(pairs)))}, nil), bytes.Join(pairs, nil)...)
}

func pair(key string, kind uint32, value ...[]byte) []byte {
	return append(append(str(key), u32(kind)...), bytes.Join(value, nil)...)
}

func TestModelParts(t *testing.T) {
	tokens := pair("tokenizer.ggml.tokens", 9, u32(8), u64(2), str("a"), str("b"))
	types := pair("tokenizer.ggml.token_type", 9, u32(5), u64(2), u32(1), u32(1))
	template := pair("tokenizer.chat_template", 8, str("{{ x }}"))
	other := pair("tokenizer.chat_template.tool_use", 8, str("{{ y }}"))
	name := pair("general.name", 8, str("n"))
	nested := pair("general.list", 9, u32(9), u64(1), u32(4), u64(1), u32(7))
	sum := sha256.Sum256(append(bytes.Clone(tokens), types...))
	tokenizer := "sha256:" + hex.EncodeToString(sum[:])
	write := func(b []byte) string {
		file := filepath.Join(t.TempDir(), "m.gguf")
		if err := os.WriteFile(file, b, 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for what, c := range map[string]struct {
		b    []byte
		want release.Model
	}{
		"all":              {ggufOf(3, name, tokens, template, nested, types, other), release.Model{Tokenizer: tokenizer, Template: release.Digest([]byte("{{ x }}"))}},
		"version 2":        {ggufOf(2, tokens, types), release.Model{Tokenizer: tokenizer, Template: "none"}},
		"nothing":          {ggufOf(3), release.Model{Tokenizer: "none", Template: "none"}},
		"template no text": {ggufOf(3, pair("tokenizer.chat_template", 4, u32(1))), release.Model{Tokenizer: "none", Template: "none"}},
		"no GGUF":          {[]byte("weights"), release.Model{Tokenizer: "none", Template: "none"}},
		"short":            {[]byte("GG"), release.Model{Tokenizer: "none", Template: "none"}},
	} {
		m, err := Model(write(c.b))
		c.want.Weights = release.Digest(c.b)
		if err != nil || m != c.want {
			t.Errorf("%s: %+v, %v; want %+v", what, m, err, c.want)
		}
	}
	whole := ggufOf(3, name, tokens, template, nested, types)
	for n := 4; n < len(whole); n++ {
		if _, _, err := ggufParts(bytes.NewReader(whole[4:n])); err == nil {
			t.Errorf("the first %d bytes of %d are a model", n, len(whole))
		}
	}
	for what, b := range map[string][]byte{
		"version":      ggufOf(4),
		"kind":         ggufOf(3, pair("a", 13, u32(0), u64(0))),
		"no length":    ggufOf(3, pair("a", 8)),
		"cut text":     ggufOf(3, pair("a", 8, u64(3), []byte("ab"))),
		"long key":     ggufOf(3, append(u64(1<<62), make([]byte, 5)...)), // the rest of it would do
		"kind in list": ggufOf(3, pair("a", 9, u32(13), u64(1), u64(0))),
		"long text":    ggufOf(3, pair("a", 8, u64(1<<62))),
		"long list":    ggufOf(3, pair("a", 9, u32(0), u64(1<<62))),
		"longer list":  ggufOf(3, pair("a", 9, u32(0), u64(1<<39))),
		"deep":         ggufOf(3, pair("a", 9, u32(9), u64(1), u32(9), u64(1), u32(9), u64(1), u32(9), u64(1), u32(0), u64(0))),
		"many keys":    append([]byte("GGUF"), bytes.Join([][]byte{u32(3), u64(0), u64(1 << 40)}, nil)...),
	} {
		if _, err := Model(write(b)); err == nil {
			t.Errorf("%s is no mistake", what)
		}
	}
	// As much as may be, and more
	key := bytes.Join([][]byte{str(""), u32(0), {0}}, nil)
	deep := []byte{}
	for range 3 {
		deep = append(append(deep, u32(9)...), u64(1)...)
	}
	for what, c := range map[string]struct {
		b  []byte
		ok bool
	}{
		"keys":     {ggufOf(3, slices.Repeat([][]byte{key}, maxGGUFKeys)...), true},
		"one more": {ggufOf(3, slices.Repeat([][]byte{key}, maxGGUFKeys+1)...), false},
		"text":     {ggufOf(3, pair("a", 8, u64(maxGGUFString), make([]byte, maxGGUFString))), true},
		"longer":   {ggufOf(3, pair("a", 8, u64(maxGGUFString+1), make([]byte, maxGGUFString+1))), false},
		"deep":     {ggufOf(3, pair("a", 9, deep, u32(0), u64(0))), true},
	} {
		if _, _, err := ggufParts(bytes.NewReader(c.b[4:])); (err == nil) != c.ok {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := Model(os.DevNull); err == nil || !strings.Contains(err.Error(), "is no file") {
		t.Errorf("what is no file: %v", err)
	}
}

func FuzzModelParts(f *testing.F) {
	f.Add(ggufOf(3, pair("tokenizer.x", 9, u32(8), u64(1), str("a")), pair("tokenizer.chat_template", 8, str("t")))[4:])
	f.Fuzz(func(t *testing.T, b []byte) {
		tokenizer, template, err := ggufParts(bytes.NewReader(b))
		if err == nil && (tokenizer == "" || template == "") {
			t.Fatal("neither digest nor none")
		}
	})
}

func TestModelFolder(t *testing.T) {
	files := map[string]string{"model.safetensors": "w", "sub/more": "m", "sub.txt": "s"}
	line := func(name, text string) string {
		return name + "\x00" + strings.TrimPrefix(release.Digest([]byte(text)), "sha256:") + "\n"
	}
	m, err := Model(folder(t, files))
	if want := (release.Model{Weights: release.Digest([]byte(line("model.safetensors", "w") + line("sub.txt", "s") + line("sub/more", "m"))), Tokenizer: "none", Template: "none"}); err != nil || m != want {
		t.Errorf("%+v, %v; want %+v", m, err, want)
	}
	digest := func(s string) string { return release.Digest([]byte(s)) }
	for what, c := range map[string]struct {
		add                 map[string]string
		tokenizer, template string
	}{
		"tokenizer.json":         {map[string]string{"tokenizer.json": "j"}, digest("j"), "none"},
		"tokenizer.model":        {map[string]string{"tokenizer.model": "p"}, digest("p"), "none"},
		"both":                   {map[string]string{"tokenizer.model": "p", "tokenizer.json": "j"}, digest("j"), "none"},
		"template of its own":    {map[string]string{"chat_template.jinja": "x", "tokenizer_config.json": `{"chat_template":"y"}`}, "none", digest("x")},
		"template in the config": {map[string]string{"tokenizer_config.json": `{"chat_template":"y\n"}`}, "none", digest("y\n")},
		"several templates":      {map[string]string{"tokenizer_config.json": `{"chat_template":[1]}`}, "none", digest("[1]")},
		"null":                   {map[string]string{"tokenizer_config.json": `{"chat_template":null}`}, "none", "none"},
		"none":                   {map[string]string{"tokenizer_config.json": `{}`}, "none", "none"},
	} {
		if m, err := Model(folder(t, c.add)); err != nil || m.Tokenizer != c.tokenizer || m.Template != c.template {
			t.Errorf("%s: %+v, %v", what, m, err)
		}
	}
	if _, err := Model(folder(t, nil)); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Errorf("an empty folder: %v", err)
	}
	if _, err := Model(folder(t, map[string]string{"tokenizer_config.json": "{"})); err == nil || !strings.Contains(err.Error(), "tokenizer_config.json") {
		t.Errorf("a config that is none: %v", err)
	}
	if _, err := Model(folder(t, map[string]string{"tokenizer_config.json/x": "{}"})); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("a config that is a folder: %v", err)
	}
	broken := folder(t, files)
	if err := os.Symlink("none", filepath.Join(broken, "link")); err != nil {
		t.Fatal(err)
	}
	if _, err := Model(broken); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a link to nothing: %v", err)
	}
}
