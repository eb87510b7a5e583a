// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package node is the part of Sotto that runs inside the machine which
// answers: it opens a sealed request, asks its engine, and seals the answer.
//
// A request comes to the door (door.go), is opened with one of the two live
// keys (keys.go) and refused if it was opened before (replay.go). What it says
// is looked at inside (inside.go): most requests go to the engine, two speak of
// an earlier answer, and one asks the machine's hardware to vouch for it anew
// (fresh.go). The answer of a model that writes word by word is shaped
// (pace.go): records of one size on one tick, in which neighbouring words are
// merged (events.go, merge.go); all other answers go out at full speed
// (bulk.go). Where the client named an id for its answer, the sealed records
// are kept for some minutes (shelf.go), so that a lost connection is no lost
// answer.
//
// # What a node keeps
//
// Keys live in memory, for minutes, and are erased. Requests and answers
// live in memory while they are worked on; of a kept answer only the sealed
// records outlive the work, and the node can't open them. Nothing is written to
// disk, and nothing that derives from a request is logged: not its size, not
// its model, not its time to the millisecond. Counters are sums over everybody.
//
// # What the outside sees of an answer
//
// The class of the answer, the moment of the first record, and the number of
// records, which is rounded up to a coarse series. Between the first record and
// the last, a stream runs at one record a tick whatever the model does. One
// thing departs from that: an answer that piles up faster than one record a
// tick can carry (long tool output, log probabilities) shifts up to 2, 4 or 8
// records a tick and never down again, so an observer learns that it is such.
package node

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/sotto-chat/sotto/attest/bundle"
	"github.com/sotto-chat/sotto/engine"
	"github.com/sotto-chat/sotto/internal/door"
	"github.com/sotto-chat/sotto/internal/lines"
)

// Defaults of [Config].
const (
	DefaultLifetime    = 15 * time.Minute
	DefaultOverlap     = 5 * time.Minute
	DefaultTick        = 100 * time.Millisecond
	DefaultKeepAnswers = 5 * time.Minute
)

// Config says what a node is made of. Engine and Evidence must be set; a zero
// duration or limit means its default.
type Config struct {
	Engine engine.Engine

	// Evidence asks the machine's hardware to vouch for report data. It is
	// called when a key is made and when somebody asks for fresh evidence, never on
	// the way of a question, and by one goroutine at a time. An error means no new
	// key: the node goes on with those it has until they run out. What it returns
	// beside an error is only counted.
	Evidence func(reportData [64]byte) ([]bundle.Evidence, error)

	// Checkpoint gets the newest checkpoint of the public log of releases, which a
	// new key names: see [FollowLog]. An error means that the key names the last
	// one, and at the start of the node that there is no key. Nil: no log.
	Checkpoint func(context.Context) ([]byte, error)

	// Release is the digest of the release that this program belongs to,
	// "sha256:<hex>"; "" and "none" mean that it belongs to none.
	Release string

	// Logger gets no value that derives from a request. Nil discards.
	Logger *slog.Logger

	Lifetime    time.Duration // how long a key is valid
	Overlap     time.Duration // how long two are; at most half of Lifetime
	Tick        time.Duration // time between two records of a stream
	KeepAnswers time.Duration // how long a finished answer can be resumed

	Limits Limits
}

// Limits bound what strangers can make a node hold. Zero means the default.
type Limits struct {
	// Requests is how many requests may be under way at once (8,192), and how
	// many answers may be in the making, with or without a connection.
	Requests int
	// RequestBytes is how many bytes the requests under way may have together
	// (512 MiB).
	RequestBytes int64
	// Replay is how many requests are remembered per key (2^20, some 40 MB).
	// Beyond it the node is busy until the next key.
	Replay int
	// KeptBytes is the memory for kept answers (256 MiB). The answers that
	// finished first make room; after them, running answers lose their oldest
	// records.
	KeptBytes int64
	// AnswerTime is how long one answer may take (30 minutes).
	AnswerTime time.Duration
}

// Node answers sealed requests. Make one with [New].
type Node struct {
	cfg      Config
	log      lines.Log
	id       string
	keys     *keyring
	hardware hardware
	anchor   atomic.Pointer[anchor] // nil where no log is followed
	gate     *door.Gate
	shelf    *shelf
	stats    stats
	mux      *http.ServeMux

	engineUp atomic.Bool
	failing  atomic.Bool // the last new key could not be made

	// life ends when Run does; answers that go on without a connection end with it.
	life context.Context
	end  context.CancelFunc
}

// New makes a node with its first key: it fails if the hardware doesn't vouch
// for it. [Node.Run] must run for keys to be renewed and erased.
func New(cfg Config) (*Node, error) {
	if err := cfg.complete(); err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	n := &Node{cfg: cfg, log: lines.To(cfg.Logger), id: newID()}
	n.life, n.end = context.WithCancel(context.Background())
	n.gate = door.NewGate(int64(cfg.Limits.Requests), cfg.Limits.RequestBytes)
	n.shelf = newShelf(cfg.KeepAnswers, cfg.Limits.KeptBytes)
	n.keys = &keyring{replayLimit: cfg.Limits.Replay}
	n.hardware = hardware{ask: cfg.Evidence, turn: make(chan struct{}, 1)}
	n.mux = n.routes()
	k, err := n.newKey(n.life)
	if err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	n.use(k)
	return n, nil
}

