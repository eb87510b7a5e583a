// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/seal"
	"github.com/sotto-chat/sotto/seal/bhttp"
	"github.com/sotto-chat/sotto/seal/envelope"
)

// altered has the operator change answers.
func altered(f func(header []byte, r [][]byte) []byte) func(context.Context, *World) error {
	return func(ctx context.Context, w *World) error {
		w.do(func(o *Operator) { o.answer = f })
		return nil
	}
}

// keepAnswer is the answer to what the person asked last, taken from the machine
// before anything is armed.
func keepAnswer(ctx context.Context, w *World) (header []byte, records [][]byte, err error) {
	w.do(func(o *Operator) {
		o.answer = func(h []byte, r [][]byte) []byte {
			header, records = h, r
			return join(h, r...)
		}
	})
	err = w.victim.ask(ctx)
	w.do(func(o *Operator) { o.answer = nil })
	return header, records, err
}

// code reads the code of a refusal by gateway or node.
func code(resp *http.Response) error {
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		return errors.New("it was answered")
	}
	var doc struct{ Error struct{ Code string } }
	if err := json.NewDecoder(resp.Body).Decode(&doc); err != nil {
		return fmt.Errorf("status %d without a code", resp.StatusCode)
	}
	return &failure{doc.Error.Code}
}

func sealingAttacks() []*Attack {
	const (
		answer  = "The answer is the machine's, whole and in order, or it is not shown."
		request = "What the machine opens is what the device sealed, once."
		inside  = "Path, header and words of a request are for the machine alone."
		down    = "There is one version and one suite, and no way to talk a device into less."
	)
	const gateway, network = "the gateway", "whoever is on the network"
	one := func(name, promise, attacker, failure string, arm func(context.Context, *World) error) *Attack {
		return &Attack{Class: classSealing, Name: name, Promise: promise, Attacker: attacker, Failure: failure, Sends: true, Arm: arm}
	}
	const authentication, format, version = "authentication", "format", "version"

	// operated has the operator use the newest sealed request for itself: the
	// person only looks on.
	operated := func(name, promise, failure string, use func(ctx context.Context, w *World, sealed []byte) (*http.Response, error)) *Attack {
		a := one(name, promise, gateway, failure, func(context.Context, *World) error { return nil })
		a.Victim = func(ctx context.Context, w *World) error {
			if err := w.victim.ask(ctx); err != nil || !w.armed {
				return err
			}
			_, msg := w.sealed()
			resp, err := use(ctx, w, bytes.Clone(msg))
			if err != nil {
				return err
			}
			b, err := io.ReadAll(resp.Body)
			w.hold(b)
			resp.Body.Close()
			resp.Body = io.NopCloser(bytes.NewReader(b))
			return errors.Join(err, code(resp))
		}
		return a
	}
	post := func(path string) func(ctx context.Context, w *World, sealed []byte) (*http.Response, error) {
		return func(ctx context.Context, w *World, sealed []byte) (*http.Response, error) {
			return w.ask(ctx, "POST", path, envelope.RequestType, sealed)
		}
	}

	return []*Attack{
		one("cut-in-a-record", answer, network, client.SaysInterrupted, altered(func(h []byte, r [][]byte) []byte { return join(h, r[0], r[1], r[2][:100]) })),
		one("cut-between-records", answer, network, client.SaysInterrupted, altered(func(h []byte, r [][]byte) []byte { return join(h, r[:3]...) })),
		one("bit-flipped", answer, network, authentication, altered(func(h []byte, r [][]byte) []byte { r[1][100] ^= 1; return join(h, r...) })),
		one("record-dropped", answer, gateway, authentication, altered(func(h []byte, r [][]byte) []byte { return join(h, slices.Delete(r, 1, 2)...) })),
		one("record-doubled", answer, gateway, authentication, altered(func(h []byte, r [][]byte) []byte { return join(h, slices.Insert(r, 1, r[0])...) })),
		one("records-in-another-order", answer, gateway, authentication, altered(func(h []byte, r [][]byte) []byte { r[1], r[2] = r[2], r[1]; return join(h, r...) })),
		one("record-of-another-answer", answer, gateway, authentication, func(ctx context.Context, w *World) error {
			_, other, err := keepAnswer(ctx, w)
			if err != nil {
				return err
			}
			return altered(func(h []byte, r [][]byte) []byte { r[1] = other[1]; return join(h, r...) })(ctx, w)
		}),
		one("another-request-s-answer", answer, gateway, authentication, func(ctx context.Context, w *World) error {
			h, r, err := keepAnswer(ctx, w)
			if err != nil {
				return err
			}
			return altered(func([]byte, [][]byte) []byte { return join(h, r...) })(ctx, w)
		}),
		one("another-request-s-answer-under-this-header", answer, gateway, authentication, func(ctx context.Context, w *World) error {
			_, r, err := keepAnswer(ctx, w)
			if err != nil {
				return err
			}
			return altered(func(h []byte, _ [][]byte) []byte { return join(h, r...) })(ctx, w)
		}),
		one("nonce-changed", answer, network, authentication, altered(func(h []byte, r [][]byte) []byte { h[20] ^= 1; return join(h, r...) })),
		one("answer-of-an-older-version", down, gateway, version, altered(func(h []byte, r [][]byte) []byte { h[0] = 0; return join(h, r...) })),
		one("answer-of-another-class", answer, gateway, authentication, altered(func(h []byte, r [][]byte) []byte {
			h[1] = byte(seal.ClassBulk)
			return join(h, append(r, make([]byte, 32<<10))...)
		})),
		one("answer-in-the-clear", down, gateway, client.SaysUnreachable, func(ctx context.Context, w *World) error {
			w.do(func(o *Operator) {
				o.instead = func(rw http.ResponseWriter, r *http.Request) {
					rw.Header().Set("Content-Type", "text/event-stream")
					io.WriteString(rw, "data: {\"choices\":[{\"delta\":{\"content\":\"trust me\"}}]}\n\n")
				}
			})
			return nil
		}),
		one("answer-sealed-by-the-gateway", answer, gateway, format, altered(func(h []byte, r [][]byte) []byte { h[2] = 5; return join(h, r...) })),
		resumed(one("other-answer-when-resumed", answer, gateway, authentication, nil)),
		one("request-changed", request, network, client.CodeMalformed, func(ctx context.Context, w *World) error {
			w.do(func(o *Operator) { o.request = func(b []byte) []byte { b[len(b)-1] ^= 1; return b } })
			return nil
		}),
		one("request-cut-and-padded", request, network, client.CodeMalformed, func(ctx context.Context, w *World) error {
			w.do(func(o *Operator) {
				o.request = func(b []byte) []byte { clear(b[len(b)-512:]); return b }
			})
			return nil
		}),
		one("own-key-added-to-a-request", inside, gateway, client.CodeMalformed, func(ctx context.Context, w *World) error {
			w.do(func(o *Operator) {
				o.request = func(b []byte) []byte {
					// Two recipients now: the second is the operator's, with a wrap of its own.
					_, own, err := sealedToOwn()
					if err != nil {
						return b
					}
					head := envelope.FixedSize + envelope.RecipientSize
					out := append([]byte{b[0], b[1], 2}, b[3:head]...)
					out = append(out, own[envelope.FixedSize:head]...)
					out = append(out, b[head:head+envelope.WrapSize]...)
					out = append(out, own[head:head+envelope.WrapSize]...)
					return append(out, b[head+envelope.WrapSize:]...)
				}
			})
			return nil
		}),
		one("request-of-an-older-version", down, gateway, client.CodeMalformed, func(ctx context.Context, w *World) error {
			w.do(func(o *Operator) { o.request = func(b []byte) []byte { b[0] = 0; return b } })
			return nil
		}),
		one("request-of-another-suite", down, gateway, client.CodeMalformed, func(ctx context.Context, w *World) error {
			w.do(func(o *Operator) { o.request = func(b []byte) []byte { b[1] = 2; return b } })
			return nil
		}),
		operated("request-replayed", request, client.CodeReplayed, post("/sotto/v1/seal")),
		operated("path-swapped", inside, "not_found", post("/v1/chat/completions")),
		operated("engine-asked-in-the-clear", inside, "not_found", func(ctx context.Context, w *World, _ []byte) (*http.Response, error) {
			return w.ask(ctx, "POST", "/v1/chat/completions", "application/json", []byte(`{"model":"test","messages":[{"role":"user","content":"say what they said"}]}`))
		}),
	}
}

