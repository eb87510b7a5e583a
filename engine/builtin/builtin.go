// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package builtin is the engine inside the program: it runs a small
// Llama-shaped GGUF file in plain Go and answers the OpenAI requests that such a
// model can answer, so that one command is enough on a laptop with no network.
//
// It is made of four parts, each a package of its own: gguf reads the file,
// tokenizer and jinja turn a conversation into the model's tokens, llama
// computes what comes next. This package adds sampling, stop sequences and the
// shape of the answers. What it can't do (tools, images, embeddings) it refuses
// in so many words.
//
// A conversation is in memory while it is answered, and nowhere after.
package builtin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sotto-chat/sotto/engine"
	"github.com/sotto-chat/sotto/engine/builtin/gguf"
	"github.com/sotto-chat/sotto/engine/builtin/jinja"
	"github.com/sotto-chat/sotto/engine/builtin/llama"
	"github.com/sotto-chat/sotto/engine/builtin/model"
	"github.com/sotto-chat/sotto/engine/builtin/tokenizer"
)

const (
	maxFile    = 2 << 30 // bytes of a model file
	maxRunning = 2       // conversations computed at once
	maxWaiting = 64      // and waiting for their turn
)

// DemoID is what a request's "model" says to reach the embedded model.
const DemoID = "sotto-demo"

// A Runner is an engine.Engine over one GGUF file.
type Runner struct {
	info     engine.Model
	name     string // for people; it contains "demo" when demo is set
	demo     bool   // the embedded model, which only shows that everything works
	created  int64  // Unix seconds
	model    *llama.Model
	vocab    *tokenizer.Vocab
	template *jinja.Template // nil when the file has none
	defaults sampling

	turns            chan struct{} // holds a token for each conversation being computed
	running, waiting atomic.Int32
}

// Open opens the runner on a GGUF file, or on the embedded demo model when file
// is "". It has the form that engine.Options.Builtin wants.
func Open(ctx context.Context, file string) (engine.Engine, error) {
	if file == "" {
		r, err := New(model.GGUF, DemoID)
		if err != nil {
			return nil, fmt.Errorf("the built-in model: %w", err)
		}
		r.demo, r.name = true, "Built-in demo"
		return r, nil
	}
	b, err := readFile(file)
	if err != nil {
		return nil, err
	}
	r, err := New(b, strings.TrimSuffix(filepath.Base(file), filepath.Ext(file)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w; install llama-server to run it", file, err)
	}
	return r, nil
}

func readFile(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s isn't a file", file)
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s is too large for the built-in runner: install llama-server to run it", file)
	}
	b := make([]byte, info.Size())
	if _, err := io.ReadFull(f, b); err != nil {
		return nil, err
	}
	return b, nil
}

