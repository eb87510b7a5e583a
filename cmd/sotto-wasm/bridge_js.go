// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"syscall/js"

	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/vault"
)

var (
	uint8Array = js.Global().Get("Uint8Array")
	promises   = js.Global().Get("Promise")
)

// promise runs f on a goroutine of its own and returns a Promise of its result.
// A panic in f becomes an error: one broken call must not end the core.
func promise(f func() (js.Value, error)) js.Value {
	var executor js.Func
	executor = js.FuncOf(func(_ js.Value, args []js.Value) any {
		resolve, reject := args[0], args[1]
		go func() {
			defer executor.Release()
			defer func() {
				if r := recover(); r != nil {
					reject.Invoke(errorValue(fmt.Errorf("core: panic: %v", r)))
				}
			}()
			v, err := f()
			if err != nil {
				reject.Invoke(errorValue(err))
				return
			}
			resolve.Invoke(v)
		}()
		return nil
	})
	return promises.New(executor)
}

// await blocks the calling goroutine, never the event loop, until p is settled.
func await(p js.Value) (js.Value, error) {
	type outcome struct {
		v  js.Value
		ok bool
	}
	done := make(chan outcome, 1)
	settle := func(ok bool) js.Func {
		return js.FuncOf(func(_ js.Value, args []js.Value) any {
			v := js.Undefined()
			if len(args) > 0 {
				v = args[0]
			}
			done <- outcome{v, ok}
			return nil
		})
	}
	resolved, rejected := settle(true), settle(false)
	defer resolved.Release()
	defer rejected.Release()
	p.Call("then", resolved, rejected)
	o := <-done
	if !o.ok {
		return js.Value{}, jsError(o.v)
	}
	return o.v, nil
}

// jsError makes an error of what a promise was rejected with.
func jsError(v js.Value) error {
	if v.Type() == js.TypeObject && v.Get("message").Type() == js.TypeString {
		return errors.New("browser: " + v.Get("message").String())
	}
	return errors.New("browser: " + v.String())
}

// errorValue is what the page gets of err: a code and a sentence.
func errorValue(err error) js.Value {
	e := explain(err)
	v := js.Global().Get("Object").New()
	v.Set("code", e.Code)
	v.Set("message", e.Message)
	return v
}

// resultValue turns a method's result into a value for JavaScript.
func resultValue(out any) (js.Value, error) {
	if b, ok := out.([]byte); ok {
		return bytesValue(b), nil
	}
	doc, err := json.Marshal(out)
	if err != nil {
		return js.Value{}, err
	}
	return js.ValueOf(string(doc)), nil
}

func bytesValue(b []byte) js.Value {
	v := uint8Array.New(len(b))
	js.CopyBytesToJS(v, b)
	return v
}

// takeSecret copies the bytes of v and overwrites them where they were.
func takeSecret(v js.Value) []byte {
	if v.IsNull() || v.IsUndefined() {
		return nil
	}
	b := make([]byte, v.Get("length").Int())
	js.CopyBytesToGo(b, v)
	v.Call("fill", 0)
	return b
}

// browser is the host of a core in a Worker. Its object has
//
//	ready(call): void
//	emit(event: string): void                        a CoreEvent as JSON
//	queue(puts: string): Promise<void>               keeps sealed records until the server has them
//	pending(id: string, sealed: Uint8Array | null): Promise<void>
//	keep(kept: string): void                         what the next start is given
//	api(method, path, body: string): Promise<{text: string} | {code, message, body: string}>
//	openTokens(): Promise<{secret: Uint8Array, blob: Uint8Array | null}>
//	saveTokens(blob: Uint8Array): Promise<boolean>   false: another core keeps them now
//	fetch(method, url, contentType: string, body: Uint8Array | null, fields: Record<string, string>, signal: AbortSignal):
//	    Promise<{status: number, contentType: string, reader: ReadableStreamDefaultReader | null}>
type browser struct{ host js.Value }

