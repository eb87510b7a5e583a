// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package llamaserver

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/engine"
	"github.com/sotto-chat/sotto/engine/auto"
	"github.com/sotto-chat/sotto/engine/builtin/gguf/gguftest"
	program "github.com/sotto-chat/sotto/test/llamaserver"
	"github.com/sotto-chat/sotto/test/needs"
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

const chatPath = "/v1/chat/completions"

// ask has a chat answered, or refused.
func ask(t *testing.T, e engine.Engine, body string) (*engine.Response, string, *engine.Error) {
	t.Helper()
	res, err := e.Do(context.Background(), &engine.Request{Method: "POST", Path: chatPath, ContentType: "application/json", Body: []byte(body)})
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

func TestStartRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "m.gguf")
	if err := os.WriteFile(file, []byte("GGUF"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]auto.Options{
		"no such program":   {ModelFile: file, LlamaServer: "/no/such/llama-server", Probe: []auto.Probe{}},
		"not a GGUF":        {ModelFile: "llamaserver_test.go", LlamaServer: "true", Probe: []auto.Probe{}},
		"program that ends": {ModelFile: file, LlamaServer: "false", Probe: []auto.Probe{}},
	} {
		o.Child = Start
		if e, err := auto.Open(context.Background(), o); err == nil {
			t.Errorf("%s: opened %s", name, e.Name())
		}
	}
	if e, err := Start(context.Background(), auto.Options{ModelFile: file, LlamaServer: "none"}); e != nil || err != nil {
		t.Errorf("forbidden: %v, %v", e, err)
	}
}

// TestOwnServer starts a llama-server on a file and looks at how it lives.
func TestOwnServer(t *testing.T) {
	file := modelFile(t, gguftest.Tiny{})
	var log bytes.Buffer
	// Nothing in the environment may make the child write prompts down.
	dump := t.TempDir()
	t.Setenv("LLAMA_ARG_LOG_FILE", filepath.Join(dump, "log"))
	t.Setenv("LLAMA_ARG_LOG_VERBOSITY", "9")
	e, err := auto.Open(context.Background(), auto.Options{
		Child: Start, ModelFile: file, LlamaServer: program.Program(t), Probe: []auto.Probe{}, Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	list, err := e.Models(context.Background())
	if err != nil || len(list) != 1 || list[0].ID != "tiny" || len(list[0].Digest) != len("sha256:")+64 || list[0].Context != 256 {
		t.Fatalf("%+v, %v", list, err)
	}
	if e.Name() != "llama.cpp with tiny.gguf" {
		t.Error(e.Name())
	}
	const canary = "zanzibar-8841"
	if _, body, refused := ask(t, e, `{"messages":[{"role":"user","content":"`+canary+`"}],"max_tokens":5,"stream":true}`); refused != nil || !strings.HasSuffix(body, "data: [DONE]\n\n") {
		t.Fatal(refused, body)
	}
	if strings.Contains(log.String(), canary) {
		t.Error("the prompt is in our log")
	}
	if entries, _ := os.ReadDir(dump); len(entries) > 0 {
		t.Errorf("the child wrote %v", entries)
	}

	pid, port := childOf(t, os.Getpid())
	if strings.Contains(commandLine(pid), "api-key") {
		t.Error("the key is on the command line")
	}
	res, err := http.Post(fmt.Sprintf("http://127.0.0.1:%s%s", port, chatPath), "application/json", strings.NewReader(`{"messages":[{"role":"user","content":"x"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusUnauthorized {
		t.Errorf("the child answers a stranger: %d", res.StatusCode)
	}
	e.Close()
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the child is still there: %v", err)
	}
}

// TestOwnServerDiesWithUs: a program that is killed leaves no llama-server behind.
func TestOwnServerDiesWithUs(t *testing.T) {
	if file := os.Getenv("SOTTO_TEST_OWNER"); file != "" { // this is that program
		if _, err := auto.Open(context.Background(), auto.Options{Child: Start, ModelFile: file, LlamaServer: program.Program(t), Probe: []auto.Probe{}}); err != nil {
			t.Fatal(err)
		}
		pid, _ := childOf(t, os.Getpid())
		fmt.Println("child", pid)
		select {}
	}
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells a child of its parent's death")
	}
	program.Dir(t)
	owner := exec.Command(os.Args[0], "-test.run=^TestOwnServerDiesWithUs$", "-test.v")
	owner.Env = append(os.Environ(), "SOTTO_TEST_OWNER="+modelFile(t, gguftest.Tiny{}))
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	pid := 0
	for lines := bufio.NewScanner(out); pid == 0 && lines.Scan(); {
		fmt.Sscanf(lines.Text(), "child %d", &pid)
	}
	owner.Process.Kill()
	owner.Wait()
	if pid == 0 {
		t.Fatal("the other program started no child")
	}
	gone := func() bool {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		return err != nil || bytes.Contains(status, []byte("State:\tZ"))
	}
	for began := time.Now(); !gone(); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			syscall.Kill(pid, syscall.SIGKILL)
			t.Fatal("the child lives on")
		}
	}
}

func TestOwnServerThatCantLoad(t *testing.T) {
	file := filepath.Join(t.TempDir(), "broken.gguf")
	if err := os.WriteFile(file, []byte("GGUF\x03\x00\x00\x00 and then nothing of sense"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := auto.Open(context.Background(), auto.Options{Child: Start, ModelFile: file, LlamaServer: program.Program(t), Probe: []auto.Probe{}})
	if err == nil || !strings.Contains(err.Error(), "couldn't load") {
		t.Error(err)
	}
}

// childOf finds our llama-server and the port on its command line.
func childOf(t *testing.T, parent int) (pid int, port string) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		needs.Missing(t, "/proc")
	}
	for _, entry := range entries {
		id, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		status, _ := os.ReadFile(filepath.Join("/proc", entry.Name(), "status"))
		if !bytes.Contains(status, fmt.Appendf(nil, "\nPPid:\t%d\n", parent)) {
			continue
		}
		args := strings.Split(commandLine(id), "\x00")
		for i, a := range args[:len(args)-1] {
			if a == "--port" {
				return id, args[i+1]
			}
		}
	}
	t.Fatal("there is no child")
	return 0, ""
}

func commandLine(pid int) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return string(b)
}
