// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/sotto-chat/sotto/vault"
)

// Ways to pay for a plan.
const (
	Card    = "card"
	Granted = "granted" // by the operator or a voucher
)

// ErrSpent: the day's allowance, or what was offered once, is used up.
var ErrSpent = errors.New("store: used up")

// Plan is what was paid for an account: the last day of each way, 0 for none.
type Plan struct {
	Card    Day
	Granted Day
	// State is how paying by card stands: "" (not at all), "active", "ending"
	// (cancelled, and paid until Card), "failed" (the card was refused).
	State string
}

// Until returns the last day that is paid, 0 for none.
func (p Plan) Until() Day { return max(p.Card, p.Granted) }

// Plan returns what was paid for an account; nothing for one that isn't there.
func (db *DB) Plan(ctx context.Context, account vault.AccountID) (Plan, error) {
	var p Plan
	err := db.view(ctx, func(tx *sql.Tx) (err error) {
		p, err = getPlan(ctx, tx, account)
		return err
	})
	return p, err
}

func getPlan(ctx context.Context, tx *sql.Tx, account vault.AccountID) (p Plan, err error) {
	for source, until := range map[string]*Day{Card: &p.Card, Granted: &p.Granted} {
		err := tx.QueryRowContext(ctx, `SELECT until FROM plans WHERE account = $1 AND source = $2`, account[:], source).Scan(until)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return p, fmt.Errorf("store: %w", err)
		}
	}
	err = tx.QueryRowContext(ctx, `SELECT state FROM customers WHERE account = $1`, account[:]).Scan(&p.State)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return p, fmt.Errorf("store: %w", err)
	}
	return p, nil
}

func setPlan(ctx context.Context, tx *sql.Tx, account vault.AccountID, source string, until Day) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO plans (account, source, until) VALUES ($1, $2, $3)
		ON CONFLICT (account, source) DO UPDATE SET until = excluded.until`, account[:], source, until)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

// Grant adds days to what an account was granted: from today on, or after the
// days that it has. It returns the new last day. ErrNotFound: no such account.
func (db *DB) Grant(ctx context.Context, account vault.AccountID, days int, today Day) (until Day, err error) {
	err = db.update(ctx, func(tx *sql.Tx) (err error) {
		until, err = grant(ctx, tx, account, days, today)
		return err
	})
	return until, err
}

func grant(ctx context.Context, tx *sql.Tx, account vault.AccountID, days int, today Day) (Day, error) {
	var n int
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM accounts WHERE id = $1`, account[:]).Scan(&n); err != nil {
		return 0, fmt.Errorf("store: %w", err)
	}
	if n == 0 {
		return 0, ErrNotFound
	}
	p, err := getPlan(ctx, tx, account)
	if err != nil {
		return 0, err
	}
	until := max(p.Granted, today-1) + Day(days)
	return until, setPlan(ctx, tx, account, Granted, until)
}

// Revoke ends what an account was granted, today.
func (db *DB) Revoke(ctx context.Context, account vault.AccountID) error {
	return db.update(ctx, func(tx *sql.Tx) error {
		return one(tx.ExecContext(ctx, `DELETE FROM plans WHERE account = $1 AND source = $2`, account[:], Granted))
	})
}

// Voucher is a code that pays, of which a hash is kept.
type Voucher struct {
	Hash    [32]byte
	Days    int // that it pays for
	Expires Day // the last day on which it is taken
}

// AddVouchers keeps new vouchers, all or none.
func (db *DB) AddVouchers(ctx context.Context, list []Voucher) error {
	return db.update(ctx, func(tx *sql.Tx) error {
		for _, v := range list {
			if _, err := tx.ExecContext(ctx, `INSERT INTO vouchers (hash, days, expires, used) VALUES ($1, $2, $3, 0)`,
				v.Hash[:], v.Days, v.Expires); err != nil {
				return exists(err)
			}
		}
		return nil
	})
}

// Redeem adds a voucher's days to an account, once. ErrNotFound: there is no such
// voucher, or it came too late. ErrUsed: it was redeemed. ErrExists: a card pays for
// the account, and the voucher stays as it is.
func (db *DB) Redeem(ctx context.Context, account vault.AccountID, hash [32]byte, today Day) error {
	return db.update(ctx, func(tx *sql.Tx) error {
		var days, used int
		err := tx.QueryRowContext(ctx, `SELECT days, used FROM vouchers WHERE hash = $1 AND expires >= $2`, hash[:], today).Scan(&days, &used)
		if err != nil {
			return fmt.Errorf("store: %w", notFound(err))
		}
		if used != 0 {
			return ErrUsed
		}
		p, err := getPlan(ctx, tx, account)
		if err != nil {
			return err
		}
		if p.Card >= today {
			return ErrExists
		}
		if _, err := grant(ctx, tx, account, days, today); err != nil {
			return err
		}
		return one(tx.ExecContext(ctx, `UPDATE vouchers SET used = 1 WHERE hash = $1`, hash[:]))
	})
}

// PlanCounts is what an operator may know of all accounts together.
type PlanCounts struct {
	Accounts int
	Card     int // members who pay by card
	Granted  int // members by grant or voucher alone
	Ending   int // of those by card, cancelled
	Failed   int // of those by card, whose card was refused
	Vouchers int // made and not yet used
	Issued   int // tokens signed for today
}

