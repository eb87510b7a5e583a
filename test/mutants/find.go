// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// helper is added to a package. Every changed place asks it whether its mutant
// is the chosen one, or notes that a test came by.
const helper = `package %s

import (
	"cmp"
	"os"
	"strconv"
	"sync"
)

var (
	mutantChosen, _ = strconv.Atoi(os.Getenv("SOTTO_MUTANT"))
	mutantNotes     = os.Getenv("SOTTO_MUTANT_NOTES")
	mutantSeen      sync.Map
)

func mutant(n int) bool {
	if mutantNotes != "" {
		mutantNote(n)
	}
	return n == mutantChosen
}

func mutantNote(n int) {
	if _, seen := mutantSeen.LoadOrStore(n, true); seen {
		return
	}
	f, err := os.OpenFile(mutantNotes, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	if _, err := f.WriteString(strconv.Itoa(n) + "\n"); err != nil {
		panic(err)
	}
}

// mutantLess is a < b, and a <= b for the mutant; mutantAtMost the reverse.
func mutantLess[T cmp.Ordered](n int, a, b T) bool {
	if mutant(n) {
		return a <= b
	}
	return a < b
}

func mutantAtMost[T cmp.Ordered](n int, a, b T) bool {
	if mutant(n) {
		return a < b
	}
	return a <= b
}

func mutantMore[T cmp.Ordered](n int, a, b T) bool    { return mutantLess(n, b, a) }
func mutantAtLeast[T cmp.Ordered](n int, a, b T) bool { return mutantAtMost(n, b, a) }

// mutantNone is x, and no error for the mutant.
func mutantNone[T any](n int, x T) (none T) {
	if mutant(n) {
		return none
	}
	return x
}

// mutantSwitch lets a switch over a value become one over conditions.
func mutantSwitch(any) bool { return true }
`

const helperFile = "zz_mutants.go"

// pkg is a package as go list shows it.
type pkg struct {
	ImportPath, Name, Dir              string
	GoFiles, TestGoFiles, XTestGoFiles []string
	Module                             struct{ Dir string }
	rel                                string // folder, relative to the module
	tested, testedIn                   string // whose tests try it, and their folder; "" if nobody's
	fset                               *token.FileSet
	files                              []*source
	imports                            types.Importer
}

// source is one file and all that can be changed in it.
type source struct {
	name    string // base name
	text    []byte
	syntax  *ast.File
	base    []edit // of switches that were made ready; no change of meaning
	mutants []*mutant
}

// fate is what came of a mutant.
type fate string

const (
	noticed   fate = "noticed"
	survived  fate = "survived"
	unreached fate = "no test reaches"
)

// mutant is one change.
type mutant struct {
	id       int // from 1, within the package
	file     string
	line     int
	function string
	change   string // such as "never: len(data) > max"
	fate     fate
	edits    []edit
}

func (m *mutant) String() string {
	return fmt.Sprintf("%s:%d %s: %s", m.file, m.line, m.function, m.change)
}

// edit puts text before and after the bytes from start to end, or in their
// place. Edits nest; they never overlap otherwise.
type edit struct {
	start, end    int
	before, after string
	replace       bool
}

// list finds the packages. Those that only make evidence for tests are left
// out: a check that is missing there makes no machine pass.
func list(patterns []string) ([]*pkg, error) {
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Name,Dir,GoFiles,TestGoFiles,XTestGoFiles,Module"}, patterns...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var pkgs []*pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		p := &pkg{}
		if err := dec.Decode(p); errors.Is(err, io.EOF) {
			whoTests(pkgs)
			return pkgs, nil
		} else if err != nil {
			return nil, err
		}
		if dir, base := path.Split(p.ImportPath); base == "forge" || base == path.Base(dir)+"test" {
			continue
		}
		rel, err := filepath.Rel(p.Module.Dir, p.Dir)
		if err != nil {
			return nil, err
		}
		p.rel = filepath.ToSlash(rel)
		pkgs = append(pkgs, p)
	}
}

