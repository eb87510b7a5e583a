// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package gateway is the door to many nodes. It sees sealed bytes only, and it
// can't open them: it imports nothing that can.
//
// Three things are asked of it. The list of nodes is what the nodes say of
// themselves, polled and passed on byte for byte; clients judge it, the gateway
// vouches for nothing. A sealed request names, in the clear, the keys that it
// is sealed to: the gateway sends it to the idlest node that has one of them,
// and to the next if that one is dead or busy and nothing has been answered. And
// it keeps a copy of the public log's view for clients, in the log's own bytes
// (log.go), so that no client need ask elsewhere.
//
// A node learns nothing about who asks. The gateway makes a request of its own
// with two headers, the type and the length; it passes on no other, no
// cookie and no address, and it logs nothing about a request.
package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sotto-chat/sotto/internal/door"
	"github.com/sotto-chat/sotto/internal/lines"
	"github.com/sotto-chat/sotto/ohttp"
)

// Config says which nodes there are. A zero duration or limit means its
// default.
type Config struct {
	// Nodes are the base URLs of the nodes: "http://10.0.0.7:8788".
	Nodes []string

	// Logger gets no value that derives from a request. Nil discards.
	Logger *slog.Logger

	// Log is the base URL of the public log of releases, whose view is passed on to
	// clients: "https://log.example". "" means that none is followed.
	Log string

	// OHTTP are the seeds of the keys that requests behind a relay are sealed to: those
	// of the first are offered, those of all are accepted. Without one the gateway
	// takes no such requests.
	OHTTP []ohttp.Seed

	// KeyLog is the key log, whose view is passed on to clients and by whose list nodes
	// are handed out one by one. Nil means that none is followed.
	KeyLog *KeyLog

	// PollEvery is the time between two looks at each node (10 seconds), LogEvery
	// that between two looks at the log (5 seconds).
	PollEvery, LogEvery time.Duration

	// Issuers are whose tokens pay for sealed requests, the service's own first;
	// without any, requests are free. Spent remembers what was spent.
	Issuers []Issuer
	Spent   SpentTokens

	Limits Limits

	// Dial replaces the dialer; a node in the same process has no port. May be nil.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Limits bound what strangers can make a gateway hold. Zero means the default.
type Limits struct {
	// Requests is how many requests may be under way at once (16,384).
	Requests int
	// RequestBytes is how many bytes they may have together (512 MiB): a
	// request is held until a node has begun to answer, to be sent again.
	RequestBytes int64
	// PerNode is how many requests may be under way at one node (8,192).
	PerNode int
}

// Gateway passes sealed requests to nodes. Make one with [New].
type Gateway struct {
	cfg    Config
	log    lines.Log
	nodes  []*node
	client *http.Transport
	mux    *http.ServeMux
	gate   *door.Gate
	stats  stats

	polling sync.Mutex             // held while the nodes are asked
	polled  time.Time              // when that began last
	list    atomic.Pointer[[]byte] // the answer to GET /sotto/v1/nodes

	publicLog *publicLog // nil where none is followed
	lists     lists
	oblivious *oblivious // nil without a key
	spending  *spending  // nil where requests are free
}

// New makes a gateway. It asks no node before [Gateway.Run] or the first
// request does.
func New(cfg Config) (*Gateway, error) {
	cfg.PollEvery = cmp.Or(cfg.PollEvery, 10*time.Second)
	cfg.LogEvery = cmp.Or(cfg.LogEvery, 5*time.Second)
	cfg.Limits.Requests = cmp.Or(cfg.Limits.Requests, 16384)
	cfg.Limits.RequestBytes = cmp.Or(cfg.Limits.RequestBytes, 512<<20)
	cfg.Limits.PerNode = cmp.Or(cfg.Limits.PerNode, 8192)
	if len(cfg.Nodes) == 0 {
		return nil, errors.New("gateway: no node is named")
	}
	g := &Gateway{cfg: cfg, log: lines.To(cfg.Logger)}
	for _, s := range cfg.Nodes {
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return nil, fmt.Errorf("gateway: %q is not the address of a node: it should look like http://10.0.0.7:8788", s)
		}
		base := u.JoinPath("/").String()
		if slices.ContainsFunc(g.nodes, func(n *node) bool { return n.base == base }) {
			return nil, fmt.Errorf("gateway: the node %q is named twice", s)
		}
		g.nodes = append(g.nodes, &node{base: base, name: u.Host})
	}
	dial := cfg.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTime, KeepAlive: 30 * time.Second}).DialContext
	}
	g.client = &http.Transport{
		// A proxy from the environment, compression and HTTP/2 would all come
		// between a record and its tick.
		Proxy: nil, DisableCompression: true, ForceAttemptHTTP2: false,
		DialContext:         dial,
		TLSHandshakeTimeout: dialTime,
		// Shorter than a node keeps its side, so that no request is sent into a
		// connection that is just being closed.
		IdleConnTimeout:        30 * time.Second,
		MaxIdleConnsPerHost:    1024,
		MaxResponseHeaderBytes: 8 << 10,
		WriteBufferSize:        4 << 10,
		ReadBufferSize:         4 << 10,
	}
	if cfg.Log != "" {
		var err error
		if g.publicLog, err = newPublicLog(cfg.Log, g.client); err != nil {
			return nil, err
		}
	}
	if len(cfg.OHTTP) > 0 {
		var err error
		if g.oblivious, err = newOblivious(cfg.OHTTP, cfg.Limits); err != nil {
			return nil, err
		}
	}
	if len(cfg.Issuers) > 0 {
		var err error
		if g.spending, err = newSpending(cfg.Issuers, cfg.Spent, g.log); err != nil {
			return nil, err
		}
	}
	g.gate = door.NewGate(int64(cfg.Limits.Requests), cfg.Limits.RequestBytes)
	g.publish()
	g.mux = g.routes()
	return g, nil
}

