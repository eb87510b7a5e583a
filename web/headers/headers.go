// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package headers says what each file of the web app is served with. The
// server's handler sets these headers on what it sends; the build gives the same
// to the service worker, which sets them on what it has kept: a server that sends
// the right bytes under a weaker policy gains nothing by it.
package headers

import (
	"net/url"
	"path"
	"slices"
	"strings"
)

// Content security policies, one for each kind of file.
//
// The page may load nothing but its own files and can make no HTML out of
// strings: no Trusted Types policy may exist in it. For the same reason it can
// start no Worker, which takes a script's URL; the core's frame does that, under
// a policy of its own that allows two URLs (src/core/frame.ts). Only the Worker
// may compile WASM. The service worker may fetch, and run nothing but itself.
const (
	Page = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; " +
		"font-src 'self'; connect-src 'self'; frame-src 'self'; worker-src 'self'; manifest-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
		"require-trusted-types-for 'script'; trusted-types 'none'"
	Frame = "default-src 'none'; script-src 'self'; connect-src 'self'; worker-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'self'; " +
		"require-trusted-types-for 'script'; trusted-types sotto-core"
	// Of relays, the Worker reaches those that [Reaching] is given.
	Worker = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; " +
		"require-trusted-types-for 'script'; trusted-types 'none'"
	ServiceWorker = "default-src 'none'; connect-src 'self'; require-trusted-types-for 'script'; trusted-types 'none'"
	File          = "default-src 'none'; frame-ancestors 'none'"
)

// ServiceWorkerPath is the service worker's file. Its name has to stay the same
// for good: a browser asks for an update of it under the name it knows.
const ServiceWorkerPath = "sw.js"

// Integrity has Chromium run no script whose digest wasn't said beforehand, the
// lazy parts too: index.html and src/core/lazy.ts say them all.
const Integrity = "blocked-destinations=(script)"

// permissions turns off what the app has no use for.
const permissions = "publickey-credentials-get=(self), publickey-credentials-create=(self), clipboard-write=(self), " +
	"accelerometer=(), autoplay=(), camera=(), display-capture=(), fullscreen=(), geolocation=(), gyroscope=(), " +
	"hid=(), microphone=(), midi=(), payment=(), serial=(), usb=(), xr-spatial-tracking=()"

// Types are content types by extension, said by name rather than asked of the
// system, whose tables differ. WASM compiles while it streams only under its own
// type.
var Types = map[string]string{
	".css":         "text/css; charset=utf-8",
	".html":        "text/html; charset=utf-8",
	".js":          "text/javascript; charset=utf-8",
	".json":        "application/json",
	".png":         "image/png",
	".svg":         "image/svg+xml",
	".txt":         "text/plain; charset=utf-8",
	".wasm":        "application/wasm",
	".webmanifest": "application/manifest+json",
	".woff2":       "font/woff2",
}

// Kind is the part of a file's path that its policy depends on.
func Kind(p string) string {
	switch {
	case p == "core.html":
		return "frame"
	case strings.HasSuffix(p, ".html"):
		return "page"
	case p == ServiceWorkerPath:
		return "sw"
	case strings.HasPrefix(p, "a/worker-") && strings.HasSuffix(p, ".js"):
		return "worker"
	}
	return "file"
}

// policies are the policies by kind.
var policies = map[string]string{"page": Page, "frame": Frame, "worker": Worker, "sw": ServiceWorker, "file": File}

// Of returns the headers of the file at path, relative to the site's root.
func Of(p string) map[string]string {
	h := All(Kind(p))
	h["Content-Type"] = Type(p)
	return h
}

// Type returns the content type of the file at path.
func Type(p string) string {
	if t := Types[path.Ext(p)]; t != "" {
		return t
	}
	return "application/octet-stream"
}

// All returns what every file of a kind is served with, but for its type.
func All(kind string) map[string]string {
	h := map[string]string{
		"Content-Security-Policy":      policies[kind],
		"Cross-Origin-Opener-Policy":   "same-origin",
		"Cross-Origin-Embedder-Policy": "require-corp",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Referrer-Policy":              "no-referrer",
		"Permissions-Policy":           permissions,
		"X-Content-Type-Options":       "nosniff",
	}
	if kind == "page" || kind == "frame" {
		h["Integrity-Policy"] = Integrity
	}
	return h
}

// Reaching returns All(kind) for a site whose page may also ask the named origins, such
// as "https://relay.example": the Worker's policy lets it connect to them. All else is
// as it is without.
func Reaching(kind string, origins []string) map[string]string {
	h := All(kind)
	if kind == "worker" && len(origins) > 0 {
		h["Content-Security-Policy"] = strings.Replace(Worker, "connect-src 'self'", "connect-src 'self' "+strings.Join(origins, " "), 1)
	}
	return h
}

// Origins returns the origins of URLs, each once; what is no http or https URL is left
// out.
func Origins(urls []string) (origins []string) {
	for _, s := range urls {
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.ContainsAny(u.Host, " ;,'*\t\r\n") {
			continue
		}
		if o := u.Scheme + "://" + u.Host; !slices.Contains(origins, o) {
			origins = append(origins, o)
		}
	}
	return origins
}

// Kinds are the kinds that there are.
func Kinds() []string { return []string{"page", "frame", "worker", "sw", "file"} }
