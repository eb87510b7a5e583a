// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package spent remembers which tokens have been spent, so that nobody spends
// one twice: not at two gateways that share a store, and not by way of a crash. A
// token stands here as its hash. Nothing tells whose it was, when in its day it
// came, or what it paid for.
//
// A store is SQLite in a file or PostgreSQL; the URL says which:
//
//	sqlite:/var/lib/sotto/spent.db
//	postgres://sotto@db.example/sotto
//
// One goroutine writes ([Store.write]). It takes all spends that wait into one
// transaction, and none is acknowledged before that is on the disk: while one
// transaction is being made durable the next gathers, so that spends per second
// grow with how many come at once. Who finds the queue full waits.
//
// Each day has a table of its own, which is dropped as a whole when the day's
// tokens aren't good any more. A day that was dropped stays refused, whatever the
// clock of a gateway says: its tokens would be as new.
//
// A token is in one of four states. It is spent, and a gateway asks a node; from
// there it goes to answered, when an answer has begun, or to failed, when it is
// sure that none will. A failed one can be refunded. One that is merely spent can't
// while the gateway that spent it lives, since the answer may begin any moment;
// when that gateway is dead it can. Gateways that have tokens under way say every
// few seconds that they live, and this is timed by the database's clock alone.
//
// Days are kept with their products' key for refunds too, so that all gateways
// sign with the same. Whoever can read the store can make tokens of these days.
package spent

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sotto-chat/sotto/token"
)

// record is what the store is told of a token.
type record struct {
	Day     token.Day
	ID      [32]byte
	Product string
}

// A Count says how many tokens of a day were spent, and how many of these were
// refunded since.
type Count struct {
	Day             token.Day
	Spent, Refunded int64
}

// ErrUnderWay means that a token can't be refunded now: its answer may still
// begin. Ask again in some seconds.
var ErrUnderWay = errors.New("spent: the request is still under way")

// errClosed means that the store was closed.
var errClosed = errors.New("spent: the store is closed")

const (
	queue    = 4096 // operations that wait; more wait outside
	maxBatch = 1024 // in one transaction

	// A gateway with tokens under way says that it lives every beat. One that
	// hasn't for the time of lease is dead.
	beat  = 2 * time.Second
	lease = 8 * time.Second

	// Each write has at most this long; a database that takes longer is away.
	writeTime = 15 * time.Second
)

// The states of a token, as they are stored.
const (
	isSpent    = 0
	isAnswered = 1
	isFailed   = 2
	isRefunded = 3
)

// A database is what differs between the two kinds.
type database interface {
	// setUp makes the tables that aren't there. What follows is called after it.
	setUp(ctx context.Context) error
	// write does a batch in one transaction that is durable when it returns, and
	// sets fresh of each spend that was the first of its token. errNoTable means
	// that nothing was done, since a day has no table.
	write(ctx context.Context, b *batch) error
	// makeDay makes a day's table. The error is errDropped when the day was
	// dropped before.
	makeDay(ctx context.Context, day token.Day) error
	// refund changes a token's row in one transaction: decide gets the row, or nil
	// where there is none, and says whether it is to be refunded.
	refund(ctx context.Context, t record, run int64, hash []byte, decide func(*row) error) error
	// dropBefore drops the days before day, and keeps their counts.
	dropBefore(ctx context.Context, day token.Day) error
	counts(ctx context.Context, product string) ([]Count, error)
	// key returns the stored key of a day, or nil; setKey stores one where there is none.
	key(ctx context.Context, day token.Day, product string) ([]byte, error)
	setKey(ctx context.Context, day token.Day, product string, pkcs8 []byte) error
	close() error
}

var (
	errNoTable = errors.New("spent: a day has no table")
	errDropped = errors.New("spent: the day was dropped")
)

// row is what is stored of a token.
type row struct {
	state  int
	run    int64
	alive  bool // the gateway of run
	refund []byte
}

