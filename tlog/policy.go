// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tlog

import (
	"slices"
	"strings"
)

// Limits of a policy. The specification asks for 32 of each at least.
const (
	MaxPolicy = 64 << 10 // bytes
	maxLogs   = 32
	maxNames  = 64 // witnesses and groups together
)

// Policy says which logs are believed, which witnesses there are, and how many of
// them are enough (c2sp.org/tlog-policy). The zero Policy believes nothing.
type Policy struct {
	logs   []Log
	voices []voice // in the order of the text
	quorum int     // of voices; -1 for none
}

// Log is a "log" line of a policy.
type Log struct {
	Key Key
	URL string // "" where the policy has none
}

// Witness is a "witness" line of a policy.
type Witness struct {
	Name string // in the policy; its key has a name of its own
	Key  Key
	URL  string // "" where the policy has none
}

// A voice is a witness, or a group of voices that stand before it.
type voice struct {
	Witness
	need    int   // of a group: how many of its members; 0 for a witness
	members []int // of a group
	taken   bool  // is a member of a group
}

// ParsePolicy reads a policy of at least one log. An error names the line.
func ParsePolicy(text string) (Policy, error) {
	p := Policy{quorum: -1}
	if len(text) > MaxPolicy {
		return Policy{}, malformed("a policy is too long")
	}
	var quorums int
	for n := 1; text != ""; n++ {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		what := ""
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
		case f[0] == "quorum":
			if quorums++; quorums > 1 {
				what = "a second quorum"
			} else {
				what = p.setQuorum(f[1:])
			}
		default:
			what = "something else than log, witness, group or quorum"
		}
		if what != "" {
			return Policy{}, malformed("line " + itoa(n) + " of a policy has " + what)
		}
	}
	if len(p.logs) == 0 {
		return Policy{}, malformed("a policy names no log")
	}
	if quorums == 0 {
		return Policy{}, malformed("a policy has no quorum line")
	}
	return p, nil
}

func itoa(n int) string {
	var b []byte
	for ; n > 9; n /= 10 {
		b = append(b, byte('0'+n%10))
	}
	b = append(b, byte('0'+n))
	slices.Reverse(b)
	return string(b)
}

// Each of these returns what is wrong with a line, "" for nothing.

func (p *Policy) addLog(f []string) string {
	if len(f) < 1 || len(f) > 2 {
		return "a log that is not \"log KEY [URL]\""
	}
	k, err := ParseKey(f[0])
	if err != nil || k.alg != algEd25519 {
		return "a log without an Ed25519 key (type 01)"
	}
	if slices.ContainsFunc(p.logs, func(l Log) bool { return l.Key.pub == k.pub }) {
		return "a log's key for the second time"
	}
	if len(p.logs) == maxLogs {
		return "one log too many"
	}
	l := Log{Key: k}
	if len(f) == 2 {
		l.URL = f[1]
	}
	p.logs = append(p.logs, l)
	return ""
}

func (p *Policy) addWitness(f []string) string {
	if len(f) < 2 || len(f) > 3 {
		return "a witness that is not \"witness NAME KEY [URL]\""
	}
	k, err := ParseKey(f[1])
	if err != nil || k.alg != algCosignature {
		return "a witness without a cosignature/v1 key (type 04)"
	}
	if slices.ContainsFunc(p.voices, func(v voice) bool { return v.need == 0 && v.Key.pub == k.pub }) {
		return "a witness's key for the second time"
	}
	v := voice{Witness: Witness{Name: f[0], Key: k}}
	if len(f) == 3 {
		v.URL = f[2]
	}
	return p.add(v)
}

