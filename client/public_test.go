// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/software"
	"github.com/sotto-chat/sotto/attest/software/forge"
	"github.com/sotto-chat/sotto/release"
	"github.com/sotto-chat/sotto/release/releasetest"
	"github.com/sotto-chat/sotto/seal"
	"github.com/sotto-chat/sotto/seal/bhttp"
	"github.com/sotto-chat/sotto/seal/envelope"
	"github.com/sotto-chat/sotto/tlog"
)

// ledger is a log of releases beside a fake service, of which everything is right
// until a test changes it. The time is now, which in a bubble stands still.
type ledger struct {
	*releasetest.World
	f      *fakeService
	digest string // of the release that the node runs
}

func newLedger(t *testing.T) (*ledger, Config) {
	l := &ledger{World: releasetest.New(t.Name()), f: newFake(t)}
	l.Publish("1.0.0", nil)
	l.f.weights = release.Digest([]byte("test"))
	l.run("1.1.0", nil)
	l.f.anchor = l.at(2, time.Minute)
	l.f.view = func() (*Response, error) { return reply(200, "application/json", l.view()), nil }
	return l, Config{Policy: attest.Policy{AllowSoftware: true, Pin: l.PinJSON()}, Platforms: []attest.Platform{software.Platform{}}}
}

// run publishes a release that has the fake's model, and has the fake run it.
func (l *ledger) run(version string, change func(*release.Manifest)) {
	l.digest = l.Publish(version, func(m *release.Manifest) {
		m.Models = []release.Model{{ID: "test", Weights: l.f.weights, Tokenizer: "none", Template: "none"}}
		if change != nil {
			change(m)
		}
	})
	l.f.releases = map[string]string{fakeNode: l.digest}
}

// at is the checkpoint at a size, cosigned some time ago.
func (l *ledger) at(size int64, ago time.Duration) []byte {
	return l.Checkpoint(size, time.Now().Add(-ago).Unix(), 3)
}

// view shows all of the log.
func (l *ledger) view() []byte { return l.show(l.at(int64(len(l.Entries)), time.Second)) }

func (l *ledger) show(checkpoint []byte) []byte {
	var all []int
	for i := range slices.Backward(l.Entries) {
		all = append(all, i)
	}
	return l.ViewOf(checkpoint, all[:min(len(all), tlog.MaxReleases)]...)
}

func part(v attest.Verdict, id string) attest.Check {
	for _, r := range v.Checks {
		for _, p := range r.Parts {
			if p.ID == id {
				return p
			}
		}
	}
	return attest.Check{}
}

func TestReleaseIsPublic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, cfg := newLedger(t)
		var kept []byte
		cfg.OnLogSeen = func(b []byte) { kept = b }
		cfg.Page = func() []attest.Check { return []attest.Check{attest.Passed("page.kept", "Page", "It is the page.")} }
		c := l.f.client(cfg)
		if c.Log() != nil {
			t.Error("a log before it was asked")
		}
		verdicts, err := c.Verify(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		v := verdicts[0]
		for id, want := range map[string]string{
			"log.release":     "Release 1.1.0 is entry 1 of the public log, seen by w1, w2 and w3.",
			"log.view":        "The log has 2 entries; w1, w2 and w3 had seen them by 1999-12-31 23:59 UTC.",
			"log.anchor":      "The key names the log with 2 entries, which witnesses saw at 1999-12-31 23:59 UTC, so it is newer than that.",
			"software.models": "Every model that this machine offers is one of the release.",
			"page.kept":       "It is the page.",
		} {
			if p := part(v, id); p.Status != attest.StatusOK || p.Detail != want {
				t.Errorf("%s: %s %q", id, p.Status, p.Detail)
			}
		}
		if l := v.Log; l == nil || l.Version != "1.1.0" || l.Published != releasetest.Now-1000 || l.Log != "log.example/releases" || l.Index != 1 || l.Size != 2 || l.Seen != time.Now().Unix()-1 || !slices.Equal(l.Witnesses, []string{"w1", "w2", "w3"}) {
			t.Errorf("entry = %+v", v.Log)
		}
		a, err := c.Do(t.Context(), &bhttp.Request{Method: "GET", Path: "/v1/models"}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		a.Body.Close()
		if r := a.Receipt; r.Version != "1.1.0" || r.LogIndex == nil || *r.LogIndex != 1 || r.Witnesses != 3 {
			t.Errorf("receipt = %+v", r)
		}
		s := c.Log()
		if s == nil || s.Log != "log.example/releases" || s.Size != 2 || s.Seen != time.Now().Unix()-1 || len(s.Witnesses) != 3 || s.Offered || string(s.View) != string(l.view()) {
			t.Fatalf("log = %+v", s)
		}
		if r, i := s.Published.Newest(); r.Digest() != l.digest || i != 1 {
			t.Errorf("newest = %s at %d", r.Digest(), i)
		}
		var seen tlog.Seen
		if err := json.Unmarshal(kept, &seen); err != nil || seen.Size != 2 || seen.Log != "log.example/releases" {
			t.Errorf("kept %s: %v", kept, err)
		}
		if !slices.Equal(l.f.logs, []string{"/sotto/v1/log"}) {
			t.Errorf("the log was asked for %q", l.f.logs)
		}
	})
}

