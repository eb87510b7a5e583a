// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tlog

import (
	"slices"
	"testing"
)

// hashOf is the definition of RFC 9162, section 2.1.1, word for word.
func hashOf(leaves []Hash) Hash {
	switch n := len(leaves); n {
	case 0:
		return EmptyRoot()
	case 1:
		return leaves[0]
	default:
		k := 1
		for k*2 < n {
			k *= 2
		}
		return nodeHash(hashOf(leaves[:k]), hashOf(leaves[k:]))
	}
}

func TestTreeIsTheDefinition(t *testing.T) {
	var leaves []Hash
	var tree Tree
	for n := int64(0); n <= 130; n++ {
		if tree.Size() != n || tree.Root(n) != hashOf(leaves) || testTree.Root(n) != hashOf(leaves) {
			t.Fatalf("%d entries", n)
		}
		leaves = append(leaves, LeafHash(entry(n)))
		tree.Append(leaves[n])
	}
	if len(tree.levels) != 8 {
		t.Errorf("%d levels of 131 entries", len(tree.levels))
	}
	v, err := new(Tree).View(checkpoint(new(Tree), 0), -1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Check(testPolicy, nil, at(0), 0); err != nil {
		t.Error(err)
	}
}

func TestTreeOutside(t *testing.T) {
	tree := treeOf(5, never)
	for _, n := range []struct{ index, size int64 }{{0, 0}, {-1, 5}, {5, 5}, {0, 6}} {
		_, err := tree.Inclusion(n.index, n.size)
		wantFailure(t, "inclusion", err, FailMalformed, "the log has no")
	}
	for _, n := range []struct{ old, size int64 }{{-1, 5}, {5, 4}, {0, 6}} {
		_, err := tree.Consistency(n.old, n.size)
		wantFailure(t, "consistency", err, FailMalformed, "the log has no")
	}
	for _, n := range []int64{0, 5} {
		if _, err := tree.Consistency(n, 5); err != nil {
			t.Error(err)
		}
	}
}

func TestTreeView(t *testing.T) {
	for _, tt := range []struct{ size, from, start int64 }{
		{0, -1, 0}, {1, -1, 0}, {255, -1, 0}, {256, -1, 0}, {511, -1, 0}, {512, -1, 256}, {513, -1, 256}, {1200, -1, 768},
		{0, 0, 0}, {1200, 0, 0}, {1200, 256, 256}, {1024, 1024, 1024},
	} {
		v, err := testTree.View(checkpoint(testTree, tt.size), tt.from, nil)
		if err != nil || v.Start != tt.start || int64(len(v.Leaves)) != tt.size-tt.start {
			t.Errorf("%+v: from %d, %d leaves, %v", tt, v.Start, len(v.Leaves), err)
			continue
		}
		if tt.from < 0 && len(v.Leaves) >= 2*Window {
			t.Errorf("%+v: %d leaves", tt, len(v.Leaves))
		}
		if _, err := v.Check(testPolicy, nil, at(0), 0); err != nil {
			t.Errorf("%+v: %v", tt, err)
		}
	}
	good := checkpoint(testTree, 600)
	long := treeOf(MaxLeaves+2, never)
	notNote, notCheckpoint := []byte("text\n"), note([]byte("text\n"), testLog.Signature([]byte("text\n")))
	for _, tt := range []struct {
		name       string
		tree       *Tree
		checkpoint []byte
		from       int64
		entries    []Entry
		detail     string
	}{
		{"no multiple", testTree, good, 255, nil, "can't start there"},
		{"beyond", testTree, good, 768, nil, "can't start there"},
		{"too far back", long, checkpoint(long, MaxLeaves+1), 0, nil, "that far"},
		{"as far as it goes", long, checkpoint(long, MaxLeaves), 0, nil, ""},
		{"another tree", testTree, checkpoint(forkTree, 600), -1, nil, "not one of this tree"},
		{"larger than the tree", treeOf(599, never), good, -1, nil, "not one of this tree"},
		{"no note", testTree, notNote, -1, nil, "a note"},
		{"no checkpoint", testTree, notCheckpoint, -1, nil, "the size of a checkpoint"},
		{"an entry beyond", testTree, good, -1, []Entry{{600, nil}}, "the log has no 600"},
	} {
		failure := FailMalformed
		if tt.detail == "" {
			failure = ""
		}
		_, err := tt.tree.View(tt.checkpoint, tt.from, tt.entries)
		wantFailure(t, tt.name, err, failure, tt.detail)
	}
	_, err := testTree.Proof(checkpoint(forkTree, 600), 1)
	wantFailure(t, "proof", err, FailMalformed, "not one of this tree")
	p := must(testTree.Proof(good, 77))
	c, err := p.Verify(entry(77), testPolicy)
	if err != nil || c.Size != 600 || p.Index != 77 || !slices.Equal(p.Hashes, must(testTree.Inclusion(77, 600))) {
		t.Errorf("%+v, %v", c, err)
	}
}
