// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package padme rounds sizes so that they tell little of what has them: Padmé,
// of Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and
// Communication with PURBs", PETS 2019. Requests, bulk answers and the records
// of a vault are padded by it.
package padme

import "math/bits"

// Size returns n rounded up so that its binary form has no more significant
// bits in the mantissa than are needed to write its exponent. That adds less
// than 12 % and leaves an observer O(log log n) bits; Size(Size(n)) is Size(n).
// n is at least 1.
func Size(n int) int {
	if n < 2 {
		return n
	}
	e := bits.Len(uint(n)) - 1 // floor(log2 n)
	s := bits.Len(uint(e))     // floor(log2 e) + 1
	mask := 1<<(e-s) - 1
	return (n + mask) &^ mask
}