// whoTests finds whose tests try each package: its own, or where it has none those
// of the package in the nearest folder above it, whose inside it then is.
func whoTests(pkgs []*pkg) {
	for _, p := range pkgs {
		for _, q := range pkgs {
			above := q == p || strings.HasPrefix(p.Dir, q.Dir+string(filepath.Separator))
			if above && len(q.TestGoFiles)+len(q.XTestGoFiles) > 0 && len(q.Dir) > len(p.testedIn) {
				p.tested, p.testedIn = q.ImportPath, q.Dir
			}
		}
	}
}

// mutants finds what can be changed in the package's files, if their names
// match one of the globs.
func (p *pkg) mutants(globs []string) ([]*mutant, error) {
	if err := p.load(); err != nil {
		return nil, err
	}
	info, err := p.check(nil)
	if err != nil {
		return nil, err
	}
	var all []*mutant
	for _, s := range p.files {
		if len(globs) > 0 && !slices.ContainsFunc(globs, func(g string) bool { ok, _ := path.Match(g, s.name); return ok }) {
			continue
		}
		f := &finder{pkg: p, source: s, info: info, leaf: map[ast.Expr]bool{}}
		f.find()
	}
	if _, err := p.check(nil); err != nil {
		return nil, fmt.Errorf("made ready for mutants: %w", err)
	}
	for _, s := range p.files {
		var kept []*mutant
		for _, m := range s.mutants {
			m.id = len(all) + len(kept) + 1
			// A change that doesn't compile is none.
			if _, err := p.check(m); err == nil {
				kept = append(kept, m)
			}
		}
		seen := map[string]int{}
		for _, m := range kept {
			name := m.function + m.change
			if seen[name]++; seen[name] > 1 {
				m.change += fmt.Sprintf(" #%d", seen[name])
			}
		}
		s.mutants = kept
		all = append(all, kept...)
	}
	return all, nil
}

// load reads and parses the package's files and finds what they import.
func (p *pkg) load() error {
	p.fset = token.NewFileSet()
	for _, name := range p.GoFiles {
		text, err := os.ReadFile(filepath.Join(p.Dir, name))
		if err != nil {
			return err
		}
		syntax, err := parser.ParseFile(p.fset, filepath.Join(p.Dir, name), text, 0)
		if err != nil {
			return err
		}
		p.files = append(p.files, &source{name: name, text: text, syntax: syntax})
	}
	cmd := exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Export}}", p.ImportPath, "cmp", "os", "strconv", "sync")
	cmd.Dir, cmd.Stderr = p.Module.Dir, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("go list -export: %w", err)
	}
	export := map[string]string{}
	for line := range strings.Lines(string(out)) {
		imp, file, _ := strings.Cut(strings.TrimSpace(line), "\t")
		export[imp] = file
	}
	p.imports = importer.ForCompiler(p.fset, "gc", func(imp string) (io.ReadCloser, error) { return os.Open(export[imp]) })
	return nil
}

