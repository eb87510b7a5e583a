// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/sotto-chat/sotto/internal/door"
)

// problem is a failure as the outside sees it. There are no others than these.
type problem struct {
	status  int
	code    string
	message string
}

// The failures.
var (
	errMalformed = &problem{http.StatusBadRequest, "malformed", "This is not an encapsulated request, or not all of it."}
	errOrigin    = &problem{http.StatusForbidden, "origin_unknown", "This relay doesn't work for the page that asked."}
	errNoRoute   = &problem{http.StatusNotFound, "not_found", "There is nothing at this address."}
	errMethod    = &problem{http.StatusMethodNotAllowed, "not_found", "Encapsulated requests are posted, and keys are got from /ohttp-keys."}
	errTooLarge  = &problem{http.StatusRequestEntityTooLarge, "too_large", "The request is too large."}
	errType      = &problem{http.StatusUnsupportedMediaType, "malformed", "A request has the type message/ohttp-req or message/ohttp-chunked-req."}
	errSlowDown  = &problem{http.StatusTooManyRequests, "slow_down", "Too many requests come from this network. Wait a moment and try again."}
	errGateway   = &problem{http.StatusBadGateway, "gateway_unreachable", "The gateway behind this relay can't be reached. Try again in a moment."}
	errBusy      = &problem{http.StatusServiceUnavailable, "busy", "Too many requests at once. Try again in a moment."}
)

// refuse answers with p, and says when to come again if that is known. The rest of the
// request need not be read.
func refuse(w http.ResponseWriter, p *problem, wait time.Duration) {
	h := w.Header()
	h.Set("Connection", "close")
	if wait > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	}
	door.Refuse(w, p.status, p.code, p.message)
}
