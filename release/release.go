// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package release reads what was published: manifests that say what machines run
// and what page is served, signed by those who made them, and written down in a
// log that witnesses watch (spec/release.md).
//
// A client has a [Pin]: the log's key, its witnesses and how many of them it
// takes, the keys that sign releases and how many of them it takes. Everything
// else comes from servers that it doesn't trust, as one document, a view of the
// log:
//
//	published, err := pin.Open(view, seen, time.Now())
//	if err != nil {
//		return err // a *tlog.Error, which names what is wrong
//	}
//	r, index, err := published.Find(keyConfig.Release)
//	cp, err := published.Anchor(checkpoint, time.Now())
//
// A release that [Published.Find] returns was signed by enough of the pinned keys,
// stands in the log that everybody else sees, and is revoked neither by name nor by
// the minimum version of the newest release, which nobody could leave out.
//
// The package reads no clock, no file and no network, has no state, and builds for
// js/wasm. Every input may come from a stranger. Making manifests is package
// release/build's.
package release

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"github.com/sotto-chat/sotto/tlog"
)

// Release is a manifest as it was signed.
type Release struct {
	Manifest Manifest
	Text     []byte // the manifest's exact bytes, which the signatures are over

	note tlog.Note
}

// Parse reads a signed note whose text is a manifest: what an entry of the log
// holds. It refuses whatever is longer than an entry can be, and manifests that
// aren't in their one form. It doesn't look at who signed: see [Release.Signers].
func Parse(signed []byte) (Release, error) {
	r, err := parseNote(signed)
	if err != nil {
		return Release{}, err
	}
	if r.Manifest, err = ParseManifest(r.Text); err != nil {
		return Release{}, errors.New("release: the manifest can't be read: " + err.Error())
	}
	return r, nil
}

// parseNote reads a signed note, which is no longer than an entry, and not its text.
func parseNote(signed []byte) (Release, error) {
	note, err := tlog.ParseNote(signed)
	return Release{Text: note.Text, note: note}, err
}

// Digest returns the release's name: "sha256:<hex>" of the manifest's text, without
// its signatures. Key configs name releases so.
func (r Release) Digest() string { return Digest(r.Text) }

// Digest returns "sha256:<hex>" of b.
func Digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Signatures returns the signatures of r, of which none is checked.
func (r Release) Signatures() []tlog.Signature { return r.note.Signatures }

// Signers returns those of keys that signed r, each once.
func (r Release) Signers(keys []tlog.Key) []tlog.Key {
	var by []tlog.Key
	for _, k := range keys {
		if _, ok := r.note.VerifiedBy(k); ok {
			by = append(by, k)
		}
	}
	return by
}
