// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package monitor_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/release"
	"github.com/sotto-chat/sotto/release/releasetest"
	"github.com/sotto-chat/sotto/tlog"
	"github.com/sotto-chat/sotto/tlog/monitor"
)

var now = time.Unix(releasetest.Now, 0)

// serve is an honest log of w's entries, of which change makes something else.
func serve(w *releasetest.World, size int64, change map[string][]byte) monitor.Get {
	if size < 0 {
		size = int64(len(w.Entries))
	}
	files := map[string][]byte{"/checkpoint": w.Checkpoint(size, releasetest.Now-10, 3)}
	for n := int64(0); n*256 < size; n++ {
		var b []byte
		end := min(size, n*256+256)
		for _, e := range w.Entries[n*256 : end] {
			b = append(append(b, byte(len(e)>>8), byte(len(e))), e...)
		}
		path := fmt.Sprintf("/tile/entries/%03d", n)
		if end < n*256+256 {
			path += fmt.Sprintf(".p/%d", end-n*256)
		}
		files[path] = b
	}
	for path, b := range change {
		if files[path] = b; b == nil {
			delete(files, path)
		}
	}
	return func(_ context.Context, path string, limit int64) ([]byte, error) {
		b, ok := files[path]
		if !ok {
			return nil, monitor.ErrNotFound
		}
		if int64(len(b)) > limit {
			return nil, errors.New("too long")
		}
		return b, nil
	}
}

