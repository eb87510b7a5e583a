// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"
)

// failure turns what net/http says into an *Error. It is the one place that
// knows how a connection can fail.
func (u *upstream) failure(err error) *Error {
	var (
		dns     *net.DNSError
		known   *Error
		netErr  net.Error
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		record  tls.RecordHeaderError
	)
	e := &Error{Status: http.StatusBadGateway, Type: "server_error", cause: err}
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, errSilent):
		e.Status, e.Code = http.StatusGatewayTimeout, CodeSlow
		e.Message = u.subject() + " didn't answer in time: it may be loading a model or be overloaded. Try again in a moment."
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		e.Status, e.Code = 499, CodeStopped
		e.Message = "The answer was stopped."
	case errors.As(err, &dns):
		e.Code = CodeDNS
		e.Message = fmt.Sprintf("The name of the model server (%s) can't be resolved: check its spelling and the network.", u.addr.base.Hostname())
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist) && u.addr.socket != "":
		e.Code = CodeRefused
		e.Message = fmt.Sprintf("Nothing answers at %s: start the model server, or name another one.", u.addr)
	case errors.As(err, &unknown), errors.As(err, &host), errors.As(err, &record):
		e.Code = CodeRefused
		e.Message = u.subject() + " can't be reached safely: its certificate isn't valid for that address."
	case errors.As(err, &netErr) && netErr.Timeout():
		e.Status, e.Code = http.StatusGatewayTimeout, CodeSlow
		e.Message = u.subject() + " didn't answer in time: check that it is running and not overloaded."
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		e.Code = CodeCut
		e.Message = u.subject() + " broke off before it had finished. Try again."
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		e.Code = CodeRefused
		e.Message = u.subject() + " can't be reached over the network."
	default:
		// What remains is a server that speaks something else than HTTP, or
		// that hung up in a way net/http has no name for.
		e.Code = CodeMalformed
		e.Message = u.subject() + " gave an answer that can't be understood: check that it is an OpenAI-compatible server."
	}
	return e
}

func (u *upstream) notTheAPI() *Error {
	return &Error{Status: http.StatusBadGateway, Type: "server_error", Code: CodeMalformed,
		Message: fmt.Sprintf("What answers at %s isn't a model server with the OpenAI API: check the address.", u.addr)}
}

// serverError is what a model server said, whatever the dialect.
type serverError struct {
	found               bool // there was an error document
	message, kind, code string
	param               string
}

// parseServerError reads an error document in any of these shapes:
//
//	{"error":{"message":…,"type":…,"code":…,"param":…}}   OpenAI, llama.cpp, Ollama, vLLM, SGLang
//	{"object":"error","message":…,"type":…,"code":…}      vLLM and SGLang, older
//	{"error":"…"}                                         LM Studio, Ollama's own API, TGI
//	{"detail":"…"} or {"detail":[{"msg":…}]}              FastAPI, before the server's own code
func parseServerError(b []byte) serverError {
	type fields struct {
		Message json.RawMessage `json:"message"`
		Type    json.RawMessage `json:"type"`
		Code    json.RawMessage `json:"code"`
		Param   json.RawMessage `json:"param"`
	}
	var doc struct {
		fields
		Object json.RawMessage `json:"object"`
		Error  json.RawMessage `json:"error"`
		Detail json.RawMessage `json:"detail"`
	}
	if json.Unmarshal(b, &doc) != nil {
		return serverError{}
	}
	read := func(f fields) serverError {
		return serverError{found: true, message: word(f.Message), kind: word(f.Type), code: word(f.Code), param: word(f.Param)}
	}
	switch {
	case len(doc.Error) > 0 && doc.Error[0] == '{':
		var f fields
		if json.Unmarshal(doc.Error, &f) != nil {
			return serverError{}
		}
		return read(f)
	case len(doc.Error) > 0 && doc.Error[0] == '"':
		return serverError{found: true, message: word(doc.Error), kind: word(doc.Type)}
	case word(doc.Object) == "error":
		return read(doc.fields)
	case len(doc.Detail) > 0 && doc.Detail[0] == '"':
		return serverError{found: true, message: word(doc.Detail)}
	case len(doc.Detail) > 0 && doc.Detail[0] == '[':
		var list []struct {
			Msg string `json:"msg"`
		}
		if json.Unmarshal(doc.Detail, &list) != nil || len(list) == 0 {
			return serverError{}
		}
		return serverError{found: true, message: tidy(list[0].Msg)}
	}
	return serverError{}
}

// word reads a JSON string or number as one tidy line; anything else is "".
func word(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return tidy(s)
	}
	var n json.Number
	if json.Unmarshal(raw, &n) == nil {
		return n.String()
	}
	return ""
}

// tidy makes one printable line of at most 300 bytes from a server's words.
func tidy(s string) string {
	s = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, ""), func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r)
	}), " ")
	const most = 300
	if len(s) <= most {
		return s
	}
	s = s[:most]
	for !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s + "…"
}

// refusal turns an error status into an *Error. body is read to a bound.
func (u *upstream) refusal(req *Request, res *http.Response, body io.Reader) *Error {
	b, err := io.ReadAll(io.LimitReader(body, maxErrorBody))
	if err != nil && len(b) == 0 {
		return u.failure(err)
	}
	said := parseServerError(b)
	if !said.found {
		if res.StatusCode >= 300 && res.StatusCode < 400 {
			return &Error{Status: http.StatusBadGateway, Type: "server_error", Code: CodeMalformed,
				Message: u.subject() + " sends us to another address: name that address itself."}
		}
		if trimmed := bytes.TrimSpace(b); len(trimmed) > 0 && trimmed[0] != '<' && len(trimmed) < 300 {
			said.message = tidy(string(trimmed)) // "404 page not found"
		} else if len(trimmed) > 0 && res.StatusCode < 500 {
			return u.notTheAPI()
		}
	}
	e := u.classify(req.Path, res.StatusCode, said)
	e.RetryAfter = retryAfter(res.Header.Get("Retry-After"))
	return e
}

// retryAfter reads the seconds form of Retry-After (RFC 9110, 10.2.3), up to an hour.
func retryAfter(s string) time.Duration {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > 3600 {
		return 0
	}
	return time.Duration(n) * time.Second
}
