// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"encoding/json"
	"testing"
)

func TestReport(t *testing.T) {
	f := newFeed()
	r := NewReplica(NewRootKey(), f.account, NewDeviceID())
	one, two := NewID(), NewID()
	add := func(chat, role, text, receipt string) {
		t.Helper()
		if _, err := r.AddMessage(Message{ID: NewID(), Chat: chat, Role: role, Text: text, Model: "m", Created: 1, Receipt: json.RawMessage(receipt)}); err != nil {
			t.Fatal(err)
		}
	}
	add(one, "user", "asked", `{"time":9}`)
	add(one, "assistant", "old", `{"v":1,"node":"n1","platform":"snp","release":"sha256:aa","state":"verified","time":100}`)
	add(two, "assistant", "new", `{"v":1,"node":"n2","platform":"software","release":"sha256:bb","version":"1.4.3","log_index":17,"witnesses":2,"state":"demo","time":200,"checks":[{"id":"chip","status":"warn","detail":"x"}]}`)
	add(two, "assistant", "without", ``)
	add(two, "assistant", "unreadable", `[]`)
	if _, err := r.SetTitle(two, "Bread", true); err != nil {
		t.Fatal(err)
	}
	got := r.Report()
	if len(got) != 2 {
		t.Fatalf("%d answers, want the 2 with a receipt: %+v", len(got), got)
	}
	if n := got[0]; n.Time != 200 || n.Title != "Bread" || n.Machine != "n2" || n.State != "demo" || n.Version != "1.4.3" ||
		n.Entry == nil || *n.Entry != 17 || n.Witnesses != 2 || n.Chat != two || n.Model != "m" || n.Platform != "software" || n.Release != "sha256:bb" {
		t.Errorf("the newest answer is %+v", n)
	}
	if o := got[1]; o.Time != 100 || o.Entry != nil || o.Machine != "n1" || o.State != "verified" {
		t.Errorf("the older answer is %+v", o)
	}
}
