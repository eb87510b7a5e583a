// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package release_test

import (
	"errors"
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
}
