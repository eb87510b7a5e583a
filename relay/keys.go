// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/sotto-chat/sotto/ohttp"
)

// A relay gives the gateway's keys to everybody from one copy. If each client got them
// from the gateway, that could give one of them a key of its own and know it by that;
// through this copy it can only give one to all who come in the same minute. Clients
// look the key up in the public log besides.
type keys struct {
	mu     sync.Mutex
	doc    []byte
	got    time.Time // when doc was fetched
	asked  time.Time // when the gateway was asked last
	wanted bool      // something said that doc is old
}

const (
	keysFresh = time.Minute     // how long they are not asked for anew
	keysPause = 2 * time.Second // between two questions at the least
	keysKept  = 24 * time.Hour  // how long they are given out while the gateway doesn't answer
	keysTime  = 5 * time.Second // for an answer
)

// suspect says that the keys may be old.
func (k *keys) suspect() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.wanted = true
}

func (r *Relay) serveKeys(w http.ResponseWriter, req *http.Request) {
	doc := r.currentKeys(req.Context())
	if doc == nil {
		refuse(w, errGateway, 0)
		return
	}
	w.Header().Set("Content-Type", ohttp.KeysType)
	w.Header().Set("Cache-Control", "max-age=60")
	w.Write(doc)
}

// currentKeys returns the keys, after asking the gateway if they are old. Whoever comes
// meanwhile waits for the same answer.
func (r *Relay) currentKeys(ctx context.Context) []byte {
	k := &r.keys
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	old := now.Sub(k.got) >= keysFresh || k.wanted
	if (k.doc == nil || old) && now.Sub(k.asked) >= keysPause {
		k.asked = now
		if doc := r.fetchKeys(context.WithoutCancel(ctx)); doc != nil {
			k.doc, k.got, k.wanted = doc, now, false
		}
	}
	if now.Sub(k.got) > keysKept {
		k.doc = nil
	}
	return k.doc
}

// fetchKeys asks the gateway, and returns nil if that gives nothing that can be used.
func (r *Relay) fetchKeys(ctx context.Context) []byte {
	ctx, cancel := context.WithTimeout(ctx, keysTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.keysAt, nil)
	if err != nil {
		panic(err) // the address was checked
	}
	req.Header = http.Header{"User-Agent": nil}
	res, err := r.client.RoundTrip(req)
	if err != nil {
		r.log.Warn("the gateway's keys can't be had")
		return nil
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, ohttp.MaxConfigs+1))
	if err != nil || res.StatusCode != http.StatusOK || len(b) > ohttp.MaxConfigs {
		r.log.Warn("the gateway's keys can't be had")
		return nil
	}
	if _, err := ohttp.ParseConfigs(b); err != nil && err != ohttp.ErrUnsupported { // a client may know more than we do
		r.log.Warn("what the gateway gives as its keys is none")
		return nil
	}
	return b
}
