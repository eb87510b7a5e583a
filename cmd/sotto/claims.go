// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/cmd/sotto/internal/livesite"
	"github.com/sotto-chat/sotto/release"
	"github.com/sotto-chat/sotto/tlog"
)

// A claim is one promise of the table “Who can see what” (docs/threat-model.md),
// and what was found out about it.
type claim struct {
	ID       string   `json:"id"` // of a closed list: device account relay gateway node fresh log page
	Party    string   `json:"party"`
	Claim    string   `json:"claim"`
	Status   string   `json:"status"` // ok; warn: true, worth saying, and no reason to stop; fail
	Detail   string   `json:"detail"`
	Evidence []string `json:"evidence"` // what it was seen by
	Redo     []string `json:"redo"`     // commands that do it again with public tools
}

func makeClaims(s *snapshot, r *report, policy attest.Policy, log *client.LogStatus) []claim {
	claims := []claim{
		deviceClaim(s, r),
		accountClaim(s),
		relayClaim(s, log),
		gatewayClaim(s, r),
		nodeClaim(s, r),
	}
	if r.Fresh != nil {
		claims = append(claims, freshClaim(s, r))
	}
	claims = append(claims, logClaim(s, r, policy), pageClaim(s, r, log))
	for i := range claims {
		if claims[i].Evidence == nil {
			claims[i].Evidence = []string{}
		}
		if claims[i].Redo == nil {
			claims[i].Redo = []string{}
		}
	}
	return claims
}

// deviceClaim: nothing can vouch for itself, but it can be said what it was built from.
func deviceClaim(s *snapshot, r *report) claim {
	c := claim{
		ID: "device", Party: "device", Claim: "Your device has every key, and is the only one that knows who writes what.", Status: attest.StatusWarn,
		Redo: []string{"go version -m \"$(command -v sotto)\"", "sotto version"},
	}
	p := s.program
	switch {
	case p.Commit == "":
		c.Detail = "This program doesn’t say what it was built from, and no program can vouch for itself: build it yourself to be sure."
	case p.Changed:
		c.Detail = "This program was built from changed sources, and no program can vouch for itself."
	case r.Log != nil && r.Log.Release != nil && r.Log.Release.Commit == p.Commit:
		c.Status = attest.StatusOK
		c.Detail = "This program says that it was built from the source of the newest release, as you can do yourself to compare."
	default:
		c.Detail = "This program was built from another source than the newest release; no program can vouch for itself."
	}
	if p.Commit != "" {
		c.Evidence = append(c.Evidence, "built from commit "+p.Commit)
		c.Redo = append(c.Redo, "git checkout "+p.Commit+" && make build && sha256sum bin/sotto \"$(command -v sotto)\"")
	}
	return c
}

func accountClaim(s *snapshot) claim {
	c := claim{
		ID: "account", Party: "account", Claim: "Whoever keeps your account has your sealed history, and no word and no key of it.",
		Redo: []string{"curl -si " + shell(s.server+pathSession)},
	}
	a := s.answers[pathSession]
	var said struct {
		Error struct {
			Code string `json:"code"`
		} `json:"error"`
	}
	known := a.Status == http.StatusUnauthorized && json.Unmarshal(a.body, &said) == nil && said.Error.Code == "signed_out"
	switch {
	case len(a.Header.Values("Set-Cookie")) > 0:
		c.Status, c.Detail = attest.StatusWarn, "It gives a cookie to whoever comes by, so it can tell who came back."
	case !known:
		c.Status, c.Detail = attest.StatusWarn, "There is no account server at this address, so nothing is kept there."
		return c
	default:
		c.Status, c.Detail = attest.StatusOK, "It was asked without a name, told nothing, and set no cookie. That history is sealed before it goes there is the doing of this program and of the page."
	}
	c.Evidence = []string{fmt.Sprintf("HTTP status %d, %s", a.Status, said.Error.Code)}
	return c
}

// relayClaim: who runs a relay nobody can prove, but that everybody is told of the
// same one, the public log does.
func relayClaim(s *snapshot, log *client.LogStatus) claim {
	c := claim{
		ID: "relay", Party: "relay", Claim: "Somebody else’s relay hides your address from those who carry your words.", Status: attest.StatusWarn,
		Redo: []string{"curl -s " + shell(s.server+pathService) + " | jq .relay"},
	}
	var said client.Service
	a := s.answers[pathService]
	if a.Status != http.StatusOK || json.Unmarshal(a.body, &said) != nil || said.Relay == nil {
		c.Detail = "No relay stands before the gateway: whoever runs it sees your network address, though no name and no word."
		return c
	}
	name := plain(said.Relay.URL)
	if said.Relay.Operator != "" {
		name += ", run by " + plain(said.Relay.Operator)
	}
	c.Evidence = []string{"relay " + name}
	var relays []string
	if log != nil {
		newest, _ := log.Published.Newest()
		relays = newest.Manifest.Relays
	}
	switch at, err := url.Parse(said.Relay.URL); {
	case err == nil && onThisMachine(at):
		c.Detail = "The relay is on this very machine, so it shows how it works and hides nothing: " + name + "."
	case slices.Contains(relays, said.Relay.URL):
		c.Status, c.Detail = attest.StatusOK, "The newest release names the relay, so that everybody is told of the same one: "+name+". That it is none of the operator’s own is for you to judge."
	case len(relays) > 0:
		c.Status, c.Detail = attest.StatusFail, "The server offers a relay that its release doesn’t name, and no client goes through it: "+name+"."
	default:
		c.Detail = "There is a relay, and no release in a public log names it, so each person could be told of another: " + name + "."
	}
	return c
}

