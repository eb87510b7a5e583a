// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"

	"runtime"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/keylog"
	"github.com/sotto-chat/sotto/seal"
	"github.com/sotto-chat/sotto/tlog"
)

const (
	// sampleNodes is how many nodes one check looks at. A random sample is
	// enough to seal to, and checking thousands would be slow in a browser.
	sampleNodes = 16
	// checkTimeout bounds one whole check, fetching included.
	checkTimeout = 30 * time.Second
	// breath is for what else a browser's one thread has to do, before each bundle:
	// only a wait gives it back.
	breath = time.Millisecond
	// Refreshing happens at half of a key's remaining life, within these bounds.
	refreshMin = 2 * time.Second
	refreshMax = 10 * time.Minute
	// After a failed check the next one waits, twice as long each time.
	retryMin = 2 * time.Second
	retryMax = 2 * time.Minute
)

// nodeKey is the newest verified key of one node.
type nodeKey struct {
	*attest.Key
	config  attest.KeyConfig
	demo    bool
	receipt Receipt

	// ready is what the next request that is sealed to this key needs, if there
	// has been time to prepare it. Whoever takes it out has it alone.
	ready atomic.Pointer[seal.Prepared]
}

func (k *nodeKey) recipient() seal.Recipient {
	return seal.Recipient{ID: k.ID(), PublicKey: k.PublicKey()}
}

func (k *nodeKey) serves(model string) bool {
	return slices.ContainsFunc(k.config.Models, func(m attest.Model) bool { return m.ID == model })
}

// keyring holds what the last check found. It owns all timing: when keys die,
// when new ones are fetched.
type keyring struct {
	mu       sync.Mutex
	keys     []*nodeKey       // one per node, of the last check that found any
	verdicts []attest.Verdict // of the last check that got a node list
	err      error            // of the last check; nil when keys were found
	checked  time.Time        // end of the last check that said something about machines
	failures int              // failed checks in a row
	running  *check           // the check under way, if any
	timer    *time.Timer      // starts the next check in the background
	stopped  bool
	seen     map[string]bool // releases that the person knows
	log      *publicLog      // of the last check that asked for it
	logSeen  *tlog.Seen      // how far the log was ever seen
	keyLog   *keylog.Keys    // of the last check; nil where the release names none
	keysSeen *tlog.Seen      // how far the key log was ever seen
	// relayNamed is the URL of the relay that the newest release names.
	relayNamed string
	watch      keylog.Watch     // whether somebody chooses the machines
	places     map[string]int64 // on the list with the root placesOf, by node
	placesOf   tlog.Hash
	// wanted counts, by node, the answers under way: their nodes must be in
	// every sample, or they could not be resumed.
	wanted map[string]int
}

// check is one fetch-and-verify, shared by all who wait for it.
type check struct {
	done     chan struct{}
	verdicts []attest.Verdict
	err      error
}

// live returns the keys that are good at now; mu is held.
func (r *keyring) live(now time.Time) []*nodeKey {
	var out []*nodeKey
	for _, k := range r.keys {
		if k.ValidAt(now) {
			out = append(out, k)
		}
	}
	return out
}

func (r *keyring) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
	if r.timer != nil {
		r.timer.Stop()
	}
}

