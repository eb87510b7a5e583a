// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
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
// What the page's script imports at once is named in the head, so that it needn't
// be found there first.
func (s site) addPages(dir string, names map[string]string, first []string) error {
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
				out += s.integrity(p)
			}
			return []byte(out)
		})
		if bytes.Contains(s[name], []byte(names["main.js"])) {
			var preload []byte
			for _, p := range slices.Sorted(slices.Values(first)) { // any order does, and has to be the same each time
				if p != names["main.js"] {
					preload = fmt.Appendf(preload, "<link rel=\"modulepreload\" href=\"/%s\"%s>\n", p, s.integrity(p))
				}
			}
			s[name] = bytes.Replace(s[name], []byte("</head>"), append(preload, "</head>"...), 1)
		}
		if len(missing) > 0 {
			slices.Sort(missing)
			return fmt.Errorf("%s refers to %s, which the build doesn't make", name, strings.Join(missing, ", "))
		}
	}
	return nil
}

// integrity is the attribute that has a browser check what it loads from p.
func (s site) integrity(p string) string { return ` integrity="` + s.digest(p) + `"` }

// digest is a file's SHA-256 as browsers compare it (W3C Subresource Integrity, "The integrity attribute").
func (s site) digest(p string) string {
	sum := sha256.Sum256(s[p])
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}
