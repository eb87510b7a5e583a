// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package keylog_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/sotto-chat/sotto/keylog"
	"github.com/sotto-chat/sotto/keylog/keylogtest"
)

// A statement has one form only.
func FuzzStatement(f *testing.F) {
	w := keylogtest.New("fuzz")
	for _, s := range []keylog.Statement{w.DayOf(today), w.NodesOf(keylogtest.IDs(3))} {
		b, _ := s.Encode()
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := keylog.ParseStatement(b)
		if err != nil {
			return
		}
		if again, err := s.Encode(); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%q, %v", again, err)
		}
	})
}

// Whatever comes as a view gives keys or an error.
func FuzzOpen(f *testing.F) {
	w := keylogtest.New("fuzz")
	w.Days(today-1, today)
	w.Publish(w.NodesOf(keylogtest.IDs(3)))
	f.Add(w.View())
	f.Add(w.ViewFrom(1))
	f.Fuzz(func(t *testing.T, b []byte) {
		if keys, err := w.Pin.Open(b, nil, now); err == nil {
			keys.Day(today)
			keys.Nodes()
		} else if keys != nil {
			t.Error("keys and an error")
		}
	})
}

// Whatever comes as machines, what is taken stands on the list.
func FuzzSample(f *testing.F) {
	list, _ := keylog.NewList(keylogtest.IDs(5))
	n := keylog.Nodes{Size: 5, Root: list.Root()}
	b, _ := json.Marshal(answer(list, 1, 4))
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := keylog.ParseSample(b, n, []int64{1, 4})
		if err == nil && (got[0].ID != list.IDs()[1] || got[1].ID != list.IDs()[4]) {
			t.Errorf("%+v", got)
		}
	})
}
