// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/sotto-chat/sotto/vault"
)

// Bounds on an account's rows.
const (
	MaxPasskeys = 20
	MaxWraps    = 64
	MaxSessions = 100
)

// Passkey is a WebAuthn credential that may sign in.
type Passkey struct {
	ID         []byte
	PublicKey  []byte // COSE
	SignCount  uint32
	Flags      byte // of the authenticator data
	Transports []string
	Label      []byte // sealed; may be empty
	Created    Day
	Used       Day
}

// PasskeyRef is the Ref of the wrap that a passkey opens.
func PasskeyRef(id []byte) string { return base64.RawURLEncoding.EncodeToString(id) }

// CreateAccount makes an account with its first passkey, wraps and session, or
// nothing at all. ErrExists: the passkey or the recovery key is in use.
func (db *DB) CreateAccount(ctx context.Context, account vault.AccountID, p Passkey, wraps []vault.Wrap, s NewSession) error {
	return db.update(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO accounts (id, created, seq, head, bytes) VALUES ($1, $2, 0, $3, 0)`,
			account[:], s.Day, hashBytes(vault.Genesis(account))); err != nil {
			return exists(err)
		}
		if err := insertPasskey(ctx, tx, account, p); err != nil {
			return err
		}
		for _, w := range wraps {
			if err := putWrap(ctx, tx, account, w); err != nil {
				return err
			}
		}
		if err := checkWaysIn(ctx, tx, account); err != nil {
			return err
		}
		return insertSession(ctx, tx, account, s)
	})
}

// DeleteAccount removes every row of an account in one transaction and then
// overwrites what is left of them on the disk. If it has a customer at Stripe, that
// one's name goes to [DB.Farewells].
func (db *DB) DeleteAccount(ctx context.Context, account vault.AccountID) error {
	err := db.update(ctx, func(tx *sql.Tx) error {
		// A ceremony hangs on no foreign key: at a sign-up there is no account yet.
		if _, err := tx.ExecContext(ctx, `DELETE FROM ceremonies WHERE account = $1`, account[:]); err != nil {
			return fmt.Errorf("store: %w", err)
		}
		// A card goes on being charged until Stripe knows. Nothing in this row says whose
		// it was.
		if _, err := tx.ExecContext(ctx, `INSERT INTO farewells (customer, checkout)
			SELECT customer, checkout FROM customers WHERE account = $1 AND customer IS NOT NULL`, account[:]); err != nil {
			return fmt.Errorf("store: %w", err)
		}
		return one(tx.ExecContext(ctx, `DELETE FROM accounts WHERE id = $1`, account[:]))
	})
	if err != nil {
		return err
	}
	return db.Scrub(ctx)
}

// AddPasskey adds a passkey and, if there is one, its wrap.
func (db *DB) AddPasskey(ctx context.Context, account vault.AccountID, p Passkey, wrap *vault.Wrap) error {
	return db.update(ctx, func(tx *sql.Tx) error {
		if err := below(ctx, tx, MaxPasskeys, `SELECT count(*) FROM passkeys WHERE account = $1`, account); err != nil {
			return err
		}
		if err := insertPasskey(ctx, tx, account, p); err != nil {
			return err
		}
		if wrap == nil {
			return nil
		}
		return putWrap(ctx, tx, account, *wrap)
	})
}

func insertPasskey(ctx context.Context, tx *sql.Tx, account vault.AccountID, p Passkey) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO passkeys (id, account, public_key, sign_count, flags, transports, label, created, used)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		p.ID, account[:], p.PublicKey, p.SignCount, p.Flags, strings.Join(p.Transports, ","), null(p.Label), p.Created, p.Used)
	return exists(err)
}

// Passkeys returns an account's passkeys, oldest first.
func (db *DB) Passkeys(ctx context.Context, account vault.AccountID) ([]Passkey, error) {
	rows, err := db.read.QueryContext(ctx, `SELECT id, public_key, sign_count, flags, transports, label, created, used
		FROM passkeys WHERE account = $1 ORDER BY created, id`, account[:])
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	defer rows.Close()
	var list []Passkey
	for rows.Next() {
		var p Passkey
		var transports string
		if err := rows.Scan(&p.ID, &p.PublicKey, &p.SignCount, &p.Flags, &transports, &p.Label, &p.Created, &p.Used); err != nil {
			return nil, fmt.Errorf("store: %w", err)
		}
		if transports != "" {
			p.Transports = strings.Split(transports, ",")
		}
		list = append(list, p)
	}
	return list, rows.Err()
}

// PasskeyUsed notes a sign-in: the counter and flags that the passkey stated.
func (db *DB) PasskeyUsed(ctx context.Context, account vault.AccountID, id []byte, signCount uint32, flags byte, day Day) error {
	return db.update(ctx, func(tx *sql.Tx) error {
		return one(tx.ExecContext(ctx, `UPDATE passkeys SET sign_count = $3, flags = $4, used = $5 WHERE account = $1 AND id = $2`,
			account[:], id, signCount, flags, day))
	})
}

// LabelPasskey sets the sealed name of a passkey.
func (db *DB) LabelPasskey(ctx context.Context, account vault.AccountID, id, label []byte) error {
	return db.update(ctx, func(tx *sql.Tx) error {
		return one(tx.ExecContext(ctx, `UPDATE passkeys SET label = $3 WHERE account = $1 AND id = $2`, account[:], id, null(label)))
	})
}

// DeletePasskey removes a passkey and its wrap. ErrLastWayIn when the account
// needs them.
func (db *DB) DeletePasskey(ctx context.Context, account vault.AccountID, id []byte) error {
	return db.update(ctx, func(tx *sql.Tx) error {
		if err := one(tx.ExecContext(ctx, `DELETE FROM passkeys WHERE account = $1 AND id = $2`, account[:], id)); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM wraps WHERE account = $1 AND kind = $2 AND ref = $3`,
			account[:], vault.KindPasskey, PasskeyRef(id)); err != nil {
			return fmt.Errorf("store: %w", err)
		}
		return checkWaysIn(ctx, tx, account)
	})
}