func (p *Policy) addGroup(f []string) string {
	if len(f) < 3 {
		return "a group that is not \"group NAME all|any|NUMBER NAME…\""
	}
	v := voice{Witness: Witness{Name: f[0]}}
	for _, name := range f[2:] {
		i := p.find(name)
		if i < 0 {
			return "a group of somebody who stands on no line before it"
		}
		// So each witness counts in one way only.
		if p.voices[i].taken {
			return "a group of somebody who is in a group already"
		}
		p.voices[i].taken = true
		v.members = append(v.members, i)
	}
	n := len(v.members)
	switch f[1] {
	case "any":
		v.need = 1
	case "all":
		v.need = n
	default:
		k, ok := decodeInt(f[1])
		if !ok || k < 1 || k > int64(n) {
			return "a group of which all, any or a number from 1 to its size should be enough"
		}
		v.need = int(k)
	}
	return p.add(v)
}

func (p *Policy) add(v voice) string {
	switch {
	case v.Name == "none":
		return "the name none, which has a meaning already"
	case p.find(v.Name) >= 0:
		return "a name for the second time"
	case len(p.voices) == maxNames:
		return "one witness or group too many"
	}
	p.voices = append(p.voices, v)
	return ""
}

func (p *Policy) setQuorum(f []string) string {
	if len(f) != 1 {
		return "a quorum that is not \"quorum NAME\""
	}
	if f[0] == "none" {
		return ""
	}
	if p.quorum = p.find(f[0]); p.quorum < 0 {
		return "a quorum of somebody who stands on no line before it"
	}
	return ""
}

func (p *Policy) find(name string) int {
	return slices.IndexFunc(p.voices, func(v voice) bool { return v.Name == name })
}

// Logs returns the logs in the order of the text.
func (p Policy) Logs() []Log { return slices.Clone(p.logs) }

// Witnesses returns the witnesses in the order of the text.
func (p Policy) Witnesses() []Witness {
	var ws []Witness
	for _, v := range p.voices {
		if v.need == 0 {
			ws = append(ws, v.Witness)
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
	var logged bool
	for _, l := range p.logs {
		switch _, f := n.by(l.Key); {
		case f == wrong:
			return Checkpoint{}, &Error{FailSignature, "the signature of " + l.Key.name + " is wrong"}
		case f == signed && l.Key.name == c.Origin:
			logged = true
		}
	}
	if !logged {
		return Checkpoint{}, &Error{FailSignature, "no log of the policy signed a checkpoint of " + c.Origin}
	}
	times := make([]int64, len(p.voices)) // when each of them cosigned, -1 if not
	for i, v := range p.voices {
		times[i] = -1
		if v.need > 0 {
			times[i] = v.time(times)
			continue
		}
		switch t, f := n.by(v.Key); f {
		case wrong:
			return Checkpoint{}, &Error{FailSignature, "the cosignature of witness " + v.Name + " is wrong"}
		case signed:
			times[i] = t
			c.Witnesses = append(c.Witnesses, v.Name)
		}
	}
	if p.quorum < 0 {
		return c, nil
	}
	if c.Time = times[p.quorum]; c.Time >= 0 {
		return c, nil
	}
	had := itoa(len(c.Witnesses)) + " witnesses of the policy cosigned, which is not enough"
	if s := p.stranger(n); s != "" {
		return Checkpoint{}, &Error{FailWitnessUnknown, had + "; " + s + " did too, and the policy doesn't know it"}
	}
	return Checkpoint{}, &Error{FailWitnessesFew, had}
}

// time is the newest time at or after which as many members cosigned as the group
// needs, -1 for never.
func (v voice) time(times []int64) int64 {
	ts := make([]int64, len(v.members))
	for i, m := range v.members {
		ts[i] = times[m]
	}
	slices.Sort(ts)
	return ts[len(ts)-v.need]
}

// stranger returns the name of a key that the policy doesn't know and that wrote
// what may be a cosignature: a time and a signature at least.
func (p Policy) stranger(n Note) string {
	for _, s := range n.Signatures {
		known := slices.ContainsFunc(p.voices, func(v voice) bool {
			return v.Key.name == s.Name && v.Key.id == s.KeyID
		})
		if len(s.Data) >= 72 && !known {
			return s.Name
		}
	}
	return ""
}
