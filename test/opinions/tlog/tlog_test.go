// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package tlog asks the Go team's and the transparency-dev group's code about the
// same notes, checkpoints, proofs and policies that our tlog judges: what one makes
// the other reads, every proof of every size up to 300, and many thousands of
// changes, of which none may pass ours that they refuse.
package tlog

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	flog "github.com/transparency-dev/formats/log"
	fnote "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/formats/witness"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	ours "github.com/sotto-chat/sotto/tlog"
)

// must stops a test whose own preparations fail.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func entry(i int64) []byte { return fmt.Appendf(nil, "entry %d", i) }

// hashes stores a tree as theirs wants it.
type hashes []tlog.Hash

func (h *hashes) ReadHashes(at []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(at))
	for i, x := range at {
		out[i] = (*h)[x]
	}
	return out, nil
}

// grow makes the same tree twice.
func grow(t testing.TB, n int64) (*hashes, *ours.Tree) {
	t.Helper()
	var theirs hashes
	var tree ours.Tree
	for i := range n {
		add, err := tlog.StoredHashes(i, entry(i), &theirs)
		if err != nil {
			t.Fatal(err)
		}
		theirs = append(theirs, add...)
		tree.Append(ours.LeafHash(entry(i)))
	}
	return &theirs, &tree
}

func convert(hs []ours.Hash) []tlog.Hash {
	out := make([]tlog.Hash, len(hs))
	for i, h := range hs {
		out[i] = tlog.Hash(h)
	}
	return out
}

func TestProofsOfAllSizes(t *testing.T) {
	const most = 300
	theirs, tree := grow(t, most)
	rnd := mathrand.New(mathrand.NewPCG(1, 2))
	changed, passed := 0, 0
	for size := int64(1); size <= most; size++ {
		root := must(tlog.TreeHash(size, theirs))
		if ours.Hash(root) != tree.Root(size) {
			t.Fatalf("size %d: other roots", size)
		}
		for i := range size {
			p, q := must(tlog.ProveRecord(size, i, theirs)), must(tree.Inclusion(i, size))
			if !slices.Equal(p, convert(q)) {
				t.Fatalf("%d of %d: other proofs", i, size)
			}
			if err := ours.VerifyInclusion(i, size, ours.LeafHash(entry(i)), q, ours.Hash(root)); err != nil {
				t.Fatalf("%d of %d: %v", i, size, err)
			}
			// One change at random of the index, the size, the leaf or the proof.
			index, n, leaf, hs := i, size, ours.LeafHash(entry(i)), slices.Clone(q)
			switch k := rnd.IntN(8); {
			case k == 0:
				index += rnd.Int64N(5) - 2
			case k == 1:
				n += rnd.Int64N(5) - 2
			case k == 2:
				leaf[rnd.IntN(32)] ^= 1 << rnd.IntN(8)
			case k == 3:
				hs = append(hs, ours.Hash{})
			case k == 4 && len(hs) > 0:
				hs = hs[:len(hs)-1]
			case k == 5 && len(hs) > 1:
				a, b := rnd.IntN(len(hs)), rnd.IntN(len(hs))
				hs[a], hs[b] = hs[b], hs[a]
			case k == 6:
				index, n = rnd.Int64N(1<<62), 1<<62-rnd.Int64N(3) // beyond, theirs never ends
			case len(hs) > 0:
				hs[rnd.IntN(len(hs))][rnd.IntN(32)] ^= 1 << rnd.IntN(8)
			}
			changed++
			mine := ours.VerifyInclusion(index, n, leaf, hs, ours.Hash(root)) == nil
			if index < 0 || n < 0 || index >= n {
				if mine {
					t.Fatalf("%d of %d", index, n)
				}
				continue // theirs panics or refuses
			}
			if mine != (tlog.CheckRecord(convert(hs), n, root, index, tlog.Hash(leaf)) == nil) {
				t.Fatalf("%d of %d changed to %d of %d: ours %v", i, size, index, n, mine)
			}
			if mine {
				passed++
			}
		}
		for old := int64(1); old <= size; old++ {
			was := tree.Root(old)
			p, q := must(tlog.ProveTree(size, old, theirs)), must(tree.Consistency(old, size))
			if !slices.Equal(p, convert(q)) {
				t.Fatalf("%d to %d: other proofs", old, size)
			}
			if err := ours.VerifyConsistency(old, size, was, ours.Hash(root), q); err != nil {
				t.Fatalf("%d to %d: %v", old, size, err)
			}
			from, to, hs := old, size, slices.Clone(q)
			switch k := rnd.IntN(8); {
			case k == 0:
				from = max(1, from+rnd.Int64N(5)-2)
			case k == 1:
				to += rnd.Int64N(5) - 2
			case k == 2:
				was[rnd.IntN(32)] ^= 1 << rnd.IntN(8)
			case k == 3:
				hs = append(hs, ours.Hash{})
			case k == 4 && len(hs) > 0:
				hs = hs[:len(hs)-1]
			case k == 5 && len(hs) > 1:
				a, b := rnd.IntN(len(hs)), rnd.IntN(len(hs))
				hs[a], hs[b] = hs[b], hs[a]
			case len(hs) > 0:
				hs[rnd.IntN(len(hs))][rnd.IntN(32)] ^= 1 << rnd.IntN(8)
			}
			changed++
			mine := ours.VerifyConsistency(from, to, was, ours.Hash(root), hs) == nil
			if to < 1 || from > to {
				if mine {
					t.Fatalf("%d to %d", from, to)
				}
				continue
			}
			if mine != (tlog.CheckTree(convert(hs), to, root, from, tlog.Hash(was)) == nil) {
				t.Fatalf("%d to %d changed to %d to %d: ours %v", old, size, from, to, mine)
			}
			if mine {
				passed++
			}
		}
	}
	t.Logf("%d changes, of which both passed %d", changed, passed)
	if changed < 90_000 || passed > changed/4 {
		t.Error("the changes aren't what they should be")
	}
}

