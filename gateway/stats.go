// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// stats are sums over everybody.
type stats struct {
	forwarded, retried, turnedAway atomic.Int64
}

// WriteMetrics writes the gateway's few coarse figures in Prometheus' text
// form. They belong on a listener of the operator's own.
func (g *Gateway) WriteMetrics(w io.Writer) {
	metric := func(name, kind, help string, value int64) {
		fmt.Fprintf(w, "# HELP sotto_gateway_%s %s\n# TYPE sotto_gateway_%[1]s %[3]s\nsotto_gateway_%[1]s %[4]d\n", name, help, kind, value)
	}
	alive := int64(0)
	for _, n := range g.nodes {
		if n.alive.Load() {
			alive++
		}
	}
	live, _ := g.gate.Inside()
	metric("nodes", "gauge", "Nodes that are named.", int64(len(g.nodes)))
	metric("nodes_alive", "gauge", "Nodes that answer.", alive)
	metric("requests_live", "gauge", "Requests under way.", live)
	metric("requests_forwarded_total", "counter", "Requests that a node has answered.", g.stats.forwarded.Load())
	metric("requests_retried_total", "counter", "Nodes that were asked in vain.", g.stats.retried.Load())
	if l := g.publicLog; l != nil {
		l.mu.Lock()
		came, fails := l.view.came, l.fails
		l.mu.Unlock()
		metric("log_failures_total", "counter", "Times that the public log was asked in vain.", fails)
		if !came.IsZero() {
			metric("log_age_seconds", "gauge", "Seconds since the public log answered last.", int64(time.Since(came)/time.Second))
		}
	}
	metric("requests_turned_away_total", "counter", "Requests that were answered with an error in the clear.", g.stats.turnedAway.Load())
}
