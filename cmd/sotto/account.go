// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/client/nethttp"
	"github.com/sotto-chat/sotto/vault"
)

// accountServer asks the account server; package account describes what it
// answers. It sees ciphertext and the session of this terminal, no words.
type accountServer struct {
	base  *url.URL
	token string // "" before the terminal is linked
	http  http.Client
}

const (
	accountTimeout = 20 * time.Second
	// maxAccountAnswer is above the longest page of the feed.
	maxAccountAnswer = 64 << 20
)

// accountError is what the account server says instead of an answer.
type accountError struct {
	status  int
	Code    string `json:"code"`
	Message string `json:"message"`

	allowance allowanceDoc // of a plan that is used up
}

func (e *accountError) Error() string { return e.Message }

// errSignedOut means that this terminal's session has ended at the server.
var errSignedOut = errors.New("this terminal is no longer linked to an account")

func newAccountServer(server, token string) (*accountServer, error) {
	base, err := nethttp.ParseBase(server)
	if err != nil {
		return nil, usageError("the server’s address "+err.Error(), "it looks like https://chat.example or "+defaultServer)
	}
	return &accountServer{base: base, token: token, http: http.Client{
		Timeout:       accountTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// do sends in as JSON, if it isn't nil, and decodes the answer into out, if it
// isn't nil. It returns the status, so that 202 can be told from 200.
func (s *accountServer) do(ctx context.Context, method, path string, in, out any) (status int, err error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return 0, err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.base.String()+"/api/v1/"+path, body)
	if err != nil {
		return 0, err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if s.token != "" {
		req.Header.Set("Authorization", "Sotto "+s.token)
	}
	resp, err := s.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		return 0, fmt.Errorf("%w: %w", client.ErrUnreachable, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAccountAnswer+1))
	switch {
	case err != nil:
		return 0, fmt.Errorf("%w: %w", client.ErrUnreachable, err)
	case len(b) > maxAccountAnswer:
		return 0, errors.New("the account server’s answer is too long")
	case resp.StatusCode >= 300:
		return resp.StatusCode, readAccountError(resp.StatusCode, b)
	case out == nil:
		return resp.StatusCode, nil
	}
	if page, ok := out.(*vault.Page); ok {
		*page, err = vault.ParsePage(b)
		return resp.StatusCode, err
	}
	if err := json.Unmarshal(b, out); err != nil {
		return resp.StatusCode, errors.New("the account server’s answer can’t be read")
	}
	return resp.StatusCode, nil
}

func readAccountError(status int, b []byte) error {
	var doc struct {
		Error     accountError `json:"error"`
		Allowance allowanceDoc `json:"allowance"`
	}
	if json.Unmarshal(b, &doc) != nil || doc.Error.Code == "" {
		return &accountError{status: status, Code: "no_account_server", Message: "there is no account server at this address"}
	}
	doc.Error.status, doc.Error.allowance = status, doc.Allowance
	if doc.Error.Code == "signed_out" {
		return errSignedOut
	}
	return &doc.Error
}
