// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/client/nethttp"
	"github.com/sotto-chat/sotto/cmd/sotto/internal/livesite"
	"github.com/sotto-chat/sotto/internal/collateral"
	"github.com/sotto-chat/sotto/release"
	"github.com/sotto-chat/sotto/tlog"
)

// webReport is what “sotto verify-web --json” prints. Fields are only added.
type webReport struct {
	V           int                   `json:"v"` // 1
	State       string                `json:"state"`
	Server      string                `json:"server"`
	Time        int64                 `json:"time"`
	Against     webAgainst            `json:"against"`
	Files       int                   `json:"files"`
	Differences []livesite.Difference `json:"differences"`
}

// States of a webReport.
const (
	webSame      = "same"
	webDifferent = "different"
)

// webAgainst says what the site was compared with.
type webAgainst struct {
	Version string `json:"version"`
	Digest  string `json:"digest"`
	Index   *int64 `json:"index"` // in the log; null where it came out of a file
	Log     string `json:"log"`   // its origin, or ""
	Offered bool   `json:"offered"`
}

// verifyWeb compares a live site with what was published, byte by byte.
func (a *app) verifyWeb(args []string) error {
	fs := a.flags()
	server := addServerFlags(fs)
	pinFile := fs.String("pin", "", "which log and which keys count: a `PIN`, or a policy with one; the one in --policy when not given")
	file := fs.String("release", "", "compare with the release in `FILE` instead of the newest of the log")
	asJSON := fs.Bool("json", false, "print what was found as JSON")
	rest, err := a.parse(fs, args)
	switch {
	case err != nil:
		return err
	case len(rest) > 1:
		return usageError("“sotto verify-web” takes one address", "")
	case len(rest) == 1:
		server.url = rest[0]
	}
	base, err := nethttp.ParseBase(server.url)
	if err != nil {
		return usageError("the server’s address "+err.Error(), "it looks like https://chat.example or "+defaultServer)
	}
	ctx, stop := interruptible()
	defer stop()

	pin, err := a.pinOf(*pinFile, server)
	if err != nil {
		return err
	}
	var m release.Manifest
	var against webAgainst
	if *file != "" {
		m, against, err = a.webOfFile(*file, pin)
	} else {
		m, against, err = a.webOfLog(ctx, server, pin)
	}
	if err != nil {
		return err
	}
	if len(m.Web.Files) == 0 {
		return &failure{fmt.Errorf("release %s publishes no page, so there is nothing to compare with", m.Version), "", exitNotVerified}
	}
	fetch := livesite.New(base)
	if top, err := fetch(ctx, "/", ""); err == nil && top.Header.Get("Location") != "" {
		return withHint(fmt.Errorf("this address sends browsers on to %s", top.Header.Get("Location")), "Check that one: what people open is what counts.")
	}
	r := webReport{V: 1, State: webSame, Server: server.url, Time: time.Now().Unix(), Against: against, Files: len(m.Web.Files), Differences: []livesite.Difference{}}
	r.Differences = append(r.Differences, livesite.Compare(ctx, m.Web.Files, fetch, nil, m.Relays...)...)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if len(r.Differences) > 0 {
		if all(r.Differences, livesite.Unreachable) {
			return fmt.Errorf("%w: %s", client.ErrUnreachable, r.Differences[0].Found)
		}
		r.State = webDifferent
	}
	return a.printWeb(r, *asJSON)
}

func all(list []livesite.Difference, what string) bool {
	return !slices.ContainsFunc(list, func(d livesite.Difference) bool { return d.What != what })
}

func (a *app) printWeb(r webReport, asJSON bool) error {
	if asJSON {
		if err := json.NewEncoder(a.out).Encode(r); err != nil {
			return err
		}
	} else {
		where := "out of a file"
		if r.Against.Index != nil {
			where = "entry " + strconv.FormatInt(*r.Against.Index, 10) + " of " + r.Against.Log
		}
		fmt.Fprintf(a.out, "compared with release %s, %s, %s\n", plain(r.Against.Version), plain(where), r.Against.Digest)
		for _, d := range r.Differences {
			fmt.Fprintf(a.out, "FAIL  %-9s %s\n", d.What, plain(sentenceOf(d)))
		}
		if r.State == webSame {
			fmt.Fprintf(a.out, "ok    all %d files are the published ones, in every encoding, with their headers\n", r.Files)
		}
	}
	if r.Against.Offered {
		a.say("the keys of this log came from the server itself: it proves nothing against whoever runs it")
	}
	if r.State == webSame {
		a.say("this is what was given to you, now: a server can still give one person another page; “sotto app” doesn’t need its page")
		return nil
	}
	return &failure{errors.New("this site is not as published"), "Don’t sign in there until whoever runs it explains why. “sotto app” serves the page from this program.", exitNotVerified}
}

// pinOf returns the pin that a person gave, or nil where none was.
func (a *app) pinOf(file string, server *serverFlags) (*release.Pin, error) {
	if file != "" {
		p, err := readPin(file)
		return &p, err
	}
	if server.policy == "" {
		return nil, nil
	}
	policy, err := readPolicy(server.policy, a.platforms)
	if err != nil || policy.Pin == nil {
		return nil, err
	}
	p, err := release.ParsePin(policy.Pin)
	return &p, err
}

