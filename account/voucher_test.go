// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package account

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sotto-chat/sotto/store"
)

// voucher makes a voucher and returns its code.
func (w *world) voucher(days int) string {
	w.t.Helper()
	v := NewVoucher()
	kept := store.Voucher{Hash: v.Hash(), Days: days, Expires: store.DayOf(w.at) + VoucherLife}
	if err := w.db.AddVouchers(context.Background(), []store.Voucher{kept}); err != nil {
		w.t.Fatal(err)
	}
	return v.Code()
}

func TestVoucher(t *testing.T) {
	w := newTokenWorld(t, 0)
	d := w.device()
	d.signUp(newAuthenticator(t, testOrigin))
	redeem := func(code string) map[string]any { return map[string]any{"code": code} }
	first, second := w.voucher(30), w.voucher(10)
	var p planInfo
	d.do("POST", "plan/voucher", redeem(strings.ToLower(strings.ReplaceAll(first, "-", " "))), &p)
	if p.Plan != "member" || p.Source != store.Granted || p.Until == nil || *p.Until != store.DayOf(w.at)+29 {
		t.Errorf("%+v", p)
	}
	d.do("POST", "plan/voucher", redeem(second), nil)
	d.wantPlan("both", "member", "", 39)
	d.fails(409, "voucher_used", "POST", "plan/voucher", redeem(first))
	d.fails(404, "voucher_unknown", "POST", "plan/voucher", redeem(NewVoucher().Code()))
	d.fails(422, "voucher_mistyped", "POST", "plan/voucher", redeem(first[1:]))
	d.fails(400, "malformed", "POST", "plan/voucher", map[string]any{"code": first, "more": 1})
	late := w.voucher(5)
	w.at = w.at.AddDate(0, 0, VoucherLife+1)
	d.signUp(newAuthenticator(t, testOrigin))
	d.fails(404, "voucher_unknown", "POST", "plan/voucher", redeem(late))
	d.wantPlan("long after", "free", "", 0)
	w.device().fails(401, "signed_out", "POST", "plan/voucher", redeem(late))
}

// TestVoucherWorksOnce, though many bring it at the same time.
func TestVoucherWorksOnce(t *testing.T) {
	w := newTokenWorld(t, 0)
	code := w.voucher(30)
	var worked atomic.Int32
	var all sync.WaitGroup
	for range 4 {
		d := w.device()
		d.signUp(newAuthenticator(t, testOrigin))
		all.Go(func() {
			resp := d.request("POST", "plan/voucher", map[string]any{"code": code})
			resp.Body.Close()
			if resp.StatusCode == 200 {
				worked.Add(1)
			}
		})
	}
	all.Wait()
	if worked.Load() != 1 {
		t.Errorf("it worked %d times", worked.Load())
	}
}

func TestVoucherCode(t *testing.T) {
	v := NewVoucher()
	code := v.Code()
	if len(code) != 23 || v == NewVoucher() {
		t.Fatalf("a code of %d characters", len(code))
	}
	again, err := ParseVoucher(" " + strings.ReplaceAll(strings.ToLower(code), "0", "o"))
	if err != nil || again != v || again.Hash() != v.Hash() {
		t.Errorf("read otherwise: %v", err)
	}
	if s := fmt.Sprintf("%v %s %#v %+v", v, v, v, []Voucher{v}); strings.Contains(s, code[:5]) {
		t.Error("a code is shown")
	}
	missed := 0
	for at := range code {
		for _, c := range voucherAlphabet {
			other := code[:at] + string(c) + code[at+1:]
			if got, err := ParseVoucher(other); other != code && code[at] != '-' && err == nil && got != v {
				missed++
			}
		}
	}
	if missed > 10 { // of 620: one in a thousand is to be expected
		t.Errorf("%d wrong characters are not noticed", missed)
	}
	for _, s := range []string{"", code[:22], code + "0", strings.Repeat(" ", 100), strings.Replace(code, code[:1], "U", 1), code + "é", "\xff" + code} {
		if _, err := ParseVoucher(s); err != ErrVoucher {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func FuzzParseVoucher(f *testing.F) {
	f.Add(NewVoucher().Code())
	f.Add("00000-00000-00000-00000")
	f.Add("ſ")
	f.Fuzz(func(t *testing.T, s string) {
		v, err := ParseVoucher(s)
		if err != nil {
			return
		}
		if again, err := ParseVoucher(v.Code()); err != nil || again != v || len(v.Code()) != 23 {
			t.Errorf("%q is read as %q, and that as %q: %v", s, v.Code(), again.Code(), err)
		}
	})
}
