// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tlog

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

// named checks that an error is one of the closed list.
func named(t *testing.T, err error) {
	t.Helper()
	var e *Error
	var earlier *EarlierError
	if err != nil && !errors.As(err, &e) && !errors.As(err, &earlier) {
		t.Errorf("%T: %v", err, err)
	}
}

func FuzzNote(f *testing.F) {
	for _, v := range vectorCases() {
		if v.Kind == "note" || v.Kind == "checkpoint" {
			f.Add([]byte(v.Input))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := ParseNote(b)
		named(t, err)
		if err == nil && !bytes.Equal(n.Encode(), b) {
			t.Errorf("%q has another encoding", b)
		}
		c, err := ParseCheckpoint(n.Text)
		named(t, err)
		if err == nil && !bytes.HasPrefix(n.Text, c.Text()) {
			t.Errorf("%q has another encoding", n.Text)
		}
		c, err = testPolicy.Open(b)
		named(t, err)
		if err == nil && (c.Origin != testLog.Name() || len(c.Witnesses) < 2) {
			t.Errorf("%q: %+v", b, c)
		}
	})
}

func FuzzCheckpoint(f *testing.F) {
	for _, v := range vectorCases() {
		if v.Kind == "checkpoint" {
			n, _ := ParseNote([]byte(v.Input))
			f.Add(n.Text)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseCheckpoint(b)
		named(t, err)
		if err == nil && (!bytes.HasPrefix(b, c.Text()) || c.Size < 0 || c.Origin == "") {
			t.Errorf("%q: %+v", b, c)
		}
	})
}

func FuzzKey(f *testing.F) {
	f.Add(testLog.Key().String())
	f.Add(w1.Key().String())
	f.Fuzz(func(t *testing.T, s string) {
		k, err := ParseKey(s)
		named(t, err)
		if err == nil && k.String() != s {
			t.Errorf("%q has another encoding", s)
		}
		if _, err := ParseSigner(s); err != nil && s != "" && len(s) > 20 && bytes.Contains([]byte(err.Error()), []byte(s)) {
			t.Error("an error tells the key")
		}
	})
}

func FuzzPolicy(f *testing.F) {
	for _, v := range vectorCases() {
		if v.Kind == "policy" {
			f.Add(v.Input)
		}
	}
	x := text(testTree, 9)
	cp := note(x, testLog.Signature(x), w1.Cosign(x, made), w2.Cosign(x, made), w3.Cosign(x, made))
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePolicy(s)
		named(t, err)
		if err == nil && len(p.Logs()) == 0 {
			t.Errorf("%q has no log", s)
		}
		_, err = p.Open(cp)
		named(t, err)
	})
}

func FuzzProof(f *testing.F) {
	for _, v := range vectorCases() {
		if v.Kind == "proof" {
			f.Add([]byte(v.Input))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParseProof(b)
		named(t, err)
		if err == nil && !bytes.Equal(p.Encode(), b) {
			t.Errorf("%q has another encoding", b)
		}
		_, err = p.Verify(entry(3), testPolicy)
		named(t, err)
	})
}

func FuzzView(f *testing.F) {
	for _, v := range vectorCases() {
		if v.Kind == "view" {
			f.Add([]byte(v.Input), int64(5))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		v, err := ParseView(b)
		named(t, err)
		if err != nil {
			return
		}
		if doc, err := v.Encode(); err == nil {
			if again, err := ParseView(doc); err != nil || !bytes.Equal(again.Checkpoint, v.Checkpoint) {
				t.Errorf("%q: %v", doc, err)
			}
		}
		o, err := v.Check(testPolicy, &Seen{1, testLog.Name(), size, testTree.Root(5), made}, at(0), time.Hour)
		named(t, err)
		if err != nil {
			return
		}
		if root, ok := o.RootAt(size); !ok || root != testTree.Root(5) && size != 0 {
			t.Errorf("a client that saw %d accepts %q", size, b)
		}
		for _, l := range o.Releases() {
			_, err := o.Verify(l)
			named(t, err)
		}
	})
}

func FuzzProofs(f *testing.F) {
	f.Add(int64(3), int64(5), []byte{})
	f.Add(int64(1)<<62, int64(1)<<62+1, bytes.Repeat([]byte{1}, 63*32))
	f.Fuzz(func(t *testing.T, a, b int64, proof []byte) {
		var hs []Hash
		for len(proof) >= 32 && len(hs) < 100 {
			hs = append(hs, Hash(proof[:32]))
			proof = proof[32:]
		}
		named(t, VerifyInclusion(a, b, Hash{1}, hs, Hash{2}))
		err := VerifyConsistency(a, b, Hash{1}, Hash{2}, hs)
		named(t, err)
		if err == nil {
			t.Errorf("%d to %d: %v", a, b, hs)
		}
	})
}
