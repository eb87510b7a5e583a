// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/vault"
)

// Statuses of a message; the first three are of answers under way.
const (
	statusSending      = "sending"
	statusStreaming    = "streaming"
	statusReconnecting = "reconnecting"
	statusComplete     = "complete"
	statusStopped      = "stopped"
	statusFailed       = "failed"
)

const (
	// saveEvery is how often the text of an answer under way is kept on the
	// device. It is needed only if the node has lost the answer by the time
	// that the page is back.
	saveEvery = 2 * time.Second
	// comeBack is how long an answer whose connection is lost is tried for: a
	// node keeps answers for some minutes.
	comeBack = 10 * time.Minute
	// comeBackEvery is how long a try waits for the page to say that the
	// network is back.
	comeBackEvery = 10 * time.Second
)

var errStopped = errors.New("core: stopped by the person")

// answer is an answer that is being written. Its fields are guarded by core.mu;
// one goroutine writes them.
type answer struct {
	id, chat, parent, model string
	created                 int64
	temporary               bool
	first                   bool // it answers the first question of its chat
	discard                 bool // its chat was deleted: keep nothing

	status          string
	text, reasoning strings.Builder
	begun           bool // a node has begun to answer: it may be found again
	receipt         json.RawMessage
	pending         *client.Pending
	saved           time.Time

	// After a reload, the answer comes once more from its beginning: this much
	// of it is on the screen already.
	shownText, shownReasoning string

	stop context.CancelCauseFunc
	wake chan struct{} // the page is back, or the network
}

// doc describes the answer as far as it has come. core.mu is held.
func (a *answer) doc() messageDoc {
	return messageDoc{
		ID: a.id, Chat: a.chat, Parent: a.parent, Role: "assistant", Text: a.shown(), Reasoning: a.shownThoughts(),
		Model: a.model, Status: a.status, Created: a.created, Receipt: a.receipt,
	}
}

func (a *answer) shown() string         { return longer(a.text.String(), a.shownText) }
func (a *answer) shownThoughts() string { return longer(a.reasoning.String(), a.shownReasoning) }

func longer(a, b string) string {
	if len(a) >= len(b) {
		return a
	}
	return b
}

// read reads an answer to its end, over as many connections as it takes. The
// client itself reconnects for half a minute; after that, and when the page
// wakes, the whole answer is asked for again.
func (c *core) read(ctx context.Context, a *answer, open func() (*client.ChatStream, error)) error {
	until := time.Now().Add(comeBack)
	for {
		s, err := open()
		if err == nil {
			err = c.readStream(a, s)
			s.Close()
		}
		switch {
		case err == nil:
			return nil
		case context.Cause(ctx) != nil:
			return context.Cause(ctx)
		case !lost(err) || time.Now().After(until):
			return err
		}
		c.mu.Lock()
		begun, p, cl := a.begun, a.pending, c.trust.client
		c.mu.Unlock()
		if !begun {
			return err
		}
		c.setStatus(a, statusReconnecting)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-a.wake:
		case <-time.After(comeBackEvery):
		}
		open = func() (*client.ChatStream, error) { return c.takeUp(ctx, cl, a, *p) }
	}
}

// takeUp asks for an answer again, from its beginning.
func (c *core) takeUp(ctx context.Context, cl *client.Client, a *answer, p client.Pending) (*client.ChatStream, error) {
	got, err := cl.Resume(ctx, p)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	a.shownText, a.shownReasoning = a.shown(), a.shownThoughts()
	a.text.Reset()
	a.reasoning.Reset()
	c.mu.Unlock()
	return client.ReadChat(got)
}

// lost says whether err is a connection's end, after which the answer may still
// be there.
func lost(err error) bool {
	if errors.Is(err, client.ErrGone) {
		return false
	}
	return errors.Is(err, client.ErrInterrupted) || errors.Is(err, client.ErrUnreachable)
}

// readStream reads one stream of an answer to its end.
func (c *core) readStream(a *answer, s *client.ChatStream) error {
	receipt, err := json.Marshal(s.Receipt)
	if err != nil {
		return err
	}
	c.mu.Lock()
	a.receipt, a.begun = receipt, true
	c.mu.Unlock()
	c.setStatus(a, statusStreaming)
	for {
		d, err := s.Next()
		if err == io.EOF {
			if s.FinishReason == "length" {
				return errLength
			}
			return nil
		}
		if err != nil {
			return err
		}
		c.add(a, d)
	}
}

// errLength: the answer ended at the limit of the model or of the engine.
var errLength = &coreError{"length", "The answer reached the longest length that this model allows. Ask it to go on."}

// add appends what came and tells the page what of it is new on the screen.
func (c *core) add(a *answer, d client.Delta) {
	c.mu.Lock()
	defer c.mu.Unlock()
	text, thoughts := len(a.shown()), len(a.shownThoughts())
	a.text.WriteString(d.Text)
	a.reasoning.WriteString(d.Reasoning)
	newText, newThoughts := a.shown()[text:], a.shownThoughts()[thoughts:]
	if a.status != statusStreaming {
		a.status = statusStreaming
		c.emitChat(a.chat)
	} else if c.chats.open[a.chat] && newText+newThoughts != "" {
		e := map[string]any{"t": "delta", "chat": a.chat, "message": a.id, "text": newText}
		if newThoughts != "" {
			e["reasoning"] = newThoughts
		}
		c.host.emit(e)
	}
	if time.Since(a.saved) > saveEvery {
		a.saved = time.Now()
		go c.savePending(a, nil)
	}
}

