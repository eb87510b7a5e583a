// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"bytes"
	"encoding/base64"
	"math"
	mathrand "math/rand/v2"
	"regexp"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestADay: an adversary that has all tables, logs and packets of account and gateway
// can't tell whose a message is better than by what it knows without tokens, which is
// who has the app open, and how much each person asks that day.
func TestADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := live(t, 16, weak{})
		if len(d.messages) < 120 {
			t.Fatalf("%d messages", len(d.messages))
		}
		if n, named := d.joinBytes(); n != 0 || named != 0 {
			t.Errorf("%d of %d messages have bytes in common with their sender's, and the gateway has those of %d people", n, len(d.messages), named)
		}
		g := d.joinTimes()
		t.Logf("%d people, %d messages: chance %.3f, who is there and how much %.3f, and all times and sizes %.3f", d.people, len(d.messages), g.chance, g.known, g.all)
		if g.all > max(g.known, g.chance)+tolerance {
			t.Errorf("times and sizes give %.3f, without them it is %.3f", g.all, g.known)
		}
	})
}

// tolerance is more than three times what chance makes of a hundred messages or so.
const tolerance = 0.2

// TestTheAdversaryCanWin shows it worlds in which messages can be joined.
func TestTheAdversaryCanWin(t *testing.T) {
	for name, how := range map[string]weak{
		"tokens fetched for each message, and not blinded":       {atNeed: true, unblinded: true},
		"an id in a line of the log, and history stored at once": {idInLog: true, history: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := live(t, 6, how)
				n, named := d.joinBytes()
				g := d.joinTimes()
				t.Logf("%d messages, %d joined by bytes, %d people named; chance %.3f, known %.3f, all %.3f", len(d.messages), n, named, g.chance, g.known, g.all)
				if how.unblinded != (n == len(d.messages)) || how.idInLog != (named == d.people) {
					t.Errorf("%d of %d messages joined by bytes, %d people named", n, len(d.messages), named)
				}
				if g.all < 0.9 || g.all < g.known+tolerance {
					t.Errorf("joined by times: %.3f, without them %.3f", g.all, g.known)
				}
			})
		})
	}
}

var text64 = regexp.MustCompile(`[A-Za-z0-9+/_-]{16,}`)

// window is how many bytes in common are no chance.
const window = 12

// windows calls f with runs of that many bytes, of what is written in base64 too: with
// each that begins at a multiple of step.
func windows(b []byte, step int, f func([window]byte)) {
	each := func(b []byte) {
		for i := 0; i+window <= len(b); i += step {
			f([window]byte(b[i:]))
		}
	}
	each(b)
	for _, s := range text64.FindAll(b, -1) {
		s = bytes.ReplaceAll(bytes.ReplaceAll(s, []byte("+"), []byte("-")), []byte("/"), []byte("_"))
		if raw, err := base64.RawURLEncoding.DecodeString(string(s[:len(s)/4*4])); err == nil {
			each(raw)
		}
	}
}

// joinBytes says how many messages have bytes that only their sender's dealings with
// the account have, too, and how many people have some that are anywhere in the
// gateway's logs, tables and packets. Fifteen bytes in common are found.
func (d *day) joinBytes() (joined, named int) {
	owner := map[[window]byte]int{}
	for p, b := range d.ofPerson {
		windows(b, 4, func(w [window]byte) {
			if o, ok := owner[w]; ok && o != p {
				owner[w] = -1
			} else {
				owner[w] = p
			}
		})
	}
	for _, m := range d.messages {
		found := false
		windows(m.bytes, 1, func(w [window]byte) {
			o, ok := owner[w]
			found = found || ok && o == m.sender
		})
		if found {
			joined++
		}
	}
	people := map[int]bool{}
	windows(d.atGate, 1, func(w [window]byte) {
		if o, ok := owner[w]; ok && o >= 0 {
			people[o] = true
		}
	})
	return joined, len(people)
}

