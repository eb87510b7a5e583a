// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/account"
	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/gateway"
	"github.com/sotto-chat/sotto/ohttp"
	"github.com/sotto-chat/sotto/relay"
	"github.com/sotto-chat/sotto/seal/bhttp"
	"github.com/sotto-chat/sotto/seal/envelope"
	"github.com/sotto-chat/sotto/store"
	"github.com/sotto-chat/sotto/store/spent"
	"github.com/sotto-chat/sotto/token"
	"github.com/sotto-chat/sotto/token/wallet"
	"github.com/sotto-chat/sotto/vault"
)

// weak is what a world does worse than it should, for an adversary that has to win
// then.
type weak struct {
	atNeed    bool // a token is fetched when a message needs one
	unblinded bool // the issuer is told, beside the blinded message, which token it is for
	idInLog   bool // a gateway's log line names the account, or what paid for it
	history   bool // a message is stored at the account as soon as it is answered
}

// event is something that the account sees of a person.
type event struct {
	at     time.Time
	person int
	kind   string // open, close, fetch, feed
	n      int    // tokens
}

// message is something that the gateway sees, and who sent it, which it doesn't.
type message struct {
	at     time.Time
	bytes  []byte // fields and sealed bytes, as they come out of the encapsulation
	sender int
}

// day is what was seen on one day, and what the adversary holds.
type day struct {
	mu       sync.Mutex
	people   int
	events   []event
	messages []message
	ofPerson [][]byte // what the account has of each person: their requests and answers
	atGate   []byte   // logs, tables and packets of the gateway
	atHome   []byte   // logs, tables and packets of the account
	fails    []error
}

// wires are connections in memory, so that they can be written down and a day takes
// seconds.
type wires struct {
	mu    sync.Mutex
	doors map[string]chan net.Conn
	ended chan struct{}
	tape  map[string]*bytes.Buffer // what went over the wires to a host
}

func (w *wires) listen(host string) net.Listener {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.doors[host] = make(chan net.Conn)
	w.tape[host] = &bytes.Buffer{}
	return &listener{w, host, make(chan struct{}), sync.Once{}}
}

func (w *wires) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	door := w.doors[host]
	w.mu.Unlock()
	near, far := net.Pipe()
	select {
	case door <- &taped{far, w, host}:
		return near, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-w.ended:
		return nil, net.ErrClosed
	}
}

// taped writes down what goes through a connection, both ways.
type taped struct {
	net.Conn
	w    *wires
	host string
}

func (t *taped) write(b []byte) {
	t.w.mu.Lock()
	defer t.w.mu.Unlock()
	t.w.tape[t.host].Write(b)
}

func (t *taped) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	t.write(b[:n])
	return n, err
}

func (t *taped) Write(b []byte) (int, error) {
	t.write(b)
	return t.Conn.Write(b)
}

type listener struct {
	w      *wires
	host   string
	closed chan struct{}
	once   sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.w.doors[l.host]:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l *listener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *listener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 80} }

// published is the key log, as far as gateway and wallets need it.
type published map[token.Day]token.PublicKey

func (p published) Day(d token.Day) (issue, refund []byte, err error) {
	k, ok := p[d]
	if !ok {
		return nil, nil, errors.New("no such day")
	}
	return k.SPKI(), nil, nil
}

// keyConfig is that of the one machine, which answers anything.
var keyConfig = []byte(`{"node":"000102030405060708090a0b0c0d0e0f"}`)

func machine() http.Handler {
	doc, _ := json.Marshal(map[string]any{"v": 1, "bundles": [][]byte{
		[]byte(`{"key_config":"` + base64.StdEncoding.EncodeToString(keyConfig) + `"}`),
	}})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "GET" {
			w.Write(doc)
			return
		}
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", envelope.AnswerType)
		w.Write(make([]byte, 2048))
	})
}

