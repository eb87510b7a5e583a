// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/sotto-chat/sotto/vault"
)

// The kinds of a session.
const (
	Browser  = "browser"
	Terminal = "terminal"
)

// SessionLife is how long a session lasts that is not used.
const SessionLife = 60 // days

// Session is a signed-in browser or terminal, without its token.
type Session struct {
	ID      vault.RecordID
	Account vault.AccountID
	Kind    string
	Label   []byte // sealed; may be empty
	Created Day
	Seen    Day
}

// NewSession is a session to be made.
type NewSession struct {
	ID    vault.RecordID
	Hash  [32]byte // SHA-256 of the token; the token itself is never stored
	Kind  string
	Label []byte          // sealed; may be empty
	Wrap  *vault.RecordID // a terminal's wrap, removed with the session
	Day   Day
}

// AddSession signs a browser in. The session unused for longest makes place when
// there are too many.
func (db *DB) AddSession(ctx context.Context, account vault.AccountID, s NewSession) error {
	return db.update(ctx, func(tx *sql.Tx) error { return insertSession(ctx, tx, account, s) })
}

func insertSession(ctx context.Context, tx *sql.Tx, account vault.AccountID, s NewSession) error {
	for {
		err := below(ctx, tx, MaxSessions, `SELECT count(*) FROM sessions WHERE account = $1`, account)
		if err == nil {
			break
		}
		if err != ErrTooMany {
			return err
		}
		var oldest []byte
		if err := tx.QueryRowContext(ctx, `SELECT id FROM sessions WHERE account = $1 ORDER BY seen, created, id LIMIT 1`, account[:]).Scan(&oldest); err != nil {
			return fmt.Errorf("store: %w", err)
		}
		if err := deleteSession(ctx, tx, account, vault.RecordID(oldest)); err != nil {
			return err
		}
	}
	var wrap any
	if s.Wrap != nil {
		wrap = s.Wrap[:]
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO sessions (hash, id, account, kind, label, wrap, created, seen) VALUES ($1, $2, $3, $4, $5, $6, $7, $7)`,
		s.Hash[:], s.ID[:], account[:], s.Kind, null(s.Label), wrap, s.Day)
	return exists(err)
}

// Session finds the session of a token's hash and notes the day, at most once a
// day. ErrNotFound also when it has not been used for [SessionLife].
func (db *DB) Session(ctx context.Context, hash [32]byte, today Day) (Session, error) {
	var s Session
	var id, account []byte
	err := db.read.QueryRowContext(ctx, `SELECT id, account, kind, label, created, seen FROM sessions WHERE hash = $1`, hash[:]).
		Scan(&id, &account, &s.Kind, &s.Label, &s.Created, &s.Seen)
	if err != nil {
		return s, fmt.Errorf("store: %w", notFound(err))
	}
	s.ID, s.Account = vault.RecordID(id), vault.AccountID(account)
	if today > s.Seen+SessionLife {
		if err := db.DeleteSession(ctx, s.Account, s.ID); err != nil {
			return s, err
		}
		return s, ErrNotFound
	}
	if today > s.Seen {
		s.Seen = today
		err := db.update(ctx, func(tx *sql.Tx) error {
			return one(tx.ExecContext(ctx, `UPDATE sessions SET seen = $2 WHERE hash = $1`, hash[:], today))
		})
		return s, err
	}
	return s, nil
}

// Sessions returns an account's sessions, newest first.
func (db *DB) Sessions(ctx context.Context, account vault.AccountID) ([]Session, error) {
	rows, err := db.read.QueryContext(ctx, `SELECT id, kind, label, created, seen FROM sessions WHERE account = $1 ORDER BY seen DESC, created DESC, id`, account[:])
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	defer rows.Close()
	var list []Session
	for rows.Next() {
		s := Session{Account: account}
		var id []byte
		if err := rows.Scan(&id, &s.Kind, &s.Label, &s.Created, &s.Seen); err != nil {
			return nil, fmt.Errorf("store: %w", err)
		}
		s.ID = vault.RecordID(id)
		list = append(list, s)
	}
	return list, rows.Err()
}

// LabelSession sets the sealed name of a session.
func (db *DB) LabelSession(ctx context.Context, account vault.AccountID, id vault.RecordID, label []byte) error {
	return db.update(ctx, func(tx *sql.Tx) error {
		return one(tx.ExecContext(ctx, `UPDATE sessions SET label = $3 WHERE account = $1 AND id = $2`, account[:], id[:], null(label)))
	})
}

// DeleteSession signs a browser or terminal out; a terminal's wrap goes too.
func (db *DB) DeleteSession(ctx context.Context, account vault.AccountID, id vault.RecordID) error {
	return db.update(ctx, func(tx *sql.Tx) error { return deleteSession(ctx, tx, account, id) })
}

func deleteSession(ctx context.Context, tx *sql.Tx, account vault.AccountID, id vault.RecordID) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM wraps WHERE account = $1 AND kind = 'device'
		AND id IN (SELECT wrap FROM sessions WHERE account = $1 AND id = $2)`, account[:], id[:]); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return one(tx.ExecContext(ctx, `DELETE FROM sessions WHERE account = $1 AND id = $2`, account[:], id[:]))
}

// Ceremony is a sign-up or sign-in that has begun.
type Ceremony struct {
	Kind    string
	Account *vault.AccountID // whose it is, where that is known at its start
	Data    []byte           // what must come back unchanged
}

const (
	maxCeremonies = 20_000
	maxLinks      = 5_000
)

