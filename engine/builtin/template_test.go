// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sotto-chat/sotto/engine/builtin/gguf/gguftest"
	"github.com/sotto-chat/sotto/engine/builtin/jinja"
	"github.com/sotto-chat/sotto/test/llamaserver"
)

// different lists the templates whose result isn't the server's, and why.
var different = map[string]string{
	"Apertus-8B-Instruct.jinja":                  "the server turns thinking off for it",
	"ByteDance-Seed-OSS.jinja":                   "its mappings have numbers for keys",
	"StepFun3.5-Flash.jinja":                     "the server trims the messages for it",
	"deepseek-ai-DeepSeek-V4-Flash-0731.jinja":   "the server has code of its own for it",
	"deepseek-ai-DeepSeek-V4.jinja":              "the server has code of its own for it",
	"fireworks-ai-llama-3-firefunction-v2.jinja": "it needs functions to be given",
	"google-gemma-2-2b-it.jinja":                 "it refuses system messages, which the server moves to the user's",
	"meetkai-functionary-medium-v3.1.jinja":      "it loops over none, which Jinja2 refuses too",
	"tencent-Hy3.jinja":                          "it uses str.format",
}

// TestTemplatesSameAsLlamaServer renders the chat templates of llama.cpp's
// collection, which are those of published models.
func TestTemplatesSameAsLlamaServer(t *testing.T) {
	dir := filepath.Join(llamaserver.Dir(t), "templates")
	files, err := filepath.Glob(filepath.Join(dir, "*.jinja"))
	if err != nil {
		t.Fatal(err)
	}
	model := filepath.Join(t.TempDir(), "model.gguf")
	if err := os.WriteFile(model, gguftest.Tiny{Dim: 32, Layers: 1}.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if len(files) < 60 {
		t.Fatalf("only %d templates in %s", len(files), dir)
	}
	for _, f := range files {
		if _, ok := different[filepath.Base(f)]; ok {
			continue
		}
		t.Run(filepath.Base(f), func(t *testing.T) {
			source, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			tmpl, err := jinja.Parse(string(source))
			if err != nil {
				t.Fatal(err)
			}
			s := llamaserver.Start(t, model, "--chat-template-file", f, "--jinja", "--no-warmup")
			for _, c := range conversations {
				var list []any
				for _, m := range c {
					d := jinja.NewDict()
					d.Set("role", m["role"])
					d.Set("content", m["content"])
					list = append(list, d)
				}
				got, err := tmpl.Render(templateValues(list, "<s>", "</s>"))
				var out struct{ Prompt string }
				status := s.Call("/apply-template", map[string]any{"messages": c}, &out)
				if err != nil {
					if status == 200 {
						t.Errorf("%v but the server gave %q", err, out.Prompt)
					}
					continue
				}
				if got != out.Prompt && got != "<s>"+out.Prompt {
					t.Errorf("\n got %q\nwant %q (%d)", got, out.Prompt, status)
				}
			}
		})
	}
}

var conversations = [][]map[string]any{
	{{"role": "user", "content": "Hi there"}},
	{{"role": "user", "content": "One"}, {"role": "assistant", "content": "Two"}, {"role": "user", "content": "Three"}},
	{{"role": "system", "content": "Be brief."}, {"role": "user", "content": " What's up? \n"}, {"role": "assistant", "content": "The sky.\n"}, {"role": "user", "content": "And <down>?"}},
}