// check type-checks the package with one mutant in it, or with none.
func (p *pkg) check(m *mutant) (*types.Info, error) {
	var files []*ast.File
	for _, s := range p.files {
		edits := s.base
		if m != nil && m.file == path.Join(p.rel, s.name) {
			edits = append(m.numbered(), edits...)
		}
		if len(edits) == 0 {
			files = append(files, s.syntax)
			continue
		}
		f, err := parser.ParseFile(p.fset, s.name, apply(s.text, edits), 0)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	f, err := parser.ParseFile(p.fset, helperFile, fmt.Sprintf(helper, p.Name), 0)
	if err != nil {
		return nil, err
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
	conf := types.Config{Importer: p.imports}
	_, err = conf.Check(p.ImportPath, p.fset, append(files, f), info)
	return info, err
}

// numbered is m's edits with its number in them.
func (m *mutant) numbered() []edit {
	es := slices.Clone(m.edits)
	for i := range es {
		es[i].before = strings.ReplaceAll(es[i].before, "@", fmt.Sprint(m.id))
	}
	return es
}

// whole is the text of the source with every mutant in it.
func (s *source) whole() []byte {
	var edits []edit
	for _, m := range s.mutants {
		edits = append(edits, m.numbered()...)
	}
	return apply(s.text, append(edits, s.base...))
}

// apply makes edits: the longer outside the shorter, the earlier in the list
// outside the later.
func apply(text []byte, edits []edit) []byte {
	edits = slices.Clone(edits)
	slices.SortStableFunc(edits, func(a, b edit) int {
		if a.start != b.start {
			return a.start - b.start
		}
		return b.end - a.end
	})
	var out []byte
	var open []edit
	at := 0
	closeUpTo := func(pos int) {
		for len(open) > 0 && open[len(open)-1].end <= pos {
			e := open[len(open)-1]
			open = open[:len(open)-1]
			if e.end > at {
				out = append(out, text[at:e.end]...)
				at = e.end
			}
			out = append(out, e.after...)
		}
	}
	for _, e := range edits {
		closeUpTo(e.start)
		if e.start > at {
			out = append(out, text[at:e.start]...)
			at = e.start
		}
		out = append(out, e.before...)
		if e.replace {
			at = e.end
			continue
		}
		open = append(open, e)
	}
	closeUpTo(len(text))
	return append(out, text[at:]...)
}

// finder walks one file.
type finder struct {
	*pkg
	*source
	info     *types.Info
	function string
	leaf     map[ast.Expr]bool // conditions that have a mutant which leaves them out
	switches int
}

func (f *finder) find() {
	for _, d := range f.syntax.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Body != nil {
				f.function = funcName(d)
				f.walk(d.Body)
			}
		case *ast.GenDecl:
			if d.Tok == token.VAR {
				f.function = "var"
				f.walk(d)
			}
		}
	}
}

func funcName(d *ast.FuncDecl) string {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return d.Name.Name
	}
	t := d.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	if ix, ok := t.(*ast.IndexExpr); ok {
		t = ix.X
	}
	if id, ok := t.(*ast.Ident); ok {
		return id.Name + "." + d.Name.Name
	}
	return d.Name.Name
}

func (f *finder) walk(n ast.Node) {
	// labelled statements can't be put into a block of their own.
	labelled := map[ast.Stmt]bool{}
	// guarded returns are in a body whose condition has a mutant already.
	guarded := map[ast.Stmt]bool{}
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.LabeledStmt:
			labelled[n.Stmt] = true
		case *ast.IfStmt:
			f.condition(n.Cond, f.refuses(n.Body.List) && n.Else == nil)
			guard(n.Body.List, guarded)
		case *ast.SwitchStmt:
			f.switched(n, labelled[n])
			for _, c := range n.Body.List {
				if c := c.(*ast.CaseClause); c.List != nil {
					guard(c.Body, guarded)
				}
			}
		case *ast.BinaryExpr:
			f.binary(n)
		case *ast.UnaryExpr:
			if n.Op == token.NOT && !f.leaf[n] {
				f.add(n, fmt.Sprintf("flip: %s → %s", f.show(n), f.show(n.X)), wrap(n, "(mutant(@) != (", "))"))
			}
		case *ast.ExprStmt:
			if call, ok := n.X.(*ast.CallExpr); ok && !isPanic(call) {
				f.add(n, "drop: "+f.show(n), wrap(n, "if !mutant(@) { ", " }"))
			}
		case *ast.AssignStmt:
			if f.records(n) {
				f.add(n, "drop: "+f.show(n), wrap(n, "if !mutant(@) { ", " }"))
			}
		case *ast.ReturnStmt:
			if len(n.Results) > 0 {
				f.returned(n.Results[len(n.Results)-1], guarded[n])
			}
		}
		return true
	})
}

// guard marks the return at the end of a body.
func guard(body []ast.Stmt, guarded map[ast.Stmt]bool) {
	if len(body) > 0 {
		guarded[body[len(body)-1]] = true
	}
}