// batch is what is written at once. All of it belongs to one run.
type batch struct {
	run    int64
	beat   bool // say that the run lives
	spends []*op
	ends   []*op // answered and failed
}

// An op is something to be written.
type op struct {
	t     record
	state int  // to be: isSpent, isAnswered, isFailed
	fresh bool // a spend was the first
	done  chan error
	// fate is 0 while somebody waits, 1 once the writer has decided, 2 when nobody
	// waits any more.
	fate atomic.Int32
}

// Store is an open store. It may be used from several goroutines.
type Store struct {
	db  database
	run int64 // this process, among those that share the store

	ops    chan *op
	closed chan struct{}
	once   sync.Once
	ended  chan struct{} // the writer has

	mu   sync.Mutex
	live map[record]int // under way here
}

// Open opens the store at a URL and makes its tables where they are missing.
func Open(ctx context.Context, url string) (*Store, error) {
	var db database
	var err error
	switch {
	case strings.HasPrefix(url, "sqlite:"):
		db, err = openSQLite(strings.TrimPrefix(url, "sqlite:"))
	case strings.HasPrefix(url, "postgres://"), strings.HasPrefix(url, "postgresql://"):
		db, err = openPostgres(ctx, url)
	default:
		// Without the URL, which may hold a password.
		return nil, errors.New("spent: the store's URL should look like sqlite:/var/lib/sotto/spent.db or postgres://user@host/database")
	}
	if err != nil {
		return nil, fmt.Errorf("spent: %w", err)
	}
	if err := db.setUp(ctx); err != nil {
		db.close()
		return nil, fmt.Errorf("spent: %w", err)
	}
	var b [8]byte
	rand.Read(b[:])
	s := &Store{
		db: db, run: int64(binary.BigEndian.Uint64(b[:]) >> 1),
		ops: make(chan *op, queue), closed: make(chan struct{}), ended: make(chan struct{}),
		live: map[record]int{},
	}
	go s.write()
	return s, nil
}

// Close writes what waits and closes the store.
func (s *Store) Close() error {
	s.once.Do(func() { close(s.closed) })
	<-s.ended
	return s.db.close()
}

// Spend spends a token of a day, named by its hash ([token.Spend.ID]), of a product,
// whose tokens are counted together. When it returns nil that is on the disk, and exactly one
// of [Store.Answered] and [Store.Failed] must be called in the end. The error is a
// *token.Error with [token.Spent] when the token was spent before, here or
// elsewhere, and with [token.Expired] when its day was dropped. After any other
// error it may be spent or not; [Store.Refund] sees to both.
func (s *Store) Spend(ctx context.Context, day token.Day, id [32]byte, product string) error {
	t := record{day, id, product}
	o := &op{t: t, state: isSpent, done: make(chan error, 1)}
	s.begin(t)
	err := s.enqueue(ctx, o)
	if err == nil {
		select {
		case err = <-o.done:
		case <-ctx.Done():
			if o.fate.CompareAndSwap(0, 2) {
				err = ctx.Err() // the writer sees to the rest
			} else {
				err = <-o.done
			}
		}
	}
	if err != nil {
		s.end(t)
	}
	return err
}

// Answered notes that the answer for a token has begun, so that it won't be
// refunded. It is written soon, and [Store.Close] waits for it.
func (s *Store) Answered(day token.Day, id [32]byte, product string) {
	s.settle(record{day, id, product}, isAnswered)
}

// Failed notes that a token was spent for nothing and may be refunded.
func (s *Store) Failed(day token.Day, id [32]byte, product string) {
	s.settle(record{day, id, product}, isFailed)
}

func (s *Store) settle(t record, state int) {
	s.enqueue(context.Background(), &op{t: t, state: state})
	s.end(t)
}

