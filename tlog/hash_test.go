// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tlog

import (
	"strconv"
	"testing"
)

// testTree returns a tree of n entries, each its own number.
func testTree(n int) *Tree {
	var t Tree
	for i := range n {
		t.Append(LeafHash([]byte(strconv.Itoa(i))))
	}
	return &t
}

func TestProofsOfAllSizes(t *testing.T) {
	const most = 130
	tree := testTree(most)
	for size := int64(0); size <= most; size++ {
		root := tree.Root(size)
		for i := range size {
			p, err := tree.Inclusion(i, size)
			if err != nil {
				t.Fatal(err)
			}
			if err := VerifyInclusion(i, size, LeafHash([]byte(strconv.Itoa(int(i)))), p, root); err != nil {
				t.Fatalf("%d of %d: %v", i, size, err)
			}
		}
		for old := int64(0); old <= size; old++ {
			p, err := tree.Consistency(old, size)
			if err != nil {
				t.Fatal(err)
			}
			if err := VerifyConsistency(old, size, tree.Root(old), root, p); err != nil {
				t.Fatalf("%d to %d: %v", old, size, err)
			}
		}
	}
}
