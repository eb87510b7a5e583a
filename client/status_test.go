// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/software"
	"github.com/sotto-chat/sotto/seal"
	"github.com/sotto-chat/sotto/seal/bhttp"
	"github.com/sotto-chat/sotto/seal/envelope"
)

// realPlatform stands for hardware that vouches for everything.
type realPlatform struct{ software.Platform }

func (realPlatform) Verify([]byte, attest.Claim, attest.Policy, time.Time) attest.Appraisal {
	return attest.Appraisal{Chip: "chip-1", Checks: []attest.Check{
		attest.Passed("chip.signature", "The chip signed", "It did."),
		attest.Passed("software.measured", "The software was measured", "It was."),
		attest.Passed("key.bound", "The key is bound", "It is."),
	}}
}

func TestStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		c := f.client(Config{Platforms: []attest.Platform{realPlatform{}}, Seen: []string{"sha256:" + strings.Repeat("1", 64)}})
		check := func(want State, line string) {
			t.Helper()
			if s := c.Status(); s.State != want || !strings.Contains(s.Line, line) {
				t.Errorf("%s, %q; want %s, %q", s.State, s.Line, want, line)
			}
		}
		check(StateChecking, "Checking the machine…")
		if _, err := c.Verify(t.Context()); err != nil {
			t.Fatal(err)
		}
		check(StateChanged, "New version since your last chat")
		c.Seen("none")
		check(StateVerified, "Private — checked "+time.Now().Format("15:04"))

		// The device sleeps: nothing runs, the clock goes on.
		c.ring.stop()
		time.Sleep(3 * time.Hour)
		check(StateVerifiedOld, "Checked 3 h ago · rechecking")
		c.ring.stopped = false
		if text, err := get(t, c, Options{}); text != "hello" || err != nil {
			t.Errorf("after sleeping: %q, %v", text, err)
		}
		check(StateVerified, "Private — checked "+time.Now().Format("15:04"))

		f.mu.Lock()
		f.list = func() (*Response, error) { return reply(200, "application/json", f.nodeList([]byte("x"))), nil }
		f.mu.Unlock()
		time.Sleep(time.Hour)
		check(StateFailed, "could not prove itself")
		if s := c.Status(); s.Detail == "" || s.State.MaySend() {
			t.Errorf("failed: %+v", s)
		}
		c.CloseNow()
	})
}

// TestTheFirstReleaseIsNoChange: without a list of earlier releases, a new one
// shows only after another.
func TestTheFirstReleaseIsNoChange(t *testing.T) {
	f := newFake(t)
	c := f.client(Config{Platforms: []attest.Platform{realPlatform{}}})
	if _, err := c.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := c.Status(); s.State != StateVerified || s.Release != "none" {
		t.Errorf("%s, %q", s.State, s.Release)
	}
}

// TestOneNewReleaseAmongMachinesIsAChange: a message may go to any of them.
func TestOneNewReleaseAmongMachinesIsAChange(t *testing.T) {
	f := newFake(t)
	fresh := "sha256:" + strings.Repeat("2", 64)
	nodes := []string{fakeNode}
	for _, c := range "abcdefab" {
		nodes = append(nodes, strings.Repeat(string(c), 31)+fakeNode[len(nodes):len(nodes)+1])
	}
	f.releases = map[string]string{nodes[3]: fresh}
	f.list = func() (*Response, error) {
		var bundles []any
		for _, n := range nodes {
			bundles = append(bundles, map[string]any{"id": n, "bundles": [][]byte{f.bundle(n)}})
		}
		b, err := json.Marshal(map[string]any{"v": 1, "nodes": bundles})
		return reply(200, "application/json", b), err
	}
	var told [][]string
	onSeen := func(releases []string) { told = append(told, releases) }
	c := f.client(Config{Platforms: []attest.Platform{realPlatform{}}, Seen: []string{"none"}, OnSeen: onSeen})
	if _, err := c.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(told) > 0 {
		t.Errorf("told of %q, which was known", told)
	}
	if s := c.Status(); s.State != StateChanged || s.Release != fresh {
		t.Errorf("%s, %q", s.State, s.Release)
	}
	c.Seen(fresh)
	if s := c.Status(); s.State != StateVerified {
		t.Errorf("after it was seen: %s, %q", s.State, s.Release)
	}

	if want := [][]string{{"none", fresh}}; !reflect.DeepEqual(told, want) {
		t.Errorf("told of %q, want %q", told, want)
	}

	told = nil
	c = f.client(Config{Platforms: []attest.Platform{realPlatform{}}, OnSeen: onSeen})
	for range 2 {
		if _, err := c.Verify(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if s := c.Status(); s.State != StateVerified {
		t.Errorf("at first: %s, %q", s.State, s.Release)
	}
	if want := [][]string{{"none", fresh}}; !reflect.DeepEqual(told, want) {
		t.Errorf("at first: told of %q, want %q", told, want)
	}
}

func TestAgo(t *testing.T) {
	for d, want := range map[time.Duration]string{
		20 * time.Second: "less than a minute", 5*time.Minute + time.Second: "5 min", 90 * time.Minute: "1 h", 50 * time.Hour: "2 days",
	} {
		if got := ago(d); got != want {
			t.Errorf("%v: %q", d, got)
		}
	}
}

// TestPaddingRunsOut: whoever reads an answer is not kept waiting for the
// padding after it, and yet the padding is taken to its end, so that nobody
// sees from outside when the answer was over.
func TestPaddingRunsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		var read atomic.Int64
		var total int64
		f.answer = func(n int, o *seal.Opened, _ *bhttp.Request) (*Response, error) {
			r := records(o, "short", 200)
			total = int64(len(bytes.Join(r, nil)))
			return &Response{Status: 200, ContentType: envelope.AnswerType, Body: &paced{r: r, read: &read}}, nil
		}
		c := f.client(Config{})
		start := time.Now()
		if text, err := get(t, c, Options{Resume: true}); text != "short" || err != nil {
			t.Errorf("%q, %v", text, err)
		}
		if d := time.Since(start); d > 100*time.Millisecond {
			t.Errorf("the reader waited %v", d)
		}
		if read.Load() >= total {
			t.Error("the padding came at once: this proves nothing")
		}
		time.Sleep(128*40*time.Millisecond - closeGrace/2) // Close waits for the rest
		c.Close()
		if read.Load() != total {
			t.Errorf("%d of %d bytes were taken", read.Load(), total)
		}
	})
}

