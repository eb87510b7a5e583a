// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/keylog"
	"github.com/sotto-chat/sotto/release"
	"github.com/sotto-chat/sotto/tlog"
	"github.com/sotto-chat/sotto/tlog/monitor"
)

// logCommand follows a public log.
func (a *app) logCommand(args []string) error {
	return a.oneOf("log", "read a public log of releases, all of it, and see that it only grows", logCommands, logHelp, args)
}

var logCommands = []command{
	{"check", "--pin FILE [-state FILE] [-webhook URL] [--json] URL", "look at a log once", func(a *app, args []string) error { return a.logFollow(args, true) }},
	{"watch", "--pin FILE [--once] [-every TIME] [-state FILE] [-webhook URL] [--json] URL", "follow a log until it does something wrong", func(a *app, args []string) error { return a.logFollow(args, false) }},
}

const logHelp = `
It hashes every entry and compares with what the log and its witnesses signed, and
with what it saw before, which it keeps. Each new release is printed, with what is
different in it. The pin names the log's key, its witnesses, and the keys that sign
releases. Whoever runs this somewhere else than the log, and tells others what they
see, keeps the log honest; what witnesses run by the operator sign is worth nothing
against the operator.

It ends with 3, and one of these names, where the log isn't what it has to be:
log_malformed, log_signature, log_witnesses_few, log_witness_unknown, log_stale,
log_rollback, log_split_view; for an entry that doesn't count, “check” ends with
3 as well: release_signatures, release_unlogged.

With -keys it is a log of keys: each statement is printed, and two keys for one day,
which would tell people apart, end it with 3 and keys_duplicate.
`

// logEvent is a line of JSON: something new in the log, or something wrong with it.
type logEvent struct {
	Time    string           `json:"time"`
	Event   string           `json:"event"` // release, day, nodes, entry, failure or checked
	Log     string           `json:"log"`   // its name, "" where it was never seen
	URL     string           `json:"url"`
	Index   *int64           `json:"index,omitempty"` // of the entry
	Version string           `json:"version,omitempty"`
	Digest  string           `json:"digest,omitempty"`
	Signers []string         `json:"signers,omitempty"`
	Changes []release.Change `json:"changes,omitempty"`
	Failure string           `json:"failure,omitempty"`
	Detail  string           `json:"detail,omitempty"`

	Size      *int64   `json:"size,omitempty"` // of the log, of "checked"
	Witnesses []string `json:"witnesses,omitempty"`
}

// follower is one run of "sotto log".
type follower struct {
	a       *app
	base    string
	monitor *monitor.Monitor
	state   string
	webhook string
	json    bool
	log     string
	bad     *tlog.Error // of the last entry that doesn't count

	hookFails bool // the webhook didn't take the last event
}

func (a *app) logFollow(args []string, once bool) error {
	fs := a.flags()
	pinFile := fs.String("pin", "", "the `FILE` of the pin, or of a policy with one: the log’s key, its witnesses, and who signs releases")
	every := time.Minute
	if !once {
		fs.BoolVar(&once, "once", false, "look once and end")
		fs.DurationVar(&every, "every", every, "`TIME` between two looks")
	}
	keys := fs.Bool("keys", false, "it is a log of keys, and --pin the pin of one: what a service tells everybody alike")
	state := fs.String("state", "", "`FILE` that keeps what was seen (default: one for each log, in the folder for settings)")
	webhook := fs.String("webhook", "", "`URL` that gets each event by POST, a line of JSON")
	asJSON := fs.Bool("json", false, "print each event as a line of JSON")
	rest, err := a.parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return usageError("“sotto "+a.command.name+"” takes the address of one log", "it looks like https://log.example")
	}
	if *pinFile == "" {
		return usageError("it isn’t said which log this has to be", "give --pin FILE; whoever publishes the releases publishes it, and a demo keeps its own in public/pin.json of its data folder")
	}
	if every < time.Second {
		return usageError("-every takes a second or more", "")
	}
	for what, s := range map[string]string{"a log": rest[0], "a webhook": *webhook} {
		if u, err := url.Parse(s); s != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
			return usageError("“"+s+"” is no address of "+what, "it looks like https://host.example/path")
		}
	}
	pin, err := readPin(*pinFile)
	if err != nil {
		return err
	}
	if *state == "" {
		dir, err := configDir()
		if err != nil {
			return err
		}
		*state = filepath.Join(dir, "logs", logName(pin)+".json")
	}
	f := &follower{a: a, base: strings.TrimSuffix(rest[0], "/"), state: *state, webhook: *webhook, json: *asJSON}
	if f.monitor, err = loadMonitor(pin, *keys, *state); err != nil {
		return withHint(err, "If you are sure, move the file away: the log is then read anew, and what was seen before is forgotten.")
	}
	if s := f.monitor.Seen(); s != nil {
		f.log = s.Log
	}
	ctx, stop := interruptible()
	defer stop()
	if once {
		return f.once(ctx)
	}
	return f.watch(ctx, every)
}

