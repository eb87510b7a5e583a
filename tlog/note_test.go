// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tlog

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
)

func b64(parts ...[]byte) string {
	return base64.StdEncoding.EncodeToString(bytes.Join(parts, nil))
}

func TestParseKey(t *testing.T) {
	for _, k := range []Key{testLog.Key(), w2.Key()} {
		if got, err := ParseKey(k.String()); err != nil || got != k || got.Name() != k.Name() {
			t.Errorf("%v: %v, %v", k, got, err)
		}
	}
	if testLog.Key().Cosigns() || !w1.Key().Cosigns() {
		t.Error("who cosigns?")
	}
	vkey := testLog.Key().String()
	name, _, _ := strings.Cut(vkey, "+")
	of := func(name string, alg byte, pub []byte) string {
		k := Key{name: name, alg: alg, pub: testLog.Key().pub}
		k.id = keyID(name, alg, pub)
		id := k.String()[len(name)+1 : len(name)+9]
		return name + "+" + id + "+" + b64([]byte{alg}, pub)
	}
	pub := testLog.key.pub[:]
	if of(name, 1, pub) != vkey {
		t.Fatal("of is wrong")
	}
	for _, tt := range []struct{ name, key, detail string }{
		{"empty", "", "not name+hash+key"},
		{"name only", name, "not name+hash+key"},
		{"no key", vkey[:len(name)+9], "not name+hash+key"},
		{"no name", of("", 1, pub), "not name+hash+key"},
		{"space in the name", of("a b", 1, pub), "not name+hash+key"},
		{"other space in the name", of("a\u2003b", 1, pub), "not name+hash+key"},
		{"control character in the name", of("a\x01b", 1, pub), "not name+hash+key"},
		{"name is not UTF-8", of("a\xffb", 1, pub), "not name+hash+key"},
		{"plus in the name", of("a+b", 1, pub), "not name+hash+key"},
		{"name too long", of(strings.Repeat("n", maxName+1), 1, pub), "not name+hash+key"},
		{"long name", of(strings.Repeat("n", maxName), 1, pub), ""},
		{"name of another script", of("протокол.example", 1, pub), ""},
		{"upper-case hash", name + "+" + strings.ToUpper(vkey[len(name)+1:len(name)+9]) + vkey[len(name)+9:], "another hash"},
		{"short hash", name + "+" + vkey[len(name)+2:], "not name+hash+key"},
		{"other hash", of("other", 1, pub)[len("other"):], "not name+hash+key"},
		{"hash of another name", name + of("other", 1, pub)[len("other"):], "another hash"},
		{"type 00", of(name, 0, pub), "of another kind"},
		{"type 02", of(name, 2, pub), "of another kind"},
		{"type 04", of(name, 4, pub), ""},
		{"type 06", of(name, 6, pub), "of another kind"},
		{"short key", of(name, 1, pub[:31]), "of another kind"},
		{"shorter key", of(name, 1, pub[:29]), "not name+hash+key"},
		{"long key", of(name, 1, append(pub[:32:32], 0)), "not name+hash+key"},
		{"not base64", vkey[:len(vkey)-2] + "!=", "not in base64"},
		{"base64 for URLs", name + "+" + vkey[len(name)+1:len(name)+10] + strings.Repeat("_", 44), "not in base64"},
		{"more after it", vkey + "+", "not name+hash+key"},
		{"newline", vkey + "\n", "not name+hash+key"},
	} {
		k, err := ParseKey(tt.key)
		if tt.detail == "" {
			if err != nil || k.String() != tt.key {
				t.Errorf("%s: %v, %v", tt.name, k, err)
			}
			continue
		}
		wantFailure(t, tt.name, err, FailMalformed, tt.detail)
	}
}

