// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"testing"
)

// scene is a feed of one chat, written by device a.
type scene struct {
	feed *feed
	root RootKey
	chat string
	a    *Replica
}

const half = 4

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{feed: newFeed(), root: NewRootKey(), chat: NewID()}
	s.a = NewReplica(s.root, s.feed.account, NewDeviceID())
	for i, text := range []string{"one", "two", "three", "four", "five", "six", "seven", "eight"} {
		if _, err := s.a.AddMessage(Message{Chat: s.chat, Role: "user", Text: text, Created: int64(i + 1)}); err != nil {
			t.Fatal(err)
		}
		s.feed.sync(t, s.a)
	}
	return s
}

// knowing returns a replica that knows the first n entries.
func (s *scene) knowing(t *testing.T, n uint64) *Replica {
	t.Helper()
	r := NewReplica(s.root, s.feed.account, NewDeviceID())
	if n > 0 {
		e := s.feed.entries[:n]
		if err := r.Apply(Page{Head{n, e[n-1].Hash}, slices.Clone(e)}); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// rechain gives entries the hashes that fit them, as a server that lies with
// care would.
func rechain(account AccountID, entries []Entry) Page {
	head := Genesis(account)
	for i := range entries {
		e := &entries[i]
		e.Seq = head.Seq + 1
		head = head.Next(e.Collection, e.ID, e.Version, e.digest())
		e.Hash = head.Hash
	}
	return Page{head, entries}
}

func since(p Page, n uint64) Page { return Page{p.Head, p.Entries[n:]} }

// TestLyingServerPages: what a server can't get past a device that has seen a
// part of the feed. The page is refused by name and nothing known is lost.
func TestLyingServerPages(t *testing.T) {
	for _, tt := range []struct {
		name string
		lie  func(t *testing.T, s *scene) Page
		want error
	}{
		{"honest", func(t *testing.T, s *scene) Page { return s.feed.page(half) }, nil},
		{"honest, with what is known", func(t *testing.T, s *scene) Page { return s.feed.page(1) }, nil},
		{"rolled back", func(t *testing.T, s *scene) Page {
			e := s.feed.entries[:half-1]
			return Page{Head{half - 1, e[half-2].Hash}, nil}
		}, ErrRollback},
		{"rolled back to nothing", func(t *testing.T, s *scene) Page { return Page{Genesis(s.feed.account), nil} }, ErrRollback},
		{"tail withheld", func(t *testing.T, s *scene) Page { return Page{s.feed.head, nil} }, ErrHidden},
		{"tail withheld behind what is known", func(t *testing.T, s *scene) Page {
			return Page{s.feed.head, s.feed.entries[half-1 : half]}
		}, ErrHidden},
		{"entry left out", func(t *testing.T, s *scene) Page {
			p := s.feed.page(half)
			p.Entries = slices.Delete(p.Entries, 1, 2)
			return p
		}, ErrHidden},
		{"entry left out, chained anew", func(t *testing.T, s *scene) Page {
			return since(rechain(s.feed.account, slices.Delete(slices.Clone(s.feed.entries), 1, 2)), half)
		}, ErrFork},
		{"reordered", func(t *testing.T, s *scene) Page {
			p := s.feed.page(half)
			p.Entries[0], p.Entries[1] = p.Entries[1], p.Entries[0]
			return p
		}, ErrHidden},
		{"reordered, numbered anew", func(t *testing.T, s *scene) Page {
			p := s.feed.page(half)
			p.Entries[1], p.Entries[2] = p.Entries[2], p.Entries[1]
			p.Entries[1].Seq, p.Entries[2].Seq = half+2, half+3
			return p
		}, ErrTampered},
		{"forked before what is known", func(t *testing.T, s *scene) Page {
			e := slices.Clone(s.feed.entries)
			e[0], e[1] = e[1], e[0]
			return since(rechain(s.feed.account, e), half)
		}, ErrFork},
		{"forked at the head", func(t *testing.T, s *scene) Page {
			return Page{Head{half, Hash{1}}, nil}
		}, ErrFork},
		{"known entry is another one now", func(t *testing.T, s *scene) Page {
			e := slices.Clone(s.feed.entries)
			e[1], e[2] = e[2], e[1]
			return since(rechain(s.feed.account, e), 1)
		}, ErrFork},
		{"known entry is another one now, head kept", func(t *testing.T, s *scene) Page {
			e := slices.Clone(s.feed.entries)
			e[1], e[2] = e[2], e[1]
			known := s.feed.entries[half-1]
			return Page{Head{half, known.Hash}, since(rechain(s.feed.account, e), 1).Entries[:2]}
		}, ErrFork},
		{"bytes changed", func(t *testing.T, s *scene) Page {
			p := s.feed.page(half)
			p.Entries[1].Data = bytes.Clone(p.Entries[1].Data)
			p.Entries[1].Data[200] ^= 1
			return p
		}, ErrTampered},
		{"head of nothing", func(t *testing.T, s *scene) Page {
			p := s.feed.page(half)
			p.Head.Hash[0] ^= 1
			return p
		}, ErrTampered},
		{"head before its entries", func(t *testing.T, s *scene) Page {
			p := s.feed.page(half)
			p.Head = Head{half + 1, p.Entries[0].Hash}
			return p
		}, ErrTampered},
		{"page of another account", func(t *testing.T, s *scene) Page {
			return since(rechain(NewAccountID(), slices.Clone(s.feed.entries)), half)
		}, ErrFork},
		{"gap", func(t *testing.T, s *scene) Page { return s.feed.page(half + 1) }, ErrOutOfOrder},
		{"neither data nor digest", func(t *testing.T, s *scene) Page {
			p := s.feed.page(half)
			p.Entries[0].Data = nil
			return p
		}, ErrFormat},
		{"entry 0", func(t *testing.T, s *scene) Page {
			p := s.feed.page(0)
			for i := range p.Entries {
				p.Entries[i].Seq--
			}
			return p
		}, ErrFormat},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene(t)
			r := s.knowing(t, half)
			if err := r.Apply(tt.lie(t, s)); !errors.Is(err, tt.want) || (tt.want == nil) != (err == nil) {
				t.Fatalf("Apply: %v, want %v", err, tt.want)
			}
			want := 8
			if tt.want != nil {
				want = half
			}
			if got := len(r.Messages(s.chat)); got != want {
				t.Errorf("%d messages, want %d", got, want)
			}
			// The truth is believed afterwards.
			if err := r.Apply(s.feed.page(r.Head().Seq)); err != nil {
				t.Fatal(err)
			}
			if got := texts(r.Messages(s.chat)); !slices.Equal(got, []string{"one", "two", "three", "four", "five", "six", "seven", "eight"}) {
				t.Errorf("messages: %q", got)
			}
		})
	}
}

