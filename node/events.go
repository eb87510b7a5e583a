// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"encoding/json"
	"errors"

	"github.com/sotto-chat/sotto/engine"
)

// maxEvent bounds one server-sent event: a generated image is the largest
// thing that servers send in one.
const maxEvent = 8 << 20

var errMalformed = errors.New("malformed event stream")

// events cuts the bytes of an engine into server-sent events (WHATWG HTML,
// section 9.2) and puts them into a queue, unchanged but for joined text. An
// engine is on our side, and may still be broken: what isn't an event stream of
// JSON is an error, at the first byte that shows it.
type events struct {
	buf  []byte // an event that hasn't ended
	scan int    // buf[:scan] holds whole lines, none of them blank
}

// space returns where to read the next bytes to. It is small at first, because
// thousands of streams live at once and most events are a few hundred bytes.
func (e *events) space() []byte {
	const least = 256
	if cap(e.buf)-len(e.buf) < least {
		grown := make([]byte, len(e.buf), max(1<<10, 2*len(e.buf)+least))
		copy(grown, e.buf)
		e.buf = grown
	}
	return e.buf[len(e.buf):cap(e.buf)]
}

// took says that n bytes were read to space, and moves what is whole to q.
func (e *events) took(n int, q *queue) error {
	e.buf = e.buf[:len(e.buf)+n]
	start := 0
	for {
		nl := bytes.IndexByte(e.buf[e.scan:], '\n')
		if nl < 0 {
			break
		}
		line := bytes.TrimSuffix(e.buf[e.scan:e.scan+nl], cr)
		e.scan += nl + 1
		if len(line) > 0 {
			continue
		}
		if err := pushEvent(q, e.buf[start:e.scan]); err != nil {
			return err
		}
		start = e.scan
	}
	k := copy(e.buf, e.buf[start:])
	e.buf, e.scan = e.buf[:k], e.scan-start
	if len(e.buf) > maxEvent {
		return errMalformed
	}
	if len(e.buf) == 0 && cap(e.buf) > maxIdleBuffer {
		e.buf = nil
	}
	return nil
}

// end handles what was left when the stream ended: a last event may lack its
// blank line, but not its sense.
func (e *events) end(q *queue) error {
	rest := e.buf
	e.buf, e.scan = nil, 0
	if len(bytes.TrimSpace(rest)) == 0 {
		return nil
	}
	for !bytes.HasSuffix(rest, []byte("\n\n")) {
		rest = append(rest, '\n')
	}
	return pushEvent(q, rest)
}

var (
	cr        = []byte("\r")
	dataField = []byte("data:")
	doneMark  = []byte("[DONE]")
)

// pushEvent checks one event with its closing blank line and puts it into q.
func pushEvent(q *queue, ev []byte) error {
	if from, to, ok := q.joins(ev); ok {
		q.pushEvent(ev, from, to, true)
		return nil
	}
	data, _, ok := engine.EventData(ev)
	if !ok {
		return errMalformed
	}
	switch {
	case len(data) == 0 || bytes.Equal(data, doneMark):
		q.push(ev)
		return nil
	case !json.Valid(data):
		return errMalformed
	case !bytes.HasPrefix(ev, dataField) || bytes.Count(ev, []byte{'\n'}) != 2: // more than a line of data and a blank one
		q.push(ev)
		return nil
	}
	offset := bytes.Index(ev, data)
	from, to, ok := contentSpan(data)
	q.pushEvent(ev, offset+from, offset+to, ok)
	return nil
}
