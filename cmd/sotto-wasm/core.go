// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
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
	// api asks the account server with the person's session: method, the path
	// below /api/v1/ and a JSON body, "" for none. A refusal is a *coreError.
	api(method, path, body string) (string, error)
	// through returns the way to a relay at its address.
	through(relay string) client.Transport
	// openTokens makes this core the only one that may keep tokens, and returns the
	// device's secret and the sealed wallet; nil if there is none yet.
	openTokens() (secret, blob []byte, err error)
	// saveTokens keeps the sealed wallet. errTaken: another core may now.
	saveTokens(blob []byte) error
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
	plan    planState
	draft   *draft // an account or a kit that is being made
	vault   *vaultState
	chats   chatState
	offline bool // the account server can't be reached
}

func newCore(h host) *core {
	c := &core{host: h}
	c.chats.reset()
	c.plan.left = leftUnknown
	c.methods = map[string]method{
		"start":      run(c.start),
		"acceptDemo": run(c.acceptDemo),
		"check":      run(c.check),
		"proof":      run(c.proof),
		"judgePage":  run(c.judgePage),
		"plan":       run(c.getPlan),

		"newAccount":       run(c.newAccount),
		"finishAccount":    run(c.finishAccount),
		"adopt":            run(c.adopt),
		"unlockPasskey":    run(c.unlockPasskey),
		"unlockPassphrase": run(c.unlockPassphrase),
		"recoverBegin":     run(c.recoverBegin),
		"recoverSign":      run(c.recoverSign),
		"recoverOpen":      run(c.recoverOpen),
		"wrapPasskey":      run(c.wrapPasskey),
		"wrapPassphrase":   run(c.wrapPassphrase),
		"newKit":           run(c.newKit),
		"confirmKit":       run(c.confirmKit),
		"openOffer":        run(c.openOffer),
		"wrapOffer":        run(c.wrapOffer),
		"sealLabel":        run(c.sealLabel),
		"openLabels":       run(c.openLabels),

		"load":    run(c.load),
		"opened":  run(c.opened),
		"apply":   run(c.apply),
		"acked":   run(c.acked),
		"rejoin":  run(c.rejoin),
		"pending": run(c.pending),
		"head":    run(c.head),
		"reach":   run(c.reach),
		"resume":  run(c.resume),
		"wake":    run(c.wake),
		"erasing": run(c.erasing),

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
		"exportAll":   run(c.exportAll),
		"report":      run(c.report),
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

// run makes a method of a function that takes a context and, where it has them,
// arguments and the secret, and returns a result and an error. It calls by
// reflection: one function made anew for each method's types, as generics would,
// is fifty times the same, with fifty long names, and a good part of the core.
func run(f any) method {
	v := reflect.ValueOf(f)
	t := v.Type()
	return func(ctx context.Context, args, secret []byte) (any, error) {
		in := []reflect.Value{reflect.ValueOf(ctx)}
		a := reflect.ValueOf(&none{})
		if t.NumIn() > 1 {
			a = reflect.New(t.In(1))
			in = append(in, a.Elem())
		}
		if err := decodeArgs(args, a.Interface()); err != nil {
			return nil, err
		}
		if t.NumIn() > 2 {
			in = append(in, reflect.ValueOf(secret))
		}
		out := v.Call(in)
		err, _ := out[1].Interface().(error)
		return out[0].Interface(), err
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
