// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/sotto-chat/sotto/internal/collateral"
	"github.com/sotto-chat/sotto/release"
	"github.com/sotto-chat/sotto/web/headers"
)

// webcatManifest is a manifest of WEBCAT (github.com/freedomofpress/webcat-spec,
// "Manifest"), as far as a release decides it. Signatures are made with Sigsum's
// tools, by people who have the keys.
type webcatManifest struct {
	App             string            `json:"app"`
	DefaultCSP      string            `json:"default_csp"`
	DefaultFallback string            `json:"default_fallback"`
	DefaultIndex    string            `json:"default_index"`
	ExtraCSP        map[string]string `json:"extra_csp"`
	Files           map[string]string `json:"files"` // path from the root → SHA-256 in base64url
	Timestamp       string            `json:"timestamp,omitempty"`
	Version         string            `json:"version"`
	WASM            []string          `json:"wasm"`
}

// releaseWebCAT prints the page of a release as a manifest of WEBCAT, for the
// browser extension that shows a page only if it is as signed.
func (a *app) releaseWebCAT(args []string) error {
	flags := a.flags()
	app := flags.String("app", "", "the `URL` of the project that the page is made from")
	timestamp := flags.String("timestamp", "", "a `FILE` with a tree head of the Sigsum log of the enrolment, which says how new the manifest is")
	rest, err := a.parse(flags, args)
	if err != nil {
		return err
	}
	switch u, err := url.Parse(*app); {
	case len(rest) != 1:
		return usageError("“sotto release webcat” takes the file of one release", "")
	case err != nil || u.Scheme != "https" || u.Host == "":
		return usageError("-app is no https URL", "such as -app https://github.com/sotto-chat/sotto")
	}
	signed, err := a.readReleaseFile(rest[0])
	if err != nil {
		return err
	}
	r, err := parseRelease(signed)
	if err != nil {
		return withHint(fmt.Errorf("%s is no release: %w", rest[0], err), "")
	}
	m, err := webcatOf(r.Manifest, *app)
	if err != nil {
		return withHint(err, "")
	}
	if *timestamp != "" {
		b, err := collateral.ReadFile(*timestamp, 64<<10)
		if err != nil {
			return withHint(err, "")
		}
		m.Timestamp = string(b)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(map[string]any{"manifest": m, "signatures": map[string]string{}}); err != nil {
		return err
	}
	_, err = a.out.Write(b.Bytes())
	return err
}

// webcatOf makes the manifest: WASM stands in a list of its own, and every file has
// the policy that the site sends it with.
func webcatOf(m release.Manifest, app string) (webcatManifest, error) {
	out := webcatManifest{
		App: app, Version: m.Version, DefaultCSP: headers.Page, DefaultIndex: "index.html", DefaultFallback: "/index.html",
		Files: map[string]string{}, ExtraCSP: map[string]string{}, WASM: []string{},
	}
	for _, f := range m.Web.Files {
		raw, err := hex.DecodeString(strings.TrimPrefix(f.SHA256, "sha256:"))
		if err != nil {
			return out, err
		}
		digest := base64.RawURLEncoding.EncodeToString(raw)
		if strings.HasSuffix(f.Path, ".wasm") {
			out.WASM = append(out.WASM, digest)
			continue
		}
		out.Files["/"+f.Path] = digest
		if csp := headers.Of(f.Path)["Content-Security-Policy"]; csp != headers.Page {
			out.ExtraCSP["/"+f.Path] = csp
		}
	}
	if out.Files["/index.html"] == "" {
		return out, errors.New("the release publishes no page")
	}
	slices.Sort(out.WASM)
	return out, nil
}
