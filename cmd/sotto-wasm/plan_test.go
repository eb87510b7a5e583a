// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

//go:build !js

package main

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/token"
	"github.com/sotto-chat/sotto/token/wallet"
	"github.com/sotto-chat/sotto/vault"
)

// planned returns a core whose account has a plan, with n chats of a message each,
// the oldest first.
func planned(t *testing.T, account planAccount, n int) (*core, *device, []string) {
	t.Helper()
	d := newDevice(service(t, &scripted{answers: map[string]chan string{}}))
	c, _ := signedUp(t, d)
	begin(t, c, d)
	var chats []string
	for i := range n {
		id := must[summaryDoc](t, c, "newChat", object{"temporary": false}, nil).ID
		put, err := c.vault.replica.AddMessage(vault.Message{
			ID: vault.NewID(), Chat: id, Role: "user", Text: "chat " + string(rune('a'+i)), Status: statusComplete, Created: int64(1000 + i),
		})
		if err := c.keep([]vault.Put{put}, err); err != nil {
			t.Fatal(err)
		}
		chats = append(chats, id)
	}
	c.mu.Lock()
	c.plan.service = client.Service{V: 1, Tokens: true}
	c.plan.account = account
	c.plan.left = leftUnlimited
	c.mu.Unlock()
	return c, d, chats
}

// asks sends a message and returns the code of the refusal, "" for none.
func asks(t *testing.T, c *core, chat string) string {
	t.Helper()
	_, err := do[sendResult](t, c, "send", object{"chat": chat, "parent": "", "text": "hello", "model": "m"}, nil)
	if err == nil {
		return ""
	}
	return explain(err).Code
}

func TestActiveChats(t *testing.T) {
	c, _, chats := planned(t, planAccount{Plan: "free", Chats: 5}, 6)
	fresh := must[summaryDoc](t, c, "newChat", object{"temporary": false}, nil).ID

	// Another device made the sixth: the oldest can be read, and not written in.
	if _, err := do[viewDoc](t, c, "openChat", object{"chat": chats[0]}, nil); err != nil {
		t.Errorf("the oldest of six can't be read: %v", err)
	}
	_, err := do[sendResult](t, c, "send", object{"chat": chats[0], "parent": "", "text": "hello", "model": "m"}, nil)
	if e := explain(err); err == nil || e.Code != "chats_full" || !strings.Contains(e.Message, "“chat f”") || strings.Contains(e.Message, "“chat a”") {
		t.Errorf("writing in the oldest of six: %v", err)
	}
	if code := asks(t, c, chats[1]); code != "" {
		t.Errorf("writing in the fifth: %q", code)
	}
	if code := asks(t, c, fresh); code != "chats_full" {
		t.Errorf("a seventh chat: %q", code)
	}
	if code := asks(t, c, must[summaryDoc](t, c, "newChat", object{"temporary": true}, nil).ID); code != "" {
		t.Errorf("a temporary chat counts: %q", code)
	}

	// One out is room for the sixth, and two for another.
	must[none](t, c, "archive", object{"chat": chats[5], "on": true}, nil)
	if code := asks(t, c, fresh); code != "chats_full" {
		t.Errorf("a sixth chat: %q", code)
	}
	must[none](t, c, "archive", object{"chat": chats[4], "on": true}, nil)
	if code := asks(t, c, fresh); code != "" {
		t.Errorf("a fifth chat: %q", code)
	}

	// Out of the archive counts, and so does writing in there.
	if _, err := do[none](t, c, "archive", object{"chat": chats[4], "on": false}, nil); err == nil || explain(err).Code != "chats_full" {
		t.Errorf("a sixth out of the archive: %v", err)
	}
	if code := asks(t, c, chats[4]); code != "chats_full" {
		t.Errorf("writing in an archived chat where there are five: %q", code)
	}
	must[none](t, c, "archive", object{"chat": chats[3], "on": true}, nil)
	if code := asks(t, c, chats[4]); code != "" {
		t.Errorf("writing in an archived chat where there is room: %q", code)
	}
	if chat, _ := c.vault.replica.Chat(chats[4]); chat.Archived {
		t.Error("a chat that is written in is still archived, and isn't counted")
	}

	c.mu.Lock()
	c.plan.account.Chats = 0
	c.mu.Unlock()
	if code := asks(t, c, chats[5]); code != "" {
		t.Errorf("a member: %q", code)
	}
}

