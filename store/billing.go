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

// Customer is an account as Stripe knows it.
type Customer struct {
	Ref      [16]byte // what Stripe is told instead of the account
	ID       string   // Stripe's name; "" before there is one
	Checkout string   // the one checkout page that may be open; "" for none
}

// Customer returns the customer of an account. ErrNotFound: it has none.
func (db *DB) Customer(ctx context.Context, account vault.AccountID) (Customer, error) {
	return getCustomer(db.read.QueryRowContext(ctx, `SELECT ref, customer, checkout FROM customers WHERE account = $1`, account[:]))
}

func getCustomer(row *sql.Row) (c Customer, err error) {
	var ref []byte
	if err := row.Scan(&ref, &maybe[string]{&c.ID}, &maybe[string]{&c.Checkout}); err != nil {
		return c, fmt.Errorf("store: %w", notFound(err))
	}
	c.Ref = [16]byte(ref)
	return c, nil
}

// NewCustomer gives an account a customer with a reference, unless it has one, and
// returns the one that it has. ErrNotFound: no such account.
func (db *DB) NewCustomer(ctx context.Context, account vault.AccountID, ref [16]byte) (c Customer, err error) {
	err = db.update(ctx, func(tx *sql.Tx) (err error) {
		if _, err := tx.ExecContext(ctx, `INSERT INTO customers (account, ref, state)
			SELECT id, $2, '' FROM accounts WHERE id = $1 ON CONFLICT (account) DO NOTHING`, account[:], ref[:]); err != nil {
			return fmt.Errorf("store: %w", err)
		}
		c, err = getCustomer(tx.QueryRowContext(ctx, `SELECT ref, customer, checkout FROM customers WHERE account = $1`, account[:]))
		return err
	})
	return c, err
}

// SetCustomer keeps Stripe's names of an account's customer and of the checkout
// page that is open, "" for none. ErrNotFound: the account is gone.
func (db *DB) SetCustomer(ctx context.Context, account vault.AccountID, customer, checkout string) error {
	return db.update(ctx, func(tx *sql.Tx) error {
		return one(tx.ExecContext(ctx, `UPDATE customers SET customer = $2, checkout = $3 WHERE account = $1`,
			account[:], nullText(customer), nullText(checkout)))
	})
}

// CustomerAccount finds the account of one of Stripe's customers.
func (db *DB) CustomerAccount(ctx context.Context, customer string) (account vault.AccountID, err error) {
	var id []byte
	if err := db.read.QueryRowContext(ctx, `SELECT account FROM customers WHERE customer = $1`, customer).Scan(&id); err != nil {
		return account, fmt.Errorf("store: %w", notFound(err))
	}
	return vault.AccountID(id), nil
}

// SetCard keeps what Stripe says of an account: the last day that is paid by card,
// 0 for none, and the state (see [Plan]). ErrNotFound: the account is gone.
func (db *DB) SetCard(ctx context.Context, account vault.AccountID, until Day, state string) error {
	return db.update(ctx, func(tx *sql.Tx) error {
		if err := one(tx.ExecContext(ctx, `UPDATE customers SET state = $2 WHERE account = $1`, account[:], state)); err != nil {
			return err
		}
		if until > 0 {
			return setPlan(ctx, tx, account, Card, until)
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM plans WHERE account = $1 AND source = $2`, account[:], Card); err != nil {
			return fmt.Errorf("store: %w", err)
		}
		return nil
	})
}

// EventSeen reports whether an event, by the hash of its id, was dealt with.
func (db *DB) EventSeen(ctx context.Context, hash [32]byte) (bool, error) {
	var n int
	if err := db.read.QueryRowContext(ctx, `SELECT count(*) FROM events WHERE hash = $1`, hash[:]).Scan(&n); err != nil {
		return false, fmt.Errorf("store: %w", err)
	}
	return n > 0, nil
}

// AddEvent notes that an event was dealt with.
func (db *DB) AddEvent(ctx context.Context, hash [32]byte, day Day) error {
	return db.update(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO events (hash, day) VALUES ($1, $2) ON CONFLICT (hash) DO NOTHING`, hash[:], day); err != nil {
			return fmt.Errorf("store: %w", err)
		}
		return nil
	})
}

// Farewells returns customers of accounts that are gone, a hundred at most.
func (db *DB) Farewells(ctx context.Context) (list []Customer, err error) {
	rows, err := db.read.QueryContext(ctx, `SELECT customer, checkout FROM farewells LIMIT 100`)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var c Customer
		if err := rows.Scan(&c.ID, &maybe[string]{&c.Checkout}); err != nil {
			return nil, fmt.Errorf("store: %w", err)
		}
		list = append(list, c)
	}
	return list, rows.Err()
}

// EndFarewell forgets a customer that Stripe has forgotten too.
func (db *DB) EndFarewell(ctx context.Context, customer string) error {
	err := db.update(ctx, func(tx *sql.Tx) error {
		return one(tx.ExecContext(ctx, `DELETE FROM farewells WHERE customer = $1`, customer))
	})
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	return db.Scrub(ctx)
}

// nullText stores an empty text as NULL.
func nullText(s string) any {
	if s == "" {
		return nil
	}
	return s
}
