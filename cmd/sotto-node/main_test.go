// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/bundle"
)

var update = flag.Bool("update", false, "write deps.txt anew")

const module = "github.com/sotto-chat/sotto"

// goTool runs the go command for the platform that a release is built for.
func goTool(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %v: %v\n%s", args, err, stderr.String())
	}
	return string(out)
}

// The program that sees what people write holds what deps.txt lists, and
// nothing else comes in unseen.
func TestDependencies(t *testing.T) {
	const format = "{{if .Module}}{{.Module.Path}}{{else}}std{{end}} {{.ImportPath}} {{.Dir}} {{range .GoFiles}}{{.}} {{end}}"
	var list strings.Builder
	list.WriteString("# Every package in a release of sotto-node, by module (linux/amd64, no cgo).\n# go test ./cmd/sotto-node -update writes it; whoever changes it says why.\n")
	var lines []string
	modules := map[string]bool{}
	own := 0
	for line := range strings.Lines(goTool(t, "list", "-deps", "-f", format, ".")) {
		f := strings.Fields(line)
		mod, pkg, dir := f[0], f[1], f[2]
		if mod == "std" && (strings.HasPrefix(pkg, "internal/") || strings.Contains(pkg, "/internal/") || strings.HasPrefix(pkg, "vendor/")) {
			continue // comes with the standard library's release, and is its business
		}
		lines = append(lines, mod+" "+pkg)
		switch mod {
		case "std":
		case module:
			own += countLines(t, dir, f[3:])
		default:
			modules[mod] = true
		}
	}
	slices.Sort(lines)
	list.WriteString(strings.Join(lines, "\n") + "\n")
	if *update {
		if err := os.WriteFile("deps.txt", []byte(list.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("deps.txt")
	if err != nil {
		t.Fatal(err)
	}
	if list.String() != string(want) {
		t.Errorf("the dependencies have changed. Look at the difference, then run go test ./cmd/sotto-node -update:\n%s", list.String())
	}
	if len(modules) > 15 {
		t.Errorf("%d modules of others, at most 15 are allowed", len(modules))
	}
	if own > 8000 {
		t.Errorf("%d lines of our own, at most 8,000 are allowed", own)
	}
	t.Logf("%d modules of others, %d own lines", len(modules), own)
	for forbidden, why := range map[string]string{
		module + "/attest/software":       "a release must not be able to vouch for itself",
		module + "/attest/software/forge": "a release must not be able to vouch for itself",
		module + "/engine/builtin":        "the demo model is not for people's words",
		module + "/client":                "the other side",
		module + "/attest":                "a machine shows evidence and judges none",
		module + "/attest/cert":           "a machine shows evidence and judges none",
		module + "/attest/snp":            "a machine shows evidence and judges none",
		module + "/attest/tdx":            "a machine shows evidence and judges none",
		module + "/attest/tpm":            "a machine shows evidence and judges none",
		module + "/attest/nvidia":         "a machine shows evidence and judges none",
		"os/exec":                         "a machine that starts no programs can't be made to start one",
		"database/sql":                    "a node keeps nothing",
		"net/http/pprof":                  "a heap profile holds people's words",
		"testing":                         "for tests",
		"plugin":                          "loads what nobody measured",
	} {
		if slices.ContainsFunc(lines, func(l string) bool { return strings.HasSuffix(l, " "+forbidden) }) {
			t.Errorf("%s is in the release: %s", forbidden, why)
		}
	}
}

func countLines(t *testing.T, dir string, files []string) (n int) {
	t.Helper()
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f))
		if err != nil {
			t.Fatal(err)
		}
		n += bytes.Count(b, []byte("\n"))
	}
	return n
}

// built is where the programs are that [build] has built.
var built string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "sotto-node-test-")
	if err != nil {
		panic(err)
	}
	built = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// build builds the program as a release or, with the tag, as a demo, once each.
func build(t *testing.T, tags string) string {
	t.Helper()
	bin := filepath.Join(built, "sotto-node"+tags)
	if _, err := os.Stat(bin); err != nil {
		goTool(t, "build", "-trimpath", "-tags", tags, "-o", bin, ".")
	}
	return bin
}

// The evidence maker is in no release: neither its code nor its seed.
func TestReleaseCannotVouchForItself(t *testing.T) {
	const seed = "everybody knows this key"
	for tags, want := range map[string]bool{"": false, "demo": true} {
		bin := build(t, tags)
		table := goTool(t, "tool", "nm", bin)
		if !strings.Contains(table, module+"/node/hardware.Detect") {
			t.Errorf("tags %q: the table of symbols doesn't show what it should", tags)
		}
		symbols := strings.Contains(table, module+"/attest/software")
		content, err := os.ReadFile(bin)
		if err != nil {
			t.Fatal(err)
		}
		if symbols != want || bytes.Contains(content, []byte(seed)) != want {
			t.Errorf("tags %q: symbols %v, seed %v, want %v", tags, symbols, bytes.Contains(content, []byte(seed)), want)
		}
	}
}