// guessed is how often the adversary names the right person: by chance among those
// who have the app open, by what it knows without tokens, and by all that there is.
type guessed struct{ chance, known, all float64 }

// joinTimes is an adversary that was told whose half of the messages were, learns
// what a sender looks like at the account, and names the senders of the other half.
func (d *day) joinTimes() guessed {
	order := mathrand.New(mathrand.NewPCG(3, 4)).Perm(len(d.messages))
	half := len(order) / 2
	g := guessed{}
	for _, i := range order[half:] {
		if n := len(d.online(d.messages[i].at)); n > 0 {
			g.chance += 1 / float64(n)
		}
	}
	g.chance /= float64(len(order) - half)
	g.known = d.guess(order[:half], order[half:], 2)
	g.all = d.guess(order[:half], order[half:], 7)
	return g
}

// features are what the account shows of a person at a time: first what needs no
// token, then the rest.
func (d *day) features(p int, at time.Time, size int) []int {
	f := make([]int, 7)
	var open, fetchBefore, fetchAfter, feedBefore, feedAfter = time.Duration(-1), time.Duration(-1), time.Duration(-1), time.Duration(-1), time.Duration(-1)
	total, lately := 0, 0
	for _, e := range d.events {
		if e.person != p {
			continue
		}
		ago := at.Sub(e.at)
		switch {
		case e.kind == "open" && ago >= 0:
			open = ago
		case e.kind == "fetch":
			total += e.n
			if ago >= 0 {
				fetchBefore, lately = ago, e.n
			} else if fetchAfter < 0 {
				fetchAfter = -ago
			}
		case e.kind == "feed" && ago >= 0:
			feedBefore = ago
		case e.kind == "feed" && feedAfter < 0:
			feedAfter = -ago
		}
	}
	f[0], f[1] = bucket(open), total/5
	f[2], f[3], f[4], f[5], f[6] = bucket(fetchBefore), bucket(fetchAfter), lately, bucket(feedBefore), bucket(feedAfter)
	return f
}

// bucket is a length of time on a scale of powers of four.
func bucket(d time.Duration) int {
	if d < 0 {
		return -1
	}
	return int(math.Log2(d.Seconds()+1) / 2)
}

// online are those who have the app open, by what the account sees.
func (d *day) online(at time.Time) (who []int) {
	for p := range d.people {
		is := false
		for _, e := range d.events {
			if e.person == p && !e.at.After(at) && (e.kind == "open" || e.kind == "close") {
				is = e.kind == "open"
			}
		}
		if is {
			who = append(who, p)
		}
	}
	return who
}

// guess learns from some messages by the first n features, and says how many of the
// others it gives to their senders.
func (d *day) guess(learn, try []int, n int) float64 {
	slices.SortStableFunc(d.events, func(a, b event) int { return a.at.Compare(b.at) })
	type cell struct{ feature, value int }
	sender, other := map[cell]float64{}, map[cell]float64{}
	senders, others := 0.0, 0.0
	for _, i := range learn {
		m := d.messages[i]
		for _, p := range d.online(m.at) {
			for k, v := range d.features(p, m.at, len(m.bytes))[:n] {
				if p == m.sender {
					sender[cell{k, v}]++
				} else {
					other[cell{k, v}]++
				}
			}
			if p == m.sender {
				senders++
			} else {
				others++
			}
		}
	}
	right := 0.0
	for _, i := range try {
		m := d.messages[i]
		best, who := math.Inf(-1), []int{}
		for _, p := range d.online(m.at) {
			score := 0.0
			for k, v := range d.features(p, m.at, len(m.bytes))[:n] {
				c := cell{k, v}
				score += math.Log((sender[c]+0.5)/(senders+5)) - math.Log((other[c]+0.5)/(others+5))
			}
			if score > best+1e-9 {
				best, who = score, nil
			}
			if score >= best-1e-9 {
				who = append(who, p)
			}
		}
		if slices.Contains(who, m.sender) {
			right += 1 / float64(len(who))
		}
	}
	return right / float64(len(try))
}
