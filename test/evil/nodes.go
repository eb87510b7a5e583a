// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/bundle"
	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/seal/envelope"
)

// list has the operator change the list of machines.
func list(f func(w *World, honest []listed) []listed) func(context.Context, *World) error {
	return func(ctx context.Context, w *World) error {
		w.do(func(o *Operator) { o.nodeList = func(l []listed) []listed { return f(w, l) } })
		return nil
	}
}

// passedOver is a person who checks all machines, asks, and wants to know what
// was wrong with those that got nothing.
func passedOver(ctx context.Context, w *World) error {
	c := client.New(w.victim.config())
	defer c.CloseNow()
	verdicts, err := c.Verify(ctx)
	if err != nil {
		return err
	}
	if err := w.victim.askWith(ctx, c, client.Options{}); err != nil {
		return err
	}
	for _, v := range verdicts {
		if v.Failure != "" {
			return &failure{v.Failure}
		}
	}
	return nil
}

// recipients is how many keys the newest sealed request was sealed to.
func (w *World) recipients() (int, error) {
	_, msg := w.sealed()
	_, h, err := envelope.Read(bytes.NewReader(msg))
	return len(h.Recipients), err
}

func nodeAttacks() []*Attack {
	const (
		choice  = "The device picks the machine at random among those it checked; nobody can choose one for it."
		checked = "Nothing is sent to a machine that was not checked."
		fresh   = "A key lives for minutes, and its proof no longer than the key."
		changes = "A release that is new to the person is said before the first word goes to it."
		bounded = "A list that can't be read, or that is made to hang, gets nothing."
	)
	const gateway = "the gateway"
	one := func(name, promise, failure string, arm func(context.Context, *World) error) *Attack {
		return &Attack{Class: classNodes, Name: name, Promise: promise, Attacker: gateway, Failure: failure, Arm: arm}
	}
	real := func(rd [64]byte) []bundle.Evidence { return kindSNP.evidence(rd, changesNone) }

	steering := one("steered-to-one-machine", checked, attest.FailSoftwareRefused, list(func(w *World, honest []listed) []listed {
		return append(honest, w.enlist(rogue{}))
	}))
	steering.Victim, steering.Sends = passedOver, true

	newRelease := one("one-machine-with-a-new-release", changes, string(client.StateChanged), list(func(w *World, honest []listed) []listed {
		other := w.enlist(rogue{config: func(c *bundle.KeyConfig) { c.Release = releaseOf(1) }, evidence: real})
		w.do(func(o *Operator) { clear(o.keys) }) // its key is in a real machine
		return append(honest, other)
	}))
	newRelease.Victim = func(ctx context.Context, w *World) error {
		w.victim.releases = []string{releaseOf(0)}
		c := client.New(w.victim.config())
		defer c.CloseNow()
		if _, err := c.Verify(ctx); err != nil {
			return err
		}
		if s := c.Status(); s.State != client.StateVerified {
			return &failure{string(s.State)}
		}
		return nil
	}

	many := one("one-machine-under-many-names", choice, nothing, list(func(w *World, honest []listed) []listed {
		for i := range 15 {
			honest = append(honest, listed{ID: fmt.Sprintf("%032x", i), Bundles: honest[0].Bundles})
		}
		return honest
	}))
	many.Sends = true
	many.Victim = func(ctx context.Context, w *World) error {
		if err := w.victim.ask(ctx); err != nil {
			return err
		}
		if n, err := w.recipients(); err != nil || n != 1 {
			return fmt.Errorf("sealed to %d recipients, %v", n, err)
		}
		return nil
	}

	names := one("another-machine-s-name", choice, nothing, list(func(w *World, honest []listed) []listed {
		honest[0].ID, honest[1].ID = honest[1].ID, honest[0].ID
		return honest
	}))
	names.Setup, names.Sends = setup{nodes: 2}, true

	return []*Attack{
		steering, newRelease, many, names,
		one("only-machines-of-its-own", checked, attest.FailSoftwareRefused, list(func(w *World, _ []listed) (l []listed) {
			for range 64 {
				l = append(l, w.enlist(rogue{}))
			}
			return l
		})),
		one("more-machines-than-there-may-be", bounded, client.SaysUnknown, list(func(w *World, honest []listed) []listed {
			return slices.Repeat(honest, 65)
		})),
		one("stale-keys", fresh, attest.FailKeyExpired, func(ctx context.Context, w *World) error {
			old := w.enlist(rogue{
				config: func(c *bundle.KeyConfig) {
					c.NotBefore, c.NotAfter = time.Now().Add(-16*time.Minute).Unix(), time.Now().Add(-time.Minute).Unix()
				},
				evidence: real,
			})
			return list(func(*World, []listed) []listed { return []listed{old} })(ctx, w)
		}),
		one("no-machine-at-all", bounded, client.CodeNoNode, list(func(*World, []listed) []listed { return []listed{} })),
		one("a-list-that-is-none", bounded, client.SaysUnknown, raw(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", "application/json")
			io.WriteString(rw, `{"v":1,"nodes":[{"id":"`+strings.Repeat(",", 1<<15)+`"}]}`)
		})),
		one("a-list-from-elsewhere", bounded, client.SaysUnreachable, func(ctx context.Context, w *World) error {
			elsewhere, err := w.serve("127.0.0.1:0", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				w.hold([]byte(r.URL.String()), fields(r.Header))
				writeList(rw, must(w.honestList(r.Context())))
			}))
			if err != nil {
				return err
			}
			return raw(func(rw http.ResponseWriter, r *http.Request) {
				http.Redirect(rw, r, elsewhere+"/?who=me", http.StatusFound)
			})(ctx, w)
		}),
	}
}

var changesNone changes

// raw has the operator answer in place of the list of machines.
func raw(h http.HandlerFunc) func(context.Context, *World) error {
	return func(ctx context.Context, w *World) error {
		w.do(func(o *Operator) { o.rawList = h })
		return nil
	}
}