func TestReleaseIsNotPublic(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(l *ledger, cfg *Config)
		part    string
		failure string
		state   State
		found   string
	}{
		"there is no log": {func(l *ledger, _ *Config) { l.f.view = nil },
			"log.view", attest.FailLogUnavailable, StateUnknown, ""},
		"the log can't be reached": {func(l *ledger, _ *Config) { l.f.view = func() (*Response, error) { return nil, io.ErrUnexpectedEOF } },
			"log.view", attest.FailLogUnavailable, StateUnknown, ""},
		"the answer breaks off": {func(l *ledger, _ *Config) {
			l.f.view = func() (*Response, error) {
				return &Response{Status: 200, ContentType: "application/json", Body: lostAfter(l.view()[:100])}, nil
			}
		}, "log.view", attest.FailLogUnavailable, StateUnknown, ""},
		"the pin is none": {func(_ *ledger, cfg *Config) { cfg.Policy.Pin = []byte(`{"v":1}`) },
			"log.view", attest.FailPolicyMalformed, StateUnknown, "product is not a plain name"},
		"garbage": {func(l *ledger, _ *Config) {
			l.f.view = func() (*Response, error) { return reply(200, "application/json", []byte("x")), nil }
		}, "log.view", attest.FailLogMalformed, StateFailed, "a view is not JSON of its form"},
		"too long": {func(l *ledger, _ *Config) {
			l.f.view = func() (*Response, error) {
				return reply(200, "application/json", append(l.view(), strings.Repeat(" ", tlog.MaxView)...)), nil
			}
		}, "log.view", attest.FailLogMalformed, StateFailed, "a view is too long"},
		"two witnesses are gone": {func(l *ledger, _ *Config) {
			l.f.view = func() (*Response, error) {
				return reply(200, "application/json", l.show(l.Checkpoint(2, time.Now().Unix(), 1))), nil
			}
		}, "log.view", attest.FailLogWitnessesFew, StateFailed, ""},
		"old": {func(l *ledger, _ *Config) {
			l.f.view = func() (*Response, error) { return reply(200, "application/json", l.show(l.at(2, 25*time.Hour))), nil }
		}, "log.view", attest.FailLogStale, StateUnknown, ""},
		"it was longer": {func(l *ledger, cfg *Config) {
			cfg.LogSeen = []byte(fmt.Sprintf(`{"v":1,"log":"log.example/releases","size":3,"root":%q,"time":1}`, tlog.Hash{}.String()))
		}, "log.view", attest.FailLogRollback, StateFailed, ""},
		"it was another": {func(l *ledger, cfg *Config) {
			cfg.LogSeen = []byte(fmt.Sprintf(`{"v":1,"log":"log.example/releases","size":1,"root":%q,"time":1}`, tlog.Hash{}.String()))
		}, "log.view", attest.FailLogSplitView, StateFailed, ""},
		"a release that names no weights": {func(l *ledger, _ *Config) {
			l.f.weights = ""
			l.run("1.2.0", func(m *release.Manifest) { m.Models[0].Weights = "none" })
			l.f.anchor = l.at(3, 0)
		}, "software.models", attest.FailSoftwareMismatch, StateFailed, "test none"},
		"another release": {func(l *ledger, _ *Config) { l.f.releases[fakeNode] = release.Digest([]byte("mine")) },
			"log.release", attest.FailReleaseUnlogged, StateFailed, release.Digest([]byte("mine"))},
		"one signature": {func(l *ledger, _ *Config) {
			m := l.Manifest("1.2.0")
			l.Add(l.Sign(m, 1))
			text, _ := m.Encode()
			l.f.releases[fakeNode] = release.Digest(text)
		}, "log.release", attest.FailReleaseSignatures, StateFailed, ""},
		"taken back": {func(l *ledger, _ *Config) {
			old := l.digest
			l.run("1.2.0", func(m *release.Manifest) { m.MinimumVersion = "1.2.0" })
			l.f.releases[fakeNode] = old
		}, "log.release", attest.FailReleaseRevoked, StateFailed, ""},
		"no anchor": {func(l *ledger, _ *Config) { l.f.anchor = nil },
			"log.anchor", attest.FailAnchorMismatch, StateFailed, ""},
		"an old anchor": {func(l *ledger, _ *Config) { l.f.anchor = l.at(2, 25*time.Hour) },
			"log.anchor", attest.FailLogStale, StateUnknown, ""},
		"an anchor of another log": {func(l *ledger, _ *Config) {
			other := releasetest.New("other")
			other.Entries = l.Entries
			l.f.anchor = other.Checkpoint(2, time.Now().Unix(), 3)
		}, "log.anchor", attest.FailLogSignature, StateFailed, ""},
		"an anchor before the release": {func(l *ledger, _ *Config) { l.f.anchor = l.at(1, time.Minute) },
			"log.anchor", attest.FailAnchorMismatch, StateFailed, "1"},
		"other weights": {func(l *ledger, _ *Config) { l.f.weights = release.Digest([]byte("worse")) },
			"software.models", attest.FailSoftwareMismatch, StateFailed, "test " + release.Digest([]byte("worse"))},
		"unhashed weights": {func(l *ledger, _ *Config) { l.f.weights = "" },
			"software.models", attest.FailSoftwareMismatch, StateFailed, "test none"},
		"a model of no release": {func(l *ledger, _ *Config) {
			l.run("1.2.0", func(m *release.Manifest) { m.Models = nil })
			l.f.anchor = l.at(3, 0)
		},
			"software.models", attest.FailSoftwareMismatch, StateFailed, ""},
		"an unhashed model of no release": {func(l *ledger, _ *Config) {
			l.run("1.2.0", func(m *release.Manifest) { m.Models = nil })
			l.f.anchor, l.f.weights = l.at(3, 0), ""
		}, "software.models", attest.FailSoftwareMismatch, StateFailed, "test none"},
		"hardware that it lacks": {func(l *ledger, _ *Config) {
			l.run("1.2.0", func(m *release.Manifest) { m.Machines.Require = []string{"snp"} })
			l.f.anchor = l.at(3, 0)
		},
			"chip.required", attest.FailPlatformMissing, StateFailed, ""},
		"the page is another": {func(_ *ledger, cfg *Config) {
			cfg.Page = func() []attest.Check {
				return []attest.Check{attest.Failed("page.kept", "Page", attest.FailPageChanged, "It isn’t.")}
			}
		}, "page.kept", attest.FailPageChanged, StateFailed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, cfg := newLedger(t)
				kept := false
				cfg.OnLogSeen = func([]byte) { kept = true }
				c.change(l, &cfg)
				cl := l.f.client(cfg)
				_, err := get(t, cl, Options{})
				var nv *NotVerifiedError
				if !errors.As(err, &nv) || nv.Failure() != c.failure {
					t.Fatalf("error %v", err)
				}
				if _, sent := l.f.counts(); sent > 0 {
					t.Error("something was sent")
				}
				p := part(nv.Verdicts[0], c.part)
				if p.Status != attest.StatusFail || p.Failure != c.failure || p.Detail == "" || c.found != "" && p.Found != c.found {
					t.Errorf("part = %+v", p)
				}
				if s := cl.Status().State; s != c.state {
					t.Errorf("state %s", s)
				}
				if s := Explain(err); !strings.HasPrefix(s.Text, "Not sent. ") || s.Hint == "" {
					t.Errorf("sentence %q %q", s.Text, s.Hint)
				}
				if c.part == "log.view" && (kept || cl.Log() != nil) {
					t.Error("what could not be opened was kept")
				}
			})
		})
	}
}

