// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

//go:build !js

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/vault"
)

func TestAnswerIsKept(t *testing.T) {
	eng := &scripted{answers: map[string]chan string{}}
	c, d, _ := asking(t, service(t, eng))
	chat := newOpenChat(t, c)
	s := sendTo(t, c, chat, "", "hello")
	eng.answer("hello") <- "good "
	eng.answer("hello") <- "day"
	close(eng.answer("hello"))
	m := d.untilStatus(t, s.Assistant, statusComplete)
	if m["text"] != "good day" || m["receipt"].(object)["state"] != "demo" {
		t.Errorf("the message is %v", m)
	}
	list := c.vault.replica.Messages(chat)
	if len(list) != 2 || list[0].Text != "hello" || list[1].Text != "good day" || list[1].Parent != s.User {
		t.Errorf("the vault has %+v", list)
	}
	if got, _ := c.vault.replica.Chat(chat); got.CacheSalt == "" || got.Model != "m" {
		t.Errorf("the chat is %+v, want a cache salt and its model", got)
	}
	for i := 0; ; i++ {
		d.mu.Lock()
		left := len(d.kept)
		d.mu.Unlock()
		if left == 0 {
			break
		}
		if i > 100 {
			t.Fatal("what a reload needs is kept although the answer is complete")
		}
		time.Sleep(10 * time.Millisecond)
	}
	// All that was handed over to be kept is in the vault's queue.
	if got, want := len(d.puts), len(c.vault.replica.Pending()); got < want {
		t.Errorf("%d records were queued, the vault waits for %d", got, want)
	}
}

func TestEngineFailureIsASentence(t *testing.T) {
	c, d, _ := asking(t, service(t, &scripted{answers: map[string]chan string{}}))
	chat := newOpenChat(t, c)
	m := d.untilStatus(t, sendTo(t, c, chat, "", "fail").Assistant, statusFailed)
	if m["error"] != "This conversation is too long for the model." || m["errorCode"] != "context_length" {
		t.Errorf("the failed message is %v", m)
	}
}

// TestReload opens the same vault in another core while an answer is being
// written, as a reload of the page does.
func TestReload(t *testing.T) {
	eng := &scripted{answers: map[string]chan string{}}
	way := service(t, eng)
	c, d, wraps := asking(t, way)
	chat := newOpenChat(t, c)
	s := sendTo(t, c, chat, "", "go on")
	eng.answer("go on") <- "one "
	d.untilText(t, s.Assistant)
	d.mu.Lock()
	kept, puts := d.kept[s.Assistant], slices.Clone(d.puts)
	d.mu.Unlock()
	if kept == nil {
		t.Fatal("nothing is kept for a reload")
	}
	if strings.Contains(string(kept), "one") || strings.Contains(string(kept), chat) {
		t.Error("what is kept for a reload isn't sealed")
	}
	c.trust.client.CloseNow() // the first page is gone: it tells nobody

	d2 := newDevice(way)
	c2 := newCore(d2)
	unlock := object{"account": testAccount, "device": testDevice, "wraps": wraps, "credential": credential}
	if _, err := do[none](t, c2, "unlockPasskey", unlock, []byte("another passkey's prf output 32b")); explain(err).Code != "wrong_passkey" {
		t.Errorf("another passkey's output: %v", err)
	}
	must[none](t, c2, "unlockPasskey", unlock, prf())
	must[none](t, c2, "load", object{"entries": []vault.Entry{}, "puts": puts}, nil)
	must[none](t, c2, "opened", object{}, nil)
	begin(t, c2, d2)
	must[viewDoc](t, c2, "openChat", object{"chat": chat}, nil)
	must[none](t, c2, "resume", object{"id": s.Assistant, "sealed": kept}, nil)
	eng.answer("go on") <- "two"
	close(eng.answer("go on"))
	if m := d2.untilStatus(t, s.Assistant, statusComplete); m["text"] != "one two" {
		t.Errorf("after the reload the answer is %q", m["text"])
	}
	eng.mu.Lock()
	defer eng.mu.Unlock()
	asked := 0
	for _, q := range eng.asked {
		if q == "go on" {
			asked++
		}
	}
	if asked != 1 {
		t.Errorf("the engine was asked %d times", asked)
	}
	if _, err := do[none](t, c2, "resume", object{"id": s.User, "sealed": kept}, nil); err == nil {
		t.Error("an answer was resumed under another's id")
	}
}