// CountPlans counts plans.
func (db *DB) CountPlans(ctx context.Context, today Day) (c PlanCounts, err error) {
	err = db.read.QueryRowContext(ctx, `SELECT
		(SELECT count(*) FROM accounts),
		(SELECT count(*) FROM plans WHERE source = 'card' AND until >= $1),
		(SELECT count(*) FROM plans p WHERE source = 'granted' AND until >= $1
			AND NOT EXISTS (SELECT 1 FROM plans q WHERE q.account = p.account AND q.source = 'card' AND q.until >= $1)),
		(SELECT count(*) FROM customers WHERE state = 'ending'),
		(SELECT count(*) FROM customers WHERE state = 'failed'),
		(SELECT count(*) FROM vouchers WHERE used = 0 AND expires >= $1),
		(SELECT coalesce(sum(n), 0) FROM issued WHERE day = $1)`, today).
		Scan(&c.Accounts, &c.Card, &c.Granted, &c.Ending, &c.Failed, &c.Vouchers, &c.Issued)
	if err != nil {
		return c, fmt.Errorf("store: %w", err)
	}
	return c, nil
}

// Issued returns how many tokens of a day were signed for an account.
func (db *DB) Issued(ctx context.Context, account vault.AccountID, day Day) (n int, err error) {
	err = db.read.QueryRowContext(ctx, `SELECT n FROM issued WHERE account = $1 AND day = $2`, account[:], day).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("store: %w", err)
	}
	return n, nil
}

// Issue counts a batch of n tokens of a day, named by a hash, and returns how many
// were signed for the account with it. A batch that was counted before is counted
// no more, and again says so. allowance says how many the plan gives that day, -1
// for any number; more is asked about batches that are new: nil, or an error for
// which nothing is counted. ErrSpent: the batch would be more than the allowance,
// with the number that were signed. ErrNotFound: no such account.
func (db *DB) Issue(ctx context.Context, account vault.AccountID, day Day, batch [32]byte, n int,
	allowance func(Plan) int, more func(Plan) error) (issued int, plan Plan, again bool, err error) {
	err = db.update(ctx, func(tx *sql.Tx) error {
		var there int
		err := tx.QueryRowContext(ctx, `SELECT count(*), (SELECT n FROM issued WHERE account = $1 AND day = $2) FROM accounts WHERE id = $1`,
			account[:], day).Scan(&there, &maybe[int]{&issued})
		if err != nil {
			return fmt.Errorf("store: %w", err)
		}
		if there == 0 {
			return ErrNotFound
		}
		if plan, err = getPlan(ctx, tx, account); err != nil {
			return err
		}
		var counted int
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM batches WHERE account = $1 AND day = $2 AND hash = $3`,
			account[:], day, batch[:]).Scan(&counted); err != nil {
			return fmt.Errorf("store: %w", err)
		}
		if again = counted != 0; again {
			return nil
		}
		if most := allowance(plan); most >= 0 && issued+n > most {
			return ErrSpent
		}
		if err := more(plan); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO batches (account, day, hash) VALUES ($1, $2, $3)`, account[:], day, batch[:]); err != nil {
			return fmt.Errorf("store: %w", err)
		}
		issued += n
		_, err = tx.ExecContext(ctx, `INSERT INTO issued (account, day, n) VALUES ($1, $2, $3)
			ON CONFLICT (account, day) DO UPDATE SET n = excluded.n`, account[:], day, issued)
		if err != nil {
			return fmt.Errorf("store: %w", err)
		}
		return nil
	})
	return issued, plan, again, err
}

// maybe scans a value that may be NULL, which changes nothing.
type maybe[T any] struct{ to *T }

func (m *maybe[T]) Scan(v any) error {
	var n sql.Null[T]
	if err := n.Scan(v); err != nil {
		return err
	}
	if n.Valid {
		*m.to = n.V
	}
	return nil
}

// IssuerKey returns the private key of a day, in PKCS #8. ErrNotFound when none
// was made.
func (db *DB) IssuerKey(ctx context.Context, day Day) ([]byte, error) {
	var key []byte
	err := db.read.QueryRowContext(ctx, `SELECT key FROM issuer_keys WHERE day = $1`, day).Scan(&key)
	if err != nil {
		return nil, fmt.Errorf("store: %w", notFound(err))
	}
	return key, nil
}

// AddIssuerKey keeps the private key of a day unless there is one, and returns the
// one that is kept.
func (db *DB) AddIssuerKey(ctx context.Context, day Day, key []byte) ([]byte, error) {
	err := db.update(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO issuer_keys (day, key) VALUES ($1, $2) ON CONFLICT (day) DO NOTHING`, day, key); err != nil {
			return fmt.Errorf("store: %w", err)
		}
		err := tx.QueryRowContext(ctx, `SELECT key FROM issuer_keys WHERE day = $1`, day).Scan(&key)
		if err != nil {
			return fmt.Errorf("store: %w", err)
		}
		return nil
	})
	return key, err
}

// EventsKept is for how many days an event of Stripe's is remembered. It repeats
// one for three days, and by hand for thirty.
const EventsKept = 31

// EndDays erases what is of days before the given one: keys, counts, batches; and
// vouchers and events that nobody can bring any more.
func (db *DB) EndDays(ctx context.Context, before Day) error {
	erased := false
	err := db.update(ctx, func(tx *sql.Tx) error {
		for statement, bound := range map[string]Day{
			`DELETE FROM issuer_keys WHERE day < $1`:  before,
			`DELETE FROM issued WHERE day < $1`:       before,
			`DELETE FROM batches WHERE day < $1`:      before,
			`DELETE FROM vouchers WHERE expires < $1`: before,
			`DELETE FROM events WHERE day < $1`:       before - EventsKept,
		} {
			res, err := tx.ExecContext(ctx, statement, bound)
			if err != nil {
				return fmt.Errorf("store: %w", err)
			}
			n, err := res.RowsAffected()
			if err != nil {
				return fmt.Errorf("store: %w", err)
			}
			erased = erased || n > 0
		}
		return nil
	})
	if err != nil || !erased {
		return err
	}
	return db.Scrub(ctx)
}
