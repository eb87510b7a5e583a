// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package account

import (
	"bytes"
	"database/sql"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/internal/lines"
	"github.com/sotto-chat/sotto/store"
	"github.com/sotto-chat/sotto/vault"
)

// columns are all that the database may have, and what may be in them.
var columns = map[string]string{
	"accounts.id": "blob16", "accounts.created": "day", "accounts.seq": "count", "accounts.head": "blob32", "accounts.bytes": "count",
	"passkeys.id": "blob", "passkeys.account": "blob16", "passkeys.public_key": "blob", "passkeys.sign_count": "count", "passkeys.flags": "byte",
	"passkeys.transports": "word", "passkeys.label": "sealed", "passkeys.created": "day", "passkeys.used": "day",
	"wraps.account": "blob16", "wraps.id": "blob16", "wraps.kind": "word", "wraps.ref": "ref", "wraps.params": "params", "wraps.data": "sealed",
	"sessions.hash": "blob32", "sessions.id": "blob16", "sessions.account": "blob16", "sessions.kind": "word", "sessions.label": "sealed",
	"sessions.wrap": "blob16", "sessions.created": "day", "sessions.seen": "day",
	"feed.account": "blob16", "feed.seq": "count", "feed.collection": "byte", "feed.id": "blob16", "feed.version": "blob16", "feed.size": "count",
	"feed.digest": "blob32", "feed.hash": "blob32", "feed.data": "sealed",
	"ceremonies.hash": "blob32", "ceremonies.kind": "word", "ceremonies.account": "blob16", "ceremonies.data": "state", "ceremonies.expires": "minutes",
	"plans.account": "blob16", "plans.source": "word", "plans.until": "paid", "issued.account": "blob16", "issued.day": "day", "issued.n": "count",
	"batches.account": "blob16", "batches.day": "day", "batches.hash": "blob32", "issuer_keys.day": "day", "issuer_keys.key": "blob",
	"vouchers.hash": "blob32", "vouchers.days": "byte", "vouchers.expires": "paid", "vouchers.used": "byte",
	"customers.account": "blob16", "customers.ref": "blob16", "customers.customer": "stripe", "customers.checkout": "stripe", "customers.state": "word",
	"farewells.customer": "stripe", "farewells.checkout": "stripe", "events.hash": "blob32", "events.day": "day",
	"links.id": "blob16", "links.poll": "blob32", "links.offer": "sealed", "links.expires": "minutes", "links.account": "blob16", "links.wrap": "state", "links.label": "sealed",
}

