// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"
)

// An address is where a model server listens.
type address struct {
	base   *url.URL // scheme, host and the path before "/v1"
	socket string   // path of a Unix socket, or ""
}

// parseAddress reads "http://host:port[/prefix][/v1]" or "unix:/path".
func parseAddress(s string) (address, error) {
	if socket, ok := strings.CutPrefix(s, "unix:"); ok {
		if !path.IsAbs(socket) {
			return address{}, fmt.Errorf("engine address %q: a Unix socket is written unix:/absolute/path", s)
		}
		// The host never leaves the machine; servers only want to see one.
		return address{base: &url.URL{Scheme: "http", Host: "localhost"}, socket: socket}, nil
	}
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return address{}, fmt.Errorf("engine address %q: write it like http://127.0.0.1:8000 or unix:/run/model.sock", s)
	}
	if u.User != nil {
		return address{}, errors.New("engine address: a user name or password doesn't belong in it; set the API key instead")
	}
	if u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return address{}, fmt.Errorf("engine address %q: it takes no query and no fragment", s)
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.Path = strings.TrimRight(strings.TrimSuffix(u.Path, "/v1"), "/")
	u.RawPath = ""
	return address{base: u}, nil
}

// String returns the address as a person would write it.
func (a address) String() string {
	if a.socket != "" {
		return "unix:" + a.socket
	}
	return a.base.String()
}

// url returns the URL of an API path such as "/v1/models". It joins text
// rather than resolving, so the path can't climb out of the prefix.
func (a address) url(apiPath string) string { return a.base.String() + apiPath }

// MaxRequest bounds the body of a request to an engine, in bytes. Images and
// recordings travel inside it.
const MaxRequest = 32 << 20

// posts are the paths that take one question and give one answer.
//
// The list is closed on purpose. A model server has other doors beside these
// (loading and unloading models, answers and files stored under an id, slots,
// metrics), and a person who talks to a node has no business there.
var posts = map[string]bool{
	"/v1/chat/completions":      true,
	"/v1/completions":           true,
	"/v1/responses":             true,
	"/v1/embeddings":            true,
	"/v1/rerank":                true,
	"/v1/moderations":           true,
	"/v1/audio/transcriptions":  true,
	"/v1/audio/translations":    true,
	"/v1/audio/speech":          true,
	"/v1/images/generations":    true,
	"/v1/messages":              true,
	"/v1/messages/count_tokens": true,
}

// Check refuses a request that no engine may be asked: another method, a path
// that isn't one of the API's questions, a query, or a body over MaxRequest.
// Every Engine of this module calls it first.
func Check(r *Request) *Error {
	if len(r.Body) > MaxRequest {
		return &Error{Status: 413, Type: "invalid_request_error", Code: CodeInvalidRequest,
			Message: fmt.Sprintf("The request is larger than %d MiB: send less, or smaller files.", MaxRequest>>20)}
	}
	switch r.Method {
	case "GET":
		if r.Path == "/v1/models" || validModelPath(r.Path) {
			return nil
		}
	case "POST":
		if posts[r.Path] {
			return nil
		}
	}
	return &Error{Status: 404, Type: "invalid_request_error", Code: CodeUnsupported,
		Message: "There is no such request here: ask /v1/models or /v1/chat/completions."}
}

// validModelPath reports whether p is /v1/models/{id}. Ids may hold slashes
// (org/model) but no dots that climb, no escapes and no query.
func validModelPath(p string) bool {
	id, ok := strings.CutPrefix(p, "/v1/models/")
	if !ok || id == "" || len(id) > 256 || path.Clean(p) != p {
		return false
	}
	for i := 0; i < len(id); i++ {
		if c := id[i]; c <= ' ' || c > '~' || strings.IndexByte(`%?#\`, c) >= 0 {
			return false
		}
	}
	return true
}
