// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/sotto-chat/sotto/client"
)

// maxQuestion bounds what is read from files and standard input.
const maxQuestion = 8 << 20

// ask answers one question.
func (a *app) ask(args []string) error {
	fs := a.flags()
	server := addServerFlags(fs)
	model := fs.String("model", "", "ask the model `M`")
	asJSON := fs.Bool("json", false, "print the answer with all that is known of it, as JSON")
	var files []string
	fs.Func("f", "add the text of `FILE` to the question; - is standard input", func(s string) error {
		files = append(files, s)
		return nil
	})
	rest, err := a.parse(fs, args)
	if err != nil {
		return err
	}
	question, err := a.question(rest, files)
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	c, err := a.connect(ctx, server)
	if err != nil {
		return err
	}
	name, err := pickModel(ctx, c, *model)
	if err != nil {
		c.CloseNow()
		return err
	}
	talk, err := a.newTalk(c, server.url, name)
	if err != nil {
		c.CloseNow()
		return err
	}
	text := a.out
	if *asJSON {
		text = io.Discard
	}
	r := talk.answer(ctx, question, text)
	if *asJSON {
		json.NewEncoder(a.out).Encode(r.document())
	} else if r.text != "" && !strings.HasSuffix(r.text, "\n") {
		fmt.Fprintln(a.out)
	}
	if err := talk.close(); r.err == nil {
		return err
	}
	return r.err
}

// question puts the question together from the arguments, the files, and
// standard input where that is a file or a pipe.
func (a *app) question(words, files []string) (string, error) {
	var parts []string
	if len(words) > 0 {
		parts = append(parts, strings.Join(words, " "))
	}
	stdin := false
	for _, name := range files {
		if name == "-" {
			stdin = true
			continue
		}
		text, err := readText(name)
		if err != nil {
			return "", err
		}
		parts = append(parts, text)
	}
	if stdin || a.inputWaits() {
		text, err := readAllText(a.in, "standard input")
		if err != nil {
			return "", err
		}
		if strings.TrimSpace(text) != "" {
			parts = append(parts, text)
		}
	}
	q := strings.TrimSpace(strings.Join(parts, "\n\n"))
	if q == "" {
		return "", usageError("there is no question", "Try: sotto ask \"What is the capital of Peru?\"")
	}
	return q, nil
}

// inputWaits says whether standard input is a file or a pipe, as in
// "sotto ask 'Sum this up' <notes.txt".
func (a *app) inputWaits() bool {
	st, err := a.in.Stat()
	return err == nil && (st.Mode().IsRegular() || st.Mode()&os.ModeNamedPipe != 0)
}

func readText(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", withHint(err, "")
	}
	defer f.Close()
	return readAllText(f, name)
}

func readAllText(r io.Reader, name string) (string, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxQuestion+1))
	switch {
	case err != nil:
		return "", withHint(fmt.Errorf("%s can’t be read: %w", name, err), "")
	case len(b) > maxQuestion:
		return "", withHint(fmt.Errorf("%s is longer than %d MiB", name, maxQuestion>>20), "Take a part of it.")
	case !utf8.Valid(b) || strings.ContainsRune(string(b), 0):
		return "", withHint(fmt.Errorf("%s is not text", name), "Sotto takes text files in UTF-8.")
	}
	return string(b), nil
}

// A talk is a conversation with one model, of which "sotto ask" has one turn.
type talk struct {
	a        *app
	c        *client.Client
	model    string
	salt     string
	messages []client.ChatMessage
	history  *historyChat // nil where nothing is kept
}

func (a *app) newTalk(c *client.Client, server, model string) (*talk, error) {
	t := &talk{a: a, c: c, model: model, salt: client.NewCacheSalt()}
	var err error
	t.history, err = a.openHistoryChat(server, t)
	return t, err
}

// reply is what came of one question.
type reply struct {
	text      string
	reasoning string
	stream    *client.ChatStream // nil if no answer began
	stopped   bool
	err       error
}

// answer asks question and writes the answer to w as it comes. What came is in
// the reply, whatever ended it.
func (t *talk) answer(ctx context.Context, question string, w io.Writer) reply {
	t.messages = append(t.messages, client.ChatMessage{Role: "user", Content: question})
	r := t.stream(ctx, w)
	if errors.Is(r.err, context.Canceled) {
		r.stopped = true
	}
	if r.text != "" {
		t.messages = append(t.messages, client.ChatMessage{Role: "assistant", Content: r.text})
	} else {
		t.messages = t.messages[:len(t.messages)-1] // an unanswered question would confuse the next one
	}
	t.history.add(question, t.salt, t.model, r)
	return r
}

func (t *talk) stream(ctx context.Context, w io.Writer) (r reply) {
	var text, reasoning strings.Builder
	defer func() { r.text, r.reasoning = text.String(), reasoning.String() }()
	r.stream, r.err = t.c.Chat(ctx, client.ChatRequest{
		Model: t.model, Messages: t.messages, CacheSalt: t.salt,
	}, client.Options{Resume: true})
	if r.err != nil {
		return r
	}
	defer r.stream.Close()
	terminal := isTerminal(w)
	for {
		d, err := r.stream.Next()
		if err == io.EOF {
			return r
		}
		if err != nil {
			r.err = err
			return r
		}
		reasoning.WriteString(d.Reasoning)
		if d.Text == "" {
			t.a.sayOnce("thinking…")
			continue
		}
		text.WriteString(d.Text)
		if terminal {
			d.Text = plain(d.Text)
		}
		if _, err := io.WriteString(w, d.Text); err != nil {
			r.err = withHint(fmt.Errorf("the answer can’t be written: %w", err), "")
			return r
		}
	}
}

// close ends the conversation: it saves what is still to be saved and lets the
// padding after the last answer, or a cancellation, get out.
func (t *talk) close() error {
	err := t.history.close()
	t.c.Close()
	return err
}

// document is the reply for --json.
func (r reply) document() any {
	doc := struct {
		Answer    string          `json:"answer"`
		Reasoning string          `json:"reasoning,omitempty"`
		Model     string          `json:"model,omitempty"`
		Finish    string          `json:"finish_reason,omitempty"`
		Usage     *client.Usage   `json:"usage,omitempty"`
		Stopped   bool            `json:"stopped,omitempty"`
		Error     string          `json:"error,omitempty"`
		Code      string          `json:"code,omitempty"`
		Receipt   *client.Receipt `json:"receipt,omitempty"`
	}{Answer: r.text, Reasoning: r.reasoning, Stopped: r.stopped}
	if r.stream != nil {
		doc.Model, doc.Finish, doc.Usage, doc.Receipt = r.stream.Model, r.stream.FinishReason, r.stream.Usage, &r.stream.Receipt
	}
	if r.err != nil && !r.stopped {
		s := client.Explain(r.err)
		doc.Error, doc.Code = s.String(), s.Code
	}
	return doc
}
