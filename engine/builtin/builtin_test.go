// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/engine"
	"github.com/sotto-chat/sotto/engine/builtin/gguf"
	"github.com/sotto-chat/sotto/engine/builtin/gguf/gguftest"
)

func tiny(t testing.TB, m gguftest.Tiny) *Runner {
	t.Helper()
	r, err := New(m.Bytes(), "tiny")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// ask posts a body and returns the answer or the error.
func ask(r *Runner, path, body string) (string, *engine.Error) {
	res, err := r.Do(context.Background(), &engine.Request{Method: "POST", Path: path, Body: []byte(body)})
	if err != nil {
		return "", err.(*engine.Error)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return "", err.(*engine.Error)
	}
	return string(b), nil
}

const chat = "/v1/chat/completions"

type chunk struct {
	ID, Object, Model string
	Choices           []struct {
		Delta, Message struct{ Role, Content string }
		Text           string
		FinishReason   *string `json:"finish_reason"`
	}
	Usage *usage
}

func parseChunks(t *testing.T, body string) (chunks []chunk) {
	t.Helper()
	if !strings.HasSuffix(body, "data: [DONE]\n\n") {
		t.Fatalf("the stream doesn't end with [DONE]: %q", body[max(0, len(body)-200):])
	}
	for event := range strings.SplitSeq(strings.TrimSuffix(body, "data: [DONE]\n\n"), "\n\n") {
		data, ok := strings.CutPrefix(event, "data: ")
		if !ok {
			continue
		}
		var c chunk
		if err := json.Unmarshal([]byte(data), &c); err != nil {
			t.Fatalf("%v in %q", err, data)
		}
		chunks = append(chunks, c)
	}
	return chunks
}

func TestChat(t *testing.T) {
	r := tiny(t, gguftest.Tiny{})
	const question = `"messages":[{"role":"user","content":"Tell me a story"}],"temperature":0,"max_tokens":20`
	whole, err := ask(r, chat, `{`+question+`}`)
	if err != nil {
		t.Fatal(err)
	}
	var w chunk
	if err := json.Unmarshal([]byte(whole), &w); err != nil {
		t.Fatal(err)
	}
	if w.Object != "chat.completion" || w.Model != "tiny" || w.Choices[0].Message.Role != "assistant" || w.Usage == nil ||
		w.Usage.CompletionTokens == 0 || w.Usage.TotalTokens != w.Usage.PromptTokens+w.Usage.CompletionTokens {
		t.Errorf("unexpected answer %s", whole)
	}
	streamed, err := ask(r, chat, `{`+question+`,"stream":true,"stream_options":{"include_usage":true}}`)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	chunks := parseChunks(t, streamed)
	for i, c := range chunks {
		last := i == len(chunks)-1
		if (len(c.Choices) == 0) != last || (c.Usage != nil) != last {
			t.Errorf("chunk %d of %d: %+v", i, len(chunks), c)
		}
		if !last {
			text.WriteString(c.Choices[0].Delta.Content)
			if (c.Choices[0].FinishReason != nil) != (i == len(chunks)-2) {
				t.Errorf("chunk %d has the wrong finish reason", i)
			}
		}
	}
	if chunks[0].Choices[0].Delta.Role != "assistant" {
		t.Error("the first chunk doesn't say who speaks")
	}
	if text.String() != w.Choices[0].Message.Content || text.Len() == 0 {
		t.Errorf("streamed %q but whole %q", text.String(), w.Choices[0].Message.Content)
	}
	if strings.Count(streamed, `"usage":null`) != len(chunks)-1 {
		t.Error("chunks before the last must say usage: null")
	}
}

func TestMaxTokensAndLength(t *testing.T) {
	r := tiny(t, gguftest.Tiny{NoDefault: true, Context: 64, Seed: 9})
	body, err := ask(r, "/v1/completions", `{"prompt":"Once upon a time","max_tokens":3,"temperature":0}`)
	if err != nil {
		t.Fatal(err)
	}
	var c chunk
	if err := json.Unmarshal([]byte(body), &c); err != nil {
		t.Fatal(err)
	}
	if *c.Choices[0].FinishReason != "length" || c.Usage.CompletionTokens != 3 || c.Object != "text_completion" {
		t.Errorf("unexpected answer %s", body)
	}
	// Without an end token, an answer ends where the context does.
	for seed := range 20 {
		body, err = ask(r, "/v1/completions", fmt.Sprintf(`{"prompt":"Once upon a time","max_tokens":1000,"temperature":1.5,"seed":%d}`, seed))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(body), &c); err != nil {
			t.Fatal(err)
		}
		if *c.Choices[0].FinishReason == "length" {
			if c.Usage.TotalTokens != 64+1 { // the last token needn't be fed
				t.Errorf("stopped at %d tokens", c.Usage.TotalTokens)
			}
			return
		}
	}
	t.Error("no answer reached the end of the context")
}

