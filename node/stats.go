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
	"github.com/sotto-chat/sotto/internal/lines"
)

// stats are sums over everybody: none is per person, per request or per model.
type stats struct {
	opened, resumed, fresh, panics       lines.Acts
	evidenceFailures, checkpointFailures atomic.Int64
	live                                 atomic.Int64
	turnedAway                           [len(codes)]lines.Acts // by place in codes

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
var codes = [...]string{door.Busy, door.EngineAway, door.Failed, door.KeyExpired, door.KeyUnknown, door.Malformed, door.Replayed, door.TooLarge}

func (s *stats) turnAway(code string) {
	if i := slices.Index(codes[:], code); i >= 0 {
		s.turnedAway[i].Add(1)
	}
}

// WriteMetrics writes the node's few coarse figures in Prometheus' text form.
// They belong on a listener of the operator's own.
func (n *Node) WriteMetrics(w io.Writer) {
	f := lines.FiguresOf("node", w)
	now := time.Now()
	keys, until := n.keys.count(now)
	answers, bytes := n.shelf.usage()
	up := int64(0)
	if n.engineUp.Load() {
		up = 1
	}
	f.Gauge("engine_up", "1 if the engine answered when it was last asked.", up)
	f.Gauge("keys_live", "Keys that open requests.", int64(keys))
	if keys > 0 {
		f.Gauge("key_seconds_left", "Seconds until the newest key ends.", int64(until.Sub(now)/time.Second))
	}
	f.Events("evidence_failures_total", "Times that the hardware did not vouch for a key.", n.stats.evidenceFailures.Load())
	f.Gauge("evidence_age_seconds", "Seconds since the hardware vouched for the newest key.", int64(now.Sub(n.keys.newest())/time.Second))
	pieces := f.Each("evidence_pieces", "gauge", "What each kind of hardware gave when it was last asked.", "platform")
	n.stats.piecesMu.Lock()
	for _, p := range slices.Sorted(maps.Keys(n.stats.pieces)) {
		pieces(p, n.stats.pieces[p])
	}
	n.stats.piecesMu.Unlock()
	if a := n.anchor.Load(); a != nil {
		f.Events("checkpoint_failures_total", "Times that the public log did not give its checkpoint for a new key.", n.stats.checkpointFailures.Load())
		f.Gauge("checkpoint_age_seconds", "Seconds since the checkpoint came that the newest key names.", int64(now.Sub(a.came)/time.Second))
	}
	f.Acts("fresh_evidence_total", "Times that the hardware vouched for somebody's own nonce.", &n.stats.fresh)
	f.Acts("requests_opened_total", "Requests opened.", &n.stats.opened)
	turnedAway := f.Each("requests_turned_away_total", "counter", "Requests refused before they were opened.", "code")
	for i, code := range codes {
		turnedAway(code, n.stats.turnedAway[i].Shown())
	}
	f.Acts("answers_resumed_total", "Answers taken up again after a lost connection.", &n.stats.resumed)
	f.Live("answers_live", "Answers being made.", n.stats.live.Load())
	f.Live("answers_kept", "Answers in memory that can be resumed.", int64(answers))
	f.Live("answers_kept_bytes", "Memory for them, in whole MiB.", bytes>>20<<20)
	f.Acts("panics_total", "Faults of this program that one request ran into.", &n.stats.panics)
}

// contain keeps a panic to the request that ran into it. It must be deferred.
func (n *Node) contain(where string) {
	if v := recover(); v != nil {
		n.fault(where, v)
	}
}

// fault counts a panic and logs its place, never its words: they may quote a
// request, and those of the runtime quote its lengths.
func (n *Node) fault(where string, v any) {
	n.stats.panics.Add(1)
	n.log.Error("a request ran into a fault of this program", lines.Own("where", where), lines.Own("what", fmt.Sprintf("%T", v)), lines.Own("stack", places()))
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
