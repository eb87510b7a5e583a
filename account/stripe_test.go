// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package account

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v84/webhook"

	"github.com/sotto-chat/sotto/store"
)

const (
	testKey     = "sk_test_123"
	testWebhook = "whsec_test"
)

// subState is a subscription at the other Stripe, with the fields that are
// documented for one.
type subState struct {
	ID       string
	Customer string
	Status   string
	Created  int64
	From, To int64
	Ending   bool
	CancelAt int64
	Ended    int64
}

func (s *subState) object() map[string]any {
	return map[string]any{
		"id": s.ID, "object": "subscription", "customer": s.Customer, "status": s.Status, "created": s.Created,
		"cancel_at_period_end": s.Ending, "cancel_at": zeroNull(s.CancelAt), "ended_at": zeroNull(s.Ended),
		"items": map[string]any{"object": "list", "has_more": false, "data": []any{map[string]any{
			"id": "si_" + s.ID, "object": "subscription_item", "current_period_start": s.From, "current_period_end": s.To,
		}}},
	}
}

func zeroNull(n int64) any {
	if n == 0 {
		return nil
	}
	return n
}

// otherStripe answers as Stripe is documented to, and keeps state, which
// stripe-mock doesn't.
type otherStripe struct {
	t    testing.TB
	http *httptest.Server

	mu        sync.Mutex
	n         int
	seen      []string // method, path and form of every request
	down      bool
	customers map[string]bool
	pages     map[string]string // session: open, complete, expired
	trials    map[string]string // session: trial_end
	subs      map[string]*subState
	charges   map[string]map[string]any
	repeated  map[string]string // idempotency key: customer
}

func newOtherStripe(t testing.TB) *otherStripe {
	o := &otherStripe{
		t: t, customers: map[string]bool{}, pages: map[string]string{}, trials: map[string]string{},
		subs: map[string]*subState{}, charges: map[string]map[string]any{}, repeated: map[string]string{},
	}
	mux := http.NewServeMux()
	handle := func(pattern string, f func(r *http.Request) (int, any)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := r.ParseForm(); err != nil {
				t.Error(err)
			}
			o.mu.Lock()
			defer o.mu.Unlock()
			o.seen = append(o.seen, r.Method+" "+r.URL.Path+" "+r.Form.Encode())
			status, body := http.StatusUnauthorized, any(nil)
			switch {
			case o.down:
				status = http.StatusInternalServerError
			case r.Header.Get("Authorization") == "Bearer "+testKey:
				status, body = f(r)
			}
			if status >= 400 {
				body = map[string]any{"error": map[string]any{"type": "invalid_request_error", "message": "no"}}
				w.Header().Set("Stripe-Should-Retry", "false")
			}
			w.WriteHeader(status)
			json.NewEncoder(w).Encode(body)
		})
	}
	name := func(kind string) string { o.n++; return fmt.Sprintf("%s_%d", kind, o.n) }
	handle("POST /v1/customers", func(r *http.Request) (int, any) {
		key := r.Header.Get("Idempotency-Key")
		id := o.repeated[key]
		if id == "" {
			id = name("cus")
			o.repeated[key] = id
			o.customers[id] = true
		}
		return 200, map[string]any{"id": id, "object": "customer"}
	})
	handle("DELETE /v1/customers/{id}", func(r *http.Request) (int, any) {
		id := r.PathValue("id")
		if !o.customers[id] {
			return 404, nil
		}
		delete(o.customers, id)
		for _, s := range o.subs {
			if s.Customer == id && s.Status != "canceled" {
				s.Status, s.Ended = "canceled", time.Now().Unix()
			}
		}
		return 200, map[string]any{"id": id, "object": "customer", "deleted": true}
	})
	handle("POST /v1/checkout/sessions", func(r *http.Request) (int, any) {
		if !o.customers[r.Form.Get("customer")] {
			return 400, nil
		}
		id := name("cs")
		o.pages[id], o.trials[id] = "open", r.Form.Get("subscription_data[trial_end]")
		return 200, map[string]any{"id": id, "object": "checkout.session", "status": "open", "url": "https://checkout.example/" + id}
	})
	handle("POST /v1/checkout/sessions/{id}/expire", func(r *http.Request) (int, any) {
		id := r.PathValue("id")
		if o.pages[id] != "open" {
			return 400, nil
		}
		o.pages[id] = "expired"
		return 200, map[string]any{"id": id, "object": "checkout.session", "status": "expired"}
	})
	handle("POST /v1/billing_portal/sessions", func(r *http.Request) (int, any) {
		return 200, map[string]any{"id": name("bps"), "object": "billing_portal.session", "url": "https://billing.example/" + r.Form.Get("customer")}
	})
	handle("GET /v1/subscriptions", func(r *http.Request) (int, any) {
		list := []any{}
		for _, id := range slices.Sorted(maps.Keys(o.subs)) {
			if s := o.subs[id]; s.Customer == r.Form.Get("customer") && (s.Status != "canceled" || r.Form.Get("status") == "all") {
				list = append(list, s.object())
			}
		}
		return 200, map[string]any{"object": "list", "data": list, "has_more": false, "url": "/v1/subscriptions"}
	})
	handle("DELETE /v1/subscriptions/{id}", func(r *http.Request) (int, any) {
		s := o.subs[r.PathValue("id")]
		if s == nil || s.Status == "canceled" {
			return 404, nil
		}
		s.Status, s.Ended = "canceled", o.now()
		return 200, s.object()
	})
	handle("GET /v1/charges/{id}", func(r *http.Request) (int, any) {
		c := o.charges[r.PathValue("id")]
		if c == nil {
			return 404, nil
		}
		return 200, c
	})
	o.http = httptest.NewServer(mux)
	t.Cleanup(o.http.Close)
	return o
}

