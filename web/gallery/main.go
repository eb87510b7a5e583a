// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Gallery bundles the page with a fake core, so that every state of every
// screen can be looked at, photographed and tested without a server.
//
//	go run ./web/gallery -out DIR
//
// It writes gallery.js, gallery.css, lazy chunks and index.html to DIR, and
// under DIR/tests one self-contained file for each src/**/*.test.mjs, for
// `node --test`. Nothing of it is part of the product's bundle. The packages of
// web/package.json must be installed.
//
// On what it has built, shoot.mjs photographs every state and runs axe on it,
// hostile.mjs draws Markdown that means harm, and stream.mjs measures a long
// answer. Each says in its head how it is run.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

func main() {
	out := flag.String("out", "", "directory to write to")
	web := flag.String("web", "web", "the web folder of the repository")
	minify := flag.Bool("minify", true, "minify, as in the product")
	flag.Parse()
	if *out == "" || flag.NArg() != 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*web, *out, *minify); err != nil {
		fmt.Fprintln(os.Stderr, "gallery:", err)
		os.Exit(1)
	}
}

func run(web, out string, minify bool) error {
	web, err := filepath.Abs(web)
	if err != nil {
		return err
	}
	if out, err = filepath.Abs(out); err != nil {
		return err
	}
	opts := api.BuildOptions{
		EntryPoints:       []string{filepath.Join(web, "gallery", "gallery.tsx")},
		Outdir:            out,
		AbsWorkingDir:     web,
		Bundle:            true,
		Splitting:         true,
		Format:            api.FormatESModule,
		Target:            api.ES2022,
		JSX:               api.JSXAutomatic,
		JSXImportSource:   "preact",
		MinifyWhitespace:  minify,
		MinifyIdentifiers: minify,
		MinifySyntax:      minify,
		Write:             true,
		LogLevel:          api.LogLevelWarning,
	}
	if err := build(opts); err != nil {
		return err
	}

	page, err := os.ReadFile(filepath.Join(web, "static", "index.html"))
	if err != nil {
		return err
	}
	html := strings.NewReplacer("{{css}}", "/gallery.css", "{{js}}", "/gallery.js").Replace(string(page))
	if err := os.WriteFile(filepath.Join(out, "index.html"), []byte(html), 0o644); err != nil {
		return err
	}
	for _, name := range []string{"icon.svg", "manifest.webmanifest"} {
		b, err := os.ReadFile(filepath.Join(web, "static", name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(out, name), b, 0o644); err != nil {
			return err
		}
	}

	tests, err := testFiles(filepath.Join(web, "src"))
	if err != nil {
		return err
	}
	opts.EntryPoints = tests
	opts.Outdir = filepath.Join(out, "tests")
	opts.OutExtension = map[string]string{".js": ".mjs"}
	opts.Platform = api.PlatformNode
	opts.Splitting = false
	return build(opts)
}

func build(opts api.BuildOptions) error {
	if res := api.Build(opts); len(res.Errors) > 0 {
		return errors.New("the bundle has errors")
	}
	return nil
}

// testFiles lists the unit tests below dir.
func testFiles(dir string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".test.mjs") {
			files = append(files, path)
		}
		return err
	})
	return files, err
}
