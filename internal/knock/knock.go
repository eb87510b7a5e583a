// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package knock bounds how often strangers may knock, by the network that they
// come from, and forgets who came.
//
// Each network has a bucket that fills with time; a request takes from it what it
// costs. The map knows no address, only a hash with a key of this process, and is
// emptied every hour, so nothing about who came from where outlives that.
package knock

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

const (
	// MaxBuckets bounds the networks that are counted at a time. With one more,
	// all are forgotten.
	MaxBuckets = 100_000
	// Forget is how long networks are counted before all are forgotten.
	Forget = time.Hour
)

// Limits counts requests by network. Make it with [New].
type Limits struct {
	size, rate float64
	now        func() time.Time

	mu      sync.Mutex
	seed    maphash.Seed
	since   time.Time
	buckets map[uint64]*bucket
}

type bucket struct {
	tokens float64
	at     time.Time
}

// New returns limits of so many requests at once, and so many a second for ever.
func New(size, rate float64) *Limits {
	return &Limits{size: size, rate: rate, now: time.Now, seed: maphash.MakeSeed(), buckets: map[uint64]*bucket{}}
}

// Take takes cost from the bucket of an address's network. It returns how long to
// wait when there is too little, else 0.
func (l *Limits) Take(address string, cost float64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if now.Sub(l.since) > Forget || len(l.buckets) >= MaxBuckets {
		l.seed, l.since = maphash.MakeSeed(), now
		clear(l.buckets)
	}
	key := maphash.String(l.seed, Network(address))
	b, ok := l.buckets[key]
	if !ok {
		b = &bucket{l.size, now}
		l.buckets[key] = b
	}
	b.tokens = min(l.size, b.tokens+now.Sub(b.at).Seconds()*l.rate)
	b.at = now
	if b.tokens < cost {
		return time.Duration((cost - b.tokens) / l.rate * float64(time.Second))
	}
	b.tokens -= cost
	return 0
}

// Counted returns how many networks are counted now.
func (l *Limits) Counted() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.buckets)
}

// Network returns what counts as one stranger: an IPv4 address, or the /64 that
// an IPv6 one belongs to, of which one household has many.
func Network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	if ip = ip.Unmap(); ip.Is6() {
		if p, err := ip.WithZone("").Prefix(64); err == nil {
			return p.String()
		}
	}
	return ip.String()
}