// TestTheLogTakesBack: keys that were verified go when the log turns out to lie, or
// takes their release back, and stay when it only can't be asked.
func TestTheLogTakesBack(t *testing.T) {
	for name, c := range map[string]struct {
		turn func(l *ledger)
		goes bool
	}{
		"revoked": {func(l *ledger) {
			old := l.digest
			l.run("1.2.0", func(m *release.Manifest) { m.MinimumVersion = "1.2.0" })
			l.f.releases[fakeNode] = old
		}, true},
		"shorter": {func(l *ledger) { l.Entries = l.Entries[:1] }, true},
		"another story": {func(l *ledger) {
			l.Entries = l.Entries[:1]
			l.run("1.1.1", nil)
		}, true},
		"one witness": {func(l *ledger) {
			l.f.view = func() (*Response, error) {
				return reply(200, "application/json", l.show(l.Checkpoint(2, time.Now().Unix(), 1))), nil
			}
		}, true},
		"away": {func(l *ledger) { l.f.view = nil }, false},
		"malformed": {func(l *ledger) {
			l.f.list = func() (*Response, error) { return reply(200, "application/json", l.f.nodeList([]byte("x"))), nil }
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, cfg := newLedger(t)
				cl := l.f.client(cfg)
				if _, err := cl.Verify(t.Context()); err != nil {
					t.Fatal(err)
				}
				c.turn(l)
				if _, err := cl.Verify(t.Context()); err == nil {
					t.Fatal("it is believed")
				}
				if s := cl.Status().State; (s == StateDemo) == c.goes {
					t.Errorf("state %s", s)
				}
				cl.CloseNow()
			})
		})
	}
}