func gatewayClaim(s *snapshot, r *report) claim {
	c := claim{
		ID: "gateway", Party: "gateway", Claim: "The gateway carries your words sealed, and can’t open them.",
		Redo: []string{
			"curl -s " + shell(s.server+pathNodes) + " | jq -r '.nodes[0].bundles[0]' | base64 -d > bundle.json",
			"jq -r .key_config bundle.json | base64 -d > config.json && jq '{node, not_before, not_after, release}' config.json",
			"{ printf 'sotto/1 key config\\0'; cat config.json; } | sha512sum    # what the hardware signed: compare with “sotto attest show bundle.json”",
		},
	}
	keys, signed := 0, 0
	for _, v := range r.Verdicts {
		if row := rowOf(v, attest.RowKey); row != nil && row.Status != attest.StatusFail {
			keys++
			if row.Status == attest.StatusOK {
				signed++
			}
			c.Evidence = append(c.Evidence, "key "+v.KeyID+" of machine "+v.Node)
		}
	}
	switch {
	case keys == 0:
		c.Status, c.Detail = attest.StatusFail, "No key that it showed is known to be a machine’s own, so it might be the gateway’s."
	case signed == 0:
		c.Status, c.Detail = attest.StatusWarn, fmt.Sprintf("%s named in what stands for a proof here: demo hardware signs nothing, so anybody could have written it.", plural(keys, "key is", "keys are"))
	default:
		c.Status, c.Detail = attest.StatusOK, fmt.Sprintf("%s what a machine’s own hardware signed. The gateway can pass them on, and not make one.", plural(signed, "key is", "keys are"))
	}
	return c
}

func nodeClaim(s *snapshot, r *report) claim {
	c := claim{
		ID: "node", Party: "node", Claim: "Only a machine that has proved what it runs reads your words, while it answers.",
		Redo: []string{
			"curl -s " + shell(s.server+pathNodes) + " | jq -r '.nodes[].bundles[0]' | head -n 1 | base64 -d > bundle.json && sotto attest show bundle.json",
		},
	}
	passed, demo := 0, 0
	for _, v := range r.Verdicts {
		switch v.State {
		case attest.StateVerified:
			passed++
		case attest.StateDemo:
			demo++
		}
		e := "machine " + v.Node + ": " + v.State
		if v.Failure != "" {
			e += " (" + v.Failure + ")"
		}
		if len(v.Platforms) > 0 {
			e += ", by " + strings.Join(v.Platforms, " and ")
		}
		c.Evidence = append(c.Evidence, e)
	}
	all := len(r.Verdicts)
	switch {
	case passed == all && all > 0:
		c.Status, c.Detail = attest.StatusOK, plural(all, "machine was", "machines were")+" asked, and proved it."
	case passed > 0:
		c.Status, c.Detail = attest.StatusWarn, fmt.Sprintf("%d of %s proved it. To the others nothing is sent.", passed, plural(all, "machine", "machines"))
	case demo > 0:
		c.Status, c.Detail = attest.StatusWarn, "Demo hardware, not private: whoever runs it can read what you write."
	default:
		c.Status, c.Detail = attest.StatusFail, "No machine could prove what it is, so nothing is sent."
	}
	return c
}

