// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package account

import (
	"context"
	"hash/maphash"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// limits bounds how often strangers may knock. Each address has a bucket that
// fills with time; a request takes from it what it costs. The map knows no
// address, only a hash with a key of this process, and is emptied every hour, so
// nothing about who came from where outlives that.
type limits struct {
	now func() time.Time

	mu      sync.Mutex
	seed    maphash.Seed
	since   time.Time
	buckets map[uint64]*bucket
}

type bucket struct {
	tokens float64
	at     time.Time
}

const (
	bucketSize   = 400 // requests at once
	bucketRate   = 20  // requests a second, for ever
	knockCost    = 8   // of a sign-up, sign-in or link: 50 at once, then 2.5 a second
	maxBuckets   = 100_000
	limitsForget = time.Hour
)

func newLimits() *limits {
	return &limits{now: time.Now, seed: maphash.MakeSeed(), buckets: map[uint64]*bucket{}}
}

// costOf returns what a request takes from its bucket.
func costOf(r *http.Request) float64 {
	for _, knock := range []string{"/api/v1/signup/", "/api/v1/signin/", "/api/v1/recover/"} {
		if strings.HasPrefix(r.URL.Path, knock) {
			return knockCost
		}
	}
	if r.URL.Path == "/api/v1/links" {
		return knockCost
	}
	return 1
}

// request takes cost from an address's bucket. It returns how long to wait when
// there is too little, else 0.
func (l *limits) request(address string, cost float64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if now.Sub(l.since) > limitsForget || len(l.buckets) >= maxBuckets {
		l.seed, l.since = maphash.MakeSeed(), now
		clear(l.buckets)
	}
	key := maphash.String(l.seed, network(address))
	b, ok := l.buckets[key]
	if !ok {
		b = &bucket{bucketSize, now}
		l.buckets[key] = b
	}
	b.tokens = min(bucketSize, b.tokens+now.Sub(b.at).Seconds()*bucketRate)
	b.at = now
	if b.tokens < cost {
		return time.Duration((cost - b.tokens) / bucketRate * float64(time.Second))
	}
	b.tokens -= cost
	return 0
}

// network returns what counts as one stranger: an IPv4 address, or the /64 that
// an IPv6 one belongs to, of which one household has many.
func network(address string) string {
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

// detached returns the request's context without its end.
func detached(r *http.Request) context.Context { return context.WithoutCancel(r.Context()) }
