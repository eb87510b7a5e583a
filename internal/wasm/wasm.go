// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package wasm compiles Go for the browser the way that the page's core is
// published, and runs what it compiled in a real Chromium. The build of the page,
// the figures and the tests share it, so that what is measured and tested is
// what people load.
package wasm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// inlined are the packages whose calls are worth their place in the caller: what
// every message and every token goes through, with the arithmetic that it consists
// of. The curves that a machine's evidence is signed with are not: that is checked
// once in a while, and their field arithmetic is the largest code of all.
// Everywhere else a call stays a call. That makes the core a little larger in
// memory and a tenth smaller on the wire, because what is the same compresses
// well; debuggers have all Go code compiled so.
var inlined = []string{
	"crypto/internal/fips140/bigmod", "crypto/internal/fips140/sha256", "crypto/internal/fips140/subtle",
	"crypto/internal/fips140deps/byteorder", "golang.org/x/crypto/chacha20/...", "golang.org/x/crypto/internal/...",
	"internal/byteorder", "math/bits",
}

// Compile builds a package for js/wasm into the file out. dir is a folder of the
// module. The bytes depend on the sources and the toolchain alone: no paths, no
// version-control stamp, no build id.
func Compile(ctx context.Context, dir, pkg, out string, tags ...string) error {
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-gcflags=all=-l"}
	for _, p := range inlined {
		args = append(args, "-gcflags="+p+"=")
	}
	args = append(args, "-tags="+strings.Join(tags, ","), "-o", out, pkg)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=", "GOWASM=")
	if msg, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("compiling %s for the browser: %w\n%s", pkg, err, msg)
	}
	program, err := os.ReadFile(out)
	if err != nil {
		return err
	}
	if err := blankLines(program); err != nil {
		return fmt.Errorf("compiling %s for the browser: %w", pkg, err)
	}
	return os.WriteFile(out, program, 0o644)
}

// page starts a program, which calls done with a text when it is finished. What
// goes wrong before that is a text, too: it begins with "error: ".
const page = `<!doctype html><meta charset="utf-8"><title>Go</title><script src="/wasm_exec.js"></script><script>
globalThis.done = (text) => fetch('/done', {method: 'POST', body: text});
const failed = (e) => done('error: ' + (e && e.message || JSON.stringify(e) || e));
addEventListener('error', (e) => failed(e.error));
addEventListener('unhandledrejection', (e) => failed(e.reason));
%s
const go = new Go();
WebAssembly.instantiateStreaming(fetch('/program.wasm'), go.importObject).then((m) => go.run(m.instance)).catch(failed);
</script>`

// maxText bounds what a page may answer with.
const maxText = 64 << 20

// Run has a headless Chromium load a compiled program and returns what it, or the
// script of the page that starts it, calls done with; and the browser's version.
// files answers requests to /files/, and may be nil.
func Run(ctx context.Context, chromium, program, script string, files http.Handler) (text []byte, version string, err error) {
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return nil, "", err
	}
	v, err := exec.CommandContext(ctx, chromium, "--version").Output()
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", chromium, err)
	}
	version = strings.TrimSpace(string(v))

	done := make(chan []byte, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		// A page that shares nothing with others gets the finer clock.
		w.Header().Set("Cross-Origin-Opener-Policy", "same-origin")
		w.Header().Set("Cross-Origin-Embedder-Policy", "require-corp")
		fmt.Fprintf(w, page, script)
	})
	mux.HandleFunc("GET /wasm_exec.js", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, filepath.Join(strings.TrimSpace(string(root)), "lib", "wasm", "wasm_exec.js"))
	})
	mux.HandleFunc("GET /program.wasm", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/wasm")
		http.ServeFile(w, r, program)
	})
	if files != nil {
		mux.Handle("/files/", files)
	}
	mux.HandleFunc("POST /done", func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxText))
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
	profile, err := os.MkdirTemp("", "sotto-chromium-")
	if err != nil {
		return nil, "", err
	}
	defer os.RemoveAll(profile)

	// The sandbox wants privileges that a container lacks; the page is ours.
	browser := exec.Command(chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--user-data-dir="+profile, "http://"+l.Addr().String()+"/")
	if err := browser.Start(); err != nil {
		return nil, "", err
	}
	gone := make(chan error, 1)
	go func() { gone <- browser.Wait() }()
	select {
	case text = <-done:
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
	if msg, ok := strings.CutPrefix(string(text[:min(len(text), 1000)]), "error: "); ok {
		return nil, "", errors.New("in the browser: " + msg)
	}
	return text, version, nil
}
