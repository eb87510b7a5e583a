// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package keylogtest is a key log for tests: with witnesses, and a key that signs
// statements, all made of a seed, so that what it makes can be kept as a vector. It
// can do what an honest log can't.
package keylogtest

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/sotto-chat/sotto/keylog"
	"github.com/sotto-chat/sotto/tlog"
	"github.com/sotto-chat/sotto/token"
)

// Now is the time at which everything here is fresh, in Unix seconds: 2027-01-15
// 08:00:00 UTC.
const Now = 1_800_000_000

// Today is the day of [Now].
const Today token.Day = Now / 86400

// World is a key log, three witnesses of which two are enough, and two keys that
// sign statements, of which one is enough.
type World struct {
	Log       tlog.Signer
	Witnesses []tlog.Cosigner
	Keys      []tlog.Signer
	Entries   [][]byte // what stands in the log
	Pin       keylog.Pin

	seed string
}

// New makes a world whose keys follow from the seed.
func New(seed string) *World {
	w := &World{Log: signer(seed, "log.example/keys"), seed: seed}
	policy := "log " + w.Log.Key().String() + "\n"
	names := ""
	for i := range 3 {
		name := "w" + strconv.Itoa(i+1)
		c := must(tlog.NewCosigner(name+".example", private(seed, name)))
		w.Witnesses = append(w.Witnesses, c)
		policy += "witness " + name + " " + c.Key().String() + "\n"
		names += " " + name
	}
	w.Pin = keylog.Pin{V: 1, Product: "sotto", Log: policy + "group two 2" + names + "\nquorum two\n", Threshold: 1}
	for i := range 2 {
		k := signer(seed, "issuer"+strconv.Itoa(i+1)+".example")
		w.Keys = append(w.Keys, k)
		w.Pin.Keys = append(w.Pin.Keys, k.Key().String())
	}
	return w
}

func private(seed, name string) ed25519.PrivateKey {
	sum := sha256.Sum256([]byte("keylogtest " + seed + " " + name))
	return ed25519.NewKeyFromSeed(sum[:])
}

func signer(seed, name string) tlog.Signer { return must(tlog.NewSigner(name, private(seed, name))) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// SPKI returns a public key for tokens that follows from the name. Nobody has its
// private half; it may have none.
func SPKI(name string) []byte {
	b := must(hex.DecodeString("30820152303d06092a864886f70d01010a3030a00d300b0609608648016503040202" +
		"a11a301806092a864886f70d010108300b0609608648016503040202a2030201300382010f003082010a0282010100"))
	n := make([]byte, 0, 256)
	for i := 0; len(n) < 256; i++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "keylogtest key %s %d", name, i))
		n = append(n, sum[:]...)
	}
	n[0] |= 0x80
	n[255] |= 1
	b = append(append(b, n...), 2, 3, 1, 0, 1)
	must(token.ParsePublicKey(b))
	return b
}

// IDs returns n ids of machines.
func IDs(n int) (ids []string) {
	for i := range n {
		sum := sha256.Sum256(fmt.Appendf(nil, "keylogtest machine %d", i))
		ids = append(ids, hex.EncodeToString(sum[:16]))
	}
	return ids
}

// DayOf returns a statement for a day, for the next entry of the log.
func (w *World) DayOf(d token.Day) keylog.Statement {
	at := (d - 1).Start().Unix() + 12*3600 // noon of the day before
	return keylog.Statement{
		Product: "sotto", Index: int64(len(w.Entries)), Time: at, Kind: keylog.KindDay, Day: d, Issuer: "tokens.sotto.example",
		Issue: SPKI(w.seed + "issue " + d.String()), Refund: SPKI(w.seed + "refund " + d.String()),
		OHTTP: []string{fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(d.String())))},
	}
}

// NodesOf returns a statement of a list, for the next entry of the log.
func (w *World) NodesOf(ids []string) keylog.Statement {
	l := must(keylog.NewList(ids))
	return keylog.Statement{Product: "sotto", Index: int64(len(w.Entries)), Time: Now - 600, Kind: keylog.KindNodes, Size: l.Size(), Root: l.Root()}
}

// Add writes an entry down, whatever it is, and returns its index.
func (w *World) Add(entry []byte) int64 {
	w.Entries = append(w.Entries, entry)
	return int64(len(w.Entries)) - 1
}

// Publish signs a statement with the first key and writes it down.
func (w *World) Publish(s keylog.Statement) int64 { return w.Add(must(s.Sign(w.Keys[0]))) }

// Days publishes statements for the days from the first to the last.
func (w *World) Days(first, last token.Day) {
	for d := first; d <= last; d++ {
		w.Publish(w.DayOf(d))
	}
}

// Tree returns the log's hashes.
func (w *World) Tree() *tlog.Tree {
	t := new(tlog.Tree)
	for _, e := range w.Entries {
		t.Append(tlog.LeafHash(e))
	}
	return t
}

// Checkpoint returns the log's state, cosigned at a time by the first n witnesses.
func (w *World) Checkpoint(at int64, n int) []byte {
	size := int64(len(w.Entries))
	text := tlog.Checkpoint{Origin: w.Log.Name(), Size: size, Root: w.Tree().Root(size)}.Text()
	note := tlog.Note{Text: text, Signatures: []tlog.Signature{w.Log.Signature(text)}}
	for _, c := range w.Witnesses[:n] {
		note.Signatures = append(note.Signatures, c.Cosign(text, at))
	}
	return note.Encode()
}

// View returns what an honest log shows of itself at [Now], with all entries.
func (w *World) View() []byte { return w.ViewFrom(0) }

// ViewFrom returns a view that brings the entries from first on.
func (w *World) ViewFrom(first int) []byte {
	return must(must(w.Tree().Recent(w.Checkpoint(Now-10, 3), -1, w.Entries[first:])).Encode())
}
