// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package account

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sotto-chat/sotto/store"
	"github.com/sotto-chat/sotto/vault"
)

// signedUp returns a device with an account of its own.
func signedUp(t testing.TB) *device {
	t.Helper()
	d := newWorld(t).device()
	d.signUp(newAuthenticator(t, testOrigin))
	return d
}

func (d *device) replica() *vault.Replica {
	return vault.NewReplica(d.root, d.account, vault.NewDeviceID())
}

// post posts what r has pending.
func (d *device) post(r *vault.Replica) postAnswer {
	d.t.Helper()
	var a postAnswer
	d.do("POST", "feed", map[string]any{"entries": r.Pending(), "known": r.Head()}, &a)
	return a
}

// fetch applies all pages that r doesn't know.
func (d *device) fetch(r *vault.Replica) {
	d.t.Helper()
	for {
		var p vault.Page
		d.do("GET", fmt.Sprintf("feed?since=%d&limit=3", r.Head().Seq), nil, &p)
		if err := r.Apply(p); err != nil {
			d.t.Fatal(err)
		}
		if r.Head() == p.Head {
			return
		}
	}
}

func TestTwoDevicesAppendAtOnce(t *testing.T) {
	d := signedUp(t)
	const each = 40
	chat := vault.NewID()
	var group sync.WaitGroup
	for i := range 2 {
		group.Go(func() {
			r := d.replica()
			for j := range each {
				if _, err := r.AddMessage(vault.Message{Chat: chat, Role: "user", Text: fmt.Sprint(i, " ", j)}); err != nil {
					t.Error(err)
					return
				}
				if j%4 == 3 {
					d.post(r)
					d.fetch(r)
				}
			}
		})
	}
	group.Wait()
	r := d.replica()
	d.fetch(r)
	if n := len(r.Messages(chat)); n != 2*each {
		t.Errorf("%d messages, want %d", n, 2*each)
	}
	if p := r.Problems(); len(p) != 0 {
		t.Errorf("problems: %v", p)
	}
	// Every acknowledged place is there after the database is opened again.
	head := r.Head()
	if err := d.db.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(context.Background(), d.path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	p, err := db.Page(context.Background(), d.account, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	again := d.replica()
	if err := again.Apply(p); err != nil {
		t.Fatal(err)
	}
	if again.Head() != head || len(again.Messages(chat)) != 2*each {
		t.Errorf("after opening again: head %v, %d messages", again.Head(), len(again.Messages(chat)))
	}
}

func TestFeedRefusals(t *testing.T) {
	d, stranger := signedUp(t), signedUp(t)
	r, foreign := d.replica(), stranger.replica()
	chat := vault.NewID()
	m := must(r.AddMessage(vault.Message{Chat: chat, Role: "user", Text: "one"}))
	theirs := must(foreign.AddMessage(vault.Message{Chat: chat, Role: "user", Text: "theirs"}))
	entries := func(puts ...vault.Put) map[string]any { return map[string]any{"entries": puts} }

	d.fails(400, "malformed", "POST", "feed", entries())
	d.fails(400, "malformed", "POST", "feed", entries(slices.Repeat([]vault.Put{m}, vault.MaxBatch+1)...))
	d.fails(422, "record_refused", "POST", "feed", entries(m, theirs)) // all or nothing
	moved := m
	moved.ID = vault.NewRecordID()
	d.fails(422, "record_refused", "POST", "feed", entries(moved))
	large := m
	large.Data = make([]byte, vault.MaxRecord+1)
	d.fails(422, "record_refused", "POST", "feed", entries(large))
	erasing := m
	erasing.Erase = []vault.RecordID{m.ID}
	d.fails(422, "record_refused", "POST", "feed", entries(erasing))
	d.fails(413, "too_large", "POST", "feed", `{"entries":"`+strings.Repeat("x", maxFeedBody)+`"}`)
	for _, body := range []string{`{"entries":[],"extra":1}`, `{"entries":[]} x`, `[]`, `{`, "\x00"} {
		d.fails(400, "malformed", "POST", "feed", body)
	}
	for _, query := range []string{"since=-1", "since=x", "since=99999999999999999999", "limit=0"} {
		d.fails(400, "malformed", "GET", "feed?"+query, nil)
	}
	var p vault.Page
	if d.do("GET", "feed", nil, &p); p.Head != vault.Genesis(d.account) || len(p.Entries) != 0 {
		t.Errorf("something was taken: %+v", p)
	}
	d.do("GET", "feed?since=9000000000000000000", nil, &p)

	first := d.post(r)
	if again := d.post(r); again.Head != first.Head || !slices.Equal(again.Seqs, first.Seqs) {
		t.Errorf("posted again: %+v, want %+v", again, first)
	}
	twice := vault.NewReplica(d.root, d.account, vault.NewDeviceID())
	same := must(twice.AddMessage(vault.Message{ID: m.ID.String(), Chat: chat, Role: "user", Text: "another text"}))
	d.fails(409, "record_exists", "POST", "feed", entries(same))

	ahead := vault.Head{Seq: first.Head.Seq + 1}
	other := vault.Head{Seq: first.Head.Seq, Hash: vault.Hash{1}}
	for _, known := range []vault.Head{ahead, other, {Seq: 0}} {
		d.fails(409, "feed_diverged", "POST", "feed", map[string]any{"entries": []vault.Put{m}, "known": known})
	}
	d.do("POST", "feed", map[string]any{"entries": []vault.Put{m}, "known": first.Head}, nil)
	d.do("POST", "feed", map[string]any{"entries": []vault.Put{m}, "known": vault.Genesis(d.account)}, nil)
}

func TestServerErasesWhatIsNotNeeded(t *testing.T) {
	d := signedUp(t)
	r, chat := d.replica(), vault.NewID()
	m := must(r.AddMessage(vault.Message{Chat: chat, Role: "user", Text: "one"}))
	old := must(r.SetTitle(chat, "old", false))
	late := must(r.SetTitle(chat, "late", false))
	newest := must(r.SetTitle(chat, "new", false))
	d.do("POST", "feed", map[string]any{"entries": []vault.Put{m, old, newest}}, nil)
	d.do("POST", "feed", map[string]any{"entries": []vault.Put{late}}, nil) // out of its time
	has := func() (s string) {
		var p vault.Page
		d.do("GET", "feed", nil, &p)
		for _, e := range p.Entries {
			if e.Data == nil {
				s += "-"
			} else {
				s += "x"
			}
		}
		return s
	}
	if got := has(); got != "x-x-" {
		t.Errorf("data after renaming: %q", got)
	}
	d.fetch(r)
	must(r.DeleteChat(chat))
	d.post(r)
	d.fetch(r)
	if got := has(); got != "----x" {
		t.Errorf("data after deleting: %q", got)
	}
	// A new device understands all of it.
	fresh := d.replica()
	d.fetch(fresh)
	if p := fresh.Problems(); len(p) != 0 || len(fresh.Chats()) != 0 {
		t.Errorf("problems %v, chats %v", p, fresh.Chats())
	}
	for _, file := range d.files() {
		for _, put := range []vault.Put{m, old, late, newest} {
			if bytes.Contains(file.data, put.Data[60:120]) {
				t.Errorf("%s still has an erased record", file.name)
			}
		}
	}
}

func TestQuota(t *testing.T) {
	d := signedUp(t)
	d.srv.maxBytes = 20_000
	r, chat := d.replica(), vault.NewID()
	fill := func() (code string) {
		for range 200 {
			must(r.AddMessage(vault.Message{Chat: chat, Role: "user", Text: strings.Repeat("x", 2000)}))
			var a postAnswer
			if _, code = d.try("POST", "feed", map[string]any{"entries": r.Pending()}, &a); code != "" {
				return code
			}
			must(r.Acked(r.Pending(), a.Seqs, a.Head))
		}
		return ""
	}
	if code := fill(); code != "account_full" {
		t.Fatalf("code %q", code)
	}
	n := len(r.Messages(chat)) - 1
	if n < 5 || n > 8 {
		t.Errorf("%d messages of 2,000 bytes fit in 20,000", n)
	}
	// Deleting is possible when full, and makes room.
	pending := r.Pending()
	tombs := must(r.DeleteChat(chat))
	d.do("POST", "feed", map[string]any{"entries": tombs}, nil)
	d.do("POST", "feed", map[string]any{"entries": pending}, nil)
	// Also when the bound was lowered and deleting doesn't yet make enough.
	d.srv.maxBytes = 100
	other := d.replica()
	d.fetch(other)
	d.do("POST", "feed", map[string]any{"entries": must(other.DeleteChat(chat))}, nil)
}

// A register that was erased and is written by a device that didn't know starts
// anew, however old the writer's clock is.
func TestRegisterAfterItsTombstone(t *testing.T) {
	d := signedUp(t)
	r, chat := d.replica(), vault.NewID()
	old := must(r.SetTitle(chat, "old", false))
	newer := must(r.SetTitle(chat, "newer", false))
	tombs := must(r.DeleteChat(chat))
	d.do("POST", "feed", map[string]any{"entries": []vault.Put{newer, tombs[0], old}}, nil)
	fresh := d.replica()
	d.fetch(fresh)
	if c, _ := fresh.Chat(chat); c.Title != "old" || len(fresh.Problems()) != 0 {
		t.Errorf("title %q, problems %v", c.Title, fresh.Problems())
	}
}

// live reads the events of a stream.
type live struct {
	t      testing.TB
	resp   *http.Response
	lines  *bufio.Scanner
	cancel context.CancelFunc
}

func (d *device) stream() *live {
	d.t.Helper()
	// A test that waits for what never comes ends too.
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	req, err := http.NewRequestWithContext(ctx, "GET", d.http.URL+"/api/v1/feed/stream", nil)
	if err != nil {
		d.t.Fatal(err)
	}
	if d.cookie != nil {
		req.AddCookie(d.cookie)
	} else {
		req.Header.Set("Authorization", "Sotto "+d.token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { cancel(); resp.Body.Close() })
	return &live{d.t, resp, bufio.NewScanner(resp.Body), cancel}
}

// next returns the next event's data, or "" at the end.
func (l *live) next() string {
	for l.lines.Scan() {
		if data, ok := strings.CutPrefix(l.lines.Text(), "data: "); ok {
			return data
		}
	}
	if err := l.lines.Err(); err != nil {
		l.t.Errorf("the stream broke off instead of ending: %v", err)
	}
	return ""
}

func TestLiveStream(t *testing.T) {
	d := signedUp(t)
	l := d.stream()
	if got := l.next(); l.resp.Header.Get("Content-Type") != "text/event-stream" || got != `{"seq":0}` {
		t.Fatalf("first event %q", got)
	}
	r := d.replica()
	for want := 1; want <= 3; want++ {
		must(r.AddMessage(vault.Message{Chat: vault.NewID(), Role: "user", Text: "x"}))
		d.post(r)
		d.fetch(r)
		if got := l.next(); got != fmt.Sprintf(`{"seq":%d}`, want) {
			t.Errorf("event %q, want %d", got, want)
		}
	}
	// Another account's changes are its own.
	other := d.world.device()
	other.signUp(newAuthenticator(t, testOrigin))
	or := other.replica()
	must(or.AddMessage(vault.Message{Chat: vault.NewID(), Role: "user", Text: "x"}))
	other.post(or)
	mine := d.stream()
	mine.next()
	d.do("POST", "signout", map[string]any{}, nil)
	for _, l := range []*live{l, mine} {
		if got := l.next(); got != "" {
			t.Errorf("event %q after signing out", got)
		}
	}
}

func TestLiveStreamsAreBoundedAndLeaveNothing(t *testing.T) {
	d := signedUp(t)
	before := runtime.NumGoroutine()
	var streams []*live
	for range maxAccountStreams {
		l := d.stream()
		l.next()
		streams = append(streams, l)
	}
	d.fails(429, "too_many", "GET", "feed/stream", nil)
	for _, l := range streams[:5] {
		l.cancel()
	}
	d.eventually(func() bool { return d.srv.hub.count() == maxAccountStreams-5 }, "streams that left are forgotten")
	d.srv.Close()
	for _, l := range streams[5:] {
		if got := l.next(); got != "" {
			t.Errorf("event %q after Close", got)
		}
		l.cancel()
	}
	d.fails(429, "too_many", "GET", "feed/stream", nil)
	http.DefaultClient.CloseIdleConnections()
	d.eventually(func() bool { return runtime.NumGoroutine() <= before+4 }, "no goroutine stays behind")
}

// A session that ended while its stream began gets none.
func TestNoStreamForASessionThatEnded(t *testing.T) {
	d := signedUp(t)
	r := httptest.NewRequest("GET", "/api/v1/feed/stream", nil)
	r.AddCookie(d.cookie)
	session, err := d.srv.session(r)
	if err != nil {
		t.Fatal(err)
	}
	d.do("POST", "signout", nil, nil)
	if _, err := d.srv.streamFeed(r, session); err != errSignedOut || d.srv.hub.count() != 0 {
		t.Errorf("%v, %d streams", err, d.srv.hub.count())
	}
}

func TestStreamKeepsAliveAndSkips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, account := newHub(), vault.NewAccountID()
		s := h.add(account, vault.NewRecordID())
		for seq := uint64(3); seq <= 5; seq++ {
			h.publish(account, seq) // nobody reads yet: the newest stays
		}
		h.publish(account, 4) // two posts may be published in the other order
		rec := httptest.NewRecorder()
		go s.serve(t.Context(), rec, 2)
		time.Sleep(2*keepAlive + time.Second)
		h.end(account, nil)
		synctest.Wait()
		want := headEvent(2) + headEvent(5) + ": keep-alive\n\n: keep-alive\n\n"
		if got := rec.Body.String(); got != want {
			t.Errorf("stream %q, want %q", got, want)
		}
		if h.count() != 0 {
			t.Errorf("%d streams", h.count())
		}
	})
}

