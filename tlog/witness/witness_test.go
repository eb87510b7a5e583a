// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package witness

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/sotto-chat/sotto/internal/lines"
	"github.com/sotto-chat/sotto/tlog"
)

// aLog is a log that can be made to lie.
type aLog struct {
	signer tlog.Signer
	tree   tlog.Tree
}

func newLog(t *testing.T, origin string) *aLog {
	t.Helper()
	s, err := tlog.GenerateSigner(origin)
	if err != nil {
		t.Fatal(err)
	}
	return &aLog{signer: s}
}

func (l *aLog) grow(to int64, flavour string) {
	for n := l.tree.Size(); n < to; n++ {
		l.tree.Append(tlog.LeafHash(fmt.Appendf(nil, "%s %d", flavour, n)))
	}
}

func (l *aLog) checkpoint(t *testing.T, size int64) []byte {
	t.Helper()
	b, err := l.signer.Note(tlog.Checkpoint{Origin: l.signer.Name(), Size: size, Root: l.tree.Root(size)}.Text())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (l *aLog) request(t *testing.T, old, size int64) []byte {
	t.Helper()
	proof, err := l.tree.Consistency(old, size)
	if err != nil {
		t.Fatal(err)
	}
	return Request{old, proof, l.checkpoint(t, size)}.Encode()
}

func cosigner(t *testing.T, name string) tlog.Cosigner {
	t.Helper()
	c, err := tlog.GenerateCosigner(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var at = time.Unix(1_800_000_000, 0)

func open(t *testing.T, dir string, key tlog.Cosigner, logs ...*aLog) *Witness {
	t.Helper()
	w, err := openErr(dir, key, logs...)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func openErr(dir string, key tlog.Cosigner, logs ...*aLog) (*Witness, error) {
	cfg := Config{Dir: dir, Key: key, Now: func() time.Time { return at }}
	for _, l := range logs {
		cfg.Logs = append(cfg.Logs, l.signer.Key())
	}
	return Open(cfg)
}

func post(w *Witness, body []byte) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	w.Handler().ServeHTTP(rec, httptest.NewRequest("POST", "/add-checkpoint", bytes.NewReader(body)))
	return rec
}

// cosigned checks that an answer is w's cosignature of a checkpoint.
func cosigned(t *testing.T, w *Witness, checkpoint []byte, rec *httptest.ResponseRecorder) {
	t.Helper()
	if rec.Code != 200 {
		t.Fatalf("status %d: %s", rec.Code, rec.Body)
	}
	n, err := tlog.ParseNote(append(bytes.Clone(checkpoint), rec.Body.Bytes()...))
	if err != nil {
		t.Fatalf("%v: %q", err, rec.Body)
	}
	if when, ok := n.VerifiedBy(w.cfg.Key.Key()); !ok || when != at.Unix() {
		t.Fatalf("cosigned at %d, %v", when, ok)
	}
}

// Each answer of C2SP tlog-witness, "add-checkpoint", from a witness that has
// cosigned the tree of size 5.
func TestAnswers(t *testing.T) {
	good, other, stranger := newLog(t, "good.example/log"), newLog(t, "good.example/log"), newLog(t, "stranger.example/log")
	good.grow(9, "entry")
	fork := &aLog{signer: good.signer}
	fork.grow(9, "another")
	other.tree, stranger.tree = good.tree, good.tree
	key := cosigner(t, "w.example")
	edit := func(b []byte, old, new string) []byte {
		if !bytes.Contains(b, []byte(old)) {
			t.Fatalf("%q is not in %q", old, b)
		}
		return bytes.Replace(b, []byte(old), []byte(new), 1)
	}
	proof59, err := good.tree.Consistency(5, 9)
	if err != nil {
		t.Fatal(err)
	}
	many := make([]tlog.Hash, MaxProof+1)
	larger := Request{9, nil, good.checkpoint(t, 5)}.Encode()
	for _, tt := range []struct {
		name string
		body []byte
		want int
		kind string
		text string
	}{
		{"growth", good.request(t, 5, 9), 200, "text/plain; charset=utf-8", "— w.example "},
		{"growth by one", good.request(t, 5, 6), 200, "text/plain; charset=utf-8", "— w.example "},
		{"the same again", good.request(t, 5, 5), 200, "text/plain; charset=utf-8", "— w.example "},
		{"with other signatures", append(good.request(t, 5, 9), []byte("— nobody.example AAAAAAAA\n")...), 200, "", "— w.example "},
		{"unknown log", stranger.request(t, 5, 9), 404, "", "stranger.example"},
		{"known log, other key", other.request(t, 5, 9), 403, "", "didn't sign"},
		{"changed size", edit(good.request(t, 5, 9), "log\n9\n", "log\n8\n"), 403, "", "didn't sign"},
		{"old larger than new", larger, 400, "", "larger"},
		{"from nothing", good.request(t, 0, 9), 409, SizeType, "5\n"},
		{"from too small", good.request(t, 4, 9), 409, SizeType, "5\n"},
		{"from too large", good.request(t, 6, 9), 409, SizeType, "5\n"},
		{"smaller", good.request(t, 4, 4), 409, SizeType, "5\n"},
		{"smaller from nothing", good.request(t, 0, 4), 409, SizeType, "5\n"},
		{"fork of the same size", fork.request(t, 5, 5), 409, "text/plain; charset=utf-8", "another root"},
		{"fork that grew", fork.request(t, 5, 9), 422, "", "doesn't show"},
		{"good tree, no proof", Request{5, nil, good.checkpoint(t, 9)}.Encode(), 422, "", "doesn't show"},
		{"good tree, proof too long", Request{5, append(proof59[:len(proof59):len(proof59)], tlog.Hash{}), good.checkpoint(t, 9)}.Encode(), 422, "", "doesn't show"},
		{"same tree, with a proof", Request{5, proof59, good.checkpoint(t, 5)}.Encode(), 422, "", "doesn't show"},
		{"fork with the good tree's proof", Request{5, proof59, fork.checkpoint(t, 9)}.Encode(), 422, "", "doesn't show"},
		{"64 hashes", Request{5, many, good.checkpoint(t, 9)}.Encode(), 400, "", "63"},
		{"nothing", nil, 400, "", "old SIZE"},
		{"no note", []byte("old 5\n\nhello\n"), 400, "", "is no signed note"},
		{"no checkpoint", Request{5, nil, note(t, good, []byte("hello\n"))}.Encode(), 400, "", "no checkpoint"},
		{"too long", make([]byte, MaxRequest+1), 413, "", "too long"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			w := open(t, dir, key, good)
			cosigned(t, w, good.checkpoint(t, 5), post(w, good.request(t, 0, 5)))
			before := state(t, dir)
			rec := post(w, tt.body)
			if rec.Code != tt.want || !strings.Contains(rec.Body.String(), tt.text) {
				t.Errorf("status %d, want %d: %q", rec.Code, tt.want, rec.Body)
			}
			if tt.kind != "" && rec.Header().Get("Content-Type") != tt.kind {
				t.Errorf("content type %q", rec.Header().Get("Content-Type"))
			}
			if rec.Header().Get("Retry-After") != "" {
				t.Error("it says when to come back")
			}
			if strings.Contains(rec.Body.String(), "—") != (tt.want == 200) {
				t.Errorf("body %q", rec.Body)
			}
			if tt.want != 200 && state(t, dir) != before {
				t.Error("a refusal changed the memory")
			}
		})
	}
}

func note(t *testing.T, l *aLog, text []byte) []byte {
	t.Helper()
	b, err := l.signer.Note(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// state is all that the folder holds.
func state(t *testing.T, dir string) string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, e := range list {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&all, "%s\n%s\n", e.Name(), b)
	}
	return all.String()
}

// A log may begin with a checkpoint of the empty tree, and a witness may meet a log
// that has grown already.
func TestBeginnings(t *testing.T) {
	key := cosigner(t, "w.example")
	for _, first := range []int64{0, 1, 7} {
		l := newLog(t, "good.example/log")
		l.grow(9, "entry")
		dir := t.TempDir()
		w := open(t, dir, key, l)
		cosigned(t, w, l.checkpoint(t, first), post(w, l.request(t, 0, first)))
		if first == 0 {
			cosigned(t, w, l.checkpoint(t, 0), post(w, l.request(t, 0, 0)))
			wrong := note(t, l, tlog.Checkpoint{Origin: l.signer.Name(), Root: tlog.LeafHash(nil)}.Text())
			if rec := post(w, Request{0, nil, wrong}.Encode()); rec.Code != 409 {
				t.Errorf("another empty tree: %d %s", rec.Code, rec.Body)
			}
		}
		w = open(t, dir, key, l)
		cosigned(t, w, l.checkpoint(t, 9), post(w, l.request(t, first, 9)))
	}
	// What follows from nothing has nothing to prove.
	l := newLog(t, "good.example/log")
	l.grow(3, "entry")
	w := open(t, t.TempDir(), key, l)
	if rec := post(w, (Request{0, []tlog.Hash{{}}, l.checkpoint(t, 3)}).Encode()); rec.Code != 422 {
		t.Errorf("a proof from nothing: %d %s", rec.Code, rec.Body)
	}
}

// Two logs have nothing to do with each other, and one log may change its key.
func TestLogs(t *testing.T) {
	a, b := newLog(t, "a.example/log"), newLog(t, "b.example/log")
	newer := newLog(t, "a.example/log")
	a.grow(5, "a")
	b.grow(7, "b")
	newer.tree = a.tree
	dir, key := t.TempDir(), cosigner(t, "w.example")
	w := open(t, dir, key, a, b, newer)
	cosigned(t, w, a.checkpoint(t, 3), post(w, a.request(t, 0, 3)))
	cosigned(t, w, b.checkpoint(t, 7), post(w, b.request(t, 0, 7)))
	cosigned(t, w, newer.checkpoint(t, 5), post(w, newer.request(t, 3, 5)))
	w = open(t, dir, key, b, newer)
	if rec := post(w, newer.request(t, 0, 5)); rec.Code != 409 || rec.Body.String() != "5\n" {
		t.Errorf("forgot a log: %d %s", rec.Code, rec.Body)
	}
}

func TestMemory(t *testing.T) {
	l := newLog(t, "good.example/log")
	l.grow(9, "entry")
	key := cosigner(t, "w.example")
	memory := func(t *testing.T) (dir, file string) {
		dir = t.TempDir()
		w := open(t, dir, key, l)
		cosigned(t, w, l.checkpoint(t, 5), post(w, l.request(t, 0, 5)))
		cosigned(t, w, l.checkpoint(t, 6), post(w, l.request(t, 5, 6)))
		return dir, w.logs[l.signer.Name()].file
	}
	t.Run("kept", func(t *testing.T) {
		dir, file := memory(t)
		if b, err := os.ReadFile(filepath.Join(dir, roster)); err != nil || string(b) != "good.example/log\n" {
			t.Errorf("roster %q, %v", b, err)
		}
		w := open(t, dir, key, l)
		// The same tree again is not worth a write.
		before, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		w.cfg.Now = func() time.Time { return at.Add(time.Hour) }
		if rec := post(w, l.request(t, 6, 6)); rec.Code != 200 {
			t.Fatal(rec.Code)
		}
		if after, err := os.ReadFile(file); err != nil || !bytes.Equal(after, before) {
			t.Errorf("written again: %s, %v", after, err)
		}
		w.cfg.Now = func() time.Time { return at }
		if rec := post(w, l.request(t, 5, 9)); rec.Code != 409 || rec.Body.String() != "6\n" {
			t.Fatalf("%d %q", rec.Code, rec.Body)
		}
		cosigned(t, w, l.checkpoint(t, 9), post(w, l.request(t, 6, 9)))
	})
	// Whatever a bit of it changes to, the witness notices.
	t.Run("bits", func(t *testing.T) {
		dir, file := memory(t)
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i := range b {
			damaged := bytes.Clone(b)
			damaged[i] ^= 1
			if err := os.WriteFile(file, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := openErr(dir, key, l); err == nil || !strings.Contains(err.Error(), "retire") {
				t.Errorf("byte %d changed: %v", i, err)
			}
		}
	})
	type damage func(t *testing.T, dir, file string) error
	for name, tt := range map[string]struct {
		damage damage
		want   string
	}{
		"missing": {func(t *testing.T, _, file string) error { return os.Remove(file) }, "is missing"},
		"empty":   {func(t *testing.T, _, file string) error { return os.WriteFile(file, nil, 0o600) }, "is damaged: log_malformed"},
		"huge": {func(t *testing.T, _, file string) error {
			return os.WriteFile(file, make([]byte, 2*MaxRequest+1), 0o600)
		}, "131072"},
		"unsigned": {func(t *testing.T, _, file string) error {
			return os.WriteFile(file, l.checkpoint(t, 5), 0o600)
		}, "signature is not on it"},
		"cosigned, and no checkpoint": {func(t *testing.T, _, file string) error {
			text := []byte("hello\n")
			return os.WriteFile(file, tlog.Note{Text: text, Signatures: []tlog.Signature{key.Cosign(text, 1)}}.Encode(), 0o600)
		}, "is damaged: log_malformed"},
		"another log's": {func(t *testing.T, _, file string) error {
			text := tlog.Checkpoint{Origin: "other.example/log", Root: tlog.EmptyRoot()}.Text()
			return os.WriteFile(file, tlog.Note{Text: text, Signatures: []tlog.Signature{key.Cosign(text, 1)}}.Encode(), 0o600)
		}, "of the log \"other.example/log\""},
		"roster cut": {func(t *testing.T, dir, _ string) error {
			return os.WriteFile(filepath.Join(dir, roster), []byte("good.example"), 0o600)
		}, "logs is damaged"},
		"roster with a gap": {func(t *testing.T, dir, _ string) error {
			return os.WriteFile(filepath.Join(dir, roster), []byte("\ngood.example/log\n"), 0o600)
		}, "logs is damaged"},
		"a folder": {func(t *testing.T, _, file string) error {
			os.Remove(file)
			return os.Mkdir(file, 0o700)
		}, "is a directory"},
		"roster a folder": {func(t *testing.T, dir, _ string) error {
			os.Remove(filepath.Join(dir, roster))
			return os.Mkdir(filepath.Join(dir, roster), 0o700)
		}, "is a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, file := memory(t)
			if err := tt.damage(t, dir, file); err != nil {
				t.Fatal(err)
			}
			if _, err := openErr(dir, key, l); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("opened: %v", err)
			}
		})
	}
	t.Run("another witness's", func(t *testing.T) {
		dir, _ := memory(t)
		if _, err := openErr(dir, cosigner(t, "w.example"), l); err == nil || !strings.Contains(err.Error(), "of another witness") {
			t.Errorf("opened: %v", err)
		}
	})
	t.Run("only the roster is missing", func(t *testing.T) {
		// As a crash between the two leaves it: nothing is lost.
		dir, _ := memory(t)
		if err := os.Remove(filepath.Join(dir, roster)); err != nil {
			t.Fatal(err)
		}
		w := open(t, dir, key, l)
		cosigned(t, w, l.checkpoint(t, 9), post(w, l.request(t, 6, 9)))
		if b, err := os.ReadFile(filepath.Join(dir, roster)); err != nil || string(b) != "good.example/log\n" {
			t.Errorf("roster %q, %v", b, err)
		}
	})
}

// What can't be written down is not cosigned, and not later taken for cosigned.
func TestDiskFails(t *testing.T) {
	l := newLog(t, "good.example/log")
	l.grow(9, "entry")
	dir := t.TempDir()
	w := open(t, dir, cosigner(t, "w.example"), l)
	var lines bytes.Buffer
	w.log = to(&lines)
	// Neither half of it.
	if err := os.Mkdir(filepath.Join(dir, roster), 0o700); err != nil {
		t.Fatal(err)
	}
	if rec := post(w, l.request(t, 0, 4)); rec.Code != 500 || strings.Contains(rec.Body.String(), "—") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if !strings.Contains(lines.String(), "could not be written down") {
		t.Errorf("said %q", &lines)
	}
	if err := os.Remove(filepath.Join(dir, roster)); err != nil {
		t.Fatal(err)
	}
	cosigned(t, w, l.checkpoint(t, 5), post(w, l.request(t, 0, 5)))
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if rec := post(w, l.request(t, 5, 9)); rec.Code != 500 || strings.Contains(rec.Body.String(), "—") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if rec := post(w, l.request(t, 9, 9)); rec.Code != 409 || rec.Body.String() != "5\n" {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

// Two histories are offered at once, many times over: only one of them is ever
// cosigned, whatever comes first.
func TestRace(t *testing.T) {
	honest := newLog(t, "good.example/log")
	honest.grow(30, "entry")
	fork := &aLog{signer: honest.signer}
	fork.grow(30, "another")
	w := open(t, t.TempDir(), cosigner(t, "w.example"), honest)
	w.cfg.Growth = 1e6
	var mu sync.Mutex
	trees := map[int64]map[tlog.Hash]bool{}
	var wg sync.WaitGroup
	for i, l := range []*aLog{honest, fork, honest, fork} {
		bodies := map[[2]int64][]byte{}
		for old := range int64(31) {
			for size := old; size <= 30; size++ {
				bodies[[2]int64{old, size}] = l.request(t, old, size)
			}
		}
		wg.Go(func() {
			for old := range int64(31) {
				for step := range int64(3) {
					size := min(30, old+step+int64(i)%2)
					if rec := post(w, bodies[[2]int64{old, size}]); rec.Code == 200 {
						mu.Lock()
						if trees[size] == nil {
							trees[size] = map[tlog.Hash]bool{}
						}
						trees[size][l.tree.Root(size)] = true
						mu.Unlock()
					}
				}
			}
		})
	}
	wg.Wait()
	histories := map[bool]bool{}
	for size, roots := range trees {
		if len(roots) > 1 {
			t.Errorf("two trees of size %d were cosigned", size)
		}
		if size > 0 {
			histories[roots[honest.tree.Root(size)]] = true
		}
	}
	if len(trees) < 5 || len(histories) != 1 {
		t.Errorf("%d trees of %d histories were cosigned", len(trees), len(histories))
	}
}

// A log that grows without end waits; what doesn't grow costs no disk and is
// answered.
func TestGrowthIsBounded(t *testing.T) {
	l := newLog(t, "good.example/log")
	l.grow(40, "entry")
	w := open(t, t.TempDir(), cosigner(t, "w.example"), l)
	now := at
	w.cfg.Now = func() time.Time { return now }
	size := int64(0)
	burst := func() (n int) {
		for {
			switch rec := post(w, l.request(t, size, size+1)); rec.Code {
			case 200:
				size++
				n++
			case 429:
				if rec.Header().Get("Retry-After") != "1" {
					t.Error("no word on when to come back")
				}
				return n
			default:
				t.Fatalf("%d %s", rec.Code, rec.Body)
			}
		}
	}
	if n := burst(); n != DefaultGrowth {
		t.Errorf("%d at once", n)
	}
	if rec := post(w, l.request(t, size, size)); rec.Code != 200 {
		t.Errorf("the same tree: %d", rec.Code)
	}
	now = now.Add(100 * time.Millisecond)
	if n := burst(); n != DefaultGrowth/10 {
		t.Errorf("%d after a tenth of a second", n)
	}
	now = now.Add(-time.Hour) // a clock that goes back gives nothing, and takes nothing
	if n := burst(); n != 0 {
		t.Errorf("%d after a clock went back", n)
	}
	now = now.Add(100 * time.Millisecond)
	if n := burst(); n != DefaultGrowth/10 {
		t.Errorf("%d after a tenth of a second of the new clock", n)
	}
}

// Whoever offers a second history over and over doesn't fill the witness's disk.
func TestTellsNowAndThen(t *testing.T) {
	l := newLog(t, "good.example/log")
	l.grow(9, "entry")
	fork := &aLog{signer: l.signer}
	fork.grow(9, "another")
	var lines bytes.Buffer
	now := at
	w, err := Open(Config{Dir: t.TempDir(), Key: cosigner(t, "w.example"), Logs: []tlog.Key{l.signer.Key()}, Now: func() time.Time { return now }, Logger: slog.New(slog.NewTextHandler(&lines, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if rec := post(w, l.request(t, 0, 5)); rec.Code != 200 {
		t.Fatal(rec.Code)
	}
	for i, size := range []int64{5, 9} {
		for range 10 {
			post(w, fork.request(t, 5, size))
			if n := strings.Count(lines.String(), "cosigned=5"); n != i+1 {
				t.Fatalf("told %d times at %v:\n%s", n, now.Sub(at), lines.String())
			}
			if rec := post(w, fork.request(t, 5, size)); rec.Code == 200 {
				t.Fatal("cosigned a second history")
			}
			now = now.Add(time.Second)
		}
	}
	if n := strings.Count(lines.String(), "cosigned=5"); n != 2 || !strings.Contains(lines.String(), "second tree of the size") || !strings.Contains(lines.String(), "doesn't continue") {
		t.Errorf("told %d times:\n%s", n, lines.String())
	}
	now = now.Add(-time.Hour)
	post(w, fork.request(t, 5, 9))
	if n := strings.Count(lines.String(), "cosigned=5"); n != 3 {
		t.Errorf("told %d times after a clock went back", n)
	}
}

func TestTooManyAtOnce(t *testing.T) {
	l := newLog(t, "good.example/log")
	w := open(t, t.TempDir(), cosigner(t, "w.example"), l)
	for range maxRequests {
		w.gate.Enter(MaxRequest)
	}
	if rec := post(w, l.request(t, 0, 0)); rec.Code != 503 || rec.Header().Get("Retry-After") == "" {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	w.gate.Leave(MaxRequest)
	if rec := post(w, l.request(t, 0, 0)); rec.Code != 200 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if n, _ := w.gate.Inside(); n != maxRequests-1 {
		t.Errorf("%d are inside", n)
	}
}

// A checkpoint that can't be kept with the witness's own signature on it is none: a
// log could have a witness write down what it refuses at its next start.
func TestTooLongToKeep(t *testing.T) {
	dir := t.TempDir()
	l := newLog(t, "l")
	key := cosigner(t, "w."+strings.Repeat("x", 100)+".example")
	w := open(t, dir, key, l)
	l.grow(1, "entry")
	text := tlog.Checkpoint{Origin: "l", Size: 1, Root: l.tree.Root(1)}.Text()
	own := len(tlog.Note{Text: text, Signatures: []tlog.Signature{key.Cosign(text, at.Unix())}}.Encode()) - len(text)
	for _, tt := range []struct{ length, status int }{{tlog.MaxNote + 1, 400}, {tlog.MaxNote, 200}} {
		long := append(bytes.Clone(text), strings.Repeat("x", tt.length-own-len(text)-1)+"\n"...)
		signed, err := l.signer.Note(long)
		if err != nil {
			t.Fatal(err)
		}
		if rec := post(w, Request{Checkpoint: signed}.Encode()); rec.Code != tt.status {
			t.Errorf("%d bytes with its signature: %d %s", tt.length, rec.Code, rec.Body)
		}
	}
	if _, err := openErr(dir, key, l); err != nil {
		t.Error(err)
	}
}

// slowBody never ends, and says when somebody began to wait for it.
type slowBody struct {
	waiting func()
	end     chan struct{}
}

func (b *slowBody) Read([]byte) (int, error) {
	b.waiting()
	<-b.end
	return 0, io.ErrUnexpectedEOF
}

// Strangers who begin to ask and never end keep no log from its witness.
func TestSlowStrangers(t *testing.T) {
	l := newLog(t, "good.example/log")
	w := open(t, t.TempDir(), cosigner(t, "w.example"), l)
	h := w.Handler()
	end := make(chan struct{})
	var waiting, ended sync.WaitGroup
	for range maxRequests {
		waiting.Add(1)
		ended.Go(func() {
			b := &slowBody{sync.OnceFunc(waiting.Done), end}
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/add-checkpoint", b))
		})
	}
	waiting.Wait()
	if rec := post(w, l.request(t, 0, 0)); rec.Code != 200 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	close(end)
	ended.Wait()
}

func TestHTTP(t *testing.T) {
	l := newLog(t, "good.example/log")
	w := open(t, t.TempDir(), cosigner(t, "w.example"), l)
	s := httptest.NewServer(w.Handler())
	defer s.Close()
	resp, err := http.Get(s.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || !strings.Contains(string(body), w.cfg.Key.Key().String()) || !strings.Contains(string(body), Independence) {
		t.Errorf("%q, %v", body, err)
	}
	for path, want := range map[string]int{"/add-checkpoint": 405, "/elsewhere": 404} {
		resp, err := http.Get(s.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("GET %s: %d", path, resp.StatusCode)
		}
	}
}

// What isn't said has its default.
func TestDefaults(t *testing.T) {
	l := newLog(t, "good.example/log")
	l.grow(9, "entry")
	w, err := Open(Config{Dir: t.TempDir(), Key: cosigner(t, "w.example"), Logs: []tlog.Key{l.signer.Key()}})
	if err != nil {
		t.Fatal(err)
	}
	if rec := post(w, l.request(t, 0, 5)); rec.Code != 200 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	w, err = Open(Config{Dir: t.TempDir(), Key: cosigner(t, "w.example"), Logs: []tlog.Key{l.signer.Key()}, Growth: 1, Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	if rec := post(w, l.request(t, 0, 1)); rec.Code != 200 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if rec := post(w, l.request(t, 1, 2)); rec.Code != 429 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

// A request that breaks off is refused, and the connection with it.
func TestBrokenOff(t *testing.T) {
	l := newLog(t, "good.example/log")
	w := open(t, t.TempDir(), cosigner(t, "w.example"), l)
	rec := httptest.NewRecorder()
	w.Handler().ServeHTTP(rec, httptest.NewRequest("POST", "/add-checkpoint", iotest.ErrReader(io.ErrUnexpectedEOF)))
	if rec.Code != 400 || rec.Header().Get("Connection") != "close" || !strings.Contains(rec.Body.String(), "didn't arrive") {
		t.Errorf("%d %v %s", rec.Code, rec.Header(), rec.Body)
	}
}

func TestOpenNeedsAll(t *testing.T) {
	l := newLog(t, "good.example/log")
	if _, err := openErr(t.TempDir(), cosigner(t, "w.example")); err == nil {
		t.Error("a witness of nothing")
	}
	if _, err := openErr(t.TempDir(), tlog.Cosigner{}, l); err == nil {
		t.Error("a witness without a key")
	}
}

func TestParseRequest(t *testing.T) {
	h := tlog.Hash{1}.String()
	for body, ok := range map[string]bool{
		"old 0\n\n":                   true,
		"old 12\n" + h + "\n\nx":      true,
		"old 9223372036854775807\n\n": true,
		"old 9223372036854775808\n\n": false,
		"old 01\n\n":                  false,
		"old -1\n\n":                  false,
		"old +1\n\n":                  false,
		"old \n\n":                    false,
		"old 1":                       false,
		"old 1\n":                     false,
		"old 1\n" + h:                 false,
		"old 1\n" + h + "\n":          false,
		"old 1\r\n\n":                 false,
		"old 1\n" + h + "\r\n\n":      false,
		"old 1\n" + h[:43] + "\n\n":   false,
		"old 1\n" + h[:42] + "B=\n\n": false, // not the one encoding
		"Old 1\n\n":                   false,
		"new 1\n\n":                   false,
		"old  1\n\n":                  false,
		"old 1\n" + strings.Repeat(h+"\n", 63) + "\n": true,
		"old 1\n" + strings.Repeat(h+"\n", 64) + "\n": false,
	} {
		r, err := ParseRequest([]byte(body))
		if (err == nil) != ok {
			t.Errorf("%q: %v", body, err)
		}
		if err == nil && string(r.Encode()) != body {
			t.Errorf("%q became %q", body, r.Encode())
		}
	}
}

func TestRequestIsBounded(t *testing.T) {
	body := []byte("old 0\n\n" + strings.Repeat("x", MaxRequest-7))
	if r, err := ParseRequest(body); err != nil || len(r.Checkpoint) != MaxRequest-7 {
		t.Errorf("%v", err)
	}
	if _, err := ParseRequest(append(body, 'x')); err == nil {
		t.Error("read one byte too many")
	}
}

func FuzzRequest(f *testing.F) {
	h := tlog.Hash{1}.String()
	f.Add([]byte("old 0\n\n"))
	f.Add([]byte("old 20852014\n" + h + "\n" + h + "\n\nexample.com/log\n20852163\n" + h + "\n\n— example.com/log AAAAAAAA\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := ParseRequest(body)
		if err == nil && !bytes.Equal(r.Encode(), body) {
			t.Errorf("%q became %q", body, r.Encode())
		}
	})
}

// to is a log that writes to b.
func to(b *bytes.Buffer) lines.Log { return lines.To(slog.New(slog.NewTextHandler(b, nil))) }
