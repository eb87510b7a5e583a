// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package keylog_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/keylog"
	"github.com/sotto-chat/sotto/keylog/keylogtest"
	"github.com/sotto-chat/sotto/tlog"
)

// What a log that lies, or an issuer that gives one person another key, can try: each
// is a good log in which one thing is wrong.
func TestAttacks(t *testing.T) {
	other := func(w *keylogtest.World, s keylog.Statement, change func(*keylog.Statement)) {
		change(&s)
		w.Publish(s)
	}
	key := func(s *keylog.Statement) { s.Issue = keylogtest.SPKI("other") }
	for _, tt := range []struct {
		name    string
		make    func(w *keylogtest.World)
		from    int                                // the first entry of the view
		change  func(w *keylogtest.World, v *view) // of the view or what is asked
		failure string
		detail  string
		missing bool // the view opens, and today's key is not to be had
	}{
		{name: "good", make: func(w *keylogtest.World) {}},
		{name: "a second key after it", make: func(w *keylogtest.World) { other(w, w.DayOf(today), key) }, failure: keylog.FailDuplicate, detail: "after entry"},
		{name: "a second key much later", make: func(w *keylogtest.World) { w.Days(today+1, today+1); other(w, w.DayOf(today), key) }, failure: keylog.FailDuplicate, detail: "after entry 2 for"},
		{name: "the same key again", make: func(w *keylogtest.World) { w.Publish(w.DayOf(today)) }, failure: keylog.FailDuplicate},
		{name: "a day after a later one", make: func(w *keylogtest.World) { other(w, w.DayOf(today-1), key) }, failure: keylog.FailDuplicate},
		{name: "a key of another day", make: func(w *keylogtest.World) {
			other(w, w.DayOf(today+1), func(s *keylog.Statement) { s.Issue = w.DayOf(today).Issue })
		}, failure: keylog.FailDuplicate, detail: "a key of another day"},
		{name: "a refund key that signs another day", make: func(w *keylogtest.World) {
			other(w, w.DayOf(today+1), func(s *keylog.Statement) { s.Refund = w.DayOf(today).Issue })
		}, failure: keylog.FailDuplicate, detail: "a key of another day"},
		{name: "a view that begins with the day", make: func(w *keylogtest.World) {}, from: 1, missing: true, detail: "doesn't reach back"},
		{name: "a view without its beginning", make: func(w *keylogtest.World) {}, from: 2, missing: true, detail: "no key for"},
		{name: "a second key that is hidden before the view", make: func(w *keylogtest.World) { w.Days(today+1, today+1); other(w, w.DayOf(today+2), key) }, from: 2, missing: true},
		{name: "an entry in the middle left out", make: func(w *keylogtest.World) { other(w, w.DayOf(today), key); w.Days(today+1, today+1) },
			change: func(w *keylogtest.World, v *view) { v.Recent = append(v.Recent[:2], v.Recent[3:]...) }, failure: tlog.FailMalformed, detail: "not the log's last ones"},
		{name: "the last entry left out", make: func(w *keylogtest.World) { other(w, w.DayOf(today), key) },
			change: func(w *keylogtest.World, v *view) { v.Recent = v.Recent[:len(v.Recent)-1] }, failure: tlog.FailMalformed, detail: "not the log's last ones"},
		{name: "an old view", make: func(w *keylogtest.World) {}, change: func(w *keylogtest.World, v *view) { v.now = now.Add(25 * time.Hour) }, failure: tlog.FailStale},
		{name: "a view of less than was seen", make: func(w *keylogtest.World) {}, change: func(w *keylogtest.World, v *view) {
			v.seen = &tlog.Seen{V: 1, Log: w.Log.Name(), Size: 99, Root: tlog.EmptyRoot()}
		}, failure: tlog.FailRollback},
		{name: "another history", make: func(w *keylogtest.World) {}, change: func(w *keylogtest.World, v *view) {
			v.seen = &tlog.Seen{V: 1, Log: w.Log.Name(), Size: 1, Root: tlog.EmptyRoot()}
		}, failure: tlog.FailSplitView},
		{name: "a pin of nothing", make: func(w *keylogtest.World) {}, change: func(w *keylogtest.World, v *view) { w.Pin.V = 0 }, failure: keylog.FailMalformed, detail: "the pin"},

		// These don't count, so the first key stays today's.
		{name: "signed by another", make: func(w *keylogtest.World) {
			s := w.DayOf(today)
			key(&s)
			entry, _ := s.Sign(w.Log)
			w.Add(entry)
		}},
		{name: "at another place", make: func(w *keylogtest.World) { w.Add(w.Entries[1]) }},
		{name: "for another product", make: func(w *keylogtest.World) {
			other(w, w.DayOf(today), func(s *keylog.Statement) { key(s); s.Product = "other" })
		}},
		{name: "rubbish", make: func(w *keylogtest.World) { w.Add([]byte("rubbish")) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := keylogtest.New("attacks")
			w.Days(today-1, today)
			want := w.DayOf(today)
			tt.make(w)
			v := view{now: now}
			if err := json.Unmarshal(w.ViewFrom(tt.from), &v); err != nil {
				t.Fatal(err)
			}
			if tt.change != nil {
				tt.change(w, &v)
			}
			doc, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			keys, err := w.Pin.Open(doc, v.seen, v.now)
			wantFailure(t, "open", err, tt.failure, tt.detail)
			if err != nil {
				if keys != nil {
					t.Error("an error and keys")
				}
				return
			}
			day, err := keys.Day(today)
			if tt.missing {
				wantFailure(t, "day", err, keylog.FailMissing, tt.detail)
				return
			}
			if err != nil || string(day.Issue) != string(want.Issue) {
				t.Errorf("another key, %v", err)
			}
		})
	}
}