// condition adds the mutants of a condition: never true, and if its body is no
// refusal also always true; and without each of its operands.
func (f *finder) condition(e ast.Expr, refusal bool) {
	f.add(e, "never: "+f.show(e), wrap(e, "(!mutant(@) && (", "))"))
	if !refusal {
		f.add(e, "always: "+f.show(e), wrap(e, "(mutant(@) || (", "))"))
	}
	f.leaf[ast.Unparen(e)] = true
}

// binary adds the mutants of one operator.
func (f *finder) binary(n *ast.BinaryExpr) {
	if tv := f.info.Types[n]; tv.Value != nil {
		return // known when compiled
	}
	boundary := map[token.Token][2]string{
		token.LSS: {"mutantLess", "<="}, token.LEQ: {"mutantAtMost", "<"},
		token.GTR: {"mutantMore", ">="}, token.GEQ: {"mutantAtLeast", ">"},
	}
	switch n.Op {
	case token.LOR, token.LAND:
		for _, x := range []ast.Expr{n.X, n.Y} {
			// A chain of the same operator is a list of operands.
			if b, ok := ast.Unparen(x).(*ast.BinaryExpr); ok && b.Op == n.Op {
				continue
			}
			f.leaf[ast.Unparen(x)] = true
			if n.Op == token.LOR {
				f.add(x, "without: "+f.show(x)+" ||", wrap(x, "(!mutant(@) && (", "))"))
			} else {
				f.add(x, "without: "+f.show(x)+" &&", wrap(x, "(mutant(@) || (", "))"))
			}
		}
		f.leaf[n] = true
	case token.LSS, token.LEQ, token.GTR, token.GEQ:
		b := boundary[n.Op]
		op := f.offset(n.OpPos)
		f.add(n, fmt.Sprintf("boundary: %s %s %s → %s", f.show(n.X), n.Op, f.show(n.Y), b[1]),
			wrap(n, b[0]+"(@, ", ")"), func(*finder) edit {
				return edit{start: op, end: op + len(n.Op.String()), before: ",", replace: true}
			})
	case token.EQL, token.NEQ:
		if !f.leaf[n] {
			f.add(n, "flip: "+f.show(n), wrap(n, "(mutant(@) != (", "))"))
		}
	}
}

// switched adds the mutants of a switch: without each value or condition of a
// case. A switch over a value becomes one over conditions for this.
func (f *finder) switched(n *ast.SwitchStmt, labelled bool) {
	if n.Tag != nil {
		if labelled {
			return
		}
		f.switches++
		name := fmt.Sprintf("mutantTag%d", f.switches)
		tag, end := f.offset(n.Tag.Pos()), f.offset(n.Tag.End())
		before, after := "switch "+name+" := (", "); mutantSwitch("+name+")"
		if n.Init != nil {
			init := string(f.text[f.offset(n.Init.Pos()):f.offset(n.Init.End())])
			before = "{ " + init + "; " + before
			whole := edit{start: f.offset(n.Pos()), end: f.offset(n.End()), after: " }"}
			f.base = append(f.base, whole)
		}
		f.base = append(f.base,
			edit{start: f.offset(n.Pos()), end: tag, before: before, replace: true},
			edit{start: tag, end: end, after: after})
		for _, c := range n.Body.List {
			for _, x := range c.(*ast.CaseClause).List {
				f.add(x, "without: case "+f.show(x), wrap(x, "(!mutant(@) && (", "))"))
				f.base = append(f.base, wrap(x, "("+name+" == (", "))")(f))
			}
		}
		return
	}
	for _, c := range n.Body.List {
		c := c.(*ast.CaseClause)
		for _, x := range c.List {
			f.condition(x, f.refuses(c.Body))
		}
	}
}

