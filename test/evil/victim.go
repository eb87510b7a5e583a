// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/client/nethttp"
	"github.com/sotto-chat/sotto/seal"
	"github.com/sotto-chat/sotto/seal/bhttp"
	"github.com/sotto-chat/sotto/store"
	"github.com/sotto-chat/sotto/vault"
)

// victim is a person with the real client, over real HTTP.
type victim struct {
	w         *World
	policy    attest.Policy
	platforms []attest.Platform

	releases []string // that this person has seen
	logSeen  []byte   // how far this person has seen the public log
	words    []string // that nobody else may get to know

	// Of the account: what only the devices know, and what the server gave them.
	id    vault.AccountID
	root  vault.RootKey
	prf   []byte // what the passkey gives the page
	label []byte // a sealed name, to see whether a key opens it

	folder string // of the terminal program
}

// newWord is a random word that nothing else on the machine holds.
func (v *victim) newWord() string {
	var b [9]byte
	rand.Read(b[:])
	word := "canary" + hex.EncodeToString(b[:])
	v.words = append(v.words, word)
	return word
}

func (v *victim) config() client.Config {
	return client.Config{
		Transport: nethttp.New(v.w.URL), Policy: v.policy, Platforms: v.platforms, Seen: v.releases,
		LogSeen: v.logSeen, OnLogSeen: func(b []byte) { v.logSeen = b },
	}
}

// ask is a person who opens the app, asks one thing and reads the answer.
func (v *victim) ask(ctx context.Context) error {
	c := client.New(v.config())
	defer c.CloseNow()
	return v.askWith(ctx, c, client.Options{})
}

func (v *victim) askWith(ctx context.Context, c *client.Client, o client.Options) error {
	word := v.newWord()
	s, err := c.Chat(ctx, client.ChatRequest{
		Model: "test", CacheSalt: client.NewCacheSalt(),
		Messages: []client.ChatMessage{{Role: "user", Content: "say " + strings.Repeat(word+" and on it goes ", 200)}},
	}, o)
	if err != nil {
		return err
	}
	defer s.Close()
	got := ""
	for {
		d, err := s.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		got += d.Text
	}
	if !strings.Contains(got, word) {
		return fmt.Errorf("the answer is %q, want the word back", got)
	}
	return nil
}

// signUp makes the victim's account with two wraps, as a browser does.
func (v *victim) signUp(ctx context.Context) error {
	v.id, v.root = vault.NewAccountID(), vault.NewRootKey()
	recovery, err := vault.WrapRecovery(v.root, v.id, vault.NewRecoveryKey())
	if err != nil {
		return err
	}
	v.prf = make([]byte, 32)
	rand.Read(v.prf)
	v.label = vault.SealLabel(v.root, v.id, v.newWord())
	passkey := store.Passkey{ID: []byte("a passkey's id"), PublicKey: []byte("its key")}
	wrap, err := vault.WrapPasskey(v.root, v.id, passkey.ID, v.prf)
	if err != nil {
		return err
	}
	return v.w.account.db.CreateAccount(ctx, v.id, passkey, []vault.Wrap{recovery, wrap},
		store.NewSession{ID: vault.NewRecordID(), Kind: store.Browser, Label: v.label})
}

// device is one of the victim's devices: a replica that syncs over real HTTP.
type device struct {
	v       *victim
	token   string
	replica *vault.Replica
}

// newDevice signs a device in that has seen nothing.
func (v *victim) newDevice(ctx context.Context) (*device, error) {
	token := make([]byte, 32)
	rand.Read(token)
	err := v.w.account.db.AddSession(ctx, v.id, store.NewSession{
		ID: vault.NewRecordID(), Hash: sha256.Sum256(token), Kind: store.Browser, Day: store.DayOf(time.Now()),
	})
	return &device{v, base64.RawURLEncoding.EncodeToString(token), vault.NewReplica(v.root, v.id, vault.NewDeviceID())}, err
}

func (d *device) do(ctx context.Context, method, path string, in any) ([]byte, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, d.v.w.URL+"/api/v1/"+path, body)
	if err != nil {
		return nil, err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Authorization", "Sotto "+d.token)
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("the account server answered %d %s", resp.StatusCode, b)
	}
	return b, err
}

