// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sotto-chat/sotto/internal/door"
	"github.com/sotto-chat/sotto/internal/lines"
	"github.com/sotto-chat/sotto/keylog"
	"github.com/sotto-chat/sotto/tlog"
	"github.com/sotto-chat/sotto/token"
)

// KeyLog follows a key log: its view is passed on to clients in the log's own
// bytes, and opened for the gateway itself, which takes tokens of no other keys. It
// is a [KeySource].
type KeyLog struct {
	*publicLog
	pin keylog.Pin
	now func() time.Time

	opening sync.Mutex
	opened  []byte // the view that was opened last

	known sync.Mutex
	keys  *keylog.Keys // nil while none could be opened
}

// NewKeyLog returns the key log with this base URL, which is believed by the pin. A
// gateway asks it once it runs ([Config.KeyLog]).
func NewKeyLog(base string, pin keylog.Pin) (*KeyLog, error) {
	if _, err := pin.Judge(); err != nil {
		return nil, fmt.Errorf("gateway: the pin of the key log can't be used: %w", err)
	}
	l, err := newPublicLog(base, &http.Transport{
		DialContext:            (&net.Dialer{Timeout: dialTime, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:    dialTime,
		IdleConnTimeout:        30 * time.Second,
		MaxResponseHeaderBytes: 8 << 10,
	})
	if err != nil {
		return nil, err
	}
	return &KeyLog{publicLog: l, pin: pin, now: time.Now}, nil
}

// open reads what the log showed last, if it is new.
func (l *KeyLog) open(ctx context.Context) error {
	l.opening.Lock()
	defer l.opening.Unlock()
	doc := l.newest().doc
	if doc == nil || len(l.opened) > 0 && &doc[0] == &l.opened[0] {
		return nil
	}
	l.opened = doc
	var seen *tlog.Seen
	if have := l.Keys(); have != nil {
		seen = &have.Seen
	}
	keys, err := l.pin.Open(doc, seen, l.now())
	var earlier *tlog.EarlierError
	if errors.As(err, &earlier) {
		v, _ := l.from(ctx, earlier.From) // busy is none
		keys, err = l.pin.Open(v.doc, seen, l.now())
	}
	if err != nil {
		return err
	}
	l.known.Lock()
	defer l.known.Unlock()
	l.keys = keys
	return nil
}

// openKeys reads what a key log showed last. A log that can't be believed leaves
// what was known before in place.
func (g *Gateway) openKeys(ctx context.Context, l *KeyLog) {
	if err := l.open(ctx); err != nil && ctx.Err() == nil {
		g.log.Error("the key log shows what can't be believed", lines.Own("log", l.url), lines.Err(err))
	}
}

// Keys returns what the log showed last, nil before it did.
func (l *KeyLog) Keys() *keylog.Keys {
	l.known.Lock()
	defer l.known.Unlock()
	return l.keys
}

// Day returns the keys of a day, each an SPKI: that of the issuer's tokens, and that
// of refunds or nil. It answers at once, from what the log showed last.
func (l *KeyLog) Day(d token.Day) (issue, refund []byte, err error) {
	keys := l.Keys()
	if keys == nil {
		return nil, nil, &tlog.Error{Failure: keylog.FailMissing, Detail: "the key log has shown nothing yet"}
	}
	day, err := keys.Day(d)
	if err != nil {
		return nil, nil, err
	}
	return day.Issue, day.Refund, nil
}

// serveKeys passes the key log's view on, byte for byte.
func (g *Gateway) serveKeys(w http.ResponseWriter, r *http.Request) {
	if g.cfg.KeyLog == nil {
		door.Refuse(w, http.StatusNotFound, door.NotFound, "This service follows no key log.")
		return
	}
	serveView(w, r, g.cfg.KeyLog.publicLog)
}

const (
	// awayStays is how long a node that doesn't answer stays on the list: so one that
	// comes and goes doesn't change it.
	awayStays = 10 * time.Minute
	// maxLists are the lists that are remembered, the newest of them; a list changes
	// in the log every ten minutes at most.
	maxLists = 64
)

// lists are the lists of nodes that this gateway has given out to be stated in the
// key log, so that it can prove places on the one that was.
type lists struct {
	mu  sync.Mutex
	all []*keylog.List // newest last
}

// add makes ids the newest list.
func (l *lists) add(ids []string) {
	slices.Sort(ids)
	ids = slices.Compact(ids)
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.all); n > 0 && slices.Equal(l.all[n-1].IDs(), ids) {
		return
	}
	list, err := keylog.NewList(ids)
	if err != nil { // there is an address for each, and they were read
		return
	}
	// One that comes again moves to the end.
	l.all = append(slices.DeleteFunc(l.all, func(o *keylog.List) bool { return o.Root() == list.Root() }), list)
	if extra := len(l.all) - maxLists; extra > 0 {
		l.all = slices.Delete(l.all, 0, extra)
	}
}

func (l *lists) newest() *keylog.List {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all[len(l.all)-1]
}

// of returns the list that a statement is about, nil if it isn't known here.
func (l *lists) of(n keylog.Nodes) *keylog.List {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, list := range l.all {
		if list.Size() == n.Size && list.Root() == n.Root {
			return list
		}
	}
	return nil
}

// serveIDs answers with the whole list, for whoever states it in the key log.
func (g *Gateway) serveIDs(w http.ResponseWriter) {
	writeJSON(w, struct {
		V   int      `json:"v"`
		IDs []string `json:"ids"`
	}{1, append([]string{}, g.lists.newest().IDs()...)})
}

// serveAt answers with the nodes at places of the list that is in the key log.
func (g *Gateway) serveAt(w http.ResponseWriter, query string) {
	at, ok := parseAt(query)
	if !ok {
		door.Refuse(w, http.StatusBadRequest, door.Malformed, "Ask for at most "+strconv.Itoa(keylog.MaxSample)+" places of the list of machines, rising: at=3,17 and so on.")
		return
	}
	if g.cfg.KeyLog == nil {
		door.Refuse(w, http.StatusNotFound, door.NotFound, "This service follows no key log.")
		return
	}
	var stated keylog.Nodes
	if keys := g.cfg.KeyLog.Keys(); keys != nil {
		stated, ok = keys.Nodes()
	} else {
		ok = false
	}
	if !ok {
		w.Header().Set("Retry-After", "5")
		door.Refuse(w, http.StatusServiceUnavailable, door.LogUnreachable, "No list of machines has been published yet. Try again in a moment.")
		return
	}
	if at[len(at)-1] >= stated.Size {
		door.Refuse(w, http.StatusBadRequest, door.Malformed, "The list of machines has "+strconv.FormatInt(stated.Size, 10)+" places, from 0 on.")
		return
	}
	list := g.lists.of(stated)
	if list == nil {
		w.Header().Set("Retry-After", "5")
		door.Refuse(w, http.StatusServiceUnavailable, door.LogUnreachable, "The list of machines that was published is not one that this service knows. Try again in a moment.")
		return
	}
	type place struct {
		Index   int64       `json:"index"`
		ID      string      `json:"id"`
		Proof   []tlog.Hash `json:"proof"`
		Bundles [][]byte    `json:"bundles"`
	}
	doc := struct {
		V     int       `json:"v"`
		Size  int64     `json:"size"`
		Root  tlog.Hash `json:"root"`
		Nodes []place   `json:"nodes"`
	}{1, stated.Size, stated.Root, nil}
	for _, i := range at {
		id := list.IDs()[i]
		proof, err := list.Proof(i)
		if err != nil {
			door.Refuse(w, http.StatusInternalServerError, door.Failed, "Something went wrong in the service. Try again.")
			return
		}
		doc.Nodes = append(doc.Nodes, place{i, id, proof, append([][]byte{}, g.bundlesOf(id)...)})
	}
	writeJSON(w, doc)
}

// bundlesOf returns the evidence of the node with this id, nothing if it isn't up.
func (g *Gateway) bundlesOf(id string) [][]byte {
	for _, n := range g.nodes {
		n.mu.Lock()
		same, bundles := n.id == id, n.bundles
		n.mu.Unlock()
		if same && n.alive.Load() {
			return bundles
		}
	}
	return nil
}

// parseAt reads "at=3,17": 1 to [keylog.MaxSample] numbers that rise, each written
// in one way only.
func parseAt(query string) (at []int64, ok bool) {
	text, ok := strings.CutPrefix(query, "at=")
	if !ok || len(text) > keylog.MaxSample*20 {
		return nil, false
	}
	for part := range strings.SplitSeq(text, ",") {
		n, _ := strconv.ParseInt(part, 10, 64) // what isn't a number isn't written so either
		if len(at) == keylog.MaxSample || n < 0 || strconv.FormatInt(n, 10) != part || len(at) > 0 && n <= at[len(at)-1] {
			return nil, false
		}
		at = append(at, n)
	}
	return at, true
}

func writeJSON(w http.ResponseWriter, doc any) {
	b, err := json.Marshal(doc)
	if err != nil { // structs of strings and numbers always marshal
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.Write(b)
}
