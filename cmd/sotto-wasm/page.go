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
// service worker fetches and compares bytes (web/src/shelf); what the log says
// is judged here, by the same code as for machines.

// The two files that the page looks at, at the server: with the first, a browser
// gets all others, and the second is what browsers replace by themselves.
const (
	pageIndex = "index.html"
	pageShelf = "sw.js"
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

// keepDoc is Release of web/src/shelf/sw.ts.
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
	if c.page.set(parts) {
		// A page that isn't the published one sends nothing, whatever machines prove.
		go cl.Verify(context.Background())
	}
	return d, nil
}

const (
	titleKept    = "This device runs a page that is in the public log"
	titleOffered = "The server sends no other page"
)

// judgePage compares what was found of the page with the log; nil where there is none.
func judgePage(log *client.LogStatus, a pageArgs) (pageDoc, []attest.Check) {
	d := pageDoc{Changes: []string{}}
	if log == nil {
		if a.Kept == "" {
			return d, nil
		}
		return d, []attest.Check{attest.Warned("page.kept", titleKept, "This page comes from this device, which took it from the public log earlier. The log can't be asked now.")}
	}
	if a.Kept != "" && a.Log != logName(log) {
		if !log.Offered {
			// A page that was told of another log: it has none to say of this one.
			return d.changed("The page that this device keeps is from another public log. Forget this browser in the settings, then open the page again.", attest.FailPageChanged)
		}
		d.Anew = true // a demo that was begun anew, with keys of its own
		a.Kept, a.Was, a.Served = "", "", false
	}
	offered := find(log, a.Offered[pageIndex])
	if a.Kept == "" {
		return judgeFirst(d, log, offered, a)
	}
	return judgeKept(d, log, offered, a)
}

// judgeFirst judges the page where none is kept.
func judgeFirst(d pageDoc, log *client.LogStatus, offered *release.Entry, a pageArgs) (pageDoc, []attest.Check) {
	switch {
	case a.Offered == nil:
		return d, nil // the network went away
	case offered == nil:
		return d.changed("The page that this server sends is in no release of the public log.", attest.FailPageChanged)
	case offered.Failure != nil:
		return d.changed("The page that this server sends is of a release that is no longer good.", offered.Failure.Failure)
	case a.Changed != "":
		return d.changed("The server sends "+a.Changed+" in other bytes than release "+offered.Release.Manifest.Version+" in the public log has.", attest.FailPageChanged)
	}
	d = d.of(*offered)
	text := "What the server sends is version " + d.Version + ", entry " + itoa(d.Entry) + " of " + whose(log) + ". "
	if a.Unable {
		text += "This browser can't keep it, so every visit rests on the server: to be sure, use sotto app."
	} else {
		d.Keep = keep(log, *offered)
		text += "A first visit rests on the server; from the next one on, this device runs only what the log has."
	}
	return d, []attest.Check{attest.Warned("page.kept", titleKept, text)}
}

// judgeKept judges the page that is kept, and what the server would send instead.
func judgeKept(d pageDoc, log *client.LogStatus, offered *release.Entry, a pageArgs) (pageDoc, []attest.Check) {
	var now *release.Entry
	for _, e := range log.Published.Entries() {
		if len(e.Release.Text) > 0 && e.Release.Digest() == a.Kept {
			now = &e
			break
		}
	}
	newest, index := log.Published.Newest()
	switch {
	case now == nil && offered != nil && offered.Failure == nil, now != nil && now.Failure != nil && offered != nil && offered.Failure == nil && offered.Index > now.Index:
		// Too old to be in the view, or taken back: the way on is the new one.
		d = d.of(*offered)
		d.News, d.Keep = "update", keep(log, *offered)
		why := "The version of this page that this device keeps is no longer good. Version " + d.Version + ", entry " + itoa(d.Entry) + " of " + whose(log) + ", is ready when you reload."
		d.Text = why
		if now != nil {
			d.From, d.Changes = now.Release.Manifest.Version, changes(*now, *offered)
			return d, []attest.Check{attest.Failed("page.kept", titleKept, now.Failure.Failure, why)}
		}
		return d, []attest.Check{attest.Failed("page.kept", titleKept, attest.FailPageChanged, why)}
	case now == nil:
		return d.changed("The version of this page that this device keeps is no longer in the public log, and the server sends none that is.", attest.FailPageChanged)
	case now.Failure != nil:
		return d.changed("The version of this page that this device keeps is no longer good, and the server sends none that is.", now.Failure.Failure)
	}
	d = d.of(*now)
	kept := attest.Passed("page.kept", titleKept, "This page is version "+d.Version+", entry "+itoa(d.Entry)+" of the public log. This device keeps its files and runs nothing else.")
	switch {
	case !a.Served:
		kept = attest.Warned("page.kept", titleKept, "This visit came from the server. This device keeps version "+d.Version+", entry "+itoa(d.Entry)+" of "+whose(log)+", and runs nothing else from the next one on.")
	case log.Offered:
		kept = attest.Warned("page.kept", titleKept, "This page is version "+d.Version+", entry "+itoa(d.Entry)+" of "+whose(log)+". This device keeps its files and runs nothing else.")
	}
	kept.Found = a.Kept
	parts := []attest.Check{kept}
	if a.Replaced && !shelfMayChange(log, *now) || !shelfKnown(log, *now, a.Offered) {
		d2, parts2 := d.changed("The server has replaced the script that keeps this page by one that is in no release of the public log. Close this page, and use sotto app or the terminal.", attest.FailPageChanged)
		return d2, append(parts, parts2...)
	}
	switch {
	case a.Offered == nil:
		// Offline: nothing to compare.
	case offered == nil, offered.Failure != nil:
		d.News = "refused"
		d.Text = "The server sends another page, which is not in the public log. It was refused: you go on with version " + d.Version + "."
		parts = append(parts, attest.Warned("page.offered", titleOffered, d.Text))
	case offered.Index < now.Index:
		parts = append(parts, attest.Warned("page.offered", titleOffered, "The server sends the older version "+offered.Release.Manifest.Version+". You go on with "+d.Version+"."))
	case a.Changed != "":
		d.News = "refused"
		d.Text = "The server has an update that is not what the public log says: " + a.Changed + " differs. It was refused: you go on with version " + d.Version + "."
		parts = append(parts, attest.Warned("page.offered", titleOffered, d.Text))
	case offered.Index > now.Index:
		from := *now
		d = d.of(*offered)
		d.News, d.From, d.Changes, d.Keep = "update", from.Release.Manifest.Version, changes(from, *offered), keep(log, *offered)
		d.Text = "New version " + d.Version + ", in " + whose(log) + " as entry " + itoa(d.Entry) + "."
		parts = append(parts, attest.Passed("page.offered", titleOffered, d.Text))
	default:
		parts = append(parts, attest.Passed("page.offered", titleOffered, "The server sends the same page."))
	}
	if was, _, err := log.Published.Find(a.Was); d.News == "" && a.Was != "" && (err == nil || len(was.Text) > 0) {
		d.News, d.From = "updated", was.Manifest.Version
		d.Changes = changes(release.Entry{Release: was}, *now)
		d.Text = "This page is now version " + d.Version + ", in " + whose(log) + " as entry " + itoa(d.Entry) + "."
	}
	if d.Entry < index && d.News == "" {
		parts[0].Want = newest.Manifest.Version + " is the newest"
	}
	return d, parts
}