// logName names the file of what was seen, by the keys of the pinned logs alone: a pin
// with other witnesses or signers forgets nothing.
func logName(pin release.Pin) string {
	sum := sha256.New()
	if policy, err := tlog.ParsePolicy(pin.Log); err == nil { // as a pin that was read has it
		for _, l := range policy.Logs() {
			sum.Write([]byte(l.Key.String() + "\n"))
		}
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}

func loadMonitor(pin release.Pin, keys bool, file string) (*monitor.Monitor, error) {
	begin := func() (*monitor.Monitor, error) { return monitor.New(pin) }
	load := func(doc []byte) (*monitor.Monitor, error) { return monitor.Load(pin, doc) }
	if keys {
		begin = func() (*monitor.Monitor, error) { return monitor.NewKeys(keylog.Pin(pin)) }
		load = func(doc []byte) (*monitor.Monitor, error) { return monitor.LoadKeys(keylog.Pin(pin), doc) }
	}
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return begin()
	}
	if err != nil {
		return nil, err
	}
	if info.Size() > monitor.MaxState {
		return nil, fmt.Errorf("%s is too long for what was seen of a log", file)
	}
	doc, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	m, err := load(doc)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return m, nil
}

// once looks at the log, and fails for whatever is wrong.
func (f *follower) once(ctx context.Context) error {
	err := f.look(ctx)
	if err == nil && f.bad != nil {
		return f.alarm(ctx, f.bad, true)
	}
	var wrong *tlog.Error
	if errors.As(err, &wrong) {
		return f.alarm(ctx, wrong, false)
	}
	return err
}

// watch looks again and again until the log does something wrong. A log that can't
// be reached is asked again, until what was seen last is too old.
func (f *follower) watch(ctx context.Context, every time.Duration) error {
	rest := time.Duration(0)
	for {
		err := f.look(ctx)
		var wrong *tlog.Error
		if errors.As(err, &wrong) {
			return f.alarm(ctx, wrong, false)
		}
		wait := every
		if err != nil {
			if ctx.Err() != nil {
				return context.Canceled
			}
			if errors.As(f.monitor.Stale(time.Now()), &wrong) {
				return f.alarm(ctx, wrong, false)
			}
			if rest = min(every, max(time.Second, 2*rest)); rest == time.Second {
				f.a.say("%v; asking again", err)
			}
			wait = rest
		} else {
			rest = 0
		}
		select {
		case <-ctx.Done():
			return context.Canceled
		case <-time.After(wait):
		}
	}
}

// stepTime is how long one look at a log may take, the first and longest too.
const stepTime = 10 * time.Minute

// look takes one step, prints what is new, and keeps what was seen.
func (f *follower) look(ctx context.Context) error {
	// A log that trickles mustn't keep this program from seeing that nothing comes.
	short, cancel := context.WithTimeout(ctx, stepTime)
	found, cp, err := f.monitor.Step(short, f.get, time.Now())
	cancel()
	if cp.Origin != "" {
		f.log = cp.Origin
	}
	if err != nil {
		return err
	}
	f.bad = nil
	for _, e := range found {
		f.found(ctx, e)
	}
	// After it was told, so that nothing is passed over where this program is ended in
	// between.
	doc, err := f.monitor.State()
	if err == nil {
		err = writePrivate(f.state, doc)
	}
	if err != nil {
		return withHint(fmt.Errorf("what was seen can’t be kept: %w", err), "")
	}
	age := time.Since(time.Unix(cp.Time, 0)).Round(time.Second)
	if f.json {
		f.print(logEvent{Event: "checked", Size: &cp.Size, Witnesses: cp.Witnesses})
	} else {
		entries := "1 entry"
		if cp.Size != 1 {
			entries = fmt.Sprintf("%d entries", cp.Size)
		}
		f.a.sayOnce(fmt.Sprintf("%s holds %s and only grew; %s cosigned", cp.Origin, entries, strings.Join(cp.Witnesses, ", ")))
		if age > time.Hour {
			f.a.say("the last time that enough witnesses cosigned was %s ago", age)
		}
	}
	return nil
}

// found tells of a new entry.
func (f *follower) found(ctx context.Context, e monitor.Found) {
	ev := logEvent{Event: "release", Index: &e.Index, Signers: e.Signers, Changes: e.Changes}
	if len(e.Release.Text) > 0 {
		ev.Version, ev.Digest = e.Release.Manifest.Version, e.Release.Digest()
	}
	if e.Statement != nil {
		ev = statementEvent(e)
	}
	if e.Failure != nil {
		f.bad = e.Failure
		ev.Event, ev.Failure, ev.Detail = "entry", e.Failure.Failure, e.Failure.Detail
	}
	if !f.json {
		if e.Failure != nil {
			fmt.Fprintf(f.a.out, "FAIL entry %d: %s: %s\n", e.Index, e.Failure.Failure, plain(e.Failure.Detail))
		} else if e.Statement != nil {
			fmt.Fprintf(f.a.out, "entry %d: %s\n", e.Index, plain(ev.Detail))
		} else {
			fmt.Fprintf(f.a.out, "release %s, entry %d, %s, signed by %s\n", ev.Version, e.Index, ev.Digest, plain(strings.Join(e.Signers, ", ")))
		}
		for _, c := range e.Changes {
			fmt.Fprintf(f.a.out, "  %s\n", plain(c.Text))
		}
	}
	f.tell(ctx, ev)
}

