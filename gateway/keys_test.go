// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/keylog"
	"github.com/sotto-chat/sotto/keylog/keylogtest"
	"github.com/sotto-chat/sotto/tlog"
)

// keysOf has a gateway follow w's log in place of the network.
func keysOf(t testing.TB, w *keylogtest.World) (*KeyLog, *logServer) {
	t.Helper()
	l, err := NewKeyLog("https://log.example", w.Pin)
	if err != nil {
		t.Fatal(err)
	}
	server := &logServer{}
	server.says(string(w.View()))
	l.client = server
	l.now = func() time.Time { return time.Unix(keylogtest.Now, 0) }
	return l, server
}

func ask(t testing.TB, url string) (status int, body []byte) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err = io.ReadAll(res.Body); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, body
}

// A client that draws its machines gets those that it drew, from the list in the log.
func TestNodesAt(t *testing.T) {
	kl := keylogtest.New("at")
	l, server := keysOf(t, kl)
	w := newWorld(t, func(c *Config) { c.KeyLog = l }, &talker{}, &talker{}, &talker{})
	at := func(query string) (int, []byte) { return ask(t, w.url+"/sotto/v1/nodes?"+query) }
	refresh := func() {
		server.says(string(kl.View()))
		l.poll(t.Context())
		w.gateway.openKeys(t.Context(), w.gateway.cfg.KeyLog)
	}
	if status, body := at("at=0"); status != 503 || !strings.Contains(string(body), "No list of machines has been published") {
		t.Errorf("before there is a list: %d %s", status, body)
	}
	ids := w.gateway.lists.newest().IDs()
	if len(ids) != 3 {
		t.Fatalf("%d ids", len(ids))
	}
	if status, body := at("ids"); status != 200 || string(body) != `{"v":1,"ids":["`+strings.Join(ids, `","`)+`"]}` {
		t.Errorf("%d %s", status, body)
	}
	kl.Days(keylogtest.Today, keylogtest.Today+1)
	kl.Publish(kl.NodesOf(keylogtest.IDs(9)))
	refresh()
	if status, body := at("at=0"); status != 503 || !strings.Contains(string(body), "not one that this service knows") {
		t.Errorf("a list of others: %d %s", status, body)
	}
	kl.Publish(kl.NodesOf(ids))
	refresh()
	stated, _ := l.Keys().Nodes()
	sample := func(indices ...int64) []keylog.Sampled {
		t.Helper()
		q := "at="
		for i, n := range indices {
			if i > 0 {
				q += ","
			}
			q += string(rune('0' + n))
		}
		status, body := at(q)
		s, err := keylog.ParseSample(body, stated, indices)
		if status != 200 || err != nil {
			t.Fatalf("%s: %d %v", q, status, err)
		}
		return s
	}
	for _, s := range sample(0, 2) {
		if s.ID != ids[s.Index] || len(s.Bundles) != 1 {
			t.Errorf("%d: %s with %d bundles", s.Index, s.ID, len(s.Bundles))
		}
	}

	// One that is down stays on the list, and is said to be down.
	w.nodes[0].Close()
	w.gateway.poll(t.Context())
	down := 0
	for _, s := range sample(0, 1, 2) {
		if len(s.Bundles) == 0 {
			down++
		}
	}
	if down != 1 || w.gateway.lists.newest().Size() != 3 {
		t.Errorf("%d are down, of %d", down, w.gateway.lists.newest().Size())
	}

	many := "at=0" + strings.Repeat(",1", 16)
	for _, q := range []string{"at=", "at=1,0", "at=1,1", "at=-1", "at=00", "at=0,", "at=0&x", "at=3", "at=99999999999999999999", many} {
		if status, body := at(q); status != 400 || !strings.Contains(string(body), "malformed") {
			t.Errorf("%s: %d %s", q, status, body)
		}
	}
	w.gateway.cfg.KeyLog = nil
	for _, path := range []string{"/sotto/v1/nodes?at=0", "/sotto/v1/keys"} {
		if status, _ := ask(t, w.url+path); status != 404 {
			t.Errorf("%s without a key log: %d", path, status)
		}
	}
}

// The key log's view goes to clients as it is, and the gateway believes it only where
// clients would.
func TestKeys(t *testing.T) {
	kl := keylogtest.New("keys")
	kl.Days(keylogtest.Today, keylogtest.Today+1)
	l, server := keysOf(t, kl)
	w := newWorld(t, func(c *Config) { c.KeyLog = l }, &talker{})
	var e *tlog.Error
	if _, _, err := l.Day(keylogtest.Today); !errors.As(err, &e) || e.Failure != keylog.FailMissing {
		t.Errorf("before the log was asked: %v", err)
	}
	if status, body := ask(t, w.url+"/sotto/v1/keys"); status != 200 || !bytes.Equal(body, kl.View()) {
		t.Errorf("%d, %d bytes", status, len(body))
	}
	if err := l.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := kl.DayOf(keylogtest.Today)
	same := func() {
		t.Helper()
		issue, refund, err := l.Day(keylogtest.Today)
		if err != nil || !bytes.Equal(issue, want.Issue) || !bytes.Equal(refund, want.Refund) {
			t.Errorf("another key, %v", err)
		}
	}
	same()

	// Another key for the day changes nothing.
	bad := kl.DayOf(keylogtest.Today)
	bad.Issue = keylogtest.SPKI("bad")
	kl.Publish(bad)
	server.says(string(kl.View()))
	l.poll(t.Context())
	if err := l.open(t.Context()); !errors.As(err, &e) || e.Failure != keylog.FailDuplicate {
		t.Errorf("%v", err)
	}
	same()
	if err := l.open(t.Context()); err != nil {
		t.Errorf("complained of twice: %v", err)
	}
	if _, err := NewKeyLog("https://log.example", keylog.Pin{}); err == nil {
		t.Error("a pin of nothing")
	}
	if _, err := NewKeyLog("log.example", kl.Pin); err == nil {
		t.Error("an address of nothing")
	}
}

// A gateway that was away asks for an earlier view.
func TestKeysEarlier(t *testing.T) {
	kl := keylogtest.New("earlier")
	kl.Days(keylogtest.Today, keylogtest.Today)
	l, server := keysOf(t, kl)
	l.poll(t.Context())
	if err := l.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 300 {
		kl.Add([]byte("x"))
	}
	kl.Publish(kl.DayOf(keylogtest.Today + 1))
	server.say(func(r *http.Request) (int, http.Header, string) {
		doc := kl.ViewFrom(300)
		if r.URL.RawQuery == "from=0" {
			doc = kl.View()
		}
		return 200, http.Header{"Content-Type": {"application/json"}}, string(doc)
	})
	for range 256 {
		kl.Add([]byte("x"))
	}
	l.poll(t.Context())
	if err := l.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.Day(keylogtest.Today + 1); err != nil {
		t.Error(err)
	}
}

func TestListsAreBounded(t *testing.T) {
	var l lists
	for i := range 100 {
		l.add(keylogtest.IDs(i))
	}
	l.add(keylogtest.IDs(99))
	first := keylogtest.IDs(36)
	l.add(append(first, first...))
	if len(l.all) != maxLists || l.newest().Size() != 36 {
		t.Errorf("%d lists, the newest of %d", len(l.all), l.newest().Size())
	}
	n := l.all[0]
	if l.of(keylog.Nodes{Size: n.Size(), Root: n.Root()}) != n || l.of(keylog.Nodes{Size: n.Size() + 1, Root: n.Root()}) != nil || l.of(keylog.Nodes{Size: n.Size()}) != nil {
		t.Error("another list than was asked for")
	}
}
