// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package repo

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEachWayToJoinHasATest: docs/threat-model.md lists what could join two requests.
// Each row of it names a test, and each test is there.
func TestEachWayToJoinHasATest(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(root, "docs", "threat-model.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows, faults := joins(string(doc), hasTest)
	for _, f := range faults {
		t.Error(f)
	}
	if rows < 25 {
		t.Errorf("%d rows", rows)
	}
}

var (
	goTests   = regexp.MustCompile("`([a-z0-9/-]+)` ((?:Test[A-Za-z0-9]+(?:, )?)+)")
	nodeTests = regexp.MustCompile("`([a-z0-9/-]+)` ([a-z-]+\\.test\\.mjs)")
)

// joins counts the rows of the section and says which name no test that exists.
func joins(doc string, has func(folder, name string) bool) (rows int, faults []string) {
	_, section, _ := strings.Cut(doc, "\n## What could join two requests\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for line := range strings.Lines(section) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| what ") {
			continue
		}
		rows++
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if len(cells) != 4 {
			faults = append(faults, "not four cells: "+line)
			continue
		}
		n := 0
		for _, m := range append(goTests.FindAllStringSubmatch(cells[3], -1), nodeTests.FindAllStringSubmatch(cells[3], -1)...) {
			for name := range strings.SplitSeq(strings.TrimSuffix(m[2], ", "), ", ") {
				n++
				if !has(m[1], name) {
					faults = append(faults, m[1]+" has no "+name+": "+line)
				}
			}
		}
		if n == 0 {
			faults = append(faults, "no test: "+line)
		}
	}
	return rows, faults
}

// hasTest looks for a test by its name, or a file of tests.
func hasTest(folder, name string) bool {
	if strings.HasSuffix(name, ".mjs") {
		_, err := os.Stat(filepath.Join(root, folder, name))
		return err == nil
	}
	sources, _ := filepath.Glob(filepath.Join(root, folder, "*_test.go"))
	for _, s := range sources {
		if b, err := os.ReadFile(s); err == nil && bytes.Contains(b, []byte("func "+name+"(")) {
			return true
		}
	}
	return false
}

func TestJoins(t *testing.T) {
	has := func(folder, name string) bool { return folder == "a/b" && name != "TestGone" }
	const head = "x\n## What could join two requests\n\n| what | joins | stands | test |\n|---|---|---|---|\n"
	for row, want := range map[string]string{
		"| a | b | c | `a/b` TestOne, TestTwo; `a/b` x.test.mjs |": "",
		"| a | b | c | `a/b` TestOne, TestGone |":                  "has no TestGone",
		"| a | b | c | `other` TestOne |":                          "has no TestOne",
		"| a | b | c | by looking |":                               "no test",
		"| a | b | `a/b` TestOne |":                                "not four cells",
	} {
		rows, faults := joins(head+row+"\n\n## Next\n| a | b | c | d |\n", has)
		if got := strings.Join(faults, ""); rows != 1 || want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %d rows, %q, want %q", row, rows, got, want)
		}
	}
}

// TestSealedBytesGoAlone: the page fetches sealed bytes without cookies, past every
// cache, and follows nobody elsewhere; and nothing of it opens a socket.
func TestSealedBytesGoAlone(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "web", "src", "worker", "go.ts"))
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(text), "async function sealedFetch(")
	body, _, _ = strings.Cut(body, "\n}\n")
	for _, option := range []string{"credentials: 'omit'", "cache: 'no-store'", "redirect: 'error'"} {
		if !strings.Contains(body, option) {
			t.Errorf("web/src/worker/go.ts fetches sealed bytes without %s", option)
		}
	}
	socket := regexp.MustCompile(`new (WebSocket|WebTransport|RTCPeerConnection)\b|sendBeacon`)
	files(t, func(path string, text []byte) {
		if m := socket.Find(text); m != nil && strings.HasPrefix(path, "web/src/") {
			t.Errorf("%s uses %s", path, m)
		}
	}, ".ts", ".tsx")
}
