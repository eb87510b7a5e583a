// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tlog

import (
	"testing"
	"time"
)

// size is that of a log after ten years of a release a week.
const size = 520

func BenchmarkProofBuild(b *testing.B) {
	cp := checkpoint(testTree, size)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := testTree.Proof(cp, size-1); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkProofVerify has a log's signature and two cosignatures to verify, and
// an entry to hash.
func BenchmarkProofVerify(b *testing.B) {
	doc := must(testTree.Proof(checkpoint(testTree, size), size-1)).Encode()
	b.ReportAllocs()
	for b.Loop() {
		p, err := ParseProof(doc)
		if err == nil {
			_, err = p.Verify(entry(size-1), testPolicy)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkViewBuild(b *testing.B) {
	cp := checkpoint(testTree, size)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := must(testTree.View(cp, -1, []Entry{{size - 1, entry(size - 1)}})).Encode(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkViewCheck is what a client does with a view, but for reading the
// releases: parse, verify three signatures, compute the root twice.
func BenchmarkViewCheck(b *testing.B) {
	doc := must(view(testTree, size, -1).Encode())
	seen := seenAt(testTree, 400)
	b.ReportAllocs()
	b.SetBytes(int64(len(doc)))
	for b.Loop() {
		v, err := ParseView(doc)
		if err != nil {
			b.Fatal(err)
		}
		o, err := v.Check(testPolicy, seen, at(0), time.Hour)
		if err == nil {
			_, err = o.Verify(v.Releases[0])
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTreeAppend(b *testing.B) {
	var tree Tree
	leaf := LeafHash(entry(1))
	b.ReportAllocs()
	for b.Loop() {
		tree.Append(leaf)
	}
}

func BenchmarkConsistencyVerify(b *testing.B) {
	p := must(testTree.Consistency(400, size))
	was, is := testTree.Root(400), testTree.Root(size)
	b.ReportAllocs()
	for b.Loop() {
		if err := VerifyConsistency(400, size, was, is, p); err != nil {
			b.Fatal(err)
		}
	}
}
