// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/stripe/stripe-go/v84"
	"github.com/stripe/stripe-go/v84/webhook"

	"github.com/sotto-chat/sotto/internal/lines"
	"github.com/sotto-chat/sotto/store"
	"github.com/sotto-chat/sotto/vault"
)

// Stripe takes the cards. It learns a person's card, address of mail and what they
// pay; of the account it learns a random reference and nothing else.
//
// What Stripe tells by a webhook is never believed for what it says, only for that
// something has changed: the plan is set by what Stripe answers when it is asked
// then. So an event may come twice, late or in any order, and a forged one, were
// its signature to pass, could at most make this server ask. Each account has one
// checkout page at a time, which is closed before anything else is offered, so
// that nobody pays twice.

// Secret is a key that is not for logs.
type Secret string

// String returns a fixed text instead of the key.
func (Secret) String() string { return hiddenText }

// GoString returns a fixed text instead of the key.
func (Secret) GoString() string { return hiddenText }

// Format prints a fixed text instead of the key, whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { f.Write([]byte(hiddenText)) }

// LogValue returns a fixed text instead of the key.
func (Secret) LogValue() slog.Value { return slog.StringValue(hiddenText) }

// MarshalJSON refuses: a secret is never part of a document.
func (Secret) MarshalJSON() ([]byte, error) {
	return nil, errors.New("account: a secret can't be written as JSON")
}

// Billing says how members pay by card.
type Billing struct {
	// Key is Stripe's secret or restricted key (sk_…, rk_…). A restricted one needs
	// to write customers, checkout sessions, portal sessions and subscriptions, and
	// to read charges.
	Key Secret
	// Webhook is the signing secret of the webhook endpoint (whsec_…), which is
	// ORIGIN/api/v1/stripe/webhook.
	Webhook Secret
	// Cents is the price of a month in US cents; 3500 by default.
	Cents int64
	// URL is where Stripe is; https://api.stripe.com by default.
	URL string
}

const (
	monthCents = 3500

	// renewDays is for how many days a plan lasts beyond a month that is paid, while
	// Stripe draws the next one and tells of it.
	renewDays = 2
	// failedDays is for how many days a plan lasts whose card was refused, while
	// Stripe tries again and the person gives another one.
	failedDays = 7
	// leastTrial is the least time that Stripe lets a first payment wait (48 h, and
	// a margin for the person who fills in the page for up to a day).
	leastTrial = 73 * time.Hour

	stripeTime  = 20 * time.Second
	maxWebhook  = 512 << 10
	maxEventID  = 255
	maxNameSize = 255 // of an object of Stripe's
)

type billing struct {
	stripe  *stripe.Client
	webhook string
	cents   int64
	locks   locks
}

