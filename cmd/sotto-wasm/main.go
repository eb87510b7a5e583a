// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

//go:build js && wasm

// Sotto-wasm is the core of the web app: the part that checks machines, seals
// and opens messages, and holds the keys of the vault. It runs in a Worker.
//
// It is started by web/src/worker with an object sottoHost in the global scope
// (see [browser] for what it must have) and calls sottoHost.ready with one
// function:
//
//	call(method: string, args: string, secret: Uint8Array | null): Promise<string | Uint8Array>
//
// args and most results are JSON; web/src/worker/go.ts lists the methods and
// their types. secret carries what must not become a string, because strings
// can't be erased; both copies of it are overwritten when the call is over. A
// promise is rejected with {code, message}, a sentence that a person can read.
//
// This is the only program that uses syscall/js. All that is not about crossing
// over to JavaScript is tested natively.
package main

import (
	"context"
	"syscall/js"
)

func main() {
	b := browser{js.Global().Get("sottoHost")}
	c := newCore(b)
	call := js.FuncOf(func(_ js.Value, args []js.Value) any {
		return promise(func() (js.Value, error) {
			method, doc := args[0].String(), args[1].String()
			secret := takeSecret(args[2])
			defer clear(secret)
			out, err := c.call(context.Background(), method, []byte(doc), secret)
			if err != nil {
				return js.Value{}, err
			}
			return resultValue(out)
		})
	})
	b.host.Call("ready", call)
	select {} // the Worker's end is the program's
}
