// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// maxEvent bounds one server-sent event.
const maxEvent = 4 << 20

// An EventReader reads server-sent events (HTML Living Standard, section 9.2)
// as OpenAI-compatible servers send them: of each event its data, the rest is
// left aside.
type EventReader struct {
	r    *bufio.Reader
	data []byte
}

// NewEventReader reads events from r.
func NewEventReader(r io.Reader) *EventReader {
	return &EventReader{r: bufio.NewReader(r)}
}

// Next returns the data of the next event that has any, its lines joined by
// newlines. The slice is good until the next call. io.EOF comes at a clean end
// between two events, io.ErrUnexpectedEOF in the middle of one, and an error
// that wraps [ErrEventStream] for an event that is too large.
func (e *EventReader) Next() ([]byte, error) {
	e.data = e.data[:0]
	hasData := false
	for {
		line, err := e.line()
		if err != nil {
			if err == io.EOF && (hasData || len(line) > 0) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		if len(line) == 0 {
			if hasData {
				return e.data, nil
			}
			continue
		}
		value, ok := bytes.CutPrefix(line, []byte("data"))
		if !ok || len(value) > 0 && value[0] != ':' {
			continue // a comment, or a field that we have no use for
		}
		value = bytes.TrimPrefix(value, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		if hasData {
			e.data = append(e.data, '\n')
		}
		hasData = true
		if len(e.data)+len(value) > maxEvent {
			return nil, fmt.Errorf("%w: an event is longer than %d bytes", ErrEventStream, maxEvent)
		}
		e.data = append(e.data, value...)
	}
}

// line returns the next line without its end, which is LF or CRLF.
func (e *EventReader) line() ([]byte, error) {
	line, err := e.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		long := bytes.Clone(line)
		for errors.Is(err, bufio.ErrBufferFull) {
			line, err = e.r.ReadSlice('\n')
			if len(long)+len(line) > maxEvent {
				return nil, fmt.Errorf("%w: a line is longer than %d bytes", ErrEventStream, maxEvent)
			}
			long = append(long, line...)
		}
		line = long
	}
	if err != nil {
		return line, err
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), nil
}
