// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package spent

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sotto-chat/sotto/token"
)

// postgres keeps the tokens in a PostgreSQL that several gateways share.
type postgres struct {
	pool *pgxpool.Pool
}

func openPostgres(ctx context.Context, url string) (*postgres, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		// pgx's own error quotes the URL.
		return nil, errors.New("the store's URL isn't one of PostgreSQL: it should look like postgres://user@host/database")
	}
	// One writes; the others are for refunds, keys and counts.
	cfg.MaxConns = 4
	// Whatever the database's or the role's default is.
	cfg.ConnConfig.RuntimeParams["synchronous_commit"] = "on"
	cfg.ConnConfig.RuntimeParams["application_name"] = "sottod"
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &postgres{pool: pool}, nil
}

func (p *postgres) close() error { p.pool.Close(); return nil }

// schemaLock is the advisory lock of whoever makes or drops tables. What CREATE
// TABLE IF NOT EXISTS does isn't safe against another that does the same.
const schemaLock = 0x736f74746f

func (p *postgres) setUp(ctx context.Context) error {
	var fsync string
	if err := p.pool.QueryRow(ctx, `SHOW fsync`).Scan(&fsync); err != nil {
		return err
	}
	if fsync != "on" {
		return errors.New("this PostgreSQL forgets spent tokens when its machine stops: set fsync = on in postgresql.conf")
	}
	return p.alone(ctx, func(tx pgx.Tx) error {
		for _, step := range schema {
			if _, err := tx.Exec(ctx, step); err != nil {
				return err
			}
		}
		return nil
	})
}

// alone runs f in a transaction that nobody else makes or drops tables beside.
func (p *postgres) alone(ctx context.Context, f func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(schemaLock)); err != nil {
			return err
		}
		return f(tx)
	})
}

const postgresNow = `extract(epoch FROM clock_timestamp())::bigint`

// noTable turns the database's way of saying so into ours.
func noTable(err error) error {
	var e *pgconn.PgError
	if errors.As(err, &e) && e.Code == "42P01" {
		return errNoTable
	}
	return err
}

// write sends the whole batch at once. What stands between two syncs is one
// transaction.
func (p *postgres) write(ctx context.Context, b *batch) error {
	var q pgx.Batch
	if b.beat {
		q.Queue(`INSERT INTO runs (run, seen) VALUES ($1, `+postgresNow+`) ON CONFLICT (run) DO UPDATE SET seen = excluded.seen`, b.run)
	}
	// They are sorted by day.
	for ops := b.spends; len(ops) > 0; {
		day := ops[0].t.Day
		byID := map[[32]byte]*op{}
		var ids [][]byte
		var products []string
		for len(ops) > 0 && ops[0].t.Day == day {
			byID[ops[0].t.ID] = ops[0]
			ids, products = append(ids, ops[0].t.ID[:]), append(products, ops[0].t.Product)
			ops = ops[1:]
		}
		q.Queue(fmt.Sprintf(`INSERT INTO %s (id, product, state, run) SELECT id, product, %d, $3 FROM unnest($1::bytea[], $2::text[]) AS new (id, product)
ON CONFLICT DO NOTHING RETURNING id`, table(day), isSpent), ids, products, b.run).Query(func(rows pgx.Rows) error {
			var id []byte
			_, err := pgx.ForEachRow(rows, []any{&id}, func() error {
				if o := byID[[32]byte(id)]; o != nil {
					o.fresh = true
				}
				return nil
			})
			return err
		})
	}
	for ops := b.ends; len(ops) > 0; {
		day := ops[0].t.Day
		var ids [][]byte
		var states []int64
		for len(ops) > 0 && ops[0].t.Day == day {
			ids, states = append(ids, ops[0].t.ID[:]), append(states, int64(ops[0].state))
			ops = ops[1:]
		}
		q.Queue(fmt.Sprintf(`UPDATE %s AS s SET state = new.state FROM unnest($1::bytea[], $2::bigint[]) AS new (id, state)
WHERE s.id = new.id AND s.state = %d AND s.run = $3`, table(day), isSpent), ids, states, b.run)
	}
	err := p.pool.SendBatch(ctx, &q).Close()
	if err != nil {
		for _, o := range b.spends {
			o.fresh = false
		}
	}
	return noTable(err)
}

