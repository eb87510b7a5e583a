// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"io"
	"time"

	"github.com/sotto-chat/sotto/internal/lines"
)

// stats are sums over everybody.
type stats struct {
	forwarded, retried, turnedAway lines.Acts
}

// WriteMetrics writes the gateway's few coarse figures in Prometheus' text
// form. They belong on a listener of the operator's own.
func (g *Gateway) WriteMetrics(w io.Writer) {
	f := lines.FiguresOf("gateway", w)
	alive := int64(0)
	for _, n := range g.nodes {
		if n.alive.Load() {
			alive++
		}
	}
	live, _ := g.gate.Inside()
	f.Gauge("nodes", "Nodes that are named.", int64(len(g.nodes)))
	f.Gauge("nodes_alive", "Nodes that answer.", alive)
	f.Live("requests_live", "Requests under way.", live)
	f.Acts("requests_forwarded_total", "Requests that a node has answered.", &g.stats.forwarded)
	f.Acts("requests_retried_total", "Nodes that were asked in vain.", &g.stats.retried)
	if s := g.spending; s != nil {
		f.Acts("tokens_spent_total", "Tokens that were spent.", &s.spends)
		f.Acts("tokens_refused_total", "Tokens that were refused.", &s.refused)
		f.Acts("tokens_refunded_total", "Refunds that were given.", &s.refunded)
	}
	if l := g.publicLog; l != nil {
		l.mu.Lock()
		came, fails := l.view.came, l.fails
		l.mu.Unlock()
		f.Events("log_failures_total", "Times that the public log was asked in vain.", fails)
		if !came.IsZero() {
			f.Gauge("log_age_seconds", "Seconds since the public log answered last.", int64(time.Since(came)/time.Second))
		}
	}
	f.Acts("requests_turned_away_total", "Requests that were answered with an error in the clear.", &g.stats.turnedAway)
}
