// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package sdk_test runs the official OpenAI library for Go, unmodified: against
// the program "sotto proxy", and through client/nethttp without a proxy.
package sdk_test

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/software"
	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/client/nethttp"
	"github.com/sotto-chat/sotto/test/testservice"
)

// throughProxy builds and runs "sotto proxy" and returns what makes the library
// use it.
func throughProxy(t *testing.T, server string, args ...string) []option.RequestOption {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "sotto")
	if out, err := exec.Command("go", "build", "-o", program, "github.com/sotto-chat/sotto/cmd/sotto").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(program, append([]string{"proxy", "-listen", "127.0.0.1:0", "-server", server}, args...)...)
	cmd.Env = append(os.Environ(), "SOTTO_CONFIG_DIR="+dir)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 130 {
			t.Errorf("sotto proxy ended with %d", code)
		}
	})
	lines := bufio.NewScanner(stderr)
	value := func(name string) string {
		if !lines.Scan() || !strings.HasPrefix(lines.Text(), "export "+name+"=") {
			t.Fatalf("sotto proxy said %q, want %s", lines.Text(), name)
		}
		return strings.TrimPrefix(lines.Text(), "export "+name+"=")
	}
	return []option.RequestOption{
		option.WithBaseURL(value("OPENAI_BASE_URL")), option.WithAPIKey(value("OPENAI_API_KEY")), option.WithMaxRetries(0),
	}
}

// throughTransport makes the library talk through a client of its own.
func throughTransport(c *client.Client) []option.RequestOption {
	return []option.RequestOption{
		option.WithBaseURL("http://sotto/v1"), option.WithAPIKey("none"), option.WithMaxRetries(0),
		option.WithHTTPClient(&http.Client{Transport: &nethttp.RoundTripper{Client: c}}),
	}
}

func ask(text string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model: "test", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(text)},
	}
}

func TestOpenAIGo(t *testing.T) {
	s := testservice.Start(t, testservice.Options{Nodes: 2})
	c := s.NewClient(client.Config{})
	defer c.CloseNow()
	for name, options := range map[string][]option.RequestOption{
		"proxy":     throughProxy(t, s.URL, "--insecure-software-node"),
		"transport": throughTransport(c),
	} {
		ai := openai.NewClient(options...)
		t.Run(name+"/whole", func(t *testing.T) {
			a, err := ai.Chat.Completions.New(t.Context(), ask("say hello there"))
			if err != nil {
				t.Fatal(err)
			}
			if a.Choices[0].Message.Content != "hello there" || a.Usage.TotalTokens != 7 || a.JSON.ExtraFields["x_unknown"].Raw() != `"kept"` {
				t.Errorf("answer %s", a.RawJSON())
			}
		})
		t.Run(name+"/stream", func(t *testing.T) { testStream(t, ai) })
		t.Run(name+"/tools", func(t *testing.T) { testTools(t, ai) })
		t.Run(name+"/others", func(t *testing.T) { testOthers(t, ai) })
		t.Run(name+"/errors", func(t *testing.T) { testErrors(t, ai) })
		t.Run(name+"/abort", func(t *testing.T) { testAbort(t, ai, s.Upstream) })
	}
}