// webOfFile reads a release out of a file: signed, or a bare manifest that somebody
// built by themselves.
func (a *app) webOfFile(file string, pin *release.Pin) (release.Manifest, webAgainst, error) {
	b, err := collateral.ReadFile(file, release.MaxSigned)
	if err != nil {
		return release.Manifest{}, webAgainst{}, withHint(fmt.Errorf("the release can’t be read: %w", err), "")
	}
	if m, err := release.ParseManifest(b); err == nil {
		if pin != nil {
			return m, webAgainst{}, &failure{errors.New("the manifest in " + file + " is not signed, and a pin asks for signatures"), "", exitNotVerified}
		}
		a.say("the manifest in %s is not signed: it is what you say it is", file)
		return m, webAgainst{Version: m.Version, Digest: release.Digest(b)}, nil
	}
	r, err := release.Parse(b)
	if err != nil {
		return release.Manifest{}, webAgainst{}, withHint(fmt.Errorf("%s is no release: %w", file, err), "“sotto release build” makes one.")
	}
	if pin == nil {
		a.say("no pin was given, so nobody’s signature was asked for")
	} else if _, err := pin.Signed(r); err != nil {
		return r.Manifest, webAgainst{}, notPublic(err)
	}
	return r.Manifest, webAgainst{Version: r.Manifest.Version, Digest: r.Digest()}, nil
}

// webOfLog returns the newest release of the log that the server shows.
func (a *app) webOfLog(ctx context.Context, server *serverFlags, pin *release.Pin) (release.Manifest, webAgainst, error) {
	published, offered, err := a.openLog(ctx, server, pin)
	if err != nil {
		return release.Manifest{}, webAgainst{}, err
	}
	r, index := published.Newest()
	return r.Manifest, webAgainst{Version: r.Manifest.Version, Digest: r.Digest(), Index: &index, Log: published.Checkpoint.Origin, Offered: offered}, nil
}

// openLog asks the server for its public log and opens it with the pin. Without one, a
// demo's own pin will do where demos are accepted: offered.
func (a *app) openLog(ctx context.Context, server *serverFlags, pin *release.Pin) (_ *release.Published, offered bool, err error) {
	if pin == nil && !server.software {
		return nil, false, usageError("it isn’t said which log and which keys count",
			"give --pin or --policy FILE; “--release FILE” compares with a release that you have, and in a demo --insecure-software-node takes the demo’s own word")
	}
	var known client.Config
	a.remember(server.url, &known)
	var seen *tlog.Seen
	if s := new(tlog.Seen); len(known.LogSeen) > 0 && json.Unmarshal(known.LogSeen, s) == nil {
		seen = s
	}
	from := ""
	for try := 0; ; try++ {
		view, err := fetchView(ctx, server.url, from)
		if err != nil {
			return nil, false, err
		}
		if pin == nil {
			v, err := tlog.ParseView(view)
			if err != nil {
				return nil, false, notPublic(err)
			}
			p, err := release.ParsePin(v.Pin)
			if err != nil {
				return nil, false, &failure{errors.New("this server’s log offers no keys, so it isn’t a demo’s"), "give --pin or --policy FILE", exitNotVerified}
			}
			pin, offered = &p, true
		}
		published, err := pin.Open(view, seen, time.Now())
		var earlier *tlog.EarlierError
		if errors.As(err, &earlier) && try == 0 {
			from = "?from=" + strconv.FormatInt(earlier.From, 10)
			continue
		}
		if err != nil {
			return nil, offered, notPublic(err)
		}
		if b, err := json.Marshal(published.Seen); err == nil && known.OnLogSeen != nil {
			known.OnLogSeen(b)
		}
		return published, offered, nil
	}
}

// fetchView asks a server for its view of the public log.
func fetchView(ctx context.Context, server, query string) ([]byte, error) {
	resp, err := nethttp.New(server).RoundTrip(ctx, &client.Request{Method: "GET", Path: pathLog + query})
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w: %w", client.ErrUnreachable, err)
	}
	defer resp.Body.Close()
	if resp.Status != http.StatusOK {
		return nil, &failure{fmt.Errorf("this server shows no public log (HTTP status %d)", resp.Status),
			"“--release FILE” compares with a release that you have.", exitNotVerified}
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, tlog.MaxView+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", client.ErrUnreachable, err)
	}
	return b, nil
}

// notPublic says what is wrong with a log or a release, by its name in the closed list.
func notPublic(err error) error {
	text := err.Error()
	var named *tlog.Error
	if errors.As(err, &named) {
		text = named.Failure + ": " + named.Detail
	}
	return &failure{errors.New("the public log doesn’t hold: " + text), "Don’t trust this server until whoever runs it explains why.", exitNotVerified}
}

// checkOwnPage compares the page in this program with the newest release of the log,
// and says how that stands.
func (a *app) checkOwnPage(ctx context.Context, server *serverFlags, pin *release.Pin) error {
	if pin == nil {
		a.say("no pin was given, so the page in this program was compared with no public log; it is what this program was built with")
		return nil
	}
	own, err := ownFiles()
	if err != nil {
		return err
	}
	published, _, err := a.openLog(ctx, server, pin)
	if err != nil {
		return err
	}
	newest, index := published.Newest()
	for _, e := range published.Entries() {
		if e.Failure != nil || !slices.Equal(e.Release.Manifest.Web.Files, own) {
			continue
		}
		if e.Index == index {
			a.say("the page in this program is that of the newest release, %s, entry %d of the public log", newest.Manifest.Version, index)
		} else {
			a.say("the page in this program is that of release %s, entry %d of the public log; the newest is %s", e.Release.Manifest.Version, e.Index, newest.Manifest.Version)
		}
		return nil
	}
	return &failure{errors.New("the page in this program is none of those in the public log"),
		"Get this program from where its releases are published, or build it from the source of release " + newest.Manifest.Version + ".", exitNotVerified}
}
