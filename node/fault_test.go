// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"log/slog"
	"strings"
	"testing"
)

// What is logged of a panic names lines of ours, and nothing that they held.
func TestFaultNamesPlacesOnly(t *testing.T) {
	var log strings.Builder
	n := newNode(t, &script{}, func(c *Config) { c.Logger = slog.New(slog.NewJSONHandler(&log, nil)) })
	func() {
		defer n.contain("a test")
		breaks(n, strings.Repeat("private ", 0x1234), 0xabcdef)
	}()
	said := log.String()
	if !strings.Contains(said, "fault_test.go:") || !strings.Contains(said, "node.breaks") {
		t.Errorf("it does not say where: %s", said)
	}
	for _, word := range []string{"private", "0x91a0", "0xabcdef", "37280", "goroutine"} {
		if strings.Contains(said, word) {
			t.Errorf("it says %q: %s", word, said)
		}
	}
}

//go:noinline
func breaks(n *Node, words string, k int) {
	if len(words) > k/1000 {
		panic(words)
	}
	n.stats.live.Add(int64(k))
}
