// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/bundle"
	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/release"
	"github.com/sotto-chat/sotto/release/releasetest"
	"github.com/sotto-chat/sotto/seal"
	"github.com/sotto-chat/sotto/seal/bhttp"
	"github.com/sotto-chat/sotto/seal/envelope"
	"github.com/sotto-chat/sotto/tlog"
	"github.com/sotto-chat/sotto/tlog/witness"
)

// ledger is a public log with everybody's keys: the makers' of releases, the
// witnesses' and the log's own. Each attack takes those that its attacker has.
type ledger struct {
	*releasetest.World
	good    string // digest of the release that the machines run
	machine *machine

	// What is served: made by the attack, or the truth.
	view func(l *ledger) []byte
}

// A machine is a genuine machine that answers questions in the clear of its
// memory, as a node does. Its key is not the operator's.
type machine struct {
	w   *World
	key *seal.PrivateKey

	config   func(*bundle.KeyConfig) // as it describes itself; may be nil
	odd      changes                 // how it differs from what was measured
	anchor   []byte                  // checkpoint that its key names
	carried  []byte                  // the one that comes along; nil is the same
	released string                  // digest of its release

	described []byte                                  // the newest description of its key
	fresh     func(m *machine, nonce [32]byte) []byte // what it shows to who asks with a nonce; nil is the truth
}

// prove is what the machine's hardware signs for a nonce.
func (m *machine) prove(nonce [32]byte) []byte {
	b := bundle.Bundle{V: 1, KeyConfig: m.described, Evidence: m.w.kind.evidence(bundle.FreshData(nonce, m.described), m.odd), Checkpoint: m.anchor}
	return must(b.Encode())
}

// listed is the machine in the list of machines, with a new key.
func (m *machine) listed() listed {
	m.key = must(seal.GenerateKey())
	now := time.Now()
	c := bundle.KeyConfig{
		V: 1, Node: strings.Repeat("ab", 16), Suite: bundle.Suite, PublicKey: m.key.PublicKey(),
		NotBefore: now.Unix(), NotAfter: now.Add(15 * time.Minute).Unix(), Release: m.released,
		Models: []bundle.Model{{ID: "test", Digest: release.Digest([]byte("weights"))}},
		Anchor: bundle.Anchor(m.anchor),
	}
	if m.config != nil {
		m.config(&c)
	}
	config := must(c.Encode())
	m.described = config
	carried := m.anchor
	if m.carried != nil {
		carried = m.carried
	}
	b := bundle.Bundle{V: 1, KeyConfig: config, Evidence: m.w.kind.evidence(bundle.ReportData(config), m.odd), Checkpoint: carried}
	return listed{ID: c.Node, Bundles: [][]byte{must(b.Encode())}}
}

