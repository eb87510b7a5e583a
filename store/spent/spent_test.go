// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package spent

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/token"
)

const today = token.Day(20784)

func tok(n int) record {
	t := record{Day: today, Product: "sotto"}
	copy(t.ID[:], fmt.Sprintf("token %d", n))
	return t
}

// both runs a test with SQLite and with PostgreSQL. url is of an empty store.
func both(t *testing.T, f func(t *testing.T, url string)) {
	t.Run("sqlite", func(t *testing.T) { f(t, newSQLite(t)) })
	t.Run("postgres", func(t *testing.T) { f(t, newPostgres(t)) })
}

func newSQLite(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "spent.db") }

// gateway is a store that is asked by records.
type gateway struct{ *Store }

func (g gateway) Spend(ctx context.Context, t record) error {
	return g.Store.Spend(ctx, t.Day, t.ID, t.Product)
}
func (g gateway) Answered(t record) { g.Store.Answered(t.Day, t.ID, t.Product) }
func (g gateway) Failed(t record)   { g.Store.Failed(t.Day, t.ID, t.Product) }
func (g gateway) Refund(ctx context.Context, t record, blinded [32]byte) error {
	return g.Store.Refund(ctx, t.Day, t.ID, t.Product, blinded)
}

func open(t testing.TB, url string) gateway {
	t.Helper()
	s, err := Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return gateway{s}
}

func wants(t *testing.T, what string, err error, f token.Failure) {
	t.Helper()
	if f == "" && err != nil || f != "" && !errors.Is(err, &token.Error{Failure: f}) {
		t.Errorf("%s: %v, want %q", what, err, f)
	}
}

var hash, otherHash = [32]byte{1}, [32]byte{2}

// TestStates goes through what can become of a token, with two gateways.
func TestStates(t *testing.T) {
	both(t, func(t *testing.T, url string) {
		ctx := t.Context()
		a, b := open(t, url), open(t, url)
		wants(t, "first", a.Spend(ctx, tok(1)), "")
		wants(t, "again here", a.Spend(ctx, tok(1)), token.Spent)
		wants(t, "again elsewhere", b.Spend(ctx, tok(1)), token.Spent)
		other := tok(1)
		other.Day++
		wants(t, "of another day", a.Spend(ctx, other), "")

		if err := a.Refund(ctx, tok(1), hash); !errors.Is(err, ErrUnderWay) {
			t.Errorf("a refund under way here: %v", err)
		}
		if err := b.Refund(ctx, tok(1), hash); !errors.Is(err, ErrUnderWay) {
			t.Errorf("a refund under way elsewhere: %v", err)
		}
		a.Answered(tok(1))
		wants(t, "refund of what was answered", a.Refund(ctx, tok(1), hash), token.RefundRefused)
		wants(t, "elsewhere", b.Refund(ctx, tok(1), hash), token.RefundRefused)

		wants(t, "second", a.Spend(ctx, tok(2)), "")
		a.Failed(tok(2))
		wants(t, "refund", a.Refund(ctx, tok(2), hash), "")
		wants(t, "the same refund", b.Refund(ctx, tok(2), hash), "")
		wants(t, "another refund", b.Refund(ctx, tok(2), otherHash), token.RefundRefused)
		wants(t, "spent after its refund", b.Spend(ctx, tok(2)), token.Spent)
		a.Answered(tok(2)) // too late

		wants(t, "refund of what was never spent", b.Refund(ctx, tok(3), hash), "")
		wants(t, "and then spent", a.Spend(ctx, tok(3)), token.Spent)
		newDay := tok(4)
		newDay.Day += 2
		wants(t, "refund on a day without a table", b.Refund(ctx, newDay, hash), "")

		wants(t, "another product's", a.Spend(ctx, record{today, [32]byte{9}, "other"}), "")
		a.Failed(record{today, [32]byte{9}, "other"})
		if err := a.flush(ctx); err != nil {
			t.Fatal(err)
		}
		got, err := b.Counts(ctx, "sotto")
		want := []Count{{today, 3, 2}, {today + 1, 1, 0}, {today + 2, 1, 1}}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("counts %v, want %v (%v)", got, want, err)
		}

		// A gateway that is gone: its token under way comes back.
		wants(t, "third", a.Spend(ctx, tok(5)), "")
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		if err := b.Refund(ctx, tok(5), hash); !errors.Is(err, ErrUnderWay) {
			t.Errorf("a refund before a gateway counts as dead: %v", err)
		}
		forgetRuns(t, b)
		wants(t, "refund from a dead gateway", b.Refund(ctx, tok(5), hash), "")
		if err := a.Spend(ctx, tok(6)); !errors.Is(err, errClosed) {
			t.Errorf("a closed store: %v", err)
		}
	})
}