// world is a log and three witnesses, as both sides have them.
type world struct {
	log       ours.Signer
	witnesses []ours.Cosigner
	policy    string
	ours      ours.Policy
	verifiers note.Verifiers // of all of them
	key       note.Verifier  // of the log
	group     witness.Group
}

// seed makes a key that is the same in every run.
func seed(name string) ed25519.PrivateKey {
	sum := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(sum[:])
}

func newWorld(quorum string) world {
	w := world{log: must(ours.NewSigner("log.example/one", seed("log")))}
	w.policy = "log " + w.log.Key().String() + " https://log.example/\n"
	list := []note.Verifier{must(fnote.NewVerifier(w.log.Key().String()))}
	w.key = list[0]
	for _, name := range []string{"a", "b", "c"} {
		c := must(ours.NewCosigner(name+".example/w", seed(name)))
		w.witnesses = append(w.witnesses, c)
		w.policy += "witness " + name + " " + c.Key().String() + " https://" + name + ".example/\n"
		list = append(list, must(fnote.NewVerifierForCosignatureV1(c.Key().String())))
	}
	w.policy += quorum
	w.verifiers = note.VerifierList(list...)
	w.ours = must(ours.ParsePolicy(w.policy))
	w.group = must(witness.ParsePolicy([]byte(w.policy)))
	return w
}

// open is what [ours.Policy.Open] does, with their code.
func (w world) open(checkpoint []byte) error {
	if _, err := note.Open(checkpoint, w.verifiers); err != nil {
		return err
	}
	if _, _, _, err := flog.ParseCheckpoint(checkpoint, w.log.Name(), w.key); err != nil {
		return err
	}
	if !w.group.Satisfied(checkpoint) {
		return fmt.Errorf("no quorum")
	}
	return nil
}

func (w world) checkpoint(size int64, root ours.Hash, extra string, who ...int) []byte {
	text := append(ours.Checkpoint{Origin: w.log.Name(), Size: size, Root: root}.Text(), extra...)
	n := ours.Note{Text: text, Signatures: []ours.Signature{w.log.Signature(text)}}
	for _, i := range who {
		n.Signatures = append(n.Signatures, w.witnesses[i].Cosign(text, 1_800_000_000+int64(i)))
	}
	return n.Encode()
}

