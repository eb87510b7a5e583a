// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sotto-chat/sotto/account"
	"github.com/sotto-chat/sotto/store"
	"github.com/sotto-chat/sotto/vault"
)

// accountFixture is an account server with one account, and the browser of the
// person whose it is.
type accountFixture struct {
	db     *store.DB
	server *account.Server
	id     vault.AccountID
	root   vault.RootKey

	file string

	mu     sync.Mutex
	away   bool           // the account server can't be reached
	upTo   uint64         // pages of the feed pretend to end here; 0: they don't
	change func(e []byte) // changes the data of feed entries
}

func newAccountFixture(dir string) (*accountFixture, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	ctx := context.Background()
	a := &accountFixture{file: filepath.Join(dir, "sotto.db"), id: vault.NewAccountID(), root: vault.NewRootKey()}
	if err := a.open(); err != nil {
		return nil, err
	}
	recovery, err := vault.WrapRecovery(a.root, a.id, vault.NewRecoveryKey())
	if err != nil {
		return nil, err
	}
	prf := make([]byte, 32)
	rand.Read(prf)
	passkey := store.Passkey{ID: []byte("a passkey's id"), PublicKey: []byte("its key")}
	wrap, err := vault.WrapPasskey(a.root, a.id, passkey.ID, prf)
	if err != nil {
		return nil, err
	}
	return a, a.db.CreateAccount(ctx, a.id, passkey, []vault.Wrap{recovery, wrap},
		store.NewSession{ID: vault.NewRecordID(), Kind: store.Browser, Label: vault.SealLabel(a.root, a.id, "my browser")})
}

// open starts the server on its file.
func (a *accountFixture) open() (err error) {
	if a.db, err = store.Open(context.Background(), a.file); err != nil {
		return err
	}
	a.server, err = account.New(account.Config{Store: a.db, Origin: "http://localhost:8787"})
	return err
}

// copyFile stops the server, copies one file over another, and starts it again.
func (a *accountFixture) copyFile(to, from string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.close()
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.WriteFile(to, b, 0o600); err != nil {
		return err
	}
	return a.open()
}

func (a *accountFixture) handle(w http.ResponseWriter, r *http.Request) bool {
	if !strings.HasPrefix(r.URL.Path, "/api/") {
		return false
	}
	a.mu.Lock()
	away, upTo, change, server := a.away, a.upTo, a.change, a.server
	a.mu.Unlock()
	switch {
	case away:
		panic(http.ErrAbortHandler)
	case r.Method == http.MethodGet && r.URL.Path == "/api/v1/feed" && (upTo > 0 || change != nil):
		a.lie(w, r, upTo, change)
	default:
		server.Handler().ServeHTTP(w, r)
	}
	return true
}

// lie answers with a page of the feed that isn't the true one.
func (a *accountFixture) lie(w http.ResponseWriter, r *http.Request, upTo uint64, change func([]byte)) {
	since, _ := strconv.ParseUint(r.URL.Query().Get("since"), 10, 64)
	page, err := a.db.Page(r.Context(), a.id, since, 1000)
	if err != nil {
		http.Error(w, err.Error(), 500)
		return
	}
	if upTo > 0 {
		full, err := a.db.Page(r.Context(), a.id, 0, int(upTo))
		if err != nil {
			http.Error(w, err.Error(), 500)
			return
		}
		last := full.Entries[len(full.Entries)-1]
		page = vault.Page{Head: vault.Head{Seq: last.Seq, Hash: last.Hash}}
	}
	for _, e := range page.Entries {
		if change != nil && e.Data != nil {
			change(e.Data)
		}
	}
	json.NewEncoder(w).Encode(page)
}

// set changes how the account server behaves.
func (a *accountFixture) set(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
}

func (a *accountFixture) close() {
	a.server.Close()
	a.db.Close()
}

// approve does what the page does with the address that a terminal shows. With
// forged, it does what a server can do by itself: it knows the public key, but
// not the secret in the address.
func (a *accountFixture) approve(address string, forged bool) error {
	_, after, _ := strings.Cut(strings.TrimSpace(address), "/link/")
	text, secret, _ := strings.Cut(after, "#")
	id, err := vault.ParseRecordID(text)
	if err != nil {
		return err
	}
	ctx := context.Background()
	link, err := a.db.Link(ctx, id, time.Now())
	if err != nil {
		return err
	}
	offer, err := vault.OpenOffer(link.Offer, secret)
	if err != nil {
		return err
	}
	root := a.root
	if forged {
		root = vault.NewRootKey()
	}
	wrap, err := vault.WrapDevice(root, a.id, offer)
	if err != nil {
		return err
	}
	if forged {
		clear(wrap.Data[len(wrap.Data)-32:]) // the proof of having had the secret
	}
	return a.db.ApproveLink(ctx, id, a.id, wrap, vault.SealLabel(a.root, a.id, offer.Name), time.Now())
}

// approve FILE [forged] approves the link whose address is in the file, once it
// is there.
func approveCommand(ts *testscript.TestScript, neg bool, args []string) {
	waitForCommand(ts, false, []string{args[0], `(/link/[0-9a-f]{32}#\S+)\n`})
	a := service(ts).account
	ts.Check(a.approve(ts.ReadFile(args[0]), len(args) > 1))
}

// backup keeps a copy of the server's database, restore brings it back.
func backupCommand(ts *testscript.TestScript, neg bool, args []string) {
	a := service(ts).account
	ts.Check(a.copyFile(a.file+".backup", a.file))
}

func restoreCommand(ts *testscript.TestScript, neg bool, args []string) {
	a := service(ts).account
	ts.Check(a.copyFile(a.file, a.file+".backup"))
}

// away yes|no, roll back|forward, tamper, untamper make the account server lie.
func awayCommand(ts *testscript.TestScript, neg bool, args []string) {
	a := service(ts).account
	a.set(func() { a.away = args[0] == "yes" })
}

func rollCommand(ts *testscript.TestScript, neg bool, args []string) {
	a := service(ts).account
	a.set(func() {
		a.upTo = 0
		if args[0] == "back" {
			a.upTo = 3
		}
	})
}

func tamperCommand(ts *testscript.TestScript, neg bool, args []string) {
	a := service(ts).account
	a.set(func() { a.change = func(data []byte) { data[len(data)-1] ^= 1 } })
}

func untamperCommand(ts *testscript.TestScript, neg bool, args []string) {
	a := service(ts).account
	a.set(func() { a.change = nil })
}

// unlink removes all terminals at the server, as the person does in the settings.
func unlinkCommand(ts *testscript.TestScript, neg bool, args []string) {
	a := service(ts).account
	ctx := context.Background()
	sessions, err := a.db.Sessions(ctx, a.id)
	ts.Check(err)
	for _, s := range sessions {
		if s.Kind != store.Browser {
			ts.Check(a.db.DeleteSession(ctx, a.id, s.ID))
		}
	}
}
