// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/evanw/esbuild/pkg/api"

	"github.com/sotto-chat/sotto/attest/platforms"
	"github.com/sotto-chat/sotto/internal/wasm"
	"github.com/sotto-chat/sotto/web/headers"
)

// bundleAll bundles the Worker, the frame that starts it, and the page, in this
// order: each must know the hashed name of the one before. It returns the paths
// of all scripts that a first load fetches, and of those of the page among them.
func bundleAll(o Options, s site, names map[string]string) (first, page []string, err error) {
	goroot, err := goEnv("GOROOT")
	if err != nil {
		return nil, nil, err
	}
	policy, err := readPolicy(o.Policy)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range []struct {
		name, file string
		page       bool
	}{
		{"worker.js", "src/worker/worker.ts", false},
		{"sw.js", "src/keeper/sw.ts", false},
		{"frame.js", "src/core/frame.ts", false},
		{"main.js", o.Main, true},
	} {
		opts := api.BuildOptions{
			EntryPointsAdvanced: []api.EntryPoint{{InputPath: e.file, OutputPath: strings.TrimSuffix(e.name, ".js")}},
			Bundle:              true,
			Splitting:           e.page,
			Format:              api.FormatIIFE,
			Target:              api.ES2022,
			Charset:             api.CharsetUTF8,
			MinifyWhitespace:    true,
			MinifyIdentifiers:   true,
			MinifySyntax:        true,
			LegalComments:       api.LegalCommentsNone, // licenses.txt holds them whole
			JSX:                 api.JSXAutomatic,
			JSXImportSource:     "preact",
			Loader: map[string]api.Loader{
				".woff2": api.LoaderFile, ".svg": api.LoaderFile, ".png": api.LoaderFile,
			},
			// Go's own loader for its WASM comes from the toolchain that made it.
			Alias: map[string]string{"go/wasm_exec": filepath.Join(goroot, "lib", "wasm", "wasm_exec.js")},
			Define: map[string]string{
				"__WASM_URL__":         quote("/" + names["core.wasm"]),
				"__WASM_INTEGRITY__":   quote(s.digest(names["core.wasm"])),
				"__WORKER_URL__":       quote("/" + names["worker.js"]),
				"__WORKER_INTEGRITY__": quote(s.digest(names["worker.js"])),
				"__HEADERS__":          keeperHeaders(),
				"__POLICY__":           quote(policy),
			},
			Outdir:   "/out",
			Metafile: true,
			LogLevel: api.LogLevelSilent,
		}
		if opts.AbsWorkingDir, err = filepath.Abs(o.Web); err != nil {
			return nil, nil, err
		}
		if e.page {
			opts.Format = api.FormatESModule
		}
		r := api.Build(opts)
		if len(r.Errors) > 0 {
			return nil, nil, fmt.Errorf("%s:\n%s", e.file, strings.Join(api.FormatMessages(r.Errors, api.FormatMessagesOptions{}), ""))
		}
		scripts, err := s.addOutputs(r, e.name, names)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", e.file, err)
		}
		if e.name != headers.ServiceWorkerPath { // it loads when everything else has
			first = append(first, scripts...)
		}
		if e.page {
			page = scripts
		}
		if err := s.addLicenses(o.Web, r.Metafile); err != nil {
			return nil, nil, err
		}
	}
	return first, page, nil
}

// metafile is the part of esbuild's report that the build reads.
type metafile struct {
	Inputs  map[string]json.RawMessage `json:"inputs"`
	Outputs map[string]struct {
		Imports []struct {
			Path     string `json:"path"`
			Kind     string `json:"kind"`
			External bool   `json:"external"`
		} `json:"imports"`
	} `json:"outputs"`
}

// addOutputs adds the files of one bundle under names made of their SHA-256.
// esbuild's own hashes depend on where node_modules lies, so every one of them
// is replaced, leaves of the import graph first. It returns the scripts that
// load at once: entry (as in main.js) and all that it imports statically.
func (s site) addOutputs(r api.BuildResult, entry string, names map[string]string) ([]string, error) {
	var meta metafile
	if err := json.Unmarshal([]byte(r.Metafile), &meta); err != nil {
		return nil, fmt.Errorf("reading esbuild's report: %w", err)
	}
	content := map[string][]byte{}
	for _, f := range r.OutputFiles {
		content[path.Base(filepath.ToSlash(f.Path))] = f.Contents
	}
	imports := map[string]map[string]string{} // file → file it names → kind
	for p, out := range meta.Outputs {
		base := path.Base(p)
		imports[base] = map[string]string{}
		for _, im := range out.Imports {
			if !im.External {
				imports[base][path.Base(im.Path)] = im.Kind
			}
		}
	}

	done := map[string]string{}
	var visit func(base string, above []string) error
	visit = func(base string, above []string) error {
		if done[base] != "" {
			return nil
		}
		if slices.Contains(above, base) {
			return fmt.Errorf("%s imports itself by way of %s: a cycle can't be named by digest", base, strings.Join(above, ", "))
		}
		data, ok := content[base]
		if !ok {
			return fmt.Errorf("esbuild's report names %s, which it didn't make", base)
		}
		for _, dep := range slices.Sorted(maps.Keys(imports[base])) {
			if err := visit(dep, append(above, base)); err != nil {
				return err
			}
			data = bytes.ReplaceAll(data, []byte("./"+dep), []byte("./"+path.Base(done[dep])))
			if imports[base][dep] == "dynamic-import" {
				place := []byte(quote("lazy:" + stem(dep)))
				if !bytes.Contains(data, place) {
					return fmt.Errorf("%s imports %s without lazy('lazy:%s', …): its bytes would go unchecked", base, dep, stem(dep))
				}
				data = bytes.ReplaceAll(data, place, []byte(quote(s.lazyFiles(dep, imports, done))))
			}
		}
		if base == headers.ServiceWorkerPath { // the one name that stays
			s[base], done[base] = data, base
			return nil
		}
		done[base] = s.addHashed(stem(base)+path.Ext(base), data)
		return nil
	}
	for _, base := range slices.Sorted(maps.Keys(content)) {
		if err := visit(base, nil); err != nil {
			return nil, err
		}
	}
	name := strings.TrimSuffix(entry, ".js")
	for _, ext := range []string{".js", ".css"} {
		if p, ok := done[name+ext]; ok {
			names[name+ext] = p
		}
	}

	var first []string
	var load func(base string)
	load = func(base string) {
		if slices.Contains(first, done[base]) || path.Ext(base) != ".js" {
			return
		}
		first = append(first, done[base])
		for dep, kind := range imports[base] {
			if kind == "import-statement" {
				load(dep)
			}
		}
	}
	load(entry)
	return first, nil
}