// sealed is a message as a gateway can tell it from others: a header that names a
// key, and bytes that tell nothing.
func sealed(n int) []byte {
	id := sha256.Sum256(append([]byte("sotto/1 key id\x00"), keyConfig...))
	size := envelope.PaddedSize(n)
	b := []byte{envelope.Version, envelope.Suite, 1}
	b = binary.BigEndian.AppendUint32(b, uint32(size))
	b = append(b, id[:envelope.KeyIDSize]...)
	rest := make([]byte, envelope.EncSize+envelope.WrapSize+size+(size+envelope.ChunkSize-1)/envelope.ChunkSize*envelope.TagSize)
	rand.Read(rest)
	return append(b, rest...)
}

// memory is a wallet's place on a device.
type memory struct{ b []byte }

func (m *memory) Load() ([]byte, error) { return m.b, nil }
func (m *memory) Save(b []byte) error   { m.b = bytes.Clone(b); return nil }

// overWire is a client.Transport to a host of the wires.
type overWire struct {
	base string
	http *http.Transport
	also http.Header
}

func (o overWire) RoundTrip(ctx context.Context, r *client.Request) (*client.Response, error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, o.base+r.Path, bytes.NewReader(r.Body))
	if err != nil {
		return nil, err
	}
	req.Header = o.also.Clone()
	if req.Header == nil {
		req.Header = http.Header{}
	}
	req.Header["User-Agent"] = nil
	if r.ContentType != "" {
		req.Header.Set("Content-Type", r.ContentType)
	}
	res, err := o.http.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	return &client.Response{Status: res.StatusCode, ContentType: res.Header.Get("Content-Type"), Body: res.Body}, nil
}

// gatekeeper writes down what comes out of the encapsulation: the adversary has the
// gateway's keys.
type gatekeeper struct {
	d      *day
	sender int
	next   client.Transport
}

func (g gatekeeper) RoundTrip(ctx context.Context, r *client.Request) (*client.Response, error) {
	if r.Method == "POST" {
		g.d.mu.Lock()
		g.d.messages = append(g.d.messages, message{time.Now(), plain(r), g.sender})
		g.d.mu.Unlock()
	}
	return g.next.RoundTrip(ctx, r)
}

func plain(r *client.Request) []byte {
	var b bytes.Buffer
	for _, f := range r.Header {
		fmt.Fprintf(&b, "%s: %s\n", f.Name, f.Value)
	}
	b.Write(r.Body)
	return b.Bytes()
}

const issuerName, productName = "tokens.sotto.example", "sotto"

