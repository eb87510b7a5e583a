// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package keylog

import (
	"encoding/binary"
	"io"
	"math/bits"
	"strconv"

	"github.com/sotto-chat/sotto/tlog"
)

// What a [Watch] looks at. See docs/threat-model.md for how often it is wrong.
const (
	window = 16 // machines that were drawn last: of them half have to be up
	memory = 64 // machines that were up last: they have to be different ones
	minUp  = 32 // so many before that is looked at
)

// Watch draws the machines that a client asks for, and notices when whoever serves
// them seems to choose. A gateway can't give another machine than was drawn. What
// it can do is to say that one isn't up, again and again, until its own is drawn.
// So a draw stays until it is answered, and too few that are up is a finding of its
// own. The zero Watch has seen nothing. It is for one goroutine at a time.
type Watch struct {
	root    tlog.Hash
	pending []int64
	refused bool

	up    uint16 // of the last draws, one bit each, the newest lowest
	drawn int    // how many bits count
	ids   [memory]string
	met   int   // ids that were up, in all
	size  int64 // of the list
}

// Draw returns up to k places of the list, at most [MaxSample], each as likely as
// any other, rising. It is the same draw until [Watch.Answered] or another list.
func (w *Watch) Draw(n Nodes, k int, rand io.Reader) ([]int64, error) {
	if n.Root == w.root && w.pending != nil {
		return w.pending, nil
	}
	if w.refused {
		// The list has changed over a draw that was never answered.
		for range w.pending {
			w.note(false)
		}
	}
	w.pending, w.refused = nil, false
	k = int(min(int64(k), n.Size, MaxSample))
	var drawn []int64
	for len(drawn) < k {
		i, err := below(n.Size, rand)
		if err != nil {
			return nil, err
		}
		at := 0
		for at < len(drawn) && drawn[at] < i {
			at++
		}
		if at < len(drawn) && drawn[at] == i {
			continue
		}
		drawn = append(drawn, 0)
		copy(drawn[at+1:], drawn[at:])
		drawn[at] = i
	}
	w.root, w.size, w.pending = n.Root, n.Size, drawn
	return drawn, nil
}

// below returns a number from 0 to n-1, each as likely as any other.
func below(n int64, rand io.Reader) (int64, error) {
	mask := uint64(1)<<bits.Len64(uint64(n-1)) - 1
	var b [8]byte
	for {
		if _, err := io.ReadFull(rand, b[:]); err != nil {
			return 0, err
		}
		if i := int64(binary.LittleEndian.Uint64(b[:]) & mask); i < n {
			return i, nil
		}
	}
}

// Answered takes what [ParseSample] returned for the last draw.
func (w *Watch) Answered(sample []Sampled) {
	w.pending, w.refused = nil, false
	for _, s := range sample {
		up := len(s.Bundles) > 0
		w.note(up)
		if up {
			w.ids[w.met%memory] = s.ID
			w.met++
		}
	}
}

// Refused says that the service answered, and not with what was asked for. Where
// the service couldn't be reached at all, nothing is said.
func (w *Watch) Refused() { w.refused = true }

func (w *Watch) note(up bool) {
	w.up <<= 1
	if up {
		w.up |= 1
	}
	w.drawn = min(w.drawn+1, window)
}

// Steered returns [FailSteered] as a [*tlog.Error] where fewer than half of the last
// 16 machines that were drawn are up, or where those that are up are so few
// different ones that chance doesn't do it; else nil.
func (w *Watch) Steered() error {
	if up := bits.OnesCount16(w.up); w.drawn == window && up < window/2 {
		return failure(FailSteered, strconv.Itoa(up)+" of the last "+strconv.Itoa(window)+" machines that were drawn are said to be up")
	}
	n := min(w.met, memory)
	if n < minUp {
		return nil
	}
	different := 0
	for i, id := range w.ids[:n] {
		again := false
		for _, other := range w.ids[:i] {
			again = again || id == other
		}
		if !again {
			different++
		}
	}
	// Of n draws from a list, size·(1−(1−1/size)^n) are different ones on average.
	rest := 1.0
	for range n {
		rest *= 1 - 1/float64(w.size)
	}
	if expected := float64(w.size) * (1 - rest); float64(2*different) < expected {
		return failure(FailSteered, "only "+strconv.Itoa(different)+" different machines were among the last "+strconv.Itoa(n)+" that were up, of a list of "+strconv.FormatInt(w.size, 10))
	}
	return nil
}
