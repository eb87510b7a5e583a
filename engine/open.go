// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"context"
	"net/http"
	"strings"
	"time"
)

// Options say which model server to open.
type Options struct {
	// Spec is the address of a model server: "http://127.0.0.1:8000", with or
	// without "/v1", or "unix:/path/to/socket". Package engine/auto knows more.
	Spec string
	// APIKey is sent as a bearer token. May be "".
	APIKey string
	// Name replaces "model server at ADDRESS".
	Name string
	// FirstByte and Idle bound the wait for a model server's first byte and its
	// silence midway; 0 means minutes, enough for a large model to load.
	FirstByte, Idle time.Duration
}

// Open opens the model server at an address, which needn't be up yet. The caller
// closes the engine.
func Open(o Options) (Engine, error) {
	a, err := parseAddress(o.Spec)
	if err != nil {
		return nil, err
	}
	return newUpstream(cmp.Or(o.Name, "model server at "+a.String()), a, o.APIKey, o), nil
}

// Introduce asks an engine of [Open] for its models, and checks that what answers
// is a model server and isn't ourselves. why is "" when it is one.
func Introduce(ctx context.Context, e Engine) (models []Model, why string) {
	u, ok := e.(*upstream)
	if !ok {
		return nil, "it is no model server"
	}
	res, err := u.send(ctx, &Request{Method: "GET", Path: "/v1/models"})
	if err != nil {
		return nil, u.failure(err).Code
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden {
		return nil, "it wants an API key"
	}
	if res.StatusCode != http.StatusOK {
		return nil, "it has no model list"
	}
	// A door of Sotto's own speaks the same API. Taking it for a model server
	// would send every question round in a circle.
	for name := range res.Header {
		if strings.HasPrefix(name, "Sotto-") {
			return nil, "it is Sotto itself"
		}
	}
	models, err = readModelList(res.Body)
	if err != nil {
		return nil, "it has no model list"
	}
	for _, m := range models {
		if ownedByUs(m) {
			return nil, "it is Sotto itself"
		}
	}
	return models, ""
}
