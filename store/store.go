// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package store is where the account server keeps its rows. They hold ids,
// sizes, days, public keys and ciphertext, and nothing else: whoever steals the
// database reads no chat, no name and no address in it. schema.go has every
// table.
//
// It is SQLite, embedded, so that one command is a whole server. The driver is
// modernc.org/sqlite: it is SQLite's own C code translated to Go, so it needs no
// C compiler and no shared library and gives the same static binary everywhere,
// and its speed is that of the cgo drivers for rows like ours. The SQL is kept to
// what PostgreSQL understands too (numbered parameters, ON CONFLICT, no implicit
// types), with all that is SQLite's own in this file.
//
// A [DB] has one connection that writes and several that read. Writes are
// transactions that begin by taking the write lock, so they queue in this
// process and never meet a busy database. A write that has returned is on the
// disk (synchronous=FULL): were the server to forget an acknowledged record in a
// power cut, devices would have to take it for a server that rolls back.
//
// Erased means erased: with secure_delete, freed pages are overwritten, and
// [DB.Scrub] empties the write-ahead log, where old copies could linger.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// DB is an open database. It may be used from several goroutines.
type DB struct {
	write *sql.DB
	read  *sql.DB

	append statements // prepared on the writer
}

// Failures that a caller branches on.
var (
	// ErrNotFound: there is no such row.
	ErrNotFound = errors.New("store: not found")
	// ErrExists: the row, or the place in a feed, is taken.
	ErrExists = errors.New("store: exists")
	// ErrLastWayIn: the change would leave an account that can't be entered or
	// opened.
	ErrLastWayIn = errors.New("store: last way into the account")
	// ErrTooMany: a bound on the number of rows is reached.
	ErrTooMany = errors.New("store: too many")
	// ErrFull: the account may store no more bytes.
	ErrFull = errors.New("store: account is full")
	// ErrDiverged: the feed is not the one that the device knows.
	ErrDiverged = errors.New("store: feed differs from what the device knows")
	// ErrUsed: the link was approved already.
	ErrUsed = errors.New("store: used already")
)

const (
	readers     = 4
	busyTimeout = 10 * time.Second
)

// Open opens the database in the file at path, making it (readable by its owner
// only) and its tables where they are missing. A database of a newer version of
// the program is refused.
func Open(ctx context.Context, path string) (*DB, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	// SQLite gives the log and the index beside the file the file's own mode.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	f.Close()
	db := &DB{}
	if db.write, err = open(path, "immediate"); err != nil {
		return nil, err
	}
	db.write.SetMaxOpenConns(1)
	if db.read, err = open(path, "deferred", "query_only(1)"); err != nil {
		db.Close()
		return nil, err
	}
	db.read.SetMaxOpenConns(readers)
	db.read.SetMaxIdleConns(readers)
	if err := db.migrate(ctx); err != nil {
		db.Close()
		return nil, fmt.Errorf("store: %s: %w", path, err)
	}
	if db.append, err = prepare(ctx, db.write); err != nil {
		db.Close()
		return nil, fmt.Errorf("store: %s: %w", path, err)
	}
	return db, nil
}

func open(path, lock string, pragmas ...string) (*sql.DB, error) {
	q := url.Values{"_txlock": {lock}}
	for _, p := range append([]string{
		fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()),
		"journal_mode(WAL)",
		"synchronous(FULL)",
		"foreign_keys(1)",
		"secure_delete(1)",
		"trusted_schema(0)",
		"cell_size_check(1)",
	}, pragmas...) {
		q.Add("_pragma", p)
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return db, nil
}

// Close closes the database. What was written is on the disk already.
func (db *DB) Close() error {
	var errs []error
	for _, d := range []*sql.DB{db.read, db.write} {
		if d != nil {
			errs = append(errs, d.Close())
		}
	}
	return errors.Join(errs...)
}

// Scrub moves the write-ahead log into the database and empties it, so that
// nothing erased is left in it. It waits for readers at work, which take
// milliseconds; were one to hold on to the log, it gives up after the busy timeout
// and the next Scrub does the rest.
func (db *DB) Scrub(ctx context.Context) error {
	var busy, pages, moved int
	if err := db.write.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &pages, &moved); err != nil {
		return fmt.Errorf("store: scrub: %w", err)
	}
	if busy != 0 {
		return errors.New("store: scrub: a reader held on to the log")
	}
	return nil
}

// update runs f in a transaction that holds the write lock from its start.
func (db *DB) update(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := db.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	defer tx.Rollback() // does nothing after a commit
	if err := f(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

// view runs f in a transaction that reads one state of the database.
func (db *DB) view(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := db.read.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	defer tx.Rollback()
	return f(tx)
}

// migrate brings the tables to the newest version, in one transaction.
func (db *DB) migrate(ctx context.Context) error {
	return db.update(ctx, func(tx *sql.Tx) error {
		var version int
		if err := tx.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&version); err != nil {
			return err
		}
		if version > len(migrations) {
			return fmt.Errorf("the database is of version %d, this program knows versions up to %d", version, len(migrations))
		}
		for _, step := range migrations[version:] {
			if _, err := tx.ExecContext(ctx, step); err != nil {
				return fmt.Errorf("migration: %w", err)
			}
		}
		_, err := tx.ExecContext(ctx, fmt.Sprintf(`PRAGMA user_version = %d`, len(migrations)))
		return err
	})
}

// notFound turns the database's way of saying so into ours.
func notFound(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return err
}

// one checks that a statement changed exactly one row.
func one(res sql.Result, err error) error {
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if n != 1 {
		return ErrNotFound
	}
	return nil
}

// null stores an empty value as NULL.
func null(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	return b
}

// Day is a date: days since 1970. Times are kept no finer, where a day will do.
type Day int64

// DayOf returns the day of a time, in UTC.
func DayOf(t time.Time) Day { return Day(t.Unix() / 86400) }

func (d Day) String() string { return time.Unix(int64(d)*86400, 0).UTC().Format(time.DateOnly) }

// MarshalText writes the date, such as "2026-11-23".
func (d Day) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads a date.
func (d *Day) UnmarshalText(b []byte) error {
	t, err := time.Parse(time.DateOnly, string(b))
	*d = DayOf(t)
	return err
}
