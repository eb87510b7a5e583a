// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package release_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/release"
	"github.com/sotto-chat/sotto/release/releasetest"
	"github.com/sotto-chat/sotto/tlog"
)

var update = flag.Bool("update", false, "write the vectors anew")

const vectorFolder = "../spec/vectors/release"

// viewCase is a vector: a view of a log, opened with a pin, and what is asked of it.
type viewCase struct {
	Name    string          `json:"name"`
	Comment string          `json:"comment"`
	Pin     json.RawMessage `json:"pin"`
	Seen    *tlog.Seen      `json:"seen,omitempty"`
	Now     int64           `json:"now"`
	View    string          `json:"view"`
	Open    string          `json:"open"` // failure of opening it, "" for none

	Newest int64 `json:"newest"` // index of the newest release that counts, -1 where it can't be opened

	Find  string `json:"find,omitempty"`  // digest of a manifest
	Found string `json:"found,omitempty"` // failure of finding it
	Index int64  `json:"index"`           // where it is, where it is found

	Anchor   string `json:"anchor,omitempty"` // a checkpoint
	Anchored string `json:"anchored,omitempty"`
}

// viewCases makes the vectors: each is a good log in which one thing is wrong.
func viewCases() (cases []viewCase) {
	add := func(name, comment string, make func(w *releasetest.World, c *viewCase)) {
		w := releasetest.New("vectors")
		c := viewCase{Name: name, Comment: comment, Now: releasetest.Now}
		make(w, &c)
		if c.Pin == nil {
			c.Pin = w.PinJSON()
		}
		if c.View == "" {
			c.View = string(w.View())
		}
		cases = append(cases, c)
	}
	// three is a log of three releases.
	three := func(w *releasetest.World) (one, two, last string) {
		return w.Publish("1.0.0", nil), w.Publish("1.1.0", nil), w.Publish("1.2.0", nil)
	}
	add("newest", "the newest release", func(w *releasetest.World, c *viewCase) {
		_, _, c.Find = three(w)
		c.Newest, c.Index = 2, 2
	})
	add("older", "an older release that is still good", func(w *releasetest.World, c *viewCase) {
		c.Find, _, _ = three(w)
		c.Newest = 2
	})
	add("minimum-version", "the newest release asks for a later version than this one", func(w *releasetest.World, c *viewCase) {
		c.Find = w.Publish("1.0.9", nil)
		w.Publish("1.1.0", nil)
		w.Publish("1.2.0", func(m *release.Manifest) { m.MinimumVersion = "1.0.10" })
		c.Newest, c.Found = 2, tlog.FailRevoked
	})
	add("minimum-version-reached", "the newest release asks for just the version of this one", func(w *releasetest.World, c *viewCase) {
		c.Find = w.Publish("1.0.9", nil)
		w.Publish("1.1.0", func(m *release.Manifest) { m.MinimumVersion = "1.0.9" })
		c.Newest = 1
	})
	add("revoked", "the newest release names this one as no longer good", func(w *releasetest.World, c *viewCase) {
		c.Find = w.Publish("1.0.0", nil)
		w.Publish("1.0.0", func(m *release.Manifest) { m.Revoked = []string{c.Find} })
		c.Newest, c.Found = 1, tlog.FailRevoked
	})
	add("revoked-and-left-out", "the newest release names this one, which the view doesn't hold, as no longer good", func(w *releasetest.World, c *viewCase) {
		c.Find = w.Publish("1.0.0", nil)
		w.Publish("1.0.0", func(m *release.Manifest) { m.Revoked = []string{c.Find} })
		c.View = string(w.ViewOf(w.Checkpoint(2, releasetest.Now, 3), 1))
		c.Newest, c.Found = 1, tlog.FailRevoked
	})
	add("revoked-before", "an older release named this one, and the newest doesn't: only the newest counts", func(w *releasetest.World, c *viewCase) {
		c.Find = w.Publish("1.0.0", nil)
		w.Publish("1.0.1", func(m *release.Manifest) { m.Revoked, m.MinimumVersion = []string{c.Find}, "1.0.1" })
		w.Publish("1.0.2", nil)
		c.Newest = 2
	})
	add("newest-is-not-the-highest-version", "the newest is what stands last in the log", func(w *releasetest.World, c *viewCase) {
		w.Publish("2.0.0", func(m *release.Manifest) { m.MinimumVersion = "2.0.0" })
		c.Find = w.Publish("1.0.0", nil)
		c.Newest, c.Index = 1, 1
	})
	add("unlogged", "a release that isn't in the view", func(w *releasetest.World, c *viewCase) {
		three(w)
		m := w.Manifest("1.3.0")
		text, err := m.Encode()
		if err != nil {
			panic(err)
		}
		c.Find, c.Newest, c.Found = release.Digest(text), 2, tlog.FailUnlogged
	})
	add("one-signature", "too few of the pinned keys signed this release; the one before it is the newest", func(w *releasetest.World, c *viewCase) {
		w.Publish("1.0.0", func(m *release.Manifest) { m.MinimumVersion = "1.0.0" })
		m := w.Manifest("1.1.0")
		w.Add(w.Sign(m, 1))
		c.Find, c.Found = release.Digest(encoded(m)), tlog.FailSignatures
	})
	add("same-key-twice", "a key that signed twice counts for neither", func(w *releasetest.World, c *viewCase) {
		w.Publish("1.0.0", nil)
		text := encoded(w.Manifest("1.1.0"))
		w.Add(w.SignText(text, w.Keys[0], w.Keys[0], w.Keys[1]))
		c.Find, c.Found = release.Digest(text), tlog.FailSignatures
	})
	add("strange-key", "a key that isn't pinned doesn't count", func(w *releasetest.World, c *viewCase) {
		w.Publish("1.0.0", nil)
		text := encoded(w.Manifest("1.1.0"))
		w.Add(w.SignText(text, w.Keys[0], releasetest.New("somebody else").Keys[1]))
		c.Find, c.Found = release.Digest(text), tlog.FailSignatures
	})
	add("strange-key-besides", "a key that isn't pinned does no harm", func(w *releasetest.World, c *viewCase) {
		text := encoded(w.Manifest("1.1.0"))
		w.Add(w.SignText(text, w.Keys[2], releasetest.New("somebody else").Keys[1], w.Keys[0]))
		c.Find = release.Digest(text)
	})
	add("signatures-of-another", "signatures over another manifest", func(w *releasetest.World, c *viewCase) {
		w.Publish("1.0.0", nil)
		text, other := encoded(w.Manifest("1.1.0")), encoded(w.Manifest("1.1.1"))
		signed := w.SignText(other, w.Keys[0], w.Keys[1])
		w.Add(append(bytes.Clone(text), signed[len(other):]...))
		c.Find, c.Found = release.Digest(text), tlog.FailSignatures
	})
	add("nothing-signed", "no release in the log is signed by enough", func(w *releasetest.World, c *viewCase) {
		w.Add(w.Sign(w.Manifest("1.0.0"), 1))
		c.Open, c.Newest = tlog.FailSignatures, -1
	})
	add("empty", "a log without entries", func(w *releasetest.World, c *viewCase) {
		c.Open, c.Newest = tlog.FailUnlogged, -1
	})
	add("other-product", "a release of something else, signed by the same keys", func(w *releasetest.World, c *viewCase) {
		w.Publish("1.0.0", nil)
		c.Find = w.Publish("1.1.0", func(m *release.Manifest) { m.Product = "other" })
		c.Found = tlog.FailUnlogged
	})
	add("no-manifest", "the newest entry is no manifest; the one before it counts", func(w *releasetest.World, c *viewCase) {
		c.Find = w.Publish("1.0.0", nil)
		w.Add(w.SignText([]byte("hello\n"), w.Keys...))
	})
	add("manifest-not-canonical", "a manifest in another encoding, signed by enough", func(w *releasetest.World, c *viewCase) {
		w.Publish("1.0.0", nil)
		text := bytes.Replace(encoded(w.Manifest("1.1.0")), []byte(`"product": `), []byte(`"product":  `), 1)
		w.Add(w.SignText(text, w.Keys...))
		c.Find, c.Found = release.Digest(text), tlog.FailMalformed
	})
	add("manifest-not-read", "what too few signed isn't read, so it isn't found wrong", func(w *releasetest.World, c *viewCase) {
		w.Publish("1.0.0", nil)
		text := []byte("{}\n")
		w.Add(w.SignText(text, w.Keys[0]))
		c.Find, c.Found = release.Digest(text), tlog.FailSignatures
	})
	add("written-down-again", "the log's operator writes an old release down after the one that revokes it: it counts at its own place only", func(w *releasetest.World, c *viewCase) {
		c.Find = w.Publish("1.0.0", nil)
		w.Publish("1.1.0", func(m *release.Manifest) { m.MinimumVersion = "1.1.0" })
		w.Add(w.Entries[0])
		c.Newest, c.Found = 1, tlog.FailRevoked
	})
	add("newest-written-down-again", "what stands in the log a second time, before or after, doesn't hide the release at its place", func(w *releasetest.World, c *viewCase) {
		m := w.Manifest("1.0.0")
		m.Index = 2
		c.Find = release.Digest(encoded(m))
		w.Add(w.Sign(m, 1))
		w.Add(w.Sign(m, 2))
		w.Add(w.Sign(m, 2))
		w.Add(w.Sign(m, 1))
		w.Add(w.Sign(m, 2))
		c.Newest, c.Index = 2, 2
	})
	add("written-down-elsewhere", "a release that stands in the log, but not at its place", func(w *releasetest.World, c *viewCase) {
		w.Publish("1.0.0", nil)
		m := w.Manifest("1.1.0")
		m.Index = 2
		w.Add(w.Sign(m, 2))
		c.Find, c.Found = release.Digest(encoded(m)), tlog.FailUnlogged
	})
	add("newest-left-out", "the view leaves out the release that revokes this one", func(w *releasetest.World, c *viewCase) {
		c.Find = w.Publish("1.0.0", nil)
		w.Publish("1.1.0", func(m *release.Manifest) { m.MinimumVersion = "1.1.0" })
		c.View = string(w.ViewOf(w.Checkpoint(2, releasetest.Now, 3), 0))
		c.Open, c.Newest = tlog.FailMalformed, -1
	})
	add("one-between-left-out", "the view leaves out one of the entries after the newest release that counts", func(w *releasetest.World, c *viewCase) {
		w.Publish("1.0.0", nil)
		w.Publish("1.1.0", func(m *release.Manifest) { m.MinimumVersion = "1.1.0" })
		w.Add([]byte("something else"))
		c.View = string(w.ViewOf(w.Checkpoint(3, releasetest.Now, 3), 2, 0))
		c.Open, c.Newest = tlog.FailMalformed, -1
	})
	add("older-left-out", "entries before the newest release may be left out", func(w *releasetest.World, c *viewCase) {
		c.Find, _, _ = three(w)
		c.View = string(w.ViewOf(w.Checkpoint(3, releasetest.Now, 3), 2, 0))
		c.Newest = 2
	})
	add("in-another-order", "the view names the oldest release first", func(w *releasetest.World, c *viewCase) {
		three(w)
		c.View = string(w.ViewOf(w.Checkpoint(3, releasetest.Now, 3), 2, 0, 1))
		c.Open, c.Newest = tlog.FailMalformed, -1
	})
	add("named-twice", "the view names a release twice", func(w *releasetest.World, c *viewCase) {
		three(w)
		c.View = string(w.ViewOf(w.Checkpoint(3, releasetest.Now, 3), 2, 1, 1))
		c.Open, c.Newest = tlog.FailMalformed, -1
	})
	add("swapped-under-proof", "a manifest that isn't the one that the proof is of", func(w *releasetest.World, c *viewCase) {
		_, _, c.Find = three(w)
		v, err := tlog.ParseView(w.View())
		if err != nil {
			panic(err)
		}
		v.Releases[0].Entry = w.Sign(w.Manifest("1.9.0"), 2)
		doc, err := v.Encode()
		if err != nil {
			panic(err)
		}
		c.View, c.Open, c.Newest = string(doc), tlog.FailUnlogged, -1
	})
	add("other-log", "a view of a log that isn't pinned", func(w *releasetest.World, c *viewCase) {
		other := releasetest.New("other")
		other.Publish("1.0.0", nil)
		c.View, c.Open, c.Newest = string(other.View()), tlog.FailSignature, -1
	})
	add("one-witness", "too few witnesses", func(w *releasetest.World, c *viewCase) {
		three(w)
		c.View = string(w.ViewOf(w.Checkpoint(3, releasetest.Now, 1), 2))
		c.Open, c.Newest = tlog.FailWitnessesFew, -1
	})
	add("two-witnesses", "just enough witnesses", func(w *releasetest.World, c *viewCase) {
		three(w)
		c.View, c.Newest = string(w.ViewOf(w.Checkpoint(3, releasetest.Now, 2), 2)), 2
	})
	add("last-second", "as old as the pin lets it be", func(w *releasetest.World, c *viewCase) {
		three(w)
		c.View, c.Newest = string(w.ViewOf(w.Checkpoint(3, releasetest.Now-release.DefaultMaxAge, 2), 2)), 2
	})
	add("stale", "one second older than the pin lets it be", func(w *releasetest.World, c *viewCase) {
		three(w)
		c.View = string(w.ViewOf(w.Checkpoint(3, releasetest.Now-release.DefaultMaxAge-1, 2), 2))
		c.Open, c.Newest = tlog.FailStale, -1
	})
	add("max-age", "the pin asks for something fresher", func(w *releasetest.World, c *viewCase) {
		three(w)
		w.Pin.MaxAge = 9
		c.Open, c.Newest = tlog.FailStale, -1
	})
	add("max-age-reached", "the pin asks for something just as fresh", func(w *releasetest.World, c *viewCase) {
		three(w)
		w.Pin.MaxAge = 10
		c.Newest = 2
	})
	add("rollback", "the client has seen a longer log", func(w *releasetest.World, c *viewCase) {
		three(w)
		c.Seen = &tlog.Seen{V: 1, Log: w.Log.Name(), Size: 3, Root: w.Tree().Root(3), Time: releasetest.Now - 100}
		c.View = string(w.ViewOf(w.Checkpoint(2, releasetest.Now, 3), 1))
		c.Open, c.Newest = tlog.FailRollback, -1
	})
	add("split-view", "the client has seen another history", func(w *releasetest.World, c *viewCase) {
		three(w)
		c.Seen = &tlog.Seen{V: 1, Log: w.Log.Name(), Size: 2, Root: tlog.LeafHash([]byte("other")), Time: releasetest.Now - 100}
		c.Open, c.Newest = tlog.FailSplitView, -1
	})
	add("seen-before", "the client has seen the log when it was shorter", func(w *releasetest.World, c *viewCase) {
		three(w)
		c.Seen = &tlog.Seen{V: 1, Log: w.Log.Name(), Size: 2, Root: w.Tree().Root(2), Time: releasetest.Now - 100}
		c.Newest = 2
	})
	add("pin-malformed", "a pin that can't be used opens nothing", func(w *releasetest.World, c *viewCase) {
		three(w)
		w.Pin.Threshold = 4
		c.Pin, c.Open, c.Newest = w.PinJSON(), tlog.FailMalformed, -1
	})

	anchor := func(name, comment, want string, make func(w *releasetest.World) []byte) {
		add("anchor-"+name, comment, func(w *releasetest.World, c *viewCase) {
			three(w)
			c.View, c.Newest = string(w.View()), 2
			c.Anchor, c.Anchored = string(make(w)), want
		})
	}
	const now = releasetest.Now
	anchor("same", "a machine that saw what the view shows", "", func(w *releasetest.World) []byte { return w.Checkpoint(3, now-60, 3) })
	anchor("before", "a machine that saw the log when it was shorter", "", func(w *releasetest.World) []byte { return w.Checkpoint(2, now-60, 2) })
	anchor("after", "a machine that knows more than the view: the quorum stands for it", "", func(w *releasetest.World) []byte {
		w.Publish("1.3.0", nil)
		return w.Checkpoint(4, now-5, 3)
	})
	anchor("other-root", "the log never had this root", tlog.FailAnchor, func(*releasetest.World) []byte {
		fork := releasetest.New("vectors")
		fork.Publish("1.0.0", nil)
		fork.Publish("1.1.1", nil)
		return fork.Checkpoint(2, now-60, 3)
	})
	anchor("other-root-same-size", "a fork of the same length", tlog.FailAnchor, func(*releasetest.World) []byte {
		fork := releasetest.New("vectors")
		fork.Publish("1.0.0", nil)
		fork.Publish("1.1.0", nil)
		fork.Publish("1.2.1", nil)
		return fork.Checkpoint(3, now-60, 3)
	})
	anchor("one-witness", "too few witnesses saw it", tlog.FailWitnessesFew, func(w *releasetest.World) []byte { return w.Checkpoint(3, now-60, 1) })
	anchor("other-log", "a checkpoint of a log that isn't pinned", tlog.FailSignature, func(*releasetest.World) []byte {
		other := releasetest.New("other")
		other.Publish("1.0.0", nil)
		return other.Checkpoint(1, now-60, 3)
	})
	anchor("last-second", "as old as the pin lets it be", "", func(w *releasetest.World) []byte { return w.Checkpoint(3, now-release.DefaultMaxAge, 3) })
	anchor("stale", "one second older", tlog.FailStale, func(w *releasetest.World) []byte { return w.Checkpoint(3, now-release.DefaultMaxAge-1, 3) })
	anchor("ahead", "five minutes ahead of this clock", "", func(w *releasetest.World) []byte { return w.Checkpoint(3, now+300, 3) })
	anchor("too-far-ahead", "one second more", tlog.FailStale, func(w *releasetest.World) []byte { return w.Checkpoint(3, now+301, 3) })
	anchor("no-checkpoint", "something else", tlog.FailMalformed, func(*releasetest.World) []byte { return []byte("checkpoint") })
	return cases
}