func testStream(t *testing.T, ai openai.Client) {
	params := ask("count 300")
	params.StreamOptions.IncludeUsage = openai.Bool(true)
	stream := ai.Chat.Completions.NewStreaming(t.Context(), params)
	defer stream.Close()
	var acc openai.ChatCompletionAccumulator
	for stream.Next() {
		if !acc.AddChunk(stream.Current()) {
			t.Fatalf("a chunk doesn't fit: %s", stream.Current().RawJSON())
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := range 300 {
		want = append(want, strconv.Itoa(i+1))
	}
	if acc.Choices[0].Message.Content != strings.Join(want, " ") || acc.Usage.CompletionTokens != 300 || acc.Choices[0].FinishReason != "stop" {
		t.Errorf("accumulated %+v", acc.ChatCompletion)
	}
}

func testTools(t *testing.T, ai openai.Client) {
	params := ask("tools")
	params.Tools = []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(openai.FunctionDefinitionParam{Name: "get_weather"})}
	stream := ai.Chat.Completions.NewStreaming(t.Context(), params)
	defer stream.Close()
	var acc openai.ChatCompletionAccumulator
	for stream.Next() {
		acc.AddChunk(stream.Current())
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	call := acc.Choices[0].Message.ToolCalls[0]
	if call.ID != "call_1" || call.Function.Name != "get_weather" || call.Function.Arguments != `{"city":"Lima"}` {
		t.Errorf("tool call %+v", call)
	}
}

func testOthers(t *testing.T, ai openai.Client) {
	models, err := ai.Models.List(t.Context())
	if err != nil || len(models.Data) != 2 {
		t.Errorf("models %+v, %v", models, err)
	}
	if m, err := ai.Models.Get(t.Context(), "test/other"); err != nil || m.ID != "test/other" {
		t.Errorf("model %+v, %v", m, err)
	}
	e, err := ai.Embeddings.New(t.Context(), openai.EmbeddingNewParams{
		Model: "test", Input: openai.EmbeddingNewParamsInputUnion{OfString: openai.String("x")},
	})
	if err != nil || len(e.Data) != 1 || e.Data[0].Embedding[2] != 1 {
		t.Errorf("embeddings %+v, %v", e, err)
	}
}

func testErrors(t *testing.T, ai openai.Client) {
	status := func(err error) (int, string) {
		var e *openai.Error
		if !errors.As(err, &e) {
			t.Errorf("error %v", err)
			return 0, ""
		}
		return e.StatusCode, e.Code
	}
	absent := ask("x")
	absent.Model = "absent"
	_, err := ai.Chat.Completions.New(t.Context(), absent)
	if n, code := status(err); n != 404 || code != "model_not_found" {
		t.Errorf("absent model: %d %s", n, code)
	}
	_, err = ai.Chat.Completions.New(t.Context(), ask("too long"))
	if n, code := status(err); n != 400 || code != "context_length_exceeded" {
		t.Errorf("too long: %d %s", n, code)
	}
	stream := ai.Chat.Completions.NewStreaming(t.Context(), ask("break off"))
	defer stream.Close()
	text := ""
	for stream.Next() {
		if c := stream.Current().Choices; len(c) > 0 {
			text += c[0].Delta.Content
		}
	}
	if stream.Err() == nil || text != "only this" {
		t.Errorf("broken answer: %q, %v", text, stream.Err())
	}
}

func testAbort(t *testing.T, ai openai.Client, up *testservice.Upstream) {
	before := up.Cancelled.Load()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream := ai.Chat.Completions.NewStreaming(ctx, ask("slow"))
	if !stream.Next() {
		t.Fatal(stream.Err())
	}
	cancel()
	stream.Close()
	deadline := time.Now().Add(5 * time.Second)
	for up.Cancelled.Load() != before+1 {
		if time.Now().After(deadline) {
			t.Fatal("the engine goes on")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestOpenAIGoUnverified(t *testing.T) {
	s := testservice.Start(t, testservice.Options{})

	ai := openai.NewClient(throughProxy(t, s.URL)...)
	_, err := ai.Chat.Completions.New(t.Context(), ask("secret"))
	var e *openai.Error
	if !errors.As(err, &e) || e.StatusCode != 502 || e.Type != "verification_failed" || e.Code != "software_refused" {
		t.Errorf("proxy: %v", err)
	}

	c := client.New(client.Config{Transport: nethttp.New(s.URL), Platforms: []attest.Platform{software.Platform{}}})
	defer c.CloseNow()
	ai = openai.NewClient(throughTransport(c)...)
	_, err = ai.Chat.Completions.New(t.Context(), ask("secret"))
	var nv *client.NotVerifiedError
	if !errors.As(err, &nv) {
		t.Errorf("transport: %v", err)
	}
	if s.Upstream.Requests.Load() != 0 {
		t.Error("something reached the engine")
	}
}