// TestEarlierWindow: a client that was away for long says only roughly since when.
func TestEarlierWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, cfg := newLedger(t)
		for len(l.Entries) < 520 {
			l.Add(fmt.Appendf(nil, "entry %d", len(l.Entries)))
		}
		l.run("1.2.0", nil)
		size := int64(len(l.Entries))
		l.f.anchor = l.at(size, 0)
		root := l.Tree().Root(300)
		cfg.LogSeen = []byte(fmt.Sprintf(`{"v":1,"log":"log.example/releases","size":300,"root":%q,"time":1}`, root.String()))
		n := 0
		l.f.view = func() (*Response, error) {
			from := int64(512)
			if n++; n > 1 {
				from = 256
			}
			v, err := l.Tree().View(l.at(size, 0), from, []tlog.Entry{{Index: size - 1, Data: l.Entries[size-1]}})
			if err != nil {
				t.Fatal(err)
			}
			doc, err := v.Encode()
			if err != nil {
				t.Fatal(err)
			}
			return reply(200, "application/json", doc), nil
		}
		c := l.f.client(cfg)
		if _, err := c.Verify(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(l.f.logs, []string{"/sotto/v1/log", "/sotto/v1/log?from=256"}) {
			t.Errorf("the log was asked for %q", l.f.logs)
		}
		// A log that never shows the window is asked twice and no more.
		l.f.logs, n = nil, -100
		c = l.f.client(cfg)
		if _, err := c.Verify(t.Context()); err == nil {
			t.Error("a log that hides its past is believed")
		}
		if len(l.f.logs) != 2 {
			t.Errorf("the log was asked for %q", l.f.logs)
		}
	})
}

// rulesPlatform stands for hardware that is real and runs whatever its owner likes: it
// proves what it runs where there are rules to compare with.
type rulesPlatform struct{ software.Platform }

func (p rulesPlatform) Verify(_ []byte, _ attest.Claim, policy attest.Policy, _ time.Time) attest.Appraisal {
	checks := []attest.Check{attest.Passed("chip.signature", "Chip", "It is real."), attest.Passed("key.bound", "Key", "It is bound.")}
	if _, ok := policy.Platforms[p.Name()]; ok {
		checks = append(checks, attest.Passed("software.measurement", "Software", "It is what the rules name."))
	}
	return attest.Appraisal{Checks: checks}
}

// TestOfferedRules: what a machine's own log says of machines makes no real machine
// private, whoever accepts demo hardware.
func TestOfferedRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, cfg := newLedger(t)
		l.run("1.2.0", func(m *release.Manifest) {
			m.Machines = release.Machines{Platforms: map[string]json.RawMessage{"software": json.RawMessage(`{"own":true}`)}}
		})
		l.f.anchor = l.at(3, 0)
		cfg.Platforms = []attest.Platform{rulesPlatform{}}
		if _, err := l.f.client(cfg).Verify(t.Context()); err != nil {
			t.Fatalf("by a log that was pinned: %v", err)
		}
		cfg.Policy.Pin = nil
		l.f.view = func() (*Response, error) {
			doc := strings.Replace(string(l.view()), `{"v":1,`, `{"v":1,"pin":`+string(l.PinJSON())+`,`, 1)
			return reply(200, "application/json", []byte(doc)), nil
		}
		verdicts, err := l.f.client(cfg).Verify(t.Context())
		if err == nil || verdicts[0].State != attest.StateFailed || verdicts[0].Failure != attest.FailEvidenceIncomplete {
			t.Errorf("by a log of the machine's own: %+v, %v", verdicts, err)
		}
	})
}