// view is a view, to be changed.
type view struct {
	V          int         `json:"v"`
	Checkpoint string      `json:"checkpoint"`
	Start      int64       `json:"start"`
	Frontier   []tlog.Hash `json:"frontier"`
	Leaves     []tlog.Hash `json:"leaves"`
	Recent     []string    `json:"recent"`

	now  time.Time
	seen *tlog.Seen
}

// The list of machines is the newest that counts.
func TestNewestNodes(t *testing.T) {
	w := keylogtest.New("nodes")
	open := func() *keylog.Keys {
		t.Helper()
		keys, err := w.Pin.Open(w.View(), nil, now)
		if err != nil {
			t.Fatal(err)
		}
		return keys
	}
	if _, ok := open().Nodes(); ok {
		t.Error("machines where none are stated")
	}
	w.Publish(w.NodesOf(keylogtest.IDs(2)))
	entry, _ := w.NodesOf(keylogtest.IDs(3)).Sign(w.Log)
	w.Add(entry)
	w.Add(w.Entries[0])
	s := w.NodesOf(keylogtest.IDs(4))
	s.Product = "other"
	w.Publish(s)
	keys := open()
	if n, ok := keys.Nodes(); !ok || n.Size != 2 || keys.Restate() {
		t.Errorf("%+v, %v", n, ok)
	}
	w.Days(today, today)
	if !open().Restate() {
		t.Error("a day has come after the list")
	}
	w.Publish(w.NodesOf(keylogtest.IDs(2)))
	if open().Restate() {
		t.Error("the list has been stated anew")
	}
}

func TestPins(t *testing.T) {
	for _, tt := range []struct {
		detail string
		change func(*keylog.Pin)
	}{
		{"v is not 1", func(p *keylog.Pin) { p.V = 2 }},
		{"product", func(p *keylog.Pin) { p.Product = "" }},
		{"product", func(p *keylog.Pin) { p.Product = "Sotto" }},
		{"longer than 16", func(p *keylog.Pin) { p.Keys = make([]string, 17) }},
		{"threshold", func(p *keylog.Pin) { p.Threshold = 0 }},
		{"threshold", func(p *keylog.Pin) { p.Threshold = 3 }},
		{"max_age", func(p *keylog.Pin) { p.MaxAge = -1 }},
		{"max_age", func(p *keylog.Pin) { p.MaxAge = 1<<31 + 1 }},
		{"log: ", func(p *keylog.Pin) { p.Log = "x" }},
		{"log asks for no witness", func(p *keylog.Pin) { p.Log = strings.Replace(p.Log, "quorum two", "quorum none", 1) }},
		{"log takes quorums", func(p *keylog.Pin) {
			p.Log = strings.Replace(p.Log, "quorum two", "quorum w1", 1)
			p.Log = strings.Replace(p.Log, "group two 2", "group two 1", 1)
			p.Log = strings.Replace(p.Log, "quorum w1", "quorum two", 1)
		}},
		{"keys: ", func(p *keylog.Pin) { p.Keys[0] = p.Keys[1] }},
	} {
		p := keylogtest.New("pins").Pin
		tt.change(&p)
		if _, err := p.Judge(); err == nil || !strings.Contains(err.Error(), tt.detail) {
			t.Errorf("%v, want %q", err, tt.detail)
		}
	}
	p := keylogtest.New("pins").Pin
	for age, want := range map[int64]time.Duration{0: 24 * time.Hour, 60: time.Minute} {
		p.MaxAge = age
		if j, err := p.Judge(); err != nil || j.MaxAge() != want {
			t.Errorf("%d: %v", age, err)
		}
	}
}