func (b browser) emit(event any) {
	doc, err := json.Marshal(event)
	if err != nil {
		panic("core: an event that is no JSON: " + err.Error())
	}
	b.host.Call("emit", string(doc))
}

func (b browser) queue(puts []vault.Put) error {
	doc, err := json.Marshal(puts)
	if err != nil {
		return err
	}
	_, err = await(b.host.Call("queue", string(doc)))
	return err
}

func (b browser) pending(id string, sealed []byte) error {
	v := js.Null()
	if sealed != nil {
		v = bytesValue(sealed)
	}
	_, err := await(b.host.Call("pending", id, v))
	return err
}

func (b browser) keep(kept string) { b.host.Call("keep", kept) }

func (b browser) api(method, path, body string) (string, error) {
	v, err := await(b.host.Call("api", method, path, body))
	if err != nil {
		return "", err
	}
	if code := v.Get("code"); code.Type() == js.TypeString {
		return "", &apiError{&coreError{code.String(), v.Get("message").String()}, v.Get("body").String()}
	}
	return v.Get("text").String(), nil
}

func (b browser) openTokens() (secret, blob []byte, err error) {
	v, err := await(b.host.Call("openTokens"))
	if err != nil {
		return nil, nil, err
	}
	return takeSecret(v.Get("secret")), takeSecret(v.Get("blob")), nil
}

func (b browser) saveTokens(blob []byte) error {
	v, err := await(b.host.Call("saveTokens", bytesValue(blob)))
	if err == nil && !v.Bool() {
		err = errTaken
	}
	return err
}

func (b browser) through(relay string) client.Transport { return relayed{b, relay} }

// relayed is a browser's way to a relay.
type relayed struct {
	browser
	address string
}

// RoundTrip implements client.Transport; the path is relative to the relay.
func (r relayed) RoundTrip(ctx context.Context, req *client.Request) (*client.Response, error) {
	return r.fetch(ctx, r.address+req.Path, req)
}

// RoundTrip implements client.Transport over fetch.
func (b browser) RoundTrip(ctx context.Context, r *client.Request) (*client.Response, error) {
	return b.fetch(ctx, r.Path, r)
}

func (b browser) fetch(ctx context.Context, url string, r *client.Request) (*client.Response, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	controller := js.Global().Get("AbortController").New()
	stop := context.AfterFunc(ctx, func() { controller.Call("abort") })
	body := js.Null()
	if r.Body != nil {
		body = bytesValue(r.Body)
	}
	fields := map[string]any{}
	for _, f := range r.Header {
		fields[f.Name] = f.Value
	}
	v, err := await(b.host.Call("fetch", r.Method, url, r.ContentType, body, fields, controller.Get("signal")))
	if err != nil {
		stop()
		return nil, err
	}
	return &client.Response{
		Status:      v.Get("status").Int(),
		ContentType: v.Get("contentType").String(),
		Body:        &stream{reader: v.Get("reader"), controller: controller, stop: stop},
	}, nil
}

// stream is the body of a fetched response. Read is for one goroutine; Close may
// come from another and ends a Read that waits.
type stream struct {
	reader, controller js.Value
	stop               func() bool
	left               []byte // of the last chunk
	err                error
}

func (s *stream) Read(p []byte) (int, error) {
	for len(s.left) == 0 {
		if s.err != nil {
			return 0, s.err
		}
		if s.reader.IsNull() {
			s.err = io.EOF // an answer without a body
			continue
		}
		r, err := await(s.reader.Call("read"))
		switch {
		case err != nil:
			s.err = err
		case r.Get("done").Bool():
			s.err = io.EOF
			s.stop()
		default:
			chunk := r.Get("value")
			s.left = make([]byte, chunk.Get("length").Int())
			js.CopyBytesToGo(s.left, chunk)
		}
	}
	n := copy(p, s.left)
	s.left = s.left[n:]
	return n, nil
}

// Close ends the exchange, also on the wire.
func (s *stream) Close() error {
	s.stop()
	s.controller.Call("abort")
	return nil
}