func TestSeed(t *testing.T) {
	r := tiny(t, gguftest.Tiny{})
	get := func(seed string) string {
		body, err := ask(r, chat, `{"messages":[{"role":"user","content":"x"}],"temperature":1.5,"max_tokens":30`+seed+`}`)
		if err != nil {
			t.Fatal(err)
		}
		var c chunk
		if err := json.Unmarshal([]byte(body), &c); err != nil {
			t.Fatal(err)
		}
		return c.Choices[0].Message.Content
	}
	first, again := get(`,"seed":1`), get(`,"seed":1`)
	if first != again {
		t.Error("one seed gave two answers")
	}
	if first == get(`,"seed":2`) && get(`,"seed":3`) == get(`,"seed":4`) {
		t.Error("different seeds gave the same answers")
	}
	free := get(``)
	if next := get(``); free == next && next == get(``) {
		t.Error("answers without a seed don't differ")
	}
}

// TestStop cuts an answer at a sequence that spans tokens, streamed or not, and
// never shows a part of it.
func TestStop(t *testing.T) {
	request := func(rest string) string {
		return `{"messages":[{"role":"user","content":"Tell me a story about a dog."}],"temperature":0,"max_tokens":40` + rest + `}`
	}
	read := func(body string, err *engine.Error) (text string, last chunk) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range parseChunks(t, body) {
			text, last = text+c.Choices[0].Delta.Content, c
		}
		return text, last
	}
	e, err := Open(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	r := e.(*Runner)
	full, _ := read(ask(r, chat, request(`,"stream":true`)))
	if len(full) < 20 {
		t.Fatalf("the demo model says only %q", full)
	}
	for at := 1; at < 15; at++ { // within a token, across two, across three
		stop := full[at : at+5]
		want := full[:strings.Index(full, stop)]
		encoded, _ := json.Marshal([]string{"never said", stop})
		got, last := read(ask(r, chat, request(`,"stream":true,"stop":`+string(encoded))))
		if got != want || *last.Choices[0].FinishReason != "stop" {
			t.Errorf("stopping at %q gave %q of %q", stop, got, full)
		}
	}
}

// TestWholeCharacters: with byte tokens, no chunk ends within a character.
func TestWholeCharacters(t *testing.T) {
	r := tiny(t, gguftest.Tiny{Seed: 5})
	for seed := range 10 {
		body, err := ask(r, chat, fmt.Sprintf(`{"messages":[{"role":"user","content":"go"}],"temperature":2,"seed":%d,"max_tokens":60,"stream":true}`, seed))
		if err != nil {
			t.Fatal(err)
		}
		parseChunks(t, body) // fails on JSON that isn't UTF-8
	}
}

// TestOneBOS: a template that writes the beginning token itself doesn't double it.
func TestOneBOS(t *testing.T) {
	for _, template := range []string{gguftest.Template, "{{ bos_token }}" + gguftest.Template} {
		r := tiny(t, gguftest.Tiny{Template: template})
		m := message{Role: "user", Content: json.RawMessage(`"hi"`)}
		d, _, refused := m.value(0)
		if refused != nil {
			t.Fatal(refused)
		}
		ids, refused := r.prompt([]any{d})
		if refused != nil || ids[0] != int32(r.vocab.BOS) || ids[1] == ids[0] {
			t.Errorf("%v %v", ids, refused)
		}
	}
}