// A node that doesn't take a connection within this time is dead.
const dialTime = 2 * time.Second

// Handler returns the gateway's HTTP interface. The server around it must bound
// the header's size and the time it takes.
func (g *Gateway) Handler() http.Handler { return g.mux }

// Run polls the nodes and the log until ctx ends, and returns nil.
func (g *Gateway) Run(ctx context.Context) error {
	defer g.client.CloseIdleConnections()
	var following sync.WaitGroup
	defer following.Wait()
	if g.spending != nil {
		following.Go(func() { g.spending.run(ctx) })
	}
	for _, i := range g.cfg.Issuers { // other products' key logs, which clients don't get from here
		if l, ok := i.Keys.(*KeyLog); ok && l != g.cfg.KeyLog {
			following.Go(func() { g.followLog(ctx, l.publicLog, func() { g.openKeys(ctx, l) }) })
		}
	}
	if g.publicLog != nil {
		following.Go(func() { g.followLog(ctx, g.publicLog, func() {}) }) // on the side: a log that hangs is no reason to forget nodes
	}
	if l := g.cfg.KeyLog; l != nil {
		following.Go(func() { g.followLog(ctx, l.publicLog, func() { g.openKeys(ctx, l) }) })
	}
	t := time.NewTicker(g.cfg.PollEvery)
	defer t.Stop()
	for {
		g.poll(ctx)
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// node is what the gateway knows about one node.
type node struct {
	base, name string
	busy       atomic.Int64 // requests under way
	alive      atomic.Bool

	mu      sync.Mutex
	id      string
	bundles [][]byte  // exact bytes, as the node sent them
	met     time.Time // when it answered last
	keys    []keyID   // newest last; some of them ended, so that the node can say so
}

func (n *node) has(ids [][16]byte) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.ContainsFunc(n.keys, func(k keyID) bool { return slices.Contains(ids, k) })
}

// pick returns the node to try next: one with any of the keys that has not been
// tried, live before dead, idle before busy, by chance among equals.
func (g *Gateway) pick(ids [][16]byte, tried []*node) *node {
	var best *node
	equal := 0
	for _, n := range g.nodes {
		if slices.Contains(tried, n) || !n.has(ids) {
			continue
		}
		switch {
		case best == nil || better(n, best):
			best, equal = n, 1
		case !better(best, n):
			if equal++; rand.IntN(equal) == 0 {
				best = n
			}
		}
	}
	return best
}

func better(a, b *node) bool {
	if aa, bb := a.alive.Load(), b.alive.Load(); aa != bb {
		return aa
	}
	return a.busy.Load() < b.busy.Load()
}
