// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// lone is a device with an account of its own.
func lone() (*feed, *Replica) {
	f := newFeed()
	return f, NewReplica(NewRootKey(), f.account, NewDeviceID())
}

// twin is another device of the same account that has seen nothing.
func twin(r *Replica) *Replica {
	t := &Replica{Now: time.Now, account: r.account, device: NewDeviceID(), keys: r.keys}
	t.reset()
	return t
}

func TestWritingRefuses(t *testing.T) {
	_, r := lone()
	chat := NewID()
	if _, err := r.AddMessage(Message{Chat: chat}); !errors.Is(err, ErrFormat) {
		t.Errorf("a message of nobody: %v", err)
	}
	if _, err := r.AddMessage(Message{Chat: chat, Role: "user", Receipt: json.RawMessage("{")}); err == nil {
		t.Error("a message that can't be written is accepted")
	}
	if _, err := r.SetRegister(chat, "x", func() {}); err == nil {
		t.Error("a function is a value")
	}
	if _, err := r.SetRegister(chat, "", 1); !errors.Is(err, ErrFormat) {
		t.Errorf("a register without a name: %v", err)
	}
	if len(r.Pending()) != 0 {
		t.Error("something of it is pending")
	}
	r.Now = func() time.Time { return time.UnixMilli(1234) }
	if _, err := r.AddMessage(Message{Chat: chat, Role: "user"}); err != nil || r.Messages(chat)[0].Created != 1234 {
		t.Errorf("%+v, %v", r.Messages(chat), err)
	}
	if _, err := r.SetRegister("", "settings", 1); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{NewID(), ""} {
		if _, err := r.DeleteChat(id); err == nil {
			t.Errorf("the chat %q was deleted", id)
		}
	}
	for _, id := range []string{NewID(), "", "x"} {
		if _, err := r.DeleteMessages(id); err == nil {
			t.Errorf("the message %q was deleted", id)
		}
	}
	if _, ok := r.Chat(""); ok {
		t.Error("the account is a chat")
	}
}

func TestNothingOfWhatIsNotThere(t *testing.T) {
	_, r := lone()
	if r.Messages(NewID()) != nil || r.Thread(NewID(), "") != nil {
		t.Error("messages of no chat")
	}
	if _, ok := r.Register(NewID(), "x"); ok {
		t.Error("a register of no chat")
	}
	if _, err := r.SetRegister("", "a", 1); err != nil {
		t.Fatal(err)
	}
	if _, ok := r.Register("", "b"); ok {
		t.Error("a register that nobody wrote")
	}
	if err := r.Load(nil); err != nil {
		t.Errorf("nothing to load: %v", err)
	}
}

// Versions of one register follow one another, whoever writes and however fast.
func TestVersionsFollow(t *testing.T) {
	f := newFeed()
	root := NewRootKey()
	high, low := NewReplica(root, f.account, DeviceID{0: 9}), NewReplica(root, f.account, DeviceID{0: 1})
	now := time.Unix(1_800_000_000, 0)
	high.Now, low.Now = func() time.Time { return now }, func() time.Time { return now }
	chat := NewID()
	if _, err := high.SetTitle(chat, "first", false); err != nil {
		t.Fatal(err)
	}
	f.sync(t, high)
	f.sync(t, low)
	if _, err := low.SetTitle(chat, "second", false); err != nil {
		t.Fatal(err)
	}
	f.sync(t, low)
	f.sync(t, high)
	for _, r := range []*Replica{high, low} {
		if c, _ := r.Chat(chat); c.Title != "second" {
			t.Errorf("the title is %q", c.Title)
		}
	}

	// No newer version than the last.
	id := low.registerID(chat, RegisterTitle)
	low.registers[id].version.Clock = math.MaxUint64
	if _, err := low.SetTitle(chat, "none left", false); err == nil {
		t.Error("a version after the last")
	}
}

func TestErasedAndWrittenAgain(t *testing.T) {
	f, r := lone()
	r.Now = func() time.Time { return time.Unix(1_800_000_000, 0) }
	chat := NewID()
	first := must(r.SetTitle(chat, "first", false))
	puts := must(r.DeleteChat(chat))
	if len(puts) != 1 || !slices.Equal(puts[0].Erase, []RecordID{first.ID}) {
		t.Errorf("tombstones %+v", puts)
	}
	if _, ok := r.Chat(chat); ok {
		t.Error("a chat of which nothing is left")
	}
	second := must(r.SetTitle(chat, "second", false))
	if second.Version == first.Version {
		t.Error("it takes the place of its earlier self")
	}
	if c, _ := r.Chat(chat); c.Title != "second" {
		t.Errorf("the title is %q", c.Title)
	}
	f.sync(t, r)
	if p := r.Problems(); len(p) != 0 {
		t.Errorf("problems: %v", p)
	}
}