func (p *postgres) makeDay(ctx context.Context, day token.Day) error {
	return p.alone(ctx, func(tx pgx.Tx) error {
		var first int64
		if err := tx.QueryRow(ctx, `SELECT day FROM first_day`).Scan(&first); err != nil {
			return err
		}
		if int64(day) < first {
			return errDropped
		}
		_, err := tx.Exec(ctx, dayTable(day))
		return err
	})
}

func (p *postgres) refund(ctx context.Context, t record, run int64, hash []byte, decide func(*row) error) error {
	return noTable(pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		// A row that isn't there can't be locked, so it is made first.
		tag, err := tx.Exec(ctx, fmt.Sprintf(`INSERT INTO %s (id, product, state, run, refund) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`, table(t.Day)),
			t.ID[:], t.Product, isRefunded, run, hash)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 1 {
			return decide(nil)
		}
		r := &row{}
		err = tx.QueryRow(ctx, fmt.Sprintf(`SELECT state, run, refund, EXISTS (SELECT 1 FROM runs WHERE runs.run = s.run AND seen > `+postgresNow+` - $2) FROM %s AS s WHERE id = $1 FOR UPDATE`, table(t.Day)),
			t.ID[:], int64(lease.Seconds())).Scan(&r.state, &r.run, &r.refund, &r.alive)
		if err != nil {
			return err
		}
		if err := decide(r); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, fmt.Sprintf(refundRow, table(t.Day)), t.ID[:], t.Product, isRefunded, run, hash)
		return err
	}))
}

func (p *postgres) dropBefore(ctx context.Context, day token.Day) error {
	return p.alone(ctx, func(tx pgx.Tx) error {
		days, err := p.days(ctx, tx)
		if err != nil {
			return err
		}
		for _, d := range days {
			if d >= day {
				continue
			}
			// Nothing is spent between counting and dropping.
			if _, err := tx.Exec(ctx, `LOCK TABLE `+table(d)+` IN ACCESS EXCLUSIVE MODE`); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, keepCounts(d), int64(d)); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `DROP TABLE `+table(d)); err != nil {
				return err
			}
		}
		for _, step := range []string{dropKeys, moveFirst} {
			if _, err := tx.Exec(ctx, step, int64(day)); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, `DELETE FROM runs WHERE seen < `+postgresNow+` - 3600`)
		return err
	})
}

// days returns the days that have a table.
func (p *postgres) days(ctx context.Context, tx pgx.Tx) ([]token.Day, error) {
	rows, err := tx.Query(ctx, `SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema() AND tablename LIKE 'spent@_%' ESCAPE '@'`)
	if err != nil {
		return nil, err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	var days []token.Day
	for _, name := range names {
		if d, ok := dayOfTable(name); ok {
			days = append(days, d)
		}
	}
	return days, err
}

func (p *postgres) counts(ctx context.Context, product string) (all []Count, err error) {
	err = p.alone(ctx, func(tx pgx.Tx) error {
		days, err := p.days(ctx, tx)
		if err != nil {
			return err
		}
		for _, d := range days {
			c := Count{Day: d}
			if err := tx.QueryRow(ctx, countDay(d), product).Scan(&c.Spent, &c.Refunded); err != nil {
				return err
			}
			all = append(all, c)
		}
		rows, err := tx.Query(ctx, oldCounts, product)
		if err != nil {
			return err
		}
		old, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (c Count, err error) {
			var day int64
			err = r.Scan(&day, &c.Spent, &c.Refunded)
			c.Day = token.Day(day)
			return c, err
		})
		all = append(all, old...)
		return err
	})
	return all, err
}

func (p *postgres) key(ctx context.Context, day token.Day, product string) (b []byte, err error) {
	err = p.pool.QueryRow(ctx, selectKey, int64(day), product).Scan(&b)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return b, err
}

func (p *postgres) setKey(ctx context.Context, day token.Day, product string, pkcs8 []byte) error {
	_, err := p.pool.Exec(ctx, insertKey, int64(day), product, pkcs8)
	return err
}
