// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package monitor_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/sotto-chat/sotto/keylog"
	"github.com/sotto-chat/sotto/keylog/keylogtest"
	"github.com/sotto-chat/sotto/release"
	"github.com/sotto-chat/sotto/tlog"
	"github.com/sotto-chat/sotto/tlog/monitor"
)

// serveKeys is a key log with what stands in w.
func serveKeys(w *keylogtest.World) monitor.Get {
	files := map[string][]byte{"/checkpoint": w.Checkpoint(keylogtest.Now-10, 3)}
	var b []byte
	for _, e := range w.Entries {
		b = append(append(b, byte(len(e)>>8), byte(len(e))), e...)
	}
	files[fmt.Sprintf("/tile/entries/000.p/%d", len(w.Entries))] = b
	return func(_ context.Context, path string, _ int64) ([]byte, error) {
		if b, ok := files[path]; ok {
			return b, nil
		}
		return nil, monitor.ErrNotFound
	}
}

// restarted is a monitor of a key log that was stopped and started.
func restarted(t *testing.T, pin keylog.Pin, m *monitor.Monitor) *monitor.Monitor {
	t.Helper()
	doc, err := m.State()
	if err != nil {
		t.Fatal(err)
	}
	if m, err = monitor.LoadKeys(pin, doc); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestFollowKeys(t *testing.T) {
	w := keylogtest.New("follow keys")
	m, err := monitor.NewKeys(w.Pin)
	if err != nil {
		t.Fatal(err)
	}
	first := keylogtest.Today - 40
	w.Days(first, keylogtest.Today)
	w.Publish(w.NodesOf(keylogtest.IDs(3)))
	foreign := w.DayOf(keylogtest.Today + 1)
	foreign.Product = "another"
	w.Publish(foreign)
	found, cp, err := m.Step(t.Context(), serveKeys(w), now)
	if err != nil || int(cp.Size) != len(w.Entries) || len(found) != len(w.Entries) {
		t.Fatalf("%d of %d entries, %v", len(found), len(w.Entries), err)
	}
	for i, f := range found {
		if (f.Failure == nil) != (i < len(found)-1) || f.Statement == nil || f.Index != int64(i) {
			t.Errorf("entry %d: %+v", i, f)
		}
	}
	// Nothing is wrong with a list, or with tomorrow's keys, after a restart.
	m = restarted(t, w.Pin, m)
	w.Publish(w.NodesOf(keylogtest.IDs(4)))
	w.Publish(w.DayOf(keylogtest.Today + 1))
	if found, _, err = m.Step(t.Context(), serveKeys(w), now); err != nil || len(found) != 2 {
		t.Fatalf("%+v, %v", found, err)
	}
	good := len(w.Entries)
	for name, s := range map[string]keylog.Statement{
		"a second key for today": w.DayOf(keylogtest.Today),
		"an earlier day again":   w.DayOf(keylogtest.Today - 5),
		"one key for two days": func() keylog.Statement {
			s := w.DayOf(keylogtest.Today + 2)
			s.Issue = w.DayOf(keylogtest.Today).Issue
			return s
		}(),
		"a key of a day that a restart came between": func() keylog.Statement {
			s := w.DayOf(keylogtest.Today + 2)
			s.Refund = w.DayOf(keylogtest.Today + 1).Issue
			return s
		}(),
	} {
		w.Entries = w.Entries[:good]
		w.Publish(s)
		m := restarted(t, w.Pin, m)
		for range 2 { // it stays wrong
			var wrong *tlog.Error
			if _, _, err := m.Step(t.Context(), serveKeys(w), now); !errors.As(err, &wrong) || wrong.Failure != keylog.FailDuplicate {
				t.Errorf("%s: %v", name, err)
			}
		}
		if m.Seen().Size != int64(good) {
			t.Errorf("%s was taken", name)
		}
	}
	// A state of a key log is none of a log of releases, nor the other way round.
	doc, err := m.State()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := monitor.Load(release.Pin(w.Pin), doc); err == nil {
		t.Error("days were taken for a log of releases")
	}
}
