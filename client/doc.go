// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package client is the first step on the way of a prompt: it checks the
// machines, seals what a person writes to a few of them, and opens the answer.
//
//	c := client.New(client.Config{Transport: nethttp.New("https://chat.example")})
//	defer c.Close()
//	if _, err := c.Verify(ctx); err != nil { … }         // is there a machine that proves itself?
//	s, err := c.Chat(ctx, client.ChatRequest{…})          // ask it something
//	for { d, err := s.Next(); … }                         // read the answer as it is written
//
// [Client.Verify] is the function to call first. It fetches the list of nodes,
// checks the evidence of a random sample in this process, and keeps the keys of
// those that pass. Keys live for minutes; the client fetches new ones in the
// background before they expire, so that checking is never on a message's way.
//
// [Client.Do] sends any request that a node understands. Of the verified nodes
// that serve the wanted model it picks a few at random, seals the request to
// all of them, and lets the gateway choose the idlest. Nothing is ever sent to
// a machine that did not pass: without one, Do returns a [*NotVerifiedError].
// [Client.Chat] is Do for conversations and speaks in words instead of bytes.
//
// # Answers that survive a lost connection
//
// With [Options.Resume] the node keeps the sealed answer for some minutes under
// an id that only this client knows. When the connection drops, the body that
// Do returned reconnects by itself and goes on at the record where it stopped;
// a caller sees a pause, not an error. A program that may itself be gone in the
// middle of an answer, such as a page in a browser, keeps the [Pending] that it
// is handed and calls [Client.Resume] when it is back.
//
// Ending the context stops the answer at the engine, not only on the wire.
// What was read before remains good: every byte that a body returns has been
// authenticated, whatever comes after it.
//
// # Where it runs
//
// The package opens no connection itself: it asks a [Transport], and package
// client/nethttp has one for programs. Neither net/http nor crypto/tls is in
// its dependency tree, so that the same code runs in a browser's Worker.
package client
