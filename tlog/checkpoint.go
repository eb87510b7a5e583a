// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tlog

import (
	"strconv"
	"strings"
)

// Checkpoint is a log's state at one size, as a log and a quorum of witnesses
// signed it. [Policy.Open] makes one; [ParseCheckpoint] reads what was signed and
// checks no signature.
type Checkpoint struct {
	Origin string // the name of the log
	Size   int64  // entries
	Root   Hash   // of the tree of all of them

	// Time is the quorum's time in Unix seconds: the newest moment at or after which
	// a quorum cosigned. 0 where the policy asks for no witness.
	Time int64
	// Witnesses are the names, in the policy, of those who cosigned, in its order.
	Witnesses []string
}

// ParseCheckpoint reads the text of a checkpoint (c2sp.org/tlog-checkpoint), as
// it stands in [Note.Text]. Extension lines are passed over.
func ParseCheckpoint(text []byte) (Checkpoint, error) {
	s := string(text)
	if !strings.HasSuffix(s, "\n") || strings.Contains("\n"+s, "\n\n") {
		return Checkpoint{}, malformed("a checkpoint has an empty line, or no end")
	}
	var c Checkpoint
	c.Origin, s, _ = strings.Cut(s, "\n")
	size, s, _ := strings.Cut(s, "\n")
	root, _, _ := strings.Cut(s, "\n")
	var ok bool
	if c.Size, ok = decodeInt(size); !ok {
		return Checkpoint{}, malformed("the size of a checkpoint is not a number")
	}
	if c.Root, ok = parseHash(root); !ok {
		return Checkpoint{}, malformed("the root of a checkpoint is not a hash")
	}
	return c, nil
}

// Text returns the text of the checkpoint: what a log signs.
func (c Checkpoint) Text() []byte {
	return []byte(c.Origin + "\n" + strconv.FormatInt(c.Size, 10) + "\n" + c.Root.String() + "\n")
}
