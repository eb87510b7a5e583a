// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

//go:build !js

package token

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/seal/bhttp"
)

// Attacks on requests are vectors (spec/vectors/token.json, "spend"). These are on
// what else there is.

// TestFinishRefuses: an issuer can't slip a signature in that isn't over what was
// blinded, by the key that was named.
func TestFinishRefuses(t *testing.T) {
	key, other := testKeys()
	p, blinded, err := Blind(key.Public(), testChallenge, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good, err := key.Sign(blinded)
	if err != nil {
		t.Fatal(err)
	}
	_, blinded2, err := Blind(key.Public(), testChallenge, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	second, err := key.Sign(blinded2)
	if err != nil {
		t.Fatal(err)
	}
	// What is below the one modulus may be above the other.
	byOther, err := other.signer.BlindSign(append([]byte{0}, blinded[1:]...))
	if err != nil {
		t.Fatal(err)
	}
	for name, sig := range map[string][]byte{
		"none":             nil,
		"short":            good[1:],
		"long":             append([]byte{0}, good...),
		"zero":             make([]byte, BlindedSize),
		"the modulus":      key.rsa.N.Bytes(),
		"all ones":         bytes.Repeat([]byte{0xff}, BlindedSize),
		"of another token": second,
		"by another key":   byOther,
		"not signed":       blinded,
	} {
		if _, err := p.Finish(sig); !errors.Is(err, &Error{Invalid}) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := p.Finish(good); err != nil {
		t.Error(err)
	}
}

func TestSignRefuses(t *testing.T) {
	key, _ := testKeys()
	for name, b := range map[string][]byte{
		"none":        nil,
		"short":       make([]byte, BlindedSize-1),
		"long":        bytes.Repeat([]byte{1}, BlindedSize+1),
		"zero":        make([]byte, BlindedSize),
		"the modulus": key.rsa.N.Bytes(),
		"all ones":    bytes.Repeat([]byte{0xff}, BlindedSize),
	} {
		if _, err := key.Sign(b); !errors.Is(err, &Error{Malformed}) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := (PrivateKey{}).Sign(bytes.Repeat([]byte{1}, BlindedSize)); err != ErrKey {
		t.Errorf("no key: %v", err)
	}
	// One message, one signature: a refund that is asked for again is the same.
	one, err := key.Sign(bytes.Repeat([]byte{1}, BlindedSize))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := key.Sign(bytes.Repeat([]byte{1}, BlindedSize)); err != nil || !bytes.Equal(one, again) {
		t.Errorf("another signature of the same message: %v", err)
	}
}

// TestBlindedTellsNothing: two blindings of the same token have nothing in common,
// and a token's signature isn't what was signed.
func TestBlindedTellsNothing(t *testing.T) {
	key, _ := testKeys()
	var p [2]*Pending
	for i := range p {
		p[i] = &Pending{key: key.Public(), challenge: testChallenge.Digest()}
		if err := p[i].blindInput([32]byte{1}, &stream{seed: [32]byte{byte(i)}}); err != nil {
			t.Fatal(err)
		}
	}
	if bytes.Equal(p[0].Blinded(), p[1].Blinded()) {
		t.Error("the blinded message follows from the token")
	}
	sig, err := key.Sign(p[0].Blinded())
	if err != nil {
		t.Fatal(err)
	}
	tok, err := p[0].Finish(sig)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(tok.Marshal(), sig) {
		t.Error("the token shows the blind signature")
	}
}

func TestBlindRefuses(t *testing.T) {
	key, _ := testKeys()
	if _, _, err := Blind(PublicKey{}, testChallenge, rand.Reader); err != ErrKey {
		t.Errorf("no key: %v", err)
	}
	if _, _, err := Blind(key.Public(), Challenge{"tokens.sotto.example", "Sotto"}, rand.Reader); err == nil {
		t.Error("a product in capitals")
	}
	if _, _, err := Blind(key.Public(), testChallenge, strings.NewReader("short")); err == nil {
		t.Error("a source of 5 bytes")
	}
	if _, err := Resume(key.Public(), Challenge{}, [32]byte{}); err == nil {
		t.Error("no challenge")
	}
	if err := (Spend{}).Verify(PublicKey{}, [32]byte{}, [32]byte{}); err == nil {
		t.Error("verified with no key")
	}
	if none := (PublicKey{}); !none.IsZero() || none.ID() != [32]byte{} || none.SPKI() != nil || key.Public().IsZero() {
		t.Error("no key is a key")
	}
}

func TestPrivateKeyForms(t *testing.T) {
	key, _ := testKeys()
	der, err := key.PKCS8()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParsePrivateKey(der)
	if err != nil || again.Public().ID() != key.Public().ID() {
		t.Errorf("read again: %v", err)
	}
	if _, err := (PrivateKey{}).PKCS8(); err != ErrKey {
		t.Errorf("no key: %v", err)
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	smallDER, err := x509.MarshalPKCS8PrivateKey(small)
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	edwardsDER, err := x509.MarshalPKCS8PrivateKey(edwards)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"nothing": nil, "Ed25519": edwardsDER, "not a key": {0x30, 0}, "1024 bits": smallDER, "cut": der[:len(der)-1], "trailing": append(bytes.Clone(der), 0)} {
		if _, err := ParsePrivateKey(b); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestRestoreRefuses(t *testing.T) {
	key, _ := testKeys()
	stored := newToken(t, key, testChallenge).Store()
	for name, i := range map[string]int{"seed": 0, "type": seedSize + 1, "nonce": seedSize + 2} {
		b := bytes.Clone(stored)
		b[i] ^= 1
		if _, err := Restore(b); !errors.Is(err, &Error{Malformed}) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, b := range [][]byte{nil, stored[1:], append(bytes.Clone(stored), 0)} {
		if _, err := Restore(b); !errors.Is(err, &Error{Malformed}) {
			t.Errorf("%d bytes: %v", len(b), err)
		}
	}
}

func TestFieldsRefuse(t *testing.T) {
	key, _ := testKeys()
	tok := newToken(t, key, testChallenge)
	if _, err := tok.Fields([]byte("GET / HTTP/1.1"), nil); err != ErrNotSealed {
		t.Errorf("in the clear: %v", err)
	}
	if _, err := tok.Fields(message(1), make([]byte, 255)); !errors.Is(err, &Error{RefundMalformed}) {
		t.Errorf("refund of 255 bytes: %v", err)
	}
	if _, err := tok.RefundFields(nil); !errors.Is(err, &Error{RefundMalformed}) {
		t.Errorf("no refund: %v", err)
	}
}

func TestDays(t *testing.T) {
	const day = Day(20784)
	if day.String() != "2026-11-27" {
		t.Errorf("day %s", day)
	}
	for s, want := range map[string]Day{"2026-11-27": day, "1970-01-01": 0, "1969-12-31": -1} {
		if d, err := ParseDay(s); err != nil || d != want {
			t.Errorf("%s: %d, %v", s, d, err)
		}
		if d := DayOf(want.Start().Add(secondsPerDay*time.Second - 1)); d != want {
			t.Errorf("the end of %s is of day %d", s, d)
		}
	}
	for _, s := range []string{"", "2026-11-7", "2026-02-30", "2026-11-27 ", "+2026-11-27", "27.11.2026", strings.Repeat("9", 1000)} {
		if _, err := ParseDay(s); err == nil {
			t.Errorf("%.20q is a day", s)
		}
	}
	start, end := day.Start(), (day + 1).Start()
	for at, want := range map[time.Time]Failure{
		start.Add(-Early - 1): Future, start.Add(-Early): "", start: "",
		end: "", end.Add(Late - 1): "", end.Add(Late): Expired,
	} {
		err := day.Good(at)
		if want == "" && err != nil || want != "" && !errors.Is(err, &Error{want}) {
			t.Errorf("at %s: %v", at, err)
		}
	}
}

func TestErrors(t *testing.T) {
	if len(sentences) != len(Failures) {
		t.Fatal("not one sentence for each failure")
	}
	for _, f := range Failures {
		if msg := fail(f).Error(); !strings.HasPrefix(msg, "token: ") || strings.Contains(msg, string(f)) {
			t.Errorf("%s: %q", f, msg)
		}
		if errors.Is(fail(f), &Error{"other"}) || !errors.Is(fmt.Errorf("x: %w", fail(f)), &Error{f}) {
			t.Errorf("%s isn't found by its name", f)
		}
	}
	if (&Error{"new"}).Error() != "token: new" {
		t.Error("a failure of a later version has no text")
	}
}

// TestSecretsHide: no verb, log or document shows what a secret holds.
func TestSecretsHide(t *testing.T) {
	key, _ := testKeys()
	p, _, err := Blind(key.Public(), testChallenge, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{key, &key, p, *p, newToken(t, key, testChallenge)} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			if got := fmt.Sprintf(verb, v); got != hiddenText {
				t.Errorf("%T by %s: %.100s", v, verb, got)
			}
		}
		if b, err := json.Marshal(v); err != nil || string(b) != `"`+hiddenText+`"` {
			t.Errorf("%T as JSON: %.100s, %v", v, b, err)
		}
		var out strings.Builder
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
		if !strings.HasSuffix(out.String(), "v="+hiddenText+"\n") {
			t.Errorf("%T in a log: %.200s", v, out.String())
		}
		if s := v.(fmt.Stringer).String() + v.(fmt.GoStringer).GoString(); s != hiddenText+hiddenText {
			t.Errorf("%T: %.100s", v, s)
		}
	}
}

func TestAuthenticate(t *testing.T) {
	key, _ := testKeys()
	const want = `PrivateToken challenge="AAIAFHRva2Vucy5zb3R0by5leGFtcGxlAAAFc290dG8=", token-key="MIIBUjA9Bgkq`
	if got := testChallenge.Authenticate(key.Public()); !strings.HasPrefix(got, want) || !strings.HasSuffix(got, `"`) {
		t.Errorf("got %.120s", got)
	}
}

func seeds(f *testing.F) vectors { return readVectors(f) }

func FuzzParsePublicKey(f *testing.F) {
	for _, v := range seeds(f).Keys {
		f.Add([]byte(v.Bytes))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if k, err := ParsePublicKey(b); err == nil && !bytes.Equal(k.SPKI(), b) {
			t.Error("a key with two encodings")
		}
	})
}

func FuzzParseChallenge(f *testing.F) {
	for _, v := range seeds(f).Challenges {
		f.Add([]byte(v.Bytes))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := ParseChallenge(b); err == nil && !bytes.Equal(c.Bytes(), b) {
			t.Error("a challenge with two encodings")
		}
	})
}

func FuzzParseSpend(f *testing.F) {
	v := seeds(f)
	for _, v := range v.Spend {
		var s [3]string
		for _, field := range v.Fields {
			for i, name := range []string{FieldToken, FieldHolder, FieldRefund} {
				if field[0] == name {
					s[i] = field[1]
				}
			}
		}
		f.Add(s[0], s[1], s[2])
	}
	key, err := ParsePublicKey(v.RFC9578.Public)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, tok, holder, refund string) {
		fields := []bhttp.Field{{Name: FieldToken, Value: tok}, {Name: FieldHolder, Value: holder}}
		if refund != "" {
			fields = append(fields, bhttp.Field{Name: FieldRefund, Value: refund})
		}
		s, err := ParseSpend(fields)
		if err != nil {
			return
		}
		if scheme+encode(s.token[:])+schemeEnd != tok || encode(append(s.holder[:], s.sig[:]...)) != holder || refund != encode(s.refund) {
			t.Error("fields with two encodings")
		}
		s.Verify(key, testChallenge.Digest(), [32]byte{})
		s.VerifyRefund(key, testChallenge.Digest())
	})
}

func FuzzRestore(f *testing.F) {
	key, _ := testKeys()
	f.Add(newToken(f, key, testChallenge).Store())
	f.Fuzz(func(t *testing.T, b []byte) {
		if tok, err := Restore(b); err == nil && !bytes.Equal(tok.Store(), b) {
			t.Error("a stored token with two encodings")
		}
	})
}

func FuzzParsePrivateKey(f *testing.F) {
	key, _ := testKeys()
	der, err := key.PKCS8()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der)
	f.Fuzz(func(t *testing.T, b []byte) { ParsePrivateKey(b) })
}
