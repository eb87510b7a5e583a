// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"crypto/rand"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/bundle"
	"github.com/sotto-chat/sotto/attest/software"
	"github.com/sotto-chat/sotto/attest/software/forge"
	"github.com/sotto-chat/sotto/internal/door"
	"github.com/sotto-chat/sotto/seal"
	"github.com/sotto-chat/sotto/seal/bhttp"
)

// slowHardware vouches like demo hardware, takes its time, and counts.
type slowHardware struct {
	takes time.Duration
	fails error

	mu     sync.Mutex
	now    int
	most   int
	signed [][64]byte
}

func (h *slowHardware) evidence(rd [64]byte) ([]attest.Evidence, error) {
	h.mu.Lock()
	h.now++
	h.most = max(h.most, h.now)
	h.signed = append(h.signed, rd)
	h.mu.Unlock()
	time.Sleep(h.takes)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now--
	e, _ := forge.Evidence(rd)
	return e, h.fails // what comes beside an error must not be used
}

func (h *slowHardware) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.signed)
}

func askFresh(t testing.TB, n *Node, key seal.Recipient, nonce string) (*bhttp.Response, string) {
	t.Helper()
	msg, ex := sealFor(t, []seal.Recipient{key}, post("/sotto/v1/fresh", nonce))
	resp, body, a := open(t, ex, send(n, msg))
	if want := map[bool]seal.Class{true: seal.ClassBulk, false: seal.ClassStream}[resp.Status == 200]; a.Class() != want {
		t.Errorf("class %v, want %v", a.Class(), want)
	}
	return resp, body
}

func newNonce() string {
	var b [32]byte
	rand.Read(b[:])
	return string(b[:])
}

// Fresh evidence speaks of the key that the question came to, and of the nonce.
func TestFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, hw := &script{}, &slowHardware{}
		n := newNode(t, e, func(c *Config) {
			c.Evidence = hw.evidence
			c.Checkpoint = newLog("checkpoint").get
		})
		go n.Run(t.Context())
		time.Sleep(n.cfg.Lifetime - n.cfg.Overlap + time.Second)
		both := keysOf(t, n)
		if len(both) != 2 {
			t.Fatalf("%d keys", len(both))
		}
		for i, key := range both {
			nonce := newNonce()
			resp, body := askFresh(t, n, key, nonce)
			if resp.Status != 200 || bhttp.Get(resp.Header, "content-type") != "application/json" {
				t.Fatalf("%d %v %s", resp.Status, resp.Header, body)
			}
			b, err := attest.ParseBundle([]byte(body))
			if err != nil {
				t.Fatal(err)
			}
			usual, err := attest.ParseBundle(live(n)[i].bundle)
			if err != nil {
				t.Fatal(err)
			}
			want, _ := forge.Evidence(bundle.FreshData([32]byte([]byte(nonce)), b.KeyConfig))
			if !bytes.Equal(b.KeyConfig, usual.KeyConfig) || string(b.Checkpoint) != "checkpoint" || bundle.KeyID(b.KeyConfig) != key.ID {
				t.Errorf("key %d: it is a bundle of another key", i)
			}
			if len(b.Evidence) != 1 || !bytes.Equal(b.Evidence[0].Data, want[0].Data) || bytes.Equal(b.Evidence[0].Data, usual.Evidence[0].Data) {
				t.Errorf("key %d: it is evidence of something else", i)
			}
			// Nobody can be given it as the key's own.
			if got, _ := attest.Verify([]byte(body), attest.Policy{AllowSoftware: true}, time.Now(), software.Platform{}); got != nil {
				t.Error("fresh evidence passes for a key's")
			}
			time.Sleep(freshEvery)
		}
		if asked, _, _ := e.counts(); asked != 0 {
			t.Error("the engine was asked")
		}
		if m := metrics(n); n.stats.fresh.Load() != 2 || !strings.Contains(m, "sotto_node_fresh_evidence_total 0\n") { // in tens
			t.Error(m)
		}
	})
}

