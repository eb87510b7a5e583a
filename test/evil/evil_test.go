// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table of docs/threat-model.md anew")

func TestMain(m *testing.M) {
	code := m.Run()
	os.Remove(programFile())
	os.Exit(code)
}

func TestAttacks(t *testing.T) {
	for _, a := range attacks() {
		t.Run(a.Class+"/"+a.Name, func(t *testing.T) {
			t.Parallel()
			if err := a.run(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestTable compares the table in the threat model with the attacks.
func TestTable(t *testing.T) {
	const file = "../../docs/threat-model.md"
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want, err := withTable(doc)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(doc, want) {
		t.Errorf("%s has another table than there are attacks; write it anew: go test ./test/evil -update", file)
	}
}

// TestEachAttackSaysWhatItIs: a name once, and a sentence each.
func TestEachAttackSaysWhatItIs(t *testing.T) {
	names := map[string]bool{}
	for _, a := range attacks() {
		if names[a.Name] || a.Name == "" || strings.Trim(a.Name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			t.Errorf("the name %q is another's too, or none", a.Name)
		}
		names[a.Name] = true
		if !strings.HasSuffix(a.Promise, ".") || a.Attacker == "" || a.Failure == "" || a.Arm == nil {
			t.Errorf("%s leaves something out", a.Name)
		}
	}
	if len(names) < 55 {
		t.Errorf("%d attacks", len(names))
	}
}

// TestWordsAreFound: where an attack works, this shows it. A person who accepts
// anything as a machine talks to the operator's own.
func TestWordsAreFound(t *testing.T) {
	a := Attack{Failure: nothing, Sends: true,
		Setup: setup{policy: func(v *victim) { v.policy.AllowSoftware, v.policy.Require, v.policy.Platforms = true, nil, nil }},
		Arm:   offer(func(w *World) (rogue, error) { return rogue{}, nil }),
		Victim: func(ctx context.Context, w *World) error {
			w.victim.ask(ctx) // nobody answers
			return nil
		},
	}
	if err := a.run(t.Context()); err == nil || err.Error() != "the operator has a person's words, as utf-8" {
		t.Errorf("the operator opened it, and the test says %v", err)
	}
	// And a request that should not have left is noticed.
	a.Sends = false
	if err := a.run(t.Context()); err == nil || !strings.Contains(err.Error(), "sealed requests were sent") {
		t.Errorf("a request left, and the test says %v", err)
	}
}

func TestFind(t *testing.T) {
	const word = "canary0123456789abcdef"
	wide := ""
	for _, c := range word {
		wide += string(c) + "\x00"
	}
	for want, text := range map[string]string{
		"utf-8": "xx" + strings.ToUpper(word), "utf-16": wide, "hex": hex.EncodeToString([]byte(word)),
		"base64": base64.StdEncoding.EncodeToString([]byte("{" + word + "}")),
		"":       word[:len(word)-1],
	} {
		if got := find(word, []byte(text)); !strings.HasPrefix(got, want) || (got == "") != (want == "") {
			t.Errorf("%q is found as %q, want %q", text, got, want)
		}
	}
	for shift := range 3 {
		if find(word, []byte(base64.URLEncoding.EncodeToString([]byte(strings.Repeat("?", shift)+word+"??")))) == "" {
			t.Errorf("base64 at shift %d is not found", shift)
		}
	}
}

// TestHonestWorlds: each kind of machine is believed while nothing is odd.
func TestHonestWorlds(t *testing.T) {
	for _, k := range []kind{kindSNP, kindTDX, kindTPM, kindGPU} {
		w, err := newWorld(setup{kind: k, nodes: 2})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.victim.ask(t.Context()); err != nil {
			t.Errorf("%s: %v", k, err)
		}
		w.Close()
	}
}
