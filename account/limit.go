// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package account

import (
	"context"
	"net/http"
	"strings"

	"github.com/sotto-chat/sotto/internal/knock"
)

// limits bounds how often strangers may knock.
type limits = knock.Limits

const (
	bucketSize = 400 // requests at once
	bucketRate = 20  // requests a second, for ever
	knockCost  = 8   // of a sign-up, sign-in, link, payment or batch of tokens: 50 at once, then 2.5 a second
)

func newLimits() *limits { return knock.New(bucketSize, bucketRate) }

// costOf returns what a request takes from its bucket.
func costOf(r *http.Request) float64 {
	for _, knock := range []string{"/api/v1/signup/", "/api/v1/signin/", "/api/v1/recover/", "/api/v1/guest/", "/api/v1/plan/"} {
		if strings.HasPrefix(r.URL.Path, knock) {
			return knockCost
		}
	}
	if r.URL.Path == "/api/v1/links" || r.URL.Path == "/api/v1/tokens" {
		return knockCost
	}
	return 1
}

// detached returns the request's context without its end.
func detached(r *http.Request) context.Context { return context.WithoutCancel(r.Context()) }