// TestLyingServerRecords: what a server can show to a new device, which knows
// nothing, is still named record by record, and hides nothing else.
func TestLyingServerRecords(t *testing.T) {
	for _, tt := range []struct {
		name string
		lie  func(t *testing.T, s *scene, e []Entry) []Entry
		want map[uint64]error
		lost []string
	}{
		{"honest", func(t *testing.T, s *scene, e []Entry) []Entry { return e }, nil, nil},
		{"swapped", func(t *testing.T, s *scene, e []Entry) []Entry {
			e[1].Data, e[2].Data = e[2].Data, e[1].Data
			return e
		}, map[uint64]error{2: ErrSwapped, 3: ErrSwapped, 4: ErrFork, 5: ErrFork, 6: ErrFork, 7: ErrFork, 8: ErrFork}, []string{"two", "three"}},
		{"last one tampered with", func(t *testing.T, s *scene, e []Entry) []Entry {
			e[7].Data = bytes.Clone(e[7].Data)
			e[7].Data[300] ^= 1
			return e
		}, map[uint64]error{8: ErrTampered}, []string{"eight"}},
		{"cut short", func(t *testing.T, s *scene, e []Entry) []Entry {
			e[7].Data = e[7].Data[:100]
			e[7].Size = 100
			return e
		}, map[uint64]error{8: ErrFormat}, []string{"eight"}},
		{"record of another account", func(t *testing.T, s *scene, e []Entry) []Entry {
			f := newFeed()
			stranger := NewReplica(s.root, f.account, NewDeviceID())
			p, err := stranger.AddMessage(Message{ID: e[7].ID.String(), Chat: s.chat, Role: "user", Text: "foreign"})
			if err != nil {
				t.Fatal(err)
			}
			e[7].Data = p.Data
			e[7].Size = len(p.Data)
			return e
		}, map[uint64]error{8: ErrForeign}, []string{"eight"}},
		{"record repeated", func(t *testing.T, s *scene, e []Entry) []Entry {
			return append(e, e[3])
		}, map[uint64]error{9: ErrReplayed}, nil},
		{"erased without reason", func(t *testing.T, s *scene, e []Entry) []Entry {
			e[7].erase()
			return e
		}, map[uint64]error{8: ErrHidden}, []string{"eight"}},
		{"last one left out", func(t *testing.T, s *scene, e []Entry) []Entry {
			return e[:7] // nobody can tell, until a device that saw it writes again
		}, nil, []string{"eight"}},
		{"one in the middle left out", func(t *testing.T, s *scene, e []Entry) []Entry {
			return slices.Delete(e, 3, 4)
		}, map[uint64]error{4: ErrHidden, 5: ErrHidden, 6: ErrHidden, 7: ErrHidden}, []string{"four"}},
		{"reordered", func(t *testing.T, s *scene, e []Entry) []Entry {
			e[6], e[7] = e[7], e[6]
			return e
		}, map[uint64]error{7: ErrHidden}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene(t)
			r := s.knowing(t, 0)
			page := rechain(s.feed.account, tt.lie(t, s, slices.Clone(s.feed.entries)))
			if err := r.Apply(page); err != nil {
				t.Fatal(err)
			}
			problems := r.Problems()
			if len(problems) != len(tt.want) {
				t.Errorf("problems: %v, want %v", problems, tt.want)
			}
			for _, p := range problems {
				if !errors.Is(p.Err, tt.want[p.Seq]) || tt.want[p.Seq] == nil {
					t.Errorf("entry %d: %v, want %v", p.Seq, p.Err, tt.want[p.Seq])
				}
			}
			want := []string{"one", "two", "three", "four", "five", "six", "seven", "eight"}
			want = slices.DeleteFunc(want, func(s string) bool { return slices.Contains(tt.lost, s) })
			if got := texts(r.Messages(s.chat)); !slices.Equal(got, want) {
				t.Errorf("messages: %q, want %q", got, want)
			}
		})
	}
}

