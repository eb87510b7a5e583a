// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sotto-chat/sotto/ohttp"
)

// TestApart: relay and gateway are not the same host, by name or by address.
func TestApart(t *testing.T) {
	own := "" // an address of this machine that is not its loopback, where it has one
	if all, err := net.InterfaceAddrs(); err == nil {
		for _, a := range all {
			if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && n.IP.To4() != nil {
				own = n.IP.String()
			}
		}
	}
	for _, c := range []struct {
		other, listen, public string
		same                  bool
	}{
		{"http://127.0.0.1:8781", "127.0.0.1:8784", "", true},
		{"http://[::1]:8781", ":8784", "", true},
		{"http://localhost:8781", ":8784", "", true},
		{"http://0.0.0.0:8781", ":8784", "", true},
		{"https://" + own, ":8784", "", true},
		{"https://192.0.2.1", ":8784", "", false},
		{"https://192.0.2.1", "192.0.2.1:8784", "", true},
		{"https://192.0.2.1", "192.0.2.2:8784", "", false},
		{"https://192.0.2.1", ":8784", "https://192.0.2.1:444/relay", true},
		{"https://192.0.2.1", ":8784", "https://192.0.2.2", false},
		{"https://[::ffff:192.0.2.1]", ":8784", "https://192.0.2.1", true},
		{"https://Chat.invalid.", ":8784", "https://chat.invalid", true},
		{"https://relay.invalid", ":8784", "https://chat.invalid", false},
	} {
		if c.other == "https://" {
			continue // it has none
		}
		err := apart(t.Context(), "gateway", c.other, c.listen, c.public)
		if (err != nil) != c.same || err != nil && !strings.Contains(err.Error(), "is on this machine") {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for _, bad := range [][2]string{{"nonsense", ""}, {"https://192.0.2.1", "nonsense"}} {
		if err := apart(t.Context(), "gateway", bad[0], ":1", bad[1]); err == nil || strings.Contains(err.Error(), "is on this machine") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestOHTTPSeeds: keys are made once, for their owner, and can follow one another.
func TestOHTTPSeeds(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "sub", "one"), filepath.Join(dir, "two")
	first, err := ohttpSeeds([]string{one})
	if err != nil || len(first) != 1 || first[0] == (ohttp.Seed{}) {
		t.Fatal(first, err)
	}
	if info, err := os.Stat(one); err != nil || info.Mode().Perm() != 0o600 || info.Size() != 32 {
		t.Errorf("%v, %v", info, err)
	}
	both, err := ohttpSeeds([]string{two, one})
	if err != nil || len(both) != 2 || both[1] != first[0] || both[0] == both[1] {
		t.Fatal(both, err)
	}
	again, err := ohttpSeeds([]string{two, one})
	if err != nil || again[0] != both[0] || again[1] != both[1] {
		t.Error("other keys after a restart")
	}
	if err := os.WriteFile(two, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ohttpSeeds([]string{two}); err == nil || !strings.Contains(err.Error(), "5 bytes") {
		t.Errorf("a key of another kind: %v", err)
	}
	if _, err := ohttpSeeds([]string{dir}); err == nil {
		t.Error("a folder is taken for a key")
	}
}