// Refund notes that a token is replaced by what is made of a blinded message with
// this SHA-256; nil means that it is. The same hash again is nil again. The error is
// a *token.Error with [token.RefundRefused] when an answer was begun or the hash
// is another, and ErrUnderWay when neither is certain yet. A token that was never
// spent is spent with it: whoever asks for a refund may have been told wrong.
func (s *Store) Refund(ctx context.Context, day token.Day, id [32]byte, product string, blinded [32]byte) error {
	t := record{day, id, product}
	if err := s.flush(ctx); err != nil {
		return err
	}
	decide := func(r *row) error {
		switch {
		case r == nil, r.state == isFailed:
			return nil
		case r.state == isSpent && r.run == s.run && !s.isLive(t), r.state == isSpent && r.run != s.run && !r.alive:
			return nil
		case r.state == isSpent:
			return ErrUnderWay
		case r.state == isRefunded && bytes.Equal(r.refund, blinded[:]):
			return nil
		}
		return &token.Error{Failure: token.RefundRefused}
	}
	// What is live here is looked at first, or a spend could come in between.
	if s.isLive(t) {
		return ErrUnderWay
	}
	err := s.db.refund(ctx, t, s.run, blinded[:], decide)
	if errors.Is(err, errNoTable) {
		if err = s.makeDay(ctx, t.Day); err == nil {
			err = s.db.refund(ctx, t, s.run, blinded[:], decide)
		}
	}
	return err
}

// DropBefore drops the spent tokens and the keys of all days before day. Their
// counts stay.
func (s *Store) DropBefore(ctx context.Context, day token.Day) error {
	return s.db.dropBefore(ctx, day)
}

// Counts returns how many tokens of a product were spent, by day, the oldest first.
func (s *Store) Counts(ctx context.Context, product string) ([]Count, error) {
	all, err := s.db.counts(ctx, product)
	slices.SortFunc(all, func(a, b Count) int { return cmp.Compare(a.Day, b.Day) })
	return all, err
}

// Spent returns how many tokens of a day and a product were spent.
func (s *Store) Spent(ctx context.Context, day token.Day, product string) (int64, error) {
	all, err := s.Counts(ctx, product)
	for _, c := range all {
		if c.Day == day {
			return c.Spent, err
		}
	}
	return 0, err
}

// RefundKey returns the key that a product's refunds of a day are signed with. It
// is made when it is asked for first, and is the same for all who share the store.
func (s *Store) RefundKey(ctx context.Context, day token.Day, product string) (token.PrivateKey, error) {
	b, err := s.db.key(ctx, day, product)
	if err == nil && b == nil {
		var k token.PrivateKey
		if k, err = token.NewKey(rand.Reader); err != nil {
			return token.PrivateKey{}, err
		}
		if b, err = k.PKCS8(); err != nil {
			return token.PrivateKey{}, err
		}
		if err = s.db.setKey(ctx, day, product, b); err == nil {
			b, err = s.db.key(ctx, day, product) // somebody may have been quicker
		}
	}
	if err != nil {
		return token.PrivateKey{}, err
	}
	return token.ParsePrivateKey(b)
}

func (s *Store) begin(t record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live[t]++
}

func (s *Store) end(t record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live[t]--; s.live[t] <= 0 {
		delete(s.live, t)
	}
}

func (s *Store) isLive(t record) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live[t] > 0
}

func (s *Store) enqueue(ctx context.Context, o *op) error {
	select { // or a closed store could win or lose by chance
	case <-s.closed:
		return errClosed
	default:
	}
	select {
	case s.ops <- o:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.closed:
		return errClosed
	}
}

