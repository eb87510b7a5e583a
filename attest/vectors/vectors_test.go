// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package vectors_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/software/forge"
	"github.com/sotto-chat/sotto/attest/vectors"
)

var update = flag.Bool("update", false, "write spec/vectors/attest anew")

const dir = "../../spec/vectors/attest"

// made is 2027-01-15 08:00:00 UTC, when every vector's key was made.
const made = 1_800_000_000

func config() attest.KeyConfig {
	key := make([]byte, attest.PublicKeySize)
	for i := range key {
		key[i] = byte(i)
	}
	return attest.KeyConfig{
		V: 1, Node: "00112233445566778899aabbccddeeff", Suite: attest.Suite, PublicKey: key,
		NotBefore: made, NotAfter: made + 900, Release: "sha256:" + strings.Repeat("5a", 32),
		Models: []attest.Model{{ID: "sotto-demo", Digest: "sha256:" + strings.Repeat("c3", 32), Context: 2048}, {ID: "other/model:7b", Digest: "none"}},
	}
}

// bundle makes software evidence for a config, then lets edit change the bytes.
func bundle(t *testing.T, c attest.KeyConfig, edit func(*attest.Bundle)) []byte {
	t.Helper()
	exact, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	es, err := forge.Evidence(attest.ReportData(exact))
	if err != nil {
		t.Fatal(err)
	}
	b := attest.Bundle{V: 1, KeyConfig: exact, Evidence: es}
	if edit != nil {
		edit(&b)
	}
	doc, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func cases(t *testing.T) []vectors.Vector {
	demo := attest.Policy{AllowSoftware: true}
	good := bundle(t, config(), nil)
	with := func(f func(*attest.KeyConfig)) []byte {
		c := config()
		f(&c)
		return bundle(t, c, nil)
	}
	swap := func(old, new string) []byte { return bytes.Replace(good, []byte(old), []byte(new), 1) }
	at := func(d time.Duration) int64 { return made + int64(d/time.Second) }
	m := at(time.Minute)
	return []vectors.Vector{
		{Name: "software-allowed", Comment: "Software evidence, and a client that was told to accept it.", Policy: demo, Time: m, Bundle: good, State: "demo"},
		{Name: "software-refused", Comment: "The same bundle, and a client that was told nothing.", Time: m, Bundle: good, State: "failed", Failure: "software_refused"},
		{Name: "key-last-second", Comment: "One second before the key's end.", Policy: demo, Time: at(899 * time.Second), Bundle: good, State: "demo"},
		{Name: "key-expired", Comment: "The second in which the key ends.", Policy: demo, Time: at(900 * time.Second), Bundle: good, State: "unknown", Failure: "key_expired"},
		{Name: "key-expired-and-software-refused", Comment: "Out of date and refused: what is wrong weighs more than what could not be checked.", Time: at(900 * time.Second), Bundle: good, State: "failed", Failure: "key_expired"},
		{Name: "key-clock-skew", Comment: "A client whose clock is five minutes behind.", Policy: demo, Time: at(-300 * time.Second), Bundle: good, State: "demo"},
		{Name: "key-not-yet-valid", Comment: "A client whose clock is more than five minutes behind.", Policy: demo, Time: at(-301 * time.Second), Bundle: good, State: "unknown", Failure: "key_not_yet_valid"},
		{Name: "key-lifetime", Comment: "A key for longer than an hour.", Policy: demo, Time: m, Bundle: with(func(c *attest.KeyConfig) { c.NotAfter = made + 3601 }), State: "failed", Failure: "key_lifetime"},
		{Name: "key-suite", Comment: "A suite that this client does not have.", Policy: demo, Time: m, Bundle: with(func(c *attest.KeyConfig) { c.Suite = "X25519,HKDF-SHA256,AES-128-GCM" }), State: "failed", Failure: "key_suite"},
		{Name: "release-accepted", Comment: "A policy that names the release.", Policy: attest.Policy{AllowSoftware: true, Releases: []string{"sha256:" + strings.Repeat("5a", 32)}}, Time: m, Bundle: good, State: "demo"},
		{Name: "release-refused", Comment: "A policy that names another release.", Policy: attest.Policy{AllowSoftware: true, Releases: []string{"sha256:" + strings.Repeat("5b", 32)}}, Time: m, Bundle: good, State: "failed", Failure: "release_refused"},
		{Name: "platform-missing", Comment: "A policy that asks for hardware.", Policy: attest.Policy{AllowSoftware: true, Require: []string{"snp"}}, Time: m, Bundle: good, State: "failed", Failure: "platform_missing"},
		{Name: "platform-unknown", Comment: "A platform that nobody has.", Policy: demo, Time: m, Bundle: bundle(t, config(), func(b *attest.Bundle) { b.Evidence[0].Platform = "abacus" }), State: "unknown", Failure: "platform_unknown"},
		{Name: "platform-unknown-beside-software", Comment: "One piece of evidence can be judged, the other can't: all must be.", Policy: demo, Time: m, Bundle: bundle(t, config(), func(b *attest.Bundle) {
			b.Evidence = append(b.Evidence, attest.Evidence{Platform: "abacus", Data: []byte{1}})
		}), State: "unknown", Failure: "platform_unknown"},
		{Name: "software-evidence-truncated", Comment: "The signature lacks its last byte.", Policy: demo, Time: m, Bundle: bundle(t, config(), func(b *attest.Bundle) { b.Evidence[0].Data = b.Evidence[0].Data[:63] }), State: "failed", Failure: "evidence_malformed"},
		{Name: "software-evidence-flipped", Comment: "One bit of the signature is flipped.", Policy: demo, Time: m, Bundle: bundle(t, config(), func(b *attest.Bundle) { b.Evidence[0].Data[5] ^= 1 }), State: "failed", Failure: "key_not_bound"},
		{Name: "key-not-bound", Comment: "Evidence of one key beside the config of another.", Policy: demo, Time: m, Bundle: bundle(t, config(), func(b *attest.Bundle) {
			c := config()
			c.Node = strings.Repeat("f", 32)
			b.KeyConfig, _ = c.Encode()
		}), State: "failed", Failure: "key_not_bound"},
		{Name: "key-config-malformed", Comment: "A space inside the key config, with evidence that signs it.", Policy: demo, Time: m, Bundle: bundle(t, config(), func(b *attest.Bundle) {
			b.KeyConfig = bytes.Replace(b.KeyConfig, []byte(`,"node"`), []byte(`, "node"`), 1)
			b.Evidence, _ = forge.Evidence(attest.ReportData(b.KeyConfig))
		}), State: "failed", Failure: "key_config_malformed"},
		{Name: "key-config-short-key", Comment: "A public key of one byte too few.", Policy: demo, Time: m, Bundle: bundle(t, config(), func(b *attest.Bundle) {
			b.KeyConfig = bytes.Replace(b.KeyConfig, []byte(`"public_key":"AAEC`), []byte(`"public_key":"`), 1)
			b.Evidence, _ = forge.Evidence(attest.ReportData(b.KeyConfig))
		}), State: "failed", Failure: "key_config_malformed"},
		{Name: "bundle-empty", Comment: "No bytes at all.", Policy: demo, Time: m, Bundle: []byte{}, State: "failed", Failure: "bundle_malformed"},
		{Name: "bundle-trailing-bytes", Comment: "A newline after the end.", Policy: demo, Time: m, Bundle: append(bytes.Clone(good), '\n'), State: "failed", Failure: "bundle_malformed"},
		{Name: "bundle-truncated", Comment: "The last byte is missing.", Policy: demo, Time: m, Bundle: good[:len(good)-1], State: "failed", Failure: "bundle_malformed"},
		{Name: "bundle-unknown-field", Comment: "A field that the format doesn't have.", Policy: demo, Time: m, Bundle: swap(`{"v":1,`, `{"v":1,"note":"x",`), State: "failed", Failure: "bundle_malformed"},
		{Name: "bundle-repeated-field", Comment: "The same field twice.", Policy: demo, Time: m, Bundle: swap(`{"v":1,`, `{"v":1,"v":1,`), State: "failed", Failure: "bundle_malformed"},
		{Name: "bundle-escaped-string", Comment: "A string written with an escape.", Policy: demo, Time: m, Bundle: swap(`"software"`, `"\u0073oftware"`), State: "failed", Failure: "bundle_malformed"},
		{Name: "bundle-no-evidence", Comment: "An empty list of evidence.", Policy: demo, Time: m, Bundle: append(good[:bytes.Index(good, []byte(`"evidence":[`))+len(`"evidence":[`):bytes.Index(good, []byte(`"evidence":[`))+len(`"evidence":[`)], "]}"...), State: "failed", Failure: "bundle_malformed"},
		{Name: "bundle-version", Comment: "A version that is not 1.", Policy: demo, Time: m, Bundle: swap(`{"v":1,`, `{"v":2,`), State: "failed", Failure: "bundle_malformed"},
	}
}

// TestVectors runs each file of the folder, and holds the folder against the
// cases above: a vector that nobody can make again is a vector nobody trusts.
func TestVectors(t *testing.T) {
	names := map[string]bool{}
	for _, v := range cases(t) {
		file := filepath.Join(dir, v.Name+".json")
		names[file] = true
		doc := encode(t, v)
		if *update {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, doc, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		stored, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := vectors.Check(stored); err != nil {
			t.Error(err)
		}
		if !bytes.Equal(stored, doc) {
			t.Errorf("%s is not what its case makes; run with -update and look at the difference", file)
		}
	}
	for _, v := range hardwareCases() {
		names[filepath.Join(dir, v.Name+".json")] = true
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) != len(names) {
		t.Fatalf("%d files for %d cases (%v)", len(files), len(names), err)
	}
}

// encode fills in the verdict and writes the vector as its file has it.
func encode(t *testing.T, v vectors.Vector) []byte {
	t.Helper()
	v.Verdict = json.RawMessage("{}")
	doc, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if v.Verdict, err = vectors.Run(doc); err != nil {
		t.Fatal(err)
	}
	if doc, err = json.MarshalIndent(v, "", "  "); err != nil {
		t.Fatal(err)
	}
	return append(doc, '\n')
}

// The checker itself must be able to fail.
func TestCheckNotices(t *testing.T) {
	v := cases(t)[0]
	doc := encode(t, v)
	for name, change := range map[string][2]string{
		"state":         {`"state": "demo",`, `"state": "verified",`},
		"a sentence":    {"No chip vouches", "A chip vouches"},
		"unknown field": {`"name":`, `"title":"x","name":`},
		"time":          {`"time": 1800000060`, `"time": 1800000900`},
	} {
		broken := bytes.Replace(doc, []byte(change[0]), []byte(change[1]), 1)
		if bytes.Equal(broken, doc) {
			t.Fatalf("%s: the change did not take", name)
		}
		if err := vectors.Check(broken); err == nil {
			t.Errorf("%s: not noticed", name)
		}
	}
}

func FuzzRun(f *testing.F) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		doc, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(doc)
	}
	f.Fuzz(func(t *testing.T, doc []byte) { _, _ = vectors.Run(doc) })
}