// statementEvent says in words what a statement of a key log says.
func statementEvent(e monitor.Found) logEvent {
	ev := logEvent{Event: e.Statement.Kind, Index: &e.Index}
	switch st := e.Statement; st.Kind {
	case keylog.KindDay:
		ev.Detail = "keys for " + st.Day.String() + ": " + st.Issuer + " signs tokens by " + release.Digest(st.Issue)
		if len(st.Refund) > 0 {
			ev.Detail += ", and those that come back by " + release.Digest(st.Refund)
		}
		if len(st.OHTTP) > 0 {
			ev.Detail += "; the gateway’s door has " + strings.Join(st.OHTTP, " and ")
		}
	case keylog.KindNodes:
		ev.Detail = fmt.Sprintf("a list of machines: %d of them, root %s", st.Size, st.Root)
	}
	return ev
}

// alarm tells what is wrong with the log, and is the error of it.
func (f *follower) alarm(ctx context.Context, wrong *tlog.Error, told bool) error {
	if !told {
		f.tell(ctx, logEvent{Event: "failure", Failure: wrong.Failure, Detail: wrong.Detail})
	}
	hint := logHints[wrong.Failure]
	if hint == "" {
		hint = "Ask whoever runs the log, and tell others who follow it."
	}
	return &failure{wrong, hint, exitNotVerified}
}

var logHints = map[string]string{
	tlog.FailSplitView:      "Two histories are signed in this log’s name. Keep this terminal’s file of what was seen: it is the proof. Tell others who follow the log.",
	tlog.FailRollback:       "The log hides what it has shown. Keep this terminal’s file of what was seen, and tell others who follow the log.",
	keylog.FailDuplicate:    "Somebody may be given keys of their own, by which they are known. Take no tokens of this service until whoever runs it explains why, and tell others.",
	tlog.FailStale:          "The log stands still, or what is new is kept from you. Try from another network; ask whoever runs the log.",
	tlog.FailWitnessesFew:   "Believe nothing new of this log until enough of its witnesses cosign again.",
	tlog.FailWitnessUnknown: "The witnesses may have changed: get a newer pin from where you got this one, not from the log.",
	tlog.FailSignature:      "Is this the address of the log that the pin names?",
	tlog.FailSignatures:     "Somebody got something into the log that the keys of the pin didn’t sign. Or the keys have changed: get a newer pin from where you got this one.",
}

// hookRests are the times between attempts to post an event.
var hookRests = []time.Duration{250 * time.Millisecond, time.Second, 3 * time.Second}

// tell prints an event where JSON is asked for, and posts it.
func (f *follower) tell(ctx context.Context, ev logEvent) {
	line := f.print(ev)
	if f.webhook == "" {
		return
	}
	err := post(ctx, f.webhook, line)
	for _, rest := range hookRests {
		if err == nil || f.hookFails {
			break
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(rest):
		}
		err = post(ctx, f.webhook, line)
	}
	// One that doesn't answer holds up the first event, and none after it.
	if f.hookFails = err != nil; err == nil {
		return
	}
	f.a.say("the webhook didn’t take an event: %v", err)
}

func (f *follower) print(ev logEvent) []byte {
	ev.Time, ev.Log, ev.URL = time.Now().UTC().Format(time.RFC3339), f.log, f.base
	line, err := json.Marshal(ev)
	if err != nil { // strings and numbers always marshal
		panic(err)
	}
	line = append(line, '\n')
	if f.json {
		f.a.out.Write(line)
	}
	return line
}

// post posts a line of JSON.
func post(ctx context.Context, to string, line []byte) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(line))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := logClient.Do(req)
	if err != nil {
		return errors.Unwrap(err) // without the address, which may hold a secret
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return errors.New(resp.Status)
	}
	return nil
}

// get asks the log.
func (f *follower) get(ctx context.Context, path string, limit int64) ([]byte, error) {
	status, b, err := callLog(ctx, http.MethodGet, f.base, path, nil, limit)
	switch {
	case err != nil:
		return nil, err
	case status == http.StatusNotFound:
		return nil, monitor.ErrNotFound
	case status != http.StatusOK:
		return nil, withHint(errors.New("the log answered "+statusOf(status)), "Is this the address of a log?")
	}
	return b, nil
}
