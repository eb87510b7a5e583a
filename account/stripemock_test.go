// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package account

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/test/needs"
)

// stripeMock starts Stripe's own mock, which knows no state but refuses every
// request that Stripe's description of its interface doesn't allow.
func stripeMock(t *testing.T) *url.URL {
	t.Helper()
	program := filepath.Join("..", ".cache", "bin", "stripe-mock")
	if _, err := os.Stat(program); err != nil {
		if program, err = exec.LookPath("stripe-mock"); err != nil {
			needs.Missing(t, "stripe-mock: GOBIN=$PWD/.cache/bin go install github.com/stripe/stripe-mock@v0.203.0")
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	cmd := exec.CommandContext(ctx, program, "-http-addr", "127.0.0.1:", "-https-addr", "127.0.0.1:")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); cmd.Wait() })
	listening := regexp.MustCompile(`HTTP at address: (127\.0\.0\.1:\d+)`)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if m := listening.FindStringSubmatch(lines.Text()); m != nil {
			go func() {
				for lines.Scan() { // a full pipe would stop it
				}
			}()
			return &url.URL{Scheme: "http", Host: m[1]}
		}
	}
	t.Fatal("stripe-mock ended before it listened")
	return nil
}

// TestStripeMock: everything that is ever asked of Stripe is in the form that
// Stripe's own description wants.
func TestStripeMock(t *testing.T) {
	mock := stripeMock(t)
	var mu sync.Mutex
	var asked []string
	none := true // the mock's customers have a subscription each
	p := httputil.NewSingleHostReverseProxy(mock)
	p.ModifyResponse = func(r *http.Response) error {
		mu.Lock()
		defer mu.Unlock()
		kind := r.Request.Method + " " + regexp.MustCompile(`/(ch|cs|cus|sub)_\w+`).ReplaceAllString(r.Request.URL.Path, "/ID")
		asked = append(asked, kind)
		if r.StatusCode != 200 {
			t.Errorf("%s: %s", kind, r.Status)
		}
		return nil
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if none && r.URL.Path == "/v1/subscriptions" {
			w.Write([]byte(`{"object":"list","data":[],"has_more":false,"url":"/v1/subscriptions"}`))
			return
		}
		p.ServeHTTP(w, r)
	}))
	defer front.Close()
	w := newWorldOf(t, Config{Billing: &Billing{Key: testKey, Webhook: testWebhook, URL: front.URL}})
	d := w.device()
	d.signUp(newAuthenticator(t, testOrigin))
	must(w.db.Grant(t.Context(), d.account, 30, w.srv.today()))
	for range 2 { // the second closes the page of the first
		if page := d.checkout(); !strings.HasPrefix(page, "https://") {
			t.Errorf("a page at %q", page)
		}
	}
	var page struct{ URL string }
	d.do("POST", "plan/portal", nil, &page)
	if !strings.HasPrefix(page.URL, "https://") {
		t.Errorf("a portal at %q", page.URL)
	}
	none = false
	c := must(w.db.Customer(t.Context(), d.account))
	subs := must(w.srv.subscriptions(t.Context(), c.ID))
	if len(subs) == 0 || subs[0].Items == nil || len(subs[0].Items.Data) == 0 || subs[0].Items.Data[0].CurrentPeriodEnd == 0 {
		t.Fatalf("subscriptions can't be read: %+v", subs)
	}
	charge := must(w.srv.billing.stripe.V1Charges.Retrieve(t.Context(), "ch_1", nil))
	charge.Refunded, charge.Created = true, time.Now().AddDate(100, 0, 0).Unix()
	if err := w.srv.endRefunded(t.Context(), c.ID, charge); err != nil {
		t.Error(err)
	}
	d.do("DELETE", "account", nil, nil)
	slices.Sort(asked)
	want := []string{
		"DELETE /v1/customers/ID", "DELETE /v1/subscriptions/ID", "GET /v1/charges/ID", "GET /v1/subscriptions",
		"POST /v1/billing_portal/sessions", "POST /v1/checkout/sessions", "POST /v1/checkout/sessions/ID/expire", "POST /v1/customers",
	}
	if got := slices.Compact(asked); !slices.Equal(got, want) {
		t.Errorf("asked\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