// flush waits until all that was given to the writer before is written.
func (s *Store) flush(ctx context.Context) error {
	o := &op{state: -1, done: make(chan error, 1)}
	if err := s.enqueue(ctx, o); err != nil {
		return err
	}
	select {
	case err := <-o.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// write takes all that waits into one transaction, and again, until the store is
// closed and nothing waits.
func (s *Store) write() {
	defer close(s.ended)
	tick := time.NewTicker(beat)
	defer tick.Stop()
	var beaten time.Time // when the run said last that it lives
	for {
		var ops []*op
		select {
		case o := <-s.ops:
			ops = append(ops, o)
		case <-tick.C:
			s.mu.Lock()
			idle := len(s.live) == 0
			s.mu.Unlock()
			if idle {
				continue
			}
		case <-s.closed:
			select {
			case o := <-s.ops:
				ops = append(ops, o)
			default:
				return
			}
		}
	gather:
		for len(ops) < maxBatch {
			select {
			case o := <-s.ops:
				ops = append(ops, o)
			default:
				break gather
			}
		}
		b := s.batch(ops)
		b.beat = (len(b.spends) > 0 || len(ops) == 0) && time.Since(beaten) >= beat
		err := s.writeBatch(b)
		if err == nil && b.beat {
			beaten = time.Now()
		}
		s.tell(ops, err)
	}
}

// batch sorts out operations. A second spend of a token in the same batch stays out,
// and is told so.
func (s *Store) batch(ops []*op) *batch {
	b := &batch{run: s.run}
	seen := map[[32]byte]bool{}
	for _, o := range ops {
		switch {
		case o.state == isSpent && o.fate.Load() == 2, o.state == isSpent && seen[o.t.ID]:
		case o.state == isSpent:
			seen[o.t.ID] = true
			b.spends = append(b.spends, o)
		case o.state >= 0:
			b.ends = append(b.ends, o)
		}
	}
	// In one order, so that two that share a database never wait for each other.
	order := func(x, y *op) int {
		return cmp.Or(cmp.Compare(x.t.Day, y.t.Day), bytes.Compare(x.t.ID[:], y.t.ID[:]))
	}
	slices.SortStableFunc(b.spends, order)
	slices.SortStableFunc(b.ends, order)
	return b
}

// writeBatch writes a batch, and makes the tables of days that are new. Spends of
// days that were dropped are taken out of it.
func (s *Store) writeBatch(b *batch) error {
	if len(b.spends)+len(b.ends) == 0 && !b.beat {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), writeTime)
	defer cancel()
	err := s.db.write(ctx, b)
	if !errors.Is(err, errNoTable) {
		return err
	}
	days := map[token.Day]bool{}
	for _, o := range slices.Concat(b.spends, b.ends) {
		days[o.t.Day] = true
	}
	for day := range days {
		if err := s.db.makeDay(ctx, day); errors.Is(err, errDropped) {
			gone := func(o *op) bool { return o.t.Day == day }
			for _, o := range b.spends {
				if gone(o) {
					s.answer(o, &token.Error{Failure: token.Expired})
				}
			}
			b.spends, b.ends = slices.DeleteFunc(b.spends, gone), slices.DeleteFunc(b.ends, gone)
		} else if err != nil {
			return err
		}
	}
	return s.db.write(ctx, b)
}

func (s *Store) makeDay(ctx context.Context, day token.Day) error {
	err := s.db.makeDay(ctx, day)
	if errors.Is(err, errDropped) {
		return &token.Error{Failure: token.Expired}
	}
	return err
}

// tell says to each who waits what became of it.
func (s *Store) tell(ops []*op, err error) {
	for _, o := range ops {
		switch {
		case o.done == nil:
		case err != nil:
			s.answer(o, fmt.Errorf("spent: %w", err))
		case o.state == isSpent && !o.fresh:
			s.answer(o, &token.Error{Failure: token.Spent})
		default:
			s.answer(o, nil)
		}
	}
}

// answer says to whoever waits what became of its operation. A spend for which
// nobody waits any more was for nothing.
func (s *Store) answer(o *op, err error) {
	if o.fate.CompareAndSwap(0, 1) {
		o.done <- err
	} else if o.fate.Load() == 2 && err == nil && o.state == isSpent {
		go s.enqueue(context.Background(), &op{t: o.t, state: isFailed})
	}
}

// table is the name of a day's table.
func table(day token.Day) string { return fmt.Sprintf("spent_%d", day) }
