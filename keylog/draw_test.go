// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package keylog_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sotto-chat/sotto/keylog"
	"github.com/sotto-chat/sotto/keylog/keylogtest"
	"github.com/sotto-chat/sotto/tlog"
)

func answer(l *keylog.List, at ...int64) map[string]any {
	var nodes []any
	for _, i := range at {
		proof, err := l.Proof(i)
		if err != nil {
			panic(err)
		}
		nodes = append(nodes, map[string]any{"index": i, "id": l.IDs()[i], "proof": proof, "bundles": [][]byte{[]byte("x")}})
	}
	return map[string]any{"v": 1, "size": l.Size(), "root": l.Root(), "nodes": nodes}
}

// A service can't put a machine in another's place.
func TestParseSample(t *testing.T) {
	list, err := keylog.NewList(keylogtest.IDs(20))
	if err != nil {
		t.Fatal(err)
	}
	n := keylog.Nodes{Size: 20, Root: list.Root()}
	node := func(a map[string]any, i int) map[string]any { return a["nodes"].([]any)[i].(map[string]any) }
	for _, tt := range []struct {
		name    string
		change  func(a map[string]any)
		failure string
		detail  string
	}{
		{"good", func(a map[string]any) {}, "", ""},
		{"an unknown field", func(a map[string]any) { a["x"] = 1 }, "", ""},
		{"not up", func(a map[string]any) { node(a, 1)["bundles"] = [][]byte{} }, "", ""},
		{"another version", func(a map[string]any) { a["v"] = 2 }, keylog.FailMalformed, "JSON"},
		{"another size", func(a map[string]any) { a["size"] = 21 }, keylog.FailOtherList, "20"},
		{"another root", func(a map[string]any) { a["root"] = tlog.EmptyRoot() }, keylog.FailOtherList, ""},
		{"one too few", func(a map[string]any) { a["nodes"] = a["nodes"].([]any)[:1] }, keylog.FailMalformed, "1 of them"},
		{"one too many", func(a map[string]any) { a["nodes"] = append(a["nodes"].([]any), node(a, 0)) }, keylog.FailMalformed, "3 of them"},
		{"another place", func(a map[string]any) { a["nodes"] = answer(list, 3, 8)["nodes"] }, keylog.FailUnlisted, "machine 8"},
		{"the proof of another place", func(a map[string]any) { node(a, 1)["proof"] = node(answer(list, 8), 0)["proof"] }, keylog.FailUnlisted, "proof"},
		{"another machine", func(a map[string]any) { node(a, 1)["id"] = list.IDs()[8] }, keylog.FailUnlisted, "proof"},
		{"a machine of no list", func(a map[string]any) { node(a, 0)["id"] = strings.Repeat("0", 32) }, keylog.FailUnlisted, "proof"},
		{"no proof", func(a map[string]any) { node(a, 0)["proof"] = nil }, keylog.FailUnlisted, "proof"},
		{"an id that is none", func(a map[string]any) { node(a, 0)["id"] = "x" }, keylog.FailMalformed, "something else than an id"},
		{"many bundles", func(a map[string]any) { node(a, 0)["bundles"] = make([][]byte, 5) }, keylog.FailMalformed, "something else than an id"},
		{"many commas", func(a map[string]any) { a["x"] = make([]int, 20000) }, keylog.FailMalformed, "too long"},
	} {
		a := answer(list, 3, 7)
		tt.change(a)
		doc, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		got, err := keylog.ParseSample(doc, n, []int64{3, 7})
		wantFailure(t, tt.name, err, tt.failure, tt.detail)
		if err == nil && (len(got) != 2 || got[1].Index != 7 || got[1].ID != list.IDs()[7]) || err != nil && got != nil {
			t.Errorf("%s: %+v", tt.name, got)
		}
	}
	if _, err := keylog.ParseSample(bytes.Repeat([]byte(" "), keylog.MaxAnswer+1), n, nil); err == nil {
		t.Error("an answer without end")
	}
	// A list that isn't what it says: its tree is over machines in another order, so the
	// root is another than that of the rising ids.
	ids := keylogtest.IDs(20)
	slices.Sort(ids)
	slices.Reverse(ids)
	again, _ := keylog.NewList(ids)
	if again.Root() != n.Root {
		t.Error("the order in which ids come counts")
	}
	for name, ids := range map[string][]string{
		"twice": append(keylogtest.IDs(2), keylogtest.IDs(1)...), "no id": {"x"}, "capitals": {strings.Repeat("A", 32)}, "too many": make([]string, keylog.MaxNodes+1),
	} {
		if _, err := keylog.NewList(ids); err == nil {
			t.Errorf("%s: a list", name)
		}
	}
}

