// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/internal/door"
	"github.com/sotto-chat/sotto/internal/lines"
	"github.com/sotto-chat/sotto/seal"
	"github.com/sotto-chat/sotto/seal/bhttp"
	"github.com/sotto-chat/sotto/seal/envelope"
	"github.com/sotto-chat/sotto/store/spent"
	"github.com/sotto-chat/sotto/token"
)

// published is a KeySource of what a test publishes.
type published struct {
	mu   sync.Mutex
	days map[token.Day][2][]byte
}

func (p *published) Day(d token.Day) (issue, refund []byte, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k, ok := p.days[d]
	if !ok {
		return nil, nil, errors.New("not published")
	}
	return k[0], k[1], nil
}

// bank is an issuer with its keys.
type bank struct {
	challenge token.Challenge
	private   map[token.Day]token.PrivateKey
	keys      *published
}

// signers are made once: each takes a moment.
var signers = sync.OnceValue(func() (out [8]token.PrivateKey) {
	var all sync.WaitGroup
	for i := range out {
		all.Go(func() {
			k, err := token.NewKey(rand.Reader)
			if err != nil {
				panic(err)
			}
			out[i] = k
		})
	}
	all.Wait()
	return out
})

// newBank publishes keys from yesterday to tomorrow, made from signers first and on.
func newBank(t testing.TB, product string, first int, store *spent.Store) *bank {
	t.Helper()
	b := &bank{
		challenge: token.Challenge{Issuer: "tokens.example", Product: product},
		private:   map[token.Day]token.PrivateKey{},
		keys:      &published{days: map[token.Day][2][]byte{}},
	}
	today := token.DayOf(time.Now())
	for i := range 3 {
		d := today - 1 + token.Day(i)
		b.private[d] = signers()[first+i]
		k := [2][]byte{b.private[d].Public().SPKI(), nil}
		if d == today {
			refund, err := store.RefundKey(t.Context(), d, product)
			if err != nil {
				t.Fatal(err)
			}
			k[1] = refund.Public().SPKI()
		}
		b.keys.days[d] = k
	}
	return b
}

func (b *bank) issuer() Issuer {
	return Issuer{Product: b.challenge.Product, Name: b.challenge.Issuer, Keys: b.keys}
}

