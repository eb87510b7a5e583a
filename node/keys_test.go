// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/software/forge"
	"github.com/sotto-chat/sotto/engine"
	"github.com/sotto-chat/sotto/internal/door"
	"github.com/sotto-chat/sotto/seal"
)

// failing is an engine whose model list can fail.
type failing struct {
	script
	down atomic.Bool
}

func (f *failing) Models(ctx context.Context) ([]engine.Model, error) {
	if f.down.Load() {
		return nil, &engine.Error{Status: 502, Message: "down"}
	}
	return f.script.Models(ctx)
}

// live returns the keys in memory, newest first.
func live(n *Node) []*liveKey {
	n.keys.mu.RLock()
	defer n.keys.mu.RUnlock()
	return slices.Clone(n.keys.live)
}

func TestKeysRotateAndAreErased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, &script{}, nil)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error)
		go func() { done <- n.Run(ctx) }()

		first := live(n)[0]
		msg, _ := sealFor(t, keysOf(t, n), chat(""))
		if len(keysOf(t, n)) != 1 {
			t.Fatal("more than one key at the start")
		}
		// Every ten minutes a new key; each for fifteen; never more than two.
		for minute := 1; minute <= 60; minute++ {
			time.Sleep(time.Minute)
			synctest.Wait()
			want := 1
			if minute >= 10 && minute%10 < 5 {
				want = 2
			}
			keys := keysOf(t, n) // verifies each at this time
			if len(keys) != want {
				t.Errorf("minute %d: %d live keys, want %d", minute, len(keys), want)
			}
			if len(live(n)) != want {
				t.Errorf("minute %d: %d keys in memory", minute, len(live(n)))
			}
		}
		// What was sealed to the first key can't be opened, not even by who
		// kept the pointer.
		n.keys.mu.RLock()
		seen := first.seen
		n.keys.mu.RUnlock()
		if seen != nil {
			t.Error("the replay memory outlived its key")
		}
		if _, err := seal.OpenRequest(bytes.NewReader(msg), func(seal.KeyID) *seal.PrivateKey { return first.private }); !errors.Is(err, seal.ErrExpired) {
			t.Errorf("opening with the erased key: %v", err)
		}
		if status, code, _ := inClear(t, n, msg, nil); status != 410 || code != door.KeyExpired {
			t.Errorf("sealed to an erased key: %d %s", status, code)
		}
		last := live(n)[0]
		cancel()
		if err := <-done; err != nil || len(live(n)) != 0 {
			t.Errorf("after the end: %v, %d keys", err, len(live(n)))
		}
		msg2, _, err := seal.SealRequest([]seal.Recipient{{ID: last.id, PublicKey: last.private.PublicKey()}}, []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		if status, code, _ := inClear(t, n, msg2, nil); status != 410 || code != door.KeyExpired {
			t.Errorf("after the end: %d %s", status, code)
		}
	})
}

// A key ends in the second that its config says, whatever Run is doing.
func TestKeyEndsWithoutRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, &script{}, nil)
		msg, ex := sealFor(t, keysOf(t, n), post("/v1/embeddings", "{}"))
		late, _ := sealFor(t, keysOf(t, n), chat(""))
		time.Sleep(n.cfg.Lifetime - time.Second)
		k, err := n.newKey(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		n.use(k)
		open(t, ex, send(n, msg))
		time.Sleep(time.Second)
		if _, code, _ := inClear(t, n, late, nil); code != door.KeyExpired {
			t.Error(code)
		}
	})
}

// ready asks a node how it is.
func ready(n *Node) (status int, says string) {
	w := httptest.NewRecorder()
	n.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
	return w.Code, w.Body.String()
}

func metrics(n *Node) string {
	var m bytes.Buffer
	n.WriteMetrics(&m)
	return m.String()
}