func TestTitleOfAPersonStays(t *testing.T) {
	eng := &scripted{answers: map[string]chan string{}}
	c, d, _ := asking(t, service(t, eng))
	chat := newOpenChat(t, c)
	s := sendTo(t, c, chat, "", "name this")
	eng.answer("name this") <- "yes"
	close(eng.answer("name this"))
	d.untilStatus(t, s.Assistant, statusComplete)
	must[none](t, c, "rename", object{"chat": chat, "title": "  My   own "}, nil)
	ask := "Title for this chat: name this"
	eng.answer(ask) <- "Theirs"
	close(eng.answer(ask))
	time.Sleep(200 * time.Millisecond) // there is nothing to wait for when all is well
	if got, _ := c.vault.replica.Chat(chat); got.Title != "My own" || got.TitleAuto {
		t.Errorf("the title is %q", got.Title)
	}
}

func TestTemporaryChatIsKeptNowhere(t *testing.T) {
	eng := &scripted{answers: map[string]chan string{}}
	c, d, _ := asking(t, service(t, eng))
	chat := must[summaryDoc](t, c, "newChat", object{"temporary": true}, nil).ID
	must[viewDoc](t, c, "openChat", object{"chat": chat}, nil)
	s := sendTo(t, c, chat, "", "whisper")
	eng.answer("whisper") <- "quiet"
	d.untilText(t, s.Assistant)
	if len(d.kept) != 0 {
		t.Error("an answer in a temporary chat is kept for a reload")
	}
	close(eng.answer("whisper"))
	d.untilStatus(t, s.Assistant, statusComplete)
	must[none](t, c, "rename", object{"chat": chat, "title": "T"}, nil)
	if len(d.puts) != 0 || len(c.vault.replica.Pending()) != 0 {
		t.Errorf("a temporary chat made %d records", len(d.puts))
	}
	if md := string(must[[]byte](t, c, "exportChat", object{"chat": chat, "as": "md"}, nil)); !strings.Contains(md, "whisper") {
		t.Errorf("its export is %q", md)
	}
}

func TestNothingIsSentUnchecked(t *testing.T) {
	d := newDevice(service(t, &scripted{answers: map[string]chan string{}}))
	c, _ := signedUp(t, d)
	for _, local := range []bool{false, true} {
		// A consent that is remembered counts on this machine only.
		must[none](t, c, "start", object{"origin": "https://x.example", "local": local, "consent": !local}, nil)
		want := map[bool]string{false: "failed", true: "consent"}[local]
		d.until(t, want, func(e map[string]any) bool { return e["t"] == "trust" && e["trust"].(object)["state"] == want })
		chat := newOpenChat(t, c)
		_, err := do[sendResult](t, c, "send", object{"chat": chat, "parent": "", "text": "secret", "model": "m"}, nil)
		if err == nil {
			t.Fatalf("local %t: a message went to a machine that proved nothing", local)
		}
		if len(d.puts) != 0 {
			t.Error("a message that wasn't sent was kept; it belongs in the box")
		}
	}
	must[none](t, c, "start", object{"origin": "https://x.example", "local": false, "consent": false}, nil)
	if _, err := do[none](t, c, "acceptDemo", object{}, nil); err != errNotLocal {
		t.Errorf("accepting demo hardware elsewhere: %v", err)
	}
}

