// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Build makes web/dist, the files that the web app consists of.
//
// Usage:
//
//	go run ./web/build [-web web] [-out web/dist] [-cache .cache/web] [-main src/main.tsx] [-wasm file] [-policy file]
//
// It compiles ./cmd/sotto-wasm, bundles the page, the core's frame and the
// Worker with esbuild, copies web/static, names every file after its SHA-256,
// compresses each with brotli and gzip, and writes manifest.json with digests
// and sizes. The same sources give the same bytes, wherever they lie.
//
// With -policy, the page wants of every machine what the file says: which
// software it must run, which hardware must vouch for it. Without, no real
// hardware is believed, because nothing says what it should run.
//
// The build fails when the app outgrows its budgets: 1.5 MB of brotli for the
// WASM core, 60 KB of gzip for the JavaScript of a first load.
//
// It reads nothing but the source tree, node_modules and the Go toolchain, and
// writes nothing but -out and -cache (compressed bytes by digest, to save time).
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	var o Options
	flag.StringVar(&o.Web, "web", "web", "the `directory` of the web sources")
	flag.StringVar(&o.Out, "out", "", "the `directory` to write (default: dist in -web)")
	flag.StringVar(&o.Cache, "cache", filepath.Join(".cache", "web"), "a `directory` for compressed bytes; empty for none")
	flag.StringVar(&o.Main, "main", "src/main.tsx", "the page's entry `file`, relative to -web")
	flag.StringVar(&o.WASM, "wasm", "", "take this core `file` instead of compiling one")
	flag.StringVar(&o.Policy, "policy", "", "a `file` with what the page wants of machines")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "build: unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	if o.Out == "" {
		o.Out = filepath.Join(o.Web, "dist")
	}
	m, err := Build(o)
	if err != nil {
		fmt.Fprintf(os.Stderr, "build: error: %v\n", err)
		os.Exit(1)
	}
	fmt.Printf("web app %s: %d files; core %s brotli (%s raw); first load %s gzip\n",
		m.Digest[:12], len(m.Files), kilo(m.CoreBrotli), kilo(m.CoreRaw), kilo(m.FirstLoadGzip))
}

// kilo writes a size in bytes as a person reads it.
func kilo(n int) string { return fmt.Sprintf("%.1f KB", float64(n)/1000) }
