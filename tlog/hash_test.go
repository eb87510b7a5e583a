// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tlog

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"slices"
	"testing"
)

// The tree that implementations of RFC 6962 compare themselves by.
func TestKnownRoots(t *testing.T) {
	entries := []string{"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"}
	roots := []string{
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
		"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
		"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
		"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
		"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
		"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
		"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
	}
	var tree Tree
	for i, want := range roots {
		if i > 0 {
			tree.Append(LeafHash(must(hex.DecodeString(entries[i-1]))))
		}
		if got := tree.Root(int64(i)); hex.EncodeToString(got[:]) != want {
			t.Errorf("%d entries: %x", i, got)
		}
	}
}

func allRoots(n int64) (roots []Hash) {
	for size := range n {
		roots = append(roots, testTree.Root(size))
	}
	return roots
}

// Every proof of every size is right, and nothing else is right in its place.
func TestInclusionOfAllSizes(t *testing.T) {
	roots := allRoots(132)
	for size := int64(0); size <= 130; size++ {
		root := roots[size]
		for i := range size {
			p := must(testTree.Inclusion(i, size))
			leaf := LeafHash(entry(i))
			wantFailure(t, "good", VerifyInclusion(i, size, leaf, p, root), "", "")
			if size > 20 && (size+i)%41 != 0 {
				continue
			}
			for n := range size + 2 {
				if n != i && VerifyInclusion(n, size, leaf, p, root) == nil {
					t.Fatalf("the proof of %d of %d shows %d", i, size, n)
				}
				// The proof is also good for a larger tree of the same shape above the
				// entry, but never for a root that isn't this one.
				if n != size && VerifyInclusion(i, n, leaf, p, roots[n]) == nil {
					t.Fatalf("the proof of %d of %d shows it of %d", i, size, n)
				}
			}
			wantFailure(t, "other entry", VerifyInclusion(i, size, LeafHash(entry(i+1)), p, root), FailUnlogged, "another root")
			wantFailure(t, "longer", VerifyInclusion(i, size, leaf, append(slices.Clone(p), Hash{}), root), FailUnlogged, "length")
			if len(p) > 0 {
				wantFailure(t, "shorter", VerifyInclusion(i, size, leaf, p[:len(p)-1], root), FailUnlogged, "length")
			}
			for k := range p {
				changed := slices.Clone(p)
				changed[k][k%32] ^= 1
				wantFailure(t, "changed", VerifyInclusion(i, size, leaf, changed, root), FailUnlogged, "another root")
			}
		}
	}
	for _, n := range []struct{ index, size int64 }{{0, 0}, {-1, 1}, {1, 1}, {math.MinInt64, math.MinInt64}, {-1, math.MinInt64}, {math.MaxInt64, math.MaxInt64}, {0, -1}} {
		wantFailure(t, "outside", VerifyInclusion(n.index, n.size, Hash{}, nil, Hash{}), FailUnlogged, "no entry with this number")
	}
}

func TestConsistencyOfAllSizes(t *testing.T) {
	roots := allRoots(132)
	for size := int64(0); size <= 130; size++ {
		root := roots[size]
		for old := range size + 1 {
			p := must(testTree.Consistency(old, size))
			was := roots[old]
			wantFailure(t, "good", VerifyConsistency(old, size, was, root, p), "", "")
			if size > 20 && (size+old)%41 != 0 {
				continue
			}
			wantFailure(t, "longer", VerifyConsistency(old, size, was, root, append(slices.Clone(p), Hash{})), FailSplitView, "")
			if len(p) > 0 {
				wantFailure(t, "shorter", VerifyConsistency(old, size, was, root, p[:len(p)-1]), FailSplitView, "length")
			}
			wantFailure(t, "other old root", VerifyConsistency(old, size, Hash{}, root, p), FailSplitView, "")
			if old > 0 {
				wantFailure(t, "other root", VerifyConsistency(old, size, was, Hash{}, p), FailSplitView, "")
			}
			for k := range p {
				changed := slices.Clone(p)
				changed[k][k%32] ^= 1
				wantFailure(t, "changed", VerifyConsistency(old, size, was, root, changed), FailSplitView, "another root")
			}
			for n := range size {
				if n != old && VerifyConsistency(n, size, roots[n], root, p) == nil && n > 0 {
					t.Fatalf("the proof from %d to %d shows %d", old, size, n)
				}
			}
		}
	}
}

// Each of the special cases of a consistency proof, and its mirror.
func TestConsistencyAtTheEdges(t *testing.T) {
	empty, one := EmptyRoot(), testTree.Root(1)
	two, three := testTree.Root(2), testTree.Root(3)
	toTwo := must(testTree.Consistency(1, 2))
	for _, tt := range []struct {
		name      string
		old, size int64
		was, is   Hash
		proof     []Hash
		detail    string // "" for a good proof
	}{
		{"empty to empty", 0, 0, empty, empty, nil, ""},
		{"empty to something", 0, 7, empty, Hash{7}, nil, ""},
		{"another empty root", 0, 7, Hash{1}, Hash{7}, nil, "needs no proof"},
		{"a proof for nothing", 0, 7, empty, Hash{7}, []Hash{{}}, "needs no proof"},
		{"two empty roots", 0, 0, empty, Hash{1}, nil, "two roots"},
		{"same size", 2, 2, two, two, nil, ""},
		{"same size, other root", 2, 2, two, three, nil, "two roots of one size"},
		{"same size, a proof", 2, 2, two, two, []Hash{{}}, "two roots of one size"},
		{"smaller", 3, 2, three, two, nil, "smaller"},
		{"negative", -1, 2, empty, two, nil, "smaller"},
		{"the least", math.MinInt64, math.MinInt64, empty, empty, nil, "smaller"},
		{"one to two", 1, 2, one, two, toTwo, ""},
		{"no proof", 3, 4, three, two, nil, "length"},
		{"the largest", 1, math.MaxInt64, one, two, make([]Hash, 63), "another root"},
		{"other old root in a whole subtree", 2, 3, one, three, []Hash{LeafHash(entry(2))}, "another root"},
	} {
		failure := FailSplitView
		if tt.detail == "" {
			failure = ""
		}
		wantFailure(t, tt.name, VerifyConsistency(tt.old, tt.size, tt.was, tt.is, tt.proof), failure, tt.detail)
	}
}

func TestHashText(t *testing.T) {
	h := LeafHash(nil)
	doc := must(json.Marshal(h))
	var back Hash
	if err := json.Unmarshal(doc, &back); err != nil || back != h || string(doc) != `"bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0="` {
		t.Errorf("%s: %v, %v", doc, back, err)
	}
	for _, text := range []string{
		"", "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0", "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB1=",
		"bjQLnP-zepicpUTmu3gKLHiQHT-zNzh2hRGjBhevoB0=", "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoA==",
		"bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0\n", "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0dHR0d", "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=AA==",
		"bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0d",
	} {
		wantFailure(t, text, back.UnmarshalText([]byte(text)), FailMalformed, "32 bytes")
	}
	if back != h {
		t.Error("a hash that couldn't be read changed what was there")
	}
}
