// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sotto-chat/sotto/account"
	"github.com/sotto-chat/sotto/store"
	"github.com/sotto-chat/sotto/vault"
)

// makeaccount DIR makes an account in a server's folder, and sets ACCOUNT to its id.
func makeAccount(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: makeaccount dir")
	}
	db, err := store.Open(context.Background(), filepath.Join(ts.MkAbs(args[0]), "sotto.db"))
	ts.Check(err)
	defer db.Close()
	id, root := vault.NewAccountID(), vault.NewRootKey()
	recovery, err := vault.WrapRecovery(root, id, vault.NewRecoveryKey())
	ts.Check(err)
	passkey, err := vault.WrapPasskey(root, id, id[:], make([]byte, 32))
	ts.Check(err)
	s := store.NewSession{ID: vault.NewRecordID(), Kind: store.Browser}
	rand.Read(s.Hash[:])
	ts.Check(db.CreateAccount(context.Background(), id, store.Passkey{ID: id[:], PublicKey: []byte{1}}, []vault.Wrap{passkey, recovery}, s))
	ts.Setenv("ACCOUNT", id.String())
}

// askas HOST URL prints the body that a server shows under another name.
func askAs(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: askas host url")
	}
	req, err := http.NewRequest("GET", args[1], nil)
	ts.Check(err)
	req.Host = args[0]
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	_, err = io.Copy(ts.Stdout(), io.LimitReader(resp.Body, 1<<20))
	ts.Check(err)
}

// TestSecretFrom: a key comes from a file or the environment, whole or not at all.
func TestSecretFrom(t *testing.T) {
	t.Setenv("SOTTO_TEST_SECRET", " from the environment\n")
	file := filepath.Join(t.TempDir(), "key")
	for content, want := range map[string]account.Secret{"sk_1\n": "sk_1", " \n": ""} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := secretFrom(file, "SOTTO_TEST_SECRET"); got != want || (err == nil) != (want != "") {
			t.Errorf("a file with %q: %d characters, %v", content, len(got), err)
		}
	}
	if got, err := secretFrom("", "SOTTO_TEST_SECRET"); err != nil || got != "from the environment" {
		t.Errorf("the environment: %d characters, %v", len(got), err)
	}
	if _, err := secretFrom(file+".not", "SOTTO_TEST_SECRET"); err == nil {
		t.Error("a file that isn't there")
	}
}
