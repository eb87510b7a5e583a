// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tlog

import (
	"crypto/sha256"
	"encoding/base64"
	"math/bits"
)

// Hash is a SHA-256 hash of an entry, a part of the tree, or the whole tree. In
// text and JSON it is standard base64.
type Hash [32]byte

// String returns h in standard base64.
func (h Hash) String() string { return base64.StdEncoding.EncodeToString(h[:]) }

// MarshalText implements encoding.TextMarshaler.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. It takes the one encoding of
// 32 bytes in standard base64.
func (h *Hash) UnmarshalText(text []byte) error {
	x, ok := parseHash(string(text))
	if !ok {
		return malformed("a hash is not 32 bytes in base64")
	}
	*h = x
	return nil
}

func parseHash(s string) (h Hash, ok bool) {
	b, _ := decode64(s)
	if len(b) != len(h) {
		return h, false
	}
	return Hash(b), true
}

// LeafHash returns the hash of an entry: SHA-256(0x00 ‖ entry), RFC 9162, section
// 2.1.1.
func LeafHash(entry []byte) (h Hash) {
	s := sha256.New()
	s.Write([]byte{0})
	s.Write(entry)
	s.Sum(h[:0])
	return h
}

// EmptyRoot returns the root of a tree without entries, SHA-256("").
func EmptyRoot() Hash { return sha256.Sum256(nil) }

// nodeHash is SHA-256(0x01 ‖ left ‖ right). The first byte keeps anybody from
// passing two hashes off as an entry.
func nodeHash(left, right Hash) Hash {
	var b [65]byte
	b[0] = 1
	copy(b[1:], left[:])
	copy(b[33:], right[:])
	return sha256.Sum256(b[:])
}

// VerifyInclusion checks that the entry with the leaf hash leaf is entry number
// index, from 0, of the tree of the given size and root (RFC 9162, section
// 2.1.3.2). A proof that doesn't show it is [FailUnlogged].
func VerifyInclusion(index, size int64, leaf Hash, proof []Hash, root Hash) error {
	if index < 0 || index >= size {
		return &Error{FailUnlogged, "the tree has no entry with this number"}
	}
	// Up to where the ways of the entry and of the last entry meet, the proof has a
	// hash for each level; above, for each time that the entry's way comes from the
	// right.
	inner := bits.Len64(uint64(index ^ (size - 1)))
	if len(proof) != inner+bits.OnesCount64(uint64(index)>>inner) {
		return &Error{FailUnlogged, "the proof has another length than this tree's"}
	}
	h := leaf
	for level, p := range proof {
		if level >= inner || index>>level&1 == 1 {
			h = nodeHash(p, h)
		} else {
			h = nodeHash(h, p)
		}
	}
	if h != root {
		return &Error{FailUnlogged, "the proof leads from the entry to another root"}
	}
	return nil
}

// VerifyConsistency checks that the tree of the given size and root begins with
// all the entries of the tree of size old and root oldRoot (RFC 9162, section
// 2.1.4.2). A proof that doesn't show it is [FailSplitView]. Of an empty old tree
// the proof is empty: everything grows out of nothing.
func VerifyConsistency(old, size int64, oldRoot, root Hash, proof []Hash) error {
	wrong := func(what string) error { return &Error{FailSplitView, what} }
	switch {
	case old < 0 || size < old:
		return wrong("the tree is smaller than the one before")
	case old == 0:
		if oldRoot != EmptyRoot() || len(proof) != 0 {
			return wrong("the empty tree has one root and needs no proof")
		}
		if size == 0 && root != oldRoot {
			return wrong("two roots of the empty tree")
		}
		return nil
	case old == size:
		if oldRoot != root || len(proof) != 0 {
			return wrong("two roots of one size")
		}
		return nil
	}
	// The largest complete subtree at the right edge of the old tree is where both
	// trees are put together from. If it is the whole old tree, its hash is known.
	shift := bits.TrailingZeros64(uint64(old))
	from, rest := oldRoot, proof
	if old != 1<<shift {
		if len(proof) == 0 {
			return wrong("the proof has another length than these trees'")
		}
		from, rest = proof[0], proof[1:]
	}
	index := uint64(old-1) >> shift // of that subtree, among those of its size
	last := uint64(size-1) >> shift
	inner := bits.Len64(index ^ last)
	if len(rest) != inner+bits.OnesCount64(index>>inner) {
		return wrong("the proof has another length than these trees'")
	}
	was, is := from, from
	for level, p := range rest {
		if level >= inner || index>>level&1 == 1 {
			was, is = nodeHash(p, was), nodeHash(p, is)
		} else {
			is = nodeHash(is, p)
		}
	}
	if was != oldRoot || is != root {
		return wrong("the proof leads to another root")
	}
	return nil
}

// A stack is the roots of the complete subtrees that cover the first size
// entries, largest first, as many as size has ones in binary.
type stack struct {
	size  int64
	roots []Hash
}

// push adds one entry.
func (s *stack) push(leaf Hash) {
	// Each one at the end of size is a subtree that the new one completes.
	for n := s.size; n&1 == 1; n >>= 1 {
		leaf = nodeHash(s.roots[len(s.roots)-1], leaf)
		s.roots = s.roots[:len(s.roots)-1]
	}
	s.roots = append(s.roots, leaf)
	s.size++
}

// root returns the root of the whole tree.
func (s *stack) root() Hash {
	if len(s.roots) == 0 {
		return EmptyRoot()
	}
	h := s.roots[len(s.roots)-1]
	for i := len(s.roots) - 2; i >= 0; i-- {
		h = nodeHash(s.roots[i], h)
	}
	return h
}
