// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
)

// An explanation says why no test can notice a mutant. In the file it is three
// lines, and a blank one:
//
//	attest/cert/chain.go Chain
//		never: len(pool) > max
//		the parser takes no more than max.
type explanation struct {
	file, function, change, reason string
	used                           bool
}

func (e *explanation) String() string { return e.file + " " + e.function + ": " + e.change }

type explanations []*explanation

// readExplanations reads the file; one that doesn't exist explains nothing.
func readExplanations(file string) (explanations, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all explanations
	var lines []string
	flush := func(at int) error {
		if len(lines) == 0 {
			return nil
		}
		place, function, ok := strings.Cut(lines[0], " ")
		if len(lines) < 3 || !ok {
			return fmt.Errorf("%s:%d: an explanation is a file and a function, a change, and a reason", file, at)
		}
		all = append(all, &explanation{file: place, function: function, change: lines[1], reason: strings.Join(lines[2:], " ")})
		lines = nil
		return nil
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "#"):
		case line == "":
			if err := flush(n); err != nil {
				return nil, err
			}
		default:
			lines = append(lines, line)
		}
	}
	return all, flush(n)
}

func (es explanations) find(m *mutant) *explanation {
	for _, e := range es {
		if e.file == m.file && e.function == m.function && e.change == m.change {
			e.used = true
			return e
		}
	}
	return nil
}

// unused returns the explanations of these packages' files that matched nothing.
func (es explanations) unused(pkgs []*pkg) (left []*explanation) {
	for _, e := range es {
		for _, p := range pkgs {
			if !e.used && path.Dir(e.file) == p.rel {
				left = append(left, e)
			}
		}
	}
	return left
}