// paced gives one record every 40 ms.
type paced struct {
	r      [][]byte
	read   *atomic.Int64
	closed atomic.Bool
}

func (p *paced) Close() error {
	p.closed.Store(true)
	return nil
}

func (p *paced) Read(b []byte) (int, error) {
	if p.closed.Load() {
		return 0, errors.New("closed")
	}
	if len(p.r) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.r[0])
	p.read.Add(int64(n))
	if p.r[0] = p.r[0][n:]; len(p.r[0]) == 0 {
		p.r = p.r[1:]
		time.Sleep(40 * time.Millisecond)
	}
	return n, nil
}

// TestSentences: every error that the package can return has words of its own,
// which say what happened and what to do, and never a stranger's words.
func TestSentences(t *testing.T) {
	var all []error
	for _, p := range plainSentences {
		all = append(all, fmt.Errorf("somewhere: %w", p.is))
	}
	for _, code := range []string{CodeKeyUnknown, CodeKeyExpired, CodeReplayed, CodeMalformed, CodeTooLarge, CodeBusy, CodeNoNode, CodeNodeUnreachable, ""} {
		all = append(all, &ServiceError{Status: 500, Code: code, Message: "EVIL WORDS"})
	}
	for _, status := range []int{302, 404, 429, 503} {
		all = append(all, &ServiceError{Status: status})
	}
	for _, failure := range []string{attest.FailSoftwareRefused, attest.FailKeyExpired, attest.FailDebugEnabled, attest.FailRevoked} {
		all = append(all, &NotVerifiedError{Verdicts: []attest.Verdict{{State: attest.StateFailed, Failure: failure}}})
	}
	all = append(all, &NotVerifiedError{Verdicts: []attest.Verdict{{State: attest.StateUnknown, Failure: "some"}}}, &APIError{Status: 500})
	for _, err := range all {
		s := Explain(err)
		if s.Code == "" || s.Code == SaysInternal {
			t.Errorf("%v: code %q", err, s.Code)
		}
		if !strings.HasSuffix(s.Text, ".") || s.Hint != "" && !strings.HasSuffix(s.Hint, ".") {
			t.Errorf("%v: not sentences: %q", err, s)
		}
		if s.Hint == "" && s.Code != SaysStopped {
			t.Errorf("%v: nothing to do: %q", err, s)
		}
		for _, word := range []string{"EVIL", "nclave", "ttest", "HPKE", "quote", "measurement", "  "} {
			if strings.Contains(s.String(), word) {
				t.Errorf("%v: says %q", err, s)
			}
		}
	}
	if s := Explain(&APIError{Message: "The model is still loading. Try again in a minute.", Code: "engine_loading"}); s.Code != "engine_loading" || s.Text == "" {
		t.Errorf("model server's words: %+v", s)
	}
	if s := Explain(errors.New("new")); s.Code != SaysInternal || !strings.Contains(s.Text, "new") {
		t.Errorf("unknown error: %+v", s)
	}
	if s := Explain(nil); s != (Sentence{}) {
		t.Errorf("no error: %+v", s)
	}
	if s := Explain(fmt.Errorf("%w: %w", ErrInterrupted, context.Canceled)); s.Code != SaysStopped {
		t.Errorf("stopped: %+v", s)
	}
}
