// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
)

// build is what "sotto version" knows of itself; it comes from the Go linker,
// so that there is no second place to keep it.
type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

func readBuild() build {
	b := build{Version: "(devel)", Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// version says which version this is.
func (a *app) version(args []string) error {
	fs := a.flags()
	asJSON := fs.Bool("json", false, "print it as JSON")
	rest, err := a.parse(fs, args)
	if err != nil {
		return err
	}
	if err := a.noArgs(rest); err != nil {
		return err
	}
	b := readBuild()
	if *asJSON {
		return json.NewEncoder(a.out).Encode(b)
	}
	fmt.Fprintf(a.out, "sotto %s %s %s/%s\n", b.Version, b.Go, b.OS, b.Arch)
	return nil
}
