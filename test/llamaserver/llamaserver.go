// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package llamaserver gives tests a real llama-server: the program that
// build.sh makes, started on a model file, on loopback, with a key.
//
// Where it hasn't been built, package needs decides about the test.
package llamaserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/test/needs"
)

// version must be build.sh's.
const version = "0.5.0-node3.22.1"

// Dir returns the folder that build.sh fills: llama-server, its libraries,
// vocab/ (tokenizer files with expected tokens) and templates/ (chat templates).
// It skips or fails the test when the folder isn't there.
func Dir(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(root(t), ".cache", "llama-server", version)
	if _, err := os.Stat(filepath.Join(dir, "llama-server")); err != nil {
		needs.Missing(t, "llama-server: run test/llamaserver/build.sh")
	}
	return dir
}

// root is the folder of the module, above the one that the test runs in. Where this
// file was compiled says nothing of it: builds leave that out.
func root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("the test runs outside the module")
		}
		dir = up
	}
}

// Program returns the path of the llama-server program; see [Dir] for where it is missing.
func Program(t testing.TB) string {
	t.Helper()
	return filepath.Join(Dir(t), "llama-server")
}

// A Server is a llama-server that lives as long as its test.
type Server struct {
	URL string // "http://127.0.0.1:port"
	Key string // its API key
	t   testing.TB
}

// Start runs llama-server on a GGUF file, single-threaded and with a single
// slot unless args say otherwise, and waits until it can answer.
func Start(t testing.TB, model string, args ...string) *Server {
	t.Helper()
	program := Program(t)
	var complaints string
	for range 3 { // the free port may be taken before the server gets it
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := l.Addr().(*net.TCPAddr)
		l.Close()
		s := &Server{URL: "http://" + addr.String(), Key: "test-key", t: t}
		all := append([]string{
			"--model", model, "--host", "127.0.0.1", "--port", fmt.Sprint(addr.Port), "--api-key", s.Key,
			"--threads", "1", "--parallel", "1", "--offline", "--no-ui", "--cache-ram", "0", "--log-verbosity", "1",
		}, args...)
		if complaints, err = s.run(program, all); err == nil {
			return s
		}
	}
	t.Fatalf("llama-server doesn't start: %s", complaints)
	return nil
}

func (s *Server) run(program string, args []string) (complaints string, err error) {
	var out lockedBuffer
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return "", err
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	stop := func() { cmd.Process.Kill(); <-ended }
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		select {
		case <-ended:
			return out.String(), errors.New("ended early")
		default:
		}
		res, err := http.Get(s.URL + "/health")
		if err != nil {
			continue
		}
		res.Body.Close()
		if res.StatusCode == http.StatusOK {
			s.t.Cleanup(stop)
			return "", nil
		}
	}
	stop()
	return out.String(), errors.New("not ready within a minute")
}

// Call posts a JSON document, or gets when in is nil, and decodes the answer
// into out. It returns the HTTP status.
func (s *Server) Call(path string, in, out any) int {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	method, body := "GET", io.Reader(nil)
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			s.t.Fatal(err)
		}
		method, body = "POST", bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.URL+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.Key)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if out != nil {
		if err := json.Unmarshal(b, out); err != nil {
			s.t.Fatalf("%s: %v in %.300s", path, err, b)
		}
	}
	return res.StatusCode
}

// Tokenize returns the server's tokens of a text.
func (s *Server) Tokenize(text string, addSpecial, parseSpecial bool) []int {
	s.t.Helper()
	var out struct {
		Tokens []int `json:"tokens"`
	}
	s.Call("/tokenize", map[string]any{"content": text, "add_special": addSpecial, "parse_special": parseSpecial}, &out)
	return out.Tokens
}

// Greedy returns the tokens that the server finds most likely after a prompt
// of tokens, at most n of them.
func (s *Server) Greedy(prompt []int, n int) []int {
	s.t.Helper()
	var out struct {
		Tokens []int `json:"tokens"`
	}
	status := s.Call("/completion", map[string]any{
		"prompt": prompt, "n_predict": n, "temperature": 0, "top_k": 1, "return_tokens": true, "cache_prompt": false,
		"samplers": []string{"top_k"}, "repeat_penalty": 1.0,
	}, &out)
	if status != http.StatusOK {
		s.t.Fatalf("completion: status %d", status)
	}
	return out.Tokens
}

// LogProbs returns the natural logarithms of the probabilities of the n most
// likely tokens after a prompt; nothing when the most likely ends the answer.
func (s *Server) LogProbs(prompt []int, n int) map[int]float64 {
	s.t.Helper()
	var out struct {
		Steps []struct {
			Top []struct {
				ID      int     `json:"id"`
				LogProb float64 `json:"logprob"`
			} `json:"top_logprobs"`
		} `json:"completion_probabilities"`
	}
	s.Call("/completion", map[string]any{"prompt": prompt, "n_predict": 1, "n_probs": n, "temperature": 0, "top_k": 1, "cache_prompt": false, "samplers": []string{"top_k"}}, &out)
	probs := map[int]float64{}
	for _, step := range out.Steps {
		for _, t := range step.Top {
			probs[t.ID] = t.LogProb
		}
	}
	return probs
}

// lockedBuffer collects what the server says while the test looks at it.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
