// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

//go:build !js

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/release"
	"github.com/sotto-chat/sotto/release/releasetest"
)

// sum is what a file of a page with these words has as its digest.
func sum(words string) string { return strings.TrimPrefix(release.Digest([]byte(words)), "sha256:") }

// pages is a log with three releases: 1.0.0 and 1.1.0 with pages of their own, and
// 1.2.0 with another service worker, too.
func pages(t *testing.T, offered bool, last func(*release.Manifest)) (*client.LogStatus, []string) {
	t.Helper()
	w := releasetest.New("page")
	page := func(index, worker string) func(*release.Manifest) {
		return func(m *release.Manifest) {
			m.Web.Files = []release.File{
				{Path: "a/core-00.wasm", SHA256: release.Digest([]byte("core"))},
				{Path: "index.html", SHA256: "sha256:" + sum(index)}, {Path: "sw.js", SHA256: "sha256:" + sum(worker)},
			}
			if m.Version == "1.2.0" && last != nil {
				last(m)
			}
		}
	}
	digests := []string{
		w.Publish("1.0.0", page("page one", "worker one")),
		w.Publish("1.1.0", page("page two", "worker one")),
		w.Publish("1.2.0", page("page three", "worker two")),
	}
	found, err := w.Pin.Open(w.View(), nil, time.Unix(releasetest.Now, 0))
	if err != nil {
		t.Fatal(err)
	}
	cp := found.Checkpoint
	return &client.LogStatus{Log: cp.Origin, Size: cp.Size, Offered: offered, View: w.View(), Published: found}, digests
}

