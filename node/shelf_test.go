// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sotto-chat/sotto/engine"
	"github.com/sotto-chat/sotto/seal"
	"github.com/sotto-chat/sotto/seal/bhttp"
)

// long is an answer of count words, one every 100 ms.
func long(count int) []step {
	var steps []step
	for i := range count {
		steps = append(steps, step{wait: 100 * time.Millisecond, write: delta(fmt.Sprintf("w%d ", i))})
	}
	return append(steps, step{write: stop + end})
}

func longText(count int) string {
	var out strings.Builder
	for i := range count {
		fmt.Fprintf(&out, "w%d ", i)
	}
	return out.String()
}

// resume asks for a kept answer from record next on.
func resume(t testing.TB, n *Node, id string, next uint64) (*conn, *seal.Exchange) {
	t.Helper()
	msg, ex := sealFor(t, keysOf(t, n)[:1], post("/sotto/v1/resume", fmt.Sprintf(`{"id":%q,"next":%d}`, id, next)))
	return send(n, msg), ex
}

// Whenever the connection drops and wherever the client goes on, it gets the
// very same bytes.
func TestResumeGivesTheSameBytes(t *testing.T) {
	for _, drop := range []time.Duration{0, 50 * time.Millisecond, 700 * time.Millisecond, 1990 * time.Millisecond, 10 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			e := &script{steps: long(20)}
			n := newNode(t, e, real40)
			id := randomID()
			msg, ex := sealFor(t, keysOf(t, n), chat(id))
			c := send(n, msg)
			time.Sleep(drop)
			c.hangUp()
			c.wait()
			got := bytes.Clone(c.all)

			time.Sleep(300 * time.Millisecond)
			again, _ := resume(t, n, id, 0)
			again.wait()
			whole := again.all
			if !bytes.HasPrefix(whole, got) {
				t.Fatalf("dropped after %v: the bytes differ", drop)
			}
			if _, body, _ := open(t, ex, bytes.NewReader(whole)); words(t, body) != longText(20) {
				t.Errorf("dropped after %v: the answer reads %q", drop, body)
			}
			records := (len(whole) - seal.AnswerHeaderSize) / 1024
			for next := 0; next <= records; next += 7 {
				c, _ := resume(t, n, id, uint64(next))
				c.wait()
				want := append(bytes.Clone(whole[:seal.AnswerHeaderSize]), whole[seal.AnswerHeaderSize+next*1024:]...)
				if !bytes.Equal(c.all, want) {
					t.Errorf("dropped after %v, resumed at %d of %d: the bytes differ", drop, next, records)
				}
			}
			if asked, stopped, done := e.counts(); asked != 1 || stopped != 0 || done != 1 {
				t.Errorf("the engine was asked %d times, stopped %d, done %d", asked, stopped, done)
			}
		})
	}
}

// The client's own reader goes on where it was, while the answer still comes.
func TestResumeLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, &script{steps: long(30)}, real40)
		id := randomID()
		msg, ex := sealFor(t, keysOf(t, n), chat(id))
		c := send(n, msg)
		a, err := ex.OpenAnswer(c)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := bhttp.ReadResponse(a)
		if err != nil || resp.Status != 200 {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, c.hangUp)
		if _, err := io.ReadAll(resp.Body); err == nil {
			t.Fatal("a dropped connection looks like an end")
		}
		before := a.Next()
		c2, _ := resume(t, n, id, a.Next())
		a2, err := ex.ResumeAnswer(c2, a.Header(), a.Next())
		if err != nil || !a2.Resumed() {
			t.Fatalf("%v, resumed %v", err, a2.Resumed())
		}
		if _, err := io.ReadAll(a2); err != nil {
			t.Fatal(err)
		}
		if err := a2.Drain(); err != nil || a2.Next() <= before {
			t.Errorf("%v, records %d after %d", err, a2.Next(), before)
		}
	})
}

