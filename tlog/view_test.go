// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tlog

import (
	"testing"
	"time"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestFromLogToClient(t *testing.T) {
	log := must(GenerateSigner("example.com/log"))
	w1, w2 := must(GenerateCosigner("w1.example")), must(GenerateCosigner("w2.example"))
	policy := must(ParsePolicy("log " + log.Key().String() + "\nwitness a " + w1.Key().String() +
		"\nwitness b " + w2.Key().String() + " https://w2.example/\ngroup g all a b\nquorum g\n"))
	tree := testTree(600)
	open := func(size, from, at int64, seen *Seen) (Opened, error) {
		text := Checkpoint{Origin: log.Name(), Size: size, Root: tree.Root(size)}.Text()
		note := Note{text, []Signature{log.Signature(text), w1.Cosign(text, at), w2.Cosign(text, at+5)}}
		v, err := tree.View(note.Encode(), from, []Entry{{size - 1, []byte("599")}})
		if err != nil {
			t.Fatal(err)
		}
		v, err = ParseView(must(v.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		return v.Check(policy, seen, time.Unix(at+100, 0), time.Hour)
	}
	old, err := open(10, -1, 1000, nil)
	if err != nil || old.Checkpoint.Time != 1000 {
		t.Fatal(old, err)
	}
	if _, err := open(600, -1, 2000, &old.Seen); err == nil || err.Error() != (&EarlierError{0}).Error() {
		t.Fatal(err)
	}
	o, err := open(600, 0, 2000, &old.Seen)
	if err != nil {
		t.Fatal(err)
	}
	if i, err := o.Verify(o.Releases()[0]); err != nil || i != 599 {
		t.Fatal(i, err)
	}
}