// pull fetches the history up to its head, and reports what was wrong with a
// page or, if it was taken, with the first of its records that is no good.
func (d *device) pull(ctx context.Context) error {
	for {
		at := d.replica.Head().Seq
		b, err := d.do(ctx, "GET", fmt.Sprintf("feed?since=%d", at), nil)
		if err != nil {
			return err
		}
		page, err := vault.ParsePage(b)
		if err != nil {
			return err
		}
		if err := d.replica.Apply(page); err != nil {
			return err
		}
		if d.replica.Head().Seq >= page.Head.Seq {
			break
		}
	}
	if p := d.replica.Problems(); len(p) > 0 {
		return p[0].Err
	}
	return nil
}

// write adds a message and syncs.
func (d *device) write(ctx context.Context, chat string) error {
	if _, err := d.replica.AddMessage(vault.Message{Chat: chat, Role: "user", Text: d.v.newWord()}); err != nil {
		return err
	}
	return d.push(ctx)
}

// push posts what the server doesn't have.
func (d *device) push(ctx context.Context) error {
	puts := d.replica.Pending()
	b, err := d.do(ctx, "POST", "feed", map[string]any{"entries": puts, "known": d.replica.Head()})
	if err != nil {
		return err
	}
	var placed struct {
		Head vault.Head `json:"head"`
		Seqs []uint64   `json:"seqs"`
	}
	if err := json.Unmarshal(b, &placed); err != nil {
		return err
	}
	if _, err := d.replica.Acked(puts, placed.Seqs, placed.Head); err != nil {
		return err
	}
	if len(d.replica.Pending()) > 0 {
		return d.pull(ctx)
	}
	return nil
}

// failures are the names of errors that aren't a type: those of spec/seal.md and
// spec/vault.md, and codes of client's sentences. What says more comes first.
var failures = []struct {
	is   error
	name string
}{
	{seal.ErrAuthentication, "authentication"},
	{client.ErrInterrupted, client.SaysInterrupted},
	{seal.ErrFormat, "format"}, {seal.ErrPadding, "padding"}, {seal.ErrVersion, "version"},
	{seal.ErrTruncated, "truncated"}, {bhttp.ErrTruncated, "truncated"}, {seal.ErrTooLarge, "too_large"},
	{vault.ErrWrongKey, "wrong_key"}, {vault.ErrTampered, "tampered"}, {vault.ErrSwapped, "swapped"},
	{vault.ErrForeign, "foreign"}, {vault.ErrReplayed, "replayed"}, {vault.ErrRollback, "rollback"},
	{vault.ErrFork, "fork"}, {vault.ErrHidden, "hidden"}, {vault.ErrFormat, "format"},
}

// failureOf names an error by the closed lists; "" is success.
func failureOf(err error) string {
	if err == nil {
		return ""
	}
	var nv *client.NotVerifiedError
	if errors.As(err, &nv) {
		return nv.Failure()
	}
	var named *failure
	if errors.As(err, &named) {
		return named.name
	}
	for _, f := range failures {
		if errors.Is(err, f.is) {
			return f.name
		}
	}
	if code := client.Explain(err).Code; code != client.SaysInternal {
		return code
	}
	return "unnamed: " + err.Error()
}

// failure is an outcome that has a name and is no error of Go's.
type failure struct{ name string }

func (f *failure) Error() string { return f.name }

// find finds word in data in the ways in which bytes usually carry text, and
// returns which; "" if it isn't there.
func find(word string, data []byte) string {
	folded := bytes.ToLower(data)
	var wide []byte
	for _, u := range utf16.Encode([]rune(word)) {
		wide = append(wide, byte(u), byte(u>>8))
	}
	for name, form := range map[string][]byte{"utf-8": []byte(word), "utf-16": wide, "hex": []byte(hex.EncodeToString([]byte(word)))} {
		if bytes.Contains(folded, form) {
			return name
		}
	}
	// Base64 has three alignments; the characters that depend on the neighbours
	// are cut off.
	for shift := range 3 {
		text := base64.StdEncoding.EncodeToString(append(make([]byte, shift), word...))
		from := 0
		if shift > 0 {
			from = shift + 1
		}
		inner := strings.TrimRight(text, "=")[from:]
		inner = inner[:len(inner)-2]
		for name, form := range map[string]string{"base64": inner, "base64url": strings.NewReplacer("+", "-", "/", "_").Replace(inner)} {
			if bytes.Contains(data, []byte(form)) {
				return name
			}
		}
	}
	return ""
}
