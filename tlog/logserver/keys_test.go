// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package logserver_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/keylog"
	"github.com/sotto-chat/sotto/keylog/keylogtest"
	"github.com/sotto-chat/sotto/release"
	"github.com/sotto-chat/sotto/tlog"
	"github.com/sotto-chat/sotto/tlog/logserver"
	"github.com/sotto-chat/sotto/tlog/witness"
	"github.com/sotto-chat/sotto/token"
)

// keyWorld is a key log with its witnesses, at a time that tests set.
type keyWorld struct {
	*keylogtest.World
	t   *testing.T
	cfg logserver.Config

	mu  sync.Mutex
	now time.Time
}

func newKeyWorld(t *testing.T) *keyWorld {
	t.Helper()
	w := &keyWorld{World: keylogtest.New(t.Name()), t: t, now: time.Unix(keylogtest.Now, 0)}
	clock := func() time.Time {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.now
	}
	w.cfg = logserver.Config{Dir: t.TempDir(), Kind: logserver.Keys, Signer: w.Log, Pin: release.Pin(w.Pin), Witnesses: map[string]string{}, Now: clock}
	for i, key := range w.Witnesses {
		inner, err := witness.Open(witness.Config{Dir: t.TempDir(), Key: key, Logs: []tlog.Key{w.Log.Key()}, Growth: 1e6, Now: clock})
		if err != nil {
			t.Fatal(err)
		}
		front := httptest.NewServer(inner.Handler())
		t.Cleanup(front.Close)
		w.cfg.Witnesses[fmt.Sprintf("w%d", i+1)] = front.URL
	}
	return w
}

func (w *keyWorld) start() (url string, stop func()) {
	w.t.Helper()
	_, url, stop = (&world{t: w.t, cfg: w.cfg}).start()
	return url, stop
}

func (w *keyWorld) at(t time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = t
}

// day is a statement that is made now, for the next place.
func (w *keyWorld) day(d token.Day) keylog.Statement {
	s := w.DayOf(d)
	s.Time = w.now.Unix()
	return s
}

func (w *keyWorld) nodes(n int) keylog.Statement {
	s := w.NodesOf(keylogtest.IDs(n))
	s.Time = w.now.Unix()
	return s
}

// add adds a signed statement. Where detail is "" it has to be taken, else refused
// with these words.
func (w *keyWorld) add(url, name string, s keylog.Statement, detail string) {
	w.t.Helper()
	entry, err := s.Sign(w.Keys[0])
	if err != nil {
		w.t.Fatalf("%s: %v", name, err)
	}
	status, answer := add(w.t, url, entry)
	switch {
	case detail == "" && status != 200:
		w.t.Fatalf("%s: %d %s", name, status, answer)
	case detail == "":
		w.Add(entry)
	case status == 200 || !strings.Contains(string(answer), detail):
		w.t.Errorf("%s: %d %s", name, status, answer)
	}
}

