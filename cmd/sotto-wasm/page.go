// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/release"
	"github.com/sotto-chat/sotto/tlog"
)

// What is known of the page itself: which release in the public log it is, what
// the service worker keeps of it, and what the server would send instead. The
// service worker fetches and compares bytes (web/src/keeper); what the log says
// is judged here, by the same code as for machines.

// The two files that the page looks at, at the server: with the first, a browser
// gets all others, and the second is what browsers replace by themselves.
const (
	pageIndex  = "index.html"
	pageWorker = "sw.js"
)

// pageArgs is what the page and its service worker found.
type pageArgs struct {
	Kept     string            `json:"kept"`     // digest of the release that the service worker serves; "" for none
	Was      string            `json:"was"`      // the one that it served before and that the person wasn't told about the end of; ""
	Log      string            `json:"log"`      // the log that Kept was accepted from; ""
	Served   bool              `json:"served"`   // this page came from the service worker
	Offered  map[string]string `json:"offered"`  // what the server sends now: path → SHA-256 in hex; nil if it can't be reached
	Replaced bool              `json:"replaced"` // the browser has got another service worker than the one that runs
	Changed  string            `json:"changed"`  // a file that came in other bytes than the release's, when it was to be kept; ""
	Unable   bool              `json:"unable"`   // this browser can't keep a page
}

// pageDoc is PageJudged of web/src/core/protocol.ts.
type pageDoc struct {
	// News is what there is to say: "", "update" (Keep is to be made ready),
	// "updated" (Kept took the place of Was), "refused" (the server's page is in no
	// log, the kept one goes on) or "changed" (nothing should be sent).
	News    string   `json:"news"`
	Text    string   `json:"text"`    // one sentence about it
	Version string   `json:"version"` // of the page that runs, or that an update brings
	Entry   int64    `json:"entry"`
	From    string   `json:"from"` // the version before, of an update
	Changes []string `json:"changes"`
	// Keep is the release to keep; nil for none.
	Keep *keepDoc `json:"keep"`
	// Anew says to forget what was kept first: it is of another log, a demo's.
	Anew bool `json:"anew"`
}

// keepDoc is Release of web/src/keeper/sw.ts.
type keepDoc struct {
	Digest  string            `json:"digest"`
	Version string            `json:"version"`
	Entry   int64             `json:"entry"`
	Log     string            `json:"log"`
	Files   map[string]string `json:"files"`
}

// pageState is what the row "page" is made of.
type pageState struct {
	mu    sync.Mutex
	parts []attest.Check
}

// checks is [client.Config.Page]'s.
func (p *pageState) checks() []attest.Check {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.parts)
}

// set keeps parts and reports whether they say something new.
func (p *pageState) set(parts []attest.Check) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	same := slices.EqualFunc(p.parts, parts, func(a, b attest.Check) bool {
		return a.ID == b.ID && a.Status == b.Status && a.Failure == b.Failure && a.Detail == b.Detail
	})
	p.parts = parts
	return !same
}

// judgePage says what the public log says of the page. What it finds is in every
// verdict from then on.
func (c *core) judgePage(_ context.Context, a pageArgs) (pageDoc, error) {
	c.mu.Lock()
	cl := c.trust.client
	c.mu.Unlock()
	d, parts := judgePage(cl.Log(), a)
	if !c.page.set(parts) {
		return d, nil
	}
	if !slices.ContainsFunc(parts, func(p attest.Check) bool { return p.Status == attest.StatusFail }) {
		go cl.Verify(context.Background()) // what was found is in the verdicts then
		return d, nil
	}
	// A page that isn't the published one sends nothing, whatever machines have
	// proved: the keys of earlier checks go with their client.
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.trust.client == cl {
		c.connect(c.trust.consent)
	}
	return d, nil
}

const (
	titleKept    = "This device runs a page that is in the public log"
	titleOffered = "The server sends no other page"
)

// What there is to say, with VERSION and ENTRY of the page, the LOG's name for
// people, and the OTHER version or file.
const (
	saysEarlier   = "This page comes from this device, which took it from the public log earlier. The log can't be asked now."
	saysOtherLog  = "The page that this device keeps is from another public log. Forget this browser in the settings, then open the page again."
	saysUnlogged  = "The page that this server sends is in no release of the public log."
	saysTakenBack = "The page that this server sends is of a release that is no longer good."
	saysBytes     = "The server sends OTHER in other bytes than release VERSION in the public log has."
	saysFirst     = "What the server sends is version VERSION, entry ENTRY of LOG. A first visit rests on the server; from the next one on, this device runs only what the log has."
	saysUnable    = "What the server sends is version VERSION, entry ENTRY of LOG. This browser can't keep it, so every visit rests on the server: to be sure, use sotto app."
	saysReady     = "The version of this page that this device keeps is no longer good. Version VERSION, entry ENTRY of LOG, is ready when you reload."
	saysGone      = "The version of this page that this device keeps is no longer good, and the server sends none that is."
	saysKept      = "This page is version VERSION, entry ENTRY of LOG. This device keeps its files and runs nothing else."
	saysUnserved  = "This visit came from the server and rests on it. This device keeps version VERSION, entry ENTRY of LOG, and runs nothing else from the next one on."
	saysWorker    = "The server has replaced the script that keeps this page by one that is in no release of the public log. Close this page, and use sotto app or the terminal."
	saysRefused   = "The server sends another page, which is not in the public log. It was refused: you go on with version VERSION."
	saysOlder     = "The server sends the older version OTHER. You go on with VERSION."
	saysHalf      = "The server has an update whose OTHER is not what the public log says. It was refused: you go on with version VERSION."
	saysUpdate    = "New version VERSION, in LOG as entry ENTRY."
	saysUpdated   = "This page is now version VERSION, in LOG as entry ENTRY."
	saysSame      = "The server sends the same page."
)