// live has people use the service for a day. It runs in a bubble of testing/synctest.
func live(t *testing.T, people int, how weak) *day {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	dir := t.TempDir()
	d := &day{people: people, ofPerson: make([][]byte, people)}
	w := &wires{doors: map[string]chan net.Conn{}, tape: map[string]*bytes.Buffer{}, ended: make(chan struct{})}
	var atHome, atGate locked
	debug := func(b *locked) *slog.Logger {
		return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	db, err := store.Open(ctx, filepath.Join(dir, "account.db"))
	must(err)
	acc, err := account.New(account.Config{Store: db, Origin: "https://chat.example", Logger: debug(&atHome), Tokens: &account.Tokens{Issuer: issuerName}})
	must(err)
	today := token.DayOf(time.Now())
	keys := published{}
	for i, day := range []token.Day{today, today + 1} {
		// Made once for all days of all tests: an RSA key takes long.
		_, err := db.AddIssuerKey(ctx, store.Day(day), issuerKeys()[i])
		must(err)
		spki, err := acc.IssuerKey(ctx, day)
		must(err)
		if keys[day], err = token.ParsePublicKey(spki); err != nil {
			t.Fatal(err)
		}
	}
	paid, err := spent.Open(ctx, "sqlite:"+filepath.Join(dir, "spent.db"))
	must(err)
	gateLog := debug(&atGate)
	g, err := gateway.New(gateway.Config{
		Nodes: []string{"http://machine"}, Logger: gateLog, OHTTP: []ohttp.Seed{{7}}, Spent: paid, Dial: w.dial, PollEvery: time.Hour,
		Issuers: []gateway.Issuer{{Product: productName, Name: issuerName, Keys: keys}},
	})
	must(err)
	r, err := relay.New(relay.Config{Gateway: "http://gateway", Logger: slog.New(slog.DiscardHandler), Dial: w.dial})
	must(err)
	var servers []*http.Server
	var serving sync.WaitGroup
	for host, h := range map[string]http.Handler{"machine": machine(), "gateway": g.Handler(), "relay": r.Handler(), "account": acc.Handler()} {
		s := &http.Server{Handler: h, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
		l := w.listen(host)
		servers = append(servers, s)
		serving.Go(func() { s.Serve(l) })
	}
	serving.Go(func() { g.Run(ctx) })

	// The same people on each run, as far as it is in our hands.
	chance := mathrand.New(mathrand.NewPCG(1, 2))
	var all sync.WaitGroup
	for i := range people {
		p := newPerson(t, d, w, db, keys, i, how, gateLog)
		busy := 1 + chance.Float64()*3 // messages in half an hour
		var opens []visit
		at := time.Duration(chance.Float64() * float64(5*time.Hour))
		for at < 21*time.Hour {
			v := visit{opens: at, lasts: 20*time.Minute + time.Duration(chance.ExpFloat64()*float64(70*time.Minute))}
			v.lasts = min(v.lasts, 3*time.Hour)
			for s := time.Duration(chance.ExpFloat64() * float64(30*time.Minute) / busy); s < v.lasts; s += time.Duration(chance.ExpFloat64() * float64(30*time.Minute) / busy) {
				v.asks = append(v.asks, s)
				v.sizes = append(v.sizes, 200+int(chance.ExpFloat64()*1500))
			}
			opens = append(opens, v)
			at += v.lasts + time.Hour + time.Duration(chance.ExpFloat64()*float64(5*time.Hour))
		}
		all.Go(func() { p.live(ctx, opens) })
	}
	all.Wait()
	cancel()
	acc.Close()
	r.Close()
	close(w.ended)
	for _, s := range servers {
		s.Close()
	}
	serving.Wait()
	must(paid.Close())
	must(db.Close())
	home, gate := []string{"account.db", "account.db-wal"}, []string{"spent.db", "spent.db-wal"}
	for i, names := range [][]string{home, gate} {
		for _, name := range names {
			b, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			if i == 0 {
				d.atHome = append(d.atHome, b...)
			} else {
				d.atGate = append(d.atGate, b...)
			}
		}
	}
	d.atHome = slices.Concat(d.atHome, atHome.b, w.tape["account"].Bytes())
	d.atGate = slices.Concat(d.atGate, atGate.b, w.tape["gateway"].Bytes(), w.tape["machine"].Bytes())
	for _, err := range d.fails {
		t.Error(err)
	}
	return d
}

// locked is a buffer for several writers.
type locked struct {
	mu sync.Mutex
	b  []byte
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b = append(l.b, b...)
	return len(b), nil
}

var issuerKeys = sync.OnceValue(func() (keys [2][]byte) {
	for i := range keys {
		k, err := token.NewKey(rand.Reader)
		if err != nil {
			panic(err)
		}
		if keys[i], err = k.PKCS8(); err != nil {
			panic(err)
		}
	}
	return keys
})

// visit is a time in which a person has the app open.
type visit struct {
	opens, lasts time.Duration
	asks         []time.Duration // after opens
	sizes        []int
}

// person is one who has an account, and a device.
type person struct {
	d       *day
	i       int
	how     weak
	home    overWire
	gate    client.Transport
	wallet  wallet.Config
	id      string
	paid    string // what names the payment, "" where nothing was paid
	keys    published
	gateLog *slog.Logger
	began   time.Time
}

func newPerson(t *testing.T, d *day, w *wires, db *store.DB, keys published, i int, how weak, gateLog *slog.Logger) *person {
	t.Helper()
	id, session, secret := vault.NewAccountID(), vault.NewRecordID(), make([]byte, 32)
	rand.Read(secret)
	passkey := make([]byte, 32)
	rand.Read(passkey)
	today, root := store.DayOf(time.Now()), vault.NewRootKey()
	byPasskey, err := vault.WrapPasskey(root, id, passkey, secret)
	if err != nil {
		t.Fatal(err)
	}
	byKit, err := vault.WrapRecovery(root, id, vault.NewRecoveryKey())
	if err != nil {
		t.Fatal(err)
	}
	d.ofPerson[i] = slices.Concat([]byte(id.String()), id[:], session[:], secret, passkey, byPasskey.Data, byKit.Data)
	err = db.CreateAccount(t.Context(), id, store.Passkey{ID: passkey, PublicKey: passkey, Created: today, Used: today}, []vault.Wrap{byPasskey, byKit},
		store.NewSession{ID: session, Hash: sha256.Sum256(secret), Kind: store.Browser, Day: today})
	if err != nil {
		t.Fatal(err)
	}
	known, name := pay(t, db, id, i, today)
	d.ofPerson[i] = append(d.ofPerson[i], known...)
	p := &person{d: d, i: i, how: how, id: id.String(), paid: name, keys: keys, gateLog: gateLog, began: time.Now()}
	plainHTTP := func() *http.Transport {
		return &http.Transport{DialContext: w.dial, DisableCompression: true, DisableKeepAlives: true}
	}
	p.home = overWire{"http://account/api/v1", plainHTTP(), http.Header{"Authorization": {"Sotto " + base64.RawURLEncoding.EncodeToString(secret)}}}
	p.gate = gatekeeper{d, i, client.NewOblivious(overWire{"http://relay", plainHTTP(), nil}, nil)}
	p.wallet = wallet.Config{
		Store: &memory{}, Challenge: token.Challenge{Issuer: issuerName, Product: productName},
		Keys: func(_ context.Context, day token.Day) (wallet.DayKeys, error) {
			k, ok := keys[day]
			if !ok {
				return wallet.DayKeys{}, wallet.ErrDayUnknown
			}
			return wallet.DayKeys{Issue: k}, nil
		},
		Issue: p.issue,
	}
	rand.Read(p.wallet.Key[:])
	return p
}

// pay pays for every third person by card, and for every third by voucher. It returns
// all that the account server, and whoever took the money, know of it, and what names
// the payment.
func pay(t *testing.T, db *store.DB, account vault.AccountID, i int, today store.Day) (known []byte, name string) {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	var b [32]byte
	rand.Read(b[:])
	switch i % 3 {
	case 1:
		customer := "cus_" + hex.EncodeToString(b[:8])
		_, err := db.NewCustomer(ctx, account, [16]byte(b[16:]))
		must(err)
		must(db.SetCustomer(ctx, account, customer, ""))
		must(db.SetCard(ctx, account, today+30, "active"))
		return slices.Concat([]byte(customer), b[16:], []byte(hex.EncodeToString(b[16:]))), customer
	case 2:
		must(db.AddVouchers(ctx, []store.Voucher{{Hash: b, Days: 30, Expires: today + 30}}))
		must(db.Redeem(ctx, account, b, today))
		name := hex.EncodeToString(b[:])
		return slices.Concat(b[:], []byte(name)), name
	}
	return nil, ""
}

// ask asks the account, and writes down what the account then has of the person.
func (p *person) ask(ctx context.Context, kind string, n int, r *client.Request) ([]byte, error) {
	p.d.mu.Lock()
	p.d.events = append(p.d.events, event{time.Now(), p.i, kind, n})
	p.d.mu.Unlock()
	res, err := p.home.RoundTrip(ctx, r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	p.d.mu.Lock()
	p.d.ofPerson[p.i] = slices.Concat(p.d.ofPerson[p.i], r.Body, b)
	p.d.mu.Unlock()
	if err == nil && res.Status != 200 {
		err = fmt.Errorf("%s: status %d: %s", r.Path, res.Status, b)
	}
	return b, err
}

func (p *person) issue(ctx context.Context, day token.Day, blinded [][]byte) (wallet.Issued, error) {
	body, err := json.Marshal(map[string]any{"day": day.String(), "blinded": blinded})
	if err != nil {
		return wallet.Issued{}, err
	}
	b, err := p.ask(ctx, "fetch", len(blinded), &client.Request{Method: "POST", Path: "/tokens", ContentType: "application/json", Body: body})
	if err != nil {
		if strings.Contains(err.Error(), "status 429") {
			err = &wallet.ErrNoneLeft{}
		}
		return wallet.Issued{}, err
	}
	var got struct {
		Signed    [][]byte
		Allowance struct {
			Plan    string
			PerDay  int `json:"per_day"`
			Issued  int
			PerHour int `json:"per_hour"`
			Resets  int64
		}
	}
	if err := json.Unmarshal(b, &got); err != nil {
		return wallet.Issued{}, err
	}
	return wallet.Issued{Signatures: got.Signed, Allowance: wallet.Allowance(got.Allowance)}, nil
}

func (p *person) fail(err error) {
	p.d.mu.Lock()
	p.d.fails = append(p.d.fails, fmt.Errorf("person %d: %w", p.i, err))
	p.d.mu.Unlock()
}

// live is a person's day.
func (p *person) live(ctx context.Context, visits []visit) {
	left := 11
	for _, v := range visits {
		time.Sleep(time.Until(p.began.Add(v.opens)))
		if _, err := p.ask(ctx, "open", 0, &client.Request{Method: "GET", Path: "/session"}); err != nil {
			p.fail(err)
		}
		w, err := wallet.New(p.wallet)
		if err != nil {
			p.fail(err)
			return
		}
		open, leave := context.WithCancel(ctx)
		var running sync.WaitGroup
		if !p.how.atNeed && !p.how.unblinded {
			running.Go(func() { w.Run(open) })
		}
		for i, at := range v.asks {
			if left == 0 {
				break
			}
			left--
			time.Sleep(time.Until(p.began.Add(v.opens + at)))
			if err := p.send(ctx, w, sealed(v.sizes[i])); err != nil {
				p.fail(err)
			}
		}
		time.Sleep(time.Until(p.began.Add(v.opens + v.lasts)))
		leave()
		running.Wait()
		p.d.mu.Lock()
		p.d.events = append(p.d.events, event{time.Now(), p.i, "close", 0})
		p.d.mu.Unlock()
	}
}

// send pays for a message and sends it.
func (p *person) send(ctx context.Context, w *wallet.Wallet, msg []byte) error {
	fields, settle, err := p.pay(ctx, w, msg)
	if err != nil {
		return err
	}
	if p.how.idInLog {
		p.gateLog.Debug("a message came", "account", cmp.Or(p.paid, p.id))
	}
	res, err := p.gate.RoundTrip(ctx, &client.Request{Method: "POST", Path: "/sotto/v1/seal", ContentType: envelope.RequestType, Body: msg, Header: fields})
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err == nil && res.Status != 200 {
		err = fmt.Errorf("gateway: status %d: %s", res.Status, b)
	}
	settle()
	if p.how.history {
		time.Sleep(2 * time.Second)
		p.d.mu.Lock()
		p.d.events = append(p.d.events, event{time.Now(), p.i, "feed", 0})
		p.d.mu.Unlock()
	}
	return err
}

// pay gets a token for a message: from the wallet, or in one of the ways in which it
// must not be done.
func (p *person) pay(ctx context.Context, w *wallet.Wallet, msg []byte) (fields []bhttp.Field, settle func(), err error) {
	if !p.how.atNeed && !p.how.unblinded {
		ticket, err := w.Take(ctx)
		if err != nil {
			return nil, nil, err
		}
		fields, err := ticket.Fields(msg)
		return fields, func() { ticket.Spent(nil) }, err
	}
	today := token.DayOf(time.Now())
	pending, blinded, err := token.Blind(p.keys[today], p.wallet.Challenge, rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	issued, err := p.issue(ctx, today, [][]byte{blinded})
	if err != nil {
		return nil, nil, err
	}
	tok, err := pending.Finish(issued.Signatures[0])
	if err != nil {
		return nil, nil, err
	}
	if p.how.unblinded {
		p.d.mu.Lock()
		p.d.ofPerson[p.i] = append(p.d.ofPerson[p.i], tok.Marshal()...)
		p.d.mu.Unlock()
	}
	fields, err = tok.Fields(msg, nil)
	return fields, func() {}, err
}
