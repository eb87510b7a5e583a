// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// shelf keeps the sealed records of answers that were given an id, so that a
// client whose connection is gone can fetch them again. It is bounded: answers
// that ended first go first, and when only running answers are left, each that
// needs more room loses its own oldest records.
type shelf struct {
	keep  time.Duration
	limit int64

	mu    sync.Mutex
	by    map[answerID]*kept
	ended []*kept // in the order in which they ended
	bytes int64
}

const (
	// chunkSize is the unit in which the shelf gives out memory: 16 records of
	// a stream, or one of a bulk answer.
	chunkSize = 16 << 10
	// minChunks is what a running answer has whatever the limit: a reader may
	// lag behind by so much.
	minChunks = 4
)

func newShelf(keep time.Duration, limit int64) *shelf {
	return &shelf{keep: keep, limit: limit, by: make(map[answerID]*kept)}
}

// put makes a place for an answer; ok is false if its id is taken. stop ends
// the engine's work on it.
func (s *shelf) put(id answerID, stop context.CancelFunc) (k *kept, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.by[id]; taken {
		return nil, false
	}
	k = &kept{shelf: s, id: id, stop: stop}
	s.by[id] = k
	return k, true
}

// get returns the answer of an id, or nil.
func (s *shelf) get(id answerID) *kept {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.by[id]
}

// usage returns how many answers are kept, and their bytes.
func (s *shelf) usage() (answers int, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.by), s.bytes
}

// grant takes the memory of one more chunk for an answer, letting go of ended
// answers for it. If that isn't enough it returns false: then the answer must
// give up its oldest chunk.
func (s *shelf) grant() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.bytes+chunkSize > s.limit && len(s.ended) > 0 {
		s.remove(s.ended[0])
	}
	if s.bytes+chunkSize > s.limit {
		return false
	}
	s.bytes += chunkSize
	return true
}

// finish says that no record follows. The answer goes after the keeping time.
func (s *shelf) finish(k *kept) {
	k.close()
	s.mu.Lock()
	defer s.mu.Unlock()
	if k.away {
		delete(s.by, k.id) // there is nothing to fetch, and the client will ask again
		return
	}
	s.ended = append(s.ended, k)
	k.timer = time.AfterFunc(s.keep, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.remove(k)
	})
}

// remove lets go of an ended answer. The caller holds mu.
func (s *shelf) remove(k *kept) {
	i := slices.Index(s.ended, k)
	if i < 0 {
		return
	}
	s.ended = slices.Delete(s.ended, i, i+1)
	delete(s.by, k.id)
	s.bytes -= k.charged
	k.timer.Stop()
}

// kept is one answer on the shelf, and the sink that its records go to. Its
// records are written once and never changed, so readers need no copy.
type kept struct {
	shelf *shelf
	id    answerID
	stop  context.CancelFunc
	timer *time.Timer // owned by the shelf once the answer has ended

	// Owned by the goroutine that makes the answer until close.
	charged  int64 // bytes granted by the shelf
	complete bool  // the final record is there
	away     bool  // no engine was there to begin it

	mu      sync.Mutex
	header  []byte // nil until the answer begins
	size    int    // of a record
	length  int64  // of the whole answer with its header; -1 if not known
	chunks  [][]byte
	base    uint64 // number of the first record in chunks
	count   uint64 // of all records so far
	done    bool   // no more come
	whole   bool   // once done: the final record is among them
	waiting []chan struct{}
}

func (k *kept) begin(header []byte, recordSize int, length int64) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.header, k.size, k.length = header, recordSize, length
	return nil // the first record wakes the readers
}

func (k *kept) record(rec []byte, more bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for ; len(rec) > 0; rec = rec[k.size:] {
		last := len(k.chunks) - 1
		if last < 0 || len(k.chunks[last])+k.size > chunkSize {
			k.addChunk()
			last = len(k.chunks) - 1
		}
		k.chunks[last] = append(k.chunks[last], rec[:k.size]...)
		k.count++
	}
	if !more {
		k.wake()
	}
	return nil
}

// addChunk makes room for more records. The caller holds mu.
func (k *kept) addChunk() {
	if k.shelf.grant() {
		k.charged += chunkSize
	} else if len(k.chunks) >= minChunks {
		k.base += uint64(len(k.chunks[0]) / k.size)
		k.chunks[0] = nil
		k.chunks = k.chunks[1:]
	}
	k.chunks = append(k.chunks, make([]byte, 0, chunkSize))
}

// wake tells the readers that there is more. The caller holds mu.
func (k *kept) wake() {
	for _, c := range k.waiting {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

func (k *kept) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.done, k.whole = true, k.complete
	k.wake()
}

// has reports whether a reader can go on at record next: it is there, or it is
// the next one to come, or the answer ended right before it.
func (k *kept) has(next uint64) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.done && !k.whole && next >= k.count {
		return false // broken off here: waiting won't help
	}
	return next >= k.base && next <= k.count
}

var (
	errLagging = errors.New("reader too far behind")
	errNothing = errors.New("the answer ended before it began")
)

// follow writes the answer's header and its records from number next on to
// out, and waits for those to come, until the last is out or ctx ends. It
// returns errNothing if the answer's maker failed before there was a header.
func (k *kept) follow(ctx context.Context, next uint64, out *wire) error {
	news := make(chan struct{}, 1)
	k.mu.Lock()
	k.waiting = append(k.waiting, news)
	k.mu.Unlock()
	defer k.leave(news)

	begun := false
	for {
		header, batch, done, err := k.from(next)
		if err != nil {
			return err
		}
		if header != nil && !begun {
			length := int64(-1)
			if next == 0 {
				length = k.length
			}
			if err := out.begin(header, k.size, length); err != nil {
				return err
			}
			begun = true
			if len(batch) == 0 { // the header alone must go out too
				if err := out.record(nil, false); err != nil {
					return err
				}
			}
		}
		if len(batch) > 0 {
			if err := out.record(batch, false); err != nil {
				return err
			}
			next += uint64(len(batch) / k.size)
			continue
		}
		if done && !begun {
			return errNothing
		}
		if done {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// from returns the records from number next on that lie in one piece.
func (k *kept) from(next uint64) (header, batch []byte, done bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.header == nil {
		return nil, nil, k.done, nil
	}
	if next < k.base {
		return nil, nil, false, errLagging
	}
	per := uint64(chunkSize / k.size)
	at := next - k.base
	if i := at / per; i < uint64(len(k.chunks)) {
		batch = k.chunks[i][(at%per)*uint64(k.size):]
	}
	return k.header, batch[:len(batch):len(batch)], k.done, nil
}

func (k *kept) leave(news chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.waiting = slices.DeleteFunc(k.waiting, func(c chan struct{}) bool { return c == news })
}
