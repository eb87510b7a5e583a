// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sotto-chat/sotto/attest"
)

// TestKeysAreRefreshedBeforeTheyExpire: for hours no message waits for a check.
func TestKeysAreRefreshedBeforeTheyExpire(t *testing.T) {
	for _, lifetime := range []time.Duration{time.Minute, 15 * time.Minute, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t)
			f.lifetime = lifetime
			c := f.client(Config{})
			if _, err := c.Verify(t.Context()); err != nil {
				t.Fatal(err)
			}
			for range 200 {
				time.Sleep(lifetime * 107 / 1000)
				lists, _ := f.counts()
				if _, err := get(t, c, Options{}); err != nil {
					t.Fatal(err)
				}
				if now, _ := f.counts(); now != lists {
					t.Fatalf("keys of %v: a message waited for a check", lifetime)
				}
			}
			if lists, _ := f.counts(); lists < 20 || lists > 130 {
				t.Errorf("%d checks in 21 lives of keys of %v", lists, lifetime)
			}
			c.Close()
		})
	}
}

// TestServiceAwayForAWhile: keys in hand stay good, then the state says that
// nothing can be checked, and all is well once the service is back.
func TestServiceAwayForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		var states []State
		var mu sync.Mutex
		c := f.client(Config{OnStatus: func(s Status) {
			mu.Lock()
			defer mu.Unlock()
			if len(states) == 0 || states[len(states)-1] != s.State {
				states = append(states, s.State)
			}
		}})
		if _, err := c.Verify(t.Context()); err != nil {
			t.Fatal(err)
		}
		away := func(yes bool) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.list = nil
			if yes {
				f.list = func() (*Response, error) { return nil, errors.New("no route to host") }
			}
		}
		away(true)
		time.Sleep(10 * time.Minute)
		if s := c.Status().State; s != StateDemo {
			t.Errorf("with good keys in hand: %s", s)
		}
		if _, err := get(t, c, Options{}); err != nil {
			t.Errorf("with good keys in hand: %v", err)
		}
		time.Sleep(10 * time.Minute)
		if s := c.Status(); s.State != StateUnknown || !errors.Is(s.Err, ErrUnreachable) {
			t.Errorf("when they have ended: %s, %v", s.State, s.Err)
		}
		if _, err := get(t, c, Options{}); !errors.Is(err, ErrUnreachable) {
			t.Errorf("when they have ended: %v", err)
		}
		lists, _ := f.counts()
		if lists > 40 {
			t.Errorf("%d checks in 20 minutes: too eager", lists)
		}
		away(false)
		time.Sleep(2*retryMax + time.Second)
		if s := c.Status().State; s != StateDemo {
			t.Errorf("back again: %s", s)
		}
		c.Close()
		mu.Lock()
		defer mu.Unlock()
		if len(states) < 4 || states[0] != StateChecking || states[1] != StateDemo {
			t.Errorf("states announced: %v", states)
		}
	})
}

// TestChecksAreShared: many who need keys at once wait for one check.
func TestChecksAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		bundle := f.bundle(fakeNode)
		f.list = func() (*Response, error) {
			time.Sleep(time.Second)
			return reply(200, "application/json", f.nodeList(bundle)), nil
		}
		c := f.client(Config{})
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if _, err := c.Verify(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if lists, _ := f.counts(); lists != 1 {
			t.Errorf("%d checks", lists)
		}
		c.CloseNow()
	})
}

// testKey returns a key of the keyring without any proof.
func testKey(node string, demo bool, models ...string) *nodeKey {
	k := &nodeKey{Key: new(attest.Key), demo: demo, config: attest.KeyConfig{Node: node}}
	for _, m := range models {
		k.config.Models = append(k.config.Models, attest.Model{ID: m})
	}
	return k
}

func TestPick(t *testing.T) {
	keys := []*nodeKey{testKey("a", false, "x"), testKey("b", false, "x", "y"), testKey("c", false, "y"), testKey("d", false)}
	for _, tt := range []struct {
		model string
		n     int
		from  string
	}{
		{"x", 3, "ab"}, {"y", 1, "bc"}, {"", 3, "abcd"}, {"unlisted", 2, "abcd"}, {"x", 8, "ab"},
	} {
		seen := make(map[string]bool)
		for range 200 {
			got := pick(keys, tt.model, tt.n)
			if want := min(tt.n, len(tt.from)); len(got) != want {
				t.Fatalf("pick %q: %d keys, want %d", tt.model, len(got), want)
			}
			for _, k := range got {
				seen[k.config.Node] = true
			}
		}
		for _, node := range []string{"a", "b", "c", "d"} {
			if want := contains(tt.from, node); seen[node] != want {
				t.Errorf("pick %q: node %s picked: %t", tt.model, node, seen[node])
			}
		}
	}
}

func contains(s, sub string) bool {
	for i := range s {
		if s[i:i+1] == sub {
			return true
		}
	}
	return false
}

func TestRealMachinesGoBeforeTheDemo(t *testing.T) {
	keys := preferReal([]*nodeKey{testKey("a", true), testKey("b", false), testKey("c", true)})
	if len(keys) != 1 || keys[0].config.Node != "b" {
		t.Errorf("%d keys", len(keys))
	}
	if keys := preferReal([]*nodeKey{testKey("a", true)}); len(keys) != 1 {
		t.Errorf("%d keys", len(keys))
	}
}

func TestRandomBelow(t *testing.T) {
	counts := make([]int, 5)
	for range 5000 {
		counts[randomBelow(5)]++
	}
	for i, n := range counts {
		if n < 800 || n > 1200 { // 7 standard deviations
			t.Errorf("%d came %d times of 5000", i, n)
		}
	}
}