func TestStatements(t *testing.T) {
	w := keylogtest.New("statements")
	day, nodes := w.DayOf(today), w.NodesOf(keylogtest.IDs(3))
	text := func(s keylog.Statement) string {
		b, err := s.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, s := range []keylog.Statement{day, nodes} {
		if got, err := keylog.ParseStatement([]byte(text(s))); err != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", s) {
			t.Errorf("%+v, %v", got, err)
		}
	}
	bare := day
	bare.Refund, bare.OHTTP = nil, nil
	if got, err := keylog.ParseStatement([]byte(text(bare))); err != nil || got.Refund != nil && len(got.Refund) > 0 || len(got.OHTTP) > 0 {
		t.Errorf("%+v, %v", got, err)
	}
	d, n := text(day), text(nodes)
	swap := func(s, old, new string) string { return strings.Replace(s, old, new, 1) }
	for name, doc := range map[string]string{
		"nothing": "", "no line end": strings.TrimSuffix(d, "\n"), "two line ends": d + "\n", "a space": swap(d, ",", ", "), "twice": d + d,
		"too long": strings.Repeat(" ", keylog.MaxStatement+1), "an unknown field": swap(d, `"time"`, `"x":1,"time"`), "a field twice": swap(d, `"time"`, `"time":1,"time"`),
		"another order": swap(n, `{"format":"sotto-keys/v1","product":"sotto"`, `{"product":"sotto","format":"sotto-keys/v1"`),
		"another case":  swap(d, `"day":"2`, `"Day":"2`), "another format": swap(d, "/v1", "/v2"), "another kind": swap(d, `"kind":"day"`, `"kind":"x"`),
		"a field of the other kind": swap(n, `"size"`, `"day":"2027-01-15","size"`), "null": swap(n, `"size":3`, `"size":null`), "a fraction": swap(n, `"size":3`, `"size":3.0`),
		"escaped": swap(d, "tokens.", `\u0074okens.`), "a root of another length": swap(n, `"root":"`, `"root":"AAAA`), "no such day": swap(d, `"day":"2027-01-15"`, `"day":"2027-01-32"`),
		"base64 with an end of line": swap(d, `"issue":"`, `"issue":"\n`), "a negative size": swap(n, `"size":3`, `"size":-3`),
	} {
		_, err := keylog.ParseStatement([]byte(doc))
		wantFailure(t, name, err, keylog.FailMalformed, "")
	}
	a, b := "sha256:"+strings.Repeat("a", 64), "sha256:"+strings.Repeat("b", 64)
	var nine []string
	for i := range 9 {
		nine = append(nine, fmt.Sprintf("sha256:%064d", i))
	}
	for _, tt := range []struct {
		detail string
		of     keylog.Statement
		change func(*keylog.Statement)
	}{
		{"", day, func(s *keylog.Statement) { s.OHTTP = []string{a, b} }},
		{"", day, func(s *keylog.Statement) { s.OHTTP = nine[:8] }},
		{"", day, func(s *keylog.Statement) { s.Time += 86399 - s.Time%86400 + 86400 }},
		{"", nodes, func(s *keylog.Statement) { s.Size = keylog.MaxNodes }},
		{"", nodes, func(s *keylog.Statement) { s.Index, s.Time = 1<<40, 1<<40 }},
		{"more than 8", day, func(s *keylog.Statement) { s.OHTTP = nine }},
		{"digests that rise", day, func(s *keylog.Statement) { s.OHTTP = []string{b, a} }},
		{"digests that rise", day, func(s *keylog.Statement) { s.OHTTP = []string{a, a} }},
		{"digests that rise", day, func(s *keylog.Statement) { s.OHTTP = []string{"sha256:" + strings.Repeat("A", 64)} }},
		{"digests that rise", day, func(s *keylog.Statement) { s.OHTTP = []string{a[:70]} }},
		{"digests that rise", day, func(s *keylog.Statement) { s.OHTTP = []string{"sha512" + a[6:]} }},
		{"product", day, func(s *keylog.Statement) { s.Product = `a"b` }},
		{"product", nodes, func(s *keylog.Statement) { s.Product = strings.Repeat("a", 256) }},
		{"index", day, func(s *keylog.Statement) { s.Index = -1 }},
		{"index", nodes, func(s *keylog.Statement) { s.Index = 1<<40 + 1 }},
		{"time", nodes, func(s *keylog.Statement) { s.Time = -1 }},
		{"time", nodes, func(s *keylog.Statement) { s.Time = 1<<40 + 1 }},
		{"size", nodes, func(s *keylog.Statement) { s.Size = -1 }},
		{"size", nodes, func(s *keylog.Statement) { s.Size = keylog.MaxNodes + 1 }},
		{"another kind", day, func(s *keylog.Statement) { s.Kind = "" }},
		{"neither that of its time", day, func(s *keylog.Statement) { s.Time -= 86400 }},
		{"neither that of its time", day, func(s *keylog.Statement) { s.Time += 2 * 86400 }},
		{"issuer", day, func(s *keylog.Statement) { s.Issuer = "" }},
		{"issue key", day, func(s *keylog.Statement) { s.Issue = nil }},
		{"refund key", day, func(s *keylog.Statement) { s.Refund = []byte("x") }},
		{"one key for issue and refund", day, func(s *keylog.Statement) { s.Refund = s.Issue }},
	} {
		s := tt.of
		tt.change(&s)
		_, err := s.Encode()
		if tt.detail == "" && err == nil {
			continue
		}
		wantFailure(t, tt.detail, err, keylog.FailMalformed, tt.detail)
	}
	if _, err := (keylog.Statement{}).Sign(w.Keys[0]); err == nil {
		t.Error("nothing was signed")
	}
}
