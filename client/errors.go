// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/sotto-chat/sotto/attest"
)

// The errors of this package that are not a type of their own. Those of opening
// an answer are package seal's: seal.ErrAuthentication, seal.ErrFormat, ….
var (
	// ErrUnreachable: no answer came from the service. Wraps the transport's error.
	ErrUnreachable = errors.New("client: the service can't be reached")
	// ErrNoNodes: the service answers and has no machine, or none in time.
	ErrNoNodes = errors.New("client: the service has no machine")
	// ErrNodeList: the list of nodes is not in the agreed form.
	ErrNodeList = errors.New("client: malformed node list")
	// ErrInterrupted: the connection dropped in the middle of an answer and
	// could not be taken up again. What was read before is good.
	ErrInterrupted = errors.New("client: the answer was interrupted")
	// ErrGone: the node no longer keeps the answer that was to be resumed.
	ErrGone = errors.New("client: the answer is no longer kept")
	// ErrAnswer: the service answered with something that is not a sealed answer.
	ErrAnswer = errors.New("client: not a sealed answer")
	// ErrOtherKey: a machine that was asked to prove its key anew spoke of another.
	ErrOtherKey = errors.New("client: the fresh proof is of another key")
	// ErrPending: the bytes are not a Pending.
	ErrPending = errors.New("client: malformed pending answer")
	// ErrEventStream: a streamed answer is not the event stream it should be.
	ErrEventStream = errors.New("client: malformed event stream")
	// ErrCut: a streamed answer ended before it said that it was complete.
	ErrCut = errors.New("client: the answer ended before its end")
	// ErrRelay: the relay that the service offers isn't one that its release names.
	ErrRelay = errors.New("client: not a relay of this release")
	// ErrRelayKey: the relay hands out a key of a gateway that isn't in the key log.
	ErrRelayKey = errors.New("client: the gateway's key is not in the key log")
	// ErrTooLarge: something came that is larger than this package takes.
	ErrTooLarge = errors.New("client: too large")
)

// A NotVerifiedError means that machines answered and none could prove itself.
// Nothing was sent.
type NotVerifiedError struct {
	// Verdicts has one verdict for each machine that was looked at; never empty.
	Verdicts []attest.Verdict
}

func (e *NotVerifiedError) Error() string {
	return "client: no machine could prove itself: " + e.Failure()
}

// Failure returns the name of what was wrong, from the closed list of
// spec/verdict.md: that of the first machine which failed, or if none did, of
// the first that could not be checked.
func (e *NotVerifiedError) Failure() string {
	for _, v := range e.Verdicts {
		if v.State == attest.StateFailed {
			return v.Failure
		}
	}
	if len(e.Verdicts) > 0 {
		return e.Verdicts[0].Failure
	}
	return ""
}

// failed says whether any machine was judged and found wrong, rather than not
// checkable now.
func (e *NotVerifiedError) failed() bool {
	for _, v := range e.Verdicts {
		if v.State == attest.StateFailed {
			return true
		}
	}
	return false
}

// A ServiceError is what a gateway or a node says before it opens anything. It
// comes in the clear, so anybody on the way could have written it: branch on
// Code, and don't show Message to a person.
type ServiceError struct {
	Status  int    // HTTP status
	Code    string // "key_unknown", "no_node", …; "" if the answer had none
	Message string // for a developer's eyes
	// Refund is a blind signature for a new token in place of the one that came with
	// the request, where the service gives it back; else nil.
	Refund []byte
}

// Codes of a ServiceError that spec/seal.md lists.
const (
	CodeKeyUnknown      = "key_unknown"
	CodeKeyExpired      = "key_expired"
	CodeReplayed        = "replayed"
	CodeMalformed       = "malformed"
	CodeTooLarge        = "too_large"
	CodeBusy            = "busy"
	CodeNoNode          = "no_node"
	CodeNodeUnreachable = "node_unreachable"
	CodeEngineAway      = "engine_unreachable"

	// Of tokens: spec/token.md.
	CodeTokenMissing = "token_missing"
)

