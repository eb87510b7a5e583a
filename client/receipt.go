// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"strings"

	"github.com/sotto-chat/sotto/attest"
)

// A Receipt says who answered, as the client knew it then. It is small, holds
// no secret, and is kept with the message.
type Receipt struct {
	V         int    `json:"v"` // 1
	Node      string `json:"node"`
	KeyID     string `json:"key_id"`   // hex
	Platform  string `json:"platform"` // "snp", "tdx+nvidia", "software"
	Release   string `json:"release"`
	State     string `json:"state"`               // "verified" or "demo"
	Version   string `json:"version,omitempty"`   // of the release, where it stands in a public log
	LogIndex  *int64 `json:"log_index,omitempty"` // of its entry
	Witnesses int    `json:"witnesses,omitempty"` // how many had seen the log
	Chip      string `json:"chip,omitempty"`
	NotBefore int64  `json:"not_before"` // Unix seconds, as are the next two
	NotAfter  int64  `json:"not_after"`
	Time      int64  `json:"time"` // when the request was sealed

	// Checks are the verdict's rows as they were, so that they can be shown as they
	// were: id, status and sentence, and no more than fits into 2 KiB.
	Checks []ReceiptCheck `json:"checks,omitempty"`
}

// ReceiptCheck is one row of a verdict.
type ReceiptCheck struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	Detail string `json:"detail"`
}

// maxDetail bounds the sentence of a row that a receipt keeps, in bytes.
const maxDetail = 320

// newReceipt makes the receipt of a key from its verdict; Time is set when the
// key is used.
func newReceipt(v attest.Verdict) Receipt {
	r := Receipt{
		V: 1, Node: v.Node, KeyID: v.KeyID, Platform: strings.Join(v.Platforms, "+"),
		Release: v.Release, State: v.State, Chip: v.Chip,
		NotBefore: v.NotBefore, NotAfter: v.NotAfter,
	}
	if l := v.Log; l != nil {
		r.Version, r.LogIndex, r.Witnesses = l.Version, &l.Index, len(l.Witnesses)
	}
	for _, row := range v.Checks {
		d := row.Detail
		if len(d) > maxDetail {
			d = strings.ToValidUTF8(d[:maxDetail-len("…")], "") + "…"
		}
		r.Checks = append(r.Checks, ReceiptCheck{row.ID, row.Status, d})
	}
	return r
}
