// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/vault"
)

func open1(t testing.TB, path string) *DB {
	t.Helper()
	db, err := Open(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// account makes an account with a replica that can fill its feed.
func account(t testing.TB, db *DB) (*vault.Replica, vault.AccountID) {
	t.Helper()
	id, root := vault.NewAccountID(), vault.NewRootKey()
	p := Passkey{ID: id[:], PublicKey: []byte{1}}
	prf := make([]byte, 32)
	passkey, err := vault.WrapPasskey(root, id, p.ID, prf)
	if err != nil {
		t.Fatal(err)
	}
	recovery, err := vault.WrapRecovery(root, id, vault.NewRecoveryKey())
	if err != nil {
		t.Fatal(err)
	}
	s := NewSession{ID: vault.NewRecordID(), Hash: [32]byte(append(id[:], id[:]...)), Kind: Browser}
	if err := db.CreateAccount(context.Background(), id, p, []vault.Wrap{passkey, recovery}, s); err != nil {
		t.Fatal(err)
	}
	return vault.NewReplica(root, id, vault.NewDeviceID()), id
}

func message(t testing.TB, r *vault.Replica) vault.Put {
	t.Helper()
	put, err := r.AddMessage(vault.Message{Chat: "00000000000000000000000000000001", Role: "user", Text: strings.Repeat("a plain sentence ", 35)})
	if err != nil {
		t.Fatal(err)
	}
	return put
}

func TestOpenRefusesWhatItDoesNotKnow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dir with space", "a?b#c%41.db")
	db := open1(t, path)
	_, id := account(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	again := open1(t, path) // migrating twice changes nothing
	if _, err := again.Head(context.Background(), id); err != nil {
		t.Error(err)
	}
	if err := again.update(context.Background(), func(tx *sql.Tx) error {
		_, err := tx.Exec(`PRAGMA user_version = 99`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	again.Close()
	if _, err := Open(context.Background(), path); err == nil || !strings.Contains(err.Error(), "version 99") {
		t.Errorf("a newer database: %v", err)
	}
	if _, err := Open(context.Background(), t.TempDir()); err == nil {
		t.Error("a folder was opened")
	}
}

func TestPragmas(t *testing.T) {
	db := open1(t, filepath.Join(t.TempDir(), "a.db"))
	for name, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "secure_delete": "1"} {
		for _, d := range []*sql.DB{db.write, db.read} {
			var got string
			if err := d.QueryRow(`PRAGMA ` + name).Scan(&got); err != nil || got != want {
				t.Errorf("%s = %s, %v; want %s", name, got, err, want)
			}
		}
	}
	if _, err := db.read.Exec(`DELETE FROM accounts`); err == nil {
		t.Error("a reader could write")
	}
}

// A transaction that fails in the middle leaves nothing.
func TestAppendIsAllOrNothing(t *testing.T) {
	ctx := context.Background()
	db := open1(t, filepath.Join(t.TempDir(), "a.db"))
	r, id := account(t, db)
	one, two := message(t, r), message(t, r)
	clash := two
	clash.ID, clash.Data = one.ID, two.Data
	if _, _, err := db.Append(ctx, id, []vault.Put{one, clash}, nil, 1<<30); !errors.Is(err, ErrExists) {
		t.Errorf("Append: %v, want ErrExists", err)
	}
	if head, err := db.Head(ctx, id); err != nil || head != vault.Genesis(id) {
		t.Errorf("head %v, %v", head, err)
	}
	if _, _, err := db.Append(ctx, id, []vault.Put{one, two}, nil, 100); !errors.Is(err, ErrFull) {
		t.Errorf("Append: %v, want ErrFull", err)
	}
	head, seqs, err := db.Append(ctx, id, []vault.Put{one, two}, nil, 1<<30)
	if err != nil || len(seqs) != 2 || head.Seq != 2 {
		t.Fatalf("Append: %v %v %v", head, seqs, err)
	}
	if _, _, err := db.Append(ctx, vault.NewAccountID(), []vault.Put{one}, nil, 1<<30); !errors.Is(err, ErrNotFound) {
		t.Errorf("no account: %v", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, _, err := db.Append(ended, id, []vault.Put{message(t, r)}, nil, 1<<30); err == nil {
		t.Error("a request that was given up was stored")
	}
	if now, _ := db.Head(ctx, id); now != head {
		t.Errorf("head %v, want %v", now, head)
	}
}

func TestPagesAreBounded(t *testing.T) {
	ctx := context.Background()
	db := open1(t, filepath.Join(t.TempDir(), "a.db"))
	r, id := account(t, db)
	for range 9 {
		put, err := r.AddMessage(vault.Message{Chat: vault.NewID(), Role: "user", Text: strings.Repeat("x", 900_000)})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := db.Append(ctx, id, []vault.Put{put}, nil, 1<<30); err != nil {
			t.Fatal(err)
		}
	}
	p, err := db.Page(ctx, id, 0, 1000)
	if err != nil || len(p.Entries) != 5 || p.Head.Seq != 9 {
		t.Errorf("%d entries, head %d, %v", len(p.Entries), p.Head.Seq, err)
	}
	if p, err = db.Page(ctx, id, 5, 2); err != nil || len(p.Entries) != 2 || p.Entries[0].Seq != 6 {
		t.Errorf("%d entries, %v", len(p.Entries), err)
	}
}

func TestSessionsMakePlace(t *testing.T) {
	ctx := context.Background()
	db := open1(t, filepath.Join(t.TempDir(), "a.db"))
	_, id := account(t, db)
	for i := range MaxSessions + 5 {
		s := NewSession{ID: vault.NewRecordID(), Hash: [32]byte{byte(i), 1}, Kind: Browser, Day: Day(i + 1)}
		if err := db.AddSession(ctx, id, s); err != nil {
			t.Fatal(err)
		}
	}
	list, err := db.Sessions(ctx, id)
	if err != nil || len(list) != MaxSessions || list[len(list)-1].Created != 6 {
		t.Errorf("%d sessions, oldest %v, %v", len(list), list[len(list)-1].Created, err)
	}
}

func TestCeremoniesAreBounded(t *testing.T) {
	ctx := context.Background()
	db := open1(t, filepath.Join(t.TempDir(), "a.db"))
	now := time.Unix(1_800_000_000, 0)
	begin := func(n byte, life time.Duration) {
		t.Helper()
		if err := db.BeginCeremony(ctx, [32]byte{n}, Ceremony{Kind: "signin", Data: []byte{n}}, now, now.Add(life)); err != nil {
			t.Fatal(err)
		}
	}
	begin(1, time.Minute)
	begin(2, 2*time.Minute)
	if err := db.update(ctx, func(tx *sql.Tx) error { return expire(ctx, tx, "ceremonies", "hash", 2, now) }); err != nil {
		t.Fatal(err)
	}
	if _, err := db.EndCeremony(ctx, [32]byte{1}, "signin", now); !errors.Is(err, ErrNotFound) {
		t.Errorf("the one that ends first should have made place: %v", err)
	}
	c, err := db.EndCeremony(ctx, [32]byte{2}, "signin", now)
	if err != nil || c.Data[0] != 2 {
		t.Errorf("%v, %v", c, err)
	}
	begin(3, time.Minute)
	now = now.Add(time.Hour)
	begin(4, time.Minute)
	var n int
	if err := db.read.QueryRow(`SELECT count(*) FROM ceremonies`).Scan(&n); err != nil || n != 1 {
		t.Errorf("%d ceremonies are left, %v", n, err)
	}
}

func TestScrubWaitsForReaders(t *testing.T) {
	ctx := context.Background()
	db := open1(t, filepath.Join(t.TempDir(), "a.db"))
	r, id := account(t, db)
	if _, _, err := db.Append(ctx, id, []vault.Put{message(t, r)}, nil, 1<<30); err != nil {
		t.Fatal(err)
	}
	tx, err := db.read.Begin()
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := tx.QueryRow(`SELECT count(*) FROM feed`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 150*time.Millisecond)
	defer cancel()
	if _, _, err := db.Append(ctx, id, []vault.Put{message(t, r)}, nil, 1<<30); err != nil {
		t.Fatal(err)
	}
	if err := db.Scrub(short); err == nil {
		t.Error("the log was emptied under a reader")
	}
	tx.Rollback()
	if err := db.Scrub(ctx); err != nil {
		t.Error(err)
	}
}

func BenchmarkAppend1(b *testing.B)   { benchmarkAppend(b, 1) }
func BenchmarkAppend100(b *testing.B) { benchmarkAppend(b, 100) }

// benchmarkAppend appends in batches of n records of about 800 bytes; one
// operation is one record.
func benchmarkAppend(b *testing.B, n int) {
	db := open1(b, filepath.Join(b.TempDir(), "a.db"))
	r, id := account(b, db)
	var puts []vault.Put
	for range b.N {
		puts = append(puts, message(b, r))
	}
	b.ResetTimer()
	for len(puts) > 0 {
		batch := puts[:min(n, len(puts))]
		puts = puts[len(batch):]
		if _, _, err := db.Append(context.Background(), id, batch, nil, 1<<40); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

func BenchmarkPage1000(b *testing.B) {
	db := open1(b, filepath.Join(b.TempDir(), "a.db"))
	r, id := account(b, db)
	var puts []vault.Put
	for range 1000 {
		puts = append(puts, message(b, r))
	}
	if _, _, err := db.Append(context.Background(), id, puts, nil, 1<<40); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if p, err := db.Page(context.Background(), id, 0, 1000); err != nil || len(p.Entries) != 1000 {
			b.Fatal(len(p.Entries), err)
		}
	}
}

// TestMigrate: a database of each version there was becomes one of today, with what
// is in it.
func TestMigrate(t *testing.T) {
	for version := 1; version < len(migrations); version++ {
		path := filepath.Join(t.TempDir(), "old.db")
		raw, err := open(path, "immediate")
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range migrations[:version] {
			if _, err := raw.Exec(step); err != nil {
				t.Fatal(err)
			}
		}
		id := vault.NewAccountID()
		if _, err := raw.Exec(`INSERT INTO accounts (id, created, seq, head, bytes) VALUES ($1, 1, 0, $2, 0)`, id[:], make([]byte, 32)); err != nil {
			t.Fatal(err)
		}
		if _, err := raw.Exec(`PRAGMA user_version = ` + strconv.Itoa(version)); err != nil {
			t.Fatal(err)
		}
		raw.Close()
		db := open1(t, path)
		if _, err := db.Head(context.Background(), id); err != nil {
			t.Errorf("version %d: the account is lost: %v", version, err)
		}
		if until, err := db.Grant(context.Background(), id, 3, 10); err != nil || until != 12 {
			t.Errorf("version %d: granted until %d, %v", version, until, err)
		}
	}
}

// TestEventsAreForgotten, but not while Stripe may repeat them.
func TestEventsAreForgotten(t *testing.T) {
	db := open1(t, filepath.Join(t.TempDir(), "a.db"))
	ctx := context.Background()
	hash := [32]byte{1}
	for range 2 {
		if err := db.AddEvent(ctx, hash, 100); err != nil {
			t.Fatal(err)
		}
	}
	for day, want := range map[Day]bool{100: true, 100 + EventsKept: true} {
		if err := db.EndDays(ctx, day); err != nil {
			t.Fatal(err)
		}
		if seen, err := db.EventSeen(ctx, hash); err != nil || seen != want {
			t.Errorf("on day %d: %v, %v", day, seen, err)
		}
	}
	if err := db.EndDays(ctx, 101+EventsKept); err != nil {
		t.Fatal(err)
	}
	if seen, _ := db.EventSeen(ctx, hash); seen {
		t.Error("it is never forgotten")
	}
}

func TestPlanOfNobody(t *testing.T) {
	db := open1(t, filepath.Join(t.TempDir(), "a.db"))
	ctx, id := context.Background(), vault.NewAccountID()
	if p, err := db.Plan(ctx, id); err != nil || p != (Plan{}) {
		t.Errorf("%+v, %v", p, err)
	}
	any := func(Plan) error { return nil }
	for name, err := range map[string]error{
		"a grant":    second(db.Grant(ctx, id, 1, 1)),
		"a customer": second(db.NewCustomer(ctx, id, [16]byte{1})),
		"a card":     db.SetCard(ctx, id, 1, ""),
		"a voucher":  db.Redeem(ctx, id, [32]byte{}, 1),
		"a batch":    fourth(db.Issue(ctx, id, 1, [32]byte{}, 1, func(Plan) int { return -1 }, any)),
	} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A voucher of an account that is gone meanwhile stays good.
	v := Voucher{Hash: [32]byte{1}, Days: 3, Expires: 10}
	if err := db.AddVouchers(ctx, []Voucher{v}); err != nil {
		t.Fatal(err)
	}
	if err := db.Redeem(ctx, id, v.Hash, 1); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if c, err := db.CountPlans(ctx, 1); err != nil || c.Vouchers != 1 {
		t.Errorf("%+v, %v", c, err)
	}
	if err := db.AddVouchers(ctx, []Voucher{{Hash: [32]byte{2}}, v}); !errors.Is(err, ErrExists) {
		t.Errorf("a voucher twice: %v", err)
	}
}

func second[T any](_ T, err error) error            { return err }
func fourth(_ int, _ Plan, _ bool, err error) error { return err }
