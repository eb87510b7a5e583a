// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/attest/software/forge"
	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/client/nethttp"
	"github.com/sotto-chat/sotto/engine"
	"github.com/sotto-chat/sotto/gateway"
	"github.com/sotto-chat/sotto/node"
	"github.com/sotto-chat/sotto/vault"
)

// device is a host that keeps in memory what a browser keeps in IndexedDB.
type device struct {
	client.Transport
	mu     sync.Mutex
	events []map[string]any
	puts   []vault.Put
	kept   map[string][]byte
	full   bool // nothing more can be kept
	heard  chan struct{}
}

func newDevice(transport client.Transport) *device {
	return &device{Transport: transport, kept: map[string][]byte{}, heard: make(chan struct{}, 1)}
}

func (d *device) emit(event any) {
	doc, err := json.Marshal(event)
	if err != nil {
		panic(err)
	}
	var e map[string]any
	if err := json.Unmarshal(doc, &e); err != nil {
		panic(err)
	}
	d.mu.Lock()
	d.events = append(d.events, e)
	d.mu.Unlock()
	select {
	case d.heard <- struct{}{}:
	default:
	}
}

func (d *device) queue(puts []vault.Put) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.full {
		return errors.New("the disk is full")
	}
	d.puts = append(d.puts, puts...)
	return nil
}

func (d *device) pending(id string, sealed []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if sealed == nil {
		delete(d.kept, id)
	} else {
		d.kept[id] = sealed
	}
	return nil
}

// until waits for an event that ok accepts.
func (d *device) until(t *testing.T, what string, ok func(map[string]any) bool) map[string]any {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for seen := 0; ; {
		d.mu.Lock()
		events := d.events
		d.mu.Unlock()
		for ; seen < len(events); seen++ {
			if ok(events[seen]) {
				return events[seen]
			}
		}
		select {
		case <-d.heard:
		case <-time.After(20 * time.Millisecond):
		case <-timeout:
			t.Fatalf("no event: %s; the last of %d: %v", what, len(events), events[max(0, len(events)-3):])
		}
	}
}

// notices returns the codes of all notices.
func (d *device) notices() (codes []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.events {
		if e["t"] == "notice" {
			codes = append(codes, e["code"].(string))
		}
	}
	return codes
}