// TestTablesHoldNoPlaintext plants words wherever a person could leave one, goes
// through everything there is, and looks at every column of every row.
func TestTablesHoldNoPlaintext(t *testing.T) {
	var logged bytes.Buffer
	stripe := newOtherStripe(t)
	w := newWorldOf(t, Config{
		Tokens: &Tokens{Issuer: "tokens.sotto.example"}, Guests: 1,
		Billing: &Billing{Key: testKey, Webhook: testWebhook, URL: stripe.http.URL},
	})
	w.srv.log = lines.To(slog.New(slog.NewJSONHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug})))
	canary := "Zanzibar"
	d := w.device()
	d.headers = map[string]string{"User-Agent": canary + "/1.0", "Accept-Language": canary, "X-Forwarded-For": "203.0.113.77"}
	passkey := newAuthenticator(t, testOrigin)
	d.signUp(passkey)
	r := d.replica()
	chat := vault.NewID()
	must(r.AddMessage(vault.Message{Chat: chat, Role: "user", Text: "Tell me about " + canary, Model: canary, Error: canary, Reasoning: canary}))
	must(r.SetTitle(chat, canary, true))
	must(r.SetRegister(chat, canary, canary))
	must(r.SetRegister("", "settings", map[string]string{canary: canary}))
	d.post(r)
	key := must(vault.NewDeviceKey())
	var link struct{ ID string }
	d.do("POST", "links", map[string]any{"public_key": key.Offer(canary)}, &link)
	offer := must(vault.OpenOffer(key.Offer(canary), key.LinkSecret()))
	d.do("POST", "links/"+link.ID+"/approve", map[string]any{"wrap": must(vault.WrapDevice(d.root, d.account, offer)), "label": vault.SealLabel(d.root, d.account, canary)}, nil)
	d.do("POST", "signin/begin", nil, nil)
	d.do("POST", "passkeys/begin", nil, nil)
	d.do("POST", "tokens", w.wants(w.day(), 2).body(), nil)
	d.do("POST", "guest/tokens", w.wants(w.day(), 1).body(), nil)
	d.do("POST", "plan/voucher", map[string]any{"code": w.voucher(30)}, nil)
	w.voucher(30)
	w.changed("evt_"+canary, stripe.pay(d.checkout(), w.at))
	// Somebody else left while Stripe was away.
	gone := w.device()
	gone.signUp(newAuthenticator(t, testOrigin))
	gone.checkout()
	if err := w.db.DeleteAccount(t.Context(), gone.account); err != nil {
		t.Fatal(err)
	}
	// And what a careless client might try.
	for _, body := range []any{
		map[string]any{"label": []byte(canary)},
		map[string]any{"name": canary},
	} {
		var session signInAnswer
		d.do("GET", "session", nil, &session)
		d.fails(400, "malformed", "PUT", "sessions/"+session.Session.ID.String()+"/label", body)
	}
	var begin beginAnswer
	d.do("POST", "passkeys/begin", nil, &begin)
	second := newAuthenticator(t, testOrigin)
	credential := second.create(begin.PublicKey)
	credential["response"].(map[string]any)["transports"] = []string{"internal", canary}
	credential["authenticatorAttachment"] = "platform"
	d.do("POST", "passkeys/finish", map[string]any{"credential": credential}, nil)
	refused := d.passkeyWrap(passkey)
	refused.Ref = canary + " "
	d.fails(422, "wrap_refused", "PUT", "wraps/"+refused.ID.String(), refused)

	raw, err := sql.Open("sqlite", "file:"+w.path)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	tables := queryStrings(t, raw, `SELECT name FROM sqlite_master WHERE type = 'table'`)
	seen := map[string]bool{}
	for _, table := range tables {
		rows, err := raw.Query(`SELECT * FROM ` + table)
		if err != nil {
			t.Fatal(err)
		}
		names, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for rows.Next() {
			n++
			values := make([]any, len(names))
			for i := range values {
				values[i] = new(any)
			}
			if err := rows.Scan(values...); err != nil {
				t.Fatal(err)
			}
			for i, name := range names {
				v := *values[i].(*any)
				column := table + "." + name
				seen[column] = true
				if problem := checkColumn(columns[column], v); problem != "" {
					t.Errorf("%s: %s: %.80q", column, problem, fmt.Sprint(v))
				}
				if strings.Contains(strings.ToLower(fmt.Sprintf("%s", v)), strings.ToLower(canary)) {
					t.Errorf("%s holds the planted word", column)
				}
			}
		}
		if n == 0 {
			t.Errorf("%s is empty: the scenario doesn't reach it", table)
		}
	}
	for column := range columns {
		if !seen[column] {
			t.Errorf("%s is allowed but not there", column)
		}
	}
	for _, f := range w.files() {
		for _, form := range []string{canary, strings.ToLower(canary), b64([]byte(canary))[:8], "203.0.113.77", "127.0.0.1"} {
			if bytes.Contains(f.data, []byte(form)) {
				t.Errorf("%s holds %q", f.name, form)
			}
		}
	}
	if logged.Len() != 0 {
		t.Errorf("logged: %s", logged.String())
	}
}

func queryStrings(t *testing.T, db *sql.DB, query string) (list []string) {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		list = append(list, s)
	}
	return list
}

// checkColumn tells what is wrong with a value in a column of a kind.
func checkColumn(kind string, v any) string {
	if v == nil {
		return ""
	}
	b, isBytes := v.([]byte)
	n, isNumber := v.(int64)
	s, isText := v.(string)
	today := int64(store.DayOf(time.Now()))
	switch kind {
	case "":
		return "a column that nobody has allowed"
	case "blob16":
		if !isBytes || len(b) != 16 {
			return "not 16 bytes"
		}
	case "blob32":
		if !isBytes || len(b) != 32 {
			return "not 32 bytes"
		}
	case "blob", "params", "state":
		if !isBytes {
			return "not bytes"
		}
	case "sealed":
		if !isBytes || len(b) < 80 {
			return "not ciphertext"
		}
	case "day":
		if !isNumber || n < today-1 || n > today+1 {
			return "not a day"
		}
	case "paid":
		if !isNumber || n < today-1 || n > today+500 {
			return "not a day within the next year"
		}
	case "stripe":
		if !isText || !strings.Contains(s, "_") || len(s) > 100 {
			return "not a name of Stripe's"
		}
	case "minutes":
		if !isNumber || n > time.Now().Add(time.Hour).Unix() {
			return "not a time soon over"
		}
	case "byte":
		if !isNumber || n > 255 {
			return "not a small number"
		}
	case "count":
		if !isNumber || n > 1<<32 {
			return "not a count"
		}
	case "word":
		if !isText || !slices.Contains([]string{"", "internal", "browser", "terminal", "passkey", "recovery", "passphrase", "device", "signup", "signin", "recover", "card", "granted", "active", "ending", "failed"}, s) {
			return "not one of our words"
		}
	case "ref":
		if !isText || len(s) < 32 || strings.ContainsAny(s, " .@") {
			return "not a reference"
		}
	}
	return ""
}