// complete fills in defaults and refuses what can't work.
func (c *Config) complete() error {
	if c.Engine == nil || c.Evidence == nil {
		return errors.New("an engine and a source of evidence are needed")
	}
	c.Release = cmp.Or(c.Release, "none")
	c.Lifetime = cmp.Or(c.Lifetime, DefaultLifetime)
	c.Overlap = cmp.Or(c.Overlap, DefaultOverlap)
	c.Tick = cmp.Or(c.Tick, DefaultTick)
	c.KeepAnswers = cmp.Or(c.KeepAnswers, DefaultKeepAnswers)
	c.Limits.Requests = cmp.Or(c.Limits.Requests, 8192)
	c.Limits.RequestBytes = cmp.Or(c.Limits.RequestBytes, 512<<20)
	c.Limits.Replay = cmp.Or(c.Limits.Replay, 1<<20)
	c.Limits.KeptBytes = cmp.Or(c.Limits.KeptBytes, 256<<20)
	c.Limits.AnswerTime = cmp.Or(c.Limits.AnswerTime, 30*time.Minute)
	switch {
	case c.Lifetime < 2*time.Second || c.Lifetime > bundle.DefaultMaxLifetime*time.Second:
		return fmt.Errorf("a key's lifetime of %v is not between 2s and %ds", c.Lifetime, bundle.DefaultMaxLifetime)
	case c.Overlap <= 0 || c.Overlap > c.Lifetime/2:
		return fmt.Errorf("an overlap of %v is not between 0 and half a key's lifetime of %v", c.Overlap, c.Lifetime)
	case c.Tick < time.Millisecond:
		return fmt.Errorf("a tick of %v is too short", c.Tick)
	case c.KeepAnswers < 0 || c.Limits.AnswerTime < 0 || c.Limits.Requests < 0 ||
		c.Limits.RequestBytes < 0 || c.Limits.Replay < 0 || c.Limits.KeptBytes < 0:
		return errors.New("a limit is negative")
	}
	return nil
}

func newID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// ID returns the node's random name, 32 hex digits, new at each start.
func (n *Node) ID() string { return n.id }

// Handler returns the node's HTTP interface. It trusts nobody; the server
// around it must bound the header's size and the time it takes.
func (n *Node) Handler() http.Handler { return n.mux }

// Run renews and erases keys and watches the engine until ctx ends. Then it
// erases all keys, stops answers that run without a connection, and returns nil.
func (n *Node) Run(ctx context.Context) error {
	defer n.keys.eraseAll()
	defer n.end()
	renew := time.NewTimer(n.cfg.Lifetime - n.cfg.Overlap)
	defer renew.Stop()
	erase := time.NewTimer(n.keys.nextEnd(time.Now()))
	defer erase.Stop()
	probe := time.NewTicker(probeEvery)
	defer probe.Stop()
	// Hardware may take its time, or hang. Keys end on time all the same, so it
	// is asked on the side; what comes after the end is erased there.
	type outcome struct {
		key *liveKey
		err error
	}
	made := make(chan outcome)
	retry := time.Second
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-renew.C:
			go func() {
				k, err := n.newKey(ctx)
				select {
				case made <- outcome{k, err}:
				case <-ctx.Done():
					if k != nil {
						k.private.Erase()
					}
				}
			}()
		case o := <-made:
			n.failing.Store(o.err != nil)
			if o.err != nil {
				n.stats.evidenceFailures.Add(1)
				n.log.Error("no new key: the machine's proof could not be made", lines.Err(o.err), lines.For("retry_in", retry))
				renew.Reset(retry)
				retry = min(2*retry, time.Minute)
				continue
			}
			retry = time.Second
			n.use(o.key)
			renew.Reset(n.cfg.Lifetime - n.cfg.Overlap)
			erase.Reset(n.keys.nextEnd(time.Now()))
		case <-erase.C:
			n.keys.eraseEnded(time.Now())
			erase.Reset(n.keys.nextEnd(time.Now()))
		case <-probe.C:
			n.probe(ctx)
		}
	}
}

// lateBy is how long after its time a new key may come before a node says that
// something is wrong.
const lateBy = 30 * time.Second

// degraded reports whether the next key can't be made, or is overdue: the node
// answers, but not for much longer.
func (n *Node) degraded(now time.Time) bool {
	return n.failing.Load() || now.After(n.keys.newest().Add(n.cfg.Lifetime-n.cfg.Overlap+lateBy))
}

const (
	probeEvery   = 15 * time.Second
	probeTimeout = 10 * time.Second
)

// probe asks the engine for its models, which is also how a node learns
// whether it is up.
func (n *Node) probe(ctx context.Context) []engine.Model {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	models, err := n.cfg.Engine.Models(ctx)
	if up := err == nil; n.engineUp.Swap(up) != up {
		if up {
			n.log.Info("the engine answers", lines.Own("engine", n.cfg.Engine.Name()))
		} else {
			n.log.Warn("the engine doesn't answer", lines.Own("engine", n.cfg.Engine.Name()), lines.Err(err))
		}
	}
	return models
}
