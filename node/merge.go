// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package node

import "bytes"

// queue holds the bytes of a stream that have come and not yet gone. It joins
// an event to the one before it where that is certain to mean the same:
// the two are equal byte for byte but for one string of text, which has nothing
// between itself and the end of what was said before.
//
//	data: {"id":"x","choices":[{"index":0,"delta":{"content":"Hel"},"finish_reason":null}]}
//	data: {"id":"x","choices":[{"index":0,"delta":{"content":"lo"},"finish_reason":null}]}
//
// become one event with "Hello". Every other event goes on as it came.
type queue struct {
	buf []byte // buf[off:] is waiting
	off int

	// The newest event's bytes without its text, and the place of the text in
	// them; valid while plain.
	shape []byte
	at    int
	plain bool
	// end is where in buf the newest event's text ends: what comes joins here
	// while end >= off. The event's remainder is the end of buf.
	end int
}

func (q *queue) len() int { return len(q.buf) - q.off }

// push adds bytes that aren't to be joined.
func (q *queue) push(b []byte) {
	q.makeRoom(len(b))
	q.buf = append(q.buf, b...)
	q.plain = false
}

// pushEvent adds one event, framing included. text is the place in it of the
// string that may be joined, or an empty span with ok false.
func (q *queue) pushEvent(ev []byte, from, to int, ok bool) {
	if !ok {
		q.push(ev)
		return
	}
	same := q.plain && len(q.shape) == len(ev)-(to-from) && q.at == from &&
		bytes.Equal(q.shape[:from], ev[:from]) && bytes.Equal(q.shape[from:], ev[to:])
	if same && q.len() > 0 && q.end >= q.off {
		// Take the remainder off, add the text, put the remainder back.
		q.makeRoom(to - from)
		q.buf = append(q.buf[:q.end], ev[from:]...)
		q.end += to - from
		return
	}
	if !same {
		q.shape = append(append(q.shape[:0], ev[:from]...), ev[to:]...)
		q.at = from
	}
	q.makeRoom(len(ev))
	q.buf = append(q.buf, ev...)
	q.end = len(q.buf) - (len(ev) - to)
	q.plain = true
}

// joins reports whether ev, an event not looked at yet, has the newest event's
// shape and some text in its place. That is the usual case, and far cheaper to
// find out than what an event means: all but the text has been checked before.
func (q *queue) joins(ev []byte) (from, to int, ok bool) {
	to = len(ev) - (len(q.shape) - q.at)
	if !q.plain || to < q.at || !bytes.Equal(ev[:q.at], q.shape[:q.at]) ||
		!bytes.Equal(ev[to:], q.shape[q.at:]) || !insideString(ev[q.at:to]) {
		return 0, 0, false
	}
	return q.at, to, true
}

// insideString reports whether b can stand between the quotes of a JSON string.
func insideString(b []byte) bool {
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c < ' ' || c == '"':
			return false
		case c != '\\':
		case i+1 < len(b) && bytes.IndexByte(escapes, b[i+1]) >= 0:
			i++
		case i+5 < len(b) && b[i+1] == 'u' && isHex(b[i+2]) && isHex(b[i+3]) && isHex(b[i+4]) && isHex(b[i+5]):
			i += 5
		default:
			return false
		}
	}
	return true
}

var escapes = []byte(`"\/bfnrt`)

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// makeRoom moves what waits to the front when that saves growing.
func (q *queue) makeRoom(n int) {
	if q.off == 0 || len(q.buf)+n <= cap(q.buf) {
		return
	}
	k := copy(q.buf, q.buf[q.off:])
	q.buf = q.buf[:k]
	q.end -= q.off
	q.off = 0
}

// peek returns at most n waiting bytes, valid until the next call.
func (q *queue) peek(n int) []byte { return q.buf[q.off:min(len(q.buf), q.off+n)] }

// drop takes n bytes away.
func (q *queue) drop(n int) {
	q.off += n
	if q.off == len(q.buf) {
		q.end -= q.off // below off: nothing joins what has gone
		q.buf, q.off = q.buf[:0], 0
		if cap(q.buf) > maxIdleBuffer {
			q.buf = nil
		}
	}
}

