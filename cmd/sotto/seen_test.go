// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/release"
	"github.com/sotto-chat/sotto/release/releasetest"
	"github.com/sotto-chat/sotto/seal"
)

// believed is hardware whose word is taken for everything.
type believed struct{}

func (believed) Name() string { return "snp" }

func (believed) Verify([]byte, attest.Claim, attest.Policy, time.Time) attest.Appraisal {
	return attest.Appraisal{Checks: []attest.Check{
		attest.Passed("chip.signature", "Chip", "It is real."), attest.Passed("software.measured", "Software", "It is so."), attest.Passed("key.bound", "Key", "It is this."),
	}}
}

// upgrading is a service whose machine runs the newest release of a world.
func upgrading(t *testing.T, world *releasetest.World) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		size := int64(len(world.Entries))
		newest, err := release.Parse(world.Entries[size-1])
		if err != nil {
			t.Error(err)
			return
		}
		checkpoint := world.Checkpoint(size, time.Now().Unix(), 3)
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/sotto/v1/log" {
			var all []int
			for i := range slices.Backward(world.Entries) {
				all = append(all, i)
			}
			w.Write(world.ViewOf(checkpoint, all...))
			return
		}
		key, err := seal.GenerateKey()
		if err != nil {
			t.Error(err)
			return
		}
		config, err := attest.KeyConfig{
			V: 1, Node: strings.Repeat("0a", 16), Suite: attest.Suite, PublicKey: key.PublicKey(), NotBefore: time.Now().Unix(), NotAfter: time.Now().Unix() + 900,
			Release: newest.Digest(), Models: []attest.Model{}, Anchor: attest.Anchor(checkpoint),
		}.Encode()
		if err != nil {
			t.Error(err)
			return
		}
		bundle, err := attest.Bundle{V: 1, KeyConfig: config, Evidence: []attest.Evidence{{Platform: "snp", Data: []byte("x")}}, Checkpoint: checkpoint}.Encode()
		if err != nil {
			t.Error(err)
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"v": 1, "nodes": []any{map[string]any{"id": "n", "bundles": [][]byte{bundle}}}})
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// TestANewReleaseIsTold: once, with what is different in it, and not at first.
func TestANewReleaseIsTold(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("SOTTO_CONFIG_DIR", dir)
	world := releasetest.New(t.Name())
	world.Publish("1.0.0", nil)
	url := upgrading(t, world)
	policy := filepath.Join(dir, "policy.json")
	if err := os.WriteFile(policy, fmt.Appendf(nil, `{"pin":%s}`, world.PinJSON()), 0o600); err != nil {
		t.Fatal(err)
	}
	said := func(want ...string) {
		t.Helper()
		a := newApp()
		var out bytes.Buffer
		a.err = &out
		a.platforms = []attest.Platform{believed{}}
		c, err := a.connect(t.Context(), &serverFlags{url: url, policy: policy})
		if err != nil {
			t.Fatal(err)
		}
		if s := c.Status().State; s != client.StateVerified {
			t.Errorf("state %s", s)
		}
		c.CloseNow()
		if len(want) == 0 && out.Len() > 0 {
			t.Errorf("said %q", out.String())
		}
		for _, w := range want {
			if !strings.Contains(out.String(), w) {
				t.Errorf("said %q, not %q", out.String(), w)
			}
		}
	}
	said() // what is there at first is no change
	said()
	world.Publish("1.1.0", func(m *release.Manifest) { m.Engine.Version = "0.11.0" })
	said("new version since your last chat: 1.1.0, entry 1 of the public log, after 1.0.0\n", "The engine’s version changes from 0.10.0 to 0.11.0")
	said() // told once
	world.Publish("1.2.0", func(m *release.Manifest) {
		for i := range 20 {
			m.Node.Environment = append(m.Node.Environment, fmt.Sprintf("V%02d=1", i))
		}
	})
	said("1.2.0", "after 1.1.0", " more: sotto release diff shows all")

	// A file that can't be read is said to be, and replaced.
	files, err := filepath.Glob(filepath.Join(dir, "seen", "*.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%q, %v", files, err)
	}
	if err := os.WriteFile(files[0], []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	said("can’t be read from " + files[0])
	said()
}