// forgetRuns makes all gateways dead: as if their last word were as old as the lease.
func forgetRuns(t *testing.T, s gateway) {
	t.Helper()
	var err error
	stmt := fmt.Sprintf(`UPDATE runs SET seen = seen - %d`, int(lease.Seconds())+1)
	switch db := s.db.(type) {
	case *sqlite:
		_, err = db.db.Exec(stmt)
	case *postgres:
		_, err = db.pool.Exec(context.Background(), stmt)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A day that was dropped is refused, also by who has used its table before.
func TestDrop(t *testing.T) {
	both(t, func(t *testing.T, url string) {
		ctx := t.Context()
		a, b := open(t, url), open(t, url)
		next := tok(2)
		next.Day++
		wants(t, "today's", a.Spend(ctx, tok(1)), "")
		a.Answered(tok(1))
		wants(t, "tomorrow's", a.Spend(ctx, next), "")
		k, err := a.RefundKey(ctx, today, "sotto")
		if err != nil {
			t.Fatal(err)
		}
		same, err := b.RefundKey(ctx, today, "sotto")
		if err != nil || same.Public().ID() != k.Public().ID() {
			t.Errorf("two gateways have two keys (%v)", err)
		}
		for _, k2 := range []func() (token.PrivateKey, error){
			func() (token.PrivateKey, error) { return b.RefundKey(ctx, today, "other") },
			func() (token.PrivateKey, error) { return b.RefundKey(ctx, today+1, "sotto") },
		} {
			if k2, err := k2(); err != nil || k2.Public().ID() == k.Public().ID() {
				t.Errorf("one key for two (%v)", err)
			}
		}
		if err := a.flush(ctx); err != nil {
			t.Fatal(err)
		}
		if err := b.DropBefore(ctx, today+1); err != nil {
			t.Fatal(err)
		}
		// In one batch with a good one.
		good := next
		good.ID[0]++
		var all sync.WaitGroup
		all.Go(func() { wants(t, "tomorrow's other", a.Spend(ctx, good), "") })
		all.Go(func() { wants(t, "the same, when its day is over", a.Spend(ctx, tok(1)), token.Expired) })
		all.Wait()
		wants(t, "elsewhere", b.Spend(ctx, tok(1)), token.Expired)
		wants(t, "a refund", b.Refund(ctx, tok(1), hash), token.Expired)
		wants(t, "tomorrow's again", a.Spend(ctx, next), token.Spent)
		got, err := b.Counts(ctx, "sotto")
		if want := []Count{{today, 1, 0}, {today + 1, 2, 0}}; err != nil || !slices.Equal(got, want) {
			t.Errorf("counts %v, want %v (%v)", got, want, err)
		}
		if k2, err := b.RefundKey(ctx, today, "sotto"); err != nil || k2.Public().ID() == k.Public().ID() {
			t.Errorf("the key outlives its day (%v)", err)
		}
		if err := a.DropBefore(ctx, today); err != nil { // goes back nowhere
			t.Fatal(err)
		}
		wants(t, "after a gateway with a slow clock", b.Spend(ctx, tok(1)), token.Expired)
	})
}

// Of many who spend the same tokens at once, at two gateways, one gets each.
func TestRace(t *testing.T) {
	both(t, func(t *testing.T, url string) {
		stores := []gateway{open(t, url), open(t, url)}
		const tokens, tries = 50, 6
		var got [tokens]atomic.Int32
		var all sync.WaitGroup
		for try := range tries {
			all.Go(func() {
				s := stores[try%2]
				for _, n := range rand.Perm(tokens) {
					switch err := s.Spend(t.Context(), tok(n)); {
					case err == nil:
						got[n].Add(1)
						s.Answered(tok(n))
					case !errors.Is(err, &token.Error{Failure: token.Spent}):
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		for n := range got {
			if k := got[n].Load(); k != 1 {
				t.Errorf("token %d was spent %d times", n, k)
			}
		}
	})
}

// slow is a database that takes as long as it is told.
type slow struct {
	database
	wait    chan struct{}
	batches atomic.Int32
	fail    error
}

func (d *slow) write(ctx context.Context, b *batch) error {
	d.batches.Add(1)
	<-d.wait
	if d.fail != nil {
		return d.fail
	}
	return d.database.write(ctx, b)
}

// What comes while one transaction is written goes into the next, all together; a
// token for which nobody waits any more can be refunded.
func TestGroups(t *testing.T) {
	s := open(t, newSQLite(t))
	d := &slow{database: s.db, wait: make(chan struct{})}
	s.db = d
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { wants(t, "first", s.Spend(t.Context(), tok(0)), "") })
	for d.batches.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	for n := range 20 {
		all.Go(func() { wants(t, "in a group", s.Spend(t.Context(), tok(1+n)), "") })
	}
	var twice atomic.Int32
	for range 2 {
		all.Go(func() {
			if s.Spend(t.Context(), tok(50)) == nil {
				twice.Add(1)
			}
		})
	}
	left := make(chan error)
	go func() { left <- s.Spend(ctx, tok(99)) }()
	for len(s.ops) < 23 {
		time.Sleep(time.Millisecond)
	}
	d.wait <- struct{}{}
	for d.batches.Load() == 1 { // the second is being written
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("left: %v", err)
	}
	close(d.wait)
	all.Wait()
	if n := d.batches.Load(); n > 3 || twice.Load() != 1 {
		t.Errorf("%d transactions; a token was spent %d times in one", n, twice.Load())
	}
	other := open(t, "sqlite:"+dbFile(t, d.database))
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		err := other.Refund(t.Context(), tok(99), hash)
		if err == nil {
			break
		}
		if !errors.Is(err, ErrUnderWay) || time.Now().After(deadline) {
			t.Fatalf("what nobody waited for: %v", err)
		}
	}
	if s.isLive(tok(99)) {
		t.Error("what nobody waits for is live for good")
	}

	d.fail = errors.New("disk on fire")
	if err := s.Spend(t.Context(), tok(100)); !errors.Is(err, d.fail) {
		t.Errorf("a failure: %v", err)
	}
	d.fail = nil
	wants(t, "refund after a failure", s.Refund(t.Context(), tok(100), hash), "")
}

func dbFile(t *testing.T, db database) (file string) {
	t.Helper()
	if err := db.(*sqlite).db.QueryRow(`SELECT file FROM pragma_database_list`).Scan(&file); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestOpenRefuses(t *testing.T) {
	for _, url := range []string{"", "spent.db", "sqlite:spent.db", "mysql://x:secret@y/z", "postgres://%zz:secret@y/z", "sqlite:/dev/null/x"} {
		_, err := Open(t.Context(), url)
		if err == nil {
			t.Errorf("%q: accepted", url)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the password is in the error: %v", url, err)
		}
	}
}

// child is a gateway in a process of its own: it spends the tokens whose numbers it
// reads, many at once, and says which were acknowledged.
func child(url string) {
	s, err := Open(context.Background(), url)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var mu sync.Mutex
	in := bufio.NewScanner(os.Stdin)
	var all sync.WaitGroup
	for in.Scan() {
		line := in.Text()
		all.Go(func() {
			var t record
			t.Day, t.Product = today, "sotto"
			hex.Decode(t.ID[:], []byte(line))
			if s.Spend(context.Background(), t.Day, t.ID, t.Product) == nil {
				mu.Lock()
				defer mu.Unlock()
				io.WriteString(os.Stdout, line+"\n")
			}
		})
	}
	all.Wait()
	s.Close()
}

// TestKilled kills two gateways that share a store at random moments, while both
// spend the same tokens. No token is acknowledged twice, and none that was is free
// afterwards.
func TestKilled(t *testing.T) {
	both(t, func(t *testing.T, url string) {
		const rounds, tokens = 3, 400
		acked := map[string]int{}
		var ids []string
		for range rounds {
			ids = ids[max(0, len(ids)-tokens/4):] // some that the last ones had
			for range tokens {
				var id [32]byte
				for i := range id {
					id[i] = byte(rand.Uint32())
				}
				ids = append(ids, hex.EncodeToString(id[:]))
			}
			var mu sync.Mutex
			var all sync.WaitGroup
			enough := make(chan struct{})
			var once sync.Once
			var procs []*exec.Cmd
			for range 2 {
				cmd := exec.Command(os.Args[0])
				cmd.Env = append(os.Environ(), "SOTTO_SPENT_CHILD="+url)
				cmd.Stdin = strings.NewReader(strings.Join(shuffled(ids), "\n") + "\n")
				cmd.Stderr = os.Stderr
				out, err := cmd.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				procs = append(procs, cmd)
				at := 1 + rand.IntN(tokens/2)
				all.Go(func() {
					r := bufio.NewReader(out)
					for n := 0; ; n++ {
						line, err := r.ReadString('\n')
						if err != nil {
							once.Do(func() { close(enough) })
							return
						}
						mu.Lock()
						acked[strings.TrimSpace(line)]++
						mu.Unlock()
						if n == at {
							once.Do(func() { close(enough) })
						}
					}
				})
			}
			<-enough
			for _, p := range procs {
				p.Process.Kill()
			}
			all.Wait()
			for _, p := range procs {
				p.Wait()
			}
		}
		if len(acked) == 0 {
			t.Fatal("nothing was spent")
		}
		s := open(t, url)
		for id, n := range acked {
			if n != 1 {
				t.Errorf("a token was acknowledged %d times", n)
			}
			tk := record{Day: today, Product: "sotto"}
			hex.Decode(tk.ID[:], []byte(id))
			wants(t, "spent again after a crash", s.Spend(t.Context(), tk), token.Spent)
			break
		}
		var all sync.WaitGroup
		for id := range acked {
			all.Go(func() {
				tk := record{Day: today, Product: "sotto"}
				hex.Decode(tk.ID[:], []byte(id))
				wants(t, "spent again after a crash", s.Spend(t.Context(), tk), token.Spent)
			})
		}
		all.Wait()
		t.Logf("%d acknowledged", len(acked))
	})
}

func shuffled(ids []string) []string {
	out := slices.Clone(ids)
	rand.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// BenchmarkSpend is the spends per second of one gateway: with so many at once.
func BenchmarkSpend(b *testing.B) {
	for _, kind := range []string{"sqlite", "postgres"} {
		for _, at := range []int{1, 8, 64, 512} {
			b.Run(fmt.Sprintf("%s/%d", kind, at), func(b *testing.B) {
				url := ""
				if kind == "sqlite" {
					url = newSQLite(b)
				} else {
					url = newPostgres(b)
				}
				s := open(b, url)
				var n atomic.Int64
				var all sync.WaitGroup
				if err := s.Spend(b.Context(), tok(-1)); err != nil {
					b.Fatal(err)
				}
				b.ResetTimer()
				for range at {
					all.Go(func() {
						for {
							k := n.Add(1)
							if k > int64(b.N) {
								return
							}
							t := record{Day: today, Product: "sotto"}
							for i := range 4 {
								v := rand.Uint64()
								for j := range 8 {
									t.ID[8*i+j] = byte(v >> (8 * j))
								}
							}
							if err := s.Spend(b.Context(), t); err != nil {
								b.Error(err)
							}
							s.Answered(t)
						}
					})
				}
				all.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "spends/s")
			})
		}
	}
}
