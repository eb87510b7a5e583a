// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sotto-chat/sotto/internal/door"
	"github.com/sotto-chat/sotto/internal/lines"
)

const (
	maxView   = 1 << 20 // bytes of the log's view
	viewTime  = 5 * time.Second
	viewSpan  = 256 // a view starts at a multiple of this many entries
	maxFrom   = 1 << 48
	maxOlder  = 16              // views from elsewhere that are kept
	olderLife = 5 * time.Second // for so long
	maxAsking = 4               // clients for whom the log is asked at once
)

// publicLog is what the gateway has of the public log of releases: the bytes of
// its view, as the log gave them. It never opens them. Whether they are true is
// for clients to judge, who all get the same ones from here.
//
// A log that is away leaves the last view in place: it says by itself how old it
// is, and clients decide how old is too old.
type publicLog struct {
	url    string // of the view
	client http.RoundTripper
	asking chan struct{}

	polling chan struct{} // holds a token while the newest view is asked for
	polled  time.Time     // when that began last

	mu    sync.Mutex
	view  view // the newest
	state logState
	fails int64          // polls in vain
	older map[int64]view // by the entry that they start at
}

// logState is what is known of the log's server.
type logState int

const (
	logUnasked logState = iota
	logAnswers
	logSilent
)

// view is a document of the log's.
type view struct {
	doc  []byte // nil while none has come
	tag  string // ETag
	came time.Time
}

func newPublicLog(base string, client http.RoundTripper) (*publicLog, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("gateway: %q is not the address of a log: it should look like https://log.example", base)
	}
	return &publicLog{
		url: u.JoinPath("/sotto/v1/log").String(), client: client,
		asking: make(chan struct{}, maxAsking), polling: make(chan struct{}, 1), older: map[int64]view{},
	}, nil
}

// poll asks for the newest view. news says that the log has begun to answer, or
// ceased to.
func (l *publicLog) poll(ctx context.Context) (news bool, err error) {
	select {
	case l.polling <- struct{}{}:
		defer func() { <-l.polling }()
		return l.pollNow(ctx)
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// pollAgain polls unless somebody did within the last second or since this was
// called: of many who wait, one asks.
func (l *publicLog) pollAgain(ctx context.Context) {
	called := time.Now()
	select {
	case l.polling <- struct{}{}:
		defer func() { <-l.polling }()
	case <-ctx.Done():
		return
	}
	if l.polled.Before(called) && time.Since(l.polled) > time.Second {
		l.pollNow(context.WithoutCancel(ctx)) // others wait for it too
	}
}

// pollNow does the work of a poll. The caller holds the token.
func (l *publicLog) pollNow(ctx context.Context) (news bool, err error) {
	l.polled = time.Now()
	v, err := l.fetch(ctx, l.url, l.newest())
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.fails++
	} else {
		l.view = v
	}
	was := l.state
	l.state = logAnswers
	if err != nil {
		l.state = logSilent
	}
	return l.state != was, err
}

func (l *publicLog) newest() view {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.view
}

// fetch gets a view, or finds that the one it has is the newest.
func (l *publicLog) fetch(ctx context.Context, url string, have view) (view, error) {
	ctx, cancel := context.WithTimeout(ctx, viewTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return view{}, err
	}
	req.Header["User-Agent"] = nil
	if have.tag != "" {
		req.Header.Set("If-None-Match", have.tag)
	}
	res, err := l.client.RoundTrip(req) // follows nobody elsewhere
	if err != nil {
		return view{}, err
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusNotModified && have.tag != "" {
		have.came = time.Now()
		return have, nil
	}
	if res.StatusCode != http.StatusOK {
		return view{}, fmt.Errorf("status %d", res.StatusCode)
	}
	if kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); kind != "application/json" {
		return view{}, errors.New("what answers is no log")
	}
	doc, err := io.ReadAll(io.LimitReader(res.Body, maxView+1))
	switch {
	case err != nil:
		return view{}, err
	case len(doc) == 0 || len(doc) > maxView:
		return view{}, fmt.Errorf("a view of the log has 1 to %d bytes", maxView)
	}
	return view{doc, res.Header.Get("ETag"), time.Now()}, nil
}

// from returns a view that starts at an entry: of a few seconds ago at most, or
// where the log is away the last that came, if any. Its only error is errBusy.
func (l *publicLog) from(ctx context.Context, n int64) (view, error) {
	l.mu.Lock()
	v := l.older[n]
	l.mu.Unlock()
	if time.Since(v.came) < olderLife {
		return v, nil
	}
	select {
	case l.asking <- struct{}{}:
		defer func() { <-l.asking }()
	default:
		return view{}, errBusy
	}
	newer, err := l.fetch(ctx, l.url+"?from="+strconv.FormatInt(n, 10), view{})
	if err != nil {
		return v, nil // which may be none
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.older) >= maxOlder {
		clear(l.older)
	}
	l.older[n] = newer
	return newer, nil
}

var errBusy = errors.New("the log is being asked by others")

// parseFrom reads the query of a request for a view: nothing, or from=N with a
// multiple of viewSpan, as it is written in one way only.
func parseFrom(query string) (n int64, given, ok bool) {
	if query == "" {
		return 0, false, true
	}
	text, ok := strings.CutPrefix(query, "from=")
	n, _ = strconv.ParseInt(text, 10, 64) // what isn't a number isn't written so either
	return n, true, ok && n >= 0 && n <= maxFrom && n%viewSpan == 0 && strconv.FormatInt(n, 10) == text
}

// serveLog passes the log's view on, byte for byte.
func (g *Gateway) serveLog(w http.ResponseWriter, r *http.Request) {
	if g.publicLog == nil {
		door.Refuse(w, http.StatusNotFound, door.NotFound, "This service follows no public log.")
		return
	}
	serveView(w, r, g.publicLog)
}

func serveView(w http.ResponseWriter, r *http.Request, l *publicLog) {
	n, given, ok := parseFrom(r.URL.RawQuery)
	if !ok {
		door.Refuse(w, http.StatusBadRequest, door.Malformed, "A view of the log starts at a multiple of "+strconv.Itoa(viewSpan)+": from=0, from=256 and so on.")
		return
	}
	v := l.newest()
	var err error
	if given {
		v, err = l.from(r.Context(), n)
	} else if v.doc == nil {
		l.pollAgain(r.Context())
		v = l.newest()
	}
	switch {
	case err != nil:
		w.Header().Set("Retry-After", "1")
		door.Refuse(w, http.StatusServiceUnavailable, door.Busy, "This service has all the work that it can take. Try again in a moment.")
	case v.doc == nil:
		w.Header().Set("Retry-After", "5")
		door.Refuse(w, http.StatusServiceUnavailable, door.LogUnreachable, "The public log can't be reached. Try again in a moment.")
	default:
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Length", strconv.Itoa(len(v.doc)))
		w.Write(v.doc)
	}
}

// followLog polls the log until ctx ends, and calls after each time.
func (g *Gateway) followLog(ctx context.Context, l *publicLog, after func()) {
	t := time.NewTicker(g.cfg.LogEvery)
	defer t.Stop()
	for {
		news, err := l.poll(ctx)
		if ctx.Err() != nil {
			return
		}
		switch {
		case news && err != nil:
			g.log.Warn("the public log doesn't answer", lines.Own("log", l.url), lines.Err(err))
		case news:
			g.log.Info("the public log answers", lines.Own("log", l.url))
		}
		after()
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}
