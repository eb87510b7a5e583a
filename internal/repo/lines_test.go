// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package repo

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
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// ownWords are the functions that may write the text of a setting or of an error
// (lines.Own, lines.Err), and why no request has a part in it.
var ownWords = map[string]string{
	"cmd/sottod.":                       "what the operator chose, said at the start",
	"cmd/sotto-node.serve":              "what the operator chose, said at the start",
	"engine/auto.":                      "looks for a model server before anybody asks",
	"engine/llamaserver.Start":          "starts a model server before anybody asks",
	"keylog/publish.Publisher.Run":      "the publisher's own questions to the gateway and to the key log",
	"gateway.Gateway.askAll":            "the gateway's own question to a node that the operator named",
	"gateway.Gateway.try":               "the name of a node that the operator chose; not the error, which may be the request's",
	"gateway.Gateway.followLog":         "the gateway's own question to the public log",
	"gateway.Gateway.openKeys":          "what the key log shows, which no request has a part in",
	"node.Node.checkpoint":              "the node's own question to the public log",
	"node.Node.use":                     "the id of the node's own key, which everybody gets",
	"node.Node.Run":                     "what the hardware says when a key is made",
	"node.Node.probe":                   "the node's own question to its model server",
	"node.Node.fault":                   "places in the program, and the type of what it panicked with",
	"tlog/logserver.Server.checkPolicy": "a witness that the operator named",
	"tlog/logserver.Server.complainOf":  "the log's own questions to its witnesses",
	"tlog/witness.Witness.tell":         "a checkpoint that a log signed: it may be the proof against that log",
}

// makesLogs are the functions that may touch log/slog itself.
var makesLogs = map[string]string{
	"internal/lines.":          "the one that writes",
	"cmd/sottod.flags":         "makes the log",
	"cmd/sottod.openPublicLog": "names the demo's own witnesses",
	"cmd/sottod.plainLines":    "leaves the time out at a terminal",
	"cmd/sotto-node.run":       "makes the log",
	"tlog/logserver.quiet":     "has another's library write warnings only",
	"tlog/logserver.warnings.": "has another's library write warnings only",
}

// answersWithMore are the functions whose answers in plain text have more than a
// constant in them.
var answersWithMore = map[string]string{
	"web.New":                        "why a program has no page, said from its start on",
	"cmd/sottod.onlyHosts":           "names the origin that the operator chose",
	"node.Node.serveReady":           "times of the node's own keys",
	"tlog/logserver.Server.getWords": "describes the log",
}

// figures are all that a role counts for its operator, and how coarsely.
var figures = []string{
	"cmd/sotto-node Each build_info",
	"gateway Acts requests_forwarded_total",
	"gateway Acts requests_retried_total",
	"gateway Acts requests_turned_away_total",
	"gateway Acts tokens_refunded_total",
	"gateway Acts tokens_refused_total",
	"gateway Acts tokens_spent_total",
	"gateway Events log_failures_total",
	"gateway Gauge log_age_seconds",
	"gateway Gauge nodes",
	"gateway Gauge nodes_alive",
	"gateway Live requests_live",
	"node Acts answers_resumed_total",
	"node Acts fresh_evidence_total",
	"node Acts panics_total",
	"node Acts requests_opened_total",
	"node Each evidence_pieces",
	"node Each requests_turned_away_total",
	"node Events checkpoint_failures_total",
	"node Events evidence_failures_total",
	"node Gauge checkpoint_age_seconds",
	"node Gauge engine_up",
	"node Gauge evidence_age_seconds",
	"node Gauge key_seconds_left",
	"node Gauge keys_live",
	"node Live answers_kept",
	"node Live answers_kept_bytes",
	"node Live answers_live",
}

// TestRolesWriteTypedLinesOnly looks at each package of ours that a server links.
// internal/lines has the compiler refuse most of what nobody should write down; this
// refuses the ways around it.
func TestRolesWriteTypedLinesOnly(t *testing.T) {
	l := newLooker(t, "./cmd/sottod", "./cmd/sotto-node")
	for _, p := range l.pkgs {
		if folder := own(p.ImportPath); folder != "" {
			var names []string
			for _, f := range p.GoFiles {
				names = append(names, filepath.Join(p.Dir, f))
			}
			l.look(folder, names)
		}
	}
	for _, f := range l.faults {
		t.Error(f)
	}
	slices.Sort(l.figures)
	for _, f := range slices.Compact(l.figures) {
		if !slices.Contains(figures, f) {
			t.Errorf("a figure that is in no list: %s. What does it tell of a single person? Then name it in internal/repo", f)
		}
	}
	for _, f := range figures {
		if !slices.Contains(l.figures, f) {
			t.Errorf("nobody writes the figure %s any more: take it from the list", f)
		}
	}
	for _, list := range []map[string]string{ownWords, makesLogs, answersWithMore} {
		for f := range list {
			if !l.used[f] {
				t.Errorf("%s has no need to be in the list any more", f)
			}
		}
	}
}

