// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/bundle"
	"github.com/sotto-chat/sotto/attest/software/forge"
)

// testLog is a log as far as a node sees it.
type testLog struct {
	mu         sync.Mutex
	checkpoint string
	away       error
	hangs      bool
}

func newLog(checkpoint string) *testLog { return &testLog{checkpoint: checkpoint} }

func (l *testLog) get(ctx context.Context) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return []byte(l.checkpoint), l.away
}

func (l *testLog) set(checkpoint string, away error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.checkpoint, l.away = checkpoint, away
}

// named returns what the newest key names, and the bytes beside it.
func named(t testing.TB, n *Node) (anchor, checkpoint string) {
	t.Helper()
	b, err := attest.ParseBundle(live(n)[0].bundle)
	if err != nil {
		t.Fatal(err)
	}
	c, err := attest.ParseKeyConfig(b.KeyConfig)
	if err != nil {
		t.Fatal(err)
	}
	return c.Anchor, string(b.Checkpoint)
}

// Each new key names the newest checkpoint; while the log is away the last one,
// and everybody who looks is told.
func TestAnchor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said strings.Builder
		l := newLog("one")
		n := newNode(t, &script{}, func(c *Config) {
			c.Checkpoint = l.get
			c.Logger = slog.New(slog.NewTextHandler(&said, nil))
		})
		go n.Run(t.Context())
		want := func(checkpoint, metric string, degraded bool) {
			t.Helper()
			if a, c := named(t, n); c != checkpoint || a != bundle.Anchor([]byte(checkpoint)) {
				t.Errorf("the key names %s, beside it is %q, want %q", a, c, checkpoint)
			}
			status, says := ready(n)
			if status != 200 || strings.HasPrefix(says, "ok\ndegraded: the public log is away") != degraded || !degraded && says != "ok\n" {
				t.Errorf("%q: %d %q", checkpoint, status, says)
			}
			if m := metrics(n); !strings.Contains(m, metric) {
				t.Errorf("%q: no %q in %s", checkpoint, metric, m)
			}
			if strings.Contains(said.String(), "public log is away") != degraded {
				t.Errorf("%q: the log says %s", checkpoint, said.String())
			}
			said.Reset()
		}
		next := func() { time.Sleep(n.cfg.Lifetime - n.cfg.Overlap); synctest.Wait() }
		time.Sleep(time.Second)
		want("one", "sotto_node_checkpoint_age_seconds 1\n", false)
		l.set("two", nil)
		next()
		want("two", "sotto_node_checkpoint_age_seconds 1\n", false)
		l.set("three", errors.New("no route"))
		next()
		want("two", "sotto_node_checkpoint_failures_total 1\n", true)
		for _, bad := range []string{"", strings.Repeat("x", bundle.MaxCheckpoint+1)} {
			l.set(bad, nil)
			next()
			want("two", "sotto_node_checkpoint_age_seconds ", true)
		}
		l.set(strings.Repeat("x", bundle.MaxCheckpoint), nil)
		next()
		want(l.checkpoint, "sotto_node_checkpoint_failures_total 3\n", false)
		// A log that hangs keeps no key waiting.
		l.mu.Lock()
		l.hangs = true
		l.mu.Unlock()
		next()
		if len(live(n)) != 1 {
			t.Error("it didn't wait for the log")
		}
		time.Sleep(checkpointTime)
		synctest.Wait()
		if len(live(n)) != 2 {
			t.Errorf("%d keys", len(live(n)))
		}
	})
}

func TestNoAnchor(t *testing.T) {
	n := newNode(t, &script{}, nil)
	if a, c := named(t, n); a != "" || c != "" {
		t.Errorf("without a log a key names %s, beside it is %q", a, c)
	}
	if strings.Contains(metrics(n), "checkpoint") {
		t.Error("figures of a log that isn't followed")
	}
	l := newLog("")
	l.away = errors.New("no route")
	_, err := New(Config{Engine: &script{}, Evidence: forge.Evidence, Checkpoint: l.get})
	if err == nil || !strings.Contains(err.Error(), "the public log's checkpoint: no route") {
		t.Errorf("a node that never saw the log starts: %v", err)
	}
}

func TestFollowLog(t *testing.T) {
	const note = "log.example\n1\nAAAA\n\n\u2014 log.example AAAA\n"
	var answer http.HandlerFunc
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "GET" || r.URL.RequestURI() != "/base/checkpoint" || r.Header.Get("Cookie") != "" {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		answer(w, r)
	}))
	defer s.Close()
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		says   string // "" for a checkpoint
	}{
		"good":       {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, note) }, ""},
		"a page":     {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>hello") }, "no log"},
		"empty":      {func(http.ResponseWriter, *http.Request) {}, "no log"},
		"an error":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500); io.WriteString(w, note) }, "status 500"},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", 302) }, "status 302"},
		"broken off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, note)
		}, "unexpected EOF"},
	} {
		answer = tt.answer
		for _, slash := range []string{"", "/"} {
			get, err := FollowLog(s.URL + "/base" + slash)
			if err != nil {
				t.Fatal(err)
			}
			b, err := get(t.Context())
			if tt.says == "" && (err != nil || string(b) != note) || tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
				t.Errorf("%s: %q, %v", name, b, err)
			}
		}
	}
	for _, scheme := range []string{"http", "https"} {
		if _, err := FollowLog(scheme + "://log.example"); err != nil {
			t.Error(err)
		}
	}
	// Nobody there.
	s2 := httptest.NewServer(nil)
	s2.Close()
	if get, err := FollowLog(s2.URL); err != nil {
		t.Error(err)
	} else if _, err := get(t.Context()); err == nil {
		t.Error("a log that isn't there gave a checkpoint")
	}
	// An endless one is cut off, and so refused by whoever asked.
	answer = func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, note+strings.Repeat("x", 1<<20)) }
	get, err := FollowLog(s.URL + "/base")
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := get(t.Context()); len(b) != bundle.MaxCheckpoint+1 {
		t.Errorf("%d bytes were read", len(b))
	}
	for _, bad := range []string{"", "log.example", "ftp://log.example", "https://u@log.example", "https://log.example?a", "https://log.example#a", "https://", "://"} {
		if _, err := FollowLog(bad); err == nil || !strings.Contains(err.Error(), "not the address of a log") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
