// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package logserver_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/sotto-chat/sotto/release"
	"github.com/sotto-chat/sotto/release/releasetest"
	"github.com/sotto-chat/sotto/tlog"
	"github.com/sotto-chat/sotto/tlog/logserver"
	"github.com/sotto-chat/sotto/tlog/witness"
)

// world is a log with three witnesses, each of which can be kept from answering.
type world struct {
	*releasetest.World
	t         *testing.T
	dir       string
	witnesses []*aWitness
	cfg       logserver.Config
}

type aWitness struct {
	*httptest.Server
	asked atomic.Int64
	off   atomic.Bool
	// instead answers in the witness's place, if it is there.
	instead atomic.Pointer[http.HandlerFunc]
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{World: releasetest.New(t.Name()), t: t, dir: t.TempDir()}
	w.cfg = logserver.Config{Dir: w.dir, Signer: w.Log, Pin: w.Pin, Witnesses: map[string]string{}}
	for i, key := range w.World.Witnesses {
		inner, err := witness.Open(witness.Config{Dir: t.TempDir(), Key: key, Logs: []tlog.Key{w.Log.Key()}, Growth: 1e6})
		if err != nil {
			t.Fatal(err)
		}
		a := &aWitness{}
		h := inner.Handler()
		a.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			a.asked.Add(1)
			if a.off.Load() {
				panic(http.ErrAbortHandler)
			}
			if f := a.instead.Load(); f != nil {
				(*f)(rw, r)
				return
			}
			h.ServeHTTP(rw, r)
		}))
		t.Cleanup(a.Close)
		w.witnesses = append(w.witnesses, a)
		w.cfg.Witnesses[fmt.Sprintf("w%d", i+1)] = a.URL
	}
	return w
}

// start opens the log and lets it run until stop is called, or the test ends.
func (w *world) start() (s *logserver.Server, url string, stop func()) {
	w.t.Helper()
	s, err := logserver.Open(w.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	front := httptest.NewServer(s.Handler())
	stop = sync.OnceFunc(func() { front.Close(); cancel(); <-done })
	w.t.Cleanup(stop)
	return s, front.URL, stop
}

// next signs a release for the next place.
func (w *world) next(version string, change func(*release.Manifest)) []byte {
	m := w.Manifest(version)
	if change != nil {
		change(&m)
	}
	return w.Sign(m, 2)
}

func get(t *testing.T, url string) (*http.Response, []byte) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, b
}

func add(t *testing.T, url string, entry []byte) (int, []byte) {
	t.Helper()
	resp, err := http.Post(url+"/add", "text/plain", bytes.NewReader(entry))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, b
}

