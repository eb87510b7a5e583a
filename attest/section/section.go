// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package section is the container of a platform's evidence: the report that
// the hardware signed, beside the certificates, lists and logs that it takes to
// judge it (spec/evidence.md, "Sections").
//
// A container is a run of sections:
//
//	kind [1] ‖ length [4, big-endian] ‖ bytes [length]
//
// Kinds never decrease, no section is empty, and nothing follows the last one.
// So the same sections have one encoding only, but for the order of those of
// one kind, which counts.
package section

import (
	"encoding/binary"
	"errors"
	"strconv"

	"github.com/sotto-chat/sotto/attest/section/write"
)

// MaxSections is the most that a container may hold, of all kinds together.
const MaxSections = 128

const headSize = 5

// Rule says how often a kind may stand in a container and how long it may be.
type Rule struct {
	Kind     byte
	Name     string // for errors: "report", "certificate"
	Min, Max int    // how many
	MaxLen   int    // bytes of each
}

// Sections is an opened container. Its bytes are those that [Parse] was given.
type Sections struct {
	kinds []byte
	data  [][]byte
}

// Parse opens a container whose sections keep the rules, and refuses all
// others. It allocates nothing by a length that it was told.
func Parse(data []byte, rules []Rule) (Sections, error) {
	var s Sections
	last := byte(0)
	for len(data) > 0 {
		if len(data) < headSize {
			return Sections{}, errors.New("a section's head is cut off")
		}
		kind, n := data[0], uint64(binary.BigEndian.Uint32(data[1:headSize]))
		data = data[headSize:]
		r := ruleOf(rules, kind)
		switch {
		case r == nil:
			return Sections{}, errors.New("there is a section of kind " + strconv.Itoa(int(kind)) + ", which is not known")
		case kind < last:
			return Sections{}, errors.New("the sections are out of order")
		case n == 0:
			return Sections{}, errors.New("the section “" + r.Name + "” is empty")
		case n > uint64(r.MaxLen):
			return Sections{}, errors.New("the section “" + r.Name + "” is longer than " + strconv.Itoa(r.MaxLen) + " bytes")
		case n > uint64(len(data)):
			return Sections{}, errors.New("the section “" + r.Name + "” is cut off")
		case len(s.kinds) == MaxSections:
			return Sections{}, errors.New("there are more than " + strconv.Itoa(MaxSections) + " sections")
		}
		s.kinds = append(s.kinds, kind)
		s.data = append(s.data, data[:n:n])
		data, last = data[n:], kind
	}
	for i := range rules {
		r := &rules[i]
		switch n := s.count(r.Kind); {
		case n < r.Min:
			return Sections{}, errors.New("a section “" + r.Name + "” is missing")
		case n > r.Max:
			return Sections{}, errors.New("there are more than " + strconv.Itoa(r.Max) + " sections “" + r.Name + "”")
		}
	}
	return s, nil
}

func ruleOf(rules []Rule, kind byte) *Rule {
	for i := range rules {
		if rules[i].Kind == kind {
			return &rules[i]
		}
	}
	return nil
}

func (s Sections) count(kind byte) (n int) {
	for _, k := range s.kinds {
		if k == kind {
			n++
		}
	}
	return n
}

// One returns the first section of a kind, or nil. The caller must not change it.
func (s Sections) One(kind byte) []byte {
	for i, k := range s.kinds {
		if k == kind {
			return s.data[i]
		}
	}
	return nil
}

// All returns the sections of a kind in their order. The caller must not change
// them.
func (s Sections) All(kind byte) [][]byte {
	var out [][]byte
	for i, k := range s.kinds {
		if k == kind {
			out = append(out, s.data[i])
		}
	}
	return out
}

// Append is [write.Append].
func Append(dst []byte, kind byte, data []byte) []byte { return write.Append(dst, kind, data) }