// setStatus changes the status of an answer under way.
func (c *core) setStatus(a *answer, status string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.status != status && c.chats.answers[a.id] == a {
		a.status = status
		c.emitChat(a.chat)
	}
}

// watched is the host as a transport that notices when an answer loses its
// connection and when it is there again.
type watched struct{ c *core }

func (w watched) RoundTrip(ctx context.Context, r *client.Request) (*client.Response, error) {
	resp, err := w.c.host.RoundTrip(ctx, r)
	a, ok := ctx.Value(answerKey{}).(*answer)
	if !ok || r.Method != "POST" {
		return resp, err
	}
	w.c.mu.Lock()
	begun := a.begun
	w.c.mu.Unlock()
	switch {
	case begun && err != nil:
		w.c.setStatus(a, statusReconnecting)
	case begun && resp.Status == 200:
		w.c.setStatus(a, statusStreaming)
	}
	if err == nil {
		resp.Body = &watchedBody{resp.Body, ctx, w.c, a}
	}
	return resp, err
}

type watchedBody struct {
	io.ReadCloser
	ctx context.Context
	c   *core
	a   *answer
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF && b.ctx.Err() == nil {
		b.c.setStatus(b.a, statusReconnecting)
	}
	return n, err
}

// finish makes a message of an answer that has ended.
func (c *core) finish(ctx context.Context, a *answer, err error) {
	c.mu.Lock()
	m := vault.Message{
		ID: a.id, Chat: a.chat, Parent: a.parent, Role: "assistant", Text: a.shown(), Reasoning: a.shownThoughts(),
		Model: a.model, Status: statusComplete, Created: a.created, Receipt: a.receipt,
	}
	code := ""
	switch {
	case err == nil:
	case context.Cause(ctx) == errStopped:
		m.Status = statusStopped
	case errors.Is(err, errLength):
		m.Error, code = errLength.Message, errLength.Code
	default:
		e := explain(err)
		m.Status, m.Error, code = statusFailed, e.Message, e.Code
	}
	a.stop(nil)
	v, t := c.vault, c.chats.temp[a.chat]
	discard := a.discard
	c.mu.Unlock()

	var kept error
	switch {
	case discard:
	case t != nil:
		c.mu.Lock()
		t.messages = append(t.messages, m)
		c.mu.Unlock()
	case v != nil:
		put, err := addAnswer(v.replica, m)
		if kept = err; err == nil {
			kept = c.keep([]vault.Put{put}, nil)
		}
	}
	if !a.temporary && kept == nil {
		c.host.pending(a.id, nil) // if this fails, the next start finds the message and drops it
	}

	c.mu.Lock()
	delete(c.chats.answers, a.id)
	if kept != nil {
		e := explain(kept)
		c.notice("warn", e.Code, "The answer could not be kept. "+e.Message)
	}
	if code != "" && c.chats.open[a.chat] {
		c.emitFinished(a, code)
	} else {
		c.emitChat(a.chat)
	}
	c.emitChats()
	title := a.first && m.Status == statusComplete && !a.temporary && !discard
	c.mu.Unlock()
	if title {
		c.autoTitle(a)
	}
}

// addAnswer adds a finished answer to the vault. Of one that is too long for a
// record the beginning is kept.
func addAnswer(r *vault.Replica, m vault.Message) (vault.Put, error) {
	for {
		put, err := r.AddMessage(m)
		if !errors.Is(err, vault.ErrTooLarge) || m.Text == "" {
			return put, err
		}
		m.Reasoning = ""
		m.Text = strings.ToValidUTF8(m.Text[:len(m.Text)/2], "")
		m.Status, m.Error = statusFailed, "This answer is too long to keep, so only its beginning is here. Ask for it in parts."
	}
}

// emitFinished tells the page about a chat whose message a ended with an error,
// with the error's code, which the vault doesn't keep. c.mu is held.
func (c *core) emitFinished(a *answer, code string) {
	v, err := c.view(a.chat)
	if err != nil {
		return
	}
	for i := range v.Messages {
		if v.Messages[i].ID == a.id {
			v.Messages[i].ErrorCode = code
		}
	}
	c.host.emit(map[string]any{"t": "chat", "view": v})
}

// stop stops the answers of a chat at the engine. What came is kept.
func (c *core) stop(_ context.Context, a chatArgs) (none, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, an := range c.chats.answers {
		if an.chat != a.Chat {
			continue
		}
		if an.status == statusReconnecting && an.pending != nil {
			p, cl := *an.pending, c.trust.client
			go func() {
				ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
				defer cancel()
				cl.Cancel(ctx, p) // out of reach, it ends by itself
			}()
		}
		an.stop(errStopped)
	}
	return none{}, nil
}

// wake tells all waiting answers that the page or the network is back, and
// checks machines that couldn't be reached again.
func (c *core) wake(context.Context) (none, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cl := c.trust.client; cl != nil && cl.Status().State == client.StateUnknown {
		go cl.Verify(context.Background()) // OnStatus hears of the outcome
	}
	for _, a := range c.chats.answers {
		select {
		case a.wake <- struct{}{}:
		default:
		}
	}
	return none{}, nil
}
