// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package llamaserver runs a model file in a llama-server of our own: a child
// process on a loopback port that only we have the key to. It is told to write
// nothing down: no log, no slot files, no cache of prompts, no network.
//
// It is apart from package engine so that a program which must start no other
// program can't.
package llamaserver

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"

	"github.com/sotto-chat/sotto/engine"
	"github.com/sotto-chat/sotto/engine/auto"
	"github.com/sotto-chat/sotto/internal/lines"
)

const (
	llamaContext  = 8192 // tokens of a conversation, at most; less where the model has less
	llamaParallel = 2    // an answer and the title that is asked for beside it
	llamaLoadTime = 10 * time.Minute
	llamaStopTime = 3 * time.Second
	llamaAttempts = 3 // a free port may be taken before the child gets it
)

// findLlamaServer returns the program to run, or "" where none is installed.
func findLlamaServer(option string) (string, error) {
	if option == "none" {
		return "", nil
	}
	if option == "" {
		option = os.Getenv("SOTTO_LLAMA_SERVER")
	}
	if option != "" {
		program, err := exec.LookPath(option)
		if err != nil {
			return "", fmt.Errorf("llama-server %q can't be run: %w", option, err)
		}
		return program, nil
	}
	program, err := exec.LookPath("llama-server")
	if err != nil {
		return "", nil // not installed: that's no error
	}
	return program, nil
}

// child is the engine over a llama-server of ours.
type child struct {
	engine.Engine
	base    string
	digest  string // of the file, "sha256:<hex>"
	process *os.Process
	exited  chan struct{} // closed when the process has ended
	closing sync.Once
}

// Start starts a llama-server on o.ModelFile and waits until it has loaded it. It
// has the shape of [auto.Options.Child]: without a llama-server on this machine
// it returns nil and no error.
func Start(ctx context.Context, o auto.Options) (engine.Engine, error) {
	program, err := findLlamaServer(o.LlamaServer)
	if err != nil || program == "" {
		return nil, err
	}
	file, err := filepath.Abs(o.ModelFile)
	if err != nil {
		return nil, err
	}
	if err := looksLikeGGUF(file); err != nil {
		return nil, err
	}
	digest := make(chan string, 1)
	go func() { digest <- fileDigest(file) }() // while the child loads the same file

	options := llamaOptions(ctx, program)
	lines.To(o.Logger).Info("loading the model", lines.Own("file", file), lines.Own("program", program))
	for attempt := 1; ; attempt++ {
		c, err := startChild(ctx, program, file, options, o)
		if err == nil {
			c.digest = <-digest
			return c, nil
		}
		if attempt == llamaAttempts || !errors.Is(err, errPortTaken) {
			return nil, err
		}
	}
}

// Models adds to the server's list what we know of the file.
func (c *child) Models(ctx context.Context) ([]engine.Model, error) {
	list, err := c.Engine.Models(ctx)
	for i := range list {
		list[i].Digest = c.digest
	}
	return list, err
}

var errPortTaken = errors.New("the port was taken")

// startChild starts one process and waits until it has loaded the model.
func startChild(ctx context.Context, program, file string, options map[string]bool, o auto.Options) (*child, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	key := rand.Text()
	name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	args := []string{
		"--model", file, "--alias", name,
		"--host", "127.0.0.1", "--port", fmt.Sprint(port),
		"--parallel", fmt.Sprint(llamaParallel),
	}
	// Memory is taken for all of it at once, so conversations share it where
	// the server knows how.
	if options["--kv-unified"] {
		args = append(args, "--kv-unified", "--ctx-size", fmt.Sprint(llamaContext))
	} else {
		args = append(args, "--ctx-size", fmt.Sprint(llamaContext*llamaParallel))
	}
	// Older servers lack some of these, and lack what they turn off.
	for _, quiet := range [][]string{
		{"--no-slots"},            // nobody can look into a conversation
		{"--no-ui"},               // nor have a page of its own
		{"--no-webui"},            // (its older name)
		{"--cache-ram", "0"},      // no conversation is kept after the next one begins
		{"--no-cache-idle-slots"}, // (nor set aside)
		{"--offline"},             // nothing is fetched
		{"--log-verbosity", "1"},  // errors only, until the log is closed altogether below
	} {
		if options[quiet[0]] && !(quiet[0] == "--no-webui" && options["--no-ui"]) {
			args = append(args, quiet...)
		}
	}

	cmd := exec.Command(program, args...)
	cmd.Env = append(childEnvironment(), "LLAMA_API_KEY="+key) // not an argument: those are public on the machine
	setDeathSignal(cmd)
	// While it loads, its complaints are about the file and worth showing. From
	// the first request on they might quote one, so nobody listens any more.
	complaints := &tail{}
	cmd.Stdout, cmd.Stderr = io.Discard, complaints

	started := make(chan error)
	exited := make(chan struct{})
	go func() {
		// The death signal is tied to the thread that started the child, so this
		// one stays with it until the end.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait()
			close(exited)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("llama-server can't be started: %w", err)
	}
	o.Spec, o.APIKey, o.Name = fmt.Sprintf("http://127.0.0.1:%d", port), key, "llama.cpp with "+filepath.Base(file)
	c := &child{base: o.Spec, process: cmd.Process, exited: exited}
	if c.Engine, err = engine.Open(o.Options); err != nil {
		return nil, err
	}
	if err := c.waitLoaded(ctx, complaints); err != nil {
		c.Close()
		return nil, err
	}
	complaints.mute()
	return c, nil
}

