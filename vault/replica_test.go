// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"errors"
	"slices"
	"testing"
	"time"
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

func TestMessagesAndTombstonesMeet(t *testing.T) {
	f, root, chat := newFeed(), NewRootKey(), NewID()
	a, b := NewReplica(root, f.account, NewDeviceID()), NewReplica(root, f.account, NewDeviceID())
	if _, err := a.AddMessage(Message{Chat: chat, Role: "user", Text: "seen by both"}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.SetTitle(chat, "a chat", true); err != nil {
		t.Fatal(err)
	}
	f.sync(t, a)
	f.sync(t, b)
	// b writes while a deletes, neither knowing of the other.
	if _, err := b.AddMessage(Message{Chat: chat, Role: "user", Text: "unseen by a"}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.DeleteChat(chat); err != nil {
		t.Fatal(err)
	}
	if len(a.Chats()) != 0 {
		t.Error("the deleted chat is still shown")
	}
	f.sync(t, a)
	f.sync(t, b)
	f.sync(t, a)
	fresh := NewReplica(root, f.account, NewDeviceID())
	f.sync(t, fresh)
	for name, r := range map[string]*Replica{"a": a, "b": b, "fresh": fresh} {
		if got := texts(r.Messages(chat)); !slices.Equal(got, []string{"unseen by a"}) {
			t.Errorf("%s: messages %q", name, got)
		}
		if c, _ := r.Chat(chat); c.Title != "" {
			t.Errorf("%s: title %q survived", name, c.Title)
		}
		if p := r.Problems(); len(p) != 0 {
			t.Errorf("%s: problems %v", name, p)
		}
	}
	for _, e := range f.entries[:2] {
		if e.Data != nil {
			t.Error("the server still has what was deleted")
		}
	}
}

func TestLastWriterWins(t *testing.T) {
	f, root, chat := newFeed(), NewRootKey(), NewID()
	at := time.Unix(1_800_000_000, 0)
	clock := func(t time.Time) func() time.Time { return func() time.Time { return t } }
	a, b := NewReplica(root, f.account, DeviceID{1}), NewReplica(root, f.account, DeviceID{2})
	a.Now, b.Now = clock(at), clock(at)
	set := func(r *Replica, title string) {
		t.Helper()
		if _, err := r.SetTitle(chat, title, false); err != nil {
			t.Fatal(err)
		}
	}
	check := func(why, want string) {
		t.Helper()
		f.sync(t, a)
		f.sync(t, b)
		f.sync(t, a)
		fresh := NewReplica(root, f.account, NewDeviceID())
		f.sync(t, fresh)
		for name, r := range map[string]*Replica{"a": a, "b": b, "fresh": fresh} {
			if c, _ := r.Chat(chat); c.Title != want {
				t.Errorf("%s: %s shows %q, want %q", why, name, c.Title, want)
			}
			if p := r.Problems(); len(p) != 0 {
				t.Errorf("%s: %s: problems %v", why, name, p)
			}
		}
	}
	set(b, "from b")
	set(a, "from a")
	check("same minute, unseen: the greater device wins", "from b")
	set(a, "a again")
	check("seen before: the later write wins in the same minute", "a again")
	c := NewReplica(root, f.account, DeviceID{0})
	c.Now = clock(at)
	f.sync(t, c)
	set(c, "from c")
	f.sync(t, c)
	check("seen before: also by the least device", "from c")
	a.Now = clock(at.Add(time.Hour))
	set(a, "an hour later")
	set(b, "unseen, an hour before")
	check("the later hour wins, whoever posts last", "an hour later")
	b.Now = clock(at.Add(-1000 * time.Hour))
	set(b, "a clock that is behind")
	check("a wrong clock doesn't lose a write that saw the other", "a clock that is behind")
}

func TestAcknowledgements(t *testing.T) {
	f, root, chat := newFeed(), NewRootKey(), NewID()
	a, b := NewReplica(root, f.account, NewDeviceID()), NewReplica(root, f.account, NewDeviceID())
	add := func(r *Replica, text string) {
		t.Helper()
		if _, err := r.AddMessage(Message{Chat: chat, Role: "user", Text: text}); err != nil {
			t.Fatal(err)
		}
	}
	add(a, "one")
	add(a, "two")
	puts := a.Pending()
	seqs := f.post(t, puts...)
	entries, err := a.Acked(puts, seqs, f.head)
	if err != nil || len(entries) != 2 || a.Head() != f.head || len(a.Pending()) != 0 {
		t.Fatalf("Acked: %d entries, %v, head %v", len(entries), err, a.Head())
	}
	stored := slices.Clone(entries)
	if entries, err = a.Acked(puts, seqs, f.head); err != nil || len(entries) != 0 {
		t.Errorf("answer that came twice: %d entries, %v", len(entries), err)
	}
	// b gets in between: a must fetch.
	f.sync(t, b)
	add(b, "three")
	f.sync(t, b)
	add(a, "four")
	puts = a.Pending()
	seqs = f.post(t, puts...)
	if entries, err = a.Acked(puts, seqs, f.head); err != nil || entries != nil {
		t.Errorf("with another's entry between: %d entries, %v", len(entries), err)
	}
	page := f.page(a.Head().Seq)
	if err := a.Apply(page); err != nil {
		t.Fatal(err)
	}
	if len(a.Pending()) != 0 || len(a.Messages(chat)) != 4 {
		t.Errorf("%d pending, %d messages", len(a.Pending()), len(a.Messages(chat)))
	}
	stored = append(stored, page.Entries...)
	if _, err := a.Acked(puts, []uint64{1}, f.head); !errors.Is(err, ErrFork) {
		t.Errorf("a place that is another's: %v, want ErrFork", err)
	}
	add(a, "never posted")
	if _, err := a.Acked(a.Pending(), []uint64{a.Head().Seq + 1}, Head{a.Head().Seq + 1, Hash{1}}); !errors.Is(err, ErrFork) {
		t.Errorf("a head that is another's: %v, want ErrFork", err)
	}
	if _, err := a.DeleteMessages(idsByText(a, chat)["never posted"]); err != nil {
		t.Fatal(err)
	}
	f.sync(t, a)
	stored = append(stored, f.entries[len(stored):]...)
	if _, err := a.Acked(puts, nil, f.head); !errors.Is(err, ErrFormat) {
		t.Errorf("no places: %v, want ErrFormat", err)
	}

	// After a restart: what was stored, and what was never acknowledged.
	add(a, "five")
	again := NewReplica(root, f.account, a.device)
	if err := again.Load(stored); err != nil {
		t.Fatal(err)
	}
	if err := again.Restore(append(puts, a.Pending()...)); err != nil {
		t.Fatal(err)
	}
	if len(again.Pending()) != 1 || len(again.Messages(chat)) != 5 {
		t.Errorf("after a restart: %d pending, %d messages", len(again.Pending()), len(again.Messages(chat)))
	}
	f.sync(t, again)
	broken := a.Pending()
	broken[0].ID = NewRecordID()
	if err := again.Restore(broken); !errors.Is(err, ErrSwapped) {
		t.Errorf("Restore of a changed put: %v, want ErrSwapped", err)
	}
}

func idsByText(r *Replica, chat string) map[string]string {
	ids := map[string]string{}
	for _, m := range r.Messages(chat) {
		ids[m.Text] = m.ID
	}
	return ids
}

// A chat that was deleted before its messages reached the server must not come
// back while the tombstone is still on its way.
func TestDeletedBeforeItWasPosted(t *testing.T) {
	f, chat := newFeed(), NewID()
	r := NewReplica(NewRootKey(), f.account, NewDeviceID())
	if _, err := r.AddMessage(Message{Chat: chat, Role: "user", Text: "regretted"}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.SetTitle(chat, "regretted", false); err != nil {
		t.Fatal(err)
	}
	if _, err := r.DeleteChat(chat); err != nil {
		t.Fatal(err)
	}
	puts := r.Pending()
	for _, p := range puts {
		f.post(t, p)
		if err := r.Apply(f.page(r.Head().Seq)); err != nil {
			t.Fatal(err)
		}
		if _, there := r.Chat(chat); there || len(r.Chats()) != 0 {
			t.Errorf("the chat is back after its %s was acknowledged", p.Collection)
		}
	}
	if p := r.Problems(); len(p) != 0 {
		t.Errorf("problems: %v", p)
	}
}

// A tombstone reaches back only: what this device wrote since, and has not
// posted, comes after it.
func TestTombstoneSparesWhatIsPending(t *testing.T) {
	f, root, chat := newFeed(), NewRootKey(), NewID()
	a, b := NewReplica(root, f.account, NewDeviceID()), NewReplica(root, f.account, NewDeviceID())
	if _, err := a.SetTitle(chat, "first", false); err != nil {
		t.Fatal(err)
	}
	f.sync(t, a)
	f.sync(t, b)
	if _, err := b.SetTitle(chat, "second", false); err != nil {
		t.Fatal(err)
	}
	m, err := b.AddMessage(Message{Chat: chat, Role: "user", Text: "pending"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.tombstone([]RecordID{a.registerID(chat, RegisterTitle), m.ID}); err != nil {
		t.Fatal(err)
	}
	f.sync(t, a)
	if err := b.Apply(f.page(b.Head().Seq)); err != nil {
		t.Fatal(err)
	}
	check := func(r *Replica) {
		t.Helper()
		if c, _ := r.Chat(chat); c.Title != "second" || len(r.Messages(chat)) != 1 {
			t.Errorf("title %q, %d messages", c.Title, len(r.Messages(chat)))
		}
	}
	check(b)
	f.sync(t, b)
	f.sync(t, a)
	check(b)
	check(a)
}

// A register under the id of another is a broken writer's; no server can do it.
func TestRegisterUnderAnothersID(t *testing.T) {
	f := newFeed()
	r := NewReplica(NewRootKey(), f.account, NewDeviceID())
	p := place{Registers, r.registerID("", "settings"), Version{1, DeviceID{1}}}
	data, err := sealRecord(r.keys.records, f.account, p, Head{}, []byte(`{"chat":"","name":"other","value":1}`))
	if err != nil {
		t.Fatal(err)
	}
	f.post(t, Put{ID: p.id, Collection: Registers, Version: p.version, Data: data})
	if err := r.Apply(f.page(0)); err != nil {
		t.Fatal(err)
	}
	if ps := r.Problems(); len(ps) != 1 || !errors.Is(ps[0].Err, ErrSwapped) {
		t.Errorf("problems %v, want ErrSwapped", ps)
	}
}