// A resumption that finds nothing is answered with an answer of its own.
func TestResumeFindsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, &script{steps: long(2)}, real40)
		go n.Run(t.Context())
		id := randomID()
		msg, ex := sealFor(t, keysOf(t, n), chat(id))
		_, _, a := open(t, ex, send(n, msg))
		for name, ask := range map[string]struct {
			id   string
			next uint64
			wait time.Duration
		}{
			"other id":       {randomID(), 0, 0},
			"beyond the end": {id, a.Next() + 1, 0},
			"far beyond":     {id, 1 << 63, 0},
		} {
			c, rex := resume(t, n, ask.id, ask.next)
			r, err := ex.ResumeAnswer(io.MultiReader(c), a.Header(), ask.next)
			if err != nil || r.Resumed() {
				t.Fatalf("%s: %v, resumed %v", name, err, r.Resumed())
			}
			c.wait()
			if resp, body, _ := open(t, rex, bytes.NewReader(c.all)); resp.Status != 410 || errorCode(body) != "answer_gone" {
				t.Errorf("%s: status %d, %s", name, resp.Status, body)
			}
		}
		time.Sleep(n.cfg.KeepAnswers)
		c, rex := resume(t, n, id, 0)
		if resp, _, _ := open(t, rex, c); resp.Status != 410 {
			t.Errorf("after the keeping time: status %d", resp.Status)
		}
		if answers, bytes := n.shelf.usage(); answers != 0 || bytes != 0 {
			t.Errorf("%d answers, %d bytes still kept", answers, bytes)
		}
	})
}

func TestCancelStopsEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &script{steps: append(long(5), step{wait: time.Hour, write: end})}
		n := newNode(t, e, real40)
		id := randomID()
		keys := keysOf(t, n)
		msg, ex := sealFor(t, keys, chat(id))
		c := send(n, msg)
		time.Sleep(time.Second)
		c.hangUp()
		c.wait()
		time.Sleep(time.Minute)
		if _, stopped, _ := e.counts(); stopped != 0 {
			t.Fatal("the engine stopped with the connection")
		}
		msg, cex := sealFor(t, keys, post("/sotto/v1/cancel", fmt.Sprintf(`{"id":%q}`, id)))
		resp, body, _ := open(t, cex, send(n, msg))
		if resp.Status != 200 || body != `{"cancelled":true}` {
			t.Errorf("status %d, %s", resp.Status, body)
		}
		synctest.Wait()
		if _, stopped, _ := e.counts(); stopped != 1 {
			t.Error("the engine works on")
		}
		// What came is still there, and says that it was stopped.
		again, _ := resume(t, n, id, 0)
		_, body, _ = open(t, ex, again)
		if words(t, body) != longText(5) || !strings.Contains(body, engine.CodeStopped) {
			t.Errorf("what is left: %q", body)
		}
		if n.stats.live.Load() != 0 {
			t.Error("it still counts as live")
		}
	})
}

// A cancel that comes before the engine has said anything.
func TestCancelBeforeFirstByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &script{steps: []step{{wait: time.Hour, write: end}}}
		n := newNode(t, e, real40)
		id := randomID()
		keys := keysOf(t, n)
		msg, ex := sealFor(t, keys, chat(id))
		c := send(n, msg)
		synctest.Wait()
		msg, cex := sealFor(t, keys, post("/sotto/v1/cancel", fmt.Sprintf(`{"id":%q}`, id)))
		open(t, cex, send(n, msg))
		if _, body, _ := open(t, ex, c); !strings.Contains(body, engine.CodeStopped) {
			t.Errorf("%q", body)
		}
	})
}

func TestAnswerIDInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, &script{steps: long(1)}, real40)
		id := randomID()
		for i, want := range []int{200, 409} {
			msg, ex := sealFor(t, keysOf(t, n), chat(id))
			if resp, _, _ := open(t, ex, send(n, msg)); resp.Status != want {
				t.Errorf("answer %d: status %d", i, resp.Status)
			}
		}
	})
}

// Memory for kept answers is bounded: the first to end goes first.
func TestShelfIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, &script{steps: []step{{write: delta("x") + end}}}, func(c *Config) { c.Limits.KeptBytes = 3 * 8 * chunkSize })
		var ids []string
		for range 5 { // 128 records, eight chunks each
			id := randomID()
			ids = append(ids, id)
			msg, ex := sealFor(t, keysOf(t, n), chat(id))
			open(t, ex, send(n, msg))
		}
		for i, id := range ids {
			c, rex := resume(t, n, id, 128)
			c.wait()
			there := len(c.all) == seal.AnswerHeaderSize
			if there != (i >= 2) {
				t.Errorf("answer %d of 5: there %v", i, there)
			}
			if !there {
				open(t, rex, bytes.NewReader(c.all))
			}
		}
		if answers, bytes := n.shelf.usage(); answers != 3 || bytes != 3*8*chunkSize {
			t.Errorf("%d answers, %d bytes", answers, bytes)
		}
	})
}

