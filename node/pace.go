// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/sotto-chat/sotto/engine"
	"github.com/sotto-chat/sotto/seal/bhttp"
	"github.com/sotto-chat/sotto/seal/machine"
)

const (
	// maxWaiting is how far an engine may run ahead of the ticks, in bytes.
	// Beyond it the engine is not read, which slows it down.
	maxWaiting = 64 << 10

	// A stream shifts up when this many records' worth waits for each record
	// that it sends per tick, and sends at most topGear of them per tick.
	shiftAt = 8
	topGear = 8
)

// pacer stands between an engine, which writes when it likes, and the ticks.
type pacer struct {
	mu    sync.Mutex
	q     queue
	ended bool // nothing more comes into q

	head  []byte        // the response's head; owned by the ticking goroutine
	ready chan struct{} // closed once there is something to send
	once  sync.Once
	room  chan struct{} // a token when q has become shorter
}

// sendPaced sends a reply as a stream: the first record at once with the
// first bytes, then one each tick until the content has ended and the number of
// records is one of the coarse series.
func (n *Node) sendPaced(ctx context.Context, opened *machine.Opened, rep *reply, out sink) error {
	sealer, err := opened.NewAnswer(machine.ClassStream)
	if err != nil {
		return err
	}
	p := &pacer{
		head:  bhttp.AppendResponseHead(nil, rep.status, rep.header),
		ready: make(chan struct{}), room: make(chan struct{}, 1),
	}
	if rep.body == nil {
		p.q.push(rep.text)
		p.finish(nil)
		return n.tick(ctx, p, sealer, out)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer p.finish(brokenEngine) // after a panic
		defer n.contain("reading the engine")
		p.finish(p.fill(rep.ctx, rep.body))
	}()
	err = n.tick(ctx, p, sealer, out)
	rep.stop() // the engine has finished, or nobody listens
	<-read
	return err
}

// fill reads an engine's event stream into the queue until it ends. What went
// wrong comes back as the error to tell the reader.
func (p *pacer) fill(ctx context.Context, body io.Reader) *engine.Error {
	var ev events
	for {
		k, err := body.Read(ev.space())
		if k > 0 {
			if e := p.take(&ev, k); e != nil {
				return e
			}
		}
		switch {
		case ctx.Err() != nil:
			return whyStopped(ctx)
		case errors.Is(err, io.EOF):
			p.mu.Lock()
			defer p.mu.Unlock()
			if ev.end(&p.q) != nil {
				return cutEngine
			}
			return nil
		case err != nil:
			var e *engine.Error
			if errors.As(err, &e) {
				return e
			}
			return cutEngine
		}
		if !p.waitForRoom(ctx) {
			return whyStopped(ctx)
		}
	}
}

func (p *pacer) take(ev *events, k int) *engine.Error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := ev.took(k, &p.q)
	if p.q.len() > 0 {
		p.once.Do(func() { close(p.ready) })
	}
	if err != nil {
		return brokenEngine
	}
	return nil
}

// waitForRoom blocks while too much waits. It returns false when ctx has ended.
func (p *pacer) waitForRoom(ctx context.Context) bool {
	for {
		p.mu.Lock()
		full := p.q.len() > maxWaiting
		p.mu.Unlock()
		if !full {
			return true
		}
		select {
		case <-p.room:
		case <-ctx.Done():
			return false
		}
	}
}

// finish says that nothing more comes, but for a last event if e is set. Only
// the first call counts.
func (p *pacer) finish(e *engine.Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	if e != nil {
		p.q.push(e.Event())
	}
	p.ended = true
	p.once.Do(func() { close(p.ready) })
}

// next fills data, whose capacity is that of one record, with what is to be
// sent, and reports whether the content ends with it and how much still waits.
func (p *pacer) next(data []byte) (filled []byte, end bool, waiting int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	data = data[:0]
	if k := min(len(p.head), cap(data)); k > 0 {
		data = append(data, p.head[:k]...)
		p.head = p.head[k:]
	}
	const chunkHead = 2 // of a chunk that fits into a record
	if room := cap(data) - len(data) - chunkHead; room > 0 && p.q.len() > 0 {
		b := p.q.peek(room)
		data = bhttp.AppendChunk(data, b)
		p.q.drop(len(b))
		select {
		case p.room <- struct{}{}:
		default:
		}
	}
	if p.ended && len(p.head) == 0 && p.q.len() == 0 && cap(data)-len(data) >= 2 {
		return bhttp.AppendEnd(data), true, 0
	}
	return data, false, p.q.len()
}

// scratch is the memory that one record passes through.
type scratch struct{ data, rec []byte }

var streamScratch = sync.Pool{New: func() any { return &scratch{rec: make([]byte, 0, 1<<10), data: make([]byte, 0, 1<<10)} }}

// tick seals and sends the records of a stream. It returns when the last one
// is out, when ctx ends, or when out takes no more.
func (n *Node) tick(ctx context.Context, p *pacer, sealer *machine.AnswerSealer, out sink) error {
	select {
	case <-p.ready:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := out.begin(sealer.Header(), sealer.RecordSize(), -1); err != nil {
		return err
	}
	ticker := time.NewTicker(n.cfg.Tick)
	defer ticker.Stop()
	gear, ended := 1, false
	for {
		s := streamScratch.Get().(*scratch)
		waiting := 0
		for i := range gear {
			var data []byte
			if !ended {
				data, ended, waiting = p.next(s.data[:0:sealer.Capacity()])
			}
			sent := int(sealer.Next()) + 1
			final := ended && machine.TailRecords(sent) == sent
			s.rec = sealer.AppendRecord(s.rec[:0], data, ended, final)
			if err := out.record(s.rec, !final && i+1 < gear); err != nil {
				streamScratch.Put(s)
				return err
			}
			if final {
				streamScratch.Put(s)
				return nil
			}
		}
		streamScratch.Put(s)
		if gear < topGear && waiting > shiftAt*gear*sealer.Capacity() {
			gear *= 2
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// The last words of a stream that did not come to its own end.
var (
	brokenEngine  = &engine.Error{Status: http.StatusBadGateway, Type: "server_error", Code: engine.CodeMalformed, Message: "The model sent something that can't be understood. Try again."}
	cutEngine     = &engine.Error{Status: http.StatusBadGateway, Type: "server_error", Code: engine.CodeCut, Message: "The model broke off in the middle of the answer. Try again."}
	stoppedEngine = &engine.Error{Status: 499, Type: "server_error", Code: engine.CodeStopped, Message: "The answer was stopped."}
	lateEngine    = &engine.Error{Status: http.StatusGatewayTimeout, Type: "server_error", Code: engine.CodeSlow, Message: "The answer took too long, so it was stopped."}
)

func whyStopped(ctx context.Context) *engine.Error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return lateEngine
	}
	return stoppedEngine
}