// TestTheLookerSees shows it code with each of the faults, marked where they are.
func TestTheLookerSees(t *testing.T) {
	l := newLooker(t, "./cmd/sottod")
	const file = "testdata/lines/bad.go"
	l.look("bad", []string{file})
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	marks := 0
	want := regexp.MustCompile(`// want (.+)$`)
	for i, line := range strings.Split(string(text), "\n") {
		at := fmt.Sprintf("%s:%d:", file, i+1)
		var got []string
		for _, f := range l.faults {
			if strings.HasPrefix(f, at) {
				got = append(got, f)
			}
		}
		m := want.FindStringSubmatch(line)
		switch {
		case m == nil && len(got) > 0:
			t.Errorf("%v", got)
		case m != nil && !strings.Contains(strings.Join(got, "\n"), m[1]):
			t.Errorf("%s says %q, want %q", at, got, m[1])
		case m != nil:
			marks++
		}
	}
	if marks < 20 {
		t.Errorf("%d faults are shown", marks)
	}
	if !slices.Contains(l.figures, "bad Gauge people") {
		t.Errorf("sees the figures %v", l.figures)
	}
}

// looker looks through packages.
type looker struct {
	t    *testing.T
	pkgs []listed
	fset *token.FileSet
	imp  types.Importer

	faults, figures []string
	used            map[string]bool // of the lists
}

type listed struct {
	ImportPath, Dir, Export string
	GoFiles                 []string
}

func newLooker(t *testing.T, roots ...string) *looker {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles"}, roots...)...)
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	l := &looker{t: t, fset: token.NewFileSet(), used: map[string]bool{}}
	exports := map[string]string{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		l.pkgs = append(l.pkgs, p)
		exports[p.ImportPath] = p.Export
	}
	l.imp = importer.ForCompiler(l.fset, "gc", func(path string) (io.ReadCloser, error) {
		if exports[path] == "" {
			return nil, fmt.Errorf("no server links %s", path)
		}
		return os.Open(exports[path])
	})
	return l
}

// excused says whether a list names a function, or what it belongs to.
func (l *looker) excused(list map[string]string, folder, fn string) bool {
	full := folder + "." + fn
	for name := range list {
		if name == full || strings.HasSuffix(name, ".") && strings.HasPrefix(full, name) {
			l.used[name] = true
			return true
		}
	}
	return false
}

// look looks through the files of a package.
func (l *looker) look(folder string, names []string) {
	var files []*ast.File
	for _, name := range names {
		f, err := parser.ParseFile(l.fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			l.t.Fatal(err)
		}
		files = append(files, f)
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}, Types: map[ast.Expr]types.TypeAndValue{}}
	// What can't be imported is a fault below, or another test's.
	conf := types.Config{Importer: l.imp, Error: func(error) {}}
	conf.Check(folder, l.fset, files, info)
	for _, f := range files {
		for _, imp := range f.Imports {
			if path, _ := strconv.Unquote(imp.Path.Value); slices.Contains([]string{"expvar", "net/http/pprof", "log", "log/syslog"}, path) {
				l.fault(imp.Pos(), "imports %s, which writes what it likes", path)
			}
		}
		for _, d := range f.Decls {
			fn := ""
			if d, ok := d.(*ast.FuncDecl); ok {
				fn = d.Name.Name
				if d.Recv != nil {
					fn = receiver(d.Recv.List[0].Type) + "." + fn
				}
			}
			l.inside(folder, fn, d, info)
		}
	}
}

func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

func (l *looker) fault(at token.Pos, format string, args ...any) {
	l.faults = append(l.faults, fmt.Sprintf("%s: ", l.fset.Position(at))+fmt.Sprintf(format, args...))
}