// pageJudge judges one page.
type pageJudge struct {
	pageDoc
	a       pageArgs
	log     *client.LogStatus
	entries []release.Entry // newest first
	parts   []attest.Check
}

// judgePage compares what was found of the page with the log; nil where there is none.
func judgePage(log *client.LogStatus, a pageArgs) (pageDoc, []attest.Check) {
	j := &pageJudge{pageDoc: pageDoc{Changes: []string{}}, a: a, log: log}
	switch {
	case log != nil:
		j.entries = log.Published.Entries()
		j.judge()
	case a.Kept != "":
		j.warn(saysEarlier)
	}
	return j.pageDoc, j.parts
}

func (j *pageJudge) judge() {
	if j.a.Kept != "" && j.a.Log != logName(j.log) {
		if !j.log.Offered {
			// It was told of another log, and has none to say of this one.
			j.changed(saysOtherLog)
			return
		}
		j.Anew = true // a demo that was begun anew, with keys of its own
		j.a.Kept, j.a.Was, j.a.Served = "", "", false
	}
	offered := j.offered()
	if j.a.Kept == "" {
		j.first(offered)
	} else {
		j.kept(offered)
	}
}

// first judges the page where none is kept.
func (j *pageJudge) first(offered *release.Entry) {
	switch {
	case j.a.Offered == nil: // the network went away
	case offered == nil:
		j.changed(saysUnlogged)
	case offered.Failure != nil:
		j.changed(saysTakenBack)
	default:
		j.is(offered)
		switch {
		case j.a.Changed != "":
			j.changed(saysBytes)
		case j.a.Unable:
			j.warn(saysUnable)
		default:
			j.keep(offered)
			j.warn(saysFirst)
		}
	}
}

// kept judges the page that is kept, and what the server would send instead.
func (j *pageJudge) kept(offered *release.Entry) {
	now := j.byDigest(j.a.Kept)
	good := offered != nil && offered.Failure == nil
	if now == nil || now.Failure != nil {
		// Too old to be in the view, or taken back: the way on is a newer one.
		if !good || now != nil && offered.Index < now.Index {
			j.changed(saysGone)
			return
		}
		j.update(now, offered)
		j.Text = j.say(saysReady)
		j.fail(saysReady)
		return
	}
	j.is(now)
	switch {
	case !j.a.Served:
		j.warn(saysUnserved)
	case j.log.Offered:
		j.warn(saysKept)
	default:
		j.parts = append(j.parts, attest.Passed("page.kept", titleKept, j.say(saysKept)))
	}
	if j.replaced(now) {
		j.changed(saysWorker)
		return
	}
	switch {
	case j.a.Offered == nil: // nothing to compare
	case !good:
		j.refused(saysRefused)
	case offered.Index < now.Index:
		j.a.Changed = offered.Release.Manifest.Version
		j.offers(attest.Warned("page.offered", titleOffered, j.say(saysOlder)))
	case j.a.Changed != "":
		j.refused(saysHalf)
	case offered.Index > now.Index:
		j.update(now, offered)
		if samePage(now, offered) {
			j.News = ""
		}
		j.pass(saysUpdate)
	default:
		j.pass(saysSame)
	}
	if was := j.byDigest(j.a.Was); was != nil && j.News == "" && j.Keep == nil {
		j.News, j.From, j.Text, j.Changes = "updated", was.Release.Manifest.Version, j.say(saysUpdated), changes(was, now)
	}
}

// is says which release the page is.
func (j *pageJudge) is(e *release.Entry) {
	j.Version, j.Entry = e.Release.Manifest.Version, e.Index
}

func (j *pageJudge) update(from, to *release.Entry) {
	j.is(to)
	j.keep(to)
	j.News, j.Text = "update", j.say(saysUpdate)
	if from != nil {
		j.From, j.Changes = from.Release.Manifest.Version, changes(from, to)
	}
}

func (j *pageJudge) refused(text string) {
	j.News, j.Text = "refused", j.say(text)
	j.offers(attest.Warned("page.offered", titleOffered, j.Text))
}