// A server that keeps a message from one device is found out by the next record
// of a device that has seen it.
func TestWithheldMessageIsNoticed(t *testing.T) {
	s := newScene(t)
	kept := s.knowing(t, 7) // never shown the eighth
	fork := slices.Clone(s.feed.entries[:7])
	if _, err := s.a.AddMessage(Message{Chat: s.chat, Role: "user", Text: "nine", Created: 9}); err != nil {
		t.Fatal(err)
	}
	s.feed.sync(t, s.a)
	fork = append(fork, s.feed.entries[8])
	if err := kept.Apply(since(rechain(s.feed.account, fork), 7)); err != nil {
		t.Fatal(err)
	}
	p := kept.Problems()
	if len(p) != 1 || !errors.Is(p[0].Err, ErrHidden) {
		t.Errorf("problems: %v, want ErrHidden", p)
	}
	if m := kept.Messages(s.chat); m[len(m)-1].Text != "nine" {
		t.Error("the message that gave it away is not shown")
	}
}

func TestReplayedRegisterChangesNothing(t *testing.T) {
	f, root, chat := newFeed(), NewRootKey(), NewID()
	a := NewReplica(root, f.account, NewDeviceID())
	if _, err := a.AddMessage(Message{Chat: chat, Role: "user", Text: "x"}); err != nil {
		t.Fatal(err)
	}
	for _, title := range []string{"old", "new"} {
		if _, err := a.SetTitle(chat, title, false); err != nil {
			t.Fatal(err)
		}
		f.post(t, a.Pending()[len(a.Pending())-1])
	}
	f.entries, f.head = nil, Genesis(f.account)
	pending := a.Pending() // message, old, new
	f.post(t, pending[0], pending[2])
	old := Entry{ID: pending[1].ID, Collection: Registers, Version: pending[1].Version, Size: len(pending[1].Data), Data: pending[1].Data}
	for _, tt := range []struct {
		name string
		feed []Entry
		want error
	}{
		{"old after new", append(slices.Clone(f.entries), old), nil},
		{"new twice", append(slices.Clone(f.entries), f.entries[1]), ErrReplayed},
		{"old instead of new", func() []Entry {
			gone := f.entries[1]
			gone.erase()
			return []Entry{f.entries[0], old, gone}
		}(), ErrHidden},
	} {
		r := NewReplica(root, f.account, NewDeviceID())
		if err := r.Apply(rechain(f.account, tt.feed)); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		p := r.Problems()
		if tt.want == nil && len(p) != 0 || tt.want != nil && (len(p) != 1 || !errors.Is(p[0].Err, tt.want)) {
			t.Errorf("%s: problems %v, want %v", tt.name, p, tt.want)
		}
		if c, _ := r.Chat(chat); c.Title != "new" && tt.want != ErrHidden {
			t.Errorf("%s: title %q", tt.name, c.Title)
		}
	}
}