func (o *otherStripe) now() int64 { return time.Now().Unix() }

// pay completes a checkout page: a subscription of a month begins.
func (o *otherStripe) pay(url string, at time.Time) *subState {
	o.t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	id := url[strings.LastIndex(url, "/")+1:]
	if o.pages[id] != "open" {
		return nil
	}
	o.pages[id] = "complete"
	o.n++
	var customer string
	for c := range o.customers {
		customer = c
	}
	s := &subState{
		ID: fmt.Sprintf("sub_%d", o.n), Customer: customer, Status: "active", Created: at.Unix(),
		From: at.Unix(), To: at.AddDate(0, 1, 0).Unix(),
	}
	o.subs[s.ID] = s
	return s
}

// requests returns how many requests begin so.
func (o *otherStripe) requests(prefix string) (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.seen {
		if strings.HasPrefix(s, prefix) {
			n++
		}
	}
	return n
}

func (o *otherStripe) set(f func()) { o.mu.Lock(); defer o.mu.Unlock(); f() }

// hook is an event as Stripe documents it.
func hook(id, kind string, object map[string]any) []byte {
	b, err := json.Marshal(map[string]any{
		"id": id, "object": "event", "api_version": "2020-08-27", "created": time.Now().Unix(), "livemode": false,
		"pending_webhooks": 1, "request": map[string]any{"id": nil, "idempotency_key": nil}, "type": kind,
		"data": map[string]any{"object": object, "previous_attributes": map[string]any{}},
	})
	if err != nil {
		panic(err)
	}
	return b
}

// tell posts an event, signed with a secret at a time.
func (w *world) tell(body []byte, secret string, at time.Time) (status int, code string) {
	w.t.Helper()
	signed := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: body, Secret: secret, Timestamp: at})
	return w.tellAs(body, signed.Header)
}

