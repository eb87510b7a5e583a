// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package door is what gateway and node have in common where strangers knock: a
// bound on what is under way at once, and the errors that are said in the clear,
// before anything is opened.
package door

import (
	"encoding/json"
	"net/http"
	"sync/atomic"
)

// Codes of the errors in the clear: the table of spec/seal.md, "HTTP". There are
// few, and none tells a stranger why an opening failed.
const (
	Malformed       = "malformed"
	TooLarge        = "too_large"
	KeyUnknown      = "key_unknown"
	KeyExpired      = "key_expired"
	Replayed        = "replayed"
	Busy            = "busy"
	EngineAway      = "engine_unreachable"
	NoNode          = "no_node"
	NodeUnreachable = "node_unreachable"
	LogUnreachable  = "log_unreachable"
	NotFound        = "not_found"
	Failed          = "failed"
)

// Refuse answers with the error document of spec/seal.md, "HTTP". Other fields
// of the head are the caller's.
func Refuse(w http.ResponseWriter, status int, code, message string) {
	type body struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	b, err := json.Marshal(map[string]body{"error": {code, message}})
	if err != nil { // strings always marshal
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(b)
}

// A Gate bounds the requests under way, by number and by bytes. Make it with
// [NewGate].
type Gate struct {
	maxRequests, maxBytes int64
	requests, bytes       atomic.Int64
}

// NewGate returns a gate through which so many requests, of so many bytes
// together, go at a time.
func NewGate(requests, bytes int64) *Gate {
	return &Gate{maxRequests: requests, maxBytes: bytes}
}

// Enter takes a place for a request of size bytes, if there is one. Then
// [Gate.Leave] must give it back.
func (g *Gate) Enter(size int64) bool {
	if g.requests.Add(1) > g.maxRequests {
		g.requests.Add(-1)
		return false
	}
	if g.bytes.Add(size) > g.maxBytes {
		g.Leave(size)
		return false
	}
	return true
}

// Leave gives back what Enter took for a request of size bytes.
func (g *Gate) Leave(size int64) {
	g.requests.Add(-1)
	g.bytes.Add(-size)
}

// Inside returns what is under way: requests, and their bytes.
func (g *Gate) Inside() (requests, bytes int64) { return g.requests.Load(), g.bytes.Load() }
