// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tlog

import (
	"encoding/base64"
	"strconv"
	"strings"
)

// Limits of a proof.
const (
	MaxProof  = 128 << 10 // bytes
	maxHashes = 63        // of the way from an entry to the root of a tree of 2^63-1
)

const proofHeader = "c2sp.org/tlog-proof@v1\n"

// Proof shows that an entry is in a log (c2sp.org/tlog-proof).
type Proof struct {
	Index      int64  // of the entry, from 0
	Hashes     []Hash // from the entry's sibling to the root's child
	Checkpoint []byte // signed note
	Extra      []byte // what somebody added; nobody vouches for it
}

// ParseProof reads the text of a proof. It doesn't look into the checkpoint.
func ParseProof(text []byte) (Proof, error) {
	var p Proof
	if len(text) > MaxProof {
		return Proof{}, malformed("a proof is too long")
	}
	s, ok := strings.CutPrefix(string(text), proofHeader)
	if !ok {
		return Proof{}, malformed("a proof doesn't begin with " + proofHeader[:len(proofHeader)-1])
	}
	line, rest, _ := strings.Cut(s, "\n")
	if extra, has := strings.CutPrefix(line, "extra "); has {
		if p.Extra, ok = decode64(extra); !ok {
			return Proof{}, malformed("the extra line of a proof is not base64")
		}
		line, rest, _ = strings.Cut(rest, "\n")
	}
	index, ok := strings.CutPrefix(line, "index ")
	if ok {
		p.Index, ok = decodeInt(index)
	}
	if !ok {
		return Proof{}, malformed("a proof has no index line")
	}
	for {
		line, rest, ok = strings.Cut(rest, "\n")
		if !ok {
			return Proof{}, malformed("a proof has no empty line before its checkpoint")
		}
		if line == "" {
			break
		}
		if len(p.Hashes) == maxHashes {
			return Proof{}, malformed("a proof has too many hashes")
		}
		h, ok := parseHash(line)
		if !ok {
			return Proof{}, malformed("a line of a proof is not a hash")
		}
		p.Hashes = append(p.Hashes, h)
	}
	p.Checkpoint = []byte(rest)
	return p, nil
}

// Encode returns the text of the proof, in its one encoding.
func (p Proof) Encode() []byte {
	b := []byte(proofHeader)
	if len(p.Extra) > 0 {
		b = append(b, "extra "...)
		b = base64.StdEncoding.AppendEncode(b, p.Extra)
		b = append(b, '\n')
	}
	b = append(b, "index "...)
	b = strconv.AppendInt(b, p.Index, 10)
	b = append(b, '\n')
	for _, h := range p.Hashes {
		b = append(b, h.String()+"\n"...)
	}
	b = append(b, '\n')
	return append(b, p.Checkpoint...)
}

// Verify checks that the policy accepts the checkpoint of the proof, and that the
// entry is in the log that it is of.
func (p Proof) Verify(entry []byte, policy Policy) (Checkpoint, error) {
	c, err := policy.Open(p.Checkpoint)
	if err != nil {
		return Checkpoint{}, err
	}
	if err := VerifyInclusion(p.Index, c.Size, LeafHash(entry), p.Hashes, c.Root); err != nil {
		return Checkpoint{}, err
	}
	return c, nil
}