func TestMessagesRunOut(t *testing.T) {
	soon := time.Now().Unix()
	for _, tc := range []struct {
		name string
		plan planState
		code string
	}{
		{"some left", planState{left: 1}, ""},
		{"none left", planState{left: 0, resets: soon + 3600}, "allowance_used"},
		{"none left, and no time is known", planState{left: 0}, "allowance_used"},
		{"new ones have come", planState{left: 0, resets: soon - 1}, ""},
		{"not known", planState{left: leftUnknown}, ""},
		{"fair use", planState{left: leftUnlimited, again: soon + 700}, "fair_use"},
		{"fair use is over", planState{left: leftUnlimited, again: soon - 1}, ""},
	} {
		c := newCore(newDevice(nil))
		c.plan = tc.plan
		c.plan.service = client.Service{V: 1, Tokens: true}
		err := c.mayPay()
		if code := ""; err != nil && explain(err).Code != tc.code || err == nil && code != tc.code {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.code)
		}
		c.plan.service.Tokens = false
		if err := c.mayPay(); err != nil {
			t.Errorf("%s, where nothing is counted: %v", tc.name, err)
		}
	}
	if got := fairUse(700).Message; !strings.HasSuffix(got, "Try again in 12 minutes.") {
		t.Error(got)
	}
	if got := fairUse(3).Message; !strings.HasSuffix(got, "Try again in 1 minute.") {
		t.Error(got)
	}
}

// TestCountedTitle: where messages are counted, a title costs none.
func TestCountedTitle(t *testing.T) {
	c, d, _ := planned(t, planAccount{Plan: "free"}, 0)
	c.mu.Lock()
	c.plan.left = 3
	c.mu.Unlock()
	chat := newOpenChat(t, c)
	eng := "what is the time"
	s := sendTo(t, c, chat, "", eng)
	d.until(t, "the question", func(e map[string]any) bool { return messageIn(e, s.Assistant) != nil })
	c.autoTitle(&answer{chat: chat, parent: s.User, model: "m"})
	if got, _ := c.vault.replica.Chat(chat); got.Title != eng {
		t.Errorf("the title is %q", got.Title)
	}
}

func TestIssue(t *testing.T) {
	c := newCore(newDevice(nil))
	d := c.host.(*device)
	sig := [][]byte{[]byte("signed")}
	d.account = func(method, path, body string) (string, error) {
		if method != "POST" || path != "tokens" || body != `{"day":"2026-11-27","blinded":["YmxpbmQ="]}` {
			t.Errorf("asked %s %s %s", method, path, body)
		}
		return `{"signed":["c2lnbmVk"],"allowance":{"plan":"free","per_day":20,"issued":7,"per_hour":0,"resets":1795824000}}`, nil
	}
	day := token.DayOf(time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC))
	got, err := c.issue(context.Background(), day, [][]byte{[]byte("blind")})
	if err != nil || !slices.EqualFunc(got.Signatures, sig, slices.Equal) || got.Allowance != (wallet.Allowance{Plan: "free", PerDay: 20, Issued: 7, Resets: 1795824000}) {
		t.Errorf("issued %+v, %v", got, err)
	}
	for _, tc := range []struct {
		code string
		is   error
	}{{"signed_out", wallet.ErrSignedOut}, {"day_unknown", wallet.ErrDayUnknown}, {"batch_refused", wallet.ErrBatchRefused}} {
		d.account = func(string, string, string) (string, error) {
			return "", &apiError{&coreError{tc.code, "No."}, `{"error":{}}`}
		}
		if _, err := c.issue(context.Background(), day, nil); !errors.Is(err, tc.is) {
			t.Errorf("%s: %v", tc.code, err)
		}
	}
	d.account = func(string, string, string) (string, error) {
		return "", &apiError{&coreError{"allowance_used", "No."}, `{"error":{},"allowance":{"plan":"member","per_day":-1,"issued":200,"per_hour":200,"resets":9}}`}
	}
	got, err = c.issue(context.Background(), day, nil)
	var none *wallet.ErrNoneLeft
	if !errors.As(err, &none) || none.Resets != 9 || got.Allowance.PerDay != -1 {
		t.Errorf("used up: %+v, %v", got, err)
	}
	d.account = func(string, string, string) (string, error) { return "not JSON", nil }
	if _, err := c.issue(context.Background(), day, nil); !errors.Is(err, errPlan) {
		t.Errorf("an answer that can't be read: %v", err)
	}
	d.account = func(string, string, string) (string, error) { return "", &coreError{"offline", "No."} }
	if _, err := c.issue(context.Background(), day, nil); err == nil || explain(err).Code != "offline" {
		t.Errorf("offline: %v", err)
	}
}