// BeginCeremony keeps a ceremony under the hash of its challenge until expires.
// When strangers begin more than there is room for, those that end first go.
func (db *DB) BeginCeremony(ctx context.Context, challenge [32]byte, c Ceremony, now, expires time.Time) error {
	var account any
	if c.Account != nil {
		account = c.Account[:]
	}
	return db.update(ctx, func(tx *sql.Tx) error {
		if err := expire(ctx, tx, "ceremonies", "hash", maxCeremonies, now); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO ceremonies (hash, kind, account, data, expires) VALUES ($1, $2, $3, $4, $5)`,
			challenge[:], c.Kind, account, c.Data, expires.Unix())
		return exists(err)
	})
}

// EndCeremony takes a ceremony away and returns it: it can be ended once only.
// ErrNotFound: never begun, ended already, of another kind, or too old.
func (db *DB) EndCeremony(ctx context.Context, challenge [32]byte, kind string, now time.Time) (Ceremony, error) {
	c := Ceremony{Kind: kind}
	err := db.update(ctx, func(tx *sql.Tx) error {
		var account []byte
		var expires int64
		err := tx.QueryRowContext(ctx, `DELETE FROM ceremonies WHERE hash = $1 AND kind = $2 RETURNING account, data, expires`, challenge[:], kind).
			Scan(&account, &c.Data, &expires)
		if err != nil {
			return fmt.Errorf("store: %w", notFound(err))
		}
		if len(account) > 0 {
			id := vault.AccountID(account)
			c.Account = &id
		}
		if now.Unix() >= expires {
			c.Data = nil
		}
		return nil
	})
	if err == nil && c.Data == nil {
		err = ErrNotFound
	}
	return c, err
}

// expire drops the rows whose time is over and makes room for one more. The
// names are ours, never a stranger's.
func expire(ctx context.Context, tx *sql.Tx, table, key string, bound int, now time.Time) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM `+table+` WHERE expires <= $1`, now.Unix()); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	var n int
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM `+table).Scan(&n); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if n < bound {
		return nil
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM `+table+` WHERE `+key+` IN (SELECT `+key+` FROM `+table+` ORDER BY expires LIMIT $1)`, n-bound+1); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

// Link is a terminal that wants to be linked.
type Link struct {
	ID      vault.RecordID
	Poll    [32]byte // SHA-256 of the terminal's secret
	Offer   []byte
	Expires time.Time
	Account *vault.AccountID // set once approved
	Wrap    *vault.Wrap
	Label   []byte // sealed
}

// AddLink keeps a new link.
func (db *DB) AddLink(ctx context.Context, l Link, now time.Time) error {
	return db.update(ctx, func(tx *sql.Tx) error {
		if err := expire(ctx, tx, "links", "id", maxLinks, now); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO links (id, poll, offer, expires) VALUES ($1, $2, $3, $4)`, l.ID[:], l.Poll[:], l.Offer, l.Expires.Unix())
		return exists(err)
	})
}

// Link returns a link that is not over.
func (db *DB) Link(ctx context.Context, id vault.RecordID, now time.Time) (l Link, err error) {
	err = db.view(ctx, func(tx *sql.Tx) error {
		l, err = getLink(ctx, tx, id, now)
		return err
	})
	return l, err
}

func getLink(ctx context.Context, tx *sql.Tx, id vault.RecordID, now time.Time) (Link, error) {
	l := Link{ID: id}
	var poll, account, wrap []byte
	var expires int64
	err := tx.QueryRowContext(ctx, `SELECT poll, offer, expires, account, wrap, label FROM links WHERE id = $1 AND expires > $2`, id[:], now.Unix()).
		Scan(&poll, &l.Offer, &expires, &account, &wrap, &l.Label)
	if err != nil {
		return l, fmt.Errorf("store: %w", notFound(err))
	}
	l.Poll, l.Expires = [32]byte(poll), time.Unix(expires, 0)
	if len(account) > 0 {
		a := vault.AccountID(account)
		l.Account, l.Wrap = &a, new(vault.Wrap)
		if err := json.Unmarshal(wrap, l.Wrap); err != nil {
			return l, fmt.Errorf("store: wrap of a link: %w", err)
		}
	}
	return l, nil
}

// ApproveLink gives a link to an account. ErrUsed: it was approved before.
func (db *DB) ApproveLink(ctx context.Context, id vault.RecordID, account vault.AccountID, wrap vault.Wrap, label []byte, now time.Time) error {
	encoded, err := json.Marshal(wrap)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return db.update(ctx, func(tx *sql.Tx) error {
		l, err := getLink(ctx, tx, id, now)
		if err != nil {
			return err
		}
		if l.Account != nil {
			return ErrUsed
		}
		return one(tx.ExecContext(ctx, `UPDATE links SET account = $2, wrap = $3, label = $4 WHERE id = $1`, id[:], account[:], encoded, null(label)))
	})
}

// RedeemLink ends an approved link: the terminal gets its wrap and session.
func (db *DB) RedeemLink(ctx context.Context, id vault.RecordID, s NewSession, now time.Time) (Link, error) {
	var l Link
	err := db.update(ctx, func(tx *sql.Tx) error {
		var err error
		if l, err = getLink(ctx, tx, id, now); err != nil {
			return err
		}
		if l.Account == nil {
			return ErrNotFound
		}
		if err := putWrap(ctx, tx, *l.Account, *l.Wrap); err != nil {
			return err
		}
		s.Label, s.Wrap = l.Label, &l.Wrap.ID
		if err := insertSession(ctx, tx, *l.Account, s); err != nil {
			return err
		}
		return one(tx.ExecContext(ctx, `DELETE FROM links WHERE id = $1`, id[:]))
	})
	return l, err
}