// answer opens a sealed request and has the engine answer it.
func (m *machine) answer(rw http.ResponseWriter, r *http.Request) {
	o, err := seal.OpenRequest(r.Body, func(seal.KeyID) *seal.PrivateKey { return m.key })
	if err != nil {
		http.Error(rw, "", http.StatusBadRequest)
		return
	}
	req, err := bhttp.ParseRequest(o.Plaintext())
	if err != nil {
		http.Error(rw, "", http.StatusBadRequest)
		return
	}
	status, kind, body := http.StatusOK, "application/json", []byte(nil)
	if req.Path == "/sotto/v1/fresh" && len(req.Body) == 32 {
		prove := m.fresh
		if prove == nil {
			prove = (*machine).prove
		}
		body = prove(m, [32]byte(req.Body))
	} else {
		resp, err := http.Post(m.w.Upstream.URL+req.Path, "application/json", bytes.NewReader(req.Body))
		if err != nil {
			http.Error(rw, "", http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		if body, err = io.ReadAll(resp.Body); err != nil {
			http.Error(rw, "", http.StatusBadGateway)
			return
		}
		status, kind = resp.StatusCode, resp.Header.Get("Content-Type")
	}
	content := bhttp.AppendResponseHead(nil, status, []bhttp.Field{{Name: "content-type", Value: kind}})
	content = bhttp.AppendEnd(bhttp.AppendChunk(content, body))
	a := must(o.NewAnswer(seal.ClassBulk))
	rw.Header().Set("Content-Type", envelope.AnswerType)
	rw.Write(a.Header())
	for last := false; !last; {
		n := min(len(content), a.Capacity())
		last = n == len(content)
		rw.Write(a.AppendRecord(nil, content[:n], last, last))
		content = content[n:]
	}
}

// now is the present as the log's keys write it.
func now() int64 { return time.Now().Unix() }

// show is the view of a checkpoint, with the newest entries up to its size.
func (l *ledger) show(checkpoint []byte, size int) []byte {
	whole := l.Entries
	l.Entries = whole[:size]
	defer func() { l.Entries = whole }()
	var newest []int
	for i := size - 1; i >= 0 && i > size-1-tlog.MaxReleases; i-- {
		newest = append(newest, i)
	}
	return l.ViewOf(checkpoint, newest...)
}

// truth is what an honest log shows now.
func (l *ledger) truth() []byte {
	return l.show(l.Checkpoint(int64(len(l.Entries)), now(), 3), len(l.Entries))
}

// machines is what releases ask of machines here.
func machines(m *release.Manifest, k kind) {
	p := k.policy()
	m.Machines.Require, m.Machines.Platforms = p.Require, p.Platforms
	m.Models = []release.Model{{ID: "test", Weights: release.Digest([]byte("weights")), Tokenizer: "none", Template: "none"}}
	m.Time = now() - 1000
}

// publish writes a release down as it must be, after change.
func (l *ledger) publish(version string, change func(*release.Manifest)) string {
	return l.Publish(version, func(m *release.Manifest) {
		machines(m, kindSNP)
		if change != nil {
			change(m)
		}
	})
}

// withLog gives a world a public log with some releases, a machine that runs the
// newest, and a person who pins the log.
func (w *World) withLog() *ledger {
	if w.log != nil {
		return w.log
	}
	l := &ledger{World: releasetest.New("evil")}
	for _, v := range []string{"1.0.0", "1.1.0", "1.2.0"} {
		l.good = l.publish(v, nil)
	}
	l.machine = &machine{w: w, anchor: l.Checkpoint(int64(len(l.Entries)), now(), 3), released: l.good}
	w.log = l
	w.victim.policy.Pin = l.PinJSON()
	w.do(func(o *Operator) {
		o.rawList = func(rw http.ResponseWriter, r *http.Request) { writeList(rw, []listed{l.machine.listed()}) }
		o.instead = l.machine.answer
		o.front = func(rw http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/sotto/v1/log" {
				return false
			}
			doc := l.truth()
			if l.view != nil {
				doc = l.view(l)
			}
			if doc == nil {
				http.NotFound(rw, r)
				return true
			}
			w.hold(doc)
			rw.Header().Set("Content-Type", "application/json")
			rw.Write(doc)
			return true
		}
	})
	return l
}

// remembering is a person who asks and remembers how far the log was seen.
func remembering(ctx context.Context, w *World) error {
	w.withLog()
	return w.victim.ask(ctx)
}

func logAttacks() []*Attack {
	const (
		public   = "A machine runs a release that everybody can see."
		one1     = "There is one public log, and it only grows."
		fresh    = "What is shown of the log is not older than a day."
		watched  = "More than one of the witnesses has seen what is shown."
		makers   = "It takes two of the makers of releases to make one."
		old      = "An old release that was taken back is no longer good."
		anchored = "A machine's key names a recent state of the log that everybody sees."
	)
	const (
		logOwner  = "the log"
		logOne    = "the log, with one witness"
		logTwo    = "the log, with two witnesses"
		server    = "whoever serves the log's view"
		owner     = "the owner of a genuine machine"
		oldOwner  = "the owner of a genuine machine with an old release"
		oneMaker  = "one of the makers of releases, with the log"
		twoMakers = "the log, with releases that were made before"
	)
	one := func(name, promise, attacker, failure string, arm func(w *World, l *ledger)) *Attack {
		return &Attack{Class: classLog, Name: name, Promise: promise, Attacker: attacker, Failure: failure, Victim: remembering,
			Arm: func(ctx context.Context, w *World) error { arm(w, w.withLog()); return nil }}
	}
	view := func(f func(l *ledger) []byte) func(w *World, l *ledger) {
		return func(w *World, l *ledger) { l.view = f }
	}
	// other is another history of the same log, under the same keys.
	other := func(l *ledger, releases int) *ledger {
		o := &ledger{World: releasetest.New("evil")}
		for i := range releases {
			o.good = o.publish(fmt.Sprintf("2.%d.0", i), nil)
		}
		return o
	}
	// resigned is a checkpoint of the log's newest state that others cosigned.
	resigned := func(l *ledger, cosign func(i int, text []byte) tlog.Signature) []byte {
		size := int64(len(l.Entries))
		text := tlog.Checkpoint{Origin: l.Log.Name(), Size: size, Root: l.Tree().Root(size)}.Text()
		note := tlog.Note{Text: text, Signatures: []tlog.Signature{l.Log.Signature(text)}}
		for i := range l.Witnesses {
			note.Signatures = append(note.Signatures, cosign(i, text))
		}
		return note.Encode()
	}
	return []*Attack{
		one("fork", one1, logTwo, tlog.FailSplitView, func(w *World, l *ledger) {
			o := other(l, len(l.Entries))
			l.view = func(*ledger) []byte { return o.truth() }
			l.machine.released, l.machine.anchor = o.good, o.Checkpoint(int64(len(o.Entries)), now(), 3)
		}),
		one("fork-that-grows", one1, logTwo, tlog.FailSplitView, func(w *World, l *ledger) {
			o := other(l, len(l.Entries)+2)
			l.view = func(*ledger) []byte { return o.truth() }
			l.machine.released, l.machine.anchor = o.good, o.Checkpoint(int64(len(o.Entries)), now(), 3)
		}),
		one("rolled-back-log", one1, logTwo, tlog.FailRollback, view(func(l *ledger) []byte {
			n := len(l.Entries) - 1
			return l.show(l.Checkpoint(int64(n), now(), 3), n)
		})),
		forkSeen(one("fork-that-honest-witnesses-see", watched, logOne, tlog.FailWitnessesFew, nil)),
		one("stale-log", fresh, server, tlog.FailStale, view(func(l *ledger) []byte {
			return l.show(l.Checkpoint(int64(len(l.Entries)), now()-2*86400, 3), len(l.Entries))
		})),
		one("log-from-the-future", fresh, logTwo, tlog.FailStale, view(func(l *ledger) []byte {
			return l.show(l.Checkpoint(int64(len(l.Entries)), now()+86400, 3), len(l.Entries))
		})),
		one("witness-removed", watched, logOne, tlog.FailWitnessesFew, view(func(l *ledger) []byte {
			return l.show(l.Checkpoint(int64(len(l.Entries)), now(), 1), len(l.Entries))
		})),
		one("no-witness", watched, logOwner, tlog.FailWitnessesFew, view(func(l *ledger) []byte {
			return l.show(l.Checkpoint(int64(len(l.Entries)), now(), 0), len(l.Entries))
		})),
		one("forged-quorum", watched, logOwner, tlog.FailWitnessUnknown, view(func(l *ledger) []byte {
			forged := releasetest.New("forged") // the same names, and other keys
			return l.show(resigned(l, func(i int, text []byte) tlog.Signature { return forged.Witnesses[i].Cosign(text, now()) }), len(l.Entries))
		})),
		one("cosignature-of-another-state", watched, logOwner, tlog.FailSignature, view(func(l *ledger) []byte {
			before := tlog.Checkpoint{Origin: l.Log.Name(), Size: 1, Root: l.Tree().Root(1)}.Text()
			return l.show(resigned(l, func(i int, _ []byte) tlog.Signature { return l.Witnesses[i].Cosign(before, now()) }), len(l.Entries))
		})),
		one("log-under-another-key", one1, server, tlog.FailSignature, func(w *World, l *ledger) {
			o := &ledger{World: releasetest.New("another")}
			for range 3 {
				o.good = o.publish("1.0.0", nil)
			}
			l.view = func(*ledger) []byte { return o.truth() }
			l.machine.released, l.machine.anchor = o.good, o.Checkpoint(3, now(), 3)
		}),
		one("no-log", public, server, attest.FailLogUnavailable, view(func(*ledger) []byte { return nil })),
		one("log-that-is-none", public, server, tlog.FailMalformed, view(func(*ledger) []byte { return []byte(`{"v":1}`) })),
		one("unlogged-release", public, owner, tlog.FailUnlogged, func(w *World, l *ledger) {
			m := l.Manifest("1.3.0")
			machines(&m, kindSNP)
			l.machine.released = release.Digest(must(m.Encode()))
		}),
		one("manifest-swapped-under-a-good-proof", public, server, tlog.FailUnlogged, func(w *World, l *ledger) {
			m := l.Manifest("1.3.0")
			machines(&m, kindSNP)
			m.Index = int64(len(l.Entries)) - 1
			l.machine.released = release.Digest(must(m.Encode()))
			swapped := l.Sign(m, 2)
			l.view = func(l *ledger) []byte {
				var doc map[string]json.RawMessage
				var releases []map[string]string
				if json.Unmarshal(l.truth(), &doc) != nil || json.Unmarshal(doc["releases"], &releases) != nil {
					return nil
				}
				releases[0]["entry"] = base64.StdEncoding.EncodeToString(swapped)
				doc["releases"] = must(json.Marshal(releases))
				return must(json.Marshal(doc))
			}
		}),
		one("newest-release-held-back", old, server, tlog.FailMalformed, func(w *World, l *ledger) {
			l.publish("1.3.0", func(m *release.Manifest) { m.MinimumVersion = "1.3.0" })
			l.view = func(l *ledger) []byte {
				return l.ViewOf(l.Checkpoint(int64(len(l.Entries)), now(), 3), len(l.Entries)-2)
			}
		}),
		one("version-taken-back", old, oldOwner, tlog.FailRevoked, func(w *World, l *ledger) {
			l.publish("1.3.0", func(m *release.Manifest) { m.MinimumVersion = "1.3.0" })
		}),
		one("release-taken-back-by-name", old, oldOwner, tlog.FailRevoked, func(w *World, l *ledger) {
			l.publish("1.3.0", func(m *release.Manifest) { m.Revoked = []string{l.good} })
		}),
		one("old-release-written-down-again", old, twoMakers, tlog.FailUnlogged, func(w *World, l *ledger) {
			first := l.Entries[len(l.Entries)-1]
			l.publish("1.3.0", func(m *release.Manifest) { m.MinimumVersion = "1.3.0" })
			l.Add(first)
			// The first is no longer among the newest that are shown.
			for range tlog.MaxReleases - 2 {
				l.publish("1.3.1", func(m *release.Manifest) { m.MinimumVersion = "1.3.0" })
			}
		}),
		one("signed-by-one", makers, oneMaker, tlog.FailSignatures, func(w *World, l *ledger) {
			m := l.Manifest("1.3.0")
			machines(&m, kindSNP)
			l.Add(l.Sign(m, 1))
			l.machine.released = release.Digest(must(m.Encode()))
		}),
		one("signed-twice-by-one", makers, oneMaker, tlog.FailSignatures, func(w *World, l *ledger) {
			m := l.Manifest("1.3.0")
			machines(&m, kindSNP)
			text := must(m.Encode())
			stranger := releasetest.New("stranger")
			l.Add(l.SignText(text, l.Keys[0], stranger.Keys[1]))
			l.machine.released = release.Digest(text)
		}),
		one("release-of-another-product", public, "the makers of another product", tlog.FailUnlogged, func(w *World, l *ledger) {
			l.machine.released = l.publish("1.3.0", func(m *release.Manifest) { m.Product = "another" })
			l.publish("1.3.1", nil)
		}),
		one("other-software-under-a-public-release", public, owner, attest.FailSoftwareMismatch, func(w *World, l *ledger) {
			// The person's own policy would take it: what the release says counts too.
			w.victim.policy.Platforms, w.victim.policy.Require = nil, nil
			l.machine.released = l.publish("1.3.0", func(m *release.Manifest) {
				m.Machines.Platforms = map[string]json.RawMessage{"snp": json.RawMessage(`{"measurements":["` + strings.Repeat("00", 48) + `"]}`)}
			})
			l.machine.anchor = l.Checkpoint(int64(len(l.Entries)), now(), 3)
		}),
		one("other-weights", public, owner, attest.FailSoftwareMismatch, func(w *World, l *ledger) {
			l.machine.config = func(c *bundle.KeyConfig) { c.Models[0].Digest = release.Digest([]byte("other weights")) }
		}),
		one("anchor-of-another-log", anchored, owner, tlog.FailSignature, func(w *World, l *ledger) {
			o := &ledger{World: releasetest.New("another")}
			o.publish("1.0.0", nil)
			l.machine.anchor = o.Checkpoint(1, now(), 3)
		}),
		one("old-anchor", anchored, owner, tlog.FailStale, func(w *World, l *ledger) {
			l.machine.anchor = l.Checkpoint(int64(len(l.Entries)), now()-2*86400, 3)
		}),
		one("anchor-in-a-fork", anchored, "the owner of a genuine machine, with the log and two witnesses", tlog.FailAnchor, func(w *World, l *ledger) {
			l.machine.anchor = other(l, len(l.Entries)).Checkpoint(int64(len(l.Entries)), now(), 3)
		}),
		one("anchor-before-its-release", anchored, owner, tlog.FailAnchor, func(w *World, l *ledger) {
			l.machine.anchor = l.Checkpoint(int64(len(l.Entries))-1, now(), 3)
		}),
		one("anchor-swapped-on-the-way", anchored, "the gateway", tlog.FailAnchor, func(w *World, l *ledger) {
			l.machine.carried = l.Checkpoint(int64(len(l.Entries)), now()+1, 2)
		}),
		one("no-anchor", anchored, owner, tlog.FailAnchor, func(w *World, l *ledger) { l.machine.anchor = nil }),
		one("unwatched-anchor", anchored, "the owner of a genuine machine, with the log", tlog.FailWitnessesFew, func(w *World, l *ledger) {
			l.machine.anchor = l.Checkpoint(int64(len(l.Entries)), now(), 0)
		}),
	}
}

// forkSeen has a log show one person another history. It owns one witness; the
// other two are the real program, over HTTP, and have seen the true one.
func forkSeen(a *Attack) *Attack {
	a.Arm = func(ctx context.Context, w *World) error {
		l := w.withLog()
		dir, err := os.MkdirTemp("", "sotto-evil-witness-")
		if err != nil {
			return err
		}
		w.ends = append(w.ends, func() { os.RemoveAll(dir) })
		fork := &ledger{World: releasetest.New("evil")}
		for range len(l.Entries) + 1 {
			fork.good = fork.publish("2.0.0", nil)
		}
		size := int64(len(l.Entries))
		forged := fork.Checkpoint(size+1, now(), 0)
		note := must(tlog.ParseNote(forged))
		note.Signatures = append(note.Signatures, l.Witnesses[2].Cosign(note.Text, now())) // its own
		for i, key := range l.Witnesses[:2] {
			memory := filepath.Join(dir, fmt.Sprint(i))
			if err := os.Mkdir(memory, 0o700); err != nil {
				return err
			}
			honest, err := witness.Open(witness.Config{Dir: memory, Key: key, Logs: []tlog.Key{l.Log.Key()}})
			if err != nil {
				return err
			}
			url, err := w.serve("127.0.0.1:0", honest.Handler())
			if err != nil {
				return err
			}
			ask := func(r witness.Request) (int, []byte, error) {
				resp, err := http.Post(url+"/add-checkpoint", "text/plain", bytes.NewReader(r.Encode()))
				if err != nil {
					return 0, nil, err
				}
				defer resp.Body.Close()
				b, err := io.ReadAll(resp.Body)
				return resp.StatusCode, b, err
			}
			if status, b, err := ask(witness.Request{Checkpoint: l.Checkpoint(size, now(), 0)}); err != nil || status != http.StatusOK {
				return fmt.Errorf("the witness refuses the true history: %d %s %v", status, b, err)
			}
			// From the true tree there is no proof to the fork; the best is the fork's own.
			for _, r := range []witness.Request{
				{Old: size, Proof: must(fork.Tree().Consistency(size, size+1)), Checkpoint: forged},
				{Old: 0, Checkpoint: forged},
				{Old: size, Checkpoint: fork.Checkpoint(size, now(), 0)},
			} {
				status, b, err := ask(r)
				if err != nil {
					return err
				}
				if status == http.StatusOK {
					return errors.New("an honest witness cosigned the fork: " + string(b))
				}
			}
		}
		l.view = func(*ledger) []byte { return fork.show(note.Encode(), len(fork.Entries)) }
		l.machine.released = fork.good
		// A person who has seen nothing yet: only the witnesses stand in the way.
		w.victim.logSeen = nil
		return nil
	}
	return a
}

// askingAnew is a person who has the machines prove themselves for a nonce of
// their own.
func askingAnew(ctx context.Context, w *World) error {
	w.withLog()
	c := client.New(w.victim.config())
	defer c.CloseNow()
	var nonce [32]byte
	rand.Read(nonce[:])
	_, err := c.Fresh(ctx, nonce)
	return err
}

// freshAttacks are by a machine whose key is no longer where its hardware is: what
// it was once proved by is all that it has.
func freshAttacks() []*Attack {
	const promise = "Whoever asks with a number of their own is shown hardware that holds the key now."
	one := func(name, failure string, fresh func(m *machine, nonce [32]byte) []byte) *Attack {
		return &Attack{Class: classEvidence, Name: name, Promise: promise, Attacker: "whoever took a key out of its machine", Failure: failure,
			Sends: true, Victim: askingAnew,
			Arm: func(ctx context.Context, w *World) error { w.withLog().machine.fresh = fresh; return nil }}
	}
	return []*Attack{
		one("fresh-proof-replayed", attest.FailKeyNotBound, func(m *machine, nonce [32]byte) []byte {
			nonce[0] ^= 1 // somebody else's, who asked before
			return m.prove(nonce)
		}),
		one("fresh-proof-that-is-the-old-one", attest.FailKeyNotBound, func(m *machine, nonce [32]byte) []byte {
			b := must(attest.ParseBundle(m.prove(nonce)))
			b.Evidence = m.w.kind.evidence(bundle.ReportData(m.described), m.odd)
			return must(b.Encode())
		}),
		one("fresh-proof-of-another-key", client.SaysNotVerified, func(m *machine, nonce [32]byte) []byte {
			described := m.described
			m.listed() // another machine, which is as genuine
			other := m.prove(nonce)
			m.described = described
			return other
		}),
	}
}