// What isn't a nonce gets nothing signed, nor does another method or a replay.
func TestFreshRefuses(t *testing.T) {
	e, hw := &script{}, &slowHardware{}
	n := newNode(t, e, func(c *Config) { c.Evidence = hw.evidence })
	key := keysOf(t, n)[0]
	before := hw.count()
	for _, size := range []int{0, 31, 33, 64, 1 << 20} {
		if resp, body := askFresh(t, n, key, strings.Repeat("x", size)); resp.Status != 400 || errorCode(body) != "malformed" {
			t.Errorf("%d bytes: %d %s", size, resp.Status, body)
		}
	}
	get := post("/sotto/v1/fresh", newNonce())
	get.Method = "GET"
	msg, ex := sealFor(t, []seal.Recipient{key}, get)
	if resp, body, _ := open(t, ex, send(n, msg)); resp.Status != 404 {
		t.Errorf("GET: %d %s", resp.Status, body)
	}
	if hw.count() != before {
		t.Error("the hardware was asked")
	}
	msg, ex = sealFor(t, []seal.Recipient{key}, post("/sotto/v1/fresh", newNonce()))
	if resp, body, _ := open(t, ex, send(n, msg)); resp.Status != 200 {
		t.Errorf("a good one, after them: %d %s", resp.Status, body)
	}
	if status, code, _ := inClear(t, n, msg, nil); status != 409 || code != door.Replayed {
		t.Errorf("replayed: %d %s", status, code)
	}
	if hw.count() != before+1 {
		t.Errorf("the hardware was asked %d times", hw.count()-before)
	}
	// A key that has ended meanwhile.
	if rep := n.fresh(seal.KeyID{1}, []byte(newNonce())); rep.status != 410 || errorCode(string(rep.text)) != "key_expired" {
		t.Errorf("of no key: %d %s", rep.status, rep.text)
	}
	if asked, _, _ := e.counts(); asked != 0 {
		t.Error("the engine was asked")
	}
}

// However many ask, the hardware signs for one at a time, and for one in two
// seconds; a new key gets its turn among them.
func TestFreshFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hw := &slowHardware{}
		n := newNode(t, &script{}, func(c *Config) { c.Evidence = hw.evidence })
		go n.Run(t.Context())
		key := keysOf(t, n)[0]
		before := hw.count()
		hw.takes = 3 * time.Second
		flood := func() (good int) {
			var wg sync.WaitGroup
			var mu sync.Mutex
			for range 20 {
				wg.Go(func() {
					resp, body := askFresh(t, n, key, newNonce())
					switch {
					case resp.Status == 200:
						mu.Lock()
						good++
						mu.Unlock()
					case resp.Status != 429 || bhttp.Get(resp.Header, "retry-after") != "2" || errorCode(body) != "rate_limit_exceeded":
						t.Errorf("%d %v %s", resp.Status, resp.Header, body)
					}
				})
			}
			wg.Wait()
			return good
		}
		if good := flood(); good != 1 || hw.count() != before+1 || hw.most != 1 {
			t.Errorf("%d got an answer, %d times the hardware was asked, by %d at once", good, hw.count()-before, hw.most)
		}
		hw.takes = 0
		if good := flood(); good != 1 { // three seconds have passed
			t.Errorf("later %d got an answer", good)
		}
		time.Sleep(time.Until(n.hardware.fresh.Add(freshEvery - time.Millisecond)))
		if good := flood(); good != 0 {
			t.Errorf("too early %d got an answer", good)
		}
		time.Sleep(max(0, time.Until(n.hardware.fresh.Add(freshEvery)))) // refusals take their time
		if good := flood(); good != 1 {
			t.Errorf("in time %d got an answer", good)
		}
		// While somebody is answered, a new key falls due.
		hw.takes = 5 * time.Second
		time.Sleep(time.Until(live(n)[0].made.Add(n.cfg.Lifetime - n.cfg.Overlap - time.Second)))
		flood()
		time.Sleep(hw.takes)
		synctest.Wait()
		if len(live(n)) != 2 || hw.most != 1 {
			t.Errorf("%d keys, the hardware was asked by %d at once", len(live(n)), hw.most)
		}
	})
}

// Hardware that fails is said inside the answer, counted, and in no log: a line
// would tell when somebody asked.
func TestFreshFails(t *testing.T) {
	var log bytes.Buffer
	hw := &slowHardware{}
	n := newNode(t, &script{}, func(c *Config) {
		c.Evidence = hw.evidence
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	key := keysOf(t, n)[0]
	said := log.Len()
	hw.fails = errors.New("the chip is asleep")
	if resp, body := askFresh(t, n, key, newNonce()); resp.Status != 503 || errorCode(body) != "evidence_failed" || strings.Contains(body, "asleep") {
		t.Errorf("%d %s", resp.Status, body)
	}
	if n.stats.evidenceFailures.Load() != 1 || n.stats.fresh.Load() != 0 {
		t.Error("it isn't counted")
	}
	if log.Len() != said {
		t.Errorf("the log says %s", log.String()[said:])
	}
	if status, says := ready(n); status != 200 || says != "ok\n" {
		t.Errorf("%d %s", status, says) // its keys are as good as before
	}
}