// logged checks that an answer to an addition is a good proof.
func (w *world) logged(status int, answer, entry []byte, index int64) tlog.Checkpoint {
	w.t.Helper()
	if status != 200 {
		w.t.Fatalf("status %d: %s", status, answer)
	}
	p, err := tlog.ParseProof(answer)
	if err != nil {
		w.t.Fatal(err)
	}
	policy, err := tlog.ParsePolicy(w.Pin.Log)
	if err != nil {
		w.t.Fatal(err)
	}
	cp, err := p.Verify(entry, policy)
	if err != nil || p.Index != index {
		w.t.Fatalf("entry %d, want %d, %v", p.Index, index, err)
	}
	return cp
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for range 500 {
		if f() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("never: %s", what)
}

func TestLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, url, stop := w.start()
	eventually(t, "a checkpoint of the empty log", func() bool {
		resp, b := get(t, url+"/checkpoint")
		return resp.StatusCode == 200 && resp.Header.Get("Content-Type") == "text/plain; charset=utf-8" && resp.Header.Get("Cache-Control") == "no-cache" && strings.Contains(string(b), "\n0\n47DEQpj8HBSa")
	})
	var seen *tlog.Seen
	for i := range 10 {
		entry := w.next(fmt.Sprintf("1.0.%d", i), nil)
		status, proof := add(t, url, entry)
		cp := w.logged(status, proof, entry, int64(i))
		if len(cp.Witnesses) < 2 {
			t.Errorf("witnesses %v", cp.Witnesses)
		}
		w.Add(entry)
		// The same again is in the same place.
		if status, again := add(t, url, entry); status != 200 || !bytes.Equal(again, proof) {
			t.Errorf("again: %d %s", status, again)
		}
		resp, view := get(t, url+"/sotto/v1/log")
		if resp.Header.Get("Content-Type") != "application/json" || resp.Header.Get("Cache-Control") != "no-cache" {
			t.Errorf("headers %v", resp.Header)
		}
		pub, err := w.Pin.Open(view, seen, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if r, at := pub.Newest(); r.Manifest.Version != fmt.Sprintf("1.0.%d", i) || at != int64(i) {
			t.Errorf("newest is %s at %d", r.Manifest.Version, at)
		}
		if n := len(pub.Entries()); n != min(i+1, 8) {
			t.Errorf("%d releases are shown", n)
		}
		seen = &pub.Seen
	}
	_, before := get(t, url+"/checkpoint")
	stop()
	// What was shown is shown again before anybody is asked.
	for _, a := range w.witnesses {
		a.off.Store(true)
	}
	s, url, _ := w.start()
	if _, b := get(t, url+"/checkpoint"); !bytes.Equal(b, before) {
		t.Errorf("another checkpoint after a restart: %s", b)
	}
	if r, size, ok := s.Newest(); !ok || size != 10 || r.Manifest.Version != "1.0.9" {
		t.Errorf("newest %s of %d, %v", r.Manifest.Version, size, ok)
	}
	status, proof := add(t, url, w.Entries[3])
	w.logged(status, proof, w.Entries[3], 3)
	for _, a := range w.witnesses {
		a.off.Store(false)
	}
	entry := w.next("2.0.0", nil)
	status, proof = add(t, url, entry)
	w.logged(status, proof, entry, 10)
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, url, _ := w.start()
	first := w.next("1.0.0", nil)
	status, proof := add(t, url, first)
	w.logged(status, proof, first, 0)
	w.Add(first)
	stranger := releasetest.New("stranger")
	next := w.Manifest("1.0.1")
	text, err := next.Encode()
	if err != nil {
		t.Fatal(err)
	}
	old, err := w.Manifest("1.0.0"), error(nil)
	old.Index = 0
	oldText, err := old.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		entry []byte
		want  int
		text  string
	}{
		{"one signature", w.Sign(next, 1), 403, "release_signatures: 1 of the pinned keys signed it, and it takes 2"},
		{"one signature twice", w.SignText(text, w.Keys[0], w.Keys[0]), 403, "release_signatures"},
		{"others' signatures", stranger.SignText(text, stranger.Keys...), 403, "release_signatures: 0"},
		{"one of each", w.SignText(text, w.Keys[0], stranger.Keys[1]), 403, "release_signatures: 1"},
		{"witnesses' signatures", w.SignText(text, w.Log), 403, "release_signatures: 0"},
		{"other product", w.next("1.0.1", func(m *release.Manifest) { m.Product = "other" }), 403, "releases of sotto"},
		{"for a place that is taken", w.next("1.0.1", func(m *release.Manifest) { m.Index = 0 }), 409, "number 1, and this release was signed to be number 0"},
		{"for a later place", w.next("1.0.1", func(m *release.Manifest) { m.Index = 2 }), 409, "number 1, and this release was signed to be number 2"},
		{"there already, signatures in another order", w.SignText(oldText, w.Keys[1], w.Keys[0]), 409, "entry 0 of the log already"},
		{"there already, by others", w.SignText(oldText, w.Keys[1], w.Keys[2]), 409, "entry 0 of the log already"},
		{"signed rubbish", w.SignText([]byte("hello\n"), w.Keys...), 400, "no signed release"},
		{"not signed", text, 400, "no signed release"},
		{"nothing", nil, 400, "no signed release"},
		{"too long", make([]byte, release.MaxSigned+1), 413, "65535"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, answer := add(t, url, tt.entry)
			if status != tt.want || !strings.Contains(string(answer), tt.text) {
				t.Errorf("%d %s", status, answer)
			}
			if _, b := get(t, url+"/checkpoint"); !strings.Contains(string(b), "\n1\n") {
				t.Fatalf("the log grew: %s", b)
			}
		})
	}
	// Two releases for one place: one of them gets it.
	a, b := w.next("1.1.0", nil), w.next("1.2.0", nil)
	var got [2]int
	var wg sync.WaitGroup
	for i, e := range [][]byte{a, b} {
		wg.Go(func() { got[i], _ = add(t, url, e) })
	}
	wg.Wait()
	if slices.Sort(got[:]); got != [2]int{200, 409} {
		t.Errorf("answers %v", got)
	}
}