// do calls a method as the Worker does, through JSON.
func do[R any](t *testing.T, c *core, method string, args any, secret []byte) (R, error) {
	t.Helper()
	doc, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	var r R
	out, err := c.call(context.Background(), method, doc, secret)
	if err != nil {
		return r, err
	}
	if b, ok := out.([]byte); ok {
		return any(b).(R), nil
	}
	doc, err = json.Marshal(out)
	if err == nil {
		err = json.Unmarshal(doc, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r, nil
}

// must is do for calls that can't fail.
func must[R any](t *testing.T, c *core, method string, args any, secret []byte) R {
	t.Helper()
	r, err := do[R](t, c, method, args, secret)
	if err != nil {
		t.Fatalf("%s: %v", method, err)
	}
	return r
}

type object = map[string]any

var (
	testAccount = vault.AccountID{1, 2, 3}
	testDevice  = vault.DeviceID{4, 5}
	credential  = base64.RawURLEncoding.EncodeToString([]byte("a passkey"))
)

func prf() []byte { return []byte("0123456789abcdef0123456789abcdef") }

// signedUp returns a core with an open vault, and the wraps of its account.
func signedUp(t *testing.T, d *device) (*core, []vault.Wrap) {
	t.Helper()
	c := newCore(d)
	made := must[newAccountResult](t, c, "newAccount", object{"account": testAccount, "credential": credential}, prf())
	typed := []string{made.Kit.Groups[made.Kit.Confirm[0]], made.Kit.Groups[made.Kit.Confirm[1]]}
	wraps := must[[]vault.Wrap](t, c, "finishAccount", object{"typed": typed, "passphrase": ""}, nil)
	must[none](t, c, "adopt", object{"device": testDevice}, nil)
	must[none](t, c, "opened", object{}, nil)
	return c, wraps
}

// scripted is an engine whose answers a test writes: one channel of texts for
// each question, closed at the answer's end.
type scripted struct {
	mu      sync.Mutex
	answers map[string]chan string
	asked   []string
}

func (*scripted) Name() string { return "scripted" }
func (*scripted) Close() error { return nil }
func (*scripted) Models(context.Context) ([]engine.Model, error) {
	return []engine.Model{{ID: "m", Name: "m"}}, nil
}

func (s *scripted) answer(question string) chan string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answers[question] == nil {
		s.answers[question] = make(chan string, 100)
	}
	return s.answers[question]
}

func (s *scripted) Do(ctx context.Context, r *engine.Request) (*engine.Response, error) {
	if r.Method == "GET" {
		return &engine.Response{Status: 200, ContentType: "application/json", Body: io.NopCloser(strings.NewReader(`{"object":"list","data":[{"id":"m"}]}`))}, nil
	}
	var req struct {
		Messages []client.ChatMessage `json:"messages"`
	}
	if err := json.Unmarshal(r.Body, &req); err != nil {
		return nil, err
	}
	question := req.Messages[len(req.Messages)-1].Content
	s.mu.Lock()
	s.asked = append(s.asked, question)
	s.mu.Unlock()
	if question == "fail" {
		return nil, &engine.Error{Status: 400, Code: "context_length", Message: "This conversation is too long for the model."}
	}
	texts := s.answer(question)
	pr, pw := io.Pipe()
	go func() {
		say := func(text, finish string) {
			fmt.Fprintf(pw, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":%q},\"finish_reason\":%s}]}\n\n", text, finish)
		}
		for {
			select {
			case <-ctx.Done():
				pw.CloseWithError(ctx.Err())
				return
			case text, ok := <-texts:
				if !ok {
					say("", `"stop"`)
					io.WriteString(pw, "data: [DONE]\n\n")
					pw.Close()
					return
				}
				say(text, "null")
			}
		}
	}()
	return &engine.Response{Status: 200, ContentType: "text/event-stream", Body: pr}, nil
}

// service runs a gateway and a node over eng and returns the way to them.
func service(t *testing.T, eng engine.Engine) client.Transport {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	n, err := node.New(node.Config{Engine: eng, Evidence: forge.Evidence, Tick: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	inside := httptest.NewServer(n.Handler())
	g, err := gateway.New(gateway.Config{Nodes: []string{inside.URL}})
	if err != nil {
		t.Fatal(err)
	}
	outside := httptest.NewServer(g.Handler())
	var wg sync.WaitGroup
	wg.Go(func() { n.Run(ctx) })
	wg.Go(func() { g.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		outside.CloseClientConnections()
		inside.CloseClientConnections()
		outside.Close()
		inside.Close()
		wg.Wait()
	})
	return nethttp.New(outside.URL)
}

// asking returns a signed-up core that may ask eng, and its device.
func asking(t *testing.T, transport client.Transport) (*core, *device, []vault.Wrap) {
	t.Helper()
	d := newDevice(transport)
	c, wraps := signedUp(t, d)
	begin(t, c, d)
	return c, d, wraps
}

func begin(t *testing.T, c *core, d *device) {
	t.Helper()
	must[none](t, c, "start", object{"origin": "http://localhost", "local": true, "consent": true}, nil)
	d.until(t, "trust demo", func(e map[string]any) bool {
		return e["t"] == "trust" && e["trust"].(object)["state"] == "demo"
	})
}

// messageIn returns a message of an event's view, or nil.
func messageIn(e map[string]any, id string) object {
	if e["t"] != "chat" {
		return nil
	}
	for _, m := range e["view"].(object)["messages"].([]any) {
		if m := m.(object); m["id"] == id {
			return m
		}
	}
	return nil
}

func (d *device) untilStatus(t *testing.T, id, status string) object {
	t.Helper()
	var found object
	d.until(t, "message "+status, func(e map[string]any) bool {
		m := messageIn(e, id)
		if m != nil && m["status"] == status {
			found = m
			return true
		}
		return false
	})
	return found
}

func (d *device) untilText(t *testing.T, id string) {
	t.Helper()
	d.until(t, "text", func(e map[string]any) bool {
		m := messageIn(e, id)
		return e["t"] == "delta" && e["message"] == id || m != nil && m["text"] != ""
	})
}

func newOpenChat(t *testing.T, c *core) string {
	t.Helper()
	chat := must[summaryDoc](t, c, "newChat", object{"temporary": false}, nil).ID
	must[viewDoc](t, c, "openChat", object{"chat": chat}, nil)
	return chat
}

func sendTo(t *testing.T, c *core, chat, parent, text string) sendResult {
	t.Helper()
	return must[sendResult](t, c, "send", object{"chat": chat, "parent": parent, "text": text, "model": "m"}, nil)
}

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