func (w *world) tellAs(body []byte, signature string) (status int, code string) {
	w.t.Helper()
	req, err := http.NewRequest("POST", w.http.URL+"/api/v1/stripe/webhook", bytes.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	if signature != "" {
		req.Header.Set("Stripe-Signature", signature)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	var e struct{ Error struct{ Code string } }
	json.NewDecoder(resp.Body).Decode(&e)
	return resp.StatusCode, e.Error.Code
}

// changed tells of a subscription, as Stripe does after each change.
func (w *world) changed(id string, s *subState) {
	w.t.Helper()
	if status, code := w.tell(hook(id, "customer.subscription.updated", s.object()), testWebhook, time.Now()); status != 204 {
		w.t.Fatalf("webhook: %d %s", status, code)
	}
}

// newPayingWorld is a world that takes cards, with a person who is signed in.
func newPayingWorld(t testing.TB) (*world, *otherStripe, *device) {
	o := newOtherStripe(t)
	w := newWorldOf(t, Config{
		Tokens:  &Tokens{Issuer: "tokens.sotto.example"},
		Billing: &Billing{Key: testKey, Webhook: testWebhook, URL: o.http.URL},
	})
	d := w.device()
	d.signUp(newAuthenticator(t, testOrigin))
	return w, o, d
}

func (d *device) plan() (p planInfo) {
	d.t.Helper()
	d.do("GET", "plan", nil, &p)
	return p
}

// wantPlan compares what a person sees of their plan.
func (d *device) wantPlan(when, plan, card string, until int) {
	d.t.Helper()
	p := d.plan()
	end := 0
	if p.Until != nil {
		end = int(*p.Until - store.DayOf(d.at))
	}
	if p.Plan != plan || p.Card != card || end != until {
		d.t.Errorf("%s: plan %q, card %q, %d more days; want %q, %q, %d", when, p.Plan, p.Card, end, plan, card, until)
	}
}

func (d *device) checkout() string {
	d.t.Helper()
	var page struct{ URL string }
	d.do("POST", "plan/checkout", map[string]any{}, &page)
	return page.URL
}

// TestSubscription goes through the life of a plan that is paid by card.
func TestSubscription(t *testing.T) {
	w, o, d := newPayingWorld(t)
	d.wantPlan("at first", "free", "", 0)
	d.fails(409, "no_card", "POST", "plan/portal", nil)
	s := o.pay(d.checkout(), w.at)
	d.wantPlan("before Stripe has told", "free", "", 0)
	w.changed("evt_1", s)
	month := int(store.DayOf(time.Unix(s.To, 0)) - store.DayOf(w.at))
	d.wantPlan("paid", "member", "active", month+renewDays)
	if p := d.plan(); p.ActiveChats != 0 || p.Source != store.Card || p.Allowance.PerDay != -1 || p.Price != "$35 a month" {
		t.Errorf("a member's plan: %+v", p)
	}
	var page struct{ URL string }
	d.do("POST", "plan/portal", nil, &page)
	if page.URL != "https://billing.example/"+s.Customer {
		t.Errorf("portal at %s", page.URL)
	}
	d.fails(409, "paid_already", "POST", "plan/checkout", nil)

	o.set(func() { s.Ending = true })
	w.changed("evt_2", s)
	d.wantPlan("cancelled at the period's end", "member", "ending", month)
	o.set(func() { s.Ending, s.CancelAt = false, w.at.AddDate(0, 0, 5).Unix() })
	w.changed("evt_2b", s)
	d.wantPlan("to be cancelled within the period", "member", "ending", 5)
	o.set(func() { s.CancelAt = 0 })
	w.changed("evt_3", s)
	d.wantPlan("taken up again", "member", "active", month+renewDays)

	w.at = time.Unix(s.To, 0).Add(time.Hour)
	d.wantPlan("the month is over and Stripe hasn't told", "member", "active", renewDays)
	o.set(func() { s.Status, s.From, s.To = "past_due", s.To, time.Unix(s.To, 0).AddDate(0, 1, 0).Unix() })
	w.changed("evt_4", s)
	d.wantPlan("the card was refused", "member", "failed", failedDays)
	w.at = w.at.AddDate(0, 0, failedDays+1)
	d.wantPlan("and nobody gave another", "free", "failed", 0)
	o.set(func() { s.Status = "active" })
	w.changed("evt_5", s)
	if p := d.plan(); p.Plan != "member" || p.Card != "active" {
		t.Errorf("another card was given: %+v", p)
	}
	o.set(func() { s.Status = "unpaid" })
	w.changed("evt_6", s)
	d.wantPlan("unpaid", "free", "failed", 0)
	d.fails(409, "paid_already", "POST", "plan/checkout", nil)
	o.set(func() { s.Status, s.Ended = "canceled", w.at.Unix() })
	w.changed("evt_7", s)
	d.wantPlan("ended", "member", "", 0) // the rest of the day
	w.at = w.at.AddDate(0, 0, 1)
	d.wantPlan("the day after", "free", "", 0)
	if again := d.checkout(); !strings.HasPrefix(again, "https://checkout.example/") {
		t.Errorf("a second time: %q", again)
	}
	if n := o.requests("POST /v1/customers "); n != 1 {
		t.Errorf("%d customers", n)
	}
}

// TestNobodyPaysTwice: pages that are open at the same time, days that are paid
// otherwise, two subscriptions, an answer that got lost.
func TestNobodyPaysTwice(t *testing.T) {
	t.Run("two pages", func(t *testing.T) {
		w, o, d := newPayingWorld(t)
		first, second := d.checkout(), d.checkout()
		if o.pay(first, w.at) != nil {
			t.Error("the first page still takes a card")
		}
		if o.pay(second, w.at) == nil {
			t.Error("the second page takes none")
		}
		d.fails(409, "paid_already", "POST", "plan/checkout", nil) // though no webhook came
		d.wantPlan("known by asking", "member", "active", int(store.DayOf(w.at.AddDate(0, 1, 0))-store.DayOf(w.at))+renewDays)
	})
	t.Run("many at once", func(t *testing.T) {
		_, o, d := newPayingWorld(t)
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() { d.request("POST", "plan/checkout", "{}").Body.Close() })
		}
		all.Wait()
		open := 0
		for _, state := range o.pages {
			if state == "open" {
				open++
			}
		}
		if open != 1 || len(o.customers) != 1 {
			t.Errorf("%d pages are open, of %d customers", open, len(o.customers))
		}
	})
	t.Run("granted days", func(t *testing.T) {
		w, o, d := newPayingWorld(t)
		for _, days := range []int{1, 2, 30} {
			today := store.DayOf(w.at)
			must(w.db.Grant(t.Context(), d.account, days, today))
			p := must(w.db.Plan(t.Context(), d.account))
			d.checkout()
			want := time.Unix(int64(p.Granted+1)*86400, 0)
			if least := w.at.Add(leastTrial); want.Before(least) {
				want = least
			}
			got := o.trials[fmt.Sprintf("cs_%d", o.n)]
			if p.Granted == today {
				want = time.Unix(0, 0)
				got += "0"
			}
			if got != fmt.Sprint(want.Unix()) {
				t.Errorf("granted until %v: the card is charged at %s, want %d", p.Granted, got, want.Unix())
			}
		}
	})
	t.Run("voucher while a page is open", func(t *testing.T) {
		w, o, d := newPayingWorld(t)
		code := w.voucher(30)
		page := d.checkout()
		d.do("POST", "plan/voucher", map[string]any{"code": code}, nil)
		if o.pay(page, w.at) != nil {
			t.Error("the page takes a card for days that a voucher has paid")
		}
	})
	t.Run("voucher after a page was paid", func(t *testing.T) {
		w, o, d := newPayingWorld(t)
		code := w.voucher(30)
		o.pay(d.checkout(), w.at)
		d.fails(409, "paid_by_card", "POST", "plan/voucher", map[string]any{"code": code})
	})
	t.Run("two subscriptions", func(t *testing.T) {
		w, o, d := newPayingWorld(t)
		s := o.pay(d.checkout(), w.at)
		for i, later := range []int64{1, -1} {
			other := *s
			other.ID, other.Created = fmt.Sprintf("sub_0%d", i), s.Created+later
			o.set(func() { s.Status, s.Ended = "active", 0; o.subs = map[string]*subState{s.ID: s, other.ID: &other} })
			w.changed(fmt.Sprint("evt_", i), s)
			newer, older := &other, s
			if later < 0 {
				newer, older = s, &other
			}
			if newer.Status != "canceled" || older.Status != "active" {
				t.Errorf("the newer one is %s, the older one %s", newer.Status, older.Status)
			}
			if n := o.requests("DELETE /v1/subscriptions/" + newer.ID + " prorate=true"); n != 1 {
				t.Errorf("what was paid for the newer one is credited %d times", n)
			}
		}
	})
	t.Run("lost answer", func(t *testing.T) {
		w, o, d := newPayingWorld(t)
		d.checkout()
		// As if the server had died before it kept the customer's name.
		if err := w.db.SetCustomer(t.Context(), d.account, "", ""); err != nil {
			t.Fatal(err)
		}
		d.checkout()
		if len(o.customers) != 1 {
			t.Errorf("%d customers", len(o.customers))
		}
	})
}

