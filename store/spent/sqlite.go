// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package spent

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/sotto-chat/sotto/token"
)

// sqlite keeps the tokens in a file. Several processes on one machine may share
// it: each transaction takes the lock for writing when it begins.
type sqlite struct {
	db *sql.DB

	mu  sync.Mutex
	day map[token.Day]*sqliteDay // statements of the days that are known to have a table
}

type sqliteDay struct{ spend, end *sql.Stmt }

func openSQLite(path string) (*sqlite, error) {
	if !filepath.IsAbs(path) {
		return nil, errors.New("the store's URL should name a file by its whole path, such as sqlite:/var/lib/sotto/spent.db")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	f.Close()
	q := url.Values{"_txlock": {"immediate"}, "_pragma": {
		"busy_timeout(10000)",
		"journal_mode(WAL)",
		"synchronous(FULL)", // durable when a commit returns
		"trusted_schema(0)",
		"cell_size_check(1)",
	}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(2) // one writes; the other is for who counts
	return &sqlite{db: db, day: map[token.Day]*sqliteDay{}}, nil
}

func (l *sqlite) close() error { return l.db.Close() }

func (l *sqlite) setUp(ctx context.Context) error {
	return l.update(ctx, func(tx *sql.Tx) error {
		for _, step := range schema {
			if _, err := tx.ExecContext(ctx, step); err != nil {
				return err
			}
		}
		return nil
	})
}

func (l *sqlite) update(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after a commit
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}

const sqliteNow = `unixepoch()`

// statements returns a day's prepared statements.
func (l *sqlite) statements(ctx context.Context, tx *sql.Tx, day token.Day) (*sqliteDay, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d := l.day[day]; d != nil {
		return d, nil
	}
	if ok, err := l.has(ctx, tx, day); err != nil || !ok {
		return nil, errors.Join(err, errNoTable)
	}
	d := &sqliteDay{}
	var err error
	if d.spend, err = l.db.PrepareContext(ctx, fmt.Sprintf(`INSERT INTO %s (id, product, state, run) VALUES ($1, $2, %d, $3) ON CONFLICT DO NOTHING`, table(day), isSpent)); err != nil {
		return nil, err
	}
	if d.end, err = l.db.PrepareContext(ctx, fmt.Sprintf(`UPDATE %s SET state = $1 WHERE id = $2 AND state = %d AND run = $3`, table(day), isSpent)); err != nil {
		return nil, err
	}
	l.day[day] = d
	return d, nil
}

func (l *sqlite) has(ctx context.Context, tx *sql.Tx, day token.Day) (ok bool, err error) {
	err = tx.QueryRowContext(ctx, `SELECT count(*) > 0 FROM sqlite_schema WHERE type = 'table' AND name = $1`, table(day)).Scan(&ok)
	return ok, err
}

func (l *sqlite) write(ctx context.Context, b *batch) error {
	days := map[token.Day]*sqliteDay{}
	return l.update(ctx, func(tx *sql.Tx) error {
		if b.beat {
			if _, err := tx.ExecContext(ctx, `INSERT INTO runs (run, seen) VALUES ($1, `+sqliteNow+`) ON CONFLICT (run) DO UPDATE SET seen = excluded.seen`, b.run); err != nil {
				return err
			}
		}
		of := func(o *op) (*sqliteDay, error) {
			if d := days[o.t.Day]; d != nil {
				return d, nil
			}
			// Another process may have dropped the day.
			if ok, err := l.has(ctx, tx, o.t.Day); err != nil || !ok {
				l.forget(o.t.Day)
				return nil, errors.Join(err, errNoTable)
			}
			d, err := l.statements(ctx, tx, o.t.Day)
			if err == nil {
				d = &sqliteDay{tx.StmtContext(ctx, d.spend), tx.StmtContext(ctx, d.end)}
				days[o.t.Day] = d
			}
			return d, err
		}
		for _, o := range b.spends {
			d, err := of(o)
			if err != nil {
				return err
			}
			res, err := d.spend.ExecContext(ctx, o.t.ID[:], o.t.Product, b.run)
			if err != nil {
				return err
			}
			n, err := res.RowsAffected()
			if err != nil {
				return err
			}
			o.fresh = n == 1
		}
		for _, o := range b.ends {
			d, err := of(o)
			if err != nil {
				return err
			}
			if _, err := d.end.ExecContext(ctx, o.state, o.t.ID[:], b.run); err != nil {
				return err
			}
		}
		return nil
	})
}

func (l *sqlite) forget(day token.Day) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d := l.day[day]; d != nil {
		d.spend.Close()
		d.end.Close()
		delete(l.day, day)
	}
}

func (l *sqlite) makeDay(ctx context.Context, day token.Day) error {
	return l.update(ctx, func(tx *sql.Tx) error {
		var first int64
		if err := tx.QueryRowContext(ctx, `SELECT day FROM first_day`).Scan(&first); err != nil {
			return err
		}
		if int64(day) < first {
			return errDropped
		}
		_, err := tx.ExecContext(ctx, dayTable(day)+` WITHOUT ROWID`)
		return err
	})
}

func (l *sqlite) refund(ctx context.Context, t record, run int64, hash []byte, decide func(*row) error) error {
	return l.update(ctx, func(tx *sql.Tx) error {
		if ok, err := l.has(ctx, tx, t.Day); err != nil || !ok {
			return errors.Join(err, errNoTable)
		}
		r := &row{}
		err := tx.QueryRowContext(ctx, fmt.Sprintf(`SELECT state, run, refund, EXISTS (SELECT 1 FROM runs WHERE runs.run = s.run AND seen > `+sqliteNow+` - $2) FROM %s AS s WHERE id = $1`, table(t.Day)),
			t.ID[:], int64(lease.Seconds())).Scan(&r.state, &r.run, &r.refund, &r.alive)
		if errors.Is(err, sql.ErrNoRows) {
			r, err = nil, nil
		}
		if err != nil {
			return err
		}
		if err := decide(r); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, fmt.Sprintf(refundRow, table(t.Day)), t.ID[:], t.Product, isRefunded, run, hash)
		return err
	})
}

