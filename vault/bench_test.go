// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// history returns the feed of n messages in chats of 20, of about 600 characters
// each, with a title for each chat.
func history(b testing.TB, n int) (*feed, RootKey) {
	f, root := newFeed(), NewRootKey()
	r := NewReplica(root, f.account, NewDeviceID())
	text := strings.Repeat("What a plain sentence says can be said again. ", 13)
	chat := ""
	for i := range n {
		if i%20 == 0 {
			chat = NewID()
			if _, err := r.SetTitle(chat, fmt.Sprintf("Chat %d", i), true); err != nil {
				b.Fatal(err)
			}
		}
		role := []string{"user", "assistant"}[i%2]
		if _, err := r.AddMessage(Message{Chat: chat, Role: role, Text: fmt.Sprintf("%d %s", i, text), Created: int64(i + 1)}); err != nil {
			b.Fatal(err)
		}
	}
	for _, p := range r.Pending() {
		f.head = f.head.Next(p.Collection, p.ID, p.Version, Digest(p.Data))
		f.entries = append(f.entries, Entry{Seq: f.head.Seq, ID: p.ID, Collection: p.Collection, Version: p.Version, Size: len(p.Data), Data: p.Data, Hash: f.head.Hash})
	}
	return f, root
}

func BenchmarkLoad10000(b *testing.B) {
	f, root := history(b, 10_000)
	b.ResetTimer()
	b.ReportAllocs()
	for b.Loop() {
		r := NewReplica(root, f.account, NewDeviceID())
		for part := range slices.Chunk(f.entries, MaxPage) {
			if err := r.Apply(Page{f.head, part}); err != nil {
				b.Fatal(err)
			}
		}
		if n := len(r.Chats()); n != 500 {
			b.Fatalf("%d chats", n)
		}
	}
}

func BenchmarkParsePage1000(b *testing.B) {
	f, _ := history(b, 950)
	page, err := json.Marshal(f.page(0))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(page)))
	for b.Loop() {
		if _, err := ParsePage(page); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSearch10000(b *testing.B) {
	f, root := history(b, 10_000)
	r := NewReplica(root, f.account, NewDeviceID())
	if err := r.Apply(f.page(0)); err != nil {
		b.Fatal(err)
	}
	r.Search("first", 1)
	for b.Loop() {
		if len(r.Search("9876 sentence", 50)) != 1 {
			b.Fatal("not found")
		}
	}
}

func BenchmarkAddMessage(b *testing.B) {
	r := NewReplica(NewRootKey(), NewAccountID(), NewDeviceID())
	chat, text := NewID(), strings.Repeat("a plain sentence. ", 30)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.AddMessage(Message{Chat: chat, Role: "user", Text: text}); err != nil {
			b.Fatal(err)
		}
	}
}

// Memory must follow what is alive, not what ever was.
func TestDeletedChatsLeaveNoMemory(t *testing.T) {
	f, root := newFeed(), NewRootKey()
	r := NewReplica(root, f.account, NewDeviceID())
	text := strings.Repeat("x", 100_000)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for range 200 {
		chat := NewID()
		if _, err := r.AddMessage(Message{Chat: chat, Role: "user", Text: text}); err != nil {
			t.Fatal(err)
		}
		f.sync(t, r)
		if _, err := r.DeleteChat(chat); err != nil {
			t.Fatal(err)
		}
		f.sync(t, r)
	}
	r.Search("x", 1)
	if grown := int64(heap()) - int64(before); grown > 4<<20 {
		t.Errorf("200 deleted chats of 100 kB leave %d bytes", grown)
	}
	runtime.KeepAlive(r)
}
