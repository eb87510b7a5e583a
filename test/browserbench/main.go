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
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

const page = `<!doctype html><meta charset="utf-8"><title>bench</title><script src="/wasm_exec.js"></script><script>
const say = (path, body) => fetch(path, {method: 'POST', body});
globalThis.done = (doc) => say('/done', doc);
const go = new Go();
WebAssembly.instantiateStreaming(fetch('/bench.wasm'), go.importObject).then(
	(m) => go.run(m.instance), (e) => say('/done', JSON.stringify({error: String(e)})));
</script>`

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
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(dir, "bench.wasm"), "github.com/sotto-chat/sotto/test/browserbench")
	build.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, "", fmt.Errorf("building for the browser: %w: %s", err, out)
	}
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return nil, "", err
	}
	version, err := exec.CommandContext(ctx, chromium, "--version").Output()
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", chromium, err)
	}

	done := make(chan []byte, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		// A page that shares nothing with others gets the finer clock.
		w.Header().Set("Cross-Origin-Opener-Policy", "same-origin")
		w.Header().Set("Cross-Origin-Embedder-Policy", "require-corp")
		io.WriteString(w, page)
	})
	mux.HandleFunc("GET /wasm_exec.js", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, filepath.Join(strings.TrimSpace(string(root)), "lib", "wasm", "wasm_exec.js"))
	})
	mux.HandleFunc("GET /bench.wasm", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, filepath.Join(dir, "bench.wasm"))
	})
	mux.HandleFunc("POST /done", func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err == nil {
			select {
			case done <- b:
			default:
			}
		}
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	s := &http.Server{Handler: mux}
	go s.Serve(l)
	defer s.Close()

	// The sandbox wants privileges that a container lacks; the page is ours.
	browser := exec.Command(chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--user-data-dir="+filepath.Join(dir, "profile"), "http://"+l.Addr().String()+"/")
	if err := browser.Start(); err != nil {
		return nil, "", err
	}
	gone := make(chan error, 1)
	go func() { gone <- browser.Wait() }()
	var b []byte
	select {
	case b = <-done:
	case err := <-gone:
		return nil, "", fmt.Errorf("%s ended: %w", chromium, err)
	case <-ctx.Done():
		err = errors.New("the browser took too long")
	}
	browser.Process.Signal(os.Interrupt)
	select {
	case <-gone:
	case <-time.After(5 * time.Second):
		browser.Process.Kill()
		<-gone
	}
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
	return doc.Figures, strings.TrimSpace(string(version)), nil
}
