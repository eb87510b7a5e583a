// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/sotto-chat/sotto/keylog"
	"github.com/sotto-chat/sotto/release"
	"github.com/sotto-chat/sotto/tlog"
	"github.com/sotto-chat/sotto/token"
	"github.com/sotto-chat/sotto/token/wallet"
)

const pathKeys = "/sotto/v1/keys"

// A KeyLogError means that the key log doesn't show what the service does with
// everybody alike: its keys for tokens, its gateway's keys, its list of machines.
// Nothing was sent.
type KeyLogError struct {
	// Failure is the name of what is wrong: one of package keylog's or of tlog's.
	Failure string
	Err     error // never nil
}

func (e *KeyLogError) Error() string { return "client: the key log: " + e.Err.Error() }

// Unwrap returns what was wrong.
func (e *KeyLogError) Unwrap() error { return e.Err }

// lie says whether the service was found to treat people differently, rather than
// not to answer.
func (e *KeyLogError) lie() bool {
	switch e.Failure {
	case keylog.FailDuplicate, keylog.FailUnlisted, keylog.FailSteered,
		tlog.FailSignature, tlog.FailWitnessesFew, tlog.FailWitnessUnknown, tlog.FailRollback, tlog.FailSplitView:
		return true
	}
	return false
}

func keyLogError(err error) error {
	var e *tlog.Error
	if errors.As(err, &e) {
		return &KeyLogError{e.Failure, err}
	}
	return err // the service can't be reached, or says no
}

// keyPin returns what a release says of the key log; nil if it has none.
func keyPin(m release.Manifest) *keylog.Pin {
	if m.KeyLog == "" {
		return nil
	}
	return &keylog.Pin{V: 1, Product: m.Product, Log: m.KeyLog, Keys: m.Issuers, Threshold: 1}
}

// fetchKeys asks for the key log that the release names and opens it; nil if the
// release names none.
func (c *Client) fetchKeys(ctx context.Context, m release.Manifest) (*keylog.Keys, error) {
	pin := keyPin(m)
	if pin == nil {
		return nil, nil
	}
	from := ""
	for range 2 {
		doc, err := c.get(ctx, pathKeys+from, tlog.MaxView)
		if err != nil {
			return nil, err
		}
		c.ring.mu.Lock()
		seen := c.ring.keysSeen
		c.ring.mu.Unlock()
		k, err := pin.Open(doc, seen, c.cfg.Now())
		var earlier *tlog.EarlierError
		if errors.As(err, &earlier) && from == "" {
			from = "?from=" + strconv.FormatInt(earlier.From, 10)
			continue
		}
		if err != nil {
			return nil, keyLogError(err)
		}
		c.ring.mu.Lock()
		c.ring.keysSeen = &k.Seen
		c.ring.mu.Unlock()
		c.remember()
		return k, nil
	}
	return nil, &KeyLogError{tlog.FailMalformed, errors.New("it begins after what was asked for")}
}

// get asks for a document of at most limit bytes.
func (c *Client) get(ctx context.Context, path string, limit int64) ([]byte, error) {
	resp, err := c.roundTrip(ctx, &Request{Method: "GET", Path: path})
	if err != nil {
		return nil, unreachable(ctx, err)
	}
	defer resp.Body.Close()
	if resp.Status != 200 {
		return nil, readServiceError(resp)
	}
	doc, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, unreachable(ctx, err)
	}
	return doc, nil
}

// keyLog returns the key log as the last check saw it; nil where there was none.
func (c *Client) keyLog() *keylog.Keys {
	c.ring.mu.Lock()
	defer c.ring.mu.Unlock()
	return c.ring.keyLog
}

// day returns what the key log says of a day. If it says nothing, the log is asked
// once more: a day's keys are published a day ahead, and checks go on all the time.
func (c *Client) day(ctx context.Context, d token.Day) (keylog.Day, error) {
	if k := c.keyLog(); k != nil {
		if day, err := k.Day(d); err == nil {
			return day, nil
		}
	}
	if _, err := c.Verify(ctx); err != nil {
		return keylog.Day{}, err
	}
	k := c.keyLog()
	if k == nil {
		return keylog.Day{}, &KeyLogError{keylog.FailMissing, errors.New("no release names one")}
	}
	day, err := k.Day(d)
	return day, keyLogError(err)
}

