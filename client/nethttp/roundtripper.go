// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package nethttp

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/seal"
	"github.com/sotto-chat/sotto/seal/bhttp"
)

// RoundTripper is an [http.RoundTripper] that sends every request through
// Client, sealed. Scheme and host of a request are ignored, and of its header
// fields only those that a model server needs are sent: an API key in
// Authorization, for one, stays here.
//
// An error of the client is an error of RoundTrip; errors.As finds the
// [client.NotVerifiedError].
type RoundTripper struct {
	Client *client.Client
	// NoResume ends an answer when its connection is lost, instead of having
	// the node keep it.
	NoResume bool
}

// sent are the header fields that go into the sealed request.
var sent = []string{"Content-Type", "Accept"}

// RoundTrip implements [http.RoundTripper].
func (t *RoundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		defer r.Body.Close()
		var err error
		body, err = io.ReadAll(io.LimitReader(r.Body, seal.MaxRequest+1))
		if err != nil {
			return nil, fmt.Errorf("nethttp: reading the request: %w", err)
		}
		if len(body) > seal.MaxRequest {
			return nil, fmt.Errorf("nethttp: request: %w", seal.ErrTooLarge)
		}
	}
	req := &bhttp.Request{Method: r.Method, Path: Path(r.URL), Header: Fields(r.Header), Body: body}
	a, err := t.Client.Do(r.Context(), req, client.Options{Resume: !t.NoResume && r.Method == http.MethodPost})
	if err != nil {
		return nil, err
	}
	return &http.Response{
		Status:     strconv.Itoa(a.Status) + " " + http.StatusText(a.Status),
		StatusCode: a.Status,
		Proto:      "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        Header(a.Header),
		Body:          a.Body,
		ContentLength: -1,
		Request:       r,
	}, nil
}

// Path is the path and query of u as a sealed request has them. The names of
// models may hold slashes, which some libraries write as %2F and model servers
// want as they are.
func Path(u *url.URL) string {
	return (&url.URL{Path: u.Path, RawQuery: u.RawQuery}).RequestURI()
}

// Fields picks those fields of h that go into a sealed request.
func Fields(h http.Header) []bhttp.Field {
	var fields []bhttp.Field
	for _, name := range sent {
		if v := strings.TrimSpace(h.Get(name)); v != "" {
			fields = append(fields, bhttp.Field{Name: strings.ToLower(name), Value: v})
		}
	}
	return fields
}

// Header makes an http.Header of the fields of an answer. A length or an
// encoding that the node gave does not speak of what comes out here.
func Header(fields []bhttp.Field) http.Header {
	h := make(http.Header)
	for _, f := range fields {
		if f.Name == "content-length" {
			continue
		}
		h.Add(f.Name, f.Value)
	}
	return h
}
