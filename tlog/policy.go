// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tlog

import (
	"errors"
	"strconv"
	"strings"
)

// Limits of a policy. The specification asks for 32 of each at least.
const (
	MaxPolicy = 64 << 10 // bytes
	maxLogs   = 32
	maxVoices = 64 // witnesses and groups together
)

// Policy says which logs are believed, which witnesses there are, and how many of
// them are enough (c2sp.org/tlog-policy). The zero Policy believes nothing.
type Policy struct {
	logs   []Member
	voices []voice // in the order of the text
	quorum int     // of voices; -1 for none
}

// Member is a log or a witness of a policy.
type Member struct {
	Name string // of a witness, in the policy; its key has a name of its own
	Key  Key
	URL  string // "" where the policy has none
}

// A voice is a witness, or a group of voices that stand before it.
type voice struct {
	Member
	need    int   // of a group: how many of its members; 0 for a witness
	members []int // of a group
	taken   bool  // is a member of a group
}

// ParsePolicy reads a policy of at least one log. An error names the line.
func ParsePolicy(text string) (Policy, error) {
	if len(text) > MaxPolicy {
		return Policy{}, malformed("a policy is too long")
	}
	p := Policy{quorum: -1}
	quorum := false
	for n := 1; text != ""; n++ {
		var line, what string
		line, text, _ = strings.Cut(text, "\n")
		for i := range len(line) {
			if c := line[i]; c < ' ' && c != '\t' || c == 0x7f {
				what = "a control character"
			}
		}
		f := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
		switch {
		case what != "":
		case len(f) == 0 || f[0][0] == '#':
		case f[0] == "log":
			what = p.addLog(f[1:])
		case f[0] == "witness":
			what = p.addWitness(f[1:])
		case f[0] == "group":
			what = p.addGroup(f[1:])
		case f[0] == "quorum" && !quorum:
			quorum = true
			what = p.setQuorum(f[1:])
		case f[0] == "quorum":
			what = "a second quorum"
		default:
			what = "something else than log, witness, group or quorum"
		}
		if what != "" {
			return Policy{}, malformed("line " + strconv.Itoa(n) + " of a policy has " + what)
		}
	}
	if len(p.logs) == 0 {
		return Policy{}, malformed("a policy names no log")
	}
	if !quorum {
		return Policy{}, malformed("a policy has no quorum line")
	}
	return p, nil
}

// Each of these returns what is wrong with a line, "" for nothing.

func (p *Policy) addLog(f []string) string {
	m := Member{}
	if what := m.read(f, algEd25519); what != "" {
		return what
	}
	for i := range p.logs {
		if p.logs[i].Key.pub == m.Key.pub {
			return twice
		}
	}
	if len(p.logs) == maxLogs {
		return "one log too many"
	}
	p.logs = append(p.logs, m)
	return ""
}

func (p *Policy) addWitness(f []string) string {
	v := voice{}
	if len(f) == 0 {
		return "a witness without a name"
	}
	v.Name = f[0]
	if what := v.read(f[1:], algCosignature); what != "" {
		return what
	}
	for i := range p.voices {
		if p.voices[i].Key.pub == v.Key.pub {
			return twice
		}
	}
	return p.add(v)
}

const twice = "a key for the second time"

// read reads a key of this kind and a URL that may follow it.
func (m *Member) read(f []string, alg byte) string {
	if len(f) == 2 {
		m.URL = f[1]
	} else if len(f) != 1 {
		return "something else than a key, and perhaps a URL, at its end"
	}
	k, err := ParseKey(f[0])
	if err != nil {
		return err.(*Error).Detail
	}
	if k.alg != alg {
		return "a key of another kind: logs have Ed25519 (01), witnesses cosignature/v1 (04)"
	}
	m.Key = k
	return ""
}

func (p *Policy) addGroup(f []string) string {
	if len(f) < 3 {
		return "a group that is not \"group NAME all|any|NUMBER NAME…\""
	}
	v := voice{}
	v.Name = f[0]
	for _, name := range f[2:] {
		i := p.find(name)
		if i < 0 {
			return unknown
		}
		// So each witness counts in one way only.
		if p.voices[i].taken {
			return "a group of somebody who is in a group already"
		}
		p.voices[i].taken = true
		v.members = append(v.members, i)
	}
	switch f[1] {
	case "any":
		v.need = 1
	case "all":
		v.need = len(v.members)
	default:
		k, ok := decodeInt(f[1])
		if !ok || k < 1 || k > int64(len(v.members)) {
			return "a group of which all, any or a number from 1 to its size should be enough"
		}
		v.need = int(k)
	}
	return p.add(v)
}

const unknown = "a name that stands on no line before it"

func (p *Policy) add(v voice) string {
	switch {
	case v.Name == "none":
		return "the name none, which has a meaning already"
	case p.find(v.Name) >= 0:
		return "a name for the second time"
	case len(p.voices) == maxVoices:
		return "one witness or group too many"
	}
	p.voices = append(p.voices, v)
	return ""
}

