// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/internal/wasm"
	"github.com/sotto-chat/sotto/test/needs"
)

// judge is the page around the core: in the place of the Worker it gives the core
// one vector after the other and hands back what the core says of each.
const judge = `
globalThis.sottoHost = {
	emit() {},
	async ready(call) {
		const verdicts = {};
		for (const name of await (await fetch('/files/')).json()) {
			const vector = await (await fetch('/files/' + name)).text();
			try {
				verdicts[name] = new TextDecoder().decode(await call('vector', vector, null));
			} catch (e) {
				verdicts[name] = 'error: ' + e.message;
			}
		}
		done(JSON.stringify(verdicts));
	},
};`

// TestVectors has every vector of spec/vectors/attest judged by the page's core in
// a real Chromium: its verdict must be the one in the file, to the byte, and so
// the one that the terminal comes to. The core is the published one with one
// method more, since a vector brings roots of its own.
func TestVectors(t *testing.T) {
	if testing.Short() {
		t.Skip("drives a browser")
	}
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		needs.Missing(t, "Debian's chromium")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 7*time.Minute)
	defer cancel()
	core := filepath.Join(t.TempDir(), "core.wasm")
	if err := wasm.Compile(ctx, "../..", "./cmd/sotto-wasm", core, "vectors"); err != nil {
		t.Fatal(err)
	}

	const dir = "../../spec/vectors/attest"
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no vectors in %s (%v)", dir, err)
	}
	var names []string
	for _, f := range files {
		names = append(names, filepath.Base(f))
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /files/{$}", func(w http.ResponseWriter, _ *http.Request) { json.NewEncoder(w).Encode(names) })
	mux.Handle("GET /files/", http.StripPrefix("/files/", http.FileServer(http.Dir(dir))))
	text, version, err := wasm.Run(ctx, chromium, core, judge, mux)
	if err != nil {
		t.Fatal(err)
	}
	var verdicts map[string]string
	if err := json.Unmarshal(text, &verdicts); err != nil {
		t.Fatal(err)
	}
	if len(verdicts) != len(files) {
		t.Errorf("%d verdicts for %d vectors", len(verdicts), len(files))
	}
	for _, f := range files {
		doc, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var vector struct{ Verdict json.RawMessage }
		if err := json.Unmarshal(doc, &vector); err != nil {
			t.Fatal(err)
		}
		if got := verdicts[filepath.Base(f)]; !bytes.Equal([]byte(got), vector.Verdict) {
			t.Errorf("%s: in the browser the verdict reads\n%s\nwant\n%s", f, got, vector.Verdict)
		}
	}
	t.Logf("%d vectors in %s", len(files), version)
}
