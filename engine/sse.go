// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
)

// maxEvent bounds one server-sent event, in bytes. A generated image in one
// event is the largest thing that servers send.
const maxEvent = 8 << 20

// eventStream relays server-sent events (WHATWG HTML, section 9.2) without
// changing a byte of them, and makes sure that whoever reads it gets whole
// events of JSON and a definite end: either the server's own end marker, or one
// last event with an error. What it holds is one event.
type eventStream struct {
	r    *bufio.Reader
	c    io.Closer
	u    *upstream
	ev   []byte // the event being collected, as it came
	out  []byte // the part of a finished event that hasn't been read
	done bool   // the server's end marker has been seen
	err  error  // what Read returns when out is empty
}

func newEventStream(body io.ReadCloser, u *upstream) *eventStream {
	// Small, because thousands of these live at once.
	return &eventStream{r: bufio.NewReaderSize(body, 4096), c: body, u: u}
}

func (s *eventStream) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(s.out) == 0 {
		if s.err != nil {
			return 0, s.err
		}
		s.next()
	}
	n := copy(p, s.out)
	s.out = s.out[n:]
	return n, nil
}

func (s *eventStream) Close() error { return s.c.Close() }

// next reads one event into out, or sets err.
func (s *eventStream) next() {
	s.ev = s.ev[:0]
	for {
		start := len(s.ev)
		err := s.readLine()
		if err != nil {
			if errors.Is(err, io.EOF) {
				s.finish()
			} else if e := s.u.failureMidway(err); e.Code == CodeStopped {
				s.err = e // nobody is listening any more
			} else {
				s.fail(e)
			}
			return
		}
		if len(bytes.TrimRight(s.ev[start:], "\r\n")) == 0 {
			break // the blank line that ends an event
		}
	}
	s.deliver()
}

// readLine appends one line with its end to ev. At the end of the stream it
// returns io.EOF, with what came before it appended.
func (s *eventStream) readLine() error {
	for {
		part, err := s.r.ReadSlice('\n')
		if len(s.ev)+len(part) > maxEvent {
			return errMalformed
		}
		s.ev = append(s.ev, part...)
		if err != bufio.ErrBufferFull {
			return err
		}
	}
}

var errMalformed = errors.New("malformed event stream")

// finish handles the end of the stream. A last event without its blank line
// counts, because some servers leave it out.
func (s *eventStream) finish() {
	if len(bytes.TrimSpace(s.ev)) > 0 {
		for !bytes.HasSuffix(s.ev, []byte("\n\n")) {
			s.ev = append(s.ev, '\n')
		}
		if s.deliver(); s.err != nil {
			return
		}
	}
	if !s.done {
		s.fail(s.u.failureMidway(io.ErrUnexpectedEOF))
		return
	}
	s.err = io.EOF
}

// deliver checks the event in ev and puts it out, or puts out an error instead.
func (s *eventStream) deliver() {
	data, name, ok := EventData(s.ev)
	switch {
	case !ok:
		// A server that fails midway may fall back to a bare JSON document.
		if said := parseServerError(bytes.TrimSpace(s.ev)); said.found {
			s.fail(s.u.classify("", http.StatusBadGateway, said))
			return
		}
		s.fail(s.u.failureMidway(errMalformed))
		return
	case data == nil: // a comment, or fields without data
	case bytes.Equal(data, []byte("[DONE]")):
		s.done = true
	default:
		var probe struct {
			Type    string          `json:"type"`
			Object  string          `json:"object"`
			Error   json.RawMessage `json:"error"`
			Choices []struct {
				FinishReason json.RawMessage `json:"finish_reason"`
			} `json:"choices"`
		}
		if data[0] != '{' || json.Unmarshal(data, &probe) != nil {
			if !json.Valid(data) || data[0] != '{' {
				s.fail(s.u.failureMidway(errMalformed))
				return
			}
		}
		hasError := len(probe.Error) > 0 && !bytes.Equal(probe.Error, []byte("null")) || probe.Object == "error"
		if hasError && probe.Type == "" || name == "error" {
			if said := parseServerError(data); said.found {
				s.fail(s.u.classify("", http.StatusBadGateway, said))
				return
			}
		}
		switch probe.Type { // the end markers of /v1/responses and /v1/messages
		case "response.completed", "response.incomplete", "response.failed", "message_stop", "error":
			s.done = true
		}
		for _, c := range probe.Choices { // a server that ends without [DONE]
			if len(c.FinishReason) > 0 && !bytes.Equal(c.FinishReason, []byte("null")) {
				s.done = true
			}
		}
	}
	s.out = s.ev
}

// EventData joins the data lines of a server-sent event and returns its name. ok is false
// if a line isn't of the format. data is nil when there is no data line; for the
// usual single line it points into ev.
func EventData(ev []byte) (data []byte, name string, ok bool) {
	lines := 0
	for line := range bytes.Lines(ev) {
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 || line[0] == ':' {
			continue
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "data":
			if lines++; lines == 1 {
				data = value[:len(value):len(value)]
			} else {
				data = append(append(data, '\n'), value...)
			}
		case "error": // llama.cpp before 2025 named the field after its content
			return append(append([]byte(`{"error":`), value...), '}'), "error", true
		case "event":
			name = string(value)
		case "id", "retry":
		default:
			return nil, "", false
		}
	}
	if lines > 0 && len(data) == 0 {
		return nil, name, lines == 1 // "data:" alone is an empty keep-alive
	}
	return data, name, true
}

// fail puts out one last event that holds the error and ends the stream.
func (s *eventStream) fail(e *Error) {
	s.out = e.Event()
	s.err = io.EOF
}

// failureMidway is failure with the sentence for an answer that has begun.
func (u *upstream) failureMidway(err error) *Error {
	e := u.failure(err)
	if errors.Is(err, errSilent) {
		e.Message = u.subject() + " fell silent in the middle of the answer. Try again."
	}
	if errors.Is(err, errMalformed) {
		e.Message = u.subject() + " sent something in the middle of the answer that can't be understood. Try again."
	}
	return e
}
