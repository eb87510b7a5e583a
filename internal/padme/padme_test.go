// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package padme

import (
	"math/bits"
	"testing"
)

func TestSize(t *testing.T) {
	for n, want := range map[int]int{1: 1, 2: 2, 3: 3, 8: 8, 9: 10, 10: 10, 11: 12, 12: 12} {
		if got := Size(n); got != want {
			t.Errorf("Size(%d) = %d, want %d", n, got, want)
		}
	}
	last := 0
	for n := 2; n <= 1<<18; n++ {
		p := Size(n)
		if p < n || p < last || Size(p) != p || (p-n)*100 >= 12*n {
			t.Fatalf("Size(%d) = %d", n, p)
		}
		// By definition: as few mantissa bits as write the exponent.
		if e := bits.Len(uint(p)) - 1; p%(1<<(e-bits.Len(uint(e)))) != 0 {
			t.Fatalf("Size(%d) = %d is no Padmé size", n, p)
		}
		last = p
	}
}
