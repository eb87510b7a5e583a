// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"

	"github.com/sotto-chat/sotto/vault"
)

// rechain gives entries the numbers and hashes that fit them, as a server that
// lies with care would.
func rechain(account vault.AccountID, entries []vault.Entry) vault.Page {
	head := vault.Genesis(account)
	entries = slices.Clone(entries)
	for i := range entries {
		e := &entries[i]
		digest := e.Digest
		if e.Data != nil {
			d := vault.Digest(e.Data)
			digest = &d
		}
		e.Seq = head.Seq + 1
		head = head.Next(e.Collection, e.ID, e.Version, *digest)
		e.Hash = head.Hash
	}
	return vault.Page{Head: head, Entries: entries}
}

// since is the part of a page that a device which knows n entries is shown.
func since(p vault.Page, n uint64) vault.Page {
	return vault.Page{Head: p.Head, Entries: p.Entries[min(int(n), len(p.Entries)):]}
}

// lie has the account server show another history. change gets all of it and
// returns what there is to be.
func lie(change func(w *World, all []vault.Entry) []vault.Entry) func(context.Context, *World) error {
	return func(ctx context.Context, w *World) error {
		w.do(func(o *Operator) {
			o.feed = func(id vault.AccountID, at uint64, honest vault.Page) vault.Page {
				all, err := w.account.db.Page(ctx, id, 0, vault.MaxPage)
				if err != nil || len(all.Entries) < written {
					return honest // there is too little to lie about
				}
				return since(rechain(id, change(w, all.Entries)), at)
			}
		})
		return nil
	}
}

// plainly has the account server change pages without care for their hashes.
func plainly(change func(p vault.Page) vault.Page) func(context.Context, *World) error {
	return func(ctx context.Context, w *World) error {
		w.do(func(o *Operator) {
			o.feed = func(_ vault.AccountID, _ uint64, p vault.Page) vault.Page {
				if len(p.Entries) < 2 {
					return p
				}
				return change(p)
			}
		})
		return nil
	}
}

const written = 6 // messages that the first device has written

// people has the first device write some messages, and then f looks.
func people(f func(ctx context.Context, w *World, first *device) error) func(context.Context, *World) error {
	return func(ctx context.Context, w *World) error {
		if err := w.withAccount(); err != nil {
			return err
		}
		first, err := w.victim.newDevice(ctx)
		if err != nil {
			return err
		}
		// The attack waits until there is something to attack.
		var attack func(vault.AccountID, uint64, vault.Page) vault.Page
		w.do(func(o *Operator) { attack, o.feed = o.feed, nil })
		if err := first.pull(ctx); err != nil {
			return err
		}
		chat := vault.NewID()
		for range written {
			if err := first.write(ctx, chat); err != nil {
				return err
			}
		}
		w.do(func(o *Operator) { o.feed = attack })
		return f(ctx, w, first)
	}
}

