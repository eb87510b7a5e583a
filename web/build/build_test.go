// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sotto-chat/sotto/test/needs"
)

// tree writes a small app to dir: a page with a lazy part, styles, a frame, a
// Worker, and copies of the packages it uses.
func tree(t *testing.T, dir string) Options {
	t.Helper()
	for name, data := range map[string]string{
		"static/index.html":    `<link rel="stylesheet" href="{{css}}"><script type="module" src="{{js}}"></script><link rel="icon" href="/icon.svg"></head>`,
		"static/icon.svg":      `<svg xmlns="http://www.w3.org/2000/svg"/>`,
		"src/main.tsx":         `import './main.css'; import { h, render } from 'preact'; render(h('p', null), document.body); const lazy = (files: string, f: () => Promise<any>) => (console.log(files), f()); lazy('lazy:lazy', () => import('./lazy')).then((m) => m.show());`,
		"src/main.css":         `body { margin: 0 }`,
		"src/lazy.ts":          `import { lexer } from 'marked'; import { h } from 'preact'; export const show = () => [lexer('x'), h('p', null)];`,
		"src/keeper/sw.ts":     `declare const __HEADERS__: unknown; console.log(__HEADERS__);`,
		"src/core/frame.ts":    `declare const __WORKER_URL__: string, __WORKER_INTEGRITY__: string; console.log(__WORKER_URL__, __WORKER_INTEGRITY__);`,
		"src/worker/worker.ts": `import 'go/wasm_exec'; declare const __WASM_URL__: string, __WASM_INTEGRITY__: string, __POLICY__: string; console.log(__WASM_URL__, __WASM_INTEGRITY__, __POLICY__);`,
		"core.wasm":            "\x00asm\x01\x00\x00\x00",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, pkg := range []string{"preact", "marked"} {
		from := filepath.Join("..", "node_modules", pkg)
		if _, err := os.Stat(from); err != nil {
			needs.Missing(t, "the packages of web/package.json: npm ci in web")
		}
		if err := os.CopyFS(filepath.Join(dir, "node_modules", pkg), os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	return Options{Web: dir, Out: filepath.Join(dir, "dist"), Main: "src/main.tsx", WASM: filepath.Join(dir, "core.wasm")}
}

// files reads a whole directory.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(filepath.Join(dir, p))
		out[p] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSameBytesFromTwoDirectories(t *testing.T) {
	base := t.TempDir()
	one, two := tree(t, filepath.Join(base, "a")), tree(t, filepath.Join(base, "deeper", "and", "longer"))
	two.Cache = filepath.Join(base, "cache")
	for _, o := range []Options{one, two} {
		if _, err := Build(o); err != nil {
			t.Fatal(err)
		}
	}
	a, b := files(t, one.Out), files(t, two.Out)
	if len(a) != len(b) {
		t.Errorf("%d files from one directory, %d from the other", len(a), len(b))
	}
	for p := range a {
		if a[p] != b[p] {
			t.Errorf("%s differs between the two directories", p)
		}
	}
	// A second build over the first, with a warm cache, changes nothing either.
	if _, err := Build(two); err != nil {
		t.Fatal(err)
	}
	for p, data := range files(t, two.Out) {
		if b[p] != data {
			t.Errorf("%s differs when built again", p)
		}
	}
}

// A page wants of machines what it was built with, to the byte, and is not built
// with what its core would refuse.
func TestPolicy(t *testing.T) {
	o := tree(t, t.TempDir())
	o.Policy = filepath.Join(o.Web, "policy.json")
	for doc, want := range map[string]string{
		`{"require":["snp"],"platforms":{"snp":{"min_guest_svn":3}}}`: "",
		`{"platforms":{"snp":{"min_gest_svn":3}}}`:                    "min_gest_svn",
		`{"allow_software":true}`:                                     "allows software",
	} {
		if err := os.WriteFile(o.Policy, []byte(doc), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := Build(o)
		if want != "" {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error is %v, want one with %q", doc, err, want)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for name, text := range files(t, o.Out) {
			found = found || strings.Contains(name, "worker") && strings.Contains(text, doc)
		}
		if !found {
			t.Error("the policy is in no Worker")
		}
	}
	o.Policy = filepath.Join(o.Web, "absent.json")
	if _, err := Build(o); err == nil {
		t.Error("a policy that isn't there is passed over")
	}
}

func TestNamesAndManifest(t *testing.T) {
	o := tree(t, t.TempDir())
	m, err := Build(o)
	if err != nil {
		t.Fatal(err)
	}
	made := files(t, o.Out)
	var onDisk Manifest
	if err := json.Unmarshal([]byte(made["manifest.json"]), &onDisk); err != nil {
		t.Fatal(err)
	}
	if onDisk.Digest != m.Digest || len(onDisk.Files) != len(m.Files) {
		t.Error("manifest.json isn't the manifest that Build returned")
	}
	var js, lazy string
	for _, f := range m.Files {
		if !f.Fixed && !strings.Contains(f.Path, f.SHA256[:16]) {
			t.Errorf("%s isn't named after its digest %s", f.Path, f.SHA256)
		}
		switch {
		case strings.HasPrefix(f.Path, "a/main-") && strings.HasSuffix(f.Path, ".js"):
			js = f.Path
		case strings.HasPrefix(f.Path, "a/lazy-") && strings.HasSuffix(f.Path, ".js"):
			lazy = f.Path
		}
	}
	if js == "" || lazy == "" {
		t.Fatalf("no page or no lazy part among %d files", len(m.Files))
	}
	if !strings.Contains(made[js], "./"+filepath.Base(lazy)) {
		t.Errorf("%s doesn't import %s by its hashed name", js, lazy)
	}
	if !strings.Contains(made["index.html"], `src="/`+js+`" integrity="sha256-`) {
		t.Errorf("index.html doesn't load %s with its integrity: %s", js, made["index.html"])
	}
	// Page and lazy part share preact, in a file that the head names beforehand.
	if !regexp.MustCompile(`<link rel="modulepreload" href="/a/chunk-[0-9a-f]{16}\.js" integrity="sha256-`).MatchString(made["index.html"]) {
		t.Errorf("index.html doesn't name what the page imports: %s", made["index.html"])
	}
	// What a browser doesn't check by itself is named with its digest where it is loaded.
	digest := func(p string) string {
		sum := sha256.Sum256([]byte(made[p]))
		return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
	}
	one := func(pattern string) string {
		for p := range made {
			if ok, _ := path.Match(pattern, p); ok {
				return p
			}
		}
		t.Fatalf("no %s", pattern)
		return ""
	}
	chunk := one("a/chunk-*.js")
	if want := `"/` + chunk + " " + digest(chunk) + " /" + lazy + " " + digest(lazy) + `"`; !strings.Contains(made[js], want) {
		t.Errorf("%s doesn't hold %s: what it loads later goes unchecked", js, want)
	}
	if worker := one("a/worker-*.js"); !strings.Contains(made[one("a/frame-*.js")], digest(worker)) {
		t.Error("the frame doesn't know the digest of the Worker that it starts")
	}
	if core := one("a/core-*.wasm"); !strings.Contains(made[one("a/worker-*.js")], digest(core)) {
		t.Error("the Worker doesn't know the digest of the core that it starts")
	}
	if !strings.Contains(made["sw.js"], "script-src 'self' 'wasm-unsafe-eval'") {
		t.Error("the service worker doesn't know the policies that it has to serve files under")
	}
	// files.json is the whole site, for a release to take over.
	var listing map[string]string
	if err := json.Unmarshal([]byte(made["files.json"]), &listing); err != nil {
		t.Fatal(err)
	}
	if len(listing) != len(m.Files) {
		t.Errorf("files.json lists %d files of %d", len(listing), len(m.Files))
	}
	for _, f := range m.Files {
		if sum := sha256.Sum256([]byte(made[f.Path])); listing[f.Path] != hex.EncodeToString(sum[:]) {
			t.Errorf("files.json says %q of %s", listing[f.Path], f.Path)
		}
	}
	if !strings.Contains(made["licenses.txt"], "==== preact ====") || !strings.Contains(made["licenses.txt"], "==== marked ====") {
		t.Error("licenses.txt lacks a package whose code is in the bundle")
	}
}

// TestBudgets makes an app too heavy in both ways.
func TestBudgets(t *testing.T) {
	o := tree(t, t.TempDir())
	noise := make([]byte, maxCoreBrotli+1)
	rand.Read(noise)
	if err := os.WriteFile(o.WASM, noise, 0o644); err != nil {
		t.Fatal(err)
	}
	// Noise doesn't compress: it counts whole, though no compressed form is kept.
	if _, err := Build(o); err == nil || !strings.Contains(err.Error(), "its budget is 1500.0 KB") {
		t.Errorf("a core over its budget: %v", err)
	}
	if _, err := os.Stat(o.Out); err == nil {
		t.Error("a build over its budget wrote its output")
	}

	o = tree(t, t.TempDir())
	heavy := fmt.Sprintf("import './main.css'; console.log('%x')", noise[:80_000])
	if err := os.WriteFile(filepath.Join(o.Web, o.Main), []byte(heavy), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Build(o); err == nil || !strings.Contains(err.Error(), "load what isn't needed at first by import()") {
		t.Errorf("a first load over its budget: %v", err)
	}
}

func TestBrokenSources(t *testing.T) {
	for name, c := range map[string]struct{ file, data, want string }{
		"syntax":         {"src/main.tsx", "let = ;", "main.tsx:1"},
		"missing file":   {"static/index.html", `<script src="/other.js"></script>`, "refers to other.js"},
		"unchecked part": {"src/main.tsx", `import './main.css'; import('./lazy')`, "its bytes would go unchecked"},
		"reserved list":  {"static/files.json", "{}", "takes a name that the build uses"},
		"reserved name":  {"static/manifest.json", "{}", "takes a name that the build uses"},
		"reserved place": {"static/a/x.svg", "<svg/>", "takes a name that the build uses"},
	} {
		t.Run(name, func(t *testing.T) {
			o := tree(t, t.TempDir())
			file := filepath.Join(o.Web, c.file)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(c.data), 0o644); err != nil {
				t.Fatal(err)
			}
			if _, err := Build(o); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

// TestCoreSameBytesFromTwoDirectories compiles the real core here and from a
// copy of the module elsewhere.
func TestCoreSameBytesFromTwoDirectories(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the core twice")
	}
	list := exec.Command("go", "list", "-deps", "-f", `{{if .Module}}{{if .Module.Main}}{{.Dir}}{{end}}{{end}}`, "./cmd/sotto-wasm")
	list.Dir = filepath.Join("..", "..")
	list.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs(list.Dir)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "a", "module", "somewhere", "else")
	if err := os.MkdirAll(filepath.Join(copied, "web"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		copyFile(t, filepath.Join(root, name), filepath.Join(copied, name))
	}
	for _, dir := range strings.Fields(string(out)) {
		rel, err := filepath.Rel(root, dir)
		if err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if !e.IsDir() {
				copyFile(t, filepath.Join(dir, e.Name()), filepath.Join(copied, rel, e.Name()))
			}
		}
	}
	a, err := coreWASM(Options{Web: ".."})
	if err != nil {
		t.Fatal(err)
	}
	b, err := coreWASM(Options{Web: filepath.Join(copied, "web")})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Errorf("%d bytes here and %d there: the core depends on where it was compiled", len(a), len(b))
	}
	if bytes.Contains(a, []byte(root)) {
		t.Errorf("the core holds the path %s", root)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o644); err != nil {
		t.Fatal(err)
	}
}