// stream is a source of chance that is the same in every run.
type stream struct{ *rand.ChaCha8 }

func chance(seed byte) stream { return stream{rand.NewChaCha8([32]byte{seed})} }

// A draw is spread evenly, rises, and stays until it is answered.
func TestDraw(t *testing.T) {
	n := keylog.Nodes{Size: 100, Root: tlog.Hash{1}}
	r := chance(1)
	var w keylog.Watch
	times := make([]int, n.Size)
	const rounds = 5000
	for range rounds {
		at, err := w.Draw(n, 10, r)
		if err != nil || len(at) != 10 || !slices.IsSorted(at) || len(slices.Compact(slices.Clone(at))) != 10 {
			t.Fatal(at, err)
		}
		for _, i := range at {
			times[i]++
		}
		if again, _ := w.Draw(n, 10, r); !slices.Equal(again, at) {
			t.Fatal("another draw before the first was answered")
		}
		w.Refused()
		if again, _ := w.Draw(n, 10, r); !slices.Equal(again, at) {
			t.Fatal("another draw since the first was refused")
		}
		w.Answered(nil)
	}
	for i, n := range times { // 500 on average, with a deviation of 21
		if n < 400 || n > 600 {
			t.Errorf("machine %d was drawn %d times", i, n)
		}
	}
	for size, want := range map[int64]int{0: 0, 1: 1, 3: 3, 1 << 20: keylog.MaxSample} {
		var w keylog.Watch
		if at, err := w.Draw(keylog.Nodes{Size: size}, 99, r); err != nil || len(at) != want {
			t.Errorf("of %d: %v, %v", size, at, err)
		}
	}
	if _, err := new(keylog.Watch).Draw(n, 3, bytes.NewReader(nil)); err == nil {
		t.Error("a draw without chance")
	}
}

// fleet is a list of machines, of which the operator's are the first.
type fleet struct {
	size, own int64
	down      float64                                        // of the honest ones, really
	says      func(r *rand.Rand, own bool, really bool) bool // what the service says of one: is it up?
}

// ask has a client ask for 16 machines once, and says whether it took one of the
// operator's, choosing one of those that are up.
func (f fleet) ask(w *keylog.Watch, src stream) (own bool) {
	r := rand.New(src)
	at, err := w.Draw(keylog.Nodes{Size: f.size, Root: tlog.Hash{2}}, 16, src)
	if err != nil {
		panic(err)
	}
	var sample []keylog.Sampled
	var up []int64
	for _, i := range at {
		s := keylog.Sampled{Index: i, ID: strconv.FormatInt(i, 10)}
		if f.says(r, i < f.own, i < f.own || r.Float64() >= f.down) {
			s.Bundles, up = [][]byte{{}}, append(up, i)
		}
		sample = append(sample, s)
	}
	w.Answered(sample)
	return len(up) > 0 && up[r.IntN(len(up))] < f.own
}