// inside looks through one declaration.
func (l *looker) inside(folder, fn string, d ast.Decl, info *types.Info) {
	constant := func(e ast.Expr) bool { return info.Types[e].Value != nil }
	isDiscarding := func(e ast.Expr) bool {
		c, ok := e.(*ast.CallExpr)
		if !ok || called(c, info) != "log/slog.NewLogLogger" {
			return false
		}
		s, ok := c.Args[0].(*ast.SelectorExpr)
		return ok && full(info.Uses[s.Sel]) == "log/slog.DiscardHandler"
	}
	ast.Inspect(d, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BasicLit:
			if n.Kind == token.STRING && strings.Contains(n.Value, "# TYPE") && folder != "internal/lines" {
				l.fault(n.Pos(), "writes a figure by itself: lines.FiguresOf does")
			}
		case *ast.Ident:
			switch name := full(info.Uses[n]); {
			case name == "log/slog.Logger", name == "log/slog.DiscardHandler", name == "log/slog.NewLogLogger", name == "log/slog.LevelError",
				name == "log/slog.Handler", name == "log/slog.Value", name == "log/slog.StringValue": // types, and how a secret hides
			case strings.HasPrefix(name, "(*log/slog.Logger).With"): // looked at where it is called
			case strings.Contains(name, "log/slog."):
				if !l.excused(makesLogs, folder, fn) {
					l.fault(n.Pos(), "uses %s: a line is written by lines.Log", name)
				}
			case name == "os.Stderr", name == "os.Stdout":
				if folder != "bad" && strings.HasPrefix(folder, "cmd/") {
					break
				}
				l.fault(n.Pos(), "writes to %s", name)
			case name == "fmt.Print", name == "fmt.Printf", name == "fmt.Println", name == "builtin.print", name == "builtin.println",
				name == "runtime/debug.PrintStack", name == "runtime/debug.Stack":
				l.fault(n.Pos(), "uses %s", name)
			case strings.HasPrefix(name, "net/http.ListenAndServe"), name == "net/http.Serve", name == "net/http.ServeTLS":
				l.fault(n.Pos(), "uses %s, which writes addresses to the standard log", name)
			case name == module+"/internal/lines.Own", name == module+"/internal/lines.Err":
				if !l.excused(ownWords, folder, fn) {
					l.fault(n.Pos(), "%s writes the words of a setting or an error: could a request have a part in them? lines.Cause says its kind", fn)
				}
			}
		case *ast.CompositeLit:
			switch types.TypeString(info.Types[n].Type, nil) {
			case "net/http.Server", "net/http/httputil.ReverseProxy":
				quiet := false
				for _, e := range n.Elts {
					kv, ok := e.(*ast.KeyValueExpr)
					if ok && types.ExprString(kv.Key) == "ErrorLog" {
						quiet = isDiscarding(kv.Value)
					}
				}
				if !quiet {
					l.fault(n.Pos(), "a %s without an ErrorLog that discards: it would write who connected", types.ExprString(n.Type))
				}
			}
		case *ast.CallExpr:
			name := called(n, info)
			switch {
			case name == "builtin.new":
				if s := types.TypeString(info.Types[n.Args[0]].Type, nil); s == "net/http.Server" || s == "net/http/httputil.ReverseProxy" {
					l.fault(n.Pos(), "a %s without an ErrorLog that discards", s)
				}
			case name == "log/slog.NewLogLogger":
				if !isDiscarding(n) {
					l.fault(n.Pos(), "a log for others that doesn't discard")
				}
			case strings.HasPrefix(name, "(*log/slog.Logger).With"):
				if slices.ContainsFunc(n.Args, func(e ast.Expr) bool { return !constant(e) }) && !l.excused(makesLogs, folder, fn) {
					l.fault(n.Pos(), "lines begin with something that is no constant")
				}
			case name == "net/http.Error":
				if !constant(n.Args[1]) && !l.excused(answersWithMore, folder, fn) {
					l.fault(n.Pos(), "an answer that is no constant")
				}
			case strings.HasPrefix(name, "fmt.Fprint"):
				if types.TypeString(info.Types[n.Args[0]].Type, nil) == "net/http.ResponseWriter" &&
					slices.ContainsFunc(n.Args[1:], func(e ast.Expr) bool { return !constant(e) }) && !l.excused(answersWithMore, folder, fn) {
					l.fault(n.Pos(), "an answer that is no constant")
				}
			case strings.HasPrefix(name, "("+module+"/internal/lines.Figures)."):
				if what := info.Types[n.Args[0]].Value; what != nil && folder != "internal/lines" {
					s, _ := strconv.Unquote(what.ExactString())
					l.figures = append(l.figures, fmt.Sprintf("%s %s %s", folder, name[strings.LastIndex(name, ".")+1:], s))
				}
			}
		}
		return true
	})
}

// called is the full name of what a call calls.
func called(c *ast.CallExpr, info *types.Info) string {
	switch f := ast.Unparen(c.Fun).(type) {
	case *ast.Ident:
		return full(info.Uses[f])
	case *ast.SelectorExpr:
		return full(info.Uses[f.Sel])
	}
	return ""
}

// full is an object's name with its package, and its receiver where it has one; ""
// for one that has no package, or that is no package's own.
func full(o types.Object) string {
	switch o := o.(type) {
	case nil:
		return ""
	case *types.Builtin:
		return "builtin." + o.Name()
	case *types.Func:
		return o.FullName()
	}
	if o.Pkg() == nil || o.Parent() != o.Pkg().Scope() {
		return ""
	}
	return o.Pkg().Path() + "." + o.Name()
}