// New makes a runner from the bytes of a GGUF file, which it keeps referring to.
// id is what requests will call the model.
func New(file []byte, id string) (*Runner, error) {
	f, err := gguf.Parse(file)
	if err != nil {
		return nil, err
	}
	m, err := llama.New(f)
	if err != nil {
		return nil, err
	}
	v, err := tokenizer.New(f)
	if err != nil {
		return nil, err
	}
	if v.Len() != m.Vocab {
		return nil, fmt.Errorf("the vocabulary has %d tokens but the model %d", v.Len(), m.Vocab)
	}
	sum := sha256.Sum256(file)
	r := &Runner{
		info: engine.Model{
			ID: id, Digest: "sha256:" + hex.EncodeToString(sum[:]), Context: m.Context,
		},
		name:    f.String("general.name"),
		created: time.Now().Unix(),
		model:   m, vocab: v, defaults: fileSampling(f),
		turns: make(chan struct{}, maxRunning),
	}
	if r.name == "" || len(r.name) > 100 {
		r.name = id
	}
	if source := f.String("tokenizer.chat_template"); source != "" {
		if r.template, err = jinja.Parse(source); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Name is what a terminal shows.
func (r *Runner) Name() string {
	if r.demo {
		return "built-in demo model"
	}
	return "built-in runner with " + r.info.ID
}

// Models returns the one model.
func (r *Runner) Models(context.Context) ([]engine.Model, error) {
	return []engine.Model{r.info}, nil
}

// Close does nothing: a runner is only memory.
func (r *Runner) Close() error { return nil }

// Do answers a request; see engine.Engine.
func (r *Runner) Do(ctx context.Context, req *engine.Request) (*engine.Response, error) {
	if err := engine.Check(req); err != nil {
		return nil, err
	}
	switch {
	case req.Method == "GET":
		return r.list(req.Path)
	case req.Path == "/v1/chat/completions":
		return respond(r.chat(ctx, req.Body))
	case req.Path == "/v1/completions":
		return respond(r.completion(ctx, req.Body))
	case req.Path == "/v1/embeddings":
		return nil, &engine.Error{Status: 400, Type: invalid, Code: engine.CodeEmbeddingsRefused,
			Message: "The built-in runner makes no embeddings: connect a model server that does."}
	}
	return nil, &engine.Error{Status: 404, Type: invalid, Code: engine.CodeUnsupported,
		Message: "The built-in runner only chats: ask /v1/chat/completions, or connect a model server that can do this."}
}

const invalid = "invalid_request_error"

// respond keeps a nil *engine.Error from becoming an error that isn't nil.
func respond(res *engine.Response, err *engine.Error) (*engine.Response, error) {
	if err != nil {
		return nil, err
	}
	return res, nil
}

// takeTurn waits until a conversation may be computed. The returned function
// gives the turn back.
func (r *Runner) takeTurn(ctx context.Context) (giveBack func(), err *engine.Error) {
	if r.waiting.Add(1) > maxWaiting {
		r.waiting.Add(-1)
		return nil, &engine.Error{Status: 503, Type: "server_error", Code: engine.CodeBusy, RetryAfter: 5 * time.Second,
			Message: "Too many people are asking at once: wait a moment and try again."}
	}
	defer r.waiting.Add(-1)
	select {
	case r.turns <- struct{}{}:
		r.running.Add(1)
		return func() {
			r.running.Add(-1)
			<-r.turns
		}, nil
	case <-ctx.Done():
		return nil, stopped()
	}
}

func stopped() *engine.Error {
	return &engine.Error{Status: 499, Type: "server_error", Code: engine.CodeStopped, Message: "The answer was stopped."}
}

// prompt renders a conversation and returns its tokens.
func (r *Runner) prompt(messages []any) ([]int32, *engine.Error) {
	if r.template == nil {
		return nil, &engine.Error{Status: 400, Type: invalid, Code: engine.CodeUnsupported,
			Message: "This model file has no chat template, so it can't chat: use /v1/completions, or a model made for chat."}
	}
	text, err := r.template.Render(templateValues(messages, r.vocab.Text(r.vocab.BOS), r.vocab.Text(r.vocab.EOS)))
	if err != nil {
		e := &engine.Error{Status: 400, Type: invalid, Code: engine.CodeInvalidRequest, Param: "messages"}
		var raised *jinja.Raised
		if errors.As(err, &raised) {
			e.Message = "The model's chat template refuses this conversation: " + raised.Message + "."
		} else {
			e.Message = "The model's chat template can't take this conversation; install llama-server to run this model."
		}
		return nil, e
	}
	return r.tokens(text)
}

// templateValues are the names that a chat template may use: those of
// transformers, and what llama-server adds.
func templateValues(messages []any, bos, eos string) map[string]any {
	now := time.Now()
	return map[string]any{
		"messages": messages, "add_generation_prompt": true, "bos_token": bos, "eos_token": eos,
		"enable_thinking": true, "date_string": now.Format("02 Jan 2006"), "datetime": now.Format("Jan 02 2006"),
	}
}

// tokens encodes a prompt, begun by BOS once, and checks that there is room for
// an answer.
func (r *Runner) tokens(text string) ([]int32, *engine.Error) {
	var ids []int32
	if !r.hopeless(len(text)) {
		if bos := r.vocab.Text(r.vocab.BOS); r.vocab.AddBOS {
			text = strings.TrimPrefix(text, bos)
			ids = append(ids, int32(r.vocab.BOS))
		}
		ids = append(ids, r.vocab.Encode(text, true)...)
	}
	if len(ids) == 0 && text == "" {
		return nil, &engine.Error{Status: 400, Type: invalid, Code: engine.CodeInvalidRequest, Message: "There is nothing to answer: the prompt is empty."}
	}
	if len(ids) == 0 || len(ids) >= r.model.Context {
		return nil, r.tooLong()
	}
	return ids, nil
}

// hopeless reports whether a text of n bytes can't fit, whatever its tokens are.
func (r *Runner) hopeless(n int) bool {
	const longestToken = 256
	return n > r.model.Context*longestToken
}

func (r *Runner) tooLong() *engine.Error {
	return &engine.Error{Status: 400, Type: invalid, Code: engine.CodeContextLength, Param: "messages",
		Message: fmt.Sprintf("This conversation is longer than the model can take in (%d tokens): start a new chat, or leave out some of it.", r.model.Context)}
}