func TestChatsInNumbers(t *testing.T) {
	_, r := lone()
	chat := NewID()
	var ids []string
	for _, created := range []int64{-5, -7, -6, -1, -3} {
		m := Message{ID: NewID(), Chat: chat, Role: "user", Created: created}
		if _, err := r.AddMessage(m); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, m.ID)
		c, _ := r.Chat(chat)
		if len(ids) == 1 && (c.Created != -5 || c.Updated != -5) {
			t.Errorf("after the first: %+v", c)
		}
	}
	late := NewID()
	must(r.AddMessage(Message{Chat: late, Role: "user", Created: 5}))
	if c, _ := r.Chat(late); c.Created != 5 || c.Updated != 5 {
		t.Errorf("of one message: %+v", c)
	}
	if c, _ := r.Chat(chat); c.Created != -7 || c.Updated != -1 || c.Count != 5 {
		t.Errorf("%+v", c)
	}
	if _, err := r.DeleteMessages(ids[1], ids[3]); err != nil {
		t.Fatal(err)
	}
	if c, _ := r.Chat(chat); c.Created != -6 || c.Updated != -3 || c.Count != 3 {
		t.Errorf("after two were deleted: %+v", c)
	}
	for name, value := range map[string]any{
		RegisterArchived: true, RegisterFolder: "f", RegisterModel: "m", RegisterCacheSalt: "s", RegisterOrder: "o", RegisterPinned: true, RegisterBranch: ids[0],
	} {
		if _, err := r.SetRegister(chat, name, value); err != nil {
			t.Fatal(err)
		}
	}
	c, _ := r.Chat(chat)
	if !c.Archived || c.Folder != "f" || c.Model != "m" || c.CacheSalt != "s" || c.Order != "o" || !c.Pinned || c.Branch != ids[0] {
		t.Errorf("%+v", c)
	}
	// The messages go, what was said of the chat stays.
	if _, err := r.DeleteMessages(ids[0], ids[2], ids[4]); err != nil {
		t.Fatal(err)
	}
	if c, ok := r.Chat(chat); !ok || c.Folder != "f" || c.Count != 0 {
		t.Errorf("without messages: %+v, %v", c, ok)
	}
	if r.Thread(chat, "") != nil {
		t.Error("a thread of no message")
	}
}

func TestOrderOfMessages(t *testing.T) {
	_, r := lone()
	chat := NewID()
	add := func(text, id, parent string, created int64) {
		t.Helper()
		if _, err := r.AddMessage(Message{ID: id, Chat: chat, Parent: parent, Role: "user", Text: text, Created: created}); err != nil {
			t.Fatal(err)
		}
	}
	root, child, self := NewID(), NewID(), NewID()
	add("later root", NewID(), "", 50)
	if got := texts(r.Messages(chat)); !slices.Equal(got, []string{"later root"}) {
		t.Errorf("%q", got)
	}
	// A device's clock ran behind: the answer is older than its question.
	add("child", child, root, 5)
	add("root", root, "", 10)
	add("orphan", NewID(), NewID(), 1)
	add("own parent", self, self, 2)
	if got := texts(r.Messages(chat)); !slices.Equal(got, []string{"orphan", "own parent", "root", "child", "later root"}) {
		t.Errorf("%q", got)
	}

	// The newest end below a place is by time, and the last of equals.
	chat = NewID()
	top := NewID()
	a, b := "0000000000000000000000000000000a", "0000000000000000000000000000000b"
	add("below a", NewID(), a, 30)
	add("b", b, top, 20)
	add("a", a, top, 10)
	add("root", top, "", 1)
	must(r.SetRegister(chat, RegisterBranch, top))
	if got := texts(r.Thread(chat, "")); !slices.Equal(got, []string{"root", "a", "below a"}) {
		t.Errorf("%q", got)
	}
	chat = NewID()
	add("one", "0000000000000000000000000000001a", "", 7)
	add("two", "0000000000000000000000000000001b", "", 7)
	if got := texts(r.Thread(chat, "")); !slices.Equal(got, []string{"two"}) {
		t.Errorf("of two of one time: %q", got)
	}
}

