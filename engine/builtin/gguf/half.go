// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package gguf

import "math"

// FromHalf widens an IEEE 754 half-precision number.
func FromHalf(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exp := uint32(h>>10) & 0x1f
	frac := uint32(h & 0x3ff)
	switch exp {
	case 0: // zero and subnormal: frac · 2⁻²⁴
		x := float32(frac) * (1.0 / (1 << 24))
		return math.Float32frombits(math.Float32bits(x) | sign)
	case 0x1f:
		return math.Float32frombits(sign | 0x7f800000 | frac<<13)
	}
	return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
}

// ToHalf rounds to the nearest half-precision number, ties to even, as the
// F16C instructions do.
func ToHalf(x float32) uint16 {
	b := math.Float32bits(x)
	sign := uint16(b>>16) & 0x8000
	b &= 0x7fffffff
	switch {
	case b > 0x7f800000: // not a number
		return sign | 0x7e00
	case b >= 0x47800000: // 65536 and more
		return sign | 0x7c00
	case b < 0x38800000: // below 2⁻¹⁴: subnormal
		// Adding 0.5 puts the half's last bit where float32 rounds.
		r := math.Float32bits(math.Float32frombits(b) + 0.5)
		return sign | uint16(r-0x3f000000)
	}
	b += 0xfff + b>>13&1 // ties to even; may carry into infinity, rightly
	return sign | uint16((b-0x38000000)>>13)
}