// stem is what a file of esbuild's is called without its hash: chunk-HASH.js is chunk.
func stem(base string) string {
	name, _, ok := strings.Cut(base, "-")
	if !ok {
		name = strings.TrimSuffix(base, path.Ext(base))
	}
	return name
}

// lazyFiles is what a lazy part consists of, as src/core/lazy.ts reads it: path
// and digest of each file, those first that others import.
func (s site) lazyFiles(base string, imports map[string]map[string]string, done map[string]string) string {
	var words []string
	var list func(base string)
	list = func(base string) {
		p := "/" + done[base]
		if slices.Contains(words, p) || path.Ext(base) != ".js" {
			return
		}
		for _, dep := range slices.Sorted(maps.Keys(imports[base])) {
			if imports[base][dep] == "import-statement" {
				list(dep)
			}
		}
		words = append(words, p, s.digest(done[base]))
	}
	list(base)
	return strings.Join(words, " ")
}

// keeperHeaders is what the service worker serves files with, as a JavaScript value.
func keeperHeaders() string {
	doc := struct {
		Kinds map[string]map[string]string `json:"kinds"`
		Types map[string]string            `json:"types"`
	}{map[string]map[string]string{}, headers.Types}
	for _, kind := range headers.Kinds() {
		doc.Kinds[kind] = headers.All(kind)
	}
	b, _ := json.Marshal(doc) // plain strings always marshal
	return string(b)
}

// addLicenses appends the licence of each package that a bundle took code from
// to licenses.txt, once.
func (s site) addLicenses(web, report string) error {
	var meta metafile
	if err := json.Unmarshal([]byte(report), &meta); err != nil {
		return fmt.Errorf("reading esbuild's report: %w", err)
	}
	pkgs := map[string]bool{}
	for in := range meta.Inputs {
		_, rest, ok := strings.Cut(filepath.ToSlash(in), "node_modules/")
		if !ok {
			continue
		}
		parts := strings.Split(rest, "/")
		pkg := parts[0]
		if strings.HasPrefix(pkg, "@") {
			pkg += "/" + parts[1]
		}
		pkgs[pkg] = true
	}
	const file = "licenses.txt"
	for _, pkg := range slices.Sorted(maps.Keys(pkgs)) {
		title := "==== " + pkg + " ====\n\n"
		if bytes.Contains(s[file], []byte(title)) {
			continue
		}
		dir := filepath.Join(web, "node_modules", filepath.FromSlash(pkg))
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		var text []byte
		for _, e := range entries {
			if up := strings.ToUpper(e.Name()); strings.HasPrefix(up, "LICENSE") || strings.HasPrefix(up, "LICENCE") {
				if text, err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
					return err
				}
				break
			}
		}
		if text == nil {
			doc, err := os.ReadFile(filepath.Join(dir, "package.json"))
			if err != nil {
				return err
			}
			var p struct{ License string }
			if err := json.Unmarshal(doc, &p); err != nil || p.License == "" {
				return fmt.Errorf("package %s states no licence", pkg)
			}
			text = []byte("License: " + p.License + "\n")
		}
		s[file] = append(append(append(s[file], title...), bytes.TrimSpace(text)...), "\n\n\n"...)
	}
	return nil
}

// coreWASM returns the compiled core.
func coreWASM(o Options) ([]byte, error) {
	if o.WASM != "" {
		return os.ReadFile(o.WASM)
	}
	tmp, err := os.MkdirTemp("", "sotto-wasm-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	out := filepath.Join(tmp, "core.wasm")
	if err := wasm.Compile(context.Background(), filepath.Join(o.Web, ".."), "./cmd/sotto-wasm", out); err != nil {
		return nil, err
	}
	return os.ReadFile(out)
}

// readPolicy returns the text of a policy that a page can work with, "" for none.
func readPolicy(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	p, err := platforms.ParsePolicy(b, platforms.All())
	if err != nil {
		return "", fmt.Errorf("the policy in %s can't be used: %w", file, err)
	}
	if p.AllowSoftware {
		return "", fmt.Errorf("the policy in %s allows software: in a page only the person can, on their own computer", file)
	}
	return string(b), nil
}

// goEnv returns one value of `go env`.
func goEnv(name string) (string, error) {
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		return "", fmt.Errorf("go env %s: %w", name, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// quote writes a string as a JavaScript literal.
func quote(v string) string {
	b, _ := json.Marshal(v) // a string always marshals
	return string(b)
}