func TestReleaseRefusesToStartWithoutHardware(t *testing.T) {
	out, err := exec.Command(build(t, ""), "-engine", "http://127.0.0.1:1", "-listen", "127.0.0.1:0").CombinedOutput()
	exit, ok := err.(*exec.ExitError)
	if !ok || exit.ExitCode() != 1 || !strings.Contains(string(out), "does not start") || !strings.Contains(string(out), "hint: ") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestFlags(t *testing.T) {
	for _, tt := range []struct {
		args []string
		code int
		says string
	}{
		{nil, 2, "which model server"},
		{[]string{"-engine", "builtin"}, 2, "sottod demo"},
		{[]string{"-engine", "http://x", "stray"}, 2, `"stray" is not a flag`},
		{[]string{"-engine", "http://x", "-platforms", "snp,sgx"}, 1, `"sgx" is no platform`},
		{[]string{"-engine", "http://x", "-platforms", "software"}, 1, `"software" is no platform`},
		{[]string{"-engine", "http://x", "-max-requests", "0"}, 2, "between 1 and"},
		{[]string{"-engine", "http://x", "-keep-answers", "-1s"}, 2, "not above zero"},
		{[]string{"-engine", "http://x", "-log", "log.example"}, 2, "not the address of a log"},
		{[]string{"-verbose"}, 2, "not defined"},
		{[]string{"-version"}, 0, "sotto-node"},
	} {
		var out bytes.Buffer
		if code := run(t.Context(), tt.args, &out, &out); code != tt.code || !strings.Contains(out.String(), tt.says) {
			t.Errorf("%v: ends with %d and says %q", tt.args, code, out.String())
		}
	}
}

func TestReadKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	for content, want := range map[string]string{"abc\n": "abc", "": "", "a\nb\n": "", strings.Repeat("x", 5000): ""} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := readKey(file); got != want || (err == nil) != (want != "") {
			t.Errorf("%.10q: %q, %v", content, got, err)
		}
	}
}

// What was asked for and isn't there is no reason to take something else, not
// even in a demo build.
func TestNoStandInForWhatWasAskedFor(t *testing.T) {
	bin := build(t, "demo")
	out, err := exec.Command(bin, "-engine", "http://127.0.0.1:1", "-listen", "127.0.0.1:0", "-platforms", "snp").CombinedOutput()
	exit, ok := err.(*exec.ExitError)
	if !ok || exit.ExitCode() != 1 || !strings.Contains(string(out), "snp was asked for") {
		t.Errorf("%v: %s", err, out)
	}
}

// The demo build starts, says what it is, answers, and ends when told to.
func TestDemoBuildRuns(t *testing.T) {
	model := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"object":"list","data":[{"id":"m","object":"model"}]}`)
	}))
	defer model.Close()
	const checkpoint = "log.example\n1\nAAAA\n\n\u2014 log.example AAAA\n"
	publicLog := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/checkpoint" {
			io.WriteString(w, checkpoint)
		}
	}))
	defer publicLog.Close()
	release := "sha256:" + strings.Repeat("5a", 32)
	cmd := exec.Command(build(t, "demo"), "-engine", model.URL, "-listen", "127.0.0.1:0", "-debug-listen", "127.0.0.1:0", "-log", publicLog.URL, "-release", release)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() })

	lines := bufio.NewScanner(stdout)
	addr := map[string]string{}
	warned := false
	for !warned && lines.Scan() {
		var l struct {
			Msg, Listen string
			Platforms   []string
		}
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			t.Fatalf("log line %q: %v", lines.Text(), err)
		}
		if l.Listen != "" {
			addr[l.Msg] = l.Listen
		}
		if l.Msg == "sotto-node is up" && !slices.Equal(l.Platforms, []string{"software"}) {
			t.Errorf("platforms %q", l.Platforms)
		}
		warned = warned || strings.Contains(l.Msg, "not private")
	}
	get := func(addr, path string) string {
		res, err := http.Get("http://" + addr + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		if res.StatusCode != 200 {
			t.Errorf("%s: %d %s", path, res.StatusCode, b)
		}
		return string(b)
	}
	var evidence struct{ Bundles [][]byte }
	if s := get(addr["sotto-node is up"], "/sotto/v1/evidence"); json.Unmarshal([]byte(s), &evidence) != nil || len(evidence.Bundles) != 1 {
		t.Fatalf("evidence %s", s)
	}
	b, err := attest.ParseBundle(evidence.Bundles[0])
	if err != nil {
		t.Fatal(err)
	}
	config, err := attest.ParseKeyConfig(b.KeyConfig)
	if err != nil || config.Release != release || config.Anchor != bundle.Anchor([]byte(checkpoint)) || string(b.Checkpoint) != checkpoint {
		t.Errorf("key config %+v beside %q, %v", config, b.Checkpoint, err)
	}
	get(addr["sotto-node is up"], "/readyz")
	if s := get(addr["debug listener"], "/metrics"); !strings.Contains(s, "sotto_node_build_info{") || !strings.Contains(s, "sotto_node_keys_live 1\n") {
		t.Errorf("metrics %s", s)
	}
	cmd.Process.Signal(syscall.SIGTERM)
	for lines.Scan() {
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("ended with %v", err)
	}
}