func vaultAttacks() []*Attack {
	const (
		whole  = "The history is what the devices wrote, all of it and nothing else, or a device says so."
		same   = "All devices are shown the same history."
		sealed = "What opens the history never leaves the devices."
	)
	const server = "the account server"
	one := func(name, promise, failure string, victim, arm func(context.Context, *World) error) *Attack {
		return &Attack{Class: classVault, Name: name, Promise: promise, Attacker: server, Failure: failure, Victim: victim, Arm: arm}
	}
	// known is a device that has seen all and looks again; fresh one that has seen
	// nothing; half one that has seen the first half.
	known := people(func(ctx context.Context, w *World, first *device) error { return first.pull(ctx) })
	fresh := people(func(ctx context.Context, w *World, first *device) error {
		d, err := w.victim.newDevice(ctx)
		if err != nil {
			return err
		}
		return d.pull(ctx)
	})
	half := people(func(ctx context.Context, w *World, first *device) error {
		d, err := w.victim.newDevice(ctx)
		if err != nil {
			return err
		}
		all, err := w.account.db.Page(ctx, w.victim.id, 0, written/2)
		if err != nil {
			return err
		}
		last := all.Entries[len(all.Entries)-1]
		if err := d.replica.Apply(vault.Page{Head: vault.Head{Seq: last.Seq, Hash: last.Hash}, Entries: all.Entries}); err != nil {
			return err
		}
		return d.pull(ctx)
	})
	return []*Attack{
		one("rolled-back", whole, "rollback", known, lie(func(w *World, all []vault.Entry) []vault.Entry { return all[:len(all)-2] })),
		one("emptied", whole, "rollback", known, lie(func(w *World, all []vault.Entry) []vault.Entry { return nil })),
		one("feed-cut", whole, "hidden", half, plainly(func(p vault.Page) vault.Page { p.Entries = nil; return p })),
		one("entry-left-out", whole, "hidden", half, plainly(func(p vault.Page) vault.Page {
			p.Entries = slices.Delete(p.Entries, 1, 2)
			return p
		})),
		one("entry-left-out-with-care", whole, "hidden", fresh, lie(func(w *World, all []vault.Entry) []vault.Entry { return slices.Delete(all, 2, 3) })),
		one("history-of-its-own-for-one-device", same, "fork", half, lie(func(w *World, all []vault.Entry) []vault.Entry {
			all[0], all[1] = all[1], all[0]
			return all
		})),
		one("record-changed", whole, "tampered", half, plainly(func(p vault.Page) vault.Page {
			p.Entries[1].Data = slices.Clone(p.Entries[1].Data)
			p.Entries[1].Data[200] ^= 1
			return p
		})),
		one("record-changed-with-care", whole, "tampered", fresh, lie(func(w *World, all []vault.Entry) []vault.Entry {
			last := &all[len(all)-1]
			last.Data = slices.Clone(last.Data)
			last.Data[200] ^= 1
			return all
		})),
		one("records-swapped", whole, "swapped", fresh, lie(func(w *World, all []vault.Entry) []vault.Entry {
			all[1].Data, all[2].Data = all[2].Data, all[1].Data
			return all
		})),
		one("record-shown-twice", whole, "replayed", fresh, lie(func(w *World, all []vault.Entry) []vault.Entry { return append(all, all[1]) })),
		one("record-erased", whole, "hidden", fresh, lie(func(w *World, all []vault.Entry) []vault.Entry {
			last := &all[len(all)-1]
			d := vault.Digest(last.Data)
			last.Data, last.Digest = nil, &d
			return all
		})),
		one("record-of-another-account", whole, "foreign", fresh, lie(func(w *World, all []vault.Entry) []vault.Entry {
			other := vault.NewReplica(w.victim.root, vault.NewAccountID(), vault.NewDeviceID())
			last := &all[len(all)-1]
			put := must(other.AddMessage(vault.Message{ID: last.ID.String(), Chat: vault.NewID(), Role: "user", Text: "foreign"}))
			last.Data, last.Size = put.Data, len(put.Data)
			return all
		})),
		one("old-view-for-one-device", same, "hidden", people(func(ctx context.Context, w *World, first *device) error {
			// The second device is shown what was there before the first wrote once
			// more, and then what is written after it.
			second, err := w.victim.newDevice(ctx)
			if err != nil {
				return err
			}
			if err := second.pull(ctx); err != nil {
				return err
			}
			if err := first.write(ctx, vault.NewID()); err != nil {
				return err
			}
			if err := second.pull(ctx); err != nil {
				return err
			}
			if err := first.write(ctx, vault.NewID()); err != nil {
				return err
			}
			return second.pull(ctx)
		}), lie(func(w *World, all []vault.Entry) []vault.Entry {
			if len(all) > written {
				return slices.Delete(all, written, written+1)
			}
			return all
		})),
		one("forged-wrap-for-a-passkey", sealed, "wrong_key", opens, rewrite("session", func(w *World, doc map[string]json.RawMessage) {
			other := make([]byte, 32)
			rand.Read(other)
			own := must(vault.WrapPasskey(vault.NewRootKey(), w.victim.id, []byte("a passkey's id"), other))
			doc["wraps"] = must(json.Marshal([]vault.Wrap{own}))
		})),
		one("wrap-of-another-account", sealed, "tampered", opens, rewrite("session", func(w *World, doc map[string]json.RawMessage) {
			// The person has two accounts with one passkey.
			other := must(vault.WrapPasskey(vault.NewRootKey(), vault.NewAccountID(), []byte("a passkey's id"), w.victim.prf))
			doc["wraps"] = must(json.Marshal([]vault.Wrap{other}))
		})),
		one("weak-passphrase-wrap", sealed, "format", opens, rewrite("session", func(w *World, doc map[string]json.RawMessage) {
			// A passphrase that is stretched by nothing could be guessed from what is sent.
			weak := vault.Wrap{ID: vault.NewRecordID(), Kind: vault.KindPassphrase, Data: make([]byte, 112),
				Params: must(json.Marshal(vault.PassphraseParams{Memory: 8, Time: 1, Threads: 1, Salt: make([]byte, 16)}))}
			doc["wraps"] = must(json.Marshal([]vault.Wrap{weak}))
		})),
		one("key-of-its-own-for-a-terminal", sealed, "tampered", links, rewrite("poll", func(w *World, doc map[string]json.RawMessage) {
			// The server knows the terminal's public key, and not the secret in the link.
			var wrap vault.Wrap
			if json.Unmarshal(doc["wrap"], &wrap) == nil {
				clear(wrap.Data[len(wrap.Data)-32:])
				doc["wrap"] = must(json.Marshal(wrap))
			}
		})),
		one("terminal-of-its-own", sealed, "tampered", links, rewrite("links/", func(w *World, doc map[string]json.RawMessage) {
			// The person is to let in the server's own terminal in the place of theirs.
			if _, ok := doc["public_key"]; ok {
				doc["public_key"] = must(json.Marshal(must(vault.NewDeviceKey()).Offer("my terminal")))
			}
		})),
	}
}

