// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

//go:build !js

package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/andybalholm/brotli"

	"github.com/sotto-chat/sotto/internal/wasm"
)

func main() {
	chromium := flag.String("chromium", "chromium", "the browser's `program`")
	flag.Parse()
	if err := run(*chromium); err != nil {
		fmt.Fprintln(os.Stderr, "browserbench: error:", err)
		os.Exit(1)
	}
}

func run(chromium string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	var docs []string
	for _, h := range hardware {
		b, err := os.ReadFile(filepath.Join("spec", "vectors", "attest", h.vector+".json"))
		if err != nil {
			return fmt.Errorf("run it at the root of the repository: %w", err)
		}
		docs = append(docs, string(b))
	}
	native, err := measure(docs)
	if err != nil {
		return err
	}
	browser, version, err := inBrowser(ctx, chromium, docs)
	if err != nil {
		return err
	}
	fmt.Printf("%s %s/%s; %s\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, version)
	fmt.Println("| | native: first time | median | least | browser: first time | median | least |")
	fmt.Println("|---|---|---|---|---|---|---|")
	for i, n := range native {
		fmt.Printf("| %s | %s | %s |\n", n.Name, columns(n), columns(browser[i]))
	}
	return bundles(docs)
}

// bundles prints what each bundle weighs on the wire and how much memory it takes
// to judge it.
func bundles(docs []string) error {
	fmt.Println("\n| bundle | bytes | gzip | brotli | allocated to judge it |")
	fmt.Println("|---|---|---|---|---|")
	for i, h := range hardware {
		j, err := newJudged([]byte(docs[i]))
		if err != nil {
			return err
		}
		var gz, br bytes.Buffer
		z, err := gzip.NewWriterLevel(&gz, gzip.BestCompression)
		if err != nil {
			return err
		}
		for _, w := range []io.WriteCloser{z, brotli.NewWriterLevel(&br, brotli.BestCompression)} {
			if _, err := w.Write(j.Bundle); err != nil {
				return err
			}
			if err := w.Close(); err != nil {
				return err
			}
		}
		r := testing.Benchmark(func(b *testing.B) {
			for b.Loop() {
				if err := j.verify(); err != nil {
					b.Fatal(err)
				}
			}
		})
		fmt.Printf("| %s | %d | %d | %d | %d kB in %d |\n", h.what, len(j.Bundle), gz.Len(), br.Len(), r.AllocedBytesPerOp()/1000, r.AllocsPerOp())
	}
	return nil
}

func columns(f figure) string {
	s := fmt.Sprintf("%.2f ms | %.3f ms | %.3f ms", f.First, f.Median, f.Least)
	if f.Bytes > 0 {
		s += fmt.Sprintf(" (%.0f MB/s)", float64(f.Bytes)/1e3/f.Least)
	}
	return s
}

// inBrowser has the same measured by a headless Chromium.
func inBrowser(ctx context.Context, chromium string, docs []string) ([]figure, string, error) {
	dir, err := os.MkdirTemp("", "sotto-browserbench-")
	if err != nil {
		return nil, "", err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "bench.wasm")
	if err := wasm.Compile(ctx, ".", "github.com/sotto-chat/sotto/test/browserbench", program); err != nil {
		return nil, "", err
	}
	text, err := json.Marshal(docs)
	if err != nil {
		return nil, "", err
	}
	if text, err = json.Marshal(string(text)); err != nil { // a string of JavaScript, and safe inside a page
		return nil, "", err
	}
	b, version, err := wasm.Run(ctx, chromium, program, "globalThis.vectors = "+string(text)+";", nil)
	if err != nil {
		return nil, "", err
	}
	var doc struct {
		Figures []figure `json:"figures"`
		Error   string   `json:"error"`
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		return nil, "", err
	}
	if doc.Error != "" {
		return nil, "", errors.New("in the browser: " + doc.Error)
	}
	return doc.Figures, version, nil
}
