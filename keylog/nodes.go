// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package keylog

import (
	"bytes"
	"encoding/json"
	"sort"
	"strconv"

	"github.com/sotto-chat/sotto/tlog"
)

// Limits of an answer about machines, which comes from a stranger.
const (
	MaxSample  = 16       // machines that can be asked for at once
	MaxAnswer  = 16 << 20 // bytes
	maxBundles = 4        // of each machine
	maxCommas  = 1 << 14
	maxProof   = 20 // hashes: of a list of MaxNodes
	idSize     = 32 // hex digits of a machine's id
)

// Sampled is a machine of the list, at its place.
type Sampled struct {
	Index   int64
	ID      string
	Bundles [][]byte // evidence, of which nothing is judged; none where the machine is said not to be up
}

type sampleJSON struct {
	V     int           `json:"v"`
	Size  int64         `json:"size"`
	Root  tlog.Hash     `json:"root"`
	Nodes []sampledJSON `json:"nodes"`
}

type sampledJSON struct {
	Index   int64       `json:"index"`
	ID      string      `json:"id"`
	Proof   []tlog.Hash `json:"proof"`
	Bundles [][]byte    `json:"bundles"`
}

// ParseSample reads the answer to GET /sotto/v1/nodes?at=… and checks that it holds
// each machine that was asked for and no other, in that order, at its place on the
// list n. Errors are a [*tlog.Error]: [FailOtherList] where it is of another list,
// for which the client looks at the log once more; [FailUnlisted]; [FailMalformed].
func ParseSample(answer []byte, n Nodes, asked []int64) ([]Sampled, error) {
	if len(answer) > MaxAnswer || bytes.Count(answer, []byte{','}) > maxCommas {
		return nil, malformed("an answer about machines is too long")
	}
	var j sampleJSON
	if json.Unmarshal(answer, &j) != nil || j.V != 1 {
		return nil, malformed("an answer about machines is not the expected JSON")
	}
	if j.Size != n.Size || j.Root != n.Root {
		return nil, failure(FailOtherList, "it is about a list of "+strconv.FormatInt(j.Size, 10)+" machines, and the log's newest has "+strconv.FormatInt(n.Size, 10))
	}
	if len(j.Nodes) != len(asked) {
		return nil, malformed("an answer about machines has " + strconv.Itoa(len(j.Nodes)) + " of them, and " + strconv.Itoa(len(asked)) + " were asked for")
	}
	var out []Sampled
	for i, s := range j.Nodes {
		if s.Index != asked[i] {
			return nil, failure(FailUnlisted, "it has machine "+strconv.FormatInt(s.Index, 10)+" of the list where "+strconv.FormatInt(asked[i], 10)+" was asked for")
		}
		if !nodeID(s.ID) || len(s.Bundles) > maxBundles {
			return nil, malformed("an answer about machines has something else than an id and its evidence")
		}
		if tlog.VerifyInclusion(s.Index, n.Size, tlog.LeafHash([]byte(s.ID)), s.Proof, n.Root) != nil {
			return nil, failure(FailUnlisted, "the proof doesn't lead from the machine at "+strconv.FormatInt(s.Index, 10)+" to the list in the log")
		}
		out = append(out, Sampled{s.Index, s.ID, s.Bundles})
	}
	return out, nil
}

// nodeID reports whether s is the id of a machine: 32 lower-case hex digits.
func nodeID(s string) bool { return len(s) == idSize && lowerHex(s) }

// List is a list of machines with its tree, for whoever states or serves it.
type List struct {
	ids  []string
	tree tlog.Tree
}

// NewList makes the list of these ids, in any order. It refuses what is no id, an
// id that stands there twice, and more than [MaxNodes].
func NewList(ids []string) (*List, error) {
	if len(ids) > MaxNodes {
		return nil, malformed("a list has more than " + strconv.Itoa(MaxNodes) + " machines")
	}
	l := &List{ids: append([]string(nil), ids...)}
	sort.Strings(l.ids)
	for i, id := range l.ids {
		if !nodeID(id) {
			return nil, malformed("the id of a machine is not 32 lower-case hex digits")
		}
		if i > 0 && id == l.ids[i-1] {
			return nil, malformed("a machine stands on the list twice")
		}
		l.tree.Append(tlog.LeafHash([]byte(id)))
	}
	return l, nil
}

// IDs returns the ids, rising. They are not to be changed.
func (l *List) IDs() []string { return l.ids }

// Size returns how many machines there are.
func (l *List) Size() int64 { return int64(len(l.ids)) }

// Root returns what a statement says of the list.
func (l *List) Root() tlog.Hash { return l.tree.Root(l.Size()) }

// Proof returns the proof of the machine at a place of the list, which is below
// [List.Size].
func (l *List) Proof(index int64) ([]tlog.Hash, error) { return l.tree.Inclusion(index, l.Size()) }
