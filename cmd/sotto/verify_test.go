// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// publicServer is a service whose release is in a log, and what a person has to check it.
func publicServer(t testing.TB, nodes int) *serverFlags {
	t.Helper()
	t.Setenv("SOTTO_CONFIG_DIR", t.TempDir())
	p, s, _, err := newPublic("a log", nodes, func(w http.ResponseWriter, r *http.Request) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	policy := filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(policy, p.policy(), 0o600); err != nil {
		t.Fatal(err)
	}
	return &serverFlags{url: s.URL, policy: policy}
}

// TestVerifyLooksAtEveryMachine: a client looks at a sample, the check at all, in a
// proof too.
func TestVerifyLooksAtEveryMachine(t *testing.T) {
	const nodes = perPart + 2
	server := publicServer(t, nodes)
	a := newApp()
	var s *snapshot
	for range 200 { // until the gateway has heard of all
		var err error
		if s, err = a.look(t.Context(), server, true); err != nil {
			t.Fatal(err)
		}
		if parts := s.parts(t.Context()); len(parts) == 2 && bytes.Count(parts[1], []byte(`"bundles"`)) == nodes-perPart {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	r, err := a.judge(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	for _, v := range r.Verdicts {
		seen = append(seen, v.Node)
	}
	if n := len(slices.Compact(seen)); n != nodes || len(r.Fresh.Verdicts) != nodes {
		t.Errorf("%d machines, %d of them anew; want %d", n, len(r.Fresh.Verdicts), nodes)
	}
	file := filepath.Join(t.TempDir(), "proof.zip")
	if err := saveProof(file, s, r); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	kept, saved, err := readProof(b)
	if err != nil {
		t.Fatal(err)
	}
	again, err := a.judge(t.Context(), kept)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := again.encode(); err != nil || !bytes.Equal(got, saved) {
		t.Errorf("another verdict out of the proof: %v", err)
	}
}

func TestParts(t *testing.T) {
	list := func(n int) []byte {
		doc := map[string]any{"v": 1, "nodes": []any{}}
		for i := range n {
			doc["nodes"] = append(doc["nodes"].([]any), map[string]any{"id": fmt.Sprint(i), "bundles": []string{"AA=="}})
		}
		b, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, c := range []struct {
		name string
		body []byte
		want []int // machines in each part; nil: the list as it came
	}{
		{"few", list(perPart), nil},
		{"one more", list(perPart + 1), []int{perPart, 1}},
		{"as many as there can be", list(64), []int{16, 16, 16, 16}},
		{"more: the client says so", list(65), nil},
		{"no list", []byte("no list"), nil},
	} {
		s := newSnapshot("http://x", time.Now())
		s.answers[pathNodes] = answer{Status: 200, body: c.body}
		parts := s.parts(t.Context())
		var got []int
		for _, p := range parts {
			var l struct {
				V     int
				Nodes []struct{ ID string }
			}
			if p == nil {
				continue
			}
			if err := json.Unmarshal(p, &l); err != nil || l.V != 1 {
				t.Errorf("%s: %v, version %d", c.name, err, l.V)
			}
			got = append(got, len(l.Nodes))
		}
		if !slices.Equal(got, c.want) || len(parts) != max(1, len(c.want)) {
			t.Errorf("%s: parts of %v, want %v", c.name, got, c.want)
		}
	}
}

func TestShell(t *testing.T) {
	for in, want := range map[string]string{
		"http://127.0.0.1:8787/sotto/v1/log": "http://127.0.0.1:8787/sotto/v1/log", "": "''", "a b": "'a b'", "a'b": `'a'\''b'`, "$(x)": "'$(x)'", "a;b": "'a;b'",
	} {
		if got := shell(in); got != want {
			t.Errorf("%q is quoted as %s, want %s", in, got, want)
		}
	}
}

// FuzzReadProof: whatever somebody hands over as a proof is read or refused, and what
// is read is judged.
func FuzzReadProof(f *testing.F) {
	s := newSnapshot("http://x", time.Unix(1_800_000_000, 0))
	s.answers[pathNodes] = answer{Status: 200, Type: "application/json", body: []byte(`{"v":1,"nodes":[]}`)}
	s.answers["/"] = answer{Error: "no answer came"}
	s.nonce = new([32]byte)
	file := filepath.Join(f.TempDir(), "proof.zip")
	if err := saveProof(file, s, &report{}); err != nil {
		f.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(bytes.Replace(b, []byte(`"time": 1`), []byte(`"time": 9`), 1))
	f.Add(b[:len(b)/2])
	a := newApp()
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, _, err := readProof(b); err == nil {
			a.judge(t.Context(), s)
		}
	})
}

// BenchmarkVerify measures sotto verify on loopback: warm in a program that runs,
// whole as a program of its own, and what judging a proof again takes.
func BenchmarkVerify(b *testing.B) {
	server := publicServer(b, 1)
	a := newApp()
	run := func(b *testing.B) *snapshot {
		s, err := a.look(b.Context(), server, false)
		if err != nil {
			b.Fatal(err)
		}
		r, err := a.judge(b.Context(), s)
		if err != nil || r.outcome() != nil {
			b.Fatal(err, r)
		}
		return s
	}
	b.Run("warm", func(b *testing.B) {
		for b.Loop() {
			run(b)
		}
	})
	b.Run("proof", func(b *testing.B) {
		s := run(b)
		s.live = nil
		for b.Loop() {
			if _, err := a.judge(b.Context(), s); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("cold", func(b *testing.B) {
		program := filepath.Join(b.TempDir(), "sotto")
		if out, err := exec.Command("go", "build", "-trimpath", "-o", program, ".").CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		for b.Loop() {
			cmd := exec.Command(program, "verify", "--policy", server.policy, server.url)
			cmd.Env = append(os.Environ(), "SOTTO_CONFIG_DIR="+b.TempDir())
			if out, err := cmd.CombinedOutput(); err != nil {
				b.Fatalf("%v: %s", err, out)
			}
		}
	})
}