func TestRefund(t *testing.T) {
	for _, tt := range []struct {
		name   string
		kind   string
		charge map[string]any
		ends   bool
	}{
		{"in full", "charge.refunded", map[string]any{"refunded": true}, true},
		{"disputed", "charge.dispute.created", map[string]any{"disputed": true}, true},
		{"in part", "charge.refunded", map[string]any{"refunded": false, "amount_refunded": 100}, false},
		{"of a month that is over", "charge.refunded", map[string]any{"refunded": true, "created": int64(1000)}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, o, d := newPayingWorld(t)
			s := o.pay(d.checkout(), w.at)
			w.changed("evt_1", s)
			charge := map[string]any{"id": "ch_1", "object": "charge", "customer": s.Customer, "created": s.From + 1}
			maps.Copy(charge, tt.charge)
			o.set(func() { o.charges["ch_1"] = charge })
			object := charge
			if tt.kind == "charge.dispute.created" {
				object = map[string]any{"id": "dp_1", "object": "dispute", "charge": "ch_1"}
			}
			if status, code := w.tell(hook("evt_2", tt.kind, object), testWebhook, time.Now()); status != 204 {
				t.Fatal(status, code)
			}
			if ended := s.Status == "canceled"; ended != tt.ends {
				t.Errorf("the subscription is %s", s.Status)
			}
			if tt.ends {
				d.wantPlan("today", "member", "", 0)
				w.at = w.at.AddDate(0, 0, 1)
				d.wantPlan("tomorrow", "free", "", 0)
			} else if p := d.plan(); p.Card != "active" {
				t.Errorf("%+v", p)
			}
		})
	}
}