// waitLoaded polls the child's health until it can answer.
func (c *child) waitLoaded(ctx context.Context, complaints *tail) error {
	ctx, cancel := context.WithTimeout(ctx, llamaLoadTime)
	defer cancel()
	direct := &http.Client{ // round any proxy of the environment
		Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second,
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-c.exited:
			said := complaints.String()
			if strings.Contains(said, "bind") {
				return errPortTaken
			}
			return fmt.Errorf("llama-server couldn't load the model: %s", said)
		case <-ctx.Done():
			return fmt.Errorf("llama-server didn't load the model in time: %w", ctx.Err())
		case <-tick.C:
		}
		if !c.healthy(ctx, direct) {
			continue
		}
		// Whoever took the port before the child could would answer too. The
		// child ends when it can't listen, so see that it hasn't.
		select {
		case <-c.exited:
			return errPortTaken
		case <-time.After(100 * time.Millisecond):
			return nil
		}
	}
}

// healthy asks the child, which answers this without a key.
func (c *child) healthy(ctx context.Context, direct *http.Client) bool {
	req, err := http.NewRequestWithContext(ctx, "GET", c.base+"/health", nil)
	if err != nil {
		return false
	}
	res, err := direct.Do(req)
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// Close ends the child: politely, then not.
func (c *child) Close() error {
	c.closing.Do(func() {
		c.Engine.Close()
		c.process.Signal(syscall.SIGTERM)
		select {
		case <-c.exited:
		case <-time.After(llamaStopTime):
			c.process.Kill()
			<-c.exited
		}
	})
	return nil
}

// llamaOptions asks the program which long options it knows. A program that
// can't say is given none of the optional ones.
func llamaOptions(ctx context.Context, program string) map[string]bool {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "--help")
	cmd.Env = childEnvironment()
	out, _ := cmd.Output()
	known := make(map[string]bool)
	for word := range strings.FieldsFuncSeq(string(out), func(r rune) bool { return r == ' ' || r == ',' || r == '\n' || r == '\t' }) {
		if strings.HasPrefix(word, "--") {
			known[word] = true
		}
	}
	return known
}

// childEnvironment is ours without what would change how the child listens,
// logs or stores: llama.cpp reads every option from a variable too.
func childEnvironment() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "LLAMA_") && !strings.HasPrefix(kv, "HF_") && !strings.HasPrefix(kv, "SOTTO_") {
			env = append(env, kv)
		}
	}
	return env
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// looksLikeGGUF says early, and in plain words, that a file is something else.
func looksLikeGGUF(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	var magic [4]byte
	if _, err := io.ReadFull(f, magic[:]); err != nil || string(magic[:]) != "GGUF" {
		return fmt.Errorf("%s isn't a GGUF model file", file)
	}
	return nil
}

// fileDigest is "sha256:<hex>" of a file, or "" when it can't be read.
func fileDigest(file string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return ""
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// tail keeps the last lines that a child complains, until it is muted.
type tail struct {
	mu    sync.Mutex
	b     []byte
	muted bool
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.muted {
		t.b = append(t.b, p...)
		if len(t.b) > 2048 {
			t.b = append(t.b[:0], t.b[len(t.b)-1024:]...)
		}
	}
	return len(p), nil
}

func (t *tail) mute() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b, t.muted = nil, true
}

// String returns what was said last, as one line.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := bytes.Split(bytes.TrimSpace(t.b), []byte("\n"))
	if len(lines) > 3 {
		lines = lines[len(lines)-3:]
	}
	return strings.Join(strings.FieldsFunc(strings.ToValidUTF8(string(bytes.Join(lines, []byte(" "))), ""), func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r)
	}), " ")
}