// changed is the page that sends nothing more, and the part that sees to it.
func (d pageDoc) changed(text, failure string) (pageDoc, []attest.Check) {
	d.News, d.Text, d.Keep = "changed", text, nil
	return d, []attest.Check{attest.Failed("page.offered", titleOffered, failure, text)}
}

func (d pageDoc) of(e release.Entry) pageDoc {
	d.Version, d.Entry = e.Release.Manifest.Version, e.Index
	return d
}

// find returns the newest entry whose page begins with the bytes of this digest,
// one that counts before one that doesn't; nil for none.
func find(log *client.LogStatus, sum string) *release.Entry {
	var bad *release.Entry
	for _, e := range log.Published.Entries() {
		if sum == "" || fileOf(e, pageIndex) != sum {
			continue
		}
		if e.Failure == nil {
			return &e
		}
		// Entries that too few signed are anybody's: the log takes them in no release's name.
		if bad == nil && e.Failure.Failure == tlog.FailRevoked {
			bad = &e
		}
	}
	return bad
}

// fileOf is the SHA-256 in hex that a release has for a file of the page, or "".
func fileOf(e release.Entry, path string) string {
	for _, f := range e.Release.Manifest.Web.Files {
		if f.Path == path {
			return strings.TrimPrefix(f.SHA256, "sha256:")
		}
	}
	return ""
}

// shelfKnown reports whether the script that the server sends as the service worker
// is that of the release that runs, or of a newer one that counts.
func shelfKnown(log *client.LogStatus, now release.Entry, offered map[string]string) bool {
	sum := offered[pageShelf]
	if sum == "" || sum == fileOf(now, pageShelf) {
		return true
	}
	for _, e := range log.Published.Entries() {
		if e.Failure == nil && fileOf(e, pageShelf) == sum {
			return true
		}
	}
	return false
}

// shelfMayChange reports whether any newer release has another service worker: only
// then may the browser have got another one.
func shelfMayChange(log *client.LogStatus, now release.Entry) bool {
	for _, e := range log.Published.Entries() {
		if e.Failure == nil && e.Index > now.Index && fileOf(e, pageShelf) != fileOf(now, pageShelf) {
			return true
		}
	}
	return false
}

func keep(log *client.LogStatus, e release.Entry) *keepDoc {
	k := &keepDoc{Digest: e.Release.Digest(), Version: e.Release.Manifest.Version, Entry: e.Index, Log: logName(log), Files: map[string]string{}}
	for _, f := range e.Release.Manifest.Web.Files {
		k.Files[f.Path] = strings.TrimPrefix(f.SHA256, "sha256:")
	}
	return k
}

// logName tells logs apart. A demo's log has the same origin each time that it is
// begun anew, and other keys.
func logName(log *client.LogStatus) string {
	if !log.Offered {
		return log.Log
	}
	v, err := tlog.ParseView(log.View)
	if err != nil {
		return log.Log // it was opened, so this isn't reached
	}
	return log.Log + " " + release.Digest(v.Pin)
}

func whose(log *client.LogStatus) string {
	if log.Offered {
		return "this demo's own log"
	}
	return "the public log"
}

// maxChanges bounds the list that a person is shown.
const maxChanges = 40

// changes says in words how one release differs from another. Files of the page
// have their digests in their names, so all that is worth saying of them is how many.
func changes(from, to release.Entry) []string {
	texts := []string{}
	files := 0
	for _, ch := range release.Diff(from.Release.Manifest, to.Release.Manifest) {
		switch ch.Part {
		case "version", "time", "index", "web.core":
			continue // said in other words, or in the next line
		case "web.files":
			files++
			continue
		}
		text := ch.Text
		if len(text) > 300 {
			text = text[:300] + "…"
		}
		texts = append(texts, text)
	}
	if files > 0 {
		texts = append(texts, "The page itself changed ("+strconv.Itoa(files)+" files).")
	}
	if len(texts) > maxChanges {
		more := len(texts) - maxChanges
		texts = append(texts[:maxChanges], "and "+strconv.Itoa(more)+" more")
	}
	return texts
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