// TestWebhookAttacks: who can't sign, or has caught a signed event, changes nothing;
// what is strange is answered, and Stripe isn't asked.
func TestWebhookAttacks(t *testing.T) {
	w, o, d := newPayingWorld(t)
	s := o.pay(d.checkout(), w.at)
	good := hook("evt_1", "customer.subscription.created", s.object())
	now := time.Now()
	signed := func(body []byte, at time.Time) string {
		return webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: body, Secret: testWebhook, Timestamp: at}).Header
	}
	asked := len(o.seen)
	stranger := *s
	stranger.Customer = "cus_stranger"
	nobody := *s
	nobody.Customer = ""
	for _, tt := range []struct {
		name      string
		body      []byte
		signature string
		status    int
		code      string
	}{
		{"no signature", good, "", 400, "forged"},
		{"another's secret", good, webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: good, Secret: "whsec_other", Timestamp: now}).Header, 400, "forged"},
		{"another body", bytes.Replace(good, []byte("evt_1"), []byte("evt_2"), 1), signed(good, now), 400, "forged"},
		{"a space more", append(slices.Clone(good), ' '), signed(good, now), 400, "forged"},
		{"caught ten minutes ago", good, signed(good, now.Add(-10*time.Minute)), 400, "forged"},
		{"another time under it", good, strings.Replace(signed(good, now.Add(-10*time.Minute)), fmt.Sprint("t=", now.Add(-10*time.Minute).Unix()), fmt.Sprint("t=", now.Unix()), 1), 400, "forged"},
		{"an older scheme", good, strings.Replace(signed(good, now), "v1=", "v0=", 1), 400, "forged"},
		{"no JSON", []byte("{"), signed([]byte("{"), now), 400, "malformed"},
		{"no type", []byte(`{"id":"evt_1"}`), signed([]byte(`{"id":"evt_1"}`), now), 400, "malformed"},
		{"no id", hook("", "customer.subscription.created", s.object()), "", 400, "malformed"},
		{"a customer that is a list", hook("evt_3", "customer.subscription.created", map[string]any{"id": "sub_1", "customer": []int{}}), "", 400, "malformed"},
		{"a long id", hook(strings.Repeat("e", 256), "customer.subscription.created", s.object()), "", 400, "malformed"},
		{"a long customer", hook("evt_3", "customer.subscription.created", map[string]any{"customer": strings.Repeat("c", 256)}), "", 400, "malformed"},
		{"too large", bytes.Repeat([]byte(" "), maxWebhook+1), "", 413, "too_large"},
		{"another's customer", hook("evt_4", "customer.subscription.created", stranger.object()), "", 204, ""},
		{"nobody's", hook("evt_5", "customer.subscription.created", nobody.object()), "", 204, ""},
		{"of something else", hook("evt_6", "product.created", map[string]any{"id": "prod_1"}), "", 204, ""},
		{"a refund of nothing", hook("evt_7", "charge.refunded", map[string]any{}), "", 204, ""},
	} {
		if tt.signature == "" && tt.code != "forged" {
			tt.signature = signed(tt.body, now)
		}
		if status, code := w.tellAs(tt.body, tt.signature); status != tt.status || code != tt.code {
			t.Errorf("%s: %d %s, want %d %s", tt.name, status, code, tt.status, tt.code)
		}
	}
	if len(o.seen) != asked {
		t.Errorf("Stripe was asked: %v", o.seen[asked:])
	}
	d.wantPlan("after all of these", "free", "", 0)
	// A charge of somebody else at the same Stripe, or of none.
	o.set(func() { o.charges["ch_9"] = map[string]any{"id": "ch_9", "object": "charge", "refunded": true} })
	for _, id := range []string{"ch_8", "ch_9"} {
		if status, _ := w.tell(hook("evt_"+id, "charge.refunded", map[string]any{"id": id}), testWebhook, now); status != 204 {
			t.Errorf("a refund of %s: %d", id, status)
		}
	}

	// What the event says is not what counts: this one is old, and lies.
	w.tell(good, testWebhook, now)
	old := *s
	old.Status, old.Ended = "canceled", s.From
	w.changed("evt_0", &old)
	if p := d.plan(); p.Card != "active" {
		t.Errorf("an event that came late ended the plan: %+v", p)
	}
	// Twice is once.
	asked = len(o.seen)
	if status, _ := w.tell(good, testWebhook, now); status != 204 || len(o.seen) != asked {
		t.Errorf("an event that came again: %d, and Stripe was asked %d times", status, len(o.seen)-asked)
	}
	// Stripe that can't be asked is asked again: the event is not done.
	o.set(func() { o.down = true; s.Ending = true })
	if status, code := w.tell(hook("evt_9", "customer.subscription.updated", s.object()), testWebhook, now); status != 503 || code != "billing_away" {
		t.Errorf("Stripe is away: %d %s", status, code)
	}
	o.set(func() { o.down = false })
	w.changed("evt_9", s)
	if p := d.plan(); p.Card != "ending" {
		t.Errorf("the event that came again was lost: %+v", p)
	}
}

