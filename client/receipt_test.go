// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sotto-chat/sotto/attest"
)

// A receipt keeps the rows as they were, whatever a sentence says, in little room.
func TestReceiptKeepsRows(t *testing.T) {
	v := attest.Verdict{
		Node: strings.Repeat("ab", 16), KeyID: strings.Repeat("cd", 16), Platforms: []string{"tdx", "nvidia"},
		Release: "sha256:" + strings.Repeat("9b", 32), State: attest.StateVerified,
		Log: &attest.LogEntry{Version: "1.4.2", Index: 17, Witnesses: []string{"a", "b"}},
	}
	for _, id := range []string{"chip", "software", "log", "key", "page"} {
		v.Checks = append(v.Checks, attest.Check{ID: id, Status: attest.StatusOK, Detail: strings.Repeat("Größe ", 100), Parts: []attest.Check{{ID: id + ".x"}}})
	}
	v.Checks[4].Detail, v.Checks[4].Status = "As it is.", attest.StatusWarn
	r := newReceipt(v)
	if r.Version != "1.4.2" || r.LogIndex == nil || *r.LogIndex != 17 || r.Witnesses != 2 || r.Platform != "tdx+nvidia" {
		t.Errorf("the receipt says %+v", r)
	}
	if len(r.Checks) != 5 || r.Checks[4] != (ReceiptCheck{"page", "warn", "As it is."}) {
		t.Errorf("the rows are %+v", r.Checks)
	}
	for _, c := range r.Checks {
		if len(c.Detail) > maxDetail || !utf8.ValidString(c.Detail) {
			t.Errorf("row %s has %d bytes: %q", c.ID, len(c.Detail), c.Detail)
		}
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > 2048 {
		t.Errorf("a receipt has %d bytes", len(b))
	}
	// One of before there were rows opens all the same.
	var old Receipt
	if err := json.Unmarshal([]byte(`{"v":1,"node":"n","state":"demo","time":5}`), &old); err != nil || old.Checks != nil || old.State != "demo" {
		t.Errorf("an old receipt: %+v, %v", old, err)
	}
}
