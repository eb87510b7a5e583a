// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

//go:build !js

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/release/releasetest"
	"github.com/sotto-chat/sotto/tlog"
)

// logged is a service that has a public log beside it.
type logged struct {
	client.Transport
	world *releasetest.World
}

func (l logged) RoundTrip(ctx context.Context, r *client.Request) (*client.Response, error) {
	if !strings.HasPrefix(r.Path, "/sotto/v1/log") {
		return l.Transport.RoundTrip(ctx, r)
	}
	size := len(l.world.Entries)
	doc := l.world.ViewOf(l.world.Checkpoint(int64(size), time.Now().Unix(), 3), size-1)
	return &client.Response{Status: 200, ContentType: "application/json", Body: io.NopCloser(bytes.NewReader(doc))}, nil
}

// TestTheLogIsRemembered: a log that was longer in an earlier run is noticed.
func TestTheLogIsRemembered(t *testing.T) {
	world := releasetest.New(t.Name())
	world.Publish("1.0.0", nil)
	world.Publish("1.1.0", nil)
	d := newDevice(logged{service(t, &scripted{answers: map[string]chan string{}}), world})
	c, _ := signedUp(t, d)
	start := func(kept string) {
		t.Helper()
		policy := fmt.Sprintf(`{"pin":%s}`, world.PinJSON())
		must[none](t, c, "start", object{"origin": "http://localhost", "local": true, "consent": true, "kept": kept, "policy": policy}, nil)
	}
	failing := func(failure string) {
		t.Helper()
		d.until(t, failure, func(e map[string]any) bool {
			if e["t"] != "trust" {
				return false
			}
			verdicts := e["trust"].(object)["verdicts"].([]any)
			return len(verdicts) > 0 && verdicts[0].(object)["failure"] == failure
		})
	}
	start("no JSON") // is nothing kept
	failing("release_unlogged")
	var kept struct {
		Log tlog.Seen `json:"log"`
	}
	for range 200 { // it comes beside the events
		d.mu.Lock()
		json.Unmarshal([]byte(d.trust), &kept)
		d.mu.Unlock()
		if kept.Log.Size > 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if kept.Log.Size != 2 {
		t.Fatalf("kept %s", d.trust)
	}
	world.Entries = world.Entries[:1]
	start(d.trust)
	failing("log_rollback")
}
