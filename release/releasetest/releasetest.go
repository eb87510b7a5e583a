// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package releasetest is a log of releases for tests: with witnesses, and keys that
// sign, all made of a seed, so that what it makes can be kept as a vector. It can do
// what an honest log can't.
package releasetest

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"strconv"

	"github.com/sotto-chat/sotto/release"
	"github.com/sotto-chat/sotto/tlog"
)

// Now is the time at which everything here is fresh, in Unix seconds.
const Now = 1_800_000_000

// World is a log, three witnesses of which two are enough, and three keys that sign
// releases, of which two are enough.
type World struct {
	Log       tlog.Signer
	Witnesses []tlog.Cosigner
	Keys      []tlog.Signer
	Entries   [][]byte // what stands in the log
	Pin       release.Pin
}

// New makes a world whose keys follow from the seed.
func New(seed string) *World {
	w := &World{Log: signer(seed, "log.example/releases")}
	policy := "log " + w.Log.Key().String() + "\n"
	names := ""
	for i := range 3 {
		name := "w" + strconv.Itoa(i+1)
		c := must(tlog.NewCosigner(name+".example", private(seed, name)))
		w.Witnesses = append(w.Witnesses, c)
		policy += "witness " + name + " " + c.Key().String() + "\n"
		names += " " + name
		w.Keys = append(w.Keys, signer(seed, "release"+strconv.Itoa(i+1)+".example"))
	}
	w.Pin = release.Pin{V: 1, Product: "sotto", Log: policy + "group two 2" + names + "\nquorum two\n", Threshold: 2}
	for _, k := range w.Keys {
		w.Pin.Keys = append(w.Pin.Keys, k.Key().String())
	}
	return w
}

func private(seed, name string) ed25519.PrivateKey {
	sum := sha256.Sum256([]byte("releasetest " + seed + " " + name))
	return ed25519.NewKeyFromSeed(sum[:])
}

func signer(seed, name string) tlog.Signer { return must(tlog.NewSigner(name, private(seed, name))) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Manifest returns a small manifest of the version, for the next entry of the log.
func (w *World) Manifest(version string) release.Manifest {
	d := func(s string) string { return release.Digest([]byte(s)) }
	return release.Manifest{
		Format: release.Format, Product: "sotto", Version: version, Commit: "0123456789abcdef0123456789abcdef01234567",
		Time: Now - 1000, Index: int64(len(w.Entries)), Toolchain: "go1.26.8", MinimumVersion: "0.0.0",
		Node:   release.Node{Binary: d("sotto-node " + version), Arguments: []string{"-engine", "http://127.0.0.1:8000"}},
		Engine: release.Engine{Name: "vllm", Version: "0.10.0", Digest: d("vllm"), Arguments: []string{"--model", "/models/m"}},
		Models: []release.Model{{ID: "sotto-demo", Weights: d("weights"), Tokenizer: "none", Template: "none"}},
		Web: release.Web{
			Files: []release.File{{Path: "a/core-00.wasm", SHA256: d("core")}, {Path: "index.html", SHA256: d("page " + version)}},
			Core:  d("core"),
		},
	}
}

// Sign signs a manifest with the first n keys, without checking it.
func (w *World) Sign(m release.Manifest, n int) []byte {
	return w.SignText(must(m.Encode()), w.Keys[:n]...)
}

// SignText signs any text as a manifest is signed.
func (w *World) SignText(text []byte, by ...tlog.Signer) []byte {
	note := tlog.Note{Text: text}
	for _, k := range by {
		note.Signatures = append(note.Signatures, k.Signature(text))
	}
	return note.Encode()
}

// Add writes an entry down, whatever it is, and returns its index.
func (w *World) Add(entry []byte) int64 {
	w.Entries = append(w.Entries, entry)
	return int64(len(w.Entries)) - 1
}

// Publish signs a manifest of the version with two keys, after change, and writes it
// down. It returns the digest by which key configs name it.
func (w *World) Publish(version string, change func(*release.Manifest)) string {
	m := w.Manifest(version)
	if change != nil {
		change(&m)
	}
	w.Add(w.Sign(m, 2))
	return release.Digest(must(m.Encode()))
}

// Tree returns the log's hashes.
func (w *World) Tree() *tlog.Tree {
	t := new(tlog.Tree)
	for _, e := range w.Entries {
		t.Append(tlog.LeafHash(e))
	}
	return t
}

// Checkpoint returns the log's state at a size, cosigned at a time by the first n
// witnesses.
func (w *World) Checkpoint(size, at int64, n int) []byte {
	return w.CheckpointOf(size, w.Tree().Root(size), at, n)
}

// CheckpointOf is [World.Checkpoint] with any root.
func (w *World) CheckpointOf(size int64, root tlog.Hash, at int64, n int) []byte {
	text := tlog.Checkpoint{Origin: w.Log.Name(), Size: size, Root: root}.Text()
	note := tlog.Note{Text: text, Signatures: []tlog.Signature{w.Log.Signature(text)}}
	for _, c := range w.Witnesses[:n] {
		note.Signatures = append(note.Signatures, c.Cosign(text, at))
	}
	return note.Encode()
}

// View returns what an honest log shows of itself at [Now]: all of it, and the
// newest eight entries.
func (w *World) View() []byte {
	size := len(w.Entries)
	var newest []int
	for i := size - 1; i >= 0 && i > size-1-tlog.MaxReleases; i-- {
		newest = append(newest, i)
	}
	return w.ViewOf(w.Checkpoint(int64(size), Now-10, 3), newest...)
}

// ViewOf returns a view of a checkpoint that shows these entries.
func (w *World) ViewOf(checkpoint []byte, show ...int) []byte {
	var entries []tlog.Entry
	for _, i := range show {
		entries = append(entries, tlog.Entry{Index: int64(i), Data: w.Entries[i]})
	}
	return must(must(w.Tree().View(checkpoint, 0, entries)).Encode())
}

// PinJSON returns the pin as a policy holds it.
func (w *World) PinJSON() []byte { return must(json.Marshal(w.Pin)) }
