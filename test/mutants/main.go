// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Command mutants takes checks out of a package one at a time, runs the
// package's own tests each time, and lists what no test noticed:
//
//	go run ./test/mutants [-run N/M] [-files GLOB,…] [-jobs N] [-list] PACKAGES
//
// A check that can be removed without a test failing is a check that nobody
// would miss on the day it breaks. The command exits with 1 if there is any, or
// if a line of explained.txt explains a mutant that doesn't exist or is noticed.
//
// What is changed: a condition that is never true (or always, where its body is
// no refusal), each operand of || and && left out, each value of a case, < and
// <= and their mirrors, == and != and !, a call whose result nobody uses, an
// append, and an error or a truth that is returned. Each change alone is one
// mutant.
//
// All mutants of a package are compiled into one test binary and chosen by an
// environment variable, so that a mutant costs a run and not a build. The tree
// isn't touched: the changed files lie in a temporary folder, and go's -overlay
// puts them in place. Every test is first run by itself, to learn which mutants
// it reaches: a mutant that no test reaches survives at once, and others are met
// only by the tests that can notice them. A test that hangs or runs out of
// memory has noticed; one that got too little of a busy machine is run again.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

type options struct {
	shard, shards int      // this one of so many, from 1
	files         []string // globs of base names; empty for all
	jobs          int
	list          bool
	explained     string
	packages      []string
}

func main() {
	o := options{shard: 1, shards: 1}
	run := flag.String("run", "1/1", "only the `N/M`th part of the mutants")
	files := flag.String("files", "", "only files whose name matches one of these `globs`, comma-separated")
	flag.IntVar(&o.jobs, "jobs", 2, "how many mutants to run at the same `time`")
	flag.BoolVar(&o.list, "list", false, "name the mutants and run nothing")
	flag.StringVar(&o.explained, "explained", "test/mutants/explained.txt", "`file` of survivors that are allowed, and why")
	flag.Parse()
	o.packages = flag.Args()
	if _, err := fmt.Sscanf(*run, "%d/%d", &o.shard, &o.shards); err != nil || o.shard < 1 || o.shard > o.shards {
		fail(fmt.Errorf("-run %s is not N/M", *run))
	}
	if *files != "" {
		o.files = strings.Split(*files, ",")
	}
	if len(o.packages) == 0 {
		fail(errors.New("no packages; try ./attest/..."))
	}
	clean, err := mutate(o, os.Stdout)
	if err != nil {
		fail(err)
	}
	if !clean {
		os.Exit(1)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "mutants: error:", err)
	os.Exit(2)
}

// mutate does the whole of it, and reports whether nothing survived that isn't
// explained and every explanation is needed.
func mutate(o options, out io.Writer) (clean bool, err error) {
	known, err := readExplanations(o.explained)
	if err != nil {
		return false, err
	}
	pkgs, err := list(o.packages)
	if err != nil {
		return false, err
	}
	tmp, err := os.MkdirTemp("", "sotto-mutants-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(tmp)

	whole := o.shards == 1 && len(o.files) == 0
	clean = true
	var total, survived, allowed int
	for i, p := range pkgs {
		ms, err := p.mutants(o.files)
		if err != nil {
			return false, fmt.Errorf("%s: %w", p.ImportPath, err)
		}
		if len(ms) == 0 {
			continue
		}
		if o.list {
			for _, m := range ms {
				fmt.Fprintln(out, m)
			}
			total += len(ms)
			continue
		}
		var mine []*mutant
		for k, m := range ms {
			if k%o.shards == o.shard-1 {
				mine = append(mine, m)
			}
		}
		dir := filepath.Join(tmp, fmt.Sprint(i))
		if err := p.run(dir, ms, mine, o.jobs); err != nil {
			return false, fmt.Errorf("%s: %w", p.ImportPath, err)
		}
		var alive int
		for _, m := range mine {
			total++
			e := known.find(m)
			switch {
			case m.fate == noticed && e != nil:
				clean = false
				fmt.Fprintf(out, "noticed, though explained: %s\n", m)
			case m.fate == noticed:
			case e != nil:
				allowed++
			default:
				clean = false
				alive++
				fmt.Fprintf(out, "%s: %s\n", m.fate, m)
			}
		}
		survived += alive
		fmt.Fprintf(out, "%-50s %4d mutants, %d survived\n", p.ImportPath, len(mine), alive)
	}
	if o.list {
		fmt.Fprintf(out, "%d mutants\n", total)
		return true, nil
	}
	// An explanation outlives its code unless somebody looks. A part of a
	// package can't tell which are left over.
	if whole {
		for _, e := range known.unused(pkgs) {
			clean = false
			fmt.Fprintf(out, "explained, but there is no such mutant: %s\n", e)
		}
	}
	fmt.Fprintf(out, "%d mutants, %d survived, %d explained\n", total, survived, allowed)
	return clean, nil
}