// TestDeletedAccountIsNotCharged: not at once, not when Stripe was away, not by a
// page that was open.
func TestDeletedAccountIsNotCharged(t *testing.T) {
	for _, down := range []bool{false, true} {
		w, o, d := newPayingWorld(t)
		s := o.pay(d.checkout(), w.at)
		w.changed("evt_1", s)
		// The page was paid, but this server doesn't know; one more is open.
		o.set(func() { o.pages["cs_open"] = "open"; o.down = down })
		if err := w.db.SetCustomer(t.Context(), d.account, s.Customer, "cs_open"); err != nil {
			t.Fatal(err)
		}
		d.do("DELETE", "account", nil, nil)
		if down {
			if s.Status != "active" {
				t.Fatal("the other Stripe wasn't down")
			}
			if err := w.srv.keepHouse(t.Context()); err == nil {
				t.Error("nobody says that Stripe is away")
			}
			o.set(func() { o.down = false })
			if err := w.srv.keepHouse(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if s.Status != "canceled" || o.pages["cs_open"] != "expired" || len(o.customers) != 0 {
			t.Errorf("down %v: subscription %s, page %s, %d customers", down, s.Status, o.pages["cs_open"], len(o.customers))
		}
		if left := must(w.db.Farewells(t.Context())); len(left) != 0 {
			t.Errorf("%d customers are still known", len(left))
		}
		if status, _ := w.tell(hook("evt_2", "customer.subscription.deleted", s.object()), testWebhook, time.Now()); status != 204 {
			t.Errorf("what Stripe says of it later: %d", status)
		}
		for _, f := range w.files() {
			if bytes.Contains(f.data, []byte(s.Customer)) || bytes.Contains(f.data, d.account[:]) {
				t.Errorf("%s still has the customer or the account", f.name)
			}
		}
	}
}

// TestStripeLearnsNoAccount: whatever is sent there, the account's id isn't in it, nor
// a session's, nor an address.
func TestStripeLearnsNoAccount(t *testing.T) {
	w, o, d := newPayingWorld(t)
	w.changed("evt_1", o.pay(d.checkout(), w.at))
	d.do("POST", "plan/portal", nil, nil)
	d.do("DELETE", "account", nil, nil)
	all := strings.ToLower(strings.Join(o.seen, "\n"))
	for _, form := range []string{d.account.String(), b64(d.account[:])[:16], "127.0.0.1:", "client_reference_id"} {
		if strings.Contains(all, strings.ToLower(form)) {
			t.Errorf("Stripe learns %q", form)
		}
	}
	if !strings.Contains(all, "metadata%5bref%5d=") {
		t.Error("there is no reference, so this test looks at nothing")
	}
}

func TestStripeIsAway(t *testing.T) {
	w, o, d := newPayingWorld(t)
	page := d.checkout()
	o.set(func() { o.down = true })
	for _, path := range []string{"plan/checkout", "plan/portal"} {
		d.fails(503, "billing_away", "POST", path, nil)
	}
	code := w.voucher(30)
	d.fails(503, "billing_away", "POST", "plan/voucher", map[string]any{"code": code})
	d.wantPlan("away", "free", "", 0)
	o.set(func() { o.down = false })
	if o.pay(page, w.at) == nil {
		t.Error("the page that was open is lost")
	}
}

func TestBillingIsChecked(t *testing.T) {
	for name, b := range map[string]Billing{
		"a publishable key": {Key: "pk_live_1", Webhook: testWebhook},
		"no webhook":        {Key: testKey},
		"too cheap":         {Key: testKey, Webhook: testWebhook, Cents: 49},
		"too dear":          {Key: testKey, Webhook: testWebhook, Cents: 100_001},
	} {
		if _, err := b.open(); err == nil {
			t.Error(name)
		}
	}
	for cents, want := range map[int64]string{0: "$35 a month", 999: "$9.99 a month", 1005: "$10.05 a month"} {
		b := must((&Billing{Key: "rk_live_1", Webhook: testWebhook, Cents: cents}).open())
		if b.price() != want {
			t.Errorf("%d cents are %q", cents, b.price())
		}
	}
	if s := fmt.Sprintf("%v %s %#v %+v", Secret("sk_1"), Secret("sk_1"), Secret("sk_1"), Billing{Key: "sk_1"}); strings.Contains(s, "sk_1") {
		t.Errorf("a key is shown: %s", s)
	}
}

func FuzzReadEvent(f *testing.F) {
	s := &subState{ID: "sub_1", Customer: "cus_1", Status: "active"}
	f.Add(hook("evt_1", "customer.subscription.updated", s.object()))
	f.Add(hook("evt_1", "charge.refunded", map[string]any{"id": "ch_1", "customer": nil}))
	f.Add(hook("evt_1", "charge.dispute.created", map[string]any{"id": "dp_1", "charge": "ch_1"}))
	f.Add([]byte(`{"type":"invoice.paid","id":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, about, err := readEvent(b)
		if (err != nil || about == nothing) != (about == nothing) {
			t.Errorf("%v with %v", err, about)
		}
		if about != nothing && (e.ID == "" || len(e.ID) > maxEventID || len(e.Data.Object.Customer) > maxNameSize) {
			t.Errorf("took %+v", e)
		}
	})
}
