// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/engine"
	"github.com/sotto-chat/sotto/engine/builtin/gguf/gguftest"
	"github.com/sotto-chat/sotto/test/llamaserver"
)

// modelFile writes a random model whose answers are long.
func modelFile(t *testing.T, m gguftest.Tiny) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tiny.gguf")
	if err := os.WriteFile(file, m.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func do(t *testing.T, e engine.Engine, path, body string) (*engine.Response, string, *engine.Error) {
	t.Helper()
	res, err := e.Do(context.Background(), &engine.Request{Method: "POST", Path: path, ContentType: "application/json", Body: []byte(body)})
	var refused *engine.Error
	if err != nil {
		if !errors.As(err, &refused) {
			t.Fatalf("%v isn't an *engine.Error", err)
		}
		return nil, "", refused
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b), nil
}

const chatPath = "/v1/chat/completions"

// TestRealServer speaks to a llama-server as one would to any model server.
func TestRealServer(t *testing.T) {
	s := llamaserver.Start(t, modelFile(t, gguftest.Tiny{Context: 1 << 15}), "--slots", "--no-warmup", "--alias", "tiny")
	e, err := engine.Open(engine.Options{Spec: s.URL, APIKey: s.Key})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()

	t.Run("models", func(t *testing.T) {
		list, err := e.Models(context.Background())
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		if list[0].ID != "tiny" || list[0].Context != 1<<15 {
			t.Errorf("%+v", list[0])
		}
	})

	t.Run("stream with usage", func(t *testing.T) {
		res, body, refused := do(t, e, chatPath, `{"messages":[{"role":"user","content":"hi"}],"stream":true,"max_tokens":8,"stream_options":{"include_usage":true},"cache_salt":"x","unheard_of":1}`)
		if refused != nil {
			t.Fatal(refused)
		}
		if res.ContentType != "text/event-stream" || !strings.Contains(body, `"completion_tokens":`) || !strings.HasSuffix(body, "data: [DONE]\n\n") {
			t.Errorf("%s %q", res.ContentType, body)
		}
	})

	t.Run("whole", func(t *testing.T) {
		_, body, refused := do(t, e, chatPath, `{"messages":[{"role":"user","content":"hi"}],"max_tokens":8}`)
		if refused != nil || !json.Valid([]byte(body)) || !strings.Contains(body, `"finish_reason"`) {
			t.Errorf("%v %q", refused, body)
		}
	})

	t.Run("tools", func(t *testing.T) {
		// Whether this template takes tools is the server's to say; either way it
		// is an answer or a sentence.
		_, body, refused := do(t, e, chatPath, `{"messages":[{"role":"user","content":"hi"}],"max_tokens":8,"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{}}}}]}`)
		if refused != nil && refused.Code != engine.CodeToolsRefused {
			t.Errorf("%+v", refused)
		}
		if refused == nil && !json.Valid([]byte(body)) {
			t.Errorf("%q", body)
		}
		t.Logf("%v %.200s", refused, body)
	})

	for _, c := range []struct{ name, path, body, code string }{
		{"context", chatPath, `{"messages":[{"role":"user","content":"` + strings.Repeat("many words ", 20000) + `"}]}`, engine.CodeContextLength},
		{"context, streamed", chatPath, `{"stream":true,"messages":[{"role":"user","content":"` + strings.Repeat("many words ", 20000) + `"}]}`, engine.CodeContextLength},
		{"embeddings", "/v1/embeddings", `{"input":"x"}`, engine.CodeEmbeddingsRefused},
		{"image", chatPath, `{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}]}]}`, engine.CodeImagesRefused},
		{"not JSON", chatPath, `{`, engine.CodeFailed}, // so it says, though it is the client's fault
	} {
		t.Run(c.name, func(t *testing.T) {
			_, body, refused := do(t, e, c.path, c.body)
			if refused == nil || refused.Code != c.code {
				t.Errorf("%+v %.300q", refused, body)
			}
		})
	}

	t.Run("wrong key", func(t *testing.T) {
		stranger, err := engine.Open(engine.Options{Spec: s.URL, APIKey: "wrong"})
		if err != nil {
			t.Fatal(err)
		}
		defer stranger.Close()
		if _, _, refused := do(t, stranger, chatPath, `{"messages":[]}`); refused == nil || refused.Code != engine.CodeUnauthorized {
			t.Errorf("%+v", refused)
		}
	})

	t.Run("stop", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		res, err := e.Do(ctx, &engine.Request{Method: "POST", Path: chatPath, ContentType: "application/json",
			Body: []byte(`{"messages":[{"role":"user","content":"go"}],"stream":true,"max_tokens":100000,"ignore_eos":true,"n_predict":100000}`)})
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if _, err := bufio.NewReader(res.Body).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		busy := func() bool {
			var slots []struct {
				IsProcessing bool `json:"is_processing"`
			}
			s.Call("/slots", nil, &slots)
			return len(slots) == 1 && slots[0].IsProcessing
		}
		if !busy() {
			t.Fatal("the server isn't at work, so stopping it would show nothing")
		}
		cancel()
		began := time.Now()
		for busy() {
			if time.Since(began) > 5*time.Second { // the answer itself would take much longer
				t.Fatal("the server goes on")
			}
			time.Sleep(5 * time.Millisecond)
		}
		t.Logf("idle %v after the stop", time.Since(began).Round(time.Millisecond))
	})
}

// TestTemplateRefusesTools: a chat template's own refusal becomes our sentence.
func TestTemplateRefusesTools(t *testing.T) {
	for _, words := range []string{"This model does not support tools.", "Tools are not supported by this model"} {
		template := "{% if tools %}{{ raise_exception('" + words + "') }}{% endif %}" + gguftest.Template
		s := llamaserver.Start(t, modelFile(t, gguftest.Tiny{Template: template}), "--no-warmup", "--jinja")
		e, err := engine.Open(engine.Options{Spec: s.URL, APIKey: s.Key})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		_, body, refused := do(t, e, chatPath, `{"messages":[{"role":"user","content":"hi"}],"max_tokens":4,"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{}}}}]}`)
		if refused == nil || refused.Code != engine.CodeToolsRefused {
			t.Errorf("%q: %+v %s", words, refused, body)
		}
		if _, _, refused := do(t, e, chatPath, `{"messages":[{"role":"user","content":"hi"}],"max_tokens":4}`); refused != nil {
			t.Errorf("without tools: %+v", refused)
		}
	}
}
