// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package rule is the half of package section that writes: how a container is put
// together, and the rules that one keeps. A program inside a machine opens none,
// so it links this half only.
package rule

import "encoding/binary"

// Rule says how often a kind may stand in a container and how long it may be.
type Rule struct {
	Kind     byte
	Name     string // for errors: "report", "certificate"
	Min, Max int    // how many
	MaxLen   int    // bytes of each
}

// Append appends a section to a container. The caller appends kinds in order;
// an empty section is left out, since a container can't hold one.
func Append(dst []byte, kind byte, data []byte) []byte {
	if len(data) == 0 {
		return dst
	}
	dst = append(dst, kind)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(data)))
	return append(dst, data...)
}