// changed is the page that sends nothing more, and the part that sees to it.
func (j *pageJudge) changed(text string) {
	j.News, j.Text, j.Keep = "changed", j.say(text), nil
	j.fail(text)
}

func (j *pageJudge) fail(text string) {
	j.offers(attest.Failed("page.offered", titleOffered, attest.FailPageChanged, j.say(text)))
}

// offers adds what the server sends, which is what the row says where it is worth saying.
func (j *pageJudge) offers(c attest.Check) {
	j.parts = append([]attest.Check{c}, j.parts...)
}

func (j *pageJudge) warn(text string) {
	j.parts = append(j.parts, attest.Warned("page.kept", titleKept, j.say(text)))
}

func (j *pageJudge) pass(text string) {
	j.parts = append(j.parts, attest.Passed("page.offered", titleOffered, j.say(text)))
}

// say fills in a sentence.
func (j *pageJudge) say(text string) string {
	name := "the public log"
	if j.log != nil && j.log.Offered {
		name = "this demo's own log"
	}
	for _, p := range [...][2]string{{"VERSION", j.Version}, {"ENTRY", strconv.FormatInt(j.Entry, 10)}, {"LOG", name}, {"OTHER", j.a.Changed}} {
		text = strings.ReplaceAll(text, p[0], p[1])
	}
	return text
}

func (j *pageJudge) byDigest(digest string) *release.Entry {
	for i := range j.entries {
		if r := &j.entries[i].Release; digest != "" && len(r.Text) > 0 && r.Digest() == digest {
			return &j.entries[i]
		}
	}
	return nil
}

// offered returns the newest entry whose page begins with the bytes that the
// server sends: one that counts, or else one that was taken back. Entries that too
// few signed are anybody's.
func (j *pageJudge) offered() *release.Entry {
	var bad *release.Entry
	for i := range j.entries {
		e := &j.entries[i]
		switch {
		case j.a.Offered[pageIndex] == "" || fileOf(e, pageIndex) != j.a.Offered[pageIndex]:
		case e.Failure == nil:
			return e
		case bad == nil && e.Failure.Failure == tlog.FailRevoked:
			bad = e
		}
	}
	return bad
}

// replaced reports whether the server gives browsers another service worker than
// that of the page that runs, or of another release that still counts. What it
// sends to whoever looks, and what it gave the browser, may be two things, so both
// are asked about.
func (j *pageJudge) replaced(now *release.Entry) bool {
	sum := j.a.Offered[pageWorker]
	known, other := sum == "" || sum == fileOf(now, pageWorker), false
	for i := range j.entries {
		if e := &j.entries[i]; e.Failure == nil {
			known = known || sum == fileOf(e, pageWorker)
			other = other || fileOf(e, pageWorker) != fileOf(now, pageWorker)
		}
	}
	return !known || j.a.Replaced && !other
}

// fileOf is the SHA-256 in hex that a release has for a file of the page, or "".
func fileOf(e *release.Entry, path string) string {
	for _, f := range e.Release.Manifest.Web.Files {
		if f.Path == path {
			return strings.TrimPrefix(f.SHA256, "sha256:")
		}
	}
	return ""
}

func samePage(a, b *release.Entry) bool {
	return slices.Equal(a.Release.Manifest.Web.Files, b.Release.Manifest.Web.Files)
}

func (j *pageJudge) keep(e *release.Entry) {
	m := &e.Release.Manifest
	j.Keep = &keepDoc{Digest: e.Release.Digest(), Version: m.Version, Entry: e.Index, Log: logName(j.log), Files: map[string]string{}}
	for _, f := range m.Web.Files {
		j.Keep.Files[f.Path] = strings.TrimPrefix(f.SHA256, "sha256:")
	}
}

// logName tells logs apart: by what the client was told of them, their origin, or a
// demo's by all that it says of itself.
func logName(log *client.LogStatus) string {
	if !log.Offered {
		return log.Log
	}
	v, _ := tlog.ParseView(log.View) // it was opened, so it parses
	return log.Log + " " + release.Digest(v.Pin)
}

// maxChanges and maxChange bound the list that a person is shown.
const (
	maxChanges = 40
	maxChange  = 300
)

// changes says in words how one release differs from another. Files of the page
// have their digests in their names, so all that is worth saying of them is that
// they changed.
func changes(from, to *release.Entry) []string {
	texts := []string{}
	page := false
	for _, ch := range release.Diff(from.Release.Manifest, to.Release.Manifest) {
		switch ch.Part {
		case "version", "time", "index", "web.core": // said in other words, or in the next line
		case "web.files":
			page = true
		default:
			texts = append(texts, ch.Text[:min(len(ch.Text), maxChange)])
		}
	}
	if page {
		texts = append(texts, "The page itself changed.")
	}
	return texts[:min(len(texts), maxChanges)]
}