// maxIdleBuffer is how much memory an empty queue may hold on to.
const maxIdleBuffer = 4 << 10

// contentSpan finds the one string in the data of an event that is text and
// nothing else: choices[0].delta.content or one of the two names under which
// servers send reasoning, or choices[0].text. from and to bound the string's
// inside. It answers only for what it understands fully: one choice, no name
// twice, no escapes in names, at most one of the strings not empty.
//
// data must be valid JSON; anything else gives false.
func contentSpan(data []byte) (from, to int, ok bool) {
	top := member(data, skipSpace(data, 0), "choices")
	if top < 0 || data[top] != '[' {
		return 0, 0, false
	}
	choice := skipSpace(data, top+1)
	if choice >= len(data) || data[choice] != '{' {
		return 0, 0, false
	}
	if after := skipSpace(data, skipValue(data, choice)); after >= len(data) || data[after] != ']' {
		return 0, 0, false
	}
	text, delta := member(data, choice, "text"), member(data, choice, "delta")
	if text >= 0 && data[text] == '"' && delta == missing {
		return text + 1, skipValue(data, text) - 1, true
	}
	if text == duplicate || delta < 0 || data[delta] != '{' {
		return 0, 0, false
	}
	for _, name := range [...]string{"content", "reasoning_content", "reasoning"} {
		v := member(data, delta, name)
		if v == duplicate {
			return 0, 0, false
		}
		if v < 0 || data[v] != '"' {
			continue
		}
		end := skipValue(data, v)
		switch empty := end-v == 2; {
		case !ok || to == from && !empty:
			from, to, ok = v+1, end-1, true
		case !empty:
			return 0, 0, false // two texts: their order isn't ours to say
		}
	}
	return from, to, ok
}

const (
	missing   = -1
	duplicate = -2
)

// member returns where the value of a name starts in the object at pos, or
// missing, or duplicate if the name is there twice or any name has an escape.
func member(data []byte, pos int, name string) int {
	if pos >= len(data) || data[pos] != '{' {
		return missing
	}
	found := missing
	for pos = skipSpace(data, pos+1); pos < len(data) && data[pos] == '"'; {
		end := skipValue(data, pos)
		if end <= pos+1 || end > len(data) {
			return missing
		}
		key := data[pos+1 : end-1]
		if bytes.IndexByte(key, '\\') >= 0 {
			return duplicate
		}
		pos = skipSpace(data, end)
		if pos >= len(data) || data[pos] != ':' {
			return missing
		}
		pos = skipSpace(data, pos+1)
		if pos >= len(data) {
			return missing
		}
		if string(key) == name {
			if found != missing {
				return duplicate
			}
			found = pos
		}
		pos = skipSpace(data, skipValue(data, pos))
		if pos < len(data) && data[pos] == ',' {
			pos = skipSpace(data, pos+1)
		}
	}
	return found
}

func skipSpace(data []byte, pos int) int {
	for pos < len(data) {
		switch data[pos] {
		case ' ', '\t', '\r', '\n':
			pos++
		default:
			return pos
		}
	}
	return pos
}

// skipValue returns where the JSON value at pos ends. It counts brackets rather
// than calling itself, so depth costs nothing.
func skipValue(data []byte, pos int) int {
	depth := 0
	for pos < len(data) {
		switch c := data[pos]; c {
		case '"':
			pos++
			for pos < len(data) && data[pos] != '"' {
				if data[pos] == '\\' {
					pos++
				}
				pos++
			}
			pos = min(pos+1, len(data))
			if depth == 0 {
				return pos
			}
		case '{', '[':
			depth++
			pos++
		case '}', ']':
			depth--
			pos++
			if depth <= 0 {
				return pos
			}
		default:
			pos++
			if depth > 0 {
				continue
			}
			for pos < len(data) && bytes.IndexByte(scalarEnd, data[pos]) < 0 {
				pos++
			}
			return pos
		}
	}
	return pos
}

var scalarEnd = []byte(",]} \t\r\n")
