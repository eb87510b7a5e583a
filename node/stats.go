// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sotto-chat/sotto/attest/bundle"
	"github.com/sotto-chat/sotto/internal/door"
)

// stats are sums over everybody: none is per person, per request or per model.
type stats struct {
	opened, resumed, fresh, records, panics atomic.Int64
	evidenceFailures, checkpointFailures    atomic.Int64
	live                                    atomic.Int64
	turnedAway                              [len(codes)]atomic.Int64 // by place in codes

	piecesMu sync.Mutex
	pieces   map[string]int64 // of evidence for the newest key, by platform
}

// countPieces counts what there is of evidence. A platform that fell silent
// stays in the list with none.
func (s *stats) countPieces(evidence []bundle.Evidence) {
	s.piecesMu.Lock()
	defer s.piecesMu.Unlock()
	if s.pieces == nil {
		s.pieces = make(map[string]int64)
	}
	for p := range s.pieces {
		s.pieces[p] = 0
	}
	for _, e := range evidence {
		s.pieces[e.Platform]++
	}
}

// codes are the reasons for which a request is turned away.
var codes = [...]string{door.Busy, door.Failed, door.KeyExpired, door.KeyUnknown, door.Malformed, door.Replayed, door.TooLarge}

func (s *stats) turnAway(code string) {
	if i := slices.Index(codes[:], code); i >= 0 {
		s.turnedAway[i].Add(1)
	}
}

// WriteMetrics writes the node's few coarse figures in Prometheus' text form.
// They belong on a listener of the operator's own.
func (n *Node) WriteMetrics(w io.Writer) {
	metric := func(name, kind, help string, value int64) {
		fmt.Fprintf(w, "# HELP sotto_node_%s %s\n# TYPE sotto_node_%[1]s %[3]s\nsotto_node_%[1]s %[4]d\n", name, help, kind, value)
	}
	now := time.Now()
	keys, until := n.keys.count(now)
	answers, bytes := n.shelf.usage()
	up := int64(0)
	if n.engineUp.Load() {
		up = 1
	}
	metric("engine_up", "gauge", "1 if the engine answered when it was last asked.", up)
	metric("keys_live", "gauge", "Keys that open requests.", int64(keys))
	if keys > 0 {
		metric("key_seconds_left", "gauge", "Seconds until the newest key ends.", int64(until.Sub(now)/time.Second))
	}
	metric("evidence_failures_total", "counter", "Times that the hardware did not vouch for a key.", n.stats.evidenceFailures.Load())
	metric("evidence_age_seconds", "gauge", "Seconds since the hardware vouched for the newest key.", int64(now.Sub(n.keys.newest())/time.Second))
	fmt.Fprint(w, "# HELP sotto_node_evidence_pieces What each kind of hardware gave when it was last asked.\n# TYPE sotto_node_evidence_pieces gauge\n")
	n.stats.piecesMu.Lock()
	for _, p := range slices.Sorted(maps.Keys(n.stats.pieces)) {
		fmt.Fprintf(w, "sotto_node_evidence_pieces{platform=%q} %d\n", p, n.stats.pieces[p])
	}
	n.stats.piecesMu.Unlock()
	if a := n.anchor.Load(); a != nil {
		metric("checkpoint_failures_total", "counter", "Times that the public log did not give its checkpoint for a new key.", n.stats.checkpointFailures.Load())
		metric("checkpoint_age_seconds", "gauge", "Seconds since the checkpoint came that the newest key names.", int64(now.Sub(a.came)/time.Second))
	}
	metric("fresh_evidence_total", "counter", "Times that the hardware vouched for somebody's own nonce.", n.stats.fresh.Load())
	metric("requests_opened_total", "counter", "Requests opened.", n.stats.opened.Load())
	fmt.Fprint(w, "# HELP sotto_node_requests_turned_away_total Requests refused before they were opened.\n# TYPE sotto_node_requests_turned_away_total counter\n")
	for i, code := range codes {
		fmt.Fprintf(w, "sotto_node_requests_turned_away_total{code=%q} %d\n", code, n.stats.turnedAway[i].Load())
	}
	metric("answers_resumed_total", "counter", "Answers taken up again after a lost connection.", n.stats.resumed.Load())
	metric("stream_records_total", "counter", "Records of streams that came to their end.", n.stats.records.Load())
	metric("answers_live", "gauge", "Answers being made.", n.stats.live.Load())
	metric("answers_kept", "gauge", "Answers in memory that can be resumed.", int64(answers))
	metric("answers_kept_bytes", "gauge", "Memory for them.", bytes)
	metric("panics_total", "counter", "Faults of this program that one request ran into.", n.stats.panics.Load())
}

// contain keeps a panic to the request that ran into it. It must be deferred.
func (n *Node) contain(where string) {
	if v := recover(); v != nil {
		n.fault(where, v)
	}
}

// fault counts a panic and logs its place, never its words: they may quote a
// request. Those of the runtime quote numbers and types only.
func (n *Node) fault(where string, v any) {
	n.stats.panics.Add(1)
	what := fmt.Sprintf("%T", v)
	if e, ok := v.(runtime.Error); ok {
		what = e.Error()
	}
	n.log.Error("a request ran into a fault of this program", "where", where, "what", what, "stack", places())
}

// places names the lines that led to a panic. A stack as the runtime prints it
// shows arguments too: lengths of what somebody wrote, and bytes of it.
func places() string {
	pc := make([]uintptr, 64)
	frames := runtime.CallersFrames(pc[:runtime.Callers(3, pc)])
	var b strings.Builder
	for {
		f, more := frames.Next()
		fmt.Fprintf(&b, "%s %s:%d\n", f.Function, filepath.Base(f.File), f.Line)
		if !more {
			return b.String()
		}
	}
}
