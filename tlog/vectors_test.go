// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tlog

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write spec/vectors/tlog anew")

const vectorDir = "../spec/vectors/tlog"

// vector is a file of spec/vectors/tlog; its README says what the fields are.
type vector struct {
	Name    string `json:"name"`
	Comment string `json:"comment"`
	Kind    string `json:"kind"`
	Input   string `json:"input"`
	Policy  string `json:"policy,omitempty"`
	Key     string `json:"key,omitempty"`
	Entry   []byte `json:"entry,omitempty"`
	Seen    *Seen  `json:"seen,omitempty"`
	Time    int64  `json:"time,omitempty"`
	MaxAge  int64  `json:"max_age,omitempty"`

	Expect string  `json:"expect"`
	Result *result `json:"result,omitempty"`
}

type result struct {
	Origin    string   `json:"origin,omitempty"`
	Size      int64    `json:"size"`
	Root      *Hash    `json:"root,omitempty"`
	Time      int64    `json:"time"`
	Witnesses []string `json:"witnesses,omitempty"`
	Seen      *Seen    `json:"seen,omitempty"`
	Releases  []int64  `json:"releases,omitempty"`
	From      *int64   `json:"from,omitempty"`
}

// run does what a vector says, with nothing but what the package exports.
func run(v vector) (expect string, r *result) {
	r, err := func() (*result, error) {
		of := func(c Checkpoint) *result {
			return &result{Origin: c.Origin, Size: c.Size, Root: &c.Root, Time: c.Time, Witnesses: c.Witnesses}
		}
		if v.Kind == "note" {
			k, err := ParseKey(v.Key)
			if err != nil {
				return nil, err
			}
			n, err := ParseNote([]byte(v.Input))
			if err != nil {
				return nil, err
			}
			time, ok := n.VerifiedBy(k)
			if !ok {
				return nil, &Error{FailSignature, ""}
			}
			return &result{Size: int64(len(n.Text)), Time: time}, nil
		}
		if v.Kind == "policy" {
			_, err := ParsePolicy(v.Input)
			return nil, err
		}
		p, err := ParsePolicy(v.Policy)
		if err != nil {
			return nil, err
		}
		switch v.Kind {
		case "checkpoint":
			c, err := p.Open([]byte(v.Input))
			return of(c), err
		case "proof":
			proof, err := ParseProof([]byte(v.Input))
			if err != nil {
				return nil, err
			}
			c, err := proof.Verify(v.Entry, p)
			return of(c), err
		case "view":
			view, err := ParseView([]byte(v.Input))
			if err != nil {
				return nil, err
			}
			o, err := view.Check(p, v.Seen, time.Unix(v.Time, 0), time.Duration(v.MaxAge)*time.Second)
			if err != nil {
				return nil, err
			}
			r := of(o.Checkpoint)
			r.Seen = &o.Seen
			for _, l := range o.Releases() {
				i, err := o.Verify(l)
				if err != nil {
					return nil, err
				}
				r.Releases = append(r.Releases, i)
			}
			return r, nil
		}
		return nil, errors.New("no such kind")
	}()
	var e *Error
	var earlier *EarlierError
	switch {
	case err == nil:
		return "ok", r
	case errors.As(err, &e):
		return e.Failure, nil
	case errors.As(err, &earlier):
		return "earlier", &result{From: &earlier.From}
	}
	return err.Error(), nil
}