// Verify fetches the node list, checks a random sample of the machines, and
// keeps the keys of those that pass. It returns one verdict for each machine.
// The error is nil if at least one passed; otherwise a [*NotVerifiedError], or
// what kept the client from checking ([ErrUnreachable], [ErrNodeList],
// [ErrNoNodes], a [*ServiceError]). Ending ctx ends the waiting, not the check,
// which others may be waiting for too.
func (c *Client) Verify(ctx context.Context) ([]attest.Verdict, error) {
	k := c.startCheck()
	select {
	case <-k.done:
		return k.verdicts, k.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// startCheck begins a check, or joins the one under way.
func (c *Client) startCheck() *check {
	r := &c.ring
	r.mu.Lock()
	if r.running != nil {
		defer r.mu.Unlock()
		return r.running
	}
	k := &check{done: make(chan struct{})}
	r.running = k
	s := c.statusLocked(c.cfg.Now())
	r.mu.Unlock()

	c.announce(s)
	go func() {
		ctx, cancel := context.WithTimeout(c.life, checkTimeout)
		defer cancel()
		keys, verdicts, err := c.checkNodes(ctx)
		c.finishCheck(k, keys, verdicts, err)
	}()
	return k
}

// sealTo seals plaintext to keys, with what was prepared for them as far as it was.
func sealTo(keys []*nodeKey, plaintext []byte) ([]byte, *seal.Exchange, error) {
	prepared := make([]*seal.Prepared, len(keys))
	for i, k := range keys {
		if prepared[i] = k.ready.Swap(nil); prepared[i] != nil {
			continue
		}
		var err error
		if prepared[i], err = seal.Prepare(k.recipient()); err != nil {
			return nil, nil, err
		}
	}
	return seal.SealPrepared(prepared, plaintext)
}

// prepare makes ready for the next request to each key, so that the costly half
// of sealing it (milliseconds in a browser) is over before a person has typed
// it. It is called when there is nothing to wait for: after a check and after an answer.
func (c *Client) prepare() {
	if !c.preparing.TryLock() {
		return
	}
	defer c.preparing.Unlock()
	for _, k := range c.liveKeys() {
		runtime.Gosched() // a browser has one thread for all
		if c.life.Err() != nil {
			return
		}
		if k.ready.Load() != nil {
			continue
		}
		p, err := seal.Prepare(k.recipient())
		if err != nil {
			return // the request will say so
		}
		k.ready.Store(p)
	}
}

// finishCheck puts the outcome into the keyring and plans the next check. A
// check that failed does not throw away keys that are still good: they were
// verified, and they say themselves when they end. But where the public log was
// found to lie, or takes back what it said, or the page is another, nothing of
// what was verified before is worth anything.
func (c *Client) finishCheck(k *check, keys []*nodeKey, verdicts []attest.Verdict, err error) {
	k.verdicts, k.err = verdicts, err
	r := &c.ring
	r.mu.Lock()
	now := c.cfg.Now()
	r.running = nil
	r.err = err
	if verdicts != nil {
		r.verdicts, r.checked = verdicts, now
	}
	next := time.Duration(0)
	var met []string
	if err == nil {
		r.keys, r.failures = keys, 0
		next = refreshIn(keys, now)
		if len(r.seen) == 0 && !keys[0].demo {
			for _, k := range keys {
				r.seen[k.config.Release] = true // what is there at first is no change
			}
			met = r.met()
		}
	} else {
		if refusedByLog(err) {
			r.keys = nil
		}
		next = min(retryMin<<min(r.failures, 10), retryMax)
		r.failures++
	}
	if r.timer != nil {
		r.timer.Stop()
	}
	if !r.stopped {
		r.timer = time.AfterFunc(next, func() { c.startCheck() })
	}
	s := c.statusLocked(now)
	r.mu.Unlock()
	c.announceSeen(met) // before anybody goes on, who may end the program
	close(k.done)
	c.announce(s)
	if err == nil {
		c.begun.Do(func() { go c.settleOld() })
	}
	c.prepare()
}

// refreshIn says when to fetch again: at half of the shortest remaining life,
// so that there is time for several tries before a key ends.
func refreshIn(keys []*nodeKey, now time.Time) time.Duration {
	d := refreshMax
	for _, k := range keys {
		d = min(d, time.Unix(k.config.NotAfter, 0).Sub(now)/2)
	}
	return max(d, refreshMin)
}

// checkNodes does the work of one check.
func (c *Client) checkNodes(ctx context.Context) ([]*nodeKey, []attest.Verdict, error) {
	if err := c.askService(ctx); err != nil {
		return nil, nil, err
	}
	log := c.fetchLog(ctx)
	keys, err := c.keysOf(ctx, log)
	c.ring.mu.Lock()
	c.ring.log = log
	// What can't be asked now was not taken back: keys of machines that are still good
	// must not be used with less known of the service than when they were checked.
	if err == nil && (log == nil || log.found != nil) {
		c.ring.keyLog = keys
	}
	c.ring.mu.Unlock()
	if err != nil {
		return nil, nil, err
	}
	var nodes []listedNode
	var sample []keylog.Sampled
	var stated keylog.Nodes
	drawn := false
	if keys != nil && !c.cfg.Listed {
		stated, drawn = keys.Nodes()
	}
	if drawn {
		nodes, sample, err = c.drawNodes(ctx, stated)
	} else if nodes, err = c.fetchNodes(ctx); err == nil {
		nodes = c.sample(nodes)
	}
	if err != nil {
		return nil, nil, err
	}
	terms := c.terms(log)

	byNode := make(map[string]*nodeKey)
	proved := make(map[string]bool)
	var verdicts []attest.Verdict
	for _, n := range nodes {
		key, v := c.judge(ctx, n, terms)
		if n.listed && key != nil && key.config.Node != n.ID {
			continue // another's, in the place of the one that was drawn
		}
		verdicts = append(verdicts, v)
		if key == nil {
			continue
		}
		proved[n.ID] = true
		// The node's id is what its evidence says, not what the list says.
		if old := byNode[key.config.Node]; old == nil || old.config.NotAfter < key.config.NotAfter {
			byNode[key.config.Node] = key
		}
		if ctx.Err() != nil {
			break // with what there is by now: a list can be made to take very long
		}
	}
	if drawn && ctx.Err() == nil {
		if err := c.answered(stated, sample, proved); err != nil {
			return nil, nil, err
		}
	}
	if len(verdicts) == 0 {
		return nil, nil, ErrNoNodes
	}
	var good []*nodeKey
	for _, k := range byNode {
		good = append(good, k)
	}
	good = preferReal(good)
	if len(good) == 0 {
		return nil, verdicts, &NotVerifiedError{Verdicts: verdicts}
	}
	return good, verdicts, nil
}

// keysOf opens the key log that the newest release names, and sees that the relay is
// one that it names. There is nothing to see where no log of releases is there.
func (c *Client) keysOf(ctx context.Context, log *publicLog) (*keylog.Keys, error) {
	if log == nil || log.found == nil {
		return nil, nil
	}
	newest, _ := log.found.Newest()
	if err := c.checkRelay(newest.Manifest); err != nil {
		return nil, err
	}
	if relay := c.relay(); relay != nil && slices.Contains(newest.Manifest.Relays, relay.URL) {
		c.ring.mu.Lock()
		c.ring.relayNamed = relay.URL
		c.ring.mu.Unlock()
	}
	return c.fetchKeys(ctx, newest.Manifest)
}

// sample picks at most sampleNodes nodes at random, those with answers under
// way first. That the list may lie about ids does no harm: a verified key says
// itself whose it is.
func (c *Client) sample(nodes []listedNode) []listedNode {
	shuffle(nodes)
	c.ring.mu.Lock()
	defer c.ring.mu.Unlock()
	sort.SliceStable(nodes, func(i, j int) bool { // not slices', which browsers would load for this type alone
		return c.ring.wanted[nodes[i].ID] > 0 && c.ring.wanted[nodes[j].ID] <= 0
	})
	return nodes[:min(len(nodes), sampleNodes)]
}

// want adds n to the count of answers under way at the given nodes.
func (c *Client) want(nodes []Receipt, n int) {
	c.ring.mu.Lock()
	defer c.ring.mu.Unlock()
	for _, r := range nodes {
		if c.ring.wanted[r.Node] += n; c.ring.wanted[r.Node] <= 0 {
			delete(c.ring.wanted, r.Node)
		}
	}
}

// terms are what machines are judged by in this check.
func (c *Client) terms(log *publicLog) attest.Terms {
	t := attest.Terms{Policy: c.cfg.Policy}
	if log != nil { // a nil pointer would be an attest.Log
		t.Log = log
	}
	if c.cfg.Page != nil {
		t.Page = c.cfg.Page()
	}
	return t
}

// judge verifies the bundles of one node and keeps its longest-lived key. The
// verdict is that key's, or that of the first bundle if none passes.
func (c *Client) judge(ctx context.Context, n listedNode, terms attest.Terms) (*nodeKey, attest.Verdict) {
	var best *nodeKey
	var verdict attest.Verdict
	for i, b := range n.Bundles {
		if i > 0 && ctx.Err() != nil {
			break
		}
		time.Sleep(breath)
		key, v := attest.Judge(b, terms, c.cfg.Now(), c.cfg.Platforms...)
		if i == 0 && best == nil {
			verdict = v
		}
		if key == nil {
			continue
		}
		config := key.Config()
		if best == nil || best.config.NotAfter < config.NotAfter {
			best = &nodeKey{Key: key, config: config, demo: key.Demo(), receipt: newReceipt(v)}
			verdict = v
		}
	}
	return best, verdict
}

// preferReal drops demo keys where a machine with real evidence is there: the
// leave to use the demo is not a wish to.
func preferReal(keys []*nodeKey) []*nodeKey {
	if !slices.ContainsFunc(keys, func(k *nodeKey) bool { return !k.demo }) {
		return keys
	}
	return slices.DeleteFunc(keys, func(k *nodeKey) bool { return k.demo })
}

// goodKeys returns keys that are good now, checking first if there are none or
// if the caller knows that those at hand are stale.
func (c *Client) goodKeys(ctx context.Context, fresh bool) ([]*nodeKey, error) {
	if !fresh {
		if keys := c.liveKeys(); len(keys) > 0 {
			return keys, nil
		}
	}
	if _, err := c.Verify(ctx); err != nil {
		return nil, err
	}
	keys := c.liveKeys()
	if len(keys) == 0 { // they ended between the check and here
		return nil, ErrNoNodes
	}
	return keys, nil
}

func (c *Client) liveKeys() []*nodeKey {
	c.ring.mu.Lock()
	defer c.ring.mu.Unlock()
	return c.ring.live(c.cfg.Now())
}

// pick chooses at random up to n of the keys, all of which serve model if any
// does. If none says so the engine is left to answer: it may know the model
// under another name, and it has the better words if it doesn't.
func pick(keys []*nodeKey, model string, n int) []*nodeKey {
	keys = slices.Clone(keys)
	if model != "" {
		serving := slices.DeleteFunc(slices.Clone(keys), func(k *nodeKey) bool { return !k.serves(model) })
		if len(serving) > 0 {
			keys = serving
		}
	}
	shuffle(keys)
	return keys[:min(len(keys), n)]
}

// shuffle orders s at random (Fisher–Yates over crypto/rand): a gateway must
// not be able to foresee or to steer which machines a person picks.
func shuffle[T any](s []T) {
	for i := len(s) - 1; i > 0; i-- {
		j := randomBelow(uint32(i + 1))
		s[i], s[j] = s[j], s[i]
	}
}

// randomBelow returns a uniform number in [0, n), n > 0, by rejection.
func randomBelow(n uint32) uint32 {
	limit := -n % n // 2^32 mod n: numbers below it would be favoured
	for {
		var b [4]byte
		rand.Read(b[:]) // never fails
		if v := binary.BigEndian.Uint32(b[:]); v >= limit {
			return v % n
		}
	}
}

// refusedByLog says whether a check failed by what the public log or the page is,
// rather than by what machines showed.
func refusedByLog(err error) bool {
	var kl *KeyLogError
	if errors.As(err, &kl) {
		return kl.lie()
	}
	var nv *NotVerifiedError
	if !errors.As(err, &nv) || !nv.failed() {
		return false
	}
	switch nv.Failure() {
	case attest.FailLogSignature, attest.FailLogWitnessesFew, attest.FailLogWitnessUnknown, attest.FailLogRollback, attest.FailLogSplitView,
		attest.FailReleaseRevoked, attest.FailPageChanged:
		return true
	}
	return false
}

func isNotVerified(err error) bool {
	var kl *KeyLogError
	if errors.As(err, &kl) {
		return kl.lie()
	}
	var nv *NotVerifiedError
	return errors.As(err, &nv) && nv.failed()
}

// met returns the releases that were seen, in order.
func (r *keyring) met() []string {
	var met []string
	for release := range r.seen {
		met = append(met, release)
	}
	sort.Slice(met, func(i, j int) bool { return met[i] < met[j] })
	return met
}
