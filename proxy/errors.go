// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/seal"
)

// apiError is the "error" member of an OpenAI error document.
type apiError struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    string  `json:"code"`
	// Verdicts say which check failed, with verification_failed.
	Verdicts []attest.Verdict `json:"verdicts,omitempty"`
}

// typeVerification is the type of the error that nothing was sent because no
// machine could prove itself.
const typeVerification = "verification_failed"

func (e apiError) json() []byte {
	b, err := json.Marshal(map[string]apiError{"error": e})
	if err != nil { // plain strings and verdicts always marshal
		panic(err)
	}
	return b
}

func writeError(w http.ResponseWriter, status int, e apiError) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(e.json(), '\n'))
}

func notFound(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		writeError(w, http.StatusMethodNotAllowed, apiError{Type: "invalid_request_error", Code: "method_not_allowed",
			Message: "This proxy takes GET and POST."})
		return
	}
	writeError(w, http.StatusNotFound, apiError{Type: "invalid_request_error", Code: "unknown_url",
		Message: "This proxy has no such path. It serves /v1/models, /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/responses and /verdict."})
}

// clientError says what an error of the client is in OpenAI's terms.
func clientError(err error) (status int, e apiError) {
	s := client.Explain(err)
	e = apiError{Message: s.String(), Type: "server_error", Code: s.Code}
	var nv *client.NotVerifiedError
	var se *client.ServiceError
	switch {
	case errors.As(err, &nv):
		e.Type, e.Verdicts = typeVerification, nv.Verdicts
		return http.StatusBadGateway, e
	case errors.Is(err, seal.ErrTooLarge), errors.As(err, &se) && se.Code == client.CodeTooLarge:
		e.Type = "invalid_request_error"
		return http.StatusRequestEntityTooLarge, e
	case errors.Is(err, client.ErrNoNodes), errors.As(err, &se) && (se.Code == client.CodeBusy || se.Status == 429):
		return http.StatusServiceUnavailable, e
	}
	return http.StatusBadGateway, e
}

// writeClientError answers with an error of the client, before anything of an
// answer was written.
func (p *Proxy) writeClientError(w http.ResponseWriter, err error) {
	status, e := clientError(err)
	switch {
	case e.Type == typeVerification:
		p.setVerdict(w, p.currentVerdict())
		// OpenAI's libraries try a 502 again, unless told that it is no use.
		w.Header().Set("X-Should-Retry", "false")
	case status == http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "5")
	}
	writeError(w, status, e)
}
