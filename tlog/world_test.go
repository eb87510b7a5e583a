// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tlog

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"
)

// made is 2027-01-15 08:00:00 UTC, when the witnesses of the tests cosign.
const made = 1_800_000_000

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// seed makes a key that is the same in every run: nobody's but the tests'.
func seed(name string) ed25519.PrivateKey {
	sum := sha256.Sum256([]byte("sotto test key " + name))
	return ed25519.NewKeyFromSeed(sum[:])
}

var (
	testLog   = must(NewSigner("log.example/sotto", seed("log")))
	otherLog  = must(NewSigner("other.example/log", seed("other log")))
	ghostLog  = must(NewSigner("log.example/sotto", seed("ghost log"))) // has the log's name, and another key
	w1        = must(NewCosigner("w1.example", seed("w1")))
	w2        = must(NewCosigner("w2.example/witness", seed("w2")))
	w3        = must(NewCosigner("w3.example", seed("w3")))
	stranger  = must(NewCosigner("stranger.example", seed("stranger")))
	stranger1 = must(NewSigner("w1.example", seed("w1"))) // a witness's key and name, as a signer
)

// testPolicy asks for two of three witnesses.
const testPolicyEnd = "group all-three 2 one two three\nquorum all-three\n"

func policyText(end string) string {
	return "log " + testLog.Key().String() + " https://log.example/\n" +
		"witness one " + w1.Key().String() + "\n" +
		"witness two " + w2.Key().String() + " https://w2.example/\n" +
		"witness three " + w3.Key().String() + "\n" + end
}

var testPolicy = must(ParsePolicy(policyText(testPolicyEnd)))

func entry(i int64) []byte { return []byte("entry " + strconv.FormatInt(i, 10)) }

// treeOf returns a tree of n entries. From entry number fork on they are others
// than everybody's.
func treeOf(n, fork int64) *Tree {
	var t Tree
	for i := range n {
		e := entry(i)
		if i >= fork {
			e = append(e, " of a fork"...)
		}
		t.Append(LeafHash(e))
	}
	return &t
}

const never = 1 << 40 // a fork that never comes

// trees are made once: the log of the tests, and one that forks at entry 40.
var (
	testTree = treeOf(1200, never)
	forkTree = treeOf(1200, 40)
)

// text is the text of the checkpoint of a tree at a size.
func text(t *Tree, size int64) []byte {
	return Checkpoint{Origin: testLog.Name(), Size: size, Root: t.Root(size)}.Text()
}

// signed is a checkpoint with the log's signature and those of two witnesses, of
// whom one came a minute after the other.
func checkpoint(t *Tree, size int64) []byte {
	x := text(t, size)
	return note(x, testLog.Signature(x), w1.Cosign(x, made), w3.Cosign(x, made+60))
}

func note(text []byte, sigs ...Signature) []byte { return Note{text, sigs}.Encode() }

// view is the view of a tree at a size, with the newest entry in it.
func view(t *Tree, size, from int64) View {
	return must(t.View(checkpoint(t, size), from, []Entry{{size - 1, entry(size - 1)}}))
}

// wantFailure checks that an error is an Error with this name, "" for no error. The
// detail has to have this in it.
func wantFailure(t *testing.T, name string, err error, failure, detail string) {
	t.Helper()
	if failure == "" {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		return
	}
	var e *Error
	if !errors.As(err, &e) || e.Failure != failure || !strings.Contains(e.Detail, detail) {
		t.Errorf("%s: %v, want %s: %s", name, err, failure, detail)
	}
}

func replace(b []byte, old, new string) []byte {
	if !bytes.Contains(b, []byte(old)) {
		panic("nothing to replace: " + old)
	}
	return bytes.Replace(b, []byte(old), []byte(new), 1)
}

func at(after time.Duration) time.Time { return time.Unix(made, 0).Add(after) }
