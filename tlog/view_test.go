// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tlog

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

// seenAt is what a client remembers that saw the tree at a size.
func seenAt(t *Tree, size int64) *Seen {
	return &Seen{1, testLog.Name(), size, t.Root(size), made - 3600}
}

func TestViewThereAndBack(t *testing.T) {
	v := view(testTree, 600, -1)
	v.Pin = []byte(`{"demo":true}`)
	doc := must(v.Encode())
	back, err := ParseView(doc)
	if err != nil || !reflect.DeepEqual(back, v) {
		t.Fatalf("%+v, %v", back, err)
	}
	o, err := back.Check(testPolicy, seenAt(testTree, 300), at(time.Hour), 2*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	root := testTree.Root(600)
	if want := (Checkpoint{testLog.Name(), 600, root, made, []string{"one", "three"}}); !reflect.DeepEqual(o.Checkpoint, want) {
		t.Errorf("%+v", o.Checkpoint)
	}
	if want := (Seen{1, testLog.Name(), 600, root, made}); o.Seen != want {
		t.Errorf("%+v", o.Seen)
	}
	if i, err := o.Verify(o.Releases()[0]); i != 599 || err != nil {
		t.Error(i, err)
	}
	for size := int64(-2); size < 605; size++ {
		got, ok := o.RootAt(size)
		if want := size == 0 || size >= 256 && size <= 600; ok != want || ok && got != testTree.Root(size) || !ok && got != (Hash{}) {
			t.Errorf("%d: %v, %v", size, got, ok)
		}
	}
	for _, size := range []int64{math.MinInt64, math.MaxInt64} {
		if _, ok := o.RootAt(size); ok {
			t.Error(size)
		}
	}
	// What is kept can be read again.
	var kept Seen
	if err := json.Unmarshal(must(json.Marshal(o.Seen)), &kept); err != nil || kept != o.Seen {
		t.Errorf("%+v, %v", kept, err)
	}
}

func TestParseView(t *testing.T) {
	good := string(must(view(testTree, 600, -1).Encode()))
	swap := func(old, new string) string { return string(replace([]byte(good), old, new)) }
	h := `"` + EmptyRoot().String() + `"`
	hashes := func(n int) string { return "[" + strings.TrimSuffix(strings.Repeat(h+",", n), ",") + "]" }
	with := func(field, value string) string {
		doc := `{"v":1,"checkpoint":"","start":0,"frontier":[],"leaves":[],"releases":[]}`
		i := strings.Index(doc, `"`+field+`":`) + len(field) + 3
		return doc[:i] + value + strings.TrimLeft(doc[i:], `[]01"`)
	}
	releases := func(n int) string {
		return "[" + strings.TrimSuffix(strings.Repeat(`{"entry":"AAAA","proof":""},`, n), ",") + "]"
	}
	recent := func(n int) string {
		return `{"v":1,"recent":[` + strings.TrimSuffix(strings.Repeat(`"AAAA",`, n), ",") + `]}`
	}
	for _, tt := range []struct{ name, doc, detail string }{
		{"good", good, ""},
		{"nothing in it", with("v", "1"), ""},
		{"lists that aren't there", `{"v":1,"checkpoint":""}`, ""},
		{"unknown fields", swap(`{"v":1`, `{"w":[1,{"x":null}],"v":1`), ""},
		{"unknown fields of a release", swap(`{"entry"`, `{"x":[2],"entry"`), ""},
		{"as long as it may be", good + strings.Repeat(" ", MaxView-len(good)), ""},
		{"too long", good + strings.Repeat(" ", MaxView-len(good)+1), "too long"},
		{"empty", "", "not JSON"},
		{"not an object", "[]", "not JSON"},
		{"two objects", good + "{}", "not JSON"},
		{"cut off", good[:len(good)-1], "not JSON"},
		{"a number as a leaf", with("leaves", "[1]"), "not JSON"},
		{"a fraction as the start", with("start", "0.5"), "not JSON"},
		{"a start too large", with("start", "9223372036854775808"), "not JSON"},
		{"no version", `{"checkpoint":""}`, "another version"},
		{"another version", with("v", "2"), "another version"},
		{"start is no multiple", swap(`"start":256`, `"start":257`), "not a multiple"},
		{"negative start", swap(`"start":256`, `"start":-256`), "not a multiple"},
		{"the largest start", with("start", "9223372036854775552"), "frontier of a view doesn't cover"},
		{"frontier too short", swap(`"start":256`, `"start":768`), "frontier of a view doesn't cover"},
		{"frontier too long", with("frontier", hashes(1)), "frontier of a view doesn't cover"},
		{"frontier of something else", swap(`"frontier":["`, `"frontier":["x`), "frontier of a view has something else"},
		{"leaves of something else", swap(`"leaves":["`, `"leaves":["x`), "leaves of a view have something else"},
		{"as many leaves as there may be", with("leaves", hashes(MaxLeaves)), ""},
		{"too many leaves", with("leaves", hashes(MaxLeaves+1)), "too many leaves or releases"},
		{"too many commas", with("leaves", "["+strings.Repeat(`"",`, MaxLeaves+4096)+`""]`), "too many parts"},
		{"just as many commas as there may be", with("leaves", "["+strings.Repeat(`"",`, MaxLeaves+4096-5)+`""]`), "too many leaves or releases"},
		{"as many releases as there may be", with("releases", releases(8)), ""},
		{"too many releases", with("releases", releases(9)), "too many leaves or releases"},
		{"as many recent entries as there may be", recent(MaxRecent), ""},
		{"too many recent entries", recent(MaxRecent + 1), "too many leaves or releases"},
		{"recent entry is not base64", `{"v":1,"recent":["*"]}`, "recent entry"},
		{"empty recent entry", `{"v":1,"recent":[""]}`, "recent entry"},
		{"recent entry too long", `{"v":1,"recent":["` + b64(make([]byte, MaxEntry+1)) + `"]}`, "recent entry"},
		{"long recent entry", `{"v":1,"recent":["` + b64(make([]byte, MaxEntry)) + `"]}`, ""},
		{"a long pin", `{"v":1,"pin":"` + strings.Repeat("x", MaxPin-2) + `"}`, ""},
		{"too long a pin", `{"v":1,"pin":"` + strings.Repeat("x", MaxPin-1) + `"}`, "too long a pin"},
		{"entry is not base64", swap(`"entry":"`, `"entry":"*`), "not an entry"},
		{"entry of another encoding", with("releases", `[{"entry":"AAB=","proof":""}]`), "not an entry"},
		{"entry with newlines", with("releases", `[{"entry":"AA\nAA","proof":""}]`), "not an entry"},
		{"empty entry", with("releases", `[{"entry":"","proof":""}]`), "not an entry"},
		{"long entry", with("releases", `[{"entry":"`+b64(make([]byte, MaxEntry))+`","proof":""}]`), ""},
		{"entry too long", with("releases", `[{"entry":"`+b64(make([]byte, MaxEntry+1))+`","proof":""}]`), "not an entry"},
	} {
		v, err := ParseView([]byte(tt.doc))
		failure := FailMalformed
		if tt.detail == "" {
			failure = ""
		} else if !reflect.DeepEqual(v, View{}) {
			t.Errorf("%s: an error and a view", tt.name)
		}
		wantFailure(t, tt.name, err, failure, tt.detail)
	}
	if _, err := (View{Pin: []byte("{")}).Encode(); err == nil {
		t.Error("a pin that is not JSON")
	}
	if _, err := (View{Start: 1}).Encode(); err == nil {
		t.Error("a view that nobody would read")
	}
}

func TestCheck(t *testing.T) {
	v := view(testTree, 600, -1)
	changed := func(f func(*View)) View {
		c := v
		c.Frontier = append([]Hash(nil), v.Frontier...)
		c.Leaves = append([]Hash(nil), v.Leaves...)
		f(&c)
		return c
	}
	other := func(f func(*Seen)) *Seen {
		s := *seenAt(testTree, 600)
		f(&s)
		return &s
	}
	early := view(testTree, 600, 0)
	two := must(ParsePolicy("log " + otherLog.Key().String() + "\n" + policyText(testPolicyEnd)))
	none := must(ParsePolicy(policyText("quorum none\n")))
	now, hour := at(time.Minute), time.Hour
	for _, tt := range []struct {
		name    string
		view    View
		policy  Policy
		seen    *Seen
		now     time.Time
		maxAge  time.Duration
		failure string
		detail  string
	}{
		{"nothing seen", v, testPolicy, nil, now, hour, "", ""},
		{"seen the same", v, testPolicy, seenAt(testTree, 600), now, hour, "", ""},
		{"seen less", v, testPolicy, seenAt(testTree, 599), now, hour, "", ""},
		{"seen what the view begins with", v, testPolicy, seenAt(testTree, 256), now, hour, "", ""},
		{"seen the empty log", v, testPolicy, seenAt(testTree, 0), now, hour, "", ""},
		{"seen less, and a longer view", early, testPolicy, seenAt(testTree, 1), now, hour, "", ""},
		{"seen another log", v, testPolicy, other(func(s *Seen) { s.Log, s.Size = "gone.example/log", 9999 }), now, hour, "", ""},
		{"seen before the view begins", v, testPolicy, seenAt(testTree, 255), now, hour, "earlier", "0"},
		{"seen at the very beginning", v, testPolicy, seenAt(testTree, 1), now, hour, "earlier", "0"},
		{"seen long before", view(testTree, 1200, -1), testPolicy, seenAt(testTree, 767), now, hour, "earlier", "512"},
		{"seen before, on a fork", v, testPolicy, seenAt(forkTree, 255), now, hour, "earlier", "0"},

		{"seen more", v, testPolicy, seenAt(testTree, 601), now, hour, FailRollback, "had 601 entries and now has 600"},
		{"seen more of a fork", v, testPolicy, seenAt(forkTree, 601), now, hour, FailRollback, "had 601"},
		{"seen the same size of a fork", v, testPolicy, seenAt(forkTree, 600), now, hour, FailSplitView, "first 600 entries"},
		{"seen less of a fork", v, testPolicy, seenAt(forkTree, 300), now, hour, FailSplitView, "first 300 entries"},
		{"seen less of a fork, from the start", early, testPolicy, seenAt(forkTree, 41), now, hour, FailSplitView, "first 41 entries"},
		{"seen less of a fork, before the fork", early, testPolicy, seenAt(forkTree, 40), now, hour, "", ""},
		{"another empty log", v, testPolicy, other(func(s *Seen) { s.Size = 0 }), now, hour, FailSplitView, "first 0 entries"},
		{"seen another log of the policy", v, two, other(func(s *Seen) { s.Log = otherLog.Name() }), now, hour, FailSplitView, "other.example/log"},
		{"seen one of two logs", v, two, seenAt(testTree, 600), now, hour, "", ""},
		{"memory of another version", v, testPolicy, other(func(s *Seen) { s.V = 2 }), now, hour, FailMalformed, "what was kept"},
		{"memory with a negative size", v, testPolicy, other(func(s *Seen) { s.Size = -1 }), now, hour, FailMalformed, "what was kept"},

		{"as old as it may be", v, testPolicy, nil, at(hour), hour, "", ""},
		{"a second older", v, testPolicy, nil, at(hour + time.Second), hour, FailStale, "too long ago"},
		{"no age at all", v, testPolicy, nil, at(0), 0, "", ""},
		{"no age at all, a second later", v, testPolicy, nil, at(time.Second), 0, FailStale, "too long ago"},
		{"clock is behind", v, testPolicy, nil, at(-5 * time.Minute), hour, "", ""},
		{"clock is too far behind", v, testPolicy, nil, at(-5*time.Minute - time.Second), hour, FailStale, "clocks go ahead"},
		{"nobody says when", v, none, nil, at(0), hour, FailStale, "too long ago"},
		{"rolled back and stale", v, testPolicy, seenAt(testTree, 601), at(2 * hour), hour, FailRollback, ""},

		{"too few witnesses", changed(func(v *View) { v.Checkpoint = note(text(testTree, 600), testLog.Signature(text(testTree, 600))) }), testPolicy, nil, now, hour, FailWitnessesFew, ""},
		{"a leaf too few", changed(func(v *View) { v.Leaves = v.Leaves[1:] }), testPolicy, nil, now, hour, FailMalformed, "don't reach"},
		{"a leaf too many", changed(func(v *View) { v.Leaves = append(v.Leaves, Hash{}) }), testPolicy, nil, now, hour, FailMalformed, "don't reach"},
		{"another leaf", changed(func(v *View) { v.Leaves[7][0] ^= 1 }), testPolicy, nil, now, hour, FailMalformed, "another root"},
		{"another frontier", changed(func(v *View) { v.Frontier[0][0] ^= 1 }), testPolicy, nil, now, hour, FailMalformed, "another root"},
		{"frontier is missing", changed(func(v *View) { v.Frontier = nil }), testPolicy, nil, now, hour, FailMalformed, "doesn't cover"},
		{"start is odd", changed(func(v *View) { v.Start++ }), testPolicy, nil, now, hour, FailMalformed, "not a multiple"},
		{"start beyond the end", changed(func(v *View) { v.Start, v.Leaves = 1024, nil }), testPolicy, nil, now, hour, FailMalformed, "don't reach"},
		{"of a fork", changed(func(v *View) { v.Leaves = view(forkTree, 600, -1).Leaves }), testPolicy, nil, now, hour, FailMalformed, "another root"},
	} {
		o, err := tt.view.Check(tt.policy, tt.seen, tt.now, tt.maxAge)
		if err != nil && !reflect.DeepEqual(o, Opened{}) {
			t.Errorf("%s: an error and %+v", tt.name, o.Checkpoint)
		}
		if tt.failure == "earlier" {
			var e *EarlierError
			if !errors.As(err, &e) || !strings.HasSuffix(e.Error(), "from="+tt.detail) || e.From%Window != 0 {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		wantFailure(t, tt.name, err, tt.failure, tt.detail)
		if err == nil && (o.Seen.Size != 600 || o.Seen.Root != testTree.Root(600)) {
			t.Errorf("%s: %+v", tt.name, o.Seen)
		}
	}
}

// What was seen before a view begins can be compared by the view that the error
// asks for.
func TestEarlier(t *testing.T) {
	for _, tree := range []*Tree{testTree, forkTree} {
		seen := seenAt(tree, 700)
		_, err := view(testTree, 1200, -1).Check(testPolicy, seen, at(0), time.Hour)
		var e *EarlierError
		if !errors.As(err, &e) {
			t.Fatal(err)
		}
		_, err = view(testTree, 1200, e.From).Check(testPolicy, seen, at(0), time.Hour)
		if tree == testTree {
			wantFailure(t, "earlier", err, "", "")
		} else {
			wantFailure(t, "earlier", err, FailSplitView, "first 700")
		}
	}
}

// The newest time that a client saw stays, whoever shows an older one.
func TestSeenTime(t *testing.T) {
	seen := seenAt(testTree, 600)
	for _, tt := range []struct{ was, is int64 }{{made - 1, made}, {made, made}, {made + 1, made + 1}} {
		seen.Time = tt.was
		o := must(view(testTree, 600, -1).Check(testPolicy, seen, at(0), time.Hour))
		if o.Seen.Time != tt.is {
			t.Errorf("%d: %d", tt.was, o.Seen.Time)
		}
	}
}

func TestVerifyRelease(t *testing.T) {
	v := view(testTree, 600, -1)
	o := must(v.Check(testPolicy, nil, at(0), time.Hour))
	good := v.Releases[0]
	for _, tt := range []struct {
		name    string
		logged  Logged
		failure string
		detail  string
	}{
		{"good", good, "", ""},
		{"another entry", Logged{entry(598), good.Proof}, FailUnlogged, "another root"},
		{"another index", Logged{good.Entry, replace(good.Proof, "index 599", "index 598")}, FailUnlogged, "another root"},
		{"no proof", Logged{good.Entry, nil}, FailMalformed, "a proof"},
		{"another checkpoint", Logged{good.Entry, must(testTree.Proof(checkpoint(testTree, 601), 599)).Encode()}, FailUnlogged, "another checkpoint"},
		{"extra data", Logged{good.Entry, replace(good.Proof, "index", "extra AAAA\nindex")}, "", ""},
	} {
		i, err := o.Verify(tt.logged)
		wantFailure(t, tt.name, err, tt.failure, tt.detail)
		if want := map[bool]int64{true: 599}[err == nil]; i != want {
			t.Errorf("%s: %d", tt.name, i)
		}
	}
}

// recently is a view of the first size entries with the last n of them.
func recently(size int64, n int) View {
	var last [][]byte
	for i := size - int64(n); i < size; i++ {
		last = append(last, entry(i))
	}
	return must(testTree.Recent(checkpoint(testTree, size), -1, last))
}

func TestRecent(t *testing.T) {
	for _, tt := range []struct {
		size  int64
		n     int
		start int64
	}{{600, 0, 256}, {600, 1, 256}, {600, 344, 256}, {600, 345, 0}, {600, 600, 0}, {1, 1, 0}, {0, 0, 0}} {
		v, err := ParseView(must(recently(tt.size, tt.n).Encode()))
		if err != nil || v.Start != tt.start {
			t.Fatalf("%d of %d: starts at %d, %v", tt.n, tt.size, v.Start, err)
		}
		o, err := v.Check(testPolicy, nil, at(0), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		first, entries := o.Recent()
		if first != tt.size-int64(tt.n) || len(entries) != tt.n {
			t.Errorf("%d of %d: %d from %d on", tt.n, tt.size, len(entries), first)
		}
		for i, e := range entries {
			if string(e) != string(entry(first+int64(i))) {
				t.Errorf("%d of %d: entry %d is another", tt.n, tt.size, i)
			}
		}
	}
	if v := must(testTree.Recent(checkpoint(testTree, 600), 0, [][]byte{entry(599)})); v.Start != 0 {
		t.Errorf("asked from 0, it starts at %d", v.Start)
	}
	if v := must(testTree.Recent(checkpoint(testTree, 1200), 1024, recently(1200, 200).Recent)); v.Start != 768 {
		t.Errorf("the view starts at %d, after the first of its entries", v.Start)
	}
	if _, err := testTree.Recent([]byte("x"), -1, nil); err == nil {
		t.Error("a checkpoint that is none")
	}
	for _, tt := range []struct {
		name, detail string
		change       func(v *View)
	}{
		{"one in between is left out", "not the log's last ones", func(v *View) { v.Recent = append(v.Recent[:1], v.Recent[2:]...) }},
		{"the last is left out", "not the log's last ones", func(v *View) { v.Recent = v.Recent[:2] }},
		{"another order", "not the log's last ones", func(v *View) { v.Recent[0], v.Recent[1] = v.Recent[1], v.Recent[0] }},
		{"another entry", "not the log's last ones", func(v *View) { v.Recent[2] = []byte("x") }},
		{"more than there are hashes", "begin before its start", func(v *View) {
			v.Recent = append(append([][]byte(nil), recently(255, 255).Recent...), recently(600, 345).Recent...)
		}},
	} {
		v := recently(600, 3)
		tt.change(&v)
		_, err := v.Check(testPolicy, nil, at(0), time.Hour)
		wantFailure(t, tt.name, err, FailMalformed, tt.detail)
	}
}

func TestParseKeys(t *testing.T) {
	one, two := testLog.Key().String(), otherLog.Key().String()
	renamed := must(NewSigner("renamed.example", seed("log"))).Key().String()
	for _, tt := range []struct {
		name, detail string
		keys         []string
	}{
		{"none", "", nil},
		{"two", "", []string{one, two}},
		{"not a key", "a key is not", []string{one, "x"}},
		{"a witness's", "not one that signs entries", []string{one, w1.Key().String()}},
		{"one twice", "stands there twice", []string{one, two, one}},
		{"one under another name", "stands there twice", []string{one, renamed}},
	} {
		keys, err := ParseKeys(tt.keys)
		if tt.detail == "" && (err != nil || len(keys) != len(tt.keys)) || tt.detail != "" && (err == nil || !strings.Contains(err.Error(), tt.detail) || keys != nil) {
			t.Errorf("%s: %v, %v", tt.name, keys, err)
		}
	}
}

func TestSound(t *testing.T) {
	for end, detail := range map[string]string{
		testPolicyEnd:   "",
		"quorum none\n": "asks for no witness",
		"group any-three 1 one two three\nquorum any-three\n": "no witness in common",
	} {
		err := must(ParsePolicy(policyText(end))).Sound()
		if detail == "" && err != nil || detail != "" && (err == nil || !strings.Contains(err.Error(), detail)) {
			t.Errorf("%q: %v", end, err)
		}
	}
}
