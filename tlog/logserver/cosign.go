// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package logserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/internal/durable"
	"github.com/sotto-chat/sotto/internal/lines"
	"github.com/sotto-chat/sotto/tlog"
	"github.com/sotto-chat/sotto/tlog/witness"
)

const (
	askTime   = 5 * time.Second        // for a witness to answer
	graceTime = 250 * time.Millisecond // for the others, once there is a quorum
	maxAnswer = 16 << 10               // bytes of a witness's answer
	maxRest   = 30 * time.Second       // between two attempts that fail
	maxOff    = time.Hour              // of a witness's clock from this one
)

// peer is a witness as the log knows it.
type peer struct {
	name string // in the policy
	key  tlog.Key
	url  string
	size int64 // what it cosigned last, as far as the log knows
}

func newPeer(name string, key tlog.Key, base string) (*peer, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("the URL of witness %s, %q, is not one such as https://witness.example", name, base)
	}
	return &peer{name: name, key: key, url: u.JoinPath("add-checkpoint").String()}, nil
}

// Run cosigns what has grown, and what is getting old, until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	defer s.Close()
	rest := time.Duration(0)
	var last time.Time
	for {
		s.mu.RLock()
		now := s.shown
		size := s.tree.Size()
		s.mu.RUnlock()
		since := time.Unix(now.time, 0)
		if last.After(since) { // by clocks that go behind it would be due again at once
			since = last
		}
		wait := since.Add(s.cfg.Recosign).Sub(s.cfg.Now())
		if size > now.size || wait <= 0 { // as at the beginning, when nothing is shown
			if err := s.cosign(ctx, size); err == nil {
				rest, last = 0, s.cfg.Now()
				continue
			} else if ctx.Err() == nil {
				s.complainOf(err)
			}
			rest = min(maxRest, max(100*time.Millisecond, 2*rest))
			wait = rest
		}
		t := time.NewTimer(min(wait, time.Minute)) // a clock that is set doesn't pass unnoticed
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-s.ctx.Done():
			t.Stop()
			return nil
		case <-s.grown:
			rest = 0
		case <-t.C:
		}
		t.Stop()
	}
}

// complainOf says what is wrong with the witnesses, but not each time.
func (s *Server) complainOf(err error) {
	now := time.Now()
	if now.Sub(s.complain) < 10*time.Second {
		return
	}
	s.complain = now
	s.log.Error("too few witnesses cosigned, so the log shows nothing new", lines.Err(err))
}

// cosign asks all witnesses for their cosignatures of the tree of a size, and shows
// it once there is a quorum of them.
func (s *Server) cosign(ctx context.Context, size int64) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	s.mu.RLock()
	root := s.tree.Root(size)
	s.mu.RUnlock()
	signed, err := s.sign(size, root)
	if err != nil {
		return err
	}
	note, err := tlog.ParseNote(signed)
	if err != nil {
		return err
	}
	type answer struct {
		at  int
		sig tlog.Signature
		err error
	}
	answers := make(chan answer, len(s.peers))
	for i, p := range s.peers {
		go func() {
			sig, err := s.ask(ctx, p, size, signed)
			if err != nil {
				err = fmt.Errorf("witness %s: %w", p.name, err)
			}
			answers <- answer{i, sig, err}
		}()
	}
	sigs := make([]*tlog.Signature, len(s.peers))
	var failures []error
	var late <-chan time.Time
	var best []byte
	var opened tlog.Checkpoint
	// All of them end: each by its answer, or by the end of ctx. A peer is asked by
	// one of them at a time.
	for range s.peers {
		var a answer
		select {
		case a = <-answers:
		case <-late:
			cancel()
			late = nil
			a = <-answers
		}
		if a.err != nil {
			failures = append(failures, a.err)
			continue
		}
		sigs[a.at] = &a.sig
		full := tlog.Note{Text: note.Text, Signatures: note.Signatures[:1:1]}
		for _, sig := range sigs { // in the policy's order
			if sig != nil {
				full.Signatures = append(full.Signatures, *sig)
			}
		}
		b := full.Encode()
		cp, err := s.policy.Open(b)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		if best == nil {
			late = time.After(graceTime)
		}
		best, opened = b, cp
	}
	if best == nil {
		return errors.Join(failures...)
	}
	if err := durable.Write(filepath.Join(s.cfg.Dir, checkpointFile), best); err != nil {
		return err
	}
	return s.show(best, opened)
}

// ask asks one witness for its cosignature (C2SP tlog-witness, "add-checkpoint").
func (s *Server) ask(ctx context.Context, p *peer, size int64, signed []byte) (tlog.Signature, error) {
	var none tlog.Signature
	for range 3 {
		old := p.size
		if old > size {
			return none, fmt.Errorf("it has cosigned %s, and here are %d: this log's folder is older than the log", entries(old), size)
		}
		s.mu.RLock()
		proof, _ := s.tree.Consistency(old, size) // both are sizes that it had
		s.mu.RUnlock()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(witness.Request{Old: old, Proof: proof, Checkpoint: signed}.Encode()))
		if err != nil {
			return none, err
		}
		resp, err := s.cfg.Client.Do(req)
		if err != nil {
			return none, err
		}
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		resp.Body.Close()
		if err != nil {
			return none, err
		}
		switch kind := resp.Header.Get("Content-Type"); {
		case resp.StatusCode == http.StatusOK:
			sig, err := cosignature(signed, body, p.key, s.cfg.Now())
			if err != nil {
				return none, err
			}
			p.size = size
			return sig, nil
		case resp.StatusCode == http.StatusConflict && kind == witness.SizeType:
			n, err := strconv.ParseUint(strings.TrimSuffix(string(body), "\n"), 10, 63)
			if err != nil {
				return none, errors.New("its answer is no size")
			}
			p.size = int64(n)
		default:
			return none, fmt.Errorf("it answered %d %.200q", resp.StatusCode, strings.TrimSpace(string(body)))
		}
	}
	return none, errors.New("it says another size each time")
}

// cosignature finds the witness's signature in its answer, and checks it. One of
// another day would have everybody take what is shown for old, and is none.
func cosignature(signed, answer []byte, key tlog.Key, now time.Time) (tlog.Signature, error) {
	n, err := tlog.ParseNote(append(bytes.Clone(signed), answer...))
	if err != nil {
		return tlog.Signature{}, errors.New("its answer is no cosignature")
	}
	for _, sig := range n.Signatures {
		// Alone, since a second one in its name spoils the first.
		one := tlog.Note{Text: n.Text, Signatures: []tlog.Signature{sig}}
		t, ok := one.VerifiedBy(key)
		switch {
		case !ok:
		case now.Sub(time.Unix(t, 0)).Abs() > maxOff:
			return tlog.Signature{}, fmt.Errorf("its clock says %s, more than an hour from this one", time.Unix(t, 0).UTC().Format(time.RFC3339))
		default:
			return sig, nil
		}
	}
	return tlog.Signature{}, errors.New("its answer is not signed with its key")
}
