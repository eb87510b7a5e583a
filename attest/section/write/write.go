// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package write is the half of package section that writes: how a container is put
// together. A program inside a machine opens none, so it links this half only.
package write

import "encoding/binary"

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
