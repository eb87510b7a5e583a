// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// coreHTML is the core's frame: see src/core/frame.ts.
//
//go:embed core.html
var coreHTML []byte

// reference finds what a page loads: src="/x" or href="/x".
var reference = regexp.MustCompile(`(src|href)="/([^"/][^"]*)"`)

// entries are the names that a page gives the bundle made of Options.Main.
var entries = strings.NewReplacer("{{js}}", "/main.js", "{{css}}", "/main.css")

// addPages adds the pages of dir, index.html among them, and core.html. In them
// a file goes by its plain name; the build puts the hashed one in its place and,
// for scripts and styles, its integrity.
func (s site) addPages(dir string, names map[string]string) error {
	pages := map[string][]byte{}
	own, err := filepath.Glob(filepath.Join(dir, "*.html"))
	if err != nil {
		return err
	}
	for _, file := range own {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		pages[filepath.Base(file)] = []byte(entries.Replace(string(b)))
	}
	if pages["index.html"] == nil {
		return fmt.Errorf("no index.html in %s", dir)
	}
	pages["core.html"] = coreHTML

	for name, page := range pages {
		var missing []string
		s[name] = reference.ReplaceAllFunc(page, func(m []byte) []byte {
			parts := reference.FindSubmatch(m)
			attr, ref := string(parts[1]), string(parts[2])
			if pages[ref] != nil {
				return m
			}
			p, ok := names[ref]
			if !ok {
				missing = append(missing, ref)
				return m
			}
			out := fmt.Sprintf(`%s="/%s"`, attr, p)
			if strings.HasSuffix(p, ".js") || strings.HasSuffix(p, ".css") {
				sum := sha256.Sum256(s[p])
				out += ` integrity="sha256-` + base64.StdEncoding.EncodeToString(sum[:]) + `"`
			}
			return []byte(out)
		})
		if len(missing) > 0 {
			slices.Sort(missing)
			return fmt.Errorf("%s refers to %s, which the build doesn't make", name, strings.Join(missing, ", "))
		}
	}
	return nil
}
