// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// guard decides who may ask at all.
type guard struct {
	keyHash [sha256.Size]byte
	hosts   []string
	origins []string
}

func newGuard(cfg Config) (guard, error) {
	g := guard{keyHash: sha256.Sum256([]byte(cfg.Key))}
	for _, h := range cfg.AllowedHosts {
		if h == "" || strings.ContainsAny(h, "*/:@ ") {
			return g, fmt.Errorf("proxy: %q is not the name of a host", h)
		}
		g.hosts = append(g.hosts, strings.ToLower(h))
	}
	for _, o := range cfg.AllowedOrigins {
		u, err := url.Parse(o)
		if err != nil || u.Scheme == "" || u.Host == "" || u.Scheme+"://"+u.Host != o || strings.Contains(o, "*") {
			return g, fmt.Errorf("proxy: %q is not an origin such as http://localhost:3000", o)
		}
		g.origins = append(g.origins, o)
	}
	return g, nil
}

// host refuses names that don't mean this machine. A page whose own name has
// been pointed at 127.0.0.1 (DNS rebinding) sends that name.
func (g *guard) host(r *http.Request) bool {
	host := strings.ToLower(r.Host)
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if ip := net.ParseIP(host); ip != nil {
		return ip.IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || slices.Contains(g.hosts, host)
}

// origin refuses pages that aren't on the list; a request without an Origin
// doesn't come from a page's script. For an allowed one it sets what the
// browser wants to see.
func (g *guard) origin(w http.ResponseWriter, r *http.Request) bool {
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		return r.Method != http.MethodOptions
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	if len(origins) != 1 || !slices.Contains(g.origins, origins[0]) {
		return false
	}
	h.Set("Access-Control-Allow-Origin", origins[0])
	h.Set("Access-Control-Expose-Headers", "Sotto-Verdict, X-Request-Id")
	if r.Method == http.MethodOptions {
		h.Set("Access-Control-Allow-Methods", "GET, POST")
		h.Set("Access-Control-Allow-Headers", r.Header.Get("Access-Control-Request-Headers"))
		h.Set("Access-Control-Max-Age", "600")
		if r.Header.Get("Access-Control-Request-Private-Network") == "true" {
			h.Set("Access-Control-Allow-Private-Network", "true")
		}
	}
	return true
}

// key compares the bearer key in constant time.
func (g *guard) key(r *http.Request) bool {
	scheme, key, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return false
	}
	sum := sha256.Sum256([]byte(strings.TrimSpace(key)))
	return subtle.ConstantTimeCompare(sum[:], g.keyHash[:]) == 1
}