// What a page was built to want of machines counts, whatever the person accepts,
// and can't accept for them.
func TestThePagesPolicyCounts(t *testing.T) {
	d := newDevice(service(t, &scripted{answers: map[string]chan string{}}))
	c, _ := signedUp(t, d)
	state := func(want string) {
		t.Helper()
		d.until(t, want, func(e map[string]any) bool { return e["t"] == "trust" && e["trust"].(object)["state"] == want })
	}
	start := func(consent bool, policy string) error {
		_, err := do[none](t, c, "start", object{"origin": "http://localhost", "local": true, "consent": consent, "policy": policy}, nil)
		return err
	}
	if err := start(true, `{"max_lifetime":900}`); err != nil {
		t.Fatal(err)
	}
	state("demo")
	if err := start(true, `{"require":["snp"]}`); err != nil {
		t.Fatal(err)
	}
	state("failed")
	if err := start(false, `{"allow_software":true}`); err != nil {
		t.Fatal(err)
	}
	state("consent")
	if err := start(true, `{"require":["abacus"]}`); err == nil {
		t.Error("a policy that asks for what there isn't was passed over")
	}
}

func TestFullDiskKeepsTheWordsInTheBox(t *testing.T) {
	c, d, _ := asking(t, service(t, &scripted{answers: map[string]chan string{}}))
	chat := newOpenChat(t, c)
	d.full = true
	if _, err := do[sendResult](t, c, "send", object{"chat": chat, "parent": "", "text": "hello", "model": "m"}, nil); err == nil {
		t.Error("a message that can't be kept was accepted")
	}
}

func TestAnswerTooLongForARecord(t *testing.T) {
	c, _ := signedUp(t, newDevice(nil))
	chat := vault.NewID()
	whole := strings.Repeat("<é>", 400_000)
	if _, err := addAnswer(c.vault.replica, vault.Message{Chat: chat, Role: "assistant", Text: whole, Reasoning: whole, Status: statusComplete}); err != nil {
		t.Fatal(err)
	}
	m := c.vault.replica.Messages(chat)[0]
	if m.Status != statusFailed || m.Error == "" || len(m.Text) < 100_000 || !strings.HasPrefix(whole, m.Text) {
		t.Errorf("kept %d bytes as %s %q", len(m.Text), m.Status, m.Error)
	}
}

// page makes the feed that a server with these puts would serve.
func page(puts []vault.Put) vault.Page {
	p := vault.Page{Head: vault.Genesis(testAccount), Entries: []vault.Entry{}}
	for _, put := range puts {
		p.Head = p.Head.Next(put.Collection, put.ID, put.Version, vault.Digest(put.Data))
		p.Entries = append(p.Entries, vault.Entry{
			Seq: p.Head.Seq, ID: put.ID, Collection: put.Collection, Version: put.Version,
			Size: len(put.Data), Data: put.Data, Hash: p.Head.Hash,
		})
	}
	return p
}

func TestLyingServerIsNoticedAndNothingIsLost(t *testing.T) {
	d := newDevice(nil)
	c, _ := signedUp(t, d)
	chat := vault.NewID()
	for i := range 4 {
		if err := c.keep(firstPuts(c.vault.replica, vault.Chat{CacheSalt: "s", Model: "m"}, false, "m",
			vault.Message{Chat: chat, Role: "user", Text: fmt.Sprintf("message %d", i)})); err != nil {
			t.Fatal(err)
		}
	}
	whole := page(d.puts)
	must[applyResult](t, c, "apply", object{"page": whole}, nil)

	other := slices.Clone(d.puts)
	other[0], other[1] = other[1], other[0]
	changed := slices.Clone(d.puts)
	changed[2].Data = slices.Clone(changed[2].Data)
	changed[2].Data[200] ^= 1
	for _, lie := range []struct {
		code string
		page vault.Page
	}{
		{"rolled_back", page(d.puts[:2])},
		{"forked", page(other)},
		{"forked", page(changed)},
		{"hidden", vault.Page{Head: vault.Head{Seq: 9, Hash: whole.Head.Hash}, Entries: []vault.Entry{}}},
	} {
		_, err := do[applyResult](t, c, "apply", object{"page": lie.page}, nil)
		if err == nil || explain(err).Code != lie.code {
			t.Errorf("want %s, got %v", lie.code, err)
		}
		if !slices.Contains(d.notices(), lie.code) {
			t.Errorf("%s: the page wasn't told", lie.code)
		}
		if n := len(c.vault.replica.Messages(chat)); n != 4 {
			t.Fatalf("%s: %d messages are left of 4", lie.code, n)
		}
	}
	must[applyResult](t, c, "apply", object{"page": whole}, nil)
	if n := len(d.notices()); n != 3 {
		t.Errorf("%d notices, want one for each kind: %v", n, d.notices())
	}
}

