// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tlog

import "strconv"

// Tree holds the hashes of a log, for whoever serves or follows one: 64 bytes for
// each entry. The zero Tree is empty. It isn't safe for writers beside others.
type Tree struct {
	levels [][]Hash // levels[l][i] is the root of entries [i<<l, (i+1)<<l)
}

// Append adds the leaf hash of the next entry.
func (t *Tree) Append(leaf Hash) {
	for l := 0; ; l++ {
		if l == len(t.levels) {
			t.levels = append(t.levels, nil)
		}
		t.levels[l] = append(t.levels[l], leaf)
		n := len(t.levels[l])
		if n&1 == 1 {
			return
		}
		leaf = nodeHash(t.levels[l][n-2], leaf)
	}
}

// Size returns how many entries there are.
func (t *Tree) Size() int64 {
	if len(t.levels) == 0 {
		return 0
	}
	return int64(len(t.levels[0]))
}

// Root returns the root when the tree had that size, which is at most [Tree.Size].
func (t *Tree) Root(size int64) Hash {
	s := stack{size, t.frontier(size)}
	return s.root()
}

// frontier returns the roots of the complete subtrees of the first size entries,
// largest first.
func (t *Tree) frontier(size int64) []Hash {
	hs := []Hash{}
	for l := len(t.levels) - 1; l >= 0; l-- {
		if size>>l&1 == 1 {
			hs = append(hs, t.levels[l][size>>l-1])
		}
	}
	return hs
}

// span returns the root of the entries from lo to hi, of which the first is a
// multiple of a power of two that is at least hi-lo.
func (t *Tree) span(lo, hi int64) Hash {
	s := stack{size: hi - lo}
	for l := len(t.levels) - 1; l >= 0; l-- {
		if s.size>>l&1 == 1 {
			s.roots = append(s.roots, t.levels[l][(lo+s.size>>l<<l)>>l-1])
		}
	}
	return s.root()
}

// Inclusion returns the proof that entry number index is in the tree of that size
// (RFC 9162, section 2.1.3.1).
func (t *Tree) Inclusion(index, size int64) ([]Hash, error) {
	if index < 0 || index >= size || size > t.Size() {
		return nil, outside(index, size)
	}
	return t.path(index, 0, size), nil
}

func (t *Tree) path(index, lo, hi int64) []Hash {
	if hi-lo == 1 {
		return []Hash{}
	}
	if mid := lo + split(hi-lo); index < mid {
		return append(t.path(index, lo, mid), t.span(mid, hi))
	} else {
		return append(t.path(index, mid, hi), t.span(lo, mid))
	}
}

// Consistency returns the proof that the tree of the given size begins with that
// of size old (RFC 9162, section 2.1.4.1).
func (t *Tree) Consistency(old, size int64) ([]Hash, error) {
	if old < 0 || old > size || size > t.Size() {
		return nil, outside(old, size)
	}
	if old == 0 {
		return []Hash{}, nil
	}
	return t.subproof(old, 0, size, true), nil
}

func (t *Tree) subproof(old, lo, hi int64, whole bool) []Hash {
	if old == hi {
		if whole {
			return []Hash{}
		}
		return []Hash{t.span(lo, hi)}
	}
	if mid := lo + split(hi-lo); old <= mid {
		return append(t.subproof(old, lo, mid, whole), t.span(mid, hi))
	} else {
		return append(t.subproof(old, mid, hi, false), t.span(lo, mid))
	}
}

// split returns the largest power of two below n, which is at least 2.
func split(n int64) int64 {
	k := int64(1)
	for k < n-k {
		k <<= 1
	}
	return k
}

func outside(n, size int64) error {
	return malformed("the log has no " + strconv.FormatInt(n, 10) + " of " + strconv.FormatInt(size, 10))
}

// Entry is an entry of a log and where it stands.
type Entry struct {
	Index int64
	Data  []byte
}

// Proof returns the proof of entry number index for a signed checkpoint of the
// tree, which may have grown since.
func (t *Tree) Proof(checkpoint []byte, index int64) (Proof, error) {
	c, err := t.checkpoint(checkpoint)
	if err != nil {
		return Proof{}, err
	}
	hs, err := t.Inclusion(index, c.Size)
	return Proof{Index: index, Hashes: hs, Checkpoint: checkpoint}, err
}

// View returns the view of a signed checkpoint of the tree, with these entries in
// this order. from is what a client asked for, -1 for nothing: the view then starts
// one to two [Window]s before the end.
func (t *Tree) View(checkpoint []byte, from int64, entries []Entry) (View, error) {
	c, err := t.checkpoint(checkpoint)
	if err != nil {
		return View{}, err
	}
	if from < 0 {
		from = max(0, c.Size-Window) / Window * Window
	}
	switch {
	case from%Window != 0 || from > c.Size:
		return View{}, malformed("a view can't start there")
	case c.Size-from > MaxLeaves:
		return View{}, malformed("a view can't reach back that far")
	}
	v := View{Checkpoint: checkpoint, Start: from, Frontier: t.frontier(from)}
	if c.Size > from {
		v.Leaves = t.levels[0][from:c.Size:c.Size]
	}
	for _, e := range entries {
		p, err := t.Proof(checkpoint, e.Index)
		if err != nil {
			return View{}, err
		}
		v.Releases = append(v.Releases, Logged{e.Data, p.Encode()})
	}
	return v, nil
}

// Recent returns the view of a signed checkpoint of the tree that brings these
// entries, which are its last ones, oldest first. It starts as [Tree.View] says, or
// as much earlier as they need.
func (t *Tree) Recent(checkpoint []byte, from int64, entries [][]byte) (View, error) {
	c, err := t.checkpoint(checkpoint)
	if err != nil {
		return View{}, err
	}
	if first := c.Size - int64(len(entries)); from < 0 || from > first {
		from = min(max(0, c.Size-Window), max(0, first)) / Window * Window
	}
	v, err := t.View(checkpoint, from, nil)
	v.Recent = entries
	return v, err
}

// checkpoint reads what a signed checkpoint says, and checks that it is the tree's.
func (t *Tree) checkpoint(signed []byte) (Checkpoint, error) {
	n, err := ParseNote(signed)
	if err != nil {
		return Checkpoint{}, err
	}
	c, err := ParseCheckpoint(n.Text)
	if err != nil {
		return Checkpoint{}, err
	}
	if c.Size > t.Size() || t.Root(c.Size) != c.Root {
		return Checkpoint{}, malformed("the checkpoint is not one of this tree")
	}
	return c, nil
}