// A server erases, of itself, what this device has just written. It stays, it is
// said, and whoever erases it later finds it in its place.
func TestOwnRecordErasedAtOnce(t *testing.T) {
	f, r := lone()
	chat := NewID()
	message := must(r.AddMessage(Message{Chat: chat, Role: "user", Text: "x"}))
	register := must(r.SetRegister(chat, RegisterFolder, "f"))
	f.post(t, message, register)
	for i := range f.entries {
		f.entries[i].erase()
	}
	if err := r.Apply(f.page(0)); err != nil {
		t.Fatal(err)
	}
	if c, _ := r.Chat(chat); c.Count != 1 || c.Folder != "f" || len(r.Pending()) != 0 {
		t.Errorf("%+v, %d pending", c, len(r.Pending()))
	}
	p := r.Problems()
	if len(p) != 2 || !errors.Is(p[0].Err, ErrHidden) || !errors.Is(p[1].Err, ErrHidden) || p[0].Seq != 1 || p[1].Seq != 2 {
		t.Errorf("problems: %v", p)
	}
	other := twin(r)
	tomb := must(other.seal(place{collection: Tombstones, id: NewRecordID()}, tombstoneBody{[]RecordID{message.ID, register.ID}}, opened{erase: []RecordID{message.ID, register.ID}}))
	f.post(t, tomb)
	if err := r.Apply(f.page(2)); err != nil {
		t.Fatal(err)
	}
	if _, ok := r.Chat(chat); ok {
		t.Error("what another device erased is still there")
	}
}

// A tombstone that takes the register that stands in the feed leaves the newer
// one that waits here.
func TestNewerRegisterWaits(t *testing.T) {
	f := newFeed()
	root := NewRootKey()
	r := NewReplica(root, f.account, NewDeviceID())
	chat := NewID()
	first := must(r.SetRegister(chat, RegisterFolder, "old"))
	must(r.SetRegister(chat, RegisterFolder, "new"))
	f.post(t, first)
	f.entries[0].erase()
	other := NewReplica(root, f.account, NewDeviceID())
	tomb := must(other.seal(place{collection: Tombstones, id: NewRecordID()}, tombstoneBody{[]RecordID{first.ID}}, opened{erase: []RecordID{first.ID}}))
	f.post(t, tomb)
	if err := r.Apply(f.page(0)); err != nil {
		t.Fatal(err)
	}
	if c, _ := r.Chat(chat); c.Folder != "new" {
		t.Errorf("the folder is %q", c.Folder)
	}
}

// A newer version that only waits here is no reason for the server to erase the
// older one.
func TestErasedBeforeItWasAsked(t *testing.T) {
	f, r := lone()
	chat := NewID()
	must(r.SetRegister(chat, RegisterFolder, "old"))
	f.sync(t, r)
	must(r.SetRegister(chat, RegisterFolder, "new"))
	f.entries[0].erase()
	stored := slices.Clone(f.entries)
	fresh := twin(r)
	if err := fresh.Restore(r.Pending()); err != nil {
		t.Fatal(err)
	}
	if err := fresh.Apply(Page{f.head, stored}); err != nil {
		t.Fatal(err)
	}
	if p := fresh.Problems(); len(p) != 1 || !errors.Is(p[0].Err, ErrHidden) {
		t.Errorf("problems: %v", p)
	}

	// A device that never saw the register can't tell either.
	blank := twin(r)
	if err := blank.Load(stored); err != nil {
		t.Fatal(err)
	}
	if p := blank.Problems(); len(p) != 0 {
		t.Errorf("before the server was asked: %v", p)
	}
	if err := blank.Apply(Page{f.head, nil}); err != nil {
		t.Fatal(err)
	}
	if p := blank.Problems(); len(p) != 1 {
		t.Errorf("after it was: %v", p)
	}
}

func TestProvenForGood(t *testing.T) {
	f, r := lone()
	chat := NewID()
	must(r.SetRegister(chat, RegisterFolder, "old"))
	must(r.SetRegister(chat, RegisterFolder, "new"))
	f.sync(t, r)
	f.entries = slices.Clone(f.entries)
	fresh := twin(r)
	if err := fresh.Apply(f.page(0)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if p := fresh.Problems(); len(p) != 0 {
			t.Errorf("problems: %v", p)
		}
		if _, ok := fresh.Chat(chat); ok {
			must(fresh.DeleteChat(chat)) // the newer version, which was the reason, is gone
		}
	}
}

