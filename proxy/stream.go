// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/sotto-chat/sotto/client"
)

// stream writes one answer to the program: at once as it comes, and with a
// comment now and then while an event stream is silent.
type stream struct {
	w      http.ResponseWriter
	rc     *http.ResponseController
	gone   <-chan struct{} // closed when the program has gone
	events bool            // an event stream, in which comments and error events may stand
	tail   []byte          // the last bytes written, to know where an event ends
}

func newStream(w http.ResponseWriter, r *http.Request, events bool) *stream {
	return &stream{w: w, rc: http.NewResponseController(w), gone: r.Context().Done(), events: events}
}

// openStream begins an event stream before there is an answer to put into it.
func (p *Proxy) openStream(w http.ResponseWriter, r *http.Request) *stream {
	p.setVerdict(w, p.currentVerdict())
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.WriteHeader(http.StatusOK)
	s := newStream(w, r, true)
	s.comment()
	return s
}

// write writes b and flushes it.
func (s *stream) write(b []byte) error {
	s.rc.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := s.w.Write(b); err != nil {
		return err
	}
	s.tail = append(s.tail, b[max(0, len(b)-4):]...)
	s.tail = s.tail[max(0, len(s.tail)-4):]
	return s.rc.Flush()
}

// betweenEvents says whether the last event has been ended by its empty line.
func (s *stream) betweenEvents() bool {
	return len(s.tail) == 0 || bytes.HasSuffix(s.tail, []byte("\n\n")) || bytes.HasSuffix(s.tail, []byte("\n\r\n"))
}

func (s *stream) comment() error {
	if !s.events || !s.betweenEvents() {
		return nil
	}
	return s.write([]byte(": keep-alive\n\n"))
}

// event writes one JSON document as an event.
func (s *stream) event(doc []byte) error {
	var line bytes.Buffer
	line.WriteString("data: ")
	if json.Compact(&line, doc) != nil {
		return nil
	}
	line.WriteString("\n\n")
	return s.write(line.Bytes())
}

// copy writes body as it comes. It returns an error of reading, nil at the end
// and when the program has gone.
func (s *stream) copy(body io.Reader) error {
	type piece struct {
		data []byte
		err  error
	}
	pieces := make(chan piece)
	free := make(chan []byte, 2)
	free <- make([]byte, 32<<10)
	free <- make([]byte, 32<<10)
	quit := make(chan struct{})
	defer close(quit)
	go func() {
		for {
			var buf []byte
			select {
			case buf = <-free:
			case <-quit:
				return
			}
			n, err := body.Read(buf[:cap(buf)])
			select {
			case pieces <- piece{buf[:n], err}:
			case <-quit:
				return
			}
			if err != nil {
				return
			}
		}
	}()
	t := time.NewTicker(keepAlive)
	defer t.Stop()
	for {
		select {
		case p := <-pieces:
			if len(p.data) > 0 && s.write(p.data) != nil {
				return nil
			}
			if p.err == io.EOF {
				return nil
			}
			if p.err != nil {
				return p.err
			}
			free <- p.data
			t.Reset(keepAlive)
		case <-t.C:
			if s.comment() != nil {
				return nil
			}
		case <-s.gone:
			return nil
		}
	}
}

// broken ends an answer that broke off: an event stream by an error event, as
// model servers do, everything else by a connection that ends before its time.
// What can't be is an answer that looks complete.
func (s *stream) broken(err error) {
	if s.events && s.betweenEvents() {
		_, e := clientError(err)
		if s.event(e.json()) == nil {
			return
		}
	}
	panic(http.ErrAbortHandler)
}

// late writes an answer for which the stream was opened beforehand.
func (s *stream) late(a *client.Answer) {
	if a.Status < 400 && isEventStream(a) {
		if err := s.copy(a.Body); err != nil {
			s.broken(err)
		}
		return
	}
	// One JSON document: an error, or an answer of a server that doesn't stream.
	doc, err := io.ReadAll(io.LimitReader(a.Body, 4<<20))
	if err != nil || !json.Valid(doc) {
		_, e := clientError(client.ErrEventStream)
		doc = e.json()
	}
	s.event(doc)
}

// waitAlive waits for c and keeps the stream alive until then; ok is false if
// the program has gone.
func waitAlive[T any](s *stream, c <-chan T) (v T, ok bool) {
	t := time.NewTicker(keepAlive)
	defer t.Stop()
	for {
		select {
		case v := <-c:
			return v, true
		case <-t.C:
			if s.comment() != nil {
				return v, false
			}
		case <-s.gone:
			return v, false
		}
	}
}