func TestParseNote(t *testing.T) {
	x := []byte("first\n\nsecond\n")
	good := note(x, testLog.Signature(x))
	line := string(good[len(x)+1:])
	_, data, _ := strings.Cut(strings.TrimPrefix(line, sigStart), " ")
	data = strings.TrimSuffix(data, "\n")
	n, err := ParseNote(good)
	if err != nil || !bytes.Equal(n.Text, x) || len(n.Signatures) != 1 || !bytes.Equal(n.Encode(), good) {
		t.Fatalf("%+v, %v", n, err)
	}
	text := string(x) + "\n"
	for _, tt := range []struct{ name, note, detail string }{
		{"good", text + line, ""},
		{"empty", "", "not text, an empty line and signatures"},
		{"text only", string(x), "not a dash"}, // "second" stands where a signature should
		{"one line", "first\n", "not text, an empty line and signatures"},
		{"no signature", text, "no signature"},
		{"empty text", "\n\n" + line, ""},
		{"no empty line", "first\n" + line, "not text, an empty line and signatures"},
		{"empty line after it", text + line + "\n", "no signature"},
		{"text after it", text + line + "x\n", "not a dash"},
		{"no newline", text + line[:len(line)-1], "doesn't end in a newline"},
		{"carriage return", "first\r\n\n" + line, "control character"},
		{"tab", "a\tb\n\n" + line, "control character"},
		{"zero", "a\x00\n\n" + line, "control character"},
		{"delete", "a\x7f\n\n" + line, ""},
		{"not UTF-8", "a\xff\n\n" + line, "not text, an empty line and signatures"},
		{"other text", "é\u2028\n\n" + line, ""},
		{"another dash", text + "- " + line[len(sigStart):], "not a dash"},
		{"no space after the dash", text + "—" + line[len(sigStart):], "not a dash"},
		{"no name", text + "—  " + data + "\n", "not a dash"},
		{"plus in the name", text + sigStart + "a+b " + data + "\n", "not a dash"},
		{"space in the name", text + sigStart + "a\u00a0b " + data + "\n", "not a dash"},
		{"two spaces", text + sigStart + "a  " + data + "\n", "not a dash"},
		{"no signature data", text + sigStart + "a \n", "not a dash"},
		{"name alone", text + sigStart + "a\n", "not a dash"},
		{"key id alone", text + sigStart + "a AAAAAA==\n", "not a dash"},
		{"a byte after the key id", text + sigStart + "a AAAAAAA=\n", ""},
		{"more after it", text + sigStart + "a " + data + " x\n", "not a dash"},
		{"bits after the last byte", text + sigStart + "a AAAAAAB=\n", "not a dash"},
		{"no padding", text + sigStart + "a AAAAAAA\n", "not a dash"},
		{"as many as there may be", text + strings.Repeat(line, MaxSignatures), ""},
		{"too many", text + strings.Repeat(line, MaxSignatures+1), "too many"},
		{"as long as it may be", strings.Repeat("x", MaxNote-len(line)-2) + "\n\n" + line, ""},
		{"too long", strings.Repeat("x", MaxNote-len(line)-1) + "\n\n" + line, "too long"},
	} {
		n, err := ParseNote([]byte(tt.note))
		if tt.detail == "" {
			if err != nil || string(n.Encode()) != tt.note {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		wantFailure(t, tt.name, err, FailMalformed, tt.detail)
	}
}

func TestVerifiedBy(t *testing.T) {
	x := text(testTree, 9)
	changed := func(s Signature, at int) Signature {
		s.Data = bytes.Clone(s.Data)
		s.Data[at] ^= 1
		return s
	}
	by, cosig := testLog.Signature(x), w1.Cosign(x, made)
	named := func(s Signature, like Key) Signature { return Signature{like.name, like.id, s.Data} }
	renamed := func(s Signature, name string) Signature { return Signature{name, s.KeyID, s.Data} }
	for _, tt := range []struct {
		name string
		sigs []Signature
		key  Key
		ok   bool
		time int64
	}{
		{"signed", []Signature{by}, testLog.Key(), true, 0},
		{"cosigned", []Signature{by, cosig}, w1.Key(), true, made},
		{"signed among others", []Signature{cosig, by}, testLog.Key(), true, 0},
		{"at the beginning of time", []Signature{w1.Cosign(x, 0)}, w1.Key(), true, 0},
		{"at its end", []Signature{w1.Cosign(x, 1<<63-1)}, w1.Key(), true, 1<<63 - 1},
		{"after its end", []Signature{w1.Cosign(x, -1<<63)}, w1.Key(), false, 0},
		{"by others", []Signature{by}, w1.Key(), false, 0},
		{"by nobody", nil, testLog.Key(), false, 0},
		{"wrong", []Signature{changed(by, 0)}, testLog.Key(), false, 0},
		{"wrong time", []Signature{changed(cosig, 7)}, w1.Key(), false, 0},
		{"wrong cosignature", []Signature{changed(cosig, 8)}, w1.Key(), false, 0},
		{"short", []Signature{{by.Name, by.KeyID, by.Data[:63]}}, testLog.Key(), false, 0},
		{"long", []Signature{{by.Name, by.KeyID, append(bytes.Clone(by.Data), 0)}}, testLog.Key(), false, 0},
		{"short cosignature", []Signature{{cosig.Name, cosig.KeyID, cosig.Data[:71]}}, w1.Key(), false, 0},
		{"no time at all", []Signature{{cosig.Name, cosig.KeyID, cosig.Data[:7]}}, w1.Key(), false, 0},
		{"long cosignature", []Signature{{cosig.Name, cosig.KeyID, append(bytes.Clone(cosig.Data), 0)}}, w1.Key(), false, 0},
		{"twice", []Signature{by, by}, testLog.Key(), false, 0},
		{"right and wrong", []Signature{by, changed(by, 0)}, testLog.Key(), false, 0},
		{"wrong and right", []Signature{changed(by, 0), by}, testLog.Key(), false, 0},
		{"a signature as a cosignature", []Signature{named(by, w1.Key())}, w1.Key(), false, 0},
		{"another name", []Signature{renamed(by, "log.example")}, testLog.Key(), false, 0},
		{"another key of this name", []Signature{ghostLog.Signature(x)}, testLog.Key(), false, 0},
		{"another key's under this name and id", []Signature{named(ghostLog.Signature(x), testLog.Key())}, testLog.Key(), false, 0},
		{"same key and name as another type", []Signature{stranger1.Signature(x)}, w1.Key(), false, 0},
		{"of another text", []Signature{testLog.Signature(text(testTree, 8))}, testLog.Key(), false, 0},
	} {
		n := Note{x, tt.sigs}
		if time, ok := n.VerifiedBy(tt.key); ok != tt.ok || time != tt.time {
			t.Errorf("%s: %d, %v", tt.name, time, ok)
		}
	}
}
