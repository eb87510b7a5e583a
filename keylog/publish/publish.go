// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package publish writes an issuer's statements into its key log: the keys of today
// and tomorrow, and the list of machines whenever it has changed.
//
// What it does next follows from what the log shows, so that it needs no memory: it
// can be killed at any moment and run twice. That there is one key for each day is
// kept in two places: whoever makes the keys makes one for each day, and the log
// takes no second.
package publish

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/internal/lines"
	"github.com/sotto-chat/sotto/keylog"
	"github.com/sotto-chat/sotto/tlog"
	"github.com/sotto-chat/sotto/token"
)

// Times and limits.
const (
	// DefaultEvery is how long there is between two looks.
	DefaultEvery = time.Minute

	askTime    = 30 * time.Second
	maxAbout   = 64 << 10 // bytes of what the gateway says of its keys
	maxIDs     = 48 << 20 // bytes of the gateway's list: 1,048,576 ids
	maxRefusal = 4 << 10
	maxAdds    = 4 // statements in one look
)

// Config says what is published, where, and by whom.
type Config struct {
	Log     string      // the key log's base URL
	Pin     keylog.Pin  // by which what the log shows is believed
	Signer  tlog.Signer // one of the pin's keys
	Issuer  string      // the issuer's name, as in a token's challenge
	Gateway string      // the gateway's base URL, which knows its keys and machines

	// Issue returns the key (SPKI) by which tokens of a day are signed, always the same
	// for one day, and written down before it returns.
	Issue func(ctx context.Context, day token.Day) ([]byte, error)

	Every      time.Duration // between two looks; 0 means [DefaultEvery]
	NodesEvery time.Duration // between two lists of machines; 0 means 10 minutes, less than 0 no time
	Client     *http.Client  // nil: a client of its own
	Logger     *slog.Logger  // nil: none
	Now        func() time.Time
}

// Publisher publishes. Make it with [New] and let it [Publisher.Run].
type Publisher struct {
	cfg  Config
	log  lines.Log
	seen *tlog.Seen
}

