// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package logserver_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/release/releasetest"
	"github.com/sotto-chat/sotto/tlog"
	"github.com/sotto-chat/sotto/tlog/logserver"
	"github.com/sotto-chat/sotto/tlog/witness"
)

// A release is added when its proof has come back: written to the disk, and cosigned
// by two of three witnesses, who have written that to theirs.
func BenchmarkAdd(b *testing.B) {
	w := releasetest.New("bench")
	cfg := logserver.Config{Dir: b.TempDir(), Signer: w.Log, Pin: w.Pin, Witnesses: map[string]string{}}
	for i, key := range w.Witnesses {
		one, err := witness.Open(witness.Config{Dir: b.TempDir(), Key: key, Logs: []tlog.Key{w.Log.Key()}, Growth: 1e9})
		if err != nil {
			b.Fatal(err)
		}
		front := httptest.NewServer(one.Handler())
		defer front.Close()
		cfg.Witnesses[fmt.Sprintf("w%d", i+1)] = front.URL
	}
	s, err := logserver.Open(cfg)
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); s.Run(ctx) }()
	defer func() { stop(); <-ended }()
	add := func() {
		entry := w.Sign(w.Manifest(fmt.Sprintf("1.0.%d", len(w.Entries))), 2)
		if _, err := s.Add(ctx, entry); err != nil {
			b.Fatal(err)
		}
		w.Add(entry)
	}
	b.Run("one", func(b *testing.B) {
		for b.Loop() {
			add()
		}
	})
	// Several at once wait for one checkpoint.
	b.Run("batch16", func(b *testing.B) {
		for b.Loop() {
			done := make(chan error)
			for range 16 {
				entry := w.Sign(w.Manifest(fmt.Sprintf("1.0.%d", len(w.Entries))), 2)
				w.Add(entry)
				// In their order: each is signed for its place.
				index, err := logserver.Put(s, entry)
				if err != nil {
					b.Fatal(err)
				}
				go func() { done <- logserver.Await(ctx, s, index) }()
			}
			for range 16 {
				if err := <-done; err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(16*b.N)/1e6, "ms/release")
	})
}

// Proofs out of a log of 100,000 entries.
func BenchmarkProof(b *testing.B) {
	const size = 100_000
	var tree tlog.Tree
	for i := range size {
		tree.Append(tlog.LeafHash(fmt.Appendf(nil, "entry %d", i)))
	}
	w := releasetest.New("bench")
	entry := []byte("entry 12345")
	text := tlog.Checkpoint{Origin: w.Log.Name(), Size: size, Root: tree.Root(size)}.Text()
	signed := tlog.Note{Text: text, Signatures: []tlog.Signature{w.Log.Signature(text), w.Witnesses[0].Cosign(text, 1), w.Witnesses[1].Cosign(text, 1)}}.Encode()
	policy, err := tlog.ParsePolicy(w.Pin.Log)
	if err != nil {
		b.Fatal(err)
	}
	var proof []byte
	b.Run("build", func(b *testing.B) {
		for b.Loop() {
			p, err := tree.Proof(signed, 12345)
			if err != nil {
				b.Fatal(err)
			}
			proof = p.Encode()
		}
	})
	b.Run("verify", func(b *testing.B) {
		for b.Loop() {
			p, err := tlog.ParseProof(proof)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := p.Verify(entry, policy); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("consistency", func(b *testing.B) {
		for b.Loop() {
			if _, err := tree.Consistency(12345, size); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// A view of eight releases, as a log makes it and as a client opens it.
func BenchmarkView(b *testing.B) {
	w := releasetest.New("bench")
	for i := range 300 {
		w.Publish(fmt.Sprintf("1.0.%d", i), nil)
	}
	view := w.View()
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			if _, err := w.Pin.Open(view, nil, time.Unix(releasetest.Now, 0)); err != nil {
				b.Fatal(err)
			}
		}
	})
	tree := w.Tree()
	signed := w.Checkpoint(300, releasetest.Now, 3)
	var entries []tlog.Entry
	for i := 299; i >= 292; i-- {
		entries = append(entries, tlog.Entry{Index: int64(i), Data: bytes.Clone(w.Entries[i])})
	}
	b.Run("make", func(b *testing.B) {
		for b.Loop() {
			v, err := tree.View(signed, -1, entries)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := v.Encode(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
