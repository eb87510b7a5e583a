// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package spent

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/sotto-chat/sotto/token"
)

// schema makes the tables that don't belong to a day. Both databases understand it.
var schema = []string{
	// The first day that is not dropped: one row.
	`CREATE TABLE IF NOT EXISTS first_day (
	one BIGINT PRIMARY KEY CHECK (one = 1),
	day BIGINT NOT NULL
)`,
	`INSERT INTO first_day (one, day) VALUES (1, 0) ON CONFLICT DO NOTHING`,

	// Processes that have tokens under way, and when they last said so.
	`CREATE TABLE IF NOT EXISTS runs (
	run  BIGINT PRIMARY KEY,             -- drawn at random at each start
	seen BIGINT NOT NULL                 -- unix seconds, by this database's clock
)`,

	// What the tables of dropped days had in them.
	`CREATE TABLE IF NOT EXISTS counts (
	day      BIGINT NOT NULL,
	product  TEXT NOT NULL,
	spent    BIGINT NOT NULL,
	refunded BIGINT NOT NULL,
	PRIMARY KEY (day, product)
)`,

	// The keys that refunds are signed with.
	`CREATE TABLE IF NOT EXISTS refund_keys (
	day     BIGINT NOT NULL,
	product TEXT NOT NULL,
	pkcs8   BYTEA NOT NULL,
	PRIMARY KEY (day, product)
)`,
}

// dayTable makes a day's table.
func dayTable(day token.Day) string {
	return fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %s (
	id      BYTEA PRIMARY KEY,           -- SHA-256 of the token
	product TEXT NOT NULL,
	state   BIGINT NOT NULL,             -- 0 spent, 1 answered, 2 failed, 3 refunded
	run     BIGINT NOT NULL,             -- the process that spent it
	refund  BYTEA                        -- SHA-256 of the blinded message of its refund
)`, table(day))
}

func dayOfTable(name string) (token.Day, bool) {
	text, ok := strings.CutPrefix(name, "spent_")
	n, err := strconv.ParseInt(text, 10, 32)
	return token.Day(n), ok && err == nil && table(token.Day(n)) == name
}

// Statements that both databases understand.
const (
	refundRow = `INSERT INTO %s AS s (id, product, state, run, refund) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (id) DO UPDATE SET state = excluded.state, refund = excluded.refund`
	dropKeys  = `DELETE FROM refund_keys WHERE day < $1`
	moveFirst = `UPDATE first_day SET day = $1 WHERE day < $1`
	oldCounts = `SELECT day, spent, refunded FROM counts WHERE product = $1`
	selectKey = `SELECT pkcs8 FROM refund_keys WHERE day = $1 AND product = $2`
	insertKey = `INSERT INTO refund_keys (day, product, pkcs8) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`
)

var sums = fmt.Sprintf(`count(*), count(*) FILTER (WHERE state = %d)`, isRefunded)

func keepCounts(day token.Day) string {
	return fmt.Sprintf(`INSERT INTO counts (day, product, spent, refunded) SELECT $1, product, %s FROM %s GROUP BY product ON CONFLICT DO NOTHING`, sums, table(day))
}

func countDay(day token.Day) string {
	return fmt.Sprintf(`SELECT %s FROM %s WHERE product = $1`, sums, table(day))
}
