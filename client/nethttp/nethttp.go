// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package nethttp connects package client with net/http, in both directions.
//
// [New] is the client's way out: a Transport that carries sealed bytes over
// HTTP. [RoundTripper] is a program's way in: it lets anything that takes an
// http.Client, such as the OpenAI library for Go, talk through a client without
// knowing that Sotto is there:
//
//	c := client.New(client.Config{Transport: nethttp.New("https://chat.example"), …})
//	api := openai.NewClient(
//		option.WithBaseURL("http://sotto/v1"), // only the path counts
//		option.WithAPIKey("none"),             // stays on this machine
//		option.WithHTTPClient(&http.Client{Transport: &nethttp.RoundTripper{Client: c}}),
//	)
package nethttp

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/client"
)

// Transport is a [client.Transport] over net/http.
type Transport struct {
	base *url.URL // without a "/" at its end
	self *url.URL
	http *http.Client
}

// New returns a Transport to the service at base, such as
// "https://chat.example" or "http://127.0.0.1:8787", or to a relay at base for
// [client.NewOblivious]. Errors in base show when it is used; see [ParseBase] to find
// them earlier.
//
// The connections are its own: no cookies, no redirects, no proxy but the one
// that the environment names.
func New(base string) *Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 16
	t.DisableCompression = true // sealed bytes don't get smaller
	t.ResponseHeaderTimeout = 0 // a model may think for minutes
	t.TLSHandshakeTimeout = 10 * time.Second
	t.TLSClientConfig = &tls.Config{SessionTicketsDisabled: true} // a ticket joins connections as a cookie would
	u, err := ParseBase(base)
	if err != nil {
		u = nil
	}
	self, _ := url.Parse(base)
	return &Transport{base: u, self: self, http: &http.Client{
		Transport: t,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}}
}

// ParseBase reads the address of a service: http or https, a host, no query,
// no credentials. The path it may have goes before the service's own.
func ParseBase(base string) (*url.URL, error) {
	u, err := url.Parse(base)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%q is not an address", base)
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("%q does not begin with http:// or https://", base)
	case u.Host == "":
		return nil, fmt.Errorf("%q names no host", base)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("%q has more than a host and a path", base)
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	return u, nil
}

// RoundTrip implements [client.Transport].
func (t *Transport) RoundTrip(ctx context.Context, r *client.Request) (*client.Response, error) {
	if t.base == nil {
		return nil, fmt.Errorf("nethttp: the address of the service is not valid")
	}
	var body io.Reader
	if len(r.Body) > 0 {
		body = bytes.NewReader(r.Body)
	}
	path, query, _ := strings.Cut(r.Path, "?")
	at := t.self // as it was given: it may be the address of one thing, such as a relay
	if path != "" {
		at = t.base.JoinPath(path)
		at.RawQuery = query
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, at.String(), body)
	if err != nil {
		return nil, err
	}
	if r.ContentType != "" {
		req.Header.Set("Content-Type", r.ContentType)
	}
	for _, f := range r.Header {
		req.Header.Add(f.Name, f.Value)
	}
	req.Header.Set("User-Agent", "") // every client looks the same
	resp, err := t.http.Do(req)
	if err != nil {
		return nil, err
	}
	return &client.Response{
		Status:      resp.StatusCode,
		ContentType: resp.Header.Get("Content-Type"),
		Body:        resp.Body,
	}, nil
}

// CloseIdleConnections closes the connections that nobody uses.
func (t *Transport) CloseIdleConnections() { t.http.CloseIdleConnections() }
