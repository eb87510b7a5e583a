// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sotto-chat/sotto/release/releasetest"
)

// TestLogScripts runs the scripts about following a log, against one that can lie.
func TestLogScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "publiclog"),
		Setup: func(env *testscript.Env) error {
			env.Setenv("SOTTO_CONFIG_DIR", filepath.Join(env.WorkDir, "config"))
			l := &lyingLog{World: releasetest.New("publiclog"), witnesses: 3, hooks: filepath.Join(env.WorkDir, "hooks")}
			s := httptest.NewServer(l)
			env.Defer(s.Close)
			env.Setenv("LOG", s.URL)
			env.Values[lyingLogKey{}] = l
			pin, err := json.Marshal(l.Pin)
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(env.WorkDir, "pin.json"), pin, 0o644)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":     exitsCommand,
			"publiclog": lyingLogCommand,
			"waitfor":   waitForLine,
		},
	})
}

type lyingLogKey struct{}

// lyingLog is a log that does what it is told, and the webhook beside it.
type lyingLog struct {
	mu sync.Mutex
	*releasetest.World
	witnesses int
	age       int64 // seconds since the witnesses cosigned
	off       bool
	fails     int // posts to the webhook that fail from now on
	hooks     string
}

func (l *lyingLog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	size := int64(len(l.Entries))
	switch {
	case r.Method == "POST" && r.URL.Path == "/hook":
		if l.fails > 0 {
			l.fails--
			w.WriteHeader(500)
			return
		}
		b, _ := io.ReadAll(r.Body)
		f, err := os.OpenFile(l.hooks, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			panic(err)
		}
		defer f.Close()
		f.Write(b)
	case l.off:
		w.WriteHeader(502)
	case r.URL.Path == "/checkpoint":
		w.Write(l.Checkpoint(size, time.Now().Unix()-l.age, l.witnesses))
	case r.URL.Path == fmt.Sprintf("/tile/entries/000.p/%d", size):
		for _, e := range l.Entries {
			w.Write(append([]byte{byte(len(e) >> 8), byte(len(e))}, e...))
		}
	default:
		w.WriteHeader(404)
	}
}

// publiclog WHAT [N|TEXT] makes the log do something.
func lyingLogCommand(ts *testscript.TestScript, neg bool, args []string) {
	l := ts.Value(lyingLogKey{}).(*lyingLog)
	l.mu.Lock()
	defer l.mu.Unlock()
	if neg || len(args) == 0 {
		ts.Fatalf("usage: publiclog what ...")
	}
	n := 0
	if len(args) > 1 {
		n, _ = strconv.Atoi(args[1])
	}
	switch args[0] {
	case "publish":
		l.Publish(args[1], nil)
	case "raw":
		l.Add([]byte(args[1]))
	case "unsigned":
		l.Add(l.Sign(l.Manifest(args[1]), 1))
	case "fork": // the last entry was another one all along
		l.Entries = l.Entries[:len(l.Entries)-1]
		l.Publish(args[1], nil)
	case "drop":
		l.Entries = l.Entries[:len(l.Entries)-n]
	case "witnesses":
		l.witnesses = n
	case "age":
		l.age = int64(n)
	case "off":
		l.off = true
	case "on":
		l.off = false
	case "hookfails":
		l.fails = n
	default:
		ts.Fatalf("publiclog can't %s", args[0])
	}
}

// waitfor FILE TEXT waits until a file has a text in it.
func waitForLine(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: waitfor file text")
	}
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		b, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && strings.Contains(string(b), args[1]) {
			return
		}
	}
	ts.Fatalf("%s never had %q in it", args[0], args[1])
}
