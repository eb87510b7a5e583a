// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sotto-chat/sotto/release/releasetest"
	"github.com/sotto-chat/sotto/tlog"
)

// waitfor FILE REGEXP NAME waits until the file has a line that matches and sets
// the environment variable NAME to what the group matched.
func waitFor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: waitfor file regexp name")
	}
	re, err := regexp.Compile(args[1])
	ts.Check(err)
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		b, err := os.ReadFile(ts.MkAbs(args[0]))
		if err != nil {
			continue
		}
		if m := re.FindSubmatch(b); m != nil {
			ts.Setenv(args[2], string(m[1]))
			return
		}
	}
	ts.Fatalf("%s never matched %q:\n%s", args[0], args[1], ts.ReadFile(args[0]))
}

// waitcheckpoint URL waits until a log shows a checkpoint.
func waitCheckpoint(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: waitcheckpoint url")
	}
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if resp, err := http.Get(args[0]); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
	}
	ts.Fatalf("%s never showed a checkpoint", args[0])
}

// releasekey NAME… makes keys that sign releases: NAME.key, and NAME.vkey with the
// public half.
func releaseKey(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: releasekey name...")
	}
	for _, name := range args {
		s, err := tlog.GenerateSigner(name + ".example")
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(name+".key"), []byte(s.Secret()), 0o600))
		ts.Check(os.WriteFile(ts.MkAbs(name+".vkey"), []byte(s.Key().String()+"\n"), 0o600))
	}
}

// release FILE INDEX VERSION KEY… writes a signed release.
func signRelease(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 {
		ts.Fatalf("usage: release file index version key...")
	}
	m := releasetest.New("").Manifest(args[2])
	_, err := fmt.Sscan(args[1], &m.Index)
	ts.Check(err)
	text, err := m.Encode()
	ts.Check(err)
	note := tlog.Note{Text: text}
	for _, name := range args[3:] {
		s, err := tlog.ParseSigner(ts.ReadFile(name + ".key"))
		ts.Check(err)
		note.Signatures = append(note.Signatures, s.Signature(text))
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), note.Encode(), 0o600))
}

// post URL FILE posts a file and prints the body; with !, it wants a status of 400
// or more.
func post(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: post url file")
	}
	resp, err := http.Post(args[0], "text/plain", strings.NewReader(ts.ReadFile(args[1])))
	ts.Check(err)
	defer resp.Body.Close()
	_, err = io.Copy(ts.Stdout(), io.LimitReader(resp.Body, 1<<20))
	ts.Check(err)
	if (resp.StatusCode >= 400) != neg {
		ts.Fatalf("status %d", resp.StatusCode)
	}
}

// modelServer is a model server that repeats what it is asked.
func modelServer() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("at http://%s", l.Addr())
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"object":"list","data":[{"id":"echo","object":"model","created":1,"owned_by":"test"}]}`)
	})
	mux.HandleFunc("POST /v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		var q struct{ Messages []struct{ Content string } }
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil || len(q.Messages) == 0 {
			http.Error(w, "malformed", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		content, _ := json.Marshal("You said: " + q.Messages[len(q.Messages)-1].Content)
		fmt.Fprintf(w, "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"echo\",\"choices\":[{\"index\":0,\"delta\":{\"content\":%s},\"finish_reason\":null}]}\n\n", content)
		io.WriteString(w, "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"echo\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
	})
	log.Fatal(http.Serve(l, mux))
}

// get URL prints status and body; with !, it wants a status of 400 or more.
func get(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: get url")
	}
	resp, err := http.Get(args[0])
	ts.Check(err)
	defer resp.Body.Close()
	_, err = io.Copy(ts.Stdout(), io.LimitReader(resp.Body, 1<<20))
	ts.Check(err)
	if (resp.StatusCode >= 400) != neg {
		ts.Fatalf("status %d", resp.StatusCode)
	}
}
