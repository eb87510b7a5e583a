// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
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

	"github.com/sotto-chat/sotto/release"
	"github.com/sotto-chat/sotto/release/releasetest"
	"github.com/sotto-chat/sotto/tlog"
	"github.com/sotto-chat/sotto/tlog/logserver"
	"github.com/sotto-chat/sotto/tlog/witness"
)

// TestReleaseScripts runs the scripts about releases against a small log of its own.
func TestReleaseScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "release"),
		Setup: func(env *testscript.Env) error {
			env.Setenv("SOTTO_CONFIG_DIR", filepath.Join(env.WorkDir, "config"))
			env.Setenv("TZ", "UTC")
			// git as on a machine that nobody has set up
			env.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
			env.Setenv("GIT_CONFIG_NOSYSTEM", "1")
			for _, who := range []string{"AUTHOR", "COMMITTER"} {
				env.Setenv("GIT_"+who+"_NAME", "Somebody")
				env.Setenv("GIT_"+who+"_EMAIL", "somebody@example.com")
				env.Setenv("GIT_"+who+"_DATE", "2026-11-01T12:00:00Z")
			}
			l := &fakeLog{world: releasetest.New("scripts")}
			s := httptest.NewServer(l)
			env.Defer(s.Close)
			env.Setenv("LOG", s.URL)
			env.Values[fakeLogKey{}] = l
			return os.WriteFile(filepath.Join(env.WorkDir, "log.policy"), []byte(l.world.Pin.Log), 0o644)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exitsCommand,
			"pin":   pinCommand,
			"log":   logCommand,
			"real":  realCommand,
			"mode":  modeCommand,
		},
	})
}

type fakeLogKey struct{}

// fakeLog is a log that takes anything.
type fakeLog struct {
	mu    sync.Mutex
	world *releasetest.World
	lies  string // what it does wrong
}

func (l *fakeLog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	size, at := int64(len(l.world.Entries)), time.Now().Unix()
	switch {
	case l.lies == "refuse":
		http.Error(w, "this log is closed today", http.StatusForbidden)
	case l.lies == "noise":
		io.WriteString(w, "noise\n")
	case r.Method == "GET" && r.URL.Path == "/checkpoint":
		w.Write(l.world.Checkpoint(size, at, 3))
	case r.Method == "POST" && r.URL.Path == "/add":
		b, err := io.ReadAll(r.Body)
		if err != nil {
			panic(err)
		}
		if l.lies == "first" { // somebody else is quicker
			l.world.Add([]byte("else"))
		}
		index := l.world.Add(b)
		checkpoint := l.world.Checkpoint(index+1, at, 3)
		p, err := l.world.Tree().Proof(checkpoint, index)
		if err != nil {
			panic(err)
		}
		if l.lies == "proof" {
			p.Hashes = append(p.Hashes, tlog.Hash{})
		}
		w.Write(p.Encode())
	case r.Method == "GET" && r.URL.Path == "/sotto/v1/log":
		if l.lies == "long" {
			w.Write(make([]byte, tlog.MaxView+1))
			return
		}
		var show []int
		for i := int(size) - 1; i >= 0 && len(show) < tlog.MaxReleases; i-- {
			show = append(show, i)
		}
		w.Write(l.world.ViewOf(l.world.Checkpoint(size, at, 3), show...))
	default:
		http.NotFound(w, r)
	}
}

// log LIE|honest makes the log lie from now on; “log view FILE” saves its view.
func logCommand(ts *testscript.TestScript, neg bool, args []string) {
	l := ts.Value(fakeLogKey{}).(*fakeLog)
	l.mu.Lock()
	defer l.mu.Unlock()
	if args[0] == "view" {
		var show []int
		for i := len(l.world.Entries) - 1; i >= 0; i-- {
			show = append(show, i)
		}
		view := l.world.ViewOf(l.world.Checkpoint(int64(len(show)), time.Now().Unix(), 3), show...)
		ts.Check(os.WriteFile(ts.MkAbs(args[1]), view, 0o644))
		return
	}
	l.lies = strings.TrimPrefix(args[0], "honest")
}

// real PIN starts the log of “sottod log”, with its witnesses, and has LOG name it.
func realCommand(ts *testscript.TestScript, neg bool, args []string) {
	world := ts.Value(fakeLogKey{}).(*fakeLog).world
	pin, err := release.ParsePin([]byte(ts.ReadFile(args[0])))
	ts.Check(err)
	cfg := logserver.Config{Dir: ts.MkAbs("log"), Signer: world.Log, Pin: pin, Witnesses: map[string]string{}}
	ts.Check(os.Mkdir(cfg.Dir, 0o700))
	for i, key := range world.Witnesses {
		dir := ts.MkAbs("witness" + strconv.Itoa(i))
		ts.Check(os.Mkdir(dir, 0o700))
		w, err := witness.Open(witness.Config{Dir: dir, Key: key, Logs: []tlog.Key{world.Log.Key()}})
		ts.Check(err)
		s := httptest.NewServer(w.Handler())
		ts.Defer(s.Close)
		cfg.Witnesses["w"+strconv.Itoa(i+1)] = s.URL
	}
	l, err := logserver.Open(cfg)
	ts.Check(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); l.Run(ctx) }()
	s := httptest.NewServer(l.Handler())
	ts.Defer(func() { s.Close(); cancel(); <-done })
	ts.Setenv("LOG", s.URL)
	for range 500 { // until the witnesses have cosigned its beginning
		if resp, err := http.Get(s.URL + "/checkpoint"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	ts.Fatalf("the log doesn't come up")
}

// pin FILE THRESHOLD KEYS… writes a pin of the log with the keys that stand in
// these files, and beside it a policy that holds it.
func pinCommand(ts *testscript.TestScript, neg bool, args []string) {
	l := ts.Value(fakeLogKey{}).(*fakeLog)
	p := release.Pin{V: 1, Product: "sotto", Log: l.world.Pin.Log}
	var err error
	p.Threshold, err = strconv.Atoi(args[1])
	ts.Check(err)
	for _, f := range args[2:] {
		p.Keys = append(p.Keys, strings.TrimSpace(ts.ReadFile(f)))
	}
	b, err := json.Marshal(p)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o644))
	ts.Check(os.WriteFile(ts.MkAbs("policy-with-"+args[0]), []byte(`{"require":["snp"],"pin":`+string(b)+`}`), 0o644))
}

// mode FILE OCTAL wants that mode.
func modeCommand(ts *testscript.TestScript, neg bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := strconv.FormatInt(int64(info.Mode().Perm()), 8); got != args[1] {
		ts.Fatalf("%s has mode %s, want %s", args[0], got, args[1])
	}
}
