// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package engine

import "time"

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
	return newUpstream(a, o), nil
}