func (c *Billing) open() (*billing, error) {
	if c == nil {
		return nil, nil
	}
	b := &billing{webhook: string(c.Webhook), cents: c.Cents, locks: locks{held: map[vault.AccountID]chan struct{}{}}}
	if b.cents == 0 {
		b.cents = monthCents
	}
	switch {
	case !strings.HasPrefix(string(c.Key), "sk_") && !strings.HasPrefix(string(c.Key), "rk_"):
		return nil, errors.New("account: the Stripe key is none: it begins with sk_ or rk_")
	case !strings.HasPrefix(b.webhook, "whsec_"):
		return nil, errors.New("account: the signing secret of the Stripe webhook is none: it begins with whsec_")
	case b.cents < 50 || b.cents > 100_000:
		return nil, fmt.Errorf("account: a price of %d cents a month: want 50 to 100000", b.cents)
	}
	config := &stripe.BackendConfig{
		EnableTelemetry: stripe.Bool(false),
		HTTPClient:      &http.Client{Timeout: stripeTime, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		// Its lines would quote what was asked.
		LeveledLogger:     &stripe.LeveledLogger{Level: stripe.LevelNull},
		MaxNetworkRetries: stripe.Int64(1),
	}
	if c.URL != "" {
		config.URL = stripe.String(c.URL)
	}
	backend := stripe.GetBackendWithConfig(stripe.APIBackend, config)
	b.stripe = stripe.NewClient(string(c.Key), stripe.WithBackends(&stripe.Backends{API: backend, Connect: backend, Uploads: backend, MeterEvents: backend}))
	return b, nil
}

// price is what a person is told, of the number that the card is charged.
func (b *billing) price() string {
	if b.cents%100 == 0 {
		return fmt.Sprintf("$%d a month", b.cents/100)
	}
	return fmt.Sprintf("$%d.%02d a month", b.cents/100, b.cents%100)
}

// locks has what is done for one account at Stripe done one after the other.
type locks struct {
	mu   sync.Mutex
	held map[vault.AccountID]chan struct{}
}

func (l *locks) take(ctx context.Context, account vault.AccountID) (release func(), err error) {
	for {
		l.mu.Lock()
		held := l.held[account]
		if held == nil {
			mine := make(chan struct{})
			l.held[account] = mine
			l.mu.Unlock()
			return func() {
				l.mu.Lock()
				defer l.mu.Unlock()
				delete(l.held, account)
				close(mine)
			}, nil
		}
		l.mu.Unlock()
		select {
		case <-held:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// away makes a failure of Stripe's one that a person can do something about. What
// the operator has to do stands in the log.
func (s *Server) away(err error) error {
	if err == nil {
		return nil
	}
	var e *stripe.Error
	if errors.As(err, &e) && (e.HTTPStatusCode == http.StatusUnauthorized || e.HTTPStatusCode == http.StatusForbidden) {
		s.log.Error("account: Stripe refuses the key: see docs/plans.md for what it has to be allowed")
	} else {
		s.log.Warn("account: Stripe can't be reached, or refuses what it was asked", lines.Cause(err))
	}
	return fmt.Errorf("%w: %w", errBillingAway, err)
}

// refused reports whether Stripe understood and said no, as for a thing that is
// gone or done already.
func refused(err error) bool {
	var e *stripe.Error
	return errors.As(err, &e) && (e.HTTPStatusCode == http.StatusBadRequest || e.HTTPStatusCode == http.StatusNotFound)
}

// checkout opens the page at which a card is given, and returns its address.
func (s *Server) checkout(r *http.Request, session store.Session) (any, error) {
	if err := read(r, maxBody, &struct{}{}); err != nil {
		return nil, err
	}
	if s.billing == nil {
		return nil, errBillingOff
	}
	// Who leaves in the middle of it must not leave a page behind that nobody knows of.
	ctx, cancel := context.WithTimeout(detached(r), 3*stripeTime)
	defer cancel()
	account := session.Account
	release, err := s.billing.locks.take(ctx, account)
	if err != nil {
		return nil, err
	}
	defer release()

	var ref [16]byte
	rand.Read(ref[:])
	c, err := s.store.NewCustomer(ctx, account, ref)
	if err != nil {
		return nil, translate(err, accountGone)
	}
	if c.ID == "" {
		params := &stripe.CustomerCreateParams{Metadata: map[string]string{"ref": hex.EncodeToString(c.Ref[:])}}
		// Asked again after an answer that got lost, Stripe makes no second one.
		params.SetIdempotencyKey("customer-" + hex.EncodeToString(c.Ref[:]))
		made, err := s.billing.stripe.V1Customers.Create(ctx, params)
		if err != nil {
			return nil, s.away(err)
		}
		c.ID = made.ID
		if err := s.store.SetCustomer(ctx, account, c.ID, ""); err != nil {
			return nil, translate(err, accountGone)
		}
	}
	if err := s.closeCheckout(ctx, account, c); err != nil {
		return nil, err
	}
	if live, err := s.askStripe(ctx, account, c.ID); err != nil {
		return nil, err
	} else if live {
		return nil, errPaidAlready
	}
	plan, err := s.store.Plan(ctx, account)
	if err != nil {
		return nil, err
	}
	params := &stripe.CheckoutSessionCreateParams{
		Mode:     stripe.String(string(stripe.CheckoutSessionModeSubscription)),
		Customer: stripe.String(c.ID),
		LineItems: []*stripe.CheckoutSessionCreateLineItemParams{{
			Quantity: stripe.Int64(1),
			PriceData: &stripe.CheckoutSessionCreateLineItemPriceDataParams{
				Currency:   stripe.String(string(stripe.CurrencyUSD)),
				UnitAmount: stripe.Int64(s.billing.cents),
				Recurring: &stripe.CheckoutSessionCreateLineItemPriceDataRecurringParams{
					Interval: stripe.String(string(stripe.PriceRecurringIntervalMonth)),
				},
				ProductData: &stripe.CheckoutSessionCreateLineItemPriceDataProductDataParams{Name: stripe.String("Sotto member")},
			},
		}},
		SuccessURL: stripe.String(s.origin + "/settings"),
		CancelURL:  stripe.String(s.origin + "/settings"),
	}
	if now := s.now(); plan.Granted > store.DayOf(now) {
		// Days that are paid otherwise are not paid again: the card is charged when
		// they are over.
		first := time.Unix(int64(plan.Granted+1)*86400, 0)
		if least := now.Add(leastTrial); first.Before(least) {
			first = least
		}
		params.SubscriptionData = &stripe.CheckoutSessionCreateSubscriptionDataParams{TrialEnd: stripe.Int64(first.Unix())}
	}
	page, err := s.billing.stripe.V1CheckoutSessions.Create(ctx, params)
	if err != nil {
		return nil, s.away(err)
	}
	if err := s.store.SetCustomer(ctx, account, c.ID, page.ID); err != nil {
		return nil, translate(err, accountGone)
	}
	return map[string]string{"url": page.URL}, nil
}

// closeCheckout closes the checkout page that an account may have open. One at
// which somebody has paid meanwhile is closed already; Stripe knows what was paid.
func (s *Server) closeCheckout(ctx context.Context, account vault.AccountID, c store.Customer) error {
	if c.Checkout == "" {
		return nil
	}
	if err := s.expire(ctx, c.Checkout); err != nil {
		return err
	}
	return translate(s.store.SetCustomer(ctx, account, c.ID, ""), accountGone)
}

func (s *Server) expire(ctx context.Context, checkout string) error {
	_, err := s.billing.stripe.V1CheckoutSessions.Expire(ctx, checkout, nil)
	if refused(err) {
		return nil
	}
	return s.away(err)
}

// portal opens Stripe's page at which a card is changed, bills are read and the
// plan is cancelled, and returns its address.
func (s *Server) portal(r *http.Request, session store.Session) (any, error) {
	if err := read(r, maxBody, &struct{}{}); err != nil {
		return nil, err
	}
	if s.billing == nil {
		return nil, errBillingOff
	}
	c, err := s.store.Customer(r.Context(), session.Account)
	if errors.Is(err, store.ErrNotFound) || err == nil && c.ID == "" {
		return nil, errNoCard
	}
	if err != nil {
		return nil, err
	}
	page, err := s.billing.stripe.V1BillingPortalSessions.Create(r.Context(), &stripe.BillingPortalSessionCreateParams{
		Customer:  stripe.String(c.ID),
		ReturnURL: stripe.String(s.origin + "/settings"),
	})
	if err != nil {
		return nil, s.away(err)
	}
	return map[string]string{"url": page.URL}, nil
}

// beforeVoucher makes sure that a voucher's days don't run beside days of a card:
// it closes an open checkout page, and asks Stripe what came of it.
func (s *Server) beforeVoucher(ctx context.Context, account vault.AccountID) (release func(), err error) {
	if s.billing == nil {
		return func() {}, nil
	}
	if release, err = s.billing.locks.take(ctx, account); err != nil {
		return nil, err
	}
	c, err := s.store.Customer(ctx, account)
	if err == nil && c.Checkout != "" {
		if err = s.closeCheckout(ctx, account, c); err == nil {
			_, err = s.askStripe(ctx, account, c.ID)
		}
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		release()
		return nil, err
	}
	return release, nil
}

// askStripe sets the plan by what Stripe says of a customer now, and reports
// whether a card is being charged. The account's lock is held.
func (s *Server) askStripe(ctx context.Context, account vault.AccountID, customer string) (live bool, err error) {
	subs, err := s.subscriptions(ctx, customer)
	if err != nil {
		return false, err
	}
	var until store.Day
	state := ""
	var first *stripe.Subscription
	for _, sub := range subs {
		end, how, charged := paidUntil(sub)
		until = max(until, end)
		if !charged {
			continue
		}
		if first == nil {
			first, state = sub, how
			continue
		}
		// There is one checkout page at a time, so this is not of our making. What was
		// paid for it is credited.
		other := sub
		if other.Created < first.Created {
			first, other, state = other, first, how
		}
		s.log.Warn("account: a customer had two subscriptions, the newer one was cancelled")
		if _, err := s.billing.stripe.V1Subscriptions.Cancel(ctx, other.ID, &stripe.SubscriptionCancelParams{Prorate: stripe.Bool(true)}); err != nil && !refused(err) {
			return false, s.away(err)
		}
	}
	return first != nil, translate(s.store.SetCard(ctx, account, until, state), accountGone)
}

func (s *Server) subscriptions(ctx context.Context, customer string) (list []*stripe.Subscription, err error) {
	params := &stripe.SubscriptionListParams{Customer: stripe.String(customer), Status: stripe.String("all")}
	params.Limit = stripe.Int64(100)
	params.Single = true // a hundred are more than anybody has
	for sub, err := range s.billing.stripe.V1Subscriptions.List(ctx, params) {
		if err != nil {
			return nil, s.away(err)
		}
		list = append(list, sub)
	}
	return list, nil
}

// paidUntil returns the last day that a subscription pays for, 0 for none, how it
// stands, and whether a card is being charged for it.
func paidUntil(sub *stripe.Subscription) (until store.Day, state string, charged bool) {
	var from, to int64
	if sub.Items != nil {
		for _, i := range sub.Items.Data {
			from, to = max(from, i.CurrentPeriodStart), max(to, i.CurrentPeriodEnd)
		}
	}
	day := func(t int64) store.Day { return store.DayOf(time.Unix(t, 0)) }
	switch sub.Status {
	case stripe.SubscriptionStatusActive, stripe.SubscriptionStatusTrialing:
		if sub.CancelAt != 0 {
			to = min(to, sub.CancelAt)
		}
		if sub.CancelAt != 0 || sub.CancelAtPeriodEnd {
			return day(to), "ending", true
		}
		return day(to) + renewDays, "active", true
	case stripe.SubscriptionStatusPastDue:
		// The month that isn't paid has begun.
		return day(from) + failedDays, "failed", true
	case stripe.SubscriptionStatusUnpaid, stripe.SubscriptionStatusPaused:
		return 0, "failed", true
	case stripe.SubscriptionStatusCanceled:
		// The rest of the day is nobody's loss.
		return day(sub.EndedAt), "", false
	}
	return 0, "", false // incomplete: never paid
}

// event is what is read of a webhook: only what to ask about.
type event struct {
	ID   string `json:"id"`
	Type string `json:"type"`
	Data struct {
		Object struct {
			ID       string `json:"id"`
			Customer string `json:"customer"`
			Charge   string `json:"charge"` // of a dispute
		} `json:"object"`
	} `json:"data"`
}

// stripeWebhook hears that something has changed at Stripe.
func (s *Server) stripeWebhook(r *http.Request) (any, error) {
	if s.billing == nil {
		return nil, errBillingOff
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxWebhook))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return nil, errTooLarge
		}
		return nil, errMalformed
	}
	// Five minutes of tolerance: what was caught on the way is soon worth nothing.
	if webhook.ValidatePayload(body, r.Header.Get("Stripe-Signature"), s.billing.webhook) != nil {
		return nil, errForged
	}
	e, about, err := readEvent(body)
	if err != nil {
		return nil, err
	}
	if about == nothing {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(detached(r), 3*stripeTime)
	defer cancel()
	customer := e.Data.Object.Customer
	var charge *stripe.Charge
	if about == refund {
		id := e.Data.Object.ID
		if e.Data.Object.Charge != "" {
			id = e.Data.Object.Charge
		}
		if charge, err = s.billing.stripe.V1Charges.Retrieve(ctx, id, nil); refused(err) {
			return nil, nil // of another account of Stripe's
		} else if err != nil {
			return nil, s.away(err)
		}
		customer = ""
		if charge.Customer != nil {
			customer = charge.Customer.ID
		}
	}
	account, err := s.store.CustomerAccount(ctx, customer)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil // the account is gone, or it is a customer of something else
	}
	if err != nil {
		return nil, err
	}
	release, err := s.billing.locks.take(ctx, account)
	if err != nil {
		return nil, err
	}
	defer release()
	hash := sha256.Sum256([]byte("sotto/1 stripe event\x00" + e.ID))
	if seen, err := s.store.EventSeen(ctx, hash); seen || err != nil {
		return nil, err
	}
	if charge != nil {
		if err := s.endRefunded(ctx, customer, charge); err != nil {
			return nil, err
		}
	}
	if _, err := s.askStripe(ctx, account, customer); errors.Is(err, errSignedOut) {
		return nil, nil // deleted just now
	} else if err != nil {
		return nil, err
	}
	return nil, s.store.AddEvent(ctx, hash, s.today())
}

// topic is what an event is about, as far as we care.
type topic int

const (
	nothing topic = iota
	subscription
	refund
)

func readEvent(body []byte) (e event, about topic, err error) {
	var kind struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(body, &kind) != nil || kind.Type == "" {
		return e, nothing, errMalformed
	}
	switch {
	case strings.HasPrefix(kind.Type, "customer.subscription."), strings.HasPrefix(kind.Type, "checkout.session."),
		kind.Type == "invoice.paid", kind.Type == "invoice.payment_failed":
		about = subscription
	case kind.Type == "charge.refunded", kind.Type == "charge.dispute.created":
		about = refund
	default:
		return e, nothing, nil
	}
	o := &e.Data.Object
	if json.Unmarshal(body, &e) != nil || len(e.ID) == 0 || len(e.ID) > maxEventID ||
		len(o.ID) > maxNameSize || len(o.Customer) > maxNameSize || len(o.Charge) > maxNameSize {
		return e, nothing, errMalformed
	}
	if about == subscription && o.Customer == "" || about == refund && o.ID == "" {
		return e, nothing, nil // a checkout or bill of something else
	}
	return e, about, nil
}

// endRefunded cancels the subscription whose running month was given back in full,
// or is disputed: who has their money back has no plan for it, and is not charged
// again. A month that is over, or a part, changes nothing.
func (s *Server) endRefunded(ctx context.Context, customer string, charge *stripe.Charge) error {
	if !charge.Refunded && !charge.Disputed {
		return nil
	}
	subs, err := s.subscriptions(ctx, customer)
	if err != nil {
		return err
	}
	for _, sub := range subs {
		if _, _, charged := paidUntil(sub); !charged || sub.Items == nil {
			continue
		}
		for _, i := range sub.Items.Data {
			if charge.Created < i.CurrentPeriodStart {
				continue
			}
			if _, err := s.billing.stripe.V1Subscriptions.Cancel(ctx, sub.ID, nil); err != nil && !refused(err) {
				return s.away(err)
			}
			break
		}
	}
	return nil
}

// sayFarewells deletes at Stripe the customers of accounts that are gone, which
// cancels what they pay for at once. What fails is tried again, since a card would
// go on being charged.
func (s *Server) sayFarewells(ctx context.Context) error {
	list, err := s.store.Farewells(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range list {
		errs = append(errs, s.sayFarewell(ctx, c))
	}
	return errors.Join(errs...)
}

func (s *Server) sayFarewell(ctx context.Context, c store.Customer) error {
	if c.Checkout != "" {
		if err := s.expire(ctx, c.Checkout); err != nil {
			return err
		}
	}
	if _, err := s.billing.stripe.V1Customers.Delete(ctx, c.ID, nil); err != nil && !refused(err) {
		return s.away(err)
	}
	return s.store.EndFarewell(ctx, c.ID)
}

// afterDeletion tells Stripe of an account that is gone.
func (s *Server) afterDeletion(ctx context.Context) {
	if s.billing == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, stripeTime)
	defer cancel()
	if err := s.sayFarewells(ctx); err != nil {
		s.log.Warn("account: Stripe wasn't told of an account that is gone; it is tried again", lines.Cause(err))
	}
}
