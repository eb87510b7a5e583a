// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const fixture = "./testdata/fixture"

// explain writes a file of explanations and returns its name.
func explain(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "explained.txt")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// call runs the command on the fixture and returns what it says, line by line.
func call(t *testing.T, o options) (clean bool, lines []string) {
	t.Helper()
	o.packages = []string{fixture}
	o.jobs = 2
	if o.shards == 0 {
		o.shard, o.shards = 1, 1
	}
	var out bytes.Buffer
	clean, err := mutate(o, &out)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		lines = append(lines, strings.TrimSpace(line))
	}
	return clean, lines
}

// overlooked is what the fixture's tests overlook, and nothing else.
var overlooked = []string{
	"17 Read: without: len(b) > Limit ||",
	"17 Read: boundary: len(b) < 2 → <=",
	"22 Read: without: case 3", // other kinds are refused too
	"55 Small: without: n < 10 &&",
	"55 Small: boundary: n < 10 → <=",
	"66 less: always: n > 0",
	"66 less: boundary: n > 0 → >=",
	"74 Untested: never: !ok",
}

// reported is what lines say of the fixture after a word.
func reported(lines []string, word string) (got []string) {
	for _, line := range lines {
		if rest, ok := strings.CutPrefix(line, word+": test/mutants/testdata/fixture/fixture.go:"); ok {
			got = append(got, rest)
		}
	}
	return got
}

func TestOverlooked(t *testing.T) {
	// Two of the survivors are explained. One explanation is of a mutant that is
	// noticed, one of none at all.
	clean, lines := call(t, options{explained: explain(t, `
# Why these are allowed.
test/mutants/testdata/fixture/fixture.go Small
	without: n < 10 &&
	what is less than 5 is less than 10.

test/mutants/testdata/fixture/fixture.go Small
	boundary: n < 10 → <=
	as before,
	in two lines.

test/mutants/testdata/fixture/fixture.go Small
	without: n < 5 &&
	wrong: TestSmall notices.

test/mutants/testdata/fixture/fixture.go Gone
	never: n < 5
	the function was removed.

attest/attest.go Elsewhere
	never: n < 5
	of a package that isn't asked for.
`)})
	if clean {
		t.Error("clean, though checks can be removed")
	}
	got := append(reported(lines, "survived"), reported(lines, "no test reaches")...)
	want := slices.Concat(overlooked[:3], overlooked[5:])
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("survivors are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := reported(lines, "no test reaches"); !slices.Equal(got, overlooked[7:]) {
		t.Errorf("not reached: %q", got)
	}
	if got := reported(lines, "noticed, though explained"); !slices.Equal(got, []string{"55 Small: without: n < 5 &&"}) {
		t.Errorf("noticed: %q", got)
	}
	if !slices.Contains(lines, "explained, but there is no such mutant: test/mutants/testdata/fixture/fixture.go Gone: never: n < 5") {
		t.Error("an explanation of nothing isn't reported")
	}
	if last := lines[len(lines)-1]; last != "24 mutants, 6 survived, 2 explained" {
		t.Errorf("last line %q", last)
	}
}

// Parts and files narrow what is run, and -list runs nothing.
func TestParts(t *testing.T) {
	_, all := call(t, options{list: true})
	for _, want := range []string{
		"17 Read: never: len(b) < 2 || len(b) > Limit",
		"21 Read: without: case 1",
		"22 Read: without: case 3",
		"27 Read: never: n != len(b)-2",
		"30 Read: no error: return last(b)",
		"48 Same: drop: differ |= a[i] ^ b[i]",
	} {
		if !slices.Contains(all, "test/mutants/testdata/fixture/fixture.go:"+want) {
			t.Errorf("%s isn't listed", want)
		}
	}
	if _, none := call(t, options{list: true, files: []string{"other*.go"}}); len(none) != 1 {
		t.Errorf("of other files: %q", none)
	}
	if clean, lines := call(t, options{shard: 24, shards: 24}); clean || lines[len(lines)-1] != "1 mutants, 1 survived, 0 explained" {
		t.Errorf("the last part: %q", lines)
	}
}

func TestExplanationsAreChecked(t *testing.T) {
	for name, text := range map[string]string{
		"no reason":   "a.go F\nnever: x\n",
		"no function": "a.go\nnever: x\nbecause.\n",
	} {
		if _, err := readExplanations(explain(t, text)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestEditsNest(t *testing.T) {
	got := apply([]byte("if a < b {}"), []edit{
		{start: 3, end: 8, before: "(1 ", after: ")"},
		{start: 3, end: 8, before: "less(", after: ")"},
		{start: 5, end: 6, before: ",", replace: true},
		{start: 3, end: 4, before: "[", after: "]"},
		{start: 7, end: 8, before: "<", after: ">"},
		{start: 0, end: 11, before: "{ ", after: " }"},
	})
	if want := "{ if (1 less([a] , <b>)) {} }"; string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
