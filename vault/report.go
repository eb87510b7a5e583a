// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"encoding/json"
	"sort"
)

// Answered says of one answer which machine gave it and how that machine was
// checked, as its receipt has it.
type Answered struct {
	Time      int64  `json:"time"` // when the question was sealed, Unix seconds
	Chat      string `json:"chat"`
	Title     string `json:"title"`
	Message   string `json:"message"`
	Model     string `json:"model"`
	Machine   string `json:"machine"`
	Platform  string `json:"platform"`
	State     string `json:"state"` // "verified" or "demo"
	Release   string `json:"release"`
	Version   string `json:"version,omitempty"`
	Entry     *int64 `json:"entry,omitempty"` // in the public log
	Witnesses int    `json:"witnesses,omitempty"`
}

// Report lists the answers of all chats, newest first. Those without a receipt
// that can be read are left out: nobody can say who gave them.
func (r *Replica) Report() []Answered {
	out := []Answered{}
	for _, c := range r.Chats() {
		for _, m := range r.Messages(c.ID) {
			a := Answered{Chat: c.ID, Title: c.Title, Message: m.ID, Model: m.Model}
			var receipt struct {
				Node      string `json:"node"`
				LogIndex  *int64 `json:"log_index"`
				Platform  string `json:"platform"`
				Release   string `json:"release"`
				Version   string `json:"version"`
				State     string `json:"state"`
				Witnesses int    `json:"witnesses"`
				Time      int64  `json:"time"`
			}
			if m.Role != "assistant" || len(m.Receipt) == 0 || json.Unmarshal(m.Receipt, &receipt) != nil || receipt.Time == 0 {
				continue
			}
			a.Time, a.Machine, a.Platform, a.State = receipt.Time, receipt.Node, receipt.Platform, receipt.State
			a.Release, a.Version, a.Entry, a.Witnesses = receipt.Release, receipt.Version, receipt.LogIndex, receipt.Witnesses
			out = append(out, a)
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Time > out[j].Time })
	return out
}
