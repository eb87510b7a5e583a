// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package door_test

import (
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/internal/door"
)

func TestGate(t *testing.T) {
	g := door.NewGate(2, 100)
	if !g.Enter(60) || g.Enter(41) || !g.Enter(40) || g.Enter(0) {
		t.Error("two requests of 100 bytes together should have gone through, and no more")
	}
	if requests, bytes := g.Inside(); requests != 2 || bytes != 100 {
		t.Errorf("%d requests of %d bytes are inside, want 2 of 100", requests, bytes)
	}
	g.Leave(60)
	g.Leave(40)
	if requests, bytes := g.Inside(); requests != 0 || bytes != 0 {
		t.Errorf("%d requests of %d bytes never left", requests, bytes)
	}
}

func TestRefuse(t *testing.T) {
	w := httptest.NewRecorder()
	door.Refuse(w, 503, door.Busy, `Say "please".`)
	const want = `{"error":{"code":"busy","message":"Say \"please\"."}}`
	if w.Code != 503 || w.Body.String() != want || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("got %d %v %s", w.Code, w.Header(), w.Body)
	}
}

// TestCodes: the spec's table, what the servers say and what a client knows are
// one list.
func TestCodes(t *testing.T) {
	spec, err := os.ReadFile("../../spec/seal.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(spec), "| code | status |")
	if !ok {
		t.Fatal("spec/seal.md has no table of codes")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	var want []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)`").FindAllStringSubmatch(table, -1) {
		want = append(want, m[1])
	}
	slices.Sort(want)
	said := []string{door.Malformed, door.TooLarge, door.KeyUnknown, door.KeyExpired, door.Replayed,
		door.Busy, door.NoNode, door.NodeUnreachable, door.LogUnreachable, door.NotFound, door.Failed, door.EngineAway}
	slices.Sort(said)
	if !slices.Equal(said, want) {
		t.Errorf("servers say %v, the spec has %v", said, want)
	}
	for _, code := range []string{client.CodeMalformed, client.CodeTooLarge, client.CodeKeyUnknown, client.CodeKeyExpired,
		client.CodeReplayed, client.CodeBusy, client.CodeEngineAway, client.CodeNoNode, client.CodeNodeUnreachable} {
		if !slices.Contains(want, code) {
			t.Errorf("a client branches on %q, which the spec doesn't have", code)
		}
	}
}
