// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"context"
	"io"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/sotto-chat/sotto/engine"
	"github.com/sotto-chat/sotto/engine/builtin/llama"
)

// A generation is one answer being made. It is pulled: step makes one token and
// returns the text that it settles. Text is held back while it could still turn
// out to be the beginning of a stop sequence or half a character.
type generation struct {
	r       *Runner
	j       *job
	session *llama.Session
	next    []int32 // tokens to feed next: the prompt, then one at a time

	made   int    // tokens of the answer
	held   string // text that isn't settled
	begun  bool   // some text has been settled
	finish string // "stop" or "length" once it is over
}

// step makes the next token. It returns the settled text, which may be "".
func (g *generation) step(ctx context.Context) (string, *engine.Error) {
	// Two goroutines for one conversation, one for each of two.
	g.session.Share = g.r.running.Load() < 2
	logits, err := g.session.Feed(ctx, g.next)
	if err != nil {
		if ctx.Err() != nil {
			return "", stopped()
		}
		return "", &engine.Error{Status: 500, Type: "server_error", Code: engine.CodeFailed, Message: "The built-in runner failed. Try again."}
	}
	id := g.j.sampler.draw(logits)
	if g.r.vocab.IsEnd(id) {
		g.finish = "stop"
		return g.settle(true), nil
	}
	g.made++
	g.held += g.r.vocab.Piece(id)
	for _, s := range g.j.stops {
		if i := strings.Index(g.held, s); i >= 0 {
			g.held, g.finish = g.held[:i], "stop"
		}
	}
	if g.finish == "" && (g.made >= g.j.most || g.session.Len() >= g.r.model.Context) {
		g.finish = "length"
	}
	g.next = append(g.next[:0], id)
	return g.settle(g.finish != ""), nil
}

// settle returns what of the held text is certain; at the end, all of it.
func (g *generation) settle(end bool) string {
	n := len(g.held)
	if !end {
		n -= g.unsettled()
	}
	out := g.held[:n]
	g.held = g.held[n:]
	if out != "" && !g.begun && g.j.shape.chat && g.r.vocab.SpacePrefix {
		out = strings.TrimPrefix(out, " ") // the tokenizer's, not the model's
	}
	g.begun = g.begun || g.made > 0 && n > 0
	// Bytes that never became a character become U+FFFD: JSON takes no others.
	return strings.ToValidUTF8(out, "\ufffd")
}

// unsettled is the length of the tail that may be the beginning of a stop
// sequence or of a character.
func (g *generation) unsettled() int {
	tail := 0
	for _, s := range g.j.stops {
		for n := min(len(s)-1, len(g.held)); n > tail; n-- {
			if strings.HasSuffix(g.held, s[:n]) {
				tail = n
				break
			}
		}
	}
	for n := 1; n < utf8.UTFMax && n <= len(g.held); n++ {
		c := g.held[len(g.held)-n:]
		if utf8.RuneStart(c[0]) {
			if !utf8.FullRuneInString(c) {
				tail = max(tail, n)
			}
			break
		}
	}
	return tail
}

func (g *generation) usage() *usage {
	return &usage{PromptTokens: len(g.j.tokens), CompletionTokens: g.made, TotalTokens: len(g.j.tokens) + g.made}
}

// run takes a turn and answers, in one piece or as a stream.
func (r *Runner) run(ctx context.Context, j *job) (*engine.Response, *engine.Error) {
	giveBack, err := r.takeTurn(ctx)
	if err != nil {
		return nil, err
	}
	g := &generation{r: r, j: j, session: r.model.NewSession(), next: append([]int32(nil), j.tokens...)}
	a := newAnswer(r, j)
	if j.stream {
		ctx, cancel := context.WithCancel(ctx)
		s := &stream{ctx: ctx, cancel: cancel, g: g, a: a, giveBack: sync.OnceFunc(giveBack)}
		context.AfterFunc(ctx, s.end)
		return &engine.Response{Status: 200, ContentType: "text/event-stream", Body: s}, nil
	}
	defer giveBack()
	var text strings.Builder
	for g.finish == "" {
		part, err := g.step(ctx)
		if err != nil {
			return nil, err
		}
		text.WriteString(part)
	}
	body := io.NopCloser(strings.NewReader(string(a.whole(text.String(), g.finish, g.usage()))))
	return &engine.Response{Status: 200, ContentType: "application/json", Body: body}, nil
}

// stream is a streamed answer's body. Reading it is what makes the tokens, so a
// reader that stops reading stops the computing.
type stream struct {
	ctx      context.Context
	cancel   context.CancelFunc
	giveBack func()

	mu    sync.Mutex
	g     *generation
	a     *answer
	begun bool
	buf   []byte
	over  bool // nothing more is made
	whole bool // and nothing is missing
}

func (s *stream) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.buf) == 0 && len(p) > 0 {
		if s.whole {
			return 0, io.EOF
		}
		if s.over || s.ctx.Err() != nil {
			return 0, stopped()
		}
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.buf)
	s.buf = s.buf[n:]
	return n, nil
}

// fill puts the next events into buf.
func (s *stream) fill() error {
	if !s.begun {
		s.begun = true
		s.buf = s.a.first(nil)
		return nil
	}
	text, err := s.g.step(s.ctx)
	if err != nil {
		s.over = true
		s.giveBack()
		if err.Code == engine.CodeStopped {
			return err
		}
		s.whole = true
		s.buf = append(append([]byte("data: "), err.JSON()...), "\n\n"...)
		return nil
	}
	s.buf = s.buf[:0]
	if text != "" {
		s.buf = s.a.part(s.buf, text)
	}
	if s.g.finish != "" {
		s.over, s.whole = true, true
		s.buf = s.a.last(s.buf, s.g.finish, s.g.usage())
		s.giveBack()
	}
	return nil
}

// end lets the next conversation in once the step that is under way is done.
func (s *stream) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	s.g = nil
	s.giveBack()
}

func (s *stream) Close() error {
	s.cancel()
	return nil
}