// An operator who owns one machine of a hundred and wants one person. The figures
// are in docs/threat-model.md.
func TestSteering(t *testing.T) {
	const people = 500
	honest := func(_ *rand.Rand, _, really bool) bool { return really }
	run := func(f fleet, asks int) (own, noticed float64) {
		src := chance(9)
		owned, found := 0, 0
		for range people {
			var w keylog.Watch
			steered := false
			for range asks {
				if f.ask(&w, src) && !steered {
					owned++
				}
				steered = steered || w.Steered() != nil
			}
			if steered {
				found++
			}
		}
		return float64(owned) / people / float64(asks), float64(found) / people
	}
	for _, tt := range []struct {
		name                   string
		f                      fleet
		asks                   int
		ownMin, ownMax         float64
		noticedMin, noticedMax float64
	}{
		{"honest, one in twenty down", fleet{1000, 10, 0.05, honest}, 4, 0.005, 0.015, 0, 0},
		{"all others are said to be down", fleet{1000, 10, 0.05, func(_ *rand.Rand, own, really bool) bool { return own }}, 1, 0.1, 0.2, 1, 1},
		{"nine in ten are said to be down", fleet{1000, 10, 0.05, func(r *rand.Rand, own, really bool) bool { return own || really && r.IntN(10) == 0 }}, 1, 0.02, 0.12, 0.99, 1},
		{"as many as go unnoticed", fleet{1000, 10, 0.05, func(r *rand.Rand, own, really bool) bool { return own || really && r.IntN(4) > 0 }}, 1, 0.005, 0.035, 0, 0.06},
		{"a list with nine dead of ten", fleet{10000, 10, 0.05, func(_ *rand.Rand, own, really bool) bool { return own }}, 1, 0, 0.03, 1, 1},
		{"machines that answer are always the same", fleet{64, 1, 0, honest}, 4, 0, 0.05, 0, 0},
	} {
		own, noticed := run(tt.f, tt.asks)
		t.Logf("%s: %.3f of asks get the operator's machine, %.3f of people notice", tt.name, own, noticed)
		if own < tt.ownMin || own > tt.ownMax || noticed < tt.noticedMin || noticed > tt.noticedMax {
			t.Errorf("%s: %.3f of asks get the operator's machine, %.3f of people notice", tt.name, own, noticed)
		}
	}
}

func TestSteered(t *testing.T) {
	sample := func(up, down int, id func(int) string) (out []keylog.Sampled) {
		for i := range up {
			out = append(out, keylog.Sampled{ID: id(i), Bundles: [][]byte{{}}})
		}
		return append(out, make([]keylog.Sampled, down)...)
	}
	each := func(i int) string { return strconv.Itoa(i) }
	root := func(b byte) keylog.Nodes { return keylog.Nodes{Size: 100, Root: tlog.Hash{b}} }
	for _, tt := range []struct {
		name    string
		do      func(w *keylog.Watch)
		steered string
	}{
		{"nothing", func(w *keylog.Watch) {}, ""},
		{"8 of 16", func(w *keylog.Watch) { w.Answered(sample(8, 8, each)) }, ""},
		{"7 of 16", func(w *keylog.Watch) { w.Answered(sample(7, 9, each)) }, "7 of the last 16"},
		{"none of 15", func(w *keylog.Watch) { w.Answered(sample(0, 15, each)) }, ""},
		{"long ago", func(w *keylog.Watch) { w.Answered(sample(0, 16, each)); w.Answered(sample(8, 0, each)) }, ""},
		{"few different ones", func(w *keylog.Watch) {
			w.Draw(root(1), 16, chance(3))
			for range 4 {
				w.Answered(sample(10, 0, each))
			}
		}, "only 10 different"},
		{"too few to tell", func(w *keylog.Watch) {
			w.Draw(root(1), 16, chance(3))
			for range 3 {
				w.Answered(sample(10, 0, each))
			}
		}, ""},
		{"refused until the list changes", func(w *keylog.Watch) {
			w.Draw(root(1), 16, chance(3))
			w.Refused()
			w.Draw(root(2), 16, chance(3))
		}, "0 of the last 16"},
		{"not reached until the list changes", func(w *keylog.Watch) {
			w.Draw(root(1), 16, chance(3))
			w.Draw(root(2), 16, chance(3))
		}, ""},
	} {
		var w keylog.Watch
		tt.do(&w)
		var e *tlog.Error
		err := w.Steered()
		if tt.steered == "" && err != nil || tt.steered != "" && (!errors.As(err, &e) || e.Failure != keylog.FailSteered || !strings.Contains(e.Detail, tt.steered)) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