// What ours signs theirs reads, and the other way round.
func TestThereAndBack(t *testing.T) {
	text := "log.example/one\n7\n" + ours.EmptyRoot().String() + "\n"

	skey, vkey, err := note.GenerateKey(rand.Reader, "их.example/log")
	if err != nil {
		t.Fatal(err)
	}
	s, err := ours.ParseSigner(skey)
	if err != nil || s.Key().String() != vkey || s.Secret() != skey+"\n" {
		t.Fatal(err, s.Key(), vkey)
	}
	b, err := s.Note([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if again := must(note.Sign(&note.Note{Text: text}, must(note.NewSigner(skey)))); !bytes.Equal(again, b) {
		t.Errorf("%s\n%s", again, b)
	}
	// The signer itself is one of theirs.
	if again := must(note.Sign(&note.Note{Text: text}, s)); !bytes.Equal(again, b) {
		t.Errorf("%s\n%s", again, b)
	}
	if n := must(note.Open(b, note.VerifierList(must(note.NewVerifier(vkey))))); n.Text != text {
		t.Error(n)
	}

	c, err := ours.GenerateCosigner("w.example")
	if err != nil {
		t.Fatal(err)
	}
	cv := must(fnote.NewVerifierForCosignatureV1(c.Key().String()))
	cosigned := ours.Note{Text: []byte(text), Signatures: []ours.Signature{c.Cosign([]byte(text), 1_234_567_890)}}.Encode()
	n := must(note.Open(cosigned, note.VerifierList(cv)))
	if at := must(fnote.CoSigV1Timestamp(n.Sigs[0])); at.Unix() != 1_234_567_890 {
		t.Error(at)
	}
	theirs := must(fnote.NewSignerForCosignatureV1(strings.TrimSuffix(c.Secret(), "\n")))
	before := time.Now().Unix()
	mine := must(ours.ParseNote(must(note.Sign(&note.Note{Text: text}, theirs))))
	if at, ok := mine.VerifiedBy(c.Key()); !ok || at < before || at > time.Now().Unix() {
		t.Error(at, ok)
	}
	if want := must(fnote.VKeyToCosignatureV1(vkey)); want != must(ours.NewCosigner("их.example/log", key(skey))).Key().String() {
		t.Error(want)
	}

	for _, extra := range []string{"", "an extension\n"} {
		w := newWorld("group g 2 a b c\nquorum g\n")
		doc := w.checkpoint(7, ours.EmptyRoot(), extra, 0, 2)
		theirs, rest, sigs, err := flog.ParseCheckpoint(doc, w.log.Name(), w.key)
		if err != nil || theirs.Size != 7 || string(rest) != extra || len(sigs.Sigs) != 1 {
			t.Error(theirs, rest, sigs, err)
		}
		if c, err := w.ours.Open(doc); err != nil || string(c.Text()) != string(theirs.Marshal()) || w.open(doc) != nil {
			t.Error(c, err)
		}
	}
}

// key takes the private key out of a key file of theirs.
func key(skey string) ed25519.PrivateKey {
	parts := strings.SplitN(skey, "+", 5)
	return ed25519.NewKeyFromSeed(must(base64.StdEncoding.DecodeString(parts[4]))[1:])
}

// change makes one change to a text, of a kind that a clever person or a bad line
// would make.
func change(rnd *mathrand.Rand, doc []byte, others [][]byte) []byte {
	if len(doc) == 0 {
		return []byte("\n")
	}
	out := bytes.Clone(doc)
	lines := bytes.SplitAfter(out, []byte("\n"))
	if n := len(lines); n > 1 && len(lines[n-1]) == 0 {
		lines = lines[:n-1]
	}
	at, to := rnd.IntN(len(lines)), rnd.IntN(len(lines))
	odd := []string{" ", "\n", "\r", "\t", "\x00", "\x7f", "+", "-", "=", "A", "0", "1", "—", "\u00a0", "\u2028", "\xff", "#", "none", "extra ", "index "}
	join := func() []byte { return bytes.Join(lines, nil) }
	switch rnd.IntN(12) {
	case 0: // a bit
		out[rnd.IntN(len(out))] ^= 1 << rnd.IntN(8)
		return out
	case 1: // a line away
		lines = slices.Delete(slices.Clone(lines), at, at+1)
		return join()
	case 2: // a line twice
		lines = slices.Insert(slices.Clone(lines), to, lines[at])
		return join()
	case 3: // two lines in each other's place
		lines[at], lines[to] = lines[to], lines[at]
		return join()
	case 4: // another document's line
		o := bytes.SplitAfter(others[rnd.IntN(len(others))], []byte("\n"))
		lines[at] = o[rnd.IntN(len(o))]
		return join()
	case 5: // another document's line beside it
		o := bytes.SplitAfter(others[rnd.IntN(len(others))], []byte("\n"))
		lines = slices.Insert(slices.Clone(lines), at, o[rnd.IntN(len(o))])
		return join()
	case 6: // something in between
		i := rnd.IntN(len(out) + 1)
		return slices.Concat(out[:i], []byte(odd[rnd.IntN(len(odd))]), out[i:])
	case 7: // cut off
		return out[:rnd.IntN(len(out))]
	case 8: // something after it
		return append(out, odd[rnd.IntN(len(odd))]...)
	case 9: // a character for another
		i := rnd.IntN(len(out))
		return slices.Concat(out[:i], []byte(odd[rnd.IntN(len(odd))]), out[i+1:])
	case 10: // two words in each other's place
		words := bytes.SplitAfter(lines[at], []byte(" "))
		a, b := rnd.IntN(len(words)), rnd.IntN(len(words))
		words[a], words[b] = words[b], words[a]
		lines[at] = bytes.Join(words, nil)
		return join()
	default: // a word of another line
		words := bytes.SplitAfter(lines[at], []byte(" "))
		o := bytes.SplitAfter(lines[to], []byte(" "))
		words[rnd.IntN(len(words))] = o[rnd.IntN(len(o))]
		lines[at] = bytes.Join(words, nil)
		return join()
	}
}

// tally counts what became of changes.
type tally struct{ all, both, oursOnly, theirsOnly int }

func (c *tally) add(t *testing.T, mine, theirs bool, doc []byte, why any) {
	t.Helper()
	c.all++
	switch {
	case mine && theirs:
		c.both++
	case mine:
		t.Fatalf("ours takes what theirs refuses (%v):\n%q", why, doc)
	case theirs:
		c.theirsOnly++
	}
}

func (c *tally) report(t *testing.T, least int) {
	t.Helper()
	t.Logf("%d changes: both take %d, theirs alone %d", c.all, c.both, c.theirsOnly)
	if c.all < least || c.both == 0 || c.both > c.all/2 {
		t.Error("the changes aren't what they should be")
	}
}

func TestCheckpoints(t *testing.T) {
	rnd := mathrand.New(mathrand.NewPCG(3, 4))
	_, tree := grow(t, 20)
	w, other := newWorld("group g 2 a b c\nquorum g\n"), newWorld("quorum none\n")
	docs := [][]byte{
		w.checkpoint(20, tree.Root(20), "", 0, 1), w.checkpoint(20, tree.Root(20), "", 0, 1, 2), w.checkpoint(19, tree.Root(19), "more\n", 2, 1),
		w.checkpoint(0, tree.Root(0), "", 0, 2), w.checkpoint(7, tree.Root(7), "", 1), other.checkpoint(20, tree.Root(20), "", 0, 1, 2),
	}
	var n tally
	for range 12_000 {
		doc := docs[rnd.IntN(len(docs))]
		for range 1 + rnd.IntN(2) {
			doc = change(rnd, doc, docs)
		}
		_, err := w.ours.Open(doc)
		theirs := w.open(doc)
		n.add(t, err == nil, theirs == nil, doc, theirs)
	}
	n.report(t, 12_000)
}

func TestProofTexts(t *testing.T) {
	rnd := mathrand.New(mathrand.NewPCG(5, 6))
	_, tree := grow(t, 20)
	w := newWorld("group g 2 a b c\nquorum g\n")
	var docs [][]byte
	for i, size := range []int64{20, 20, 19, 13, 6} {
		p := must(tree.Proof(w.checkpoint(size, tree.Root(size), "", 0, 1, 2), 5))
		if i == 1 {
			p.Extra = []byte("extra data")
		}
		docs = append(docs, p.Encode())
		var theirs proof.TLogProof
		if err := theirs.Unmarshal(docs[i]); err != nil || !bytes.Equal(theirs.Marshal(), docs[i]) {
			t.Fatalf("%v:\n%s", err, docs[i])
		}
	}
	docs = append(docs, must(tree.Proof(w.checkpoint(20, tree.Root(20), "", 0, 1), 6)).Encode())
	judge := func(doc []byte) error {
		var p proof.TLogProof
		if err := p.Unmarshal(doc); err != nil {
			return err
		}
		if err := w.open(p.Checkpoint); err != nil {
			return err
		}
		var c flog.Checkpoint
		n := must(note.Open(p.Checkpoint, w.verifiers))
		if _, err := c.Unmarshal([]byte(n.Text)); err != nil {
			return err
		}
		if p.Index > math.MaxInt64 || c.Size > math.MaxInt64 || p.Index >= c.Size || len(c.Hash) != sha256.Size {
			return fmt.Errorf("outside")
		}
		var hs tlog.RecordProof
		for _, h := range p.Hashes {
			hs = append(hs, h)
		}
		return tlog.CheckRecord(hs, int64(c.Size), tlog.Hash(c.Hash), int64(p.Index), tlog.RecordHash(entry(5)))
	}
	var n tally
	for range 10_000 {
		doc := docs[rnd.IntN(len(docs))]
		if rnd.IntN(8) > 0 {
			doc = change(rnd, doc, docs)
		}
		p, err := ours.ParseProof(doc)
		if err == nil {
			_, err = p.Verify(entry(5), w.ours)
		}
		theirs := judge(doc)
		n.add(t, err == nil, theirs == nil, doc, theirs)
	}
	n.report(t, 10_000)
}

func TestKeys(t *testing.T) {
	rnd := mathrand.New(mathrand.NewPCG(7, 8))
	w := newWorld("quorum none\n")
	keys := [][]byte{[]byte(w.log.Key().String()), []byte(w.witnesses[0].Key().String())}
	var n tally
	for range 20_000 {
		doc := keys[rnd.IntN(2)]
		if rnd.IntN(8) > 0 {
			doc = change(rnd, doc, keys)
		}
		k, err := ours.ParseKey(string(doc))
		v, theirs := fnote.NewVerifier(string(doc))
		n.add(t, err == nil, theirs == nil, doc, theirs)
		if err == nil && (k.Name() != v.Name() || k.String() != string(doc)) {
			t.Fatalf("%s: %s, %v", doc, v.Name(), k)
		}
	}
	n.report(t, 20_000)
}

// Policies of any shape say the same of any set of witnesses.
func TestPolicies(t *testing.T) {
	rnd := mathrand.New(mathrand.NewPCG(9, 10))
	_, tree := grow(t, 3)
	w := newWorld("quorum none\n")
	var docs [][]byte
	for _, end := range []string{
		"quorum none\n", "quorum b\n", "group g 2 a b c\nquorum g\n", "group g any a b\ngroup h all g c\nquorum h\n",
		"group g all a b\ngroup h any g c\nquorum h\n", "# a comment\n\ngroup g 1 a b c\nquorum g\n", "group g 3 a b c\nquorum g\n",
	} {
		docs = append(docs, []byte(strings.Replace(w.policy, "quorum none\n", end, 1)))
	}
	var n tally
	for range 10_000 {
		doc := docs[rnd.IntN(len(docs))]
		for range rnd.IntN(3) {
			doc = change(rnd, doc, docs)
		}
		mine, err := ours.ParsePolicy(string(doc))
		theirs, terr := witness.ParsePolicy(doc)
		if err == nil && terr != nil && lenient(doc) {
			continue
		}
		n.add(t, err == nil, terr == nil, doc, terr)
		if err != nil || !bytes.Contains(doc, []byte(w.log.Key().String())) {
			continue
		}
		var who []int
		for i := range w.witnesses {
			if rnd.IntN(2) == 0 {
				who = append(who, i)
			}
		}
		cp := w.checkpoint(3, tree.Root(3), "", who...)
		if _, err := mine.Open(cp); (err == nil) != theirs.Satisfied(cp) {
			t.Fatalf("%v, theirs %v, cosigned by %v:\n%s", err, theirs.Satisfied(cp), who, doc)
		}
	}
	n.report(t, 8_000)
}

// lenient are policies that the specification allows and theirs refuses: a witness
// without a URL, or with something that isn't one; a name that is also a keyword; a
// number sign in a word.
func lenient(policy []byte) bool {
	words := []string{"witness", "group", "any", "all", "quorum", "log"}
	for line := range strings.Lines(string(policy)) {
		f := strings.Fields(line)
		if len(f) > 0 && f[0] == "witness" && len(f) != 4 || strings.Contains(strings.TrimLeft(line, " \t"), "#") {
			return true
		}
		for i, word := range f {
			named := i == 1 && f[0] != "log" || i > 2 && f[0] == "group"
			if named && slices.Contains(words, word) {
				return true
			}
		}
		if len(f) == 4 && f[0] == "witness" {
			if _, err := witness.ParsePolicy([]byte("witness a " + f[2] + " " + f[3] + "\nquorum a\n")); err != nil {
				if _, err := witness.ParsePolicy([]byte("witness a " + f[2] + " https://a.example/\nquorum a\n")); err == nil {
					return true // it's the URL
				}
			}
		}
	}
	return false
}
