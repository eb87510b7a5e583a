// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"slices"
	"testing"
)

// feed is an honest account server in memory. Tests change what it shows.
type feed struct {
	account AccountID
	head    Head
	entries []Entry
}

func newFeed() *feed {
	f := &feed{account: NewAccountID()}
	f.head = Genesis(f.account)
	return f
}

// post appends puts as the server does and returns their places.
func (f *feed) post(t testing.TB, puts ...Put) []uint64 {
	t.Helper()
	var seqs []uint64
	for _, p := range puts {
		if err := p.Check(f.account); err != nil {
			t.Fatal(err)
		}
		f.head = f.head.Next(p.Collection, p.ID, p.Version, Digest(p.Data))
		f.entries = append(f.entries, Entry{
			Seq: f.head.Seq, ID: p.ID, Collection: p.Collection, Version: p.Version,
			Size: len(p.Data), Data: p.Data, Hash: f.head.Hash,
		})
		seqs = append(seqs, f.head.Seq)
		for i := range f.entries {
			e := &f.entries[i]
			old := p.Collection == Registers && e.ID == p.ID && e.Version.Compare(p.Version) < 0
			if old || slices.Contains(p.Erase, e.ID) {
				e.erase()
			}
		}
	}
	return seqs
}

func (e *Entry) erase() {
	if e.Data != nil {
		d := Digest(e.Data)
		e.Data, e.Digest = nil, &d
	}
}

func (f *feed) page(since uint64) Page { return Page{f.head, slices.Clone(f.entries[since:])} }

// sync posts what r has pending and fetches the rest.
func (f *feed) sync(t testing.TB, r *Replica) {
	t.Helper()
	f.post(t, r.Pending()...)
	if err := r.Apply(f.page(r.Head().Seq)); err != nil {
		t.Fatal(err)
	}
	if n := len(r.Pending()); n != 0 {
		t.Fatalf("%d puts still pending", n)
	}
}

func texts(list []Message) (s []string) {
	for _, m := range list {
		s = append(s, m.Text)
	}
	return s
}

func TestTwoDevicesNeverLoseAMessage(t *testing.T) {
	f, root := newFeed(), NewRootKey()
	a, b := NewReplica(root, f.account, NewDeviceID()), NewReplica(root, f.account, NewDeviceID())
	chat := NewID()
	first := Message{ID: NewID(), Chat: chat, Role: "user", Text: "first", Created: 1}
	if _, err := a.AddMessage(first); err != nil {
		t.Fatal(err)
	}
	f.sync(t, a)
	f.sync(t, b)
	// Both go on from the same message without seeing each other.
	for _, x := range []struct {
		r    *Replica
		text string
	}{{a, "from a"}, {b, "from b"}} {
		if _, err := x.r.AddMessage(Message{Chat: chat, Parent: first.ID, Role: "user", Text: x.text, Created: 2}); err != nil {
			t.Fatal(err)
		}
	}
	f.sync(t, b)
	f.sync(t, a)
	f.sync(t, b)
	for _, r := range []*Replica{a, b} {
		got := texts(r.Messages(chat))
		slices.Sort(got)
		if !slices.Equal(got, []string{"first", "from a", "from b"}) {
			t.Errorf("messages = %q", got)
		}
		if p := r.Problems(); len(p) != 0 {
			t.Errorf("problems: %v", p)
		}
	}
}