// A running answer without room loses its oldest records, and goes on.
func TestRunningAnswerGivesUpItsOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, &script{steps: long(100)}, func(c *Config) { c.Tick = realTick; c.Limits.KeptBytes = 6 * chunkSize })
		id := randomID()
		msg, ex := sealFor(t, keysOf(t, n), chat(id))
		c := send(n, msg)
		if _, body, _ := open(t, ex, c); words(t, body) != longText(100) {
			t.Error("the connected reader lost something")
		}
		c.wait()
		k := n.shelf.get(answerID(mustID(t, id)))
		if len(k.chunks) != 6 || k.base == 0 || k.charged != 6*chunkSize {
			t.Errorf("%d chunks from record %d, %d bytes", len(k.chunks), k.base, k.charged)
		}
		for _, next := range []uint64{0, k.base - 1, k.base, k.count - 1} {
			r, _ := resume(t, n, id, next)
			r.wait()
			same := bytes.Equal(r.all[seal.AnswerHeaderSize:], c.all[seal.AnswerHeaderSize+int(next)*1024:])
			if same != (next >= k.base) {
				t.Errorf("resumed at %d of %d..%d: same %v", next, k.base, k.count, same)
			}
		}
	})
}

// A reader that lags behind what is kept is cut off, not left waiting.
func TestLaggingReader(t *testing.T) {
	k := &kept{shelf: newShelf(time.Minute, 0)}
	if err := k.begin([]byte("header"), 1024, -1); err != nil {
		t.Fatal(err)
	}
	rec := make([]byte, 1024)
	for i := range 16*minChunks + 1 {
		if _, _, _, err := k.from(0); err != nil {
			t.Fatalf("cut off at record %d", i)
		}
		k.record(rec, false)
	}
	if _, _, _, err := k.from(0); err == nil {
		t.Error("records that are gone are promised")
	}
	if _, batch, _, err := k.from(16); err != nil || len(batch) != chunkSize {
		t.Errorf("%d bytes, %v", len(batch), err)
	}
}

func mustID(t *testing.T, s string) answerID {
	t.Helper()
	id, err := decodeAnswerID(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// Bulk answers are kept too, and one that broke off is not waited for.
func TestKeptBulk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		big := strings.Repeat("0123456789abcdef", 10_000)
		e := &script{contentType: "application/json", steps: []step{{write: big}}}
		n := newNode(t, e, nil)
		id := randomID()
		msg, ex := sealFor(t, keysOf(t, n), chat(id))
		c := send(n, msg)
		if _, body, _ := open(t, ex, c); body != big {
			t.Error("differs")
		}
		r, _ := resume(t, n, id, 4)
		r.wait()
		if !bytes.Equal(r.all[seal.AnswerHeaderSize:], c.all[seal.AnswerHeaderSize+4*16384:]) {
			t.Error("resumed bytes differ")
		}

		e.steps = append(e.steps, step{err: io.ErrUnexpectedEOF})
		id = randomID()
		msg, ex = sealFor(t, keysOf(t, n), chat(id))
		c = send(n, msg)
		a, err := ex.OpenAnswer(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(a); err == nil {
			t.Error("a broken answer looks whole")
		}
		r, rex := resume(t, n, id, a.Next())
		if resp, body, _ := open(t, rex, r); resp.Status != 410 {
			t.Errorf("resuming where it broke: status %d, %s", resp.Status, body)
		}
	})
}

// When the node stops, answers without a connection stop with it.
func TestRunEndsAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &script{steps: []step{{write: delta("a")}, {wait: 10 * time.Minute, write: end}}}
		n := newNode(t, e, nil)
		ctx, cancel := context.WithCancel(t.Context())
		go n.Run(ctx)
		msg, _ := sealFor(t, keysOf(t, n), chat(randomID()))
		c := send(n, msg)
		time.Sleep(time.Second)
		cancel()
		c.wait()
		synctest.Wait()
		if _, stopped, _ := e.counts(); stopped != 1 {
			t.Error("the engine works on")
		}
	})
}