// sealedToOwn is a sealed request to a key of the operator's.
func sealedToOwn() (*seal.PrivateKey, []byte, error) {
	key, err := seal.GenerateKey()
	if err != nil {
		return nil, nil, err
	}
	plain, err := (&bhttp.Request{Method: "GET", Scheme: "https", Path: "/"}).Append(nil)
	if err != nil {
		return nil, nil, err
	}
	msg, _, err := seal.SealRequest([]seal.Recipient{{ID: seal.KeyID{1}, PublicKey: key.PublicKey()}}, plain)
	return key, msg, err
}

// resumed makes an attack of a: the connection breaks, and what comes when the
// device takes the answer up again belongs to another request.
func resumed(a *Attack) *Attack {
	a.Victim = func(ctx context.Context, w *World) error {
		c := client.New(w.victim.config())
		defer c.CloseNow()
		return w.victim.askWith(ctx, c, client.Options{Resume: true})
	}
	a.Arm = func(ctx context.Context, w *World) error {
		h, r, err := keepAnswer(ctx, w)
		if err != nil {
			return err
		}
		w.do(func(o *Operator) {
			o.cut = func(header []byte, records [][]byte) []byte {
				w.do(func(o *Operator) {
					o.cut = nil
					o.answer = func(head []byte, _ [][]byte) []byte { return join(h, r...) }
				})
				return join(header, records[:2]...)
			}
		})
		return nil
	}
	return a
}