func encoded(m release.Manifest) []byte {
	b, err := m.Encode()
	if err != nil {
		panic(err)
	}
	return b
}

// named is the name of what err says is wrong.
func named(err error) string {
	var e *tlog.Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Failure
	}
	return "not named: " + err.Error()
}

// run does what a vector says and returns what came out, in the vector's form.
func (c viewCase) run() viewCase {
	got := c
	got.Newest, got.Found, got.Anchored, got.Index = -1, "", "", 0
	pin, err := release.ParsePin(c.Pin)
	if err != nil { // who doesn't read it strictly has to come as far
		if json.Unmarshal(c.Pin, &pin) != nil {
			got.Open = "not JSON"
			return got
		}
	}
	p, err := pin.Open([]byte(c.View), c.Seen, time.Unix(c.Now, 0))
	if got.Open = named(err); err != nil {
		return got
	}
	_, got.Newest = p.Newest()
	if c.Find != "" {
		_, index, err := p.Find(c.Find)
		if got.Found = named(err); err == nil {
			got.Index = index
		}
	}
	if c.Anchor != "" {
		_, err := p.Anchor([]byte(c.Anchor), time.Unix(c.Now, 0))
		got.Anchored = named(err)
	}
	return got
}

func writeVectors(t *testing.T, name string, v any) {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(vectorFolder, name)
	if *update {
		if err := os.MkdirAll(vectorFolder, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, b.Bytes()) {
		t.Errorf("%s is not what the test makes: look at why, then run it with -update", file)
	}
}

func TestViewVectors(t *testing.T) {
	cases := viewCases()
	writeVectors(t, "views.json", cases)
	for _, c := range cases {
		got := c.run()
		if got.Open != c.Open || got.Newest != c.Newest || got.Found != c.Found || got.Index != c.Index || got.Anchored != c.Anchored {
			t.Errorf("%s: open %q, newest %d, found %q at %d, anchored %q; want %q, %d, %q at %d, %q",
				c.Name, got.Open, got.Newest, got.Found, got.Index, got.Anchored, c.Open, c.Newest, c.Found, c.Index, c.Anchored)
		}
	}
}

// textCase is a vector of one document: a signed release, or a pin.
type textCase struct {
	Name   string `json:"name"`
	Text   string `json:"text"`
	Digest string `json:"digest,omitempty"` // of the manifest in it
	OK     bool   `json:"ok"`
}

func TestManifestVectors(t *testing.T) {
	w := releasetest.New("vectors")
	var cases []textCase
	add := func(name string, signed []byte, ok bool) {
		c := textCase{Name: name, Text: string(signed), OK: ok}
		if r, err := release.Parse(signed); err == nil {
			c.Digest = r.Digest()
		}
		cases = append(cases, c)
	}
	good := encoded(full())
	sign := func(text []byte) []byte { return w.SignText(text, w.Keys[0], w.Keys[1]) }
	add("full", sign(good), true)
	add("small", sign(encoded(w.Manifest("0.0.1"))), true)
	add("no-signature", good, false)
	add("signature-malformed", append(bytes.Clone(good), "\n— somebody !\n"...), false)
	for name, c := range map[string][2]string{
		"white-space": {`"product": `, `"product":  `}, "unknown-field": {`  "product"`, "  \"extra\": 1,\n  \"product\""},
		"repeated-field": {`  "product"`, "  \"product\": \"sotto\",\n  \"product\""}, "field-missing": {"  \"product\": \"sotto\",\n", ""},
		"null": {`"issuers": [`, `"issuers": null, "x": [`}, "escape": {`"sotto"`, `"s\u006ftto"`}, "not-ascii": {`"sotto"`, `"sötto"`},
		"version": {`"version": "2.3.4"`, `"version": "2.3"`}, "format": {"sotto-release/v1", "sotto-release/v2"},
		"allow-software": {`  "machines": {`, "  \"machines\": {\n    \"allow_software\": true,"},
		"rule-fraction":  {`"min_guest_svn": 3`, `"min_guest_svn": 3.0`}, "rules-unsorted": {`"z": `, `"0": `},
		"revokes-itself": {`"minimum_version": "2.0.0"`, `"minimum_version": "2.3.5"`}, "path-elsewhere": {`"path": "node/kernel"`, `"path": "node/../x"`},
		"environment-twice": {`"http_proxy="`, `"LONG=3"`}, "core-not-served": {`"core": "sha256:`, `"core": "sha256:0`},
	} {
		text := strings.Replace(string(good), c[0], c[1], 1)
		if text == string(good) {
			t.Errorf("%s changes nothing", name)
		}
		add(name, sign([]byte(text)), false)
	}
	sortCases(cases[4:])
	writeVectors(t, "manifests.json", cases)
	for _, c := range cases {
		r, err := release.Parse([]byte(c.Text))
		if (err == nil) != c.OK || c.OK && r.Digest() != c.Digest {
			t.Errorf("%s: %v, digest %s", c.Name, err, c.Digest)
		}
	}
}

func TestPinVectors(t *testing.T) {
	good := releasetest.New("vectors").Pin
	var cases []textCase
	add := func(name string, ok bool, change func(*release.Pin)) {
		p := good
		p.Keys = append([]string(nil), good.Keys...)
		if change != nil {
			change(&p)
		}
		b, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		cases = append(cases, textCase{Name: name, Text: string(b), OK: ok})
	}
	raw := func(name string, ok bool, old, new string) {
		b, err := json.Marshal(good)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Replace(string(b), old, new, 1)
		cases = append(cases, textCase{Name: name, Text: text, OK: ok})
	}
	log := releasetest.New("vectors").Log.Key().String()
	add("good", true, nil)
	add("max-age", true, func(p *release.Pin) { p.MaxAge = 1 << 31 })
	add("max-age-negative", false, func(p *release.Pin) { p.MaxAge = -1 })
	add("max-age-too-long", false, func(p *release.Pin) { p.MaxAge = 1<<31 + 1 })
	add("version", false, func(p *release.Pin) { p.V = 2 })
	add("product", false, func(p *release.Pin) { p.Product = "" })
	add("no-keys", false, func(p *release.Pin) { p.Keys, p.Threshold = nil, 0 })
	add("sixteen-keys", true, func(p *release.Pin) { p.Keys = manyKeys(16) })
	add("seventeen-keys", false, func(p *release.Pin) { p.Keys = manyKeys(17) })
	add("threshold-zero", false, func(p *release.Pin) { p.Threshold = 0 })
	add("threshold-one", true, func(p *release.Pin) { p.Threshold = 1 })
	add("threshold-all", true, func(p *release.Pin) { p.Threshold = 3 })
	add("threshold-more", false, func(p *release.Pin) { p.Threshold = 4 })
	add("key-malformed", false, func(p *release.Pin) { p.Keys[0] = "alice" })
	add("key-twice", false, func(p *release.Pin) { p.Keys[1] = p.Keys[0] })
	add("key-twice-by-other-names", false, func(p *release.Pin) { p.Keys[1] = renamed("a", "x"); p.Keys[0] = renamed("a", "y") })
	add("witness-key", false, func(p *release.Pin) { p.Keys[0] = releasetest.New("vectors").Witnesses[0].Key().String() })
	add("log-malformed", false, func(p *release.Pin) { p.Log = "log\n" })
	add("log-missing", false, func(p *release.Pin) { p.Log = "" })
	add("no-witness", false, func(p *release.Pin) { p.Log = "log " + log + "\nquorum none\n" })
	add("no-witness-written-otherwise", false, func(p *release.Pin) { p.Log = "\tlog " + log + "\n \tquorum \t none" })
	add("quorums-apart", false, func(p *release.Pin) { p.Log = strings.Replace(p.Log, "group two 2 ", "group two 1 ", 1) })
	add("quorums-apart-in-groups", false, func(p *release.Pin) {
		p.Log = strings.Replace(p.Log, "group two 2 w1 w2 w3", "group pair all w1 w2\ngroup two any pair w3", 1)
	})
	add("quorums-that-meet", true, func(p *release.Pin) {
		p.Log = strings.Replace(p.Log, "group two 2 w1 w2 w3", "group pair any w1 w2\ngroup two all pair w3", 1)
	})
	add("comment-that-says-none", true, func(p *release.Pin) { p.Log = "# none\n" + p.Log })
	raw("trailing-bytes", false, "}", "} {}")
	raw("unknown-field", false, `"product"`, `"extra":1,"product"`)
	raw("field-twice", false, `"product"`, `"Product":"a","product"`)
	raw("null", false, `"sotto"`, `null`)
	raw("white-space", true, `,`, "\n , ")
	writeVectors(t, "pins.json", cases)
	for _, c := range cases {
		if _, err := release.ParsePin([]byte(c.Text)); (err == nil) != c.OK {
			t.Errorf("%s: %v", c.Name, err)
		}
	}
	long := append(bytes.Repeat([]byte(" "), release.MaxPin), releasetest.New("x").PinJSON()...)
	if _, err := release.ParsePin(long); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("a long pin: %v", err)
	}
	just := long[len(long)-release.MaxPin:]
	if _, err := release.ParsePin(just); err != nil {
		t.Errorf("a pin just as long as it may be: %v", err)
	}
}

func sortCases(cases []textCase) {
	slices.SortFunc(cases, func(a, b textCase) int { return strings.Compare(a.Name, b.Name) })
}

func manyKeys(n int) (out []string) {
	for i := range n {
		out = append(out, renamed(fmt.Sprint(i), fmt.Sprintf("k%d", i)))
	}
	return out
}

// renamed is the public key of a seed under a name.
func renamed(seed, name string) string {
	sum := sha256.Sum256([]byte(seed))
	s, err := tlog.NewSigner(name, ed25519.NewKeyFromSeed(sum[:]))
	if err != nil {
		panic(err)
	}
	return s.Key().String()
}