func freshClaim(s *snapshot, r *report) claim {
	c := claim{
		ID: "fresh", Party: "node", Claim: "The machines prove it now, and not with an answer of some time ago.",
		Evidence: []string{"nonce " + r.Fresh.Nonce},
		Redo: []string{
			"sotto verify --fresh --save proof.zip " + shell(s.server) + " && unzip -o proof.zip",
			"f=$(ls fresh/*.json | head -n 1); { printf 'sotto/1 fresh\\0'; jq -r .nonce index.json | perl -ne 'chomp; print pack q(H*), $_'; jq -r .key_config \"$f\" | base64 -d; } | sha512sum    # what the hardware signed; sotto attest show \"$f\"",
		},
	}
	known := func(v attest.Verdict) bool {
		return slices.ContainsFunc(r.Verdicts, func(o attest.Verdict) bool { return o.KeyID == v.KeyID && o.KeyID != "" })
	}
	good := 0
	for _, v := range r.Fresh.Verdicts {
		if known(v) && (v.State == attest.StateVerified || v.State == attest.StateDemo) {
			good++
			c.Evidence = append(c.Evidence, "machine "+v.Node+", key "+v.KeyID)
		}
	}
	switch {
	case good < len(r.Fresh.Verdicts):
		c.Status, c.Detail = attest.StatusFail, "A machine answered with a proof that isn’t good, or isn’t of its key."
	case good == 0 || s.freshErr != nil:
		c.Status, c.Detail = attest.StatusWarn, "Not every machine could be asked just now: each answers such a question every other second only, and older ones don’t. Try again."
	case r.State == client.StateDemo:
		c.Status, c.Detail = attest.StatusWarn, plural(good, "machine", "machines")+" answered this program’s own random number, sealed, by its own key; but demo hardware vouches for nothing."
	default:
		c.Status, c.Detail = attest.StatusOK, plural(good, "machine", "machines")+" had its hardware sign this program’s own random number, just now."
	}
	return c
}

func logClaim(s *snapshot, r *report, policy attest.Policy) claim {
	c := claim{
		ID: "log", Party: "log", Claim: "Every release is public, and witnesses make sure that everybody sees the same.",
	}
	l := r.Log
	if l == nil {
		if policy.Pin != nil {
			c.Status, c.Detail = attest.StatusFail, "The public log that your policy names was not shown, or isn’t that log."
			for _, v := range r.Verdicts {
				if row := rowOf(v, attest.RowLog); row != nil && row.Status == attest.StatusFail {
					c.Detail += " " + row.Detail
					c.Evidence = []string{row.Failure}
					break
				}
			}
			return c
		}
		c.Status, c.Detail = attest.StatusWarn, "No policy names a log and its witnesses, so nothing was compared with one."
		return c
	}
	c.Evidence = []string{
		fmt.Sprintf("log %s, %s", l.Origin, plural(int(l.Size), "entry", "entries")),
		"cosigned by " + strings.Join(l.Witnesses, ", ") + " at " + time.Unix(l.Seen, 0).UTC().Format("2006-01-02 15:04:05 UTC"),
	}
	if rel := l.Release; rel != nil {
		c.Evidence = append(c.Evidence, fmt.Sprintf("release %s, entry %d, %s", rel.Version, rel.Index, rel.Digest))
	}
	if n := liars(policy); n > 0 {
		c.Evidence = append(c.Evidence, "to show somebody else another history takes "+plural(n, "witness that signs", "witnesses that sign")+" two")
	}
	view := "curl -s " + shell(s.server+pathLog) + " > log.json"
	c.Redo = []string{
		view + " && jq -j .checkpoint log.json",
		"jq -j .checkpoint log.json | sed '/^$/Q' > text",
		"jq -j .checkpoint log.json | awk -v n=" + shell(l.Origin) + " '$1==\"—\" && $2==n {print $3; exit}' | base64 -d | tail -c 64 > sig",
	}
	if key := logKey(s, policy, l.Offered); key != "" {
		c.Redo = append(c.Redo,
			"{ printf '\\060\\052\\060\\005\\006\\003\\053\\145\\160\\003\\041\\000'; printf '%s' "+shell(key)+" | base64 -d | tail -c 32; } > log.der",
			"openssl pkeyutl -verify -rawin -pubin -keyform DER -inkey log.der -in text -sigfile sig")
	}
	c.Redo = append(c.Redo,
		"jq -j '.releases[0].entry' log.json | base64 -d > release.txt && sed '/^$/Q' release.txt | sha256sum    # the release’s digest",
		"{ printf '\\0'; cat release.txt; } | openssl dgst -sha256 -binary | base64    # its leaf: jq -r '.leaves[]' log.json has it",
	)
	if l.Offered {
		c.Status, c.Detail = attest.StatusWarn, "A log was shown and fits, but its keys came from the server itself: it proves nothing against whoever runs it."
		return c
	}
	c.Status, c.Detail = attest.StatusOK, fmt.Sprintf("The log that your policy names was shown, %s signed it, and release %s stands in it.", plural(len(l.Witnesses), "witness", "witnesses"), l.Release.Version)
	return c
}

// liars is how many of the pinned witnesses have to sign two histories before the log
// can show both. 0 where nothing is pinned.
func liars(policy attest.Policy) int {
	pin, err := release.ParsePin(policy.Pin)
	if err != nil {
		return 0
	}
	p, err := tlog.ParsePolicy(pin.Log)
	if err != nil {
		return 0
	}
	return p.Shared()
}