// rewrite has the account server change its answers at the paths that hold part.
func rewrite(part string, change func(w *World, doc map[string]json.RawMessage)) func(context.Context, *World) error {
	return func(ctx context.Context, w *World) error {
		w.do(func(o *Operator) {
			o.front = func(rw http.ResponseWriter, r *http.Request) bool {
				if !strings.HasPrefix(r.URL.Path, "/api/v1/") || !strings.Contains(r.URL.Path, part) {
					return false
				}
				rec := httptest.NewRecorder()
				w.account.server.Handler().ServeHTTP(rec, r)
				b := rec.Body.Bytes()
				w.hold(b)
				var doc map[string]json.RawMessage
				if rec.Code == http.StatusOK && json.Unmarshal(b, &doc) == nil {
					change(w, doc)
					b = must(json.Marshal(doc))
				}
				rw.Header().Set("Content-Type", "application/json")
				rw.WriteHeader(rec.Code)
				rw.Write(b)
				return true
			}
		})
		return nil
	}
}

// opens is a person who signs in and opens what the server hands out.
func opens(ctx context.Context, w *World) error {
	if err := w.withAccount(); err != nil {
		return err
	}
	d, err := w.victim.newDevice(ctx)
	if err != nil {
		return err
	}
	b, err := d.do(ctx, "GET", "session", nil)
	if err != nil {
		return err
	}
	var doc struct {
		Wraps []vault.Wrap `json:"wraps"`
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		return err
	}
	for _, wrap := range doc.Wraps {
		var root vault.RootKey
		switch wrap.Kind {
		case vault.KindPasskey:
			root, err = vault.UnwrapPasskey(wrap, w.victim.id, w.victim.prf)
		case vault.KindPassphrase:
			root, err = vault.UnwrapPassphrase(wrap, w.victim.id, "a long passphrase")
		default:
			continue
		}
		if err == nil {
			_, err = vault.OpenLabel(root, w.victim.id, w.victim.label)
		}
		return err
	}
	return errors.New("there is no wrap to open")
}

// links is a person who lets a terminal in with a browser that is signed in.
func links(ctx context.Context, w *World) error {
	if err := w.withAccount(); err != nil {
		return err
	}
	browser, err := w.victim.newDevice(ctx)
	if err != nil {
		return err
	}
	key, err := vault.NewDeviceKey()
	if err != nil {
		return err
	}
	post := func(path string, in, out any) error {
		b, err := browser.do(ctx, "POST", path, in)
		if err == nil && out != nil {
			err = json.Unmarshal(b, out)
		}
		return err
	}
	var link struct {
		ID   vault.RecordID `json:"id"`
		Poll []byte         `json:"poll_secret"`
	}
	if err := post("links", map[string]any{"public_key": key.Offer(w.victim.newWord())}, &link); err != nil {
		return err
	}
	b, err := browser.do(ctx, "GET", "links/"+link.ID.String(), nil)
	if err != nil {
		return err
	}
	var offered struct {
		Key []byte `json:"public_key"`
	}
	if err := json.Unmarshal(b, &offered); err != nil {
		return err
	}
	offer, err := vault.OpenOffer(offered.Key, key.LinkSecret())
	if err != nil {
		return err
	}
	wrap, err := vault.WrapDevice(w.victim.root, w.victim.id, offer)
	if err != nil {
		return err
	}
	if err := post("links/"+link.ID.String()+"/approve", map[string]any{"wrap": wrap}, nil); err != nil {
		return err
	}
	var answer struct {
		Wrap vault.Wrap `json:"wrap"`
	}
	if err := post("links/"+link.ID.String()+"/poll", map[string]any{"poll_secret": link.Poll}, &answer); err != nil {
		return err
	}
	root, err := vault.UnwrapDevice(answer.Wrap, w.victim.id, key)
	if err == nil {
		_, err = vault.OpenLabel(root, w.victim.id, w.victim.label)
	}
	return err
}