func TestWalletChanged(t *testing.T) {
	c := newCore(newDevice(nil))
	resets := time.Now().Unix() + 600
	c.walletChanged(wallet.State{Plan: "free", Left: 3, Resets: resets})
	if d := c.planDoc(); d.Left != 3 || d.Resets != resets*1000 || d.Again != 0 || d.Error != nil {
		t.Errorf("three left: %+v", d)
	}
	c.walletChanged(wallet.State{Left: wallet.NotKnown, Err: errors.New("offline")})
	if d := c.planDoc(); d.Left != 3 || d.Error == nil {
		t.Errorf("what was known is forgotten: %+v", d)
	}
	c.walletChanged(wallet.State{Left: 0, Resets: resets, Err: &wallet.ErrNoneLeft{Resets: resets}})
	if d := c.planDoc(); d.Left != 0 || d.Again != 0 || d.Error != nil {
		t.Errorf("none left: %+v", d)
	}
	c.walletChanged(wallet.State{Left: wallet.Unlimited, Err: &wallet.ErrNoneLeft{Resets: resets}})
	if d := c.planDoc(); d.Left != leftUnlimited || d.Again != resets*1000 {
		t.Errorf("fair use: %+v", d)
	}
}

// TestPlanOfServer reads what the account server says, and passes it on.
func TestPlanOfServer(t *testing.T) {
	c, d, _ := planned(t, planAccount{}, 0)
	d.mu.Lock()
	d.account = func(method, path, _ string) (string, error) {
		if method == "GET" && path == "plan" {
			return `{"account":"0102","plan":"free","until":null,"source":"","card":"","active_chats":5,
				"allowance":{"plan":"free","per_day":20,"issued":18,"per_hour":0,"resets":1795824000},"billing":false,"price":""}`, nil
		}
		return "", &coreError{"offline", "No."}
	}
	d.mu.Unlock()
	got := must[planDoc](t, c, "plan", object{}, nil)
	if got.Plan != "free" || got.Left != 2 || got.PerDay != 20 || got.Chats != 5 || got.Account != "0102" || got.Resets != 1795824000000 || !got.Known {
		t.Errorf("the plan is %+v", got)
	}
	d.mu.Lock()
	d.account = func(string, string, string) (string, error) { return "[]", nil }
	d.mu.Unlock()
	if _, err := do[planDoc](t, c, "plan", object{}, nil); err == nil || explain(err).Code != "plan" {
		t.Errorf("a plan that can't be read: %v", err)
	}
}

func TestThrough(t *testing.T) {
	c := newCore(newDevice(nil))
	for address, ok := range map[string]bool{
		"https://relay.example/": true, "https://relay.example": true, "http://127.0.0.1:8788/": true, "http://localhost:1": true, "http://[::1]:80/": true,
		"http://relay.example/": false, "relay.example": false, "https://": false, "ftp://relay.example/": false,
		"https://user@relay.example/": false, "https://relay.example/?for=you": false, "https://relay.example/#you": false,
		"http://127.0.0.1.evil.example/": false, "http://localhost.evil.example/": false, "https://a\\b/": false, "": false,
	} {
		if _, err := c.through(address); (err == nil) != ok {
			t.Errorf("%q: %v", address, err)
		}
	}
	s := client.Service{V: 1, Relay: &client.Relay{URL: "http://127.0.0.1:8788/", Operator: "Example Ltd"}}
	c.mu.Lock()
	c.serviceIs(s, nil)
	d := c.planDoc()
	c.mu.Unlock()
	if d.Relay == nil || d.Relay.Host != "127.0.0.1:8788" || !d.Relay.Local || d.Relay.Operator != "Example Ltd" || d.Relay.Error != nil {
		t.Errorf("the relay is %+v", d.Relay)
	}
	s.Relay = &client.Relay{URL: "https://relay.example/"}
	c.mu.Lock()
	c.serviceIs(s, client.ErrUnreachable)
	d = c.planDoc()
	c.mu.Unlock()
	if d.Relay == nil || d.Relay.Local || d.Relay.Error == nil {
		t.Errorf("the relay that can't be reached is %+v", d.Relay)
	}
	if doc, err := json.Marshal(newCore(newDevice(nil)).planDoc()); err != nil || !strings.Contains(string(doc), `"known":false`) {
		t.Errorf("at first: %s %v", doc, err)
	}
}
