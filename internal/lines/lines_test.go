// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package lines

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// coded is an error as SQLite's driver makes them.
type coded struct{}

func (coded) Error() string { return `near "canary": syntax error` }
func (coded) Code() int     { return 5 }

func TestLog(t *testing.T) {
	var b bytes.Buffer
	l := To(slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})))
	l.Info("up", Own("listen", "127.0.0.1:1"), At("until", time.Date(2026, 11, 27, 2, 3, 44, 5, time.UTC)), For("retry_in", time.Second))
	l.Warn("away", Err(errors.New("no route")))
	l.Error("failed", Route(&http.Request{Pattern: "GET /x/{id}"}), Cause(coded{}))
	const want = `level=INFO msg=up listen=127.0.0.1:1 until=2026-11-27T02:03:00.000Z retry_in=1s
level=WARN msg=away error="no route"
level=ERROR msg=failed route="GET /x/{id}" cause="lines.coded 5"
`
	if b.String() != want {
		t.Errorf("got %s", b.String())
	}
	To(nil).Error("nobody hears it")
	Log{}.Info("nor this")
}

// TestCauseQuotesNothing: whatever an error says, its cause is of a closed list.
func TestCauseQuotesNothing(t *testing.T) {
	canary := errors.New("canary")
	for want, err := range map[string]error{
		"context.deadlineExceededError": fmt.Errorf("canary: %w", context.DeadlineExceeded),
		"no space left on device":       &fs.PathError{Op: "write", Path: "/canary", Err: syscall.ENOSPC},
		"lines.coded 5":                 fmt.Errorf("canary: %w", coded{}),
		"*errors.errorString":           fmt.Errorf("canary: %w", canary),
		"<nil>":                         nil,
		"*fmt.wrapErrors":               fmt.Errorf("%w %w", canary, canary),
		"*http.MaxBytesError":           &http.MaxBytesError{Limit: 5},
		"connection reset by peer":      fmt.Errorf("read canary: %w", syscall.ECONNRESET),
		"*lines.strangersOwnStruct":     &strangersOwnStruct{"canary"},
	} {
		if got := Cause(err).attr.Value.String(); got != want {
			t.Errorf("%v is %q, want %q", err, got, want)
		}
	}
}

type strangersOwnStruct struct{ s string }

func (s *strangersOwnStruct) Error() string { return s.s }

func TestCoarse(t *testing.T) {
	for n, want := range map[int64]int64{0: 0, 1: 0, 9: 0, 10: 10, 99: 90, 100: 100, 109: 100, 999: 990, 1000: 1000, 1099: 1000, 1234567: 1200000, 1<<63 - 1: 9200000000000000000} {
		if got := Coarse(n); got != want {
			t.Errorf("%d is %d, want %d", n, got, want)
		}
	}
}

// TestActs: who looks each second sees no single act, and not when it was.
func TestActs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a Acts
		steps, last := 0, int64(0)
		for range 1800 { // half an hour, an act each second
			a.Add(1)
			if a.Load()%10 == 0 && a.Shown()%10 != 0 {
				t.Fatalf("shows %d", a.Shown())
			}
			if now := a.Shown(); now != last {
				if now-last < 10 {
					t.Fatalf("%d became %d", last, now)
				}
				steps, last = steps+1, now
			}
			time.Sleep(time.Second)
		}
		if steps > 6 || last == 0 || a.Load() != 1800 {
			t.Errorf("%d steps in half an hour, to %d of %d", steps, last, a.Load())
		}
	})
}

func TestFigures(t *testing.T) {
	var b strings.Builder
	f := FiguresOf("gateway", &b)
	var a Acts
	for range 57 {
		a.Add(1)
	}
	f.Gauge("nodes", "Nodes that are named.", 3)
	f.Events("failures_total", "Failures.", 1)
	f.Acts("requests_total", "Requests.", &a)
	f.Live("requests_live", "Under way.", 19)
	each := f.Each("pieces", "gauge", "Pieces.", "platform")
	each("gpu", 2)
	each("tpm", 1)
	const want = `# HELP sotto_gateway_nodes Nodes that are named.
# TYPE sotto_gateway_nodes gauge
sotto_gateway_nodes 3
# HELP sotto_gateway_failures_total Failures.
# TYPE sotto_gateway_failures_total counter
sotto_gateway_failures_total 1
# HELP sotto_gateway_requests_total Requests.
# TYPE sotto_gateway_requests_total counter
sotto_gateway_requests_total 50
# HELP sotto_gateway_requests_live Under way.
# TYPE sotto_gateway_requests_live gauge
sotto_gateway_requests_live 10
# HELP sotto_gateway_pieces Pieces.
# TYPE sotto_gateway_pieces gauge
sotto_gateway_pieces{platform="gpu"} 2
sotto_gateway_pieces{platform="tpm"} 1
`
	if b.String() != want {
		t.Errorf("got %s", b.String())
	}
}