func TestProblemsInOrder(t *testing.T) {
	f, r := lone()
	for range 20 {
		must(r.AddMessage(Message{Chat: NewID(), Role: "user", Text: "x"}))
	}
	f.post(t, r.Pending()...)
	for i := range f.entries {
		f.entries[i].Data = bytes.Clone(f.entries[i].Data)
		f.entries[i].Data[200] ^= 1
	}
	fresh := twin(r)
	if err := fresh.Load(rechain(f.account, f.entries).Entries); err != nil {
		t.Fatal(err)
	}
	var seqs []uint64
	for _, p := range fresh.Problems() {
		seqs = append(seqs, p.Seq)
	}
	if len(seqs) != 20 || !slices.IsSorted(seqs) {
		t.Errorf("problems of %v", seqs)
	}
	wrong := slices.Clone(f.entries)
	wrong[3].Hash[0] ^= 1
	fresh.reset()
	if err := fresh.Load(wrong); err == nil {
		t.Error("a store that somebody changed is taken")
	}
}

// What can't be read is said by its own name.
func TestRegisterThatIsNone(t *testing.T) {
	f, r := lone()
	id := r.registerID("", "x")
	must(r.seal(place{Registers, id, Version{Clock: 1}}, map[string]any{"chat": "", "name": "x"}, opened{}))
	f.post(t, r.Pending()...)
	fresh := twin(r)
	if err := fresh.Apply(f.page(0)); err != nil {
		t.Fatal(err)
	}
	if p := fresh.Problems(); len(p) != 1 || !errors.Is(p[0].Err, ErrFormat) {
		t.Errorf("problems: %v", p)
	}
	// And of one whose value can't even be decoded.
	must(r.seal(place{Registers, id, Version{Clock: 2}}, []int{1}, opened{}))
	f.post(t, r.Pending()[1])
	if err := fresh.Apply(f.page(1)); err != nil {
		t.Fatal(err)
	}
	if p := fresh.Problems(); len(p) != 2 || !errors.Is(p[1].Err, ErrFormat) {
		t.Errorf("problems: %v", p)
	}
}

// After the server went back, what is erased again is what is gone here, and
// nothing that lives.
func TestRejoinErasesOnlyWhatIsGone(t *testing.T) {
	f, r := lone()
	chat := NewID()
	gone := must(r.AddMessage(Message{Chat: chat, Role: "user", Text: "gone"}))
	title := must(r.SetTitle(chat, "old", false))
	f.sync(t, r)
	// Another device names a message that comes only after its tombstone.
	later := NewID()
	laterID := must(ParseRecordID(later))
	must(r.seal(place{collection: Tombstones, id: NewRecordID()}, tombstoneBody{[]RecordID{laterID}}, opened{erase: []RecordID{laterID}}))
	f.sync(t, r)
	must(r.DeleteChat(chat))
	f.sync(t, r)
	must(r.AddMessage(Message{ID: later, Chat: chat, Role: "user", Text: "later"}))
	must(r.SetTitle(chat, "new", false))
	f.sync(t, r)
	if err := r.Rejoin(); err != nil {
		t.Fatal(err)
	}
	var erased []RecordID
	for _, p := range r.Pending() {
		erased = append(erased, p.Erase...)
	}
	if !slices.Equal(erased, []RecordID{gone.ID}) {
		t.Errorf("erased again: %v, want %v and neither the title %v nor %v", erased, gone.ID, title.ID, later)
	}
	if c, _ := r.Chat(chat); c.Title != "new" || c.Count != 1 {
		t.Errorf("%+v", c)
	}
}

// A title that was erased is not brought back.
func TestRejoinLeavesErasedRegisters(t *testing.T) {
	f, r := lone()
	chat := NewID()
	title := must(r.SetTitle(chat, "erased", false))
	f.sync(t, r)
	must(r.DeleteChat(chat))
	f.sync(t, r)
	if err := r.Rejoin(); err != nil {
		t.Fatal(err)
	}
	p := r.Pending()
	if len(p) != 1 || !slices.Equal(p[0].Erase, []RecordID{title.ID}) {
		t.Errorf("pending: %+v", p)
	}
	if _, ok := r.Chat(chat); ok {
		t.Error("the chat is back")
	}
}

