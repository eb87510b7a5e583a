// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package web holds the web app and serves it: the page, the core's WASM and the
// headers that keep both to themselves.
//
// The files in dist are made by `go run ./web/build` from src and static; a
// program that is compiled without them still builds, and says so to whoever
// opens the page.
package web

import (
	"embed"
	"io/fs"
	"net/http"
)

//go:embed all:dist
var embedded embed.FS

// Handler serves the web app that was embedded when this program was built. The page
// may ask the relays at the given URLs, besides its own origin.
func Handler(relays ...string) http.Handler {
	dist, err := fs.Sub(embedded, "dist")
	if err != nil {
		panic("web: dist isn't embedded: " + err.Error()) // the directive above embeds it
	}
	return New(dist, relays...)
}
