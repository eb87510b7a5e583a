// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/vault"
)

// host is what the core needs of the Worker that it runs in.
type host interface {
	client.Transport
	// emit hands the page an event of web/src/core/protocol.ts. It may be
	// called with core.mu held, so that events come in the order of changes.
	emit(event any)
	// queue keeps sealed records on the device until the server has them. It
	// returns when they are kept.
	queue(puts []vault.Put) error
	// pending keeps what is needed to take up an answer again after a reload,
	// sealed, under the answer's id; nil forgets it.
	pending(id string, sealed []byte) error
	// keep keeps a keptTrust for the next start. It may be called with core.mu held.
	keep(kept string)
}

// core is everything that the page's core knows. It has no state outside.
type core struct {
	host    host
	methods map[string]method

	mu      sync.Mutex
	origin  string
	local   bool // the page is served from this machine
	trust   trust
	page    pageState
	draft   *draft // an account or a kit that is being made
	vault   *vaultState
	chats   chatState
	offline bool // the account server can't be reached
}

func newCore(h host) *core {
	c := &core{host: h}
	c.chats.reset()
	c.methods = map[string]method{
		"start":      run(c.start),
		"acceptDemo": run(c.acceptDemo),
		"check":      ask(c.check),
		"proof":      ask(c.proof),
		"judgePage":  run(c.judgePage),

		"newAccount":       withSecret(c.newAccount),
		"finishAccount":    run(c.finishAccount),
		"adopt":            run(c.adopt),
		"unlockPasskey":    withSecret(c.unlockPasskey),
		"unlockPassphrase": run(c.unlockPassphrase),
		"recoverBegin":     run(c.recoverBegin),
		"recoverSign":      run(c.recoverSign),
		"recoverOpen":      run(c.recoverOpen),
		"wrapPasskey":      withSecret(c.wrapPasskey),
		"wrapPassphrase":   run(c.wrapPassphrase),
		"newKit":           ask(c.newKit),
		"confirmKit":       run(c.confirmKit),
		"openOffer":        run(c.openOffer),
		"wrapOffer":        ask(c.wrapOffer),
		"sealLabel":        run(c.sealLabel),
		"openLabels":       run(c.openLabels),

		"load":    run(c.load),
		"opened":  ask(c.opened),
		"apply":   run(c.apply),
		"acked":   run(c.acked),
		"rejoin":  run(c.rejoin),
		"pending": ask(c.pending),
		"head":    ask(c.head),
		"reach":   run(c.reach),
		"resume":  run(c.resume),
		"wake":    ask(c.wake),
		"erasing": ask(c.erasing),

		"openChat":    run(c.openChat),
		"closeChat":   run(c.closeChat),
		"newChat":     run(c.newChat),
		"send":        run(c.send),
		"regenerate":  run(c.regenerate),
		"stop":        run(c.stop),
		"rename":      run(c.rename),
		"pin":         run(c.pin),
		"archive":     run(c.archive),
		"deleteChat":  run(c.deleteChat),
		"search":      run(c.search),
		"exportAll":   ask(c.exportAll),
		"exportChat":  run(c.exportChat),
		"setSettings": run(c.setSettings),
	}
	c.addVectors()
	return c
}

// method is one entry of the table: args is JSON, secret may be nil and is
// overwritten by the caller. The result is JSON-able, or []byte for bytes.
type method func(ctx context.Context, args, secret []byte) (any, error)

// call runs a method by its name.
func (c *core) call(ctx context.Context, name string, args, secret []byte) (any, error) {
	m, ok := c.methods[name]
	if !ok {
		return nil, fmt.Errorf("core: no method %q", name)
	}
	return m(ctx, args, secret)
}

// none is the result of a method that has none.
type none struct{}

// The three are made once for each method, so what they do stands outside them:
// it is a good part of the core's size.

func run[A, R any](f func(context.Context, A) (R, error)) method {
	return func(ctx context.Context, args, _ []byte) (any, error) {
		var a A
		if err := decodeArgs(args, &a); err != nil {
			return nil, err
		}
		return f(ctx, a)
	}
}

func ask[R any](f func(context.Context) (R, error)) method {
	return func(ctx context.Context, args, _ []byte) (any, error) {
		if err := decodeArgs(args, &none{}); err != nil {
			return nil, err
		}
		return f(ctx)
	}
}

func withSecret[A, R any](f func(context.Context, A, []byte) (R, error)) method {
	return func(ctx context.Context, args, secret []byte) (any, error) {
		var a A
		if err := decodeArgs(args, &a); err != nil {
			return nil, err
		}
		return f(ctx, a, secret)
	}
}

// decodeArgs reads the arguments of a method into the struct that a points to.
func decodeArgs(args []byte, a any) error {
	d := json.NewDecoder(bytes.NewReader(args))
	d.DisallowUnknownFields()
	if err := d.Decode(a); err != nil {
		return fmt.Errorf("core: arguments: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("core: arguments: trailing bytes")
	}
	return nil
}