// Nothing is shown that too few witnesses have cosigned, and what was acknowledged
// is shown as soon as enough have.
func TestQuorum(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cfg.QuorumWait = 2 * time.Second
	_, url, stop := w.start()
	first := w.next("1.0.0", nil)
	status, proof := add(t, url, first)
	w.logged(status, proof, first, 0)
	w.Add(first)
	w.witnesses[0].off.Store(true)
	second := w.next("1.0.1", nil)
	status, proof = add(t, url, second)
	cp := w.logged(status, proof, second, 1)
	if !slices.Equal(cp.Witnesses, []string{"w2", "w3"}) {
		t.Errorf("witnesses %v", cp.Witnesses)
	}
	w.Add(second)
	w.witnesses[1].off.Store(true)
	third := w.next("1.0.2", nil)
	status, answer := add(t, url, third)
	if status != 503 || !strings.Contains(string(answer), "entry 2") {
		t.Errorf("%d %s", status, answer)
	}
	if _, b := get(t, url+"/checkpoint"); !strings.Contains(string(b), "\n2\n") {
		t.Errorf("shown: %s", b)
	}
	for _, path := range []string{"/tile/0/000.p/3", "/tile/entries/000.p/3"} {
		if resp, _ := get(t, url+path); resp.StatusCode != 404 {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
	// Killed in this state, it comes back in it.
	stop()
	_, url, _ = w.start()
	if _, b := get(t, url+"/checkpoint"); !strings.Contains(string(b), "\n2\n") {
		t.Errorf("shown after a restart: %s", b)
	}
	w.witnesses[1].off.Store(false)
	eventually(t, "the third entry", func() bool { _, b := get(t, url+"/checkpoint"); return strings.Contains(string(b), "\n3\n") })
	status, proof = add(t, url, third)
	w.logged(status, proof, third, 2)
	w.Add(third)
	// A witness that was away is told all it missed.
	w.witnesses[0].off.Store(false)
	w.witnesses[1].off.Store(true)
	fourth := w.next("1.0.3", nil)
	status, proof = add(t, url, fourth)
	if cp := w.logged(status, proof, fourth, 3); !slices.Contains(cp.Witnesses, "w1") {
		t.Errorf("witnesses %v", cp.Witnesses)
	}
}

// Witnesses that answer rubbish, or with others' signatures, don't count and spoil
// nothing.
func TestBadWitness(t *testing.T) {
	for name, f := range map[string]http.HandlerFunc{
		"nothing":          func(w http.ResponseWriter, _ *http.Request) {},
		"rubbish":          func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") },
		"no end":           func(w http.ResponseWriter, _ *http.Request) { io.Copy(w, io.LimitReader(zeros{}, 1<<20)) },
		"another's":        func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "— w1.example AAAAAAAA\n") },
		"500":              func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"redirect":         func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "http://127.0.0.1:1/", 307) },
		"conflict":         func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(409) },
		"conflict, no end": conflict("0\n"),
		"conflict, larger": conflict("1000\n"),
		"conflict, words":  conflict("many\n"),
		"conflict, huge":   conflict("18446744073709551615\n"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.witnesses[2].instead.Store(&f)
			_, url, _ := w.start()
			entry := w.next("1.0.0", nil)
			status, proof := add(t, url, entry)
			if cp := w.logged(status, proof, entry, 0); !slices.Equal(cp.Witnesses, []string{"w1", "w2"}) {
				t.Errorf("witnesses %v", cp.Witnesses)
			}
			if asked := w.witnesses[2].asked.Load(); asked > 10 {
				t.Errorf("asked %d times", asked)
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func conflict(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", witness.SizeType)
		w.WriteHeader(409)
		io.WriteString(w, text)
	}
}

// A slow witness holds nobody up once there is a quorum.
func TestSlowWitness(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	slow := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body); <-r.Context().Done() })
	w.witnesses[1].instead.Store(&slow)
	_, url, _ := w.start()
	entry := w.next("1.0.0", nil)
	status, proof := add(t, url, entry)
	if cp := w.logged(status, proof, entry, 0); !slices.Equal(cp.Witnesses, []string{"w1", "w3"}) {
		t.Errorf("witnesses %v", cp.Witnesses)
	}
}

