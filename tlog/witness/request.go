// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package witness

import (
	"bytes"
	"errors"
	"strconv"

	"github.com/sotto-chat/sotto/tlog"
)

// Bounds of a request.
const (
	MaxRequest = 64 << 10 // bytes
	MaxProof   = 63       // hashes of a consistency proof (C2SP tlog-witness, "add-checkpoint")
)

// SizeType is the content type of the size that a witness answers a request with
// whose old size isn't the one it knows (C2SP tlog-witness, "add-checkpoint").
const SizeType = "text/x.tlog.size"

// Request asks a witness to cosign a checkpoint (C2SP tlog-witness,
// "add-checkpoint").
type Request struct {
	Old        int64       // size of the tree that the witness cosigned last, 0 for none
	Proof      []tlog.Hash // that the checkpoint's tree continues that one
	Checkpoint []byte      // signed by the log
}

// Encode returns the body of the request.
func (r Request) Encode() []byte {
	b := []byte("old ")
	b = strconv.AppendInt(b, r.Old, 10)
	b = append(b, '\n')
	for _, h := range r.Proof {
		b = append(b, h.String()+"\n"...)
	}
	b = append(b, '\n')
	return append(b, r.Checkpoint...)
}

// ParseRequest reads the body of a request strictly. The checkpoint is the rest of
// it and not looked into.
func ParseRequest(body []byte) (Request, error) {
	var r Request
	if len(body) > MaxRequest {
		return r, errors.New("the request is too long")
	}
	line, rest, ok := bytes.Cut(body, []byte("\n"))
	text, old := bytes.CutPrefix(line, []byte("old "))
	if !old {
		return r, errors.New("the first line is not \"old SIZE\"")
	}
	var err error
	r.Old, err = size(string(text))
	if err != nil {
		return r, err
	}
	for {
		line, rest, ok = bytes.Cut(rest, []byte("\n"))
		if !ok {
			return r, errors.New("there is no empty line before the checkpoint")
		}
		if len(line) == 0 {
			break
		}
		if len(r.Proof) == MaxProof {
			return r, errors.New("the proof has more than 63 hashes")
		}
		var h tlog.Hash
		if err := h.UnmarshalText(line); err != nil {
			return r, errors.New("a line of the proof is no hash")
		}
		r.Proof = append(r.Proof, h)
	}
	r.Checkpoint = rest
	return r, nil
}

// size reads a size in decimal, without leading zeros.
func size(s string) (int64, error) {
	n, _ := strconv.ParseInt(s, 10, 64) // what it can't read it gives back as something else
	if n < 0 || strconv.FormatInt(n, 10) != s {
		return 0, errors.New("a size is not a decimal number without leading zeros")
	}
	return n, nil
}
