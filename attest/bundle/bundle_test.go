// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package bundle_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/bundle"
)

func testConfig() bundle.KeyConfig {
	return bundle.KeyConfig{
		V: 1, Node: strings.Repeat("0a", 16), Suite: bundle.Suite,
		PublicKey: bytes.Repeat([]byte{7}, bundle.PublicKeySize),
		NotBefore: 1_800_000_000, NotAfter: 1_800_000_900,
		Release: "sha256:" + strings.Repeat("ab", 32),
		Models:  []bundle.Model{{ID: "demo", Digest: "none", Context: 4096}},
	}
}

func testBundle(t testing.TB, c bundle.KeyConfig, platform string) []byte {
	t.Helper()
	config, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := bundle.Bundle{V: 1, KeyConfig: config, Evidence: []bundle.Evidence{{Platform: platform, Data: []byte("quote")}}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestCanonicalFormOnly(t *testing.T) {
	config, err := testConfig().Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := attest.ParseKeyConfig(config); err != nil {
		t.Fatalf("own encoding: %v", err)
	}
	s := string(config)
	swap := func(old, new string) string {
		if !strings.Contains(s, old) {
			t.Fatalf("%q is not in %s", old, s)
		}
		return strings.Replace(s, old, new, 1)
	}
	for name, doc := range map[string]string{
		"empty":             "",
		"null":              "null",
		"trailing newline":  s + "\n",
		"trailing document": s + s,
		"white space":       swap(`{"v":1,`, `{"v": 1,`),
		"unknown field":     swap(`{"v":1,`, `{"v":1,"x":1,`),
		"repeated field":    swap(`{"v":1,`, `{"v":1,"v":1,`),
		"other case":        swap(`"node"`, `"Node"`),
		"other order":       swap(`"anchor":""}`, `"anchor":"","v":1}`),
		"number spelling":   swap(`{"v":1,`, `{"v":1.0,`),
		"escaped string":    swap(`"demo"`, `"\u0064emo"`),
		"padded base64":     swap(`","not_before"`, `=","not_before"`),
		"null list":         swap(`[{"id":"demo","digest":"none","context":4096}]`, `null`),
		"zero optional":     swap(`"context":4096`, `"context":0`),
		"negative context":  swap(`"context":4096`, `"context":-1`),
		"version":           swap(`{"v":1,`, `{"v":2,`),
		"upper-case hex":    swap(`0a0a`, `0A0a`),
		"short node":        swap(`0a0a`, `0a`),
		"short key":         swap(`BwcH`, ``),
		"bad digest":        swap(`sha256:`, `sha512:`),
		"control character": swap(`"demo"`, "\"de\x7fmo\""),
		"markup":            swap(`"demo"`, `"<b>"`),
		"quote":             swap(`"demo"`, `"a\"b"`),
		"empty model id":    swap(`"demo"`, `""`),
		"long model id":     swap(`"demo"`, `"`+strings.Repeat("m", 257)+`"`),
		"span backwards":    swap(`"not_after":`, `"not_after":-`),
		"far future":        swap(`"not_after":`, `"not_after":9999999`),
		"too long":          s + strings.Repeat(" ", bundle.MaxKeyConfig),
	} {
		if _, err := attest.ParseKeyConfig([]byte(doc)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestBundleCanonicalFormOnly(t *testing.T) {
	s := string(testBundle(t, testConfig(), "snp"))
	swap := func(old, new string) string { return strings.Replace(s, old, new, 1) }
	for name, doc := range map[string]string{
		"trailing":          s + " ",
		"unknown field":     swap(`"snp"`, `"snp","more":1`),
		"no evidence":       swap(`[{"platform":"snp","data":"cXVvdGU="}]`, `[]`),
		"null evidence":     swap(`[{"platform":"snp","data":"cXVvdGU="}]`, `null`),
		"empty data":        swap(`cXVvdGU=`, ``),
		"unpadded base64":   swap(`cXVvdGU=`, `cXVvdGU`),
		"base64 with lines": swap(`cXVvdGU=`, `cXVv\ndGU=`),
		"loose base64 bits": swap(`cXVvdGU=`, `cXVvdGV=`),
		"platform in caps":  swap(`"snp"`, `"SNP"`),
		"platform empty":    swap(`"snp"`, `""`),
		"platform long":     swap(`"snp"`, `"abcdefghijklmnopq"`),
		"empty checkpoint":  swap(`}]}`, `}],"checkpoint":""}`),
		"null checkpoint":   swap(`}]}`, `}],"checkpoint":null}`),
		"checkpoint before": swap(`"evidence"`, `"checkpoint":"bG9n","evidence"`),
		"too many": swap(`[{"platform":"snp","data":"cXVvdGU="}]`,
			"["+strings.Repeat(`{"platform":"snp","data":"cXVvdGU="},`, bundle.MaxEvidence)+`{"platform":"snp","data":"cXVvdGU="}]`),
	} {
		if doc == s {
			t.Fatalf("%s: the change did not take", name)
		}
		if _, err := attest.ParseBundle([]byte(doc)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := attest.ParseBundle(make([]byte, bundle.MaxBundle+1)); err == nil {
		t.Error("oversize bundle accepted")
	}
}

func FuzzParseBundle(f *testing.F) {
	f.Add(testBundle(f, testConfig(), "snp"))
	f.Add([]byte(`{"v":1,"key_config":"e30=","evidence":[{"platform":"snp","data":"eA=="}],"checkpoint":"bG9n"}`))
	f.Add([]byte(`{"v":1,"key_config":"e30=","evidence":[{"platform":"snp","data":"eA=="}],"checkpoint":""}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		b, err := attest.ParseBundle(doc)
		if err != nil {
			return
		}
		again, err := b.Encode()
		if err != nil || !bytes.Equal(again, doc) {
			t.Fatalf("accepted %q, encodes as %q (%v)", doc, again, err)
		}
	})
}

func FuzzParseKeyConfig(f *testing.F) {
	config, err := testConfig().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(config)
	f.Add([]byte(`{"v":1}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		c, err := attest.ParseKeyConfig(doc)
		if err != nil {
			return
		}
		again, err := c.Encode()
		if err != nil || !bytes.Equal(again, doc) {
			t.Fatalf("accepted %q, encodes as %q (%v)", doc, again, err)
		}
	})
}
