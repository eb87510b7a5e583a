// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package repo

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
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
// A folder stands for those in it too, but for one that has a dot after it.
var allowed = map[string][]string{
	"seal":           {"seal"},
	"attest":         {"attest/bundle"}, // the frame, and not a platform
	"vault":          {"vault"},
	"release":        {"tlog.", "attest."},
	"store":          {"store", "vault"},
	"store/spent":    {"token."},
	"engine":         {"engine"},
	"ohttp":          {"seal/bhttp"},
	"token":          {"token.", "seal/bhttp", "seal/envelope"},
	"token/wallet":   {"token.", "seal/bhttp"},
	"keylog":         {"keylog", "tlog.", "token."},
	"relay":          {"relay", "ohttp"},
	"client":         {"client", "seal", "attest", "tlog.", "release.", "ohttp", "token", "keylog"},
	"proxy":          {"proxy", "client", "seal", "attest"},
	"gateway":        {"gateway", "seal/envelope", "seal/bhttp", "ohttp", "token.", "keylog", "store/spent", "tlog."},
	"node":           {"node", "seal", "attest", "engine"},
	"account":        {"account", "store", "vault", "token.", "keylog"},
	"web":            {"web"},
	"web/build":      {"web", "attest"},
	"cmd/sotto":      {"client", "proxy", "attest", "vault", "seal", "web", "release", "tlog", "ohttp", "token", "keylog", "cmd/sotto"}, // web: sotto app serves the page, verify-web compares it
	"cmd/sottod":     {"account", "store", "gateway", "node", "engine", "attest", "web", "tlog", "release", "relay", "ohttp", "token", "keylog", "cmd/sottod"},
	"cmd/sotto-node": {"node", "engine", "attest", "cmd/sotto-node"},
	"cmd/sotto-wasm": {"client", "vault", "attest", "seal", "release.", "tlog.", "ohttp", "token", "keylog", "cmd/sotto-wasm"},
	"test":           {"*"},
	"internal":       {"internal"},
	"engine/builtin": {"engine", "engine/builtin"},

	"tlog/witness":        {"tlog."},
	"tlog/monitor":        {"tlog.", "release.", "keylog", "token."},
	"tlog/logserver":      {"tlog.", "tlog/witness", "release.", "keylog", "token."},
	"release/build":       {"release", "attest", "tlog."},
	"release/measure":     {"release/measure", "attest."}, // attest.: its strict JSON
	"release/releasetest": {"release.", "tlog."},

	"attest/bundle":               {},
	"attest/pile":                 {},
	"attest/section":              {"attest/section"},
	"attest/cert":                 {"attest.", "attest/cert"},
	"attest/tcg":                  {"attest/tcg"},
	"attest/software":             {"attest.", "attest/software"},
	"attest/snp":                  {"attest.", "attest/cert", "attest/section", "attest/snp"},
	"attest/tdx":                  {"attest.", "attest/cert", "attest/section", "attest/tcg", "attest/tdx"},
	"attest/tpm":                  {"attest.", "attest/cert", "attest/section", "attest/tcg", "attest/tpm"},
	"attest/nvidia":               {"attest.", "attest/cert", "attest/section", "attest/nvidia"},
	"attest/snp/snpdata":          {"attest/pile", "attest/section/write"},
	"attest/tdx/tdxdata":          {"attest/pile", "attest/section/write"},
	"attest/tpm/tpmdata":          {"attest/pile", "attest/section/write"},
	"attest/platforms":            {"attest.", "attest/software.", "attest/snp.", "attest/tdx.", "attest/tpm.", "attest/nvidia."},
	"attest/vectors":              {"attest"},
	"node/hardware":               {"attest/bundle", "attest/nvidia/nvidiadata", "attest/pile", "attest/section/write", "attest/snp/snpdata", "attest/tdx/tdxdata", "attest/tpm/tpmdata", "node/hardware"},
	"node/hardware/tpm/tpmenroll": {"attest/tpm/enroll", "attest/tpm/tpmdata", "node/hardware/tpm"}, // not a part of the node
}

