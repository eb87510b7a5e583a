// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sotto-chat/sotto/keylog"
	"github.com/sotto-chat/sotto/keylog/keylogtest"
	"github.com/sotto-chat/sotto/release"
	"github.com/sotto-chat/sotto/tlog"
	"github.com/sotto-chat/sotto/token"
	"github.com/sotto-chat/sotto/token/wallet"
)

// keysWorld is a ledger whose newest release names a key log, and a service that has
// a relay, takes tokens, and lists its machines in the key log. Everything is right
// until a test changes it.
type keysWorld struct {
	*ledger
	keys    *keylogtest.World
	service Service
	ids     []string
	list    *keylog.List
	down    func(index int64) bool
	evil    map[int64]string // whose bundle stands at a place instead of its own
	asked   []string         // of /sotto/v1/nodes
	away    string           // a path that can't be reached
	paths   []string         // of all that went over the service's own Transport
}

func newKeysWorld(t *testing.T, nodes int) (*keysWorld, Config) {
	l, cfg := newLedger(t)
	w := &keysWorld{ledger: l, keys: keylogtest.New(t.Name()), evil: map[int64]string{}, down: func(int64) bool { return false }}
	w.ids = keylogtest.IDs(nodes)
	w.list, _ = keylog.NewList(w.ids)
	w.run("1.2.0", func(m *release.Manifest) {
		m.KeyLog, m.Issuers = w.keys.Pin.Log, slices.Sorted(slices.Values(w.keys.Pin.Keys))
		m.Relays = []string{"https://relay.example/"}
	})
	w.f.releases = map[string]string{}
	for _, id := range append(w.ids, "ffffffffffffffffffffffffffffffff") {
		w.f.releases[id] = w.digest
	}
	w.f.anchor = w.at(3, time.Minute)
	today := token.DayOf(time.Now())
	w.keys.Days(today-1, today+1)
	w.keys.Publish(w.keys.NodesOf(w.ids))
	w.service = Service{V: 1, Tokens: true, Product: "sotto", Issuer: "tokens.sotto.example",
		Relay: &Relay{URL: "https://relay.example/", Operator: "Example Ltd"}}
	return w, cfg
}

func (w *keysWorld) client(cfg Config) *Client {
	c := w.f.client(cfg)
	c.cfg.Transport = w
	return c
}

// keysView is what the key log shows now.
func (w *keysWorld) keysView() []byte {
	v, err := w.keys.Tree().Recent(w.keys.Checkpoint(time.Now().Unix()-1, 3), -1, w.keys.Entries)
	if err != nil {
		panic(err)
	}
	doc, err := v.Encode()
	if err != nil {
		panic(err)
	}
	return doc
}

func (w *keysWorld) RoundTrip(ctx context.Context, r *Request) (*Response, error) {
	path, query, _ := strings.Cut(r.Path, "?")
	w.paths = append(w.paths, path)
	if path == w.away {
		return nil, errors.New("connection refused")
	}
	switch path {
	case pathService:
		doc, _ := json.Marshal(w.service)
		return reply(200, "application/json", doc), nil
	case pathKeys:
		return reply(200, "application/json", w.keysView()), nil
	case pathNodes:
		w.asked = append(w.asked, query)
		return reply(200, "application/json", w.nodesAt(query)), nil
	}
	return w.f.RoundTrip(ctx, r)
}

func (w *keysWorld) nodesAt(query string) []byte {
	type node struct {
		Index   int64       `json:"index"`
		ID      string      `json:"id"`
		Proof   []tlog.Hash `json:"proof"`
		Bundles [][]byte    `json:"bundles"`
	}
	doc := struct {
		V     int       `json:"v"`
		Size  int64     `json:"size"`
		Root  tlog.Hash `json:"root"`
		Nodes []node    `json:"nodes"`
	}{V: 1, Size: w.list.Size(), Root: w.list.Root()}
	for _, s := range strings.Split(strings.TrimPrefix(query, "at="), ",") {
		i, _ := strconv.ParseInt(s, 10, 64)
		proof, _ := w.list.Proof(i)
		n := node{Index: i, ID: w.list.IDs()[i], Proof: proof}
		whose := n.ID
		if e, ok := w.evil[i]; ok {
			whose = e
		}
		if !w.down(i) {
			w.f.mu.Lock()
			n.Bundles = [][]byte{w.f.bundle(whose)}
			w.f.mu.Unlock()
		}
		doc.Nodes = append(doc.Nodes, n)
	}
	b, _ := json.Marshal(doc)
	return b
}

func TestMachinesAreDrawnFromTheKeyLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, cfg := newKeysWorld(t, 300)
		c := w.client(cfg)
		verdicts, err := c.Verify(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(verdicts) != sampleNodes-wantedSample {
			t.Errorf("%d machines were looked at", len(verdicts))
		}
		var nodes []string
		for _, v := range verdicts {
			nodes = append(nodes, v.Node)
		}
		for range 3 {
			if _, err := c.Verify(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if w.asked[0] == w.asked[1] || w.asked[1] == w.asked[2] {
			t.Errorf("it asks for the same machines again: %q", w.asked)
		}
		// Those that have an answer under way stay in the sample.
		c.want([]Receipt{{Node: nodes[0]}}, +1)
		if _, err := c.Verify(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := c.keyOf(t.Context(), nodes[0], false); err != nil {
			t.Errorf("the machine with an answer under way: %v", err)
		}
	})
}

func TestNobodyChoosesTheMachines(t *testing.T) {
	const other = "ffffffffffffffffffffffffffffffff"
	for name, c := range map[string]struct {
		nodes  int
		change func(w *keysWorld)
		want   string // failure
	}{
		"another in the place of all": {20, func(w *keysWorld) {
			for i := range int64(20) {
				w.evil[i] = other
			}
		}, keylog.FailSteered},
		"all but a few are said to be down": {100, func(w *keysWorld) { w.down = func(i int64) bool { return i > 10 } }, keylog.FailSteered},
		"another list": {20, func(w *keysWorld) {
			w.list, _ = keylog.NewList(append(keylogtest.IDs(30)[20:], w.ids...))
		}, keylog.FailOtherList},
		"two keys for a day": {3, func(w *keysWorld) {
			s := w.keys.DayOf(token.DayOf(time.Now()) + 1)
			s.Issue = keylogtest.SPKI("another")
			w.keys.Publish(s)
		}, keylog.FailDuplicate},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, cfg := newKeysWorld(t, c.nodes)
				cl := w.client(cfg)
				if _, err := cl.Verify(t.Context()); err != nil {
					t.Fatalf("before: %v", err)
				}
				c.change(w)
				var err error
				for range 4 {
					if _, err = cl.Verify(t.Context()); err != nil && c.want != keylog.FailSteered {
						break
					}
				}
				var kl *KeyLogError
				if !errors.As(err, &kl) || kl.Failure != c.want {
					t.Fatalf("%v, want %s", err, c.want)
				}
				s := cl.Status()
				if kl.lie() && (s.State != StateFailed || len(cl.liveKeys()) > 0) {
					t.Errorf("state %s with %d keys", s.State, len(cl.liveKeys()))
				}
				if s.State == StateFailed && s.Line != "Not sent. This service could not prove itself." {
					t.Errorf("line %q", s.Line)
				}
				if Explain(err).Code != c.want {
					t.Errorf("explained as %+v", Explain(err))
				}
			})
		})
	}
}

// TestFewMachinesAreNoSteering: of a short list all are asked for, so that those that
// are down say nothing.
func TestFewMachinesAreNoSteering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, cfg := newKeysWorld(t, 3)
		w.down = func(i int64) bool { return i > 0 }
		c := w.client(cfg)
		for range 20 {
			if _, err := c.Verify(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestKeysOfADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, cfg := newKeysWorld(t, 3)
		issue, refund := newIssueKey(t), newIssueKey(t)
		today := token.DayOf(time.Now())
		w.keys.Entries = nil
		w.keys.Publish(w.keys.DayOf(today - 1))
		s := w.keys.DayOf(today)
		s.Issue, s.Refund = issue.Public().SPKI(), refund.Public().SPKI()
		w.keys.Publish(s)
		w.keys.Publish(w.keys.NodesOf(w.ids))
		cfg.Wallet = func(Service, func(context.Context, token.Day) (wallet.DayKeys, error)) (*wallet.Wallet, error) {
			return nil, errors.New("none here")
		}
		c := w.client(cfg)
		k, err := c.dayKeys(t.Context(), today)
		if err != nil || k.Issue.ID() != issue.Public().ID() || k.Refund.ID() != refund.Public().ID() {
			t.Fatalf("%v", err)
		}
		if _, err := c.dayKeys(t.Context(), today+2); !errors.Is(err, wallet.ErrDayUnknown) {
			t.Errorf("a day without a key: %v", err)
		}
		// A name of one's own would be in each token.
		w.service.Issuer = "tokens-for-you.sotto.example"
		if err := c.askService(t.Context()); err != nil {
			t.Fatal(err)
		}
		var kl *KeyLogError
		if _, err := c.dayKeys(t.Context(), today); !errors.As(err, &kl) || kl.Failure != keylog.FailDuplicate {
			t.Errorf("another issuer's name: %v", err)
		}
	})
}

func newIssueKey(t *testing.T) token.PrivateKey {
	t.Helper()
	k, err := token.NewKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestRelayIsNamedByTheRelease(t *testing.T) {
	for name, c := range map[string]struct {
		change func(w *keysWorld)
		err    error
	}{
		"named":     {func(*keysWorld) {}, nil},
		"none":      {func(w *keysWorld) { w.service.Relay = nil }, ErrRelay},
		"another's": {func(w *keysWorld) { w.service.Relay.URL = "https://my-own.example/" }, ErrRelay},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, cfg := newKeysWorld(t, 3)
				c.change(w)
				var to []string
				cfg.Through = func(relay string) (Transport, error) {
					to = append(to, relay)
					return nil, errors.New("not here")
				}
				cl := w.client(cfg)
				cl.way.known, cl.way.service, cl.way.to = true, w.service, w // as if it went through it
				_, err := cl.Verify(t.Context())
				if !errors.Is(err, c.err) {
					t.Fatalf("%v, want %v", err, c.err)
				}
				s := cl.Status()
				if err == nil && (s.Relay == nil || s.Relay.Operator != "Example Ltd" || !s.RelayNamed) {
					t.Errorf("status %+v", s)
				}
				if err != nil && Explain(err).Code != SaysRelay {
					t.Errorf("explained as %+v", Explain(err))
				}
			})
		})
	}
}

