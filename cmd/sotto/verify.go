// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/platforms"
	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/client/nethttp"
	"github.com/sotto-chat/sotto/cmd/sotto/internal/proofzip"
	"github.com/sotto-chat/sotto/internal/collateral"
)

// report is what “sotto verify” found out: everything that it prints, and with
// --json the document itself. Fields are only added.
type report struct {
	State    client.State     `json:"state"`
	Server   string           `json:"server"`
	Verdicts []attest.Verdict `json:"verdicts"`
	V        int              `json:"v"` // 1
	Time     int64            `json:"time"`
	Claims   []claim          `json:"claims"`
	Log      *logReport       `json:"log"`   // null where there is none
	Fresh    *freshReport     `json:"fresh"` // null without --fresh
	Inputs   []inputReport    `json:"inputs"`

	err error // why no machine passed, or none could be checked
}

// logReport is the public log as it was seen.
type logReport struct {
	Origin    string         `json:"origin"`
	Size      int64          `json:"size"`
	Seen      int64          `json:"seen"` // Unix seconds
	Witnesses []string       `json:"witnesses"`
	Offered   bool           `json:"offered"` // its keys came from the server: a demo's
	Release   *releaseReport `json:"release"`
}

// releaseReport is the newest release that counts.
type releaseReport struct {
	Version string `json:"version"`
	Index   int64  `json:"index"`
	Digest  string `json:"digest"`
	Commit  string `json:"commit"`
	Time    int64  `json:"time"`
}

// freshReport is what machines proved for a nonce of this program's own.
type freshReport struct {
	Nonce    string           `json:"nonce"` // hex
	Verdicts []attest.Verdict `json:"verdicts"`
}

// inputReport names what was looked at, so that a change of it shows.
type inputReport struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
}

// verify checks every claim of who can see what.
func (a *app) verify(args []string) error {
	fs := a.flags()
	server := addServerFlags(fs)
	details := fs.Bool("v", false, "show every single finding, and how to redo each check by hand")
	asJSON := fs.Bool("json", false, "print what was found as JSON")
	fresh := fs.Bool("fresh", false, "have each machine prove itself anew, for a random number of this program’s own")
	save := fs.String("save", "", "keep what was looked at in `FILE`, for --offline")
	offline := fs.String("offline", "", "check what --save kept in `FILE`, as of then; asks nobody")
	rest, err := a.parse(fs, args)
	switch {
	case err != nil:
		return err
	case len(rest) > 1:
		return usageError("“sotto verify” takes one address", "")
	case len(rest) == 1 && *offline != "":
		return usageError("with --offline nobody is asked, so there is no address to give", "")
	case *offline != "" && (*save != "" || *fresh):
		return usageError("--offline looks at what is there, and can’t be combined with --save or --fresh", "")
	case len(rest) == 1:
		server.url = rest[0]
	}
	ctx, stop := interruptible()
	defer stop()
	if *offline != "" {
		return a.verifyOffline(ctx, *offline, server, *asJSON, *details)
	}

	s, err := a.look(ctx, server, *fresh)
	if err != nil {
		return err
	}
	r, err := a.judge(ctx, s)
	if err != nil {
		return err
	}
	if *save != "" {
		if err := saveProof(*save, s, r); err != nil {
			return err
		}
		a.say("kept in %s; “sotto verify --offline %s” checks it again, as of now", *save, *save)
	}
	a.printReport(r, *asJSON, *details)
	return r.outcome()
}

// outcome is how the command ends: not verified where no machine passed, or where
// any claim is false.
func (r *report) outcome() error {
	if r.err != nil {
		return r.err
	}
	if i := slices.IndexFunc(r.Claims, func(c claim) bool { return c.Status == attest.StatusFail }); i >= 0 {
		return &failure{errors.New(r.Claims[i].Detail), "", exitNotVerified}
	}
	return nil
}

// verifyOffline checks what an earlier run kept.
func (a *app) verifyOffline(ctx context.Context, file string, server *serverFlags, asJSON, details bool) error {
	b, err := collateral.ReadFile(file, proofzip.MaxSize)
	if err != nil {
		return withHint(fmt.Errorf("the proof can’t be read: %w", err), "")
	}
	s, saved, err := readProof(b)
	if err != nil {
		return &failure{fmt.Errorf("%s can’t be used as a proof: %w", file, err), "“sotto verify --save” writes one.", exitNotVerified}
	}
	own := server.policy != ""
	if own {
		if s.policy, err = collateral.ReadFile(server.policy, platforms.MaxPolicy); err != nil {
			return withHint(fmt.Errorf("the policy can’t be read: %w", err), "")
		}
		s.software = server.software
	}
	r, err := a.judge(ctx, s)
	if err != nil {
		return err
	}
	a.printReport(r, asJSON, details)
	a.say("as of %s; nobody was asked", time.Unix(s.at, 0).UTC().Format("2006-01-02 15:04:05 UTC"))
	switch {
	case own:
		a.say("judged by your policy, not by the one in the proof")
	default:
		a.say("judged by the policy that is in the proof, which says what to accept: give --policy to judge by your own")
		if again, err := r.encode(); err != nil || string(again) != string(saved) {
			return &failure{errors.New("what is in this proof doesn’t give what it says was found: it was changed, or another version of Sotto made it"), "", exitNotVerified}
		}
	}
	return r.outcome()
}