func vectorCases() []vector {
	policy := policyText(testPolicyEnd)
	x := text(testTree, 5)
	by, a, b, c := testLog.Signature(x), w1.Cosign(x, made), w2.Cosign(x, made+30), w3.Cosign(x, made+60)
	odd := stranger.Cosign(x, made)
	wrong := func(s Signature) Signature {
		data := bytes.Clone(s.Data)
		data[len(data)-1] ^= 1
		return Signature{s.Name, s.KeyID, data}
	}
	cp := func(sigs ...Signature) string { return string(note(x, sigs...)) }
	// signedText is a checkpoint of any text, with everything else right.
	signedText := func(x string) string {
		t := []byte(x)
		return string(note(t, testLog.Signature(t), w1.Cosign(t, made), w2.Cosign(t, made)))
	}
	good := cp(by, a, b)
	root := testTree.Root(5).String()
	line := func(s Signature) string { return strings.SplitAfter(string(note([]byte("\n"), s)), "\n")[2] }
	vs := []vector{
		{Name: "note-signed", Comment: "An Ed25519 signature.", Kind: "note", Input: good, Key: testLog.Key().String(), Expect: "ok"},
		{Name: "note-cosigned", Comment: "A cosignature/v1, with its time.", Kind: "note", Input: good, Key: w2.Key().String(), Expect: "ok"},
		{Name: "note-empty-lines", Comment: "The text ends at the last empty line.", Kind: "note", Input: string(must(testLog.Note([]byte("one\n\ntwo\n\n\n")))), Key: testLog.Key().String(), Expect: "ok"},
		{Name: "note-unknown-signatures", Comment: "Two wrong signatures by one key that nobody asked about.", Kind: "note", Input: cp(wrong(odd), by, wrong(odd)), Key: testLog.Key().String(), Expect: "ok"},
		{Name: "note-by-others", Comment: "The key's name, and another key.", Kind: "note", Input: cp(by), Key: ghostLog.Key().String(), Expect: FailSignature},
		{Name: "note-wrong", Comment: "One bit of the signature is another.", Kind: "note", Input: cp(wrong(by)), Key: testLog.Key().String(), Expect: FailSignature},
		{Name: "note-right-and-wrong", Comment: "A right signature, then a wrong one by the same key.", Kind: "note", Input: cp(by, wrong(by)), Key: testLog.Key().String(), Expect: FailSignature},
		{Name: "note-twice", Comment: "The same right signature twice.", Kind: "note", Input: cp(by, by), Key: testLog.Key().String(), Expect: FailSignature},
		{Name: "note-time-too-large", Comment: "A cosignature at 2^63 seconds.", Kind: "note", Input: cp(w1.Cosign(x, -1<<63)), Key: w1.Key().String(), Expect: FailSignature},
		{Name: "note-key-kind", Comment: "The key is of type 02.", Kind: "note", Input: good, Key: "log.example/sotto+" + "00000000" + "+" + b64([]byte{2}, testLog.key.pub[:]), Expect: FailMalformed},
		{Name: "note-key-hash", Comment: "The hash in the key is another key's.", Kind: "note", Input: good, Key: "log.example/sotto+00000000+" + b64([]byte{1}, testLog.key.pub[:]), Expect: FailMalformed},
		{Name: "note-no-signature", Comment: "A text, an empty line, nothing.", Kind: "note", Input: string(x) + "\n", Key: testLog.Key().String(), Expect: FailMalformed},
		{Name: "note-no-newline", Comment: "The last line has no newline.", Kind: "note", Input: strings.TrimSuffix(good, "\n"), Key: testLog.Key().String(), Expect: FailMalformed},
		{Name: "note-trailing", Comment: "A line after the signatures.", Kind: "note", Input: good + "end\n", Key: testLog.Key().String(), Expect: FailMalformed},
		{Name: "note-control-character", Comment: "A tab in the text.", Kind: "note", Input: string(note([]byte("one\ttwo\n"), testLog.Signature([]byte("one\ttwo\n")))), Key: testLog.Key().String(), Expect: FailMalformed},
		{Name: "note-hyphen", Comment: "A hyphen for the dash of a signature line.", Kind: "note", Input: string(replace([]byte(cp(by)), "— ", "- ")), Key: testLog.Key().String(), Expect: FailMalformed},
		{Name: "note-base64", Comment: "Bits after the last byte of a signature by a key that nobody asked about.", Kind: "note", Input: cp(by) + sigStart + "stranger.example AAAAAAB=\n", Key: testLog.Key().String(), Expect: FailMalformed},
		{Name: "note-too-many", Comment: "65 signatures.", Kind: "note", Input: cp(by) + strings.Repeat(sigStart+"x AAAAAAA=\n", 64), Key: testLog.Key().String(), Expect: FailMalformed},
		{Name: "note-many", Comment: "64 signatures.", Kind: "note", Input: cp(by) + strings.Repeat(sigStart+"x AAAAAAA=\n", 63), Key: testLog.Key().String(), Expect: "ok"},

		{Name: "checkpoint-quorum", Comment: "Two of three witnesses; the time is the earlier one's.", Kind: "checkpoint", Input: good, Policy: policy, Expect: "ok"},
		{Name: "checkpoint-all", Comment: "Three of three witnesses; two of them had cosigned at or after the second one's time.", Kind: "checkpoint", Input: cp(by, a, b, c), Policy: policy, Expect: "ok"},
		{Name: "checkpoint-strangers", Comment: "With a cosignature that the policy doesn't know.", Kind: "checkpoint", Input: cp(odd, by, a, c), Policy: policy, Expect: "ok"},
		{Name: "checkpoint-extension", Comment: "An extension line, which is signed and passed over.", Kind: "checkpoint", Input: signedText(string(x) + "an extension\n"), Policy: policy, Expect: "ok"},
		{Name: "checkpoint-no-witness-asked", Comment: "The quorum is none; nobody says when.", Kind: "checkpoint", Input: cp(by), Policy: policyText("quorum none\n"), Expect: "ok"},
		{Name: "checkpoint-nested", Comment: "One of the first two, and the third.", Kind: "checkpoint", Input: cp(by, b, c), Policy: policyText("group g any one two\ngroup h all g three\nquorum h\n"), Expect: "ok"},
		{Name: "checkpoint-nested-few", Comment: "Both of the first two, and not the third.", Kind: "checkpoint", Input: cp(by, a, b), Policy: policyText("group g any one two\ngroup h all g three\nquorum h\n"), Expect: FailWitnessesFew},
		{Name: "checkpoint-empty-tree", Comment: "A log without entries.", Kind: "checkpoint", Input: signedText(string(text(testTree, 0))), Policy: policy, Expect: "ok"},
		{Name: "checkpoint-not-signed", Comment: "Witnesses only.", Kind: "checkpoint", Input: cp(a, b), Policy: policy, Expect: FailSignature},
		{Name: "checkpoint-other-key", Comment: "Another key in the log's name.", Kind: "checkpoint", Input: cp(ghostLog.Signature(x), a, b), Policy: policy, Expect: FailSignature},
		{Name: "checkpoint-other-origin", Comment: "The log's key, and another log's origin.", Kind: "checkpoint", Input: signedText("other.example/log\n5\n" + root + "\n"), Policy: policy, Expect: FailSignature},
		{Name: "checkpoint-wrong-signature", Comment: "One bit of the log's signature is another.", Kind: "checkpoint", Input: cp(wrong(by), a, b), Policy: policy, Expect: FailSignature},
		{Name: "checkpoint-wrong-cosignature", Comment: "A quorum, and a wrong cosignature of the third witness.", Kind: "checkpoint", Input: cp(by, a, b, wrong(c)), Policy: policy, Expect: FailSignature},
		{Name: "checkpoint-cosigned-other", Comment: "One witness cosigned another size.", Kind: "checkpoint", Input: cp(by, a, w2.Cosign(text(testTree, 4), made)), Policy: policy, Expect: FailSignature},
		{Name: "checkpoint-witness-twice", Comment: "One witness twice is no quorum of two.", Kind: "checkpoint", Input: cp(by, a, w1.Cosign(x, made+1)), Policy: policy, Expect: FailSignature},
		{Name: "checkpoint-few", Comment: "One of three witnesses.", Kind: "checkpoint", Input: cp(by, a), Policy: policy, Expect: FailWitnessesFew},
		{Name: "checkpoint-unknown", Comment: "One of three witnesses, and one that the policy doesn't know.", Kind: "checkpoint", Input: cp(by, a, odd), Policy: policy, Expect: FailWitnessUnknown},
		{Name: "checkpoint-log-as-witness", Comment: "A plain signature with a witness's key counts as nobody's.", Kind: "checkpoint", Input: cp(by, a, stranger1.Signature(x)), Policy: policy, Expect: FailWitnessesFew},
		{Name: "checkpoint-zero-in-front", Comment: "The size is 05.", Kind: "checkpoint", Input: signedText("log.example/sotto\n05\n" + root + "\n"), Policy: policy, Expect: FailMalformed},
		{Name: "checkpoint-size-too-large", Comment: "The size is 2^63.", Kind: "checkpoint", Input: signedText("log.example/sotto\n9223372036854775808\n" + root + "\n"), Policy: policy, Expect: FailMalformed},
		{Name: "checkpoint-short-root", Comment: "The root has 31 bytes.", Kind: "checkpoint", Input: signedText("log.example/sotto\n5\n" + b64(make([]byte, 31)) + "\n"), Policy: policy, Expect: FailMalformed},
		{Name: "checkpoint-two-lines", Comment: "There is no root.", Kind: "checkpoint", Input: signedText("log.example/sotto\n5\n"), Policy: policy, Expect: FailMalformed},
		{Name: "checkpoint-empty-line", Comment: "An empty line before an extension.", Kind: "checkpoint", Input: signedText(string(x) + "\nan extension\n"), Policy: policy, Expect: FailMalformed},

		{Name: "policy-limits", Comment: "Comments, tabs, groups of groups, names of any bytes.", Kind: "policy", Input: "# one log\n" + policy[:strings.Index(policy, "group")] + "\tgroup\tπ any one two\n\n group γ all π three \nquorum γ", Expect: "ok"},
		{Name: "policy-no-log", Comment: "No log.", Kind: "policy", Input: policy[strings.Index(policy, "\n")+1:], Expect: FailMalformed},
		{Name: "policy-no-quorum", Comment: "No quorum.", Kind: "policy", Input: policyText(""), Expect: FailMalformed},
		{Name: "policy-two-quorums", Comment: "Two quorums.", Kind: "policy", Input: policyText("quorum one\nquorum one\n"), Expect: FailMalformed},
		{Name: "policy-return", Comment: "A carriage return.", Kind: "policy", Input: policyText("quorum one\r\n"), Expect: FailMalformed},
		{Name: "policy-key-twice", Comment: "One witness's key under two names.", Kind: "policy", Input: policyText("witness four " + w1.Key().String() + "\nquorum four\n"), Expect: FailMalformed},
		{Name: "policy-name-twice", Comment: "A group with a witness's name.", Kind: "policy", Input: policyText("group one any two\nquorum one\n"), Expect: FailMalformed},
		{Name: "policy-member-twice", Comment: "A witness in two groups.", Kind: "policy", Input: policyText("group g any one\ngroup h any one\nquorum h\n"), Expect: FailMalformed},
		{Name: "policy-later-name", Comment: "A group of a group that comes later.", Kind: "policy", Input: policyText("group g any h\ngroup h any one\nquorum h\n"), Expect: FailMalformed},
		{Name: "policy-too-many-needed", Comment: "Three of two.", Kind: "policy", Input: policyText("group g 3 one two\nquorum g\n"), Expect: FailMalformed},
		{Name: "policy-none-needed", Comment: "None of two.", Kind: "policy", Input: policyText("group g 0 one two\nquorum g\n"), Expect: FailMalformed},
		{Name: "policy-none-as-member", Comment: "none is no name.", Kind: "policy", Input: policyText("group g any none\nquorum g\n"), Expect: FailMalformed},
		{Name: "policy-witness-key-kind", Comment: "A witness with a key of type 01.", Kind: "policy", Input: policyText("witness four " + otherLog.Key().String() + "\nquorum four\n"), Expect: FailMalformed},
		{Name: "policy-log-key-kind", Comment: "A log with a key of type 04.", Kind: "policy", Input: policyText("log " + stranger.Key().String() + "\nquorum one\n"), Expect: FailMalformed},
	}

	// Proofs, of entry 3 of 5.
	proof := func(change func(*Proof)) string {
		p := Proof{Index: 3, Hashes: must(testTree.Inclusion(3, 5)), Checkpoint: []byte(good)}
		if change != nil {
			change(&p)
		}
		return string(p.Encode())
	}
	pv := func(name, comment, input, expect string) {
		vs = append(vs, vector{Name: "proof-" + name, Comment: comment, Kind: "proof", Input: input, Policy: policy, Entry: entry(3), Expect: expect})
	}
	pv("good", "Entry 3 of 5.", proof(nil), "ok")
	pv("extra", "Extra data, which nobody vouches for.", proof(func(p *Proof) { p.Extra = []byte("extra") }), "ok")
	pv("other-index", "The index is another's.", proof(func(p *Proof) { p.Index = 2 }), FailUnlogged)
	pv("index-outside", "The index is not in the tree.", proof(func(p *Proof) { p.Index = 5 }), FailUnlogged)
	pv("hash-too-few", "A hash is missing.", proof(func(p *Proof) { p.Hashes = p.Hashes[1:] }), FailUnlogged)
	pv("hash-too-many", "There is a hash too many.", proof(func(p *Proof) { p.Hashes = append(p.Hashes, Hash{}) }), FailUnlogged)
	pv("other-hash", "One bit of a hash is another.", proof(func(p *Proof) { p.Hashes[1][31] ^= 1 }), FailUnlogged)
	pv("other-tree", "A checkpoint of another size of the same log.", proof(func(p *Proof) { p.Checkpoint = []byte(signedText(string(text(testTree, 4)))) }), FailUnlogged)
	pv("few", "The checkpoint has too few witnesses.", proof(func(p *Proof) { p.Checkpoint = []byte(cp(by, a)) }), FailWitnessesFew)
	pv("no-index", "There is no index.", string(replace([]byte(proof(nil)), "index 3\n", "")), FailMalformed)
	pv("zero-in-front", "The index is 03.", string(replace([]byte(proof(nil)), "index 3", "index 03")), FailMalformed)
	pv("version", "Another version.", string(replace([]byte(proof(nil)), "@v1", "@v2")), FailMalformed)
	pv("no-empty-line", "No empty line before the checkpoint.", string(replace([]byte(proof(nil)), "\n\nlog.example", "\nlog.example")), FailMalformed)
	pv("empty-extra", "An extra line without data.", string(replace([]byte(proof(nil)), "index", "extra \nindex")), FailMalformed)
	pv("short-hash", "A hash of 31 bytes.", string(replace([]byte(proof(nil)), "index 3\n", "index 3\n"+b64(make([]byte, 31))+"\n")), FailMalformed)
	vs = append(vs, vector{Name: "proof-other-entry", Comment: "The proof of another entry.", Kind: "proof", Input: proof(nil), Policy: policy, Entry: entry(2), Expect: FailUnlogged})

	// Views, of 5 entries with two of them as releases, and of 513, of which they
	// have the last 257.
	small := func() View {
		return must(testTree.View([]byte(good), -1, []Entry{{4, entry(4)}, {3, entry(3)}}))
	}
	large := func(from int64) string {
		return string(must(must(testTree.View(checkpoint(testTree, 513), from, []Entry{{512, entry(512)}})).Encode()))
	}
	doc := func(change func(*View)) string {
		v := small()
		v.Leaves = append([]Hash(nil), v.Leaves...)
		if change != nil {
			change(&v)
		}
		return string(must(v.Encode()))
	}
	swap := func(old, new string) string { return string(replace([]byte(doc(nil)), old, new)) }
	vv := func(name, comment, input string, seen *Seen, after int64, expect string) {
		vs = append(vs, vector{Name: "view-" + name, Comment: comment, Kind: "view", Input: input, Policy: policy, Seen: seen, Time: made + after, MaxAge: 3600, Expect: expect})
	}
	vv("first", "Nothing was seen before.", doc(nil), nil, 60, "ok")
	vv("same", "The same was seen before.", doc(nil), seenAt(testTree, 5), 60, "ok")
	vv("grown", "Less was seen before.", doc(nil), seenAt(testTree, 3), 60, "ok")
	vv("other-log", "Another log was seen before, which the policy no longer names.", doc(nil), &Seen{1, "gone.example", 99, Hash{}, made}, 60, "ok")
	vv("unknown-fields", "Fields that nobody knows.", swap(`{"v":1`, `{"new":[{}],"v":1`), nil, 60, "ok")
	vv("pin", "With a pin, as a demo has it.", doc(func(v *View) { v.Pin = []byte(`{"v":1}`) }), nil, 60, "ok")
	recent := func(change func(*View)) string {
		v := recently(5, 3)
		change(&v)
		return string(must(v.Encode()))
	}
	vv("recent", "The last three entries, without proofs.", recent(func(*View) {}), nil, 60, "ok")
	vv("recent-left-out", "One of the last entries is left out.", recent(func(v *View) { v.Recent = append(v.Recent[:1], v.Recent[2]) }), nil, 60, FailMalformed)
	vv("recent-last-left-out", "The last entry is left out.", recent(func(v *View) { v.Recent = v.Recent[:2] }), nil, 60, FailMalformed)
	vv("recent-other-entry", "One of the last entries is another.", recent(func(v *View) { v.Recent[1] = entry(9) }), nil, 60, FailMalformed)
	vv("recent-too-many", "More last entries than there are leaf hashes.", recent(func(v *View) { v.Recent = append([][]byte{entry(1), entry(0), entry(1)}, v.Recent...) }), nil, 60, FailMalformed)
	vv("empty", "A log without entries.", string(must(must(testTree.View(checkpoint(testTree, 0), -1, nil)).Encode())), nil, 60, "ok")
	vv("window", "513 entries, of which the view has the last 257; 256 were seen before.", large(-1), seenAt(testTree, 256), 60, "ok")
	vv("earlier", "The same view; 255 entries were seen before, so the client has to ask from 0.", large(-1), seenAt(testTree, 255), 60, "earlier")
	vv("oldest", "An hour old, and an hour is what the client accepts.", doc(nil), nil, 3600, "ok")
	vv("stale", "A second older.", doc(nil), nil, 3601, FailStale)
	vv("ahead", "The client's clock is five minutes behind.", doc(nil), nil, -300, "ok")
	vv("future", "A second more.", doc(nil), nil, -301, FailStale)
	vv("rollback", "More was seen before.", doc(nil), seenAt(testTree, 6), 60, FailRollback)
	vv("split-same-size", "The same size with another root was seen before.", doc(nil), &Seen{1, testLog.Name(), 5, Hash{1}, made}, 60, FailSplitView)
	vv("split-smaller", "A smaller size with another root was seen before.", doc(nil), &Seen{1, testLog.Name(), 3, Hash{1}, made}, 60, FailSplitView)
	vv("split-window", "The same with a view that begins later.", large(-1), &Seen{1, testLog.Name(), 300, Hash{1}, made}, 60, FailSplitView)
	vv("few", "Too few witnesses.", doc(func(v *View) { v.Checkpoint = []byte(cp(by, a)) }), nil, 60, FailWitnessesFew)
	vv("unknown-witness", "Too few witnesses, and one that the policy doesn't know.", doc(func(v *View) { v.Checkpoint = []byte(cp(by, a, odd)) }), nil, 60, FailWitnessUnknown)
	vv("not-signed", "Not signed by the log.", doc(func(v *View) { v.Checkpoint = []byte(cp(a, b)) }), nil, 60, FailSignature)
	vv("other-leaf", "One bit of a leaf hash is another.", doc(func(v *View) { v.Leaves[0][0] ^= 1 }), nil, 60, FailMalformed)
	vv("leaf-too-few", "A leaf hash is missing.", doc(func(v *View) { v.Leaves = v.Leaves[:4] }), nil, 60, FailMalformed)
	vv("leaf-too-many", "There is a leaf hash too many.", doc(func(v *View) { v.Leaves = append(v.Leaves, Hash{}) }), nil, 60, FailMalformed)
	vv("start", "The start is no multiple of 256.", swap(`"start":0`, `"start":255`), nil, 60, FailMalformed)
	vv("frontier", "There is a frontier where nothing is before the start.", swap(`"frontier":[]`, `"frontier":["`+root+`"]`), nil, 60, FailMalformed)
	vv("version", "Another version.", swap(`"v":1`, `"v":2`), nil, 60, FailMalformed)
	vv("truncated", "The document is cut off.", strings.TrimSuffix(doc(nil), "}"), nil, 60, FailMalformed)
	vv("releases", "Nine releases.", doc(nil)[:strings.Index(doc(nil), `"releases":[`)+12]+strings.TrimSuffix(strings.Repeat(`{"entry":"AAAA","proof":""},`, 9), ",")+"]}", nil, 60, FailMalformed)
	vv("release-other-entry", "A release with another's proof.", doc(func(v *View) { v.Releases[0].Entry = entry(2) }), nil, 60, FailUnlogged)
	vv("release-other-checkpoint", "A release whose proof is of another checkpoint.", doc(func(v *View) {
		v.Releases[1].Proof = replace(v.Releases[1].Proof, line(a), line(c))
	}), nil, 60, FailUnlogged)
	vv("release-no-proof", "A release without a proof.", doc(func(v *View) { v.Releases[1].Proof = nil }), nil, 60, FailMalformed)
	vv("memory", "What the client kept has another version.", doc(nil), &Seen{2, testLog.Name(), 5, testTree.Root(5), made}, 60, FailMalformed)
	return vs
}

