// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package release_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/release"
	"github.com/sotto-chat/sotto/release/releasetest"
	"github.com/sotto-chat/sotto/tlog"
)

var now = time.Unix(releasetest.Now, 0)

// failure is the name of what err says is wrong, "" for nothing.
func failure(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var named *tlog.Error
	if !errors.As(err, &named) {
		t.Fatalf("%v is no named failure", err)
	}
	return named.Failure
}

func TestFromSigningToClient(t *testing.T) {
	w := releasetest.New("story")
	one := w.Publish("1.0.0", nil)
	two := w.Publish("1.1.0", nil)
	pin, err := release.ParsePin(w.PinJSON())
	if err != nil {
		t.Fatal(err)
	}
	p, err := pin.Open(w.View(), nil, now)
	if err != nil {
		t.Fatal(err)
	}
	for i, digest := range []string{one, two} {
		r, index, err := p.Find(digest)
		if err != nil || index != int64(i) || r.Digest() != digest {
			t.Errorf("release %d: %v at %d, %v", i, r.Manifest.Version, index, err)
		}
	}
	if r, index := p.Newest(); r.Digest() != two || index != 1 {
		t.Errorf("the newest is %s at %d", r.Manifest.Version, index)
	}
	if c, err := p.Anchor(w.Checkpoint(1, releasetest.Now-60, 2), now); err != nil || c.Size != 1 {
		t.Errorf("anchor: %v, %v", c, err)
	}
	three := w.Publish("1.2.0", func(m *release.Manifest) { m.MinimumVersion = "1.1.0" })
	p, err = pin.Open(w.View(), &p.Seen, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.Find(one); failure(t, err) != tlog.FailRevoked {
		t.Errorf("an old release: %v", err)
	}
	if _, _, err := p.Find(three); err != nil {
		t.Error(err)
	}
	w.Publish("1.3.0", func(m *release.Manifest) { m.Revoked = []string{three} })
	p, err = pin.Open(w.View(), &p.Seen, now)
	if err != nil {
		t.Fatal(err)
	}
	// What the view still holds is shown with its name.
	if r, index, err := p.Find(three); failure(t, err) != tlog.FailRevoked || r.Digest() != three || index != 2 {
		t.Errorf("a release named as no longer good: %v at %d, %v", r.Manifest.Version, index, err)
	}
}

// A pin that lets the log say what it likes says which way.
func TestPinWithoutWitnesses(t *testing.T) {
	pin := releasetest.New("alone").Pin
	key, _, _ := strings.Cut(pin.Log, "\n")
	for want, log := range map[string]string{
		"asks for no witness":       key + "\nquorum none\n",
		"have no witness in common": strings.Replace(pin.Log, "group two 2 ", "group two 1 ", 1),
	} {
		pin.Log = log
		if _, err := pin.Open(nil, nil, now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// A view of a long log starts late: what was before it can't be compared.
func TestBeforeTheView(t *testing.T) {
	w := releasetest.New("long")
	for range 600 {
		w.Add([]byte("something else"))
	}
	digest := w.Publish("1.0.0", nil)
	checkpoint := w.Checkpoint(601, releasetest.Now, 3)
	v, err := w.Tree().View(checkpoint, -1, []tlog.Entry{{Index: 600, Data: w.Entries[600]}})
	if err != nil || v.Start == 0 {
		t.Fatal(v.Start, err)
	}
	doc, err := v.Encode()
	if err != nil {
		t.Fatal(err)
	}
	p, err := w.Pin.Open(doc, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, index, err := p.Find(digest); err != nil || index != 600 {
		t.Error(index, err)
	}
	if len(p.Entries()) != 1 {
		t.Errorf("%d entries", len(p.Entries()))
	}
	if _, err := p.Anchor(w.Checkpoint(v.Start, releasetest.Now, 3), now); err != nil {
		t.Errorf("where the view starts: %v", err)
	}
	if _, err := p.Anchor(w.Checkpoint(v.Start-1, releasetest.Now, 3), now); failure(t, err) != tlog.FailAnchor {
		t.Errorf("before the view starts: %v", err)
	}
	if _, err := p.Anchor(w.CheckpointOf(1, tlog.Hash{}, releasetest.Now, 3), now); failure(t, err) != tlog.FailAnchor {
		t.Errorf("a root of zeros before the view starts: %v", err)
	}
	_, err = w.Pin.Open(doc, &tlog.Seen{V: 1, Log: w.Log.Name(), Size: 1, Root: w.Tree().Root(1)}, now)
	if earlier := (*tlog.EarlierError)(nil); !errors.As(err, &earlier) || earlier.From != 0 {
		t.Errorf("seen before the view starts: %v", err)
	}
	if _, err := w.Pin.Open([]byte("{"), nil, now); failure(t, err) != tlog.FailMalformed || !strings.Contains(err.Error(), "JSON") {
		t.Errorf("no view: %v", err)
	}
	// An entry whose proof can't be read
	v.Releases[0].Proof = []byte("c2sp.org/tlog-proof@v1\n")
	if doc, err = v.Encode(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Pin.Open(doc, nil, now); failure(t, err) != tlog.FailMalformed {
		t.Errorf("no proof: %v", err)
	}
}

// A pin can name two logs; a machine's anchor has to be of the one that the view is of.
func TestTwoLogs(t *testing.T) {
	w, other := releasetest.New("one"), releasetest.New("two")
	other.Witnesses = w.Witnesses
	second, err := tlog.GenerateSigner("second.example")
	if err != nil {
		t.Fatal(err)
	}
	other.Log = second
	w.Publish("1.0.0", nil)
	other.Add(w.Entries[0])
	w.Pin.Log = "log " + second.Key().String() + "\n" + w.Pin.Log
	p, err := w.Pin.Open(w.View(), nil, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Anchor(other.Checkpoint(1, releasetest.Now, 3), now); failure(t, err) != tlog.FailAnchor {
		t.Errorf("the anchor of another log: %v", err)
	}
}

// A proof kept beside a release shows as much without a view, but for what came later.
func TestProved(t *testing.T) {
	w := releasetest.New("proved")
	w.Publish("1.0.0", nil)
	w.Publish("1.1.0", nil)
	checkpoint := w.Checkpoint(2, releasetest.Now, 2)
	prove := func(index int64) []byte {
		p, err := w.Tree().Proof(checkpoint, index)
		if err != nil {
			t.Fatal(err)
		}
		return p.Encode()
	}
	c, index, err := w.Pin.Proved(w.Entries[1], prove(1))
	if err != nil || index != 1 || c.Size != 2 {
		t.Fatal(c, index, err)
	}
	if _, _, err := w.Pin.Proved(w.Entries[1], prove(0)); failure(t, err) != tlog.FailUnlogged {
		t.Errorf("a proof of another entry: %v", err)
	}
	if _, _, err := w.Pin.Proved(w.Entries[1], []byte("proof")); failure(t, err) != tlog.FailMalformed || !strings.Contains(err.Error(), "begin with") {
		t.Errorf("no proof: %v", err)
	}
	if _, _, err := w.Pin.Proved(w.Sign(w.Manifest("1.9.0"), 2), prove(1)); failure(t, err) != tlog.FailUnlogged {
		t.Errorf("a release that isn't there: %v", err)
	}
	checkpoint = w.Checkpoint(2, releasetest.Now, 1)
	if _, _, err := w.Pin.Proved(w.Entries[1], prove(1)); failure(t, err) != tlog.FailWitnessesFew {
		t.Errorf("too few witnesses: %v", err)
	}
	if _, _, err := w.Pin.Proved([]byte("x"), prove(1)); failure(t, err) != tlog.FailMalformed {
		t.Errorf("no release: %v", err)
	}
	w.Add(w.Entries[0])
	checkpoint = w.Checkpoint(3, releasetest.Now, 2)
	if _, _, err := w.Pin.Proved(w.Entries[2], prove(2)); failure(t, err) != tlog.FailUnlogged {
		t.Errorf("written down again: %v", err)
	}

	r, err := release.Parse(w.Entries[0])
	if err != nil {
		t.Fatal(err)
	}
	if names, err := w.Pin.Signed(r); err != nil || len(names) != 2 || names[0] != "release1.example" || len(r.Signatures()) != 2 {
		t.Errorf("signed by %v: %v", names, err)
	}
	w.Pin.Product = "other"
	if _, err := w.Pin.Signed(r); failure(t, err) != tlog.FailUnlogged {
		t.Errorf("another product: %v", err)
	}
	w.Pin.Threshold = 3
	if names, err := w.Pin.Signed(r); failure(t, err) != tlog.FailSignatures || len(names) != 2 {
		t.Errorf("too few: %v, %v", names, err)
	}
	w.Pin.V = 0
	if _, err := w.Pin.Signed(r); failure(t, err) != tlog.FailMalformed {
		t.Errorf("no pin: %v", err)
	}
	if _, _, err := w.Pin.Proved(w.Entries[0], prove(0)); failure(t, err) != tlog.FailMalformed {
		t.Errorf("no pin: %v", err)
	}
}

// sized is a manifest for which size says n.
func sized(t *testing.T, n int, size func(release.Manifest) int) release.Manifest {
	m := full()
	m.Node.Arguments = []string{"x"}
	for size(m) < n {
		left := n - size(m)
		m.Node.Arguments = append(m.Node.Arguments, "")
		line := size(m) - n + left // of an empty one
		m.Node.Arguments[len(m.Node.Arguments)-1] = strings.Repeat("x", max(0, min(left-line, 8000)))
		if left < line {
			m.Node.Arguments = m.Node.Arguments[:len(m.Node.Arguments)-1]
			m.Node.Arguments[0] += strings.Repeat("x", left)
		}
	}
	if size(m) != n {
		t.Fatalf("made %d bytes, want %d", size(m), n)
	}
	return m
}

// A release is read only where it fits into an entry, and a manifest too.
func TestParseIsBounded(t *testing.T) {
	w := releasetest.New("bounds")
	signed := func(m release.Manifest) int { return len(w.Sign(m, 1)) }
	if _, err := release.Parse(w.Sign(sized(t, release.MaxSigned, signed), 1)); err != nil {
		t.Errorf("just as long as it may be: %v", err)
	}
	if _, err := release.Parse(w.Sign(sized(t, release.MaxSigned+1, signed), 1)); failure(t, err) != tlog.FailMalformed {
		t.Errorf("too long: %v", err)
	}
	text := func(m release.Manifest) int { return len(encoded(m)) }
	m := sized(t, release.MaxSigned, text)
	m.Node.Arguments[0] += "x"
	if _, err := m.Encode(); err == nil {
		t.Error("a manifest that is too long is written")
	}
}

func TestParseNames(t *testing.T) {
	if _, err := release.Parse([]byte("no note")); failure(t, err) != tlog.FailMalformed {
		t.Error(err)
	}
	w := releasetest.New("names")
	w.Publish("1.0.0", nil)
	w.Add(w.SignText([]byte("hello\n"), w.Keys...))
	w.Add([]byte("no note"))
	p, err := w.Pin.Open(w.View(), nil, now)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range p.Entries()[:2] {
		if e.Failure == nil || e.Failure.Failure != tlog.FailMalformed || e.Index != int64(2-i) {
			t.Errorf("an entry that is no release: %+v", e)
		}
	}
	if _, _, err := p.Find(release.Digest(nil)); failure(t, err) != tlog.FailUnlogged {
		t.Errorf("a release of nothing: %v", err)
	}
}
