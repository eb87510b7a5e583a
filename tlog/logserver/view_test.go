// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package logserver

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/sotto-chat/sotto/tlog"
)

// A view reaches back as far as one may, and no further; it is encoded once.
func TestEarlierViews(t *testing.T) {
	signer, err := tlog.GenerateSigner("log.example")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{}
	const size = tlog.MaxLeaves + tlog.Window
	for i := range size {
		s.tree.Append(tlog.LeafHash(fmt.Appendf(nil, "entry %d", i)))
	}
	signed, err := signer.Note(tlog.Checkpoint{Origin: "log.example", Size: size, Root: s.tree.Root(size)}.Text())
	if err != nil {
		t.Fatal(err)
	}
	build := func(checkpoint []byte) func(*tlog.Tree, int64) (tlog.View, error) {
		return func(t *tlog.Tree, from int64) (tlog.View, error) { return t.View(checkpoint, from, nil) }
	}
	v := &views{s: s, checkpoint: signed, size: size, build: build(signed), earlier: map[int64]document{}}
	for start, leaves := range map[int64]int{tlog.Window: tlog.MaxLeaves, size - tlog.Window: tlog.Window, size: 0} {
		d, err := v.from(start)
		if err != nil {
			t.Fatalf("from %d: %v", start, err)
		}
		view, err := tlog.ParseView(d.doc)
		if err != nil || view.Start != start || len(view.Leaves) != leaves {
			t.Errorf("from %d: starts at %d, with %d leaves, %v", start, view.Start, len(view.Leaves), err)
		}
		again, err := v.from(start)
		if err != nil || &again.doc[0] != &d.doc[0] {
			t.Errorf("from %d: encoded again, %v", start, err)
		}
	}
	for _, start := range []int64{0, 1, -tlog.Window, size + tlog.Window} {
		var no *Refusal
		if _, err := v.from(start); !errors.As(err, &no) || no.Status != http.StatusNotFound {
			t.Errorf("from %d: %v", start, err)
		}
	}
	// What can't be encoded is not kept.
	v = &views{s: s, checkpoint: []byte("rubbish"), size: size, build: build([]byte("rubbish")), earlier: map[int64]document{}}
	if _, err := v.from(size); err == nil || len(v.earlier) != 0 {
		t.Errorf("%v, and %d are kept", err, len(v.earlier))
	}
}