// New makes a publisher. It asks nobody before [Publisher.Run] or [Publisher.Step].
func New(cfg Config) (*Publisher, error) {
	if _, err := cfg.Pin.Judge(); err != nil {
		return nil, fmt.Errorf("the pin of the key log can't be used: %w", err)
	}
	if !slices.Contains(cfg.Pin.Keys, cfg.Signer.Key().String()) {
		return nil, fmt.Errorf("the pin of the key log doesn't name the key that is to sign its statements: it needs %s among its keys", cfg.Signer.Key())
	}
	if cfg.Pin.Threshold != 1 {
		return nil, errors.New("the pin of the key log asks for more than one signature, and a publisher has one key")
	}
	for _, u := range []*string{&cfg.Log, &cfg.Gateway} {
		at, err := url.Parse(*u)
		if err != nil || at.Scheme != "http" && at.Scheme != "https" || at.Host == "" || at.User != nil || at.RawQuery != "" || at.Fragment != "" {
			return nil, fmt.Errorf("%q is not the address of a key log or a gateway: it should look like https://keys.example", *u)
		}
		*u = strings.TrimSuffix(*u, "/")
	}
	if cfg.Every == 0 {
		cfg.Every = DefaultEvery
	}
	if cfg.NodesEvery == 0 {
		cfg.NodesEvery = 10 * time.Minute
	}
	if cfg.Client == nil {
		cfg.Client = &http.Client{Timeout: askTime, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Publisher{cfg: cfg, log: lines.To(cfg.Logger)}, nil
}

// Run looks every so often, until ctx ends.
func (p *Publisher) Run(ctx context.Context) error {
	said := ""
	for {
		err := p.Step(ctx)
		if ctx.Err() != nil {
			return nil
		}
		switch {
		case err == nil:
			if said != "" {
				p.log.Info("the key log is up to date again")
			}
			said = ""
		case err.Error() != said:
			said = err.Error()
			p.log.Error("the key log is not up to date", lines.Err(err))
		}
		wait := p.cfg.Every
		if err != nil {
			wait = min(wait, 5*time.Second)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
	}
}

// Step looks once, and publishes what is missing. Nil says that the log has the
// keys of today and tomorrow, and the newest list that it takes now.
func (p *Publisher) Step(ctx context.Context) error {
	for range maxAdds {
		keys, err := p.look(ctx)
		if err != nil {
			return fmt.Errorf("the key log: %w", err)
		}
		next, err := p.missing(ctx, keys)
		if next == nil || err != nil {
			return err
		}
		next.Product, next.Index, next.Time = p.cfg.Pin.Product, keys.Checkpoint.Size, p.cfg.Now().Unix()
		if err := p.add(ctx, *next); err != nil {
			return err
		}
	}
	return nil
}

// look opens what the log shows now.
func (p *Publisher) look(ctx context.Context) (*keylog.Keys, error) {
	from := ""
	for {
		doc, err := p.get(ctx, p.cfg.Log+"/sotto/v1/log"+from, tlog.MaxView)
		if err != nil {
			return nil, err
		}
		keys, err := p.cfg.Pin.Open(doc, p.seen, p.cfg.Now())
		var earlier *tlog.EarlierError
		if errors.As(err, &earlier) && from == "" {
			from = "?from=" + strconv.FormatInt(earlier.From, 10)
			continue
		}
		if err != nil {
			return nil, err
		}
		p.seen = &keys.Seen
		return keys, nil
	}
}

// missing returns the statement that the log misses most, nil for none.
func (p *Publisher) missing(ctx context.Context, keys *keylog.Keys) (*keylog.Statement, error) {
	now := p.cfg.Now()
	today := token.DayOf(now)
	days := keys.Days()
	for _, d := range []token.Day{today, today + 1} {
		if len(days) > 0 && d < days[len(days)-1] && !slices.Contains(days, d) {
			continue // it was passed over, and can't be made good
		}
		issue, err := p.cfg.Issue(ctx, d)
		if err != nil {
			return nil, fmt.Errorf("the key for %v: %w", d, err)
		}
		if !slices.Contains(days, d) {
			st := &keylog.Statement{Kind: keylog.KindDay, Day: d, Issuer: p.cfg.Issuer, Issue: issue}
			st.Refund, st.OHTTP, err = p.about(ctx, d)
			return st, err
		}
		// With another one, whatever is signed today is worthless.
		if stated, err := keys.Day(d); err == nil && !bytes.Equal(stated.Issue, issue) {
			return nil, fmt.Errorf("the key log has another key for %v than this service signs with: has its database been replaced? Until the day after, clients take no tokens", d)
		}
	}
	list, err := p.list(ctx)
	if err != nil {
		return nil, err
	}
	stated, ok := keys.Nodes()
	switch {
	case list.Size() == 0: // a gateway that has just started
		return nil, nil
	case !ok, keys.Restate():
	case stated.Size == list.Size() && stated.Root == list.Root():
		return nil, nil
	case now.Sub(time.Unix(stated.Time, 0)) < p.cfg.NodesEvery:
		return nil, nil // later
	}
	return &keylog.Statement{Kind: keylog.KindNodes, Size: list.Size(), Root: list.Root()}, nil
}

// about asks the gateway for its keys of a day.
func (p *Publisher) about(ctx context.Context, day token.Day) (refund []byte, ohttp []string, err error) {
	doc, err := p.get(ctx, p.cfg.Gateway+"/sotto/v1/gateway?product="+url.QueryEscape(p.cfg.Pin.Product), maxAbout)
	if err != nil {
		return nil, nil, fmt.Errorf("the gateway’s keys: %w", err)
	}
	var j struct {
		V      int `json:"v"`
		Refund []struct {
			Day string `json:"day"`
			Key []byte `json:"key"`
		} `json:"refund"`
		OHTTP []string `json:"ohttp"`
	}
	if json.Unmarshal(doc, &j) != nil || j.V != 1 {
		return nil, nil, errors.New("the gateway’s keys are not in the expected form")
	}
	for _, r := range j.Refund {
		if r.Day == day.String() {
			refund = r.Key
		}
	}
	if refund == nil && len(j.Refund) > 0 {
		return nil, nil, fmt.Errorf("the gateway has no key for refunds of %v", day)
	}
	slices.Sort(j.OHTTP)
	return refund, slices.Compact(j.OHTTP), nil
}

// list asks the gateway for its list of machines.
func (p *Publisher) list(ctx context.Context) (*keylog.List, error) {
	doc, err := p.get(ctx, p.cfg.Gateway+"/sotto/v1/nodes?ids", maxIDs)
	if err != nil {
		return nil, fmt.Errorf("the gateway’s machines: %w", err)
	}
	var j struct {
		V   int      `json:"v"`
		IDs []string `json:"ids"`
	}
	if json.Unmarshal(doc, &j) != nil || j.V != 1 {
		return nil, errors.New("the gateway’s machines are not in the expected form")
	}
	return keylog.NewList(j.IDs)
}

// add signs a statement and adds it. What the log says then is seen at the next look.
func (p *Publisher) add(ctx context.Context, s keylog.Statement) error {
	entry, err := s.Sign(p.cfg.Signer)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.cfg.Log+"/add", bytes.NewReader(entry))
	if err != nil {
		return err
	}
	resp, err := p.cfg.Client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, tlog.MaxProof))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the key log refuses a statement: %.200s", bytes.TrimSpace(answer[:min(len(answer), maxRefusal)]))
	}
	return nil
}

func (p *Publisher) get(ctx context.Context, at string, limit int64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	resp, err := p.cfg.Client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers with status %d", at, resp.StatusCode)
	}
	doc, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(doc)) > limit {
		return nil, fmt.Errorf("%s answers with more than %d bytes", at, limit)
	}
	return doc, nil
}