// Without evidence there is no new key; the old ones run out, and readiness,
// metrics and the log say so.
func TestEvidenceFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		var fails atomic.Bool
		n := newNode(t, &script{}, func(c *Config) {
			c.Logger = slog.New(slog.NewJSONHandler(&log, nil))
			c.Evidence = func(rd [64]byte) ([]attest.Evidence, error) {
				e, _ := forge.Evidence(rd)
				gpus := []attest.Evidence{{Platform: "gpu", Data: []byte("1")}, {Platform: "gpu", Data: []byte("2")}}
				if fails.Load() {
					return e, errors.New("the chip is asleep")
				}
				return append(e, gpus...), nil
			}
		})
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go n.Run(ctx)
		if status, says := ready(n); status != 200 || says != "ok\n" {
			t.Errorf("at the start: %d %q", status, says)
		}
		if m := metrics(n); !strings.Contains(m, "sotto_node_evidence_pieces{platform=\"gpu\"} 2\nsotto_node_evidence_pieces{platform=\"software\"} 1\n") {
			t.Errorf("at the start: %s", m)
		}
		fails.Store(true)
		time.Sleep(n.cfg.Lifetime - n.cfg.Overlap + time.Second/2)
		if status, says := ready(n); status != 200 || !strings.HasPrefix(says, "ok\ndegraded: no new key since ") || !strings.HasSuffix(says, "ends in 5m0s\n") {
			t.Errorf("after the first failure: %d %q", status, says)
		}
		if m := metrics(n); !strings.Contains(m, "sotto_node_evidence_failures_total 1\n") ||
			!strings.Contains(m, "sotto_node_evidence_age_seconds 600\n") ||
			!strings.Contains(m, "sotto_node_evidence_pieces{platform=\"gpu\"} 0\nsotto_node_evidence_pieces{platform=\"software\"} 1\n") {
			t.Errorf("after the first failure: %s", m)
		}
		time.Sleep(n.cfg.Overlap)
		if got := len(live(n)); got != 0 {
			t.Errorf("%d keys live on without evidence", got)
		}
		if status, says := ready(n); status != 503 {
			t.Errorf("without a key: %d %q", status, says)
		}
		if m := metrics(n); n.stats.evidenceFailures.Load() < 3 || !strings.Contains(m, "sotto_node_keys_live 0\n") {
			t.Errorf("metrics: %s", m)
		}
		fails.Store(false)
		time.Sleep(2 * time.Minute)
		if len(live(n)) != 1 {
			t.Error("no key after the chip came back")
		}
		if status, says := ready(n); status != 200 || says != "ok\n" {
			t.Errorf("after the chip came back: %d %q", status, says)
		}
		stop()
		synctest.Wait()
		if !strings.Contains(log.String(), "the chip is asleep") {
			t.Error("the log doesn't say why")
		}
	})
}

// Hardware that hangs keeps nothing alive: the keys end on time, the node says
// that it is late, and a key that comes after the end is erased.
func TestEvidenceHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang, hanging := make(chan struct{}), atomic.Bool{}
		n := newNode(t, &script{}, func(c *Config) {
			c.Evidence = func(rd [64]byte) ([]attest.Evidence, error) {
				if hanging.Load() {
					<-hang
				}
				return forge.Evidence(rd)
			}
		})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- n.Run(ctx) }()
		hanging.Store(true)
		time.Sleep(n.cfg.Lifetime - n.cfg.Overlap + lateBy)
		if _, says := ready(n); says != "ok\n" {
			t.Errorf("not late yet: %q", says)
		}
		time.Sleep(time.Second)
		if _, says := ready(n); !strings.Contains(says, "degraded") {
			t.Errorf("late: %q", says)
		}
		time.Sleep(n.cfg.Overlap)
		if got := len(live(n)); got != 0 {
			t.Errorf("%d keys live on beside hardware that hangs", got)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		close(hang)
		synctest.Wait()
		if got := len(live(n)); got != 0 {
			t.Errorf("%d keys came after the end", got)
		}
	})
}

func TestNewRefuses(t *testing.T) {
	good := Config{Engine: &script{}, Evidence: forge.Evidence}
	for name, change := range map[string]func(*Config){
		"no engine":   func(c *Config) { c.Engine = nil },
		"no evidence": func(c *Config) { c.Evidence = nil },
		"failing evidence": func(c *Config) {
			c.Evidence = func([64]byte) ([]attest.Evidence, error) { return nil, errors.New("no") }
		},
		"empty evidence":      func(c *Config) { c.Evidence = func([64]byte) ([]attest.Evidence, error) { return nil, nil } },
		"a long life":         func(c *Config) { c.Lifetime = 2 * time.Hour },
		"more than two keys":  func(c *Config) { c.Overlap = 10 * time.Minute },
		"a release that none": func(c *Config) { c.Release = "v1.2" },
		"a negative limit":    func(c *Config) { c.Limits.KeptBytes = -1 },
	} {
		c := good
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// An engine that isn't up yet doesn't keep a node from starting.
func TestEngineDownAtStart(t *testing.T) {
	e := &failing{}
	e.down.Store(true)
	n := newNode(t, e, nil)
	if len(keysOf(t, n)) != 1 || n.engineUp.Load() {
		t.Error("keys or readiness wrong")
	}
}