func (l *sqlite) dropBefore(ctx context.Context, day token.Day) error {
	err := l.update(ctx, func(tx *sql.Tx) error {
		days, err := l.days(ctx, tx)
		if err != nil {
			return err
		}
		for _, d := range days {
			if d >= day {
				continue
			}
			if _, err := tx.ExecContext(ctx, keepCounts(d), int64(d)); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `DROP TABLE `+table(d)); err != nil {
				return err
			}
		}
		for _, step := range []string{dropKeys, moveFirst} {
			if _, err := tx.ExecContext(ctx, step, int64(day)); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM runs WHERE seen < `+sqliteNow+` - 3600`)
		return err
	})
	if err != nil {
		return err
	}
	// Nothing that was dropped stays in the log beside the file.
	_, err = l.db.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`)
	return err
}

// days returns the days that have a table.
func (l *sqlite) days(ctx context.Context, tx interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}) ([]token.Day, error) {
	rows, err := tx.QueryContext(ctx, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'spent@_%' ESCAPE '@'`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var days []token.Day
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		if d, ok := dayOfTable(name); ok {
			days = append(days, d)
		}
	}
	return days, rows.Err()
}

func (l *sqlite) counts(ctx context.Context, product string) (all []Count, err error) {
	// A transaction that only reads, so that nobody waits for it.
	conn, err := l.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, `BEGIN DEFERRED`); err != nil {
		return nil, err
	}
	defer conn.ExecContext(context.WithoutCancel(ctx), `ROLLBACK`)
	days, err := l.days(ctx, conn)
	if err != nil {
		return nil, err
	}
	for _, d := range days {
		c := Count{Day: d}
		if err := conn.QueryRowContext(ctx, countDay(d), product).Scan(&c.Spent, &c.Refunded); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	rows, err := conn.QueryContext(ctx, oldCounts, product)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var c Count
		if err := rows.Scan(&c.Day, &c.Spent, &c.Refunded); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, rows.Err()
}

func (l *sqlite) key(ctx context.Context, day token.Day, product string) (b []byte, err error) {
	err = l.db.QueryRowContext(ctx, selectKey, int64(day), product).Scan(&b)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return b, err
}

func (l *sqlite) setKey(ctx context.Context, day token.Day, product string, pkcs8 []byte) error {
	_, err := l.db.ExecContext(ctx, insertKey, int64(day), product, pkcs8)
	return err
}
