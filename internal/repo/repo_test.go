// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package repo

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/sotto-chat/sotto"

var root = filepath.Join("..", "..")

type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
	Standard   bool
	Module     *struct {
		Path string
		Main bool
	}
}

// list runs go list for one target, with everything that it depends on.
func list(t *testing.T, env []string, args ...string) []pkg {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Imports,Deps,Standard,Module"}, args...)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %v: %v\n%s", args, err, stderr.String())
	}
	var pkgs []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

// own returns p's path inside the module, "" for another's package.
func own(path string) string {
	rest, ok := strings.CutPrefix(path, module+"/")
	if !ok {
		return ""
	}
	return rest
}

// allowed is the data's way through the folders: what each may import of ours.
// A folder that isn't named may import nothing of ours. "internal" is open to all.
var allowed = map[string][]string{
	"seal":            {"seal"},
	"attest":          {"attest"},
	"vault":           {"vault"},
	"store":           {"store", "vault"},
	"engine":          {"engine"},
	"client":          {"client", "seal", "attest"},
	"proxy":           {"proxy", "client", "seal", "attest"},
	"gateway":         {"gateway", "seal/envelope"},
	"node":            {"node", "seal", "attest", "engine"},
	"account":         {"account", "store", "vault"},
	"web":             {"web"},
	"cmd/sotto":       {"client", "proxy", "attest", "vault", "seal", "cmd/sotto"},
	"cmd/sottod":      {"account", "store", "gateway", "node", "engine", "attest", "web", "cmd/sottod"},
	"cmd/sotto-node":  {"node", "engine", "attest", "cmd/sotto-node"},
	"cmd/sotto-wasm":  {"client", "vault", "attest", "seal", "cmd/sotto-wasm"},
	"test":            {"*"},
	"internal":        {"internal"},
	"engine/builtin":  {"engine", "engine/builtin"},
	"attest/software": {"attest", "attest/software"},
}

func within(path, folder string) bool {
	return folder == "*" || path == folder || strings.HasPrefix(path, folder+"/")
}

func TestArrows(t *testing.T) {
	for _, p := range list(t, nil, "./...") {
		from := own(p.ImportPath)
		if from == "" {
			continue
		}
		rule := ""
		for folder := range allowed {
			if within(from, folder) && len(folder) > len(rule) {
				rule = folder
			}
		}
		for _, imp := range p.Imports {
			to := own(imp)
			if to == "" || within(to, "internal") {
				continue
			}
			if !slices.ContainsFunc(allowed[rule], func(f string) bool { return within(to, f) }) {
				t.Errorf("%s may not import %s (its folder may import: %v)", from, to, allowed[rule])
			}
		}
	}
}

// TestGatewayCannotOpen: a gateway that can't link the opening code can't be
// made to open anything, whatever happens to its configuration.
func TestGatewayCannotOpen(t *testing.T) {
	for _, p := range list(t, nil, "-deps", "./gateway") {
		if p.Standard {
			continue // crypto/tls has HPKE of its own, for its own handshake
		}
		for _, imp := range append(p.Imports, p.ImportPath) {
			if own(imp) == "seal" || own(imp) == "vault" || imp == "crypto/hpke" || strings.HasPrefix(imp, "golang.org/x/crypto") {
				t.Errorf("gateway links %s, which imports %s", p.ImportPath, imp)
			}
		}
	}
}

// TestBrowserCore: what the browser loads has no HTTP stack of its own (0.75 MB
// compressed, 1.5 MB with TLS) and no test code.
func TestBrowserCore(t *testing.T) {
	env := []string{"GOOS=js", "GOARCH=wasm"}
	for _, p := range list(t, env, "-deps", "./cmd/sotto-wasm", "./client", "./vault", "./seal", "./attest") {
		switch p.ImportPath {
		case "net/http", "crypto/tls", "net", "testing", "os/exec", "database/sql", "html/template", "text/template":
			t.Errorf("the browser core links %s", p.ImportPath)
		}
	}
}

// TestNodeDependencies: what runs inside the machine stays small enough to read.
func TestNodeDependencies(t *testing.T) {
	modules := map[string]bool{}
	for _, p := range list(t, nil, "-deps", "./cmd/sotto-node") {
		if p.Module != nil && !p.Module.Main {
			modules[p.Module.Path] = true
		}
		if p.ImportPath == "database/sql" || own(p.ImportPath) == "web" || own(p.ImportPath) == "attest/software" {
			t.Errorf("sotto-node links %s", p.ImportPath)
		}
	}
	if len(modules) > 15 {
		t.Errorf("sotto-node links %d third-party modules, more than 15: %v", len(modules), modules)
	}
}

