// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package testservice runs a whole service in one process for tests: a gateway,
// real nodes with software evidence, and at the edge of the machine a model
// server that does what a test tells it to.
package testservice

import (
	"cmp"
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/software"
	"github.com/sotto-chat/sotto/attest/software/forge"
	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/client/nethttp"
	"github.com/sotto-chat/sotto/engine"
	"github.com/sotto-chat/sotto/gateway"
	"github.com/sotto-chat/sotto/node"
)

// A Service is a running service with software nodes.
type Service struct {
	URL      string // of the gateway
	Upstream *Upstream
	Nodes    []*node.Node

	gateway *httptest.Server
	nodes   []*httptest.Server
}

// Options change what Start starts; the zero value is one node.
type Options struct {
	Nodes int
	// Node is completed and used for each node.
	Node node.Config
	// Handle is tried first for every request to the gateway; it returns false
	// for what it leaves to it. It may be nil.
	Handle func(http.ResponseWriter, *http.Request) bool
	// Engine changes the engine that every node has, such as what it says of its
	// models. It may be nil.
	Engine func(engine.Engine) engine.Engine
}

// Start starts a service that ends with the test.
func Start(t testing.TB, o Options) *Service {
	t.Helper()
	s, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Run starts a service that its caller closes.
func Run(ctx context.Context, o Options) (*Service, error) {
	s := &Service{Upstream: NewUpstream()}
	e, err := engine.Open(engine.Options{Spec: s.Upstream.URL})
	if err != nil {
		return nil, err
	}
	if o.Engine != nil {
		e = o.Engine(e)
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	s.Upstream.onClose = func() { stop(); running.Wait(); e.Close() }

	var urls []string
	for range max(o.Nodes, 1) {
		cfg := o.Node
		// An answer of any length is padded to many records: tests don't wait for them.
		cfg.Tick = cmp.Or(cfg.Tick, 10*time.Millisecond)
		cfg.Engine = e
		cfg.Evidence = forge.Evidence
		n, err := node.New(cfg)
		if err != nil {
			s.Close()
			return nil, err
		}
		running.Go(func() { n.Run(run) })
		server := httptest.NewServer(n.Handler())
		s.Nodes = append(s.Nodes, n)
		s.nodes = append(s.nodes, server)
		urls = append(urls, server.URL)
	}
	g, err := gateway.New(gateway.Config{Nodes: urls, PollEvery: 100 * time.Millisecond})
	if err != nil {
		s.Close()
		return nil, err
	}
	running.Go(func() { g.Run(run) })
	s.gateway = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if o.Handle == nil || !o.Handle(w, r) {
			g.Handler().ServeHTTP(w, r)
		}
	}))
	s.URL = s.gateway.URL
	return s, s.waitReady(ctx)
}

// waitReady waits until the gateway has the evidence of all nodes.
func (s *Service) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		c := s.NewClient(client.Config{})
		verdicts, err := c.Verify(ctx)
		c.CloseNow()
		if err == nil && len(verdicts) == min(len(s.Nodes), 16) { // a client looks at a sample
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

// StopNode ends the server of one node; the gateway has to notice.
func (s *Service) StopNode(i int) {
	s.nodes[i].CloseClientConnections()
	s.nodes[i].Close()
}

// DropConnections cuts all connections to the gateway.
func (s *Service) DropConnections() { s.gateway.CloseClientConnections() }

// NewClient returns a client of the service that accepts software nodes; what
// cfg has set stays. The caller closes it.
func (s *Service) NewClient(cfg client.Config) *client.Client {
	if cfg.Transport == nil {
		cfg.Transport = nethttp.New(s.URL)
	}
	if cfg.Platforms == nil {
		cfg.Platforms = []attest.Platform{software.Platform{}}
		cfg.Policy.AllowSoftware = true
	}
	return client.New(cfg)
}

// Close ends everything.
func (s *Service) Close() {
	for _, server := range append(s.nodes, s.gateway) {
		if server != nil {
			server.CloseClientConnections()
			server.Close()
		}
	}
	s.Upstream.Close()
}
