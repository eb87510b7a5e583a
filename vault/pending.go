// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// Pending returns what the server has not acknowledged, in the order in which it
// must be posted. The caller stores it, since it holds ciphertext only, and
// gives it back with [Replica.Restore] after a restart.
func (r *Replica) Pending() []Put {
	r.mu.Lock()
	defer r.mu.Unlock()
	// Acknowledged ones are dropped here, all at once, rather than one by one.
	r.pending = slices.DeleteFunc(r.pending, func(p Put) bool {
		_, waits := r.waiting[p.place()]
		return !waits
	})
	return slices.Clone(r.pending)
}

// Restore takes back stored puts after the stored entries were loaded. Those
// that are in the feed by now are dropped; those that don't open are left out
// and named in the error, and the others are kept all the same.
func (r *Replica) Restore(puts []Put) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for _, put := range puts {
		if _, known := r.places[put.place()]; known {
			continue
		}
		o, err := r.open(put.place(), put.Data)
		if err != nil {
			errs = append(errs, fmt.Errorf("pending record %v: %w", put.ID, err))
			continue
		}
		r.push(put, o)
	}
	return errors.Join(errs...)
}

// push adds a record written here.
func (r *Replica) push(put Put, o opened) {
	p := put.place()
	r.places[p] = 0
	r.pending = append(r.pending, put)
	r.waiting[p] = struct{}{}
	r.include(p, o, 0)
}

// Rejoin makes the replica take the server's feed as it is now, after
// [Replica.Apply] answered ErrRollback or ErrFork and the person agreed to go on,
// after a server was restored from a backup, say. Nothing known here is lost: it
// all becomes pending, and what the server still has is recognised when the feed
// is applied again, from its beginning. What was erased here is erased again.
// The caller drops its stored entries and keeps [Replica.Pending] instead.
func (r *Replica) Rejoin() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	messages, registers := r.messages, r.registers
	var gone []RecordID
	for id := range r.tombs {
		if messages[id] == nil && registers[id] == nil {
			gone = append(gone, id)
		}
	}
	r.reset()
	for id, m := range messages {
		body := m.Message
		body.ID = ""
		if _, err := r.seal(place{collection: Messages, id: id}, body, opened{message: &m.Message}); err != nil {
			return err
		}
	}
	for id, g := range registers {
		if _, err := r.seal(place{Registers, id, g.version}, g.registerBody, opened{register: &g.registerBody}); err != nil {
			return err
		}
	}
	_, err := r.tombstone(gone)
	return err
}

// Acked takes the answer to a post of puts: the place of each and the feed's new
// head. If nothing came between, the replica moves on and returns the new
// entries, for the caller to store; otherwise it returns none and the caller
// fetches from [Replica.Head], where the puts will be found. An answer that
// comes twice does no harm.
func (r *Replica) Acked(puts []Put, seqs []uint64, head Head) ([]Entry, error) {
	if len(puts) != len(seqs) {
		return nil, fmt.Errorf("answer to a post: %w: %d places for %d records", ErrFormat, len(seqs), len(puts))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	at := r.head
	var entries []Entry
	for i, put := range puts {
		if seqs[i] <= r.head.Seq {
			if r.places[put.place()] != seqs[i] {
				return nil, fmt.Errorf("%w: record %v is said to be at %d", ErrFork, put.ID, seqs[i])
			}
			continue
		}
		if seqs[i] != at.Seq+1 {
			return nil, nil
		}
		at = at.Next(put.Collection, put.ID, put.Version, Digest(put.Data))
		entries = append(entries, Entry{
			Seq: at.Seq, ID: put.ID, Collection: put.Collection, Version: put.Version,
			Size: len(put.Data), Data: bytes.Clone(put.Data), Hash: at.Hash,
		})
	}
	if at.Seq != head.Seq || len(entries) == 0 {
		return nil, nil
	}
	if at != head {
		return nil, fmt.Errorf("%w: at entry %d", ErrFork, at.Seq)
	}
	return entries, r.apply(Page{head, entries})
}

// seal makes a put of body and adds it to the state.
func (r *Replica) seal(p place, body any, o opened) (Put, error) {
	encoded, err := json.Marshal(body)
	if err != nil {
		return Put{}, fmt.Errorf("record: %w", err)
	}
	data, err := sealRecord(r.keys.records, r.account, p, r.head, encoded)
	if err != nil {
		return Put{}, err
	}
	put := Put{ID: p.id, Collection: p.collection, Version: p.version, Data: data, Erase: o.erase}
	r.push(put, o)
	return put, nil
}