// Wraps returns an account's wraps.
func (db *DB) Wraps(ctx context.Context, account vault.AccountID) ([]vault.Wrap, error) {
	rows, err := db.read.QueryContext(ctx, `SELECT id, kind, ref, params, data FROM wraps WHERE account = $1 ORDER BY kind, id`, account[:])
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	defer rows.Close()
	var list []vault.Wrap
	for rows.Next() {
		w, err := scanWrap(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, w)
	}
	return list, rows.Err()
}

func scanWrap(row interface{ Scan(...any) error }) (w vault.Wrap, err error) {
	var id, params []byte
	if err := row.Scan(&id, &w.Kind, &w.Ref, &params, &w.Data); err != nil {
		return w, fmt.Errorf("store: %w", notFound(err))
	}
	w.ID, w.Params = vault.RecordID(id), params
	return w, nil
}

// RecoveryWrap finds the account that a recovery key belongs to.
func (db *DB) RecoveryWrap(ctx context.Context, recoveryID vault.RecordID) (account vault.AccountID, w vault.Wrap, err error) {
	var id []byte
	err = db.read.QueryRowContext(ctx, `SELECT account FROM wraps WHERE kind = $1 AND ref = $2`, vault.KindRecovery, recoveryID.String()).Scan(&id)
	if err != nil {
		return account, w, fmt.Errorf("store: %w", notFound(err))
	}
	account = vault.AccountID(id)
	w, err = scanWrap(db.read.QueryRowContext(ctx, `SELECT id, kind, ref, params, data FROM wraps WHERE kind = $1 AND ref = $2`,
		vault.KindRecovery, recoveryID.String()))
	return account, w, err
}

// PutWrap adds a wrap or takes the place of the one with its id. ErrLastWayIn
// when the one replaced was needed, ErrNotFound when a passkey wrap names no
// passkey of the account.
func (db *DB) PutWrap(ctx context.Context, account vault.AccountID, w vault.Wrap) error {
	return db.update(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM wraps WHERE account = $1 AND id = $2`, account[:], w.ID[:]); err != nil {
			return fmt.Errorf("store: %w", err)
		}
		if err := putWrap(ctx, tx, account, w); err != nil {
			return err
		}
		return checkWaysIn(ctx, tx, account)
	})
}

func putWrap(ctx context.Context, tx *sql.Tx, account vault.AccountID, w vault.Wrap) error {
	if err := below(ctx, tx, MaxWraps, `SELECT count(*) FROM wraps WHERE account = $1`, account); err != nil {
		return err
	}
	if w.Kind == vault.KindPasskey {
		id, err := base64.RawURLEncoding.DecodeString(w.Ref)
		if err != nil {
			return ErrNotFound
		}
		var n int
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM passkeys WHERE account = $1 AND id = $2`, account[:], id).Scan(&n); err != nil {
			return fmt.Errorf("store: %w", err)
		}
		if n == 0 {
			return ErrNotFound
		}
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO wraps (account, id, kind, ref, params, data) VALUES ($1, $2, $3, $4, $5, $6)`,
		account[:], w.ID[:], w.Kind, w.Ref, null(w.Params), w.Data)
	return exists(err)
}

// DeleteWrap removes a wrap. ErrLastWayIn when the account needs it.
func (db *DB) DeleteWrap(ctx context.Context, account vault.AccountID, id vault.RecordID) error {
	return db.update(ctx, func(tx *sql.Tx) error {
		if err := one(tx.ExecContext(ctx, `DELETE FROM wraps WHERE account = $1 AND id = $2`, account[:], id[:])); err != nil {
			return err
		}
		return checkWaysIn(ctx, tx, account)
	})
}

// checkWaysIn holds the rule that no account can lose itself: it keeps a
// recovery wrap, which can both enter and open, and a second wrap that a person
// can use. A terminal's wrap doesn't count: a terminal is easily lost.
func checkWaysIn(ctx context.Context, tx *sql.Tx, account vault.AccountID) error {
	var wraps, recovery int
	err := tx.QueryRowContext(ctx, `SELECT count(*), count(CASE WHEN kind = 'recovery' THEN 1 END)
		FROM wraps WHERE account = $1 AND kind <> 'device'`, account[:]).Scan(&wraps, &recovery)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if wraps < 2 || recovery < 1 {
		return ErrLastWayIn
	}
	return nil
}

// below returns ErrTooMany when a count has reached its bound.
func below(ctx context.Context, tx *sql.Tx, bound int, count string, account vault.AccountID) error {
	var n int
	if err := tx.QueryRowContext(ctx, count, account[:]).Scan(&n); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if n >= bound {
		return ErrTooMany
	}
	return nil
}

func hashBytes(h vault.Head) []byte { return h.Hash[:] }