// A key log takes one key for each day, and a list of machines now and then, and
// shows all that a client needs to see that there is no other.
func TestKeyLog(t *testing.T) {
	t.Parallel()
	w := newKeyWorld(t)
	url, stop := w.start()
	const today = keylogtest.Today
	change := func(s keylog.Statement, f func(*keylog.Statement)) keylog.Statement {
		f(&s)
		return s
	}
	w.add(url, "today", w.day(today), "")
	w.add(url, "a second key for today", change(w.day(today), func(s *keylog.Statement) { s.Issue = keylogtest.SPKI("other") }), keylog.FailDuplicate)
	w.add(url, "machines", w.nodes(3), "")
	w.add(url, "the same machines", w.nodes(3), "is the same")
	w.add(url, "other machines at once", w.nodes(4), "between two lists")
	w.add(url, "tomorrow", w.day(today+1), "")
	w.add(url, "today after tomorrow", w.day(today), keylog.FailDuplicate)
	w.add(url, "the same machines, after a day", w.nodes(3), "")
	w.add(url, "another place", change(w.day(today), func(s *keylog.Statement) { s.Index = 9 }), "the next entry of the log is number 4")
	w.add(url, "another product", change(w.day(today), func(s *keylog.Statement) { s.Product = "other" }), "a statement for other")
	w.add(url, "made long ago", change(w.nodes(5), func(s *keylog.Statement) { s.Time -= 601 }), "10 minutes from this log's clock")
	w.add(url, "made in time to come", change(w.nodes(5), func(s *keylog.Statement) { s.Time += 601 }), "10 minutes from this log's clock")
	for _, tt := range []struct{ name, entry, detail string }{
		{"nobody's", string(w.foreign(w.nodes(6))), tlog.FailSignatures},
		{"rubbish", "rubbish", keylog.FailMalformed},
		{"too long", strings.Repeat("x", keylog.MaxSigned+1), "at most 8192 bytes"},
	} {
		if status, answer := add(t, url, []byte(tt.entry)); status < 400 || !strings.Contains(string(answer), tt.detail) {
			t.Errorf("%s: %d %s", tt.name, status, answer)
		}
	}

	// The next day, and after a start.
	w.at(w.now.Add(24 * time.Hour))
	w.add(url, "a key of another day", change(w.day(today+2), func(s *keylog.Statement) { s.Refund = keylogtest.SPKI("TestKeyLogissue " + (today + 1).String()) }), keylog.FailDuplicate)
	w.add(url, "the day after", w.day(today+2), "")
	stop()
	url, _ = w.start()
	w.add(url, "the same day after a start", change(w.day(today+2), func(s *keylog.Statement) { s.Issue = keylogtest.SPKI("other") }), keylog.FailDuplicate)
	w.add(url, "machines", w.nodes(7), "")
	w.add(url, "the same machines after a start", w.nodes(7), "is the same")

	open := func(first int64, days ...token.Day) {
		t.Helper()
		_, doc := get(t, url+"/sotto/v1/log")
		view, err := tlog.ParseView(doc)
		if err != nil || int64(len(w.Entries)-len(view.Recent)) != first {
			t.Fatalf("the view has %d of %d entries, %v", len(view.Recent), len(w.Entries), err)
		}
		keys, err := w.Pin.Open(doc, nil, w.now)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range days {
			if got, err := keys.Day(d); err != nil || got.Day != d {
				t.Errorf("%v: %v", d, err)
			}
		}
		if n, ok := keys.Nodes(); !ok || n.Size != 7 {
			t.Errorf("machines %+v, %v", n, ok)
		}
	}
	open(0, today+1, today+2)

	// Days later the view begins with the day before.
	for d := today + 3; d < today+8; d++ {
		w.at((d - 1).Start().Add(12 * time.Hour))
		w.add(url, d.String(), w.day(d), "")
		w.add(url, "machines", w.nodes(7), "")
	}
	open(int64(len(w.Entries))-6, today+6, today+7)
}

func (w *keyWorld) foreign(s keylog.Statement) []byte {
	key, err := tlog.GenerateSigner(w.Keys[0].Name())
	if err != nil {
		w.t.Fatal(err)
	}
	entry, err := s.Sign(key)
	if err != nil {
		w.t.Fatal(err)
	}
	return entry
}

// However often machines change, a view doesn't grow beyond its bound.
func TestKeyLogBounds(t *testing.T) {
	t.Parallel()
	w := newKeyWorld(t)
	w.cfg.NodesEvery = -1
	w.cfg.Pin.Threshold = 3
	if _, err := logserver.Open(w.cfg); err == nil || !strings.Contains(err.Error(), "threshold") {
		t.Errorf("a pin that nobody can satisfy: %v", err)
	}
	w.cfg.Pin.Threshold = 1
	s, err := logserver.Open(w.cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range 193 {
		st := w.nodes(i)
		entry, err := st.Sign(w.Keys[0])
		if err != nil {
			t.Fatal(err)
		}
		_, err = logserver.Put(s, entry)
		if i < 192 {
			if err != nil {
				t.Fatal(i, err)
			}
			w.Add(entry)
		} else if err == nil || !strings.Contains(err.Error(), "at most 192 lists") {
			t.Errorf("one list too many: %v", err)
		}
	}
}