// After a server was restored from a backup and the person agreed, what it has
// lost is pending again, also what another tab had written, and nothing else is.
func TestRejoin(t *testing.T) {
	d := newDevice(nil)
	c, _ := signedUp(t, d)
	chat := vault.NewID()
	write := func(text string) {
		t.Helper()
		if err := c.keep(firstPuts(c.vault.replica, vault.Chat{CacheSalt: "s", Model: "m"}, false, "m",
			vault.Message{Chat: chat, Role: "user", Text: text})); err != nil {
			t.Fatal(err)
		}
	}
	write("kept by the server")
	backup := page(d.puts)
	write("lost by the server")
	must[applyResult](t, c, "apply", object{"page": page(d.puts)}, nil)
	if _, err := do[applyResult](t, c, "apply", object{"page": backup}, nil); explain(err).Code != "rolled_back" {
		t.Fatalf("want rolled_back, got %v", err)
	}
	offered := 0
	d.mu.Lock()
	for _, e := range d.events {
		if e["t"] == "notice" && e["rejoin"] == true {
			offered++
		}
	}
	d.mu.Unlock()
	if offered != 1 {
		t.Errorf("the page was offered %d ways on, want 1", offered)
	}

	tab := vault.NewReplica(c.vault.root, c.vault.account, vault.NewDeviceID())
	put, err := tab.AddMessage(vault.Message{Chat: chat, Role: "user", Text: "written in another tab"})
	if err != nil {
		t.Fatal(err)
	}
	must[none](t, c, "rejoin", object{"puts": []vault.Put{put}}, nil)
	if r := must[applyResult](t, c, "apply", object{"page": backup}, nil); r.Again || r.Seq != backup.Head.Seq {
		t.Errorf("applied up to %d of %d", r.Seq, backup.Head.Seq)
	}
	puts := must[pendingResult](t, c, "pending", object{}, nil).Puts
	kept := map[vault.RecordID]bool{}
	for _, e := range backup.Entries {
		kept[e.ID] = true
	}
	messages := 0
	for _, p := range puts {
		if p.Collection == vault.Messages {
			messages++
			if kept[p.ID] {
				t.Errorf("record %v is pending, and the server has it", p.ID)
			}
		}
	}
	if messages != 2 {
		t.Errorf("%d messages are pending, want the lost one and the other tab's", messages)
	}
	if n := len(c.vault.replica.Messages(chat)); n != 3 {
		t.Errorf("%d messages of 3", n)
	}
	// It can happen again, and is said again.
	before := len(d.notices())
	if _, err := do[applyResult](t, c, "apply", object{"page": page(nil)}, nil); err == nil {
		t.Error("an empty feed was taken")
	}
	if len(d.notices()) != before+1 {
		t.Errorf("notices: %v", d.notices())
	}
}

func TestErasing(t *testing.T) {
	d := newDevice(nil)
	c, _ := signedUp(t, d)
	chat := vault.NewID()
	if err := c.keep(firstPuts(c.vault.replica, vault.Chat{CacheSalt: "s", Model: "m"}, false, "m",
		vault.Message{Chat: chat, Role: "user", Text: "gone soon"})); err != nil {
		t.Fatal(err)
	}
	must[none](t, c, "rename", object{"chat": chat, "title": "first"}, nil)
	must[none](t, c, "rename", object{"chat": chat, "title": "second"}, nil)
	must[none](t, c, "pin", object{"chat": chat, "on": true}, nil)
	r := must[applyResult](t, c, "apply", object{"page": page(d.puts)}, nil)
	if got := must[erasingResult](t, c, "erasing", object{}, nil); !r.Erased || !slices.Equal(got.Seqs, []uint64{2}) {
		t.Errorf("after a second title: %v, want the first one's place", got.Seqs)
	}
	must[none](t, c, "deleteChat", object{"chat": chat}, nil)
	must[applyResult](t, c, "apply", object{"page": page(d.puts)}, nil)
	if got := must[erasingResult](t, c, "erasing", object{}, nil); !slices.Contains(got.Seqs, 1) {
		t.Errorf("after deleting the chat: %v, want the message's place", got.Seqs)
	}
}

