// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tlog

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestKeyFiles(t *testing.T) {
	s, c := must(GenerateSigner("log.example")), must(GenerateCosigner("w.example"))
	if back, err := ParseSigner(s.Secret()); err != nil || back.Key() != s.Key() || !back.priv.Equal(*s.priv) {
		t.Error(back, err)
	}
	if back, err := ParseCosigner(strings.TrimSuffix(c.Secret(), "\n")); err != nil || back.Key() != c.Key() || !back.priv.Equal(*c.priv) {
		t.Error(back, err)
	}
	if s.Key() == must(GenerateSigner("log.example")).Key() {
		t.Error("the same key twice")
	}
	line := testLog.Secret()
	parts := strings.Split(strings.TrimSuffix(line, "\n"), "+")
	id, data := parts[3], strings.Join(parts[4:], "+")
	rest := id + "+" + data
	for _, tt := range []struct{ name, file, detail string }{
		{"empty", "", "not one line"},
		{"public key", testLog.Key().String(), "not one line"},
		{"a newline before", "\n" + line, "not one line"},
		{"two newlines", line + "\n", "not one line"},
		{"two lines", line + line, "not one line"},
		{"no key", "PRIVATE+KEY+log.example", "not one line"},
		{"no name", "PRIVATE+KEY++" + rest, "a key's name"},
		{"another name", "PRIVATE+KEY+x+" + rest, "another hash"},
		{"upper-case hash", "PRIVATE+KEY+log.example/sotto+" + strings.ToUpper(id) + "+" + data, "another hash"},
		{"a witness's", w1.Secret(), "of another kind"},
		{"a short key", "PRIVATE+KEY+log.example/sotto+" + id + "+" + b64([]byte{1}, testLog.priv.Seed()[:31]), "not one line"},
		{"a long key", "PRIVATE+KEY+log.example/sotto+" + id + "+" + b64([]byte{1}, testLog.priv.Seed(), []byte{0}), "not one line"},
		{"not base64", "PRIVATE+KEY+log.example/sotto+" + id + "+*" + data, "not one line"},
	} {
		if s, err := ParseSigner(tt.file); err == nil || !strings.Contains(err.Error(), tt.detail) || s.priv != nil {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.detail)
		} else if strings.Contains(err.Error(), data) {
			t.Errorf("%s: the error tells the key", tt.name)
		}
	}
	if _, err := ParseCosigner(line); err == nil || !strings.Contains(err.Error(), "of another kind") {
		t.Error("a log's key as a witness's")
	}
	for _, key := range []ed25519.PrivateKey{nil, make([]byte, 63), make([]byte, 65)} {
		if s, err := NewSigner("log.example", key); err == nil || s.priv != nil {
			t.Error("a signer with a key of", len(key), "bytes")
		}
		if c, err := NewCosigner("w.example", key); err == nil || c.priv != nil {
			t.Error("a witness with a key of", len(key), "bytes")
		}
	}
	if s, err := NewSigner("a b", seed("log")); err == nil || s.priv != nil {
		t.Error("a name with a space")
	}
}

// Nothing that is printed, logged or marshalled tells the key.
func TestSecretsHide(t *testing.T) {
	var out bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("a line", "log", testLog, "witness", w1, "both", []any{testLog, &w1}, "in", struct{ S Signer }{testLog})
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b"} {
		fmt.Fprintf(&out, verb+"\n", testLog)
		fmt.Fprintf(&out, verb+"\n", &w1)
		fmt.Fprintf(&out, verb+"\n", struct{ C Cosigner }{w1})
		fmt.Fprintf(&out, verb+"\n", []Signer{testLog})
	}
	doc := must(json.Marshal([]any{testLog, w1, &w1}))
	out.Write(doc)
	said := out.String()
	if !strings.Contains(said, "[private key of log.example/sotto]") || !strings.Contains(said, "[private key of w1.example]") {
		t.Error(said)
	}
	for _, priv := range []ed25519.PrivateKey{*testLog.priv, *w1.priv} {
		for _, secret := range []string{hex.EncodeToString(priv.Seed()[:8]), strings.ToUpper(hex.EncodeToString(priv.Seed()[:8])),
			base64.StdEncoding.EncodeToString(priv.Seed()[:6]), strings.Trim(fmt.Sprint(priv.Seed()[:6]), "[]"), string(priv.Seed()[:6]),
			strings.Trim(fmt.Sprintf("%#v", priv.Seed()[:5]), "[]byte{}"), strings.Trim(fmt.Sprintf("%o", priv.Seed()[:5]), "[]"), strings.Trim(fmt.Sprintf("%b", priv.Seed()[:5]), "[]")} {
			if strings.Contains(said, secret) {
				t.Errorf("%q is in:\n%s", secret, said)
			}
		}
	}
}

func TestSignerNote(t *testing.T) {
	x := []byte("a text\n\nof two\n")
	b, err := testLog.Note(x)
	if err != nil {
		t.Fatal(err)
	}
	n := must(ParseNote(b))
	if _, ok := n.VerifiedBy(testLog.Key()); !ok || !bytes.Equal(n.Text, x) {
		t.Errorf("%s", b)
	}
	if bare := must(testLog.Sign(x)); !bytes.Equal(bare, n.Signatures[0].Data) || testLog.Name() != n.Signatures[0].Name ||
		testLog.KeyHash() != 0x01000000*uint32(n.Signatures[0].KeyID[0])+0x010000*uint32(n.Signatures[0].KeyID[1])+0x0100*uint32(n.Signatures[0].KeyID[2])+uint32(n.Signatures[0].KeyID[3]) {
		t.Error("Sign and Note differ")
	}
	for _, text := range []string{"no newline", "", "a\tb\n", "\xff\n", "a\n\n" + sigStart + "a AAAAAAA=", "two newlines at the end of this are fine\n\n\n"} {
		_, err := testLog.Note([]byte(text))
		if good := strings.HasPrefix(text, "two"); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
}