// dayKeys returns a day's keys for a wallet.
func (c *Client) dayKeys(ctx context.Context, d token.Day) (k wallet.DayKeys, err error) {
	day, err := c.day(ctx, d)
	var e *KeyLogError
	if errors.As(err, &e) && e.Failure == keylog.FailMissing && c.keyLog() != nil {
		return k, wallet.ErrDayUnknown
	}
	if err != nil {
		return k, err
	}
	// A name that only one person is told would be in that person's tokens.
	if s := c.Service(); day.Issuer != s.Issuer {
		return k, &KeyLogError{keylog.FailDuplicate, errors.New("the service names another issuer than the log")}
	}
	if k.Issue, err = token.ParsePublicKey(day.Issue); err != nil {
		return k, &KeyLogError{keylog.FailMalformed, err}
	}
	if len(day.Refund) > 0 {
		if k.Refund, err = token.ParsePublicKey(day.Refund); err != nil {
			return k, &KeyLogError{keylog.FailMalformed, err}
		}
	}
	return k, nil
}

// relayKey says whether everybody is given the gateway's key that the relay hands
// out. Where no release names a key log, nobody can tell.
func (c *Client) relayKey(digest string) error {
	k := c.keyLog()
	if k == nil {
		return nil
	}
	today := token.DayOf(c.cfg.Now())
	for d := today - 1; d <= today+1; d++ {
		if day, err := k.Day(d); err == nil && slices.Contains(day.OHTTP, digest) {
			return nil
		}
	}
	return ErrRelayKey
}

// wantedSample is how many of the machines asked for may be those that have answers
// under way; the others are drawn.
const wantedSample = 4

// drawNodes asks for machines that it draws itself from the list in the key log. The
// service can say of each that it isn't up, and not put another in its place.
// sample are those that chance chose; the others have answers under way.
func (c *Client) drawNodes(ctx context.Context, n keylog.Nodes) (nodes []listedNode, sample []keylog.Sampled, err error) {
	r := &c.ring
	r.mu.Lock()
	drawn, err := r.watch.Draw(n, sampleNodes-wantedSample, rand.Reader)
	if err != nil {
		r.mu.Unlock()
		return nil, nil, err
	}
	ask := slices.Clone(drawn)
	var lost []string // whose places aren't known any more
	for id := range r.wanted {
		place, ok := r.places[id]
		switch {
		case !ok || r.placesOf != n.Root:
			lost = append(lost, id)
		case len(ask) < len(drawn)+wantedSample && !slices.Contains(ask, place):
			ask = append(ask, place)
		}
	}
	r.mu.Unlock()
	sort.Slice(ask, func(i, j int) bool { return ask[i] < ask[j] })

	var at []string
	for _, i := range ask {
		at = append(at, strconv.FormatInt(i, 10))
	}
	doc, err := c.get(ctx, pathNodes+"?at="+strings.Join(at, ","), keylog.MaxAnswer)
	var all []keylog.Sampled
	if err == nil {
		all, err = keylog.ParseSample(doc, n, ask)
	}
	var others []listedNode
	if err == nil && len(lost) > 0 {
		others, _ = c.fetchNodes(ctx) // without them, their answers can't be resumed now
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		if !errors.Is(err, ErrUnreachable) {
			r.watch.Refused()
		}
		return nil, nil, keyLogError(err)
	}
	if r.placesOf != n.Root || r.places == nil {
		r.places, r.placesOf = make(map[string]int64), n.Root
	}
	for _, s := range all {
		r.places[s.ID] = s.Index
		if len(s.Bundles) > 0 {
			nodes = append(nodes, listedNode{ID: s.ID, Bundles: s.Bundles, listed: true})
		}
		if slices.Contains(drawn, s.Index) {
			sample = append(sample, s)
		}
	}
	for _, n := range others {
		if slices.Contains(lost, n.ID) {
			nodes = append(nodes, n)
		}
	}
	return nodes, sample, nil
}

// minList is the shortest list of machines that choosing among them says anything
// about: of fewer, all are asked for anyway.
const minList = 16

// answered notes which of the drawn machines proved to be those on the list, and
// says whether somebody seems to choose for this client.
func (c *Client) answered(n keylog.Nodes, sample []keylog.Sampled, proved map[string]bool) error {
	for i, s := range sample {
		if !proved[s.ID] {
			sample[i].Bundles = nil
		}
	}
	c.ring.mu.Lock()
	defer c.ring.mu.Unlock()
	c.ring.watch.Answered(sample)
	if n.Size < minList {
		return nil
	}
	return keyLogError(c.ring.watch.Steered())
}