func start(t *testing.T, pin release.Pin) *monitor.Monitor {
	t.Helper()
	m, err := monitor.New(pin)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// again is a monitor that was stopped and started.
func again(t *testing.T, pin release.Pin, m *monitor.Monitor) *monitor.Monitor {
	t.Helper()
	doc, err := m.State()
	if err != nil {
		t.Fatal(err)
	}
	m, err = monitor.Load(pin, doc)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestFollow(t *testing.T) {
	w := releasetest.New("follow")
	m := start(t, w.Pin)
	found, cp, err := m.Step(t.Context(), serve(w, -1, nil), now)
	if err != nil || len(found) != 0 || cp.Size != 0 {
		t.Fatalf("the empty log: %v %v %v", found, cp, err)
	}
	w.Publish("1.0.0", nil)
	w.Publish("1.0.1", func(m *release.Manifest) { m.Engine.Arguments = []string{"--port", "1"} })
	m = again(t, w.Pin, m)
	found, cp, err = m.Step(t.Context(), serve(w, -1, nil), now)
	if err != nil || len(found) != 2 || cp.Size != 2 || found[0].Changes != nil || found[0].Failure != nil || found[1].Index != 1 ||
		!slices.Equal(found[1].Signers, []string{"release1.example", "release2.example"}) {
		t.Fatalf("%+v %v %v", found, cp, err)
	}
	if !slices.ContainsFunc(found[1].Changes, func(c release.Change) bool { return c.Part == "engine.arguments" }) {
		t.Errorf("changes %+v", found[1].Changes)
	}
	for range 2 {
		m = again(t, w.Pin, m)
		if found, _, err = m.Step(t.Context(), serve(w, -1, nil), now); err != nil || len(found) != 0 {
			t.Fatalf("nothing new: %v, %v", found, err)
		}
	}
	// Across the end of a bundle, and many at once; what was compared is the last
	// release that counts.
	for i := range 510 {
		w.Publish(fmt.Sprintf("1.1.%d", i), nil)
	}
	w.Add([]byte("hello"))
	w.Add(w.Sign(w.Manifest("1.2.0"), 1))
	w.Publish("1.2.1", func(m *release.Manifest) { m.Product = "other" })
	w.Publish("1.2.2", func(m *release.Manifest) { m.Index = 3 })
	w.Publish("1.2.3", nil)
	found, cp, err = m.Step(t.Context(), serve(w, -1, nil), now)
	if err != nil || len(found) != 515 || cp.Size != 517 {
		t.Fatalf("%d %v %v", len(found), cp, err)
	}
	for i, want := range []string{tlog.FailMalformed, tlog.FailSignatures, tlog.FailUnlogged, tlog.FailUnlogged, ""} {
		f := found[510+i]
		if got := f.Failure; got == nil && want != "" || got != nil && got.Failure != want {
			t.Errorf("entry %d: %v, want %q", f.Index, got, want)
		}
	}
	last := found[514].Changes
	if !slices.ContainsFunc(last, func(c release.Change) bool { return c.Part == "version" && c.Old == "1.1.509" }) {
		t.Errorf("changes %+v", last)
	}
	// An older cosignature makes nothing older.
	old := serve(w, -1, map[string][]byte{"/checkpoint": w.Checkpoint(517, releasetest.Now-20, 3)})
	if _, _, err := m.Step(t.Context(), old, now); err != nil {
		t.Fatal(err)
	}
	if m.Seen().Size != 517 || m.Seen().Root != cp.Root || m.Seen().Time != releasetest.Now-10 {
		t.Errorf("seen %+v", m.Seen())
	}
}

// A part of a bundle that is gone is in the whole one.
func TestWholeBundle(t *testing.T) {
	w := releasetest.New("whole")
	w.Publish("1.0.0", nil)
	b, err := serve(w, -1, nil)(t.Context(), "/tile/entries/000.p/1", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	get := serve(w, -1, map[string][]byte{"/tile/entries/000.p/1": nil, "/tile/entries/000": append(bytes.Clone(b), b...)})
	if found, _, err := start(t, w.Pin).Step(t.Context(), get, now); err != nil || len(found) != 1 {
		t.Errorf("%v, %v", found, err)
	}
}

// Each way in which a log can be wrong, seen by a monitor that has seen three
// entries; nothing of it is remembered.
func TestWrong(t *testing.T) {
	world := func(versions ...string) *releasetest.World {
		w := releasetest.New("wrong")
		for _, v := range versions {
			w.Publish(v, nil)
		}
		return w
	}
	honest := world("1.0.0", "1.0.1", "1.0.2", "1.0.3")
	fork := world("1.0.0", "1.0.1", "6.6.6", "1.0.3")
	other := releasetest.New("other")
	strip := func(b []byte) []byte { return bytes.Replace(b, []byte("— w1.example"), []byte("— x1.example"), 1) }
	b, err := serve(honest, -1, nil)(t.Context(), "/tile/entries/000.p/4", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	details := map[string]string{
		"fork of the same size": "two logs of 3 entries",
		"fork that grew":        "the 3 entries that were seen",
		"entries gone":          "doesn't serve the entries",
		"entries cut":           "break off before number 3",
	}
	for _, tt := range []struct {
		name string
		get  monitor.Get
		want string
	}{
		{"fork of the same size", serve(fork, 3, nil), tlog.FailSplitView},
		{"fork that grew", serve(fork, 4, nil), tlog.FailSplitView},
		{"fork that grew, with the entries of before", serve(fork, 4, map[string][]byte{"/tile/entries/000.p/4": b}), tlog.FailSplitView},
		{"smaller", serve(honest, 2, nil), tlog.FailRollback},
		{"nothing", serve(honest, 0, nil), tlog.FailRollback},
		{"too old", serve(honest, 4, map[string][]byte{"/checkpoint": honest.Checkpoint(4, releasetest.Now-86401, 3)}), tlog.FailStale},
		{"too old, nothing new", serve(honest, 3, map[string][]byte{"/checkpoint": honest.Checkpoint(3, releasetest.Now-86401, 3)}), tlog.FailStale},
		{"from the future", serve(honest, 4, map[string][]byte{"/checkpoint": honest.Checkpoint(4, releasetest.Now+301, 3)}), tlog.FailStale},
		{"one witness", serve(honest, 4, map[string][]byte{"/checkpoint": honest.Checkpoint(4, releasetest.Now, 1)}), tlog.FailWitnessesFew},
		{"no witness", serve(honest, 4, map[string][]byte{"/checkpoint": honest.Checkpoint(4, releasetest.Now, 0)}), tlog.FailWitnessesFew},
		{"a witness that nobody knows", serve(honest, 4, map[string][]byte{"/checkpoint": strip(honest.Checkpoint(4, releasetest.Now, 2))}), tlog.FailWitnessUnknown},
		{"another log", serve(other, 0, nil), tlog.FailSignature},
		{"rubbish", serve(honest, 4, map[string][]byte{"/checkpoint": []byte("hello")}), tlog.FailMalformed},
		{"entries gone", serve(honest, 4, map[string][]byte{"/tile/entries/000.p/4": nil}), tlog.FailMalformed},
		{"entries cut", serve(honest, 4, map[string][]byte{"/tile/entries/000.p/4": b[:len(b)-1]}), tlog.FailMalformed},
		{"entries cut in a length", serve(honest, 4, map[string][]byte{"/tile/entries/000.p/4": b[:1]}), tlog.FailMalformed},
		{"new entry changed", serve(honest, 4, map[string][]byte{"/tile/entries/000.p/4": append(b[:len(b)-2:len(b)-2], "x\n"...)}), tlog.FailSplitView},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := start(t, honest.Pin)
			if _, _, err := m.Step(t.Context(), serve(honest, 3, nil), now); err != nil {
				t.Fatal(err)
			}
			before, err := m.State()
			if err != nil {
				t.Fatal(err)
			}
			found, _, err := m.Step(t.Context(), tt.get, now)
			var e *tlog.Error
			if !errors.As(err, &e) || e.Failure != tt.want || found != nil {
				t.Errorf("%v, want %s; found %v", err, tt.want, found)
			}
			if says := details[tt.name]; e != nil && !strings.Contains(e.Detail, says) {
				t.Errorf("%v, want %q", e, says)
			}
			if after, err := m.State(); err != nil || !bytes.Equal(after, before) {
				t.Errorf("it remembers something: %s, %v", after, err)
			}
			// Nothing has been harmed.
			if found, _, err := m.Step(t.Context(), serve(honest, 4, nil), now); err != nil || len(found) != 1 {
				t.Errorf("afterwards: %v, %v", found, err)
			}
		})
	}
	// To a monitor that has seen nothing, entries that don't fit are just that.
	var e *tlog.Error
	_, _, err = start(t, honest.Pin).Step(t.Context(), serve(honest, 4, map[string][]byte{"/tile/entries/000.p/4": append(b[:len(b)-2:len(b)-2], "x\n"...)}), now)
	if !errors.As(err, &e) || e.Failure != tlog.FailMalformed {
		t.Errorf("%v", err)
	}
	// A log that the policy knows too is another one all the same.
	both := honest.Pin
	both.Log = "log " + other.Log.Key().String() + "\n" + both.Log
	m := start(t, both)
	if _, _, err := m.Step(t.Context(), serve(honest, 3, nil), now); err != nil {
		t.Fatal(err)
	}
	two := *honest
	two.Log, err = tlog.GenerateSigner("two.example/log")
	if err != nil {
		t.Fatal(err)
	}
	both.Log = "log " + two.Log.Key().String() + "\n" + both.Log
	m = again(t, both, m)
	if _, _, err = m.Step(t.Context(), serve(&two, 4, nil), now); !errors.As(err, &e) || e.Failure != tlog.FailSplitView {
		t.Errorf("%v", err)
	}
}

func TestTooLarge(t *testing.T) {
	w := releasetest.New("large")
	text := tlog.Checkpoint{Origin: w.Log.Name(), Size: monitor.MaxEntries + 1, Root: tlog.EmptyRoot()}.Text()
	note := tlog.Note{Text: text, Signatures: []tlog.Signature{w.Log.Signature(text), w.Witnesses[0].Cosign(text, releasetest.Now), w.Witnesses[1].Cosign(text, releasetest.Now)}}
	asked := 0
	get := func(_ context.Context, path string, _ int64) ([]byte, error) {
		asked++
		return note.Encode(), nil
	}
	if _, _, err := start(t, w.Pin).Step(t.Context(), get, now); err == nil || !strings.Contains(err.Error(), "more than") || asked != 1 {
		t.Errorf("%v after %d questions", err, asked)
	}
	text = tlog.Checkpoint{Origin: w.Log.Name(), Size: monitor.MaxEntries, Root: tlog.EmptyRoot()}.Text()
	note = tlog.Note{Text: text, Signatures: []tlog.Signature{w.Log.Signature(text), w.Witnesses[0].Cosign(text, releasetest.Now), w.Witnesses[1].Cosign(text, releasetest.Now)}}
	if _, _, err := start(t, w.Pin).Step(t.Context(), get, now); err == nil || asked != 3 {
		t.Errorf("%v after %d questions", err, asked)
	}
}

// A bundle is asked for in parts or as a whole, as it has to be there, and what
// keeps it away is said.
func TestBundles(t *testing.T) {
	w := releasetest.New("bundles")
	for range 256 {
		w.Add(nil)
	}
	away := errors.New("away")
	for size, path := range map[int64]string{255: "/tile/entries/000.p/255", 256: "/tile/entries/000"} {
		honest := serve(w, size, nil)
		var asked []string
		get := func(ctx context.Context, path string, limit int64) ([]byte, error) {
			asked = append(asked, path)
			return honest(ctx, path, limit)
		}
		found, _, err := start(t, w.Pin).Step(t.Context(), get, now)
		if err != nil || int64(len(found)) != size || found[0].Failure == nil {
			t.Fatalf("%d entries, %v", len(found), err)
		}
		if !slices.Equal(asked, []string{"/checkpoint", path}) {
			t.Errorf("asked for %v", asked)
		}
		_, _, err = start(t, w.Pin).Step(t.Context(), func(ctx context.Context, at string, limit int64) ([]byte, error) {
			if at == path {
				return nil, away
			}
			return honest(ctx, at, limit)
		}, now)
		if !errors.Is(err, away) {
			t.Errorf("%v", err)
		}
	}
}

func TestUnreachable(t *testing.T) {
	w := releasetest.New("away")
	m := start(t, w.Pin)
	away := errors.New("away")
	if _, _, err := m.Step(t.Context(), func(context.Context, string, int64) ([]byte, error) { return nil, away }, now); !errors.Is(err, away) {
		t.Errorf("%v", err)
	}
	if err := m.Stale(now); err != nil {
		t.Errorf("nothing was seen: %v", err)
	}
	if _, _, err := m.Step(t.Context(), serve(w, -1, nil), now); err != nil {
		t.Fatal(err)
	}
	var e *tlog.Error
	strict := w.Pin
	strict.MaxAge = 100
	if err := again(t, strict, m).Stale(now.Add(91 * time.Second)); !errors.As(err, &e) || e.Failure != tlog.FailStale {
		t.Errorf("%v", err)
	}
	if err := m.Stale(now.Add(86390 * time.Second)); err != nil {
		t.Errorf("%v", err)
	}
	if err := m.Stale(now.Add(86391 * time.Second)); !errors.As(err, &e) || e.Failure != tlog.FailStale {
		t.Errorf("%v", err)
	}
}

// What is kept and then changed is noticed.
func TestState(t *testing.T) {
	w := releasetest.New("state")
	w.Publish("1.0.0", nil)
	m := start(t, w.Pin)
	if doc, err := m.State(); doc != nil || err != nil {
		t.Errorf("%s, %v", doc, err)
	}
	if _, _, err := m.Step(t.Context(), serve(w, -1, nil), now); err != nil {
		t.Fatal(err)
	}
	doc, err := m.State()
	if err != nil {
		t.Fatal(err)
	}
	edit := func(old, new string) []byte {
		if !bytes.Contains(doc, []byte(old)) {
			t.Fatalf("no %q in %s", old, doc)
		}
		return bytes.Replace(doc, []byte(old), []byte(new), 1)
	}
	for name, b := range map[string][]byte{
		"nothing":         nil,
		"cut":             doc[:len(doc)-1],
		"version":         edit(`{"v":1,"seen"`, `{"v":2,"seen"`),
		"inner":           edit(`"seen":{"v":1`, `"seen":{"v":2`),
		"size":            edit(`"size":1`, `"size":2`),
		"size, zero":      edit(`"size":1`, `"size":0`),
		"size, below":     edit(`"size":1`, `"size":-1`),
		"leaves":          edit(`"leaves":"`, `"leaves":"AAAA`),
		"other leaves":    edit(`"leaves":"`+tlog.LeafHash(w.Entries[0]).String(), `"leaves":"`+tlog.Hash{}.String()),
		"size, huge":      []byte(`{"v":1,"seen":{"v":1,"log":"x","size":576460752303423488,"root":"` + tlog.EmptyRoot().String() + `","time":1},"leaves":""}`),
		"no base64":       edit(`"leaves":"`, `"leaves":"!`),
		"newest":          edit(`"newest":"`, `"newest":"!`),
		"no end":          edit(`","newest"`, `!","newest"`),
		"half a leaf":     edit(`","newest"`, `AAAA","newest"`),
		"size, far below": []byte(`{"v":1,"seen":{"v":1,"log":"x","size":-576460752303423488,"root":"` + tlog.EmptyRoot().String() + `","time":1},"leaves":""}`),
	} {
		if _, err := monitor.Load(w.Pin, b); err == nil {
			t.Errorf("%s: loaded", name)
		}
	}
	for name, pin := range map[string]release.Pin{"no pin": {}, "no keys": {Log: w.Pin.Log, Keys: []string{"x"}}} {
		if _, err := monitor.Load(pin, doc); err == nil {
			t.Errorf("%s: loaded", name)
		}
	}
}

func FuzzState(f *testing.F) {
	w := releasetest.New("fuzz")
	w.Publish("1.0.0", nil)
	m, err := monitor.New(w.Pin)
	if err != nil {
		f.Fatal(err)
	}
	if _, _, err := m.Step(context.Background(), serve(w, -1, nil), now); err != nil {
		f.Fatal(err)
	}
	doc, err := m.State()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(doc)
	f.Add([]byte(`{"v":1,"seen":{"v":1,"size":0}}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		m, err := monitor.Load(w.Pin, doc)
		if err == nil && m.Seen() == nil {
			t.Error("loaded nothing")
		}
	})
}

// A log that says it has more than fits is not read to its end.
func TestMoreThanFits(t *testing.T) {
	w := releasetest.New("more")
	const size = 1 << 16
	big := make([]byte, monitor.MaxBundle)
	for i := range tlog.Window {
		e := big[i*(2+tlog.MaxEntry):]
		e[0], e[1] = 0xff, 0xff
	}
	read := 0
	get := func(_ context.Context, path string, limit int64) ([]byte, error) {
		if path == "/checkpoint" {
			return w.CheckpointOf(size, tlog.Hash{1}, releasetest.Now-10, 3), nil
		}
		read += len(big)
		return big, nil
	}
	_, _, err := start(t, w.Pin).Step(t.Context(), get, now)
	if err == nil || !strings.Contains(err.Error(), "at once") {
		t.Errorf("got %v", err)
	}
	if read > monitor.MaxNew+monitor.MaxBundle {
		t.Errorf("%d bytes were read", read)
	}
}
