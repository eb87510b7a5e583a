// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"net/http"
	"time"
)

// A sink takes the sealed bytes of one answer. Errors mean that nobody is there
// to take them any more.
type sink interface {
	// begin takes the answer's header and the size of its records.
	begin(header []byte, recordSize int) error
	// record takes one whole record, which the caller reuses afterwards. Unless
	// more is set the record must be on its way when record returns.
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

func (o *wire) begin(header []byte, _ int) error {
	h := o.w.Header()
	h.Set("Content-Type", answerType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // proxies that would wait for more
	o.renew()
	o.begun = true
	_, err := o.w.Write(header)
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