func (p *Policy) setQuorum(f []string) string {
	if len(f) != 1 {
		return "a quorum that is not one name"
	}
	if p.quorum = p.find(f[0]); p.quorum < 0 && f[0] != "none" {
		return unknown
	}
	return ""
}

// find returns the place of a name, -1 if it has none.
func (p *Policy) find(name string) int {
	for i := range p.voices {
		if p.voices[i].Name == name {
			return i
		}
	}
	return -1
}

// Witnessed reports whether the policy asks for any witness: whether its quorum is
// another than "none".
func (p Policy) Witnessed() bool { return p.quorum >= 0 }

// Shared returns how many witnesses any two quorums of the policy have in common at
// least. So many have to sign two histories before a log can show both, and no more:
// of the honest ones it can show one history to some and the other to the rest. 0
// where two quorums need share nobody, or the policy asks for no witness.
func (p Policy) Shared() int {
	if p.quorum < 0 {
		return 0
	}
	shared := make([]int, len(p.voices))
	for i := range p.voices {
		v := &p.voices[i]
		if v.need == 0 {
			shared[i] = 1
			continue
		}
		// Two choices of its members have 2·need−n in common, at worst those that
		// share the fewest witnesses.
		var least []int
		for _, m := range v.members {
			least = append(least, shared[m])
			for j := len(least) - 1; j > 0 && least[j] < least[j-1]; j-- {
				least[j], least[j-1] = least[j-1], least[j]
			}
		}
		for _, n := range least[:max(0, 2*v.need-len(least))] {
			shared[i] += n
		}
	}
	return shared[p.quorum]
}

// Sound returns what keeps the policy from showing that everybody sees the same
// log, as the rest of a sentence about the log, or nil.
func (p Policy) Sound() error {
	if !p.Witnessed() {
		return errors.New("asks for no witness, so the log could show everybody something else")
	}
	if p.Shared() == 0 {
		return errors.New("takes quorums that have no witness in common, so the log could show everybody something else")
	}
	return nil
}

// Logs returns the logs in the order of the text. They have no names but their
// keys'.
func (p Policy) Logs() []Member { return append([]Member(nil), p.logs...) }

// Witnesses returns the witnesses in the order of the text.
func (p Policy) Witnesses() (ws []Member) {
	for _, v := range p.voices {
		if v.need == 0 {
			ws = append(ws, v.Member)
		}
	}
	return ws
}

// Open reads a checkpoint and checks that a log of the policy signed it, whose
// name is the checkpoint's origin, and that a quorum of witnesses cosigned it.
// Signatures by keys that the policy doesn't know are passed over; one in the
// name of a key that it knows has to be right.
func (p Policy) Open(checkpoint []byte) (Checkpoint, error) {
	n, err := ParseNote(checkpoint)
	if err != nil {
		return Checkpoint{}, err
	}
	c, err := ParseCheckpoint(n.Text)
	if err != nil {
		return Checkpoint{}, err
	}
	logged := false
	for i := range p.logs {
		k := &p.logs[i].Key
		switch _, f := n.by(k); {
		case f == wrong:
			return Checkpoint{}, &Error{FailSignature, "the signature of " + k.name + " is wrong"}
		case f == signed && k.name == c.Origin:
			logged = true
		}
	}
	if !logged {
		return Checkpoint{}, &Error{FailSignature, "no log of the policy signed a checkpoint of " + c.Origin}
	}
	times := make([]int64, len(p.voices)) // when each of them cosigned, -1 if not
	for i := range p.voices {
		v := &p.voices[i]
		if v.need > 0 {
			times[i] = v.time(times)
			continue
		}
		t, f := n.by(&v.Key)
		switch f {
		case wrong:
			return Checkpoint{}, &Error{FailSignature, "the cosignature of " + v.Name + " is wrong"}
		case signed:
			c.Witnesses = append(c.Witnesses, v.Name)
		case absent:
			t = -1
		}
		times[i] = t
	}
	if p.quorum < 0 {
		return c, nil
	}
	if c.Time = times[p.quorum]; c.Time >= 0 {
		return c, nil
	}
	e := &Error{FailWitnessesFew, strconv.Itoa(len(c.Witnesses)) + " witnesses of the policy cosigned, which is not enough"}
	if s := p.stranger(n); s != "" {
		e.Failure = FailWitnessUnknown
		e.Detail += "; " + s + " did too, and the policy doesn't know it"
	}
	return Checkpoint{}, e
}

// time is the newest time at or after which as many members cosigned as the group
// needs, -1 for never.
func (v *voice) time(times []int64) int64 {
	newest := int64(-1)
	for _, m := range v.members {
		n := 0
		for _, o := range v.members {
			if times[o] >= times[m] {
				n++
			}
		}
		if n >= v.need {
			newest = max(newest, times[m])
		}
	}
	return newest
}

// stranger returns the name of a key that the policy doesn't know and that wrote
// what may be a cosignature: a time and a signature at least.
func (p *Policy) stranger(n Note) string {
	for i := range n.Signatures {
		s := &n.Signatures[i]
		known := len(s.Data) < 8+64
		for j := range p.voices {
			known = known || s.of(&p.voices[j].Key)
		}
		if !known {
			return s.Name
		}
	}
	return ""
}
