// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sotto-chat/sotto/attest/bundle"
	"github.com/sotto-chat/sotto/engine"
	"github.com/sotto-chat/sotto/internal/lines"
	"github.com/sotto-chat/sotto/seal/machine"
)

// liveKey is a key that opens requests, and what vouches for it.
type liveKey struct {
	id      machine.KeyID
	private *machine.PrivateKey
	made    time.Time // with its evidence
	ends    time.Time // a whole second, the config's not_after
	bundle  []byte

	config, checkpoint []byte // what is in the bundle beside the evidence

	// seen holds the requests that were opened while this was the newest key.
	// Any key that such a request names ends no later than this one, so the
	// memory may go when this key goes.
	seen map[replayID]struct{}
}

// keyring holds the live keys: two at most times, one after a start.
type keyring struct {
	replayLimit int

	mu     sync.RWMutex
	live   []*liveKey      // newest first
	erased []machine.KeyID // oldest first, at most maxErased
	served []byte          // the evidence document
	made   time.Time       // when the newest key and its evidence were, live or not
}

// maxErased is how many ended keys are told apart from unknown ones.
const maxErased = 64

// newKey makes a key and has the hardware vouch for it, which may take long.
func (n *Node) newKey(ctx context.Context) (*liveKey, error) {
	models := n.probe(ctx)
	checkpoint, err := n.checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	private, err := machine.GenerateKey()
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	now := time.Now()
	config, err := bundle.KeyConfig{
		V: 1, Node: n.id, Suite: bundle.Suite, PublicKey: private.PublicKey(),
		NotBefore: now.Unix(), NotAfter: now.Add(n.cfg.Lifetime).Unix(),
		Release: n.cfg.Release, Models: describe(models), Anchor: bundle.Anchor(checkpoint),
	}.Encode()
	if err != nil {
		private.Erase()
		return nil, fmt.Errorf("describing the key: %w", err)
	}
	evidence, err := n.hardware.evidence(bundle.ReportData(config))
	n.stats.countPieces(evidence)
	if err != nil {
		private.Erase()
		return nil, fmt.Errorf("getting evidence: %w", err)
	}
	doc, err := bundle.Bundle{V: 1, KeyConfig: config, Evidence: evidence, Checkpoint: checkpoint}.Encode()
	if err != nil {
		private.Erase()
		return nil, fmt.Errorf("bundling evidence: %w", err)
	}
	return &liveKey{
		id: bundle.KeyID(config), private: private, bundle: doc, config: config, checkpoint: checkpoint, made: now,
		ends: time.Unix(now.Add(n.cfg.Lifetime).Unix(), 0),
		seen: make(map[replayID]struct{}),
	}, nil
}

// use puts a new key in use.
func (n *Node) use(k *liveKey) {
	n.keys.add(k)
	n.log.Info("new key", lines.Own("key", k.id.String()), lines.At("until", k.ends))
}

// describe lists the engine's models as far as a key config can name them.
func describe(models []engine.Model) []bundle.Model {
	out := []bundle.Model{}
	for _, m := range models {
		d := bundle.Model{ID: m.ID, Digest: m.Digest, Context: m.Context}
		if d.Digest == "" {
			d.Digest = "none"
		}
		if d.Valid() && len(out) < bundle.MaxModels {
			out = append(out, d)
		}
	}
	return out
}

func (r *keyring) add(k *liveKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.live = slices.Insert(r.live, 0, k)
	r.made = k.made
	r.publish()
}

// publish makes the evidence document anew. The caller holds mu.
func (r *keyring) publish() {
	doc := evidenceDoc{V: 1, Bundles: [][]byte{}}
	for _, k := range r.live {
		doc.Bundles = append(doc.Bundles, k.bundle)
	}
	b, err := json.Marshal(doc)
	if err != nil { // a struct of byte strings always marshals
		panic(err)
	}
	r.served = b
}

// evidenceDoc is the answer to GET /sotto/v1/evidence.
type evidenceDoc struct {
	V       int      `json:"v"`
	Bundles [][]byte `json:"bundles"` // newest key first
}

// evidence returns the current document. The caller must not change it.
func (r *keyring) evidence() []byte {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.served
}

// get returns the key of an id, nil when it isn't live at now.
func (r *keyring) get(id machine.KeyID, now time.Time) *liveKey {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, k := range r.live {
		if k.id == id && now.Before(k.ends) {
			return k
		}
	}
	return nil
}

// lookup is get for the private key alone.
func (r *keyring) lookup(id machine.KeyID, now time.Time) *machine.PrivateKey {
	if k := r.get(id, now); k != nil {
		return k.private
	}
	return nil
}

// ended reports whether id was a key of this node.
func (r *keyring) ended(id machine.KeyID) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Contains(r.erased, id) ||
		slices.ContainsFunc(r.live, func(k *liveKey) bool { return k.id == id })
}

// count returns how many keys are live at now, and when the newest ends.
func (r *keyring) count(now time.Time) (n int, newest time.Time) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, k := range r.live {
		if now.Before(k.ends) {
			n++
		}
	}
	if n > 0 {
		newest = r.live[0].ends
	}
	return n, newest
}

// newest returns when the newest key was made, which may have ended since.
func (r *keyring) newest() time.Time {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.made
}

// nextEnd returns how long it is until the next key ends.
func (r *keyring) nextEnd(now time.Time) time.Duration {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if len(r.live) == 0 {
		return time.Hour // a new key sets the timer anew
	}
	return max(0, r.live[len(r.live)-1].ends.Sub(now))
}

// eraseEnded erases the keys that have ended, and what was remembered with them.
func (r *keyring) eraseEnded(now time.Time) {
	r.erase(func(k *liveKey) bool { return !now.Before(k.ends) })
}

func (r *keyring) eraseAll() { r.erase(func(*liveKey) bool { return true }) }

func (r *keyring) erase(which func(*liveKey) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.live = slices.DeleteFunc(r.live, func(k *liveKey) bool {
		if !which(k) {
			return false
		}
		k.private.Erase()
		k.seen = nil
		r.erased = append(r.erased, k.id)
		return true
	})
	if extra := len(r.erased) - maxErased; extra > 0 {
		r.erased = slices.Delete(r.erased, 0, extra)
	}
	r.publish()
}
