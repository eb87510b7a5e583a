// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/release"
)

// seen is what this terminal remembers of a server: which releases the person has
// talked to, and how far the public log was seen. It holds no secret.
type seen struct {
	Releases []string        `json:"releases,omitempty"`
	Log      json.RawMessage `json:"log,omitempty"`
	Service  *client.Service `json:"service,omitempty"` // what it said of itself
}

// maxSeen is the most bytes that are read of such a file.
const maxSeen = 256 << 10

// remember has the client go on from what was seen of the server before, and keep
// what it sees. Without a folder for settings it remembers nothing, and says so.
func (a *app) remember(server string, cfg *client.Config) {
	const lost = "so a new release, or a public log that goes back, won’t be noticed next time"
	dir, err := configDir()
	if err != nil {
		a.sayOnce("what was seen of this server can’t be kept, " + lost)
		return
	}
	sum := sha256.Sum256([]byte(server))
	file := filepath.Join(dir, "seen", hex.EncodeToString(sum[:8])+".json")
	var s seen
	if info, err := os.Stat(file); err == nil && info.Size() <= maxSeen {
		b, err := os.ReadFile(file)
		if err != nil || json.Unmarshal(b, &s) != nil {
			a.sayOnce("what was seen of this server before can’t be read from " + file + ", " + lost)
		}
	}
	var mu sync.Mutex // of s: what the service says is told on its own
	keep := func() {
		b, err := json.Marshal(s)
		if err == nil {
			err = writePrivate(file, append(b, '\n'))
		}
		if err != nil {
			a.sayOnce("what was seen of this server can’t be kept in " + file + ", " + lost)
		}
	}
	cfg.Seen, cfg.LogSeen = s.Releases, s.Log
	cfg.Service = s.Service
	cfg.OnService = func(service client.Service) { mu.Lock(); defer mu.Unlock(); s.Service = &service; keep() }
	cfg.OnSeen = func(releases []string) { mu.Lock(); defer mu.Unlock(); s.Releases = releases; keep() }
	cfg.OnLogSeen = func(b []byte) { mu.Lock(); defer mu.Unlock(); s.Log = b; keep() }
}

// sayChanged tells of a release that the person has not talked to before, and what
// is different in it, as far as the public log says.
func (a *app) sayChanged(c *client.Client, st client.Status) {
	defer c.Seen(st.Release)
	log := c.Log()
	if log == nil {
		a.say("%s", "new version since your last chat: "+st.Release)
		return
	}
	now, entry, err := log.Published.Find(st.Release)
	if err != nil {
		return // what is verified was found there
	}
	text := "new version since your last chat: " + now.Manifest.Version + ", entry " + strconv.FormatInt(entry, 10) + " of the public log"
	// The newest of those that were known is the one that it took the place of.
	for _, e := range log.Published.Entries() {
		if e.Index < entry && len(e.Release.Text) > 0 && c.HasSeen(e.Release.Digest()) {
			a.say("%s", text+", after "+e.Release.Manifest.Version)
			changes := release.Diff(e.Release.Manifest, now.Manifest)
			for i, ch := range changes {
				if i == maxChanges {
					a.say("%s", "  and "+strconv.Itoa(len(changes)-i)+" more: sotto release diff shows all")
					break
				}
				a.say("%s", "  "+plain(ch.Text))
			}
			return
		}
	}
	a.say("%s", text)
}

// maxChanges is how many differences are told before a message.
const maxChanges = 8