func within(path, folder string) bool {
	if exact, ok := strings.CutSuffix(folder, "."); ok {
		return path == exact
	}
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

// TestFakesStayInTests: a package that signs as a maker of hardware does, with
// roots of its own, is nothing that a program should link. By name, as httptest.
func TestFakesStayInTests(t *testing.T) {
	fake := func(path string) bool {
		return strings.HasPrefix(path, "attest/") && strings.HasSuffix(path, "test")
	}
	for _, p := range list(t, nil, "./...") {
		from := own(p.ImportPath)
		if within(from, "test") || fake(from) {
			continue
		}
		for _, imp := range p.Imports {
			if fake(own(imp)) {
				t.Errorf("%s imports %s, which is for tests", from, own(imp))
			}
		}
	}
}

// TestEvidenceIsJudgedAlone: what judges evidence has its input and nothing else.
// It reads no clock, no file and no random number, and remembers nothing, so
// that everybody comes to the same verdict from the same bytes.
func TestEvidenceIsJudgedAlone(t *testing.T) {
	env := []string{"GOOS=js", "GOARCH=wasm"}
	for _, p := range list(t, env, "-deps", "./attest/platforms") {
		folder := own(p.ImportPath)
		if folder == "" {
			continue
		}
		for _, imp := range p.Imports {
			switch imp {
			case "os", "io/fs", "io/ioutil", "net", "net/http", "net/url", "log", "log/slog", "sync", "sync/atomic", "unsafe", "syscall", "syscall/js",
				"math/rand", "math/rand/v2", "crypto/rand", "encoding/asn1", "crypto/x509", "encoding/xml", "regexp", "text/template", "reflect", "runtime":
				t.Errorf("%s imports %s", folder, imp)
			}
		}
		sources, err := filepath.Glob(filepath.Join(root, folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		var parsed []*ast.File
		for _, s := range sources {
			if strings.HasSuffix(s, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), s, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			parsed = append(parsed, f)
		}
		for _, fault := range append(clocks(parsed), changes(parsed)...) {
			t.Errorf("%s %s", folder, fault)
		}
	}
}

// clocks names the calls that ask for the time.
func clocks(files []*ast.File) (faults []string) {
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "After", "AfterFunc", "Sleep", "Tick", "NewTimer", "NewTicker"}, s.Sel.Name) {
					faults = append(faults, "asks for the time: time."+s.Sel.Name)
				}
			}
			return true
		})
	}
	return faults
}

// changes names the variables of a package that a function assigns to, or whose
// address it takes, and functions named init. A local variable hides one of the
// package's wherever in the function it is declared: enough for what is written
// here by people who don't want to hide anything.
func changes(files []*ast.File) (faults []string) {
	global := map[string]bool{}
	for _, f := range files {
		for _, d := range f.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR {
				for _, s := range g.Specs {
					for _, n := range s.(*ast.ValueSpec).Names {
						global[n.Name] = n.Name != "_"
					}
				}
			}
		}
	}
	for _, f := range files {
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			if fn.Name.Name == "init" && fn.Recv == nil {
				faults = append(faults, "has a function init")
			}
			local := map[string]bool{}
			declare := func(list *ast.FieldList) {
				if list == nil {
					return
				}
				for _, field := range list.List {
					for _, n := range field.Names {
						local[n.Name] = true
					}
				}
			}
			declare(fn.Recv)
			ast.Inspect(fn, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.FuncType:
					declare(n.Params)
					declare(n.Results)
				case *ast.AssignStmt:
					for _, l := range n.Lhs {
						if x, ok := l.(*ast.Ident); ok && n.Tok == token.DEFINE {
							local[x.Name] = true
						}
					}
				case *ast.RangeStmt:
					for _, l := range []ast.Expr{n.Key, n.Value} {
						if x, ok := l.(*ast.Ident); ok && n.Tok == token.DEFINE {
							local[x.Name] = true
						}
					}
				case *ast.ValueSpec:
					for _, x := range n.Names {
						local[x.Name] = true
					}
				}
				return true
			})
			written := func(e ast.Expr) {
				for {
					switch x := e.(type) {
					case *ast.IndexExpr:
						e = x.X
					case *ast.SliceExpr:
						e = x.X
					case *ast.SelectorExpr:
						e = x.X
					case *ast.StarExpr:
						e = x.X
					case *ast.ParenExpr:
						e = x.X
					case *ast.Ident:
						if global[x.Name] && !local[x.Name] {
							faults = append(faults, fn.Name.Name+" changes "+x.Name+", or could")
						}
						return
					default:
						return
					}
				}
			}
			ast.Inspect(fn, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.AssignStmt:
					for _, l := range n.Lhs {
						written(l)
					}
				case *ast.IncDecStmt:
					written(n.X)
				case *ast.UnaryExpr:
					if n.Op == token.AND {
						written(n.X)
					}
				case *ast.CallExpr:
					if f, ok := n.Fun.(*ast.Ident); ok && slices.Contains([]string{"clear", "copy", "delete"}, f.Name) && len(n.Args) > 0 {
						written(n.Args[0])
					}
				}
				return true
			})
		}
	}
	return faults
}

