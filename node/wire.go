// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"net/http"
	"strconv"
	"time"

	"github.com/sotto-chat/sotto/seal/envelope"
)

// A sink takes the sealed bytes of one answer. Errors mean that nobody is there
// to take them any more.
type sink interface {
	// begin takes the answer's header and the size of its records. length is
	// that of the whole answer, header included, or -1 if it isn't known yet.
	// A record follows at once: the header needn't be on its way before.
	begin(header []byte, recordSize int, length int64) error
	// record takes one or more whole records, which the caller reuses
	// afterwards. Unless more is set they must be on their way when it returns.
	record(rec []byte, more bool) error
}

// A client that takes nothing for this long is gone. The deadline is renewed
// only now and then: setting it costs as much as sealing a record.
const (
	writeTime  = time.Minute
	writeRenew = 15 * time.Second
)

// wire is the sink that is an HTTP response.
type wire struct {
	w        http.ResponseWriter
	rc       *http.ResponseController
	deadline time.Time
	begun    bool // the answer's header has been written
}

func newWire(w http.ResponseWriter) *wire {
	return &wire{w: w, rc: http.NewResponseController(w)}
}

func (o *wire) begin(header []byte, _ int, length int64) error {
	h := o.w.Header()
	h.Set("Content-Type", envelope.AnswerType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // proxies that would wait for more
	if length >= 0 {
		h.Set("Content-Length", strconv.FormatInt(length, 10))
	}
	o.renew()
	o.begun = true
	_, err := o.w.Write(header) // into the server's buffer: it goes out with a record
	return err
}

func (o *wire) record(rec []byte, more bool) error {
	o.renew()
	if _, err := o.w.Write(rec); err != nil {
		return err
	}
	if more {
		return nil
	}
	return o.rc.Flush()
}

func (o *wire) renew() {
	now := time.Now()
	if o.deadline.Sub(now) > writeTime-writeRenew {
		return
	}
	o.deadline = now.Add(writeTime)
	_ = o.rc.SetWriteDeadline(o.deadline) // a ResponseWriter without deadlines belongs to a test
}
