// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package wasm

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// program grows its stack, collects garbage with pointers on it, defers, recovers
// and unwinds: all that reads the tables that have to stay. Then it panics.
const program = `package main

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
)

type node struct { next *node; text string }

func deep(n int, list *node) int {
	here := &node{list, strings.Repeat("x", n%7)}
	defer func() { if here.next != list { panic("lost") } }()
	if n == 0 { runtime.GC(); return len(here.text) }
	return deep(n-1, here) + len(here.text)
}

func caught() (err any) {
	defer func() { err = recover() }()
	var m map[string]int
	m["x"] = 1
	return nil
}

func main() {
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() { deep(3000+i, nil); runtime.Gosched(); runtime.GC() })
	}
	wg.Wait()
	pc := make([]uintptr, 8)
	f, _ := runtime.CallersFrames(pc[:runtime.Callers(1, pc)]).Next()
	fmt.Println(caught(), deep(100, nil), f.Function, f.Line)
	panic("the end")
}
`

func TestProgramsRunWithoutLines(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal("the tests of the browser’s core need node")
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module example\n\ngo 1.26\n", "main.go": program} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(dir, "out.wasm")
	if err := Compile(t.Context(), dir, ".", out); err != nil {
		t.Fatal(err)
	}
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	run := exec.CommandContext(t.Context(), node, filepath.Join(strings.TrimSpace(string(goroot)), "lib", "wasm", "wasm_exec_node.js"), out)
	said, err := run.CombinedOutput()
	if err == nil {
		t.Error("a program that panics ended well")
	}
	for _, want := range []string{"assignment to entry in nil map 297 main.main 0", "panic: the end", "main.main()"} {
		if !bytes.Contains(said, []byte(want)) {
			t.Errorf("the program doesn’t say %q:\n%s", want, said)
		}
	}
	if bytes.Contains(said, []byte("main.go:")) {
		t.Errorf("there are lines left (%s):\n%s", runtime.Version(), said)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	again := bytes.Clone(b)
	if err := blankLines(again); err != nil || !bytes.Equal(b, again) {
		t.Errorf("doing it again changes something: %v", err)
	}
	// What isn't as it should be is an error, and never a panic.
	for _, cut := range []int{0, 7, 8, 20, len(b) / 2} {
		if blankLines(bytes.Clone(b[:cut])) == nil {
			t.Errorf("%d bytes of the program are taken for all of it", cut)
		}
	}
	magic := bytes.Index(b, []byte{0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8})
	for i := range 72 {
		broken := bytes.Clone(b)
		broken[magic+i] ^= 0xff
		blankLines(broken)
	}
	broken := bytes.Clone(b)
	broken[magic] ^= 1
	if blankLines(broken) == nil {
		t.Error("another layout is passed over")
	}
}