func TestChatsCompare(t *testing.T) {
	sorted := []Chat{
		{ID: "1", Pinned: true, Order: "a"}, {ID: "2", Pinned: true}, {ID: "3", Order: "a"}, {ID: "4", Order: "b"},
		{ID: "5", Updated: 2}, {ID: "6", Updated: 1}, {ID: "7", Updated: 1},
	}
	for i := range sorted {
		for j := range sorted {
			if got, want := compareChats(&sorted[i], &sorted[j]), min(1, max(-1, i-j)); got != want {
				t.Errorf("%s and %s: %d, want %d", sorted[i].ID, sorted[j].ID, got, want)
			}
		}
	}
}

func TestAnswersToPosts(t *testing.T) {
	f, r := lone()
	first := must(r.AddMessage(Message{Chat: NewID(), Role: "user", Text: "first"}))
	at := Genesis(f.account).Next(first.Collection, first.ID, first.Version, Digest(first.Data))
	for name, tt := range map[string]struct {
		seq  uint64
		head Head
	}{
		"with a gap":          {2, at},
		"others came between": {1, Head{Seq: 5, Hash: at.Hash}},
	} {
		if entries, err := r.Acked([]Put{first}, []uint64{tt.seq}, tt.head); entries != nil || err != nil {
			t.Errorf("%s: %d entries, %v", name, len(entries), err)
		}
	}
	if r.Head().Seq != 0 {
		t.Fatal("the replica moved on")
	}
	if entries, err := r.Acked([]Put{first}, []uint64{1}, at); len(entries) != 1 || err != nil {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	second := must(r.AddMessage(Message{Chat: NewID(), Role: "user", Text: "second"}))
	if _, err := r.Acked([]Put{second}, []uint64{1}, at); !errors.Is(err, ErrFork) {
		t.Errorf("in the place of the first: %v", err)
	}
	// What is known already, with whatever head: the next page will say.
	if entries, err := r.Acked([]Put{first}, []uint64{1}, Head{Seq: 1}); entries != nil || err != nil {
		t.Errorf("again: %d entries, %v", len(entries), err)
	}
}

func TestSaltsDiffer(t *testing.T) {
	_, r := lone()
	a, b := must(r.AddMessage(Message{Chat: NewID(), Role: "user"})), must(r.AddMessage(Message{Chat: NewID(), Role: "user"}))
	if bytes.Equal(a.Data[recordHeader:][:recordSalt], b.Data[recordHeader:][:recordSalt]) {
		t.Error("two records have one salt")
	}
}

func TestSearchBounds(t *testing.T) {
	_, r := lone()
	chat := NewID()
	for i, text := range []string{"the red house", "a house that is red"} {
		must(r.AddMessage(Message{Chat: chat, Role: "user", Text: text, Created: int64(i + 1)}))
	}
	for _, limit := range []int{0, -1} {
		if hits := r.Search("house", limit); hits != nil {
			t.Errorf("at most %d: %v", limit, hits)
		}
	}
	hits := r.Search("red house", 9)
	if len(hits) != 2 || hits[0].Snippet != "the red house" {
		t.Errorf("%+v", hits)
	}
	// Beyond sixteen words nobody looks.
	if hits := r.Search(strings.Repeat("house ", maxWords)+"nowhere", 9); len(hits) != 2 {
		t.Errorf("seventeen words: %d", len(hits))
	}
	if hits := r.Search(strings.Repeat("house ", maxWords-1)+"nowhere", 9); len(hits) != 0 {
		t.Errorf("sixteen words: %d", len(hits))
	}
}

// Of what is equal, the first stays first; and an answer without a time is no
// answer that anybody can place.
func TestEqualsKeepTheirOrder(t *testing.T) {
	_, r := lone()
	chat := NewID()
	var ids []string
	for i, receipt := range []string{`{"time":7}`, `{"time":7}`, `{"time":9}`, `{"node":"x"}`} {
		m := Message{ID: strings.Repeat("0", 31) + string("abcd"[i]), Chat: chat, Role: "assistant", Text: "word", Created: 1, Receipt: json.RawMessage(receipt)}
		must(r.AddMessage(m))
		ids = append(ids, m.ID)
	}
	var reported, found []string
	for _, a := range r.Report() {
		reported = append(reported, a.Message)
	}
	for _, m := range r.Messages(chat) {
		found = append(found, m.ID)
	}
	if !slices.Equal(found, ids) || !slices.Equal(reported, []string{ids[2], ids[0], ids[1]}) {
		t.Errorf("messages %v, reported %v", found, reported)
	}
	found = nil
	for _, h := range r.Search("word", 9) {
		found = append(found, h.Message)
	}
	if !slices.Equal(found, ids) {
		t.Errorf("found %v", found)
	}
}