// clock has a witness's own key cosign with another clock.
func (w *world) clock(i int, off time.Duration) {
	w.t.Helper()
	inner, err := witness.Open(witness.Config{
		Dir: w.t.TempDir(), Key: w.World.Witnesses[i], Logs: []tlog.Key{w.Log.Key()}, Growth: 1e6,
		Now: func() time.Time { return time.Now().Add(off) },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	h := http.HandlerFunc(inner.Handler().ServeHTTP)
	w.witnesses[i].instead.Store(&h)
}

// Witnesses whose clocks go behind aren't asked without a rest.
func TestLateClocks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range w.witnesses {
		w.clock(i, -11*time.Minute)
	}
	_, url, _ := w.start()
	entry := w.next("1.0.0", nil)
	status, proof := add(t, url, entry)
	w.logged(status, proof, entry, 0)
	asked := w.witnesses[0].asked.Load()
	time.Sleep(300 * time.Millisecond)
	if n := w.witnesses[0].asked.Load() - asked; n > 2 {
		t.Errorf("asked %d times, and nothing had grown", n)
	}
}

// A witness that says another day than it is can't have the log show something that
// everybody takes for old.
func TestWrongDay(t *testing.T) {
	t.Parallel()
	for _, off := range []time.Duration{-61 * time.Minute, 61 * time.Minute, -time.Duration(time.Now().Unix()) * time.Second} {
		w := newWorld(t)
		w.cfg.QuorumWait = 2 * time.Second // on a busy machine a witness takes its time
		_, url, _ := w.start()
		first := w.next("1.0.0", nil)
		status, proof := add(t, url, first)
		w.logged(status, proof, first, 0)
		_, shown := get(t, url+"/checkpoint")
		w.Add(first)
		w.witnesses[0].off.Store(true)
		w.clock(1, off)
		if status, b := add(t, url, w.next("1.1.0", nil)); status != 503 {
			t.Errorf("%v: status %d: %s", off, status, b)
		}
		if _, now := get(t, url+"/checkpoint"); !bytes.Equal(now, shown) {
			t.Errorf("%v: shown is %s", off, now)
		}
	}
}

// A log that stands still is cosigned anew.
func TestRecosign(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cfg.Recosign = time.Second
	_, url, _ := w.start()
	entry := w.next("1.0.0", nil)
	status, proof := add(t, url, entry)
	first := w.logged(status, proof, entry, 0)
	policy, err := tlog.ParsePolicy(w.Pin.Log)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "a newer checkpoint", func() bool {
		_, b := get(t, url+"/checkpoint")
		cp, err := policy.Open(b)
		return err == nil && cp.Size == 1 && cp.Root == first.Root && cp.Time > first.Time
	})
	_, view := get(t, url+"/sotto/v1/log")
	if pub, err := w.Pin.Open(view, nil, time.Now()); err != nil || pub.Checkpoint.Time <= first.Time {
		t.Errorf("the view is of %d, %v", pub.Checkpoint.Time, err)
	}
	// A disk that can't be read leaves what was shown.
	if err := os.RemoveAll(filepath.Join(w.dir, "tiles", "tile")); err != nil {
		t.Fatal(err)
	}
	askedAgain := func() {
		asked := w.witnesses[0].asked.Load()
		eventually(t, "the witnesses are asked twice more", func() bool { return w.witnesses[0].asked.Load() > asked+1 })
	}
	askedAgain() // so that what was under way is over
	_, view = get(t, url+"/sotto/v1/log")
	askedAgain()
	if _, still := get(t, url+"/sotto/v1/log"); !bytes.Equal(still, view) {
		t.Errorf("it shows something else: %s", still)
	}
	if resp, _ := get(t, url+"/tile/0/000.p/1"); resp.StatusCode != 500 || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("a tile that is gone: %d", resp.StatusCode)
	}
	if resp, _ := get(t, url+"/tile/entries/000.p/1"); resp.StatusCode != 500 {
		t.Errorf("entries that are gone: %d", resp.StatusCode)
	}
}

func TestTiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, url, _ := w.start()
	var tree tlog.Tree
	for i := range 5 {
		entry := w.next(fmt.Sprintf("1.0.%d", i), nil)
		status, proof := add(t, url, entry)
		w.logged(status, proof, entry, int64(i))
		w.Add(entry)
		tree.Append(tlog.LeafHash(entry))
	}
	for width := 1; width <= 5; width++ {
		resp, b := get(t, fmt.Sprintf("%s/tile/0/000.p/%d", url, width))
		h := resp.Header
		if resp.StatusCode != 200 || len(b) != 32*width || h.Get("Content-Type") != "application/octet-stream" || !strings.Contains(h.Get("Cache-Control"), "immutable") || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Fatalf("width %d: %d, %d bytes, %v", width, resp.StatusCode, len(b), h)
		}
		for i, e := range w.Entries[:width] {
			if leaf := tlog.LeafHash(e); !bytes.Equal(b[32*i:32*i+32], leaf[:]) {
				t.Errorf("width %d: hash %d", width, i)
			}
		}
		_, b = get(t, fmt.Sprintf("%s/tile/entries/000.p/%d", url, width))
		var want []byte
		for _, e := range w.Entries[:width] {
			want = append(append(want, byte(len(e)>>8), byte(len(e))), e...)
		}
		if !bytes.Equal(b, want) {
			t.Errorf("width %d: other entries", width)
		}
	}
	for _, path := range []string{
		"/tile/0/000", "/tile/0/000.p/6", "/tile/0/000.p/0", "/tile/0/000.p/05", "/tile/0/000.p/256", "/tile/0/000.p/", "/tile/0/001.p/1",
		"/tile/1/000.p/1", "/tile/00/000.p/1", "/tile/0/0.p/1", "/tile/0/x000/000.p/1", "/tile/64/000.p/1", "/tile/-1/000.p/1",
		"/tile/entries/000", "/tile/entries/000.p/6", "/tile/entries/000.p/1/", "/tile/", "/tile/x", "/tile/entries", "/tile/data/000.p/1",
		"/tile/0/x999/x999/x999/x999/x999/x999/999", "/tile/7/x999/x999/x999/x999/999.p/255", "/tile/8/000.p/1", "/tile/63/000.p/1",
	} {
		if resp, _ := get(t, url+path); resp.StatusCode != 404 || resp.Header.Get("Cache-Control") != "no-store" || resp.Header.Get("Retry-After") != "" {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
	req, err := http.NewRequest("GET", url+"/tile/entries/000.p/1", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", "identity")
	resp0, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp0.Body.Close()
	if resp0.Header.Get("Content-Encoding") != "" || resp0.Header.Get("Vary") != "Accept-Encoding" {
		t.Errorf("headers %v", resp0.Header)
	}
	req.Header.Set("Accept-Encoding", "gzip")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	z, err := gzip.NewReader(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil || !bytes.Equal(b[2:], w.Entries[0]) {
		t.Errorf("unpacked: %q, %v", b, err)
	}
}

// What is on the disk of a tile that was shown, and too little, is no tile.
func TestDamagedTiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, url, _ := w.start()
	entry := w.next("1.0.0", nil)
	status, proof := add(t, url, entry)
	w.logged(status, proof, entry, 0)
	for path, b := range map[string][]byte{"tile/0/000.p/1": make([]byte, 31), "tile/entries/000.p/1": {0, 5, 1}} {
		if err := os.WriteFile(filepath.Join(w.dir, "tiles", path), b, 0o600); err != nil {
			t.Fatal(err)
		}
		if resp, b := get(t, url+"/"+path); resp.StatusCode != 500 || resp.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%s: %d %q", path, resp.StatusCode, b)
		}
	}
	if err := os.WriteFile(filepath.Join(w.dir, "tiles/tile/entries/000.p/1"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if resp, b := get(t, url+"/tile/entries/000.p/1"); resp.StatusCode != 500 {
		t.Errorf("%d %q", resp.StatusCode, b)
	}
}

// A release that breaks off, places that are taken, and a wait that is longer than a
// release may take to arrive.
func TestAddingIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cfg.QuorumWait = time.Second
	s, url, _ := w.start()
	logserver.SetBodyTime(s, 200*time.Millisecond)
	rec := httptest.NewRecorder()
	s.Handler().ServeHTTP(rec, httptest.NewRequest("POST", "/add", iotest.ErrReader(io.ErrUnexpectedEOF)))
	if rec.Code != 400 || rec.Header().Get("Connection") != "close" || !strings.Contains(rec.Body.String(), "didn't arrive") {
		t.Errorf("%d %v %s", rec.Code, rec.Header(), rec.Body)
	}
	// One that doesn't come is not waited for.
	r, half := io.Pipe()
	defer half.Close()
	resp, err := http.Post(url+"/add", "text/plain", r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 400 {
		t.Errorf("status %d", resp.StatusCode)
	}
	entry := w.next("1.0.0", nil)
	leave := logserver.Fill(s)
	if status, b := add(t, url, entry); status != 503 || !strings.Contains(string(b), "too many") {
		t.Errorf("%d %s", status, b)
	}
	leave()
	for _, a := range w.witnesses {
		a.off.Store(true)
	}
	if status, b := add(t, url, entry); status != 503 || !strings.Contains(string(b), "too few witnesses") {
		t.Errorf("%d %s", status, b)
	}
	if n := logserver.Inside(s); n != 0 {
		t.Errorf("%d additions never left", n)
	}
	for _, a := range w.witnesses {
		a.off.Store(false)
	}
	eventually(t, "a proof", func() bool { status, _ := add(t, url, entry); return status == 200 })
}

func TestViews(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cfg.ViewPin = []byte(`{"v":1}`)
	_, url, _ := w.start()
	for i := range 4 {
		entry := w.next(fmt.Sprintf("1.0.%d", i), func(m *release.Manifest) {
			switch i {
			case 2: // names the first as no longer good
				m.Revoked = []string{release.Digest(textOf(t, w.Entries[0]))}
			case 3: // and keeps it so
				m.Revoked = []string{release.Digest(textOf(t, w.Entries[0]))}
			}
		})
		status, proof := add(t, url, entry)
		w.logged(status, proof, entry, int64(i))
		w.Add(entry)
	}
	_, doc := get(t, url+"/sotto/v1/log")
	v, err := tlog.ParseView(doc)
	if err != nil || string(v.Pin) != `{"v":1}` {
		t.Fatalf("pin %s, %v", v.Pin, err)
	}
	shown := func(doc []byte) (indexes []int64) {
		t.Helper()
		pub, err := w.Pin.Open(doc, nil, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range pub.Entries() {
			indexes = append(indexes, e.Index)
		}
		return indexes
	}
	if got := shown(doc); !slices.Equal(got, []int64{3, 2, 1}) {
		t.Errorf("shown: %v", got)
	}
	if resp, from := get(t, url+"/sotto/v1/log?from=0"); resp.StatusCode != 200 || !bytes.Equal(from, doc) {
		t.Errorf("from=0: %d", resp.StatusCode)
	}
	req, err := http.NewRequest("GET", url+"/sotto/v1/log", nil)
	if err != nil {
		t.Fatal(err)
	}
	for tag, want := range map[string]int{`"x"`: 200, func() string { r, _ := get(t, url+"/sotto/v1/log"); return r.Header.Get("ETag") }(): 304} {
		req.Header.Set("If-None-Match", tag)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("with %s: %d", tag, resp.StatusCode)
		}
	}
	for q, want := range map[string]int{"from=256": 404, "from=1": 404, "from=-1": 404, "from=x": 400, "from=": 400, "from=00": 400, "from=0&x": 400, "x": 400, "from=99999999999999999999": 400, "0": 400} {
		if resp, _ := get(t, url+"/sotto/v1/log?"+q); resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", q, resp.StatusCode, want)
		}
	}
	// A minimum version revokes all below it.
	entry := w.next("2.0.0", func(m *release.Manifest) { m.MinimumVersion = "1.0.3" })
	status, proof := add(t, url, entry)
	w.logged(status, proof, entry, 4)
	_, doc = get(t, url+"/sotto/v1/log")
	if got := shown(doc); !slices.Equal(got, []int64{4, 3}) {
		t.Errorf("shown: %v", got)
	}
}

func textOf(t *testing.T, entry []byte) []byte {
	t.Helper()
	r, err := release.Parse(entry)
	if err != nil {
		t.Fatal(err)
	}
	return r.Text
}

// Releases as large as they may be still make a view that can be read.
func TestLargeReleases(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, url, _ := w.start()
	for i := range 8 {
		entry := w.next(fmt.Sprintf("1.0.%d", i), func(m *release.Manifest) {
			for range 250 {
				m.Engine.Arguments = append(m.Engine.Arguments, strings.Repeat("x", 240))
			}
		})
		if len(entry) < 60_000 || len(entry) > release.MaxSigned {
			t.Fatalf("%d bytes", len(entry))
		}
		status, proof := add(t, url, entry)
		w.logged(status, proof, entry, int64(i))
		w.Add(entry)
		_, doc := get(t, url+"/sotto/v1/log")
		pub, err := w.Pin.Open(doc, nil, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if n := len(pub.Entries()); n != min(i+1, 6) {
			t.Errorf("%d shown after %d", n, i+1)
		}
	}
}

// A folder that doesn't hold what the log has shown is refused.
func TestFolder(t *testing.T) {
	fill := func(t *testing.T) *world {
		w := newWorld(t)
		_, url, stop := w.start()
		for i := range 3 {
			entry := w.next(fmt.Sprintf("1.0.%d", i), nil)
			status, proof := add(t, url, entry)
			w.logged(status, proof, entry, int64(i))
			w.Add(entry)
		}
		stop()
		return w
	}
	edit := func(t *testing.T, path string, f func([]byte) []byte) {
		t.Helper()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, tt := range map[string]struct {
		damage func(t *testing.T, w *world)
		want   string
	}{
		"entry changed": {func(t *testing.T, w *world) {
			edit(t, filepath.Join(w.dir, "tiles/tile/entries/000.p/3"), func(b []byte) []byte { b[100] ^= 1; return b })
		}, "entries"},
		"entries cut": {func(t *testing.T, w *world) {
			edit(t, filepath.Join(w.dir, "tiles/tile/entries/000.p/3"), func(b []byte) []byte { return b[:len(b)-1] })
		}, "damaged"},
		"entries gone": {func(t *testing.T, w *world) {
			if err := os.RemoveAll(filepath.Join(w.dir, "tiles/tile")); err != nil {
				t.Fatal(err)
			}
		}, "no such file"},
		"tiles gone": {func(t *testing.T, w *world) {
			if err := os.RemoveAll(filepath.Join(w.dir, "tiles")); err != nil {
				t.Fatal(err)
			}
		}, "holds 0 entries, and this log has shown 3"},
		"checkpoint damaged": {func(t *testing.T, w *world) {
			edit(t, filepath.Join(w.dir, "checkpoint"), func(b []byte) []byte { return b[:20] })
		}, "damaged"},
		"checkpoint changed": {func(t *testing.T, w *world) {
			edit(t, filepath.Join(w.dir, "checkpoint"), func(b []byte) []byte { return bytes.Replace(b, []byte("\n3\n"), []byte("\n2\n"), 1) })
		}, "signature is not on it"},
		"no checkpoint in the checkpoint": {func(t *testing.T, w *world) {
			edit(t, filepath.Join(w.dir, "checkpoint"), func([]byte) []byte { return must(w.Log.Note([]byte("hello\n"))) })
		}, "damaged"},
		"another log's checkpoint": {func(t *testing.T, w *world) {
			edit(t, filepath.Join(w.dir, "checkpoint"), func([]byte) []byte {
				return must(w.Log.Note(tlog.Checkpoint{Origin: "other.example", Root: tlog.EmptyRoot()}.Text()))
			})
		}, "of another log"},
		"another history": {func(t *testing.T, w *world) {
			edit(t, filepath.Join(w.dir, "checkpoint"), func([]byte) []byte {
				return must(w.Log.Note(tlog.Checkpoint{Origin: w.Log.Name(), Size: 3, Root: tlog.LeafHash(nil)}.Text()))
			})
		}, "not those that this log has shown"},
		"older tiles": {func(t *testing.T, w *world) {
			edit(t, filepath.Join(w.dir, "checkpoint"), func([]byte) []byte {
				return must(w.Log.Note(tlog.Checkpoint{Origin: w.Log.Name(), Size: 4, Root: tlog.LeafHash(nil)}.Text()))
			})
		}, "holds 3 entries, and this log has shown 4"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := fill(t)
			tt.damage(t, w)
			s, err := logserver.Open(w.cfg)
			if err == nil {
				s.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("opened: %v", err)
			}
		})
	}
	// With other witnesses than before, what was shown may be too little.
	t.Run("other witnesses", func(t *testing.T) {
		w := fill(t)
		other := releasetest.New("other")
		w.cfg.Pin.Log = strings.Replace(other.Pin.Log, other.Log.Key().String(), w.Log.Key().String(), 1)
		_, url, _ := w.start()
		for _, path := range []string{"/checkpoint", "/sotto/v1/log", "/tile/0/000.p/1"} {
			if resp, b := get(t, url+path); resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "1" || string(b) != "too few witnesses have cosigned this log's beginning yet\n" {
				t.Errorf("%s: %d %s", path, resp.StatusCode, b)
			}
		}
	})
	// With other keys that sign releases, what is in the log counts no more, but is
	// not left out.
	t.Run("other keys", func(t *testing.T) {
		w := fill(t)
		other := releasetest.New("other")
		w.cfg.Pin.Keys = other.Pin.Keys
		_, url, _ := w.start()
		m := w.Manifest("2.0.0")
		entry := other.SignText(must(m.Encode()), other.Keys...)
		status, proof := add(t, url, entry)
		w.logged(status, proof, entry, 3)
		_, doc := get(t, url+"/sotto/v1/log")
		pub, err := w.cfg.Pin.Open(doc, nil, time.Now())
		if err != nil || len(pub.Entries()) != 1 {
			t.Errorf("%v", err)
		}
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := releasetest.New("other")
	for name, tt := range map[string]struct {
		change func(*logserver.Config)
		want   string
	}{
		"no pin":             {func(c *logserver.Config) { c.Pin = release.Pin{} }, "policy"},
		"no keys":            {func(c *logserver.Config) { c.Pin.Keys = []string{"x"} }, "keys"},
		"other log":          {func(c *logserver.Config) { c.Signer = other.Log }, "doesn't name this log's key"},
		"no quorum":          {func(c *logserver.Config) { c.Pin.Log = strings.Replace(c.Pin.Log, "quorum two", "quorum none", 1) }, "asks for no witness"},
		"unknown witness":    {func(c *logserver.Config) { c.Witnesses = map[string]string{"w9": "http://127.0.0.1:1"} }, `no witness "w9"`},
		"no witness's place": {func(c *logserver.Config) { c.Witnesses = nil }, "-witness NAME=URL"},
		"no web":             {func(c *logserver.Config) { c.Witnesses = map[string]string{"w1": "ftp://w1.example"} }, "URL of witness w1"},
		"no host":            {func(c *logserver.Config) { c.Witnesses = map[string]string{"w1": "http:///x"} }, "URL of witness w1"},
		"cut URL":            {func(c *logserver.Config) { c.Witnesses = map[string]string{"w1": "http://[::1"} }, "URL of witness w1"},
		"no URL":             {func(c *logserver.Config) { c.Witnesses = map[string]string{"w1": "w1.example"} }, "URL of witness w1"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := w.cfg
			cfg.Dir = t.TempDir()
			tt.change(&cfg)
			s, err := logserver.Open(cfg)
			if err == nil {
				s.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("opened: %v", err)
			}
		})
	}
}

// Why a quorum is missing is said, once for a while, in each witness's own words.
func TestComplaints(t *testing.T) {
	type answers = map[string]http.HandlerFunc
	another := func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "— w1.example AAAAAAAA\n") }
	for _, witnesses := range []answers{
		{
			"it answered 500":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
			"its answer is no size": conflict("many\n"),
			"it has cosigned 1000 entries, and here are 0: this log's folder is older than the log": conflict("1000\n"),
		},
		{
			"its answer is no cosignature":          func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") },
			"its answer is not signed with its key": another,
			"it answered 409":                       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(409) },
		},
		{
			"it says another size each time": conflict("0\n"),
			"it answered 404": func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", witness.SizeType)
				w.WriteHeader(404)
			},
			"EOF": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		},
	} {
		w := newWorld(t)
		lines := &lockedBuffer{}
		w.cfg.Logger = slog.New(slog.NewTextHandler(lines, nil))
		i := 0
		for _, f := range witnesses {
			w.witnesses[i].instead.Store(&f)
			i++
		}
		_, _, stop := w.start()
		eventually(t, "the witnesses are asked again", func() bool {
			return w.witnesses[0].asked.Load()+w.witnesses[1].asked.Load()+w.witnesses[2].asked.Load() > 12
		})
		stop()
		if n := strings.Count(lines.String(), "too few witnesses cosigned"); n != 1 {
			t.Errorf("said %d times", n)
		}
		for text := range witnesses {
			if !strings.Contains(lines.String(), text) {
				t.Errorf("%q wasn't said in %s", text, lines)
			}
		}
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestWords(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, url, _ := w.start()
	if _, b := get(t, url+"/"); !strings.Contains(string(b), w.Log.Key().String()) || !strings.Contains(string(b), witness.Independence) {
		t.Errorf("%s", b)
	}
	// Said, and not left to be guessed from what comes.
	for _, path := range []string{"/", "/checkpoint", "/tile/0/000"} {
		var resp *http.Response
		eventually(t, "an answer to HEAD "+path, func() bool {
			var err error
			if resp, err = http.Head(url + path); err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			return resp.StatusCode != 503
		})
		if resp.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%s: %v", path, resp.Header)
		}
	}
	for path, want := range map[string]int{"/elsewhere": 404, "/add": 405, "/sotto/v1/nodes": 404} {
		if resp, _ := get(t, url+path); resp.StatusCode != want {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
}

// An end of the log that comes first is said.
func TestClosed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, err := logserver.Open(w.cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	var no *logserver.Refusal
	if _, err := s.Add(t.Context(), w.next("1.0.0", nil)); !errors.As(err, &no) || no.Status != 503 {
		t.Errorf("got %v", err)
	}
}