// returned adds the mutants of what a function returns last: an error that is
// none, a call's truth that is always or never one.
func (f *finder) returned(e ast.Expr, guarded bool) {
	tv := f.info.Types[e]
	if tv.Type == nil || tv.IsNil() || tv.Value != nil {
		return
	}
	switch {
	case isError(tv.Type):
		if !guarded {
			f.add(e, "no error: return "+f.show(e), wrap(e, "mutantNone(@, ", ")"))
		}
	case types.Identical(tv.Type.Underlying(), types.Typ[types.Bool]):
		switch ast.Unparen(e).(type) {
		case *ast.CallExpr, *ast.Ident, *ast.SelectorExpr, *ast.IndexExpr:
			f.add(e, "always: return "+f.show(e), wrap(e, "(mutant(@) || (", "))"))
			f.add(e, "never: return "+f.show(e), wrap(e, "(!mutant(@) && (", "))"))
		}
	}
}

// refuses reports whether a body ends by refusing: with an error, with false,
// with the next or no more turn of a loop, or by recording a failure.
func (f *finder) refuses(body []ast.Stmt) bool {
	if len(body) == 0 {
		return false
	}
	switch last := body[len(body)-1].(type) {
	case *ast.BranchStmt:
		return last.Tok != token.FALLTHROUGH
	case *ast.ReturnStmt:
		if len(last.Results) == 0 {
			return false
		}
		e := last.Results[len(last.Results)-1]
		tv := f.info.Types[e]
		if tv.Value != nil && tv.Value.String() == "false" || tv.Type != nil && isError(tv.Type) && !tv.IsNil() {
			return true
		}
	case *ast.ExprStmt:
		if call, ok := last.X.(*ast.CallExpr); ok && isPanic(call) {
			return true
		}
	}
	refuses := false
	for _, s := range body {
		ast.Inspect(s, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Ident:
				refuses = refuses || strings.HasPrefix(strings.ToLower(n.Name), "fail")
			}
			return true
		})
	}
	return refuses
}

// records reports whether an assignment is one that a check's outcome hangs on:
// an append, a truth, or bits that are gathered.
func (f *finder) records(n *ast.AssignStmt) bool {
	switch n.Tok {
	case token.DEFINE:
		return false
	case token.ASSIGN:
	default:
		return n.Tok == token.OR_ASSIGN || n.Tok == token.XOR_ASSIGN || n.Tok == token.AND_ASSIGN
	}
	if len(n.Rhs) != 1 {
		return false
	}
	if call, ok := n.Rhs[0].(*ast.CallExpr); ok {
		if id, ok := call.Fun.(*ast.Ident); ok && id.Name == "append" {
			return true
		}
	}
	tv := f.info.Types[n.Rhs[0]]
	return tv.Type != nil && types.Identical(types.Default(tv.Type), types.Typ[types.Bool])
}

func isPanic(c *ast.CallExpr) bool {
	id, ok := c.Fun.(*ast.Ident)
	return ok && id.Name == "panic"
}

var errorType = types.Universe.Lookup("error").Type().Underlying().(*types.Interface)

func isError(t types.Type) bool { return types.Implements(t, errorType) }

// place makes an edit, once the file is known.
type place func(*finder) edit

func wrap(n ast.Node, before, after string) place {
	return func(f *finder) edit {
		return edit{start: f.offset(n.Pos()), end: f.offset(n.End()), before: before, after: after}
	}
}

func (f *finder) add(n ast.Node, change string, places ...place) {
	m := &mutant{file: path.Join(f.rel, f.name), line: f.fset.Position(n.Pos()).Line, function: f.function, change: change}
	for _, p := range places {
		m.edits = append(m.edits, p(f))
	}
	f.source.mutants = append(f.source.mutants, m)
}

func (f *finder) offset(p token.Pos) int { return f.fset.Position(p).Offset }

// show is the source of a node on one line.
func (f *finder) show(n ast.Node) string {
	s := []rune(strings.Join(strings.Fields(string(f.text[f.offset(n.Pos()):f.offset(n.End())])), " "))
	if len(s) > 100 {
		s = append(s[:99], '…')
	}
	return string(s)
}
