// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tlog

import (
	"fmt"
	"math/bits"
	"reflect"
	"strings"
	"testing"
)

func TestParsePolicy(t *testing.T) {
	log, one, two := testLog.Key().String(), w1.Key().String(), w2.Key().String()
	l, a, b := "log "+log+"\n", "witness a "+one+"\n", "witness b "+two+"\n"
	// Many keys, each another.
	var logs, witnesses, groups []string
	for i := range maxVoices + 1 {
		name := fmt.Sprint("n", i)
		s, c := must(NewSigner(name, seed(name))), must(NewCosigner(name, seed(name)))
		logs = append(logs, "log "+s.Key().String()+"\n")
		witnesses = append(witnesses, "witness "+name+" "+c.Key().String()+"\n")
		groups = append(groups, fmt.Sprintf("group g%d any n%d\n", i, i))
	}
	lines := func(list []string, n int) string { return strings.Join(list[:n], "") }
	for _, tt := range []struct{ name, text, detail string }{
		{"good", policyText(testPolicyEnd), ""},
		{"no witness", l + "quorum none\n", ""},
		{"one witness", l + a + "quorum a\n", ""},
		{"a witness who isn't asked", l + a + "quorum none\n", ""},
		{"no newline at the end", l + "quorum none", ""},
		{"spaces and tabs", "\t log \t" + log + " \n \t\n  quorum\tnone ", ""},
		{"comments", "# log nothing\n \t#\n" + l + "#\nquorum none\n#", ""},
		{"quorum first", "quorum none\n" + l, ""},
		{"names of all bytes", l + "witness \xff\x80 " + one + " \xc3(\nquorum \xff\x80\n", ""},
		{"keywords as names", l + "witness any " + one + "\nwitness log " + two + "\ngroup all all any log\nquorum all\n", ""},
		{"any", l + a + b + "group g any a b\nquorum g\n", ""},
		{"one of two", l + a + b + "group g 1 a b\nquorum g\n", ""},
		{"two of two", l + a + b + "group g 2 a b\nquorum g\n", ""},
		{"groups of groups", l + a + b + "group g any a\ngroup h any b\ngroup i all g h\nquorum h\n", ""},
		{"two logs with one name", l + "log " + ghostLog.Key().String() + "\nquorum none\n", ""},
		{"as many logs as there may be", lines(logs, 32) + "quorum none\n", ""},
		{"as many witnesses as there may be", l + lines(witnesses, 64) + "quorum none\n", ""},
		{"as many of both", l + lines(witnesses, 32) + lines(groups, 32) + "quorum none\n", ""},
		{"as long as it may be", l + "quorum none\n#" + strings.Repeat("x", MaxPolicy-len(l)-13), ""},
		{"too long", l + "quorum none\n#" + strings.Repeat("x", MaxPolicy-len(l)-12), "too long"},

		{"empty", "", "names no log"},
		{"no log", a + "quorum a\n", "names no log"},
		{"no quorum", l + a, "no quorum line"},
		{"two quorums", l + a + "quorum a\nquorum a\n", "line 4 of a policy has a second quorum"},
		{"two quorums of none", l + "quorum none\nquorum none\n", "line 3 of a policy has a second quorum"},
		{"another keyword", l + "cosigner\nquorum none\n", "line 2 of a policy has something else"},
		{"capitals", "Log " + log + "\nquorum none\n", "line 1 of a policy has something else"},
		{"carriage return", "log " + log + "\r\nquorum none\n", "line 1 of a policy has a control character"},
		{"control character in a comment", l + "quorum none\n# \x00", "line 3 of a policy has a control character"},
		{"delete", l + "# \x7f\nquorum none\n", "line 2 of a policy has a control character"},

		{"log without a key", "log\nquorum none\n", "line 1 of a policy has something else than a key"},
		{"log with too much", "log " + log + " a b\nquorum none\n", "line 1 of a policy has something else than a key"},
		{"log with a wrong key", "log " + log + "x\nquorum none\n", "line 1 of a policy has a key is not"},
		{"log with a witness's key", "log " + one + "\nquorum none\n", "line 1 of a policy has a key of another kind"},
		{"a log twice", l + l + "quorum none\n", "line 2 of a policy has a key for the second time"},
		{"a log's key under another name", l + "log " + must(NewSigner("x", seed("log"))).Key().String() + "\nquorum none\n", "line 2 of a policy has a key for the second time"},
		{"too many logs", lines(logs, 33) + "quorum none\n", "line 33 of a policy has one log too many"},

		{"witness without a name", l + "witness\nquorum none\n", "line 2 of a policy has a witness without a name"},
		{"witness without a key", l + "witness a\nquorum none\n", "line 2 of a policy has something else than a key"},
		{"witness with too much", l + "witness a " + one + " x y\nquorum none\n", "line 2 of a policy has something else than a key"},
		{"witness with a log's key", l + "witness a " + log + "\nquorum none\n", "line 2 of a policy has a key of another kind"},
		{"a witness twice", l + a + "witness b " + one + "\nquorum none\n", "line 3 of a policy has a key for the second time"},
		{"a witness's key under another name", l + a + "witness b " + must(NewCosigner("x", seed("w1"))).Key().String() + "\nquorum none\n", "line 3 of a policy has a key for the second time"},
		{"a name twice", l + a + "witness a " + two + "\nquorum none\n", "line 3 of a policy has a name for the second time"},
		{"a witness called none", l + "witness none " + one + "\nquorum none\n", "line 2 of a policy has the name none"},
		{"too many witnesses", l + lines(witnesses, 65) + "quorum none\n", "line 66 of a policy has one witness or group too many"},

		{"group without a name", l + "group\nquorum none\n", "line 2 of a policy has a group that is not"},
		{"group without a number", l + a + "group g\nquorum none\n", "line 3 of a policy has a group that is not"},
		{"group without members", l + a + "group g any\nquorum none\n", "line 3 of a policy has a group that is not"},
		{"group called none", l + a + "group none any a\nquorum none\n", "line 3 of a policy has the name none"},
		{"group with a witness's name", l + a + "group a any a\nquorum none\n", "line 3 of a policy has a name for the second time"},
		{"member of no name", l + a + "group g any a x\nquorum none\n", "line 3 of a policy has a name that stands on no line before it"},
		{"member called none", l + a + "group g any none\nquorum none\n", "line 3 of a policy has a name that stands on no line before it"},
		{"member of itself", l + a + "group g any g\nquorum none\n", "line 3 of a policy has a name that stands on no line before it"},
		{"member that comes later", l + "group g any a\n" + a + "quorum none\n", "line 2 of a policy has a name that stands on no line before it"},
		{"a member twice", l + a + "group g any a a\nquorum none\n", "line 3 of a policy has a group of somebody who is in a group already"},
		{"a member of two", l + a + "group g any a\ngroup h any a\nquorum none\n", "line 4 of a policy has a group of somebody who is in a group already"},
		{"none is enough", l + a + "group g 0 a\nquorum g\n", "line 3 of a policy has a group of which"},
		{"more than there are", l + a + "group g 2 a\nquorum g\n", "line 3 of a policy has a group of which"},
		{"not a number", l + a + "group g most a\nquorum g\n", "line 3 of a policy has a group of which"},
		{"negative", l + a + "group g -1 a\nquorum g\n", "line 3 of a policy has a group of which"},
		{"a zero in front", l + a + "group g 01 a\nquorum g\n", "line 3 of a policy has a group of which"},
		{"a huge number", l + a + "group g 4294967297 a\nquorum g\n", "line 3 of a policy has a group of which"},

		{"quorum without a name", l + "quorum\n", "line 2 of a policy has a quorum that is not one name"},
		{"quorum of two", l + a + b + "quorum a b\n", "line 4 of a policy has a quorum that is not one name"},
		{"quorum of no name", l + a + "quorum b\n", "line 3 of a policy has a name that stands on no line before it"},
		{"quorum that comes later", l + "quorum a\n" + a, "line 2 of a policy has a name that stands on no line before it"},
	} {
		p, err := ParsePolicy(tt.text)
		failure := FailMalformed
		if tt.detail == "" {
			failure = ""
		} else if p.logs != nil {
			t.Errorf("%s: half a policy", tt.name)
		}
		wantFailure(t, tt.name, err, failure, tt.detail)
	}
	if got, want := testPolicy.Logs(), []Member{{"", testLog.Key(), "https://log.example/"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	if got, want := testPolicy.Witnesses(), []Member{{"one", w1.Key(), ""}, {"two", w2.Key(), "https://w2.example/"}, {"three", w3.Key(), ""}}; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}

func TestOpen(t *testing.T) {
	x := text(testTree, 9)
	by := testLog.Signature(x)
	a, b, c := w1.Cosign(x, made), w2.Cosign(x, made+30), w3.Cosign(x, made+60)
	odd := stranger.Cosign(x, made)
	wrong := func(s Signature) Signature {
		data := append([]byte(nil), s.Data...)
		data[len(data)-1] ^= 1
		return Signature{s.Name, s.KeyID, data}
	}
	otherText := Checkpoint{Origin: otherLog.Name(), Size: 9, Root: testTree.Root(9)}.Text()
	otherA, otherC := w1.Cosign(otherText, made), w3.Cosign(otherText, made)
	extended := append(text(testTree, 9), "an extension\n"...)
	two := must(ParsePolicy("log " + otherLog.Key().String() + "\nlog " + ghostLog.Key().String() + "\n" + policyText(testPolicyEnd)))
	none := must(ParsePolicy(policyText("quorum none\n")))
	asOther := must(NewSigner(otherLog.Name(), seed("log")))
	for _, tt := range []struct {
		name       string
		policy     Policy
		checkpoint []byte
		failure    string
		detail     string
		time       int64
		witnesses  string
	}{
		{"quorum", testPolicy, note(x, by, a, c), "", "", made, "one three"},
		{"more than a quorum", testPolicy, note(x, by, a, b, c), "", "", made + 30, "one two three"},
		{"in any order", testPolicy, note(x, c, b, a, by), "", "", made + 30, "one two three"},
		{"with others", testPolicy, note(x, odd, ghostLog.Signature(x), by, a, b), "", "", made, "one two"},
		{"with others' wrong ones", testPolicy, note(x, wrong(odd), wrong(odd), by, a, b), "", "", made, "one two"},
		{"extension line", testPolicy, note(extended, testLog.Signature(extended), w1.Cosign(extended, made), w2.Cosign(extended, made)), "", "", made, "one two"},
		{"any of two logs", two, note(x, by, a, b), "", "", made, "one two"},
		{"the other of two logs", two, note(otherText, otherLog.Signature(otherText), otherA, otherC), "", "", made, "one three"},
		{"another key of the log", two, note(x, ghostLog.Signature(x), a, b), "", "", made, "one two"},
		{"no witness is asked", none, note(x, by), "", "", 0, ""},
		{"no witness is asked, two come", none, note(x, by, a, b), "", "", 0, "one two"},

		{"no note", testPolicy, x, FailMalformed, "a note", 0, ""},
		{"no checkpoint", testPolicy, note([]byte("o\n"), testLog.Signature([]byte("o\n"))), FailMalformed, "a checkpoint", 0, ""},
		{"nothing believed", Policy{}, note(x, by, a, b), FailSignature, "no log of the policy", 0, ""},
		{"no log signed", testPolicy, note(x, a, b), FailSignature, "no log of the policy signed a checkpoint of log.example/sotto", 0, ""},
		{"another log signed", testPolicy, note(otherText, otherLog.Signature(otherText), otherA, otherC), FailSignature, "no log of the policy", 0, ""},
		{"another key in the log's name", testPolicy, note(x, ghostLog.Signature(x), a, b), FailSignature, "no log of the policy", 0, ""},
		{"one log for another", two, note(otherText, testLog.Signature(otherText), otherA, otherC), FailSignature, "no log of the policy signed a checkpoint of other.example/log", 0, ""},
		{"the log's key under another name", testPolicy, note(x, asOther.Signature(x), a, b), FailSignature, "no log of the policy", 0, ""},
		{"wrong signature", testPolicy, note(x, wrong(by), a, b), FailSignature, "the signature of log.example/sotto is wrong", 0, ""},
		{"wrong signature of another log", two, note(x, by, Signature{otherLog.Name(), otherLog.Key().id, by.Data}, a, b), FailSignature, "the signature of other.example/log is wrong", 0, ""},
		{"the log twice", testPolicy, note(x, by, by, a, b), FailSignature, "the signature of log.example/sotto is wrong", 0, ""},
		{"wrong cosignature", testPolicy, note(x, by, a, b, wrong(c)), FailSignature, "the cosignature of three is wrong", 0, ""},
		{"a witness twice", testPolicy, note(x, by, a, a), FailSignature, "the cosignature of one is wrong", 0, ""},
		{"wrong cosignature where none is asked", none, note(x, by, wrong(a)), FailSignature, "the cosignature of one is wrong", 0, ""},
		{"cosigned another size", testPolicy, note(x, by, a, w2.Cosign(text(testTree, 8), made)), FailSignature, "the cosignature of two is wrong", 0, ""},
		{"no witness", testPolicy, note(x, by), FailWitnessesFew, "0 witnesses of the policy", 0, ""},
		{"too few witnesses", testPolicy, note(x, by, a), FailWitnessesFew, "1 witnesses of the policy", 0, ""},
		{"too few witnesses and another log", testPolicy, note(x, by, a, ghostLog.Signature(x)), FailWitnessesFew, "1 witnesses of the policy cosigned, which is not enough", 0, ""},
		{"too few and another", testPolicy, note(x, by, a, odd), FailWitnessUnknown, "stranger.example did too", 0, ""},
		{"too few and another twice", testPolicy, note(x, by, a, odd, odd), FailWitnessUnknown, "stranger.example did too", 0, ""},
		{"too few and one who almost could have", testPolicy, note(x, by, a, Signature{"x", [4]byte{}, make([]byte, 71)}), FailWitnessesFew, "", 0, ""},
		{"too few and one whose signature is large", testPolicy, note(x, by, a, Signature{"x", [4]byte{}, make([]byte, 2428)}), FailWitnessUnknown, "x did too", 0, ""},
		{"too few and a known name with another key", testPolicy, note(x, by, a, Signature{"w2.example/witness", [4]byte{}, b.Data}), FailWitnessUnknown, "w2.example/witness did too", 0, ""},
	} {
		c, err := tt.policy.Open(tt.checkpoint)
		wantFailure(t, tt.name, err, tt.failure, tt.detail)
		if err != nil {
			if !reflect.DeepEqual(c, Checkpoint{}) {
				t.Errorf("%s: an error and %+v", tt.name, c)
			}
			continue
		}
		if got := strings.Join(c.Witnesses, " "); got != tt.witnesses || c.Time != tt.time || c.Size != 9 || c.Root != testTree.Root(9) {
			t.Errorf("%s: %+v", tt.name, c)
		}
	}
}

// A quorum of any depth, and its time: each of a, b and c has cosigned at 10, 20
// and 30, if at all.
func TestQuorum(t *testing.T) {
	x := text(testTree, 9)
	zero := must(NewCosigner("z", seed("z")))
	all := map[byte]Signature{'z': zero.Cosign(x, 0), 'a': w1.Cosign(x, 10), 'b': w2.Cosign(x, 20), 'c': w3.Cosign(x, 30)}
	head := "log " + testLog.Key().String() + "\nwitness a " + w1.Key().String() + "\nwitness b " + w2.Key().String() + "\nwitness c " + w3.Key().String() + "\nwitness z " + zero.Key().String() + "\n"
	for _, tt := range []struct {
		policy string
		times  map[string]int64 // who cosigned, and the quorum's time then; -1 for too few
	}{
		{"quorum a", map[string]int64{"": -1, "a": 10, "bc": -1, "abc": 10}},
		{"quorum z", map[string]int64{"abc": -1, "z": 0}},
		{"quorum c", map[string]int64{"ab": -1, "abc": 30}},
		{"group g any a b c\nquorum g", map[string]int64{"": -1, "a": 10, "ab": 20, "abc": 30}},
		{"group g 2 a b c\nquorum g", map[string]int64{"": -1, "a": -1, "c": -1, "ab": 10, "bc": 20, "ac": 10, "abc": 20}},
		{"group g all a b c\nquorum g", map[string]int64{"bc": -1, "abc": 10}},
		{"group g all a b\ngroup h any g c\nquorum h", map[string]int64{"a": -1, "b": -1, "c": 30, "ab": 10, "abc": 30}},
		{"group g any a b\ngroup h all g c\nquorum h", map[string]int64{"ab": -1, "c": -1, "bc": 20, "abc": 20, "ac": 10}},
		{"group g 2 a b c\nquorum a", map[string]int64{"bc": -1, "a": 10}},
	} {
		p := must(ParsePolicy(head + tt.policy))
		for who, want := range tt.times {
			sigs := []Signature{testLog.Signature(x)}
			for i := range len(who) {
				sigs = append(sigs, all[who[i]])
			}
			c, err := p.Open(note(x, sigs...))
			if want < 0 {
				wantFailure(t, tt.policy+": "+who, err, FailWitnessesFew, "")
			} else if err != nil || c.Time != want {
				t.Errorf("%q: %s: %d, %v, want %d", tt.policy, who, c.Time, err, want)
			}
		}
	}
	// Two that cosign in the same second are two.
	p := must(ParsePolicy(head + "group g 2 a b c\nquorum g"))
	if c, err := p.Open(note(x, testLog.Signature(x), w1.Cosign(x, 5), w2.Cosign(x, 5), w3.Cosign(x, 4))); err != nil || c.Time != 5 {
		t.Errorf("%d, %v", c.Time, err)
	}
}

// TestShared counts the witnesses that any two quorums have in common, and compares
// with all pairs of quorums.
func TestShared(t *testing.T) {
	head := "log " + testLog.Key().String() + "\n"
	for i := range 6 {
		head += fmt.Sprintf("witness %c %s\n", 'a'+i, must(NewCosigner("w", seed(fmt.Sprint("shared", i)))).Key())
	}
	for _, tt := range []struct {
		policy string
		want   int
	}{
		{"quorum none", 0},
		{"quorum b", 1},
		{"group g any a b\nquorum g", 0},
		{"group g 1 a b c\nquorum g", 0},
		{"group g 2 a b c d\nquorum g", 0},
		{"group g 2 a b c\nquorum g", 1},
		{"group g 3 a b c d\nquorum g", 2},
		{"group g 3 a b c d e\nquorum g", 1},
		{"group g 4 a b c d e\nquorum g", 3},
		{"group g all a b c\nquorum g", 3},
		{"group g any a b\ngroup h all g c\nquorum h", 1},
		{"group g all a b\ngroup h any g c\nquorum h", 0},
		{"group g all a b\ngroup h 2 g c d\nquorum h", 1},
		{"group g all a b c\ngroup h 3 d g e f\nquorum h", 2},
		{"group g any a b\ngroup h 2 c g d\nquorum h", 0},
	} {
		p := must(ParsePolicy(head + tt.policy))
		least := 6
		for x := range 1 << 6 {
			for y := range 1 << 6 {
				if quorumOf(p, x) && quorumOf(p, y) {
					least = min(least, bits.OnesCount(uint(x&y)))
				}
			}
		}
		if got := p.Shared(); got != tt.want || got != least {
			t.Errorf("%q: %d, want %d, and by counting %d", tt.policy, got, tt.want, least)
		}
	}
}

// quorumOf reports whether the witnesses whose bits are set are a quorum.
func quorumOf(p Policy, set int) bool {
	if p.quorum < 0 {
		return true
	}
	times := make([]int64, len(p.voices))
	n := 0
	for i := range p.voices {
		if v := &p.voices[i]; v.need > 0 {
			times[i] = v.time(times)
			continue
		}
		times[i] = int64(set>>n&1) - 1
		n++
	}
	return times[p.quorum] >= 0
}
