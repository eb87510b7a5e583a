// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package bundle_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/bundle"
)

// The hashes are those that spec/evidence.md writes down.
func TestHashes(t *testing.T) {
	id := sha256.Sum256([]byte("sotto/1 key id\x00config"))
	if got := bundle.KeyID([]byte("config")); !bytes.Equal(got[:], id[:16]) {
		t.Errorf("key id %x", got)
	}
	rd := sha512.Sum512([]byte("sotto/1 key config\x00config"))
	if got := bundle.ReportData([]byte("config")); got != rd {
		t.Errorf("report data %x", got)
	}
	var fresh [32]byte
	copy(fresh[:], "0123456789abcdef0123456789abcdef")
	want := sha512.Sum512([]byte("sotto/1 fresh\x000123456789abcdef0123456789abcdefconfig"))
	if got := bundle.FreshData(fresh, []byte("config")); got != want {
		t.Errorf("fresh data %x", got)
	}
	// $ printf checkpoint | sha256sum
	if got := bundle.Anchor([]byte("checkpoint")); got != "sha256:47320987f9a49d5b00119b960f247a956773f57543982b8bfcb6da5bb3afd9ef" {
		t.Errorf("anchor %s", got)
	}
	if got := bundle.Anchor(nil); got != "" {
		t.Errorf("anchor of nothing: %s", got)
	}
	nonce := sha256.Sum256(append([]byte("sotto/1 tpm nonce\x00"), rd[:]...))
	if got := bundle.Nonce("tpm", rd); got != nonce {
		t.Errorf("nonce %x", got)
	}
}

