// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sotto-chat/sotto/engine"
	"github.com/sotto-chat/sotto/seal"
)

// realTick is a tick between whole words.
const realTick = 40 * time.Millisecond

func real40(c *Config) { c.Tick = realTick }

// Whatever the engine does between its first byte and its last, the outside
// sees the same: records of one size on one tick.
func TestShapeTellsNothing(t *testing.T) {
	// Each answer takes 2 s from first byte to last and fits one record a tick.
	scripts := map[string][]step{
		"one word":   {{write: delta("yes")}, {wait: 2 * time.Second, write: stop + end}},
		"even words": nil,
		"bursts":     nil,
		"an error":   {{write: delta("no")}, {wait: 2 * time.Second, err: io.ErrUnexpectedEOF}},
		"rubbish":    {{write: delta("no")}, {wait: 2 * time.Second, write: "<html>\n\n"}},
	}
	for range 100 {
		scripts["even words"] = append(scripts["even words"], step{wait: 20 * time.Millisecond, write: delta("word ")})
	}
	scripts["even words"][0].wait = 20 * time.Millisecond
	scripts["even words"] = append(scripts["even words"], step{wait: 20 * time.Millisecond, write: stop + end})
	for range 4 {
		scripts["bursts"] = append(scripts["bursts"], step{write: strings.Repeat(delta("burst "), 30)}, step{wait: 500 * time.Millisecond, write: delta("x")})
	}
	scripts["bursts"] = append(scripts["bursts"], step{write: stop + end})

	for name, steps := range scripts {
		synctest.Test(t, func(t *testing.T) {
			n := newNode(t, &script{steps: steps}, real40)
			msg, ex := sealFor(t, keysOf(t, n), chat(""))
			c := send(n, msg)
			open(t, ex, c)
			c.wait()
			first := c.flushes[0].at
			for i, f := range c.flushes {
				want := 1024
				if i == 0 {
					want += seal.AnswerHeaderSize
				}
				if f.size != want {
					t.Errorf("%s: piece %d has %d bytes", name, i, f.size)
				}
				if at := f.at.Sub(first); at != time.Duration(i)*realTick {
					t.Errorf("%s: piece %d comes at %v", name, i, at)
				}
			}
			// 2 s are 51 records or so; all round up to the same.
			if len(c.flushes) != 128 {
				t.Errorf("%s: %d records, want 128", name, len(c.flushes))
			}
		})
	}
}

func TestFirstRecordAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, &script{steps: []step{{wait: 1234 * time.Millisecond, write: delta("Hi")}, {wait: time.Second, write: end}}}, real40)
		msg, ex := sealFor(t, keysOf(t, n), chat(""))
		start := time.Now()
		c := send(n, msg)
		a, err := ex.OpenAnswer(c)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 2000)
		k, err := a.Read(b)
		if err != nil || !strings.Contains(string(b[:k]), `"Hi"`) || time.Since(start) != 1234*time.Millisecond {
			t.Errorf("after %v: %q, %v", time.Since(start), b[:k], err)
		}
		c.wait()
	})
}

// The words of one tick travel as one event.
func TestTicksMerge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var steps []step
		for range 40 {
			steps = append(steps, step{wait: 10 * time.Millisecond, write: delta("w ")})
		}
		n := newNode(t, &script{steps: append(steps, step{write: end})}, real40)
		msg, ex := sealFor(t, keysOf(t, n), chat(""))
		_, body, _ := open(t, ex, send(n, msg))
		if words(t, body) != strings.Repeat("w ", 40) {
			t.Errorf("words lost: %q", body)
		}
		if got := strings.Count(body, "data: {"); got < 10 || got > 12 {
			t.Errorf("%d events for 40 words in 10 ticks", got)
		}
	})
}

// A stream that piles up shifts up, and never down.
func TestShiftsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var steps []step
		var want strings.Builder
		for i := range 400 { // 400 kB that can't be merged
			ev := fmt.Sprintf("data: {\"n\":%d,\"x\":%q}\n\n", i, strings.Repeat("z", 1000))
			want.WriteString(ev)
			steps = append(steps, step{wait: time.Millisecond, write: ev})
		}
		steps = append(steps, step{write: end})
		n := newNode(t, &script{steps: steps}, real40)
		msg, ex := sealFor(t, keysOf(t, n), chat(""))
		c := send(n, msg)
		start := time.Now()
		_, body, _ := open(t, ex, c)
		if body != want.String()+end {
			t.Error("the stream was changed")
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("took %v", took)
		}
		c.wait()
		per := map[time.Time]int{}
		var ticks []time.Time
		for _, f := range c.flushes {
			if per[f.at] == 0 {
				ticks = append(ticks, f.at)
			}
			per[f.at] += f.size / 1024
		}
		for i := 1; i < len(ticks)-1; i++ {
			if per[ticks[i]] < per[ticks[i-1]] {
				t.Errorf("tick %d carries %d records after %d", i, per[ticks[i]], per[ticks[i-1]])
			}
		}
		if per[ticks[len(ticks)-2]] != topGear {
			t.Errorf("top is %d records a tick", per[ticks[len(ticks)-2]])
		}
	})
}