// After a server has lost its newest entries, a device that has them gives them
// back, and what was deleted stays deleted.
func TestRejoinAfterTheServerWentBack(t *testing.T) {
	s := newScene(t)
	if _, err := s.a.SetTitle(s.chat, "kept", false); err != nil {
		t.Fatal(err)
	}
	backup := &feed{account: s.feed.account, entries: slices.Clone(s.feed.entries[:5])}
	backup.head = Head{5, backup.entries[4].Hash}
	gone := s.a.Messages(s.chat)[0]
	if _, err := s.a.DeleteMessages(gone.ID); err != nil {
		t.Fatal(err)
	}
	s.feed.sync(t, s.a)
	if _, err := s.a.AddMessage(Message{Chat: s.chat, Role: "user", Text: "pending", Created: 99}); err != nil {
		t.Fatal(err)
	}
	if err := s.a.Apply(backup.page(5)); !errors.Is(err, ErrRollback) {
		t.Fatalf("Apply: %v, want ErrRollback", err)
	}
	if err := s.a.Rejoin(); err != nil {
		t.Fatal(err)
	}
	if err := s.a.Apply(backup.page(0)); err != nil {
		t.Fatal(err)
	}
	backup.sync(t, s.a)
	fresh := NewReplica(s.root, s.feed.account, NewDeviceID())
	backup.sync(t, fresh)
	for name, r := range map[string]*Replica{"own": s.a, "fresh": fresh} {
		if got := texts(r.Messages(s.chat)); !slices.Equal(got, []string{"two", "three", "four", "five", "six", "seven", "eight", "pending"}) {
			t.Errorf("%s: messages %q", name, got)
		}
		if c, _ := r.Chat(s.chat); c.Title != "kept" {
			t.Errorf("%s: title %q", name, c.Title)
		}
	}
}

func TestTruncatedPageIsNoPage(t *testing.T) {
	s := newScene(t)
	whole, err := json.Marshal(s.feed.page(0))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParsePage(whole); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 1, len(whole) / 2, len(whole) - 1} {
		if _, err := ParsePage(whole[:n]); !errors.Is(err, ErrFormat) {
			t.Errorf("%d of %d bytes: %v, want ErrFormat", n, len(whole), err)
		}
	}
}
