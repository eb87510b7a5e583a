// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package build

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const repository = "../.."

// TestNothingLiesOutside: what a node does follows from its program, its flags and
// its environment. Each flag of sotto-node is either one that a manifest holds, or
// one that may differ, with a reason; each variable that our code in a node reads is
// listed.
func TestNothingLiesOutside(t *testing.T) {
	found := flagsOf(t, filepath.Join(repository, "cmd", "sotto-node"))
	if len(found) < 10 {
		t.Fatalf("only %d flags found: %v", len(found), found)
	}
	for _, name := range found {
		_, beside := NodeBeside[name]
		switch in := slices.Contains(NodeFlags, name); {
		case in && beside:
			t.Errorf("-%s is on both lists", name)
		case !in && !beside:
			t.Errorf("sotto-node has a flag -%s that no manifest holds: put it into NodeFlags, or into NodeBeside with a reason", name)
		}
	}
	for _, name := range NodeFlags {
		if !slices.Contains(found, name) {
			t.Errorf("NodeFlags has -%s, and sotto-node doesn't", name)
		}
	}
	for name, why := range NodeBeside {
		if !slices.Contains(found, name) {
			t.Errorf("NodeBeside has -%s, and sotto-node doesn't", name)
		}
		if why == "" {
			t.Errorf("NodeBeside gives no reason for -%s", name)
		}
	}

	deps, err := os.ReadFile(filepath.Join(repository, "cmd", "sotto-node", "deps.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var read []string
	folders := 0
	for line := range strings.Lines(string(deps)) {
		rel, ok := strings.CutPrefix(strings.TrimSpace(line), "github.com/sotto-chat/sotto github.com/sotto-chat/sotto/")
		if !ok {
			continue
		}
		folders++
		read = append(read, variablesOf(t, filepath.Join(repository, filepath.FromSlash(rel)))...)
	}
	if folders < 10 {
		t.Fatalf("deps.txt names only %d packages of ours", folders)
	}
	slices.Sort(read)
	if read = slices.Compact(read); !slices.Equal(read, NodeVariables) {
		t.Errorf("code in a node reads the variables %q, and NodeVariables has %q", read, NodeVariables)
	}
}

// parseFolder parses the Go files of a folder, without tests.
func parseFolder(t *testing.T, dir string) (files []*ast.File) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no source in %s: %v", dir, err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

// flagsOf names the flags that a program defines: calls of a method of package flag
// whose first or second argument is the name.
func flagsOf(t *testing.T, dir string) (names []string) {
	for _, f := range parseFolder(t, dir) {
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			s, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			at := -1
			switch name := s.Sel.Name; {
			case name == "Func", name == "BoolFunc":
				at = 0
			case slices.Contains([]string{"StringVar", "BoolVar", "IntVar", "Int64Var", "UintVar", "Uint64Var", "Float64Var", "DurationVar", "TextVar", "Var"}, name):
				at = 1
			case slices.Contains([]string{"String", "Bool", "Int", "Int64", "Uint", "Uint64", "Float64", "Duration"}, name) && len(call.Args) == 3:
				at = 0
			}
			if at < 0 || at >= len(call.Args) {
				return true
			}
			if lit, ok := call.Args[at].(*ast.BasicLit); ok && lit.Kind == token.STRING {
				name, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				names = append(names, name)
			} else if id, ok := s.X.(*ast.Ident); ok && (id.Name == "f" || id.Name == "fs" || id.Name == "flag") {
				t.Errorf("a flag of %s has a name that this test can't read", dir)
			}
			return true
		})
	}
	return names
}

// variablesOf names the environment variables that a package reads. One whose name
// isn't written out is "?".
func variablesOf(t *testing.T, dir string) (names []string) {
	for _, f := range parseFolder(t, dir) {
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			s, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !slices.Contains([]string{"Getenv", "LookupEnv", "Environ", "ExpandEnv", "ProxyFromEnvironment"}, s.Sel.Name) {
				return true
			}
			name := "?"
			if len(call.Args) == 1 {
				if lit, ok := call.Args[0].(*ast.BasicLit); ok {
					name = strings.Trim(lit.Value, `"`)
				}
			}
			names = append(names, name)
			return true
		})
	}
	return names
}

func TestCheckNode(t *testing.T) {
	for _, args := range [][]string{nil, {"-engine", "http://x"}, {"--engine=http://x", "-drain", "1s"}, {"-listen", "0.0.0.0:1"}, {"-engine=", "-platforms", "snp,nvidia"}} {
		if err := CheckNode(args, []string{"A=1", "B="}); err != nil {
			t.Errorf("%q: %v", args, err)
		}
	}
	for want, args := range map[string][]string{
		"is not a flag":          {"engine"},
		`"-" is not a flag`:      {"-"},
		`"--" is not a flag`:     {"--"},
		"no flag -verbose":       {"-engine", "http://x", "-verbose"},
		"no flag -insecure":      {"--insecure=1"},
		"manifest's own digest":  {"-release", "sha256:00"},
		"ends the node at once":  {"-version"},
		"-engine lacks its":      {"-engine"},
		"no flag -engine-key":    {"-engine-key", "x"},
		`"http://x" is not a fl`: {"-engine=http://y", "http://x"},
	} {
		if err := CheckNode(args, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
	}
	for want, env := range map[string][]string{"not NAME=value": {"A"}, `"=1" is not`: {"=1"}, "A stands there twice": {"A=1", "A=2"}} {
		if err := CheckNode(nil, env); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", env, err, want)
		}
	}
}
