// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/sotto-chat/sotto/vault"
)

const (
	// EntryCost is what an entry counts against an account's bytes besides its
	// data. It is never given back: the chain keeps a row for each entry.
	EntryCost = 256

	pageBytes = 4 << 20
)

// Append puts records at the end of an account's feed, all of them or none, and
// returns the place of each. A record that stands there already, byte for byte,
// keeps its place, so that a post may be repeated. known is the head that the
// device knows, or nil. quota bounds the account's bytes.
//
// ErrExists: the place is taken by other bytes. ErrDiverged: known is not on this
// feed. ErrFull: no room within quota.
func (db *DB) Append(ctx context.Context, account vault.AccountID, puts []vault.Put, known *vault.Head, quota int64) (head vault.Head, seqs []uint64, err error) {
	err = db.update(ctx, func(tx *sql.Tx) error {
		a := appender{ctx: ctx, tx: tx, account: account, statements: db.append.in(ctx, tx)}
		if err := a.load(); err != nil {
			return err
		}
		if known != nil {
			if err := a.check(*known); err != nil {
				return err
			}
		}
		for _, p := range puts {
			seq, err := a.append(p)
			if err != nil {
				return err
			}
			seqs = append(seqs, seq)
		}
		if a.bytes > quota && a.bytes > a.before { // erasing is always possible
			return ErrFull
		}
		head = a.head
		return a.save()
	})
	if err != nil {
		return vault.Head{}, nil, err
	}
	return head, seqs, nil
}

// appender is one append at work, within its transaction.
type appender struct {
	ctx     context.Context
	tx      *sql.Tx
	account vault.AccountID
	head    vault.Head
	bytes   int64
	before  int64 // bytes, when it began

	statements
}

// statements are those of an append, prepared once: half of its time would go
// into parsing them.
type statements struct{ findPlace, insertEntry, eraseRecord, eraseOlder *sql.Stmt }

func prepare(ctx context.Context, db *sql.DB) (s statements, err error) {
	for _, x := range []struct {
		stmt **sql.Stmt
		text string
	}{
		{&s.findPlace, `SELECT seq, digest FROM feed WHERE account = $1 AND id = $2 AND collection = $3 AND version = $4`},
		{&s.insertEntry, `INSERT INTO feed (account, seq, collection, id, version, size, digest, hash, data) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`},
		{&s.eraseRecord, `UPDATE feed SET data = NULL WHERE account = $1 AND id = $2 AND collection <> $3 AND data IS NOT NULL RETURNING size`},
		{&s.eraseOlder, `UPDATE feed SET data = NULL WHERE account = $1 AND id = $2 AND collection = $3 AND version < $4 AND data IS NOT NULL RETURNING size`},
	} {
		if *x.stmt, err = db.PrepareContext(ctx, x.text); err != nil {
			return s, err
		}
	}
	return s, nil
}

// in returns the statements for use within a transaction.
func (s statements) in(ctx context.Context, tx *sql.Tx) statements {
	return statements{
		tx.StmtContext(ctx, s.findPlace), tx.StmtContext(ctx, s.insertEntry),
		tx.StmtContext(ctx, s.eraseRecord), tx.StmtContext(ctx, s.eraseOlder),
	}
}

func (a *appender) load() (err error) {
	a.head, a.bytes, err = loadHead(a.ctx, a.tx, a.account)
	a.before = a.bytes
	return err
}

func loadHead(ctx context.Context, tx *sql.Tx, account vault.AccountID) (head vault.Head, bytes int64, err error) {
	var hash []byte
	err = tx.QueryRowContext(ctx, `SELECT seq, head, bytes FROM accounts WHERE id = $1`, account[:]).Scan(&head.Seq, &hash, &bytes)
	if err != nil {
		return head, 0, fmt.Errorf("store: %w", notFound(err))
	}
	head.Hash = vault.Hash(hash)
	return head, bytes, nil
}

func (a *appender) save() error {
	return one(a.tx.ExecContext(a.ctx, `UPDATE accounts SET seq = $2, head = $3, bytes = $4 WHERE id = $1`,
		a.account[:], int64(a.head.Seq), a.head.Hash[:], a.bytes))
}

func (a *appender) check(known vault.Head) error {
	switch {
	case known.Seq > a.head.Seq:
		return ErrDiverged
	case known.Seq == 0:
		if known != vault.Genesis(a.account) {
			return ErrDiverged
		}
		return nil
	}
	var hash []byte
	err := a.tx.QueryRowContext(a.ctx, `SELECT hash FROM feed WHERE account = $1 AND seq = $2`, a.account[:], int64(known.Seq)).Scan(&hash)
	if err != nil {
		return fmt.Errorf("store: %w", notFound(err))
	}
	if vault.Hash(hash) != known.Hash {
		return ErrDiverged
	}
	return nil
}

