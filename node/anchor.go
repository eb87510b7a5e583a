// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/sotto-chat/sotto/attest/bundle"
	"github.com/sotto-chat/sotto/internal/lines"
)

// A log that hasn't given its checkpoint within this time is away.
const checkpointTime = 2 * time.Second

// anchor is the newest checkpoint of the public log that came. The node doesn't
// judge it; clients do, who compare it with the log that they see themselves.
type anchor struct {
	checkpoint []byte
	came       time.Time
	away       bool // the log has been asked since, in vain
}

// FollowLog returns a function for [Config.Checkpoint] that fetches the checkpoint
// of the log at a base URL, such as "https://log.example" (c2sp.org/tlog-tiles).
// It goes through no proxy and follows no redirect.
func FollowLog(base string) (func(context.Context) ([]byte, error), error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%q is not the address of a log: it should look like https://log.example", base)
	}
	at := u.JoinPath("checkpoint").String()
	transport := &http.Transport{DisableCompression: true, DisableKeepAlives: true, MaxResponseHeaderBytes: 8 << 10}
	return func(ctx context.Context) ([]byte, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
		if err != nil {
			return nil, err
		}
		res, err := transport.RoundTrip(req)
		if err != nil {
			return nil, err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("status %d", res.StatusCode)
		}
		b, err := io.ReadAll(io.LimitReader(res.Body, bundle.MaxCheckpoint+1))
		// A page that stands in the log's place would get into every key.
		if err == nil && !bytes.Contains(b, []byte("\n\n\u2014 ")) {
			err = errors.New("what answers is no log")
		}
		return b, err
	}, nil
}

// anchorAway reports whether the newest key names a checkpoint that may be old.
func (n *Node) anchorAway() bool {
	a := n.anchor.Load()
	return a != nil && a.away
}

// checkpoint returns what a new key names: the newest checkpoint of the log, or
// while the log is away the last that came. Only a node that never had any has
// nothing to name, which is an error.
func (n *Node) checkpoint(ctx context.Context) ([]byte, error) {
	if n.cfg.Checkpoint == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, checkpointTime)
	defer cancel()
	b, err := n.cfg.Checkpoint(ctx)
	if err == nil && (len(b) == 0 || len(b) > bundle.MaxCheckpoint) {
		err = fmt.Errorf("a checkpoint has 1 to %d bytes", bundle.MaxCheckpoint)
	}
	if err == nil {
		n.anchor.Store(&anchor{checkpoint: b, came: time.Now()})
		return b, nil
	}
	n.stats.checkpointFailures.Add(1)
	last := n.anchor.Load()
	if last == nil {
		return nil, fmt.Errorf("getting the public log's checkpoint: %w", err)
	}
	n.anchor.Store(&anchor{checkpoint: last.checkpoint, came: last.came, away: true})
	n.log.Error("the public log is away: the new key names an old checkpoint", lines.Err(err), lines.At("came", last.came))
	return last.checkpoint, nil
}