func TestDirectDependencies(t *testing.T) {
	gomod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	contributing, err := os.ReadFile(filepath.Join(root, "CONTRIBUTING.md"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(gomod, []byte("\nreplace ")) {
		t.Error("go.mod replaces a module: what is built would differ from what is named")
	}
	direct := 0
	for line := range strings.Lines(string(gomod)) {
		f := strings.Fields(line)
		if len(f) != 2 || !strings.HasPrefix(line, "\t") {
			continue
		}
		direct++
		if !bytes.Contains(contributing, []byte("`"+f[0]+"`")) {
			t.Errorf("CONTRIBUTING.md doesn't say why %s and not another", f[0])
		}
	}
	if direct == 0 || direct > 25 {
		t.Errorf("%d direct dependencies, want 1 to 25", direct)
	}
}

// files calls f with each file of the repository that has one of the endings,
// by its path from the root, leaving out what is installed or built.
func files(t *testing.T, f func(path string, text []byte), endings ...string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch d.Name() {
			case ".git", ".cache", "node_modules", "dist", "bin", "shots":
				return fs.SkipDir
			}
			return nil
		}
		if !slices.Contains(endings, filepath.Ext(path)) {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		f(filepath.ToSlash(rel), text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestLicenceHeaders(t *testing.T) {
	files(t, func(path string, text []byte) {
		if !bytes.Contains(text[:min(len(text), 300)], []byte("SPDX-License-Identifier: Apache-2.0")) {
			t.Errorf("%s has no SPDX line", path)
		}
	}, ".go", ".ts", ".tsx", ".mjs")
}

// TestPackageComments: each package tells its story once.
func TestPackageComments(t *testing.T) {
	comments := map[string]int{}
	files(t, func(path string, text []byte) {
		dir := filepath.Dir(path)
		if _, ok := comments[dir]; !ok {
			comments[dir] = 0
		}
		if strings.HasSuffix(path, "_test.go") {
			if comments[dir] == 0 {
				comments[dir] = -1 // so far only tests
			}
			return
		}
		if comments[dir] < 0 {
			comments[dir] = 0
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			return
		}
		if file.Doc != nil {
			comments[dir]++
		}
	}, ".go")
	for dir, n := range comments {
		if n == 0 || n > 1 {
			t.Errorf("package %s has %d package comments, want 1", dir, n)
		}
	}
}

// TestNoStringsAsCode: the page is made of elements. Text never becomes markup or
// script, in our sources; the browser enforces the same for what we bundle.
func TestNoStringsAsCode(t *testing.T) {
	sink := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|dangerouslySetInnerHTML|document\.write|\beval\(|new Function\(|createContextualFragment|DOMParser`)
	files(t, func(path string, text []byte) {
		if !strings.HasPrefix(path, "web/src/") {
			return
		}
		if m := sink.Find(text); m != nil {
			t.Errorf("%s uses %s", path, m)
		}
	}, ".ts", ".tsx")
}

// TestNothingTypedIsKept: browsers write the text of fields to their session
// files, in clear, unless a field says not to.
func TestNothingTypedIsKept(t *testing.T) {
	field := regexp.MustCompile(`(?s)<(?:textarea|input)\b.*?/>`)
	files(t, func(path string, text []byte) {
		if !strings.HasPrefix(path, "web/src/") {
			return
		}
		for _, f := range field.FindAll(text, -1) {
			if !bytes.Contains(f, []byte("autocomplete=")) && !bytes.Contains(f, []byte(`type="radio"`)) && !bytes.Contains(f, []byte(`type="checkbox"`)) {
				t.Errorf("%s has a field without autocomplete:\n%s", path, f)
			}
		}
	}, ".tsx")
}

// TestDocumentLinks: a document that names a file of ours names one that exists.
func TestDocumentLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:\s]+)(#[^)]*)?\)`)
	files(t, func(path string, text []byte) {
		for _, m := range link.FindAllSubmatch(text, -1) {
			target := filepath.Join(root, filepath.Dir(path), string(m[1]))
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s, which isn't there", path, m[1])
			}
		}
	}, ".md")
}
