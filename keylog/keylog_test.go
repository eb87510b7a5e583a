// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package keylog_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/keylog"
	"github.com/sotto-chat/sotto/keylog/keylogtest"
	"github.com/sotto-chat/sotto/tlog"
	"github.com/sotto-chat/sotto/token"
)

const today = keylogtest.Today

var now = time.Unix(keylogtest.Now, 0)

// wantFailure checks an error's name, and that its detail has these words.
func wantFailure(t *testing.T, name string, err error, failure, detail string) {
	t.Helper()
	var e *tlog.Error
	switch {
	case failure == "" && err != nil:
		t.Errorf("%s: %v", name, err)
	case failure == "":
	case !errors.As(err, &e) || e.Failure != failure || !strings.Contains(e.Detail, detail):
		t.Errorf("%s: %v; want %s with %q", name, err, failure, detail)
	}
}

// A client that trusts nobody but the pin learns today's and tomorrow's keys and the
// list of machines.
func TestWholeWay(t *testing.T) {
	w := keylogtest.New("way")
	w.Days(today-1, today)
	w.Publish(w.NodesOf(keylogtest.IDs(3)))
	w.Publish(w.NodesOf(keylogtest.IDs(5)))
	w.Publish(w.DayOf(today + 1))
	keys, err := w.Pin.Open(w.View(), nil, now)
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range []token.Day{today - 1, today, today + 1} {
		got, err := keys.Day(d)
		s := w.DayOf(d)
		if want := (keylog.Day{Day: d, Issuer: s.Issuer, Issue: s.Issue, Refund: s.Refund, OHTTP: s.OHTTP}); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("day %d: %+v, %v", i, got, err)
		}
	}
	list, _ := keylog.NewList(keylogtest.IDs(5))
	if n, ok := keys.Nodes(); !ok || n != (keylog.Nodes{Size: 5, Root: list.Root(), Time: keylogtest.Now - 600}) {
		t.Errorf("%+v, %v", n, ok)
	}
	if again, err := w.Pin.Open(w.ViewFrom(0), &keys.Seen, now); err != nil || again.Seen != keys.Seen {
		t.Error(err)
	}
}