func (e *ServiceError) Error() string {
	if e.Code == "" {
		return fmt.Sprintf("client: the service answered with status %d", e.Status)
	}
	return fmt.Sprintf("client: the service answered %d %s", e.Status, e.Code)
}

// stale says whether the keys that a request was sealed to are the trouble, so
// that fresh ones would help.
func (e *ServiceError) stale() bool {
	return e.Code == CodeKeyUnknown || e.Code == CodeKeyExpired || e.Code == CodeNoNode
}

// token says whether it is the token that was refused.
func (e *ServiceError) token() bool {
	return strings.HasPrefix(e.Code, "token_") || strings.HasPrefix(e.Code, "holder_") || strings.HasPrefix(e.Code, "refund_")
}

// worthless says whether another token may do what this one didn't.
func (e *ServiceError) worthless() bool { return e.token() && e.Code != CodeTokenMissing }

// maxErrorBody is how much of an error document is read.
const maxErrorBody = 16 << 10

// readServiceError makes a ServiceError of an answer that isn't a success. It
// doesn't close the body.
func readServiceError(resp *Response) error {
	e := &ServiceError{Status: resp.Status}
	b, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	var doc struct {
		Error  struct{ Code, Message string }
		Refund []byte
	}
	if json.Unmarshal(b, &doc) == nil && isWord(doc.Error.Code) {
		e.Refund = doc.Refund
		e.Code = doc.Error.Code
		e.Message = printable(doc.Error.Message, 300)
	}
	return e
}

// isWord accepts what can be a code: short, lower case, no surprises in a log.
func isWord(s string) bool {
	return s != "" && len(s) <= 40 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// printable keeps at most n bytes of s and replaces what could move a cursor.
func printable(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "")
	}
	return s
}

// An APIError is what the engine said instead of an answer, in OpenAI's form.
// Unlike a ServiceError it was sealed: it comes from the verified machine, and
// Message is a sentence meant for people.
type APIError struct {
	Status  int // HTTP status inside the sealed answer; 0 if it came in midstream
	Type    string
	Code    string
	Param   string
	Message string
}

func (e *APIError) Error() string {
	if e.Message == "" {
		return fmt.Sprintf("client: the model server answered with status %d", e.Status)
	}
	return e.Message
}

// ReadAPIError makes an APIError of an answer whose status is 400 or more. It
// reads and closes the body.
func ReadAPIError(a *Answer) error {
	defer a.Body.Close()
	b, err := io.ReadAll(io.LimitReader(a.Body, maxErrorBody))
	if err != nil {
		return err
	}
	e := parseAPIError(b)
	if e == nil {
		e = &APIError{}
	}
	e.Status = a.Status
	return e
}

// parseAPIError reads {"error":{…}}, where code may be a string, a number or
// null, and error itself may be a bare string. It returns nil if there is none.
func parseAPIError(b []byte) *APIError {
	var doc struct {
		Error json.RawMessage `json:"error"`
	}
	if json.Unmarshal(b, &doc) != nil || len(doc.Error) == 0 || string(doc.Error) == "null" {
		return nil
	}
	var text string
	if json.Unmarshal(doc.Error, &text) == nil {
		return &APIError{Message: printable(text, 2000)}
	}
	var e struct {
		Message string `json:"message"`
		Type    string `json:"type"`
		Param   any    `json:"param"`
		Code    any    `json:"code"`
	}
	if json.Unmarshal(doc.Error, &e) != nil {
		return &APIError{}
	}
	return &APIError{
		Type: printable(e.Type, 100), Code: word(e.Code), Param: word(e.Param),
		Message: printable(e.Message, 2000),
	}
}

// word writes a JSON string or number as text, anything else as "".
func word(v any) string {
	switch v := v.(type) {
	case string:
		return printable(v, 100)
	case float64:
		return fmt.Sprint(v)
	}
	return ""
}