// An engine that runs ahead is held back; what waits is bounded.
func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var steps []step
		for range 2000 {
			steps = append(steps, step{write: fmt.Sprintf("data: {\"x\":%q}\n\n", strings.Repeat("z", 1000))})
		}
		e := &script{steps: steps}
		n := newNode(t, e, real40)
		msg, _ := sealFor(t, keysOf(t, n), chat(""))
		c := send(n, msg)
		time.Sleep(time.Second)
		synctest.Wait()
		c.mu.Lock()
		sent := len(c.all)
		c.mu.Unlock()
		if _, _, done := e.counts(); done != 0 {
			t.Error("the engine was read to its end")
		}
		if sent > 25*topGear*1024+2000 {
			t.Errorf("%d bytes in a second", sent)
		}
		c.hangUp()
		c.wait()
		if _, stopped, _ := e.counts(); stopped != 0 {
			t.Error("unexpected") // this script never waits, so it can't notice
		}
	})
}

func TestDisconnectStopsEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &script{steps: []step{{write: delta("a")}, {wait: time.Hour, write: end}}}
		n := newNode(t, e, nil)
		msg, ex := sealFor(t, keysOf(t, n), chat(""))
		c := send(n, msg)
		a, err := ex.OpenAnswer(c)
		if err != nil {
			t.Fatal(err)
		}
		a.Read(make([]byte, 100))
		c.hangUp()
		c.wait()
		synctest.Wait()
		if _, stopped, _ := e.counts(); stopped != 1 {
			t.Error("the engine works on")
		}
		if n.stats.live.Load() != 0 {
			t.Error("the answer still counts as live")
		}
	})
}

// A client whose connection takes nothing any more, without having said so.
func TestDeadConnectionStopsEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &script{steps: []step{{write: delta("a")}, {wait: time.Hour, write: end}}}
		n := newNode(t, e, nil)
		msg, _ := sealFor(t, keysOf(t, n), chat(""))
		c := send(n, msg)
		time.Sleep(time.Second)
		c.mu.Lock()
		c.broken = true // writes fail; the request's context lives on
		c.mu.Unlock()
		start := time.Now()
		c.wait()
		if took := time.Since(start); took > time.Second {
			t.Errorf("noticed after %v", took)
		}
		if _, stopped, _ := e.counts(); stopped != 1 {
			t.Error("the engine works on")
		}
	})
}

func TestStreamErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		last step
		code string
	}{
		"cut off":            {step{err: io.ErrUnexpectedEOF}, engine.CodeCut},
		"cut in an event":    {step{write: `data: {"choi`}, engine.CodeCut},
		"not an event":       {step{write: "Internal Server Error\n\n"}, engine.CodeMalformed},
		"not json":           {step{write: "data: {]\n\n"}, engine.CodeMalformed},
		"a panic":            {step{panic: true}, engine.CodeCut},
		"its own error":      {step{err: &engine.Error{Status: 500, Code: "overheated", Message: "Too hot."}}, "overheated"},
		"its own last event": {step{write: `data: {"error":{"message":"Too hot.","code":"overheated"}}` + "\n\n"}, "overheated"},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := newNode(t, &script{steps: []step{{write: delta("so far")}, {wait: time.Second}, tt.last}}, real40)
			msg, ex := sealFor(t, keysOf(t, n), chat(""))
			resp, body, _ := open(t, ex, send(n, msg))
			events := strings.Split(strings.TrimSpace(body), "\n\n")
			if resp.Status != 200 || words(t, events[0]) != "so far" {
				t.Errorf("%s: %q", name, body)
			}
			last, _ := strings.CutPrefix(events[len(events)-1], "data: ")
			if len(events) != 2 || errorCode(last) != tt.code {
				t.Errorf("%s: ends with %q", name, last)
			}
		})
	}
}

func TestAnswerTakesTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &script{steps: []step{{write: delta("a")}, {wait: 2 * time.Hour, write: end}}}
		n := newNode(t, e, func(c *Config) { c.Limits.AnswerTime = 5 * time.Minute; c.Tick = time.Second })
		for _, id := range []string{"", randomID()} {
			msg, ex := sealFor(t, keysOf(t, n), chat(id))
			c := send(n, msg)
			a, err := ex.OpenAnswer(c)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(a)
			if err != nil || !strings.Contains(string(b), engine.CodeSlow) {
				t.Errorf("%v, %q", err, b)
			}
			c.wait()
		}
		if _, stopped, _ := e.counts(); stopped != 2 {
			t.Errorf("%d answers stopped", stopped)
		}
	})
}
