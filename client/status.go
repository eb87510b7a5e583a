// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"errors"
	"fmt"
	"time"

	"github.com/sotto-chat/sotto/attest"
)

// A State is what a person is told beside the send button. One list serves the
// terminal, the proxy and the page.
type State string

const (
	// StateChecking: the first check is under way; a message waits for it.
	StateChecking State = "checking"
	// StateVerified: a machine proved itself and its key is still good.
	StateVerified State = "verified"
	// StateVerifiedOld: the keys of the last good check have expired; the next
	// message waits for a new check.
	StateVerifiedOld State = "verified-old"
	// StateChanged: verified, but a message may go to a release that this person
	// has not talked to before.
	StateChanged State = "changed"
	// StateUnknown: no check could be made, because nothing answered.
	StateUnknown State = "unknown"
	// StateFailed: machines answered and none could prove itself.
	StateFailed State = "failed"
	// StateOpen: words leave the sealed path, by consent (web search).
	StateOpen State = "open"
	// StateDemo: software evidence, accepted because the caller asked for it.
	StateDemo State = "demo"
)

// MaySend says whether a message may go out in this state. In StateVerifiedOld
// it is checked again first.
func (s State) MaySend() bool {
	switch s {
	case StateVerified, StateVerifiedOld, StateChanged, StateOpen, StateDemo:
		return true
	}
	return false
}

// A Status is the state with what is needed to show it. It is a snapshot: ask
// again rather than keep it, the client owns expiry.
type Status struct {
	State State
	// Line is the composer's line: "Private — checked 14:02".
	Line string
	// Detail is one more sentence: what happened and what to do. May be "".
	Detail string
	// CheckedAt is when the last check that said something ended, in Unix
	// seconds; 0 when there was none.
	CheckedAt int64
	// Release is the release of the verified machines, in StateChanged the one
	// that is new; "" if there are none.
	Release string
	// Err is why the last check failed; nil in the states that may send.
	Err error
	// Relay is who hides this device's address from the service; nil where nobody does.
	Relay *Relay
	// RelayNamed says that the newest release in the public log names the relay.
	RelayNamed bool
	// Verdicts has one verdict for each machine of the last check. Not to be
	// changed by the caller.
	Verdicts []attest.Verdict
}

// Status says how things stand now. It makes no request and never waits.
func (c *Client) Status() Status {
	c.ring.mu.Lock()
	defer c.ring.mu.Unlock()
	return c.statusLocked(c.cfg.Now())
}

// relay returns the relay that requests go through; nil if they go straight.
func (c *Client) relay() *Relay {
	if c.cfg.Through == nil {
		return nil
	}
	return c.Service().Relay
}

// Seen tells the client that this person has seen the given release, which
// ends StateChanged. [Config.Seen] carries the list over from earlier runs.
func (c *Client) Seen(release string) {
	c.ring.mu.Lock()
	c.ring.seen[release] = true
	seen := c.ring.met()
	s := c.statusLocked(c.cfg.Now())
	c.ring.mu.Unlock()
	c.announceSeen(seen)
	c.announce(s)
}

// HasSeen says whether the person has talked to the release before.
func (c *Client) HasSeen(release string) bool {
	c.ring.mu.Lock()
	defer c.ring.mu.Unlock()
	return c.ring.seen[release]
}

// announceSeen tells OnSeen, if there is something to tell.
func (c *Client) announceSeen(releases []string) {
	if c.cfg.OnSeen == nil || len(releases) == 0 {
		return
	}
	c.announceMu.Lock()
	defer c.announceMu.Unlock()
	c.cfg.OnSeen(releases)
}

// statusLocked computes the status; c.ring.mu is held.
func (c *Client) statusLocked(now time.Time) Status {
	r := &c.ring
	s := Status{Verdicts: r.verdicts, CheckedAt: unixOrZero(r.checked), Relay: c.relay()}
	s.RelayNamed = s.Relay != nil && r.relayNamed == s.Relay.URL
	live := r.live(now)
	switch {
	case len(live) > 0:
		s.State, s.Release = StateVerified, live[0].config.Release
		if live[0].demo {
			s.State = StateDemo
			break
		}
		// A message goes to any of them, so one that is new is enough.
		for _, k := range live {
			if release := k.config.Release; len(r.seen) > 0 && !r.seen[release] {
				s.State, s.Release = StateChanged, release
				break
			}
		}
	case r.running != nil && len(r.keys) > 0:
		s.State = StateVerifiedOld
		if r.keys[0].demo {
			s.State = StateDemo
		}
	case r.running != nil && r.err == nil:
		s.State = StateChecking
	case r.err != nil:
		s.State, s.Err = StateUnknown, r.err
		if isNotVerified(r.err) {
			s.State = StateFailed
		}
	case len(r.keys) > 0:
		s.State = StateVerifiedOld
		if r.keys[0].demo {
			s.State = StateDemo
		}
	default:
		s.State = StateChecking
	}
	s.Line, s.Detail = statusWords(s, now)
	return s
}

// statusWords writes the composer line and the sentence after it.
func statusWords(s Status, now time.Time) (line, detail string) {
	switch s.State {
	case StateChecking:
		return "Checking the machine…", ""
	case StateVerified:
		return "Private — checked " + clock(s.CheckedAt), ""
	case StateVerifiedOld:
		return "Checked " + ago(now.Sub(time.Unix(s.CheckedAt, 0))) + " ago · rechecking", ""
	case StateChanged:
		return "New version since your last chat — see what changed", ""
	case StateDemo:
		return "Demo hardware — not private",
			"This machine has no protected hardware: whoever runs it could read what you write."
	case StateOpen:
		return "Web search: these words leave the sealed path", ""
	case StateFailed:
		e := Explain(s.Err)
		line := "Not sent. This machine could not prove itself."
		if kl := (*KeyLogError)(nil); errors.As(s.Err, &kl) {
			line = "Not sent. This service could not prove itself."
		}
		return line, e.Text + " " + e.Hint
	default:
		e := Explain(s.Err)
		return "Can’t check right now", e.Text + " " + e.Hint
	}
}

func clock(unix int64) string { return time.Unix(unix, 0).Format("15:04") }

// ago says a duration in the one unit that a person would use.
func ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "less than a minute"
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	default:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	}
}

func unixOrZero(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}