func (a *appender) append(p vault.Put) (uint64, error) {
	version, digest := p.Version.Bytes(), vault.Digest(p.Data)
	var seq uint64
	var have []byte
	err := a.findPlace.QueryRowContext(a.ctx, a.account[:], p.ID[:], p.Collection, version[:]).Scan(&seq, &have)
	switch {
	case err == nil && vault.Hash(have) == digest:
		return seq, nil
	case err == nil:
		return 0, ErrExists
	case !errors.Is(err, sql.ErrNoRows):
		return 0, fmt.Errorf("store: %w", err)
	}
	data := p.Data
	if p.Collection == vault.Registers {
		outdated, err := a.supersede(p)
		if err != nil {
			return 0, err
		}
		if outdated {
			data = nil
		}
	}
	a.head = a.head.Next(p.Collection, p.ID, p.Version, digest)
	a.bytes += int64(len(data)) + EntryCost
	_, err = a.insertEntry.ExecContext(a.ctx, a.account[:], int64(a.head.Seq), p.Collection, p.ID[:], version[:],
		len(p.Data), digest[:], a.head.Hash[:], null(data))
	if err != nil {
		return 0, fmt.Errorf("store: %w", exists(err))
	}
	for _, id := range p.Erase {
		if err := a.erase(a.eraseRecord, id[:], vault.Tombstones); err != nil {
			return 0, err
		}
	}
	return a.head.Seq, nil
}

// supersede erases the older versions of a register. If there is a newer one,
// the put itself is outdated.
func (a *appender) supersede(p vault.Put) (outdated bool, err error) {
	version := p.Version.Bytes()
	var newer int
	err = a.tx.QueryRowContext(a.ctx, `SELECT count(*) FROM feed WHERE account = $1 AND id = $2 AND collection = $3 AND version > $4 AND data IS NOT NULL`,
		a.account[:], p.ID[:], p.Collection, version[:]).Scan(&newer)
	if err != nil {
		return false, fmt.Errorf("store: %w", err)
	}
	if newer > 0 {
		return true, nil
	}
	return false, a.erase(a.eraseOlder, p.ID[:], p.Collection, version[:])
}

// erase runs a statement that forgets the data of entries and returns their
// sizes. Their places in the chain stay.
func (a *appender) erase(stmt *sql.Stmt, args ...any) error {
	rows, err := stmt.QueryContext(a.ctx, append([]any{a.account[:]}, args...)...)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var size int64
		if err := rows.Scan(&size); err != nil {
			return fmt.Errorf("store: %w", err)
		}
		a.bytes -= size
	}
	return rows.Err()
}

// Page returns the entries after since, at most limit of them and about 4 MiB of
// data, and the feed's head, all of one moment.
func (db *DB) Page(ctx context.Context, account vault.AccountID, since uint64, limit int) (vault.Page, error) {
	p := vault.Page{Entries: []vault.Entry{}}
	err := db.view(ctx, func(tx *sql.Tx) error {
		var err error
		if p.Head, _, err = loadHead(ctx, tx, account); err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, `SELECT seq, collection, id, version, size, digest, hash, data FROM feed
			WHERE account = $1 AND seq > $2 ORDER BY seq LIMIT $3`, account[:], int64(min(since, 1<<62)), limit)
		if err != nil {
			return fmt.Errorf("store: %w", err)
		}
		defer rows.Close()
		for size := 0; size < pageBytes && rows.Next(); {
			e, err := scanEntry(rows)
			if err != nil {
				return err
			}
			p.Entries = append(p.Entries, e)
			size += len(e.Data)
		}
		return rows.Err()
	})
	return p, err
}

func scanEntry(rows *sql.Rows) (e vault.Entry, err error) {
	var id, version, digest, hash sql.RawBytes
	var data []byte
	if err := rows.Scan(&e.Seq, &e.Collection, &id, &version, &e.Size, &digest, &hash, &data); err != nil {
		return e, fmt.Errorf("store: %w", err)
	}
	e.ID, e.Version, e.Hash = vault.RecordID(id), vault.VersionFromBytes([16]byte(version)), vault.Hash(hash)
	if data == nil {
		d := vault.Hash(digest)
		e.Digest = &d
	}
	e.Data = data
	return e, nil
}

// Head returns the head of an account's feed.
func (db *DB) Head(ctx context.Context, account vault.AccountID) (head vault.Head, err error) {
	err = db.view(ctx, func(tx *sql.Tx) error {
		head, _, err = loadHead(ctx, tx, account)
		return err
	})
	return head, err
}

// exists tells a taken key from other failures.
func exists(err error) error {
	if err == nil {
		return nil
	}
	var e *sqlite.Error
	if errors.As(err, &e) && (e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY || e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE) {
		return ErrExists
	}
	return fmt.Errorf("store: %w", err)
}
