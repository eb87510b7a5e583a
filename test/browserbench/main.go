// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

//go:build !js

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

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
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	native, err := measure()
	if err != nil {
		return err
	}
	browser, version, err := inBrowser(ctx, chromium)
	if err != nil {
		return err
	}
	fmt.Printf("%s %s/%s; %s\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, version)
	fmt.Println("| | native: first time | median | least | browser: first time | median | least |")
	fmt.Println("|---|---|---|---|---|---|---|")
	for i, n := range native {
		fmt.Printf("| %s | %s | %s |\n", n.Name, columns(n), columns(browser[i]))
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
func inBrowser(ctx context.Context, chromium string) ([]figure, string, error) {
	dir, err := os.MkdirTemp("", "sotto-browserbench-")
	if err != nil {
		return nil, "", err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "bench.wasm")
	if err := wasm.Compile(ctx, ".", "github.com/sotto-chat/sotto/test/browserbench", program); err != nil {
		return nil, "", err
	}
	b, version, err := wasm.Run(ctx, chromium, program, "", nil)
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