// Each field of a key config at its limits and one step beyond.
func TestKeyConfigLimits(t *testing.T) {
	model := func(edit func(*bundle.Model)) func(*bundle.KeyConfig) {
		return func(c *bundle.KeyConfig) { edit(&c.Models[0]) }
	}
	context := func(n int) func(*bundle.KeyConfig) { return model(func(m *bundle.Model) { m.Context = n }) }
	digest := func(s string) func(*bundle.KeyConfig) { return model(func(m *bundle.Model) { m.Digest = s }) }
	anchor := func(s string) func(*bundle.KeyConfig) { return func(c *bundle.KeyConfig) { c.Anchor = s } }
	suite := func(s string) func(*bundle.KeyConfig) { return func(c *bundle.KeyConfig) { c.Suite = s } }
	span := func(from, to int64) func(*bundle.KeyConfig) {
		return func(c *bundle.KeyConfig) { c.NotBefore, c.NotAfter = from, to }
	}
	node := func(s string) func(*bundle.KeyConfig) {
		return func(c *bundle.KeyConfig) { c.Node = strings.Repeat("0", 32-len(s)) + s }
	}
	hex := strings.Repeat("0a", 32)
	for _, tt := range []struct {
		name string
		edit func(*bundle.KeyConfig)
		ok   bool
	}{
		{"as it is", func(*bundle.KeyConfig) {}, true},
		{"version", func(c *bundle.KeyConfig) { c.V = 2 }, false},
		{"no context", context(0), true},
		{"longest context", context(1 << 30), true},
		{"longer context", context(1<<30 + 1), false},
		{"negative context", context(-1), false},
		{"digest", digest("sha256:" + hex), true},
		{"no digest", digest("x"), false},
		{"short digest", digest("sha256:" + hex[1:]), false},
		{"long digest", digest("sha256:" + hex + "0"), false},
		{"digest not in hex", digest("sha256:" + hex[1:] + "g"), false},
		{"digest of another kind", digest("sha512:" + hex), false},
		{"no models", func(c *bundle.KeyConfig) { c.Models = nil }, true},
		{"many models", func(c *bundle.KeyConfig) { c.Models = manyModels(bundle.MaxModels, 1) }, true},
		{"too many models", func(c *bundle.KeyConfig) { c.Models = manyModels(bundle.MaxModels+1, 1) }, false},
		{"another suite, with another length of key", func(c *bundle.KeyConfig) {
			c.Suite, c.PublicKey = "other", []byte{1}
		}, true},
		{"our suite, with another length of key", func(c *bundle.KeyConfig) { c.PublicKey = c.PublicKey[1:] }, false},
		{"long suite", suite(strings.Repeat("s", 256)), true},
		{"longer suite", suite(strings.Repeat("s", 257)), false},
		{"no suite", suite(""), false},
		{"first and last plain character", suite(" ~"), true},
		{"control character", suite("\x1f"), false},
		{"delete", suite("\x7f"), false},
		{"quote", suite(`"`), false},
		{"backslash", suite(`\`), false},
		{"less", suite("<"), false},
		{"more", suite(">"), false},
		{"ampersand", suite("&"), false},
		{"anchor", anchor("sha256:" + hex), true},
		{"no anchor", anchor(""), true},
		{"anchor in words", anchor("none"), false},
		{"short anchor", anchor("sha256:" + hex[1:]), false},
		{"anchor of another kind", anchor("sha512:" + hex), false},
		{"first second", span(1, 2), true},
		{"zero", span(0, 2), false},
		{"negative", span(-1, 2), false},
		{"no time at all", span(5, 5), false},
		{"backwards", span(5, 4), false},
		{"last second", span(5, 1<<40), true},
		{"later", span(5, 1<<40+1), false},
		{"digits of a node", node("09af"), true},
		{"before 0", node("/"), false},
		{"after 9", node(":"), false},
		{"before a", node("`"), false},
		{"after f", node("g"), false},
		{"short node", func(c *bundle.KeyConfig) { c.Node = c.Node[1:] }, false},
	} {
		c := testConfig()
		tt.edit(&c)
		doc, err := c.Encode()
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
		if err != nil {
			continue
		}
		back, err := attest.ParseKeyConfig(doc)
		if err != nil {
			t.Errorf("%s: its encoding: %v", tt.name, err)
			continue
		}
		if again, err := back.Encode(); err != nil || !bytes.Equal(again, doc) {
			t.Errorf("%s: encoded again: %v", tt.name, err)
		}
	}
}

func manyModels(n, size int) (out []bundle.Model) {
	for range n {
		out = append(out, bundle.Model{ID: strings.Repeat("m", size), Digest: "none"})
	}
	return out
}

// A key config of the greatest length is read, and one of a byte more is not.
func TestLongestKeyConfig(t *testing.T) {
	c := testConfig()
	c.Models = append(manyModels(230, 250), manyModels(1, 1)...)
	last := &c.Models[len(c.Models)-1]
	short, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	last.ID = strings.Repeat("m", 1+bundle.MaxKeyConfig-len(short))
	doc, err := c.Encode()
	if err != nil || len(doc) != bundle.MaxKeyConfig {
		t.Fatalf("%d bytes: %v", len(doc), err)
	}
	if _, err := attest.ParseKeyConfig(doc); err != nil {
		t.Error(err)
	}
	last.ID += "m"
	if _, err := c.Encode(); err == nil {
		t.Error("one byte more is encoded")
	}
	longer := bytes.Replace(doc, []byte(`"id":"`), []byte(`"id":"m`), 1)
	if _, err := attest.ParseKeyConfig(longer); err == nil {
		t.Error("one byte more is read")
	}
}

func TestBundleLimits(t *testing.T) {
	names := func(s string) func(*bundle.Bundle) { return func(b *bundle.Bundle) { b.Evidence[0].Platform = s } }
	pieces := func(n int) func(*bundle.Bundle) {
		return func(b *bundle.Bundle) {
			one := b.Evidence[0]
			b.Evidence = nil
			for range n {
				b.Evidence = append(b.Evidence, one)
			}
		}
	}
	checkpoint := func(n int) func(*bundle.Bundle) { return func(b *bundle.Bundle) { b.Checkpoint = make([]byte, n) } }
	config := func(n int) func(*bundle.Bundle) { return func(b *bundle.Bundle) { b.KeyConfig = make([]byte, n) } }
	for _, tt := range []struct {
		name string
		edit func(*bundle.Bundle)
		ok   bool
	}{
		{"as it is", func(*bundle.Bundle) {}, true},
		{"version", func(b *bundle.Bundle) { b.V = 2 }, false},
		{"no key config", config(0), false},
		{"long key config", config(bundle.MaxKeyConfig), true},
		{"longer key config", config(bundle.MaxKeyConfig + 1), false},
		{"no evidence", pieces(0), false},
		{"much evidence", pieces(bundle.MaxEvidence), true},
		{"more evidence", pieces(bundle.MaxEvidence + 1), false},
		{"checkpoint", checkpoint(1), true},
		{"long checkpoint", checkpoint(bundle.MaxCheckpoint), true},
		{"longer checkpoint", checkpoint(bundle.MaxCheckpoint + 1), false},
		{"no data", func(b *bundle.Bundle) { b.Evidence[0].Data = nil }, false},
		{"letters and digits of a name", names("az09"), true},
		{"long name", names("abcdefghijklmnop"), true},
		{"longer name", names("abcdefghijklmnopq"), false},
		{"no name", names(""), false},
		{"before 0", names("a/"), false},
		{"after 9", names("a:"), false},
		{"before a", names("a`"), false},
		{"after z", names("a{"), false},
	} {
		b := bundle.Bundle{V: 1, KeyConfig: []byte("config"), Evidence: []bundle.Evidence{{Platform: "snp", Data: []byte{1}}}}
		tt.edit(&b)
		doc, err := b.Encode()
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
		if err != nil {
			continue
		}
		if _, err := attest.ParseBundle(doc); err != nil {
			t.Errorf("%s: its encoding: %v", tt.name, err)
		}
	}
}

// The same of bundles, whose data grows by 4 bytes for each 3.
func TestLongestBundle(t *testing.T) {
	make := func(name string, data int) bundle.Bundle {
		return bundle.Bundle{V: 1, KeyConfig: []byte("config"), Evidence: []bundle.Evidence{{Platform: name, Data: make([]byte, data)}}}
	}
	frame, err := make("p", 3).Encode()
	if err != nil {
		t.Fatal(err)
	}
	room := bundle.MaxBundle - len(frame) + 4
	name := strings.Repeat("p", 1+room%4)
	b := make(name, room/4*3)
	doc, err := b.Encode()
	if err != nil || len(doc) != bundle.MaxBundle {
		t.Fatalf("%d bytes: %v", len(doc), err)
	}
	if _, err := attest.ParseBundle(doc); err != nil {
		t.Error(err)
	}
	b.Evidence[0].Platform += "p"
	if _, err := b.Encode(); err == nil {
		t.Error("one byte more is encoded")
	}
	longer := bytes.Replace(doc, []byte(`"platform":"`), []byte(`"platform":"p`), 1)
	if _, err := attest.ParseBundle(longer); err == nil {
		t.Error("one byte more is read")
	}
}

func TestBase64URL(t *testing.T) {
	var b bundle.Base64URL
	if err := b.UnmarshalText([]byte("-_8")); err != nil || !bytes.Equal(b, []byte{0xfb, 0xff}) {
		t.Errorf("%x, %v", b, err)
	}
	for _, s := range []string{"-_9", "+/8", "-_8=", "!"} {
		if err := b.UnmarshalText([]byte(s)); err == nil {
			t.Errorf("%q: accepted", s)
		}
	}
	if text, err := (bundle.Base64URL{0xfb, 0xff}).MarshalText(); err != nil || string(text) != base64.RawURLEncoding.EncodeToString([]byte{0xfb, 0xff}) {
		t.Errorf("%q, %v", text, err)
	}
}