// look asks the server for all that the check looks at.
func (a *app) look(ctx context.Context, server *serverFlags, fresh bool) (*snapshot, error) {
	base, err := nethttp.ParseBase(server.url)
	if err != nil {
		return nil, usageError("the server’s address "+err.Error(), "it looks like https://chat.example or "+defaultServer)
	}
	s := newSnapshot(server.url, time.Now())
	s.live = nethttp.New(server.url)
	s.software = server.software
	if server.policy != "" {
		if s.policy, err = collateral.ReadFile(server.policy, platforms.MaxPolicy); err != nil {
			return nil, withHint(fmt.Errorf("the policy can’t be read: %w", err), "")
		}
	}
	if _, err := s.readPolicy(a.platforms); err != nil {
		return nil, err
	}
	var known client.Config
	a.remember(server.url, &known)
	s.seen, s.remember = known.LogSeen, known.OnLogSeen
	s.fetchSite(ctx, base)
	if fresh {
		s.nonce = new([32]byte)
		rand.Read(s.nonce[:]) // never fails
	}
	return s, nil
}

// judge makes the report of what s holds. Online, s fetches what it lacks; the same
// s gives the same report.
func (a *app) judge(ctx context.Context, s *snapshot) (*report, error) {
	policy, err := s.readPolicy(a.platforms)
	if err != nil {
		return nil, err
	}
	now := time.Unix(s.at, 0)
	r := &report{V: 1, Server: s.server, Time: s.at, Verdicts: []attest.Verdict{}, Claims: []claim{}}
	var log *client.LogStatus
	var proofs []attest.Verdict
	var freshErr error
	parts := s.parts(ctx)
	for i := range parts {
		cfg := client.Config{
			Transport: &part{s, parts[i]}, Policy: policy, Platforms: a.platforms, LogSeen: s.seen, OnLogSeen: s.remember,
			Now: func() time.Time { return now }, Listed: true,
		}
		c := client.New(cfg)
		verdicts, err := c.Verify(ctx)
		st := c.Status()
		if l := c.Log(); l != nil {
			log = l
		}
		r.Verdicts = append(r.Verdicts, verdicts...)
		if i == 0 || better(st.State, r.State) {
			r.State, r.err = st.State, err
		}
		if s.nonce != nil {
			v, err := s.fresh(ctx, c, i, err == nil)
			proofs = append(proofs, v...)
			freshErr = cmp.Or(freshErr, err)
		}
		c.CloseNow()
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	byMachine := func(x, y attest.Verdict) int {
		return cmp.Or(strings.Compare(x.Node, y.Node), strings.Compare(x.KeyID, y.KeyID))
	}
	slices.SortFunc(r.Verdicts, byMachine)
	if s.nonce != nil {
		slices.SortFunc(proofs, byMachine)
		if proofs == nil {
			proofs = []attest.Verdict{}
		}
		r.Fresh = &freshReport{Nonce: hex.EncodeToString(s.nonce[:]), Verdicts: proofs}
	}
	var nv *client.NotVerifiedError
	if r.err != nil && !errors.As(r.err, &nv) {
		return nil, r.err // nothing to judge
	}
	r.readLog(log)
	if s.live != nil {
		s.freshErr = freshErr
	}
	r.Claims = makeClaims(s, r, policy, log)
	r.Inputs = s.inputs()
	return r, nil
}

// better says whether a part of the machines makes the whole look better: words go
// only to those that passed.
func better(a, b client.State) bool {
	rank := func(s client.State) int {
		return slices.Index([]client.State{client.StateUnknown, client.StateFailed, client.StateDemo, client.StateChanged, client.StateVerified}, s)
	}
	return rank(a) > rank(b)
}

func (r *report) readLog(l *client.LogStatus) {
	if l == nil {
		return
	}
	r.Log = &logReport{Origin: l.Log, Size: l.Size, Seen: l.Seen, Witnesses: l.Witnesses, Offered: l.Offered}
	if r.Log.Witnesses == nil {
		r.Log.Witnesses = []string{}
	}
	if l.Published != nil {
		m, index := l.Published.Newest()
		r.Log.Release = &releaseReport{
			Version: m.Manifest.Version, Index: index, Digest: m.Digest(), Commit: m.Manifest.Commit, Time: m.Manifest.Time,
		}
	}
}

// encode writes the report as --json does.
func (r *report) encode() ([]byte, error) {
	b, err := json.Marshal(r)
	return append(b, '\n'), err
}

func (a *app) printReport(r *report, asJSON, details bool) {
	if asJSON {
		if b, err := r.encode(); err == nil {
			a.out.Write(b)
		}
		return
	}
	fmt.Fprintf(a.out, "who can see what at %s, checked %s\n\n", plain(r.Server), time.Unix(r.Time, 0).UTC().Format("2006-01-02 15:04 UTC"))
	for _, c := range r.Claims {
		a.printClaim(c, details)
	}
	for _, v := range r.Verdicts {
		fmt.Fprintln(a.out)
		a.printVerdict(v, details)
	}
	if r.Fresh != nil {
		for _, v := range r.Fresh.Verdicts {
			fmt.Fprintf(a.out, "%-5s just now, for %s…: %s\n", mark(stateMarks[v.State]), r.Fresh.Nonce[:8], plain(v.Summary))
		}
	}
	fmt.Fprintln(a.out)
	a.printLog(r.Log)
	if !details {
		fmt.Fprintln(a.out, "\n-v shows every finding, and how to redo each check by hand")
	}
}

func (a *app) printClaim(c claim, details bool) {
	fmt.Fprintf(a.out, "%-5s %-8s %s\n", mark(c.Status), c.Party, plain(c.Claim))
	fmt.Fprintf(a.out, "               %s\n", plain(c.Detail))
	if !details {
		return
	}
	for _, e := range c.Evidence {
		fmt.Fprintf(a.out, "               seen: %s\n", plain(e))
	}
	for i, cmd := range c.Redo {
		word := "by hand:"
		if i > 0 {
			word = "        "
		}
		for j, line := range strings.Split(cmd, "\n") {
			if j > 0 {
				word = "        "
			}
			fmt.Fprintf(a.out, "               %s %s\n", word, plain(line))
		}
	}
}

func (a *app) printLog(l *logReport) {
	if l == nil {
		fmt.Fprintln(a.out, "public log: none was seen")
		return
	}
	fmt.Fprintf(a.out, "public log %s\n", plain(l.Origin))
	seenBy := "no witness"
	if len(l.Witnesses) > 0 {
		seenBy = strings.Join(l.Witnesses, ", ")
	}
	fmt.Fprintf(a.out, "  %s, seen by %s at %s\n", plural(int(l.Size), "entry", "entries"), plain(seenBy), time.Unix(l.Seen, 0).UTC().Format("2006-01-02 15:04:05 UTC"))
	if l.Release != nil {
		fmt.Fprintf(a.out, "  newest release %s, entry %d, %s\n", plain(l.Release.Version), l.Release.Index, plain(l.Release.Digest))
	}
	if l.Offered {
		fmt.Fprintln(a.out, "  the keys of this log came from the server itself, as a demo’s may: it proves nothing against whoever runs it")
	}
}

// printVerdict prints one machine: a line for each check, the sum of them, and
// with details every finding behind them.
func (a *app) printVerdict(v attest.Verdict, details bool) {
	if v.Node != "" {
		fmt.Fprintf(a.out, "machine %s\n", plain(v.Node))
	}
	for _, c := range v.Checks {
		a.printCheck("", c)
		if !details {
			continue
		}
		for _, p := range c.Parts {
			a.printCheck("      ", p)
			a.printFound("              ", p)
		}
		a.printFound("        ", c)
	}
	fmt.Fprintf(a.out, "%-5s %s\n", mark(stateMarks[v.State]), plain(v.Summary))
}

var stateMarks = map[string]string{
	attest.StateVerified: attest.StatusOK,
	attest.StateGenuine:  attest.StatusOK,
	attest.StateDemo:     attest.StatusWarn,
	attest.StateFailed:   attest.StatusFail,
	attest.StateUnknown:  attest.StatusFail,
}

func (a *app) printCheck(indent string, c attest.Check) {
	fmt.Fprintf(a.out, "%s%-5s %s: %s\n", indent, mark(c.Status), plain(c.Title), plain(c.Detail))
}

func (a *app) printFound(indent string, c attest.Check) {
	for _, l := range []struct{ what, text string }{{"wanted", c.Want}, {"found", c.Found}, {"to redo it", c.Redo}} {
		if l.text != "" {
			fmt.Fprintf(a.out, "%s%s: %s\n", indent, l.what, plain(l.text))
		}
	}
}

// mark is the word before a line: words, so that they can be read aloud.
func mark(status string) string {
	if status == attest.StatusFail {
		return "FAIL"
	}
	return status
}