func TestRefusals(t *testing.T) {
	r := tiny(t, gguftest.Tiny{Template: gguftest.Template + "{% if messages|length > 3 %}{{ raise_exception('too many turns') }}{% endif %}"})
	bare := tiny(t, gguftest.Tiny{NoDefault: true})
	user := `"messages":[{"role":"user","content":"x"}]`
	for _, c := range []struct {
		name, path, body, code string
		status                 int
	}{
		{"not JSON", chat, `{`, engine.CodeInvalidRequest, 400},
		{"trailing", chat, `{` + user + `} {}`, engine.CodeInvalidRequest, 400},
		{"wrong type", chat, `{` + user + `,"temperature":"hot"}`, engine.CodeInvalidRequest, 400},
		{"empty", chat, `{"messages":[]}`, engine.CodeInvalidRequest, 400},
		{"other model", chat, `{` + user + `,"model":"gpt-9"}`, engine.CodeModelNotFound, 404},
		{"tools", chat, `{` + user + `,"tools":[{"type":"function"}]}`, engine.CodeToolsRefused, 400},
		{"tool result", chat, `{"messages":[{"role":"tool","content":"x"}]}`, engine.CodeToolsRefused, 400},
		{"tool call", chat, `{"messages":[{"role":"assistant","tool_calls":[{}]}]}`, engine.CodeToolsRefused, 400},
		{"image", chat, `{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}`, engine.CodeImagesRefused, 400},
		{"role", chat, `{"messages":[{"role":"king","content":"x"}]}`, engine.CodeInvalidRequest, 400},
		{"content", chat, `{"messages":[{"role":"user","content":7}]}`, engine.CodeInvalidRequest, 400},
		{"schema", chat, `{` + user + `,"response_format":{"type":"json_object"}}`, engine.CodeUnsupported, 400},
		{"logprobs", chat, `{` + user + `,"logprobs":true}`, engine.CodeUnsupported, 400},
		{"two answers", chat, `{` + user + `,"n":2}`, engine.CodeUnsupported, 400},
		{"penalty", chat, `{` + user + `,"frequency_penalty":0.5}`, engine.CodeUnsupported, 400},
		{"bias", chat, `{` + user + `,"logit_bias":{"5":1}}`, engine.CodeUnsupported, 400},
		{"temperature", chat, `{` + user + `,"temperature":3}`, engine.CodeInvalidRequest, 400},
		{"top_p", chat, `{` + user + `,"top_p":-1}`, engine.CodeInvalidRequest, 400},
		{"max_tokens", chat, `{` + user + `,"max_tokens":0}`, engine.CodeInvalidRequest, 400},
		{"stop", chat, `{` + user + `,"stop":5}`, engine.CodeInvalidRequest, 400},
		{"empty stop", chat, `{` + user + `,"stop":[""]}`, engine.CodeInvalidRequest, 400},
		{"template", chat, `{"messages":[` + strings.Repeat(`{"role":"user","content":"x"},`, 4) + `{"role":"user","content":"x"}]}`, engine.CodeInvalidRequest, 400},
		{"long", chat, `{"messages":[{"role":"user","content":"` + strings.Repeat("word ", 2000) + `"}]}`, engine.CodeContextLength, 400},
		{"very long", chat, `{"messages":[{"role":"user","content":"` + strings.Repeat("word ", 2000000) + `"}]}`, engine.CodeContextLength, 400},
		{"suffix", "/v1/completions", `{"prompt":"x","suffix":"y"}`, engine.CodeUnsupported, 400},
		{"echo", "/v1/completions", `{"prompt":"x","echo":true}`, engine.CodeUnsupported, 400},
		{"prompts", "/v1/completions", `{"prompt":["x","y"]}`, engine.CodeInvalidRequest, 400},
		{"embeddings", "/v1/embeddings", `{"input":"x"}`, engine.CodeEmbeddingsRefused, 400},
		{"responses", "/v1/responses", `{"input":"x"}`, engine.CodeUnsupported, 404},
		{"slots", "/slots", `{}`, engine.CodeUnsupported, 404},
	} {
		_, err := ask(r, c.path, c.body)
		if err == nil {
			t.Errorf("%s: accepted", c.name)
			continue
		}
		if err.Code != c.code || err.Status != c.status || !strings.HasSuffix(err.Message, ".") {
			t.Errorf("%s: %d %s %q", c.name, err.Status, err.Code, err.Message)
		}
	}
	if _, err := ask(bare, chat, `{`+user+`}`); err == nil || err.Code != engine.CodeUnsupported {
		t.Errorf("a file without a template: %v", err)
	}
	for _, body := range []string{
		`{` + user + `,"tools":[],"tool_choice":"none","n":1,"presence_penalty":0,"response_format":{"type":"text"},"stop":null,"cache_salt":"x","max_completion_tokens":2}`,
		`{` + user + `,"tools":[{}],"tool_choice":"none","max_tokens":2}`,
		`{"messages":[{"role":"developer","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},{"role":"assistant","content":null}],"max_tokens":2}`,
	} {
		if _, err := ask(r, chat, body); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// TestCancel: ending the context or closing the body stops the work and lets the
// next conversation in.
func TestCancel(t *testing.T) {
	r := tiny(t, gguftest.Tiny{Context: 4096, Dim: 128, Layers: 4})
	long := []byte(`{"messages":[{"role":"user","content":"go"}],"temperature":2,"stream":true}`)
	for _, how := range []string{"context", "close"} {
		var streams []io.ReadCloser
		ctx, cancel := context.WithCancel(context.Background())
		for range maxRunning { // as many as can run
			res, err := r.Do(ctx, &engine.Request{Method: "POST", Path: chat, Body: long})
			if err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(res.Body).ReadString('\n')
			if err != nil || !strings.HasPrefix(line, "data: ") {
				t.Fatal(line, err)
			}
			streams = append(streams, res.Body)
		}
		// Another one waits, until its own context ends.
		short, stop := context.WithTimeout(context.Background(), 20*time.Millisecond)
		_, err := r.Do(short, &engine.Request{Method: "POST", Path: chat, Body: long})
		stop()
		var e *engine.Error
		if !errors.As(err, &e) || e.Code != engine.CodeStopped {
			t.Fatalf("%s: the one too many got %v", how, err)
		}
		if how == "context" {
			cancel()
		} else {
			for _, s := range streams {
				s.Close()
			}
		}
		res, err := r.Do(context.Background(), &engine.Request{Method: "POST", Path: chat, Body: long})
		if err != nil {
			t.Fatalf("%s: the turn wasn't given back: %v", how, err)
		}
		res.Body.Close()
		if _, err := io.ReadAll(streams[0]); err == nil && how == "context" {
			t.Errorf("%s: a stopped stream ended as if it were whole", how)
		}
		cancel()
	}
}

func TestQueueIsBounded(t *testing.T) {
	r := tiny(t, gguftest.Tiny{})
	for range maxRunning {
		r.turns <- struct{}{}
	}
	ctx, cancel := context.WithCancel(context.Background())
	results := make(chan error)
	body := []byte(`{"messages":[{"role":"user","content":"go"}],"max_tokens":1}`)
	for range maxWaiting {
		go func() {
			_, err := r.Do(ctx, &engine.Request{Method: "POST", Path: chat, Body: body})
			results <- err
		}()
	}
	for r.waiting.Load() < maxWaiting {
		runtime.Gosched()
	}
	_, err := r.Do(ctx, &engine.Request{Method: "POST", Path: chat, Body: body})
	var e *engine.Error
	if !errors.As(err, &e) || e.Code != engine.CodeBusy || e.RetryAfter == 0 {
		t.Errorf("the one too many got %v", err)
	}
	cancel()
	for range maxWaiting {
		<-results
	}
}

func TestModels(t *testing.T) {
	e, err := Open(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	list, err := e.Models(context.Background())
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	m := list[0]
	if !strings.Contains(e.Name(), "demo") || !strings.HasPrefix(m.Digest, "sha256:") || m.Context == 0 {
		t.Errorf("the built-in model is %+v", m)
	}
	for _, path := range []string{"/v1/models", "/v1/models/" + m.ID} {
		res, err := e.Do(context.Background(), &engine.Request{Method: "GET", Path: path})
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		for _, want := range []string{`"owned_by":"` + engine.OwnedBy + `"`, `"demo":true`, `"name":"Built-in demo"`, m.Digest} {
			if !bytes.Contains(b, []byte(want)) {
				t.Errorf("%s lacks %s: %s", path, want, b)
			}
		}
	}
	if _, err := e.Do(context.Background(), &engine.Request{Method: "GET", Path: "/v1/models/other"}); err == nil {
		t.Error("another model was found")
	}
}

func TestOpenFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	e, err := Open(context.Background(), write("my-model.gguf", gguftest.Tiny{Kind: gguf.Q8_0}.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if list, _ := e.Models(context.Background()); list[0].ID != "my-model" || strings.Contains(e.Name(), "demo") {
		t.Errorf("%+v", list[0])
	}
	good := gguftest.Tiny{}.Bytes()
	for name, file := range map[string]string{
		"missing":   filepath.Join(dir, "none"),
		"folder":    dir,
		"text":      write("text", []byte("hello")),
		"cut short": write("cut", good[:len(good)-100]),
		"other architecture": write("other", (&gguftest.Builder{}).Set("general.architecture", "mamba").
			Tensor("token_embd.weight", gguf.F32, make([]float32, 4), 2, 2).Bytes()),
	} {
		if _, err := Open(context.Background(), file); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

func BenchmarkGenerate(b *testing.B) {
	e, err := Open(context.Background(), "")
	if err != nil {
		b.Fatal(err)
	}
	r := e.(*Runner)
	s := r.model.NewSession()
	s.Share = true
	next := []int32{1}
	for b.Loop() {
		if s.Len() == r.model.Context {
			s = r.model.NewSession()
			s.Share = true
		}
		logits, err := s.Feed(context.Background(), next)
		if err != nil {
			b.Fatal(err)
		}
		next = []int32{greedy(logits)}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
}
