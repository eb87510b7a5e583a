// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"unicode/utf8"

	"github.com/sotto-chat/sotto/client"
)

const chatHelp = `Type a message and press Enter. A line that ends with \ goes on in the next.
  /model [M]   say which model answers, or take another
  /new         begin a new chat
  /help        this
  /quit        leave, as do Ctrl-D and Ctrl-C twice
Ctrl-C stops an answer and keeps what came.`

// chat is a conversation, line by line.
func (a *app) chat(args []string) error {
	fs := a.flags()
	server := addServerFlags(fs)
	model := fs.String("model", "", "talk to the model `M`")
	rest, err := a.parse(fs, args)
	if err != nil {
		return err
	}
	if err := a.noArgs(rest); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	// One channel takes every Ctrl-C; what it means depends on what is going on.
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	defer signal.Stop(interrupts)

	t, err := a.openChat(ctx, interrupts, server, *model)
	if err != nil {
		return err
	}
	err = a.converse(ctx, interrupts, t, server.url)
	if closeErr := t.close(); err == nil {
		err = closeErr
	}
	return err
}

// openChat connects; a Ctrl-C meanwhile leaves.
func (a *app) openChat(ctx context.Context, interrupts <-chan os.Signal, server *serverFlags, model string) (*talk, error) {
	ctx, done := untilInterrupt(ctx, interrupts)
	defer done()
	c, err := a.connect(ctx, server)
	if err != nil {
		return nil, err
	}
	name, err := pickModel(ctx, c, model)
	if err == nil {
		var t *talk
		if t, err = a.newTalk(c, server.url, name); err == nil {
			a.say("%s at %s · %s", name, server.url, c.Status().Line)
			a.say("/help lists what you can type here")
			return t, nil
		}
	}
	c.CloseNow()
	return nil, err
}

// converse reads messages and has them answered until the person leaves.
func (a *app) converse(ctx context.Context, interrupts <-chan os.Signal, t *talk, server string) error {
	lines := readLines(a.in)
	leaving := false
	for {
		a.prompt("> ")
		line, err := a.message(lines, interrupts)
		switch {
		case errors.Is(err, context.Canceled):
			a.newline()
			if leaving {
				return err
			}
			leaving = true
			a.say("Ctrl-C again leaves")
			continue
		case err == io.EOF:
			a.newline()
			return nil
		case err != nil:
			return err
		}
		leaving = false
		word, arg, _ := strings.Cut(line, " ")
		switch arg = strings.TrimSpace(arg); {
		case line == "":
		case word == "/quit" || word == "/exit":
			return nil
		case word == "/help":
			fmt.Fprintln(a.err, chatHelp)
		case word == "/model":
			a.changeModel(t, arg)
		case word == "/new":
			if err := t.restart(server); err != nil {
				return err
			}
			a.say("a new chat")
		case strings.HasPrefix(word, "/") && !strings.Contains(word[1:], "/"):
			a.say("there is no command %s; /help lists them", word)
		default:
			a.turn(ctx, interrupts, t, line)
		}
	}
}

// turn has one message answered. Whatever goes wrong, the chat goes on.
func (a *app) turn(ctx context.Context, interrupts <-chan os.Signal, t *talk, message string) {
	ctx, done := untilInterrupt(ctx, interrupts)
	defer done()
	r := t.answer(ctx, message, a.out)
	if r.text != "" && !strings.HasSuffix(r.text, "\n") {
		fmt.Fprintln(a.out)
	}
	switch {
	case r.stopped:
		a.say("stopped")
	case r.err != nil:
		a.exit(r.err)
	case r.stream.FinishReason == "length":
		a.say("the answer reached its longest length; ask it to go on")
	}
}

// changeModel takes another model, or says which there are.
func (a *app) changeModel(t *talk, name string) {
	if name != "" {
		t.model = name
	}
	a.say("model: %s", t.model)
	if name != "" {
		return
	}
	said := map[string]bool{t.model: true}
	for _, v := range t.c.Status().Verdicts {
		for _, m := range v.Models {
			if !said[m.ID] {
				said[m.ID] = true
				a.say("there is also: %s", m.ID)
			}
		}
	}
}

// restart begins a new chat with the same model.
func (t *talk) restart(server string) error {
	if err := t.history.close(); err != nil {
		return err
	}
	t.messages, t.salt = nil, client.NewCacheSalt()
	var err error
	t.history, err = t.a.openHistoryChat(server, t)
	return err
}

// untilInterrupt returns a context that ends with the next interrupt.
func untilInterrupt(ctx context.Context, interrupts <-chan os.Signal) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-interrupts:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// line is what the reader of standard input found.
type line struct {
	text string
	err  error
}

// readLines reads f line by line in the background, so that a Ctrl-C can end
// the waiting. It never waits for more than one line to be taken.
func readLines(f io.Reader) <-chan line {
	out := make(chan line)
	go func() {
		defer close(out)
		s := bufio.NewScanner(f)
		s.Buffer(nil, maxQuestion)
		for s.Scan() {
			out <- line{text: s.Text()}
		}
		if err := s.Err(); err != nil {
			out <- line{err: withHint(fmt.Errorf("the message can’t be read: %w", err), "Send long texts with sotto ask -f FILE.")}
		}
	}()
	return out
}

// message waits for the next message, of one or more lines. io.EOF means that
// there is none, context.Canceled a Ctrl-C.
func (a *app) message(lines <-chan line, interrupts <-chan os.Signal) (string, error) {
	var parts []string
	for {
		select {
		case l, ok := <-lines:
			switch {
			case !ok && len(parts) == 0:
				return "", io.EOF
			case !ok:
				return strings.Join(parts, "\n"), nil
			case l.err != nil:
				return "", l.err
			case !utf8.ValidString(l.text):
				a.say("that line is not text; Sotto takes UTF-8")
				return "", nil
			}
			text, more := strings.CutSuffix(l.text, `\`)
			parts = append(parts, text)
			if !more {
				return strings.TrimSpace(strings.Join(parts, "\n")), nil
			}
			a.prompt(". ")
		case <-interrupts:
			return "", context.Canceled
		}
	}
}

// prompt shows where to type, if somebody types.
func (a *app) prompt(s string) {
	if isTerminal(a.in) {
		fmt.Fprint(a.err, s)
	}
}

func (a *app) newline() { a.prompt("\n") }
