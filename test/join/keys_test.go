// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"math"
	mathrand "math/rand/v2"
	"testing"
)

// TestKeyIDsJoin measures what the names of machines on the outside of a request tell
// a gateway: how often two requests of one device, of the same ten minutes, name a
// machine in common, and how often those of two devices do. A device draws three of the
// sixteen machines that it checked last. Where there are few machines the two are alike;
// where there are many, requests of one device can be joined until it draws anew. The
// figures stand in docs/threat-model.md.
func TestKeyIDsJoin(t *testing.T) {
	const checked, named, tries = 16, 3, 20000
	r := mathrand.New(mathrand.NewPCG(5, 6))
	common := func(a, b []int) bool {
		for _, x := range a[:named] {
			for _, y := range b[:named] {
				if x == y {
					return true
				}
			}
		}
		return false
	}
	for machines, want := range map[int][2]float64{16: {0.49, 0.49}, 100: {0.49, 0.09}, 1000: {0.49, 0.01}} {
		own, others := 0.0, 0.0
		for range tries {
			mine, theirs := r.Perm(machines)[:checked], r.Perm(machines)[:checked]
			first := append([]int(nil), mine...)
			r.Shuffle(checked, func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
			if common(first, mine) {
				own++
			}
			if common(first, theirs) {
				others++
			}
		}
		if math.Abs(own/tries-want[0]) > 0.02 || math.Abs(others/tries-want[1]) > 0.02 {
			t.Errorf("of %d machines: one device %.3f, two %.3f, want %v", machines, own/tries, others/tries, want)
		}
	}
}