// logKey is the base64 part of the log's key, out of the pin.
func logKey(s *snapshot, policy attest.Policy, offered bool) string {
	doc := []byte(policy.Pin)
	if offered {
		var view struct {
			Pin json.RawMessage `json:"pin"`
		}
		if json.Unmarshal(s.answers[pathLog].body, &view) != nil {
			return ""
		}
		doc = view.Pin
	}
	pin, err := release.ParsePin(doc)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(pin.Log) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "log" {
			if parts := strings.SplitN(f[1], "+", 3); len(parts) == 3 {
				return parts[2]
			}
		}
	}
	return ""
}

func pageClaim(s *snapshot, r *report, log *client.LogStatus) claim {
	c := claim{
		ID: "page", Party: "page", Claim: "The page that this site serves is the published one.",
		Redo: []string{"curl -s " + shell(s.server+"/") + " | sha256sum"},
	}
	top := s.answers["/"]
	isPage := top.Status == http.StatusOK && strings.HasPrefix(top.Header.Get("Content-Type"), "text/html")
	if to := top.Header.Get("Location"); to != "" {
		c.Status, c.Detail, c.Redo = attest.StatusWarn, "This address sends browsers on to "+to+": check that one, which is what people open.", nil
		return c
	}
	if !isPage {
		c.Status, c.Detail, c.Redo = attest.StatusWarn, "There is no page at this address.", nil
		return c
	}
	files, against := s.program.Page, "the page in this program"
	logged := log != nil && log.Published != nil
	if logged {
		newest, _ := log.Published.Newest()
		if len(newest.Manifest.Web.Files) > 0 {
			files, against = newest.Manifest.Web.Files, "release "+newest.Manifest.Version
			c.Redo = append(c.Redo, "curl -s "+shell(s.server+pathLog)+" | jq -j '.releases[0].entry' | base64 -d | sed '/^$/Q' | jq -r '.web.files[] | select(.path==\"index.html\").sha256'")
		} else {
			logged = false
		}
	}
	c.Redo = append(c.Redo, "sotto verify-web "+shell(s.server))
	entrances := livesite.Entrances(files)
	if len(entrances) == 0 {
		c.Status, c.Detail = attest.StatusWarn, "There is nothing to compare the page with: no release in a log, and no page in this program."
		return c
	}
	var found []livesite.Difference
	for _, f := range entrances {
		p := livesite.Path(f.Path)
		a, ok := s.answers[p]
		if !ok {
			continue
		}
		found = append(found, livesite.Judge(files, f, p, "", livesite.Answer{Status: a.Status, Header: a.Header, Body: a.body})...)
		c.Evidence = append(c.Evidence, p+" "+release.Digest(a.body))
	}
	for _, d := range found {
		c.Evidence = append(c.Evidence, sentenceOf(d))
	}
	const rest = " These files name all others by their digests; “sotto verify-web” compares those too. A server can still give one person another page: “sotto app” doesn’t need it."
	switch {
	case len(found) > 0 && logged:
		c.Status, c.Detail = attest.StatusFail, "The page is not that of "+against+": "+sentenceOf(found[0])+"."
	case len(found) > 0:
		c.Status, c.Detail = attest.StatusWarn, "The page is not the one in this program, and no log says which is right: "+sentenceOf(found[0])+"."
	case logged && r.Log != nil && !r.Log.Offered:
		c.Status, c.Detail = attest.StatusOK, "It is the page of "+against+" in the public log."+rest
	case logged:
		c.Status, c.Detail = attest.StatusWarn, "It is the page of "+against+", but it was the server itself that said which log to look at."+rest
	default:
		c.Status, c.Detail = attest.StatusWarn, "It is "+against+", but no log says that this is the published one."+rest
	}
	return c
}

// sentenceOf says a difference.
func sentenceOf(d livesite.Difference) string {
	asked := ""
	if d.Asked != "" {
		asked = " (asked for as " + d.Asked + ")"
	}
	switch d.What {
	case livesite.Changed:
		return d.Path + " is other bytes: " + d.Found + " instead of " + d.Want + asked
	case livesite.Missing:
		return d.Path + " is missing: " + d.Found + asked
	case livesite.Extra:
		return d.Path + " loads what was not published: " + d.Found + asked
	case livesite.Header:
		if d.Found == "" {
			return d.Path + " comes without the header “" + d.Want + "”" + asked
		}
		return d.Path + " comes with “" + d.Found + "” where “" + d.Want + "” belongs" + asked
	default:
		return d.Path + " can’t be compared: " + d.Found + asked
	}
}

func rowOf(v attest.Verdict, id string) *attest.Check {
	for i := range v.Checks {
		if v.Checks[i].ID == id {
			return &v.Checks[i]
		}
	}
	return nil
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// shell quotes an argument for a shell.
func shell(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@%+=,") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