func TestKit(t *testing.T) {
	d := newDevice(nil)
	c, wraps := signedUp(t, d)
	kit := must[kitDoc](t, c, "newKit", object{}, nil)
	typed := func(a, b string) object { return object{"typed": []string{a, b}} }
	one, two := kit.Groups[kit.Confirm[0]], kit.Groups[kit.Confirm[1]]
	// A group of another kit is well spelled, and still wrong.
	foreign := vault.NewRecoveryKey().Groups()
	for _, wrong := range []object{typed(foreign[kit.Confirm[0]], two), typed(one, foreign[kit.Confirm[1]]), typed("", ""), typed(two, one), typed(one, one), typed(one+one, two)} {
		if _, err := do[vault.Wrap](t, c, "confirmKit", wrong, nil); err != errTyped {
			t.Errorf("%v: %v", wrong, err)
		}
	}
	w := must[vault.Wrap](t, c, "confirmKit", typed(" "+strings.ToLower(one), two), nil)
	if w.Kind != vault.KindRecovery {
		t.Errorf("the kit's wrap is a %s", w.Kind)
	}
	if _, err := do[vault.Wrap](t, c, "confirmKit", typed(one, two), nil); err != errNoDraft {
		t.Errorf("confirmed twice: %v", err)
	}

	c2 := newCore(newDevice(nil))
	must[recoverBeginResult](t, c2, "recoverBegin", object{"kit": strings.Join(kit.Groups, "-")}, nil)
	unlock := object{"account": testAccount, "device": testDevice, "wraps": wraps}
	if _, err := do[none](t, c2, "recoverOpen", unlock, nil); explain(err).Code != "wrong_kit" {
		t.Errorf("the new kit on the old wraps: %v", err)
	}
	unlock["wraps"] = append(wraps, w)
	must[none](t, c2, "recoverOpen", unlock, nil)
}

func TestArgumentsAreStrict(t *testing.T) {
	c := newCore(newDevice(nil))
	for _, doc := range []string{``, `{`, `[]`, `{"kit":"x","more":1}`, `{"kit":"x"}{}`, `{"kit":1}`} {
		if _, err := c.call(context.Background(), "recoverBegin", []byte(doc), nil); err == nil || !strings.HasPrefix(err.Error(), "core: arguments") {
			t.Errorf("%s: %v", doc, err)
		}
	}
	if _, err := c.call(context.Background(), "nothing", []byte("{}"), nil); err == nil {
		t.Error("a method that isn't there was called")
	}
	for name := range c.methods {
		if _, err := c.call(context.Background(), name, []byte("!"), nil); err == nil {
			t.Errorf("%s takes what is no JSON", name)
		}
	}
}

// TestMethodsAreThoseOfTheWorker compares the table with the Worker's types.
func TestMethodsAreThoseOfTheWorker(t *testing.T) {
	src, err := os.ReadFile("../../web/src/worker/go.ts")
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(src), "export interface GoCalls {")
	body, _, _ = strings.Cut(body, "\n}\n")
	var theirs, ours []string
	for _, m := range regexp.MustCompile(`(?m)^  (\w+): \[`).FindAllStringSubmatch(body, -1) {
		theirs = append(theirs, m[1])
	}
	for name := range newCore(nil).methods {
		ours = append(ours, name)
	}
	slices.Sort(theirs)
	slices.Sort(ours)
	if !slices.Equal(theirs, ours) {
		t.Errorf("the Worker knows\n%v\nGo has\n%v", theirs, ours)
	}
}

// TestDependencies keeps out what would make the core too heavy for a page.
func TestDependencies(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", ".")
	cmd.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, pkg := range strings.Fields(string(out)) {
		switch pkg {
		case "net", "net/http", "crypto/tls", "crypto/x509", "regexp", "text/template", "html/template":
			t.Errorf("the core depends on %s", pkg)
		}
	}
}
