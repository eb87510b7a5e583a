// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// memory is what a test may take, in kB of address space: a mutant that
// allocates by a stranger's number must not take the machine along.
const memory = 6 << 20

// limit is how long tests may run that take so long without a mutant.
func limit(tests []test) time.Duration {
	most := 2 * time.Second
	for _, t := range tests {
		most += 10 * t.takes
	}
	return min(most, 20*time.Second)
}

// test is one test of the package, and what it costs.
type test struct {
	name  string
	takes time.Duration
}

// binary is a package's test binary with all mutants in it.
type binary struct {
	file, dir string
}

// run builds the package with all of its mutants into dir, and decides the fate
// of those in mine.
func (p *pkg) run(dir string, all, mine []*mutant, jobs int) error {
	for _, m := range mine {
		m.fate = unreached
	}
	if p.tested == "" {
		return nil
	}
	b, err := p.build(dir)
	if err != nil {
		return err
	}
	reached, err := b.reach(dir, jobs)
	if err != nil {
		return err
	}
	byID := map[int]*mutant{}
	for _, m := range all {
		byID[m.id] = m
	}
	for id := range reached {
		if byID[id] == nil {
			return fmt.Errorf("the tests met mutant %d, which there isn't", id)
		}
	}
	return parallel(jobs, mine, func(m *mutant) error {
		tests := reached[m.id]
		if len(tests) == 0 {
			return nil
		}
		slices.SortFunc(tests, func(a, b test) int { return cmp.Or(cmp.Compare(a.takes, b.takes), strings.Compare(a.name, b.name)) })
		// The quick ones first: most mutants fall there.
		n := 0
		for sum := time.Duration(0); n < len(tests) && (n == 0 || sum < 300*time.Millisecond); n++ {
			sum += tests[n].takes
		}
		m.fate = survived
		for _, part := range [][]test{tests[:n], tests[n:]} {
			if m.fate == noticed || len(part) == 0 {
				continue
			}
			passed, err := b.test(part, "SOTTO_MUTANT="+strconv.Itoa(m.id))
			if err != nil {
				return err
			}
			if !passed {
				m.fate = noticed
			}
		}
		return nil
	})
}

// build compiles the tests with the mutants.
func (p *pkg) build(dir string) (binary, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return binary{}, err
	}
	var overlay struct{ Replace map[string]string }
	overlay.Replace = map[string]string{}
	put := func(name string, text []byte) error {
		file := filepath.Join(dir, name)
		overlay.Replace[filepath.Join(p.Dir, name)] = file
		return os.WriteFile(file, text, 0o644)
	}
	if err := put(helperFile, fmt.Appendf(nil, helper, p.Name)); err != nil {
		return binary{}, err
	}
	for _, s := range p.files {
		if err := put(s.name, s.whole()); err != nil {
			return binary{}, err
		}
	}
	doc, err := json.Marshal(overlay)
	if err != nil {
		return binary{}, err
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, doc, 0o644); err != nil {
		return binary{}, err
	}
	b := binary{file: filepath.Join(dir, "tests"), dir: p.testedIn}
	cmd := exec.Command("go", "test", "-c", "-vet=off", "-overlay", file, "-o", b.file, p.tested)
	cmd.Dir = p.Module.Dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return binary{}, fmt.Errorf("building with mutants: %w\n%s", err, out)
	}
	return b, nil
}

// reach runs each test by itself, without a mutant, and returns for each mutant
// the tests that come by it.
func (b binary) reach(dir string, jobs int) (map[int][]test, error) {
	cmd := exec.Command(b.file, "-test.list", ".")
	cmd.Dir = b.dir
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("listing the tests: %w", err)
	}
	var names []string
	for _, name := range strings.Fields(string(out)) {
		if !strings.HasPrefix(name, "Benchmark") {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, errors.New("it has test files and no tests")
	}
	reached := map[int][]test{}
	var mu sync.Mutex
	err = parallel(jobs, names, func(name string) error {
		notes := filepath.Join(dir, name+".notes")
		begun := time.Now()
		passed, err := b.test([]test{{name, 2 * time.Second}}, "SOTTO_MUTANT_NOTES="+notes)
		if err != nil {
			return err
		}
		if !passed {
			return fmt.Errorf("%s fails without a mutant", name)
		}
		takes := time.Since(begun)
		text, err := os.ReadFile(notes)
		if err != nil && !os.IsNotExist(err) {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		for _, s := range strings.Fields(string(text)) {
			id, err := strconv.Atoi(s)
			if err != nil {
				return err
			}
			reached[id] = append(reached[id], test{name, takes})
		}
		return nil
	})
	return reached, err
}

// test runs tests and reports whether they passed. A test that takes too long,
// or more memory than there is, hasn't. On a busy machine one that got little of
// the processor has only waited: it is given more time, once.
func (b binary) test(tests []test, env string) (passed bool, err error) {
	most := limit(tests)
	passed, waited, err := b.run(tests, env, most)
	if waited && err == nil {
		passed, _, err = b.run(tests, env, patience*most)
	}
	return passed, err
}

// patience is how many times longer a test may take that has only waited.
const patience = 6

// run runs tests for at most a time. waited says that they were cut off having
// used less than half of it.
func (b binary) run(tests []test, env string, most time.Duration) (passed, waited bool, err error) {
	var names []string
	for _, t := range tests {
		names = append(names, regexp.QuoteMeta(t.name))
	}
	ctx, cancel := context.WithTimeout(context.Background(), most+5*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", fmt.Sprintf(`ulimit -v %d && exec "$@"`, memory), "sh", b.file,
		"-test.run", "^("+strings.Join(names, "|")+")$", "-test.failfast", "-test.timeout", most.String())
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), env)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	begun := time.Now()
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && ctx.Err() == nil {
		return false, false, err
	}
	if s := cmd.ProcessState; err != nil && s != nil {
		waited = time.Since(begun) >= most && s.UserTime()+s.SystemTime() < most/2
	}
	return err == nil, waited, nil
}

// parallel calls f for each of all, some at the same time, and returns the first
// error.
func parallel[T any](jobs int, all []T, f func(T) error) error {
	work := make(chan T)
	errs := make(chan error, len(all))
	var wg sync.WaitGroup
	for range max(1, jobs) {
		wg.Go(func() {
			for x := range work {
				if err := f(x); err != nil {
					errs <- err
				}
			}
		})
	}
	for _, x := range all {
		work <- x
	}
	close(work)
	wg.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}