// TestGatewaysKeyIsEverybodys: a key that only one person is given would tell who asks.
func TestGatewaysKeyIsEverybodys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, cfg := newKeysWorld(t, 3)
		c := w.client(cfg)
		if err := c.relayKey("sha256:00"); err != nil {
			t.Errorf("before any key log is known: %v", err)
		}
		if _, err := c.Verify(t.Context()); err != nil {
			t.Fatal(err)
		}
		good := w.keys.DayOf(token.DayOf(time.Now())).OHTTP[0]
		if err := c.relayKey(good); err != nil {
			t.Errorf("the day's key: %v", err)
		}
		if err := c.relayKey("sha256:00"); !errors.Is(err, ErrRelayKey) {
			t.Errorf("another key: %v", err)
		}
	})
}

// TestKeyLogThatIsAwayIsNotForgotten: whoever keeps a client from looking at the key
// log must not get it to take another key of the gateway, while it has machines that
// were checked before.
func TestKeyLogThatIsAwayIsNotForgotten(t *testing.T) {
	for _, away := range []string{pathKeys, pathLog} {
		synctest.Test(t, func(t *testing.T) {
			w, cfg := newKeysWorld(t, 3)
			c := w.client(cfg)
			if _, err := c.Verify(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.away = away
			if _, err := c.Verify(t.Context()); err == nil {
				t.Fatalf("without %s all is well", away)
			}
			if len(c.liveKeys()) == 0 {
				t.Errorf("without %s, machines that were checked are forgotten", away)
			}
			if err := c.relayKey("sha256:00"); !errors.Is(err, ErrRelayKey) {
				t.Errorf("without %s, another key: %v", away, err)
			}
		})
	}
}

// TestWhatWasSaidOfTheServiceStands: a relay doesn't go because somebody keeps the
// service from saying that there is one.
func TestWhatWasSaidOfTheServiceStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, cfg := newKeysWorld(t, 3)
		var told []Service
		cfg.OnService = func(s Service) { told = append(told, s) }
		cfg.Wallet = func(Service, func(context.Context, token.Day) (wallet.DayKeys, error)) (*wallet.Wallet, error) {
			return nil, errors.New("none here")
		}
		c := w.client(cfg)
		for range 2 {
			if _, err := c.Verify(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if len(told) != 1 || !same(told[0], w.service) {
			t.Fatalf("told %+v", told)
		}
		// The next run, and nobody answers.
		cfg.Service = &told[0]
		c = w.client(cfg)
		c.cfg.Transport = down{}
		if err := c.askService(t.Context()); err != nil || !same(c.Service(), w.service) {
			t.Errorf("%+v, %v", c.Service(), err)
		}
		cfg.Service = nil
		c = w.client(cfg)
		c.cfg.Transport = down{}
		if err := c.askService(t.Context()); !errors.Is(err, ErrUnreachable) {
			t.Errorf("a service that nobody knows: %v", err)
		}
	})
}

type down struct{}

func (down) RoundTrip(context.Context, *Request) (*Response, error) {
	return nil, errors.New("connection refused")
}

func TestAskService(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		doc    string
		ok     bool
		want   Service
	}{
		"all":          {200, `{"v":1,"relay":{"url":"https://r.example/","operator":"R"},"tokens":true,"guests":true,"product":"sotto","issuer":"i","billing":true,"price":"$35 a month","new":1}`, true, Service{V: 1, Tokens: true, Guests: true, Product: "sotto", Issuer: "i", Billing: true, Price: "$35 a month"}},
		"none":         {404, `{"error":{"code":"not_found","message":""}}`, true, Service{V: 1}},
		"not JSON":     {200, `<html>`, false, Service{}},
		"other form":   {200, `{"v":2}`, false, Service{}},
		"out of order": {500, `{}`, false, Service{}},
		"too long":     {200, `{"v":1,"price":"` + strings.Repeat("x", maxService) + `"}`, false, Service{}},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := AskService(t.Context(), fixed{c.status, c.doc})
			if (err == nil) != c.ok {
				t.Fatalf("%v", err)
			}
			if r := s.Relay; (name == "all") != (r != nil) || r != nil && (r.URL != "https://r.example/" || r.Operator != "R") {
				t.Errorf("relay %+v", r)
			}
			if s.Relay = nil; s != c.want {
				t.Errorf("%+v", s)
			}
		})
	}
}

type fixed struct {
	status int
	doc    string
}

func (f fixed) RoundTrip(context.Context, *Request) (*Response, error) {
	return reply(f.status, "application/json", []byte(f.doc)), nil
}