func TestJudgePage(t *testing.T) {
	log, digests := pages(t, false, nil)
	revoking, _ := pages(t, false, func(m *release.Manifest) { m.MinimumVersion = "1.2.0" })
	alone, ofAlone := pages(t, false, func(m *release.Manifest) { m.MinimumVersion = "1.2.0" })
	onlyThree := ofAlone[2]
	demo, _ := pages(t, true, nil)
	sends := func(index, worker string) map[string]string {
		return map[string]string{"index.html": sum(index), "sw.js": sum(worker)}
	}
	kept := func(release int, offered map[string]string) pageArgs {
		return pageArgs{Kept: digests[release], Log: log.Log, Served: true, Offered: offered}
	}
	with := func(a pageArgs, f func(*pageArgs)) pageArgs { f(&a); return a }
	for name, c := range map[string]struct {
		log    *client.LogStatus
		args   pageArgs
		news   string
		status string // of the row: that of its worst part
		keep   int    // index of the release to keep, -1 for none
		text   string // in a part
	}{
		"no log":                         {nil, pageArgs{Offered: sends("page one", "worker one")}, "", "", -1, ""},
		"no log, and a page kept":        {nil, kept(0, nil), "", "warn", -1, "took it from the public log earlier"},
		"first visit":                    {log, pageArgs{Offered: sends("page two", "worker one")}, "", "warn", 1, "A first visit rests on the server"},
		"first visit, nothing kept here": {log, pageArgs{Offered: sends("page two", "worker one"), Unable: true}, "", "warn", -1, "can't keep it"},
		"first visit, offline":           {log, pageArgs{}, "", "", -1, ""},
		"first visit, in no log":         {log, pageArgs{Offered: sends("evil", "worker one")}, "changed", "fail", -1, "in no release"},
		"first visit, taken back":        {revoking, pageArgs{Offered: sends("page one", "worker one")}, "changed", "fail", -1, "no longer good"},
		"first visit, other bytes":       {log, pageArgs{Offered: sends("page two", "worker one"), Changed: "a/core-00.wasm"}, "changed", "fail", -1, "a/core-00.wasm"},

		"kept, the same":                  {log, kept(2, sends("page three", "worker two")), "", "ok", -1, "runs nothing else"},
		"kept, offline":                   {log, kept(2, nil), "", "ok", -1, "runs nothing else"},
		"kept, this visit wasn't":         {log, with(kept(2, nil), func(a *pageArgs) { a.Served = false }), "", "warn", -1, "rests on it"},
		"kept, in a demo":                 {demo, with(kept(2, nil), func(a *pageArgs) { a.Log = logName(demo) }), "", "warn", -1, "this demo's own log"},
		"kept, an update":                 {log, kept(0, sends("page two", "worker one")), "update", "ok", 1, "New version 1.1.0, in the public log as entry 1."},
		"kept, an update with its worker": {log, with(kept(1, sends("page three", "worker two")), func(a *pageArgs) { a.Replaced = true }), "update", "ok", 2, "entry 2"},
		"kept, an update of other bytes":  {log, with(kept(0, sends("page two", "worker one")), func(a *pageArgs) { a.Changed = "icon.svg" }), "refused", "warn", -1, "icon.svg"},
		"kept, one in no log":             {log, kept(1, sends("evil", "worker one")), "refused", "warn", -1, "you go on with version 1.1.0"},
		"kept, an older one":              {log, kept(1, sends("page one", "worker one")), "", "warn", -1, "the older version 1.0.0"},
		"kept, a worker in no log":        {log, kept(1, sends("page two", "evil")), "changed", "fail", -1, "replaced the script"},
		"kept, an older worker":           {log, kept(2, sends("page three", "worker one")), "", "ok", -1, "the same page"},
		"kept, a worker taken back":       {alone, with(kept(2, sends("page three", "worker one")), func(a *pageArgs) { a.Kept = onlyThree }), "changed", "fail", -1, "replaced the script"},
		"kept, a worker nobody published": {alone, with(kept(2, sends("page three", "worker two")), func(a *pageArgs) { a.Kept, a.Replaced = onlyThree, true }), "changed", "fail", -1, "replaced the script"},
		"kept, taken back":                {revoking, kept(0, sends("page one", "worker one")), "changed", "fail", -1, "sends none that is"},
		"kept, taken back, offline":       {revoking, kept(0, nil), "changed", "fail", -1, "sends none that is"},
		"kept, taken back, a good one":    {revoking, kept(0, sends("page three", "worker two")), "update", "fail", 2, "ready when you reload"},
		"kept, in no log":                 {log, with(kept(0, sends("page three", "worker two")), func(a *pageArgs) { a.Kept = "sha256:00" }), "update", "fail", 2, "ready when you reload"},
		"kept, of another log":            {log, with(kept(0, nil), func(a *pageArgs) { a.Log = "other" }), "changed", "fail", -1, "another public log"},
		"kept, of another demo":           {demo, kept(0, sends("page one", "worker one")), "", "warn", 0, "A first visit"},
		"updated":                         {log, with(kept(1, sends("page two", "worker one")), func(a *pageArgs) { a.Was = digests[0] }), "updated", "ok", -1, "the same page"},
	} {
		d, parts := judgePage(c.log, c.args)
		if d.News != c.news {
			t.Errorf("%s: news %q, want %q", name, d.News, c.news)
		}
		status, text := "", ""
		for _, p := range parts {
			if status == "" || p.Status == attest.StatusFail || p.Status == attest.StatusWarn && status == attest.StatusOK {
				status = p.Status
			}
			text += p.Detail + "\n"
			if p.Status == attest.StatusFail && p.Failure != attest.FailPageChanged {
				t.Errorf("%s: failure %q", name, p.Failure)
			}
		}
		if status != c.status || !strings.Contains(text, c.text) {
			t.Errorf("%s: %s, %q; want %s with %q", name, status, text, c.status, c.text)
		}
		if want := c.keep >= 0; (d.Keep != nil) != want {
			t.Errorf("%s: keep is %+v", name, d.Keep)
		} else if want && (d.Keep.Entry != int64(c.keep) || d.Keep.Files["index.html"] == "" || len(d.Keep.Files) != 3) {
			t.Errorf("%s: keep is %+v, want entry %d", name, d.Keep, c.keep)
		}
		if d.News == "update" && d.From != "" && len(d.Changes) == 0 {
			t.Errorf("%s: an update without a word of what changes", name)
		}
		if d.Anew != (name == "kept, of another demo") {
			t.Errorf("%s: anew is %t", name, d.Anew)
		}
		if strings.Contains(text+d.Text, "VERSION") || strings.Contains(text+d.Text, "ENTRY") || strings.Contains(text+d.Text, "OTHER") {
			t.Errorf("%s: a sentence isn't filled in: %q", name, text+d.Text)
		}
	}
}

// What was found of the page is in every verdict, and asked again only if it is new.
func TestPageState(t *testing.T) {
	var p pageState
	part := attest.Passed("page.kept", "t", "one")
	if !p.set([]attest.Check{part}) || p.set([]attest.Check{part}) {
		t.Error("the same finding counts as a new one, or a new one as the same")
	}
	part.Detail = "two"
	if !p.set([]attest.Check{part}) || len(p.checks()) != 1 || p.checks()[0].Detail != "two" {
		t.Error("a new finding isn't kept")
	}
}
