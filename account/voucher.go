// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package account

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/sotto-chat/sotto/store"
)

// Voucher is a code that pays for days of the member's plan and says nothing of
// who pays. It is secret: whoever has it can use it, once. The zero value is none.
type Voucher struct{ text string }

const (
	voucherSize  = 20 // 18 characters of 5 random bits, and 2 that check them
	voucherGroup = 5
	voucherCheck = 2
	// voucherAlphabet is Crockford's base 32: no I, L, O or U.
	voucherAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

	// MaxVoucherDays is how many days one voucher may pay for.
	MaxVoucherDays = 200
	// VoucherLife is for how many days after it was made a voucher is taken.
	VoucherLife = 400
)

// ErrVoucher means a text that is no voucher, whoever made it.
var ErrVoucher = errors.New("account: not a voucher: it has 20 letters and digits, and the last two have to fit the others")

// NewVoucher makes a code.
func NewVoucher() Voucher {
	b := make([]byte, voucherSize-voucherCheck)
	rand.Read(b)
	for i, v := range b {
		b[i] = voucherAlphabet[v&31]
	}
	return Voucher{string(b) + voucherSum(string(b))}
}

// voucherSum returns the characters that check the others: ten bits of a hash, so
// that one mistyped code in a thousand is looked up.
func voucherSum(s string) string {
	sum := sha256.Sum256([]byte("sotto/1 voucher check\x00" + s))
	return string([]byte{voucherAlphabet[sum[0]&31], voucherAlphabet[sum[1]&31]})
}

// ParseVoucher reads a code as a person types it: any case, with or without spaces
// and hyphens, O for 0 and I or L for 1.
func ParseVoucher(s string) (Voucher, error) {
	if len(s) > 4*voucherSize {
		return Voucher{}, ErrVoucher
	}
	var b strings.Builder
	for _, c := range strings.ToUpper(s) {
		switch c {
		case ' ', '-':
			continue
		case 'O':
			c = '0'
		case 'I', 'L':
			c = '1'
		}
		if !strings.ContainsRune(voucherAlphabet, c) || b.Len() == voucherSize {
			return Voucher{}, ErrVoucher
		}
		b.WriteRune(c)
	}
	v := b.String()
	if len(v) != voucherSize || voucherSum(v[:voucherSize-voucherCheck]) != v[voucherSize-voucherCheck:] {
		return Voucher{}, ErrVoucher
	}
	return Voucher{v}, nil
}

// Code returns the code in groups, for whoever is to use it.
func (v Voucher) Code() string {
	var groups []string
	for at := 0; at+voucherGroup <= len(v.text); at += voucherGroup {
		groups = append(groups, v.text[at:at+voucherGroup])
	}
	return strings.Join(groups, "-")
}

// Hash returns what is kept of it. There are 90 random bits in it, so nobody finds
// the code by trying.
func (v Voucher) Hash() [32]byte { return sha256.Sum256([]byte("sotto/1 voucher\x00" + v.text)) }

// String returns a fixed text instead of the code.
func (Voucher) String() string { return hiddenText }

// GoString returns a fixed text instead of the code.
func (Voucher) GoString() string { return hiddenText }

// Format prints a fixed text instead of the code, whatever the verb.
func (Voucher) Format(f fmt.State, _ rune) { f.Write([]byte(hiddenText)) }

// LogValue returns a fixed text instead of the code.
func (Voucher) LogValue() slog.Value { return slog.StringValue(hiddenText) }

// MarshalJSON refuses: a secret is never part of a document.
func (Voucher) MarshalJSON() ([]byte, error) {
	return nil, errors.New("account: a secret can't be written as JSON")
}

const hiddenText = "[secret]"

// redeemVoucher adds a voucher's days to the plan. While a card pays it is not
// taken: its days would run beside days that are paid.
func (s *Server) redeemVoucher(r *http.Request, session store.Session) (any, error) {
	var body struct {
		Code string `json:"code"`
	}
	if err := read(r, maxBody, &body); err != nil {
		return nil, err
	}
	v, err := ParseVoucher(body.Code)
	if err != nil {
		return nil, errVoucherMistyped
	}
	// Who leaves in the middle of it finds the days in their plan.
	ctx := detached(r)
	release, err := s.beforeVoucher(ctx, session.Account)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := s.store.Redeem(ctx, session.Account, v.Hash(), s.today()); err != nil {
		return nil, translate(err, map[error]*problem{
			store.ErrNotFound: errVoucherUnknown,
			store.ErrUsed:     errVoucherUsed,
			store.ErrExists:   errPaidByCard,
		})
	}
	return s.planInfo(r.Context(), session.Account)
}