func (h *hub) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.total
}

func (w *world) eventually(ok func() bool, what string) {
	w.t.Helper()
	for range 200 {
		if ok() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	w.t.Errorf("not so after 4 s: %s", what)
}

func TestTerminalLinks(t *testing.T) {
	d := signedUp(t)
	terminal := d.world.device()
	key := must(vault.NewDeviceKey())
	var link struct {
		ID         string
		PollSecret []byte `json:"poll_secret"`
		Expires    int64
	}
	open := func() {
		terminal.do("POST", "links", map[string]any{"public_key": key.Offer("a terminal")}, &link)
	}
	poll := func() map[string]any { return map[string]any{"poll_secret": link.PollSecret} }
	open()
	if left := link.Expires - d.at.Unix(); left < 500 || left > 700 {
		t.Errorf("link lives %d s", left)
	}
	if status, code := terminal.try("POST", "links/"+link.ID+"/poll", poll(), nil); status != 202 || code != "" {
		t.Errorf("poll: %d %s, want 202", status, code)
	}
	terminal.fails(401, "signed_out", "GET", "links/"+link.ID, nil)
	var shown struct {
		PublicKey []byte `json:"public_key"`
	}
	d.do("GET", "links/"+link.ID, nil, &shown)
	offer := must(vault.OpenOffer(shown.PublicKey, key.LinkSecret()))
	if offer.Name != "a terminal" || offer.Code() != key.Code() {
		t.Errorf("offer of %q with code %s, want %s", offer.Name, offer.Code(), key.Code())
	}
	wrap := must(vault.WrapDevice(d.root, d.account, offer))
	approve := map[string]any{"wrap": wrap, "label": vault.SealLabel(d.root, d.account, offer.Name)}
	terminal.fails(401, "signed_out", "POST", "links/"+link.ID+"/approve", approve)
	d.fails(422, "wrap_refused", "POST", "links/"+link.ID+"/approve", map[string]any{"wrap": d.passkeyWrap(newAuthenticator(t, ""))})
	d.do("POST", "links/"+link.ID+"/approve", approve, nil)
	d.fails(409, "link_used", "POST", "links/"+link.ID+"/approve", approve)
	terminal.fails(404, "link_unknown", "POST", "links/"+link.ID+"/poll", map[string]any{"poll_secret": make([]byte, 32)})
	var approved struct {
		Status  string
		Account vault.AccountID
		Token   string
		Session sessionInfo
		Wrap    vault.Wrap
	}
	terminal.do("POST", "links/"+link.ID+"/poll", poll(), &approved)
	terminal.fails(404, "link_unknown", "POST", "links/"+link.ID+"/poll", poll())
	root, err := vault.UnwrapDevice(approved.Wrap, approved.Account, key)
	if err != nil {
		t.Fatal(err)
	}
	terminal.root, terminal.account, terminal.token = root, approved.Account, approved.Token
	r := terminal.replica()
	must(r.AddMessage(vault.Message{Chat: vault.NewID(), Role: "user", Text: "from the terminal"}))
	terminal.post(r)
	page := d.replica()
	d.fetch(page)
	if hits := page.Search("terminal", 1); len(hits) != 1 {
		t.Error("the browser doesn't see what the terminal wrote")
	}

	// A terminal can't take the account over.
	terminal.fails(403, "browser_only", "DELETE", "account", nil)
	terminal.fails(403, "browser_only", "PUT", "wraps/"+wrap.ID.String(), wrap)
	terminal.fails(403, "browser_only", "DELETE", "wraps/"+wrap.ID.String(), nil)
	terminal.fails(403, "browser_only", "POST", "passkeys/begin", map[string]any{})
	terminal.fails(403, "browser_only", "POST", "links/"+link.ID+"/approve", approve)

	// Nor does its wrap count as a way in.
	var before struct{ Wraps []vault.Wrap }
	d.do("GET", "wraps", nil, &before)
	for _, w := range before.Wraps {
		if w.Kind == vault.KindPasskey {
			d.fails(409, "last_way_in", "DELETE", "wraps/"+w.ID.String(), nil)
		}
	}

	// Ending its session takes its wrap along.
	var list struct{ Sessions []sessionInfo }
	d.do("GET", "sessions", nil, &list)
	i := slices.IndexFunc(list.Sessions, func(s sessionInfo) bool { return s.Kind == "terminal" })
	if len(list.Sessions) != 2 || i < 0 || list.Sessions[i].Current {
		t.Fatalf("sessions %+v", list.Sessions)
	}
	if name, err := vault.OpenLabel(d.root, d.account, list.Sessions[i].Label); name != "a terminal" {
		t.Errorf("label %q, %v", name, err)
	}
	stream := terminal.stream()
	stream.next()
	d.do("DELETE", "sessions/"+list.Sessions[i].ID.String(), nil, nil)
	d.fails(404, "session_unknown", "DELETE", "sessions/"+list.Sessions[i].ID.String(), nil)
	if got := stream.next(); got != "" {
		t.Errorf("event %q after the session ended", got)
	}
	terminal.fails(401, "signed_out", "GET", "session", nil)
	var wraps struct{ Wraps []vault.Wrap }
	if d.do("GET", "wraps", nil, &wraps); len(wraps.Wraps) != 2 {
		t.Errorf("%d wraps, want 2", len(wraps.Wraps))
	}

	open()
	d.at = d.at.Add(linkLife + time.Second)
	terminal.fails(404, "link_unknown", "POST", "links/"+link.ID+"/poll", poll())
	d.fails(404, "link_unknown", "GET", "links/"+link.ID, nil)
	terminal.fails(400, "malformed", "POST", "links", map[string]any{"public_key": []byte("anything")})
}

func TestTokensAreNotInTheDatabase(t *testing.T) {
	d := signedUp(t)
	token, err := base64.RawURLEncoding.DecodeString(d.cookie.Value)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range d.files() {
		if bytes.Contains(f.data, token) || bytes.Contains(f.data, []byte(d.cookie.Value)) {
			t.Errorf("%s has the session's token", f.name)
		}
	}
	if _, err := d.db.Session(context.Background(), [32]byte(token), d.srv.today()); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the token itself is a key: %v", err)
	}
}