func TestChanges(t *testing.T) {
	for source, want := range map[string]string{
		"var a int; func f() { a = 1 }":                             "f changes a",
		"var a int; func f() { a++ }":                               "f changes a",
		"var a [3]int; func f() { a[1] = 1 }":                       "f changes a",
		"var a struct{ b []int }; func f() { a.b[1] += 1 }":         "f changes a",
		"var a map[int]int; func f() { delete(a, 1) }":              "f changes a",
		"var a [3]int; func f() { copy(a[:], g()) }":                "f changes a",
		"var a int; func f() *int { return &a }":                    "f changes a",
		"var a int; func f() { func() { a = 1 }() }":                "f changes a",
		"var a, b int; func f(b int) { b = 1; a := 1; a = b }":      "",
		"var a int; func f() { for a := range 3 { a++ } }":          "",
		"var a int; func f() int { return a + 1 }":                  "",
		"var a int; func f() { var a int; a = 1; _ = a }":           "",
		"var a []int; func f() []int { return append(a[:0:0], 1) }": "",
		"func init() {}":                                        "init",
		"var _ = 1; func f() { _ = g() }":                       "",
		"import \"time\"; func f() { _ = time.Now() }":          "time.Now",
		"import \"time\"; func f(t time.Time) { _ = t.Unix() }": "",
	} {
		f, err := parser.ParseFile(token.NewFileSet(), "", "package p; "+source, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(append(clocks([]*ast.File{f}), changes([]*ast.File{f})...), "; ")
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", source, got, want)
		}
	}
}

// TestGatewayCannotOpen: a gateway that can't link the opening code can't be
// made to open anything, whatever happens to its configuration. Package ohttp has
// HPKE too, for what a relay brings: around a sealed request, and not in it.
func TestGatewayCannotOpen(t *testing.T) {
	for _, p := range list(t, nil, "-deps", "./gateway") {
		if p.Standard || own(p.ImportPath) == "ohttp" || strings.HasPrefix(p.ImportPath, "golang.org/x/crypto/") {
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
// compressed, 1.5 MB with TLS), no general library for certificates or XML, and
// no test code.
func TestBrowserCore(t *testing.T) {
	env := []string{"GOOS=js", "GOARCH=wasm"}
	for _, p := range list(t, env, "-deps", "./cmd/sotto-wasm", "./client", "./vault", "./seal", "./attest/platforms") {
		switch p.ImportPath {
		case "net/http", "crypto/tls", "net", "testing", "os/exec", "database/sql", "html/template", "text/template",
			"crypto/x509", "encoding/xml", "regexp", "log", "log/slog", "archive/zip", "compress/flate", module + "/attest/vectors":
			t.Errorf("the browser core links %s", p.ImportPath)
		}
		// Of the standard library it is in there already, and unused.
		if !p.Standard && slices.Contains(p.Imports, "encoding/asn1") {
			t.Errorf("the browser core links %s, which imports encoding/asn1", p.ImportPath)
		}
	}
}

// TestLogServerStaysOnTheServer: the library that keeps the log's tiles brings a
// logger and telemetry along, which only sottod may link.
func TestLogServerStaysOnTheServer(t *testing.T) {
	tail := func(env []string, from string) (found []string) {
		for _, p := range list(t, env, "-deps", from) {
			if p.Module == nil {
				continue
			}
			for _, prefix := range []string{"github.com/transparency-dev/", "go.opentelemetry.io/", "k8s.io/"} {
				if strings.HasPrefix(p.Module.Path, prefix) {
					found = append(found, p.ImportPath)
				}
			}
		}
		return found
	}
	if len(tail(nil, "./cmd/sottod")) == 0 {
		t.Error("sottod links no tessera: this test looks for nothing")
	}
	for _, from := range []string{"./cmd/sotto", "./cmd/sotto-node", "./tlog", "./tlog/witness", "./tlog/monitor", "./release", "./gateway", "./account"} {
		if found := tail(nil, from); len(found) > 0 {
			t.Errorf("%s links %v", from, found)
		}
	}
	if found := tail([]string{"GOOS=js", "GOARCH=wasm"}, "./cmd/sotto-wasm"); len(found) > 0 {
		t.Errorf("the browser core links %v", found)
	}
}

// TestNodeDependencies: what runs inside the machine stays small enough to read.
func TestNodeDependencies(t *testing.T) {
	modules := map[string]bool{}
	for _, p := range list(t, nil, "-deps", "./cmd/sotto-node") {
		if p.Module != nil && !p.Module.Main {
			modules[p.Module.Path] = true
		}
		switch own(p.ImportPath) {
		// A machine doesn't judge itself, and a release can't pretend.
		case "web", "attest", "attest/cert", "attest/platforms", "attest/software", "attest/software/forge", "attest/snp", "attest/tdx", "attest/tpm", "attest/nvidia":
			t.Errorf("sotto-node links %s", p.ImportPath)
		}
		if p.ImportPath == "database/sql" {
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