// token issues a token of a day.
func (b *bank) token(t testing.TB, d token.Day) token.Token {
	t.Helper()
	k := b.private[d]
	pending, blinded, err := token.Blind(k.Public(), b.challenge, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := k.Sign(blinded)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := pending.Finish(sig)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// refund prepares a refund of today.
func (b *bank) refund(t testing.TB) (*token.Pending, []byte) {
	t.Helper()
	_, spki, _ := b.keys.Day(token.DayOf(time.Now()))
	key, err := token.ParsePublicKey(spki)
	if err != nil {
		t.Fatal(err)
	}
	pending, blinded, err := token.Blind(key, b.challenge, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return pending, blinded
}

func openSpent(t testing.TB, file string) *spent.Store {
	t.Helper()
	s, err := spent.Open(context.Background(), "sqlite:"+file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// paidWorld is a world where a request costs a token.
type paidWorld struct {
	*world
	bank  *bank
	store *spent.Store
	file  string
}

func newPaidWorld(t testing.TB, engine *talker) *paidWorld {
	t.Helper()
	p := &paidWorld{file: filepath.Join(t.TempDir(), "spent.db")}
	p.store = openSpent(t, p.file)
	p.bank = newBank(t, "sotto", 0, p.store)
	p.world = newWorld(t, func(c *Config) {
		c.Issuers, c.Spent = []Issuer{p.bank.issuer()}, p.store
	}, engine)
	return p
}

func (w *world) postWith(t testing.TB, path string, msg []byte, fields []bhttp.Field) *http.Response {
	t.Helper()
	req, _ := http.NewRequestWithContext(t.Context(), "POST", w.url+path, bytes.NewReader(msg))
	req.Header.Set("Content-Type", envelope.RequestType)
	for _, f := range fields {
		req.Header.Add(f.Name, f.Value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return res
}

// readDoc reads an error document with what may be in it.
func readDoc(t testing.TB, res *http.Response) (code string, refund []byte) {
	t.Helper()
	var doc struct {
		Error  struct{ Code, Message string }
		Refund []byte
	}
	if err := json.NewDecoder(res.Body).Decode(&doc); err != nil || res.StatusCode != 200 && doc.Error.Message == "" {
		t.Fatalf("status %d: %v", res.StatusCode, err)
	}
	return doc.Error.Code, doc.Refund
}

func fieldsOf(t testing.TB, tok token.Token, msg, refund []byte) []bhttp.Field {
	t.Helper()
	fields, err := tok.Fields(msg, refund)
	if err != nil {
		t.Fatal(err)
	}
	return fields
}

const words = `{"stream":true}`

// A good token buys an answer, once, at either of two gateways that share a store.
func TestSpend(t *testing.T) {
	w := newPaidWorld(t, &talker{words: 3})
	other := newWorld(t, func(c *Config) {
		c.Nodes = []string{w.nodes[0].URL}
		c.Issuers, c.Spent = []Issuer{w.bank.issuer()}, openSpent(t, w.file)
	})
	today := token.DayOf(time.Now())
	tok := w.bank.token(t, today)
	keys := w.keys(t)
	msg, ex := request(t, keys, "/v1/chat/completions", words)
	_, blinded := w.bank.refund(t)
	fields := fieldsOf(t, tok, msg, blinded)
	res := w.postWith(t, "/sotto/v1/seal", msg, fields)
	if res.StatusCode != 200 {
		t.Fatalf("status %d", res.StatusCode)
	}
	if got := read(t, ex, res.Body); !strings.Contains(got, "w2 ") {
		t.Errorf("%q", got)
	}
	msg2, _ := request(t, keys, "/v1/chat/completions", words)
	for name, c := range map[string]struct {
		w      *world
		msg    []byte
		fields []bhttp.Field
	}{
		"the same request again":            {w.world, msg, fields},
		"another request, the same token":   {w.world, msg2, fieldsOf(t, tok, msg2, nil)},
		"at another gateway":                {other, msg, fields},
		"another request, another gateway ": {other, msg2, fieldsOf(t, tok, msg2, nil)},
	} {
		res := c.w.postWith(t, "/sotto/v1/seal", c.msg, c.fields)
		if got, refund := readDoc(t, res); res.StatusCode != 401 || got != string(token.Spent) || refund != nil {
			t.Errorf("%s: %d %s", name, res.StatusCode, got)
		}
	}
	// A refund after an answer.
	ask, err := tok.RefundFields(blinded)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []*world{w.world, other} {
		res := at.postWith(t, "/sotto/v1/refund", nil, ask)
		if got, refund := readDoc(t, res); res.StatusCode != 409 || got != string(token.RefundRefused) || refund != nil {
			t.Errorf("a refund after an answer: %d %s", res.StatusCode, got)
		}
	}
	var out strings.Builder
	w.gateway.WriteMetrics(&out)
	if !strings.Contains(out.String(), "sotto_gateway_tokens_spent_total 0\n") { // one is fewer than ten
		t.Errorf("%s", &out)
	}
}

// Each thing that can be wrong with a token is said by name, and costs nothing.
func TestTokenRefused(t *testing.T) {
	talk := &talker{words: 1}
	w := newPaidWorld(t, talk)
	today := token.DayOf(time.Now())
	stranger := newBank(t, "sotto", 3, w.store)
	elsewhere := newBank(t, "elsewhere", 0, w.store) // the same keys, for another product
	keys := w.keys(t)
	msg, _ := request(t, keys, "/v1/chat/completions", words)
	other, _ := request(t, keys, "/v1/chat/completions", words)
	tok := w.bank.token(t, today)
	_, blinded := w.bank.refund(t)
	good := fieldsOf(t, tok, msg, blinded)
	with := func(i int, value string) []bhttp.Field {
		f := append([]bhttp.Field{}, good...)
		f[i].Value = value
		return f
	}
	flip := func(i int, at int) []bhttp.Field { // another byte of a decoded field
		v := good[i].Value
		head, b64, tail := "", v, ""
		if i == 0 {
			head, tail = `PrivateToken token="`, `"`
			b64 = strings.TrimSuffix(strings.TrimPrefix(v, head), tail)
		}
		b, err := base64.RawURLEncoding.DecodeString(b64)
		if err != nil {
			t.Fatal(err)
		}
		b[at] ^= 1
		return with(i, head+base64.RawURLEncoding.EncodeToString(b)+tail)
	}
	stored := w.bank.token(t, today).Store()
	stored[len(stored)-1] ^= 1
	forged, err := token.Restore(stored)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		fields []bhttp.Field
		want   token.Failure
	}{
		{"none", nil, token.Missing},
		{"without a holder", good[:1], token.HolderInvalid},
		{"garbage", with(0, "PrivateToken token=\"hello\""), token.Malformed},
		{"of another scheme", with(0, "Bearer x"), token.Malformed},
		{"twice", append([]bhttp.Field{good[0]}, good...), token.Malformed},
		{"many times", append(append(append([]bhttp.Field{}, good...), good...), good...), token.Malformed},
		{"of an unknown key", fieldsOf(t, stranger.token(t, today), msg, nil), token.Foreign},
		{"of another product", fieldsOf(t, elsewhere.token(t, today), msg, nil), token.Foreign},
		{"of yesterday", fieldsOf(t, w.bank.token(t, today-1), msg, nil), token.Expired},
		{"of tomorrow", fieldsOf(t, w.bank.token(t, today+1), msg, nil), token.Future},
		{"whose issuer didn't sign it", fieldsOf(t, forged, msg, nil), token.Invalid},
		{"with a changed signature", flip(0, 353), token.HolderInvalid},
		{"with a changed nonce", flip(0, 10), token.HolderInvalid},
		{"of another holder", with(1, fieldsOf(t, w.bank.token(t, today), msg, blinded)[1].Value), token.HolderInvalid},
		{"on another message", fieldsOf(t, tok, other, blinded), token.HolderInvalid},
		{"with another refund", flip(2, 100), token.HolderInvalid},
		{"with the refund taken out", good[:2], token.HolderInvalid},
		{"with a bad refund", with(2, "x"), token.RefundMalformed},
		{"as a refund's fields", func() []bhttp.Field { f, _ := tok.RefundFields(blinded); return f }(), token.HolderInvalid},
	} {
		res := w.postWith(t, "/sotto/v1/seal", msg, tt.fields)
		got, refund := readDoc(t, res)
		if res.StatusCode != 401 || got != string(tt.want) || refund != nil {
			t.Errorf("%s: %d %s, want %s", tt.name, res.StatusCode, got, tt.want)
		}
		if a := res.Header.Get("WWW-Authenticate"); a != w.bank.challenge.Authenticate(w.bank.private[today].Public()) {
			t.Errorf("%s: WWW-Authenticate: %q", tt.name, a)
		}
		if !res.Close && res.Header.Get("Connection") != "close" {
			t.Errorf("%s: the connection stays", tt.name)
		}
	}
	// What is wrong with the request is said first.
	for name, c := range map[string]struct {
		msg    []byte
		status int
		code   string
	}{
		"not sealed": {[]byte("hello hello"), 400, door.Malformed},
		"cut":        {msg[:len(msg)-1], 400, door.Malformed},
		"too large":  {append([]byte{1, 1, 1, 255, 255, 255, 255}, msg[7:]...), 413, door.TooLarge},
	} {
		if res := w.postWith(t, "/sotto/v1/seal", c.msg, good); res.StatusCode != c.status {
			t.Errorf("%s: %d", name, res.StatusCode)
		} else if got, _ := readDoc(t, res); got != c.code {
			t.Errorf("%s: %s", name, got)
		}
	}
	if n := talk.asked.Load(); n != 0 {
		t.Errorf("a machine was asked %d times", n)
	}
	// After all that, the token is as good as new.
	if res := w.postWith(t, "/sotto/v1/seal", msg, good); res.StatusCode != 200 {
		t.Errorf("the token was spent by what was refused: %d", res.StatusCode)
	}
}

// Clocks may be wrong by minutes at the day's ends; a day's is too much.
func TestClockSkew(t *testing.T) {
	w := newPaidWorld(t, &talker{words: 1})
	today := token.DayOf(time.Now())
	keys := w.keys(t)
	for _, tt := range []struct {
		name string
		now  time.Time
		want token.Failure
	}{
		{"four minutes early", today.Start().Add(-4 * time.Minute), ""},
		{"six minutes early", today.Start().Add(-6 * time.Minute), token.Future},
		{"half an hour late", (today + 1).Start().Add(30 * time.Minute), ""},
		{"over an hour late", (today + 1).Start().Add(61 * time.Minute), token.Expired},
		{"a day behind", today.Start().Add(-12 * time.Hour), token.Future},
		{"a day ahead", today.Start().Add(36 * time.Hour), token.Expired},
	} {
		w.gateway.spending.now = func() time.Time { return tt.now }
		msg, _ := request(t, keys, "/v1/chat/completions", words)
		res := w.postWith(t, "/sotto/v1/seal", msg, fieldsOf(t, w.bank.token(t, today), msg, nil))
		if tt.want == "" {
			if res.StatusCode != 200 {
				t.Errorf("%s: %d", tt.name, res.StatusCode)
			}
			continue
		}
		if got, _ := readDoc(t, res); res.StatusCode != 401 || got != string(tt.want) {
			t.Errorf("%s: %d %s, want %s", tt.name, res.StatusCode, got, tt.want)
		}
	}
	// A gateway that is a day ahead doesn't forget today's tokens.
	tok := w.bank.token(t, today)
	w.gateway.spending.now = time.Now
	msg, _ := request(t, keys, "/v1/chat/completions", words)
	w.postWith(t, "/sotto/v1/seal", msg, fieldsOf(t, tok, msg, nil))
	w.gateway.spending.now = func() time.Time { return time.Now().Add(24 * time.Hour) }
	w.gateway.spending.keepDays(t.Context())
	w.gateway.spending.now = time.Now
	msg, _ = request(t, keys, "/v1/chat/completions", words)
	if got, _ := readDoc(t, w.postWith(t, "/sotto/v1/seal", msg, fieldsOf(t, tok, msg, nil))); got != string(token.Spent) {
		t.Errorf("after a gateway with a fast clock: %s", got)
	}
}

// When no machine answers, the token comes back in the error; the new one is good the
// same day, and nothing in it tells that it belongs to the old one.
func TestRefund(t *testing.T) {
	w := newPaidWorld(t, &talker{words: 1})
	today := token.DayOf(time.Now())
	keys := w.keys(t)
	alive := w.gateway.nodes[0].base
	w.gateway.nodes[0].base = "http://" + deadAddress(t) + "/"
	tok := w.bank.token(t, today)
	msg, _ := request(t, keys, "/v1/chat/completions", words)
	pending, blinded := w.bank.refund(t)
	res := w.postWith(t, "/sotto/v1/seal", msg, fieldsOf(t, tok, msg, blinded))
	got, sig := readDoc(t, res)
	if res.StatusCode != 502 || got != door.NodeUnreachable || sig == nil {
		t.Fatalf("a dead machine: %d %s, refund of %d bytes", res.StatusCode, got, len(sig))
	}
	// Asked again, the same; with another message, none; by somebody else, none.
	ask, _ := tok.RefundFields(blinded)
	for range 2 {
		if _, again := readDoc(t, w.postWith(t, "/sotto/v1/refund", nil, ask)); !bytes.Equal(again, sig) {
			t.Error("the refund is another when it is asked for again")
		}
	}
	if n := w.gateway.spending.refunded.Load(); n != 1 {
		t.Errorf("one refund was signed %d times", n)
	}
	_, second := w.bank.refund(t)
	ask2, _ := tok.RefundFields(second)
	if got, sig := readDoc(t, w.postWith(t, "/sotto/v1/refund", nil, ask2)); got != string(token.RefundRefused) || sig != nil {
		t.Errorf("a second refund: %s", got)
	}
	thief, _ := w.bank.token(t, today).RefundFields(blinded)
	if got, _ := readDoc(t, w.postWith(t, "/sotto/v1/refund", nil, []bhttp.Field{ask[0], thief[1], ask[2]})); got != string(token.HolderInvalid) {
		t.Errorf("somebody else's refund: %s", got)
	}
	spendFields := fieldsOf(t, tok, msg, blinded)
	if got, _ := readDoc(t, w.postWith(t, "/sotto/v1/refund", nil, spendFields)); got != string(token.HolderInvalid) {
		t.Errorf("a spend's fields, seen on the way, as a refund's: %s", got)
	}
	if got, _ := readDoc(t, w.postWith(t, "/sotto/v1/refund", nil, spendFields[:2])); got != string(token.RefundMalformed) {
		t.Errorf("a refund of nothing: %s", got)
	}
	bad := bytes.Repeat([]byte{255}, token.BlindedSize) // no number below the modulus
	ask3, _ := w.bank.token(t, today).RefundFields(bad)
	if got, _ := readDoc(t, w.postWith(t, "/sotto/v1/refund", nil, ask3)); got != string(token.RefundMalformed) {
		t.Errorf("a refund that can't be signed: %s", got)
	}

	fresh, err := pending.Finish(sig)
	if err != nil {
		t.Fatal(err)
	}
	a, b := tok.Marshal(), fresh.Marshal()
	if bytes.Equal(a[2:34], b[2:34]) || bytes.Equal(a[66:98], b[66:98]) || !bytes.Equal(a[34:66], b[34:66]) {
		t.Error("the refund has the old one's nonce or key, or another challenge")
	}
	w.gateway.nodes[0].base = alive
	w.gateway.poll(t.Context())
	msg, ex := request(t, keys, "/v1/chat/completions", words)
	res = w.postWith(t, "/sotto/v1/seal", msg, fieldsOf(t, fresh, msg, nil))
	if res.StatusCode != 200 {
		t.Fatalf("the refund buys nothing: %d", res.StatusCode)
	}
	read(t, ex, res.Body)
	if got, _ := readDoc(t, w.postWith(t, "/sotto/v1/seal", msg, fieldsOf(t, fresh, msg, nil))); got != string(token.Spent) {
		t.Errorf("the refund twice: %s", got)
	}

	// A machine that refuses by itself, and a gateway that has to say "busy", which to a
	// client means that the token is unspent: not unless there is a refund.
	w.gateway.nodes[0].busy.Store(int64(w.gateway.cfg.Limits.PerNode))
	msg, _ = request(t, keys, "/v1/chat/completions", words)
	tok = w.bank.token(t, today)
	res = w.postWith(t, "/sotto/v1/seal", msg, fieldsOf(t, tok, msg, nil))
	if got, _ := readDoc(t, res); res.StatusCode != 500 || got != door.Failed {
		t.Errorf("busy without a refund: %d %s", res.StatusCode, got)
	}
	msg, _ = request(t, keys, "/v1/chat/completions", words)
	_, blinded = w.bank.refund(t)
	tok = w.bank.token(t, today)
	res = w.postWith(t, "/sotto/v1/seal", msg, fieldsOf(t, tok, msg, blinded))
	if got, refund := readDoc(t, res); res.StatusCode != 503 || got != door.Busy || refund == nil {
		t.Errorf("busy with a refund: %d %s", res.StatusCode, got)
	}
	w.gateway.nodes[0].busy.Store(0)

	// A key for refunds that isn't published signs nothing: nobody would take it.
	w.bank.keys.mu.Lock()
	k := w.bank.keys.days[today]
	w.bank.keys.days[today] = [2][]byte{k[0], nil}
	w.bank.keys.mu.Unlock()
	w.gateway.spending.ring.Store(nil)
	ask, _ = w.bank.token(t, today).RefundFields(blinded)
	if got, refund := readDoc(t, w.postWith(t, "/sotto/v1/refund", nil, ask)); refund != nil || got != string(token.RefundRefused) {
		t.Errorf("a refund by a key that nobody has seen: %s", got)
	}
}

// deadAddress is one where nothing listens.
func deadAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// stubNode is a node as far as a gateway's connection goes: it answers when told.
func stubNode(t testing.TB, w *paidWorld, handle http.HandlerFunc) {
	t.Helper()
	s := httptest.NewServer(handle)
	t.Cleanup(s.Close)
	w.gateway.nodes[0].base = s.URL + "/"
}

// A gateway that dies between the spend and the answer leaves a token that another
// gateway gives back, once it is sure that the first is dead.
func TestCrash(t *testing.T) {
	w := newPaidWorld(t, &talker{words: 1})
	today := token.DayOf(time.Now())
	keys := w.keys(t)
	arrived, hold := make(chan struct{}), make(chan struct{})
	defer close(hold)
	stubNode(t, w, func(rw http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		close(arrived)
		<-hold
		panic(http.ErrAbortHandler)
	})
	other := newWorld(t, func(c *Config) {
		c.Nodes = []string{w.nodes[0].URL}
		c.Issuers, c.Spent = []Issuer{w.bank.issuer()}, openSpent(t, w.file)
	})
	tok := w.bank.token(t, today)
	msg, _ := request(t, keys, "/v1/chat/completions", words)
	pending, blinded := w.bank.refund(t)
	req, _ := http.NewRequest("POST", w.url+"/sotto/v1/seal", bytes.NewReader(msg))
	req.Header.Set("Content-Type", envelope.RequestType)
	for _, f := range fieldsOf(t, tok, msg, blinded) {
		req.Header.Set(f.Name, f.Value)
	}
	go http.DefaultClient.Do(req)
	<-arrived
	ask, _ := tok.RefundFields(blinded)
	for name, at := range map[string]*world{"the same gateway": w.world, "another": other} {
		res := at.postWith(t, "/sotto/v1/refund", nil, ask)
		if got, _ := readDoc(t, res); res.StatusCode != 503 || got != door.Busy || res.Header.Get("Retry-After") == "" {
			t.Errorf("a refund while the answer may come, at %s: %d %s", name, res.StatusCode, got)
		}
	}
	// What a crash leaves is in the file, and the first gateway says no more that it lives.
	forgetRuns(t, w.file)
	_, sig := readDoc(t, other.postWith(t, "/sotto/v1/refund", nil, ask))
	if _, err := pending.Finish(sig); err != nil {
		t.Errorf("no refund after a crash: %v", err)
	}
}

// A client that goes away before an answer gets a refund only if the machine hasn't
// taken the request: else it could fetch the answer from there.
func TestGone(t *testing.T) {
	for _, takes := range []bool{true, false} {
		w := newPaidWorld(t, &talker{words: 1})
		today := token.DayOf(time.Now())
		keys := w.keys(t)
		arrived, hold := make(chan struct{}), make(chan struct{})
		stubNode(t, w, func(rw http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			close(arrived)
			<-hold
			if takes {
				rw.Header().Set("Content-Type", envelope.AnswerType)
				rw.Write([]byte("an answer"))
			} else {
				panic(http.ErrAbortHandler)
			}
		})
		tok := w.bank.token(t, today)
		msg, _ := request(t, keys, "/v1/chat/completions", words)
		_, blinded := w.bank.refund(t)
		ctx, leave := context.WithCancel(t.Context())
		req, _ := http.NewRequestWithContext(ctx, "POST", w.url+"/sotto/v1/seal", bytes.NewReader(msg))
		req.Header.Set("Content-Type", envelope.RequestType)
		for _, f := range fieldsOf(t, tok, msg, blinded) {
			req.Header.Set(f.Name, f.Value)
		}
		go http.DefaultClient.Do(req)
		<-arrived
		leave()
		ask, _ := tok.RefundFields(blinded)
		time.Sleep(20 * time.Millisecond) // for the gateway to notice
		close(hold)
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(2 * time.Millisecond) {
			res := w.postWith(t, "/sotto/v1/refund", nil, ask)
			got, refund := readDoc(t, res)
			if got == door.Busy && time.Now().Before(deadline) {
				continue
			}
			if takes && (refund != nil || got != string(token.RefundRefused)) || !takes && refund == nil {
				t.Errorf("the machine took it: %v; %d %s", takes, res.StatusCode, got)
			}
			break
		}
	}
}

// Products have keys, limits and counts of their own.
func TestProducts(t *testing.T) {
	store := openSpent(t, filepath.Join(t.TempDir(), "spent.db"))
	own, guest := newBank(t, "sotto", 0, store), newBank(t, "other", 3, store)
	limited := guest.issuer()
	limited.Limits = IssuerLimits{PerDay: 3, PerHour: 2}
	w := newWorld(t, func(c *Config) { c.Issuers, c.Spent = []Issuer{own.issuer(), limited}, store }, &talker{words: 1})
	now := token.DayOf(time.Now()).Start().Add(12 * time.Hour)
	w.gateway.spending.now = func() time.Time { return now }
	keys := w.keys(t)
	today := token.DayOf(now)
	spend := func(b *bank) (int, string, string) {
		msg, _ := request(t, keys, "/v1/chat/completions", words)
		res := w.postWith(t, "/sotto/v1/seal", msg, fieldsOf(t, b.token(t, today), msg, nil))
		if res.StatusCode == 200 {
			return 200, "", ""
		}
		got, _ := readDoc(t, res)
		return res.StatusCode, got, res.Header.Get("Retry-After")
	}
	for i, want := range []int{200, 200, 503} {
		if status, got, after := spend(guest); status != want || want == 503 && (got != door.Busy || after != "3600") {
			t.Errorf("token %d: %d %s %s", i, status, got, after)
		}
	}
	now = now.Add(time.Hour)
	for i, want := range []int{200, 503} {
		if status, _, _ := spend(guest); status != want {
			t.Errorf("in the next hour, token %d: %d", i, status)
		}
	}
	now = now.Add(time.Hour)
	if status, _, _ := spend(guest); status != 503 {
		t.Errorf("more in a day than the limit: %d", status)
	}
	for range 5 {
		if status, _, _ := spend(own); status != 200 {
			t.Errorf("another product's limit bites: %d", status)
		}
	}
	// What other gateways spent counts too, after a while.
	if err := store.Spend(t.Context(), today, [32]byte{7}, "other"); err != nil {
		t.Fatal(err)
	}
	w.gateway.spending.count(t.Context())
	if n := w.gateway.spending.product("other").day.n; n != 4 {
		t.Errorf("%d tokens of the day are counted, want 4", n)
	}

	// A token that is refused or spent before doesn't count.
	msg, _ := request(t, keys, "/v1/chat/completions", words)
	tok := own.token(t, today)
	for range 3 {
		w.postWith(t, "/sotto/v1/seal", msg, fieldsOf(t, tok, msg, nil))
	}
	if n := w.gateway.spending.product("sotto").day.n; n != 6 {
		t.Errorf("%d tokens are counted, want 6", n)
	}

	about := func(query string) (status int, doc struct {
		V      int
		Refund []struct {
			Day string
			Key []byte
		}
		OHTTP []string
	}) {
		res, err := http.Get(w.url + "/sotto/v1/gateway" + query)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if err := json.NewDecoder(res.Body).Decode(&doc); err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, doc
	}
	for query, b := range map[string]*bank{"": own, "?product=sotto": own, "?product=other": guest} {
		status, doc := about(query)
		if status != 200 || doc.V != 1 || len(doc.Refund) != 2 || doc.OHTTP == nil || doc.Refund[0].Day != today.String() || doc.Refund[1].Day != (today+1).String() || !bytes.Equal(doc.Refund[0].Key, b.keys.days[today][1]) {
			t.Errorf("%q: %d %+v", query, status, doc)
		}
	}
	if status, _ := about("?product=nobody"); status != 404 {
		t.Errorf("an unknown product: %d", status)
	}
}

// A control request is small, costs nothing, and goes to a path of its own.
func TestControl(t *testing.T) {
	w := newPaidWorld(t, &talker{words: 1})
	keys := w.keys(t)
	var path atomic.Value
	stubNode(t, w, func(rw http.ResponseWriter, r *http.Request) {
		path.Store(r.URL.Path)
		rw.Header().Set("Content-Type", envelope.AnswerType)
		io.WriteString(rw, "sealed")
	})
	msg, _ := request(t, keys, "/sotto/v1/cancel", `{}`)
	if res := w.postWith(t, "/sotto/v1/control", msg, nil); res.StatusCode != 200 || path.Load() != "/sotto/v1/control" {
		t.Errorf("%d at %v", res.StatusCode, path.Load())
	}
	large, _ := request(t, keys, "/v1/chat/completions", strings.Repeat("x", 20<<10))
	if res := w.postWith(t, "/sotto/v1/control", large, nil); res.StatusCode != 413 {
		t.Errorf("a large one: %d", res.StatusCode)
	}
}

func TestIssuersRefused(t *testing.T) {
	store := openSpent(t, filepath.Join(t.TempDir(), "spent.db"))
	good := newBank(t, "sotto", 0, store).issuer()
	change := func(f func(*Issuer)) []Issuer {
		i := good
		f(&i)
		return []Issuer{i}
	}
	for name, c := range map[string]Config{
		"no store":    {Issuers: []Issuer{good}},
		"twice":       {Issuers: []Issuer{good, good}, Spent: store},
		"no product":  {Issuers: change(func(i *Issuer) { i.Product = "" }), Spent: store},
		"a bad name":  {Issuers: change(func(i *Issuer) { i.Name = "Tokens!" }), Spent: store},
		"no keys":     {Issuers: change(func(i *Issuer) { i.Keys = nil }), Spent: store},
		"below 0":     {Issuers: change(func(i *Issuer) { i.Limits.PerDay = -1 }), Spent: store},
		"below 0 too": {Issuers: change(func(i *Issuer) { i.Limits.PerHour = -1 }), Spent: store},
		"too many":    {Issuers: make([]Issuer, maxIssuers+1), Spent: store},
	} {
		c.Nodes = []string{"http://127.0.0.1:1"}
		if _, err := New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// A key of two days or two products would make a token good for both.
func TestKeyRing(t *testing.T) {
	store := openSpent(t, filepath.Join(t.TempDir(), "spent.db"))
	b := newBank(t, "sotto", 0, store)
	today := token.DayOf(time.Now())
	same := b.private[today].Public().SPKI()
	b.keys.days[today+1] = [2][]byte{same, nil}
	b.keys.days[today-1] = [2][]byte{[]byte("not a key"), same[:10]}
	s, err := newSpending([]Issuer{b.issuer()}, store, lines.To(nil))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	s.now = func() time.Time { return now }
	for range 3 {
		if k := s.find(b.private[today].Public().ID()); k.of != nil {
			t.Error("a key of two days is taken")
		}
		now = now.Add(2 * missEvery)
	}
	// A key that is published later is found, and strangers don't make the gateway look
	// more than once a second.
	id := signers()[5].Public().ID()
	b.keys.mu.Lock()
	b.keys.days[today+1] = [2][]byte{signers()[5].Public().SPKI(), nil}
	b.keys.mu.Unlock()
	made := s.look().made
	if k := s.find([32]byte{1}); k.of != nil || s.ring.Load().made != made {
		t.Error("it looks again at once")
	}
	now = now.Add(2 * missEvery)
	if k := s.find(id); k.of == nil || k.day != today+1 {
		t.Error("a new key isn't found")
	}
	if k := s.find(b.private[today].Public().ID()); k.of == nil || k.day != today {
		t.Error("a key that is of one day again isn't found")
	}
}

// FuzzFields gives the gateway any fields: it says no, by a name of the list, and
// spends nothing.
func FuzzFields(f *testing.F) {
	store := openSpent(f, filepath.Join(f.TempDir(), "spent.db"))
	b := newBank(f, "sotto", 0, store)
	g, err := New(Config{Nodes: []string{"http://127.0.0.1:1"}, Issuers: []Issuer{b.issuer()}, Spent: store})
	if err != nil {
		f.Fatal(err)
	}
	private, err := seal.GenerateKey()
	if err != nil {
		f.Fatal(err)
	}
	msg, _ := request(f, []seal.Recipient{{ID: seal.KeyID{1}, PublicKey: private.PublicKey()}}, "/", "")
	today := token.DayOf(time.Now())
	_, blinded := b.refund(f)
	good := fieldsOf(f, b.token(f, today), msg, blinded)
	f.Add(good[0].Value, good[1].Value, good[2].Value, "")
	f.Add(good[0].Value, good[1].Value, good[2].Value, good[0].Value)
	f.Add(good[0].Value, good[1].Value, "", "")
	f.Add("PrivateToken token=\"\"", "", "", "")
	f.Add("Bearer x", "AA", "AA", "")
	known := map[string]bool{}
	for _, name := range token.Failures {
		known[string(name)] = true
	}
	f.Fuzz(func(t *testing.T, a, h, r, twice string) {
		if a == good[0].Value && h == good[1].Value && r == good[2].Value && twice == "" {
			return
		}
		for _, path := range []string{"/sotto/v1/seal", "/sotto/v1/refund"} {
			req := httptest.NewRequest("POST", path, bytes.NewReader(msg))
			req.Header.Set("Content-Type", envelope.RequestType)
			for name, v := range map[string]string{token.FieldToken: a, token.FieldHolder: h, token.FieldRefund: r} {
				if v != "" {
					req.Header.Set(name, v)
				}
			}
			if twice != "" {
				req.Header.Add(token.FieldToken, twice)
			}
			w := httptest.NewRecorder()
			g.Handler().ServeHTTP(w, req)
			var doc struct{ Error struct{ Code string } }
			if json.Unmarshal(w.Body.Bytes(), &doc) != nil || w.Code != 401 || !known[doc.Error.Code] {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
		}
	})
}

// noStore spends everything and keeps nothing.
type noStore struct{ *spent.Store }

func (noStore) Spend(context.Context, token.Day, [32]byte, string) error { return nil }
func (noStore) Answered(token.Day, [32]byte, string)                     {}
func (noStore) Failed(token.Day, [32]byte, string)                       {}

// BenchmarkToken is what a token costs a gateway's processor, without the store.
func BenchmarkToken(b *testing.B) {
	store := openSpent(b, filepath.Join(b.TempDir(), "spent.db"))
	bank := newBank(b, "sotto", 0, store)
	g, err := New(Config{Nodes: []string{"http://127.0.0.1:1"}, Issuers: []Issuer{bank.issuer()}, Spent: noStore{store}})
	if err != nil {
		b.Fatal(err)
	}
	private, err := seal.GenerateKey()
	if err != nil {
		b.Fatal(err)
	}
	msg, _ := request(b, []seal.Recipient{{ID: seal.KeyID{1}, PublicKey: private.PublicKey()}, {ID: seal.KeyID{2}, PublicKey: private.PublicKey()}, {ID: seal.KeyID{3}, PublicKey: private.PublicKey()}}, "/", "")
	_, blinded := bank.refund(b)
	raw, _, err := envelope.Read(bytes.NewReader(msg))
	if err != nil {
		b.Fatal(err)
	}
	req := httptest.NewRequest("POST", "/sotto/v1/seal", nil)
	for _, f := range fieldsOf(b, bank.token(b, token.DayOf(time.Now())), msg, blinded) {
		req.Header.Set(f.Name, f.Value)
	}
	w := httptest.NewRecorder()
	before := processor(b)
	for b.Loop() {
		if g.pay(w, req, raw) == nil {
			b.Fatal(w.Body)
		}
	}
	b.ReportMetric(float64(processor(b)-before)/float64(b.N), "cpu-ns/op")
}

// processor is the processor's time that this process has had, which other work on
// the machine doesn't add to.
func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkRefund is what a refund costs a gateway's processor, with the store.
func BenchmarkRefund(b *testing.B) {
	store := openSpent(b, filepath.Join(b.TempDir(), "spent.db"))
	bank := newBank(b, "sotto", 0, store)
	g, err := New(Config{Nodes: []string{"http://127.0.0.1:1"}, Issuers: []Issuer{bank.issuer()}, Spent: store})
	if err != nil {
		b.Fatal(err)
	}
	_, blinded := bank.refund(b)
	give := func(n int) {
		var id [32]byte
		binary.BigEndian.PutUint64(id[:], uint64(n))
		if _, err := g.spending.giveRefund(b.Context(), g.spending.issuers[0], token.DayOf(time.Now()), id, blinded); err != nil {
			b.Fatal(err)
		}
	}
	give(0) // fetches the key
	n, before := 0, processor(b)
	for b.Loop() {
		n++
		give(n)
	}
	b.ReportMetric(float64(processor(b)-before)/float64(b.N), "cpu-ns/op")
}

// forgetRuns makes all gateways that use a store look dead.
func forgetRuns(t testing.TB, file string) {
	t.Helper()
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(`UPDATE runs SET seen = seen - 60`); err != nil {
		t.Fatal(err)
	}
}