func TestVectors(t *testing.T) {
	files := map[string]bool{"README.md": true}
	for _, v := range vectorCases() {
		var expect string
		if expect, v.Result = run(v); expect != v.Expect {
			t.Errorf("%s: %s, want %s", v.Name, expect, v.Expect)
		}
		doc := append(must(json.MarshalIndent(v, "", "  ")), '\n')
		file := filepath.Join(vectorDir, v.Name+".json")
		files[v.Name+".json"] = true
		if *update {
			if err := os.MkdirAll(vectorDir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, doc, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		stored, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var kept vector
		dec := json.NewDecoder(bytes.NewReader(stored))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&kept); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		expect, result := run(kept)
		if expect != kept.Expect || !reflect.DeepEqual(result, kept.Result) {
			t.Errorf("%s: %s, %+v, want %s, %+v", file, expect, result, kept.Expect, kept.Result)
		}
		if !bytes.Equal(stored, doc) {
			t.Errorf("%s is not what its case makes; run with -update and look at the difference", file)
		}
	}
	there, err := os.ReadDir(vectorDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range there {
		if !files[f.Name()] {
			t.Errorf("%s/%s belongs to no case", vectorDir, f.Name())
		}
		delete(files, f.Name())
	}
	for name := range files {
		t.Errorf("%s/%s is missing", vectorDir, name)
	}
}