// TestOfferedPin: only who accepts demo hardware believes a log that names its own keys.
func TestOfferedPin(t *testing.T) {
	offer := func(l *ledger, pin []byte) {
		l.f.view = func() (*Response, error) {
			var doc map[string]any
			if err := json.Unmarshal(l.view(), &doc); err != nil {
				t.Error(err)
			}
			if pin != nil {
				doc["pin"] = json.RawMessage(pin)
			}
			b, err := json.Marshal(doc)
			if err != nil {
				t.Error(err)
			}
			return reply(200, "application/json", b), nil
		}
	}
	synctest.Test(t, func(t *testing.T) {
		l, cfg := newLedger(t)
		cfg.Policy.Pin = nil
		offer(l, l.PinJSON())
		c := l.f.client(cfg)
		verdicts, err := c.Verify(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if p := part(verdicts[0], "log.view"); p.Status != attest.StatusWarn || !strings.Contains(p.Detail, "came from the machine itself") {
			t.Errorf("part = %+v", p)
		}
		if s := c.Log(); s == nil || !s.Offered || c.Status().State != StateDemo {
			t.Errorf("log = %+v, state %s", s, c.Status().State)
		}

		for name, c := range map[string]struct {
			pin     []byte
			failure string
		}{
			"none":      {nil, attest.FailLogSignature},
			"malformed": {[]byte(`{"v":2}`), attest.FailLogMalformed},
			"another’s": {releasetest.New("other").PinJSON(), attest.FailLogSignature},
			"its own":   {l.PinJSON(), ""},
		} {
			offer(l, c.pin)
			cl := l.f.client(cfg)
			_, err := cl.Verify(t.Context())
			got := ""
			if nv := (*NotVerifiedError)(nil); errors.As(err, &nv) {
				got = nv.Failure()
			}
			if got != c.failure || (err == nil) != (c.failure == "") {
				t.Errorf("%s: %v", name, err)
			}
		}

		// A demo may have a model whose weights nobody has hashed, and no other than
		// its release names.
		l.f.weights = ""
		offer(l, l.PinJSON())
		if _, err := l.f.client(cfg).Verify(t.Context()); err == nil {
			t.Error("a model that the release names is believed without its digest")
		}
		l.run("1.2.0", func(m *release.Manifest) { m.Models = nil })
		l.f.anchor = l.at(3, 0)
		c = l.f.client(cfg)
		if verdicts, err = c.Verify(t.Context()); err != nil {
			t.Fatal(err)
		}
		if p := part(verdicts[0], "software.models"); p.Status != attest.StatusWarn || !strings.Contains(p.Detail, "its model test are") {
			t.Errorf("part = %+v", p)
		}
		l.f.weights = release.Digest([]byte("other"))
		if _, err := l.f.client(cfg).Verify(t.Context()); err == nil {
			t.Error("a model that no release names is believed")
		}

		// A demo may run a model that nobody has hashed, and no other than its release's.
		offer(l, l.PinJSON())
		for name, c := range map[string]struct {
			models  bool
			weights string
			status  string
		}{
			"unhashed and unnamed": {false, "", attest.StatusWarn},
			"hashed and unnamed":   {false, release.Digest([]byte("x")), attest.StatusFail},
			"unhashed and named":   {true, "", attest.StatusFail},
		} {
			l.f.weights = release.Digest([]byte("test"))
			l.run("1.3."+fmt.Sprint(len(l.Entries)), func(m *release.Manifest) {
				if !c.models {
					m.Models = nil
				}
			})
			l.f.weights, l.f.anchor = c.weights, l.at(int64(len(l.Entries)), 0)
			verdicts, _ := l.f.client(cfg).Verify(t.Context())
			if p := part(verdicts[0], "software.models"); p.Status != c.status {
				t.Errorf("%s: %+v", name, p)
			}
		}

		// Who wants real hardware isn't told what to believe.
		l.f.logs = nil
		cfg.Policy.AllowSoftware = false
		c = l.f.client(cfg)
		if _, err := c.Verify(t.Context()); err == nil {
			t.Error("demo hardware is believed")
		}
		if len(l.f.logs) > 0 {
			t.Error("a log was asked that nothing was known of")
		}
		// A pin that can't be used doesn't become no pin.
		cfg.Policy.AllowSoftware = true
		cfg.Policy.Pin = []byte(`{}`)
		c = l.f.client(cfg)
		if _, err := c.Verify(t.Context()); err == nil || len(l.f.logs) > 0 {
			t.Errorf("with a pin that is none: %v, asked %q", err, l.f.logs)
		}
	})
}

func TestFresh(t *testing.T) {
	nonce := [32]byte{1, 2, 3}
	for name, c := range map[string]struct {
		answer func(l *ledger, o *seal.Opened, req *bhttp.Request) (*Response, error)
		is     error
	}{
		"made for the nonce": {func(l *ledger, o *seal.Opened, req *bhttp.Request) (*Response, error) {
			return l.fresh(o, l.f.shown, [32]byte(req.Body)), nil
		}, nil},
		"made for another nonce": {func(l *ledger, o *seal.Opened, req *bhttp.Request) (*Response, error) {
			return l.fresh(o, l.f.shown, [32]byte{4}), nil
		}, &NotVerifiedError{}},
		"the one of every day": {func(l *ledger, o *seal.Opened, req *bhttp.Request) (*Response, error) {
			return sealedBytes(o, 200, l.f.shown), nil
		}, &NotVerifiedError{}},
		"of another key": {func(l *ledger, o *seal.Opened, req *bhttp.Request) (*Response, error) {
			return l.fresh(o, l.f.bundle(fakeNode), [32]byte(req.Body)), nil
		}, ErrOtherKey},
		"busy": {func(l *ledger, o *seal.Opened, req *bhttp.Request) (*Response, error) {
			return sealedBytes(o, 429, []byte(`{"error":{"code":"busy","message":"Try again."}}`)), nil
		}, &APIError{}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, cfg := newLedger(t)
				l.f.list = func() (*Response, error) {
					l.f.shown = l.f.bundle(fakeNode)
					return reply(200, "application/json", l.f.nodeList(l.f.shown)), nil
				}
				l.f.answer = func(_ int, o *seal.Opened, req *bhttp.Request) (*Response, error) {
					if req.Method != "POST" || req.Path != "/sotto/v1/fresh" || string(req.Body) != string(nonce[:]) {
						t.Errorf("asked %s %s with %x", req.Method, req.Path, req.Body)
					}
					return c.answer(l, o, req)
				}
				cl := l.f.client(cfg)
				proofs, err := cl.Fresh(t.Context(), nonce)
				var nv *NotVerifiedError
				var api *APIError
				switch {
				case c.is == nil:
					if err != nil || len(proofs) != 1 || proofs[0].Verdict.State != attest.StateDemo || proofs[0].Verdict.Log == nil || len(proofs[0].Bundle) == 0 {
						t.Errorf("%+v, %v", proofs, err)
					}
				case errors.Is(c.is, ErrOtherKey):
					if !errors.Is(err, ErrOtherKey) {
						t.Errorf("error %v", err)
					}
				case errors.As(c.is, &nv):
					if !errors.As(err, &nv) || len(proofs) != 1 {
						t.Errorf("%d proofs, error %v", len(proofs), err)
					}
				default:
					if !errors.As(err, &api) || api.Status != 429 {
						t.Errorf("error %v", err)
					}
				}
			})
		})
	}
}

// fresh answers with the bundle's key and evidence made for the nonce.
func (l *ledger) fresh(o *seal.Opened, bundle []byte, nonce [32]byte) *Response {
	b, err := attest.ParseBundle(bundle)
	if err != nil {
		l.f.t.Fatal(err)
	}
	if b.Evidence, err = forge.Evidence(attest.FreshData(nonce, b.KeyConfig)); err != nil {
		l.f.t.Fatal(err)
	}
	doc, err := b.Encode()
	if err != nil {
		l.f.t.Fatal(err)
	}
	return sealedBytes(o, 200, doc)
}

// sealedBytes seals an answer in one large record.
func sealedBytes(o *seal.Opened, status int, body []byte) *Response {
	a, err := o.NewAnswer(seal.ClassBulk)
	if err != nil {
		panic(err)
	}
	content := bhttp.AppendResponseHead(nil, status, []bhttp.Field{{Name: "content-type", Value: "application/json"}})
	content = bhttp.AppendEnd(bhttp.AppendChunk(content, body))
	return reply(200, envelope.AnswerType, append(a.Header(), a.AppendRecord(nil, content, true, true)...))
}
